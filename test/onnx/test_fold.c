/*
 * Tests of folding, case by case. `test_fold FILE.onnx ...` instead prints the known numbers of
 * each output of these files; check-fold compares them with ONNX Runtime.
 */
#include "fold.h"

#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 8, TEXT = 400 };

static const struct {
    const char *name;
    int32_t type;
} types[] = {{"i64", 7},  {"i32", 6},  {"i16", 5},  {"i8", 3},   {"u8", 2},
             {"u16", 4},  {"u32", 12}, {"u64", 13}, {"bool", 9}, {"f32", 1},
             {"f64", 11}, {"f16", 10}, {"bf16", 16}};

static const char *type_name(int32_t type)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (types[i].type == type) return types[i].name;
    return "?";
}

static bool holds_reals(int32_t type)
{
    return type == 1 || type == 10 || type == 11 || type == 16;
}

/* ---- tensors as text: i64[2,3] 1 2 3 4 5 6~ (the last of them varies) ---- */

static const char *parse_type(const char *text, int32_t *type)
{
    const size_t length = strcspn(text, "[ ");
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (strlen(types[i].name) == length && !strncmp(text, types[i].name, length)) {
            *type = types[i].type;
            return text + length;
        }
    ck_abort_msg("no type: %s", text);
}

static const char *parse_shape(const char *text, shape *s)
{
    *s = (shape){0};
    if (*text != '[') return text;
    do s->dim[s->rank++] = strtoull(text + 1, (char **)&text, 10);
    while (*text == ',');
    ck_assert(*text == ']');
    return text + 1;
}

static numbers parse_numbers(const char *text)
{
    numbers n = {0};
    text = parse_shape(parse_type(text, &n.type), &n.shape);
    n.count = shape_count(&n.shape);
    if (n.count > FOLD_LIMIT) ck_abort_msg("too large: %s", text);
    if (holds_reals(n.type))
        n.real = calloc(n.count + 1, sizeof *n.real);
    else
        n.whole = calloc(n.count + 1, sizeof *n.whole);
    for (size_t i = 0; i < n.count; i++) {
        char *end = NULL;
        if (n.real)
            n.real[i] = strtod(text, &end);
        else
            n.whole[i] = strtoll(text, &end, 10);
        ck_assert_msg(end != text, "too few numbers");
        text = end;
        if (*text != '~') continue;
        text++;
        if (!n.varies) n.varies = calloc(n.count, 1);
        n.varies[i] = 1;
    }
    ck_assert_msg(!text[strspn(text, " ")], "what is this: %s", text);
    return n;
}

static void append(char *to, const char *text)
{
    if (strlen(to) + strlen(text) < TEXT) strcat(to, text);
}

static void show_numbers(const numbers *n, char *to)
{
    char word[64];
    append(to, type_name(n->type));
    for (size_t d = 0; d < n->shape.rank; d++) {
        snprintf(word, sizeof word, "%s%zu", d ? "," : "[", n->shape.dim[d]);
        append(to, word);
    }
    if (n->shape.rank) append(to, "]");
    for (size_t i = 0; i < n->count; i++) {
        if (n->real)
            snprintf(word, sizeof word, " %.9g", n->real[i]);
        else
            snprintf(word, sizeof word, " %lld", (long long)n->whole[i]);
        append(to, word);
        if (n->varies && n->varies[i]) append(to, "~");
    }
}

/* ---- attributes as text: axis=1 perm=[1,0] alpha=0.5 mode=edge value={i64 5} ---- */

typedef struct attributes {
    attribute_proto one[MOST], *list[MOST];
    int64_t ints[MOST][16];
    tensor_proto tensor[MOST];
    numbers held[MOST];
    int64_t dims[MOST][MAX_RANK];
    float real[MOST][16];
    char text[TEXT];
    size_t n;
} attributes;

static void parse_tensor(attributes *all, const char *text)
{
    const size_t k = all->n;
    tensor_proto *t = &all->tensor[k];
    numbers *n = &all->held[k];
    *n = parse_numbers(text);
    onnx__tensor_proto__init(t);
    for (size_t d = 0; d < n->shape.rank; d++) all->dims[k][d] = (int64_t)n->shape.dim[d];
    t->dims = all->dims[k];
    t->n_dims = n->shape.rank;
    t->has_data_type = 1;
    t->data_type = n->type;
    ck_assert(n->type == 7 || n->type == 1);
    if (n->type == 7) {
        t->int64_data = n->whole;
        t->n_int64_data = n->count;
        return;
    }
    for (size_t i = 0; i < n->count; i++) all->real[k][i] = (float)n->real[i];
    t->float_data = all->real[k];
    t->n_float_data = n->count;
}

static void parse_list(attributes *all, attribute_proto *a, char *text)
{
    size_t n = 0;
    const bool real = strchr(text, '.') != NULL;
    for (char *s = text + 1; *s && *s != ']'; n++) {
        all->real[all->n][n] = strtof(s, NULL);
        all->ints[all->n][n] = strtoll(s, &s, 10);
        s += strcspn(s, ",]");
        s += *s == ',';
    }
    if (real) {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
        a->floats = all->real[all->n];
        a->n_floats = n;
    } else {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        a->ints = all->ints[all->n];
        a->n_ints = n;
    }
}

static void parse_value(attributes *all, attribute_proto *a, char *text)
{
    a->has_type = 1;
    if (*text == '{') {
        text[strlen(text) - 1] = 0;
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
        parse_tensor(all, text + 1);
        a->t = &all->tensor[all->n];
    } else if (*text == '[') {
        parse_list(all, a, text);
    } else if (strspn(text, "-0123456789.") != strlen(text)) {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
        a->s = (ProtobufCBinaryData){strlen(text), (uint8_t *)text};
    } else if (strchr(text, '.')) {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        a->has_f = 1;
        a->f = strtof(text, NULL);
    } else {
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        a->has_i = 1;
        a->i = strtoll(text, NULL, 10);
    }
}

static void parse_attributes(attributes *all, const char *text)
{
    memset(all, 0, sizeof *all);
    snprintf(all->text, sizeof all->text, "%s", text);
    for (char *s = all->text; *s; all->n++) {
        attribute_proto *a = all->list[all->n] = &all->one[all->n];
        char *value = strchr(s, '=');
        ck_assert(all->n < MOST && value);
        *value++ = 0;
        char *end = *value == '{' ? strchr(value, '}') + 1 : value + strcspn(value, " ");
        const bool more = *end;
        *end = 0;
        onnx__attribute_proto__init(a);
        a->name = s;
        parse_value(all, a, value);
        s = more ? end + 1 : end;
    }
}

/* ---- one node ---- */

/* list <- the parts of text between semicolons; "-" or "": NULL. */
static size_t parse_all(const char *text, numbers *all, const numbers **list)
{
    size_t n = 0;
    char part[TEXT];
    if (!*text) return 0;
    for (;; text++) {
        const size_t length = strcspn(text, ";");
        snprintf(part, sizeof part, "%.*s", (int)length, text);
        const char *begin = part + strspn(part, " ");
        ck_assert(n < MOST && length < TEXT);
        all[n] = (numbers){0};
        list[n] = *begin && *begin != '-' ? &all[n] : NULL;
        if (list[n]) all[n] = parse_numbers(begin);
        n++;
        text += length;
        if (!*text) return n;
    }
}

static bool is_zero(const numbers *n)
{
    static const numbers zero;
    return !n->whole && !n->real && !n->varies && n->type == zero.type && n->count == zero.count &&
           n->shape.rank == 0;
}

typedef struct example {
    const char *op;
    size_t opset;
    const char *attributes, *inputs;
    const char *outputs; /* NULL: refused */
} example;

static void compare(const example *e, bool ok, size_t n, const numbers *outputs)
{
    char got[TEXT] = "";
    for (size_t i = 0; i < n; i++) {
        if (i) append(got, "; ");
        if (ok) show_numbers(&outputs[i], got);
        ck_assert(ok || is_zero(&outputs[i]));
    }
    ck_assert_msg(ok == (e->outputs != NULL) && (!ok || !strcmp(got, e->outputs)),
                  "%s(%s) of opset %zu of %s: expected %s, got %s", e->op, e->attributes, e->opset,
                  e->inputs, e->outputs ? e->outputs : "nothing", ok ? got : "nothing");
}

static size_t parts(const char *text)
{
    size_t n = 1;
    for (; text && *text; text++) n += *text == ';';
    return n;
}

