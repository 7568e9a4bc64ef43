/*
 * Which kernel elements (taps) overlap the image at each output position; the position sees these
 * taps. A constant that a padded convolution reads does not become a constant in its result,
 * because at the border some taps see zeros instead.
 *
 * On each spatial axis the positions of the result fall into classes: two positions are in one
 * class if the same taps see the image there. A kernel of 3 taps with a padding of 1, for example,
 * has three classes on an axis of length 5:
 *
 *     position   0         1, 2, 3        4
 *     taps       1, 2      0, 1, 2        0, 1
 *
 * The taps that see the image at one position are always equally far apart, so a class is a
 * first tap and a count. Positions whose windows lie in the image as a whole are one class and are
 * skipped at once, so the work does not grow with the image. Of a transposed convolution, where
 * the taps repeat with the stride, every position is looked at.
 *
 * The classes of a convolution over several axes are the products of the classes on its axes.
 * Therefore mskpi_taps_sums sums along one axis after the other, as a separable filter does. An
 * operator is uniform if there is only one class. If there are too many positions or classes to
 * look at, nothing is known, and the operator counts as not uniform.
 */
#include "constants/taps.h"
#include "base/assert.h"
#include "base/limits.h"
#include "base/memory.h"
#include "base/status.h"
#include "describe/graph.h"
#include "describe/step.h"
#include "mskp.h"
#include "mskp/tools.h"

/* One axis of a convolution. The window of position o has tap t at o * stride + t * dilation -
 * before. If it is transposed, tap t of input i adds to position i * stride + t * dilation -
 * before. */
typedef struct sliding {
    size_t in, out, taps, stride, dilation, before;
} sliding;

/* Returns the class of position o of a convolution. */
static tap_class class_at(const sliding *s, size_t o)
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

/* The same for a transposed convolution. */
static tap_class transposed_class_at(const sliding *s, size_t o)
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

/* positions[k] += more for the class k of an axis that equals c, which is appended if it is new.
 * Returns false if it is new and the axis has `capacity` classes already. */
static bool has_counted(tap_axis *a, tap_class c, size_t *positions, size_t more, size_t capacity)
{
    size_t k = 0;
    while (k < a->n &&
           (a->classes[k].count != c.count || (c.count && a->classes[k].first != c.first)))
        k++;
    if (k == a->n) {
        if (a->n == capacity) return false;
        a->classes[a->n++] = c;
    }
    positions[k] += more;
    return true;
}

/* If the window of position o lies in the image as a whole, returns the last position whose window
 * does; otherwise o. */
static size_t last_whole(const sliding *s, tap_class c, size_t o)
{
    if (c.count < s->taps) return o;
    const size_t last = (s->in - 1 + s->before - (s->taps - 1) * s->dilation) / s->stride;
    MSKPI_ASSERT(last >= o);
    return last < s->out - 1 ? last : s->out - 1;
}

/* Finds the classes of an axis. Returns false if there are too many classes or positions. */
static bool has_few_classes(const sliding *s, bool transposed, tap_axis *a, size_t *positions,
                            size_t capacity)
{
    size_t looked = 0;
    for (size_t o = 0; o < s->out; o++) {
        if (looked++ == MOST_POSITIONS) return false;
        const tap_class c = transposed ? transposed_class_at(s, o) : class_at(s, o);
        const size_t last = transposed ? o : last_whole(s, c, o);
        MSKPI_ASSERT(!c.count || c.first + (c.count - 1) * a->step < s->taps);
        if (!has_counted(a, c, positions, last - o + 1, capacity)) return false;
        o = last;
    }
    for (size_t k = 1; k < a->n; k++)
        if (positions[k] > positions[a->most] ||
            (positions[k] == positions[a->most] && a->classes[k].count > a->classes[a->most].count))
            a->most = k;
    return true;
}

static mskp_status no_memory(mskp_error *err)
{
    return mskpi_fail(err, MSKP_ERROR_NO_MEMORY, "%s while looking for constants",
                      mskp_status_text(MSKP_ERROR_NO_MEMORY));
}

/* *a <- one class that sees all taps. */
static mskp_status one_class(const mskp_services *services, size_t taps, tap_axis *a,
                             mskp_error *err)
{
    *a = (tap_axis){.taps = taps, .step = 1, .n = 1};
    a->classes = mskpi_alloc(services, 1, sizeof *a->classes);
    if (!a->classes) return no_memory(err);
    a->classes[0] = (tap_class){0, taps};
    return MSKP_OK;
}

