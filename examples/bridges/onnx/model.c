/*
 * Reads a model: the file and the files beside it that hold data. Decodes the message, and checks
 * what the rest of the program relies on. model.h lists what is refused. The files are read and not
 * mapped, because a mapped file that becomes shorter ends the process.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "lower.h"

bool fail(failure *f, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(f->text, sizeof f->text, format, list);
    va_end(list);
    file_printable(f->text); /* names come from files of unknown origin */
    return false;
}

bool fail_as(failure *f, const mskp_error *err)
{
    if (err->status == MSKP_ERROR_NO_MEMORY) memory_note();
    return fail(f, "%s", err->text);
}

/* ---- files ---- */

/* The source whose bytes are those of the same file, under another name; NULL: there is none. */
static const struct source *same_file(const model *m, const file_input *in)
{
    for (size_t i = 0; i < m->source_count; i++)
        if (m->sources[i].bytes && m->sources[i].device == in->device &&
            m->sources[i].inode == in->inode)
            return &m->sources[i];
    return NULL;
}

static void forget_bytes(struct source *source)
{
    if (!source->shared) free(source->bytes);
    source->bytes = NULL;
}

/* Adds a file to the model's sources. */
static bool add_source(model *m, const struct source *new, failure *f)
{
    struct source *sources = try_realloc(m->sources, (m->source_count + 1) * sizeof *sources);
    if (!sources) return fail(f, "no memory for %zu files", m->source_count + 1);
    m->sources = sources;
    sources[m->source_count++] = *new;
    return true;
}

/* Reads a whole file of data. */
static bool read_source(model *m, file_input *in, const char *location, failure *f)
{
    file_error why;
    struct source new = {.size = in->size, .device = in->device, .inode = in->inode};
    const struct source *old = same_file(m, in);
    if (old) {
        new.bytes = old->bytes;
        new.size = old->size;
        new.shared = true;
    } else if (!file_rest(in, 0, NULL, SIZE_MAX, &new.bytes, &new.size, &why)) {
        return fail(f, "%s", why.text);
    }
    if (!add_source(m, &new, f)) {
        forget_bytes(&new);
        return false;
    }
    if (!old) m->bytes += new.size;
    return model_set_string(&m->sources[m->source_count - 1].location, location) ||
           fail(f, "no memory for its name");
}

const struct source *model_source(const model *m, const char *location)
{
    for (size_t i = 0; i < m->source_count; i++)
        if (m->sources[i].location && !strcmp(m->sources[i].location, location))
            return &m->sources[i];
    return NULL;
}

static bool set_folder(model *m, const char *path)
{
    const char *slash = strrchr(path, '/');
    const size_t length = slash ? (size_t)(slash - path) + (slash == path) : 1;
    m->folder = try_malloc(length + 1);
    if (!m->folder) return false;
    memcpy(m->folder, slash ? path : ".", length);
    m->folder[length] = 0;
    return true;
}

/* ---- data in other files ---- */

static bool read_data(model *m, const char *location, failure *f)
{
    file_input in;
    file_error why;
    failure inner = {""};
    if (!m->folder) return fail(f, "there is no folder to look for \"%.80s\" in", location);
    if (!file_is_below(location))
        return fail(f, "\"%.80s\" is no place within the model's folder", location);
    if (model_source(m, location)) return true;
    if (!file_open_below(&in, m->folder, location, &why))
        return fail(f, "its data are in \"%.80s\", but %s", location, why.text);
    const bool good = read_source(m, &in, location, &inner);
    file_close(&in);
    return good || fail(f, "its data are in \"%.80s\", but %s", location, inner.text);
}

static bool check_external(model *m, const tensor_proto *t, failure *f)
{
    const char *location;
    size_t offset, size;
    m->external = true;
    if (!tensor_place(t, &location, &offset, &size, f) || !read_data(m, location, f)) return false;
    const size_t most = model_source(m, location)->size;
    if (offset <= most && size <= most - offset) return true;
    return fail(f, "its data are %zu bytes from byte %zu on, but \"%.80s\" has %zu", size, offset,
                location, most);
}

/* ---- checking ---- */

typedef struct check {
    model *m;
    failure *f;
} check;

static bool check_tensor(void *context, ProtobufCMessage *message)
{
    const check *c = context;
    const tensor_proto *t = (const tensor_proto *)message;
    failure inner = {""};
    if (c->m->absent && tensor_is_absent(c->m, t))
        return tensor_check_dims(t, &inner) ||
               fail(c->f, "tensor \"%.80s\": %s", t->name ? t->name : "", inner.text);
    if (tensor_check(t, &inner) && (!tensor_is_external(t) || check_external(c->m, t, &inner)))
        return true;
    return fail(c->f, "tensor \"%.80s\": %s", t->name ? t->name : "", inner.text);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool check_names(size_t count, const char **names, failure *f)
{
    for (size_t i = 0; i < count; i++)
        if (!names[i] || !names[i][0])
            return fail(f, "initializer %zu of %zu has no name", i, count);
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 1; i < count; i++)
        if (!strcmp(names[i - 1], names[i]))
            return fail(f, "two initializers have the name \"%.80s\"", names[i]);
    return true;
}

