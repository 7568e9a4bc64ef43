/*
 * The writer, which moves constants into tensors in three passes.
 *
 * All passes visit the same elements in the same order: the biases, means and columns that take
 * sums (write_consumer). Slices of removed units that become 0 or 1 (slices.c) are only written, in
 * the third pass and before the sums. The first pass looks at the numbers to which something is
 * added or that a column replaces. When the object is made, they are recorded. When it is applied,
 * they are compared with the record, so values to which it was applied already, or that were
 * trained further, are refused. The second pass checks that every result fits the dtype of its
 * tensor, and the third writes. So either everything is written or nothing. When the object is
 * made, only the first two passes run.
 *
 * Elements that become 0 or 1 are not compared, because a program may set them to zero by itself.
 */
#include <float.h>
#include <math.h>
#include <stdbool.h>

#include "base/assert.h"
#include "base/element.h"
#include "base/memory.h"
#include "base/overlap.h"
#include "base/status.h"
#include "base/view.h"
#include "constants/constants.h"
#include "constants/consumers.h"
#include "constants/reading.h"
#include "constants/slices.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/tools.h"
#include "units/set.h"
#include "units/units.h"

/* The passes, in this order. Each visits the same elements in the same order. */
typedef enum pass {
    LOOK, /* records the elements' numbers, or compares them with the record */
    FIT,  /* checks that each result fits its dtype */
    WRITE
} pass;

typedef struct writer {
    const mskp_constants *c;
    mskp_tensors values;
    tensor_view *views;     /* [params + 1] */
    uint8_t *written;       /* [params + 1] 1: the parameter is written, and views has it */
    uint32_t *present;      /* the parameters whose tensors have data */
    mskp_constants *record; /* the object that is recorded; NULL: LOOK compares with the record */
    size_t looked;          /* how many numbers LOOK has visited */
    size_t mismatch;        /* 1 + the number of the first that is not as recorded; 0: none */
    uint32_t mismatch_param;
    const char *mismatch_at;
    slice_changes slices;
    pass pass;
    mskp_error *err;
} writer;

static const char *name_of(const writer *w, uint32_t param, char room[NAME_SIZE])
{
    return mskpi_short(mskpi_param_name(w->c->graph, param), room);
}

/* Makes the view of a parameter that is written. */
static mskp_status view_param(writer *w, uint32_t param)
{
    if (w->written[param]) return MSKP_OK;
    w->written[param] = 1;
    return mskpi_number_view(w->c->graph, param, "values", w->values, &w->views[param], w->err);
}

/* LOOK at one element. Numbers are compared and not bytes, so copies in another dtype pass. */
static mskp_status look(writer *w, uint32_t param, const char *at)
{
    const tensor_view *v = &w->views[param];
    const double x = mskpi_load(at, v->dtype);
    const size_t k = w->looked++;
    if (!isfinite(x)) return mskpi_refuse_number(w->c->graph, param, "values", v, at, w->err);
    if (w->record) {
        mskp_constants *c = w->record;
        double *more =
            mskpi_grow(&c->services, c->recorded, &c->recorded_capacity, k, 1, sizeof *more);
        if (!more) return mskpi_constants_no_memory(w->err);
        MSKPI_ASSERT(c->recorded_count == k);
        c->recorded = more;
        more[c->recorded_count++] = x;
        return MSKP_OK;
    }
    MSKPI_ASSERT(k < w->c->recorded_count); /* every pass visits the same elements */
    if (!w->mismatch && (x < w->c->recorded[k] || x > w->c->recorded[k])) {
        w->mismatch = k + 1;
        w->mismatch_param = param;
        w->mismatch_at = at;
    }
    return MSKP_OK;
}

/* Refuses a result that is not finite in the dtype of its parameter. Whether a double of at most
 * FLT_MAX fits is found by storing it, because the smaller formats round first. */
static mskp_status check_fit(const writer *w, uint32_t param, const char *at, double x)
{
    char stored[8], name[NAME_SIZE], number[32], index[INDEX_SIZE];
    const mskp_dtype dtype = w->views[param].dtype;
    if (isfinite(x) && fabs(x) <= FLT_MAX) {
        MSKPI_ASSERT(w->views[param].element <= sizeof stored);
        mskpi_store(stored, dtype, x);
        if (isfinite(mskpi_load(stored, dtype))) return MSKP_OK;
    } else if (isfinite(x) && dtype == MSKP_DTYPE_F64) {
        return MSKP_OK;
    }
    return mskpi_fail(w->err, MSKP_ERROR_BAD_NUMBER,
                      "%s: element %s would be %s, of constants that leave, and does not fit %s",
                      name_of(w, param, name), mskpi_index_text(&w->views[param], at, index),
                      mskpi_number(x, number), mskpi_dtype_name(dtype));
}

