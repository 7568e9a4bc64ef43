/* One graph and one plan in many threads at once; a parallel_for of the caller in any order.
 * Results are those of one thread, bit for bit. */
#include "guarded_memory/guarded_memory.h"

#include "by_id/by_id.h"
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CLASSES = 10, MOST_UNITS = 1024, MOST_PARAMS = 64, BLOCKS = 3, THREADS = 4 };

/* ---- A residual network, large enough that work is worth sharing ---- */

static mskp_param param(mskp_graph *g, size_t number, const char *part, uint32_t ndim, size_t a,
                        size_t b)
{
    char name[40];
    const size_t shape[MSKP_MAX_DIMS] = {a, b, 3, 3};
    snprintf(name, sizeof name, "layer%zu.%s", number, part);
    return mskp_parameter(g, name, ndim, shape);
}

static mskp_value layer(mskp_graph *g, size_t number, mskp_value in, size_t inputs, size_t outputs)
{
    mskp_conv_desc conv = {.pad_before = {1, 1}, .pad_after = {1, 1}};
    mskp_norm_desc norm = {.kind = MSKP_NORM_BATCH};
    conv.weight = param(g, number, "weight", 4, outputs, inputs);
    norm.scale = param(g, number, "gamma", 1, outputs, 0);
    norm.shift = param(g, number, "beta", 1, outputs, 0);
    norm.mean = param(g, number, "mean", 1, outputs, 0);
    norm.variance = param(g, number, "variance", 1, outputs, 0);
    mskp_value v = mskp_norm(g, NULL, mskp_conv(g, NULL, in, &conv), &norm);
    return mskp_activation(g, NULL, v, &(mskp_activation_desc){.kind = MSKP_ACTIVATION_RELU});
}

static mskp_graph *network(const mskp_services *services)
{
    mskp_graph *g = mskp_graph_create(services);
    must(g != NULL, "no memory");
    const size_t image[2] = {16, 16};
    const size_t width = scaled(100) < 50 ? 16 : 48; /* valgrind takes the smaller one */
    size_t number = 0;
    mskp_value v = mskp_input(g, "image", 3, 2, image);
    v = layer(g, number++, v, 3, width);
    for (size_t b = 0; b < BLOCKS; b++) {
        mskp_value inner = layer(g, number++, v, width, 2 * width);
        inner = layer(g, number++, inner, 2 * width, width);
        v = mskp_combine(g, NULL, MSKP_COMBINE_ADD, 2, (mskp_value[]){v, inner});
    }
    v = mskp_pool(g, NULL, v, &(mskp_pool_desc){.kind = MSKP_POOL_GLOBAL_AVERAGE});
    v = mskp_flatten(g, NULL, v, 0);
    v = mskp_linear(g, "classes", v, param(g, number, "weight", 2, CLASSES, width),
                    param(g, number, "bias", 1, CLASSES, 0));
    mskp_output(g, v);
    mskp_error err = {.text = ""};
    must(mskp_graph_finish(g, &err) == MSKP_OK, "%s", err.text);
    must(mskp_graph_counts(g).units <= MOST_UNITS && mskp_graph_counts(g).params < MOST_PARAMS,
         "too large");
    return g;
}

/* ---- Everything that can be done with a graph, in one number. No Check in here: it runs in other
 * threads. ---- */

typedef struct job {
    const mskp_graph *graph;
    const mskp_plan *shared;         /* NULL: none */
    const mskp_constants *constants; /* NULL: none; otherwise of values_of_constants */
    uint64_t seed;
    uint64_t hash;
    mskp_error err;
} job;

typedef struct set {
    mskp_tensor views[MOST_PARAMS];
    void *memory;
    size_t bytes;
} set;

