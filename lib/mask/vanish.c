/*
 * What vanishes under a mask: whole branches.
 *
 * A mask can remove all channels of a value. Then the operator that makes the value is gone, and
 * whatever is computed from this value alone no longer depends on the network's input: it is one
 * number per channel. Where such a branch meets another one in an addition, the addition does not
 * need it. Three passes decide what vanishes, over the values in the order of the description:
 *
 *   forward    A value vanishes if it has no channels left, or if every input of its operator
 *              vanishes (parameters as operands do not count).
 *   shifts     An operand that vanishes from an addition that stays was one number per channel.
 *              If a parameter adds this number, the shift of a norm or the bias of a convolution or
 *              linear layer, and nothing else uses the parameter, then it stays in the addition:
 *              the operand becomes its shift (MSKP_FATE_SHIFT), a vector without an input.
 *   backward   A value vanishes, too, if something has read it and all that did vanishes.
 *
 * An addition that stays, and a subtraction whose first operand stays, go without operands that
 * vanish; a concatenation goes without inputs that have no channels left. If any other operator
 * stays, and some of its inputs vanish, the mask is refused.
 *
 * What the library does not know in full must stay: inputs and outputs of the network, what custom
 * operators read or make, and a value that nothing reads, because the caller may read it. A mask
 * under which such a value would vanish is refused.
 *
 * A parameter vanishes if all operators that use it vanish, except that the shift of an operand
 * stays. The cost of what vanishes is 0.
 *
 * The decision needs the lengths of the lists alone. The smaller graph keeps the steps of vanished
 * values, with 0 channels, so the same passes over the smaller graph find the same again.
 */
#include <string.h>

#include "base/assert.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/names.h"
#include "describe/step.h"
#include "mask/vanish.h"
#include "mskp.h"
#include "units/cost.h"

mskp_status mskpi_vanish_make(vanishing *v, const mskp_graph *graph, mskp_error *err)
{
    const mskp_services *services = &graph->services;
    *v = (vanishing){.graph = graph};
    v->value = mskpi_alloc(services, graph->nvalues + 1, sizeof *v->value);
    v->param = mskpi_alloc(services, graph->nparams + 1, sizeof *v->param);
    v->read = mskpi_alloc(services, graph->nvalues + 1, sizeof *v->read);
    v->cause = mskpi_alloc(services, graph->nvalues + 1, sizeof *v->cause);
    v->uses = mskpi_alloc(services, graph->nparams + 1, sizeof *v->uses);
    if (!v->value || !v->param || !v->read || !v->cause || !v->uses) {
        mskpi_vanish_free(v);
        return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while looking for what vanishes",
                          mskp_status_text(MSKP_ERROR_NO_MEMORY));
    }
    for (size_t i = 1; i <= graph->nvalues; i++) {
        const graph_step *s = &graph->steps[i];
        for (size_t k = 0; k < s->ninputs; k++) v->read[graph->step_inputs[s->first_input + k]] = 1;
        for (size_t k = 0; k < STEP_MOST_PARAMS; k++) v->uses[s->params[k]]++;
    }
    for (size_t k = 0; k < graph->nreaders; k++) v->uses[graph->readers[k].param]++;
    return MSKP_OK;
}

void mskpi_vanish_free(vanishing *v)
{
    if (!v->graph) return;
    const mskp_services *services = &v->graph->services;
    mskpi_free(services, v->value);
    mskpi_free(services, v->param);
    mskpi_free(services, v->read);
    mskpi_free(services, v->cause);
    mskpi_free(services, v->uses);
    *v = (vanishing){0};
}

uint64_t mskpi_term_left(const vanishing *v, const cost_term *term, const size_t *length)
{
    const bool gone = term->is_params ? mskpi_param_vanishes(v, term->param)
                                      : mskpi_fate(v, term->value) != MSKP_FATE_STAYS;
    return gone ? 0 : mskpi_term_value(term, length);
}

/* ---- What must stay ---- */

/* Whether the library knows what makes the value and everything that reads it, and something does.
 * A value that nothing makes or reads is a mere list (the heads of an attention): it may be
 * empty. */
static bool may_vanish(const vanishing *v, uint32_t value)
{
    const graph_step *s = &v->graph->steps[value];
    return !s->own && (s->kind == STEP_UNKNOWN) == !v->read[value];
}

static const char *name_of(const vanishing *v, uint32_t value, char room[NAME_SIZE])
{
    return mskpi_short(mskpi_value_name(v->graph, value), room);
}

