/*
 * H. Pham et al., "Combined Scaling for Zero-shot Transfer Learning", arXiv 2111.10050: for n
 * images x[i] and n texts y[j], all of length 1, the similarities are a[i][j] = scale * x[i] y[j].
 * Image i has to choose text i among the n texts, and text j image j among the n images:
 *
 *     rows      R[i] = log(sum over j of exp(a[i][j]))
 *     columns   C[j] = log(sum over i of exp(a[i][j]))
 *     loss      1/(2n) * (sum over i of R[i] - a[i][i]  +  sum over j of C[j] - a[j][j])
 *     gradient  d[i][j] = 1/(2n) * (exp(a[i][j] - R[i]) + exp(a[i][j] - C[j]) - 2 * (i == j)),
 *               by a[i][j], and from there by x, y and log(scale)
 *
 * The matrix is never stored: the first pass finds R and C, the second one computes each a[i][j]
 * again, so 2n numbers are enough. All a are at most the scale, which is at most 100; so
 * exp(a - scale) is in [exp(-200), 1], and no row needs its own maximum. Everything is computed in
 * double and in one order.
 */
#include "loss.h"

#include <math.h>
#include <string.h>

/* The pairs of one group: first ... first + n - 1. */
typedef struct part {
    contrast *c;
    size_t first, n;
    double scale;
} part;

static double similarity(const part *p, size_t i, size_t j)
{
    const size_t width = p->c->width;
    const cn_real *x = p->c->images + (p->first + i) * width;
    const cn_real *y = p->c->texts + (p->first + j) * width;
    double sum = 0;
    for (size_t k = 0; k < width; k++) sum += (double)x[k] * (double)y[k];
    return p->scale * sum;
}

/* rows[i] <- R[i], columns[j] <- C[j]; returns the sum of the group's losses, 2n of them. */
static double normalize(const part *p, double *rows, double *columns)
{
    double loss = 0;
    memset(rows, 0, p->n * sizeof *rows);
    memset(columns, 0, p->n * sizeof *columns);
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < p->n; j++) {
            const double a = similarity(p, i, j), e = exp(a - p->scale);
            rows[i] += e;
            columns[j] += e;
            if (i == j) loss -= 2 * a;
        }
    for (size_t i = 0; i < p->n; i++) {
        rows[i] = p->scale + log(rows[i]);
        columns[i] = p->scale + log(columns[i]);
        loss += rows[i] + columns[i];
    }
    return loss;
}

/* Adds to the slopes of the group, which are 0 before. */
static void differentiate(const part *p, const double *rows, const double *columns)
{
    contrast *c = p->c;
    const size_t width = c->width;
    const double share = 1 / (2 * (double)c->pairs);
    for (size_t i = 0; i < p->n; i++)
        for (size_t j = 0; j < p->n; j++) {
            const size_t image = (p->first + i) * width, text = (p->first + j) * width;
            const double a = similarity(p, i, j);
            const double d = share * (exp(a - rows[i]) + exp(a - columns[j]) - 2 * (i == j));
            c->scale_slope += d * a;
            for (size_t k = 0; k < width; k++) {
                c->image_slopes[image + k] += (cn_real)(p->scale * d * (double)c->texts[text + k]);
                c->text_slopes[text + k] += (cn_real)(p->scale * d * (double)c->images[image + k]);
            }
        }
}

double contrast_loss(contrast *c)
{
    const size_t group = c->group ? c->group : c->pairs;
    double loss = 0;
    c->scale_slope = 0;
    if (c->image_slopes) {
        memset(c->image_slopes, 0, c->pairs * c->width * sizeof *c->image_slopes);
        memset(c->text_slopes, 0, c->pairs * c->width * sizeof *c->text_slopes);
    }
    for (size_t first = 0; first < c->pairs; first += group) {
        const size_t left = c->pairs - first;
        const part p = {c, first, left < group ? left : group, exp(c->log_scale)};
        double *rows = c->room, *columns = c->room + c->pairs;
        loss += normalize(&p, rows, columns);
        if (c->image_slopes) differentiate(&p, rows, columns);
    }
    return loss / (2 * (double)c->pairs);
}