/* Packed; dtype F32, F64 or F16 by turns if mixed. F16 holds 0.5 and the like. */
static void set_open(set *s, const mskp_graph *graph, rng *r, bool mixed)
{
    const size_t params = mskp_graph_counts(graph).params, widest = sizeof(double);
    memset(s, 0, sizeof *s);
    size_t offsets[MOST_PARAMS], counts[MOST_PARAMS];
    for (uint32_t p = 1; p <= params; p++) {
        mskp_tensor *t = &s->views[p];
        t->ndim = mskp_param_shape(graph, (mskp_param){p}, t->shape);
        counts[p] = 1;
        for (uint32_t a = 0; a < t->ndim; a++) counts[p] *= t->shape[a];
        offsets[p] = s->bytes;
        s->bytes += counts[p] * widest;
    }
    s->memory = calloc(1, s->bytes);
    for (uint32_t p = 1; s->memory && p <= params; p++) {
        mskp_tensor *t = &s->views[p];
        t->data = (char *)s->memory + offsets[p];
        t->dtype = mixed ? (mskp_dtype[]){MSKP_DTYPE_F32, MSKP_DTYPE_F64, MSKP_DTYPE_F16}[p % 3]
                         : MSKP_DTYPE_F32;
        for (size_t i = 0; i < counts[p]; i++) {
            double x = rng_real(r);
            if (t->dtype == MSKP_DTYPE_F32) ((float *)t->data)[i] = (float)x;
            if (t->dtype == MSKP_DTYPE_F64) ((double *)t->data)[i] = x;
            if (t->dtype == MSKP_DTYPE_F16)
                ((uint16_t *)t->data)[i] = (uint16_t)(0x3000 | (rng_next(r) & 0x8bff));
        }
    }
}

static bool went_well(job *j, mskp_status status)
{
    if (status != MSKP_OK && j->err.status == MSKP_OK) {
        j->err.status = status;
        snprintf(j->err.text, sizeof j->err.text, "a call failed");
    }
    return status == MSKP_OK;
}

static void add(job *j, const void *bytes, size_t n)
{
    j->hash = hash_bytes(j->hash, bytes, n);
}

static void scores_and_mask(job *j, const set *values, double *scores, uint8_t *keep)
{
    const mskp_graph *g = j->graph;
    const size_t units = mskp_graph_counts(g).units;
    for (int i = 0; i < 2 * (MSKP_REDUCE_PRODUCT + 1); i++) {
        const mskp_reduce reduce = (mskp_reduce)(i / 2);
        const bool votes = reduce == MSKP_REDUCE_VOTE;
        const mskp_scoring scoring = {.magnitude = i % 2 ? MSKP_MAGNITUDE_L2 : MSKP_MAGNITUDE_L1,
                                      .reduce = reduce,
                                      .roles = votes ? 0 : MSKP_ROLES_UNIT,
                                      .vote_threshold = votes ? 0.25 : 0};
        went_well(j, mskp_score(g, &scoring, set_by_id(mskp_graph_counts(g).params, values->views),
                                scores_of(units, scores), &j->err));
        add(j, scores, units * sizeof *scores);
    }
    mskp_cost all = {0, 0}, per_value[128] = {{0, 0}};
    went_well(j, mskp_measure(g, (mskp_mask){0}, &all, per_value + 1, &j->err));
    add(j, per_value, sizeof per_value);
    const mskp_rule rules[2] = {{.remove_fraction = 0.3, .round_to = 4, .min_channels = 3},
                                {.max_macs = 0.55 * all.macs, .max_params = 0.8 * all.params}};
    for (size_t i = 0; i < 2; i++) {
        mskp_selection selection;
        memset(&selection, 0, sizeof selection);
        went_well(j, mskp_select(g, scores_of(units, scores), &rules[i], mask_of(units, keep),
                                 &selection, &j->err));
        add(j, keep, units);
        add(j, &selection.removed, sizeof selection.removed);
        add(j, &selection.cost, sizeof selection.cost);
        went_well(j, mskp_measure(g, mask_of(units, keep), &all, per_value + 1, &j->err));
        add(j, &all, sizeof all);
        add(j, per_value, sizeof per_value);
    }
}

