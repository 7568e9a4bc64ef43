/*
 * The sweep over the targeted elements of one tensor.
 *
 * The sweep goes down the axes recursively. On the way it collects the targeted units that the
 * current element lies in, each once, and the sum of their weights: an element in two units counts
 * for both, and an element where two slices of one unit cross counts once. A subtree without a
 * targeted unit is skipped as soon as no axis below it is targeted. Elements are changed in two
 * shapes:
 *
 *   run     The rest of the axes is one run of memory and has one factor. Neighbouring indices with
 *           the same factor are joined into one longer run.
 *   stripe  The rest is one run of memory, and its first axis is targeted, with few elements for
 *           each index (the input channels of a convolution, or gamma). As runs these would be a
 *           few elements long. So all of them are computed, each with an amount of its own, and a
 *           mask leaves those that no unit owns as they were.
 *
 * Both are changed in parts of at most PART elements, each while the next part is asked for from
 * memory (`follow`): the slices of removed units lie apart, and what the processor fetches by
 * itself begins anew with each of them.
 *
 * The amounts of a stripe are the same for all other indices of the tensor, except for the factor
 * of the unit that owns the whole stripe. So they are written into a room on the stack once for
 * each PART elements, and the sweep over the outer axes goes inside of this loop.
 *
 * Where each element is changed by itself, axes are visited in the order of memory, whatever their
 * logical order is: then a tensor in channels-last layout has runs and stripes as a packed one has.
 * Sums, counts and random numbers keep the logical order. Two weights have the same sum in either
 * order; where three axes are targeted the order of memory is not used.
 */
#include <math.h>
#include <string.h>

#include "base/assert.h"
#include "penalty/visit.h"
#include "units/units.h"

/* An index of a stripe with more elements than this is a run of its own. */
enum { LONGEST_STRIPE_INDEX = 32 };

/* Elements of a piece, and into how many pieces a tensor is divided at most. */
enum { PIECE = 1 << 16, MOST_PIECES = 64 };

/* FETCH asks for the cache line at an address; LINES are asked for at a time. Processors notice
 * that a loop goes through memory, but a run of a few thousand elements ends soon after that, and
 * the next one is on other pages. */
enum { LINE = 64, LINES = 8 }; /* bytes; how many */
#if defined __GNUC__
#define FETCH(address, writes) __builtin_prefetch(address, writes)
#else
#define FETCH(address, writes) (void)(address)
#endif

bool mskpi_is_target(const penalty_job *j, uint32_t unit)
{
    if (unit == MSKP_PINNED) return false;
    if (j->how.target == MSKP_TARGET_ALL) return true;
    MSKPI_ASSERT(j->keep && unit < j->graph->u->n);
    return (j->keep[unit] == 0) == (j->how.target == MSKP_TARGET_REMOVED);
}

size_t mskpi_visit_pieces(size_t elements)
{
    const size_t pieces = elements / PIECE;
    return pieces < 1 ? 1 : pieces > MOST_PIECES ? MOST_PIECES : pieces;
}

/* ---- How a tensor is swept ---- */

/* Whether the least and the largest of the units of two axes leave room for a common one. */
static bool may_share(const sweep_axis *a, const sweep_axis *b)
{
    const sweep_axis *axis[] = {a, b};
    uint32_t least[2] = {MSKP_PINNED, MSKP_PINNED}, most[2] = {0, 0};
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < axis[k]->length; i++) {
            const uint32_t u = axis[k]->unit[i];
            if (u == MSKP_PINNED) continue;
            if (u < least[k]) least[k] = u;
            if (u > most[k]) most[k] = u;
        }
    return least[0] <= most[1] && least[1] <= most[0];
}

