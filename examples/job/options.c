#include "options.h"

#include <math.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What is not given on the command line. The penalty is L1, as in [MaskSparsity], but on beta as
 * well as on gamma: a channel whose gamma is 0 still puts out a constant made of its beta, and
 * surgery drops that. On gamma alone, surgery cost 1 to 26 points on the built-in images, depending
 * on the schedule, and took a ResNet-20 on CIFAR-10 from 84 to 21 %; with beta, nothing.
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

typedef enum kind { PATH, NUMBER, COUNT, CHOICE, MODEL, EPOCHS, FLAG } kind;

typedef struct entry {
    const char *name, *value; /* value: what the help text shows; of a choice, the words */
    kind kind;
    size_t offset; /* in options */
    double least, most;
    const char *help;
} entry;

#define AT(field) offsetof(options, field)
static const entry OPTIONS[] = {
    {"model", "resnet8|resnet20|resnet32|resnet44|resnet56|resnet110", MODEL, AT(depth), 0, 0,
     "the network [resnet8, or what the file of --weights holds]"},
    {"data", "DIR", PATH, AT(data), 0, 0,
     "CIFAR-10's binary files [images of ten kinds of shapes, drawn here]"},
    {"weights", "FILE", PATH, AT(weights), 0, 0,
     "safetensors: the baseline, pruned or not; BASE is then 0 unless given"},
    {"out", "FILE", PATH, AT(out), 0, 0, "write the pruned network, as safetensors"},
    {"macs", "KEEP", NUMBER, AT(macs), 1e-6, 1,
     "the part of the multiply-accumulates to keep; 1: nothing is pruned [0.5]"},
    {"penalty", "none|l1|smooth-l1|l2|prox|deadline", CHOICE, AT(penalty), 0, 0,
     "what drives the marked channels to zero: a term of the loss; prox: a soft\n"
     "threshold after each step; deadline: a straight line to exactly 0, in the first 3/4\n"
     "of the stage; none: nothing, they are cut as they are [l1]"},
    {"on", "gamma|gamma-beta", CHOICE, AT(on), 0, 0,
     "batch norm's scale alone, as the paper has it, or its shift too: a channel with gamma 0\n"
     "still puts out a constant made of beta, which surgery drops [gamma-beta]"},
    {"strength", "S", NUMBER, AT(strength), 0, 1e6,
     "of the penalty [l1 and smooth-l1 0.05, l2 1, prox 0.5; a deadline has none]"},
    {"epochs", "BASE,GLOBAL,MASKED,TUNE", EPOCHS, AT(epochs), 0, 0,
     "epochs of the stages; with GLOBAL 0 the baseline itself gives the mask [3,2,3,2]"},
    {"lr", "LR", NUMBER, AT(rate), 1e-9, 100,
     "learning rate, falling to 0 along a cosine in each stage; TUNE starts from LR/2,\n"
     "or from LR if MASKED is 0 [0.1; with --weights 0.02]"},
    {"batch", "N", COUNT, AT(batch), 1, 65536, "images in a batch [64]"},
    {"seed", "N", COUNT, AT(seed), 0, 1e15, "of the first weights and of the batches [1]"},
    {"threads", "N", COUNT, AT(threads), 1, 256, "they change no result [2]"},
    {"log", "FILE.csv", PATH, AT(log), 0, 0, "write a line for each epoch"},
    {"evaluate", NULL, FLAG, AT(evaluate), 0, 0,
     "only classify the test images with --weights, which may be what --out wrote"},
    {"mask", "global|filters", CHOICE, AT(mask), 0, 0,
     "to compare: mark channels by gamma after the global stage, or, without that\n"
     "stage, by the L1 norm of the baseline's filters [global]"},
    {"global-strength", "S", NUMBER, AT(global_strength), 0, 1e6,
     "of the L1 term on every gamma in the global stage [0.002]"},
    {"save-sparse", "FILE", PATH, AT(save_sparse), 0, 0,
     "write the network after the global stage"},
    {"sparse", "FILE", PATH, AT(sparse), 0, 0, "read that network instead of training it"},
    {"help", NULL, FLAG, AT(help), 0, 0, "this text"},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

static bool read_count(const char *text, const char **end, size_t *n)
{
    *n = 0;
    *end = text;
    for (; **end >= '0' && **end <= '9'; ++*end) {
        if (*n > SIZE_MAX / 16) return false;
        *n = *n * 10 + (size_t)(**end - '0');
    }
    return *end != text;
}

/* The index of a word in "one|two|three". */
static bool read_choice(const char *words, const char *word, size_t *index)
{
    const size_t n = strlen(word);
    for (*index = 0;; ++*index) {
        const size_t length = strcspn(words, "|");
        if (length == n && !memcmp(words, word, n)) return true;
        if (!words[length]) return false;
        words += length + 1;
    }
}

static bool read_epochs(const char *text, size_t *epochs)
{
    for (size_t i = 0; i < STAGES; i++) {
        const char *end;
        if (!read_count(text, &end, &epochs[i]) || epochs[i] > 100000) return false;
        if (*end != (i + 1 < STAGES ? ',' : 0)) return false;
        text = end + 1;
    }
    return true;
}

static bool read_value(const entry *option, const char *value, options *o)
{
    void *to = (char *)o + option->offset;
    const char *end;
    char *stop;
    size_t index, *count = to;
    double *number = to;
    switch (option->kind) {
    case PATH:
        *(const char **)to = value;
        return *value != 0;
    case NUMBER:
        *number = strtod(value, &stop);
        return stop != value && !*stop && *number >= option->least && *number <= option->most;
    case COUNT:
        return read_count(value, &end, count) && !*end && (double)*count >= option->least &&
               (double)*count <= option->most;
    case CHOICE:
        return read_choice(option->value, value, count);
    case MODEL:
        return read_choice(option->value, value, &index) &&
               read_count(value + strlen("resnet"), &end, count);
    case EPOCHS:
        return read_epochs(value, count);
    case FLAG:
        break;
    }
    return false;
}

static bool refuse(size_t size, char *text, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(text, size, format, list);
    va_end(list);
    return false;
}

static bool refuse_value(const entry *option, const char *value, size_t size, char *text)
{
    if (option->kind != NUMBER && option->kind != COUNT)
        return refuse(size, text, "--%s: \"%.80s\" is not %s", option->name, value, option->value);
    return refuse(size, text, "--%s: \"%.80s\" is not a %s from %g to %g", option->name, value,
                  option->kind == COUNT ? "whole number" : "number", option->least, option->most);
}

bool options_read(int argc, char **argv, options *o, size_t size, char *text)
{
    *o = DEFAULTS;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i], *value = NULL;
        const entry *option = NULL;
        if (strncmp(word, "--", 2) != 0)
            return refuse(size, text, "\"%.80s\" is not an option; see --help", word);
        const size_t length = strcspn(word + 2, "=");
        for (size_t k = 0; k < OPTION_COUNT; k++)
            if (strlen(OPTIONS[k].name) == length && !memcmp(OPTIONS[k].name, word + 2, length))
                option = &OPTIONS[k];
        if (!option) return refuse(size, text, "there is no option \"%.80s\"; see --help", word);
        if (word[2 + length]) value = word + 3 + length;
        if (option->kind == FLAG) {
            if (value) return refuse(size, text, "--%s takes no value", option->name);
            *(bool *)((char *)o + option->offset) = true;
            continue;
        }
        if (!value && i + 1 < argc) value = argv[++i];
        if (!value)
            return refuse(size, text, "--%s needs a value: %s", option->name, option->value);
        if (!read_value(option, value, o)) return refuse_value(option, value, size, text);
    }
    if (o->evaluate && !o->weights && !o->help)
        return refuse(size, text, "--evaluate needs a network: --weights FILE");
    if (o->epochs[BASELINE] == SIZE_MAX) o->epochs[BASELINE] = o->weights ? 0 : BASELINE_EPOCHS;
    if (o->mask == MASK_FILTERS || o->sparse || o->macs >= 1) o->epochs[GLOBAL] = 0;
    if (o->save_sparse && !o->epochs[GLOBAL])
        return refuse(size, text, "--save-sparse needs a global stage, and there is none");
    if (isnan(o->rate)) o->rate = o->weights ? 0.02 : 0.1;
    if (isnan(o->strength)) o->strength = STRENGTHS[o->penalty];
    return true;
}

void options_help(void)
{
    printf("masksparsity: train a network, find the channels that it can do without, drive them to "
           "zero,\ncut them out, fine-tune. Without options: a small network on images drawn "
           "here.\n\nmasksparsity [option ...]\n");
    for (size_t k = 0; k < OPTION_COUNT; k++) {
        const entry *o = &OPTIONS[k];
        printf("  --%s%s%s\n        ", o->name, o->value ? " " : "", o->value ? o->value : "");
        for (const char *c = o->help; *c; c++) {
            putchar(*c);
            if (*c == '\n') printf("        ");
        }
        putchar('\n');
    }
    printf("Exit status: 0; 1 after an error; 2 for a command line that makes no sense.\n");
}