static void penalties(job *j, set *values, set *gradients, const double *scores,
                      const uint8_t *keep)
{
    const mskp_graph *g = j->graph;
    const size_t units = mskp_graph_counts(g).units;
    for (unsigned i = 0; i < 9; i++) {
        const mskp_penalty p = {.kind = (mskp_penalty_kind)(i % 3),
                                .target = (mskp_target)(i / 3),
                                .roles = i % 2 ? MSKP_ROLES_UNIT : MSKP_ROLE_SCALE,
                                .knee = 0.01,
                                .unit_weight = i % 4 ? NULL : scores};
        double value = 0;
        went_well(j, mskp_penalty_value(g, mask_of(units, keep), &p,
                                        set_by_id(mskp_graph_counts(g).params, values->views),
                                        &value, &j->err));
        add(j, &value, sizeof value);
        went_well(j, mskp_penalty_gradient(g, mask_of(units, keep), &p, 0.01,
                                           set_by_id(mskp_graph_counts(g).params, values->views),
                                           set_by_id(mskp_graph_counts(g).params, gradients->views),
                                           &j->err));
        add(j, gradients->memory, gradients->bytes);
        went_well(j, mskp_penalty_prox(g, mask_of(units, keep), &p, 0.001,
                                       set_by_id(mskp_graph_counts(g).params, values->views),
                                       &j->err));
        went_well(j, mskp_penalty_deadline(g, mask_of(units, keep), &p, i,
                                           set_by_id(mskp_graph_counts(g).params, values->views),
                                           &j->err));
        add(j, values->memory, values->bytes);
    }
}

static void surgery(job *j, const mskp_plan *plan, set *values, set *gradients)
{
    const size_t params = mskp_graph_counts(j->graph).params;
    mskp_tensor small[MOST_PARAMS];
    memset(small, 0, sizeof small);
    went_well(j, mskp_plan_views(plan, set_by_id(params, values->views), set_by_id(params, small),
                                 &j->err));
    const move_by_id moves[2] = {{values->views, NULL}, {gradients->views, NULL}};
    went_well(j, cut_by_id(plan, params, 2, moves, &j->err));
    for (size_t p = 1; p <= params; p++) add(j, small[p].shape, sizeof small[p].shape);
    add(j, values->memory, values->bytes);
    add(j, gradients->memory, gradients->bytes);

    rng r = {j->seed};
    set back;
    set_open(&back, j->graph, &r, true);
    const move_by_id undo = {values->views, back.views};
    went_well(j, restore_by_id(plan, params, 1, &undo, &j->err));
    add(j, back.memory, back.bytes);
    free(back.memory);
}

/* The mask and the report as text, and the mask read again. */
static void texts(job *j, const double *scores, const uint8_t *keep)
{
    enum { ROOM = 1 << 18 };
    const size_t units = mskp_graph_counts(j->graph).units;
    const mskp_report_options report = {.scores = scores_of(units, scores)};
    uint8_t back[MOST_UNITS];
    size_t n = 0;
    char *text = malloc(ROOM);
    if (!text) abort();
    went_well(j, mskp_mask_write(j->graph, mask_of(units, keep), ROOM, text, &n, &j->err));
    add(j, text, n);
    if (went_well(j, mskp_mask_read(j->graph, n, text, mask_of(units, back), &j->err)))
        add(j, back, units);
    went_well(j,
              mskp_report_json(j->graph, mask_of(units, keep), &report, ROOM, text, &n, &j->err));
    add(j, text, n);
    free(text);
}

/* The same numbers in every thread, and no negative variance among them. */
static void values_of_constants(set *s, const mskp_graph *graph)
{
    rng r = {4711};
    set_open(s, graph, &r, false);
    for (uint32_t p = 1; s->memory && p <= mskp_graph_counts(graph).params; p++) {
        const mskp_tensor *t = &s->views[p];
        const size_t n = t->ndim == 1 ? t->shape[0] : 0;
        for (size_t i = 0; i < n; i++) ((float *)t->data)[i] = fabsf(((float *)t->data)[i]);
    }
}

static const mskp_constants_desc merge = {.way = MSKP_CONSTANTS_MERGE, .zeroed = MSKP_ROLE_SCALE};

