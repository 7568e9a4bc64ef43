/*
 * Status texts, the sentences of errors, and names and numbers as such sentences show them.
 *
 * A function that fails returns a status and, where the caller gave an mskp_error, fills it with a
 * sentence. Names in sentences are shortened in the middle, so that a sentence always fits. Numbers
 * are printed by mskpi_number, because printf's own look of a floating-point number depends on the
 * locale: the locale's decimal sign, which may have several bytes, becomes a point.
 */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* Is the byte the second or a later one of a character in UTF-8? */
static int continues(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

static int is_control(char c)
{
    return (unsigned char)c < 0x20 || c == 0x7f;
}

const char *mskpi_short(const char *name, char room[NAME_ROOM])
{
    const size_t length = strlen(name), half = (NAME_ROOM - 4) / 2;
    size_t head = half, tail = length - half, i = 0;
    while (name[i] && !is_control(name[i])) i++;
    if (length < NAME_ROOM && !name[i]) return name;
    if (length < NAME_ROOM) {
        memcpy(room, name, length + 1);
    } else { /* no character is cut in two */
        while (head && continues(name[head])) head--;
        while (continues(name[tail])) tail++;
        memcpy(room, name, head);
        memcpy(room + head, "...", 3);
        memcpy(room + head + 3, name + tail, length - tail + 1);
    }
    for (char *c = room; *c; c++)
        if (is_control(*c)) *c = '?';
    return room;
}

const char *mskpi_quote(const char *bytes, size_t n, char room[NAME_ROOM])
{
    const size_t half = (NAME_ROOM - 4) / 2;
    size_t length = n;
    if (n < NAME_ROOM) {
        memcpy(room, bytes, n);
    } else {
        memcpy(room, bytes, half);
        memcpy(room + half, "...", 3);
        memcpy(room + half + 3, bytes + n - half, half);
        length = half + 3 + half;
    }
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)room[i] < ' ' || room[i] == 127) room[i] = '?';
    room[length] = 0;
    return room;
}

/* From the bits: denormal numbers are equal to 0 where the hardware reads them so. */
static int same_number(double x, double y)
{
    uint64_t a, b;
    memcpy(&a, &x, sizeof a);
    memcpy(&b, &y, sizeof b);
    return a == b;
}

/* The locale's decimal sign, which may have several bytes, becomes a point. */
static void write_point(char *number)
{
    char *to = number;
    for (const char *c = number; *c; c++) {
        if (strchr("0123456789+-einfaINFA", *c))
            *to++ = *c;
        else if (to == number || to[-1] != '.')
            *to++ = '.';
    }
    *to = 0;
}

/* With `least` to `most` digits: as few as x needs in order to be read back. */
static const char *number(double x, int least, int most, char room[32])
{
    int digits = least;
    if (same_number(x, floor(x)) && fabs(x) < 1e15) {
        snprintf(room, 32, "%.0f", x);
        return room;
    }
    do snprintf(room, 32, "%.*g", digits, isnan(x) ? fabs(x) : x); /* NaN has no sign */
    while (digits++ < most && !same_number(strtod(room, NULL), x));
    write_point(room);
    return room;
}

const char *mskpi_number(double x, char room[32])
{
    return number(x, 9, 9, room);
}

const char *mskpi_exact_number(double x, char room[32])
{
    return number(x, 15, 17, room);
}
