#include "wire.h"

#include <check.h>
#include <stdlib.h>
#include <string.h>

void put_bytes(bytes *to, const void *data, size_t size)
{
    while (to->capacity - to->size < size) {
        to->capacity = to->capacity ? 2 * to->capacity : 64;
        to->data = realloc(to->data, to->capacity);
        ck_assert_ptr_nonnull(to->data);
    }
    if (size) memcpy(to->data + to->size, data, size);
    to->size += size;
}

void put_number(bytes *to, uint64_t value)
{
    uint8_t byte;
    do {
        byte = (uint8_t)((value & 127) | (value > 127 ? 128 : 0));
        put_bytes(to, &byte, 1);
        value >>= 7;
    } while (byte > 127);
}

void put_tag(bytes *to, uint32_t field, unsigned wire)
{
    put_number(to, (uint64_t)field << 3 | wire);
}

void put_integer(bytes *to, uint32_t field, uint64_t value)
{
    put_tag(to, field, 0);
    put_number(to, value);
}

void put_block(bytes *to, uint32_t field, const void *data, size_t size)
{
    put_tag(to, field, 2);
    put_number(to, size);
    put_bytes(to, data, size);
}

void put_text(bytes *to, uint32_t field, const char *text)
{
    put_block(to, field, text, strlen(text));
}

void put_message(bytes *to, uint32_t field, bytes *message)
{
    put_block(to, field, message->data, message->size);
    bytes_free(message);
}

void bytes_free(bytes *b)
{
    free(b->data);
    *b = (bytes){0};
}
