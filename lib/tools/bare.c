/*
 * Penalties on bare arrays, for hosts that keep no graph: the inner loops of an l1 penalty. Signs
 * are read from the sign bit, so that denormal numbers have one in every floating-point mode.
 */
#include <math.h>
#include <string.h>

#include "mskp.h"
#include "mskp/tools.h"

void mskp_l1_gradient_f32(size_t n, const float *w, const uint8_t *keep, float alpha, float *g)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        if (keep && keep[i]) continue;
        memcpy(&bits, &w[i], sizeof bits);
        if (bits << 1) g[i] += bits >> 31 ? -alpha : alpha;
    }
}

void mskp_l1_gradient_f64(size_t n, const double *w, const uint8_t *keep, double alpha, double *g)
{
    for (size_t i = 0; i < n; i++) {
        uint64_t bits;
        if (keep && keep[i]) continue;
        memcpy(&bits, &w[i], sizeof bits);
        if (bits << 1) g[i] += bits >> 63 ? -alpha : alpha;
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
