/*
 * The pruner's steps.
 *
 * An automatic strength is found anew in each step: the largest marked element a is measured, and
 * with n steps left, this one included, this step has to move it by 2 a / (n + 1). That is a
 * parabola to zero, whose steps become smaller towards the end. A straight line, a / n, would add
 * up what the loss moves back: with c in each step, c (1 + 1/2 + ... + 1/n) would be left for the
 * last step, and here it is c. Whatever went wrong before (a loss that pulls back, a rate that was
 * changed, rounding) is made up for, and no model of the optimizer is needed.
 *
 * After the optimizer's step, a soft threshold moves each element by exactly that. A term of the
 * gradient goes through the optimizer: it moves an element by rate x strength x response in the
 * end, where the response is 1 / (1 - momentum) for gradient descent. If the momentum is not told,
 * the response is raised or lowered after every few steps by what the largest marked element did,
 * and is never below 1. The rate cancels out in both, so a pull needs no schedule of rates.
 */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h" /* the caller's services */
#include "pruner/pruner.h"

/* After how many parts of a pull the response is corrected, and after how many steps at least. */
enum { WINDOWS = 64, LEAST_WINDOW = 8 };

/* ---- making one ---- */

static mskp_status check_penalty(const mskp_pruner_options *o, mskp_error *err)
{
    char number[NUMBER_SIZE];
    if (o->penalty.target != MSKP_TARGET_REMOVED || o->penalty.unit_weight)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "pruner: the penalty's %s; the pruner sets it",
                          o->penalty.unit_weight ? "unit_weight is not NULL"
                                                 : "target is not MSKP_TARGET_REMOVED");
    if ((unsigned)o->pull > MSKP_PULL_DEADLINE)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "pruner: pull is %u; the last is %u",
                          (unsigned)o->pull, (unsigned)MSKP_PULL_DEADLINE);
    if (!(o->strength >= 0 && isfinite(o->strength)))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "pruner: strength is %s, not 0 or more",
                          mskpi_number(o->strength, number));
    if (!(o->sparse_strength >= 0 && isfinite(o->sparse_strength)))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                          "pruner: sparse_strength is %s, not 0 or more",
                          mskpi_number(o->sparse_strength, number));
    if (!(o->momentum >= 0 && o->momentum < 1))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                          "pruner: momentum is %s, not from 0 to below 1",
                          mskpi_number(o->momentum, number));
    if (!isfinite(o->gradient_scale))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "pruner: gradient_scale is %s, not finite",
                          mskpi_number(o->gradient_scale, number));
    const double most = fmax(o->strength, o->sparse_strength);
    if (!isfinite(most * o->gradient_scale))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                          "pruner: a strength of %s times gradient_scale is not finite",
                          mskpi_number(most, number));
    if (o->penalty.kind != MSKP_PENALTY_L1 && o->pull != MSKP_PULL_DEADLINE && !(o->strength > 0))
        return mskpi_fail(
            err, MSKP_ERROR_UNSUPPORTED,
            "pruner: strength is 0, and an automatic strength is for MSKP_PENALTY_L1; "
            "kind %u needs a strength",
            (unsigned)o->penalty.kind);
    return MSKP_OK;
}

static mskp_status check_rounds(const mskp_pruner_options *o, mskp_error *err)
{
    const mskp_rule *rule = &o->rule;
    if ((unsigned)o->schedule > MSKP_SCHEDULE_EXPONENTIAL)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "pruner: schedule is %u; the last is %u",
                          (unsigned)o->schedule, (unsigned)MSKP_SCHEDULE_EXPONENTIAL);
    if (o->rounds < 2) return MSKP_OK;
    const char *which = rule->use_threshold                ? "use_threshold"
                        : rule->remove_family_fraction > 0 ? "remove_family_fraction"
                        : rule->nfamilies                  ? "families"
                                                           : NULL;
    return !which ? MSKP_OK
                  : mskpi_fail(err, MSKP_ERROR_UNSUPPORTED,
                               "pruner: %u rounds, and a rule with %s, which is about one mask",
                               o->rounds, which);
}

