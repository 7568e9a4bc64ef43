/*
 * Takes quantized operators for those that they stand for.
 *
 * QLinearAdd(A, scale, zero, B, scale, zero, scale, zero) adds what the whole numbers A and B stand
 * for, and rounds the sum: to channels it is an Add(A, B). So while the network is described and
 * cut, such a node is an Add in the model itself, and all functions for Add hold. Scales and zero
 * points are kept aside; quantized.c looks at them. Before the model is written, the node is again
 * what it was, with the changes that were made to what both forms have.
 *
 * A node stays as it is if a scale or a zero point is not known from the file (the zero point that
 * a DynamicQuantizeLinear makes is one number, which is all that is needed), if channels are last,
 * or if the operator of the other form counts its axes in another way.
 */
#include "lower.h"

#include <stdlib.h>
#include <string.h>

enum { NONE = UINT8_MAX, OPERANDS = 3 };

typedef struct lower_form {
    const char *op, *domain, *as; /* domain "": that of ONNX */
    uint8_t operands[OPERANDS][3];
    uint8_t count, bias, scale, zero; /* places of the bias, and of what the result has */
    bool many;                        /* further operands follow the first one */
    bool sums;                        /* the result is a sum of whole numbers, of type INT32 */
} lower_form;

static const char MICROSOFT[] = "com.microsoft";

#define ONE {{0, 1, 2}}, 1, NONE, 3, 4, .many = false
#define TWO {{0, 1, 2}, {3, 4, 5}}, 2, NONE, 6, 7, .many = false
#define SUM {{0, NONE, 2}, {1, NONE, 3}}, 2, NONE, NONE, NONE, .sums = true

static const lower_form FORMS[] = {
    {"ConvInteger", "", "Conv", SUM},
    {"MatMulInteger", "", "MatMul", SUM},
    {"QGemm", MICROSOFT, "Gemm", {{0, 1, 2}, {3, 4, 5}}, 2, 6, 7, 8, .many = false},
    {"QLinearAdd", MICROSOFT, "Add", TWO},
    {"QLinearAveragePool", MICROSOFT, "AveragePool", ONE},
    {"QLinearConcat", MICROSOFT, "Concat", {{2, 3, 4}}, 1, NONE, 0, 1, .many = true},
    {"QLinearConv", "", "Conv", {{0, 1, 2}, {3, 4, 5}}, 2, 8, 6, 7, .many = false},
    {"QLinearGlobalAveragePool", MICROSOFT, "GlobalAveragePool", ONE},
    {"QLinearLeakyRelu", MICROSOFT, "LeakyRelu", ONE},
    {"QLinearMatMul", "", "MatMul", TWO},
    {"QLinearMul", MICROSOFT, "Mul", TWO},
    {"QLinearSigmoid", MICROSOFT, "Sigmoid", ONE},
    {"QLinearSoftmax", MICROSOFT, "Softmax", ONE},
    {"QLinearWhere",
     MICROSOFT,
     "Where",
     {{0, NONE, NONE}, {1, 2, 3}, {4, 5, 6}},
     3,
     NONE,
     7,
     8,
     .many = false},
};

static const lower_form *form_of(const node_proto *node)
{
    for (size_t i = 0; i < sizeof FORMS / sizeof *FORMS; i++) {
        const lower_form *f = &FORMS[i];
        if (!node->op_type || strcmp(node->op_type, f->op)) continue;
        if (*f->domain ? node->domain && !strcmp(node->domain, f->domain) : is_op(node, f->op))
            return f;
    }
    return NULL;
}

/* ---- Whether a node can be lowered ---- */

static bool has_input(const node_proto *node, size_t k)
{
    return k < node->n_input && *node->input[k];
}

static const node_proto *maker_of(const net *n, const tensor *t)
{
    const graph_proto *g = n->m->graph;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_output; k++)
            if (net_output(n, g->node[i], k) == t) return g->node[i];
    return NULL;
}

/* Whether a scale or zero point is known, or one number. A node may be without it. */
static bool is_settled(const net *n, const node_proto *node, size_t k)
{
    const tensor *t = k == NONE ? NULL : net_input(n, node, k);
    if (!t || t->data) return true;
    const node_proto *maker = maker_of(n, t);
    return maker && is_op(maker, "DynamicQuantizeLinear");
}

static bool counts_alike(const net *n, const node_proto *node, const lower_form *f)
{
    if (attribute_int(node, "channels_last", 0)) return false;
    if (strcmp(f->as, "Softmax")) return true;
    return (attribute_int(node, "opset", 13) < 13) == (n->m->opset < 13);
}

static bool can_lower(const net *n, const node_proto *node, const lower_form *f)
{
    if (node->n_output != 1 || !counts_alike(n, node, f) || !is_settled(n, node, f->scale) ||
        !is_settled(n, node, f->zero))
        return false;
    if (f->many && (node->n_input < 5 || (node->n_input - 2) % 3)) return false;
    for (size_t k = 0; k < f->count; k++)
        if (!has_input(node, f->operands[k][0]) || !is_settled(n, node, f->operands[k][1]) ||
            !is_settled(n, node, f->operands[k][2]))
            return false;
    for (size_t k = 5; f->many && k < node->n_input; k++)
        if (k % 3 == 2 ? !has_input(node, k) : !is_settled(n, node, k)) return false;
    return true;
}

/* ---- Lowering ---- */

static size_t place(const node_proto *node, uint8_t k)
{
    return k != NONE && has_input(node, k) ? k : NO_INPUT;
}

