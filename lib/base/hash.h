/* Hashes, for tables in memory and for the fingerprint of a network. */
#ifndef MSKP_BASE_HASH_H
#define MSKP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* A hash of n bytes for tables in memory, which differs from machine to machine. */
size_t mskpi_hash(const void *bytes, size_t n);

/* Mixes one number into a hash of numbers. The result is the same on every machine. It is bijective
 * in each argument, so a sequence with one other number has another hash for certain. */
uint64_t mskpi_mix(uint64_t hash, uint64_t number);

/* A number in [0, 1) that a hash decides. */
double mskpi_uniform(uint64_t hash);

/* Writes a fingerprint as 16 hexadecimal digits, and returns them. */
const char *mskpi_fingerprint_text(uint64_t fingerprint, char digits[17]);

#endif
