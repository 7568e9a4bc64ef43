/*
 * NT-Xent. With m = 2n vectors, the similarities s(i, k) = z(i).z(k) / temperature, and the other
 * view p(i) of the image of vector i:
 *
 *     P(i, k) = exp s(i, k) / sum over j != i of exp s(i, j)       0 for k = i
 *     loss    = mean over i of -log P(i, p(i))
 *
 * The derivative by s(i, k) is (P(i, k) - [k = p(i)]) / m. Each s(i, k) holds z(i) and z(k), so
 *
 *     d loss / d z(i) = sum over k of (P(i, k) + P(k, i) - 2 [k = p(i)]) z(k) / (m temperature)
 *
 * Everything is computed in double, row by row, in a fixed order.
 */
#include "contrast.h"

#include <math.h>

size_t contrast_room(size_t n)
{
    return 4 * n * n;
}

static double dot(size_t dims, const cn_real *a, const cn_real *b)
{
    double sum = 0;
    for (size_t d = 0; d < dims; d++) sum += (double)a[d] * (double)b[d];
    return sum;
}

/* row <- P(i, .), which holds s(i, .). Returns -log P(i, other). The largest exponent becomes 0,
 * so that none overflows. */
static double softmax_without_self(size_t m, size_t i, size_t other, double *row)
{
    double most = -INFINITY, sum = 0;
    for (size_t k = 0; k < m; k++)
        if (k != i) most = fmax(most, row[k]);
    const double right = row[other] - most;
    for (size_t k = 0; k < m; k++) {
        row[k] = k == i ? 0 : exp(row[k] - most);
        sum += row[k];
    }
    for (size_t k = 0; k < m; k++) row[k] /= sum;
    return log(sum) - right;
}

double contrast_loss(size_t n, size_t dims, const cn_real *z, double temperature, double *room,
                     cn_real *gradient)
{
    const size_t m = 2 * n;
    const double scale = 1 / ((double)m * temperature);
    double loss = 0;
    for (size_t i = 0; i < m; i++)
        for (size_t k = i; k < m; k++)
            room[i * m + k] = room[k * m + i] = dot(dims, z + i * dims, z + k * dims) / temperature;
    for (size_t i = 0; i < m; i++) loss += softmax_without_self(m, i, (i + n) % m, room + i * m);
    for (size_t i = 0; i < m; i++)
        for (size_t d = 0; d < dims; d++) {
            double sum = -2 * (double)z[(i + n) % m * dims + d];
            for (size_t k = 0; k < m; k++)
                sum += (room[i * m + k] + room[k * m + i]) * (double)z[k * dims + d];
            gradient[i * dims + d] = (cn_real)(scale * sum);
        }
    return loss / (double)m;
}
