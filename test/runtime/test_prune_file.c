/*
 * mskp-safetensors: a small network with a shortcut, a depthwise layer and a flattened image is
 * pruned, and its file compared with what is worked out here, by hand. A file is pruned with less
 * memory than one of its tensors. What is wrong ends in a sentence.
 */
#define _DEFAULT_SOURCE /* mkdtemp, truncate */
#include "convnet.h"

#include <check.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CHANNELS = 6, HIDDEN = 5, UNITS = CHANNELS + HIDDEN, TENSORS = 14, MOST = 400 };

static char folder[60], in[100], out[100], layers[100], said[1000];

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_prune_file_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(in, sizeof in, "%s/in.safetensors", folder);
    snprintf(out, sizeof out, "%s/out.safetensors", folder);
    snprintf(layers, sizeof layers, "%s/layers.txt", folder);
}

static void teardown(void)
{
    remove(in);
    remove(out);
    remove(layers);
    rmdir(folder);
}

static const char *program(void)
{
    static char path[300];
    const char *build = getenv("BUILD");
    snprintf(path, sizeof path, "%s/mskp-safetensors", build ? build : "build");
    return path;
}

static void put_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    ck_assert_ptr_nonnull(f);
    fputs(text, f);
    ck_assert_int_eq(fclose(f), 0);
}

/* Runs the program; said <- what it printed. Returns whether it succeeded. */
static bool run(const char *before, const char *from, const char *options)
{
    char command[1000];
    snprintf(command, sizeof command, "%s%s %s %s --network %s %s 2>&1", before, program(), from,
             out, layers, options);
    FILE *pipe = popen(command, "r");
    ck_assert_ptr_nonnull(pipe);
    said[fread(said, 1, sizeof said - 1, pipe)] = 0;
    return pclose(pipe) == 0;
}

/* ---- the network ---- */

/* What an axis follows: nothing, the channels, the channels of a flattened image, hidden units. */
typedef enum follows { NOTHING, CHANNEL, FLAT, UNIT } follows;

typedef struct plain {
    const char *name, *dtype;
    size_t dims, shape[4];
    follows axis[2];
    bool filter; /* its rows are filters of units */
} plain;

static const plain TABLE[TENSORS] = {
    {"conv1.weight", "F32", 4, {CHANNELS, 3, 3, 3}, {CHANNEL, NOTHING}, true},
    {"bn1.weight", "F32", 1, {CHANNELS}, {CHANNEL}, false},
    {"bn1.running_mean", "F32", 1, {CHANNELS}, {CHANNEL}, false},
    {"dw.weight", "F32", 4, {CHANNELS, 1, 3, 3}, {CHANNEL, NOTHING}, true},
    {"conv2.weight", "F32", 4, {CHANNELS, CHANNELS, 1, 1}, {CHANNEL, CHANNEL}, true},
    {"conv2.bias", "F32", 1, {CHANNELS}, {CHANNEL}, false},
    {"fc1.weight", "F32", 2, {HIDDEN, CHANNELS * 4}, {UNIT, FLAT}, true},
    {"fc1.bias", "F32", 1, {HIDDEN}, {UNIT}, false},
    {"fc2.weight", "F32", 2, {3, HIDDEN}, {NOTHING, UNIT}, false},
    {"fc2.bias", "F32", 1, {3}, {NOTHING}, false},
    {"other", "F32", 2, {CHANNELS, HIDDEN}, {NOTHING, NOTHING}, false},
    {"none.weight", "F32", 2, {0, 3}, {NOTHING, NOTHING}, false},
    {"steps", "I64", 1, {2}, {NOTHING}, false},
    {"flags", "U8", 1, {3}, {NOTHING}, false},
};
static const char *const LAYERS =
    "# a network\n conv1+bn1 dw conv2=conv1 # the shortcut\n\tfc1 fc2";

static float data[TENSORS][MOST];

