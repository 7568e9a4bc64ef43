/*
 * What pruning costs in time and memory, on the networks of test/zoo: zoo [-r REPEATS] [NETWORK
 * ...]
 *
 * One thread, processor time, float parameters. Half of all units leave, those with the smallest
 * sum of squares over filters, consumers and scales, relative to the mean of their family: the
 * criterion and the amount of compare-torch-pruning. Parameters are allocated and filled before the
 * clock starts, anew for each repetition, because surgery is in place.
 *
 * Prints one line of key=value for each network (seconds, bytes), then a table. Stages:
 *   describe  zoo_make: names and shapes
 *   units     mskp_graph_finish
 *   score     mskp_score, and the division by the mean of the family
 *   select    mskp_select
 *   cut       mskp_plan_create with the smaller graph, mskp_plan_cut of the parameters
 * Memory: `library` is the most that the library held at a time, by its allocator; `process` is
 * what the resident set's peak (VmHWM) grew over what was resident once the parameters were filled.
 */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "by_id/by_id.h"
#include "interpreter/base.h"
#include "timing.h"
#include "zoo/zoo.h"

static const char *const NETWORKS[] = {
    "resnet18",      "resnet50",           "resnext50_32x4d",       "vgg16_bn",
    "mobilenet_v2",  "mobilenet_v3_large", "densenet121",           "densenet169",
    "densenet201",   "shufflenet_v2_x1_0", "squeezenet1_0",         "squeezenet1_1",
    "googlenet",     "inception_v3",       "efficientnet_b0",       "regnet_y_400mf",
    "convnext_tiny", "vit_b_16",           "convnext_tiny/inexact", "vit_b_16/inexact"};

static const double FRACTION = 0.5;

enum { DESCRIBE, UNITS, SCORE, SELECT, CUT, TOTAL, STAGES };
static const char *const STAGE_NAMES[STAGES] = {"describe", "units", "score",
                                                "select",   "cut",   "total"};

typedef struct result {
    double seconds[STAGES];
    mskp_counts counts;
    size_t removed;
    mskp_cost before, after;
    size_t library, process; /* peak bytes */
    double values;           /* bytes of the parameters */
} result;

/* ---- Time and memory ---- */

/* A figure of /proc/self/status in bytes; 0 where there is none. */
static size_t resident(const char *key)
{
    char line[128];
    size_t kilobytes = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key))) kilobytes = strtoul(line + strlen(key) + 1, NULL, 10);
    if (f) fclose(f);
    return kilobytes * 1024;
}

/* The peak starts again from what is resident now, where the system allows it. */
static void reset_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}

/* ---- Parameters ---- */

static size_t elements(const mskp_graph *graph, uint32_t id, size_t *fan_in)
{
    size_t shape[MSKP_MAX_DIMS], n = 1;
    const uint32_t ndim = mskp_param_shape(graph, (mskp_param){id}, shape);
    for (uint32_t d = 0; d < ndim; d++) n *= shape[d];
    *fan_in = n / shape[0];
    return n;
}

static int make_values(const mskp_graph *graph, size_t params, mskp_tensor *values)
{
    for (uint32_t id = 1; id <= params; id++) {
        size_t fan_in;
        values[id].data = malloc(elements(graph, id, &fan_in) * sizeof(float));
        if (!values[id].data) return 1;
    }
    return 0;
}

static void free_values(size_t params, mskp_tensor *values)
{
    for (size_t id = 1; values && id <= params; id++) free(values[id].data);
    free(values);
}

/* Weights uniform between -1 / sqrt(fan-in) and 1 / sqrt(fan-in), as PyTorch's layers begin;
 * vectors 1. */
static void fill(const mskp_graph *graph, size_t params, const mskp_tensor *values, double *bytes)
{
    rng random = rng_make(1);
    *bytes = 0;
    for (uint32_t id = 1; id <= params; id++) {
        size_t fan_in;
        float *data = values[id].data;
        const size_t n = elements(graph, id, &fan_in);
        const double bound = 1 / sqrt((double)fan_in);
        *bytes += (double)n * sizeof *data;
        for (size_t i = 0; i < n; i++)
            data[i] = fan_in == 1 ? 1.0F : (float)rng_real(&random, -bound, bound);
    }
}

