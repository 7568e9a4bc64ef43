/*
 * Which units stay in any case:
 *   - those of tensors that --keep names;
 *   - with --constants, channels of two tensors that are multiplied and summed over, because no
 *     bias and no carrier can replace the product of two constants;
 *   - those of all that a node reads and makes which could not be corrected in an earlier attempt.
 */
#include <fnmatch.h>

#include "job.h"

/* Does a pattern of --keep match the name? seen[i] becomes true for each pattern that does. */
static bool matches(const job *j, const char *name, bool *seen)
{
    bool any = false;
    for (size_t i = 0; i < j->o.keep.count; i++)
        if (!fnmatch(j->o.keep.text[i], name, 0)) any = seen[i] = true;
    return any;
}

static void lock(job *j, const uint32_t *units, size_t count)
{
    for (size_t i = 0; units && i < count; i++)
        if (units[i] != MSKP_PINNED) j->locked.unit[units[i]] = 1;
}

static void lock_value(job *j, mskp_value value)
{
    size_t count;
    const uint32_t *units = mskp_value_units(j->graph, value, &count);
    lock(j, units, count);
}

static void lock_param(job *j, mskp_param param)
{
    size_t count;
    const uint32_t ndim = mskp_param_shape(j->graph, param, NULL);
    for (uint32_t axis = 0; axis < ndim; axis++) {
        const uint32_t *units = mskp_param_units(j->graph, param, axis, NULL, &count);
        lock(j, units, count);
    }
}

static bool lock_named(job *j)
{
    bool seen[ARG_MOST_WORDS] = {false};
    for (uint32_t id = 1; id <= j->counts.values; id++) {
        const mskp_value value = {id};
        if (matches(j, mskp_value_name(j->graph, value), seen)) lock_value(j, value);
    }
    for (uint32_t id = 1; id <= j->counts.params; id++) {
        const mskp_param param = {id};
        if (matches(j, mskp_param_name(j->graph, param), seen)) lock_param(j, param);
    }
    for (size_t i = 0; i < j->o.keep.count; i++)
        if (!seen[i])
            return fail(&j->f, "--keep %s: no layer or parameter has such a name",
                        j->o.keep.text[i]);
    return true;
}

/* What flows in a tensor, or belongs to its data. */
static void lock_tensor(job *j, const tensor *t)
{
    if (!t) return;
    if (is_flow(t)) lock_value(j, t->value);
    if (is_flow(t) && t->second.value.id) lock_value(j, t->second.value);
    const size_t at = t->data ? j->onnx.n.tensors[t->root].weight : 0;
    if (at) lock_param(j, j->onnx.n.weights[at - 1].param);
}

static void lock_stuck(job *j)
{
    for (size_t i = 0; i < j->stuck_count; i++) {
        const node_proto *node = j->onnx.m.graph->node[j->stuck[i]];
        for (size_t k = 0; k < node->n_input; k++) {
            const tensor *t = net_input(&j->onnx.n, node, k);
            lock_tensor(j, t);
            for (size_t f = 0; t && f < t->follow_count; f++)
                lock_tensor(j, &j->onnx.n.tensors[t->follows[f].tensor]);
        }
        for (size_t k = 0; k < node->n_output; k++) lock_tensor(j, net_output(&j->onnx.n, node, k));
    }
}

bool lock_units(job *j)
{
    mskp_error err;
    if (!lock_named(j)) return false;
    if (j->o.constants != NO_CONSTANTS && mskp_onnx_products(&j->onnx, j->locked, &err))
        return refuse(j, &err);
    lock_stuck(j);
    return true;
}
