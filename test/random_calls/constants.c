/* Constants with any arguments; reports as text. */
#include "caller.h"

#include "by_id/by_id.h"
#include <cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Text ---- */

/* The text has the length that was said, is refused where there is no room, and can be read. */
static void require_text(user *u, const uint8_t *keep, const mskp_report_options *report,
                         size_t length)
{
    const size_t live = u->purse->live, short_of = rng_from(u->r, 1, length);
    size_t said = 0;
    mskp_error err = {0};
    char *text = arena_get(&u->mem, length + 2, 1);
    memset(text, 0x5A, length + 2);
    mskp_status status = mskp_report_json(u->g, mask_of(u->n.units, keep), report,
                                          length + 1 - short_of, text, &said, &err);
    REQUIRE(status == MSKP_ERROR_BAD_ARGUMENT || u->purse->empty, "%zu bytes too few: %d", short_of,
            (int)status);
    require_refusal(u, status, &err, live);
    for (size_t i = 0; i < length + 2; i++) REQUIRE(text[i] == 0x5A, "byte %zu was touched", i);
    REQUIRE_OK(
        mskp_report_json(u->g, mask_of(u->n.units, keep), report, length + 1, text, &said, NULL));
    REQUIRE(said == length && !text[length] && text[length + 1] == 0x5A && strlen(text) == length,
            "%zu bytes, %zu said", strlen(text), said);
    cJSON *json = cJSON_Parse(text);
    REQUIRE(json, "no JSON");
    cJSON_Delete(json);
}

