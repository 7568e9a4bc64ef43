/*
 * The smaller graph: the same description over the channels that stay.
 *
 * The smaller graph is not described again. Its arrays are copies of the old ones, in which the
 * channels, and everything that counts channels, are renumbered:
 *
 *   number[c]   the new number of channel c: how many channels below c stay
 *   before[i]   how many of the first i listed channels stay; with it, a view of the arena becomes
 *               the view of what stays of it, and a position in a list its new position
 *
 * Whole classes of tied channels are removed at once. So every tree of the union-find forest stays
 * or goes as a whole, and a tree that stays keeps its edges and events. Both numberings keep the
 * old order, so unit u becomes the number of kept units below u. Zero tables, places, first
 * channels and numbers of groups in the recorded steps follow, so a second round of pruning
 * works on the smaller graph as on any other. Its units are then made as those of any graph.
 *
 * Operators that vanish (mask/vanish.c) keep their steps, but their values have no channels, their
 * parameters axes of length 0, and their multiply-accumulates count 0. An operand that becomes its
 * shift is described as the parameter that it now is.
 */
#include <stdbool.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/step.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "surgery/smaller.h"
#include "units/units.h"

void *mskpi_copy_of(const mskp_services *services, const void *from, size_t n, size_t size)
{
    void *to = mskpi_alloc(services, n, size);
    if (to && n) memcpy(to, from, n * size);
    return to;
}

static bool stays(const mskp_graph *g, const uint8_t *keep, uint32_t c)
{
    const uint32_t unit = g->u->of_channel[c];
    return unit == MSKP_PINNED || keep[unit];
}

/* Returns how many zero tables the values have if none of them are shared. In the old graph values
 * may share theirs; in the smaller one each has its own. */
static size_t count_zeros(const mskp_graph *g)
{
    size_t n = 0;
    for (size_t v = 1; v <= g->nvalues; v++)
        if (g->values[v].zeros) n = mskpi_sum(n, g->values[v].view.n);
    return n;
}

static void copy_zeros(const mskp_graph *g, const uint8_t *keep, uint32_t v, mskp_graph *to)
{
    const list_view view = g->values[v].view;
    if (!g->values[v].zeros) return;
    MSKPI_ASSERT(to->values[v].view.n > 0); /* a value that stays has channels */
    to->values[v].zeros = to->nzeros + 1;
    for (size_t i = 0; i < view.n; i++)
        if (stays(g, keep, g->listed[view.first + i]))
            to->zeros[to->nzeros++] = mskpi_zero(g, v, i);
}

/* Returns how many of the groups into which a view is divided keep a channel. */
static size_t groups_left(const mskp_graph *g, const uint8_t *keep, list_view view, size_t groups)
{
    const size_t each = view.n / groups;
    size_t left = 0;
    MSKPI_ASSERT(view.n % groups == 0);
    for (size_t i = 0; i < groups; i++) {
        size_t c = 0;
        while (c < each && !stays(g, keep, g->listed[view.first + i * each + c])) c++;
        left += c < each;
    }
    return left;
}

/* Copies the places of the channels that stay, by their new positions in the input. Each channel
 * has `block` of them. */
static void copy_places(const mskp_graph *g, const uint8_t *keep, const size_t *before, uint32_t v,
                        size_t block, mskp_graph *to)
{
    const graph_step *s = &g->steps[v];
    const list_view view = g->values[v].view;
    const list_view in = g->values[g->step_inputs[s->first_input]].view;
    to->steps[v].first = to->nplaces;
    for (size_t i = 0; i < view.n; i++) {
        if (!stays(g, keep, g->listed[view.first + i])) continue;
        for (size_t k = 0; k < block; k++) {
            const uint32_t place = g->places[s->first + i * block + k];
            MSKPI_ASSERT(place == NO_PLACE ||
                         (place < in.n && stays(g, keep, g->listed[in.first + place])));
            MSKPI_ASSERT(to->nplaces < g->nplaces);
            to->places[to->nplaces++] =
                place == NO_PLACE ? NO_PLACE
                                  : (uint32_t)(before[in.first + place] - before[in.first]);
        }
    }
}

