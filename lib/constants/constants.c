/*
 * What becomes of the constants of channels that leave: for each group of each operator that hears
 * some, fold, merge or drop. Then the same is written.
 *
 * A unit that carries is chosen by what it can reach: walked as it will be (1 where it is made), it
 * must be constant and not 0 where it is read. Its old constant counts among those that leave, and
 * its columns become 0 everywhere but where they carry.
 */
#include <float.h>
#include <math.h>

#include "internal.h"

struct mskp_constants {
    mskp_host host;
    const mskp_graph *graph;
    mskp_constants_desc desc;
    hearings h;
    uint8_t *keep;       /* [units] 1: stays by itself */
    uint8_t *carries;    /* [units] 1: stays in order to carry */
    double *emits;       /* what carriers emit: by value and channel, from first on */
    size_t *first;       /* [values + 1] */
    uint32_t *norms;     /* [values + 1] the last batch norm that reads a value; 0: none */
    uint32_t *next_norm; /* [values + 1] and the one before */
    double *seen;        /* what stood where sums and columns go, in the order of the writer */
    size_t seen_count, seen_room;
};

static mskp_status no_memory(mskp_error *err)
{
    return mskpi_fail(err, MSKP_NO_MEMORY, "%s while handing constants on",
                      mskp_status_text(MSKP_NO_MEMORY));
}

static const char DROPPED[] = "constants are dropped";
static const char BORDER[] = "the border of the image sees other weights";
static const char BORDER_DROPPED[] =
    "dropped: the border of the image sees other weights, folding would lose more";
static const char NO_PLACE_TO_FOLD[] =
    "it has no bias, and what reads it are not only batch norms with running means of their own";
static const char SHARED_BIAS[] = "its bias is shared with what needs other constants";
static const char SHARED_WEIGHT[] = "its weight is shared, and nothing can be merged into it";

/* ---- Where to fold ---- */

static int is_absorbing(const graph_step *s)
{
    return s->option == MSKP_INSTANCE_NORM && !s->params[2] && !s->params[3];
}

static int has_own_mean(const mskp_constants *c, const graph_step *s)
{
    return s->option == MSKP_BATCH_NORM && s->params[2] && s->params[3] &&
           c->h.uses[s->params[2]] == 1;
}

/* Norms by what they read; a value that something else reads, too, has none. others: [values + 1],
 * 0. */