static void *array(mskp_pruner *p, size_t n, size_t size, bool *good)
{
    void *memory = mskpi_alloc(&p->services, n, size);
    if (!memory) *good = false;
    return memory;
}

static mskp_status no_memory(mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s for a pruner",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY));
}

/* Whether a parameter has a slice in one of these roles. */
static mskp_status check_slices(const mskp_graph *graph, const char *what, uint32_t roles,
                                mskp_error *err)
{
    const size_t params = mskp_graph_counts(graph).params;
    for (uint32_t id = 1; id <= params; id++)
        if (mskp_param_roles(graph, (mskp_param){id}) & roles) return MSKP_OK;
    return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                      "pruner: %s has the roles 0x%x, and none of the %zu parameters has a slice "
                      "in one of them",
                      what, (unsigned)roles, params);
}

/* Makes the calls of a round once, without data and with a mask that removes nothing: options that
 * one of them refuses are known now. A call that gets so far that it misses data refuses none. */
static mskp_status try_calls(mskp_pruner *p, mskp_tensors none, mskp_error *err)
{
    const mskp_pruner_options *o = &p->how;
    const mskp_graph *graph = p->first;
    const mskp_scores scores = {p->units, p->scores};
    const mskp_mask all = {p->units, p->keep};
    mskp_gauge gauge;
    mskp_constants *constants = NULL;
    mskp_status status = mskp_penalty_gauge(graph, all, &o->penalty, none, &gauge, err);
    if (!status && o->masked > 0)
        status = check_slices(graph, "the penalty", mskpi_pruner_roles(p), err);
    if (!status && !o->score) {
        const uint32_t roles = o->scoring.roles ? o->scoring.roles : MSKP_ROLE_SCALE;
        status = mskp_score(graph, &o->scoring, none, scores, err);
        if (!status || status == MSKP_ERROR_NO_DATA)
            status = check_slices(graph, "scoring", roles, err);
        memset(p->scores, 0, p->units * sizeof *p->scores);
    }
    if (!status && !o->score && o->use_normalizer)
        status = mskp_score_normalize(graph, o->normalizer, o->normalizer_parameter, scores, err);
    memset(p->scores, 0, p->units * sizeof *p->scores);
    if (!status) status = mskp_constants_create(graph, all, &o->constants, none, &constants, err);
    mskp_constants_destroy(constants);
    return status == MSKP_ERROR_NO_DATA ? MSKP_OK : status;
}

static mskp_status check_calls(mskp_pruner *p, mskp_error *err)
{
    const size_t params = mskp_graph_counts(p->first).params;
    const mskp_tensors none = {params, mskpi_alloc(&p->services, params, sizeof *none.view)};
    mskp_error refused; /* *err stays as it is if none is */
    if (!none.view) return no_memory(err);
    const mskp_status status = try_calls(p, none, &refused);
    mskpi_free(&p->services, none.view);
    if (status && err) *err = refused;
    return status;
}

/* Asks for the last round's demands with scores that are all equal: a rule that is not valid, or
 * that no mask satisfies, is known now. Measures what budgets are about. */
static mskp_status check_rule(mskp_pruner *p, mskp_error *err)
{
    const mskp_rule *rule = &p->how.rule;
    const mskp_mask none = {0, NULL};
    bool good = true;
    mskp_status status = mskp_select(p->first, (mskp_scores){p->units, p->scores}, rule,
                                     (mskp_mask){p->units, p->work}, NULL, err);
    if (!status) status = mskp_measure(p->first, none, &p->dense, NULL, err);
    if (status) return status;
    p->amounts = array(p, rule->nbudgets, sizeof *p->amounts, &good);
    if (!good) return no_memory(err);
    for (size_t i = 0; !status && i < rule->nbudgets; i++)
        status = mskp_budget_measure(p->first, none, &rule->budgets[i], &p->amounts[i], err);
    if (!status && rule->locked.unit) memcpy(p->locked, rule->locked.unit, p->units);
    return status;
}

