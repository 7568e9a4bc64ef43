/*
 * Assertions state what must hold whatever the caller passes; a false one is a fault of the
 * library. A build with -DMSKP_DEBUG checks them and stops at a trap. In any other build they cost
 * nothing, and their conditions are not evaluated. What a caller can get wrong is never asserted:
 * the library refuses it with a sentence.
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

/* Makes a call that cannot fail, because everything that it refuses was checked before. */
#define MSKPI_MUST(call)                    \
    do {                                    \
        const mskp_status status_ = (call); \
        MSKPI_ASSERT(status_ == MSKP_OK);   \
        (void)status_;                      \
    } while (0)

#endif