/* ---- The work ---- */

/* Sums of squares by the mean of their family, so that families of any size compare. */
static void normalize(const mskp_graph *graph, mskp_counts counts, double *scores)
{
    for (size_t f = 0; f < counts.families; f++) {
        size_t n;
        const uint32_t *unit = mskp_family_units(graph, f, &n);
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            scores[unit[i]] *= scores[unit[i]];
            sum += scores[unit[i]];
        }
        const double scale = sum > 0 ? (double)n / sum : 0;
        for (size_t i = 0; i < n; i++) scores[unit[i]] *= scale;
    }
}

/* From the finished graph on. Times go to seconds[]. */
static mskp_status prune(const mskp_graph *graph, mskp_tensor *values, double *scores,
                         uint8_t *keep, result *r, double seconds[STAGES], mskp_error *err)
{
    const mskp_scoring scoring = {
        .magnitude = MSKP_MAGNITUDE_L2,
        .reduce = MSKP_REDUCE_JOINT,
        .roles = MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER | MSKP_ROLE_SCALE,
    };
    const mskp_counts counts = r->counts;
    mskp_selection selection;
    mskp_plan *plan;
    mskp_graph *small;

    double start = timing_cpu();
    mskp_status status = mskp_score(graph, &scoring, set_by_id(counts.params, values),
                                    scores_of(counts.units, scores), err);
    if (status) return status;
    normalize(graph, counts, scores);
    seconds[SCORE] = timing_cpu() - start;

    start = timing_cpu();
    status = mskp_select(graph, scores_of(counts.units, scores),
                         &(mskp_rule){.remove_fraction = FRACTION}, mask_of(counts.units, keep),
                         &selection, err);
    if (status) return status;
    seconds[SELECT] = timing_cpu() - start;

    start = timing_cpu();
    status = mskp_plan_create(graph, mask_of(counts.units, keep), &plan, &small, err);
    if (status) return status;
    status = cut_by_id(plan, counts.params, 1, &(move_by_id){.from = values}, err);
    seconds[CUT] = timing_cpu() - start;

    r->removed = selection.removed;
    if (!status) status = mskp_measure(graph, (mskp_mask){0}, &r->before, NULL, err);
    if (!status) status = mskp_measure(small, (mskp_mask){0}, &r->after, NULL, err);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    return status;
}

/*
 * Parameters can only be made when the shapes are known. So the graph is described once to make
 * them, and again with the clock running; the first graph is gone by then.
 */
static mskp_status once(const char *name, result *r, double seconds[STAGES], mskp_error *err)
{
    timing_memory held = {0, 0};
    const mskp_services services = timing_services(&held);

    mskp_graph *graph = zoo_make(name, &services);
    if (!graph) {
        snprintf(err->text, sizeof err->text, "not in the zoo, or no memory");
        return MSKP_ERROR_BAD_NAME;
    }
    mskp_status status = mskp_graph_finish(graph, err);
    const mskp_counts counts = mskp_graph_counts(graph);
    mskp_tensor *values = calloc(counts.params + 1, sizeof *values);
    double *scores = malloc((counts.units + 1) * sizeof *scores);
    uint8_t *keep = malloc(counts.units + 1);
    if (!status && (!values || !scores || !keep || make_values(graph, counts.params, values)))
        status = MSKP_ERROR_NO_MEMORY;
    if (!status) fill(graph, counts.params, values, &r->values);
    mskp_graph_destroy(graph);
    graph = NULL;
    r->counts = counts;
    held.peak = held.live;
    reset_peak();
    const size_t before = resident("VmRSS");

    if (!status) {
        double start = timing_cpu();
        graph = zoo_make(name, &services);
        seconds[DESCRIBE] = timing_cpu() - start;
        start = timing_cpu();
        status = graph ? mskp_graph_finish(graph, err) : MSKP_ERROR_NO_MEMORY;
        seconds[UNITS] = timing_cpu() - start;
    }
    if (!status) status = prune(graph, values, scores, keep, r, seconds, err);

    const size_t peak = resident("VmHWM");
    r->process = peak > before ? peak - before : 0;
    r->library = held.peak;
    seconds[TOTAL] = 0;
    for (int s = 0; s < TOTAL; s++) seconds[TOTAL] += seconds[s];
    mskp_graph_destroy(graph);
    free_values(counts.params, values);
    free(scores);
    free(keep);
    return status;
}

