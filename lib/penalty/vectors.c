/*
 * Penalties over adjacent floats or doubles, in the shape that compilers turn into vectors.
 *
 * Results are those of elements.c, bit for bit: the same operations in double precision in the same
 * order, and one rounding. What differs is the shape, because a compiler makes vectors of a loop
 * only if nothing in its body branches and no call is left:
 *
 *   - the dtype, the kind and the form are chosen before the loop, by constants of inlined code;
 *   - a choice is made between two numbers that are both there already;
 *   - formats are converted by the processor, which is right where it keeps denormal numbers and
 *     rounds to nearest. elements.c reads them by their bits and serves every other mode.
 *
 * A proximal map of L1 becomes such a choice through one function, clip(w, t), which is w within -t
 * and t, and otherwise the nearer of these: it is w - clip(w, step). Written as two choices, clip
 * is two instructions: the larger and the smaller of two numbers.
 *
 * |w| - step with the sign of w, which elements.c computes, and w - (step with the sign of w) round
 * to the same number, and w - w is +0. NaN is kept by all of them.
 *
 * A division takes as long as a dozen multiplications. Numbers are divided by the same one
 * throughout a run, so they are multiplied by its reciprocal, here and in elements.c. Whoever calls
 * a loop has worked the reciprocals out (mskpi_vector_factor).
 *
 * Floats are bound by memory only if 4 or 8 doubles are computed at a time: converted, changed and
 * converted back. So on x86-64 the same loops are compiled for AVX2 and AVX-512, too, and one table
 * of each is chosen by what the processor has. SSE2 and NEON come with their baselines.
 */
#include <math.h>
#include <string.h>

#include "base/processor.h"
#include "penalty/vectors.h"

/* gcc takes floating-point exceptions into account, and so makes no vectors of a loop with choices,
 * unless it is told that nobody asks for them. At -O2 it makes none of loops whose length is not
 * known. Outside of ISO mode it would contract x + a * w into one instruction that rounds once,
 * where the processor has such an instruction; clang would, too. */
#if defined __clang__
#pragma STDC FP_CONTRACT OFF
#elif defined __GNUC__
#pragma GCC optimize("no-trapping-math", "fp-contract=off", "tree-loop-vectorize", \
                     "vect-cost-model=dynamic")
#endif

#if defined __GNUC__
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

INLINE double clip(double w, double limit)
{
    const double above = w < -limit ? -limit : w;
    return above > limit ? limit : above;
}

/* Less than the smallest denormal number is 0 alone; NaN has the sign of its bit. In floats, four
 * comparisons are made where doubles have two. */
INLINE double sign_of_float(float w)
{
    return (double)(fabsf(w) < 0x1p-149F ? 0.0F : copysignf(1.0F, w));
}

INLINE double sign_of_double(double w)
{
    return fabs(w) < 0x1p-1074 ? 0.0 : copysign(1.0, w);
}

/* What becomes of x with the value w, whose sign is given. */
INLINE double changed(vector_operation operation, double x, double w, double sign, double amount,
                      double factor, double knee)
{
    switch (operation) {
    case ADD_L1:
        return x + amount * sign;
    case ADD_SMOOTH_L1:
        return x + amount * (fabs(w) < knee ? w * (1 / knee) : sign);
    case ADD_L2:
        return x + amount * w;
    case SHRINK_L1:
        return x - clip(x, amount);
    case SHRINK_SMOOTH_L1:
        return fabs(x) <= knee + amount ? x * factor : x - copysign(amount, x);
    case SHRINK_L2:
        return x * factor;
    case SCALE:
        return amount > 0 ? x * amount : 0.0;
    default: /* CLEAR */
        return 0.0;
    }
}

/* A choice between bits, so that no number passes through a register that would change it. */
INLINE void put_float(float *to, double x, int32_t mask)
{
    const float rounded = (float)x;
    uint32_t was, now;
    memcpy(&was, to, sizeof was);
    memcpy(&now, &rounded, sizeof now);
    now = (now & (uint32_t)mask) | (was & ~(uint32_t)mask);
    memcpy(to, &now, sizeof now);
}

INLINE void put_double(double *to, double x, int32_t mask)
{
    uint64_t was, now;
    const uint64_t wide = (uint64_t)(int64_t)mask;
    memcpy(&was, to, sizeof was);
    memcpy(&now, &x, sizeof now);
    now = (now & wide) | (was & ~wide);
    memcpy(to, &now, sizeof now);
}

/* The body of all loops: operation, format and shape are constants where it is inlined, so that one
 * of the four loops is left, without a branch. restrict: otherwise a check of overlaps would come
 * before each loop. */
