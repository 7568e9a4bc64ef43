/*
 * Surgery, worked out: for each list the ascending indices that stay; from them the smaller graph,
 * and the views that tensors become.
 */
#include <string.h>

#include "internal.h"

/* ---- the smaller graph: the same description over fewer channels ---- */

/* NULL: no memory. */
static void *copy_of(const mskp_host *host, const void *from, size_t n, size_t size)
{
    void *to = mskpi_alloc(host, n, size);
    if (to && n) memcpy(to, from, n * size);
    return to;
}

static int stays(const mskp_graph *g, const uint8_t *keep, uint32_t c)
{
    const uint32_t unit = g->u.of_channel[c];
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
    uint32_t *number = mskpi_alloc(&g->host, g->nchannels, sizeof *number);
    to->channels = mskpi_alloc(&g->host, g->nchannels, sizeof *to->channels);
    to->listed = mskpi_alloc(&g->host, g->nlisted, sizeof *to->listed);
    /* before[i]: listed entries that stay below i */
    size_t *before = mskpi_alloc(&g->host, g->nlisted + 1, sizeof *before);
    to->zeros = mskpi_alloc(&g->host, zeros_in_all(g), sizeof *to->zeros);
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
    mskpi_free(&g->host, number);
    mskpi_free(&g->host, before);
    return failed;
}

static mskp_graph *smaller(const mskp_graph *g, const uint8_t *keep, mskp_error *err)
{
    const mskp_host *host = &g->host;
    mskp_graph *to = mskpi_alloc(host, 1, sizeof *to);
    if (!to) goto no_memory;
    to->host = *host;
    to->nparams = g->nparams;
    to->naxes = g->naxes;
    to->nvalues = g->nvalues;
    to->nevents = g->nevents;
    to->nmacs = g->nmacs;
    to->nstep_inputs = g->nstep_inputs;
    to->nreaders = g->nreaders;
    to->text_used = g->text_used;
    to->params = copy_of(host, g->params, g->nparams + 1, sizeof *g->params);
    to->axes = copy_of(host, g->axes, g->naxes, sizeof *g->axes);
    to->values = copy_of(host, g->values, g->nvalues + 1, sizeof *g->values);
    to->events = copy_of(host, g->events, g->nevents, sizeof *g->events);
    to->macs = copy_of(host, g->macs, g->nmacs, sizeof *g->macs);
    to->steps = copy_of(host, g->steps, g->nvalues + 1, sizeof *g->steps);
    to->step_inputs = copy_of(host, g->step_inputs, g->nstep_inputs, sizeof *g->step_inputs);
    to->places = mskpi_alloc(host, g->nplaces, sizeof *to->places);
    to->readers = copy_of(host, g->readers, g->nreaders, sizeof *g->readers);
    to->text = copy_of(host, g->text, g->text_used, 1);
    if (!to->steps || !to->step_inputs || !to->places || !to->readers) goto no_memory;
    if (!to->params || !to->axes || !to->values || !to->events || !to->macs || !to->text ||
        mskpi_names_copy(host, &to->param_names, &g->param_names) ||
        mskpi_names_copy(host, &to->value_names, &g->value_names) || copy_channels(g, keep, to))
        goto no_memory;
    if (!mskpi_units_make(to, err)) {
        to->finished = 1;
        return to;
    }
    mskp_graph_destroy(to);
    return NULL;
no_memory:
    mskp_graph_destroy(to);
    mskpi_fail(err, MSKP_NO_MEMORY, "%s while making the smaller graph",
               mskp_status_text(MSKP_NO_MEMORY));
    return NULL;
}

/* ---- the plan ---- */

/* Every list keeps a channel. An axis has the list of a value, or that of the first of a value's groups,
 * which are tied: so that a list without channels is a value's. */
static mskp_status check_lists(const mskp_graph *g, const size_t *length, mskp_error *err)
{
    char room[NAME_ROOM];
    for (size_t l = 0; l < g->u.nlists; l++) {
        const unit_list *list = &g->u.lists[l];
        if (length[l]) continue;
        return mskpi_fail(err, MSKP_NO_SOLUTION, "%s: the mask keeps 0 of %zu channels",
                          mskpi_short(mskpi_value_name(g, list->value), room), list->n);
    }
    return MSKP_OK;
}

static int fill_lists(const mskp_graph *g, const uint8_t *keep, const size_t *length,
                      mskp_plan *plan)
{
    const unit_table *u = &g->u;
    size_t stored = 0;
    plan->lists = mskpi_alloc(&plan->host, u->nlists, sizeof *plan->lists);
    if (!plan->lists) return 1;
    for (size_t l = 0; l < u->nlists; l++) {
        plan->lists[l] = (kept_list){stored, length[l], u->lists[l].n};
        if (length[l] < u->lists[l].n) stored += length[l];
    }
    plan->kept = mskpi_alloc(&plan->host, stored, sizeof *plan->kept);
    if (!plan->kept) return 1;
    for (size_t l = 0; l < u->nlists; l++) {
        const uint32_t *unit = u->list_units + u->lists[l].first;
        size_t at = plan->lists[l].first;
        if (length[l] == u->lists[l].n) continue;
        for (uint32_t i = 0; i < u->lists[l].n; i++)
            if (unit[i] == MSKP_PINNED || keep[unit[i]]) plan->kept[at++] = i;
    }
    return 0;
}