/* Finds the axis that is swept as stripes. */
static void find_stripe(penalty_sweep *s, size_t sets)
{
    uint32_t last = s->naxes, other = s->naxes, targeted = 0;
    s->stripe = s->naxes + 1;
    for (uint32_t d = 0; d < s->naxes; d++) {
        if (!s->axis[d].unit) continue;
        other = last;
        last = d;
        targeted++;
    }
    MSKPI_ASSERT(targeted > 0);
    const sweep_axis *a = &s->axis[last];
    bool dense = a->is_run && a->inner <= LONGEST_STRIPE_INDEX && targeted <= 2;
    for (size_t k = 0; k < sets; k++) dense = dense && s->step[k] == (ptrdiff_t)s->element[k];
    if (!dense) return;
    s->stripe = last;
    s->alone = targeted == 1;
    s->may_cross = targeted == 2 && may_share(a, &s->axis[other]);
}

/* order[k] <- the axis that is the k-th from outside. Axes of length 1 go outside, so that the
 * innermost axis is as long as it can be. */
static void order_axes(const tensor_view *v, bool of_memory, uint32_t order[MSKP_MAX_DIMS])
{
    uint32_t n = 0;
    for (uint32_t d = 0; d < v->ndim; d++)
        if (!of_memory || v->shape[d] < 2) order[n++] = d;
    for (uint32_t k = 0; of_memory && k < v->ndim; k++)
        if (v->shape[v->order[k]] > 1) order[n++] = v->order[k];
    MSKPI_ASSERT(n == v->ndim);
}

void mskpi_visit_make(penalty_sweep *sweep, uint32_t id, const tensor_view *value,
                      const tensor_view *second, const uint32_t *const unit[MSKP_MAX_DIMS],
                      bool any_order)
{
    const tensor_view *const views[] = {value, second};
    const size_t n = second ? 2 : 1;
    penalty_sweep *s = sweep;
    uint32_t order[MSKP_MAX_DIMS], targeted = 0;
    ptrdiff_t next[2] = {0, 0}; /* the step that would continue the run; 0: any would */
    for (uint32_t d = 0; d < value->ndim; d++) targeted += unit[d] != NULL;
    order_axes(value, any_order && targeted <= 2, order);
    *s = (penalty_sweep){.id = id, .naxes = value->ndim};
    s->axis[s->naxes] = (sweep_axis){.length = 1, .inner = 1, .is_run = true, .no_target = true};
    for (size_t k = 0; k < n; k++) {
        s->dtype[k] = views[k]->dtype;
        s->element[k] = views[k]->element;
        s->step[k] = (ptrdiff_t)views[k]->element;
    }
    for (uint32_t a = s->naxes; a-- > 0;) {
        const uint32_t d = order[a];
        const sweep_axis *within = &s->axis[a + 1];
        sweep_axis *axis = &s->axis[a];
        axis->length = value->shape[d];
        axis->inner = within->length * within->inner;
        axis->unit = unit[d];
        axis->no_target = within->no_target && !unit[d];
        axis->is_run = within->is_run;
        for (size_t k = 0; k < n; k++) {
            axis->step[k] = views[k]->stride[d] * (ptrdiff_t)views[k]->element;
            if (axis->length < 2) continue;
            if (!next[k]) s->step[k] = axis->step[k];
            if (next[k] && axis->step[k] != next[k]) axis->is_run = false;
            next[k] = axis->step[k] * (ptrdiff_t)axis->length;
        }
    }
    find_stripe(s, n);
}

/* ---- One sweep ---- */

/* A run or a stripe that is to be changed. */
typedef struct part {
    char *value, *second;
    double factor;
    size_t n;      /* elements; 0: nothing */
    bool stripe;   /* it is the stripe that is in the room */
    uint32_t unit; /* of a stripe: the unit that owns all of it; MSKP_PINNED: none */
} part;

typedef struct walk {
    const penalty_sweep *sweep;
    const sweep_piece *piece;
    penalty_job *job;
    stripe_room *room;
    const vector_loops *loops;      /* NULL: those of elements.c */
    size_t begin, end;              /* the indices of the first axis */
    size_t from, count;             /* the indices of the stripe's axis that are in the room */
    const int32_t *mask;            /* of the stripe */
    part next;                      /* is on its way from memory, and changed after that */
    uint32_t chosen[MSKP_MAX_DIMS]; /* the targeted units of the current indices, each once */
} walk;

static double weight_of(const penalty_job *j, uint32_t unit)
{
    return j->how.unit_weight ? j->how.unit_weight[unit] : 1;
}

