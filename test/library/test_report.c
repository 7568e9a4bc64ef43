/*
 * The report, read by another library: it fits docs/report-schema.json, and agrees with what the
 * functions of the header say. The same for the line of a pruner's gauges.
 */
#define _POSIX_C_SOURCE 200809L

#include "interpreter/elements.h"
#include "interpreter/trial.h"
#include "mskp/pruner.h"
#include "small_network/small_network.h"

#include "by_id/by_id.h"
#include <cJSON.h>
#include <check.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- JSON Schema, as far as the schema of reports uses it ---- */

static cJSON *schema; /* the whole document */

static bool is_type(const cJSON *x, const char *type)
{
    if (!strcmp(type, "object")) return cJSON_IsObject(x);
    if (!strcmp(type, "array")) return cJSON_IsArray(x);
    if (!strcmp(type, "string")) return cJSON_IsString(x);
    if (!strcmp(type, "number")) return cJSON_IsNumber(x);
    if (!strcmp(type, "integer"))
        return cJSON_IsNumber(x) && x->valuedouble == floor(x->valuedouble);
    if (!strcmp(type, "boolean")) return cJSON_IsBool(x);
    if (!strcmp(type, "null")) return cJSON_IsNull(x);
    ck_abort_msg("the schema says type %s", type);
}

static const cJSON *resolve(const cJSON *rule)
{
    const cJSON *ref = cJSON_GetObjectItemCaseSensitive(rule, "$ref");
    if (!ref) return rule;
    ck_assert_msg(!strncmp(ref->valuestring, "#/$defs/", 8), "%s", ref->valuestring);
    const cJSON *defs = cJSON_GetObjectItemCaseSensitive(schema, "$defs");
    rule = cJSON_GetObjectItemCaseSensitive(defs, ref->valuestring + 8);
    ck_assert_msg(rule != NULL, "%s is not defined", ref->valuestring);
    return rule;
}

/* NULL: it fits; else what does not. */
static const char *fit(const cJSON *x, const cJSON *rule)
{
    static const char *const known[] = {
        "$schema", "title",    "description",         "$ref",  "$defs",
        "type",    "required", "properties",          "items", "const",
        "pattern", "minimum",  "additionalProperties"};
    const char *why = NULL;
    rule = resolve(rule);
    const cJSON *properties = cJSON_GetObjectItemCaseSensitive(rule, "properties");
    for (const cJSON *r = rule->child; r && !why; r = r->next) {
        bool found = false;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            found |= !strcmp(r->string, known[i]);
        ck_assert_msg(found, "the schema says %s", r->string);
        if (!strcmp(r->string, "type")) {
            bool good = cJSON_IsString(r) && is_type(x, r->valuestring);
            for (const cJSON *t = cJSON_IsArray(r) ? r->child : NULL; t; t = t->next)
                good |= is_type(x, t->valuestring);
            if (!good) why = "type";
        } else if (!strcmp(r->string, "required")) {
            for (const cJSON *name = r->child; name; name = name->next)
                if (!cJSON_HasObjectItem(x, name->valuestring)) why = name->valuestring;
        } else if (!strcmp(r->string, "additionalProperties")) {
            for (const cJSON *item = x->child; item; item = item->next)
                if (!cJSON_HasObjectItem(properties, item->string)) why = item->string;
        } else if (!strcmp(r->string, "properties")) {
            for (const cJSON *p = r->child; p && !why; p = p->next) {
                const cJSON *item = cJSON_GetObjectItemCaseSensitive(x, p->string);
                if (item && fit(item, p)) why = p->string;
            }
        } else if (!strcmp(r->string, "items")) {
            for (const cJSON *item = x->child; item && !why; item = item->next) why = fit(item, r);
        } else if (!strcmp(r->string, "const")) {
            if (!cJSON_Compare(x, r, true)) why = "const";
        } else if (!strcmp(r->string, "minimum")) {
            if (x->valuedouble < r->valuedouble) why = "minimum";
        } else if (!strcmp(r->string, "pattern")) { /* the only one: 16 digits */
            if (strlen(x->valuestring) != 16 || strspn(x->valuestring, "0123456789abcdef") != 16)
                why = "pattern";
        }
    }
    return why;
}

static void schema_load(void)
{
    char bytes[16384];
    FILE *file = fopen("docs/report-schema.json", "rb");
    ck_assert_msg(file != NULL, "docs/report-schema.json is not here");
    const size_t n = fread(bytes, 1, sizeof bytes, file);
    (void)fclose(file);
    ck_assert_uint_lt(n, sizeof bytes);
    schema = cJSON_ParseWithLength(bytes, n);
    ck_assert_msg(schema != NULL, "the schema is not JSON");
}

/* ---- What all tests share ---- */

