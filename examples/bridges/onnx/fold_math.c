/*
 * Operators on known numbers that compute: element by element, with broadcasting; Range; sums and
 * other reductions. The table at the end has a row for each operator. Whole numbers are computed
 * in 64 bits with a check for overflow, real numbers in double precision; the result is then
 * rounded to the type of the operator's output.
 */
#include "fold_inner.h"

#include <math.h>
#include <string.h>

/* ---- whole numbers; false: there is no result ---- */

static bool whole_add(int64_t a, int64_t b, int64_t *to)
{
    return !__builtin_add_overflow(a, b, to);
}

static bool whole_sub(int64_t a, int64_t b, int64_t *to)
{
    return !__builtin_sub_overflow(a, b, to);
}

static bool whole_mul(int64_t a, int64_t b, int64_t *to)
{
    return !__builtin_mul_overflow(a, b, to);
}

static bool whole_div(int64_t a, int64_t b, int64_t *to)
{
    if (!b || (a == INT64_MIN && b == -1)) return false;
    *to = a / b;
    return true;
}

static bool whole_rem(int64_t a, int64_t b, int64_t *to)
{
    if (!b) return false;
    *to = b == -1 ? 0 : a % b;
    return true;
}

/* The remainder with the sign of b. */
static bool whole_mod(int64_t a, int64_t b, int64_t *to)
{
    if (!whole_rem(a, b, to)) return false;
    if (*to && (*to < 0) != (b < 0)) *to += b;
    return true;
}

/* With a negative exponent, the power of 1 is 1, of -1 is 1 or -1, and of all other bases 0. */
static bool whole_pow(int64_t a, int64_t b, int64_t *to)
{
    *to = 1;
    if (a == 1) return true;
    if (a == -1) {
        *to = b % 2 ? -1 : 1;
        return true;
    }
    if (b < 0) {
        *to = 0;
        return a != 0;
    }
    for (;;) {
        if (b & 1 && !whole_mul(*to, a, to)) return false;
        b >>= 1;
        if (!b) return true;
        if (!whole_mul(a, a, &a)) return false;
    }
}

#define WHOLE(name, expression)                                 \
    static bool whole_##name(int64_t a, int64_t b, int64_t *to) \
    {                                                           \
        *to = (expression);                                     \
        return true;                                            \
    }

WHOLE(min, a < b ? a : b)
WHOLE(max, a > b ? a : b)
WHOLE(and, a &&b)
WHOLE(or, a || b)
WHOLE(xor, a != b)
WHOLE(equal, a == b)
WHOLE(less, a < b)
WHOLE(less_equal, a <= b)
WHOLE(greater, a > b)
WHOLE(greater_equal, a >= b)

static int64_t whole_clamp(int64_t a, int64_t least, int64_t most)
{
    const int64_t up = a < least ? least : a;
    return up > most ? most : up;
}

static bool whole_neg(int64_t a, int64_t *to)
{
    return whole_sub(0, a, to);
}

static bool whole_abs(int64_t a, int64_t *to)
{
    return whole_mul(a, a < 0 ? -1 : 1, to);
}

static bool whole_sign(int64_t a, int64_t *to)
{
    *to = (a > 0) - (a < 0);
    return true;
}

static bool whole_not(int64_t a, int64_t *to)
{
    *to = !a;
    return true;
}

/* ---- real numbers ---- */

#define REAL(name, expression)                    \
    static double real_##name(double a, double b) \
    {                                             \
        return expression;                        \
    }

REAL(add, a + b)
REAL(sub, a - b)
REAL(mul, (a * b))
REAL(div, a / b)
REAL(min, isnan(a) || a < b ? a : b)
REAL(max, isnan(a) || a > b ? a : b)
REAL(equal, a == b)
REAL(less, a < b)
REAL(less_equal, a <= b)
REAL(greater, a > b)
REAL(greater_equal, a >= b)

static double real_neg(double a)
{
    return -a;
}

static double real_reciprocal(double a)
{
    return 1 / a;
}

static double real_sign(double a)
{
    return isnan(a) ? a : (a > 0) - (a < 0);
}

static double leaky_relu(double x, double alpha, double beta)
{
    (void)beta;
    return x < 0 ? alpha * x : x;
}

