#include "terms.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp/rules.h"
#include "mskp/tools.h"
#include "mskp_convnet.h"

bool terms_open(terms *t, const mskp_graph *graph)
{
    const size_t n = mskp_graph_counts(graph).units;
    *t = (terms){graph,
                 {n, calloc(n, sizeof(double))},
                 {n, calloc(n, sizeof(double))},
                 {n, calloc(n, sizeof(uint8_t))}};
    return t->norms.unit && t->weights.unit && t->family.unit;
}

void terms_close(terms *t)
{
    free(t->norms.unit);
    free(t->weights.unit);
    free(t->family.unit);
    *t = (terms){.graph = NULL};
}

mskp_status terms_growing(const mskp_graph *graph, mskp_mask keep, double strength,
                          mskp_tensors values, mskp_tensors gradients, mskp_error *err)
{
    const mskp_penalty penalty = {.kind = MSKP_PENALTY_L2, .roles = MSKP_ROLE_FILTER};
    return mskp_penalty_gradient(graph, keep, &penalty, strength, values, gradients, err);
}

double terms_growth(size_t step, size_t steps)
{
    enum { EVERY = 10 };
    const double grows = 0.75 * (double)steps;
    return grows > 0 ? fmin((double)(step / EVERY * EVERY) / grows, 1) : 1;
}

/* Family by family, because the call takes the extremes over the targets. */
static mskp_status adapt(terms *t, mskp_error *err)
{
    const mskp_penalty removed = {.kind = MSKP_PENALTY_L2, .roles = MSKP_ROLES_UNIT};
    const mskp_weighting adaptive = {.kind = MSKP_WEIGHTING_ADAPTIVE};
    const size_t families = mskp_graph_counts(t->graph).families;
    mskp_scores weights = {t->norms.n, calloc(t->norms.n, sizeof(double))};
    mskp_status status = weights.unit ? MSKP_OK : MSKP_ERROR_NO_MEMORY;
    for (size_t f = 0; !status && f < families; f++) {
        size_t n;
        const uint32_t *unit = mskp_family_units(t->graph, f, &n);
        memset(t->family.unit, 1, t->family.n);
        for (size_t i = 0; i < n; i++) t->family.unit[unit[i]] = 0;
        status =
            mskp_unit_weights(t->graph, t->family, &removed, &adaptive, t->norms, weights, err);
        for (size_t i = 0; i < n; i++) t->weights.unit[unit[i]] = weights.unit[unit[i]];
    }
    free(weights.unit);
    return status;
}

mskp_status terms_group(terms *t, double strength, mskp_tensors values, mskp_tensors gradients,
                        mskp_error *err)
{
    const mskp_scoring norm = {
        .magnitude = MSKP_MAGNITUDE_L2, .reduce = MSKP_REDUCE_JOINT, .roles = MSKP_ROLES_UNIT};
    const mskp_penalty penalty = {.kind = MSKP_PENALTY_L2,
                                  .target = MSKP_TARGET_ALL,
                                  .roles = MSKP_ROLES_UNIT,
                                  .unit_weight = t->weights.unit};
    mskp_status status = mskp_score(t->graph, &norm, values, t->norms, err);
    if (!status) status = adapt(t, err);
    if (status) return status;
    return mskp_penalty_gradient(t->graph, (mskp_mask){0}, &penalty, strength, values, gradients,
                                 err);
}

mskp_status terms_polarization(terms *t, double strength, mskp_tensors values,
                               mskp_tensors gradients, mskp_error *err)
{
    const mskp_scoring norm = {.reduce = MSKP_REDUCE_MEAN};
    const mskp_weighting polarize = {MSKP_WEIGHTING_POLARIZATION, TERMS_POLARIZATION};
    const mskp_penalty penalty = {.target = MSKP_TARGET_ALL, .unit_weight = t->weights.unit};
    mskp_status status = mskp_score(t->graph, &norm, values, t->norms, err);
    if (!status)
        status = mskp_unit_weights(t->graph, (mskp_mask){0}, &penalty, &polarize, t->norms,
                                   t->weights, err);
    if (status) return status;
    return mskp_penalty_gradient(t->graph, (mskp_mask){0}, &penalty, strength, values, gradients,
                                 err);
}