static char *report_text(arena *mem, const mskp_graph *g, size_t units, const uint8_t *keep,
                         const mskp_report_options *report, size_t *length)
{
    size_t again;
    mskp_error err = {0};
    REQUIRE(!mskp_report_json(g, mask_of(units, keep), report, 0, NULL, length, &err), "%s",
            err.text);
    char *bytes = arena_get(mem, *length + 1, 1);
    memset(bytes, 0x5A, *length + 1);
    REQUIRE(mskp_report_json(g, mask_of(units, keep), report, *length, bytes, &again, &err) ==
                    MSKP_ERROR_BAD_ARGUMENT &&
                again == *length,
            "no room for the 0");
    for (size_t i = 0; i <= *length; i++) REQUIRE(bytes[i] == 0x5A, "byte %zu is touched", i);
    REQUIRE_OK(mskp_report_json(g, mask_of(units, keep), report, *length + 1, bytes, &again, NULL));
    REQUIRE(again == *length && strlen(bytes) == again, "%zu bytes, not %zu", again, *length);
    return bytes;
}

static cJSON *report_of(arena *mem, const mskp_graph *g, size_t units, const uint8_t *keep,
                        const mskp_report_options *report)
{
    size_t length;
    const char *bytes = report_text(mem, g, units, keep, report, &length);
    cJSON *json = cJSON_Parse(bytes);
    REQUIRE(json, "it is not JSON: %.200s", cJSON_GetErrorPtr());
    const char *why = fit(json, schema);
    REQUIRE(!why, "it does not fit the schema: %s", why);
    return json;
}

static const cJSON *item(const cJSON *x, const char *name)
{
    const cJSON *found = cJSON_GetObjectItemCaseSensitive(x, name);
    REQUIRE(found, "there is no %s", name);
    return found;
}

static void require_pair(const cJSON *x, const char *name, double before, double after)
{
    const cJSON *pair = item(x, name);
    REQUIRE(item(pair, "before")->valuedouble == before &&
                item(pair, "after")->valuedouble == after,
            "%s: %.17g to %.17g, not %.17g to %.17g", name, item(pair, "before")->valuedouble,
            item(pair, "after")->valuedouble, before, after);
}

static bool stays(const uint8_t *keep, uint32_t unit)
{
    return !keep || unit == MSKP_PINNED || keep[unit];
}

/* Width, kept indices and scores of a list of units. */
static void require_list(const cJSON *x, const uint32_t *unit, size_t n, const uint8_t *keep,
                         const double *scores)
{
    size_t kept = 0;
    const cJSON *index = item(x, "kept")->child;
    for (size_t i = 0; i < n; i++) {
        if (!stays(keep, unit[i])) continue;
        REQUIRE(index && index->valuedouble == (double)i, "kept: %zu is missing", i);
        index = index->next;
        kept++;
    }
    REQUIRE(!index, "something else is kept");
    require_pair(x, "width", (double)n, (double)kept);
    REQUIRE(cJSON_HasObjectItem(x, "scores") == (scores != NULL), "scores");
    if (!scores) return;
    const cJSON *score = item(x, "scores")->child;
    for (size_t i = 0; i < n; i++, score = score->next) {
        REQUIRE(score, "%zu scores", i);
        if (unit[i] == MSKP_PINNED || isinf(scores[unit[i]]))
            REQUIRE(cJSON_IsNull(score), "score %zu is a number", i);
        else
            REQUIRE(!memcmp(&score->valuedouble, &scores[unit[i]], sizeof(double)),
                    "score %zu is %.17g, not %.17g", i, score->valuedouble, scores[unit[i]]);
    }
    REQUIRE(!score, "more scores than %zu", n);
}

static bool contains(const uint32_t *list, size_t n, uint32_t unit)
{
    for (size_t i = 0; list && i < n; i++)
        if (list[i] == unit) return true;
    return false;
}

/* How many elements of a parameter stay; *touched: whether some of them are a unit's. */
static double elements(const model_param *p, const uint8_t *keep, uint32_t unit, bool *touched)
{
    size_t n = 1;
    *touched = false;
    for (uint32_t d = 0; d < p->ndim; d++) {
        *touched |= contains(p->axis[d].unit, p->shape[d], unit);
        n *= p->axis[d].unit ? model_kept(p->axis[d].unit, p->shape[d], keep) : p->shape[d];
    }
    return (double)n;
}

/* Of all work and all parameters in which the unit stands. */
static mskp_cost cost_around(const model *m, uint32_t unit, const uint8_t *keep)
{
    const uint32_t statistics = MSKP_ROLE_MEAN | MSKP_ROLE_VARIANCE;
    mskp_cost c = {0, 0};
    bool touched;
    for (size_t w = 0; w < m->works; w++) {
        const model_work *k = &m->work[w];
        const model_value *v = &m->value[k->value];
        double n = (double)model_kept(v->unit, v->n, keep);
        touched = contains(v->unit, v->n, unit);
        if (k->param) n = elements(&m->param[k->param], keep, unit, &touched);
        if (touched) c.macs += n * (double)k->per_element;
    }
    for (size_t p = 1; p <= m->params; p++) {
        const double n = elements(&m->param[p], keep, unit, &touched);
        const bool counts = !m->param[p].roles || (m->param[p].roles & ~statistics);
        if (touched && counts) c.params += n;
    }
    return c;
}