static double elu(double x, double alpha, double beta)
{
    (void)beta;
    return x < 0 ? alpha * expm1(x) : x;
}

static double celu(double x, double alpha, double beta)
{
    (void)beta;
    return x < 0 ? alpha * expm1(x / alpha) : x;
}

static double thresholded(double x, double alpha, double beta)
{
    (void)beta;
    return x > alpha ? x : 0;
}

static double hard_sigmoid(double x, double alpha, double beta)
{
    return fmin(fmax(alpha * x + beta, 0), 1);
}

static double swish(double x, double alpha, double beta)
{
    (void)beta;
    return x / (1 + exp(-alpha * x));
}

static double selu(double x, double alpha, double gamma)
{
    return gamma * (x > 0 ? x : alpha * expm1(x));
}

static double real_relu(double a)
{
    return isnan(a) || a > 0 ? a : 0;
}

static double real_sigmoid(double a)
{
    return 1 / (1 + exp(-a));
}

static double real_softplus(double a)
{
    return a > 0 ? a + log1p(exp(-a)) : log1p(exp(a));
}

static double real_softsign(double a)
{
    return a / (1 + fabs(a));
}

static double real_hard_swish(double a)
{
    return a * fmin(fmax(a / 6 + 0.5, 0), 1);
}

static double real_mish(double a)
{
    return a * tanh(real_softplus(a));
}

/* ---- element by element ---- */

static bool put_whole(numbers *to, size_t i, int64_t x)
{
    return fold_wrap(to->type, x, &to->whole[i]);
}

/* Whether element i is an open length. Such a number is 1 or more. */
static bool is_length(const numbers *n, size_t i)
{
    return n->varies && n->varies[i] > 1 && (n->real ? n->real[i] >= 1 : n->whole[i] >= 1);
}

/* Whether element i is a number below 1 that is always the same. */
static bool is_below(const numbers *n, size_t i)
{
    return !(n->varies && n->varies[i]) && (n->real ? n->real[i] < 1 : n->whole[i] < 1);
}

/* `varies` of what is made of two numbers. Whether a length is equal to, or larger than, a number
 * below 1 is the same for every length: Where(shape == -1, ...) states the shape. */
static uint8_t both_vary(const fold_operator *op, const numbers *a, const numbers *b, size_t i)
{
    if (op->truth && ((is_length(a, i) && is_below(b, i)) || (is_length(b, i) && is_below(a, i))))
        return 0;
    return (a->varies && a->varies[i]) || (b->varies && b->varies[i]);
}

/* Computes an operator on operands of the same shape. */
static bool apply(const fold_operator *op, const numbers *a, const numbers *b, numbers *to)
{
    for (size_t i = 0; i < to->count; i++) {
        int64_t whole = 0;
        if (to->varies) to->varies[i] = both_vary(op, a, b, i);
        if (a->whole) {
            if (!op->whole(a->whole[i], b->whole[i], &whole) || !put_whole(to, i, whole))
                return false;
        } else if (op->truth)
            to->whole[i] = op->real(a->real[i], b->real[i]) != 0;
        else
            to->real[i] = fold_round(to->type, op->real(a->real[i], b->real[i]));
    }
    return true;
}

/* The first versions of operators broadcast only if an attribute asked for it; without the
 * attribute axis, they did so as later versions do. */
static bool may_broadcast(const call *c, const shape *a, const shape *b)
{
    bool broadcast = false;
    if (c->opset >= c->op->broadcasts) return true;
    if (a->rank == b->rank && !memcmp(a->dim, b->dim, a->rank * sizeof *a->dim)) return true;
    return fold_flag(c, "broadcast", false, &broadcast) && broadcast &&
           !node_attribute(c->node, "axis");
}

/* to[0], to[1] <- both operands, broadcast to one shape. False: nothing was allocated. */
static bool broadcast_both(const call *c, const numbers *const from[2], numbers to[2])
{
    shape s;
    to[0] = to[1] = (numbers){0};
    if (may_broadcast(c, &from[0]->shape, &from[1]->shape) &&
        shape_broadcast(&from[0]->shape, &from[1]->shape, &s) &&
        fold_broadcast(from[0], &s, &to[0]) && fold_broadcast(from[1], &s, &to[1]))
        return true;
    numbers_free(&to[0]);
    return false;
}

