/*
 * mskp_onnx.h - an ONNX model in memory as a graph of mskp
 *
 * After `make onnx`, `make install` installs it as libmskp-onnx (pkg-config: mskp-onnx). Or copy
 * this folder into your project; it needs mskp, protobuf-c, and examples/runtime/files.c.
 *
 *     mskp_onnx *onnx = NULL;
 *     mskp_error err;
 *     if (mskp_onnx_open(bytes, size, NULL, &onnx, &err)) return puts(err.text);
 *     const mskp_graph *graph = mskp_onnx_graph(onnx);
 *     ... mskp_score, mskp_select, mskp_penalty_gradient, mskp_plan_create with this graph
 *     mskp_onnx_close(onnx);
 *
 * The rules of mskp.h hold: errors, NULL, MSKP_INIT. Besides,
 *   threads    A thread may use one object while another thread uses another one. Any number of
 *              threads may ask about one object at once; mskp_onnx_values and mskp_onnx_close are
 *              for one thread alone.
 *   memory     comes from malloc. What a function returns is the object's, and lives as long.
 *   statuses   MSKP_ERROR_BAD_TEXT: what the bytes or the lengths say is refused.
 */
#ifndef MSKP_ONNX_H
#define MSKP_ONNX_H

#include "mskp.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mskp_onnx mskp_onnx;

/*
 * How a model is described.
 *
 * length     Numbers for the lengths that inputs leave open: "name=7", or "input:axis=7" for a
 *            length without a name. A length that is the first one of an input is otherwise taken
 *            for 1; other lengths must be given.
 * fixed      0: the model is the network, and may be changed. So what it computes from parameters
 *            alone is computed now, and stands in its place as a parameter; a vector that several
 *            nodes read may become one vector for each of them; and the parts of a Split may get
 *            any widths. Data in other files are refused.
 *            1: the model is a picture of a network that runs elsewhere, whose operators stay as
 *            they are, and whose parameters are in the host's memory. So the parameters whose
 *            channels may leave are initializers of the model. Channels that an operator takes
 *            apart at places that the model states leave together with those at the same place of
 *            the other parts, or stay (describe_fixed.c). Whole heads of attention may leave, and
 *            groups of a convolution or of a group norm: the host states their number anew.
 *            Initializers of real numbers may have a shape alone: no data, or data in another
 *            file, which is then not opened.
 */
typedef struct mskp_onnx_options {
    size_t lengths;
    const char *const *length; /* may be NULL if lengths is 0 */
    uint8_t fixed;
} mskp_onnx_options;

/*
 * *onnx <- the network of a ModelProto of `size` bytes, which are not needed afterwards. Its graph
 * is finished. options may be NULL: all defaults. The bytes may come from anywhere: what is no
 * model, or one that contradicts itself, is refused with a sentence.
 */
MSKP_EXPERIMENTAL mskp_status mskp_onnx_open(const void *bytes, size_t size,
                                             const mskp_onnx_options *options, mskp_onnx **onnx,
                                             mskp_error *err);

/* onnx may be NULL. The graph goes, too. */
MSKP_EXPERIMENTAL void mskp_onnx_close(mskp_onnx *onnx);

/* NULL only for NULL. */
MSKP_EXPERIMENTAL const mskp_graph *mskp_onnx_graph(const mskp_onnx *onnx);

/*
 * What a parameter of the graph is in the model.
 *
 * name     of the initializer, or of the Constant node's result, whose elements it has
 * ndim     of the parameter in the graph
 * axis     axis j of the parameter is axis[j] of the initializer. The initializer's other axes have
 *          length 1.
 * copied   The parameter is one node's own copy of a vector that several nodes read; name is the
 *          vector. With `fixed` there is none.
 * computed It was computed from parameters, and the file does not have it; the name ends with
 *          "/folded". With `fixed` there is none.
 * locked   All of its channels stay: something reads it in a way that cannot follow a cut, or, with
 *          `fixed`, it is no initializer but written into the network.
 */
typedef struct mskp_onnx_param {
    const char *name;
    uint32_t ndim;
    uint32_t axis[MSKP_MAX_DIMS];
    uint8_t copied, computed, locked;
} mskp_onnx_param;

/* *param <- parameter `id` of the graph. MSKP_ERROR_BAD_ARGUMENT: the graph has no such one. */
MSKP_EXPERIMENTAL mskp_status mskp_onnx_parameter(const mskp_onnx *onnx, mskp_param id,
                                                  mskp_onnx_param *param, mskp_error *err);

/* values <- views of the object's own elements, for all parameters of the graph (values.n). They
 * have the model's types. data is NULL for an initializer without data. The elements may be
 * changed. MSKP_ERROR_OTHER_NETWORK: values.n is not the number of parameters. */
MSKP_EXPERIMENTAL mskp_status mskp_onnx_values(mskp_onnx *onnx, mskp_tensors values,
                                               mskp_error *err);

/*
 * locked.unit[u] <- 1 where channels of two tensors are multiplied and summed over: no bias and no
 * carrier can replace the product of the constants that they output. Other units keep what they
 * have. For a rule or a mask whose constants are moved (mskp/constants.h).
 * MSKP_ERROR_OTHER_NETWORK: locked.n is not the number of units.
 */
MSKP_EXPERIMENTAL mskp_status mskp_onnx_products(const mskp_onnx *onnx, mskp_mask locked,
                                                 mskp_error *err);

/* Sentence k, from 0 on, of what stays and why: "Softmax: 64 channels of 2 layers, by ...". NULL:
 * there are no more. */
MSKP_EXPERIMENTAL const char *mskp_onnx_reason(const mskp_onnx *onnx, size_t k);

/*
 * *value, *axis <- the channels of a tensor of the model, and on which of its axes they are. value
 * is {0} where the tensor has no channels that may leave: all of its axes keep their lengths.
 * MSKP_ERROR_BAD_NAME: the model has no such tensor, or data of the file have this name.
 */
MSKP_EXPERIMENTAL mskp_status mskp_onnx_tensor(const mskp_onnx *onnx, const char *name,
                                               mskp_value *value, uint32_t *axis, mskp_error *err);

#ifdef __cplusplus
}
#endif
#endif /* MSKP_ONNX_H */
