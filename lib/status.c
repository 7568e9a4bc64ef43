/* Status texts and sentences. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "internal.h"

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

/* Names that are not checked yet may hold anything. */
const char *mskpi_short(const char *name, char room[NAME_ROOM])
{
    const size_t length = strlen(name), half = (NAME_ROOM - 4) / 2;
    if (length < NAME_ROOM) {
        memcpy(room, name, length + 1);
    } else {
        memcpy(room, name, half);
        memcpy(room + half, "...", 3);
        memcpy(room + half + 3, name + length - half, half + 1);
    }
    for (char *c = room; *c; c++)
        if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
    return room;
}

const char *mskpi_number(double x, char room[32])
{
    if (isfinite(x) && x == floor(x) && fabs(x) < 1e15) {
        snprintf(room, 32, "%.0f", x);
        return room;
    }
    snprintf(room, 32, "%.9g", x);
    for (char *c = room; *c; c++)
        if (!strchr("0123456789+-einfaINFA", *c)) *c = '.'; /* the locale's decimal sign */
    return room;
}
