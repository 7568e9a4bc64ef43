/*
 * contrastive - trains an image tower and a text tower on pairs, and prunes the image tower
 *
 *     build/contrastive --data CIFAR
 *
 * Two networks learn together that an image and its text have the same embedding, and other pairs
 * have not (arXiv 2111.10050). Nothing is a classifier; classes are found by their names (judge.c).
 *
 *     train    the batch's contrastive loss, whose gradient is accumulated over micro-batches
 *              (accumulate.c)
 *     masked   the same loss; |gamma| says which channels of the image tower go, such that `macs`
 *              of its MACs stay, and their gamma and beta go to zero in a straight line
 *     tune     the same loss, after these channels were cut
 *
 * Once per step, whatever the number of micro-batches, the pruner has its say: before the step of
 * the optimizer, when the gradient is that of the whole batch, and after it (session_update).
 */
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "common/progress.h"

typedef struct options {
    session_options session; /* first, for arguments_rows */
    const char *csv;
    bool help;
} options;

static const arg OWN[] = {
    {"csv", "FILE", ARG_PATH, offsetof(options, csv), 0, 0, "add a line of results for each stage"},
    {"help", "", ARG_FLAG, offsetof(options, help), 0, 0, "this text"}};
enum { OPTIONS = ARGUMENTS_ROWS + sizeof OWN / sizeof *OWN };

typedef struct program {
    session s;
    const char *csv;
    double started; /* seconds */
} program;

/* ---- Looking ---- */

/* Adds lines to the file of --csv. One that cannot be written is refused before the training. */
static FILE *open_csv(program *p)
{
    FILE *file = fopen(p->csv, "a");
    if (!file) session_fail(&p->s, p->csv, "it cannot be written");
    return file;
}

static bool close_csv(program *p, FILE *file, bool good)
{
    return (!fclose(file) && good) || session_fail(&p->s, p->csv, "it cannot be written");
}

static bool begin_csv(program *p)
{
    FILE *file = open_csv(p);
    if (!file) return false;
    fseek(file, 0, SEEK_END);
    const bool good = ftell(file) > 0 ||
                      fprintf(file, "seed,batch,micro,contrast,stage,train_loss,test_loss,"
                                    "train_seen,test_seen,test_unseen,test_among_all,macs\n") > 0;
    return close_csv(p, file, good);
}

static bool add_line(program *p, const char *stage, const judgement *train, const judgement *test)
{
    const session_options *o = &p->s.o;
    FILE *file = open_csv(p);
    if (!file) return false;
    const int length =
        fprintf(file, "%zu,%zu,%zu,%zu,%s,%.5f,%.5f,%.4f,%.4f,%.4f,%.4f,%.4f\n", o->seed, o->batch,
                o->micro, o->contrast, stage, train->loss, test->loss, train->seen, test->seen,
                test->unseen, test->among_all, session_macs(&p->s));
    return close_csv(p, file, length > 0);
}

/* Prints what the towers are worth, on images that were trained on and on others. */
static bool look(program *p, const char *stage)
{
    judgement train, test;
    if (!session_judge(&p->s, &train, &test)) return false;
    printf("%-15s loss %.4f (of test images %.4f), right: %.2f %% (%.2f %%), of unseen classes "
           "%.2f %%, among all names %.2f %%\n",
           stage, train.loss, test.loss, 100 * train.seen, 100 * test.seen, 100 * test.unseen,
           100 * test.among_all);
    fflush(stdout);
    return !p->csv || add_line(p, stage, &train, &test);
}

/* Copies all values of a network to `kept`, or back. */
static void keep(const cn_net *net, cn_real *kept, bool back)
{
    for (size_t i = 0; i < net->param_count; kept += net->params[i++].count) {
        const cn_param *q = &net->params[i];
        memcpy(back ? q->value : kept, back ? kept : q->value, q->count * sizeof *kept);
    }
}

/* What would be left if marked channels were cut now, without being driven to zero. */
static bool look_ahead(program *p)
{
    const mskp_penalty penalty = {.roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT};
    session *s = &p->s;
    mskp_error err;
    size_t count = 1;
    for (size_t i = 0; i < s->images.net->param_count; i++) count += s->images.net->params[i].count;
    cn_real *kept = malloc(count * sizeof *kept);
    if (!kept) return session_fail(s, "", "no memory for the values");
    keep(s->images.net, kept, false);
    bool good =
        !mskp_penalty_zero(s->graph, mskp_pruner_mask(s->pruner), &penalty, s->values, &err) ||
        session_fail(s, "", err.text);
    good = good && look(p, "if cut at once");
    keep(s->images.net, kept, true);
    free(kept);
    return good;
}

