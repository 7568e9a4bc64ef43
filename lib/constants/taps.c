/*
 * Which taps of a kernel see the image. A constant that a padded convolution reads does not become
 * a constant in its result: at the border some taps see zeros instead.
 *
 * On each spatial axis, positions of the result fall into classes: two positions are in one class
 * if the same taps see the image there. The classes of a convolution over several axes are the
 * products of the classes on its axes, so that sums of taps over all classes are made one axis
 * after the other. An operator is uniform if there is only one class. Positions whose windows lie
 * in the image as a whole are one class and are skipped at once, so that the work does not grow
 * with the image. Where there are too many positions or classes, nothing is known, and the operator
 * counts as not uniform.
 */
#include "constants/taps.h"
#include "base/memory.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/tools.h"

/* More positions than this are not gone through one by one, and more classes not summed up. */
#define MOST_POSITIONS ((size_t)1 << 20)
#define MOST_CLASSES   ((size_t)1 << 22)
#define MOST_ON_AXIS   ((size_t)1 << 12)

/* One axis of a convolution: position o sees tap t at o * stride + t * dilation - before. */
typedef struct sliding {
    size_t in, out, taps, stride, dilation, before;
} sliding;

static tap_class seen_by(const sliding *s, size_t o)
{
    const size_t start = o * s->stride;
    tap_class c = {0, 0};
    for (size_t t = 0; t < s->taps; t++) {
        const size_t at = start + t * s->dilation;
        if (at < s->before || at - s->before >= s->in) continue;
        if (!c.count++) c.first = t;
    }
    return c;
}

/* Transposed: tap t of input i lands at i * stride + t * dilation - before. */
static tap_class landed_at(const sliding *s, size_t o)
{
    tap_class c = {0, 0};
    for (size_t t = 0; t < s->taps; t++) {
        const size_t to = o + s->before, by = t * s->dilation;
        if (to < by || (to - by) % s->stride || (to - by) / s->stride >= s->in) continue;
        if (!c.count++) c.first = t;
    }
    return c;
}

