/*
 * Tests of the reader that leaves the data of large tensors aside: random messages, also broken
 * ones, must be refused with the sentence that the check of the whole bytes has, and otherwise
 * decode to what protobuf-c makes of the whole bytes.
 */
#include "internal.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "wire.h"

enum { MODELS = 60, BREAKS = 40, MOST_DATA = 20000 };

static uint64_t state;

static size_t below(size_t bound)
{
    state += 0x9e3779b97f4a7c15u;
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return (size_t)((z ^ z >> 31) % bound);
}

/* ---- random models ---- */

/* A message as a field, whose length has `more` bytes than it needs. */
static void put_wide(bytes *to, uint32_t field, bytes *message, size_t more)
{
    size_t left = message->size;
    put_tag(to, field, 2);
    do {
        const uint8_t byte = (uint8_t)((left & 127) | (left > 127 || more ? 128 : 0));
        if (left < 128 && more) more--;
        put_bytes(to, &byte, 1);
        if (left < 128 && !(byte & 128)) break;
        left >>= 7;
    } while (true);
    put_bytes(to, message->data, message->size);
    bytes_free(message);
}

static void put_data(bytes *to)
{
    static uint8_t data[MOST_DATA];
    const size_t size = below(3) ? below(MOST_DATA) : 4090 + below(12); /* around LARGE */
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)below(256);
    bytes raw = {0};
    put_bytes(&raw, data, size);
    put_wide(to, 9, &raw, below(2));
}

/* A tensor with its fields in any order. */
static bytes random_tensor(void)
{
    bytes t = {0};
    const bool first = below(2);
    if (first) put_data(&t);
    put_integer(&t, 1, below(100));
    put_integer(&t, 2, 1);
    if (!below(3)) put_text(&t, 8, "name");
    if (!first && below(4)) put_data(&t);
    if (!below(3)) put_text(&t, 12, "behind the data");
    if (!below(20)) put_data(&t); /* perhaps a second time */
    return t;
}

static bytes random_model(void)
{
    bytes graph = {0}, whole = {0};
    const size_t parts = below(8);
    put_integer(&whole, 1, 8);
    for (size_t i = 0; i < parts; i++) {
        bytes part = {0};
        switch (below(5)) {
        case 0:
            put_text(&graph, 2, "graph");
            break;
        case 1:
            put_text(&part, 4, "Relu");
            put_wide(&graph, 1, &part, below(3));
            break;
        default:
            part = random_tensor();
            put_wide(&graph, 5, &part, below(2));
        }
    }
    put_wide(&whole, 7, &graph, below(2));
    if (below(2)) put_text(&whole, 2, "producer");
    return whole;
}

/* ---- a source that hands out a few bytes at a time ---- */

typedef struct memory {
    const uint8_t *data;
    size_t size, at;
} memory;

static bool read_memory(void *context, size_t count, void *to, size_t *got, failure *f)
{
    memory *m = context;
    (void)f;
    *got = m->size - m->at < count ? m->size - m->at : count;
    if (*got) memcpy(to, m->data + m->at, *got);
    m->at += *got;
    return true;
}

static bool read_skeleton(const bytes *b, size_t size, skeleton *s, failure *f)
{
    memory m = {b->data, b->size, 0};
    return skeleton_read(s, &(byte_source){size, &m, read_memory}, f);
}

static bool read_is_refused(void *context, size_t count, void *to, size_t *got, failure *f)
{
    (void)count;
    (void)to;
    (void)got;
    snprintf(f->text, sizeof f->text, "%s", (const char *)context);
    return false;
}

/* ---- the laws ---- */

/* The message as protobuf-c writes it. */
static size_t packed(const Onnx__ModelProto *proto, uint8_t **to)
{
    const size_t size = onnx__model_proto__get_packed_size(proto);
    *to = malloc(size + 1);
    ck_assert_ptr_nonnull(*to);
    ck_assert_uint_eq(onnx__model_proto__pack(proto, *to), size);
    return size;
}

