/* Compares the answers of oracle-constants with the library's reports and with what it writes. */
#include "dump.h"
#include "oracle.h"

#include "by_id/by_id.h"
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct comparison {
    described d;
    oracle_tally *tally;
    size_t units, params;
    uint8_t *keep, *kept;
    mskp_tensor *values;     /* of the graph's parameters, what a probe needs among them */
    const mskp_param *probe; /* by the oracle's values: weight, and the bias behind it */
} comparison;

static const cJSON *entry(const comparison *c, const char *list, size_t i)
{
    return cJSON_GetArrayItem(dump_get(c->d.dump, list), (int)i);
}

static double *reals(arena *mem, const cJSON *list, size_t *n)
{
    *n = (size_t)cJSON_GetArraySize(list);
    double *all = arena_get(mem, *n, sizeof *all);
    size_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) all[i++] = cJSON_GetNumberValue(item); /* null: NAN */
    return all;
}

static bool close_to(double x, double y)
{
    return fabs(x - y) <= 1e-9 * fmax(1, fabs(y));
}

/* ---- Probes: each value has a layer that reads it, with one output for each channel ---- */

static void add_probes(comparison *c)
{
    described *d = &c->d;
    mskp_param *probe = arena_get(&d->mem, d->nvalues, sizeof *probe);
    for (size_t v = 0; v < d->nvalues; v++) {
        char name[2][32];
        size_t n;
        (void)mskp_value_shape(d->graph, d->values[v], &n, NULL);
        (void)snprintf(name[0], sizeof name[0], "probe.%zu", v);
        (void)snprintf(name[1], sizeof name[1], "probed.%zu", v);
        probe[v] = mskp_parameter(d->graph, name[0], 2, (size_t[]){n, n});
        const mskp_param bias = mskp_parameter(d->graph, name[1], 1, &n);
        mskp_output(d->graph, mskp_linear(d->graph, NULL, d->values[v], probe[v], bias));
    }
    c->probe = probe;
}

static void add_probe_values(comparison *c)
{
    for (size_t v = 0; c->probe && v < c->d.nvalues; v++) {
        const uint32_t p = c->probe[v].id;
        size_t shape[MSKP_MAX_DIMS];
        (void)mskp_param_shape(c->d.graph, c->probe[v], shape);
        double *ones = arena_get(&c->d.mem, shape[0] * shape[0], sizeof *ones);
        for (size_t i = 0; i < shape[0]; i++) ones[i * shape[0] + i] = 1;
        c->values[p] = (mskp_tensor){.data = ones, .dtype = MSKP_DTYPE_F64};
        c->values[p + 1] = (mskp_tensor){.data = arena_get(&c->d.mem, shape[0], sizeof *ones),
                                         .dtype = MSKP_DTYPE_F64};
    }
}

static void begin(comparison *c, const cJSON *dump, bool probes)
{
    dump_describe(&c->d, dump);
    c->probe = NULL;
    if (probes) add_probes(c);
    dump_finish(&c->d);
    const mskp_counts n = mskp_graph_counts(c->d.graph);
    c->units = n.units;
    c->params = n.params;
    c->keep = dump_keep(&c->d);
    c->kept = arena_get(&c->d.mem, n.units, 1);
    c->values = arena_get(&c->d.mem, n.params + 1, sizeof *c->values);
}

/* Fresh numbers each time, because constants are written to them. */
static mskp_constants *move_constants(comparison *c, mskp_constants_way way)
{
    mskp_error err = {0};
    mskp_constants *constants = NULL;
    const cJSON *numbers = dump_get(c->d.dump, "numbers");
    const mskp_constants_desc desc = {
        .way = way, .zeroed = (uint32_t)dump_number(dump_get(c->d.dump, "zeroed"))};
    uint32_t p = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, numbers)
    {
        size_t n;
        c->values[++p] = (mskp_tensor){.data = reals(&c->d.mem, item, &n), .dtype = MSKP_DTYPE_F64};
        c->values[p].elements = n;
    }
    add_probe_values(c);
    mskp_status status = create_constants(c->d.graph, c->units, c->keep, &desc, c->params,
                                          c->values, c->kept, &constants, &err);
    REQUIRE(status == MSKP_OK, "create: %s", err.text);
    status = apply_constants(constants, c->params, c->values, &err);
    REQUIRE(status == MSKP_OK, "apply: %s", err.text);
    return constants;
}

