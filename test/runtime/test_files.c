/* Files that grow, shrink, never end, lead elsewhere, or cannot be written. */
#define _POSIX_C_SOURCE 200809L
#include <check.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "convnet.h"
#include "files.h"

/* The address sanitizer needs more memory than a test would allow. */
#if defined(__has_feature)
#define SANITIZED __has_feature(address_sanitizer)
#elif defined(__SANITIZE_ADDRESS__)
#define SANITIZED 1
#else
#define SANITIZED 0
#endif

enum { NAME = 400 };
static char folder[] = "/tmp/mskp-files-XXXXXX", out_path[NAME], in_path[NAME];

static void path_of(char to[NAME], const char *name)
{
    ck_assert_int_lt(snprintf(to, NAME, "%s/%s", folder, name), NAME);
}

static size_t count_files(void)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir));) count += e->d_name[0] != '.';
    closedir(dir);
    return count;
}

static void setup(void)
{
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    path_of(out_path, "out");
    path_of(in_path, "in");
}

static void teardown(void)
{
    char path[NAME];
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *e; (e = readdir(dir));) {
        path_of(path, e->d_name);
        if (e->d_name[0] != '.') ck_assert_int_eq(remove(path), 0);
    }
    closedir(dir);
    ck_assert_int_eq(rmdir(folder), 0);
}

static void save(const char *path, const char *text)
{
    FILE *file = fopen(path, "wb");
    ck_assert(file && fputs(text, file) >= 0 && !fclose(file));
}

static void holds(const char *path, const char *text)
{
    char *bytes;
    size_t size;
    file_error err;
    ck_assert_msg(file_read(path, 1000000, &bytes, &size, &err), "%s: %s", path, err.text);
    ck_assert_str_eq(bytes, text);
    free(bytes);
}

static void says(const file_error *err, const char *word)
{
    ck_assert_msg(strstr(err->text, word) != NULL, "\"%s\" in: %s", word, err->text);
}

/* ---- text ---- */

