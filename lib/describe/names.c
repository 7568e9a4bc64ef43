/*
 * Names of parameters and values, and of kinds of operators.
 *
 * All names are kept in one growing text, and everything else refers to them by offset. One hash
 * table for parameters and one for values find a name's number. The tables have open addressing
 * with linear probing at a load of at most a half. A slot holds the name's hash beside its number,
 * so that other names are hardly ever compared, and so that a table grows without reading a name.
 */
#include <stdio.h>
#include <string.h>

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
    return graph->text + graph->params[id].name;
}

const char *mskpi_value_name(const mskp_graph *graph, uint32_t id)
{
    return graph->text + graph->values[id].name;
}

const char *mskpi_who(const char *name, const char *op)
{
    return name && *name ? name : op;
}

static const char *name_of(const mskp_graph *graph, const name_table *table, uint32_t id)
{
    return table == &graph->param_names ? mskpi_param_name(graph, id) : mskpi_value_name(graph, id);
}

static uint32_t name_hash(const char *name)
{
    return (uint32_t)mskpi_hash(name, strlen(name));
}

/* Where a name is, or could be put. The hash is kept beside the id, so that other names are hardly
 * ever looked at. */
static name_slot *name_slot_of(const mskp_graph *graph, const name_table *table, const char *name,
                               uint32_t hash)
{
    for (size_t i = hash;; i++) {
        name_slot *s = &table->slot[i & (table->capacity - 1)];
        if (!s->id || (s->hash == hash && !strcmp(name_of(graph, table, s->id), name))) return s;
    }
}

uint32_t mskpi_name_find(const mskp_graph *graph, const name_table *table, const char *name)
{
    return table->capacity ? name_slot_of(graph, table, name, name_hash(name))->id : 0;
}

/* Room for one more name at a load of at most a half. 1: no memory. */
int mskpi_name_room(mskp_graph *graph, name_table *table)
{
    name_table wide = {.used = table->used};
    if (2 * (table->used + 1) <= table->capacity) return 0;
    wide.capacity = table->capacity ? 2 * table->capacity : 64;
    wide.slot = mskpi_alloc(&graph->services, wide.capacity, sizeof *wide.slot);
    if (!wide.slot) return 1;
    for (size_t i = 0; i < table->capacity; i++) {
        size_t to = table->slot[i].hash;
        if (!table->slot[i].id) continue;
        while (wide.slot[to & (wide.capacity - 1)].id) to++;
        wide.slot[to & (wide.capacity - 1)] = table->slot[i];
    }
    mskpi_free(&graph->services, table->slot);
    *table = wide;
    return 0;
}

/* Is it a word, without blanks? 1 after a sentence. */
static int check_word(mskp_graph *graph, const char *what, const char *word)
{
    char room[NAME_SIZE];
    if (!word || !*word) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_NAME, "a %s needs a name", what);
        return 1;
    }
    for (size_t i = 0; word[i]; i++) {
        const unsigned char c = (unsigned char)word[i];
        if (c > ' ' && c != 127) continue;
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_NAME,
                         "%s: the name of a %s contains a blank or control character (code %u) at "
                         "position %zu",
                         mskpi_short(word, room), what, (unsigned)c, i);
        return 1;
    }
    return 0;
}

/* Copies a word to the graph's text. 1 after a sentence: no memory. */
static int text_add(mskp_graph *graph, const char *word, size_t *offset)
{
    const size_t length = strlen(word);
    char *text = mskpi_grow(&graph->services, graph->text, &graph->text_capacity, graph->text_used,
                            length + 1, 1);
    if (!text) {
        mskpi_no_memory(graph);
        return 1;
    }
    graph->text = text;
    *offset = graph->text_used;
    memmove(text + *offset, word, length + 1); /* a part's name is there already */
    graph->text_used += length + 1;
    return 0;
}

/* Copies a name, which is that of `id`; the table has room. 1 after a sentence: not acceptable, or
 * no memory. */
int mskpi_name_add(mskp_graph *graph, name_table *table, const char *what, const char *name,
                   uint32_t id, size_t *offset)
{
    char room[NAME_SIZE];
    if (check_word(graph, what, name)) return 1;
    const uint32_t hash = name_hash(name);
    name_slot *slot = name_slot_of(graph, table, name, hash);
    if (slot->id) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_NAME, "%s: two %ss have this name",
                         mskpi_short(name, room), what);
        return 1;
    }
    if (text_add(graph, name, offset)) return 1;
    *slot = (name_slot){id, hash};
    table->used++;
    return 0;
}

/* It is put where text_add will put it, and there is room for it then. */
const char *mskpi_part_name(mskp_graph *graph, const char *name, const char *part)
{
    if (!name || !*name) return name; /* derived, or refused as it is */
    const size_t room = strlen(name) + 1 + strlen(part) + 1;
    char *text =
        mskpi_grow(&graph->services, graph->text, &graph->text_capacity, graph->text_used, room, 1);
    if (!text) {
        mskpi_no_memory(graph);
        return NULL;
    }
    graph->text = text;
    snprintf(text + graph->text_used, room, "%s.%s", name, part);
    return text + graph->text_used;
}

int mskpi_own_op(mskp_graph *graph, const char *who, const char *op, size_t *offset)
{
    char room[NAME_SIZE];
    if (check_word(graph, "kind of operator", op)) return 1;
    if (strlen(op) > MSKP_MAX_OP) {
        mskpi_graph_fail(graph, MSKP_ERROR_BAD_NAME,
                         "%s: the name of a kind of operator has %zu bytes, at most %d are kept",
                         mskpi_short(who, room), strlen(op), MSKP_MAX_OP);
        return 1;
    }
    return text_add(graph, op, offset);
}

name_slot *mskpi_copy_names(const mskp_services *services, name_table *to, const name_table *from)
{
    *to = *from;
    to->slot = mskpi_alloc(services, from->capacity, sizeof *to->slot);
    if (to->slot && from->capacity)
        memcpy(to->slot, from->slot, from->capacity * sizeof *to->slot);
    return to->slot;
}

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
