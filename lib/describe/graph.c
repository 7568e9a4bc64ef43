/*
 * Describe: parameters, values, and the primitives from which operators are made.
 *
 * A value is an ordered list of channels. Coupling is tying: two channels can only leave together.
 */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

/* Ids and channels are 32 bits wide; the last number stands for "none". */
#define MOST (UINT32_MAX - 1)

/* ---- life ---- */

mskp_graph *mskp_graph_create(const mskp_host *host)
{
    mskp_host services;
    mskp_graph *graph;
    mskpi_host_init(&services, host);
    graph = mskpi_alloc(&services, 1, sizeof *graph);
    if (!graph) return NULL;
    graph->host = services;
    graph->params = mskpi_grow(&services, NULL, &graph->params_capacity, 0, 1, sizeof(graph_param));
    graph->values = mskpi_grow(&services, NULL, &graph->values_capacity, 0, 1, sizeof(graph_value));
    graph->steps = mskpi_grow(&services, NULL, &graph->steps_capacity, 0, 1, sizeof(graph_step));
    if (!graph->params || !graph->values || !graph->steps) {
        mskp_graph_destroy(graph);
        return NULL;
    }
    (void)mskpi_check_host(host, &graph->error);
    return graph;
}

void mskp_graph_destroy(mskp_graph *graph)
{
    if (!graph) return;
    const mskp_host host = graph->host;
    mskpi_units_free(&host, &graph->u);
    mskpi_free(&host, graph->params);
    mskpi_free(&host, graph->axes);
    mskpi_free(&host, graph->values);
    mskpi_free(&host, graph->listed);
    mskpi_free(&host, graph->channels);
    mskpi_free(&host, graph->events);
    mskpi_free(&host, graph->zeros);
    mskpi_free(&host, graph->macs);
    mskpi_free(&host, graph->steps);
    mskpi_free(&host, graph->step_inputs);
    mskpi_free(&host, graph->places);
    mskpi_free(&host, graph->readers);
    mskpi_free(&host, graph->text);
    mskpi_free(&host, graph->param_names.slot);
    mskpi_free(&host, graph->value_names.slot);
    mskpi_free(&host, graph);
}

mskp_status mskpi_graph_fail(mskp_graph *graph, mskp_status status, const char *format, ...)
{
    va_list arguments;
    if (graph->error.status) return graph->error.status;
    graph->error.status = status;
    va_start(arguments, format);
    vsnprintf(graph->error.text, sizeof graph->error.text, format, arguments);
    va_end(arguments);
    return status;
}

mskp_status mskpi_no_memory(mskp_graph *graph)
{
    return mskpi_graph_fail(graph, MSKP_NO_MEMORY, "%s while describing the network",
                            mskp_status_text(MSKP_NO_MEMORY));
}

int mskpi_describing(const mskp_graph *graph, mskp_status *status)
{
    *status = !graph ? MSKP_BAD_ARGUMENT : graph->finished ? MSKP_BAD_STATE : graph->error.status;
    return *status == MSKP_OK;
}

uint32_t mskp_value_shape(const mskp_graph *graph, mskp_value handle, size_t *channels,
                          size_t spatial[MSKP_MAX_SPATIAL])
{
    if (channels) *channels = 0;
    if (!graph || !handle.id || handle.id > graph->nvalues) return 0;
    const graph_value *v = &graph->values[handle.id];
    if (channels) *channels = v->view.n;
    if (spatial) memcpy(spatial, v->spatial, sizeof v->spatial);
    return v->nspatial;
}

mskp_status mskp_graph_finish(mskp_graph *graph, mskp_error *err)
{
    char room[NAME_ROOM];
    mskp_status status = MSKPI_GIVEN(err, graph);
    if (status) return status;
    if (graph->finished) return mskpi_fail(err, MSKP_BAD_STATE, "the graph is finished already");
    if (graph->error.status) {
        if (err) *err = graph->error;
        return graph->error.status;
    }
    for (uint32_t p = 1; p <= graph->nparams; p++)
        if (!graph->params[p].owner)
            return mskpi_fail(err, MSKP_BAD_SHAPE,
                              "%s: the parameter is bound to no channels: no operator uses it",
                              mskpi_short(mskpi_param_name(graph, p), room));
    status = mskpi_units_make(graph, err);
    if (status) return status;
    graph->finished = 1;
    return MSKP_OK;
}

