/*
 * Infers the shapes of the outputs of operators that are not described, and so pin all channels
 * that they read (recurrent layers, Einsum, TopK ...). With these shapes, the nodes behind them
 * can be described.
 */
#include <string.h>

#include "infer.h"

/* ---- Recurrent layers ---- */

/* Outputs: Y [steps, directions, batch, hidden], or [batch, steps, directions, hidden]; then the
 * last states. */
bool infer_recurrent(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0), *w = in_dims(n, node, 2); /* w: [directions, .., hidden] */
    const bool batch_first = attribute_int(node, "layout", 0) != 0;
    if (!x || !w || x->rank != 3 || w->rank != 3) return false;
    for (size_t k = 0; k < node->n_output; k++) {
        dims *y = &out[k];
        *y = (dims){.rank = k ? 3 : 4};
        const size_t directions = k ? batch_first : 1 + batch_first;
        const size_t batch = batch_first ? 0 : y->rank - 2;
        copy_axis(y, batch, x, !batch_first);
        if (!k) copy_axis(y, batch_first, x, batch_first);
        copy_axis(y, directions, w, 0);
        copy_axis(y, y->rank - 1, w, 2);
    }
    return true;
}

/* ---- Einsum ---- */

enum { LETTERS = 'z' + 1 };

/* term <- a term of an Einsum's equation ("bij"); *text is then behind the term. False: the term
 * has other characters than letters. */
static bool read_term(const char **text, char term[MAX_RANK + 1])
{
    size_t used = 0;
    for (; **text && **text != ',' && **text != '-'; ++*text) {
        const char c = **text;
        if (c == ' ') continue;
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) || used == MAX_RANK) return false;
        term[used++] = c;
    }
    term[used] = 0;
    return true;
}

/* The result's term of an equation without an arrow: the letters that occur once, in alphabetical
 * order. */
static bool implied_term(const size_t uses[LETTERS], char term[MAX_RANK + 1])
{
    size_t used = 0;
    for (size_t c = 'A'; c < LETTERS; c++) {
        if (uses[c] != 1) continue;
        if (used == MAX_RANK) return false;
        term[used++] = (char)c;
    }
    term[used] = 0;
    return true;
}

bool infer_einsum(net *n, const node_proto *node, dims *out)
{
    const attribute_proto *equation = node_attribute(node, "equation");
    char buffer[128] = "";
    const char *text = buffer;
    const dims *of[LETTERS] = {0};
    size_t axis[LETTERS] = {0}, uses[LETTERS] = {0};
    char term[MAX_RANK + 1];
    if (!equation || !equation->has_s || equation->s.len >= sizeof buffer) return false;
    memcpy(buffer, equation->s.data, equation->s.len);
    for (size_t k = 0; k < node->n_input; k++) {
        const dims *in = in_dims(n, node, k);
        if (!in || !read_term(&text, term) || strlen(term) != in->rank) return false;
        for (size_t i = 0; i < in->rank; i++) {
            const size_t c = (unsigned char)term[i];
            uses[c]++;
            if (of[c] && (of[c]->dim[axis[c]] != 1 || in->dim[i] == 1)) continue;
            of[c] = in;
            axis[c] = i;
        }
        if (k + 1 < node->n_input && *text++ != ',') return false;
    }
    if (!*text) {
        if (!implied_term(uses, term)) return false;
    } else {
        if (text[0] != '-' || text[1] != '>') return false;
        text += 2;
        if (!read_term(&text, term) || *text) return false;
    }
    *out = (dims){.rank = strlen(term)};
    for (size_t i = 0; i < out->rank; i++) {
        const size_t c = (unsigned char)term[i];
        if (!of[c]) return false;
        copy_axis(out, i, of[c], axis[c]);
    }
    return true;
}

/* ---- Indices, and elements by index ---- */

bool infer_arg(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    size_t axis;
    if (!x || !to_axis(attribute_int(node, "axis", 0), x->rank, &axis)) return false;
    *out = (dims){0};
    for (size_t k = 0; k < x->rank; k++) {
        if (k != axis)
            copy_axis(out, out->rank++, x, k);
        else if (attribute_int(node, "keepdims", 1))
            set_axis(out, out->rank++, 1, false);
    }
    return true;
}

/* The whole numbers, their scale and their zero point. */
bool infer_dynamic_quantize(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    if (!x) return false;
    out[0] = *x;
    return true;
}

bool infer_top(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    tensor *t = net_input(n, node, 1);
    const numbers *count = t ? known_numbers(n, t) : NULL;
    size_t axis;
    if (!x || !count || !count->whole || count->count != 1 || count->whole[0] < 1 ||
        !to_axis(attribute_int(node, "axis", -1), x->rank, &axis) ||
        (uint64_t)count->whole[0] > x->dim[axis])
        return false;
    for (size_t k = 0; k < node->n_output; k++) {
        out[k] = *x;
        set_axis(&out[k], axis, (size_t)count->whole[0], count->varies ? count->varies[0] : 0);
    }
    return true;
}