static bool combine(const call *c, const numbers *a, const numbers *b, numbers *to)
{
    numbers both[2];
    if (a->type != b->type || !fold_is(a->type, c->op->types)) return false;
    if (a->shape.rank == b->shape.rank &&
        !memcmp(a->shape.dim, b->shape.dim, a->shape.rank * sizeof *a->shape.dim))
        return fold_new(to, c->op->truth ? T_BOOL : a->type, &a->shape, a->varies || b->varies) &&
               apply(c->op, a, b, to);
    if (!broadcast_both(c, (const numbers *const[]){a, b}, both)) return false;
    const bool ok = fold_new(to, c->op->truth ? T_BOOL : a->type, &both[0].shape,
                             both[0].varies || both[1].varies) &&
                    apply(c->op, &both[0], &both[1], to);
    numbers_free(&both[0]);
    numbers_free(&both[1]);
    return ok;
}

static bool run_binary(const call *c)
{
    return combine(c, c->in[0], c->in[1], &c->out[0]);
}

/* An operator on any number of operands: Sum, Max ... */
static bool run_all(const call *c)
{
    numbers *out = &c->out[0];
    if (!fold_is(c->in[0]->type, c->op->types) || !fold_copy(c->in[0], &c->in[0]->shape, out))
        return false;
    for (size_t i = 1; i < c->n; i++) {
        numbers next = {0};
        const bool ok = c->in[i] && combine(c, out, c->in[i], &next);
        numbers_free(out);
        *out = next;
        if (!ok) return false;
    }
    return true;
}

static bool run_unary(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    if (!fold_is(in->type, c->op->types) || !fold_copy(in, &in->shape, out)) return false;
    for (size_t i = 0; i < out->count; i++) {
        int64_t x = 0;
        if (out->real)
            out->real[i] = fold_round(out->type, c->op->real1(in->real[i]));
        else if (!c->op->whole1(in->whole[i], &x) || !put_whole(out, i, x))
            return false;
    }
    return true;
}

/* With fmod 1, the remainder has the sign of the dividend. For real numbers, fmod must be 1. */
static bool run_mod(const call *c)
{
    fold_operator op = *c->op;
    call like = *c;
    bool dividend = false;
    if (!fold_flag(c, "fmod", false, &dividend)) return false;
    if (!dividend) op.types = WHOLES;
    op.whole = dividend ? whole_rem : whole_mod;
    like.op = &op;
    return run_binary(&like);
}

/* The power of a whole base with a real exponent. */
static bool pow_mixed(const numbers *a, const numbers *b, numbers *to)
{
    for (size_t i = 0; i < to->count; i++) {
        const double y = b->real ? b->real[i] : (double)b->whole[i];
        if (to->real)
            to->real[i] = fold_round(to->type, pow(a->real[i], y));
        else if (!fold_truncate(to->type, pow((double)a->whole[i], y), &to->whole[i]))
            return false;
    }
    return true;
}

static bool pow_whole(const numbers *a, const numbers *b, numbers *to)
{
    for (size_t i = 0; i < to->count; i++)
        if (!whole_pow(a->whole[i], b->whole[i], &to->whole[i]) ||
            !fold_fits(to->type, to->whole[i]))
            return false;
    return true;
}

/* The result has the type of the base, whatever the type of the exponent. */
static bool run_pow(const call *c)
{
    const numbers *a = c->in[0], *b = c->in[1];
    numbers both[2], *out = &c->out[0];
    if (!fold_is(a->type, NUMERIC) || !fold_is(b->type, NUMERIC) ||
        (c->opset < 12 && a->type != b->type) || !broadcast_both(c, c->in, both))
        return false;
    bool ok = fold_new(out, a->type, &both[0].shape, both[0].varies || both[1].varies);
    for (size_t i = 0; ok && out->varies && i < out->count; i++)
        out->varies[i] =
            (both[0].varies && both[0].varies[i]) || (both[1].varies && both[1].varies[i]);
    ok = ok && (a->whole && b->whole ? pow_whole : pow_mixed)(&both[0], &both[1], out);
    numbers_free(&both[0]);
    numbers_free(&both[1]);
    return ok;
}