/* ---- Random networks ---- */

static double random_score(rng *r)
{
    const uint64_t bits = rng_next(r) & UINT64_C(0x7fffffffffffffff);
    double x;
    if (rng_chance(r, 0.3)) return (double)rng_below(r, 1000);
    if (rng_chance(r, 0.1)) return rng_chance(r, 0.5) ? (double)INFINITY : -0.0;
    memcpy(&x, &bits, sizeof x);
    return isnan(x) ? 0.1 : rng_chance(r, 0.5) || isinf(x) ? x : -x;
}

static void try_network(uint64_t seed, size_t k)
{
    trial t;
    trial_begin(&t, seed, NULL, NULL);
    uint8_t *keep = model_random_mask(&t.model, &t.mem, &t.r, rng_real(&t.r, 0, 1));
    double *scores = arena_get(&t.mem, t.units, sizeof *scores);
    for (size_t u = 0; u < t.units; u++) {
        scores[u] = random_score(&t.r);
        if (keep[u]) keep[u] = (uint8_t)rng_from(&t.r, 1, 255);
    }
    const mskp_report_options with = {.scores = scores_of(t.units, scores)}, without = {0};
    if (k % 3 == 0) keep = NULL;
    const double *used = k % 2 ? scores : NULL;
    cJSON *json = report_of(&t.mem, t.graph, keep ? t.units : 12345, keep,
                            used    ? &with
                            : k % 4 ? &without
                                    : NULL);

    const mskp_counts n = mskp_graph_counts(t.graph);
    mskp_cost before, after, *each = arena_get(&t.mem, n.values + 1, sizeof *each);
    mskp_cost *left = arena_get(&t.mem, n.values + 1, sizeof *left);
    REQUIRE_OK(mskp_measure(t.graph, (mskp_mask){0}, &before, each + 1, NULL));
    REQUIRE_OK(mskp_measure(t.graph, mask_of(t.units, keep), &after, left + 1, NULL));
    size_t kept = 0;
    for (uint32_t u = 0; u < t.units; u++) kept += stays(keep, u);
    char digits[17];
    (void)snprintf(digits, sizeof digits, "%016llx", (unsigned long long)mskp_fingerprint(t.graph));
    REQUIRE(!strcmp(item(json, "network")->valuestring, digits), "the fingerprint is %s", digits);
    require_pair(json, "units", (double)t.units, (double)kept);
    require_pair(json, "macs", before.macs, after.macs);
    require_pair(json, "params", before.params, after.params);

    const cJSON *family = item(json, "families")->child;
    for (size_t f = 0; f < n.families; f++, family = family->next) {
        size_t size;
        const uint32_t *unit = mskp_family_units(t.graph, f, &size);
        REQUIRE(family && item(family, "family")->valuedouble == (double)f, "family %zu", f);
        require_list(family, unit, size, keep, used);
        const cJSON *number = item(family, "units")->child;
        for (size_t i = 0; i < size; i++, number = number->next)
            REQUIRE(number && number->valuedouble == unit[i], "family %zu, unit %zu", f, i);
        REQUIRE(!number, "family %zu: more units", f);
        const mskp_value at = mskp_value_find(t.graph, item(family, "at")->valuestring);
        bool first = false;
        for (uint32_t v = 1; v <= at.id; v++) {
            size_t channels;
            const uint32_t *list = mskp_value_units(t.graph, (mskp_value){v}, &channels);
            first = contains(list, channels, unit[0]);
            REQUIRE(first == (v == at.id), "family %zu is at value %u, not %u", f, v, at.id);
        }
        const mskp_cost whole = cost_around(&t.model, unit[0], NULL);
        const mskp_cost part = cost_around(&t.model, unit[0], keep);
        require_pair(family, "macs", whole.macs, part.macs);
        require_pair(family, "params", whole.params, part.params);
    }
    REQUIRE(!family, "more families");

    const cJSON *value = item(json, "values")->child;
    for (uint32_t v = 1; v <= n.values; v++, value = value->next) {
        size_t channels;
        mskp_coupling info;
        const uint32_t *unit = mskp_value_units(t.graph, (mskp_value){v}, &channels);
        REQUIRE_OK(mskp_value_coupling(t.graph, (mskp_value){v}, &info, NULL));
        REQUIRE(value && item(value, "value")->valuedouble == v, "value %u", v);
        REQUIRE(!strcmp(item(value, "name")->valuestring, info.name), "%s", info.name);
        REQUIRE(!strcmp(item(value, "op")->valuestring, info.op), "%s", info.op);
        REQUIRE(!strcmp(item(value, "fate")->valuestring, "stays"), "%s vanishes", info.op);
        const cJSON *axis = item(value, "spatial")->child;
        size_t spatial[MSKP_MAX_SPATIAL];
        const uint32_t axes = mskp_value_shape(t.graph, (mskp_value){v}, NULL, spatial);
        for (uint32_t d = 0; d < axes; d++, axis = axis->next)
            REQUIRE(axis && axis->valuedouble == (double)spatial[d], "%s: axis %u", info.name, d);
        REQUIRE(!axis, "%s: more axes", info.name);
        require_pair(value, "macs", each[v].macs, left[v].macs);
        require_pair(value, "params", each[v].params, left[v].params);
        require_list(value, unit, channels, keep, used);
    }
    REQUIRE(!value, "more values");
    cJSON_Delete(json);
    trial_end(&t);
}

