/*
 * Tests of mskp_onnx.h: what it says of small models, against these models; what is refused;
 * several objects and threads; and every call for memory failing in turn (this program is linked
 * with --wrap=malloc and its kind).
 */
#include "mskp_onnx.h"
#include "wire.h"

#include <check.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mskp/tools.h"

/* ---- Memory that fails ---- */

static size_t calls, failing; /* the call that fails, from 1 on; 0: none */
static ptrdiff_t blocks;      /* that are not freed */
static bool counting;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *old, size_t size);
void __real_free(void *memory);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *old, size_t size);
void __wrap_free(void *memory);

static bool fails(void)
{
    return counting && ++calls == failing;
}

static void *counted(void *memory)
{
    if (counting && memory) blocks++;
    return memory;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : counted(__real_malloc(size));
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *old, size_t size)
{
    if (fails()) return NULL;
    return old ? __real_realloc(old, size) : counted(__real_realloc(old, size));
}

void __wrap_free(void *memory)
{
    if (counting && memory) blocks--;
    __real_free(memory);
}

/* ---- Models ---- */

enum { FLOAT = 1, INT64 = 7, MOST = 8 };

/* A field with several words, which are separated by blanks; "-" is an empty one. */
static void put_words(bytes *to, uint32_t field, const char *words)
{
    while (*words) {
        const size_t size = strcspn(words, " ");
        put_block(to, field, words, *words == '-' ? 0 : size);
        words += size + (words[size] == ' ');
    }
}

static void put_dims(bytes *to, uint32_t field, size_t ndim, const size_t *dim)
{
    for (size_t k = 0; k < ndim; k++) put_integer(to, field, dim[k]);
}

typedef struct dims {
    size_t n, d[MOST];
} dims;
/* clang-format off */
#define DIMS(...) (dims){sizeof((size_t[]){__VA_ARGS__}) / sizeof(size_t), {__VA_ARGS__}}
/* clang-format on */

static size_t elements(dims s)
{
    size_t p = 1;
    for (size_t k = 0; k < s.n; k++) p *= s.d[k];
    return p;
}

/* The numbers of an initializer: element i is a number that no other initializer has. */
static float number(const char *name, size_t i)
{
    unsigned hash = 17;
    for (; *name; name++) hash = hash * 31 + (unsigned char)*name;
    return (float)(hash % 1000) + (float)i / 4096;
}

typedef enum place { IN_PLACE, NOWHERE, ELSEWHERE } place;

static bytes tensor_of(const char *name, dims s, place where_to)
{
    bytes t = {0}, entry = {0};
    put_dims(&t, 1, s.n, s.d);
    put_integer(&t, 2, FLOAT);
    put_text(&t, 8, name);
    if (where_to == ELSEWHERE) {
        put_text(&entry, 1, "location");
        put_text(&entry, 2, "there.data");
        put_message(&t, 13, &entry);
        put_integer(&t, 14, 1);
    }
    if (where_to != IN_PLACE) return t;
    const size_t n = elements(s);
    float *raw = malloc((n + 1) * sizeof *raw);
    ck_assert_ptr_nonnull(raw);
    for (size_t i = 0; i < n; i++) raw[i] = number(name, i);
    put_block(&t, 9, raw, n * sizeof *raw);
    free(raw);
    return t;
}

static place where; /* the data of what add_data adds */

static void add_data(bytes *graph, const char *name, dims s)
{
    bytes t = tensor_of(name, s, where);
    put_message(graph, 5, &t);
}

static void add_integers(bytes *graph, const char *name, dims s)
{
    bytes t = {0};
    put_integer(&t, 1, s.n);
    put_integer(&t, 2, INT64);
    put_text(&t, 8, name);
    for (size_t k = 0; k < s.n; k++) put_integer(&t, 7, s.d[k]);
    put_message(graph, 5, &t);
}

/* attribute: "name=7" or "name=7,8"; several are separated by blanks. */
static void put_attribute(bytes *node, const char *text)
{
    bytes a = {0};
    const size_t name = strcspn(text, "=");
    const bool list = text[name + strcspn(text + name, ", ")] == ',';
    put_block(&a, 1, text, name);
    text += name;
    while (*text == '=' || *text == ',')
        put_integer(&a, list ? 8 : 3, strtoull(text + 1, (char **)&text, 10));
    put_integer(&a, 20, list ? 7 : 2);
    put_message(node, 5, &a);
}

static void add_node(bytes *graph, const char *op, const char *in, const char *out,
                     const char *attributes)
{
    bytes node = {0};
    put_words(&node, 1, in);
    put_words(&node, 2, out);
    put_text(&node, 3, out);
    put_text(&node, 4, op);
    while (*attributes) {
        put_attribute(&node, attributes);
        attributes += strcspn(attributes, " ");
        attributes += *attributes == ' ';
    }
    put_message(graph, 1, &node);
}

