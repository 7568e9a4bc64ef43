/*
 * A stand-in for the header of Check, for builds that Check is not there for: another libc, and
 * compilers that instrument all code (MSan). All tests run in one process, so a crash ends the
 * program before its summary, which run-tests counts as a failure; timeouts are ignored. It holds
 * what these tests use; make STAND_IN=1 builds with it.
 */
#ifndef STAND_IN_CHECK_H
#define STAND_IN_CHECK_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Suite Suite;
typedef struct TCase TCase;
typedef struct SRunner SRunner;
typedef void stand_in_test(int i);
enum print_output { CK_NORMAL, CK_ENV };

Suite *suite_create(const char *name);
void suite_add_tcase(Suite *suite, TCase *tcase);
TCase *tcase_create(const char *name);
void tcase_set_timeout(TCase *tcase, double seconds);
void tcase_add_checked_fixture(TCase *tcase, void (*setup)(void), void (*teardown)(void));
SRunner *srunner_create(Suite *suite);
void srunner_run_all(SRunner *runner, enum print_output output);
int srunner_ntests_failed(const SRunner *runner);
void srunner_free(SRunner *runner);

/* Runs test(i) for first <= i < end. */
void stand_in_add(TCase *tcase, const char *name, stand_in_test *test, int first, int end);
/* Prints the sentence and ends the test that is running. */
__attribute__((noreturn, format(printf, 3, 4))) void stand_in_fail(const char *file, int line,
                                                                   const char *format, ...);

#define tcase_add_test(tcase, test) stand_in_add(tcase, #test, test, 0, 1)
#define tcase_add_loop_test(tcase, test, first, end) \
    stand_in_add(tcase, #test, test, (int)(first), (int)(end))

#define START_TEST(name)      \
    static void name(int _i); \
    static void name(int _i)  \
    {                         \
        (void)_i;
#define END_TEST }

#define ck_abort_msg(...)             stand_in_fail(__FILE__, __LINE__, __VA_ARGS__)
#define ck_assert_msg(condition, ...) ((condition) ? (void)0 : ck_abort_msg(__VA_ARGS__))
#define ck_assert(condition)          ck_assert_msg(condition, "'%s' is false", #condition)

#define STAND_IN_COMPARE(type, format, a, operator, b)                                          \
    do {                                                                                        \
        const type x_ = (a), y_ = (b);                                                          \
        if (!(x_ operator y_))                                                                  \
            ck_abort_msg("%s is " format ", not " #operator" %s, which is " format, #a, x_, #b, \
                         y_);                                                                   \
    } while (0)
#define ck_assert_int_eq(a, b)    STAND_IN_COMPARE(long long, "%lld", a, ==, b)
#define ck_assert_int_ne(a, b)    STAND_IN_COMPARE(long long, "%lld", a, !=, b)
#define ck_assert_int_ge(a, b)    STAND_IN_COMPARE(long long, "%lld", a, >=, b)
#define ck_assert_uint_eq(a, b)   STAND_IN_COMPARE(unsigned long long, "%llu", a, ==, b)
#define ck_assert_uint_ne(a, b)   STAND_IN_COMPARE(unsigned long long, "%llu", a, !=, b)
#define ck_assert_uint_lt(a, b)   STAND_IN_COMPARE(unsigned long long, "%llu", a, <, b)
#define ck_assert_uint_le(a, b)   STAND_IN_COMPARE(unsigned long long, "%llu", a, <=, b)
#define ck_assert_uint_gt(a, b)   STAND_IN_COMPARE(unsigned long long, "%llu", a, >, b)
#define ck_assert_double_eq(a, b) STAND_IN_COMPARE(double, "%a", a, ==, b)
#define ck_assert_double_lt(a, b) STAND_IN_COMPARE(double, "%a", a, <, b)
#define ck_assert_double_gt(a, b) STAND_IN_COMPARE(double, "%a", a, >, b)
#define ck_assert_ptr_eq(a, b)    ck_assert((const void *)(a) == (const void *)(b))
#define ck_assert_ptr_null(a)     ck_assert((a) == NULL)
#define ck_assert_ptr_nonnull(a)  ck_assert((a) != NULL)
#define ck_assert_double_eq_tol(a, b, tolerance) \
    ck_assert_msg(fabs((a) - (b)) < (tolerance), "%s is %a, not %a", #a, (double)(a), (double)(b))
#define ck_assert_mem_eq(a, b, n) \
    ck_assert_msg(memcmp((a), (b), (n)) == 0, "the bytes of %s and %s differ", #a, #b)
#define ck_assert_str_eq(a, b)                                                                \
    do {                                                                                      \
        const char *x_ = (a), *y_ = (b);                                                      \
        if (!x_ || !y_ || strcmp(x_, y_) != 0)                                                \
            ck_abort_msg("%s is \"%s\", not \"%s\"", #a, x_ ? x_ : "NULL", y_ ? y_ : "NULL"); \
    } while (0)

#endif
