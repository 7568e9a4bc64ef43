/*
 * Norms. The result shares the list of the input, and the vectors of the norm are bound to it.
 *
 * A norm whose statistics run over one channel (batch, instance, affine) treats channels
 * separately, and nothing is coupled. Where statistics run over several channels (group, layer,
 * RMS), the removal of a channel changes them even if the channel is zero. There are three ways.
 * The channels are pinned, which is the default. Or, for a group norm, the channels of each group
 * are tied, so a group is removed together with its statistics. Or the caller accepts that
 * removal is inexact; position p of all groups is then tied, so the groups stay equally wide.
 *
 * A new kind goes into mskp_norm_kind (mskp.h), NORM_OP, check_norm and norm_zero here, and
 * `normed` in constants/walk.c. The kinds from MSKP_NORM_GROUP on are those with statistics over
 * several channels. norm_zeros and norm_couple here, and constants/carriers.c and
 * constants/consumers.c, test this by the order of the enum: a kind that is added at its end counts
 * as one of them.
 */
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

#define DEFAULT_EPSILON 1e-5

static const char *const NORM_OP[] = {"norm",       "instance_norm", "affine",
                                      "group_norm", "layer_norm",    "rms_norm"};
enum { NORM_KINDS = sizeof NORM_OP / sizeof *NORM_OP, NORM_PARTS = 4 };

/* A vector of a norm. */
typedef struct norm_part {
    const char *what;
    mskp_param param;
    uint32_t role;
} norm_part;

/* ---- Refusals ---- */

static mskp_status check_norm(mskp_graph *graph, const char *label, const mskp_norm_desc *desc,
                              size_t channels)
{
    char number[NUMBER_SIZE];
    if ((size_t)desc->kind >= NORM_KINDS || (unsigned)desc->grouping > MSKP_GROUPING_WHOLE)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "norm kind %u (there are %zu), grouping %u", (unsigned)desc->kind,
                            (size_t)NORM_KINDS, (unsigned)desc->grouping);
    if (desc->groups > 1 && desc->kind != MSKP_NORM_GROUP)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "groups is %zu, but only a group norm has groups", desc->groups);
    if (desc->groups > 1 && channels % desc->groups)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_SHAPE,
                            "%zu channels do not make %zu groups", channels, desc->groups);
    if (!(desc->epsilon >= 0) || !(desc->epsilon <= 1) || desc->epsilon_outside_root > 1)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "epsilon %s (0 to 1 is possible), epsilon_outside_root %u",
                            mskpi_number(desc->epsilon, number), desc->epsilon_outside_root);
    if (desc->kind != MSKP_NORM_BATCH && desc->kind != MSKP_NORM_INSTANCE &&
        (desc->mean.id || desc->variance.id))
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                            "%s is given, but %s keeps no statistics",
                            desc->mean.id ? "mean" : "variance", NORM_OP[desc->kind]);
    return MSKP_OK;
}

static mskp_status check_parts(mskp_graph *graph, const char *label,
                               const norm_part part[NORM_PARTS], size_t channels)
{
    for (size_t i = 0; i < NORM_PARTS; i++) {
        if (mskpi_check_vector(graph, label, part[i].what, part[i].param, channels))
            return mskpi_first_error(graph);
        for (size_t k = 0; k < i; k++)
            if (part[i].param.id && part[k].param.id == part[i].param.id)
                return mskpi_refuse(graph, label, MSKP_ERROR_BAD_ARGUMENT,
                                    "%s and %s are one parameter", part[k].what, part[i].what);
    }
    return MSKP_OK;
}

/* ---- Zero tables, ties ---- */

/* When a channel is zero after the norm. `read` says when all channels are zero that its statistics
 * run over. */
static zero_table norm_zero(const mskp_norm_desc *desc, zero_table read)
{
    const zero_table shift = desc->shift.id ? ZERO_SHIFT : ZERO_ALWAYS;
    const zero_table scale = desc->scale.id ? ZERO_SCALE : ZERO_NEVER;
    /* The norm computes (x - mean) / deviation. For x = 0 this is 0 if the mean is that of x, but
     * not if it is a running mean, which does not depend on the input. */
    if (desc->kind == MSKP_NORM_BATCH || desc->mean.id || desc->variance.id) return scale & shift;
    return (zero_table)((scale | read) & shift);
}

