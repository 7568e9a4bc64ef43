/*
 * safetensors files: 8 bytes with the length of a JSON header (little endian), the header, the
 * tensors' data.
 *
 *     {"__metadata__": {"key": "value"}, "name": {"dtype": "F32", "shape": [16, 3, 3, 3],
 * "data_offsets": [0, 1728]}}
 *
 * The reader believes nothing: files come from strangers.
 */
#include "internal.h"

#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "files.h"

enum { LENGTH_BYTES = 8, MAX_DIMS = 8, MAX_HEADER = 100000000 };

static size_t dtype_size(const char *dtype)
{
    static const struct {
        const char *name;
        size_t size;
    } table[] = {{"BOOL", 1}, {"U8", 1},  {"I8", 1},  {"F8_E5M2", 1}, {"F8_E4M3", 1},
                 {"I16", 2},  {"U16", 2}, {"F16", 2}, {"BF16", 2},    {"I32", 4},
                 {"U32", 4},  {"F32", 4}, {"F64", 8}, {"I64", 8},     {"U64", 8}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++)
        if (!strcmp(table[i].name, dtype)) return table[i].size;
    return 0;
}

/* ---- reading ---- */

static bool read_size(const cJSON *item, size_t *size)
{
    if (!cJSON_IsNumber(item)) return false;
    const double d = item->valuedouble;
    if (!(d >= 0 && d <= 9007199254740992.0) || d > (double)SIZE_MAX || floor(d) != d) return false;
    *size = (size_t)d;
    return true;
}

/* A list of at most `most` sizes. */
static bool read_sizes(const cJSON *list, size_t most, size_t *sizes, size_t *count)
{
    *count = 0;
    if (!cJSON_IsArray(list)) return false;
    for (const cJSON *item = list->child; item; item = item->next)
        if (*count == most || !read_size(item, &sizes[(*count)++])) return false;
    return true;
}

static bool read_tensor(const cJSON *entry, const unsigned char *data, size_t size, cn_tensor *t,
                        cn_error *err)
{
    size_t offsets[2] = {0}, n = 0, fields = 0;
    const char *name = t->name = entry->string;
    if (!cJSON_IsObject(entry)) return cn_fail(err, "%.80s: is no object", name);
    for (const cJSON *field = entry->child; field; field = field->next, fields++)
        if (strcmp(field->string, "dtype") != 0 && strcmp(field->string, "shape") != 0 &&
            strcmp(field->string, "data_offsets") != 0)
            return cn_fail(err, "%.80s: has an unknown field %.40s", name, field->string);
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    if (fields != 3) return cn_fail(err, "%.80s: has %zu fields instead of 3", name, fields);
    if (!cJSON_IsString(dtype) || !dtype_size(dtype->valuestring))
        return cn_fail(err, "%.80s: has the unknown dtype %.40s", name,
                       cJSON_IsString(dtype) ? dtype->valuestring : "(none)");
    t->dtype = dtype->valuestring;
    if (!read_sizes(cJSON_GetObjectItemCaseSensitive(entry, "shape"), MAX_DIMS, t->shape, &t->dims))
        return cn_fail(err, "%.80s: its shape is no list of at most %d sizes", name, MAX_DIMS);
    if (!read_sizes(cJSON_GetObjectItemCaseSensitive(entry, "data_offsets"), 2, offsets, &n) ||
        n != 2)
        return cn_fail(err, "%.80s: its data_offsets are not 2 sizes", name);
    if (offsets[0] > offsets[1] || offsets[1] > size)
        return cn_fail(err, "%.80s: its data_offsets %zu and %zu are not in order within %zu bytes",
                       name, offsets[0], offsets[1], size);
    t->count = 1;
    bool fits = true;
    for (size_t d = 0; d < t->dims; d++) fits = fits && cn_mul(t->count, t->shape[d], &t->count);
    if (!fits || !cn_mul(t->count, dtype_size(t->dtype), &t->bytes))
        return cn_fail(err,
                       "%.80s: the product of its %zu sizes is more than this machine can count",
                       name, t->dims);
    if (t->bytes != offsets[1] - offsets[0])
        return cn_fail(err, "%.80s: its shape needs %zu bytes, its data_offsets give %zu", name,
                       t->bytes, offsets[1] - offsets[0]);
    t->data = data + offsets[0];
    return true;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const cn_tensor *)a)->name, ((const cn_tensor *)b)->name);
}

