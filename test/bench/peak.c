/*
 * What this machine can do, for comparison with what is measured on it: peak [ROUNDS]
 *
 * One thread, processor time, medians of ROUNDS (9) and the least and the largest:
 *   read       a vectorized sum of 256 MiB of floats
 *   memcpy     256 MiB to another place, counted twice: read and written
 *   add        g += a * sign(w) over 256 MiB of both, counted three times
 *   multiply   cblas_sgemm of two matrices of 1024 x 1024, 2^31 operations
 */
#include <cblas.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "timing.h"

enum { MOST_ROUNDS = 99, SIDE = 1024, WORKS = 4 };
static const size_t FLOATS = (size_t)64 << 20;

static float *a, *b;

static double sum(void)
{
    float strand[64] = {0};
    for (size_t i = 0; i < FLOATS; i += 64)
        for (size_t k = 0; k < 64; k++) strand[k] += a[i + k];
    double all = 0;
    for (size_t k = 0; k < 64; k++) all += (double)strand[k];
    return all;
}

static void add(float amount)
{
    const float *restrict w = a;
    float *restrict g = b;
    for (size_t i = 0; i < FLOATS; i++) g[i] += fabsf(w[i]) > 0 ? copysignf(amount, w[i]) : 0;
}

static void multiply(void)
{
    float *c = b + (size_t)SIDE * SIDE;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, SIDE, SIDE, SIDE, 1, a, SIDE, b, SIDE, 0,
                c, SIDE);
}

int main(int argc, char **argv)
{
    const size_t asked = argc > 1 ? strtoul(argv[1], NULL, 10) : 9;
    const size_t rounds = asked < 1 ? 1 : asked < MOST_ROUNDS ? asked : MOST_ROUNDS;
    const double bytes = 4 * (double)FLOATS;
    static const char *const NAME[WORKS] = {"read", "memcpy", "add", "multiply"};
    const double amount[WORKS] = {bytes, 2 * bytes, 3 * bytes, 2.0 * SIDE * SIDE * SIDE};
    static double rate[WORKS][MOST_ROUNDS];
    volatile double used = 0;
    a = malloc(FLOATS * sizeof *a);
    b = malloc(FLOATS * sizeof *b);
    if (!a || !b) {
        fprintf(stderr, "peak: no memory for two arrays of %zu floats\n", FLOATS);
        return 1;
    }
    for (size_t i = 0; i < FLOATS; i++) {
        a[i] = (float)(i % 1021) / 1021 - 0.5F;
        b[i] = 0;
    }
    for (size_t r = 0; r <= rounds; r++)
        for (size_t w = 0; w < WORKS; w++) {
            const double start = timing_cpu();
            if (w == 0) used = used + sum();
            if (w == 1) memcpy(b, a, FLOATS * sizeof *a);
            if (w == 2) add(0x1p-10F);
            if (w == 3) multiply();
            if (r) rate[w][r - 1] = 1e-9 * amount[w] / (timing_cpu() - start); /* 0 warms up */
        }
    for (size_t w = 0; w < WORKS; w++) {
        const double median = timing_median(rate[w], rounds); /* sorts */
        printf("%-9s %8.2f %s (%.2f to %.2f)\n", NAME[w], median, w < 3 ? "GB/s" : "GFLOP/s",
               rate[w][0], rate[w][rounds - 1]);
    }
    free(a);
    free(b);
    return 0;
}
