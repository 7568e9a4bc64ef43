/* How a test fails. A program that has another way defines its own. */
#include "trial.h"

#include <check.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

uint64_t trial_seed;

void require_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    char text[512];
    va_list list;
    va_start(list, format);
    (void)vsnprintf(text, sizeof text, format, list);
    va_end(list);
    ck_abort_msg("%s:%d: seed %llu: %s: %s", file, line, (unsigned long long)trial_seed, condition,
                 text);
    abort();
}
