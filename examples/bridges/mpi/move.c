/*
 * Ranges that move to other ranks.
 *
 * Each rank tells all others which range it has and which it is to have (table.c). From this each
 * works out what it sends and what it gets, for each rank that is to have a range, by the groups of
 * replicas in which this lies: from itself if it has it, otherwise from one rank of the group. What
 * goes from one rank to another is a block: some indices of the axis of the ranges that are there,
 * and some of the axis of those that are to be; if these are the same axis, what the two have in
 * common. Parameters travel together, as many as an exchange can hold; a larger one travels in
 * windows of the axis of its ranges. Everything that can fail comes before the first exchange.
 */
#include "shards.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* What a rank says of a parameter besides: the range that it is to have. */
enum { TO_FIRST = RANGE_ENTRY, TO_COUNT, TO_AXIS, MOVE_ENTRY };

/* What travels together: parameters first .. last - 1, and of the only one, if it is alone, this
 * window of the axis of its ranges. */
typedef struct load {
    uint32_t first, last;
    mskp_mpi_range window;
} load;

/* One set of tensors. */
typedef struct moving {
    mskp_mpi *mpi;
    const mskp_graph *graph;
    const mskp_mpi_range *from, *to;
    mskp_move sets;
    size_t params;
    uint64_t *mine; /* [params][MOVE_ENTRY] */
    range_table table;
    whole_view *has, *gets; /* [params] */
    exchange x;
    char *out, *in;
} moving;

/* A view of this range; *range <- none if the tensor has no data, or as mskpmpi_canonical says. */
static mskp_status view_range(const moving *m, uint32_t id, const mskp_tensor *tensor,
                              mskp_mpi_range *range, whole_view *view, mskp_error *error)
{
    size_t shape[MSKP_MAX_DIMS];
    const uint32_t ndim = mskp_param_shape(m->graph, (mskp_param){id}, shape);
    const mskp_status status = mskpmpi_check_range(m->graph, id, *range, error);
    if (status) return status;
    if (!tensor->data) range->count = 0;
    const mskp_mpi_range given = *range;
    *range = mskpmpi_canonical(given, shape);
    if (!given.count) return MSKP_OK;
    shape[given.axis] = given.count;
    return mskpmpi_view(tensor, mskp_param_name(m->graph, (mskp_param){id}), ndim, shape, view,
                        error);
}

static mskp_status check_set(const moving *m, const char *name, mskp_tensors set, mskp_error *error)
{
    if (set.n == m->params && (set.view || !set.n)) return MSKP_OK;
    return mskpmpi_fail(error, MSKP_ERROR_OTHER_NETWORK, "%s has %zu views, not %zu", name,
                        set.view ? set.n : 0, m->params);
}

/* What is known without communication. */
static mskp_status open_set(moving *m, mskp_error *error)
{
    mskp_mpi *mpi = m->mpi;
    mskp_status status = check_set(m, "from", m->sets.from, error);
    if (!status) status = check_set(m, "to", m->sets.to, error);
    if (status) return status;
    m->table = (range_table){.graph = m->graph, .width = MOVE_ENTRY};
    m->mine = mskpmpi_get(mpi, m->params * MOVE_ENTRY, sizeof *m->mine);
    m->has = mskpmpi_get(mpi, m->params, sizeof *m->has);
    m->gets = mskpmpi_get(mpi, m->params, sizeof *m->gets);
    if (!m->mine || !m->has || !m->gets) return mskpmpi_no_memory(error, "parameters", m->params);
    status = mskpmpi_table_open(mpi, &m->table, error);
    if (!status) status = mskpmpi_exchange_open(mpi, &m->x, error);
    for (uint32_t id = 1; !status && id <= m->params; id++) {
        uint64_t *e = m->mine + (id - 1) * MOVE_ENTRY;
        mskp_mpi_range from = m->from[id - 1], to = m->to[id - 1];
        whole_view *has = &m->has[id - 1], *gets = &m->gets[id - 1];
        status = view_range(m, id, &m->sets.from.view[id - 1], &from, has, error);
        if (!status) status = view_range(m, id, &m->sets.to.view[id - 1], &to, gets, error);
        if (!status && from.count && to.count && has->dtype != gets->dtype)
            return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "%.80s: dtype %u is to become %u",
                                mskp_param_name(m->graph, (mskp_param){id}), (unsigned)has->dtype,
                                (unsigned)gets->dtype);
        e[RANGE_FIRST] = from.first;
        e[RANGE_COUNT] = from.count;
        e[RANGE_FORMAT] = mskpmpi_format(from.axis, from.count ? has->dtype : gets->dtype, 0);
        e[TO_FIRST] = to.first;
        e[TO_COUNT] = to.count;
        e[TO_AXIS] = to.axis;
    }
    return status;
}