static bool cast_element(const numbers *in, size_t i, numbers *out)
{
    if (out->real && out->type == T_FLOAT &&
        in->whole) { /* rounded once, from whole number to float */
        out->real[i] = (double)(float)in->whole[i];
        return true;
    }
    if (out->real) {
        out->real[i] = fold_round(out->type, in->real ? in->real[i] : (double)in->whole[i]);
        return true;
    }
    if (out->type == T_BOOL) {
        out->whole[i] = in->real ? in->real[i] != 0 : in->whole[i] != 0;
        return true;
    }
    if (in->real) return fold_truncate(out->type, in->real[i], &out->whole[i]);
    return put_whole(out, i, in->whole[i]);
}

static bool run_cast(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    int64_t to = 0;
    if (!fold_int(c, "to", 0, &to) || to < 0 || to > INT32_MAX ||
        !fold_new(out, (int32_t)to, &in->shape, in->varies))
        return false;
    if (in->varies) memcpy(out->varies, in->varies, in->count);
    for (size_t i = 0; i < in->count; i++)
        if (!cast_element(in, i, out)) return false;
    return true;
}

/* A Cast to the type of the second operand, whose numbers do not matter. */
static bool run_cast_like(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    if (!fold_new(out, c->in[1]->type, &in->shape, in->varies)) return false;
    if (in->varies) memcpy(out->varies, in->varies, in->count);
    for (size_t i = 0; i < in->count; i++)
        if (!cast_element(in, i, out)) return false;
    return true;
}

/* One limit of a Clip: an operand from opset 11 on, an attribute before; *real, *whole are left as
 * they are if there is none. */
static bool clip_limit(const call *c, size_t k, const char *name, double *real, int64_t *whole)
{
    const numbers *given = c->opset >= 11 ? fold_input(c, k) : NULL;
    if (c->opset < 11) return fold_float(c, name, *real, real);
    if (!given) return true;
    if (given->count != 1 || given->type != c->in[0]->type || fold_varies(given)) return false;
    if (given->real)
        *real = given->real[0];
    else
        *whole = given->whole[0];
    return true;
}

/* If the limits are the wrong way round, the upper one holds. */
static bool run_clip(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    double low = -(double)INFINITY, high = (double)INFINITY;
    int64_t least = INT64_MIN, most = INT64_MAX;
    if (!fold_is(in->type, c->opset < 12 ? REALS : NUMERIC) ||
        !clip_limit(c, 1, "min", &low, &least) || !clip_limit(c, 2, "max", &high, &most) ||
        !fold_copy(in, &in->shape, out))
        return false;
    for (size_t i = 0; i < out->count; i++) {
        if (out->real && !isnan(out->real[i]))
            out->real[i] = fmin(fmax(out->real[i], low), high);
        else if (out->whole)
            out->whole[i] = whole_clamp(out->whole[i], least, most);
    }
    return !isnan(low) && !isnan(high);
}

/* A function with a parameter or two: LeakyRelu, Elu ... */
static bool run_with_alpha(const call *c)
{
    static const struct {
        const char *name;
        double (*f)(double x, double alpha, double beta);
        double alpha;
        const char *second;
        double beta;
    } table[] = {
        {"LeakyRelu", leaky_relu, 0.01, "beta", 0},
        {"Elu", elu, 1, "beta", 0},
        {"Celu", celu, 1, "beta", 0},
        {"ThresholdedRelu", thresholded, 1, "beta", 0},
        {"HardSigmoid", hard_sigmoid, 0.2, "beta", 0.5},
        {"Swish", swish, 1, "beta", 0},
        {"Selu", selu, 1.67326319217681884765625, "gamma", 1.05070102214813232421875},
    };
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    double alpha = 0, beta = 0;
    size_t k = 0;
    while (strcmp(table[k].name, c->op->name) != 0) k++;
    if (!fold_is(in->type, REALS) || !fold_float(c, "alpha", table[k].alpha, &alpha) ||
        !fold_float(c, table[k].second, table[k].beta, &beta) || !fold_copy(in, &in->shape, out))
        return false;
    for (size_t i = 0; i < out->count; i++)
        out->real[i] = fold_round(out->type, table[k].f(in->real[i], alpha, beta));
    return true;
}

