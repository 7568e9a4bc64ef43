/*
 * mskp-onnx - prune an ONNX file.
 *
 *     mskp-onnx FILE.onnx                  what can be pruned, and what cannot, and why
 *     mskp-onnx IN.onnx OUT.onnx [...]     choose channels, and cut them out
 */
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/args.h"
#include "list.h"

enum { SCORE_L1, SCORE_L2, SCORE_GAMMA, SCORE_UNIT_L1, SCORE_UNIT_L2 };
enum { NO_CONSTANTS = 4 }; /* constants: an mskp_constants_way, or this */

typedef struct options {
    arg_words files, keep, lengths;
    double macs, params, ratio, threshold;
    size_t score, reduce, constants, round_to, min_channels;
    const char *mask, *zeroed, *save_mask, *json;
    bool help;
} options;

#define AT(field) offsetof(options, field)
static const arg OPTIONS[] = {
    {"", NULL, ARG_WORDS, AT(files), 0, 2, NULL},
    {"macs", "KEEP", ARG_NUMBER, AT(macs), 1e-6, 1,
     "leave at most this part of the multiply-accumulates"},
    {"params", "KEEP", ARG_NUMBER, AT(params), 1e-6, 1,
     "leave at most this part of the parameters"},
    {"ratio", "R", ARG_NUMBER, AT(ratio), 0, 1, "remove this part of each layer's units"},
    {"threshold", "T", ARG_NUMBER, AT(threshold), 0, 1e300, "remove units that score at most T"},
    {"mask", "FILE", ARG_PATH, AT(mask), 0, 0, "remove what this mask says (docs/mask-file.md)"},
    {"score", "l1|l2|gamma|unit-l1|unit-l2", ARG_CHOICE, AT(score), 0, 0,
     "how much a unit matters: a norm of its filters, batch norm's |gamma|, or a norm of all that\n"
     "belongs to it; norms are told in parts of their layer's mean, unless --threshold is given "
     "[l1]"},
    {"reduce", "sum|mean|max|min|joint", ARG_CHOICE, AT(reduce), 0, 0,
     "several layers' numbers for one unit become one by this [mean]"},
    {"constants", "auto|drop|fold|merge", ARG_CHOICE, AT(constants), 0, 0,
     "what removed channels still put out is handed on; without this, it is dropped"},
    {"round-to", "N", ARG_COUNT, AT(round_to), 1, 65536,
     "layers keep a multiple of N channels [1]"},
    {"min-channels", "N", ARG_COUNT, AT(min_channels), 1, 65536,
     "no layer keeps fewer channels, if it has so many [1]"},
    {"keep", "PATTERN", ARG_WORDS, AT(keep), 0, ARG_MOST_WORDS,
     "nothing of these tensors is removed; * and ? stand for others; may be given again"},
    {"length", "NAME=N", ARG_WORDS, AT(lengths), 0, ARG_MOST_WORDS,
     "take an open length of an input for N; may be given again"},
    {"zeroed", "FILE", ARG_PATH, AT(zeroed), 0, 0,
     "write the network with zeros for what is removed, in its full shape: it computes what OUT\n"
     "does; with --constants only filters and scales are zeroed, and OUT does so where that is\n"
     "exact"},
    {"save-mask", "FILE", ARG_PATH, AT(save_mask), 0, 0, "write the mask"},
    {"json", "FILE", ARG_PATH, AT(json), 0, 0, "write a report (docs/report-schema.json)"},
    {"help", NULL, ARG_FLAG, AT(help), 0, 0, "this text"},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

enum { MOST_HELD = 64 };

typedef struct job {
    options o;
    model m;
    net n;
    mskp_graph *graph;
    mskp_counts counts;
    mskp_cost dense, left;
    file_parameters before, after;
    mskp_tensor *values;
    double *scores;
    uint8_t *keep, *locked, *kept;
    mskp_constants *constants;
    size_t held[MOST_HELD]; /* nodes that could not be mended: what reaches them stays */
    size_t held_count;
    failure f;
} job;

static bool refuse(job *j, const mskp_error *err)
{
    return fail(&j->f, "%s", err->text);
}

/* ---- What there is ---- */

static bool open_network(job *j)
{
    const lengths l = {j->o.lengths.count, j->o.lengths.text};
    mskp_error err;
    j->graph = mskp_graph_create(NULL);
    if (!j->graph) return fail(&j->f, "no memory for a graph");
    if (!model_read(&j->m, j->o.files.text[0], &j->f) ||
        !net_open(&j->n, &j->m, j->graph, &l, &j->f) || !infer_network(&j->n) ||
        !describe_network(&j->n))
        return false;
    if (mskp_graph_finish(j->graph, &err)) return refuse(j, &err);
    j->counts = mskp_graph_counts(j->graph);
    if (mskp_measure(j->graph, 0, NULL, &j->dense, NULL, &err)) return refuse(j, &err);
    j->before = count_parameters(&j->n, false);
    return true;
}

/* ---- Which units ---- */

/* seen: which patterns have matched something. */
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
        if (units[i] != MSKP_PINNED) j->locked[units[i]] = 1;
}