START_TEST(printable)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"plain ~", "plain ~"},
        {"a\tb\nc\r\x1b[2J\x7f", "a?b?c??[2J?"},
        {"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80", "\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"C1: \xc2\x9b[2J \xc2\x85 \xc2\xa0", "C1: ??[2J ?? \xc2\xa0"},
        {"\x80\xbf\xc0\x80\xc1\xbf", "??????"},
        {"\xe0\x80\x80 \xed\xa0\x80 \xf0\x80\x80\x80", "??? ??? ????"},
        {"\xf4\x90\x80\x80 \xf5\x80\x80\x80 \xff", "???? ???? ?"},
        {"cut \xe2\x82", "cut ??"},
        {"cut \xf0\x9f\x98", "cut ???"},
        {"turn \xe2\x80\xae \xe2\x81\xa6 \xe2\x80\xa6", "turn ??? ??? \xe2\x80\xa6"},
        {"\xc3", "?"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char text[100];
        strcpy(text, cases[i].text);
        file_printable(text);
        ck_assert_msg(!strcmp(text, cases[i].shown), "%zu: %s", i, text);
    }
    FILE *to = fopen(out_path, "w");
    ck_assert_ptr_nonnull(to);
    file_print(to, "%s: %s", "a\nb", "\x1b[31m");
    ck_assert_int_eq(fclose(to), 0);
    holds(out_path, "a?b: ?[31m\n");
}
END_TEST

/* ---- reading ---- */

START_TEST(shrinks)
{
    file_input in;
    file_error err;
    char *bytes;
    size_t size;
    save(in_path, "0123456789");
    ck_assert(file_open(&in, in_path, &err));
    ck_assert_int_eq(truncate(in_path, 4), 0);
    ck_assert(!file_rest(&in, 0, NULL, SIZE_MAX, &bytes, &size, &err));
    ck_assert_ptr_null(bytes);
    says(&err, "ends at byte 4 of 10: it became shorter");
    file_close(&in);

    save(in_path, "0123456789"); /* and what is added later is not part of it */
    ck_assert(file_open(&in, in_path, &err));
    FILE *more = fopen(in_path, "ab");
    ck_assert(more && fputs("more", more) >= 0 && !fclose(more));
    ck_assert(file_rest(&in, 2, "ab", SIZE_MAX, &bytes, &size, &err));
    ck_assert_str_eq(bytes, "ab0123456789");
    ck_assert_uint_eq(size, 12);
    free(bytes);
    file_close(&in);
}
END_TEST

START_TEST(limits)
{
    file_error err;
    char *bytes;
    size_t size;
    save(in_path, "0123456789");
    ck_assert(!file_read(in_path, 9, &bytes, &size, &err));
    says(&err, "it has 10 bytes, and 9 are the limit");
    ck_assert(!file_read("/dev/zero", 100000, &bytes, &size, &err));
    says(&err, "it is no regular file and has more than 100000 bytes");
    ck_assert(!file_read("/dev/zero/x", 9, &bytes, &size, &err));
    says(&err, "it cannot be opened: Not a directory");
    ck_assert(!file_read(folder, 9, &bytes, &size, &err));
    says(&err, "it cannot be read beyond byte 0: Is a directory");
    ck_assert(file_read("/dev/null", 9, &bytes, &size, &err));
    ck_assert(!size && !*bytes);
    free(bytes);
    ck_assert(file_read("/proc/self/stat", 9999, &bytes, &size, &err));
    ck_assert_uint_gt(size, 10); /* the kernel says that it is empty */
    free(bytes);

    int ends[2];
    char name[40];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(write(ends[1], "through a pipe", 14), 14);
    close(ends[1]);
    snprintf(name, sizeof name, "/dev/fd/%d", ends[0]);
    ck_assert_msg(file_read(name, 14, &bytes, &size, &err), "%s", err.text);
    ck_assert_str_eq(bytes, "through a pipe");
    free(bytes);
    close(ends[0]);
}
END_TEST

/* The length in the header of a safetensors file is looked at before memory is taken. */
START_TEST(safetensors_without_end)
{
    cn_error err = {""};
    cn_tensors file;
    struct rlimit before, little = {200 << 20, 200 << 20};
    ck_assert(!cn_tensors_read("/dev/zero", &file, &err));
    ck_assert_str_eq(err.text, "/dev/zero: the header of 0 bytes is no JSON object");
    ck_assert(!cn_tensors_read("/dev/null", &file, &err));
    ck_assert_str_eq(err.text, "/dev/null: 0 bytes are too few for a header of 8");
    save(in_path, "\xff\xff\xff\x7f\x01\x01\x01\x01{}");
    ck_assert_int_eq(truncate(in_path, (off_t)1 << (SIZE_MAX > UINT32_MAX ? 40 : 30)), 0);
    ck_assert_int_eq(getrlimit(RLIMIT_AS, &before), 0);
    little.rlim_max = before.rlim_max;
    if (!SANITIZED) ck_assert_int_eq(setrlimit(RLIMIT_AS, &little), 0);
    ck_assert(!cn_tensors_read(in_path, &file, &err));
    ck_assert_int_eq(setrlimit(RLIMIT_AS, &before), 0);
    ck_assert_msg(strstr(err.text, "the header's length is 72340174") != NULL, "%s", err.text);
}
END_TEST

START_TEST(below)
{
    static const struct {
        const char *path;
        const char *word; /* NULL: it can be opened */
    } cases[] = {
        {"in", NULL},
        {"./in", NULL},
        {".//.//in", NULL},
        {"sub/in", NULL},
        {"sub//./in", NULL},
        {"", "no place within the folder"},
        {"/etc/passwd", "no place within the folder"},
        {"../in", "no place within the folder"},
        {"sub/../in", "no place within the folder"},
        {"sub/..", "no place within the folder"},
        {"..", "no place within the folder"},
        {"link", "\"link\" is a symbolic link"},
        {"up/passwd", "\"up\" is a symbolic link"},
        {"sub/again/in", "\"again\" is a symbolic link"},
        {"none", "it cannot be opened: No such file"},
        {"none/in", "it cannot be opened: No such file"},
        {"in/in", "it cannot be opened: Not a directory"},
        {"in/", "it cannot be opened: Not a directory"},
        {".", "it is no regular file"},
        {"sub/", "it is no regular file"},
        {"pipe", "it is no regular file"},
    };
    char path[NAME], inner[NAME];
    save(in_path, "inside");
    path_of(path, "link");
    ck_assert_int_eq(symlink("in", path), 0);
    path_of(path, "up");
    ck_assert_int_eq(symlink("/etc", path), 0);
    path_of(path, "pipe");
    ck_assert_int_eq(mkfifo(path, 0600), 0);
    path_of(path, "sub");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    path_of(inner, "sub/in");
    save(inner, "inside");
    path_of(path, "sub/again");
    ck_assert_int_eq(symlink(".", path), 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        file_input in;
        file_error err = {""};
        const bool good = file_open_below(&in, folder, cases[i].path, &err);
        ck_assert_msg(good == !cases[i].word, "%s: %s", cases[i].path, err.text);
        if (!good) says(&err, cases[i].word);
        if (good) ck_assert_uint_eq(in.size, 6);
        file_close(&in);
    }
    ck_assert_int_eq(remove(inner), 0);
    ck_assert_int_eq(remove(path), 0);
}
END_TEST

/* ---- writing ---- */

static void create(file_output *out, const char *path)
{
    file_error err;
    ck_assert_msg(file_create(out, path, &err), "%s: %s", path, err.text);
}

static void commit(file_output *out)
{
    file_error err;
    ck_assert_msg(file_commit(out, &err), "%s", err.text);
    file_discard(out);
}

static void create_refused(const char *path, const char *word)
{
    file_output out;
    file_error err = {""};
    ck_assert(!file_create(&out, path, &err));
    says(&err, word);
    file_discard(&out);
}

START_TEST(replaces)
{
    file_output out;
    struct stat is;
    save(out_path, "old");
    ck_assert_int_eq(chmod(out_path, 0640), 0);
    create(&out, out_path);
    ck_assert_uint_eq(count_files(), 2);
    file_put(&out, "new", 3);
    holds(out_path, "old");
    commit(&out);
    holds(out_path, "new");
    ck_assert_int_eq(stat(out_path, &is), 0);
    ck_assert_uint_eq(is.st_mode & 0777, 0640);
    ck_assert_uint_eq(count_files(), 1);

    create(&out, out_path); /* given up */
    file_put(&out, "newer", 5);
    file_discard(&out);
    holds(out_path, "new");
    ck_assert_uint_eq(count_files(), 1);
    file_discard(&out);

    char *large = malloc(1000001);
    ck_assert_ptr_nonnull(large);
    memset(large, 'x', 1000000);
    large[1000000] = 0;
    create(&out, out_path);
    for (size_t at = 0, n = 1; at<1000000; at += n, n = 3 * n> 1000000 - at ? 1000000 - at : 3 * n)
        file_put(&out, large + at, n);
    commit(&out);
    holds(out_path, large);
    free(large);
}
END_TEST

START_TEST(pair)
{
    char data[NAME], taken[NAME];
    file_output first, second;
    file_error err;
    path_of(data, "data");
    create(&first, data);
    create(&second, out_path);
    file_put(&first, "data", 4);
    file_put(&second, "model", 5);
    ck_assert(file_commit_pair(&first, &second, &err));
    file_discard(&first);
    file_discard(&second);
    holds(data, "data");
    holds(out_path, "model");

    path_of(data, "data2"); /* the second cannot get its name: the first is not left behind */
    path_of(taken, "taken");
    create(&first, data);
    create(&second, taken);
    ck_assert_int_eq(mkdir(taken, 0700), 0);
    ck_assert(!file_commit_pair(&first, &second, &err));
    says(&err, "it cannot be written: Is a directory");
    file_discard(&first);
    file_discard(&second);
    ck_assert_uint_eq(count_files(), 3);
}
END_TEST

START_TEST(links)
{
    char link[NAME], other[NAME];
    struct stat is;
    file_output out;
    path_of(link, "link");
    path_of(other, "other");
    ck_assert_int_eq(symlink("other", link), 0);
    ck_assert_int_eq(symlink("out", other), 0);
    for (int there = 0; there < 2; there++) {
        create(&out, link);
        file_put(&out, there ? "two" : "one", 3);
        commit(&out);
        holds(out_path, there ? "two" : "one");
        ck_assert(!lstat(link, &is) && S_ISLNK(is.st_mode));
        ck_assert(!lstat(other, &is) && S_ISLNK(is.st_mode));
        ck_assert(!lstat(out_path, &is) && S_ISREG(is.st_mode));
    }
    ck_assert_int_eq(remove(out_path), 0);
    ck_assert_int_eq(symlink("link", out_path), 0);
    create_refused(link, "it cannot be written: Too many levels of symbolic links");
}
END_TEST

START_TEST(refused)
{
    char path[NAME], name[256];
    int held;
    file_output out;
    file_error err;
    create_refused(folder, "it cannot be written: Is a directory");
    ck_assert(!file_check(folder, &held, &err));
    path_of(path, "none/out");
    create_refused(path, "it cannot be written: No such file");
    ck_assert(!file_check(path, &held, &err));
    says(&err, "it cannot be written: No such file");
    ck_assert(file_check(out_path, &held, &err) && held < 0);
    ck_assert_uint_eq(count_files(), 0);
    if (geteuid()) {
        save(out_path, "old");
        ck_assert_int_eq(chmod(out_path, 0444), 0);
        create_refused(out_path, "it cannot be written: Permission denied");
        ck_assert(!file_check(out_path, &held, &err));
    }
    memset(name, 'n', 255); /* the longest name; that of the temporary file is shorter */
    name[255] = 0;
    path_of(path, name);
    create(&out, path);
    commit(&out);
    holds(path, "");
}
END_TEST

START_TEST(pipes)
{
    char bytes[10] = "";
    int held;
    file_output out;
    file_error err;
    ck_assert_int_eq(mkfifo(out_path, 0600), 0);
    create_refused(out_path, "it is a pipe that no program reads");
    ck_assert(!file_check(out_path, &held, &err));
    says(&err, "it is a pipe that no program reads");
    const int reader = open(out_path, O_RDONLY | O_NONBLOCK);
    ck_assert_int_ge(reader, 0);
    ck_assert(file_check(out_path, &held, &err) && held >= 0);
    create(&out, out_path);
    ck_assert(out.in_place);
    file_put(&out, "whole", 5);
    commit(&out);
    ck_assert_int_eq(read(reader, bytes, sizeof bytes), 5);
    ck_assert_int_eq(read(reader, bytes, sizeof bytes), -1); /* not at the end: the pipe is held */
    ck_assert_int_eq(errno, EAGAIN);
    close(held);
    ck_assert_int_eq(read(reader, bytes, sizeof bytes), 0);
    ck_assert_str_eq(bytes, "whole");
    close(reader);
    struct stat is;
    ck_assert(!lstat(out_path, &is) && S_ISFIFO(is.st_mode));
}
END_TEST

START_TEST(devices)
{
    file_output out;
    file_error err;
    struct stat is;
    create(&out, "/dev/null");
    file_put(&out, "gone", 4);
    commit(&out);
    ck_assert(!lstat("/dev/null", &is) && S_ISCHR(is.st_mode));
    create(&out, "/dev/full");
    file_put(&out, "gone", 4);
    ck_assert(!file_commit(&out, &err));
    says(&err, "it cannot be written: No space left");
    file_discard(&out);

    /* An open file is written where it is open, and what it holds stays. */
    char name[40];
    save(in_path, "before ");
    const int file = open(in_path, O_WRONLY | O_APPEND);
    ck_assert_int_ge(file, 0);
    snprintf(name, sizeof name, "/dev/fd/%d", file);
    create(&out, name);
    file_put(&out, "after", 5);
    commit(&out);
    ck_assert_int_eq(write(file, "!", 1), 1);
    close(file);
    holds(in_path, "before after!");
    create_refused(name, "it cannot be written: Bad file");

    /* /dev/stdout, here a pipe, comes behind what was printed before. */
    int ends[2];
    char all[32] = "";
    ck_assert_int_eq(pipe(ends), 0);
    fflush(stdout);
    const int own = dup(STDOUT_FILENO);
    ck_assert_int_ge(dup2(ends[1], STDOUT_FILENO), 0);
    printf("printed ");
    create(&out, "/dev/stdout");
    file_put(&out, "written", 7);
    commit(&out);
    ck_assert_int_ge(dup2(own, STDOUT_FILENO), 0);
    close(own);
    close(ends[1]);
    ck_assert_int_eq(read(ends[0], all, sizeof all - 1), 15);
    close(ends[0]);
    ck_assert_str_eq(all, "printed written");
}
END_TEST

START_TEST(log_in_place)
{
    file_output out;
    file_error err;
    save(out_path, "old and long");
    ck_assert(file_create_log(&out, out_path, &err));
    file_put(&out, "one\n", 4);
    ck_assert(file_flush(&out, &err));
    holds(out_path, "one\n");
    file_put(&out, "two\n", 4);
    commit(&out);
    holds(out_path, "one\ntwo\n");
    ck_assert_uint_eq(count_files(), 1);
}
END_TEST

/* ---- failures ---- */

/* The status of a child that writes to out_path and gets a signal. `before` is the signal's action
 * when the program begins, whatever the tests were started with. */
static int child(int number, void (*before)(int))
{
    int status;
    const pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        file_output one, two;
        file_error err;
        if (number != SIGKILL) signal(number, before);
        file_catch_signals();
        if (!file_create(&one, out_path, &err) || !file_create(&two, in_path, &err)) _exit(1);
        file_put(&one, "new", 3);
        raise(number);
        _exit(0);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    return status;
}

/* Names of one file: spelled in other ways, through links of both kinds, before it is there. */
START_TEST(one_file_of_two_names)
{
    char other[sizeof out_path + 16], dotted[2 * sizeof out_path];
    (void)snprintf(other, sizeof other, "%s.other", out_path);
    (void)snprintf(dotted, sizeof dotted, "%s/./%s", folder, strrchr(out_path, '/') + 1);
    for (int there = 0; there < 2; there++) {
        if (there) save(out_path, "old");
        ck_assert(file_same(out_path, out_path) && file_same(out_path, dotted));
        ck_assert(!file_same(out_path, other) && !file_same(out_path, in_path));
        ck_assert_int_eq(symlink(out_path, other), 0);
        ck_assert(file_same(out_path, other) && file_same(other, dotted));
        unlink(other);
    }
    ck_assert_int_eq(link(out_path, other), 0);
    ck_assert(file_same(out_path, other));
    unlink(other);
    save(other, "old");
    ck_assert(!file_same(out_path, other));
    ck_assert(file_same("/dev/null", "/dev/null") && !file_same("/dev/null", "/dev/zero"));
    unlink(other);
}
END_TEST

START_TEST(signals)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGPIPE, SIGXFSZ};
    save(out_path, "old");
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        const int status = child(numbers[i], SIG_DFL);
        ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == numbers[i]);
        ck_assert_uint_eq(count_files(), 1);
        holds(out_path, "old");
    }
    const int status = child(SIGKILL, SIG_DFL);
    ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    ck_assert_uint_eq(count_files(), 3); /* the old file, and two temporary ones */
    holds(out_path, "old");

    const int ignored = child(SIGHUP, SIG_IGN); /* after nohup; the signal stays ignored */
    ck_assert_uint_eq(count_files(), 5);
    ck_assert(WIFEXITED(ignored) && !WEXITSTATUS(ignored));
}
END_TEST

