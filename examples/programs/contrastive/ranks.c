/*
 * contrastive-ranks - the program contrastive over the ranks of MPI
 *
 *     mpirun -n 4 build/trainers/contrastive-ranks --data CIFAR
 *
 * A contrastive loss compares each pair of the batch with all others, wherever they are. So a step
 * is that of accumulate.c, in which the micro-batches are divided over ranks:
 *
 *     each rank    the embeddings of its micro-batches
 *     MPI_Allgatherv   all embeddings, on every rank
 *     each rank    the loss, and its derivative by each embedding: the same arithmetic everywhere,
 *                  so the same bits
 *     each rank    its micro-batches once more, forward and backward
 *     mskp_mpi_sum     the gradient of the batch, the same on all ranks
 *     each rank    the pruner and the optimizer's step, once
 *
 * What a micro-batch computes knows nothing of ranks, its running statistics begin where those of
 * the step begin and their mean over micro-batches is taken, and mskp_mpi_sum does not depend on
 * who has which. So masks and weights are the same bit for bit for any number of ranks; one process
 * of `contrastive` adds up in another order and moves the statistics micro-batch by micro-batch, so
 * it has other bits.
 */
#include <inttypes.h>
#include <math.h>
#include <mpi.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "mskp_bridge.h"
#include "mskp_mpi.h"

typedef struct options {
    session_options session; /* first, for arguments_rows */
    bool help;
} options;

enum { OPTIONS = ARGUMENTS_ROWS + 1 };

typedef struct program {
    session s;
    mskp_mpi mpi;
    mskp_error err;
    size_t parts, first, end; /* micro-batches of a step, and those of this rank */
    size_t numbers;           /* all of both networks' parameters, statistics among them */
    float **part, *sum;       /* for each of this rank's parts; of all */
    int *counts, *places;     /* numbers of embeddings for each rank, and where they lie */
} program;

/* ---- Errors ---- */

static bool fail(program *p, const char *text)
{
    p->err.status = MSKP_ERROR_NO_MEMORY;
    snprintf(p->err.text, sizeof p->err.text, "%.*s", (int)sizeof p->err.text - 1, text);
    return false;
}

/* What failed on one rank fails on all. */
static bool together(program *p, bool good)
{
    if (!good && !p->err.status) fail(p, p->s.text);
    return !mskp_mpi_agree(&p->mpi, good ? MSKP_OK : p->err.status, &p->err);
}

/* ---- Opening ---- */

static size_t begin_of(const program *p, size_t rank)
{
    return p->parts * rank / (size_t)p->mpi.ranks;
}

static size_t pairs_of_part(const program *p, size_t k)
{
    const session_options *o = &p->s.o;
    return o->batch - k * o->micro < o->micro ? o->batch - k * o->micro : o->micro;
}

static bool open_parts(program *p)
{
    const session_options *o = &p->s.o;
    const size_t ranks = (size_t)p->mpi.ranks;
    p->parts = (o->batch + o->micro - 1) / o->micro;
    p->first = begin_of(p, (size_t)p->mpi.rank);
    p->end = begin_of(p, (size_t)p->mpi.rank + 1);
    for (size_t i = 0; i < p->s.images.net->param_count; i++)
        p->numbers += p->s.images.net->params[i].count;
    for (size_t i = 0; i < p->s.texts.net->param_count; i++)
        p->numbers += p->s.texts.net->params[i].count;
    p->part = calloc(p->end - p->first + 1, sizeof *p->part);
    p->sum = malloc(p->numbers * sizeof *p->sum);
    p->counts = malloc(ranks * sizeof *p->counts);
    p->places = malloc(ranks * sizeof *p->places);
    for (size_t k = 0; p->part && k < p->end - p->first; k++)
        if (!(p->part[k] = malloc(p->numbers * sizeof **p->part)))
            return fail(p, "no memory for gradients");
    if (!p->part || !p->sum || !p->counts || !p->places) return fail(p, "no memory for a step");
    for (size_t r = 0; r < ranks; r++) {
        const size_t from = begin_of(p, r) * o->micro, to = begin_of(p, r + 1) * o->micro;
        p->places[r] = (int)(from * o->embedding);
        p->counts[r] = (int)(((to < o->batch ? to : o->batch) - from) * o->embedding);
    }
    return true;
}

/* ---- A step ---- */

typedef enum direction { TO_PART, FROM_PART } direction;

/* Copies gradients, or the running statistics, between a network and a part; returns where the
 * numbers of the network end there. */