static bool lock_kept(job *j)
{
    mskp_coupling info;
    bool seen[ARG_MOST_WORDS] = {false};
    size_t count;
    for (uint32_t v = 1; v <= j->counts.values; v++) {
        const mskp_value value = {v};
        if (mskp_value_coupling(j->graph, value, &info, NULL) || !matches(j, info.name, seen))
            continue;
        const uint32_t *units = mskp_value_units(j->graph, value, &count);
        lock(j, units, count);
    }
    for (uint32_t p = 1; p <= j->counts.params; p++) {
        const mskp_param param = {p};
        const char *name;
        const uint32_t ndim = mskp_param_info(j->graph, param, &name, NULL);
        if (!matches(j, name, seen)) continue;
        for (uint32_t axis = 0; axis < ndim; axis++) {
            const uint32_t *units = mskp_param_units(j->graph, param, axis, NULL, &count);
            lock(j, units, count);
        }
    }
    for (size_t i = 0; i < j->o.keep.count; i++)
        if (!seen[i])
            return fail(&j->f, "--keep %s: no layer or parameter has such a name",
                        j->o.keep.text[i]);
    return true;
}

/* What flows in a tensor, or belongs to its data. */
static void lock_flow(job *j, const tensor *t)
{
    size_t count;
    const uint32_t *units = t && is_flow(t) ? mskp_value_units(j->graph, t->value, &count) : NULL;
    if (units) lock(j, units, count);
    const size_t at = t && t->data ? j->n.tensors[t->root].weight : 0;
    const weight *w = at ? &j->n.weights[at - 1] : NULL;
    for (uint32_t axis = 0; w && w->param.id && axis < w->ndim; axis++) {
        units = mskp_param_units(j->graph, w->param, axis, NULL, &count);
        if (units) lock(j, units, count);
    }
}

static void lock_held(job *j)
{
    for (size_t i = 0; i < j->held_count; i++) {
        const node_proto *node = j->m.graph->node[j->held[i]];
        for (size_t k = 0; k < node->n_input; k++) {
            const tensor *t = net_input(&j->n, node, k);
            lock_flow(j, t);
            for (size_t f = 0; t && f < t->follow_count; f++)
                lock_flow(j, &j->n.tensors[t->follows[f].tensor]);
        }
        for (size_t k = 0; k < node->n_output; k++) lock_flow(j, net_output(&j->n, node, k));
    }
}

/* Two constants that are multiplied and summed over are handed on by nothing. */
static void lock_contracted(job *j)
{
    size_t count;
    for (size_t i = 0; j->o.constants != NO_CONSTANTS && i < j->n.contracted_count; i++) {
        const uint32_t *units = mskp_value_units(j->graph, j->n.contracted[i], &count);
        lock(j, units, count);
    }
}

/* Norms grow with what they are of: in parts of their family's mean. */
static void compare_within_families(job *j)
{
    for (size_t f = 0; f < j->counts.families; f++) {
        size_t n, counted = 0;
        const uint32_t *unit = mskp_family_units(j->graph, f, &n);
        double sum = 0;
        for (size_t i = 0; i < n; i++) {
            if (j->scores[unit[i]] > 1e300) continue;
            sum += j->scores[unit[i]];
            counted++;
        }
        for (size_t i = 0; sum > 0 && i < n; i++) j->scores[unit[i]] *= (double)counted / sum;
    }
}

