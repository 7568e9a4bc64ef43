/*
 * The bridge to darknet, tested on darknet's own arrays, update path, loader and program. The
 * networks are small .cfg files in test/bridges/darknet, or are written to a temporary folder.
 */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <float.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#include "bridges/laws.h"
#include "mskp_darknet.h"

#define RESNET  "examples/programs/trainers/darknet/resnet.cfg"
#define VALUES  MSKP_DARKNET_VALUES
#define UPDATES MSKP_DARKNET_UPDATES
enum { GAMMA_AND_BETA = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT };

/* Float sums over up to 700 terms, through up to 22 layers: about 2^-24 * sqrt(700) in each.
 * What was seen, of outputs and after a step, is below a tenth of this. */
static const double ROUNDING = 1e-5;

/* ---- .cfg files ---- */

#define FILES  "test/bridges/darknet/"
#define TINY   FILES "tiny.cfg"
#define WIDTHS FILES "widths.cfg"
static const char *const ZOO[] = {WIDTHS, FILES "grow.cfg",      FILES "opaque.cfg",
                                  TINY,   FILES "functions.cfg", RESNET};
enum { GROW = 1, OPAQUE = 2, ZOO_COUNT = sizeof ZOO / sizeof *ZOO, SEEDS = 4 };

/* Others are put together from sections. */
#define NET "[net]\nbatch=2\nwidth=8\nheight=8\nchannels=3\n"
#define PLAIN(filters, size, stride, activation)                             \
    "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=" #stride \
    "\npad=1\nactivation=" #activation "\n"
#define CONV(filters, size, stride, activation) \
    PLAIN(filters, size, stride, activation) "batch_normalize=1\n"
#define CLASSES  "[avgpool]\n[connected]\nactivation=linear\noutput=4\n[softmax]\n"
#define CFG(...) join((const char *const[]){__VA_ARGS__, NULL})

static const char *join(const char *const *sections)
{
    static char text[4096];
    for (text[0] = 0; *sections; sections++) {
        ck_assert_uint_lt(strlen(text) + strlen(*sections), sizeof text);
        strcat(text, *sections);
    }
    return text;
}

/* ---- a network under test ---- */

static char folder[64];

static const char *in_folder(const char *name)
{
    static char path[4][128];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof *path, "%.60s/%.60s", folder, name);
    return path[turn];
}

static void make_folder(void)
{
    strcpy(folder, "/tmp/test_darknet_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void empty_folder(void)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) unlink(in_folder(e->d_name));
    if (dir) closedir(dir);
}

static void remove_folder(void)
{
    empty_folder();
    rmdir(folder);
}

/* darknet prints a lot while it reads a .cfg. */
static void quiet(bool on)
{
    static int saved = -1;
    fflush(stderr);
    if (on) {
        saved = dup(STDERR_FILENO);
        const int null = open("/dev/null", O_WRONLY);
        dup2(null, STDERR_FILENO);
        close(null);
    } else {
        dup2(saved, STDERR_FILENO);
        close(saved);
    }
}

static const char *write_text(const char *name, const char *text)
{
    const char *path = in_folder(name);
    FILE *file = fopen(path, "wb");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}

static char *read_text(const char *path)
{
    char *text = calloc(1, 65536);
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file && text, "%s cannot be read", path);
    ck_assert_uint_lt(fread(text, 1, 65535, file), 65535);
    fclose(file);
    return text;
}

static network *parse(const char *cfg)
{
    quiet(true);
    srand(1);
    network *net = parse_network_cfg((char *)cfg);
    quiet(false);
    return net;
}

static uint64_t random_state;
static float noise(void) /* uniform in [-1, 1), deviation 0.58 */
{
    random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (float)(random_state >> 40) / 8388608.0F - 1;
}

static void fill(float *to, int n, float mean, float range)
{
    for (int i = 0; to && i < n; i++) to[i] = mean + range * noise();
}

/* Values that differ from each other, gammas of both signs, statistics of a trained network. */
static void fill_network(network *net, uint64_t seed)
{
    random_state = seed * 7919 + 1;
    for (int i = 0; i < net->n; i++) {
        layer *l = &net->layers[i];
        const bool whole = l->type == CONNECTED;
        const int n = whole ? l->outputs : l->out_c, weights = whole ? n * l->inputs : l->nweights;
        fill(l->rolling_mean, n, 0, 0.5F);
        fill(l->rolling_variance, n, 1.2F, 0.8F);
        if (l->type != CONVOLUTIONAL && !whole) continue;
        fill(l->weights, weights, 0, 1.7F * sqrtf((float)n / (float)weights));
        fill(l->biases, n, 0, 0.5F);
        for (int c = 0; l->scales && c < n; c++)
            l->scales[c] = (noise() < -0.4F ? -1 : 1) * (1 + 0.5F * noise());
        fill(l->weight_updates, weights, 0, 0.1F);
        fill(l->bias_updates, n, 0, 0.1F);
        fill(l->scale_updates, n, 0, 0.1F);
    }
    fill(net->input, net->inputs * net->batch, 0, 1.7F);
    for (int i = 0; i < net->batch; i++) net->truth[i * net->truths + (i + 1) % net->truths] = 1;
}

typedef struct subject {
    const char *cfg; /* the file */
    network *net;
    mskp_darknet d;
    mskp_mask keep; /* a copy of the mask */
} subject;

static void open_file(subject *s, const char *cfg, uint64_t seed)
{
    mskp_error err = {0};
    s->cfg = strdup(cfg);
    s->net = parse(cfg);
    fill_network(s->net, seed);
    ck_assert_msg(!mskp_darknet_describe(&s->d, s->net, &err), "%s: %s", cfg, err.text);
    ck_assert_msg(!mskp_darknet_hook(&s->d, &err), "%s: %s", cfg, err.text);
    s->keep = mskp_bridge_mask(s->d.graph);
}

static void open_text(subject *s, const char *text, uint64_t seed)
{
    open_file(s, write_text("dense.cfg", text), seed);
}

static void close_subject(subject *s)
{
    mskp_darknet_free(&s->d);
    free_network(s->net);
    free(s->keep.unit);
    free((char *)s->cfg);
}

/* With another batch: of an option that is given twice, darknet takes the first. */
static void open_batch(subject *s, const char *cfg, const char *batch, uint64_t seed)
{
    char *text = read_text(cfg), *rest = strstr(text, "[net]\n") + strlen("[net]\n");
    open_text(s, CFG("[net]\n", batch, rest), seed);
    free(text);
}

static void open_zoo(subject *s, int i, uint64_t seed)
{
    open_file(s, ZOO[i], seed);
    set_batch_network(s->net, 2);
}

static void draw_mask(subject *s, uint64_t seed)
{
    law_random_mask(s->d.graph, 0.4, seed, s->d.keep);
    memcpy(s->keep.unit, s->d.keep.unit, s->keep.n);
}

static void cut(subject *s)
{
    mskp_error err = {0};
    quiet(true);
    const mskp_status status = mskp_darknet_cut(&s->d, s->cfg, in_folder("pruned.cfg"), &err);
    quiet(false);
    ck_assert_msg(!status, "%s", err.text);
}

/* What goes into the last layer, a softmax: it would hide differences. */
static float *logits(network *net, size_t *n)
{
    network_predict(net, net->input);
    const layer *l = &net->layers[net->n - 2];
    *n = (size_t)(l->outputs * l->batch);
    return l->output;
}

static float *copy_logits(network *net, size_t *n)
{
    const float *now = logits(net, n);
    float *copy = malloc(*n * sizeof *copy);
    return memcpy(copy, now, *n * sizeof *copy);
}

static void zero(subject *s, int set)
{
    law_zero(s->d.graph, s->d.keep, MSKP_ROLES_UNIT, s->d.sets[set]);
}

/* Surgery alone, as if there were no constants. */
static void drop_constants(subject *s)
{
    s->d.constants = (mskp_constants_desc){.way = MSKP_CONSTANTS_DROP};
}

static mskp_param param_at(size_t i)
{
    return (mskp_param){(uint32_t)i + 1};
}

static size_t elements(const subject *s, size_t p)
{
    return law_elements(s->d.graph, param_at(p));
}

static const char *name_of(const subject *s, size_t p)
{
    return mskp_param_name(s->d.graph, param_at(p));
}

static mskp_tensor *tensor(const subject *s, int set, const char *name)
{
    return mskp_tensor_of(s->d.sets[set], mskp_param_find(s->d.graph, name));
}

/* The tensors receive what law_copy copied. */
static void restore(subject *s, int set, float *const *copy)
{
    for (size_t p = 0; p < s->d.sets[set].n; p++)
        if (copy[p]) memcpy(s->d.sets[set].view[p].data, copy[p], elements(s, p) * sizeof **copy);
}

static bool same_set(const subject *s, int set, float *const *copy)
{
    for (size_t p = 0; p < s->d.sets[set].n; p++)
        if (copy[p] && memcmp(s->d.sets[set].view[p].data, copy[p], elements(s, p) * sizeof **copy))
            return false;
    return true;
}

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static mskp_coupling info_of(const mskp_graph *g, const char *name)
{
    mskp_coupling info = {0};
    mskp_error err = {0};
    ck_assert_msg(!mskp_value_coupling(g, mskp_value_find(g, name), &info, &err), "%s: %s", name,
                  err.text);
    return info;
}