/* field 11: an input, 12: an output. A length of 0 is open, and called "n". */
static void add_value(bytes *graph, uint32_t field, const char *name, dims s)
{
    bytes shape = {0}, tensor = {0}, type = {0}, info = {0};
    for (size_t k = 0; k < s.n; k++) {
        bytes dim = {0};
        if (s.d[k])
            put_integer(&dim, 1, s.d[k]);
        else
            put_text(&dim, 2, "n");
        put_message(&shape, 1, &dim);
    }
    put_integer(&tensor, 1, FLOAT);
    put_message(&tensor, 2, &shape);
    put_message(&type, 1, &tensor);
    put_text(&info, 1, name);
    put_message(&info, 2, &type);
    put_message(graph, field, &info);
}

static bytes model_of(bytes *graph)
{
    bytes m = {0}, set = {0};
    put_integer(&m, 1, 8);
    put_message(&m, 7, graph);
    put_integer(&set, 2, 18);
    put_message(&m, 8, &set);
    return m;
}

static void add_conv(bytes *g, const char *in, const char *out, size_t from, size_t to)
{
    char weight[20], bias[20], names[60];
    snprintf(weight, sizeof weight, "%s.weight", out);
    snprintf(bias, sizeof bias, "%s.bias", out);
    snprintf(names, sizeof names, "%s %s %s", in, weight, bias);
    add_data(g, weight, DIMS(to, from, 3, 3));
    add_data(g, bias, DIMS(to));
    add_node(g, "Conv", names, out, "pads=1,1,1,1");
}

/* The end of each model: a mean over positions and a linear layer, whose matrix is [in][out]. */
static bytes finish(bytes *g, const char *last, size_t channels)
{
    add_data(g, "head.weight", DIMS(channels, 3));
    add_data(g, "head.bias", DIMS(3));
    add_node(g, "GlobalAveragePool", last, "mean", "");
    add_node(g, "Flatten", "mean", "flat", "axis=1");
    add_node(g, "Gemm", "flat head.weight head.bias", "y", "");
    add_value(g, 11, "x", DIMS(0, 3, 8, 8));
    add_value(g, 12, "y", DIMS(0, 3));
    return model_of(g);
}

/* x -> a (8) -> b, which is batch norm and relu -> c (12) -> head */
static bytes plain(void)
{
    bytes g = {0};
    add_conv(&g, "x", "a", 3, 8);
    add_data(&g, "b.gamma", DIMS(8));
    add_data(&g, "b.beta", DIMS(8));
    add_data(&g, "b.mean", DIMS(8));
    add_data(&g, "b.var", DIMS(8));
    add_node(&g, "BatchNormalization", "a b.gamma b.beta b.mean b.var", "b", "");
    add_node(&g, "Relu", "b", "r", "");
    add_conv(&g, "r", "c", 8, 12);
    return finish(&g, "c", 12);
}

/* ---- Opening ---- */

static mskp_onnx *open_model(bytes *model, const mskp_onnx_options *options)
{
    mskp_onnx *onnx = NULL;
    mskp_error err = {.text = "untouched"};
    const mskp_status status = mskp_onnx_open(model->data, model->size, options, &onnx, &err);
    ck_assert_msg(!status, "%s", err.text);
    ck_assert_str_eq(err.text, "untouched");
    bytes_free(model);
    return onnx;
}

static const mskp_onnx_options FIXED = {.fixed = 1};

static mskp_onnx *open_fixed(bytes model)
{
    return open_model(&model, &FIXED);
}

static mskp_onnx *open_free(bytes model)
{
    return open_model(&model, NULL);
}

static void refuse(bytes *model, const mskp_onnx_options *options, mskp_status want,
                   const char *words)
{
    mskp_onnx *onnx = NULL;
    mskp_error err = {.text = ""};
    const mskp_status status = mskp_onnx_open(model->data, model->size, options, &onnx, &err);
    ck_assert_msg(status == want, "%s: status %d: %s", words, (int)status, err.text);
    ck_assert_int_eq(err.status, want);
    ck_assert_msg(strstr(err.text, words) != NULL, "%s: %s", words, err.text);
    ck_assert_ptr_null(onnx);
    bytes_free(model);
}

static size_t units_of(const mskp_onnx *onnx)
{
    return mskp_graph_counts(mskp_onnx_graph(onnx)).units;
}

static mskp_onnx_param param_of(const mskp_onnx *onnx, const char *name)
{
    const mskp_graph *graph = mskp_onnx_graph(onnx);
    mskp_onnx_param found = {.name = NULL}, p;
    for (uint32_t id = 1; id <= mskp_graph_counts(graph).params; id++) {
        mskp_error err;
        ck_assert(!mskp_onnx_parameter(onnx, (mskp_param){id}, &p, &err));
        ck_assert_uint_eq(p.ndim, mskp_param_shape(graph, (mskp_param){id}, NULL));
        if (!strcmp(p.name, name)) found = p;
    }
    ck_assert_msg(found.name != NULL, "no parameter %s", name);
    return found;
}