static void check_example(const example *e)
{
    static attributes all;
    numbers in[MOST], outputs[MOST];
    const numbers *list[MOST];
    model m = {.opset = e->opset};
    node_proto node = ONNX__NODE_PROTO__INIT;
    parse_attributes(&all, e->attributes);
    node.op_type = (char *)e->op;
    node.attribute = all.list;
    node.n_attribute = all.n;
    const size_t n = parse_all(e->inputs, in, list), n_outputs = parts(e->outputs);
    memset(outputs, 0xab, sizeof outputs);
    const bool ok = fold_node(&m, &node, n, list, n_outputs, outputs);
    compare(e, ok, n_outputs, outputs);
    for (size_t i = 0; i < n_outputs; i++) numbers_free(&outputs[i]);
    for (size_t i = 0; i < n_outputs; i++) ck_assert(is_zero(&outputs[i]));
    for (size_t i = 0; i < n; i++) numbers_free(&in[i]);
    for (size_t i = 0; i < all.n; i++) numbers_free(&all.held[i]);
}

#define EXAMPLES(name, ...)                                                                   \
    START_TEST(name)                                                                          \
    {                                                                                         \
        static const example table[] = {__VA_ARGS__};                                         \
        for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) check_example(&table[i]); \
    }                                                                                         \
    END_TEST

#define LEAST    "-9223372036854775808"
#define GREATEST "9223372036854775807"

EXAMPLES(constants, {"Constant", 13, "value={i64[2] 3 4}", "", "i64[2] 3 4"},
         {"Constant", 13, "value={f32 0.5}", "", "f32 0.5"},
         {"Constant", 13, "value={i64[0]}", "", "i64[0]"},
         {"Constant", 13, "value_int=-7", "", "i64 -7"},
         {"Constant", 13, "value_ints=[1,2]", "", "i64[2] 1 2"},
         {"Constant", 13, "value_ints=[]", "", "i64[0]"},
         {"Constant", 13, "value_float=0.25", "", "f32 0.25"},
         {"Constant", 13, "value_floats=[0.5,2.0]", "", "f32[2] 0.5 2"},
         {"Constant", 13, "value_string=abc", "", NULL}, {"Constant", 13, "value=3", "", NULL},
         {"Constant", 13, "value_int=abc", "", NULL}, {"Constant", 13, "", "", NULL},
         {"Constant", 13, "value_int=3", "i64 3", NULL},
         {"Constant", 13, "value={i64[1,1,1,1,1,1,1,1] 1}", "", "i64[1,1,1,1,1,1,1,1] 1"},
         {"ConstantOfShape", 9, "", "i64[2] 2 1", "f32[2,1] 0 0"},
         {"ConstantOfShape", 9, "value={i64[1] 5}", "i64[2] 1 3", "i64[1,3] 5 5 5"},
         {"ConstantOfShape", 9, "value={i64[1] 5}", "i64[0]", "i64 5"},
         {"ConstantOfShape", 9, "value={i64[1] 5}", "i64[2] 0 3", "i64[0,3]"},
         {"ConstantOfShape", 9, "value={i64[2] 5 6}", "i64[1] 3", NULL},
         {"ConstantOfShape", 9, "", "i64[1] -1", NULL},
         {"ConstantOfShape", 9, "", "i64[1] 3~", NULL},
         {"ConstantOfShape", 9, "", "i64[2] 4294967296 4294967296", NULL},
         {"ConstantOfShape", 9, "", "i64[1] " GREATEST, NULL},
         {"ConstantOfShape", 9, "", "i64[3] 0 " GREATEST " " GREATEST,
          "f32[0," GREATEST "," GREATEST "]"},
         {"ConstantOfShape", 9, "", "i64[9] 1 1 1 1 1 1 1 1 1", NULL},
         {"ConstantOfShape", 9, "", "f32[1] 1", NULL},
         {"Identity", 13, "", "f16[2] 1 2~", "f16[2] 1 2~"}, {"Identity", 13, "", "-", NULL},
         {"Identity", 13, "", "", NULL}, {"Identity", 13, "", "i64 1;i64 1", NULL},
         {"Dropout", 13, "", "f32[2] 1 2", "f32[2] 1 2"},
         {"Dropout", 13, "", "f32[2] 1 2;f32 0.5;bool 0", "f32[2] 1 2; bool[2] 1 1"},
         {"Dropout", 13, "", "f32[2] 1 2;-;bool 1", NULL},
         {"Dropout", 13, "", "f32[2] 1 2;-;bool 0~", NULL},
         {"Dropout", 7, "ratio=0.5", "f32[1] 3", "f32[1] 3; f32[1] 1"},
         {"Dropout", 6, "", "f32[1] 3", NULL}, {"Dropout", 6, "is_test=1", "f32[1] 3", "f32[1] 3"},
         {"Conv", 13, "", "f32[1] 3", NULL}, {"", 13, "", "f32[1] 3", NULL})

EXAMPLES(casts, {"Cast", 13, "to=1", "i64[2] 3 -4~", "f32[2] 3 -4~"},
         {"Cast", 13, "to=1", "i64 16777217", "f32 16777216"},
         {"Cast", 13, "to=1", "i64 9007199791611905", "f32 9.00720033e+15"},
         {"Cast", 13, "to=7", "f32[4] 1.9 -1.9 0.5 -0.5", "i64[4] 1 -1 0 0"},
         {"Cast", 13, "to=9", "f32[3] 0 0.25 nan", "bool[3] 0 1 1"},
         {"Cast", 13, "to=9", "i64[3] 0 256 -1", "bool[3] 0 1 1"},
         {"Cast", 13, "to=6", "bool[2] 0 1", "i32[2] 0 1"},
         {"Cast", 13, "to=3", "i64[3] 127 128 -129", "i8[3] 127 -128 127"},
         {"Cast", 13, "to=2", "i64[2] 256 -1", "u8[2] 0 255"},
         {"Cast", 13, "to=6", "i64 4294967295", "i32 -1"},
         {"Cast", 13, "to=12", "i64 -1", "u32 4294967295"}, {"Cast", 13, "to=13", "i64 -1", NULL},
         {"Cast", 13, "to=13", "i64 " GREATEST, "u64 " GREATEST},
         {"Cast", 13, "to=3", "f32 128", NULL}, {"Cast", 13, "to=2", "f32 -1", NULL},
         {"Cast", 13, "to=7", "f64 9.3e18", NULL},
         {"Cast", 13, "to=7", "f64 -9223372036854775808", "i64 " LEAST},
         {"Cast", 13, "to=7", "f64 9223372036854775808", NULL},
         {"Cast", 13, "to=7", "f32 nan", NULL}, {"Cast", 13, "to=7", "f32 inf", NULL},
         {"Cast", 13, "to=10", "f32[6] 65519 65520 2049 2051 1e-8 -6e-8",
          "f16[6] 65504 inf 2048 2052 0 -5.96046448e-08"},
         {"Cast", 13, "to=10", "f32[3] nan -inf -0", "f16[3] nan -inf -0"},
         {"Cast", 13, "to=16", "f32[3] 257 259 3.4e38", "bf16[3] 256 260 inf"},
         {"Cast", 13, "to=1", "f64[2] 0.1 1e39", "f32[2] 0.100000001 inf"},
         {"Cast", 13, "to=8", "f32 1", NULL}, {"Cast", 13, "to=14", "f32 1", NULL},
         {"Cast", 13, "to=0", "f32 1", NULL}, {"Cast", 13, "to=4294967297", "f32 1", NULL},
         {"Cast", 13, "", "f32 1", NULL}, {"Cast", 5, "to=INT64", "f32 1", NULL})

