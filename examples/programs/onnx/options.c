/* The command line of mskp-onnx: the table of options, and which of them go together. */
#include "options.h"

#include <stdio.h>
#include <string.h>

#include "mskp.h"

#define AT(field) offsetof(options, field)
static const arg OPTIONS[] = {
    {"", NULL, ARG_WORDS, AT(files), 0, 2, NULL},
    {"macs", "KEEP", ARG_NUMBER, AT(macs), 1e-6, 1,
     "leave at most this part of the multiply-accumulates"},
    {"count-known", NULL, ARG_FLAG, AT(count_known), 0, 0,
     "let --macs be a part of what the operators cost whose cost is known, if that of others is\n"
     "not. Without this option --macs is then refused."},
    {"params", "KEEP", ARG_NUMBER, AT(params), 1e-6, 1,
     "leave at most this part of the parameters"},
    {"ratio", "R", ARG_NUMBER, AT(ratio), 0, 1, "remove this part of the units of each layer"},
    {"layer-ratio", "PATTERN=R", ARG_WORDS, AT(layer_ratio), 0, ARG_MOST_WORDS,
     "remove this part of the units of layers with such a name, whatever --ratio is: of those "
     "that\n"
     "make a tensor, or have a weight, whose name fits. Layers that lose channels together count\n"
     "as one. * stands for any text, ? for any character. The option may be repeated; a later one\n"
     "wins."},
    {"layer-most", "PATTERN=R", ARG_WORDS, AT(layer_most), 0, ARG_MOST_WORDS,
     "remove at most this part of the units of such layers"},
    {"threshold", "T", ARG_NUMBER, AT(threshold), 0, 1e300,
     "remove the units whose score is at most T"},
    {"mask", "FILE", ARG_PATH, AT(mask), 0, 0,
     "remove what the mask in this file removes (docs/mask-file.md)"},
    {"score", "l1|l2|gamma|unit-l1|unit-l2", ARG_CHOICE, AT(score), 0, 0,
     "how much a unit matters: a norm of its filters (l1, l2), the |gamma| of its batch norms, or\n"
     "a norm of all weights that belong to the unit (unit-l1, unit-l2). Unless --threshold is\n"
     "given, norms are divided by the mean of their layer, so that layers can be compared. [l1]"},
    {"reduce", "sum|mean|max|min|joint", ARG_CHOICE, AT(reduce), 0, 0,
     "how the scores of one unit in several layers become one score [mean]"},
    {"constants", "auto|drop|fold|merge", ARG_CHOICE, AT(constants), 0, 0,
     "what becomes of the constants that removed channels still output (mskp/constants.h): they\n"
     "are added to biases and means (fold), carried by a unit that stays (merge), lost (drop), or\n"
     "whatever loses least (auto). Without this option they are lost."},
    {"round-to", "N", ARG_COUNT, AT(round_to), 1, 65536,
     "layers keep a multiple of N channels [1]"},
    {"min-channels", "N", ARG_COUNT, AT(min_channels), 1, 65536,
     "no layer keeps fewer than N channels, unless it has fewer [1]"},
    {"branches", NULL, ARG_FLAG, AT(branches), 0, 0,
     "a layer may lose all its channels where a residual branch vanishes with it: its nodes go, "
     "but\n"
     "for what they add to each channel. It needs --constants."},
    {"keep", "PATTERN", ARG_WORDS, AT(keep), 0, ARG_MOST_WORDS,
     "remove nothing of the tensors with such a name. * stands for any text, ? for any character.\n"
     "The option may be repeated."},
    {"length", "NAME=N", ARG_WORDS, AT(lengths), 0, ARG_MOST_WORDS,
     "compute with N for a length of an input that the model leaves open. A length without a name\n"
     "is given as INPUT:AXIS=N. The option may be repeated."},
    {"zeroed", "FILE", ARG_PATH, AT(zeroed), 0, 0,
     "also write the network in its full shape, with zeros for everything that is removed. This\n"
     "network computes what OUT computes. With --constants only filters and scales become zero,\n"
     "and both compute the same where the constants are moved exactly."},
    {"save-mask", "FILE", ARG_PATH, AT(save_mask), 0, 0, "also write the mask"},
    {"json", "FILE", ARG_PATH, AT(json), 0, 0, "also write a report (docs/report-schema.json)"},
    {"report", "DIR", ARG_PATH, AT(report), 0, 0,
     "also write a page for a browser to DIR/index.html: widths and costs of each layer, what "
     "stays\n"
     "and why, and constants. The folder is made if it is missing."},
    {"help", NULL, ARG_FLAG, AT(help), 0, 0, "print this text"},
};
enum { OPTION_COUNT = sizeof OPTIONS / sizeof *OPTIONS };

