/* Plans of surgery. */
#ifndef MSKP_SURGERY_PLAN_H
#define MSKP_SURGERY_PLAN_H

#include <stdbool.h>

#include "base/view.h"
#include "describe/graph.h"
#include "mskp/tools.h"

typedef struct kept_list {
    size_t first, n, full; /* first: in plan->kept; n == full: all stay, nothing stored */
} kept_list;

struct mskp_plan {
    mskp_services host;
    size_t nparams, nvalues, naxes;
    graph_param *params;
    graph_axis *axes;
    graph_value *values; /* [nvalues + 1] */
    kept_list *lists;
    uint32_t *kept;
    char *text;
    size_t units;
    uint8_t *keep;         /* [units] the mask, 1 or 0 */
    bool awaits_constants; /* made for constants that are not yet applied: not to be cut */
};

/* What of an axis stays: *kept NULL: all. Returns the new length. */
size_t mskpi_plan_axis(const mskp_plan *plan, uint32_t param, uint32_t axis, const uint32_t **kept);
/* The view that `full` becomes in place, if `length` of each axis stays. */
void mskpi_cut_view(const tensor_view *full, const size_t *length, tensor_view *small);
/* The view that a parameter's tensor becomes in place, after checking it. */
mskp_status mskpi_plan_view(const mskp_plan *plan, uint32_t param, const mskp_tensor *full,
                            tensor_view *small, mskp_error *err);

#endif
