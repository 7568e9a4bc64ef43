/* mskp_select by the header's words, followed literally and slowly: everything is counted anew at
 * each block. */
#include "walk.h"
#include "budgets.h"

#include "by_id/by_id.h"
#include <math.h>
#include <string.h>

/* ---- The rule, literally ---- */

typedef struct walk {
    trial *t;
    const model *m;
    const mskp_graph *graph; /* what vanishes is the plan's word: test_branches.c compares it */
    const double *scores;
    const mskp_rule *rule;
    uint8_t *keep;
    uint32_t *order;    /* all units, smallest score first, ties by number */
    bool *collected;    /* by unit */
    bool *closed;       /* by family */
    uint32_t **pending; /* by family: collected, not yet given up */
    size_t *waiting;    /* by family: how many */
    size_t removed;
    arena mem;
} walk;

bool scored_before(const double *scores, uint32_t a, uint32_t b)
{
    return scores[a] < scores[b] || (scores[a] == scores[b] && a < b);
}

/* What the rule says of a family: its own fields, where they are not 0. */
static mskp_family_rule says(const mskp_rule *rule, size_t family)
{
    mskp_family_rule r = {rule->remove_family_fraction, rule->max_family_fraction,
                          rule->min_channels, rule->round_to, 0};
    if (rule->families) {
        const mskp_family_rule *own = &rule->families[family];
        if (own->remove_fraction > 0) r.remove_fraction = own->remove_fraction;
        if (own->max_fraction > 0) r.max_fraction = own->max_fraction;
        if (own->min_channels) r.min_channels = own->min_channels;
        if (own->round_to) r.round_to = own->round_to;
        r.locked = own->locked;
    }
    if (!r.min_channels) r.min_channels = 1;
    if (!r.round_to) r.round_to = 1;
    return r;
}

size_t round_of(const mskp_rule *rule, size_t family)
{
    return says(rule, family).round_to;
}

static void walk_begin(walk *w, trial *t, const double *scores, const mskp_rule *rule)
{
    const model *m = &t->model;
    *w = (walk){.t = t, .m = m, .graph = t->graph, .scores = scores, .rule = rule};
    w->keep = arena_get(&w->mem, m->units, 1);
    memset(w->keep, 1, m->units);
    w->order = arena_get(&w->mem, m->units, sizeof *w->order);
    w->collected = arena_get(&w->mem, m->units, sizeof *w->collected);
    w->closed = arena_get(&w->mem, m->families, sizeof *w->closed);
    w->waiting = arena_get(&w->mem, m->families, sizeof *w->waiting);
    w->pending = arena_get(&w->mem, m->families, sizeof *w->pending);
    for (size_t f = 0; f < m->families; f++)
        w->pending[f] = arena_get(&w->mem, m->units, sizeof **w->pending);
    for (uint32_t u = 0; u < m->units; u++) {
        size_t at = 0;
        for (uint32_t v = 0; v < m->units; v++) at += scored_before(scores, v, u);
        w->order[at] = u;
    }
}

static bool may_leave(const walk *w, uint32_t u)
{
    return w->scores[u] != (double)INFINITY && !(w->rule->locked.unit && w->rule->locked.unit[u]) &&
           !says(w->rule, w->m->family[u]).locked;
}

/* Branches that vanish cost nothing: test_branches.c compares that with the loops. */
static mskp_cost cost_of(const walk *w)
{
    mskp_cost c = {0};
    if (!w->rule->empty_branches) return model_cost(w->m, w->keep, NULL);
    REQUIRE_OK(mskp_measure(w->graph, mask_of(w->m->units, w->keep), &c, NULL, NULL));
    return c;
}

static bool plan_takes(const walk *w, const uint8_t *keep)
{
    mskp_plan *plan = NULL;
    const mskp_status status =
        mskp_plan_create(w->graph, mask_of(w->m->units, keep), &plan, NULL, NULL);
    mskp_plan_destroy(plan);
    return !status;
}

