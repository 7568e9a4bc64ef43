/*
 * Constants of removed channels: what is reported as exact is exact, and what is lost is within
 * its bound, and the bound is not far from what is lost. On random networks, whose removed units
 * have been zeroed in some of their roles.
 */
#include "interpreter/constants_trial.h"
#include "interpreter/oracle.h"

#include "by_id/by_id.h"
#include <check.h>
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- A trial ---- */

static uint32_t some_roles(rng *r)
{
    static const uint32_t roles[] = {
        MSKP_ROLE_SCALE, MSKP_ROLE_SCALE | MSKP_ROLE_FILTER, MSKP_ROLE_FILTER,
        MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT | MSKP_ROLE_FILTER, MSKP_ROLE_SCALE | MSKP_ROLE_FILTER};
    return roles[rng_below(r, sizeof roles / sizeof *roles)];
}

static void constants_trial_begin(constants_trial *h, uint64_t seed, const net_options *options,
                                  mskp_constants_way way, bool zeroed)
{
    *h = (constants_trial){0};
    trial *t = &h->t;
    trial_begin(t, seed, options, NULL);
    constants_trial_open(h);
    const uint32_t roles = some_roles(&t->r);
    h->keep = model_random_mask(&t->model, &t->mem, &t->r, rng_real(&t->r, 0.3, 0.95));
    move_constants(h, &(mskp_constants_desc){.way = way, .zeroed = zeroed ? roles : 0}, roles);
}

