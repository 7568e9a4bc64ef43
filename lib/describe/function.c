/*
 * Operators on each channel by itself, without weights that mix: functions (activations), PReLU,
 * and pooling. The list of channels goes through, and so do the zero tables where zero stays zero.
 * An activation of an unknown function makes no such promise, and neither does a sigmoid, whose
 * value at 0 is a half.
 */
#include <math.h>
#include <string.h>

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

static const mskp_value NO_VALUE = {0};

mskp_value mskp_prelu(mskp_graph *graph, const char *name, mskp_value in, mskp_param slope)
{
    const char *who = mskpi_who(name, "prelu");
    graph_value v;
    if (mskpi_enter(graph, who, in, &v) || !mskpi_param(graph, who, "slope", slope))
        return NO_VALUE;
    const int single = graph->params[slope.id].ndim == 1 && mskpi_length(graph, slope, 0) == 1;
    if (!single && mskpi_check_vector(graph, who, "slope", slope, v.view.n)) return NO_VALUE;
    const mskp_value out = mskpi_new_value(graph, name, "prelu", v.view, v.nspatial, v.spatial);
    if (!out.id) return NO_VALUE;
    mskpi_zero_same(graph, out.id, in.id);
    graph_step *step = mskpi_step(graph, out, STEP_PRELU, 1, &in);
    if (!step) return NO_VALUE;
    step->params[0] = slope.id;
    if (single && v.view.n > 1) {
        (void)mskpi_attach(graph, slope, out); /* both are known: cannot fail */
        return out;
    }
    return mskpi_bind(graph, slope, 0, MSKP_ROLE_OTHER, v.view, out.id, out.id) ? NO_VALUE : out;
}

/* Parameters are finite, and given where something reads them. */
static int check_function(mskp_graph *graph, const char *who, const mskp_activation_desc *desc)
{
    const int own = desc->kind == MSKP_ACTIVATION_CUSTOM && desc->function != NULL;
    const int one = desc->kind == MSKP_ACTIVATION_LEAKY_RELU || desc->kind == MSKP_ACTIVATION_ELU ||
                    desc->kind == MSKP_ACTIVATION_MULTIPLY;
    char room[NAME_SIZE], number[32];
    if (desc->function && !own) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: function is for kind %d, kind is %u",
                         mskpi_short(who, room), MSKP_ACTIVATION_CUSTOM, (unsigned)desc->kind);
        return 1;
    }
    for (size_t i = 0; i < MSKP_MAX_FUNCTION_PARAMETERS; i++) {
        const double x = desc->parameters[i];
        if (isfinite(x) && (own || x == 0 || (one && i == 0))) continue;
        mskpi_graph_fail(graph, isfinite(x) ? MSKP_ERROR_BAD_ARGUMENT : MSKP_ERROR_BAD_NUMBER,
                         "%s: parameters[%zu] is %s, %s", mskpi_short(who, room), i,
                         mskpi_number(x, number),
                         isfinite(x) ? "which kind does not read" : "not a finite number");
        return 1;
    }
    return 0;
}

mskp_value mskp_activation(mskp_graph *graph, const char *name, mskp_value in,
                           const mskp_activation_desc *desc)
{
    static const char *const op[] = {
        "identity", "relu", "relu6",        "leaky_relu", "elu",      "sigmoid", "tanh",
        "silu",     "gelu", "hard_sigmoid", "hard_swish", "function", "gelu",    "times"};
    char room[NAME_SIZE];
    graph_value v;
    const char *who = mskpi_who(name, "activation");
    const size_t kind = desc ? (size_t)desc->kind : 0;
    if (mskpi_enter(graph, who, in, &v) || (desc && check_function(graph, who, desc)))
        return NO_VALUE;
    if (kind >= sizeof op / sizeof *op) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: activation kind %zu, there are %zu",
                         mskpi_short(who, room), kind, sizeof op / sizeof *op);
        return NO_VALUE;
    }
    const mskp_value out = mskpi_new_value(graph, name, op[kind], v.view, v.nspatial, v.spatial);
    if (!out.id) return NO_VALUE;
    /* sigmoid(0) is a half, and of an unknown function nothing is known */
    if (kind != MSKP_ACTIVATION_SIGMOID && kind != MSKP_ACTIVATION_HARD_SIGMOID &&
        kind != MSKP_ACTIVATION_CUSTOM)
        mskpi_zero_same(graph, out.id, in.id);
    graph_step *step = mskpi_step(graph, out, STEP_FUNCTION, 1, &in);
    if (!step) return NO_VALUE;
    step->option = (uint32_t)kind;
    if (desc) {
        step->as.function.call = desc->function;
        memcpy(step->as.function.parameters, desc->parameters, sizeof desc->parameters);
    }
    if (kind == MSKP_ACTIVATION_LEAKY_RELU && desc->parameters[0] == 0)
        step->as.function.parameters[0] = 0.01;
    if (kind == MSKP_ACTIVATION_ELU && desc->parameters[0] == 0)
        step->as.function.parameters[0] = 1;
    return out;
}

