/* Status texts, sentences of errors, and names and numbers as sentences show them. */
#ifndef MSKP_BASE_STATUS_H
#define MSKP_BASE_STATUS_H

#include "mskp.h"
#include "mskp/tools.h"

/* The size of a buffer for a name as it stands in a sentence, and for a number. */
enum { NAME_SIZE = 72, NUMBER_SIZE = 32 };

/* Lets the compiler compare a format, which is the given argument, with what follows from `first`
 * on. On mingw, printf would be the one of Microsoft, which does not know %zu. */
#if defined(__MINGW32__)
#define MSKPI_PRINTF(format, first) __attribute__((__format__(gnu_printf, format, first)))
#elif defined(__GNUC__)
#define MSKPI_PRINTF(format, first) __attribute__((__format__(printf, format, first)))
#else
#define MSKPI_PRINTF(format, first)
#endif

/* Fills *err, which may be NULL, and returns status. The format must not contain floating-point
 * numbers, because printf prints them with the locale's decimal sign; see mskpi_number. */
mskp_status mskpi_fail(mskp_error *err, mskp_status status, const char *format, ...)
    MSKPI_PRINTF(3, 4);

/* Refuses the first of these pointers that is NULL, by its name. */
#define MSKPI_GIVEN(err, ...)                                                                  \
    mskpi_given(err, #__VA_ARGS__, sizeof(const void *[]){__VA_ARGS__} / sizeof(const void *), \
                (const void *const[]){__VA_ARGS__})
mskp_status mskpi_given(mskp_error *err, const char *names, size_t n, const void *const *pointers);

/* Refuses roles other than those of MSKP_ROLES_UNIT. `name` is the argument's name. */
mskp_status mskpi_check_roles(mskp_error *err, const char *name, uint32_t roles);

/* A name as a sentence shows it: shortened in the middle if it does not fit the buffer, and with
 * question marks for control characters. Returns name or buffer. */
const char *mskpi_short(const char *name, char buffer[NAME_SIZE]);

/* The same for n bytes that need not end in 0. They have no control characters, because a reader
 * refuses these first. Returns buffer. */
const char *mskpi_quote(const char *bytes, size_t n, char buffer[NAME_SIZE]);

/* A number as a sentence shows it, with 9 digits, or NaN, infinity, -infinity; the same in every
 * locale. Returns buffer. */
const char *mskpi_number(double x, char buffer[NUMBER_SIZE]);
/* A number with as many digits as it takes to read the same number back. Returns buffer. */
const char *mskpi_exact_number(double x, char buffer[NUMBER_SIZE]);

#endif
