/*
 * Are network, mask and values the same on all ranks?
 *
 * Each rank hashes each parameter's elements, in logical order, so strides do not matter. Hashes
 * are compared by minimum and complement, as in agree.c, which costs 16 bytes for each parameter
 * whatever its size. A hash of 64 bits misses a difference with a probability of 2^-64; one of a
 * single element is never missed, because each step of the hash is a bijection of the element.
 *
 * Only if a hash differs are elements sent. The hashes of all ranks say which of them most ranks
 * have, or, where several are equally frequent, the lowest rank that has one of these. That rank
 * broadcasts its elements block by block, and the lowest rank with another hash names the first
 * element that differs.
 */
#include "internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* Bytes that are read at once. */
enum { BLOCK = 4096 };

uint64_t mskpmpi_hash(uint64_t hash, const void *bytes, size_t n)
{
    const unsigned char *at = bytes;
    while (n) {
        uint64_t word = 0;
        const size_t some = n < sizeof word ? n : sizeof word;
        memcpy(&word, at, some);
        hash = (hash ^ word) * UINT64_C(0x9fb21c651e98df25);
        hash ^= hash >> 28;
        at += some;
        n -= some;
    }
    return hash;
}

/* ---- the first difference ---- */

/* The lowest rank among those whose hash most ranks have, and the lowest with another hash. */
static void choose_ranks(const uint64_t *hash, int ranks, int *usual, int *other)
{
    int most = 0;
    for (int i = 0; i < ranks; i++) {
        int same = 0;
        for (int k = 0; k < ranks; k++) same += hash[k] == hash[i];
        if (same > most) most = same, *usual = i;
    }
    *other = *usual;
    for (int i = ranks; i-- > 0;)
        if (hash[i] != hash[*usual]) *other = i;
}

static void tell_element(const compared *array, size_t i, const unsigned char *mine,
                         const unsigned char *theirs, int rank, mskp_error *error)
{
    char name[160], here[40], there[40];
    array->name(array->context, i, sizeof name, name);
    array->number(array->context, mine, sizeof here, here);
    array->number(array->context, theirs, sizeof there, there);
    mskpmpi_fail(error, array->status, "%s is %s, on rank %d it is %s", name, here, rank, there);
}

mskp_status mskpmpi_differs(mskp_mpi *mpi, const compared *array, uint64_t hash, mskp_error *error)
{
    unsigned char mine[BLOCK], theirs[BLOCK];
    int usual = 0, other = 0;
    bool found = false;
    uint64_t *hashes = mskpmpi_get(mpi, (size_t)mpi->ranks, sizeof *hashes);
    mskp_status status =
        mskpmpi_agree(mpi, hashes ? MSKP_OK : mskpmpi_no_memory(error, "hashes", 1), error);
    if (!status) status = mskpmpi_gather_all(mpi, sizeof hash, &hash, hashes, error);
    if (!status) choose_ranks(hashes, mpi->ranks, &usual, &other);
    mskpmpi_free(mpi, hashes);
    const size_t block = BLOCK / array->size;
    for (size_t first = 0; !status && first < array->n; first += block) {
        const size_t n = array->n - first < block ? array->n - first : block;
        array->read(array->context, first, n, mine);
        memcpy(theirs, mine, n * array->size);
        status = mskpmpi_broadcast(mpi, usual, n * array->size, theirs, error);
        for (size_t i = 0; !status && !found && i < n; i++) {
            const size_t at = i * array->size;
            if (mpi->rank != other || !memcmp(mine + at, theirs + at, array->size)) continue;
            found = true;
            tell_element(array, first + i, mine + at, theirs + at, usual, error);
        }
    }
    if (status) return status;
    if (mpi->rank == other && !found)
        mskpmpi_fail(error, array->status, "the hash of %zu numbers differs, and no number does",
                     array->n);
    return mskpmpi_spread(mpi, other, error);
}

/* ---- parameters ---- */

typedef struct one_param {
    const mskp_graph *graph;
    mskp_param param;
    whole_view view;
} one_param;

static void read_elements(const void *context, size_t first, size_t n, void *packed)
{
    const one_param *p = context;
    mskpmpi_pack(&p->view, first, n, packed);
}

