/*
 * The smaller graph: the same description over the channels that stay.
 *
 * Whole classes of tied channels leave, so that the trees of the forest that stay are complete,
 * with their edges and events. New numbers keep the old order, so that unit u of the old graph
 * becomes the number of kept units below u. Places and groups in the recorded steps are renumbered,
 * and a second round of pruning works on the smaller graph as on any other. The units are made anew
 * from it.
 */
#include <string.h>

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

void *mskpi_copy_of(const mskp_services *host, const void *from, size_t n, size_t size)
{
    void *to = mskpi_alloc(host, n, size);
    if (to && n) memcpy(to, from, n * size);
    return to;
}

static int stays(const mskp_graph *g, const uint8_t *keep, uint32_t c)
{
    const uint32_t unit = g->u->of_channel[c];
    return unit == MSKP_PINNED || keep[unit];
}

/* Values may share tables; each gets its own. */
static size_t zeros_in_all(const mskp_graph *g)
{
    size_t n = 0;
    for (size_t v = 1; v <= g->nvalues; v++)
        if (g->values[v].zeros) n += g->values[v].view.n;
    return n;
}

static void copy_zeros(const mskp_graph *g, const uint8_t *keep, uint32_t v, mskp_graph *to)
{
    const list_view view = g->values[v].view;
    if (!g->values[v].zeros) return;
    to->values[v].zeros = to->nzeros + 1;
    for (size_t i = 0; i < view.n; i++)
        if (stays(g, keep, g->listed[view.first + i]))
            to->zeros[to->nzeros++] = mskpi_zero(g, v, i);
}

/* How many groups still have a channel in `view`. */
static size_t groups_left(const mskp_graph *g, const uint8_t *keep, list_view view, size_t groups)
{
    const size_t each = view.n / groups;
    size_t left = 0;
    for (size_t i = 0; i < groups; i++) {
        size_t c = 0;
        while (c < each && !stays(g, keep, g->listed[view.first + i * each + c])) c++;
        left += c < each;
    }
    return left;
}

/* Places of the channels that stay, by their new numbers; each channel has `block` of them. */
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
            to->places[to->nplaces++] =
                place == NO_PLACE ? NO_PLACE
                                  : (uint32_t)(before[in.first + place] - before[in.first]);
        }
    }
}

/* before[i]: listed entries that stay below i. */
static void copy_step(const mskp_graph *g, const uint8_t *keep, const size_t *before, uint32_t v,
                      mskp_graph *to)
{
    const graph_step *s = &g->steps[v];
    graph_step *mine = &to->steps[v];
    if (!s->ninputs) return;
    const list_view in = g->values[g->step_inputs[s->first_input]].view;
    if (s->kind == STEP_PLACES || s->kind == STEP_ATTEND) copy_places(g, keep, before, v, 1, to);
    if (s->kind == STEP_BLOCKS) copy_places(g, keep, before, v, s->groups, to);
    if (s->kind == STEP_PART) mine->first = before[in.first + s->first] - before[in.first];
    if (s->kind == STEP_LINEAR && s->first) {
        const list_view rows = g->axes[g->params[s->params[0]].axis].view;
        mine->first = before[rows.first + s->first] - before[rows.first];
    }
    if (s->whole) mine->groups = groups_left(g, keep, in, s->groups);
}