/* ---- names ---- */

const char *mskpi_param_name(const mskp_graph *graph, uint32_t id)
{
    return graph->text + graph->params[id].name;
}

const char *mskpi_value_name(const mskp_graph *graph, uint32_t id)
{
    return graph->text + graph->values[id].name;
}

const char *mskpi_who(const char *name, const char *op)
{
    return name && *name ? name : op;
}

/* FNV-1a, mixed once more because the tables use the low bits. */
size_t mskpi_hash(const void *bytes, size_t n)
{
    const unsigned char *b = bytes;
    uint64_t h = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < n; i++) h = (h ^ b[i]) * UINT64_C(1099511628211);
    return (size_t)(h ^ (h >> 29));
}

static const char *name_of(const mskp_graph *graph, const name_table *table, uint32_t id)
{
    return table == &graph->param_names ? mskpi_param_name(graph, id) : mskpi_value_name(graph, id);
}

static uint32_t name_hash(const char *name)
{
    return (uint32_t)mskpi_hash(name, strlen(name));
}

/* Where a name is, or could be put. The hash is kept beside the id, so that other names are hardly
 * ever looked at. */
static name_slot *name_slot_of(const mskp_graph *graph, const name_table *table, const char *name,
                               uint32_t hash)
{
    for (size_t i = hash;; i++) {
        name_slot *s = &table->slot[i & (table->capacity - 1)];
        if (!s->id || (s->hash == hash && !strcmp(name_of(graph, table, s->id), name))) return s;
    }
}

uint32_t mskpi_name_find(const mskp_graph *graph, const name_table *table, const char *name)
{
    return table->capacity ? name_slot_of(graph, table, name, name_hash(name))->id : 0;
}

/* Room for one more name at a load of at most a half. 1: no memory. */
static int name_room(mskp_graph *graph, name_table *table)
{
    name_table wide = {.used = table->used};
    if (2 * (table->used + 1) <= table->capacity) return 0;
    wide.capacity = table->capacity ? 2 * table->capacity : 64;
    wide.slot = mskpi_alloc(&graph->host, wide.capacity, sizeof *wide.slot);
    if (!wide.slot) return 1;
    for (size_t i = 0; i < table->capacity; i++) {
        size_t to = table->slot[i].hash;
        if (!table->slot[i].id) continue;
        while (wide.slot[to & (wide.capacity - 1)].id) to++;
        wide.slot[to & (wide.capacity - 1)] = table->slot[i];
    }
    mskpi_free(&graph->host, table->slot);
    *table = wide;
    return 0;
}

/* Is it a word, without blanks? 1 after a sentence. */
static int check_word(mskp_graph *graph, const char *what, const char *word)
{
    char room[NAME_ROOM];
    if (!word || !*word) {
        mskpi_graph_fail(graph, MSKP_BAD_NAME, "a %s needs a name", what);
        return 1;
    }
    for (size_t i = 0; word[i]; i++) {
        const unsigned char c = (unsigned char)word[i];
        if (c > ' ' && c != 127) continue;
        mskpi_graph_fail(graph, MSKP_BAD_NAME,
                         "%s: the name of a %s contains a blank or control character (code %u) at "
                         "position %zu",
                         mskpi_short(word, room), what, (unsigned)c, i);
        return 1;
    }
    return 0;
}

/* Copies a word to the graph's text. 1 after a sentence: no memory. */
static int text_add(mskp_graph *graph, const char *word, size_t *offset)
{
    const size_t length = strlen(word);
    char *text = mskpi_grow(&graph->host, graph->text, &graph->text_capacity, graph->text_used,
                            length + 1, 1);
    if (!text) {
        mskpi_no_memory(graph);
        return 1;
    }
    graph->text = text;
    *offset = graph->text_used;
    memmove(text + *offset, word, length + 1); /* a part's name is there already */
    graph->text_used += length + 1;
    return 0;
}

/* Copies a name, which is that of `id`; the table has room. 1 after a sentence: not acceptable, or
 * no memory. */
