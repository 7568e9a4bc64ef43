/*
 * A network from a list of its layers.
 *
 * A file of tensors does not say which layer reads which, so a text says that. It has a word for
 * each layer, in an order in which they can be computed:
 *
 *     NAME[+NORM][=LAYER][<LAYER]
 *
 *     NAME     the layer with the tensors NAME.weight and perhaps NAME.bias: linear, or a
 *              convolution, or a depthwise one; axis 0 of the weight are its outputs, axis 1 its
 *              inputs. A layer that reads a flattened image has several inputs for each channel
 *     +NORM    its norm: NORM.weight, .bias, .running_mean, .running_var, as far as they are there
 *     =LAYER   its output and the one of that layer are added (a shortcut)
 *     <LAYER   it reads the output of that layer; without it, of the word before. "<" alone: it
 *              reads the network's input, as the first layer does
 *
 * From # to the end of a line is a comment. Layers that nothing reads are the network's outputs,
 * and keep all channels. Tensors that no word names stay as they are.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "mskp/operators.h"
#include "prune.h"

typedef struct layer {
    const char *name, *norm, *adds, *reads; /* NULL: not given */
    mskp_value out;
    size_t channels;
    bool read; /* its output, or one that is added to it */
} layer;

typedef struct description {
    const cn_tensors *file;
    network *n;
    layer *layers;
    size_t count, most;
    size_t *pick;   /* room for the longest axis */
    bool *declared; /* [file->count] the tensor is a parameter */
    char *text;
} description;

void network_free(network *n)
{
    mskp_graph_destroy(n->graph);
    free(n->tensor);
    *n = (network){0};
}

/* The tensor NAME.END, or NULL. */
static const cn_tensor *find(const description *d, const char *name, const char *end)
{
    char whole[300];
    const int length = snprintf(whole, sizeof whole, "%s.%s", name, end);
    return length < (int)sizeof whole ? cn_tensors_find(d->file, whole) : NULL;
}

/* *p <- the tensor as a parameter. It must not be one already, nor be without elements. */
static bool declare(description *d, const cn_tensor *t, mskp_param *p)
{
    const size_t i = (size_t)(t - d->file->tensors);
    if (d->declared[i])
        return args_refuse(SENTENCE, d->text, "%.100s belongs to two layers", t->name);
    if (!t->count) return args_refuse(SENTENCE, d->text, "%.100s has no elements", t->name);
    d->declared[i] = true;
    *p = mskp_parameter(d->n->graph, t->name, (uint32_t)t->dims, t->shape);
    d->n->tensor[d->n->params++] = i;
    return true;
}

/* A vector with a number for each channel, if the tensor is there. */
static bool bind_vector(description *d, const char *name, const char *end, uint32_t role,
                        const layer *l, size_t *found)
{
    const cn_tensor *t = find(d, name, end);
    mskp_param vector = {0};
    if (!t) return true;
    if (t->dims != 1 || t->shape[0] != l->channels)
        return args_refuse(SENTENCE, d->text,
                           "%.100s: has %zu axes and %zu elements, %.100s has %zu "
                           "channels",
                           t->name, t->dims, t->count, l->name, l->channels);
    if (!declare(d, t, &vector)) return false;
    mskp_bind(d->n->graph, vector, 0, role, l->out);
    ++*found;
    return true;
}

static layer *find_layer(const description *d, const char *name, size_t before)
{
    for (size_t i = before; i-- > 0;)
        if (!strcmp(d->layers[i].name, name)) return &d->layers[i];
    return NULL;
}

/* *from <- the layer that a layer reads, or NULL: the input. */
static bool find_read(const description *d, size_t i, layer **from)
{
    const layer *l = &d->layers[i];
    *from = i ? &d->layers[i - 1] : NULL;
    if (!l->reads) return true;
    *from = *l->reads ? find_layer(d, l->reads, i) : NULL;
    return !*l->reads || *from ||
           args_refuse(SENTENCE, d->text, "%.100s reads %.100s, which is no layer before it",
                       l->name, l->reads);
}

/* Axis 1 of the weight reads these channels, each of which may be several inputs. */
static bool bind_inputs(description *d, layer *l, const cn_tensor *t, mskp_param weight,
                        const layer *from)
{
    const size_t inputs = t->shape[1], each = inputs / from->channels;
    if (inputs % from->channels || !each)
        return args_refuse(SENTENCE, d->text,
                           "%.100s has %zu inputs and reads %.100s, which has %zu channels",
                           t->name, inputs, from->name, from->channels);
    for (size_t k = 0; k < inputs; k++) d->pick[k] = k / each;
    mskp_bind(d->n->graph, weight, 1, MSKP_ROLE_CONSUMER,
              mskp_pick(d->n->graph, NULL, from->out, inputs, d->pick));
    l->out = mskp_fresh(d->n->graph, l->name, l->channels, 0, NULL);
    return true;
}

