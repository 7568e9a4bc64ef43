/* Names of parameters, values, and kinds of operators. */
#ifndef MSKP_DESCRIBE_NAMES_H
#define MSKP_DESCRIBE_NAMES_H

#include "mskp.h"
#include "mskp/operators.h"
#include "mskp/tools.h"

typedef struct name_slot {
    uint32_t id, hash; /* id 0: empty */
} name_slot;

typedef struct name_table {
    name_slot *slot;
    size_t capacity, used;
} name_table;

const char *mskpi_param_name(const mskp_graph *graph, uint32_t param);
const char *mskpi_value_name(const mskp_graph *graph, uint32_t value);

/* An operator's name as sentences call it. */
const char *mskpi_who(const char *name, const char *op);

/* Room for one more name. 1: no memory. */
int mskpi_name_room(mskp_graph *graph, name_table *table);
/* Copies a name, which is that of `id`; the table has room. 1 after a sentence: not acceptable, or
 * no memory. */
int mskpi_name_add(mskp_graph *graph, name_table *table, const char *what, const char *name,
                   uint32_t id, size_t *offset);

/* The operator's name with a part's, "block1.attn.query", for the value that is made next. NULL
 * stays NULL. */
const char *mskpi_part_name(mskp_graph *graph, const char *name, const char *part);

/* Copies the host's word for an operator to the graph's text. 1 after a sentence. */
int mskpi_own_op(mskp_graph *graph, const char *who, const char *op, size_t *offset);

uint32_t mskpi_name_find(const mskp_graph *graph, const name_table *table, const char *name);

name_slot *mskpi_copy_names(const mskp_services *services, name_table *to, const name_table *from);

#endif
