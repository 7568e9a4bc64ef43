/* What one run of mskp-onnx holds: made, and given back. */
#include "job.h"

#include <stdlib.h>

#include "list.h"

bool refuse(job *j, const mskp_error *err)
{
    return fail(&j->f, "%s", err->text);
}

bool had_memory(job *j)
{
    return !memory_was_short() ||
           fail(&j->f, "%.120s: no memory for all that is to be known of the network",
                j->o.files.text[0]);
}

lengths job_lengths(const job *j)
{
    return (lengths){j->o.lengths.count, j->o.lengths.text, "--length"};
}

bool job_open(job *j)
{
    const lengths l = job_lengths(j);
    mskp_error err;
    j->onnx.cuts = true;
    if (!model_read(&j->onnx.m, j->o.files.text[0], &j->f) ||
        !object_describe(&j->onnx, &l, false, &j->f))
        return false;
    j->graph = mskp_onnx_graph(&j->onnx);
    j->counts = mskp_graph_counts(j->graph);
    if (mskp_measure(j->graph, (mskp_mask){0, NULL}, &j->dense, NULL, &err)) return refuse(j, &err);
    j->before = count_parameters(&j->onnx.n, false);
    if (!list_uncounted(&j->onnx.n, sizeof j->uncounted, j->uncounted)) *j->uncounted = 0;
    return had_memory(j);
}

bool job_allocate(job *j)
{
    const size_t units = j->counts.units, some = units ? units : 1;
    const size_t params = j->counts.params;
    j->values = (mskp_tensors){params, try_calloc(params ? params : 1, sizeof *j->values.view)};
    j->scores = (mskp_scores){units, try_calloc(some, sizeof *j->scores.unit)};
    j->locked = (mskp_mask){units, try_calloc(some, 1)};
    j->selected = (mskp_mask){units, try_calloc(some, 1)};
    j->kept = (mskp_mask){units, try_calloc(some, 1)};
    return (j->values.view && j->scores.unit && j->locked.unit && j->selected.unit &&
            j->kept.unit) ||
           fail(&j->f, "no memory for %zu units and %zu parameters", units, params);
}

void job_release(job *j)
{
    model_discard(&j->pruned);
    model_discard(&j->zeroed);
    file_discard(&j->mask_file);
    file_discard(&j->report_file);
    file_discard(&j->page_file);
    outcome_free(&j->outcome);
    for (size_t i = 0; i < j->held_count; i++) free(j->held[i]);
    j->held_count = 0;
    mskp_constants_destroy(j->constants);
    object_close(&j->onnx);
    free(j->values.view);
    free(j->scores.unit);
    free(j->locked.unit);
    free(j->selected.unit);
    free(j->kept.unit);
    j->constants = NULL;
    j->graph = NULL;
    j->values = (mskp_tensors){0, NULL};
    j->scores = (mskp_scores){0, NULL};
    j->locked = j->selected = j->kept = (mskp_mask){0, NULL};
}
