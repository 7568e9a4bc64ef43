/*
 * Describes operators that work element by element: functions of one number, and operators that
 * combine several tensors.
 *
 * A table gives each function of one number as an activation of mskp, or as a C function with the
 * attributes that are its parameters. It is used to propagate constants, so it computes what ONNX
 * defines. An operator that combines tensors broadcasts them: the operands are aligned at their
 * last axes, and channels that meet are tied by mskp_combine. Data of the file that have a number
 * for each channel become a parameter, in the role of a shift (Add, Sub) or a scale (Mul, Div).
 */
#include <math.h>
#include <string.h>

#include "describe.h"
#include "lower.h"

/* ---- Functions of one number, as ONNX defines them. They propagate constants. ---- */

static double f_abs(double x, const double *p)
{
    (void)p;
    return fabs(x);
}
static double f_neg(double x, const double *p)
{
    (void)p;
    return -x;
}
static double f_exp(double x, const double *p)
{
    (void)p;
    return exp(x);
}
static double f_sqrt(double x, const double *p)
{
    (void)p;
    return sqrt(x);
}
static double f_erf(double x, const double *p)
{
    (void)p;
    return erf(x);
}
static double f_sin(double x, const double *p)
{
    (void)p;
    return sin(x);
}
static double f_cos(double x, const double *p)
{
    (void)p;
    return cos(x);
}
static double f_floor(double x, const double *p)
{
    (void)p;
    return floor(x);
}
static double f_ceil(double x, const double *p)
{
    (void)p;
    return ceil(x);
}
static double f_softplus(double x, const double *p)
{
    (void)p;
    return x > 30 ? x : log1p(exp(x));
}
static double f_softsign(double x, const double *p)
{
    (void)p;
    return x / (1 + fabs(x));
}
static double f_mish(double x, const double *p)
{
    return x * tanh(f_softplus(x, p));
}
static double f_sign(double x, const double *p)
{
    (void)p;
    return (x > 0) - (x < 0);
}
static double f_clip(double x, const double *p)
{
    return fmin(fmax(x, p[0]), p[1]);
}
static double f_hard_sigmoid(double x, const double *p)
{
    return fmin(fmax(p[0] * x + p[1], 0), 1);
}
static double f_selu(double x, const double *p)
{
    return p[1] * (x > 0 ? x : p[0] * expm1(x));
}
static double f_celu(double x, const double *p)
{
    return x > 0 ? x : p[0] * expm1(x / p[0]);
}
static double f_threshold(double x, const double *p)
{
    return x > p[0] ? x : 0;
}
static double f_swish(double x, const double *p)
{
    return x / (1 + exp(-p[0] * x));
}
static double f_plus(double x, const double *p)
{
    return x + p[0];
}
static double f_from(double x, const double *p)
{
    return p[0] - x;
}
static double f_over(double x, const double *p)
{
    return x / p[0];
}
static double f_reciprocal(double x, const double *p)
{
    (void)p;
    return 1 / x;
}
static double f_power(double x, const double *p)
{
    return pow(x, p[0]);
}
static double f_max(double x, const double *p)
{
    return fmax(x, p[0]);
}
static double f_min(double x, const double *p)
{
    return fmin(x, p[0]);
}

/* Parameters are attributes, with their names and defaults. MSKP_ACTIVATION_CUSTOM without f: the
 * function is not known. */
typedef struct function {
    const char *op;
    mskp_activation_kind kind;
    double (*f)(double x, const double *p);
    struct {
        const char *name;
        double otherwise;
    } parameters[2];
} function;

