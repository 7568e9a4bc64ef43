/* Trials: begin, end, sets of tensors, comparison of graphs. */
#include "trial.h"

#include "vanish.h"

#include "by_id/by_id.h"
#include <stdlib.h>
#include <string.h>

static void trial_draw(trial *t, rng *nets, const net_options *options,
                       const mskp_services *services)
{
    mskp_error err = {0};
    *t = (trial){0};
    t->net = net_drawn(&t->mem, nets, options);
    t->model = model_make(&t->mem);
    t->value = arena_get(&t->mem, t->net->nodes + 1, sizeof *t->value);
    t->graph = mskp_graph_create(services);
    REQUIRE(t->graph, "no graph");
    net_describe(t->net, t->graph, &t->model, t->value);
    mskp_status status = mskp_graph_finish(t->graph, &err);
    REQUIRE(status == MSKP_OK, "finish: %s", err.text);
    t->units = mskp_graph_counts(t->graph).units;
    REQUIRE(t->units == t->model.units, "%zu units, the model has %zu", t->units, t->model.units);
}

void trial_begin(trial *t, uint64_t seed, const net_options *options, const mskp_services *services)
{
    rng nets = rng_make(seed);
    trial_seed = seed;
    trial_draw(t, &nets, options, services);
    t->r = rng_make(seed ^ 0x5EEDu);
}

void trial_steered(trial *t, rng r, const net_options *options, const mskp_services *services)
{
    trial_draw(t, &r, options, services);
    t->r = r;
}

void trial_end(trial *t)
{
    mskp_graph_destroy(t->graph);
    arena_free(&t->mem);
}

/* ---- Sets ---- */

set set_make(arena *mem, rng *r, const net *n, mskp_dtype dtype, view_style style)
{
    set s = {.params = n->params};
    s.views = arena_get(mem, n->params + 1, sizeof *s.views);
    s.buf = arena_get(mem, n->params + 1, sizeof *s.buf);
    for (size_t p = 1; p <= n->params; p++) {
        view_style one = style == VIEW_STYLES ? (view_style)rng_below(r, VIEW_STYLES) : style;
        s.buf[p] = view_make(mem, r, dtype, n->param[p].ndim, n->param[p].shape, one);
        s.views[p] = s.buf[p].view;
    }
    return s;
}

set set_copy(arena *mem, const set *s)
{
    set c = *s;
    c.views = arena_copy(mem, s->views, s->params + 1, sizeof *s->views);
    c.buf = arena_copy(mem, s->buf, s->params + 1, sizeof *s->buf);
    for (size_t p = 1; p <= s->params; p++) {
        c.buf[p].memory = arena_copy(mem, s->buf[p].memory, s->buf[p].bytes, 1);
        c.buf[p].view.data =
            c.buf[p].memory + ((unsigned char *)s->buf[p].view.data - s->buf[p].memory);
        if (s->views[p].data)
            c.views[p].data =
                c.buf[p].memory + ((unsigned char *)s->views[p].data - s->buf[p].memory);
    }
    return c;
}

void set_numbers(const set *s, const net *n)
{
    for (size_t p = 1; p <= s->params; p++) {
        const net_param *q = &n->param[p];
        mskp_tensor v = view_resolve(&s->views[p], q->ndim, q->shape);
        size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
        if (!shape_elements(q->ndim, q->shape)) continue;
        do view_set(&v, index, q->data[i++]);
        while (next_index(q->ndim, q->shape, index));
    }
}

void pattern_of(uint64_t salt, size_t param, size_t element, unsigned char bytes[16])
{
    rng r = rng_make(salt * 1000003 + param * 65537 + element);
    for (int k = 0; k < 2; k++) {
        uint64_t x = rng_next(&r);
        memcpy(bytes + 8 * k, &x, 8);
    }
    bytes[0] = (unsigned char)element;
    bytes[1] = (unsigned char)(element >> 8);
}

void set_pattern(const set *s, const net *n, uint64_t salt)
{
    for (size_t p = 1; p <= s->params; p++) {
        const net_param *q = &n->param[p];
        mskp_tensor v = view_resolve(&s->views[p], q->ndim, q->shape);
        size_t index[MSKP_MAX_DIMS] = {0}, i = 0;
        unsigned char bytes[16];
        do {
            pattern_of(salt, p, i++, bytes);
            memcpy(view_at(&v, index), bytes, dtype_size(v.dtype));
        } while (next_index(q->ndim, q->shape, index));
    }
}

