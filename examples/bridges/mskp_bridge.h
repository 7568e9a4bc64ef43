/*
 * mskp_bridge.h - what the bridges share: selection within a budget, and surgery that keeps
 * constants
 *
 * Copy this file together with a bridge. It is written in the language that C and C++ have in
 * common.
 *
 *     mskp_bridge_select     scores units and selects them; the carriers of constants are counted
 *     mskp_surgery_plan      works out the constants and the plan, and writes nothing
 *     mskp_surgery_of        takes those that a pruner worked out
 *     mskp_surgery_cut       moves the constants, cuts all sets, and clears stale optimizer state
 *     mskp_surgery_free
 */
#ifndef MSKP_BRIDGE_H
#define MSKP_BRIDGE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/pruner.h"
#include "mskp/tools.h"

static inline mskp_status mskp_bridge_no_memory(size_t units, mskp_error *err)
{
    if (!err) return MSKP_ERROR_NO_MEMORY;
    err->status = MSKP_ERROR_NO_MEMORY;
    snprintf(err->text, sizeof err->text, "no memory for the marks of %zu units", units);
    return MSKP_ERROR_NO_MEMORY;
}

/* The way that the bridges begin with: gamma of removed units counts as 0, because the penalty
 * drives it there, and constants are folded, merged or dropped as MSKP_CONSTANTS_AUTO says. */
static inline mskp_constants_desc mskp_bridge_constants(void)
{
    mskp_constants_desc desc = MSKP_INIT;
    desc.zeroed = MSKP_ROLE_SCALE;
    return desc;
}

/* A mask of a graph's units, to be freed with free(mask.unit); unit is NULL without memory. */
static inline mskp_mask mskp_bridge_mask(const mskp_graph *graph)
{
    mskp_mask mask = MSKP_INIT;
    mask.n = mskp_graph_counts(graph).units;
    mask.unit = (uint8_t *)malloc(mask.n + 1);
    if (mask.unit) memset(mask.unit, 1, mask.n);
    return mask;
}

/*
 * keep.unit[u] <- 1 or 0: scores the units and selects them within the rule, such that the units
 * that surgery would keep as carriers today are within the rule, too. The penalty is about the
 * units with 0. selection, which may be NULL, receives the number of removed units and the cost of
 * the network with its carriers. Training changes the constants, so surgery may need other
 * carriers.
 */
static inline mskp_status mskp_bridge_select(const mskp_graph *graph, const mskp_scoring *scoring,
                                             const mskp_rule *rule, const mskp_constants_desc *desc,
                                             mskp_tensors values, mskp_mask keep,
                                             mskp_selection *selection, mskp_error *err)
{
    const mskp_mask none = MSKP_INIT;
    mskp_mask kept = mskp_bridge_mask(graph);
    mskp_scores scores = MSKP_INIT;
    mskp_selection result = MSKP_INIT;
    mskp_constants *constants = NULL;
    mskp_status status = MSKP_OK;
    scores.n = kept.n;
    scores.unit = (double *)malloc((kept.n + 1) * sizeof *scores.unit);
    if (!kept.unit || !scores.unit) status = mskp_bridge_no_memory(kept.n, err);
    if (!status) status = mskp_score(graph, scoring, values, scores, err);
    if (!status) status = mskp_constants_select(graph, scores, rule, desc, values, &constants, err);
    if (!status) status = mskp_constants_masks(constants, none, none, kept, err);
    if (!status) status = mskp_measure(graph, kept, &result.cost, NULL, err);
    if (!status) status = mskp_constants_masks(constants, keep, none, none, err);
    for (size_t u = 0; !status && u < kept.n; u++) result.removed += !kept.unit[u];
    if (!status && selection) *selection = result;
    mskp_constants_destroy(constants);
    free(scores.unit);
    free(kept.unit);
    return status;
}

/* A surgery that is planned. report: what becomes of the constants, summed over all consumers. A
 * caller that takes over `small` sets it to NULL. own, own_plan: what is freed with it. */
typedef struct mskp_surgery {
    const mskp_constants *constants;
    mskp_plan *plan;
    mskp_graph *small;
    mskp_constants_report report;
    mskp_constants *own;
    mskp_plan *own_plan;
} mskp_surgery;

static inline void mskp_surgery_free(mskp_surgery *s)
{
    mskp_constants_destroy(s->own);
    mskp_plan_destroy(s->own_plan);
    mskp_graph_destroy(s->small);
    memset(s, 0, sizeof *s);
}

/*
 * Which branches the trainer's network can go without (mskp_fate), as its bridge knows it.
 *   end      one number per value of the graph: the id of the value that ends the branch in which
 *            this value lies, so that both go together, if at all; 0: the value has to stay. NULL:
 *            all values have to stay
 *   because  ends the sentence that refuses other branches
 */
