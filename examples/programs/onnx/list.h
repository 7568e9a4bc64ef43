/* The list that mskp-onnx prints of a network. */
#ifndef ONNX_LIST_H
#define ONNX_LIST_H

#include "net.h"

/* Prints a described network whose graph is finished: a line for each layer, which operators pin
 * channels, and which shapes are not known. dense, parameters: of the whole network. False: n->f
 * holds the sentence. */
bool list_network(const net *n, const mskp_cost *dense, const file_parameters *parameters);

#endif
