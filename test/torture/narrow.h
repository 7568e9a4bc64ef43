/* A network for the tests of masksparsity. */
#ifndef TORTURE_NARROW_H
#define TORTURE_NARROW_H

#include <check.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "convnet.h"

/* FOLDER/NAME <- a resnet8 with 1/8 of the channels: a run takes some milliseconds. wider: one
 * layer has one channel more. */
static inline void save_narrow(const char *folder, const char *name, bool wider)
{
    char path[200];
    cn_layer layers[64];
    cn_error err = {""};
    const size_t count = cn_resnet_layers(8, 10, layers, 64);
    for (size_t i = 0; i < count; i++) {
        cn_layer *l = &layers[i];
        if (l->kind == CN_CONV) l->channels /= 8;
        if (l->kind == CN_PAD_CHANNELS) l->before /= 8, l->after /= 8;
        if (wider && !strcmp(l->name, "layer1.0.conv1")) l->channels++;
    }
    cn_net *net = cn_create("resnet8", count, layers, &(cn_options){.batch = 1, .seed = 1}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    ck_assert_msg(cn_save(net, path, 0, NULL, &err), "%s", err.text);
    cn_destroy(net);
}

#endif
