/* safetensors files and networks in them: there and back, and garbage, which must end in a sentence
 * and nothing worse. */
#include "convnet.h"

#include "by_id/by_id.h"
#include <check.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static char path[64];

static void setup(void)
{
    snprintf(path, sizeof path, "/tmp/test_safetensors_%ld", (long)getpid());
}

static void teardown(void)
{
    remove(path);
}

/* header, padded or not, and `size` bytes of data; returns what the parser says. The copy is exact,
 * for sanitizers. */
static bool parse(const char *header, size_t size, cn_tensors *file, cn_error *err)
{
    const size_t length = strlen(header);
    unsigned char *bytes = calloc(1, 8 + length + size), *copy;
    ck_assert_ptr_nonnull(bytes);
    for (size_t i = 0; i < 8; i++) bytes[i] = (unsigned char)((uint64_t)length >> 8 * i);
    memcpy(bytes + 8, header, length);
    for (size_t i = 0; i < size; i++) bytes[8 + length + i] = (unsigned char)i;
    const bool good = cn_tensors_parse(bytes, 8 + length + size, file, err);
    copy = bytes;
    if (good)
        file->bytes = copy; /* freed with it */
    else
        free(copy);
    return good;
}

START_TEST(good_files)
{
    cn_tensors file;
    cn_error err = {""};
    ck_assert_msg(parse("{}", 0, &file, &err), "%s", err.text);
    ck_assert_uint_eq(file.count, 0);
    cn_tensors_free(&file);
    ck_assert_msg(parse("{\"b\":{\"dtype\":\"U8\",\"shape\":[2,3],\"data_offsets\":[4,10]},"
                        "\"__metadata__\":{\"k\":\"v\",\"l\":\"\"},"
                        "\"empty\":{\"dtype\":\"F64\",\"shape\":[2,0],\"data_offsets\":[4,4]},"
                        "\"a\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}   ",
                        10, &file, &err),
                  "%s", err.text);
    ck_assert_uint_eq(file.count, 3);
    ck_assert_str_eq(file.tensors[0].name, "a");
    ck_assert_str_eq(file.tensors[1].name, "empty");
    ck_assert_str_eq(file.tensors[2].name, "b");
    ck_assert_uint_eq(file.tensors[0].count, 1);
    ck_assert_uint_eq(file.tensors[0].dims, 0);
    const cn_tensor *b = cn_tensors_find(&file, "b");
    ck_assert_uint_eq(b->count, 6);
    ck_assert_uint_eq(b->shape[1], 3);
    ck_assert_int_eq(*(const unsigned char *)b->data, 4);
    ck_assert_str_eq(cn_tensors_meta(&file, "k"), "v");
    ck_assert_ptr_null(cn_tensors_meta(&file, "m"));
    ck_assert_ptr_null(cn_tensors_find(&file, "c"));
    cn_real values[6];
    ck_assert(!cn_tensor_copy(b, 6, values, &err));
    ck_assert(!cn_tensor_copy(&file.tensors[0], 6, values, &err));
    ck_assert_msg(strstr(err.text, "1 elements, 6") != NULL, "%s", err.text);
    cn_tensors_free(&file);
}
END_TEST

