/*
 * Writes a model, and the one file beside it that holds its data.
 *
 * A model and its data are two files, and two files cannot be replaced at once. So the data never
 * replace anything: their file is named by their content (OUT.HASH.data), and the model, which
 * names it, appears after it (file_commit_pair). Whatever ends the program, the model under the
 * name OUT and the data that it names belong together. The hash need not be strong: if there is a
 * file with the name already, it is compared byte by byte, and if it holds other data, the next
 * number is added to the name.
 */
#define _POSIX_C_SOURCE 200809L
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "internal.h"
#include "lower.h"

enum { ALIGNMENT = 64, ENTRIES = 3, MOST_NAMES = 100 };

bool model_may_write(const model *m, const char *path, failure *f)
{
    struct stat is;
    if (stat(path, &is)) return true;
    for (size_t i = 0; i < m->source_count; i++)
        if (m->sources[i].device == is.st_dev && m->sources[i].inode == is.st_ino)
            return fail(f, "%.120s: it is %s; write to another file", path,
                        m->sources[i].location ? "a file of the model's data"
                                               : "the file that was read");
    return true;
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
    char *path;     /* of the new file */
    char *location; /* its last part, which the model names */
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
    free(all->path);
}

static bool placement_make(placement *all, const model *m, failure *f)
{
    const ProtobufCMessageDescriptor *type = &onnx__tensor_proto__descriptor;
    *all = (placement){.m = m};
    wire_each(&m->proto->base, type, count_external, all);
    if (!all->capacity) return true;
    all->list = try_calloc(all->capacity, sizeof *all->list);
    if (!all->list) return fail(f, "no memory for the places of %zu tensors", all->capacity);
    wire_each(&m->proto->base, type, place, all);
    return true;
}

/* ---- the file for them ---- */

/* Passes the bytes of the whole file to a function, until it returns false. */
typedef bool byte_user(void *context, const void *bytes, size_t size);

static bool each_part(const placement *all, byte_user *use, void *context)
{
    static const char zeros[ALIGNMENT];
    size_t at = 0;
    for (size_t i = 0; i < all->count; i++) {
        const placed *p = &all->list[i];
        if (p->at > at && !use(context, zeros, p->at - at)) return false;
        if (p->size && !use(context, p->bytes, p->size)) return false;
        at = p->at + p->size;
    }
    return true;
}

/* FNV-1a with 8 bytes at a time, and their high bits moved down. */
static bool add_to_hash(void *context, const void *bytes, size_t size)
{
    uint64_t hash = *(uint64_t *)context ^ size, word;
    for (const char *at = bytes; size; at += sizeof word) {
        const size_t n = size < sizeof word ? size : sizeof word;
        word = 0;
        memcpy(&word, at, n);
        hash = (hash ^ word) * 0x100000001b3u;
        hash ^= hash >> 32;
        size -= n;
    }
    *(uint64_t *)context = hash;
    return true;
}

typedef struct comparison {
    file_input in;
    file_error why; /* not empty: the file could not be read */
    char buffer[1 << 12];
} comparison;

static bool compare(void *context, const void *bytes, size_t size)
{
    comparison *c = context;
    for (size_t at = 0, got; at < size; at += got) {
        const size_t n = size - at < sizeof c->buffer ? size - at : sizeof c->buffer;
        if (!file_get(&c->in, n, c->buffer, &got, &c->why) || got < n ||
            memcmp(c->buffer, (const char *)bytes + at, n) != 0)
            return false;
    }
    return true;
}

/* *same <- whether the file with the placement's name holds exactly these data. */
static bool compare_file(const placement *all, bool *same, failure *f)
{
    comparison c = {.why = {""}};
    *same = file_open_regular(&c.in, all->path, &c.why) && c.in.size == all->end &&
            each_part(all, compare, &c);
    file_close(&c.in);
    return !*c.why.text || fail(f, "%.120s: %s", all->path, c.why.text);
}

/* path, location <- a name that no file has, or (*written) one whose file holds these data. */
static bool find_name(placement *all, const char *model_path, bool *written, failure *f)
{
    struct stat is;
    uint64_t hash = 0xcbf29ce484222325u;
    const size_t room = strlen(model_path) + 40;
    const char *slash = strrchr(model_path, '/');
    each_part(all, add_to_hash, &hash);
    all->path = try_malloc(room);
    if (!all->path) return fail(f, "no memory for the name of a file");
    all->location = all->path + (slash ? slash + 1 - model_path : 0);
    for (int i = 0; i < MOST_NAMES; i++) {
        char number[16] = "";
        if (i) snprintf(number, sizeof number, "-%d", i);
        snprintf(all->path, room, "%s.%016llx%s.data", model_path, (unsigned long long)hash,
                 number);
        *written = false;
        if (lstat(all->path, &is)) return true;
        if (S_ISREG(is.st_mode) && !compare_file(all, written, f)) return false;
        if (*written) return true;
    }
    return fail(f, "%.120s: it and %d files with other numbers hold other data", all->path,
                MOST_NAMES - 1);
}

static bool add_to_file(void *context, const void *bytes, size_t size)
{
    file_put(context, bytes, size);
    return true;
}

/* ---- writing ---- */

static bool put_data(placement *all, model_output *out, failure *f)
{
    bool written = false;
    file_error why;
    if (out->model.in_place)
        return fail(f,
                    "%.120s: it is no regular file, so the data of %zu tensors, which are in "
                    "other files, cannot be written beside it",
                    out->path, all->count);
    if (!find_name(all, out->model.target, &written, f)) return false;
    put(all);
    if (written) return true;
    if (!file_create(&out->data, all->path, &why))
        return fail(f, "%.120s: %s", all->path, why.text);
    each_part(all, add_to_file, &out->data);
    return file_complete(&out->data, &why) || fail(f, "%.120s: %s", all->path, why.text);
}

static bool put_model(const model *m, placement *all, model_output *out, failure *f)
{
    file_error why;
    const size_t size = onnx__model_proto__get_packed_size(m->proto);
    if (size > MOST_BYTES)
        return fail(f,
                    "%.120s: the model needs %zu bytes, and a file that has no data beside it "
                    "can have no more than %zu",
                    out->path, size, MOST_BYTES);
    if (!model_may_write(m, out->path, f)) return false;
    if (!file_create(&out->model, out->path, &why))
        return fail(f, "%.120s: %s", out->path, why.text);
    if (all->count && !put_data(all, out, f)) return false;
    wire_write(&m->proto->base, &out->model);
    return file_complete(&out->model, &why) || fail(f, "%.120s: %s", out->path, why.text);
}

bool model_prepare(const model *m, const char *path, model_output *out, failure *f)
{
    placement all;
    *out = (model_output){.path = path};
    lower_pause(m);
    const bool good = placement_make(&all, m, f) && put_model(m, &all, out, f);
    lower_again(m);
    put_back(&all);
    return good;
}

bool model_show(model_output *out, failure *f)
{
    file_error why;
    const bool good = out->data.target ? file_commit_pair(&out->data, &out->model, &why)
                                       : file_commit(&out->model, &why);
    return good || fail(f, "%.120s: %s", out->path, why.text);
}

void model_discard(model_output *out)
{
    file_discard(&out->model);
    file_discard(&out->data);
}

bool model_write(const model *m, const char *path, failure *f)
{
    model_output out;
    const bool good = model_prepare(m, path, &out, f) && model_show(&out, f);
    model_discard(&out);
    return good;
}