static bool score(job *j)
{
    static const uint32_t ROLES[] = {MSKP_ROLE_FILTER, MSKP_ROLE_FILTER, MSKP_ROLE_SCALE,
                                     MSKP_ROLES_UNIT, MSKP_ROLES_UNIT};
    const options *o = &j->o;
    const bool l2 = o->score == SCORE_L2 || o->score == SCORE_UNIT_L2;
    const mskp_scoring how = {.norm = l2 ? MSKP_MAGNITUDE_L2 : MSKP_MAGNITUDE_L1,
                              .reduce = (mskp_reduce)o->reduce,
                              .roles = ROLES[o->score]};
    mskp_error err;
    if (mskp_score(j->graph, &how, j->counts.params, j->values, j->counts.units, j->scores, &err))
        return refuse(j, &err);
    if (o->score != SCORE_GAMMA && !(o->threshold >= 0)) compare_within_families(j);
    return true;
}

/* A file's bytes with a 0 behind them; NULL: sentence. */
static char *read_text(job *j, const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    size_t room = 0, used = 0;
    char *text = NULL;
    bool good = file != NULL;
    while (good && !feof(file)) {
        if (room - used < 2) {
            char *more = realloc(text, room = 2 * room + 4096);
            good = more != NULL;
            if (good) text = more;
        }
        if (good) used += fread(text + used, 1, room - used - 1, file);
        if (good && ferror(file)) good = false;
    }
    if (good) {
        text[used] = 0;
        *length = used;
    } else {
        fail(&j->f, "%s: cannot be read: %s", path, strerror(errno));
        free(text);
        text = NULL;
    }
    if (file) fclose(file);
    return text;
}

static bool write_text(job *j, const char *path, const char *text, size_t length)
{
    FILE *file = fopen(path, "wb");
    bool good = file && fwrite(text, 1, length, file) == length;
    if (file && fclose(file)) good = false;
    return good || fail(&j->f, "%s: cannot be written: %s", path, strerror(errno));
}

static bool read_mask(job *j)
{
    size_t length;
    mskp_error err;
    char *text = read_text(j, j->o.mask, &length);
    if (!text) return false;
    const bool good = !mskp_mask_read(j->graph, length, text, j->counts.units, j->keep, &err) ||
                      fail(&j->f, "%s: %s", j->o.mask, err.text);
    free(text);
    return good;
}

/* What removed channels still put out is worked out, for the mask at hand: kept and left. */
static bool hand_on(job *j)
{
    const mskp_constants_desc desc = {.way = (mskp_constants_way)j->o.constants,
                                      .zeroed = MSKP_ROLE_SCALE | MSKP_ROLE_FILTER};
    mskp_error err;
    mskp_constants_destroy(j->constants);
    j->constants = NULL;
    memcpy(j->kept, j->keep, j->counts.units);
    if (j->o.constants != NO_CONSTANTS &&
        mskp_constants_create(j->graph, j->counts.units, j->keep, &desc, j->counts.params,
                              j->values, j->kept, &j->constants, &err))
        return refuse(j, &err);
    return !mskp_measure(j->graph, j->counts.units, j->kept, &j->left, NULL, &err) ||
           refuse(j, &err);
}

/* Some unit has a score to go by. */
static bool has_scores(const job *j)
{
    for (size_t u = 0; u < j->counts.units; u++)
        if (j->scores[u] < HUGE_VAL) return true;
    return false;
}

static bool is_over(const mskp_rule *rule, const mskp_cost *asked, const mskp_cost *left)
{
    return (rule->max_macs > 0 && left->macs > asked->macs) ||
           (rule->max_params > 0 && left->params > asked->params);
}