EXAMPLES(
    arithmetic, {"Add", 13, "", "i64[2] 1 2;i64 3", "i64[2] 4 5"},
    {"Add", 13, "", "i64[2,1] 1 2;i64[3] 10~ 20 30", "i64[2,3] 11~ 21 31 12~ 22 32"},
    {"Add", 13, "", "i64[2] 1~ 2;i64[2] 1 1~", "i64[2] 2~ 3~"},
    {"Add", 13, "", "i64[0] ;i64[1] 1", "i64[0]"}, {"Add", 13, "", "i64[0] ;i64[2] 1 2", NULL},
    {"Add", 13, "", "i64[2] 1 2;i64[3] 1 2 3", NULL}, {"Add", 13, "", "i64 1;i32 1", NULL},
    {"Add", 13, "", "i64 1;f32 1", NULL}, {"Add", 13, "", "bool 1;bool 1", NULL},
    {"Add", 13, "", "i64 1;-", NULL}, {"Add", 13, "", "i64 1", NULL},
    {"Add", 13, "", "i64 1;i64 1;i64 1", NULL}, {"Add", 13, "", "i64 " GREATEST ";i64 1", NULL},
    {"Add", 14, "", "i8 127;i8 1", "i8 -128"}, {"Add", 14, "", "u8 255;u8 1", "u8 0"},
    {"Add", 13, "", "i32 2147483647;i32 1", "i32 -2147483648"},
    {"Add", 13, "", "f32 16777216;f32 1", "f32 16777216"},
    {"Add", 13, "", "f16 2048;f16 1", "f16 2048"}, {"Add", 13, "", "bf16 256;bf16 1", "bf16 256"},
    {"Add", 6, "", "i64[2] 1 2;i64 3", NULL}, {"Add", 6, "", "i64[2] 1 2;i64[2] 3 4", "i64[2] 4 6"},
    {"Add", 6, "broadcast=1", "i64[2] 1 2;i64 3", "i64[2] 4 5"},
    {"Add", 6, "broadcast=1 axis=0", "i64[2,1] 1 2;i64[2] 3 4", NULL},
    {"Sub", 13, "", "i64 1;i64[2] 3 0", "i64[2] -2 1"},
    {"Sub", 13, "", "u32 1;u32 2", "u32 4294967295"}, {"Sub", 13, "", "u64 1;u64 2", NULL},
    {"Mul", 13, "", "i64[2] -3 4;i64[2] 5 0", "i64[2] -15 0"},
    {"Mul", 13, "", "i64 4294967296;i64 4294967296", NULL},
    {"Mul", 13, "", "i32 65536;i32 65536", "i32 0"},
    {"Mul", 13, "", "f32 0.1;f32 3", "f32 0.300000012"},
    {"Div", 13, "", "i64[4] 7 -7 7 -7;i64[4] 2 2 -2 -2", "i64[4] 3 -3 -3 3"},
    {"Div", 13, "", "i64 1;i64 0", NULL}, {"Div", 13, "", "i64 " LEAST ";i64 -1", NULL},
    {"Div", 14, "", "i8 -128;i8 -1", "i8 -128"},
    {"Div", 13, "", "f32[3] 1 -1 0;f32 0", "f32[3] inf -inf -nan"},
    {"Mod", 10, "", "i64[4] 7 -7 7 -7;i64[4] 3 3 -3 -3", "i64[4] 1 2 -2 -1"},
    {"Mod", 10, "fmod=1", "i64[4] 7 -7 7 -7;i64[4] 3 3 -3 -3", "i64[4] 1 -1 1 -1"},
    {"Mod", 10, "fmod=1", "f32[2] 5.5 -5.5;f32 2", "f32[2] 1.5 -1.5"},
    {"Mod", 10, "", "f32 5.5;f32 2", NULL}, {"Mod", 10, "", "i64 1;i64 0", NULL},
    {"Mod", 10, "", "i64 " LEAST ";i64 -1", "i64 0"},
    {"Pow", 13, "", "i64[5] 2 -2 0 1 -1;i64[5] 10 3 0 -5 -3", "i64[5] 1024 -8 1 1 -1"},
    {"Pow", 13, "", "i64 2;i64 -1", "i64 0"}, {"Pow", 13, "", "i64 0;i64 -1", NULL},
    {"Pow", 13, "", "i64 2;i64 62", "i64 4611686018427387904"},
    {"Pow", 13, "", "i64 2;i64 63", NULL}, {"Pow", 13, "", "i64 3;i64 " GREATEST, NULL},
    {"Pow", 13, "", "i32 2;i32 31", NULL}, {"Pow", 13, "", "i64[2] 4 9~;f32 0.5", "i64[2] 2 3~"},
    {"Pow", 13, "", "f32[2] 4 2;i64 3", "f32[2] 64 8"}, {"Pow", 7, "", "f32 4;i64 3", NULL},
    {"Min", 8, "", "i64[2] 1 5;i64 3;i64[1] 2~", "i64[2] 1~ 2~"},
    {"Min", 8, "", "i64[2] 1 5", "i64[2] 1 5"}, {"Min", 7, "", "i64[2] 1 5;i64 3", NULL},
    {"Min", 8, "", "i64[2] 1 5;-", NULL},
    {"Max", 8, "", "f32[3] 1 5 nan;f32[3] 3 nan 1", "f32[3] 3 nan nan"},
    {"Max", 8, "", "bool 1;bool 0", NULL}, {"Sum", 8, "", "f32[2] 1 2;f32 3;f32 4", "f32[2] 8 9"},
    {"Neg", 13, "", "i64[2] 1 -2~", "i64[2] -1 2~"}, {"Neg", 13, "", "i64 " LEAST, NULL},
    {"Abs", 13, "", "i64[2] 1 -2", "i64[2] 1 2"}, {"Abs", 13, "", "i64 " LEAST, NULL},
    {"Abs", 13, "", "f32 -0.5", "f32 0.5"}, {"Sign", 13, "", "i64[3] -5 0 7", "i64[3] -1 0 1"},
    {"Sign", 13, "", "f32[4] -5 0 7 nan", "f32[4] -1 0 1 nan"},
    {"Floor", 13, "", "f32[2] 1.5 -1.5", "f32[2] 1 -2"},
    {"Ceil", 13, "", "f32[2] 1.5 -1.5", "f32[2] 2 -1"},
    {"Round", 13, "", "f32[4] 0.5 1.5 2.5 -0.6", "f32[4] 0 2 2 -1"},
    {"Floor", 13, "", "i64 1", NULL}, {"Sqrt", 13, "", "f32[2] 2 9", "f32[2] 1.41421354 3"},
    {"Reciprocal", 13, "", "f32[2] 4 0", "f32[2] 0.25 inf"},
    {"Exp", 13, "", "f32[2] 0 1", "f32[2] 1 2.71828175"}, {"Exp", 13, "", "f16 1", "f16 2.71875"},
    {"Log", 13, "", "f32[2] 1 0", "f32[2] 0 -inf"}, {"Sin", 13, "", "f32 0", "f32 0"},
    {"Cos", 13, "", "f64 0", "f64 1"})

EXAMPLES(logic, {"Not", 1, "", "bool[2] 0 1~", "bool[2] 1 0~"}, {"Not", 1, "", "i64 1", NULL},
         {"And", 7, "", "bool[2] 0 1;bool 1", "bool[2] 0 1"},
         {"Or", 7, "", "bool[2] 0 1;bool 0", "bool[2] 0 1"},
         {"Xor", 7, "", "bool[2] 0 1;bool 1", "bool[2] 1 0"}, {"And", 7, "", "i64 1;i64 1", NULL},
         {"Equal", 13, "", "i64[2] 1 2;i64 2~", "bool[2] 0~ 1~"},
         {"Equal", 13, "", "f32[2] 1 nan;f32[2] 1 nan", "bool[2] 1 0"},
         {"Equal", 13, "", "bool 1;bool 0", "bool 0"},
         {"Less", 13, "", "i64[3] 1 2 3;i64 2", "bool[3] 1 0 0"},
         {"LessOrEqual", 13, "", "i64[3] 1 2 3;i64 2", "bool[3] 1 1 0"},
         {"Greater", 13, "", "f32[3] 1 2 3;f32 2", "bool[3] 0 0 1"},
         {"GreaterOrEqual", 13, "", "f32[3] 1 2 3;f32 2", "bool[3] 0 1 1"},
         {"Less", 13, "", "bool 0;bool 1", NULL},
         {"Where", 9, "", "bool[2] 1 0;i64[2,1] 1 2;i64 9", "i64[2,2] 1 9 2 9"},
         {"Where", 9, "", "bool[2] 1 0;i64 1~;i64 9", "i64[2] 1~ 9"},
         {"Where", 9, "", "bool[2] 1~ 0;i64 1;i64 9", "i64[2] 1~ 9"},
         {"Where", 9, "", "i64[2] 1 0;i64 1;i64 9", NULL},
         {"Where", 9, "", "bool 1;i64 1;f32 9", NULL},
         {"Where", 9, "", "bool[2] 1 0;i64[3] 1 2 3;i64 9", NULL})

