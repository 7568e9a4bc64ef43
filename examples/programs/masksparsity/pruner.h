/*
 * What a trainer adds in order to use mskp: this file and pruner.c. Of the trainer's own they need
 * the description of the network (cn_describe) and views of its tensors (cn_values ...), see
 * mskp_convnet.h.
 *
 * A pruner must be all zero at first. On failure functions return false, and the sentence is in
 * *err.
 */
#ifndef MASKSPARSITY_PRUNER_H
#define MASKSPARSITY_PRUNER_H

#include <stdbool.h>

#include "mskp_convnet.h"

typedef struct pruner {
    mskp_graph *graph;
    mskp_plan *plan;                /* of pruner_hand_on */
    mskp_tensors values, gradients; /* views of the network's parameters */
    mskp_scores scores;             /* a work array */
    mskp_mask keep;
    mskp_selection selection; /* what the mask leaves */
    mskp_cost dense, cost;    /* of the network at first, and now */
} pruner;

/* How a penalty reaches the weights. */
typedef enum form {
    FREE,     /* not at all */
    GRADIENT, /* added to the gradients before the optimizer's step */
    PROXIMAL, /* a soft threshold after it */
    DEADLINE, /* a straight line to exactly 0, when no steps are left */
} form;

typedef struct drive {
    form form;
    double strength;
    mskp_penalty penalty;
} drive;

bool pruner_describe(pruner *p, cn_net *net, mskp_error *err);
void pruner_free(pruner *p);

/* What is asked of the mask. */
typedef struct aim {
    double macs;                   /* at most this part of the MACs is left */
    bool filters;                  /* by the norms of the filters, not by gamma */
    mskp_constants_desc constants; /* how constants will be handed on, and what will be zero then */
} aim;

/* Marks what goes. Units that will have to stay in order to carry constants are foreseen, as the
 * values are now, and within the budget. */
bool pruner_select(pruner *p, const aim *a, mskp_error *err);

/* The mask as text, the caller's to free; NULL: no memory. And back. */
char *pruner_mask_text(const pruner *p);
bool pruner_take_mask(pruner *p, const char *text, mskp_error *err);

/* Once in each training step: between backward and the optimizer's step, and after that. */
bool pruner_before_step(const pruner *p, const drive *d, mskp_error *err);
bool pruner_after_step(const pruner *p, const drive *d, double rate, size_t steps_left,
                       mskp_error *err);

/* Zeroes the gamma of the marked units, and hands on what they still put out. Units that stay to
 * carry it are taken from the marked ones. *total: what became of it. */
bool pruner_hand_on(pruner *p, mskp_constants_way way, mskp_constants_report *total,
                    mskp_error *err);

/* Cuts the network and what the optimizer keeps. Afterwards only `cost` is of use. */
bool pruner_cut(pruner *p, cn_net *net, mskp_error *err);

/* To look at what is going on: zeroes slices (MSKP_ROLE_*) of the marked units; the largest of such
 * numbers; the penalty's part of the loss; how many channels of a layer the mask keeps. */
bool pruner_zero_marked(const pruner *p, uint32_t roles, mskp_error *err);
double pruner_largest_marked(const pruner *p, uint32_t roles);
double pruner_loss(const pruner *p, const drive *d);
size_t pruner_channels_kept(const pruner *p, const char *layer);

#endif
