/*
 * The numbers of parameters, as a walk over the network reads them.
 *
 * A walk reads not the stored numbers but those that will be there once the constants are applied
 * (mskpi_content_of). Slices of removed units in the zeroed roles (mskp_constants_desc.zeroed)
 * count as 0. The filters, scales and consumer weights of a carrier count as 0, and its biases and
 * shifts as 1.
 *
 * A parameter is viewed when its first number is read, so a parameter that no constant depends
 * on needs no data. A number that is not finite is an error of the walk.
 */
#include <math.h>

#include "base/assert.h"
#include "base/element.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "constants/reading.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "mskp.h"
#include "units/set.h"
#include "units/units.h"

/* ---- Parameters ---- */

mskp_status mskpi_walk_no_memory(walker *w)
{
    if (!w->status)
        w->status = mskpi_fail(w->err, MSKP_ERROR_NO_MEMORY, "%s while looking for constants",
                               mskp_status_text(MSKP_ERROR_NO_MEMORY));
    return w->status;
}

content mskpi_content_of(const walker *w, uint32_t roles, uint32_t unit)
{
    if (!mskpi_is_removed(w->keep, unit)) return STORED;
    if (w->carrier && w->carrier[unit]) {
        if (roles & (MSKP_ROLE_FILTER | MSKP_ROLE_SCALE | MSKP_ROLE_CONSUMER)) return ZERO;
        if (roles & MSKP_ROLE_SHIFT) return ONE;
    }
    return roles & w->zeroed ? ZERO : STORED;
}

mskp_status mskpi_walk_view(walker *w, uint32_t param, const tensor_view **view)
{
    MSKPI_ASSERT(param >= 1 && param <= w->graph->nparams);
    if (!w->viewed[param]) {
        if (w->status) return w->status;
        w->status =
            mskpi_number_view(w->graph, param, "values", w->values, &w->views[param], w->err);
        if (w->status) return w->status;
        w->viewed[param] = 1;
    }
    *view = &w->views[param];
    return MSKP_OK;
}

double mskpi_walk_element(walker *w, uint32_t param, const char *at)
{
    const tensor_view *v = &w->views[param];
    MSKPI_ASSERT(w->viewed[param] && at >= v->low && at < v->low + v->extent);
    const double x = mskpi_load(at, v->dtype);
    if (isfinite(x)) return x;
    if (!w->status) w->status = mskpi_refuse_number(w->graph, param, "values", v, at, w->err);
    return 0;
}

const uint32_t *mskpi_axis_units(const mskp_graph *g, uint32_t param, uint32_t d, uint32_t *roles)
{
    const graph_axis *a = &g->axes[g->params[param].axis + d];
    MSKPI_ASSERT(d < g->params[param].ndim);
    *roles = a->roles;
    return a->list == NO_LIST ? NULL : g->u->list_units + g->u->lists[a->list].first;
}

double mskpi_walk_vector(walker *w, uint32_t param, size_t i, double none)
{
    uint32_t roles;
    const tensor_view *v;
    if (!param) return none;
    MSKPI_ASSERT(w->graph->params[param].ndim == 1);
    MSKPI_ASSERT(i < w->graph->axes[w->graph->params[param].axis].length);
    const uint32_t *units = mskpi_axis_units(w->graph, param, 0, &roles);
    const content s = units ? mskpi_content_of(w, roles, units[i]) : STORED;
    if (s != STORED) return s == ONE;
    if (mskpi_walk_view(w, param, &v)) return 0;
    return mskpi_walk_element(w, param, v->data + v->stride[0] * (ptrdiff_t)(i * v->element));
}

/* The same below `at`, whose indices on the axes before d, and on the axis of the slice, `fixed`,
 * are chosen. */
static bool has_nonzero_below(walker *w, uint32_t param, uint32_t d, uint32_t fixed, bool kept_only,
                              const char *at)
{
    const tensor_view *v = &w->views[param];
    uint32_t roles;
    while (d == fixed) d++;
    if (d >= v->ndim) {
        const double x = mskpi_walk_element(w, param, at);
        return x < 0 || x > 0;
    }
    const uint32_t *units = mskpi_axis_units(w->graph, param, d, &roles);
    const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
    for (size_t i = 0; i < v->shape[d]; i++, at += step) {
        if (units && mskpi_is_removed(w->keep, units[i]) && (kept_only || roles & w->zeroed))
            continue;
        if (has_nonzero_below(w, param, d + 1, fixed, kept_only, at)) return true;
    }
    return false;
}