/* What a child does that lets signals wait: 0: the signal comes before; 1: it comes twice; 2: once,
 * and the child goes on to its end; 3: once, and then no signal shall wait any longer. */
static int waiting_child(int number, int how)
{
    int status;
    const pid_t pid = fork();
    ck_assert_int_ge(pid, 0);
    if (!pid) {
        file_output one;
        file_error err;
        signal(number, SIG_DFL);
        file_catch_signals();
        if (!file_create(&one, out_path, &err)) _exit(1);
        file_let_signals_wait(how != 0);
        if (file_signal_waits()) _exit(2);
        raise(number);
        if (!file_signal_waits()) _exit(3);
        if (how == 1) raise(number);
        if (how == 3) file_let_signals_wait(false);
        file_discard(&one);
        _exit(file_signal_waits() ? 4 : 5);
    }
    ck_assert_int_eq(waitpid(pid, &status, 0), pid);
    ck_assert_uint_eq(count_files(), 0);
    return status;
}

START_TEST(signals_that_wait)
{
    static const int numbers[] = {SIGHUP, SIGINT, SIGTERM, SIGQUIT};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        for (int how = 0; how < 4; how++) {
            const int status = waiting_child(numbers[i], how);
            if (how == 2 && numbers[i] != SIGQUIT)
                ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 4);
            else
                ck_assert(WIFSIGNALED(status) && WTERMSIG(status) == numbers[i]);
        }
}
END_TEST

