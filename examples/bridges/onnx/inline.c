/*
 * Puts the nodes of functions in the place of their calls.
 *
 * A model may have functions of its own: lists of nodes that a node calls by name (exporters write
 * them for modules, and for operators that they decompose). Each call becomes a copy of the
 * function's nodes:
 *
 * - What the function calls its inputs and outputs gets the names at the call. All other names of
 *   the function get a prefix, call<number>/, with a number that no name of the model has.
 * - An attribute that refers to one of the function becomes what the call gives, or what the
 *   function has as its default; without either it is taken out.
 * - An output of the function that is one of its inputs, or the same as an earlier output, is made
 *   by an Identity.
 * - Calls in the copy are treated in the same way, and so are calls in graphs within nodes.
 *
 * A call stays as it is, a node of an unknown operator, if the function is made for another opset
 * than the model, if two functions have its name, if it has more operands or results than the
 * function, or a graph as an attribute. If all calls have become nodes, the functions are taken
 * out of the model.
 *
 * onnx.proto has got fields since the version from which the structs are made: defaults of
 * attributes (field 11 of a function) and overloads (fields 13 of a function and 8 of a node). They
 * are read from what protobuf-c keeps of fields that it does not know.
 */
#include <stdlib.h>
#include <string.h>

#include "internal.h"

typedef Onnx__FunctionProto function_proto;

enum {
    FUNCTION_DEFAULT = 11,
    FUNCTION_OVERLOAD = 13,
    NODE_OVERLOAD = 8,
    GRAPH_DEPTH = 3, /* messages from a node to a node of a graph within it */
    MOST_NODES = 1 << 20
};

typedef struct function {
    const function_proto *proto;
    bool open;   /* its nodes are being copied */
    bool usable; /* there is one of its name */
} function;

typedef struct inliner {
    model *m;
    function *functions;
    size_t count;
    uint64_t number; /* the last one in a prefix */
    size_t nodes, bytes;
    bool left; /* a call stays as it is */
    bool done; /* a call has become nodes */
    failure *f;
} inliner;

/* A call, while the function's nodes are copied. */
typedef struct call {
    inliner *w;
    const function_proto *to;
    const node_proto *node;
    char prefix[32];
} call;

typedef struct node_list {
    node_proto **at;
    size_t n, capacity;
} node_list;

static bool no_memory(inliner *w)
{
    return fail(w->f, "no memory for the nodes of functions");
}

/* ---- Fields that the structs do not have ---- */

/* The bytes of the k-th field with this tag; NULL: there is none. */
static const uint8_t *unknown_field(const ProtobufCMessage *m, uint32_t tag, size_t k, size_t *size)
{
    for (unsigned i = 0; i < m->n_unknown_fields; i++) {
        const ProtobufCMessageUnknownField *u = &m->unknown_fields[i];
        size_t at = 0;
        if (u->tag != tag || u->wire_type != PROTOBUF_C_WIRE_TYPE_LENGTH_PREFIXED || k--) continue;
        while (at < u->len && u->data[at] > 127) at++; /* the number that says how many follow */
        *size = at < u->len ? u->len - at - 1 : 0;
        return u->data + (u->len - *size);
    }
    return NULL;
}

static bool same_overload(const ProtobufCMessage *a, uint32_t a_tag, const ProtobufCMessage *b,
                          uint32_t b_tag)
{
    size_t m = 0, n = 0;
    const uint8_t *x = unknown_field(a, a_tag, 0, &m), *y = unknown_field(b, b_tag, 0, &n);
    return m == n && (!m || !memcmp(x, y, m));
}

/* *a <- the function's default for an attribute, NULL if it has none. False: no memory, or the
 * bytes are no attribute. */
