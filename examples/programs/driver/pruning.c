/*
 * The pruner of a job: how its options follow from the command line, and what is asked of it.
 *
 * The pruner counts the steps of the global phase, which is its sparse stage, and of the masked
 * phase. The other phases are before its first step and after its cut. With --penalty none nothing
 * is pulled, so the masked phase is none of its stages: the mask is then marked while the cut is
 * due.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* So that no layer collapses. */
static const size_t LEAST_CHANNELS = 2;
/* The fraction of the masked phase that is left when the marked units are at 0, so that other
 * channels can take over: after a deadline, and after automatic strengths, for which 0.25 and 0.5
 * lose more (docs/results.md). At the very end of the phase the learning rate is 0, and what is
 * lost last would be missed. A fixed strength acts until the end. */
static const double AFTER_DEADLINE = 0.25, AFTER_AUTOMATIC = 0.75;

static const struct {
    mskp_pull pull;
    mskp_penalty_kind kind;
    const char *name;
} PENALTIES[] = {
    [DRIVER_PENALTY_NONE] = {MSKP_PULL_GRADIENT, MSKP_PENALTY_L1, "none"},
    [DRIVER_PENALTY_L1] = {MSKP_PULL_GRADIENT, MSKP_PENALTY_L1, "L1"},
    [DRIVER_PENALTY_SMOOTH_L1] = {MSKP_PULL_GRADIENT, MSKP_PENALTY_SMOOTH_L1, "smooth L1"},
    [DRIVER_PENALTY_L2] = {MSKP_PULL_GRADIENT, MSKP_PENALTY_L2, "L2"},
    [DRIVER_PENALTY_PROX] = {MSKP_PULL_PROXIMAL, MSKP_PENALTY_L1, "soft threshold"},
    [DRIVER_PENALTY_DEADLINE] = {MSKP_PULL_DEADLINE, MSKP_PENALTY_L1, "deadline"}};

static bool failed(const job *j, const mskp_error *err)
{
    return trainer_fail(j->t, "%s", err->text);
}

uint32_t pruning_roles(const driver_options *o)
{
    return MSKP_ROLE_SCALE | (o->on == DRIVER_ON_GAMMA_BETA ? MSKP_ROLE_SHIFT : 0u);
}

bool pruning_is_automatic(const driver_options *o)
{
    return (o->penalty == DRIVER_PENALTY_L1 || o->penalty == DRIVER_PENALTY_PROX) &&
           !(o->strength > 0);
}

/* ---- the pruner ---- */

/* A unit of a residual stream has a gamma in each of its batch norms, a unit inside a block has
 * one; the mean treats both alike. Norms of filters grow with their size, so they are compared with
 * the mean of their family. */
static mskp_pruner_options options_of(const job *j)
{
    const driver_options *o = &j->t->options;
    const bool filters = o->mask == DRIVER_MASK_FILTERS, pulls = o->penalty != DRIVER_PENALTY_NONE;
    const mskp_pull pull = PENALTIES[o->penalty].pull;
    const size_t sparse = o->epochs[DRIVER_GLOBAL] * steps_per_epoch(j);
    const size_t masked = pulls ? o->epochs[DRIVER_MASKED] * steps_per_epoch(j) : 0;
    const double steps = (double)(sparse + masked ? sparse + masked : 1);
    const double gain = 1 / (1 - j->t->momentum); /* of a gradient over a soft threshold */
    const bool regular = o->global_strength > 0;
    return (mskp_pruner_options){
        /* A mask that is read has no budget here, and is cut as it is. */
        .rule = {.max_macs = (o->masked ? 1 : o->macs) * j->dense.macs,
                 .min_channels = LEAST_CHANNELS,
                 .locked = j->locked,
                 .empty_branches = o->branches},
        .scoring = {.reduce = MSKP_REDUCE_MEAN,
                    .roles = filters ? MSKP_ROLE_FILTER : MSKP_ROLE_SCALE},
        .use_normalizer = filters,
        .normalizer = MSKP_NORMALIZER_MEAN,
        .constants = {.way = (mskp_constants_way)o->constants},
        /* Smooth within one step of 0, where L1 only makes gamma jump from side to side. */
        .penalty = {.kind = PENALTIES[o->penalty].kind,
                    .roles = pulls ? pruning_roles(o) : MSKP_ROLE_SCALE,
                    .knee = o->rate * o->strength * gain},
        .pull = pull,
        .strength = o->strength,
        .momentum = j->t->momentum,
        .gradient_scale = j->t->gradient_scale,
        .steps = (uint64_t)steps,
        .wait = regular ? 0 : (double)sparse / steps,
        .sparse = regular ? (double)sparse / steps : 0,
        .sparse_strength = o->global_strength * (pull == MSKP_PULL_GRADIENT ? 1 : gain),
        .masked = (double)masked / steps,
        .settle = o->strength > 0              ? 0
                  : pull == MSKP_PULL_DEADLINE ? AFTER_DEADLINE
                                               : AFTER_AUTOMATIC};
}