static int by_size(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* ---- Networks by hand ---- */

enum { WIDE = 6 };
#define KEYS "node5.key_positions"

typedef struct maker {
    net *n;
    rng *r;
} maker;

static size_t vector(const maker *m, size_t n)
{
    return net_param_add(m->n, m->r, 1, &n);
}

static size_t weight4(const maker *m, size_t out, size_t in, size_t kernel)
{
    return net_param_add(m->n, m->r, 4, (const size_t[]){out, in, kernel, kernel});
}

static net_node conv_of(const maker *m, size_t in, size_t out, size_t kernel, size_t pad, bool bias,
                        size_t groups)
{
    net_node t = {.op = NET_CONV, .inputs = 1, .in = {in}, .groups = groups};
    t.weight = weight4(m, out, m->n->node[in].channels / groups, kernel);
    if (bias) t.bias = vector(m, out);
    for (int d = 0; d < 2; d++) t.before[d] = t.after[d] = pad;
    return t;
}

static size_t conv(const maker *m, size_t in, size_t out, size_t kernel, size_t pad, bool bias)
{
    const net_node t = conv_of(m, in, out, kernel, pad, bias, 1);
    return net_add(m->n, &t);
}

static size_t normed(const maker *m, size_t in, mskp_norm_kind kind, bool statistics)
{
    net_node t = {.op = NET_NORM, .inputs = 1, .in = {in}, .norm_kind = (int)kind};
    for (int k = 0; k < (statistics ? 4 : 2); k++) t.norm[k] = vector(m, m->n->node[in].channels);
    return net_add(m->n, &t);
}

static size_t batch_normed(const maker *m, size_t in)
{
    return normed(m, in, MSKP_NORM_BATCH, true);
}

static size_t active(const maker *m, size_t in, mskp_activation_kind kind)
{
    return net_add(
        m->n,
        &(net_node){.op = NET_ACT, .named = true, .inputs = 1, .in = {in}, .kind = (int)kind});
}

static size_t joined(const maker *m, net_op op, int kind, size_t a, size_t b)
{
    return net_add(m->n, &(net_node){.op = op, .inputs = 2, .in = {a, b}, .kind = kind});
}

/* conv, batch norm, tanh: half of the channels are removed, and all of these are constant. */
static size_t source(const maker *m)
{
    const net_node t = {
        .op = NET_INPUT, .channels = 2, .nspatial = 2, .spatial = {5, 6}, .named = true};
    const size_t x = net_add(m->n, &t);
    return active(m, batch_normed(m, conv(m, x, WIDE, 3, 1, true)), MSKP_ACTIVATION_TANH);
}

static size_t padded(const maker *m)
{
    return conv(m, source(m), 2, 3, 1, true);
}

static size_t unpadded(const maker *m)
{
    return conv(m, source(m), 2, 3, 0, true);
}

static size_t replicated(const maker *m)
{
    net_node t = conv_of(m, source(m), 2, 3, 1, true, 1);
    t.padding = NET_REPLICATED;
    return net_add(m->n, &t);
}

/* The last window ends before the pad begins. */
static size_t unreached(const maker *m)
{
    net_node t = conv_of(m, source(m), 2, 2, 0, true, 1);
    t.stride[0] = t.stride[1] = 2;
    t.after[1] = 1;
    return net_add(m->n, &t);
}

static size_t twice(const maker *m)
{
    const size_t x = source(m);
    return conv(m, joined(m, NET_CONCAT, 0, x, active(m, x, MSKP_ACTIVATION_SIGMOID)), 2, 3, 1,
                true);
}

/* The constant of a stream is another after each block. */
static size_t stream(const maker *m)
{
    size_t x = source(m);
    for (int k = 0; k < 3; k++) {
        size_t y = active(m, batch_normed(m, conv(m, x, 4, 3, 1, false)), MSKP_ACTIVATION_RELU);
        y = batch_normed(m, conv(m, y, WIDE, 3, 1, false));
        x = active(m, joined(m, NET_COMBINE, MSKP_COMBINE_ADD, x, y), MSKP_ACTIVATION_SILU);
    }
    return conv(m, x, 2, 3, 1, true);
}

static size_t gated(const maker *m)
{
    const size_t x = source(m);
    const net_node pool = {
        .op = NET_POOL, .inputs = 1, .in = {x}, .kind = MSKP_POOL_GLOBAL_AVERAGE};
    const size_t gate =
        active(m, conv(m, net_add(m->n, &pool), WIDE, 1, 0, true), MSKP_ACTIVATION_SIGMOID);
    return conv(m, joined(m, NET_COMBINE, MSKP_COMBINE_MULTIPLY, x, gate), 2, 1, 0, true);
}

static size_t grouped(const maker *m)
{
    const net_node t = conv_of(m, source(m), 4, 3, 1, true, 2);
    return net_add(m->n, &t);
}

static size_t depthwise(const maker *m)
{
    const net_node t = conv_of(m, source(m), WIDE, 3, 1, true, WIDE);
    const size_t x = batch_normed(m, net_add(m->n, &t));
    return conv(m, active(m, x, MSKP_ACTIVATION_GELU), 2, 1, 0, true);
}

static size_t transposed(const maker *m, size_t kernel)
{
    net_node t = {.op = NET_TCONV, .inputs = 1, .in = {source(m)}};
    t.weight = weight4(m, WIDE, 2, kernel);
    t.bias = vector(m, 2);
    for (int d = 0; d < 2; d++) t.stride[d] = kernel;
    return net_add(m->n, &t);
}

static size_t upsampled(const maker *m)
{
    return transposed(m, 2);
}

static size_t transposed_point(const maker *m)
{
    return transposed(m, 1);
}

/* No bias; what is behind takes it. */
static size_t mean_behind(const maker *m)
{
    return conv(m, batch_normed(m, conv(m, source(m), WIDE, 1, 0, false)), 2, 1, 0, true);
}

static size_t border_mean_behind(const maker *m)
{
    return conv(m, batch_normed(m, conv(m, source(m), WIDE, 3, 1, false)), 2, 1, 0, true);
}

static size_t two_means_behind(const maker *m)
{
    const size_t x = conv(m, source(m), WIDE, 1, 0, false);
    const size_t a = batch_normed(m, x), b = batch_normed(m, x);
    return conv(m, joined(m, NET_COMBINE, MSKP_COMBINE_ADD, a, b), 2, 1, 0, true);
}

static size_t absorbed(const maker *m)
{
    const size_t x = conv(m, source(m), WIDE, 1, 0, false);
    return conv(m, normed(m, x, MSKP_NORM_INSTANCE, false), 2, 1, 0, true);
}

static size_t border_not_absorbed(const maker *m)
{
    const size_t x = conv(m, source(m), WIDE, 3, 1, false);
    return conv(m, normed(m, x, MSKP_NORM_INSTANCE, false), 2, 1, 0, true);
}

static size_t no_mean_behind(const maker *m)
{
    const size_t x = conv(m, source(m), WIDE, 1, 0, false);
    return conv(m, normed(m, x, MSKP_NORM_BATCH, false), 2, 1, 0, true);
}

static size_t read_besides(const maker *m)
{
    const size_t x = conv(m, source(m), WIDE, 1, 0, false);
    m->n->output[m->n->outputs++] = x;
    return conv(m, batch_normed(m, x), 2, 1, 0, true);
}

static size_t mean_shared(const maker *m)
{
    const size_t x = conv(m, source(m), WIDE, 1, 0, false), a = batch_normed(m, x);
    net_node t = {.op = NET_NORM, .inputs = 1, .in = {a}};
    for (int k = 0; k < 4; k++) t.norm[k] = k == 2 ? m->n->node[a].norm[2] : vector(m, WIDE);
    return conv(m, net_add(m->n, &t), 2, 1, 0, true);
}

/* Two layers with one bias: fed the same, and fed differently. */
static size_t bias_shared(const maker *m)
{
    const size_t x = source(m), y = conv(m, x, 2, 1, 0, true);
    const net_node t = m->n->node[y];
    return joined(m, NET_COMBINE, MSKP_COMBINE_MULTIPLY, y, net_add(m->n, &t));
}

static size_t bias_differs(const maker *m)
{
    const size_t x = source(m), y = conv(m, x, 2, 1, 0, true);
    net_node t = conv_of(m, x, 2, 1, 0, false, 1);
    t.bias = m->n->node[y].bias;
    return joined(m, NET_COMBINE, MSKP_COMBINE_MULTIPLY, y, net_add(m->n, &t));
}

static size_t weight_shared(const maker *m)
{
    const size_t x = source(m), y = conv(m, x, 2, 3, 1, true);
    net_node t = m->n->node[y];
    t.in[0] = active(m, x, MSKP_ACTIVATION_SIGMOID);
    t.bias = vector(m, 2);
    return joined(m, NET_COMBINE, MSKP_COMBINE_ADD, y, net_add(m->n, &t));
}

static size_t average(const maker *m, bool counted, size_t before, size_t after)
{
    const net_node t = {.op = NET_POOL,
                        .inputs = 1,
                        .in = {source(m)},
                        .kind = MSKP_POOL_AVERAGE,
                        .window = {3, 3},
                        .stride = {1, 1},
                        .before = {before, before},
                        .after = {after, after},
                        .said = true,
                        .count_padding = counted};
    return conv(m, net_add(m->n, &t), 2, 1, 0, true);
}

static size_t pad_counted(const maker *m)
{
    return average(m, true, 1, 0);
}

static size_t pad_behind_counted(const maker *m)
{
    return average(m, true, 0, 1);
}

static size_t pad_not_counted(const maker *m)
{
    return average(m, false, 1, 1);
}

static size_t flattened(const maker *m)
{
    const net_node flat = {.op = NET_FLATTEN, .inputs = 1, .in = {source(m)}};
    net_node t = {.op = NET_LINEAR, .inputs = 1, .in = {net_add(m->n, &flat)}};
    t.weight = net_param_add(m->n, m->r, 2, (const size_t[]){2, WIDE * 30});
    t.bias = vector(m, 2);
    return net_add(m->n, &t);
}

static size_t attention_of(const maker *m, size_t kv)
{
    net_node t = {.op = NET_ATTENTION,
                  .inputs = 1,
                  .in = {source(m)},
                  .named = true,
                  .heads = 2 * kv,
                  .kv_heads = kv,
                  .dim = 2,
                  .value_dim = 3,
                  .packed = true,
                  .scale = 0.7};
    t.more[0] = net_param_add(m->n, m->r, 2, (const size_t[]){9 * kv, WIDE});
    t.more[3] = net_param_add(m->n, m->r, 2, (const size_t[]){2, 6 * kv});
    t.more[4] = vector(m, 9 * kv);
    return net_add(m->n, &t);
}

static size_t attended(const maker *m)
{
    return attention_of(m, 1);
}

static size_t attended_by_two(const maker *m)
{
    return attention_of(m, 2);
}

static size_t sliced(const maker *m)
{
    const net_node t = {.op = NET_SLICE, .inputs = 1, .in = {source(m)}, .first = 2, .count = 4};
    return conv(m, net_add(m->n, &t), 2, 1, 0, true);
}

static size_t picked(const maker *m)
{
    static size_t positions[4] = {5, 1, 4, 2};
    const net_node t = {
        .op = NET_PICK, .inputs = 1, .in = {source(m)}, .positions = positions, .count = 4};
    return conv(m, net_add(m->n, &t), 2, 1, 0, true);
}

/* Behind a channel of zeros, and four positions of each. */
static size_t padded_flat(const maker *m)
{
    const net_node t = {.op = NET_PAD, .inputs = 1, .in = {source(m)}, .first = 1, .count = 0};
    const size_t x = net_add(m->n, &t);
    net_node u = {.op = NET_FLATTEN, .inputs = 1, .in = {0}};
    net_node pool = {.op = NET_POOL, .inputs = 1, .in = {x}, .window = {2, 3}, .stride = {3, 3}};
    u.in[0] = net_add(m->n, &pool);
    net_node v = {.op = NET_LINEAR, .inputs = 1, .in = {net_add(m->n, &u)}};
    v.weight = net_param_add(m->n, m->r, 2, (const size_t[]){2, m->n->node[v.in[0]].channels});
    v.bias = vector(m, 2);
    return net_add(m->n, &v);
}

/* Attention that compares the positions of one head. Some positions are removed, and no channel of
 * a value. */
static size_t compared(const maker *m, bool query_bias)
{
    net_node t = {.op = NET_ATTENTION,
                  .named = true,
                  .inputs = 1,
                  .in = {source(m)},
                  .heads = 2,
                  .kv_heads = 1,
                  .dim = 2,
                  .value_dim = 1,
                  .by_position = true,
                  .scale = 0.7};
    const size_t rows[3] = {4, 2, 1};
    for (int k = 0; k < 3; k++)
        t.more[k] = net_param_add(m->n, m->r, 2, (const size_t[]){rows[k], WIDE});
    t.more[3] = net_param_add(m->n, m->r, 2, (const size_t[]){2, 2});
    t.more[query_bias ? 4 : 5] = vector(m, rows[query_bias ? 0 : 1]);
    return net_add(m->n, &t);
}

/* With zero filters the key is zero, and the query its bias: nothing is compared. */
static size_t same_key(const maker *m)
{
    return compared(m, true);
}

/* The query is zero, the key its bias. */
static size_t no_query(const maker *m)
{
    return compared(m, false);
}

static size_t recurrent(const maker *m, bool read)
{
    net_node t = {.op = NET_RECURRENT,
                  .named = true,
                  .inputs = 1,
                  .in = {source(m)},
                  .kind = MSKP_RECURRENT_LSTM,
                  .layers = 1,
                  .dim = 4};
    t.more[0] = net_param_add(m->n, m->r, 2, (const size_t[]){16, WIDE});
    t.more[1] = net_param_add(m->n, m->r, 2, (const size_t[]){16, 4});
    t.more[2] = vector(m, 16);
    const size_t x = net_add(m->n, &t), y = conv(m, x, 2, 1, 0, true);
    double *columns = m->n->param[m->n->node[y].weight].data;
    for (size_t i = 0; !read && i < 4; i++) columns[i / 2 * 4 + i % 2] = 0;
    return y;
}

/* Its hidden units, read by nothing but itself. */
static size_t hidden(const maker *m)
{
    return joined(m, NET_COMBINE, MSKP_COMBINE_ADD, recurrent(m, false), recurrent(m, false));
}

/* Its input, which a padded layer reads, too. */
static size_t recurrent_input(const maker *m)
{
    const size_t y = recurrent(m, true);
    return joined(m, NET_COMBINE, MSKP_COMBINE_ADD, y, conv(m, 4, 2, 3, 1, true));
}

/* The smaller of a constant and of what is none. */
static size_t smaller(const maker *m)
{
    const size_t x = source(m), y = conv(m, 1, WIDE, 1, 0, true);
    return conv(m, joined(m, NET_COMBINE, MSKP_COMBINE_MINIMUM, x, y), 2, 1, 0, true);
}

static size_t own_grouped(const maker *m)
{
    net_node t = conv_of(m, source(m), 4, 1, 0, true, 2);
    t.op = NET_GROUPED;
    return net_add(m->n, &t);
}

static size_t over_channels(const maker *m, mskp_norm_kind kind, size_t groups)
{
    net_node t = {.op = NET_NORM,
                  .inputs = 1,
                  .in = {source(m)},
                  .norm_kind = (int)kind,
                  .groups = groups,
                  .grouping = MSKP_GROUPING_TIED,
                  .inexact = true};
    t.norm[0] = vector(m, WIDE);
    return conv(m, net_add(m->n, &t), 2, 1, 0, true);
}

static size_t group_normed(const maker *m)
{
    return over_channels(m, MSKP_NORM_GROUP, 2);
}

static size_t layer_normed(const maker *m)
{
    return over_channels(m, MSKP_NORM_LAYER, 0);
}

/* The bias of a consumer that reads no constant stays as it was. */
static size_t bias_elsewhere(const maker *m)
{
    const size_t x = source(m), y = conv(m, x, 2, 1, 0, true);
    net_node t = conv_of(m, 1, 2, 1, 0, false, 1);
    t.bias = m->n->node[y].bias;
    return joined(m, NET_COMBINE, MSKP_COMBINE_ADD, y, net_add(m->n, &t));
}

static size_t both_norms_behind(const maker *m)
{
    const size_t x = conv(m, source(m), WIDE, 3, 1, false);
    const size_t a = batch_normed(m, x), b = normed(m, x, MSKP_NORM_INSTANCE, false);
    return conv(m, joined(m, NET_COMBINE, MSKP_COMBINE_ADD, a, b), 2, 1, 0, true);
}

static size_t transposed_wide(const maker *m)
{
    net_node t = {.op = NET_TCONV, .inputs = 1, .in = {source(m)}};
    t.weight = weight4(m, WIDE, 2, 3);
    t.bias = vector(m, 2);
    t.stride[0] = t.stride[1] = 2;
    return net_add(m->n, &t);
}

/* A product with what is zero is zero, whatever the other is. */
static size_t gated_nothing(const maker *m)
{
    const size_t x = net_add(
        m->n, &(net_node){
                  .op = NET_INPUT, .channels = 2, .nspatial = 2, .spatial = {5, 6}, .named = true});
    const size_t y = conv(m, x, WIDE, 3, 1, false), z = active(m, y, MSKP_ACTIVATION_TANH);
    const size_t gate = active(m, conv(m, x, WIDE, 1, 0, true), MSKP_ACTIVATION_SIGMOID);
    return conv(m, joined(m, NET_COMBINE, MSKP_COMBINE_MULTIPLY, z, gate), 2, 1, 0, true);
}

/* A network of constants alone: padded, they are constants no more. */
static size_t nothing_enters(const maker *m, size_t pad)
{
    net_node t = {.op = NET_PARAM, .nspatial = 2, .spatial = {5, 6}};
    t.weight = vector(m, 3);
    size_t x = conv(m, net_add(m->n, &t), WIDE, 3, pad, true);
    x = active(m, active(m, x, MSKP_ACTIVATION_ELU), MSKP_ACTIVATION_TANH);
    return conv(m, x, 2, 1, 0, true);
}

static size_t constants_padded(const maker *m)
{
    return nothing_enters(m, 1);
}

static size_t constants_alone(const maker *m)
{
    return nothing_enters(m, 0);
}

/* With a filter of zeros, a constant enters the norm. */
static size_t with_epsilon(const maker *m)
{
    const size_t x = source(m);
    m->n->node[3].epsilon = 0.3;
    return conv(m, x, 2, 1, 0, true);
}

static size_t outside_root(const maker *m)
{
    const size_t x = with_epsilon(m);
    m->n->node[3].outside_root = true;
    return x;
}

static size_t unknown_statistics(const maker *m)
{
    const size_t x = source(m);
    const size_t y = active(m, normed(m, x, MSKP_NORM_BATCH, false), MSKP_ACTIVATION_TANH);
    return conv(m, y, 2, 1, 0, true);
}

static const struct {
    const char *name;
    size_t (*build)(const maker *m);
    mskp_constants_way way;
    size_t folded, merged, dropped, live, carriers;
    const char *why; /* NULL: exact */
    uint32_t roles;  /* what of the removed units is zero; 0: gamma */
    const char *of;  /* the value whose first half leaves; NULL: the source */
} cases[] = {
    {"padded", padded, MSKP_CONSTANTS_AUTO, 0, 3, 0, 0, 1, NULL, 0, NULL},
    {"padded", padded, MSKP_CONSTANTS_FOLD, 3, 0, 0, 0, 0, "border", 0, NULL},
    {"padded", padded, MSKP_CONSTANTS_DROP, 0, 0, 3, 0, 0, "dropped", 0, NULL},
    {"unpadded", unpadded, MSKP_CONSTANTS_AUTO, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"unpadded", unpadded, MSKP_CONSTANTS_MERGE, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"replicated", replicated, MSKP_CONSTANTS_AUTO, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"unreached", unreached, MSKP_CONSTANTS_FOLD, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"twice", twice, MSKP_CONSTANTS_AUTO, 0, 6, 0, 0, 1, NULL, 0, NULL},
    {"stream", stream, MSKP_CONSTANTS_AUTO, 0, 12, 0, 0, 1, NULL, 0, NULL},
    {"stream", stream, MSKP_CONSTANTS_FOLD, 12, 0, 0, 0, 0, "border", 0, NULL},
    {"gated", gated, MSKP_CONSTANTS_AUTO, 3, 0, 0, 3, 0, "not constant", 0, NULL},
    {"grouped", grouped, MSKP_CONSTANTS_AUTO, 0, 4, 0, 0, 1, NULL, 0, NULL},
    {"depthwise", depthwise, MSKP_CONSTANTS_AUTO, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"upsampled", upsampled, MSKP_CONSTANTS_AUTO, 0, 3, 0, 0, 1, NULL, 0, NULL},
    {"upsampled", upsampled, MSKP_CONSTANTS_FOLD, 3, 0, 0, 0, 0, "border", 0, NULL},
    {"transposed point", transposed_point, MSKP_CONSTANTS_AUTO, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"mean behind", mean_behind, MSKP_CONSTANTS_AUTO, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"mean behind a border", border_mean_behind, MSKP_CONSTANTS_FOLD, 3, 0, 0, 0, 0, "border", 0,
     NULL},
    {"two means behind", two_means_behind, MSKP_CONSTANTS_FOLD, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"absorbed", absorbed, MSKP_CONSTANTS_FOLD, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"border not absorbed", border_not_absorbed, MSKP_CONSTANTS_FOLD, 0, 0, 3, 0, 0, "no bias", 0,
     NULL},
    {"no mean behind", no_mean_behind, MSKP_CONSTANTS_FOLD, 0, 0, 3, 0, 0, "no bias", 0, NULL},
    {"no mean behind", no_mean_behind, MSKP_CONSTANTS_AUTO, 0, 3, 0, 0, 1, NULL, 0, NULL},
    {"read besides", read_besides, MSKP_CONSTANTS_FOLD, 0, 0, 3, 0, 0, "no bias", 0, NULL},
    {"mean shared", mean_shared, MSKP_CONSTANTS_FOLD, 0, 0, 3, 0, 0, "no bias", 0, NULL},
    {"bias shared", bias_shared, MSKP_CONSTANTS_FOLD, 6, 0, 0, 0, 0, NULL, 0, NULL},
    {"bias differs", bias_differs, MSKP_CONSTANTS_FOLD, 0, 0, 6, 0, 0, "bias is shared", 0, NULL},
    {"bias differs", bias_differs, MSKP_CONSTANTS_AUTO, 0, 6, 0, 0, 1, NULL, 0, NULL},
    {"weight shared", weight_shared, MSKP_CONSTANTS_FOLD, 6, 0, 0, 0, 0, "border", 0, NULL},
    {"pad counted", pad_counted, MSKP_CONSTANTS_AUTO, 0, 0, 0, 3, 0, "not constant", 0, NULL},
    {"pad behind counted", pad_behind_counted, MSKP_CONSTANTS_AUTO, 0, 0, 0, 3, 0, "not constant",
     0, NULL},
    {"pad not counted", pad_not_counted, MSKP_CONSTANTS_AUTO, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"flattened", flattened, MSKP_CONSTANTS_AUTO, 90, 0, 0, 0, 0, NULL, 0, NULL},
    {"attended", attended, MSKP_CONSTANTS_AUTO, 9, 0, 0, 0, 0, NULL, 0, NULL},
    {"same key", same_key, MSKP_CONSTANTS_AUTO, 0, 0, 0, 0, 0, NULL, MSKP_ROLE_FILTER, KEYS},
    {"no query", no_query, MSKP_CONSTANTS_AUTO, 0, 0, 0, 0, 0, NULL, MSKP_ROLE_FILTER, KEYS},
    {"live query", same_key, MSKP_CONSTANTS_AUTO, 0, 0, 0, 2, 0, "compares", MSKP_ROLE_SCALE, KEYS},
    {"hidden", hidden, MSKP_CONSTANTS_AUTO, 0, 0, 0, 2, 0, "not constant", MSKP_ROLE_SCALE,
     "node5"},
    {"recurrent input", recurrent_input, MSKP_CONSTANTS_AUTO, 0, 3, 3, 0, 1, "recurrent", 0, NULL},
    {"hidden, of nothing", hidden, MSKP_CONSTANTS_AUTO, 0, 0, 0, 0, 0, NULL,
     MSKP_ROLE_FILTER | MSKP_ROLE_SHIFT, "node5"},
    {"smaller", smaller, MSKP_CONSTANTS_AUTO, 0, 0, 0, 3, 0, "not constant", 0, NULL},
    {"own grouped", own_grouped, MSKP_CONSTANTS_AUTO, 0, 0, 4, 0, 0, "custom operator", 0, NULL},
    {"group normed", group_normed, MSKP_CONSTANTS_AUTO, 0, 0, 4, 0, 0, "statistics", 0, NULL},
    {"layer normed", layer_normed, MSKP_CONSTANTS_AUTO, 0, 0, 3, 0, 0, "statistics", 0, NULL},
    {"bias elsewhere", bias_elsewhere, MSKP_CONSTANTS_FOLD, 0, 0, 3, 0, 0, "bias is shared", 0,
     NULL},
    {"both norms behind", both_norms_behind, MSKP_CONSTANTS_FOLD, 0, 0, 3, 0, 0, "no bias", 0,
     NULL},
    {"weight shared", weight_shared, MSKP_CONSTANTS_MERGE, 3, 0, 3, 0, 0, "weight is shared", 0,
     NULL},
    {"transposed wide", transposed_wide, MSKP_CONSTANTS_DROP, 0, 0, 3, 0, 0, "dropped", 0, NULL},
    {"transposed wide", transposed_wide, MSKP_CONSTANTS_FOLD, 3, 0, 0, 0, 0, "border", 0, NULL},
    {"gated nothing", gated_nothing, MSKP_CONSTANTS_AUTO, 0, 0, 0, 0, 0, NULL, MSKP_ROLE_FILTER,
     "node3"},
    {"constants padded", constants_padded, MSKP_CONSTANTS_AUTO, 0, 0, 0, 3, 0, "not constant", 0,
     NULL},
    {"constants alone", constants_alone, MSKP_CONSTANTS_AUTO, 3, 0, 0, 0, 0, NULL, 0, NULL},
    {"epsilon", with_epsilon, MSKP_CONSTANTS_AUTO, 3, 0, 0, 0, 0, NULL, MSKP_ROLE_FILTER, NULL},
    {"epsilon outside", outside_root, MSKP_CONSTANTS_AUTO, 3, 0, 0, 0, 0, NULL, MSKP_ROLE_FILTER,
     NULL},
    {"statistics unknown", unknown_statistics, MSKP_CONSTANTS_AUTO, 0, 0, 0, 3, 0, "not constant",
     MSKP_ROLE_FILTER, NULL},
};

static void build(trial *t, size_t (*make)(const maker *m))
{
    mskp_error err = {0};
    *t = (trial){.r = rng_make(1)}; /* the same numbers always */
    t->net = net_make(&t->mem, NET_MAX_NODES);
    const maker m = {t->net, &t->r};
    t->net->outputs = 1;
    t->net->output[0] = make(&m);
    t->model = model_make(&t->mem);
    t->value = arena_get(&t->mem, t->net->nodes + 1, sizeof *t->value);
    t->graph = mskp_graph_create(NULL);
    net_describe(t->net, t->graph, &t->model, t->value);
    REQUIRE(mskp_graph_finish(t->graph, &err) == MSKP_OK, "finish: %s", err.text);
    t->units = mskp_graph_counts(t->graph).units;
}

/* The first half of a value's channels, as far as some stay. */
static uint8_t *leave_half(trial *t, mskp_value of)
{
    uint8_t *keep = arena_get(&t->mem, t->units, 1);
    size_t stay = 0, n;
    const uint32_t *units = mskp_value_units(t->graph, of, &n);
    REQUIRE(units && n > 1, "no value %u", of.id);
    memset(keep, 1, t->units);
    for (size_t c = 0; c < n / 2; c++) keep[units[c]] = 0;
    for (size_t c = 0; c < n; c++) stay += keep[units[c]];
    if (!stay) keep[units[0]] = 1;
    return keep;
}

static uint8_t *leave_some(trial *t)
{
    return leave_half(t, (mskp_value){(uint32_t)t->value[4]});
}

/* ---- The law ---- */

typedef struct tally {
    size_t networks, removed, seen, exact, off, checked, carriers, overflowed;
    double median;
} tally;

static tally try_all(mskp_constants_way way, size_t count, bool zeroed)
{
    tally y = {.networks = count};
    arena mem = {0};
    ratios r = {.most = 100 * count};
    r.all = arena_get(&mem, r.most, sizeof *r.all);
    for (size_t k = 0; k < count; k++) {
        constants_trial h;
        constants_trial_begin(&h, test_seed() * 1000000 + k,
                              &(net_options){.constants = true, .inexact = k % 4 == 3}, way,
                              zeroed);
        const double d = outputs_off(&h);
        y.removed += h.removed > 0;
        y.seen += h.total.folded + h.total.merged + h.total.dropped > 0;
        y.carriers += h.total.carriers;
        if (isnan(d)) {
            y.overflowed++;
        } else {
            y.off += d > 1e-6;
            y.exact += h.total.exact && h.total.folded + h.total.merged > 0;
            if (h.total.exact) REQUIRE(d <= 1e-12, "said to be exact, off by %g", d);
            y.checked += check_bounds(&h, &r);
        }
        constants_trial_end(&h);
    }
    qsort(r.all, r.n, sizeof *r.all, by_size);
    if (r.n) y.median = r.all[r.n / 2];
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("way %d: %zu networks, %zu lose units, constants seen in %zu, moved exactly in "
               "%zu, off in %zu; %zu carriers; %zu bounds, median %g times what is lost\n",
               (int)way, y.networks, y.removed, y.seen, y.exact, y.off, y.carriers, y.checked,
               y.median);
    REQUIRE(y.overflowed * 20 <= count, "%zu networks of %zu are not finite", y.overflowed, count);
    arena_free(&mem);
    return y;
}

/* The numbers of a set that resembles the first: zeros stay zeros. */
static void resembling(constants_trial *b, const constants_trial *h, net *other)
{
    *other = *h->net;
    for (size_t p = 1; p <= other->params; p++) {
        net_param *q = &other->param[p];
        const size_t n = shape_elements(q->ndim, q->shape);
        q->data = arena_copy(&b->t.mem, q->data, n, sizeof *q->data);
        for (size_t i = 0; i < n; i++) q->data[i] *= rng_real(&b->t.r, 0.5, 1.5);
    }
    b->net = other;
}

/* A decision for one set serves another: the same plan cuts both, and what is said to be exact
 * is. */
START_TEST(another_set_by_the_same_decision)
{
    const size_t count = test_count(2000);
    size_t exact = 0, carried = 0;
    for (size_t k = 0; k < count; k++) {
        constants_trial h;
        const mskp_constants_way ways[] = {MSKP_CONSTANTS_MERGE, MSKP_CONSTANTS_AUTO,
                                           MSKP_CONSTANTS_FOLD};
        constants_trial_begin(&h, test_seed() * 1000000 + k, &(net_options){.constants = true},
                              ways[k % 3], k % 2);
        constants_trial b = h;
        net other;
        mskp_plan *plan;
        mskp_error err = {0};
        const mskp_mask none = {0};
        uint8_t *kept = arena_get(&b.t.mem, b.units, 1), *carrier = arena_get(&b.t.mem, b.units, 1);
        uint8_t *carried_first = arena_get(&b.t.mem, b.units, 1);
        b.c = NULL;
        resembling(&b, &h, &other);
        b.values = set_make(&b.t.mem, &b.t.r, b.net, MSKP_DTYPE_F64, VIEW_STYLES);
        set_numbers(&b.values, b.net);
        const mskp_tensors values = set_by_id(b.net->params, b.values.views);
        REQUIRE(!mskp_constants_again(h.c, values, &b.c, &err), "%s", err.text);
        REQUIRE_OK(mskp_constants_masks(b.c, none, mask_of(b.units, carrier),
                                        mask_of(b.units, kept), NULL));
        REQUIRE_OK(mskp_constants_masks(h.c, none, mask_of(b.units, carried_first), none, NULL));
        REQUIRE(!memcmp(carrier, carried_first, b.units), "other carriers");
        REQUIRE_OK(mskp_constants_total(b.c, &b.total, NULL));
        REQUIRE_OK(mskp_constants_plan(h.c, &plan, NULL, NULL));
        REQUIRE(!mskp_constants_apply(b.c, plan, values, &err), "%s", err.text);
        mskp_plan_destroy(plan);
        set_read(&b.values, &b.t.mem, b.net, &b.after);
        b.inputs = net_random_inputs(b.net, &b.t.mem, &b.t.r);
        b.whole = net_eval(b.net, &b.t.mem, b.inputs);
        surgery_begin(&b.s, &b.t, b.graph, &b.after, b.t.value, b.units, kept);
        b.left = net_eval(b.s.net, &b.t.mem, b.inputs);
        const double off = outputs_off(&b);
        if (b.total.exact && !isnan(off)) {
            exact += b.total.folded + b.total.merged > 0;
            carried += b.total.merged > 0;
            REQUIRE(off <= 1e-12, "said to be exact, off by %g", off);
        }
        round_end(&b);
        h.t.mem = b.t.mem;
        constants_trial_end(&h);
    }
    if (count < 500) return;
    REQUIRE(exact * 20 > count && carried * 50 > count, "%zu exact, %zu carried", exact, carried);
}
END_TEST

START_TEST(auto_holds)
{
    const size_t count = test_count(3000);
    const tally y = try_all(MSKP_CONSTANTS_AUTO, count, false);
    if (count < 500) return; /* too few for shares */
    REQUIRE(y.seen * 3 > count, "constants are seen in %zu only", y.seen);
    REQUIRE(y.exact * 4 > y.seen, "%zu of %zu are exact", y.exact, y.seen);
    REQUIRE(y.checked * 500 > count && y.median <= 100, "%zu bounds, median %g", y.checked,
            y.median);
}
END_TEST

START_TEST(merge_holds)
{
    const size_t count = test_count(2000);
    const tally y = try_all(MSKP_CONSTANTS_MERGE, count, true);
    if (count < 500) return;
    REQUIRE(y.carriers * 20 > count && y.exact * 4 > y.seen, "%zu carriers, %zu exact", y.carriers,
            y.exact);
}
END_TEST

START_TEST(fold_holds)
{
    const size_t count = test_count(2000);
    const tally y = try_all(MSKP_CONSTANTS_FOLD, count, false);
    if (count < 500) return;
    REQUIRE(y.carriers == 0, "%zu carriers", y.carriers);
    REQUIRE(y.checked * 20 > count && y.median <= 100, "%zu bounds, median %g", y.checked,
            y.median);
}
END_TEST

/* AUTO's bound is neither above FOLD's nor above DROP's; MERGE's neither. */
START_TEST(auto_is_the_best)
{
    static const mskp_constants_way ways[] = {MSKP_CONSTANTS_AUTO, MSKP_CONSTANTS_MERGE,
                                              MSKP_CONSTANTS_FOLD, MSKP_CONSTANTS_DROP};
    size_t count = test_count(2000), better = 0;
    for (size_t k = 0; k < count; k++) {
        trial t;
        mskp_constants *c[4];
        mskp_constants_report r[4];
        trial_begin(&t, test_seed() * 1000000 + k, &(net_options){.constants = true}, NULL);
        make_possible(t.net);
        uint8_t *keep = model_random_mask(&t.model, &t.mem, &t.r, 0.6);
        uint8_t *kept = arena_get(&t.mem, t.units, 1);
        set values = set_make(&t.mem, &t.r, t.net, MSKP_DTYPE_F64, VIEW_BARE);
        set_numbers(&values, t.net);
        for (int i = 0; i < 4; i++)
            REQUIRE_OK(
                create_constants(t.graph, t.units, keep,
                                 &(mskp_constants_desc){
                                     .way = ways[i], .zeroed = MSKP_ROLE_SCALE | MSKP_ROLE_FILTER},
                                 t.net->params, values.views, kept, &c[i], NULL));
        for (size_t i = 0; i < mskp_constants_consumers(c[0]); i++) {
            for (int y = 0; y < 4; y++) REQUIRE_OK(mskp_constants_consumer(c[y], i, &r[y], NULL));
            for (int y = 1; y < 4; y++)
                REQUIRE(r[y].consumer.id == r[0].consumer.id && r[y].live == r[0].live, "order");
            for (int y = 0; y < 2; y++)
                REQUIRE(r[y].bound <= r[2].bound && r[y].bound <= r[3].bound,
                        "bounds %g, fold %g, drop %g", r[y].bound, r[2].bound, r[3].bound);
            better += r[1].merged == 0 && r[1].bound < r[2].bound;
        }
        for (int i = 0; i < 4; i++) mskp_constants_destroy(c[i]);
        trial_end(&t);
    }
    REQUIRE(count < 500 || better > 0, "drop was never better than fold");
}
END_TEST

/* What is left after the cut describes itself: a second round on it. */
START_TEST(twice_holds)
{
    const size_t count = test_count(4000);
    size_t tried = 0, seen = 0, exact = 0;
    for (size_t k = 0; k < count; k++) {
        constants_trial h;
        constants_trial_begin(&h, test_seed() * 1000000 + k, &(net_options){.constants = true},
                              MSKP_CONSTANTS_AUTO, false);
        constants_trial b;
        second_round_begin(&b, &h);
        if (second_round_remove(&b)) {
            move_constants(&b, &(mskp_constants_desc){.way = MSKP_CONSTANTS_AUTO},
                           MSKP_ROLE_SCALE | MSKP_ROLE_FILTER);
            const double d = outputs_off(&b);
            tried++;
            seen += b.total.folded + b.total.merged > 0;
            exact += b.total.exact && b.total.folded + b.total.merged > 0;
            if (b.total.exact) REQUIRE(isnan(d) || d <= 1e-12, "in round two: off by %g", d);
            round_end(&b);
        }
        second_round_end(&b, &h);
        constants_trial_end(&h);
    }
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("second rounds: %zu, constants seen in %zu, exact in %zu\n", tried, seen, exact);
    REQUIRE(count < 500 || exact * 40 > count, "%zu of %zu", exact, count);
}
END_TEST

/* What steps say of rows and places moves when a first round cuts: rows of packed projections,
 * channels of slices and flattened ones. */
START_TEST(places_move)
{
    static const struct {
        size_t (*build)(const maker *m);
        const char *first;
        size_t second, folded;
    } rounds[] = {{attended_by_two, "node5.heads", 4, 9},
                  {sliced, "node4", 5, 1},
                  {flattened, "node4", 4, 30},
                  {picked, "node4", 5, 1},
                  {padded_flat, "node4", 4, 4}};
    for (size_t i = 0; i < sizeof rounds / sizeof *rounds; i++) {
        constants_trial h = {0};
        build(&h.t, rounds[i].build);
        constants_trial_open(&h);
        h.keep = leave_half(&h.t, mskp_value_find(h.graph, rounds[i].first));
        move_constants(&h, &(mskp_constants_desc){.way = MSKP_CONSTANTS_AUTO}, MSKP_ROLE_SCALE);
        constants_trial b;
        second_round_begin(&b, &h);
        size_t n;
        const uint32_t *units =
            mskp_value_units(b.graph, (mskp_value){(uint32_t)b.t.value[rounds[i].second]}, &n);
        for (size_t c = 0; c < n / 2 || !c; c++) b.keep[units[c]] = 0;
        move_constants(&b, &(mskp_constants_desc){.way = MSKP_CONSTANTS_AUTO}, MSKP_ROLE_SCALE);
        const double d = outputs_off(&b);
        REQUIRE(h.removed && b.total.exact && b.total.folded == rounds[i].folded && d <= 1e-12,
                "%zu: %zu folded, off by %g", i, b.total.folded, d);
        round_end(&b);
        second_round_end(&b, &h);
        constants_trial_end(&h);
    }
}
END_TEST

/* The control: what is dropped is off. */
START_TEST(drop_holds)
{
    const size_t count = test_count(2000);
    const tally y = try_all(MSKP_CONSTANTS_DROP, count, true);
    if (count < 500) return;
    REQUIRE(y.off * 2 > y.seen, "off in %zu of %zu only", y.off, y.seen);
    REQUIRE(y.checked * 10 > count && y.median <= 100, "%zu bounds, median %g", y.checked,
            y.median);
}
END_TEST

/* A value of one channel that an addition, or a gate, broadcasts over many: its unit cannot carry
 * what a convolution reads, because all that is broadcast would change. So the mask that removes it
 * stays what it is, one that leaves a value without channels, and the report does not call it
 * exact. */
START_TEST(broadcast_channels_do_not_carry)
{
    const mskp_combine_kind kinds[] = {MSKP_COMBINE_ADD, MSKP_COMBINE_MULTIPLY,
                                       MSKP_COMBINE_MAXIMUM, MSKP_COMBINE_DIVIDE};
    for (int k = 0; k < 8; k++) {
        double filter[2] = {0}, shift[1] = {0.3}, reader[9] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
        double bias[3] = {0};
        mskp_tensor view[] = {{.data = filter, .dtype = MSKP_DTYPE_F64},
                              {.data = shift, .dtype = MSKP_DTYPE_F64},
                              {.data = reader, .dtype = MSKP_DTYPE_F64},
                              {.data = bias, .dtype = MSKP_DTYPE_F64}};
        const mskp_tensors values = {4, view};
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_value x = mskp_input(g, "x", 2, 1, (size_t[]){4});
        const mskp_conv_desc one = {.weight = mskp_parameter(g, "a.w", 3, (size_t[]){1, 2, 1}),
                                    .bias = mskp_parameter(g, "a.b", 1, (size_t[]){1})};
        const mskp_conv_desc padded = {.weight = mskp_parameter(g, "b.w", 3, (size_t[]){3, 1, 3}),
                                       .bias = mskp_parameter(g, "b.b", 1, (size_t[]){3}),
                                       .pad_before = {1},
                                       .pad_after = {1}};
        const mskp_value a = mskp_conv(g, "a", x, &one), b = mskp_conv(g, "b", a, &padded);
        /* Also where the channel is broadcast before another operator reads it. */
        if (k % 2) mskp_output(g, mskp_combine(g, "z", kinds[k / 2], 2, (mskp_value[]){x, a}));
        mskp_output(g, k % 2 ? b : mskp_combine(g, "z", kinds[k / 2], 2, (mskp_value[]){b, a}));
        mskp_error err = {0};
        REQUIRE(!mskp_graph_finish(g, &err), "%s", err.text);
        const size_t units = mskp_graph_counts(g).units;
        const uint32_t unit = *mskp_value_units(g, a, NULL);
        uint8_t keep[8];
        mskp_constants *c;
        mskp_constants_report total;
        mskp_plan *plan = NULL;
        for (size_t u = 0; u < units; u++) keep[u] = u != unit;
        const mskp_constants_desc merge = {.way =
                                               k < 4 ? MSKP_CONSTANTS_AUTO : MSKP_CONSTANTS_MERGE};
        REQUIRE_OK(mskp_constants_create(g, mask_of(units, keep), &merge, values, &c, NULL));
        REQUIRE_OK(mskp_constants_total(c, &total, NULL));
        REQUIRE(!total.exact && total.bound > 0 && !total.carriers && total.why,
                "kind %d: exact %u, %zu carriers", k, total.exact, total.carriers);
        const mskp_status status = mskp_constants_plan(c, &plan, NULL, &err);
        REQUIRE(status == MSKP_ERROR_NO_SOLUTION && strstr(err.text, "keeps 0 of 1"), "%d: %s",
                (int)status, err.text);
        mskp_constants_destroy(c);
        mskp_graph_destroy(g);
    }
}
END_TEST

START_TEST(by_hand)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        constants_trial h = {0};
        double room[64];
        ratios r = {room, 0, 64};
        build(&h.t, cases[i].build);
        constants_trial_open(&h);
        h.keep = cases[i].of ? leave_half(&h.t, mskp_value_find(h.graph, cases[i].of))
                             : leave_some(&h.t);
        move_constants(&h, &(mskp_constants_desc){.way = cases[i].way},
                       cases[i].roles ? cases[i].roles : MSKP_ROLE_SCALE);
        const mskp_constants_report *y = &h.total;
        REQUIRE(y->folded == cases[i].folded && y->merged == cases[i].merged &&
                    y->dropped == cases[i].dropped && y->live == cases[i].live &&
                    y->carriers == cases[i].carriers,
                "%s, way %d: %zu folded, %zu merged, %zu dropped, %zu live, %zu carriers",
                cases[i].name, (int)cases[i].way, y->folded, y->merged, y->dropped, y->live,
                y->carriers);
        REQUIRE(y->exact == !cases[i].why && !y->why == !cases[i].why &&
                    (!y->why || strstr(y->why, cases[i].why)),
                "%s, way %d: exact %u, %s", cases[i].name, (int)cases[i].way, y->exact,
                y->why ? y->why : "no reason");
        const double d = outputs_off(&h);
        REQUIRE(y->exact ? d <= 1e-12 : d > 1e-9, "%s, way %d: off by %g", cases[i].name,
                (int)cases[i].way, d);
        REQUIRE(h.refused == (y->folded + y->merged > 0 && cases[i].build != absorbed),
                "%s, way %d: applied twice", cases[i].name, (int)cases[i].way);
        (void)check_bounds(&h, &r);
        for (size_t k = 0; k < r.n; k++)
            REQUIRE(room[k] <= 1 + 1e-6, "%s, way %d: a bound %g times what is lost", cases[i].name,
                    (int)cases[i].way, room[k]);
        constants_trial_end(&h);
    }
}
END_TEST