/* Refuses a mask under which a value would vanish that must stay. */
static mskp_status refuse_value(const vanishing *v, uint32_t value, mskp_error *err)
{
    char room[NAME_SIZE], room_cause[NAME_SIZE];
    const uint32_t cause = v->cause[value];
    const size_t n = v->graph->values[cause].view.n;
    MSKPI_ASSERT(cause >= 1 && cause <= value);
    if (v->graph->values[value].list == v->graph->values[cause].list)
        return mskpi_fail(err, MSKP_ERROR_NO_SOLUTION, "%s: the mask keeps 0 of %zu channels",
                          name_of(v, cause, room_cause), n);
    return mskpi_fail(err, MSKP_ERROR_NO_SOLUTION,
                      "%s: the mask keeps 0 of %zu channels, and %s, which must stay, depends on "
                      "nothing else",
                      name_of(v, cause, room_cause), n, name_of(v, value, room));
}

/* Refuses a mask under which only one of two inputs of an operator would vanish. */
static mskp_status refuse_operator(const vanishing *v, uint32_t value, uint32_t input,
                                   mskp_error *err)
{
    char room[NAME_SIZE], room_cause[NAME_SIZE], room_input[NAME_SIZE];
    const uint32_t cause = v->cause[input];
    return mskpi_fail(err, MSKP_ERROR_NO_SOLUTION,
                      "%s: the mask keeps 0 of %zu channels, so %s vanishes; %s (%s) cannot do "
                      "without it",
                      name_of(v, cause, room_cause), v->graph->values[cause].view.n,
                      name_of(v, input, room_input), name_of(v, value, room),
                      v->graph->values[value].op);
}

/* ---- Forward ---- */

/* NULL: it has none. The array of all inputs may be NULL then, too. */
static const uint32_t *inputs_of(const vanishing *v, uint32_t value)
{
    const graph_step *s = &v->graph->steps[value];
    return s->ninputs ? v->graph->step_inputs + s->first_input : NULL;
}

static bool vanishes(const vanishing *v, uint32_t value)
{
    return v->value[value] != MSKP_FATE_STAYS;
}

static bool is_empty(const vanishing *v, const size_t *length, uint32_t value)
{
    return !length[v->graph->values[value].list];
}

/* Whether the operands that stay have together the channels and positions that are left of the
 * result. */
static bool operands_suffice(const vanishing *v, const size_t *length, uint32_t value)
{
    const graph_value *all = &v->graph->values[value];
    const uint32_t *in = inputs_of(v, value);
    size_t channels = 0, spatial[MSKP_MAX_SPATIAL] = {0};
    for (size_t k = 0; k < v->graph->steps[value].ninputs; k++) {
        const graph_value *x = &v->graph->values[in[k]];
        if (vanishes(v, in[k])) continue;
        if (length[x->list] > channels) channels = length[x->list];
        for (uint32_t d = 0; d < x->nspatial; d++)
            if (x->spatial[d] > spatial[d]) spatial[d] = x->spatial[d];
    }
    for (uint32_t d = 0; d < all->nspatial; d++)
        if (spatial[d] != all->spatial[d]) return false;
    return channels == length[all->list];
}

/* Whether an operator some of whose inputs vanish can do without them. */
static bool does_without(const vanishing *v, const size_t *length, uint32_t value)
{
    const graph_step *s = &v->graph->steps[value];
    const uint32_t *in = inputs_of(v, value);
    if (s->kind == STEP_COMBINE && s->option == MSKP_COMBINE_ADD)
        return operands_suffice(v, length, value);
    if (s->kind == STEP_COMBINE && s->option == MSKP_COMBINE_SUBTRACT)
        return !vanishes(v, in[0]) && operands_suffice(v, length, value);
    for (size_t k = 0; k < s->ninputs; k++)
        if (vanishes(v, in[k]) && !is_empty(v, length, in[k])) return false;
    return s->kind == STEP_CONCAT;
}

/* Returns the parameter that adds a number to each channel of a value, and is used for nothing
 * else; 0: there is none. */
static uint32_t shift_of(const vanishing *v, uint32_t value)
{
    const mskp_graph *g = v->graph;
    const graph_step *s = &g->steps[value];
    const uint32_t p = s->params[1];
    const bool adds = s->kind == STEP_NORM || s->kind == STEP_CONV || s->kind == STEP_TRANSPOSED ||
                      s->kind == STEP_LINEAR;
    if (!adds || !p || v->uses[p] != 1) return 0;
    /* Only packed projections use parts of a bias, and there are three of them. */
    MSKPI_ASSERT(g->params[p].ndim == 1);
    MSKPI_ASSERT(g->axes[g->params[p].axis].list == g->values[value].list);
    return p;
}