START_TEST(bad_headers)
{
#define A "\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}"
    static const struct {
        const char *word, *header;
        size_t size;
    } bad[] = {
        {"no JSON object", "", 0},
        {"no JSON object", "[]", 0},
        {"no JSON object", " {}", 0},
        {"no JSON from", "{", 0},
        {"no JSON from", "{\"a\":1,}", 0},
        {"more than blanks", "{}x", 0},
        {"more than blanks", "{}{}", 0},
        {"is no object", "{\"a\":1}", 0},
        {"is no object", "{\"__metadata__\":1}", 0},
        {"is no string", "{\"__metadata__\":{\"a\":1}}", 0},
        {"key a is used twice", "{\"__metadata__\":{\"a\":\"1\",\"a\":\"2\"}}", 0},
        {"is there twice", "{\"__metadata__\":{},\"__metadata__\":{}}", 0},
        {"a: has 2 fields", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4},
        {"unknown field x", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"x\":[0,4]}}", 4},
        {"has 4 fields",
         "{\"a\":{\"dtype\":\"U8\",\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
        {"a: has the unknown dtype U9",
         "{\"a\":{\"dtype\":\"U9\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
        {"unknown dtype", "{\"a\":{\"dtype\":8,\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
        {"a: its shape", "{\"a\":{\"dtype\":\"U8\",\"shape\":4,\"data_offsets\":[0,4]}}", 4},
        {"its shape", "{\"a\":{\"dtype\":\"U8\",\"shape\":[-4],\"data_offsets\":[0,4]}}", 4},
        {"its shape", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4.5],\"data_offsets\":[0,4]}}", 4},
        {"its shape", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1e300],\"data_offsets\":[0,4]}}", 4},
        {"its shape", "{\"a\":{\"dtype\":\"U8\",\"shape\":[\"4\"],\"data_offsets\":[0,4]}}", 4},
        {"its shape",
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[4,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4},
        {"are not 2", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4]}}", 4},
        {"are not 2", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[0,4,8]}}", 4},
        {"are not 2", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[-1,3]}}", 4},
        {"4 and 0 are not in order within 4",
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,0]}}", 4},
        {"0 and 4 are not in order within 3", "{" A "}", 3},
        {"more than this machine",
         "{\"a\":{\"dtype\":\"U8\",\"shape\":[65536,65536,65536,65536],\"data_offsets\":[0,0]}}",
         0},
        {"more than this machine",
         "{\"a\":{\"dtype\":\"F64\",\"shape\":[2147483648,1073741824],\"data_offsets\":[0,0]}}", 0},
        {"needs 16 bytes, its data_offsets give 4",
         "{\"a\":{\"dtype\":\"F32\",\"shape\":[4],\"data_offsets\":[0,4]}}", 4},
        {"a: the name is used twice",
         "{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[4,8]}," A "}", 8},
        {"b: begins at byte 2 of the data, but what comes before it ends at 4",
         "{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[6],\"data_offsets\":[2,8]}}", 8},
        {"b: begins at byte 5 of the data, but what comes before it ends at 4",
         "{" A ",\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[5,8]}}", 8},
        {"end at byte 4 of the data, which has 5", "{" A "}", 5},
        {"end at byte 0 of the data, which has 5", "{}", 5},
    };
#undef A
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cn_tensors file;
        cn_error err = {""};
        ck_assert_msg(!parse(bad[i].header, bad[i].size, &file, &err), "accepted: %s",
                      bad[i].header);
        ck_assert_msg(strstr(err.text, bad[i].word) != NULL, "%s: %s", bad[i].header, err.text);
        ck_assert(!file.tensors && !file.meta && !file.json && !file.bytes && !file.count &&
                  !file.meta_count);
    }
    const unsigned char huge[] = {255, 255, 255, 255, 255, 255, 255, 255, '{', '}'};
    cn_tensors file;
    ck_assert(!cn_tensors_parse(huge, sizeof huge, &file, NULL));
    ck_assert(!cn_tensors_parse(huge, 0, &file, NULL));
    ck_assert(!cn_tensors_parse(huge, 7, &file, NULL));
}
END_TEST

/* A small file as cn_save writes it, in memory of exactly its size. */
static unsigned char *small_file(size_t *size)
{
    /* 1, 2, 3 and 4, 5, in the order of bytes that the format has. */
    static const unsigned char a[] = {0, 0, 0x80, 0x3f, 0, 0, 0, 0x40, 0, 0, 0x40, 0x40};
    static const unsigned char b[] = {0, 0, 0, 0, 0, 0, 0x10, 0x40, 0, 0, 0, 0, 0, 0, 0x14, 0x40};
    const cn_tensor tensors[] = {
        {.name = "a", .dtype = "F32", .dims = 2, .shape = {1, 3}, .data = a},
        {.name = "b", .dtype = "F64", .dims = 1, .shape = {2}, .data = b},
    };
    const char *meta[] = {"key", "value \"quoted\" \xc3\xa9", "other", ""};
    const cn_tensors file = {
        .count = 2, .meta_count = 2, .tensors = (cn_tensor *)(uintptr_t)tensors, .meta = meta};
    cn_error err = {""};
    ck_assert_msg(cn_tensors_write(path, &file, &err), "%s", err.text);
    FILE *stream = fopen(path, "rb");
    unsigned char *bytes = malloc(4096);
    ck_assert(stream && bytes);
    *size = fread(bytes, 1, 4096, stream);
    fclose(stream);
    return bytes;
}