static int name_add(mskp_graph *graph, name_table *table, const char *what, const char *name,
                    uint32_t id, size_t *offset)
{
    char room[NAME_ROOM];
    if (check_word(graph, what, name)) return 1;
    const uint32_t hash = name_hash(name);
    name_slot *slot = name_slot_of(graph, table, name, hash);
    if (slot->id) {
        mskpi_graph_fail(graph, MSKP_BAD_NAME, "%s: two %ss have this name",
                         mskpi_short(name, room), what);
        return 1;
    }
    if (text_add(graph, name, offset)) return 1;
    *slot = (name_slot){id, hash};
    table->used++;
    return 0;
}

/* It is put where text_add will put it, and there is room for it then. */
const char *mskpi_part_name(mskp_graph *graph, const char *name, const char *part)
{
    if (!name || !*name) return name; /* derived, or refused as it is */
    const size_t room = strlen(name) + 1 + strlen(part) + 1;
    char *text =
        mskpi_grow(&graph->host, graph->text, &graph->text_capacity, graph->text_used, room, 1);
    if (!text) {
        mskpi_no_memory(graph);
        return NULL;
    }
    graph->text = text;
    snprintf(text + graph->text_used, room, "%s.%s", name, part);
    return text + graph->text_used;
}

int mskpi_own_op(mskp_graph *graph, const char *who, const char *op, size_t *offset)
{
    char room[NAME_ROOM];
    if (check_word(graph, "kind of operator", op)) return 1;
    if (strlen(op) > MSKP_MAX_OP) {
        mskpi_graph_fail(graph, MSKP_BAD_NAME,
                         "%s: the name of a kind of operator has %zu bytes, at most %d are kept",
                         mskpi_short(who, room), strlen(op), MSKP_MAX_OP);
        return 1;
    }
    return text_add(graph, op, offset);
}

int mskpi_names_copy(const mskp_host *host, name_table *to, const name_table *from)
{
    *to = *from;
    to->slot = mskpi_alloc(host, from->capacity, sizeof *to->slot);
    if (!to->slot) return 1;
    if (from->capacity) memcpy(to->slot, from->slot, from->capacity * sizeof *to->slot);
    return 0;
}

/* ---- parameters ---- */

mskp_param mskp_parameter(mskp_graph *graph, const char *name, uint32_t ndim, const size_t *shape)
{
    const mskp_param none = {0};
    mskp_status status;
    char room[NAME_ROOM];
    size_t elements = 1;
    graph_param new_param = {0};
    if (!mskpi_describing(graph, &status)) return none;
    const char *who = mskpi_short(mskpi_who(name, "parameter"), room);
    if (!shape) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: shape is NULL", who);
        return none;
    }
    if (ndim < 1 || ndim > MSKP_MAX_DIMS) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: %u axes, a parameter has 1 to %d", who, ndim,
                         MSKP_MAX_DIMS);
        return none;
    }
    for (uint32_t d = 0; d < ndim; d++) {
        if (!shape[d] || shape[d] >= MOST || mskpi_times(elements, shape[d], &elements) ||
            elements > PTRDIFF_MAX / 16) {
            mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: axis %u has length %zu, which is %s", who,
                             d, shape[d], shape[d] ? "too long" : "empty");
            return none;
        }
    }
    if (graph->naxes >= MOST - MSKP_MAX_DIMS) { /* and as many parameters at most */
        mskpi_graph_fail(graph, MSKP_UNSUPPORTED, "%s: more than %zu parameters", who,
                         graph->nparams);
        return none;
    }
    graph_param *params = mskpi_grow(&graph->host, graph->params, &graph->params_capacity,
                                     graph->nparams + 1, 1, sizeof *params);
    if (params) graph->params = params;
    graph_axis *axes = mskpi_grow(&graph->host, graph->axes, &graph->axes_capacity, graph->naxes,
                                  ndim, sizeof *axes);
    if (axes) graph->axes = axes;
    if (!params || !axes || name_room(graph, &graph->param_names)) {
        mskpi_no_memory(graph);
        return none;
    }
    if (name_add(graph, &graph->param_names, "parameter", name, (uint32_t)graph->nparams + 1,
                 &new_param.name))
        return none;
    new_param.ndim = ndim;
    new_param.axis = (uint32_t)graph->naxes;
    for (uint32_t d = 0; d < ndim; d++)
        axes[graph->naxes + d] = (graph_axis){.length = shape[d], .list = NO_LIST};
    graph->naxes += ndim;
    params[++graph->nparams] = new_param;
    return (mskp_param){(uint32_t)graph->nparams};
}

