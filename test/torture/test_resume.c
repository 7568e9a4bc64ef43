/*
 * masksparsity that is stopped, and goes on with --resume: by SIGKILL at each system call and at
 * random times, by SIGINT in the middle of epochs, and after its end. What it writes then must be,
 * bit for bit, what a run without --checkpoint writes that nothing stops, but for times. And files
 * that it must not go on with.
 */
#define _DEFAULT_SOURCE
#include <check.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "torture/narrow.h"
#include "torture/torture.h"

static torture_job job = {.name = "masksparsity"};
static char *folder;

#define RUN                                                                                 \
    "--weights", "in.safetensors", "--images", "12", "--test-images", "10", "--batch", "4", \
        "--threads", "1", "--out", "out.safetensors", "--log", "log.csv", "--gauges", "gauges"
#define BASE RUN, "--save-masked", "masked.safetensors", "--macs", "0.7", "--epochs", "2,1,2,2"

static void begin(void)
{
    folder = torture_folder();
    save_narrow(folder, "in.safetensors", false);
}

static void end(void)
{
    torture_remove(folder);
}

static void path_of(char path[200], const char *name)
{
    ck_assert_int_lt(snprintf(path, 200, "%s/%s", folder, name), 200);
}

static bool is_there(const char *name)
{
    char path[200];
    path_of(path, name);
    return !access(path, F_OK);
}

static void remove_file(const char *name)
{
    char path[200];
    path_of(path, name);
    unlink(path);
}

/* ---- what a run leaves ---- */

/* A file as a text; without one, an empty text. */
static char *load_text(const char *name)
{
    size_t size = 0;
    char *bytes = torture_load(folder, name, &size), *text = calloc(size + 1, 1);
    ck_assert_ptr_nonnull(text);
    if (size) memcpy(text, bytes, size);
    free(bytes);
    return text;
}

/* The log without its last column, the seconds. */
static char *load_log(void)
{
    char *text = load_text("log.csv"), *to = text;
    for (const char *line = text; *line;) {
        const char *stop = line + strcspn(line, "\n"), *comma = stop;
        while (comma > line && *comma != ',') comma--;
        memmove(to, line, (size_t)(comma - line));
        to += comma - line;
        *to++ = '\n';
        line = *stop ? stop + 1 : stop;
    }
    *to = 0;
    return text;
}

/* The table at the end of what was printed last, without its lines of times. */
static char *load_table(void)
{
    static const char first[] = "parameters  ", last[] = "after fine-tuning", time[] = "images/s";
    char *text = load_text("text"), *at = NULL;
    for (char *next = strstr(text, first); next; next = strstr(next + 1, first)) at = next;
    ck_assert_ptr_nonnull(at);
    char *stop = strstr(at, last);
    ck_assert_ptr_nonnull(stop);
    stop[strcspn(stop, "\n")] = 0;
    memmove(text, at, strlen(at) + 1);
    for (char *line = strstr(text, time); line; line = strstr(text, time)) {
        stop = line + strcspn(line, "\n");
        memmove(line, stop, strlen(stop) + 1);
    }
    return text;
}

typedef struct result {
    char *out, *masked, *log, *gauges, *table;
    size_t size, masked_size;
} result;

static result result_take(void)
{
    result r = {0};
    r.out = torture_load(folder, "out.safetensors", &r.size);
    r.masked = torture_load(folder, "masked.safetensors", &r.masked_size);
    r.log = load_log();
    r.gauges = load_text("gauges");
    r.table = load_table();
    return r;
}

static void result_free(result *r)
{
    free(r->out);
    free(r->masked);
    free(r->log);
    free(r->gauges);
    free(r->table);
}

