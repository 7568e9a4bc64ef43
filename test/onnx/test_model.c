/* Tests of ONNX files in memory: reading and writing, elements, data in other files, and garbage,
 * which must be refused with a sentence. */
#define _POSIX_C_SOURCE 200809L
#include "model.h"
#include "wire.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    MODEL_IR = 1,
    MODEL_GRAPH = 7,
    MODEL_OPSET = 8,
    GRAPH_NODE = 1,
    GRAPH_INITIALIZER = 5,
    GRAPH_SPARSE = 15,
    NODE_ATTRIBUTE = 5,
    ATTRIBUTE_TENSOR = 5,
    ATTRIBUTE_GRAPH = 6,
    TENSOR_DIMS = 1,
    TENSOR_TYPE = 2,
    TENSOR_SEGMENT = 3,
    TENSOR_FLOATS = 4,
    TENSOR_WORDS = 5,
    TENSOR_STRINGS = 6,
    TENSOR_LONGS = 7,
    TENSOR_NAME = 8,
    TENSOR_RAW = 9,
    TENSOR_DOUBLES = 10,
    TENSOR_UNSIGNED = 11,
    TENSOR_ENTRIES = 13,
    TENSOR_LOCATION = 14,
    UNKNOWN = 4711, /* no message has such a field */
};

enum { FLOAT = 1, UINT8, INT8, UINT16, INT16, INT32, INT64, STRING, BOOL, FLOAT16 };
enum { DOUBLE = 11, UINT32, UINT64, COMPLEX64, COMPLEX128, BFLOAT16, UINT4 = 21 };

static char folder[64], path[128], other[128];

static void setup(void)
{
    snprintf(folder, sizeof folder, "/tmp/test_onnx_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    snprintf(other, sizeof other, "%s/other.onnx", folder);
}

/* Removes what is in the folder; how many that were. */
static size_t sweep(void)
{
    size_t count = 0;
    char name[400];
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) {
        if (entry->d_name[0] == '.') continue;
        snprintf(name, sizeof name, "%s/%s", folder, entry->d_name);
        ck_assert_int_eq(remove(name), 0);
        count++;
    }
    closedir(dir);
    return count;
}

static size_t count_files(void)
{
    size_t count = 0;
    DIR *dir = opendir(folder);
    ck_assert_ptr_nonnull(dir);
    for (struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static char *join_path(const char *in, const char *name)
{
    const size_t size = strlen(in) + strlen(name) + 2;
    char *both = malloc(size);
    ck_assert_ptr_nonnull(both);
    snprintf(both, size, "%s/%s", in, name);
    return both;
}

static void teardown(void)
{
    sweep();
    rmdir(folder);
}

static void save(const char *name, const void *data, size_t size)
{
    FILE *stream = fopen(name, "wb");
    ck_assert_ptr_nonnull(stream);
    ck_assert_uint_eq(fwrite(data, 1, size, stream), size);
    ck_assert_int_eq(fclose(stream), 0);
}

static bytes load(const char *name)
{
    bytes all = {0};
    uint8_t buffer[4096];
    FILE *stream = fopen(name, "rb");
    ck_assert_msg(stream != NULL, "%s", name);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, stream));) put_bytes(&all, buffer, n);
    fclose(stream);
    return all;
}

/* ---- models ---- */

static bytes tensor_of(const char *name, int type, size_t ndim, const int64_t *dims)
{
    bytes t = {0};
    for (size_t i = 0; i < ndim; i++) put_integer(&t, TENSOR_DIMS, (uint64_t)dims[i]);
    put_integer(&t, TENSOR_TYPE, (uint64_t)type);
    put_text(&t, TENSOR_NAME, name);
    return t;
}

static void put_entry(bytes *tensor, const char *key, const char *value)
{
    bytes entry = {0};
    put_text(&entry, 1, key);
    put_text(&entry, 2, value);
    put_message(tensor, TENSOR_ENTRIES, &entry);
}

static void put_initializer(bytes *graph, bytes *tensor)
{
    put_message(graph, GRAPH_INITIALIZER, tensor);
}

static bytes model_of(bytes *graph)
{
    bytes m = {0}, set = {0};
    put_integer(&m, MODEL_IR, 8);
    put_message(&m, MODEL_GRAPH, graph);
    put_integer(&set, 2, 13);
    put_message(&m, MODEL_OPSET, &set);
    return m;
}

static bytes model_of_tensor(bytes *tensor)
{
    bytes graph = {0};
    put_initializer(&graph, tensor);
    return model_of(&graph);
}

/* The bytes are freed; the parser sees an exact copy, for sanitizers. */
static bool parse(model *m, bytes *b, failure *f)
{
    uint8_t *copy = malloc(b->size ? b->size : 1);
    ck_assert_ptr_nonnull(copy);
    if (b->size) memcpy(copy, b->data, b->size);
    f->text[0] = 0;
    const bool good = model_parse(m, copy, b->size, false, f);
    free(copy);
    bytes_free(b);
    return good;
}

static void parse_good(model *m, bytes *b)
{
    failure f;
    ck_assert_msg(parse(m, b, &f), "%s", f.text);
}

static void refused(bytes *b, const char *word)
{
    model m;
    failure f;
    ck_assert_msg(!parse(&m, b, &f), "accepted: %s", word);
    ck_assert_msg(strstr(f.text, word) != NULL, "%s: %s", word, f.text);
    ck_assert(!m.proto && !m.graph && !m.sources && !m.folder);
}

static void write_good(const model *m, const char *name)
{
    failure f;
    ck_assert_msg(model_write(m, name, &f), "%s", f.text);
}

static void write_refused(const model *m, const char *name, const char *word)
{
    failure f = {""};
    ck_assert_msg(!model_write(m, name, &f), "written: %s", word);
    ck_assert_msg(strstr(f.text, word) != NULL, "%s: %s", word, f.text);
}

static void read_good(model *m, const char *name)
{
    failure f;
    ck_assert_msg(model_read(m, name, &f), "%s", f.text);
}

static void read_refused(const char *name, const char *word)
{
    model m;
    failure f = {""};
    ck_assert_msg(!model_read(&m, name, &f), "accepted: %s", word);
    ck_assert_msg(strstr(f.text, word) != NULL, "%s: %s", word, f.text);
    ck_assert_msg(strstr(f.text, name) != NULL, "%s: %s", name, f.text);
    ck_assert(!m.proto && !m.graph && !m.sources && !m.folder);
}

static void *data_of(model *m, tensor_proto *t, mskp_dtype expected)
{
    failure f;
    void *data = NULL;
    mskp_dtype dtype;
    ck_assert_msg(tensor_data(m, t, &data, &dtype, &f), "%s", f.text);
    ck_assert_int_eq(dtype, expected);
    return data;
}

/* ---- a model with every field ---- */

typedef struct filler {
    unsigned names, turn; /* turn: which of a oneof's fields is next */
    unsigned depth;
} filler;

static void put_everything(bytes *to, const ProtobufCMessageDescriptor *type, filler *f);

