/*
 * What a training shows on a page: results, what was asked, curves, layers, gamma and beta,
 * constants, speed, messages, and the command.
 *
 * While the training runs, this file notes numbers: they must be there when the page is written
 * again, and the graph and the values are not what they were once the cut is done. The page is made
 * anew from the notes each time.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/outcome.h"
#include "common/spark.h"
#include "internal.h"

/* The two kinds of numbers that are looked at. */
enum { GAMMA, BETA, KINDS };
static const uint32_t ROLES[KINDS] = {MSKP_ROLE_SCALE, MSKP_ROLE_SHIFT};
static const char *const KIND_NAMES[KINDS] = {"gamma", "beta"};

/* Curves over all epochs, of which each has its place from the beginning. */
enum { LOSS, TEST, RIGHT, LARGEST_GAMMA, LARGEST_BETA, CURVES };

static const char *const PHASES[DRIVER_STAGES] = {"baseline", "global", "masked", "tuning"};

typedef struct phase {
    size_t done; /* epochs */
    double rate, strength, test;
    char penalty[80];
} phase;

struct report {
    bool page;   /* it is asked for */
    bool failed; /* something is missing, for want of memory */
    bool closed; /* there are no notes any more */
    char path[PAGE_PATH];
    size_t epochs;
    double *curve[CURVES];
    phase phases[DRIVER_STAGES];
    /* Gamma and beta, one number after the other, and the unit of each; NULL: it was not looked. */
    size_t numbers[KINDS];
    uint32_t *unit[KINDS];
    double *value[MOMENTS][KINDS];
    uint8_t *keep; /* the mask; NULL: there is none yet */
    outcome outcome;
    size_t lines, room;
    char **line;
};

/* How the sentences begin that are on a page until its run has come to its end. */
static const char *const UNFINISHED[] = {"This run failed", "This run is not finished"};

/* ---- Numbers of the network ---- */

/* Elements of a vector that are real numbers of common types; NaN for others. */
static double element(const mskp_tensor *view, size_t i)
{
    const ptrdiff_t stride = view->ndim && view->stride[0] ? view->stride[0] : 1;
    const ptrdiff_t at = (ptrdiff_t)i * stride;
    if (!view->data) return (double)NAN;
    if (view->dtype == MSKP_DTYPE_F32) return (double)((const float *)view->data)[at];
    if (view->dtype == MSKP_DTYPE_F64) return ((const double *)view->data)[at];
    return (double)NAN;
}

/* Goes over all vectors in a role, counts their elements that can be removed, and stores units or
 * values of these. */
static size_t visit(const job *j, uint32_t role, uint32_t *unit, double *value)
{
    size_t count = 0;
    for (uint32_t id = 1; id <= mskp_graph_counts(j->t->graph).params; id++) {
        const mskp_param param = {id};
        uint32_t roles;
        size_t n;
        const uint32_t *units = mskp_param_units(j->t->graph, param, 0, &roles, &n);
        if (!units || !(roles & role) || mskp_param_shape(j->t->graph, param, NULL) != 1) continue;
        for (size_t i = 0; i < n; i++) {
            if (units[i] == MSKP_PINNED) continue;
            if (unit) unit[count] = units[i];
            if (value) value[count] = element(mskp_tensor_of(j->t->values, param), i);
            count++;
        }
    }
    return count;
}

void report_moment(job *j, moment m)
{
    struct report *r = j->report;
    if (!r || !r->page || !fetch(j->t)) return;
    for (size_t k = 0; k < KINDS; k++) {
        double **value = &r->value[m][k];
        if (!*value) *value = malloc((r->numbers[k] + 1) * sizeof **value);
        if (*value)
            visit(j, ROLES[k], NULL, *value);
        else
            r->failed = true;
    }
}

/* ---- Notes ---- */

/* Where the epochs of a phase begin. */
static size_t first_epoch(const driver_options *o, size_t phase_number)
{
    size_t first = 0;
    for (size_t i = 0; i < phase_number; i++) first += o->epochs[i];
    return first;
}

