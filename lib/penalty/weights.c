/*
 * Weights per unit: penalties of the field that depend on a norm of each unit, written as the
 * kinds of penalty.c times a number of the unit.
 *
 * Let n be a norm of each unit and R a function of these norms. The L2 norm has the gradient w / n,
 * and the L1 norm sign(w). So by the chain rule an element w of unit u has the gradient
 *
 *     dR/dn_u * w / n_u    MSKP_PENALTY_L2 (whose slope is w) with the weight dR/dn_u / n_u
 *     dR/dn_u * sign(w)    MSKP_PENALTY_L1 with the weight dR/dn_u
 *
 * and nothing but dR/dn_u differs between the penalties. With S the sum of the norms, Q the sum of
 * their squares, m their mean and N their number:
 *
 *     group lasso            R = S                         dR/dn = 1, or sqrt(size) of the unit
 *     Hoyer, grouped         R = S^2 / Q                   dR/dn = 2 S / Q - 2 S^2 n / Q^2
 *     polarization           R = t S - sum |n - m|         dR/dn = t - sign(n - m) + (mean of all
 *                                                          sign(n - m))
 *
 * The last term of polarization comes from the mean, which depends on each norm. Adaptive weights
 * and costs are weights as they are, and no gradients of a function of the norms.
 *
 * A new row goes into mskp_weighting_kind (methods.h), and into weigh.
 */
#include <math.h>
#include <stdbool.h>
#include <string.h>

#include "base/memory.h"
#include "base/overlap.h"
#include "base/status.h"
#include "describe/graph.h"
#include "mskp.h"
#include "mskp/methods.h"
#include "mskp/tools.h"
#include "penalty/penalty.h"
#include "units/cost.h"
#include "units/units.h"

/* Where 1 / n would not fit into a double with room for a strength. */
static const double LARGEST_INVERSE = 0x1p1000;

/* The parameter of ADAPTIVE in the paper. */
static const double USUAL_RATE = 4;

typedef struct weighing {
    const mskp_graph *graph;
    mskp_weighting_kind kind;
    double parameter;
    uint32_t roles;
    const double *norm;  /* [units]; NULL: by costs */
    uint8_t *counts;     /* [units] a target with elements */
    double *weight;      /* [units] */
    mskp_cost *price;    /* [families] by costs: what a unit costs */
    size_t n;            /* how many units count */
    double sum, squares; /* of their norms */
    double least, most;
    double signs; /* the sum of sign(n - mean) */
} weighing;

static bool by_costs(const weighing *j)
{
    return j->kind == MSKP_WEIGHTING_MACS || j->kind == MSKP_WEIGHTING_PARAMS;
}

static int sign_of(double x)
{
    return (x > 0) - (x < 0);
}

static double inverse(double norm)
{
    return norm > 0 ? fmin(1 / norm, LARGEST_INVERSE) : 0;
}

/* How many elements of the unit's slices in the roles there are; crossings count once. The indices
 * of a unit on the axes of a tensor leave out a block of elements, whose sides are the other
 * indices of these axes. */
static double unit_size(const weighing *j, uint32_t unit)
{
    size_t count, size = 0;
    const mskp_member *m = mskp_unit_members(j->graph, unit, &count);
    for (size_t i = 0; i < count;) {
        const mskp_param param = m[i].param;
        size_t shape[MSKP_MAX_DIMS], all = 1, rest = 1;
        const uint32_t ndim = mskp_param_shape(j->graph, param, shape);
        for (uint32_t d = 0; d < ndim; d++) all *= shape[d];
        for (; i < count && m[i].param.id == param.id; i++)
            if (m[i].roles & j->roles) shape[m[i].axis]--;
        for (uint32_t d = 0; d < ndim; d++) rest *= shape[d];
        size += all - rest;
    }
    return (double)size;
}

static double number_of(const weighing *j, uint32_t unit)
{
    if (!by_costs(j)) return j->norm[unit];
    const mskp_cost *price = &j->price[j->graph->u->family[unit]];
    return j->kind == MSKP_WEIGHTING_MACS ? price->macs : price->params;
}