static bool run_gelu(const call *c)
{
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    const bool plain = fold_text(c, "approximate", "none");
    const double root = sqrt(2), slope = sqrt(2 / acos(-1.0));
    if (!fold_is(in->type, REALS) || (!plain && !fold_text(c, "approximate", "tanh")) ||
        !fold_copy(in, &in->shape, out))
        return false;
    for (size_t i = 0; i < out->count; i++) {
        const double x = in->real[i];
        const double y = plain ? erf(x / root) : tanh(slope * (x + 0.044715 * x * x * x));
        out->real[i] = fold_round(out->type, 0.5 * x * (1 + y));
    }
    return true;
}

/* Only the numbers that were chosen decide whether the result varies, unless the condition
 * varies. */
static bool where(const numbers *condition, const numbers *yes, const numbers *no, numbers *to)
{
    if (!fold_new(to, yes->type, &yes->shape, condition->varies || yes->varies || no->varies))
        return false;
    for (size_t i = 0; i < to->count; i++) {
        fold_put(to, i, condition->whole[i] ? yes : no, i);
        if (condition->varies && condition->varies[i]) to->varies[i] = 1;
    }
    return true;
}

static bool run_where(const call *c)
{
    numbers all[3] = {{0}};
    shape s = c->in[0]->shape;
    if (c->in[0]->type != T_BOOL || c->in[1]->type != c->in[2]->type) return false;
    bool ok =
        shape_broadcast(&s, &c->in[1]->shape, &s) && shape_broadcast(&s, &c->in[2]->shape, &s);
    for (size_t i = 0; ok && i < 3; i++) ok = fold_broadcast(c->in[i], &s, &all[i]);
    ok = ok && where(&all[0], &all[1], &all[2], &c->out[0]);
    for (size_t i = 0; i < 3; i++) numbers_free(&all[i]);
    return ok;
}

/* ---- Range ---- */

static bool range_whole(const numbers *const in[3], numbers *out)
{
    const int64_t start = in[0]->whole[0], limit = in[1]->whole[0], delta = in[2]->whole[0];
    const bool up = delta > 0;
    const uint64_t from = (uint64_t)start, to = (uint64_t)limit, by = (uint64_t)delta;
    uint64_t n = 0;
    if (!delta) return false;
    if (up ? start < limit : start > limit)
        n = ((up ? to - from : from - to) - 1) / (up ? by : 0 - by) + 1;
    if (n > FOLD_LIMIT || !fold_new(out, in[0]->type, &(shape){1, {(size_t)n}}, false))
        return false;
    for (size_t i = 0; i < out->count; i++) out->whole[i] = (int64_t)(from + i * by);
    return true;
}

static bool range_real(const numbers *const in[3], numbers *out)
{
    const int32_t type = in[0]->type;
    const double start = in[0]->real[0], delta = in[2]->real[0];
    const double n = ceil(fold_round(type, in[1]->real[0] - start) / delta);
    if (!isfinite(start) || !isfinite(delta) || !(n <= (double)FOLD_LIMIT)) return false;
    if (!fold_new(out, type, &(shape){1, {n > 0 ? (size_t)n : 0}}, false)) return false;
    for (size_t i = 0; i < out->count; i++)
        out->real[i] = fold_round(type, start + fold_round(type, (double)i * delta));
    return true;
}

static bool run_range(const call *c)
{
    for (size_t i = 0; i < 3; i++)
        if (c->in[i]->count != 1 || c->in[i]->shape.rank > 1 || fold_varies(c->in[i]) ||
            c->in[i]->type != c->in[0]->type || !fold_is(c->in[i]->type, NUMERIC))
            return false;
    return (c->in[0]->whole ? range_whole : range_real)(c->in, &c->out[0]);
}

/* ---- sums and the like ---- */

enum { PLAIN, MEAN, LEAST, MOST, ROOT, LOGARITHM };