const graph_param *mskpi_param(mskp_graph *graph, const char *who, const char *what,
                               mskp_param handle)
{
    char room[NAME_ROOM];
    if (handle.id && handle.id <= graph->nparams) return &graph->params[handle.id];
    if (!handle.id)
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: %s is needed, and is none (handle 0)",
                         mskpi_short(who, room), what);
    else
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: no parameter has handle %u, there are %zu",
                         mskpi_short(who, room), handle.id, graph->nparams);
    return NULL;
}

/* ---- values ---- */

const graph_value *mskpi_value(mskp_graph *graph, const char *who, mskp_value handle)
{
    char room[NAME_ROOM];
    if (handle.id && handle.id <= graph->nvalues) return &graph->values[handle.id];
    mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: no value has handle %u, there are %zu",
                     mskpi_short(who, room), handle.id, graph->nvalues);
    return NULL;
}

size_t mskpi_positions(const graph_value *v)
{
    size_t positions = 1;
    for (uint32_t d = 0; d < v->nspatial; d++) positions *= v->spatial[d];
    return positions;
}

/* The derived name ends in the value's number, which no other derived name does. */
static const char *derive_name(const char *op, uint32_t id, char room[48])
{
    snprintf(room, 48, "%s#%u", op, id);
    return room;
}

mskp_value mskpi_new_value(mskp_graph *graph, const char *name, const char *op, list_view view,
                           uint32_t nspatial, const size_t *spatial)
{
    const mskp_value none = {0};
    char derived[48], room[NAME_ROOM];
    size_t positions = 1;
    graph_value new_value = {.op = op, .view = view, .nspatial = nspatial, .list = NO_LIST};
    const uint32_t id = (uint32_t)graph->nvalues + 1;
    if (graph->error.status) return none; /* no memory for a part's name */
    if (!name) name = derive_name(op, id, derived);
    const char *who = mskpi_short(mskpi_who(name, op), room);
    if (nspatial > MSKP_MAX_SPATIAL) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: %u spatial axes, a value has 0 to %d", who,
                         nspatial, MSKP_MAX_SPATIAL);
        return none;
    }
    if (nspatial && !spatial) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: spatial is NULL", who);
        return none;
    }
    for (uint32_t d = 0; d < nspatial; d++) {
        new_value.spatial[d] = spatial[d];
        if (!spatial[d] || mskpi_times(positions, spatial[d], &positions)) {
            mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                             "%s: spatial axis %u has length %zu, which is %s", who, d, spatial[d],
                             spatial[d] ? "too long" : "empty");
            return none;
        }
    }
    if (graph->nvalues >= MOST) {
        mskpi_graph_fail(graph, MSKP_UNSUPPORTED, "%s: more than %zu values", who, graph->nvalues);
        return none;
    }
    graph_value *values = mskpi_grow(&graph->host, graph->values, &graph->values_capacity,
                                     graph->nvalues + 1, 1, sizeof *values);
    if (values) graph->values = values;
    graph_step *steps = mskpi_grow(&graph->host, graph->steps, &graph->steps_capacity,
                                   graph->nvalues + 1, 1, sizeof *steps);
    if (steps) graph->steps = steps;
    if (!values || !steps || name_room(graph, &graph->value_names)) {
        mskpi_no_memory(graph);
        return none;
    }
    if (name_add(graph, &graph->value_names, "value", name, id, &new_value.name)) return none;
    values[++graph->nvalues] = new_value;
    return (mskp_value){id};
}

/* ---- What computes a value ---- */

graph_step *mskpi_step(mskp_graph *graph, mskp_value value, step_kind kind, size_t n,
                       const mskp_value *inputs)
{
    uint32_t *to = mskpi_grow(&graph->host, graph->step_inputs, &graph->step_inputs_capacity,
                              graph->nstep_inputs, n, sizeof *to);
    if (!to) {
        mskpi_no_memory(graph);
        return NULL;
    }
    graph->step_inputs = to;
    graph_step *s = &graph->steps[value.id];
    s->kind = kind;
    s->ninputs = (uint32_t)n;
    s->first_input = graph->nstep_inputs;
    for (size_t i = 0; i < n; i++) to[graph->nstep_inputs++] = inputs[i].id;
    return s;
}