static cn_tensor tensor_of(int i)
{
    cn_tensor t = {.name = TABLE[i].name, .dtype = TABLE[i].dtype, .dims = TABLE[i].dims};
    memcpy(t.shape, TABLE[i].shape, sizeof TABLE[i].shape);
    t.data = data[i];
    return t;
}

static void write_network(unsigned seed)
{
    cn_tensor tensors[TENSORS];
    cn_error err;
    srand(seed);
    for (int i = 0; i < TENSORS; i++) {
        for (int k = 0; k < MOST; k++) data[i][k] = (float)rand() / (float)RAND_MAX - 0.5F;
        tensors[i] = tensor_of(i);
    }
    const cn_tensors file = {.count = TENSORS, .tensors = tensors};
    ck_assert_msg(cn_tensors_write(in, &file, &err), "%s", err.text);
}

/* score[u] <- the mean of the L1 norms of a unit's filters. */
static void score_units(double *score)
{
    for (int u = 0; u < UNITS; u++) score[u] = 0;
    for (int i = 0; i < TENSORS; i++) {
        size_t row = 1;
        if (!TABLE[i].filter) continue;
        for (size_t d = 1; d < TABLE[i].dims; d++) row *= TABLE[i].shape[d];
        const bool hidden = TABLE[i].axis[0] == UNIT;
        for (size_t r = 0; r < TABLE[i].shape[0]; r++)
            for (size_t k = 0; k < row; k++)
                score[hidden ? CHANNELS + r : r] +=
                    fabs((double)data[i][r * row + k]) / (hidden ? 1 : 3);
    }
}

/* keep[u] <- 0 for the n units that are worth least, but one of each kind stays. */
static void choose(size_t n, bool *keep)
{
    double score[UNITS];
    size_t left[2] = {CHANNELS, HIDDEN};
    score_units(score);
    for (int u = 0; u < UNITS; u++) keep[u] = true;
    while (n--) {
        int worst = -1;
        for (int u = 0; u < UNITS; u++)
            if (keep[u] && left[u >= CHANNELS] > 1 && (worst < 0 || score[u] < score[worst]))
                worst = u;
        keep[worst] = false;
        left[worst >= CHANNELS]--;
    }
}

static bool stays(const bool *keep, follows what, size_t i)
{
    return what == NOTHING || (what == CHANNEL && keep[i]) || (what == FLAT && keep[i / 4]) ||
           (what == UNIT && keep[CHANNELS + i]);
}

/* Compares a tensor of the small file with what stays of the large one. */
static void compare(int i, const cn_tensor *small, const bool *keep)
{
    const plain *p = &TABLE[i];
    const size_t element = !strcmp(p->dtype, "U8") ? 1 : !strcmp(p->dtype, "I64") ? 8 : 4;
    const size_t columns = p->dims > 1 ? p->shape[1] : 1;
    const size_t cell = (p->dims > 2 ? p->shape[2] * p->shape[3] : 1) * element;
    size_t rows = 0, kept = 0, at = 0;
    ck_assert_msg(small != NULL, "%s is missing", p->name);
    for (size_t c = 0; c < columns; c++) kept += stays(keep, p->axis[1], c);
    for (size_t r = 0; r < p->shape[0]; r++) {
        if (!stays(keep, p->axis[0], r)) continue;
        rows++;
        for (size_t c = 0; c < columns; c++) {
            if (!stays(keep, p->axis[1], c)) continue;
            ck_assert_uint_le(at + cell, small->bytes);
            ck_assert_msg(!memcmp((const char *)small->data + at,
                                  (const char *)data[i] + (r * columns + c) * cell, cell),
                          "%s: row %zu, column %zu", p->name, r, c);
            at += cell;
        }
    }
    ck_assert_uint_eq(small->bytes, at);
    ck_assert_uint_eq(small->shape[0], rows);
    if (p->dims > 1) ck_assert_uint_eq(small->shape[1], kept);
    for (size_t d = 2; d < p->dims; d++) ck_assert_uint_eq(small->shape[d], p->shape[d]);
    ck_assert_str_eq(small->dtype, p->dtype);
}