/* Adds the unit at index i of axis d to the nchosen units that were chosen on the axes before, if
 * it is targeted and not among them. Adds its weight to *factor. Returns the number of chosen
 * units. */
static uint32_t choose(walk *w, uint32_t d, size_t i, uint32_t nchosen, double *factor)
{
    const uint32_t *units = w->sweep->axis[d].unit;
    if (!units || !mskpi_is_target(w->job, units[i])) return nchosen;
    MSKPI_ASSERT(nchosen <= d); /* each axis adds one unit at most */
    const uint32_t unit = units[i];
    for (uint32_t k = 0; k < nchosen; k++)
        if (w->chosen[k] == unit) return nchosen;
    w->chosen[nchosen] = unit;
    const double weight = weight_of(w->job, unit);
    *factor = w->job->kind == FADE ? fmax(*factor, weight) : *factor + weight;
    return nchosen + 1;
}

/* to[i] <- the amount of an element whose unit has the weight weight[i], and lies in other units
 * with the factor `base`. */
static void find_amounts(const penalty_job *j, size_t n, const double *restrict weight, double base,
                         double *restrict to)
{
    const double amount = j->amount;
    if (j->kind == FADE)
        for (size_t i = 0; i < n; i++) {
            const double left = 1 - amount * (weight[i] > base ? weight[i] : base);
            to[i] = left > 0 ? left : 0;
        }
    else
        for (size_t i = 0; i < n; i++)
            to[i] = j->kind == DEADLINE ? amount : amount * (base + weight[i]);
}

/* to[i] <- the factor of amount[i], if the loops read factors. */
static void find_factors(const walk *w, size_t n, const double *restrict amount,
                         double *restrict to)
{
    const vector_operation operation = w->loops->operation;
    const double knee = w->job->how.knee;
    if (!mskpi_has_factor(operation)) return;
    for (size_t i = 0; i < n; i++) to[i] = mskpi_vector_factor(operation, amount[i], knee);
}

/* Puts the part of the stripe into the room that begins with index `from`, and at most up to `to`.
 * Where the targets are known, and each has the same amount, the masks are there already. */
static void fill_room(walk *w, size_t from, size_t to)
{
    stripe_room *r = w->room;
    const penalty_job *j = w->job;
    const sweep_axis *a = &w->sweep->axis[w->sweep->stripe];
    const size_t most = PART / a->inner;
    w->from = from;
    w->count = to - from < most ? to - from : most;
    r->n = w->count * a->inner;
    if (w->piece->targets && w->sweep->alone && a->inner == 1 && !j->how.unit_weight) {
        const double amount = mskpi_amount(j, 1);
        const size_t same = r->same;
        for (; r->same < r->n; r->same++) r->outside[r->same] = amount;
        find_factors(w, r->same - same, r->outside + same, r->outside_factor + same);
        r->any = true;
        w->mask = w->piece->targets + (a->unit - j->graph->u->list_units) + from;
        return;
    }
    r->same = 0;
    r->any = false;
    for (size_t i = 0, at = 0; i < w->count; i++) {
        const uint32_t unit = a->unit[from + i];
        const bool target = mskpi_is_target(j, unit);
        const double weight = target ? weight_of(j, unit) : 0;
        r->any = r->any || target;
        for (const size_t end = at + a->inner; at < end; at++) {
            r->weight[at] = weight;
            r->mask[at] = target ? -1 : 0;
        }
    }
    w->mask = r->mask;
    find_amounts(j, r->n, r->weight, 0, r->outside);
    find_factors(w, r->n, r->outside, r->outside_factor);
    if (w->sweep->alone) return;
    r->base = (double)NAN;
    memset(r->all, 0xff, r->n * sizeof *r->all);
}

/* r->inside <- the amounts of the stripe in the room where all of it lies in `unit`, with a
 * factor. */
