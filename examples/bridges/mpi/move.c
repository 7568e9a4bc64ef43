/*
 * Rows that move to other ranks.
 *
 * Each rank tells all others which rows it has and which it is to have (table.c). From this each
 * works out what it sends and what it gets, for each rank that is to have rows, by the groups of
 * replicas in which these lie: from itself if it has them, otherwise from one rank of the group.
 * Parameters travel together, as many as an exchange can hold; a larger one travels in windows of
 * its rows. Everything that can fail comes before the first exchange.
 */
#include "shards.h"

#include <inttypes.h>
#include <limits.h>
#include <string.h>

/* What a rank says of a parameter besides: the rows that it is to have. */
enum { TO_FIRST = ROWS_ENTRY, TO_COUNT, MOVE_ENTRY };

/* Some rows of some parameters that travel together: parameters first .. last - 1, and of the only
 * one, if it is alone, these rows. */
typedef struct load {
    uint32_t first, last;
    mskp_mpi_rows rows;
} load;

/* One set of tensors. */
typedef struct moving {
    mskp_mpi *mpi;
    const mskp_graph *graph;
    const mskp_mpi_rows *from, *to;
    mskp_move sets;
    size_t params;
    uint64_t *mine; /* [params][MOVE_ENTRY] */
    row_table table;
    whole_view *has, *gets; /* [params] */
    exchange x;
    char *out, *in;
} moving;

/* A view of these rows; *rows <- none if the tensor has no data. */
static mskp_status view_rows(const moving *m, uint32_t id, const mskp_tensor *tensor,
                             mskp_mpi_rows *rows, whole_view *view, mskp_error *error)
{
    const char *name = mskp_param_name(m->graph, (mskp_param){id});
    size_t shape[MSKP_MAX_DIMS];
    const uint32_t ndim = mskp_param_shape(m->graph, (mskp_param){id}, shape);
    if (rows->first > shape[0] || rows->count > shape[0] - rows->first)
        return mskpmpi_fail(error, MSKP_ERROR_BAD_SHAPE,
                            "%.80s: %zu rows from row %zu on, the parameter has %zu", name,
                            rows->count, rows->first, shape[0]);
    if (!tensor->data || !rows->count) {
        *rows = (mskp_mpi_rows){0, 0};
        return MSKP_OK;
    }
    shape[0] = rows->count;
    return mskpmpi_view(tensor, name, ndim, shape, view, error);
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
    m->table = (row_table){.graph = m->graph, .width = MOVE_ENTRY};
    m->mine = mskpmpi_get(mpi, m->params * MOVE_ENTRY, sizeof *m->mine);
    m->has = mskpmpi_get(mpi, m->params, sizeof *m->has);
    m->gets = mskpmpi_get(mpi, m->params, sizeof *m->gets);
    if (!m->mine || !m->has || !m->gets) return mskpmpi_no_memory(error, "parameters", m->params);
    status = mskpmpi_table_open(mpi, &m->table, error);
    if (!status) status = mskpmpi_exchange_open(mpi, &m->x, error);
    for (uint32_t id = 1; !status && id <= m->params; id++) {
        uint64_t *e = m->mine + (id - 1) * MOVE_ENTRY;
        mskp_mpi_rows from = m->from[id - 1], to = m->to[id - 1];
        whole_view *has = &m->has[id - 1], *gets = &m->gets[id - 1];
        status = view_rows(m, id, &m->sets.from.view[id - 1], &from, has, error);
        if (!status) status = view_rows(m, id, &m->sets.to.view[id - 1], &to, gets, error);
        if (!status && from.count && to.count && has->dtype != gets->dtype)
            return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "%.80s: dtype %u is to become %u",
                                mskp_param_name(m->graph, (mskp_param){id}), (unsigned)has->dtype,
                                (unsigned)gets->dtype);
        e[ROWS_FIRST] = from.first;
        e[ROWS_COUNT] = from.count;
        e[ROWS_DTYPE] = from.count ? (uint64_t)has->dtype : (uint64_t)gets->dtype;
        e[TO_FIRST] = to.first;
        e[TO_COUNT] = to.count;
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

static size_t element_bytes(const moving *m, uint32_t id, size_t ranks)
{
    return ranks ? mskpmpi_element_size(
                       (mskp_dtype)mskpmpi_entry(&m->table, m->table.order[0], id)[ROWS_DTYPE])
                 : 0;
}

/* The bytes of a row; 0: no rank has any. order <- of this parameter; *ranks <- how many. */
static size_t row_bytes(const moving *m, uint32_t id, size_t *ranks)
{
    size_t shape[MSKP_MAX_DIMS];
    const uint32_t ndim = mskp_param_shape(m->graph, (mskp_param){id}, shape);
    *ranks = mskpmpi_sort_ranks(&m->table, id);
    size_t bytes = element_bytes(m, id, *ranks);
    for (uint32_t d = 1; d < ndim; d++) bytes *= shape[d];
    return bytes;
}

/* How many rows all ranks are to have. */
static uint64_t rows_wanted(const moving *m, uint32_t id)
{
    uint64_t sum = 0;
    for (size_t rank = 0; rank < m->table.ranks; rank++)
        sum += mskpmpi_entry(&m->table, rank, id)[TO_COUNT];
    return sum;
}

static mskp_status check_wanted(const moving *m, uint32_t id, mskp_error *error)
{
    size_t ranks;
    if (!rows_wanted(m, id)) return MSKP_OK;
    const size_t bytes = row_bytes(m, id, &ranks);
    const mskp_status status = mskpmpi_check_rows(&m->table, id, ranks, error);
    if (status) return status;
    const uint64_t dtype = mskpmpi_entry(&m->table, m->table.order[0], id)[ROWS_DTYPE];
    for (size_t rank = 0; rank < m->table.ranks; rank++) {
        const uint64_t *e = mskpmpi_entry(&m->table, rank, id);
        if (e[TO_COUNT] && e[ROWS_DTYPE] != dtype)
            return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT,
                                "%.80s: rank %zu has dtype %" PRIu64
                                ", rank %zu is to have %" PRIu64,
                                mskp_param_name(m->graph, (mskp_param){id}), m->table.order[0],
                                dtype, rank, e[ROWS_DTYPE]);
    }
    if ((uint64_t)bytes * m->table.ranks > INT_MAX)
        return mskpmpi_fail(error, MSKP_ERROR_UNSUPPORTED,
                            "%.80s: a row has %zu bytes, for %zu ranks, at most %d together are "
                            "possible",
                            mskp_param_name(m->graph, (mskp_param){id}), bytes, m->table.ranks,
                            INT_MAX);
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
    if (l->rows.count) { /* a parameter in windows: is there more of it? */
        mskp_param_shape(m->graph, (mskp_param){l->first}, shape);
        const size_t at = l->rows.first + l->rows.count, left = shape[0] - at;
        l->rows = (mskp_mpi_rows){at, left < l->rows.count ? left : l->rows.count};
        if (left) return true;
    }
    l->first = l->last;
    for (; l->last <= m->params; l->last++) {
        const uint64_t row = row_bytes(m, l->last, &ranks), wanted = rows_wanted(m, l->last);
        if (bytes + row * wanted <= most_bytes(m)) {
            bytes += row * wanted;
            continue;
        }
        if (l->last == l->first) {
            const size_t rows = most_bytes(m) / (size_t)(row * m->table.ranks);
            mskp_param_shape(m->graph, (mskp_param){l->last++}, shape);
            l->rows.first = 0;
            l->rows.count = rows < 1 ? 1 : rows < shape[0] ? rows : shape[0];
        }
        break;
    }
    return l->last > l->first;
}