/* Constants of the thread's own, or those that it shares; the plan and the values are its own. */
static void constants(job *j, const double *scores)
{
    const mskp_graph *g = j->graph;
    const mskp_counts n = mskp_graph_counts(g);
    const mskp_rule rule = {.remove_fraction = 0.3, .round_to = 4};
    uint8_t selected[MOST_UNITS], carriers[MOST_UNITS], kept[MOST_UNITS];
    mskp_constants *own = NULL;
    mskp_constants_report report = {0};
    mskp_plan *plan = NULL;
    set values;
    values_of_constants(&values, g);
    const mskp_tensors tensors = set_by_id(n.params, values.views);
    const mskp_move move = {tensors, MSKP_INIT};
    if (!j->constants && !went_well(j, mskp_constants_select(g, scores_of(n.units, scores), &rule,
                                                             &merge, tensors, &own, &j->err))) {
        free(values.memory);
        return;
    }
    const mskp_constants *c = j->constants ? j->constants : own;
    went_well(j, mskp_constants_masks(c, mask_of(n.units, selected), mask_of(n.units, carriers),
                                      mask_of(n.units, kept), &j->err));
    add(j, selected, n.units);
    add(j, carriers, n.units);
    add(j, kept, n.units);
    for (size_t i = 0; i < mskp_constants_consumers(c); i++) {
        went_well(j, mskp_constants_consumer(c, i, &report, &j->err));
        add(j, &report.bound, sizeof report.bound);
        add(j, &report.carriers, sizeof report.carriers);
    }
    went_well(j, mskp_constants_plan(c, &plan, NULL, &j->err));
    went_well(j, mskp_constants_apply(c, plan, tensors, &j->err));
    add(j, values.memory, values.bytes);
    went_well(j, mskp_plan_cut(plan, 1, &move, &j->err));
    add(j, values.memory, values.bytes);
    mskp_plan_destroy(plan);
    mskp_constants_destroy(own);
    free(values.memory);
}

static void *run_job(void *argument)
{
    job *j = argument;
    const mskp_graph *g = j->graph;
    const size_t units = mskp_graph_counts(g).units;
    rng r = {j->seed};
    set values, gradients;
    double scores[MOST_UNITS];
    uint8_t keep[MOST_UNITS];
    j->err = (mskp_error){.status = MSKP_OK, .text = ""};
    j->hash = HASH_START;
    set_open(&values, g, &r, true);
    set_open(&gradients, g, &r, false);
    scores_and_mask(j, &values, scores, keep);
    penalties(j, &values, &gradients, scores, keep);
    texts(j, scores, keep);
    constants(j, scores);
    mskp_plan *own = NULL;
    mskp_graph *small = NULL;
    if (j->shared != NULL) {
        surgery(j, j->shared, &values, &gradients);
    } else if (went_well(j, mskp_plan_create(g, mask_of(units, keep), &own, &small, &j->err))) {
        mskp_counts counts = mskp_graph_counts(small);
        add(j, &counts, sizeof counts);
        surgery(j, own, &values, &gradients);
    }
    mskp_plan_destroy(own);
    mskp_graph_destroy(small);
    free(values.memory);
    free(gradients.memory);
    return NULL;
}

START_TEST(one_graph_in_many_threads)
{
    mskp_graph *g = network(NULL);
    const size_t units = mskp_graph_counts(g).units;
    uint8_t keep[MOST_UNITS];
    mskp_plan *plan = NULL;
    mskp_error err = {.text = ""};
    for (size_t u = 0; u < units; u++) keep[u] = u % 7 < 4;
    must(mskp_plan_create(g, mask_of(units, keep), &plan, NULL, &err) == MSKP_OK, "%s", err.text);
    set values;
    mskp_constants *constants;
    values_of_constants(&values, g);
    must(mskp_constants_create(g, mask_of(units, keep), &merge,
                               set_by_id(mskp_graph_counts(g).params, values.views), &constants,
                               &err) == MSKP_OK,
         "%s", err.text);
    mskp_constants_report total;
    must(mskp_constants_total(constants, &total, &err) == MSKP_OK && total.carriers > 0,
         "no carriers: the calls on carriers are not tested here");
    size_t rounds = scaled(3);
    for (size_t round = 0; round < rounds; round++) {
        job serial[THREADS], at_once[THREADS];
        pthread_t threads[THREADS];
        for (size_t t = 0; t < THREADS; t++) {
            serial[t] = (job){.graph = g,
                              .shared = t % 2 ? plan : NULL,
                              .constants = t % 2 ? constants : NULL,
                              .seed = 100 * round + t};
            at_once[t] = serial[t];
            run_job(&serial[t]);
            must(serial[t].err.status == MSKP_OK, "%s", serial[t].err.text);
        }
        must(serial[0].hash != serial[2].hash, "jobs do not differ");
        for (size_t t = 0; t < THREADS; t++)
            must(pthread_create(&threads[t], NULL, run_job, &at_once[t]) == 0, "no thread");
        for (size_t t = 0; t < THREADS; t++) pthread_join(threads[t], NULL);
        for (size_t t = 0; t < THREADS; t++)
            must(at_once[t].hash == serial[t].hash, "thread %zu: %s", t, at_once[t].err.text);
    }
    mskp_constants_destroy(constants);
    free(values.memory);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(g);
}
END_TEST