/* ---- What is refused ---- */

/* The call fails with this status, its sentence has these words, and no argument has changed. */
#define REFUSED(h, call, expected, word)                                                     \
    do {                                                                                     \
        mskp_error err_ = {MSKP_OK, ""};                                                     \
        const set before_ = set_copy(&(h)->t.mem, &(h)->values);                             \
        memset((h)->kept, 7, (h)->units);                                                    \
        mskp_error *err = &err_;                                                             \
        const mskp_status got_ = (call);                                                     \
        REQUIRE(got_ == (expected) && err_.status == got_ && strstr(err_.text, word),        \
                "%s: %s (%s)", #call, mskp_status_text(got_), err_.text);                    \
        REQUIRE(set_same(&before_, &(h)->values), "%s wrote something", #call);              \
        for (size_t u_ = 0; u_ < (h)->units; u_++) REQUIRE((h)->kept[u_] == 7, "%s", #call); \
    } while (0)

static mskp_status create(constants_trial *h, const mskp_constants_desc *desc, mskp_error *err)
{
    mskp_constants *c = NULL;
    const mskp_status status = create_constants(h->graph, h->units, h->keep, desc, h->net->params,
                                                h->values.views, h->kept, &c, err);
    REQUIRE((status == MSKP_OK) == (c != NULL), "a result where there is none");
    mskp_constants_destroy(c);
    return status;
}

/* A network with its values, before any constant is moved. */
static void prepare(constants_trial *h, size_t (*make)(const maker *m), mskp_dtype dtype)
{
    *h = (constants_trial){0};
    build(&h->t, make);
    constants_trial_open(h);
    h->keep = leave_some(&h->t);
    h->kept = arena_get(&h->t.mem, h->units, 1);
    zero_slices(h->graph, h->net, h->keep, MSKP_ROLE_SCALE);
    h->values = set_make(&h->t.mem, &h->t.r, h->net, dtype, VIEW_STYLES);
    set_numbers(&h->values, h->net);
}

static void put(const constants_trial *h, size_t param, size_t first, double x)
{
    const net_param *q = &h->net->param[param];
    const mskp_tensor v = view_resolve(&h->values.views[param], q->ndim, q->shape);
    size_t index[MSKP_MAX_DIMS] = {first};
    view_set(&v, index, x);
}

START_TEST(arguments_are_checked)
{
    constants_trial h;
    prepare(&h, padded, MSKP_DTYPE_F64);
    const size_t p = h.net->params, n = h.units;
    mskp_constants *c = NULL;
    mskp_tensor *v = h.values.views;
    mskp_graph *open = mskp_graph_create(NULL);
#define CREATE(g, n, keep, desc, p, v, kept, c) \
    create_constants(g, n, keep, desc, p, v, kept, c, err)
    REFUSED(&h, CREATE(NULL, n, h.keep, NULL, p, v, h.kept, &c), MSKP_ERROR_BAD_ARGUMENT, "graph");
    REFUSED(&h, CREATE(open, n, h.keep, NULL, p, v, h.kept, &c), MSKP_ERROR_BAD_STATE, "");
    REFUSED(&h, CREATE(h.graph, n + 1, h.keep, NULL, p, v, h.kept, &c), MSKP_ERROR_OTHER_NETWORK,
            "");
    REFUSED(&h, CREATE(h.graph, n, NULL, NULL, p, v, h.kept, &c), MSKP_ERROR_BAD_ARGUMENT, "keep");
    REFUSED(&h, CREATE(h.graph, n, h.keep, NULL, p, v, h.kept, NULL), MSKP_ERROR_BAD_ARGUMENT,
            "const");
    REFUSED(&h, CREATE(h.graph, n, h.keep, NULL, p, NULL, h.kept, &c), MSKP_ERROR_BAD_ARGUMENT,
            "values");
    REFUSED(&h, CREATE(h.graph, n, h.keep, NULL, p + 1, v, h.kept, &c), MSKP_ERROR_OTHER_NETWORK,
            "");
    mskp_graph_destroy(open);
    static const struct {
        mskp_constants_desc desc;
        const char *word;
    } descs[] = {{{.way = (mskp_constants_way)4}, "way is 4, the last is 3"},
                 {{.zeroed = 64}, "constants: zeroed is 0x40, it can be made of"},
                 {{.zeroed = MSKP_ROLE_MEAN}, "0x10"},
                 {{.merge_above = -0.5}, "-0.5"},
                 {{.merge_above = 1}, "1"},
                 {{.merge_above = NAN}, "merge_above"}};
    for (size_t i = 0; i < sizeof descs / sizeof *descs; i++)
        REFUSED(&h, create(&h, &descs[i].desc, err), MSKP_ERROR_BAD_ARGUMENT, descs[i].word);

    REQUIRE_OK(create_constants(h.graph, n, h.keep, NULL, p, v, h.kept, &c, NULL));
    mskp_constants_report r = {.folded = 77};
    REFUSED(&h, mskp_constants_consumer(c, 1, &r, err), MSKP_ERROR_BAD_ARGUMENT,
            "no report 1, only 1");
    REFUSED(&h, mskp_constants_consumer(NULL, 0, &r, err), MSKP_ERROR_BAD_ARGUMENT, "NULL");
    REFUSED(&h, mskp_constants_consumer(c, 0, NULL, err), MSKP_ERROR_BAD_ARGUMENT, "NULL");
    REFUSED(&h, mskp_constants_total(NULL, &r, err), MSKP_ERROR_BAD_ARGUMENT, "NULL");
    REFUSED(&h, mskp_constants_total(c, NULL, err), MSKP_ERROR_BAD_ARGUMENT, "NULL");
    REFUSED(&h, get_carriers(c, n + 1, h.kept, err), MSKP_ERROR_OTHER_NETWORK, "");
    REFUSED(&h, get_carriers(NULL, n, h.kept, err), MSKP_ERROR_BAD_ARGUMENT, "NULL");
    REFUSED(&h, apply_constants(NULL, p, v, err), MSKP_ERROR_BAD_ARGUMENT, "NULL");
    REFUSED(&h, apply_constants(c, p + 1, v, err), MSKP_ERROR_OTHER_NETWORK, "");
    REFUSED(&h, apply_constants(c, p, NULL, err), MSKP_ERROR_BAD_ARGUMENT, "values");
    REQUIRE(r.folded == 77 && mskp_constants_consumers(c) == 1 &&
                mskp_constants_consumers(NULL) == 0,
            "a report was touched");
    mskp_constants_destroy(NULL);
    mskp_constants_destroy(c);
    /* The mask may be its own result. */
    memcpy(h.kept, h.keep, n);
    REQUIRE_OK(create_constants(h.graph, n, h.kept, NULL, p, v, h.kept, &c, NULL));
    /* Of units that can carry as much, the first does. */
    for (size_t u = 0, first = 1; u < n; u++) {
        REQUIRE(h.kept[u] == (h.keep[u] || first), "unit %zu", u);
        if (!h.keep[u]) first = 0;
    }
    mskp_constants_destroy(c);
    trial_end(&h.t);
}
END_TEST

/* What is read must be there, be numbers, and finite; what is written must fit. */
START_TEST(values_are_checked)
{
    static const double odd[] = {-(double)NAN, (double)INFINITY, -(double)INFINITY};
    static const char *const shift_is[] = {"p4 (values): element 0 is NaN",
                                           "p4 (values): element 0 is infinity",
                                           "p4 (values): element 0 is -infinity"};
    static const char *const weight_is[] = {"p7 (values): element 1,0,0,0 is NaN",
                                            "p7 (values): element 1,0,0,0 is infinity",
                                            "p7 (values): element 1,0,0,0 is -infinity"};
    constants_trial h;
    prepare(&h, padded, MSKP_DTYPE_F64);
    static const char *const bias_is[] = {"p8 (values): element 1 is NaN",
                                          "p8 (values): element 1 is infinity",
                                          "p8 (values): element 1 is -infinity"};
    const size_t shift = h.net->node[3].norm[1], weight = h.net->node[5].weight;
    const size_t bias = h.net->node[5].bias;
    const uint32_t *units = mskp_value_units(h.graph, (mskp_value){(uint32_t)h.t.value[4]}, NULL);
    REQUIRE(!h.keep[units[0]] && h.keep[units[WIDE - 1]], "another mask");
    for (size_t i = 0; i < 3; i++) {
        put(&h, shift, 0, odd[i]);
        REFUSED(&h, create(&h, NULL, err), MSKP_ERROR_BAD_NUMBER, shift_is[i]);
        put(&h, shift, 0, 0.5);
        put(&h, weight, 1, odd[i]);
        REFUSED(&h, create(&h, NULL, err), MSKP_ERROR_BAD_NUMBER, weight_is[i]);
        put(&h, weight, 1, 0.5);
        /* What a constant is added to. */
        put(&h, bias, 1, odd[i]);
        REFUSED(&h, create(&h, &(mskp_constants_desc){.way = MSKP_CONSTANTS_FOLD}, err),
                MSKP_ERROR_BAD_NUMBER, bias_is[i]);
        put(&h, bias, 1, 0.5);
        /* What no constant depends on is not read: the last filter's last weight. */
        const size_t first = h.net->node[2].weight;
        const mskp_tensor filters =
            view_resolve(&h.values.views[first], 4, h.net->param[first].shape);
        const size_t last[MSKP_MAX_DIMS] = {WIDE - 1, 1, 2, 2};
        const double before = view_get(&filters, last);
        view_set(&filters, last, odd[i]);
        REQUIRE_OK(create(&h, NULL, NULL));
        view_set(&filters, last, before);
    }
    const mskp_tensor was = h.values.views[weight];
    h.values.views[weight].data = NULL;
    REFUSED(&h, create(&h, NULL, err), MSKP_ERROR_NO_DATA, "no data");
    h.values.views[weight] = was;
    h.values.views[shift].dtype = MSKP_DTYPE_BYTES_8;
    REFUSED(&h, create(&h, NULL, err), MSKP_ERROR_BAD_ARGUMENT, "holds no numbers");
    h.values.views[shift].dtype = MSKP_DTYPE_F64;

    mskp_constants *c = NULL;
    REQUIRE_OK(create_constants(h.graph, h.units, h.keep, NULL, h.net->params, h.values.views,
                                h.kept, &c, NULL));
    h.values.views[shift].data = NULL;
    REFUSED(&h, apply_constants(c, h.net->params, h.values.views, err), MSKP_ERROR_NO_DATA, "");
    mskp_constants_destroy(c);
    trial_end(&h.t);

    /* A hundred times 60,000 in half precision: as a sum of a bias, and of a column. */
    for (int way = MSKP_CONSTANTS_FOLD; way <= MSKP_CONSTANTS_MERGE; way++) {
        prepare(&h, way == MSKP_CONSTANTS_FOLD ? transposed_point : upsampled, MSKP_DTYPE_F16);
        for (size_t i = 0; i < WIDE; i++) put(&h, h.net->node[5].weight, i, 60000);
        for (size_t i = 0; i < WIDE; i++) put(&h, h.net->node[3].norm[1], i, 3);
        REFUSED(&h, create(&h, &(mskp_constants_desc){.way = (mskp_constants_way)way}, err),
                MSKP_ERROR_BAD_NUMBER, "does not fit F16");
        REQUIRE_OK(create(&h, &(mskp_constants_desc){.way = MSKP_CONSTANTS_DROP}, NULL));
        trial_end(&h.t);
    }
}
END_TEST

/* By its indices, wherever it lies. */
START_TEST(elements_are_named)
{
    for (int style = 0; style < VIEW_STYLES; style++) {
        constants_trial h;
        prepare(&h, padded, MSKP_DTYPE_F32);
        h.values = set_make(&h.t.mem, &h.t.r, h.net, MSKP_DTYPE_F32, (view_style)style);
        set_numbers(&h.values, h.net);
        const size_t weight = h.net->node[5].weight;
        const size_t *shape = h.net->param[weight].shape;
        const mskp_tensor v = view_resolve(&h.values.views[weight], 4, shape);
        size_t i[MSKP_MAX_DIMS] = {0}, named = 0;
        do {
            char sentence[64];
            if (i[1] >= WIDE / 2) continue; /* stays, and is not read */
            const double was = view_get(&v, i);
            view_set(&v, i, (double)NAN);
            (void)snprintf(sentence, sizeof sentence, "p7 (values): element %zu,%zu,%zu,%zu is NaN",
                           i[0], i[1], i[2], i[3]);
            REFUSED(&h, create(&h, &(mskp_constants_desc){.way = MSKP_CONSTANTS_FOLD}, err),
                    MSKP_ERROR_BAD_NUMBER, sentence);
            view_set(&v, i, was);
            named++;
        } while (next_index(4, shape, i));
        REQUIRE(named == 54, "%zu elements", named);
        trial_end(&h.t);
    }
}
END_TEST

/* ---- What is applied to ---- */

static mskp_constants *made(constants_trial *h, mskp_constants_way way, uint32_t zeroed)
{
    mskp_constants *c = NULL;
    const mskp_constants_desc desc = {.way = way, .zeroed = zeroed};
    REQUIRE_OK(create_constants(h->graph, h->units, h->keep, &desc, h->net->params, h->values.views,
                                h->kept, &c, NULL));
    return c;
}

static mskp_status apply(const constants_trial *h, const mskp_constants *c, const set *values,
                         mskp_error *err)
{
    return apply_constants(c, h->net->params, values->views, err);
}

static double got(const set *s, const net *n, size_t param, size_t first)
{
    const mskp_tensor v =
        view_resolve(&s->views[param], n->param[param].ndim, n->param[param].shape);
    const size_t index[MSKP_MAX_DIMS] = {first};
    return view_get(&v, index);
}

/* A copy with other strides, of another dtype: accepted, once each. */
START_TEST(copies_are_accepted)
{
    for (int way = MSKP_CONSTANTS_FOLD; way <= MSKP_CONSTANTS_MERGE; way++) {
        constants_trial h;
        net numbers;
        double folded[3];
        prepare(&h, padded, MSKP_DTYPE_F32);
        const size_t bias = h.net->node[5].bias;
        put(&h, bias, 0, -0.0);
        mskp_constants *c = made(&h, (mskp_constants_way)way, 0);
        set_read(&h.values, &h.t.mem, h.net, &numbers);
        put(&h, bias, 0, 0);
        set copies[3] = {set_make(&h.t.mem, &h.t.r, h.net, MSKP_DTYPE_F32, VIEW_WILD),
                         set_make(&h.t.mem, &h.t.r, h.net, MSKP_DTYPE_F64, VIEW_PERMUTED),
                         h.values};
        for (size_t i = 0; i < 3; i++) {
            mskp_error err = {0};
            if (i < 2) set_numbers(&copies[i], &numbers);
            REQUIRE(apply(&h, c, &copies[i], &err) == MSKP_OK, "copy %zu: %s", i, err.text);
            REQUIRE(apply(&h, c, &copies[i], &err) == MSKP_ERROR_BAD_STATE, "copy %zu twice", i);
            folded[i] = got(&copies[i], h.net, bias, 0);
        }
        REQUIRE(fabs(folded[0] - folded[1]) < 1e-6 && !(folded[2] < folded[0]) &&
                    !(folded[2] > folded[0]) &&
                    (fabs(folded[0]) > 0) == (way == MSKP_CONSTANTS_FOLD),
                "way %d: %g, %g, %g", way, folded[0], folded[1], folded[2]);
        mskp_constants_destroy(c);
        trial_end(&h.t);
    }
}
END_TEST

/* As few as are read back as x. */
static int digits_of(double x)
{
    char room[32];
    int digits = 15;
    do snprintf(room, sizeof room, "%.*g", digits, x);
    while ((strtod(room, NULL) < x || strtod(room, NULL) > x) && ++digits < 17);
    return digits;
}

/* What sums and columns go into must be what it was; of the rest nothing is asked. */
START_TEST(what_was_trained_on_is_refused)
{
    for (int way = MSKP_CONSTANTS_FOLD; way <= MSKP_CONSTANTS_MERGE; way++) {
        constants_trial h;
        prepare(&h, padded, MSKP_DTYPE_F64);
        const net_node *reads = &h.net->node[5], *norm = &h.net->node[3];
        const size_t written = way == MSKP_CONSTANTS_FOLD ? reads->bias : reads->weight;
        const char *name = way == MSKP_CONSTANTS_FOLD ? "p8: element " : "p7: element ";
        mskp_constants *c = made(&h, (mskp_constants_way)way, MSKP_ROLE_SCALE | MSKP_ROLE_FILTER);
        for (size_t i = 0; i < 2; i++) {
            const double was = got(&h.values, h.net, written, i);
            put(&h, written, i, nextafter(was, 9));
            char numbers[120]; /* both numbers, because they look alike */
            snprintf(numbers, sizeof numbers, " is %.*g, mskp_constants_create has seen %.*g;",
                     digits_of(nextafter(was, 9)), nextafter(was, 9), digits_of(was), was);
            REFUSED(&h, apply(&h, c, &h.values, err), MSKP_ERROR_BAD_STATE, name);
            REFUSED(&h, apply(&h, c, &h.values, err), MSKP_ERROR_BAD_STATE, numbers);
            put(&h, written, i, (double)NAN);
            REFUSED(&h, apply(&h, c, &h.values, err), MSKP_ERROR_BAD_NUMBER, "is NaN");
            put(&h, written, i, was);
        }
        /* Zeroed by the caller, as was asked for; and a norm that stays. */
        zero_slices(h.graph, h.net, h.keep, MSKP_ROLE_SCALE | MSKP_ROLE_FILTER);
        put(&h, h.net->node[2].weight, 0, 0);
        put(&h, norm->norm[0], WIDE - 1, 17);
        REQUIRE_OK(apply(&h, c, &h.values, NULL));
        mskp_constants_destroy(c);
        trial_end(&h.t);
    }
}
END_TEST

/* Whatever is written shares no memory; the rest may, and a preview asks nothing. */
START_TEST(shared_memory_is_refused)
{
    constants_trial h;
    double both[4 * WIDE];
    prepare(&h, padded, MSKP_DTYPE_F64);
    const net_node *reads = &h.net->node[5], *norm = &h.net->node[3];
    mskp_tensor *v = h.values.views;
    mskp_constants *c = made(&h, MSKP_CONSTANTS_FOLD, 0);
    const mskp_tensor bias = v[reads->bias], scale = v[norm->norm[0]], shift = v[norm->norm[1]];
    for (size_t i = 0; i < 4 * (size_t)WIDE; i++)
        both[i] = got(&h.values, h.net, reads->bias, i % 2);
    /* The bias among the variances, in front of them, behind them. */
    for (size_t i = 0; i < WIDE - 1; i++) {
        v[norm->norm[3]] = (mskp_tensor){.data = both, .dtype = MSKP_DTYPE_F64};
        v[reads->bias] = (mskp_tensor){.data = both + 2 * (i / 2), .dtype = MSKP_DTYPE_F64};
        REFUSED(&h, apply(&h, c, &h.values, err), MSKP_ERROR_OVERLAP,
                "p8 would be written, and shares memory with p6");
        mskp_constants *again = made(&h, MSKP_CONSTANTS_FOLD, 0);
        mskp_constants_destroy(again);
    }
    /* What is not written may share: here the two statistics, which nothing reads. */
    v[norm->norm[2]] = v[norm->norm[3]] = (mskp_tensor){.data = both, .dtype = MSKP_DTYPE_F64};
    /* The elements lie in the gaps of another tensor. */
    v[reads->bias] = (mskp_tensor){
        .data = both + 2 * WIDE, .dtype = MSKP_DTYPE_F64, .ndim = 1, .shape = {2}, .stride = {2}};
    v[norm->norm[1]] = (mskp_tensor){.data = both + 2 * WIDE - 1,
                                     .dtype = MSKP_DTYPE_F64,
                                     .ndim = 1,
                                     .shape = {WIDE},
                                     .stride = {2}};
    REFUSED(&h, apply(&h, c, &h.values, err), MSKP_ERROR_BAD_STATE, "p8");
    both[2 * WIDE + 2] = both[1];
    REQUIRE_OK(apply(&h, c, &h.values, NULL));
    v[reads->bias] = bias;
    v[norm->norm[1]] = shift;
    /* A tensor that is not touched must have its parameter's shape, too. */
    v[norm->norm[0]].ndim = 1;
    v[norm->norm[0]].shape[0] = WIDE + 1;
    REFUSED(&h, apply(&h, c, &h.values, err), MSKP_ERROR_BAD_SHAPE, "p3 (values): axis 0");
    v[norm->norm[0]] = scale;
    REQUIRE_OK(apply(&h, c, &h.values, NULL));
    mskp_constants_destroy(c);
    trial_end(&h.t);
}
END_TEST

/* The example of the header; then a second round, in which the carrier stays. */
START_TEST(as_the_header_shows)
{
    constants_trial h;
    mskp_error err = {0};
    prepare(&h, padded, MSKP_DTYPE_F64);
    const mskp_graph *graph = h.graph;
    const size_t units = h.units, params = h.net->params;
    mskp_tensor *values = h.values.views;
    uint8_t *keep = h.keep, *kept = h.kept, carrier[64], locked[64], next[64];
    const double tolerable = 0;
    mskp_constants *constants;
    mskp_constants_report total;
    mskp_plan *plan = NULL;
    mskp_graph *small = NULL;
    REQUIRE(units <= 64, "%zu units", units);

    create_constants(graph, units, keep, NULL, params, values, kept, &constants, &err);
    mskp_constants_total(constants, &total, &err);
    if (total.bound <= tolerable) {
        apply_constants(constants, params, values, &err);
        get_carriers(constants, units, carrier, &err);
        mskp_plan_create(graph, mask_of(units, kept), &plan, &small, &err);
        for (size_t u = 0, n = 0; u < units; u++)
            if (kept[u]) locked[n++] = carrier[u];
        cut_by_id(plan, params, 1, &(move_by_id){values, NULL}, &err);
    }
    REQUIRE(!err.status && plan && total.carriers == 1, "%s", err.text);

    const size_t left = mskp_graph_counts(small).units;
    double scores[64] = {0};
    const mskp_rule rule = {.remove_fraction = 1 - 1 / (double)left,
                            .locked = mask_of(left, locked)};
    REQUIRE(mskp_select(small, scores_of(left, scores), &rule, mask_of(left, next), NULL, &err) ==
                MSKP_OK,
            "%s", err.text);
    for (size_t u = 0; u < left; u++)
        REQUIRE(next[u] == locked[u] && locked[u] == (u == 0), "unit %zu", u);
    mskp_plan_destroy(plan);
    mskp_graph_destroy(small);
    /* In this order, too. */
    mskp_graph_destroy(h.t.graph);
    mskp_constants_destroy(constants);
    h.t.graph = NULL;
    trial_end(&h.t);
}
END_TEST

/* ---- Every dtype ---- */

/* What is written is what doubles would be, rounded once. */
START_TEST(dtypes_round_once)
{
    static const mskp_dtype dtypes[] = {MSKP_DTYPE_F32, MSKP_DTYPE_F16, MSKP_DTYPE_BF16};
    size_t changed = 0;
    for (size_t k = 0; k < test_count(300); k++) {
        const mskp_dtype dtype = dtypes[k % 3];
        trial t;
        mskp_constants *a = NULL, *b = NULL;
        trial_begin(&t, test_seed() * 1000000 + k, &(net_options){.constants = true}, NULL);
        uint8_t *keep = model_random_mask(&t.model, &t.mem, &t.r, 0.5);
        uint8_t *kept = arena_get(&t.mem, t.units, 1), *same = arena_get(&t.mem, t.units, 1);
        set narrow = set_make(&t.mem, &t.r, t.net, dtype, VIEW_STYLES);
        set wide = set_make(&t.mem, &t.r, t.net, MSKP_DTYPE_F64, VIEW_STYLES);
        net rounded;
        make_possible(t.net);
        set_numbers(&narrow, t.net);
        set_read(&narrow, &t.mem, t.net, &rounded);
        set_numbers(&wide, &rounded);
        const mskp_constants_desc desc = {.way = MSKP_CONSTANTS_MERGE, .zeroed = MSKP_ROLE_SCALE};
        REQUIRE_OK(create_constants(t.graph, t.units, keep, &desc, t.net->params, narrow.views,
                                    kept, &a, NULL));
        REQUIRE_OK(create_constants(t.graph, t.units, keep, &desc, t.net->params, wide.views, same,
                                    &b, NULL));
        REQUIRE(memcmp(kept, same, t.units) == 0, "another mask");
        REQUIRE_OK(apply_constants(a, t.net->params, narrow.views, NULL));
        REQUIRE_OK(apply_constants(b, t.net->params, wide.views, NULL));
        net x, y;
        set_read(&narrow, &t.mem, t.net, &x);
        set_read(&wide, &t.mem, t.net, &y);
        set_numbers(&narrow, &y);
        set_read(&narrow, &t.mem, t.net, &y);
        for (size_t p = 1; p <= t.net->params; p++)
            for (size_t i = 0; i < shape_elements(x.param[p].ndim, x.param[p].shape); i++) {
                REQUIRE(x.param[p].data[i] == y.param[p].data[i], "parameter %zu, element %zu", p,
                        i);
                changed += x.param[p].data[i] != rounded.param[p].data[i];
            }
        mskp_constants_destroy(a);
        mskp_constants_destroy(b);
        trial_end(&t);
    }
    REQUIRE(changed > 0 || test_count(300) < 100, "nothing was written");
}
END_TEST

/* ---- Without looking at every position ---- */

START_TEST(long_axes)
{
    const size_t positions = SIZE_MAX > UINT32_MAX ? SIZE_MAX >> 24 : SIZE_MAX >> 8, four = 4;
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param table = mskp_parameter(g, "table", 1, &four);
    const mskp_param up = mskp_parameter(g, "up", 3, (size_t[]){4, 1, 2});
    const mskp_param padded_by_two = mskp_parameter(g, "padded", 3, (size_t[]){1, 4, 3});
    const mskp_value x = mskp_param_operand(g, "x", table, 0, MSKP_ROLE_FILTER, 1, &positions);
    mskp_output(g, mskp_conv_transposed(g, "a", x, &(mskp_conv_desc){.weight = up, .stride = {2}}));
    mskp_output(
        g, mskp_conv(g, "b", x, &(mskp_conv_desc){.weight = padded_by_two, .pad_before = {2}}));
    mskp_error err = {MSKP_OK, ""};
    ck_assert_msg(mskp_graph_finish(g, &err) == MSKP_OK, "%s", err.text);
    const double numbers[4] = {2, 3, 5, 7}, a[8] = {1, -2, 3, 4, 1, 1, 1, 1};
    const double b[12] = {1, 2, -4, 1, 1, 1, 0, 0, 0, 0, 0, 0};
    const mskp_tensor values[4] = {{0},
                                   {.data = (void *)(uintptr_t)numbers, .dtype = MSKP_DTYPE_F64},
                                   {.data = (void *)(uintptr_t)a, .dtype = MSKP_DTYPE_F64},
                                   {.data = (void *)(uintptr_t)b, .dtype = MSKP_DTYPE_F64}};
    const uint8_t keep[4] = {0, 0, 1, 1};
    uint8_t kept[4];
    mskp_constants *c = NULL;
    mskp_constants_report r[2];
    const mskp_constants_desc desc = {.way = MSKP_CONSTANTS_DROP};
    ck_assert_msg(!create_constants(g, 4, keep, &desc, 3, values, kept, &c, &err), "%s", err.text);
    ck_assert_uint_eq(mskp_constants_consumers(c), 2);
    for (size_t i = 0; i < 2; i++)
        ck_assert_int_eq(mskp_constants_consumer(c, i, &r[i], &err), MSKP_OK);
    /* Taps 2 * 1 + 3 * 3 = 11 and 2 * -2 + 3 * 4 = 8: one at a time, but that was not looked at. */
    ck_assert_double_eq_tol(r[0].bound, 19, 1e-9);
    /* Taps 5, 7, -5: the last alone, the last two, all. */
    ck_assert_double_eq_tol(r[1].bound, 7, 1e-9);
    mskp_constants_destroy(c);
    mskp_graph_destroy(g);
}
END_TEST

/* ---- Operators that the caller describes by primitives ---- */

enum {
    OWN_NOTHING,
    OWN_TIE,
    OWN_PIN,
    OWN_ZERO_IF,
    OWN_ATTACH,
    OWN_BIND,
    OWN_OPAQUE,
    OWN_BIAS,
    OWN_BIAS_ATTACHED,
    OWN_MEAN,
    OWNS
};

/* What else may read a value, or use a bias or a mean, hinders folding. */
START_TEST(primitives_hinder_folding)
{
    static const double numbers[16] = {0, 0, 0, 0, 1, 2, 3, 4, 1, 2, 3, 4, 5, 6, 7, 8};
    const size_t two = 2, four = 4;
    for (int own = 0; own < OWNS; own++) {
        mskp_graph *g = mskp_graph_create(NULL);
        const mskp_param w = mskp_parameter(g, "w", 2, (size_t[]){4, 2});
        const mskp_param b = mskp_parameter(g, "b", 1, &four);
        const mskp_param v = mskp_parameter(g, "v", 2, (size_t[]){2, 4});
        const mskp_param mean = mskp_parameter(g, "mean", 1, &two);
        const mskp_param variance = mskp_parameter(g, "variance", 1, &two);
        const mskp_param bias = mskp_parameter(g, "bias", 1, &two);
        const mskp_value x = mskp_linear(g, "x", mskp_input(g, "in", 2, 0, NULL), w, b);
        const mskp_value y = mskp_linear(
            g, "y", x, v, own == OWN_BIAS || own == OWN_BIAS_ATTACHED ? bias : (mskp_param){0});
        const mskp_value z =
            mskp_norm(g, "z", y, &(mskp_norm_desc){.mean = mean, .variance = variance});
        const mskp_value side = mskp_fresh(g, "side", 2, 0, NULL);
        if (own == OWN_TIE) mskp_tie(g, y, side);
        if (own == OWN_PIN) mskp_pin(g, y);
        if (own == OWN_ZERO_IF) mskp_zero_if(g, y, MSKP_ROLE_FILTER);
        if (own == OWN_ATTACH) mskp_attach(g, bias, y);
        if (own == OWN_BIND) mskp_bind(g, bias, 0, MSKP_ROLE_SCALE, y);
        if (own == OWN_OPAQUE)
            (void)mskp_opaque(g, "odd", &(mskp_opaque_desc){"odd", 1, &y, 1, 0, NULL});
        if (own == OWN_BIAS) mskp_bind(g, bias, 0, MSKP_ROLE_OTHER, side);
        if (own == OWN_BIAS_ATTACHED) mskp_attach(g, bias, side);
        if (own == OWN_MEAN) mskp_attach(g, mean, side);
        if (own < OWN_ATTACH || own == OWN_OPAQUE || own == OWN_MEAN) mskp_attach(g, bias, side);
        mskp_output(g, z);
        mskp_error err = {MSKP_OK, ""};
        ck_assert_msg(mskp_graph_finish(g, &err) == MSKP_OK, "%s", err.text);
        const uint32_t *units = mskp_value_units(g, x, NULL);
        uint8_t keep[8], kept[8];
        const size_t n = mskp_graph_counts(g).units;
        ck_assert_uint_le(n, sizeof keep);
        memset(keep, 1, n);
        keep[units[0]] = keep[units[1]] = 0;
        mskp_tensor values[7] = {{0}};
        for (int p = 1; p <= 6; p++)
            values[p] = (mskp_tensor){.data = (void *)(uintptr_t)(p == 1 ? numbers : numbers + 8),
                                      .dtype = MSKP_DTYPE_F64};
        mskp_constants *c = NULL;
        mskp_constants_report r;
        const mskp_constants_desc desc = {.way = MSKP_CONSTANTS_FOLD};
        ck_assert_msg(!create_constants(g, n, keep, &desc, 6, values, kept, &c, &err), "%s",
                      err.text);
        ck_assert_int_eq(mskp_constants_consumer(c, 0, &r, &err), MSKP_OK);
        ck_assert_uint_eq(mskp_constants_consumers(c), 1);
        ck_assert_msg(r.folded == (own ? 0 : 2) && r.dropped == (own ? 2 : 0), "own %d: %zu folded",
                      own, r.folded);
        ck_assert_msg(r.into.id == (own ? 0 : mean.id), "own %d: into %u", own, r.into.id);
        const char *why = own == OWN_BIAS || own == OWN_BIAS_ATTACHED ? "is shared" : "no bias";
        ck_assert_msg(own ? r.why && strstr(r.why, why) : !r.why, "own %d: %s", own,
                      r.why ? r.why : "exact");
        mskp_constants_destroy(c);
        mskp_graph_destroy(g);
    }
}
END_TEST

/* ---- Another model of constants ---- */

START_TEST(the_oracle_agrees)
{
    const size_t count = test_count(800);
    oracle_tally y;
    const char *why = oracle_compare_constants(test_seed() * 1000, count, &y);
    if (why) {
        printf("skipped: comparison of constants with the oracle: %s\n", why);
        (void)fflush(stdout);
        return;
    }
    if (getenv("MSKP_TEST_VERBOSE"))
        printf("the oracle: %zu networks, %zu passed over; %zu channels that leave, %zu of them "
               "constant and not 0; %zu reports, %zu exact; all of a network in %zu\n",
               y.networks, y.differ, y.channels, y.constants, y.reports, y.exact, y.exact_networks);
    if (count < 500) return;
    REQUIRE(y.differ * 20 < count, "%zu networks are passed over", y.differ);
    REQUIRE(y.constants > count && y.exact > count && y.exact * 2 < y.reports,
            "%zu constants, %zu of %zu reports exact", y.constants, y.exact, y.reports);
}
END_TEST

/* ---- Statistics of carriers ---- */

/* A scale of 0 cancels the input of a carrier unless a statistic is NaN: such a unit cannot
 * carry. */
START_TEST(carriers_have_statistics)
{
    static const double ones[8] = {1, 1, 1, 1, 1, 1, 1, 1}, scales[4] = {0, 0, 1, 1};
    double variances[4] = {-1, 1, 1, 1};
    mskp_graph *g = mskp_graph_create(NULL);
    const size_t four = 4;
    const mskp_param w = mskp_parameter(g, "w", 2, (size_t[]){4, 2});
    const mskp_param scale = mskp_parameter(g, "scale", 1, &four);
    const mskp_param shift = mskp_parameter(g, "shift", 1, &four);
    const mskp_param mean = mskp_parameter(g, "mean", 1, &four);
    const mskp_param variance = mskp_parameter(g, "variance", 1, &four);
    const mskp_param v = mskp_parameter(g, "v", 2, (size_t[]){1, 4});
    const mskp_norm_desc norm = {
        .scale = scale, .shift = shift, .mean = mean, .variance = variance};
    mskp_value x = mskp_linear(g, "x", mskp_input(g, "in", 2, 0, NULL), w, (mskp_param){0});
    x = mskp_norm(g, "norm", x, &norm);
    mskp_output(g, mskp_linear(g, "y", x, v, (mskp_param){0}));
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    mskp_tensor values[7] = {{0}};
    for (int p = 1; p <= 6; p++)
        values[p] = (mskp_tensor){.data = (void *)(uintptr_t)ones, .dtype = MSKP_DTYPE_F64};
    values[scale.id].data = (void *)(uintptr_t)scales;
    values[variance.id].data = variances;
    for (int k = 0; k < 3; k++) {
        const uint8_t keep[4] = {0, 0, 1, 1};
        uint8_t kept[4] = {7, 7, 7, 7};
        mskp_constants *c = NULL;
        mskp_error err = {0};
        if (k == 1) variances[0] = (double)NAN;
        if (k == 2) values[variance.id].data = NULL; /* not here: not looked at */
        const mskp_status status = create_constants(g, 4, keep, NULL, 6, values, kept, &c, &err);
        if (k == 1) {
            ck_assert_int_eq(status, MSKP_ERROR_BAD_NUMBER);
            ck_assert_msg(strstr(err.text, "variance") != NULL, "%s", err.text);
            ck_assert_uint_eq(kept[0], 7);
            continue;
        }
        ck_assert_msg(!status, "%s", err.text);
        ck_assert(kept[0] == (k == 2) && kept[1] == (k == 0) && kept[2] && kept[3]);
        mskp_constants_destroy(c);
    }
    mskp_graph_destroy(g);
}
END_TEST

/* ---- When a unit is worth it ---- */

/* One output, of weights 1, 0, 3 and 4; channel 0, which is constantly 2, leaves. Without it the
 * output varies by 5 and is off by 2: a share of 0.4. */
START_TEST(merging_by_share)
{
    static const double filters[8] = {0, 0, 1, 1, 1, 2, 1, 3}, biases[4] = {2, 0, 0, 0};
    static const double columns[4] = {1, 0, 3, 4};
    mskp_graph *g = mskp_graph_create(NULL);
    const mskp_param w = mskp_parameter(g, "w", 2, (size_t[]){4, 2});
    const mskp_param b = mskp_parameter(g, "b", 1, (size_t[]){4});
    const mskp_param v = mskp_parameter(g, "v", 2, (size_t[]){1, 4});
    const mskp_value x = mskp_linear(g, "x", mskp_input(g, "in", 2, 0, NULL), w, b);
    mskp_output(g, mskp_linear(g, "y", x, v, (mskp_param){0}));
    ck_assert_int_eq(mskp_graph_finish(g, NULL), MSKP_OK);
    const mskp_tensor values[4] = {{0},
                                   {.data = (void *)(uintptr_t)filters, .dtype = MSKP_DTYPE_F64},
                                   {.data = (void *)(uintptr_t)biases, .dtype = MSKP_DTYPE_F64},
                                   {.data = (void *)(uintptr_t)columns, .dtype = MSKP_DTYPE_F64}};
    for (int k = 0; k < 2; k++) {
        uint8_t keep[4] = {0, 1, 1, 1}, kept[4];
        mskp_constants *c = NULL;
        mskp_constants_report r;
        const mskp_constants_desc desc = {.merge_above = k ? 0.401 : 0.399};
        ck_assert_int_eq(create_constants(g, 4, keep, &desc, 3, values, kept, &c, NULL), 0);
        ck_assert_int_eq(mskp_constants_total(c, &r, NULL), MSKP_OK);
        ck_assert_uint_eq(r.merged, k ? 0 : 1);
        ck_assert_uint_eq(r.dropped, k ? 1 : 0);
        ck_assert_uint_eq(kept[0], k ? 0 : 1);
        ck_assert_double_eq_tol(r.bound, k ? 2 : 0, 1e-9);
        ck_assert_double_eq_tol(r.share, k ? 0.4 : 0, 1e-9);
        mskp_constants_destroy(c);
    }
    mskp_graph_destroy(g);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("constants");
    TCase *tcase = tcase_create("constants");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, another_set_by_the_same_decision);
    tcase_add_test(tcase, by_hand);
    tcase_add_test(tcase, broadcast_channels_do_not_carry);
    tcase_add_test(tcase, arguments_are_checked);
    tcase_add_test(tcase, values_are_checked);
    tcase_add_test(tcase, elements_are_named);
    tcase_add_test(tcase, copies_are_accepted);
    tcase_add_test(tcase, what_was_trained_on_is_refused);
    tcase_add_test(tcase, shared_memory_is_refused);
    tcase_add_test(tcase, as_the_header_shows);
    tcase_add_test(tcase, dtypes_round_once);
    tcase_add_test(tcase, long_axes);
    tcase_add_test(tcase, merging_by_share);
    tcase_add_test(tcase, carriers_have_statistics);
    tcase_add_test(tcase, primitives_hinder_folding);
    tcase_add_test(tcase, auto_holds);
    tcase_add_test(tcase, merge_holds);
    tcase_add_test(tcase, fold_holds);
    tcase_add_test(tcase, auto_is_the_best);
    tcase_add_test(tcase, twice_holds);
    tcase_add_test(tcase, places_move);
    tcase_add_test(tcase, drop_holds);
    suite_add_tcase(suite, tcase);
    tcase = tcase_create("oracle");
    tcase_set_timeout(tcase, 600);
    tcase_add_test(tcase, the_oracle_agrees);
    suite_add_tcase(suite, tcase);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