/* ---- Which channels are constant, and which number ---- */

static mskp_constants_report probed(const comparison *c, const mskp_constants *constants, size_t v)
{
    mskp_constants_report r = {0};
    for (size_t k = 0; k < mskp_constants_consumers(constants); k++) {
        REQUIRE_OK(mskp_constants_consumer(constants, k, &r, NULL));
        if (r.weight.id == c->probe[v].id) return r;
    }
    return (mskp_constants_report){0};
}

static void compare_value(comparison *c, const mskp_constants *constants, size_t v)
{
    size_t n, count, live = 0, constant = 0;
    const double *there = reals(&c->d.mem, entry(c, "constants", v), &n);
    const uint32_t *units = mskp_value_units(c->d.graph, c->d.values[v], &count);
    const double *here = c->values[c->probe[v].id + 1].data;
    const mskp_constants_report r = probed(c, constants, v);
    REQUIRE(n == count, "value %zu: %zu channels, %zu there", v, count, n);
    for (size_t i = 0; i < n; i++) {
        const bool leaves = units[i] != MSKP_PINNED && !c->keep[units[i]];
        const double k = leaves && !isnan(there[i]) ? there[i] : 0;
        live += leaves && isnan(there[i]);
        constant += k < 0 || k > 0;
        c->tally->channels += leaves;
        c->tally->constants += k < 0 || k > 0;
        REQUIRE(close_to(here[i], k), "value %zu, channel %zu: %.17g, %.17g there", v, i, here[i],
                leaves ? there[i] : 0);
    }
    REQUIRE(r.live == live && r.folded == constant && r.dropped + r.merged == 0,
            "value %zu: %zu constant and %zu live, %zu and %zu there", v, r.folded, r.live,
            constant, live);
}

static void compare_channels(comparison *c, const cJSON *dump)
{
    begin(c, dump, true);
    mskp_constants *constants = move_constants(c, MSKP_CONSTANTS_FOLD);
    for (size_t v = 0; v < c->d.nvalues; v++) compare_value(c, constants, v);
    mskp_constants_destroy(constants);
    dump_end(&c->d);
}

/* ---- The consumers, and what is exact ---- */

/* The oracle's operator: values within one come before its own. */
static size_t node_of(const comparison *c, mskp_value consumer)
{
    const cJSON *node;
    size_t k = 0;
    cJSON_ArrayForEach(node, dump_get(c->d.dump, "nodes"))
    {
        const size_t out = dump_number(cJSON_GetArrayItem(dump_get(node, "o"), 0));
        if (c->d.values[out].id >= consumer.id) return k;
        k++;
    }
    REQUIRE(false, "no operator makes value %u", consumer.id);
    return 0;
}

static bool same_weight(const comparison *c, const cJSON *consumer, mskp_param weight)
{
    const char *name = NULL;
    const cJSON *there = dump_get(consumer, "weight");
    if (!weight.id) return cJSON_IsNull(there);
    (void)param_info(c->d.graph, weight, &name, NULL);
    return cJSON_IsString(there) && strcmp(there->valuestring, name) == 0;
}

static const cJSON *consumer_of(const comparison *c, const mskp_constants_report *r)
{
    const size_t node = node_of(c, r->consumer);
    const cJSON *consumer;
    cJSON_ArrayForEach(
        consumer,
        dump_get(c->d.dump, "heard")) if (dump_number(dump_get(consumer, "node")) == node &&
                                          same_weight(c, consumer, r->weight)) return consumer;
    REQUIRE(false,
            "node %zu is no consumer there, and reads %zu constants and %zu live channels here",
            node, r->folded + r->merged + r->dropped, r->live);
    return NULL;
}