/* Would the limits hold without these units too? With `empty`, lists may also lose everything. */
static bool within_limits(const walk *w, const uint32_t *block, size_t n, bool empty)
{
    const model *m = w->m;
    const size_t family = m->family[block[0]];
    const mskp_family_rule rule = says(w->rule, family);
    size_t lost = 0, length, fewest = rule.min_channels;
    bool good = true;
    arena mem = {0};
    uint8_t *keep = arena_copy(&mem, w->keep, m->units, 1);
    const uint32_t *list;
    for (size_t i = 0; i < n; i++) keep[block[i]] = 0;
    for (size_t k = 0; (list = model_list(m, k, &length, NULL, NULL)); k++) {
        size_t floor_here = fewest < length ? fewest : length, touched = 0;
        for (size_t c = 0; c < length; c++)
            for (size_t i = 0; i < n; i++) touched += list[c] == block[i];
        const size_t kept = model_kept(list, length, keep);
        if (touched && kept < floor_here && (kept || !empty)) good = false;
    }
    if (good && empty) good = plan_takes(w, keep);
    for (uint32_t u = 0; u < m->units; u++) lost += m->family[u] == family && !keep[u];
    if (rule.max_fraction > 0 &&
        (double)lost > floor(rule.max_fraction * (double)m->family_size[family]))
        good = false;
    arena_free(&mem);
    return good;
}

/* The unit is next in its family. */
static void collect(walk *w, uint32_t u)
{
    const model *m = w->m;
    size_t f = m->family[u], block = round_of(w->rule, f), lost = 0;
    if (w->collected[u] || !may_leave(w, u)) return;
    w->collected[u] = true;
    if (w->closed[f]) return;
    for (uint32_t v = 0; v < m->units; v++) lost += m->family[v] == f && !w->keep[v];
    if (lost == 0 && m->family_size[f] % block) block = m->family_size[f] % block;
    w->pending[f][w->waiting[f]++] = u;
    if (w->waiting[f] < block) return;
    if (!within_limits(w, w->pending[f], w->waiting[f], false)) {
        const bool empty = w->rule->empty_branches;
        if (empty && w->waiting[f] + lost < m->family_size[f]) return; /* all or nothing */
        w->closed[f] = !empty || !within_limits(w, w->pending[f], w->waiting[f], true);
        if (w->closed[f]) return;
    }
    for (size_t i = 0; i < w->waiting[f]; i++) w->keep[w->pending[f][i]] = 0;
    w->removed += w->waiting[f];
    w->waiting[f] = 0;
}

static double budget_of(const walk *w, const mskp_budget *b)
{
    double amount = 0;
    if (!w->rule->empty_branches) return slow_budget(w->t, b, w->keep);
    REQUIRE_OK(mskp_budget_measure(w->graph, mask_of(w->m->units, w->keep), b, &amount, NULL));
    return amount;
}

static bool amounts_hold(const walk *w)
{
    mskp_cost c = cost_of(w);
    const mskp_rule *r = w->rule;
    if (r->max_macs > 0 && c.macs > r->max_macs) return false;
    if (r->max_params > 0 && c.params > r->max_params) return false;
    for (size_t i = 0; i < r->nbudgets; i++)
        if (budget_of(w, &r->budgets[i]) > r->budgets[i].limit) return false;
    return (double)w->removed >= floor(r->remove_fraction * (double)w->m->units);
}

/* Is the unit one that threshold or family fraction name? The fraction is of all units of a family;
 * those that are locked or score +infinity are passed over. */
static bool named(const walk *w, uint32_t u)
{
    const model *m = w->m;
    size_t rank = 0;
    if (w->rule->use_threshold && w->scores[u] <= w->rule->threshold) return true;
    for (uint32_t v = 0; v < m->units; v++)
        rank += m->family[v] == m->family[u] && may_leave(w, v) && scored_before(w->scores, v, u);
    return may_leave(w, u) && (double)rank < floor(says(w->rule, m->family[u]).remove_fraction *
                                                   (double)m->family_size[m->family[u]]);
}

/* True if every demand on amounts holds at the end. */
static bool walk_down(walk *w)
{
    for (size_t i = 0; i < w->m->units; i++)
        if (named(w, w->order[i])) collect(w, w->order[i]);
    for (size_t i = 0; i < w->m->units && !amounts_hold(w); i++) collect(w, w->order[i]);
    return amounts_hold(w);
}

/* ---- Random scores and rules ---- */

