/* Batch norm. Sums over a channel are taken in 16 strands of cn_real (which compilers turn into
 * vectors), then in double. */
#include "internal.h"

enum { STRANDS = 16 };

static double total(const cn_real *strand)
{
    double sum = 0;
    for (size_t i = 0; i < STRANDS; i++) sum += (double)strand[i];
    return sum;
}

void cn_norm_statistics(cn_view x, double *sums)
{
    const size_t n = x.height * x.width * x.images, whole = n / STRANDS * STRANDS;
    for (size_t c = 0; c < x.channels; c++) {
        const cn_real *p = x.data + c * x.plane;
        cn_real strand[STRANDS] = {0};
        for (size_t i = 0; i < whole; i += STRANDS)
            for (size_t j = 0; j < STRANDS; j++) strand[j] += p[i + j];
        for (size_t i = whole; i < n; i++) strand[i - whole] += p[i];
        const double mean = total(strand) / (double)n;

        const cn_real centre = (cn_real)mean;
        cn_real square[STRANDS] = {0};
        for (size_t i = 0; i < whole; i += STRANDS)
            for (size_t j = 0; j < STRANDS; j++)
                square[j] += (p[i + j] - centre) * (p[i + j] - centre);
        for (size_t i = whole; i < n; i++) square[i - whole] += (p[i] - centre) * (p[i] - centre);
        sums[2 * c] = mean;
        sums[2 * c + 1] = total(square);
    }
}

void cn_norm_forward(cn_view x, cn_view y, const cn_norm *norm, const cn_real *gamma,
                     const cn_real *beta)
{
    const size_t n = x.height * x.width * x.images;
    for (size_t c = 0; c < x.channels; c++) {
        const cn_real slope = gamma[c] * norm->inverse[c], shift = beta[c] - norm->mean[c] * slope;
        const cn_real *from = x.data + c * x.plane;
        cn_real *to = y.data + c * y.plane;
        for (size_t i = 0; i < n; i++) to[i] = from[i] * slope + shift;
    }
}

void cn_norm_sums(cn_view x, cn_view dy, const cn_norm *norm, double *sums)
{
    const size_t n = x.height * x.width * x.images, whole = n / STRANDS * STRANDS;
    for (size_t c = 0; c < x.channels; c++) {
        const cn_real *p = x.data + c * x.plane, *g = dy.data + c * dy.plane, mean = norm->mean[c];
        cn_real plain[STRANDS] = {0}, product[STRANDS] = {0};
        for (size_t i = 0; i < whole; i += STRANDS)
            for (size_t j = 0; j < STRANDS; j++) {
                plain[j] += g[i + j];
                product[j] += g[i + j] * (p[i + j] - mean);
            }
        for (size_t i = whole; i < n; i++) {
            plain[i - whole] += g[i];
            product[i - whole] += g[i] * (p[i] - mean);
        }
        sums[2 * c] = total(plain);
        sums[2 * c + 1] = total(product);
    }
}

/* dx = gamma/s * (dy - mean(dy) - (x - mean)/s^2 * mean(dy * (x - mean))), s the standard deviation
 */
void cn_norm_backward(cn_view x, cn_view dy, cn_view dx, const cn_norm *norm, const cn_real *gamma,
                      bool add)
{
    const size_t n = x.height * x.width * x.images;
    for (size_t c = 0; c < x.channels; c++) {
        const cn_real *p = x.data + c * x.plane, *g = dy.data + c * dy.plane;
        const cn_real factor = gamma[c] * norm->inverse[c], mean = norm->mean[c];
        const cn_real slope = norm->slope[c], centre = norm->centre[c];
        cn_real *to = dx.data + c * dx.plane;
        if (add)
            for (size_t i = 0; i < n; i++)
                to[i] += factor * (g[i] - centre - (p[i] - mean) * slope);
        else
            for (size_t i = 0; i < n; i++) to[i] = factor * (g[i] - centre - (p[i] - mean) * slope);
    }
}
