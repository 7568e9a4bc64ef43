/*
 * How large things may become. Ids, channel numbers and lengths are 32 bits wide, which no test can
 * fill. A build with -DMSKP_TEST_LIMITS therefore has small limits, so that a test can run into
 * each of them (test/limits). No other file may depend on how the library is built for that.
 */
#ifndef MSKP_BASE_LIMITS_H
#define MSKP_BASE_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* MOST: ids, channel numbers and lengths stay below it. The numbers of 32 bits above it stand for
 * "none" and "pinned".
 * MOST_BYTES: no block of memory is larger. Twice the limit fits into a size_t, so the sum of two
 * sizes, and a capacity that doubles, do not overflow.
 * MOST_POSITIONS, MOST_CLASSES, MOST_ON_AXIS: the most positions of a padded convolution that are
 * looked at one by one, the most numbers that a sum over all its classes may go through, and the
 * most classes on one axis; constants/taps.c says what becomes of larger ones. */
#ifdef MSKP_TEST_LIMITS
#define MOST           ((uint32_t)254)
#define MOST_BYTES     ((size_t)1 << 17)
#define MOST_POSITIONS ((size_t)1 << 6)
#define MOST_CLASSES   ((size_t)1 << 8)
#define MOST_ON_AXIS   ((size_t)1 << 4)
#else
#define MOST           (UINT32_MAX - 1)
#define MOST_BYTES     (SIZE_MAX / 2)
#define MOST_POSITIONS ((size_t)1 << 20)
#define MOST_CLASSES   ((size_t)1 << 22)
#define MOST_ON_AXIS   ((size_t)1 << 12)
#endif

#endif
