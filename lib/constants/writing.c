/*
 * Writing of constants into tensors: looked at, checked, and written, in three passes.
 *
 * The three passes go over the same elements in the same order. The first looks at the numbers that
 * sums and columns go into: when the constants are made they are recorded, and when the constants
 * are applied they are compared with the record, so that tensors that were written already, or
 * trained on since, are refused. The second pass checks that every result fits the tensor's format.
 * The third writes. So nothing is written unless everything can be. When the constants are made,
 * only the first two passes run.
 */
#include <float.h>
#include <math.h>

#include "base/element.h"
#include "base/memory.h"
#include "base/overlap.h"
#include "base/status.h"
#include "base/view.h"
#include "constants/constants.h"
#include "constants/hearing.h"
#include "constants/reading.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/tools.h"
#include "units/set.h"
#include "units/units.h"

/* One after the other, over the same elements in the same order. */
typedef enum pass {
    LOOK, /* at what they are */
    FIT,  /* can they become what they should? */
    WRITE
} pass;

typedef struct writer {
    const mskp_constants *c;
    mskp_tensors values;
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

static const char *name_of(const writer *w, uint32_t param, char room[NAME_SIZE])
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
    if (!isfinite(x)) return mskpi_refuse_number(w->c->graph, param, v, at, w->err);
    if (w->record) {
        mskp_constants *c = w->record;
        double *more = mskpi_grow(&c->host, c->seen, &c->seen_room, k, 1, sizeof *more);
        if (!more) return mskpi_constants_no_memory(w->err);
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
    char room[8], name[NAME_SIZE], number[32], index[INDEX_SIZE];
    const mskp_dtype dtype = w->views[param].dtype;
    if (isfinite(x) && fabs(x) <= FLT_MAX) {
        mskpi_store(room, dtype, x);
        if (isfinite(mskpi_load(room, dtype))) return MSKP_OK;
    } else if (isfinite(x) && dtype == MSKP_DTYPE_F64) {
        return MSKP_OK;
    }
    return mskpi_fail(w->err, MSKP_ERROR_BAD_NUMBER,
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
    const unit_table *u = c->graph->u;
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
        if (!mskpi_is_absorbing(s)) status = add_to(w, s->params[2], o, -x->folded[o]);
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
        if (!mskpi_is_removed(w->c->keep, units[o]))
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
    char name[NAME_SIZE], index[INDEX_SIZE], number[32], seen[32];
    if (!w->other) return MSKP_OK;
    const tensor_view *v = &w->views[w->other_param];
    return mskpi_fail(w->err, MSKP_ERROR_BAD_STATE,
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
    char name[NAME_SIZE], other_name[NAME_SIZE];
    const uint32_t p = w->here[w->written[w->here[a]] ? a : b], q = w->here[a] + w->here[b] - p;
    bool hit;
    if (!w->written[p]) return MSKP_OK;
    const mskp_status status =
        mskpi_elements_meet(&w->c->host, &w->views[p], &w->views[q], &hit, err);
    if (status || !hit) return status;
    return mskpi_fail(err, MSKP_ERROR_OVERLAP, "%s would be written, and shares memory with %s",
                      name_of(w, p, name), name_of(w, q, other_name));
}

/* All tensors fit their parameters, and none is written onto another. */
static mskp_status check_tensors(writer *w)
{
    const mskp_graph *g = w->c->graph;
    size_t here = 0;
    for (uint32_t p = 1; p <= g->nparams; p++) {
        const mskp_status status =
            mskpi_check_tensor(g, p, "values", w->values, &w->views[p], w->err);
        if (status) return status;
        if (w->values.view[p - 1].data) w->here[here++] = p;
    }
    return mskpi_overlaps(&w->c->host, here, view_here, check_pair, w, w->err);
}

mskp_status mskpi_write_constants(const mskp_constants *c, mskp_tensors values,
                                  mskp_constants *record, int write, mskp_error *err)
{
    writer over = {.c = c, .values = values, .record = record, .err = err};
    writer *w = &over;
    const mskp_services *host = &c->host;
    const size_t params = w->c->graph->nparams;
    mskp_status status = MSKP_OK;
    w->views = mskpi_alloc(host, params + 1, sizeof *w->views);
    w->written = mskpi_alloc(host, params + 1, sizeof *w->written);
    w->here = mskpi_alloc(host, params, sizeof *w->here);
    if (!w->views || !w->written || !w->here) status = mskpi_constants_no_memory(w->err);
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
