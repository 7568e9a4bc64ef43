/*
 * mskp-safetensors - prunes a safetensors file, which may be larger than memory.
 *
 *     mskp-safetensors IN.safetensors OUT.safetensors --network LAYERS.txt --ratio 0.5
 *
 * IN is mapped, so its pages come into memory when they are read and can leave it at any time. The
 * scores go through it once, and then what stays of each tensor is written row by row. So the
 * memory that the kernel cannot take back is that of the description, of the mask and of a buffer.
 * describe.c says what LAYERS.txt is.
 */
#define _DEFAULT_SOURCE /* madvise */
#include <fcntl.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/args.h"
#include "files.h"
#include "mskp/tools.h"
#include "prune.h"

typedef enum score_kind { SCORE_GAMMA, SCORE_L1, SCORE_L2 } score_kind;

typedef struct options {
    arg_words files;
    const char *network;
    double ratio, params;
    size_t score, min_channels, round_to;
    bool help;
} options;

static const arg OPTIONS[] = {
    {"", "FILE", ARG_WORDS, offsetof(options, files), 0, 2, NULL},
    {"network", "FILE", ARG_PATH, offsetof(options, network), 0, 0,
     "the layers, a word for each; see above"},
    {"ratio", "FRACTION", ARG_NUMBER, offsetof(options, ratio), 0, 1,
     "remove this part of the units"},
    {"params", "FRACTION", ARG_NUMBER, offsetof(options, params), 0, 1,
     "leave at most this part of the parameters of the layers"},
    {"score", "gamma|l1|l2", ARG_CHOICE, offsetof(options, score), 0, 0,
     "what a unit is worth: |gamma| of its norms, or the L1 or L2 norm of its filters; the mean\n"
     "over its layers [gamma]"},
    {"min-channels", "N", ARG_COUNT, offsetof(options, min_channels), 1, 1e9,
     "no layer keeps fewer than N channels, unless it has fewer [1]"},
    {"round-to", "N", ARG_COUNT, offsetof(options, round_to), 1, 1e9,
     "layers keep a multiple of N channels [1]"},
    {"help", NULL, ARG_FLAG, offsetof(options, help), 0, 0, "print this text"},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

typedef struct job {
    options o;
    char text[SENTENCE];
    void *map;
    size_t size;
    cn_tensors in, out; /* in: of the map; out: the shapes after the cut */
    network n;
    mskp_tensor *views; /* [params] of the map */
    mskp_mask keep;
    mskp_plan *plan;
    size_t removed;
    mskp_cost full, left;
    size_t *param; /* [in.count] 1 + the index of its view; 0: a tensor that stays as it is */
} job;

static bool refuse(job *j, const mskp_error *err)
{
    return args_refuse(sizeof j->text, j->text, "%.300s", err->text);
}

static bool out_of_memory(job *j, size_t n, const char *what)
{
    return args_refuse(sizeof j->text, j->text, "no memory for %zu %s", n, what);
}

/* ---- the file ---- */

static bool is_little_endian(void)
{
    const uint16_t one = 1;
    unsigned char first;
    memcpy(&first, &one, 1);
    return first == 1;
}

static bool map_file(job *j)
{
    const char *path = j->o.files.text[0];
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    struct stat status;
    cn_error err;
    if (!is_little_endian())
        return args_refuse(sizeof j->text, j->text,
                           "this machine does not have the file's order of "
                           "bytes");
    if (descriptor < 0 || fstat(descriptor, &status) || !S_ISREG(status.st_mode)) {
        if (descriptor >= 0) close(descriptor);
        return args_refuse(sizeof j->text, j->text, "%.200s is no file that can be read", path);
    }
    j->size = (size_t)status.st_size;
    j->map = j->size ? mmap(NULL, j->size, PROT_READ, MAP_PRIVATE, descriptor, 0) : MAP_FAILED;
    close(descriptor);
    if (j->map == MAP_FAILED) {
        j->map = NULL;
        return args_refuse(sizeof j->text, j->text, "%.200s: %zu bytes cannot be mapped", path,
                           j->size);
    }
    return cn_tensors_parse(j->map, j->size, &j->in, &err) ||
           args_refuse(sizeof j->text, j->text, "%.100s: %.250s", path, err.text);
}

/* The kernel may take the tensor's pages back now; they can be read again at any time. */
static void forget(const job *j, const cn_tensor *t)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const size_t begin = (size_t)((const char *)t->data - (const char *)j->map) / page * page;
    const size_t end = (size_t)((const char *)t->data - (const char *)j->map) + t->bytes;
    (void)madvise((char *)j->map + begin, end - begin, MADV_DONTNEED);
}

