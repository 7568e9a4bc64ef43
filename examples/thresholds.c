/*
 * Which threshold? One layer of 400 channels was trained with a penalty on all gammas, which left
 * 300 of them small, and 100 near 1. Where is the border between the two groups?
 *
 *     valley    the most prominent valley of a histogram of log gamma
 *     energy    the optimal threshold of Y. Ye et al., arXiv 2003.04566: of each layer, the
 *               smallest gammas whose squares add up to at most 1e-3 of the layer's sum of squares
 *     random    as many units as the valley, chosen by chance: a control
 *
 * The program counts how many units of the large group each mask removes.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/methods.h>
#include <mskp/operators.h> /* mskp_fresh, mskp_bind */
#include <stdio.h>

enum { UNITS = 400, LARGE = 100 };
static double gamma[UNITS], score[UNITS];
static uint8_t stays[UNITS];

/* Prints how many units a mask removes, of all and of the large group, every fourth unit. */
static size_t count(const char *way, double threshold, size_t *large)
{
    size_t removed = 0;
    *large = 0;
    for (size_t u = 0; u < UNITS; u++) removed += !stays[u], *large += !stays[u] && u % 4 == 0;
    printf("%-7s threshold %-10.3g %zu units removed, %zu of them large\n", way, threshold, removed,
           *large);
    return removed;
}

int main(void)
{
    mskp_tensor view = {.data = gamma, .dtype = MSKP_DTYPE_F64};
    const mskp_tensors values = {1, &view};
    const mskp_scores scores = {UNITS, score};
    const mskp_mask keep = {UNITS, stays};
    mskp_rule rule = {.use_threshold = 1};
    size_t large[3] = {0}, removed[3] = {0};
    double depth = 0;
    mskp_error err = {0};
    int wrong = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param p = mskp_parameter(g, "gamma", 1, (size_t[]){UNITS});
    mskp_bind(g, p, 0, MSKP_ROLE_SCALE, mskp_fresh(g, "x", UNITS, 0, NULL));
    if (mskp_graph_finish(g, &err)) goto failed;
    for (int u = 0; u < UNITS; u++) { /* around 1, every fourth, and around 0.003 */
        const double x = sin(u * u) + sin(7 * u * u + 1) + sin(3 * u * u + 2);
        gamma[u] = pow(10, x * 0.15 - (u % 4 ? 2.5 : 0));
    }

    if (mskp_score(g, NULL, values, scores, &err) ||
        mskp_valley(scores, 0, &rule.threshold, &depth, &err) ||
        mskp_select(g, scores, &rule, keep, NULL, &err))
        goto failed;
    removed[0] = count("valley", rule.threshold, &large[0]);
    printf("the depth of the valley is %g\n", depth);

    rule.threshold = 1e-3;
    if (mskp_score_normalize(g, MSKP_NORMALIZER_ENERGY, 0, scores, &err) ||
        mskp_select(g, scores, &rule, keep, NULL, &err))
        goto failed;
    removed[1] = count("energy", rule.threshold, &large[1]);

    rule = (mskp_rule){.remove_fraction = (double)removed[0] / UNITS};
    if (mskp_score_random(g, 1, scores, &err) || mskp_select(g, scores, &rule, keep, NULL, &err))
        goto failed;
    removed[2] = count("random", rule.threshold, &large[2]);

    wrong = removed[0] != UNITS - LARGE || large[0] || depth < 1 || large[1] ||
            removed[1] < removed[0] * 9 / 10 || removed[2] != removed[0] || large[2] < LARGE / 2;
    if (wrong) fprintf(stderr, "thresholds: some mask is not what this page promises\n");
failed:
    if (err.status) fprintf(stderr, "thresholds: %s\n", err.text);
    mskp_graph_destroy(g);
    return wrong || err.status;
}
