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
 *   plain      images are neither cropped nor mirrored
 */
typedef struct session_options {
    const char *data, *unseen;
    size_t images, tests, batch, micro, contrast, width, embedding, seed, threads;
    size_t epochs[SESSION_PHASES];
    double rate, macs;
    bool plain;
} session_options;

/* What both programs begin with. */
#define SESSION_DEFAULTS                                                                       \
    {                                                                                          \
        .images = 8000, .tests = 2000, .batch = 256, .micro = 64, .width = 8, .embedding = 32, \
        .epochs = {16, 4, 4}, .rate = 0.1, .macs = 0.5, .seed = 1, .threads = 1                \
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