static int by_data(const void *a, const void *b)
{
    const cn_tensor *p = a, *q = b;
    const unsigned char *x = p->data, *y = q->data;
    if (x != y) return x < y ? -1 : 1;
    if (p->bytes != q->bytes) return p->bytes < q->bytes ? -1 : 1;
    return strcmp(p->name, q->name);
}

/* Every name once, every byte of the data in one tensor. */
static bool check_tensors(cn_tensors *file, const unsigned char *data, size_t size, cn_error *err)
{
    if (file->count) qsort(file->tensors, file->count, sizeof *file->tensors, by_name);
    for (size_t i = 1; i < file->count; i++)
        if (!strcmp(file->tensors[i - 1].name, file->tensors[i].name))
            return cn_fail(err, "%.80s: the name is used twice", file->tensors[i].name);
    if (file->count) qsort(file->tensors, file->count, sizeof *file->tensors, by_data);
    size_t end = 0;
    for (size_t i = 0; i < file->count; i++) {
        const cn_tensor *t = &file->tensors[i];
        const size_t begin = (size_t)((const unsigned char *)t->data - data);
        if (begin != end)
            return cn_fail(
                err, "%.80s: begins at byte %zu of the data, but what comes before it ends at %zu",
                t->name, begin, end);
        end += t->bytes;
    }
    if (end != size)
        return cn_fail(err, "the tensors end at byte %zu of the data, which has %zu", end, size);
    return true;
}

static bool read_meta(const cJSON *entry, cn_tensors *file, cn_error *err)
{
    if (!cJSON_IsObject(entry)) return cn_fail(err, "__metadata__ is no object");
    for (const cJSON *item = entry->child; item; item = item->next) {
        if (!cJSON_IsString(item))
            return cn_fail(err, "__metadata__: the value of %.80s is no string", item->string);
        if (cn_tensors_meta(file, item->string))
            return cn_fail(err, "__metadata__: the key %.80s is used twice", item->string);
        file->meta[2 * file->meta_count] = item->string;
        file->meta[2 * file->meta_count++ + 1] = item->valuestring;
    }
    return true;
}

/* *length <- the header's length, which the first bytes of a file of `size` bytes say. */
static bool read_length(const unsigned char *bytes, size_t size, uint64_t *length, cn_error *err)
{
    *length = 0;
    if (size < LENGTH_BYTES)
        return cn_fail(err, "%zu bytes are too few for a header of %d", size, LENGTH_BYTES);
    for (size_t i = LENGTH_BYTES; i--;) *length = *length << 8 | bytes[i];
    if (*length > size - LENGTH_BYTES || *length > MAX_HEADER)
        return cn_fail(err,
                       "the header's length is %llu, but %zu bytes follow and %d are the limit",
                       (unsigned long long)*length, size - LENGTH_BYTES, MAX_HEADER);
    return *length || cn_fail(err, "the header of 0 bytes is no JSON object");
}

static bool parse(const unsigned char *bytes, size_t size, cn_tensors *file, cn_error *err)
{
    uint64_t length;
    if (!read_length(bytes, size, &length, err)) return false;
    const char *text = (const char *)bytes + LENGTH_BYTES, *end = NULL;
    const unsigned char *data = bytes + LENGTH_BYTES + length;
    size -= LENGTH_BYTES + (size_t)length;
    if (text[0] != '{')
        return cn_fail(err, "the header of %zu bytes is no JSON object", (size_t)length);
    cJSON *root = file->json = cJSON_ParseWithLengthOpts(text, (size_t)length, &end, false);
    if (!cJSON_IsObject(root))
        return cn_fail(err,
                       "the header is no JSON from byte %zu of %zu on, or too large for memory",
                       end ? (size_t)(end - text) : 0, (size_t)length);
    for (; end < text + length; end++)
        if (*end != ' ')
            return cn_fail(
                err, "after the JSON, at byte %zu of the header of %zu, stands more than blanks",
                (size_t)(end - text), (size_t)length);

    const cJSON *meta = NULL;
    size_t entries = 0, metas = 0;
    for (const cJSON *entry = root->child; entry; entry = entry->next, entries++) {
        if (strcmp(entry->string, "__metadata__") != 0) continue;
        if (meta) return cn_fail(err, "__metadata__ is there twice");
        meta = entry;
        metas = (size_t)cJSON_GetArraySize(meta);
    }
    file->tensors = calloc(entries + 1, sizeof *file->tensors);
    file->meta = calloc(2 * metas + 1, sizeof *file->meta);
    if (!file->tensors || !file->meta) return cn_fail(err, "no memory for %zu entries", entries);
    if (meta && !read_meta(meta, file, err)) return false;
    for (const cJSON *entry = root->child; entry; entry = entry->next)
        if (entry != meta && !read_tensor(entry, data, size, &file->tensors[file->count++], err))
            return false;
    return check_tensors(file, data, size, err);
}