static double weigh(const weighing *j, uint32_t unit)
{
    const double n = number_of(j, unit), mean = j->sum / (double)j->n;
    switch (j->kind) {
    case MSKP_WEIGHTING_GROUP_LASSO:
        return inverse(n);
    case MSKP_WEIGHTING_GROUP_LASSO_SIZE:
        return sqrt(unit_size(j, unit)) * inverse(n);
    case MSKP_WEIGHTING_HOYER:
        if (!(n > 0)) return 0;
        return 2 * (j->sum / j->squares) * (inverse(n) - j->sum / j->squares);
    case MSKP_WEIGHTING_POLARIZATION:
        return j->parameter - sign_of(n - mean) + j->signs / (double)j->n;
    case MSKP_WEIGHTING_ADAPTIVE:
        if (!(j->most > j->least)) return 1;
        return exp2((j->parameter < 0 || j->parameter > 0 ? j->parameter : USUAL_RATE) *
                    (j->most - n) / (j->most - j->least));
    default: /* by costs */
        return mean > 0 ? n / mean : 0;
    }
}

/* The sums over the units that count. */
static void add_up(weighing *j)
{
    j->least = INFINITY, j->most = -INFINITY;
    for (uint32_t u = 0; u < j->graph->u->n; u++) {
        if (!j->counts[u]) continue;
        const double n = number_of(j, u);
        j->n++;
        j->sum += n;
        j->squares += n * n;
        j->least = fmin(j->least, n);
        j->most = fmax(j->most, n);
    }
    for (uint32_t u = 0; u < j->graph->u->n; u++)
        if (j->counts[u]) j->signs += sign_of(number_of(j, u) - j->sum / (double)j->n);
}

static mskp_status check_norm(const weighing *j, uint32_t unit, mskp_error *err)
{
    char number[32];
    const double n = j->norm[unit];
    const bool any_sign = j->kind == MSKP_WEIGHTING_ADAPTIVE;
    if (isnan(n) || n == -INFINITY || (n < 0 && !any_sign))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "weights: the norm of unit %u is %s, not %s",
                          unit, mskpi_number(n, number), any_sign ? "a number" : "0 or more");
    return MSKP_OK;
}

/* Which units count, and their weights. */
static mskp_status weigh_units(weighing *j, mskp_mask keep, mskp_target target, mskp_error *err)
{
    char number[32];
    mskp_status status = MSKP_OK;
    for (uint32_t u = 0; !status && u < j->graph->u->n; u++) {
        if (j->norm) status = check_norm(j, u, err);
        const bool targeted =
            target == MSKP_TARGET_ALL || (keep.unit[u] == 0) == (target == MSKP_TARGET_REMOVED);
        j->counts[u] = targeted && (!j->norm || j->norm[u] < INFINITY);
    }
    if (status) return status;
    add_up(j);
    for (uint32_t u = 0; u < j->graph->u->n; u++) {
        j->weight[u] = j->counts[u] ? weigh(j, u) : 0;
        if (!isfinite(j->weight[u]))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER,
                              "weights: no double can hold the weight of unit %u, whose norm is %s",
                              u, mskpi_number(number_of(j, u), number));
    }
    return MSKP_OK;
}

/* The rows of mskp_weighting_kind. */
static const struct row {
    const char *name;
    mskp_penalty_kind penalty; /* the kind that penalty must have, unless any_kind */
    bool any_kind;
    bool parameter; /* it takes one */
} ROW[] = {
    [MSKP_WEIGHTING_GROUP_LASSO] = {"GROUP_LASSO", MSKP_PENALTY_L2, false, false},
    [MSKP_WEIGHTING_GROUP_LASSO_SIZE] = {"GROUP_LASSO_SIZE", MSKP_PENALTY_L2, false, false},
    [MSKP_WEIGHTING_HOYER] = {"HOYER", MSKP_PENALTY_L2, false, false},
    [MSKP_WEIGHTING_POLARIZATION] = {"POLARIZATION", MSKP_PENALTY_L1, false, true},
    [MSKP_WEIGHTING_ADAPTIVE] = {"ADAPTIVE", MSKP_PENALTY_L2, false, true},
    [MSKP_WEIGHTING_MACS] = {"MACS", MSKP_PENALTY_L1, true, false},
    [MSKP_WEIGHTING_PARAMS] = {"PARAMS", MSKP_PENALTY_L1, true, false},
};
enum { ROWS = sizeof ROW / sizeof *ROW };