/* ---- what darknet does ---- */

START_TEST(flush_to_zero_is_on)
{
    volatile float smallest = FLT_MIN;
    ck_assert_msg(smallest / 2 == 0, "denormal results are kept: this library does not switch "
                                     "flush-to-zero on");
#ifdef __SSE__
    ck_assert_uint_eq(_mm_getcsr() & 0x8040U, 0x8040U); /* and inputs count as zero */
#endif
}
END_TEST

START_TEST(batch_norm_has_two_epsilons)
{
    subject s;
    open_text(&s, CFG(NET, CONV(1, 1, 1, linear), CLASSES), 1);
    layer *l = &s.net->layers[0];
    for (int i = 0; i < l->nweights; i++)
        l->weights[i] = i ? 0 : 1; /* it hands the first channel on */
    for (int i = 0; i < s.net->inputs * s.net->batch; i++) s.net->input[i] = 1e-4F * noise();
    l->rolling_mean[0] = 0, l->rolling_variance[0] = 1e-10F, l->biases[0] = 0, l->scales[0] = 1;
    network_predict(s.net, s.net->input);
    const double x = (double)s.net->input[5];
    ck_assert_double_eq_tol((double)l->output[5] / (x / (sqrt(1e-10) + 1e-6)), 1, 1e-4);

    s.net->train = 1;
    forward_network(s.net);
    const double variance = (double)l->variance[0], mean = (double)l->mean[0];
    const double forward = ((double)s.net->input[5] - mean) / (sqrt(variance) + 1e-6);
    ck_assert_double_eq_tol((double)l->x_norm[5] / forward, 1, 1e-3);
    for (int i = 0; i < l->outputs * l->batch; i++) l->delta[i] = i == 5;
    network net = *s.net;
    net.delta = NULL;
    l->backward(*l, net);
    const double m = (double)(l->batch * l->out_h * l->out_w), inside = sqrt(variance + 1e-5);
    const double apart = x - mean; /* the gradient of one number, at that number */
    const double backward = 1 / inside - apart * apart / (m * pow(inside, 3)) - 1 / (m * inside);
    ck_assert_double_eq_tol((double)l->delta[5] / backward, 1, 1e-3);
    ck_assert_double_gt((1 / (sqrt(variance) + 1e-6)) / backward,
                        10); /* the other one is far off */
    close_subject(&s);
}
END_TEST

/* from: what is added, of `others` channels. */
static void check_shortcut(const char *cfg, int channels, int others)
{
    subject s;
    open_text(&s, cfg, 2);
    network_predict(s.net, s.net->input);
    const layer *sum = &s.net->layers[2], *in = &s.net->layers[1], *from = &s.net->layers[0];
    ck_assert_int_eq(sum->out_c, channels);
    for (int k = 0; k < channels; k++)
        for (int i = 0; i < 64; i++) {
            const float a = in->output[k * 64 + i];
            const float b = k < others ? from->output[k * 64 + i] : 0;
            const float expected = k < others ? 0.5F * a + 2 * b : a;
            ck_assert_float_eq_tol(sum->output[k * 64 + i], expected,
                                   1e-6F * (1 + fabsf(a) + fabsf(b)));
        }
    close_subject(&s);
}

START_TEST(shortcut_takes_the_smaller_number_of_channels_and_scales_both_sides)
{
    const char *sum = "[shortcut]\nfrom=-2\nalpha=0.5\nbeta=2\n";
    check_shortcut(CFG(NET, CONV(3, 1, 1, linear), CONV(5, 1, 1, linear), sum, CLASSES), 5, 3);
    check_shortcut(CFG(NET, CONV(5, 1, 1, linear), CONV(3, 1, 1, linear), sum, CLASSES), 3, 5);
}
END_TEST

/* The image is read as if it were as small as the result: result i of filter f is made of element
 * k * results + i, whichever channel that is. */
START_TEST(strided_convolutions_of_size_1_mix_channels)
{
    subject s;
    const char *strided = "[convolutional]\nfilters=2\nstride=2\nactivation=linear\n";
    open_text(&s, CFG(NET, strided, "[avgpool]\n[softmax]\n"), 4);
    network_predict(s.net, s.net->input);
    const layer *l = &s.net->layers[0];
    ck_assert_int_eq(l->out_h, 4);
    for (int f = 0; f < 2; f++)
        for (int i = 0; i < 16; i++) {
            float sum = l->biases[f];
            for (int k = 0; k < 3; k++) sum += l->weights[f * 3 + k] * s.net->input[k * 16 + i];
            ck_assert_float_eq_tol(l->output[f * 16 + i], sum, 1e-5F);
        }
    ck_assert_uint_eq(s.d.keep.n, 0);
    close_subject(&s);
}
END_TEST

START_TEST(batchnorm_layers_and_adam_are_not_trained_by_this_library)
{
    subject s;
    open_text(&s, CFG(NET, CONV(6, 3, 1, leaky), "[batchnorm]\n", CLASSES), 3);
    ck_assert(!s.net->layers[1].update);
    ck_assert_ptr_null(s.net->layers[1].x); /* it would be written to */
    close_subject(&s);
    open_text(&s, CFG(NET, "adam=1\n", CONV(6, 3, 1, leaky), CLASSES), 3);
    train_network_datum(s.net);
    ck_assert_int_eq(*s.net->t, 1);
    for (int k = 0; k < 6; k++) ck_assert_float_eq(s.net->layers[0].scale_m[k], 0);
    close_subject(&s);
}
END_TEST

/* ---- description ---- */

START_TEST(values_have_darknets_shapes)
{
    subject s;
    open_zoo(&s, _i, 1);
    for (int i = 0; i < s.net->n; i++) {
        const layer *l = &s.net->layers[i];
        char name[24];
        snprintf(name, sizeof name, "layer%d", i);
        size_t channels, size[MSKP_MAX_SPATIAL];
        ck_assert_uint_eq(
            mskp_value_shape(s.d.graph, mskp_value_find(s.d.graph, name), &channels, size), 2);
        ck_assert_uint_eq(channels * size[0] * size[1], (size_t)l->outputs);
        if (l->out_c) ck_assert_uint_eq(channels, (size_t)l->out_c);
        if (l->out_h) ck_assert_uint_eq(size[0], (size_t)l->out_h);
    }
    close_subject(&s);
}
END_TEST

START_TEST(channels_are_tied_as_darknet_adds_them)
{
    subject s;
    size_t n, m;
    open_file(&s, WIDTHS, 1);
    const mskp_graph *g = s.d.graph;
    const uint32_t *a = mskp_value_units(g, mskp_value_find(g, "layer0"), &n);
    const uint32_t *b = mskp_value_units(g, mskp_value_find(g, "layer2"), &m);
    ck_assert_uint_eq(n, 8);
    ck_assert_uint_eq(m, 12);
    for (size_t i = 0; i < m; i++) /* 8 of the 12 are layer 0's; the other four stand alone */
        for (size_t k = 0; k < n; k++) ck_assert_int_eq(b[i] == a[k], i == k);
    const uint32_t *c = mskp_value_units(g, mskp_value_find(g, "layer6"), &n);
    ck_assert_uint_eq(n, 6); /* of layer 2's 12, six are added */
    for (size_t i = 0; i < n; i++) ck_assert_uint_eq(c[i], b[i]);
    const uint32_t *d = mskp_value_units(g, mskp_value_find(g, "layer9"), &n);
    const uint32_t *e = mskp_value_units(g, mskp_value_find(g, "layer8"), &m);
    ck_assert_uint_eq(n, 16); /* a route is its inputs, one after the other */
    ck_assert_uint_eq(m, 10);
    for (size_t i = 0; i < n; i++) ck_assert_uint_eq(d[i], i < 10 ? e[i] : c[i - 10]);
    const uint32_t *f = mskp_value_units(g, mskp_value_find(g, "layer17"), &m);
    ck_assert_uint_eq(m, 11 + 16 * 16); /* all numbers of unequal images */
    for (size_t i = 11; i < m; i++) ck_assert_uint_eq(f[i], d[(i - 11) / 16]);
    ck_assert_uint_eq(info_of(g, "layer18").units, 0); /* the classes stay */
    ck_assert_str_eq(mskp_value_name(g, info_of(g, "layer18").pinned_by), "layer19");

    /* Biases are the shift: of batch norm where there is one, else of the convolution. */
    uint32_t roles;
    mskp_param_units(g, mskp_param_find(g, "layer7.biases"), 0, &roles, NULL);
    ck_assert_uint_eq(roles, MSKP_ROLE_SHIFT);
    ck_assert_uint_eq(mskp_param_find(g, "layer7.scales").id, 0);
    mskp_param_units(g, mskp_param_find(g, "layer14.biases"), 0, &roles, NULL);
    ck_assert_uint_eq(roles, MSKP_ROLE_SHIFT);
    mskp_param_units(g, mskp_param_find(g, "layer14.scales"), 0, &roles, NULL);
    ck_assert_uint_eq(roles, MSKP_ROLE_SCALE);
    close_subject(&s);
}
END_TEST