/* In the words of the command line. */
static bool refuse_rule(job *j, const mskp_error *err)
{
    if (!strncmp(err->text, "max_macs", 8)) return fail(&j->f, "--macs: %s", err->text);
    if (!strncmp(err->text, "max_params", 10)) return fail(&j->f, "--params: %s", err->text);
    return refuse(j, err);
}

/* A budget shrinks by what carriers of constants cost, until all fit into it. */
static bool select_within(job *j, mskp_rule *rule)
{
    const mskp_cost asked = {rule->max_macs, rule->max_params};
    mskp_error err;
    for (;;) {
        if (mskp_select(j->graph, j->counts.units, j->scores, rule, j->keep, NULL, &err))
            return refuse_rule(j, &err);
        if (!hand_on(j)) return false;
        if (!is_over(rule, &asked, &j->left)) return true;
        if (rule->max_macs > 0) rule->max_macs -= fmax(j->left.macs - asked.macs, 0);
        if (rule->max_params > 0) rule->max_params -= fmax(j->left.params - asked.params, 0);
        if (rule->max_macs < 0 || rule->max_params < 0)
            return fail(&j->f, "units that would carry constants take more than --macs or --params "
                               "leaves; see --constants drop");
    }
}

/* A mask from elsewhere leaves alone what --constants cannot do without. */
static bool is_unlocked(job *j)
{
    for (size_t u = 0; u < j->counts.units; u++)
        if (j->locked[u] && !j->keep[u])
            return fail(&j->f,
                        "--constants: the mask removes unit %zu, whose channels are multiplied "
                        "with each other and summed over",
                        u);
    return true;
}

static bool select_units(job *j)
{
    const options *o = &j->o;
    /* Of the file's parameters, those that are in no layer stay. */
    const double params = o->params * j->before.all + j->dense.params - j->before.all;
    mskp_rule rule = {.use_threshold = o->threshold >= 0,
                      .threshold = o->threshold >= 0 ? o->threshold : 0,
                      .remove_family_fraction = o->ratio > 0 ? o->ratio : 0,
                      .max_macs = o->macs * j->dense.macs,
                      .max_params = o->params > 0 ? params : 0,
                      .min_channels = o->min_channels,
                      .round_to = o->round_to,
                      .locked = j->locked};
    if (!lock_kept(j)) return false;
    lock_contracted(j);
    lock_held(j);
    if (o->mask) return read_mask(j) && is_unlocked(j) && hand_on(j);
    if (!j->counts.units) return fail(&j->f, "nothing can be removed from this network");
    if (o->params > 0 && !(params > 0))
        return fail(&j->f,
                    "--params %g: %.0f of %.0f parameters belong to no layer that can be cut",
                    o->params, j->before.all - j->dense.params, j->before.all);
    if (!score(j)) return false;
    if (o->score == SCORE_GAMMA && !has_scores(j))
        return fail(&j->f, "--score gamma: no unit has a batch norm; were they folded into the "
                           "convolutions?");
    if (rule.use_threshold || rule.remove_family_fraction > 0 || rule.max_macs > 0 ||
        rule.max_params > 0)
        return select_within(j, &rule);
    memset(j->keep, 1, j->counts.units); /* a ratio of 0 */
    return hand_on(j);
}

/* ---- Files beside the network ---- */

typedef mskp_status teller(const job *j, size_t room, char *text, size_t *length, mskp_error *err);

static mskp_status tell_mask(const job *j, size_t room, char *text, size_t *length, mskp_error *err)
{
    return mskp_mask_write(j->graph, j->counts.units, j->kept, room, text, length, err);
}

static mskp_status tell_report(const job *j, size_t room, char *text, size_t *length,
                               mskp_error *err)
{
    const mskp_report_options report = {.scores = j->o.mask ? NULL : j->scores, .constants = j->constants};
    return mskp_report_json(j->graph, j->counts.units, j->kept, &report, room, text, length, err);
}

static bool write_told(job *j, const char *path, teller *tell)
{
    size_t length = 0;
    mskp_error err;
    if (!path) return true;
    if (tell(j, 0, NULL, &length, &err)) return refuse(j, &err);
    char *text = malloc(length + 1);
    if (!text) return fail(&j->f, "no memory for %zu bytes of %s", length, path);
    bool good = !tell(j, length + 1, text, &length, &err) || refuse(j, &err);
    good = good && write_text(j, path, text, length);
    free(text);
    return good;
}

