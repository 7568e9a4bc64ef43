/*
 * Surgery beside memcpy, on the networks of test/zoo: surgery [ROUNDS [NETWORK]].
 *
 * First a line per network with the stages from description to cut, in ms (medians of processor
 * time; floats, packed, half of all units leave at random). Then tables for layouts and dtypes, and
 * for two masks: a random half of the units, so that kept parts are single elements or kernels; and
 * the first half of each family, so that they are as long as the layout lets them be.
 *
 *   memcpy     one call for each tensor, all tensors of the set, to a second set
 *   in place   mskp_plan_cut without a target; tensors that stay whole are not moved
 *   elsewhere  mskp_plan_cut to a second set, with the strides of mskp_plan_views
 *   undo       mskp_plan_restore of that set: zeros where something was removed
 *   apply      mskp_constants_apply where the consumer weights of removed units become 0
 *
 * What is compared: GB/s are bytes over time. The bytes of memcpy are those it reads and those it
 * writes. The bytes of the others are counted in whole cache lines of 64 bytes: each line of a
 * source that holds an element which is moved, once, and each line of a target that holds one that
 * is written, once. (Of apply: each line that holds an element which becomes 0, read and written.)
 * This much has to pass between memory and processor, so the share of memcpy is what can be 1.
 * All works run in turn in each round. Times are medians of processor time, which other work on the
 * machine disturbs least; `low` and `high` are the shares of the slowest and the fastest round.
 * `x2` compares wall times, whose medians say nothing on a machine that is busy: that of one thread
 * divided by that with a parallel_for of two; for memcpy, with one tensor for each call of work.
 * Tensors begin on lines of their own.
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

/* ---- a parallel_for of two threads ---- */

typedef struct pool {
    pthread_mutex_t mutex;
    pthread_cond_t start, done;
    size_t round, finished; /* under the mutex */
    void (*work)(void *context, size_t i);
    void *context;
    size_t n;
    atomic_size_t next;
} pool;

static pool the_pool = {.mutex = PTHREAD_MUTEX_INITIALIZER,
                        .start = PTHREAD_COND_INITIALIZER,
                        .done = PTHREAD_COND_INITIALIZER};

static void take_all(pool *p)
{
    size_t i;
    while ((i = atomic_fetch_add(&p->next, 1)) < p->n) p->work(p->context, i);
}

static void *second_thread(void *argument)
{
    pool *p = argument;
    pthread_mutex_lock(&p->mutex);
    for (;;) {
        while (p->round == p->finished) pthread_cond_wait(&p->start, &p->mutex);
        pthread_mutex_unlock(&p->mutex);
        take_all(p);
        pthread_mutex_lock(&p->mutex);
        p->finished = p->round;
        pthread_cond_signal(&p->done);
    }
    return NULL;
}

static void on_two_threads(void *context, size_t n, void (*work)(void *context, size_t i),
                           void *work_context)
{
    pool *p = context;
    pthread_mutex_lock(&p->mutex);
    p->work = work;
    p->context = work_context;
    p->n = n;
    atomic_store(&p->next, 0);
    p->round++;
    pthread_cond_signal(&p->start);
    pthread_mutex_unlock(&p->mutex);
    take_all(p);
    pthread_mutex_lock(&p->mutex);
    while (p->round != p->finished) pthread_cond_wait(&p->done, &p->mutex);
    pthread_mutex_unlock(&p->mutex);
}

/* ---- what is measured ---- */

enum { LINE = 64, MOST_ROUNDS = 101 };
enum { MEMCPY, IN_PLACE, ELSEWHERE, UNDO, APPLY, WORKS };
enum { DESCRIBE, UNITS, SCORE, SELECT, CONSTANTS, PLAN, CUT, STAGES };
static const char *const work_names[WORKS] = {"memcpy", "in place", "elsewhere", "undo", "apply"};
static const char *const stage_names[STAGES] = {"describe",  "units", "score", "select",
                                                "constants", "plan",  "cut"};

typedef struct bench {
    mskp_graph *graph[3];         /* [threads] */
    mskp_plan *plan[3];           /* [threads] */
    mskp_constants *constants[3]; /* [threads]; NULL: apply is not measured */
    size_t params, units, bytes;  /* of a set */
    uint8_t *keep;
    double *scores;
    char *memory[2];
    mskp_tensor *full[2], *small[2], *scratch; /* full[k] and small[k] lie in memory[k] */
    double moved[WORKS];
    double seconds[WORKS][3][MOST_ROUNDS]; /* processor time; wall time of 1 and of 2 threads */
    double stage[STAGES][MOST_ROUNDS];
    mskp_error err;
} bench;

