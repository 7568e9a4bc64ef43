/* The arrays of a finished graph, compared with each other. */
#include "random_calls.h"

#include "by_id/by_id.h"
#include <string.h>

/* How often each unit stands in a list; units + 1 numbers, the last for the pinned. */
static size_t *times_of(arena *mem, const mskp_graph *g, const uint32_t *units, size_t n)
{
    const size_t all = mskp_graph_counts(g).units;
    size_t *times = arena_get(mem, all + 1, sizeof *times);
    for (size_t i = 0; i < n; i++) {
        REQUIRE(units[i] < all || units[i] == MSKP_PINNED, "unit %u of %zu", units[i], all);
        times[units[i] == MSKP_PINNED ? all : units[i]]++;
    }
    return times;
}

/* Units of a family occur in the list equally often. */
static void require_incidence(const mskp_graph *g, const size_t *times)
{
    const mskp_counts c = mskp_graph_counts(g);
    for (size_t f = 0; f < c.families; f++) {
        size_t n;
        const uint32_t *units = mskp_family_units(g, f, &n);
        for (size_t i = 1; i < n; i++)
            REQUIRE(times[units[i]] == times[units[0]], "units %u and %u are one family", units[0],
                    units[i]);
    }
}

static void require_value(const mskp_graph *g, uint32_t id, size_t *occurs)
{
    arena mem = {0};
    mskp_coupling info;
    mskp_error err = {0};
    size_t n, channels, spatial[MSKP_MAX_SPATIAL], different = 0;
    const mskp_counts c = mskp_graph_counts(g);
    const uint32_t *units = mskp_value_units(g, (mskp_value){id}, &n);
    mskp_value_shape(g, (mskp_value){id}, &channels, spatial);
    REQUIRE(units && n == channels, "value %u: %zu units, %zu channels", id, n, channels);
    REQUIRE(!mskp_value_coupling(g, (mskp_value){id}, &info, &err), "%s", err.text);
    const size_t *times = times_of(&mem, g, units, n);
    for (size_t u = 0; u < c.units; u++) {
        different += times[u] > 0;
        occurs[u] += times[u];
    }
    require_incidence(g, times);
    REQUIRE(info.channels == n && info.units == different && info.pinned == times[c.units],
            "%s: %zu channels, %zu units, %zu pinned", info.name, info.channels, info.units,
            info.pinned);
    REQUIRE(mskp_value_find(g, info.name).id == id && info.op && info.op[0], "value %u: %s", id,
            info.name);
    REQUIRE(!info.pinned_by.id == !info.pinned && info.pinned_by.id <= c.values, "%s: pinned by %u",
            info.name, info.pinned_by.id);
    REQUIRE(!info.tied_by.id == !info.tied || !info.tied_by.id, "%s: tied by %u", info.name,
            info.tied_by.id);
    REQUIRE(!info.inexact_by.id == !info.inexact && info.inexact + info.pinned <= n,
            "%s: %zu inexact by %u", info.name, info.inexact, info.inexact_by.id);
    arena_free(&mem);
}

/* Adds to slices[unit] how many of the parameter's the unit has. */
static void require_param(const mskp_graph *g, uint32_t id, size_t *slices)
{
    arena mem = {0};
    const char *name;
    size_t shape[MSKP_MAX_DIMS];
    uint32_t all = 0, roles = 0;
    const size_t units = mskp_graph_counts(g).units;
    const uint32_t ndim = param_info(g, (mskp_param){id}, &name, shape);
    REQUIRE(ndim && ndim <= MSKP_MAX_DIMS && mskp_param_find(g, name).id == id, "parameter %u", id);
    for (uint32_t d = 0; d < ndim; d++) {
        size_t n = 7;
        const uint32_t *list = mskp_param_units(g, (mskp_param){id}, d, &roles, &n);
        if (!list) continue;
        all |= roles;
        REQUIRE(n == shape[d], "%s, axis %u: %zu of %zu", name, d, n, shape[d]);
        const size_t *times = times_of(&mem, g, list, n);
        for (size_t u = 0; u < units; u++) slices[u] += times[u];
        require_incidence(g, times);
    }
    REQUIRE(!mskp_param_units(g, (mskp_param){id}, ndim, NULL, NULL), "%s: an axis too many", name);
    REQUIRE(mskp_param_roles(g, (mskp_param){id}) == all, "%s: roles", name);
    arena_free(&mem);
}

static bool in_order(const mskp_member *a, const mskp_member *b)
{
    if (a->param.id != b->param.id) return a->param.id < b->param.id;
    return a->axis != b->axis ? a->axis < b->axis : a->index < b->index;
}