bool set_same(const set *a, const set *b)
{
    for (size_t p = 1; p <= a->params; p++) {
        const mskp_tensor *v = &a->views[p], *w = &b->views[p];
        if (memcmp(a->buf[p].memory, b->buf[p].memory, a->buf[p].bytes) != 0) return false;
        if (!v->data != !w->data || v->dtype != w->dtype || v->ndim != w->ndim) return false;
        if (v->data && (unsigned char *)v->data - a->buf[p].memory !=
                           (unsigned char *)w->data - b->buf[p].memory)
            return false;
        for (uint32_t d = 0; d < v->ndim; d++)
            if (v->shape[d] != w->shape[d] || v->stride[d] != w->stride[d]) return false;
    }
    return true;
}

/* ---- Surgery ---- */

/* The indices that the plan keeps of one list, checked against the units of the list. */
static net_kept kept_list(const uint32_t *index, size_t count, const uint32_t *units, size_t n,
                          const uint8_t *keep, bool vanishes)
{
    size_t i = 0;
    if (vanishes) {
        REQUIRE(!count && (index || !n), "%zu of %zu stay of what vanishes", count, n);
        return (net_kept){0, index};
    }
    for (size_t c = 0; c < n; c++) {
        if (units && units[c] != MSKP_PINNED && !keep[units[c]]) continue;
        REQUIRE(i < count && (index ? index[i] : i) == c, "kept index %zu should be %zu", i, c);
        i++;
    }
    REQUIRE(i == count, "%zu indices kept, %zu said", i, count);
    REQUIRE(index || count == n, "NULL, but only %zu of %zu stay", count, n);
    return (net_kept){count, index};
}

void surgery_begin(surgery *s, trial *t, mskp_graph *graph, const net *n, const size_t *value,
                   size_t units, const uint8_t *keep)
{
    mskp_error err = {0};
    const char *why;
    *s = (surgery){0};
    mskp_status status = mskp_plan_create(graph, mask_of(units, keep), &s->plan, &s->small, &err);
    REQUIRE(status == MSKP_OK, "plan: %s", err.text);
    s->values = arena_get(&t->mem, n->nodes + 1, sizeof *s->values);
    s->axes = arena_get(&t->mem, n->params + 1, sizeof *s->axes);
    s->fate = arena_get(&t->mem, n->nodes + 1, 1);
    s->vanished = arena_get(&t->mem, n->params + 1, sizeof *s->vanished);
    REQUIRE(net_vanish(t, n, graph, value, keep, s->fate, s->vanished), "a part of an operator");
    for (size_t k = 1; k <= n->nodes; k++) {
        mskp_value v = {(uint32_t)value[k]};
        size_t count, channels;
        const uint32_t *index = mskp_plan_value_kept(s->plan, v, &count);
        const uint32_t *list = mskp_value_units(graph, v, &channels);
        REQUIRE(mskp_plan_fate(s->plan, v) == s->fate[k], "node %zu: fate %d, %d expected", k,
                (int)mskp_plan_fate(s->plan, v), s->fate[k]);
        s->any = s->any || s->fate[k];
        s->values[k] =
            kept_list(index, count, list, channels, keep, s->fate[k] == MSKP_FATE_VANISHES);
    }
    for (size_t p = 1; p <= n->params; p++)
        for (uint32_t d = 0; d < n->param[p].ndim; d++) {
            mskp_param q = {(uint32_t)p};
            size_t count;
            const uint32_t *index = mskp_plan_param_kept(s->plan, q, d, &count);
            const uint32_t *list = mskp_param_units(graph, q, d, NULL, NULL);
            s->axes[p][d] =
                kept_list(index, count, list, n->param[p].shape[d], keep, s->vanished[p]);
        }
    s->net = net_cut(n, &t->mem, s->values, s->axes, s->fate, &why);
    REQUIRE(s->net, "the smaller recipe does not fit: %s", why);
}

void surgery_end(surgery *s)
{
    mskp_plan_destroy(s->plan);
    mskp_graph_destroy(s->small);
}

/* ---- Comparison ---- */

static void same_lists(const uint32_t *x, size_t nx, const uint32_t *y, size_t ny, const char *what,
                       size_t id)
{
    REQUIRE(!x == !y && nx == ny, "%s %zu: lists of %zu and %zu", what, id, nx, ny);
    for (size_t i = 0; x && i < nx; i++)
        REQUIRE(x[i] == y[i], "%s %zu: units %u and %u at %zu", what, id, x[i], y[i], i);
}

