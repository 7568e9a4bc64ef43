/*
 * What a penalty costs, beside loops of the host: penalty [ROUNDS [NETWORK [ROLES]]].
 *
 * Half of the units of a network of test/zoo (ResNet-50) leave, chosen at random. Each call of a
 * penalty is timed in turn with two vectorized loops of the host that read and write as many
 * streams: `g += a sign(w)` for a gradient (three), `w *= a` for what changes values (two), and
 * `w = 0` (one). The first goes over the same memory: all cache lines (64 bytes) that hold a
 * targeted element. So much has to come from memory, however few of its elements are targeted. The
 * second goes over as many elements as are targeted, one after the other, as if they lay like that.
 * Printed are medians over the rounds:
 *
 *   ms        of the prepared call (mskp_prepared_*); processor time of one thread
 *   simple    ms of the call that works everything out anew (mskp_penalty_*)
 *   GB/s      bytes of the targeted elements that are read and written, over that time
 *   host      the same of the first loop, over the bytes of its lines
 *   lines     the first loop's time over the call's, with the least and the largest of all rounds.
 *             1: the penalty is as fast as the host's loop
 *   packed    the second loop's time over the call's
 *   threads   the prepared call's time with one thread over that with two (the host's
 *             parallel_for), by the clock on the wall
 *
 * gamma alone lies in the caches, so that what the call costs besides is most of its time.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "internal.h" /* the pool of threads of examples/runtime */
#include "interpreter/base.h"
#include "timing.h"
#include "zoo/zoo.h"

enum { MOST_ROUNDS = 101, LINE = 64 };

enum { GRADIENT, PROX, DEADLINE, FADE, ZERO, FORMS };
static const char *const FORM[FORMS] = {"gradient", "prox", "deadline", "fade", "zero"};
static const double STREAMS[FORMS] = {3, 2, 2, 2, 1};
static const char *const KIND[] = {"L1", "smooth L1", "L2"};

static const struct roles {
    const char *name;
    uint32_t roles;
} ROLES[] = {{"gamma", MSKP_ROLE_SCALE}, {"filters", MSKP_ROLE_FILTER}, {"units", MSKP_ROLES_UNIT}};

/* Elements from one place of a set on. */
typedef struct span {
    size_t first, n;
} span;

typedef struct bench {
    mskp_graph *graph, *threaded; /* the second with two threads */
    size_t params, units, elements;
    uint8_t *keep;
    mskp_dtype dtype;
    bool channels_last;
    void *block[2];
    char *memory[2]; /* values, gradients: in the blocks, from the beginning of a line on */
    mskp_tensor *set[2];
    double touched; /* elements */
    span *spans;    /* of cache lines with such elements */
    size_t nspans;
    double lines; /* the elements of these */
    double seconds[4][MOST_ROUNDS], ratio[2][MOST_ROUNDS];
    mskp_error err;
} bench;

static void *room(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);
    if (memory) return memory;
    fprintf(stderr, "penalty: no memory\n");
    exit(1);
}

static void need(const bench *b, mskp_status status)
{
    if (!status) return;
    fprintf(stderr, "penalty: %s\n", b->err.text);
    exit(1);
}

/* ---- the host's loops ---- */

/* The widest vectors of the processor, so that these loops are bound by memory alone. */
#if defined __x86_64__ && defined __GNUC__
#define WIDE __attribute__((target("avx2")))
static bool can_run(void)
{
    return __builtin_cpu_supports("avx2");
}
#else
#define WIDE
static bool can_run(void)
{
    return true;
}
#endif

WIDE static void host_gradient_f32(size_t n, const float *restrict w, float *restrict g, float a)
{
    for (size_t i = 0; i < n; i++) g[i] += a * copysignf(1, w[i]);
}

WIDE static void host_gradient_f64(size_t n, const double *restrict w, double *restrict g, double a)
{
    for (size_t i = 0; i < n; i++) g[i] += a * copysign(1, w[i]);
}

WIDE static void host_scale_f32(size_t n, float *restrict w, float a)
{
    for (size_t i = 0; i < n; i++) w[i] *= a;
}

WIDE static void host_scale_f64(size_t n, double *restrict w, double a)
{
    for (size_t i = 0; i < n; i++) w[i] *= a;
}