static bool describe(job *j)
{
    file_error why;
    char *bytes, *layers;
    size_t size;
    enum { MOST = 1 << 24 };
    if (!file_read(j->o.network, MOST, &bytes, &size, &why))
        return args_refuse(sizeof j->text, j->text, "%.120s: %.200s", j->o.network, why.text);
    layers = malloc(size + 1);
    if (layers) {
        memcpy(layers, bytes, size);
        layers[size] = 0;
    }
    free(bytes);
    const bool good =
        layers ? network_describe(&j->in, layers, &j->n, j->text) : out_of_memory(j, size, "bytes");
    free(layers);
    return good;
}

/* BOOL, I64 and other types without numbers are moved by their bytes. */
static bool dtype_of(job *j, const cn_tensor *t, mskp_dtype *dtype)
{
    static const struct {
        const char *name;
        mskp_dtype dtype;
    } table[] = {{"F32", MSKP_DTYPE_F32},
                 {"F64", MSKP_DTYPE_F64},
                 {"F16", MSKP_DTYPE_F16},
                 {"BF16", MSKP_DTYPE_BF16}};
    const size_t element = t->count ? t->bytes / t->count : 1;
    *dtype = element == 1   ? MSKP_DTYPE_BYTES_1
             : element == 2 ? MSKP_DTYPE_BYTES_2
             : element == 4 ? MSKP_DTYPE_BYTES_4
                            : MSKP_DTYPE_BYTES_8;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (!strcmp(t->dtype, table[i].name)) *dtype = table[i].dtype;
    return (uintptr_t)t->data % element == 0 ||
           args_refuse(sizeof j->text, j->text,
                       "%.100s: its data begin at byte %zu of the file, which is "
                       "no multiple of %zu",
                       t->name, (size_t)((const char *)t->data - (const char *)j->map), element);
}

static bool make_views(job *j)
{
    j->views = calloc(j->n.params + 1, sizeof *j->views);
    j->param = calloc(j->in.count + 1, sizeof *j->param);
    if (!j->views || !j->param) return out_of_memory(j, j->in.count, "tensors");
    for (size_t i = 0; i < j->n.params; i++) {
        const cn_tensor *t = &j->in.tensors[j->n.tensor[i]];
        if (!dtype_of(j, t, &j->views[i].dtype)) return false;
        /* Nothing is written to it: the map could not be. */
        j->views[i].data = (char *)j->map + ((const char *)t->data - (const char *)j->map);
        j->param[j->n.tensor[i]] = i + 1;
    }
    return true;
}

/* ---- units ---- */

/* Whether a tensor has slices of units in these roles. */
static bool is_scored(const job *j, size_t param, uint32_t roles)
{
    for (uint32_t d = 0; d < j->in.tensors[j->n.tensor[param]].dims; d++) {
        uint32_t its;
        size_t n;
        const uint32_t *unit =
            mskp_param_units(j->n.graph, (mskp_param){(uint32_t)param + 1}, d, &its, &n);
        for (size_t i = 0; unit && its & roles && i < n; i++)
            if (unit[i] != MSKP_PINNED) return true;
    }
    return false;
}

/* Refuses what mskp_score would, in the words of the file and of the options. */
static bool can_score(job *j, const mskp_scoring *how)
{
    const size_t units = mskp_graph_counts(j->n.graph).units;
    bool any = false;
    for (size_t i = 0; i < j->n.params; i++) {
        const cn_tensor *t = &j->in.tensors[j->n.tensor[i]];
        if (!is_scored(j, i, how->roles)) continue;
        any = true;
        if (j->views[i].dtype > MSKP_DTYPE_BF16)
            return args_refuse(
                sizeof j->text, j->text,
                "%.100s has the type %.20s; scores are made of F32, F64, F16 and BF16", t->name,
                t->dtype);
    }
    return any || !units || j->o.score != SCORE_GAMMA ||
           args_refuse(sizeof j->text, j->text, "no layer has a norm; use --score l1 or l2");
}