EXAMPLES(ranges, {"Range", 11, "", "i64 0;i64 5;i64 2", "i64[3] 0 2 4"},
         {"Range", 11, "", "i64 5;i64 0;i64 -2", "i64[3] 5 3 1"},
         {"Range", 11, "", "i64 5;i64 0;i64 1", "i64[0]"},
         {"Range", 11, "", "i64 0;i64 5;i64 0", NULL},
         {"Range", 11, "", "i64 " LEAST ";i64 " GREATEST ";i64 " GREATEST,
          "i64[3] " LEAST " -1 9223372036854775806"},
         {"Range", 11, "", "i64 " LEAST ";i64 " GREATEST ";i64 1", NULL},
         {"Range", 11, "", "i64 " GREATEST ";i64 " LEAST ";i64 " LEAST, "i64[2] " GREATEST " -1"},
         {"Range", 11, "", "i64 0;i64 3~;i64 1", NULL},
         {"Range", 11, "", "i32[1] 0;i32 2;i32 1", "i32[2] 0 1"},
         {"Range", 11, "", "i64[2] 0 1;i64 5;i64 2", NULL},
         {"Range", 11, "", "i64 0;i32 5;i64 2", NULL},
         {"Range", 11, "", "f32 0;f32 1;f32 0.4", "f32[3] 0 0.400000006 0.800000012"},
         {"Range", 11, "", "f32 0;f32 1;f32 0", NULL},
         {"Range", 11, "", "f32 0;f32 1;f32 nan", NULL},
         {"Range", 11, "", "f32 0;f32 inf;f32 1", NULL},
         {"Range", 11, "", "f32 0;f32 1;f32 -1", "f32[0]"})

EXAMPLES(
    sums, {"ReduceSum", 11, "axes=[1]", "i64[2,2] 1 2~ 3 4", "i64[2,1] 3~ 7"},
    {"ReduceSum", 11, "axes=[-2] keepdims=0", "i64[2,2] 1 2 3 4", "i64[2] 4 6"},
    {"ReduceSum", 11, "", "i64[2,2] 1 2 3 4", "i64[1,1] 10"},
    {"ReduceSum", 11, "keepdims=0", "i64[2,2] 1 2 3 4", "i64 10"},
    {"ReduceSum", 11, "", "i64 4", "i64 4"},
    {"ReduceSum", 13, "", "i64[2,2] 1 2 3 4;i64[1] 1", "i64[2,1] 3 7"},
    {"ReduceSum", 13, "", "i64[2,2] 1 2 3 4;-", "i64[1,1] 10"},
    {"ReduceSum", 13, "", "i64[2,2] 1 2 3 4;i64[0] ", "i64[1,1] 10"},
    {"ReduceSum", 13, "noop_with_empty_axes=1", "i64[2,2] 1 2 3 4;i64[0] ", "i64[2,2] 1 2 3 4"},
    {"ReduceSum", 13, "noop_with_empty_axes=1", "i64[2,2] 1 2 3 4", "i64[2,2] 1 2 3 4"},
    {"ReduceSum", 13, "", "i64[2,2] 1 2 3 4;i64[1] 1~", NULL},
    {"ReduceSum", 13, "", "i64[2,2] 1 2 3 4;i64[1] 2", NULL},
    {"ReduceSum", 13, "", "i64[2,2] 1 2 3 4;i64[2] 1 -1", NULL},
    {"ReduceSum", 13, "", "i64[0,2] ;i64[1] 0", "i64[1,2] 0 0"},
    {"ReduceSum", 13, "", "i64[2] " GREATEST " 1", NULL},
    {"ReduceSum", 13, "", "i32[2] 2147483647 1", NULL}, {"ReduceSum", 13, "", "bool[2] 1 1", NULL},
    {"ReduceSum", 11, "axes=abc", "i64[2] 1 1", NULL},
    {"ReduceProd", 13, "axes=[0]", "i64[3,2] 1 2 3 4 5 6", "i64[1,2] 15 48"},
    {"ReduceProd", 13, "axes=[0]", "i64[3,2] 1 2 3 4 5 6;i64[1] 1", "i64[1,2] 15 48"},
    {"ReduceProd", 18, "keepdims=0", "i64[3] 2 3 4;i64[1] 0", "i64 24"},
    {"ReduceProd", 18, "keepdims=0", "i64[0] ", "i64 1"},
    {"ReduceProd", 18, "", "i64[2] 4294967296 4294967296", NULL},
    {"ReduceMin", 13, "axes=[1]", "i64[2,2] 4 2 3 9", "i64[2,1] 2 3"},
    {"ReduceMax", 18, "", "i64[2,2] 4 2 3 9;i64[1] -1", "i64[2,1] 4 9"},
    {"ReduceMax", 20, "", "bool[2] 0 1", "bool[1] 1"}, {"ReduceMax", 18, "", "f32[0] ", NULL},
    {"ReduceMax", 18, "", "f32[0,2] ;i64[1] 1", "f32[0,1]"},
    {"ReduceMean", 18, "", "f32[2,2] 1 2 3 5;i64[1] 1", "f32[2,1] 1.5 4"},
    {"ReduceMean", 18, "", "i32[2] -2 -3", "i32[1] -2"}, {"ReduceMean", 18, "", "f32[0] ", NULL},
    {"CumSum", 11, "", "i64[2,3] 1 2~ 3 4 5 6;i64 1", "i64[2,3] 1 3~ 6~ 4 9 15"},
    {"CumSum", 11, "", "i64[2,3] 1 2 3 4 5 6;i64[1] -2", "i64[2,3] 1 2 3 5 7 9"},
    {"CumSum", 11, "exclusive=1", "i64[3] 1~ 2 3;i32 0", "i64[3] 0 1~ 3~"},
    {"CumSum", 11, "reverse=1", "i64[3] 1 2 3;i64 0", "i64[3] 6 5 3"},
    {"CumSum", 11, "exclusive=1 reverse=1", "f32[3] 1 2 3;i64 0", "f32[3] 5 3 0"},
    {"CumSum", 11, "", "i64[0,3] ;i64 1", "i64[0,3]"}, {"CumSum", 11, "", "i64 1;i64 0", NULL},
    {"CumSum", 11, "", "i64[1] 1;i64 1", NULL}, {"CumSum", 11, "", "i64[1] 1;i64 0~", NULL},
    {"CumSum", 11, "", "i64[1] 1;i64[2] 0 0", NULL},
    {"CumSum", 11, "", "i64[2] " GREATEST " 1;i64 0", NULL})