static bool bind_weight(description *d, size_t i)
{
    layer *l = &d->layers[i], *from;
    const cn_tensor *t = find(d, l->name, "weight");
    if (!t) return args_refuse(SENTENCE, d->text, "%.100s.weight is not in the file", l->name);
    if (t->dims < 2)
        return args_refuse(SENTENCE, d->text, "%.100s has %zu axes, a layer has 2 or more", t->name,
                           t->dims);
    mskp_param weight = {0};
    if (!find_read(d, i, &from) || !declare(d, t, &weight)) return false;
    l->channels = t->shape[0];
    if (from) from->read = true;
    if (!from) {
        l->out = mskp_fresh(d->n->graph, l->name, l->channels, 0, NULL);
    } else if (t->shape[1] == 1 && from->channels == l->channels && l->channels > 1) {
        l->out = from->out; /* depthwise: one filter for each channel */
    } else if (!bind_inputs(d, l, t, weight, from)) {
        return false;
    }
    mskp_bind(d->n->graph, weight, 0, MSKP_ROLE_FILTER, l->out);
    return true;
}

static bool add_layer(description *d, size_t i)
{
    layer *l = &d->layers[i];
    size_t found = 0;
    if (find_layer(d, l->name, i))
        return args_refuse(SENTENCE, d->text, "%.100s is named twice", l->name);
    if (!bind_weight(d, i) || !bind_vector(d, l->name, "bias", MSKP_ROLE_SHIFT, l, &found))
        return false;
    found = 0;
    if (l->norm && (!bind_vector(d, l->norm, "weight", MSKP_ROLE_SCALE, l, &found) ||
                    !bind_vector(d, l->norm, "bias", MSKP_ROLE_SHIFT, l, &found) ||
                    !bind_vector(d, l->norm, "running_mean", MSKP_ROLE_MEAN, l, &found) ||
                    !bind_vector(d, l->norm, "running_var", MSKP_ROLE_VARIANCE, l, &found)))
        return false;
    if (l->norm && !found)
        return args_refuse(SENTENCE, d->text, "the file has no tensor of the norm %.100s", l->norm);
    if (!l->adds) return true;
    layer *other = find_layer(d, l->adds, i);
    if (!other)
        return args_refuse(SENTENCE, d->text,
                           "%.100s is added to %.100s, which is no layer before it", l->name,
                           l->adds);
    if (other->channels != l->channels)
        return args_refuse(SENTENCE, d->text,
                           "%.100s has %zu channels, %.100s has %zu: they cannot be "
                           "added",
                           l->name, l->channels, other->name, other->channels);
    mskp_tie(d->n->graph, l->out, other->out);
    other->read = true; /* as far as this layer is */
    return true;
}

/* Takes a word apart. */
static void read_word(char *word, layer *l)
{
    char *reads = strchr(word, '<'), *adds, *norm;
    if (reads) *reads++ = 0;
    adds = strchr(word, '=');
    if (adds) *adds++ = 0;
    norm = strchr(word, '+');
    if (norm) *norm++ = 0;
    *l = (layer){.name = word, .norm = norm, .adds = adds, .reads = reads};
}

static bool read_words(description *d, char *text)
{
    const char *const blanks = " \t\r\n";
    for (char *c = strchr(text, '#'); c; c = strchr(c, '#'))
        for (; *c && *c != '\n'; c++) *c = ' ';
    for (char *at = text + strspn(text, blanks); *at; at += strspn(at, blanks)) {
        char *word = at;
        at += strcspn(at, blanks);
        if (*at) *at++ = 0;
        if (d->count == d->most)
            return args_refuse(SENTENCE, d->text, "%.100s: more layers than tensors", word);
        read_word(word, &d->layers[d->count++]);
    }
    return d->count || args_refuse(SENTENCE, d->text, "the list of layers is empty");
}

static bool describe(description *d, char *layers)
{
    mskp_error err;
    size_t longest = 1;
    for (size_t i = 0; i < d->file->count; i++) /* one without elements may have any axes */
        for (size_t k = 0; d->file->tensors[i].count && k < d->file->tensors[i].dims; k++)
            if (d->file->tensors[i].shape[k] > longest) longest = d->file->tensors[i].shape[k];
    d->most = d->file->count;
    d->layers = calloc(d->most + 1, sizeof *d->layers);
    d->n->tensor = calloc(d->most + 1, sizeof *d->n->tensor);
    d->pick = calloc(longest, sizeof *d->pick);
    d->declared = calloc(d->most + 1, sizeof *d->declared);
    d->n->graph = mskp_graph_create(NULL);
    if (!d->layers || !d->n->tensor || !d->pick || !d->declared || !d->n->graph)
        return args_refuse(SENTENCE, d->text, "no memory for %zu tensors", d->most);
    if (!read_words(d, layers)) return false;
    for (size_t i = 0; i < d->count; i++)
        if (!add_layer(d, i)) return false;
    for (size_t i = 0; i < d->count; i++)
        if (!d->layers[i].read) mskp_pin(d->n->graph, d->layers[i].out);
    return !mskp_graph_finish(d->n->graph, &err) ||
           args_refuse(SENTENCE, d->text, "%.300s", err.text);
}

bool network_describe(const cn_tensors *file, char *layers, network *n, char text[SENTENCE])
{
    description d = {.file = file, .n = n, .text = text};
    *n = (network){0};
    const bool good = describe(&d, layers);
    free(d.layers);
    free(d.pick);
    free(d.declared);
    return good;
}