mskp_status mskp_plan_create(const mskp_graph *graph, size_t units, const uint8_t *keep,
                             mskp_plan **out, mskp_graph **small, mskp_error *err)
{
    mskp_status status = mskpi_check_units(graph, "keep", units, err);
    mskp_plan *plan;
    mskp_graph *made = NULL;
    size_t *length;
    if (status) return status;
    if (!keep || !out)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "%s is NULL", keep ? "plan" : "keep");
    const mskp_host *host = &graph->host;
    plan = mskpi_alloc(host, 1, sizeof *plan);
    length = mskpi_alloc(host, graph->u.nlists, sizeof *length);
    if (!plan || !length) goto no_memory;
    mskpi_list_lengths(graph, keep, length);
    if ((status = check_lists(graph, length, err)) != MSKP_OK) goto out;
    plan->host = *host;
    plan->nparams = graph->nparams;
    plan->nvalues = graph->nvalues;
    plan->params = copy_of(host, graph->params, graph->nparams + 1, sizeof *graph->params);
    plan->axes = copy_of(host, graph->axes, graph->naxes, sizeof *graph->axes);
    plan->values = copy_of(host, graph->values, graph->nvalues + 1, sizeof *graph->values);
    plan->text = copy_of(host, graph->text, graph->text_used, 1);
    if (!plan->params || !plan->axes || !plan->values || !plan->text ||
        fill_lists(graph, keep, length, plan))
        goto no_memory;
    if (small && !(made = smaller(graph, keep, err))) {
        status = MSKP_NO_MEMORY;
        goto out;
    }
    mskpi_free(host, length);
    *out = plan;
    if (small) *small = made;
    return MSKP_OK;
no_memory:
    status = mskpi_fail(err, MSKP_NO_MEMORY, "%s while planning", mskp_status_text(MSKP_NO_MEMORY));
out:
    mskpi_free(host, length);
    if (plan) plan->host = *host;
    mskp_plan_destroy(plan);
    return status;
}

void mskp_plan_destroy(mskp_plan *plan)
{
    if (!plan) return;
    const mskp_host host = plan->host;
    mskpi_free(&host, plan->params);
    mskpi_free(&host, plan->axes);
    mskpi_free(&host, plan->values);
    mskpi_free(&host, plan->lists);
    mskpi_free(&host, plan->kept);
    mskpi_free(&host, plan->text);
    mskpi_free(&host, plan);
}

/* ---- what stays ---- */

static const uint32_t *kept_of(const mskp_plan *plan, uint32_t list, size_t *count)
{
    const kept_list *k = &plan->lists[list];
    *count = k->n;
    return k->n == k->full ? NULL : plan->kept + k->first;
}

size_t mskpi_plan_axis(const mskp_plan *plan, uint32_t param, uint32_t d, const uint32_t **kept)
{
    const graph_axis *a = &plan->axes[plan->params[param].axis + d];
    size_t count = a->length;
    *kept = a->list == NO_LIST ? NULL : kept_of(plan, a->list, &count);
    return count;
}

const uint32_t *mskp_plan_param(const mskp_plan *plan, mskp_param param, uint32_t d, size_t *count)
{
    const uint32_t *kept;
    size_t unused;
    if (!count) count = &unused;
    *count = 0;
    if (!plan || !param.id || param.id > plan->nparams || d >= plan->params[param.id].ndim)
        return NULL;
    *count = mskpi_plan_axis(plan, param.id, d, &kept);
    return kept;
}

const uint32_t *mskp_plan_value(const mskp_plan *plan, mskp_value value, size_t *count)
{
    size_t unused;
    if (!count) count = &unused;
    *count = 0;
    if (!plan || !value.id || value.id > plan->nvalues) return NULL;
    return kept_of(plan, plan->values[value.id].list, count);
}

size_t mskp_plan_count(const mskp_plan *plan, mskp_value value, size_t first, size_t count)
{
    size_t n, in = 0;
    const uint32_t *kept = mskp_plan_value(plan, value, &n);
    if (!kept) return first >= n ? 0 : count < n - first ? count : n - first;
    for (size_t i = 0; i < n; i++) in += kept[i] >= first && kept[i] - first < count;
    return in;
}