static void go_inside(walk *w, uint32_t unit, double factor)
{
    stripe_room *r = w->room;
    const sweep_axis *a = &w->sweep->axis[w->sweep->stripe];
    if (r->base >= factor && r->base <= factor) return;
    find_amounts(w->job, r->n, r->weight, factor, r->inside);
    r->base = factor;
    for (size_t i = 0; w->sweep->may_cross && i < w->count; i++) {
        if (a->unit[w->from + i] != unit) continue;
        const double amount = mskpi_amount(w->job, factor);
        for (size_t k = 0; k < a->inner; k++) r->inside[i * a->inner + k] = amount;
        r->base = (double)NAN; /* true of this unit alone */
    }
    find_factors(w, r->n, r->inside, r->inside_factor);
}

/* Elements [at, at + n) of a part. */
static void change_part(walk *w, const part *p, size_t at, size_t n)
{
    const stripe_room *r = w->room;
    const size_t bytes = at * w->sweep->element[w->piece->set];
    char *to = (p->second ? p->second : p->value) + bytes;
    const char *from = p->second ? p->value + bytes : NULL;
    const double knee = w->job->how.knee;
    if (!p->stripe) {
        const double amount = mskpi_amount(w->job, p->factor);
        double factor = 0;
        find_factors(w, 1, &amount, &factor);
        w->loops->run(n, to, from, &amount, &factor, NULL, knee);
    } else if (p->unit == MSKP_PINNED) {
        w->loops->stripe(n, to, from, r->outside + at, r->outside_factor + at, w->mask + at, knee);
    } else {
        go_inside(w, p->unit, p->factor);
        w->loops->stripe(n, to, from, r->inside + at, r->inside_factor + at, r->all + at, knee);
    }
}

/* Whether a run is only written: its old elements need not come from memory. */
static bool only_writes(const penalty_job *j)
{
    return j->kind == DEADLINE && !(j->amount > 0);
}

/* Changes the part that is on its way from memory, and asks for the next one meanwhile. Some lines
 * are asked for, and as many are changed, in turn: a processor can wait for so many lines at a time
 * and compute; where a program asks for more of them at once, it computes nothing until some have
 * come. */
static void follow(walk *w, part next)
{
    const bool reads = next.stripe || !only_writes(w->job);
    const size_t a_line = LINE / w->sweep->element[w->piece->set];
    const size_t asked = reads ? next.n : 0, most = LINES * a_line / (next.second ? 2 : 1);
    const part now = w->next;
    size_t done = 0;
    for (size_t at = 0; at < asked;) {
        for (const size_t end = at + most; at < end && at < asked; at += a_line) {
            FETCH(next.value + at * (LINE / a_line), 0);
            if (next.second) FETCH(next.second + at * (LINE / a_line), 1);
        }
        const size_t n = now.n - done < most ? now.n - done : most;
        if (n) change_part(w, &now, done, n);
        done += n;
    }
    if (done < now.n) change_part(w, &now, done, now.n - done);
    w->next = next;
}

/* The n elements of a run, whose first one has the logical index `first`. */
static void change_run(walk *w, char *value, char *second, double factor, size_t first, size_t n)
{
    const penalty_sweep *s = w->sweep;
    const uint32_t set = w->piece->set;
    const size_t most = only_writes(w->job) ? n : PART;
    for (size_t at = 0; w->loops && at < n; at += most) {
        const size_t bytes = at * s->element[set];
        follow(w, (part){.value = value + bytes,
                         .second = second ? second + bytes : NULL,
                         .factor = factor,
                         .n = n - at < most ? n - at : most,
                         .unit = MSKP_PINNED});
    }
    if (w->loops) return;
    const element_run run = {.value = value,
                             .second = second,
                             .dtype = s->dtype[set],
                             .dtype_2 = s->dtype[1],
                             .step = s->step[set],
                             .step_2 = s->step[1],
                             .id = s->id,
                             .first = first,
                             .n = n};
    mskpi_penalize(w->job, &run, factor);
}

/* The stripe in the room, whose first element is at `value`. */
static void change_stripe(walk *w, char *value, char *second, uint32_t nchosen, double factor)
{
    MSKPI_ASSERT(nchosen <= 1);
    if (!nchosen && !w->room->any) return;
    follow(w, (part){.value = value,
                     .second = second,
                     .factor = factor,
                     .n = w->room->n,
                     .stripe = true,
                     .unit = nchosen ? w->chosen[0] : MSKP_PINNED});
}

