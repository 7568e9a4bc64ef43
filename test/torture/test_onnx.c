/* mskp-onnx, whose calls go wrong one after the other. */
#define _GNU_SOURCE
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "onnx/wire.h"
#include "torture/torture.h"

enum { DIMS = 1, FLOAT_TYPE = 1, TENSOR_TYPE_FIELD = 2, TENSOR_NAME_FIELD = 8 };

/* A tensor of floats in data.bin, from this byte on. */
static void put_weight(bytes *graph, const char *name, size_t ndim, const size_t *dims,
                       size_t *offset)
{
    static const char *const keys[] = {"location", "offset", "length"};
    char places[3][24] = {"data.bin"};
    bytes t = {0};
    size_t size = sizeof(float);
    for (size_t i = 0; i < ndim; i++) {
        put_integer(&t, DIMS, dims[i]);
        size *= dims[i];
    }
    put_integer(&t, TENSOR_TYPE_FIELD, FLOAT_TYPE);
    put_text(&t, TENSOR_NAME_FIELD, name);
    snprintf(places[1], sizeof places[1], "%zu", *offset);
    snprintf(places[2], sizeof places[2], "%zu", size);
    for (size_t i = 0; i < 3; i++) {
        bytes entry = {0};
        put_text(&entry, 1, keys[i]);
        put_text(&entry, 2, places[i]);
        put_message(&t, 13, &entry);
    }
    put_integer(&t, 14, 1); /* EXTERNAL */
    put_message(graph, 5, &t);
    *offset += size;
}

static void put_node(bytes *graph, const char *op, const char *in, const char *weight,
                     const char *out)
{
    bytes node = {0};
    put_text(&node, 1, in);
    if (weight) put_text(&node, 1, weight);
    put_text(&node, 2, out);
    put_text(&node, 4, op);
    put_message(graph, 1, &node);
}

/* An input or output of the graph: 1 x channels x side x side. */
static void put_end(bytes *graph, uint32_t field, const char *name, size_t channels, size_t side)
{
    const size_t dims[] = {1, channels, side, side};
    bytes info = {0}, type = {0}, tensor = {0}, shape = {0};
    for (size_t i = 0; i < 4; i++) {
        bytes dim = {0};
        put_integer(&dim, 1, dims[i]);
        put_message(&shape, 1, &dim);
    }
    put_integer(&tensor, 1, FLOAT_TYPE);
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&info, 1, name);
    put_message(&info, 2, &type);
    put_message(graph, field, &info);
}

/* The name of the tensor between them. */
static const char *middle = "a";

/* Two convolutions with a relu between them; the weights are in data.bin. */
static void make_inputs(const char *folder)
{
    bytes graph = {0}, model = {0}, set = {0};
    size_t size = 0;
    put_node(&graph, "Conv", "x", "w1", middle);
    put_node(&graph, "Relu", middle, NULL, "b");
    put_node(&graph, "Conv", "b", "w2", "y");
    put_weight(&graph, "w1", 4, (size_t[]){8, 3, 3, 3}, &size);
    put_weight(&graph, "w2", 4, (size_t[]){2, 8, 3, 3}, &size);
    put_end(&graph, 11, "x", 3, 8);
    put_end(&graph, 12, "y", 2, 4);
    put_integer(&model, 1, 8);
    put_message(&model, 7, &graph);
    put_integer(&set, 2, 13);
    put_message(&model, 8, &set);
    torture_save(folder, "in.onnx", model.data, model.size);
    bytes_free(&model);

    float *weights = malloc(size);
    ck_assert_ptr_nonnull(weights);
    for (size_t i = 0; i < size / sizeof *weights; i++)
        weights[i] = (float)((i * 37 + i / 27 * 11) % 101) / 101;
    torture_save(folder, "data.bin", weights, size);
    free(weights);
}

#define OUTPUTS                                                                                \
    "in.onnx", "out.onnx", "--zeroed", "zero.onnx", "--save-mask", "mask", "--json", "report", \
        "--report", "."
static torture_job job = {.name = "mskp-onnx",
                          .make_inputs = make_inputs,
                          .old_words = {OUTPUTS, "--ratio", "0.25"},
                          .words = {OUTPUTS, "--ratio", "0.5", "--constants", "auto"}};
/* A mask is read. */
static torture_job masked = {
    .name = "mskp-onnx",
    .make_inputs = make_inputs,
    .old_words = {"in.onnx", "out.onnx", "--ratio", "0.25", "--save-mask", "mask"},
    .words = {"in.onnx", "out.onnx", "--mask", "mask", "--zeroed", "zero.onnx"}};

/* All kinds of operators: the inputs of the fuzz target. */
static const char CORPUS[] = "test/fuzz/corpus/onnx", *corpus_file;

static void copy_input(const char *folder)
{
    size_t size = 0;
    char *model = torture_load(CORPUS, corpus_file, &size);
    ck_assert_msg(model != NULL, "%s", corpus_file);
    torture_save(folder, "in.onnx", model, size);
    free(model);
}

static torture_job other = {
    .name = "mskp-onnx",
    .make_inputs = copy_input,
    .old_words = {"in.onnx", "out.onnx", "--ratio", "0"},
    .words = {"in.onnx", "out.onnx", "--ratio", "0.5", "--save-mask", "mask"},
    .most = 3,
    .quiet = true};

START_TEST(memory)
{
    ck_assert_uint_eq(torture_memory(&job), 0);
}
END_TEST

