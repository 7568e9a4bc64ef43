/*
 * When a pruner does what: the stages as numbers of steps.
 *
 * Shares of the steps become whole steps once, by rounding down; the stages lie one after the
 * other, and round r of R ends when r / R of the masked stage is over. All of it is a function of
 * the options, the steps that were counted, and the cuts that were made, so nothing has to be saved
 * but these.
 */
#include <math.h>

#include "base/status.h"
#include "pruner/pruner.h"

/* The largest number of steps: all numbers up to it are doubles. */
static const uint64_t MOST = (uint64_t)1 << 53;

/* floor(share * n); a product that a rounding error puts just below a whole number counts as that
 * number. */
static uint64_t part(double share, uint64_t n)
{
    return (uint64_t)fmin(floor(share * (double)n * (1 + 0x1p-50)), (double)n);
}

static mskp_status check_share(const char *name, double share, mskp_error *err)
{
    char number[NUMBER_SIZE];
    if (share >= 0 && share <= 1) return MSKP_OK;
    return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "pruner: %s is %s, outside 0 to 1", name,
                      mskpi_number(share, number));
}

mskp_status mskpi_pruner_check_times(const mskp_pruner_options *how, mskp_error *err)
{
    char number[NUMBER_SIZE], strength[NUMBER_SIZE];
    if (!how->steps || how->steps > MOST)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT, "pruner: steps is %llu, outside 1 to 2^53",
                          (unsigned long long)how->steps);
    mskp_status status = check_share("wait", how->wait, err);
    if (!status) status = check_share("sparse", how->sparse, err);
    if (!status) status = check_share("masked", how->masked, err);
    if (!status) status = check_share("settle", how->settle, err);
    if (status) return status;
    const double sum = how->wait + how->sparse + how->masked;
    if (sum > 1 + 0x1p-50)
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "pruner: wait, sparse and masked are %s together, more than 1",
                          mskpi_number(sum, number));
    if (how->sparse > 0 && !(how->sparse_strength > 0))
        return mskpi_fail(err, MSKP_ERROR_BAD_ARGUMENT,
                          "pruner: sparse is %s and sparse_strength is %s; a stage without a "
                          "penalty is `wait`",
                          mskpi_number(how->sparse, number),
                          mskpi_number(how->sparse_strength, strength));
    return MSKP_OK;
}

uint32_t mskpi_pruner_rounds(const mskp_pruner *p)
{
    return p->how.rounds ? p->how.rounds : 1;
}

/* The step with which round r begins, and round r - 1 ends. */
static uint64_t round_begin(const mskp_pruner *p, uint32_t r)
{
    const mskp_pruner_options *o = &p->how;
    const uint64_t begin = part(o->wait, o->steps) + part(o->sparse, o->steps);
    const double share = (double)r / (double)mskpi_pruner_rounds(p);
    return begin + part(share, part(o->masked, o->steps));
}

bool mskpi_pruner_cut_due(const mskp_pruner *p)
{
    return p->round < mskpi_pruner_rounds(p) && p->step >= round_begin(p, p->round + 1);
}

pruner_time mskpi_pruner_time(const mskp_pruner *p)
{
    const mskp_pruner_options *o = &p->how;
    const uint64_t wait = part(o->wait, o->steps), begin = round_begin(p, p->round);
    pruner_time t = {.stage = MSKP_PRUNER_STAGE_TUNE};
    if (p->round >= mskpi_pruner_rounds(p)) {
        t.left = p->step < o->steps ? o->steps - p->step : 0;
    } else if (p->step < begin) {
        /* Before the first round, or after a cut that came before its round was over. */
        t.stage = p->round         ? MSKP_PRUNER_STAGE_TUNE
                  : p->step < wait ? MSKP_PRUNER_STAGE_WAIT
                                   : MSKP_PRUNER_STAGE_SPARSE;
        t.left = (t.stage == MSKP_PRUNER_STAGE_WAIT ? wait : begin) - p->step;
    } else {
        const uint64_t end = round_begin(p, p->round + 1), length = end - begin;
        const uint64_t done = p->step - begin;
        t.stage = MSKP_PRUNER_STAGE_MASKED;
        t.left = p->step < end ? end - p->step : 0;
        t.pull = length - part(o->settle, length);
        t.pull_left = done < t.pull ? t.pull - done : 0;
    }
    return t;
}

mskp_pruner_due_kind mskp_pruner_due(const mskp_pruner *pruner)
{
    if (!pruner) return MSKP_PRUNER_DUE_NOTHING;
    if (mskpi_pruner_cut_due(pruner)) return MSKP_PRUNER_DUE_CUT;
    const bool masked = mskpi_pruner_time(pruner).stage == MSKP_PRUNER_STAGE_MASKED;
    return masked && !pruner->marked ? MSKP_PRUNER_DUE_MASK : MSKP_PRUNER_DUE_NOTHING;
}

double mskpi_pruner_move(double largest, uint64_t left)
{
    return largest / (((double)left + 1) / 2);
}