/* Sections after a convolution of so many filters, and the word that reports use. */
static const struct {
    const char *word, *before, *section;
} UNKNOWN[] = {
    {"groups", "filters=6\n", "[convolutional]\nfilters=4\ngroups=2\nsize=3\npad=1\n"},
    {"strided_1x1", "filters=6\n", "[convolutional]\nfilters=4\nstride=2\n"},
    {"strided_1x1", "filters=6\n", "[convolutional]\nfilters=4\npadding=1\n"},
    {"binary", "filters=6\n", "[convolutional]\nfilters=4\nbinary=1\nbatch_normalize=1\n"},
    {"xnor", "filters=6\n", "[convolutional]\nfilters=4\nxnor=1\n"},
    {"deconvolutional", "filters=6\n", "[deconvolutional]\nfilters=4\nsize=2\nstride=2\n"},
    {"crop", "filters=6\n", "[crop]\ncrop_height=4\ncrop_width=4\n"},
    {"normalization", "filters=6\n", "[normalization]\n"},
    {"local", "filters=6\n", "[local]\nfilters=4\nsize=3\npad=1\n"},
    {"batchnorm", "filters=6\n", "[batchnorm]\n"},
    {"reorg", "filters=6\n", "[reorg]\nstride=2\n"},
    {"downsample", "filters=6\n", "[upsample]\nstride=-2\n"},
    {"l2norm", "filters=6\n", "[l2norm]\n"},
    {"logistic", "filters=6\n", "[logistic]\n"},
    {"softmax", "filters=6\n", "[softmax]\n"},
    {"cost", "filters=6\n", "[cost]\n"},
    {"rnn", "filters=6\n", "[rnn]\noutput=7\n"},
    {"gru", "filters=6\n", "[gru]\noutput=7\n"},
    {"lstm", "filters=6\n", "[lstm]\noutput=7\n"},
    {"crnn", "filters=6\n", "[crnn]\noutput_filters=4\nhidden_filters=5\n"},
    {"detection", "filters=7\n", "[detection]\nside=8\nnum=1\ncoords=4\nclasses=2\n"},
    {"region", "filters=7\n", "[region]\nnum=1\ncoords=4\nclasses=2\n"},
    {"yolo", "filters=14\n", "[yolo]\nnum=2\nmask=0,1\nclasses=2\nanchors=1,1, 2,2\n"},
    {"iseg", "filters=6\n", "[iseg]\nclasses=2\nids=4\n"},
};
enum { UNKNOWN_COUNT = sizeof UNKNOWN / sizeof *UNKNOWN };

START_TEST(unknown_layers_pin_what_reaches_them_and_are_named)
{
    subject s;
    open_text(&s,
              CFG(NET, CONV(5, 3, 1, relu), "[convolutional]\nsize=1\nbatch_normalize=1\n",
                  UNKNOWN[_i].before, UNKNOWN[_i].section),
              1);
    const mskp_coupling made = info_of(s.d.graph, "layer2"), before = info_of(s.d.graph, "layer1");
    ck_assert_str_eq(made.op, UNKNOWN[_i].word);
    ck_assert_uint_eq(made.units, 0);
    ck_assert_uint_eq(before.units, 0);
    ck_assert_str_eq(mskp_value_name(s.d.graph, before.pinned_by), "layer2");
    ck_assert_uint_eq(info_of(s.d.graph, "layer0").units, 5); /* what lies elsewhere is free */
    close_subject(&s);
}
END_TEST

START_TEST(a_layer_that_is_the_truth_of_others_stays)
{
    subject s;
    open_text(&s, CFG(NET, CONV(5, 3, 1, relu), "truth=1\n", CONV(5, 3, 1, relu), "[cost]\n"), 1);
    ck_assert_uint_eq(info_of(s.d.graph, "layer0").units, 0);
    close_subject(&s);
}
END_TEST

/* ---- penalty ---- */

START_TEST(penalty_lands_where_it_should_in_darknets_own_update)
{
    for (uint64_t seed = 1; seed <= 2; seed++) {
        subject s;
        open_zoo(&s, _i, seed);
        draw_mask(&s, seed);
        s.net->train = 1;
        forward_network(s.net);
        backward_network(s.net);
        float **values = law_copy(s.d.graph, s.d.sets[VALUES]);
        float **updates = law_copy(s.d.graph, s.d.sets[UPDATES]);
        /* A step that changes nothing else. */
        s.net->learning_rate = 0, s.net->decay = 0, s.net->momentum = 1;
        s.net->subdivisions = 3;
        s.d.strength = 0.01;
        update_network(s.net);
        ck_assert_msg(!s.d.error.status, "%s", s.d.error.text);
        ck_assert_double_ge(s.d.seconds, 0);
        law_penalty_landed(s.d.graph, s.keep, GAMMA_AND_BETA, -0.01 * 2 * 3, s.d.sets[VALUES],
                           values, s.d.sets[UPDATES], updates);
        law_free(s.d.graph, values);
        law_free(s.d.graph, updates);
        close_subject(&s);
    }
}
END_TEST

/* A unit's index on an axis of a parameter in these roles. */
static bool targeted(const subject *s, size_t p, size_t at)
{
    uint32_t roles;
    const uint32_t *unit = mskp_param_units(s->d.graph, param_at(p), 0, &roles, NULL);
    return unit && (roles & GAMMA_AND_BETA) && unit[at] != MSKP_PINNED && !s->keep.unit[unit[at]];
}

/* From the same values, in the same memory, with and without the penalty: `steps` batches. Every
 * value must differ by move * sign or be the same to the bit; *moved <- how many differ. */
static void compare_steps(subject *s, int batches, double move, size_t *moved)
{
    float **values = law_copy(s->d.graph, s->d.sets[VALUES]), **updates, **without;
    updates = law_copy(s->d.graph, s->d.sets[UPDATES]);
    const size_t seen = *s->net->seen;
    const double strength = s->d.strength;
    s->d.strength = 0;
    for (int i = 0; i < batches; i++) train_network_datum(s->net);
    without = law_copy(s->d.graph, s->d.sets[VALUES]);
    restore(s, VALUES, values);
    restore(s, UPDATES, updates);
    *s->net->seen = seen;
    s->d.strength = strength;
    for (int i = 0; i < batches; i++) train_network_datum(s->net);
    ck_assert_msg(!s->d.error.status, "%s", s->d.error.text);
    *moved = 0;
    for (size_t p = 0; p < s->d.sets[VALUES].n; p++) {
        const float *now = s->d.sets[VALUES].view[p].data;
        for (size_t k = 0; k < elements(s, p); k++) {
            const bool target = s->d.sets[UPDATES].view[p].data && targeted(s, p, k) && move != 0;
            const double sign = values[p][k] > 0 ? 1 : -1;
            const double apart = (double)now[k] - (double)without[p][k];
            ck_assert_msg(target ? fabs(apart + move * sign) <= 3e-7 * (1 + fabs((double)now[k]))
                                 : !memcmp(&now[k], &without[p][k], sizeof *now),
                          "%s, %zu: %.9g with and %.9g without the penalty, expected is %g",
                          name_of(s, p), k, (double)now[k], (double)without[p][k],
                          target ? -move * sign : 0);
            *moved += target;
        }
    }
    law_free(s->d.graph, values);
    law_free(s->d.graph, updates);
    law_free(s->d.graph, without);
}

START_TEST(one_real_step_moves_gamma_and_beta_of_what_leaves)
{
    size_t moved;
    subject s;
    open_zoo(&s, _i, 1);
    if (_i ==
        OPAQUE) { /* opaque layers with weights: those are not put back between the two runs */
        close_subject(&s);
        return;
    }
    draw_mask(&s, 5);
    s.d.strength = 0.02;
    s.net->learning_rate = 0.1F;
    compare_steps(&s, 1, 0.1 * 0.02, &moved);
    ck_assert_uint_gt(moved, 0);
    close_subject(&s);
}
END_TEST

START_TEST(subdivisions_get_one_penalty_per_step)
{
    subject s;
    size_t moved;
    open_batch(&s, WIDTHS, "batch=6\nsubdivisions=3\n", 3);
    ck_assert_int_eq(s.net->batch, 2);
    draw_mask(&s, 3);
    s.d.strength = 0.02;
    compare_steps(&s, 2, 0, &moved); /* the third of three batches makes the step */
    *s.net->seen = 0;
    compare_steps(&s, 3, 0.1 * 0.02, &moved);
    ck_assert_uint_gt(moved, 0);
    close_subject(&s);
}
END_TEST

/* Layer 0 has the hook, but a rate of 0. Layer 1 stops the gradient, which darknet updates all
 * the same. */
