/* The bare arrays against the formula, on every kind of number; the table of status; the sizes of
 * what crosses the interface. */
#include "guarded_memory/guarded_memory.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined __SSE2__
#include <xmmintrin.h>
#endif

/* ---- Sizes ---- */

#define IS_32_BITS(type) _Static_assert(sizeof(type) == 4, #type " is not 32 bits wide")
IS_32_BITS(mskp_status);
IS_32_BITS(mskp_dtype);
IS_32_BITS(mskp_activation_kind);
IS_32_BITS(mskp_pool_kind);
IS_32_BITS(mskp_combine_kind);
IS_32_BITS(mskp_role);
IS_32_BITS(mskp_magnitude);
IS_32_BITS(mskp_reduce);
IS_32_BITS(mskp_penalty_kind);
IS_32_BITS(mskp_target);

/* What a binding to another language has to know of a tensor. */
#define WORD sizeof(size_t)
_Static_assert(offsetof(mskp_tensor, data) == 0, "data");
_Static_assert(offsetof(mskp_tensor, dtype) == WORD, "dtype");
_Static_assert(offsetof(mskp_tensor, ndim) == WORD + 4, "ndim");
_Static_assert(offsetof(mskp_tensor, shape) == WORD + 8, "shape");
_Static_assert(offsetof(mskp_tensor, stride) == WORD + 8 + MSKP_MAX_DIMS * WORD, "stride");
_Static_assert(offsetof(mskp_tensor, elements) == WORD + 8 + 2 * MSKP_MAX_DIMS * WORD, "elements");
_Static_assert(sizeof(mskp_tensor) == WORD + 8 + (2 * MSKP_MAX_DIMS + 1) * WORD, "mskp_tensor");
_Static_assert(sizeof(mskp_error) == 256, "mskp_error");
_Static_assert(sizeof(mskp_param) == 4 && sizeof(mskp_value) == 4, "handles");
_Static_assert(sizeof(mskp_member) == 16, "mskp_member");

START_TEST(status_table)
{
#define CHECK_STATUS(name, value, text) \
    ck_assert_int_eq(name, value);      \
    ck_assert_str_eq(mskp_status_text(name), text);
    MSKP_STATUS_TABLE(CHECK_STATUS)
#define COUNT_STATUS(name, value, text) +1
    const int known = MSKP_STATUS_TABLE(COUNT_STATUS);
    const int others[] = {known, known + 1, 255, 256, 1000, -1, -2, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const char *text = mskp_status_text((mskp_status)others[i]);
        must(text != NULL && text[0] != 0, "%d has no text", others[i]);
#define IS_NOT_THAT(name, value, known_text) must(strcmp(text, known_text) != 0, "%d", others[i]);
        MSKP_STATUS_TABLE(IS_NOT_THAT)
    }
}
END_TEST

START_TEST(version)
{
    ck_assert_uint_eq(mskp_version(), MSKP_VERSION);
    ck_assert_uint_eq(MSKP_VERSION,
                      MSKP_VERSION_MAJOR * 10000 + MSKP_VERSION_MINOR * 100 + MSKP_VERSION_PATCH);
}
END_TEST

/* ---- The loops, once for float and once for double ---- */

enum { LONGEST = 67, KINDS = 22 };

static void random_keep(rng *r, uint8_t *keep, size_t n)
{
    const uint8_t nonzero[] = {1, 2, 128, 255};
    for (size_t i = 0; i < n; i++) keep[i] = rng_chance(r, 2) ? 0 : nonzero[rng_below(r, 4)];
}

/* Arrays lie against the guard page behind them or before them, at any offset of whole elements. */
typedef struct desk {
    guarded w, g, keep;
} desk;

static desk desk_open(void)
{
    return (desk){guarded_make(4096), guarded_make(4096), guarded_make(4096)};
}

static void desk_close(desk *d)
{
    guarded_free(d->w);
    guarded_free(d->g);
    guarded_free(d->keep);
}

static void *at_edge(rng *r, guarded g, size_t bytes)
{
    rng_fill(r, g.start, g.size);
    return rng_chance(r, 2) ? g.start : g.start + g.size - bytes;
}

#define REAL      float
#define BITS      uint32_t
#define NAME(x)   x##_f32
#define TINIEST   0x1p-149f
#define SMALLEST  FLT_MIN
#define LARGEST   FLT_MAX
#define QUIET     UINT32_C(0x7fc00000)
#define SIGNALING UINT32_C(0x7f800001)
#include "bare.h"

#define REAL      double
#define BITS      uint64_t
#define NAME(x)   x##_f64
#define TINIEST   0x1p-1074
#define SMALLEST  DBL_MIN
#define LARGEST   DBL_MAX
#define QUIET     UINT64_C(0x7ff8000000000000)
#define SIGNALING UINT64_C(0x7ff0000000000001)
#include "bare.h"
#include "by_id/by_id.h"

START_TEST(gradients)
{
    gradients_f32();
    gradients_f64();
}
END_TEST

START_TEST(shrinks)
{
    shrinks_f32();
    shrinks_f64();
}
END_TEST

/* Some callers' libraries switch these on for the whole process. */
START_TEST(denormals_count_when_flushed)
{
#if defined __SSE2__
    unsigned before = _mm_getcsr();
    _mm_setcsr(before | 0x8040);             /* flush to zero, denormals are zero */
    if ((_mm_getcsr() & 0x8040) != 0x8040) { /* valgrind has no such mode */
        printf("skipped: the mode cannot be set\n");
        return;
    }
    const char *bad32 = flushed_f32(), *bad64 = flushed_f64();
    unsigned during = _mm_getcsr();
    _mm_setcsr(before);
    must((during & 0x8040) == 0x8040, "the mode was changed");
    must(bad32 == NULL, "float: %s", bad32);
    must(bad64 == NULL, "double: %s", bad64);
#else
    printf("skipped: no SSE2\n");
#endif
}
END_TEST

START_TEST(nothing_to_do)
{
    mskp_l1_gradient_f32(0, NULL, NULL, 1, NULL);
    mskp_l1_gradient_f64(0, NULL, NULL, 1, NULL);
    mskp_l1_prox_f32(0, NULL, NULL, 1);
    mskp_l1_prox_f64(0, NULL, NULL, 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("bare");
    TCase *tests = tcase_create("bare");
    tcase_set_timeout(tests, 120);
    tcase_add_test(tests, status_table);
    tcase_add_test(tests, version);
    tcase_add_test(tests, gradients);
    tcase_add_test(tests, shrinks);
    tcase_add_test(tests, nothing_to_do);
    tcase_add_test(tests, denormals_count_when_flushed);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
