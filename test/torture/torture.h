/*
 * Runs a program again and again in a folder of its own, and each time another call goes wrong
 * (shim.c). Afterwards
 *
 *   - every file holds what it held before, or what a good run writes, all of it; and a file that
 *     names another one (OUT.onnx and OUT.onnx.HASH.data) has the one that it names; a file that
 *     a run writes several times is whole;
 *   - the status is 0 only if all files are new; otherwise it is 1, and standard error has one
 *     sentence, which names a file, the output, or the memory (or the allocator);
 *   - no temporary file is there, unless the process was killed by SIGKILL, or unlink failed.
 */
#ifndef TORTURE_TORTURE_H
#define TORTURE_TORTURE_H

#include <stdbool.h>
#include <stddef.h>

enum { TORTURE_WORDS = 36 };

typedef struct torture_job {
    const char *name;    /* of the program, as its sentences begin */
    const char *program; /* its file, linked with shim.c */
    void (*make_inputs)(const char *folder);
    const char *old_words[TORTURE_WORDS]; /* the arguments that make the old files */
    const char *words[TORTURE_WORDS];     /* and those that replace them */
    size_t most;     /* of the calls of one function, times MSKP_TEST_SCALE; 0: 100 */
    bool quiet;      /* no table */
    const char *log; /* the name of a file that is written in place, or NULL */
    /* The name of a file that a run writes several times, or NULL; and whether it is whole. */
    const char *state;
    bool (*is_whole)(const char *bytes, size_t size);
    const char *page; /* of a page that also says of a failure, or NULL: it is always whole */
} torture_job;

/* Prints a table; returns how many runs went wrong in another way than they should. Memory: calls
 * of malloc and the like, or, where there are too many, every so many of them. */
size_t torture_memory(const torture_job *job);
size_t torture_system(const torture_job *job);
/* Whether both runs succeed if nothing goes wrong, and write different files. */
bool torture_can(const torture_job *job);

/* ---- single runs ---- */

/* Files and folders in which programs run: bytes of a file, NULL if there is none. */
char *torture_load(const char *folder, const char *name, size_t *size);
void torture_save(const char *folder, const char *name, const void *bytes, size_t size);

char *torture_folder(void);        /* a new one, to be freed */
void torture_remove(char *folder); /* with its files; frees the name */
/* The file of this name in the folder of the test program argv0. To be freed. */
char *torture_beside(const char *argv0, const char *name);

typedef struct torture_end {
    int status;      /* as waitpid says */
    bool wrong;      /* the call that shall go wrong was made */
    char text[2000]; /* of standard error */
} torture_end;

/* what: as MSKP_TORTURE; NULL: nothing goes wrong. output: the file of standard output. */
void torture_run(const torture_job *job, const char *const *words, const char *folder,
                 const char *what, const char *output, torture_end *end);

#endif
