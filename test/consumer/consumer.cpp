// The same program as consumer.c, in C++17.
#include <mskp.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <vector>

int main()
{
    mskp_error err = MSKP_INIT;
    const auto require = [&err](bool good, const char *what) {
        if (good) return;
        std::fprintf(stderr, "%s: %s\n", what, err.text);
        std::exit(1);
    };
    std::unique_ptr<mskp_graph, void (*)(mskp_graph *)> owner(mskp_graph_create(nullptr),
                                                              mskp_graph_destroy);
    mskp_graph *graph = owner.get();
    const size_t image[] = {8, 8}, first[] = {4, 3, 3, 3}, second[] = {2, 4, 1, 1},
                 channels[] = {4};

    mskp_conv_desc conv1{}, conv2{};
    mskp_norm_desc norm{};
    conv1.weight = mskp_parameter(graph, "conv1.weight", 4, first);
    norm.scale = mskp_parameter(graph, "bn1.weight", 1, channels);
    conv2.weight = mskp_parameter(graph, "conv2.weight", 4, second);
    mskp_value v = mskp_conv(graph, "conv1", mskp_input(graph, "image", 3, 2, image), &conv1);
    mskp_output(graph, mskp_conv(graph, "conv2", mskp_norm(graph, "bn1", v, &norm), &conv2));
    require(mskp_graph_finish(graph, &err) == MSKP_OK, "finish");
    const size_t units = mskp_graph_counts(graph).units;

    std::vector<float> w1(4 * 3 * 3 * 3), gamma{1.0F, 0.1F, -2.0F, -0.2F},
        w2{1, 2, 3, 4, 5, 6, 7, 8}, slope(4);
    std::vector<mskp_tensor> value(3), gradient(3);
    value[0].data = w1.data();
    value[1].data = gamma.data();
    value[2].data = w2.data();
    const mskp_tensors values{value.size(), value.data()},
        gradients{gradient.size(), gradient.data()};
    mskp_tensor_of(gradients, norm.scale)->data = slope.data();
    std::vector<double> score(units);
    std::vector<uint8_t> stays(units);
    const mskp_scores scores{score.size(), score.data()};
    const mskp_mask keep{stays.size(), stays.data()};
    mskp_rule rule = MSKP_INIT;
    rule.remove_fraction = 0.5;
    require(!mskp_score(graph, nullptr, values, scores, &err), "score");
    require(!mskp_select(graph, scores, &rule, keep, nullptr, &err), "select");
    require(!mskp_penalty_gradient(graph, keep, nullptr, 0.5, values, gradients, &err), "penalty");
    require(units == 4 && slope[0] == 0 && slope[1] == 0.5F && slope[3] == -0.5F, "sign");

    mskp_plan *plan = nullptr;
    const mskp_move move{values, {}};
    require(!mskp_plan_create(graph, keep, &plan, nullptr, &err), "plan");
    require(!mskp_plan_cut(plan, 1, &move, &err), "cut");
    mskp_plan_destroy(plan);
    require(value[0].shape[0] == 2 && value[1].shape[0] == 2 && value[2].shape[1] == 2, "shapes");
    require(gamma[1] == -2.0F && w2[1] == 3 && w2[2] == 5, "numbers");
}
