/*
 * Hashes of bytes, for tables in memory, and of numbers, for the fingerprint of a network.
 *
 * mskpi_hash takes eight bytes at a time, in the machine's own byte order, because its tables live
 * in memory alone: for each eight an exclusive or, a multiplication by an odd constant, and an
 * exclusive or with the upper half. The tables index by low bits, and these depend on all bits of
 * the input after that. The length is hashed first, so bytes of 0 at the end count, too.
 *
 * The fingerprint of a network must be the same on every machine. mskpi_mix therefore hashes
 * numbers and not their bytes, in 64-bit arithmetic, so neither byte order nor the width of
 * size_t matters. Each of its steps can be undone: an exclusive or with the number, a
 * multiplication by an odd constant, an exclusive or with the upper half.
 */
#include <string.h>

#include "base/hash.h"
#include "mskp.h"

uint64_t mskpi_mix(uint64_t h, uint64_t x)
{
    h = (h ^ x) * UINT64_C(0xbf58476d1ce4e5b9);
    return h ^ h >> 32;
}

size_t mskpi_hash(const void *bytes, size_t n)
{
    const unsigned char *b = bytes;
    uint64_t h = mskpi_mix(0, n), x;
    for (; n >= sizeof x; n -= sizeof x, b += sizeof x) {
        memcpy(&x, b, sizeof x);
        h = mskpi_mix(h, x);
    }
    x = 0;
    memcpy(&x, b, n);
    h = mskpi_mix(h, x);
    return (size_t)(h ^ (h >> 29));
}

double mskpi_uniform(uint64_t hash)
{
    /* Mixed once more, so that each bit of the last number reaches all high bits. */
    return (double)(mskpi_mix(hash, hash >> 29) >> 11) * 0x1p-53;
}

const char *mskpi_fingerprint_text(uint64_t fingerprint, char digits[17])
{
    for (int i = 0; i < 16; i++) digits[i] = "0123456789abcdef"[fingerprint >> (60 - 4 * i) & 15];
    digits[16] = 0;
    return digits;
}