uint32_t *mskpi_places(mskp_graph *graph, size_t n, size_t *first)
{
    uint32_t *places = mskpi_grow(&graph->host, graph->places, &graph->places_capacity,
                                  graph->nplaces, n, sizeof *places);
    if (!places) {
        mskpi_no_memory(graph);
        return NULL;
    }
    graph->places = places;
    *first = graph->nplaces;
    graph->nplaces += n;
    return places + *first;
}

int mskpi_new_list(mskp_graph *graph, const char *who, size_t n, list_view *view)
{
    char room[NAME_ROOM];
    if (!n || n >= MOST) {
        mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "%s: %zu channels, a value has 1 to %zu",
                         mskpi_short(who, room), n, (size_t)MOST - 1);
        return 1;
    }
    uint32_t *listed = mskpi_grow(&graph->host, graph->listed, &graph->listed_capacity,
                                  graph->nlisted, n, sizeof *listed);
    if (!listed) {
        mskpi_no_memory(graph);
        return 1;
    }
    graph->listed = listed;
    view->first = graph->nlisted;
    view->n = n;
    graph->nlisted += n;
    return 0;
}

int mskpi_new_channels(mskp_graph *graph, const char *who, size_t n, list_view *view)
{
    char room[NAME_ROOM];
    if (n >= MOST - graph->nchannels) {
        mskpi_graph_fail(graph, MSKP_UNSUPPORTED,
                         "%s: %zu more channels; the graph has %zu of at most %zu",
                         mskpi_short(who, room), n, graph->nchannels, (size_t)MOST - 1);
        return 1;
    }
    graph_channel *channels = mskpi_grow(&graph->host, graph->channels, &graph->channels_capacity,
                                         graph->nchannels, n, sizeof *channels);
    if (!channels) {
        mskpi_no_memory(graph);
        return 1;
    }
    graph->channels = channels;
    if (mskpi_new_list(graph, who, n, view)) return 1;
    for (size_t i = 0; i < n; i++) {
        const uint32_t id = (uint32_t)graph->nchannels++;
        channels[id] = (graph_channel){.parent = id, .size = 1, .exact = ZERO_ALWAYS};
        graph->listed[view->first + i] = id;
    }
    return 0;
}

/* ---- tying, pinning, binding ---- */

uint32_t mskpi_find_root(const mskp_graph *graph, uint32_t c)
{
    while (graph->channels[c].parent != c) c = graph->channels[c].parent;
    return c;
}

/* Something that a value's operator does to channels, in the order of time. 1: no memory. */
static int new_event(mskp_graph *graph, uint32_t by, uint32_t *event)
{
    if (graph->nevents >= MOST) return 1;
    uint32_t *events = mskpi_grow(&graph->host, graph->events, &graph->events_capacity,
                                  graph->nevents, 1, sizeof *events);
    if (!events) return 1;
    graph->events = events;
    *event = (uint32_t)graph->nevents++;
    events[*event] = by;
    return 0;
}

/* Joins the trees of two listed channels. */
static void join(mskp_graph *graph, size_t a, size_t b, uint32_t event)
{
    graph_channel *channels = graph->channels;
    uint32_t root = mskpi_find_root(graph, graph->listed[a]);
    uint32_t child = mskpi_find_root(graph, graph->listed[b]);
    if (root == child) return;
    if (channels[root].size < channels[child].size ||
        (channels[root].size == channels[child].size && child < root)) {
        const uint32_t swap = root;
        root = child;
        child = swap;
    }
    channels[root].size += channels[child].size;
    channels[child].parent = root;
    channels[child].joined_at = event;
}

mskp_status mskpi_tie_lists(mskp_graph *graph, list_view a, list_view b, uint32_t by)
{
    uint32_t event;
    if (a.first == b.first) return MSKP_OK;
    if (new_event(graph, by, &event)) return mskpi_no_memory(graph);
    for (size_t i = 0; i < a.n; i++) join(graph, a.first + i, b.first + i, event);
    return MSKP_OK;
}