static void require_same(const result *a, const char *what)
{
    result b = result_take();
    ck_assert_msg(a->out && b.out && a->size == b.size && !memcmp(a->out, b.out, a->size),
                  "%s: another network", what);
    ck_assert_msg(!a->masked == !b.masked && a->masked_size == b.masked_size &&
                      (!a->masked || !memcmp(a->masked, b.masked, a->masked_size)),
                  "%s: another network of --save-masked", what);
    ck_assert_msg(!strcmp(a->log, b.log), "%s: the log is\n%sinstead of\n%s", what, b.log, a->log);
    ck_assert_msg(!strcmp(a->gauges, b.gauges), "%s: the gauges are\n%sinstead of\n%s", what,
                  b.gauges, a->gauges);
    ck_assert_msg(!strcmp(a->table, b.table), "%s: another table\n%s", what, b.table);
    result_free(&b);
}

/* ---- runs ---- */

static const char *const base_words[TORTURE_WORDS] = {BASE};
static const char *const more_words[] = {"--checkpoint", "state", "--resume"};

/* words <- the command line, with so many of more_words. */
static void add_words(const char *const *line, size_t more, const char *words[TORTURE_WORDS + 1])
{
    size_t n = 0;
    for (; line[n]; n++) words[n] = line[n];
    for (size_t i = 0; i < more; i++) words[n++] = more_words[i];
    ck_assert_uint_lt(n, TORTURE_WORDS);
    words[n] = NULL;
}

/* Removes what the last run left. */
static void clear(void)
{
    static const char *const names[] = {"out.safetensors", "log.csv", "gauges", "text", "state"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) remove_file(names[i]);
}

/* A run that nothing stops. */
static result good_run(const char *const *line)
{
    torture_end end;
    clear();
    torture_run(&job, line, folder, NULL, "text", &end);
    ck_assert_msg(!end.status, "%s", end.text);
    return result_take();
}

/* Goes on from the checkpoint, or begins if there is none; what: as MSKP_TORTURE. */
static void go_on(const char *const *line, const char *what, torture_end *end)
{
    const char *words[TORTURE_WORDS + 1];
    add_words(line, is_there("state") ? 3 : 2, words);
    torture_run(&job, words, folder, what, "text", end);
}

static double scale(void)
{
    const char *text = getenv("MSKP_TEST_SCALE");
    const double s = text ? strtod(text, NULL) : 1;
    return s > 0 ? s : 1;
}

/* Each call of a function, or every `by`th one, is the last one before SIGKILL; then the program
 * goes on. Returns how often. */
static size_t kill_at_calls(const char *const *line, const char *call, size_t by, const result *r)
{
    torture_end end;
    size_t kills = 0;
    for (size_t i = 1;; i += by, kills++) {
        char what[64];
        clear();
        snprintf(what, sizeof what, "%s %zu kill", call, i);
        go_on(line, what, &end);
        if (!end.wrong) break; /* there are fewer calls */
        ck_assert_msg(WIFSIGNALED(end.status) && WTERMSIG(end.status) == SIGKILL, "%s", what);
        go_on(line, NULL, &end);
        ck_assert_msg(!end.status, "%s: %s", what, end.text);
        require_same(r, what);
    }
    ck_assert_msg(!end.status, "%s", end.text);
    return kills;
}

START_TEST(killed_at_calls)
{
    static const char *const calls[] = {"open", "fstat", "write", "fsync", "rename", "close"};
    result r = good_run(base_words);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const size_t by = scale() < 1 ? 5 : 1;
        printf("%s: %zu kills\n", calls[i], kill_at_calls(base_words, calls[i], by, &r));
    }
    result_free(&r);
}
END_TEST

/* All that a checkpoint must hold differs between these; each is resumed from each of its
 * checkpoints but the last, which a rename brings about. */
