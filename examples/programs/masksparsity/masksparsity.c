/*
 * masksparsity - train a network, find the channels that it can do without, drive them to zero
 * while it trains on, cut them out, fine-tune.
 *
 * The stages are those of [MaskSparsity] (see mskp.h). All that uses mskp is in pruner.c; here
 * is the training loop that it is added to, and what the stages do. Networks, data, optimizer and
 * files are convnet's.
 */
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/progress.h"
#include "common/table.h"
#include "convnet.h"
#include "options.h"
#include "pruner.h"

static const double MOMENTUM = 0.9, DECAY = 1e-4;
/* The part of the masked stage that is left after a deadline, for the others to take over. Right at
 * the stage's end the learning rate is 0, and what goes last would be missed. */
static const double AFTER_DEADLINE = 0.25;

typedef struct stage {
    const char *name;
    size_t epochs;
    double rate; /* the first */
    drive drive; /* what the marked channels are driven to 0 by */
} stage;

/* What the table at the end tells. Index 0: the dense network, 1: the pruned one. */
typedef struct results {
    double baseline, before, no_gamma, no_gamma_beta, after, tuned; /* accuracies on the test set */
    double inference[2], training[2];                               /* images per second */
} results;

typedef struct job {
    options o;
    cn_net *net;
    cn_data train, test;
    cn_real *images, *baseline, *saved; /* a batch; two copies of all values and momenta */
    uint8_t *labels;
    size_t *order;
    cn_random random;
    pruner pruner;
    progress progress;
    FILE *log;
    results results;
    char error[400];
} job;

static bool fail(job *j, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(j->error, sizeof j->error, format, list);
    va_end(list);
    return false;
}

static void say(job *j, const char *format, ...)
{
    char text[800];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    progress_print(&j->progress, false, text);
}

/* ============================================================================================== */
/*                                           Training                                             */
/* ============================================================================================== */

/* The first n images, in their order. */
static void count_up(job *j, size_t n)
{
    for (size_t i = 0; i < n; i++) j->order[i] = i;
}

static size_t steps_per_epoch(const job *j)
{
    return (j->train.count + j->o.batch - 1) / j->o.batch;
}

/* Work is counted in images that go forward through the dense network. */
static void work(job *j, double images)
{
    j->progress.done += images * j->pruner.cost.macs / j->pruner.dense.macs;
}

/* Of the test set, in [0, 1]. */
static bool accuracy(job *j, double *part)
{
    const size_t right = cn_evaluate(j->net, &j->test, NULL, NULL);
    if (right == SIZE_MAX) return fail(j, "no memory for a batch of %zu images", j->o.batch);
    *part = (double)right / (double)j->test.count;
    work(j, (double)j->test.count);
    return true;
}

typedef struct epoch {
    size_t number, images, right;
    double loss, started;
} epoch;

static void tell(job *j, const stage *s, const epoch *e, const double *test)
{
    char text[160], tested[32] = "";
    const double n = (double)e->images;
    if (test) snprintf(tested, sizeof tested, "   test %6.2f %%", 100 * *test);
    snprintf(text, sizeof text, "%-8s epoch %zu/%zu   loss %.4f   accuracy %6.2f %%%s", s->name,
             e->number + 1, s->epochs, e->loss / n, 100 * (double)e->right / n, tested);
    if (test && !(j->progress.terminal && e->number + 1 < s->epochs))
        progress_print(&j->progress, true, text);
    else
        progress_show(&j->progress, text);
}

