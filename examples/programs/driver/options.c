#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/asked.h"
#include "internal.h"

/*
 * The penalty is L1, as in [MaskSparsity], but on beta as well as on gamma: a channel whose gamma
 * is 0 still outputs a constant that beta determines. With beta at 0, too, there are no constants
 * to move, and no unit stays as a carrier. docs/results.md shows what dropped constants cost.
 */
static const driver_options DEFAULTS = {.macs = 0.5,
                                        .global_strength = 0.002,
                                        .penalty = DRIVER_PENALTY_L1,
                                        .on = DRIVER_ON_GAMMA_BETA,
                                        .batch = 64,
                                        .threads = 2,
                                        .seed = 1};
/* The first learning rate for a network that is trained already. */
static const double RATE_OF_TRAINED = 0.02;

/* Which programs have an option; and FREE: it decides no figure, so that a run may go on with
 * another value. */
enum {
    EVERY,
    WITH_MODELS = 1,
    WITH_LOAD = 2,
    WITH_BRANCHES = 4,
    WITH_CHECKPOINTS = 8,
    WITH_TEACHER = 128,
    FREE = 16
};
/* Its default depends on other options, so that these are compared first. */
enum { DERIVED = 32 };
/* It has an effect with --evaluate. */
enum { EVALUATES = 64 };