/* What is added up: of each element. */
static double sum_size(double sum, double x)
{
    return sum + fabs(x);
}

static double sum_square(double sum, double x)
{
    return sum + x * x;
}

static double sum_exp(double sum, double x)
{
    return sum + exp(x);
}

static const struct reduction {
    const char *name;
    size_t axes_input; /* since this opset; before, axes are an attribute */
    int kind;          /* PLAIN: the result for no elements is the start */
    int64_t start;
    double real_start;
} reductions[] = {
    {"ReduceSum", 13, PLAIN, 0, 0},
    {"ReduceProd", 18, PLAIN, 1, 1},
    {"ReduceMean", 18, MEAN, 0, 0},
    {"ReduceMin", 18, LEAST, INT64_MAX, (double)INFINITY},
    {"ReduceMax", 18, MOST, INT64_MIN, -(double)INFINITY},
    {"ReduceL1", 18, PLAIN, 0, 0},
    {"ReduceL2", 18, ROOT, 0, 0},
    {"ReduceSumSquare", 18, PLAIN, 0, 0},
    {"ReduceLogSum", 18, LOGARITHM, 0, 0},
    {"ReduceLogSumExp", 18, LOGARITHM, 0, 0},
};

static const struct reduction *find_reduction(const char *name)
{
    const struct reduction *r = reductions;
    while (strcmp(r->name, name) != 0) r++;
    return r;
}

/* axes[d] <- whether axis d is reduced. */
static bool reduced_axes(const call *c, const struct reduction *r, bool axes[MAX_RANK])
{
    const size_t rank = c->in[0]->shape.rank;
    bool none = false;
    list l;
    if (!fold_list(c, c->opset >= r->axes_input, 1, "axes", &l) || !fold_axes(&l, rank, axes) ||
        !fold_flag(c, "noop_with_empty_axes", false, &none))
        return false;
    if (c->opset < r->axes_input) none = false;
    for (size_t d = 0; !l.n && !none && d < rank; d++) axes[d] = true;
    return true;
}

/* Accumulates the input into `out`. w walks over the input, with the strides of the output. */
static bool accumulate(const call *c, walk *w, numbers *out)
{
    const numbers *in = c->in[0];
    for (size_t i = 0; i < in->count; i++, walk_next(w)) {
        const size_t o = (size_t)w->offset;
        if (out->real)
            out->real[o] = c->op->real(out->real[o], in->real[i]);
        else if (!c->op->whole(out->whole[o], in->whole[i], &out->whole[o]))
            return false;
        if (in->varies && in->varies[i]) out->varies[o] = 1;
    }
    return true;
}

/* False if a sum or product does not fit into its type: implementations disagree about the
 * result. */
static bool finish(int kind, size_t divisor, numbers *out)
{
    for (size_t i = 0; i < out->count; i++) {
        const double x = out->real ? out->real[i] / (double)divisor : 0;
        if (out->real)
            out->real[i] = fold_round(out->type, kind == ROOT        ? sqrt(x)
                                                 : kind == LOGARITHM ? log(x)
                                                                     : x);
        else
            out->whole[i] /= (int64_t)divisor;
        if (out->whole && !fold_fits(out->type, out->whole[i])) return false;
    }
    return true;
}

static bool reduce(const call *c, const struct reduction *r, walk *w, numbers *out)
{
    const size_t each = out->count ? c->in[0]->count / out->count : 1;
    const size_t divisor = r->kind == MEAN ? each : 1;
    if (!divisor || (!each && (r->kind == MEAN || r->kind == LEAST || r->kind == MOST)))
        return false;
    for (size_t i = 0; i < out->count; i++)
        if (out->real)
            out->real[i] = r->real_start;
        else
            out->whole[i] = r->start;
    return accumulate(c, w, out) && finish(r->kind, divisor, out);
}