static bool default_of(inliner *w, const function_proto *to, const char *name, attribute_proto **a)
{
    const ProtobufCMessageDescriptor *type = &onnx__attribute_proto__descriptor;
    size_t size;
    const uint8_t *bytes;
    *a = NULL;
    for (size_t k = 0; (bytes = unknown_field(&to->base, FUNCTION_DEFAULT, k, &size)); k++) {
        const skeleton all = {.bytes = (uint8_t *)bytes, .size = size};
        if (!wire_check(type, &all, w->f)) return false;
        attribute_proto *got = onnx__attribute_proto__unpack(model_allocator(), size, bytes);
        if (!got) return no_memory(w);
        if (got->name && !strcmp(got->name, name)) {
            *a = got;
            return true;
        }
        onnx__attribute_proto__free_unpacked(got, model_allocator());
    }
    return true;
}

/* ---- Copies ---- */

static ProtobufCMessage *copy_of(inliner *w, const ProtobufCMessage *message)
{
    const size_t size = protobuf_c_message_get_packed_size(message);
    if (size > MOST_BYTES - w->bytes) {
        fail(w->f, "with the nodes of its functions it has more than %zu bytes", MOST_BYTES);
        return NULL;
    }
    uint8_t *bytes = try_malloc(size + 1);
    ProtobufCMessage *copy = NULL;
    if (bytes) {
        protobuf_c_message_pack(message, bytes);
        copy = protobuf_c_message_unpack(message->descriptor, model_allocator(), size, bytes);
    }
    free(bytes);
    w->bytes += size;
    if (!copy) no_memory(w);
    return copy;
}

static size_t find_name(char *const *list, size_t n, const char *name)
{
    size_t k = 0;
    while (k < n && (!list[k] || strcmp(list[k], name) != 0)) k++;
    return k;
}

/* The first output of this name that the call takes; NULL: there is none. */
static const char *output_named(const call *c, const char *name)
{
    for (size_t k = 0; k < c->node->n_output; k++)
        if (*c->node->output[k] && !strcmp(c->to->output[k], name)) return c->node->output[k];
    return NULL;
}

/* *name <- the name of the function's tensor at the call. */
static bool rename_tensor(const call *c, char **name)
{
    if (!*name || !**name) return true;
    const size_t in = find_name(c->to->input, c->to->n_input, *name);
    const char *out = output_named(c, *name);
    if (in < c->to->n_input)
        return model_set_string(name, in < c->node->n_input ? c->node->input[in] : "");
    if (out) return model_set_string(name, out);
    const size_t size = strlen(c->prefix) + strlen(*name) + 1;
    char *new = try_malloc(size);
    if (!new) return false;
    snprintf(new, size, "%s%s", c->prefix, *name);
    free(*name);
    *name = new;
    return true;
}

/* Puts what the call gives in the place of attribute i of a node; takes it out if there is none. */
static bool resolve(const call *c, node_proto *node, size_t i)
{
    attribute_proto *a = node->attribute[i], *new = NULL;
    const attribute_proto *given = node_attribute(c->node, a->ref_attr_name);
    if (given && given->ref_attr_name && *given->ref_attr_name) given = NULL;
    if (given) {
        new = (attribute_proto *)copy_of(c->w, &given->base);
        if (!new) return false;
    } else if (!default_of(c->w, c->to, a->ref_attr_name, &new)) {
        return false;
    }
    if (new && !model_set_string(&new->name, a->name ? a->name : "")) {
        onnx__attribute_proto__free_unpacked(new, model_allocator());
        return no_memory(c->w);
    }
    onnx__attribute_proto__free_unpacked(a, model_allocator());
    node->attribute[i] = new ? new : node->attribute[--node->n_attribute];
    return true;
}

static bool rename_node(void *context, ProtobufCMessage *message)
{
    const call *c = context;
    node_proto *node = (node_proto *)message;
    for (size_t k = 0; k < node->n_input; k++)
        if (!rename_tensor(c, &node->input[k])) return no_memory(c->w);
    for (size_t k = 0; k < node->n_output; k++)
        if (!rename_tensor(c, &node->output[k])) return no_memory(c->w);
    for (size_t i = node->n_attribute; i-- > 0;)
        if (node->attribute[i]->ref_attr_name && *node->attribute[i]->ref_attr_name &&
            !resolve(c, node, i))
            return false;
    return true;
}

