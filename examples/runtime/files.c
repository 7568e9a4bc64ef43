/*
 * Files are written under a temporary name beside the file that they replace, so that the rename
 * stays within one file system and is atomic. The order is what makes it safe: the bytes are on the
 * disk (fsync) before the name leads to them (rename), and the folder, too, is on the disk before
 * the program goes on. A process that is killed leaves the old file, perhaps with a temporary file
 * beside it; one that fails, or is ended by a signal that can be caught, removes the temporary
 * file.
 *
 * Bytes are written by write(2) and not by stdio: so errors are seen at the call that made them.
 */
#define _POSIX_C_SOURCE 200809L
#include "files.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER = 1 << 16, MOST_LINKS = 40, MOST_OUTPUTS = 8, MOST_NAME = 4096, MOST_BASE = 200 };

FILE_FORMAT(2, 3) static bool refuse(file_error *err, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(err->text, sizeof err->text, format, list);
    va_end(list);
    return false;
}

/* The first bytes of a text, and another text behind them. NULL: no memory. */
static char *copy(const char *text, size_t length, const char *more)
{
    const size_t rest = strlen(more) + 1;
    char *both = malloc(length + rest);
    if (!both) return NULL;
    memcpy(both, text, length);
    memcpy(both + length, more, rest);
    return both;
}

/* ---- text ---- */

/* The length of the UTF-8 character at text that a terminal shows as it is; 0: there is none. */
static size_t shown_length(const unsigned char *text)
{
    const unsigned c = text[0];
    if (c < 0x80) return c >= ' ' && c != 0x7f;
    const size_t length = c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : 4;
    if (c < 0xc2 || c > 0xf4) return 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    const unsigned second = text[1], third = length > 2 ? text[2] : 0;
    if (c == 0xc2 && second < 0xa0) return 0; /* C1 */
    if (c == 0xe0 && second < 0xa0) return 0; /* too long a form */
    if (c == 0xed && second > 0x9f) return 0; /* a surrogate */
    if (c == 0xf0 && second < 0x90) return 0; /* too long a form */
    if (c == 0xf4 && second > 0x8f) return 0; /* beyond U+10FFFF */
    if (c == 0xe2 && second == 0x80 && third >= 0xa8 && third <= 0xae) return 0; /* U+2028-202E */
    if (c == 0xe2 && second == 0x81 && third >= 0xa6 && third <= 0xa9) return 0; /* U+2066-2069 */
    return length;
}

void file_printable(char *text)
{
    while (*text) {
        const size_t length = shown_length((const unsigned char *)text);
        if (!length) *text = '?';
        text += length ? length : 1;
    }
}

void file_print(FILE *to, const char *format, ...)
{
    char text[1001];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    file_printable(text);
    fprintf(to, "%s\n", text);
}

/* ---- reading ---- */

static bool opened(file_input *in, int descriptor, bool only_regular, file_error *err)
{
    struct stat is;
    *in = (file_input){.descriptor = descriptor};
    if (descriptor < 0) return refuse(err, "it cannot be opened: %s", strerror(errno));
    if (fstat(descriptor, &is)) {
        refuse(err, "it cannot be examined: %s", strerror(errno));
    } else if (only_regular && !S_ISREG(is.st_mode)) {
        refuse(err, "it is no regular file");
    } else if (S_ISREG(is.st_mode) && (uintmax_t)is.st_size > PTRDIFF_MAX) {
        refuse(err, "it has more bytes than memory can hold");
    } else {
        /* Files that the kernel makes up are said to be empty, but can be read. */
        in->regular = S_ISREG(is.st_mode) && (is.st_size > 0 || only_regular);
        in->size = in->regular ? (size_t)is.st_size : 0;
        in->device = is.st_dev;
        in->inode = is.st_ino;
        return true;
    }
    file_close(in);
    return false;
}

bool file_open(file_input *in, const char *path, file_error *err)
{
    return opened(in, open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), false, err);
}

/* Without O_NONBLOCK, a pipe would be waited for before it can be refused. */
bool file_open_regular(file_input *in, const char *path, file_error *err)
{
    return opened(in, open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), true, err);
}

bool file_is_below(const char *path)
{
    if (path[0] == '/' || !path[0]) return false;
    for (const char *part = path; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        if (!strncmp(part, "..", 2) && (part[2] == '/' || !part[2])) return false;
    }
    return true;
}

