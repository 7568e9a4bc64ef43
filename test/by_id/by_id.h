/*
 * Arrays that are indexed by a parameter's id, and arrays per unit without a length.
 *
 * The library takes {n, view}, where view[id - 1] belongs to parameter id. The tests compare the
 * library with the interpreter, which numbers parameters from 1, too, and thousands of their lines
 * index tensors, recipes and expected numbers by the same id. Such arrays have an unused entry 0,
 * so that the tests need no "- 1" of their own, whose absence would be a fault of the test. The
 * functions below pass these arrays to the library, and are the only place that subtracts the 1.
 * Programs that use the library should not copy this: they can use mskp_tensor_of.
 */
#ifndef TEST_BY_ID_H
#define TEST_BY_ID_H

#include <stdlib.h>
#include <string.h>

#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/methods.h"
#include "mskp/operators.h"
#include "mskp/rules.h"
#include "mskp/tools.h"

static inline mskp_mask mask_of(size_t units, const uint8_t *flags)
{
    return (mskp_mask){flags ? units : 0, (uint8_t *)flags};
}

static inline mskp_scores scores_of(size_t units, const double *scores)
{
    return (mskp_scores){units, (double *)scores};
}

static inline mskp_tensors set_by_id(size_t params, const mskp_tensor *tensors)
{
    return (mskp_tensors){params, tensors ? (mskp_tensor *)tensors + 1 : NULL};
}

/* mskp_move over such arrays; to NULL: in place. */
typedef struct move_by_id {
    mskp_tensor *from;
    const mskp_tensor *to;
} move_by_id;

typedef mskp_status move_call(const mskp_plan *plan, size_t n, const mskp_move *moves,
                              mskp_error *err);

static inline mskp_status moved_by_id(move_call *call, const mskp_plan *plan, size_t params,
                                      size_t sets, const move_by_id *moves, mskp_error *err)
{
    enum { FEW = 32 }; /* for so few, nothing is allocated */
    mskp_move few[FEW], *all = moves ? few : NULL;
    memset(few, 0, sizeof few);
    if (moves && sets > FEW) all = calloc(sets, sizeof *all);
    for (size_t i = 0; all && i < sets; i++)
        all[i] = (mskp_move){set_by_id(params, moves[i].from), set_by_id(params, moves[i].to)};
    const mskp_status status = call(plan, sets, all, err);
    if (moves && sets > FEW) free(all);
    return status;
}

static inline mskp_status cut_by_id(const mskp_plan *plan, size_t params, size_t sets,
                                    const move_by_id *moves, mskp_error *err)
{
    return moved_by_id(mskp_plan_cut, plan, params, sets, moves, err);
}

static inline mskp_status restore_by_id(const mskp_plan *plan, size_t params, size_t sets,
                                        const move_by_id *moves, mskp_error *err)
{
    return moved_by_id(mskp_plan_restore, plan, params, sets, moves, err);
}

/* mskp_constants_create, and its mask `kept`. */
static inline mskp_status create_constants(const mskp_graph *graph, size_t units,
                                           const uint8_t *keep, const mskp_constants_desc *desc,
                                           size_t params, const mskp_tensor *values, uint8_t *kept,
                                           mskp_constants **constants, mskp_error *err)
{
    const mskp_status status = mskp_constants_create(graph, mask_of(units, keep), desc,
                                                     set_by_id(params, values), constants, err);
    const mskp_mask none = {0};
    return status ? status
                  : mskp_constants_masks(*constants, none, none, mask_of(units, kept), err);
}

static inline mskp_status get_carriers(const mskp_constants *constants, size_t units,
                                       uint8_t *carriers, mskp_error *err)
{
    const mskp_mask none = {0};
    return mskp_constants_masks(constants, none, mask_of(units, carriers), none, err);
}

/* mskp_constants_apply with a plan that is made for it. */
static inline mskp_status apply_constants(const mskp_constants *constants, size_t params,
                                          const mskp_tensor *values, mskp_error *err)
{
    mskp_plan *plan = NULL;
    mskp_status status = constants ? mskp_constants_plan(constants, &plan, NULL, err) : MSKP_OK;
    if (!status) status = mskp_constants_apply(constants, plan, set_by_id(params, values), err);
    mskp_plan_destroy(plan);
    return status;
}

static inline uint32_t param_info(const mskp_graph *graph, mskp_param param, const char **name,
                                  size_t shape[MSKP_MAX_DIMS])
{
    *name = mskp_param_name(graph, param);
    return mskp_param_shape(graph, param, shape);
}

#endif
