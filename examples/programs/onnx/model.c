/*
 * Reads a model: maps the file and the files beside it that hold data, decodes the message, and
 * checks what the rest of the program relies on. model.h lists what is refused.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "internal.h"

bool fail(failure *f, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(f->text, sizeof f->text, format, list);
    va_end(list);
    for (char *c = f->text; *c; c++) /* names come from files of unknown origin */
        if ((unsigned char)*c < ' ' || *c == 127) *c = '?';
    return false;
}

/* ---- files ---- */

/* Maps a whole file and adds it to the model's files. */
static bool map_file(model *m, const char *path, const char *location, failure *f)
{
    struct stat is;
    struct mapping *maps = realloc(m->maps, (m->map_count + 1) * sizeof *maps);
    if (!maps) return fail(f, "no memory for %zu files", m->map_count + 1);
    m->maps = maps;
    struct mapping *map = &maps[m->map_count];
    *map = (struct mapping){0};
    const int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (file < 0) return fail(f, "it cannot be opened: %s", strerror(errno));
    bool good = fstat(file, &is) == 0 && S_ISREG(is.st_mode);
    if (!good) fail(f, "it is no regular file");
    if (good && is.st_size) {
        map->size = (size_t)is.st_size;
        map->bytes = mmap(NULL, map->size, PROT_READ, MAP_PRIVATE, file, 0);
        good = map->bytes != MAP_FAILED;
        if (!good) fail(f, "its %zu bytes cannot be read: %s", map->size, strerror(errno));
    }
    close(file);
    if (!good) return false;
    map->device = is.st_dev;
    map->inode = is.st_ino;
    if (location && !model_set_string(&map->location, location)) {
        if (map->bytes) munmap(map->bytes, map->size);
        return fail(f, "no memory for its name");
    }
    m->map_count++;
    m->bytes += map->size;
    return true;
}

static void unmap(struct mapping *map)
{
    if (map->bytes) munmap(map->bytes, map->size);
    map->bytes = NULL;
}

const struct mapping *model_mapping(const model *m, const char *location)
{
    for (size_t i = 0; i < m->map_count; i++)
        if (m->maps[i].location && !strcmp(m->maps[i].location, location)) return &m->maps[i];
    return NULL;
}

static bool set_folder(model *m, const char *path)
{
    const char *slash = strrchr(path, '/');
    const size_t length = slash ? (size_t)(slash - path) + (slash == path) : 1;
    m->folder = malloc(length + 1);
    if (!m->folder) return false;
    memcpy(m->folder, slash ? path : ".", length);
    m->folder[length] = 0;
    return true;
}

/* ---- data in other files ---- */

static bool is_below(const char *location)
{
    if (location[0] == '/' || !location[0]) return false;
    for (const char *part = location; part; part = strchr(part, '/')) {
        if (*part == '/') part++;
        if (!strncmp(part, "..", 2) && (part[2] == '/' || !part[2])) return false;
    }
    return true;
}

static bool map_data(model *m, const char *location, failure *f)
{
    failure inner = {""};
    if (!m->folder) return fail(f, "there is no folder to look for \"%.80s\" in", location);
    if (!is_below(location))
        return fail(f, "\"%.80s\" is no place within the model's folder", location);
    if (model_mapping(m, location)) return true;
    const size_t length = strlen(m->folder) + strlen(location) + 2;
    char *path = malloc(length);
    if (!path) return fail(f, "no memory for the name of a file");
    snprintf(path, length, "%s/%s", m->folder, location);
    const bool good = map_file(m, path, location, &inner);
    free(path);
    return good || fail(f, "its data are in \"%.80s\", but %s", location, inner.text);
}

static bool check_external(model *m, const tensor_proto *t, failure *f)
{
    const char *location;
    size_t offset, size;
    m->external = true;
    if (!tensor_place(t, &location, &offset, &size, f) || !map_data(m, location, f)) return false;
    const size_t most = model_mapping(m, location)->size;
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
    const char **names = malloc((dense + sparse) * sizeof *names);
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
    return read_opset(m, f) &&
           wire_each(&m->proto->base, &onnx__graph_proto__descriptor, check_graph, &c) &&
           wire_each(&m->proto->base, &onnx__tensor_proto__descriptor, check_tensor, &c);
}

/* ---- reading ---- */

static bool unpack(model *m, const void *bytes, size_t size, failure *f)
{
    if (size > MOST_BYTES)
        return fail(f, "it has %zu bytes, and a protobuf message no more than %zu", size,
                    MOST_BYTES);
    if (!wire_check(&onnx__model_proto__descriptor, bytes, size, f)) return false;
    m->proto = onnx__model_proto__unpack(NULL, size, bytes);
    return m->proto || fail(f, "no memory for a model of %zu bytes", size);
}

bool model_parse(model *m, const void *bytes, size_t size, failure *f)
{
    *m = (model){.bytes = size};
    if (unpack(m, bytes, size, f) && check_model(m, f)) return true;
    model_free(m);
    return false;
}

static bool read_file(model *m, const char *path, failure *f)
{
    if (!set_folder(m, path)) return fail(f, "no memory for the name of its folder");
    if (!map_file(m, path, NULL, f)) return false;
    const bool good = unpack(m, m->maps->bytes, m->maps->size, f);
    unmap(m->maps);
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
    if (m->proto) onnx__model_proto__free_unpacked(m->proto, NULL);
    for (size_t i = 0; i < m->map_count; i++) {
        unmap(&m->maps[i]);
        free(m->maps[i].location);
    }
    free(m->maps);
    free(m->folder);
    *m = (model){0};
}