START_TEST(frozen_layers_keep_neither_the_hook_nor_the_penalty_from_others)
{
    subject s;
    open_text(&s,
              CFG("[net]\nbatch=4\nsubdivisions=2\nwidth=8\nheight=8\nchannels=3\n",
                  CONV(6, 3, 1, leaky), "learning_rate=0\n", CONV(7, 3, 1, leaky),
                  "stopbackward=1\n", CONV(8, 3, 2, relu), CLASSES),
              1);
    s.net->learning_rate = 0.1F;
    ck_assert_int_eq(s.d.first, 0);
    s.d.keep.unit[0] = s.d.keep.unit[7] = s.d.keep.unit[15] = 0; /* one of each layer */
    s.net->decay = 0;
    s.net->momentum = 0.5F;
    for (int i = 0; i < 3; i++) memset(s.net->layers[i].scale_updates, 0, 6 * sizeof(float));
    const float g0 = s.net->layers[0].scales[0], g1 = s.net->layers[1].scales[1];
    s.d.strength = 0.02;
    train_network_datum(s.net);
    ck_assert_float_eq(s.net->layers[1].scales[1], g1); /* the first of two subdivisions */
    train_network_datum(s.net);
    ck_assert_float_eq(s.net->layers[0].scales[0], g0);
    ck_assert_float_eq_tol(s.net->layers[1].scales[1], g1 - 0.002F * (g1 > 0 ? 1.0F : -1.0F),
                           1e-6F);
    /* Once, before the step: what is left of it is momentum * (-strength * batch *
     * subdivisions). */
    ck_assert_float_eq_tol(s.net->layers[1].scale_updates[1],
                           0.5F * -0.02F * 4 * (g1 > 0 ? 1.0F : -1.0F), 1e-6F);
    ck_assert_float_eq_tol(s.net->layers[0].scale_updates[0],
                           0.5F * -0.02F * 4 * (g0 > 0 ? 1.0F : -1.0F), 1e-6F);
    close_subject(&s);
}
END_TEST

START_TEST(a_denormal_gamma_gets_its_penalty)
{
    subject s;
    open_file(&s, TINY, 1);
    layer *l = &s.net->layers[0];
    const uint32_t plus = 1, minus = UINT32_C(0x80000001), minus_zero = UINT32_C(0x80000000);
    memcpy(&l->scales[0], &plus, sizeof plus);
    memcpy(&l->scales[1], &minus, sizeof minus);
    memcpy(&l->scales[2], &minus_zero, sizeof minus_zero);
    volatile float gamma = l->scales[0];
    ck_assert_msg(gamma * 1e30F == 0, "to this process it is zero");
    for (int i = 0; i < 6; i++) l->scale_updates[i] = 1;
    memset(s.d.keep.unit, 0, 6); /* layer 0's */
    s.d.strength = 0.25;
    s.net->learning_rate = 0;
    s.net->momentum = 1;
    update_network(s.net);
    ck_assert_float_eq(l->scale_updates[0], 1 - 0.25F * 2);
    ck_assert_float_eq(l->scale_updates[1], 1 + 0.25F * 2);
    ck_assert_float_eq(l->scale_updates[2], 1); /* zero has no sign */
    close_subject(&s);
}
END_TEST

START_TEST(networks_are_hooked_side_by_side)
{
    subject s[3];
    mskp_error err = {0};
    for (int i = 0; i < 3; i++) {
        open_file(&s[i], TINY, 1);
        memset(s[i].d.keep.unit, 0, 6);
        s[i].d.strength = 0.1 * (i + 1);
        s[i].net->learning_rate = 0;
        s[i].net->momentum = 1;
        memset(s[i].net->layers[0].scale_updates, 0, 6 * sizeof(float));
    }
    ck_assert_int_eq(mskp_darknet_hook(&s[1].d, &err), MSKP_ERROR_BAD_STATE);
    for (int i = 0; i < 3; i++) update_network(s[i].net);
    for (int i = 0; i < 3; i++)
        ck_assert_float_eq_tol(fabsf(s[i].net->layers[0].scale_updates[2]), 0.2F * (float)(i + 1),
                               1e-6F);
    close_subject(&s[1]);
    mskp_darknet_free(&s[2].d); /* its network goes on without */
    update_network(s[0].net);
    update_network(s[2].net);
    ck_assert_float_eq_tol(fabsf(s[0].net->layers[0].scale_updates[2]), 0.4F, 1e-6F);
    ck_assert_float_eq_tol(fabsf(s[2].net->layers[0].scale_updates[2]), 0.6F, 1e-6F);
    close_subject(&s[0]);
    close_subject(&s[2]);
}
END_TEST

/* ---- surgery ---- */

START_TEST(zeroed_units_leave_without_a_trace)
{
    const int zoo = _i / SEEDS;
    const uint64_t seed = (uint64_t)(_i % SEEDS) + 1;
    char what[64];
    size_t n, m;
    subject s;
    open_zoo(&s, zoo, seed);
    draw_mask(&s, seed);
    snprintf(what, sizeof what, "network %d, seed %d", zoo, (int)seed);
    float *dense = copy_logits(s.net, &n);
    zero(&s, VALUES);
    float *zeroed = copy_logits(s.net, &n);
    cut(&s);
    const float *pruned = logits(s.net, &m);
    ck_assert_uint_eq(n, m);
    law_close(what, n, zeroed, pruned, ROUNDING);
    const double apart = law_apart(n, dense, pruned); /* zeroing does make a difference */
    ck_assert_msg(apart > 20 * ROUNDING, "%s: only %g apart", what, apart);
    free(dense);
    free(zeroed);
    close_subject(&s);
}
END_TEST

/* Channels whose filter or gamma is 0, and whose beta is not, output constants. Every way of
 * keeping them leaves the outputs as they were wherever the report says that it is exact.
 * Merging is exact everywhere, unless darknet adds a constant to every second pixel only (GROW)
 * or a layer is opaque. */
START_TEST(constants_survive_the_cut)
{
    static const mskp_constants_way ways[] = {MSKP_CONSTANTS_DROP, MSKP_CONSTANTS_AUTO,
                                              MSKP_CONSTANTS_FOLD, MSKP_CONSTANTS_MERGE};
    const int zoo = _i / SEEDS;
    const uint64_t seed = (uint64_t)(_i % SEEDS) + 1;
    float *dropped = NULL;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        const mskp_constants_way way = ways[i];
        char what[80];
        size_t n;
        subject s;
        open_zoo(&s, zoo, seed);
        draw_mask(&s, seed);
        s.d.constants = (mskp_constants_desc){.way = way};
        law_make_constant(s.d.graph, s.d.keep, seed, s.d.sets[VALUES]);
        float *before = copy_logits(s.net, &n);
        cut(&s);
        float *after = copy_logits(s.net, &n);
        snprintf(what, sizeof what, "network %d, seed %d, way %d", zoo, (int)seed, (int)way);
        if (way == MSKP_CONSTANTS_DROP) {
            ck_assert_msg(!s.d.report.exact && s.d.report.dropped > 0, "%s: nothing lost", what);
            dropped = after;
        } else {
            const int exact = law_carried(what, &s.d.report, n, before, after, dropped, ROUNDING);
            ck_assert_msg(exact || way != MSKP_CONSTANTS_MERGE || zoo == GROW || zoo == OPAQUE,
                          "%s: %s", what, s.d.report.why);
            free(after);
        }
        if (way == MSKP_CONSTANTS_FOLD) ck_assert_uint_eq(s.d.report.carriers, 0);
        if (way == MSKP_CONSTANTS_MERGE && zoo == 0) ck_assert_uint_gt(s.d.report.carriers, 0);
        free(before);
        close_subject(&s);
    }
    free(dropped);
}
END_TEST

/* Momentum of what constants replaced is 0; all else keeps its own. */
START_TEST(what_constants_replaced_has_no_momentum)
{
    static const mskp_constants_way ways[] = {MSKP_CONSTANTS_MERGE, MSKP_CONSTANTS_FOLD};
    subject s;
    open_zoo(&s, 0, 5);
    draw_mask(&s, 5);
    s.d.constants = (mskp_constants_desc){.way = ways[_i]};
    law_make_constant(s.d.graph, s.d.keep, 5, s.d.sets[VALUES]);
    law_constants asked = law_ask_constants(s.d.graph, s.d.keep, &s.d.constants, s.d.sets[VALUES]);
    cut(&s);
    ck_assert_uint_gt(law_stale_cleared(&asked, s.d.graph, s.d.sets[UPDATES]), 10);
    law_forget_constants(&asked);
    close_subject(&s);
}
END_TEST

/* A rule on MACs holds with the carriers, and the cut gives the network that was promised. */
START_TEST(the_budget_includes_the_carriers)
{
    subject s;
    mskp_error err = {0};
    mskp_selection selection;
    mskp_cost dense, after;
    open_zoo(&s, _i, 9);
    ck_assert_int_eq(mskp_measure(s.d.graph, (mskp_mask){0}, &dense, NULL, &err), MSKP_OK);
    const mskp_scoring mean = {.reduce = MSKP_REDUCE_MEAN};
    const mskp_rule rule = {.max_macs = 0.7 * dense.macs};
    s.d.constants.way = MSKP_CONSTANTS_MERGE;
    ck_assert_msg(!mskp_darknet_select(&s.d, &mean, &rule, &selection, &err), "%s", err.text);
    cut(&s);
    ck_assert_int_eq(mskp_measure(s.d.graph, (mskp_mask){0}, &after, NULL, &err), MSKP_OK);
    ck_assert_double_le(after.macs, rule.max_macs);
    ck_assert_double_eq(after.macs, selection.cost.macs);
    ck_assert_double_eq(after.params, selection.cost.params);
    ck_assert_uint_gt(selection.removed, 0);
    close_subject(&s);
}
END_TEST

/* The bridge replaces its graph when it cuts. */
static mskp_graph *copy_graph(const mskp_graph *graph)
{
    const mskp_mask all = mskp_bridge_mask(graph);
    mskp_plan *plan;
    mskp_graph *copy;
    ck_assert_int_eq(mskp_plan_create(graph, all, &plan, &copy, NULL), MSKP_OK);
    mskp_plan_destroy(plan);
    free(all.unit);
    return copy;
}

