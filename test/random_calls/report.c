/*
 * Reports as text. cJSON reads each of them, and the numbers in it are compared with those that the
 * library's other functions give: the text must hold the same doubles, to the last bit.
 *
 * Text takes much longer than what it is about. So only calls_report reports on networks of all
 * sizes and compares; other calls report on small networks alone.
 */
#include "caller.h"

#include "by_id/by_id.h"
#include <cJSON.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { SMALL = 16 }; /* values and units together */

/* ---- What the text says ---- */

static const cJSON *member(const cJSON *object, const char *key)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    REQUIRE(item, "the report has no %s", key);
    return item;
}

static void require_number(const cJSON *item, double number, const char *what)
{
    if (!isfinite(number)) {
        REQUIRE(cJSON_IsNull(item), "%s: a number, and not null for %g", what, number);
        return;
    }
    REQUIRE(cJSON_IsNumber(item) && item->valuedouble >= number && item->valuedouble <= number,
            "%s: %g instead of %g", what, item->valuedouble, number);
}

static void require_member(const cJSON *object, const char *key, double number)
{
    require_number(member(object, key), number, key);
}

static void require_pair(const cJSON *object, const char *key, double before, double after)
{
    const cJSON *pair = member(object, key);
    require_member(pair, "before", before);
    require_member(pair, "after", after);
    REQUIRE(cJSON_GetArraySize(pair) == 2, "%s: more than a pair", key);
}

static void require_costs(const cJSON *object, const mskp_cost *before, const mskp_cost *after)
{
    require_pair(object, "macs", before->macs, after->macs);
    require_pair(object, "params", before->params, after->params);
}

/* The next item of a list, which must be there. */
static const cJSON *following(const cJSON **item, const char *what)
{
    const cJSON *now = *item;
    REQUIRE(now, "%s: too few", what);
    *item = now->next;
    return now;
}

/* Names that are UTF-8 are what they were; a report has no other way to hold the rest. */
static void require_name(const cJSON *item, const char *name)
{
    bool ascii = true;
    if (!name) {
        REQUIRE(cJSON_IsNull(item), "a name where there is none");
        return;
    }
    for (const char *c = name; *c; c++) ascii = ascii && (unsigned char)*c < 128;
    REQUIRE(cJSON_IsString(item), "%s is no string", name);
    REQUIRE(!ascii || !strcmp(item->valuestring, name), "%s instead of %s", item->valuestring,
            name);
}

static bool stays(const uint8_t *keep, uint32_t unit)
{
    return unit == MSKP_PINNED || !keep || keep[unit];
}

/* The width, the indices that stay and the scores of a list of units. */
static void require_list(const cJSON *object, const uint32_t *unit, size_t n, const uint8_t *keep,
                         const double *scores)
{
    size_t kept = 0;
    const cJSON *at = member(object, "kept")->child;
    for (size_t i = 0; i < n; i++) {
        if (!stays(keep, unit[i])) continue;
        require_number(following(&at, "kept"), (double)i, "kept");
        kept++;
    }
    REQUIRE(!at, "more indices than %zu", kept);
    require_pair(object, "width", (double)n, (double)kept);
    REQUIRE(!scores == !cJSON_HasObjectItem(object, "scores"), "scores");
    if (!scores) return;
    at = member(object, "scores")->child;
    for (size_t i = 0; i < n; i++)
        require_number(following(&at, "scores"),
                       unit[i] == MSKP_PINNED ? (double)INFINITY : scores[unit[i]], "scores");
    REQUIRE(!at, "more scores than %zu", n);
}