bool pruning_open(job *j)
{
    const size_t units = mskp_graph_counts(j->t->graph).units;
    const arg_words *lock = &j->t->options.lock;
    mskp_error err;
    j->keep = (mskp_mask){units, malloc(units + 1)};
    j->kept = (mskp_mask){units, calloc(units + 1, 1)};
    j->locked = (mskp_mask){units, calloc(units + 1, 1)};
    if (!j->keep.unit || !j->kept.unit || !j->locked.unit)
        return trainer_fail(j->t, "no memory for masks of %zu units", units);
    memset(j->keep.unit, 1, units);
    if (mskp_measure(j->t->graph, (mskp_mask){0}, &j->dense, NULL, &err)) return failed(j, &err);
    if (mskp_mask_match(j->t->graph, lock->count, lock->text, 0, j->locked, &err))
        return trainer_fail(j->t, "--lock: %s", err.text);
    j->now = j->selected = j->dense;
    j->fingerprint = mskp_fingerprint(j->t->graph);
    return true;
}

void pruning_free(job *j)
{
    mskp_pruner_destroy(j->pruner);
    j->pruner = NULL;
    free(j->keep.unit);
    free(j->kept.unit);
    free(j->locked.unit);
    j->keep.unit = j->kept.unit = j->locked.unit = NULL;
}

bool pruning_begin(job *j, const char *text, mskp_plan **plan)
{
    const mskp_pruner_options how = options_of(j);
    const mskp_graph *graph = j->t->graph;
    mskp_error err;
    const mskp_status status =
        text ? mskp_pruner_read(graph, &how, strlen(text), text, &j->pruner, plan, &err)
             : mskp_pruner_create(graph, &how, &j->pruner, &err);
    if (status) return failed(j, &err);
    const mskp_mask mask = mskp_pruner_mask(j->pruner);
    if (mask.n) memcpy(j->keep.unit, mask.unit, mask.n);
    return true;
}

static mskp_status write(const job *j, bool mask, size_t capacity, char *text, size_t *length)
{
    return mask ? mskp_mask_write(j->t->graph, j->keep, capacity, text, length, NULL)
                : mskp_pruner_write(j->pruner, capacity, text, length, NULL);
}

static char *text_of(const job *j, bool mask)
{
    size_t length = 0;
    if (write(j, mask, 0, NULL, &length)) return NULL;
    char *text = malloc(length + 1);
    if (text && write(j, mask, length + 1, text, &length)) {
        free(text);
        text = NULL;
    }
    return text;
}

char *pruning_mask_text(const job *j)
{
    return text_of(j, true);
}

char *pruning_text(const job *j)
{
    return text_of(j, false);
}

/* ---- the mask ---- */

/* What the marked units leave. */
static bool measure_mask(job *j)
{
    mskp_error err;
    j->removed = 0;
    for (size_t u = 0; u < j->keep.n; u++) j->removed += !j->keep.unit[u];
    return !mskp_measure(j->t->graph, j->keep, &j->selected, NULL, &err) || failed(j, &err);
}

/* j->keep <- the mask in a file that --save-masked wrote. */
static bool read_mask(job *j, const char *path)
{
    mskp_error err;
    char *text = j->t->read_mask(j->t, path);
    if (!text) return false;
    const bool good = !mskp_mask_read(j->t->graph, strlen(text), text, j->keep, &err) ||
                      trainer_fail(j->t, "%s: its mask: %s", path, err.text);
    free(text);
    return good;
}

bool pruning_mark(job *j)
{
    trainer *t = j->t;
    const char *path = t->options.masked;
    mskp_error err;
    if ((path && !read_mask(j, path)) || !fetch(t)) return false;
    if (mskp_pruner_mark(j->pruner, t->values, path ? j->keep : (mskp_mask){0}, &err))
        return failed(j, &err);
    memcpy(j->keep.unit, mskp_pruner_mask(j->pruner).unit, j->keep.n);
    return measure_mask(j);
}

