/*
 * Status texts, the sentences of errors, and names and numbers as such sentences show them.
 *
 * A function that fails returns a status. Where the caller passed an mskp_error, the function also
 * fills it with a sentence, of which mskp_error keeps 251 bytes. Names in sentences are therefore
 * shortened in the middle, where long names differ least, and UTF-8 characters are not cut in two.
 *
 * printf prints a floating-point number with the decimal sign of the program's locale, which may
 * have several bytes. Sentences and texts must be the same everywhere, so numbers are printed
 * by the functions at the end of this file, which put a point there.
 */
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/status.h"
#include "mskp.h"

uint32_t mskp_version(void)
{
    return MSKP_VERSION;
}

const char *mskp_status_text(mskp_status status)
{
    switch ((int)status) {
#define X(name, value, text) \
    case value:              \
        return text;
        MSKP_STATUS_TABLE(X)
#undef X
    default:
        return "unknown status";
    }
}

mskp_status mskpi_fail(mskp_error *err, mskp_status status, const char *format, ...)
{
    va_list arguments;
    MSKPI_ASSERT(status != MSKP_OK);
    if (!err) return status;
    err->status = status;
    va_start(arguments, format);
    vsnprintf(err->text, sizeof err->text, format, arguments);
    va_end(arguments);
    return status;
}

mskp_status mskpi_given(mskp_error *err, const char *names, size_t n, const void *const *pointers)
{
    for (size_t i = 0; i < n; i++) {
        const size_t length = strcspn(names, ",");
        MSKPI_ASSERT(length > 0); /* one name for each pointer */
        if (!pointers[i])
            return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "%.*s is NULL", (int)length, names);
        names += length;
        names += strspn(names, ", ");
    }
    return MSKP_OK;
}

mskp_status mskpi_check_roles(mskp_error *err, const char *name, uint32_t roles)
{
    if (!(roles & ~(uint32_t)MSKP_ROLES_UNIT)) return MSKP_OK;
    return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                      "%s is 0x%x, it can be made of FILTER, CONSUMER, SCALE and SHIFT (0x%x)",
                      name, roles, (unsigned)MSKP_ROLES_UNIT);
}

/* Whether a byte is the second or a later one of a character in UTF-8. */
static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static bool is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

const char *mskpi_short(const char *name, char buffer[NAME_SIZE])
{
    const size_t length = strlen(name), half = (NAME_SIZE - 4) / 2;
    size_t head = half, tail = length - half, i = 0;
    while (name[i] && !is_control(name[i])) i++;
    if (length < NAME_SIZE && !name[i]) return name;
    if (length < NAME_SIZE) {
        memcpy(buffer, name, length + 1);
    } else { /* both cuts move to where a character begins */
        while (head && is_continuation(name[head])) head--;
        while (is_continuation(name[tail])) tail++;
        MSKPI_ASSERT(head + 3 + (length - tail) < NAME_SIZE && tail <= length);
        memcpy(buffer, name, head);
        memcpy(buffer + head, "...", 3);
        memcpy(buffer + head + 3, name + tail, length - tail + 1);
    }
    for (char *c = buffer; *c; c++)
        if (is_control(*c)) *c = '?';
    return buffer;
}

const char *mskpi_quote(const char *bytes, size_t n, char buffer[NAME_SIZE])
{
    const size_t half = (NAME_SIZE - 4) / 2;
    size_t length = n;
    if (n < NAME_SIZE) {
        memcpy(buffer, bytes, n);
    } else {
        memcpy(buffer, bytes, half);
        memcpy(buffer + half, "...", 3);
        memcpy(buffer + half + 3, bytes + n - half, half);
        length = half + 3 + half;
    }
    MSKPI_ASSERT(length < NAME_SIZE);
    for (size_t i = 0; i < length; i++) MSKPI_ASSERT(!is_control(buffer[i]));
    buffer[length] = 0;
    return buffer;
}

/* Compares bits: == takes denormal numbers for 0 in some floating-point modes. */
static bool is_same_number(double x, double y)
{
    uint64_t a, b;
    memcpy(&a, &x, sizeof a);
    memcpy(&b, &y, sizeof b);
    return a == b;
}

/* Replaces the locale's decimal sign, which may have several bytes, by a point. */
static void write_point(char *number)
{
    char *to = number;
    for (const char *c = number; *c; c++) {
        const bool copied = strchr("0123456789+-e", *c) != NULL;
        MSKPI_ASSERT(copied || to > number); /* a digit stands before the decimal sign */
        if (copied)
            *to++ = *c;
        else if (to[-1] != '.')
            *to++ = '.';
    }
    *to = 0;
}

/* Prints x with `least` to `most` digits, as few as it takes to read x back. */
static const char *print_number(double x, int least, int most, char buffer[NUMBER_SIZE])
{
    int digits = least;
    if (!isfinite(x)) { /* the same words in every C library */
        snprintf(buffer, NUMBER_SIZE, "%s", isnan(x) ? "NaN" : x < 0 ? "-infinity" : "infinity");
        return buffer;
    }
    if (is_same_number(x, floor(x)) && fabs(x) < 1e15) {
        snprintf(buffer, NUMBER_SIZE, "%.0f", x);
        return buffer;
    }
    do snprintf(buffer, NUMBER_SIZE, "%.*g", digits, x);
    while (digits++ < most && !is_same_number(strtod(buffer, NULL), x));
    write_point(buffer);
    return buffer;
}

const char *mskpi_number(double x, char buffer[NUMBER_SIZE])
{
    return print_number(x, 9, 9, buffer);
}

const char *mskpi_exact_number(double x, char buffer[NUMBER_SIZE])
{
    return print_number(x, 15, 17, buffer);
}
