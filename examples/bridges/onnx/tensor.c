/*
 * The elements of a tensor, wherever a file stores them: in raw_data, in one of the typed fields
 * (a table says which field each type uses), or in another file.
 */
#define _POSIX_C_SOURCE 200809L
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"

/* ---- types ---- */

/* The typed field that a type's elements may lie in, instead of raw_data. */
typedef enum store { FLOATS, DOUBLES, WORDS, LONGS, UNSIGNED, STRINGS, STORES } store;

#define STORE(field)                                                       \
    sizeof *((tensor_proto *)0)->field, offsetof(tensor_proto, n_##field), \
        offsetof(tensor_proto, field), #field

static const struct {
    size_t size, count, data; /* of one number; offsets of the message's count and data */
    const char *name;
} stores[] = {{STORE(float_data)}, {STORE(double_data)}, {STORE(int32_data)},
              {STORE(int64_data)}, {STORE(uint64_data)}, {STORE(string_data)}};

typedef struct kind {
    const char *name;
    unsigned bits, parts; /* of an element; 0 bits: no fixed size */
    store store;
} kind;

/* By TensorProto.DataType, including types of later versions. */
static const kind kinds[] = {
    {"UNDEFINED", 0, 0, STORES},     {"FLOAT", 32, 1, FLOATS},    {"UINT8", 8, 1, WORDS},
    {"INT8", 8, 1, WORDS},           {"UINT16", 16, 1, WORDS},    {"INT16", 16, 1, WORDS},
    {"INT32", 32, 1, WORDS},         {"INT64", 64, 1, LONGS},     {"STRING", 0, 1, STRINGS},
    {"BOOL", 8, 1, WORDS},           {"FLOAT16", 16, 1, WORDS},   {"DOUBLE", 64, 1, DOUBLES},
    {"UINT32", 32, 1, UNSIGNED},     {"UINT64", 64, 1, UNSIGNED}, {"COMPLEX64", 64, 2, FLOATS},
    {"COMPLEX128", 128, 2, DOUBLES}, {"BFLOAT16", 16, 1, WORDS},  {"FLOAT8E4M3FN", 8, 1, WORDS},
    {"FLOAT8E4M3FNUZ", 8, 1, WORDS}, {"FLOAT8E5M2", 8, 1, WORDS}, {"FLOAT8E5M2FNUZ", 8, 1, WORDS},
    {"UINT4", 4, 1, WORDS},          {"INT4", 4, 1, WORDS},       {"FLOAT4E2M1", 4, 1, WORDS},
    {"FLOAT8E8M0", 8, 1, WORDS},     {"UINT2", 2, 1, WORDS},      {"INT2", 2, 1, WORDS},
};

/* NULL: no type, or one that this program does not know. */
static const kind *kind_of(const tensor_proto *t)
{
    if (t->data_type <= 0 || (size_t)t->data_type >= sizeof kinds / sizeof *kinds) return NULL;
    return &kinds[t->data_type];
}

static size_t stored(const tensor_proto *t, store s)
{
    size_t count;
    memcpy(&count, (const char *)t + stores[s].count, sizeof count);
    return count;
}

static void *store_data(const tensor_proto *t, store s)
{
    void *data;
    memcpy(&data, (const char *)t + stores[s].data, sizeof data);
    return data;
}

static void store_set(tensor_proto *t, store s, void *data, size_t count)
{
    memcpy((char *)t + stores[s].data, &data, sizeof data);
    memcpy((char *)t + stores[s].count, &count, sizeof count);
}

/* The bytes of so many elements. Elements smaller than one byte are packed. Not for strings. */
static size_t bytes_of(const kind *k, size_t elements)
{
    if (!k->bits) return 0;
    return k->bits < 8 ? elements / (8 / k->bits) + (elements % (8 / k->bits) != 0)
                       : elements * (k->bits / 8);
}

size_t tensor_bytes(const tensor_proto *t)
{
    return bytes_of(kind_of(t), tensor_elements(t));
}

/* How many numbers so many elements are in the typed field. */
static size_t stored_of(const kind *k, size_t elements)
{
    return k->bits && k->bits < 8 ? bytes_of(k, elements) : elements * k->parts;
}

size_t tensor_elements(const tensor_proto *t)
{
    size_t product = 1;
    bool empty = false;
    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0) return SIZE_MAX;
        empty = empty || !t->dims[i];
    }
    if (empty) return 0;
    for (size_t i = 0; i < t->n_dims; i++) {
        if ((uint64_t)t->dims[i] > PTRDIFF_MAX / 16 / product) return SIZE_MAX;
        product *= (size_t)t->dims[i];
    }
    return product;
}