INLINE void loop(vector_operation operation, bool doubles, bool stripe, size_t n, void *to,
                 const void *from, const double *all_amounts, const double *all_factors,
                 const int32_t *masks, double knee)
{
    const bool adds = operation <= ADD_L2, divides = mskpi_has_factor(operation);
    const double *restrict amount = all_amounts, *restrict factor = all_factors;
    const double first = *all_amounts, first_factor = divides ? *all_factors : 0;
    const int32_t *restrict mask = masks;
    if (doubles) {
        double *restrict x = to;
        const double *restrict w = from;
        for (size_t i = 0; i < n; i++) {
            const double value = adds ? w[i] : 0;
            const double y =
                changed(operation, x[i], value, sign_of_double(value), stripe ? amount[i] : first,
                        stripe && divides ? factor[i] : first_factor, knee);
            if (stripe)
                put_double(&x[i], y, mask[i]);
            else
                x[i] = y;
        }
    } else {
        float *restrict x = to;
        const float *restrict w = from;
        for (size_t i = 0; i < n; i++) {
            const float value = adds ? w[i] : 0;
            const double y = changed(operation, (double)x[i], (double)value, sign_of_float(value),
                                     stripe ? amount[i] : first,
                                     stripe && divides ? factor[i] : first_factor, knee);
            if (stripe)
                put_float(&x[i], y, mask[i]);
            else
                x[i] = (float)y;
        }
    }
}

/* ---- the loops of one instruction set ---- */

/* Names that are put together begin with mskpi_, because lib/amalgamate.awk cannot change them. */

/* clang-format off */
#define LOOP(target, set, operation, format, shape)                                                \
    target static void mskpi_##set##_##operation##_##format##_##shape(                             \
        size_t n, void *to, const void *from, const double *amount, const double *factor,          \
        const int32_t *mask, double knee)                                                          \
    {                                                                                              \
        enum { float_format = 0, double_format = 1, run_shape = 0, stripe_shape = 1 };             \
        loop(operation, format##_format, shape##_shape, n, to, from, amount, factor, mask, knee);  \
    }
#define LOOPS(target, set, operation)                                                              \
    LOOP(target, set, operation, float, run)                                                       \
    LOOP(target, set, operation, float, stripe)                                                    \
    LOOP(target, set, operation, double, run)                                                      \
    LOOP(target, set, operation, double, stripe)
#define ENTRY(set, operation, format)                                                              \
    [operation] = {mskpi_##set##_##operation##_##format##_run,                                     \
                   mskpi_##set##_##operation##_##format##_stripe, operation}
#define ENTRIES(set, format)                                                                       \
    {ENTRY(set, ADD_L1, format), ENTRY(set, ADD_SMOOTH_L1, format), ENTRY(set, ADD_L2, format),    \
     ENTRY(set, SHRINK_L1, format), ENTRY(set, SHRINK_SMOOTH_L1, format),                          \
     ENTRY(set, SHRINK_L2, format), ENTRY(set, SCALE, format), ENTRY(set, CLEAR, format)}
#define TABLE(target, set)                                                                         \
    LOOPS(target, set, ADD_L1)                                                                     \
    LOOPS(target, set, ADD_SMOOTH_L1)                                                              \
    LOOPS(target, set, ADD_L2)                                                                     \
    LOOPS(target, set, SHRINK_L1)                                                                  \
    LOOPS(target, set, SHRINK_SMOOTH_L1)                                                           \
    LOOPS(target, set, SHRINK_L2)                                                                  \
    LOOPS(target, set, SCALE)                                                                      \
    LOOPS(target, set, CLEAR)                                                                      \
    static const vector_loops mskpi_##set##_loops[2][VECTOR_OPERATIONS] = {                        \
        ENTRIES(set, float), ENTRIES(set, double)};
/* clang-format on */

TABLE(, baseline)
#if PROCESSOR_WIDE
TABLE(__attribute__((target("avx2"))), avx2)
TABLE(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl"))), avx512)
#endif

/* ---- the choice ---- */

const vector_loops *mskpi_vector_loops(vector_operation operation, bool doubles)
{
    static const vector_loops(*const loops[])[VECTOR_OPERATIONS] = {
        [PROCESSOR_BASELINE] = mskpi_baseline_loops,
#if PROCESSOR_WIDE
        [PROCESSOR_AVX2] = mskpi_avx2_loops,
        [PROCESSOR_AVX512] = mskpi_avx512_loops,
#endif
    };
    const processor_set set = mskpi_processor();
    return set == PROCESSOR_PLAIN ? NULL : &loops[set][doubles][operation];
}

bool mskpi_usual_arithmetic(void)
{
    /* volatile: computed here and now, in the mode of this thread */
    const volatile float least_normal = 0x1p-126F, least = 0x1p-149F;
    const volatile double half = 0.5, up = 1 + 0x1.8p-24, down = 1 + 0x1p-25;
    const volatile float below = least_normal * (float)half;
    const volatile float rounded_up = (float)up, rounded_down = (float)down;
    return below > 0 && (double)least > 0 && rounded_up > 1 && rounded_down <= 1;
}