/* The units of a tensor's channels, and how many; the axis must be this one. */
static const uint32_t *tensor_units(const mskp_onnx *onnx, const char *name, size_t *count)
{
    mskp_value value = {0};
    uint32_t axis = 99;
    mskp_error err = {.text = ""};
    ck_assert_msg(!mskp_onnx_tensor(onnx, name, &value, &axis, &err), "%s", err.text);
    ck_assert_uint_ne(value.id, 0);
    ck_assert_uint_eq(axis, 1);
    return mskp_value_units(mskp_onnx_graph(onnx), value, count);
}

/* ---- What it says ---- */

/* Element by element: index i of the parameter is an element of the initializer. */
static void compare_elements(const mskp_onnx_param *p, const mskp_tensor *view, dims s,
                             const size_t *shape)
{
    size_t at[MOST] = {0}, stride[MOST];
    size_t count = 1;
    for (size_t k = s.n, p2 = 1; k--; p2 *= s.d[k]) stride[k] = p2;
    for (uint32_t j = 0; j < p->ndim; j++) count *= shape[j];
    ck_assert_uint_eq(count, elements(s));
    for (size_t i = 0; i < count; i++) {
        size_t from = 0;
        ptrdiff_t offset = 0;
        for (uint32_t j = 0; j < p->ndim; j++) {
            from += at[j] * stride[p->axis[j]];
            offset += (ptrdiff_t)at[j] * view->stride[j];
        }
        ck_assert_float_eq(((const float *)view->data)[offset], number(p->name, from));
        for (uint32_t j = p->ndim; j-- && ++at[j] == shape[j];) at[j] = 0;
    }
}

static void compare_values(mskp_onnx *onnx, const char *const *names, const dims *shapes, size_t n)
{
    const mskp_graph *graph = mskp_onnx_graph(onnx);
    mskp_tensor view[20];
    mskp_error err;
    const size_t params = mskp_graph_counts(graph).params;
    ck_assert_uint_eq(params, n);
    const mskp_tensors values = {params, view};
    ck_assert(!mskp_onnx_values(onnx, values, &err));
    for (uint32_t id = 1; id <= params; id++) {
        size_t shape[MSKP_MAX_DIMS], k = 0;
        mskp_onnx_param p;
        ck_assert(!mskp_onnx_parameter(onnx, (mskp_param){id}, &p, &err));
        mskp_param_shape(graph, (mskp_param){id}, shape);
        while (k < n && strcmp(p.name, names[k]) != 0) k++;
        ck_assert_uint_lt(k, n);
        compare_elements(&p, &view[id - 1], shapes[k], shape);
    }
}

START_TEST(values_are_the_files)
{
    static const char *const names[] = {"a.weight",    "a.bias",   "b.gamma",  "b.beta",
                                        "b.mean",      "b.var",    "c.weight", "c.bias",
                                        "head.weight", "head.bias"};
    const dims shapes[] = {DIMS(8, 3, 3, 3), DIMS(8),           DIMS(8),  DIMS(8),     DIMS(8),
                           DIMS(8),          DIMS(12, 8, 3, 3), DIMS(12), DIMS(12, 3), DIMS(3)};
    for (int fixed = 0; fixed < 2; fixed++) {
        mskp_onnx *onnx = fixed ? open_fixed(plain()) : open_free(plain());
        compare_values(onnx, names, shapes, 10);
        ck_assert_uint_eq(units_of(onnx), 20);
        const mskp_onnx_param head = param_of(onnx, "head.weight");
        ck_assert(head.axis[0] != head.axis[1] && head.axis[0] < 2 && head.axis[1] < 2);
        ck_assert(!head.copied && !head.computed && !head.locked);
        size_t count;
        tensor_units(onnx, "r", &count);
        ck_assert_uint_eq(count, 8);
        ck_assert(strstr(mskp_onnx_reason(onnx, 0), "pinned by output: 3 channels") != NULL);
        ck_assert_ptr_null(mskp_onnx_reason(onnx, 1));
        mskp_onnx_close(onnx);
    }
}
END_TEST

START_TEST(tensors_by_name)
{
    mskp_onnx *onnx = open_free(plain());
    mskp_value value = {7};
    uint32_t axis = 7;
    mskp_error err = {.text = ""};
    ck_assert(!mskp_onnx_tensor(onnx, "x", &value, &axis, &err));
    ck_assert_uint_eq(value.id, 0);
    ck_assert(!mskp_onnx_tensor(onnx, "y", &value, &axis, &err));
    ck_assert_uint_eq(value.id, 0);
    value.id = 7;
    ck_assert_int_eq(mskp_onnx_tensor(onnx, "z", &value, &axis, &err), MSKP_ERROR_BAD_NAME);
    ck_assert_str_eq(err.text, "z: no tensor of the network");
    ck_assert_int_eq(mskp_onnx_tensor(onnx, "a.bias", &value, &axis, NULL), MSKP_ERROR_BAD_NAME);
    ck_assert_uint_eq(value.id, 7);
    mskp_onnx_close(onnx);
}
END_TEST