static const function FUNCTIONS[] = {
    {"Abs", MSKP_ACTIVATION_CUSTOM, f_abs, {{0}}},
    {"Ceil", MSKP_ACTIVATION_CUSTOM, f_ceil, {{0}}},
    {"Celu", MSKP_ACTIVATION_CUSTOM, f_celu, {{"alpha", 1}}},
    {"Cos", MSKP_ACTIVATION_CUSTOM, f_cos, {{0}}},
    {"Elu", MSKP_ACTIVATION_ELU, NULL, {{"alpha", 1}}},
    {"Erf", MSKP_ACTIVATION_CUSTOM, f_erf, {{0}}},
    {"Exp", MSKP_ACTIVATION_CUSTOM, f_exp, {{0}}},
    {"Floor", MSKP_ACTIVATION_CUSTOM, f_floor, {{0}}},
    {"HardSigmoid", MSKP_ACTIVATION_CUSTOM, f_hard_sigmoid, {{"alpha", 0.2}, {"beta", 0.5}}},
    {"HardSwish", MSKP_ACTIVATION_HARD_SWISH, NULL, {{0}}},
    {"LeakyRelu", MSKP_ACTIVATION_LEAKY_RELU, NULL, {{"alpha", 0.01}}},
    {"Mish", MSKP_ACTIVATION_CUSTOM, f_mish, {{0}}},
    {"Neg", MSKP_ACTIVATION_CUSTOM, f_neg, {{0}}},
    {"Reciprocal", MSKP_ACTIVATION_CUSTOM, f_reciprocal, {{0}}},
    {"Relu", MSKP_ACTIVATION_RELU, NULL, {{0}}},
    {"Selu",
     MSKP_ACTIVATION_CUSTOM,
     f_selu,
     {{"alpha", 1.67326319217681884765625}, {"gamma", 1.05070102214813232421875}}},
    {"Sigmoid", MSKP_ACTIVATION_SIGMOID, NULL, {{0}}},
    {"Sign", MSKP_ACTIVATION_CUSTOM, f_sign, {{0}}},
    {"Sin", MSKP_ACTIVATION_CUSTOM, f_sin, {{0}}},
    {"Softplus", MSKP_ACTIVATION_CUSTOM, f_softplus, {{0}}},
    {"Softsign", MSKP_ACTIVATION_CUSTOM, f_softsign, {{0}}},
    {"Sqrt", MSKP_ACTIVATION_CUSTOM, f_sqrt, {{0}}},
    {"Swish", MSKP_ACTIVATION_CUSTOM, f_swish, {{"alpha", 1}}},
    {"Tanh", MSKP_ACTIVATION_TANH, NULL, {{0}}},
    {"ThresholdedRelu", MSKP_ACTIVATION_CUSTOM, f_threshold, {{"alpha", 1}}}};

static bool flow_on(net *n, const node_proto *node, mskp_value value)
{
    const tensor *x = net_input(n, node, 0);
    tensor *y = net_output(n, node, 0);
    set_flow(n, y, value, x->axis);
    y->pinned = x->pinned;
    return true;
}

static bool activate(net *n, const node_proto *node, const mskp_activation_desc *desc)
{
    const tensor *x = net_input(n, node, 0);
    const tensor *y = net_output(n, node, 0);
    return is_flow(x) && flow_on(n, node, mskp_activation(n->graph, value_name(y), x->value, desc));
}

/* One limit of a Clip, from the attribute or the input. False: the limit is not a known number. */
static bool clip_limit(const net *n, const node_proto *node, const char *name, size_t k,
                       double *limit)
{
    if (n->m->opset < 11) {
        *limit = attribute_float(node, name, *limit);
        return true;
    }
    tensor *t = net_input(n, node, k);
    if (!t) return true;
    const numbers *x = known_numbers(n, t);
    if (!x || !x->real || x->count != 1) return false;
    *limit = x->real[0];
    return true;
}

static mskp_activation_desc clip_of(net *n, const node_proto *node)
{
    mskp_activation_desc desc = {
        .kind = MSKP_ACTIVATION_CUSTOM, .function = f_clip, .parameters = {-HUGE_VAL, HUGE_VAL}};
    if (!clip_limit(n, node, "min", 1, &desc.parameters[0]) ||
        !clip_limit(n, node, "max", 2, &desc.parameters[1]) ||
        !(desc.parameters[0] <= desc.parameters[1])) {
        desc.function = NULL;
        desc.parameters[0] = desc.parameters[1] = 0;
    } else {
        desc.parameters[0] = fmax(desc.parameters[0], -1.7e308);
        desc.parameters[1] = fmin(desc.parameters[1], 1.7e308);
    }
    return desc;
}

static mskp_activation_desc function_of(net *n, const node_proto *node)
{
    mskp_activation_desc desc = {.kind = MSKP_ACTIVATION_CUSTOM};
    if (is_op(node, "Clip")) return clip_of(n, node);
    if (is_op(node, "Gelu")) {
        const bool by_tanh = !strcmp(attribute_text(node, "approximate", "none"), "tanh");
        desc.kind = by_tanh ? MSKP_ACTIVATION_GELU_TANH : MSKP_ACTIVATION_GELU;
    }
    for (size_t i = 0; i < sizeof FUNCTIONS / sizeof *FUNCTIONS; i++) {
        const function *f = &FUNCTIONS[i];
        if (!is_op(node, f->op)) continue;
        desc.kind = f->kind;
        desc.function = f->f;
        for (size_t k = 0; k < 2 && f->parameters[k].name; k++)
            desc.parameters[k] =
                attribute_float(node, f->parameters[k].name, f->parameters[k].otherwise);
        /* A parameter of 0 means a default to mskp. */
        if (!f->f && f->parameters[0].name && !(fabs(desc.parameters[0]) > 0))
            desc = (mskp_activation_desc){.kind = MSKP_ACTIVATION_CUSTOM};
    }
    return desc;
}