static mskp_status check(const weighing *j, mskp_mask keep, const mskp_penalty *penalty,
                         mskp_scores norms, mskp_scores weights, mskp_error *err)
{
    char number[32];
    mskp_status status = mskpi_check_optional_mask(j->graph, "keep", keep, err);
    if (!status) status = mskpi_check_scores(j->graph, "weights", weights, err);
    if (status) return status;
    if ((unsigned)j->kind >= ROWS)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "weights: kind is %u, the last is %d",
                          (unsigned)j->kind, ROWS - 1);
    const struct row *row = &ROW[j->kind];
    status = mskpi_check_targets(penalty, keep.unit, err);
    if (status) return status;
    if (!row->any_kind && penalty->kind != row->penalty)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "weights: %s needs a penalty of kind MSKP_PENALTY_%s, not %u", row->name,
                          row->penalty == MSKP_PENALTY_L1 ? "L1" : "L2", (unsigned)penalty->kind);
    if (!isfinite(j->parameter))
        return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "weights: parameter is %s, not finite",
                          mskpi_number(j->parameter, number));
    if (!row->parameter && (j->parameter < 0 || j->parameter > 0))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "weights: parameter is %s, and %s takes none",
                          mskpi_number(j->parameter, number), row->name);
    const call_array written = mskpi_scores_array("weights", weights);
    status = mskpi_check_apart(written, mskpi_mask_array("keep", keep), err);
    if (!status && !by_costs(j)) status = mskpi_check_scores(j->graph, "norms", norms, err);
    if (!status)
        status = mskpi_check_apart_or_same(written, mskpi_scores_array("norms", norms), err);
    if (status || !by_costs(j)) return status;
    if (norms.n || norms.unit)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "weights: %s takes no norms, and %zu are given", row->name, norms.n);
    return MSKP_OK;
}

mskp_status mskp_unit_weights(const mskp_graph *graph, mskp_mask keep, const mskp_penalty *penalty,
                              const mskp_weighting *weighting, mskp_scores norms,
                              mskp_scores weights, mskp_error *err)
{
    const mskp_penalty how = penalty ? *penalty : (mskp_penalty){0};
    weighing j = {
        .graph = graph, .roles = how.roles ? how.roles : MSKP_ROLE_SCALE, .norm = norms.unit};
    mskp_status status = MSKPI_GIVEN(err, weighting);
    if (status) return status;
    j.kind = weighting->kind;
    j.parameter = weighting->parameter;
    status = check(&j, keep, &how, norms, weights, err);
    if (status) return status;
    const mskp_services *services = &graph->services;
    const size_t families = by_costs(&j) ? graph->u->nfamilies : 0;
    j.counts = mskpi_alloc(services, weights.n, sizeof *j.counts);
    j.weight = mskpi_alloc(services, weights.n, sizeof *j.weight);
    j.price = mskpi_alloc(services, families, sizeof *j.price);
    if (!j.counts || !j.weight || !j.price || (by_costs(&j) && !mskpi_unit_costs(graph, j.price)))
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while weighing %zu units",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY), weights.n);
    else
        status = weigh_units(&j, keep, how.target, err);
    if (!status) memcpy(weights.unit, j.weight, weights.n * sizeof *weights.unit);
    mskpi_free(services, j.counts);
    mskpi_free(services, j.weight);
    mskpi_free(services, j.price);
    return status;
}