/* Renumbers the channels and groups in the copy of a step. */
static void copy_step(const mskp_graph *g, const uint8_t *keep, const size_t *before, uint32_t v,
                      mskp_graph *to)
{
    const graph_step *s = &g->steps[v];
    graph_step *copy = &to->steps[v];
    if (!s->ninputs) return;
    const list_view in = g->values[g->step_inputs[s->first_input]].view;
    if (s->kind == STEP_PLACES || s->kind == STEP_ATTEND) copy_places(g, keep, before, v, 1, to);
    if (s->kind == STEP_BLOCKS) copy_places(g, keep, before, v, s->groups, to);
    if (s->kind == STEP_PART) copy->first = before[in.first + s->first] - before[in.first];
    if (s->kind == STEP_LINEAR && s->first) {
        const list_view rows = g->axes[g->params[s->params[0]].axis].view;
        copy->first = before[rows.first + s->first] - before[rows.first];
    }
    if (s->whole) copy->groups = groups_left(g, keep, in, s->groups);
}

/* Copies the forest and the lists of the channels that stay. number[], before[] <- the
 * numberings. */
static void copy_channels(const mskp_graph *g, const uint8_t *keep, uint32_t *number,
                          size_t *before, mskp_graph *to)
{
    for (uint32_t c = 0; c < g->nchannels; c++)
        if (stays(g, keep, c)) number[c] = (uint32_t)to->nchannels++;
    for (uint32_t c = 0; c < g->nchannels; c++) {
        if (!stays(g, keep, c)) continue;
        graph_channel *copy = &to->channels[number[c]];
        MSKPI_ASSERT(stays(g, keep, g->channels[c].parent)); /* a class stays as a whole */
        *copy = g->channels[c];
        copy->parent = number[copy->parent];
    }
    for (size_t i = 0; i < g->nlisted; i++) {
        const uint32_t c = g->listed[i];
        before[i] = to->nlisted;
        if (stays(g, keep, c)) to->listed[to->nlisted++] = number[c];
    }
    before[g->nlisted] = to->nlisted;
}

static list_view smaller_view(const size_t *before, list_view view)
{
    const size_t end = view.first + view.n;
    return (list_view){before[view.first], before[end] - before[view.first]};
}

/* Describes an operand that becomes its shift as a parameter operand (describe/ends.c). */
static void copy_shift(const mskp_graph *g, uint32_t v, mskp_graph *to)
{
    graph_value *copy = &to->values[v];
    copy->op = "param";
    copy->nspatial = 0;
    memset(copy->spatial, 0, sizeof copy->spatial);
    copy->zero = ZERO_SHIFT;
    copy->zeros = 0;
    to->steps[v] = (graph_step){.kind = STEP_PARAM, .params = {g->steps[v].params[1]}};
}

static void copy_values(const mskp_graph *g, const uint8_t *keep, const vanishing *gone,
                        const size_t *before, mskp_graph *to)
{
    for (uint32_t v = 1; v <= to->nvalues; v++) {
        list_view *view = &to->values[v].view;
        *view = smaller_view(before, g->values[v].view);
        if (mskpi_fate(gone, v) == MSKP_FATE_VANISHES) view->n = 0;
        MSKPI_ASSERT(view->n || mskpi_fate(gone, v) == MSKP_FATE_VANISHES);
    }
    for (uint32_t v = 1; v <= to->nvalues; v++) {
        const mskp_fate fate = mskpi_fate(gone, v);
        if (fate == MSKP_FATE_SHIFT) {
            copy_shift(g, v, to);
        } else if (fate == MSKP_FATE_STAYS) {
            copy_zeros(g, keep, v, to);
            copy_step(g, keep, before, v, to);
        }
    }
    for (size_t m = 0; m < to->nmacs; m++)
        if (mskpi_fate(gone, to->macs[m].value) != MSKP_FATE_STAYS) to->macs[m].per_element = 0;
}

