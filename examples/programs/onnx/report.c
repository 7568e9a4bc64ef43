/* The page of --report: what is left of each layer, what stays and why, and constants. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"
#include "list.h"

/* ---- Before the cut ---- */

static void words(void *context, mskp_value value, const mskp_coupling *info,
                  char name[OUTCOME_TEXT], char held[OUTCOME_TEXT])
{
    list_words(context, value, info, OUTCOME_TEXT, name, held);
}

FILE_FORMAT(2, 3) static bool hold(job *j, const char *format, ...)
{
    char text[LIST_TEXT + 20];
    va_list list;
    if (j->held_count == MOST_HELD) return true;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    const size_t bytes = strlen(text) + 1;
    char *copy = try_malloc(bytes);
    if (!copy) return fail(&j->f, "no memory for what the report says of the network");
    j->held[j->held_count++] = memcpy(copy, text, bytes);
    return true;
}

static bool hold_pin(job *j, const list_pin *pin)
{
    char text[LIST_TEXT];
    list_pin_text(&j->onnx.n, pin, sizeof text, text);
    return hold(j, "Pinned by %s.", text);
}

static bool hold_pins(job *j)
{
    enum { MOST = 32 };
    list_pin pins[MOST];
    mskp_error err;
    mskp_cost *costs = try_calloc(j->counts.values, sizeof *costs);
    if (!costs) return fail(&j->f, "no memory for the costs of %zu values", j->counts.values);
    bool good = !mskp_measure(j->graph, (mskp_mask){0, NULL}, NULL, costs, &err) || refuse(j, &err);
    const size_t count = good ? list_pins(&j->onnx.n, costs, MOST, pins) : 0;
    for (size_t k = 0; good && k < count; k++) good = hold_pin(j, &pins[k]);
    free(costs);
    return good;
}

/* Why units were locked (locks.c). */
static bool hold_locks(job *j)
{
    bool good = true;
    for (size_t i = 0; good && i < j->o.keep.count; i++)
        good = hold(j, "--keep %.300s: what has such a name stays.", j->o.keep.text[i]);
    if (good && j->o.constants != NO_CONSTANTS && j->onnx.n.contracted_count)
        good = hold(j,
                    "The channels of %zu tensors are multiplied with each other and summed over, "
                    "so with --constants they stay.",
                    j->onnx.n.contracted_count);
    for (size_t i = 0; good && i < j->stuck_count; i++) {
        const node_proto *node = j->onnx.m.graph->node[j->stuck[i]];
        const char *output = node->n_output && node->output[0] ? node->output[0] : "";
        good = hold(j, "%.60s (%.200s) could not be corrected, so what reaches this node stays.",
                    node->op_type ? node->op_type : "A node", output);
    }
    if (good && j->onnx.stored.tensors)
        good =
            hold(j,
                 "%zu tensors that %zu nodes computed from parameters are stored in their place, "
                 "the first is %s.",
                 j->onnx.stored.tensors, j->onnx.stored.nodes, j->onnx.stored.first);
    if (good && j->before.others > 0)
        good = hold(j, "%.0f parameters belong to no layer, and stay.", j->before.others);
    return good;
}

bool take_report(job *j)
{
    const outcome_words call = {&j->onnx.n, words};
    char path[PAGE_PATH];
    file_error why;
    mskp_error err;
    if (!j->o.report) return true;
    page_path(j->o.report, path); /* options.c saw that it is short enough */
    if (!page_check(j->o.report, &why)) return fail(&j->f, "%.120s: %s", path, why.text);
    if (!model_may_write(&j->onnx.m, path, &j->f)) return false;
    if (!outcome_take(&j->outcome, j->graph, j->kept, j->constants, &call, &err))
        return refuse(j, &err);
    return hold_pins(j) && hold_locks(j);
}

/* ---- The page ---- */

static double percent(double part, double whole)
{
    return 100 * (whole > 0 ? part / whole : 1);
}

static void put_change(page *p, const char *name, double before, double after)
{
    page_row(p, "%s", name);
    page_cell(p, "%.0f", before);
    page_cell(p, "%.0f", after);
    page_cell(p, "%.1f", percent(after, before));
}

static void show_results(const job *j, page *p)
{
    static const page_column columns[] = {
        {"", PAGE_NAME}, {"before", PAGE_NUMBER}, {"after", PAGE_NUMBER}, {"left, %", PAGE_NUMBER}};
    const outcome *o = &j->outcome;
    page_section(p, "results", "Results");
    page_facts(p);
    page_fact(p, "MACs left", "%.1f %%", percent(j->left.macs, j->dense.macs));
    page_fact(p, "parameters left", "%.1f %%", percent(j->after.all, j->before.all));
    page_fact(p, "units left", "%zu of %zu", o->units[1], o->units[0]);
    page_facts_end(p);
    page_table(p,
               "The network before and after. A unit is a set of channels that can only be removed "
               "together; MACs are multiply-accumulates for a batch of one",
               4, columns);
    put_change(p, "units", (double)o->units[0], (double)o->units[1]);
    put_change(p, "MACs", j->dense.macs, j->left.macs);
    put_change(p, "parameters", j->before.all, j->after.all);
    page_table_end(p);
    if (*j->uncounted) page_say(p, "MACs are without those of %s.", j->uncounted);
}

static void show_constants(const job *j, page *p)
{
    page_section(p, "constants", "Constants");
    if (j->constants)
        outcome_show_constants(&j->outcome, p);
    else
        page_say(p, "A channel that is removed can still have a constant output. Without "
                    "--constants it is lost.");
}

bool prepare_report(job *j)
{
    page p = {0};
    char path[PAGE_PATH], title[600];
    file_error why;
    if (!j->o.report) return true;
    page_path(j->o.report, path);
    snprintf(title, sizeof title, "%.250s, pruned to %.250s", j->o.files.text[0],
             j->o.files.text[1]);
    page_begin(&p, "mskp-onnx", title, NULL);
    show_results(j, &p);
    options_show(&j->o, &p);
    page_section(&p, "layers", "Layers");
    outcome_show_layers(&j->outcome, &p);
    if (j->dense.params + j->before.others > j->before.all)
        page_say(&p, "A vector that several nodes share counts once in the results, and here for "
                     "each of the nodes.");
    page_section(&p, "held", "What stays, and why");
    if (!j->held_count) page_say(&p, "Nothing is pinned or locked.");
    page_list(&p, j->held_count, (const char *const *)j->held);
    show_constants(j, &p);
    page_section(&p, "repeat", "To repeat this run");
    page_command(&p, j->argc, j->argv);
    page_say(&p, "mskp %d.%d.%d.", MSKP_VERSION_MAJOR, MSKP_VERSION_MINOR, MSKP_VERSION_PATCH);
    const bool good =
        page_create(&p, path, &j->page_file, &why) || fail(&j->f, "%.120s: %s", path, why.text);
    page_free(&p);
    return good;
}

bool show_report(job *j)
{
    file_error why;
    return file_commit(&j->page_file, &why) ||
           fail(&j->f, "%.120s/index.html: %s", j->o.report, why.text);
}