/* ---- Constants ---- */

static void require_text(const cJSON *x, const char *name, const char *expected)
{
    const cJSON *found = item(x, name);
    const bool same = expected ? cJSON_IsString(found) && !strcmp(found->valuestring, expected)
                               : cJSON_IsNull(found);
    REQUIRE(same, "%s is not %s", name, expected ? expected : "null");
}

static void require_number(const cJSON *x, const char *name, double expected)
{
    const cJSON *found = item(x, name);
    if (isinf(expected))
        REQUIRE(cJSON_IsNull(found), "%s is not null", name);
    else
        REQUIRE(!memcmp(&found->valuedouble, &expected, sizeof expected), "%s", name);
}

static void require_row(const cJSON *x, const mskp_graph *g, const mskp_constants_report *h)
{
    const struct {
        const char *name;
        size_t n;
    } counts[] = {{"folded", h->folded},
                  {"merged", h->merged},
                  {"dropped", h->dropped},
                  {"live", h->live},
                  {"carriers", h->carriers}};
    const char *weight = NULL, *into = NULL;
    mskp_coupling consumer, reads;
    if (h->weight.id) param_info(g, h->weight, &weight, NULL);
    if (h->into.id) param_info(g, h->into, &into, NULL);
    REQUIRE_OK(mskp_value_coupling(g, h->consumer, &consumer, NULL));
    REQUIRE_OK(mskp_value_coupling(g, h->reads, &reads, NULL));
    require_text(x, "consumer", consumer.name);
    require_text(x, "reads", reads.name);
    require_text(x, "weight", weight);
    require_text(x, "into", into);
    require_text(x, "why", h->why);
    for (size_t i = 0; i < 5; i++)
        REQUIRE(item(x, counts[i].name)->valuedouble == (double)counts[i].n, "%s", counts[i].name);
    REQUIRE(cJSON_IsTrue(item(x, "exact")) == (h->exact != 0), "exact");
    require_number(x, "bound", h->bound);
    require_number(x, "share", h->share);
}

/* They are what the mask did not keep and the cut keeps. */
static size_t require_carriers(const cJSON *json, const mskp_constants *constants, size_t units,
                               const uint8_t *keep, const uint8_t *kept)
{
    size_t n = 0;
    mskp_constants_report total;
    const cJSON *number = item(json, "carriers")->child;
    for (size_t u = 0; u < units; u++) {
        if (keep[u] || !kept[u]) continue;
        REQUIRE(number && number->valuedouble == (double)u, "unit %zu carries", u);
        number = number->next;
        n++;
    }
    REQUIRE(!number, "more units carry");
    REQUIRE_OK(mskp_constants_total(constants, &total, NULL));
    REQUIRE(total.carriers == n, "%zu carriers, %zu in the report", total.carriers, n);
    return n;
}

