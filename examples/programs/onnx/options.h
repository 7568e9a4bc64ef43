/* The command line of mskp-onnx. */
#ifndef ONNX_OPTIONS_H
#define ONNX_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/asked.h"

/* Words of --score, in their order. */
enum { SCORE_L1, SCORE_L2, SCORE_GAMMA, SCORE_UNIT_L1, SCORE_UNIT_L2 };
enum { NO_CONSTANTS = 4 }; /* --constants was not given */

typedef struct options {
    arg_words files; /* IN.onnx, and OUT.onnx if something is to be cut */
    arg_words keep, lengths;
    arg_words layer_ratio, layer_most; /* PATTERN=R */
    double macs, params;               /* 0: not given */
    double ratio, threshold;           /* negative: not given */
    size_t score;
    size_t reduce;                 /* an mskp_reduce */
    size_t constants;              /* an mskp_constants_way, or NO_CONSTANTS */
    size_t round_to, min_channels; /* 0: not given */
    const char *mask, *zeroed, *save_mask, *json, *report;
    bool help, branches, count_known;
} options;

/* Reads and checks the command line. False: `text` holds a sentence about what is wrong with it. */
bool options_read(int argc, char **argv, options *o, size_t size, char *text);
/* Prints what --help asks for. */
void options_help(void);
void options_show(const options *o, page *p); /* a section of a page */

#endif