START_TEST(small_networks)
{
    if (access(program(), X_OK)) {
        printf("skipped: %s is not there\n", program());
        return;
    }
    put_text(layers, LAYERS);
    for (unsigned seed = 1; seed <= 12; seed++) {
        const size_t n = seed % 9 + 1;
        bool keep[UNITS];
        char ratio[60];
        cn_tensors file;
        cn_error err;
        write_network(seed);
        choose(n, keep);
        snprintf(ratio, sizeof ratio, "--score l1 --ratio %.6f", ((double)n + 0.5) / UNITS);
        ck_assert_msg(run("", in, ratio), "%s", said);
        ck_assert_msg(cn_tensors_read(out, &file, &err), "%s", err.text);
        ck_assert_uint_eq(file.count, TENSORS);
        for (int i = 0; i < TENSORS; i++) compare(i, cn_tensors_find(&file, TABLE[i].name), keep);
        cn_tensors_free(&file);
    }
}
END_TEST

/* The tensors have 64 MiB each, and the program 16 MiB for what is not mapped. */
START_TEST(larger_than_memory)
{
#if defined(__linux__) && defined(__GLIBC__) && !defined(__SANITIZE_ADDRESS__) && !defined(__i386__)
    const size_t wide = 4096, bytes = wide * wide * 4;
    char header[400];
    if (access(program(), X_OK)) return;
    FILE *f = fopen(in, "wb");
    const int length =
        snprintf(header, sizeof header,
                 "{\"a.weight\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[0,%zu]},"
                 "\"b.weight\":{\"dtype\":\"F32\",\"shape\":[%zu,%zu],\"data_offsets\":[%zu,%zu]}}",
                 wide, wide, bytes, wide, wide, bytes, 2 * bytes);
    ck_assert_ptr_nonnull(f);
    for (size_t i = 0; i < 8; i++) fputc(i < 2 ? (length + 7) / 8 * 8 >> 8 * i & 255 : 0, f);
    fprintf(f, "%-*s", (length + 7) / 8 * 8, header);
    ck_assert_int_eq(fclose(f), 0);
    ck_assert_int_eq(truncate(in, 8 + (length + 7) / 8 * 8 + (off_t)(2 * bytes)), 0);
    put_text(layers, "a b");
    ck_assert_msg(run("ulimit -d 16384 && ", in, "--score l2 --ratio 0.75"), "%s", said);
    cn_tensors file;
    cn_error err;
    ck_assert_msg(cn_tensors_read(out, &file, &err), "%s", err.text);
    ck_assert_uint_eq(cn_tensors_find(&file, "a.weight")->shape[0], wide / 4);
    ck_assert_uint_eq(cn_tensors_find(&file, "b.weight")->shape[1], wide / 4);
    cn_tensors_free(&file);
#endif
}
END_TEST

/* What cannot be scored is named by the file's type, and what was not written is not reported. */
START_TEST(types_and_failures)
{
    static const char *const types[] = {"I32", "F8_E4M3"};
    float numbers[24] = {0};
    char there[100];
    if (access(program(), X_OK)) return;
    for (size_t i = 0; i < 2; i++) {
        cn_tensor tensors[2] = {
            {.name = "a.weight", .dtype = types[i], .dims = 2, .shape = {4, 3}, .data = numbers},
            {.name = "b.weight", .dtype = "F32", .dims = 2, .shape = {2, 4}, .data = numbers}};
        const cn_tensors file = {.count = 2, .tensors = tensors};
        cn_error err;
        ck_assert_msg(cn_tensors_write(in, &file, &err), "%s", err.text);
        put_text(layers, "a b");
        ck_assert(!run("", in, "--ratio 0.5 --score l1"));
        ck_assert_msg(strstr(said, "a.weight has the type ") && strstr(said, types[i]), "%s", said);
    }
    write_network(1);
    put_text(layers, LAYERS);
    memcpy(there, out, sizeof there);
    snprintf(out, sizeof out, "%.60s/none/out.safetensors", folder);
    const bool wrote = run("", in, "--ratio 0.5");
    memcpy(out, there, sizeof there);
    ck_assert(!wrote);
    ck_assert_msg(!strstr(said, "units removed"), "%s", said);
    ck_assert(run("", in, "--ratio 0.5"));
    ck_assert_msg(strstr(said, "units removed") != NULL, "%s", said);
}
END_TEST