START_TEST(it_says_what_becomes_of_constants)
{
    size_t rows = 0, lossy = 0, carriers = 0;
    schema_load();
    for (size_t k = 0; k < test_count(300); k++) {
        trial t;
        mskp_constants *constants;
        trial_begin(&t, test_seed() * 1000000 + k, NULL, NULL);
        uint8_t *keep = model_random_mask(&t.model, &t.mem, &t.r, 0.5);
        uint8_t *kept = arena_get(&t.mem, t.units + 1, 1);
        set values = set_make(&t.mem, &t.r, t.net, MSKP_DTYPE_F64, VIEW_STYLES);
        set_numbers(&values, t.net);
        const mskp_constants_desc desc = {.way = (mskp_constants_way)rng_below(&t.r, 4),
                                          .zeroed = MSKP_ROLE_SCALE | MSKP_ROLE_FILTER};
        REQUIRE_OK(create_constants(t.graph, t.units, keep, &desc, values.params, values.views,
                                    kept, &constants, NULL));
        const mskp_report_options report = {.constants = constants};
        cJSON *json = report_of(&t.mem, t.graph, t.units, kept, &report);
        const cJSON *row = item(json, "constants")->child;
        for (size_t i = 0; i < mskp_constants_consumers(constants); i++, row = row->next) {
            mskp_constants_report h;
            REQUIRE_OK(mskp_constants_consumer(constants, i, &h, NULL));
            REQUIRE(row, "%zu rows", i);
            require_row(row, t.graph, &h);
            rows++;
            lossy += !h.exact;
        }
        REQUIRE(!row, "more rows");
        carriers += require_carriers(json, constants, t.units, keep, kept);
        cJSON_Delete(json);
        if (t.units) {
            trial other;
            size_t length;
            const size_t u = rng_below(&t.r, t.units);
            kept[u] = !kept[u];
            char words[64];
            mskp_error err = {0};
            snprintf(words, sizeof words, "unit %zu %s, but", u, kept[u] ? "stays" : "leaves");
            REQUIRE(mskp_report_json(t.graph, mask_of(t.units, kept), &report, 0, NULL, &length,
                                     &err) == MSKP_ERROR_BAD_ARGUMENT &&
                        strstr(err.text, words) && strstr(err.text, "where it does not"),
                    "constants of another mask: %s", err.text);
            trial_begin(&other, test_seed() * 1000000 + k, NULL, NULL);
            REQUIRE(mskp_report_json(other.graph, mask_of(t.units, kept), &report, 0, NULL, &length,
                                     NULL) == MSKP_ERROR_OTHER_NETWORK,
                    "constants of another graph were taken");
            trial_end(&other);
        }
        mskp_constants_destroy(constants);
        trial_end(&t);
    }
    if (test_count(300) >= 300)
        REQUIRE(rows > 300 && lossy > 30 && lossy < rows && carriers > 30,
                "%zu rows, %zu lossy, %zu carriers", rows, lossy, carriers);
    cJSON_Delete(schema);
}
END_TEST

START_TEST(it_says_what_the_functions_say)
{
    schema_load();
    for (size_t k = 0; k < test_count(400); k++) try_network(test_seed() * 1000000 + k, k);
    cJSON_Delete(schema);
}
END_TEST

/* ---- A pruner's gauges ---- */

/* Any bits; every other one is a fraction. */
static double any_double(rng *r)
{
    const uint64_t bits = rng_next(r);
    double x;
    memcpy(&x, &bits, sizeof x);
    return rng_chance(r, 0.5) ? rng_real(r, -1, 1) : x;
}

static void any_gauge(rng *r, mskp_gauge *g)
{
    *g = (mskp_gauge){.elements = rng_next(r) >> rng_from(r, 11, 63), .mean = any_double(r)};
    g->zeros = rng_next(r) >> 11;
    g->largest = rng_chance(r, 0.2) ? (double)NAN : any_double(r);
    for (size_t k = 0; k < MSKP_GAUGE_DECADES; k++) g->below[k] = rng_next(r) >> 11;
}

static void require_field(const cJSON *json, const char *name, double expected)
{
    const cJSON *found = item(json, name);
    REQUIRE(found, "%s is missing", name);
    if (isfinite(expected))
        REQUIRE(cJSON_IsNumber(found) && !memcmp(&found->valuedouble, &expected, sizeof expected),
                "%s is %.17g, not %.17g", name, found->valuedouble, expected);
    else
        REQUIRE(cJSON_IsNull(found), "%s of %g is not null", name, expected);
}

static void require_gauge(const cJSON *json, const mskp_gauge *g)
{
    require_field(json, "elements", (double)g->elements);
    require_field(json, "zeros", (double)g->zeros);
    require_field(json, "largest", g->largest);
    require_field(json, "mean", g->mean);
    REQUIRE(cJSON_GetArraySize(item(json, "below")) == MSKP_GAUGE_DECADES, "decades");
    for (int k = 0; k < MSKP_GAUGE_DECADES; k++)
        REQUIRE(cJSON_GetArrayItem(item(json, "below"), k)->valuedouble == (double)g->below[k],
                "decade %d", k);
    REQUIRE(cJSON_GetArraySize(json) == 5, "%d items", cJSON_GetArraySize(json));
}

