/* Random numbers that are the same on every machine. */
#include "internal.h"

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014) */
uint64_t cn_random_bits(cn_random *random)
{
    uint64_t z = random->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

size_t cn_random_below(cn_random *random, size_t bound)
{
    const uint64_t last =
        UINT64_MAX - (UINT64_MAX % bound + 1) % bound; /* above it lies an incomplete round */
    uint64_t bits;
    do bits = cn_random_bits(random);
    while (bits > last);
    return (size_t)(bits % bound);
}

double cn_random_unit(cn_random *random)
{
    return (double)(cn_random_bits(random) >> 11) * 0x1p-53;
}

double cn_random_normal(cn_random *random)
{
    double sum = -6;
    for (int i = 0; i < 12; i++) sum += cn_random_unit(random);
    return sum;
}

void cn_shuffle(cn_random *random, size_t n, size_t *indices)
{
    for (size_t i = n; i > 1; i--) {
        const size_t k = cn_random_below(random, i), t = indices[i - 1];
        indices[i - 1] = indices[k];
        indices[k] = t;
    }
}
