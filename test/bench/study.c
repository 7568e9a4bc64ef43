/*
 * Whether it pays to regularize channels before they are cut: one run for each method, on real
 * images, with equal epochs.
 *
 *     study CIFAR NETWORK.safetensors RESULTS.csv EPOCHS SEED KEEP RATE [METHOD ...]
 *
 * CIFAR is a folder with CIFAR-10's binary files (make cifar), NETWORK a trained ResNet. Each
 * method starts from NETWORK and trains for EPOCHS in all. It ends with at most the share KEEP of
 * the multiply-accumulates, carriers included. What differs is what a method scores, what it drives
 * to zero and for how long: the table METHODS. The last 5000 training images are held out, to
 * choose RATE by; 45,000 are trained on. SGD with momentum 0.9 (Nesterov), decay 1e-4, batches of
 * 128. The learning rate falls from RATE to 0 along one cosine. METHOD+dense is the METHOD that
 * also learns the logits of NETWORK (training.h).
 *
 * Writes one line per run to RESULTS: method, epochs, seed, keep, rate; units that left; the share
 * of MACs that is left; accuracy in percent on the images held out and on the test images, right
 * before the (last) cut, right after it, and at the end; seconds of the processor. Lines that are
 * there already are not computed again, so a study that was stopped can go on. Without arguments,
 * the terms of other papers are compared with their formulas.
 *
 * If NETWORK itself was trained on the images that are held out, their accuracy is too high, most
 * of all where RATE is small and little is forgotten.
 *
 * The published methods took 100 epochs and more, and these take a share of EPOCHS. Therefore some
 * strengths are not the number that a paper gives, but what the table says of the reach, which is
 * the strength times the sum of the learning rates over (1 - momentum): how far a term of L1 moves
 * a gamma that the loss does not hold.
 *
 *   dense         nothing is removed; its line has a keep of 1, so that other KEEPs find it
 *   scratch       the shape that cut-filters gives, from random weights, for all EPOCHS: Z. Liu,
 *                 M. Sun, T. Zhou, G. Huang, T. Darrell, "Rethinking the Value of Network Pruning",
 *                 ICLR 2019
 *   cut-*         cut in the first step, then tuned. Constants are dropped.
 *                 cut-uniform: the same share of each family, by the filters' L1 norms.
 *                 cut-median: FPGM, the distance to other filters over the mean of the family
 *   slimming      Liu et al., ICCV 2017: L1 on all gammas, which reaches as far as the mean gamma,
 *                 then the cut by gamma. Their threshold is one of gamma; here the MACs decide how
 *                 many go.
 *   growing       GReg-1: the term of terms.h on marked filters, to the end of the stage. Their
 *                 rate is 0.001, and their strength grows for 100,000 steps. A batch norm undoes
 *                 the scale of the filters before it, so their channels are not silent until the
 *                 filters are almost 0, which they need not be at the cut.
 *   group         DepGraph: the term of terms.h on all units, then the cut by its norm I over the
 *                 mean of the family. The strength is 5e-4, the default of the authors' program.
 *   polarization  the term of terms.h on all gammas, then the cut by gamma. It reaches as far as
 *                 the mean gamma, where it pulls down. |gamma| stays at most the largest |gamma| of
 *                 NETWORK.
 *   three-stages  MaskSparsity as published: L1 on all gammas; the mask, by gamma; then NETWORK
 *                 once more, with L1 on the marked gammas; the cut; tuning at RATE / 200. The first
 *                 two stages each have a cosine of their own, as each has its own schedule there.
 *                 By their threshold of 0.01 the mask has any size, here the MACs decide. The reach
 *                 of the second stage is 10. One of 83, as in their ImageNet runs, would move
 *                 gammas by 0.1 in each of so few steps. Betas are moved and not lost.
 *   masked*       L1 after each step, with automatic strengths, on the marked units: on gamma and
 *                 beta, or gamma alone. -gradient: in the gradient. -fade: the gradient of the loss
 *                 fades out. -taylor: by another score. -uniform,
 *                 -median: by those of cut-uniform and cut-median
 *   deadline*     a straight line to zero. -unit: on all slices of marked units
 *   rounds-5*     as masked, in five rounds
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp/blas.h"
#include "terms.h"
#include "timing.h"
#include "training.h"

enum { MEASURED = 20 };

typedef enum score_kind {
    BY_FILTERS,
    BY_GAMMA,
    BY_TAYLOR,
    BY_CHANCE,
    BY_UNIT,
    UNIFORM,
    BY_MEDIAN
} score_kind;
typedef enum term_kind { NO_TERM, GROWING, GROUP, POLARIZATION } term_kind;
enum { GAMMA = MSKP_ROLE_SCALE, BOTH = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT, UNIT = MSKP_ROLES_UNIT };

/*
 *   term        is added in the steps of `wait`, at the end of which is the cut
 *   strength    of the term; or
 *   reach       of the sparse stage, or of the term, in mean gammas of NETWORK
 *   masked_reach   of the masked stage, in gammas of 1; 0: its strength is automatic
 *   afresh      the masked stage goes back to the first weights, and each stage has its own cosine
 *   whole       nothing is removed
 *   restart     random weights after the cut
 *   drop        what removed channels add is lost, as when other tools cut; elsewhere it is moved,
 *               and carriers take their share of KEEP
 */