static void *room(size_t n, size_t size)
{
    const size_t bytes = (n * size / LINE + 1) * LINE;
    void *memory = aligned_alloc(LINE, bytes);
    if (memory) return memset(memory, 0, bytes);
    fprintf(stderr, "surgery: no memory\n");
    exit(1);
}

static void need(bench *b, mskp_status status)
{
    if (!status) return;
    fprintf(stderr, "surgery: %s\n", b->err.text);
    exit(1);
}

static size_t size_of(mskp_dtype dtype)
{
    return dtype == MSKP_DTYPE_F64 ? 8 : dtype == MSKP_DTYPE_F32 ? 4 : 2;
}

/* ---- the sets ---- */

/* Both full sets, each tensor on lines of its own, in the order of the parameters. */
static void lay_out(bench *b, mskp_dtype dtype, bool channels_last)
{
    b->bytes = 0;
    for (uint32_t p = 1; p <= b->params; p++) {
        mskp_tensor t = {.dtype = dtype};
        size_t step = 1;
        t.ndim = mskp_param_shape(b->graph[1], (mskp_param){p}, t.shape);
        for (uint32_t k = t.ndim; k-- > 0;) {
            const uint32_t d = t.ndim < 3 || !channels_last || k == 0 ? k
                               : k == t.ndim - 1                      ? 1
                                                                      : k + 1;
            t.stride[d] = (ptrdiff_t)step;
            step *= t.shape[d];
        }
        for (int k = 0; k < 2; k++) {
            t.data = b->memory[k] ? b->memory[k] + b->bytes : NULL;
            b->full[k][p] = t;
        }
        b->bytes += (step * size_of(dtype) / LINE + 1) * LINE;
    }
}

static void place_small(bench *b)
{
    for (int k = 0; k < 2; k++) {
        need(b, mskp_plan_views(b->plan[1], set_by_id(b->params, b->full[k]),
                                set_by_id(b->params, b->small[k]), &b->err));
        for (uint32_t p = 1; p <= b->params; p++) b->small[k][p].data = b->full[k][p].data;
    }
}

/* Floats between -1 and 1 everywhere; as the set of halves or doubles the bits are only moved. */
static void fill(bench *b, size_t bytes)
{
    rng random = rng_make(1);
    for (int k = 0; k < 2; k++)
        for (size_t i = 0; i < bytes / 4; i++) {
            const float x = (float)(int32_t)rng_next(&random) * 0x1p-31F;
            memcpy(b->memory[k] + 4 * i, &x, sizeof x);
        }
}

/* Half of the units, at random; or the first half of each family. */
static void choose(bench *b, bool blocks)
{
    rng random = rng_make(2);
    const size_t families = mskp_graph_counts(b->graph[1]).families;
    for (size_t u = 0; u < b->units; u++) b->keep[u] = rng_below(&random, 2) == 1;
    for (size_t f = 0; f < families; f++) {
        size_t n;
        const uint32_t *unit = mskp_family_units(b->graph[1], f, &n);
        for (size_t i = 0; blocks && i < n; i++) b->keep[unit[i]] = i < (n + 1) / 2;
        b->keep[unit[0]] = 1;
    }
    for (int threads = 1; threads <= 2; threads++) {
        mskp_plan_destroy(b->plan[threads]);
        need(b, mskp_plan_create(b->graph[threads], mask_of(b->units, b->keep), &b->plan[threads],
                                 NULL, &b->err));
    }
}

/* ---- what has to be moved ---- */

/* How many lines hold elements of a view at kept[d] on axis d; kept[d] NULL: at all n[d] places.
 * Axes are visited by their strides, so that addresses ascend. */
