/*
 * Assertions: what must hold whatever the caller passes. A false assertion is a fault of the
 * library. Build with -DMSKP_DEBUG to check them (the program then stops at a trap); otherwise they
 * cost nothing. What a caller can get wrong is never asserted: it is refused with a sentence.
 */
#ifndef MSKP_BASE_ASSERT_H
#define MSKP_BASE_ASSERT_H

#ifdef MSKP_DEBUG
#if defined __GNUC__
#define MSKPI_ASSERT(condition) ((condition) ? (void)0 : __builtin_trap())
#else
#include <stdlib.h>
#define MSKPI_ASSERT(condition) ((condition) ? (void)0 : abort())
#endif
#else
#define MSKPI_ASSERT(condition) ((void)sizeof((condition) ? 1 : 0))
#endif

/* A call that was checked before and cannot fail. */
#define MSKPI_MUST(call)                    \
    do {                                    \
        const mskp_status status_ = (call); \
        MSKPI_ASSERT(status_ == MSKP_OK);   \
        (void)status_;                      \
    } while (0)

#endif