#define AT(field) offsetof(driver_options, field)
static const struct option {
    unsigned has;
    arg arg;
} OPTIONS[] = {
    {WITH_MODELS | FREE | EVALUATES,
     {"model", NULL, ARG_CHOICE_NUMBER, AT(model), 0, 0,
      "The network to train. By default it is the first of these, or the network that the file\n"
      "of --weights holds."}},
    {FREE | EVALUATES,
     {"data", "DIR", ARG_PATH, AT(data), 0, 0,
      "A folder with CIFAR-10's binary files. By default the program draws images of ten kinds\n"
      "of shapes; they are the same for every --seed."}},
    {EVERY,
     {"images", "N", ARG_COUNT, AT(images), 0, 50000,
      "Train on the first N images only; 0 means all [0]."}},
    {EVALUATES,
     {"test-images", "N", ARG_COUNT, AT(test_images), 0, 10000,
      "Test on the first N images only; 0 means all [0]."}},
    {WITH_LOAD | EVALUATES,
     {"weights", "FILE", ARG_PATH, AT(weights), 0, 0,
      "Start from this network, a safetensors file, which may be pruned already. BASE is then 0\n"
      "by default (with --masked, too)."}},
    {WITH_TEACHER,
     {"teacher", "FILE", ARG_PATH, AT(teacher), 0, 0,
      "In every phase, learn the outputs of this network, too: a safetensors file, for instance\n"
      "that of --weights."}},
    {FREE,
     {"out", "FILE", ARG_PATH, AT(out), 0, 0,
      "Write the pruned network to this file. A file that is there stays until the new one is\n"
      "complete; so it is with every other file that holds a network."}},
    {EVERY,
     {"macs", "KEEP", ARG_NUMBER, AT(macs), 1e-6, 1,
      "The fraction of the multiply-accumulates to keep, with the carriers of constants counted;\n"
      "with 1 nothing is pruned [0.5]."}},
    {WITH_BRANCHES,
     {"branches", NULL, ARG_FLAG, AT(branches), 0, 0,
      "The mask may remove all channels of a residual branch, which then vanishes, but for what "
      "it\n"
      "adds to each channel. Otherwise every layer keeps 2 channels or more."}},
    {EVERY,
     {"lock", "PATTERN", ARG_WORDS, AT(lock), 0, ARG_MOST_WORDS,
      "Remove nothing of what the layers with such a name make. * stands for any text, ? for one\n"
      "character, [a-c] for one of a set. The option may be repeated."}},
    {EVERY,
     {"penalty", "none|l1|smooth-l1|l2|prox|deadline", ARG_CHOICE, AT(penalty), 0, 0,
      "What moves the marked channels to zero in the masked phase. l1, smooth-l1 and l2 are terms\n"
      "of the loss. prox is a soft threshold after each step. deadline is a straight line to\n"
      "exactly 0, which it reaches after 3/4 of the phase. With none, the channels are cut as\n"
      "they are, except for --constants [l1]."}},
    {EVERY,
     {"on", "gamma|gamma-beta", ARG_CHOICE, AT(on), 0, 0,
      "The parameters under the penalty: the scale of batch norm alone, as in the paper, or its\n"
      "shift, too. A channel with gamma 0 still outputs a constant that beta determines; see\n"
      "--constants [gamma-beta]."}},
    {EVERY,
     {"constants", "auto|drop|fold|merge", ARG_CHOICE, AT(constants), 0, 0,
      "What becomes of these constants. fold adds them to means and biases. merge moves them to\n"
      "a unit that stays as their carrier. auto takes the way that is exact or loses less. drop\n"
      "loses them, as other programs do [auto]."}},
    {EVERY,
     {"strength", "S", ARG_NUMBER, AT(strength), 0, 1e6,
      "The strength of the penalty. With 0 it is automatic: each step measures what is left of "
      "the\n"
      "marked channels, and chooses the strength that moves them to 0 in 1/4 of the masked phase.\n"
      "smooth-l1 and l2 need a number, for instance 0.05 and 1; none and deadline have no "
      "strength\n"
      "[0]."}},
    {DERIVED,
     {"epochs", "BASE,GLOBAL,MASKED,TUNE", ARG_COUNTS, AT(asked), DRIVER_STAGES, 100000,
      "The epochs of the phases. With GLOBAL 0 the gammas of the baseline give the mask."}},
    {DERIVED,
     {"lr", "LR", ARG_NUMBER, AT(rate), 1e-9, 100,
      "The first learning rate of each phase, in which it falls to 0 along a cosine. TUNE starts\n"
      "from LR/2, or from LR if MASKED is 0 without --masked [with --weights: 0.02]."}},
    {EVALUATES, {"batch", "N", ARG_COUNT, AT(batch), 1, 65536, "The number of images in a batch."}},
    {EVERY,
     {"seed", "N", ARG_COUNT, AT(seed), 0, 1e15,
      "Determines the first weights and the order of the images."}},
    {FREE | EVALUATES,
     {"threads", "N", ARG_COUNT, AT(threads), 1, 256,
      "The number of threads, as far as the trainer has any."}},
    {FREE,
     {"report", "DIR", ARG_PATH, AT(report), 0, 0,
      "Write a page for a browser to DIR/index.html: curves, widths, costs, gamma and beta,\n"
      "constants, speed and results. The folder is made if it is missing. The page is written\n"
      "again after each epoch. After --resume, its curves also show the\n"
      "epochs before."}},
    {FREE,
     {"log", "FILE.csv", ARG_PATH, AT(log), 0, 0, "Write a line for each epoch to this file."}},
    {FREE,
     {"gauges", "FILE.jsonl", ARG_PATH, AT(gauges), 0, 0,
      "After each epoch with a penalty, write to this file how far the pruner is: a line of JSON,\n"
      "with the fields of mskp_pruner_gauges."}},
    {WITH_CHECKPOINTS | FREE,
     {"checkpoint", "FILE", ARG_PATH, AT(checkpoint), 0, 0,
      "Write all that --resume needs to this file: when a phase begins, at the end of each epoch,\n"
      "and when SIGHUP, SIGINT or SIGTERM ends the program, which then finishes the step first. A\n"
      "second signal ends it at once. A file that is there is only replaced with --resume."}},
    {WITH_CHECKPOINTS | FREE,
     {"resume", NULL, ARG_FLAG, AT(resume), 0, 0,
      "Go on from the file of --checkpoint. All other options must be those of the run that wrote\n"
      "it, except for --threads, the place of --data, and the names of files that are written.\n"
      "The figures are then those of a run that was never stopped, but for times."}},
    {WITH_LOAD | FREE | EVALUATES,
     {"evaluate", NULL, ARG_FLAG, AT(evaluate), 0, 0,
      "Only classify the test images with the network of --weights, for instance one that --out\n"
      "wrote."}},
    {EVERY,
     {"mask", "global|filters", ARG_CHOICE, AT(mask), 0, 0,
      "How to mark channels: by gamma after the global phase; or, for comparison, by the L1 norm\n"
      "of the baseline's filters, without a global phase [global]."}},
    {EVERY,
     {"global-strength", "S", ARG_NUMBER, AT(global_strength), 0, 1e6,
      "The strength of the L1 term on every gamma in the global phase. With prox and deadline it "
      "is\n"
      "a soft threshold after each step, which moves gamma as far [0.002]."}},
    {WITH_LOAD | FREE,
     {"save-sparse", "FILE", ARG_PATH, AT(save_sparse), 0, 0,
      "Write the network after the global phase to this file."}},
    {WITH_LOAD,
     {"sparse", "FILE", ARG_PATH, AT(sparse), 0, 0, "Read that network instead of training it."}},
    {WITH_LOAD | FREE,
     {"save-masked", "FILE", ARG_PATH, AT(save_masked), 0, 0,
      "Write the network after the masked phase, before surgery, and its mask to this file."}},
    {WITH_LOAD,
     {"masked", "FILE", ARG_PATH, AT(masked), 0, 0,
      "Read that network and its mask instead of training it, for instance to cut one network in\n"
      "several ways. --macs, --mask, --lock and the penalty are then those of the run that wrote\n"
      "it, and carriers stay in addition to its mask."}},
    {FREE | EVALUATES, {"help", NULL, ARG_FLAG, AT(help), 0, 0, "Print this text."}},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

static bool is_of(const trainer *t, const struct option *o)
{
    return (!(o->has & WITH_MODELS) || t->models) && (!(o->has & WITH_LOAD) || t->load) &&
           (!(o->has & WITH_BRANCHES) || t->branches) &&
           (!(o->has & WITH_CHECKPOINTS) || t->checkpoints) &&
           (!(o->has & WITH_TEACHER) || t->teaches);
}

/* table <- the options of this program; returns how many there are. */
static size_t options_of(const trainer *t, arg table[OPTION_COUNT])
{
    size_t n = 0;
    for (const struct option *o = OPTIONS; o < OPTIONS + OPTION_COUNT; o++) {
        if (!is_of(t, o)) continue;
        table[n] = o->arg;
        if (o->has & WITH_MODELS) table[n].value = t->models;
        n++;
    }
    return n;
}

void options_show(const trainer *t, page *p)
{
    arg table[OPTION_COUNT];
    const size_t n = options_of(t, table);
    asked_show(p, n, table, &t->options);
}

/* What the program did not set. */
static void fill_in(driver_options *o)
{
    if (!(o->macs > 0)) o->macs = DEFAULTS.macs;
    if (!o->batch) o->batch = DEFAULTS.batch;
    if (!o->threads) o->threads = DEFAULTS.threads;
    if (!(o->rate > 0)) o->rate = 0.1;
    o->global_strength = DEFAULTS.global_strength;
    o->penalty = DEFAULTS.penalty;
    o->on = DEFAULTS.on;
    o->strength = 0;
}

static bool check_evaluate(trainer *t, int argc, char **argv)
{
    arg table[OPTION_COUNT];
    const size_t n = options_of(t, table);
    if (!t->options.weights)
        return trainer_fail(t, "--evaluate classifies with a network, and --weights names none");
    for (const struct option *o = OPTIONS; o < OPTIONS + OPTION_COUNT; o++)
        if (!(o->has & EVALUATES) && args_given(argc, argv, n, table, &o->arg))
            return trainer_fail(t, "--%s has no effect: --evaluate only classifies", o->arg.name);
    return true;
}

static bool check_files(trainer *t)
{
    const driver_options *o = &t->options;
    char report[PAGE_PATH];
    if (o->report && !page_path(o->report, report))
        return trainer_fail(t, "--report: the name %.80s... is too long", o->report);
    const char *const outputs[] = {o->out,
                                   o->log,
                                   o->gauges,
                                   o->save_sparse,
                                   o->save_masked,
                                   o->checkpoint,
                                   o->report ? report : NULL};
    const char *const inputs[] = {o->weights, o->sparse, o->masked, o->teacher};
    enum { OUTPUTS = sizeof outputs / sizeof *outputs, INPUTS = sizeof inputs / sizeof *inputs };
    for (size_t i = 0; i < OUTPUTS; i++) {
        for (size_t k = 0; k < i; k++)
            if (outputs[i] && outputs[k] && file_same(outputs[i], outputs[k]))
                return trainer_fail(t, "two outputs would be written to one file, %.80s",
                                    outputs[i]);
        for (size_t k = 0; k < INPUTS; k++)
            if (outputs[i] && inputs[k] && file_same(outputs[i], inputs[k]))
                return trainer_fail(t, "%.80s would be both read and written", outputs[i]);
    }
    return true;
}

/* Options that were given, and that the other ones leave without an effect. */
static bool check_effect(trainer *t, int argc, char **argv)
{
    const driver_options *o = &t->options;
    const struct {
        bool idle;
        const char *name, *why;
    } cases[] = {
        {!o->epochs[DRIVER_GLOBAL], "global-strength", "there is no global phase"},
        {o->penalty == DRIVER_PENALTY_NONE, "on", "--penalty none moves no parameter"},
    };
    arg table[OPTION_COUNT];
    const size_t n = options_of(t, table);
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++)
        if (cases[k].idle && args_given(argc, argv, n, table, &(arg){.name = cases[k].name}))
            return trainer_fail(t, "--%s has no effect: %s", cases[k].name, cases[k].why);
    return true;
}

