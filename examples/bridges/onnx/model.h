/*
 * An ONNX file in memory: read, examined, changed, written. The reader checks what a file from an
 * unknown source may get wrong (nesting, names, sizes of tensors, data in other files), so
 * the rest of the program can rely on it.
 */
#ifndef ONNX_MODEL_H
#define ONNX_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "files.h"
#include "memory.h"
#include "mskp.h"
#include "onnx/onnx.pb-c.h"

typedef Onnx__AttributeProto attribute_proto;
typedef Onnx__GraphProto graph_proto;
typedef Onnx__NodeProto node_proto;
typedef Onnx__TensorProto tensor_proto;

/* One sentence about what went wrong. Functions that take a failure return false when they have
 * written it. */
typedef struct failure {
    char text[800];
} failure;

bool fail(failure *f, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with a sentence of mskp; notes that memory was short, if it was. */
bool fail_as(failure *f, const mskp_error *err);

typedef struct model {
    Onnx__ModelProto *proto;
    graph_proto *graph;
    size_t opset;           /* of ONNX's own domain; 0: the model does not name one */
    size_t bytes;           /* of the file and of the files beside it that hold data */
    bool external;          /* some tensor has its data in another file */
    bool absent;            /* floating-point tensors may have a shape alone, and no data */
    struct source *sources; /* private: the files */
    size_t source_count;
    char *folder;            /* the folder of the file */
    struct lowered *lowered; /* private: nodes that are taken for others, see lower.h */
    size_t lowered_count;
    bool raised; /* they are what they were */
} model;

/* Reads a file. Refuses a file that is no ONNX model, nesting deeper than 64, a model without a
 * graph, two initializers with the same name, a tensor whose data are not as long as its shape
 * demands, data in a file outside the model's folder, and data behind a symbolic link. */
bool model_read(model *m, const char *path, failure *f);
/* The same for bytes in memory, which are not needed afterwards. Data in other files are refused.
 * absent: they are not looked for, and tensors of real numbers may have no data at all. */
bool model_parse(model *m, const void *bytes, size_t size, bool absent, failure *f);
void model_free(model *m);

/* For protobuf-c, whose own allocator would not note that memory was short: try_malloc and free. */
ProtobufCAllocator *model_allocator(void);

/* False, with a sentence, if the path leads to a file that was read, under whatever name. */
bool model_may_write(const model *m, const char *path, failure *f);

/* Writes the model, as it is now, to a file that replaces an older one when it is complete. Data
 * that were in other files go to one new file beside it, whose name is made of the model's name and
 * of a hash of the data. So it is another file than that of an older model, and which data belong
 * to the model is decided when the model gets its name. The model may not be a file that was read.
 * Holds no second copy of the tensors. */
bool model_write(const model *m, const char *path, failure *f);

/* The same in two steps: model_prepare writes everything under temporary names, model_show gives
 * the files their own. model_discard: the last call in any case, also for an output that is all
 * zero. */
typedef struct model_output {
    file_output model, data; /* data: not used if there are none, or the same are there already */
    const char *path;        /* the caller's */
} model_output;

bool model_prepare(const model *m, const char *path, model_output *out, failure *f);
bool model_show(model_output *out, failure *f);
void model_discard(model_output *out);

/* The product of the dims; SIZE_MAX: one is negative, or the product is larger than memory can
 * be. */
size_t tensor_elements(const tensor_proto *t);

/* *data <- the elements, packed, in the order of the dims, for reading. Half floats, bfloats and
 * small integers in typed fields (one element in each larger word) are first moved to raw_data;
 * data of other files are where these were read to. *dtype is a type of mskp, MSKP_DTYPE_BYTES_n
 * for types with which mskp does not compute. Strings, elements smaller than a byte and unknown
 * types are refused. Without elements, *data may be NULL. */
bool tensor_data(model *m, tensor_proto *t, void **data, mskp_dtype *dtype, failure *f);

/* Whether mskp computes with elements of this type. */
bool is_real(const tensor_proto *data);

/* Whether the tensor has elements, but no data: in a model that may have absent data. tensor_data
 * and what is made of it refuse such a tensor; for tensor_writable, *data is NULL. */
bool tensor_is_absent(const model *m, const tensor_proto *t);

/* As tensor_data, for writing: data of other files are copied first. */
bool tensor_writable(model *m, tensor_proto *t, void **data, mskp_dtype *dtype, failure *f);

/* Gives the tensor new dims, whose elements are the first ones of its data: mskp has moved them
 * there. For a tensor whose data came from tensor_writable. */
void tensor_shrink(model *m, tensor_proto *t, size_t ndim, const size_t *shape);

/* Whether two tensors have the same type and the same elements, bit for bit. */
bool tensor_same(model *m, tensor_proto *a, tensor_proto *b);

/* The elements as whole numbers (of INT64, INT32, BOOL, UINT8 ...) or as doubles. count must be
 * tensor_elements(t). */
bool tensor_integers(model *m, tensor_proto *t, size_t count, int64_t *to, failure *f);
bool tensor_numbers(model *m, tensor_proto *t, size_t count, double *to, failure *f);

/* *to <- element i of data in which each element has its own bytes. False: the type has no whole
 * numbers, or the number does not fit. */
bool tensor_integer_at(const tensor_proto *t, const void *data, size_t i, int64_t *to);
/* A tensor of type FLOAT with these dims, whose numbers are not set; for
 * onnx__tensor_proto__free_unpacked. NULL: no memory. */
tensor_proto *tensor_floats_like(const tensor_proto *t);

/* Puts the nodes of the graph into an order in which each stands behind those that it reads.
 * Without such an order, nodes stay as they are. False: no memory. */
bool model_sort(model *m, failure *f);

/* Adds an initializer of type INT64; before version 4 of the format it is also an input of the
 * graph. Its name must be new. NULL: no memory. */
tensor_proto *model_add_integers(model *m, const char *name, size_t ndim, const size_t *shape,
                                 const int64_t *values);
/* The same of type FLOAT, DOUBLE, FLOAT16 or BFLOAT16, which can hold the numbers as they are. */
tensor_proto *model_add_reals(model *m, const char *name, int32_t type, size_t ndim,
                              const size_t *dim, const double *values);
/* Adds an initializer that is a copy of t with another name and another shape of as many elements.
 * NULL: no memory, or no data. */
tensor_proto *model_add_copy(model *m, tensor_proto *t, const char *name, size_t rank,
                             const size_t *dim);
/* *field <- a copy of text, which protobuf-c frees with the message. False: no memory. */
bool model_set_string(char **field, const char *text);

/* Calls `see` for every name that graphs within a node read, of that graph or of the graph around
 * it. A name may be NULL or "". */
typedef void name_reader(void *context, const char *name);
void model_names_within(const node_proto *node, name_reader *see, void *context);

/* NULL: the node has no such attribute. */
const attribute_proto *node_attribute(const node_proto *node, const char *name);
attribute_proto *node_add_attribute(node_proto *node, const char *name); /* NULL: no memory */

#endif