static const char *const options[][TORTURE_WORDS] = {
    {RUN, "--macs", "0.7", "--epochs", "1,0,0,1", "--penalty", "none", "--constants", "merge"},
    {RUN, "--macs", "0.3", "--epochs", "0,1,1,1", "--branches", "--strength", "0.5"},
    {RUN, "--macs", "0.7", "--epochs", "1,0,1,1", "--mask", "filters", "--penalty", "prox"},
    {RUN, "--macs", "0.7", "--epochs", "1,1,2,1", "--penalty", "deadline", "--on", "gamma"},
    {RUN, "--macs", "0.8", "--epochs", "0,1,1,0", "--lock", "layer1.*", "--lock", "conv1",
     "--penalty", "smooth-l1", "--strength", "0.05", "--constants", "fold"},
    {RUN, "--macs", "0.7", "--epochs", "0,1,1,1", "--penalty", "l2", "--strength", "1"},
    {RUN, "--macs", "1", "--epochs", "1,1,1,1"},
    {RUN, "--macs", "0.7", "--epochs", "0,0,1,1", "--teacher", "in.safetensors"},
    {RUN, "--macs", "0.7", "--epochs", "0,0,1,1", "--sparse", "sparse.safetensors"},
    {RUN, "--masked", "masked.safetensors", "--epochs", "0,0,0,2"},
};

START_TEST(options_of_all_kinds)
{
    static const char *const first[] = {BASE, "--save-sparse", "sparse.safetensors", NULL};
    result made = good_run(first);
    result_free(&made);
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
        result r = good_run(options[i]);
        ck_assert_uint_ge(kill_at_calls(options[i], "rename", 1, &r), 4);
        result_free(&r);
    }
}
END_TEST

/* ---- at random times ---- */

enum { STAGES = 4, KILLS = 24, MOST_KILLS = 1000 };

/* Runs the program until it ends, or until a signal after a time; returns the status. */
static int run_for(const char *const *words, double seconds, int signal_number)
{
    int status;
    sigset_t ours, before;
    sigemptyset(&ours);
    sigaddset(&ours, signal_number);
    fflush(NULL);
    sigprocmask(SIG_BLOCK, &ours, &before);
    const pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (!child) {
        signal(signal_number, SIG_DFL); /* Check's handler would end the test */
        sigprocmask(SIG_SETMASK, &before, NULL);
        char *argv[TORTURE_WORDS + 2] = {(char *)job.name};
        for (size_t i = 0; words[i]; i++) argv[i + 1] = strdup(words[i]);
        if (chdir(folder)) _exit(99);
        const int out = open("text", O_WRONLY | O_CREAT | O_APPEND, 0600);
        if (out < 0 || dup2(out, STDOUT_FILENO) < 0) _exit(99);
        alarm(60);
        execv(job.program, argv);
        _exit(99);
    }
    sigprocmask(SIG_SETMASK, &before, NULL);
    const struct timespec time = {(time_t)seconds, (long)(1e9 * (seconds - (double)(long)seconds))};
    nanosleep(&time, NULL);
    kill(child, signal_number); /* it is there until waitpid, even if it has ended */
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    return status;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static size_t number_of(const cn_tensors *file, const char *key)
{
    const char *text = cn_tensors_meta(file, key);
    ck_assert_ptr_nonnull(text);
    return strtoul(text, NULL, 10);
}

static size_t count_parts(void)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir));) count += strstr(e->d_name, ".part") != NULL;
    closedir(dir);
    return count;
}