static size_t common_divisor(size_t a, size_t b)
{
    while (b) {
        const size_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

/* Adds positions to a class; there is room for so many. 1: for no more. */
static int count_class(tap_axis *a, tap_class c, size_t *positions, size_t more, size_t room)
{
    size_t k = 0;
    while (k < a->n &&
           (a->classes[k].count != c.count || (c.count && a->classes[k].first != c.first)))
        k++;
    if (k == a->n) {
        if (a->n == room) return 1;
        a->classes[a->n++] = c;
    }
    positions[k] += more;
    return 0;
}

/* The last position whose window lies in the image as a whole, if this one does. */
static size_t last_whole(const sliding *s, tap_class c, size_t o)
{
    if (c.count < s->taps) return o;
    const size_t last = (s->in - 1 + s->before - (s->taps - 1) * s->dilation) / s->stride;
    return last < s->out - 1 ? last : s->out - 1;
}

/* 1: there are too many positions to look at, or classes. */
static int find_classes(const sliding *s, int transposed, tap_axis *a, size_t *positions,
                        size_t room)
{
    size_t looked = 0;
    for (size_t o = 0; o < s->out; o++) {
        if (looked++ == MOST_POSITIONS) return 1;
        const tap_class c = transposed ? landed_at(s, o) : seen_by(s, o);
        const size_t last = transposed ? o : last_whole(s, c, o);
        if (count_class(a, c, positions, last - o + 1, room)) return 1;
        o = last;
    }
    for (size_t k = 1; k < a->n; k++)
        if (positions[k] > positions[a->most] ||
            (positions[k] == positions[a->most] && a->classes[k].count > a->classes[a->most].count))
            a->most = k;
    return 0;
}

/* One class with all taps. */
static int all_taps(const mskp_services *host, tap_axis *a, size_t taps)
{
    *a = (tap_axis){.taps = taps, .step = 1, .n = 1};
    a->classes = mskpi_alloc(host, 1, sizeof *a->classes);
    if (a->classes) a->classes[0] = (tap_class){0, taps};
    return !a->classes;
}

static int axis_classes(const mskp_services *host, const sliding *s, int transposed, tap_axis *a,
                        int *too_many)
{
    const size_t room = s->out < MOST_ON_AXIS ? s->out : MOST_ON_AXIS;
    *a = (tap_axis){.taps = s->taps, .step = 1};
    if (transposed) a->step = s->stride / common_divisor(s->stride, s->dilation);
    a->classes = mskpi_alloc(host, room, sizeof *a->classes);
    size_t *positions = mskpi_alloc(host, room, sizeof *positions);
    const int failed = !a->classes || !positions;
    if (!failed) *too_many |= find_classes(s, transposed, a, positions, room);
    mskpi_free(host, positions);
    return failed;
}

/* Room for each step of the way from taps to classes, if there are not too many. */
static int make_room(const mskp_services *host, tap_classes *t)
{
    size_t most = 1;
    for (uint32_t done = 0; done <= MSKP_MAX_SPATIAL; done++) {
        size_t n = 1;
        for (uint32_t d = 0; d < MSKP_MAX_SPATIAL; d++)
            n = mskpi_product(n, d < done ? t->axis[d].n : t->axis[d].taps);
        if (n > most) most = n;
    }
    t->too_many |= most > MOST_CLASSES && most > t->taps;
    if (t->too_many) return 0;
    for (int k = 0; k < 2; k++) t->room[k] = mskpi_alloc(host, most, sizeof *t->room[k]);
    return !t->room[0] || !t->room[1];
}

int mskpi_taps_make(const mskp_graph *graph, uint32_t value, tap_classes *t)
{
    const mskp_services *host = &graph->services;
    const graph_step *s = &graph->steps[value];
    const graph_value *out = &graph->values[value];
    const graph_value *in = &graph->values[graph->step_inputs[s->first_input]];
    const int transposed = s->kind == STEP_TRANSPOSED;
    *t = (tap_classes){.taps = 1, .classes = 1};
    for (uint32_t d = 0; d < MSKP_MAX_SPATIAL; d++) {
        const int there = s->kind != STEP_LINEAR && d < in->nspatial;
        const size_t taps =
            there ? graph->axes[graph->params[s->params[0]].axis + 2 + d].length : 1;
        if (!there || s->uniform_padding) {
            if (all_taps(host, &t->axis[d], taps)) return 1;
        } else {
            const sliding way = {
                in->spatial[d],       out->spatial[d],        taps,
                s->as.conv.stride[d], s->as.conv.dilation[d], s->as.conv.before[d]};
            if (axis_classes(host, &way, transposed, &t->axis[d], &t->too_many)) return 1;
        }
    }
    for (uint32_t d = 0; d < MSKP_MAX_SPATIAL; d++) {
        t->taps *= t->axis[d].taps;
        t->classes = mskpi_product(t->classes, t->axis[d].n);
        t->most = t->most * t->axis[d].n + t->axis[d].most;
    }
    return make_room(host, t);
}

void mskpi_taps_free(const mskp_services *host, tap_classes *t)
{
    for (uint32_t d = 0; d < MSKP_MAX_SPATIAL; d++) mskpi_free(host, t->axis[d].classes);
    mskpi_free(host, t->room[0]);
    mskpi_free(host, t->room[1]);
}

int mskpi_taps_uniform(const tap_classes *t)
{
    return !t->too_many && t->classes == 1;
}

/* One axis after the other: taps become classes. */
const double *mskpi_taps_sums(const tap_classes *t, const double *numbers)
{
    size_t outer = 1, inner = t->taps;
    const double *from = numbers;
    for (uint32_t d = 0; d < MSKP_MAX_SPATIAL; d++) {
        const tap_axis *a = &t->axis[d];
        double *to = t->room[d % 2];
        inner /= a->taps;
        for (size_t p = 0; p < outer; p++)
            for (size_t c = 0; c < a->n; c++)
                for (size_t q = 0; q < inner; q++) {
                    double sum = 0;
                    for (size_t k = 0; k < a->classes[c].count; k++)
                        sum += from[(p * a->taps + a->classes[c].first + k * a->step) * inner + q];
                    to[(p * a->n + c) * inner + q] = sum;
                }
        outer *= a->n;
        from = to;
    }
    return from;
}