static size_t element_size(const bench *b)
{
    return b->dtype == MSKP_DTYPE_F32 ? sizeof(float) : sizeof(double);
}

static void host(bench *b, int form, span at)
{
    const size_t size = element_size(b);
    void *w = b->memory[0] + at.first * size, *g = b->memory[1] + at.first * size;
    const bool f32 = b->dtype == MSKP_DTYPE_F32;
    if (form == ZERO)
        memset(w, 0, at.n * size);
    else if (form == GRADIENT && f32)
        host_gradient_f32(at.n, w, g, 1e-4F);
    else if (form == GRADIENT)
        host_gradient_f64(at.n, w, g, 1e-4);
    else if (f32)
        host_scale_f32(at.n, w, 0.9999F);
    else
        host_scale_f64(at.n, w, 0.9999);
}

/* ---- the sets ---- */

static uint32_t shape_of(const bench *b, uint32_t p, size_t shape[MSKP_MAX_DIMS], size_t *n)
{
    const uint32_t ndim = mskp_param_shape(b->graph, (mskp_param){p}, shape);
    *n = 1;
    for (uint32_t d = 0; d < ndim; d++) *n *= shape[d];
    return ndim;
}

/* Parameters one after the other, each on cache lines of its own. */
static void make_sets(bench *b)
{
    static const uint32_t LAST[] = {0, 2, 3, 1};
    const size_t size = element_size(b);
    for (int s = 0; s < 2; s++) {
        size_t at = 0;
        for (uint32_t p = 1; p <= b->params; p++) {
            size_t shape[MSKP_MAX_DIMS], n;
            const uint32_t ndim = shape_of(b, p, shape, &n);
            need(b, mskp_param_view(b->graph, (mskp_param){p},
                                    b->channels_last && ndim == 4 ? LAST : NULL,
                                    b->memory[s] + at * size, b->dtype, &b->set[s][p], &b->err));
            at += (n + LINE - 1) / LINE * LINE;
        }
    }
}

static void fill(bench *b)
{
    rng random = rng_make(1);
    for (size_t i = 0; i < b->elements; i++)
        for (int s = 0; s < 2; s++) {
            const double x = s ? 1 : rng_real(&random, -1, 1);
            if (b->dtype == MSKP_DTYPE_F32)
                ((float *)b->memory[s])[i] = (float)x;
            else
                ((double *)b->memory[s])[i] = x;
        }
}

/* Marks the targeted elements of one parameter. */
static void mark(bench *b, uint32_t p, uint32_t roles, uint8_t *marks)
{
    size_t shape[MSKP_MAX_DIMS], n, at[MSKP_MAX_DIMS] = {0};
    const uint32_t ndim = shape_of(b, p, shape, &n), *unit[MSKP_MAX_DIMS];
    const size_t first = (size_t)((char *)b->set[0][p].data - b->memory[0]) / element_size(b);
    for (uint32_t d = 0; d < ndim; d++) {
        uint32_t axis_roles = 0;
        unit[d] = mskp_param_units(b->graph, (mskp_param){p}, d, &axis_roles, NULL);
        if (!(axis_roles & roles)) unit[d] = NULL;
    }
    for (size_t i = 0; i < n; i++) {
        bool targeted = false;
        size_t offset = first;
        for (uint32_t d = 0; d < ndim; d++) {
            targeted |= unit[d] && unit[d][at[d]] != MSKP_PINNED && !b->keep[unit[d][at[d]]];
            offset += at[d] * (size_t)b->set[0][p].stride[d];
        }
        marks[offset] = targeted;
        for (uint32_t d = ndim; d-- > 0 && ++at[d] == shape[d];) at[d] = 0;
    }
}

/* Finds the spans of cache lines that hold targeted elements of these roles. */
static void find_spans(bench *b, uint32_t roles)
{
    const size_t line = LINE / element_size(b);
    uint8_t *marks = room(b->elements + line, 1);
    for (uint32_t p = 1; p <= b->params; p++) mark(b, p, roles, marks);
    b->touched = b->lines = 0;
    b->nspans = 0;
    for (size_t i = 0; i < b->elements; i += line) {
        size_t count = 0;
        for (size_t k = 0; k < line; k++) count += marks[i + k];
        if (!count) continue;
        span *last = b->nspans ? &b->spans[b->nspans - 1] : NULL;
        if (last && last->first + last->n == i)
            last->n += line;
        else
            b->spans[b->nspans++] = (span){i, line};
        b->touched += (double)count;
        b->lines += (double)line;
    }
    free(marks);
}