static void compare_report(comparison *c, const mskp_constants_report *r, const char *way)
{
    const cJSON *consumer = consumer_of(c, r), *loud = dump_get(consumer, "loud");
    const size_t node = node_of(c, r->consumer), constant = r->folded + r->merged + r->dropped;
    REQUIRE(constant == dump_number(dump_get(consumer, "constant")) &&
                r->live == dump_number(dump_get(consumer, "live")),
            "node %zu, %s: %zu constants, %zu live, %.0f and %.0f there", node, way, constant,
            r->live, cJSON_GetNumberValue(dump_get(consumer, "constant")),
            cJSON_GetNumberValue(dump_get(consumer, "live")));
    c->tally->reports++;
    c->tally->exact += r->exact;
    if (r->exact)
        REQUIRE(r->bound <= 0 && !r->why, "node %zu, %s: exact, %s", node, way, r->why);
    else if (cJSON_IsNumber(loud) && !r->live)
        REQUIRE(r->bound > 0 && r->bound <= cJSON_GetNumberValue(loud) * (1 + 1e-9),
                "node %zu, %s: a bound of %g, all constants make %g", node, way, r->bound,
                cJSON_GetNumberValue(loud));
    if (!cJSON_HasObjectItem(consumer, way)) {
        REQUIRE(!r->exact || !constant, "node %zu: %s is exact", node, way);
        return;
    }
    REQUIRE(!r->exact == !cJSON_IsTrue(dump_get(consumer, way)), "node %zu, %s: exact %u (%s)",
            node, way, r->exact, r->why ? r->why : "no reason");
}

static void compare_reports(comparison *c, const mskp_constants *constants, const char *way)
{
    mskp_constants_report r, total;
    const size_t n = mskp_constants_consumers(constants);
    bool all = true;
    REQUIRE(n == (size_t)cJSON_GetArraySize(dump_get(c->d.dump, "heard")),
            "%zu consumers here, %d there", n, cJSON_GetArraySize(dump_get(c->d.dump, "heard")));
    for (size_t k = 0; k < n; k++) {
        REQUIRE_OK(mskp_constants_consumer(constants, k, &r, NULL));
        compare_report(c, &r, way);
        all = all && r.exact;
    }
    REQUIRE_OK(mskp_constants_total(constants, &total, NULL));
    REQUIRE(total.exact == all, "%s: in total", way);
    c->tally->exact_networks += all && n > 0;
}

/* Biases and means, where folding is exact; all else is what it was. */
static void compare_written(comparison *c)
{
    const cJSON *item;
    uint32_t p = 0;
    cJSON_ArrayForEach(item, dump_get(c->d.dump, "folded"))
    {
        size_t n;
        const double *here = c->values[++p].data, *there = reals(&c->d.mem, item, &n);
        for (size_t i = 0; i < n; i++)
            REQUIRE(close_to(here[i], there[i]), "parameter %u, element %zu: %.17g, %.17g there", p,
                    i, here[i], there[i]);
    }
}

static void compare_ways(comparison *c, const cJSON *dump)
{
    static const struct {
        mskp_constants_way way;
        const char *name;
    } ways[] = {{MSKP_CONSTANTS_FOLD, "fold"},
                {MSKP_CONSTANTS_MERGE, "merge"},
                {MSKP_CONSTANTS_DROP, "drop"}};
    begin(c, dump, false);
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        mskp_constants *constants = move_constants(c, ways[k].way);
        compare_reports(c, constants, ways[k].name);
        if (ways[k].way == MSKP_CONSTANTS_FOLD) compare_written(c);
        mskp_constants_destroy(constants);
    }
    dump_end(&c->d);
}

static void compare(const cJSON *dump, void *context)
{
    comparison c = {.tally = context};
    if (cJSON_IsTrue(dump_get(dump, "differs"))) {
        c.tally->differ++;
        return;
    }
    compare_channels(&c, dump);
    compare_ways(&c, dump);
    c.tally->networks++;
}

const char *oracle_compare_constants(uint64_t first, size_t count, oracle_tally *tally)
{
    *tally = (oracle_tally){0};
    return dump_each("test/interpreter/oracle-constants", first, count, compare, tally);
}