/* map[i] <- where index i goes. kept NULL: all stay. */
static void map_kept(const uint32_t *kept, size_t count, size_t n, uint32_t *map)
{
    for (size_t i = 0; i < n; i++) map[i] = kept ? MSKP_REMOVED : (uint32_t)i;
    for (size_t i = 0; kept && i < count; i++) map[kept[i]] = (uint32_t)i;
}

mskp_status mskp_plan_param_map(const mskp_plan *plan, mskp_param param, uint32_t d, size_t n,
                                uint32_t *map, mskp_error *err)
{
    const uint32_t *kept;
    char room[NAME_ROOM];
    const mskp_status status = MSKPI_GIVEN(err, plan, map);
    if (status) return status;
    if (!param.id || param.id > plan->nparams || d >= plan->params[param.id].ndim)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "the plan has no axis %u of parameter %u", d,
                          param.id);
    const graph_param *info = &plan->params[param.id];
    const size_t length = plan->axes[info->axis + d].length;
    if (n != length)
        return mskpi_fail(err, MSKP_BAD_SHAPE, "%s: axis %u has length %zu, the map %zu",
                          mskpi_short(plan->text + info->name, room), d, length, n);
    const size_t count = mskpi_plan_axis(plan, param.id, d, &kept);
    map_kept(kept, count, n, map);
    return MSKP_OK;
}

mskp_status mskp_plan_value_map(const mskp_plan *plan, mskp_value value, size_t n, uint32_t *map,
                                mskp_error *err)
{
    size_t count;
    char room[NAME_ROOM];
    const mskp_status status = MSKPI_GIVEN(err, plan, map);
    if (status) return status;
    if (!value.id || value.id > plan->nvalues)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "the plan has no value %u", value.id);
    const graph_value *info = &plan->values[value.id];
    if (n != info->view.n)
        return mskpi_fail(err, MSKP_BAD_SHAPE, "%s has %zu channels, the map %zu",
                          mskpi_short(plan->text + info->name, room), info->view.n, n);
    const uint32_t *kept = kept_of(plan, info->list, &count);
    map_kept(kept, count, n, map);
    return MSKP_OK;
}

/* ---- views after the cut ---- */

/*
 * What was dense stays dense in its own order of axes; what has gaps keeps its strides. So every
 * new address lies at or below the old one, in the same order: moving elements by ascending address
 * never overtakes one that is still to be read.
 */
void mskpi_cut_view(const tensor_view *full, const size_t *length, tensor_view *small)
{
    size_t packed = 1, span = 1;
    *small = *full;
    for (uint32_t d = 0; d < full->ndim; d++) {
        small->shape[d] = length[d];
        span *= full->shape[d];
    }
    if (full->extent == span * full->element)
        for (uint32_t k = full->ndim; k-- > 0;) { /* smallest stride first */
            const uint32_t d = full->order[k];
            small->stride[d] = full->stride[d] < 0 ? -(ptrdiff_t)packed : (ptrdiff_t)packed;
            packed *= length[d];
        }
    small->data = small->low;
    size_t reach = 0;
    for (uint32_t d = 0; d < full->ndim; d++) {
        const size_t step =
            small->stride[d] < 0 ? (size_t)-small->stride[d] : (size_t)small->stride[d];
        if (length[d] < 2) continue;
        reach += step * (length[d] - 1);
        if (small->stride[d] < 0 && small->low)
            small->data += step * (length[d] - 1) * full->element;
    }
    small->extent = (reach + 1) * full->element;
}

mskp_status mskpi_plan_view(const mskp_plan *plan, uint32_t p, const mskp_tensor *full,
                            tensor_view *small, mskp_error *err)
{
    const graph_param *info = &plan->params[p];
    size_t shape[MSKP_MAX_DIMS], length[MSKP_MAX_DIMS];
    const uint32_t *kept;
    tensor_view view;
    for (uint32_t d = 0; d < info->ndim; d++) {
        shape[d] = plan->axes[info->axis + d].length;
        length[d] = mskpi_plan_axis(plan, p, d, &kept);
    }
    const mskp_status status =
        mskpi_view(full, plan->text + info->name, info->ndim, shape, &view, err);
    if (!status) mskpi_cut_view(&view, length, small);
    return status;
}

mskp_status mskp_plan_views(const mskp_plan *plan, size_t params, const mskp_tensor *full,
                            mskp_tensor *small, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, plan, small);
    if (!status) status = mskpi_check_set(full, "full", params, plan->nparams, err);
    if (status) return status;
    for (int write = 0; write < 2; write++) /* check all, then write all */
        for (uint32_t p = 1; p <= params; p++) {
            tensor_view cut;
            if ((status = mskpi_plan_view(plan, p, &full[p], &cut, err)) != MSKP_OK) return status;
            if (!write) continue;
            mskp_tensor t = {.elements = full[p].elements};
            mskpi_describe_view(&cut, &t);
            small[p] = t;
        }
    return MSKP_OK;
}
