/*
 * What REQUIRE of test/interpreter does in a fuzz target: a sentence, and abort. The one file of a
 * target includes it.
 */
#ifndef FUZZ_FAILED_H
#define FUZZ_FAILED_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "interpreter/trial.h"

uint64_t trial_seed;

void require_failed(const char *file, int line, const char *condition, const char *format, ...)
{
    va_list list;
    fprintf(stderr, "%s:%d: %s: ", file, line, condition);
    va_start(list, format);
    vfprintf(stderr, format, list);
    va_end(list);
    fputc('\n', stderr);
    abort();
}

#endif
