/*
 * Reads a message without holding the data of its tensors twice.
 *
 * protobuf-c decodes from memory to memory, so a model of 300 MB would need 600. Nearly all of a
 * model is the raw_data of its initializers. While the bytes are read, such data of LARGE bytes or
 * more go straight to memory of their own. The rest, the skeleton, is small: the same message with
 * empty raw_data in these places. It is checked and decoded, and then the tensors get their data.
 *
 * The reader goes down one path of fields, ModelProto.graph, GraphProto.initializer and
 * TensorProto.raw_data, and copies all others as they are. Where bytes do not fit the wire format,
 * it copies the rest, and leaves the sentence to wire_check, which sees the same fault. The lengths
 * of the messages around large data become smaller, but have as many bytes as before: so a position
 * in the skeleton and the position in the file differ by the sizes of the data before it.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

enum { LARGE = 4096, BUFFER = 1 << 16, LEVELS = 2 };

/* A message on the path. */
typedef struct level {
    size_t end;               /* where it ends in the file */
    size_t length_at, length; /* of its length: where it is in the skeleton, and what it says */
    size_t width;             /* bytes of the length */
} level;

typedef struct reader {
    skeleton *to;
    const byte_source *from;
    size_t at; /* bytes of the file that were taken */
    uint8_t *buffer;
    size_t begin, end;         /* what is left in the buffer */
    level levels[LEVELS];      /* the graph and the initializer */
    size_t depth;              /* levels that are open */
    size_t initializers;       /* of the graph, so far */
    uint32_t path[LEVELS + 1]; /* numbers of the fields */
    failure *f;
} reader;

/* ---- bytes ---- */

/* to <- the next n bytes. False: they cannot be had. */
static bool get(reader *r, size_t n, uint8_t *to)
{
    size_t done = r->end - r->begin < n ? r->end - r->begin : n, got = 0;
    memcpy(to, r->buffer + r->begin, done);
    r->begin += done;
    r->at += n;
    if (done == n) return true;
    if (n - done >= BUFFER) { /* not by way of the buffer */
        if (!r->from->read(r->from->context, n - done, to + done, &got, r->f)) return false;
        done += got;
    } else {
        r->begin = 0;
        if (!r->from->read(r->from->context, BUFFER, r->buffer, &r->end, r->f)) return false;
        r->begin = n - done < r->end ? n - done : r->end;
        memcpy(to + done, r->buffer, r->begin);
        done += r->begin;
    }
    return done == n ||
           fail(r->f, "it became shorter than %zu bytes while it was read", r->from->size);
}

static bool make_room(reader *r, size_t more)
{
    skeleton *s = r->to;
    if (more <= s->capacity - s->size) return true;
    size_t capacity = s->capacity < BUFFER ? BUFFER : s->capacity;
    while (capacity - s->size < more) capacity *= 2; /* the file is below 2^31 bytes */
    uint8_t *bytes = try_realloc(s->bytes, capacity);
    if (!bytes) return fail(r->f, "no memory for %zu bytes", capacity);
    s->bytes = bytes;
    s->capacity = capacity;
    return true;
}

/* Adds the next n bytes to the skeleton, or as many as there are. */
static bool copy(reader *r, size_t n)
{
    const size_t left = r->from->size - r->at;
    if (n > left) n = left;
    if (!n) return true;
    if (!make_room(r, n) || !get(r, n, r->to->bytes + r->to->size)) return false;
    r->to->size += n;
    return true;
}

/* Adds a number of at most `most` bytes to the skeleton; *fits: it is one. */
static bool copy_number(reader *r, size_t most, uint64_t *value, bool *fits)
{
    *value = 0;
    *fits = false;
    for (size_t i = 0; i < most && r->at < r->from->size; i++) {
        if (!copy(r, 1)) return false;
        const uint8_t byte = r->to->bytes[r->to->size - 1];
        *value |= (uint64_t)(byte & 127) << 7 * i;
        *fits = byte < 128;
        if (*fits) break;
    }
    return true;
}

/* Replaces a number in the skeleton by a smaller one with as many bytes. */
static void put_number(uint8_t *to, size_t width, size_t value)
{
    for (size_t i = 0; i < width; i++, value >>= 7)
        to[i] = (uint8_t)((value & 127) | (i + 1 < width ? 128 : 0));
}

/* ---- fields ---- */

