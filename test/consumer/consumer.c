/* A C11 program outside the tree: two convolutions and a batch norm, from description to surgery.
 * Exit status 0: all as it should be. */
#include <mskp.h>
#include <mskp/tools.h> /* mskp_version */
#include <stdio.h>

static int fail(const char *what, const mskp_error *err)
{
    fprintf(stderr, "%s: %s\n", what, err->text);
    return 1;
}

int main(void)
{
    float first[4 * 3 * 3 * 3] = {0}, second[2 * 4] = {1, 2, 3, 4, 5, 6, 7, 8};
    float gamma[4] = {1.0F, 0.1F, -2.0F, -0.2F}, gamma_gradient[4] = {0};
    mskp_tensor value[3] = {{.data = first}, {.data = gamma}, {.data = second}};
    mskp_tensor gradient[3] = {{0}, {.data = gamma_gradient}, {0}};
    const mskp_tensors values = {3, value}, gradients = {3, gradient};
    double score[4];
    uint8_t stays[4];
    const mskp_scores scores = {4, score};
    const mskp_mask keep = {4, stays};
    mskp_error err = MSKP_INIT;

    if (mskp_version() != MSKP_VERSION) return fail("another version is installed", &err);
    mskp_graph *graph = mskp_graph_create(NULL);
    mskp_param w1 = mskp_parameter(graph, "conv1.weight", 4, (size_t[]){4, 3, 3, 3});
    mskp_param scale = mskp_parameter(graph, "bn1.weight", 1, (size_t[]){4});
    mskp_param w2 = mskp_parameter(graph, "conv2.weight", 4, (size_t[]){2, 4, 1, 1});
    mskp_value v = mskp_input(graph, "image", 3, 2, (size_t[]){8, 8});
    v = mskp_conv(graph, "conv1", v, &(mskp_conv_desc){.weight = w1});
    v = mskp_norm(graph, "bn1", v, &(mskp_norm_desc){.scale = scale});
    v = mskp_conv(graph, "conv2", v, &(mskp_conv_desc){.weight = w2});
    mskp_output(graph, v);
    if (mskp_graph_finish(graph, &err)) return fail("finish", &err);
    if (mskp_graph_counts(graph).units != 4) return fail("units", &err);

    if (mskp_score(graph, NULL, values, scores, &err)) return fail("score", &err);
    if (mskp_select(graph, scores, &(mskp_rule){.remove_fraction = 0.5}, keep, NULL, &err))
        return fail("select", &err);
    if (!stays[0] || stays[1] || !stays[2] || stays[3]) return fail("keep", &err);

    if (mskp_penalty_gradient(graph, keep, NULL, 0.5, values, gradients, &err))
        return fail("penalty", &err);
    if (gamma_gradient[0] != 0 || gamma_gradient[1] != 0.5F || gamma_gradient[3] != -0.5F)
        return fail("sign", &err);

    mskp_plan *plan = NULL;
    if (mskp_plan_create(graph, keep, &plan, NULL, &err)) return fail("plan", &err);
    if (mskp_plan_cut(plan, 1, &(mskp_move){.from = values}, &err)) return fail("cut", &err);
    if (value[0].shape[0] != 2 || value[1].shape[0] != 2 || value[2].shape[1] != 2)
        return fail("shapes", &err);
    if (gamma[1] != -2.0F || second[0] != 1 || second[1] != 3 || second[2] != 5)
        return fail("numbers", &err);

    mskp_plan_destroy(plan);
    mskp_graph_destroy(graph);
    return 0;
}
