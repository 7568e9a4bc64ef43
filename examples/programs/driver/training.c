#include <math.h>
#include <stdlib.h>

#include "internal.h"

size_t steps_per_epoch(const job *j)
{
    const size_t batch = j->t->options.batch;
    return j->t->whole_batches ? j->train.count / batch : (j->train.count + batch - 1) / batch;
}

/* Work is counted in images that go forward through the dense network. */
static void count_work(job *j, double images)
{
    j->progress.done += images * j->now.macs / j->dense.macs;
}

/* ---- the pruner ---- */

/* Counts the time, and takes over a sentence. */
static bool end_call(trainer *t, driver_step *step, double start, mskp_status status,
                     const mskp_error *err)
{
    step->penalty_seconds += driver_seconds() - start;
    return !status || trainer_fail(t, "%s", err->text);
}

bool driver_before(trainer *t, driver_step *step, mskp_tensors values, mskp_tensors gradients)
{
    const double start = driver_seconds();
    mskp_error err;
    return !step->pruner ||
           end_call(t, step, start,
                    mskp_pruner_before_step(step->pruner, step->rate, values, gradients, &err),
                    &err);
}

bool driver_after(trainer *t, driver_step *step, mskp_tensors values)
{
    const double start = driver_seconds();
    mskp_error err;
    return !step->pruner ||
           end_call(t, step, start, mskp_pruner_after_step(step->pruner, step->rate, values, &err),
                    &err);
}

/* ---- the test set ---- */

/* j->images <- n test images in their order, from `first` on, and again from the beginning if there
 * are too few. */
static void draw_tests(job *j, size_t first, size_t n)
{
    for (size_t i = 0; i < n; i++) j->order[i] = (first + i) % j->test.count;
    cn_draw(&j->test, n, j->order, NULL, j->images, j->labels);
}

bool infer_first(job *j, size_t n)
{
    draw_tests(j, 0, n);
    return j->t->infer(j->t, n, j->images, j->outputs);
}

/* The index of the largest output, the first of equals. */
static size_t predicted(size_t classes, const float *outputs)
{
    size_t best = 0;
    for (size_t i = 1; i < classes; i++)
        if (outputs[i] > outputs[best]) best = i;
    return best;
}

bool count_right(job *j, size_t *right)
{
    const size_t batch = j->t->options.batch, classes = j->t->classes;
    *right = 0;
    for (size_t at = 0; at < j->test.count; at += batch) {
        const size_t left = j->test.count - at, n = left < batch ? left : batch;
        draw_tests(j, at, n);
        if (!j->t->infer(j->t, n, j->images, j->outputs)) return false;
        for (size_t i = 0; i < n; i++)
            *right += predicted(classes, j->outputs + i * classes) == j->labels[i];
        if (!checkpoint_pause(j)) return false;
    }
    count_work(j, (double)j->test.count);
    return true;
}

bool accuracy(job *j, double *part)
{
    size_t right;
    if (!count_right(j, &right)) return false;
    *part = (double)right / (double)j->test.count;
    return true;
}

/* ---- epochs ---- */

static void show_epoch(job *j, const stage *s, const epoch *e, const double *test)
{
    char text[160], right[40] = "", tested[32] = "";
    const double n = (double)e->images;
    if (e->counted)
        snprintf(right, sizeof right, "   accuracy %6.2f %%", 100 * (double)e->right / n);
    if (test) snprintf(tested, sizeof tested, "   test %6.2f %%", 100 * *test);
    snprintf(text, sizeof text, "%-8s epoch %zu/%zu   loss %.4f%s%s", s->name, e->number + 1,
             s->epochs, e->loss / n, right, tested);
    if (test && !(j->progress.terminal && e->number + 1 < s->epochs))
        progress_print(&j->progress, true, text);
    else
        progress_show(&j->progress, text);
}

static void log_epoch(job *j, const stage *s, const epoch *e, double test)
{
    journal *log = &j->journals[JOURNAL_LOG];
    const double n = (double)e->images;
    const double rate = cn_rate_cosine(s->rate, e->number, s->epochs); /* the epoch's first */
    journal_add(log, "%s,%zu,%.6g,%.6g,", s->name, e->number + 1, rate, e->loss / n);
    if (e->counted) journal_add(log, "%.6g", (double)e->right / n);
    journal_add(log, ",%.6g,%.6g,", test, pruning_loss(j));
    if (j->removed && !j->cut) journal_add(log, "%.6g", pruning_largest_marked(j, MSKP_ROLE_SCALE));
    journal_add(log, ",%.3f\n", driver_seconds() - e->started);
}

