/*
 * What the scores of mskp/blas.h cost, beside calls of BLAS and LAPACK: filters [ROUNDS [THREADS]]
 *
 * FPGM of the 13 convolutions and 3 linear layers of VGG-16, beside one product of matrices of
 * 2 n n k operations for each weight [n][k], in float (cblas_sgemm) and in double (cblas_dgemm).
 * Independence of channels, beside one singular value decomposition without vectors for the whole
 * and one for each channel that is set to 0, of which one is timed.
 *
 * Each round times all of them, one after the other: the processor's time with one thread, the time
 * that passes with more. The table shows the median of the rounds, and the median of the ratios
 * within a round.
 */
#include <cblas.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "blas/openblas.h"
#include "by_id/by_id.h"
#include "mskp/blas.h"
#include "timing.h"

enum { MOST_ROUNDS = 99, LAYERS = 16, FPGM = 0, FLOAT, DOUBLE, WORKS };
static const size_t layers[LAYERS][2] = {{64, 27},    {64, 576},     {128, 576},   {128, 1152},
                                         {256, 1152}, {256, 2304},   {256, 2304},  {512, 2304},
                                         {512, 4608}, {512, 4608},   {512, 4608},  {512, 4608},
                                         {512, 4608}, {4096, 25088}, {4096, 4096}, {1000, 4096}};

static double (*now)(void) = timing_cpu;

static void need(const void *memory, const mskp_error *err)
{
    if (memory && !err->status) return;
    fprintf(stderr, "filters: %s\n", memory ? err->text : "no memory");
    exit(1);
}

/* Seconds of the three works on one weight. */
static void time_layer(size_t n, size_t k, double seconds[WORKS])
{
    mskp_error err = {0};
    float *w = malloc(n * k * sizeof *w), *product = malloc(n * n * sizeof *product);
    double *score = malloc(n * sizeof *score);
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param weight = mskp_parameter(g, "weight", 2, (size_t[]){n, k});
    mskp_tensor value = {.data = w};
    mskp_linear(g, "linear", mskp_input(g, "in", k, 0, NULL), weight, (mskp_param){0});
    mskp_graph_finish(g, &err);
    need(w && product && score ? w : NULL, &err);
    for (size_t i = 0; i < n * k; i++) w[i] = (float)rand() / (float)RAND_MAX - 0.5F;
    double start = now();
    mskp_score_filters(NULL, g, MSKP_RESEMBLANCE_DISTANCE, MSKP_REDUCE_SUM,
                       (mskp_tensors){1, &value}, (mskp_scores){n, score}, &err);
    seconds[FPGM] = now() - start;
    need(w, &err);
    start = now();
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)n, (blasint)n, (blasint)k, 1, w,
                (blasint)k, w, (blasint)k, 0, product, (blasint)n);
    seconds[FLOAT] = now() - start;
    double *wide = malloc(n * k * sizeof *wide), *wide_product = malloc(n * n * sizeof *wide);
    need(wide && wide_product ? wide : NULL, &err);
    for (size_t i = 0; i < n * k; i++) wide[i] = (double)w[i];
    start = now();
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (blasint)n, (blasint)n, (blasint)k, 1,
                wide, (blasint)k, wide, (blasint)k, 0, wide_product, (blasint)n);
    seconds[DOUBLE] = now() - start;
    free(w), free(product), free(score), free(wide), free(wide_product);
    mskp_graph_destroy(g);
}

static void time_filters(size_t rounds)
{
    static double seconds[LAYERS + 1][WORKS][MOST_ROUNDS];
    double ratio[MOST_ROUNDS];
    memset(seconds, 0, sizeof seconds);
    for (size_t r = 0; r < rounds; r++)
        for (int l = 0; l < LAYERS; l++) {
            double s[WORKS];
            time_layer(layers[l][0], layers[l][1], s);
            for (int w = 0; w < WORKS; w++) seconds[l][w][r] = s[w], seconds[LAYERS][w][r] += s[w];
        }
    printf("%-14s %10s %10s %10s %9s %9s\n", "weight", "FPGM ms", "sgemm ms", "dgemm ms", "sgemm/",
           "dgemm/");
    for (int l = 0; l <= LAYERS; l++) {
        char name[48];
        double by[2], median[WORKS];
        snprintf(name, sizeof name, "%zu x %zu", layers[l % LAYERS][0], layers[l % LAYERS][1]);
        for (int w = FLOAT; w < WORKS; w++) {
            for (size_t r = 0; r < rounds; r++) ratio[r] = seconds[l][w][r] / seconds[l][FPGM][r];
            by[w - FLOAT] = timing_median(ratio, rounds);
        }
        for (int w = 0; w < WORKS; w++) median[w] = timing_median(seconds[l][w], rounds);
        printf("%-14s %10.2f %10.2f %10.2f %9.2f %9.2f\n", l < LAYERS ? name : "all",
               1e3 * median[FPGM], 1e3 * median[FLOAT], 1e3 * median[DOUBLE], by[0], by[1]);
    }
}