static bool open_page(job *j)
{
    struct report *r = j->report;
    const char *folder = j->t->options.report;
    file_error err;
    r->page = true;
    if (!page_check(folder, &err))
        return trainer_fail(j->t, "--report: %.200s/index.html: %s", folder, err.text);
    page_path(folder, r->path); /* page_check saw that it is short enough */
    for (size_t k = 0; k < KINDS; k++) {
        r->numbers[k] = visit(j, ROLES[k], NULL, NULL);
        r->unit[k] = malloc((r->numbers[k] + 1) * sizeof *r->unit[k]);
        if (!r->unit[k])
            return trainer_fail(j->t, "no memory for the units of %zu numbers", r->numbers[k]);
        visit(j, ROLES[k], r->unit[k], NULL);
    }
    return true;
}

/* A number of a line of the log, of which *text is the rest; NaN if there is none. */
static double next_number(const char **text)
{
    char *end;
    const double x = strtod(*text, &end);
    const bool any = end != *text;
    *text += strcspn(*text, ",\n");
    if (**text == ',') ++*text;
    return any ? x : (double)NAN;
}

/* The epochs before a run was resumed are in the log that the checkpoint has. */
static void take_log_line(struct report *r, const driver_options *o, const char *text)
{
    size_t k = 0;
    const size_t length = strcspn(text, ",\n");
    while (k < DRIVER_STAGES &&
           (strlen(PHASES[k]) != length || memcmp(PHASES[k], text, length) != 0))
        k++;
    if (k == DRIVER_STAGES || text[length] != ',') return;
    text += length + 1;
    const double number = next_number(&text);
    if (!(number >= 1 && number <= (double)o->epochs[k])) return;
    phase *p = &r->phases[k];
    const double rate = next_number(&text);
    *p = (phase){.done = (size_t)number,
                 .rate = p->done ? p->rate : rate, /* of the first epoch */
                 .penalty = "before the run was resumed"};
    const size_t at = first_epoch(o, k) + p->done - 1;
    r->curve[LOSS][at] = next_number(&text);
    r->curve[RIGHT][at] = 100 * next_number(&text);
    p->test = next_number(&text);
    r->curve[TEST][at] = 100 * p->test;
    next_number(&text);
    r->curve[LARGEST_GAMMA][at] = next_number(&text);
}

static void take_log(const job *j)
{
    const char *line = j->journals[JOURNAL_LOG].so_far;
    while (line && *line) {
        take_log_line(j->report, &j->t->options, line);
        line = strchr(line, '\n');
        if (line) line++;
    }
}

/* Whether the page is there, and is the one of a run that came to its end. */
static bool is_finished(const char *path)
{
    static const size_t most = (size_t)1 << 28;
    char *bytes = NULL;
    size_t size;
    file_error err;
    if (access(path, F_OK) || !file_read(path, most, &bytes, &size, &err)) return false;
    bool finished = size > 0;
    for (size_t i = 0; i < sizeof UNFINISHED / sizeof *UNFINISHED; i++) {
        const size_t n = strlen(UNFINISHED[i]);
        for (size_t at = 0; finished && at + n <= size; at++)
            finished = memcmp(bytes + at, UNFINISHED[i], n) != 0;
    }
    free(bytes);
    return finished;
}

/* A resumed run that has nothing left to train knows less than the page of the run before. */
static void keep_page(job *j)
{
    struct report *r = j->report;
    if (!j->resumed || j->phase != DRIVER_TUNE ||
        j->epoch.number < j->t->options.epochs[DRIVER_TUNE] || !is_finished(r->path))
        return;
    say(j, "%.200s: it stays as it is, because the run was finished before", r->path);
    r->page = false;
}