/* Whole numbers up to 2^53 and all fractions come back as they are, and nothing else is there. */
START_TEST(gauges_of_a_pruner)
{
    static const char *const stages[] = {"wait", "sparse", "masked", "tune", "unknown"};
    for (size_t k = 0; k < test_count(2000); k++) {
        rng r = rng_make(test_seed() * 1000000 + k);
        mskp_pruner_gauges g = {.stage = (mskp_pruner_stage)rng_below(&r, 5),
                                .step = rng_next(&r) >> 11,
                                .steps_left = rng_next(&r) >> rng_from(&r, 11, 63),
                                .round = (uint32_t)rng_next(&r),
                                .rounds = (uint32_t)rng_next(&r),
                                .units = (size_t)rng_next(&r) >> 11,
                                .marked = rng_below(&r, 99),
                                .unmarked = rng_below(&r, 99),
                                .exact = rng_chance(&r, 0.5),
                                .ready = rng_chance(&r, 0.5) ? 7 : 0};
        const struct {
            const char *name;
            double *x;
        } numbers[] = {
            {"macs", &g.macs},
            {"params", &g.params},
            {"macs_after", &g.macs_after},
            {"params_after", &g.params_after},
            {"strength", &g.strength},
            {"move", &g.move},
            {"needed", &g.needed},
            {"start", &g.start},
            {"residue", &g.residue},
            {"threshold", &g.threshold},
            {"valley", &g.valley},
            {"gap", &g.gap},
            {"overlap", &g.overlap},
            {"bound", &g.bound},
            {"share", &g.share},
        };
        enum { NUMBERS = sizeof numbers / sizeof *numbers };
        char text[3000];
        size_t length = 0, again = 0;
        for (size_t i = 0; i < NUMBERS; i++)
            *numbers[i].x = rng_chance(&r, 0.1)   ? (double)NAN
                            : rng_chance(&r, 0.1) ? -(double)INFINITY
                                                  : any_double(&r);
        any_gauge(&r, &g.left);
        any_gauge(&r, &g.kept);
        REQUIRE_OK(mskp_pruner_gauge_json(&g, 0, NULL, &length, NULL));
        REQUIRE(length < sizeof text, "%zu bytes", length);
        memset(text, 0x5A, sizeof text);
        REQUIRE(mskp_pruner_gauge_json(&g, length, text, &again, NULL) == MSKP_ERROR_BAD_ARGUMENT &&
                    again == length && text[0] == 0x5A,
                "no room for the 0");
        REQUIRE_OK(mskp_pruner_gauge_json(&g, length + 1, text, &again, NULL));
        REQUIRE(again == length && strlen(text) == length, "%zu bytes, not %zu", again, length);
        REQUIRE(!strchr(text, '\n') && text[length + 1] == 0x5A, "more than one line");
        cJSON *json = cJSON_Parse(text);
        REQUIRE(json, "it is not JSON: %s", text);
        require_text(json, "stage", stages[g.stage]);
        require_field(json, "step", (double)g.step);
        require_field(json, "steps_left", (double)g.steps_left);
        require_field(json, "round", g.round);
        require_field(json, "rounds", g.rounds);
        require_field(json, "units", (double)g.units);
        require_field(json, "marked", (double)g.marked);
        require_field(json, "unmarked", (double)g.unmarked);
        for (size_t i = 0; i < NUMBERS; i++) require_field(json, numbers[i].name, *numbers[i].x);
        require_gauge(item(json, "left"), &g.left);
        require_gauge(item(json, "kept"), &g.kept);
        REQUIRE(cJSON_IsBool(item(json, "exact")) && cJSON_IsTrue(item(json, "exact")) == !!g.exact,
                "exact");
        REQUIRE(cJSON_IsBool(item(json, "ready")) && cJSON_IsTrue(item(json, "ready")) == !!g.ready,
                "ready");
        REQUIRE(cJSON_GetArraySize(json) == 8 + NUMBERS + 4, "%d items", cJSON_GetArraySize(json));
        cJSON_Delete(json);
    }
}
END_TEST

/* ---- By hand ---- */