static void copy_axes(const vanishing *gone, const size_t *before, mskp_graph *to)
{
    for (uint32_t p = 1; p <= to->nparams; p++)
        for (uint32_t d = 0; d < to->params[p].ndim; d++) {
            graph_axis *a = &to->axes[to->params[p].axis + d];
            if (!a->length) continue; /* The parameter vanished in an earlier round. */
            if (mskpi_param_vanishes(gone, p))
                *a = (graph_axis){.roles = a->roles, .list = NO_LIST};
            else if (mskpi_is_bound(a))
                a->view = smaller_view(before, a->view), a->length = a->view.n;
            MSKPI_ASSERT(a->length || mskpi_param_vanishes(gone, p));
        }
}

static mskp_status no_memory(mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while making the smaller graph",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY));
}

/* Copies what does not depend on channels, or is corrected later. */
static mskp_status copy_arrays(const mskp_graph *g, mskp_graph *to, mskp_error *err)
{
    const mskp_services *services = &g->services;
    to->nparams = g->nparams;
    to->naxes = g->naxes;
    to->nvalues = g->nvalues;
    to->nevents = g->nevents;
    to->nmacs = g->nmacs;
    to->nstep_inputs = g->nstep_inputs;
    to->nreaders = g->nreaders;
    to->text_used = g->text_used;
    to->params = mskpi_copy_of(services, g->params, g->nparams + 1, sizeof *g->params);
    to->axes = mskpi_copy_of(services, g->axes, g->naxes, sizeof *g->axes);
    to->values = mskpi_copy_of(services, g->values, g->nvalues + 1, sizeof *g->values);
    to->events = mskpi_copy_of(services, g->events, g->nevents, sizeof *g->events);
    to->macs = mskpi_copy_of(services, g->macs, g->nmacs, sizeof *g->macs);
    to->steps = mskpi_copy_of(services, g->steps, g->nvalues + 1, sizeof *g->steps);
    to->step_inputs =
        mskpi_copy_of(services, g->step_inputs, g->nstep_inputs, sizeof *g->step_inputs);
    to->places = mskpi_alloc(services, g->nplaces, sizeof *to->places);
    to->readers = mskpi_copy_of(services, g->readers, g->nreaders, sizeof *g->readers);
    to->text = mskpi_copy_of(services, g->text, g->text_used, 1);
    const bool failed = !to->params || !to->axes || !to->values || !to->events || !to->macs ||
                        !to->steps || !to->step_inputs || !to->places || !to->readers || !to->text;
    if (failed || !mskpi_copy_names(services, &to->param_names, &g->param_names) ||
        !mskpi_copy_names(services, &to->value_names, &g->value_names))
        return no_memory(err);
    return MSKP_OK;
}

static mskp_status renumber(const mskp_graph *g, const uint8_t *keep, const vanishing *gone,
                            mskp_graph *to, mskp_error *err)
{
    const mskp_services *services = &g->services;
    uint32_t *number = mskpi_alloc(services, g->nchannels, sizeof *number);
    size_t *before = mskpi_alloc(services, g->nlisted + 1, sizeof *before);
    to->channels = mskpi_alloc(services, g->nchannels, sizeof *to->channels);
    to->listed = mskpi_alloc(services, g->nlisted, sizeof *to->listed);
    to->zeros = mskpi_alloc(services, count_zeros(g), sizeof *to->zeros);
    const bool failed = !number || !before || !to->channels || !to->listed || !to->zeros;
    if (!failed) {
        copy_channels(g, keep, number, before, to);
        copy_values(g, keep, gone, before, to);
        copy_axes(gone, before, to);
    }
    mskpi_free(services, number);
    mskpi_free(services, before);
    return failed ? no_memory(err) : MSKP_OK;
}

mskp_status mskpi_smaller_graph(const mskp_graph *g, const uint8_t *keep, const vanishing *v,
                                mskp_graph **small, mskp_error *err)
{
    mskp_graph *to = mskpi_alloc(&g->services, 1, sizeof *to);
    if (!to) return no_memory(err);
    to->services = g->services;
    mskp_status status = copy_arrays(g, to, err);
    if (!status) status = renumber(g, keep, v, to, err);
    if (!status) status = mskpi_units_make(to, err);
    if (status) {
        mskp_graph_destroy(to);
        return status;
    }
    to->finished = 1;
    *small = to;
    return MSKP_OK;
}
