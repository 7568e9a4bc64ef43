/* masksparsity, whose calls go wrong one after the other; what its users asked of its files; and
 * what --branches leaves of a network. */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
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
                  "masked.safetensors", "--log", "log.csv", "--report", "."},
    .words = {SHORT_RUN, "--macs", "0.7", "--teacher", "in.safetensors", "--out", "out.safetensors",
              "--save-masked", "masked.safetensors", "--log", "log.csv", "--checkpoint",
              "state.safetensors", "--report", "."},
    .log = "log.csv",
    .state = "state.safetensors",
    .is_whole = is_whole,
    .page = "index.html",
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

/* ---- Whole branches ---- */

/* What the program wrote to standard output, in a file of the folder. To be freed. */
static char *run_and_read(const char *folder, const char *const *words)
{
    char path[200];
    torture_end end;
    size_t size;
    snprintf(path, sizeof path, "%s/said", folder);
    torture_run(&job, words, folder, NULL, path, &end);
    ck_assert_msg(!end.status, "%s", end.text);
    char *bytes = torture_load(folder, "said", &size);
    ck_assert_ptr_nonnull(bytes);
    char *text = malloc(size + 1);
    ck_assert_ptr_nonnull(text);
    memcpy(text, bytes, size);
    text[size] = 0;
    free(bytes);
    return text;
}

/* The number behind these words of the text. */
static double number_after(const char *text, const char *words)
{
    double number;
    const char *at = strstr(text, words);
    ck_assert_msg(at != NULL, "no \"%s\" in: %s", words, text);
    ck_assert_msg(sscanf(at + strlen(words), "%lf", &number) == 1, "no number at: %.60s", at);
    return number;
}