/* ---- the formulas, written out ---- */

enum { STAGES = 3 };

typedef struct example {
    cn_net *net;
    mskp_graph *graph;
    mskp_tensors values, gradients;
    mskp_error err;
} example;

static const cn_param *param(const example *x, size_t stage, const char *name)
{
    char text[CN_NAME_SIZE];
    snprintf(text, sizeof text, "layer%zu.0.%s", stage, name);
    return &x->net->params[cn_find_param(x->net, text)];
}

static bool agrees(const char *term, const cn_param *p, size_t k, double expected)
{
    const double is = (double)p->gradient[k];
    if (fabs(is - expected) <= 1e-5 * (fabs(expected) + 1e-3)) return true;
    fprintf(stderr, "terms: %s: the gradient of %s[%zu] is %g, and by the formula %g\n", term,
            p->name, k, is, expected);
    return false;
}

static void clear(const example *x)
{
    for (size_t i = 0; i < x->net->param_count; i++) {
        const cn_param *p = &x->net->params[i];
        if (p->trained) memset(p->gradient, 0, p->count * sizeof *p->gradient);
    }
}

static bool check_growing(example *x, terms *t)
{
    const char *const pattern = "layer2.0.bn1";
    clear(x);
    bool good = !mskp_mask_match(x->graph, 1, &pattern, 0, t->family, &x->err);
    for (size_t u = 0; u < t->family.n; u++) t->family.unit[u] = !t->family.unit[u];
    good = good && !terms_growing(x->graph, t->family, 0.25, x->values, x->gradients, &x->err);
    for (size_t i = 0; good && i < x->net->param_count; i++) {
        const cn_param *p = &x->net->params[i];
        const double factor = p == param(x, 2, "conv1.weight") ? 0.25 : 0;
        for (size_t k = 0; good && p->trained && k < p->count; k++)
            good = agrees("growing", p, k, factor * (double)p->value[k]);
    }
    return good && terms_growth(0, 100) <= 0 && terms_growth(39, 100) <= 0.41 &&
           terms_growth(40, 100) > 0.53 && terms_growth(80, 100) >= 1;
}

/* The norm of the channel: of its filter, its gamma and beta, and what reads it. */
static double inner_norm(const example *x, size_t stage, size_t c)
{
    const cn_param *filter = param(x, stage, "conv1.weight"),
                   *next = param(x, stage, "conv2.weight");
    const double gamma = (double)param(x, stage, "bn1.weight")->value[c];
    const double beta = (double)param(x, stage, "bn1.bias")->value[c];
    const size_t size = filter->count / filter->shape[0], taps = next->shape[2] * next->shape[3];
    double sum = gamma * gamma + beta * beta;
    for (size_t k = 0; k < size; k++) sum += pow((double)filter->value[c * size + k], 2);
    for (size_t o = 0; o < next->shape[0]; o++)
        for (size_t k = 0; k < taps; k++)
            sum += pow((double)next->value[(o * next->shape[1] + c) * taps + k], 2);
    return sqrt(sum);
}

static bool check_group(example *x, terms *t)
{
    clear(x);
    bool good = !terms_group(t, 0.5, x->values, x->gradients, &x->err);
    for (size_t stage = 1; good && stage <= STAGES; stage++) {
        const cn_param *gamma = param(x, stage, "bn1.weight"), *beta = param(x, stage, "bn1.bias");
        double least = INFINITY, most = 0;
        for (size_t c = 0; c < gamma->count; c++) {
            least = fmin(least, inner_norm(x, stage, c));
            most = fmax(most, inner_norm(x, stage, c));
        }
        for (size_t c = 0; good && c < gamma->count; c++) {
            const double s = 0.5 * exp2(4 * (most - inner_norm(x, stage, c)) / (most - least));
            good = agrees("group", gamma, c, s * (double)gamma->value[c]) &&
                   agrees("group", beta, c, s * (double)beta->value[c]);
        }
    }
    return good;
}