/* Options that contradict each other, or would be ignored. */
static bool check_sense(trainer *t)
{
    const driver_options *o = &t->options;
    if (o->save_sparse && !o->epochs[DRIVER_GLOBAL])
        return trainer_fail(t, "--save-sparse needs a global phase, and GLOBAL is 0");
    if (o->strength > 0 &&
        (o->penalty == DRIVER_PENALTY_NONE || o->penalty == DRIVER_PENALTY_DEADLINE))
        return trainer_fail(t,
                            "--strength %g has no effect: --penalty none and deadline have no "
                            "strength",
                            o->strength);
    if (!(o->strength > 0) &&
        (o->penalty == DRIVER_PENALTY_SMOOTH_L1 || o->penalty == DRIVER_PENALTY_L2))
        return trainer_fail(t, "--penalty smooth-l1 and l2 need --strength: an automatic strength "
                               "is for l1 and prox");
    if (o->resume && !o->checkpoint)
        return trainer_fail(t, "--resume goes on from a file, and --checkpoint names none");
    if (o->masked && o->save_masked)
        return trainer_fail(t, "--save-masked would only write what --masked reads");
    if (o->masked && o->sparse)
        return trainer_fail(t, "--sparse has no effect: the file of --masked holds the mask");
    if (o->mask == DRIVER_MASK_FILTERS && o->sparse)
        return trainer_fail(t, "--sparse has no effect: --mask filters scores the baseline");
    return check_files(t);
}

