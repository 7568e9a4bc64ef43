/*
 * Norms. The list of channels goes through, and the vectors of the norm are bound to it.
 *
 * Norms whose statistics run over one channel leave the other channels alone. Where statistics run
 * over several channels, a channel that leaves changes them even if it is zero. So the channels are
 * pinned, or whole groups leave together with their statistics, or the caller accepts that what is
 * left is not exact.
 */
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

#define DEFAULT_EPSILON 1e-5

static const mskp_value NO_VALUE = {0};

/* Zero after a norm, by what comes in; `read`: of all that its statistics see. */
static zero_table norm_zero(const mskp_norm_desc *desc, zero_table read)
{
    const zero_table shift = desc->shift.id ? ZERO_SHIFT : ZERO_ALWAYS;
    const zero_table scale = desc->scale.id ? ZERO_SCALE : ZERO_NEVER;
    /* (0 - mean) / deviation: a running mean is not of this input, its own is 0 with it */
    if (desc->kind == MSKP_NORM_BATCH || desc->mean.id || desc->variance.id) return scale & shift;
    return (zero_table)((scale | read) & shift);
}

static int norm_zeros(mskp_graph *graph, const mskp_norm_desc *desc, mskp_value in, mskp_value out)
{
    const size_t n = mskpi_view_of(graph, in).n;
    const size_t part = desc->kind == MSKP_NORM_GROUP ? n / (desc->groups ? desc->groups : 1)
                        : desc->kind == MSKP_NORM_LAYER || desc->kind == MSKP_NORM_RMS ? n
                                                                                       : 1;
    zero_table *zero = mskpi_zero_each(graph, out.id);
    if (!zero) return 1;
    for (size_t first = 0; first < n; first += part) {
        zero_table read = ZERO_ALWAYS;
        for (size_t i = 0; i < part; i++) read &= mskpi_zero(graph, in.id, first + i);
        for (size_t i = 0; i < part; i++) zero[first + i] = norm_zero(desc, read);
    }
    mskpi_zero_filled(graph, out.id);
    return 0;
}

/* Norms whose statistics run over channels: what may leave, and what it leaves behind. */
static mskp_status norm_couple(mskp_graph *graph, const mskp_norm_desc *desc, mskp_value in,
                               mskp_value out)
{
    const list_view view = mskpi_view_of(graph, in);
    const size_t groups = desc->groups ? desc->groups : 1, part = view.n / groups;
    const int grouped = desc->kind == MSKP_NORM_GROUP && groups > 1;
    mskp_status status = MSKP_OK;
    if (desc->kind < MSKP_NORM_GROUP) return MSKP_OK;
    if (grouped && desc->grouping == MSKP_GROUPING_WHOLE) { /* statistics and all leave together */
        for (size_t g = 0; !status && g < groups; g++)
            status = mskpi_tie_all(graph, (list_view){view.first + g * part, part}, out.id);
        return status;
    }
    if (!desc->accept_inexact) return mskpi_pin(graph, "norm", in, out.id);
    if (grouped) status = mskpi_tie_parts(graph, view, groups, out.id);
    mskpi_inexact(graph, in.id, out.id);
    return status;
}

mskp_value mskp_norm(mskp_graph *graph, const char *name, mskp_value in, const mskp_norm_desc *desc)
{
    static const char *const op[] = {"norm",       "instance_norm", "affine",
                                     "group_norm", "layer_norm",    "rms_norm"};
    const char *who = mskpi_who(name, "norm");
    char room[NAME_SIZE];
    graph_value v;
    if (mskpi_enter(graph, who, in, &v) || mskpi_described(graph, who, desc)) return NO_VALUE;
    const char *shown = mskpi_short(who, room);
    if ((size_t)desc->kind >= sizeof op / sizeof *op ||
        (unsigned)desc->grouping > MSKP_GROUPING_WHOLE) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: norm kind %u (there are %zu), grouping %u", shown,
                         (unsigned)desc->kind, sizeof op / sizeof *op, (unsigned)desc->grouping);
        return NO_VALUE;
    }
    if (desc->groups > 1 && desc->kind != MSKP_NORM_GROUP) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE,
                         "%s: groups is %zu, but only a group norm has groups", shown,
                         desc->groups);
        return NO_VALUE;
    }
    if (desc->groups > 1 && v.view.n % desc->groups) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_SHAPE, "%s: %zu channels do not make %zu groups",
                         shown, v.view.n, desc->groups);
        return NO_VALUE;
    }
    if (!(desc->epsilon >= 0 && desc->epsilon <= 1) || desc->epsilon_outside_root > 1) {
        char number[32];
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: epsilon %s (0 to 1 is possible), epsilon_outside_root %u", shown,
                         mskpi_number(desc->epsilon, number), desc->epsilon_outside_root);
        return NO_VALUE;
    }
    if (desc->kind != MSKP_NORM_BATCH && desc->kind != MSKP_NORM_INSTANCE &&
        (desc->mean.id || desc->variance.id)) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT,
                         "%s: %s is given, but %s keeps no statistics", shown,
                         desc->mean.id ? "mean" : "variance", op[desc->kind]);
        return NO_VALUE;
    }
    const struct {
        const char *what;
        mskp_param param;
        uint32_t role;
    } part[] = {{"scale", desc->scale, MSKP_ROLE_SCALE},
                {"shift", desc->shift, MSKP_ROLE_SHIFT},
                {"mean", desc->mean, MSKP_ROLE_MEAN},
                {"variance", desc->variance, MSKP_ROLE_VARIANCE}};
    for (size_t i = 0; i < 4; i++) {
        if (mskpi_check_vector(graph, who, part[i].what, part[i].param, v.view.n)) return NO_VALUE;
        for (size_t k = 0; k < i; k++) {
            if (!part[i].param.id || part[k].param.id != part[i].param.id) continue;
            mskpi_graph_fail(graph, MSKP_ERROR_BAD_ARGUMENT, "%s: %s and %s are one parameter",
                             shown, part[k].what, part[i].what);
            return NO_VALUE;
        }
    }
    const mskp_value out =
        mskpi_new_value(graph, name, op[desc->kind], v.view, v.nspatial, v.spatial);
    if (!out.id || norm_zeros(graph, desc, in, out)) return NO_VALUE;
    for (size_t i = 0; i < 4; i++)
        if (part[i].param.id &&
            mskpi_bind(graph, part[i].param, 0, part[i].role, v.view, out.id, out.id))
            return NO_VALUE;
    if (norm_couple(graph, desc, in, out)) return NO_VALUE;
    graph_step *step = mskpi_step(graph, out, STEP_NORM, 1, &in);
    if (!step) return NO_VALUE;
    for (size_t i = 0; i < 4; i++) step->params[i] = part[i].param.id;
    step->option = (uint32_t)desc->kind;
    step->groups = desc->groups ? desc->groups : 1;
    step->whole = desc->kind == MSKP_NORM_GROUP && desc->grouping == MSKP_GROUPING_WHOLE;
    step->outside_root = desc->epsilon_outside_root != 0;
    step->as.epsilon = desc->epsilon > 0 ? desc->epsilon : DEFAULT_EPSILON;
    return out;
}
