/*
 * The report: what a mask does to a network, as JSON. docs/report-schema.json describes the fields.
 *
 * Everything that takes memory or can fail comes first: the options are checked, and the costs of
 * the network, of each value and of each family are computed before and after (measure). Then
 * put_report produces the text. mskpi_write (base/text.c) calls it twice, first to count and then
 * to write. Numbers are written with as many digits as are necessary to read the same double back,
 * and strings with the bytes of their names, except that quotes and backslashes are escaped and
 * bytes that are not UTF-8 become U+FFFD.
 *
 * The cost of a family is the sum of all cost terms that have one of its lists as a factor, each
 * once: everything that can change if units of the family are removed. Terms with lists of two
 * families count for both.
 */
#include <math.h>

#include "base/assert.h"
#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/text.h"
#include "constants/constants.h"
#include "describe/graph.h"
#include "describe/names.h"
#include "mask/vanish.h"
#include "mskp.h"
#include "mskp/constants.h"
#include "mskp/tools.h"
#include "units/cost.h"
#include "units/units.h"

/* ---- JSON ---- */

/* Returns how many bytes the UTF-8 character has that begins here, or 0 if none does. The bytes end
 * in 0, which is no part of any character, so nothing behind the end is read. */
static size_t utf8_length(const unsigned char *s)
{
    static const struct {
        unsigned char first, last, low, high; /* bounds of the first byte, and of the second */
        size_t length;
    } forms[] = {
        {0x01, 0x7f, 0, 0, 1},       {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
        {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };
    for (size_t f = 0; f < sizeof forms / sizeof *forms; f++) {
        if (*s < forms[f].first || *s > forms[f].last) continue;
        if (forms[f].length == 1) return 1;
        if (s[1] < forms[f].low || s[1] > forms[f].high) return 0;
        for (size_t i = 2; i < forms[f].length; i++)
            if (s[i] < 0x80 || s[i] > 0xbf) return 0;
        return forms[f].length;
    }
    return 0;
}

/* Puts a name, which has no control characters, so only " and \ need an escape. */
static void put_string(text_writer *w, const char *string)
{
    mskpi_put(w, "\"");
    while (*string) {
        const size_t n = utf8_length((const unsigned char *)string);
        if (*string == '"' || *string == '\\') mskpi_put(w, "\\");
        if (n)
            mskpi_put_bytes(w, string, n);
        else
            mskpi_put(w, "\\ufffd");
        string += n ? n : 1;
    }
    mskpi_put(w, "\"");
}

/* Puts the name of a member, whose value must follow. */
static void put_key(text_writer *w, const char *key)
{
    mskpi_put(w, ", \"");
    mskpi_put(w, key);
    mskpi_put(w, "\": ");
}

static void put_pair(text_writer *w, const char *key, double before, double after)
{
    put_key(w, key);
    mskpi_put(w, "{\"before\": ");
    mskpi_put_json(w, before);
    mskpi_put(w, ", \"after\": ");
    mskpi_put_json(w, after);
    mskpi_put(w, "}");
}

/* ---- the report ---- */

typedef struct costs {
    mskp_cost before, after;
} costs;

typedef struct report {
    const mskp_graph *graph;
    const uint8_t *keep;
    const double *scores;
    const mskp_constants *constants;
    char fingerprint[17];
    costs total;
    mskp_cost *before, *after; /* [values] */
    costs *family;             /* [families] */
    size_t *full, *left;       /* [lists] the lengths before and after */
    uint32_t *counted;         /* [terms] 1 + the last family that counted the term */
    vanishing gone;            /* nothing, under a mask that a plan would refuse */
} report;

static void put_costs(text_writer *w, const mskp_cost *before, const mskp_cost *after)
{
    put_pair(w, "macs", before->macs, after->macs);
    put_pair(w, "params", before->params, after->params);
}

/* Puts the width of a list of n units, the indices that stay, of which there are none if the list
 * vanishes, and the scores. */
static void put_list(text_writer *w, const report *r, const uint32_t *unit, size_t n, bool vanishes)
{
    size_t kept = 0;
    const char *comma = "";
    for (size_t i = 0; i < n && !vanishes; i++) kept += mskpi_is_kept(r->keep, unit[i]) != 0;
    put_pair(w, "width", (double)n, (double)kept);
    put_key(w, "kept");
    mskpi_put(w, "[");
    for (size_t i = 0; i < n && !vanishes; i++) {
        if (!mskpi_is_kept(r->keep, unit[i])) continue;
        mskpi_put(w, comma);
        mskpi_put_count(w, i);
        comma = ", ";
    }
    mskpi_put(w, "]");
    if (!r->scores) return;
    put_key(w, "scores");
    for (size_t i = 0; i < n; i++) {
        mskpi_put(w, i ? ", " : "[");
        mskpi_put_json(w, unit[i] == MSKP_PINNED ? (double)INFINITY : r->scores[unit[i]]);
    }
    mskpi_put(w, "]");
}

static void put_family(text_writer *w, const report *r, size_t f)
{
    size_t n;
    const uint32_t *unit = mskp_family_units(r->graph, f, &n);
    mskpi_put(w, "{\"family\": ");
    mskpi_put_count(w, f);
    put_key(w, "at");
    put_string(w, mskpi_family_name(r->graph, f));
    put_costs(w, &r->family[f].before, &r->family[f].after);
    put_key(w, "units");
    for (size_t i = 0; i < n; i++) {
        mskpi_put(w, i ? ", " : "[");
        mskpi_put_count(w, unit[i]);
    }
    mskpi_put(w, "]");
    put_list(w, r, unit, n, false);
    mskpi_put(w, "}");
}

static const char *const FATE[] = {"stays", "vanishes", "shift"};

static void put_value(text_writer *w, const report *r, uint32_t v)
{
    mskp_coupling info = {0};
    size_t n, spatial[MSKP_MAX_SPATIAL];
    const uint32_t *unit = mskp_value_units(r->graph, (mskp_value){v}, &n);
    MSKPI_MUST(mskp_value_coupling(r->graph, (mskp_value){v}, &info, NULL));
    MSKPI_ASSERT(n == info.channels);
    mskpi_put(w, "{\"value\": ");
    mskpi_put_count(w, v);
    put_key(w, "name");
    put_string(w, info.name);
    put_key(w, "op");
    put_string(w, info.op);
    put_key(w, "fate");
    put_string(w, FATE[mskpi_fate(&r->gone, v)]);
    put_key(w, "spatial");
    mskpi_put(w, "[");
    const uint32_t nspatial = mskp_value_shape(r->graph, (mskp_value){v}, NULL, spatial);
    for (uint32_t d = 0; d < nspatial; d++) {
        if (d) mskpi_put(w, ", ");
        mskpi_put_count(w, spatial[d]);
    }
    mskpi_put(w, "]");
    put_costs(w, &r->before[v - 1], &r->after[v - 1]);
    put_list(w, r, unit, n, mskpi_fate(&r->gone, v) == MSKP_FATE_VANISHES);
    mskpi_put(w, "}");
}

static void put_count_of(text_writer *w, const char *key, size_t n)
{
    put_key(w, key);
    mskpi_put_count(w, n);
}

/* Puts a member that is a string, or null for NULL. */
static void put_text(text_writer *w, const char *key, const char *string)
{
    put_key(w, key);
    if (string)
        put_string(w, string);
    else
        mskpi_put(w, "null");
}

static const char *param_name(const report *r, mskp_param p)
{
    return p.id ? mskpi_param_name(r->graph, p.id) : NULL;
}

/* Puts one consumer of constants. */
static void put_consumer(text_writer *w, const report *r, size_t i)
{
    mskp_constants_report x = {0};
    MSKPI_MUST(mskp_constants_consumer(r->constants, i, &x, NULL));
    mskpi_put(w, "{\"consumer\": ");
    put_string(w, mskpi_value_name(r->graph, x.consumer.id));
    put_text(w, "reads", mskpi_value_name(r->graph, x.reads.id));
    put_text(w, "weight", param_name(r, x.weight));
    put_text(w, "into", param_name(r, x.into));
    put_count_of(w, "folded", x.folded);
    put_count_of(w, "merged", x.merged);
    put_count_of(w, "dropped", x.dropped);
    put_count_of(w, "live", x.live);
    put_count_of(w, "carriers", x.carriers);
    put_key(w, "exact");
    mskpi_put(w, x.exact ? "true" : "false");
    put_key(w, "bound");
    mskpi_put_json(w, x.bound);
    put_key(w, "share");
    mskpi_put_json(w, x.share);
    put_text(w, "why", x.why);
    mskpi_put(w, "}");
}

static void put_constants(text_writer *w, const report *r)
{
    const size_t consumers = mskp_constants_consumers(r->constants);
    const char *comma = "";
    mskpi_put(w, ",\n\"carriers\": [");
    for (size_t u = 0; u < r->graph->u->n; u++) {
        if (!mskpi_constants_carries(r->constants, u)) continue;
        mskpi_put(w, comma);
        mskpi_put_count(w, u);
        comma = ", ";
    }
    mskpi_put(w, "],\n\"constants\": [");
    for (size_t i = 0; i < consumers; i++) {
        mskpi_put(w, i ? ",\n" : "\n");
        put_consumer(w, r, i);
    }
    mskpi_put(w, "]");
}

static void put_report(text_writer *w, const void *what)
{
    const report *r = what;
    const unit_table *u = r->graph->u;
    size_t kept = 0;
    for (uint32_t i = 0; i < u->n; i++) kept += mskpi_is_kept(r->keep, i) != 0;
    mskpi_put(w, "{\"format\": \"mskp report\", \"version\": 1, \"network\": \"");
    mskpi_put(w, r->fingerprint);
    mskpi_put(w, "\"");
    put_pair(w, "units", (double)u->n, (double)kept);
    put_costs(w, &r->total.before, &r->total.after);
    mskpi_put(w, ",\n\"families\": [");
    for (size_t f = 0; f < u->nfamilies; f++) {
        mskpi_put(w, f ? ",\n" : "\n");
        put_family(w, r, f);
    }
    mskpi_put(w, "],\n\"values\": [");
    for (uint32_t v = 1; v <= r->graph->nvalues; v++) {
        mskpi_put(w, v > 1 ? ",\n" : "\n");
        put_value(w, r, v);
    }
    mskpi_put(w, "]");
    if (r->constants) put_constants(w, r);
    mskpi_put(w, "}\n");
}

/* Adds up all terms that have a list of the family as a factor, each once. */
static void measure_family(const report *r, size_t f)
{
    const unit_table *u = r->graph->u;
    costs *c = &r->family[f];
    for (size_t i = u->incidence_first[f]; i < u->incidence_first[f + 1]; i++) {
        const uint32_t list = u->incidences[i].list;
        for (size_t k = u->list_term_first[list]; k < u->list_term_first[list + 1]; k++) {
            const uint32_t t = u->list_terms[k];
            const cost_term *term = &u->terms[t];
            if (r->counted[t] == f + 1) continue;
            r->counted[t] = (uint32_t)f + 1;
            const double before = (double)mskpi_term_value(term, r->full);
            const double after = (double)mskpi_term_left(&r->gone, term, r->left);
            MSKPI_ASSERT(after <= before);
            *(term->is_params ? &c->before.params : &c->before.macs) += before;
            *(term->is_params ? &c->after.params : &c->after.macs) += after;
        }
    }
}

static mskp_status measure(report *r, mskp_error *err)
{
    const mskp_graph *g = r->graph;
    const mskp_mask keep = {r->keep ? g->u->n : 0,
                            (uint8_t *)r->keep}; /* mskp_measure only reads it */
    mskp_status status = mskp_measure(g, (mskp_mask){0, NULL}, &r->total.before, r->before, err);
    if (!status) status = mskp_measure(g, keep, &r->total.after, r->after, err);
    if (status) return status;
    mskpi_list_lengths(g, NULL, r->full);
    mskpi_list_lengths(g, r->keep, r->left);
    (void)mskpi_vanish(&r->gone, r->left, NULL);
    for (size_t f = 0; f < g->u->nfamilies; f++) measure_family(r, f);
    return MSKP_OK;
}

static mskp_status check_options(const mskp_graph *graph, const uint8_t *keep,
                                 const mskp_report_options *options, mskp_error *err)
{
    char number[NUMBER_SIZE];
    const size_t units = graph->u->n;
    if (options->scores.unit && options->scores.n != units)
        return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK,
                          "report: scores has %zu units, the graph has %zu", options->scores.n,
                          units);
    if (options->constants && mskpi_constants_graph(options->constants) != graph)
        return mskpi_fail(err, MSKP_ERROR_OTHER_NETWORK,
                          "report: the constants are those of another graph");
    for (size_t u = 0; options->constants && u < units; u++)
        if (mskpi_constants_keeps(options->constants, u) != (mskpi_is_kept(keep, (uint32_t)u) != 0))
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                              "report: unit %zu %s, but the constants are those of a mask where it "
                              "does not",
                              u, mskpi_is_kept(keep, (uint32_t)u) ? "stays" : "leaves");
    for (size_t u = 0; options->scores.unit && u < units; u++)
        if (!(options->scores.unit[u] > -(double)INFINITY))
            return mskpi_fail(err, MSKP_ERROR_BAD_NUMBER, "the score of unit %zu is %s", u,
                              mskpi_number(options->scores.unit[u], number));
    return MSKP_OK;
}