/* ---- what is measured ---- */

static void penalize(bench *b, const mskp_graph *graph, int form, const mskp_penalty *how)
{
    const mskp_mask keep = mask_of(b->units, b->keep);
    const mskp_tensors values = set_by_id(b->params, b->set[0]);
    const mskp_tensors gradients = set_by_id(b->params, b->set[1]);
    switch (form) {
    case GRADIENT:
        need(b, mskp_penalty_gradient(graph, keep, how, 1e-4, values, gradients, &b->err));
        return;
    case PROX:
        need(b, mskp_penalty_prox(graph, keep, how, 1e-9, values, &b->err));
        return;
    case DEADLINE:
        need(b, mskp_penalty_deadline(graph, keep, how, 1000000, values, &b->err));
        return;
    case FADE:
        need(b, mskp_penalty_fade(graph, keep, how, 1e-6, values, &b->err));
        return;
    default:
        need(b, mskp_penalty_zero(graph, keep, how, values, &b->err));
        return;
    }
}

static void penalize_prepared(bench *b, const mskp_prepared *how, int form)
{
    const mskp_tensors values = set_by_id(b->params, b->set[0]);
    const mskp_tensors gradients = set_by_id(b->params, b->set[1]);
    switch (form) {
    case GRADIENT:
        need(b, mskp_prepared_gradient(how, 1e-4, values, gradients, &b->err));
        return;
    case PROX:
        need(b, mskp_prepared_prox(how, 1e-9, values, &b->err));
        return;
    case FADE:
        need(b, mskp_prepared_fade(how, 1e-6, gradients, &b->err));
        return;
    default:
        need(b, mskp_prepared_deadline(how, form == ZERO ? 0 : 1000000, values, &b->err));
        return;
    }
}

static mskp_prepared *prepare(bench *b, const mskp_graph *graph, const mskp_penalty *how)
{
    mskp_prepared *prepared = NULL;
    need(b, mskp_prepared_create(graph, mask_of(b->units, b->keep), how,
                                 set_by_id(b->params, b->set[0]), set_by_id(b->params, b->set[1]),
                                 &prepared, &b->err));
    return prepared;
}

static void measure(bench *b, size_t rounds, int form, const mskp_penalty *how)
{
    const double streams = STREAMS[form] * (double)element_size(b);
    /* What takes microseconds is repeated. */
    const size_t times = b->touched < 1e6 ? 100 : 1;
    double threaded[MOST_ROUNDS], middle[4];
    mskp_prepared *one = prepare(b, b->graph, how), *two = prepare(b, b->threaded, how);
    for (size_t r = 0; r <= rounds; r++) { /* the first one warms up */
        double start[5] = {timing_cpu()};
        for (size_t k = 0; k < times; k++)
            for (size_t i = 0; i < b->nspans; i++) host(b, form, b->spans[i]);
        start[1] = timing_cpu();
        for (size_t k = 0; k < times; k++) host(b, form, (span){0, (size_t)b->touched});
        start[2] = timing_cpu();
        for (size_t k = 0; k < times; k++) penalize_prepared(b, one, form);
        start[3] = timing_cpu();
        for (size_t k = 0; k < times; k++) penalize(b, b->graph, form, how);
        start[4] = timing_cpu();
        const double wall = timing_now();
        penalize_prepared(b, one, form);
        const double half = timing_now();
        penalize_prepared(b, two, form);
        const double end = timing_now();
        if (!r) continue;
        for (int k = 0; k < 4; k++)
            b->seconds[k][r - 1] = (start[k + 1] - start[k]) / (double)times;
        for (int k = 0; k < 2; k++)
            b->ratio[k][r - 1] = b->seconds[k][r - 1] / b->seconds[2][r - 1];
        threaded[r - 1] = (half - wall) / (end - half);
    }
    for (int k = 0; k < 4; k++) middle[k] = timing_median(b->seconds[k], rounds);
    const double lines = timing_median(b->ratio[0], rounds);
    printf("%-9s %-9s %9.4f %9.4f %7.2f %7.2f %6.2f %6.2f-%.2f %6.2f", FORM[form],
           form <= PROX ? KIND[how->kind] : "", 1e3 * middle[2], 1e3 * middle[3],
           1e-9 * streams * b->touched / middle[2], 1e-9 * streams * b->lines / middle[0], lines,
           b->ratio[0][0], b->ratio[0][rounds - 1], timing_median(b->ratio[1], rounds));
    if (times == 1) printf(" %7.2f", timing_median(threaded, rounds));
    printf("\n");
    fflush(stdout);
    mskp_prepared_destroy(one);
    mskp_prepared_destroy(two);
}

