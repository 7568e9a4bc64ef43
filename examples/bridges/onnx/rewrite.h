/*
 * What the files of rewrite_network share: rewrite.c, rewrite_branches.c, rewrite_groups.c,
 * rewrite_mean.c, rewrite_numbers.c, rewrite_places.c, rewrite_shape.c, rewrite_unused.c.
 */
#ifndef ONNX_REWRITE_H
#define ONNX_REWRITE_H

#include "mskp/tools.h"
#include "operators.h"

/* The result of a mean over channels is multiplied by a factor from now on. */
typedef struct mend {
    node_proto *node;
    int32_t type;
    double factor;
} mend;

struct writer {
    net *was; /* the network as described */
    net now;  /* the network as inferred anew */
    const mskp_plan *plan;
    const node_proto *at; /* the node that is being corrected */
    size_t made;          /* new initializers */
    mend *mends;
    size_t mend_count;
};

/* ---- rewrite_numbers.c: what each tensor must be, and new numbers ---- */

/* How many indices of a parameter's declared axis j, and how many channels of a value, stay.
 * length: how many there were, which is returned where the plan does not cut. */
size_t kept_along(const mskp_plan *plan, const weight *w, uint32_t j, size_t length);
size_t width_after(const writer *r, mskp_value value, size_t length);
/* NULL: the tensor has no data that are a parameter of the graph. */
const weight *weight_of(const net *n, const tensor *t);
/* *d <- the shape that the tensor must have after the cut. False: it is not known. */
bool dims_after(const writer *r, const tensor *was, dims *d);
/* Output k of the current node, as it was. */
const tensor *output_before(const writer *r, size_t k);
bool same_dims(const dims *a, const dims *b);
/* Whether the current node, as it is, makes an output of this shape. */
bool makes_dims(writer *r, const dims *want);

/* These change the current node. False: the failure holds the sentence. */
bool no_memory(const writer *r); /* always false */
/* Input k of the node <- a new initializer with these numbers. */
bool set_numbers(writer *r, size_t k, size_t count, const int64_t *list);
bool set_attribute(writer *r, const char *name, size_t count, const int64_t *list);
void remove_attribute(node_proto *node, const char *name);

/* ---- rewrite_places.c ---- */

/* The last node of a shuffle becomes a Gather that does what the three nodes did. */
bool correct_shuffle(writer *r, const shuffle *s);

/* ---- rewrite_mean.c ---- */

/* Adds the products behind means over channels, once all nodes are corrected. */
bool add_mends(writer *r);

/* ---- rewrite_unused.c ---- */
bool remove_unused(writer *r, const lengths *l);

/* ---- rewrite_branches.c ---- */

/* Nodes of branches that vanish are not corrected any more, and remove_unused takes them out. */
bool take_branches(writer *r);
/* Refuses a network in which something still reads a tensor that vanished, such as its shape. */
bool are_taken_out(const writer *r);

#endif
