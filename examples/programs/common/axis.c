#include "axis.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

double axis_round_up(double x)
{
    const double power = pow(10, floor(log10(x))), parts[] = {1, 2, 5};
    for (size_t i = 0; i < 3; i++)
        if (x <= parts[i] * power * (1 + 1e-9)) return parts[i] * power;
    return 10 * power;
}

axis axis_over(double low, double high, double steps, double from, double to)
{
    if (low >= 0 && low <= 0.4 * high) low = 0;
    if (!(high > low)) {
        const double room = fabs(low) > 0 ? 0.1 * fabs(low) : 1;
        high = low + room;
        low = low > 0 && low < room ? 0 : low - room;
    }
    const double step = axis_round_up((high - low) / steps);
    return (axis){floor(low / step + 1e-9) * step, ceil(high / step - 1e-9) * step, step, from, to};
}

double axis_place(const axis *a, double x)
{
    return a->from + (x - a->low) / (a->high - a->low) * (a->to - a->from);
}

void axis_tick(const axis *a, double at, const char *unit, size_t size, char *text)
{
    const int digits = a->step >= 1 ? 0 : (int)ceil(-log10(a->step) - 1e-9);
    const double most = fmax(fabs(a->low), fabs(a->high));
    if (fabs(at) < a->step / 2) at = 0; /* and no -0 */
    if (most < 1e5 && digits < 5) {
        snprintf(text, size, "%.*f%s", digits, at, unit);
        return;
    }
    snprintf(text, size, "%.2g%s", at, unit);
    char *plus = strchr(text, '+'); /* 1e+20 needs room that there may not be */
    if (plus) memmove(plus, plus + 1, strlen(plus));
}
