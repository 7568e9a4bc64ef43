/*
 * Corrects nodes that state how many groups or heads there are: those that stay are as wide as
 * before.
 */
#include "rewrite.h"

bool correct_groups(writer *r)
{
    const tensor *x = net_input(&r->now, r->at, 0), *w = net_input(&r->now, r->at, 1);
    attribute_proto *a = (attribute_proto *)node_attribute(r->at, "group");
    dims y;
    if (!a || a->i <= 1 || !x || !w || !dims_after(r, output_before(r, 0), &y)) return true;
    a->i = is_op(r->at, "ConvTranspose") ? (int64_t)(y.dim[1] / w->dims.dim[1])
                                         : (int64_t)(x->dims.dim[1] / w->dims.dim[1]);
    return true;
}

/* Groups are as wide as before. */
bool correct_group_norm(writer *r)
{
    const tensor *x = net_input(&r->now, r->at, 0), *was = net_input(r->was, r->at, 0);
    attribute_proto *a = (attribute_proto *)node_attribute(r->at, "num_groups");
    if (!a || a->i < 1 || !x || !x->sized || !was->sized || x->dims.rank < 2) return true;
    a->i = (int64_t)(x->dims.dim[1] / (was->dims.dim[1] / (size_t)a->i));
    return true;
}

/* Heads that are part of the last axis are as wide as before. */
bool correct_attention(writer *r)
{
    static const struct {
        const char *name;
        size_t input;
    } HEADS[] = {{"q_num_heads", 0}, {"kv_num_heads", 1}, {"num_heads", 0}};
    for (size_t i = 0; i < sizeof HEADS / sizeof *HEADS; i++) {
        attribute_proto *a = (attribute_proto *)node_attribute(r->at, HEADS[i].name);
        const tensor *x = net_input(&r->now, r->at, HEADS[i].input);
        const tensor *was = net_input(r->was, r->at, HEADS[i].input);
        if (!a || a->i < 1 || !x || !x->sized || !was->sized || x->dims.rank != 3) continue;
        const size_t dim = was->dims.dim[2] / (size_t)a->i;
        if (dim) a->i = (int64_t)(x->dims.dim[2] / dim);
    }
    return true;
}