static void same_as_whole(const bytes *b, const char *what)
{
    const ProtobufCMessageDescriptor *type = &onnx__model_proto__descriptor;
    const skeleton whole = {.bytes = b->data, .size = b->size};
    failure f = {""}, other = {""};
    skeleton s;
    const bool good = wire_check(type, &whole, &f);
    const bool read = read_skeleton(b, b->size, &s, &other) && wire_check(type, &s, &other);
    ck_assert_msg(good == read, "%s: \"%s\", with large data aside \"%s\"", what, f.text,
                  other.text);
    ck_assert_msg(!strcmp(f.text, other.text), "%s: \"%s\", with large data aside \"%s\"", what,
                  f.text, other.text);
    if (good) {
        size_t large = 0;
        for (size_t i = 0; i < s.count; i++) large += s.large[i].size;
        ck_assert_uint_eq(s.size + large, b->size);
        Onnx__ModelProto *a = onnx__model_proto__unpack(NULL, b->size, b->data);
        Onnx__ModelProto *c = onnx__model_proto__unpack(model_allocator(), s.size, s.bytes);
        ck_assert(a && c);
        skeleton_attach(&s, c);
        uint8_t *first, *second;
        const size_t size = packed(a, &first);
        ck_assert_uint_eq(packed(c, &second), size);
        ck_assert_msg(!memcmp(first, second, size), "%s", what);
        free(first);
        free(second);
        onnx__model_proto__free_unpacked(a, NULL);
        onnx__model_proto__free_unpacked(c, model_allocator());
    }
    skeleton_free(&s);
}

START_TEST(any_message)
{
    size_t large = 0;
    for (size_t n = 0; n < MODELS; n++) {
        char what[80];
        state = n;
        bytes b = random_model();
        skeleton s;
        failure f;
        snprintf(what, sizeof what, "model %zu", n);
        same_as_whole(&b, what);
        ck_assert(read_skeleton(&b, b.size, &s, &f));
        large += s.count;
        skeleton_free(&s);
        for (size_t k = 0; k < BREAKS; k++) {
            bytes broken = {0};
            const size_t size = below(3) ? b.size : below(b.size + 1);
            put_bytes(&broken, b.data, size);
            for (size_t i = below(3); size && i > 0; i--) {
                /* often near the beginning, where tags and lengths are */
                const size_t at = below(2) ? below(size) : below(size < 60 ? size : 60);
                broken.data[at] = below(2) ? (uint8_t)below(256) : broken.data[at] ^ 1;
            }
            snprintf(what, sizeof what, "model %zu, broken in way %zu", n, k);
            same_as_whole(&broken, what);
            bytes_free(&broken);
        }
        bytes_free(&b);
    }
    ck_assert_uint_gt(large, MODELS); /* so the test is about something */
}
END_TEST

START_TEST(sources)
{
    char sentence[] = "the disk is on fire";
    failure f = {""};
    skeleton s;
    state = 1;
    bytes b = {0}, graph = {0}, tensor = {0};
    put_data(&tensor);
    while (tensor.size < 2 * 4096) put_data(&tensor);
    put_message(&graph, 5, &tensor);
    put_message(&b, 7, &graph);
    ck_assert(!skeleton_read(&s, &(byte_source){100, sentence, read_is_refused}, &f));
    ck_assert_str_eq(f.text, sentence);
    skeleton_free(&s);
    for (size_t more = 1; more < 100000; more *= 10) { /* the file has become shorter */
        ck_assert(!read_skeleton(&b, b.size + more, &s, &f));
        ck_assert_msg(strstr(f.text, "it became shorter than"), "%s", f.text);
        skeleton_free(&s);
    }
    ck_assert(read_skeleton(&b, b.size, &s, &f));
    ck_assert_uint_gt(s.count, 0);
    ck_assert_uint_lt(s.size, 100 + 4096);
    skeleton_free(&s);
    bytes_free(&b);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("skeleton");
    TCase *tests = tcase_create("skeleton");
    tcase_set_timeout(tests, 600);
    tcase_add_test(tests, any_message);
    tcase_add_test(tests, sources);
    suite_add_tcase(suite, tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