/* *a <- the classes of an axis, unless there are too many. */
static mskp_status axis_classes(const mskp_services *services, const sliding *s, bool transposed,
                                tap_axis *a, bool *too_many, mskp_error *err)
{
    const size_t capacity = s->out < MOST_ON_AXIS ? s->out : MOST_ON_AXIS;
    *a = (tap_axis){.taps = s->taps, .step = 1};
    if (transposed) a->step = s->stride / common_divisor(s->stride, s->dilation);
    a->classes = mskpi_alloc(services, capacity, sizeof *a->classes);
    size_t *positions = mskpi_alloc(services, capacity, sizeof *positions);
    const bool failed = !a->classes || !positions;
    if (!failed && !has_few_classes(s, transposed, a, positions, capacity)) *too_many = true;
    mskpi_free(services, positions);
    return failed ? no_memory(err) : MSKP_OK;
}

/* Makes the buffers of mskpi_taps_sums, which hold the sums after each axis, unless they would be
 * too large. */
static mskp_status make_buffers(const mskp_services *services, tap_classes *t, mskp_error *err)
{
    size_t most = 1;
    for (uint32_t done = 0; done <= MSKP_MAX_SPATIAL; done++) {
        size_t n = 1;
        for (uint32_t d = 0; d < MSKP_MAX_SPATIAL; d++)
            n = mskpi_product(n, d < done ? t->axis[d].n : t->axis[d].taps);
        if (n > most) most = n;
    }
    if (most > MOST_CLASSES && most > t->taps) t->too_many = true;
    if (t->too_many) return MSKP_OK;
    for (int k = 0; k < 2; k++) t->buffer[k] = mskpi_alloc(services, most, sizeof *t->buffer[k]);
    return t->buffer[0] && t->buffer[1] ? MSKP_OK : no_memory(err);
}

mskp_status mskpi_taps_make(const mskp_graph *graph, uint32_t value, tap_classes *t,
                            mskp_error *err)
{
    const mskp_services *services = &graph->services;
    const graph_step *s = &graph->steps[value];
    const graph_value *out = &graph->values[value];
    const graph_value *in = &graph->values[graph->step_inputs[s->first_input]];
    const bool transposed = s->kind == STEP_TRANSPOSED;
    mskp_status status = MSKP_OK;
    MSKPI_ASSERT(s->kind == STEP_CONV || s->kind == STEP_TRANSPOSED || s->kind == STEP_LINEAR);
    *t = (tap_classes){.taps = 1, .classes = 1};
    for (uint32_t d = 0; !status && d < MSKP_MAX_SPATIAL; d++) {
        const bool there = s->kind != STEP_LINEAR && d < in->nspatial;
        const size_t taps =
            there ? graph->axes[graph->params[s->params[0]].axis + 2 + d].length : 1;
        if (!there || s->uniform_padding) {
            status = one_class(services, taps, &t->axis[d], err);
        } else {
            const sliding way = {
                in->spatial[d],       out->spatial[d],        taps,
                s->as.conv.stride[d], s->as.conv.dilation[d], s->as.conv.before[d]};
            MSKPI_ASSERT(way.out && way.taps && way.stride && way.dilation);
            status = axis_classes(services, &way, transposed, &t->axis[d], &t->too_many, err);
        }
    }
    if (status) return status;
    for (uint32_t d = 0; d < MSKP_MAX_SPATIAL; d++) {
        MSKPI_ASSERT(t->too_many || t->axis[d].most < t->axis[d].n);
        t->taps *= t->axis[d].taps;
        t->classes = mskpi_product(t->classes, t->axis[d].n);
        t->most = t->most * t->axis[d].n + t->axis[d].most;
    }
    return make_buffers(services, t, err);
}

void mskpi_taps_free(const mskp_services *services, tap_classes *t)
{
    for (uint32_t d = 0; d < MSKP_MAX_SPATIAL; d++) mskpi_free(services, t->axis[d].classes);
    mskpi_free(services, t->buffer[0]);
    mskpi_free(services, t->buffer[1]);
}

bool mskpi_is_uniform(const tap_classes *t)
{
    return !t->too_many && t->classes == 1;
}

/* On each axis, taps become classes. The numbers are those of [axis 0][axis 1][axis 2]: `outer`
 * counts the classes on the axes before, and `inner` the taps on the axes behind. */
const double *mskpi_taps_sums(const tap_classes *t, const double *numbers)
{
    size_t outer = 1, inner = t->taps;
    const double *from = numbers;
    MSKPI_ASSERT(!t->too_many && t->buffer[0] && t->buffer[1]);
    for (uint32_t d = 0; d < MSKP_MAX_SPATIAL; d++) {
        const tap_axis *a = &t->axis[d];
        double *to = t->buffer[d % 2]; /* the other one holds `from` */
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
    MSKPI_ASSERT(inner == 1 && outer == t->classes);
    return from;
}
