#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"

bool trainer_fail(trainer *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(t->error, sizeof t->error, format, list);
    va_end(list);
    file_printable(t->error); /* names may come from a file */
    return false;
}

double driver_seconds(void)
{
    return seconds();
}

bool fetch(trainer *t)
{
    return !t->fetch || t->fetch(t);
}

bool store(trainer *t)
{
    return !t->store || t->store(t);
}

void say(job *j, const char *format, ...)
{
    char text[900];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    file_printable(text);
    report_line(j, text);
    progress_print(&j->progress, false, text);
}

/* ---- files ---- */

/* Whether the files can be written: that should be known before hours are spent. */
static bool writable(job *j)
{
    const driver_options *o = &j->t->options;
    const char *const paths[JOB_OUTPUTS] = {o->out, o->save_sparse, o->save_masked, o->checkpoint};
    file_error err;
    for (size_t i = 0; i < JOB_OUTPUTS; i++)
        if (paths[i] && !file_check(paths[i], &j->held[i], &err))
            return trainer_fail(j->t, "%.200s: %s", paths[i], err.text);
    return true;
}

static bool readable(job *j, const char *path)
{
    return !path || !access(path, R_OK) ||
           trainer_fail(j->t, "%s: it cannot be read: %s", path, strerror(errno));
}

bool driver_write(trainer *t, const char *path, bool (*write)(trainer *t, const char *name))
{
    file_output out;
    file_error err;
    bool good = file_create(&out, path, &err) || trainer_fail(t, "%.200s: %s", path, err.text);
    good = good && write(t, out.name) &&
           (file_commit(&out, &err) || trainer_fail(t, "%.200s: %s", path, err.text));
    file_discard(&out);
    return good;
}

/* ---- data and memory ---- */

/* The first `most` images, or, if that is 0, all. */
static size_t at_most(size_t count, size_t most)
{
    return most && most < count ? most : count;
}

static bool open_data(job *j)
{
    trainer *t = j->t;
    const driver_options *o = &t->options;
    cn_error error;
    bool good;
    if (o->data)
        good = (o->evaluate || cn_data_cifar10(o->data, true, &j->train, &error)) &&
               cn_data_cifar10(o->data, false, &j->test, &error);
    else
        good = (o->evaluate ||
                cn_data_shapes(at_most(t->drawn[0], o->images), 1, &j->train, &error)) &&
               cn_data_shapes(at_most(t->drawn[1], o->test_images), 2, &j->test, &error);
    if (!good) return trainer_fail(t, "%s", error.text);
    j->train.count = at_most(j->train.count, o->images);
    j->test.count = at_most(j->test.count, o->test_images);
    if (t->classes < j->test.classes)
        return trainer_fail(t, "the network has %zu classes, the data have %zu", t->classes,
                            j->test.classes);
    if (t->whole_batches && o->batch > j->train.count)
        return trainer_fail(t, "a batch of %zu images is asked for, but there are %zu to train on",
                            o->batch, j->train.count);
    return true;
}

static bool allocate(job *j)
{
    trainer *t = j->t;
    const size_t batch = t->options.batch;
    const size_t order = j->train.count > batch ? j->train.count : batch;
    j->images = malloc(batch * CN_PIXELS * sizeof *j->images);
    j->outputs = malloc(batch * t->classes * sizeof *j->outputs);
    j->labels = malloc(batch);
    j->order = malloc(order * sizeof *j->order);
    if (!j->images || !j->outputs || !j->labels || !j->order)
        return trainer_fail(t, "no memory for batches of %zu images", batch);
    return pruning_open(j) && snapshot_make(t, t->values, &j->baseline) && make_room(j);
}

static void release(job *j)
{
    report_free(j);
    snapshot_free(&j->baseline);
    snapshot_free(&j->values);
    snapshot_free(&j->state);
    free(j->images);
    free(j->outputs);
    free(j->labels);
    free(j->order);
    cn_data_free(&j->train);
    cn_data_free(&j->test);
    journals_free(j);
    for (size_t i = 0; i < JOB_OUTPUTS; i++)
        if (j->held[i] >= 0) close(j->held[i]);
}

/* ---- the job ---- */

/* --evaluate */
static bool evaluate(job *j)
{
    size_t right;
    double speed;
    if (!count_right(j, &right)) return false;
    say(j, "parameters: %.0f, MACs: %.0f", j->dense.params, j->dense.macs);
    say(j, "top-1: %zu/%zu", right, j->test.count);
    if (!measure_speed(j, false, &speed)) return false;
    say(j, "images per second: %.0f", speed);
    return true;
}

static double work_ahead(const job *j)
{
    const driver_options *o = &j->t->options;
    double work = 0;
    for (size_t i = 0; i < DRIVER_STAGES; i++)
        work += (double)o->epochs[i] * (i == DRIVER_TUNE ? o->macs : 1) *
                (3 * (double)j->train.count + (double)j->test.count);
    return work + 4 * (double)j->test.count; /* baseline, gamma and beta zeroed, surgery */
}

static bool run(job *j)
{
    trainer *t = j->t;
    const driver_options *o = &t->options;
    const char *advice = cn_kernels_advice();
    if (!checkpoint_check(j) || !t->open(t) || !open_data(j) || !allocate(j)) return false;
    if (advice) say(j, "note: %s", advice);
    progress_start(&j->progress, work_ahead(j));
    if (o->evaluate) return evaluate(j);
    j->random = (cn_random){o->seed};
    if (!checkpoint_open(j) ||
        (o->resume ? !checkpoint_read(j)
                   : !pruning_try(j) || !pruning_begin(j, NULL, NULL) || !readable(j, o->sparse)) ||
        !writable(j) || !journals_open(j) || !report_open(j))
        return false;
    say(j, "%s, %.0f parameters, %.2f million MACs; %zu images, %zu to test", t->model,
        j->dense.params, 1e-6 * j->dense.macs, j->train.count, j->test.count);
    if (!run_stages(j) || !journals_close(j)) return false;
    print_table(j);
    say(j, "%.0f seconds in all", seconds() - j->progress.started);
    return report_finish(j);
}

int driver_run(trainer *t, int argc, char **argv)
{
    const double unknown = (double)NAN;
    job j = {.t = t,
             .journals = {[JOURNAL_LOG] = {.name = "log"}, [JOURNAL_GAUGES] = {.name = "gauges"}},
             .held = {-1, -1, -1, -1},
             .argc = argc,
             .argv = argv,
             .results = {unknown,
                         unknown,
                         unknown,
                         unknown,
                         unknown,
                         unknown,
                         {unknown, unknown},
                         {unknown, unknown},
                         unknown}};
    file_catch_signals();
    if (!options_read(t, argc, argv)) {
        file_print(stderr, "%s: %s", t->name, t->error);
        return 2;
    }
    if (t->options.help) {
        options_help(t);
        return 0;
    }
    j.journals[JOURNAL_LOG].path = t->options.log;
    j.journals[JOURNAL_GAUGES].path = t->options.gauges;
    bool good = run(&j);
    progress_clear(&j.progress);
    if ((fflush(stdout) || ferror(stdout)) && good) /* for instance if the disk is full */
        good = trainer_fail(t, "the output cannot be written: %s", strerror(errno));
    if (!good) {
        file_print(stderr, "%s: %s", t->name, t->error);
        report_failed(&j);
    }
    pruning_free(&j); /* the graph is the trainer's */
    t->close(t);
    release(&j);
    return good ? 0 : 1;
}
