#define _GNU_SOURCE
#include "torture/torture.h"

#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "torture/calls.h"

enum { MOST_FILES = 32, MOST_NAME = 160, MOST_COMPLAINTS = 20, SECONDS = 60 };

/* A test that cannot go on. */
static void need(bool good, const char *what)
{
    if (good) return;
    perror(what);
    exit(EXIT_FAILURE);
}

/* ---- files ---- */

static void join(char path[static 2 * MOST_NAME], const char *folder, const char *name)
{
    need(snprintf(path, 2 * MOST_NAME, "%s/%s", folder, name) < 2 * MOST_NAME, name);
}

char *torture_load(const char *folder, const char *name, size_t *size)
{
    char path[2 * MOST_NAME];
    join(path, folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    char *bytes = NULL;
    size_t room = 0, got = 1;
    for (*size = 0; got; *size += got) {
        if (*size == room) bytes = realloc(bytes, room = 2 * room + 4096);
        need(bytes != NULL, "realloc");
        got = fread(bytes + *size, 1, room - *size, file);
    }
    fclose(file);
    return bytes;
}

void torture_save(const char *folder, const char *name, const void *bytes, size_t size)
{
    char path[2 * MOST_NAME];
    join(path, folder, name);
    FILE *file = fopen(path, "wb");
    need(file && fwrite(bytes, 1, size, file) == size && !fclose(file), path);
}

char *torture_folder(void)
{
    char name[] = "/tmp/mskp-torture-XXXXXX";
    need(mkdtemp(name) != NULL, name);
    return strdup(name);
}

char *torture_beside(const char *argv0, const char *name)
{
    char path[4096], *real = realpath(argv0, NULL);
    need(real != NULL, argv0);
    *strrchr(real, '/') = 0;
    snprintf(path, sizeof path, "%s/%s", real, name);
    free(real);
    return strdup(path);
}

typedef struct file {
    char name[MOST_NAME];
    char *bytes;
    size_t size;
} file;

/* All files of a folder. */
typedef struct state {
    size_t count;
    file files[MOST_FILES];
} state;

static const file *find(const state *s, const char *name)
{
    for (size_t i = 0; i < s->count; i++)
        if (!strcmp(s->files[i].name, name)) return &s->files[i];
    return NULL;
}

static bool same(const file *a, const file *b)
{
    return a && b && a->size == b->size && !memcmp(a->bytes, b->bytes, a->size);
}

static void state_take(state *s, const char *folder)
{
    DIR *dir = opendir(folder);
    need(dir != NULL, folder);
    s->count = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.') continue;
        need(s->count < MOST_FILES && strlen(e->d_name) < MOST_NAME, e->d_name);
        file *f = &s->files[s->count++];
        strcpy(f->name, e->d_name);
        f->bytes = torture_load(folder, f->name, &f->size);
        need(f->bytes != NULL, f->name);
    }
    closedir(dir);
}

static void state_free(state *s)
{
    for (size_t i = 0; i < s->count; i++) free(s->files[i].bytes);
    s->count = 0;
}

static void remove_file(const char *folder, const char *name)
{
    char path[2 * MOST_NAME];
    join(path, folder, name);
    need(!unlink(path), path);
}

/* The folder, whose state is `now`, gets the files of another state. */
static void state_restore(const state *s, const state *now, const char *folder)
{
    for (size_t i = 0; i < now->count; i++)
        if (!find(s, now->files[i].name)) remove_file(folder, now->files[i].name);
    for (size_t i = 0; i < s->count; i++)
        if (!same(&s->files[i], find(now, s->files[i].name)))
            torture_save(folder, s->files[i].name, s->files[i].bytes, s->files[i].size);
}

void torture_remove(char *folder)
{
    DIR *dir = opendir(folder);
    need(dir != NULL, folder);
    for (struct dirent *e; (e = readdir(dir));)
        if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
            remove_file(folder, e->d_name);
    closedir(dir);
    need(!rmdir(folder), folder);
    free(folder);
}