START_TEST(the_little_network)
{
    mskp_graph *g = small_network_make(SMALL_PLAIN, NULL);
    const uint8_t keep[10] = {1, 0, 1, 1, 0, 1, 1, 0, 1, 1};
    double scores[10] = {0.1, 0, 1e300, 5e-324, 9007199254740993.0, 1.0 / 3, 0, 1e15, 123456789, 7};
    arena mem = {0};
    size_t length;
    trial_seed = 0;
    schema_load();
    scores[6] = (double)INFINITY;
    const mskp_report_options with = {.scores = scores_of(10, scores)};
    cJSON_Delete(report_of(&mem, g, 10, keep, &with));
    const char *text = report_text(&mem, g, 10, keep, &with, &length);
    static const char *const parts[] = {
        "{\"format\": \"mskp report\", \"version\": 1, \"network\": \"c06598e2bc63d08e\", "
        "\"units\": {\"before\": 10, \"after\": 7}, \"macs\": {",
        ",\n\"families\": [\n{\"family\": 0, \"at\": \"c1\", \"macs\": {",
        "\"units\": [0, 1, 2, 3], \"width\": {\"before\": 4, \"after\": 3}, \"kept\": [0, 2, 3], "
        "\"scores\": [0.1, 0, 1e+300, "
        "4.94065645841247e-324]},\n{\"family\": 1, \"at\": \"pad\"",
        "\"name\": \"r\\\"1\\\\\xc3\xa4\", \"op\": \"relu\", \"fate\": \"stays\", \"spatial\": [4, "
        "4], ",
        "\"name\": \"p\\ufffd\", \"op\": \"pick\"",
        "{\"value\": 9, \"name\": \"c3\", \"op\": \"conv\", \"fate\": \"stays\", \"spatial\": [4, "
        "4], \"macs\": "
        "{\"before\": 480, \"after\": 256}, \"params\": {\"before\": 30, \"after\": 16}, "
        "\"width\": {\"before\": 5, \"after\": 4}, \"kept\": [0, 1, 3, 4], \"scores\": [null, "
        "null, 1e+15, 123456789, 7]},\n",
        "{\"value\": 15, \"name\": \"y\", \"op\": \"linear\", \"fate\": \"stays\", \"spatial\": "
        "[], ",
        "\"kept\": [0, 1, 2], \"scores\": [null, null, null]}]}\n"};
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        ck_assert_msg(strstr(text, parts[i]) != NULL, "%zu: \"%s\" is not in %s", i, parts[i],
                      text);
    ck_assert(strstr(text, "9007199254740992") && strstr(text, "0.3333333333333333") &&
              !strstr(text, "0.33333333333333331"));
    cJSON_Delete(schema);
    arena_free(&mem);
    mskp_graph_destroy(g);
}
END_TEST

/* Well-formed UTF-8 goes through, whatever else is in a name becomes U+FFFD, byte by byte. */
START_TEST(names_become_utf8)
{
    static const char *const names[][2] = {
        {"\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x99\x82"},
        {"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\xf1\x80\x80\x80",
         "\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xf4\x8f\xbf\xbf\xf1\x80\x80\x80"},
        {"a\xff", "a\\ufffd"},
        {"\x80z", "\\ufffdz"},
        {"\xc0\xaf", "\\ufffd\\ufffd"},                       /* too long a form */
        {"\xe0\x80\xaf", "\\ufffd\\ufffd\\ufffd"},            /* too long a form */
        {"\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd"},            /* half of a surrogate pair */
        {"\xf4\x90\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"}, /* beyond U+10FFFF */
        {"\xf5\x80\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"},
        {"\xe2\x82", "\\ufffd\\ufffd"}, /* cut short */
        {"\xf0\x9f\x99.", "\\ufffd\\ufffd\\ufffd."},
        {"\xe2\x82\xc3\xa4", "\\ufffd\\ufffd\xc3\xa4"},
        {"\\\"/", "\\\\\\\"/"},
    };
    arena mem = {0};
    size_t length;
    trial_seed = 0;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        mskp_graph *g = mskp_graph_create(NULL);
        char expected[100];
        mskp_opaque(g, names[i][0], &(mskp_opaque_desc){"\xc3op\"", 0, NULL, 2, 0, NULL});
        ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
        const char *text = report_text(&mem, g, 0, NULL, NULL, &length);
        (void)snprintf(expected, sizeof expected, "\"name\": \"%s\", \"op\": \"\\ufffdop\\\"\", ",
                       names[i][1]);
        ck_assert_msg(strstr(text, expected) != NULL, "%zu: %s", i, text);
        ck_assert(strstr(text, "\"families\": [],\n") != NULL);
        mskp_graph_destroy(g);
    }
    arena_free(&mem);
}
END_TEST

/* A locale with this decimal sign, written as localedef wants it, made for this process. false: it
 * cannot be made here. */
static bool set_locale(char *folder, const char *sign, const char *charset, const char *half)
{
    char path[100], command[300], number[8];
    if (!mkdtemp(folder)) return false;
    (void)snprintf(path, sizeof path, "%s/sign", folder);
    FILE *file = fopen(path, "w");
    if (!file) return false;
    (void)fprintf(file,
                  "LC_NUMERIC\ndecimal_point \"%s\"\nthousands_sep \"\"\ngrouping -1\n"
                  "END LC_NUMERIC\n",
                  sign);
    (void)fclose(file);
    /* It complains that all else is missing, and makes what is there. */
    (void)snprintf(command, sizeof command, "localedef -c -i %s -f %s %s/xx > /dev/null 2>&1", path,
                   charset, folder);
    if (system(command) == -1 || setenv("LOCPATH", folder, 1)) return false;
    if (!setlocale(LC_NUMERIC, "xx")) return false;
    (void)snprintf(number, sizeof number, "%g", 0.5);
    return !strcmp(number, half);
}