/* The same network without numbers is the same graph. */
START_TEST(data_may_be_absent)
{
    uint64_t hash[3];
    for (where = IN_PLACE; where <= ELSEWHERE; where++) {
        mskp_tensor view[10];
        mskp_error err;
        mskp_onnx *onnx = open_fixed(plain());
        hash[where] = mskp_fingerprint(mskp_onnx_graph(onnx));
        ck_assert(!mskp_onnx_values(onnx, (mskp_tensors){10, view}, &err));
        for (size_t i = 0; i < 10; i++) ck_assert((view[i].data != NULL) == (where == IN_PLACE));
        mskp_onnx_close(onnx);
        bytes model = plain();
        if (where == NOWHERE) refuse(&model, NULL, MSKP_ERROR_BAD_TEXT, "its shape needs");
        if (where == ELSEWHERE) refuse(&model, NULL, MSKP_ERROR_BAD_TEXT, "there is no folder");
        bytes_free(&model);
    }
    where = IN_PLACE;
    ck_assert(hash[0] == hash[1] && hash[0] == hash[2]);
}
END_TEST

/* Numbers that shapes need must be there. */
START_TEST(integers_must_be_there)
{
    bytes g = {0}, t = {0};
    put_integer(&t, 1, 4);
    put_integer(&t, 2, INT64);
    put_text(&t, 8, "shape");
    put_message(&g, 5, &t);
    add_conv(&g, "x", "a", 3, 8);
    bytes m = finish(&g, "a", 8);
    refuse(&m, &FIXED, MSKP_ERROR_BAD_TEXT, "\"shape\": its shape needs 32 bytes");
}
END_TEST

/* ---- Fixed ---- */

/* How many different units `count` channels have; SIZE_MAX: one of them stays. */
static size_t distinct(const uint32_t *units, size_t count)
{
    size_t different = 0;
    for (size_t i = 0; i < count; i++) {
        size_t k = 0;
        if (units[i] == MSKP_PINNED) return SIZE_MAX;
        while (k < i && units[k] != units[i]) k++;
        different += k == i;
    }
    return different;
}

/* Channels at the same place of the parts of this length have one unit, others do not. */
static void require_parts(const mskp_onnx *onnx, const char *name, size_t length)
{
    size_t count;
    const uint32_t *units = tensor_units(onnx, name, &count);
    ck_assert_uint_eq(distinct(units, count), length);
    for (size_t i = 0; i < count; i++) ck_assert_uint_eq(units[i], units[i % length]);
}

static bytes split(const char *attributes, const char *parts, const char *last, size_t channels)
{
    bytes g = {0};
    add_conv(&g, "x", "a", 3, 12);
    add_integers(&g, "parts", DIMS(4, 8));
    add_node(&g, "Split", strchr(attributes, 's') && !strstr(attributes, "num") ? "a parts" : "a",
             parts, attributes);
    add_conv(&g, last, "c", channels, 5);
    return finish(&g, "c", 5);
}

START_TEST(equal_parts_of_a_split)
{
    size_t count;
    mskp_onnx *onnx = open_fixed(split("axis=1 num_outputs=3", "p q r", "q", 4));
    require_parts(onnx, "a", 4);
    mskp_onnx_close(onnx);
    onnx = open_free(split("axis=1 num_outputs=3", "p q r", "q", 4));
    ck_assert_uint_eq(distinct(tensor_units(onnx, "a", &count), 12), 12);
    mskp_onnx_close(onnx);
}
END_TEST

START_TEST(other_parts_of_a_split)
{
    mskp_value value = {7};
    uint32_t axis;
    size_t count;
    mskp_onnx *onnx = open_fixed(split("axis=1 s=1", "p q", "q", 8));
    ck_assert(!mskp_onnx_tensor(onnx, "a", &value, &axis, NULL));
    ck_assert_uint_eq(value.id, 0);
    mskp_onnx_close(onnx);
    onnx = open_free(split("axis=1 s=1", "p q", "q", 8));
    ck_assert_uint_eq(distinct(tensor_units(onnx, "a", &count), 12), 12);
    mskp_onnx_close(onnx);
}
END_TEST

static bytes slice(size_t first, size_t end)
{
    bytes g = {0};
    add_conv(&g, "x", "a", 3, 12);
    add_integers(&g, "first", DIMS(first));
    add_integers(&g, "end", DIMS(end));
    add_integers(&g, "axis", DIMS(1));
    add_node(&g, "Slice", "a first end axis", "s", "");
    add_conv(&g, "s", "c", end - first, 5);
    return finish(&g, "c", 5);
}

static void require_pinned(mskp_onnx *onnx, const char *name)
{
    size_t count;
    mskp_value value = {7};
    uint32_t axis;
    ck_assert(!mskp_onnx_tensor(onnx, name, &value, &axis, NULL));
    const uint32_t *units =
        value.id ? mskp_value_units(mskp_onnx_graph(onnx), value, &count) : NULL;
    for (size_t i = 0; units && i < count; i++) ck_assert_uint_eq(units[i], MSKP_PINNED);
    mskp_onnx_close(onnx);
}

