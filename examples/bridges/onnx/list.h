/* What a list of a network says: of its layers, and of what stays and why. */
#ifndef ONNX_LIST_H
#define ONNX_LIST_H

#include "mskp/tools.h"
#include "net.h"

/* name <- how the list calls a value of the graph; why <- why channels of it stay, or are tied; ""
 * if there is no reason. */
void list_words(const net *n, mskp_value value, const mskp_coupling *info, size_t size, char *name,
                char *why);

/* text <- which multiply-accumulates are not in any figure, as the end of a sentence; false: all
 * are. */
bool list_uncounted(const net *n, size_t size, char *text);

enum { LIST_NODES = 3, LIST_TEXT = 700, MOST_PINS = 32 };

/* An operator, or another reason, that pins channels of layers with costs. */
typedef struct list_pin {
    const char *op;
    size_t channels, layers;
    size_t nodes; /* how many nodes do so; the first of them are in node[] */
    const node_proto *node[LIST_NODES];
} list_pin;
/* Fills in at most `most` of them, and returns how many. costs: of each value. */
size_t list_pins(const net *n, const mskp_cost *costs, size_t most, list_pin *pins);
/* text <- what pins, how much, by which nodes, and what can be done about it. */
void list_pin_text(const net *n, const list_pin *pin, size_t size, char *text);
/* text <- why nothing can be removed from a network without units. False: n->f holds a sentence. */
bool list_reason(const net *n, size_t size, char *text);

/* Says each operator that pins channels, and how many shapes are not known, in one sentence each,
 * until `say` returns false. False: it did, or n->f holds a sentence. */
typedef bool list_say(void *context, const char *text);
bool list_reasons(const net *n, list_say *say, void *context);

#endif
