/* Names of parameters, values, and kinds of operators. */
#ifndef MSKP_DESCRIBE_NAMES_H
#define MSKP_DESCRIBE_NAMES_H

#include "mskp.h"
#include "mskp/operators.h"
#include "mskp/tools.h"

typedef struct name_slot {
    uint32_t id, hash; /* id 0: the slot is empty */
} name_slot;

/* A hash table from names to ids. */
typedef struct name_table {
    name_slot *slot;
    size_t capacity, used; /* capacity is 0 or a power of two */
} name_table;

const char *mskpi_param_name(const mskp_graph *graph, uint32_t param);
const char *mskpi_value_name(const mskp_graph *graph, uint32_t value);

/* The label of an operator in sentences: its name, or the kind of operator if it has no name. */
const char *mskpi_label(const char *name, const char *op);

/* Grows a table, if needed, so that it can hold one more name. */
mskp_status mskpi_reserve_name(mskp_graph *graph, name_table *table);
/* Adds the name of parameter or value `id` to a table that was grown for it, and copies the name.
 * `what` is "parameter" or "value", for sentences. *offset <- where the copy is in graph->text.
 * Refuses names that are empty, used before, or not one word. */
mskp_status mskpi_add_name(mskp_graph *graph, name_table *table, const char *what, const char *name,
                           uint32_t id, size_t *offset);
/* The id of a name; 0 if the table does not hold it. */
uint32_t mskpi_name_find(const mskp_graph *graph, const name_table *table, const char *name);

/* *full <- an operator's name with the name of one of its parts, "block1.attn.query". NULL and ""
 * stay as they are. The result is valid until the next call that adds a name, and may be passed to
 * that call. */
mskp_status mskpi_part_name(mskp_graph *graph, const char *name, const char *part,
                            const char **full);

/* Copies the caller's word for a kind of operator. *offset <- where the copy is in graph->text. */
mskp_status mskpi_add_op(mskp_graph *graph, const char *label, const char *op, size_t *offset);

/* *to <- a copy of a table. Returns its slots, or NULL if there is no memory. */
name_slot *mskpi_copy_names(const mskp_services *services, name_table *to, const name_table *from);

#endif