START_TEST(there_and_back)
{
    cn_tensors file;
    cn_error err = {""};
    size_t size;
    free(small_file(&size));
    ck_assert_uint_eq(size % 4, 0);
    ck_assert_msg(cn_tensors_read(path, &file, &err), "%s", err.text);
    ck_assert_uint_eq(file.count, 2);
    ck_assert_uint_eq(file.meta_count, 2);
    ck_assert_str_eq(cn_tensors_meta(&file, "key"), "value \"quoted\" \xc3\xa9");
    cn_real values[3];
    ck_assert(cn_tensor_copy(&file.tensors[0], 3, values, &err));
    ck_assert(values[0] == 1 && values[2] == 3);
    ck_assert(cn_tensor_copy(&file.tensors[1], 2, values, &err));
    ck_assert(values[0] == 4 && values[1] == 5);
    cn_tensors_free(&file);
    cn_tensors_free(&file);
    ck_assert(!cn_tensors_write("/nonexistent/file", &file, &err));
    ck_assert(!cn_tensors_read("/nonexistent/file", &file, &err));
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/file"));
}
END_TEST

/* Whatever the parser accepts must be readable to the last byte. */
static void touch(const unsigned char *bytes, size_t size)
{
    unsigned char *exact = malloc(size ? size : 1);
    cn_tensors file;
    cn_error err = {""};
    ck_assert_ptr_nonnull(exact);
    memcpy(exact, bytes, size);
    if (cn_tensors_parse(exact, size, &file, &err)) {
        size_t sum = 0;
        for (size_t i = 0; i < file.count; i++) {
            for (size_t k = 0; k < file.tensors[i].bytes; k++)
                sum += ((const unsigned char *)file.tensors[i].data)[k];
            sum += strlen(file.tensors[i].name);
        }
        for (size_t i = 0; i < 2 * file.meta_count; i++) sum += strlen(file.meta[i]);
        ck_assert_uint_ne(sum, SIZE_MAX);
        cn_tensors_free(&file);
    } else {
        ck_assert_uint_ne(strlen(err.text), 0);
    }
    free(exact);
}