static void run(bench *b, size_t rounds, const struct roles *roles)
{
    make_sets(b);
    find_spans(b, roles->roles);
    fill(b);
    printf("\n%s, %s, %s: %.0f elements in %zu spans of cache lines\n", roles->name,
           b->channels_last ? "channels last" : "packed",
           b->dtype == MSKP_DTYPE_F32 ? "float" : "double", b->touched, b->nspans);
    printf("%-9s %-9s %9s %9s %7s %7s %6s %11s %6s %7s\n", "", "", "ms", "simple", "GB/s", "host",
           "lines", "spread", "packed", "threads");
    for (int form = 0; form < FORMS; form++)
        for (int kind = 0; kind < (form <= PROX ? 3 : 1); kind++)
            measure(b, rounds, form,
                    &(mskp_penalty){
                        .kind = (mskp_penalty_kind)kind, .roles = roles->roles, .knee = 0.25});
}

static void run_on_pool(void *context, size_t n, void (*work)(void *, size_t), void *work_context)
{
    cn_pool_run(context, n, work, work_context);
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 7;
    const char *network = argc > 2 ? argv[2] : "resnet50";
    if (rounds < 1 || rounds > MOST_ROUNDS) rounds = 7;
    bench *b = room(1, sizeof *b);
    cn_error error;
    cn_pool *pool = cn_pool_create(2, &error);
    const mskp_services services = {.context = pool, .parallel_for = run_on_pool};
    if (!can_run() || !pool) {
        fprintf(stderr, "penalty: the host's loops need AVX2, and two threads\n");
        return 1;
    }
    b->graph = zoo_make(network, NULL);
    b->threaded = zoo_make(network, &services);
    if (!b->graph || !b->threaded) {
        fprintf(stderr, "penalty: %s is not in the zoo\n", network);
        return 1;
    }
    need(b, mskp_graph_finish(b->graph, &b->err));
    need(b, mskp_graph_finish(b->threaded, &b->err));
    b->params = mskp_graph_counts(b->graph).params;
    b->units = mskp_graph_counts(b->graph).units;
    b->keep = room(b->units, 1);
    rng random = rng_make(2);
    for (size_t u = 0; u < b->units; u++) b->keep[u] = rng_below(&random, 2) != 0;
    for (uint32_t p = 1; p <= b->params; p++) {
        size_t shape[MSKP_MAX_DIMS], n;
        shape_of(b, p, shape, &n);
        b->elements += (n + LINE - 1) / LINE * LINE;
    }
    for (int s = 0; s < 2; s++) {
        b->block[s] = room(b->elements * sizeof(double) + LINE, 1);
        b->memory[s] = (char *)b->block[s] + (LINE - (uintptr_t)b->block[s] % LINE) % LINE;
        b->set[s] = room(b->params + 1, sizeof(mskp_tensor));
    }
    b->spans = room(b->elements / 8, sizeof *b->spans);
    for (size_t k = 0; k < sizeof ROLES / sizeof *ROLES; k++)
        for (int variant = 0; variant < 4; variant++) {
            if (argc > 3 && strcmp(argv[3], ROLES[k].name)) continue;
            b->dtype = variant & 1 ? MSKP_DTYPE_F64 : MSKP_DTYPE_F32;
            b->channels_last = variant & 2;
            run(b, rounds, &ROLES[k]);
        }
    for (int s = 0; s < 2; s++) free(b->block[s]), free(b->set[s]);
    mskp_graph_destroy(b->graph);
    mskp_graph_destroy(b->threaded);
    cn_pool_destroy(pool);
    free(b->spans);
    free(b->keep);
    free(b);
    return 0;
}
