/*
 * Penalties: what each call does to one element, and its loops over a run of elements.
 *
 * Within a job, a switch over the penalty's kind (p->kind) computes one element: the slope of R for
 * a gradient, the proximal map, R itself. Each result is rounded once when it is stored.
 *
 * A number of half precision stays as it was if it is to move by less than half of the distance to
 * its neighbour. With mskp_low_precision such steps are counted, or results are rounded at random
 * such that their mean is exact (Gupta et al., ICML 2015). The random number of an element depends
 * on the seed, the parameter's id and the element's logical index alone, so neither strides nor
 * threads show. These stores have a loop of their own (do_carefully), and the usual loops pay
 * nothing for them.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/element.h"
#include "base/hash.h"
#include "penalty/elements.h"

const char *mskpi_second_name(const penalty_job *j)
{
    if (j->kind == GRADIENT) return "gradients";
    return j->kind == DEADLINE && (j->second.view || j->second.n) ? "start" : NULL;
}

/* Returns dR/dw. */
static double slope(const mskp_penalty *p, double w, int sign)
{
    switch (p->kind) {
    case MSKP_PENALTY_L2:
        return w;
    case MSKP_PENALTY_SMOOTH_L1:
        if (fabs(w) < p->knee) return w * (1 / p->knee); /* one division serves a whole loop */
        return sign;
    default:
        return sign;
    }
}

/* Returns the x that minimizes R(x) * eta + (x - w)^2 / 2. */
static double prox(const mskp_penalty *p, double w, double eta)
{
    const double a = fabs(w);
    double left;
    switch (p->kind) {
    case MSKP_PENALTY_L2:
        return w * (1 / (1 + eta));
    case MSKP_PENALTY_SMOOTH_L1:
        if (a <= p->knee + eta && p->knee > 0) return w * (p->knee / (p->knee + eta));
        break;
    default:
        break;
    }
    left = a - eta;
    if (isnan(w)) return w;
    return left > 0 ? copysign(left, w) : 0;
}

/* Returns R of one element. */
static double penalty_of(const mskp_penalty *p, double w)
{
    const double a = fabs(w);
    switch (p->kind) {
    case MSKP_PENALTY_L2:
        return 0.5 * w * w;
    case MSKP_PENALTY_SMOOTH_L1:
        return a < p->knee ? w * w / (2 * p->knee) : a - p->knee / 2;
    default:
        return a;
    }
}

/* Returns -1, 0 or 1. The sign is read from its bit, so a denormal double has one even where
 * the hardware reads it as 0. Smaller formats were loaded as normal doubles. */
static int sign_of(double w)
{
    uint64_t bits;
    memcpy(&bits, &w, sizeof bits);
    return (bits << 1 != 0) *
           (1 - 2 * (int)(bits >> 63)); /* no branch: signs are hard to predict */
}

/* A random number in [0, 1) for the element at logical index i of a parameter's tensor. */
static double random_of(const penalty_job *j, uint32_t id, size_t i)
{
    const uint64_t seeded = mskpi_mix(0x9e3779b97f4a7c15u, j->low.seed);
    return mskpi_uniform(mskpi_mix(mskpi_mix(seeded, id), i));
}

/* Stores x where `was` is, as mskp_low_precision asks. moves: whether the step is not 0. random:
 * the element's random number. */
static void store_step(const penalty_job *j, char *to, mskp_dtype dtype, double was, double x,
                       bool moves, double random)
{
    const mskp_low_precision *low = &j->low;
    const bool half = dtype == MSKP_DTYPE_F16 || dtype == MSKP_DTYPE_BF16;
    if (half && low->rounding == MSKP_ROUNDING_STOCHASTIC)
        mskpi_store_random(to, dtype, x, random);
    else
        mskpi_store(to, dtype, x);
    if (!moves || !isfinite(was) || !isfinite(x)) return;
    const double now = mskpi_load(to, dtype);
    if (low->asked) ++*low->asked;
    if (low->lost && now <= was && now >= was) ++*low->lost;
}

/* mskpi_penalize, for a job whose stores are rounded at random, or counted. */
static void do_carefully(const penalty_job *j, const element_run *run, double amount)
{
    char *value = run->value, *second = run->second;
    for (size_t i = 0; i < run->n; i++, value += run->step) {
        const double w = mskpi_load(value, run->dtype);
        const double random = j->low.rounding ? random_of(j, run->id, run->first + i) : 0;
        if (j->kind == GRADIENT) {
            const double g = mskpi_load(second, run->dtype_2);
            const double step = amount * slope(&j->how, w, sign_of(w));
            store_step(j, second, run->dtype_2, g, g + step, step < 0 || step > 0, random);
        } else {
            const double from = second ? mskpi_load(second, run->dtype_2) : w;
            const double x =
                j->kind == SHRINK ? prox(&j->how, w, amount) : (amount > 0 ? from * amount : 0.0);
            store_step(j, value, run->dtype, w, x, x < w || x > w, random);
        }
        if (second) second += run->step_2;
    }
}

static void measure(mskp_gauge *g, double w)
{
    static const double LIMIT[MSKP_GAUGE_DECADES] = {1, 1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7};
    const double a = fabs(w);
    g->elements++;
    g->zeros += a <= 0;
    for (size_t k = 0; k < MSKP_GAUGE_DECADES && a < LIMIT[k]; k++) g->below[k]++;
    if (!(a <= g->largest)) g->largest = isnan(g->largest) ? g->largest : a;
    g->mean += a;
}

void mskpi_penalize(penalty_job *j, const element_run *run, double factor)
{
    const mskp_dtype dtype = run->dtype, dtype_2 = run->dtype_2;
    const ptrdiff_t step = run->step, step_2 = run->step_2;
    const size_t n = run->n;
    const double amount = mskpi_amount(j, factor);
    char *value = run->value, *second = run->second;
    MSKPI_ASSERT((second != NULL) == (mskpi_second_name(j) != NULL));
    if (j->careful) {
        do_carefully(j, run, amount);
        return;
    }
    switch (j->kind) {
    case GRADIENT:
        for (size_t i = 0; i < n; i++, value += step, second += step_2) {
            const double w = mskpi_load(value, dtype), g = mskpi_load(second, dtype_2);
            mskpi_store(second, dtype_2, g + amount * slope(&j->how, w, sign_of(w)));
        }
        return;
    case SHRINK:
        for (size_t i = 0; i < n; i++, value += step)
            mskpi_store(value, dtype, prox(&j->how, mskpi_load(value, dtype), amount));
        return;
    case DEADLINE:
    case FADE:
        for (size_t i = 0; i < n; i++, value += step) {
            const double from = second ? mskpi_load(second, dtype_2) : mskpi_load(value, dtype);
            mskpi_store(value, dtype, amount > 0 ? from * amount : 0.0);
            if (second) second += step_2;
        }
        return;
    case MEASURE:
        for (size_t i = 0; i < n; i++, value += step) measure(&j->gauge, mskpi_load(value, dtype));
        return;
    default: /* VALUE */
        for (size_t i = 0; i < n; i++, value += step)
            j->sum += factor * penalty_of(&j->how, mskpi_load(value, dtype));
        return;
    }
}