bool describe_function(net *n, const node_proto *node)
{
    const mskp_activation_desc desc = function_of(n, node);
    return activate(n, node, &desc);
}

bool describe_reciprocal(net *n, const node_proto *node)
{
    return sign_of(n, net_input(n, node, 0)) == POSITIVE && describe_function(n, node);
}

/* The result is zero if the operand is and the function is 0 at 0. */
bool zero_function(net *n, const node_proto *node)
{
    const mskp_activation_desc desc = function_of(n, node);
    if (!zero_same(n, node)) return false;
    if (desc.kind != MSKP_ACTIVATION_CUSTOM) return desc.kind != MSKP_ACTIVATION_SIGMOID;
    return desc.function && !(fabs(desc.function(0, desc.parameters)) > 0);
}

bool describe_identity(net *n, const node_proto *node)
{
    tensor *training = is_op(node, "Dropout") ? net_input(n, node, 2) : NULL;
    const numbers *on = training ? known_numbers(n, training) : NULL;
    mskp_activation_desc desc = {.kind = MSKP_ACTIVATION_IDENTITY};
    tensor *mask = net_output(n, node, 1);
    if (training && !(on && on->whole && on->count == 1 && !on->whole[0])) {
        const numbers *ratio =
            net_input(n, node, 1) ? known_numbers(n, net_input(n, node, 1)) : NULL;
        if (!ratio || !ratio->real || ratio->count != 1 || ratio->real[0] > 0)
            desc.kind = MSKP_ACTIVATION_CUSTOM;
    }
    if (is_op(node, "Cast")) {
        const int64_t to = attribute_int(node, "to", 0);
        if (to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT &&
            to != ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE &&
            to != ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 &&
            to != ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16)
            desc.kind = MSKP_ACTIVATION_CUSTOM;
    }
    const tensor *y = net_output(n, node, 0);
    if (is_op(node, "CastLike") && !(y->type && y->type == net_input(n, node, 0)->type))
        desc.kind = MSKP_ACTIVATION_CUSTOM; /* perhaps to whole numbers */
    if (mask && mask->uses) return false;
    return activate(n, node, &desc);
}

/* ---- Operators on several tensors ---- */

/* The operands of a node, as far as they are known. */
typedef struct operands {
    dims out;
    size_t axis; /* of the channels, in the result */
    size_t channels;
    const char *pinned; /* why all operands that flow are pinned; NULL: they are not */
    mskp_value values[64];
    size_t count;
    double scalar;
    size_t scalars, scalar_at;
    bool vague; /* the result also depends on something other than a number for each channel */
} operands;

/* The axis of an operand that is aligned with axis `axis` of the result; NO_AXIS: the operand has
 * too few axes. */
static size_t aligned(const dims *in, size_t rank, size_t axis)
{
    return axis + in->rank >= rank ? axis + in->rank - rank : NO_AXIS;
}

/* The same shape with as many axes as the result. */
static dims widened(const dims *in, size_t rank)
{
    dims d = {.rank = rank};
    for (size_t k = 0; k < rank; k++) {
        const size_t i = aligned(in, rank, k);
        d.dim[k] = i == NO_AXIS ? 1 : in->dim[i];
    }
    return d;
}

/* The spatial axes of an operand, so that its positions are aligned with those of the result. */
static uint32_t operand_layout(const net *n, const dims *in, const operands *o,
                               size_t spatial[MSKP_MAX_SPATIAL])
{
    const dims wide = widened(in, o->out.rank);
    if (is_image(n, &o->out, o->axis)) return layout(n, &wide, o->axis, spatial);
    for (size_t k = 0; k < wide.rank; k++)
        if (k != o->axis && wide.dim[k] != 1) return layout(n, &o->out, o->axis, spatial);
    return 0;
}

