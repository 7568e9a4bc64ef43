/*
 * The walk of constants: what each channel of each value outputs. In the order of the description,
 * each channel becomes a constant (one number at every position and for every input) or live, which
 * is represented by NAN. Each kind of step has a rule that computes a channel from its inputs:
 *
 *   convolution, linear     constant if all inputs with a nonzero weight are, and these are zero or
 *                           all positions see the same taps (taps.c)
 *   batch norm              beta where gamma is 0; otherwise the affine image of a constant
 *   functions, combinations, pools, table lookups    the function of constants, if it is one
 *   steps that move channels to other places         the constant of the place
 *   recurrent layers, custom operators               live
 *
 * Where the rule says live, the zero table of the channel (describe/zeros.c) may still say that the
 * channel is zero because its unit's slices are. A walk reads no more parameters than necessary:
 * the first nonzero weight for a live input makes the output live.
 *
 * Where a branch vanishes (mask/vanish.c), its channels that the mask keeps must become one number,
 * also behind a convolution whose border sees other weights: it is the number of most positions,
 * and consumers.c reports by how much others are off.
 *
 * A carrier is walked as it will be once the constants are applied, with filters and scales 0 and
 * biases and shifts 1. One walk with all candidates as carriers at once is enough to know what each
 * of them outputs alone: once a removed unit's filters are zero, its channels depend on the slices
 * of that unit, and on channels that are known already, but on no other candidate.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/view.h"
#include "constants/reading.h"
#include "constants/taps.h"
#include "constants/walk.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/tools.h"
#include "units/units.h"

#define LIVE          ((double)NAN)
#define UNKNOWN_ROLES 0xff /* no set of roles in MSKP_ROLES_UNIT */

/* ---- Operators ---- */

static double *constants_of(const walker *w, uint32_t value)
{
    MSKPI_ASSERT(value >= 1 && value <= w->graph->nvalues);
    return w->constant + w->first[value];
}

static const double *input_of(const walker *w, const graph_step *s, size_t k)
{
    MSKPI_ASSERT(k < s->ninputs);
    return constants_of(w, w->graph->step_inputs[s->first_input + k]);
}

/* Returns what the sums of constants times taps are at most positions. */
static double at_most_positions(const walk_weight *x, const tap_classes *t, const double *sums)
{
    double all = 0;
    if (!t->too_many) return mskpi_taps_sums(t, sums)[t->most];
    for (size_t j = 0; j < x->form.taps; j++) all += sums[j];
    return all;
}

/* Returns output o of a convolution or linear layer with the inputs k. `most`: what it is at most
 * positions, if it is not the same at all. taps and sums are buffers of [taps]. */
static double mix(walker *w, const walk_weight *x, const tap_classes *t, const double *k, size_t o,
                  bool most, double *taps, double *sums)
{
    const size_t in = x->form.in / x->form.groups, first = o / (x->form.out / x->form.groups) * in;
    memset(sums, 0, x->form.taps * sizeof *sums);
    for (size_t i = first; i < first + in && !w->status; i++) {
        if (k[i] == 0 || !mskpi_load_taps(w, x, o, i, taps)) continue;
        if (isnan(k[i]) || (!most && !mskpi_is_uniform(t))) return LIVE;
        for (size_t j = 0; j < x->form.taps; j++) sums[j] += k[i] * taps[j];
    }
    return at_most_positions(x, t, sums) + mskpi_walk_vector(w, x->bias, o + x->form.first_row, 0);
}

static void walk_mixing(walker *w, uint32_t value, double *to)
{
    const mskp_services *services = &w->graph->services;
    const graph_step *s = &w->graph->steps[value];
    walk_weight x;
    tap_classes t = {0};
    if (w->carrier) { /* the filters of carriers are zero, and other channels are known */
        for (size_t o = 0; o < w->graph->values[value].view.n; o++)
            to[o] = mskpi_walk_vector(w, s->params[1], o + s->first, 0);
        return;
    }
    if (mskpi_walk_weight(w, value, &x)) {
        mskpi_walk_weight_free(w, &x);
        return;
    }
    w->status = mskpi_taps_make(w->graph, value, &t, w->err);
    double *buffer = mskpi_alloc(services, mskpi_product(2, x.form.taps), sizeof *buffer);
    if (!buffer) mskpi_walk_no_memory(w);
    const uint32_t *units = mskpi_units_of(w->graph, value);
    for (size_t o = 0; o < x.form.out && !w->status; o++) {
        const bool most = mskpi_fate(w->gone, value) && !mskpi_is_removed(w->keep, units[o]);
        to[o] = mix(w, &x, &t, input_of(w, s, 0), o, most, buffer, buffer + x.form.taps);
    }
    mskpi_free(services, buffer);
    mskpi_taps_free(services, &t);
    mskpi_walk_weight_free(w, &x);
}