/* l <- places of the operands, in the order of the lowered node. */
static size_t place_operands(const node_proto *node, struct lowered *l)
{
    const lower_form *f = l->form;
    size_t count = 0;
    for (size_t k = 0; k < f->count; k++)
        l->operand[count++] = (whole_operand){f->operands[k][0], place(node, f->operands[k][1]),
                                              place(node, f->operands[k][2])};
    for (size_t k = 5; f->many && k < node->n_input; k += 3)
        l->operand[count++] = (whole_operand){k, k + 1, k + 2};
    l->result = (whole_operand){NO_INPUT, place(node, f->scale), place(node, f->zero)};
    l->bias = place(node, f->bias) == NO_INPUT ? NO_INPUT : count;
    if (l->bias != NO_INPUT) l->operand[count++] = (whole_operand){f->bias, NO_INPUT, NO_INPUT};
    return count;
}

static int32_t type_of_result(const net *n, const node_proto *node, const struct lowered *l)
{
    if (l->form->sums) return ONNX__TENSOR_PROTO__DATA_TYPE__INT32;
    const tensor *zero = l->result.zero == NO_INPUT ? NULL : net_input(n, node, l->result.zero);
    if (zero && zero->data) return zero->data->data_type;
    return l->result.scale == NO_INPUT ? ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT
                                       : ONNX__TENSOR_PROTO__DATA_TYPE__UINT8;
}

static bool lower(const net *n, node_proto *node, struct lowered *l)
{
    char **input = try_calloc(node->n_input + 1, sizeof *input);
    l->node = node;
    l->operand = try_calloc(node->n_input + 1, sizeof *l->operand);
    if (!input || !l->operand || !model_set_string(&l->as, l->form->as)) {
        free(input);
        free(l->operand);
        free(l->as);
        return false;
    }
    const size_t count = place_operands(node, l);
    l->type = type_of_result(n, node, l);
    l->op_type = node->op_type;
    l->domain = node->domain;
    l->input = node->input;
    l->n_input = node->n_input;
    node->op_type = l->as;
    node->domain = NULL;
    node->input = input;
    node->n_input = count;
    for (size_t k = 0; k < count; k++) {
        input[k] = l->input[l->operand[k].value];
        l->input[l->operand[k].value] = NULL;
    }
    return true;
}

static int by_address(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t)((const struct lowered *)a)->node;
    const uintptr_t y = (uintptr_t)((const struct lowered *)b)->node;
    return (x > y) - (x < y);
}

bool lower_nodes(net *n)
{
    model *m = n->m;
    const graph_proto *g = m->graph;
    size_t count = 0, made = 0;
    for (size_t i = 0; i < g->n_node; i++) count += form_of(g->node[i]) != NULL;
    lower_free(m); /* of an earlier description */
    if (!count) return true;
    m->lowered = try_calloc(count, sizeof *m->lowered);
    bool good = m->lowered != NULL;
    for (size_t i = 0; good && i < g->n_node; i++) {
        const lower_form *f = form_of(g->node[i]);
        if (!f || !can_lower(n, g->node[i], f)) continue;
        struct lowered l = {.form = f, .sums = f->sums};
        good = lower(n, g->node[i], &l);
        if (good) m->lowered[made++] = l;
    }
    m->lowered_count = made;
    if (made) qsort(m->lowered, made, sizeof *m->lowered, by_address);
    return good || fail(n->f, "no memory for quantized nodes");
}

/* ---- Back ---- */

/* The node is the quantized one, and `input` of l has the lowered one's inputs; or the other way
 * round. */
static void exchange(struct lowered *l)
{
    char **input = l->node->input;
    const size_t n_input = l->node->n_input;
    const bool back = l->node->op_type == l->as;
    for (size_t k = 0; l->operand && k < (back ? n_input : l->n_input); k++) {
        char **from = back ? &input[k] : &input[l->operand[k].value];
        char **to = back ? &l->input[l->operand[k].value] : &l->input[k];
        *to = *from;
        *from = NULL;
    }
    l->node->input = l->input;
    l->node->n_input = l->n_input;
    l->input = input;
    l->n_input = n_input;
    l->node->op_type = back ? l->op_type : l->as;
    l->node->domain = back ? l->domain : NULL;
}

static void turn(const model *m, bool back)
{
    for (size_t i = 0; i < m->lowered_count; i++)
        if ((m->lowered[i].node->op_type == m->lowered[i].as) == back) exchange(&m->lowered[i]);
}

void lower_pause(const model *m)
{
    if (!m->raised) turn(m, true);
}

void lower_again(const model *m)
{
    if (!m->raised) turn(m, false);
}

void lower_undo(model *m)
{
    lower_pause(m);
    m->raised = true;
}

void lower_free(model *m)
{
    lower_undo(m);
    for (size_t i = 0; i < m->lowered_count; i++) {
        free(m->lowered[i].input);
        free(m->lowered[i].operand);
        free(m->lowered[i].as);
    }
    free(m->lowered);
    m->lowered = NULL;
    m->lowered_count = 0;
    m->raised = false;
}

/* ---- Asking ---- */

const struct lowered *lowered_node(const model *m, const node_proto *node)
{
    const struct lowered key = {.node = (node_proto *)node};
    if (m->raised || !m->lowered_count) return NULL;
    return bsearch(&key, m->lowered, m->lowered_count, sizeof key, by_address);
}

tensor *lowered_input(const net *n, const struct lowered *l, size_t k)
{
    for (size_t i = 0; k != NO_INPUT && i < l->node->n_input; i++)
        if (l->operand[i].value == k) return net_input(n, l->node, i);
    return k < l->n_input ? net_tensor(n, l->input[k]) : NULL;
}

const char *op_in_file(const model *m, const node_proto *node)
{
    const struct lowered *l = lowered_node(m, node);
    return l ? l->op_type : node->op_type;
}