/* ---- one run ---- */

static void start(const torture_job *job, const char *const *words, const char *folder,
                  const char *what, const char *output, const int *errors, const int *told)
{
    char *argv[TORTURE_WORDS + 2] = {strdup(job->name)}, number[16];
    for (size_t i = 0; i < TORTURE_WORDS && words[i]; i++) argv[i + 1] = strdup(words[i]);
    snprintf(number, sizeof number, "%d", told[1]);
    setenv("MSKP_TORTURE_PIPE", number, 1);
    if (what) setenv("MSKP_TORTURE", what, 1);
    close(errors[0]);
    close(told[0]);
    need(!chdir(folder), folder);
    const int out = open(output, O_WRONLY | O_CREAT | O_APPEND, 0600);
    need(out >= 0 && dup2(out, STDOUT_FILENO) >= 0 && dup2(errors[1], STDERR_FILENO) >= 0, output);
    alarm(SECONDS);
    execv(job->program, argv);
    need(false, job->program);
}

/* What a pipe holds when all who could write are gone. */
static size_t drain(int pipe, size_t room, char *to)
{
    size_t used = 0;
    char rest[256];
    for (ssize_t n = 1; n > 0;) {
        n = used < room ? read(pipe, to + used, room - used) : read(pipe, rest, sizeof rest);
        if (n > 0 && used < room) used += (size_t)n;
    }
    close(pipe);
    return used;
}

static void run(const torture_job *job, const char *const *words, const char *folder,
                const char *what, const char *output, torture_end *end,
                unsigned long count[static CALLS])
{
    int errors[2], told[2];
    char message[CALLS * sizeof(unsigned long) + 1];
    need(!pipe(errors) && !pipe(told), "pipe");
    fflush(NULL);
    const pid_t child = fork();
    need(child >= 0, "fork");
    if (!child) start(job, words, folder, what, output, errors, told);
    close(errors[1]);
    close(told[1]);
    end->text[drain(errors[0], sizeof end->text - 1, end->text)] = 0;
    const size_t size = drain(told[0], sizeof message, message);
    need(waitpid(child, &end->status, 0) == child, "waitpid");
    end->wrong = size == 1 && *message == '!';
    memset(count, 0, CALLS * sizeof *count);
    if (size == CALLS * sizeof *count) memcpy(count, message, size);
}

void torture_run(const torture_job *job, const char *const *words, const char *folder,
                 const char *what, const char *output, torture_end *end)
{
    unsigned long count[CALLS];
    run(job, words, folder, what, output, end, count);
}

/* ---- what may be there afterwards ---- */

typedef struct torture {
    const torture_job *job;
    char *folder;
    state old, good;
    unsigned long count[CALLS];
    size_t complaints;
} torture;

/* One way in which a call goes wrong, and what became of it. */
typedef struct trial {
    torture *t;
    enum call call;
    unsigned long number;
    const char *how;
    const torture_end *end;
} trial;

static void complain(const trial *x, const char *what, const char *name)
{
    if (x->t->complaints++ < MOST_COMPLAINTS)
        printf("%s: %s %lu %s: %s%s (status %#x, \"%s\")\n", x->t->job->name, call_names[x->call],
               x->number, x->how, name, what, (unsigned)x->end->status, x->end->text);
}

static bool is_signal(const trial *x)
{
    return !strcmp(x->how, "kill") || !strcmp(x->how, "term");
}

static bool ends_with(const char *text, const char *end)
{
    const size_t n = strlen(text), m = strlen(end);
    return n >= m && !strcmp(text + n - m, end);
}

static bool is_whole_page(const torture *t, const file *f)
{
    static const char first[] = "<!DOCTYPE html>\n", last[] = "</html>\n";
    const size_t n = strlen(first), m = strlen(last);
    return t->job->page && !strcmp(f->name, t->job->page) && f->size > n + m &&
           !memcmp(f->bytes, first, n) && !memcmp(f->bytes + f->size - m, last, m);
}