static double count_lines(const mskp_tensor *t, const uint32_t *const *kept, const size_t *n)
{
    uint32_t order[MSKP_MAX_DIMS];
    size_t at[MSKP_MAX_DIMS] = {0}, last = SIZE_MAX;
    double lines = 0;
    for (uint32_t d = 0; d < t->ndim; d++) {
        uint32_t k = d;
        if (!n[d]) return 0;
        for (; k > 0 && t->stride[order[k - 1]] < t->stride[d]; k--) order[k] = order[k - 1];
        order[k] = d;
    }
    for (bool more = true; more;) {
        size_t offset = 0;
        for (uint32_t d = 0; d < t->ndim; d++)
            offset += (kept && kept[d] ? kept[d][at[d]] : at[d]) * (size_t)t->stride[d];
        const size_t line = ((uintptr_t)t->data + offset * size_of(t->dtype)) / LINE;
        lines += line != last;
        last = line;
        uint32_t k = t->ndim;
        while (k > 0 && ++at[order[k - 1]] == n[order[k - 1]]) at[order[--k]] = 0;
        more = k > 0;
    }
    return lines;
}

/* Lines in which apply sets slices to 0, where consumer weights of removed units are zeroed. */
static double count_zeroed(const bench *b, uint32_t p)
{
    const mskp_tensor *t = &b->full[0][p];
    const uint32_t *kept[MSKP_MAX_DIMS] = {NULL};
    uint32_t *leaves = room(t->shape[0] + t->shape[1] + 1, sizeof *leaves);
    size_t n[MSKP_MAX_DIMS];
    double lines = 0;
    memcpy(n, t->shape, sizeof n);
    for (uint32_t d = 0; d < t->ndim && d < 2; d++) {
        uint32_t roles;
        size_t length, count = 0;
        const uint32_t *unit = mskp_param_units(b->graph[1], (mskp_param){p}, d, &roles, &length);
        if (!unit || !(roles & MSKP_ROLE_CONSUMER)) continue;
        for (uint32_t i = 0; i < length; i++)
            if (unit[i] != MSKP_PINNED && !b->keep[unit[i]]) leaves[count++] = i;
        kept[d] = leaves;
        n[d] = count;
        lines = count_lines(t, kept, n);
    }
    free(leaves);
    return lines;
}

static void count_bytes(bench *b)
{
    memset(b->moved, 0, sizeof b->moved);
    for (uint32_t p = 1; p <= b->params; p++) {
        const uint32_t *kept[MSKP_MAX_DIMS];
        size_t n[MSKP_MAX_DIMS];
        const mskp_tensor *full = &b->full[0][p], *small = &b->small[1][p];
        bool whole = true;
        for (uint32_t d = 0; d < full->ndim; d++) {
            kept[d] = mskp_plan_param_kept(b->plan[1], (mskp_param){p}, d, &n[d]);
            whole = whole && !kept[d];
        }
        const double all = LINE * count_lines(full, NULL, full->shape);
        const double part = LINE * count_lines(small, NULL, small->shape);
        const double cut = LINE * count_lines(full, kept, n) + part;
        b->moved[MEMCPY] += 2 * all;
        b->moved[IN_PLACE] += whole ? 0 : cut;
        b->moved[ELSEWHERE] += cut;
        b->moved[UNDO] += part + all;
        if (b->constants[1]) b->moved[APPLY] += 2 * LINE * count_zeroed(b, p);
    }
}

/* ---- the works ---- */

static void copy_tensor(void *context, size_t i)
{
    const bench *b = context;
    const size_t next = i + 1 < b->params
                            ? (size_t)((char *)b->full[0][i + 2].data - (char *)b->memory[0])
                            : b->bytes;
    const size_t at = (size_t)((char *)b->full[0][i + 1].data - (char *)b->memory[0]);
    memcpy(b->memory[1] + at, b->memory[0] + at, next - at);
}

static void make_constants(bench *b, int threads)
{
    const mskp_constants_desc desc = {.way = MSKP_CONSTANTS_DROP, .zeroed = MSKP_ROLE_CONSUMER};
    mskp_constants_destroy(b->constants[threads]);
    need(b,
         mskp_constants_create(b->graph[threads], mask_of(b->units, b->keep), &desc,
                               set_by_id(b->params, b->full[0]), &b->constants[threads], &b->err));
}