START_TEST(values_and_momentum_are_cut_exactly)
{
    subject s;
    open_zoo(&s, _i, 6);
    draw_mask(&s, 6);
    drop_constants(&s);
    mskp_graph *full = copy_graph(s.d.graph);
    float **before[2] = {law_copy(full, s.d.sets[VALUES]), law_copy(full, s.d.sets[UPDATES])};
    cut(&s);
    for (int set = 0; set < 2; set++) {
        law_cut_exact(full, s.keep, before[set], s.d.graph, s.d.sets[set]);
        law_free(full, before[set]);
    }
    for (size_t u = 0; u < s.d.keep.n; u++) ck_assert_uint_eq(s.d.keep.unit[u], 1);
    mskp_graph_destroy(full);
    close_subject(&s);
}
END_TEST

START_TEST(a_step_after_the_cut_is_the_masked_networks_step)
{
    const int zoo = _i / SEEDS;
    const uint64_t seed = (uint64_t)(_i % SEEDS) + 1;
    char what[96];
    subject s[2]; /* 0 is cut, then trained; 1 the other way round */
    for (int k = 0; k < 2; k++) {
        open_zoo(&s[k], zoo, seed);
        draw_mask(&s[k], seed);
        zero(&s[k], VALUES);
        zero(&s[k], UPDATES);
        if (k == 0) cut(&s[k]);
        srand(99); /* crop draws numbers */
        s[k].net->learning_rate = 0.05F;
        s[k].net->clip = 0;
        train_network_datum(s[k].net);
        if (k == 1) zero(&s[k], VALUES), zero(&s[k], UPDATES), cut(&s[k]);
    }
    ck_assert_float_eq_tol(*s[0].net->cost / *s[1].net->cost, 1, 1e-5F);
    for (int set = 0; set < 2; set++)
        for (size_t p = 0; p < s[0].d.sets[set].n; p++) {
            const float *a = s[0].d.sets[set].view[p].data, *b = s[1].d.sets[set].view[p].data;
            snprintf(what, sizeof what, "network %d, seed %d, %s, set %d", zoo, (int)seed,
                     name_of(&s[0], p), set);
            ck_assert_uint_eq(elements(&s[0], p), elements(&s[1], p));
            if (a) law_close(what, elements(&s[0], p), a, b, ROUNDING);
        }
    for (int k = 0; k < 2; k++) close_subject(&s[k]);
}
END_TEST

/* From darknet's own structures. */
static mskp_cost count(const network *net)
{
    mskp_cost cost = {0, 0};
    for (int i = 0; i < net->n; i++) {
        const layer *l = &net->layers[i];
        const int n = l->outputs / (l->out_h * l->out_w > 0 ? l->out_h * l->out_w : 1);
        if (l->type == CONVOLUTIONAL && l->groups == 1) {
            cost.macs += (double)l->nweights * l->out_h * l->out_w;
            cost.params += l->nweights + n + (l->batch_normalize ? n : 0);
        } else if (l->type == CONNECTED) {
            cost.macs += (double)l->inputs * l->outputs;
            cost.params += l->inputs * l->outputs + n + (l->batch_normalize ? n : 0);
        }
    }
    return cost;
}

START_TEST(costs_are_what_was_promised)
{
    subject s;
    mskp_cost promised, after;
    open_zoo(&s, _i, 2);
    draw_mask(&s, 2);
    drop_constants(&s);
    const mskp_cost dense = count(s.net);
    mskp_measure(s.d.graph, (mskp_mask){0}, &after, NULL, NULL);
    ck_assert_double_eq(after.macs, dense.macs);
    ck_assert_double_eq(after.params, dense.params);
    ck_assert_int_eq(mskp_measure(s.d.graph, s.keep, &promised, NULL, NULL), MSKP_OK);
    cut(&s);
    const mskp_cost counted = count(s.net);
    mskp_measure(s.d.graph, (mskp_mask){0}, &after, NULL, NULL);
    ck_assert_double_eq(counted.macs, promised.macs);
    ck_assert_double_eq(counted.params, promised.params);
    ck_assert_double_eq(after.macs, promised.macs);
    ck_assert_double_eq(after.params, promised.params);
    ck_assert_double_lt(promised.macs, dense.macs);
    close_subject(&s);
}
END_TEST

START_TEST(darknet_loads_what_was_saved)
{
    subject s;
    size_t n, m;
    struct stat file;
    open_zoo(&s, _i, 4);
    draw_mask(&s, 4);
    cut(&s);
    *s.net->seen = 4242;
    float *ours = copy_logits(s.net, &n);
    quiet(true);
    save_weights(s.net, (char *)in_folder("pruned.weights"));
    network *other =
        load_network((char *)in_folder("pruned.cfg"), (char *)in_folder("pruned.weights"), 0);
    quiet(false);
    set_batch_network(other, 2);
    memcpy(other->input, s.net->input, (size_t)(2 * other->inputs) * sizeof(float));
    const float *theirs = logits(other, &m);
    ck_assert_uint_eq(*other->seen, 4242);
    ck_assert_uint_eq(n, m);
    law_close("loaded", n, ours, theirs, 1e-6);
    if (_i !=
        OPAQUE) { /* running statistics are no parameters to mskp_measure, but are in the file */
        size_t numbers = (size_t)count(s.net).params;
        for (int i = 0; i < s.net->n; i++)
            numbers += s.net->layers[i].batch_normalize
                           ? 2 * (size_t)s.net->layers[i].outputs /
                                 (size_t)(s.net->layers[i].out_h * s.net->layers[i].out_w)
                           : 0;
        ck_assert_int_eq(stat(in_folder("pruned.weights"), &file), 0);
        ck_assert_uint_eq((size_t)file.st_size, 20 + 4 * numbers);
    }
    free(ours);
    free_network(other);
    close_subject(&s);
}
END_TEST

/* A PPM image; the same as darknet's floats. */
static void write_image(const char *name, uint64_t seed, float *pixels)
{
    FILE *file = fopen(in_folder(name), "wb");
    ck_assert_ptr_nonnull(file);
    fprintf(file, "P6\n32 32\n255\n");
    random_state = seed;
    for (int i = 0; i < 1024; i++)
        for (int c = 0; c < 3; c++) {
            const int byte = (int)(127 + 100 * noise());
            fputc(byte, file);
            pixels[c * 1024 + i] = (float)byte / 255;
        }
    ck_assert_int_eq(fclose(file), 0);
}

START_TEST(the_stock_program_says_the_same)
{
    enum { IMAGES = 4, BATCH = 64 };
    char text[4096] = "", line[600], command[700];
    float *pixels = malloc(IMAGES * 3072 * sizeof *pixels);
    subject s;
    if (system("command -v darknet > /dev/null")) {
        printf("skipped: the program darknet is not installed\n");
        free(pixels);
        return;
    }
    open_zoo(&s, ZOO_COUNT - 1, 7);
    draw_mask(&s, 7);
    cut(&s);
    quiet(true);
    save_weights(s.net, (char *)in_folder("pruned.weights"));
    quiet(false);
    for (int i = 0; i < IMAGES; i++) {
        snprintf(line, sizeof line, "%d.ppm", i);
        write_image(line, (uint64_t)i + 1, pixels + i * 3072);
    }
    for (int i = 0; i <= BATCH; i++) { /* the program omits the last batch */
        snprintf(line, sizeof line, "%s/%d.ppm\n", folder, i % IMAGES);
        strcat(text, line);
    }
    write_text("test.list", text);
    snprintf(line, sizeof line, "classes=10\ntest=%s\n", in_folder("test.list"));
    write_text("test.data", line);
    snprintf(command, sizeof command,
             "cd %s && darknet classifier test test.data pruned.cfg "
             "pruned.weights 2> /dev/null",
             folder);
    FILE *program = popen(command, "r");
    ck_assert_ptr_nonnull(program);
    float theirs[10], largest = 0;
    int read = 0;
    for (; fgets(line, sizeof line, program); read++) {
        char *at = strchr(line, '\t');
        ck_assert_msg(at != NULL, "darknet says: %s", line);
        for (int k = 0; k < 10; k++) theirs[k] = strtof(at, &at);
        set_batch_network(s.net, 1);
        const float *ours = network_predict(s.net, pixels + read % IMAGES * 3072);
        for (int k = 0; k < 10; k++) /* printed with six digits */
            ck_assert_msg(fabsf(ours[k] - theirs[k]) <= 1e-5F * ours[k] + 1e-7F,
                          "image %d, class %d: %g, the program says %g", read, k, (double)ours[k],
                          (double)theirs[k]);
        largest = fmaxf(largest, theirs[0]);
    }
    ck_assert_int_eq(pclose(program), 0);
    ck_assert_int_eq(read, BATCH);
    ck_assert_float_gt(largest, 0);
    free(pixels);
    close_subject(&s);
}
END_TEST

/* ---- surgery: state ---- */

