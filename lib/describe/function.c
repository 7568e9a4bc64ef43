/*
 * Operators that treat each channel by itself, without weights that mix: functions (activations),
 * PReLU, and pooling.
 *
 * Nothing is coupled, so the result shares the list of the input. It also shares the zero
 * tables where the function of 0 is 0. This does not hold for a sigmoid, whose value at 0 is a
 * half, and nothing is known of a custom function. All that remains is to record the step, from
 * which the stage of constants computes what becomes of a constant channel.
 *
 * A new kind goes into mskp_activation_kind (mskp.h), FUNCTION_OP, check_function (its parameters)
 * and is_zero_at_zero here, and `function` in constants/walk.c. A kind of pooling: mskp_pool_kind,
 * POOL_OP, keeps_constants, and is_global or pool_length.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "base/status.h"
#include "describe/check.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "describe/step.h"
#include "describe/ties.h"
#include "describe/values.h"
#include "describe/zeros.h"
#include "mskp.h"
#include "mskp/operators.h"

/* ---- PReLU ---- */

/* *single <- whether the slope is one number for all channels. */
static mskp_status check_slope(mskp_graph *graph, const char *label, mskp_param slope,
                               size_t channels, bool *single)
{
    graph_param p;
    if (mskpi_get_param(graph, label, "slope", slope, &p)) return mskpi_first_error(graph);
    *single = p.ndim == 1 && mskpi_length(graph, slope, 0) == 1;
    return *single ? MSKP_OK : mskpi_check_vector(graph, label, "slope", slope, channels);
}

mskp_value mskp_prelu(mskp_graph *graph, const char *name, mskp_value in, mskp_param slope)
{
    const char *label = mskpi_label(name, "prelu");
    graph_value v;
    graph_step *step;
    mskp_value out;
    bool single = false;
    if (mskpi_get_value(graph, label, in, &v) ||
        check_slope(graph, label, slope, v.view.n, &single) ||
        mskpi_new_value(graph, name, "prelu", v.view, v.nspatial, v.spatial, &out))
        return NO_VALUE;
    mskpi_zero_same(graph, out.id, in.id);
    if (mskpi_add_step(graph, out, STEP_PRELU, 1, &in, &step)) return NO_VALUE;
    step->params[0] = slope.id;
    if (single && v.view.n > 1) {
        if (mskpi_attach(graph, slope, out)) return NO_VALUE;
    } else if (mskpi_bind(graph, slope, 0, MSKP_ROLE_OTHER, v.view, out.id)) {
        return NO_VALUE;
    }
    return out;
}

/* ---- Functions ---- */

static const char *const FUNCTION_OP[] = {
    "identity", "relu", "relu6",        "leaky_relu", "elu",      "sigmoid", "tanh",
    "silu",     "gelu", "hard_sigmoid", "hard_swish", "function", "gelu",    "times"};
enum { FUNCTION_KINDS = sizeof FUNCTION_OP / sizeof *FUNCTION_OP };

/* Refuses parameters that are not finite, or that the function does not read. */
static mskp_status check_function(mskp_graph *graph, const char *label,
                                  const mskp_activation_desc *desc)
{
    const bool custom = desc->kind == MSKP_ACTIVATION_CUSTOM && desc->function != NULL;
    const bool has_one = desc->kind == MSKP_ACTIVATION_LEAKY_RELU ||
                         desc->kind == MSKP_ACTIVATION_ELU ||
                         desc->kind == MSKP_ACTIVATION_MULTIPLY;
    char number[NUMBER_SIZE];
    if (desc->function && !custom)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "function is for kind %d, kind is %u", MSKP_ACTIVATION_CUSTOM,
                            (unsigned)desc->kind);
    for (size_t i = 0; i < MSKP_MAX_FUNCTION_PARAMETERS; i++) {
        const double x = desc->parameters[i];
        if (!isfinite(x))
            return mskpi_refuse(graph, label, MSKP_ERROR_BAD_NUMBER,
                                "parameters[%zu] is %s, not a finite number", i,
                                mskpi_number(x, number));
        if (!custom && x != 0 && (!has_one || i > 0))
            return mskpi_refuse(
                graph, label, MSKP_ERROR_BAD_ARGUMENT,
                "parameters[%zu] is %s, but a function of this kind does not read it", i,
                mskpi_number(x, number));
    }
    if ((size_t)desc->kind >= FUNCTION_KINDS)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "activation kind %zu, there are %zu", (size_t)desc->kind,
                            (size_t)FUNCTION_KINDS);
    return MSKP_OK;
}

/* Whether the function of 0 is known to be 0. */
static bool is_zero_at_zero(mskp_activation_kind kind)
{
    return kind != MSKP_ACTIVATION_SIGMOID && kind != MSKP_ACTIVATION_HARD_SIGMOID &&
           kind != MSKP_ACTIVATION_CUSTOM;
}

