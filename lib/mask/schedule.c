/* How much is removed after each round of a pruning in several rounds. */
#include <math.h>

#include "mskp.h"
#include "mskp/rules.h"

/* `from` and `to` are shares of 1, and t is how much of the time is over, above 0 and below 1. */
static double at_time(mskp_schedule schedule, double from, double to, double t)
{
    const double left = 1 - t;
    if (schedule == MSKP_SCHEDULE_LINEAR) return from + (to - from) * t;
    if (schedule == MSKP_SCHEDULE_CUBIC) return to + (from - to) * left * left * left;
    /* What stays is multiplied by the same number in each round. */
    return 1 - pow(1 - from, left) * pow(1 - to, t);
}

double mskp_schedule_at(mskp_schedule schedule, double from, double to, uint64_t round,
                        uint64_t rounds)
{
    if (!(from >= 0) || !(from <= 1) || !(to >= 0) || !(to <= 1) ||
        (unsigned)schedule > MSKP_SCHEDULE_EXPONENTIAL)
        return NAN;
    if (round >= rounds) return to;
    if (!round) return from;
    const double x = at_time(schedule, from, to, (double)round / (double)rounds);
    return fmin(fmax(x, fmin(from, to)), fmax(from, to));
}