EXAMPLES(shapes, {"Reshape", 13, "", "i64[2,3] 1 2 3 4 5 6~;i64[2] 3 -1", "i64[3,2] 1 2 3 4 5 6~"},
         {"Reshape", 13, "", "i64[2,3] 1 2 3 4 5 6;i64[3] 0 -1 1", "i64[2,3,1] 1 2 3 4 5 6"},
         {"Reshape", 13, "", "i64[1] 5;i64[0] ", "i64 5"},
         {"Reshape", 13, "", "i64 5;i64[1] -1", "i64[1] 5"},
         {"Reshape", 13, "", "i64[0,3] ;i64[2] 0 3", "i64[0,3]"},
         {"Reshape", 14, "allowzero=1", "i64[0,3] ;i64[2] 3 0", "i64[3,0]"},
         {"Reshape", 14, "allowzero=1", "i64[2] 1 2;i64[2] 0 -1", NULL},
         {"Reshape", 14, "allowzero=1", "i64[0] ;i64[2] 0 -1", NULL},
         {"Reshape", 14, "", "i64[0] ;i64[2] 0 -1", NULL},
         {"Reshape", 13, "", "i64[0] ;i64[2] 2 -1", "i64[2,0]"},
         {"Reshape", 13, "", "i64[4] 1 2 3 4;i64[2] -1 -1", NULL},
         {"Reshape", 13, "", "i64[4] 1 2 3 4;i64[2] 3 -1", NULL},
         {"Reshape", 13, "", "i64[4] 1 2 3 4;i64[1] 5", NULL},
         {"Reshape", 13, "", "i64[4] 1 2 3 4;i64[1] -2", NULL},
         {"Reshape", 13, "", "i64[4] 1 2 3 4;i64[2] 4 0", NULL},
         {"Reshape", 13, "", "i64[4] 1 2 3 4;i64[2] 2~ 2", NULL},
         {"Reshape", 13, "", "i64[4] 1 2 3 4;i64[3] 4294967296 4294967296 -1", NULL},
         {"Reshape", 13, "", "i64[1] 1;i64[9] 1 1 1 1 1 1 1 1 1", NULL},
         {"Reshape", 13, "shape=[1]", "i64[1] 1", NULL},
         {"Reshape", 1, "shape=[2,-1]", "i64[4] 1 2 3 4", "i64[2,2] 1 2 3 4"},
         {"Flatten", 13, "", "i64[2,1,2] 1 2 3 4", "i64[2,2] 1 2 3 4"},
         {"Flatten", 13, "axis=0", "i64[2,1,2] 1 2 3 4", "i64[1,4] 1 2 3 4"},
         {"Flatten", 13, "axis=3", "i64[2,1,2] 1 2 3 4", "i64[4,1] 1 2 3 4"},
         {"Flatten", 13, "axis=-1", "i64[2,1,2] 1 2 3 4", "i64[2,2] 1 2 3 4"},
         {"Flatten", 9, "axis=-1", "i64[2,1,2] 1 2 3 4", NULL},
         {"Flatten", 13, "axis=4", "i64[2,1,2] 1 2 3 4", NULL},
         {"Flatten", 13, "axis=-4", "i64[2,1,2] 1 2 3 4", NULL},
         {"Flatten", 13, "axis=0", "i64 7", "i64[1,1] 7"},
         {"Flatten", 13, "axis=1", "i64[0,4294967296,4294967296] ", NULL},
         {"Squeeze", 11, "axes=[0]", "i64[1,2,1] 1 2~", "i64[2,1] 1 2~"},
         {"Squeeze", 11, "axes=[-1]", "i64[1,2,1] 1 2", "i64[1,2] 1 2"},
         {"Squeeze", 11, "", "i64[1,2,1] 1 2", "i64[2] 1 2"},
         {"Squeeze", 11, "axes=[1]", "i64[1,2,1] 1 2", NULL},
         {"Squeeze", 11, "axes=[3]", "i64[1,2,1] 1 2", NULL},
         {"Squeeze", 11, "axes=[0,0]", "i64[1,2,1] 1 2", NULL},
         {"Squeeze", 13, "", "i64[1] 5;i64[1] 0", "i64 5"},
         {"Squeeze", 13, "axes=[0]", "i64[1,1,2] 5 6", "i64[2] 5 6"},
         {"Squeeze", 13, "", "i64[1] 5;i64[1] 0~", NULL},
         {"Unsqueeze", 11, "axes=[0,-1]", "i64[2] 1 2", "i64[1,2,1] 1 2"},
         {"Unsqueeze", 11, "axes=[0]", "i64 5", "i64[1] 5"},
         {"Unsqueeze", 11, "axes=[0,0]", "i64 5", NULL},
         {"Unsqueeze", 11, "axes=[2]", "i64 5", NULL}, {"Unsqueeze", 11, "", "i64 5", NULL},
         {"Unsqueeze", 13, "axes=[0]", "i64 5", NULL},
         {"Unsqueeze", 13, "", "i64 5~;i64[1] 0", "i64[1] 5~"},
         {"Unsqueeze", 13, "", "i64 5;i64 0", "i64[1] 5"},
         {"Unsqueeze", 13, "", "i64 5;i64[1] " LEAST, NULL},
         {"Unsqueeze", 13, "", "i64[1,1,1,1,1,1,1,1] 5;i64[1] 0", NULL},
         {"Unsqueeze", 13, "", "i64 5;i64[9] 0 1 2 3 4 5 6 7 8", NULL},
         {"Transpose", 13, "", "i64[2,3] 1 2 3 4~ 5 6", "i64[3,2] 1 4~ 2 5 3 6"},
         {"Transpose", 13, "perm=[1,0,2]", "i64[2,1,2] 1 2 3 4", "i64[1,2,2] 1 2 3 4"},
         {"Transpose", 13, "perm=[2,0,1]", "i64[2,1,2] 1 2 3 4", "i64[2,2,1] 1 3 2 4"},
         {"Transpose", 13, "", "i64 1", "i64 1"}, {"Transpose", 13, "", "i64[0,3] ", "i64[3,0]"},
         {"Transpose", 13, "perm=[1,-2]", "i64[2,1] 1 2", NULL},
         {"Transpose", 13, "perm=[0]", "i64[2,1] 1 2", NULL},
         {"Transpose", 13, "perm=[0,0]", "i64[2,1] 1 2", NULL},
         {"Transpose", 13, "perm=[0,2]", "i64[2,1] 1 2", NULL})

EXAMPLES(
    copies, {"Expand", 8, "", "i64[2,1] 1 2~;i64[2] 1 2", "i64[2,2] 1 1 2~ 2~"},
    {"Expand", 8, "", "i64[2] 1 2;i64[2] 2 1", "i64[2,2] 1 2 1 2"},
    {"Expand", 8, "", "i64 1;i64[2] 0 2", "i64[0,2]"},
    {"Expand", 8, "", "i64[2] 1 2;i64[1] 3", NULL}, {"Expand", 8, "", "i64[1] 1;i64[1] -1", NULL},
    {"Expand", 8, "", "i64[1] 1;i64[1] 3~", NULL},
    {"Expand", 8, "", "i64[1] 1;i64[1] 1048577", NULL},
    {"Tile", 6, "", "i64[2,1] 1 2~;i64[2] 2 2", "i64[4,2] 1 1 2~ 2~ 1 1 2~ 2~"},
    {"Tile", 6, "", "i64[2] 1 2;i64[1] 0", "i64[0]"}, {"Tile", 6, "", "i64[0] ;i64[1] 3", "i64[0]"},
    {"Tile", 6, "", "i64[2] 1 2;i64[2] 2 2", NULL}, {"Tile", 6, "", "i64[2] 1 2;i64[1] -1", NULL},
    {"Tile", 6, "", "i64[2] 1 2;i64[1] " GREATEST, NULL},
    {"Tile", 6, "", "i64[2] 1 2;i64[1] 2~", NULL}, {"Tile", 1, "", "i64[2] 1 2;i64 2", NULL},
    {"Concat", 13, "axis=0", "i64[1] 1;i64[2] 2~ 3;i64[0] ", "i64[3] 1 2~ 3"},
    {"Concat", 13, "axis=-1", "i64[2,1] 1 2;i64[2,2] 3 4 5 6", "i64[2,3] 1 3 4 2 5 6"},
    {"Concat", 13, "axis=0", "i64[0] ;i64[0] ", "i64[0]"},
    {"Concat", 13, "axis=0", "i64[1] 1", "i64[1] 1"},
    {"Concat", 13, "axis=0", "i64[1] 1;i32[1] 1", NULL},
    {"Concat", 13, "axis=0", "i64[1] 1;-", NULL}, {"Concat", 13, "axis=0", "i64[1] 1;i64 1", NULL},
    {"Concat", 13, "axis=0", "i64 1;i64 1", NULL},
    {"Concat", 13, "axis=1", "i64[1] 1;i64[1] 1", NULL},
    {"Concat", 13, "axis=0", "i64[1,1] 1;i64[1,2] 1 2", NULL},
    {"Concat", 13, "", "i64[1,1] 1", NULL},
    {"Concat", 1, "", "i64[1,1] 1;i64[1,1] 2", "i64[1,2] 1 2"},
    {"Split", 11, "split=[1,2]", "i64[3] 1 2~ 3", "i64[1] 1; i64[2] 2~ 3"},
    {"Split", 11, "axis=-1", "i64[2,2] 1 2 3 4", "i64[2,1] 1 3; i64[2,1] 2 4"},
    {"Split", 11, "split=[1,1]", "i64[3] 1 2 3", NULL},
    {"Split", 11, "split=[4,-1]", "i64[3] 1 2 3", NULL},
    {"Split", 13, "", "i64[3] 1 2 3;i64[2] 0 3", "i64[0]; i64[3] 1 2 3"},
    {"Split", 13, "", "i64[4] 1 2 3 4", "i64[2] 1 2; i64[2] 3 4"},
    {"Split", 13, "", "i64[3] 1 2 3", "i64[3] 1 2 3"},
    {"Split", 13, "", "i64[3] 1 2 3;i64[2] 1~ 2", NULL},
    {"Split", 18, "num_outputs=2", "i64[3] 1 2 3", "i64[2] 1 2; i64[1] 3"},
    {"Split", 18, "num_outputs=4", "i64[7] 1 2 3 4 5 6 7",
     "i64[2] 1 2; i64[2] 3 4; i64[2] 5 6; i64[1] 7"},
    {"Split", 18, "num_outputs=3", "i64[3] 1 2 3", NULL}, {"Split", 18, "", "i64[3] 1 2 3", NULL})

