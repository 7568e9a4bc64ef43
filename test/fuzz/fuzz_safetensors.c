/*
 * Any bytes as a safetensors file. What is refused has a sentence and leaves an empty result. The
 * tensors of what is taken follow one another to the end of the bytes, and are the same after they
 * were written to a file and read again. Numbers can be copied out.
 *
 * Any bytes are also a checkpoint: a network that is made of one is one that can be saved and
 * loaded, with the same parameters. The files are in memory and have names in /proc/self/fd, as
 * Linux gives them.
 */
#define _GNU_SOURCE /* memfd_create */

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "convnet.h"
#include "fuzz.h"

enum { MOST_COPIED = 1 << 12 };

/* A file in memory, which lives as long as the process, and is empty after each call. Such a name
 * means the open file, which is written from where it stands. */
typedef struct scratch {
    char path[32];
    int file;
} scratch;

static void make_scratch(scratch *s)
{
    if (!s->path[0]) s->file = memfd_create("scratch", 0);
    FUZZ_REQUIRE(s->file >= 0, "no file in memory");
    FUZZ_REQUIRE(!ftruncate(s->file, 0) && !lseek(s->file, 0, SEEK_SET), "it cannot be emptied");
    (void)snprintf(s->path, sizeof s->path, "/proc/self/fd/%d", s->file);
}

static void require_sentence(const cn_error *err)
{
    FUZZ_REQUIRE(err->text[0] && memchr(err->text, 0, sizeof err->text), "no sentence");
}

/* The tensors follow one another to the end of the file, without a gap. */
static void require_inside(const cn_tensors *file, const uint8_t *data, size_t size)
{
    const uint8_t *end = file->count ? file->tensors[0].data : data + size;
    for (size_t i = 0; i < file->count; i++) {
        const cn_tensor *t = &file->tensors[i];
        size_t count = 1;
        for (size_t d = 0; d < t->dims; d++) count *= t->shape[d];
        FUZZ_REQUIRE(count == t->count && t->dims <= 8, t->name);
        FUZZ_REQUIRE(t->data == end && t->bytes <= size - (size_t)(end - data), t->name);
        FUZZ_REQUIRE(cn_tensors_find(file, t->name) == t, t->name);
        end += t->bytes;
    }
    FUZZ_REQUIRE(end == data + size, "bytes that belong to no tensor");
    for (size_t i = 0; i < file->meta_count; i++)
        FUZZ_REQUIRE(cn_tensors_meta(file, file->meta[2 * i]) == file->meta[2 * i + 1],
                     file->meta[2 * i]);
}

static void require_same(const cn_tensors *a, const cn_tensors *b)
{
    FUZZ_REQUIRE(a->count == b->count && a->meta_count == b->meta_count, "another file");
    for (size_t i = 0; i < a->count; i++) {
        const cn_tensor *t = &a->tensors[i], *u = cn_tensors_find(b, t->name);
        FUZZ_REQUIRE(u && !strcmp(t->dtype, u->dtype) && t->dims == u->dims, t->name);
        FUZZ_REQUIRE(!memcmp(t->shape, u->shape, t->dims * sizeof *t->shape), t->name);
        FUZZ_REQUIRE(t->bytes == u->bytes && !memcmp(t->data, u->data, t->bytes), t->name);
    }
    for (size_t i = 0; i < 2 * a->meta_count; i += 2) {
        const char *value = cn_tensors_meta(b, a->meta[i]);
        FUZZ_REQUIRE(value && !strcmp(value, a->meta[i + 1]), a->meta[i]);
    }
}

static void copy_out(const cn_tensors *file)
{
    static cn_real numbers[MOST_COPIED];
    for (size_t i = 0; i < file->count; i++) {
        cn_error err = {""};
        const cn_tensor *t = &file->tensors[i];
        if (t->count > MOST_COPIED) continue;
        const bool real = !strcmp(t->dtype, "F32") || !strcmp(t->dtype, "F64");
        FUZZ_REQUIRE(cn_tensor_copy(t, t->count, numbers, &err) == real, t->name);
        if (!real) require_sentence(&err);
        FUZZ_REQUIRE(!cn_tensor_copy(t, t->count + 1, numbers, &err), "one element too many");
    }
}

static void parse(const uint8_t *data, size_t size)
{
    static scratch out;
    static const cn_tensors none;
    cn_tensors file = {.count = 77}, again;
    cn_error err = {""};
    if (!cn_tensors_parse(data, size, &file, &err)) {
        require_sentence(&err);
        FUZZ_REQUIRE(!memcmp(&file, &none, sizeof file), "a refused file is not empty");
        return;
    }
    make_scratch(&out);
    require_inside(&file, data, size);
    copy_out(&file);
    FUZZ_REQUIRE(cn_tensors_write(out.path, &file, &err), err.text);
    FUZZ_REQUIRE(cn_tensors_read(out.path, &again, &err), err.text);
    require_same(&file, &again);
    require_same(&again, &file);
    cn_tensors_free(&again);
    cn_tensors_free(&file);
}

static void require_same_network(const cn_net *a, const cn_net *b)
{
    FUZZ_REQUIRE(a->param_count == b->param_count && a->layer_count == b->layer_count, a->model);
    for (size_t p = 0; p < a->param_count; p++) {
        const cn_param *x = &a->params[p], *y = &b->params[p];
        FUZZ_REQUIRE(!strcmp(x->name, y->name) && x->count == y->count, x->name);
        FUZZ_REQUIRE(!memcmp(x->value, y->value, x->count * sizeof *x->value), x->name);
    }
}

static void load(const uint8_t *data, size_t size)
{
    static scratch in, out;
    const cn_options options = {.batch = 1};
    cn_error err = {""};
    make_scratch(&in);
    make_scratch(&out);
    FILE *file = fopen(in.path, "wb");
    FUZZ_REQUIRE(file && fwrite(data, 1, size, file) == size && !fclose(file), "no file");
    cn_net *net = cn_load(in.path, &options, &err), *again;
    if (!net) {
        require_sentence(&err);
        return;
    }
    FUZZ_REQUIRE(cn_save(net, out.path, 0, NULL, &err), err.text);
    FUZZ_REQUIRE((again = cn_load(out.path, &options, &err)), err.text);
    require_same_network(net, again);
    cn_destroy(again);
    cn_destroy(net);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    parse(data, size);
    load(data, size);
    return 0;
}