static void require_members(const mskp_graph *g, size_t u, size_t slices)
{
    size_t n;
    const mskp_member *m = mskp_unit_members(g, u, &n);
    REQUIRE(n == slices, "unit %zu: %zu members, %zu slices", u, n, slices);
    for (size_t i = 0; i < n; i++) {
        uint32_t roles;
        size_t length;
        const uint32_t *list = mskp_param_units(g, m[i].param, m[i].axis, &roles, &length);
        REQUIRE(i == 0 || in_order(&m[i - 1], &m[i]), "unit %zu, member %zu: order", u, i);
        REQUIRE(list && m[i].index < length && list[m[i].index] == u && m[i].roles == roles,
                "unit %zu, member %zu is parameter %u, axis %u, index %u", u, i, m[i].param.id,
                m[i].axis, m[i].index);
    }
}

static void require_families(const mskp_graph *g)
{
    const mskp_counts c = mskp_graph_counts(g);
    size_t n, all = 0;
    const uint32_t *family = mskp_unit_families(g, &n);
    REQUIRE(n == c.units, "%zu families of units", n);
    for (size_t f = 0; f < c.families; f++) {
        const uint32_t *units = mskp_family_units(g, f, &n);
        REQUIRE(n && units, "family %zu is empty", f);
        for (size_t i = 0; i < n; i++)
            REQUIRE(units[i] < c.units && family[units[i]] == f && (!i || units[i] > units[i - 1]),
                    "family %zu, unit %u", f, units[i]);
        all += n;
    }
    REQUIRE(all == c.units, "families of %zu units, there are %zu", all, c.units);
    REQUIRE(!mskp_family_units(g, c.families, &n) && !n, "a family too many");
}

static void require_costs_add_up(const mskp_graph *g)
{
    arena mem = {0};
    const size_t values = mskp_graph_counts(g).values;
    mskp_cost total, sum = {0}, *each = arena_get(&mem, values + 1, sizeof *each);
    REQUIRE_OK(mskp_measure(g, (mskp_mask){0}, &total, each + 1, NULL));
    for (size_t v = 0; v <= values; v++) {
        sum.macs += each[v].macs;
        sum.params += each[v].params;
    }
    REQUIRE(each[0].macs == 0 && each[0].params == 0, "cost of value 0");
    REQUIRE(sum.macs == total.macs && sum.params == total.params,
            "%.0f MACs, %.0f parameters; the values have %.0f, %.0f", total.macs, total.params,
            sum.macs, sum.params);
    arena_free(&mem);
}

/* What is exact stays so when more is zero. */
static void require_exact_grows(const mskp_graph *g)
{
    arena mem = {0};
    const size_t units = mskp_graph_counts(g).units;
    uint8_t *exact[16];
    for (uint32_t roles = 0; roles < 16; roles++) {
        exact[roles] = arena_get(&mem, units + 1, 1);
        REQUIRE_OK(mskp_exact(g, roles, mask_of(units, exact[roles]), NULL));
        REQUIRE(!exact[roles][units], "one unit too many");
        for (uint32_t fewer = 0; fewer < roles; fewer++)
            for (size_t u = 0; u < units && (fewer & roles) == fewer; u++)
                REQUIRE(exact[roles][u] <= 1 && exact[fewer][u] <= exact[roles][u],
                        "unit %zu is exact with roles %u, not with %u", u, fewer, roles);
    }
    arena_free(&mem);
}

void require_consistent(const mskp_graph *graph)
{
    arena mem = {0};
    const mskp_counts c = mskp_graph_counts(graph);
    size_t *occurs = arena_get(&mem, c.units, sizeof *occurs), n;
    size_t *slices = arena_get(&mem, c.units, sizeof *slices);
    bool vanished = false; /* a value; units of which no value is left stay as numbers */
    require_families(graph);
    for (uint32_t v = 1; v <= c.values; v++) {
        require_value(graph, v, occurs);
        (void)mskp_value_units(graph, (mskp_value){v}, &n);
        vanished = vanished || !n;
    }
    for (uint32_t p = 1; p <= c.params; p++) require_param(graph, p, slices);
    for (size_t u = 0; u < c.units; u++) {
        REQUIRE(occurs[u] || (vanished && !slices[u]), "unit %zu is in no value", u);
        require_members(graph, u, slices[u]);
    }
    REQUIRE(!mskp_unit_members(graph, c.units, &n) && !n, "a unit too many");
    REQUIRE(!mskp_value_units(graph, (mskp_value){(uint32_t)c.values + 1}, &n) && !n,
            "a value too many");
    require_costs_add_up(graph);
    require_exact_grows(graph);
    arena_free(&mem);
}