static const struct method {
    const char *name;
    score_kind score;
    mskp_pull pull;
    term_kind term;
    uint32_t roles, fade, rounds;
    double wait, sparse, masked, settle, strength, reach, masked_reach;
    bool afresh, whole, restart, drop;
} METHODS[] = {
    {.name = "dense", .roles = GAMMA, .whole = true},
    {.name = "scratch", .roles = GAMMA, .restart = true, .drop = true},
    {.name = "cut-filters", .score = BY_FILTERS, .roles = GAMMA, .drop = true},
    {.name = "cut-gamma", .score = BY_GAMMA, .roles = GAMMA, .drop = true},
    {.name = "cut-taylor", .score = BY_TAYLOR, .roles = GAMMA, .drop = true},
    {.name = "cut-chance", .score = BY_CHANCE, .roles = GAMMA, .drop = true},
    {.name = "cut-uniform", .score = UNIFORM, .roles = GAMMA, .drop = true},
    {.name = "cut-median", .score = BY_MEDIAN, .roles = GAMMA, .drop = true},
    {.name = "slimming",
     .score = BY_GAMMA,
     .pull = MSKP_PULL_GRADIENT,
     .roles = GAMMA,
     .sparse = 0.3,
     .reach = 1},
    {.name = "growing", .term = GROWING, .roles = MSKP_ROLE_FILTER, .wait = 0.3},
    {.name = "group",
     .score = BY_UNIT,
     .term = GROUP,
     .roles = GAMMA,
     .wait = 0.3,
     .strength = 5e-4},
    {.name = "polarization",
     .score = BY_GAMMA,
     .term = POLARIZATION,
     .roles = GAMMA,
     .wait = 0.3,
     .reach = 1},
    {.name = "three-stages",
     .score = BY_GAMMA,
     .pull = MSKP_PULL_GRADIENT,
     .roles = GAMMA,
     .sparse = 0.3,
     .masked = 0.4,
     .reach = 1,
     .masked_reach = 10,
     .afresh = true},
    {.name = "masked-gamma", .roles = GAMMA, .masked = 0.1, .settle = 0.25},
    {.name = "masked", .roles = BOTH, .masked = 0.1, .settle = 0.25},
    {.name = "masked-long", .roles = BOTH, .masked = 0.3, .settle = 0.25},
    {.name = "masked-gradient",
     .roles = BOTH,
     .pull = MSKP_PULL_GRADIENT,
     .masked = 0.1,
     .settle = 0.25},
    {.name = "masked-fade", .roles = BOTH, .fade = 1, .masked = 0.1, .settle = 0.25},
    {.name = "masked-uniform", .score = UNIFORM, .roles = BOTH, .masked = 0.1, .settle = 0.25},
    {.name = "masked-median", .score = BY_MEDIAN, .roles = BOTH, .masked = 0.1, .settle = 0.25},
    {.name = "masked-taylor", .score = BY_TAYLOR, .roles = BOTH, .masked = 0.1, .settle = 0.25},
    {.name = "deadline", .roles = BOTH, .pull = MSKP_PULL_DEADLINE, .masked = 0.1},
    {.name = "deadline-unit", .roles = UNIT, .pull = MSKP_PULL_DEADLINE, .masked = 0.1},
    {.name = "rounds-5", .roles = BOTH, .masked = 0.3, .settle = 0.25, .rounds = 5},
    {.name = "rounds-5-taylor",
     .score = BY_TAYLOR,
     .roles = BOTH,
     .masked = 0.3,
     .settle = 0.25,
     .rounds = 5},
};
enum { COUNT = sizeof METHODS / sizeof *METHODS };

