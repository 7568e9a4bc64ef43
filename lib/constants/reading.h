/* The numbers of parameters, as a walk over the network reads them. */
#ifndef MSKP_CONSTANTS_READING_H
#define MSKP_CONSTANTS_READING_H

#include <stdbool.h>

#include "base/view.h"
#include "mask/vanish.h"
#include "mskp/constants.h"
#include "units/units.h"

/*
 * A walk over the network. Its result is a number for each channel of each value: the channel's
 * constant, or NAN if the channel is live (not constant).
 *
 * The status is kept, as a graph keeps its first error: a function that reads a number returns the
 * number, and if that fails it returns 0 and sets the status and *err. The callers look at the
 * status before they use a result.
 */
typedef struct walker {
    const mskp_graph *graph;
    mskp_tensors values;
    const uint8_t *keep;    /* [units] */
    const vanishing *gone;  /* what vanishes under the mask */
    uint32_t zeroed;        /* roles in which slices of removed units count as zero */
    const uint8_t *carrier; /* [units] 1: a carrier, whose parameters count as what will be written;
                               NULL: there are none */
    size_t *first;          /* [values + 1] where the channels of a value begin in `constant` */
    double *constant;
    tensor_view *views;  /* [params + 1] of those that were read */
    uint8_t *viewed;     /* [params + 1] 1: views has it */
    uint8_t *zero_roles; /* [units] the roles whose slices are all zero, or UNKNOWN_ROLES */
    mskp_status status;
    mskp_error *err;
} walker;

/* Fails with MSKP_ERROR_NO_MEMORY, unless the walk has failed before. Returns the walk's status. */
mskp_status mskpi_walk_no_memory(walker *w);

/* ---- Numbers ---- */

/* What the elements of a slice count as: what is stored, or 0, or 1. */
typedef enum content { STORED, ZERO, ONE } content;
content mskpi_content_of(const walker *w, uint32_t roles, uint32_t unit);

/* *view <- the view of a parameter, whose tensor must have data. */
mskp_status mskpi_walk_view(walker *w, uint32_t param, const tensor_view **view);
/* Returns the element at an address in a parameter whose view was made. */
double mskpi_walk_element(walker *w, uint32_t param, const char *at);
/* Returns the units of an axis, or NULL if the axis is bound to no channels; *roles <- its
 * roles. */
const uint32_t *mskpi_axis_units(const mskp_graph *g, uint32_t param, uint32_t d, uint32_t *roles);
/* Returns element i of a parameter with one axis, or `none` if there is no such parameter. */
double mskpi_walk_vector(walker *w, uint32_t param, size_t i, double none);
/* Whether a slice has an element that is not 0. Only elements count that, on the other axes, are
 * not in zeroed slices, and, if kept_only, in channels that stay. */
bool mskpi_has_nonzero(walker *w, uint32_t param, uint32_t axis, size_t index, bool kept_only);

/* ---- Weights ---- */

/* A weight [out][in / groups][taps] or, transposed, [in][out / groups][taps]; or the rows from
 * first_row on of one that is not transposed. */
typedef struct weight_form {
    size_t out, in, groups, taps, first_row;
    uint32_t transposed; /* 0 or 1, which is also the axis of the outputs */
} weight_form;

typedef struct walk_weight {
    uint32_t param, bias;
    weight_form form;
    const tensor_view *view;
    const uint32_t *units[2]; /* of the first two axes */
    uint32_t roles[2];
    ptrdiff_t *offset; /* [taps] bytes from the first tap to each */
} walk_weight;

/* *x <- the weight of a value's operator. Free it, also after an error. */
mskp_status mskpi_walk_weight(walker *w, uint32_t value, walk_weight *x);
void mskpi_walk_weight_free(const walker *w, walk_weight *x);
/* Returns where a tap of output o and input i is. */
char *mskpi_weight_at(const tensor_view *v, const weight_form *f, size_t o, size_t i, size_t tap);
/* Returns whether output o has a nonzero tap for input i. If so, taps[] <- its taps. */
bool mskpi_load_taps(walker *w, const walk_weight *x, size_t o, size_t i, double *taps);

#endif
