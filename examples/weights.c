/*
 * Penalties that depend on the norm of a whole filter. Eight filters of 27 weights are trained in
 * five ways by plain gradient descent. The task pulls each weight to a target: loss = sum (weight -
 * target)^2 / 2, and the norms of the targets are 1 to 8. Filters 0 to 3 are to be removed.
 *
 *     lasso         group lasso on all filters, by mskp_penalty_group_prox after the step: a filter
 *                   loses `strength` of its norm, and the four smallest end at exactly 0
 *     hoyer         grouped Hoyer-square on all, as a gradient: small filters shrink, and large
 *                   ones grow
 *     adaptive      DepGraph's weights: the smallest filter is pulled 2^4 times as hard as the
 *                   largest
 *     growing       L2 on filters 0 to 3 with strengths of their own that grow (H. Wang et al.,
 *                   "Neural Pruning via Growing Regularization", ICLR 2021). The strengths are the
 *                   program's array, so a filter that is marked later begins at 0
 *     faded         the task's gradient of filters 0 to 3 fades out while L2 shrinks them
 *
 * Where each filter must come to rest can be computed by hand, and the program compares.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/methods.h>
#include <mskp/operators.h> /* mskp_fresh, mskp_bind */
#include <stdio.h>

enum { UNITS = 8, SIZE = 27, STEPS = 4000 };
enum { LASSO, HOYER, ADAPTIVE, GROWING, FADED, WAYS };
static double weight[UNITS][SIZE], slope[UNITS][SIZE], target[UNITS][SIZE];
static double norm[UNITS], of_unit[UNITS];
static const double rate = 0.02, strength = 4.5;

static double length(const double *w)
{
    double sum = 0;
    for (int i = 0; i < SIZE; i++) sum += w[i] * w[i];
    return sqrt(sum);
}

int main(void)
{
    static const char *const name[WAYS] = {"lasso", "hoyer", "adaptive", "growing", "faded"};
    static const mskp_weighting_kind kinds[] = {MSKP_WEIGHTING_GROUP_LASSO, MSKP_WEIGHTING_HOYER,
                                                MSKP_WEIGHTING_ADAPTIVE};
    const mskp_scoring l2 = {MSKP_MAGNITUDE_L2, MSKP_REDUCE_JOINT, MSKP_ROLE_FILTER, 0};
    mskp_tensor view[2] = {{.data = weight, .dtype = MSKP_DTYPE_F64},
                           {.data = slope, .dtype = MSKP_DTYPE_F64}};
    const mskp_tensors values = {1, &view[0]}, gradients = {1, &view[1]};
    const mskp_scores norms = {UNITS, norm}, weights = {UNITS, of_unit};
    const mskp_mask keep = {UNITS, (uint8_t[UNITS]){0, 0, 0, 0, 1, 1, 1, 1}};
    mskp_error err = {0};
    int wrong = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param p = mskp_parameter(g, "filters", 4, (size_t[]){UNITS, 3, 3, 3});
    mskp_bind(g, p, 0, MSKP_ROLE_FILTER, mskp_fresh(g, "x", UNITS, 0, NULL));
    if (mskp_graph_finish(g, &err)) goto failed;
    for (int u = 0; u < UNITS; u++) { /* any direction, of length u + 1 */
        for (int i = 0; i < SIZE; i++) target[u][i] = sin(i + 2 * u + 1);
        const double scale = (u + 1) / length(target[u]);
        for (int i = 0; i < SIZE; i++) target[u][i] *= scale;
    }
    for (int way = 0; way < WAYS; way++) {
        const mskp_penalty penalty = {.kind = MSKP_PENALTY_L2,
                                      .target =
                                          way < GROWING ? MSKP_TARGET_ALL : MSKP_TARGET_REMOVED,
                                      .roles = MSKP_ROLE_FILTER,
                                      .unit_weight = way == FADED ? NULL : of_unit};
        for (int u = 0; u < UNITS; u++) {
            of_unit[u] = 0;
            for (int i = 0; i < SIZE; i++) weight[u][i] = target[u][i];
        }
        for (int step = 1; step <= STEPS; step++) {
            const mskp_weighting weighting = {way < GROWING ? kinds[way] : MSKP_WEIGHTING_MACS,
                                              way == ADAPTIVE ? 4 : 0};
            for (int u = 0; u < UNITS; u++)
                for (int i = 0; i < SIZE; i++) slope[u][i] = weight[u][i] - target[u][i];
            if (way == FADED &&
                mskp_penalty_fade(g, keep, &penalty, fmin(1, 2.0 * step / STEPS), gradients, &err))
                goto failed;
            for (int u = 0; way == GROWING && u < UNITS; u++) /* by 0.01, up to 30 */
                if (!keep.unit[u]) of_unit[u] = fmin(of_unit[u] + 0.01, 30);
            if ((way == HOYER || way == ADAPTIVE) &&
                (mskp_score(g, &l2, values, norms, &err) ||
                 mskp_unit_weights(g, keep, &penalty, &weighting, norms, weights, &err)))
                goto failed;
            if (way != LASSO &&
                mskp_penalty_gradient(g, keep, &penalty, 1, values, gradients, &err))
                goto failed;
            for (int u = 0; u < UNITS; u++)
                for (int i = 0; i < SIZE; i++) weight[u][i] -= rate * slope[u][i];
            if (way == LASSO &&
                (mskp_score(g, &l2, values, norms, &err) ||
                 mskp_unit_weights(g, keep, &penalty, &weighting, norms, weights, &err) ||
                 mskp_penalty_group_prox(g, keep, &penalty, rate * strength, values, &err)))
                goto failed;
        }
        printf("%-9s", name[way]);
        double sum = 0, squares = 0, least = HUGE_VAL, most = 0;
        for (int u = 0; u < UNITS; u++) {
            const double n = length(weight[u]);
            printf(" %5.3f", n);
            sum += n, squares += n * n, least = fmin(least, n), most = fmax(most, n);
        }
        printf("\n");
        for (int u = 0; u < UNITS; u++) { /* at rest the task's pull and the penalty's cancel */
            const double n = length(weight[u]), t = u + 1;
            double rest = t;
            if (way == LASSO) rest = fmax(0, t - strength);
            if (way == HOYER) rest = t - 2 * sum / squares + 2 * sum * sum / squares / squares * n;
            if (way == ADAPTIVE) rest = t / (1 + pow(2, 4 * (most - n) / (most - least)));
            if (way == GROWING && !keep.unit[u]) rest = t / 31;
            if (way == FADED && !keep.unit[u]) rest = 0;
            if (!(fabs(n - rest) < 1e-6))
                wrong = 1,
                fprintf(stderr, "weights: %s: |filter %d| is %g, not %g\n", name[way], u, n, rest);
            if (way == LASSO && u < 4 && n > 0) wrong = 1;
        }
    }
failed:
    if (err.status) fprintf(stderr, "weights: %s\n", err.text);
    mskp_graph_destroy(g);
    return wrong || err.status;
}
