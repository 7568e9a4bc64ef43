/*
 * Where the constants of a consumer can be folded into, and whether folding or dropping loses less.
 *
 * A sum goes into the consumer's bias, or into the running means of all norms that read the
 * consumer's result; norms with statistics of their own take away by themselves what is the same
 * everywhere. A mean that something else uses is no place for it, and neither is a shared bias,
 * unless everything that uses the bias needs the same sum. Which loss makes a unit worth keeping as
 * a carrier is decided here, too.
 */
#include "base/status.h"
#include "constants/constants.h"
#include "constants/hearing.h"
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

int mskpi_is_absorbing(const graph_step *s)
{
    return s->option == MSKP_NORM_INSTANCE && !s->params[2] && !s->params[3];
}

int mskpi_has_own_mean(const mskp_constants *c, const graph_step *s)
{
    return s->option == MSKP_NORM_BATCH && s->params[2] && s->params[3] &&
           c->h.uses[s->params[2]] == 1;
}

/* Norms by what they read; a value that something else reads, too, has none. others: [values + 1],
 * 0. */
void mskpi_find_norms(mskp_constants *c, uint8_t *others)
{
    const mskp_graph *g = c->graph;
    for (uint32_t v = 1; v <= g->nvalues; v++) {
        const graph_step *s = &g->steps[v];
        if (s->own & OWN_READ) others[v] = 1;
        for (size_t k = 0; k < s->ninputs; k++) {
            const uint32_t in = g->step_inputs[s->first_input + k];
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

static int same_folded(const mskp_constants *c, const hearing *a, const hearing *b)
{
    const uint32_t *units = mskpi_units_of(c->graph, a->value);
    if (a->form.out != b->form.out || a->form.first_row != b->form.first_row) return 0;
    for (size_t o = 0; o < a->form.out; o++)
        if (!mskpi_is_removed(c->keep, units[o]) &&
            (a->folded[o] < b->folded[o] || a->folded[o] > b->folded[o]))
            return 0;
    return 1;
}

/* A shared bias can take what all that use it need, if that is the same. */
static int shared_alike(const mskp_constants *c, hearing *x)
{
    size_t alike = 0;
    x->writes = 1;
    for (size_t k = 0; k < c->h.n; k++) {
        const hearing *y = &c->h.all[k];
        if (!y->mixes || y->bias != x->bias) continue;
        if (!y->uniform || !same_folded(c, x, y)) return 0;
        if (y < x) x->writes = 0;
        alike++;
    }
    return alike == c->h.uses[x->bias];
}

void mskpi_find_target(const mskp_constants *c, hearing *x)
{
    int means = 0, absorbs = 0;
    if (!x->mixes) return;
    if (x->bias) {
        x->writes = 1;
        if (c->h.uses[x->bias] == 1 || shared_alike(c, x)) x->target = FOLD_BIAS;
        return;
    }
    for (uint32_t v = c->norms[x->value]; v; v = c->next_norm[v]) {
        means |= mskpi_has_own_mean(c, &c->graph->steps[v]);
        absorbs |= mskpi_is_absorbing(&c->graph->steps[v]);
    }
    x->writes = 1;
    if (means && (x->uniform || !absorbs)) x->target = FOLD_MEANS;
    if (absorbs && !means && x->uniform) x->target = FOLD_ABSORBED;
}

/* ---- Fold, or drop ---- */

/* The better of the two, or what was asked. */
hand_way mskpi_without_merge(const mskp_constants *c, const hearing *x, const hearing_group *g)
{
    if (c->desc.way == MSKP_CONSTANTS_DROP || x->target == FOLD_NOWHERE) return WAY_DROP;
    if (c->desc.way == MSKP_CONSTANTS_FOLD || x->uniform) return WAY_FOLD;
    return g->fold < g->drop ? WAY_FOLD : WAY_DROP;
}

/* As a share of what an output channel varies by. */
double mskpi_share_of(const hearing *x, const hearing_group *g)
{
    return g->way == WAY_FOLD && !x->uniform ? g->fold_share : g->drop_share;
}

double mskpi_loss_of(const hearing *x, const hearing_group *g)
{
    if (g->way == WAY_DROP) return g->drop;
    return g->way == WAY_FOLD && !x->uniform ? g->fold : 0;
}

/* Is it worth a unit? */
int mskpi_needs_merge(const mskp_constants *c, const hearing *x, const hearing_group *g)
{
    const double share = c->desc.merge_above > 0 ? c->desc.merge_above : 0.01;
    if (c->desc.way == MSKP_CONSTANTS_DROP || c->desc.way == MSKP_CONSTANTS_FOLD) return 0;
    if (g->way == WAY_NONE || !(mskpi_loss_of(x, g) > 0) || c->h.uses[x->weight] != 1) return 0;
    return c->desc.way == MSKP_CONSTANTS_MERGE || mskpi_share_of(x, g) > share;
}