mskp_status mskp_pruner_create(const mskp_graph *graph, const mskp_pruner_options *options,
                               mskp_pruner **pruner, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, graph, options, pruner);
    if (!status) status = check_penalty(options, err);
    if (!status) status = mskpi_pruner_check_times(options, err);
    if (!status) status = check_rounds(options, err);
    if (status) return status;
    const size_t n = mskp_graph_counts(graph).units;
    mskp_pruner *p = mskpi_alloc(&graph->services, 1, sizeof *p);
    if (!p) return no_memory(err);
    bool good = true;
    *p = (mskp_pruner){.services = graph->services, .how = *options, .first = graph, .units = n};
    p->total = array(p, n, 1, &good);
    p->locked = array(p, n, 1, &good);
    p->keep = array(p, n, 1, &good);
    p->before = array(p, n, 1, &good);
    p->work = array(p, n, 1, &good);
    p->spare = array(p, n, 1, &good);
    p->chosen = array(p, n, sizeof *p->chosen, &good);
    p->scores = array(p, n, sizeof *p->scores, &good);
    p->streak = array(p, n, sizeof *p->streak, &good);
    p->order = array(p, n, sizeof *p->order, &good);
    p->buffer = array(p, n, sizeof *p->buffer, &good);
    good = mskpi_pruner_penalty_make(p) && good;
    if (good) memset(p->total, 1, n), memset(p->keep, 1, n);
    status = good ? check_calls(p, err) : no_memory(err);
    if (!status) status = check_rule(p, err);
    if (status) {
        mskp_pruner_destroy(p);
        return status;
    }
    p->start = p->residue = (double)NAN;
    p->response = 1 / (1 - p->how.momentum);
    *pruner = p;
    return MSKP_OK;
}

void mskp_pruner_destroy(mskp_pruner *pruner)
{
    if (!pruner) return;
    const mskp_services services = pruner->services;
    void *const arrays[] = {pruner->amounts, pruner->total,  pruner->locked, pruner->keep,
                            pruner->before,  pruner->work,   pruner->spare,  pruner->chosen,
                            pruner->scores,  pruner->streak, pruner->order,  pruner->buffer};
    mskpi_pruner_unplan(pruner);
    mskpi_pruner_penalty_free(pruner);
    mskp_graph_destroy(pruner->own);
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++) mskpi_free(&services, arrays[i]);
    mskpi_free(&services, pruner);
}

/* ---- steps ---- */

static mskp_status check_step(const mskp_pruner *p, double rate, mskp_tensors values,
                              mskp_error *err)
{
    char number[NUMBER_SIZE];
    const size_t params = mskp_graph_counts(p->first).params;
    if (!(rate >= 0 && isfinite(rate)))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                          "pruner: rate is %s, not a finite number, 0 or more",
                          mskpi_number(rate, number));
    if (mskpi_pruner_cut_due(p))
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE, "pruner: a cut is due at step %llu",
                          (unsigned long long)p->step);
    if (!values.view || values.n != params)
        return mskpi_fail(err, values.view ? MSKP_ERROR_OTHER_NETWORK : MSKP_ERROR_BAD_ARGUMENT,
                          values.view ? "values: made for %zu parameters, the network has %zu"
                                      : "values is NULL, with %zu views; the network has %zu",
                          values.n, params);
    return MSKP_OK;
}

/* What a strength is multiplied by in the gradients. */
static double scale_of(const mskp_pruner *p)
{
    return p->how.gradient_scale < 0 || p->how.gradient_scale > 0 ? p->how.gradient_scale : 1;
}

/* The penalty of the sparse stage. */
static mskp_penalty sparse_penalty(const mskp_pruner *p)
{
    return (mskp_penalty){.target = MSKP_TARGET_ALL,
                          .roles = p->how.scoring.roles,
                          .skip_missing = p->how.penalty.skip_missing};
}