static void close_set(moving *m)
{
    mskpmpi_free(m->mpi, m->mine);
    mskpmpi_free(m->mpi, m->has);
    mskpmpi_free(m->mpi, m->gets);
    mskpmpi_free(m->mpi, m->out);
    mskpmpi_free(m->mpi, m->in);
    mskpmpi_table_close(m->mpi, &m->table);
    mskpmpi_exchange_close(m->mpi, &m->x);
}

/* ---- who sends what ---- */

/* The bytes of the parameter; 0: no rank has any of it. order <- of this parameter; *ranks <- how
 * many have a range of it, *axis <- of these. */
static uint64_t bytes_of(const moving *m, uint32_t id, size_t shape[MSKP_MAX_DIMS], size_t *ranks,
                         uint32_t *axis)
{
    const uint32_t ndim = mskp_param_shape(m->graph, (mskp_param){id}, shape);
    *ranks = mskpmpi_sort_ranks(&m->table, id);
    *axis = 0;
    if (!*ranks) return 0;
    const uint64_t *e = mskpmpi_entry(&m->table, m->table.order[0], id);
    uint64_t bytes = mskpmpi_element_size(mskpmpi_dtype_of(e, 0));
    *axis = mskpmpi_axis_of(e);
    for (uint32_t d = 0; d < ndim; d++) bytes *= shape[d];
    return bytes;
}

/* How many bytes all ranks are to have. */
static uint64_t bytes_wanted(const moving *m, uint32_t id, uint64_t bytes, const size_t *shape)
{
    uint64_t sum = 0;
    for (size_t rank = 0; rank < m->table.ranks; rank++) {
        const uint64_t *e = mskpmpi_entry(&m->table, rank, id);
        sum += bytes / shape[e[TO_AXIS]] * e[TO_COUNT];
    }
    return sum;
}

static bool is_wanted(const moving *m, uint32_t id)
{
    bool any = false;
    for (size_t rank = 0; rank < m->table.ranks; rank++)
        any |= mskpmpi_entry(&m->table, rank, id)[TO_COUNT] != 0;
    return any;
}

static mskp_status check_wanted(const moving *m, uint32_t id, mskp_error *error)
{
    size_t ranks, shape[MSKP_MAX_DIMS];
    uint32_t axis;
    if (!is_wanted(m, id)) return MSKP_OK;
    const uint64_t all = bytes_of(m, id, shape, &ranks, &axis), bytes = all / shape[axis];
    const mskp_status status = mskpmpi_check_whole(&m->table, id, ranks, error);
    if (status) return status;
    const mskp_dtype dtype = mskpmpi_dtype_of(mskpmpi_entry(&m->table, m->table.order[0], id), 0);
    for (size_t rank = 0; rank < m->table.ranks; rank++) {
        const uint64_t *e = mskpmpi_entry(&m->table, rank, id);
        if (e[TO_COUNT] && mskpmpi_dtype_of(e, 0) != dtype)
            return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                                "%.80s: rank %zu has dtype %u, rank %zu is to have %u",
                                mskp_param_name(m->graph, (mskp_param){id}), m->table.order[0],
                                (unsigned)dtype, rank, (unsigned)mskpmpi_dtype_of(e, 0));
    }
    if (bytes * m->table.ranks > INT_MAX)
        return mskpmpi_fail(error, MSKP_ERROR_UNSUPPORTED,
                            "%.80s: an index of axis %" PRIu32 " has %" PRIu64
                            " bytes, for %zu ranks, at most %d together are possible",
                            mskp_param_name(m->graph, (mskp_param){id}), axis, bytes,
                            m->table.ranks, INT_MAX);
    return MSKP_OK;
}

static size_t most_bytes(const moving *m)
{
    const size_t most = m->mpi->most_bytes;
    return most && most < INT_MAX ? most : INT_MAX;
}

/* *l <- what travels next. Returns whether there is anything. */
static bool next_load(const moving *m, load *l)
{
    uint64_t bytes = 0;
    size_t ranks, shape[MSKP_MAX_DIMS];
    uint32_t axis;
    if (l->window.count) { /* a parameter in windows: is there more of it? */
        (void)mskp_param_shape(m->graph, (mskp_param){l->first}, shape);
        const size_t at = l->window.first + l->window.count, left = shape[l->window.axis] - at;
        l->window.first = at;
        if (left < l->window.count) l->window.count = left;
        if (left) return true;
    }
    l->first = l->last;
    for (; l->last <= m->params; l->last++) {
        const uint64_t all = bytes_of(m, l->last, shape, &ranks, &axis);
        const uint64_t wanted = bytes_wanted(m, l->last, all, shape);
        if (bytes + wanted <= most_bytes(m)) {
            bytes += wanted;
            continue;
        }
        if (l->last == l->first) {
            const size_t index = (size_t)(all / shape[axis] * m->table.ranks);
            const size_t n = index ? most_bytes(m) / index : 0;
            l->last++;
            l->window = (mskp_mpi_range){0, n < 1 ? 1 : n < shape[axis] ? n : shape[axis], axis};
        }
        break;
    }
    return l->last > l->first;
}