bool pruning_try(job *j)
{
    mskp_pruner_options how = options_of(j);
    mskp_error err;
    how.steps = 1;
    how.wait = how.sparse = 0;
    how.masked = 1; /* the mask is due at once */
    if (mskp_pruner_create(j->t->graph, &how, &j->pruner, &err)) return failed(j, &err);
    const bool good = pruning_mark(j);
    mskp_pruner_destroy(j->pruner);
    j->pruner = NULL;
    memset(j->keep.unit, 1, j->keep.n);
    j->removed = 0;
    j->selected = j->dense;
    return good;
}

bool pruning_zero_marked(job *j, uint32_t roles)
{
    const mskp_penalty penalty = {.roles = roles};
    mskp_error err;
    if (!fetch(j->t)) return false;
    if (mskp_penalty_zero(j->t->graph, j->keep, &penalty, j->t->values, &err))
        return failed(j, &err);
    return store(j->t);
}

/* ---- the cut ---- */

bool pruning_prepare(job *j, planned *p)
{
    const mskp_mask none = {0};
    mskp_error err;
    *p = (planned){0};
    memcpy(j->kept.unit, j->keep.unit, j->keep.n);
    if (!fetch(j->t)) return false;
    if (mskp_pruner_prepare(j->pruner, j->t->values, &p->plan, &p->constants, &err) ||
        mskp_constants_total(p->constants, &p->report, &err) ||
        mskp_constants_masks(p->constants, j->keep, none, none, &err))
        return failed(j, &err);
    for (size_t u = 0; u < j->keep.n; u++) p->more += j->kept.unit[u] && !j->keep.unit[u];
    if (mskp_constants_masks(p->constants, none, none, j->kept, &err) ||
        mskp_measure(j->t->graph, j->kept, &p->cost, NULL, &err))
        return failed(j, &err);
    return measure_mask(j);
}

bool pruning_cut(job *j, const planned *p)
{
    mskp_error err;
    if (!j->t->cut(j->t, p->plan, p->constants)) return false;
    if (mskp_pruner_cut_done(j->pruner, &err)) return failed(j, &err);
    j->cut = true;
    return !mskp_measure(j->t->graph, (mskp_mask){0}, &j->now, NULL, &err) || failed(j, &err);
}

/* ---- what is shown ---- */

double pruning_largest_marked(job *j, uint32_t roles)
{
    const mskp_penalty marked = {.roles = roles};
    mskp_gauge gauge;
    if (!fetch(j->t) ||
        mskp_penalty_gauge(j->t->graph, j->keep, &marked, j->t->values, &gauge, NULL))
        return (double)NAN;
    return gauge.largest;
}

double pruning_loss(const job *j)
{
    const mskp_pruner_options how = options_of(j);
    mskp_penalty penalty = how.penalty;
    double value = 0, strength = j->gauges.strength;
    if (j->phase == DRIVER_GLOBAL) {
        penalty = (mskp_penalty){.target = MSKP_TARGET_ALL, .roles = MSKP_ROLE_SCALE};
        strength = how.sparse_strength;
    } else if (j->phase != DRIVER_MASKED || !j->removed || !(strength > 0)) {
        return 0;
    }
    if (!fetch(j->t) ||
        mskp_penalty_value(j->t->graph, j->keep, &penalty, j->t->values, &value, NULL))
        return (double)NAN;
    return strength * value;
}

/* The numbers that the penalty is on. */
static const char *numbers(const driver_options *o)
{
    return o->on == DRIVER_ON_GAMMA_BETA ? "|gamma| or |beta|" : "|gamma|";
}

/* A line of the journal: the gauges, with the phase and epoch, which the pruner does not know. */
static bool write_gauges(job *j, const stage *s)
{
    journal *to = &j->journals[JOURNAL_GAUGES];
    size_t length;
    mskp_error err;
    if (!to->path && !to->copy) return true;
    if (mskp_pruner_gauge_json(&j->gauges, 0, NULL, &length, &err)) return failed(j, &err);
    char *line = malloc(length + 1);
    if (!line) return trainer_fail(j->t, "no memory for %zu bytes of gauges", length + 1);
    const bool good = !mskp_pruner_gauge_json(&j->gauges, length + 1, line, &length, &err);
    if (good) {
        journal_add(to, "{\"phase\":\"%s\",\"epoch\":%zu,\"gauges\":", s->name,
                    j->epoch.number + 1);
        journal_put(to, line, length);
        journal_add(to, "}\n");
    }
    free(line);
    return good || failed(j, &err);
}