typedef enum move_pass { COUNT_ROWS, PACK_ROWS, UNPACK_ROWS } move_pass;

/* Rows first .. last - 1 go from a rank to another one, or stay. */
static void pass_run(moving *m, uint32_t id, size_t from, size_t to, mskp_mpi_rows run,
                     move_pass what)
{
    const size_t me = (size_t)m->mpi->rank;
    const whole_view *v = from == me ? &m->has[id - 1] : &m->gets[id - 1];
    if (from != me && to != me) return;
    const size_t each = v->elements / v->shape[0], n = run.count * each;
    const size_t has = run.first - (size_t)mskpmpi_entry(&m->table, me, id)[ROWS_FIRST];
    const size_t gets = run.first - (size_t)mskpmpi_entry(&m->table, me, id)[TO_FIRST];
    const int bytes = (int)(n * v->element);
    if (what == COUNT_ROWS) {
        if (from == me) m->x.to[to] += bytes;
        if (to == me) m->x.from[from] += bytes;
    } else if (what == PACK_ROWS && from == me) {
        mskpmpi_pack(&m->has[id - 1], has * each, n, m->out + m->x.to_start[to]);
        m->x.to_start[to] += bytes;
    } else if (what == UNPACK_ROWS && to == me) {
        mskpmpi_unpack(&m->gets[id - 1], gets * each, n, m->in + m->x.from_start[from]);
        m->x.from_start[from] += bytes;
    }
}

/* All rows of a parameter in this window that some rank is to have, in the same order on all
 * ranks. */
