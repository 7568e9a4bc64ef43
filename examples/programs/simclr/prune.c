/*
 * The pruner selects channels by |gamma|, drives gamma and beta of those that have to go to zero
 * by an L1 penalty of automatic strength (MaskSparsity), holds them there while the others take
 * over, and cuts. The loss comes from the caller, so nothing here needs labels. The hidden numbers
 * of the projection head have no batch norm and therefore no score: they all stay, as the head is
 * thrown away after the training.
 */
#include "prune.h"

#include <stdio.h>
#include <stdlib.h>

/* So that no layer collapses. */
static const size_t LEAST_CHANNELS = 2;
/* The part of the masked stage in which the marked channels are at zero already. */
static const double SETTLE = 0.5;

static bool fail(cn_error *err, const mskp_error *from)
{
    if (err) snprintf(err->text, sizeof err->text, "%s", from->text);
    return false;
}

static void show(prune *p)
{
    cn_values(p->net, p->values);
    cn_gradients(p->net, p->gradients);
}

static bool take_views(prune *p, cn_error *err)
{
    const size_t n = p->net->param_count;
    mskp_tensor *views = calloc(2 * n + 1, sizeof *views);
    if (!views) {
        if (err) snprintf(err->text, sizeof err->text, "no memory for views of %zu tensors", n);
        return false;
    }
    p->values = (mskp_tensors){n, views};
    p->gradients = (mskp_tensors){n, views + n};
    show(p);
    return true;
}

bool prune_open(prune *p, cn_net *net, double keep, size_t steps, size_t masked, cn_error *err)
{
    mskp_error error = {.text = "no memory for the description of the network"};
    *p = (prune){.net = net, .graph = mskp_graph_create(NULL)};
    if (!p->graph) return fail(err, &error);
    cn_describe(net, p->graph);
    if (mskp_graph_finish(p->graph, &error) ||
        mskp_measure(p->graph, (mskp_mask){0, NULL}, &p->dense, NULL, &error))
        return fail(err, &error);
    const uint32_t roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT;
    const mskp_pruner_options options = {
        .rule = {.max_macs = keep * p->dense.macs, .min_channels = LEAST_CHANNELS},
        .scoring = {.roles = MSKP_ROLE_SCALE},
        .penalty = {.kind = MSKP_PENALTY_L1, .roles = roles},
        .pull = MSKP_PULL_PROXIMAL,
        .steps = steps,
        .masked = (double)masked / (double)steps,
        .settle = SETTLE};
    if (mskp_pruner_create(p->graph, &options, &p->pruner, &error)) return fail(err, &error);
    return take_views(p, err);
}

void prune_close(prune *p)
{
    mskp_pruner_destroy(p->pruner);
    mskp_graph_destroy(p->graph);
    free(p->values.view);
    *p = (prune){0};
}

bool prune_before_step(prune *p, double rate, cn_error *err)
{
    mskp_error error;
    return !mskp_pruner_before_step(p->pruner, rate, p->values, p->gradients, &error) ||
           fail(err, &error);
}

bool prune_after_step(prune *p, double rate, cn_error *err)
{
    mskp_error error;
    return !mskp_pruner_after_step(p->pruner, rate, p->values, &error) || fail(err, &error);
}

bool prune_is_due(const prune *p)
{
    return mskp_pruner_due(p->pruner) == MSKP_PRUNER_DUE_CUT;
}

bool prune_cut(prune *p, cn_error *err)
{
    mskp_plan *plan;
    const mskp_constants *constants;
    mskp_error error;
    if (mskp_pruner_prepare(p->pruner, p->values, &plan, &constants, &error))
        return fail(err, &error);
    if (!cn_prune(p->net, mskp_pruner_graph(p->pruner), plan, constants, err)) return false;
    show(p);
    return !mskp_pruner_cut_done(p->pruner, &error) || fail(err, &error);
}

bool prune_cost(const prune *p, mskp_cost *cost, cn_error *err)
{
    mskp_error error;
    return !mskp_measure(mskp_pruner_graph(p->pruner), (mskp_mask){0, NULL}, cost, NULL, &error) ||
           fail(err, &error);
}