/* Memory is that of the first repetition: later ones find what the process kept. */
static mskp_status run(const char *name, size_t repeats, result *r, mskp_error *err)
{
    double(*seconds)[STAGES] = calloc(repeats, sizeof *seconds);
    double *column = calloc(repeats, sizeof *column);
    mskp_status status = seconds && column ? MSKP_OK : MSKP_ERROR_NO_MEMORY;
    for (size_t k = 0; !status && k < repeats; k++) {
        const size_t process = r->process;
        status = once(name, r, seconds[k], err);
        if (k) r->process = process;
    }
    for (int s = 0; !status && s < STAGES; s++) {
        for (size_t k = 0; k < repeats; k++) column[k] = seconds[k][s];
        r->seconds[s] = timing_median(column, repeats);
    }
    free(column);
    free(seconds);
    return status;
}

/* ---- What is printed ---- */

static void print_line(const char *name, size_t repeats, const result *r)
{
    printf("zoo network=%s repeats=%zu", name, repeats);
    for (int s = 0; s < STAGES; s++) printf(" %s=%.9f", STAGE_NAMES[s], r->seconds[s]);
    printf(" library=%zu process=%zu values=%.0f all_units=%zu removed=%zu", r->library, r->process,
           r->values, r->counts.units, r->removed);
    printf(" params_before=%.0f params=%.0f macs_before=%.0f macs=%.0f\n", r->before.params,
           r->after.params, r->before.macs, r->after.macs);
    fflush(stdout);
}

static void print_table(size_t n, const char *const *names, const result *results)
{
    printf("\n%-22s", "ms; peak KiB; % left");
    for (int s = 0; s < STAGES; s++) printf(" %9s", STAGE_NAMES[s]);
    printf(" %8s %8s %6s %6s\n", "library", "process", "params", "MACs");
    for (size_t i = 0; i < n; i++) {
        const result *r = &results[i];
        if (r->counts.units == 0) continue; /* failed */
        printf("%-22s", names[i]);
        for (int s = 0; s < STAGES; s++) printf(" %9.3f", 1e3 * r->seconds[s]);
        printf(" %8.0f %8.0f %6.1f %6.1f\n", (double)r->library / 1024, (double)r->process / 1024,
               100 * r->after.params / r->before.params, 100 * r->after.macs / r->before.macs);
    }
}

int main(int argc, char **argv)
{
    size_t repeats = 5, first = 1;
    if (argc > 2 && !strcmp(argv[1], "-r")) {
        repeats = strtoul(argv[2], NULL, 10);
        first = 3;
    }
    const size_t given = (size_t)argc > first ? (size_t)argc - first : 0;
    const size_t n = given ? given : sizeof NETWORKS / sizeof *NETWORKS;
    const char *const *names = given ? (const char *const *)argv + first : NETWORKS;
    result *results = calloc(n, sizeof *results);
    int failed = !repeats || !results;
    if (failed) fprintf(stderr, "zoo: bad arguments or no memory\n");
    for (size_t i = 0; !failed && i < n; i++) {
        mskp_error err = {MSKP_OK, ""};
        const mskp_status status = run(names[i], repeats, &results[i], &err);
        if (status) {
            fprintf(stderr, "zoo: %s: %s\n", names[i],
                    err.text[0] ? err.text : mskp_status_text(status));
            failed = 1;
        } else {
            print_line(names[i], repeats, &results[i]);
        }
    }
    if (!failed) print_table(n, names, results);
    free(results);
    return failed;
}