/* Visits one element, which becomes x. */
static mskp_status put(writer *w, uint32_t param, char *at, double x)
{
    if (w->pass == LOOK) return look(w, param, at);
    if (w->pass == FIT) return check_fit(w, param, at, x);
    MSKPI_ASSERT(w->pass == WRITE && isfinite(x));
    mskpi_store(at, w->views[param].dtype, x);
    return MSKP_OK;
}

/* Element i of a parameter with one axis becomes x, or, if it is kept, itself plus x. */
static mskp_status put_in_vector(writer *w, uint32_t param, size_t i, bool keep, double x)
{
    const mskp_status status = view_param(w, param);
    if (status) return status;
    const tensor_view *v = &w->views[param];
    MSKPI_ASSERT(v->ndim == 1 && i < v->shape[0]);
    char *at = v->data + v->stride[0] * (ptrdiff_t)(i * v->element);
    return put(w, param, at, keep ? mskpi_load(at, v->dtype) + x : x);
}

static mskp_status add_to(writer *w, uint32_t param, size_t i, double x)
{
    return put_in_vector(w, param, i, true, x);
}

/* Makes the views of all parameters of which slices become 0 or 1. */
static mskp_status view_slices(writer *w)
{
    mskp_status status = MSKP_OK;
    for (uint32_t p = 1; !status && p <= w->c->graph->nparams; p++)
        if (mskpi_slices_change(w->c, p)) status = view_param(w, p);
    return status;
}

/* Subtracts the constant of output o from the means of all norms behind the consumer. */
static mskp_status write_means(writer *w, const consumer *x, size_t o)
{
    const mskp_constants *c = w->c;
    mskp_status status = MSKP_OK;
    for (uint32_t v = c->norms[x->value]; !status && v; v = c->next_norm[v]) {
        const graph_step *s = &c->graph->steps[v];
        if (!mskpi_is_absorbing(s)) status = add_to(w, s->params[2], o, -x->folded[o]);
    }
    return status;
}

/* Writes the column of output o for the carrier of its group. */
static mskp_status write_column(writer *w, const consumer *x, const consumer_group *g, size_t o)
{
    const mskp_constants *c = w->c;
    MSKPI_ASSERT(w->written[x->weight]); /* by view_slices: the carrier has a column in it */
    const tensor_view *v = &w->views[x->weight];
    const double m = c->carrier_output[c->first[x->reads] + g->column];
    MSKPI_ASSERT(m != 0 && isfinite(m));
    for (size_t t = 0; t < x->form.taps; t++) {
        char *at = mskpi_weight_at(v, &x->form, o, g->column, t);
        const mskp_status stored = put(w, x->weight, at, x->sums[o * x->form.taps + t] / m);
        if (stored) return stored;
    }
    return MSKP_OK;
}

static mskp_status write_output(writer *w, const consumer *x, const consumer_group *g, size_t o)
{
    if (g->way == WAY_MERGE) return write_column(w, x, g, o);
    if (g->way != WAY_FOLD || !x->writes || !(fabs(x->folded[o]) > 0)) return MSKP_OK;
    if (x->target == FOLD_BIAS) return add_to(w, x->bias, o + x->form.first_row, x->folded[o]);
    return x->target == FOLD_MEANS ? write_means(w, x, o) : MSKP_OK;
}

/* Writes the constants with which a branch ends into the shift that is left of it. */
static mskp_status write_end(writer *w, const consumer *x)
{
    mskp_status status = MSKP_OK;
    const bool writes = x->shift && w->c->desc.way != MSKP_CONSTANTS_DROP;
    for (size_t i = 0; writes && !status && i < x->form.in; i++)
        if (x->input[i] == READS_CONSTANT)
            status = put_in_vector(w, x->shift, i, false, x->folded[i]);
    return status;
}

static mskp_status write_consumer(writer *w, const consumer *x)
{
    const uint32_t *units = mskpi_units_of(w->c->graph, x->value);
    mskp_status status = MSKP_OK;
    if (x->ends) return write_end(w, x);
    for (size_t o = 0; x->mixes && !status && o < x->form.out; o++)
        if (!mskpi_is_removed(w->c->keep, units[o]))
            status = write_output(w, x, &x->group[o / (x->form.out / x->form.groups)], o);
    return status;
}

