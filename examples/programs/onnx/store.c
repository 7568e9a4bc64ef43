/*
 * Writes a model, and the one file beside it that holds its data. Both are written under a
 * temporary name and renamed when they are complete.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

enum { ALIGNMENT = 64, ENTRIES = 3, BUFFER = 1 << 16 };

/* ---- files that appear when they are complete ---- */

typedef struct output {
    char *path, *temporary; /* temporary NULL: written in place (a device, a pipe) */
    FILE *stream;
} output;

static char *join(const char *a, const char *b)
{
    const size_t size = strlen(a) + strlen(b) + 1;
    char *text = malloc(size);
    if (text) snprintf(text, size, "%s%s", a, b);
    return text;
}

static bool refuse_own(const model *m, const char *path, const struct stat *is, failure *f)
{
    for (size_t i = 0; i < m->map_count; i++)
        if (m->maps[i].device == is->st_dev && m->maps[i].inode == is->st_ino)
            return fail(f, "%.120s: it is %s; write to another file", path,
                        m->maps[i].location ? "a file of the model's data"
                                            : "the file that was read");
    return true;
}

static bool open_temporary(output *o)
{
    char suffix[40];
    for (int i = 0; i < 100 && !o->stream; i++) {
        snprintf(suffix, sizeof suffix, ".%ld-%d.part", (long)getpid(), i);
        o->temporary = join(o->path, suffix);
        if (!o->temporary) return false;
        const int file = open(o->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file >= 0) {
            o->stream = fdopen(file, "wb");
            if (o->stream) return true;
            close(file);
            remove(o->temporary);
        }
        free(o->temporary);
        o->temporary = NULL;
        if (errno != EEXIST) return false;
    }
    return false;
}

static bool output_open(output *o, const model *m, const char *path, const char *suffix, failure *f)
{
    struct stat is;
    *o = (output){.path = join(path, suffix)};
    if (!o->path) return fail(f, "no memory for the name of a file");
    const bool there = stat(o->path, &is) == 0;
    if (there && !refuse_own(m, o->path, &is, f)) return false;
    errno = 0;
    if (there && !S_ISREG(is.st_mode))
        o->stream = fopen(o->path, "wb");
    else
        open_temporary(o);
    if (!o->stream) return fail(f, "%.120s: it cannot be written: %s", o->path, strerror(errno));
    setvbuf(o->stream, NULL, _IOFBF, BUFFER);
    return true;
}

/* Completes the file. False: not everything could be written. */
static bool output_end(output *o, failure *f)
{
    const bool good = !ferror(o->stream);
    const bool closed = !fclose(o->stream);
    o->stream = NULL;
    return (good && closed) ||
           fail(f, "%.120s: it cannot be written: %s", o->path, strerror(errno));
}

static bool output_show(output *o, failure *f)
{
    if (o->temporary && rename(o->temporary, o->path))
        return fail(f, "%.120s: it cannot be written: %s", o->path, strerror(errno));
    free(o->temporary);
    o->temporary = NULL;
    return true;
}

/* Closes and removes what is left, in any state. */
static void output_clear(output *o)
{
    if (o->stream) fclose(o->stream);
    if (o->temporary) remove(o->temporary);
    free(o->temporary);
    free(o->path);
    *o = (output){0};
}

/* ---- data in other files ---- */

/* A tensor with data in another file. While the model is written, its entries name the new file. */
typedef struct placed {
    tensor_proto *t, kept;
    Onnx__StringStringEntryProto entry[ENTRIES], *entries[ENTRIES];
    char offset[24], length[24];
    const void *bytes;
    size_t size, at;
} placed;

typedef struct placement {
    const model *m;
    placed *list;
    size_t count, capacity, end;
    char *location; /* of the new file */
} placement;

static bool count_external(void *context, ProtobufCMessage *message)
{
    ((placement *)context)->capacity += tensor_is_external((tensor_proto *)message);
    return true;
}

