/*
 * How fast scores read their tensors: score [ROUNDS [NETWORK [DTYPE [LAYOUT [ROLES [NAME]]]]]].
 *
 * For each dtype, layout and set of roles, and for each magnitude, reduction and Taylor form: the
 * time of one call, the bytes of the tensors that it reads over this time, and the ratio to a
 * vectorized sum of the host over the same bytes (read). Sum and call take turns. Times are medians
 * of the processor's time, and the ratio is the median of the ratios of neighbours, with its
 * quartiles; "best" is the ratio of the fastest sum to the fastest call.
 *
 * The last two columns are what two threads gain, of the call and of the host's sum: the least time
 * by the wall clock on one thread, over that on two. They need a machine with two free processors.
 * With the environment variable ONE set, they are left out.
 *
 * Taylor forms read two sets. "all" in place of a name stands for all.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "interpreter/base.h"
#include "timing.h"
#include "zoo/zoo.h"

enum { SETS = 2, MOST_ROUNDS = 101 };

/* ---- A parallel_for with one thread beside the caller's, which spins for its next loop ---- */

typedef struct loop {
    pthread_t thread;
    atomic_uint turn, done;
    atomic_size_t next;
    size_t n;
    void (*work)(void *context, size_t i);
    void *context;
    bool on, ends;
} loop;

static void take(loop *l)
{
    for (size_t i; (i = atomic_fetch_add(&l->next, 1)) < l->n;) l->work(l->context, i);
}

static void *helper(void *context)
{
    loop *l = context;
    for (unsigned seen = 0;;) {
        while (atomic_load(&l->turn) == seen) continue;
        seen++;
        if (l->ends) return NULL;
        take(l);
        atomic_store(&l->done, seen);
    }
}

static void parallel_for(void *context, size_t n, void (*work)(void *work_context, size_t i),
                         void *work_context)
{
    loop *l = context;
    if (!l->on) {
        for (size_t i = 0; i < n; i++) work(work_context, i);
        return;
    }
    l->n = n;
    l->work = work;
    l->context = work_context;
    atomic_store(&l->next, 0);
    const unsigned turn = atomic_fetch_add(&l->turn, 1) + 1;
    take(l);
    while (atomic_load(&l->done) != turn) continue;
}

static void start(loop *l)
{
    l->on = !pthread_create(&l->thread, NULL, helper, l);
}

static void stop(loop *l)
{
    if (!l->on) return;
    l->on = false;
    l->ends = true;
    atomic_fetch_add(&l->turn, 1);
    pthread_join(l->thread, NULL);
    l->ends = false;
    atomic_store(&l->turn, 0);
    atomic_store(&l->done, 0);
}

/* ---- Tensors ---- */

typedef struct kind {
    const char *name;
    mskp_dtype dtype;
    size_t size;
} kind;
static const kind kinds[] = {{"F32", MSKP_DTYPE_F32, 4},
                             {"F64", MSKP_DTYPE_F64, 8},
                             {"F16", MSKP_DTYPE_F16, 2},
                             {"BF16", MSKP_DTYPE_BF16, 2}};
static const char *const layouts[] = {"contiguous", "channels-last"};
static const struct {
    const char *name;
    uint32_t roles;
} role_sets[] = {
    {"gamma", MSKP_ROLE_SCALE}, {"filters", MSKP_ROLE_FILTER}, {"units", MSKP_ROLES_UNIT}};

typedef struct bench {
    mskp_graph *graph;
    loop loop;
    size_t params, units, rounds;
    double *scores;
    char *memory[SETS];
    mskp_tensor *set[SETS];
    uint32_t roles;
    const char *name; /* of what is measured; "all" */
    int taylor;       /* -1: mskp_score with this */
    mskp_scoring how;
    size_t sum; /* so that no loop is left out */
    mskp_error err;
} bench;

static void *room(size_t n, size_t size)
{
    void *memory = calloc(n ? n : 1, size);
    if (memory) return memory;
    fprintf(stderr, "score: no memory\n");
    exit(1);
}

static void need(bench *b, mskp_status status)
{
    if (!status) return;
    fprintf(stderr, "score: %s\n", b->err.text);
    exit(1);
}

/* A random number in (-1, 1), or one with the same first bits. */
static void put(char *to, const kind *k, rng *r)
{
    const float x = (float)rng_real(r, -1, 1);
    const double d = (double)x;
    const uint16_t half = (uint16_t)(0x2400 | (rng_next(r) & 0x93ff));
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    const uint16_t top = (uint16_t)(bits >> 16);
    if (k->dtype == MSKP_DTYPE_F32) memcpy(to, &x, sizeof x);
    if (k->dtype == MSKP_DTYPE_F64) memcpy(to, &d, sizeof d);
    if (k->dtype == MSKP_DTYPE_F16) memcpy(to, &half, sizeof half);
    if (k->dtype == MSKP_DTYPE_BF16) memcpy(to, &top, sizeof top);
}

