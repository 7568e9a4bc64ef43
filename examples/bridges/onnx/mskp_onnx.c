/*
 * The functions of mskp_onnx.h, and the way from a model to its graph that they share with
 * mskp-onnx: compute what follows from parameters, infer shapes, describe, finish.
 */
#include "mskp_onnx.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "list.h"
#include "lower.h"
#include "object.h"

/* ---- From a model to its graph ---- */

/* Finds the weight of each parameter, and the tensor whose name its data have. */
static bool index_weights(mskp_onnx *o, failure *f)
{
    const size_t params = mskp_graph_counts(o->graph).params;
    o->weight = try_calloc(params, sizeof *o->weight);
    o->source = try_calloc(params, sizeof *o->source);
    if (!o->weight || !o->source) return fail(f, "no memory for %zu parameters", params);
    for (size_t i = 0; i < o->n.weight_count; i++) {
        const weight *w = &o->n.weights[i];
        const tensor *original = w->original ? net_tensor(&o->n, w->original) : NULL;
        if (!w->param.id) continue;
        o->weight[w->param.id - 1] = i;
        if (original) o->source[w->param.id - 1] = original->root;
    }
    for (size_t k = 0; k < o->n.tensor_count; k++) {
        const size_t at = o->n.tensors[k].weight;
        if (at && o->n.weights[at - 1].param.id) o->source[o->n.weights[at - 1].param.id - 1] = k;
    }
    return true;
}

bool object_describe(mskp_onnx *o, const lengths *l, bool fixed, failure *f)
{
    mskp_error err;
    o->graph = mskp_graph_create(NULL);
    if (!o->graph) {
        memory_note();
        return fail(f, "no memory for a graph");
    }
    if (!fixed && !precompute(&o->m, l, &o->stored, f)) return false;
    o->end_computed = o->m.graph->n_initializer; /* they are the last ones */
    o->first_computed = o->end_computed - o->stored.tensors;
    if (!net_open(&o->n, &o->m, o->graph, l, f)) return false;
    o->n.fixed = fixed;
    o->n.cuts = o->cuts && !fixed;
    if (o->n.cuts && !lower_nodes(&o->n)) return false;
    if (!infer_network(&o->n) || !describe_network(&o->n)) return false;
    if (mskp_graph_finish(o->graph, &err)) return fail_as(f, &err);
    return index_weights(o, f);
}

void object_close(mskp_onnx *o)
{
    for (size_t i = 0; i < o->reason_count; i++) free(o->reasons[i]);
    free(o->reasons);
    free(o->weight);
    free(o->source);
    net_close(&o->n);
    mskp_graph_destroy(o->graph);
    model_free(&o->m);
    *o = (mskp_onnx){.graph = NULL};
}

/* ---- Errors ---- */

__attribute__((format(printf, 3, 4))) static mskp_status
refused(mskp_error *err, mskp_status status, const char *format, ...)
{
    if (!err) return status;
    va_list list;
    va_start(list, format);
    err->status = status;
    vsnprintf(err->text, sizeof err->text, format, list);
    va_end(list);
    return status;
}

static mskp_status bad_argument(const char *text, mskp_error *err)
{
    return refused(err, MSKP_ERROR_BAD_ARGUMENT, "%s", text);
}

/* ---- The public functions ---- */

static bool keep_reason(void *context, const char *text)
{
    mskp_onnx *o = context;
    const size_t size = strlen(text) + 1;
    char **more = try_realloc(o->reasons, (o->reason_count + 1) * sizeof *more);
    char *copy = try_malloc(size);
    if (more) o->reasons = more;
    if (!more || !copy) {
        free(copy);
        return false;
    }
    more[o->reason_count++] = memcpy(copy, text, size);
    return true;
}

static bool open_bytes(mskp_onnx *o, const void *bytes, size_t size,
                       const mskp_onnx_options *options, failure *f)
{
    const lengths l = {options ? options->lengths : 0, options ? options->length : NULL, "length"};
    const bool fixed = options && options->fixed;
    return model_parse(&o->m, bytes, size, fixed, f) && object_describe(o, &l, fixed, f) &&
           list_reasons(&o->n, keep_reason, o);
}