static mskp_status run_pass(writer *w, pass next)
{
    w->pass = next;
    mskp_status status = next == LOOK ? view_slices(w) : MSKP_OK;
    if (next == WRITE) mskpi_slices_write(&w->slices, w->views);
    for (size_t k = 0; k < w->c->consumers.n && !status; k++)
        status = write_consumer(w, &w->c->consumers.all[k]);
    return status;
}

/* Refuses values that are not as recorded. */
static mskp_status check_mismatch(const writer *w)
{
    char name[NAME_SIZE], index[INDEX_SIZE], number[32], recorded[32];
    if (!w->mismatch) return MSKP_OK;
    const tensor_view *v = &w->views[w->mismatch_param];
    return mskpi_fail(w->err, MSKP_ERROR_BAD_STATE,
                      "%s: element %s is %s, mskp_constants_create has seen %s; applied already, "
                      "or trained on since?",
                      name_of(w, w->mismatch_param, name),
                      mskpi_index_text(v, w->mismatch_at, index),
                      mskpi_exact_number(mskpi_load(w->mismatch_at, v->dtype), number),
                      mskpi_exact_number(w->c->recorded[w->mismatch - 1], recorded));
}

static const tensor_view *present_view(const void *context, uint32_t k)
{
    const writer *w = context;
    return &w->views[w->present[k]];
}

/* Refuses two tensors whose ranges meet if one is written and they share an element. */
static mskp_status check_pair(void *context, uint32_t a, uint32_t b, mskp_error *err)
{
    const writer *w = context;
    char name[NAME_SIZE], other_name[NAME_SIZE];
    const uint32_t p = w->present[w->written[w->present[a]] ? a : b];
    const uint32_t q = w->present[a] + w->present[b] - p; /* the other one */
    bool hit;
    if (!w->written[p]) return MSKP_OK;
    const mskp_status status =
        mskpi_elements_meet(&w->c->services, &w->views[p], &w->views[q], &hit, err);
    if (status || !hit) return status;
    return mskpi_fail(err, MSKP_ERROR_OVERLAP, "%s would be written, and shares memory with %s",
                      name_of(w, p, name), name_of(w, q, other_name));
}

/* Checks the views of all tensors, and that none is written onto another. */
static mskp_status check_tensors(writer *w)
{
    const mskp_graph *g = w->c->graph;
    size_t n = 0;
    for (uint32_t p = 1; p <= g->nparams; p++) {
        const mskp_status status =
            mskpi_check_tensor(g, p, "values", w->values, &w->views[p], w->err);
        if (status) return status;
        if (w->values.view[p - 1].data) w->present[n++] = p;
    }
    return mskpi_overlaps(&w->c->services, n, present_view, check_pair, w, w->err);
}

static mskp_status make_writer(writer *w, mskp_error *err)
{
    const mskp_services *services = &w->c->services;
    const size_t params = w->c->graph->nparams;
    w->views = mskpi_alloc(services, params + 1, sizeof *w->views);
    w->written = mskpi_alloc(services, params + 1, sizeof *w->written);
    w->present = mskpi_alloc(services, params, sizeof *w->present);
    return w->views && w->written && w->present ? MSKP_OK : mskpi_constants_no_memory(err);
}

static void free_writer(const writer *w)
{
    mskpi_free(&w->c->services, w->views);
    mskpi_free(&w->c->services, w->written);
    mskpi_free(&w->c->services, w->present);
}

mskp_status mskpi_record_constants(mskp_constants *c, mskp_tensors values, mskp_error *err)
{
    writer w = {.c = c, .values = values, .record = c, .err = err};
    mskp_status status = make_writer(&w, err);
    if (!status) status = run_pass(&w, LOOK);
    if (!status) status = run_pass(&w, FIT);
    free_writer(&w);
    return status;
}

mskp_status mskpi_apply_constants(const mskp_constants *c, mskp_tensors values, mskp_error *err)
{
    writer w = {.c = c, .values = values, .err = err};
    mskp_status status = make_writer(&w, err);
    if (!status) status = run_pass(&w, LOOK);
    MSKPI_ASSERT(status || w.looked == c->recorded_count);
    if (!status) status = check_tensors(&w);
    if (!status) status = check_mismatch(&w);
    if (!status) status = run_pass(&w, FIT);
    if (!status) status = mskpi_slices_make(c, w.written, w.views, &w.slices, err);
    if (!status) MSKPI_MUST(run_pass(&w, WRITE));
    mskpi_slices_free(&w.slices);
    free_writer(&w);
    return status;
}
