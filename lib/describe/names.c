/*
 * Names of parameters and values, and of kinds of operators.
 *
 * All names are in one growing text, and everything else refers to them by offset. Two hash tables,
 * one for parameters and one for values, map names to ids. A table has open addressing with linear
 * probing: a name is in the first free slot from its hash on, and a search ends at an empty slot.
 * At most half of the slots are used, so searches are short. Names are never removed.
 *
 * A slot holds the hash of the name beside its id. Two names are therefore compared only where
 * their hashes agree, and a table grows without reading a name.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mskp.h"
#include "mskp/operators.h"
#include "mskp/tools.h"

const char *mskpi_param_name(const mskp_graph *graph, uint32_t id)
{
    MSKPI_ASSERT(id >= 1 && id <= graph->nparams);
    return graph->text + graph->params[id].name;
}

const char *mskpi_value_name(const mskp_graph *graph, uint32_t id)
{
    MSKPI_ASSERT(id >= 1 && id <= graph->nvalues);
    return graph->text + graph->values[id].name;
}

const char *mskpi_label(const char *name, const char *op)
{
    return name && *name ? name : op;
}

/* ---- Tables ---- */

static const char *name_of(const mskp_graph *graph, const name_table *table, uint32_t id)
{
    return table == &graph->param_names ? mskpi_param_name(graph, id) : mskpi_value_name(graph, id);
}

static uint32_t name_hash(const char *name)
{
    return (uint32_t)mskpi_hash(name, strlen(name));
}

/* The slot that holds the name, or else the empty slot where it belongs. */
static name_slot *slot_of(const mskp_graph *graph, const name_table *table, const char *name,
                          uint32_t hash)
{
    MSKPI_ASSERT(table->used < table->capacity); /* an empty slot ends the search */
    for (size_t i = hash;; i++) {
        name_slot *s = &table->slot[i & (table->capacity - 1)];
        if (!s->id || (s->hash == hash && !strcmp(name_of(graph, table, s->id), name))) return s;
    }
}

uint32_t mskpi_name_find(const mskp_graph *graph, const name_table *table, const char *name)
{
    return table->capacity ? slot_of(graph, table, name, name_hash(name))->id : 0;
}

mskp_status mskpi_reserve_name(mskp_graph *graph, name_table *table)
{
    name_table wide = {.used = table->used};
    if (2 * (table->used + 1) <= table->capacity) return MSKP_OK;
    wide.capacity = table->capacity ? 2 * table->capacity : 64;
    MSKPI_ASSERT((wide.capacity & (wide.capacity - 1)) == 0); /* probes wrap around by a mask */
    wide.slot = mskpi_alloc(&graph->services, wide.capacity, sizeof *wide.slot);
    if (!wide.slot) return mskpi_no_memory(graph);
    for (size_t i = 0; i < table->capacity; i++) {
        size_t to = table->slot[i].hash;
        if (!table->slot[i].id) continue;
        while (wide.slot[to & (wide.capacity - 1)].id) to++;
        wide.slot[to & (wide.capacity - 1)] = table->slot[i];
    }
    mskpi_free(&graph->services, table->slot);
    *table = wide;
    return MSKP_OK;
}

name_slot *mskpi_copy_names(const mskp_services *services, name_table *to, const name_table *from)
{
    *to = *from;
    to->slot = mskpi_alloc(services, from->capacity, sizeof *to->slot);
    if (to->slot && from->capacity) memcpy(to->slot, from->slot, from->capacity * sizeof *to->slot);
    return to->slot;
}

/* ---- Text ---- */

/* Refuses a name that is not one word. */
static mskp_status check_word(mskp_graph *graph, const char *what, const char *word)
{
    if (!word || !*word)
        return mskpi_graph_fail(graph, MSKP_ERROR_BAD_NAME, "a %s needs a name", what);
    for (size_t i = 0; word[i]; i++) {
        const unsigned char c = (unsigned char)word[i];
        if (c <= ' ' || c == 127)
            return mskpi_refuse(graph, word, MSKP_ERROR_BAD_NAME,
                                "the name of a %s contains a blank or control character (code %u) "
                                "at position %zu",
                                what, (unsigned)c, i);
    }
    return MSKP_OK;
}

/* Copies a word to the graph's text. */
static mskp_status add_text(mskp_graph *graph, const char *word, size_t *offset)
{
    const size_t length = strlen(word);
    char *text = mskpi_grow(&graph->services, graph->text, &graph->text_capacity, graph->text_used,
                            length + 1, 1);
    if (!text) return mskpi_no_memory(graph);
    graph->text = text;
    *offset = graph->text_used;
    memmove(text + *offset, word, length + 1); /* the name of a part is there already */
    graph->text_used += length + 1;
    return MSKP_OK;
}

mskp_status mskpi_add_name(mskp_graph *graph, name_table *table, const char *what, const char *name,
                           uint32_t id, size_t *offset)
{
    if (check_word(graph, what, name)) return mskpi_first_error(graph);
    MSKPI_ASSERT(id && 2 * (table->used + 1) <= table->capacity);
    const uint32_t hash = name_hash(name);
    name_slot *slot = slot_of(graph, table, name, hash);
    if (slot->id)
        return mskpi_refuse(graph, name, MSKP_ERROR_BAD_NAME, "two %ss have this name", what);
    if (add_text(graph, name, offset)) return mskpi_first_error(graph);
    *slot = (name_slot){id, hash};
    table->used++;
    return MSKP_OK;
}

/* The name is written behind the used part of the text, where add_text puts its copy. So the text
 * that holds the name does not grow, and move, while add_text copies it. */
mskp_status mskpi_part_name(mskp_graph *graph, const char *name, const char *part,
                            const char **full)
{
    *full = name;
    if (!name || !*name) return MSKP_OK; /* mskpi_new_value derives a name, or refuses "" */
    const size_t size = strlen(name) + 1 + strlen(part) + 1;
    char *text =
        mskpi_grow(&graph->services, graph->text, &graph->text_capacity, graph->text_used, size, 1);
    if (!text) return mskpi_no_memory(graph);
    graph->text = text;
    snprintf(text + graph->text_used, size, "%s.%s", name, part);
    *full = text + graph->text_used;
    return MSKP_OK;
}

mskp_status mskpi_add_op(mskp_graph *graph, const char *label, const char *op, size_t *offset)
{
    if (check_word(graph, "kind of operator", op)) return mskpi_first_error(graph);
    if (strlen(op) > MSKP_MAX_OP)
        return mskpi_refuse(graph, label, MSKP_ERROR_BAD_NAME,
                            "the name of a kind of operator has %zu bytes, at most %d are kept",
                            strlen(op), MSKP_MAX_OP);
    return add_text(graph, op, offset);
}

/* ---- Public look-ups ---- */

mskp_param mskp_param_find(const mskp_graph *graph, const char *name)
{
    if (!graph || !name) return (mskp_param){0};
    return (mskp_param){mskpi_name_find(graph, &graph->param_names, name)};
}

mskp_value mskp_value_find(const mskp_graph *graph, const char *name)
{
    if (!graph || !name) return (mskp_value){0};
    return (mskp_value){mskpi_name_find(graph, &graph->value_names, name)};
}

const char *mskp_param_name(const mskp_graph *graph, mskp_param handle)
{
    if (!graph || !handle.id || handle.id > graph->nparams) return NULL;
    return mskpi_param_name(graph, handle.id);
}

const char *mskp_value_name(const mskp_graph *graph, mskp_value handle)
{
    if (!graph || !handle.id || handle.id > graph->nvalues) return NULL;
    return mskpi_value_name(graph, handle.id);
}
