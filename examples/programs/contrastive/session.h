/* A contrastive training of two towers with a pruner of the image tower: all but the way in which
 * the gradients of a batch come about. main.c has one process for that, ranks.c those of MPI. */
#ifndef CONTRASTIVE_SESSION_H
#define CONTRASTIVE_SESSION_H

#include "accumulate.h"
#include "judge.h"
#include "loss.h"
#include "mskp/pruner.h"
#include "mskp_convnet.h"
#include "pairs.h"
#include "texts.h"

/*
 * Of a training there are three phases:
 *   TRAIN    nothing is pruned
 *   MASKED   channels of the image tower are marked, and their gamma and beta go to zero
 *   TUNE     they have been cut
 */
typedef enum session_phase {
    SESSION_TRAIN,
    SESSION_MASKED,
    SESSION_TUNE,
    SESSION_PHASES
} session_phase;

/*
 *   data       the folder of CIFAR-10's binary files; NULL: shapes are drawn
 *   unseen     names of classes that are left out, with commas; NULL: two; "none"
 *   images, tests   how many at most; those of unseen classes are among them
 *   batch, micro    pairs of a step, and of a micro-batch
 *   contrast   pairs of a batch that are compared with each other; 0: all
 *   width, embedding   of the towers
 *   epochs     of each phase; at least one in all
 *   rate       of TRAIN, halved later; macs: the share of the image tower's to keep
 */
typedef struct session_options {
    const char *data, *unseen;
    size_t images, tests, batch, micro, contrast, width, embedding, seed, threads;
    size_t epochs[SESSION_PHASES];
    double rate, macs;
} session_options;

/* What both programs begin with. */
#define SESSION_DEFAULTS                                                                        \
    {                                                                                           \
        .images = 6000, .tests = 2000, .batch = 256, .micro = 64, .width = 16, .embedding = 32, \
        .epochs = {12, 3, 3}, .rate = 0.05, .macs = 0.5, .seed = 1, .threads = 1                 \
    }

/* Rows of a table of arguments (common/args.h) for these options, which the struct `type` has in
 * its field `field`. */
#define SESSION_ARG(type, field, name) offsetof(type, field.name)
#define SESSION_ARGS(type, field)                                                                 \
    {"data",                                                                                      \
     "FOLDER",                                                                                    \
     ARG_PATH,                                                                                    \
     SESSION_ARG(type, field, data),                                                              \
     0,                                                                                           \
     0,                                                                                           \
     "CIFAR-10's binary files; without it, shapes"},                                              \
        {"images",                                                                                \
         "N",                                                                                     \
         ARG_COUNT,                                                                               \
         SESSION_ARG(type, field, images),                                                        \
         2,                                                                                       \
         50000,                                                                                   \
         "the first images of the data (6000)"},                                                  \
        {"tests",                                                                                 \
         "N",                                                                                     \
         ARG_COUNT,                                                                               \
         SESSION_ARG(type, field, tests),                                                         \
         1,                                                                                       \
         10000,                                                                                   \
         "the first test images (2000)"},                                                         \
        {"unseen",                                                                                \
         "A,B",                                                                                   \
         ARG_PATH,                                                                                \
         SESSION_ARG(type, field, unseen),                                                        \
         0,                                                                                       \
         0,                                                                                       \
         "classes that are left out, with their names, or none (deer,truck; of shapes "           \
         "disc,frame)"},                                                                          \
        {"batch",                                                                                 \
         "N",                                                                                     \
         ARG_COUNT,                                                                               \
         SESSION_ARG(type, field, batch),                                                         \
         2,                                                                                       \
         16384,                                                                                   \
         "pairs of a step (256)"},                                                                \
        {"micro",                                                                                 \
         "N",                                                                                     \
         ARG_COUNT,                                                                               \
         SESSION_ARG(type, field, micro),                                                         \
         1,                                                                                       \
         4096,                                                                                    \
         "pairs of a micro-batch (64)"},                                                          \
        {"contrast",                                                                              \
         "N",                                                                                     \
         ARG_COUNT,                                                                               \
         SESSION_ARG(type, field, contrast),                                                      \
         2,                                                                                       \
         16384,                                                                                   \
         "pairs of a batch that are compared with each other (all)"},                             \
        {"width",                                                                                 \
         "N",                                                                                     \
         ARG_COUNT,                                                                               \
         SESSION_ARG(type, field, width),                                                         \
         4,                                                                                       \
         256,                                                                                     \
         "channels of the first convolution (16)"},                                               \
        {"embedding",                                                                             \
         "N",                                                                                     \
         ARG_COUNT,                                                                               \
         SESSION_ARG(type, field, embedding),                                                     \
         2,                                                                                       \
         256,                                                                                     \
         "numbers of an embedding (32)"},                                                         \
        {"epochs",                                                                                \
         "A,B,C",                                                                                 \
         ARG_COUNTS,                                                                              \
         SESSION_ARG(type, field, epochs),                                                        \
         SESSION_PHASES,                                                                          \
         1000,                                                                                    \
         "before channels are marked, until the cut, after it (12,3,3)"},                         \
        {"rate",                                                                                  \
         "X",                                                                                     \
         ARG_NUMBER,                                                                              \
         SESSION_ARG(type, field, rate),                                                          \
         1e-9,                                                                                    \
         10,                                                                                      \
         "learning rate, which falls to 0 in each phase; halved after the first (0.05)"},          \
        {"macs",                                                                                  \
         "X",                                                                                     \
         ARG_NUMBER,                                                                              \
         SESSION_ARG(type, field, macs),                                                          \
         0.01,                                                                                    \
         1,                                                                                       \
         "share of the image tower's MACs to keep (0.5)"},                                        \
        {"seed",                                                                                  \
         "N",                                                                                     \
         ARG_COUNT,                                                                               \
         SESSION_ARG(type, field, seed),                                                          \
         0,                                                                                       \
         1e9,                                                                                     \
         "of weights, order, crops and texts (1)"},                                               \
    {                                                                                             \
        "threads", "N", ARG_COUNT, SESSION_ARG(type, field, threads), 1, 256, "of the towers (1)" \
    }

typedef struct session {
    session_options o;
    char text[300]; /* what went wrong */
    cn_data data, test;
    texts words;
    bool unseen[TEXTS_CLASSES];
    size_t count, *order; /* the images that are trained on */
    pairs batch;          /* of the step */
    tower images, texts;
    contrast loss;     /* of the embeddings of both towers */
    double momentum;   /* of loss.log_scale */
    mskp_graph *graph; /* of the image tower as it was opened */
    mskp_pruner *pruner;
    mskp_tensors values, gradients; /* of the image tower */
    cn_random random;
    double macs; /* of the whole image tower */
} session;

/* Writes a sentence into s->text, and returns false. */
bool session_fail(session *s, const char *what, const char *sentence);

/* s is all zero. All functions that can fail leave a sentence in s->text. Call session_close also
 * if this one fails. */
bool session_open(session *s, const session_options *o);
void session_close(session *s);

size_t session_steps(const session *s, session_phase phase);
/* s->batch <- the pairs of a step of a phase; returns the step's learning rate. */
double session_begin(session *s, session_phase phase, size_t step);
/* The step of the optimizer, for both towers and the scale, from the gradients of the batch; and,
 * once, what the pruner does before and after it. */
bool session_update(session *s, double rate);
/* Carries out the cut that is due. */
bool session_cut(session *s);
/* The share of the image tower's MACs that is left. */
double session_macs(const session *s);
bool session_judge(session *s, judgement *train, judgement *test);

#endif