typedef struct work {
    training t;
    terms terms;
    const struct method *method;
    cn_random chance;
    size_t batch[TRAINING_BATCH];
    size_t steps, end_sparse, end_masked; /* stages end before these steps */
    double rate, strength;                /* strength: of the term */
    double *first;                        /* NULL, or the scores that the mask was made by */
    mskp_mask keep;                       /* that mask */
    cn_real *start;                       /* the first weights */
    double bound;                         /* the largest |gamma| of them */
} work;

/* ---- scores ---- */

/* Running statistics are moved by forward passes in training mode, so they are put back. */
static mskp_status taylor(work *w, const mskp_graph *graph, mskp_tensors values, mskp_scores scores,
                          mskp_error *err)
{
    training *t = &w->t;
    const size_t n = t->net->param_count;
    cn_real **saved = calloc(n, sizeof *saved);
    mskp_status status = saved ? MSKP_OK : MSKP_ERROR_NO_MEMORY;
    for (size_t p = 0; saved && p < n; p++) {
        const cn_param *q = &t->net->params[p];
        if (q->trained) continue;
        saved[p] = malloc(q->count * sizeof **saved);
        if (saved[p])
            memcpy(saved[p], q->value, q->count * sizeof **saved);
        else
            status = MSKP_ERROR_NO_MEMORY;
    }
    memset(scores.unit, 0, scores.n * sizeof *scores.unit);
    for (size_t b = 0; !status && b < MEASURED; b++) {
        for (size_t i = 0; i < TRAINING_BATCH; i++)
            w->batch[i] = cn_random_below(&w->chance, t->train.count);
        cn_draw(&t->train, TRAINING_BATCH, w->batch, NULL, t->images, t->labels);
        cn_forward(t->net, TRAINING_BATCH, t->images, true);
        cn_loss(t->net, t->labels, NULL);
        cn_backward(t->net);
        status = mskp_score_taylor(graph, MSKP_TAYLOR_ABSOLUTE_SUM, BOTH, values, t->gradients,
                                   scores, err);
    }
    for (size_t p = 0; saved && p < n; p++) {
        if (saved[p])
            memcpy(t->net->params[p].value, saved[p], t->net->params[p].count * sizeof **saved);
        free(saved[p]);
    }
    free(saved);
    return status;
}

/* A unit's score becomes its place in its family, so that all families lose the same share. */
static mskp_status places(const mskp_graph *graph, mskp_scores scores)
{
    const size_t families = mskp_graph_counts(graph).families;
    double *was = malloc(scores.n * sizeof *was);
    if (!was) return MSKP_ERROR_NO_MEMORY;
    memcpy(was, scores.unit, scores.n * sizeof *was);
    for (size_t f = 0; f < families; f++) {
        size_t n;
        const uint32_t *unit = mskp_family_units(graph, f, &n);
        for (size_t i = 0; i < n; i++) {
            size_t below = 0;
            for (size_t k = 0; k < n; k++)
                below += was[unit[k]] < was[unit[i]] || (was[unit[k]] <= was[unit[i]] && k < i);
            scores.unit[unit[i]] = (double)(below + 1) / (double)n;
        }
    }
    free(was);
    return MSKP_OK;
}

static mskp_status score(void *context, const mskp_graph *graph, mskp_tensors values,
                         mskp_scores scores, mskp_error *err)
{
    static const mskp_scoring SCORINGS[] = {
        [BY_FILTERS] = {.roles = MSKP_ROLE_FILTER, .reduce = MSKP_REDUCE_MEAN},
        [BY_GAMMA] = {.reduce = MSKP_REDUCE_MEAN},
        [BY_UNIT] = {.roles = UNIT, .magnitude = MSKP_MAGNITUDE_L2, .reduce = MSKP_REDUCE_JOINT},
        [UNIFORM] = {.roles = MSKP_ROLE_FILTER, .reduce = MSKP_REDUCE_MEAN},
    };
    work *w = context;
    const score_kind kind = w->method->score;
    if (w->first) { /* of the whole network, which is cut once */
        memcpy(scores.unit, w->first, scores.n * sizeof *scores.unit);
        return MSKP_OK;
    }
    if (kind == BY_TAYLOR) return taylor(w, graph, values, scores, err);
    if (kind == BY_CHANCE) return mskp_score_random(graph, w->chance.state, scores, err);
    mskp_status status = kind == BY_MEDIAN
                             ? mskp_score_filters(NULL, graph, MSKP_RESEMBLANCE_DISTANCE,
                                                  MSKP_REDUCE_MEAN, values, scores, err)
                             : mskp_score(graph, &SCORINGS[kind], values, scores, err);
    if (!status && kind != BY_GAMMA)
        status = mskp_score_normalize(graph, MSKP_NORMALIZER_MEAN, 0, scores, err);
    if (!status && kind == UNIFORM) status = places(graph, scores);
    return status;
}