bool file_open_below(file_input *in, const char *folder, const char *path, file_error *err)
{
    struct stat is;
    *in = (file_input){.descriptor = -1};
    if (!file_is_below(path)) return refuse(err, "it is no place within the folder");
    char *parts = copy(path, strlen(path), ""), *part = parts;
    if (!parts) return refuse(err, "there is no memory for its name of %zu bytes", strlen(path));
    /* Each part is opened in the folder before it, so no other process can put a link there. */
    int at = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (bool last = false; at >= 0 && !last;) {
        char *end = part + strcspn(part, "/");
        char *next = end + strspn(end, "/");
        last = !*next;
        *end = 0;
        const int kind = last && next == end ? O_NONBLOCK | O_NOCTTY : O_DIRECTORY;
        const int inner = openat(at, part, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | kind);
        const int why = errno;
        const bool link =
            inner < 0 && !fstatat(at, part, &is, AT_SYMLINK_NOFOLLOW) && S_ISLNK(is.st_mode);
        if (link) refuse(err, "\"%.80s\" is a symbolic link, which is not followed", part);
        close(at);
        if (link) {
            free(parts);
            return false;
        }
        at = inner;
        errno = why;
        part = next;
    }
    const int why = errno;
    free(parts);
    errno = why;
    return opened(in, at, true, err);
}

bool file_get(file_input *in, size_t count, void *to, size_t *got, file_error *err)
{
    for (*got = 0; *got < count;) {
        /* Linux reads at most 2 GiB at once. */
        const size_t left = count - *got, most = (size_t)1 << 30;
        const ssize_t n = read(in->descriptor, (char *)to + *got, left < most ? left : most);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return refuse(err, "it cannot be read beyond byte %zu: %s", in->at, strerror(errno));
        if (!n) break;
        *got += (size_t)n;
        in->at += (size_t)n;
    }
    return true;
}

/* The rest of a regular file, whose size is known: no byte of memory more than that. */
static bool rest_of_file(file_input *in, size_t n, const void *first, size_t most, char **bytes,
                         size_t *size, file_error *err)
{
    size_t got = 0;
    const size_t left = in->size > in->at ? in->size - in->at : 0;
    if (n > most || left > most - n)
        return refuse(err, "it has %zu bytes, and %zu are the limit", n + left, most);
    char *all = malloc(n + left + 1);
    if (!all) return refuse(err, "there is no memory for its %zu bytes", n + left);
    if (n) memcpy(all, first, n);
    bool good = file_get(in, left, all + n, &got, err);
    if (good && got < left)
        good = refuse(err, "it ends at byte %zu of %zu: it became shorter while it was read",
                      in->at, in->size);
    all[n + got] = 0;
    *bytes = all;
    *size = n + got;
    return good;
}

static bool rest_of_stream(file_input *in, size_t n, const void *first, size_t most, char **bytes,
                           size_t *size, file_error *err)
{
    char *all = NULL;
    size_t room = 0, used = 0, got = 1;
    if (most > FILE_STREAM_MOST) most = FILE_STREAM_MOST;
    while (got) {
        if (used == room || !all) {
            room = all ? 2 * room : n + BUFFER;
            char *larger = realloc(all, room + 1);
            if (!larger) return refuse(err, "there is no memory for more than %zu bytes", used);
            *bytes = all = larger;
            if (!used && n) memcpy(all, first, used = n);
        }
        if (!file_get(in, room - used, all + used, &got, err)) return false;
        used += got;
        if (used > most)
            return refuse(err, "it is no regular file and has more than %zu bytes, the limit",
                          most);
    }
    all[used] = 0;
    *size = used;
    return true;
}

bool file_rest(file_input *in, size_t n, const void *first, size_t most, char **bytes, size_t *size,
               file_error *err)
{
    *bytes = NULL;
    *size = 0;
    const bool good = in->regular ? rest_of_file(in, n, first, most, bytes, size, err)
                                  : rest_of_stream(in, n, first, most, bytes, size, err);
    if (good) return true;
    free(*bytes);
    *bytes = NULL;
    *size = 0;
    return false;
}

void file_close(file_input *in)
{
    if (in->descriptor >= 0) close(in->descriptor);
    in->descriptor = -1;
}