static void check_file(const trial *x, const file *f)
{
    const torture *t = x->t;
    const file *old = find(&t->old, f->name), *good = find(&t->good, f->name);
    if (same(f, old) || same(f, good) || is_whole_page(t, f)) return;
    if (t->job->state && !strcmp(f->name, t->job->state)) {
        if (!t->job->is_whole(f->bytes, f->size)) complain(x, " is not whole", f->name);
        return;
    }
    if (old || good) {
        const bool log = t->job->log && !strcmp(f->name, t->job->log);
        if (!log || f->size > good->size || memcmp(f->bytes, good->bytes, f->size) != 0)
            complain(x, " is neither old nor new", f->name);
    } else if (!ends_with(f->name, ".part")) {
        complain(x, " should not be there", f->name);
    } else if (strcmp(x->how, "kill") != 0 && x->call != CALL_UNLINK) {
        complain(x, " is left", f->name);
    }
}

/* A new model has its new data. What an old model names is still there, because it is old. */
static void check_pair(const trial *x, const state *now, const file *f)
{
    const state *good = &x->t->good;
    const size_t n = strlen(f->name);
    if (!same(f, find(good, f->name))) return;
    for (size_t i = 0; i < good->count; i++) {
        const file *data = &good->files[i];
        if (!strncmp(data->name, f->name, n) && data->name[n] == '.' &&
            !same(data, find(now, data->name)))
            complain(x, " is missing", data->name);
    }
}

static bool is_new(const torture *t, const state *now)
{
    for (size_t i = 0; i < t->good.count; i++) {
        const file *good = &t->good.files[i], *f = find(now, good->name);
        /* A message on a page may say that something could not be measured. */
        const bool page = f && is_whole_page(t, f) && !same(f, find(&t->old, good->name));
        if (!page && !same(good, f)) return false;
    }
    return true;
}

/* One sentence that begins with the program's name. */
static bool is_sentence(const torture *t, const char *text)
{
    const size_t n = strlen(t->job->name);
    const char *end = strchr(text, '\n');
    if (strncmp(text, t->job->name, n) != 0 || text[n] != ':' || !end || end[1]) return false;
    if (strstr(text, "memory") || strstr(text, "allocator") || strstr(text, "the output "))
        return true;
    for (size_t i = 0; i < t->good.count; i++)
        if (strstr(text, t->good.files[i].name)) return true;
    return false;
}

static void check(const trial *x, const state *now)
{
    const torture *t = x->t;
    const int status = x->end->status;
    const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
    for (size_t i = 0; i < now->count; i++) check_file(x, &now->files[i]);
    for (size_t i = 0; i < now->count; i++) check_pair(x, now, &now->files[i]);
    for (size_t i = 0; i < t->old.count; i++)
        if (!find(now, t->old.files[i].name)) complain(x, " is lost", t->old.files[i].name);
    if (!x->end->wrong) complain(x, "the call was not made", "");
    if (is_signal(x)) {
        if (signal != (!strcmp(x->how, "kill") ? SIGKILL : SIGTERM))
            complain(x, "the signal did not end it", "");
    } else if (!WIFEXITED(status) || WEXITSTATUS(status) > 1) {
        complain(x, "it ended badly", "");
    } else if (!status) {
        if (!is_new(t, now)) complain(x, "status 0, but not all is new", "");
        if (*x->end->text) complain(x, "status 0, but a sentence", "");
    } else {
        if (!is_sentence(t, x->end->text)) complain(x, "no sentence", "");
        if (!strcmp(x->how, "short")) complain(x, "a short call is no failure", "");
    }
}

/* ---- all calls ---- */

