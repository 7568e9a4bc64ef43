/*
 * network.hpp - a residual network for pictures of 3 x 32 x 32, put together as in dlib's own
 * examples
 */
#ifndef HOSTS_DLIB_NETWORK_HPP
#define HOSTS_DLIB_NETWORK_HPP

#include <dlib/dnn.h>

/* dlib's `con` pads only where the stride is 1. */
template <long FILTERS, int STRIDE, typename SUBNET>
using conv3 = dlib::add_layer<dlib::con_<FILTERS, 3, 3, STRIDE, STRIDE, 1, 1>, SUBNET>;

template <long FILTERS, int STRIDE, typename SUBNET>
using two_convs =
    dlib::bn_con<conv3<FILTERS, 1, dlib::relu<dlib::bn_con<conv3<FILTERS, STRIDE, SUBNET>>>>>;

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
using residual_net = dlib::loss_multiclass_log<
    dlib::fc<10, dlib::avg_pool_everything<
                     stages<16, dlib::relu<dlib::bn_con<conv3<16, 2, dlib::input<picture>>>>>>>>;

/* A batch norm's beta makes the bias below it superfluous. dlib 19.24 then stops training the last
 * weights of such a convolution: its solvers take them for the biases, whose learning rate
 * disable_duplicative_biases sets to 0. So that rate is set to 1 again. */
template <typename LAYER>
auto bias_is_off(const LAYER &layer, int) -> decltype(layer.bias_is_disabled())
{
    return layer.bias_is_disabled();
}
template <typename LAYER> bool bias_is_off(const LAYER &, long)
{
    return false;
}
template <typename NET> void disable_biases(NET &net)
{
    dlib::disable_duplicative_biases(net);
    dlib::visit_computational_layers(net, [](auto &layer) {
        if (bias_is_off(layer, 0)) {
            dlib::set_bias_learning_rate_multiplier(layer, 1);
            dlib::set_bias_weight_decay_multiplier(layer, 1);
        }
    });
}

#endif
