#include "options.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "common/args.h"

/*
 * What is not given on the command line. The penalty is L1, as in [MaskSparsity], but on beta as
 * well as on gamma: a channel whose gamma is 0 still puts out a constant made of its beta. With beta
 * driven to 0 too there is nothing to hand on, and no unit has to stay for it; what it costs where
 * it is dropped: docs/results.md.
 */
static const options DEFAULTS = {.macs = 0.5,
                                 .strength = NAN,
                                 .global_strength = 0.002,
                                 .rate = NAN,
                                 .penalty = PENALTY_L1,
                                 .on = ON_GAMMA_BETA,
                                 .epochs = {SIZE_MAX, 2, 3, 2},
                                 .batch = 64,
                                 .threads = 2,
                                 .seed = 1};
/* prox is not multiplied by momentum: 0.5 reaches as far as 0.05 does for l1. */
static const double STRENGTHS[] = {[PENALTY_L1] = 0.05,
                                   [PENALTY_SMOOTH_L1] = 0.05,
                                   [PENALTY_L2] = 1,
                                   [PENALTY_PROX] = 0.5,
                                   [PENALTY_DEADLINE] = 0};
static const size_t BASELINE_EPOCHS = 3;

#define AT(field) offsetof(options, field)
static const arg OPTIONS[] = {
    {"model", "resnet8|resnet20|resnet32|resnet44|resnet56|resnet110", ARG_CHOICE_NUMBER, AT(depth),
     0, 0, "the network [resnet8, or what the file of --weights holds]"},
    {"data", "DIR", ARG_PATH, AT(data), 0, 0,
     "CIFAR-10's binary files [images of ten kinds of shapes, drawn here]"},
    {"weights", "FILE", ARG_PATH, AT(weights), 0, 0,
     "safetensors: the baseline, pruned or not; BASE is then 0 unless given (so with --masked)"},
    {"out", "FILE", ARG_PATH, AT(out), 0, 0, "write the pruned network, as safetensors"},
    {"macs", "KEEP", ARG_NUMBER, AT(macs), 1e-6, 1,
     "the part of the multiply-accumulates to keep, with what --constants will need if what\n"
     "the penalty is on is then 0, and the rest is as when the mask is made; 1: nothing is\n"
     "pruned [0.5]"},
    {"penalty", "none|l1|smooth-l1|l2|prox|deadline", ARG_CHOICE, AT(penalty), 0, 0,
     "what drives the marked channels to zero: a term of the loss; prox: a soft\n"
     "threshold after each step; deadline: a straight line to exactly 0, in the first 3/4\n"
     "of the stage; none: nothing, they are cut as they are, but for --constants [l1]"},
    {"on", "gamma|gamma-beta", ARG_CHOICE, AT(on), 0, 0,
     "batch norm's scale alone, as the paper has it, or its shift too: a channel with gamma 0\n"
     "still puts out a constant made of beta; see --constants [gamma-beta]"},
    {"constants", "auto|drop|fold|merge", ARG_CHOICE, AT(constants), 0, 0,
     "what becomes of these constants: added to means and biases, handed to a unit that stays\n"
     "for it, whichever is exact or loses less; or dropped, as other tools do [auto]"},
    {"strength", "S", ARG_NUMBER, AT(strength), 0, 1e6,
     "of the penalty [l1 and smooth-l1 0.05, l2 1, prox 0.5; a deadline has none]"},
    {"epochs", "BASE,GLOBAL,MASKED,TUNE", ARG_COUNTS, AT(epochs), STAGES, 100000,
     "epochs of the stages; with GLOBAL 0 the baseline itself gives the mask [3,2,3,2]"},
    {"lr", "LR", ARG_NUMBER, AT(rate), 1e-9, 100,
     "learning rate, falling to 0 along a cosine in each stage; TUNE starts from LR/2,\n"
     "or from LR if MASKED is 0 without --masked [0.1; with --weights 0.02]"},
    {"batch", "N", ARG_COUNT, AT(batch), 1, 65536, "images in a batch [64]"},
    {"seed", "N", ARG_COUNT, AT(seed), 0, 1e15, "of the first weights and of the batches [1]"},
    {"threads", "N", ARG_COUNT, AT(threads), 1, 256, "they change no result [2]"},
    {"log", "FILE.csv", ARG_PATH, AT(log), 0, 0, "write a line for each epoch"},
    {"evaluate", NULL, ARG_FLAG, AT(evaluate), 0, 0,
     "only classify the test images with --weights, which may be what --out wrote"},
    {"mask", "global|filters", ARG_CHOICE, AT(mask), 0, 0,
     "to compare: mark channels by gamma after the global stage, or, without that\n"
     "stage, by the L1 norm of the baseline's filters [global]"},
    {"global-strength", "S", ARG_NUMBER, AT(global_strength), 0, 1e6,
     "of the L1 term on every gamma in the global stage [0.002]"},
    {"save-sparse", "FILE", ARG_PATH, AT(save_sparse), 0, 0,
     "write the network after the global stage"},
    {"sparse", "FILE", ARG_PATH, AT(sparse), 0, 0, "read that network instead of training it"},
    {"save-masked", "FILE", ARG_PATH, AT(save_masked), 0, 0,
     "write the network after the masked stage, before surgery, and its mask"},
    {"masked", "FILE", ARG_PATH, AT(masked), 0, 0,
     "read that network, and its mask, instead of training it: to cut one in several ways;\n"
     "--macs, --mask and the penalty are then those of the run that wrote it"},
    {"help", NULL, ARG_FLAG, AT(help), 0, 0, "this text"},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

bool options_read(int argc, char **argv, options *o, size_t size, char *text)
{
    *o = DEFAULTS;
    if (!args_read(argc, argv, OPTION_COUNT, OPTIONS, o, size, text)) return false;
    if (o->evaluate && !o->weights && !o->help)
        return args_refuse(size, text, "--evaluate needs a network: --weights FILE");
    const char *const outputs[] = {o->out, o->log, o->save_sparse, o->save_masked};
    const char *const inputs[] = {o->weights, o->sparse, o->masked};
    enum { OUTPUTS = sizeof outputs / sizeof *outputs, INPUTS = sizeof inputs / sizeof *inputs };
    for (size_t i = 0; i < OUTPUTS && o->evaluate && !o->help; i++)
        if (outputs[i])
            return args_refuse(size, text, "--evaluate writes nothing: %.80s has no use",
                               outputs[i]);
    if (o->evaluate && (o->sparse || o->masked) && !o->help)
        return args_refuse(size, text, "--evaluate reads --weights alone");
    if (o->epochs[BASELINE] == SIZE_MAX)
        o->epochs[BASELINE] = o->weights || o->masked ? 0 : BASELINE_EPOCHS;
    if (o->mask == MASK_FILTERS || o->sparse || o->masked || o->macs >= 1) o->epochs[GLOBAL] = 0;
    if (o->masked) o->epochs[MASKED] = 0;
    if (o->save_sparse && !o->epochs[GLOBAL])
        return args_refuse(size, text, "--save-sparse needs a global stage, and there is none");
    if (!isnan(o->strength) && (o->penalty == PENALTY_NONE || o->penalty == PENALTY_DEADLINE))
        return args_refuse(size, text, "--strength has no use: this penalty has none");
    if (o->masked && o->save_masked)
        return args_refuse(size, text, "--save-masked would write what --masked reads");
    if (o->masked && o->sparse)
        return args_refuse(size, text, "--sparse has no use: --masked holds its mask");
    if (o->mask == MASK_FILTERS && o->sparse)
        return args_refuse(size, text, "--sparse has no use: --mask filters marks the baseline's");
    for (size_t i = 0; i < OUTPUTS; i++) {
        for (size_t k = 0; k < i; k++)
            if (outputs[i] && outputs[k] && !strcmp(outputs[i], outputs[k]))
                return args_refuse(size, text, "two outputs go to one file, %.80s", outputs[i]);
        for (size_t k = 0; k < INPUTS; k++)
            if (outputs[i] && inputs[k] && !strcmp(outputs[i], inputs[k]))
                return args_refuse(size, text, "%.80s would be read and written", outputs[i]);
    }
    if (isnan(o->rate)) o->rate = o->weights ? 0.02 : 0.1;
    if (isnan(o->strength)) o->strength = STRENGTHS[o->penalty];
    return true;
}

void options_help(void)
{
    printf("masksparsity: train a network, find the channels that it can do without, drive them to "
           "zero,\ncut them out, fine-tune. Without options: a small network on images drawn "
           "here.\n\nmasksparsity [option ...]\n");
    args_help(OPTION_COUNT, OPTIONS);
}