bool tensor_is_external(const tensor_proto *t)
{
    return t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
}

/* ---- checking ---- */

/* How many fields have data; *typed <- the typed one among them. */
static size_t used_fields(const tensor_proto *t, store *typed)
{
    size_t used = t->has_raw_data && t->raw_data.len;
    *typed = STORES;
    for (store s = 0; s < STORES; s++) {
        if (!stored(t, s)) continue;
        used++;
        *typed = s;
    }
    return used;
}

static bool check_inline(const tensor_proto *t, size_t elements, failure *f)
{
    const kind *k = kind_of(t);
    store typed;
    const size_t used = used_fields(t, &typed);
    if (used > 1) return fail(f, "it has data in %zu fields instead of 1", used);
    if (!k) return true;
    if (typed != STORES) {
        if (typed != k->store)
            return fail(f, "it is %s, but its data are in %s instead of %s", k->name,
                        stores[typed].name, stores[k->store].name);
        if (stored(t, typed) == stored_of(k, elements)) return true;
        return fail(f, "its shape needs %zu numbers in %s, which has %zu", stored_of(k, elements),
                    stores[typed].name, stored(t, typed));
    }
    const size_t have = t->has_raw_data ? t->raw_data.len : 0;
    if (!k->bits)
        return (!have && !elements) || fail(f, "it is %s, but its %zu elements are not in %s",
                                            k->name, elements, stores[k->store].name);
    if (have == bytes_of(k, elements)) return true;
    return fail(f, "its shape needs %zu bytes, its data have %zu", bytes_of(k, elements), have);
}

bool tensor_check_dims(const tensor_proto *t, failure *f)
{
    for (size_t i = 0; i < t->n_dims; i++)
        if (t->dims[i] < 0)
            return fail(f, "dim %zu of %zu is %lld", i, t->n_dims, (long long)t->dims[i]);
    return tensor_elements(t) != SIZE_MAX ||
           fail(f, "the product of its %zu dims is more than memory can hold", t->n_dims);
}

bool tensor_check(const tensor_proto *t, failure *f)
{
    store typed;
    const size_t elements = tensor_elements(t);
    if (!tensor_check_dims(t, f)) return false;
    if (t->segment) return fail(f, "it is a segment of a larger tensor");
    if (!tensor_is_external(t)) return check_inline(t, elements, f);
    const size_t used = used_fields(t, &typed);
    if (used) return fail(f, "its data are in another file and in %zu fields", used);
    return true;
}

/* ---- data in other files ---- */

static const char *entry(const tensor_proto *t, const char *key)
{
    for (size_t i = 0; i < t->n_external_data; i++) {
        const Onnx__StringStringEntryProto *e = t->external_data[i];
        if (e->key && !strcmp(e->key, key)) return e->value ? e->value : "";
    }
    return NULL;
}

/* *size <- a number of digits only. False: it is none. */
static bool read_size(const char *text, size_t *size)
{
    size_t n = 0;
    for (const char *c = text; *c; c++) {
        if (*c < '0' || *c > '9' || n > SIZE_MAX / 16) return false;
        n = n * 10 + (size_t)(*c - '0');
    }
    *size = n;
    return *text != 0;
}

static bool entry_size(const tensor_proto *t, const char *key, size_t *size, failure *f)
{
    const char *text = entry(t, key);
    return !text || read_size(text, size) ||
           fail(f, "the %s of its data, \"%.40s\", is no size", key, text);
}

bool tensor_place(const tensor_proto *t, const char **location, size_t *offset, size_t *size,
                  failure *f)
{
    const kind *k = kind_of(t);
    *offset = 0;
    *size = SIZE_MAX;
    *location = entry(t, "location");
    if (!*location) return fail(f, "its data are in another file, but in which is not said");
    if (!entry_size(t, "offset", offset, f) || !entry_size(t, "length", size, f)) return false;
    if (!k) {
        if (*size == SIZE_MAX)
            return fail(f, "its data have no length, and type %d is not known", (int)t->data_type);
        return true;
    }
    if (!k->bits) return fail(f, "it is %s, and its data are in another file", k->name);
    const size_t need = bytes_of(k, tensor_elements(t));
    if (*size != SIZE_MAX && *size != need)
        return fail(f, "its shape needs %zu bytes, its data have %zu", need, *size);
    *size = need;
    return true;
}