bool report_open(job *j)
{
    const driver_options *o = &j->t->options;
    struct report *r = calloc(1, sizeof *r);
    if (!r) return trainer_fail(j->t, "no memory for a report");
    j->report = r;
    r->epochs = first_epoch(o, DRIVER_STAGES);
    for (size_t c = 0; c < CURVES; c++) {
        r->curve[c] = malloc((r->epochs + 1) * sizeof *r->curve[c]);
        if (!r->curve[c]) return trainer_fail(j->t, "no memory for %zu epochs", r->epochs);
        for (size_t i = 0; i < r->epochs; i++) r->curve[c][i] = (double)NAN;
    }
    if (j->resumed) take_log(j);
    if (o->report && !open_page(j)) return false;
    if (o->report) keep_page(j);
    if (j->resumed && j->removed && !j->cut) report_mask(j);
    return true;
}

void report_line(job *j, const char *text)
{
    struct report *r = j->report;
    if (!r || !r->page || r->closed) return;
    if (r->lines == r->room) {
        const size_t room = 2 * r->room + 16;
        char **line = realloc(r->line, room * sizeof *line);
        r->failed = r->failed || !line;
        if (!line) return;
        r->line = line;
        r->room = room;
    }
    r->line[r->lines] = strdup(text);
    if (r->line[r->lines])
        r->lines++;
    else
        r->failed = true;
}

static bool write_page(job *j, const char *failure, file_error *err);

void report_epoch(job *j, const stage *s, size_t number, const epoch_result *e)
{
    struct report *r = j->report;
    file_error err = {""}; /* comes again in report_finish */
    size_t k = 0;
    while (k < DRIVER_STAGES && strcmp(PHASES[k], s->name) != 0) k++;
    if (!r || k == DRIVER_STAGES) return;
    const size_t at = first_epoch(&j->t->options, k) + number;
    if (at >= r->epochs) return;
    r->curve[LOSS][at] = e->loss;
    r->curve[TEST][at] = 100 * e->test;
    r->curve[RIGHT][at] = 100 * e->right;
    phase *p = &r->phases[k];
    *p = (phase){.done = number + 1, .rate = s->rate, .test = e->test};
    p->strength = pruning_describe(j, k, sizeof p->penalty, p->penalty);
    if (!r->page) return;
    if (j->removed && !j->cut) {
        r->curve[LARGEST_GAMMA][at] = pruning_largest_marked(j, MSKP_ROLE_SCALE);
        r->curve[LARGEST_BETA][at] = pruning_largest_marked(j, MSKP_ROLE_SHIFT);
    }
    write_page(j, NULL, &err);
}

static void take_outcome(job *j, mskp_mask kept, const mskp_constants *constants)
{
    struct report *r = j->report;
    mskp_error err;
    if (!r->keep) r->keep = malloc(j->keep.n + 1);
    if (r->keep) memcpy(r->keep, j->keep.unit, j->keep.n);
    if (!outcome_take(&r->outcome, j->t->graph, kept, constants, NULL, &err) || !r->keep)
        r->failed = true;
}

void report_mask(job *j)
{
    if (j->report && j->report->page) take_outcome(j, j->keep, NULL);
}

void report_cut(job *j, const mskp_constants *constants)
{
    if (!j->report || !j->report->page) return;
    report_moment(j, MOMENT_CUT);
    take_outcome(j, j->kept, constants);
}

void report_free(job *j)
{
    struct report *r = j->report;
    if (!r) return;
    for (size_t c = 0; c < CURVES; c++) free(r->curve[c]);
    for (size_t k = 0; k < KINDS; k++) free(r->unit[k]);
    for (size_t m = 0; m < MOMENTS; m++)
        for (size_t k = 0; k < KINDS; k++) free(r->value[m][k]);
    free(r->keep);
    outcome_free(&r->outcome);
    for (size_t i = 0; i < r->lines; i++) free(r->line[i]);
    free(r->line);
    free(r);
    j->report = NULL;
}

/* ---- Sections: results ---- */

