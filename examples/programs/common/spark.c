#define _POSIX_C_SOURCE 200809L
#include "spark.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

/* The locale of the process stays as it is: it would change how numbers are read and printed. */
bool spark_wanted(void)
{
    if (!isatty(STDOUT_FILENO)) return false;
    const locale_t none = (locale_t)0, locale = newlocale(LC_CTYPE_MASK, "", none);
    if (locale == none) return false;
    const char *set = nl_langinfo_l(CODESET, locale);
    const bool wanted = !strcasecmp(set, "UTF-8") || !strcasecmp(set, "UTF8");
    freelocale(locale);
    return wanted;
}

void spark_text(size_t n, const double *y, char text[SPARK_TEXT])
{
    double low = (double)INFINITY, high = -(double)INFINITY;
    const size_t shown = n < SPARK_WIDTH ? n : SPARK_WIDTH;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(y[i])) continue;
        low = fmin(low, y[i]);
        high = fmax(high, y[i]);
    }
    for (size_t i = 0; i < shown; i++) {
        const double at = y[(i + 1) * n / shown - 1];
        if (!isfinite(at)) {
            *text++ = ' ';
            continue;
        }
        /* U+2581 to U+2588: one eighth to eight eighths */
        const int eighth = high > low ? (int)(7 * (at - low) / (high - low) + 0.5) : 3;
        memcpy(text, "\xe2\x96", 2);
        text[2] = (char)(0x81 + eighth);
        text += 3;
    }
    *text = 0;
}