/* Seconds of a decomposition without vectors of the maps with one channel less. */
static double time_svd(const float *maps, size_t channels, size_t positions)
{
    const blas_int m = (blas_int)positions, n = (blas_int)channels, least = m < n ? m : n, one = 1;
    double *a = malloc(channels * positions * sizeof *a), size;
    double *s = malloc((size_t)least * sizeof *s);
    blas_int *iwork = malloc(8 * (size_t)least * sizeof *iwork), lwork = -1, info;
    const mskp_error none = {0};
    need(a && s && iwork ? a : NULL, &none);
    for (size_t i = 0; i < channels * positions; i++) a[i] = i < positions ? 0 : (double)maps[i];
    const double start = now();
    dgesdd_("N", &m, &n, a, &m, s, NULL, &one, NULL, &one, &size, &lwork, iwork, &info, 1);
    lwork = (blas_int)size;
    double *work = malloc((size_t)lwork * sizeof *work);
    need(work, &none);
    dgesdd_("N", &m, &n, a, &m, s, NULL, &one, NULL, &one, work, &lwork, iwork, &info, 1);
    const double seconds = now() - start;
    free(a), free(s), free(iwork), free(work);
    return seconds;
}

static void time_maps(size_t rounds)
{
    static const size_t sizes[][2] = {{64, 56}, {256, 14}, {512, 28}, {512, 14}, {512, 7}};
    printf("\n%-14s %10s %10s %16s %9s\n", "maps", "ranks ms", "indep. ms", "svd x channels",
           "ratio");
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        const size_t channels = sizes[k][0], side = sizes[k][1], n = channels * side * side;
        double rank[MOST_ROUNDS], lost[MOST_ROUNDS], svd[MOST_ROUNDS], ratio[MOST_ROUNDS];
        float *data = malloc(n * sizeof *data);
        double *sum = calloc(channels, sizeof *sum);
        const mskp_tensor maps = {.data = data, .ndim = 4, .shape = {1, channels, side, side}};
        char name[48];
        mskp_error err = {0};
        need(data && sum ? data : NULL, &err);
        for (size_t i = 0; i < n; i++) {
            const float x = (float)rand() / (float)RAND_MAX - 0.5F;
            data[i] = x > 0 ? x : 0;
        }
        for (size_t r = 0; r < rounds; r++) {
            double start = now();
            mskp_channel_ranks(NULL, &maps, channels, sum, &err);
            rank[r] = now() - start, start = now();
            mskp_channel_independence(NULL, &maps, channels, sum, &err);
            lost[r] = now() - start;
            svd[r] = (double)(channels + 1) * time_svd(data, channels, side * side);
            ratio[r] = svd[r] / lost[r];
        }
        need(data, &err);
        snprintf(name, sizeof name, "%zu x %zu x %zu", channels, side, side);
        const double by = timing_median(ratio, rounds);
        printf("%-14s %10.1f %10.1f %16.1f %9.1f\n", name, 1e3 * timing_median(rank, rounds),
               1e3 * timing_median(lost, rounds), 1e3 * timing_median(svd, rounds), by);
        free(data), free(sum);
    }
}

int main(int argc, char **argv)
{
    size_t rounds = argc > 1 ? strtoul(argv[1], NULL, 10) : 3;
    const int threads = argc > 2 ? atoi(argv[2]) : 1;
    if (rounds < 1 || rounds > MOST_ROUNDS) rounds = 3;
    openblas_set_num_threads(threads);
    if (threads != 1) now = timing_now;
    printf("%s, %d threads, %zu rounds\n", openblas_get_corename(), threads, rounds);
    time_filters(rounds);
    time_maps(rounds);
    return 0;
}