typedef struct mskp_branches {
    const uint32_t *end;
    const char *because;
} mskp_branches;

static inline int mskp_bridge_gone(const mskp_plan *plan, uint32_t id)
{
    mskp_value value = MSKP_INIT;
    value.id = id;
    return mskp_plan_fate(plan, value) != MSKP_FATE_STAYS;
}

/* Refuses a plan by which something vanishes that has to stay. */
static inline mskp_status mskp_bridge_check(const mskp_graph *graph, const mskp_plan *plan,
                                            const mskp_branches *branches, mskp_error *err)
{
    const size_t n = mskp_graph_counts(graph).values;
    mskp_value v = MSKP_INIT;
    for (v.id = 1; v.id <= n; v.id++) {
        const uint32_t end = branches->end ? branches->end[v.id - 1] : 0;
        size_t channels; /* 0: the value has vanished before */
        mskp_value_units(graph, v, &channels);
        if (!channels || mskp_bridge_gone(plan, v.id) == (end && mskp_bridge_gone(plan, end)))
            continue;
        if (!err) return MSKP_ERROR_UNSUPPORTED;
        err->status = MSKP_ERROR_UNSUPPORTED;
        snprintf(err->text, sizeof err->text, "%.80s: the mask removes all of a branch, but %.120s",
                 mskp_value_name(graph, v), branches->because);
        return MSKP_ERROR_UNSUPPORTED;
    }
    return MSKP_OK;
}

/* *s <- the surgery that keeps `keep` and the carriers; on failure there is nothing to free.
 * values: all parameters and running statistics. MSKP_ERROR_UNSUPPORTED: a branch would vanish that
 * has to stay. */
static inline mskp_status mskp_surgery_plan(mskp_surgery *s, const mskp_graph *graph,
                                            mskp_mask keep, const mskp_constants_desc *desc,
                                            mskp_tensors values, const mskp_branches *branches,
                                            mskp_error *err)
{
    memset(s, 0, sizeof *s);
    mskp_status status = mskp_constants_create(graph, keep, desc, values, &s->own, err);
    if (!status) status = mskp_constants_total(s->own, &s->report, err);
    if (!status) status = mskp_constants_plan(s->own, &s->own_plan, &s->small, err);
    if (!status) status = mskp_bridge_check(graph, s->own_plan, branches, err);
    s->constants = s->own;
    s->plan = s->own_plan;
    if (status) mskp_surgery_free(s);
    return status;
}

/* The same with the plan and the constants of mskp_pruner_prepare, which stay the pruner's. Once
 * the network is cut, call mskp_pruner_cut_done. The pruner needs the graph that it was made for
 * as long as it lives, so a bridge keeps it. */
static inline mskp_status mskp_surgery_of(mskp_surgery *s, const mskp_graph *graph, mskp_plan *plan,
                                          const mskp_constants *constants,
                                          const mskp_branches *branches, mskp_error *err)
{
    const mskp_mask none = MSKP_INIT;
    mskp_mask kept = mskp_bridge_mask(graph);
    mskp_status status = kept.unit ? MSKP_OK : mskp_bridge_no_memory(kept.n, err);
    memset(s, 0, sizeof *s);
    s->constants = constants;
    s->plan = plan;
    if (!status) status = mskp_constants_total(constants, &s->report, err);
    if (!status) status = mskp_constants_masks(constants, none, none, kept, err);
    if (!status) status = mskp_bridge_check(graph, plan, branches, err);
    if (!status) status = mskp_plan_create(graph, kept, &s->own_plan, &s->small, err);
    free(kept.unit);
    if (status) mskp_surgery_free(s);
    return status;
}

/* Clears all of a one-dimensional tensor with n elements, which may have a stride. */
static inline void mskp_bridge_clear(const mskp_tensor *t, size_t n)
{
    const ptrdiff_t step = t->ndim && t->stride[0] ? t->stride[0] : 1;
    size_t size = 4;
    if (t->dtype == MSKP_DTYPE_F64) size = 8;
    if (t->dtype == MSKP_DTYPE_F16 || t->dtype == MSKP_DTYPE_BF16) size = 2;
    for (size_t i = 0; i < n; i++)
        memset((char *)t->data + (ptrdiff_t)i * step * (ptrdiff_t)size, 0, size);
}

/* state <- 0 where it belongs to numbers that the constants have replaced: in all slices of
 * carriers, and in biases that constants were folded into. state: a set of the small network, of
 * gradients or of an optimizer. Tensors without data are passed over. */