double *random_scores(trial *t)
{
    double *scores = arena_get(&t->mem, t->units, sizeof *scores);
    size_t levels = rng_from(&t->r, 1, 12);
    bool ties = rng_chance(&t->r, 0.5);
    for (size_t u = 0; u < t->units; u++) {
        scores[u] = ties ? (double)rng_below(&t->r, levels) / 4 - 0.5 : rng_real(&t->r, -1, 3);
        if (scores[u] == 0 && rng_chance(&t->r, 0.5)) scores[u] = -0.0;
        if (rng_chance(&t->r, 0.05)) scores[u] = (double)INFINITY;
    }
    return scores;
}

/* Each field of few families. */
static mskp_family_rule random_family_rule(trial *t)
{
    mskp_family_rule f = {.locked = rng_chance(&t->r, 0.1)};
    if (rng_chance(&t->r, 0.2)) f.remove_fraction = (double)rng_from(&t->r, 1, 8) / 8;
    if (rng_chance(&t->r, 0.2)) f.max_fraction = (double)rng_from(&t->r, 1, 8) / 8;
    if (rng_chance(&t->r, 0.2)) f.min_channels = rng_from(&t->r, 1, 4);
    if (rng_chance(&t->r, 0.2)) f.round_to = rng_from(&t->r, 1, 4);
    return f;
}

mskp_rule random_rule(trial *t)
{
    mskp_rule r = {0};
    mskp_cost full = model_cost(&t->model, NULL, NULL);
    if (rng_chance(&t->r, 0.3)) {
        r.use_threshold = (uint32_t)rng_from(&t->r, 1, 5);
        r.threshold = rng_chance(&t->r, 0.3) ? 0 : rng_real(&t->r, -1, 3);
    }
    if (rng_chance(&t->r, 0.3)) r.remove_family_fraction = (double)rng_from(&t->r, 1, 8) / 8;
    if (rng_chance(&t->r, 0.4)) r.remove_fraction = (double)rng_from(&t->r, 1, 16) / 16;
    if (rng_chance(&t->r, 0.4)) r.max_macs = rng_real(&t->r, 0.2, 1.1) * full.macs;
    if (rng_chance(&t->r, 0.3)) r.max_params = rng_real(&t->r, 0.2, 1.1) * full.params;
    if (r.max_macs < 0 || full.macs == 0) r.max_macs = 0;
    if (!r.use_threshold && r.remove_family_fraction == 0 && r.max_macs == 0 && r.max_params == 0)
        r.remove_fraction = (double)rng_from(&t->r, 1, 16) / 16;
    if (rng_chance(&t->r, 0.5)) r.min_channels = rng_from(&t->r, 1, 4);
    if (rng_chance(&t->r, 0.4)) r.round_to = rng_from(&t->r, 1, 4);
    if (rng_chance(&t->r, 0.3)) r.max_family_fraction = (double)rng_from(&t->r, 1, 8) / 8;
    if (rng_chance(&t->r, 0.4)) r.empty_branches = (uint32_t)rng_from(&t->r, 1, 9);
    if (rng_chance(&t->r, 0.3)) {
        uint8_t *locked = arena_get(&t->mem, t->units, 1);
        for (size_t u = 0; u < t->units; u++) locked[u] = rng_chance(&t->r, 0.2) ? 9 : 0;
        r.locked = mask_of(t->units, locked);
    }
    if (rng_chance(&t->r, 0.3)) {
        mskp_family_rule *f = arena_get(&t->mem, t->model.families, sizeof *f);
        for (size_t i = 0; i < t->model.families; i++) f[i] = random_family_rule(t);
        r.families = f;
        r.nfamilies = t->model.families;
    }
    if (rng_chance(&t->r, 0.3)) {
        mskp_budget *b = arena_get(&t->mem, r.nbudgets = rng_from(&t->r, 1, 3), sizeof *b);
        for (size_t i = 0; i < r.nbudgets; i++) b[i] = random_budget(t);
        r.budgets = b;
    }
    return r;
}