/* All gammas of residual streams are 0.8 or -0.8, so the norms of their 16 + 16 + 32 units are
 * 0.8. */
static bool check_polarization(example *x, terms *t)
{
    enum { STREAM = 64 };
    double sum = STREAM * 0.8, n = STREAM, signs = 0;
    clear(x);
    for (size_t stage = 1; stage <= STAGES; stage++) {
        const cn_param *gamma = param(x, stage, "bn1.weight"), *end = param(x, stage, "bn2.weight");
        for (size_t c = 0; c < gamma->count; c++) sum += fabs((double)gamma->value[c]);
        for (size_t c = 0; c < end->count; c++) end->value[c] = (cn_real)(c % 3 ? 0.8 : -0.8);
        n += (double)gamma->count;
    }
    const cn_param *first = &x->net->params[cn_find_param(x->net, "bn1.weight")];
    for (size_t c = 0; c < first->count; c++) first->value[c] = (cn_real)0.8;
    const double mean = sum / n;
    for (size_t stage = 1; stage <= STAGES; stage++) {
        const cn_param *gamma = param(x, stage, "bn1.weight");
        for (size_t c = 0; c < gamma->count; c++)
            signs += fabs((double)gamma->value[c]) > mean ? 1 : -1;
    }
    signs = (signs + STREAM * (0.8 > mean ? 1 : -1)) / n;
    bool good = !terms_polarization(t, 0.5, x->values, x->gradients, &x->err);
    for (size_t stage = 1; stage <= STAGES; stage++)
        for (int end = 0; end < 2; end++) {
            const cn_param *gamma = param(x, stage, end ? "bn2.weight" : "bn1.weight");
            for (size_t c = 0; good && c < gamma->count; c++) {
                const double w = (double)gamma->value[c];
                const double s = TERMS_POLARIZATION - (fabs(w) > mean ? 1 : -1) + signs;
                good = agrees("polarization", gamma, c, 0.5 * s * (w < 0 ? -1 : 1));
            }
        }
    return good;
}

bool terms_check(void)
{
    example x = {.net = cn_resnet(8, 10, &(cn_options){.batch = 1, .seed = 1}, NULL)};
    terms t = {.graph = NULL};
    cn_random random = {7};
    if (!x.net) return false;
    const size_t n = x.net->param_count;
    for (size_t i = 0; i < n; i++) {
        const cn_param *p = &x.net->params[i];
        for (size_t k = 0; p->dims == 1 && p->trained && k < p->count; k++)
            p->value[k] = (cn_real)(1.6 * cn_random_unit(&random) - (k % 3 ? 0 : 1.6));
    }
    x.graph = mskp_graph_create(NULL);
    cn_describe(x.net, x.graph);
    x.values = (mskp_tensors){n, calloc(n, sizeof(mskp_tensor))};
    x.gradients = (mskp_tensors){n, calloc(n, sizeof(mskp_tensor))};
    bool good = !mskp_graph_finish(x.graph, &x.err) && x.values.view && x.gradients.view &&
                terms_open(&t, x.graph);
    if (good) {
        cn_values(x.net, x.values);
        cn_gradients(x.net, x.gradients);
        good = check_growing(&x, &t) && check_group(&x, &t) && check_polarization(&x, &t);
    }
    if (!good) fprintf(stderr, "terms: they could not be computed, or differ. %s\n", x.err.text);
    terms_close(&t);
    free(x.values.view);
    free(x.gradients.view);
    mskp_graph_destroy(x.graph);
    cn_destroy(x.net);
    return good;
}