/* ---- stages and their strengths ---- */

static double rate_at(const work *w, size_t step)
{
    if (!w->method->afresh) return cn_rate_cosine(w->rate, step, w->steps);
    if (step < w->end_sparse) return cn_rate_cosine(w->rate, step, w->end_sparse);
    if (step < w->end_masked)
        return cn_rate_cosine(w->rate, step - w->end_sparse, w->end_masked - w->end_sparse);
    return w->rate / 200;
}

/* The strength by which a term in the steps from begin to end - 1 has that reach. */
static double strength_of(const work *w, double reach, size_t begin, size_t end)
{
    double sum = 0;
    for (size_t step = begin; step < end; step++) sum += rate_at(w, step);
    return sum > 0 ? reach * (1 - TRAINING_MOMENTUM) / sum : 0;
}

/* Of all gammas: *mean and *largest <- of |gamma|; or they are held in [-bound, bound]. */
static void gammas(const cn_net *net, double *mean, double *largest)
{
    double sum = 0, count = 0;
    *largest = 0;
    for (size_t i = 0; i < net->layer_count; i++) {
        if (net->layers[i].kind != CN_BATCH_NORM) continue;
        const cn_param *p = &net->params[net->layers[i].weight];
        for (size_t c = 0; c < p->count; c++) {
            sum += fabs((double)p->value[c]);
            count += 1;
            *largest = fmax(*largest, fabs((double)p->value[c]));
        }
    }
    *mean = count > 0 ? sum / count : 0;
}

static void hold_gammas(const cn_net *net, double bound)
{
    for (size_t i = 0; i < net->layer_count; i++) {
        if (net->layers[i].kind != CN_BATCH_NORM) continue;
        const cn_param *p = &net->params[net->layers[i].weight];
        for (size_t c = 0; c < p->count; c++)
            p->value[c] = (cn_real)fmax(fmin((double)p->value[c], bound), -bound);
    }
}

/* Marks the units that `growing` drives to zero, by the first scores. */
static bool mark_first(work *w, const mskp_rule *rule)
{
    training *t = &w->t;
    const size_t units = mskp_graph_counts(t->graph).units;
    const mskp_constants_desc zeroed = {.zeroed = w->method->roles};
    mskp_constants *constants = NULL;
    double *scores = malloc(units * sizeof *scores);
    w->keep = (mskp_mask){units, malloc(units)};
    bool good = scores && w->keep.unit;
    good = good && !score(w, t->graph, t->values, (mskp_scores){units, scores}, &t->err) &&
           !mskp_constants_select(t->graph, (mskp_scores){units, scores}, rule, &zeroed, t->values,
                                  &constants, &t->err) &&
           !mskp_constants_masks(constants, w->keep, (mskp_mask){0}, (mskp_mask){0}, &t->err);
    mskp_constants_destroy(constants);
    w->first = scores;
    return good || training_fail(t, w->method->name, t->err.text);
}

static bool add_term(work *w, size_t step)
{
    training *t = &w->t;
    mskp_status status = MSKP_OK;
    if (step >= w->end_sparse) return true;
    switch (w->method->term) {
    case NO_TERM:
        break;
    case GROWING:
        status = terms_growing(t->graph, w->keep, terms_growth(step, w->end_sparse), t->values,
                               t->gradients, &t->err);
        break;
    case GROUP:
        status = terms_group(&w->terms, w->strength, t->values, t->gradients, &t->err);
        break;
    case POLARIZATION:
        status = terms_polarization(&w->terms, w->strength, t->values, t->gradients, &t->err);
        break;
    }
    return !status || training_fail(t, w->method->name, t->err.text);
}

/* ---- a run ---- */

typedef struct result {
    size_t removed, cuts;
    double left;
    double held[3], test[3]; /* right before the last cut, right after, at the end */
} result;

