/*
 * A finished network for a fuzz target that calls something on it. The first byte chooses how the
 * bytes describe it: mostly by the generator of test/interpreter, whose networks are all valid;
 * else by calls with any arguments, of which few descriptions come to an end.
 */
#ifndef FUZZ_NETWORK_H
#define FUZZ_NETWORK_H

#include "failed.h"
#include "random_calls/random_calls.h"

typedef struct network {
    limited_heap heap; /* what is absurdly large ends there */
    trial t;           /* of the generator */
    mskp_graph *graph; /* NULL: the description was refused, as it should be */
    rng r;             /* for what is called: a quarter of the bytes, and those that are left */
} network;

/* size: at least 2. The network stays where it is: its services refer to it. */
static void network_begin(network *n, const uint8_t *data, size_t size)
{
    *n = (network){.heap = {.most = 1 << 20}};
    rng first = rng_steered(data[1], size - 2, data + 2);
    const size_t spare = first.left / 4;
    const mskp_services services = limited_heap_services(&n->heap);
    first.left -= spare;
    if (data[0] < 192) {
        const net_options options = {.steps = rng_from(&first, 1, 6),
                                     .max_channels = rng_from(&first, 2, 6),
                                     .inexact = data[0] % 4 == 0,
                                     .constants = data[0] % 2 == 0};
        trial_steered(&n->t, first, &options, &services);
        n->graph = n->t.graph;
        first = n->t.r;
    } else {
        n->graph = calls_describe(&first, &n->heap);
        n->t.graph = n->graph;
    }
    n->r = rng_steered(first.state, first.left + spare, first.bytes);
}

static void network_end(network *n)
{
    trial_end(&n->t);
    REQUIRE(!n->heap.live, "%zu blocks are left", n->heap.live);
}

#endif