bool file_read(const char *path, size_t most, char **bytes, size_t *size, file_error *err)
{
    file_input in;
    *bytes = NULL;
    *size = 0;
    const bool good = file_open(&in, path, err) && file_rest(&in, 0, NULL, most, bytes, size, err);
    file_close(&in);
    return good;
}

/* ---- temporary files, for the signals ---- */

/* In static memory, because a handler may run while malloc does. `used` is set when the file is
 * there, and a slot is filled in while it is not set. */
static struct {
    volatile sig_atomic_t used;
    char name[MOST_NAME];
} temporaries[MOST_OUTPUTS];

static const int SIGNALS[] = {SIGHUP, SIGINT, SIGQUIT, SIGPIPE, SIGTERM, SIGXCPU, SIGXFSZ};
enum { SIGNAL_COUNT = sizeof SIGNALS / sizeof *SIGNALS };

/* The signal that waits, or 0; and whether signals wait. Any thread may run the handler. */
static volatile sig_atomic_t waiting, may_wait;

/* Calls only what a handler may call. */
static void end_by(int number)
{
    for (int i = 0; i < MOST_OUTPUTS; i++)
        if (temporaries[i].used) unlink(temporaries[i].name);
    signal(number, SIG_DFL);
    raise(number); /* comes when the handler returns, because it is blocked until then */
}

static void on_signal(int number)
{
    const bool can_wait = number == SIGHUP || number == SIGINT || number == SIGTERM;
    if (may_wait && can_wait && !waiting)
        waiting = number;
    else
        end_by(number);
}

void file_catch_signals(void)
{
    struct sigaction now, ours = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigfillset(&ours.sa_mask);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        if (!sigaction(SIGNALS[i], NULL, &now) && now.sa_handler == SIG_DFL)
            sigaction(SIGNALS[i], &ours, NULL);
}

void file_let_signals_wait(bool wait)
{
    may_wait = wait;
    if (!wait && waiting) end_by(waiting);
}

bool file_signal_waits(void)
{
    return waiting;
}

/* ---- where a file is written ---- */

/* The number of bytes up to the file's own name. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash + 1 - path) : 0;
}

/* The open file that a path means; -1: none. */
static int descriptor_of(const char *path)
{
    static const char *const folders[] = {"/dev/fd/", "/proc/self/fd/"};
    for (size_t i = 0; i < sizeof folders / sizeof *folders; i++) {
        const size_t length = strlen(folders[i]);
        if (strncmp(path, folders[i], length) != 0) continue;
        const char *digits = path + length;
        if (*digits && strlen(digits) < 9 && strspn(digits, "0123456789") == strlen(digits))
            return atoi(digits);
    }
    return -1;
}

/* The path with its last part, as long as that is a link, replaced by where the link leads. The
 * file need not be there. NULL: see errno. */
static char *follow(const char *path)
{
    struct stat is;
    char to[MOST_NAME], *at = copy(path, strlen(path), "");
    for (int i = 0; at && descriptor_of(at) < 0; i++) {
        const ssize_t n = readlink(at, to, sizeof to - 1);
        if (n < 0) break; /* no link */
        to[n] = 0;
        /* What is written in place keeps its name, which may be one that only the kernel knows. */
        if (descriptor_of(to) < 0 && !stat(at, &is) && !S_ISREG(is.st_mode)) break;
        char *next = i < MOST_LINKS ? copy(at, *to == '/' ? 0 : folder_length(at), to) : NULL;
        free(at);
        if (!next && i == MOST_LINKS) errno = ELOOP;
        at = next;
    }
    return at;
}

static bool cannot(file_error *err, int why)
{
    return refuse(err, "it cannot be written: %s", strerror(why));
}

/* Opens a device, a pipe, or a log, and does not wait. */
static int open_in_place(const char *path, int flags, file_error *err)
{
    struct stat is;
    const int descriptor = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY | flags, 0666);
    if (descriptor < 0 && errno == ENXIO && !stat(path, &is) && S_ISFIFO(is.st_mode))
        refuse(err, "it cannot be written: it is a pipe that no program reads");
    else if (descriptor < 0)
        cannot(err, errno);
    else
        fcntl(descriptor, F_SETFL, fcntl(descriptor, F_GETFL) & ~O_NONBLOCK);
    return descriptor;
}