mskp_value mskp_activation(mskp_graph *graph, const char *name, mskp_value in,
                           const mskp_activation_desc *desc)
{
    static const mskp_activation_desc identity = {.kind = MSKP_ACTIVATION_IDENTITY};
    const char *label = mskpi_label(name, "activation");
    graph_value v;
    graph_step *step;
    mskp_value out;
    if (!desc) desc = &identity;
    if (mskpi_get_value(graph, label, in, &v) || check_function(graph, label, desc) ||
        mskpi_new_value(graph, name, FUNCTION_OP[desc->kind], v.view, v.nspatial, v.spatial, &out))
        return NO_VALUE;
    if (is_zero_at_zero(desc->kind)) mskpi_zero_same(graph, out.id, in.id);
    if (mskpi_add_step(graph, out, STEP_FUNCTION, 1, &in, &step)) return NO_VALUE;
    step->option = (uint32_t)desc->kind;
    step->as.function.call = desc->function;
    memcpy(step->as.function.parameters, desc->parameters, sizeof desc->parameters);
    if (desc->kind == MSKP_ACTIVATION_LEAKY_RELU && desc->parameters[0] == 0)
        step->as.function.parameters[0] = 0.01;
    if (desc->kind == MSKP_ACTIVATION_ELU && desc->parameters[0] == 0)
        step->as.function.parameters[0] = 1;
    return out;
}

/* ---- Pooling ---- */

static const char *const POOL_OP[] = {"max_pool", "average_pool", "global_max", "global_average",
                                      "resize"};
enum { POOL_KINDS = sizeof POOL_OP / sizeof *POOL_OP };

static bool is_global(const mskp_pool_desc *desc)
{
    return desc->kind == MSKP_POOL_GLOBAL_MAX || desc->kind == MSKP_POOL_GLOBAL_AVERAGE;
}

/* Whether a channel that is the same everywhere stays so. An average over a window that is partly
 * outside, and a result whose length the caller states, may differ at the border. */
static bool keeps_constants(const mskp_pool_desc *desc, const graph_value *v)
{
    if (desc->keeps_constants || desc->kind == MSKP_POOL_MAX || is_global(desc)) return true;
    for (uint32_t d = 0; d < v->nspatial; d++)
        if (desc->pad_before[d] || desc->pad_after[d] || desc->spatial[d]) return false;
    return !desc->ceil_mode;
}

static bool has_windows(const mskp_pool_desc *desc, const graph_value *v)
{
    for (uint32_t d = 0; d < v->nspatial; d++)
        if (desc->size[d] || desc->stride[d] || desc->pad_before[d] || desc->pad_after[d])
            return true;
    return desc->ceil_mode != 0;
}

static mskp_status check_pool(mskp_graph *graph, const char *label, const mskp_pool_desc *desc,
                              const graph_value *v)
{
    const size_t *const given[] = {desc->size, desc->stride, desc->pad_before, desc->pad_after,
                                   desc->spatial};
    if ((size_t)desc->kind >= POOL_KINDS || desc->keeps_constants > 1)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "pool kind %u, there are %zu; keeps_constants %u", (unsigned)desc->kind,
                            (size_t)POOL_KINDS, desc->keeps_constants);
    if (mskpi_check_beyond_axes(graph, label, v->nspatial, sizeof given / sizeof *given, given))
        return mskpi_first_error(graph);
    if ((is_global(desc) || desc->kind == MSKP_POOL_RESIZE) && has_windows(desc, v))
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "%s has no size, stride, pad or ceil_mode",
                            is_global(desc) ? "global pooling" : "resizing");
    return MSKP_OK;
}

/* *length <- the length of the result on spatial axis d. */
static mskp_status pool_length(mskp_graph *graph, const char *label, const mskp_pool_desc *desc,
                               const graph_value *v, uint32_t d, size_t *length)
{
    const size_t size = desc->size[d] ? desc->size[d] : 1;
    const size_t stride = desc->stride[d] ? desc->stride[d] : size;
    if (desc->kind == MSKP_POOL_RESIZE && !desc->spatial[d])
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "resizing needs a length on each axis; spatial[%u] is 0", d);
    *length = desc->spatial[d] ? desc->spatial[d] : 1;
    if (desc->spatial[d] || is_global(desc)) return MSKP_OK;
    if (!mskpi_window_fits(v->spatial[d], desc->pad_before[d], desc->pad_after[d], size, 1, stride,
                           desc->ceil_mode != 0, length))
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "window %zu does not fit on spatial axis %u of length %zu with pads "
                            "%zu and %zu",
                            size, d, v->spatial[d], desc->pad_before[d], desc->pad_after[d]);
    return MSKP_OK;
}

mskp_value mskp_pool(mskp_graph *graph, const char *name, mskp_value in, const mskp_pool_desc *desc)
{
    const char *label = mskpi_label(name, "pool");
    size_t spatial[MSKP_MAX_SPATIAL] = {0};
    graph_value v;
    graph_step *step;
    mskp_value out;
    if (mskpi_get_value(graph, label, in, &v) || mskpi_check_desc(graph, label, desc) ||
        check_pool(graph, label, desc, &v))
        return NO_VALUE;
    for (uint32_t d = 0; d < v.nspatial; d++)
        if (pool_length(graph, label, desc, &v, d, &spatial[d])) return NO_VALUE;
    if (mskpi_new_value(graph, name, POOL_OP[desc->kind], v.view, v.nspatial, spatial, &out))
        return NO_VALUE;
    mskpi_zero_same(graph, out.id, in.id);
    if (mskpi_add_step(graph, out, STEP_POOL, 1, &in, &step)) return NO_VALUE;
    step->option = keeps_constants(desc, &v) ? 1 : 0;
    return out;
}