/* Whether all that flows is one number, which has no channels. */
static bool is_number(const net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_input; k++) {
        const tensor *t = net_input(n, node, k);
        if (is_flow(t) && product_of(&t->dims, 0, t->dims.rank) != 1) return false;
    }
    return true;
}

/* Data that are combined with one number that flows (scales of a layer with the scale of what it
 * reads) have the channels of the result, on the last axis. */
static void choose_axis_of_data(const net *n, const node_proto *node, operands *o)
{
    if (!o->out.rank || !is_number(n, node)) return;
    for (size_t k = 0; k < node->n_input; k++) {
        const tensor *t = net_input(n, node, k);
        if (!t || !t->data || !t->dims.rank || t->dims.dim[t->dims.rank - 1] < 2) continue;
        o->axis = o->out.rank - 1;
        o->pinned = NULL;
    }
}

/* The axis of channels is that of the first operand whose channels may be removed. Channels of
 * other operands on another axis stay. */
static bool choose_axis(net *n, const node_proto *node, operands *o)
{
    const size_t rank = o->out.rank;
    o->axis = NO_AXIS;
    for (size_t k = 0; k < node->n_input; k++) {
        tensor *t = net_input(n, node, k);
        if (!is_flow(t) || t->pinned) continue;
        const size_t axis = t->axis + rank - t->dims.rank;
        if (o->axis == NO_AXIS || t->dims.dim[t->axis] > 1) {
            if (o->axis == NO_AXIS) {
                o->axis = axis;
                continue;
            }
        }
        if (axis != o->axis) pin(n, t, node->op_type);
    }
    for (size_t k = 0; k < node->n_input && o->axis == NO_AXIS; k++) {
        const tensor *t = net_input(n, node, k);
        if (!is_flow(t)) continue;
        if (!o->pinned) o->pinned = t->pinned;
        if (t->axis < t->dims.rank) o->axis = t->axis + rank - t->dims.rank;
    }
    if (o->axis == NO_AXIS) choose_axis_of_data(n, node, o);
    o->channels = o->axis == NO_AXIS ? 1 : o->out.dim[o->axis];
    return true;
}

static void add_value(operands *o, mskp_value value)
{
    if (o->count < sizeof o->values / sizeof *o->values)
        o->values[o->count++] = value;
    else
        o->vague = true;
}

static bool add_flow(net *n, const node_proto *node, tensor *t, operands *o)
{
    const size_t at = aligned(&t->dims, o->out.rank, o->axis);
    size_t spatial[MSKP_MAX_SPATIAL];
    const uint32_t ns = operand_layout(n, &t->dims, o, spatial);
    if (o->count == sizeof o->values / sizeof *o->values) {
        pin(n, t, node->op_type);
        o->vague = true;
        return false;
    }
    const mskp_value value =
        at != NO_AXIS ? channels_on(n, t, at) : new_pinned(n, "constant", 1, ns, spatial);
    add_value(o, fit_to(n, value, ns, spatial));
    return true;
}

/* Adds data with one or several numbers for each channel as a parameter. */
static bool add_data(net *n, const node_proto *node, size_t k, uint32_t roles, operands *o)
{
    const tensor *t = net_input(n, node, k);
    size_t axes[MAX_RANK], count = 0, which = 0, spatial[MSKP_MAX_SPATIAL];
    const size_t at = aligned(&t->dims, o->out.rank, o->axis);
    for (size_t axis = 0; axis < t->dims.rank; axis++) {
        if (t->from[axis] == NO_AXIS || (t->dims.dim[axis] == 1 && axis != at)) continue;
        if (axis == at) which = count;
        axes[count++] = axis;
    }
    if (t->from[at] == NO_AXIS || count > MSKP_MAX_DIMS) return false;
    if (is_op(node, "Div") && k && is_shared(t)) return false; /* another reader may set it to 0 */
    const mskp_param param = take_param(n, node, k, count, axes);
    if (!param.id) return false;
    pin_axes(n, t, param, UINT32_C(1) << which);
    const uint32_t ns = operand_layout(n, &t->dims, o, spatial);
    add_value(o, mskp_param_operand(n->graph, NULL, param, (uint32_t)which, roles, ns, spatial));
    return true;
}

static void pin_flows(net *n, const node_proto *node)
{
    for (size_t k = 0; k < node->n_input; k++) pin(n, net_input(n, node, k), node->op_type);
}