bool cn_tensors_parse(const void *bytes, size_t size, cn_tensors *file, cn_error *err)
{
    *file = (cn_tensors){0};
    if (parse(bytes, size, file, err)) return true;
    cn_tensors_free(file);
    return false;
}

/* The length of the header is looked at before memory is taken for the rest. */
static bool read_all(file_input *in, char **bytes, size_t *size, cn_error *err)
{
    unsigned char first[LENGTH_BYTES];
    file_error why;
    uint64_t length;
    size_t got;
    if (!file_get(in, sizeof first, first, &got, &why)) return cn_fail(err, "%s", why.text);
    const size_t most = got < sizeof first ? got : in->regular ? in->size : FILE_STREAM_MOST;
    return read_length(first, most, &length, err) &&
           (file_rest(in, got, first, SIZE_MAX, bytes, size, &why) || cn_fail(err, "%s", why.text));
}

bool cn_tensors_read(const char *path, cn_tensors *file, cn_error *err)
{
    file_input in;
    file_error why;
    cn_error inner = {""};
    char *bytes = NULL;
    size_t size = 0;
    *file = (cn_tensors){0};
    if (!file_open(&in, path, &why)) return cn_fail(err, "%.120s: %s", path, why.text);
    const bool good =
        read_all(&in, &bytes, &size, &inner) && cn_tensors_parse(bytes, size, file, &inner);
    file_close(&in);
    if (good) {
        file->bytes = bytes;
        return true;
    }
    free(bytes);
    return cn_fail(err, "%.100s: %.150s", path, inner.text);
}

void cn_tensors_free(cn_tensors *file)
{
    free(file->tensors);
    free(file->meta);
    cJSON_Delete(file->json);
    free(file->bytes);
    *file = (cn_tensors){0};
}

const cn_tensor *cn_tensors_find(const cn_tensors *file, const char *name)
{
    for (size_t i = 0; i < file->count; i++)
        if (!strcmp(file->tensors[i].name, name)) return &file->tensors[i];
    return NULL;
}

const char *cn_tensors_meta(const cn_tensors *file, const char *key)
{
    for (size_t i = 0; i < file->meta_count; i++)
        if (!strcmp(file->meta[2 * i], key)) return file->meta[2 * i + 1];
    return NULL;
}

/* The bytes of numbers are taken apart and put together by shifts, so the machine's own order of
 * bytes does not matter. */
static uint64_t load_bytes(const unsigned char *bytes, size_t n)
{
    uint64_t bits = 0;
    while (n--) bits = bits << 8 | bytes[n];
    return bits;
}

void cn_encode(const cn_real *values, size_t count, unsigned char *to)
{
    for (size_t i = 0; i < count; i++) {
#ifdef CN_DOUBLE
        uint64_t bits;
#else
        uint32_t bits;
#endif
        memcpy(&bits, &values[i], sizeof bits);
        for (size_t k = 0; k < sizeof bits; k++) *to++ = (unsigned char)(bits >> 8 * k);
    }
}

/* Refuses a tensor that holds no numbers of a network; *single <- whether it is F32, else F64. */
static bool check_type(const cn_tensor *tensor, bool *single, cn_error *err)
{
    *single = !strcmp(tensor->dtype, "F32");
    return *single || !strcmp(tensor->dtype, "F64") ||
           cn_fail(err, "%.80s: is %s, neither F32 nor F64", tensor->name, tensor->dtype);
}

/* An element as a cn_real, which an F64 may overflow. */
static cn_real element(const cn_tensor *tensor, bool single, size_t i)
{
    const unsigned char *bytes = tensor->data;
    float f;
    double d;
    if (single) {
        const uint32_t bits = (uint32_t)load_bytes(bytes + i * sizeof f, sizeof f);
        memcpy(&f, &bits, sizeof f);
        return (cn_real)f;
    }
    const uint64_t bits = load_bytes(bytes + i * sizeof d, sizeof d);
    memcpy(&d, &bits, sizeof d);
    return (cn_real)d;
}

