/* Rebuilds the oracle's networks and compares units, kept lists and costs. */
#define _POSIX_C_SOURCE 200809L
#include "oracle.h"

#include "dump.h"

#include "by_id/by_id.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct rebuilt {
    arena mem;
    mskp_graph *graph;
    mskp_value all;     /* every channel, in order */
    mskp_value *values; /* the oracle's values */
    size_t nvalues;
    const cJSON *units; /* unit_of_id */
} rebuilt;

const cJSON *dump_get(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
    REQUIRE(item, "the dump has no %s", name);
    return item;
}

size_t dump_number(const cJSON *item)
{
    REQUIRE(cJSON_IsNumber(item), "no number");
    return (size_t)cJSON_GetNumberValue(item);
}

size_t *dump_numbers(arena *mem, const cJSON *list, size_t *n)
{
    *n = (size_t)cJSON_GetArraySize(list);
    size_t *out = arena_get(mem, *n, sizeof *out), i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) out[i++] = dump_number(item);
    return out;
}

static size_t *numbers(rebuilt *b, const cJSON *list, size_t *n)
{
    return dump_numbers(&b->mem, list, n);
}

static mskp_value pick(rebuilt *b, const cJSON *ids)
{
    size_t n, *list = numbers(b, ids, &n);
    return mskp_pick(b->graph, NULL, b->all, n, list);
}

static uint32_t role_of(const char *name)
{
    static const struct {
        const char *name;
        uint32_t role;
    } roles[] = {{"out", MSKP_ROLE_FILTER},  {"in", MSKP_ROLE_CONSUMER}, {"scale", MSKP_ROLE_SCALE},
                 {"shift", MSKP_ROLE_SHIFT}, {"bias", MSKP_ROLE_SHIFT},  {"stat", MSKP_ROLE_MEAN}};
    for (size_t i = 0; i < sizeof roles / sizeof *roles; i++)
        if (strcmp(name, roles[i].name) == 0) return roles[i].role;
    return MSKP_ROLE_OTHER;
}

/* Channels of one unit are tied with its first; two pinned ones keep the helpers' lists alive. */
static void tie_units(rebuilt *b, const cJSON *dump)
{
    size_t n = (size_t)cJSON_GetArraySize(b->units), units = dump_number(dump_get(dump, "units")),
           count = 1;
    size_t *first = arena_get(&b->mem, units + 1, sizeof *first), id = 0, npins;
    size_t *x = arena_get(&b->mem, n + 1, sizeof *x), *y = arena_get(&b->mem, n + 1, sizeof *y);
    size_t *pins = numbers(b, dump_get(dump, "pins"), &npins);
    const cJSON *item;
    REQUIRE(mskp_pin(b->graph, pick(b, dump_get(dump, "pins"))) == MSKP_OK && npins, "pins");
    x[0] = y[0] = pins[0];
    cJSON_ArrayForEach(item, b->units)
    {
        double unit = cJSON_GetNumberValue(item);
        size_t *f = unit < 0 ? NULL : &first[(size_t)unit];
        if (!f) {
            x[count] = pins[0]; /* pinned by a tie, perhaps */
            y[count++] = id;
        } else if (!*f) {
            *f = id + 1;
        } else {
            x[count] = *f - 1;
            y[count++] = id;
        }
        id++;
    }
    REQUIRE_OK(mskp_tie(b->graph, mskp_pick(b->graph, NULL, b->all, count, x),
                        mskp_pick(b->graph, NULL, b->all, count, y)));
}

static mskp_param param_named(const cJSON *names, const cJSON *dump, const char *key)
{
    const cJSON *item, *wanted = cJSON_GetObjectItemCaseSensitive(names, key);
    uint32_t id = 0;
    if (!wanted) return (mskp_param){0};
    cJSON_ArrayForEach(item, dump_get(dump, "params"))
    {
        if (cJSON_GetArraySize(dump_get(item, "binds")) == 0) continue;
        id++;
        if (strcmp(item->string, wanted->valuestring) == 0) return (mskp_param){id};
    }
    return (mskp_param){0};
}

