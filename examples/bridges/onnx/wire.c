/*
 * protobuf's wire format, checked and written by the descriptors of protobuf-c. The check is
 * needed because protobuf-c itself recurses as deep as the file asks. The writer is needed because
 * protobuf-c would copy all tensors.
 */
#include <string.h>

#include "internal.h"

/* ---- checking ---- */

typedef struct cursor {
    const skeleton *s;
    const uint8_t *at, *end;
    failure *f;
} cursor;

/* In the file, for sentences. */
static size_t position(const cursor *c)
{
    return skeleton_position(c->s, (size_t)(c->at - c->s->bytes));
}

static size_t rest(const cursor *c)
{
    return (size_t)(c->end - c->at);
}

/* Reads a number of at most `most` bytes. */
static bool read_varint(cursor *c, size_t most, uint64_t *value)
{
    *value = 0;
    for (size_t i = 0; i < most && i < rest(c); i++) {
        *value |= (uint64_t)(c->at[i] & 127) << 7 * i;
        if (c->at[i] < 128) {
            c->at += i + 1;
            return true;
        }
    }
    return fail(c->f, "at byte %zu, a number does not end within %zu bytes", position(c),
                most < rest(c) ? most : rest(c));
}

static bool skip(cursor *c, uint64_t size)
{
    if (size > rest(c))
        return fail(c->f, "at byte %zu, %llu bytes are announced where %zu are left", position(c),
                    (unsigned long long)size, rest(c));
    c->at += size;
    return true;
}

/* The wire type of one value of this type. */
static unsigned wire_type(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_SFIXED32:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_FLOAT:
        return PROTOBUF_C_WIRE_TYPE_32BIT;
    case PROTOBUF_C_TYPE_SFIXED64:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_DOUBLE:
        return PROTOBUF_C_WIRE_TYPE_64BIT;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED;
    default:
        return PROTOBUF_C_WIRE_TYPE_VARINT;
    }
}

/* Checks a packed field: many numbers in one field. */
static bool check_packed(cursor in, unsigned wire)
{
    uint64_t value;
    const size_t size = wire == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;
    if (wire != PROTOBUF_C_WIRE_TYPE_VARINT)
        return rest(&in) % size == 0 ||
               fail(in.f, "at byte %zu, %zu bytes are no whole number of elements of %zu",
                    position(&in), rest(&in), size);
    while (in.at < in.end)
        if (!read_varint(&in, 10, &value)) return false;
    return true;
}

static bool check_message(const ProtobufCMessageDescriptor *type, cursor *c, unsigned depth);

static bool check_field(const ProtobufCFieldDescriptor *field, cursor in, unsigned wire,
                        unsigned depth)
{
    const unsigned own = wire_type(field->type);
    if (wire != own &&
        (wire != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || field->label != PROTOBUF_C_LABEL_REPEATED))
        return fail(in.f, "at byte %zu, field \"%s\" has wire type %u instead of %u", position(&in),
                    field->name, wire, own);
    if (field->type == PROTOBUF_C_TYPE_MESSAGE)
        return check_message(field->descriptor, &in, depth + 1);
    if (field->type == PROTOBUF_C_TYPE_STRING && memchr(in.at, 0, rest(&in)))
        return fail(in.f, "at byte %zu, the text in field \"%s\" has a zero byte within",
                    position(&in), field->name);
    return wire == own || check_packed(in, own);
}

/* A field that is not a list may occur once, and one member of a oneof. protobuf-c would merge
 * repeated fields. */
static bool check_once(const ProtobufCMessageDescriptor *type,
                       const ProtobufCFieldDescriptor *field, uint64_t *seen, const cursor *c)
{
    if (field->label == PROTOBUF_C_LABEL_REPEATED) return true;
    const ProtobufCFieldDescriptor *first = field;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        for (first = type->fields; first->quantifier_offset != field->quantifier_offset;) first++;
    const uint64_t bit = (uint64_t)1 << (first - type->fields);
    if (*seen & bit)
        return fail(c->f, "at byte %zu, field \"%s\" of a %s comes twice", position(c), field->name,
                    type->short_name);
    *seen |= bit;
    return true;
}