static void require_values(user *u, const cJSON *json, const uint8_t *keep, const double *scores)
{
    const cJSON *entry = member(json, "values")->child, *at;
    mskp_cost total, *before = arena_get(&u->mem, u->n.values + 1, sizeof *before);
    mskp_cost left, *after = arena_get(&u->mem, u->n.values + 1, sizeof *after);
    REQUIRE_OK(mskp_measure(u->g, (mskp_mask){0}, &total, before, NULL));
    REQUIRE_OK(mskp_measure(u->g, mask_of(keep ? u->n.units : 0, keep), &left, after, NULL));
    require_costs(json, &total, &left);
    for (uint32_t v = 1; v <= u->n.values; v++) {
        const cJSON *e = following(&entry, "values");
        mskp_coupling info;
        size_t n, spatial[MSKP_MAX_SPATIAL];
        const uint32_t *unit = mskp_value_units(u->g, (mskp_value){v}, &n);
        const uint32_t nspatial = mskp_value_shape(u->g, (mskp_value){v}, NULL, spatial);
        REQUIRE_OK(mskp_value_coupling(u->g, (mskp_value){v}, &info, NULL));
        require_member(e, "value", v);
        require_name(member(e, "name"), info.name);
        require_name(member(e, "op"), info.op);
        at = member(e, "spatial")->child;
        for (uint32_t d = 0; d < nspatial; d++)
            require_number(following(&at, "spatial"), (double)spatial[d], "spatial");
        REQUIRE(!at, "value %u: more than %u axes", v, nspatial);
        require_costs(e, &before[v - 1], &after[v - 1]);
        require_list(e, unit, n, keep, scores);
    }
    REQUIRE(!entry, "more than %zu values", u->n.values);
}

static void require_all_families(user *u, const cJSON *json, const uint8_t *keep,
                                 const double *scores)
{
    const cJSON *entry = member(json, "families")->child, *at;
    for (size_t f = 0; f < u->n.families; f++) {
        const cJSON *e = following(&entry, "families");
        size_t n;
        const uint32_t *unit = mskp_family_units(u->g, f, &n);
        require_member(e, "family", (double)f);
        at = member(e, "units")->child;
        for (size_t i = 0; i < n; i++) require_number(following(&at, "units"), unit[i], "units");
        REQUIRE(!at, "family %zu: more than %zu units", f, n);
        REQUIRE(mskp_value_find(u->g, member(e, "at")->valuestring).id, "family %zu is nowhere", f);
        require_list(e, unit, n, keep, scores);
    }
    REQUIRE(!entry, "more than %zu families", u->n.families);
}

static const char *value_name(const user *u, mskp_value v, mskp_coupling *info)
{
    REQUIRE_OK(mskp_value_coupling(u->g, v, info, NULL));
    return info->name;
}

static void require_param_name(const user *u, const cJSON *item, mskp_param p)
{
    const char *name = NULL;
    if (p.id) (void)param_info(u->g, p, &name, NULL);
    require_name(item, name);
}

static void require_consumers(const user *u, const cJSON *json, const mskp_constants *c)
{
    const cJSON *entry = member(json, "constants")->child;
    for (size_t k = 0; k < mskp_constants_consumers(c); k++) {
        const cJSON *e = following(&entry, "constants");
        mskp_constants_report r;
        mskp_coupling info;
        REQUIRE_OK(mskp_constants_consumer(c, k, &r, NULL));
        require_name(member(e, "consumer"), value_name(u, r.consumer, &info));
        require_name(member(e, "reads"), value_name(u, r.reads, &info));
        require_param_name(u, member(e, "weight"), r.weight);
        require_param_name(u, member(e, "into"), r.into);
        require_member(e, "folded", (double)r.folded);
        require_member(e, "merged", (double)r.merged);
        require_member(e, "dropped", (double)r.dropped);
        require_member(e, "live", (double)r.live);
        require_member(e, "carriers", (double)r.carriers);
        REQUIRE(cJSON_IsTrue(member(e, "exact")) == (r.exact != 0), "exact");
        require_member(e, "bound", r.bound);
        require_member(e, "share", r.share);
        require_name(member(e, "why"), r.why);
    }
    REQUIRE(!entry, "more consumers than there are");
}