EXAMPLES(slices, {"Slice", 9, "starts=[1] ends=[3]", "i64[4] 1 2~ 3 4", "i64[2] 2~ 3"},
         {"Slice", 9, "starts=[0,-1] ends=[1,9] axes=[1,0]", "i64[2,2] 1 2 3 4", "i64[1,1] 3"},
         {"Slice", 9, "starts=[1]", "i64[4] 1 2 3 4", NULL},
         {"Slice", 10, "starts=[1] ends=[3]", "i64[4] 1 2 3 4", NULL},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 1;i64[1] " GREATEST, "i64[3] 2 3 4"},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] " LEAST ";i64[1] -1", "i64[3] 1 2 3"},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] -1;i64[1] " LEAST ";i64[1] 0;i64[1] -1",
          "i64[4] 4 3 2 1"},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] " GREATEST ";i64[1] " LEAST ";i64[1] 0;i64[1] -3",
          "i64[2] 4 1"},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 9;i64[1] -9;i64[1] 0;i64[1] " LEAST, "i64[1] 4"},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 0;i64[1] 4;i64[1] 0;i64[1] " GREATEST,
          "i64[1] 1"},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 0;i64[1] 4;i64[1] 0;i64[1] 3", "i64[2] 1 4"},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 3;i64[1] " GREATEST ";i64[1] 0;i64[1] -1", NULL},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 3;i64[1] 1", "i64[0]"},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 1;i64[1] 1;i64[1] 0;i64[1] -1", "i64[0]"},
         {"Slice", 10, "", "i64[2,2] 1 2 3 4;i32[1] 1;i32[1] 2;i32[1] -1;-", "i64[2,1] 2 4"},
         {"Slice", 10, "", "i64[2,2] 1 2 3 4;i64[1] 1;i64[1] 2;-;i64[1] 1", "i64[1,2] 3 4"},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 0;i64[1] 4;i64[1] 0;i64[1] 0", NULL},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 0;i64[1] 4;i64[1] 1", NULL},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[2] 0 0;i64[2] 4 4;i64[2] 0 0", NULL},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[2] 0 0;i64[2] 4 4", NULL},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 0;i64[2] 4 4", NULL},
         {"Slice", 10, "", "i64[4] 1 2 3 4;i64[1] 0;i64[1] 2~", NULL},
         {"Slice", 10, "", "i64[4] 1 2 3 4;f32[1] 0;f32[1] 2", NULL},
         {"Slice", 10, "", "i64 4;i64[1] 0;i64[1] 2", NULL},
         {"Slice", 10, "", "i64[0] ;i64[1] -1;i64[1] -9;i64[1] 0;i64[1] -1", "i64[0]"})

EXAMPLES(
    indices, {"Gather", 13, "", "i64[3] 10 20~ 30;i64 1", "i64 20~"},
    {"Gather", 13, "", "i64[3] 10 20 30;i64[2] -1 0~", "i64[2] 30 10~"},
    {"Gather", 13, "axis=1", "i64[2,3] 1 2 3 4 5 6;i32[1,2] 2 0", "i64[2,1,2] 3 1 6 4"},
    {"Gather", 13, "axis=-2", "i64[2,3] 1 2 3 4 5 6;i64 1", "i64[3] 4 5 6"},
    {"Gather", 13, "", "i64[3] 1 2 3;i64 3", NULL}, {"Gather", 13, "", "i64[3] 1 2 3;i64 -4", NULL},
    {"Gather", 13, "", "i64[3] 1 2 3;i64 " LEAST, NULL},
    {"Gather", 13, "", "i64[3] 1 2 3;f32 1", NULL}, {"Gather", 13, "", "i64 1;i64 0", NULL},
    {"Gather", 13, "axis=1", "i64[3] 1 2 3;i64 1", NULL}, {"Gather", 13, "", "i64[0] ;i64 0", NULL},
    {"Gather", 13, "", "i64[0] ;i64[0] ", "i64[0]"},
    {"Gather", 13, "axis=1", "i64[0,2] ;i64[1] 1", "i64[0,1]"},
    {"Gather", 13, "axis=1", "i64[0,2] ;i64[1] 2", NULL},
    {"Gather", 13, "", "i64[1,1,1,1,1] 1;i64[1,1,1,1,1] 0", NULL},
    {"Gather", 13, "", "i64[1,1,1,1,1] 1;i64[1,1,1,1] 0", "i64[1,1,1,1,1,1,1,1] 1"},
    {"GatherElements", 13, "axis=1", "i64[2,2] 1 2 3 4~;i64[2,3] 0 0 1 -1 -2 0",
     "i64[2,3] 1 1 2 4~ 3 3"},
    {"GatherElements", 13, "", "i64[2,2] 1 2 3 4;i64[1,2] 1 0", "i64[1,2] 3 2"},
    {"GatherElements", 13, "", "i64[2,2] 1 2 3 4;i64[1,3] 1 0 0", NULL},
    {"GatherElements", 13, "", "i64[2,2] 1 2 3 4;i64[1,2] 2 0", NULL},
    {"GatherElements", 13, "", "i64[2,2] 1 2 3 4;i64[2] 1 0", NULL},
    {"ScatterND", 16, "", "i64[4] 1 2~ 3 4;i64[2,1] 1 -1;i64[2] 20 40~", "i64[4] 1 20 3 40~"},
    {"ScatterND", 16, "reduction=none", "i64[2,2] 1 2 3 4;i64[1] 1;i64[2] 9 8", "i64[2,2] 1 2 9 8"},
    {"ScatterND", 16, "", "i64[2,2] 1 2 3 4;i64[1,2] 0 1;i64[1] 9", "i64[2,2] 1 9 3 4"},
    {"ScatterND", 16, "reduction=add", "i64[4] 1 2 3 4;i64[1,1] 1;i64[1] 20", NULL},
    {"ScatterND", 16, "", "i64[4] 1 2 3 4;i64[1,1] 4;i64[1] 20", NULL},
    {"ScatterND", 16, "", "i64[4] 1 2 3 4;i64[1,1] 0~;i64[1] 20", NULL},
    {"ScatterND", 16, "", "i64[4] 1 2 3 4;i64[1,2] 0 0;i64[1] 20", NULL},
    {"ScatterND", 16, "", "i64[4] 1 2 3 4;i64[1,1] 0;i64[2] 20 30", NULL},
    {"ScatterND", 16, "", "i64[4] 1 2 3 4;i64 0;i64 20", NULL},
    {"ScatterND", 16, "", "i64 1;i64[1] 0;i64 20", NULL},
    {"ScatterND", 16, "", "i64[0] ;i64[0,1] ;i64[0] ", "i64[0]"},
    {"NonZero", 13, "", "i64[2,2] 0 5 6 0", "i64[2,2] 0 1 1 0"},
    {"NonZero", 13, "", "f32[3] 0 nan -0", "i64[1,1] 1"},
    {"NonZero", 13, "", "bool[0] ", "i64[1,0]"}, {"NonZero", 13, "", "i64[2] 0 5~", NULL},
    {"NonZero", 13, "", "i64 1", NULL}, {"Trilu", 14, "", "i64[2,2] 1 2 3 4~", "i64[2,2] 1 2 0 4~"},
    {"Trilu", 14, "upper=0", "i64[2,3] 1 2 3 4 5 6;i64 1", "i64[2,3] 1 2 0 4 5 6"},
    {"Trilu", 14, "", "i64[2,2] 1 2 3 4;i64 " LEAST, "i64[2,2] 1 2 3 4"},
    {"Trilu", 14, "", "i64[2,2] 1 2 3 4;i64 " GREATEST, "i64[2,2] 0 0 0 0"},
    {"Trilu", 14, "", "i64[2,2] 1 2 3 4;i64 1~", NULL}, {"Trilu", 14, "", "i64[2] 1 2", NULL})