/* Does a channel that is the same everywhere stay so? */
static uint32_t pool_keeps(const mskp_pool_desc *desc, const graph_value *v)
{
    int odd = desc->ceil_mode != 0;
    if (desc->keeps_constants || desc->kind == MSKP_POOL_MAX ||
        desc->kind == MSKP_POOL_GLOBAL_MAX || desc->kind == MSKP_POOL_GLOBAL_AVERAGE)
        return 1;
    for (uint32_t d = 0; d < v->nspatial; d++)
        odd |= desc->pad_before[d] || desc->pad_after[d] || desc->spatial[d];
    return !odd;
}

mskp_value mskp_pool(mskp_graph *graph, const char *name, mskp_value in, const mskp_pool_desc *desc)
{
    static const char *const op[] = {"max_pool", "average_pool", "global_max", "global_average",
                                     "resize"};
    const char *who = mskpi_who(name, "pool");
    char room[NAME_SIZE];
    graph_value v;
    size_t spatial[MSKP_MAX_SPATIAL] = {0};
    if (mskpi_enter(graph, who, in, &v) || mskpi_described(graph, who, desc)) return NO_VALUE;
    const char *shown = mskpi_short(who, room);
    if ((size_t)desc->kind >= sizeof op / sizeof *op || desc->keeps_constants > 1) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: pool kind %u, there are %zu; keeps_constants %u", shown,
                         (unsigned)desc->kind, sizeof op / sizeof *op, desc->keeps_constants);
        return NO_VALUE;
    }
    const size_t *const said[] = {desc->size, desc->stride, desc->pad_before, desc->pad_after,
                                  desc->spatial};
    if (mskpi_beyond_axes(graph, who, v.nspatial, sizeof said / sizeof *said, said))
        return NO_VALUE;
    const int resize = desc->kind == MSKP_POOL_RESIZE;
    const int global = desc->kind == MSKP_POOL_GLOBAL_MAX || desc->kind == MSKP_POOL_GLOBAL_AVERAGE;
    int windowed = desc->ceil_mode != 0;
    for (uint32_t d = 0; d < v.nspatial; d++)
        windowed |= desc->size[d] || desc->stride[d] || desc->pad_before[d] || desc->pad_after[d];
    if ((global || resize) && windowed) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: %s has no size, stride, pad or ceil_mode", shown,
                         global ? "global pooling" : "resizing");
        return NO_VALUE;
    }
    for (uint32_t d = 0; d < v.nspatial; d++) {
        const size_t size = desc->size[d] ? desc->size[d] : 1;
        if (resize && !desc->spatial[d]) {
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                             "%s: resizing needs a length on each axis; spatial[%u] is 0", shown,
                             d);
            return NO_VALUE;
        }
        if (desc->spatial[d]) {
            spatial[d] = desc->spatial[d];
        } else if (global) {
            spatial[d] = 1;
        } else if (mskpi_window(v.spatial[d], desc->pad_before[d], desc->pad_after[d], size, 1,
                                desc->stride[d] ? desc->stride[d] : size, desc->ceil_mode != 0,
                                &spatial[d])) {
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                             "%s: window %zu does not fit on spatial axis %u of length %zu with "
                             "pads %zu and %zu",
                             shown, size, d, v.spatial[d], desc->pad_before[d], desc->pad_after[d]);
            return NO_VALUE;
        }
    }
    const mskp_value out =
        mskpi_new_value(graph, name, op[desc->kind], v.view, v.nspatial, spatial);
    if (!out.id) return NO_VALUE;
    mskpi_zero_same(graph, out.id, in.id);
    graph_step *step = mskpi_step(graph, out, STEP_POOL, 1, &in);
    if (!step) return NO_VALUE;
    step->option = pool_keeps(desc, &v);
    return out;
}