static void pass_param(moving *m, uint32_t id, mskp_mpi_rows window, move_pass what)
{
    const row_table *t = &m->table;
    const size_t n = mskpmpi_sort_ranks(t, id), end = window.first + window.count;
    for (size_t to = 0; to < t->ranks; to++) {
        const uint64_t *wants = mskpmpi_entry(t, to, id);
        if (!wants[TO_COUNT]) continue;
        for (size_t i = 0, same; i < n; i += same) {
            const uint64_t *e = mskpmpi_entry(t, t->order[i], id);
            same = mskpmpi_replicas(t, id, n, i);
            size_t first = (size_t)e[ROWS_FIRST], last = first + (size_t)e[ROWS_COUNT];
            size_t from = t->order[i + to % same];
            for (size_t k = i; k < i + same; k++)
                if (t->order[k] == to) from = to;
            if (first < wants[TO_FIRST]) first = (size_t)wants[TO_FIRST];
            if (first < window.first) first = window.first;
            if (last > wants[TO_FIRST] + wants[TO_COUNT])
                last = (size_t)(wants[TO_FIRST] + wants[TO_COUNT]);
            if (last > end) last = end;
            if (first < last) pass_run(m, id, from, to, (mskp_mpi_rows){first, last - first}, what);
        }
    }
}

static void pass_load(moving *m, const load *l, move_pass what)
{
    for (uint32_t id = l->first; id < l->last; id++)
        pass_param(m, id, l->rows.count ? l->rows : (mskp_mpi_rows){0, SIZE_MAX}, what);
}

/* The counts and the starts of a load. */
static mskp_status lay_out(moving *m, const load *l, mskp_error *error)
{
    memset(m->x.to, 0, m->table.ranks * sizeof *m->x.to);
    memset(m->x.from, 0, m->table.ranks * sizeof *m->x.from);
    pass_load(m, l, COUNT_ROWS);
    return mskpmpi_exchange_lay_out(m->mpi, &m->x, error);
}

/* out, in <- room for the largest load. */
static mskp_status get_room(moving *m, mskp_error *error)
{
    size_t out = 0, in = 0;
    mskp_status status = MSKP_OK;
    for (load l = {1, 1, {0, 0}}; !status && next_load(m, &l);) {
        status = lay_out(m, &l, error);
        if (m->x.sent > out) out = m->x.sent;
        if (m->x.got > in) in = m->x.got;
    }
    if (status) return status;
    m->out = mskpmpi_get(m->mpi, out, 1);
    m->in = mskpmpi_get(m->mpi, in, 1);
    return m->out && m->in ? MSKP_OK : mskpmpi_no_memory(error, "bytes of rows", out + in);
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
    for (load l = {1, 1, {0, 0}}; !status && next_load(m, &l);) {
        exchange *x = &m->x;
        status = lay_out(m, &l, error);
        if (status) return status;
        pass_load(m, &l, PACK_ROWS);
        status = mskpmpi_exchange_lay_out(m->mpi, x, error); /* the starts once more */
        if (!status) status = mskpmpi_exchange(m->mpi, x, 1, m->out, m->in, error);
        if (!status) pass_load(m, &l, UNPACK_ROWS);
    }
    return status;
}

/* ---- mskp_mpi_move_rows ---- */

mskp_mpi_rows mskp_mpi_share(size_t length, int rank, int ranks)
{
    const size_t r = (size_t)rank, n = (size_t)ranks, each = length / n, more = length % n;
    return (mskp_mpi_rows){r * each + (r < more ? r : more), each + (r < more)};
}

static mskp_status check_call(const mskp_graph *graph, const mskp_mpi_rows *from,
                              const mskp_mpi_rows *to, size_t n, const mskp_move *moves,
                              mskp_error *error)
{
    if (!graph || !mskp_fingerprint(graph))
        return mskpmpi_fail(error, MSKP_ERROR_BAD_STATE, "graph is NULL or not finished");
    if (mskp_graph_counts(graph).params && (!from || !to))
        return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "from or to is NULL");
    if (n && !moves) return mskpmpi_fail(error, MSKP_ERROR_BAD_ARGUMENT, "moves is NULL");
    return MSKP_OK;
}

mskp_status mskp_mpi_move_rows(mskp_mpi *mpi, const mskp_graph *graph, const mskp_mpi_rows *from,
                               const mskp_mpi_rows *to, size_t n, const mskp_move *moves,
                               mskp_error *err)
{
    mskp_error error = {0};
    moving *set = NULL;
    if (!mpi) {
        mskpmpi_fail(&error, MSKP_ERROR_BAD_ARGUMENT, "mpi is NULL");
        return mskpmpi_return(error.status, &error, err);
    }
    mskp_status status = check_call(graph, from, to, n, moves, &error);
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
    status = mskpmpi_enter(mpi, CALL_MOVE_ROWS, 2, field, status, &error);
    for (size_t i = 0; !status && i < n; i++) status = prepare(&set[i], &error);
    for (size_t i = 0; !status && i < n; i++) status = send(&set[i], &error);
    for (size_t i = 0; set && i < n; i++) close_set(&set[i]);
    mskpmpi_free(mpi, set);
    return mskpmpi_return(status, &error, err);
}