static bool run_reduce(const call *c)
{
    const struct reduction *r = find_reduction(c->op->name);
    const numbers *in = c->in[0];
    numbers *out = &c->out[0];
    walk w = {.over = in->shape};
    shape kept = in->shape, slim = {0};
    bool axes[MAX_RANK], keep = true;
    if (!fold_is(in->type, c->op->types) || !fold_flag(c, "keepdims", true, &keep) ||
        !reduced_axes(c, r, axes))
        return false;
    for (size_t d = 0; d < kept.rank; d++)
        if (axes[d])
            kept.dim[d] = 1;
        else
            slim.dim[slim.rank++] = kept.dim[d];
    fold_strides(&kept, w.stride);
    for (size_t d = 0; d < kept.rank; d++)
        if (axes[d]) w.stride[d] = 0;
    return fold_new(out, in->type, keep ? &kept : &slim, in->varies) && reduce(c, r, &w, out);
}

/* The cumulative sum of one line along the axis, in the order of summation. */
static bool sum_line(const numbers *in, size_t first, ptrdiff_t step, size_t n, bool exclusive,
                     numbers *out)
{
    int64_t whole = 0;
    double real = 0;
    bool varies = false;
    for (size_t k = 0; k < n; k++) {
        const size_t i = first + k * (size_t)step;
        const bool follows = varies;
        const int64_t whole_before = whole;
        const double real_before = real;
        varies = varies || (in->varies && in->varies[i]);
        if (in->real)
            real += in->real[i];
        else if (!whole_add(whole, in->whole[i], &whole))
            return false;
        if (out->varies) out->varies[i] = exclusive ? follows : varies;
        if (out->real)
            out->real[i] = fold_round(out->type, exclusive ? real_before : real);
        else
            out->whole[i] = exclusive ? whole_before : whole;
        if (out->whole && !fold_fits(out->type, out->whole[i])) return false;
    }
    return true;
}

static bool run_cumsum(const call *c)
{
    const numbers *in = c->in[0];
    int64_t given = 0;
    size_t axis = 0;
    bool exclusive = false, reverse = false;
    ptrdiff_t stride[MAX_RANK];
    if (!fold_is(in->type, NUMERIC) || !fold_scalar(c, 1, 0, &given) ||
        !fold_axis(given, in->shape.rank, &axis) || !fold_flag(c, "exclusive", false, &exclusive) ||
        !fold_flag(c, "reverse", false, &reverse))
        return false;
    if (!fold_new(&c->out[0], in->type, &in->shape, in->varies)) return false;
    fold_strides(&in->shape, stride);
    const size_t n = in->shape.dim[axis], step = (size_t)stride[axis];
    for (size_t i = 0; i < in->count; i++) {
        if (i / step % n) continue; /* no line begins here */
        const bool ok =
            reverse ? sum_line(in, i + (n - 1) * step, -stride[axis], n, exclusive, &c->out[0])
                    : sum_line(in, i, stride[axis], n, exclusive, &c->out[0]);
        if (!ok) return false;
    }
    return true;
}

/* ---- all of them ---- */

#define BINARY(name, set, since, suffix)                                      \
    {                                                                         \
        name, 2, 2, .run = run_binary, .types = (set), .broadcasts = (since), \
                    .whole = whole_##suffix, .real = real_##suffix            \
    }
#define COMPARES(name, set, since, suffix)                                                   \
    {                                                                                        \
        name, 2, 2, .run = run_binary, .types = (set), .broadcasts = (since), .truth = true, \
                    .whole = whole_##suffix, .real = real_##suffix                           \
    }
#define LOGIC(name, suffix)                                                            \
    {                                                                                  \
        name, 2, 2, .run = run_binary, .types = BOOLS, .broadcasts = 7, .truth = true, \
                    .whole = whole_##suffix                                            \
    }
#define EVERY(name, suffix)                                                   \
    {                                                                         \
        name, 1, SIZE_MAX, .run = run_all, .types = NUMERIC, .broadcasts = 8, \
                           .whole = whole_##suffix, .real = real_##suffix     \
    }
#define UNARY(name, function)                                             \
    {                                                                     \
        name, 1, 1, .run = run_unary, .types = REALS, .real1 = (function) \
    }
#define REDUCE(name, set, suffix)                                               \
    {                                                                           \
        name, 1, 2, .run = run_reduce, .types = (set), .whole = whole_##suffix, \
                    .real = real_##suffix                                       \
    }

#define SUMS(name, function)                                              \
    {                                                                     \
        name, 1, 2, .run = run_reduce, .types = REALS, .real = (function) \
    }