/* A comma; the Arabic decimal sign, which has two bytes in UTF-8. */
START_TEST(in_every_locale)
{
    static const char *const locales[][3] = {{",", "ANSI_X3.4-1968", "0,5"},
                                             {"<U066B>", "UTF-8", "0\xd9\xab\x35"}};
    const char *const *l = locales[_i];
    char folder[] = "/tmp/mskp-locale-XXXXXX", command[100];
    mskp_graph *g = small_network_make(SMALL_PLAIN, NULL);
    double scores[10];
    arena mem = {0};
    size_t length;
    trial_seed = 0;
    for (int u = 0; u < 10; u++) scores[u] = 0.1 + u * 1e-9;
    const mskp_report_options with = {.scores = scores_of(10, scores)};
    const char *before = report_text(&mem, g, 0, NULL, &with, &length);
    ck_assert(strstr(before, "[0.1, 0.1"));
    if (!set_locale(folder, l[0], l[1], l[2]))
        printf("skipped: localedef makes no locale with %s here\n", l[2]);
    const char *after = report_text(&mem, g, 0, NULL, &with, &length);
    ck_assert_str_eq(before, after);
    (void)setlocale(LC_NUMERIC, "C");
    (void)unsetenv("LOCPATH");
    (void)snprintf(command, sizeof command, "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
    arena_free(&mem);
    mskp_graph_destroy(g);
}
END_TEST

/* They are written alike where the processor takes them for 0. */
START_TEST(denormal_scores)
{
    static const double small[] = {4.94065645841247e-324, -1e-310, 2.2250738585072014e-308, -0.0};
    mskp_graph *g = small_network_make(SMALL_PLAIN, NULL);
    double scores[10];
    arena mem = {0};
    size_t length;
    trial_seed = 0;
    for (int u = 0; u < 10; u++) scores[u] = small[u % 4];
    const mskp_report_options with = {.scores = scores_of(10, scores)};
    const char *before = report_text(&mem, g, 0, NULL, &with, &length);
    ck_assert(strstr(before, "-9.99999999999997e-311") || strstr(before, "-1e-310"));
    float_mode(1);
    const char *after = report_text(&mem, g, 0, NULL, &with, &length);
    float_mode(0);
    ck_assert_str_eq(before, after);
    arena_free(&mem);
    mskp_graph_destroy(g);
}
END_TEST

START_TEST(arguments)
{
    mskp_graph *g = small_network_make(SMALL_PLAIN, NULL), *unfinished = mskp_graph_create(NULL);
    const uint8_t keep[10] = {0};
    double scores[10] = {0};
    mskp_report_options report = {.scores = scores_of(10, scores)};
    mskp_error err = {0};
    char text[8] = "seven";
    size_t n = 77;
    ck_assert_int_eq(mskp_report_json(NULL, mask_of(10, keep), NULL, 8, text, &n, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_report_json(NULL, (mskp_mask){0}, NULL, 8, text, &n, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_report_json(unfinished, (mskp_mask){0}, NULL, 8, text, &n, &err),
                     MSKP_ERROR_BAD_STATE);
    ck_assert_int_eq(mskp_report_json(g, mask_of(11, keep), NULL, 8, text, &n, &err),
                     MSKP_ERROR_OTHER_NETWORK);
    ck_assert_int_eq(mskp_report_json(g, mask_of(10, keep), NULL, 8, text, NULL, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    report.scores.n = 9;
    ck_assert_int_eq(mskp_report_json(g, mask_of(10, keep), &report, 8, text, &n, &err),
                     MSKP_ERROR_OTHER_NETWORK);
    report.scores.n = 10;
    scores[9] = (double)NAN;
    ck_assert_int_eq(mskp_report_json(g, mask_of(10, keep), &report, 8, text, &n, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, "the score of unit 9 is NaN");
    scores[9] = -(double)INFINITY;
    ck_assert_int_eq(mskp_report_json(g, (mskp_mask){0}, &report, 8, text, &n, &err),
                     MSKP_ERROR_BAD_NUMBER);
    ck_assert_str_eq(err.text, "the score of unit 9 is -infinity");
    ck_assert_uint_eq(n, 77);
    ck_assert_int_eq(mskp_report_json(g, mask_of(10, keep), NULL, 8, text, &n, &err),
                     MSKP_ERROR_BAD_ARGUMENT);
    ck_assert(n > 1000 && strstr(err.text, "text has room for 8 bytes, needed are "));
    ck_assert_str_eq(text, "seven");
    mskp_graph_destroy(g);
    mskp_graph_destroy(unfinished);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("report");
    TCase *tcase = tcase_create("report");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, it_says_what_the_functions_say);
    tcase_add_test(tcase, it_says_what_becomes_of_constants);
    tcase_add_test(tcase, gauges_of_a_pruner);
    tcase_add_test(tcase, the_little_network);
    tcase_add_test(tcase, names_become_utf8);
    tcase_add_loop_test(tcase, in_every_locale, 0, 2);
    tcase_add_test(tcase, denormal_scores);
    tcase_add_test(tcase, arguments);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
