/* A walk, and the numbers of parameters as it reads them. */
#ifndef MSKP_CONSTANTS_READING_H
#define MSKP_CONSTANTS_READING_H

#include "base/view.h"
#include "mskp/constants.h"
#include "units/units.h"

/* Each channel of each value is constant, or live: NAN. */
typedef struct walker {
    const mskp_graph *graph;
    mskp_tensors values;
    const uint8_t *keep;
    uint32_t zeroed;        /* these slices of what leaves are taken for zero */
    const uint8_t *carrier; /* [units]: emits 1, not what it would; NULL: none does */
    size_t *first;          /* [values + 1] where a value's channels are */
    double *constant;
    tensor_view *views; /* [params + 1] of those that were read */
    uint8_t *viewed;
    uint8_t *zero_roles; /* [units] roles whose slices are all zero; UNKNOWN_ROLES: not looked at */
    mskp_status status;
    mskp_error *err;
} walker;

/* A weight [out][in / groups][taps] or, transposed, [in][out / groups][taps]; or rows of one, from
 * first_row on. */
typedef struct weight_form {
    size_t out, in, groups, taps, first_row;
    uint32_t transposed; /* also: which axis the outputs are on */
} weight_form;

typedef struct walk_weight {
    uint32_t param, bias;
    weight_form form;
    const tensor_view *view;
    const uint32_t *units[2]; /* by axis */
    uint32_t roles[2];
    ptrdiff_t *offset; /* [taps], in bytes */
} walk_weight;

typedef enum stand { AS_IT_IS, ZERO, ONE } stand;

/* What stands in a slice: of these roles, of this unit. */
stand mskpi_stands(const walker *w, uint32_t roles, uint32_t unit);
/* NULL: it cannot be read, and the walk has failed. */
const tensor_view *mskpi_walk_view(walker *w, uint32_t param);
double mskpi_walk_element(walker *w, uint32_t param, const char *at);
/* The units on an axis, and its roles. NULL: bound to no channels. */
const uint32_t *mskpi_axis_units(const mskp_graph *g, uint32_t param, uint32_t d, uint32_t *roles);
/* Element i of a vector; `none` where there is no such parameter. */
double mskpi_walk_vector(walker *w, uint32_t param, size_t i, double none);
/* Has a slice an element that is not 0? With `staying`, where the other axes' channels stay. */
int mskpi_slice_heard(walker *w, uint32_t param, uint32_t axis, size_t index, int staying);

mskp_status mskpi_walk_weight(walker *w, uint32_t value, walk_weight *x);
void mskpi_walk_weight_free(const walker *w, walk_weight *x);
/* Where a tap of output o and input i of a weight is. */
char *mskpi_weight_at(const tensor_view *v, const weight_form *f, size_t o, size_t i, size_t tap);
/* taps <- those of one output and one input channel. Returns whether one is not 0. */
int mskpi_walk_taps(walker *w, const walk_weight *x, size_t o, size_t i, double *taps);
/* Has a slice an element that is not 0, where the other axes' channels stay? */
int mskpi_walk_heard(walker *w, uint32_t param, uint32_t axis, size_t index);

#endif