static void work(bench *b, int which, int threads)
{
    move_by_id move = {b->scratch, NULL};
    switch (which) {
    case MEMCPY:
        if (threads == 2) on_two_threads(&the_pool, b->params, copy_tensor, b);
        for (size_t i = 0; threads == 1 && i < b->params; i++) copy_tensor(b, i);
        return;
    case IN_PLACE:
    case ELSEWHERE:
        memcpy(b->scratch, b->full[0], (b->params + 1) * sizeof *b->scratch);
        if (which == ELSEWHERE) move.to = b->small[1];
        need(b, cut_by_id(b->plan[threads], b->params, 1, &move, &b->err));
        return;
    case UNDO:
        move = (move_by_id){b->small[1], b->full[0]};
        need(b, moved_by_id(mskp_plan_restore, b->plan[threads], b->params, 1, &move, &b->err));
        return;
    case APPLY:
        need(b, mskp_constants_apply(b->constants[threads], b->plan[threads],
                                     set_by_id(b->params, b->full[0]), &b->err));
        return;
    default:
        return;
    }
}

static void measure(bench *b, size_t rounds)
{
    for (size_t r = 0; r <= rounds; r++) /* the first round warms up */
        for (int w = 0; w < WORKS; w++)
            for (int threads = 1; threads <= 2; threads++) {
                if (w == APPLY && !b->constants[1]) continue;
                const double start = timing_now(), used = timing_cpu();
                work(b, w, threads);
                if (threads == 1) b->seconds[w][0][r ? r - 1 : 0] = timing_cpu() - used;
                b->seconds[w][threads][r ? r - 1 : 0] = timing_now() - start;
            }
}

static void report(bench *b, const char *title, size_t rounds)
{
    const double copied = b->moved[MEMCPY] / timing_median(b->seconds[MEMCPY][0], rounds);
    printf("\n%s\n%-10s %8s %8s %8s %8s %8s %8s\n", title, "", "ms", "GB/s", "/memcpy", "low",
           "high", "x2");
    for (int w = 0; w < WORKS; w++) {
        double *one = b->seconds[w][0];
        if (w == APPLY && !b->constants[1]) continue;
        const double time = timing_median(one, rounds); /* sorts */
        const double rate = b->moved[w] / time;
        printf("%-10s %8.3f %8.2f %8.2f %8.2f %8.2f %8.2f\n", work_names[w], 1e3 * time,
               1e-9 * rate, rate / copied, b->moved[w] / one[rounds - 1] / copied,
               b->moved[w] / one[0] / copied,
               timing_median(b->seconds[w][1], rounds) / timing_median(b->seconds[w][2], rounds));
    }
    fflush(stdout);
}

/* ---- the stages ---- */

/* One run from the description to the cut, of the set in memory[0]. */
static void run_stages(bench *b, const char *name, double *seconds)
{
    const mskp_scoring scoring = {
        .magnitude = MSKP_MAGNITUDE_L2, .reduce = MSKP_REDUCE_JOINT, .roles = MSKP_ROLES_UNIT};
    mskp_selection selection;
    mskp_constants *constants;
    mskp_plan *plan;
    mskp_graph *small;
    double at[STAGES + 1];
    at[DESCRIBE] = timing_cpu();
    mskp_graph *graph = zoo_make(name, NULL);
    at[UNITS] = timing_cpu();
    need(b, graph ? mskp_graph_finish(graph, &b->err) : MSKP_ERROR_NO_MEMORY);
    at[SCORE] = timing_cpu();
    const mskp_tensors values = set_by_id(b->params, b->full[0]);
    need(b, mskp_score(graph, &scoring, values, scores_of(b->units, b->scores), &b->err));
    at[SELECT] = timing_cpu();
    need(b, mskp_select(graph, scores_of(b->units, b->scores), &(mskp_rule){.remove_fraction = 0.5},
                        mask_of(b->units, b->keep), &selection, &b->err));
    choose(b, false); /* scores of random numbers would empty whole layers */
    at[CONSTANTS] = timing_cpu();
    need(b, mskp_constants_create(graph, mask_of(b->units, b->keep), NULL, values, &constants,
                                  &b->err));
    at[PLAN] = timing_cpu();
    need(b, mskp_plan_create(graph, mask_of(b->units, b->keep), &plan, &small, &b->err));
    at[CUT] = timing_cpu();
    memcpy(b->scratch, b->full[0], (b->params + 1) * sizeof *b->scratch);
    need(b, cut_by_id(plan, b->params, 1, &(move_by_id){b->scratch, NULL}, &b->err));
    at[STAGES] = timing_cpu();
    for (int s = 0; s < STAGES; s++) seconds[s] = at[s + 1] - at[s];
    mskp_constants_destroy(constants);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    mskp_graph_destroy(graph);
}

