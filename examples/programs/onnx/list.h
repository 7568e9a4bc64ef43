/* The list that mskp-onnx prints of a network. */
#ifndef ONNX_LIST_H
#define ONNX_LIST_H

#include "net.h"

/* To stdout, of a described network whose graph is finished: a line for each layer, what holds channels, what is not known.
 * dense, parameters: of all of it. False: sentence. */
bool list_network(const net *n, const mskp_cost *dense, const file_parameters *parameters);

#endif