static void put_unknown(bytes *to)
{
    put_integer(to, UNKNOWN, 300);
    put_tag(to, UNKNOWN, 1);
    put_bytes(to, "12345678", 8);
    put_text(to, UNKNOWN, "of a later version");
    put_tag(to, UNKNOWN, 5);
    put_bytes(to, "1234", 4);
}

static void put_full_tensor(bytes *to, filler *f)
{
    char name[32];
    const float values[] = {1, -2};
    snprintf(name, sizeof name, "tensor %u", f->names++);
    put_integer(to, TENSOR_DIMS, 2);
    put_integer(to, TENSOR_DIMS, 1);
    put_integer(to, TENSOR_TYPE, FLOAT);
    put_text(to, TENSOR_NAME, name);
    put_block(to, TENSOR_RAW, values, sizeof values);
    put_text(to, 12, "doc");
    put_entry(to, "key", "value");
    put_integer(to, TENSOR_LOCATION, 0);
    put_unknown(to);
}

static size_t number_size(ProtobufCType type)
{
    return type == PROTOBUF_C_TYPE_FLOAT ? 4 : type == PROTOBUF_C_TYPE_DOUBLE ? 8 : 0;
}

static void put_scalar(bytes *to, const ProtobufCFieldDescriptor *field, filler *f)
{
    const char *const eight = "\1\2\3\4\5\6\7\10";
    const size_t size = number_size(field->type);
    char text[32];
    if (field->type == PROTOBUF_C_TYPE_STRING || field->type == PROTOBUF_C_TYPE_BYTES) {
        snprintf(text, sizeof text, "text %u", f->names++);
        put_text(to, field->id, text);
    } else if (size) {
        put_tag(to, field->id, size == 4 ? 5 : 1);
        put_bytes(to, eight, size);
    } else {
        const bool wide = field->type == PROTOBUF_C_TYPE_INT64;
        put_integer(to, field->id, wide ? (uint64_t)-5 : 1);
    }
}

static void put_field(bytes *to, const ProtobufCFieldDescriptor *field, filler *f)
{
    bytes inner = {0};
    if (field->type != PROTOBUF_C_TYPE_MESSAGE) {
        put_scalar(to, field, f);
        return;
    }
    const bool sparse = field->descriptor == &onnx__sparse_tensor_proto__descriptor;
    if (f->depth < (sparse ? 2u : 1u)) return; /* a sparse tensor has its name within */
    f->depth--;
    if (field->descriptor == &onnx__tensor_proto__descriptor)
        put_full_tensor(&inner, f);
    else
        put_everything(&inner, field->descriptor, f);
    f->depth++;
    put_message(to, field->id, &inner);
}

/* In the order in which protobuf-c writes. Lists have two elements each; of the fields of a oneof,
 * another one comes each time. */
static void put_everything(bytes *to, const ProtobufCMessageDescriptor *type, filler *f)
{
    const unsigned turn = f->turn++;
    unsigned ones = 0, one = 0;
    for (unsigned i = 0; i < type->n_fields; i++)
        ones += (type->fields[i].flags & PROTOBUF_C_FIELD_FLAG_ONEOF) != 0;
    for (unsigned i = 0; i < type->n_fields; i++) {
        const ProtobufCFieldDescriptor *field = &type->fields[i];
        if (field->flags & PROTOBUF_C_FIELD_FLAG_ONEOF && one++ != turn % ones) continue;
        put_field(to, field, f);
        if (field->label == PROTOBUF_C_LABEL_REPEATED) put_field(to, field, f);
    }
    put_unknown(to);
}

static bytes full_model(unsigned depth)
{
    bytes b = {0};
    put_everything(&b, &onnx__model_proto__descriptor, &(filler){.depth = depth});
    return b;
}

static bytes small_model(void)
{
    bytes graph = {0}, t, node = {0}, attribute = {0};
    const float values[] = {1, 2, 3, 4, 5, 6};
    t = tensor_of("floats", FLOAT, 2, (int64_t[]){2, 3});
    put_block(&t, TENSOR_FLOATS, values, sizeof values);
    put_initializer(&graph, &t);
    t = tensor_of("halfs", FLOAT16, 1, (int64_t[]){3});
    put_block(&t, TENSOR_WORDS, "\1\2\3", 3);
    put_initializer(&graph, &t);
    t = tensor_of("", INT64, 0, NULL);
    put_block(&t, TENSOR_RAW, "12345678", 8);
    put_text(&attribute, 1, "value");
    put_message(&attribute, ATTRIBUTE_TENSOR, &t);
    put_text(&node, 1, "in");
    put_text(&node, 2, "out");
    put_text(&node, 4, "Constant");
    put_message(&node, NODE_ATTRIBUTE, &attribute);
    put_message(&graph, GRAPH_NODE, &node);
    return model_of(&graph);
}

/* ---- there and back ---- */

START_TEST(every_field)
{
    model m;
    for (unsigned depth = 1; depth < 6; depth++) {
        bytes b = full_model(depth), copy = {0};
        put_bytes(&copy, b.data, b.size);
        parse_good(&m, &copy);
        ck_assert_uint_eq(m.bytes, b.size);
        ck_assert(!m.external);
        ck_assert_uint_eq(m.opset, 0);
        write_good(&m, path);
        bytes back = load(path);
        ck_assert_uint_eq(back.size, b.size);
        ck_assert(!memcmp(back.data, b.data, b.size));
        model_free(&m);
        read_good(&m, path);
        ck_assert_uint_eq(m.bytes, b.size);
        write_refused(&m, path, "it is the file that was read");
        write_good(&m, other);
        bytes again = load(other);
        ck_assert_uint_eq(again.size, b.size);
        ck_assert(!memcmp(again.data, b.data, b.size));
        model_free(&m);
        bytes_free(&b);
        bytes_free(&back);
        bytes_free(&again);
        ck_assert_uint_eq(sweep(), 2);
    }
}
END_TEST

START_TEST(opsets)
{
    static const struct {
        const char *domain;
        int64_t version;
    } sets[] = {{"com.example", 3}, {"", 17}, {"ai.onnx", 17}};
    bytes graph = {0}, b = {0}, set;
    model m;
    put_message(&b, MODEL_GRAPH, &graph);
    for (size_t i = 0; i < 3; i++) {
        set = (bytes){0};
        put_text(&set, 1, sets[i].domain);
        put_integer(&set, 2, (uint64_t)sets[i].version);
        put_message(&b, MODEL_OPSET, &set);
    }
    bytes more = {0}, none = {0};
    put_bytes(&more, b.data, b.size);
    put_bytes(&none, b.data, b.size);
    parse_good(&m, &b);
    ck_assert_uint_eq(m.opset, 17);
    model_free(&m);
    set = (bytes){0};
    put_integer(&set, 2, 18);
    put_message(&more, MODEL_OPSET, &set);
    refused(&more, "opset 17 and opset 18");
    set = (bytes){0};
    put_integer(&set, 2, (uint64_t)-1);
    put_message(&none, MODEL_OPSET, &set);
    refused(&none, "no opset -1");
}
END_TEST

/* ---- elements ---- */

typedef struct type_case {
    int type;
    unsigned field; /* the typed one */
    mskp_dtype dtype;
    const char *typed, *raw; /* two elements */
    size_t typed_size, raw_size;
    double first, second;
} type_case;

