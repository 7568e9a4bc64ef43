/*
 * An ONNX file in memory: read, looked at, written. What a file may hold and a reader must not trust
 * is checked here, so that the rest can rely on it: nesting, names, sizes of tensors, data that lie
 * in other files.
 */
#ifndef ONNX_MODEL_H
#define ONNX_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mskp.h"
#include "onnx/onnx.pb-c.h"

typedef Onnx__AttributeProto attribute_proto;
typedef Onnx__GraphProto graph_proto;
typedef Onnx__NodeProto node_proto;
typedef Onnx__TensorProto tensor_proto;

/* One sentence. Functions that take one return false when they have written it. */
typedef struct failure {
    char text[400];
} failure;

bool fail(failure *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

typedef struct model {
    Onnx__ModelProto *proto;
    graph_proto *graph;
    size_t opset;         /* of ONNX's own domain; 0: the model names none */
    size_t bytes;         /* of the file, and of those beside it that hold data */
    bool external;        /* some tensor's data lie in another file */
    struct mapping *maps; /* private: these files */
    size_t map_count;
    char *folder; /* where the file lies */
} model;

/*
 * Reads FILE. Refuses what is no ONNX model, nesting deeper than 64, a model without a graph, names
 * that two initializers share, a tensor whose data are not as long as its shape says, data in a file
 * outside the model's folder.
 */
bool model_read(model *m, const char *path, failure *f);
/* The same of bytes in memory, which may go afterwards. Data in other files are refused. */
bool model_parse(model *m, const void *bytes, size_t size, failure *f);
void model_free(model *m);

/*
 * Writes the model, as it is now, to a file that appears under its name when it is complete. Data
 * that lay in other files go to one new file beside it, of its name with ".data" behind. Neither
 * may be a file that was read. Never holds a second copy of the tensors.
 */
bool model_write(const model *m, const char *path, failure *f);

/* Product of the dims; SIZE_MAX: negative, or larger than memory can be. */
size_t tensor_elements(const tensor_proto *t);

/*
 * Where the elements lie: *data, packed, in the order of the dims. Typed fields of half floats, of
 * bfloats and of small integers (one element in each larger word) become raw_data first, and data of
 * other files are mapped: *data is for reading. dtype: mskp's; types that mskp does not compute with
 * are MSKP_BYTES_n. Strings, elements of less than a byte and types that are not known are refused.
 * Without elements, *data may be NULL.
 */
bool tensor_data(model *m, tensor_proto *t, void **data, mskp_dtype *dtype, failure *f);

/* So that its elements may be written: data of other files are copied first. Else as tensor_data. */
bool tensor_writable(model *m, tensor_proto *t, void **data, mskp_dtype *dtype, failure *f);

/* After its first elements were put into a new shape in place: the new dims, no more of them than
 * there are, and less data. Of a tensor whose data tensor_writable gave. */
void tensor_shrink(model *m, tensor_proto *t, size_t ndim, const size_t *shape);

/* As many elements, of the same type, bit for bit. */
bool tensor_same(model *m, tensor_proto *a, tensor_proto *b);

/* Elements as whole numbers (INT64, INT32, BOOL, UINT8 ...) or as doubles; count must be
 * tensor_elements. */
bool tensor_integers(model *m, tensor_proto *t, size_t count, int64_t *to, failure *f);
bool tensor_numbers(model *m, tensor_proto *t, size_t count, double *to, failure *f);

/* A new initializer, of INT64; before version 4 of the format also an input of the graph. Its name
 * must be new. NULL: no memory. */
tensor_proto *model_add_integers(model *m, const char *name, size_t ndim, const size_t *shape,
                                 const int64_t *values);
/* A copy of t with a name and a shape of its own, of as many elements; a new initializer as well.
 * NULL: no memory, or no data. */
tensor_proto *model_add_copy(model *m, tensor_proto *t, const char *name, size_t rank,
                             const size_t *dim);
/* Strings of messages belong to protobuf-c. *field <- a copy of text. False: no memory. */
bool model_set_string(char **field, const char *text);

/* NULL: the node has no such attribute. */
const attribute_proto *node_attribute(const node_proto *node, const char *name);
attribute_proto *node_add_attribute(node_proto *node, const char *name); /* NULL: no memory */

#endif
