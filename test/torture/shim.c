/*
 * Stands between a program and the calls that can fail, to make one of them fail.
 *
 * The linker sends the program's own calls here (-Wl,--wrap), those of libraries not. The
 * environment says which call of which function shall go wrong, and how:
 *
 *     MSKP_TORTURE="FUNCTION NUMBER HOW"
 *
 * HOW is `once` (this call fails), `always` (so do all later calls of the function), `short` (half
 * of the bytes are read or written), `kill` and `term` (the process gets the signal before the
 * call). MSKP_TORTURE_PIPE is a descriptor: a byte goes there when the call went wrong, and at the
 * end, if nothing shall go wrong, the number of calls of each function.
 *
 * fsync does nothing, because a test that kills a process does not pull a plug. What is printed
 * goes through `write`, too. The clock goes on by a second with every look at it, so that nothing
 * that measures speed takes long.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "torture/calls.h"

static struct {
    enum call call;
    unsigned long number;
    char how[8];
    unsigned long count[CALLS];
    int pipe;
    bool armed;
} torture = {.pipe = -1};

/* Whether this call shall go wrong. */
static bool wrong(enum call call)
{
    if (!torture.armed) return false;
    const unsigned long number = ++torture.count[call];
    if (call != torture.call || number < torture.number) return false;
    if (number > torture.number && strcmp(torture.how, "always") != 0) return false;
    if (torture.pipe >= 0 && number == torture.number) __real_write(torture.pipe, "!", 1);
    if (!strcmp(torture.how, "kill")) raise(SIGKILL);
    if (!strcmp(torture.how, "term")) raise(SIGTERM);
    return strcmp(torture.how, "short") != 0 || number == torture.number;
}

static bool is_short(void)
{
    return !strcmp(torture.how, "short");
}

/* As stdio does, this goes on after a short call. */
static ssize_t write_out(void *cookie, const char *bytes, size_t size)
{
    (void)cookie;
    for (size_t done = 0; done < size;) {
        const ssize_t n = __wrap_write(STDOUT_FILENO, bytes + done, size - done);
        if (n < 0) return 0;
        done += (size_t)n;
    }
    return (ssize_t)size;
}

__attribute__((constructor)) static void arm(void)
{
    const char *what = getenv("MSKP_TORTURE"), *pipe = getenv("MSKP_TORTURE_PIPE");
    char name[16];
    if (pipe) torture.pipe = atoi(pipe);
    if (torture.pipe >= 0) fcntl(torture.pipe, F_SETFD, FD_CLOEXEC);
    torture.call = CALLS;
    if (what && sscanf(what, "%15s %lu %7s", name, &torture.number, torture.how) == 3)
        for (enum call i = 0; i < CALLS; i++)
            if (!strcmp(call_names[i], name)) torture.call = i;
    stdout = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_out});
    torture.armed = true;
}

__attribute__((destructor)) static void tell(void)
{
    torture.armed = false;
    if (torture.call == CALLS && torture.pipe >= 0)
        __real_write(torture.pipe, torture.count, sizeof torture.count);
}

/* ---- memory ---- */

void *__wrap_malloc(size_t size)
{
    errno = ENOMEM;
    return wrong(CALL_MALLOC) ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    errno = ENOMEM;
    return wrong(CALL_CALLOC) ? NULL : __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    errno = ENOMEM;
    return wrong(CALL_REALLOC) ? NULL : __real_realloc(old, size);
}

char *__wrap_strdup(const char *text)
{
    const size_t size = strlen(text) + 1;
    char *copy = __wrap_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

/* ---- files ---- */

static int failed(int why)
{
    errno = why;
    return -1;
}

int __wrap_open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    const int mode = flags & O_CREAT ? va_arg(list, int) : 0;
    va_end(list);
    return wrong(CALL_OPEN) ? failed(EMFILE) : __real_open(path, flags, mode);
}

int __wrap_openat(int folder, const char *path, int flags, ...)
{
    return wrong(CALL_OPENAT) ? failed(EMFILE) : __real_openat(folder, path, flags);
}

int __wrap_fstat(int file, struct stat *is)
{
    return wrong(CALL_FSTAT) ? failed(EIO) : __real_fstat(file, is);
}

/* What glibc's headers call them where _FILE_OFFSET_BITS is 64. */
#define SAME(name, other, parameters) int __wrap_##name parameters __attribute__((alias(#other)))
SAME(open64, __wrap_open, (const char *, int, ...));
SAME(openat64, __wrap_openat, (int, const char *, int, ...));
SAME(fstat64, __wrap_fstat, (int, struct stat *));

ssize_t __wrap_read(int file, void *to, size_t size)
{
    if (!wrong(CALL_READ)) return __real_read(file, to, size);
    return is_short() ? __real_read(file, to, (size + 1) / 2) : failed(EIO);
}

ssize_t __wrap_write(int file, const void *from, size_t size)
{
    if (!wrong(CALL_WRITE)) return __real_write(file, from, size);
    return is_short() ? __real_write(file, from, (size + 1) / 2) : failed(ENOSPC);
}

int __wrap_fsync(int file)
{
    (void)file;
    return wrong(CALL_FSYNC) ? failed(EIO) : 0;
}

int __wrap_rename(const char *from, const char *to)
{
    return wrong(CALL_RENAME) ? failed(EACCES) : __real_rename(from, to);
}

/* As in Linux, the file is closed even if that fails. */
int __wrap_close(int file)
{
    const bool fail = wrong(CALL_CLOSE);
    const int status = __real_close(file);
    return fail ? failed(EIO) : status;
}

int __wrap_unlink(const char *path)
{
    return wrong(CALL_UNLINK) ? failed(EACCES) : __real_unlink(path);
}

int __wrap_clock_gettime(clockid_t clock, struct timespec *now)
{
    static time_t seconds;
    (void)clock;
    *now = (struct timespec){.tv_sec = ++seconds};
    return 0;
}