static void require_selection(const walk *w, const mskp_selection *s)
{
    mskp_cost c = cost_of(w);
    REQUIRE(s->removed == w->removed, "%zu removed, %zu expected", s->removed, w->removed);
    REQUIRE(s->cost.macs == c.macs && s->cost.params == c.params, "cost %.0f %.0f, not %.0f %.0f",
            s->cost.macs, s->cost.params, c.macs, c.params);
}

/* Axes with channels that may leave whose kept count is no multiple, by parameter and axis. */
static void require_unrounded(const walk *w, const mskp_selection *s)
{
    size_t n, param, count = 0;
    uint32_t axis;
    const uint32_t *list;
    for (size_t k = 0; (list = model_list(w->m, k, &n, &param, &axis)); k++) {
        bool odd = false;
        for (size_t c = 0; c < n; c++)
            odd |= list[c] != MSKP_PINNED &&
                   model_kept(list, n, w->keep) % round_of(w->rule, w->m->family[list[c]]) != 0;
        if (!param || !odd) continue;
        if (!count++)
            REQUIRE(s->unrounded_param.id == param && s->unrounded_axis == axis,
                    "unrounded first: parameter %u, axis %u, not %zu, %u", s->unrounded_param.id,
                    s->unrounded_axis, param, axis);
    }
    REQUIRE(s->unrounded == count, "%zu unrounded, %zu expected", s->unrounded, count);
}

/* ---- Both ---- */

bool require_selected(trial *t, const double *scores, const mskp_rule *rule)
{
    uint8_t *keep = arena_get(&t->mem, t->units, 1);
    mskp_selection s, *sp = rng_chance(&t->r, 0.9) ? &s : NULL;
    mskp_error err = {0};
    walk w;
    walk_begin(&w, t, scores, rule);
    const bool reached = walk_down(&w);
    memset(keep, 0xEE, t->units);
    mskp_status status =
        mskp_select(t->graph, scores_of(t->units, scores), rule, mask_of(t->units, keep), sp, &err);
    if (reached) {
        REQUIRE(status == MSKP_OK, "%s", err.text);
        for (size_t u = 0; u < t->units; u++)
            REQUIRE(keep[u] == w.keep[u], "keep[%zu] is %d, not %d", u, keep[u], w.keep[u]);
    } else {
        REQUIRE(status == MSKP_ERROR_NO_SOLUTION, "%s", mskp_status_text(status));
        REQUIRE(err.status == status && err.text[0], "no sentence");
        for (size_t u = 0; u < t->units; u++) REQUIRE(keep[u] == 0xEE, "keep[%zu] was touched", u);
    }
    if (sp) require_selection(&w, &s);
    if (sp) require_unrounded(&w, &s);
    arena_free(&w.mem);
    return reached;
}

/* ---- Block by block ---- */

/* Units that have left since `before` belong to the next block. */
static size_t note_block(const walk *w, uint8_t *before, size_t *block, size_t blocks)
{
    bool more = false;
    for (size_t u = 0; u < w->m->units; u++)
        if (before[u] && !w->keep[u]) {
            block[u] = blocks + 1;
            more = true;
        }
    memcpy(before, w->keep, w->m->units);
    return blocks + more;
}

size_t slow_blocks(trial *t, const double *scores, const mskp_rule *rule, size_t *block,
                   size_t *named_blocks)
{
    walk w;
    size_t blocks = 0;
    walk_begin(&w, t, scores, rule);
    uint8_t *before = arena_copy(&w.mem, w.keep, t->units, 1);
    memset(block, 0, t->units * sizeof *block);
    for (size_t i = 0; i < t->units; i++)
        if (named(&w, w.order[i])) {
            collect(&w, w.order[i]);
            blocks = note_block(&w, before, block, blocks);
        }
    *named_blocks = blocks;
    for (size_t i = 0; i < t->units; i++) {
        collect(&w, w.order[i]);
        blocks = note_block(&w, before, block, blocks);
    }
    arena_free(&w.mem);
    return blocks;
}

bool slow_amounts_hold(trial *t, const mskp_rule *rule, const uint8_t *keep)
{
    walk w = {.t = t, .m = &t->model, .graph = t->graph, .rule = rule, .keep = (uint8_t *)keep};
    for (size_t u = 0; u < t->units; u++) w.removed += !keep[u];
    return amounts_hold(&w);
}