START_TEST(the_state_of_training_stays)
{
    subject s;
    open_batch(&s, WIDTHS, "batch=12\nsubdivisions=3\n", 1);
    s.net->policy = STEP;
    s.net->step = 10;
    s.net->scale = 0.5F;
    *s.net->t = 25;
    s.net->learning_rate = 0.3F;
    s.net->momentum = 0.7F;
    s.net->layers[3].learning_rate_scale = 0.25F;
    s.net->layers[0].stopbackward = 1;
    set_batch_network(s.net, 2);
    *s.net->seen = 2 * (3 * 25 + 1); /* 25 steps, and the first of three subdivisions */
    const float rate = get_current_rate(s.net);
    ck_assert_float_eq_tol(rate, 0.3F * 0.25F, 1e-6F);
    network *same = s.net;
    draw_mask(&s, 1);
    cut(&s);
    ck_assert_ptr_eq(same, s.d.net);
    ck_assert_int_eq(s.net->batch, 2);
    for (int i = 0; i < s.net->n; i++) ck_assert_int_eq(s.net->layers[i].batch, 2);
    ck_assert_float_eq(get_current_rate(s.net), rate);
    ck_assert_int_eq(*s.net->t, 25);
    ck_assert_float_eq(s.net->momentum, 0.7F);
    ck_assert_float_eq(s.net->layers[3].learning_rate_scale, 0.25F);
    ck_assert_int_eq(s.net->layers[0].stopbackward, 1);
    ck_assert_ptr_eq(s.net->output, s.net->layers[s.net->n - 1].output);
    ck_assert_ptr_eq(s.net->layers[12].output, s.net->layers[11].output); /* dropout */
    /* The hook is in the new layers, and the step comes after the third subdivision. */
    const float *updates = tensor(&s, UPDATES, "layer1.scales")->data;
    memset(s.d.keep.unit, 0, s.d.keep.n);
    s.d.strength = 1e6; /* so that it shows */
    train_network_datum(s.net);
    ck_assert_float_lt(fabsf(updates[0]), 1e4F);
    train_network_datum(s.net);
    ck_assert_float_gt(fabsf(updates[0]), 1e4F);
    close_subject(&s);
}
END_TEST

START_TEST(opaque_layers_go_over_as_they_are)
{
    subject s;
    open_text(&s,
              CFG(NET, CONV(6, 3, 1, relu), CONV(5, 3, 1, relu),
                  "[deconvolutional]\nfilters=4\nsize=2\nstride=2\n", "[gru]\noutput=7\n",
                  "[dropout]\nprobability=0.5\n", "[connected]\noutput=8\nactivation=relu\n",
                  "[connected]\noutput=4\nactivation=linear\n", "[softmax]\n"),
              1);
    const layer larger = s.net->layers[2], gru = s.net->layers[3];
    s.d.keep.unit[1] = s.d.keep.unit[4] = 0;
    drop_constants(&s);
    cut(&s);
    ck_assert_int_eq(s.net->layers[0].n, 4);
    ck_assert_mem_eq(&s.net->layers[2], &larger, sizeof larger);
    ck_assert_mem_eq(&s.net->layers[3], &gru, sizeof gru); /* with its gates, states, moments */
    ck_assert_ptr_eq(s.net->layers[4].output, gru.output); /* dropout, behind it */
    for (int i = 0; i < 3; i++) train_network_datum(s.net);
    ck_assert(isfinite(*s.net->cost));
    close_subject(&s);
}
END_TEST

START_TEST(the_output_is_that_of_the_new_layers)
{
    subject s;
    open_text(&s,
              CFG(NET, CONV(6, 3, 1, relu), "[avgpool]\n",
                  "[connected]\noutput=4\nactivation=linear\n", "[dropout]\n[cost]\n"),
              1);
    s.d.keep.unit[0] = s.d.keep.unit[3] = 0;
    zero(&s, VALUES);
    float before[8];
    memcpy(before, network_predict(s.net, s.net->input), sizeof before);
    cut(&s);
    ck_assert_ptr_eq(s.net->output, s.net->layers[2].output);
    law_close("output", 8, before, network_predict(s.net, s.net->input), ROUNDING);
    close_subject(&s);
}
END_TEST

START_TEST(moments_are_cut_too)
{
    subject s;
    open_text(&s, CFG(NET, "adam=1\n", CONV(6, 3, 1, leaky), PLAIN(5, 3, 2, relu), CLASSES), 1);
    for (int set = MSKP_DARKNET_M; set <= MSKP_DARKNET_V; set++)
        for (size_t p = 0; p < s.d.sets[set].n; p++)
            fill(s.d.sets[set].view[p].data, (int)elements(&s, p), 0, 1);
    draw_mask(&s, 2);
    drop_constants(&s);
    mskp_graph *full = copy_graph(s.d.graph);
    float **before[MSKP_DARKNET_SETS];
    for (int set = 0; set < MSKP_DARKNET_SETS; set++) before[set] = law_copy(full, s.d.sets[set]);
    ck_assert_ptr_nonnull(before[MSKP_DARKNET_M][mskp_param_find(full, "layer0.scales").id - 1]);
    cut(&s);
    for (int set = 0; set < MSKP_DARKNET_SETS; set++) {
        law_cut_exact(full, s.keep, before[set], s.d.graph, s.d.sets[set]);
        law_free(full, before[set]);
    }
    mskp_graph_destroy(full);
    close_subject(&s);
}
END_TEST

START_TEST(twice_is_fine)
{
    subject s;
    size_t n, m;
    open_file(&s, WIDTHS, 8);
    draw_mask(&s, 8);
    cut(&s);
    free((char *)s.cfg);
    s.cfg = strdup(in_folder("again.cfg"));
    ck_assert_int_eq(rename(in_folder("pruned.cfg"), s.cfg), 0);
    law_random_mask(s.d.graph, 0.3, 9, s.d.keep);
    zero(&s, VALUES);
    float *zeroed = copy_logits(s.net, &n);
    cut(&s);
    law_close("twice", n, zeroed, logits(s.net, &m), ROUNDING);
    free(zeroed);
    close_subject(&s);
}
END_TEST

/* ---- pruners ---- */

static void begin_pruner(subject *s, const mskp_pruner_options *options)
{
    mskp_error err = {0};
    ck_assert_msg(!mskp_pruner_create(s->d.graph, options, &s->d.pruner, &err), "%s", err.text);
}

static void end_pruner(subject *s)
{
    mskp_pruner_destroy(s->d.pruner);
    s->d.pruner = NULL;
}

static void pruner_step(subject *s)
{
    mskp_error err = {0};
    *s->net->seen = 0;
    for (int i = 0; i < s->net->subdivisions; i++) train_network_datum(s->net);
    ck_assert_msg(!s->d.error.status, "%s", s->d.error.text);
    ck_assert_msg(!mskp_pruner_after_step(s->d.pruner, (double)s->net->learning_rate,
                                          s->d.sets[VALUES], &err),
                  "%s", err.text);
}

static void cut_by_pruner(subject *s, int round)
{
    mskp_error err = {0};
    mskp_plan *plan;
    const mskp_constants *constants;
    char name[2][32];
    snprintf(name[0], sizeof name[0], "round%d.cfg", round);
    snprintf(name[1], sizeof name[1], "round%d.cfg", round + 1);
    const char *from = round ? strdup(in_folder(name[0])) : strdup(s->cfg);
    quiet(true);
    const bool good =
        !mskp_pruner_prepare(s->d.pruner, s->d.sets[VALUES], &plan, &constants, &err) &&
        !mskp_darknet_prune(&s->d, plan, constants, from, in_folder(name[1]), &err) &&
        !mskp_pruner_cut_done(s->d.pruner, &err);
    quiet(false);
    ck_assert_msg(good, "%s", err.text);
    free((char *)from);
}

/* The strength is found in each step, also where a step has several batches: what is marked is
 * exactly 0 when the cut is due, so the cut changes no output, in two rounds. Then training goes
 * on. */
START_TEST(a_pruner_takes_marked_units_to_zero)
{
    subject s;
    size_t n, m, count;
    open_text(&s,
              CFG("[net]\n", _i ? "batch=6\nsubdivisions=3\n" : "batch=2\n",
                  "width=8\nheight=8\nchannels=3\n", CONV(8, 3, 1, relu), CONV(8, 3, 1, leaky),
                  "[shortcut]\nfrom=-2\nactivation=relu\n", CONV(12, 3, 2, relu), CLASSES),
              3);
    s.net->learning_rate = 0.01F;
    mskp_pruner_options options = law_options(s.d.graph, 120, (double)s.net->momentum);
    options.gradient_scale = mskp_darknet_scale(&s.d);
    const double allowed = options.rule.max_macs;
    begin_pruner(&s, &options);
    for (int round = 0; round < 2; round++) {
        while (mskp_pruner_due(s.d.pruner) != MSKP_PRUNER_DUE_CUT) pruner_step(&s);
        const double left =
            law_largest(s.d.graph, mskp_pruner_mask(s.d.pruner), s.d.sets[VALUES], &count);
        ck_assert_uint_gt(count, 0);
        ck_assert_msg(!(left > 0), "round %d: %g is left", round, left);
        float *before = copy_logits(s.net, &n);
        cut_by_pruner(&s, round);
        law_close("a round", n, before, logits(s.net, &m), ROUNDING);
        free(before);
        ck_assert_uint_eq(s.d.keep.n, mskp_graph_counts(mskp_pruner_graph(s.d.pruner)).units);
    }
    mskp_cost cost;
    ck_assert_int_eq(mskp_measure(s.d.graph, (mskp_mask){0}, &cost, NULL, NULL), MSKP_OK);
    ck_assert_msg(cost.macs <= allowed, "%g MACs, allowed are %g", cost.macs, allowed);
    pruner_step(&s);
    end_pruner(&s);
    close_subject(&s);
}
END_TEST

