/* Status texts, sentences of errors, and names and numbers as sentences show them. */
#ifndef MSKP_BASE_STATUS_H
#define MSKP_BASE_STATUS_H

#include "mskp.h"
#include "mskp/tools.h"

/* Room for a name as it stands in a sentence. */
#define NAME_ROOM 72

/* Fills *err (which may be NULL) and returns status. Formats: %s %zu %u and the like, no floating
 * point (its look depends on the locale): see mskpi_number. */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
mskp_status
mskpi_fail(mskp_error *err, mskp_status status, const char *format, ...);

/* MSKP_ERROR_BAD_ARGUMENT with its name for the first of these pointers that is NULL. */
#define MSKPI_GIVEN(err, ...)                                                                  \
    mskpi_given(err, #__VA_ARGS__, sizeof(const void *[]){__VA_ARGS__} / sizeof(const void *), \
                (const void *const[]){__VA_ARGS__})
mskp_status mskpi_given(mskp_error *err, const char *names, size_t n, const void *const *pointers);

/* MSKP_ERROR_BAD_ARGUMENT if there are others than those of MSKP_ROLES_UNIT. */
mskp_status mskpi_check_roles(mskp_error *err, const char *name, uint32_t roles);

/* name as a sentence shows it: shortened in the middle if it is longer than NAME_ROOM - 1, control
 * characters as question marks. */
const char *mskpi_short(const char *name, char room[NAME_ROOM]);

/* n bytes from outside, shortened in the middle likewise, without control characters. */
const char *mskpi_quote(const char *bytes, size_t n, char room[NAME_ROOM]);

/* A number for a sentence, the same in every locale; and with as many digits as reading it back takes. */
const char *mskpi_number(double x, char room[32]);
const char *mskpi_exact_number(double x, char room[32]);

#endif