mskp_status mskpi_tie_all(mskp_graph *graph, list_view view, uint32_t by)
{
    uint32_t event;
    if (view.n < 2) return MSKP_OK;
    if (new_event(graph, by, &event)) return mskpi_no_memory(graph);
    for (size_t i = 1; i < view.n; i++) join(graph, view.first, view.first + i, event);
    return MSKP_OK;
}

mskp_status mskpi_tie_parts(mskp_graph *graph, list_view view, size_t n, uint32_t by)
{
    const size_t part = view.n / n;
    uint32_t event;
    if (n < 2) return MSKP_OK;
    if (new_event(graph, by, &event)) return mskpi_no_memory(graph);
    for (size_t i = part; i < view.n; i++)
        join(graph, view.first + i % part, view.first + i, event);
    return MSKP_OK;
}

mskp_status mskp_tie(mskp_graph *graph, mskp_value a, mskp_value b)
{
    mskp_status status;
    char room_a[NAME_ROOM], room_b[NAME_ROOM];
    if (!mskpi_describing(graph, &status)) return status;
    const graph_value *first = mskpi_value(graph, "tie", a), *second = mskpi_value(graph, "tie", b);
    if (!first || !second) return graph->error.status;
    if (first->view.n != second->view.n)
        return mskpi_graph_fail(graph, MSKP_BAD_SHAPE, "tie: %s has %zu channels, %s has %zu",
                                mskpi_short(mskpi_value_name(graph, a.id), room_a), first->view.n,
                                mskpi_short(mskpi_value_name(graph, b.id), room_b), second->view.n);
    graph->steps[a.id].own |= OWN_READ;
    graph->steps[b.id].own |= OWN_READ;
    return mskpi_tie_lists(graph, first->view, second->view, a.id > b.id ? a.id : b.id);
}

mskp_status mskp_pin(mskp_graph *graph, mskp_value handle)
{
    const mskp_status status = mskpi_pin(graph, "pin", handle, handle.id);
    if (!status) graph->steps[handle.id].own |= OWN_READ;
    return status;
}

mskp_status mskpi_pin(mskp_graph *graph, const char *who, mskp_value handle, uint32_t by)
{
    mskp_status status;
    if (!mskpi_describing(graph, &status)) return status;
    const graph_value *v = mskpi_value(graph, who, handle);
    if (!v) return graph->error.status;
    uint32_t event;
    if (new_event(graph, by, &event)) return mskpi_no_memory(graph);
    for (size_t i = 0; i < v->view.n; i++) {
        uint32_t *pinned = &graph->channels[graph->listed[v->view.first + i]].pinned;
        if (!*pinned) *pinned = 1 + event;
    }
    return MSKP_OK;
}

mskp_status mskpi_bind(mskp_graph *graph, mskp_param handle, uint32_t d, uint32_t roles,
                       list_view view, uint32_t owner, uint32_t by)
{
    graph_param *p = &graph->params[handle.id];
    graph_axis *a = &graph->axes[p->axis + d];
    if (!p->owner) p->owner = owner;
    a->roles |= roles;
    if (a->view.n) return mskpi_tie_lists(graph, a->view, view, by);
    a->view = view;
    return MSKP_OK;
}

mskp_status mskpi_bind_value(mskp_graph *graph, mskp_param handle, uint32_t d, uint32_t roles,
                             mskp_value to)
{
    mskp_status status;
    char room_p[NAME_ROOM], room_v[NAME_ROOM];
    if (!mskpi_describing(graph, &status)) return status;
    const graph_param *p = mskpi_param(graph, "bind", "param", handle);
    const graph_value *v = mskpi_value(graph, "bind", to);
    if (!p || !v) return graph->error.status;
    const char *name = mskpi_short(mskpi_param_name(graph, handle.id), room_p);
    if (d >= p->ndim)
        return mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                                "%s: axis %u is bound, the parameter has %u axes", name, d,
                                p->ndim);
    if (roles & ~(uint32_t)(MSKP_ROLES_UNIT | MSKP_ROLE_MEAN | MSKP_ROLE_VARIANCE))
        return mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: roles 0x%x are no MSKP_ROLE_ bits",
                                name, roles);
    if (graph->axes[p->axis + d].length != v->view.n)
        return mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                                "%s: axis %u has length %zu, %s has %zu channels", name, d,
                                graph->axes[p->axis + d].length,
                                mskpi_short(mskpi_value_name(graph, to.id), room_v), v->view.n);
    if (roles & MSKP_ROLE_CONSUMER) mskpi_read(graph, to.id);
    return mskpi_bind(graph, handle, d, roles, v->view, to.id, to.id);
}

