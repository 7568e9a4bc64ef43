/* The order in which a rule removes units. */
#ifndef MSKP_MASK_SELECT_H
#define MSKP_MASK_SELECT_H

#include <stdbool.h>

#include "describe/graph.h"

/*
 * The blocks of units that mskp_select removes, in its order, and all blocks that would follow if a
 * demand asked for more. Removing the first b blocks, for any b of at least `named`, breaks no
 * limit of the rule. MACs, parameters, bytes and memory fall from block to block, or stay.
 */
typedef struct removal_order {
    uint32_t *unit; /* in the order of removal, within a block by ascending score */
    size_t *end;    /* [nblocks + 1] end[b]: how many units the first b blocks have */
    size_t nblocks;
    size_t named;  /* blocks that the rule names, by threshold and remove_family_fraction */
    size_t enough; /* blocks after which all demands hold for the first time */
} removal_order;

/* *order <- the removal order. Checks and errors are those of mskp_select. Free the result with
 * mskpi_removal_order_free. */
mskp_status mskpi_removal_order(const mskp_graph *graph, mskp_scores scores, const mskp_rule *rule,
                                removal_order *order, mskp_error *err);
void mskpi_removal_order_free(const mskp_services *services, removal_order *order);

#endif