static void require_numbers(user *u, const cJSON *json, const uint8_t *keep,
                            const mskp_report_options *report)
{
    char network[20];
    size_t kept = 0;
    for (uint32_t i = 0; i < u->n.units; i++) kept += stays(keep, i);
    (void)snprintf(network, sizeof network, "%016llx", (unsigned long long)mskp_fingerprint(u->g));
    require_name(member(json, "network"), network);
    require_pair(json, "units", (double)u->n.units, (double)kept);
    require_values(u, json, keep, report->scores.unit);
    require_all_families(u, json, keep, report->scores.unit);
    if (report->constants) require_consumers(u, json, report->constants);
}

/* ---- Calls ---- */

/* The text has the length that was returned, a shorter capacity is refused, and it is JSON. */
static void require_text(user *u, const uint8_t *keep, const mskp_report_options *report,
                         size_t length)
{
    const size_t live = u->heap->live, short_of = rng_from(u->r, 1, length);
    size_t said = 0;
    mskp_error err = {0};
    char *text = arena_get(&u->mem, length + 2, 1);
    memset(text, 0x5A, length + 2);
    mskp_status status = mskp_report_json(u->g, mask_of(u->n.units, keep), report,
                                          length + 1 - short_of, text, &said, &err);
    REQUIRE(status == MSKP_ERROR_BAD_ARGUMENT || u->heap->empty, "%zu bytes too few: %d", short_of,
            (int)status);
    require_refusal(u, status, &err, live);
    for (size_t i = 0; i < length + 2; i++) REQUIRE(text[i] == 0x5A, "byte %zu was touched", i);
    REQUIRE_OK(
        mskp_report_json(u->g, mask_of(u->n.units, keep), report, length + 1, text, &said, NULL));
    REQUIRE(said == length && !text[length] && text[length + 1] == 0x5A && strlen(text) == length,
            "%zu bytes, %zu said", strlen(text), said);
    cJSON *json = cJSON_Parse(text);
    REQUIRE(json, "no JSON");
    if (u->reports) require_numbers(u, json, keep, report);
    cJSON_Delete(json);
}

void try_report(user *u, const uint8_t *keep, mskp_report_options *report, bool good)
{
    const size_t live = u->heap->live, units = wrong_or(u, u->n.units);
    size_t length = 77;
    mskp_error err = {0};
    if (!u->reports && u->n.values + u->n.units > SMALL) return;
    endanger(u);
    const mskp_status status =
        mskp_report_json(u->g, mask_of(units, keep), report, 0, NULL, &length, &err);
    if (status) {
        require_refusal(u, status, &err, live);
        REQUIRE(length == 77, "a refused report has a length");
        REQUIRE(!good || status == MSKP_ERROR_NO_MEMORY || (keep && units != u->n.units), "%s",
                err.text);
        return;
    }
    limited_heap_fail(u->heap, 0);
    REQUIRE(u->heap->live == live && length != 77 && length, "a report keeps memory");
    require_text(u, keep, report, length);
}

void call_report(user *u)
{
    static const double odd[] = {(double)NAN, (double)INFINITY, -(double)INFINITY};
    double *scores = arena_get(&u->mem, u->n.units, sizeof *scores);
    mskp_report_options report = {.scores =
                                      scores_of(u->n.units, rng_chance(u->r, 0.5) ? scores : NULL)};
    bool good = true;
    for (size_t i = 0; i < u->n.units; i++) {
        const size_t x = rng_below(u->r, 64);
        scores[i] = x < 3 ? odd[x] : (double)x / 7;
        good = good && (x == 1 || x > 2 || !report.scores.unit);
    }
    if (rng_chance(u->r, 0.1)) {
        report.scores.n = wrong_or(u, u->n.units);
        good = good && (!report.scores.unit || report.scores.n == u->n.units);
    }
    try_report(u, rng_chance(u->r, 0.7) ? u->keep : NULL, &report, good);
}