EXAMPLES(pads, {"Pad", 11, "", "i64[2] 1 2~;i64[2] 1 2;i64 9", "i64[5] 9 1 2~ 9 9"},
         {"Pad", 11, "", "i64[2] 1 2;i64[2] 1 0", "i64[3] 0 1 2"},
         {"Pad", 11, "", "i64[2,2] 1 2 3 4;i64[4] -1 0 0 1", "i64[1,3] 3 4 0"},
         {"Pad", 11, "", "i64[3] 1 2 3;i64[2] -2 -1", "i64[0]"},
         {"Pad", 11, "", "i64[3] 1 2 3;i64[2] -2 -2", NULL},
         {"Pad", 11, "", "i64[3] 1 2 3;i64[2] -4 2", "i64[1] 0"},
         {"Pad", 11, "", "i64[0] ;i64[2] 1 1;i64 5~", "i64[2] 5~ 5~"},
         {"Pad", 11, "mode=constant", "f32 1;i64[0] ", "f32 1"},
         {"Pad", 11, "mode=edge", "i64[2] 1 2;i64[2] 1 0", NULL},
         {"Pad", 11, "", "i64[2] 1 2;i64[1] 1", NULL},
         {"Pad", 11, "", "i64[2] 1 2;i64[2] 1~ 1", NULL},
         {"Pad", 11, "", "i64[2] 1 2;i64[2] " GREATEST " 1", NULL},
         {"Pad", 11, "", "i64[2] 1 2;i64[2] " GREATEST " 0", NULL},
         {"Pad", 11, "", "i64[2] 1 2;i64[2] " GREATEST " " LEAST, "i64[1] 0"},
         {"Pad", 11, "", "i64[2] 1 2;i64[2] 1 1;i32 9", NULL},
         {"Pad", 11, "", "i64[2] 1 2;i64[2] 1 1;i64[2] 9 9", NULL},
         {"Pad", 11, "pads=[1,1]", "f32[2] 1 2", NULL},
         {"Pad", 10, "pads=[1,1] value=0.5", "f32[2] 1 2", "f32[4] 0.5 1 2 0.5"},
         {"Pad", 18, "", "i64[1,2] 1 2;i64[2] 1 0;-;i64[1] -1", "i64[1,3] 0 1 2"},
         {"Pad", 18, "", "i64[1,2] 1 2;i64[4] 1 0 1 0;-;i64[2] 1 1", NULL})

START_TEST(node_of_another_domain)
{
    numbers in = parse_numbers("i64 1"), out;
    const numbers *list[] = {&in};
    model m = {.opset = 13};
    node_proto node = ONNX__NODE_PROTO__INIT;
    node.op_type = "Identity";
    node.domain = "com.microsoft";
    ck_assert(!fold_node(&m, &node, 1, list, 1, &out));
    node.domain = "ai.onnx";
    ck_assert(fold_node(&m, &node, 1, list, 1, &out));
    numbers_free(&out);
    node.op_type = NULL;
    ck_assert(!fold_node(&m, &node, 1, list, 1, &out) && is_zero(&out));
    numbers_free(&in);
}
END_TEST

/* An input that the node names, but whose numbers are not known. */
START_TEST(unknown_inputs)
{
    numbers in = parse_numbers("i64[2] 1 2"), out;
    const numbers *list[] = {&in, NULL};
    char *names[] = {"a", ""};
    model m = {.opset = 13};
    node_proto node = ONNX__NODE_PROTO__INIT;
    node.op_type = "Squeeze";
    node.input = names;
    node.n_input = 2;
    ck_assert(fold_node(&m, &node, 2, list, 1, &out));
    numbers_free(&out);
    names[1] = "b";
    ck_assert(!fold_node(&m, &node, 2, list, 1, &out));
    ck_assert(!fold_node(&m, &node, 1, list, 1, &out));
    ck_assert(!fold_node(&m, &node, 2, list, 0, NULL));
    numbers_free(&in);
}
END_TEST

START_TEST(attributes_of_functions)
{
    numbers in = parse_numbers("i64[2] 1 2"), out;
    const numbers *list[] = {&in};
    model m = {.opset = 13};
    attribute_proto a = ONNX__ATTRIBUTE_PROTO__INIT, *attribute = &a;
    node_proto node = ONNX__NODE_PROTO__INIT;
    node.op_type = "Concat";
    node.attribute = &attribute;
    node.n_attribute = 1;
    a.name = "axis";
    ck_assert(!fold_node(&m, &node, 1, list, 1, &out)); /* of which type? */
    a.has_i = 1;
    ck_assert(fold_node(&m, &node, 1, list, 1, &out));
    numbers_free(&out);
    a.ref_attr_name = "outer";
    ck_assert(!fold_node(&m, &node, 1, list, 1, &out));
    numbers_free(&in);
}
END_TEST

START_TEST(tensors)
{
    model m = {.opset = 13};
    int64_t dims[] = {2, 1}, values[] = {0, 7};
    int32_t *small = malloc(2 * sizeof *small);
    tensor_proto t = ONNX__TENSOR_PROTO__INIT;
    numbers n;
    t.dims = dims;
    t.n_dims = 2;
    t.has_data_type = 1;
    t.data_type = 7;
    t.int64_data = values;
    t.n_int64_data = 2;
    ck_assert(numbers_of_tensor(&m, &t, &n));
    ck_assert(n.type == 7 && n.count == 2 && n.shape.rank == 2 && n.whole[1] == 7 && !n.varies);
    numbers_free(&n);
    dims[0] = -2;
    ck_assert(!numbers_of_tensor(&m, &t, &n) && is_zero(&n));
    dims[0] = (int64_t)1 << 40;
    ck_assert(!numbers_of_tensor(&m, &t, &n) && is_zero(&n));
    dims[0] = 2;
    t.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__STRING;
    ck_assert(!numbers_of_tensor(&m, &t, &n) && is_zero(&n));
    t.data_type = ONNX__TENSOR_PROTO__DATA_TYPE__BOOL;
    t.n_int64_data = 0;
    small[0] = 0;
    small[1] = 2;
    t.int32_data = small; /* taken, to become raw_data */
    t.n_int32_data = 2;
    ck_assert(numbers_of_tensor(&m, &t, &n) && n.whole[0] == 0 && n.whole[1] == 1);
    numbers_free(&n);
    free(t.raw_data.data);
}
END_TEST

START_TEST(broadcast_shapes)
{
    const shape a = {2, {3, 1}}, b = {3, {2, 1, 4}}, c = {1, {2}}, empty = {1, {0}};
    shape s;
    ck_assert(shape_broadcast(&a, &b, &s));
    ck_assert(s.rank == 3 && s.dim[0] == 2 && s.dim[1] == 3 && s.dim[2] == 4);
    ck_assert(!shape_broadcast(&c, &b, &s));
    ck_assert(shape_broadcast(&empty, &a, &s) && s.rank == 2 && s.dim[0] == 3 && s.dim[1] == 0);
    ck_assert_uint_eq(shape_count(&s), 0);
    ck_assert_uint_eq(shape_count(&(shape){0}), 1);
    ck_assert_uint_eq(shape_count(&(shape){2, {SIZE_MAX, 2}}), SIZE_MAX);
    ck_assert_uint_eq(shape_count(&(shape){3, {SIZE_MAX, 2, 0}}), 0);
}
END_TEST

/*
 * ---- nodes at random: nothing breaks, and what is said to be known is complete ----
 *
 * MSKP_FOLD_NODES: how many of each operator.
 */

static uint64_t next_random(uint64_t most)
{
    static uint64_t state = 1;
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % (most + 1);
}

static int64_t random_whole(void)
{
    static const int64_t table[] = {INT64_MIN, INT64_MIN + 1, INT32_MIN,
                                    INT32_MAX, INT64_MAX,     1 << 20};
    return next_random(9) ? (int64_t)next_random(8) - 4 : table[next_random(5)];
}

/* Small, but where there is no element: then the other dims may be anything. */
static shape random_shape(void)
{
    shape s = {.rank = next_random(next_random(9) ? 3 : MAX_RANK)};
    for (size_t d = 0; d < s.rank; d++) s.dim[d] = 1 + next_random(s.rank > 3 ? 1 : 3);
    if (next_random(9) || !s.rank) return s;
    s.dim[next_random(s.rank - 1)] = PTRDIFF_MAX;
    s.dim[next_random(s.rank - 1)] = 0;
    if (next_random(1)) s.dim[next_random(s.rank - 1)] = (size_t)1 << next_random(40);
    return s;
}

