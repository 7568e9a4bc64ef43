/* masksparsity, whose calls go wrong one after the other; and what its users asked of its files. */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "torture/narrow.h"
#include "torture/torture.h"

static void make_inputs(const char *folder)
{
    save_narrow(folder, "in.safetensors", false);
}

#define SHORT_RUN                                                                         \
    "--weights", "in.safetensors", "--images", "1", "--test-images", "1", "--batch", "1", \
        "--threads", "1", "--epochs", "0,0,0,0"
static bool is_whole(const char *bytes, size_t size)
{
    cn_tensors file;
    const bool whole = cn_tensors_parse(bytes, size, &file, NULL);
    cn_tensors_free(&file);
    return whole;
}

static torture_job job = {
    .name = "masksparsity",
    .make_inputs = make_inputs,
    .old_words = {SHORT_RUN, "--macs", "0.9", "--out", "out.safetensors", "--save-masked",
                  "masked.safetensors", "--log", "log.csv", "--checkpoint", "state.safetensors"},
    .words = {SHORT_RUN, "--macs", "0.7", "--out", "out.safetensors", "--save-masked",
              "masked.safetensors", "--log", "log.csv", "--checkpoint", "state.safetensors"},
    .log = "log.csv",
    .state = "state.safetensors",
    .is_whole = is_whole,
};

/* A run that is finished but for the file of --out, which --resume writes. */
static torture_job resumption = {
    .name = "masksparsity",
    .make_inputs = make_inputs,
    .old_words = {SHORT_RUN, "--macs", "0.7", "--log", "log.csv", "--checkpoint",
                  "state.safetensors"},
    .words = {SHORT_RUN, "--macs", "0.7", "--log", "log.csv", "--checkpoint", "state.safetensors",
              "--resume", "--out", "out.safetensors"},
    .most = 50,
    .log = "log.csv",
    .state = "state.safetensors",
    .is_whole = is_whole,
};

START_TEST(resuming)
{
    ck_assert_uint_eq(torture_memory(&resumption), 0);
    ck_assert_uint_eq(torture_system(&resumption), 0);
}
END_TEST

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
    job.program = resumption.program = program;
    Suite *suite = suite_create("torture of masksparsity");
    TCase *cases = tcase_create("torture");
    tcase_set_timeout(cases, 600);
    tcase_add_test(cases, outputs);
    tcase_add_test(cases, inputs);
    tcase_add_test(cases, resuming);
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