/* value <- the bytes of a field's value; c is then behind them. A length before the value is not
 * part of it. */
static bool read_value(cursor *c, unsigned wire, cursor *value)
{
    uint64_t number, size = wire == PROTOBUF_C_WIRE_TYPE_32BIT ? 4 : 8;
    if (wire == PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED && !read_varint(c, 5, &size)) return false;
    *value = *c;
    if (wire == PROTOBUF_C_WIRE_TYPE_VARINT ? !read_varint(c, 10, &number) : !skip(c, size))
        return false;
    value->end = c->at;
    return true;
}

static bool check_message(const ProtobufCMessageDescriptor *type, cursor *c, unsigned depth)
{
    uint64_t tag, seen = 0;
    cursor value;
    if (depth > MOST_DEPTH)
        return fail(c->f, "at byte %zu, messages nest deeper than %d", position(c), MOST_DEPTH);
    while (c->at < c->end) {
        const cursor start = *c;
        if (!read_varint(c, 5, &tag)) return false;
        const unsigned wire = tag & 7;
        if (tag < 8 || tag > UINT32_MAX)
            return fail(c->f, "at byte %zu, there is no field %llu", position(&start),
                        (unsigned long long)(tag >> 3));
        if (wire != PROTOBUF_C_WIRE_TYPE_VARINT && wire != PROTOBUF_C_WIRE_TYPE_64BIT &&
            wire != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED && wire != PROTOBUF_C_WIRE_TYPE_32BIT)
            return fail(c->f, "at byte %zu, wire type %u is none of 0, 1, 2 and 5",
                        position(&start), wire);
        if (!read_value(c, wire, &value)) return false;
        const ProtobufCFieldDescriptor *field =
            protobuf_c_message_descriptor_get_field(type, (unsigned)(tag >> 3));
        if (field &&
            (!check_once(type, field, &seen, &start) || !check_field(field, value, wire, depth)))
            return false;
    }
    return true;
}

bool wire_check(const ProtobufCMessageDescriptor *type, const skeleton *s, failure *f)
{
    return !s->size || check_message(type, &(cursor){s, s->bytes, s->bytes + s->size, f}, 0);
}

/* ---- nested messages ---- */

/* The messages in a field. */
static ProtobufCMessage **members(ProtobufCMessage *message, const ProtobufCFieldDescriptor *field,
                                  size_t *count)
{
    char *base = (char *)message, *member = base + field->offset;
    *count = 0;
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) return NULL;
    if (field->label == PROTOBUF_C_LABEL_REPEATED) {
        memcpy(count, base + field->quantifier_offset, sizeof *count);
        return *(ProtobufCMessage ***)member;
    }
    uint32_t chosen = field->id;
    if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF)
        memcpy(&chosen, base + field->quantifier_offset, sizeof chosen);
    *count = chosen == field->id && *(ProtobufCMessage **)member;
    return (ProtobufCMessage **)member;
}

bool wire_each(ProtobufCMessage *message, const ProtobufCMessageDescriptor *type, wire_visitor *see,
               void *context)
{
    const ProtobufCMessageDescriptor *own = message->descriptor;
    if (own == type && !see(context, message)) return false;
    for (unsigned i = 0; i < own->n_fields; i++) {
        size_t count;
        ProtobufCMessage **list = members(message, &own->fields[i], &count);
        for (size_t k = 0; k < count; k++)
            if (!wire_each(list[k], type, see, context)) return false;
    }
    return true;
}

/* ---- writing ---- */

typedef struct file_buffer {
    ProtobufCBuffer base;
    file_output *out;
} file_buffer;

static void append(ProtobufCBuffer *buffer, size_t size, const uint8_t *bytes)
{
    file_put(((file_buffer *)buffer)->out, bytes, size);
}

/* protobuf-c passes each field to the buffer's function as it is packed. Nested messages are
 * measured first and not copied. */
void wire_write(const ProtobufCMessage *message, file_output *out)
{
    file_buffer to = {{append}, out};
    protobuf_c_message_pack_to_buffer(message, &to.base);
}