static void find_norms(mskp_constants *c, uint8_t *others)
{
    const mskp_graph *g = c->graph;
    for (uint32_t v = 1; v <= g->nvalues; v++) {
        const graph_step *s = &g->steps[v];
        if (s->own & OWN_READ) others[v] = 1;
        for (size_t k = 0; k < s->ninputs; k++) {
            const uint32_t in = g->step_inputs[s->first_input + k];
            if (s->kind == STEP_NORM && (is_absorbing(s) || has_own_mean(c, s))) {
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
        if (!mskpi_leaves(c->keep, units[o]) &&
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

static void find_target(const mskp_constants *c, hearing *x)
{
    int means = 0, absorbs = 0;
    if (!x->mixes) return;
    if (x->bias) {
        x->writes = 1;
        if (c->h.uses[x->bias] == 1 || shared_alike(c, x)) x->target = FOLD_BIAS;
        return;
    }
    for (uint32_t v = c->norms[x->value]; v; v = c->next_norm[v]) {
        means |= has_own_mean(c, &c->graph->steps[v]);
        absorbs |= is_absorbing(&c->graph->steps[v]);
    }
    x->writes = 1;
    if (means && (x->uniform || !absorbs)) x->target = FOLD_MEANS;
    if (absorbs && !means && x->uniform) x->target = FOLD_ABSORBED;
}

/* ---- Fold, or drop ---- */

/* The better of the two, or what was asked. */
static hand_way without_merge(const mskp_constants *c, const hearing *x, const hearing_group *g)
{
    if (c->desc.way == MSKP_CONSTANTS_DROP || x->target == FOLD_NOWHERE) return WAY_DROP;
    if (c->desc.way == MSKP_CONSTANTS_FOLD || x->uniform) return WAY_FOLD;
    return g->fold < g->drop ? WAY_FOLD : WAY_DROP;
}

/* As a share of what an output channel varies by. */
static double share_of(const hearing *x, const hearing_group *g)
{
    return g->way == WAY_FOLD && !x->uniform ? g->fold_share : g->drop_share;
}

static double loss_of(const hearing *x, const hearing_group *g)
{
    if (g->way == WAY_DROP) return g->drop;
    return g->way == WAY_FOLD && !x->uniform ? g->fold : 0;
}

/* Is it worth a unit? */
static int needs_merge(const mskp_constants *c, const hearing *x, const hearing_group *g)
{
    const double share = c->desc.merge_above > 0 ? c->desc.merge_above : 0.01;
    if (c->desc.way == MSKP_CONSTANTS_DROP || c->desc.way == MSKP_CONSTANTS_FOLD) return 0;
    if (g->way == WAY_NONE || !(loss_of(x, g) > 0) || c->h.uses[x->weight] != 1) return 0;
    return c->desc.way == MSKP_CONSTANTS_MERGE || share_of(x, g) > share;
}

/* ---- Merge ---- */

/* Units that leave and that nothing but weights and functions of one channel know. */
static void find_candidates(const mskp_constants *c, uint8_t *candidate)
{
    const mskp_graph *g = c->graph;
    for (size_t u = 0; u < g->u.n; u++) candidate[u] = !c->keep[u];
    for (uint32_t v = 1; v <= g->nvalues; v++) {
        const graph_step *s = &g->steps[v];
        const int mixes_more = s->kind == STEP_RECURRENT || s->kind == STEP_ATTEND ||
                               (s->kind == STEP_NORM && s->option >= MSKP_GROUP_NORM);
        for (size_t k = 0; mixes_more && k <= s->ninputs; k++) {
            const uint32_t value = k ? g->step_inputs[s->first_input + k - 1] : v;
            const uint32_t *units = mskpi_units_of(g, value);
            if (k && s->kind == STEP_RECURRENT) continue; /* what it reads may carry */
            for (size_t i = 0; i < g->values[value].view.n; i++)
                if (units[i] != MSKP_PINNED) candidate[units[i]] = 0;
        }
    }
}

static int can_carry(const mskp_constants *c, const uint8_t *candidate, const hearing *x, size_t i)
{
    const uint32_t unit = mskpi_units_of(c->graph, x->reads)[i];
    const double m = c->emits[c->first[x->reads] + i];
    return unit != MSKP_PINNED && candidate[unit] && m != 0 && isfinite(m);
}

/* A group that needs a carrier, and the units that could be it. */
typedef struct need {
    size_t hearing, group, first, n; /* first: in cover.units */
    int met;
} need;

typedef struct cover {
    need *needs;
    size_t n;
    uint32_t *units; /* of each need, each once */
    uint32_t *reach; /* [units] needs that are not met yet */
    uint32_t *seen;  /* [units] 1 + the need that it was last seen in */
} cover;

/* fill 0: counts. */
static size_t list_needs(const mskp_constants *c, const uint8_t *candidate, cover *v, int fill)
{
    size_t needs = 0, units = 0;
    for (size_t k = 0; k < c->h.n; k++) {
        const hearing *x = &c->h.all[k];
        const uint32_t *unit = mskpi_units_of(c->graph, x->reads);
        const size_t each = x->form.in / x->form.groups;
        for (size_t q = 0; x->mixes && q < x->form.groups; q++) {
            if (!needs_merge(c, x, &x->group[q])) continue;
            if (fill) v->needs[needs] = (need){k, q, units, 0, 0};
            for (size_t i = q * each; i < (q + 1) * each; i++) {
                if (!can_carry(c, candidate, x, i)) continue;
                if (fill && v->seen[unit[i]] != needs + 1) {
                    v->seen[unit[i]] = (uint32_t)needs + 1;
                    v->units[units + v->needs[needs].n++] = unit[i];
                    v->reach[unit[i]]++;
                }
                if (!fill) units++;
            }
            if (fill) units += v->needs[needs].n;
            needs++;
        }
    }
    v->n = needs;
    return units;
}

static int has_unit(const cover *v, const need *x, uint32_t unit)
{
    for (size_t i = 0; i < x->n; i++)
        if (v->units[x->first + i] == unit) return 1;
    return 0;
}

/* The unit that most needs can use, the first of equals, until none is of use. */
static void choose(mskp_constants *c, cover *v)
{
    for (;;) {
        uint32_t best = 0;
        for (uint32_t u = 1; u < c->graph->u.n; u++)
            if (v->reach[u] > v->reach[best]) best = u;
        if (!v->reach[best]) return;
        c->carries[best] = 1;
        for (size_t k = 0; k < v->n; k++) {
            need *x = &v->needs[k];
            if (x->met || !has_unit(v, x, best)) continue;
            x->met = 1;
            for (size_t i = 0; i < x->n; i++) v->reach[v->units[x->first + i]]--;
        }
    }
}

/* The first of the group's channels that carries takes all. */
static void merge_needs(mskp_constants *c, const cover *v)
{
    for (size_t k = 0; k < v->n; k++) {
        const need *y = &v->needs[k];
        const hearing *x = &c->h.all[y->hearing];
        size_t i = y->group * (x->form.in / x->form.groups);
        if (!y->met) continue;
        while (!can_carry(c, c->carries, x, i)) i++;
        x->group[y->group].way = WAY_MERGE;
        x->group[y->group].column = i;
    }
}

static mskp_status merge(mskp_constants *c, walker *w, const double *known)
{
    const mskp_host *host = &c->host;
    const size_t n = c->graph->u.n;
    cover v = {0};
    mskp_status status = MSKP_OK;
    uint8_t *candidate = mskpi_alloc(host, n, sizeof *candidate);
    v.reach = mskpi_alloc(host, n, sizeof *v.reach);
    v.seen = mskpi_alloc(host, n, sizeof *v.seen);
    if (candidate && v.reach && v.seen) {
        find_candidates(c, candidate);
        status = mskpi_walk_carriers(w, candidate, known);
        c->emits = w->constant;
        const size_t units = status ? 0 : list_needs(c, candidate, &v, 0);
        v.needs = mskpi_alloc(host, v.n, sizeof *v.needs);
        v.units = mskpi_alloc(host, units, sizeof *v.units);
    }
    if (!status && (!v.needs || !v.units)) status = no_memory(w->err);
    if (!status) {
        (void)list_needs(c, candidate, &v, 1);
        choose(c, &v);
        merge_needs(c, &v);
    }
    mskpi_free(host, candidate);
    mskpi_free(host, v.reach);
    mskpi_free(host, v.seen);
    mskpi_free(host, v.needs);
    mskpi_free(host, v.units);
    return status;
}

/* ---- Writing: looked at, checked, then done ---- */

/* One after the other, over the same elements in the same order. */
typedef enum pass {
    LOOK, /* at what they are */
    FIT,  /* can they become what they should? */
    WRITE
} pass;

typedef struct writer {
    const mskp_constants *c;
    const mskp_tensor *values;
    tensor_view *views;     /* [params + 1] */
    uint8_t *written;       /* [params + 1] 1: is, or will be */
    uint32_t *here;         /* parameters whose tensors have data */
    mskp_constants *record; /* whose `seen` is written; NULL: it is compared with */
    size_t looked;          /* numbers that were looked at */
    size_t other;           /* 1 + the first that is not what was seen, its parameter and address */
    uint32_t other_param;
    const char *other_at;
    pass pass;
    mskp_error *err;
} writer;

static const char *name_of(const writer *w, uint32_t param, char room[NAME_ROOM])
{
    return mskpi_short(mskpi_param_name(w->c->graph, param), room);
}

/* Of a parameter that will be written. */
static mskp_status view_param(writer *w, uint32_t param)
{
    if (w->written[param]) return MSKP_OK;
    w->written[param] = 1;
    return mskpi_number_view(w->c->graph, param, "values", w->values, &w->views[param], w->err);
}

/* Equal numbers are the same, in whatever dtype. */
static mskp_status look(writer *w, uint32_t param, const char *at)
{
    const tensor_view *v = &w->views[param];
    const double x = mskpi_load(at, v->dtype);
    const size_t k = w->looked++;
    if (!isfinite(x)) return mskpi_not_finite(w->c->graph, param, v, at, w->err);
    if (w->record) {
        mskp_constants *c = w->record;
        double *more = mskpi_grow(&c->host, c->seen, &c->seen_room, k, 1, sizeof *more);
        if (!more) return no_memory(w->err);
        c->seen = more;
        more[c->seen_count++] = x;
    } else if (!w->other && (x < w->c->seen[k] || x > w->c->seen[k])) {
        w->other = k + 1;
        w->other_param = param;
        w->other_at = at;
    }
    return MSKP_OK;
}

static mskp_status fits(const writer *w, uint32_t param, const char *at, double x)
{
    char room[8], name[NAME_ROOM], number[32], index[INDEX_ROOM];
    const mskp_dtype dtype = w->views[param].dtype;
    if (isfinite(x) && fabs(x) <= FLT_MAX) {
        mskpi_store(room, dtype, x);
        if (isfinite(mskpi_load(room, dtype))) return MSKP_OK;
    } else if (isfinite(x) && dtype == MSKP_F64) {
        return MSKP_OK;
    }
    return mskpi_fail(w->err, MSKP_BAD_NUMBER,
                      "%s: element %s would be %s, of constants that leave, and does not fit %s",
                      name_of(w, param, name), mskpi_index_text(&w->views[param], at, index),
                      mskpi_number(x, number), mskpi_dtype_name(dtype));
}

static mskp_status put(writer *w, uint32_t param, char *at, double x)
{
    if (w->pass == LOOK) return look(w, param, at);
    if (w->pass == FIT) return fits(w, param, at, x);
    mskpi_store(at, w->views[param].dtype, x);
    return MSKP_OK;
}

static mskp_status add_to(writer *w, uint32_t param, size_t i, double x)
{
    const mskp_status status = view_param(w, param);
    if (status) return status;
    const tensor_view *v = &w->views[param];
    char *at = v->data + v->stride[0] * (ptrdiff_t)(i * v->element);
    return put(w, param, at, mskpi_load(at, v->dtype) + x);
}

static void fill(const tensor_view *v, char *at, uint32_t d, uint32_t fixed, double x)
{
    while (d == fixed) d++;
    if (d >= v->ndim) {
        mskpi_store(at, v->dtype, x);
        return;
    }
    const ptrdiff_t step = v->stride[d] * (ptrdiff_t)v->element;
    for (size_t i = 0; i < v->shape[d]; i++, at += step) fill(v, at, d + 1, fixed, x);
}

static mskp_status fill_slice(writer *w, const mskp_member *m, double x)
{
    const uint32_t param = m->param.id;
    const mskp_status status = view_param(w, param);
    if (status || w->pass != WRITE) return status;
    const tensor_view *v = &w->views[param];
    fill(v, v->data + v->stride[m->axis] * (ptrdiff_t)(m->index * v->element), 0, m->axis, x);
    return MSKP_OK;
}

/* Carriers emit 1, and are read nowhere as yet; of what leaves, zeroed roles become 0. First all
 * ones: where a slice that becomes 0 crosses one, it is made of nothing. */
static mskp_status write_units(writer *w)
{
    const mskp_constants *c = w->c;
    const unit_table *u = &c->graph->u;
    const uint32_t off = MSKP_ROLE_FILTER | MSKP_ROLE_SCALE | MSKP_ROLE_CONSUMER;
    mskp_status status = MSKP_OK;
    for (int ones = 1; ones >= 0; ones--)
        for (size_t n = 0; n < u->n; n++) {
            if (c->keep[n]) continue;
            for (size_t k = u->member_first[n]; !status && k < u->member_first[n + 1]; k++) {
                const mskp_member *m = &u->members[k];
                const int one = c->carries[n] && !(m->roles & off) && (m->roles & MSKP_ROLE_SHIFT);
                const uint32_t zero = m->roles & (c->carries[n] ? off : c->desc.zeroed);
                if (ones ? one : !one && zero) status = fill_slice(w, m, ones);
            }
        }
    return status;
}

static mskp_status write_means(writer *w, const hearing *x, size_t o)
{
    const mskp_constants *c = w->c;
    mskp_status status = MSKP_OK;
    for (uint32_t v = c->norms[x->value]; !status && v; v = c->next_norm[v]) {
        const graph_step *s = &c->graph->steps[v];
        if (!is_absorbing(s)) status = add_to(w, s->params[2], o, -x->folded[o]);
    }
    return status;
}

static mskp_status write_column(writer *w, const hearing *x, const hearing_group *g, size_t o)
{
    const mskp_constants *c = w->c;
    const mskp_status status = view_param(w, x->weight);
    if (status) return status;
    const tensor_view *v = &w->views[x->weight];
    const double m = c->emits[c->first[x->reads] + g->column];
    for (size_t t = 0; t < x->form.taps; t++) {
        char *at = mskpi_weight_at(v, &x->form, o, g->column, t);
        const mskp_status stored = put(w, x->weight, at, x->sums[o * x->form.taps + t] / m);
        if (stored) return stored;
    }
    return MSKP_OK;
}

static mskp_status write_output(writer *w, const hearing *x, const hearing_group *g, size_t o)
{
    if (g->way == WAY_MERGE) return write_column(w, x, g, o);
    if (g->way != WAY_FOLD || !x->writes || !(x->folded[o] < 0 || x->folded[o] > 0)) return MSKP_OK;
    if (x->target == FOLD_BIAS) return add_to(w, x->bias, o + x->form.first_row, x->folded[o]);
    return x->target == FOLD_MEANS ? write_means(w, x, o) : MSKP_OK;
}

static mskp_status write_hearing(writer *w, const hearing *x)
{
    const uint32_t *units = mskpi_units_of(w->c->graph, x->value);
    mskp_status status = MSKP_OK;
    for (size_t o = 0; x->mixes && !status && o < x->form.out; o++)
        if (!mskpi_leaves(w->c->keep, units[o]))
            status = write_output(w, x, &x->group[o / (x->form.out / x->form.groups)], o);
    return status;
}

static mskp_status go_over(writer *w, pass next)
{
    w->pass = next;
    mskp_status status = write_units(w);
    for (size_t k = 0; k < w->c->h.n && !status; k++) status = write_hearing(w, &w->c->h.all[k]);
    return status;
}

static mskp_status check_seen(const writer *w)
{
    char name[NAME_ROOM], index[INDEX_ROOM], number[32], seen[32];
    if (!w->other) return MSKP_OK;
    const tensor_view *v = &w->views[w->other_param];
    return mskpi_fail(w->err, MSKP_BAD_STATE,
                      "%s: element %s is %s, mskp_constants_create has seen %s; applied already, "
                      "or trained on since?",
                      name_of(w, w->other_param, name), mskpi_index_text(v, w->other_at, index),
                      mskpi_exact_number(mskpi_load(w->other_at, v->dtype), number),
                      mskpi_exact_number(w->c->seen[w->other - 1], seen));
}

static const tensor_view *view_here(const void *context, uint32_t k)
{
    const writer *w = context;
    return &w->views[w->here[k]];
}

/* Two tensors whose ranges meet: is one written onto the other? */
static mskp_status check_pair(void *context, uint32_t a, uint32_t b, mskp_error *err)
{
    const writer *w = context;
    char name[NAME_ROOM], other_name[NAME_ROOM];
    const uint32_t p = w->here[w->written[w->here[a]] ? a : b], q = w->here[a] + w->here[b] - p;
    int hit;
    if (!w->written[p]) return MSKP_OK;
    const mskp_status status =
        mskpi_elements_meet(&w->c->host, &w->views[p], &w->views[q], &hit, err);
    if (status || !hit) return status;
    return mskpi_fail(err, MSKP_OVERLAP, "%s would be written, and shares memory with %s",
                      name_of(w, p, name), name_of(w, q, other_name));
}

/* All tensors fit their parameters, and none is written onto another. */
static mskp_status check_tensors(writer *w)
{
    const mskp_graph *g = w->c->graph;
    size_t here = 0;
    for (uint32_t p = 1; p <= g->nparams; p++) {
        const mskp_status status =
            mskpi_check_said(g, p, "values", w->values, &w->views[p], w->err);
        if (status) return status;
        if (w->values[p].data) w->here[here++] = p;
    }
    return mskpi_overlaps(&w->c->host, here, view_here, check_pair, w, w->err);
}

/* write 0: can all be written? */
static mskp_status write_all(writer *w, int write)
{
    const mskp_host *host = &w->c->host;
    const size_t params = w->c->graph->nparams;
    mskp_status status = MSKP_OK;
    w->views = mskpi_alloc(host, params + 1, sizeof *w->views);
    w->written = mskpi_alloc(host, params + 1, sizeof *w->written);
    w->here = mskpi_alloc(host, params, sizeof *w->here);
    if (!w->views || !w->written || !w->here) status = no_memory(w->err);
    if (!status) status = go_over(w, LOOK);
    if (!status && write) status = check_tensors(w);
    if (!status) status = check_seen(w);
    if (!status) status = go_over(w, FIT);
    if (!status && write) status = go_over(w, WRITE);
    mskpi_free(host, w->views);
    mskpi_free(host, w->written);
    mskpi_free(host, w->here);
    return status;
}

/* ---- The calls ---- */

/* What can be said without merging; then what merging makes better. */
static mskp_status decide(mskp_constants *c, walker *w)
{
    const mskp_graph *g = c->graph;
    double *known = w->constant;
    size_t channels = 0;
    mskp_status status = mskpi_walk(w);
    if (!status) status = mskpi_hearings(w, &c->h);
    if (status) return status;
    for (size_t v = 1; v <= g->nvalues; v++) channels += g->values[v].view.n;
    uint8_t *others = mskpi_alloc(&c->host, g->nvalues + 1, sizeof *others);
    c->emits = mskpi_alloc(&c->host, channels, sizeof *c->emits);
    if (!others || !c->emits) {
        mskpi_free(&c->host, others);
        return no_memory(w->err);
    }
    find_norms(c, others);
    mskpi_free(&c->host, others);
    for (size_t k = 0; k < c->h.n; k++) {
        hearing *x = &c->h.all[k];
        find_target(c, x);
        for (size_t q = 0; x->mixes && q < x->form.groups; q++)
            if (x->group[q].constants) x->group[q].way = without_merge(c, x, &x->group[q]);
    }
    if (c->desc.way == MSKP_CONSTANTS_DROP || c->desc.way == MSKP_CONSTANTS_FOLD) return MSKP_OK;
    w->constant = c->emits;
    status = merge(c, w, known);
    w->constant = known;
    return status;
}

static mskp_status check_desc(const mskp_constants_desc *d, mskp_error *err)
{
    char number[32];
    if ((unsigned)d->way > MSKP_CONSTANTS_MERGE)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "constants: way is %u, the last is %u",
                          (unsigned)d->way, (unsigned)MSKP_CONSTANTS_MERGE);
    if (!(d->merge_above >= 0 && d->merge_above < 1))
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "constants: merge_above is %s, not in [0, 1)",
                          mskpi_number(d->merge_above, number));
    if (mskpi_used(d->reserved, 4))
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "constants: reserved fields must be 0");
    return mskpi_check_roles(err, "constants: zeroed", d->zeroed);
}

static mskp_status new_constants(const mskp_graph *graph, const uint8_t *keep,
                                 const mskp_constants_desc *desc, mskp_constants **out,
                                 mskp_error *err)
{
    const mskp_host *host = &graph->host;
    mskp_constants *c = mskpi_alloc(host, 1, sizeof *c);
    if (c) {
        c->host = *host;
        c->graph = graph;
        if (desc) c->desc = *desc;
        c->keep = mskpi_alloc(host, graph->u.n, sizeof *c->keep);
        c->carries = mskpi_alloc(host, graph->u.n, sizeof *c->carries);
        c->norms = mskpi_alloc(host, graph->nvalues + 1, sizeof *c->norms);
        c->next_norm = mskpi_alloc(host, graph->nvalues + 1, sizeof *c->next_norm);
    }
    if (!c || !c->keep || !c->carries || !c->norms || !c->next_norm) {
        mskp_constants_destroy(c);
        return no_memory(err);
    }
    for (size_t u = 0; u < graph->u.n; u++) c->keep[u] = keep[u] != 0;
    *out = c;
    return MSKP_OK;
}

mskp_status mskp_constants_create(const mskp_graph *graph, size_t units, const uint8_t *keep,
                                  const mskp_constants_desc *desc, size_t params,
                                  const mskp_tensor *values, uint8_t *kept,
                                  mskp_constants **constants, mskp_error *err)
{
    mskp_constants *c = NULL;
    walker w;
    mskp_status status = mskpi_check_units(graph, "keep", units, err);
    if (!status) status = MSKPI_GIVEN(err, keep, kept, constants);
    if (!status && desc) status = check_desc(desc, err);
    if (!status) status = mskpi_check_set(values, "values", params, graph->nparams, err);
    if (!status) status = new_constants(graph, keep, desc, &c, err);
    if (status) return status;
    status = mskpi_walk_make(&w, graph, c->keep, c->desc.zeroed, values, err);
    if (!status) {
        c->first = w.first;
        status = decide(c, &w);
        w.first = NULL;
        mskpi_walk_free(&w);
    }
    if (!status)
        status = write_all(&(writer){.c = c, .values = values, .record = c, .err = err}, 0);
    if (status) {
        mskp_constants_destroy(c);
        return status;
    }
    for (size_t u = 0; u < units; u++) kept[u] = c->carries[u] ? 1 : keep[u];
    *constants = c;
    return MSKP_OK;
}

void mskp_constants_destroy(mskp_constants *c)
{
    if (!c) return;
    const mskp_host host = c->host;
    mskpi_hearings_free(&host, &c->h);
    mskpi_free(&host, c->keep);
    mskpi_free(&host, c->carries);
    mskpi_free(&host, c->emits);
    mskpi_free(&host, c->first);
    mskpi_free(&host, c->norms);
    mskpi_free(&host, c->next_norm);
    mskpi_free(&host, c->seen);
    mskpi_free(&host, c);
}

mskp_status mskp_constants_apply(const mskp_constants *constants, size_t params,
                                 const mskp_tensor *values, mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, constants);
    if (!status) status = mskpi_check_set(values, "values", params, constants->graph->nparams, err);
    if (status) return status;
    return write_all(&(writer){.c = constants, .values = values, .err = err}, 1);
}

/* ---- Reports ---- */

const mskp_graph *mskpi_constants_graph(const mskp_constants *c)
{
    return c->graph;
}

int mskpi_constants_keep(const mskp_constants *c, size_t unit)
{
    return c->keep[unit] || c->carries[unit];
}

int mskpi_constants_carries(const mskp_constants *c, size_t unit)
{
    return c->carries[unit];
}

size_t mskp_constants_count(const mskp_constants *constants)
{
    return constants ? constants->h.n : 0;
}

static uint32_t folded_into(const mskp_constants *c, const hearing *x)
{
    if (x->target == FOLD_BIAS) return x->bias;
    uint32_t first = 0; /* in the order of the description, which the chain has backwards */
    for (uint32_t v = c->norms[x->value]; x->target == FOLD_MEANS && v; v = c->next_norm[v])
        if (has_own_mean(c, &c->graph->steps[v])) first = c->graph->steps[v].params[2];
    return first;
}

/* Why a group's constants are lost. */
static const char *why_lost(const mskp_constants *c, const hearing *x, const hearing_group *g)
{
    if (c->desc.way == MSKP_CONSTANTS_DROP) return DROPPED;
    if (c->desc.way != MSKP_CONSTANTS_FOLD && c->h.uses[x->weight] != 1) return SHARED_WEIGHT;
    if (x->target != FOLD_NOWHERE) return g->way == WAY_DROP ? BORDER_DROPPED : BORDER;
    return x->bias ? SHARED_BIAS : NO_PLACE_TO_FOLD;
}

/* Does a group before this one have the same unit as carrier? */
static int carried_before(const mskp_constants *c, const hearing *x, size_t q)
{
    const uint32_t *units = mskpi_units_of(c->graph, x->reads);
    for (size_t p = 0; p < q; p++)
        if (x->group[p].way == WAY_MERGE && units[x->group[p].column] == units[x->group[q].column])
            return 1;
    return 0;
}

static void report_group(const mskp_constants *c, const hearing *x, size_t q,
                         mskp_constants_report *r)
{
    const hearing_group *g = &x->group[q];
    const double loss = loss_of(x, g);
    if (g->way == WAY_MERGE) {
        r->merged += g->constants;
        r->carriers += !carried_before(c, x, q);
    } else if (g->way == WAY_FOLD) {
        r->folded += g->constants;
        r->into.id = folded_into(c, x);
    } else {
        r->dropped += g->constants;
    }
    if (!(loss > 0)) return;
    r->exact = 0;
    r->bound = fmax(r->bound, loss + g->rounding);
    r->share = fmax(r->share, share_of(x, g));
    if (!r->why) r->why = why_lost(c, x, g);
}

static mskp_constants_report report_of(const mskp_constants *c, const hearing *x)
{
    mskp_constants_report r = {.consumer = {x->value},
                               .reads = {x->reads},
                               .weight = {x->weight},
                               .live = x->live,
                               .exact = x->mixes && !x->live,
                               .why = x->why};
    if (x->mixes)
        for (size_t q = 0; q < x->form.groups; q++) report_group(c, x, q, &r);
    else
        for (size_t i = 0; i < x->form.in; i++) r.dropped += x->hears[i] == HEARS_CONSTANT;
    if (!x->mixes || x->live) r.bound = r.share = (double)INFINITY;
    if (x->live && x->mixes) r.why = MSKPI_NOT_CONSTANT;
    return r;
}

mskp_status mskp_constants_get(const mskp_constants *constants, size_t index,
                               mskp_constants_report *report, mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, constants, report);
    if (status) return status;
    if (index >= constants->h.n)
        return mskpi_fail(err, MSKP_BAD_ARGUMENT, "there is no report %zu, only %zu of them", index,
                          constants->h.n);
    *report = report_of(constants, &constants->h.all[index]);
    return MSKP_OK;
}

