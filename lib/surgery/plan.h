/* Plans of surgery: what stays, and the views that tensors become. */
#ifndef MSKP_SURGERY_PLAN_H
#define MSKP_SURGERY_PLAN_H

#include <stdbool.h>

#include "base/view.h"
#include "describe/graph.h"
#include "mskp/tools.h"

/* The ascending indices that stay of one distinct list: kept[first .. first+n-1] of the plan. If
 * all `full` of them stay, and there are some, they are not stored. */
typedef struct kept_list {
    size_t first, n, full;
} kept_list;

struct mskp_plan {
    mskp_services services;
    size_t nparams, nvalues;
    graph_param *params;
    graph_axis *axes;
    graph_value *values; /* these three are copies from the graph, but for the lists of what
                            vanishes */
    uint8_t *fate;       /* [values + 1] an mskp_fate */
    kept_list *lists;
    uint32_t *kept;
    char *text;
    size_t units;
    uint8_t *keep;         /* [units] the mask, 1 or 0 */
    bool awaits_constants; /* made for constants that are not yet applied: must not be cut */
};

/* *kept <- the indices of an axis that stay, NULL if all do. Returns how many stay. */
size_t mskpi_plan_axis(const mskp_plan *plan, uint32_t param, uint32_t axis, const uint32_t **kept);
/* *small <- the view that `full` becomes when it is cut in place to these lengths of its axes. */
void mskpi_cut_view(const tensor_view *full, const size_t *length, tensor_view *small);
/* Checks a parameter's tensor; *small <- the view that it becomes when it is cut in place. */
mskp_status mskpi_plan_view(const mskp_plan *plan, uint32_t param, const mskp_tensor *full,
                            tensor_view *small, mskp_error *err);

#endif