/* Selects the units; why there is no such mask is said in the words of the options. */
static bool select_units(job *j, mskp_scores scores)
{
    mskp_rule rule = {.remove_fraction = j->o.ratio > 0 ? j->o.ratio : 0,
                      .max_params = j->o.params > 0 ? j->o.params * j->full.params : 0,
                      .min_channels = j->o.min_channels,
                      .round_to = j->o.round_to};
    mskp_selection selection = {0};
    mskp_error err;
    const mskp_status status = mskp_select(j->n.graph, scores, &rule, j->keep, &selection, &err);
    if (status != MSKP_ERROR_NO_SOLUTION) return !status || refuse(j, &err);
    if (rule.max_params > 0 && selection.cost.params > rule.max_params)
        return args_refuse(
            sizeof j->text, j->text,
            "--params %g asks for at most %.0f of %.0f parameters, and %.0f stay when "
            "the %zu of %zu units that can go are removed",
            j->o.params, floor(rule.max_params), j->full.params, selection.cost.params,
            selection.removed, scores.n);
    return args_refuse(sizeof j->text, j->text,
                       "--ratio %g of %zu units is more than the %zu that can go", j->o.ratio,
                       scores.n, selection.removed);
}

static bool choose(job *j)
{
    const size_t units = mskp_graph_counts(j->n.graph).units;
    const mskp_tensors values = {j->n.params, j->views};
    const mskp_scoring how = {
        .magnitude = j->o.score == SCORE_L2 ? MSKP_MAGNITUDE_L2 : MSKP_MAGNITUDE_L1,
        .reduce = MSKP_REDUCE_MEAN,
        .roles = j->o.score == SCORE_GAMMA ? MSKP_ROLE_SCALE : MSKP_ROLE_FILTER};
    mskp_error err;
    if (!can_score(j, &how)) return false;
    double *score = calloc(units + 1, sizeof *score);
    j->keep = (mskp_mask){units, calloc(units + 1, 1)};
    if (!score || !j->keep.unit) {
        free(score);
        return out_of_memory(j, units, "units");
    }
    const mskp_scores scores = {units, score};
    bool good = (!mskp_measure(j->n.graph, (mskp_mask){0, NULL}, &j->full, NULL, &err) &&
                 !mskp_score(j->n.graph, &how, values, scores, &err)) ||
                refuse(j, &err);
    good = good && select_units(j, scores);
    free(score);
    if (!good) return false;
    for (size_t u = 0; u < units; u++) j->removed += !j->keep.unit[u];
    return (!mskp_measure(j->n.graph, j->keep, &j->left, NULL, &err) &&
            !mskp_plan_create(j->n.graph, j->keep, &j->plan, NULL, &err)) ||
           refuse(j, &err);
}

/* ---- the smaller file ---- */

/* out <- the tensors with their new shapes. */
static bool make_out(job *j)
{
    mskp_tensor *small = calloc(j->n.params + 1, sizeof *small);
    mskp_error err;
    j->out = j->in;
    j->out.json = j->out.bytes = NULL;
    j->out.tensors = calloc(j->in.count + 1, sizeof *j->out.tensors);
    if (!small || !j->out.tensors) {
        free(small);
        return out_of_memory(j, j->in.count, "tensors");
    }
    const mskp_tensors full = {j->n.params, j->views}, views = {j->n.params, small};
    const bool good = !mskp_plan_views(j->plan, full, views, &err) || refuse(j, &err);
    for (size_t i = 0; good && i < j->in.count; i++) {
        cn_tensor *t = &j->out.tensors[i];
        *t = j->in.tensors[i];
        if (!j->param[i]) continue;
        const mskp_tensor *s = &small[j->param[i] - 1];
        t->bytes /= t->count ? t->count : 1;
        t->count = 1;
        for (size_t d = 0; d < t->dims; d++) t->count *= t->shape[d] = s->shape[d];
        t->bytes *= t->count;
    }
    free(small);
    return good;
}

/* What stays of an axis: index k of the small tensor was index kept[k], or k if kept is NULL. */
typedef struct axis {
    const uint32_t *kept;
    size_t n;
} axis;

static axis axis_of(const job *j, size_t param, uint32_t d)
{
    axis a;
    a.kept = mskp_plan_param_kept(j->plan, (mskp_param){(uint32_t)param + 1}, d, &a.n);
    return a;
}