static int make_temporary(file_output *out, int slot, mode_t mode)
{
    const size_t folder = folder_length(out->target);
    const char *base = out->target + folder;
    int descriptor = -1;
    errno = EEXIST;
    for (int i = 0; i < 100 && descriptor < 0 && errno == EEXIST; i++) {
        const int n = snprintf(temporaries[slot].name, MOST_NAME, "%.*s%.*s.%ld-%d.part",
                               (int)folder, out->target, (int)MOST_BASE, base, (long)getpid(), i);
        errno = ENAMETOOLONG;
        if (n > 0 && n < MOST_NAME)
            descriptor =
                open(temporaries[slot].name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    }
    return descriptor;
}

static void hold_signals(sigset_t *before)
{
    sigset_t ours;
    sigemptyset(&ours);
    for (int i = 0; i < SIGNAL_COUNT; i++) sigaddset(&ours, SIGNALS[i]);
    sigprocmask(SIG_BLOCK, &ours, before);
}

/* No signal may come between the file and its entry in the table. */
static bool open_temporary(file_output *out, const struct stat *old, file_error *err)
{
    sigset_t before;
    int slot = 0;
    while (slot < MOST_OUTPUTS && temporaries[slot].used) slot++;
    if (slot == MOST_OUTPUTS)
        return refuse(err, "it cannot be written: %d files are being written, which is the limit",
                      slot);
    hold_signals(&before);
    out->descriptor = make_temporary(out, slot, old ? 0600 : 0666);
    const int why = errno;
    if (out->descriptor >= 0) temporaries[slot].used = 1;
    sigprocmask(SIG_SETMASK, &before, NULL);
    if (out->descriptor < 0) return cannot(err, why);
    out->open = true;
    out->slot = slot + 1;
    out->name = temporaries[slot].name;
    if (!old) return true;
    /* Without the right to keep the group, its members get no more than others do. */
    mode_t mode = old->st_mode & 0777;
    if (fchown(out->descriptor, old->st_uid, old->st_gid) &&
        fchown(out->descriptor, (uid_t)-1, old->st_gid))
        mode = (mode & 0707) | (mode & 07) << 3;
    return !fchmod(out->descriptor, mode) || cannot(err, errno);
}

static bool start(file_output *out, const char *path, bool log, file_error *err)
{
    struct stat is;
    *out = (file_output){.descriptor = -1};
    out->target = follow(path);
    if (!out->target)
        return errno == ENOMEM ? refuse(err, "there is no memory for its name")
                               : cannot(err, errno);
    out->buffer = malloc(BUFFER);
    if (!out->buffer) return refuse(err, "there is no memory for a buffer of %d bytes", BUFFER);
    const int number = descriptor_of(out->target);
    const bool there = !stat(out->target, &is);
    if (there && number < 0 && S_ISREG(is.st_mode) && access(out->target, W_OK))
        return cannot(err, errno);
    if (number < 0 && !log && (!there || S_ISREG(is.st_mode)))
        return open_temporary(out, there ? &is : NULL, err);
    out->in_place = true;
    out->name = out->target;
    if (number >= 0) {
        fflush(stdout); /* in the order in which they were written */
        out->descriptor = fcntl(number, F_DUPFD_CLOEXEC, 0);
        if (out->descriptor < 0) cannot(err, errno);
    } else {
        out->descriptor = open_in_place(out->target, log ? O_CREAT | O_TRUNC : 0, err);
    }
    out->open = out->descriptor >= 0;
    return out->open;
}

bool file_create(file_output *out, const char *path, file_error *err)
{
    if (start(out, path, false, err)) return true;
    file_discard(out);
    return false;
}

bool file_create_log(file_output *out, const char *path, file_error *err)
{
    if (start(out, path, true, err)) return true;
    file_discard(out);
    return false;
}

bool file_check(const char *path, int *held, file_error *err)
{
    struct stat is;
    *held = -1;
    char *target = follow(path);
    if (!target) return cannot(err, errno);
    const bool there = !stat(target, &is);
    bool good = true;
    if (descriptor_of(target) >= 0) {
        /* what is open needs no permission */
    } else if (there && S_ISDIR(is.st_mode)) {
        good = cannot(err, EISDIR);
    } else if (there && S_ISFIFO(is.st_mode)) {
        *held = open_in_place(target, 0, err);
        good = *held >= 0;
    } else if (there && access(target, W_OK)) {
        good = cannot(err, errno);
    } else if (!there || S_ISREG(is.st_mode)) {
        target[folder_length(target)] = 0; /* for the temporary file */
        good = !access(*target ? target : ".", W_OK | X_OK) || cannot(err, errno);
    }
    free(target);
    return good;
}

bool file_same(const char *a, const char *b)
{
    struct stat is_a, is_b;
    if (!strcmp(a, b)) return true;
    char *to_a = follow(a), *to_b = follow(b);
    bool same = false;
    if (to_a && to_b) {
        char *const name_a = to_a + folder_length(to_a), *const name_b = to_b + folder_length(to_b);
        const bool there_a = !stat(to_a, &is_a), there_b = !stat(to_b, &is_b);
        bool equal = there_a && there_b && S_ISREG(is_a.st_mode);
        if (!there_a && !there_b && !strcmp(name_a, name_b)) { /* then the folders decide */
            *name_a = *name_b = 0;
            equal = !stat(*to_a ? to_a : ".", &is_a) && !stat(*to_b ? to_b : ".", &is_b);
        }
        same = equal && is_a.st_dev == is_b.st_dev && is_a.st_ino == is_b.st_ino;
    }
    free(to_a);
    free(to_b);
    return same;
}

/* ---- writing ---- */

static void write_all(file_output *out, const char *bytes, size_t size)
{
    while (size && !out->failed) {
        const size_t most = (size_t)1 << 30;
        const ssize_t n = write(out->descriptor, bytes, size < most ? size : most);
        if (n < 0 && errno != EINTR) out->failed = errno;
        if (n <= 0) continue;
        bytes += n;
        size -= (size_t)n;
    }
}

void file_put(file_output *out, const void *bytes, size_t size)
{
    if (size > BUFFER - out->used) {
        write_all(out, out->buffer, out->used);
        out->used = 0;
    }
    if (size > BUFFER) {
        write_all(out, bytes, size);
    } else if (size) {
        memcpy(out->buffer + out->used, bytes, size);
        out->used += size;
    }
}

bool file_flush(file_output *out, file_error *err)
{
    write_all(out, out->buffer, out->used);
    out->used = 0;
    return !out->failed || cannot(err, out->failed);
}

/* Brings a file, or a folder, to the disk. Where the file system cannot do that, nothing is lost by
 * going on. */
static bool sync_descriptor(int descriptor)
{
    return !fsync(descriptor) || errno == EINVAL || errno == ENOTSUP;
}

bool file_complete(file_output *out, file_error *err)
{
    struct stat is;
    if (!out->open) return true;
    bool good = file_flush(out, err);
    /* Pipes and devices have no disk. */
    const bool disk = !fstat(out->descriptor, &is) && S_ISREG(is.st_mode);
    if (good && disk && !sync_descriptor(out->descriptor)) good = cannot(err, errno);
    out->open = false;
    if (close(out->descriptor) && good) good = cannot(err, errno);
    return good;
}

static bool sync_folder(const char *path, file_error *err)
{
    const size_t length = folder_length(path);
    char *folder = length ? copy(path, length, "") : copy(".", 1, "");
    const int descriptor = folder ? open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    /* A folder in which one may write, but not look, cannot be opened. */
    const bool good = descriptor >= 0 ? sync_descriptor(descriptor) : errno == EACCES;
    const int why = errno;
    if (descriptor >= 0) close(descriptor);
    free(folder);
    return good || refuse(err, "it is written, but its folder cannot be brought to the disk: %s",
                          strerror(why));
}

static void forget_temporary(file_output *out)
{
    if (out->slot) temporaries[out->slot - 1].used = 0;
    out->slot = 0;
}

bool file_commit(file_output *out, file_error *err)
{
    if (!file_complete(out, err)) return false;
    if (!out->slot) return true;
    if (rename(out->name, out->target)) return cannot(err, errno);
    forget_temporary(out);
    return sync_folder(out->target, err);
}

bool file_commit_pair(file_output *first, file_output *second, file_error *err)
{
    sigset_t before;
    if (!file_complete(first, err) || !file_complete(second, err)) return false;
    hold_signals(&before);
    bool good = file_commit(first, err);
    const bool named = !first->slot;
    good = good && file_commit(second, err);
    if (named && second->slot) unlink(first->target);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return good;
}

void file_discard(file_output *out)
{
    if (out->open) close(out->descriptor);
    if (out->slot) unlink(out->name);
    forget_temporary(out);
    free(out->target);
    free(out->buffer);
    *out = (file_output){0};
}