START_TEST(slices)
{
    size_t count;
    mskp_onnx *onnx = open_fixed(slice(6, 12));
    require_parts(onnx, "a", 6);
    mskp_onnx_close(onnx);
    onnx = open_fixed(slice(0, 12));
    ck_assert_uint_eq(distinct(tensor_units(onnx, "a", &count), 12), 12);
    mskp_onnx_close(onnx);
    require_pinned(open_fixed(slice(0, 5)), "a");
    require_pinned(open_fixed(slice(3, 9)), "a");
    onnx = open_free(slice(3, 9));
    ck_assert_uint_eq(distinct(tensor_units(onnx, "a", &count), 12), 12);
    mskp_onnx_close(onnx);
}
END_TEST

static bytes shuffle(void)
{
    bytes g = {0};
    add_conv(&g, "x", "a", 3, 12);
    add_integers(&g, "apart", DIMS(0, 3, 4, 64));
    add_integers(&g, "together", DIMS(0, 12, 8, 8));
    add_node(&g, "Reshape", "a apart", "s", "");
    add_node(&g, "Transpose", "s", "t", "perm=0,2,1,3");
    add_node(&g, "Reshape", "t together", "u", "");
    add_conv(&g, "u", "c", 12, 5);
    return finish(&g, "c", 5);
}

START_TEST(shuffles)
{
    size_t count;
    mskp_onnx *onnx = open_fixed(shuffle());
    require_parts(onnx, "a", 4);
    mskp_onnx_close(onnx);
    onnx = open_free(shuffle());
    ck_assert_uint_eq(distinct(tensor_units(onnx, "a", &count), 12), 12);
    mskp_onnx_close(onnx);
}
END_TEST

static bytes padded(void)
{
    bytes g = {0};
    add_conv(&g, "x", "a", 3, 4);
    add_integers(&g, "pads", DIMS(0, 2, 0, 0, 0, 3, 0, 0));
    add_node(&g, "Pad", "a pads", "p", "");
    add_conv(&g, "p", "c", 9, 5);
    return finish(&g, "c", 5);
}

START_TEST(pads)
{
    size_t count;
    mskp_onnx *onnx = open_fixed(padded());
    const uint32_t *units = tensor_units(onnx, "p", &count);
    ck_assert_uint_eq(count, 9);
    for (size_t i = 0; i < 9; i++) ck_assert((units[i] == MSKP_PINNED) == (i < 2 || i >= 6));
    ck_assert_uint_eq(distinct(units + 2, 4), 4);
    mskp_onnx_close(onnx);
    onnx = open_free(padded());
    ck_assert_uint_eq(distinct(tensor_units(onnx, "p", &count), 9), 9);
    mskp_onnx_close(onnx);
}
END_TEST

static bytes gathered(void)
{
    bytes g = {0};
    add_conv(&g, "x", "a", 3, 6);
    add_integers(&g, "places", DIMS(5, 0, 1, 2, 3, 4));
    add_node(&g, "Gather", "a places", "s", "axis=1");
    add_conv(&g, "s", "c", 6, 5);
    return finish(&g, "c", 5);
}

START_TEST(channels_by_index)
{
    size_t count;
    require_pinned(open_fixed(gathered()), "a");
    mskp_onnx *onnx = open_free(gathered());
    ck_assert_uint_eq(distinct(tensor_units(onnx, "a", &count), 6), 6);
    mskp_onnx_close(onnx);
}
END_TEST

/* One bias for two convolutions. */
static bytes shared(void)
{
    bytes g = {0};
    add_data(&g, "a.weight", DIMS(8, 3, 1, 1));
    add_data(&g, "c.weight", DIMS(8, 8, 1, 1));
    add_data(&g, "both", DIMS(8));
    add_node(&g, "Conv", "x a.weight both", "a", "");
    add_node(&g, "Conv", "a c.weight both", "c", "");
    return finish(&g, "c", 8);
}

START_TEST(shared_vectors)
{
    size_t count;
    mskp_onnx *onnx = open_fixed(shared());
    const mskp_onnx_param whole = param_of(onnx, "both");
    ck_assert(!whole.copied && !whole.locked);
    ck_assert_uint_eq(units_of(onnx), 8);
    const uint32_t *a = tensor_units(onnx, "a", &count);
    ck_assert_int_eq(memcmp(a, tensor_units(onnx, "c", &count), 8 * sizeof *a), 0);
    mskp_onnx_close(onnx);
    onnx = open_free(shared());
    ck_assert(param_of(onnx, "both").copied);
    ck_assert_uint_eq(units_of(onnx), 16);
    mskp_onnx_close(onnx);
}
END_TEST

/* A weight that the network computes from two parameters. */
static bytes product(void)
{
    bytes g = {0};
    add_data(&g, "v", DIMS(8, 3, 1, 1));
    add_data(&g, "g", DIMS(8, 1, 1, 1));
    add_node(&g, "Mul", "v g", "weight", "");
    add_node(&g, "Conv", "x weight", "a", "");
    return finish(&g, "a", 8);
}