/* An operator of the host's own uses the parameter. It reads the value, or its result is called by
 * that name. */
static mskp_status own_use(mskp_graph *graph, own_reader use)
{
    own_reader *readers = mskpi_grow(&graph->host, graph->readers, &graph->readers_capacity,
                                     graph->nreaders, 1, sizeof *readers);
    if (!readers) return mskpi_no_memory(graph);
    graph->readers = readers;
    readers[graph->nreaders++] = use;
    graph->steps[use.value].own |= OWN_READ;
    return MSKP_OK;
}

/* And makes the value anything: when it is zero the library no longer knows. */
static void own_change(mskp_graph *graph, uint32_t value)
{
    graph->steps[value].own |= OWN_CHANGED;
    if (!(graph->steps[value].own & OWN_ZERO)) mskpi_zero_all(graph, value, ZERO_NEVER);
}

mskp_status mskp_bind(mskp_graph *graph, mskp_param handle, uint32_t d, uint32_t roles,
                      mskp_value to)
{
    mskp_status status = mskpi_bind_value(graph, handle, d, roles, to);
    if (!status) status = own_use(graph, (own_reader){handle.id, d, to.id, roles});
    if (status) return status;
    if (!roles || roles & ~(uint32_t)(MSKP_ROLE_CONSUMER | MSKP_ROLE_SCALE))
        own_change(graph, to.id);
    else if (roles != MSKP_ROLE_CONSUMER)
        graph->steps[to.id].own |= OWN_SCALED;
    return MSKP_OK;
}

mskp_status mskp_attach(mskp_graph *graph, mskp_param handle, mskp_value to)
{
    mskp_status status = mskpi_attach(graph, handle, to);
    if (!status) status = own_use(graph, (own_reader){.param = handle.id, .value = to.id});
    if (!status) own_change(graph, to.id);
    return status;
}

mskp_status mskpi_attach(mskp_graph *graph, mskp_param handle, mskp_value to)
{
    mskp_status status;
    if (!mskpi_describing(graph, &status)) return status;
    if (!mskpi_value(graph, "attach", to) || !mskpi_param(graph, "attach", "param", handle))
        return graph->error.status;
    graph_param *p = &graph->params[handle.id];
    if (!p->owner) p->owner = to.id;
    return MSKP_OK;
}

mskp_status mskp_macs(mskp_graph *graph, mskp_value of, mskp_param handle, uint64_t per_element)
{
    mskp_status status;
    if (!mskpi_describing(graph, &status)) return status;
    if (!mskpi_value(graph, "macs", of)) return graph->error.status;
    if (handle.id && !mskpi_param(graph, "macs", "param", handle)) return graph->error.status;
    mac_entry *macs =
        mskpi_grow(&graph->host, graph->macs, &graph->macs_capacity, graph->nmacs, 1, sizeof *macs);
    if (!macs) return mskpi_no_memory(graph);
    graph->macs = macs;
    macs[graph->nmacs++] = (mac_entry){of.id, handle.id, per_element};
    return MSKP_OK;
}

/* ---- values from lists ---- */

mskp_value mskp_fresh(mskp_graph *graph, const char *name, size_t channels, uint32_t nspatial,
                      const size_t *spatial)
{
    mskp_status status;
    list_view view;
    if (!mskpi_describing(graph, &status) ||
        mskpi_new_channels(graph, mskpi_who(name, "fresh"), channels, &view))
        return (mskp_value){0};
    return mskpi_new_value(graph, name, "fresh", view, nspatial, spatial);
}

