#include "zoo/layers.h"

#include "by_id/by_id.h"
#include <stdlib.h>
#include <string.h>

/* X(name, function, option) */
#define NETWORKS(X)                                                   \
    X("resnet18", zoo_resnet, RESNET_18)                              \
    X("resnet50", zoo_resnet, RESNET_50)                              \
    X("resnext50_32x4d", zoo_resnet, RESNEXT_50)                      \
    X("regnet_y_400mf", zoo_regnet_y, 0)                              \
    X("vgg16_bn", zoo_vgg16, 0)                                       \
    X("squeezenet1_0", zoo_squeezenet, 0)                             \
    X("squeezenet1_1", zoo_squeezenet, 1)                             \
    X("unet", zoo_unet, 0)                                            \
    X("mobilenet_v2", zoo_mobilenet_v2, 0)                            \
    X("mobilenet_v3_large", zoo_mobilenet_v3, 0)                      \
    X("efficientnet_b0", zoo_efficientnet, 0)                         \
    X("densenet121", zoo_densenet, 121)                               \
    X("densenet169", zoo_densenet, 169)                               \
    X("densenet201", zoo_densenet, 201)                               \
    X("shufflenet_v2_x1_0", zoo_shufflenet_v2, TIED)                  \
    X("shufflenet_v2_x1_0/rewritable", zoo_shufflenet_v2, REWRITABLE) \
    X("googlenet", zoo_googlenet, WITHOUT_AUX)                        \
    X("googlenet/aux", zoo_googlenet, WITH_AUX)                       \
    X("inception_v3", zoo_inception_v3, WITHOUT_AUX)                  \
    X("inception_v3/aux", zoo_inception_v3, WITH_AUX)                 \
    X("inception_v4", zoo_inception_v4, 0)                            \
    X("inception_resnet_v2", zoo_inception_resnet_v2, 0)              \
    X("convnext_tiny", zoo_convnext, EXACT)                           \
    X("convnext_tiny/inexact", zoo_convnext, INEXACT)                 \
    X("vit_b_16", zoo_vit, EXACT)                                     \
    X("vit_b_16/inexact", zoo_vit, INEXACT)

#define NAME(name, function, option) name,
const char *const zoo_names[] = {NETWORKS(NAME) NULL};

#define ENTRY(name, function, option) {function, option},
static const struct {
    void (*describe)(net *n, int option);
    int option;
} ENTRIES[] = {NETWORKS(ENTRY)};

mskp_graph *zoo_make_recorded(const char *name, const mskp_services *services, zoo_record *record)
{
    size_t i = 0;
    while (zoo_names[i] && strcmp(zoo_names[i], name) != 0) i++;
    if (!zoo_names[i]) return NULL;
    net n = {.graph = mskp_graph_create(services), .record = record};
    if (n.graph) ENTRIES[i].describe(&n, ENTRIES[i].option);
    return n.graph;
}

mskp_graph *zoo_make(const char *name, const mskp_services *services)
{
    return zoo_make_recorded(name, services, NULL);
}

void zoo_record_free(zoo_record *record)
{
    free(record->layer);
    *record = (zoo_record){0};
}
