/* The model of units. */
#include "model.h"

#include "by_id/by_id.h"
#include <stdlib.h>
#include <string.h>

/* Room for one more; the old block stays in the arena. */
static void *grow(arena *mem, void *old, size_t used, size_t *room, size_t size)
{
    if (used + 2 <= *room) return old;
    size_t more = *room ? *room * 2 : 16;
    void *p = arena_get(mem, more, size);
    if (used) memcpy(p, old, (used + 1) * size);
    *room = more;
    return p;
}

model model_make(arena *mem)
{
    return (model){.mem = mem};
}

size_t model_parameter(model *m, uint32_t ndim, const size_t *shape)
{
    m->param = grow(m->mem, m->param, m->params, &m->room_params, sizeof *m->param);
    model_param *p = &m->param[++m->params];
    *p = (model_param){.ndim = ndim};
    memcpy(p->shape, shape, ndim * sizeof *shape);
    return m->params;
}

static size_t new_value(model *m, size_t n, uint32_t nspatial, const size_t *spatial)
{
    m->value = grow(m->mem, m->value, m->values, &m->room_values, sizeof *m->value);
    model_value *v = &m->value[++m->values];
    *v = (model_value){.n = n, .nspatial = nspatial};
    if (nspatial) memcpy(v->spatial, spatial, nspatial * sizeof *spatial);
    v->channel = arena_get(m->mem, n, sizeof *v->channel);
    return m->values;
}

size_t model_fresh(model *m, size_t channels, uint32_t nspatial, const size_t *spatial)
{
    size_t v = new_value(m, channels, nspatial, spatial);
    for (size_t i = 0; i < channels; i++) m->value[v].channel[i] = (uint32_t)m->channels++;
    return v;
}

size_t model_pick(model *m, size_t from, size_t n, const size_t *positions)
{
    size_t v = new_value(m, n, m->value[from].nspatial, m->value[from].spatial);
    for (size_t i = 0; i < n; i++) m->value[v].channel[i] = m->value[from].channel[positions[i]];
    return v;
}

size_t model_concat(model *m, size_t n, const size_t *values)
{
    size_t total = 0, at = 0;
    for (size_t k = 0; k < n; k++) total += m->value[values[k]].n;
    size_t v = new_value(m, total, m->value[values[0]].nspatial, m->value[values[0]].spatial);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < m->value[values[k]].n; i++)
            m->value[v].channel[at++] = m->value[values[k]].channel[i];
    return v;
}

size_t model_alias(model *m, size_t from, uint32_t nspatial, const size_t *spatial)
{
    size_t v = new_value(m, m->value[from].n, nspatial, spatial);
    memcpy(m->value[v].channel, m->value[from].channel, m->value[from].n * sizeof(uint32_t));
    return v;
}

bool model_wrong(const model *m, model_fault_kind kind)
{
    return m->fault.kind == kind && m->fault.row == m->row;
}

static void rotate(uint32_t *channel, size_t n)
{
    const uint32_t first = channel[0];
    memmove(channel, channel + 1, (n - 1) * sizeof *channel);
    channel[n - 1] = first;
}

void model_rotate(model *m, size_t value)
{
    if (!model_wrong(m, MODEL_ROTATED) || m->value[value].n < 2) return;
    rotate(m->value[value].channel, m->value[value].n);
    m->faults++;
}

static void event(model *m, uint32_t a, uint32_t b, size_t by)
{
    if (model_wrong(m, a == b ? MODEL_NO_PINS : MODEL_NO_TIES)) {
        m->faults++;
        return;
    }
    m->event = grow(m->mem, m->event, m->events, &m->room_events, sizeof *m->event);
    m->event[m->events++] = (model_event){a, b, by};
}

void model_tie(model *m, size_t a, size_t b, size_t by)
{
    for (size_t i = 0; i < m->value[a].n; i++)
        if (m->value[a].channel[i] != m->value[b].channel[i])
            event(m, m->value[a].channel[i], m->value[b].channel[i], by);
}

void model_pin(model *m, size_t value, size_t by)
{
    for (size_t i = 0; i < m->value[value].n; i++)
        event(m, m->value[value].channel[i], m->value[value].channel[i], by);
}

void model_join(model *m, size_t a, size_t i, size_t b, size_t j, size_t by)
{
    const uint32_t x = m->value[a].channel[i], y = m->value[b].channel[j];
    if (x != y) event(m, x, y, by);
}

void model_own(model *m, size_t param, size_t value)
{
    if (!m->param[param].first_value) m->param[param].first_value = value;
}

