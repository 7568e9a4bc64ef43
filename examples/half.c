/*
 * Weights in half precision. Between 1/2 and 1 a bfloat16 has 128 numbers, 0.0039 apart, so a step
 * of 0.001 down from 1 is less than half of that distance, and rounding to nearest loses it. Each
 * of 256 scales begins at 1 and is to become 0 within 1000 steps, in five ways:
 *
 *     nearest     mskp_penalty_prox on the bfloat16 numbers: no scale ever moves
 *     master      the same on F32 master weights, which are then cast to bfloat16
 *     stochastic  the same with MSKP_ROUNDING_STOCHASTIC: each step arrives in the mean
 *     deadline    mskp_penalty_deadline: nothing moves in the first half of the time
 *     start       mskp_penalty_deadline from the start values: a straight line
 *
 * The counters asked and lost say how many steps were lost. Look at them in the first steps of a
 * training that has weights or gradients in half precision.
 */
#include <math.h>
#include <mskp.h>
#include <mskp/operators.h> /* mskp_fresh, mskp_bind */
#include <mskp/tools.h>
#include <stdio.h>
#include <string.h>

enum { UNITS = 256, STEPS = 1000 };
enum { NEAREST, MASTER, STOCHASTIC, DEADLINE, START, WAYS };
static const double step = 0.001;
static uint16_t scale[UNITS], begin[UNITS]; /* bfloat16: the upper half of a float */
static float master[UNITS];
static uint8_t stays[UNITS]; /* 0: all of them are to be removed */

static float to_float(uint16_t b)
{
    const uint32_t bits = (uint32_t)b << 16;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint16_t to_bfloat(float f) /* to nearest, ties to even; f is not NaN */
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

static double mean(void)
{
    double sum = 0;
    for (size_t u = 0; u < UNITS; u++) sum += (double)to_float(scale[u]);
    return sum / UNITS;
}

int main(void)
{
    static const char *const name[WAYS] = {"nearest", "master", "stochastic", "deadline", "start"};
    mskp_tensor half = {.data = scale, .dtype = MSKP_DTYPE_BF16};
    mskp_tensor first = {.data = begin, .dtype = MSKP_DTYPE_BF16}, single = {.data = master};
    const mskp_tensors halves = {1, &half}, singles = {1, &single}, starts = {1, &first};
    const mskp_mask keep = {UNITS, stays};
    double middle[WAYS] = {0}, end[WAYS] = {0};
    uint64_t asked[WAYS] = {0}, lost[WAYS] = {0};
    mskp_error err = {0};
    int wrong = 0;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_value x = mskp_fresh(g, "x", UNITS, 0, NULL);
    mskp_bind(g, mskp_parameter(g, "scale", 1, (size_t[]){UNITS}), 0, MSKP_ROLE_SCALE, x);
    if (mskp_graph_finish(g, &err)) goto failed;
    for (size_t u = 0; u < UNITS; u++) begin[u] = to_bfloat(1);
    for (int way = 0; way < WAYS; way++) {
        mskp_low_precision low = {.asked = &asked[way], .lost = &lost[way]};
        const mskp_penalty l1 = {.kind = MSKP_PENALTY_L1, .low_precision = &low};
        if (way == STOCHASTIC) low.rounding = MSKP_ROUNDING_STOCHASTIC;
        if (way == START) low.start = starts, low.start_steps = STEPS;
        memcpy(scale, begin, sizeof scale);
        for (size_t u = 0; u < UNITS; u++) master[u] = 1;
        for (uint64_t i = 1; i <= STEPS; i++) {
            const mskp_tensors values = way == MASTER ? singles : halves;
            low.seed = i; /* another number in each step */
            if (way >= DEADLINE ? mskp_penalty_deadline(g, keep, &l1, STEPS - i, values, &err)
                                : mskp_penalty_prox(g, keep, &l1, step, values, &err))
                goto failed;
            for (size_t u = 0; way == MASTER && u < UNITS; u++) scale[u] = to_bfloat(master[u]);
            if (i == STEPS / 2) middle[way] = mean();
        }
        end[way] = mean();
        printf("%-11s mean after 500 steps %.3f, after 1000 %.3f; %5.1f %% of the steps lost\n",
               name[way], middle[way], end[way], 100 * (double)lost[way] / (double)asked[way]);
    }
    wrong |= lost[NEAREST] != asked[NEAREST] || fabs(end[NEAREST] - 1) > 0;
    wrong |= lost[MASTER] > 0 || fabs(middle[MASTER] - 0.5) > 0.002 || end[MASTER] > 1e-5;
    wrong |= fabs(middle[STOCHASTIC] - 0.5) > 0.02 || fabs(middle[START] - 0.5) > 0;
    wrong |= middle[DEADLINE] < 0.95 || end[DEADLINE] > 0 || end[START] > 0;
    if (wrong) fprintf(stderr, "half: some scale is not where its way should bring it\n");
failed:
    if (err.status) fprintf(stderr, "half: %s\n", err.text);
    mskp_graph_destroy(g);
    return wrong || err.status;
}