/* Stops runs until there were so many signals, and one in the training of each phase. */
static void stop_at_random(int signal)
{
    static const char *const line[] = {"--images",
                                       "120",
                                       "--test-images",
                                       "20",
                                       "--weights",
                                       "in.safetensors",
                                       "--batch",
                                       "4",
                                       "--threads",
                                       "2",
                                       "--macs",
                                       "0.7",
                                       "--epochs",
                                       "2,2,2,2",
                                       "--out",
                                       "out.safetensors",
                                       "--log",
                                       "log.csv",
                                       "--gauges",
                                       "gauges",
                                       NULL};
    const char *words[TORTURE_WORDS + 1];
    size_t kills = 0, runs = 0, in_phase[STAGES] = {0}, within = 0;
    const char *given = getenv("MSKP_TEST_SEED");
    cn_random random = {given ? strtoul(given, NULL, 10) : 1};
    printf("seed %llu\n", (unsigned long long)random.state);
    const double start = now();
    result r = good_run(line);
    const double whole = now() - start;
    clear();
    for (bool all = false; !all && kills < MOST_KILLS;) {
        char path[200];
        cn_tensors file;
        cn_error err = {""};
        add_words(line, is_there("state") ? 3 : 2, words);
        const int status = run_for(words, whole * cn_random_unit(&random), signal);
        if (WIFSIGNALED(status)) {
            ck_assert_int_eq(WTERMSIG(status), signal);
            kills++;
            if (signal != SIGKILL) ck_assert_uint_eq(count_parts(), 0);
            path_of(path, "state");
            if (!is_there("state")) continue;
            ck_assert_msg(cn_tensors_read(path, &file, &err), "%s", err.text);
            const size_t phase = number_of(&file, "phase");
            ck_assert_uint_lt(phase, STAGES);
            in_phase[phase]++;
            within += number_of(&file, "epoch.steps") > 0;
            cn_tensors_free(&file);
        } else {
            ck_assert_int_eq(status, 0);
            require_same(&r, "after signals");
            runs++;
            clear();
        }
        all = kills >= KILLS && runs && (within || signal == SIGKILL);
        for (size_t i = 0; i < STAGES; i++) all = all && in_phase[i];
    }
    printf("signal %d: %zu times in %zu runs of %.3f s; in the phases %zu, %zu, %zu, %zu; %zu "
           "checkpoints within an epoch\n",
           signal, kills, runs, whole, in_phase[0], in_phase[1], in_phase[2], in_phase[3], within);
    ck_assert_uint_lt(kills, MOST_KILLS);
    result_free(&r);
}

START_TEST(killed_at_random)
{
    stop_at_random(SIGKILL);
}
END_TEST

START_TEST(interrupted)
{
    stop_at_random(SIGINT);
}
END_TEST

/* ---- what else can be resumed ---- */

START_TEST(finished)
{
    torture_end end;
    const char *words[TORTURE_WORDS + 1];
    result r = good_run(base_words);
    clear();
    for (size_t i = 0; i < 2; i++) {
        go_on(base_words, NULL, &end);
        ck_assert_msg(!end.status, "%s", end.text);
        require_same(&r, "at the end");
        remove_file("out.safetensors");
        remove_file("masked.safetensors"); /* was written by an earlier phase */
        remove_file("log.csv");
        free(r.masked);
        r.masked = NULL;
        r.masked_size = 0;
    }
    add_words(base_words, 3, words);
    for (size_t i = 0; words[i]; i++)
        if (!strcmp(words[i], "--threads")) words[i + 1] = "3";
    torture_run(&job, words, folder, NULL, "text", &end);
    ck_assert_msg(!end.status, "%s", end.text);
    require_same(&r, "with other threads");
    result_free(&r);
}
END_TEST

/* ---- what cannot ---- */

/* A resumption is refused with one sentence, and no file changes. */
static void require_refusal(const char *const *line, const char *sentence)
{
    torture_end end;
    const char *words[TORTURE_WORDS + 1];
    add_words(line, 3, words);
    result before = result_take();
    torture_run(&job, words, folder, NULL, "/dev/null", &end);
    const size_t n = strlen(sentence);
    ck_assert_msg(WIFEXITED(end.status) && WEXITSTATUS(end.status) == 1, "status %#x: %s",
                  (unsigned)end.status, end.text);
    ck_assert_msg(!strncmp(end.text, sentence, n) &&
                      strchr(end.text, '\n') == strrchr(end.text, '\n'),
                  "\"%s\" instead of \"%s\"", end.text, sentence);
    require_same(&before, sentence);
    result_free(&before);
}

static void finish_base(void)
{
    torture_end end;
    clear();
    go_on(base_words, NULL, &end);
    ck_assert_msg(!end.status, "%s", end.text);
}