bool cn_tensor_copy(const cn_tensor *tensor, size_t count, cn_real *to, cn_error *err)
{
    bool single;
    if (!check_type(tensor, &single, err)) return false;
    if (tensor->count != count)
        return cn_fail(err, "%.80s: has %zu elements, %zu are wanted", tensor->name, tensor->count,
                       count);
    for (size_t i = 0; i < count; i++) to[i] = element(tensor, single, i);
    return true;
}

bool cn_tensor_check_finite(const cn_tensor *tensor, cn_error *err)
{
    bool single;
    if (!check_type(tensor, &single, err)) return false;
    for (size_t i = 0; i < tensor->count; i++) {
        const double x = (double)element(tensor, single, i);
        if (!isfinite(x))
            return cn_fail(err, "%.80s: element %zu of %zu is %g, which is not finite",
                           tensor->name, i, tensor->count, x);
    }
    return true;
}

/* ---- writing ---- */

static size_t tensor_bytes(const cn_tensor *t)
{
    size_t bytes = dtype_size(t->dtype);
    for (size_t d = 0; d < t->dims; d++) bytes *= t->shape[d];
    return bytes;
}

/* The header, or NULL without memory. Free with cJSON_free. */
static char *make_header(const cn_tensors *file)
{
    cJSON *root = cJSON_CreateObject();
    bool good = root != NULL;
    if (good && file->meta_count) {
        cJSON *meta = cJSON_AddObjectToObject(root, "__metadata__");
        for (size_t i = 0; good && i < file->meta_count; i++)
            good = meta && cJSON_AddStringToObject(meta, file->meta[2 * i], file->meta[2 * i + 1]);
    }
    size_t offset = 0;
    for (size_t i = 0; good && i < file->count; i++) {
        const cn_tensor *t = &file->tensors[i];
        const size_t end = offset + tensor_bytes(t);
        cJSON *entry = cJSON_AddObjectToObject(root, t->name);
        good = entry && cJSON_AddStringToObject(entry, "dtype", t->dtype);
        cJSON *shape = good ? cJSON_AddArrayToObject(entry, "shape") : NULL;
        for (size_t d = 0; d < t->dims; d++)
            good = good && shape &&
                   cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)t->shape[d]));
        cJSON *offsets = good ? cJSON_AddArrayToObject(entry, "data_offsets") : NULL;
        good = offsets && cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)offset)) &&
               cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)end));
        offset = end;
    }
    char *text = good ? cJSON_PrintUnformatted(root) : NULL;
    cJSON_Delete(root);
    return text;
}

/* Adds the whole file to an output. False: put failed. */
static bool put_tensors(file_output *out, const cn_tensors *file, const char *header, cn_put put,
                        void *context)
{
    const size_t length = strlen(header), padded = (length + 7) / 8 * 8;
    unsigned char bytes[LENGTH_BYTES];
    for (size_t i = 0; i < LENGTH_BYTES; i++) bytes[i] = (unsigned char)((uint64_t)padded >> 8 * i);
    file_put(out, bytes, sizeof bytes);
    file_put(out, header, length);
    file_put(out, "       ", padded - length);
    for (size_t i = 0; i < file->count; i++) {
        if (!put)
            file_put(out, file->tensors[i].data, tensor_bytes(&file->tensors[i]));
        else if (!put(context, i, out))
            return false;
    }
    return true;
}

bool cn_tensors_write(const char *path, const cn_tensors *file, cn_error *err)
{
    return cn_tensors_write_each(path, file, NULL, NULL, err);
}

bool cn_tensors_write_each(const char *path, const cn_tensors *file, cn_put put, void *context,
                           cn_error *err)
{
    file_output out;
    file_error why;
    for (size_t i = 0; i < file->count; i++)
        if (!dtype_size(file->tensors[i].dtype) || file->tensors[i].dims > MAX_DIMS)
            return cn_fail(err, "%.80s: a tensor of %zu dimensions and dtype %s cannot be written",
                           file->tensors[i].name, file->tensors[i].dims, file->tensors[i].dtype);
    char *header = make_header(file);
    if (!header)
        return cn_fail(err, "%s: no memory for the header of %zu tensors", path, file->count);
    bool good = file_create(&out, path, &why), whole = true;
    if (good) {
        whole = put_tensors(&out, file, header, put, context);
        good = whole && file_commit(&out, &why);
    }
    file_discard(&out);
    cJSON_free(header);
    if (!whole) return cn_fail(err, "%s: the data of a tensor are missing", path);
    return good || cn_fail(err, "%.120s: %s", path, why.text);
}
