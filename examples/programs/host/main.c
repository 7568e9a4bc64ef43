/*
 * onnx-host - how a program that runs a network itself prunes it with the bridge to ONNX
 *
 *     onnx-host FILE.onnx [KEEP [TENSOR ...]]
 *
 * The file is a picture of the network, as an exporter wrote it. The program has the parameters in
 * its own memory, by the names of the initializers, and finds its tensors by these names. It scores
 * the units, selects them such that the part KEEP of the multiply-accumulates is left (0.5), drives
 * the others to zero by the penalty in steps of its own, and cuts its tensors. A training would be
 * between these steps; here there is none.
 *
 * Prints the shapes that change, how many channels the named tensors keep, and what stays and why.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp_onnx.h"

#include "files.h"
#include "mskp/constants.h"
#include "mskp/tools.h"

enum { STEPS = 200 };

typedef struct host {
    mskp_onnx *onnx;
    const mskp_graph *graph; /* of onnx */
    mskp_counts counts;
    float **data;        /* [parameters] the host's own elements */
    mskp_tensors values; /* views of them */
    mskp_scores scores;
    mskp_mask keep, locked;
    mskp_plan *plan;
    mskp_error err;
} host;

static bool refuse(host *h, mskp_status status, const char *text)
{
    h->err.status = status;
    snprintf(h->err.text, sizeof h->err.text, "%s", text);
    return false;
}

static bool open_file(host *h, const char *path)
{
    const mskp_onnx_options options = {.fixed = 1};
    char *bytes;
    size_t size;
    file_error why;
    if (!file_read(path, (size_t)INT32_MAX, &bytes, &size, &why))
        return refuse(h, MSKP_ERROR_NO_DATA, why.text);
    const mskp_status status = mskp_onnx_open(bytes, size, &options, &h->onnx, &h->err);
    free(bytes);
    if (status) return false;
    h->graph = mskp_onnx_graph(h->onnx);
    h->counts = mskp_graph_counts(h->graph);
    return true;
}

/* The host's own elements of a parameter: here, the numbers of the file, as floats. A trainer looks
 * its tensor up by `name` instead, and its axes by `axis`. */
static bool take_tensor(host *h, uint32_t id)
{
    mskp_tensor *view = &h->values.view[id - 1];
    const mskp_tensor file = *view;
    size_t shape[MSKP_MAX_DIMS], count = 1;
    mskp_onnx_param p;
    if (mskp_onnx_parameter(h->onnx, (mskp_param){id}, &p, &h->err)) return false;
    const uint32_t ndim = mskp_param_shape(h->graph, (mskp_param){id}, shape);
    for (uint32_t j = 0; j < ndim; j++) count *= shape[j];
    if (file.dtype != MSKP_DTYPE_F32 || !file.data)
        return refuse(h, MSKP_ERROR_UNSUPPORTED, "this program is for float32, with data");
    float *data = h->data[id - 1] = malloc((count + 1) * sizeof *data);
    if (!data) return refuse(h, MSKP_ERROR_NO_MEMORY, "no memory for a tensor");
    memcpy(data, file.data, count * sizeof *data); /* packed, so strides stay what they are */
    view->data = data;
    return true;
}

static bool take_tensors(host *h)
{
    const size_t units = h->counts.units, params = h->counts.params;
    h->data = calloc(params + 1, sizeof *h->data);
    h->values = (mskp_tensors){params, calloc(params + 1, sizeof *h->values.view)};
    h->scores = (mskp_scores){units, calloc(units + 1, sizeof *h->scores.unit)};
    h->keep = (mskp_mask){units, calloc(units + 1, 1)};
    h->locked = (mskp_mask){units, calloc(units + 1, 1)};
    if (!h->data || !h->values.view || !h->scores.unit || !h->keep.unit || !h->locked.unit)
        return refuse(h, MSKP_ERROR_NO_MEMORY, "no memory for the parameters");
    if (mskp_onnx_values(h->onnx, h->values, &h->err)) return false;
    for (uint32_t id = 1; id <= params; id++)
        if (!take_tensor(h, id)) return false;
    return true;
}

static bool choose(host *h, double part)
{
    const mskp_scoring scoring = {.roles = MSKP_ROLE_FILTER};
    mskp_cost cost;
    if (mskp_measure(h->graph, (mskp_mask){0, NULL}, &cost, NULL, &h->err)) return false;
    const mskp_rule rule = {.max_macs = part * cost.macs, .min_channels = 1, .locked = h->locked};
    return !mskp_onnx_products(h->onnx, h->locked, &h->err) &&
           !mskp_score(h->graph, &scoring, h->values, h->scores, &h->err) &&
           !mskp_select(h->graph, h->scores, &rule, h->keep, NULL, &h->err);
}

