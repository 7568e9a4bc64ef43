/*
 * Penalties on bare arrays, for programs that keep no graph: the inner loops of an L1 penalty, once
 * for floats and once for doubles.
 *
 * The sign of a weight is read from its bits, which were copied by memcpy: shifted left by one, the
 * bits are 0 for +0 and -0 alone, and the topmost bit is the sign. So denormal numbers have a sign
 * in every floating-point mode, also where the processor reads them as 0. The proximal map keeps
 * NaN, and it yields +0 where the weight is not larger than the step.
 */
#include <math.h>
#include <string.h>

#include "mskp.h"
#include "mskp/tools.h"

void mskp_l1_gradient_f32(size_t n, const float *w, const uint8_t *keep, float strength, float *g)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        if (keep && keep[i]) continue;
        memcpy(&bits, &w[i], sizeof bits);
        if (bits << 1) g[i] += bits >> 31 ? -strength : strength;
    }
}

void mskp_l1_gradient_f64(size_t n, const double *w, const uint8_t *keep, double strength,
                          double *g)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        if (keep && keep[i]) continue;
        memcpy(&bits, &w[i], sizeof bits);
        if (bits << 1) g[i] += bits >> 63 ? -strength : strength;
    }
}

void mskp_l1_prox_f32(size_t n, float *w, const uint8_t *keep, float step)
{
    for (size_t i = 0; i < n; i++) {
        const float left = fabsf(w[i]) - step;
        if ((keep && keep[i]) || isnan(w[i])) continue;
        w[i] = left > 0 ? copysignf(left, w[i]) : 0;
    }
}

void mskp_l1_prox_f64(size_t n, double *w, const uint8_t *keep, double step)
{
    for (size_t i = 0; i < n; i++) {
        const double left = fabs(w[i]) - step;
        if ((keep && keep[i]) || isnan(w[i])) continue;
        w[i] = left > 0 ? copysign(left, w[i]) : 0;
    }
}