#define ELEMENTS(typed, raw) typed, raw, sizeof(typed) - 1, sizeof(raw) - 1

static const type_case types[] = {
    {FLOAT, TENSOR_FLOATS, MSKP_DTYPE_F32,
     ELEMENTS("\0\0\x80\x3f\0\0\0\xc0", "\0\0\x80\x3f\0\0\0\xc0"), 1, -2},
    {UINT8, TENSOR_WORDS, MSKP_DTYPE_BYTES_1, ELEMENTS("\7\xff\1", "\7\xff"), 7, 255},
    {INT8, TENSOR_WORDS, MSKP_DTYPE_BYTES_1,
     ELEMENTS("\7\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", "\7\xff"), 7, -1},
    {UINT16, TENSOR_WORDS, MSKP_DTYPE_BYTES_2, ELEMENTS("\7\xff\xff\3", "\7\0\xff\xff"), 7, 65535},
    {INT16, TENSOR_WORDS, MSKP_DTYPE_BYTES_2,
     ELEMENTS("\7\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", "\7\0\xff\xff"), 7, -1},
    {INT32, TENSOR_WORDS, MSKP_DTYPE_BYTES_4,
     ELEMENTS("\7\xff\xff\xff\xff\xff\xff\xff\xff\xff\1", "\7\0\0\0\xff\xff\xff\xff"), 7, -1},
    {INT64, TENSOR_LONGS, MSKP_DTYPE_BYTES_8,
     ELEMENTS("\7\xfe\xff\xff\xff\xff\xff\xff\xff\xff\1",
              "\7\0\0\0\0\0\0\0\xfe\xff\xff\xff\xff\xff\xff\xff"),
     7, -2},
    {BOOL, TENSOR_WORDS, MSKP_DTYPE_BYTES_1, ELEMENTS("\0\1", "\0\1"), 0, 1},
    {FLOAT16, TENSOR_WORDS, MSKP_DTYPE_F16, ELEMENTS("\x80\x78\x80\x80\3", "\0\x3c\0\xc0"), 1, -2},
    {DOUBLE, TENSOR_DOUBLES, MSKP_DTYPE_F64,
     ELEMENTS("\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\xc0", "\0\0\0\0\0\0\xf0\x3f\0\0\0\0\0\0\0\xc0"),
     1, -2},
    {UINT32, TENSOR_UNSIGNED, MSKP_DTYPE_BYTES_4,
     ELEMENTS("\7\xff\xff\xff\xff\17", "\7\0\0\0\xff\xff\xff\xff"), 7, 4294967295.0},
    {UINT64, TENSOR_UNSIGNED, MSKP_DTYPE_BYTES_8,
     ELEMENTS("\7\x80\x80\x80\x80\x10", "\7\0\0\0\0\0\0\0\0\0\0\0\1\0\0\0"), 7, 4294967296.0},
    {BFLOAT16, TENSOR_WORDS, MSKP_DTYPE_BF16, ELEMENTS("\x80\x7f\x80\x80\3", "\x80\x3f\0\xc0"), 1,
     -2},
};

static bool is_float(int type)
{
    return type == FLOAT || type == DOUBLE || type == FLOAT16 || type == BFLOAT16;
}

static void check_elements(model *m, const type_case *c)
{
    failure f;
    double numbers[2];
    int64_t integers[2];
    tensor_proto *t = m->graph->initializer[0];
    ck_assert_uint_eq(tensor_elements(t), 2);
    ck_assert_msg(tensor_numbers(m, t, 2, numbers, &f), "%s", f.text);
    ck_assert(numbers[0] == c->first && numbers[1] == c->second);
    ck_assert(tensor_integers(m, t, 2, integers, &f) == !is_float(c->type));
    if (!is_float(c->type)) {
        ck_assert_int_eq(integers[0], (int64_t)c->first);
        ck_assert_int_eq(integers[1], (int64_t)c->second);
    } else {
        ck_assert_msg(strstr(f.text, "no whole number") != NULL, "%s", f.text);
    }
    const uint8_t *data = data_of(m, t, c->dtype);
    ck_assert_msg(!memcmp(data, c->raw, c->raw_size), "type %d", c->type);
    ck_assert(!tensor_numbers(m, t, 3, numbers, &f));
    ck_assert_msg(strstr(f.text, "2 elements, 3 are wanted") != NULL, "%s", f.text);
}

START_TEST(typed_and_raw)
{
    const type_case *c = &types[_i];
    for (int raw = 0; raw < 2; raw++) {
        model m;
        bytes t = tensor_of("t", c->type, 1, (int64_t[]){2});
        put_block(&t, raw ? TENSOR_RAW : c->field, raw ? c->raw : c->typed,
                  raw ? c->raw_size : c->typed_size);
        bytes b = model_of_tensor(&t);
        parse_good(&m, &b);
        check_elements(&m, c);
        write_good(&m, path); /* typed elements may have become raw */
        model_free(&m);
        read_good(&m, path);
        check_elements(&m, c);
        failure f;
        void *data;
        mskp_dtype dtype;
        tensor_proto *first = m.graph->initializer[0];
        ck_assert(tensor_writable(&m, first, &data, &dtype, &f));
        memcpy(data, (const char *)data + c->raw_size / 2, c->raw_size / 2);
        tensor_shrink(&m, first, 1, (size_t[]){1});
        tensor_proto *copy = model_add_copy(&m, first, "copy", 1, (size_t[]){1});
        ck_assert_ptr_nonnull(copy);
        write_good(&m, other);
        model_free(&m);
        read_good(&m, other);
        ck_assert_uint_eq(m.graph->n_initializer, 2);
        for (size_t i = 0; i < 2; i++) {
            double number;
            ck_assert(tensor_numbers(&m, m.graph->initializer[i], 1, &number, &f));
            ck_assert(number == c->second);
        }
        ck_assert_str_eq(m.graph->initializer[1]->name, "copy");
        model_free(&m);
    }
}
END_TEST

START_TEST(halfs)
{
    static const struct {
        uint16_t half, brain;
        double value;
    } cases[] = {{0, 0, 0},
                 {0x8000, 0x8000, -0.0},
                 {0x3555, 0x3eab, 1.0 / 3},
                 {1, 0x3380, 0x1p-24},
                 {0x03ff, 0x3880, 0x3ffp-24},
                 {0x7bff, 0x4780, 65504},
                 {0x7c00, 0x7f80, INFINITY},
                 {0xfc00, 0xff80, -INFINITY},
                 {0x7e00, 0x7fc0, NAN}};
    enum { COUNT = sizeof cases / sizeof cases[0] };
    for (int brain = 0; brain < 2; brain++) {
        uint16_t bits[COUNT];
        double numbers[COUNT];
        model m;
        failure f;
        for (size_t i = 0; i < COUNT; i++) bits[i] = brain ? cases[i].brain : cases[i].half;
        bytes t = tensor_of("t", brain ? BFLOAT16 : FLOAT16, 1, (int64_t[]){COUNT});
        put_block(&t, TENSOR_RAW, bits, sizeof bits);
        bytes b = model_of_tensor(&t);
        parse_good(&m, &b);
        ck_assert(tensor_numbers(&m, m.graph->initializer[0], COUNT, numbers, &f));
        for (size_t i = 0; i < COUNT; i++) {
            const double v = cases[i].value;
            if (isnan(v) || isinf(v) || v == 0)
                ck_assert(isnan(v) ? isnan(numbers[i])
                                   : numbers[i] == v && !signbit(numbers[i]) == !signbit(v));
            else
                ck_assert_msg(fabs(numbers[i] - v) <= fabs(v) / 200, "%zu: %g", i, numbers[i]);
        }
        model_free(&m);
    }
}
END_TEST