mskp_status mskp_report_json(const mskp_graph *graph, mskp_mask keep,
                             const mskp_report_options *options, size_t capacity, char *text,
                             size_t *length, mskp_error *err)
{
    mskp_status status = mskpi_check_optional_mask(graph, "keep", keep, err);
    if (!status) status = MSKPI_GIVEN(err, length);
    if (status) return status;
    if (options && (status = check_options(graph, keep.unit, options, err))) return status;
    const mskp_services *services = &graph->services;
    const unit_table *u = graph->u;
    report r = {.graph = graph, .keep = keep.unit};
    if (options) r.scores = options->scores.unit, r.constants = options->constants;
    mskpi_fingerprint_text(mskp_fingerprint(graph), r.fingerprint);
    r.before = mskpi_alloc(services, graph->nvalues + 1, sizeof *r.before);
    r.after = mskpi_alloc(services, graph->nvalues + 1, sizeof *r.after);
    r.family = mskpi_alloc(services, u->nfamilies, sizeof *r.family);
    r.full = mskpi_alloc(services, u->nlists, sizeof *r.full);
    r.left = mskpi_alloc(services, u->nlists, sizeof *r.left);
    r.counted = mskpi_alloc(services, u->nterms, sizeof *r.counted);
    if (!r.before || !r.after || !r.family || !r.full || !r.left || !r.counted)
        status = mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while reporting",
                            mskp_status_text(MSKP_ERROR_NO_MEMORY));
    if (!status) status = mskpi_vanish_make(&r.gone, graph, err);
    if (!status) status = measure(&r, err);
    if (!status) status = mskpi_write(put_report, &r, capacity, text, length, err);
    mskpi_free(services, r.before);
    mskpi_free(services, r.after);
    mskpi_free(services, r.family);
    mskpi_free(services, r.full);
    mskpi_free(services, r.left);
    mskpi_free(services, r.counted);
    mskpi_vanish_free(&r.gone);
    return status;
}