/* Whole classes leave, so the trees of those that stay are complete. New numbers keep the order. */
static int copy_channels(const mskp_graph *g, const uint8_t *keep, mskp_graph *to)
{
    uint32_t *number = mskpi_alloc(&g->services, g->nchannels, sizeof *number);
    to->channels = mskpi_alloc(&g->services, g->nchannels, sizeof *to->channels);
    to->listed = mskpi_alloc(&g->services, g->nlisted, sizeof *to->listed);
    /* before[i]: listed entries that stay below i */
    size_t *before = mskpi_alloc(&g->services, g->nlisted + 1, sizeof *before);
    to->zeros = mskpi_alloc(&g->services, zeros_in_all(g), sizeof *to->zeros);
    const int failed = !number || !to->channels || !to->listed || !before || !to->zeros;
    if (!failed) {
        for (uint32_t c = 0; c < g->nchannels; c++)
            if (stays(g, keep, c)) number[c] = (uint32_t)to->nchannels++;
        for (uint32_t c = 0; c < g->nchannels; c++)
            if (stays(g, keep, c)) {
                graph_channel *mine = &to->channels[number[c]];
                *mine = g->channels[c];
                mine->parent = number[mine->parent];
            }
        for (size_t i = 0; i < g->nlisted; i++) {
            const uint32_t c = g->listed[i];
            before[i] = to->nlisted;
            if (stays(g, keep, c)) to->listed[to->nlisted++] = number[c];
        }
        before[g->nlisted] = to->nlisted;
        for (size_t v = 1; v <= to->nvalues; v++) {
            list_view *view = &to->values[v].view;
            const size_t end = view->first + view->n;
            *view = (list_view){before[view->first], before[end] - before[view->first]};
        }
        for (size_t v = 1; v <= to->nvalues; v++) {
            copy_zeros(g, keep, (uint32_t)v, to);
            copy_step(g, keep, before, (uint32_t)v, to);
        }
        for (size_t a = 0; a < to->naxes; a++) {
            list_view *view = &to->axes[a].view;
            const size_t end = view->first + view->n;
            if (!view->n) continue;
            *view = (list_view){before[view->first], before[end] - before[view->first]};
            to->axes[a].length = view->n;
        }
    }
    mskpi_free(&g->services, number);
    mskpi_free(&g->services, before);
    return failed;
}

mskp_graph *mskpi_smaller(const mskp_graph *g, const uint8_t *keep, mskp_error *err)
{
    const mskp_services *host = &g->services;
    mskp_graph *to = mskpi_alloc(host, 1, sizeof *to);
    if (!to) goto no_memory;
    to->services = *host;
    to->nparams = g->nparams;
    to->naxes = g->naxes;
    to->nvalues = g->nvalues;
    to->nevents = g->nevents;
    to->nmacs = g->nmacs;
    to->nstep_inputs = g->nstep_inputs;
    to->nreaders = g->nreaders;
    to->text_used = g->text_used;
    to->params = mskpi_copy_of(host, g->params, g->nparams + 1, sizeof *g->params);
    to->axes = mskpi_copy_of(host, g->axes, g->naxes, sizeof *g->axes);
    to->values = mskpi_copy_of(host, g->values, g->nvalues + 1, sizeof *g->values);
    to->events = mskpi_copy_of(host, g->events, g->nevents, sizeof *g->events);
    to->macs = mskpi_copy_of(host, g->macs, g->nmacs, sizeof *g->macs);
    to->steps = mskpi_copy_of(host, g->steps, g->nvalues + 1, sizeof *g->steps);
    to->step_inputs = mskpi_copy_of(host, g->step_inputs, g->nstep_inputs, sizeof *g->step_inputs);
    to->places = mskpi_alloc(host, g->nplaces, sizeof *to->places);
    to->readers = mskpi_copy_of(host, g->readers, g->nreaders, sizeof *g->readers);
    to->text = mskpi_copy_of(host, g->text, g->text_used, 1);
    if (!to->steps || !to->step_inputs || !to->places || !to->readers) goto no_memory;
    if (!to->params || !to->axes || !to->values || !to->events || !to->macs || !to->text ||
        !mskpi_copy_names(host, &to->param_names, &g->param_names) ||
        !mskpi_copy_names(host, &to->value_names, &g->value_names) || copy_channels(g, keep, to))
        goto no_memory;
    if (!mskpi_units_make(to, err)) {
        to->finished = 1;
        return to;
    }
    mskp_graph_destroy(to);
    return NULL;
no_memory:
    mskp_graph_destroy(to);
    mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while making the smaller graph",
               mskp_status_text(MSKP_ERROR_NO_MEMORY));
    return NULL;
}