/* *largest <- of the marked elements. */
static mskp_status measure(const mskp_pruner *p, mskp_tensors values, double *largest,
                           mskp_error *err)
{
    char number[NUMBER_SIZE];
    mskp_gauge gauge;
    const mskp_status status = mskpi_pruner_measure(p, mskpi_pruner_keep(p), values, &gauge, err);
    if (status) return status;
    if (!isfinite(gauge.largest))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "pruner: the largest marked element is %s",
                          mskpi_number(gauge.largest, number));
    *largest = gauge.largest;
    return MSKP_OK;
}

/* Compares what the marked elements did with what the pull asked for, and begins a new window. */
static void correct_response(mskp_pruner *p, uint64_t pull, double largest)
{
    if (p->how.momentum > 0) return;
    const uint64_t window = pull / WINDOWS > LEAST_WINDOW ? pull / WINDOWS : LEAST_WINDOW;
    if (p->window && p->window < window) return;
    const double asked = p->pulled * p->response;
    if (p->window && asked > 0) {
        const double ratio = (p->seen - largest) / asked;
        p->response = fmin(fmax(p->response * fmin(fmax(ratio, 0.5), 2), 1), 1e3);
    }
    p->window = 0;
    p->pulled = 0;
    p->seen = largest;
}

/* *strength <- of this step's term of the gradient. */
static mskp_status gradient_strength(mskp_pruner *p, const pruner_time *t, double rate,
                                     mskp_tensors values, double *strength, mskp_error *err)
{
    double largest = 0;
    *strength = p->how.strength;
    if (p->how.strength > 0) return MSKP_OK;
    const mskp_status status = measure(p, values, &largest, err);
    if (status) return status;
    correct_response(p, t->pull, largest);
    const double move = mskpi_pruner_move(largest, t->pull_left);
    *strength = rate > 0 ? move / (rate * p->response) : 0;
    if (!isfinite(*strength * scale_of(p))) *strength = 0; /* at a rate of almost 0 nothing moves */
    return MSKP_OK;
}

/* The task's gradient fades, and the term of the gradient is added. */
static mskp_status add_term(mskp_pruner *p, const pruner_time *t, double rate, mskp_tensors values,
                            mskp_tensors gradients, mskp_error *err)
{
    const bool adds = p->how.pull == MSKP_PULL_GRADIENT && t->pull_left;
    double strength = 0;
    mskp_status status = MSKP_OK;
    if (adds) status = gradient_strength(p, t, rate, values, &strength, err);
    if (!status && p->how.fade) {
        const double done = (double)(t->pull - t->pull_left + 1) / (double)(t->pull + 1);
        /* The term's errors must come before the gradients change; a strength of 0 checks. */
        if (adds) status = mskpi_pruner_penalize(p, CALL_GRADIENT, 0, 0, values, gradients, err);
        if (!status)
            status = mskpi_pruner_penalize(p, CALL_FADE, t->pull_left > 1 ? done : 1, 0, values,
                                           gradients, err);
    }
    if (!status && adds)
        status = mskpi_pruner_penalize(p, CALL_GRADIENT, strength * scale_of(p), 0, values,
                                       gradients, err);
    if (status || !adds) return status;
    p->strength = strength;
    p->move = rate * strength * p->response;
    return MSKP_OK;
}