static bool check_graph(void *context, ProtobufCMessage *message)
{
    const check *c = context;
    const graph_proto *g = (const graph_proto *)message;
    const size_t dense = g->n_initializer, sparse = g->n_sparse_initializer;
    if (!dense && !sparse) return true;
    const char **names = try_malloc((dense + sparse) * sizeof *names);
    if (!names) return fail(c->f, "no memory for %zu names", dense + sparse);
    for (size_t i = 0; i < dense; i++) names[i] = g->initializer[i]->name;
    for (size_t i = 0; i < sparse; i++) {
        const tensor_proto *values = g->sparse_initializer[i]->values;
        names[dense + i] = values ? values->name : NULL;
    }
    const bool good = check_names(dense + sparse, names, c->f);
    free(names);
    return good;
}

static bool read_opset(model *m, failure *f)
{
    for (size_t i = 0; i < m->proto->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *set = m->proto->opset_import[i];
        if (set->domain && set->domain[0] && strcmp(set->domain, "ai.onnx") != 0) continue;
        if (set->version <= 0 || set->version > INT32_MAX)
            return fail(f, "there is no opset %lld", (long long)set->version);
        if (m->opset && m->opset != (size_t)set->version)
            return fail(f, "it wants opset %zu and opset %lld", m->opset, (long long)set->version);
        m->opset = (size_t)set->version;
    }
    return true;
}

static bool check_model(model *m, failure *f)
{
    check c = {m, f};
    m->graph = m->proto->graph;
    if (!m->graph) return fail(f, "the model has no graph");
    return model_inline(m, f) && read_opset(m, f) &&
           wire_each(&m->proto->base, &onnx__graph_proto__descriptor, check_graph, &c) &&
           wire_each(&m->proto->base, &onnx__tensor_proto__descriptor, check_tensor, &c);
}

/* ---- reading ---- */

static bool check_size(size_t size, failure *f)
{
    return size <= MOST_BYTES ||
           fail(f, "it has %zu bytes, and a protobuf message no more than %zu", size, MOST_BYTES);
}

static void *take(void *unused, size_t size)
{
    (void)unused;
    return try_malloc(size);
}

static void give_back(void *unused, void *memory)
{
    (void)unused;
    free(memory);
}

ProtobufCAllocator *model_allocator(void)
{
    static ProtobufCAllocator noted = {take, give_back, NULL};
    return &noted;
}

static bool decode(model *m, const byte_source *from, failure *f)
{
    skeleton s;
    bool good = skeleton_read(&s, from, f) && wire_check(&onnx__model_proto__descriptor, &s, f);
    if (good) m->proto = onnx__model_proto__unpack(model_allocator(), s.size, s.bytes);
    if (good && !m->proto) good = fail(f, "no memory for a model of %zu bytes", from->size);
    if (good) skeleton_attach(&s, m->proto);
    skeleton_free(&s);
    return good;
}

/* The bytes that are left. */
typedef struct memory_left {
    const char *bytes;
    size_t size;
} memory_left;

static bool read_memory(void *context, size_t count, void *to, size_t *got, failure *f)
{
    memory_left *left = context;
    (void)f;
    *got = count < left->size ? count : left->size;
    if (*got) memcpy(to, left->bytes, *got);
    left->bytes += *got;
    left->size -= *got;
    return true;
}

bool model_parse(model *m, const void *bytes, size_t size, bool absent, failure *f)
{
    memory_left left = {bytes, size};
    *m = (model){.bytes = size, .absent = absent};
    if (check_size(size, f) && decode(m, &(byte_source){size, &left, read_memory}, f) &&
        check_model(m, f))
        return true;
    model_free(m);
    return false;
}

static bool read_input(void *context, size_t count, void *to, size_t *got, failure *f)
{
    file_error why;
    return file_get(context, count, to, got, &why) || fail(f, "%s", why.text);
}

static bool read_file(model *m, const char *path, failure *f)
{
    file_input in;
    file_error why;
    if (!set_folder(m, path)) return fail(f, "no memory for the name of its folder");
    if (!file_open_regular(&in, path, &why)) return fail(f, "%s", why.text);
    const struct source itself = {.size = in.size, .device = in.device, .inode = in.inode};
    m->bytes = in.size;
    const bool good = check_size(in.size, f) && add_source(m, &itself, f) &&
                      decode(m, &(byte_source){in.size, &in, read_input}, f);
    file_close(&in);
    return good && check_model(m, f);
}

bool model_read(model *m, const char *path, failure *f)
{
    failure inner = {""};
    *m = (model){0};
    if (read_file(m, path, &inner)) return true;
    model_free(m);
    return fail(f, "%.120s: %s", path, inner.text);
}

void model_free(model *m)
{
    lower_free(m);
    if (m->proto) onnx__model_proto__free_unpacked(m->proto, model_allocator());
    for (size_t i = 0; i < m->source_count; i++) {
        forget_bytes(&m->sources[i]);
        free(m->sources[i].location);
    }
    free(m->sources);
    free(m->folder);
    *m = (model){0};
}

void model_names_within(const node_proto *node, name_reader *see, void *context)
{
    for (size_t k = 0; k < node->n_attribute; k++) {
        const attribute_proto *a = node->attribute[k];
        for (size_t g = 0; g < a->n_graphs + (a->g ? 1 : 0); g++) {
            const graph_proto *inner = g < a->n_graphs ? a->graphs[g] : a->g;
            for (size_t i = 0; i < inner->n_node; i++) {
                for (size_t j = 0; j < inner->node[i]->n_input; j++)
                    see(context, inner->node[i]->input[j]);
                model_names_within(inner->node[i], see, context);
            }
            for (size_t i = 0; i < inner->n_output; i++) see(context, inner->output[i]->name);
        }
    }
}