START_TEST(garbage)
{
    size_t size;
    unsigned char *bytes = small_file(&size), *mutant = malloc(2 * size);
    cn_random random = {1};
    cn_tensors file;
    ck_assert_ptr_nonnull(mutant);
    for (size_t i = 0; i < size; i++) {
        ck_assert(!cn_tensors_parse(bytes, i, &file, NULL));
        touch(bytes, i);
    }
    for (size_t bit = 0; bit < 8 * size; bit++) {
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
        touch(bytes, size);
        bytes[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    const char *scale = getenv("MSKP_TEST_SCALE");
    const int rounds = (int)(50000 * (scale ? atof(scale) : 1));
    for (int round = 0; round < rounds; round++) {
        static const char json[] = "{}[]\",:0123456789eE+-.\\u";
        size_t n = size;
        memcpy(mutant, bytes, size);
        for (size_t k = 1 + cn_random_below(&random, 4); k--;) {
            const size_t at = cn_random_below(&random, 3) ? cn_random_below(&random, n)
                                                          : cn_random_below(&random, 8);
            switch (cn_random_below(&random, 4)) {
            case 0:
                mutant[at] = (unsigned char)cn_random_bits(&random);
                break;
            case 1:
                mutant[at] = (unsigned char)json[cn_random_below(&random, sizeof json - 1)];
                break;
            case 2: /* out */
                memmove(mutant + at, mutant + at + 1, n - at - 1);
                if (n > 9) n--;
                break;
            default: /* twice, with everything after it */
                if (n + 16 < 2 * size) {
                    const size_t more = n - at < 16 ? n - at : 16;
                    memmove(mutant + at + more, mutant + at, n - at);
                    n += more;
                }
            }
        }
        touch(mutant, n);
    }
    free(bytes);
    free(mutant);
}
END_TEST

/* ---- networks in files ---- */

static void same_values(const cn_net *a, const cn_net *b)
{
    ck_assert_uint_eq(a->param_count, b->param_count);
    ck_assert_str_eq(a->model, b->model);
    for (size_t i = 0; i < a->param_count; i++) {
        ck_assert_str_eq(a->params[i].name, b->params[i].name);
        ck_assert_mem_eq(a->params[i].shape, b->params[i].shape, sizeof a->params[i].shape);
        ck_assert_mem_eq(a->params[i].value, b->params[i].value,
                         a->params[i].count * sizeof(cn_real));
    }
}

/* A resnet8 whose second stage is narrower and padded unevenly, as surgery leaves it. */
static cn_net *narrow(void)
{
    cn_layer layers[64];
    cn_error err = {""};
    const size_t count = cn_resnet_layers(8, 7, layers, 64);
    for (size_t i = 0; i < count; i++) {
        if (!strcmp(layers[i].name, "layer1.0.conv1")) layers[i].channels = 5;
        if (!strcmp(layers[i].name, "layer2.0.conv2")) layers[i].channels = 24;
        if (!strcmp(layers[i].name, "layer2.0.shortcut")) layers[i].before = 3, layers[i].after = 5;
        if (!strcmp(layers[i].name, "layer3.0.conv2")) layers[i].channels = 40;
        if (!strcmp(layers[i].name, "layer3.0.shortcut"))
            layers[i].before = 16, layers[i].after = 0;
    }
    cn_net *net = cn_create("resnet8", count, layers, &(cn_options){.batch = 8, .seed = 5}, &err);
    ck_assert_msg(net != NULL, "%s", err.text);
    return net;
}

/* The last byte of a number in a file holds the sign and the
 * highest bits of the exponent, whatever the machine's own order of bytes is. */
static void bytes_are_little_endian(const cn_net *net)
{
    cn_tensors file;
    cn_error err = {""};
    ck_assert_msg(cn_tensors_read(path, &file, &err), "%s", err.text);
    for (size_t i = 0; i < net->param_count; i++) {
        const cn_param *p = &net->params[i];
        const cn_tensor *t = cn_tensors_find(&file, p->name);
        const unsigned char *bytes = t->data;
        for (size_t k = 0; k < p->count; k++) {
            const unsigned char last = bytes[(k + 1) * sizeof(cn_real) - 1];
            const double x = (double)p->value[k], size = fabs(x);
            ck_assert_uint_eq(last >> 7, signbit(x) ? 1 : 0);
            /* 2 is where the exponent's highest bit changes. */
            ck_assert_uint_eq(last >> 6 & 1, size >= 2 ? 1 : 0);
            if (size == 0) ck_assert_uint_eq(last & 0x7f, 0);
            if (size == 1) ck_assert_uint_eq(last & 0x7f, 0x3f);
        }
    }
    cn_tensors_free(&file);
}

START_TEST(networks_there_and_back)
{
    cn_error err = {""};
    cn_net *net = narrow();
    const char *extra[] = {"note", "by hand"};
    ck_assert_msg(cn_save(net, path, 1, extra, &err), "%s", err.text);
    cn_net *again = cn_load(path, NULL, &err);
    ck_assert_msg(again != NULL, "%s", err.text);
    same_values(net, again);
    bytes_are_little_endian(net);
    const cn_layer *pad = &again->layers[cn_find_layer(again, "layer2.0.shortcut")];
    ck_assert_uint_eq(pad->before, 3);
    ck_assert_uint_eq(pad->after, 5);
    cn_tensors file;
    ck_assert_msg(cn_tensors_read(path, &file, &err), "%s", err.text);
    ck_assert_str_eq(cn_tensors_meta(&file, "note"), "by hand");
    ck_assert_str_eq(cn_tensors_meta(&file, "layer3.0.shortcut.pad"), "16,0");

    cn_net *wide = cn_resnet(8, 7, NULL, &err);
    const cn_real before = wide->params[0].value[0];
    ck_assert(!cn_load_values(wide, &file, &err));
    ck_assert_msg(
        strstr(err.text,
               "layer1.0.conv1.weight: dimension 0 has 5 elements in the file, 16 here") != NULL,
        "%s", err.text);
    ck_assert(wide->params[0].value[0] == before);
    cn_tensors_free(&file);
    cn_destroy(wide);
    cn_destroy(again);
    cn_destroy(net);
}
END_TEST

/* Metadata and tensors changed by hand: refused by name. */
START_TEST(networks_refused)
{
    static const struct {
        const char *key, *value, *word;
    } bad[] = {
        {"model", "resnet9", "not 9"},
        {"model", "vgg16", "vgg16"},
        {"model", "resnet8 ", "resnet8 "},
        {"model", "resnet14", "layer1.1.conv1.weight"},
        {"layer2.0.shortcut.pad", "8,8", "layer2.0.add"},
        {"layer2.0.shortcut.pad", "3;5", "3;5"},
        {"layer2.0.shortcut.pad", "-3,5", "-3,5"},
        {"layer2.0.shortcut.pad", "999999999,999999999", "layer2.0.shortcut"},
    };
    cn_error err = {""};
    cn_net *net = narrow();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        cn_tensors file;
        ck_assert(cn_save(net, path, 0, NULL, &err));
        ck_assert(cn_tensors_read(path, &file, &err));
        for (size_t k = 0; k < file.meta_count; k++)
            if (!strcmp(file.meta[2 * k], bad[i].key)) file.meta[2 * k + 1] = bad[i].value;
        ck_assert(cn_tensors_write(path, &file, &err));
        cn_tensors_free(&file);
        ck_assert_ptr_null(cn_load(path, NULL, &err));
        ck_assert_msg(strstr(err.text, bad[i].word) != NULL, "%s: %s", bad[i].value, err.text);
    }
    for (int change = 0; change < 4; change++) {
        static const char *const words[] = {"conv1.weight: is not in the file",
                                            "41 tensors, the network 42", "is U8, neither",
                                            "dimension 1 has 0 elements"};
        cn_tensors file;
        ck_assert(cn_save(net, path, 0, NULL, &err));
        ck_assert(cn_tensors_read(path, &file, &err));
        const size_t n = file.count;
        if (change == 0) file.tensors[0].name = "conv0.weight";
        if (change == 1) file.count--;
        if (change == 2) file.tensors[5].dtype = "U8";
        if (change == 3) file.tensors[0].shape[1] = 0;
        ck_assert(cn_tensors_write(path, &file, &err));
        cn_tensors_free(&file);
        ck_assert_ptr_null(cn_load(path, NULL, &err));
        if (change != 1)
            ck_assert_msg(strstr(err.text, words[change]) != NULL, "%s (%zu tensors)", err.text, n);
        else
            ck_assert_msg(strstr(err.text, "linear.bias: is not in the file") != NULL, "%s",
                          err.text);
    }
    cn_destroy(net);
}
END_TEST

/* The sentence names the file, the tensor and the element. */
START_TEST(numbers_that_are_not_finite)
{
    static const double numbers[] = {NAN, INFINITY, -INFINITY, 1e300};
    cn_error err = {""};
    for (size_t i = 0; i < 4; i++) {
        cn_net *net = narrow();
        const cn_param *p = &net->params[5];
        char expected[120];
        p->value[p->count - 1] = (cn_real)numbers[i];
        const bool finite = isfinite((double)p->value[p->count - 1]);
        snprintf(expected, sizeof expected, "%s: element %zu of %zu is ", p->name, p->count - 1,
                 p->count);
        ck_assert(cn_save(net, path, 0, NULL, &err));
        cn_net *again = cn_load(path, NULL, &err);
        ck_assert_int_eq(again != NULL, finite);
        if (!finite)
            ck_assert_msg(strstr(err.text, expected) && strstr(err.text, path), "%s", err.text);
        cn_destroy(again);
        cn_destroy(net);
    }
}
END_TEST

/* 1e300 is a number in a file of doubles, and none in a network of floats. */
START_TEST(doubles_that_floats_cannot_hold)
{
    static const unsigned char bytes[] = {0x9C, 0x75, 0x00, 0x88, 0x3C, 0xE4, 0x37, 0x7E};
    static const double big = 1e300; /* a literal has more digits on an x87 */
    cn_error err = {""};
    const cn_tensor tensor = {
        .name = "t", .dtype = "F64", .dims = 1, .shape = {1}, .count = 1, .data = bytes};
    cn_real value;
    ck_assert(cn_tensor_copy(&tensor, 1, &value, &err));
    ck_assert(sizeof value == sizeof(float) ? isinf((double)value) : (double)value == big);
    ck_assert_int_eq(cn_tensor_check_finite(&tensor, &err), sizeof value != sizeof(float));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("safetensors");
    TCase *cases = tcase_create("safetensors");
    tcase_set_timeout(cases, 300);
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, good_files);
    tcase_add_test(cases, bad_headers);
    tcase_add_test(cases, there_and_back);
    tcase_add_test(cases, garbage);
    tcase_add_test(cases, networks_there_and_back);
    tcase_add_test(cases, networks_refused);
    tcase_add_test(cases, numbers_that_are_not_finite);
    tcase_add_test(cases, doubles_that_floats_cannot_hold);
    suite_add_tcase(suite, cases);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