START_TEST(refusals)
{
    static const struct {
        const char *layers, *options, *sentence;
    } cases[] = {
        {"conv1 fc9", "--ratio 0.5", "fc9.weight is not in the file"},
        {"conv1 conv1", "--ratio 0.5", "conv1 is named twice"},
        {"conv1+bn1 dw+bn1", "--ratio 0.5", "bn1.weight belongs to two layers"},
        {"conv1+bn1 dw conv2+bn1 fc1 fc2", "--ratio 0.5", "bn1.weight belongs to two layers"},
        {"none fc2", "--ratio 0.5", "none.weight has no elements"},
        {"conv1+bn9 dw", "--ratio 0.5", "no tensor of the norm bn9"},
        {"conv1 fc2", "--ratio 0.5",
         "fc2.weight has 5 inputs and reads conv1, which has 6 channels"},
        {"conv1 fc1=conv1", "--ratio 0.5", "fc1 has 5 channels, conv1 has 6: they cannot be added"},
        {"conv1 dw=conv9", "--ratio 0.5", "conv9, which is no layer before it"},
        {"conv1 dw<conv2", "--ratio 0.5", "dw reads conv2, which is no layer before it"},
        {"bn1", "--ratio 0.5", "bn1.weight has 1 axes, a layer has 2 or more"},
        {"# nothing", "--ratio 0.5", "the list of layers is empty"},
        {"conv1 \033[31m", "--ratio 0.5", " ?[31m.weight is not in the file"},
        {"conv1 dw", "", "what shall be removed?"},
        {"conv1 fc1 fc2", "--ratio 0.99 --score l1",
         "--ratio 0.99 of 11 units is more than the 9 that can go"},
        {"conv1 fc1 fc2", "--params 0.0001 --score l1",
         "--params 0.0001 asks for at most 0 of 305 parameters, and 38 stay when the 9 of 11 "
         "units"},
        {"conv1 fc1 fc2", "--ratio 0.5", "no layer has a norm; use --score l1 or l2"},
        {"conv1 dw", "--ratio 0", "--ratio is 0, and has to be above 0 and at most 1"},
        {"conv1 dw", "--params 0", "--params is 0, and has to be above 0 and at most 1"},
        {"conv1 dw", "--params 1.5", "\"1.5\" is not a number from 0 to 1"},
    };
    if (access(program(), X_OK)) return;
    write_network(1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_text(layers, cases[i].layers);
        ck_assert_msg(!run("", in, cases[i].options), "%s: accepted", cases[i].layers);
        ck_assert_msg(strstr(said, cases[i].sentence) != NULL, "\"%s\" does not say \"%s\"", said,
                      cases[i].sentence);
        ck_assert_int_ne(access(out, F_OK), 0);
    }
    put_text(layers, LAYERS);
    ck_assert(!run("", out, "--ratio 0.5")); /* a file that is not there */
    put_text(in, "short");
    ck_assert(!run("", in, "--ratio 0.5"));
    ck_assert_int_ne(access(out, F_OK), 0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("mskp-safetensors");
    TCase *t = tcase_create("files");
    tcase_add_checked_fixture(t, setup, teardown);
    tcase_set_timeout(t, 240);
    tcase_add_test(t, small_networks);
    tcase_add_test(t, larger_than_memory);
    tcase_add_test(t, refusals);
    tcase_add_test(t, types_and_failures);
    suite_add_tcase(s, t);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    const int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