/* "conv1.weight[3][0][1][2] (unit 5)" */
static void name_element(const void *context, size_t i, size_t capacity, char *text)
{
    const one_param *p = context;
    size_t index[MSKP_MAX_DIMS];
    uint32_t found = MSKP_PINNED;
    for (uint32_t d = p->view.ndim; d-- > 0; i /= p->view.shape[d]) index[d] = i % p->view.shape[d];
    int used = snprintf(text, capacity, "%.80s", mskp_param_name(p->graph, p->param));
    for (uint32_t d = 0; d < p->view.ndim; d++) {
        const uint32_t *unit = mskp_param_units(p->graph, p->param, d, NULL, NULL);
        if (unit && found == MSKP_PINNED) found = unit[index[d]];
        if (used > 0 && (size_t)used < capacity)
            used += snprintf(text + used, capacity - (size_t)used, "[%zu]", index[d]);
    }
    if (found != MSKP_PINNED && used > 0 && (size_t)used < capacity)
        (void)snprintf(text + used, capacity - (size_t)used, " (unit %" PRIu32 ")", found);
}

static void number_element(const void *context, const void *element, size_t capacity, char *text)
{
    const one_param *p = context;
    float f;
    double x;
    uint64_t bits[2] = {0};
    switch (p->view.dtype) {
    case MSKP_DTYPE_F32:
        memcpy(&f, element, sizeof f);
        (void)snprintf(text, capacity, "%.9g", (double)f);
        return;
    case MSKP_DTYPE_F64:
        memcpy(&x, element, sizeof x);
        (void)snprintf(text, capacity, "%.17g", x);
        return;
    default:
        for (size_t i = 0; i < p->view.element; i++)
            bits[i / 8] |= (uint64_t)((const unsigned char *)element)[i] << i % 8 * 8;
        (void)snprintf(text, capacity, "0x%" PRIx64 "'%" PRIx64, bits[1], bits[0]);
    }
}

static mskp_status view_param(const mskp_graph *graph, mskp_tensors values, uint32_t id,
                              one_param *out, mskp_error *error)
{
    size_t shape[MSKP_MAX_DIMS];
    *out = (one_param){.graph = graph, .param = {id}};
    const uint32_t ndim = mskp_param_shape(graph, out->param, shape);
    return mskpmpi_view(&values.view[id - 1], mskp_param_name(graph, out->param), ndim, shape,
                        &out->view, error);
}

static uint64_t hash_param(const one_param *p)
{
    unsigned char block[BLOCK];
    const uint64_t head[2] = {(uint64_t)p->view.dtype, p->view.data != NULL};
    const size_t most = BLOCK / p->view.element;
    uint64_t hash = mskpmpi_hash(HASH_START, head, sizeof head);
    for (size_t i = 0; p->view.data && i < p->view.elements; i += most) {
        const size_t n = p->view.elements - i < most ? p->view.elements - i : most;
        mskpmpi_pack(&p->view, i, n, block);
        hash = mskpmpi_hash(hash, block, n * p->view.element);
    }
    return hash;
}

/* A parameter whose hashes differ: because the ranks have other dtypes, or no data, or because of
 * an element. */
static mskp_status param_differs(mskp_mpi *mpi, const one_param *p, uint64_t hash,
                                 mskp_error *error)
{
    uint64_t first[2] = {(uint64_t)p->view.dtype, p->view.data != NULL}, mine[2];
    const char *name = mskp_param_name(p->graph, p->param);
    memcpy(mine, first, sizeof mine);
    mskp_status status = mskpmpi_broadcast(mpi, 0, sizeof first, first, error), here = MSKP_OK;
    if (status) return status;
    if (mine[1] != first[1])
        here = mskpmpi_fail(error, MSKP_ERROR_BAD_STATE, "%.80s %s data, on rank 0 it %s", name,
                            mine[1] ? "has" : "has no", first[1] ? "has" : "has none");
    else if (mine[0] != first[0])
        here = mskpmpi_fail(error, MSKP_ERROR_BAD_STATE,
                            "%.80s has dtype %" PRIu64 ", on rank 0 it is %" PRIu64, name, mine[0],
                            first[0]);
    status = mskpmpi_agree(mpi, here, error);
    if (status) return status;
    const compared array = {.context = p,
                            .n = p->view.elements,
                            .size = p->view.element,
                            .status = MSKP_ERROR_BAD_STATE,
                            .read = read_elements,
                            .name = name_element,
                            .number = number_element};
    return mskpmpi_differs(mpi, &array, hash, error);
}

/* ---- masks ---- */

static void read_flags(const void *context, size_t first, size_t n, void *packed)
{
    const mskp_mask *keep = context;
    for (size_t i = 0; i < n; i++) ((unsigned char *)packed)[i] = keep->unit[first + i] != 0;
}

static void name_flag(const void *context, size_t i, size_t capacity, char *text)
{
    (void)context;
    (void)snprintf(text, capacity, "keep of unit %zu", i);
}

static void number_flag(const void *context, const void *element, size_t capacity, char *text)
{
    (void)context;
    (void)snprintf(text, capacity, "%d", *(const unsigned char *)element);
}