/* ---- Training ---- */

static bool cut(program *p)
{
    const cn_net *net = p->s.images.net;
    const char *stage = p->s.o.epochs[SESSION_MASKED] ? "driven to zero" : "trained";
    if (!look(p, stage) || !session_cut(&p->s)) return false;
    printf("the image tower has %.1f %% of its %.2f million MACs; channels of its convolutions:",
           100 * session_macs(&p->s), 1e-6 * p->s.macs);
    for (size_t i = 0; i < net->layer_count; i++)
        if (net->layers[i].kind == CN_CONV) printf(" %zu", net->layers[i].channels);
    printf("\n");
    return look(p, "cut");
}

/* The mask, the cut, or both. */
static bool prune(program *p)
{
    session *s = &p->s;
    mskp_error err;
    if (mskp_pruner_due(s->pruner) == MSKP_PRUNER_DUE_MASK) {
        if (!look(p, "trained")) return false;
        if (mskp_pruner_mark(s->pruner, s->values, (mskp_mask){0}, &err))
            return session_fail(s, "", err.text);
        if (!look_ahead(p)) return false;
    }
    return mskp_pruner_due(s->pruner) != MSKP_PRUNER_DUE_CUT || cut(p);
}

static bool step(program *p, session_phase phase, size_t number, double *loss)
{
    session *s = &p->s;
    const double rate = session_begin(s, phase, number);
    tower_embed_all(&s->images, s->o.batch);
    tower_embed_all(&s->texts, s->o.batch);
    *loss = contrast_loss(&s->loss);
    if (!isfinite(*loss))
        return session_fail(s, "", "the loss is not finite: try a smaller --rate");
    tower_return_all(&s->images, s->o.batch);
    tower_return_all(&s->texts, s->o.batch);
    return session_update(s, rate);
}

static bool run_phase(program *p, session_phase phase)
{
    static const char *const NAMES[SESSION_PHASES] = {"train", "masked", "tune"};
    session *s = &p->s;
    const size_t each = s->count / s->o.batch;
    double sum = 0;
    for (size_t i = 0; i < session_steps(s, phase); i++) {
        double loss;
        if (!prune(p) || !step(p, phase, i, &loss)) return false;
        sum += loss;
        if ((i + 1) % each) continue;
        printf("%-6s epoch %zu of %zu: loss %.4f, scale %.1f, %.0f s\n", NAMES[phase], i / each + 1,
               s->o.epochs[phase], sum / (double)each, exp(s->loss.log_scale),
               seconds() - p->started);
        fflush(stdout);
        sum = 0;
    }
    return true;
}

static bool run(program *p, const session_options *o)
{
    p->started = seconds();
    if ((p->csv && !begin_csv(p)) || !session_open(&p->s, o)) return false;
    printf("%zu pairs, %zu in a step, %zu compared, %zu in a micro-batch; %zu words\n", p->s.count,
           p->s.o.batch, p->s.o.contrast, p->s.o.micro, p->s.words.words);
    for (size_t i = 0; i < SESSION_PHASES; i++)
        if (!run_phase(p, (session_phase)i)) return false;
    return prune(p) && look(p, "at the end");
}

int main(int argc, char **argv)
{
    options o = {.session = SESSION_DEFAULTS};
    program p = {0};
    arg table[OPTIONS];
    char text[256];
    arguments_rows(table);
    memcpy(table + ARGUMENTS_ROWS, OWN, sizeof OWN);
    if (!args_read(argc, argv, OPTIONS, table, &o, sizeof o, text)) {
        (void)fprintf(stderr, "contrastive: %s\n", text);
        return 2;
    }
    if (o.help) {
        args_help(OPTIONS, table);
        return 0;
    }
    p.csv = o.csv;
    const bool good = run(&p, &o.session);
    if (!good) (void)fprintf(stderr, "contrastive: %s\n", p.s.text);
    session_close(&p.s);
    return good ? 0 : 1;
}
