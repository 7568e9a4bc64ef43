/* masksparsity, whose calls go wrong one after the other; and what its users asked of its files. */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convnet.h"
#include "torture/torture.h"

/* A resnet8 with few channels: a run takes some milliseconds. */
static void make_inputs(const char *folder)
{
    char path[200];
    cn_layer layers[64];
    cn_error err = {""};
    const size_t count = cn_resnet_layers(8, 10, layers, 64);
    for (size_t i = 0; i < count; i++) {
        cn_layer *l = &layers[i];
        if (l->kind == CN_CONV) l->channels /= 8;
        if (l->kind == CN_PAD_CHANNELS) l->before /= 8, l->after /= 8;
    }
    cn_net *net = cn_create("resnet8", count, layers, &(cn_options){.batch = 1, .seed = 1}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    snprintf(path, sizeof path, "%s/in.safetensors", folder);
    ck_assert_msg(cn_save(net, path, 0, NULL, &err), "%s", err.text);
    cn_destroy(net);
}

#define SHORT_RUN                                                                         \
    "--weights", "in.safetensors", "--images", "1", "--test-images", "1", "--batch", "1", \
        "--threads", "1", "--epochs", "0,0,0,0"
static torture_job job = {
    .name = "masksparsity",
    .make_inputs = make_inputs,
    .old_words = {SHORT_RUN, "--macs", "0.9", "--out", "out.safetensors", "--save-masked",
                  "masked.safetensors", "--log", "log.csv", "--report", "."},
    .words = {SHORT_RUN, "--macs", "0.7", "--out", "out.safetensors", "--save-masked",
              "masked.safetensors", "--log", "log.csv", "--report", "."},
    .log = "log.csv",
    .page = "index.html",
};

START_TEST(memory)
{
    ck_assert_uint_eq(torture_memory(&job), 0);
}
END_TEST

START_TEST(system_calls)
{
    ck_assert_uint_eq(torture_system(&job), 0);
}
END_TEST

/* Runs the program on in.safetensors, or on other weights, with this --out. */
static void run_with(const char *folder, const char *weights, const char *out, torture_end *end)
{
    const char *const words[] = {SHORT_RUN, "--macs", "0.7", "--weights",
                                 weights,   "--out",  out,   NULL};
    torture_run(&job, words, folder, NULL, "/dev/null", end);
}

START_TEST(outputs)
{
    char path[200];
    torture_end end;
    struct stat is;
    size_t size;
    char *folder = torture_folder();
    make_inputs(folder);
    snprintf(path, sizeof path, "%s/pipe", folder);
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    run_with(folder, "in.safetensors", "pipe", &end);
    ck_assert_str_eq(end.text, "masksparsity: pipe: it cannot be written: it is a pipe that no "
                               "program reads\n");
    const int reader = open(path, O_RDONLY | O_NONBLOCK);
    ck_assert_int_ge(reader, 0);
    run_with(folder, "in.safetensors", "pipe", &end);
    ck_assert_msg(!end.status, "%s", end.text);
    char first[9] = "";
    ck_assert_int_eq(read(reader, first, 9), 9);
    ck_assert(first[8] == '{');
    close(reader);
    ck_assert_int_eq(unlink(path), 0);

    run_with(folder, "in.safetensors", "/dev/null", &end);
    ck_assert_msg(!end.status, "%s", end.text);
    snprintf(path, sizeof path, "%s/link", folder);
    ck_assert_int_eq(symlink("real", path), 0);
    run_with(folder, "in.safetensors", "link", &end);
    ck_assert_msg(!end.status, "%s", end.text);
    ck_assert(!lstat(path, &is) && S_ISLNK(is.st_mode));
    char *real = torture_load(folder, "real", &size);
    ck_assert_ptr_nonnull(real);
    free(real);
    torture_remove(folder);
}
END_TEST

/* What never ends, or announces more than there is, takes no memory and no time. */
START_TEST(inputs)
{
    torture_end end;
    char *folder = torture_folder();
    torture_save(folder, "long", "\xff\xff\xff\xff\0\0\0\0{}", 10);
    run_with(folder, "/dev/zero", "out", &end);
    ck_assert_str_eq(end.text,
                     "masksparsity: /dev/zero: the header of 0 bytes is no JSON object\n");
    run_with(folder, "long", "out", &end);
    ck_assert_str_eq(end.text, "masksparsity: long: the header's length is 4294967295, but 2 bytes "
                               "follow and 100000000 are the limit\n");
    torture_remove(folder);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    char *program = torture_beside(argv[0], "masksparsity");
    job.program = program;
    Suite *suite = suite_create("torture of masksparsity");
    TCase *cases = tcase_create("torture");
    tcase_set_timeout(cases, 600);
    tcase_add_test(cases, outputs);
    tcase_add_test(cases, inputs);
    tcase_add_test(cases, memory);
    tcase_add_test(cases, system_calls);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    free(program);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