static bool rename_value(void *context, ProtobufCMessage *message)
{
    const call *c = context;
    return rename_tensor(c, &((Onnx__ValueInfoProto *)message)->name) || no_memory(c->w);
}

static bool rename_data(void *context, ProtobufCMessage *message)
{
    const call *c = context;
    return rename_tensor(c, &((tensor_proto *)message)->name) || no_memory(c->w);
}

/* The node's own name, for sentences, is that of the call, the prefix, and that in the function.
 * (onnxruntime refuses two nodes of one name.) */
static bool name_node(const call *c, node_proto *node)
{
    const char *outer = c->node->name ? c->node->name : "";
    if (!node->name || !*node->name) return true;
    const size_t size = strlen(outer) + strlen(node->name) + sizeof c->prefix + 2;
    char *name = try_malloc(size);
    if (!name) return no_memory(c->w);
    snprintf(name, size, "%s%s%s%s", outer, *outer ? "/" : "", c->prefix, node->name);
    free(node->name);
    node->name = name;
    return true;
}

/* ---- Opsets ---- */

static const char *domain_of(const char *domain)
{
    return !domain || !strcmp(domain, "ai.onnx") ? "" : domain;
}

static Onnx__OperatorSetIdProto *import_of(const model *m, const char *domain)
{
    for (size_t i = 0; i < m->proto->n_opset_import; i++)
        if (!strcmp(domain_of(m->proto->opset_import[i]->domain), domain_of(domain)))
            return m->proto->opset_import[i];
    return NULL;
}

static bool add_import(model *m, const Onnx__OperatorSetIdProto *set)
{
    const size_t n = m->proto->n_opset_import;
    void *more = try_realloc(m->proto->opset_import, (n + 1) * sizeof(void *));
    Onnx__OperatorSetIdProto *new = more ? try_calloc(1, sizeof *new) : NULL;
    if (more) m->proto->opset_import = more;
    if (!new) return false;
    onnx__operator_set_id_proto__init(new);
    new->has_version = true;
    new->version = set->version;
    m->proto->opset_import[m->proto->n_opset_import++] = new;
    return model_set_string(&new->domain, domain_of(set->domain));
}

/* Whether the model has all opsets of a function, or does not name them. */
static bool has_opsets(const model *m, const function_proto *p)
{
    for (size_t i = 0; i < p->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *have = import_of(m, p->opset_import[i]->domain);
        if (have && have->version != p->opset_import[i]->version) return false;
    }
    return true;
}

static bool take_opsets(inliner *w, const function_proto *p)
{
    for (size_t i = 0; i < p->n_opset_import; i++)
        if (!import_of(w->m, p->opset_import[i]->domain) && !add_import(w->m, p->opset_import[i]))
            return no_memory(w);
    return true;
}

/* ---- Lists of nodes ---- */

static void free_node(node_proto *node)
{
    if (node) onnx__node_proto__free_unpacked(node, model_allocator());
}

/* Appends a node, or frees it. */
static bool append(inliner *w, node_list *list, node_proto *node)
{
    if (list->n == list->capacity) {
        const size_t capacity = 2 * list->capacity + 16;
        node_proto **more = try_realloc(list->at, capacity * sizeof *more);
        if (!more) {
            free_node(node);
            return no_memory(w);
        }
        list->at = more;
        list->capacity = capacity;
    }
    list->at[list->n++] = node;
    return true;
}

static bool make_identity(inliner *w, node_list *list, const char *from, const char *to)
{
    node_proto *node = try_calloc(1, sizeof *node);
    if (!node) return no_memory(w);
    onnx__node_proto__init(node);
    node->input = try_calloc(1, sizeof *node->input);
    node->n_input = node->input != NULL;
    node->output = try_calloc(1, sizeof *node->output);
    node->n_output = node->output != NULL;
    if (!node->input || !node->output || !model_set_string(node->input, from) ||
        !model_set_string(node->output, to) || !model_set_string(&node->op_type, "Identity")) {
        node->n_input = node->input && *node->input;
        node->n_output = node->output && *node->output;
        free_node(node);
        return no_memory(w);
    }
    return append(w, list, node);
}

