/*
 * mskp-onnx - prunes an ONNX file.
 *
 *     mskp-onnx FILE.onnx                  list what can be pruned, what cannot, and why
 *     mskp-onnx IN.onnx OUT.onnx [...]     choose channels and cut them out
 *
 * This file is the way from the file to the smaller file: describe the network, choose units, move
 * their constants, cut, and correct what nodes state about widths. If a node cannot be corrected,
 * everything begins again, and the units that reach the node are locked. job.h lists the parts.
 */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "files.h"
#include "job.h"
#include "list.h"

/* ---- Pruning ---- */

/* With --constants, biases and shifts of removed units are not zeroed: they make the constants. */
static bool prepare_zeroed(job *j)
{
    const bool all = j->o.constants == NO_CONSTANTS;
    const mskp_penalty what = {.roles = all ? MSKP_ROLES_UNIT : MSKP_ROLE_SCALE | MSKP_ROLE_FILTER};
    mskp_error err;
    if (!j->o.zeroed) return true;
    if (mskp_penalty_zero(j->graph, j->selected, &what, j->values, &err)) return refuse(j, &err);
    requantize(&j->onnx.n);
    return model_prepare(&j->onnx.m, j->o.zeroed, &j->zeroed, &j->f);
}

/* Refuses a plan by which branches vanish whose constants would be lost. */
static bool is_whole(job *j, const mskp_plan *plan)
{
    for (uint32_t v = 1; v <= mskp_graph_counts(j->graph).values; v++)
        if (mskp_plan_fate(plan, (mskp_value){v}) != MSKP_FATE_STAYS)
            return fail(&j->f, "%.120s: the mask removes all of a branch; this needs --constants",
                        mskp_value_name(j->graph, (mskp_value){v}));
    return true;
}

/* *plan <- what has to be cut. The constants are then in other parameters. */
static bool plan_cut(job *j, mskp_plan **plan)
{
    mskp_error err;
    if (j->constants ? mskp_constants_plan(j->constants, plan, NULL, &err)
                     : mskp_plan_create(j->graph, j->kept, plan, NULL, &err))
        return refuse(j, &err);
    if (!j->constants && !is_whole(j, *plan)) {
        mskp_plan_destroy(*plan);
        return false;
    }
    if (!j->constants) return true;
    if (!mskp_constants_apply(j->constants, *plan, j->values, &err)) return true;
    mskp_plan_destroy(*plan);
    return refuse(j, &err);
}

static bool cut(job *j)
{
    const lengths l = job_lengths(j);
    mskp_plan *plan;
    if (!plan_cut(j, &plan)) return false;
    const bool good = rewrite_network(&j->onnx.n, plan, j->values, &l);
    mskp_plan_destroy(plan);
    j->after = count_parameters(&j->onnx.n, true);
    return good && had_memory(j) &&
           model_prepare(&j->onnx.m, j->o.files.text[1], &j->pruned, &j->f);
}

static bool print_constants(job *j)
{
    mskp_constants_report total;
    mskp_error err;
    if (!j->constants) return true;
    if (mskp_constants_total(j->constants, &total, &err)) return refuse(j, &err);
    printf("constants: %zu folded into biases and means, %zu merged into %zu carriers, %zu "
           "dropped; %zu channels are not constant\n",
           total.folded, total.merged, total.carriers, total.dropped, total.live);
    if (!total.exact) file_print(stdout, "  not exact: %s", total.why);
    if (!total.exact && isfinite(total.bound))
        printf("  the output of a layer is off by at most %.2g, or %.2g of its scale\n",
               total.bound, total.share);
    if (j->o.zeroed)
        printf("zeroed: filters and scales of removed units are zero; their shifts and biases are "
               "not, and neither are the weights that read them\n");
    return true;
}

static double percent(double part, double whole)
{
    return 100 * part / (whole > 0 ? whole : 1);
}

static void print_result(const job *j)
{
    size_t left = 0;
    for (size_t u = 0; u < j->kept.n; u++) left += j->kept.unit[u] != 0;
    printf("%-12s %14s %14s\n", "", "before", "after");
    printf("%-12s %14zu %14zu\n", "units", j->counts.units, left);
    printf("%-12s %14.0f %14.0f  %.1f %%\n", "MACs", j->dense.macs, j->left.macs,
           percent(j->left.macs, j->dense.macs));
    printf("%-12s %14.0f %14.0f  %.1f %%\n", "parameters", j->before.all, j->after.all,
           percent(j->after.all, j->before.all));
    if (*j->uncounted) file_print(stdout, "MACs are without those of %s", j->uncounted);
    if (left == j->counts.units) printf("nothing is removed\n");
}

/* The pruned network comes last: who sees it, sees the other files, too. */
static bool show_files(job *j)
{
    return (!j->o.zeroed || model_show(&j->zeroed, &j->f)) && show_texts(j) && show_report(j) &&
           model_show(&j->pruned, &j->f);
}

static void print_stored(const job *j)
{
    const precomputed *p = &j->onnx.stored;
    if (p->tensors)
        file_print(stdout,
                   "%zu tensors that %zu nodes computed from parameters are stored in their place, "
                   "the first is %s",
                   p->tensors, p->nodes, p->first);
}

static bool prune(job *j)
{
    if (!job_allocate(j) || !network_values(&j->onnx.n, j->values) || !choose_units(j) ||
        !had_memory(j) || !prepare_texts(j) || !prepare_zeroed(j) || !take_report(j) || !cut(j) ||
        !prepare_report(j) || !show_files(j) || !print_constants(j))
        return false;
    print_stored(j);
    print_result(j);
    return true;
}

/* ---- Attempts ---- */

static bool list(job *j)
{
    print_stored(j);
    return print_network(&j->onnx.n, &j->dense, &j->before);
}

static bool attempt(job *j)
{
    return job_open(j) && (j->o.files.count > 1 ? prune(j) : list(j));
}

/* Did the attempt fail at a node that could not be corrected? Then another attempt is worth while,
 * in which all that reaches the node stays. */
static bool lock_stuck_node(job *j)
{
    const size_t node = j->onnx.n.stuck - 1;
    if (!j->onnx.n.stuck || !had_memory(j))
        return false; /* for want of memory, any node can be stuck */
    if (j->o.mask || j->stuck_count == MOST_STUCK) return false;
    for (size_t i = 0; i < j->stuck_count; i++)
        if (j->stuck[i] == node) return false;
    file_print(stdout, "%s: what reaches this node stays", j->f.text);
    j->stuck[j->stuck_count++] = node;
    return true;
}

int main(int argc, char **argv)
{
    static job j;
    j.argc = argc;
    j.argv = argv;
    file_catch_signals();
    if (!options_read(argc, argv, &j.o, sizeof j.f.text, j.f.text)) {
        file_print(stderr, "mskp-onnx: %s", j.f.text);
        return 2;
    }
    if (j.o.help) {
        options_help();
        return 0;
    }
    bool good = attempt(&j);
    while (!good && lock_stuck_node(&j)) {
        job_release(&j);
        good = attempt(&j);
    }
    if ((fflush(stdout) || ferror(stdout)) && good)
        good = fail(&j.f, "the output cannot be written: %s", strerror(errno));
    if (!good) file_print(stderr, "mskp-onnx: %s", j.f.text);
    job_release(&j);
    return good ? 0 : 1;
}
