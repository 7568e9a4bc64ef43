/* The functions that shim.c makes fail; test.mk has the same list for the linker. */
#ifndef TORTURE_CALLS_H
#define TORTURE_CALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <time.h>

/* The first MEMORY_CALLS ask for memory, the others are calls of the system. */
enum call {
    CALL_MALLOC,
    CALL_CALLOC,
    CALL_REALLOC,
    MEMORY_CALLS,
    CALL_OPEN = MEMORY_CALLS,
    CALL_OPENAT,
    CALL_FSTAT,
    CALL_READ,
    CALL_WRITE,
    CALL_FSYNC,
    CALL_RENAME,
    CALL_CLOSE,
    CALL_UNLINK,
    CALLS
};
static const char *const call_names[CALLS] = {"malloc", "calloc", "realloc", "open",
                                              "openat", "fstat",  "read",    "write",
                                              "fsync",  "rename", "close",   "unlink"};

/* A call that the linker redirects, and the function itself. */
#define WRAPPED(type, name, parameters) \
    type __wrap_##name parameters;      \
    type __real_##name parameters

WRAPPED(void *, malloc, (size_t));
WRAPPED(void *, calloc, (size_t, size_t));
WRAPPED(void *, realloc, (void *, size_t));
WRAPPED(char *, strdup, (const char *));
WRAPPED(int, open, (const char *, int, ...));
WRAPPED(int, openat, (int, const char *, int, ...));
WRAPPED(int, fstat, (int, struct stat *));
WRAPPED(ssize_t, read, (int, void *, size_t));
WRAPPED(ssize_t, write, (int, const void *, size_t));
WRAPPED(int, fsync, (int));
WRAPPED(int, rename, (const char *, const char *));
WRAPPED(int, close, (int));
WRAPPED(int, unlink, (const char *));
WRAPPED(int, clock_gettime, (clockid_t, struct timespec *));

#endif