static void same_values(const mskp_graph *a, const mskp_graph *b, uint32_t id)
{
    mskp_value v = {id};
    mskp_coupling x, y;
    size_t nx, ny;
    const uint32_t *ux = mskp_value_units(a, v, &nx), *uy = mskp_value_units(b, v, &ny);
    same_lists(ux, nx, uy, ny, "value", id);
    REQUIRE_OK(mskp_value_coupling(a, v, &x, NULL));
    REQUIRE_OK(mskp_value_coupling(b, v, &y, NULL));
    REQUIRE(strcmp(x.name, y.name) == 0, "value %u: %s and %s", id, x.name, y.name);
    REQUIRE(strcmp(x.op, y.op) == 0, "%s: %s and %s", x.name, x.op, y.op);
    REQUIRE(mskp_value_find(b, x.name).id == id, "%s is not found", x.name);
    size_t sx[MSKP_MAX_SPATIAL], sy[MSKP_MAX_SPATIAL];
    const uint32_t axes = mskp_value_shape(a, v, NULL, sx),
                   others = mskp_value_shape(b, v, NULL, sy);
    REQUIRE(axes == others, "%s: %u and %u axes", x.name, axes, others);
    for (uint32_t d = 0; d < axes; d++) REQUIRE(sx[d] == sy[d], "%s: axis %u", x.name, d);
    REQUIRE(x.channels == y.channels && x.units == y.units && x.pinned == y.pinned,
            "%s: channels %zu %zu, units %zu %zu, pinned %zu %zu", x.name, x.channels, y.channels,
            x.units, y.units, x.pinned, y.pinned);
    REQUIRE(x.tied == y.tied && x.tied_by.id == y.tied_by.id, "%s: %zu ties by %u, %zu by %u",
            x.name, x.tied, x.tied_by.id, y.tied, y.tied_by.id);
    REQUIRE(x.pinned_by.id == y.pinned_by.id, "%s: pinned by %u and %u", x.name, x.pinned_by.id,
            y.pinned_by.id);
}

void require_same_graph(const mskp_graph *a, const mskp_graph *b)
{
    mskp_counts x = mskp_graph_counts(a), y = mskp_graph_counts(b);
    arena mem = {0};
    REQUIRE(x.units == y.units, "%zu and %zu units", x.units, y.units);
    REQUIRE(x.families == y.families, "%zu and %zu families", x.families, y.families);
    REQUIRE(x.params == y.params && x.values == y.values, "parameters or values");
    for (uint32_t v = 1; v <= x.values; v++) same_values(a, b, v);
    for (uint32_t p = 1; p <= x.params; p++) {
        const char *na, *nb;
        size_t sa[MSKP_MAX_DIMS], sb[MSKP_MAX_DIMS], ca, cb;
        uint32_t ndim = param_info(a, (mskp_param){p}, &na, sa), ra, rb;
        REQUIRE(ndim == param_info(b, (mskp_param){p}, &nb, sb), "axes of %s", na);
        REQUIRE(strcmp(na, nb) == 0 && mskp_param_find(b, na).id == p, "names %s, %s", na, nb);
        for (uint32_t d = 0; d < ndim; d++) {
            const uint32_t *ua = mskp_param_units(a, (mskp_param){p}, d, &ra, &ca);
            const uint32_t *ub = mskp_param_units(b, (mskp_param){p}, d, &rb, &cb);
            REQUIRE(sa[d] == sb[d], "%s, axis %u: %zu and %zu", na, d, sa[d], sb[d]);
            same_lists(ua, ca, ub, cb, "parameter", p);
            REQUIRE(!ua || ra == rb, "%s, axis %u: roles %u and %u", na, d, ra, rb);
        }
    }
    size_t fa, fb;
    const uint32_t *ga = mskp_unit_families(a, &fa), *gb = mskp_unit_families(b, &fb);
    if (x.units) same_lists(ga, fa, gb, fb, "families", 0);
    for (size_t u = 0; u < x.units; u++) {
        size_t ca, cb;
        const mskp_member *ma = mskp_unit_members(a, u, &ca), *mb = mskp_unit_members(b, u, &cb);
        REQUIRE(ca == cb, "unit %zu: %zu and %zu members", u, ca, cb);
        for (size_t i = 0; i < ca; i++)
            REQUIRE(ma[i].param.id == mb[i].param.id && ma[i].axis == mb[i].axis &&
                        ma[i].index == mb[i].index && ma[i].roles == mb[i].roles,
                    "unit %zu, member %zu", u, i);
    }
    mskp_cost ta, tb, *pa = arena_get(&mem, x.values + 1, sizeof *pa);
    mskp_cost *pb = arena_get(&mem, x.values + 1, sizeof *pb);
    REQUIRE_OK(mskp_measure(a, (mskp_mask){0}, &ta, pa + 1, NULL));
    REQUIRE_OK(mskp_measure(b, (mskp_mask){0}, &tb, pb + 1, NULL));
    REQUIRE(ta.macs == tb.macs && ta.params == tb.params, "costs");
    for (size_t v = 0; v <= x.values; v++)
        REQUIRE(pa[v].macs == pb[v].macs && pa[v].params == pb[v].params, "cost of value %zu", v);
    arena_free(&mem);
}