static bool good_run(torture *t, const char *const *words)
{
    torture_end end;
    run(t->job, words, t->folder, NULL, "/dev/null", &end, t->count);
    return !end.status;
}

/* The files before, those of a good run, and the number of calls in it. */
static bool prepare(torture *t, const torture_job *job)
{
    *t = (torture){.job = job, .folder = torture_folder()};
    job->make_inputs(t->folder);
    bool good = good_run(t, job->old_words);
    state_take(&t->old, t->folder);
    good = good && good_run(t, job->words);
    state_take(&t->good, t->folder);
    state_restore(&t->old, &t->good, t->folder);
    return good && !is_new(t, &t->old); /* otherwise nothing could be told */
}

static void finish(torture *t)
{
    state_free(&t->old);
    state_free(&t->good);
    torture_remove(t->folder);
}

bool torture_can(const torture_job *job)
{
    torture t;
    const bool can = prepare(&t, job);
    finish(&t);
    return can;
}

typedef struct row {
    size_t failures, kills, old, new, mixed; /* files afterwards: all old, all new, some of each */
} row;

static void try(torture *t, enum call call, unsigned long number, const char *how, row *r)
{
    torture_end end;
    state now;
    char what[64];
    unsigned long ignored[CALLS];
    snprintf(what, sizeof what, "%s %lu %s", call_names[call], number, how);
    run(t->job, t->job->words, t->folder, what, "/dev/null", &end, ignored);
    const trial x = {t, call, number, how, &end};
    state_take(&now, t->folder);
    check(&x, &now);
    size_t changed = 0;
    for (size_t i = 0; i < t->old.count; i++)
        changed += !same(&t->old.files[i], find(&now, t->old.files[i].name));
    *(is_signal(&x) ? &r->kills : &r->failures) += 1;
    *(is_new(t, &now) ? &r->new : changed ? &r->mixed : &r->old) += 1;
    state_restore(&t->old, &now, t->folder);
    state_free(&now);
}

/* Which calls go wrong: every so many, so that there are not too many. */
static unsigned long step(const torture_job *job, unsigned long count)
{
    const char *text = getenv("MSKP_TEST_SCALE");
    const double scale = text ? strtod(text, NULL) : 1;
    const double most = (job->most ? (double)job->most : 100) * (scale > 0 ? scale : 1);
    return (double)count > most ? (unsigned long)((double)count / most) + 1 : 1;
}

static size_t torture_calls(const torture_job *job, enum call first, enum call end, size_t hows,
                            const char *const *how)
{
    torture t;
    need(prepare(&t, job), "a run without failures");
    if (!job->quiet)
        printf("%-14s %-8s %7s %9s %7s %10s %10s %10s\n", job->name, "call", "calls", "failures",
               "kills", "files old", "files new", "some new");
    for (enum call call = first; call < end; call++) {
        row r = {0};
        const unsigned long by = step(job, t.count[call]);
        for (unsigned long i = 1; i <= t.count[call]; i += by)
            for (size_t k = 0; k < hows; k++)
                if (strcmp(how[k], "short") != 0 || call == CALL_READ || call == CALL_WRITE)
                    try(&t, call, i, how[k], &r);
        if (t.count[call] && !job->quiet)
            printf("%-14s %-8s %7lu %9zu %7zu %10zu %10zu %10zu\n", "", call_names[call],
                   t.count[call], r.failures, r.kills, r.old, r.new, r.mixed);
    }
    fflush(stdout);
    finish(&t);
    return t.complaints;
}

size_t torture_memory(const torture_job *job)
{
    static const char *const how[] = {"once", "always"};
    return torture_calls(job, 0, MEMORY_CALLS, sizeof how / sizeof *how, how);
}

size_t torture_system(const torture_job *job)
{
    static const char *const how[] = {"once", "always", "short", "kill", "term"};
    return torture_calls(job, MEMORY_CALLS, CALLS, sizeof how / sizeof *how, how);
}