void model_bind_part(model *m, size_t param, uint32_t axis, uint32_t roles, size_t value, size_t n,
                     size_t owner, size_t by)
{
    model_param *p = &m->param[param];
    model_axis *x = &p->axis[axis];
    uint32_t *channel = arena_copy(m->mem, m->value[value].channel, n, sizeof *channel);
    if (model_wrong(m, MODEL_MISBOUND) && (m->fault.roles & roles) == m->fault.roles && n > 1) {
        rotate(channel, n);
        m->faults++;
    }
    model_own(m, param, owner);
    p->roles |= roles;
    x->roles |= roles;
    for (size_t i = 0; x->fixed && i < n; i++) event(m, channel[i], channel[i], x->fixed);
    if (!x->channel) x->channel = channel;
    for (size_t i = 0; i < n; i++)
        if (x->channel[i] != channel[i]) event(m, x->channel[i], channel[i], by);
}

void model_fix(model *m, size_t param, uint32_t axis, size_t by)
{
    model_axis *x = &m->param[param].axis[axis];
    if (x->fixed) return;
    x->fixed = by;
    for (size_t i = 0; x->channel && i < m->param[param].shape[axis]; i++)
        event(m, x->channel[i], x->channel[i], by);
}

void model_bind(model *m, size_t param, uint32_t axis, uint32_t roles, size_t value, size_t by)
{
    model_bind_part(m, param, axis, roles, value, m->value[value].n, value, by);
}

void model_inexact(model *m, size_t value, size_t by)
{
    for (size_t i = 0; i < m->value[value].n; i++) {
        m->blur = grow(m->mem, m->blur, m->blurs, &m->room_blurs, sizeof *m->blur);
        m->blur[m->blurs++] = (model_event){m->value[value].channel[i], 0, by};
    }
}

size_t model_inexact_channels(const model *m, size_t value, size_t *by)
{
    const model_value *v = &m->value[value];
    size_t n = 0;
    *by = 0;
    for (size_t i = 0; i < v->n; i++) {
        bool unit = false;
        if (v->unit[i] == MSKP_PINNED) continue;
        for (size_t b = 0; b < m->blurs; b++) {
            unit |= m->unit_of[m->blur[b].a] == v->unit[i];
            if (m->blur[b].a == v->channel[i] && (!*by || m->blur[b].by < *by)) *by = m->blur[b].by;
        }
        n += unit;
    }
    return n;
}

void model_macs(model *m, size_t value, size_t param, uint64_t per_element)
{
    m->work = grow(m->mem, m->work, m->works, &m->room_works, sizeof *m->work);
    m->work[m->works++] = (model_work){value, param, per_element};
}

/* label[c]: the smallest channel that c is joined with. Returns whether two classes became one. */
static bool join(uint32_t *label, size_t n, uint32_t a, uint32_t b)
{
    uint32_t x = label[a], y = label[b];
    if (x == y) return false;
    uint32_t low = x < y ? x : y, high = x < y ? y : x;
    for (size_t c = 0; c < n; c++)
        if (label[c] == high) label[c] = low;
    return true;
}

static uint32_t *labels(const model *m, arena *mem)
{
    uint32_t *label = arena_get(mem, m->channels, sizeof *label);
    for (size_t c = 0; c < m->channels; c++) label[c] = (uint32_t)c;
    for (size_t e = 0; e < m->events; e++) join(label, m->channels, m->event[e].a, m->event[e].b);
    return label;
}

static uint32_t *units_of(const model *m, size_t n, const uint32_t *channel)
{
    uint32_t *u = arena_get(m->mem, n, sizeof *u);
    for (size_t i = 0; i < n; i++) u[i] = m->unit_of[channel[i]];
    return u;
}

/* Do two units occur in every list equally often? */
static bool same_incidence(const model *m, uint32_t a, uint32_t b)
{
    size_t n;
    const uint32_t *list;
    for (size_t k = 0; (list = model_list(m, k, &n, NULL, NULL)); k++) {
        ptrdiff_t balance = 0;
        for (size_t i = 0; i < n; i++) balance += (list[i] == a) - (list[i] == b);
        if (balance) return false;
    }
    return true;
}

void model_finish(model *m)
{
    uint32_t *label = labels(m, m->mem);
    bool *pinned = arena_get(m->mem, m->channels, sizeof *pinned);
    for (size_t e = 0; e < m->events; e++)
        if (m->event[e].a == m->event[e].b) pinned[label[m->event[e].a]] = true;
    m->unit_of = arena_get(m->mem, m->channels, sizeof *m->unit_of);
    for (size_t c = 0; c < m->channels; c++)
        if (pinned[label[c]])
            m->unit_of[c] = MSKP_PINNED;
        else
            m->unit_of[c] = label[c] == c ? (uint32_t)m->units++ : m->unit_of[label[c]];
    for (size_t v = 1; v <= m->values; v++)
        m->value[v].unit = units_of(m, m->value[v].n, m->value[v].channel);
    for (size_t p = 1; p <= m->params; p++)
        for (uint32_t d = 0; d < m->param[p].ndim; d++) {
            model_axis *x = &m->param[p].axis[d];
            if (x->channel) x->unit = units_of(m, m->param[p].shape[d], x->channel);
        }

    m->family = arena_get(m->mem, m->units, sizeof *m->family);
    m->family_size = arena_get(m->mem, m->units, sizeof *m->family_size);
    uint32_t *first = arena_get(m->mem, m->units, sizeof *first);
    for (uint32_t u = 0; u < m->units; u++) {
        size_t f = 0;
        while (f < m->families && !same_incidence(m, first[f], u)) f++;
        if (f == m->families) first[m->families++] = u;
        m->family[u] = (uint32_t)f;
        m->family_size[f]++;
    }
}