const void *tensor_raw(const model *m, const tensor_proto *t)
{
    const char *location;
    size_t offset = 0;
    failure f;
    if (!tensor_is_external(t)) return t->has_raw_data && t->raw_data.len ? t->raw_data.data : NULL;
    if (t->has_raw_data) return t->raw_data.data;
    location = entry(t, "location");
    const struct source *source = location ? model_source(m, location) : NULL;
    if (!source || !source->bytes || !entry_size(t, "offset", &offset, &f)) return NULL;
    return source->bytes + offset;
}

bool is_real(const tensor_proto *data)
{
    return data->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT ||
           data->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE ||
           data->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16 ||
           data->data_type == ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16;
}

bool tensor_is_absent(const model *m, const tensor_proto *t)
{
    store typed;
    return m->absent && is_real(t) && tensor_elements(t) && !used_fields(t, &typed) &&
           !(tensor_is_external(t) && t->has_raw_data);
}

/* ---- elements ---- */

static mskp_dtype dtype_of(const tensor_proto *t)
{
    switch (t->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        return MSKP_DTYPE_F32;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        return MSKP_DTYPE_F64;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
        return MSKP_DTYPE_F16;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
        return MSKP_DTYPE_BF16;
    default:
        break;
    }
    switch (kinds[t->data_type].bits) {
    case 8:
        return MSKP_DTYPE_BYTES_1;
    case 16:
        return MSKP_DTYPE_BYTES_2;
    case 32:
        return MSKP_DTYPE_BYTES_4;
    case 64:
        return MSKP_DTYPE_BYTES_8;
    default:
        return MSKP_DTYPE_BYTES_16;
    }
}

bool tensor_set_raw(tensor_proto *t, const void *bytes, size_t size, failure *f)
{
    uint8_t *data = try_malloc(size ? size : 1);
    if (!data) return fail(f, "no memory for %zu bytes", size);
    if (size) memcpy(data, bytes, size);
    free(t->raw_data.data);
    t->raw_data = (ProtobufCBinaryData){size, data};
    t->has_raw_data = true;
    return true;
}

/* Moves elements that are smaller than the numbers of their typed field to raw_data. */
static bool narrow(tensor_proto *t, const kind *k, size_t elements, failure *f)
{
    const size_t from = stores[k->store].size, to = k->bits / 8;
    if (!stored(t, k->store) || from * k->parts <= to) return true;
    const char *data = store_data(t, k->store);
    uint8_t *raw = try_malloc(elements * to);
    if (!raw) return fail(f, "no memory for %zu bytes", elements * to);
    for (size_t i = 0; i < elements; i++) memcpy(raw + i * to, data + i * from, to);
    free(store_data(t, k->store));
    store_set(t, k->store, NULL, 0);
    free(t->raw_data.data);
    t->raw_data = (ProtobufCBinaryData){elements * to, raw};
    t->has_raw_data = true;
    return true;
}

static bool find_data(model *m, tensor_proto *t, bool write, void **data, failure *f)
{
    const kind *k = kind_of(t);
    const size_t elements = tensor_elements(t);
    if (!k) return fail(f, "its type %d is not known", (int)t->data_type);
    if (k->bits < 8) return fail(f, "its type %s is not supported", k->name);
    if (elements == SIZE_MAX) return fail(f, "its dims are no sizes");
    if (tensor_is_absent(m, t)) {
        *data = NULL;
        return write || fail(f, "its data are not here");
    }
    if (!narrow(t, k, elements, f)) return false;
    const void *raw = tensor_raw(m, t);
    if (tensor_is_external(t) && !t->has_raw_data) {
        const size_t align = k->bits / 8 / k->parts;
        if ((write || (uintptr_t)raw % align) && !tensor_set_raw(t, raw, bytes_of(k, elements), f))
            return false;
        raw = tensor_raw(m, t);
    }
    *data = raw ? (void *)raw : store_data(t, k->store);
    return true;
}

static bool get_data(model *m, tensor_proto *t, bool write, void **data, mskp_dtype *dtype,
                     failure *f)
{
    failure inner = {""};
    if (!find_data(m, t, write, data, &inner))
        return fail(f, "tensor \"%.80s\": %s", t->name ? t->name : "", inner.text);
    *dtype = dtype_of(t);
    return true;
}

bool tensor_data(model *m, tensor_proto *t, void **data, mskp_dtype *dtype, failure *f)
{
    return get_data(m, t, false, data, dtype, f);
}

bool tensor_writable(model *m, tensor_proto *t, void **data, mskp_dtype *dtype, failure *f)
{
    return get_data(m, t, true, data, dtype, f);
}

/* ---- numbers ---- */