/* ---- The cut ---- */

static bool tell_constants(job *j)
{
    mskp_constants_report total;
    mskp_error err;
    if (!j->constants) return true;
    if (mskp_constants_total(j->constants, &total, &err)) return refuse(j, &err);
    printf(
        "constants: %zu added to biases and means, %zu handed to %zu units that stay for it, %zu "
        "dropped, %zu not constant\n",
        total.folded, total.merged, total.carriers, total.dropped, total.live);
    if (!total.exact) printf("  not exact: %s\n", total.why);
    if (!total.exact && isfinite(total.bound))
        printf("  a layer's output is off by at most %.2g, %.2g times what it varies by\n",
               total.bound, total.share);
    if (j->o.zeroed)
        printf("zeroed: filters and scales of what is removed; its shifts and biases are not, and "
               "nor is what reads it\n");
    return true;
}

static bool write_zeroed(job *j)
{
    const bool all = j->o.constants == NO_CONSTANTS;
    const mskp_penalty what = {.roles = all ? MSKP_ROLES_UNIT : MSKP_ROLE_SCALE | MSKP_ROLE_FILTER};
    mskp_error err;
    if (!j->o.zeroed) return true;
    if (mskp_penalty_zero(j->graph, j->counts.units, j->keep, &what, j->counts.params, j->values,
                          &err))
        return refuse(j, &err);
    return model_write(&j->m, j->o.zeroed, &j->f);
}

static bool cut(job *j)
{
    const lengths l = {j->o.lengths.count, j->o.lengths.text};
    mskp_plan *plan;
    mskp_error err;
    if (j->constants && mskp_constants_apply(j->constants, j->counts.params, j->values, &err))
        return refuse(j, &err);
    if (mskp_plan_create(j->graph, j->counts.units, j->kept, &plan, NULL, &err))
        return refuse(j, &err);
    const bool good = rewrite_network(&j->n, plan, j->counts.params, j->values, &l);
    mskp_plan_destroy(plan);
    j->after = count_parameters(&j->n, true);
    return good && model_write(&j->m, j->o.files.text[1], &j->f);
}

static void tell_result(const job *j)
{
    size_t left = 0;
    for (size_t u = 0; u < j->counts.units; u++) left += j->kept[u] != 0;
    printf("%-12s %14s %14s\n", "", "before", "after");
    printf("%-12s %14zu %14zu\n", "units", j->counts.units, left);
    printf("%-12s %14.0f %14.0f  %.1f %%\n", "MACs", j->dense.macs, j->left.macs,
           100 * j->left.macs / (j->dense.macs > 0 ? j->dense.macs : 1));
    printf("%-12s %14.0f %14.0f  %.1f %%\n", "parameters", j->before.all, j->after.all,
           100 * j->after.all / (j->before.all > 0 ? j->before.all : 1));
    if (left == j->counts.units) printf("nothing is removed\n");
}

static bool prune(job *j)
{
    j->values = calloc(j->counts.params + 1, sizeof *j->values);
    j->scores = calloc(j->counts.units + 1, sizeof *j->scores);
    j->keep = calloc(j->counts.units + 1, 1);
    j->kept = calloc(j->counts.units + 1, 1);
    j->locked = calloc(j->counts.units + 1, 1);
    if (!j->values || !j->scores || !j->keep || !j->kept || !j->locked)
        return fail(&j->f, "no memory for %zu units", j->counts.units);
    if (!network_values(&j->n, j->counts.params, j->values) || !select_units(j)) return false;
    if (!write_told(j, j->o.save_mask, tell_mask) || !write_told(j, j->o.json, tell_report) ||
        !write_zeroed(j) || !cut(j))
        return false;
    if (!tell_constants(j)) return false;
    tell_result(j);
    return true;
}