size_t model_kept(const uint32_t *units, size_t n, const uint8_t *keep)
{
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) kept += units[i] == MSKP_PINNED || !keep || keep[units[i]];
    return kept;
}

static double kept_elements(const model_param *p, const uint8_t *keep)
{
    size_t n = 1;
    for (uint32_t d = 0; d < p->ndim; d++)
        n *= p->axis[d].unit ? model_kept(p->axis[d].unit, p->shape[d], keep) : p->shape[d];
    return (double)n;
}

mskp_cost model_cost(const model *m, const uint8_t *keep, mskp_cost *per_value)
{
    mskp_cost total = {0};
    if (per_value) memset(per_value, 0, (m->values + 1) * sizeof *per_value);
    for (size_t w = 0; w < m->works; w++) {
        const model_work *k = &m->work[w];
        const model_value *v = &m->value[k->value];
        double n = k->param ? kept_elements(&m->param[k->param], keep)
                            : (double)model_kept(v->unit, v->n, keep);
        n *= (double)k->per_element;
        total.macs += n;
        if (per_value) per_value[k->value].macs += n;
    }
    for (size_t p = 1; p <= m->params; p++) {
        const uint32_t statistics = MSKP_ROLE_MEAN | MSKP_ROLE_VARIANCE;
        if (m->param[p].roles && !(m->param[p].roles & ~statistics)) continue;
        double n = kept_elements(&m->param[p], keep);
        total.params += n;
        if (per_value) per_value[m->param[p].first_value].params += n;
    }
    return total;
}

const uint32_t *model_list(const model *m, size_t k, size_t *n, size_t *param, uint32_t *axis)
{
    if (param) *param = 0;
    if (k < m->values) {
        *n = m->value[k + 1].n;
        return m->value[k + 1].unit;
    }
    k -= m->values;
    for (size_t p = 1; p <= m->params; p++)
        for (uint32_t d = 0; d < m->param[p].ndim; d++)
            if (m->param[p].axis[d].unit && k-- == 0) {
                *n = m->param[p].shape[d];
                if (param) *param = p;
                if (axis) *axis = d;
                return m->param[p].axis[d].unit;
            }
    return NULL;
}

bool model_mask_allowed(const model *m, const uint8_t *keep)
{
    size_t n;
    const uint32_t *list;
    for (size_t k = 0; (list = model_list(m, k, &n, NULL, NULL)); k++)
        if (model_kept(list, n, keep) == 0) return false;
    return true;
}

uint8_t *model_random_mask(const model *m, arena *mem, rng *r, double keep_probability)
{
    uint8_t *keep = arena_get(mem, m->units, 1);
    size_t n;
    const uint32_t *list;
    for (size_t u = 0; u < m->units; u++) keep[u] = rng_chance(r, keep_probability);
    for (size_t k = 0; (list = model_list(m, k, &n, NULL, NULL)); k++)
        if (model_kept(list, n, keep) == 0) keep[list[rng_below(r, n)]] = 1;
    return keep;
}

void model_joins(const model *m, size_t value, size_t *joins)
{
    const model_value *v = &m->value[value];
    arena mem = {0};
    uint32_t *label = arena_get(&mem, m->channels, sizeof *label);
    for (size_t c = 0; c < m->channels; c++) label[c] = (uint32_t)c;
    memset(joins, 0, (m->values + 1) * sizeof *joins);
    for (size_t e = 0; e < m->events; e++) {
        uint32_t a = label[m->event[e].a], b = label[m->event[e].b];
        bool has_a = false, has_b = false;
        for (size_t i = 0; i < v->n; i++) {
            if (v->unit[i] == MSKP_PINNED) continue;
            has_a |= label[v->channel[i]] == a;
            has_b |= label[v->channel[i]] == b;
        }
        if (join(label, m->channels, a, b) && has_a && has_b) joins[m->event[e].by]++;
    }
    arena_free(&mem);
}

size_t model_pinned_by(const model *m, size_t value)
{
    const model_value *v = &m->value[value];
    arena mem = {0};
    uint32_t *label = labels(m, &mem);
    size_t by = 0;
    for (size_t e = 0; e < m->events && !by; e++) {
        if (m->event[e].a != m->event[e].b) continue;
        for (size_t i = 0; i < v->n; i++)
            if (label[v->channel[i]] == label[m->event[e].a]) by = m->event[e].by;
    }
    arena_free(&mem);
    return by;
}
