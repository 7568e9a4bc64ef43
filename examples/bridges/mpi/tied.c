/*
 * Families for which it depends on others when a limit closes them.
 *
 * A selection closes a family at the first block that would leave a value or an axis with fewer
 * channels than min_channels says, or that would remove more of the family than a fraction of it.
 * Where no other family has channels in a value, the family closes after the same number of blocks
 * in whatever order the units of all families leave. Where there are several, in a concatenation
 * for instance, it may depend on which of them leave first. But each family keeps some channels
 * because of the values that it has alone; if the values that it shares then have enough in any
 * case, these do not matter. Otherwise the family is tied.
 *
 *     kept(f)  the least that stays of family f, by the values and axes that it has alone
 *     tied(f)  a shared value or axis where the pinned channels and kept(g) x times(g) of all its
 *              families g are fewer than f has to leave there
 */
#include "spread.h"

#include <string.h>

typedef struct lists {
    mskp_mpi *mpi;
    const mskp_graph *graph;
    const mskp_rule *rule;
    size_t families;
    const uint32_t *family;
    size_t *kept;    /* [families] */
    size_t *times;   /* [families] zeros, but while a list is looked at: channels of a family */
    uint32_t *found; /* [families] the families of the list */
    size_t *size;    /* [families] units */
    bool *tied;
} lists;

size_t mskpmpi_floor_of(const mskp_rule *rule, size_t family)
{
    const size_t own = rule->families ? rule->families[family].min_channels : 0;
    const size_t floor = own ? own : rule->min_channels;
    return floor ? floor : 1;
}

size_t mskpmpi_block_of(const mskp_rule *rule, size_t family, size_t size, size_t removed)
{
    const size_t own = rule->families ? rule->families[family].round_to : 0;
    const size_t round = own ? own : rule->round_to ? rule->round_to : 1;
    return !removed && size % round ? size % round : round;
}

static size_t fewest(const lists *l, size_t family, size_t length)
{
    const size_t floor = mskpmpi_floor_of(l->rule, family);
    return floor < length ? floor : length;
}

/* A value or an axis of n channels. kept <- by those with one family; tied <- by the others. */
static void look_at(lists *l, const uint32_t *unit, size_t n, bool shared)
{
    size_t found = 0, stays = 0;
    for (size_t i = 0; unit && i < n; i++) {
        if (unit[i] == MSKP_PINNED)
            stays++;
        else if (!l->times[l->family[unit[i]]]++)
            l->found[found++] = l->family[unit[i]];
    }
    if (found == 1 && !shared) {
        const uint32_t f = l->found[0];
        const size_t times = l->times[f] / l->size[f], least = fewest(l, f, n);
        const size_t kept = least > stays ? (least - stays + times - 1) / times : 0;
        if (kept > l->kept[f]) l->kept[f] = kept;
    }
    if (found > 1 && shared) {
        for (size_t i = 0; i < found; i++)
            stays += l->kept[l->found[i]] * (l->times[l->found[i]] / l->size[l->found[i]]);
        for (size_t i = 0; i < found; i++)
            l->tied[l->found[i]] |= stays < fewest(l, l->found[i], n);
    }
    for (size_t i = 0; i < found; i++) l->times[l->found[i]] = 0;
}

static void look_at_all(lists *l, bool shared)
{
    const mskp_counts counts = mskp_graph_counts(l->graph);
    size_t n;
    for (uint32_t id = 1; id <= counts.values; id++) {
        const uint32_t *unit = mskp_value_units(l->graph, (mskp_value){id}, &n);
        look_at(l, unit, n, shared);
    }
    for (uint32_t id = 1; id <= counts.params; id++) {
        const uint32_t ndim = mskp_param_shape(l->graph, (mskp_param){id}, NULL);
        for (uint32_t d = 0; d < ndim; d++) {
            const uint32_t *unit = mskp_param_units(l->graph, (mskp_param){id}, d, NULL, &n);
            look_at(l, unit, n, shared);
        }
    }
}

mskp_status mskpmpi_find_tied(mskp_mpi *mpi, const mskp_graph *graph, const mskp_rule *rule,
                              bool *tied, mskp_error *error)
{
    const size_t families = mskp_graph_counts(graph).families;
    mskp_status status = MSKP_OK;
    lists l = {.mpi = mpi, .graph = graph, .rule = rule, .families = families};
    l.tied = tied;
    l.family = mskp_unit_families(graph, NULL);
    l.kept = mskpmpi_get(mpi, families, sizeof *l.kept);
    l.times = mskpmpi_get(mpi, families, sizeof *l.times);
    l.found = mskpmpi_get(mpi, families, sizeof *l.found);
    l.size = mskpmpi_get(mpi, families, sizeof *l.size);
    if (!l.kept || !l.times || !l.found || !l.size) {
        status = mskpmpi_no_memory(error, "families", families);
    } else {
        for (size_t f = 0; f < families; f++) (void)mskp_family_units(graph, f, &l.size[f]);
        look_at_all(&l, false);
        look_at_all(&l, true);
    }
    mskpmpi_free(mpi, l.kept);
    mskpmpi_free(mpi, l.times);
    mskpmpi_free(mpi, l.found);
    mskpmpi_free(mpi, l.size);
    return status;
}