/* Sweeps everything below the indices that were chosen on the axes before d, whose first element is
 * at `value` and has the logical index `first`. factor: the sum of the weights of the nchosen units
 * so far. Of a stripe's axis, `value` is at the first index that is in the room. */
static void sweep_axes(walk *w, char *value, char *second, uint32_t d, uint32_t nchosen,
                       double factor, size_t first)
{
    const sweep_axis *a = &w->sweep->axis[d];
    const ptrdiff_t step = a->step[w->piece->set], step_2 = a->step[1];
    MSKPI_ASSERT(d <= w->sweep->naxes && nchosen <= d);
    if (w->loops && d == w->sweep->stripe) {
        change_stripe(w, value, second, nchosen, factor);
        return;
    }
    if (a->no_target) {
        if (!nchosen) return;
        if (a->is_run) {
            change_run(w, value, second, factor, first, a->length * a->inner);
            return;
        }
    }
    MSKPI_ASSERT(d < w->sweep->naxes); /* there nothing is targeted, and one element is a run */
    const size_t begin = d ? 0 : w->begin, end = d ? a->length : w->end;
    const bool joins = a[1].no_target && a->is_run; /* neighbours with one factor are one run */
    value += step * (ptrdiff_t)begin;
    if (second) second += step_2 * (ptrdiff_t)begin;
    first += begin * a->inner;
    for (size_t i = begin, n; i < end; i += n) {
        double f = factor;
        const uint32_t chosen = choose(w, d, i, nchosen, &f);
        for (n = 1; joins && i + n < end; n++) {
            double other = factor;
            if (choose(w, d, i + n, nchosen, &other) != chosen || other != f) break;
        }
        if (!joins)
            sweep_axes(w, value, second, d + 1, chosen, f, first);
        else if (chosen)
            change_run(w, value, second, f, first, n * a->inner);
        value += step * (ptrdiff_t)n;
        first += n * a->inner;
        if (second) second += step_2 * (ptrdiff_t)n;
    }
}

/* The vector loops for the elements that the sweep changes and reads; NULL: there are none. */
static const vector_loops *loops_for(const penalty_sweep *s, const sweep_piece *p)
{
    const uint32_t set = p->set;
    const bool doubles = s->dtype[set] == MSKP_DTYPE_F64;
    const vector_loops *loops = p->job->loops[doubles];
    if (!loops || (!doubles && s->dtype[set] != MSKP_DTYPE_F32)) return NULL;
    if (s->step[set] != (ptrdiff_t)s->element[set]) return NULL;
    if (p->second && (s->dtype[1] != s->dtype[set] || s->step[1] != s->step[set])) return NULL;
    return mskpi_usual_arithmetic() ? loops : NULL;
}

void mskpi_visit(const penalty_sweep *sweep, const sweep_piece *piece, stripe_room *room)
{
    const size_t length = sweep->axis[0].length, share = length / piece->pieces;
    const size_t rest = length % piece->pieces, k = piece->piece;
    walk w = {.sweep = sweep, .piece = piece, .job = piece->job, .room = room};
    w.loops = loops_for(sweep, piece);
    w.begin = k * share + (k < rest ? k : rest);
    w.end = w.begin + share + (k < rest);
    if (!w.loops || sweep->stripe > sweep->naxes) {
        sweep_axes(&w, piece->value, piece->second, 0, 0, 0, 0);
        if (w.loops) follow(&w, (part){0});
        return;
    }
    const sweep_axis *stripe = &sweep->axis[sweep->stripe];
    const size_t first = sweep->stripe ? 0 : w.begin;
    const size_t end = sweep->stripe ? stripe->length : w.end;
    for (size_t from = first; from < end; from += w.count) {
        char *value = piece->value + stripe->step[piece->set] * (ptrdiff_t)from;
        char *second =
            piece->second ? piece->second + stripe->step[1] * (ptrdiff_t)from : piece->second;
        fill_room(&w, from, end);
        sweep_axes(&w, value, second, 0, 0, 0, 0);
        follow(&w, (part){0});
    }
}
