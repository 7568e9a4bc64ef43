/* The command line of both programs, but for what only one of them has. */
#include "arguments.h"

#include <string.h>

#define FIELD(name) offsetof(session_options, name)
static const arg ROWS[ARGUMENTS_ROWS] = {
    {"data", "FOLDER", ARG_PATH, FIELD(data), 0, 0, "CIFAR-10's binary files; without it, shapes"},
    {"images", "N", ARG_COUNT, FIELD(images), 2, 50000, "the first images of the data (8000)"},
    {"tests", "N", ARG_COUNT, FIELD(tests), 1, 10000, "the first test images (2000)"},
    {"unseen", "A,B", ARG_PATH, FIELD(unseen), 0, 0,
     "classes that are left out, with their names; or none (deer,truck; of shapes disc,frame)"},
    {"batch", "N", ARG_COUNT, FIELD(batch), 2, 16384, "pairs of a step (256)"},
    {"micro", "N", ARG_COUNT, FIELD(micro), 1, 4096, "pairs of a micro-batch (64)"},
    {"contrast", "N", ARG_COUNT, FIELD(contrast), 2, 16384,
     "pairs of a batch that are compared with each other (all)"},
    {"width", "N", ARG_COUNT, FIELD(width), 4, 256, "channels of the first convolution (8)"},
    {"embedding", "N", ARG_COUNT, FIELD(embedding), 2, 256, "numbers of an embedding (32)"},
    {"epochs", "TRAIN,MASKED,TUNE", ARG_COUNTS, FIELD(epochs), SESSION_PHASES, 1000,
     "before channels are marked, until the cut, after it (16,4,4)"},
    {"rate", "X", ARG_NUMBER, FIELD(rate), 1e-9, 10,
     "learning rate, which falls to 0 in each phase; halved after the first (0.1)"},
    {"macs", "X", ARG_NUMBER, FIELD(macs), 0.01, 1,
     "share of the image tower's MACs to keep (0.5)"},
    {"seed", "N", ARG_COUNT, FIELD(seed), 0, 1e9, "of weights, order, crops and texts (1)"},
    {"threads", "N", ARG_COUNT, FIELD(threads), 1, 256, "of the towers (1)"},
    {"plain", "", ARG_FLAG, FIELD(plain), 0, 0, "images are neither cropped nor mirrored"},
};

void arguments_rows(arg table[ARGUMENTS_ROWS])
{
    memcpy(table, ROWS, sizeof ROWS);
}