/* Returns what a norm with this variance divides by. */
static double deviation_of(const graph_step *s, double variance)
{
    return s->outside_root ? sqrt(variance) + s->as.epsilon : sqrt(variance + s->as.epsilon);
}

/* Returns element i of running statistics, or `none` if there are none or they have no data. */
static double statistic(walker *w, uint32_t param, size_t i, double none)
{
    return param && w->values.view[param - 1].data ? mskpi_walk_vector(w, param, i, none) : none;
}

/* Whether a scale of 0 cancels the input of channel c. It does not if the divisor is 0, because the
 * product is NaN then. Statistics that are not numbers fail the walk when they are read. */
static bool has_usable_statistics(walker *w, const graph_step *s, size_t c)
{
    const double mean = statistic(w, s->params[2], c, 0),
                 variance = statistic(w, s->params[3], c, 1);
    MSKPI_ASSERT(isfinite(mean));
    (void)mean;
    return deviation_of(s, variance) > 0;
}

static double normed(walker *w, const graph_step *s, double k, size_t c)
{
    const double scale = mskpi_walk_vector(w, s->params[0], c, 1),
                 shift = mskpi_walk_vector(w, s->params[1], c, 0);
    const bool statistics = s->params[2] || s->params[3];
    MSKPI_ASSERT(s->option <= MSKP_NORM_RMS);
    if (scale == 0) return w->carrier && !has_usable_statistics(w, s, c) ? LIVE : shift;
    if (isnan(k)) return LIVE;
    if (s->option == MSKP_NORM_AFFINE) return k * scale + shift;
    if (s->option == MSKP_NORM_INSTANCE && !statistics)
        return shift; /* k minus its own mean is 0 */
    /* Without both running statistics, it is unknown what the norm subtracts and divides by. */
    if (s->option != MSKP_NORM_BATCH || !s->params[2] || !s->params[3]) return LIVE;
    const double mean = mskpi_walk_vector(w, s->params[2], c, 0),
                 variance = mskpi_walk_vector(w, s->params[3], c, 1);
    return (k - mean) / deviation_of(s, variance) * scale + shift;
}

static double between(double x, double low, double high)
{
    return x < low ? low : x > high ? high : x;
}

static double function(const graph_step *s, double x)
{
    const double *p = s->as.function.parameters;
    switch (s->option) {
    case MSKP_ACTIVATION_IDENTITY:
        return x;
    case MSKP_ACTIVATION_RELU:
        return x > 0 ? x : 0;
    case MSKP_ACTIVATION_RELU6:
        return between(x, 0, 6);
    case MSKP_ACTIVATION_LEAKY_RELU:
        return x > 0 ? x : p[0] * x;
    case MSKP_ACTIVATION_ELU:
        return x > 0 ? x : p[0] * expm1(x);
    case MSKP_ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-x));
    case MSKP_ACTIVATION_TANH:
        return tanh(x);
    case MSKP_ACTIVATION_SILU:
        return x / (1 + exp(-x));
    case MSKP_ACTIVATION_GELU:
        return 0.5 * x * (1 + erf(x * 0.70710678118654752440));
    case MSKP_ACTIVATION_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.79788456080286535588 * (x + 0.044715 * x * x * x)));
    case MSKP_ACTIVATION_HARD_SIGMOID:
        return between(x / 6 + 0.5, 0, 1);
    case MSKP_ACTIVATION_HARD_SWISH:
        return x * between(x / 6 + 0.5, 0, 1);
    case MSKP_ACTIVATION_MULTIPLY:
        return p[0] * x;
    default:
        return s->as.function.call ? s->as.function.call(x, p) : LIVE;
    }
}

static double combined(double a, double b, uint32_t kind)
{
    switch (kind) {
    case MSKP_COMBINE_SUBTRACT:
        return a - b;
    case MSKP_COMBINE_MULTIPLY:
        return a == 0 || b == 0 ? 0 : a * b;
    case MSKP_COMBINE_MAXIMUM:
        return isnan(a) || isnan(b) ? LIVE : fmax(a, b);
    case MSKP_COMBINE_MINIMUM:
        return isnan(a) || isnan(b) ? LIVE : fmin(a, b);
    case MSKP_COMBINE_DIVIDE:
        return a / b; /* a division by 0 is not finite, and so it counts as live */
    default:
        return a + b;
    }
}

