/*
 * Any text as the list of layers of mskp-safetensors: up to the first zero byte, and what follows
 * is a file of tensors; if it is none, there is a small one. A list that is refused has a sentence.
 * One that is taken gives a network in which each parameter is another tensor of the file, with its
 * name and shape, and of which half can be removed: axes beyond the second then stay as they are,
 * because the program cuts rows and columns alone.
 */
#include <string.h>

#include "convnet.h"
#include "fuzz.h"
#include "mskp/tools.h"
#include "safetensors/prune.h"

/* A file with a convolution, its norm, a depthwise one, a shortcut, and linear layers. */
static const char HEADER[] =
    "{\"a.weight\":{\"dtype\":\"U8\",\"shape\":[4,3,3,3],\"data_offsets\":[0,108]},"
    "\"n.weight\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[108,112]},"
    "\"n.bias\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[112,116]},"
    "\"n.running_mean\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[116,120]},"
    "\"d.weight\":{\"dtype\":\"U8\",\"shape\":[4,1,3,3],\"data_offsets\":[120,156]},"
    "\"b.weight\":{\"dtype\":\"U8\",\"shape\":[4,4,1,1],\"data_offsets\":[156,172]},"
    "\"b.bias\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[172,176]},"
    "\"f.weight\":{\"dtype\":\"U8\",\"shape\":[3,16],\"data_offsets\":[176,224]},"
    "\"f.bias\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[224,227]},"
    "\"z.weight\":{\"dtype\":\"U8\",\"shape\":[0,4],\"data_offsets\":[227,227]}}";
enum { DATA = 227 };

static uint8_t small[8 + sizeof HEADER - 1 + DATA];

static void open_file(const uint8_t *data, size_t size, cn_tensors *file)
{
    cn_error err;
    if (data && cn_tensors_parse(data, size, file, &err)) return;
    memset(small, 0, sizeof small);
    for (size_t i = 0; i < 8; i++) small[i] = (uint8_t)((sizeof HEADER - 1) >> 8 * i & 255);
    memcpy(small + 8, HEADER, sizeof HEADER - 1);
    FUZZ_REQUIRE(cn_tensors_parse(small, sizeof small, file, &err), err.text);
}

/* Each parameter is a tensor of its own. */
static void require_parameters(const cn_tensors *file, const network *n)
{
    FUZZ_REQUIRE(mskp_graph_counts(n->graph).params == n->params, "another number of parameters");
    for (size_t p = 0; p < n->params; p++) {
        size_t shape[MSKP_MAX_DIMS];
        const mskp_param param = {(uint32_t)p + 1};
        FUZZ_REQUIRE(n->tensor[p] < file->count, "no such tensor");
        const cn_tensor *t = &file->tensors[n->tensor[p]];
        FUZZ_REQUIRE(!strcmp(mskp_param_name(n->graph, param), t->name), t->name);
        FUZZ_REQUIRE(mskp_param_shape(n->graph, param, shape) == t->dims, t->name);
        FUZZ_REQUIRE(!memcmp(shape, t->shape, t->dims * sizeof *shape), t->name);
        for (size_t q = 0; q < p; q++) FUZZ_REQUIRE(n->tensor[q] != n->tensor[p], t->name);
    }
}

static void require_rows_and_columns(const cn_tensors *file, const network *n)
{
    const size_t units = mskp_graph_counts(n->graph).units;
    const mskp_scores scores = {units, calloc(units + 1, sizeof *scores.unit)};
    const mskp_mask keep = {units, calloc(units + 1, 1)};
    const mskp_rule rule = {.remove_family_fraction = 0.5};
    mskp_plan *plan = NULL;
    mskp_error err;
    FUZZ_REQUIRE(scores.unit && keep.unit, "no memory");
    FUZZ_REQUIRE(!mskp_select(n->graph, scores, &rule, keep, NULL, &err), err.text);
    FUZZ_REQUIRE(!mskp_plan_create(n->graph, keep, &plan, NULL, &err), err.text);
    for (size_t p = 0; p < n->params; p++) {
        const cn_tensor *t = &file->tensors[n->tensor[p]];
        for (uint32_t d = 0; d < t->dims; d++) {
            size_t kept;
            const uint32_t *which =
                mskp_plan_param_kept(plan, (mskp_param){(uint32_t)p + 1}, d, &kept);
            FUZZ_REQUIRE(kept && kept <= t->shape[d], t->name);
            FUZZ_REQUIRE(d < 2 || (!which && kept == t->shape[d]), t->name);
        }
    }
    mskp_plan_destroy(plan);
    free(scores.unit);
    free(keep.unit);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint8_t *zero = size ? memchr(data, 0, size) : NULL;
    const size_t length = zero ? (size_t)(zero - data) : size;
    char *layers = malloc(length + 1), text[SENTENCE] = "";
    cn_tensors file;
    network n;
    FUZZ_REQUIRE(layers, "no memory");
    if (length) memcpy(layers, data, length);
    layers[length] = 0;
    open_file(zero ? zero + 1 : NULL, size - length - (zero != NULL), &file);
    if (network_describe(&file, layers, &n, text)) {
        require_parameters(&file, &n);
        require_rows_and_columns(&file, &n);
    } else {
        FUZZ_REQUIRE(text[0] && memchr(text, 0, sizeof text), "no sentence");
    }
    network_free(&n);
    cn_tensors_free(&file);
    free(layers);
    return 0;
}