static void show_facts(const job *j, page *p)
{
    const results *r = &j->results;
    const mskp_cost *left = j->cut ? &j->now : &j->selected;
    page_facts(p);
    if (j->report->outcome.layers || j->cut) {
        page_fact(p, "MACs left", "%.1f %%", 100 * left->macs / j->dense.macs);
        page_fact(p, "parameters left", "%.1f %%", 100 * left->params / j->dense.params);
    }
    if (!isnan(r->baseline)) page_fact(p, "accuracy, baseline", "%.2f %%", 100 * r->baseline);
    if (!isnan(r->after)) page_fact(p, "right after surgery", "%.2f %%", 100 * r->after);
    if (!isnan(r->tuned)) page_fact(p, "after fine-tuning", "%.2f %%", 100 * r->tuned);
    if (!isnan(r->inference[1]))
        page_fact(p, "speed, inference", "%.2f \xc3\x97", r->inference[1] / r->inference[0]);
    page_facts_end(p);
}

static void show_results(const job *j, page *p, bool finished)
{
    static const page_column pair_columns[] = {
        {"", PAGE_NAME}, {"dense", PAGE_NUMBER}, {"pruned", PAGE_NUMBER}, {"ratio", PAGE_NUMBER}};
    static const page_column part_columns[] = {{"network", PAGE_NAME},
                                               {"accuracy, %", PAGE_NUMBER}};
    table_pair pairs[RESULT_PAIRS];
    table_part parts[RESULT_PARTS];
    page_section(p, "results", finished ? "Results" : "Results so far");
    show_facts(j, p);
    result_rows(j, pairs, parts);
    page_pictures(p);
    if (j->cut) {
        page_table(p, "Costs of one image, and speed with batches of the size of the training", 4,
                   pair_columns);
        for (size_t i = 0; i < RESULT_PAIRS; i++) {
            if (isnan(pairs[i].pruned)) continue;
            page_row(p, "%s", pairs[i].name);
            page_cell(p, "%.0f", pairs[i].dense);
            page_cell(p, "%.0f", pairs[i].pruned);
            page_cell(p, "%.3f", pairs[i].pruned / pairs[i].dense);
        }
        page_table_end(p);
    }
    page_table(p, "Accuracy on the test set", 2, part_columns);
    for (size_t i = 0; i < RESULT_PARTS; i++) {
        const char *name = parts[i].name;
        if (isnan(parts[i].part)) continue;
        page_row(p, "%s", name + strspn(name, " "));
        page_cell(p, "%.2f", 100 * parts[i].part);
    }
    page_table_end(p);
    page_pictures_end(p);
}

/* ---- Sections: training ---- */

static void show_phases(const job *j, page *p)
{
    static const page_column columns[] = {{"phase", PAGE_NAME},           {"epochs", PAGE_NUMBER},
                                          {"learning rate", PAGE_NUMBER}, {"penalty", PAGE_PROSE},
                                          {"strength", PAGE_NUMBER},      {"test, %", PAGE_NUMBER}};
    const driver_options *o = &j->t->options;
    page_table(p, "Phases: what each trained with, and the accuracy at its end", 6, columns);
    for (size_t i = 0; i < DRIVER_STAGES; i++) {
        const phase *s = &j->report->phases[i];
        if (!o->epochs[i]) continue;
        page_row(p, "%s", PHASES[i]);
        if (s->done < o->epochs[i])
            page_cell(p, "%zu of %zu", s->done, o->epochs[i]);
        else
            page_cell(p, "%zu", s->done);
        if (!s->done) {
            for (size_t k = 0; k < 4; k++) page_cell(p, "%s", "");
            continue;
        }
        page_cell(p, "%g", s->rate);
        page_cell(p, "%s", s->penalty);
        if (s->strength > 0)
            page_cell(p, "%g", s->strength);
        else
            page_cell(p, "%s", "");
        page_cell(p, "%.2f", 100 * s->test);
    }
    page_table_end(p);
}