bool infer_gather_elements(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0), *i = in_dims(n, node, 1);
    if (!x || !i || x->rank != i->rank) return false;
    *out = *i;
    return true;
}

bool infer_gather_nd(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0), *i = in_dims(n, node, 1);
    const int64_t batch = attribute_int(node, "batch_dims", 0);
    if (!x || !i || !i->rank || i->varies[i->rank - 1] || batch < 0 || (uint64_t)batch >= i->rank)
        return false;
    const size_t first = (size_t)batch + i->dim[i->rank - 1];
    if (first > x->rank || i->rank - 1 + x->rank - first > MAX_RANK) return false;
    *out = (dims){0};
    for (size_t k = 0; k + 1 < i->rank; k++) copy_axis(out, out->rank++, i, k);
    for (size_t k = first; k < x->rank; k++) copy_axis(out, out->rank++, x, k);
    return true;
}

bool infer_grid_sample(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0), *grid = in_dims(n, node, 1);
    if (!x || !grid || x->rank != grid->rank || x->rank < 3) return false;
    *out = *x;
    for (size_t k = 2; k < x->rank; k++) copy_axis(out, k, grid, k - 1);
    return true;
}

/* The opposite of a pooling without padding at the ends, unless the shape is given. */
bool infer_unpool(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    tensor *t = net_input(n, node, 2);
    const numbers *given = t ? known_numbers(n, t) : NULL;
    window w;
    if (!x || x->rank < 3 || !node_window(node, x, NULL, &w)) return false;
    if (t && (!given || !given->whole || given->count != x->rank)) return false;
    *out = *x;
    for (size_t k = 0; given && k < x->rank; k++) {
        if (given->whole[k] < 1) return false;
        set_axis(out, k, (size_t)given->whole[k], given->varies ? given->varies[k] : 0);
    }
    for (size_t k = 2; !given && k < x->rank; k++) {
        const size_t i = k - 2, all = (x->dim[k] - 1) * w.stride[i] + w.size[i];
        const size_t pads = w.before[i] + w.after[i];
        if (pads >= all) return false;
        set_axis(out, k, all - pads, x->varies[k]);
    }
    return true;
}

/* ---- Attention, deformed convolutions, one-hot vectors ---- */

/* Outputs: the result, then the keys and values that a next call would read. Those are not known if
 * there are earlier ones. */
bool infer_attention(net *n, const node_proto *node, dims *out)
{
    const dims *q = in_dims(n, node, 0), *k = in_dims(n, node, 1), *v = in_dims(n, node, 2);
    const int64_t heads = attribute_int(node, "q_num_heads", 0);
    const int64_t groups = attribute_int(node, "kv_num_heads", 0);
    if (!q || !k || !v || q->rank != k->rank || q->rank != v->rank || node->n_output != 1)
        return false;
    *out = *q;
    if (q->rank == 4) {
        copy_axis(out, 3, v, 3);
        return true;
    }
    if (q->rank != 3 || heads < 1 || groups < 1 || heads > 65536 || v->dim[2] % (size_t)groups)
        return false;
    set_axis(out, 2, v->dim[2] / (size_t)groups * (size_t)heads, v->varies[2]);
    return true;
}

bool infer_deform_conv(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0), *w = in_dims(n, node, 1), *offset = in_dims(n, node, 2);
    if (!x || !w || !offset || x->rank < 3 || w->rank != x->rank || offset->rank != x->rank)
        return false;
    *out = *x;
    copy_axis(out, 1, w, 0);
    for (size_t k = 2; k < x->rank; k++) copy_axis(out, k, offset, k);
    return true;
}

bool infer_one_hot(net *n, const node_proto *node, dims *out)
{
    const dims *x = in_dims(n, node, 0);
    tensor *t = net_input(n, node, 1);
    const numbers *depth = t ? known_numbers(n, t) : NULL;
    size_t axis;
    if (!x || !depth || depth->count != 1 || x->rank == MAX_RANK ||
        !to_axis(attribute_int(node, "axis", -1), x->rank + 1, &axis))
        return false;
    const double length = depth->whole ? (double)depth->whole[0] : depth->real[0];
    if (!(length >= 1) || length > INT32_MAX) return false;
    *out = (dims){.rank = x->rank + 1};
    for (size_t k = 0; k < out->rank; k++) {
        if (k == axis)
            set_axis(out, k, (size_t)length, depth->varies ? depth->varies[0] : 0);
        else
            copy_axis(out, k, x, k - (k > axis));
    }
    return true;
}