/* Sets with each tensor on cache lines of its own. */
static void make_sets(bench *b, const kind *k, bool channels_last)
{
    rng random = rng_make(1);
    for (size_t s = 0; s < SETS; s++) {
        size_t bytes = 0;
        b->set[s] = room(b->params + 1, sizeof(mskp_tensor));
        for (uint32_t p = 1; p <= b->params; p++) {
            mskp_tensor *t = &b->set[s][p];
            t->ndim = mskp_param_shape(b->graph, (mskp_param){p}, t->shape);
            t->dtype = k->dtype;
            t->elements = 1;
            for (uint32_t d = t->ndim; d-- > 0; t->elements *= t->shape[d])
                t->stride[d] = (ptrdiff_t)t->elements;
            if (channels_last && t->ndim > 2) {
                ptrdiff_t next = (ptrdiff_t)t->shape[1];
                t->stride[1] = 1;
                for (uint32_t d = t->ndim; d-- > 2; next *= (ptrdiff_t)t->shape[d])
                    t->stride[d] = next;
            }
            bytes += (t->elements * k->size + 63) / 64 * 64;
        }
        b->memory[s] = room(bytes, 1);
        size_t at = 0;
        for (uint32_t p = 1; p <= b->params; p++) {
            mskp_tensor *t = &b->set[s][p];
            t->data = b->memory[s] + at;
            for (size_t i = 0; i < t->elements; i++) put((char *)t->data + i * k->size, k, &random);
            at += (t->elements * k->size + 63) / 64 * 64;
        }
    }
}

static void free_sets(bench *b)
{
    for (size_t s = 0; s < SETS; s++) {
        free(b->memory[s]);
        free(b->set[s]);
    }
}

/* ---- What is measured ---- */

static bool is_read(const bench *b, uint32_t p)
{
    uint32_t roles;
    size_t length;
    for (uint32_t d = 0; d < b->set[0][p].ndim; d++) {
        const uint32_t *unit = mskp_param_units(b->graph, (mskp_param){p}, d, &roles, &length);
        for (size_t i = 0; unit && (roles & b->roles) && i < length; i++)
            if (unit[i] != MSKP_PINNED) return true;
    }
    return false;
}

static size_t sum_of(const void *bytes, size_t n)
{
    const uint64_t *x = bytes;
    uint64_t sum = 0;
    for (size_t i = 0; i < n / sizeof *x; i++) sum += x[i];
    return (size_t)sum;
}

/* The parts of the host's sum: so much of one tensor each. */
enum { PART = 1 << 18 };
typedef struct part {
    const char *at;
    size_t n;
} part;
typedef struct reading {
    part *part;
    size_t n, bytes;
    atomic_size_t sum;
} reading;

static void read_part(void *context, size_t i)
{
    reading *r = context;
    atomic_fetch_add(&r->sum, sum_of(r->part[i].at, r->part[i].n));
}

static reading parts_of(const bench *b, size_t sets, size_t size)
{
    reading r = {0};
    for (int counted = 0; counted < 2; counted++) {
        if (counted) r.part = room(r.n, sizeof *r.part);
        r.n = r.bytes = 0;
        for (size_t s = 0; s < sets; s++)
            for (uint32_t p = 1; p <= b->params; p++) {
                const size_t bytes = b->set[s][p].elements * size;
                if (!is_read(b, p)) continue;
                r.bytes += bytes;
                for (size_t at = 0; at < bytes; at += PART, r.n++)
                    if (counted)
                        r.part[r.n] = (part){(char *)b->set[s][p].data + at,
                                             bytes - at < PART ? bytes - at : PART};
            }
    }
    return r;
}

/* Seconds by the wall clock, and of the processor. */
typedef struct taken {
    double wall, cpu;
} taken;

static taken now(void)
{
    return (taken){timing_now(), timing_cpu()};
}

static taken since(taken begin)
{
    const taken end = now();
    return (taken){end.wall - begin.wall, end.cpu - begin.cpu};
}

static taken time_read(bench *b, reading *r)
{
    const taken begin = now();
    parallel_for(&b->loop, r->n, read_part, r);
    const taken t = since(begin);
    b->sum += atomic_load(&r->sum);
    return t;
}

static taken time_call(bench *b)
{
    const mskp_tensors values = set_by_id(b->params, b->set[0]);
    const mskp_scores scores = scores_of(b->units, b->scores);
    if (b->taylor >= 0) memset(b->scores, 0, b->units * sizeof *b->scores);
    const taken begin = now();
    if (b->taylor < 0)
        need(b, mskp_score(b->graph, &b->how, values, scores, &b->err));
    else
        need(b, mskp_score_taylor(b->graph, (mskp_taylor)b->taylor, b->roles, values,
                                  set_by_id(b->params, b->set[1]), scores, &b->err));
    return since(begin);
}

/* Medians of the processor's time, quartiles of the ratio, and the least time by the wall clock. */
typedef struct figures {
    double read, call, ratio[3], best, least_read, least_call;
} figures;

