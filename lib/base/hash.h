/* Hashes, for tables in memory and for the fingerprint of a network. */
#ifndef MSKP_BASE_HASH_H
#define MSKP_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

/* FNV-1a of n bytes. */
size_t mskpi_hash(const void *bytes, size_t n);

/* A hash of numbers, one after the other: of one that differs it differs for certain. In arithmetic
 * alone, so that it is the same for every byte order and width of size_t. */
uint64_t mskpi_mix(uint64_t hash, uint64_t number);

/* 16 hexadecimal digits. */
const char *mskpi_fingerprint_text(uint64_t fingerprint, char digits[17]);

#endif