/* What is read, kept and written, but has no elements to compute with. */
START_TEST(other_types)
{
    static const struct {
        int type;
        unsigned field;
        const char *data;
        size_t size;
        const char *word; /* NULL: elements are moved */
    } cases[] = {
        {STRING, TENSOR_STRINGS, "abc", 3, "type STRING is not supported"},
        {UINT4, TENSOR_RAW, "a", 1, "type UINT4 is not supported"},
        {99, TENSOR_RAW, "abcdef", 6, "type 99 is not known"},
        {0, TENSOR_RAW, "", 0, "type 0 is not known"},
        {COMPLEX64, TENSOR_RAW, "0123456789abcdef", 16, NULL},
        {COMPLEX64, TENSOR_FLOATS, "0123456789abcdef", 16, NULL},
        {COMPLEX128, TENSOR_DOUBLES, "0123456789abcdef0123456789ABCDEF", 32, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        model m;
        failure f;
        double numbers[2];
        void *data;
        mskp_dtype dtype;
        bytes t = tensor_of("t", cases[i].type, 1, (int64_t[]){2});
        put_block(&t, cases[i].field, cases[i].data, cases[i].size);
        if (cases[i].type == STRING) put_text(&t, cases[i].field, "");
        bytes b = model_of_tensor(&t), copy = {0};
        put_bytes(&copy, b.data, b.size);
        parse_good(&m, &b);
        tensor_proto *first = m.graph->initializer[0];
        ck_assert(tensor_data(&m, first, &data, &dtype, &f) == !cases[i].word);
        if (cases[i].word) {
            ck_assert_msg(strstr(f.text, cases[i].word) != NULL, "%s", f.text);
            ck_assert_ptr_null(model_add_copy(&m, first, "copy", 0, NULL));
        } else {
            ck_assert(!memcmp(data, cases[i].data, cases[i].size));
        }
        ck_assert(!tensor_numbers(&m, first, 2, numbers, &f));
        write_good(&m, path);
        model_free(&m);
        read_good(&m, path);
        ck_assert_uint_eq(m.graph->n_initializer, 1);
        ck_assert_uint_eq(m.bytes, copy.size);
        model_free(&m);
        bytes_free(&copy);
    }
}
END_TEST

START_TEST(large_integers)
{
    const uint64_t values[] = {(uint64_t)1 << 63};
    int64_t integer;
    double number;
    model m;
    failure f;
    bytes t = tensor_of("t", UINT64, 0, NULL);
    put_block(&t, TENSOR_RAW, values, sizeof values);
    bytes b = model_of_tensor(&t);
    parse_good(&m, &b);
    ck_assert(!tensor_integers(&m, m.graph->initializer[0], 1, &integer, &f));
    ck_assert_msg(strstr(f.text, "\"t\"") && strstr(f.text, "below 2^63"), "%s", f.text);
    ck_assert(tensor_numbers(&m, m.graph->initializer[0], 1, &number, &f));
    ck_assert(number == 0x1p63);
    model_free(&m);
}
END_TEST

START_TEST(empty_tensors)
{
    model m;
    failure f;
    int64_t integer;
    const int64_t large = INT64_MAX;
    bytes t = tensor_of("t", INT64, 3, (int64_t[]){large, 0, large});
    bytes b = model_of_tensor(&t);
    parse_good(&m, &b);
    ck_assert_uint_eq(tensor_elements(m.graph->initializer[0]), 0);
    ck_assert(tensor_integers(&m, m.graph->initializer[0], 0, &integer, &f));
    ck_assert_ptr_nonnull(model_add_copy(&m, m.graph->initializer[0], "copy", 1, (size_t[]){0}));
    write_good(&m, path);
    model_free(&m);
}
END_TEST

/* ---- changes ---- */

START_TEST(additions)
{
    model m;
    failure f;
    int64_t back[6];
    const int64_t values[] = {1, -2, 3, -4, 5, INT64_MIN};
    bytes b = small_model();
    parse_good(&m, &b);
    ck_assert_ptr_nonnull(model_add_integers(&m, "new", 2, (size_t[]){2, 3}, values));
    ck_assert_ptr_nonnull(model_add_integers(&m, "one", 0, NULL, values));
    node_proto *node = m.graph->node[0];
    ck_assert_ptr_null(node_attribute(node, "val"));
    ck_assert_ptr_nonnull(node_attribute(node, "value"));
    attribute_proto *a = node_add_attribute(node, "axis");
    ck_assert_ptr_nonnull(a);
    a->has_i = true;
    a->i = -1;
    ck_assert(model_set_string(&node->op_type, "Other"));
    ck_assert(model_set_string(&node->domain, "com.example"));
    ck_assert_uint_eq(m.graph->n_input, 0);
    write_good(&m, path);
    model_free(&m);
    read_good(&m, path);
    node = m.graph->node[0];
    ck_assert_int_eq(node_attribute(node, "axis")->i, -1);
    ck_assert_str_eq(node->op_type, "Other");
    ck_assert_str_eq(node->domain, "com.example");
    ck_assert_uint_eq(m.graph->n_initializer, 4);
    ck_assert_str_eq(m.graph->initializer[2]->name, "new");
    ck_assert_uint_eq(m.graph->initializer[2]->n_dims, 2);
    ck_assert(tensor_integers(&m, m.graph->initializer[2], 6, back, &f));
    ck_assert(!memcmp(back, values, sizeof values));
    ck_assert(tensor_integers(&m, m.graph->initializer[3], 1, back, &f));
    model_free(&m);
}
END_TEST

START_TEST(old_additions)
{
    model m;
    const int64_t values[] = {1, 2};
    bytes graph = {0}, b = {0};
    put_integer(&b, MODEL_IR, 3);
    put_message(&b, MODEL_GRAPH, &graph);
    parse_good(&m, &b);
    tensor_proto *t = model_add_integers(&m, "new", 2, (size_t[]){1, 2}, values);
    ck_assert_ptr_nonnull(t);
    ck_assert_ptr_nonnull(model_add_copy(&m, t, "copy", 3, (size_t[]){2, 1, 1})); /* reshaped */
    write_good(&m, path);
    model_free(&m);
    read_good(&m, path);
    ck_assert_uint_eq(m.graph->n_input, 2);
    ck_assert_str_eq(m.graph->input[1]->name, "copy");
    const Onnx__TypeProto__Tensor *type = m.graph->input[0]->type->tensor_type;
    ck_assert_int_eq(type->elem_type, INT64);
    ck_assert_uint_eq(type->shape->n_dim, 2);
    ck_assert_int_eq(type->shape->dim[1]->dim_value, 2);
    model_free(&m);
}
END_TEST

/* ---- data in other files ---- */

static void put_external(bytes *graph, const char *name, int type, int64_t dim,
                         const char *location, const char *offset, const char *length)
{
    bytes t = tensor_of(name, type, 1, &dim);
    if (location) put_entry(&t, "location", location);
    if (offset) put_entry(&t, "offset", offset);
    if (length) put_entry(&t, "length", length);
    put_entry(&t, "checksum", "of what was");
    put_integer(&t, TENSOR_LOCATION, 1);
    put_initializer(graph, &t);
}

static void save_data(const char *name, size_t size)
{
    char file[160];
    bytes b = {0};
    for (size_t i = 0; i < size; i++) put_bytes(&b, &(uint8_t){(uint8_t)i}, 1);
    snprintf(file, sizeof file, "%s/%s", folder, name);
    save(file, b.data, b.size);
    bytes_free(&b);
}

static void save_external(void)
{
    bytes graph = {0};
    save_data("a.bin", 64);
    save_data("b.bin", 64);
    put_external(&graph, "aligned", INT32, 2, "a.bin", "8", "8");
    put_external(&graph, "odd", INT32, 2, "a.bin", "9", NULL);
    put_external(&graph, "whole", UINT8, 64, "./b.bin", NULL, NULL);
    put_external(&graph, "unknown", 99, 5, "b.bin", "60", "4");
    put_external(&graph, "empty", FLOAT, 0, "b.bin", "64", "0");
    bytes inner = tensor_of("inside", UINT8, 1, (int64_t[]){1});
    put_block(&inner, TENSOR_RAW, "x", 1);
    put_initializer(&graph, &inner);
    bytes b = model_of(&graph);
    save(path, b.data, b.size);
    bytes_free(&b);
}

static void check_first_bytes(model *m, size_t i, const uint8_t *expected, size_t size,
                              mskp_dtype dtype)
{
    const uint8_t *data = data_of(m, m->graph->initializer[i], dtype);
    ck_assert_msg(!memcmp(data, expected, size), "tensor %zu", i);
    ck_assert_uint_eq((uintptr_t)data % (size == 8 ? 4 : 1), 0);
}

static void check_external(model *m)
{
    const uint8_t aligned[] = {8, 9, 10, 11, 12, 13, 14, 15};
    const uint8_t odd[] = {9, 10, 11, 12, 13, 14, 15, 16};
    check_first_bytes(m, 0, aligned, 8, MSKP_DTYPE_BYTES_4);
    check_first_bytes(m, 1, odd, 8, MSKP_DTYPE_BYTES_4);
    uint8_t whole[64];
    for (size_t i = 0; i < 64; i++) whole[i] = (uint8_t)i;
    check_first_bytes(m, 2, whole, 64, MSKP_DTYPE_BYTES_1);
    check_first_bytes(m, 5, (const uint8_t *)"x", 1, MSKP_DTYPE_BYTES_1);
}

/* The file's name is BASE, 16 digits of a hash, and ".data". */
static void check_data_name(const tensor_proto *t, const char *base)
{
    const char *name = t->external_data[0]->value;
    ck_assert_msg(!strncmp(name, base, strlen(base)), "%s", name);
    name += strlen(base);
    ck_assert_uint_eq(strspn(name, "0123456789abcdef"), 16);
    ck_assert_str_eq(name + 16, ".data");
}

START_TEST(external)
{
    model m;
    char data_path[160];
    failure f;
    void *data;
    mskp_dtype dtype;
    save_external();
    read_good(&m, path);
    ck_assert(m.external);
    ck_assert_uint_eq(m.opset, 13);
    check_external(&m);
    struct stat is;
    ck_assert_int_eq(stat(path, &is), 0);
    ck_assert_uint_eq(m.bytes, (size_t)is.st_size + 64 + 64); /* ./b.bin is no other file */
    write_refused(&m, path, "it is the file that was read");
    write_good(&m, other);
    check_external(&m); /* as it was */
    model_free(&m);

    read_good(&m, other);
    check_external(&m);
    const tensor_proto *t = m.graph->initializer[3];
    ck_assert_uint_eq(t->n_external_data, 3);
    check_data_name(t, "other.onnx.");
    ck_assert_str_eq(t->external_data[1]->key, "offset");
    ck_assert_str_eq(t->external_data[1]->value, "192");
    ck_assert_str_eq(t->external_data[2]->value, "4");
    ck_assert(!m.graph->initializer[5]->n_external_data);
    snprintf(data_path, sizeof data_path, "%s/%s", folder, t->external_data[0]->value);
    bytes all = load(data_path);
    ck_assert_uint_eq(all.size, 256);
    ck_assert(!memcmp(all.data + 192, "<=>?", 4));
    bytes_free(&all);

    /* Written and shrunk, both with and without a copy of its data. */
    tensor_proto *first = m.graph->initializer[0];
    ck_assert(tensor_writable(&m, first, &data, &dtype, &f));
    memcpy(data, "WXYZ", 4);
    tensor_shrink(&m, first, 1, (size_t[]){1});
    tensor_proto *third = m.graph->initializer[2];
    ck_assert_ptr_nonnull(model_add_copy(&m, third, "copy", 1, (size_t[]){tensor_elements(third)}));
    write_refused(&m, other, "it is the file that was read");
    ck_assert_int_eq(rename(other, path), 0);
    write_refused(&m, data_path, "it is a file of the model's data");
    snprintf(other, sizeof other, "%s/third.onnx", folder);
    write_good(&m, other);
    model_free(&m);
    read_good(&m, other);
    check_first_bytes(&m, 0, (const uint8_t *)"WXYZ", 4, MSKP_DTYPE_BYTES_4);
    ck_assert_str_eq(m.graph->initializer[0]->external_data[2]->value, "4");
    check_first_bytes(&m, 6, (const uint8_t *)"\0\1\2", 3, MSKP_DTYPE_BYTES_1);
    ck_assert_str_eq(m.graph->initializer[6]->external_data[2]->value, "64");
    model_free(&m);
    ck_assert_uint_eq(sweep(), 6);
}
END_TEST

START_TEST(external_refused)
{
    static const struct {
        const char *location, *offset, *length, *word;
    } cases[] = {
        {NULL, NULL, NULL, "in which is not said"},
        {"", NULL, NULL, "\"\" is no place within"},
        {"/etc/passwd", NULL, NULL, "no place within"},
        {"..", NULL, NULL, "no place within"},
        {"../a.bin", NULL, NULL, "no place within"},
        {"x/../../a.bin", NULL, NULL, "no place within"},
        {"x/..", NULL, NULL, "no place within"},
        {"none.bin", NULL, NULL, "\"none.bin\", but it cannot be opened"},
        {".", NULL, NULL, "it is no regular file"},
        {"a.bin", "-1", NULL, "the offset of its data, \"-1\", is no size"},
        {"a.bin", "", NULL, "is no size"},
        {"a.bin", "0x1", NULL, "is no size"},
        {"a.bin", "99999999999999999999999", NULL, "is no size"},
        {"a.bin", NULL, "eight", "the length of its data, \"eight\", is no size"},
        {"a.bin", NULL, "7", "needs 8 bytes, its data have 7"},
        {"a.bin", NULL, "9", "needs 8 bytes, its data have 9"},
        {"a.bin", "3", NULL, "8 bytes from byte 3 on, but \"a.bin\" has 10"},
        {"a.bin", "18446744073709551615", NULL, "is no size"},
        {"a.bin", "1152921504606846975", NULL, "but \"a.bin\" has 10"},
        {"a.bin", "10", NULL, "but \"a.bin\" has 10"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bytes graph = {0};
        save_data("a.bin", 10);
        put_external(&graph, "t", INT32, 2, cases[i].location, cases[i].offset, cases[i].length);
        bytes b = model_of(&graph);
        save(path, b.data, b.size);
        bytes_free(&b);
        read_refused(path, cases[i].word);
        read_refused(path, "tensor \"t\": ");
    }
}
END_TEST

START_TEST(external_contradictions)
{
    bytes graph = {0}, t;
    put_external(&graph, "t", INT32, 2, "a.bin", NULL, NULL);
    bytes b = model_of(&graph);
    refused(&b, "there is no folder");
    graph = (bytes){0};
    put_external(&graph, "t", STRING, 2, "a.bin", NULL, NULL);
    b = model_of(&graph);
    refused(&b, "it is STRING, and its data are in another file");
    graph = (bytes){0};
    put_external(&graph, "t", 99, 2, "a.bin", NULL, NULL);
    b = model_of(&graph);
    refused(&b, "no length, and type 99");
    t = tensor_of("t", UINT8, 1, (int64_t[]){1});
    put_block(&t, TENSOR_RAW, "x", 1);
    put_entry(&t, "location", "a.bin");
    put_integer(&t, TENSOR_LOCATION, 1);
    b = model_of_tensor(&t);
    refused(&b, "in another file and in 1 fields");
}
END_TEST

/* A model in the working folder, with data below it. */
START_TEST(external_here)
{
    model m;
    char file[160];
    bytes graph = {0};
    char *here = getcwd(NULL, 0);
    ck_assert_ptr_nonnull(here);
    snprintf(file, sizeof file, "%s/sub", folder);
    ck_assert_int_eq(mkdir(file, 0700), 0);
    save_data("sub/a.bin", 10);
    put_external(&graph, "t", INT32, 2, "sub/a.bin", NULL, NULL);
    bytes b = model_of(&graph);
    save(path, b.data, b.size);
    bytes_free(&b);
    ck_assert_int_eq(chdir(folder), 0);
    read_good(&m, "model.onnx");
    write_good(&m, "other.onnx");
    model_free(&m);
    read_good(&m, "other.onnx");
    check_first_bytes(&m, 0, (const uint8_t *)"\0\1\2\3\4\5\6\7", 8, MSKP_DTYPE_BYTES_4);
    model_free(&m);
    ck_assert_int_eq(remove("sub/a.bin"), 0);
    ck_assert_int_eq(chdir(here), 0);
    free(here);
}
END_TEST

/* Bytes of other folders never reach the model, whatever its folder holds. */
START_TEST(external_links)
{
    static const struct {
        const char *name, *to; /* a link in the model's folder */
        const char *location, *word;
    } cases[] = {
        {"link.bin", "a.bin", "link.bin", "\"link.bin\" is a symbolic link"},
        {"link.bin", "/etc/passwd", "link.bin", "is a symbolic link"},
        {"link.bin", "nothing", "link.bin", "is a symbolic link"},
        {"sub", "/etc", "sub/passwd", "\"sub\" is a symbolic link"},
        {"sub", "..", "sub/./passwd", "\"sub\" is a symbolic link"},
        {"sub", ".", "./sub//a.bin", "\"sub\" is a symbolic link"},
        {NULL, NULL, "a.bin/a.bin", "it cannot be opened: Not a directory"},
        {NULL, NULL, "a.bin/", "it cannot be opened: Not a directory"},
        {NULL, NULL, "pipe", "it is no regular file"},
    };
    char link[160], fifo[160];
    snprintf(fifo, sizeof fifo, "%s/pipe", folder);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bytes graph = {0};
        save_data("a.bin", 64);
        ck_assert_int_eq(mkfifo(fifo, 0600), 0);
        snprintf(link, sizeof link, "%s/%s", folder, cases[i].name ? cases[i].name : "none");
        if (cases[i].name) ck_assert_int_eq(symlink(cases[i].to, link), 0);
        put_external(&graph, "t", UINT8, 8, cases[i].location, NULL, NULL);
        bytes b = model_of(&graph);
        save(path, b.data, b.size);
        bytes_free(&b);
        read_refused(path, cases[i].word);
        sweep();
    }
}
END_TEST

/* Every state in which the program can be killed: the new data are there, the model is old. */
START_TEST(external_replaced)
{
    model m, old;
    save_external();
    read_good(&m, path);
    write_good(&m, other);
    read_good(&old, other);
    char *data = join_path(folder, old.graph->initializer[0]->external_data[0]->value);
    bytes first = load(data), model_before = load(other);
    write_good(&m, other); /* the same data: nothing new */
    ck_assert_uint_eq(count_files(), 5);

    void *to;
    mskp_dtype dtype;
    failure f;
    ck_assert(tensor_writable(&m, m.graph->initializer[0], &to, &dtype, &f));
    memcpy(to, "WXYZ", 4);
    write_good(&m, other);
    ck_assert_uint_eq(count_files(), 6);
    bytes again = load(data); /* what the old model names is as it was */
    ck_assert(again.size == first.size && !memcmp(again.data, first.data, first.size));
    bytes model_after = load(other);
    save(other, model_before.data, model_before.size);
    model_free(&old);
    read_good(&old, other);
    check_external(&old);
    save(other, model_after.data, model_after.size);
    model_free(&old);
    read_good(&old, other);
    check_first_bytes(&old, 0, (const uint8_t *)"WXYZ\14\15\16\17", 8, MSKP_DTYPE_BYTES_4);

    /* A file that has the name, but other data, is another one's. */
    char *taken = join_path(folder, old.graph->initializer[0]->external_data[0]->value);
    save(taken, "short", 5);
    write_good(&m, other);
    ck_assert_uint_eq(count_files(), 7);
    bytes left = load(taken);
    ck_assert(left.size == 5 && !memcmp(left.data, "short", 5));
    model_free(&old);
    read_good(&old, other);
    check_first_bytes(&old, 0, (const uint8_t *)"WXYZ", 4, MSKP_DTYPE_BYTES_4);
    write_refused(&m, "/dev/null", "it is no regular file, so the data of 5 tensors");

    bytes *const all[] = {&first, &again, &left, &model_before, &model_after};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) bytes_free(all[i]);
    free(data);
    free(taken);
    model_free(&old);
    model_free(&m);
}
END_TEST