/* The indices that two ranges of an axis have in common; of different axes, those of the first. */
static mskp_mpi_range common(mskp_mpi_range a, mskp_mpi_range b)
{
    const size_t end_a = a.first + a.count, end_b = b.first + b.count;
    const size_t end = end_a < end_b ? end_a : end_b;
    mskp_mpi_range c = a;
    if (a.axis != b.axis) return a;
    if (c.first < b.first) c.first = b.first;
    c.count = c.first < end ? end - c.first : 0;
    return c;
}

static mskp_mpi_range range_from(const uint64_t *e)
{
    return (mskp_mpi_range){(size_t)e[RANGE_FIRST], (size_t)e[RANGE_COUNT], mskpmpi_axis_of(e)};
}

static mskp_mpi_range range_to(const uint64_t *e)
{
    return (mskp_mpi_range){(size_t)e[TO_FIRST], (size_t)e[TO_COUNT], (uint32_t)e[TO_AXIS]};
}

/* What goes from a rank to another one, or stays: indices of the axis of the ranges that are there,
 * and of the axis of those that are to be; if this is the same axis, the same indices. */
typedef struct block {
    mskp_mpi_range there, wanted;
} block;

/* The block in a view of a range, which has all indices of other axes than its own. */
static whole_view block_of(whole_view v, mskp_mpi_range range, const block *b)
{
    const mskp_mpi_range parts[] = {b->there, b->wanted};
    for (size_t i = 0; i < (b->there.axis == b->wanted.axis ? 1 : 2); i++) {
        const size_t before = parts[i].axis == range.axis ? range.first : 0;
        v = mskpmpi_part(v, parts[i].axis, parts[i].first - before, parts[i].count);
    }
    return v;
}

typedef enum move_pass { COUNT_BLOCKS, PACK_BLOCKS, UNPACK_BLOCKS } move_pass;

static void pass_block(moving *m, uint32_t id, size_t from, size_t to, const block *b,
                       move_pass what)
{
    const size_t me = (size_t)m->mpi->rank;
    const uint64_t *mine = mskpmpi_entry(&m->table, me, id);
    const bool sends = from == me && what != UNPACK_BLOCKS, gets = to == me && what != PACK_BLOCKS;
    if (!sends && !gets) return;
    const whole_view v = sends ? block_of(m->has[id - 1], range_from(mine), b)
                               : block_of(m->gets[id - 1], range_to(mine), b);
    const int bytes = (int)(v.elements * v.element);
    if (what == COUNT_BLOCKS) {
        if (sends) m->x.to[to] += bytes;
        if (gets) m->x.from[from] += bytes;
    } else if (sends) {
        mskpmpi_pack(&v, 0, v.elements, m->out + m->x.to_start[to]);
        m->x.to_start[to] += bytes;
    } else {
        mskpmpi_unpack(&v, 0, v.elements, m->in + m->x.from_start[from]);
        m->x.from_start[from] += bytes;
    }
}

/* All that some rank is to have of a parameter in this window, in the same order on all ranks. */
static void pass_param(moving *m, uint32_t id, mskp_mpi_range window, move_pass what)
{
    const range_table *t = &m->table;
    const size_t n = mskpmpi_sort_ranks(t, id);
    for (size_t to = 0; to < t->ranks; to++) {
        const mskp_mpi_range wants = range_to(mskpmpi_entry(t, to, id));
        if (!wants.count) continue;
        for (size_t i = 0, same; i < n; i += same) {
            const mskp_mpi_range has = range_from(mskpmpi_entry(t, t->order[i], id));
            same = mskpmpi_replicas(t, id, n, i);
            size_t from = t->order[i + to % same];
            for (size_t k = i; k < i + same; k++)
                if (t->order[k] == to) from = to;
            const mskp_mpi_range there = window.count ? common(has, window) : has;
            const block b = {common(there, wants), common(wants, there)};
            if (b.there.count && b.wanted.count) pass_block(m, id, from, to, &b, what);
        }
    }
}

static void pass_load(moving *m, const load *l, move_pass what)
{
    for (uint32_t id = l->first; id < l->last; id++) pass_param(m, id, l->window, what);
}

