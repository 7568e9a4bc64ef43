/* Random penalties and what they mean for one element. */
#include "penalty_case.h"

#include "by_id/by_id.h"
#include <math.h>

static const uint32_t role_sets[] = {0,
                                     MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT,
                                     MSKP_ROLE_FILTER,
                                     MSKP_ROLE_CONSUMER,
                                     MSKP_ROLE_FILTER | MSKP_ROLE_CONSUMER,
                                     MSKP_ROLES_UNIT};

penalty_case *random_penalty_case(trial *t)
{
    penalty_case *a = arena_get(&t->mem, 1, sizeof *a);
    uint8_t *keep = arena_get(&t->mem, t->units, 1);
    double *weight = arena_get(&t->mem, t->units, sizeof *weight);
    for (size_t u = 0; u < t->units; u++) {
        keep[u] = rng_chance(&t->r, 0.5) ? (uint8_t)rng_from(&t->r, 1, 255) : 0;
        weight[u] = (double)rng_below(&t->r, 5) / 4;
    }
    a->penalty = (mskp_penalty){.kind = (mskp_penalty_kind)rng_below(&t->r, 3),
                                .target = (mskp_target)rng_below(&t->r, 3),
                                .roles = role_sets[rng_below(&t->r, 6)],
                                .knee = rng_chance(&t->r, 0.8) ? 0.25 : 0,
                                .unit_weight = rng_chance(&t->r, 0.5) ? weight : NULL};
    a->keep = keep;
    a->given = &a->penalty;
    if (rng_chance(&t->r, 0.15)) {
        a->penalty = (mskp_penalty){0};
        a->given = NULL;
    }
    if (a->penalty.target == MSKP_TARGET_ALL && rng_chance(&t->r, 0.5)) a->keep = NULL;
    a->roles = a->penalty.roles ? a->penalty.roles : MSKP_ROLE_SCALE;
    a->wanted = arena_get(&t->mem, t->units, sizeof *a->wanted);
    a->weight = arena_get(&t->mem, t->units, sizeof *a->weight);
    for (size_t u = 0; u < t->units; u++) {
        a->wanted[u] = a->penalty.target == MSKP_TARGET_ALL ||
                       (keep[u] != 0) == (a->penalty.target == MSKP_TARGET_KEPT);
        a->weight[u] = a->penalty.unit_weight ? weight[u] : 1;
    }
    return a;
}

void each_element(trial *t, const penalty_case *a, element_visit *f, void *context)
{
    for (size_t p = 1; p <= t->net->params; p++) {
        size_t index[MSKP_MAX_DIMS] = {0};
        do f(t, a, p, index, context);
        while (next_index(t->net->param[p].ndim, t->net->param[p].shape, index));
    }
}

mskp_tensor element_view(const trial *t, const set *s, size_t p)
{
    return view_resolve(&s->buf[p].view, t->net->param[p].ndim, t->net->param[p].shape);
}

double share_of(const trial *t, const penalty_case *a, size_t param, const size_t *index)
{
    double sum = -1;
    for (uint32_t u = 0; u < t->units; u++)
        if (a->wanted[u] && element_axis(&t->model, param, index, u, a->roles) != MSKP_MAX_DIMS)
            sum = (sum < 0 ? 0 : sum) + a->weight[u];
    return sum;
}

double penalty_of(const penalty_case *a, double w)
{
    double knee = a->penalty.knee;
    if (a->penalty.kind == MSKP_PENALTY_L2) return w * w / 2;
    if (a->penalty.kind == MSKP_PENALTY_L1 || knee == 0) return fabs(w);
    return fabs(w) < knee ? w * w / (2 * knee) : fabs(w) - knee / 2;
}

double slope_of(const penalty_case *a, double w)
{
    double knee = a->penalty.knee;
    if (a->penalty.kind == MSKP_PENALTY_L2) return w;
    if (a->penalty.kind == MSKP_PENALTY_SMOOTH_L1 && fabs(w) < knee) return w / knee;
    return w > 0 ? 1 : w < 0 ? -1 : 0;
}

double prox_of(const penalty_case *a, double w, double step)
{
    double knee = a->penalty.knee, shrunk = fmax(0, fabs(w) - step);
    if (a->penalty.kind == MSKP_PENALTY_L2) return w / (1 + step);
    if (a->penalty.kind == MSKP_PENALTY_SMOOTH_L1 && knee > 0 && fabs(w) <= knee + step)
        return w / (1 + step / knee);
    return w < 0 ? -shrunk : shrunk;
}

double rounded(mskp_dtype dtype, double x)
{
    switch ((int)dtype) {
    case MSKP_DTYPE_F32:
        return (double)(float)x;
    case MSKP_DTYPE_F16:
        return half_decode(half_encode(x));
    case MSKP_DTYPE_BF16:
        return bfloat_decode(bfloat_encode(x));
    default:
        return x;
    }
}