static uint64_t hash_mask(mskp_mask keep)
{
    uint64_t hash = HASH_START;
    for (size_t i = 0; i < keep.n; i++)
        hash = mskpmpi_hash(hash, &(unsigned char){keep.unit[i] != 0}, 1);
    return hash;
}

static mskp_status mask_differs(mskp_mpi *mpi, mskp_mask keep, uint64_t hash, mskp_error *error)
{
    const compared array = {.context = &keep,
                            .n = keep.n,
                            .size = 1,
                            .status = MSKP_ERROR_BAD_STATE,
                            .read = read_flags,
                            .name = name_flag,
                            .number = number_flag};
    return mskpmpi_differs(mpi, &array, hash, error);
}

mskp_status mskpmpi_compare_masks(mskp_mpi *mpi, mskp_mask keep, mskp_error *error)
{
    const uint64_t hash = hash_mask(keep);
    bool same;
    const mskp_status status = mskpmpi_is_same(mpi, hash, &same, error);
    return status || same ? status : mask_differs(mpi, keep, hash, error);
}

/* ---- mskp_mpi_same ---- */

static mskp_status check_same(const mskp_graph *graph, mskp_mask keep, mskp_tensors values,
                              mskp_error *error)
{
    const bool any = keep.n || keep.unit;
    const mskp_status status = any ? mskpmpi_check_mask(graph, "keep", keep, error) : MSKP_OK;
    return status ? status : mskpmpi_check_set(graph, "values", values, error);
}

/* hash[] <- those of the parameters, then that of the mask. */
static mskp_status hash_all(const mskp_graph *graph, mskp_mask keep, mskp_tensors values,
                            uint64_t *hash, mskp_error *error)
{
    for (uint32_t id = 1; id <= values.n; id++) {
        one_param p;
        const mskp_status status = view_param(graph, values, id, &p, error);
        if (status) return status;
        hash[id - 1] = hash_param(&p);
    }
    hash[values.n] = hash_mask(keep);
    return MSKP_OK;
}

/* *at <- the first number that is not the same on all ranks, n if there is none. room: 2 n. */
static mskp_status first_different(mskp_mpi *mpi, size_t n, const uint64_t *number, uint64_t *room,
                                   size_t *at, mskp_error *error)
{
    for (size_t i = 0; i < n; i++) room[2 * i] = number[i], room[2 * i + 1] = ~number[i];
    const mskp_status status = mskpmpi_reduce(mpi, 2 * n, room, MPI_UINT64_T, MPI_MIN, error);
    for (*at = 0; *at < n && room[2 * *at] == ~room[2 * *at + 1];) ++*at;
    return status;
}

static mskp_status compare_all(mskp_mpi *mpi, const mskp_graph *graph, mskp_mask keep,
                               mskp_tensors values, uint64_t *hash, mskp_error *error)
{
    size_t at = 0;
    one_param p;
    mskp_status status = first_different(mpi, values.n + 1, hash, hash + values.n + 1, &at, error);
    if (status || at > values.n) return status;
    if (at < values.n) {
        status = view_param(graph, values, (uint32_t)at + 1, &p, error);
        return status ? status : param_differs(mpi, &p, hash[at], error);
    }
    return mask_differs(mpi, keep, hash[at], error);
}

mskp_status mskp_mpi_same(mskp_mpi *mpi, const mskp_graph *graph, mskp_mask keep,
                          mskp_tensors values, mskp_error *err)
{
    mskp_error error = {0};
    uint64_t *hash = NULL;
    mskp_status status = mskpmpi_check_open(mpi, err);
    if (status) return status;
    status = mskpmpi_check_graph(graph, &error);
    const call_field network = {"the network's fingerprint is", FIELD_COUNT,
                                MSKP_ERROR_OTHER_NETWORK, status ? 0 : mskp_fingerprint(graph)};
    /* Before the arrays: those of another network have other lengths. */
    status = mskpmpi_enter(mpi, CALL_SAME, 1, &network, status, &error);
    if (status) return mskpmpi_return(status, &error, err);
    status = check_same(graph, keep, values, &error);
    if (!status && !(hash = mskpmpi_get(mpi, 3 * (values.n + 1), sizeof *hash)))
        status = mskpmpi_no_memory(&error, "parameters", values.n);
    if (!status) status = hash_all(graph, keep, values, hash, &error);
    const call_field flags = {"the number of flags of keep is", FIELD_COUNT,
                              MSKP_ERROR_BAD_ARGUMENT, keep.n};
    status = mskpmpi_enter(mpi, CALL_SAME, 1, &flags, status, &error);
    if (!status) status = compare_all(mpi, graph, keep, values, hash, &error);
    mskpmpi_free(mpi, hash);
    return mskpmpi_return(status, &error, err);
}
