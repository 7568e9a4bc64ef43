#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

bool trainer_fail(trainer *t, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(t->error, sizeof t->error, format, list);
    va_end(list);
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
    progress_print(&j->progress, false, text);
}

/* ---- files ---- */

/* Whether a file could be written. It is left as it is. */
static bool writable(job *j, const char *path)
{
    if (!path) return true;
    FILE *file = fopen(path, "rb");
    const bool exists = file;
    if (file) fclose(file);
    file = fopen(path, "ab");
    if (!file) return trainer_fail(j->t, "%s: cannot be written: %s", path, strerror(errno));
    fclose(file);
    if (!exists) remove(path);
    return true;
}

static bool readable(job *j, const char *path)
{
    if (!path) return true;
    FILE *file = fopen(path, "rb");
    if (!file) return trainer_fail(j->t, "%s: cannot be read: %s", path, strerror(errno));
    fclose(file);
    return true;
}

static bool open_log(job *j)
{
    const char *path = j->t->options.log;
    if (!path) return true;
    j->log = fopen(path, "w");
    if (!j->log) return trainer_fail(j->t, "%s: cannot be written: %s", path, strerror(errno));
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
    return good || trainer_fail(j->t, "%s: could not be written to the end", j->t->options.log);
}

/* ---- data and memory ---- */

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
        good = (o->evaluate || cn_data_shapes(t->drawn[0], 1, &j->train, &error)) &&
               cn_data_shapes(t->drawn[1], 2, &j->test, &error);
    if (!good) return trainer_fail(t, "%s", error.text);
    if (o->images && o->images < j->train.count) j->train.count = o->images;
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
    return pruning_open(j) && snapshot_make(t, t->values, &j->baseline) &&
           snapshot_make(t, t->values, &j->values) && snapshot_make(t, t->state, &j->state);
}

static void release(job *j)
{
    pruning_free(j);
    snapshot_free(&j->baseline);
    snapshot_free(&j->values);
    snapshot_free(&j->state);
    free(j->images);
    free(j->outputs);
    free(j->labels);
    free(j->order);
    cn_data_free(&j->train);
    cn_data_free(&j->test);
    if (j->log) fclose(j->log);
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
    if (!t->open(t) || !open_data(j) || !allocate(j)) return false;
    if (advice) say(j, "note: %s", advice);
    progress_start(&j->progress, work_ahead(j));
    if (o->evaluate) return evaluate(j);
    if (!try_mask(j) || !readable(j, o->sparse) || !writable(j, o->out) ||
        !writable(j, o->save_sparse) || !writable(j, o->save_masked) || !open_log(j))
        return false;
    j->random = (cn_random){o->seed};
    say(j, "%s, %.0f parameters, %.2f million MACs; %zu images, %zu to test", t->model,
        j->dense.params, 1e-6 * j->dense.macs, j->train.count, j->test.count);
    if (!run_stages(j) || !close_log(j)) return false;
    print_table(j);
    say(j, "%.0f seconds in all", seconds() - j->progress.started);
    return true;
}

int driver_run(trainer *t, int argc, char **argv)
{
    job j = {.t = t};
    if (!options_read(t, argc, argv)) {
        fprintf(stderr, "%s: %s\n", t->name, t->error);
        return 2;
    }
    if (t->options.help) {
        options_help(t);
        return 0;
    }
    bool good = run(&j);
    progress_clear(&j.progress);
    if ((fflush(stdout) || ferror(stdout)) && good) /* for instance if the disk is full */
        good = trainer_fail(t, "the output cannot be written: %s", strerror(errno));
    if (!good) fprintf(stderr, "%s: %s\n", t->name, t->error);
    t->close(t);
    release(&j);
    return good ? 0 : 1;
}