static double combine(const walker *w, const graph_step *s, size_t channels, size_t c)
{
    double sum = 0;
    bool first = true;
    for (size_t k = 0; k < s->ninputs; k++) {
        const uint32_t in = w->graph->step_inputs[s->first_input + k];
        const size_t n = w->graph->values[in].view.n;
        if (!n) continue; /* it has vanished */
        const double x = input_of(w, s, k)[n == channels ? c : 0];
        sum = first ? x : combined(sum, x, s->option);
        first = false;
    }
    return s->option == MSKP_COMBINE_AVERAGE ? sum / s->ninputs : sum;
}

/* Values one after the other in space are constant if all have the same constant. */
static double stacked(const walker *w, const graph_step *s, size_t c)
{
    const double first = input_of(w, s, 0)[c];
    for (size_t k = 1; k < s->ninputs; k++)
        if (input_of(w, s, k)[c] != first) return LIVE;
    return first;
}

/* A channel that is made of a block of channels is constant if all have the same constant. */
static double block(const walker *w, const graph_step *s, size_t c)
{
    const uint32_t *place = w->graph->places + s->first + c * s->groups;
    const double first = input_of(w, s, 0)[place[0]];
    for (size_t k = 1; k < s->groups; k++)
        if (input_of(w, s, 0)[place[k]] != first) return LIVE;
    return first;
}

/* A channel of a table is constant if all rows hold the same number for it. */
static double looked_up(walker *w, uint32_t param, size_t c)
{
    uint32_t roles;
    const tensor_view *v;
    const uint32_t *units = mskpi_axis_units(w->graph, param, 1, &roles);
    MSKPI_ASSERT(units); /* mskp_embedding has bound the axis */
    if (mskpi_content_of(w, roles, units[c]) == ZERO) return 0;
    double first = 0;
    if (mskpi_walk_view(w, param, &v)) return 0;
    for (size_t i = 0; i < v->shape[0]; i++) {
        const ptrdiff_t at = v->stride[0] * (ptrdiff_t)i + v->stride[1] * (ptrdiff_t)c;
        const double x = mskpi_walk_element(w, param, v->data + at * (ptrdiff_t)v->element);
        if (i && x != first) return LIVE;
        first = x;
    }
    return first;
}

/* A parameter as an operand is constant if it has one axis. One with more axes differs from
 * position to position. */
static double operand(walker *w, const graph_step *s, size_t c)
{
    return w->graph->params[s->params[0]].ndim == 1 ? mskpi_walk_vector(w, s->params[0], c, 0)
                                                    : LIVE;
}

static double prelu(walker *w, const graph_step *s, double k, size_t c)
{
    const graph_param *p = &w->graph->params[s->params[0]];
    if (!(k < 0)) return k; /* also LIVE, since no comparison with NAN holds */
    return k * mskpi_walk_vector(w, s->params[0], w->graph->axes[p->axis].length > 1 ? c : 0, 0);
}

/* Channel c of a step that computes each channel by itself. */
static double step_channel(walker *w, const graph_step *s, size_t channels, size_t c)
{
    MSKPI_ASSERT(c < channels);
    if (s->kind == STEP_TABLE) return looked_up(w, s->params[0], c);
    if (s->kind == STEP_PARAM) return operand(w, s, c);
    if (!s->ninputs) return LIVE; /* the network's input, or a custom operator */
    const double *in = input_of(w, s, 0);
    switch (s->kind) {
    case STEP_NORM:
        return normed(w, s, in[c], c);
    case STEP_PRELU:
        return prelu(w, s, in[c], c);
    case STEP_FUNCTION:
        return isnan(in[c]) ? LIVE : function(s, in[c]);
    case STEP_POOL:
        return s->option || in[c] == 0 ? in[c] : LIVE;
    case STEP_COMBINE:
        return combine(w, s, channels, c);
    case STEP_STACK:
        return stacked(w, s, c);
    case STEP_PART:
        MSKPI_ASSERT(s->first + c < w->graph->values[w->graph->step_inputs[s->first_input]].view.n);
        return in[s->first + c];
    case STEP_ATTEND:
        return in[w->graph->places[s->first + c]];
    case STEP_PLACES:
        return w->graph->places[s->first + c] == NO_PLACE ? 0 : in[w->graph->places[s->first + c]];
    case STEP_BLOCKS:
        return block(w, s, c);
    default:
        return LIVE;
    }
}

static void walk_concat(walker *w, const graph_step *s, double *to)
{
    for (size_t k = 0; k < s->ninputs; k++) {
        const size_t n = w->graph->values[w->graph->step_inputs[s->first_input + k]].view.n;
        memcpy(to, input_of(w, s, k), n * sizeof *to);
        to += n;
    }
}

/* ---- Zero tables, and what primitives say ---- */