START_TEST(memory_masked)
{
    ck_assert_uint_eq(torture_memory(&masked), 0);
}
END_TEST

START_TEST(memory_of_operators)
{
    size_t count = 0, bad = 0;
    DIR *dir = opendir(CORPUS);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        corpus_file = e->d_name;
        if (!strstr(corpus_file, ".in.onnx") || !torture_can(&other)) continue;
        count++;
        const size_t more = torture_memory(&other);
        if (more) printf("%s: %zu complaints\n", corpus_file, more);
        bad += more;
    }
    closedir(dir);
    printf("%zu models of %s: %zu complaints\n", count, CORPUS, bad);
    ck_assert_uint_eq(bad, 0);
    ck_assert_uint_gt(count, 40); /* some are refused, or lose nothing */
}
END_TEST

START_TEST(system_calls)
{
    ck_assert_uint_eq(torture_system(&job), 0);
}
END_TEST

START_TEST(system_calls_masked)
{
    ck_assert_uint_eq(torture_system(&masked), 0);
}
END_TEST

/* What a terminal would take for a command does not reach it: in the list, and in sentences. */
START_TEST(names)
{
    static const char *const list[] = {"in.onnx", NULL};
    static const char *const refused[] = {"in.onnx", "out.onnx", "--ratio", "0.5",
                                          "--keep",  "w9",       NULL};
    torture_end end;
    size_t size;
    char *folder = torture_folder();
    middle = "c\x1b[2J\n1\xc2\x9b";
    make_inputs(folder);
    torture_run(&job, list, folder, NULL, "list", &end);
    ck_assert_msg(!end.status, "%s", end.text);
    char *text = torture_load(folder, "list", &size);
    ck_assert_ptr_nonnull(memmem(text, size, "c?[2J?1??", 9));
    ck_assert_ptr_null(memchr(text, 0x1b, size));
    ck_assert_ptr_null(memchr(text, 0x9b, size));
    free(text);
    torture_run(&job, refused, folder, NULL, "/dev/null", &end);
    ck_assert_str_eq(end.text, "mskp-onnx: --keep w9: no layer or parameter has such a name\n");
    const char *const own[] = {"in.onnx", "out.onnx",  "--ratio", "0.5",
                               "--json",  "./in.onnx", NULL};
    torture_run(&job, own, folder, NULL, "/dev/null", &end);
    ck_assert_str_eq(end.text, "mskp-onnx: ./in.onnx: it is the file that was read; write to "
                               "another file\n");
    middle = "x"; /* made twice */
    make_inputs(folder);
    middle = "a";
    torture_run(&job, list, folder, NULL, "/dev/null", &end);
    ck_assert_int_eq(WEXITSTATUS(end.status), 1);
    torture_remove(folder);
}
END_TEST

/* The files of OUT stand where a link leads; pipes and devices work, too. */
START_TEST(outputs)
{
    static const char *const words[] = {"in.onnx",     "link", "--ratio", "0.5",
                                        "--save-mask", "pipe", NULL};
    static const char *const to_stdout[] = {"in.onnx",     "out.onnx",    "--ratio", "0.5",
                                            "--save-mask", "/dev/stdout", NULL};
    char path[200];
    torture_end end;
    size_t size;
    char *folder = torture_folder();
    make_inputs(folder);
    snprintf(path, sizeof path, "%s/link", folder);
    ck_assert_int_eq(symlink("real.onnx", path), 0);
    snprintf(path, sizeof path, "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    torture_run(&job, words, folder, NULL, "/dev/null", &end);
    ck_assert_str_eq(end.text,
                     "mskp-onnx: pipe: it cannot be written: it is a pipe that no program "
                     "reads\n");
    const int reader = open(path, O_RDONLY | O_NONBLOCK);
    ck_assert_int_ge(reader, 0);
    torture_run(&job, words, folder, NULL, "/dev/null", &end);
    ck_assert_msg(!end.status, "%s", end.text);
    char start[17] = "";
    ck_assert_int_eq(read(reader, start, 9), 9);
    ck_assert_str_eq(start, "mskp mask");
    close(reader);
    ck_assert_int_eq(unlink(path), 0);
    snprintf(path, sizeof path, "%s/link", folder);
    struct stat is;
    ck_assert(!lstat(path, &is) && S_ISLNK(is.st_mode));
    char *model = torture_load(folder, "real.onnx", &size);
    ck_assert_ptr_nonnull(memmem(model, size, "real.onnx.", 10));
    free(model);

    torture_run(&job, to_stdout, folder, NULL, "list", &end);
    ck_assert_msg(!end.status, "%s", end.text);
    char *text = torture_load(folder, "list", &size);
    ck_assert_msg(!memcmp(text, "mskp mask", 9), "%.*s", (int)size, text);
    ck_assert_ptr_nonnull(memmem(text, size, "before          after", 21));
    free(text);
    torture_remove(folder);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    char *program = torture_beside(argv[0], "mskp-onnx");
    job.program = masked.program = other.program = program;
    Suite *suite = suite_create("torture of mskp-onnx");
    TCase *cases = tcase_create("torture");
    tcase_set_timeout(cases, 600);
    tcase_add_test(cases, memory);
    tcase_add_test(cases, memory_masked);
    tcase_add_test(cases, names);
    tcase_add_test(cases, outputs);
    tcase_add_test(cases, memory_of_operators);
    tcase_add_test(cases, system_calls);
    tcase_add_test(cases, system_calls_masked);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    free(program);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