/* The overload is field `tag` of the message. NULL: there is none. */
static function *find_function(const inliner *w, const char *name, const char *domain,
                               const ProtobufCMessage *message, uint32_t tag)
{
    for (size_t i = 0; name && i < w->count; i++) {
        const function_proto *p = w->functions[i].proto;
        if (p->name && !strcmp(name, p->name) && !strcmp(domain_of(domain), domain_of(p->domain)) &&
            same_overload(message, tag, &p->base, FUNCTION_OVERLOAD))
            return &w->functions[i];
    }
    return NULL;
}

/* Names in a graph that is an attribute of the call are not those of the function. */
static bool has_graph(const node_proto *node)
{
    for (size_t k = 0; k < node->n_attribute; k++)
        if (node->attribute[k]->g || node->attribute[k]->n_graphs) return true;
    return false;
}

static bool can_expand(const inliner *w, const function *f, const node_proto *node)
{
    return f->usable && has_opsets(w->m, f->proto) && !has_graph(node) &&
           node->n_input <= f->proto->n_input && node->n_output <= f->proto->n_output;
}

static bool expand(inliner *w, size_t *n, node_proto ***list, size_t depth, size_t calls);

/* Makes the outputs that no copied node makes. */
static bool make_outputs(const call *c, node_list *list)
{
    for (size_t k = 0; k < c->node->n_output; k++) {
        char *from = NULL;
        bool good = model_set_string(&from, c->to->output[k]) && rename_tensor(c, &from);
        if (!good) no_memory(c->w);
        if (good && *from && *c->node->output[k] && strcmp(from, c->node->output[k]) != 0)
            good = make_identity(c->w, list, from, c->node->output[k]);
        free(from);
        if (!good) return false;
    }
    return true;
}

/* Appends a function's nodes in the place of a call. */
static bool expand_call(inliner *w, function *f, const node_proto *node, node_list *to,
                        size_t depth, size_t calls)
{
    call c = {w, f->proto, node, ""};
    node_list body = {0};
    bool good = true;
    if (f->open) return fail(w->f, "function %.80s calls itself", f->proto->name);
    if (calls >= MOST_DEPTH)
        return fail(w->f, "function %.80s is called by %d others, one within the other",
                    f->proto->name, MOST_DEPTH);
    if (!take_opsets(w, f->proto)) return false;
    f->open = true;
    snprintf(c.prefix, sizeof c.prefix, "call%llu/", (unsigned long long)++w->number);
    for (size_t i = 0; good && i < f->proto->n_node; i++) {
        if (++w->nodes > MOST_NODES) {
            good = fail(w->f, "its functions make more than %d nodes", MOST_NODES);
            break;
        }
        node_proto *copy = (node_proto *)copy_of(w, &f->proto->node[i]->base);
        good = copy && append(w, &body, copy);
        good = good && wire_each(&copy->base, &onnx__node_proto__descriptor, rename_node, &c) &&
               wire_each(&copy->base, &onnx__value_info_proto__descriptor, rename_value, &c) &&
               wire_each(&copy->base, &onnx__tensor_proto__descriptor, rename_data, &c) &&
               name_node(&c, copy);
    }
    good = good && make_outputs(&c, &body) && expand(w, &body.n, &body.at, depth, calls + 1);
    for (size_t i = 0; i < body.n; i++) {
        if (good)
            good = append(w, to, body.at[i]);
        else
            free_node(body.at[i]);
    }
    free(body.at);
    f->open = false;
    return good;
}

