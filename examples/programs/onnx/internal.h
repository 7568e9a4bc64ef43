/* What the sources of the model in memory share. */
#ifndef ONNX_INTERNAL_H
#define ONNX_INTERNAL_H

#include <stdio.h>
#include <sys/types.h>

#include "model.h"

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "elements in ONNX files are little endian, and so must this machine be"
#endif

/* protobuf's limit for a message. */
#define MOST_BYTES ((size_t)INT32_MAX)

enum { MOST_DEPTH = 64 };

/* A file that was read. The first is the model itself, no longer in memory. */
struct mapping {
    char *location; /* as the model calls it; NULL: the model */
    void *bytes;    /* NULL: none */
    size_t size;
    dev_t device;
    ino_t inode;
};

/* ---- wire.c ---- */

/* The bytes are a message that protobuf-c will take, if there is memory. */
bool wire_check(const ProtobufCMessageDescriptor *type, const void *bytes, size_t size, failure *f);
/* No nested message is copied. The caller sees what ferror says. */
void wire_write(const ProtobufCMessage *message, FILE *stream);

/* Calls see for every message of that type, the outer first, until it returns false. */
typedef bool wire_visitor(void *context, ProtobufCMessage *message);
bool wire_each(ProtobufCMessage *message, const ProtobufCMessageDescriptor *type, wire_visitor *see,
               void *context);

/* ---- tensor.c ---- */

bool tensor_is_external(const tensor_proto *t);
/* Its dims are sizes, and its data are as long as they say; or lie in another file: how many bytes,
 * and from where on. */
bool tensor_check(const tensor_proto *t, failure *f);
bool tensor_place(const tensor_proto *t, const char **location, size_t *offset, size_t *size,
                  failure *f);
/* Where its bytes lie as they do in a file: in raw_data or a mapped file. NULL: in typed fields. */
const void *tensor_raw(const model *m, const tensor_proto *t);

/* Of all its elements; its type is known, and not STRING. */
size_t tensor_bytes(const tensor_proto *t);
/* raw_data <- a copy of these bytes. */
bool tensor_set_raw(tensor_proto *t, const void *bytes, size_t size, failure *f);

/* ---- model.c ---- */

/* NULL: that file was not read. */
const struct mapping *model_mapping(const model *m, const char *location);

#endif