static float *copy(const cn_net *net, bool trained, float *part, direction way)
{
    for (size_t i = 0; i < net->param_count; part += net->params[i++].count) {
        const cn_param *q = &net->params[i];
        float *here = q->trained ? q->gradient : q->value;
        if (q->trained == trained)
            memcpy(way == TO_PART ? part : here, way == TO_PART ? here : part,
                   q->count * sizeof *part);
    }
    return part;
}

static void copy_both(program *p, bool trained, float *part, direction way)
{
    copy(p->s.texts.net, trained, copy(p->s.images.net, trained, part, way), way);
}

static void gather(program *p, const tower *t)
{
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, t->embeddings, p->counts, p->places,
                   MPI_FLOAT, p->mpi.comm);
}

/* The gradient of the batch, and the mean of the running statistics, on all ranks. */
static bool add_up(program *p)
{
    if (mskp_mpi_sum(&p->mpi, p->end - p->first, (const float *const *)p->part, p->numbers, p->sum,
                     &p->err))
        return false;
    copy_both(p, true, p->sum, FROM_PART);
    for (size_t i = 0; i < p->numbers; i++) p->sum[i] /= (float)p->parts;
    copy_both(p, false, p->sum, FROM_PART);
    return true;
}

static bool step(program *p, session_phase phase, size_t number, double *loss)
{
    session *s = &p->s;
    const double rate = session_begin(s, phase, number);
    copy_both(p, false, p->sum, TO_PART); /* where the statistics begin */
    for (size_t k = p->first; k < p->end; k++) {
        copy_both(p, false, p->sum, FROM_PART);
        tower_embed(&s->images, k * s->o.micro, pairs_of_part(p, k));
        tower_embed(&s->texts, k * s->o.micro, pairs_of_part(p, k));
        copy_both(p, false, p->part[k - p->first], TO_PART);
    }
    gather(p, &s->images);
    gather(p, &s->texts);
    *loss = contrast_loss(&s->loss);
    if (!isfinite(*loss)) return fail(p, "the loss is not finite: try a smaller --rate");
    for (size_t k = p->first; k < p->end; k++) {
        tower_return(&s->images, k * s->o.micro, pairs_of_part(p, k));
        tower_return(&s->texts, k * s->o.micro, pairs_of_part(p, k));
        copy_both(p, true, p->part[k - p->first], TO_PART);
    }
    /* The same numbers on all ranks, so an error, too, is the same. */
    return add_up(p) && (session_update(s, rate) || fail(p, s->text));
}

/* ---- Pruning ---- */

/* Finds the mask, which all ranks find together. */
static bool mark(program *p)
{
    const mskp_mpi_scoring scoring = {.values.reduce = MSKP_REDUCE_MEAN};
    const mskp_rule rule = {.max_macs = p->s.o.macs * p->s.macs, .min_channels = 4};
    const size_t units = mskp_graph_counts(p->s.graph).units;
    mskp_mask keep = mskp_bridge_mask(p->s.graph);
    mskp_scores scores = {units, malloc((units + 1) * sizeof(double))};
    mskp_selection selection;
    bool good = together(p, (keep.unit && scores.unit) || fail(p, "no memory for a mask"));
    good =
        good && !mskp_mpi_score(&p->mpi, p->s.graph, &scoring, NULL, p->s.values, scores, &p->err);
    good = good && !mskp_mpi_select(&p->mpi, p->s.graph, scores, &rule, keep, &selection, &p->err);
    good = good && !mskp_pruner_mark(p->s.pruner, p->s.values, keep, &p->err);
    if (good && !p->mpi.rank) {
        printf("mask ");
        for (size_t u = 0; u < units; u++) putchar(keep.unit[u] ? '1' : '0');
        printf("\n%zu of %zu units are marked\n", selection.removed, units);
    }
    free(keep.unit);
    free(scores.unit);
    return good;
}

/* Every rank cuts its own network; if one fails, the program ends on all. */
static bool prune(program *p)
{
    mskp_pruner *pruner = p->s.pruner;
    if (mskp_pruner_due(pruner) == MSKP_PRUNER_DUE_MASK && !mark(p)) return false;
    if (mskp_pruner_due(pruner) != MSKP_PRUNER_DUE_CUT) return true;
    if (!together(p, session_cut(&p->s))) return false;
    p->numbers = 0; /* fewer, so the memory of the parts is enough */
    for (size_t i = 0; i < p->s.images.net->param_count; i++)
        p->numbers += p->s.images.net->params[i].count;
    for (size_t i = 0; i < p->s.texts.net->param_count; i++)
        p->numbers += p->s.texts.net->params[i].count;
    if (!p->mpi.rank) printf("%.1f %% of the MACs are left\n", 100 * session_macs(&p->s));
    return true;
}