static bool expand_graphs(inliner *w, const node_proto *node, size_t depth, size_t calls)
{
    for (size_t k = 0; k < node->n_attribute; k++) {
        const attribute_proto *a = node->attribute[k];
        if (calls && depth > MOST_DEPTH && (a->g || a->n_graphs))
            return fail(w->f, "with its functions it is nested deeper than %d", MOST_DEPTH);
        if (a->g && !expand(w, &a->g->n_node, &a->g->node, depth, calls)) return false;
        for (size_t i = 0; i < a->n_graphs; i++)
            if (!expand(w, &a->graphs[i]->n_node, &a->graphs[i]->node, depth, calls)) return false;
    }
    return true;
}

/* Replaces the calls in a list of nodes, by which depth messages are nested already. After a
 * failure, the list holds what was not freed. */
static bool expand(inliner *w, size_t *n, node_proto ***list, size_t depth, size_t calls)
{
    node_list new = {0};
    bool good = true;
    for (size_t i = 0; i < *n; i++) {
        node_proto *node = (*list)[i];
        good = good && expand_graphs(w, node, depth + GRAPH_DEPTH, calls);
        function *f =
            good ? find_function(w, node->op_type, node->domain, &node->base, NODE_OVERLOAD) : NULL;
        const bool fits = f && can_expand(w, f, node);
        w->left |= f && !fits;
        w->done |= fits;
        if (good && fits) good = expand_call(w, f, node, &new, depth, calls);
        if (!good || fits)
            free_node(node);
        else
            good = append(w, &new, node);
    }
    free(*list);
    *list = new.at;
    *n = new.n;
    return good;
}

/* ---- All of it ---- */

static void see_prefix(inliner *w, const char *name)
{
    enum { MOST_DIGITS = 15 };
    if (!name || strncmp(name, "call", 4) != 0) return;
    const size_t digits = strspn(name + 4, "0123456789");
    if (digits > MOST_DIGITS || name[4 + digits] != '/') return;
    const unsigned long long number = strtoull(name + 4, NULL, 10);
    if (number > w->number) w->number = number;
}

static bool see_node(void *context, ProtobufCMessage *message)
{
    const node_proto *node = (const node_proto *)message;
    for (size_t k = 0; k < node->n_input; k++) see_prefix(context, node->input[k]);
    for (size_t k = 0; k < node->n_output; k++) see_prefix(context, node->output[k]);
    return true;
}

static bool see_value(void *context, ProtobufCMessage *message)
{
    see_prefix(context, ((const Onnx__ValueInfoProto *)message)->name);
    return true;
}

static bool see_data(void *context, ProtobufCMessage *message)
{
    see_prefix(context, ((const tensor_proto *)message)->name);
    return true;
}

static bool find_functions(inliner *w)
{
    Onnx__ModelProto *p = w->m->proto;
    w->functions = try_calloc(p->n_functions, sizeof *w->functions);
    if (!w->functions) return no_memory(w);
    for (size_t i = 0; i < p->n_functions; i++) {
        const function_proto *proto = p->functions[i];
        function *other =
            find_function(w, proto->name, proto->domain, &proto->base, FUNCTION_OVERLOAD);
        w->functions[w->count++] = (function){proto, false, !other};
        if (other) other->usable = false;
    }
    (void)wire_each(&p->base, &onnx__node_proto__descriptor, see_node, w);
    (void)wire_each(&p->base, &onnx__value_info_proto__descriptor, see_value, w);
    (void)wire_each(&p->base, &onnx__tensor_proto__descriptor, see_data, w);
    return true;
}

bool model_inline(model *m, failure *f)
{
    inliner w = {.m = m, .f = f};
    Onnx__ModelProto *p = m->proto;
    if (!p->n_functions || !p->graph) return true;
    bool good = find_functions(&w);
    good = good && expand(&w, &p->graph->n_node, &p->graph->node, 2, 0);
    free(w.functions);
    if (!good || w.left || !w.done) return good;
    for (size_t i = 0; i < p->n_functions; i++)
        onnx__function_proto__free_unpacked(p->functions[i], model_allocator());
    p->n_functions = 0;
    return good;
}
