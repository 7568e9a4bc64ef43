/*
 * files.h - reading and writing files that a stranger made, or that must not be lost
 *
 * All files of the runtime and of the programs are read and written by these functions. They need
 * libc alone, and know nothing of networks.
 *
 *   - Memory is taken for bytes that are there, or up to a stated limit; and a file that becomes
 *     shorter while it is read is an error. Nothing is mapped into memory.
 *   - A file that is written appears under its name when it is complete and on the disk, at once.
 *     Until then, whatever happens, what had this name before is still there.
 *   - Names and texts from files are printed without what a terminal would take for commands.
 *
 * Functions that return bool return false after they wrote a sentence; the caller puts the name of
 * the file before it. Files are written by one thread.
 */
#ifndef FILES_H
#define FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FILE_FORMAT(text, first) __attribute__((format(printf, text, first)))
#else
#define FILE_FORMAT(text, first)
#endif

/* The most bytes that are read from what is no regular file: a pipe, a device. */
#define FILE_STREAM_MOST ((size_t)1 << 30)

typedef struct file_error {
    char text[200];
} file_error;

/* ========================================================================== */
/*                                   Text                                     */
/* ========================================================================== */

/* Replaces, in place, each byte by '?' that is a control character (C0, DEL, and C1 in UTF-8), part
 * of a character that changes the direction of the text, or no valid UTF-8. */
void file_printable(char *text);

/* Prints a line: the text, made printable and at most 1000 bytes of it, and a line feed. */
FILE_FORMAT(2, 3) void file_print(FILE *to, const char *format, ...);

/* ========================================================================== */
/*                                  Reading                                   */
/* ========================================================================== */

typedef struct file_input {
    int descriptor;
    bool regular; /* false: a pipe or a device, whose size is not known */
    size_t size;  /* of a regular file when it was opened */
    size_t at;    /* the bytes that were read */
    dev_t device; /* which file it is */
    ino_t inode;
} file_input;

/* Opens a file. A named pipe waits for a writer, as it does for every program. */
bool file_open(file_input *in, const char *path, file_error *err);
/* Opens a regular file, and refuses everything else. */
bool file_open_regular(file_input *in, const char *path, file_error *err);
/* The same for a path that a stranger wrote: the file must lie in this folder or below. Symbolic
 * links are not followed, because they could lead to another place. */
bool file_open_below(file_input *in, const char *folder, const char *path, file_error *err);
/* Whether a path cannot lead out of a folder, links aside: it is relative, not empty, and no part
 * of it is "..". */
bool file_is_below(const char *path);

/* to <- the next `count` bytes, or as many as there are; *got <- how many. */
bool file_get(file_input *in, size_t count, void *to, size_t *got, file_error *err);
/* *bytes <- memory with these first n bytes, all that follows in the file, and a zero byte behind
 * them, which the caller frees; *size <- how many bytes without the zero. More than `most` are
 * refused, and more than FILE_STREAM_MOST of what is no regular file. */
bool file_rest(file_input *in, size_t n, const void *first, size_t most, char **bytes, size_t *size,
               file_error *err);
void file_close(file_input *in);

/* file_open, file_rest and file_close. */
bool file_read(const char *path, size_t most, char **bytes, size_t *size, file_error *err);

/* ========================================================================== */
/*                                  Writing                                   */
/* ========================================================================== */

/*
 * A file that is written. file_create makes a temporary file in the same folder, and file_commit
 * gives it the name: write, fsync, rename, fsync of the folder. The new file has the permissions of
 * the old one and, where that is allowed, its owner. If the name is a symbolic link, all this
 * happens to the file to which it leads.
 *
 * Devices and pipes (/dev/null, /dev/stdout, named pipes) are written in place. A pipe that nobody
 * reads is refused. Names like /dev/stdout and /dev/fd/3 mean the open file, wherever it leads.
 *
 * An output that is all zero is closed, and has no file.
 */
typedef struct file_output {
    char *name;       /* of the file that is written: the temporary file, unless in_place */
    char *target;     /* the name that it gets */
    bool open;        /* the descriptor is */
    bool in_place;    /* there is no temporary file */
    int descriptor;   /* another library may write to `name` instead */
    int slot, failed; /* private: the entry for the signals; the first error number */
    size_t used;      /* private: in the buffer */
    char *buffer;     /* private */
} file_output;

/* Whether file_create would succeed, as far as this can be told without writing. A pipe must have a
 * reader now, and is kept open, so that the reader waits: *held <- a descriptor to close once all
 * is written, or -1. */
bool file_check(const char *path, int *held, file_error *err);

/* Whether two paths lead to one file: by the same or by different names, by links of both kinds.
 * The file need not be there yet. Devices and pipes are the same only by the same name. */
bool file_same(const char *a, const char *b);

bool file_create(file_output *out, const char *path, file_error *err);
/* The same for a log, which others read while it grows: what was there is lost at once. */
bool file_create_log(file_output *out, const char *path, file_error *err);
/* Adds bytes. A failure is kept for file_flush, file_complete and file_commit. */
void file_put(file_output *out, const void *bytes, size_t size);
bool file_flush(file_output *out, file_error *err);
/* Brings everything to the disk; the file still has its temporary name. Nothing can be added. */
bool file_complete(file_output *out, file_error *err);
/* Completes the file if that was not done, and gives it its name. */
bool file_commit(file_output *out, file_error *err);
/* Commits two files, of which the second says that the first is there: whoever sees the second sees
 * the first. No file had the name of the first before; if the second gets no name, the first is
 * removed. */
bool file_commit_pair(file_output *first, file_output *second, file_error *err);
/* Removes the temporary file, if it was not committed, and frees what the output holds. The last
 * call for every output, whatever happened before. */
void file_discard(file_output *out);

/* For the beginning of main: if a signal ends the process (SIGHUP, SIGINT, SIGTERM and others of
 * this kind, unless they are ignored), temporary files are removed before. */
void file_catch_signals(void);
/*
 * For a program that wants to write its state before a signal ends it. After
 * file_let_signals_wait(true), the first SIGHUP, SIGINT or SIGTERM only makes file_signal_waits
 * true; the next one ends the process at once. file_let_signals_wait(false) ends the process if a
 * signal has waited, as that signal would have.
 */
void file_let_signals_wait(bool wait);
bool file_signal_waits(void);

#ifdef __cplusplus
}
#endif
#endif /* FILES_H */