static bool train_batch(job *j, const stage *s)
{
    trainer *t = j->t;
    epoch *e = &j->epoch;
    const size_t per_epoch = steps_per_epoch(j), steps = s->epochs * per_epoch;
    const size_t number = e->number * per_epoch + e->steps;
    const size_t batch = t->options.batch, at = e->steps * batch;
    const size_t left = j->train.count - at;
    driver_step step = {.n = left < batch ? left : batch,
                        .images = j->images,
                        .labels = j->labels,
                        .rate = cn_rate_cosine(s->rate, number, steps),
                        .pruner = s->pruned ? j->pruner : NULL,
                        .right = SIZE_MAX};
    cn_draw(&j->train, step.n, j->order + at, &j->random, j->images, j->labels);
    const double start = driver_seconds();
    const bool good = t->train(t, &step);
    if (!isfinite(step.loss))
        return trainer_fail(t, "%s, epoch %zu: the loss is not finite; try a lower --lr", s->name,
                            e->number + 1);
    if (!good) return false;
    e->seconds += driver_seconds() - start;
    e->penalty_seconds += step.penalty_seconds;
    e->loss += step.loss * (double)step.n;
    e->counted = step.right != SIZE_MAX;
    e->right += step.right;
    e->images += step.n;
    e->steps++;
    count_work(j, 3 * (double)step.n);
    return true;
}

/* The order of the images. An epoch that goes on draws it once more. */
static void draw_order(job *j, epoch *e)
{
    if (!e->steps) e->drawn_from = j->random;
    cn_random random = e->drawn_from;
    for (size_t k = 0; k < j->train.count; k++) j->order[k] = k;
    cn_shuffle(&random, j->train.count, j->order);
    if (!e->steps) j->random = random;
}

static bool train_epoch(job *j, const stage *s, double *part)
{
    epoch *e = &j->epoch;
    const size_t per_epoch = steps_per_epoch(j);
    draw_order(j, e);
    while (e->steps < per_epoch) {
        if (!train_batch(j, s)) return false;
        show_epoch(j, s, e, NULL);
        if (!checkpoint_pause(j)) return false;
    }
    if (!accuracy(j, part)) return false;
    show_epoch(j, s, e, part);
    if (s->pruned) {
        char text[300];
        if (!pruning_gauge(j, s, sizeof text, text)) return false;
        if (j->phase == DRIVER_MASKED) say(j, "%s", text);
    }
    log_epoch(j, s, e, *part);
    journals_flush(j);
    if (s->pruned) j->results.penalty_share = e->penalty_seconds / e->seconds;
    const double n = (double)e->images;
    report_epoch(j, s, e->number,
                 &(epoch_result){.loss = e->loss / n,
                                 .right = e->counted ? (double)e->right / n : (double)NAN,
                                 .test = *part});
    *e = (epoch){.number = e->number + 1, .started = driver_seconds()};
    return checkpoint_write(j) && checkpoint_pause(j);
}

bool train(job *j, const stage *s)
{
    double part = 0, *to = s->accuracy ? s->accuracy : &part;
    if (!j->resumed) {
        j->epoch = (epoch){.started = driver_seconds()};
        if (!checkpoint_write(j)) return false;
    }
    j->resumed = false;
    file_let_signals_wait(j->t->options.checkpoint);
    while (j->epoch.number < s->epochs)
        if (!train_epoch(j, s, to)) return false;
    if (!s->epochs && s->accuracy && !accuracy(j, to)) return false;
    file_let_signals_wait(false);
    return true;
}

/* ---- speed ---- */

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

bool measure_speed(job *j, bool training, double *speed)
{
    enum { REPETITIONS = 7 };
    trainer *t = j->t;
    const size_t n = t->options.batch;
    double speeds[REPETITIONS];
    draw_tests(j, 0, n);
    for (size_t i = 0; i < REPETITIONS + 1; i++) { /* the first repetition warms up */
        const double start = driver_seconds();
        size_t batches = 0;
        do {
            driver_step step = {.n = n, .images = j->images, .labels = j->labels};
            if (training ? !t->train(t, &step) : !t->infer(t, n, j->images, j->outputs))
                return false;
            batches++;
        } while (driver_seconds() - start < 0.1);
        if (i) speeds[i - 1] = (double)(n * batches) / (driver_seconds() - start);
    }
    qsort(speeds, REPETITIONS, sizeof *speeds, ascending);
    *speed = speeds[REPETITIONS / 2];
    return true;
}