mskp_value mskp_pick(mskp_graph *graph, const char *name, mskp_value from, size_t n,
                     const size_t *positions)
{
    const mskp_value none = {0};
    mskp_status status;
    list_view view;
    char room[NAME_ROOM];
    const char *who = mskpi_who(name, "pick");
    if (!mskpi_describing(graph, &status)) return none;
    const graph_value *v = mskpi_value(graph, who, from);
    if (!v) return none;
    if (!positions) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: positions is NULL", mskpi_short(who, room));
        return none;
    }
    for (size_t i = 0; i < n; i++)
        if (positions[i] >= v->view.n) {
            mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT,
                             "%s: position %zu is channel %zu, its input has %zu",
                             mskpi_short(who, room), i, positions[i], v->view.n);
            return none;
        }
    if (mskpi_new_list(graph, who, n, &view)) return none;
    for (size_t i = 0; i < n; i++)
        graph->listed[view.first + i] = graph->listed[v->view.first + positions[i]];
    const graph_value from_value = *v;
    const mskp_value out =
        mskpi_new_value(graph, name, "pick", view, from_value.nspatial, from_value.spatial);
    zero_table *zero = out.id ? mskpi_zero_each(graph, out.id) : NULL;
    if (!zero) return none;
    for (size_t i = 0; i < n; i++) zero[i] = mskpi_zero(graph, from.id, positions[i]);
    mskpi_zero_filled(graph, out.id);
    graph_step *step = mskpi_step(graph, out, STEP_PLACES, 1, &from);
    uint32_t *place = step ? mskpi_places(graph, n, &step->first) : NULL;
    if (!place) return none;
    for (size_t i = 0; i < n; i++) place[i] = (uint32_t)positions[i];
    return out;
}

mskp_value mskp_concat(mskp_graph *graph, const char *name, size_t n, const mskp_value *parts)
{
    const mskp_value none = {0};
    mskp_status status;
    list_view view;
    size_t total = 0, at;
    char room[NAME_ROOM], room_v[NAME_ROOM];
    const char *who = mskpi_who(name, "concat");
    if (!mskpi_describing(graph, &status)) return none;
    if (!n || !parts) {
        mskpi_graph_fail(graph, MSKP_BAD_ARGUMENT, "%s: concatenation of %zu values",
                         mskpi_short(who, room), parts ? n : 0);
        return none;
    }
    for (size_t i = 0; i < n; i++) {
        const graph_value *v = mskpi_value(graph, who, parts[i]);
        if (!v) return none;
        const graph_value *first = &graph->values[parts[0].id];
        if (v->nspatial != first->nspatial) {
            mskpi_graph_fail(
                graph, MSKP_BAD_SHAPE, "%s: %s has %u spatial axes, the first value %u",
                mskpi_short(who, room), mskpi_short(mskpi_value_name(graph, parts[i].id), room_v),
                v->nspatial, first->nspatial);
            return none;
        }
        for (uint32_t d = 0; d < v->nspatial; d++) {
            if (v->spatial[d] == first->spatial[d]) continue;
            mskpi_graph_fail(graph, MSKP_BAD_SHAPE,
                             "%s: %s has length %zu on spatial axis %u, the first value %zu",
                             mskpi_short(who, room),
                             mskpi_short(mskpi_value_name(graph, parts[i].id), room_v),
                             v->spatial[d], d, first->spatial[d]);
            return none;
        }
        total += v->view.n;
        if (total >= MOST) break; /* refused below; and no overflow */
    }
    if (mskpi_new_list(graph, who, total, &view)) return none;
    at = view.first;
    for (size_t i = 0; i < n; i++) {
        const list_view part = graph->values[parts[i].id].view;
        memcpy(graph->listed + at, graph->listed + part.first, part.n * sizeof *graph->listed);
        at += part.n;
    }
    const graph_value first = graph->values[parts[0].id];
    const mskp_value out =
        mskpi_new_value(graph, name, "concat", view, first.nspatial, first.spatial);
    zero_table *zero = out.id ? mskpi_zero_each(graph, out.id) : NULL;
    if (!zero) return none;
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < graph->values[parts[k].id].view.n; i++)
            *zero++ = mskpi_zero(graph, parts[k].id, i);
    mskpi_zero_filled(graph, out.id);
    return mskpi_step(graph, out, STEP_CONCAT, n, parts) ? out : none;
}