static void require_members(const mskp_graph *graph, const model *m, uint32_t u)
{
    size_t count, k = 0, n, size;
    const mskp_member *member = mskp_unit_members(graph, u, &count);
    for (size_t p = 1; p <= m->params; p++)
        for (uint32_t d = 0; d < m->param[p].ndim; d++)
            for (uint32_t i = 0; m->param[p].axis[d].unit && i < m->param[p].shape[d]; i++) {
                if (m->param[p].axis[d].unit[i] != u) continue;
                REQUIRE(k < count && member[k].param.id == p && member[k].axis == d &&
                            member[k].index == i,
                        "unit %u: member %zu is not parameter %zu, axis %u, index %u", u, k, p, d,
                        i);
                REQUIRE(member[k].roles == m->param[p].axis[d].roles, "unit %u: roles %u", u,
                        member[k].roles);
                k++;
            }
    REQUIRE(k == count, "unit %u: %zu members, %zu expected", u, count, k);

    const uint32_t *families = mskp_unit_families(graph, &n);
    REQUIRE(n == m->units && families[u] < m->families, "family of unit %u", u);
    const uint32_t *fellows = mskp_family_units(graph, families[u], &size);
    REQUIRE(size == m->family_size[m->family[u]], "unit %u: %zu in its family", u, size);
    k = 0;
    for (uint32_t w = 0; w < m->units; w++) {
        if (m->family[w] != m->family[u]) continue;
        REQUIRE(fellows[k++] == w && families[w] == families[u], "family of unit %u", u);
    }
}

void require_model(const mskp_graph *graph, const model *m)
{
    mskp_counts c = mskp_graph_counts(graph);
    size_t n;
    REQUIRE(c.values == m->values, "%zu values, %zu expected", c.values, m->values);
    REQUIRE(c.params == m->params, "%zu parameters, %zu expected", c.params, m->params);
    REQUIRE(c.units == m->units, "%zu units, %zu expected", c.units, m->units);
    REQUIRE(c.families == m->families, "%zu families, %zu expected", c.families, m->families);
    for (uint32_t k = 1; k <= m->values; k++) {
        const model_value *v = &m->value[k];
        const uint32_t *units = mskp_value_units(graph, (mskp_value){k}, &n);
        size_t pinned = 0, different = 0;
        mskp_coupling info;
        same_lists(units, n, v->unit, v->n, "value", k);
        for (size_t i = 0; i < n; i++) {
            bool first = true;
            for (size_t j = 0; j < i; j++) first &= units[j] != units[i];
            pinned += units[i] == MSKP_PINNED;
            different += first && units[i] != MSKP_PINNED;
        }
        REQUIRE_OK(mskp_value_coupling(graph, (mskp_value){k}, &info, NULL));
        REQUIRE(info.channels == n && info.units == different && info.pinned == pinned,
                "%s: %zu channels, %zu units, %zu pinned", info.name, info.channels, info.units,
                info.pinned);
        size_t spatial[MSKP_MAX_SPATIAL];
        const uint32_t axes = mskp_value_shape(graph, (mskp_value){k}, NULL, spatial);
        REQUIRE(axes == v->nspatial, "%s: %u axes", info.name, axes);
        for (uint32_t d = 0; d < v->nspatial; d++)
            REQUIRE(spatial[d] == v->spatial[d], "%s: axis %u is %zu, not %zu", info.name, d,
                    spatial[d], v->spatial[d]);
        REQUIRE((info.pinned_by.id != 0) == (pinned != 0), "%s: pinned by", info.name);
    }
    for (uint32_t p = 1; p <= m->params; p++) {
        size_t shape[MSKP_MAX_DIMS];
        REQUIRE(mskp_param_shape(graph, (mskp_param){p}, shape) == m->param[p].ndim, "ndim");
        for (uint32_t d = 0; d < m->param[p].ndim; d++) {
            uint32_t roles;
            const uint32_t *units = mskp_param_units(graph, (mskp_param){p}, d, &roles, &n);
            REQUIRE(shape[d] == m->param[p].shape[d], "parameter %u, axis %u", p, d);
            if (units || m->param[p].axis[d].unit) {
                same_lists(units, n, m->param[p].axis[d].unit, shape[d], "parameter", p);
                REQUIRE(roles == m->param[p].axis[d].roles, "parameter %u: roles %u", p, roles);
            }
        }
    }
    for (uint32_t u = 0; u < m->units; u++) require_members(graph, m, u);
}