static void measure(const work *w, result *r, size_t when)
{
    r->held[when] = training_accuracy(&w->t, &w->t.held);
    r->test[when] = training_accuracy(&w->t, &w->t.test);
}

static bool cut(work *w, mskp_pruner *p, result *r)
{
    const bool last = ++r->cuts >= w->method->rounds;
    if (last) measure(w, r, 0);
    if (!training_cut(&w->t, p)) return false;
    if (w->method->restart && !training_restart(&w->t, w->t.net->options.seed)) return false;
    if (last) measure(w, r, 1);
    return true;
}

/* Makes the mask; goes back to the first weights if the method does. */
static bool mark(work *w, mskp_pruner *p)
{
    training *t = &w->t;
    if (mskp_pruner_mark(p, t->values, (mskp_mask){0}, &t->err))
        return training_fail(t, w->method->name, t->err.text);
    if (!w->method->afresh) return true;
    const cn_real *from = w->start;
    for (size_t i = 0; i < t->net->param_count; from += t->net->params[i++].count)
        memcpy(t->net->params[i].value, from, t->net->params[i].count * sizeof *from);
    cn_sgd_reset(t->net);
    return true;
}

static bool train(work *w, mskp_pruner *p, result *r)
{
    training *t = &w->t;
    for (size_t step = 0; step < w->steps; step++) {
        const double rate = rate_at(w, step);
        while (mskp_pruner_due(p) == MSKP_PRUNER_DUE_CUT)
            if (!cut(w, p, r)) return false;
        if (mskp_pruner_due(p) == MSKP_PRUNER_DUE_MASK && !mark(w, p)) return false;
        if (!training_gradients(t, step)) return false;
        if (mskp_pruner_before_step(p, rate, t->values, t->gradients, &t->err))
            return training_fail(t, w->method->name, t->err.text);
        if (!add_term(w, step)) return false;
        training_update(t, rate);
        if (w->method->term == POLARIZATION && step < w->end_sparse) hold_gammas(t->net, w->bound);
        if (mskp_pruner_after_step(p, rate, t->values, &t->err))
            return training_fail(t, w->method->name, t->err.text);
    }
    while (mskp_pruner_due(p) == MSKP_PRUNER_DUE_CUT)
        if (!cut(w, p, r)) return false;
    measure(w, r, 2);
    return true;
}

/* A share of the steps, as the pruner counts it. */
static size_t part(double share, size_t steps)
{
    return (size_t)(share * (double)steps * (1 + 0x1p-50));
}

/* The stages, and all that a method needs of the network before the first step. */
static bool begin(work *w, const mskp_rule *rule, mskp_pruner_options *o)
{
    const struct method *m = w->method;
    training *t = &w->t;
    size_t count = 1;
    double mean;
    w->end_sparse = part(m->wait, w->steps) + part(m->sparse, w->steps);
    w->end_masked = w->end_sparse + part(m->masked, w->steps);
    gammas(t->net, &mean, &w->bound);
    if (m->term == POLARIZATION) mean /= TERMS_POLARIZATION + 1; /* what is pulled down */
    w->strength = m->strength > 0 ? m->strength : strength_of(w, m->reach * mean, 0, w->end_sparse);
    o->sparse_strength = m->sparse > 0 ? w->strength : 0;
    o->strength = strength_of(w, m->masked_reach, w->end_sparse, w->end_masked);
    for (size_t i = 0; i < t->net->param_count; i++) count += t->net->params[i].count;
    cn_real *to = w->start = malloc(count * sizeof *to);
    if (!to || !terms_open(&w->terms, t->graph)) return training_fail(t, m->name, "no memory");
    for (size_t i = 0; i < t->net->param_count; to += t->net->params[i++].count)
        memcpy(to, t->net->params[i].value, t->net->params[i].count * sizeof *to);
    return m->term != GROWING || mark_first(w, rule);
}

static void end(work *w)
{
    terms_close(&w->terms);
    free(w->start);
    free(w->first);
    free(w->keep.unit);
    w->start = NULL;
    w->first = NULL;
    w->keep.unit = NULL;
    cn_destroy(w->t.teacher);
    w->t.teacher = NULL;
    training_close(&w->t);
}

