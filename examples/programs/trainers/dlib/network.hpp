/*
 * network.hpp - a residual network for pictures of 3 x 32 x 32, put together as in dlib's own
 * examples
 */
#ifndef HOSTS_DLIB_NETWORK_HPP
#define HOSTS_DLIB_NETWORK_HPP

#include "mskp_dlib.hpp"

/* dlib's `con` pads only where the stride is 1. These layers can vanish with a residual branch. */
template <long FILTERS, int STRIDE, typename SUBNET>
using conv3 =
    dlib::add_layer<mskp_dlib::vanishing<dlib::con_<FILTERS, 3, 3, STRIDE, STRIDE, 1, 1>>, SUBNET>;
template <typename SUBNET>
using norm = dlib::add_layer<mskp_dlib::vanishing<dlib::bn_<dlib::CONV_MODE>>, SUBNET>;
template <typename SUBNET> using relu = dlib::add_layer<mskp_dlib::vanishing<dlib::relu_>, SUBNET>;

template <long FILTERS, int STRIDE, typename SUBNET>
using two_convs = norm<conv3<FILTERS, 1, relu<norm<conv3<FILTERS, STRIDE, SUBNET>>>>>;

template <long FILTERS, typename SUBNET>
using residual = dlib::relu<dlib::add_prev1<two_convs<FILTERS, 1, dlib::tag1<SUBNET>>>>;

/* The shortcut is narrower: add_prev adds zeros for what it lacks. */
template <long FILTERS, typename SUBNET>
using residual_down = dlib::relu<dlib::add_prev2<dlib::avg_pool<
    2, 2, 2, 2, dlib::skip1<dlib::tag2<two_convs<FILTERS, 2, dlib::tag1<SUBNET>>>>>>>;

/* The counts of filters are where a network starts: they can be set at run time. */
using picture = std::array<dlib::matrix<float>, 3>;
template <long WIDTH, typename SUBNET>
using stages = residual_down<4 * WIDTH, residual_down<2 * WIDTH, residual<WIDTH, SUBNET>>>;
using residual_net = dlib::loss_multiclass_log<dlib::fc<
    10,
    dlib::avg_pool_everything<stages<16, dlib::relu<norm<conv3<16, 2, dlib::input<picture>>>>>>>>;

/* A batch norm's beta makes the bias below it superfluous. dlib::disable_duplicative_biases knows
 * dlib's own batch norms only. And where a bias is off, dlib 19.24 takes the last weights for the
 * biases, so they get the multipliers of the others. */
template <typename LAYER> constexpr bool is_norm(const LAYER &)
{
    return false;
}
template <dlib::layer_mode MODE>
constexpr bool is_norm(const mskp_dlib::vanishing<dlib::bn_<MODE>> &)
{
    return true;
}
template <typename LAYER> auto disable_bias(LAYER &layer, int) -> decltype(layer.disable_bias())
{
    layer.disable_bias();
    dlib::set_bias_learning_rate_multiplier(layer, 1);
    dlib::set_bias_weight_decay_multiplier(layer, 1);
}
template <typename LAYER> void disable_bias(LAYER &, long)
{
}
template <typename NET> void disable_biases(NET &net)
{
    bool below_norm = false; /* layers come from the output down */
    dlib::visit_computational_layers(net, [&](auto &layer) {
        if (below_norm) disable_bias(layer, 0);
        below_norm = is_norm(layer);
    });
}

#endif
