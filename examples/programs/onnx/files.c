/* Files beside the network: the mask that is read, the mask and the report that are written. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "job.h"

/* The bytes of a file, with a 0 behind them. NULL: the sentence is in j->f. */
static char *read_text(job *j, const char *path, size_t *length)
{
    FILE *file = fopen(path, "rb");
    size_t capacity = 0, used = 0;
    char *text = NULL;
    bool good = file != NULL;
    while (good && !feof(file)) {
        if (capacity - used < 2) {
            char *more = realloc(text, capacity = 2 * capacity + 4096);
            good = more != NULL;
            if (good) text = more;
        }
        if (good) used += fread(text + used, 1, capacity - used - 1, file);
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

bool read_mask(job *j)
{
    size_t length;
    mskp_error err;
    char *text = read_text(j, j->o.mask, &length);
    if (!text) return false;
    const bool good = !mskp_mask_read(j->graph, length, text, j->selected, &err) ||
                      fail(&j->f, "%s: %s", j->o.mask, err.text);
    free(text);
    return good;
}

/* mskp_mask_write or mskp_report_json of the job. */
typedef mskp_status text_maker(const job *j, size_t capacity, char *text, size_t *length,
                               mskp_error *err);

static mskp_status make_mask(const job *j, size_t capacity, char *text, size_t *length,
                             mskp_error *err)
{
    return mskp_mask_write(j->graph, j->kept, capacity, text, length, err);
}

static mskp_status make_report(const job *j, size_t capacity, char *text, size_t *length,
                               mskp_error *err)
{
    const mskp_report_options with = {.scores = j->o.mask ? (mskp_scores){0, NULL} : j->scores,
                                      .constants = j->constants};
    return mskp_report_json(j->graph, j->kept, &with, capacity, text, length, err);
}

static bool write_made(job *j, const char *path, text_maker *make)
{
    size_t length = 0;
    mskp_error err;
    if (!path) return true;
    if (make(j, 0, NULL, &length, &err)) return refuse(j, &err);
    char *text = malloc(length + 1);
    if (!text) return fail(&j->f, "no memory for %zu bytes of %s", length, path);
    bool good = !make(j, length + 1, text, &length, &err) || refuse(j, &err);
    good = good && write_text(j, path, text, length);
    free(text);
    return good;
}

bool write_mask(job *j)
{
    return write_made(j, j->o.save_mask, make_mask);
}

bool write_report(job *j)
{
    return write_made(j, j->o.json, make_report);
}