/* A strength of the program's own moves every value as the penalty by hand does, to the bit. */
START_TEST(a_fixed_strength_is_the_penalty_by_hand)
{
    float **values[2];
    subject s;
    for (int by_hand = 0; by_hand < 2; by_hand++) {
        open_file(&s, WIDTHS, 4);
        draw_mask(&s, 6);
        mskp_pruner_options options = law_options(s.d.graph, 10, 0.9);
        options.gradient_scale = mskp_darknet_scale(&s.d);
        options.strength = 0.02;
        options.rounds = 1;
        begin_pruner(&s, &options);
        mskp_pruner *p = s.d.pruner;
        ck_assert_int_eq(mskp_pruner_mark(p, s.d.sets[VALUES], s.keep, NULL), MSKP_OK);
        if (by_hand) {
            end_pruner(&s);
            s.d.strength = 0.02;
        }
        for (int step = 0; step < 5; step++)
            if (by_hand)
                train_network_datum(s.net);
            else
                pruner_step(&s);
        values[by_hand] = law_copy(s.d.graph, s.d.sets[VALUES]);
        if (by_hand) ck_assert(same_set(&s, VALUES, values[0]));
        if (!by_hand) end_pruner(&s);
        if (by_hand) {
            law_free(s.d.graph, values[0]);
            law_free(s.d.graph, values[1]);
        }
        close_subject(&s);
    }
}
END_TEST

/* ---- surgery: the .cfg ---- */

/* %d: where the kept counts go. */
static const char ODD[] = "# a comment before all\n"
                          "\n"
                          "[net]\n"
                          "batch = 2\n"
                          "filters=77\n"
                          "width=8\nheight=8\nchannels=3\n"
                          "; another comment: filters=3\n"
                          "  [ conv ]\n"
                          "fil ters\t=  %d  # eight of them\n"
                          "size=3\n"
                          "pad=1\n"
                          "what_is_this=yes\n"
                          "batch_normalize=1\n"
                          "#filters=5\n"
                          "[convolutional]\n" /* one filter, by default: it cannot lose it */
                          "size=1\n"
                          "[convolutional]\n"
                          "activation=relu\n"
                          "output=3\n"
                          "filters=%d\n"
                          "[local]\n"
                          "filters=4\n"
                          "[conn]\n"
                          "filters=9\n"
                          "\toutput =%d\n"
                          "[connected]\n"
                          "output=%d\n"
                          "[softmax]\n"
                          "groups=1";

START_TEST(only_the_counts_of_a_cfg_change)
{
    char dense[1000], expected[1000];
    subject s;
    snprintf(dense, sizeof dense, ODD, 8, 6, 7, 5);
    open_text(&s, dense, 1);
    size_t n;
    const uint32_t *first = mskp_value_units(s.d.graph, mskp_value_find(s.d.graph, "layer0"), &n);
    const uint32_t *last = mskp_value_units(s.d.graph, mskp_value_find(s.d.graph, "layer4"), &n);
    ck_assert_uint_eq(info_of(s.d.graph, "layer1").units, 1);
    ck_assert_uint_eq(info_of(s.d.graph, "layer2").units, 0); /* local is behind it */
    s.d.keep.unit[first[0]] = s.d.keep.unit[first[7]] = s.d.keep.unit[first[4]] = 0;
    s.d.keep.unit[last[2]] = s.d.keep.unit[last[3]] = 0;
    cut(&s);
    snprintf(expected, sizeof expected, ODD, 5, 6, 5, 5);
    char *text = read_text(in_folder("pruned.cfg"));
    ck_assert_str_eq(text, expected);
    ck_assert_int_eq(s.net->layers[0].n, 5);
    ck_assert_int_eq(s.net->layers[1].n, 1);
    ck_assert_int_eq(s.net->layers[4].outputs, 5);
    free(text);
    /* And with everything kept, it is the same file. */
    free((char *)s.cfg);
    s.cfg = strdup(write_text("again.cfg", expected));
    cut(&s);
    text = read_text(in_folder("pruned.cfg"));
    ck_assert_str_eq(text, expected);
    free(text);
    close_subject(&s);
}
END_TEST

START_TEST(stages_of_the_example_keep_their_indexes)
{
    subject s;
    open_file(&s, RESNET, 1);
    draw_mask(&s, 3);
    cut(&s);
    char *a = read_text(RESNET), *b = read_text(in_folder("pruned.cfg")), *p = a, *q = b;
    size_t changed = 0, lines = 0;
    for (; *p && *q; lines++) {
        const size_t n = strcspn(p, "\n"), m = strcspn(q, "\n");
        if (n != m || memcmp(p, q, n)) {
            ck_assert_msg(starts(p, "filters=") && starts(q, "filters="), "line %zu: %.*s",
                          lines + 1, (int)m, q);
            changed++;
        }
        p += n + 1, q += m + 1;
    }
    ck_assert(!*p && !*q);
    ck_assert_uint_ge(changed, 10);
    free(a);
    free(b);
    close_subject(&s);
}
END_TEST

/* ---- what goes wrong ---- */

static void check_refused(const char *section, mskp_status status, const char *sentence)
{
    mskp_error err = {0};
    mskp_darknet d;
    network *net =
        parse(write_text("bad.cfg", CFG(NET, CONV(6, 3, 1, leaky), section, "[softmax]\n")));
    ck_assert_int_eq(mskp_darknet_describe(&d, net, &err), status);
    ck_assert_msg(strstr(err.text, sentence) != NULL, "%s", err.text);
    ck_assert_ptr_null(d.graph);
    mskp_darknet_free(&d);
    free_network(net);
}

START_TEST(layers_that_a_file_would_not_bring_back_are_refused)
{
    check_refused(CONV(4, 1, 1, relu) "dontload=1\n", MSKP_ERROR_UNSUPPORTED,
                  "layer 1: with dontload=");
    check_refused(CONV(4, 1, 1, relu) "dontsave=1\n", MSKP_ERROR_UNSUPPORTED,
                  "layer 1: with dontsave=");
    check_refused(CONV(4, 1, 1, relu) "numload=2\n", MSKP_ERROR_UNSUPPORTED,
                  "layer 1: with numload=");
    check_refused(CONV(4, 1, 1, relu) "dontloadscales=1\n", MSKP_ERROR_UNSUPPORTED,
                  "dontloadscales=");
    check_refused(CONV(4, 1, 1, relu) "flipped=1\n", MSKP_ERROR_UNSUPPORTED,
                  "layer 1: with flipped=");
    check_refused("[route]\nlayers=2\n", MSKP_ERROR_UNSUPPORTED,
                  "layer 1 reads a layer that is not before");
    check_refused("[convolutionell]\nfilters=4\n", MSKP_ERROR_UNSUPPORTED,
                  "layer 1: darknet does not know");
}
END_TEST

START_TEST(networks_without_training_are_not_hooked)
{
    mskp_error err = {0};
    mskp_darknet d;
    network *net =
        parse(write_text("bad.cfg", CFG(NET, "[maxpool]\nsize=2\nstride=2\n[softmax]\n")));
    ck_assert_int_eq(mskp_darknet_describe(&d, net, &err), MSKP_OK);
    ck_assert_int_eq(mskp_darknet_hook(&d, &err), MSKP_ERROR_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, "no layer of the network is trained") != NULL, "%s", err.text);
    mskp_darknet_free(&d);
    free_network(net);
}
END_TEST

/* A cut that must fail, and leave everything alone. */
static void check_failure(subject *s, const char *cfg, const char *pruned, mskp_status status,
                          const char *sentence)
{
    mskp_error err = {0};
    size_t n, m;
    const layer *layers = s->net->layers;
    const mskp_graph *graph = s->d.graph;
    float **values = law_copy(graph, s->d.sets[VALUES]), **updates;
    updates = law_copy(graph, s->d.sets[UPDATES]);
    float *before = copy_logits(s->net, &n);
    quiet(true);
    const mskp_status got = mskp_darknet_cut(&s->d, cfg, pruned, &err);
    quiet(false);
    ck_assert_msg(got == status && err.status == status, "%d: %s", (int)got, err.text);
    ck_assert_msg(strstr(err.text, sentence) != NULL, "%s", err.text);
    ck_assert_ptr_eq(layers, s->net->layers);
    ck_assert_ptr_eq(graph, s->d.graph);
    ck_assert(same_set(s, VALUES, values) && same_set(s, UPDATES, updates));
    ck_assert_mem_eq(before, logits(s->net, &m), n * sizeof *before);
    ck_assert_mem_eq(s->keep.unit, s->d.keep.unit, s->keep.n);
    law_free(graph, values);
    law_free(graph, updates);
    free(before);
}