/* The counts and the starts of a load. */
static mskp_status lay_out(moving *m, const load *l, mskp_error *error)
{
    memset(m->x.to, 0, m->table.ranks * sizeof *m->x.to);
    memset(m->x.from, 0, m->table.ranks * sizeof *m->x.from);
    pass_load(m, l, COUNT_BLOCKS);
    return mskpmpi_exchange_lay_out(m->mpi, &m->x, error);
}

/* out, in <- room for the largest load. */
static mskp_status get_room(moving *m, mskp_error *error)
{
    size_t out = 0, in = 0;
    mskp_status status = MSKP_OK;
    for (load l = {1, 1, {0, 0, 0}}; !status && next_load(m, &l);) {
        status = lay_out(m, &l, error);
        if (m->x.sent > out) out = m->x.sent;
        if (m->x.got > in) in = m->x.got;
    }
    if (status) return status;
    m->out = mskpmpi_get(m->mpi, out, 1);
    m->in = mskpmpi_get(m->mpi, in, 1);
    return m->out && m->in ? MSKP_OK : mskpmpi_no_memory(error, "bytes of ranges", out + in);
}

/* Collective: all that can fail. */
static mskp_status prepare(moving *m, mskp_error *error)
{
    mskp_status status = mskpmpi_table_fill(m->mpi, &m->table, m->mine, error);
    for (uint32_t id = 1; !status && id <= m->params; id++) /* the same on all ranks */
        status = check_wanted(m, id, error);
    return status ? status : mskpmpi_agree(m->mpi, get_room(m, error), error);
}

/* Collective: moves the set. */
static mskp_status send(moving *m, mskp_error *error)
{
    mskp_status status = MSKP_OK;
    for (load l = {1, 1, {0, 0, 0}}; !status && next_load(m, &l);) {
        exchange *x = &m->x;
        status = lay_out(m, &l, error);
        if (status) return status;
        pass_load(m, &l, PACK_BLOCKS);
        status = mskpmpi_exchange_lay_out(m->mpi, x, error); /* the starts once more */
        if (!status) status = mskpmpi_exchange(m->mpi, x, 1, m->out, m->in, error);
        if (!status) pass_load(m, &l, UNPACK_BLOCKS);
    }
    return status;
}

/* ---- mskp_mpi_move ---- */

mskp_mpi_range mskp_mpi_share(size_t length, int rank, int ranks)
{
    if (ranks < 1 || rank < 0 || rank >= ranks) return (mskp_mpi_range){0, 0, 0};
    const size_t r = (size_t)rank, n = (size_t)ranks, each = length / n, more = length % n;
    return (mskp_mpi_range){r * each + (r < more ? r : more), each + (r < more), 0};
}

static mskp_status check_call(const mskp_graph *graph, const mskp_mpi_range *from,
                              const mskp_mpi_range *to, size_t n, const mskp_move *moves,
                              mskp_error *error)
{
    const mskp_status status = mskpmpi_check_graph(graph, error);
    if (status) return status;
    if (mskp_graph_counts(graph).params && (!from || !to))
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "%s is NULL", from ? "to" : "from");
    if (n && !moves) return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "moves is NULL");
    return MSKP_OK;
}

mskp_status mskp_mpi_move(mskp_mpi *mpi, const mskp_graph *graph, const mskp_mpi_range *from,
                          const mskp_mpi_range *to, size_t n, const mskp_move *moves,
                          mskp_error *err)
{
    mskp_error error = {0};
    moving *set = NULL;
    mskp_status status = mskpmpi_check_open(mpi, err);
    if (status) return status;
    status = check_call(graph, from, to, n, moves, &error);
    if (!status && !(set = mskpmpi_get(mpi, n, sizeof *set)))
        status = mskpmpi_no_memory(&error, "moves", n);
    for (size_t i = 0; set && i < n; i++)
        set[i] = (moving){.mpi = mpi,
                          .graph = graph,
                          .from = from,
                          .to = to,
                          .sets = moves[i],
                          .params = mskp_graph_counts(graph).params};
    for (size_t i = 0; !status && i < n; i++) status = open_set(&set[i], &error);
    const call_field field[] = {
        {"the network's fingerprint is", FIELD_COUNT, MSKP_ERROR_OTHER_NETWORK,
         status ? 0 : mskp_fingerprint(graph)},
        {"the number of moves is", FIELD_COUNT, MSKP_ERROR_BAD_ARGUMENT, n}};
    status = mskpmpi_enter(mpi, CALL_MOVE, 2, field, status, &error);
    for (size_t i = 0; !status && i < n; i++) status = prepare(&set[i], &error);
    for (size_t i = 0; !status && i < n; i++) status = send(&set[i], &error);
    for (size_t i = 0; set && i < n; i++) close_set(&set[i]);
    mskpmpi_free(mpi, set);
    return mskpmpi_return(status, &error, err);
}