/* ---- writing that fails ---- */

START_TEST(not_written)
{
    model m;
    char file[160];
    bytes b = small_model();
    parse_good(&m, &b);
    snprintf(file, sizeof file, "%s/none/model.onnx", folder);
    write_refused(&m, file, "it cannot be written: No such file");
    write_refused(&m, folder, "it cannot be written: Is a directory");
    write_refused(&m, "/dev/full", "it cannot be written: No space");
    write_good(&m, "/dev/null");
    struct stat is;
    ck_assert(!stat("/dev/null", &is) && S_ISCHR(is.st_mode));
    ck_assert_uint_eq(sweep(), 0);
    save(path, "old", 3);
    ProtobufCBinaryData *raw = &m.graph->node[0]->attribute[0]->t->raw_data;
    raw->len = INT32_MAX;
    write_refused(&m, path, "can have no more than 2147483647");
    raw->len = 8;
    bytes old = load(path);
    ck_assert(old.size == 3 && !memcmp(old.data, "old", 3));
    bytes_free(&old);
    write_good(&m, path);
    ck_assert_int_eq(stat(path, &is), 0);
    ck_assert_uint_gt((size_t)is.st_size, 3);
    ck_assert_uint_eq(sweep(), 1);
    model_free(&m);
}
END_TEST

