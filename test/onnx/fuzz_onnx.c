/*
 * Reads any bytes as a file of mskp-onnx: computes what follows from parameters, describes the
 * network, cuts it by a mask that is made of the last bytes, and writes it to /dev/null. Whatever
 * is refused must have a sentence. After the cut, the model is described again, and its cost must
 * be what the mask leaves. The same bytes are also opened as the library does it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz/fuzz.h"
#include "lower.h"
#include "mskp/tools.h"
#include "mskp_onnx.h"
#include "precompute.h"

static void refused(const failure *f)
{
    FUZZ_REQUIRE(f->text[0] && memchr(f->text, 0, sizeof f->text), "no sentence");
}

static bool describe(net *n, model *m, mskp_graph *graph, failure *f)
{
    mskp_error err;
    const lengths none = {.option = "--length"};
    if (!net_open(n, m, graph, &none, f)) return false;
    n->cuts = true;
    if (!lower_nodes(n)) return false;
    if (!infer_network(n) || !describe_network(n)) return false;
    return !mskp_graph_finish(graph, &err) || fail(f, "%s", err.text);
}

static double macs_of(model *m)
{
    failure f = {""};
    net n = {0};
    mskp_cost cost = {0};
    mskp_graph *graph = mskp_graph_create(NULL);
    FUZZ_REQUIRE(graph, "no memory");
    FUZZ_REQUIRE(describe(&n, m, graph, &f), f.text);
    FUZZ_REQUIRE(!mskp_measure(graph, (mskp_mask){0, NULL}, &cost, NULL, NULL), "measure");
    net_close(&n);
    mskp_graph_destroy(graph);
    return cost.macs;
}

static void cut(model *m, net *n, mskp_graph *graph, const uint8_t *data, size_t size)
{
    const mskp_counts counts = mskp_graph_counts(graph);
    const mskp_penalty all_roles = {.roles = MSKP_ROLES_UNIT, .skip_missing = 1};
    const lengths none = {.option = "--length"};
    failure f = {""};
    mskp_error err;
    mskp_plan *plan = NULL;
    mskp_cost left;
    n->f = &f;
    const mskp_tensors values = {counts.params, calloc(counts.params + 1, sizeof(mskp_tensor))};
    const mskp_mask keep = {counts.units, malloc(counts.units + 1)};
    FUZZ_REQUIRE(values.view && keep.unit, "no memory");
    for (size_t u = 0; u < keep.n; u++) keep.unit[u] = data[size - 1 - u % size] % 3 > 0;
    FUZZ_REQUIRE(!mskp_measure(graph, keep, &left, NULL, &err), err.text);
    if (!network_values(n, values) || mskp_penalty_zero(graph, keep, &all_roles, values, &err) ||
        mskp_plan_create(graph, keep, &plan, NULL, &err)) {
        /* an empty layer, strings as weights */
    } else if (requantize(n), !rewrite_network(n, plan, values, &none)) {
        refused(&f);
    } else {
        const double macs = macs_of(m);
        FUZZ_REQUIRE(macs <= left.macs && macs >= left.macs, "other costs after the cut");
        FUZZ_REQUIRE(model_write(m, "/dev/null", &f), f.text);
    }
    mskp_plan_destroy(plan);
    free(values.view);
    free(keep.unit);
}

static void ask(const uint8_t *data, size_t size, uint8_t fixed)
{
    const mskp_onnx_options options = {.fixed = fixed};
    mskp_onnx *onnx = NULL;
    mskp_error err = {.text = ""};
    if (mskp_onnx_open(data, size, &options, &onnx, &err)) {
        FUZZ_REQUIRE(err.text[0] && memchr(err.text, 0, sizeof err.text) && !onnx, "no sentence");
        return;
    }
    const mskp_counts counts = mskp_graph_counts(mskp_onnx_graph(onnx));
    const mskp_tensors values = {counts.params, calloc(counts.params + 1, sizeof(mskp_tensor))};
    const mskp_mask locked = {counts.units, calloc(counts.units + 1, 1)};
    FUZZ_REQUIRE(values.view && locked.unit, "no memory");
    for (uint32_t id = 1; id <= counts.params; id++) {
        mskp_onnx_param p;
        FUZZ_REQUIRE(!mskp_onnx_parameter(onnx, (mskp_param){id}, &p, &err), err.text);
        FUZZ_REQUIRE(p.name && !(fixed && (p.copied || p.computed)), "another parameter");
    }
    FUZZ_REQUIRE(!mskp_onnx_products(onnx, locked, &err), err.text);
    FUZZ_REQUIRE(!mskp_onnx_values(onnx, values, &err) || err.text[0], "no sentence");
    for (size_t k = 0; mskp_onnx_reason(onnx, k); k++)
        FUZZ_REQUIRE(*mskp_onnx_reason(onnx, k), "an empty reason");
    free(values.view);
    free(locked.unit);
    mskp_onnx_close(onnx);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    model m = {0};
    net n = {0};
    failure f = {""};
    mskp_graph *graph = mskp_graph_create(NULL);
    FUZZ_REQUIRE(graph, "no memory");
    const lengths none = {.option = "--length"};
    precomputed stored;
    if (!model_parse(&m, data, size, false, &f) || !precompute(&m, &none, &stored, &f) ||
        !describe(&n, &m, graph, &f))
        refused(&f);
    else
        cut(&m, &n, graph, data, size);
    net_close(&n);
    mskp_graph_destroy(graph);
    model_free(&m);
    ask(data, size, 0);
    ask(data, size, 1);
    return 0;
}
