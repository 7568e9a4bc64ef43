/*
 * Where the constants of a consumer can be folded, and whether a fold or a drop loses less.
 *
 * A consumer with a bias folds into the bias. If several operators share the bias, this is possible
 * only if all of them are consumers that fold the same numbers, and then one of them writes. A
 * consumer without a bias folds into the running means of the batch norms that read its result, if
 * nothing else reads it. Readers that are instance norms without running statistics cancel a
 * uniform constant themselves, so nothing is written for them. A running mean that something else
 * uses, too, cannot take a constant. (Uniform: every position sees the same weights.)
 *
 * The result of a consumer in a branch that vanishes is a constant of the end of the branch, so it
 * takes folds of all kinds, and no carriers.
 *
 * A fold is exact if the consumer is uniform. Otherwise consumers.c has computed the errors of a
 * fold and of a drop, and the way with the smaller error is taken. Whether the remaining error is
 * worth a carrier is decided here, too.
 */
#include "base/assert.h"
#include "base/status.h"
#include "constants/constants.h"
#include "constants/consumers.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "units/units.h"

mskp_status mskpi_constants_no_memory(mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while handing constants on",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY));
}

/* ---- Where to fold ---- */

bool mskpi_is_absorbing(const graph_step *s)
{
    MSKPI_ASSERT(s->kind == STEP_NORM);
    return s->option == MSKP_NORM_INSTANCE && !s->params[2] && !s->params[3];
}

bool mskpi_has_own_mean(const mskp_constants *c, const graph_step *s)
{
    MSKPI_ASSERT(s->kind == STEP_NORM);
    return s->option == MSKP_NORM_BATCH && s->params[2] && s->params[3] &&
           c->consumers.uses[s->params[2]] == 1;
}

void mskpi_find_norms(mskp_constants *c, uint8_t *others)
{
    const mskp_graph *g = c->graph;
    for (uint32_t v = 1; v <= g->nvalues; v++) {
        const graph_step *s = &g->steps[v];
        if (s->own & OWN_READ) others[v] = 1;
        for (size_t k = 0; k < s->ninputs; k++) {
            const uint32_t in = g->step_inputs[s->first_input + k];
            MSKPI_ASSERT(in < v); /* a value is described after its inputs */
            if (s->kind == STEP_NORM && (mskpi_is_absorbing(s) || mskpi_has_own_mean(c, s))) {
                c->next_norm[v] = c->norms[in];
                c->norms[in] = v;
            } else {
                others[in] = 1;
            }
        }
    }
    for (size_t v = 1; v <= g->nvalues; v++)
        if (others[v]) c->norms[v] = 0;
}

/* Whether two consumers that share a bias add the same numbers to it. */
static bool folds_the_same(const mskp_constants *c, const consumer *a, const consumer *b)
{
    const uint32_t *units = mskpi_units_of(c->graph, a->value);
    if (a->form.out != b->form.out || a->form.first_row != b->form.first_row) return false;
    for (size_t o = 0; o < a->form.out; o++)
        if (!mskpi_is_removed(c->keep, units[o]) &&
            (a->folded[o] < b->folded[o] || a->folded[o] > b->folded[o]))
            return false;
    return true;
}

/* Whether all operators that use the bias of x are uniform consumers that fold the same. x->writes
 * <- whether x is the first of them. */
static bool has_agreeing_users(const mskp_constants *c, consumer *x)
{
    size_t agreeing = 0;
    x->writes = true;
    for (size_t k = 0; k < c->consumers.n; k++) {
        const consumer *y = &c->consumers.all[k];
        if (!y->mixes || y->bias != x->bias) continue;
        if (!y->uniform || y->target == FOLD_BRANCH || !folds_the_same(c, x, y)) return false;
        if (y < x) x->writes = false;
        agreeing++;
    }
    MSKPI_ASSERT(agreeing >= 1 && agreeing <= c->consumers.uses[x->bias]);
    return agreeing == c->consumers.uses[x->bias];
}

void mskpi_find_target(const mskp_constants *c, consumer *x)
{
    bool means = false, absorbs = false;
    if (!x->mixes || x->target == FOLD_BRANCH) return;
    x->writes = true;
    if (x->bias) {
        if (c->consumers.uses[x->bias] == 1 || has_agreeing_users(c, x)) x->target = FOLD_BIAS;
        return;
    }
    for (uint32_t v = c->norms[x->value]; v; v = c->next_norm[v]) {
        MSKPI_ASSERT(v > x->value); /* a norm is described after what it reads */
        means = means || mskpi_has_own_mean(c, &c->graph->steps[v]);
        absorbs = absorbs || mskpi_is_absorbing(&c->graph->steps[v]);
    }
    if (means && (x->uniform || !absorbs)) x->target = FOLD_MEANS;
    if (absorbs && !means && x->uniform) x->target = FOLD_ABSORBED;
}

/* ---- Fold, or drop ---- */

group_way mskpi_without_merge(const mskp_constants *c, const consumer *x, const consumer_group *g)
{
    MSKPI_ASSERT(g->constants);
    if (c->desc.way == MSKP_CONSTANTS_DROP || x->target == FOLD_NOWHERE) return WAY_DROP;
    if (c->desc.way == MSKP_CONSTANTS_FOLD || x->uniform || x->target == FOLD_BRANCH)
        return WAY_FOLD;
    return g->fold < g->drop ? WAY_FOLD : WAY_DROP;
}

double mskpi_error_of(const consumer *x, const consumer_group *g)
{
    if (g->way == WAY_DROP) return g->drop;
    return g->way == WAY_FOLD && !x->uniform ? g->fold : 0;
}

double mskpi_share_of(const consumer *x, const consumer_group *g)
{
    MSKPI_ASSERT(mskpi_error_of(x, g) > 0); /* so a fold is not exact */
    return g->way == WAY_FOLD ? g->fold_share : g->drop_share;
}

bool mskpi_is_worth_carrier(const mskp_constants *c, const consumer *x, const consumer_group *g)
{
    const double share = c->desc.merge_above > 0 ? c->desc.merge_above : 0.01;
    MSKPI_ASSERT(c->desc.way == MSKP_CONSTANTS_AUTO || c->desc.way == MSKP_CONSTANTS_MERGE);
    if (g->way == WAY_NONE || !(mskpi_error_of(x, g) > 0) || c->consumers.uses[x->weight] != 1 ||
        x->target == FOLD_BRANCH)
        return false;
    return c->desc.way == MSKP_CONSTANTS_MERGE || mskpi_share_of(x, g) > share;
}