/* Returns the roles in which all slices of a unit are zero. */
static uint32_t zero_roles(walker *w, uint32_t unit)
{
    const unit_table *u = w->graph->u;
    uint32_t roles = MSKP_ROLES_UNIT;
    if (w->zero_roles[unit] != UNKNOWN_ROLES) return w->zero_roles[unit];
    for (size_t m = u->member_first[unit]; m < u->member_first[unit + 1]; m++) {
        const mskp_member *x = &u->members[m];
        if ((x->roles & roles) && mskpi_has_nonzero(w, x->param.id, x->axis, x->index, false))
            roles &= ~x->roles;
    }
    w->zero_roles[unit] = (uint8_t)roles;
    return roles;
}

/* Returns 0 for a live channel of a removed unit if its zero table says so, otherwise k. */
static double or_zero(walker *w, uint32_t value, size_t c, uint32_t unit, double k)
{
    const zero_table zero = mskpi_zero(w->graph, value, c);
    if (!isnan(k) || w->carrier || !zero || !mskpi_is_removed(w->keep, unit)) return k;
    const uint32_t roles = zero_roles(w, unit);
    MSKPI_ASSERT(roles < 16); /* one bit of the table for each set of four roles */
    return zero >> roles & 1 ? 0 : k;
}

/* What the caller's primitives leave of a constant. */
static double after_primitives(uint32_t own, double k)
{
    return own & OWN_CHANGED || (own & OWN_SCALED && k != 0) ? LIVE : k;
}

/* ---- The walk ---- */

static void walk_value(walker *w, uint32_t value, const double *known)
{
    const graph_step *s = &w->graph->steps[value];
    const size_t channels = w->graph->values[value].view.n;
    const uint32_t *units = mskpi_units_of(w->graph, value);
    double *to = constants_of(w, value);
    const bool mixing =
        s->kind == STEP_CONV || s->kind == STEP_TRANSPOSED || s->kind == STEP_LINEAR;
    if (!channels) return; /* it has vanished */
    if (mixing) walk_mixing(w, value, to);
    if (s->kind == STEP_CONCAT) walk_concat(w, s, to);
    for (size_t c = 0; c < channels && !w->status; c++) {
        if (known && (units[c] == MSKP_PINNED || !w->carrier[units[c]])) {
            to[c] = known[w->first[value] + c];
            continue;
        }
        double k = mixing || s->kind == STEP_CONCAT ? to[c] : step_channel(w, s, channels, c);
        if (!isfinite(k)) k = LIVE;
        if (s->own) k = after_primitives(s->own, k);
        to[c] = or_zero(w, value, c, units[c], k);
    }
}

mskp_status mskpi_walk_make(walker *w, const mskp_graph *graph, const uint8_t *keep,
                            const vanishing *gone, uint32_t zeroed, mskp_tensors values,
                            mskp_error *err)
{
    const mskp_services *services = &graph->services;
    size_t n = 0;
    *w = (walker){
        .graph = graph, .values = values, .keep = keep, .gone = gone, .zeroed = zeroed, .err = err};
    w->first = mskpi_alloc(services, graph->nvalues + 1, sizeof *w->first);
    w->views = mskpi_alloc(services, graph->nparams + 1, sizeof *w->views);
    w->viewed = mskpi_alloc(services, graph->nparams + 1, sizeof *w->viewed);
    w->zero_roles = mskpi_alloc(services, graph->u->n, sizeof *w->zero_roles);
    for (size_t v = 1; w->first && v <= graph->nvalues; v++) {
        w->first[v] = n;
        n = mskpi_sum(n, graph->values[v].view.n);
    }
    w->constant = mskpi_alloc(services, n, sizeof *w->constant);
    if (!w->first || !w->views || !w->viewed || !w->zero_roles || !w->constant) {
        mskpi_walk_free(w);
        return mskpi_walk_no_memory(w);
    }
    memset(w->zero_roles, UNKNOWN_ROLES, graph->u->n);
    return MSKP_OK;
}

void mskpi_walk_free(walker *w)
{
    const mskp_services *services = &w->graph->services;
    mskpi_free(services, w->first);
    mskpi_free(services, w->views);
    mskpi_free(services, w->viewed);
    mskpi_free(services, w->zero_roles);
    mskpi_free(services, w->constant);
}

mskp_status mskpi_walk(walker *w)
{
    w->carrier = NULL;
    for (uint32_t v = 1; v <= w->graph->nvalues && !w->status; v++) walk_value(w, v, NULL);
    return w->status;
}

mskp_status mskpi_walk_carriers(walker *w, const uint8_t *carrier, const double *known)
{
    w->carrier = carrier;
    for (uint32_t v = 1; v <= w->graph->nvalues && !w->status; v++) walk_value(w, v, known);
    return w->status;
}