START_TEST(computed_weights)
{
    mskp_onnx *onnx = open_free(product());
    const mskp_onnx_param weight = param_of(onnx, "weight/folded");
    ck_assert(weight.computed && !weight.copied && !weight.locked);
    ck_assert(!param_of(onnx, "head.weight").computed);
    ck_assert_uint_eq(units_of(onnx), 8);
    mskp_onnx_close(onnx);
    onnx = open_fixed(product());
    ck_assert_uint_eq(units_of(onnx), 0);
    ck_assert(strstr(mskp_onnx_reason(onnx, 0), "pinned by Conv: 8 channels") != NULL);
    mskp_onnx_close(onnx);
}
END_TEST

/* Data that are written into the network. */
static bytes constant(void)
{
    bytes g = {0}, node = {0}, a = {0};
    add_conv(&g, "x", "a", 3, 8);
    bytes t = tensor_of("", DIMS(1, 8, 1, 1), IN_PLACE);
    put_text(&a, 1, "value");
    put_message(&a, 5, &t);
    put_integer(&a, 20, 4);
    put_text(&node, 2, "k");
    put_text(&node, 4, "Constant");
    put_message(&node, 5, &a);
    put_message(&g, 1, &node);
    add_node(&g, "Add", "a k", "s", "");
    return finish(&g, "s", 8);
}

START_TEST(constants_of_the_network)
{
    mskp_onnx *onnx = open_free(constant());
    const mskp_onnx_param k = param_of(onnx, "k");
    ck_assert(!k.locked && k.ndim == 1 && k.axis[0] == 1);
    ck_assert_uint_eq(units_of(onnx), 8);
    mskp_onnx_close(onnx);
    onnx = open_fixed(constant());
    ck_assert(param_of(onnx, "k").locked);
    ck_assert_uint_eq(units_of(onnx), 0);
    mskp_onnx_close(onnx);
}
END_TEST

/* The channels of a and b are multiplied and summed over, those of c are not. */
static bytes contraction(void)
{
    bytes g = {0};
    add_conv(&g, "x", "a", 3, 8);
    add_conv(&g, "x", "b", 3, 8);
    add_conv(&g, "x", "c", 3, 5);
    add_conv(&g, "c", "d", 5, 2);
    add_integers(&g, "flat", DIMS(0, 8, 64));
    add_node(&g, "Reshape", "a flat", "a2", "");
    add_node(&g, "Reshape", "b flat", "b2", "");
    add_node(&g, "Transpose", "b2", "b3", "perm=0,2,1");
    add_node(&g, "MatMul", "b3 a2", "y", "");
    add_value(&g, 11, "x", DIMS(0, 3, 8, 8));
    add_value(&g, 12, "y", DIMS(0, 64, 64));
    add_value(&g, 12, "d", DIMS(0, 2, 8, 8));
    return model_of(&g);
}

START_TEST(products)
{
    uint8_t locked[30] = {0};
    size_t count, all = 0;
    mskp_error err = {.text = ""};
    mskp_onnx *onnx = open_free(contraction());
    ck_assert_uint_eq(units_of(onnx), 13);
    ck_assert(!mskp_onnx_products(onnx, (mskp_mask){13, locked}, &err));
    const uint32_t *a = tensor_units(onnx, "a", &count);
    for (size_t i = 0; i < count; i++) ck_assert_uint_eq(locked[a[i]], 1);
    for (size_t u = 0; u < 13; u++) all += locked[u];
    ck_assert_uint_eq(all, 8);
    ck_assert(mskp_onnx_products(onnx, (mskp_mask){12, locked}, &err) == MSKP_ERROR_OTHER_NETWORK);
    ck_assert_msg(strncmp(err.text, "locked: 12 flags, but the graph has ", 36) == 0, "%s",
                  err.text);
    ck_assert(mskp_onnx_products(onnx, (mskp_mask){13, NULL}, &err) == MSKP_ERROR_BAD_ARGUMENT);
    ck_assert(mskp_onnx_products(NULL, (mskp_mask){13, locked}, &err) == MSKP_ERROR_BAD_ARGUMENT);
    mskp_onnx_close(onnx);
}
END_TEST

/* ---- What is refused ---- */