static void show_curves(const job *j, page *p)
{
    const struct report *r = j->report;
    const driver_options *o = &j->t->options;
    const page_curve loss[] = {{"training", r->curve[LOSS]}};
    const page_curve right[] = {{"test", r->curve[TEST]}, {"training", r->curve[RIGHT]}};
    const page_curve largest[] = {{"gamma", r->curve[LARGEST_GAMMA]},
                                  {"beta", r->curve[LARGEST_BETA]}};
    page_part part[DRIVER_STAGES];
    for (size_t i = 0; i < DRIVER_STAGES; i++) part[i] = (page_part){PHASES[i], o->epochs[i]};
    page_chart c = {.step = "epoch", .n = r->epochs, .parts = DRIVER_STAGES, .part = part};
    page_section(p, "training", "Training");
    if (!r->epochs) {
        page_say(p, "There are no epochs in this run.");
        return;
    }
    show_phases(j, p);
    page_pictures(p);
    c.title = "Loss without the penalty";
    c.unit = "";
    c.curves = 1;
    c.curve = loss;
    page_chart_add(p, &c);
    c.title = "Accuracy";
    c.unit = " %";
    c.curves = 2;
    c.curve = right;
    page_chart_add(p, &c);
    if (j->removed && o->epochs[DRIVER_MASKED]) {
        c.title = "Largest marked |gamma| and |beta|";
        c.unit = "";
        c.curve = largest;
        page_chart_add(p, &c);
    }
    page_pictures_end(p);
}

/* ---- Sections: gamma and beta ---- */

static bool is_marked(const struct report *r, size_t kind, size_t i)
{
    return r->keep && !r->keep[r->unit[kind][i]];
}

static const char *const MOMENT_NAMES[MOMENTS] = {"at the baseline", "after the global phase",
                                                  "before the cut"};

static void show_histogram(const job *j, page *p, size_t kind, size_t m, page_histogram h)
{
    const struct report *r = j->report;
    size_t count[2][PAGE_BINS] = {{0}};
    char title[80];
    for (size_t i = 0; i < r->numbers[kind]; i++) {
        const double x = r->value[m][kind][i];
        if (isfinite(x)) count[is_marked(r, kind, i)][page_bin(&h, x)]++;
    }
    snprintf(title, sizeof title, "%s %s", KIND_NAMES[kind], MOMENT_NAMES[m]);
    h.title = title;
    h.name[0] = r->keep ? "they stay" : "all";
    h.name[1] = r->keep ? "marked" : NULL;
    h.count[0] = count[0];
    h.count[1] = count[1];
    page_histogram_add(p, &h);
}

