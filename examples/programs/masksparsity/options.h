/* What the command line of masksparsity says. */
#ifndef MASKSPARSITY_OPTIONS_H
#define MASKSPARSITY_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

enum { BASELINE, GLOBAL, MASKED, TUNE, STAGES };

/* Indices of the choices, in the order in which the help text names them. */
enum { PENALTY_NONE, PENALTY_L1, PENALTY_SMOOTH_L1, PENALTY_L2, PENALTY_PROX, PENALTY_DEADLINE };
enum { ON_GAMMA, ON_GAMMA_BETA };
enum { MASK_GLOBAL, MASK_FILTERS };
/* constants: an mskp_constants_way. */

typedef struct options {
    /* paths; NULL: not given */
    const char *data, *weights, *out, *sparse, *save_sparse, *masked, *save_masked, *log;
    size_t depth; /* 0: not given */
    double macs, strength, global_strength, rate;
    size_t penalty, on, mask, constants;
    size_t epochs[STAGES];
    size_t batch, threads, seed;
    bool evaluate, help;
} options;

/* On failure `text` says why. */
bool options_read(int argc, char **argv, options *o, size_t size, char *text);
void options_help(void);

#endif
