/*
 * Which filters say what others say already? Four scores that look for it, in filters or in feature
 * maps. They are in libmskp-blas:
 *
 *     cc -std=c11 examples/filters.c $(pkg-config --cflags --libs mskp-blas) -lm
 *
 * A convolution makes 6 channels of images of 8 x 8. All filters have norm 1. Filter 4 is a copy of
 * filter 1, and filter 3 only passes on an image that is a product of a row and a column. No norm
 * of filters tells any of them apart; each score below finds what it is made for:
 *
 *     cosine         filters 1 and 4: another filter points in the same direction
 *     distance       one of the two, which are nearer to the others than any other filter is
 *     rank           filter 3, whose feature maps have rank 1
 *     independence   filters 1 and 4: either one loses little while the other is there
 */
#include <math.h>
#include <mskp.h>
#include <mskp/blas.h>
#include <mskp/methods.h>
#include <stdio.h>

enum { IN = 3, OUT = 6, KERNEL = 3, SIZE = 8, MAP = SIZE - KERNEL + 1, IMAGES = 4, BATCHES = 2 };
enum { COSINE, DISTANCE, RANK, INDEPENDENCE, SCORES };
static float filter[OUT][IN][KERNEL][KERNEL], image[IMAGES][IN][SIZE][SIZE];
static float map[IMAGES][OUT][MAP][MAP];

static void make_filters(void)
{
    float *const w = &filter[0][0][0][0];
    enum { LENGTH = IN * KERNEL * KERNEL };
    for (int i = 0; i < OUT * LENGTH; i++) w[i] = sinf(1.7F * (float)(i * i % 101));
    for (int i = 0; i < LENGTH; i++) w[3 * LENGTH + i] = i == 2 * KERNEL * KERNEL + 4 ? 1 : 0;
    for (int i = 0; i < LENGTH; i++) w[4 * LENGTH + i] = w[LENGTH + i];
    for (int o = 0; o < OUT; o++) {
        float square = 0;
        for (int i = 0; i < LENGTH; i++) square += w[o * LENGTH + i] * w[o * LENGTH + i];
        for (int i = 0; i < LENGTH; i++) w[o * LENGTH + i] /= sqrtf(square);
    }
}

static void make_images(int batch)
{
    for (int n = 0; n < IMAGES; n++)
        for (int y = 0; y < SIZE; y++)
            for (int x = 0; x < SIZE; x++) {
                const int k = ((batch * IMAGES + n) * SIZE + y) * SIZE + x;
                image[n][0][y][x] = cosf((float)(k * k % 997));
                image[n][1][y][x] = sinf((float)(k * k % 991));
                image[n][2][y][x] = cosf((float)(y + n)) * sinf((float)(1 + x + batch));
            }
}

static float convolve(int n, int o, int y, int x)
{
    float sum = 0;
    for (int i = 0; i < IN; i++)
        for (int r = 0; r < KERNEL; r++)
            for (int c = 0; c < KERNEL; c++) sum += filter[o][i][r][c] * image[n][i][y + r][x + c];
    return sum;
}

static void make_maps(void)
{
    for (int n = 0; n < IMAGES; n++)
        for (int o = 0; o < OUT; o++)
            for (int y = 0; y < MAP; y++)
                for (int x = 0; x < MAP; x++) map[n][o][y][x] = convolve(n, o, y, x);
}

/* The unit with the smallest score. Here units are the filters, in their order. */
static int smallest(const double *score)
{
    int best = 0;
    for (int u = 1; u < OUT; u++)
        if (score[u] < score[best]) best = u;
    return best;
}

int main(void)
{
    const char *const names[SCORES] = {"cosine", "distance", "rank", "independence"};
    const size_t shape[4] = {OUT, IN, KERNEL, KERNEL}, size[2] = {SIZE, SIZE};
    const mskp_tensor maps = {.data = map, .ndim = 4, .shape = {IMAGES, OUT, MAP, MAP}};
    double score[SCORES][OUT], rank[OUT] = {0}, independence[OUT] = {0};
    mskp_tensor value = {.data = filter};
    mskp_conv_desc desc = MSKP_INIT;
    mskp_error err = MSKP_INIT;
    int wrong = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    desc.weight = mskp_parameter(g, "conv.weight", 4, shape);
    const mskp_value conv = mskp_conv(g, "conv", mskp_input(g, "image", IN, 2, size), &desc);
    const mskp_tensors values = {1, &value};
    mskp_scores scores[SCORES];
    for (int s = 0; s < SCORES; s++) scores[s] = (mskp_scores){OUT, score[s]};

    make_filters();
    if (mskp_graph_finish(g, &err) ||
        mskp_score_filters(NULL, g, MSKP_RESEMBLANCE_COSINE, MSKP_REDUCE_MIN, values,
                           scores[COSINE], &err) ||
        mskp_score_filters(NULL, g, MSKP_RESEMBLANCE_DISTANCE, MSKP_REDUCE_SUM, values,
                           scores[DISTANCE], &err))
        goto failed;
    for (int b = 0; b < BATCHES; b++) {
        make_images(b), make_maps();
        if (mskp_channel_ranks(NULL, &maps, OUT, rank, &err) ||
            mskp_channel_independence(NULL, &maps, OUT, independence, &err))
            goto failed;
    }
    const mskp_channel_scores by_rank = {conv, OUT, rank}, by_loss = {conv, OUT, independence};
    if (mskp_score_channels(g, 1, &by_rank, MSKP_REDUCE_SUM, scores[RANK], &err) ||
        mskp_score_channels(g, 1, &by_loss, MSKP_REDUCE_SUM, scores[INDEPENDENCE], &err))
        goto failed;
    printf("%-14s", "filter");
    for (int o = 0; o < OUT; o++) printf(" %8d", o);
    for (int s = 0; s < SCORES; s++) {
        printf("\n%-14s", names[s]);
        for (int o = 0; o < OUT; o++) printf(" %8.3f", score[s][o]);
    }
    printf("\n");
    for (int s = 0; s < SCORES; s++) {
        const int found = smallest(score[s]);
        if (s == RANK ? found == 3 : found == 1 || found == 4) continue;
        wrong = 1, fprintf(stderr, "filters: %s finds filter %d\n", names[s], found);
    }
    if (score[COSINE][1] != 0 || score[COSINE][4] != 0)
        wrong = 1, fprintf(stderr, "filters: the copy should have cosine 1, exactly\n");
failed:
    if (err.status) fprintf(stderr, "filters: %s\n", err.text);
    mskp_graph_destroy(g);
    return wrong || err.status;
}