mskp_status mskp_onnx_open(const void *bytes, size_t size, const mskp_onnx_options *options,
                           mskp_onnx **onnx, mskp_error *err)
{
    failure f = {""};
    if (!onnx || (!bytes && size)) return bad_argument("onnx and bytes must not be NULL", err);
    if (options && options->lengths && !options->length)
        return bad_argument("options.length is NULL, but options.lengths is not 0", err);
    memory_watch();
    mskp_onnx *o = try_calloc(1, sizeof *o);
    if (!o) return refused(err, MSKP_ERROR_NO_MEMORY, "no memory for a network");
    const bool good = open_bytes(o, bytes, size, options, &f);
    if (good && !memory_was_short()) {
        o->n.f = NULL; /* f ends here */
        *onnx = o;
        return MSKP_OK;
    }
    object_close(o);
    free(o);
    if (!memory_was_short()) return refused(err, MSKP_ERROR_BAD_TEXT, "%s", f.text);
    return refused(err, MSKP_ERROR_NO_MEMORY,
                   "no memory for all that is to be known of the network");
}

void mskp_onnx_close(mskp_onnx *onnx)
{
    if (!onnx) return;
    object_close(onnx);
    free(onnx);
}

const mskp_graph *mskp_onnx_graph(const mskp_onnx *onnx)
{
    return onnx ? onnx->graph : NULL;
}

mskp_status mskp_onnx_parameter(const mskp_onnx *onnx, mskp_param id, mskp_onnx_param *param,
                                mskp_error *err)
{
    if (!onnx || !param) return bad_argument("onnx and param must not be NULL", err);
    const size_t params = mskp_graph_counts(onnx->graph).params;
    if (!id.id || id.id > params)
        return refused(err, MSKP_ERROR_BAD_ARGUMENT, "parameter %u is not one of the graph's %zu",
                       (unsigned)id.id, params);
    const weight *w = &onnx->n.weights[onnx->weight[id.id - 1]];
    const size_t at = onnx->source[id.id - 1];
    *param = (mskp_onnx_param){.name = onnx->n.tensors[at].name,
                               .ndim = w->ndim,
                               .copied = w->original != NULL,
                               .computed = at >= onnx->first_computed && at < onnx->end_computed,
                               .locked = w->locked};
    memcpy(param->axis, w->order, w->ndim * sizeof *w->order);
    return MSKP_OK;
}

mskp_status mskp_onnx_values(mskp_onnx *onnx, mskp_tensors values, mskp_error *err)
{
    failure f = {""};
    if (!onnx || !values.view) return bad_argument("onnx and values must not be NULL", err);
    const size_t params = mskp_graph_counts(onnx->graph).params;
    if (values.n != params)
        return refused(err, MSKP_ERROR_OTHER_NETWORK,
                       "values: %zu views, but the graph has %zu parameters", values.n, params);
    memory_watch();
    mskp_tensor *views = try_calloc(values.n, sizeof *views);
    onnx->n.f = &f;
    const bool good = views ? network_values(&onnx->n, (mskp_tensors){values.n, views})
                            : fail(&f, "no memory for the views of %zu parameters", values.n);
    onnx->n.f = NULL;
    if (good) memcpy(values.view, views, values.n * sizeof *views);
    free(views);
    if (good) return MSKP_OK;
    return refused(err, memory_was_short() ? MSKP_ERROR_NO_MEMORY : MSKP_ERROR_BAD_TEXT, "%s",
                   f.text);
}

mskp_status mskp_onnx_products(const mskp_onnx *onnx, mskp_mask locked, mskp_error *err)
{
    if (!onnx || (!locked.unit && locked.n))
        return bad_argument("onnx and locked must not be NULL", err);
    const size_t units = mskp_graph_counts(onnx->graph).units;
    if (locked.n != units)
        return refused(err, MSKP_ERROR_OTHER_NETWORK,
                       "locked: %zu flags, but the graph has %zu units", locked.n, units);
    for (size_t i = 0; i < onnx->n.contracted_count; i++) {
        size_t count;
        const uint32_t *unit = mskp_value_units(onnx->graph, onnx->n.contracted[i], &count);
        for (size_t k = 0; unit && k < count; k++)
            if (unit[k] != MSKP_PINNED) locked.unit[unit[k]] = 1;
    }
    return MSKP_OK;
}

const char *mskp_onnx_reason(const mskp_onnx *onnx, size_t k)
{
    return onnx && k < onnx->reason_count ? onnx->reasons[k] : NULL;
}

mskp_status mskp_onnx_tensor(const mskp_onnx *onnx, const char *name, mskp_value *value,
                             uint32_t *axis, mskp_error *err)
{
    if (!onnx || !name || !value || !axis)
        return bad_argument("onnx, name, value and axis must not be NULL", err);
    const tensor *t = net_tensor(&onnx->n, name);
    if (!t || t->data)
        return refused(err, MSKP_ERROR_BAD_NAME, "%.150s: no tensor of the network", name);
    const bool flows = is_flow(t) && !t->pinned && t->axis != NO_AXIS;
    *value = flows ? t->value : (mskp_value){0};
    *axis = flows ? (uint32_t)t->axis : 0;
    return MSKP_OK;
}