START_TEST(arguments)
{
    mskp_onnx *onnx = NULL;
    mskp_onnx_param param;
    mskp_value value;
    uint32_t axis;
    mskp_tensor view[20];
    const mskp_onnx_options none = {.lengths = 1};
    ck_assert_int_eq(mskp_onnx_open("", 0, NULL, NULL, NULL), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_onnx_open(NULL, 1, NULL, &onnx, NULL), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_onnx_open("", 0, &none, &onnx, NULL), MSKP_ERROR_BAD_ARGUMENT);
    ck_assert_int_eq(mskp_onnx_open("", 0, NULL, &onnx, NULL), MSKP_ERROR_BAD_TEXT);
    ck_assert_ptr_null(onnx);
    mskp_onnx_close(NULL);
    ck_assert_ptr_null(mskp_onnx_graph(NULL));
    ck_assert_ptr_null(mskp_onnx_reason(NULL, 0));
    onnx = open_free(plain());
    for (uint32_t id = 0; id < 12; id += 11) {
        ck_assert_int_eq(mskp_onnx_parameter(onnx, (mskp_param){id}, &param, NULL),
                         MSKP_ERROR_BAD_ARGUMENT);
    }
    ck_assert(mskp_onnx_parameter(NULL, (mskp_param){1}, &param, NULL) == MSKP_ERROR_BAD_ARGUMENT);
    ck_assert(mskp_onnx_parameter(onnx, (mskp_param){1}, NULL, NULL) == MSKP_ERROR_BAD_ARGUMENT);
    ck_assert(mskp_onnx_values(NULL, (mskp_tensors){10, view}, NULL) == MSKP_ERROR_BAD_ARGUMENT);
    ck_assert(mskp_onnx_values(onnx, (mskp_tensors){10, NULL}, NULL) == MSKP_ERROR_BAD_ARGUMENT);
    ck_assert(mskp_onnx_values(onnx, (mskp_tensors){11, view}, NULL) == MSKP_ERROR_OTHER_NETWORK);
    ck_assert(mskp_onnx_tensor(onnx, NULL, &value, &axis, NULL) == MSKP_ERROR_BAD_ARGUMENT);
    ck_assert(mskp_onnx_tensor(onnx, "r", NULL, &axis, NULL) == MSKP_ERROR_BAD_ARGUMENT);
    ck_assert(mskp_onnx_tensor(onnx, "r", &value, NULL, NULL) == MSKP_ERROR_BAD_ARGUMENT);
    ck_assert(mskp_onnx_tensor(NULL, "r", &value, &axis, NULL) == MSKP_ERROR_BAD_ARGUMENT);
    mskp_onnx_close(onnx);
}
END_TEST

START_TEST(open_lengths)
{
    static const char *const good[] = {"n=3"}, *const bad[] = {"m=3"},
                             *const twice[] = {"n=3", "n=4"};
    mskp_onnx_options options = {1, good, 0};
    bytes m = plain();
    mskp_onnx_close(open_model(&m, &options));
    options.length = bad;
    m = plain();
    refuse(&m, &options, MSKP_ERROR_BAD_TEXT, "length m=3: no input has an open length");
    options = (mskp_onnx_options){2, twice, 1};
    m = plain();
    refuse(&m, &options, MSKP_ERROR_BAD_TEXT, "n=3 was given before");
    bytes g = {0};
    add_conv(&g, "x", "a", 3, 4);
    add_value(&g, 11, "x", DIMS(1, 3, 0, 8));
    add_value(&g, 12, "a", DIMS(1, 4, 0, 8));
    m = model_of(&g);
    refuse(&m, NULL, MSKP_ERROR_BAD_TEXT, "lengths of inputs are open; give each by length: n=N");
}
END_TEST

/* Any bytes are a network, or are refused with a sentence; and nothing is left behind. */
static void try_bytes(const uint8_t *data, size_t size, uint8_t fixed, size_t *good)
{
    mskp_onnx *onnx = NULL;
    mskp_error err = {.text = ""};
    const mskp_onnx_options options = {.fixed = fixed};
    uint8_t *copy = __real_malloc(size + 1); /* for sanitizers: nothing is behind the bytes */
    ck_assert_ptr_nonnull(copy);
    memcpy(copy, data, size);
    uint8_t *exact = __real_realloc(copy, size ? size : 1);
    counting = true; /* Check's own calls must not be counted */
    blocks = 0;
    const mskp_status status = mskp_onnx_open(exact, size, &options, &onnx, &err);
    const bool opened = onnx != NULL;
    mskp_onnx_close(onnx);
    counting = false;
    ck_assert_int_eq(blocks, 0);
    ck_assert(opened == !status);
    if (status)
        ck_assert(err.status == status && *err.text && memchr(err.text, 0, sizeof err.text));
    *good += opened;
    __real_free(exact);
}

START_TEST(cut_short)
{
    bytes m = plain();
    size_t good = 0;
    for (size_t size = 0; size < m.size; size++) try_bytes(m.data, size, size & 1, &good);
    ck_assert_uint_lt(good, 16); /* between the last fields of the model */
    bytes_free(&m);
}
END_TEST

START_TEST(changed_bytes)
{
    size_t good = 0;
    where = NOWHERE;
    bytes m = plain();
    where = IN_PLACE;
    for (size_t i = 0; i < m.size; i++) {
        const uint8_t was = m.data[i];
        for (unsigned bit = 0; bit < 8; bit++) {
            m.data[i] = (uint8_t)(was ^ 1u << bit);
            try_bytes(m.data, m.size, 1, &good);
        }
        m.data[i] = was;
    }
    ck_assert_uint_gt(good, 100); /* names may change */
    bytes_free(&m);
}
END_TEST

/* ---- Memory ---- */

