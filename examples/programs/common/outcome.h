/*
 * outcome.h - what a mask does to a network, layer by layer, and what becomes of its constants
 *
 * outcome_take copies all that a page shows of it, so the graph may change afterwards.
 */
#ifndef COMMON_OUTCOME_H
#define COMMON_OUTCOME_H

#include <stdbool.h>

#include "mskp/constants.h"
#include "mskp/tools.h"
#include "page.h"

/* A value whose operator has multiply-accumulates. */
typedef struct outcome_layer {
    char *name;
    char *held; /* why channels stay, or are tied; may be "" */
    size_t width[2];
    mskp_cost cost[2]; /* [0]: before, [1]: after; so it is in every pair here */
} outcome_layer;

typedef struct outcome_consumer {
    char *name, *reads, *into, *why; /* into, why: may be "" */
    mskp_constants_report report;    /* without its texts and handles */
} outcome_consumer;

/* All zero: nothing was taken. */
typedef struct outcome {
    size_t layers, consumers, units[2];
    outcome_layer *layer;
    mskp_cost cost[2]; /* of the whole network */
    bool constants;    /* they were given, even if there are no consumers */
    outcome_consumer *consumer;
} outcome;

enum { OUTCOME_TEXT = 256 };
/* How a program calls a value, and why channels of the value stay. Both texts hold what the graph
 * says. */
typedef struct outcome_words {
    void *context;
    void (*words)(void *context, mskp_value value, const mskp_coupling *info,
                  char name[OUTCOME_TEXT], char held[OUTCOME_TEXT]);
} outcome_words;

/* *o <- what this mask leaves of the graph. constants, words: may be NULL. After a failure *o is
 * empty. */
bool outcome_take(outcome *o, const mskp_graph *graph, mskp_mask kept,
                  const mskp_constants *constants, const outcome_words *words, mskp_error *err);
void outcome_free(outcome *o);

/* Pictures and a table: widths, multiply-accumulates and parameters. */
void outcome_show_layers(const outcome *o, page *p);
void outcome_show_constants(const outcome *o, page *p);

#endif
