/* Bytes of protobuf, written by hand, also such as no writer would write. */
#ifndef TEST_ONNX_WIRE_H
#define TEST_ONNX_WIRE_H

#include <stddef.h>
#include <stdint.h>

typedef struct bytes {
    uint8_t *data;
    size_t size, capacity;
} bytes;

void put_bytes(bytes *to, const void *data, size_t size);
void put_number(bytes *to, uint64_t value);
void put_tag(bytes *to, uint32_t field, unsigned wire);
void put_integer(bytes *to, uint32_t field, uint64_t value);
void put_block(bytes *to, uint32_t field, const void *data, size_t size);
void put_text(bytes *to, uint32_t field, const char *text);
/* Appends a message as a field, and frees it. */
void put_message(bytes *to, uint32_t field, bytes *message);
void bytes_free(bytes *b);

#endif