static void keep_shifts(vanishing *v, const size_t *length, uint32_t value)
{
    const graph_step *s = &v->graph->steps[value];
    const uint32_t *in = inputs_of(v, value);
    for (size_t k = 0; s->kind == STEP_COMBINE && k < s->ninputs; k++)
        if (vanishes(v, in[k]) && !is_empty(v, length, in[k]) && shift_of(v, in[k]))
            v->value[in[k]] = MSKP_FATE_SHIFT;
}

/* Decides about one value, whose inputs are decided. */
static mskp_status decide(vanishing *v, const size_t *length, uint32_t value, mskp_error *err)
{
    const mskp_graph *g = v->graph;
    const graph_step *s = &g->steps[value];
    const uint32_t *in = inputs_of(v, value);
    uint32_t gone = 0; /* the first input that vanishes */
    bool other = false;
    for (size_t k = 0; k < s->ninputs; k++)
        if (!vanishes(v, in[k]))
            other = other || g->steps[in[k]].kind != STEP_PARAM;
        else if (!gone)
            gone = in[k];
    v->cause[value] = gone ? v->cause[gone] : g->u->lists[g->values[value].list].value;
    if (is_empty(v, length, value) || (gone && !other)) {
        v->value[value] = MSKP_FATE_VANISHES;
        v->any = true;
        /* A value of the smaller graph that has no channels has vanished before. */
        if (g->values[value].view.n && !may_vanish(v, value)) return refuse_value(v, value, err);
    } else if (gone && does_without(v, length, value)) {
        keep_shifts(v, length, value);
    }
    return MSKP_OK;
}

/* ---- Backward, and parameters ---- */

/* Values that only vanished operators read vanish, too, also shifts. */
static void find_unread(vanishing *v)
{
    const mskp_graph *g = v->graph;
    for (size_t i = 1; i <= g->nvalues; i++) v->read[i] *= 2; /* 2: nothing that stays reads it */
    for (uint32_t i = (uint32_t)g->nvalues; i >= 1; i--) {
        const graph_step *s = &g->steps[i];
        if (v->read[i] == 2 && may_vanish(v, i)) v->value[i] = MSKP_FATE_VANISHES;
        for (size_t k = 0; !vanishes(v, i) && k < s->ninputs; k++) v->read[inputs_of(v, i)[k]] = 1;
    }
    for (size_t i = 1; i <= g->nvalues; i++) v->read[i] = v->read[i] != 0;
}

/* Refuses a mask under which an operator that stays cannot do without inputs that vanish. */
static mskp_status check_operators(const vanishing *v, const size_t *length, mskp_error *err)
{
    for (uint32_t i = 1; i <= v->graph->nvalues; i++) {
        const graph_step *s = &v->graph->steps[i];
        for (size_t k = 0; !vanishes(v, i) && k < s->ninputs; k++)
            if (vanishes(v, inputs_of(v, i)[k]) && !does_without(v, length, i))
                return refuse_operator(v, i, inputs_of(v, i)[k], err);
    }
    return MSKP_OK;
}

/* A parameter vanishes if an operator that vanishes uses it and none that stays does. */
static void find_params(vanishing *v)
{
    const mskp_graph *g = v->graph;
    memset(v->param, 0, g->nparams + 1);
    for (int stays = 0; stays <= 1; stays++)
        for (uint32_t i = 1; i <= g->nvalues; i++)
            for (size_t k = 0; k < STEP_MOST_PARAMS; k++) {
                const bool used = !vanishes(v, i) || (v->value[i] == MSKP_FATE_SHIFT && k == 1);
                if (used == (stays == 1)) v->param[g->steps[i].params[k]] = !stays;
            }
    for (size_t k = 0; k < g->nreaders; k++) v->param[g->readers[k].param] = 0;
}

mskp_status mskpi_vanish(vanishing *v, const size_t *length, mskp_error *err)
{
    mskp_status status = MSKP_OK;
    bool empty = false;
    v->any = false;
    for (size_t l = 0; l < v->graph->u->nlists; l++) empty = empty || !length[l];
    if (!empty) return MSKP_OK;
    memset(v->value, MSKP_FATE_STAYS, v->graph->nvalues + 1);
    for (uint32_t i = 1; !status && i <= v->graph->nvalues; i++) status = decide(v, length, i, err);
    if (!status) {
        find_unread(v);
        status = check_operators(v, length, err);
    }
    if (status)
        v->any = false;
    else
        find_params(v);
    return status;
}