mskp_status mskp_pruner_before_step(mskp_pruner *pruner, double rate, mskp_tensors values,
                                    mskp_tensors gradients, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, pruner);
    if (!status) status = check_step(pruner, rate, values, err);
    if (status) return status;
    /* A copy changes, and is taken over when nothing can fail any more. Gradients change last. */
    mskp_pruner next = *pruner, *const p = &next;
    const pruner_time t = mskpi_pruner_time(p);
    p->strength = p->move = 0;
    if (t.stage == MSKP_PRUNER_STAGE_SPARSE && p->how.pull == MSKP_PULL_GRADIENT) {
        const mskp_penalty penalty = sparse_penalty(p);
        status =
            mskp_penalty_gradient(mskp_pruner_graph(p), mskpi_pruner_keep(p), &penalty,
                                  p->how.sparse_strength * scale_of(p), values, gradients, err);
    } else if (t.stage == MSKP_PRUNER_STAGE_MASKED) {
        const uint64_t done = t.pull - t.pull_left;
        const bool now = p->how.refresh && t.pull_left && done && !(done % p->how.refresh);
        if (!p->marked)
            status = mskpi_pruner_make_mask(p, values, err);
        else if (now && p->scored && !p->stepping) /* once, also if the step is begun again */
            status = mskpi_pruner_refresh(p, values, err);
        else
            mskpi_pruner_penalty_prepare(p, values, gradients);
        if (!status) status = add_term(p, &t, rate, values, gradients, err);
    }
    if (status) return status;
    mskpi_pruner_unplan(p);
    p->stepping = true;
    *pruner = next;
    return MSKP_OK;
}

/* values <- after the pull of this step. */
static mskp_status pull(mskp_pruner *p, const pruner_time *t, double rate, mskp_tensors values,
                        mskp_error *err)
{
    const mskp_tensors none = {0, NULL};
    const bool automatic = !(p->how.strength > 0);
    const bool deadline = p->how.pull == MSKP_PULL_DEADLINE;
    const bool proximal = p->how.pull == MSKP_PULL_PROXIMAL;
    const bool zeroes = !t->pull_left || (t->pull_left == 1 && (automatic || deadline));
    const bool first = zeroes && isnan(p->residue); /* what it takes away is shown */
    double largest = 0, move = rate * p->how.strength;
    mskp_status status = MSKP_OK;
    if (first || (automatic && proximal && !zeroes)) status = measure(p, values, &largest, err);
    if (automatic) move = zeroes ? largest : mskpi_pruner_move(largest, t->pull_left);
    if (status) return status;
    if (zeroes)
        status = mskpi_pruner_penalize(p, CALL_DEADLINE, 0, 0, values, none, err);
    else if (deadline)
        status = mskpi_pruner_penalize(p, CALL_DEADLINE, 0, t->pull_left - 1, values, none, err);
    else if (proximal)
        status = mskpi_pruner_penalize(p, CALL_PROX, move, 0, values, none, err);
    if (status) return status;
    if (first) p->residue = largest;
    if (!t->pull_left || deadline) return MSKP_OK;
    if (proximal) {
        p->move = move;
        p->strength = rate > 0 ? move / rate : 0;
    } else {
        p->pulled += rate * p->strength;
        p->window++;
    }
    return MSKP_OK;
}

mskp_status mskp_pruner_after_step(mskp_pruner *pruner, double rate, mskp_tensors values,
                                   mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, pruner);
    if (!status) status = check_step(pruner, rate, values, err);
    if (status) return status;
    mskp_pruner *p = pruner;
    const pruner_time t = mskpi_pruner_time(p);
    if (!p->stepping)
        return mskpi_fail(err, MSKP_ERROR_BAD_STATE,
                          "pruner: step %llu ends, but mskp_pruner_before_step did not begin it",
                          (unsigned long long)p->step);
    if (t.stage == MSKP_PRUNER_STAGE_SPARSE && p->how.pull != MSKP_PULL_GRADIENT) {
        const mskp_penalty penalty = sparse_penalty(p);
        status = mskp_penalty_prox(mskp_pruner_graph(p), mskpi_pruner_keep(p), &penalty,
                                   rate * p->how.sparse_strength, values, err);
    } else if (t.stage == MSKP_PRUNER_STAGE_MASKED) {
        status = pull(p, &t, rate, values, err);
    }
    if (status) return status;
    mskpi_pruner_unplan(p);
    p->stepping = false;
    p->step++;
    return MSKP_OK;
}
