/*
 * What the files that read, change and write a model share: change.c, inline.c, model.c,
 * skeleton.c, store.c, tensor.c, wire.c.
 */
#ifndef ONNX_INTERNAL_H
#define ONNX_INTERNAL_H

#include <sys/types.h>

#include "files.h"
#include "model.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "elements in ONNX files are little endian, and so must this machine be"
#endif

/* The limit of protobuf for a message. */
#define MOST_BYTES ((size_t)INT32_MAX)

enum { MOST_DEPTH = 64 };

/* A file that was read. The first is the model itself, whose bytes are not in memory. */
struct source {
    char *location; /* the name in the model; NULL: the model itself */
    char *bytes;    /* NULL: not in memory */
    bool shared;    /* the bytes belong to an earlier source, which is the same file */
    size_t size;
    dev_t device;
    ino_t inode;
};

/* ---- skeleton.c ---- */

/* Where bytes come from. read: to <- the next `count` bytes, or as many as there are, *got; false,
 * with a sentence: they cannot be read. */
typedef struct byte_source {
    size_t size;
    void *context;
    bool (*read)(void *context, size_t count, void *to, size_t *got, failure *f);
} byte_source;

/* A model without the data of large tensors, which lay behind the first `at` bytes of it. */
typedef struct skeleton {
    uint8_t *bytes;
    size_t size, capacity;
    struct large {
        size_t initializer, at, size;
        uint8_t *data; /* NULL: the tensor has it */
    } * large;         /* in the order of the file */
    size_t count, room;
} skeleton;

/* Reads a model. skeleton_free: the last call in any case. */
bool skeleton_read(skeleton *s, const byte_source *from, failure *f);
/* Where a byte of the skeleton is in what was read. */
size_t skeleton_position(const skeleton *s, size_t at);
/* The tensors of the model that was decoded from the skeleton get their data. */
void skeleton_attach(skeleton *s, Onnx__ModelProto *proto);
void skeleton_free(skeleton *s);

/* ---- wire.c ---- */

/* Whether the bytes are a message that protobuf-c can decode, given enough memory. */
bool wire_check(const ProtobufCMessageDescriptor *type, const skeleton *s, failure *f);
/* Adds a message to an output, without copying nested messages. */
void wire_write(const ProtobufCMessage *message, file_output *out);

/* Calls `see` for every message of this type, outer messages first, until it returns false. */
typedef bool wire_visitor(void *context, ProtobufCMessage *message);
bool wire_each(ProtobufCMessage *message, const ProtobufCMessageDescriptor *type, wire_visitor *see,
               void *context);

/* ---- inline.c ---- */

/* Puts the nodes of the model's functions in the place of their calls. Refuses a function that
 * calls itself, and what would have more than 2^20 new nodes or nest deeper than MOST_DEPTH. */
bool model_inline(model *m, failure *f);

/* ---- tensor.c ---- */

bool tensor_is_external(const tensor_proto *t);
/* tensor_check: the dims must be sizes, and the data as long as these say. tensor_place: where the
 * data lie in another file, and how many bytes they have. */
bool tensor_check(const tensor_proto *t, failure *f);
/* The dims alone. */
bool tensor_check_dims(const tensor_proto *t, failure *f);
bool tensor_place(const tensor_proto *t, const char **location, size_t *offset, size_t *size,
                  failure *f);
/* The tensor's bytes as a file has them, in raw_data or in a file that was read. NULL: they are in
 * typed fields. */
const void *tensor_raw(const model *m, const tensor_proto *t);

/* The bytes of all elements. The type must be known, and not STRING. */
size_t tensor_bytes(const tensor_proto *t);
/* raw_data <- a copy of these bytes. */
bool tensor_set_raw(tensor_proto *t, const void *bytes, size_t size, failure *f);

/* ---- model.c ---- */

/* The file with this name in the model; NULL: no such file was read. */
const struct source *model_source(const model *m, const char *location);

#endif