static void try_report(user *u, const uint8_t *keep, mskp_report_options *report, bool good)
{
    const size_t live = u->purse->live, units = wrong_or(u, u->n.units);
    size_t length = 77;
    mskp_error err = {0};
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
    purse_fail(u->purse, 0);
    REQUIRE(u->purse->live == live && length != 77 && length, "a report keeps memory");
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

/* ---- Constants ---- */

static mskp_constants_desc any_desc(user *u, bool *odd)
{
    mskp_constants_desc desc = {.way = (mskp_constants_way)rng_below(u->r, 4),
                                .zeroed = (uint32_t)rng_below(u->r, MSKP_ROLES_UNIT + 1),
                                .merge_above = (double)rng_below(u->r, 8) / 8};
    *odd = rng_chance(u->r, 0.1);
    if (*odd) spoil(u->r, &desc, sizeof desc);
    return desc;
}

static void require_report(const user *u, const mskp_constants_report *r, size_t k)
{
    size_t channels;
    (void)mskp_value_shape(u->g, r->reads, &channels, NULL);
    REQUIRE(r->consumer.id && r->consumer.id <= u->n.values && channels,
            "report %zu: value %u reads %u", k, r->consumer.id, r->reads.id);
    REQUIRE(r->weight.id <= u->n.params && r->into.id <= u->n.params, "report %zu: parameters", k);
    const size_t heard = r->folded + r->merged + r->dropped + r->live;
    REQUIRE(heard && heard <= channels, "report %zu: %zu of %zu channels", k, heard, channels);
    REQUIRE(r->exact ? !r->why && r->bound <= 0 && !r->live : r->why && r->why[0] && r->bound > 0,
            "report %zu: exact %u, a bound of %g", k, r->exact, r->bound);
    REQUIRE(r->exact ? r->share <= 0 : r->share > 0 && (isfinite(r->bound) || isinf(r->share)),
            "report %zu: exact %u, a share of %g", k, r->exact, r->share);
    REQUIRE(!r->merged == !r->carriers && r->carriers <= r->merged + channels,
            "report %zu: carriers", k);
}

static void require_sum(user *u, const mskp_constants *c, const uint8_t *carrier)
{
    mskp_constants_report r, t, sum = {.exact = 1};
    mskp_error err = {0};
    const size_t n = mskp_constants_consumers(c), live = u->purse->live;
    for (size_t k = 0; k < n; k++) {
        REQUIRE_OK(mskp_constants_consumer(c, k, &r, NULL));
        require_report(u, &r, k);
        sum.folded += r.folded;
        sum.merged += r.merged;
        sum.dropped += r.dropped;
        sum.live += r.live;
        sum.exact = sum.exact && r.exact;
        sum.bound = fmax(sum.bound, r.bound);
        sum.share = fmax(sum.share, r.share);
    }
    for (size_t i = 0; i < u->n.units; i++) sum.carriers += carrier[i];
    REQUIRE_OK(mskp_constants_total(c, &t, NULL));
    REQUIRE(sum.folded == t.folded && sum.merged == t.merged && sum.dropped == t.dropped &&
                sum.live == t.live && sum.exact == t.exact && sum.carriers == t.carriers &&
                !(sum.bound < t.bound) && !(sum.bound > t.bound) && !(sum.share < t.share) &&
                !(sum.share > t.share),
            "the total is no sum");
    r = (mskp_constants_report){.folded = 77};
    const size_t beyond = n + wrong_or(u, 0);
    const mskp_status status = mskp_constants_consumer(c, beyond < n ? n : beyond, &r, &err);
    require_refusal(u, status, &err, live);
    REQUIRE(r.folded == 77, "a report too many");
}

static void require_carriers(user *u, const mskp_constants *c, const uint8_t *kept,
                             uint8_t *carrier)
{
    const size_t units = wrong_or(u, u->n.units), live = u->purse->live;
    mskp_error err = {0};
    memset(carrier, 0xEE, u->n.units);
    if (units != u->n.units) {
        const mskp_status status = get_carriers(c, units, carrier, &err);
        REQUIRE(status == MSKP_ERROR_OTHER_NETWORK, "%d %s", (int)status, err.text);
        require_refusal(u, status, &err, live);
        for (size_t i = 0; i < u->n.units; i++) REQUIRE(carrier[i] == 0xEE, "carrier %zu", i);
    }
    REQUIRE_OK(get_carriers(c, u->n.units, carrier, NULL));
    for (size_t i = 0; i < u->n.units; i++)
        REQUIRE(carrier[i] ? carrier[i] == 1 && !u->keep[i] && kept[i] == 1
                           : kept[i] == (u->keep[i] != 0),
                "unit %zu: kept %u of %u, carrier %u", i, kept[i], u->keep[i], carrier[i]);
}

/* All or nothing; what lies there afterwards are numbers. */
static void apply(user *u, const mskp_constants *c)
{
    mskp_tensor *tensors = copy_of(u, u->values);
    unsigned char **was = bytes_of(u, NULL);
    const size_t live = u->purse->live, params = wrong_or(u, u->n.params);
    const bool wrong = rng_chance(u->r, 0.15) && spoil_set(u, tensors);
    mskp_error err = {0};
    endanger(u);
    const mskp_status status = apply_constants(c, params, tensors, &err);
    if (status) {
        require_refusal(u, status, &err, live);
        require_untouched(u, was, "refused constants");
        REQUIRE(wrong || params != u->n.params || status == MSKP_ERROR_NO_MEMORY, "%s", err.text);
    }
    purse_fail(u->purse, 0);
    REQUIRE(u->purse->live == live, "constants keep memory");
    for (uint32_t p = 1; !status && p <= u->n.params; p++) {
        size_t shape[MSKP_MAX_DIMS], index[MSKP_MAX_DIMS] = {0};
        const uint32_t ndim = mskp_param_shape(u->g, (mskp_param){p}, shape);
        if (!was[p]) continue;
        const mskp_tensor v = view_resolve(&u->buf[p].view, ndim, shape);
        do REQUIRE(isfinite(view_get(&v, index)), "parameter %u: not finite", p);
        while (next_index(ndim, shape, index));
    }
    (void)bytes_of(u, was);
}

static void use_constants(user *u, const mskp_constants *c, const uint8_t *kept)
{
    uint8_t *carrier = arena_get(&u->mem, u->n.units, 1), *keep = u->keep;
    mskp_report_options report = {.constants = c};
    require_carriers(u, c, kept, carrier);
    require_sum(u, c, carrier);
    try_report(u, kept, &report, true);
    if (u->n.units) { /* another mask is none of theirs */
        uint8_t *other = arena_copy(&u->mem, kept, u->n.units, 1);
        const size_t i = rng_below(u->r, u->n.units), live = u->purse->live;
        size_t length = 77;
        mskp_error err = {0};
        other[i] = !other[i];
        const mskp_status status =
            mskp_report_json(u->g, mask_of(u->n.units, other), &report, 0, NULL, &length, &err);
        REQUIRE(status == MSKP_ERROR_BAD_ARGUMENT && length == 77, "%d, another mask", (int)status);
        require_refusal(u, status, &err, live);
    }
    apply(u, c);
    u->keep = arena_copy(&u->mem, kept, u->n.units, 1);
    mskp_graph *small = NULL;
    mskp_plan *plan = planned(u, &small);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    u->keep = keep;
}

void call_constants(user *u)
{
    bool odd;
    const mskp_constants_desc desc = any_desc(u, &odd);
    const size_t live = u->purse->live, hole = rng_chance(u->r, 0.05) ? rng_from(u->r, 1, 5) : 0;
    const size_t units = wrong_or(u, u->n.units), params = wrong_or(u, u->n.params);
    const bool alone = rng_chance(u->r, 0.2); /* the mask becomes its own result */
    uint8_t *kept = arena_get(&u->mem, u->n.units, 1), *was = kept;
    mskp_tensor *tensors = copy_of(u, u->values);
    unsigned char **bytes = bytes_of(u, NULL);
    mskp_constants *c = NULL;
    mskp_error err = {0};
    const bool wrong = rng_chance(u->r, 0.15) && spoil_set(u, tensors);
    if (rng_chance(u->r, 0.5)) u->keep = random_keep(u);
    memset(kept, 0xEE, u->n.units);
    if (alone && u->n.units) memcpy(kept, u->keep, u->n.units);
    was = arena_copy(&u->mem, kept, u->n.units, 1);
    endanger(u);
    const mskp_status status =
        create_constants(hole == 1 ? NULL : u->g, units,
                         hole == 2 ? NULL
                         : alone   ? kept
                                   : u->keep,
                         rng_chance(u->r, 0.1) ? NULL : &desc, params, hole == 3 ? NULL : tensors,
                         hole == 4 ? NULL : kept, hole == 5 ? NULL : &c, &err);
    require_untouched(u, bytes, "a preview");
    if (status) {
        require_refusal(u, status, &err, live);
        REQUIRE(!c && (!u->n.units || !memcmp(was, kept, u->n.units)), "a result, and %s",
                err.text);
        REQUIRE(odd || hole || wrong || units != u->n.units || params != u->n.params ||
                    status == MSKP_ERROR_NO_MEMORY || status == MSKP_ERROR_NO_DATA ||
                    status == MSKP_ERROR_BAD_NUMBER,
                "%s", err.text);
        return;
    }
    purse_fail(u->purse, 0);
    REQUIRE(c && !hole && units == u->n.units && params == u->n.params, "taken");
    if (!wrong) use_constants(u, c, kept);
    mskp_constants_destroy(c);
    REQUIRE(u->purse->live == live, "constants keep memory");
}