/* A node could not say what it must after the cut: once more, and what reaches it stays. */
static bool hold_more(job *j)
{
    const size_t node = j->n.stuck - 1;
    if (!j->n.stuck || j->o.mask || j->held_count == MOST_HELD) return false;
    for (size_t i = 0; i < j->held_count; i++)
        if (j->held[i] == node) return false;
    printf("%s: what reaches it stays\n", j->f.text);
    j->held[j->held_count++] = node;
    return true;
}

/* ---- The command line ---- */

static bool check_options(options *o, size_t size, char *text)
{
    const int demands =
        (o->macs > 0) + (o->params > 0) + (o->ratio >= 0) + (o->threshold >= 0) + (o->mask != NULL);
    const char *const outputs[] = {o->files.count > 1 ? o->files.text[1] : NULL,
                                   o->zeroed,
                                   o->save_mask,
                                   o->json,
                                   o->files.text[0],
                                   o->mask};
    const struct {
        const char *name;
        bool given;
    } choosing[] = {{"keep", o->keep.count > 0},
                    {"round-to", o->round_to > 0},
                    {"min-channels", o->min_channels > 0}};
    if (!o->files.count) return args_refuse(size, text, "which file? see --help");
    if (o->files.count < 2) {
        bool more = demands || o->zeroed || o->save_mask || o->json;
        for (size_t i = 0; i < sizeof choosing / sizeof *choosing; i++) more |= choosing[i].given;
        return !more ||
               args_refuse(size, text, "where does the pruned network go? IN.onnx OUT.onnx");
    }
    if (!demands)
        return args_refuse(size, text,
                           "how much? --macs, --params, --ratio, --threshold or --mask");
    if (o->mask && demands > 1)
        return args_refuse(size, text,
                           "--mask says what is removed; --macs and the like have no use");
    for (size_t i = 0; i < sizeof choosing / sizeof *choosing; i++)
        if (o->mask && choosing[i].given)
            return args_refuse(size, text, "--mask says what is removed; --%s has no use",
                               choosing[i].name);
    for (size_t i = 0; i < 4; i++)
        for (size_t k = i + 1; k < 6; k++)
            if (outputs[i] && outputs[k] && !strcmp(outputs[i], outputs[k]))
                return args_refuse(size, text, "%.200s would be written over", outputs[i]);
    return true;
}

static void help(void)
{
    printf("mskp-onnx: prune an ONNX file.\n\n"
           "mskp-onnx FILE.onnx                  what can be removed; what cannot, and why\n"
           "mskp-onnx IN.onnx OUT.onnx [...]     choose channels and cut them out\n\n");
    args_help(OPTION_COUNT, OPTIONS);
}

static void release(job *j)
{
    mskp_constants_destroy(j->constants);
    net_close(&j->n);
    mskp_graph_destroy(j->graph);
    model_free(&j->m);
    free(j->values);
    free(j->scores);
    free(j->keep);
    free(j->kept);
    free(j->locked);
    j->constants = NULL;
    j->graph = NULL;
    j->values = NULL;
    j->scores = NULL;
    j->keep = j->kept = j->locked = NULL;
}

static bool run(job *j)
{
    return open_network(j) &&
           (j->o.files.count > 1 ? prune(j) : list_network(&j->n, &j->dense, &j->before));
}

int main(int argc, char **argv)
{
    static job j = {
        .o = {.ratio = -1, .threshold = -1, .reduce = MSKP_REDUCE_MEAN, .constants = NO_CONSTANTS}};
    if (!args_read(argc, argv, OPTION_COUNT, OPTIONS, &j.o, sizeof j.f.text, j.f.text) ||
        (!j.o.help && !check_options(&j.o, sizeof j.f.text, j.f.text))) {
        fprintf(stderr, "mskp-onnx: %s\n", j.f.text);
        return 2;
    }
    if (j.o.help) {
        help();
        return 0;
    }
    bool good = run(&j);
    while (!good && hold_more(&j)) {
        release(&j);
        good = run(&j);
    }
    if ((fflush(stdout) || ferror(stdout)) && good)
        good = fail(&j.f, "the output cannot be written: %s", strerror(errno));
    if (!good) fprintf(stderr, "mskp-onnx: %s\n", j.f.text);
    release(&j);
    return good ? 0 : 1;
}