static bool run(work *w, const char *network, uint64_t seed, double keep, bool taught, result *r)
{
    const struct method *m = w->method;
    training *t = &w->t;
    mskp_pruner *p = NULL;
    mskp_cost all, now;
    cn_error error;
    w->chance = (cn_random){seed + 1000};
    bool good = training_load(t, network, seed);
    if (good && taught) {
        t->teacher = cn_load(network, &t->net->options, &error);
        good = t->teacher || training_fail(t, network, error.text);
    }
    if (!good || mskp_measure(t->graph, (mskp_mask){0}, &all, NULL, &t->err)) return false;
    const mskp_rule rule = {.max_macs = m->whole ? all.macs : keep * all.macs, .min_channels = 2};
    mskp_pruner_options options = {
        .rule = rule,
        .score = score,
        .context = w,
        .penalty = {.roles = m->roles},
        .constants = {.way = m->drop ? MSKP_CONSTANTS_DROP : MSKP_CONSTANTS_AUTO},
        .pull = m->pull,
        .momentum = TRAINING_MOMENTUM,
        .fade = m->fade,
        .steps = w->steps,
        .wait = m->wait,
        .sparse = m->sparse,
        .masked = m->masked,
        .settle = m->settle,
        .rounds = m->rounds};
    if (!begin(w, &rule, &options)) return false;
    const size_t units = mskp_graph_counts(t->graph).units;
    if (mskp_pruner_create(t->graph, &options, &p, &t->err))
        return training_fail(t, m->name, t->err.text);
    good = train(w, p, r);
    if (good && !mskp_measure(mskp_pruner_graph(p), (mskp_mask){0}, &now, NULL, &t->err)) {
        r->left = now.macs / all.macs;
        r->removed = units - mskp_graph_counts(mskp_pruner_graph(p)).units;
    }
    mskp_pruner_destroy(p);
    return good;
}

/* *method <- that of this name, which may end in "+dense". */
static bool find(const char *name, const struct method **method, bool *taught)
{
    const size_t length = strcspn(name, "+");
    *taught = !strcmp(name + length, "+dense");
    for (size_t k = 0; k < COUNT; k++) {
        *method = &METHODS[k];
        if (strlen(METHODS[k].name) == length && !strncmp(METHODS[k].name, name, length))
            return *taught || !name[length];
    }
    return false;
}

int main(int argc, char **argv)
{
    static const char HEADER[] = "method,epochs,seed,keep,rate,removed,left,held_before,"
                                 "test_before,held_after,test_after,held,test,seconds";
    static work w = {.t.program = "study"};
    if (argc < 8) {
        const bool good = terms_check();
        printf("study: %s; the rest is skipped; it needs CIFAR NETWORK.safetensors RESULTS.csv "
               "EPOCHS SEED KEEP RATE\n",
               good ? "the terms of other papers are their formulas" : "terms differ");
        return good ? 0 : 1;
    }
    const size_t epochs = strtoul(argv[4], NULL, 10), seed = strtoul(argv[5], NULL, 10);
    const double keep = strtod(argv[6], NULL);
    const size_t asked = argc > 8 ? (size_t)argc - 8 : COUNT;
    bool taught, good = true;
    w.rate = strtod(argv[7], NULL);
    for (size_t k = 0; good && argc > 8 && k < asked; k++)
        good = find(argv[8 + k], &w.method, &taught) ||
               training_fail(&w.t, argv[8 + k], "there is no such method");
    good = good && training_images(&w.t, argv[1]);
    w.steps = epochs * training_steps(&w.t);
    for (size_t k = 0; good && k < asked; k++) {
        const char *const name = argc > 8 ? argv[8 + k] : METHODS[k].name;
        char key[120], line[256];
        result r = {.cuts = 0};
        find(name, &w.method, &taught);
        snprintf(key, sizeof key, "%s,%zu,%zu,%g,%g,", name, epochs, seed,
                 w.method->whole ? 1 : keep, w.rate);
        if (training_has_line(argv[3], key)) continue;
        const double start = timing_cpu();
        good = run(&w, argv[2], seed, keep, taught, &r);
        end(&w);
        snprintf(line, sizeof line, "%s%zu,%.4f,%.2f,%.2f,%.2f,%.2f,%.2f,%.2f,%.0f", key, r.removed,
                 r.left, r.held[0], r.test[0], r.held[1], r.test[1], r.held[2], r.test[2],
                 timing_cpu() - start);
        good = good && training_add_line(&w.t, argv[3], HEADER, line);
    }
    training_images_free(&w.t);
    return good ? 0 : 1;
}