/* As if the disk were full in the middle of the file. */
START_TEST(disk_full)
{
    struct rlimit before, little;
    cn_error err = {""};
    float values[40000] = {1};
    cn_tensor tensor = {.name = "a", .dtype = "F32", .dims = 1, .shape = {40000}, .data = values};
    const cn_tensors file = {.count = 1, .tensors = &tensor};
    save(out_path, "old");
    ck_assert_int_eq(getrlimit(RLIMIT_FSIZE, &before), 0);
    little = before;
    little.rlim_cur = 100000;
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &little), 0);
    const bool good = cn_tensors_write(out_path, &file, &err);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &before), 0);
    ck_assert(!good);
    ck_assert_msg(strstr(err.text, "out: it cannot be written: File too large") != NULL, "%s",
                  err.text);
    holds(out_path, "old");
    ck_assert_uint_eq(count_files(), 1);
    ck_assert_msg(cn_tensors_write(out_path, &file, &err), "%s", err.text);
    ck_assert_uint_eq(count_files(), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("files");
    TCase *cases = tcase_create("files");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, printable);
    tcase_add_test(cases, shrinks);
    tcase_add_test(cases, limits);
    tcase_add_test(cases, safetensors_without_end);
    tcase_add_test(cases, below);
    tcase_add_test(cases, replaces);
    tcase_add_test(cases, pair);
    tcase_add_test(cases, links);
    tcase_add_test(cases, refused);
    tcase_add_test(cases, pipes);
    tcase_add_test(cases, devices);
    tcase_add_test(cases, log_in_place);
    tcase_add_test(cases, signals);
    tcase_add_test(cases, signals_that_wait);
    tcase_add_test(cases, one_file_of_two_names);
    tcase_add_test(cases, disk_full);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