static figures measure(bench *b, reading *r)
{
    double read[MOST_ROUNDS], call[MOST_ROUNDS], ratio[MOST_ROUNDS];
    figures f = {.least_read = 1e9, .least_call = 1e9};
    time_call(b);
    for (size_t i = 0; i < b->rounds; i++) {
        const taken t = time_read(b, r), u = time_call(b);
        read[i] = t.cpu;
        call[i] = u.cpu;
        ratio[i] = t.cpu / u.cpu;
        if (t.wall < f.least_read) f.least_read = t.wall;
        if (u.wall < f.least_call) f.least_call = u.wall;
    }
    f.read = timing_median(read, b->rounds); /* and they are sorted */
    f.call = timing_median(call, b->rounds);
    f.best = read[0] / call[0];
    f.ratio[1] = timing_median(ratio, b->rounds);
    f.ratio[0] = ratio[b->rounds / 4];
    f.ratio[2] = ratio[b->rounds - 1 - b->rounds / 4];
    return f;
}

static void report(bench *b, const char *name, reading *r)
{
    if (strcmp(b->name, "all") && strcmp(b->name, name)) return;
    const figures one = measure(b, r);
    figures two = one;
    if (!getenv("ONE")) {
        start(&b->loop);
        two = measure(b, r);
        stop(&b->loop);
    }
    printf("%-18s %9.1f %9.1f %8.2f %6.2f  %4.2f-%4.2f %6.2f %8.2f %6.2f\n", name, 1e6 * one.read,
           1e6 * one.call, (double)r->bytes / one.call / 1e9, one.ratio[1], one.ratio[0],
           one.ratio[2], one.best, one.least_call / two.least_call,
           one.least_read / two.least_read);
    fflush(stdout);
}

static void run_roles(bench *b, const kind *k)
{
    static const char *const reduces[] = {"sum", "mean", "max", "min", "joint", "vote", "product"};
    static const char *const forms[] = {"|sum|", "sum^2", "sum of ||", "sum of ^2"};
    char name[64];
    printf("%-18s %9s %9s %8s %6s  %9s %6s %8s %6s\n", "", "read, us", "call, us", "GB/s", "ratio",
           "quartiles", "best", "2 thr.", "read");
    reading one = parts_of(b, 1, k->size), both = parts_of(b, 2, k->size);
    b->taylor = -1;
    for (int magnitude = MSKP_MAGNITUDE_L1; magnitude <= MSKP_MAGNITUDE_L2; magnitude++)
        for (int reduce = MSKP_REDUCE_SUM; reduce <= MSKP_REDUCE_PRODUCT; reduce++) {
            b->how = (mskp_scoring){.magnitude = (mskp_magnitude)magnitude,
                                    .reduce = (mskp_reduce)reduce,
                                    .roles = b->roles,
                                    .vote_threshold = reduce == MSKP_REDUCE_VOTE ? 0.25 : 0};
            snprintf(name, sizeof name, "%s %s", magnitude == MSKP_MAGNITUDE_L1 ? "L1" : "L2",
                     reduces[reduce]);
            report(b, name, &one);
        }
    for (b->taylor = 0; b->taylor < 4; b->taylor++) {
        snprintf(name, sizeof name, "Taylor %s", forms[b->taylor]);
        report(b, name, &both);
    }
    free(one.part);
    free(both.part);
}

static bool chosen(int argc, char **argv, int i, const char *name)
{
    return argc <= i || !strcmp(argv[i], "all") || !strcmp(argv[i], name);
}

int main(int argc, char **argv)
{
    bench b = {.rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 7,
               .name = argc > 6 ? argv[6] : "all"};
    const char *network = argc > 2 ? argv[2] : "resnet50";
    mskp_services services = {.context = &b.loop, .parallel_for = parallel_for};
    if (b.rounds < 1 || b.rounds > MOST_ROUNDS) b.rounds = 7;
    b.graph = zoo_make(network, &services);
    if (!b.graph) {
        fprintf(stderr, "score: there is no network \"%s\" in the zoo, or no memory for it\n",
                network);
        return 2;
    }
    need(&b, mskp_graph_finish(b.graph, &b.err));
    b.params = mskp_graph_counts(b.graph).params;
    b.units = mskp_graph_counts(b.graph).units;
    b.scores = room(b.units, sizeof *b.scores);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++)
        for (int layout = 0; layout < 2; layout++) {
            if (!chosen(argc, argv, 3, kinds[k].name)) continue;
            if (!chosen(argc, argv, 4, layouts[layout])) continue;
            make_sets(&b, &kinds[k], layout == 1);
            for (size_t r = 0; r < sizeof role_sets / sizeof *role_sets; r++) {
                if (!chosen(argc, argv, 5, role_sets[r].name)) continue;
                b.roles = role_sets[r].roles;
                printf("\n%s, %s, %s, %s\n", network, kinds[k].name, layouts[layout],
                       role_sets[r].name);
                run_roles(&b, &kinds[k]);
            }
            free_sets(&b);
        }
    free(b.scores);
    mskp_graph_destroy(b.graph);
    return b.sum == 1; /* hardly ever, and so the sums are needed */
}
