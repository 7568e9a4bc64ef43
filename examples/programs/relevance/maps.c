#include "maps.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "saliency.h"

static bool no_memory(size_t n, cn_error *err)
{
    return args_refuse(sizeof err->text, err->text, "no memory for the relevance of %zu images", n);
}

/* ---- maps ---- */

static bool maps_open(maps *m, size_t n)
{
    *m = (maps){.n = n};
    m->class = calloc(n + 1, sizeof *m->class);
    m->relevance = calloc(n * MAP + 1, sizeof *m->relevance);
    m->saliency = calloc(n * MAP + 1, sizeof *m->saliency);
    return m->class && m->relevance && m->saliency;
}

void maps_free(maps *m)
{
    free(m->class);
    free(m->relevance);
    free(m->saliency);
    *m = (maps){0};
}

/* Image i: its relevances are in e. */
static bool add_map(const lrp *e, size_t i, maps *m)
{
    const size_t class = m->class[i];
    const double *image = e->node[0].relevance;
    const double logit = e->node[e->count - 1].value[class];
    double bias = 0, *map = m->relevance + i * MAP;
    for (size_t c = 0; c < e->layers[0].channels; c++)
        for (size_t k = 0; k < MAP; k++) map[k] += image[c * MAP + k];
    for (size_t k = 0; k < e->count; k++) bias += e->node[k].bias;
    m->bias += bias / logit / (double)m->n;
    m->missing = fmax(m->missing, fabs(lrp_missing(e, class) / logit));
    return saliency_of(CN_SIDE, CN_SIDE, map, m->saliency + i * MAP);
}

bool maps_make(const cn_net *net, const lrp_rules *rules, const cn_data *data, size_t n,
               const size_t *indices, const size_t *class, maps *m, cn_error *err)
{
    cn_real image[CN_PIXELS];
    uint8_t label;
    *m = (maps){0};
    lrp *e = lrp_create(net, rules, err);
    if (!e) return false;
    bool good = maps_open(m, n);
    for (size_t i = 0; good && i < n; i++) {
        cn_draw(data, 1, indices + i, NULL, image, &label);
        lrp_forward(e, image);
        m->class[i] = class ? class[i] : lrp_predicted(e);
        lrp_backward(e, m->class[i]);
        good = add_map(e, i, m);
    }
    lrp_destroy(e);
    return good || no_memory(n, err);
}

void maps_compare(const maps *a, const maps *b, double *relevance, double *saliency)
{
    double p[MAP], q[MAP];
    *relevance = *saliency = 0;
    for (size_t i = 0; i < a->n; i++) {
        for (size_t k = 0; k < MAP; k++) {
            p[k] = fabs(a->relevance[i * MAP + k]);
            q[k] = fabs(b->relevance[i * MAP + k]);
        }
        *relevance += saliency_correlation(MAP, p, q) / (double)a->n;
        *saliency +=
            saliency_correlation(MAP, a->saliency + i * MAP, b->saliency + i * MAP) / (double)a->n;
    }
}

/* ---- the file ---- */

/* The tensors of a file, and the memory that they lie in. */
typedef struct dump {
    size_t n, count;
    cn_tensor *tensor;
    char (*name)[CN_NAME_SIZE + 16];
    double **data;
    size_t *layer; /* of a relevance */
} dump;

static const char *const WORDS[] = {"image", "logits", "class"};
enum { IMAGE, LOGITS, CLASS, RELEVANCE };

static size_t elements(const cn_layer *l)
{
    return l->channels * l->height * l->width;
}

/* The shapes and memory of all tensors. */
static bool dump_open(dump *d, const lrp *e, size_t n)
{
    *d = (dump){.n = n, .count = RELEVANCE};
    d->tensor = calloc(RELEVANCE + e->count, sizeof *d->tensor);
    d->name = calloc(RELEVANCE + e->count, sizeof *d->name);
    d->data = calloc(RELEVANCE + e->count, sizeof *d->data);
    d->layer = calloc(RELEVANCE + e->count, sizeof *d->layer);
    if (!d->tensor || !d->name || !d->data || !d->layer) return false;
    for (size_t i = 0; i < e->count; i++)
        if (e->layers[i].kind == CN_INPUT || e->layers[i].kind == CN_RELU) d->layer[d->count++] = i;
    for (size_t k = 0; k < d->count; k++) {
        const cn_layer *l = &e->layers[k == LOGITS ? e->count - 1 : d->layer[k]];
        const size_t each = k == CLASS ? 1 : elements(l);
        if (k < RELEVANCE)
            snprintf(d->name[k], sizeof d->name[k], "%s", WORDS[k]);
        else
            snprintf(d->name[k], sizeof d->name[k], "relevance.%s", l->name);
        d->tensor[k] = (cn_tensor){.name = d->name[k],
                                   .dtype = "F64",
                                   .dims = k == CLASS    ? 1
                                           : k == LOGITS ? 2
                                                         : 4,
                                   .shape = {n, l->channels, l->height, l->width},
                                   .data = d->data[k] = calloc(n * each + 1, sizeof(double))};
        if (!d->data[k]) return false;
    }
    return true;
}

static void dump_close(dump *d)
{
    for (size_t k = 0; d->data && k < d->count; k++) free(d->data[k]);
    free(d->data);
    free(d->tensor);
    free(d->name);
    free(d->layer);
}

static void dump_image(dump *d, const lrp *e, size_t i, size_t class)
{
    for (size_t k = 0; k < d->count; k++) {
        const lrp_node *node = &e->node[k == LOGITS ? e->count - 1 : d->layer[k]];
        const double number = (double)class;
        const double *from = k == CLASS ? &number : k < RELEVANCE ? node->value : node->relevance;
        const size_t each = k == CLASS    ? 1
                            : k == LOGITS ? e->classes
                                          : elements(&e->layers[d->layer[k]]);
        memcpy(d->data[k] + i * each, from, each * sizeof *from);
    }
}

static bool little_endian(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

bool maps_write(const char *path, const cn_net *net, const lrp_rules *rules, const cn_data *data,
                size_t n, cn_error *err)
{
    cn_real image[CN_PIXELS];
    uint8_t label;
    dump d = {0};
    if (!little_endian())
        return args_refuse(sizeof err->text, err->text,
                           "this machine does not have the file's order of bytes");
    lrp *e = lrp_create(net, rules, err);
    if (!e) return false;
    bool good = dump_open(&d, e, n) || no_memory(n, err);
    for (size_t i = 0; good && i < n; i++) {
        cn_draw(data, 1, &i, NULL, image, &label);
        lrp_forward(e, image);
        const size_t class = lrp_predicted(e);
        lrp_backward(e, class);
        dump_image(&d, e, i, class);
    }
    good =
        good && cn_tensors_write(path, &(cn_tensors){.count = d.count, .tensors = d.tensor}, err);
    dump_close(&d);
    lrp_destroy(e);
    return good;
}
