/*
 * Journals: files to which a job adds lines after each epoch.
 *
 * A journal is written in place, so that others can read it while it grows. A job that goes on from
 * a checkpoint writes it again from its beginning; so with --checkpoint, all lines are kept in
 * memory, too, even of a journal that no option asks for: the job that goes on may ask for it.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

static const char *const FIRST_LINE[JOURNALS] = {
    [JOURNAL_LOG] = "stage,epoch,rate,loss,train_accuracy,test_accuracy,penalty,"
                    "largest_marked_gamma,seconds\n",
    [JOURNAL_GAUGES] = "",
};

bool journals_open(job *j)
{
    for (size_t i = 0; i < JOURNALS; i++) {
        journal *a = &j->journals[i];
        file_error err;
        if (a->path && !file_create_log(&a->file, a->path, &err))
            return trainer_fail(j->t, "%.200s: %s", a->path, err.text);
        if (!j->resumed)
            journal_put(a, FIRST_LINE[i], strlen(FIRST_LINE[i]));
        else if (a->path)
            file_put(&a->file, a->so_far, a->size);
        if (a->path && !file_flush(&a->file, &err))
            return trainer_fail(j->t, "%.200s: %s", a->path, err.text);
    }
    return true;
}

bool journals_copy(job *j)
{
    for (size_t i = 0; i < JOURNALS; i++) {
        journal *a = &j->journals[i];
        a->copy = open_memstream(&a->so_far, &a->size);
        if (!a->copy)
            return trainer_fail(j->t, "%.200s: no memory for a checkpoint",
                                j->t->options.checkpoint);
    }
    return true;
}

void journal_put(journal *a, const char *text, size_t length)
{
    if (a->file.open) file_put(&a->file, text, length);
    if (a->copy) fwrite(text, 1, length, a->copy);
}

void journal_add(journal *a, const char *format, ...)
{
    char text[200];
    va_list list;
    va_start(list, format);
    const int length = vsnprintf(text, sizeof text, format, list);
    va_end(list);
    if (length > 0 && (size_t)length < sizeof text) journal_put(a, text, (size_t)length);
}

void journals_flush(job *j)
{
    file_error err; /* comes again when the journal is closed */
    for (size_t i = 0; i < JOURNALS; i++)
        if (j->journals[i].file.open) file_flush(&j->journals[i].file, &err);
}

bool journals_close(job *j)
{
    file_error err;
    for (size_t i = 0; i < JOURNALS; i++) {
        journal *a = &j->journals[i];
        if (a->file.open && !file_commit(&a->file, &err))
            return trainer_fail(j->t, "%.200s: %s", a->path, err.text);
    }
    return true;
}

void journals_free(job *j)
{
    for (size_t i = 0; i < JOURNALS; i++) {
        journal *a = &j->journals[i];
        file_discard(&a->file);
        if (a->copy) fclose(a->copy);
        free(a->so_far);
    }
}
