/* Files beside the network: the mask that is read, the mask and the report that are written. */
#include "files.h"

#include <stdlib.h>

#include "job.h"

/* A mask has a number for each channel; this is far more than networks have. */
enum { MOST_TEXT = 1 << 28 };

static bool write_text(job *j, const char *path, const char *text, size_t length)
{
    file_output out;
    file_error why;
    bool good = file_create(&out, path, &why);
    if (good) {
        file_put(&out, text, length);
        good = file_commit(&out, &why);
    }
    file_discard(&out);
    return good || fail(&j->f, "%.120s: %s", path, why.text);
}

bool read_mask(job *j)
{
    size_t length;
    char *text;
    file_error why;
    mskp_error err;
    if (!file_read(j->o.mask, MOST_TEXT, &text, &length, &why))
        return fail(&j->f, "%.120s: %s", j->o.mask, why.text);
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
