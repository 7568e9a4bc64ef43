/* Runs the tests one after the other in this process; a test that fails jumps back to the loop. */
#include "check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST_TESTS = 128 };

typedef struct entry {
    const char *name;
    stand_in_test *test;
    int first, end;
} entry;

struct TCase {
    const char *name;
    void (*setup)(void), (*teardown)(void);
    size_t n;
    entry entries[MOST_TESTS];
    TCase *next;
};

struct Suite {
    const char *name;
    TCase *first, *last;
};

struct SRunner {
    Suite *suite;
    int checks, failures;
};

static jmp_buf back; /* of the test that is running, here called now */
static const char *now_in = "", *now = "";
static int now_i;

static void *room(size_t bytes)
{
    void *memory = calloc(1, bytes);
    if (!memory) {
        (void)fprintf(stderr, "no memory for %zu bytes\n", bytes);
        exit(EXIT_FAILURE);
    }
    return memory;
}

Suite *suite_create(const char *name)
{
    Suite *suite = room(sizeof *suite);
    suite->name = name;
    return suite;
}

void suite_add_tcase(Suite *suite, TCase *tcase)
{
    if (suite->last)
        suite->last->next = tcase;
    else
        suite->first = tcase;
    suite->last = tcase;
}

TCase *tcase_create(const char *name)
{
    TCase *tcase = room(sizeof *tcase);
    tcase->name = name;
    return tcase;
}

void tcase_set_timeout(TCase *tcase, double seconds)
{
    (void)tcase;
    (void)seconds;
}

void tcase_add_checked_fixture(TCase *tcase, void (*setup)(void), void (*teardown)(void))
{
    tcase->setup = setup;
    tcase->teardown = teardown;
}

void stand_in_add(TCase *tcase, const char *name, stand_in_test *test, int first, int end)
{
    if (tcase->n == MOST_TESTS) {
        (void)fprintf(stderr, "%s: the stand-in has room for %d tests\n", name, MOST_TESTS);
        exit(EXIT_FAILURE);
    }
    tcase->entries[tcase->n++] = (entry){name, test, first, end};
}

SRunner *srunner_create(Suite *suite)
{
    SRunner *runner = room(sizeof *runner);
    runner->suite = suite;
    return runner;
}

void stand_in_fail(const char *file, int line, const char *format, ...)
{
    va_list arguments;
    printf("%s:%d:F:%s:%s:%d: ", file, line, now_in, now, now_i);
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\n");
    (void)fflush(stdout);
    longjmp(back, 1);
}

static void run(SRunner *runner, const TCase *tcase, const entry *e, int i)
{
    now_in = tcase->name;
    now = e->name;
    now_i = i;
    runner->checks++;
    if (setjmp(back) == 0) {
        if (tcase->setup) tcase->setup();
        e->test(i);
    } else {
        runner->failures++;
    }
    if (tcase->teardown) tcase->teardown();
}

void srunner_run_all(SRunner *runner, enum print_output output)
{
    (void)output;
    printf("Running suite(s): %s\n", runner->suite->name);
    (void)fflush(stdout); /* so that a test that forks does not print it again */
    for (const TCase *tcase = runner->suite->first; tcase; tcase = tcase->next)
        for (size_t k = 0; k < tcase->n; k++)
            for (int i = tcase->entries[k].first; i < tcase->entries[k].end; i++)
                run(runner, tcase, &tcase->entries[k], i);
    const int good = runner->checks - runner->failures;
    printf("%d%%: Checks: %d, Failures: %d, Errors: 0\n",
           runner->checks ? 100 * good / runner->checks : 100, runner->checks, runner->failures);
}

int srunner_ntests_failed(const SRunner *runner)
{
    return runner->failures;
}

void srunner_free(SRunner *runner)
{
    TCase *next;
    for (TCase *tcase = runner->suite->first; tcase; tcase = next) {
        next = tcase->next;
        free(tcase);
    }
    free(runner->suite);
    free(runner);
}