/* Opens the model, and asks for its values. *opened <- whether the first was done. */
static mskp_status open_and_ask(const bytes *m, uint8_t fixed, bool *opened, mskp_error *err)
{
    const mskp_onnx_options options = {.fixed = fixed};
    mskp_onnx *onnx = NULL;
    mskp_tensor view[20];
    mskp_status status = mskp_onnx_open(m->data, m->size, &options, &onnx, err);
    *opened = onnx != NULL;
    if (onnx) {
        const size_t params = mskp_graph_counts(mskp_onnx_graph(onnx)).params;
        status = mskp_onnx_values(onnx, (mskp_tensors){params, view}, err);
    }
    mskp_onnx_close(onnx);
    return status;
}

static void each_call_fails(bytes m, uint8_t fixed)
{
    size_t opening = 0, asking = 0;
    for (failing = 1;; failing++) {
        mskp_error err = {.text = ""};
        bool opened;
        counting = true;
        calls = 0;
        blocks = 0;
        const mskp_status status = open_and_ask(&m, fixed, &opened, &err);
        counting = false;
        ck_assert_msg(!blocks, "call %zu: %td blocks are left", failing, blocks);
        if (calls < failing) break;
        ck_assert_msg(status == MSKP_ERROR_NO_MEMORY, "call %zu: %s", failing, err.text);
        ck_assert_msg(strstr(err.text, "no memory") != NULL, "call %zu: %s", failing, err.text);
        opening += !opened;
        asking += opened;
    }
    failing = 0;
    ck_assert_uint_gt(opening, 100);
    ck_assert_uint_eq(asking, 1);
    bytes_free(&m);
}

START_TEST(no_memory)
{
    for (uint8_t fixed = 0; fixed < 2; fixed++) {
        each_call_fails(plain(), fixed);
        each_call_fails(shuffle(), fixed);
        each_call_fails(shared(), fixed);
        each_call_fails(product(), fixed);
        each_call_fails(split("axis=1 num_outputs=3", "p q r", "q", 4), fixed);
        each_call_fails(gathered(), fixed);
        each_call_fails(contraction(), fixed);
    }
}
END_TEST

/* A call of one object may be short of memory; the other one does not know. */
START_TEST(two_objects)
{
    mskp_onnx *a = open_free(plain()), *b = NULL, *c;
    const uint64_t hash = mskp_fingerprint(mskp_onnx_graph(a));
    bytes m = shuffle();
    mskp_error err;
    counting = true;
    calls = 0;
    failing = 50;
    const mskp_status status = mskp_onnx_open(m.data, m.size, &FIXED, &b, &err);
    counting = false;
    failing = 0;
    ck_assert_int_eq(status, MSKP_ERROR_NO_MEMORY);
    bytes_free(&m);
    c = open_fixed(shuffle());
    ck_assert_uint_eq(units_of(a), 20);
    ck_assert(mskp_fingerprint(mskp_onnx_graph(a)) == hash);
    mskp_tensor view[20];
    ck_assert(!mskp_onnx_values(a, (mskp_tensors){10, view}, &err));
    mskp_onnx_close(a);
    require_parts(c, "a", 4);
    ck_assert(strstr(mskp_onnx_reason(c, 0), "output") != NULL);
    mskp_onnx_close(c);
}
END_TEST

enum { THREADS = 4, ROUNDS = 30 };

static void *open_many(void *context)
{
    uint64_t *hash = context;
    for (size_t i = 0; i < ROUNDS; i++) {
        mskp_onnx *onnx = i % 2 ? open_fixed(shuffle()) : open_free(product());
        hash[i] = mskp_fingerprint(mskp_onnx_graph(onnx));
        mskp_onnx_close(onnx);
    }
    return NULL;
}

START_TEST(threads)
{
    uint64_t hash[THREADS][ROUNDS];
    pthread_t thread[THREADS];
    for (size_t t = 0; t < THREADS; t++)
        ck_assert_int_eq(pthread_create(&thread[t], NULL, open_many, hash[t]), 0);
    for (size_t t = 0; t < THREADS; t++) pthread_join(thread[t], NULL);
    for (size_t t = 0; t < THREADS; t++)
        for (size_t i = 0; i < ROUNDS; i++) ck_assert(hash[t][i] == hash[0][i % 2]);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("onnx library");
    TCase *c = tcase_create("all");
    tcase_set_timeout(c, 120);
    tcase_add_test(c, values_are_the_files);
    tcase_add_test(c, tensors_by_name);
    tcase_add_test(c, data_may_be_absent);
    tcase_add_test(c, integers_must_be_there);
    tcase_add_test(c, equal_parts_of_a_split);
    tcase_add_test(c, other_parts_of_a_split);
    tcase_add_test(c, slices);
    tcase_add_test(c, shuffles);
    tcase_add_test(c, pads);
    tcase_add_test(c, channels_by_index);
    tcase_add_test(c, shared_vectors);
    tcase_add_test(c, computed_weights);
    tcase_add_test(c, constants_of_the_network);
    tcase_add_test(c, products);
    tcase_add_test(c, arguments);
    tcase_add_test(c, open_lengths);
    tcase_add_test(c, cut_short);
    tcase_add_test(c, changed_bytes);
    tcase_add_test(c, no_memory);
    tcase_add_test(c, two_objects);
    tcase_add_test(c, threads);
    suite_add_tcase(suite, c);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