bool mskpi_has_nonzero(walker *w, uint32_t param, uint32_t axis, size_t index, bool kept_only)
{
    uint32_t roles;
    const tensor_view *v;
    const uint32_t *units = mskpi_axis_units(w->graph, param, axis, &roles);
    MSKPI_ASSERT(units); /* only a slice of a bound axis is asked for */
    if (mskpi_content_of(w, roles, units[index]) == ZERO) return false;
    if (mskpi_walk_view(w, param, &v)) return false;
    MSKPI_ASSERT(axis < v->ndim && index < v->shape[axis]);
    return has_nonzero_below(w, param, 0, axis, kept_only,
                             v->data + v->stride[axis] * (ptrdiff_t)(index * v->element));
}

/* ---- Weights ---- */

/* Returns the bytes from the first tap of an output and an input to another tap. */
static ptrdiff_t tap_offset(const tensor_view *v, size_t tap)
{
    ptrdiff_t offset = 0;
    for (uint32_t d = v->ndim; d-- > 2; tap /= v->shape[d])
        offset += v->stride[d] * (ptrdiff_t)(tap % v->shape[d] * v->element);
    return offset;
}

/* index[] <- the indices of output o and input i on the first two axes. */
static void find_indices(const weight_form *f, size_t o, size_t i, size_t index[2])
{
    MSKPI_ASSERT(o < f->out && i < f->in);
    MSKPI_ASSERT(o / (f->out / f->groups) == i / (f->in / f->groups)); /* they are of one group */
    index[f->transposed] = f->transposed ? o % (f->out / f->groups) : o + f->first_row;
    index[!f->transposed] = f->transposed ? i : i % (f->in / f->groups);
}

static char *first_tap(const tensor_view *v, const size_t index[2])
{
    char *at = v->data;
    for (uint32_t d = 0; d < 2; d++) at += v->stride[d] * (ptrdiff_t)(index[d] * v->element);
    return at;
}

char *mskpi_weight_at(const tensor_view *v, const weight_form *f, size_t o, size_t i, size_t tap)
{
    size_t index[2];
    find_indices(f, o, i, index);
    MSKPI_ASSERT(tap < f->taps);
    return first_tap(v, index) + tap_offset(v, tap);
}

mskp_status mskpi_walk_weight(walker *w, uint32_t value, walk_weight *x)
{
    const mskp_graph *g = w->graph;
    const graph_step *s = &g->steps[value];
    const graph_param *p = &g->params[s->params[0]];
    *x = (walk_weight){.param = s->params[0],
                       .bias = s->params[1],
                       .form = {.transposed = s->kind == STEP_TRANSPOSED,
                                .out = g->values[value].view.n,
                                .in = g->values[g->step_inputs[s->first_input]].view.n,
                                .groups = s->kind == STEP_LINEAR ? 1 : s->groups,
                                .taps = 1,
                                .first_row = s->first}};
    if (mskpi_walk_view(w, x->param, &x->view)) return w->status;
    for (uint32_t d = 0; d < 2; d++) x->units[d] = mskpi_axis_units(g, x->param, d, &x->roles[d]);
    for (uint32_t d = 2; d < p->ndim; d++) x->form.taps *= x->view->shape[d];
    x->offset = mskpi_alloc(&g->services, x->form.taps, sizeof *x->offset);
    if (!x->offset) return mskpi_walk_no_memory(w);
    MSKPI_ASSERT(x->view->shape[x->form.transposed] * (x->form.transposed ? x->form.groups : 1) >=
                 x->form.first_row + x->form.out);
    MSKPI_ASSERT(x->view->shape[!x->form.transposed] * (x->form.transposed ? 1 : x->form.groups) ==
                 x->form.in);
    for (size_t t = 0; t < x->form.taps; t++) x->offset[t] = tap_offset(x->view, t);
    return MSKP_OK;
}

void mskpi_walk_weight_free(const walker *w, walk_weight *x)
{
    mskpi_free(&w->graph->services, x->offset);
}

/* Returns where the taps of output o and input i are, or NULL if they count as zero. */
static const char *taps_at(const walker *w, const walk_weight *x, size_t o, size_t i)
{
    size_t index[2];
    find_indices(&x->form, o, i, index);
    for (uint32_t d = 0; d < 2; d++)
        if (x->units[d] && mskpi_content_of(w, x->roles[d], x->units[d][index[d]]) == ZERO)
            return NULL;
    return first_tap(x->view, index);
}

bool mskpi_load_taps(walker *w, const walk_weight *x, size_t o, size_t i, double *taps)
{
    const char *at = taps_at(w, x, o, i);
    bool any = false;
    for (size_t t = 0; at && t < x->form.taps; t++) {
        taps[t] = mskpi_walk_element(w, x->param, at + x->offset[t]);
        any = any || taps[t] < 0 || taps[t] > 0;
    }
    return any;
}