static const fold_operator operators[] = {
    BINARY("Add", NUMERIC, 7, add),
    BINARY("Sub", NUMERIC, 7, sub),
    BINARY("Mul", NUMERIC, 7, mul),
    BINARY("Div", NUMERIC, 7, div),
    {"Mod", 2, 2, .run = run_mod, .types = NUMERIC, .real = fmod},
    {"Pow", 2, 2, .run = run_pow, .types = NUMERIC, .broadcasts = 7},
    EVERY("Min", min),
    EVERY("Max", max),
    EVERY("Sum", add),
    COMPARES("Equal", ANY, 7, equal),
    COMPARES("Less", NUMERIC, 7, less),
    COMPARES("LessOrEqual", NUMERIC, 7, less_equal),
    COMPARES("Greater", NUMERIC, 7, greater),
    COMPARES("GreaterOrEqual", NUMERIC, 7, greater_equal),
    LOGIC("And", and),
    LOGIC("Or", or),
    LOGIC("Xor", xor),
    {"Not", 1, 1, .run = run_unary, .types = BOOLS, .whole1 = whole_not},
    {"Neg", 1, 1, .run = run_unary, .types = NUMERIC, .whole1 = whole_neg, .real1 = real_neg},
    {"Abs", 1, 1, .run = run_unary, .types = NUMERIC, .whole1 = whole_abs, .real1 = fabs},
    {"Sign", 1, 1, .run = run_unary, .types = NUMERIC, .whole1 = whole_sign, .real1 = real_sign},
    UNARY("Floor", floor),
    UNARY("Ceil", ceil),
    UNARY("Round", nearbyint),
    UNARY("Sqrt", sqrt),
    UNARY("Reciprocal", real_reciprocal),
    UNARY("Exp", exp),
    UNARY("Log", log),
    UNARY("Sin", sin),
    UNARY("Cos", cos),
    {"Cast", 1, 1, .run = run_cast},
    {"Where", 3, 3, .run = run_where},
    {"Range", 3, 3, .run = run_range},
    REDUCE("ReduceSum", NUMERIC, add),
    REDUCE("ReduceProd", NUMERIC, mul),
    REDUCE("ReduceMean", NUMERIC, add),
    REDUCE("ReduceMin", ANY, min),
    REDUCE("ReduceMax", ANY, max),
    SUMS("ReduceL1", sum_size),
    SUMS("ReduceL2", sum_square),
    SUMS("ReduceSumSquare", sum_square),
    SUMS("ReduceLogSum", real_add),
    SUMS("ReduceLogSumExp", sum_exp),
    {"CumSum", 2, 2, .run = run_cumsum},
    UNARY("Acos", acos),
    UNARY("Acosh", acosh),
    UNARY("Asin", asin),
    UNARY("Asinh", asinh),
    UNARY("Atan", atan),
    UNARY("Atanh", atanh),
    UNARY("Cosh", cosh),
    UNARY("Erf", erf),
    UNARY("HardSwish", real_hard_swish),
    UNARY("Mish", real_mish),
    UNARY("Relu", real_relu),
    UNARY("Sigmoid", real_sigmoid),
    UNARY("Sinh", sinh),
    UNARY("Softplus", real_softplus),
    UNARY("Softsign", real_softsign),
    UNARY("Tan", tan),
    UNARY("Tanh", tanh),
    {"Celu", 1, 1, .run = run_with_alpha},
    {"Elu", 1, 1, .run = run_with_alpha},
    {"HardSigmoid", 1, 1, .run = run_with_alpha},
    {"LeakyRelu", 1, 1, .run = run_with_alpha},
    {"Selu", 1, 1, .run = run_with_alpha},
    {"Swish", 1, 1, .run = run_with_alpha},
    {"ThresholdedRelu", 1, 1, .run = run_with_alpha},
    {"Gelu", 1, 1, .run = run_gelu},
    {"Clip", 1, 3, .run = run_clip},
    {"CastLike", 2, 2, .run = run_cast_like},
};

const fold_operator *fold_math(const char *name)
{
    return fold_find(operators, sizeof operators / sizeof operators[0], name);
}
