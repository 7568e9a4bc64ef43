#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static stage baseline(job *j)
{
    const driver_options *o = &j->t->options;
    const size_t epochs = o->epochs[DRIVER_BASELINE];
    const bool none = o->masked && !o->weights && !epochs;
    return (stage){.name = "baseline",
                   .epochs = epochs,
                   .rate = o->rate,
                   .accuracy = none ? NULL : &j->results.baseline};
}

static bool end_baseline(job *j)
{
    if (!isnan(j->results.baseline)) {
        say(j, "baseline: test %.2f %%", 100 * j->results.baseline);
        report_moment(j, MOMENT_BASELINE);
    }
    return fetch(j->t) && snapshot_save(j->t, &j->baseline, j->t->values);
}

/* ---- files ---- */

static bool save(job *j, const char *path)
{
    return !path || j->t->save(j->t, path, NULL);
}

static bool save_with_mask(job *j, const char *path)
{
    if (!path) return true;
    char *mask = pruning_mask_text(j);
    if (!mask) return trainer_fail(j->t, "no memory for the mask of %zu units", j->keep.n);
    const bool good = j->t->save(j->t, path, mask);
    free(mask);
    return good;
}

/* ---- the mask ---- */

static bool begin_global(job *j)
{
    trainer *t = j->t;
    const driver_options *o = &t->options;
    if (o->masked) return true;
    return o->sparse ? t->load(t, o->sparse) : t->reset(t);
}

/* Makes every gamma sparse, only to see which of them the network can do without. */
static stage global_sparsity(job *j)
{
    const driver_options *o = &j->t->options;
    return (stage){
        .name = "global", .epochs = o->epochs[DRIVER_GLOBAL], .rate = o->rate, .pruned = true};
}

static bool end_global(job *j)
{
    return save(j, j->t->options.save_sparse);
}

static bool mask(job *j)
{
    trainer *t = j->t;
    char text[800];
    if (t->options.epochs[DRIVER_GLOBAL] || t->options.sparse) report_moment(j, MOMENT_GLOBAL);
    if (!pruning_mark(j)) return false;
    report_mask(j);
    say(j, "mask: %zu of %zu units are marked, %.1f %% of the MACs stay", j->removed, j->keep.n,
        100 * j->selected.macs / j->dense.macs);
    for (size_t i = 0; j->removed && t->widths && t->widths(t, j->keep, i, sizeof text, text); i++)
        say(j, "  %s", text);
    return restore_values(j, &j->baseline) && t->reset(t);
}

/* ---- masked training ---- */

static stage masked_sparsity(job *j)
{
    const driver_options *o = &j->t->options;
    return (stage){.name = "masked",
                   .epochs = o->epochs[DRIVER_MASKED],
                   .rate = o->rate,
                   .pruned = j->removed && o->penalty != DRIVER_PENALTY_NONE,
                   .accuracy = &j->results.before};
}

static bool begin_masked(job *j)
{
    const char *path = j->t->options.masked;
    if (!mask(j)) return false;
    if (path) return j->t->load(j->t, path);
    const stage s = masked_sparsity(j);
    pruning_print_reach(j, &s);
    return true;
}

static bool end_masked(job *j)
{
    if (!save_with_mask(j, j->t->options.save_masked)) return false;
    if (j->removed)
        say(j, "marked: the largest |gamma| is %.2g, the largest |beta| %.2g",
            pruning_largest_marked(j, MSKP_ROLE_SCALE), pruning_largest_marked(j, MSKP_ROLE_SHIFT));
    return true;
}

/* ---- surgery ---- */

/* The accuracy with these slices of the marked units at 0. The network stays as it is. */
static bool accuracy_without(job *j, uint32_t roles, double *part)
{
    return pruning_zero_marked(j, roles) && accuracy(j, part) && restore_values(j, &j->values);
}

static void print_constants(job *j, const mskp_constants_report *r)
{
    say(j,
        "constants of the removed channels: %zu folded into means and biases, %zu merged into %zu "
        "carriers, %zu dropped, %zu not constant",
        r->folded, r->merged, r->carriers, r->dropped, r->live);
    if (r->carriers)
        say(j, "  with the carriers %.1f %% of the MACs stay", 100 * j->now.macs / j->dense.macs);
    if (!r->exact) say(j, "  not exact: %s", r->why);
    if (!r->exact && isfinite(r->bound))
        say(j, "  a layer's output is off by at most %.2g, which is %.2g of its output scale",
            r->bound, r->share);
}

/* The removed units have gamma 0. If their constants are moved exactly, the cut must change nothing
 * but the order of some sums. */