static bool place(void *context, ProtobufCMessage *message)
{
    placement *all = context;
    tensor_proto *t = (tensor_proto *)message;
    if (!tensor_is_external(t)) return true;
    placed *p = &all->list[all->count++];
    p->t = t;
    p->kept = *t;
    p->size = t->raw_data.len;
    p->bytes = tensor_raw(all->m, t);
    if (!t->has_raw_data) {
        const char *location;
        size_t offset;
        failure f;
        tensor_place(t, &location, &offset, &p->size, &f);
    }
    p->at = (all->end + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    all->end = p->at + p->size;
    return true;
}

static void set_entry(placed *p, size_t i, char *key, char *value)
{
    onnx__string_string_entry_proto__init(&p->entry[i]);
    p->entry[i].key = key;
    p->entry[i].value = value;
    p->entries[i] = &p->entry[i];
}

/* Changes the tensors of the model to what the new file says. `kept` is what they were. */
static void put(placement *all)
{
    static char location[] = "location", offset[] = "offset", length[] = "length";
    for (size_t i = 0; i < all->count; i++) {
        placed *p = &all->list[i];
        snprintf(p->offset, sizeof p->offset, "%zu", p->at);
        snprintf(p->length, sizeof p->length, "%zu", p->size);
        set_entry(p, 0, location, all->location);
        set_entry(p, 1, offset, p->offset);
        set_entry(p, 2, length, p->length);
        p->t->external_data = p->entries;
        p->t->n_external_data = ENTRIES;
        p->t->has_raw_data = false;
    }
}

static void put_back(placement *all)
{
    for (size_t i = 0; i < all->count; i++) *all->list[i].t = all->list[i].kept;
    free(all->list);
    free(all->location);
}

static bool placement_make(placement *all, const model *m, const char *path, failure *f)
{
    const ProtobufCMessageDescriptor *type = &onnx__tensor_proto__descriptor;
    const char *slash = strrchr(path, '/');
    *all = (placement){.m = m};
    wire_each(&m->proto->base, type, count_external, all);
    if (!all->capacity) return true;
    all->list = calloc(all->capacity, sizeof *all->list);
    all->location = join(slash ? slash + 1 : path, ".data");
    if (!all->list || !all->location)
        return fail(f, "no memory for the places of %zu tensors", all->capacity);
    wire_each(&m->proto->base, type, place, all);
    return true;
}

static void write_data(const placement *all, FILE *stream)
{
    static const char zeros[ALIGNMENT];
    size_t at = 0;
    for (size_t i = 0; i < all->count; i++) {
        const placed *p = &all->list[i];
        if (p->at > at) fwrite(zeros, 1, p->at - at, stream);
        if (p->size) fwrite(p->bytes, 1, p->size, stream);
        at = p->at + p->size;
    }
}

/* ---- writing ---- */

static bool write_files(const model *m, const placement *all, const char *path, output *model_file,
                        output *data_file, failure *f)
{
    const size_t size = onnx__model_proto__get_packed_size(m->proto);
    if (size > MOST_BYTES)
        return fail(f,
                    "%.120s: the model needs %zu bytes, and a file that has no data beside it "
                    "can have no more than %zu",
                    path, size, MOST_BYTES);
    if (!output_open(model_file, m, path, "", f)) return false;
    if (all->count) {
        if (!output_open(data_file, m, path, ".data", f)) return false;
        write_data(all, data_file->stream);
        if (!output_end(data_file, f)) return false;
    }
    wire_write(&m->proto->base, model_file->stream);
    return output_end(model_file, f) && output_show(data_file, f) && output_show(model_file, f);
}

bool model_write(const model *m, const char *path, failure *f)
{
    output model_file = {0}, data_file = {0};
    placement all;
    bool good = placement_make(&all, m, path, f);
    if (good) {
        put(&all);
        good = write_files(m, &all, path, &model_file, &data_file, f);
    }
    put_back(&all);
    output_clear(&model_file);
    output_clear(&data_file);
    return good;
}