/* The same terms that the oracle counts. */
static void say_macs(rebuilt *b, const cJSON *dump, const cJSON *node)
{
    const char *op = dump_get(node, "op")->valuestring;
    const cJSON *names = dump_get(node, "p"), *in = cJSON_GetArrayItem(dump_get(node, "i"), 0);
    size_t o = dump_number(cJSON_GetArrayItem(dump_get(node, "o"), 0)), n, m;
    const cJSON *all = dump_get(dump, "values");
    size_t *hw = numbers(b, dump_get(cJSON_GetArrayItem(all, (int)o), "hw"), &n);
    uint64_t positions = hw[0] * hw[1];
    if (strcmp(op, "conv") == 0 || strcmp(op, "tconv") == 0 || strcmp(op, "linear") == 0) {
        if (op[0] == 't') {
            size_t *from =
                numbers(b, dump_get(cJSON_GetArrayItem(all, (int)dump_number(in)), "hw"), &m);
            positions = from[0] * from[1];
        }
        if (op[0] == 'l') positions = 1;
        REQUIRE_OK(mskp_add_macs(b->graph, b->values[o], param_named(names, dump, "w"), positions));
    } else if (strcmp(op, "lstm") == 0 || strcmp(op, "gru") == 0) {
        REQUIRE_OK(mskp_add_macs(b->graph, b->values[o], param_named(names, dump, "wih"), hw[1]));
        REQUIRE_OK(mskp_add_macs(b->graph, b->values[o], param_named(names, dump, "whh"), hw[1]));
    } else if (strcmp(op, "attn") == 0) {
        static const char *const weights[] = {"wq", "wk", "wv", "wo"};
        for (int k = 0; k < 4; k++)
            REQUIRE_OK(mskp_add_macs(b->graph, b->values[o], param_named(names, dump, weights[k]),
                                     positions));
        for (int k = 0; k < 4; k += 2) {
            const cJSON *name = dump_get(names, weights[k]), *bind;
            bool done = false;
            cJSON_ArrayForEach(
                bind, dump_get(dump_get(dump_get(dump, "params"), name->valuestring), "binds"))
            {
                if (dump_number(cJSON_GetArrayItem(bind, 0)) != 0 || done) continue;
                REQUIRE_OK(mskp_add_macs(b->graph, pick(b, cJSON_GetArrayItem(bind, 1)),
                                         (mskp_param){0}, positions * positions));
                done = true;
            }
        }
    }
}

static void rebuild(rebuilt *b, const cJSON *dump)
{
    const cJSON *item, *bind;
    uint32_t id = 0;
    b->graph = mskp_graph_create(NULL);
    b->units = dump_get(dump, "unit_of_id");
    b->all = mskp_fresh(b->graph, "all", (size_t)cJSON_GetArraySize(b->units), 0, NULL);
    tie_units(b, dump);
    b->nvalues = (size_t)cJSON_GetArraySize(dump_get(dump, "values"));
    b->values = arena_get(&b->mem, b->nvalues, sizeof *b->values);
    cJSON_ArrayForEach(item, dump_get(dump, "values")) b->values[id++] =
        pick(b, dump_get(item, "ids"));
    cJSON_ArrayForEach(item, dump_get(dump, "params"))
    {
        size_t n, *shape = numbers(b, dump_get(item, "shape"), &n);
        if (cJSON_GetArraySize(dump_get(item, "binds")) == 0) continue;
        mskp_param p = mskp_parameter(b->graph, item->string, (uint32_t)n, shape);
        cJSON_ArrayForEach(bind, dump_get(item, "binds"))
        {
            uint32_t role = role_of(cJSON_GetArrayItem(bind, 2)->valuestring);
            REQUIRE_OK(mskp_bind(b->graph, p, (uint32_t)dump_number(cJSON_GetArrayItem(bind, 0)),
                                 role, pick(b, cJSON_GetArrayItem(bind, 1))));
        }
    }
    cJSON_ArrayForEach(item, dump_get(dump, "nodes")) say_macs(b, dump, item);
}