static bool cut_and_compare(job *j, const planned *p)
{
    trainer *t = j->t;
    const size_t batch = t->options.batch, n = j->test.count < batch ? j->test.count : batch;
    const size_t count = n * t->classes;
    const mskp_constants_report report = p->report;
    const mskp_cost foreseen = p->cost;
    double difference = 0, scale = 1;
    report_cut(j, p->constants);
    float *before = malloc(count * sizeof *before);
    if (!before) return trainer_fail(t, "no memory for %zu outputs", count);
    bool good = pruning_zero_marked(j, MSKP_ROLE_SCALE) && infer_first(j, n);
    for (size_t i = 0; good && i < count; i++) before[i] = j->outputs[i];
    good = good && restore_values(j, &j->values) && pruning_cut(j, p) && infer_first(j, n);
    for (size_t i = 0; good && i < count; i++) {
        difference = fmax(difference, fabs((double)before[i] - (double)j->outputs[i]));
        scale = fmax(scale, fabs((double)before[i]));
    }
    free(before);
    if (!good) return false;
    if (j->now.macs != foreseen.macs || j->now.params != foreseen.params)
        return trainer_fail(t,
                            "surgery left %.0f MACs and %.0f parameters instead of %.0f and %.0f",
                            j->now.macs, j->now.params, foreseen.macs, foreseen.params);
    print_constants(j, &report);
    say(j, "surgery itself: largest difference of outputs %.2g", difference);
    return !report.exact || difference <= 1e-3 * scale ||
           trainer_fail(t, "surgery changed an output by %.3g, although it is exact", difference);
}

static bool measure_speeds(job *j, size_t which)
{
    results *r = &j->results;
    return save_state(j) && measure_speed(j, false, &r->inference[which]) &&
           measure_speed(j, true, &r->training[which]) && restore_state(j);
}

static bool surgery(job *j)
{
    results *r = &j->results;
    planned p;
    if (!pruning_prepare(j, &p)) return false;
    if (p.more)
        say(j, "budget: the carriers cost more than was foreseen, so %zu more unit%s removed",
            p.more, p.more == 1 ? " is" : "s are");
    if (!measure_speeds(j, 0) || !accuracy_without(j, MSKP_ROLE_SCALE, &r->no_gamma) ||
        !accuracy_without(j, MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT, &r->no_gamma_beta) ||
        !cut_and_compare(j, &p) || !accuracy(j, &r->after))
        return false;
    if (!make_room(j) || !measure_speeds(j, 1)) return false;
    say(j, "surgery: test %.2f %% before, %.2f %% right after", 100 * r->before, 100 * r->after);
    return true;
}

static stage tuning(job *j)
{
    const driver_options *o = &j->t->options;
    const bool masked = o->epochs[DRIVER_MASKED] || o->masked;
    return (stage){.name = "tuning",
                   .epochs = o->epochs[DRIVER_TUNE],
                   .rate = masked ? o->rate / 2 : o->rate,
                   .accuracy = &j->results.tuned};
}

static bool end_tuning(job *j)
{
    return save(j, j->t->options.out);
}

/* A phase has a training in its middle. A job that is resumed goes on in one of the trainings, and
 * what comes before this training has been done. */
static const struct {
    bool (*begin)(job *j); /* NULL: nothing */
    stage (*training)(job *j);
    bool (*end)(job *j);
} PHASES[] = {[DRIVER_BASELINE] = {NULL, baseline, end_baseline},
              [DRIVER_GLOBAL] = {begin_global, global_sparsity, end_global},
              [DRIVER_MASKED] = {begin_masked, masked_sparsity, end_masked},
              [DRIVER_TUNE] = {surgery, tuning, end_tuning}};

bool run_stages(job *j)
{
    for (; j->phase < DRIVER_STAGES; j->phase++) {
        if (!j->resumed && PHASES[j->phase].begin && !PHASES[j->phase].begin(j)) return false;
        const stage s = PHASES[j->phase].training(j);
        if (j->resumed)
            say(j, "resumed: %s, after %zu of %zu epochs and %zu of %zu steps", s.name,
                j->epoch.number, s.epochs, j->epoch.steps, steps_per_epoch(j));
        if (!train(j, &s) || !PHASES[j->phase].end(j)) return false;
    }
    return true;
}

void result_rows(const job *j, table_pair pairs[RESULT_PAIRS], table_part parts[RESULT_PARTS])
{
    const results *r = &j->results;
    const table_pair all_pairs[RESULT_PAIRS] = {
        {"parameters", j->dense.params, j->now.params},
        {"MACs", j->dense.macs, j->now.macs},
        {"images/s, inference", r->inference[0], r->inference[1]},
        {"images/s, training", r->training[0], r->training[1]}};
    const table_part all_parts[RESULT_PARTS] = {{"baseline", r->baseline},
                                                {"before surgery", r->before},
                                                {"  gamma of the removed zeroed", r->no_gamma},
                                                {"  gamma and beta zeroed", r->no_gamma_beta},
                                                {"right after surgery", r->after},
                                                {"after fine-tuning", r->tuned}};
    memcpy(pairs, all_pairs, sizeof all_pairs);
    memcpy(parts, all_parts, sizeof all_parts);
}

void print_table(job *j)
{
    table_pair pairs[RESULT_PAIRS];
    table_part parts[RESULT_PARTS];
    result_rows(j, pairs, parts);
    table_print(&j->progress, RESULT_PAIRS, pairs, RESULT_PARTS, parts);
    if (j->results.penalty_share > 0)
        say(j, "the penalty's share of a training step: %.4f %%", 100 * j->results.penalty_share);
}