/* ---- parallel_for by 1, 2, 3, 7 threads, in shuffled order ---- */

typedef struct pool {
    size_t threads;
    rng r;
    size_t calls, largest;
    pthread_t caller;
    bool wrong_thread;
} pool;

typedef struct share {
    pthread_mutex_t lock;
    size_t next, n;
    const size_t *order;
    void (*work)(void *context, size_t i);
    void *context;
} share;

static void *work_on(void *argument)
{
    share *s = argument;
    for (;;) {
        pthread_mutex_lock(&s->lock);
        size_t i = s->next < s->n ? s->order[s->next++] : SIZE_MAX;
        pthread_mutex_unlock(&s->lock);
        if (i == SIZE_MAX) return NULL;
        s->work(s->context, i);
    }
}

static void run_parallel(void *context, size_t n, void (*work)(void *, size_t), void *work_context)
{
    pool *p = context;
    size_t *order = malloc((n ? n : 1) * sizeof *order);
    pthread_t threads[8];
    share s = {.n = n, .order = order, .work = work, .context = work_context};
    if (!pthread_equal(p->caller, pthread_self())) p->wrong_thread = true;
    for (size_t i = 0; i < n; i++) {
        size_t j = rng_below(&p->r, i + 1);
        order[i] = order[j];
        order[j] = i;
    }
    p->calls++;
    if (n > p->largest) p->largest = n;
    pthread_mutex_init(&s.lock, NULL);
    for (size_t t = 0; t < p->threads; t++) pthread_create(&threads[t], NULL, work_on, &s);
    for (size_t t = 0; t < p->threads; t++) pthread_join(threads[t], NULL);
    pthread_mutex_destroy(&s.lock);
    free(order);
}

START_TEST(any_parallel_for)
{
    mskp_graph *g = network(NULL);
    job plain = {.graph = g, .seed = 42};
    run_job(&plain);
    must(plain.err.status == MSKP_OK, "%s", plain.err.text);
    mskp_graph_destroy(g);
    static const size_t counts[] = {1, 2, 3, 7};
    size_t rounds = scaled(2);
    for (size_t i = 0; i < 4 * rounds; i++) {
        pool p = {.threads = counts[i % 4], .r = {i}, .caller = pthread_self()};
        g = network(&(mskp_services){.context = &p, .parallel_for = run_parallel});
        job shared_out = {.graph = g, .seed = 42};
        run_job(&shared_out);
        must(shared_out.err.status == MSKP_OK, "%s", shared_out.err.text);
        must(shared_out.hash == plain.hash, "%zu threads: another result", p.threads);
        must(!p.wrong_thread, "parallel_for called from a thread that did not call mskp");
        if (i == 0) printf("parallel_for: %zu calls, up to %zu parts\n", p.calls, p.largest);
        must(p.calls > 0, "parallel_for was never used: nothing is tested here");
        mskp_graph_destroy(g);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("threads");
    TCase *tests = tcase_create("threads");
    tcase_set_timeout(tests, 300);
    tcase_add_test(tests, one_graph_in_many_threads);
    tcase_add_test(tests, any_parallel_for);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