/* The data that follow go to memory of their own. The last number in the skeleton is their size. */
static bool take_data(reader *r, size_t size, size_t width)
{
    skeleton *s = r->to;
    if (s->count == s->room) {
        const size_t room = s->room ? 2 * s->room : 64;
        struct large *more = try_realloc(s->large, room * sizeof *more);
        if (!more) return fail(r->f, "no memory for the data of %zu tensors", room);
        s->large = more;
        s->room = room;
    }
    uint8_t *data = try_malloc(size);
    if (!data) return fail(r->f, "no memory for %zu bytes of a tensor", size);
    s->large[s->count++] = (struct large){r->initializers - 1, s->size, size, data};
    if (!get(r, size, data)) return false;
    put_number(s->bytes + s->size - width, width, 0);
    for (size_t i = 0; i < r->depth; i++) r->levels[i].length -= size;
    return true;
}

static void close_level(reader *r)
{
    const level *l = &r->levels[--r->depth];
    put_number(r->to->bytes + l->length_at, l->width, l->length);
}

/* A field with a length. *fits: the field is as the format demands. */
static bool read_lengthy(reader *r, uint32_t field, size_t end, bool *fits)
{
    uint64_t length;
    const size_t length_at = r->to->size;
    if (!copy_number(r, 5, &length, fits)) return false;
    *fits = *fits && r->at <= end && length <= end - r->at;
    if (!*fits) return true;
    const size_t size = (size_t)length, width = r->to->size - length_at;
    if (field != r->path[r->depth]) return copy(r, size);
    if (r->depth == LEVELS) return size < LARGE ? copy(r, size) : take_data(r, size, width);
    r->initializers = r->depth ? r->initializers + 1 : 0;
    r->levels[r->depth++] = (level){r->at + size, length_at, size, width};
    return true;
}

static bool read_field(reader *r, bool *fits)
{
    uint64_t tag, number;
    const size_t end = r->depth ? r->levels[r->depth - 1].end : r->from->size;
    if (!copy_number(r, 5, &tag, fits)) return false;
    *fits = *fits && tag <= UINT32_MAX;
    if (!*fits) return true;
    switch (tag & 7) {
    case PROTOBUF_C_WIRE_TYPE_VARINT:
        return copy_number(r, 10, &number, fits);
    case PROTOBUF_C_WIRE_TYPE_64BIT:
        return copy(r, 8);
    case PROTOBUF_C_WIRE_TYPE_32BIT:
        return copy(r, 4);
    case PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED:
        return read_lengthy(r, (uint32_t)(tag >> 3), end, fits);
    default:
        *fits = false;
        return true;
    }
}

static bool read_all(reader *r)
{
    bool fits = true;
    while (fits && r->at < r->from->size) {
        if (!read_field(r, &fits)) return false;
        while (r->depth && r->at >= r->levels[r->depth - 1].end) {
            fits = fits && r->at == r->levels[r->depth - 1].end;
            close_level(r);
        }
    }
    if (!copy(r, r->from->size - r->at)) return false;
    while (r->depth) close_level(r);
    return true;
}

static uint32_t number_of(const ProtobufCMessageDescriptor *type, const char *field)
{
    return protobuf_c_message_descriptor_get_field_by_name(type, field)->id;
}

bool skeleton_read(skeleton *s, const byte_source *from, failure *f)
{
    *s = (skeleton){0};
    reader r = {.to = s,
                .from = from,
                .path = {number_of(&onnx__model_proto__descriptor, "graph"),
                         number_of(&onnx__graph_proto__descriptor, "initializer"),
                         number_of(&onnx__tensor_proto__descriptor, "raw_data")},
                .f = f};
    r.buffer = try_malloc(BUFFER);
    const bool good = r.buffer ? read_all(&r) : fail(f, "no memory for %d bytes", (int)BUFFER);
    free(r.buffer);
    return good;
}

size_t skeleton_position(const skeleton *s, size_t at)
{
    size_t position = at;
    for (size_t i = 0; i < s->count && s->large[i].at <= at; i++) position += s->large[i].size;
    return position;
}

void skeleton_attach(skeleton *s, Onnx__ModelProto *proto)
{
    for (size_t i = 0; i < s->count; i++) {
        struct large *l = &s->large[i];
        proto->graph->initializer[l->initializer]->raw_data =
            (ProtobufCBinaryData){l->size, l->data};
        l->data = NULL;
    }
}

void skeleton_free(skeleton *s)
{
    for (size_t i = 0; i < s->count; i++) free(s->large[i].data);
    free(s->large);
    free(s->bytes);
    *s = (skeleton){0};
}