static void compare(const cJSON *dump)
{
    rebuilt b = {0};
    mskp_error err = {0};
    mskp_plan *plan = NULL;
    mskp_cost cost;
    const cJSON *item, *axis;
    size_t n, id = 0, nremoved;
    rebuild(&b, dump);
    mskp_status status = mskp_graph_finish(b.graph, &err);
    REQUIRE(status == MSKP_OK, "%s", err.text);
    size_t units = mskp_graph_counts(b.graph).units;
    REQUIRE(units == dump_number(dump_get(dump, "units")), "%zu units, %zu there", units,
            dump_number(dump_get(dump, "units")));
    const uint32_t *list = mskp_value_units(b.graph, b.all, &n);
    cJSON_ArrayForEach(item, b.units)
    {
        double unit = cJSON_GetNumberValue(item);
        REQUIRE(list[id] == (unit < 0 ? MSKP_PINNED : (uint32_t)unit), "channel %zu", id);
        id++;
    }

    uint8_t *keep = arena_get(&b.mem, units, 1);
    memset(keep, 1, units);
    size_t *removed = numbers(&b, dump_get(dump, "removed"), &nremoved);
    for (size_t i = 0; i < nremoved; i++) keep[removed[i]] = 0;
    for (int k = 0; k < 2; k++) {
        REQUIRE_OK(mskp_measure(b.graph, mask_of(units, k ? keep : NULL), &cost, NULL, NULL));
        double there = cJSON_GetNumberValue(cJSON_GetArrayItem(dump_get(dump, "macs"), k));
        REQUIRE(cost.macs == there, "%.0f MACs, %.0f there", cost.macs, there);
    }
    status = mskp_plan_create(b.graph, mask_of(units, keep), &plan, NULL, &err);
    REQUIRE(status == MSKP_OK, "%s", err.text);
    cJSON_ArrayForEach(item, dump_get(dump, "kept"))
    {
        mskp_param p = mskp_param_find(b.graph, item->string);
        cJSON_ArrayForEach(axis, item)
        {
            size_t there, count, *kept = numbers(&b, axis, &there);
            const uint32_t *here =
                mskp_plan_param_kept(plan, p, (uint32_t)strtoul(axis->string, NULL, 10), &count);
            REQUIRE(count == there, "%s, axis %s: %zu kept, %zu there", item->string, axis->string,
                    count, there);
            for (size_t i = 0; i < count; i++)
                REQUIRE((here ? here[i] : i) == kept[i], "%s, axis %s: index %zu", item->string,
                        axis->string, i);
        }
    }
    mskp_plan_destroy(plan);
    mskp_graph_destroy(b.graph);
    arena_free(&b.mem);
}

static void compare_dump(const cJSON *dump, void *context)
{
    (void)context;
    compare(dump);
    operators_compare(dump);
}

const char *oracle_compare(uint64_t first, size_t count)
{
    return dump_each("-c 'import sys, os, json\n"
                     "sys.path.insert(0, os.environ[\"MSKP_SHARED\"] + \"/oracle\")\n"
                     "import units\n"
                     "first, count = map(int, sys.argv[1:])\n"
                     "for seed in range(first, first + count):\n"
                     "    print(json.dumps(units.dump(seed), default=list))\n'",
                     first, count, compare_dump, NULL);
}

const char *dump_each(const char *arguments, uint64_t first, size_t count,
                      void (*each)(const cJSON *dump, void *context), void *context)
{
    const char *shared = getenv("MSKP_SHARED");
    char command[2048], *text = NULL;
    size_t room = 0, seen = 0;
    FILE *file;
    if (!shared || !*shared) return "MSKP_SHARED is not set";
    (void)snprintf(command, sizeof command, "%s/oracle/units.py", shared);
    if (!(file = fopen(command, "r"))) return "there is no oracle/units.py in MSKP_SHARED";
    (void)fclose(file);
    if (system("/usr/bin/python3 -c 'import torch, numpy' > /dev/null 2>&1") != 0)
        return "/usr/bin/python3 has no torch";
    (void)snprintf(command, sizeof command,
                   "PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 %s %llu %zu", arguments,
                   (unsigned long long)first, count);
    file = popen(command, "r");
    REQUIRE(file, "no pipe");
    while (getline(&text, &room, file) > 0) {
        cJSON *dump = cJSON_Parse(text);
        REQUIRE(dump, "no JSON after network %zu", seen);
        trial_seed = first + seen++;
        each(dump, context);
        cJSON_Delete(dump);
    }
    free(text);
    int status = pclose(file);
    REQUIRE(status == 0 && seen == count, "%zu of %zu networks, status %d", seen, count, status);
    return NULL;
}