static void show_kind(const job *j, page *p, size_t kind)
{
    const struct report *r = j->report;
    double least = 0, most = 0;
    page_histogram h = {0};
    for (size_t m = 0; m < MOMENTS; m++)
        for (size_t i = 0; r->value[m][kind] && i < r->numbers[kind]; i++) {
            if (!isfinite(r->value[m][kind][i])) continue;
            least = fmin(least, r->value[m][kind][i]);
            most = fmax(most, r->value[m][kind][i]);
        }
    page_histogram_range(&h, least, most);
    page_pictures(p);
    for (size_t m = 0; m < MOMENTS; m++)
        if (r->value[m][kind]) show_histogram(j, p, kind, m, h);
    page_pictures_end(p);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The median and the largest of the magnitudes of marked units, or of those that stay. */
static void show_size(const job *j, page *p, size_t m, size_t kind, bool marked)
{
    const struct report *r = j->report;
    double *size = malloc((r->numbers[kind] + 1) * sizeof *size);
    size_t n = 0;
    if (!size) p->body.failed = true;
    for (size_t i = 0; size && i < r->numbers[kind]; i++)
        if (is_marked(r, kind, i) == marked && isfinite(r->value[m][kind][i]))
            size[n++] = fabs(r->value[m][kind][i]);
    if (n) {
        qsort(size, n, sizeof *size, ascending);
        page_cell(p, "%zu", n);
        page_cell(p, "%.3g", (size[n / 2] + size[(n - 1) / 2]) / 2);
        page_cell(p, "%.3g", size[n - 1]);
    } else {
        page_cell(p, "0");
        page_cell(p, "%s", "");
        page_cell(p, "%s", "");
    }
    free(size);
}

static void show_gamma_beta(const job *j, page *p)
{
    static const page_column columns[] = {{"numbers", PAGE_NAME},  {"stay", PAGE_NUMBER},
                                          {"median", PAGE_NUMBER}, {"largest", PAGE_NUMBER},
                                          {"marked", PAGE_NUMBER}, {"median", PAGE_NUMBER},
                                          {"largest", PAGE_NUMBER}};
    const struct report *r = j->report;
    bool any = false;
    for (size_t m = 0; m < MOMENTS; m++) any = any || r->value[m][GAMMA];
    if (!any || r->numbers[GAMMA] + r->numbers[BETA] == 0) return;
    page_section(p, "gamma-beta", "Gamma and beta");
    page_say(p,
             "Each channel of a batch norm has a scale, gamma, and a shift, beta. These pictures "
             "count those of channels that can be removed. %s",
             r->keep ? "Those of units that stay are above the axis, those of marked units below, "
                       "each half with a scale of its own. The mask tells them apart also at "
                       "moments before it was chosen. The masked phase begins with the values of "
                       "the baseline."
                     : "The mask is not chosen yet.");
    for (size_t k = 0; k < KINDS; k++)
        if (r->numbers[k]) show_kind(j, p, k);
    page_table(p, "How many stay and how many are marked, and the median and the largest of each",
               sizeof columns / sizeof *columns, columns);
    for (size_t k = 0; k < KINDS; k++)
        for (size_t m = 0; m < MOMENTS; m++) {
            if (!r->value[m][k]) continue;
            page_row(p, "|%s| %s", KIND_NAMES[k], MOMENT_NAMES[m]);
            show_size(j, p, m, k, false);
            show_size(j, p, m, k, true);
        }
    page_table_end(p);
}

/* ---- Sections: layers, constants, speed ---- */

static void show_layers(const job *j, page *p)
{
    const outcome *o = &j->report->outcome;
    page_section(p, "layers", "Layers");
    if (!o->layers) {
        page_say(p, "%s",
                 j->cut ? "The cut was made before the run was resumed, so the layers before it "
                          "are not known here."
                        : "The mask is not chosen yet.");
        return;
    }
    page_say(p,
             "%zu of %zu units stay. A unit is a set of channels that can only be removed "
             "together.%s",
             o->units[1], o->units[0],
             o->constants ? "" : " The cut is not made yet; this is what the mask leaves.");
    outcome_show_layers(o, p);
}

static void show_speed(const job *j, page *p)
{
    const results *r = &j->results;
    const page_bar bars[] = {{"inference", r->inference[0], r->inference[1]},
                             {"training", r->training[0], r->training[1]}};
    if (isnan(r->inference[1]) || isnan(r->training[1])) return;
    page_section(p, "speed", "Speed");
    page_say(p,
             "Images per second on this machine, in batches of %zu: the median of several "
             "repetitions, right before and right after surgery. Inference is %.2f times as "
             "fast as before, training %.2f times.",
             j->t->options.batch, r->inference[1] / r->inference[0],
             r->training[1] / r->training[0]);
    page_pictures(p);
    page_bars_add(p, &(page_bars){"Images per second", "kinds of steps", 2, bars});
    page_pictures_end(p);
    if (r->penalty_share > 0)
        page_say(p, "The penalty's share of a training step: %.4f %%.", 100 * r->penalty_share);
}

/* ---- The page ---- */

static void put_time(size_t size, char *text)
{
    struct timespec now;
    struct tm parts;
    *text = 0;
    if (!clock_gettime(CLOCK_REALTIME, &now) && gmtime_r(&now.tv_sec, &parts))
        strftime(text, size, "%Y-%m-%d, %H:%M UTC", &parts);
}

static void begin_page(const job *j, page *p, const char *failure)
{
    const driver_options *o = &j->t->options;
    char title[160], state[700];
    size_t done = 0;
    for (size_t i = 0; i < DRIVER_STAGES; i++) done += j->report->phases[i].done;
    snprintf(title, sizeof title, "%.60s, pruned to %g %% of its multiply-accumulates", j->t->model,
             100 * o->macs);
    if (failure)
        snprintf(state, sizeof state, "%s after %zu of %zu epochs: %.500s", UNFINISHED[0], done,
                 j->report->epochs, failure);
    else
        snprintf(state, sizeof state,
                 "%s: %zu of %zu epochs are done. The page is written again "
                 "after each epoch; load it again to see more.",
                 UNFINISHED[1], done, j->report->epochs);
    page_begin(p, j->t->name, title, j->report->closed ? NULL : state);
}

static bool write_page(job *j, const char *failure, file_error *err)
{
    struct report *r = j->report;
    page p = {0};
    char time[40];
    begin_page(j, &p, failure);
    show_results(j, &p, r->closed);
    options_show(j->t, &p);
    show_curves(j, &p);
    show_layers(j, &p);
    show_gamma_beta(j, &p);
    if (r->outcome.constants) {
        page_section(&p, "constants", "Constants");
        outcome_show_constants(&r->outcome, &p);
    }
    show_speed(j, &p);
    page_section(&p, "messages", "Messages");
    page_say(&p, "What the program printed besides its epochs.");
    page_lines(&p, r->lines, (const char *const *)r->line);
    page_section(&p, "repeat", "To repeat this run");
    page_say(&p, "The same command, with the same data, gives the same network; times differ.");
    page_command(&p, j->argc, j->argv);
    put_time(sizeof time, time);
    page_say(&p, "%zu images to train on, %zu to test. mskp %d.%d.%d. Written on %s.",
             j->train.count, j->test.count, MSKP_VERSION_MAJOR, MSKP_VERSION_MINOR,
             MSKP_VERSION_PATCH, time);
    const bool good = page_write(&p, r->path, err);
    page_free(&p);
    return good;
}

/* A resumed run has no numbers for the epochs before. */
static void print_curves(job *j)
{
    static const struct {
        size_t curve;
        const char *name, *unit;
    } curves[] = {{LOSS, "loss", ""}, {TEST, "test", " %"}};
    const struct report *r = j->report;
    char text[SPARK_TEXT], line[SPARK_TEXT + 80];
    for (size_t i = 0; i < sizeof curves / sizeof *curves && spark_wanted(); i++) {
        const double *y = r->curve[curves[i].curve];
        size_t first = 0, end = r->epochs;
        while (first < end && !isfinite(y[first])) first++;
        while (first < end && !isfinite(y[end - 1])) end--;
        if (end - first < 2) continue;
        spark_text(end - first, y + first, text);
        snprintf(line, sizeof line, "%-5s %s  %.4g to %.4g%s", curves[i].name, text, y[first],
                 y[end - 1], curves[i].unit);
        progress_print(&j->progress, false, line);
    }
}

bool report_finish(job *j)
{
    struct report *r = j->report;
    file_error err;
    print_curves(j);
    if (!r->page) return true;
    r->closed = true;
    if (r->failed) return trainer_fail(j->t, "%.200s: there was no memory for all of it", r->path);
    return write_page(j, NULL, &err) || trainer_fail(j->t, "%.200s: %s", r->path, err.text);
}

void report_failed(job *j)
{
    file_error err = {""};
    if (!j->report || !j->report->page || !*j->report->path) return;
    j->report->closed = false;
    write_page(j, j->t->error, &err);
}