/* Adds an operand that does not flow. */
static void add_other(net *n, const node_proto *node, size_t k, uint32_t roles, operands *o)
{
    tensor *t = net_input(n, node, k);
    const size_t at = aligned(&t->dims, o->out.rank, o->axis);
    const size_t length = o->axis == NO_AXIS || at == NO_AXIS ? 1 : t->dims.dim[at];
    const numbers *x = known_numbers(n, t);
    const bool rounded = lowered_node(n->m, node) != NULL; /* then x stands for another number */
    if (length == 1 && x && x->count == 1 && (x->real || x->whole) && !rounded) {
        o->scalar = x->real ? x->real[0] : (double)x->whole[0];
        o->scalar_at = k;
        o->scalars++;
    } else if (length == 1) {
        o->vague = true;
    } else if (!t->data || !add_data(n, node, k, roles, o)) {
        pin_flows(n, node);
        o->vague = true;
    }
}

static uint32_t roles_of(const node_proto *node, size_t k)
{
    if (is_op(node, "Mul")) return MSKP_ROLE_SCALE;
    if (is_op(node, "Add") || is_op(node, "Sub") || is_op(node, "Sum")) return MSKP_ROLE_SHIFT;
    return is_op(node, "Div") && !k ? MSKP_ROLE_SCALE : MSKP_ROLE_OTHER;
}

static bool gather_operands(net *n, const node_proto *node, operands *o)
{
    *o = (operands){.out = net_output(n, node, 0)->dims};
    if (node->n_output != 1) return false;
    choose_axis(n, node, o);
    if (o->axis == NO_AXIS) return true; /* everything that flows is pinned and has no axis */
    for (size_t k = 0; k < node->n_input; k++) {
        tensor *t = net_input(n, node, k);
        if (!t) return false;
        if (is_flow(t))
            add_flow(n, node, t, o);
        else
            add_other(n, node, k, roles_of(node, k), o);
    }
    return o->count > 0;
}

/* The operator as a function of one number, if its other operand is one known number. */
static bool by_number(const node_proto *node, const operands *o, mskp_activation_desc *desc)
{
    const bool second = o->scalar_at == 1;
    const double c = o->scalar;
    desc->kind = MSKP_ACTIVATION_CUSTOM;
    desc->parameters[0] = c;
    if (is_op(node, "Add") || is_op(node, "Sum"))
        desc->function = f_plus;
    else if (is_op(node, "Sub"))
        desc->function = second ? f_plus : f_from;
    else if (is_op(node, "Max"))
        desc->function = f_max;
    else if (is_op(node, "Min"))
        desc->function = f_min;
    else if (is_op(node, "Pow") && second)
        desc->function = f_power;
    else if (is_op(node, "Div") && second)
        desc->function = f_over;
    else if (is_op(node, "Mul"))
        desc->kind = MSKP_ACTIVATION_MULTIPLY;
    else
        return false;
    if (is_op(node, "Sub") && second) desc->parameters[0] = -c;
    return isfinite(c);
}

static bool finish(net *n, const node_proto *node, const operands *o, bool exact,
                   mskp_combine_kind kind)
{
    tensor *y = net_output(n, node, 0);
    mskp_activation_desc desc = {.kind = MSKP_ACTIVATION_CUSTOM};
    const char *name = value_name(y);
    if (o->axis == NO_AXIS) {
        set_pinned(n, y, o->pinned);
        return true;
    }
    const bool vague = !exact || o->vague || o->scalars > 1 || (o->scalars && o->count > 1);
    mskp_value value = o->values[0];
    size_t channels = 0;
    if (o->count == 1) mskp_value_shape(n->graph, value, &channels, NULL);
    if (o->count == 1 && channels != o->channels) { /* what has the others is not known */
        pin_flows(n, node);
        set_pinned(n, y, node->op_type);
        return true;
    }
    if (o->count > 1)
        value = mskp_combine(n->graph, vague ? NULL : name, kind, o->count, o->values);
    if (vague || (o->scalars && !by_number(node, o, &desc)))
        desc = (mskp_activation_desc){.kind = MSKP_ACTIVATION_CUSTOM};
    if (vague || o->scalars) value = mskp_activation(n->graph, name, value, &desc);
    set_flow(n, y, value, o->axis);
    y->pinned = o->pinned;
    return true;
}

/* Pins divisors that may not be positive, and bases of powers that may be negative, because they
 * must not become 0. */