static bool train_batch(job *j, const stage *s, size_t step, epoch *e)
{
    const size_t per_epoch = steps_per_epoch(j), steps = s->epochs * per_epoch;
    const size_t deadline = steps - (size_t)((double)steps * AFTER_DEADLINE);
    const size_t at = step % per_epoch * j->o.batch, left = j->train.count - at;
    const size_t n = left < j->o.batch ? left : j->o.batch;
    size_t right;
    mskp_error err;
    cn_draw(&j->train, n, j->order + at, &j->random, j->images, j->labels);
    cn_forward(j->net, n, j->images, true);
    const double loss = cn_loss(j->net, j->labels, &right);
    if (!isfinite(loss))
        return fail(j, "%s, epoch %zu: the loss is not finite; try a lower --lr", s->name,
                    e->number + 1);
    cn_backward(j->net);
    const double rate = cn_rate_cosine(s->rate, step, steps);
    if (!pruner_before_step(&j->pruner, &s->drive, &err)) return fail(j, "%s", err.text);
    cn_sgd_step(j->net, &(cn_sgd){rate, MOMENTUM, DECAY, true});
    if (!pruner_after_step(&j->pruner, &s->drive, rate,
                           step + 1 < deadline ? deadline - 1 - step : 0, &err))
        return fail(j, "%s", err.text);
    e->loss += loss * (double)n;
    e->right += right;
    e->images += n;
    work(j, 3 * (double)n);
    return true;
}

static void log_epoch(job *j, const stage *s, const epoch *e, double test)
{
    const pruner *p = &j->pruner;
    const bool marked = p->selection.removed && p->cost.macs > p->selection.cost.macs;
    const double n = (double)e->images;
    const double rate = cn_rate_cosine(s->rate, e->number, s->epochs); /* the epoch's first */
    if (!j->log) return;
    fprintf(j->log, "%s,%zu,%.6g,%.6g,%.6g,%.6g,%.6g,", s->name, e->number + 1, rate, e->loss / n,
            (double)e->right / n, test, pruner_loss(p, &s->drive));
    if (marked) fprintf(j->log, "%.6g", pruner_largest_marked(p, MSKP_ROLE_SCALE));
    fprintf(j->log, ",%.3f\n", seconds() - e->started);
    fflush(j->log);
}

/* *test: the accuracy at the end. */
static bool train(job *j, const stage *s, double *test)
{
    const size_t per_epoch = steps_per_epoch(j);
    for (size_t i = 0; i < s->epochs; i++) {
        epoch e = {.number = i, .started = seconds()};
        count_up(j, j->train.count);
        cn_shuffle(&j->random, j->train.count, j->order);
        for (size_t k = 0; k < per_epoch; k++) {
            if (!train_batch(j, s, i * per_epoch + k, &e)) return false;
            tell(j, s, &e, NULL);
        }
        if (!accuracy(j, test)) return false;
        tell(j, s, &e, test);
        log_epoch(j, s, &e, *test);
    }
    return s->epochs || accuracy(j, test);
}

