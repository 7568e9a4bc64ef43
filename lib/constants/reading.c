/*
 * Numbers of parameters, as a walk over the network reads them.
 *
 * Only those tensors are read that the walk asks for, and their views are made at the first use.
 * What is read is not always what is stored. Slices of units that leave count as zero in the zeroed
 * roles. Of a unit that will carry the constants of others, filters and scales count as zero and
 * biases and shifts as one, because this is what will be written there. A number that is not finite
 * stops the walk with an error.
 */
#include <math.h>

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

/* What stands in a slice: of these roles, of this unit. */
stand mskpi_stands(const walker *w, uint32_t roles, uint32_t unit)
{
    if (!mskpi_is_removed(w->keep, unit)) return AS_IT_IS;
    if (w->carrier && w->carrier[unit]) {
        if (roles & (MSKP_ROLE_FILTER | MSKP_ROLE_SCALE | MSKP_ROLE_CONSUMER)) return ZERO;
        if (roles & MSKP_ROLE_SHIFT) return ONE;
    }
    return roles & w->zeroed ? ZERO : AS_IT_IS;
}

/* NULL: it cannot be read, and the walk has failed. */
const tensor_view *mskpi_walk_view(walker *w, uint32_t param)
{
    if (!w->viewed[param]) {
        if (w->status) return NULL;
        w->status =
            mskpi_number_view(w->graph, param, "values", w->values, &w->views[param], w->err);
        if (w->status) return NULL;
        w->viewed[param] = 1;
    }
    return &w->views[param];
}

double mskpi_walk_element(walker *w, uint32_t param, const char *at)
{
    const tensor_view *v = &w->views[param];
    const double x = mskpi_load(at, v->dtype);
    if (isfinite(x)) return x;
    if (!w->status) w->status = mskpi_refuse_number(w->graph, param, v, at, w->err);
    return 0;
}

/* NULL: bound to no channels. */
const uint32_t *mskpi_axis_units(const mskp_graph *g, uint32_t param, uint32_t d, uint32_t *roles)
{
    const graph_axis *a = &g->axes[g->params[param].axis + d];
    *roles = a->roles;
    return a->list == NO_LIST ? NULL : g->u->list_units + g->u->lists[a->list].first;
}

/* Element i of a vector; `none` where there is no such parameter. */
double mskpi_walk_vector(walker *w, uint32_t param, size_t i, double none)
{
    uint32_t roles;
    if (!param) return none;
    const uint32_t *units = mskpi_axis_units(w->graph, param, 0, &roles);
    const stand s = units ? mskpi_stands(w, roles, units[i]) : AS_IT_IS;
    if (s != AS_IT_IS) return s == ONE;
    const tensor_view *v = mskpi_walk_view(w, param);
    if (!v) return 0;
    return mskpi_walk_element(w, param, v->data + v->stride[0] * (ptrdiff_t)(i * v->element));
}

/* Is an element below `at`, from axis d on, not zero? Index `index` of axis `fixed`. With `staying`,
 * only where the other axes' channels stay. */
static int any_element(walker *w, uint32_t param, uint32_t d, uint32_t fixed, int staying,
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
        if (units && mskpi_is_removed(w->keep, units[i]) && (staying || roles & w->zeroed)) continue;
        if (any_element(w, param, d + 1, fixed, staying, at)) return 1;
    }
    return 0;
}

int mskpi_slice_heard(walker *w, uint32_t param, uint32_t axis, size_t index, int staying)
{
    uint32_t roles;
    const uint32_t *units = mskpi_axis_units(w->graph, param, axis, &roles);
    if (units && mskpi_stands(w, roles, units[index]) == ZERO) return 0;
    const tensor_view *v = mskpi_walk_view(w, param);
    if (!v) return 0;
    return any_element(w, param, 0, axis, staying,
                       v->data + v->stride[axis] * (ptrdiff_t)(index * v->element));
}

int mskpi_walk_heard(walker *w, uint32_t param, uint32_t axis, size_t index)
{
    return mskpi_slice_heard(w, param, axis, index, 1);
}

/* ---- Weights ---- */

/* Bytes from the first tap of an output and an input to another. */
static ptrdiff_t tap_offset(const tensor_view *v, size_t tap)
{
    ptrdiff_t offset = 0;
    for (uint32_t d = v->ndim; d-- > 2; tap /= v->shape[d])
        offset += v->stride[d] * (ptrdiff_t)(tap % v->shape[d] * v->element);
    return offset;
}

/* The indices on the first two axes. */
static void rows_of(const weight_form *f, size_t o, size_t i, size_t index[2])
{
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
    rows_of(f, o, i, index);
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
    x->view = mskpi_walk_view(w, x->param);
    if (!x->view) return w->status;
    for (uint32_t d = 0; d < 2; d++) x->units[d] = mskpi_axis_units(g, x->param, d, &x->roles[d]);
    for (uint32_t d = 2; d < p->ndim; d++) x->form.taps *= x->view->shape[d];
    x->offset = mskpi_alloc(&g->services, x->form.taps, sizeof *x->offset);
    if (!x->offset)
        return w->status =
                   mskpi_fail(w->err, MSKP_ERROR_NO_MEMORY, "%s while looking for constants",
                              mskp_status_text(MSKP_ERROR_NO_MEMORY));
    for (size_t t = 0; t < x->form.taps; t++) x->offset[t] = tap_offset(x->view, t);
    return MSKP_OK;
}

void mskpi_walk_weight_free(const walker *w, walk_weight *x)
{
    mskpi_free(&w->graph->services, x->offset);
}

/* Where the taps of output o and input i are, or NULL where they are zero. */
static const char *taps_at(const walker *w, const walk_weight *x, size_t o, size_t i)
{
    size_t index[2];
    rows_of(&x->form, o, i, index);
    for (uint32_t d = 0; d < 2; d++)
        if (x->units[d] && mskpi_stands(w, x->roles[d], x->units[d][index[d]]) == ZERO) return NULL;
    return first_tap(x->view, index);
}

int mskpi_walk_taps(walker *w, const walk_weight *x, size_t o, size_t i, double *taps)
{
    const char *at = taps_at(w, x, o, i);
    int any = 0;
    for (size_t t = 0; at && t < x->form.taps; t++) {
        taps[t] = mskpi_walk_element(w, x->param, at + x->offset[t]);
        any |= taps[t] < 0 || taps[t] > 0;
    }
    return any;
}