static cn_net *load(const char *folder, const char *name)
{
    char path[200];
    cn_error err = {""};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    cn_net *net = cn_load(path, &(cn_options){.batch = 4, .seed = 1}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    return net;
}

static size_t count_layers(const cn_net *net, cn_kind kind)
{
    size_t n = 0;
    for (size_t i = 0; i < net->layer_count; i++) n += net->layers[i].kind == kind;
    return n;
}

/* Writes in.safetensors, in which a branch adds something to each channel: no beta is 0. */
static void make_shifted(const char *folder)
{
    char path[200];
    cn_error err = {""};
    make_inputs(folder);
    cn_net *net = load(folder, "in.safetensors");
    for (size_t p = 0; p < net->param_count; p++) {
        const cn_param *param = &net->params[p];
        if (!strstr(param->name, "bn") || !strstr(param->name, ".bias")) continue;
        for (size_t i = 0; i < param->count; i++) param->value[i] = (cn_real)(i % 2 ? -0.5 : 0.75);
    }
    snprintf(path, sizeof path, "%s/in.safetensors", folder);
    ck_assert_msg(cn_save(net, path, 0, NULL, &err), "%s", err.text);
    cn_destroy(net);
}

/* The largest difference of the outputs of two networks, and the largest output. */
static double difference(cn_net *a, cn_net *b, double *largest)
{
    enum { IMAGES = 4, CLASSES = 10 };
    cn_real images[IMAGES * CN_PIXELS], first[IMAGES * CLASSES];
    cn_random random = {1};
    double most = *largest = 0;
    for (size_t i = 0; i < IMAGES * CN_PIXELS; i++) images[i] = (cn_real)cn_random_normal(&random);
    const cn_real *logits = cn_forward(a, IMAGES, images, false);
    ck_assert_ptr_nonnull(logits);
    memcpy(first, logits, sizeof first);
    logits = cn_forward(b, IMAGES, images, false);
    ck_assert_ptr_nonnull(logits);
    for (size_t i = 0; i < IMAGES * CLASSES; i++) {
        most = fmax(most, fabs((double)first[i] - (double)logits[i]));
        *largest = fmax(*largest, fabs((double)logits[i]));
    }
    return most;
}

#define BRANCH_RUN                                                                          \
    "--weights", "in.safetensors", "--images", "8", "--test-images", "60", "--batch", "2",  \
        "--threads", "1", "--epochs", "0,0,1,0", "--penalty", "deadline", "--macs", "0.65", \
        "--out", "out.safetensors", "--save-masked", "masked.safetensors"

/*
 * Gammas and betas of what is removed reach 0 before the cut, so nothing is lost by it: the network
 * of --out computes what the masked one does, and the program says so, before and after it was
 * written. With --branches a block is missing in it, but for what it adds to each channel; without,
 * no layer is.
 */
START_TEST(branches)
{
    enum { IMAGES = 60 }; /* to test */
    const bool asked = _i == 0;
    const char *const words[] = {"--branches", BRANCH_RUN, NULL};
    const char *const again[] = {"--weights", "out.safetensors", "--evaluate", "--threads",
                                 "1",         "--test-images",   "60",         NULL};
    double largest;
    char *folder = torture_folder();
    make_shifted(folder);
    char *said = run_and_read(folder, words + !asked), *evaluated = run_and_read(folder, again);
    cn_net *dense = load(folder, "in.safetensors"), *masked = load(folder, "masked.safetensors");
    cn_net *cut = load(folder, "out.safetensors");

    const size_t all = count_layers(dense, CN_CONV), left = count_layers(cut, CN_CONV);
    ck_assert_uint_eq(count_layers(masked, CN_CONV), all);
    ck_assert_uint_eq(count_layers(masked, CN_SHIFT), 0);
    ck_assert_msg(asked ? left < all : left == all, "%zu of %zu convolutions", left, all);
    ck_assert_uint_eq(count_layers(cut, CN_SHIFT), (all - left) / 2); /* one for each block */
    const double off = difference(masked, cut, &largest);
    ck_assert_msg(largest > 0.1 && off <= 1e-5 * largest, "%g of %g", off, largest);
    ck_assert_double_le(number_after(said, "surgery itself: largest difference of outputs "), 1e-5);
    const double before = number_after(said, "surgery: test "),
                 after = number_after(said, "before, ");
    const double right = number_after(evaluated, "top-1: ");
    ck_assert_msg(fabs(before - after) < 0.01 && fabs(after - 100 * right / IMAGES) < 0.01,
                  "%g %% before, %g %% after, %g of %d right", before, after, right, IMAGES);

    cn_destroy(dense);
    cn_destroy(masked);
    cn_destroy(cut);
    free(said);
    free(evaluated);
    torture_remove(folder);
}
END_TEST

/* ---- Teachers ---- */

#define TAUGHT_RUN                                                                             \
    "--weights", "in.safetensors", "--images", "16", "--test-images", "4", "--batch", "4",     \
        "--threads", "1", "--epochs", "12,0,0,0", "--macs", "1", "--penalty", "none", "--out", \
        "out.safetensors"

/* Whoever learns the outputs of a network becomes more like it than who learns the labels alone. */
START_TEST(teachers)
{
    const char *const words[] = {TAUGHT_RUN, NULL}, *const taught[] = {TAUGHT_RUN, "--teacher",
                                                                       "teacher.safetensors", NULL};
    double off[2], largest;
    char *folder = torture_folder(), path[200], other[200];
    make_shifted(folder);
    snprintf(path, sizeof path, "%s/in.safetensors", folder);
    snprintf(other, sizeof other, "%s/teacher.safetensors", folder);
    ck_assert_int_eq(rename(path, other), 0);
    make_inputs(folder);
    cn_net *teacher = load(folder, "teacher.safetensors");
    for (size_t i = 0; i < 2; i++) {
        free(run_and_read(folder, i ? taught : words));
        cn_net *net = load(folder, "out.safetensors");
        off[i] = difference(teacher, net, &largest);
        cn_destroy(net);
    }
    ck_assert_msg(off[1] < 0.7 * off[0], "%g from the teacher, and without it %g", off[1], off[0]);
    cn_destroy(teacher);
    torture_remove(folder);
}
END_TEST

START_TEST(bad_teachers)
{
    torture_end end;
    char *folder = torture_folder(), path[200];
    cn_error err = {""};
    make_inputs(folder);
    cn_net *four = cn_resnet(8, 4, &(cn_options){.seed = 1}, &err);
    ck_assert_msg(four != NULL, "%s", err.text);
    snprintf(path, sizeof path, "%s/four.safetensors", folder);
    ck_assert_msg(cn_save(four, path, 0, NULL, &err), "%s", err.text);
    cn_destroy(four);
    const struct {
        const char *teacher, *sentence;
    } cases[] = {
        {"four.safetensors",
         "masksparsity: four.safetensors: the network has 4 classes, the one that is trained 10\n"},
        {"none.safetensors", "masksparsity: none.safetensors: "},
        {"out.safetensors", "masksparsity: out.safetensors would be both read and written\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const words[] = {TAUGHT_RUN, "--teacher", cases[i].teacher, NULL};
        torture_run(&job, words, folder, NULL, "/dev/null", &end);
        ck_assert(end.status);
        ck_assert_msg(!strncmp(end.text, cases[i].sentence, strlen(cases[i].sentence)), "%s",
                      end.text);
    }
    torture_remove(folder);
}
END_TEST

/* ---- Strengths ---- */

#define STRENGTH_RUN                                                                               \
    "--weights", "in.safetensors", "--images", "12", "--test-images", "20", "--batch", "2",        \
        "--threads", "1", "--epochs", "0,0,2,0", "--constants", "drop", "--macs", "0.65", "--out", \
        "out.safetensors", "--save-masked", "masked.safetensors"

/* How many gammas and betas of a network are exactly 0, and how many are missing in the other. */
static void count_zeros(const cn_net *masked, const cn_net *cut, size_t *zeros, size_t *missing)
{
    *zeros = *missing = 0;
    ck_assert_uint_eq(masked->param_count, cut->param_count);
    for (size_t p = 0; p < masked->param_count; p++) {
        const cn_param *param = &masked->params[p];
        if (!strstr(param->name, "bn") ||
            !(strstr(param->name, ".weight") || strstr(param->name, ".bias")))
            continue;
        for (size_t i = 0; i < param->count; i++) *zeros += !(fabs((double)param->value[i]) > 0);
        *missing += param->count - cut->params[p].count;
    }
}

/* With an automatic strength, by the gradient and after the step, gamma and beta of what leaves are
 * exactly 0 at the end of the masked phase, and all others are not. So nothing is lost by a cut
 * that drops constants. With a fixed strength they are small, but no zeros. */
START_TEST(strengths)
{
    static const struct {
        const char *penalty, *strength;
        bool automatic;
    } hows[] = {{"l1", "0", true},      {"prox", "0", true},          {"l1", "0.05", false},
                {"prox", "0.5", false}, {"smooth-l1", "0.05", false}, {"l2", "1", false}};
    for (size_t i = 0; i < sizeof hows / sizeof *hows; i++) {
        const char *const words[] = {STRENGTH_RUN, "--penalty",      hows[i].penalty,
                                     "--strength", hows[i].strength, NULL};
        size_t zeros, missing;
        double largest;
        char *folder = torture_folder();
        make_shifted(folder);
        free(run_and_read(folder, words));
        cn_net *masked = load(folder, "masked.safetensors"), *cut = load(folder, "out.safetensors");
        count_zeros(masked, cut, &zeros, &missing);
        ck_assert_uint_gt(missing, 0);
        ck_assert_msg(hows[i].automatic ? zeros == missing : zeros < missing,
                      "--penalty %s --strength %s: %zu zeros, %zu gammas and betas leave",
                      hows[i].penalty, hows[i].strength, zeros, missing);
        const double off = difference(masked, cut, &largest);
        ck_assert_msg(largest > 0.1 && (off <= 1e-5 * largest) == hows[i].automatic,
                      "--penalty %s --strength %s: %g of %g", hows[i].penalty, hows[i].strength,
                      off, largest);
        cn_destroy(masked);
        cn_destroy(cut);
        torture_remove(folder);
    }
}
END_TEST

/* ---- Sentences ---- */

static void require_sentence(const char *folder, int status, const char *sentence,
                             const char *const *words)
{
    torture_end end;
    torture_run(&job, words, folder, NULL, "/dev/null", &end);
    ck_assert_msg(WIFEXITED(end.status) && WEXITSTATUS(end.status) == status, "%#x: %s",
                  (unsigned)end.status, end.text);
    ck_assert_str_eq(end.text, sentence);
}

START_TEST(refusals)
{
    size_t size;
    char *folder = torture_folder();
    make_inputs(folder);
    for (size_t i = 0; i < 2; i++)
        require_sentence(
            folder, 2,
            "masksparsity: --penalty smooth-l1 and l2 need --strength: an automatic strength is "
            "for l1 and prox\n",
            (const char *const[]){SHORT_RUN, "--penalty", i ? "l2" : "smooth-l1", NULL});
    require_sentence(
        folder, 2,
        "masksparsity: --strength 1 has no effect: --penalty none and deadline have "
        "no strength\n",
        (const char *const[]){SHORT_RUN, "--penalty", "deadline", "--strength", "1", NULL});
    require_sentence(folder, 2,
                     "masksparsity: --on has no effect: --penalty none moves no parameter\n",
                     (const char *const[]){SHORT_RUN, "--penalty", "none", "--on=gamma", NULL});
    require_sentence(
        folder, 2, "masksparsity: --global-strength has no effect: there is no global phase\n",
        (const char *const[]){"--epochs", "1,0,1,1", "--global-strength", "0.1", NULL});
    require_sentence(
        folder, 2, "masksparsity: --lock has no effect: --evaluate only classifies\n",
        (const char *const[]){"--evaluate", "--weights", "--seed", "--lock", "x", NULL});
    /* A file of another run is no place for a checkpoint. An empty one is. */
    torture_save(folder, "state", "something", 9);
    require_sentence(folder, 1,
                     "masksparsity: state: this file is there already; --resume goes on from a "
                     "checkpoint, and a new run needs another name\n",
                     (const char *const[]){SHORT_RUN, "--checkpoint", "state", NULL});
    char *bytes = torture_load(folder, "state", &size);
    ck_assert(size == 9 && !memcmp(bytes, "something", 9));
    free(bytes);
    torture_save(folder, "state", "", 0);
    require_sentence(
        folder, 0, "",
        (const char *const[]){SHORT_RUN, "--macs", "0.7", "--checkpoint", "state", NULL});
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
    tcase_add_loop_test(cases, branches, 0, 2);
    tcase_add_test(cases, teachers);
    tcase_add_test(cases, bad_teachers);
    tcase_add_test(cases, strengths);
    tcase_add_test(cases, refusals);
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