static inline mskp_status mskp_surgery_clear(const mskp_surgery *s, mskp_mask carriers,
                                             mskp_mask kept, mskp_tensors state, mskp_error *err)
{
    mskp_mask others = {0, kept.unit}; /* of the small network: all but the carriers */
    mskp_penalty all = MSKP_INIT;
    all.roles = MSKP_ROLES_UNIT;
    all.skip_missing = 1;
    for (size_t u = 0; u < kept.n; u++)
        if (kept.unit[u]) others.unit[others.n++] = !carriers.unit[u];
    for (size_t i = 0; i < mskp_constants_consumers(s->constants); i++) {
        mskp_constants_report report;
        size_t shape[MSKP_MAX_DIMS];
        const mskp_status status = mskp_constants_consumer(s->constants, i, &report, err);
        if (status) return status;
        if (!report.into.id || !report.folded || !mskp_tensor_of(state, report.into)->data)
            continue;
        if (mskp_param_shape(s->small, report.into, shape) == 1)
            mskp_bridge_clear(mskp_tensor_of(state, report.into), shape[0]);
    }
    return s->report.carriers ? mskp_penalty_zero(s->small, others, &all, state, err) : MSKP_OK;
}

/*
 * Moves the constants within moves[0].from, the values from which the surgery was planned or a copy
 * of them, cuts all n sets, and clears what is stale in moves[1 ...].to. Every `to` must be memory
 * of its own. On failure moves[0].from may have changed: pass a copy if the network must stay as it
 * is.
 */
static inline mskp_status mskp_surgery_cut(mskp_surgery *s, const mskp_graph *graph, size_t n,
                                           const mskp_move *moves, mskp_error *err)
{
    const mskp_mask none = MSKP_INIT;
    mskp_mask carriers = mskp_bridge_mask(graph), kept = mskp_bridge_mask(graph);
    mskp_status status = MSKP_OK;
    if (!carriers.unit || !kept.unit) status = mskp_bridge_no_memory(kept.n, err);
    if (!status) status = mskp_constants_apply(s->constants, s->plan, moves[0].from, err);
    if (!status) status = mskp_plan_cut(s->plan, n, moves, err);
    for (size_t i = 1; !status && i < n; i++) {
        status = mskp_constants_masks(s->constants, none, carriers, kept, err);
        if (!status) status = mskp_surgery_clear(s, carriers, kept, moves[i].to, err);
    }
    free(carriers.unit);
    free(kept.unit);
    return status;
}

#ifdef __cplusplus

#include <initializer_list>
#include <memory>
#include <stdexcept>
#include <vector>

namespace mskp
{

/* What goes wrong, as a sentence. */
struct error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void check(mskp_status status, const mskp_error &err)
{
    if (status) throw error(err.text);
}

struct release {
    void operator()(mskp_graph *graph) const
    {
        mskp_graph_destroy(graph);
    }
};
using graph_handle = std::unique_ptr<mskp_graph, release>;

/* A view per parameter. */
struct set : std::vector<mskp_tensor> {
    using std::vector<mskp_tensor>::vector;

    operator mskp_tensors() const /* the library takes sets that it reads and sets that it writes */
    {
        return {size(), const_cast<mskp_tensor *>(data())};
    }
    mskp_tensor &of(mskp_param param)
    {
        return (*this)[param.id - 1];
    }
    const mskp_tensor &of(mskp_param param) const
    {
        return (*this)[param.id - 1];
    }
};

inline mskp_mask mask_of(const std::vector<uint8_t> &units)
{
    return {units.size(), const_cast<uint8_t *>(units.data())};
}

/* mskp_surgery, with errors that are thrown. */
class surgery
{
  public:
    surgery(const mskp_graph *full, const std::vector<uint8_t> &keep,
            const mskp_constants_desc &desc, const set &values, const mskp_branches &branches)
        : graph(full)
    {
        mskp_error err;
        check(mskp_surgery_plan(&s, graph, mask_of(keep), &desc, values, &branches, &err), err);
    }
    surgery(const mskp_graph *full, mskp_plan *plan, const mskp_constants *constants,
            const mskp_branches &branches)
        : graph(full)
    {
        mskp_error err;
        check(mskp_surgery_of(&s, graph, plan, constants, &branches, &err), err);
    }
    surgery(const surgery &) = delete;
    surgery &operator=(const surgery &) = delete;
    ~surgery()
    {
        if (taken) s.small = nullptr;
        mskp_surgery_free(&s);
    }

    void cut(const std::vector<mskp_move> &moves)
    {
        mskp_error err;
        check(mskp_surgery_cut(&s, graph, moves.size(), moves.data(), &err), err);
    }
    const mskp_plan *plan() const
    {
        return s.plan;
    }
    const mskp_graph *small() const
    {
        return s.small;
    }
    /* The network after surgery becomes the caller's, who keeps it until cut() is done. */
    graph_handle take_small()
    {
        taken = true;
        return graph_handle(s.small);
    }
    const mskp_constants_report &report() const
    {
        return s.report;
    }

  private:
    const mskp_graph *graph;
    mskp_surgery s;
    bool taken = false;
};

} // namespace mskp
#endif

#endif /* MSKP_BRIDGE_H */