static mskp_status norm_zeros(mskp_graph *graph, const mskp_norm_desc *desc, mskp_value in,
                              mskp_value out)
{
    const size_t n = mskpi_view_of(graph, in).n;
    const size_t groups = desc->groups ? desc->groups : 1;
    const size_t part = desc->kind < MSKP_NORM_GROUP ? 1 : n / groups; /* that one statistic sees */
    zero_table *zero;
    MSKPI_ASSERT(part * groups == n || desc->kind < MSKP_NORM_GROUP);
    if (mskpi_zero_each(graph, out.id, &zero)) return mskpi_first_error(graph);
    for (size_t first = 0; first < n; first += part) {
        zero_table read = ZERO_ALWAYS;
        for (size_t i = 0; i < part; i++) read &= mskpi_zero(graph, in.id, first + i);
        for (size_t i = 0; i < part; i++) zero[first + i] = norm_zero(desc, read);
    }
    mskpi_zero_filled(graph, out.id);
    return MSKP_OK;
}

/* Couples the channels that share statistics. */
static mskp_status norm_couple(mskp_graph *graph, const mskp_norm_desc *desc, mskp_value in,
                               mskp_value out)
{
    const list_view view = mskpi_view_of(graph, in);
    const size_t groups = desc->groups ? desc->groups : 1, part = view.n / groups;
    const bool grouped = desc->kind == MSKP_NORM_GROUP && groups > 1;
    if (desc->kind < MSKP_NORM_GROUP) return MSKP_OK;
    if (grouped && desc->grouping == MSKP_GROUPING_WHOLE) {
        for (size_t g = 0; g < groups; g++)
            if (mskpi_tie_all(graph, (list_view){view.first + g * part, part}, out.id))
                return mskpi_first_error(graph);
        return MSKP_OK;
    }
    if (!desc->accept_inexact) return mskpi_pin(graph, "norm", in, out.id);
    if (grouped && mskpi_tie_parts(graph, view, groups, out.id)) return mskpi_first_error(graph);
    mskpi_mark_inexact(graph, in.id, out.id);
    return MSKP_OK;
}

static mskp_status norm_bind(mskp_graph *graph, const norm_part part[NORM_PARTS], mskp_value out)
{
    for (size_t i = 0; i < NORM_PARTS; i++)
        if (part[i].param.id &&
            mskpi_bind(graph, part[i].param, 0, part[i].role, mskpi_view_of(graph, out), out.id))
            return mskpi_first_error(graph);
    return MSKP_OK;
}

/* ---- The operator ---- */

mskp_value mskp_norm(mskp_graph *graph, const char *name, mskp_value in, const mskp_norm_desc *desc)
{
    const char *label = mskpi_label(name, "norm");
    graph_value v;
    graph_step *step;
    mskp_value out;
    if (mskpi_get_value(graph, label, in, &v) || mskpi_check_desc(graph, label, desc) ||
        check_norm(graph, label, desc, v.view.n))
        return NO_VALUE;
    const norm_part part[NORM_PARTS] = {{"scale", desc->scale, MSKP_ROLE_SCALE},
                                        {"shift", desc->shift, MSKP_ROLE_SHIFT},
                                        {"mean", desc->mean, MSKP_ROLE_MEAN},
                                        {"variance", desc->variance, MSKP_ROLE_VARIANCE}};
    if (check_parts(graph, label, part, v.view.n) ||
        mskpi_new_value(graph, name, NORM_OP[desc->kind], v.view, v.nspatial, v.spatial, &out) ||
        norm_zeros(graph, desc, in, out) || norm_bind(graph, part, out) ||
        norm_couple(graph, desc, in, out) || mskpi_add_step(graph, out, STEP_NORM, 1, &in, &step))
        return NO_VALUE;
    for (size_t i = 0; i < NORM_PARTS; i++) step->params[i] = part[i].param.id;
    step->option = (uint32_t)desc->kind;
    step->groups = desc->groups ? desc->groups : 1;
    step->whole = desc->kind == MSKP_NORM_GROUP && desc->grouping == MSKP_GROUPING_WHOLE;
    step->outside_root = desc->epsilon_outside_root != 0;
    step->as.epsilon = desc->epsilon > 0 ? desc->epsilon : DEFAULT_EPSILON;
    return out;
}