static void pin_divisors(net *n, const node_proto *node)
{
    tensor *power = is_op(node, "Pow") ? net_input(n, node, 1) : NULL;
    const numbers *x = power ? known_numbers(n, power) : NULL;
    tensor *divisor = is_op(node, "Div") ? net_input(n, node, 1) : NULL;
    if (divisor && sign_of(n, divisor) != POSITIVE) pin(n, divisor, node->op_type);
    if (power && !(x && x->real && x->count == 1 && x->real[0] > 0) &&
        !(x && x->whole && x->count == 1 && x->whole[0] > 0))
        pin_flows(n, node);
}

bool describe_combine(net *n, const node_proto *node)
{
    static const struct {
        const char *op;
        mskp_combine_kind kind;
    } KINDS[] = {{"Add", MSKP_COMBINE_ADD},      {"Sub", MSKP_COMBINE_SUBTRACT},
                 {"Mul", MSKP_COMBINE_MULTIPLY}, {"Max", MSKP_COMBINE_MAXIMUM},
                 {"Min", MSKP_COMBINE_MINIMUM},  {"Sum", MSKP_COMBINE_ADD},
                 {"Mean", MSKP_COMBINE_AVERAGE}, {"Div", MSKP_COMBINE_DIVIDE}};
    mskp_combine_kind kind = MSKP_COMBINE_ADD;
    bool exact = false;
    operands o;
    for (size_t i = 0; i < sizeof KINDS / sizeof *KINDS; i++)
        if (is_op(node, KINDS[i].op)) {
            kind = KINDS[i].kind;
            exact = true;
        }
    pin_divisors(n, node);
    if (is_op(node, "Pow") && net_input(n, node, 1) && !is_flow(net_input(n, node, 1)))
        exact = true;
    return gather_operands(n, node, &o) && finish(n, node, &o, exact, kind);
}

/* Whether operand k is zero in a channel that may be removed, once all slices of the channel's unit
 * are zero. */
static bool operand_is_zero(net *n, const node_proto *node, size_t k)
{
    tensor *t = net_input(n, node, k);
    const tensor *y = net_output(n, node, 0);
    const size_t at = t ? aligned(&t->dims, y->dims.rank, y->axis) : NO_AXIS;
    const bool along = at != NO_AXIS && t->dims.dim[at] == y->dims.dim[y->axis];
    const numbers *x = t && !is_flow(t) ? known_numbers(n, t) : NULL;
    if (!t) return false;
    if (is_flow(t)) return along && t->axis == at && is_zeroable(t);
    if (x && x->real && x->count == 1) return !(fabs(x->real[0]) > 0);
    /* The operand is a vector that belongs to the unit and is zeroed with it. */
    return t->data && along && y->dims.dim[y->axis] > 1 && roles_of(node, k) != MSKP_ROLE_OTHER;
}

bool zero_combine(net *n, const node_proto *node)
{
    const bool product = is_op(node, "Mul"), power = is_op(node, "Pow"), ratio = is_op(node, "Div");
    size_t zeros = 0;
    for (size_t k = 0; k < node->n_input; k++) zeros += operand_is_zero(n, node, k);
    if (product) return zeros > 0;
    if (ratio || power)
        return operand_is_zero(n, node, 0); /* divisors are not 0, and exponents are positive */
    return zeros == node->n_input;
}

bool describe_elementwise(net *n, const node_proto *node)
{
    operands o;
    return gather_operands(n, node, &o) && finish(n, node, &o, false, MSKP_COMBINE_ADD);
}

bool describe_prelu(net *n, const node_proto *node)
{
    tensor *x = net_input(n, node, 0), *y = net_output(n, node, 0);
    const tensor *slope = net_input(n, node, 1);
    mskp_param param;
    if (!slope || !slope->data || !is_flow(x)) return false;
    const size_t elements = tensor_elements(slope->data);
    const size_t axis = x->axis,
                 at = axis == NO_AXIS ? NO_AXIS : aligned(&slope->dims, x->dims.rank, axis);
    if (slope->dims.rank > x->dims.rank || (elements > 1 && at == NO_AXIS)) return false;
    if (elements > 1 && slope->dims.dim[at] != elements) return describe_elementwise(n, node);
    if (!take_vector(n, node, 1, elements, &param)) return false;
    set_flow(n, y, mskp_prelu(n->graph, value_name(y), x->value, param), axis);
    y->pinned = x->pinned;
    return true;
}

/* Whether each number is one of a kind; a zero is of no such kind. */
bool describe_question(net *n, const node_proto *node)
{
    return is_flow(net_input(n, node, 0)) && pass_channels(n, node, false);
}