START_TEST(not_read)
{
    char file[160];
    snprintf(file, sizeof file, "%s/none.onnx", folder);
    read_refused(file, "it cannot be opened: No such file");
    read_refused(folder, "it is no regular file");
    read_refused("/dev/zero", "it is no regular file");
    save(path, "", 0);
    read_refused(path, "the model has no graph");
    if (truncate(path, (off_t)3 << 30) == 0)
        read_refused(path,
                     "it has 3221225472 bytes, and a protobuf message no more than 214748364");
}
END_TEST

/* ---- garbage ---- */

START_TEST(bad_tensors)
{
    static const struct {
        int type;
        size_t ndim;
        int64_t dims[3];
        unsigned field;
        size_t size;
        const char *word;
    } cases[] = {
        {FLOAT, 1, {-1}, TENSOR_RAW, 0, "dim 0 of 1 is -1"},
        {FLOAT, 2, {0, INT64_MIN}, TENSOR_RAW, 0, "dim 1 of 2 is -9223372036854775808"},
        {FLOAT, 1, {INT64_MAX}, TENSOR_RAW, 8, "product of its 1 dims"},
        {FLOAT, 3, {1 << 30, 1 << 30, 1 << 30}, TENSOR_RAW, 8, "product of its 3 dims"},
        {FLOAT, 2, {(int64_t)1 << 32, (int64_t)1 << 32}, TENSOR_RAW, 0, "product of its 2 dims"},
        {FLOAT,
         1,
         {(int64_t)1 << 58},
         TENSOR_RAW,
         8,
         "needs 1152921504606846976 bytes, its data have 8"},
        {FLOAT, 1, {2}, TENSOR_RAW, 7, "needs 8 bytes, its data have 7"},
        {FLOAT, 1, {2}, TENSOR_RAW, 9, "needs 8 bytes, its data have 9"},
        {FLOAT, 1, {2}, TENSOR_RAW, 0, "needs 8 bytes, its data have 0"},
        {FLOAT, 1, {0}, TENSOR_RAW, 4, "needs 0 bytes, its data have 4"},
        {FLOAT, 0, {0}, TENSOR_RAW, 0, "needs 4 bytes, its data have 0"},
        {UINT4, 1, {3}, TENSOR_RAW, 1, "needs 2 bytes, its data have 1"},
        {FLOAT, 1, {2}, TENSOR_FLOATS, 4, "needs 2 numbers in float_data, which has 1"},
        {COMPLEX64, 1, {2}, TENSOR_FLOATS, 8, "needs 4 numbers in float_data, which has 2"},
        {INT8, 1, {2}, TENSOR_WORDS, 3, "needs 2 numbers in int32_data, which has 3"},
        {INT8,
         1,
         {2},
         TENSOR_LONGS,
         2,
         "INT8, but its data are in int64_data instead of int32_data"},
        {STRING, 1, {2}, TENSOR_STRINGS, 2, "needs 2 numbers in string_data, which has 1"},
        {STRING, 1, {2}, TENSOR_RAW, 2, "STRING, but its 2 elements are not in string_data"},
        {FLOAT, 1, {2}, TENSOR_SEGMENT, 0, "segment of a larger tensor"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        static const uint8_t zeros[16];
        bytes t = tensor_of("t", cases[i].type, cases[i].ndim, cases[i].dims), b, copy = {0};
        put_block(&t, cases[i].field, zeros, cases[i].size);
        put_bytes(&copy, t.data, t.size);
        b = model_of_tensor(&t);
        refused(&b, cases[i].word);
        /* As a node's attribute, too. */
        bytes attribute = {0}, node = {0}, graph = {0};
        put_message(&attribute, ATTRIBUTE_TENSOR, &copy);
        put_message(&node, NODE_ATTRIBUTE, &attribute);
        put_message(&graph, GRAPH_NODE, &node);
        b = model_of(&graph);
        refused(&b, cases[i].word);
    }
    bytes t = tensor_of("t", UINT8, 1, (int64_t[]){1});
    put_block(&t, TENSOR_RAW, "x", 1);
    put_block(&t, TENSOR_WORDS, "x", 1);
    bytes b = model_of_tensor(&t);
    refused(&b, "data in 2 fields instead of 1");
}
END_TEST

static void put_named(bytes *graph, const char *name, bool sparse)
{
    bytes t = tensor_of(name, UINT8, 1, (int64_t[]){0}), outer = {0};
    if (sparse) {
        put_message(&outer, 1, &t);
        put_message(graph, GRAPH_SPARSE, &outer);
    } else {
        put_initializer(graph, &t);
    }
}

static bytes within(bytes *graph)
{
    bytes attribute = {0}, node = {0}, outer = {0};
    put_message(&attribute, ATTRIBUTE_GRAPH, graph);
    put_message(&node, NODE_ATTRIBUTE, &attribute);
    put_message(&outer, GRAPH_NODE, &node);
    return outer;
}

START_TEST(names)
{
    for (int inner = 0; inner < 2; inner++)
        for (int sparse = 0; sparse < 2; sparse++) {
            static const char *const list[] = {"", "b"};
            for (size_t i = 0; i < 2; i++) {
                bytes graph = {0}, b;
                put_named(&graph, "b", false);
                put_named(&graph, "a", false);
                put_named(&graph, list[i], sparse);
                if (inner) graph = within(&graph);
                b = model_of(&graph);
                refused(&b, i ? "two initializers have the name \"b\"" : "2 of 3 has no name");
            }
        }
    bytes b = {0};
    refused(&b, "no graph");
}
END_TEST

START_TEST(bad_bytes)
{
    static const struct {
        const char *bytes;
        size_t size;
        const char *word;
    } cases[] = {
        {"\x08", 1, "at byte 1, a number does not end within 0 bytes"},
        {"\x08\xff\xff", 3, "at byte 1, a number does not end within 2 bytes"},
        {"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12, "does not end within 10 bytes"},
        {"\xff\xff\xff\xff\xff\x01", 6, "at byte 0, a number does not end within 5 bytes"},
        {"\xff\xff\xff\xff\x7f", 5, "there is no field 4294967295"},
        {"\0\0", 2, "there is no field 0"},
        {"\x0b", 1, "wire type 3 is none of"},
        {"\x0c", 1, "wire type 4 is none of"},
        {"\x0e", 1, "wire type 6 is none of"},
        {"\x0f", 1, "wire type 7 is none of"},
        {"\x0a\1x", 3, "field \"ir_version\" has wire type 2 instead of 0"},
        {"\x10\1", 2, "field \"producer_name\" has wire type 0 instead of 2"},
        {"\x08\1\x08\1", 4, "at byte 2, field \"ir_version\" of a ModelProto comes twice"},
        {"\x3a\0\x3a\0", 4, "at byte 2, field \"graph\" of a ModelProto comes twice"},
        {"\x12\5abc", 5, "at byte 2, 5 bytes are announced where 3 are left"},
        {"\x12\xff\xff\xff\xff\x0f", 6, "4294967295 bytes are announced where 0 are left"},
        {"\x12\xff\xff\xff\xff\xff\1", 7, "a number does not end within 5 bytes"},
        {"\x12\3a\0b", 5, "at byte 2, the text in field \"producer_name\" has a zero byte"},
        {"\xf9\xff\1"
         "1234567",
         10, "8 bytes are announced where 7 are left"},
        {"\xfd\xff\1"
         "123",
         6, "4 bytes are announced where 3 are left"},
        {"\x3a\4\x2a\2\x22\3", 6, "at byte 6, 3 bytes are announced where 0 are left"},
        {"\x3a\7\x2a\5\x22\3abc", 9, "3 bytes are no whole number of elements of 4"},
        {"\x3a\5\x2a\3\x2a\1\x80", 7, "at byte 6, a number does not end within 1 bytes"},
        {"\x3a\5\x2a\3\x2a\1\x80", 6, "5 bytes are announced where 4 are left"},
        /* a dimension's value and its name */
        {"\x3a\x0f\x5a\x0d\x12\x0b\x0a\x09\x12\x07\x0a\x05\x08\1\x12\1N", 17,
         "field \"dim_param\" of a Dimension comes twice"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        bytes b = {0};
        put_bytes(&b, cases[i].bytes, cases[i].size);
        refused(&b, cases[i].word);
    }
}
END_TEST

/* Names come from strangers: what is printed is a line. */
START_TEST(sentences)
{
    model m;
    failure f;
    bytes t = tensor_of("\n\033[2J\177", FLOAT, 1, (int64_t[]){-1}), b = model_of_tensor(&t);
    ck_assert(!parse(&m, &b, &f));
    for (const char *c = f.text; *c; c++) ck_assert((unsigned char)*c >= ' ' && *c != 127);
    char *name = malloc(100001);
    ck_assert_ptr_nonnull(name);
    memset(name, 'x', 100000);
    name[100000] = 0;
    t = tensor_of(name, FLOAT, 1, (int64_t[]){-1});
    b = model_of_tensor(&t);
    ck_assert(!parse(&m, &b, &f));
    ck_assert_msg(strstr(f.text, "dim 0 of 1 is -1") != NULL, "%s", f.text);
    free(name);
}
END_TEST

/* count messages, one in the other; the innermost empty. */
static bytes nested(size_t count)
{
    static const uint32_t fields[] = {GRAPH_NODE, NODE_ATTRIBUTE, ATTRIBUTE_GRAPH};
    bytes b = {0}, outer;
    for (size_t i = count; i--;) {
        outer = (bytes){0};
        put_message(&outer, i ? fields[(i - 1) % 3] : MODEL_GRAPH, &b);
        b = outer;
    }
    return b;
}

START_TEST(nesting)
{
    model m;
    bytes b = nested(64);
    parse_good(&m, &b);
    write_good(&m, path);
    model_free(&m);
    read_good(&m, path);
    model_free(&m);
    b = nested(65);
    refused(&b, "messages nest deeper than 64");
    b = nested(5000);
    refused(&b, "messages nest deeper than 64");
}
END_TEST

/* What is accepted must bear being looked at and written. */
static void try(const bytes *b)
{
    model m;
    failure f;
    bytes copy = {0};
    put_bytes(&copy, b->data, b->size);
    if (!parse(&m, &copy, &f)) {
        ck_assert(f.text[0] && memchr(f.text, 0, sizeof f.text));
        return;
    }
    for (size_t i = 0; i < m.graph->n_initializer; i++) {
        tensor_proto *t = m.graph->initializer[i];
        void *data;
        mskp_dtype dtype;
        const size_t count = tensor_elements(t);
        ck_assert_uint_lt(count, 1000000);
        double *numbers = malloc((count + 1) * sizeof *numbers);
        ck_assert_ptr_nonnull(numbers);
        if (!tensor_numbers(&m, t, count, numbers, &f)) ck_assert(f.text[0]);
        free(numbers);
        if (tensor_writable(&m, t, &data, &dtype, &f) && count)
            tensor_shrink(&m, t, t->n_dims ? 1 : 0, (size_t[]){1});
    }
    if (!model_write(&m, "/dev/null", &f)) ck_abort_msg("%s", f.text);
    model_free(&m);
}

START_TEST(cut_short)
{
    bytes models[] = {small_model(), full_model(3)};
    for (size_t i = 0; i < 2; i++) {
        bytes part = models[i];
        for (part.size = 0; part.size < models[i].size; part.size++) try(&part);
        bytes_free(&models[i]);
    }
}
END_TEST

START_TEST(changed)
{
    bytes models[] = {small_model(), full_model(2)};
    for (size_t i = 0; i < 2; i++) {
        for (size_t at = 0; at < models[i].size; at++) {
            uint8_t *byte = &models[i].data[at];
            const uint8_t was = *byte;
            for (unsigned value = 0; value < 256; value++) {
                if (i && (value ^ was) & ((value ^ was) - 1) && value != 255 && value) continue;
                *byte = (uint8_t)value;
                try(&models[i]);
            }
            *byte = was;
        }
        bytes_free(&models[i]);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("onnx model");
    TCase *cases = tcase_create("model");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, every_field);
    tcase_add_test(cases, opsets);
    tcase_add_loop_test(cases, typed_and_raw, 0, (int)(sizeof types / sizeof types[0]));
    tcase_add_test(cases, halfs);
    tcase_add_test(cases, other_types);
    tcase_add_test(cases, large_integers);
    tcase_add_test(cases, empty_tensors);
    tcase_add_test(cases, additions);
    tcase_add_test(cases, old_additions);
    tcase_add_test(cases, external);
    tcase_add_test(cases, external_refused);
    tcase_add_test(cases, external_contradictions);
    tcase_add_test(cases, external_here);
    tcase_add_test(cases, external_links);
    tcase_add_test(cases, external_replaced);
    tcase_add_test(cases, not_written);
    tcase_add_test(cases, not_read);
    suite_add_tcase(suite, cases);
    cases = tcase_create("garbage");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, bad_tensors);
    tcase_add_test(cases, names);
    tcase_add_test(cases, bad_bytes);
    tcase_add_test(cases, sentences);
    tcase_add_test(cases, nesting);
    tcase_add_test(cases, cut_short);
    tcase_add_test(cases, changed);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
