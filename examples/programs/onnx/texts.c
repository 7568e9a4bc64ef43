/* Files beside the network: the mask that is read, the mask and the report that are written. */
#include <stdlib.h>

#include "files.h"
#include "job.h"

/* A mask has a number for each channel; this is far more than networks have. */
enum { MOST_TEXT = 1 << 28 };

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

/* The text under a temporary name; without a path there is none. */
static bool prepare(job *j, const char *path, text_maker *make, file_output *out)
{
    size_t length = 0;
    file_error why;
    mskp_error err;
    if (!path) return true;
    if (!model_may_write(&j->onnx.m, path, &j->f)) return false;
    if (make(j, 0, NULL, &length, &err)) return refuse(j, &err);
    char *text = try_malloc(length + 1);
    if (!text) return fail(&j->f, "no memory for %zu bytes of %s", length, path);
    bool good = !make(j, length + 1, text, &length, &err) || refuse(j, &err);
    if (good && file_create(out, path, &why)) {
        file_put(out, text, length);
        good = file_complete(out, &why) || fail(&j->f, "%.120s: %s", path, why.text);
    } else if (good) {
        good = fail(&j->f, "%.120s: %s", path, why.text);
    }
    free(text);
    return good;
}

bool prepare_texts(job *j)
{
    return prepare(j, j->o.save_mask, make_mask, &j->mask_file) &&
           prepare(j, j->o.json, make_report, &j->report_file);
}

static bool show(job *j, const char *path, file_output *out)
{
    file_error why;
    return file_commit(out, &why) || fail(&j->f, "%.120s: %s", path, why.text);
}

bool show_texts(job *j)
{
    return show(j, j->o.save_mask, &j->mask_file) && show(j, j->o.json, &j->report_file);
}