bool tensor_integer_at(const tensor_proto *t, const void *data, size_t i, int64_t *to)
{
    switch (t->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__BOOL:
        *to = ((const uint8_t *)data)[i] != 0;
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT8:
        *to = ((const uint8_t *)data)[i];
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT8:
        *to = (int64_t)((const int8_t *)data)[i];
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT16:
        *to = ((const uint16_t *)data)[i];
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT16:
        *to = ((const int16_t *)data)[i];
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT32:
        *to = ((const uint32_t *)data)[i];
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT32:
        *to = ((const int32_t *)data)[i];
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__INT64:
        *to = ((const int64_t *)data)[i];
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT64:
        if (((const uint64_t *)data)[i] > INT64_MAX) return false;
        *to = (int64_t)((const uint64_t *)data)[i];
        return true;
    default:
        return false;
    }
}

static double half(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    const double size = exponent == 31 ? (fraction ? NAN : INFINITY)
                        : exponent     ? ldexp(1024 + fraction, exponent - 25)
                                       : ldexp(fraction, -24);
    return bits >> 15 ? -size : size;
}

static double brain(uint16_t bits)
{
    const uint32_t word = (uint32_t)bits << 16;
    float value;
    memcpy(&value, &word, sizeof value);
    return (double)value;
}

static bool number_at(const tensor_proto *t, const void *data, size_t i, double *to)
{
    int64_t whole;
    switch (t->data_type) {
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT:
        *to = (double)((const float *)data)[i];
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__DOUBLE:
        *to = ((const double *)data)[i];
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__FLOAT16:
        *to = half(((const uint16_t *)data)[i]);
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__BFLOAT16:
        *to = brain(((const uint16_t *)data)[i]);
        return true;
    case ONNX__TENSOR_PROTO__DATA_TYPE__UINT64:
        *to = (double)((const uint64_t *)data)[i];
        return true;
    default:
        break;
    }
    if (!tensor_integer_at(t, data, i, &whole)) return false;
    *to = (double)whole;
    return true;
}

/* *data <- the elements, if there are as many as the caller expects. */
static bool counted(model *m, tensor_proto *t, size_t count, void **data, failure *f)
{
    mskp_dtype dtype;
    if (tensor_elements(t) != count)
        return fail(f, "tensor \"%.80s\": it has %zu elements, %zu are wanted",
                    t->name ? t->name : "", tensor_elements(t), count);
    return tensor_data(m, t, data, &dtype, f);
}

bool tensor_integers(model *m, tensor_proto *t, size_t count, int64_t *to, failure *f)
{
    void *data = NULL;
    if (!counted(m, t, count, &data, f)) return false;
    for (size_t i = 0; i < count; i++)
        if (!tensor_integer_at(t, data, i, &to[i]))
            return fail(f, "tensor \"%.80s\": element %zu of type %s is no whole number below 2^63",
                        t->name ? t->name : "", i, kinds[t->data_type].name);
    return true;
}

bool tensor_numbers(model *m, tensor_proto *t, size_t count, double *to, failure *f)
{
    void *data = NULL;
    if (!counted(m, t, count, &data, f)) return false;
    for (size_t i = 0; i < count; i++)
        if (!number_at(t, data, i, &to[i]))
            return fail(f, "tensor \"%.80s\": type %s is none of numbers", t->name ? t->name : "",
                        kinds[t->data_type].name);
    return true;
}

/* ---- changing ---- */

/* Gives back the memory behind the first `size` bytes. */
static void *smaller(void *data, size_t size)
{
    void *less = size ? realloc(data, size) : NULL; /* it may stay as large as it is */
    return less ? less : data;
}

bool tensor_same(model *m, tensor_proto *a, tensor_proto *b)
{
    void *x = NULL, *y = NULL;
    mskp_dtype dtype;
    failure ignored;
    if (a->data_type != b->data_type || tensor_elements(a) != tensor_elements(b)) return false;
    if (!tensor_data(m, a, &x, &dtype, &ignored) || !tensor_data(m, b, &y, &dtype, &ignored))
        return false;
    return x == y || (x && y && !memcmp(x, y, tensor_bytes(a)));
}

void tensor_shrink(model *m, tensor_proto *t, size_t ndim, const size_t *shape)
{
    const kind *k = kind_of(t);
    (void)m;
    for (size_t i = 0; i < ndim; i++) t->dims[i] = (int64_t)shape[i];
    t->n_dims = ndim;
    const size_t elements = tensor_elements(t);
    if (t->has_raw_data) {
        t->raw_data.len = bytes_of(k, elements);
        t->raw_data.data = smaller(t->raw_data.data, t->raw_data.len);
    }
    if (stored(t, k->store)) {
        const size_t count = stored_of(k, elements);
        store_set(t, k->store, smaller(store_data(t, k->store), count * stores[k->store].size),
                  count);
    }
}