/* ---- Phases ---- */

/* A number to compare between runs: FNV-1a. */
static uint64_t hash_of(uint64_t hash, const cn_net *net)
{
    for (size_t i = 0; i < net->param_count; i++) {
        const uint8_t *bytes = (const uint8_t *)net->params[i].value;
        for (size_t k = 0; k < net->params[i].count * sizeof(cn_real); k++)
            hash = (hash ^ bytes[k]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

/* Are the ranks still equal? Then each of them may say what the towers are worth. */
static bool look(program *p, const char *stage)
{
    judgement train, test;
    if (mskp_mpi_same(&p->mpi, mskp_pruner_graph(p->s.pruner), mskp_pruner_mask(p->s.pruner),
                      p->s.values, &p->err))
        return false;
    const bool good = p->mpi.rank || session_judge(&p->s, &train, &test);
    if (!together(p, good)) return false;
    if (!p->mpi.rank)
        printf("%s: loss %.4f (of test images %.4f), right %.2f %% (%.2f %%), of unseen classes "
               "%.2f %%\n",
               stage, train.loss, test.loss, 100 * train.seen, 100 * test.seen, 100 * test.unseen);
    return true;
}

static bool run_phase(program *p, session_phase phase)
{
    static const char *const NAMES[SESSION_PHASES] = {"train", "masked", "tune"};
    const size_t steps = session_steps(&p->s, phase);
    const double start = MPI_Wtime();
    const uint64_t bytes = p->mpi.bytes;
    double loss = 0;
    for (size_t i = 0; i < steps; i++)
        if (!prune(p) || !step(p, phase, i, &loss)) return false;
    if (!p->mpi.rank && steps)
        printf("%s: last loss %.6f, %.0f pairs a second, %.0f bytes a step for gradients\n",
               NAMES[phase], loss, (double)(steps * p->s.o.batch) / (MPI_Wtime() - start),
               (double)(p->mpi.bytes - bytes) / (double)steps);
    return look(p, NAMES[phase]);
}

static bool run(program *p, const session_options *o)
{
    if (!together(p, session_open(&p->s, o) && open_parts(p))) return false;
    if (!p->mpi.rank)
        printf("%d ranks, %zu micro-batches of %zu pairs a step\n", p->mpi.ranks, p->parts,
               p->s.o.micro);
    for (size_t i = 0; i < SESSION_PHASES; i++)
        if (!run_phase(p, (session_phase)i)) return false;
    if (!prune(p)) return false;
    const uint64_t START = UINT64_C(0xcbf29ce484222325);
    if (!p->mpi.rank)
        printf("weights %016" PRIx64 "\n",
               hash_of(hash_of(START, p->s.images.net), p->s.texts.net));
    return true;
}

static void close_program(program *p)
{
    for (size_t k = 0; p->part && k < p->end - p->first; k++) free(p->part[k]);
    free(p->part);
    free(p->sum);
    free(p->counts);
    free(p->places);
    session_close(&p->s);
    mskp_mpi_close(&p->mpi);
}

int main(int argc, char **argv)
{
    options o = {.session = SESSION_DEFAULTS};
    program p = {0};
    arg table[OPTIONS] = {
        [ARGUMENTS_ROWS] = {"help", "", ARG_FLAG, offsetof(options, help), 0, 0, "this text"}};
    int rank = 0;
    char text[256];
    arguments_rows(table);
    if (MPI_Init(&argc, &argv)) return 1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    bool good = args_read(argc, argv, OPTIONS, table, &o, sizeof o, text);
    if (good && o.help) {
        if (!rank) args_help(OPTIONS, table);
        MPI_Finalize();
        return 0;
    }
    /* Every rank has the same command line, so all of them see what is wrong with it. */
    if (!good && !rank) (void)fprintf(stderr, "contrastive-ranks: %s\n", text);
    if (good) {
        good = !mskp_mpi_open(MPI_COMM_WORLD, NULL, &p.mpi, &p.err) && run(&p, &o.session);
        if (!good && !rank) (void)fprintf(stderr, "contrastive-ranks: %s\n", p.err.text);
        close_program(&p);
    }
    MPI_Finalize();
    return good ? 0 : 1;
}