/* Writes what stays of a tensor, row by row. Channels are on axes 0 and 1 alone (describe.c). */
static bool put_tensor(void *context, size_t i, file_output *out)
{
    job *j = context;
    const cn_tensor *t = &j->in.tensors[i];
    const char *data = t->data;
    if (!j->param[i] || !t->count) {
        file_put(out, data, t->bytes);
        return true;
    }
    const axis rows = axis_of(j, j->param[i] - 1, 0);
    const axis columns = t->dims > 1 ? axis_of(j, j->param[i] - 1, 1) : (axis){NULL, 1};
    const size_t row = t->bytes / t->shape[0], cell = t->dims > 1 ? row / t->shape[1] : row;
    for (size_t r = 0; r < rows.n; r++) {
        const char *from = data + (rows.kept ? rows.kept[r] : r) * row;
        if (!columns.kept)
            file_put(out, from, row);
        else
            for (size_t c = 0; c < columns.n; c++)
                file_put(out, from + columns.kept[c] * cell, cell);
    }
    forget(j, t);
    return true;
}

static bool write_file(job *j)
{
    cn_error err;
    return cn_tensors_write_each(j->o.files.text[1], &j->out, put_tensor, j, &err) ||
           args_refuse(sizeof j->text, j->text, "%s", err.text);
}

static bool run(job *j)
{
    if (file_same(j->o.files.text[0], j->o.files.text[1]) ||
        file_same(j->o.network, j->o.files.text[1]))
        return args_refuse(sizeof j->text, j->text, "%.200s would be overwritten",
                           j->o.files.text[1]);
    if (!map_file(j) || !describe(j) || !make_views(j) || !choose(j) || !make_out(j) ||
        !write_file(j))
        return false;
    printf("%zu of %zu units removed, %.0f of %.0f parameters stay\n", j->removed, j->keep.n,
           j->left.params, j->full.params);
    return true;
}

static void clean_up(job *j)
{
    mskp_plan_destroy(j->plan);
    network_free(&j->n);
    free(j->views);
    free(j->keep.unit);
    free(j->param);
    free(j->out.tensors);
    cn_tensors_free(&j->in);
    if (j->map) munmap(j->map, j->size);
}

int main(int argc, char **argv)
{
    job j = {.o = {.ratio = -1, .params = -1}};
    bool good = args_read(argc, argv, OPTION_COUNT, OPTIONS, &j.o, sizeof j.text, j.text);
    if (good && j.o.help) {
        puts(
            "mskp-safetensors removes channels of the layers of a safetensors file. The file may "
            "be\n"
            "larger than memory: it is mapped, and what stays is written tensor by tensor.\n"
            "\n"
            "mskp-safetensors IN OUT --network FILE [option ...]\n"
            "\n"
            "Either --ratio or --params is needed. The file of --network lists the layers, in an\n"
            "order in which they can be computed, by a word NAME[+NORM][=LAYER][<LAYER] for each.\n"
            "NAME.weight is the layer's weight, and NAME.bias its bias if it is there. +NORM is "
            "its\n"
            "norm, =LAYER a layer to which its output is added, <LAYER the layer that it reads,\n"
            "otherwise the word before. NAME<, in one word, reads the input of the network, as "
            "the\n"
            "first layer does: in \"conv1+bn1 conv2=conv1 side< head<conv2\", conv1 and side read\n"
            "the input. From # to the end of a line is a comment. Tensors that no word names stay\n"
            "as they are. Layers that nothing reads are outputs, and keep all channels.\n");
        args_help(OPTION_COUNT, OPTIONS);
        if (!fflush(stdout) && !ferror(stdout)) return 0;
        fputs("mskp-safetensors: the output cannot be written\n", stderr);
        return 1;
    }
    if (good && (j.o.files.count < 2 || !j.o.network))
        good = args_refuse(sizeof j.text, j.text, "two files and --network are needed; see --help");
    if (good && j.o.ratio < 0 && j.o.params < 0)
        good = args_refuse(sizeof j.text, j.text,
                           "what shall be removed? Give --ratio or --params; see --help");
    if (good && (j.o.ratio == 0 || j.o.params == 0))
        good = args_refuse(sizeof j.text, j.text, "--%s is 0, and has to be above 0 and at most 1",
                           j.o.ratio == 0 ? "ratio" : "params");
    const int status = !good ? 2 : run(&j) ? 0 : 1;
    clean_up(&j);
    if (status) file_print(stderr, "mskp-safetensors: %s", j.text);
    return status;
}