static void report_stages(bench *b, const char *name, size_t rounds)
{
    double total = 0;
    for (size_t r = 0; r <= rounds; r++) {
        double seconds[STAGES];
        run_stages(b, name, seconds);
        for (int s = 0; s < STAGES; s++) b->stage[s][r ? r - 1 : 0] = seconds[s];
    }
    printf("\n%s, stages in ms", name);
    for (int s = 0; s < STAGES; s++) {
        const double time = 1e3 * timing_median(b->stage[s], rounds);
        total += s == CONSTANTS ? 0 : time;
        printf("; %s %.3f", stage_names[s], time);
    }
    printf("; all but constants %.3f\n", total);
    fflush(stdout);
}

/* ---- networks, layouts, dtypes, masks ---- */

static const struct layout {
    const char *name;
    mskp_dtype dtype;
    bool channels_last;
} layouts[] = {{"F32", MSKP_DTYPE_F32, false}, {"F32, channels last", MSKP_DTYPE_F32, true},
               {"F16", MSKP_DTYPE_F16, false}, {"F16, channels last", MSKP_DTYPE_F16, true},
               {"F64", MSKP_DTYPE_F64, false}, {"F64, channels last", MSKP_DTYPE_F64, true}};

static void run(const char *name, size_t rounds)
{
    bench b = {.graph = {NULL, zoo_make(name, NULL),
                         zoo_make(name, &(mskp_services){.context = &the_pool,
                                                         .parallel_for = on_two_threads})}};
    for (int threads = 1; threads <= 2; threads++)
        need(&b,
             b.graph[threads] ? mskp_graph_finish(b.graph[threads], &b.err) : MSKP_ERROR_NO_MEMORY);
    b.params = mskp_graph_counts(b.graph[1]).params;
    b.units = mskp_graph_counts(b.graph[1]).units;
    b.keep = room(b.units, 1);
    b.scores = room(b.units, sizeof *b.scores);
    b.scratch = room(b.params + 1, sizeof *b.scratch);
    for (int k = 0; k < 2; k++) {
        b.full[k] = room(b.params + 1, sizeof *b.full[k]);
        b.small[k] = room(b.params + 1, sizeof *b.small[k]);
    }
    lay_out(&b, MSKP_DTYPE_F64, false);
    const size_t most = b.bytes;
    for (int k = 0; k < 2; k++) b.memory[k] = room(most, 1);
    for (size_t i = 0; i < sizeof layouts / sizeof *layouts; i++)
        for (int blocks = 0; blocks < 2; blocks++) {
            const struct layout *l = &layouts[i];
            char title[128];
            lay_out(&b, l->dtype, l->channels_last);
            fill(&b, most);
            if (!i && !blocks) report_stages(&b, name, rounds);
            choose(&b, blocks);
            place_small(&b);
            for (int threads = 1; threads <= 2 && l->dtype == MSKP_DTYPE_F32; threads++)
                make_constants(&b, threads);
            count_bytes(&b);
            measure(&b, rounds);
            snprintf(title, sizeof title, "%s, %.0f MB, %s, %s", name, 1e-6 * (double)b.bytes,
                     l->name, blocks ? "first half of each family" : "random half");
            report(&b, title, rounds);
            for (int threads = 1; threads <= 2; threads++) {
                mskp_constants_destroy(b.constants[threads]);
                b.constants[threads] = NULL;
            }
        }
    for (int k = 0; k < 2; k++) {
        free(b.memory[k]);
        free(b.full[k]);
        free(b.small[k]);
    }
    free(b.scratch);
    free(b.scores);
    free(b.keep);
    for (int threads = 1; threads <= 2; threads++) {
        mskp_plan_destroy(b.plan[threads]);
        mskp_graph_destroy(b.graph[threads]);
    }
}

int main(int argc, char **argv)
{
    static const char *const names[] = {"resnet50", "densenet201", "vgg16_bn"};
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 7;
    pthread_t thread;
    if (rounds < 1 || rounds > MOST_ROUNDS) rounds = 7;
    if (pthread_create(&thread, NULL, second_thread, &the_pool)) {
        fprintf(stderr, "surgery: no thread\n");
        return 1;
    }
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        if (argc < 3 || !strcmp(argv[2], names[k])) run(names[k], rounds);
    return 0;
}