/* All values and momenta, to or from one array. */
static void copy_state(const cn_net *net, cn_real *store, bool save)
{
    for (size_t i = 0; i < net->param_count; i++) {
        const cn_param *p = &net->params[i];
        cn_real *parts[2] = {p->value, p->momentum};
        for (size_t k = 0; k < (p->trained ? 2u : 1u); k++, store += p->count)
            memcpy(save ? store : parts[k], save ? parts[k] : store, p->count * sizeof *store);
    }
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Images per second, the median of some repetitions, each a whole number of batches. Training moves
 * the network's state: whoever calls saves it. */
static double speed(job *j, bool training)
{
    enum { REPETITIONS = 7 };
    const size_t n = j->test.count < j->o.batch ? j->test.count : j->o.batch;
    double rates[REPETITIONS];
    count_up(j, n);
    cn_draw(&j->test, n, j->order, NULL, j->images, j->labels);
    for (size_t i = 0; i < REPETITIONS + 1; i++) { /* the first warms up */
        const double start = seconds();
        size_t batches = 0;
        do {
            cn_forward(j->net, n, j->images, training);
            if (training) {
                cn_loss(j->net, j->labels, NULL);
                cn_backward(j->net);
                cn_sgd_step(j->net, &(cn_sgd){0, MOMENTUM, DECAY, true});
            }
            batches++;
        } while (seconds() - start < 0.1);
        if (i) rates[i - 1] = (double)(n * batches) / (seconds() - start);
    }
    qsort(rates, REPETITIONS, sizeof *rates, ascending);
    return rates[REPETITIONS / 2];
}

/* ============================================================================================== */
/*                                          The stages                                            */
/* ============================================================================================== */

static bool baseline(job *j)
{
    const stage s = {"baseline", j->o.epochs[BASELINE], j->o.rate, {0}};
    if (j->o.masked && !j->o.weights && !s.epochs) {
        j->results.baseline = (double)NAN; /* there was none */
    } else {
        if (!train(j, &s, &j->results.baseline)) return false;
        say(j, "baseline: test %.2f %%", 100 * j->results.baseline);
    }
    copy_state(j->net, j->baseline, true);
    return true;
}

static bool load(job *j, const char *path)
{
    cn_error error;
    cn_tensors file;
    if (!cn_tensors_read(path, &file, &error)) return fail(j, "%s", error.text);
    const bool good = cn_load_values(j->net, &file, &error);
    cn_tensors_free(&file);
    return good ? true : fail(j, "%s: %s", path, error.text);
}

static bool store(job *j, const char *path)
{
    cn_error error;
    return !path || cn_save(j->net, path, 0, NULL, &error) || fail(j, "%s", error.text);
}

/* The network before surgery, and which of its channels the penalty was on. */
static const char MASK_KEY[] = "mskp.mask";

static bool store_masked(job *j, const char *path)
{
    cn_error error;
    if (!path) return true;
    char *mask = pruner_mask_text(&j->pruner);
    if (!mask) return fail(j, "no memory for the mask of %zu units", j->pruner.keep.n);
    const bool good = cn_save(j->net, path, 1, (const char *const[]){MASK_KEY, mask}, &error);
    free(mask);
    return good ? true : fail(j, "%s", error.text);
}

static bool load_mask(job *j, const char *path)
{
    cn_error error;
    mskp_error err;
    cn_tensors file;
    if (!cn_tensors_read(path, &file, &error)) return fail(j, "%s", error.text);
    const char *mask = cn_tensors_meta(&file, MASK_KEY);
    bool good = mask || fail(j, "%s: holds no mask; --save-masked writes one", path);
    if (good && !pruner_take_mask(&j->pruner, mask, &err))
        good = fail(j, "%s: its mask: %s", path, err.text);
    cn_tensors_free(&file);
    return good;
}

/* Every gamma is made sparse, only to see which ones the network can spare. */
static bool global_sparsity(job *j)
{
    const options *o = &j->o;
    stage s = {"global", o->epochs[GLOBAL], o->rate, {GRADIENT, o->global_strength, {0}}};
    s.drive.penalty.target = MSKP_TARGET_ALL;
    double test;
    if (o->masked) return true;
    if (o->sparse) return load(j, o->sparse);
    cn_sgd_reset(j->net);
    if (!o->epochs[GLOBAL]) return true;
    return train(j, &s, &test) && store(j, o->save_sparse);
}

/* The kept channels of each stage of a ResNet: the stream, and what is inside its blocks. */
static void tell_widths(job *j)
{
    const cn_net *net = j->net;
    char inner[600] = "", stream[40] = "";
    for (size_t i = 0; i < net->layer_count; i++) {
        const cn_layer *l = &net->layers[i];
        const char *dot = strchr(l->name, '.');
        if (l->kind != CN_CONV || !dot) continue;
        const size_t kept = pruner_channels_kept(&j->pruner, l->name), used = strlen(inner);
        if (strstr(dot, ".conv1"))
            snprintf(inner + used, sizeof inner - used, " %zu/%zu", kept, l->channels);
        else
            snprintf(stream, sizeof stream, "%zu/%zu", kept, l->channels);
        /* The last block's last convolution ends the stage. */
        size_t k = i + 1;
        while (k < net->layer_count && net->layers[k].kind != CN_CONV) k++;
        if (k < net->layer_count && !strncmp(net->layers[k].name, l->name, (size_t)(dot - l->name)))
            continue;
        say(j, "  %.*s: stream %s, inside%s", (int)(dot - l->name), l->name, stream, inner);
        *inner = 0;
    }
}

/* The slices that the penalty is on; that of gamma is zeroed before the cut in any case. */
static uint32_t driven(const options *o)
{
    return MSKP_ROLE_SCALE | (o->on == ON_GAMMA_BETA ? MSKP_ROLE_SHIFT : 0u);
}

static bool select_units(job *j)
{
    const options *o = &j->o;
    const aim a = {.macs = o->macs,
                   .filters = o->mask == MASK_FILTERS,
                   .constants = {.way = (mskp_constants_way)o->constants,
                                 .zeroed = o->penalty ? driven(o) : MSKP_ROLE_SCALE}};
    mskp_error err;
    return pruner_select(&j->pruner, &a, &err) ? true : fail(j, "%s", err.text);
}

static bool mask(job *j)
{
    pruner *p = &j->pruner;
    if (!(j->o.masked ? load_mask(j, j->o.masked) : select_units(j))) return false;
    say(j, "mask: %zu of %zu units are marked, %.1f %% of the MACs stay", p->selection.removed,
        p->keep.n, 100 * p->selection.cost.macs / p->dense.macs);
    if (p->selection.removed) tell_widths(j);
    copy_state(j->net, j->baseline, false);
    cn_sgd_reset(j->net);
    return true;
}

/*
 * How far can the penalty move a weight in this schedule, and how far must it? Says so before the
 * epochs are spent. The loss itself may pull the other way, so a reach of just the size is little.
 */
static void tell_reach(job *j, const stage *s)
{
    const drive *d = &s->drive;
    const size_t steps = s->epochs * steps_per_epoch(j);
    const bool beta = d->penalty.roles & MSKP_ROLE_SHIFT;
    const char *what = beta ? "|gamma| or |beta|" : "|gamma|";
    const char *formula = d->form == PROXIMAL ? "s * sum(lr)" : "s / (1 - momentum) * sum(lr)";
    const double far = pruner_largest_marked(&j->pruner, d->penalty.roles);
    double reach = 0;
    if (d->form == FREE) return;
    for (size_t i = 0; i < steps; i++) reach += d->strength * cn_rate_cosine(s->rate, i, steps);
    if (d->form != PROXIMAL) reach /= 1 - MOMENTUM;
    if (d->form == DEADLINE) {
        say(j, "reach: all the way; the largest marked %s is %.3g", what, far);
        if (!steps) say(j, "warning: but the masked stage has no steps");
    } else if (d->penalty.kind == MSKP_PENALTY_L2) {
        say(j, "reach: L2 shrinks the largest marked %s, %.3g, to exp(-%s) = %.3g of it, not to 0",
            what, far, formula, exp(-reach));
    } else {
        say(j, "reach: %s = %.3g; the largest marked %s is %.3g", formula, reach, what, far);
        if (reach < far)
            say(j, "warning: out of reach; what is cut will still be at work: raise --strength, "
                   "--lr or the epochs");
    }
}

static const drive DRIVES[] = {
    [PENALTY_NONE] = {FREE, 0, {0}},
    [PENALTY_L1] = {GRADIENT, 0, {.kind = MSKP_PENALTY_L1}},
    [PENALTY_SMOOTH_L1] = {GRADIENT, 0, {.kind = MSKP_PENALTY_SMOOTH_L1}},
    [PENALTY_L2] = {GRADIENT, 0, {.kind = MSKP_PENALTY_L2}},
    [PENALTY_PROX] = {PROXIMAL, 0, {.kind = MSKP_PENALTY_L1}},
    [PENALTY_DEADLINE] = {DEADLINE, 0, {0}}};

static bool masked_sparsity(job *j)
{
    const options *o = &j->o;
    const pruner *p = &j->pruner;
    stage s = {"masked", o->epochs[MASKED], o->rate, DRIVES[o->penalty]};
    s.drive.strength = o->strength;
    s.drive.penalty.roles = driven(o);
    /* Smooth within one step of 0, where L1 only makes gamma jump from side to side. */
    s.drive.penalty.knee = s.rate * o->strength / (1 - MOMENTUM);
    if (!p->selection.removed) s.drive.form = FREE;
    if (o->masked) {
        if (!load(j, o->masked) || !accuracy(j, &j->results.before)) return false;
    } else {
        tell_reach(j, &s);
        if (!train(j, &s, &j->results.before) || !store_masked(j, o->save_masked)) return false;
    }
    if (p->selection.removed)
        say(j, "marked: the largest |gamma| is %.2g, the largest |beta| %.2g",
            pruner_largest_marked(p, MSKP_ROLE_SCALE), pruner_largest_marked(p, MSKP_ROLE_SHIFT));
    return true;
}

/* Accuracy with these slices of the marked units at zero; the network is as it was afterwards. */
static bool accuracy_without(job *j, uint32_t roles, double *part)
{
    mskp_error err;
    bool good = pruner_zero_marked(&j->pruner, roles, &err);
    good = good ? accuracy(j, part) : fail(j, "%s", err.text);
    copy_state(j->net, j->saved, false);
    return good;
}

/* The logits of the first test images. */
static void get_logits(job *j, size_t n, cn_real *logits)
{
    count_up(j, n);
    cn_draw(&j->test, n, j->order, NULL, j->images, j->labels);
    memcpy(logits, cn_forward(j->net, n, j->images, false), n * j->net->classes * sizeof *logits);
}

static bool hand_on(job *j, bool *exact, mskp_error *err)
{
    mskp_constants_report r;
    if (!pruner_hand_on(&j->pruner, (mskp_constants_way)j->o.constants, &r, err)) return false;
    say(j,
        "constants of what is cut: %zu added to means and biases, %zu handed to %zu units that "
        "stay for it, %zu dropped, %zu not constant",
        r.folded, r.merged, r.carriers, r.dropped, r.live);
    if (r.carriers)
        say(j, "  with these units %.1f %% of the MACs stay",
            100 * j->pruner.selection.cost.macs / j->pruner.dense.macs);
    if (!r.exact) say(j, "  not exact: %s", r.why);
    if (!r.exact && isfinite(r.bound))
        say(j, "  a layer's output is off by at most %.2g, %.2g times what it varies by", r.bound,
            r.share);
    /* What was written anew has no past for an optimizer to go on with. */
    if (r.folded + r.merged) cn_sgd_reset(j->net);
    *exact = r.exact;
    return true;
}

/* What is cut has gamma 0. If its constants are handed on exactly, this must change nothing but the
 * order of some sums. */
static bool cut_and_compare(job *j)
{
    const size_t n = j->test.count < j->o.batch ? j->test.count : j->o.batch;
    const size_t count = n * j->net->classes;
    double difference = 0, scale = 1;
    bool exact = true;
    mskp_error err;
    cn_real *zeroed = malloc(2 * count * sizeof *zeroed), *small = zeroed + count;
    if (!zeroed) return fail(j, "no memory for %zu logits", 2 * count);
    bool good = pruner_zero_marked(&j->pruner, MSKP_ROLE_SCALE, &err);
    if (good) get_logits(j, n, zeroed);
    copy_state(j->net, j->saved, false);
    good = good && hand_on(j, &exact, &err) && pruner_cut(&j->pruner, j->net, &err);
    if (good) get_logits(j, n, small);
    for (size_t i = 0; good && i < count; i++) {
        difference = fmax(difference, fabs((double)zeroed[i] - (double)small[i]));
        scale = fmax(scale, fabs((double)zeroed[i]));
    }
    free(zeroed);
    if (!good) return fail(j, "%s", err.text);
    say(j, "surgery itself: largest difference of logits %.2g", difference);
    return !exact || difference <= 1e-3 * scale ? true : fail(j, "surgery changed the network");
}

static bool surgery(job *j)
{
    results *r = &j->results;
    copy_state(j->net, j->saved, true);
    r->inference[0] = speed(j, false);
    r->training[0] = speed(j, true);
    copy_state(j->net, j->saved, false);
    if (!accuracy_without(j, MSKP_ROLE_SCALE, &r->no_gamma) ||
        !accuracy_without(j, MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT, &r->no_gamma_beta) ||
        !cut_and_compare(j) || !accuracy(j, &r->after))
        return false;
    copy_state(j->net, j->saved, true);
    r->inference[1] = speed(j, false);
    r->training[1] = speed(j, true);
    copy_state(j->net, j->saved, false);
    say(j, "surgery: test %.2f %% before, %.2f %% right after", 100 * r->before, 100 * r->after);
    return true;
}

static bool tune(job *j)
{
    const options *o = &j->o;
    const double rate = o->epochs[MASKED] || o->masked ? o->rate / 2 : o->rate;
    const stage s = {"tuning", o->epochs[TUNE], rate, {0}};
    return train(j, &s, &j->results.tuned) && store(j, o->out);
}

static void table(job *j)
{
    const pruner *p = &j->pruner;
    const results *r = &j->results;
    const table_pair pairs[] = {{"parameters", p->dense.params, p->cost.params},
                                {"MACs", p->dense.macs, p->cost.macs},
                                {"images/s, inference", r->inference[0], r->inference[1]},
                                {"images/s, training", r->training[0], r->training[1]}};
    const table_part parts[] = {{"baseline", r->baseline},
                                {"before surgery", r->before},
                                {"  gamma of the removed zeroed", r->no_gamma},
                                {"  gamma and beta zeroed", r->no_gamma_beta},
                                {"right after surgery", r->after},
                                {"after fine-tuning", r->tuned}};
    table_print(&j->progress, sizeof pairs / sizeof *pairs, pairs, sizeof parts / sizeof *parts,
                parts);
}

/* ============================================================================================== */
/*                                           The job                                              */
/* ============================================================================================== */

/* --evaluate: nothing but this. */
static bool evaluate(job *j)
{
    const size_t right = cn_evaluate(j->net, &j->test, NULL, NULL);
    if (right == SIZE_MAX) return fail(j, "no memory for a batch of %zu images", j->o.batch);
    say(j, "parameters: %.0f, MACs: %.0f", j->pruner.dense.params, j->pruner.dense.macs);
    say(j, "top-1: %zu/%zu", right, j->test.count);
    say(j, "images per second: %.0f", speed(j, false));
    return true;
}

static bool run_stages(job *j)
{
    return baseline(j) && global_sparsity(j) && mask(j) && masked_sparsity(j) && surgery(j) &&
           tune(j);
}

static bool open_network(job *j)
{
    const options *o = &j->o;
    const cn_options how = {o->batch, o->threads, o->seed};
    cn_error error;
    mskp_error err;
    char model[CN_NAME_SIZE];
    snprintf(model, sizeof model, "resnet%zu", o->depth);
    j->net = o->weights ? cn_load(o->weights, &how, &error)
                        : cn_resnet(o->depth ? o->depth : 8, 10, &how, &error);
    if (!j->net) return fail(j, "%s", error.text);
    if (o->weights && o->depth && strcmp(j->net->model, model) != 0)
        return fail(j, "%s: holds %s, but --model says %s", o->weights, j->net->model, model);
    return pruner_describe(&j->pruner, j->net, &err) ? true : fail(j, "%s", err.text);
}

/* The built-in images are the same for every --seed. */
static bool open_data(job *j)
{
    enum { IMAGES = 6000, TEST_IMAGES = 2000 };
    const char *folder = j->o.data;
    const bool all = !j->o.evaluate;
    cn_error error;
    bool good;
    if (folder)
        good = (!all || cn_data_cifar10(folder, true, &j->train, &error)) &&
               cn_data_cifar10(folder, false, &j->test, &error);
    else
        good = (!all || cn_data_shapes(IMAGES, 1, &j->train, &error)) &&
               cn_data_shapes(TEST_IMAGES, 2, &j->test, &error);
    if (!good) return fail(j, "%s", error.text);
    if (j->net->classes < j->test.classes)
        return fail(j, "the network knows %zu classes, the data have %zu", j->net->classes,
                    j->test.classes);
    return true;
}

static bool allocate(job *j)
{
    size_t state = 1;
    const size_t order = j->train.count > j->o.batch ? j->train.count : j->o.batch;
    for (size_t i = 0; i < j->net->param_count; i++) state += 2 * j->net->params[i].count;
    j->images = malloc(j->o.batch * CN_PIXELS * sizeof *j->images);
    j->labels = malloc(j->o.batch);
    j->order = malloc(order * sizeof *j->order);
    j->baseline = malloc(state * sizeof *j->baseline);
    j->saved = malloc(state * sizeof *j->saved);
    if (!j->images || !j->labels || !j->order || !j->baseline || !j->saved)
        return fail(j, "no memory for batches of %zu images", j->o.batch);
    return true;
}

/* What cannot be had should be known before hours are spent: a file, a number of MACs. */
static bool possible(job *j)
{
    if (!(j->o.masked ? load_mask(j, j->o.masked) : select_units(j))) return false;
    j->pruner.selection = (mskp_selection){0}; /* only tried */
    return true;
}

static bool writable(job *j, const char *path)
{
    if (!path) return true;
    FILE *file = fopen(path, "rb");
    const bool exists = file;
    if (file) fclose(file);
    file = fopen(path, "ab");
    if (!file) return fail(j, "%s: cannot be written: %s", path, strerror(errno));
    fclose(file);
    if (!exists) remove(path);
    return true;
}

/* A file that is read after the first stage: better to know before it. */
static bool readable(job *j, const char *path)
{
    if (!path) return true;
    FILE *file = fopen(path, "rb");
    if (!file) return fail(j, "%s: cannot be read: %s", path, strerror(errno));
    fclose(file);
    return true;
}

static bool open_log(job *j)
{
    if (!j->o.log) return true;
    j->log = fopen(j->o.log, "w");
    if (!j->log) return fail(j, "%s: cannot be written: %s", j->o.log, strerror(errno));
    fprintf(j->log, "stage,epoch,rate,loss,train_accuracy,test_accuracy,penalty,"
                    "largest_marked_gamma,seconds\n");
    return true;
}

static bool close_log(job *j)
{
    if (!j->log) return true;
    const bool bad = ferror(j->log);
    const bool good = !fclose(j->log) && !bad;
    j->log = NULL;
    return good ? true : fail(j, "%s: could not be written to the end", j->o.log);
}

static double work_ahead(const job *j)
{
    double work = 0;
    for (size_t i = 0; i < STAGES; i++)
        work += (double)j->o.epochs[i] * (i == TUNE ? j->o.macs : 1) *
                (3 * (double)j->train.count + (double)j->test.count);
    return work + 4 * (double)j->test.count; /* baseline, gamma and beta zeroed, surgery */
}

static bool run(job *j)
{
    const options *o = &j->o;
    const char *advice = cn_kernels_advice();
    if (!open_network(j) || !open_data(j) || !allocate(j)) return false;
    if (advice) say(j, "note: %s", advice);
    progress_start(&j->progress, work_ahead(j));
    if (o->evaluate) return evaluate(j);
    if (!possible(j) || !readable(j, o->sparse) || !writable(j, o->out) ||
        !writable(j, o->save_sparse) || !writable(j, o->save_masked) || !open_log(j))
        return false;
    j->random = (cn_random){o->seed};
    say(j, "%s, %.0f parameters, %.2f million MACs; %zu images, %zu to test", j->net->model,
        j->pruner.dense.params, 1e-6 * j->pruner.dense.macs, j->train.count, j->test.count);
    if (!run_stages(j) || !close_log(j)) return false;
    table(j);
    say(j, "%.0f seconds in all", seconds() - j->progress.started);
    return true;
}

static void release(job *j)
{
    pruner_free(&j->pruner);
    free(j->images);
    free(j->labels);
    free(j->order);
    free(j->baseline);
    free(j->saved);
    cn_data_free(&j->train);
    cn_data_free(&j->test);
    cn_destroy(j->net);
    if (j->log) fclose(j->log);
}

int main(int argc, char **argv)
{
    job j = {0};
    if (!options_read(argc, argv, &j.o, sizeof j.error, j.error)) {
        fprintf(stderr, "masksparsity: %s\n", j.error);
        return 2;
    }
    if (j.o.help) {
        options_help();
        return 0;
    }
    bool good = run(&j);
    progress_clear(&j.progress);
    if ((fflush(stdout) || ferror(stdout)) && good) /* a full disk, say */
        good = fail(&j, "the output cannot be written: %s", strerror(errno));
    if (!good) fprintf(stderr, "masksparsity: %s\n", j.error);
    release(&j);
    return good ? 0 : 1;
}