/* Options that take part in the choice of units, and so are of no use beside --mask. */
typedef struct choosing {
    const char *name;
    bool given;
} choosing;
enum { CHOOSING_COUNT = 5 };

/* No file may be written that another option reads or writes. */
static bool check_paths(const options *o, size_t size, char *text)
{
    char report[PAGE_PATH];
    if (o->report && !page_path(o->report, report))
        return args_refuse(size, text, "--report: the name %.80s... is too long", o->report);
    const char *const paths[] = {o->files.text[1],          o->zeroed,        o->save_mask, o->json,
                                 o->report ? report : NULL, o->files.text[0], o->mask};
    enum { WRITTEN = 5, ALL = 7 };
    for (size_t i = 0; i < WRITTEN; i++)
        for (size_t k = i + 1; k < ALL; k++)
            if (paths[i] && paths[k] && !strcmp(paths[i], paths[k]))
                return args_refuse(size, text, "%.200s would be overwritten", paths[i]);
    return true;
}

static bool check(const options *o, size_t size, char *text)
{
    const int demands = (o->macs > 0) + (o->params > 0) + (o->ratio >= 0) + (o->threshold >= 0) +
                        (o->mask != NULL) + (o->layer_ratio.count > 0);
    const choosing given[CHOOSING_COUNT] = {{"keep", o->keep.count > 0},
                                            {"round-to", o->round_to > 0},
                                            {"min-channels", o->min_channels > 0},
                                            {"branches", o->branches},
                                            {"layer-most", o->layer_most.count > 0}};
    if (!o->files.count) return args_refuse(size, text, "no file is named; see --help");
    if (o->files.count < 2) {
        bool more = demands || o->zeroed || o->save_mask || o->json || o->report;
        for (size_t i = 0; i < CHOOSING_COUNT; i++) more |= given[i].given;
        return !more || args_refuse(size, text,
                                    "these options need a file for the pruned network: "
                                    "mskp-onnx IN.onnx OUT.onnx ...");
    }
    if (!demands)
        return args_refuse(size, text,
                           "what shall be removed? Give --macs, --params, --ratio, --layer-ratio, "
                           "--threshold or --mask");
    if (o->mask && demands > 1)
        return args_refuse(size, text,
                           "--mask names the units that are removed, so --macs, --params, --ratio, "
                           "--layer-ratio and --threshold cannot be given");
    for (size_t i = 0; i < CHOOSING_COUNT; i++)
        if (o->mask && given[i].given)
            return args_refuse(size, text,
                               "--mask names the units that are removed, so --%s cannot be given",
                               given[i].name);
    if (o->branches && o->constants == NO_CONSTANTS)
        return args_refuse(size, text,
                           "--branches needs --constants, because what a branch still adds is a "
                           "constant");
    if (o->count_known && !(o->macs > 0))
        return args_refuse(size, text, "--count-known says of what --macs is, which is not given");
    return check_paths(o, size, text);
}

bool options_read(int argc, char **argv, options *o, size_t size, char *text)
{
    *o = (options){
        .ratio = -1, .threshold = -1, .reduce = MSKP_REDUCE_MEAN, .constants = NO_CONSTANTS};
    return args_read(argc, argv, OPTION_COUNT, OPTIONS, o, size, text) &&
           (o->help || check(o, size, text));
}

void options_show(const options *o, page *p)
{
    asked_show(p, OPTION_COUNT, OPTIONS, o);
}

void options_help(void)
{
    printf(
        "mskp-onnx: prunes an ONNX file.\n\n"
        "mskp-onnx FILE.onnx                  list what can be removed, what cannot, and why\n"
        "mskp-onnx IN.onnx OUT.onnx [...]     choose channels and cut them out\n\n"
        "Files are replaced when all of them are complete. If IN has its data in other files,\n"
        "OUT has them in OUT.HASH.data beside it; that of an older OUT stays (docs/onnx.md).\n\n");
    args_help(OPTION_COUNT, OPTIONS);
}