bool options_read(trainer *t, int argc, char **argv)
{
    driver_options *o = &t->options;
    arg table[OPTION_COUNT];
    const size_t n = options_of(t, table);
    const size_t base = o->epochs[DRIVER_BASELINE];
    memcpy(o->asked, o->epochs, sizeof o->asked);
    const double rate = o->rate > 0 ? o->rate : 0.1;
    fill_in(o);
    o->asked[DRIVER_BASELINE] = SIZE_MAX; /* until the command line says otherwise */
    o->rate = NAN;
    const bool good = args_read(argc, argv, n, table, o, sizeof t->error, t->error);
    if (o->asked[DRIVER_BASELINE] == SIZE_MAX)
        o->asked[DRIVER_BASELINE] = (o->weights || o->masked) && !o->help ? 0 : base;
    memcpy(o->epochs, o->asked, sizeof o->epochs);
    if (isnan(o->rate)) o->rate = o->weights && !o->help ? RATE_OF_TRAINED : rate;
    if (!good || o->help) return good;
    if (o->evaluate) return check_evaluate(t, argc, argv);
    if (o->mask == DRIVER_MASK_FILTERS || o->sparse || o->masked || o->macs >= 1)
        o->epochs[DRIVER_GLOBAL] = 0;
    if (o->masked) o->epochs[DRIVER_MASKED] = 0;
    return check_effect(t, argc, argv) && check_sense(t);
}

const arg *options_deciding(const trainer *t, size_t i)
{
    for (unsigned derived = 0; derived <= DERIVED; derived += DERIVED)
        for (const struct option *o = OPTIONS; o < OPTIONS + OPTION_COUNT; o++)
            if (is_of(t, o) && !(o->has & FREE) && (o->has & DERIVED) == derived && !i--)
                return &o->arg;
    return NULL;
}

void options_help(const trainer *t)
{
    const driver_options *o = &t->options;
    arg table[OPTION_COUNT];
    const size_t n = options_of(t, table);
    printf(
        "%s trains a network, marks the channels that it can do without, moves them to zero while\n"
        "it trains on, cuts them out, and fine-tunes the network that is left. Without options it\n"
        "trains a small network on images that it draws.\n\n"
        "%s [option ...]\n\n"
        "Defaults: --epochs %zu,%zu,%zu,%zu --macs %g --lr %g --batch %zu --threads %zu "
        "--seed %zu\n\n",
        t->name, t->name, o->epochs[0], o->epochs[1], o->epochs[2], o->epochs[3], o->macs, o->rate,
        o->batch, o->threads, o->seed);
    args_help(n, table);
}