/* The largest sum of magnitudes that a removed unit has; 0: all are zero. */
static bool largest(host *h, double *most)
{
    const mskp_scoring scoring = {.reduce = MSKP_REDUCE_SUM, .roles = MSKP_ROLES_UNIT};
    *most = 0;
    if (mskp_score(h->graph, &scoring, h->values, h->scores, &h->err)) return false;
    for (size_t u = 0; u < h->keep.n; u++)
        if (!h->keep.unit[u] && h->scores.unit[u] > *most) *most = h->scores.unit[u];
    return true;
}

/* Each step takes the same amount off every removed weight, and stops at zero. */
static bool fade(host *h)
{
    const mskp_penalty penalty = {.roles = MSKP_ROLES_UNIT};
    double most;
    if (!largest(h, &most)) return false;
    for (size_t step = 0; step < STEPS; step++)
        if (mskp_penalty_prox(h->graph, h->keep, &penalty, 1.01 * most / STEPS, h->values, &h->err))
            return false;
    if (!largest(h, &most)) return false;
    return !(most > 0) || refuse(h, MSKP_ERROR_BAD_STATE, "the penalty has left something");
}

static bool cut(host *h)
{
    const mskp_move move = {.from = h->values};
    return !mskp_plan_create(h->graph, h->keep, &h->plan, NULL, &h->err) &&
           !mskp_plan_cut(h->plan, 1, &move, &h->err);
}

/* ---- What became of it ---- */

static void print_shapes(const host *h)
{
    for (uint32_t id = 1; id <= h->counts.params; id++) {
        const mskp_tensor *view = &h->values.view[id - 1];
        size_t was[MSKP_MAX_DIMS];
        mskp_onnx_param p;
        bool changed = false;
        mskp_param_shape(h->graph, (mskp_param){id}, was);
        if (mskp_onnx_parameter(h->onnx, (mskp_param){id}, &p, NULL)) continue;
        for (uint32_t j = 0; j < p.ndim; j++) changed |= view->shape[j] != was[j];
        for (uint32_t j = 0; changed && j < p.ndim; j++)
            if (view->shape[j] != was[j])
                file_print(stdout, "%.200s: axis %u: %zu -> %zu", p.name, (unsigned)p.axis[j],
                           was[j], view->shape[j]);
    }
}

static bool print_tensor(host *h, const char *name)
{
    mskp_value value;
    uint32_t axis;
    size_t all = 0, left = 0;
    if (mskp_onnx_tensor(h->onnx, name, &value, &axis, &h->err)) return false;
    if (!value.id) return file_print(stdout, "%.200s stays as it is", name), true;
    mskp_value_shape(h->graph, value, &all, NULL);
    if (!mskp_plan_value_kept(h->plan, value, &left)) left = all;
    file_print(stdout, "%.200s: axis %u: %zu -> %zu", name, (unsigned)axis, all, left);
    return true;
}

static bool print(host *h, size_t count, char **names)
{
    const char *reason;
    print_shapes(h);
    for (size_t i = 0; i < count; i++)
        if (!print_tensor(h, names[i])) return false;
    for (size_t k = 0; (reason = mskp_onnx_reason(h->onnx, k)) != NULL; k++)
        file_print(stdout, "%s", reason);
    return true;
}

int main(int argc, char **argv)
{
    host h = {.err = {.text = ""}};
    if (argc < 2) return puts("onnx-host FILE.onnx [KEEP [TENSOR ...]]"), 2;
    const size_t tensors = argc > 3 ? (size_t)argc - 3 : 0;
    const bool good = open_file(&h, argv[1]) && take_tensors(&h) &&
                      choose(&h, argc > 2 ? strtod(argv[2], NULL) : 0.5) && fade(&h) && cut(&h) &&
                      print(&h, tensors, argv + 3);
    if (!good) file_print(stderr, "onnx-host: %s", h.err.text);
    for (size_t k = 0; h.data && k < h.counts.params; k++) free(h.data[k]);
    free(h.data);
    free(h.values.view);
    free(h.scores.unit);
    free(h.keep.unit);
    free(h.locked.unit);
    mskp_plan_destroy(h.plan);
    mskp_onnx_close(h.onnx);
    return !good;
}
