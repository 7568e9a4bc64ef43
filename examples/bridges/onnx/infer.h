/* What infer.c and infer_pinned.c share. */
#ifndef ONNX_INFER_H
#define ONNX_INFER_H

#include "operators.h"

/* The shape of operand k; NULL: the operand is not given, or its shape is not known. */
const dims *in_dims(const net *n, const node_proto *node, size_t k);
void set_axis(dims *out, size_t k, size_t length, uint8_t varies);
void copy_axis(dims *out, size_t k, const dims *in, size_t i);

#endif