START_TEST(a_cut_that_fails_leaves_the_network_alone)
{
    subject s;
    open_file(&s, TINY, 1);
    draw_mask(&s, 1);
    const char *pruned = strdup(in_folder("pruned.cfg"));
    check_failure(&s, in_folder("none.cfg"), pruned, MSKP_ERROR_BAD_ARGUMENT,
                  "none.cfg: cannot be read");
    check_failure(&s, folder, pruned, MSKP_ERROR_BAD_ARGUMENT, "cannot be read");
    check_failure(&s, s.cfg, in_folder("no/where.cfg"), MSKP_ERROR_BAD_ARGUMENT,
                  "cannot be written");
    check_failure(&s, s.cfg, "/dev/full", MSKP_ERROR_BAD_ARGUMENT, "cannot be written");
    /* The .cfg of another network: of more layers; with one that differs; with other weights. */
    check_failure(&s, WIDTHS, pruned, MSKP_ERROR_OTHER_NETWORK, "has 20 layers, the network has 5");
    static const struct {
        const char *first, *second, *third, *sentence;
    } other[] = {
        {CONV(6, 3, 1, leaky), CONV(5, 3, 2, relu), "[maxpool]\nsize=4\n", "layer 2 is not"},
        {CONV(6, 3, 1, leaky), CONV(5, 3, 1, relu), "[avgpool]\n", "layer 1 is not"},
        {CONV(6, 3, 1, relu), CONV(5, 3, 2, relu), "[avgpool]\n", "layer 0 is not"},
        {PLAIN(6, 3, 1, leaky), CONV(5, 3, 2, relu), "[avgpool]\n", "layer 0 is not"},
        {CONV(6, 5, 1, leaky), CONV(5, 3, 2, relu), "[avgpool]\n", "layer 0 is not"},
    };
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        check_failure(
            &s,
            write_text("other.cfg", CFG(NET, other[i].first, other[i].second, other[i].third,
                                        "[connected]\noutput=4\nactivation=linear\n[softmax]\n")),
            pruned, MSKP_ERROR_OTHER_NETWORK, other[i].sentence);
    char *text = read_text(TINY);
    memcpy(strstr(text, "channels=3"), "channels=2", 10);
    check_failure(&s, write_text("other.cfg", text), pruned, MSKP_ERROR_OTHER_NETWORK,
                  "128 inputs");
    free(text);
    /* Fewer weights in darknet than in the graph, by darknet's own count. */
    mskp_darknet_free(&s.d);
    s.net->layers[0].nweights--;
    mskp_darknet_describe(&s.d, s.net, NULL);
    memcpy(s.d.keep.unit, s.keep.unit, s.keep.n);
    s.net->layers[0].nweights++;
    check_failure(&s, s.cfg, pruned, MSKP_ERROR_BAD_SHAPE, "layer0.weights");
    mskp_darknet_free(&s.d);
    ck_assert_int_eq(mskp_darknet_describe(&s.d, s.net, NULL), MSKP_OK);
    memset(s.d.keep.unit, 0, 6);
    memcpy(s.keep.unit, s.d.keep.unit, s.keep.n);
    drop_constants(&s); /* otherwise a unit of the layer stays as a carrier */
    check_failure(&s, s.cfg, pruned, MSKP_ERROR_NO_SOLUTION, "layer0.conv");
    free((char *)pruned);
    close_subject(&s);
}
END_TEST

/* darknet could not add what is left of a residual branch. */
START_TEST(branches_do_not_vanish)
{
    subject s;
    mskp_error err = {0};
    const mskp_rule rule = {.remove_fraction = 0.5, .empty_branches = 1};
    open_file(&s, RESNET, 1);
    size_t n;
    const uint32_t *unit =
        mskp_value_units(s.d.graph, mskp_value_find(s.d.graph, "layer1.conv"), &n);
    ck_assert_uint_eq(n, 12);
    for (size_t i = 0; i < n; i++) s.d.keep.unit[unit[i]] = 0;
    memcpy(s.keep.unit, s.d.keep.unit, s.keep.n);
    drop_constants(&s);
    check_failure(&s, s.cfg, in_folder("pruned.cfg"), MSKP_ERROR_UNSUPPORTED,
                  "layer1.conv: the mask removes all of a branch, but darknet has no layer");
    ck_assert_int_eq(mskp_darknet_select(&s.d, NULL, &rule, NULL, &err), MSKP_ERROR_UNSUPPORTED);
    ck_assert_msg(strstr(err.text, "empty_branches: darknet has no layer") != NULL, "%s", err.text);
    ck_assert_mem_eq(s.keep.unit, s.d.keep.unit, s.keep.n);
    close_subject(&s);
}
END_TEST

START_TEST(the_hook_reports_what_it_cannot_return)
{
    subject s;
    open_file(&s, TINY, 1);
    draw_mask(&s, 1);
    s.d.strength = 0.1;
    s.d.penalty.kind = MSKP_PENALTY_SMOOTH_L1, s.d.penalty.knee = -1;
    float **updates = law_copy(s.d.graph, s.d.sets[UPDATES]);
    s.net->learning_rate = 0, s.net->momentum = 1, s.net->decay = 0;
    update_network(s.net);
    ck_assert_int_eq(s.d.error.status, MSKP_ERROR_BAD_NUMBER);
    ck_assert_uint_gt(strlen(s.d.error.text), 10);
    ck_assert(same_set(&s, UPDATES, updates));
    /* An array of another length than the graph says, as darknet counts it. */
    mskp_darknet_free(&s.d);
    s.net->layers[0].nweights--;
    ck_assert_int_eq(mskp_darknet_describe(&s.d, s.net, NULL), MSKP_OK);
    ck_assert_int_eq(mskp_darknet_hook(&s.d, NULL), MSKP_OK);
    s.net->layers[0].nweights++;
    memcpy(s.d.keep.unit, s.keep.unit, s.keep.n);
    s.d.strength = 0.1;
    update_network(s.net);
    ck_assert_int_eq(s.d.error.status, MSKP_ERROR_BAD_SHAPE);
    ck_assert_msg(strstr(s.d.error.text, "layer0.weights") != NULL, "%s", s.d.error.text);
    law_free(s.d.graph, updates);
    close_subject(&s);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("darknet");
    TCase *t = tcase_create("darknet");
    tcase_set_timeout(t, 120);
    /* In the process that outlives the tests, some of which end theirs on purpose. */
    tcase_add_unchecked_fixture(t, make_folder, remove_folder);
    tcase_add_checked_fixture(t, empty_folder, NULL);
    tcase_add_test(t, flush_to_zero_is_on);
    tcase_add_test(t, batch_norm_has_two_epsilons);
    tcase_add_test(t, shortcut_takes_the_smaller_number_of_channels_and_scales_both_sides);
    tcase_add_test(t, strided_convolutions_of_size_1_mix_channels);
    tcase_add_test(t, batchnorm_layers_and_adam_are_not_trained_by_this_library);
    tcase_add_loop_test(t, values_have_darknets_shapes, 0, ZOO_COUNT);
    tcase_add_test(t, channels_are_tied_as_darknet_adds_them);
    tcase_add_loop_test(t, unknown_layers_pin_what_reaches_them_and_are_named, 0, UNKNOWN_COUNT);
    tcase_add_test(t, a_layer_that_is_the_truth_of_others_stays);
    tcase_add_loop_test(t, penalty_lands_where_it_should_in_darknets_own_update, 0, ZOO_COUNT);
    tcase_add_loop_test(t, one_real_step_moves_gamma_and_beta_of_what_leaves, 0, ZOO_COUNT);
    tcase_add_test(t, subdivisions_get_one_penalty_per_step);
    tcase_add_test(t, frozen_layers_keep_neither_the_hook_nor_the_penalty_from_others);
    tcase_add_test(t, a_denormal_gamma_gets_its_penalty);
    tcase_add_test(t, networks_are_hooked_side_by_side);
    tcase_add_loop_test(t, zeroed_units_leave_without_a_trace, 0, ZOO_COUNT * SEEDS);
    tcase_add_loop_test(t, constants_survive_the_cut, 0, ZOO_COUNT * SEEDS);
    tcase_add_loop_test(t, what_constants_replaced_has_no_momentum, 0, 2);
    tcase_add_loop_test(t, the_budget_includes_the_carriers, 0, ZOO_COUNT);
    tcase_add_loop_test(t, values_and_momentum_are_cut_exactly, 0, ZOO_COUNT);
    tcase_add_loop_test(t, a_step_after_the_cut_is_the_masked_networks_step, 0, ZOO_COUNT * SEEDS);
    tcase_add_loop_test(t, costs_are_what_was_promised, 0, ZOO_COUNT);
    tcase_add_loop_test(t, darknet_loads_what_was_saved, 0, ZOO_COUNT);
    tcase_add_test(t, the_stock_program_says_the_same);
    tcase_add_test(t, the_state_of_training_stays);
    tcase_add_test(t, opaque_layers_go_over_as_they_are);
    tcase_add_test(t, the_output_is_that_of_the_new_layers);
    tcase_add_test(t, moments_are_cut_too);
    tcase_add_test(t, twice_is_fine);
    tcase_add_loop_test(t, a_pruner_takes_marked_units_to_zero, 0, 2);
    tcase_add_test(t, a_fixed_strength_is_the_penalty_by_hand);
    tcase_add_test(t, only_the_counts_of_a_cfg_change);
    tcase_add_test(t, stages_of_the_example_keep_their_indexes);
    tcase_add_test(t, layers_that_a_file_would_not_bring_back_are_refused);
    tcase_add_test(t, networks_without_training_are_not_hooked);
    tcase_add_test(t, a_cut_that_fails_leaves_the_network_alone);
    tcase_add_test(t, branches_do_not_vanish);
    tcase_add_test(t, the_hook_reports_what_it_cannot_return);
    suite_add_tcase(suite, t);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