bool pruning_gauge(job *j, const stage *s, size_t size, char *text)
{
    mskp_pruner_gauges *g = &j->gauges;
    mskp_error err;
    char left[60] = "the cut is due", residue[80] = "", now[80] = "";
    if (!fetch(j->t)) return false;
    if (mskp_pruner_gauge(j->pruner, j->t->values, g, &err)) return failed(j, &err);
    if (!write_gauges(j, s)) return false;
    if (g->steps_left)
        snprintf(left, sizeof left, "%llu steps before the cut", (unsigned long long)g->steps_left);
    if (!isnan(g->residue))
        snprintf(residue, sizeof residue, ", and %.3g before a step set it to 0", g->residue);
    if (g->exact) snprintf(now, sizeof now, ", a cut now would change no output");
    if (g->unmarked)
        snprintf(now, sizeof now, ", a cut now would remove %zu more units, not marked",
                 g->unmarked);
    snprintf(text, size, "pruner: %s; the largest marked %s is %.3g, was %.3g at the mask%s; %s%s",
             left, numbers(&j->t->options), g->left.largest, g->start, residue,
             g->ready ? "ready" : "not ready: it is above 0.001 of that", now);
    return true;
}

double pruning_describe(const job *j, size_t phase, size_t size, char *text)
{
    const driver_options *o = &j->t->options;
    const mskp_pruner_options how = options_of(j);
    const char *on = o->on == DRIVER_ON_GAMMA_BETA ? "gamma and beta" : "gamma";
    snprintf(text, size, "none");
    if (phase == DRIVER_GLOBAL) {
        const bool gradient = how.pull == MSKP_PULL_GRADIENT;
        snprintf(text, size, "%s on gamma of all units", gradient ? "L1" : "soft threshold");
        return how.sparse_strength;
    }
    if (phase != DRIVER_MASKED || o->penalty == DRIVER_PENALTY_NONE || !j->removed) return 0;
    snprintf(text, size, "%s on %s of marked units%s", PENALTIES[o->penalty].name, on,
             pruning_is_automatic(o) ? ", automatic strength" : "");
    return how.strength;
}

/*
 * How far can a fixed strength move a weight in this schedule, and how far does it have to? The
 * answer is printed before the epochs are spent. The loss may pull the other way, so a reach of
 * just the weight's size can be too little. Automatic strengths and deadlines reach 0 in any case.
 */
void pruning_print_reach(job *j, const stage *s)
{
    const driver_options *o = &j->t->options;
    const mskp_pruner_options how = options_of(j);
    const bool proximal = how.pull == MSKP_PULL_PROXIMAL;
    const size_t steps = s->epochs * steps_per_epoch(j);
    const char *formula = proximal ? "s * sum(lr)" : "s / (1 - momentum) * sum(lr)";
    const double largest = pruning_largest_marked(j, how.penalty.roles);
    double reach = 0;
    if (!s->pruned) return;
    for (size_t i = 0; i < steps; i++) reach += how.strength * cn_rate_cosine(s->rate, i, steps);
    if (!proximal) reach /= 1 - j->t->momentum;
    if (!(how.strength > 0)) {
        say(j, "reach: the largest marked %s is %.3g, and is to be 0 after %g %% of the phase%s",
            numbers(o), largest, 100 * (1 - how.settle),
            pruning_is_automatic(o) ? ", by an automatic strength" : "");
        if (!steps) say(j, "warning: the masked phase has no steps, so nothing moves");
    } else if (how.penalty.kind == MSKP_PENALTY_L2) {
        say(j, "reach: L2 shrinks the largest marked %s, %.3g, to exp(-%s) = %.3g of it, not to 0",
            numbers(o), largest, formula, exp(-reach));
    } else {
        say(j, "reach: %s = %.3g; the largest marked %s is %.3g", formula, reach, numbers(o),
            largest);
        if (reach < largest)
            say(j, "warning: the penalty cannot move these weights to 0, so the cut will cost "
                   "accuracy; "
                   "raise --strength, --lr or the epochs, or leave --strength away");
    }
}