START_TEST(other_options)
{
    static const char *const other_macs[] = {BASE, "--macs", "0.3", NULL};
    static const char *const other_seed[] = {BASE, "--seed", "5", NULL};
    static const char *const other_epochs[] = {BASE, "--epochs", "2,1,2,3", NULL};
    static const char *const other_lock[] = {BASE, "--lock", "layer1.*", "--lock", "conv1", NULL};
    static const char *const other_penalty[] = {BASE, "--penalty", "prox", NULL};
    /* What decides on --epochs is named before them, and they are those of the command line. */
    static const char *const masked[] = {
        RUN, "--macs", "0.7", "--epochs", "2,1,2,2", "--masked", "masked.safetensors", NULL};
    static const char *const filters[TORTURE_WORDS] = {RUN,       "--macs",   "0.7",    "--mask",
                                                       "filters", "--epochs", "0,1,1,1"};
    static const char *const other_filters[] = {RUN,       "--macs",   "0.7",     "--mask",
                                                "filters", "--epochs", "0,1,1,2", NULL};
    torture_end end;
    finish_base();
    require_refusal(masked, "masksparsity: state: --masked is not given in the checkpoint, but "
                            "masked.safetensors here\n");
    require_refusal(other_macs,
                    "masksparsity: state: --macs is 0.7 in the checkpoint, but 0.3 here\n");
    require_refusal(other_seed, "masksparsity: state: --seed is 1 in the checkpoint, but 5 here\n");
    require_refusal(other_epochs, "masksparsity: state: --epochs is 2,1,2,2 in the checkpoint, but "
                                  "2,1,2,3 here\n");
    require_refusal(other_lock, "masksparsity: state: --lock is not given in the checkpoint, but "
                                "layer1.* --lock conv1 here\n");
    require_refusal(other_penalty,
                    "masksparsity: state: --penalty is l1 in the checkpoint, but prox here\n");
    save_narrow(folder, "in.safetensors", true);
    require_refusal(base_words, "masksparsity: state: network is resnet8 ");
    remove_file("state");
    require_refusal(base_words, "masksparsity: state: it cannot be opened: No such file or "
                                "directory\n");
    save_narrow(folder, "state", false);
    save_narrow(folder, "in.safetensors", false);
    require_refusal(base_words, "masksparsity: state: it is no checkpoint of masksparsity\n");
    clear();
    go_on(filters, NULL, &end);
    ck_assert_msg(!end.status, "%s", end.text);
    require_refusal(other_filters,
                    "masksparsity: state: --epochs is 0,1,1,1 in the checkpoint, but "
                    "0,1,1,2 here\n");
}
END_TEST

/* Bytes that change, and an end that is missing. */
START_TEST(damaged)
{
    size_t size;
    cn_random random = {1};
    finish_base();
    char *good = torture_load(folder, "state", &size), *bad = malloc(size);
    ck_assert(good && bad);
    const size_t count = (size_t)(120 * (scale() < 1 ? scale() : 1)) + 20;
    for (size_t i = 0; i < count; i++) {
        /* Every third one in the first 4 KiB, where the header begins. */
        const size_t at = i < 8 ? i : cn_random_below(&random, i % 3 ? size : 4096);
        memcpy(bad, good, size);
        bad[at] = (char)(bad[at] ^ (char)(1 + cn_random_below(&random, 255)));
        torture_save(folder, "state", bad, size);
        require_refusal(base_words, "masksparsity: state: ");
        torture_save(folder, "state", good, i % 2 ? at : i);
        require_refusal(base_words, "masksparsity: state: ");
    }
    free(good);
    free(bad);
}
END_TEST

int main(int argc, char **argv)
{
    (void)argc;
    char *program = torture_beside(argv[0], "masksparsity");
    job.program = program;
    Suite *suite = suite_create("masksparsity --resume");
    TCase *cases = tcase_create("resume");
    tcase_set_timeout(cases, 600);
    tcase_add_checked_fixture(cases, begin, end);
    tcase_add_test(cases, killed_at_calls);
    tcase_add_test(cases, options_of_all_kinds);
    tcase_add_test(cases, killed_at_random);
    tcase_add_test(cases, interrupted);
    tcase_add_test(cases, finished);
    tcase_add_test(cases, other_options);
    tcase_add_test(cases, damaged);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    free(program);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