static int32_t random_type(void)
{
    static const int32_t often[] = {7, 7, 7, 1, 9, 6};
    const size_t kinds = sizeof types / sizeof types[0];
    return next_random(3) ? often[next_random(5)] : types[next_random(kinds - 1)].type;
}

static int64_t random_of_type(int32_t type)
{
    const int64_t x = random_whole();
    if (type == 9) return x & 1;
    if (type == 7 || (x >= 0 && x < 9)) return x;
    return type == 13 || type == 12 || type == 4 || type == 2 ? x & 127 : -(x & 127);
}

static numbers random_numbers(int32_t type)
{
    numbers n = {.type = type};
    do n.shape = random_shape();
    while (shape_count(&n.shape) > 70000);
    n.count = shape_count(&n.shape);
    if (holds_reals(type))
        n.real = calloc(n.count + 1, sizeof *n.real);
    else
        n.whole = calloc(n.count + 1, sizeof *n.whole);
    if (!next_random(4)) n.varies = calloc(n.count + 1, 1);
    for (size_t i = 0; i < n.count; i++) {
        if (n.real) n.real[i] = next_random(20) ? (double)random_whole() / 2 : (double)NAN;
        if (n.whole) n.whole[i] = random_of_type(type);
        if (n.varies) n.varies[i] = next_random(3) == 0;
    }
    return n;
}

static size_t random_attributes(attribute_proto *one, attribute_proto **list, int64_t *ints)
{
    static char *const names[] = {"axis",      "keepdims",  "exclusive",   "reverse",  "fmod",
                                  "allowzero", "upper",     "num_outputs", "to",       "axes",
                                  "perm",      "split",     "starts",      "ends",     "pads",
                                  "shape",     "value_int", "value_ints",  "broadcast"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        attribute_proto *a = &one[n];
        if (next_random(2)) continue;
        onnx__attribute_proto__init(a);
        a->name = names[i];
        a->has_i = 1;
        a->i = random_whole();
        a->n_ints = i < 9 ? 0 : next_random(4);
        a->ints = ints + next_random(20);
        list[n++] = a;
    }
    return n;
}

static void check_known(const numbers *n)
{
    ck_assert(n->shape.rank <= MAX_RANK && n->count == shape_count(&n->shape));
    ck_assert(holds_reals(n->type) ? n->real && !n->whole : n->whole && !n->real);
    for (size_t i = 0; n->type == 9 && i < n->count; i++) ck_assert(n->whole[i] >> 1 == 0);
    ck_assert(!n->varies || memchr(n->varies, 1, n->count));
}

static bool random_node(const char *op)
{
    attribute_proto one[32], *attribute_list[32];
    int64_t ints[32];
    numbers in[5], out[3];
    const numbers *list[5];
    node_proto node = ONNX__NODE_PROTO__INIT;
    model m = {.opset = 1 + next_random(20)};
    const size_t n = next_random(5), n_out = 1 + next_random(2) * next_random(1);
    for (size_t i = 0; i < 32; i++) ints[i] = random_whole();
    for (size_t i = 0; i < n; i++) {
        in[i] = random_numbers(i && next_random(1) ? in[0].type : random_type());
        list[i] = next_random(15) ? &in[i] : NULL;
    }
    node.op_type = (char *)op;
    node.attribute = attribute_list;
    node.n_attribute = random_attributes(one, attribute_list, ints);
    const bool ok = fold_node(&m, &node, n, list, n_out, out);
    for (size_t i = 0; i < n_out; i++) {
        if (ok)
            check_known(&out[i]);
        else
            ck_assert(is_zero(&out[i]));
        numbers_free(&out[i]);
    }
    for (size_t i = 0; i < n; i++) numbers_free(&in[i]);
    return ok;
}

START_TEST(random_nodes)
{
    static const char *const operators[] = {"Constant",   "ConstantOfShape",
                                            "Identity",   "Dropout",
                                            "Add",        "Sub",
                                            "Mul",        "Div",
                                            "Mod",        "Pow",
                                            "Min",        "Max",
                                            "Sum",        "Equal",
                                            "Less",       "And",
                                            "Not",        "Neg",
                                            "Abs",        "Sign",
                                            "Floor",      "Exp",
                                            "Cast",       "Where",
                                            "Range",      "ReduceSum",
                                            "ReduceProd", "ReduceMin",
                                            "ReduceMax",  "ReduceMean",
                                            "CumSum",     "Reshape",
                                            "Flatten",    "Squeeze",
                                            "Unsqueeze",  "Transpose",
                                            "Expand",     "Tile",
                                            "Concat",     "Split",
                                            "Slice",      "Gather",
                                            "ScatterND",  "GatherElements",
                                            "NonZero",    "Pad",
                                            "Trilu"};
    const char *count = getenv("MSKP_FOLD_NODES");
    const size_t nodes = count ? strtoull(count, NULL, 10) : 2000;
    size_t known = 0;
    for (size_t o = 0; o < sizeof operators / sizeof operators[0]; o++)
        for (size_t i = 0; i < nodes; i++) known += random_node(operators[o]);
    ck_assert_uint_gt(known, nodes);
}
END_TEST

/* ---- outputs of files ---- */

typedef struct value {
    const char *name;
    numbers n;
} value;

typedef struct values {
    value *list;
    size_t n;
} values;

static const numbers *find_value(const values *all, const char *name)
{
    for (size_t i = 0; i < all->n; i++)
        if (!strcmp(all->list[i].name, name)) return &all->list[i].n;
    return NULL;
}

static void add_value(values *all, const char *name, numbers n)
{
    all->list = realloc(all->list, (all->n + 1) * sizeof *all->list);
    if (!all->list) abort();
    all->list[all->n++] = (value){name, n};
}

static void fold_into(values *all, model *m, const node_proto *node)
{
    const numbers *in[64];
    numbers out[64];
    bool known = node->n_input <= 64 && node->n_output <= 64;
    for (size_t i = 0; known && i < node->n_input; i++) {
        in[i] = *node->input[i] ? find_value(all, node->input[i]) : NULL;
        known = in[i] || !*node->input[i];
    }
    if (!known || !fold_node(m, node, node->n_input, in, node->n_output, out)) return;
    for (size_t i = 0; i < node->n_output; i++) add_value(all, node->output[i], out[i]);
}

static void print_value(const char *path, const char *name, const numbers *n)
{
    printf("%s %s %d", path, name, n ? n->type : 0);
    for (size_t d = 0; n && d < n->shape.rank; d++) printf("%s%zu", d ? "," : " ", n->shape.dim[d]);
    printf(n && n->shape.rank ? ":" : " :");
    for (size_t i = 0; n && i < n->count; i++)
        if (n->real)
            printf(" %.17g", n->real[i]);
        else
            printf(" %lld", (long long)n->whole[i]);
    putchar('\n');
}

static bool print_outputs(const char *path)
{
    model m;
    failure f;
    values all = {0};
    if (!model_read(&m, path, &f)) {
        fprintf(stderr, "%s: %s\n", path, f.text);
        return false;
    }
    for (size_t i = 0; i < m.graph->n_initializer; i++) {
        numbers n;
        if (numbers_of_tensor(&m, m.graph->initializer[i], &n))
            add_value(&all, m.graph->initializer[i]->name, n);
    }
    for (size_t i = 0; i < m.graph->n_node; i++) fold_into(&all, &m, m.graph->node[i]);
    for (size_t i = 0; i < m.graph->n_output; i++)
        print_value(path, m.graph->output[i]->name, find_value(&all, m.graph->output[i]->name));
    for (size_t i = 0; i < all.n; i++) numbers_free(&all.list[i].n);
    free(all.list);
    model_free(&m);
    return true;
}

int main(int argc, char **argv)
{
    bool ok = true;
    for (int i = 1; i < argc; i++) ok = print_outputs(argv[i]) && ok;
    if (argc > 1) return ok ? 0 : 1;

    const TTest *tests[] = {constants,      casts,
                            arithmetic,     logic,
                            ranges,         sums,
                            shapes,         copies,
                            slices,         indices,
                            pads,           node_of_another_domain,
                            unknown_inputs, attributes_of_functions,
                            tensors,        broadcast_shapes,
                            random_nodes};
    Suite *suite = suite_create("fold");
    TCase *tc = tcase_create("fold");
    for (size_t i = 0; i < sizeof tests / sizeof tests[0]; i++) tcase_add_test(tc, tests[i]);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? 1 : 0;
}