mskp_status mskp_constants_total(const mskp_constants *constants, mskp_constants_report *total,
                                 mskp_error *err)
{
    const mskp_status status = MSKPI_GIVEN(err, constants, total);
    if (status) return status;
    mskp_constants_report sum = {.exact = 1};
    for (size_t k = 0; k < constants->h.n; k++) {
        const mskp_constants_report r = report_of(constants, &constants->h.all[k]);
        sum.folded += r.folded;
        sum.merged += r.merged;
        sum.dropped += r.dropped;
        sum.live += r.live;
        sum.exact &= r.exact;
        sum.bound = fmax(sum.bound, r.bound);
        sum.share = fmax(sum.share, r.share);
        if (!sum.why) sum.why = r.why;
    }
    for (size_t u = 0; u < constants->graph->u.n; u++) sum.carriers += constants->carries[u];
    *total = sum;
    return MSKP_OK;
}

mskp_status mskp_constants_carriers(const mskp_constants *constants, size_t units, uint8_t *carrier,
                                    mskp_error *err)
{
    mskp_status status = MSKPI_GIVEN(err, constants, carrier);
    if (!status) status = mskpi_check_units(constants->graph, "carrier", units, err);
    if (!status && units) memcpy(carrier, constants->carries, units);
    return status;
}
