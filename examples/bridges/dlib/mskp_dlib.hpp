/*
 * mskp_dlib.hpp - channel pruning for the networks of dlib 19.24
 *
 *     wiring w = describe(net, example);           any network, without listing its layers
 *     std::vector<masked<dlib::sgd>> solvers(NET::num_computational_layers, dlib::sgd());
 *     mskp_pruner_create(w.graph.get(), &options, &p, &err);
 *     mskp_pruner_mark(p, all_values<NET>(w, net).views, {0, nullptr}, &err);     when it is due
 *     net.compute_parameter_gradients(images, labels);
 *     mskp_pruner_before_step(p, rate, values(w, net), gradients(w, net), &err);
 *     net.update_parameters(solvers, rate);
 *     mskp_pruner_after_step(p, rate, values(w, net), &err);
 *     cut(w, net, solvers, p);                     widths, values, running statistics, momentum
 *
 * or by hand, with a mask and a strength of your own, and then in a dnn_trainer, too:
 *
 *     penalty p{&w, select(w, net, rule), 0.05};   which units stay, and the strength
 *     std::vector<masked<dlib::sgd>> solvers(NET::num_computational_layers, {dlib::sgd(), &p});
 *     net.update_parameters(solvers, rate);        or a dnn_trainer with such a solver
 *     cut(w, net, solvers, p.keep);
 *
 *     add_layer<vanishing<con_<...>>, SUBNET>      a layer that can go with its residual branch
 *
 * The file needs ../mskp_bridge.h. A call that cannot do its work throws a std::exception with a
 * sentence, and leaves everything as it was.
 */
#ifndef MSKP_DLIB_HPP
#define MSKP_DLIB_HPP

#include <dlib/dnn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <map>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "mskp/operators.h"
#include "mskp_bridge.h"

namespace mskp_dlib
{

using mskp::check;
using mskp::error;
using mskp::set;

/* A parameter, and the order of its axes in memory where it is not the declared one. */
struct part {
    mskp_param param;
    const uint32_t *order;
};

/* A layer. dlib keeps all parameters of a layer in one tensor, as parts one after the other. */
struct layer_wires {
    std::string name;
    std::vector<part> parts;
    mskp_value made{};
    mskp_param mean{}, variance{}; /* of a batch norm: private tensors of their own */
    const dlib::tensor *tensor = nullptr;
};

/* A network's graph, and where its parameters are: layers[c] is what solvers[c] updates. */
struct wiring {
    mskp::graph_handle graph;
    std::vector<layer_wires> layers;
    std::vector<uint32_t> ends{}; /* the value itself if its layer can vanish, else 0 */
    std::vector<mskp::graph_handle> earlier{}; /* before cuts: a mskp_pruner needs its first one */

    mskp_branches branches() const
    {
        return {ends.data(), "its layer is not a vanishing<> one"};
    }

    size_t params() const
    {
        return mskp_graph_counts(graph.get()).params;
    }

    /* Finds the tensors, for the solvers. Call it again after the network was moved or assigned. */
    template <typename NET> void locate(NET &net)
    {
        dlib::visit_layer_parameters(net,
                                     [&](size_t c, dlib::tensor &t) { layers[c].tensor = &t; });
    }
};

/* ============================================================================================== */
/*                                   Layers that can vanish                                       */
/* ============================================================================================== */

/*
 * A con_, fc_, bn_, pooling or function that can vanish with its residual branch; dlib's own
 * need at least one channel. Once it has vanished, its output has no channels, and add_prev adds
 * nothing. If what is left of the branch is its shift (MSKP_FATE_SHIFT), the parameters are the
 * bias or beta alone, and the output is this vector at each pixel.
 */
template <typename LAYER> class vanishing : public LAYER
{
  public:
    using LAYER::LAYER;
    vanishing() = default;
    /* dlib makes networks from others by this: with such layers from one without. */
    vanishing(const LAYER &layer) : LAYER(layer)
    {
    }

    const LAYER &own() const
    {
        return *this;
    }
    LAYER &own()
    {
        return *this;
    }
    mskp_fate fate() const
    {
        return what;
    }

    /* For cut(). The parameters become a shift of so many channels. */
    void vanish(mskp_fate becomes, long long channels)
    {
        what = becomes;
        dynamic_cast<dlib::resizable_tensor &>(this->get_layer_params()).set_size(1, channels);
    }

    /* dlib asks which of these functions there are: those that LAYER has. */
    template <typename SUBNET, typename L = LAYER>
    auto forward(const SUBNET &sub, dlib::resizable_tensor &output)
        -> decltype(std::declval<L &>().forward(sub, output))
    {
        if (what == MSKP_FATE_STAYS) return LAYER::forward(sub, output);
        const dlib::tensor &in = sub.get_output(), &shift = this->get_layer_params();
        const pair size = size_of(own(), in, 0);
        output.set_size(in.num_samples(), shift.k(), size.first, size.second);
        if (what != MSKP_FATE_SHIFT) return;
        output = 0;
        dlib::tt::add(1, output, 1, shift);
    }
    template <typename SUBNET, typename L = LAYER>
    auto backward(const dlib::tensor &gradient, SUBNET &sub, dlib::tensor &params_gradient)
        -> decltype(std::declval<L &>().backward(gradient, sub, params_gradient))
    {
        if (what == MSKP_FATE_STAYS) LAYER::backward(gradient, sub, params_gradient);
        if (what == MSKP_FATE_SHIFT) dlib::tt::assign_conv_bias_gradient(params_gradient, gradient);
    }
    template <typename SUBNET, typename L = LAYER>
    auto backward(const dlib::tensor &output, const dlib::tensor &gradient, SUBNET &sub,
                  dlib::tensor &params_gradient)
        -> decltype(std::declval<L &>().backward(output, gradient, sub, params_gradient))
    {
        if (what == MSKP_FATE_STAYS) LAYER::backward(output, gradient, sub, params_gradient);
    }
    template <typename L = LAYER>
    auto forward_inplace(const dlib::tensor &in, dlib::tensor &output)
        -> decltype(std::declval<L &>().forward_inplace(in, output))
    {
        if (what == MSKP_FATE_STAYS) LAYER::forward_inplace(in, output);
    }
    template <typename L = LAYER, typename... ARGS>
    auto backward_inplace(ARGS &&...args)
        -> decltype(std::declval<L &>().backward_inplace(std::forward<ARGS>(args)...))
    {
        if (what == MSKP_FATE_STAYS) LAYER::backward_inplace(std::forward<ARGS>(args)...);
    }

    friend void serialize(const vanishing &layer, std::ostream &out)
    {
        using dlib::serialize;
        serialize("mskp_vanishing", out);
        serialize(static_cast<int>(layer.what), out);
        serialize(layer.own(), out);
    }
    friend void deserialize(vanishing &layer, std::istream &in)
    {
        using dlib::deserialize;
        std::string word;
        int fate = 0;
        deserialize(word, in);
        if (word != "mskp_vanishing")
            throw dlib::serialization_error("'" + word + "' found where vanishing<> was expected");
        deserialize(fate, in);
        deserialize(layer.own(), in);
        layer.what = static_cast<mskp_fate>(fate);
    }
    friend std::ostream &operator<<(std::ostream &out, const vanishing &layer)
    {
        static const char *const words[] = {"", " (vanished)", " (only its shift is left)"};
        return out << layer.own() << words[layer.what];
    }
    friend void to_xml(const vanishing &layer, std::ostream &out)
    {
        to_xml(layer.own(), out);
    }

  private:
    mskp_fate what = MSKP_FATE_STAYS;

    /* Rows and columns of the output, by those of the input. */
    using pair = std::pair<long long, long long>;
    template <typename L>
    static auto size_of(const L &l, const dlib::tensor &in, int) -> decltype(l.stride_y(), pair())
    {
        const auto after = [](long long length, long long window, long long stride, long long pad) {
            return window ? 1 + (length + 2 * pad - window) / stride : 1;
        };
        return {after(in.nr(), l.nr(), l.stride_y(), l.padding_y()),
                after(in.nc(), l.nc(), l.stride_x(), l.padding_x())};
    }
    template <typename L>
    static auto size_of(const L &l, const dlib::tensor &, int)
        -> decltype(l.get_num_outputs(), pair())
    {
        return {1, 1};
    }
    template <typename L> static pair size_of(const L &, const dlib::tensor &in, long)
    {
        return {in.nr(), in.nc()};
    }
};

/* ============================================================================================== */
/*                                          1. Describe                                           */
/* ============================================================================================== */

/* Goes through the layers from the input up. */
class describer
{
  public:
    explicit describer(wiring &wires, const dlib::tensor &example)
        : w(wires), g(wires.graph.get()), next(wires.layers.size())
    {
        see(example);
    }

    mskp_value last{}; /* what the layer below makes */

    template <typename INPUT> void operator()(size_t, INPUT &)
    {
        const size_t spatial[2] = {nr, nc};
        name = "input";
        arrive(mskp_input(g, "input", k, 2, spatial));
    }

    template <typename LAYER, typename SUBNET, typename E>
    void operator()(size_t i, dlib::add_layer<LAYER, SUBNET, E> &l)
    {
        /* The wrapper also gives outputs that the next layer has overwritten in place. */
        see(dlib::dimpl::subnet_wrapper<dlib::add_layer<LAYER, SUBNET, E>>(l).get_output());
        word = first_word(l.layer_details());
        name = std::to_string(i) + "." + word; /* the numbers of `cout << net` */
        layer = &w.layers[--next];
        layer->name = name;
        can_vanish = false;
        arrive(op(l.layer_details()));
        layer->made = last;
        /* Values are numbered in the order in which they are made. */
        for (uint32_t v; mskp_value_name(g, {v = static_cast<uint32_t>(w.ends.size()) + 1});)
            w.ends.push_back(can_vanish ? v : 0);
    }

    template <unsigned long ID, typename SUBNET, typename E>
    void operator()(size_t, dlib::add_tag_layer<ID, SUBNET, E> &)
    {
        tags[ID] = last;
    }

    template <template <typename> class TAG, typename SUBNET>
    void operator()(size_t, dlib::add_skip_layer<TAG, SUBNET> &)
    {
        last = tagged<TAG>();
    }

    template <typename LOSS, typename SUBNET>
    void operator()(size_t, dlib::add_loss_layer<LOSS, SUBNET> &)
    {
    }

  private:
    wiring &w;
    mskp_graph *g;
    size_t next;
    layer_wires *layer = nullptr;
    bool can_vanish = false; /* the layer can */
    std::string word, name;
    size_t k = 0, nr = 0, nc = 0;             /* of this layer's output, as dlib computed it */
    std::map<unsigned long, mskp_value> tags; /* the nearest of each number */
    std::vector<uint32_t> shifts;             /* values at one pixel, which belong to all */

    /* Of a layer that has vanished. It has no meaning for the library. */
    static constexpr uint32_t NOTHING = UINT32_MAX;

    struct size {
        size_t k, spatial[MSKP_MAX_SPATIAL];
    };

    /* As it is described. */
    size size_of(mskp_value value) const
    {
        size s{};
        const uint32_t axes = mskp_value_shape(g, value, &s.k, s.spatial);
        std::fill(s.spatial + axes, std::end(s.spatial), 1);
        return s;
    }

    template <template <typename> class TAG> mskp_value tagged() const
    {
        const unsigned long id = dlib::tag_id<TAG>::id; /* a reference to it would not link */
        return tags.at(id);
    }

    void see(const dlib::tensor &t)
    {
        k = static_cast<size_t>(t.k());
        nr = static_cast<size_t>(t.nr());
        nc = static_cast<size_t>(t.nc());
    }

    /* Checks that the description has the sizes that dlib computed. A value without an id
     * follows an earlier error, which mskp_graph_finish returns. */
    void arrive(mskp_value value)
    {
        const size made = size_of(value);
        if (value.id && value.id != NOTHING &&
            (made.k != k || made.spatial[0] != nr || made.spatial[1] != nc))
            throw error(name + ": dlib computes " + std::to_string(k) + " x " + std::to_string(nr) +
                        " x " + std::to_string(nc) + ", which is not what is described");
        last = value;
    }

    /* What the layer calls itself where dlib prints it. */
    template <typename LAYER> static std::string first_word(const LAYER &l)
    {
        std::stringstream text;
        std::string first;
        text << l;
        text >> first;
        return first.substr(0, MSKP_MAX_OP);
    }

    mskp_param declare(const char *what, const std::vector<size_t> &shape)
    {
        return mskp_parameter(g, (name + "." + what).c_str(), static_cast<uint32_t>(shape.size()),
                              shape.data());
    }

    mskp_param add_part(const char *what, const std::vector<size_t> &shape,
                        const uint32_t *order = nullptr)
    {
        layer->parts.push_back({declare(what, shape), order});
        return layer->parts.back().param;
    }

    template <typename LAYER> mskp_value op(const vanishing<LAYER> &l)
    {
        can_vanish = true;
        if (l.fate() == MSKP_FATE_STAYS) return op(l.own());
        if (l.fate() == MSKP_FATE_VANISHES) return {NOTHING};
        nr = nc = 1;
        const mskp_value shift = mskp_param_operand(g, name.c_str(), add_part("shift", {k}), 0,
                                                    MSKP_ROLE_SHIFT, 0, nullptr);
        shifts.push_back(shift.id);
        return shift;
    }

    template <long N, long NR, long NC, int SY, int SX, int PY, int PX>
    mskp_value op(const dlib::con_<N, NR, NC, SY, SX, PY, PX> &l)
    {
        const auto rows = static_cast<size_t>(l.nr()), columns = static_cast<size_t>(l.nc());
        mskp_conv_desc d{};
        d.weight = add_part("filters", {k, size_of(last).k, rows, columns});
        if (!l.bias_is_disabled()) d.bias = add_part("biases", {k});
        d.stride[0] = SY, d.stride[1] = SX;
        d.pad_before[0] = d.pad_after[0] = static_cast<size_t>(l.padding_y());
        d.pad_before[1] = d.pad_after[1] = static_cast<size_t>(l.padding_x());
        return mskp_conv(g, name.c_str(), last, &d);
    }

    /* dlib's weights are [in][out], and the input is flattened on the way. */
    template <unsigned long N, dlib::fc_bias_mode MODE> mskp_value op(const dlib::fc_<N, MODE> &l)
    {
        static const uint32_t in_out[2] = {1, 0};
        const mskp_value flat = mskp_flatten(g, nullptr, last, 0);
        const mskp_param weights = add_part("weights", {k, size_of(flat).k}, in_out);
        const bool bias = MODE == dlib::FC_HAS_BIAS && !l.bias_is_disabled();
        return mskp_linear(g, name.c_str(), flat, weights,
                           bias ? add_part("biases", {k}) : mskp_param{});
    }

    template <dlib::layer_mode MODE> mskp_value op(const dlib::bn_<MODE> &l)
    {
        mskp_norm_desc d{};
        if (MODE == dlib::FC_MODE && nr * nc > 1) return unknown(); /* a gamma for each pixel */
        d.epsilon = l.get_eps();
        d.scale = add_part("gamma", {k});
        d.shift = add_part("beta", {k});
        d.mean = layer->mean = declare("mean", {k});
        d.variance = layer->variance = declare("variance", {k});
        return mskp_norm(g, name.c_str(), last, &d);
    }

    /* dlib averages over the part of a window that lies in the image. */
    template <long NR, long NC, int SY, int SX, int PY, int PX>
    mskp_value op(const dlib::max_pool_<NR, NC, SY, SX, PY, PX> &)
    {
        return resized(name.c_str(), MSKP_POOL_MAX, last, true);
    }
    template <long NR, long NC, int SY, int SX, int PY, int PX>
    mskp_value op(const dlib::avg_pool_<NR, NC, SY, SX, PY, PX> &)
    {
        return resized(name.c_str(), MSKP_POOL_AVERAGE, last, true);
    }

    /* add_prev adds values of different sizes, and takes what one of them lacks to be 0: channels
     * after its own, rows and columns beyond its own. That stays true after surgery, because the
     * channels keep their order. */
    template <template <typename> class TAG> mskp_value op(const dlib::add_prev_<TAG> &)
    {
        can_vanish = true;
        if (last.id == NOTHING) return tagged<TAG>();
        if (tagged<TAG>().id == NOTHING) return last;
        const mskp_value both[2] = {padded(last), padded(tagged<TAG>())};
        return mskp_combine(g, name.c_str(), MSKP_COMBINE_ADD, 2, both);
    }

    /* One slope for all channels. */
    mskp_value op(const dlib::prelu_ &)
    {
        return mskp_prelu(g, name.c_str(), last, add_part("slope", {1}));
    }

    /* Functions of each element by itself. */
    mskp_value function(mskp_activation_kind kind, double parameter = 0,
                        double (*custom)(double, const double *) = nullptr)
    {
        mskp_activation_desc d{};
        d.kind = kind, d.function = custom, d.parameters[0] = parameter;
        return mskp_activation(g, name.c_str(), last, &d);
    }
    mskp_value op(const dlib::relu_ &)
    {
        return function(MSKP_ACTIVATION_RELU);
    }
    mskp_value op(const dlib::leaky_relu_ &l)
    {
        const auto slope = static_cast<double>(l.get_alpha()); /* 0 would mean 0.01 */
        return slope != 0 ? function(MSKP_ACTIVATION_LEAKY_RELU, slope)
                          : function(MSKP_ACTIVATION_RELU);
    }
    mskp_value op(const dlib::clipped_relu_ &l)
    {
        return function(MSKP_ACTIVATION_CUSTOM, static_cast<double>(l.get_ceiling()),
                        [](double x, const double *p) { return x < 0      ? 0
                                                               : x < p[0] ? x
                                                                          : p[0]; });
    }
    mskp_value op(const dlib::elu_ &l)
    {
        return function(MSKP_ACTIVATION_CUSTOM, static_cast<double>(l.get_alpha()),
                        [](double x, const double *p) { return x > 0 ? x : p[0] * std::expm1(x); });
    }
    mskp_value op(const dlib::gelu_ &)
    {
        return function(MSKP_ACTIVATION_GELU);
    }
    mskp_value op(const dlib::silu_ &)
    {
        return function(MSKP_ACTIVATION_SILU);
    }
    mskp_value op(const dlib::sig_ &)
    {
        return function(MSKP_ACTIVATION_SIGMOID);
    }
    mskp_value op(const dlib::htan_ &)
    {
        return function(MSKP_ACTIVATION_TANH);
    }
    mskp_value op(const dlib::mish_ &)
    {
        return function(MSKP_ACTIVATION_CUSTOM, 0, [](double x, const double *) {
            return x * std::tanh(std::log1p(std::exp(x)));
        });
    }
    mskp_value op(const dlib::smelu_ &l)
    {
        return function(MSKP_ACTIVATION_CUSTOM, static_cast<double>(l.get_beta()),
                        [](double x, const double *p) {
                            if (x >= p[0]) return x;
                            return x <= -p[0] ? 0 : (x + p[0]) * (x + p[0]) / (4 * p[0]);
                        });
    }
    mskp_value op(const dlib::multiply_ &l)
    {
        return function(MSKP_ACTIVATION_MULTIPLY, static_cast<double>(l.get_multiply_value()));
    }
    /* dlib drops numbers in inference, too, so no constant but 0 stays constant. */
    mskp_value op(const dlib::dropout_ &)
    {
        return function(MSKP_ACTIVATION_CUSTOM, 0,
                        [](double x, const double *) { return x != 0 ? std::nan("") : 0; });
    }

    template <typename LAYER> mskp_value op(const LAYER &)
    {
        return unknown();
    }

    /* A layer that the bridge does not know. It may read any tag, so everything that it could
     * read is pinned. */
    mskp_value unknown()
    {
        const size_t spatial[2] = {nr, nc};
        std::vector<mskp_value> read{last};
        for (const auto &tag : tags) read.push_back(tag.second);
        mskp_opaque_desc d{};
        d.op = word.c_str();
        d.n = read.size(), d.inputs = read.data();
        d.channels = k, d.nspatial = 2, d.spatial = spatial;
        return mskp_opaque(g, name.c_str(), &d);
    }

    /* An operator on each channel by itself. Its description needs only the size of the result. */
    mskp_value resized(const char *as, mskp_pool_kind kind, mskp_value value, bool keeps_constants)
    {
        mskp_pool_desc d{};
        d.kind = kind;
        d.spatial[0] = nr, d.spatial[1] = nc;
        d.keeps_constants = keeps_constants;
        return mskp_pool(g, as, value, &d);
    }

    mskp_value padded(mskp_value v)
    {
        const size s = size_of(v);
        if (std::count(shifts.begin(), shifts.end(), v.id)) return v;
        if (s.k < k) v = mskp_pad_channels(g, nullptr, v, 0, k - s.k);
        const bool smaller = s.spatial[0] < nr || s.spatial[1] < nc;
        return smaller ? resized(nullptr, MSKP_POOL_RESIZE, v, false) : v; /* the rest is 0 */
    }
};

/* example: one input. It goes through the network, because dlib makes parameters in the first
 * pass. A single input changes no statistics: dlib takes it for inference. */
template <typename NET> wiring describe(NET &net, const typename NET::input_type &example)
{
    wiring w{mskp::graph_handle(mskp_graph_create(nullptr)), {}, {}};
    mskp_error err;
    dlib::resizable_tensor x;
    if (!w.graph) throw std::bad_alloc();
    net.to_tensor(&example, &example + 1, x);
    net.forward(x);
    w.layers.resize(NET::num_computational_layers);
    describer d(w, x);
    dlib::visit_layers_backwards(net, [&](size_t i, auto &l) { d(i, l); });
    mskp_output(w.graph.get(), d.last);
    check(mskp_graph_finish(w.graph.get(), &err), err);
    w.locate(net);
    return w;
}

/* ============================================================================================== */
/*                                            2. Sets                                             */
/* ============================================================================================== */

/* s <- views of a layer's parts in a tensor that is laid out like the layer's parameters: these,
 * their gradient or their momentum. An empty tensor has no parts yet, or they have vanished. */
inline void place(const wiring &w, const layer_wires &layer, size_t elements, float *data, set &s)
{
    mskp_error err;
    size_t used = 0;
    if (layer.parts.empty() || elements == 0) return;
    for (const part &p : layer.parts) {
        mskp_tensor &view = s.of(p.param);
        check(
            mskp_param_view(w.graph.get(), p.param, p.order, nullptr, MSKP_DTYPE_F32, &view, &err),
            err);
        if (view.elements && view.elements <= elements - used) view.data = data + used;
        used += view.elements;
        if (used > elements) break;
    }
    if (used != elements)
        throw error(layer.name + ": dlib has " + std::to_string(elements) +
                    " numbers, the description has other numbers");
}

inline void place(const wiring &w, const layer_wires &layer, dlib::tensor &t, set &s)
{
    place(w, layer, t.size(), t.host(), s);
}

/* All parameters, without the running statistics; see all_values. */
template <typename NET> set values(const wiring &w, NET &net)
{
    set s(w.params());
    dlib::visit_layer_parameters(net,
                                 [&](size_t c, dlib::tensor &t) { place(w, w.layers[c], t, s); });
    return s;
}

template <typename NET> set gradients(const wiring &w, NET &net)
{
    set s(w.params());
    dlib::visit_layer_parameter_gradients(
        net, [&](size_t c, dlib::tensor &t) { place(w, w.layers[c], t, s); });
    return s;
}

/* ============================================================================================== */
/*                                           3. Penalty                                           */
/* ============================================================================================== */

/* What the solvers of a network share. */
struct penalty {
    const wiring *wires;
    std::vector<uint8_t> keep;
    double strength; /* 0: off */
    uint32_t roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT;
    double seconds = 0;              /* spent here */
    set of_values{}, of_gradients{}; /* work space, empty between calls */

    const layer_wires &layer_of(const dlib::tensor &weights) const
    {
        const auto layer = std::find_if(wires->layers.begin(), wires->layers.end(),
                                        [&](const layer_wires &l) { return l.tensor == &weights; });
        if (layer == wires->layers.end())
            throw error(
                "the network or its wiring was moved after it was described: call locate(net)");
        return *layer;
    }

    /* Does the layer have parts with these roles? */
    bool reaches(const layer_wires &layer) const
    {
        return std::any_of(layer.parts.begin(), layer.parts.end(), [&](const part &p) {
            return (mskp_param_roles(wires->graph.get(), p.param) & roles) != 0;
        });
    }

    /* gradient += the gradient of the penalty, for this layer. */
    void add(const layer_wires &layer, const dlib::tensor &weights, dlib::tensor &gradient)
    {
        mskp_penalty how{};
        mskp_error err;
        how.roles = roles;
        how.skip_missing = 1; /* all layers but this one */
        of_values.resize(wires->params());
        of_gradients.resize(wires->params());
        place(*wires, layer, weights.size(), const_cast<float *>(weights.host()), of_values);
        place(*wires, layer, gradient, of_gradients);
        const mskp_status status = mskp_penalty_gradient(
            wires->graph.get(), mskp::mask_of(keep), &how, strength, of_values, of_gradients, &err);
        for (const part &p : layer.parts) of_values.of(p.param) = of_gradients.of(p.param) = {};
        check(status, err);
    }
};

/* A solver of dlib's that gets gradients to which the penalty was added. cut() can cut the
 * momentum of dlib::sgd only. */
template <typename SOLVER> class masked
{
  public:
    masked() = default;
    masked(const SOLVER &own, penalty *shared = nullptr) : solver(own), term(shared)
    {
    }

    SOLVER solver;

    template <typename LAYER>
    const dlib::tensor &operator()(float rate, const LAYER &l, const dlib::tensor &gradient)
    {
        if (!term || term->strength == 0) return step(rate, l, gradient);
        const layer_wires &layer = term->layer_of(l.get_layer_params());
        if (!term->reaches(layer)) return step(rate, l, gradient);
        const auto start = std::chrono::steady_clock::now();
        sum = gradient; /* which the solver does not own */
        term->add(layer, l.get_layer_params(), sum);
        term->seconds +=
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        return step(rate, l, sum);
    }

    /* As dnn_trainer asks of its solvers. */
    friend void serialize(const masked &m, std::ostream &out)
    {
        serialize(m.solver, out);
    }
    friend void deserialize(masked &m, std::istream &in)
    {
        deserialize(m.solver, in);
    }
    friend std::ostream &operator<<(std::ostream &out, const masked &m)
    {
        return out << "masked " << m.solver;
    }

  private:
    penalty *term = nullptr;
    dlib::resizable_tensor sum;

    /* dlib's solvers know layers by their types. */
    template <typename LAYER>
    const dlib::tensor &step(float rate, const LAYER &l, const dlib::tensor &gradient)
    {
        return solver(rate, l, gradient);
    }
    template <typename LAYER>
    const dlib::tensor &step(float rate, const vanishing<LAYER> &l, const dlib::tensor &gradient)
    {
        if (l.fate() == MSKP_FATE_STAYS) return solver(rate, l.own(), gradient);
        return solver(rate, bias_alone<LAYER>{l.own()}, gradient);
    }

    /* A layer that is nothing but a bias. */
    template <typename LAYER> struct bias_alone {
        const LAYER &of;
        const dlib::tensor &get_layer_params() const
        {
            return of.get_layer_params();
        }
        double get_learning_rate_multiplier() const
        {
            return dlib::get_learning_rate_multiplier(of) *
                   dlib::get_bias_learning_rate_multiplier(of);
        }
        double get_weight_decay_multiplier() const
        {
            return dlib::get_weight_decay_multiplier(of) *
                   dlib::get_bias_weight_decay_multiplier(of);
        }
    };
};

/* ============================================================================================== */
/*                                           4. Surgery                                           */
/* ============================================================================================== */

/* Private members of dlib's classes, reached by serialization: the first fields by name, the
 * rest as bytes. */
struct norm_state {
    std::string version, rest;
    dlib::resizable_tensor params, means, invstds, running_means, running_variances;
    dlib::alias_tensor gamma, beta;

    bool is_known() const
    {
        return version == "bn_con2" || version == "bn_fc2";
    }
    template <typename F> void fields(F &&f)
    {
        f(params), f(gamma), f(beta), f(means), f(invstds), f(running_means), f(running_variances);
    }
};

struct sgd_state {
    std::string version, rest;
    dlib::resizable_tensor momentum;

    bool is_known() const
    {
        return version == "sgd2";
    }
    template <typename F> void fields(F &&f)
    {
        f(momentum);
    }
};

template <typename STATE, typename T> STATE unpack(const T &from)
{
    using dlib::deserialize;
    std::stringstream io;
    STATE s;
    serialize(from, io);
    deserialize(s.version, io);
    if (!s.is_known())
        throw error("cut knows batch norms and the momentum of dlib::sgd as dlib 19.24 "
                    "writes them (bn_con2, bn_fc2, sgd2), not '" +
                    s.version + "'");
    s.fields([&](auto &field) { deserialize(field, io); });
    s.rest.assign(std::istreambuf_iterator<char>(io), {});
    return s;
}

template <typename STATE, typename T> void pack(STATE &s, T &to)
{
    using dlib::serialize;
    std::stringstream io;
    serialize(s.version, io);
    s.fields([&](const auto &field) { serialize(field, io); });
    io << s.rest;
    deserialize(to, io);
}

/* All values of a network, with the running statistics. These are copies until pack_up. */
template <typename NET> class all_values
{
  public:
    set views;

    all_values(const wiring &w, NET &net) : views(w.params()), norms(NET::num_computational_layers)
    {
        size_t c = 0;
        dlib::visit_computational_layers(net, [&](auto &l) { see(w, c++, l); });
    }

    void pack_up(NET &net)
    {
        size_t c = 0;
        dlib::visit_computational_layers(net, [&](auto &l) { pack_one(c++, l); });
    }

  private:
    std::vector<norm_state> norms;

    template <typename LAYER> void see(const wiring &w, size_t c, LAYER &l)
    {
        if (!w.layers[c].parts.empty()) place(w, w.layers[c], l.get_layer_params(), views);
    }
    template <typename LAYER> void see(const wiring &w, size_t c, vanishing<LAYER> &l)
    {
        if (l.fate() == MSKP_FATE_STAYS) return see(w, c, l.own());
        if (!w.layers[c].parts.empty()) place(w, w.layers[c], l.get_layer_params(), views);
    }
    template <dlib::layer_mode MODE> void see(const wiring &w, size_t c, dlib::bn_<MODE> &l)
    {
        const layer_wires &layer = w.layers[c];
        if (layer.parts.empty()) return;
        norm_state &s = norms[c] = unpack<norm_state>(l);
        place(w, layer, s.params, views);
        views.of(layer.mean).data = s.running_means.host();
        views.of(layer.mean).elements = s.running_means.size();
        views.of(layer.variance).data = s.running_variances.host();
        views.of(layer.variance).elements = s.running_variances.size();
    }

    template <typename LAYER> void pack_one(size_t, LAYER &)
    {
    }
    template <typename LAYER> void pack_one(size_t c, vanishing<LAYER> &l)
    {
        pack_one(c, l.own());
    }
    template <dlib::layer_mode MODE> void pack_one(size_t c, dlib::bn_<MODE> &l)
    {
        if (!norms[c].version.empty()) pack(norms[c], l);
    }
};

/* Copies of the momentum of a network's solvers, until pack_up. They have the shape of the
 * network's parameters, also where that is not the momentum's. */
template <typename SOLVER> class all_momentum
{
  public:
    set views;

    template <typename NET>
    all_momentum(const wiring &w, NET &net, const std::vector<masked<SOLVER>> &solvers)
        : views(w.params()), states(solvers.size())
    {
        dlib::visit_layer_parameters(net, [&](size_t c, dlib::tensor &params) {
            if (w.layers[c].parts.empty()) return;
            dlib::resizable_tensor &m = (states[c] = unpack<sgd_state>(solvers[c].solver)).momentum;
            if (m.size() != 0) m.copy_size(params);
            place(w, w.layers[c], m, views);
        });
    }

    void pack_up(std::vector<masked<SOLVER>> &solvers)
    {
        for (size_t c = 0; c < states.size(); c++)
            if (!states[c].version.empty()) pack(states[c], solvers[c].solver);
    }

  private:
    std::vector<sgd_state> states;
};

/* Gives a copy of the network the widths of the network after surgery. The copy keeps all
 * settings of its layers: learning rates, weight decay, biases off, window and count of
 * statistics. */
class narrower
{
  public:
    narrower(const wiring &small, const mskp_plan *how) : w(small), plan(how)
    {
    }

    template <typename LAYER> void operator()(LAYER &l)
    {
        const layer_wires &layer = w.layers[next++];
        if (layer.parts.empty()) return;
        size_t shape[MSKP_MAX_DIMS] = {0, 1, 1, 1};
        mskp_param_shape(w.graph.get(), layer.parts[0].param, shape);
        resize(l, shape);
    }
    template <typename LAYER> void operator()(vanishing<LAYER> &l)
    {
        const layer_wires &layer = w.layers[next];
        mskp_fate fate = mskp_plan_fate(plan, layer.made);
        if (fate == MSKP_FATE_STAYS) fate = l.fate(); /* as earlier cuts left it */
        if (fate == MSKP_FATE_STAYS) return (*this)(l.own());
        size_t shape[MSKP_MAX_DIMS] = {0};
        if (fate == MSKP_FATE_SHIFT)
            mskp_param_shape(w.graph.get(), layer.parts.back().param, shape);
        empty(l.own());
        l.vanish(fate, static_cast<long long>(shape[0]));
        next++;
    }

  private:
    const wiring &w;
    const mskp_plan *plan;
    size_t next = 0;

    /* All that a layer's setup asks of the layer below. */
    struct below {
        dlib::resizable_tensor output;
        explicit below(const size_t *shape)
        {
            output.set_size(1, static_cast<long long>(shape[1]), static_cast<long long>(shape[2]),
                            static_cast<long long>(shape[3]));
        }
        const dlib::tensor &get_output() const
        {
            return output;
        }
    };

    /* A width can be set only while there are no parameters. */
    template <typename LAYER> static void drop_params(LAYER &l)
    {
        dynamic_cast<dlib::resizable_tensor &>(l.get_layer_params()).clear();
    }

    template <long N, long NR, long NC, int SY, int SX, int PY, int PX>
    static void resize(dlib::con_<N, NR, NC, SY, SX, PY, PX> &l, const size_t *shape)
    {
        drop_params(l);
        l.set_num_filters(static_cast<long>(shape[0]));
        l.setup(below(shape));
    }
    template <unsigned long N, dlib::fc_bias_mode MODE>
    static void resize(dlib::fc_<N, MODE> &l, const size_t *shape)
    {
        drop_params(l);
        l.set_num_outputs(static_cast<long>(shape[0]));
        l.setup(below(shape));
    }
    template <dlib::layer_mode MODE> static void resize(dlib::bn_<MODE> &l, const size_t *shape)
    {
        const auto n = static_cast<long long>(shape[0]);
        norm_state s = unpack<norm_state>(l);
        s.params.set_size(2 * n);
        s.gamma = s.beta = dlib::alias_tensor(1, n);
        s.running_means.set_size(1, n);
        s.running_variances.set_size(1, n);
        /* Of the last batch; dlib insists on their size before it computes them anew. */
        s.means.set_size(1, n);
        s.invstds.set_size(1, n);
        s.means = 0;
        s.invstds = 0;
        pack(s, l);
    }
    template <typename LAYER> static void empty(LAYER &l)
    {
        drop_params(l);
    }
    template <dlib::layer_mode MODE> static void empty(dlib::bn_<MODE> &l)
    {
        const size_t none[1] = {0};
        resize(l, none);
    }
    template <typename LAYER> static void resize(LAYER &, const size_t *)
    {
    }
};

/* Which units stay within the rule, with the carriers of constants counted. selection, which may be
 * nullptr, receives the number of removed units and the cost. */
template <typename NET>
std::vector<uint8_t> select(const wiring &w, NET &net, const mskp_rule &rule,
                            const mskp_scoring &scoring = {}, mskp_selection *selection = nullptr,
                            const mskp_constants_desc &constants = mskp_bridge_constants())
{
    mskp_error err;
    std::vector<uint8_t> keep(mskp_graph_counts(w.graph.get()).units);
    const all_values<NET> values(w, net);
    check(mskp_bridge_select(w.graph.get(), &scoring, &rule, &constants, values.views,
                             mskp::mask_of(keep), selection, &err),
          err);
    if (rule.empty_branches)
        mskp::surgery(w.graph.get(), keep, constants, values.views, w.branches());
    return keep;
}

/* What all cuts do. make(values) plans the surgery. */
template <typename NET, typename SOLVER, typename MAKE>
mskp_constants_report carry_out(wiring &w, NET &net, std::vector<masked<SOLVER>> &solvers,
                                MAKE make)
{
    if (solvers.size() != NET::num_computational_layers)
        throw error(std::to_string(solvers.size()) + " solvers for " +
                    std::to_string(NET::num_computational_layers) + " layers");
    NET full_net = net, small_net = net;
    all_values<NET> full(w, full_net);
    const all_momentum<SOLVER> full_momentum(w, full_net, solvers);
    mskp::surgery surgery = make(full.views);
    wiring small{surgery.take_small(), w.layers, w.ends};
    std::vector<masked<SOLVER>> small_solvers = solvers;
    small_net.clean(); /* outputs and gradients of the old widths */
    dlib::visit_computational_layers(small_net, narrower(small, surgery.plan()));
    all_values<NET> values(small, small_net);
    all_momentum<SOLVER> momentum(small, small_net, small_solvers);
    surgery.cut({{full.views, values.views}, {full_momentum.views, momentum.views}});
    values.pack_up(small_net);
    momentum.pack_up(small_solvers);
    w.earlier.reserve(w.earlier.size() + 1);
    net = std::move(small_net);
    solvers.swap(small_solvers);
    small.earlier.swap(w.earlier);
    small.earlier.push_back(std::move(w.graph));
    w = std::move(small);
    w.locate(net);
    return surgery.report();
}

/*
 * Moves the constants of removed channels, cuts the network and the momentum of its solvers, and
 * replaces w by the description of the smaller network, whose units are those that were kept. What
 * belongs to weights that constants replaced is cleared in the momentum. Returns what became of the
 * constants. All work is done on copies, so a failure leaves the network as it was.
 */
template <typename NET, typename SOLVER>
mskp_constants_report cut(wiring &w, NET &net, std::vector<masked<SOLVER>> &solvers,
                          const std::vector<uint8_t> &keep,
                          const mskp_constants_desc &constants = mskp_bridge_constants())
{
    return carry_out(w, net, solvers, [&](const set &values) {
        return mskp::surgery(w.graph.get(), keep, constants, values, w.branches());
    });
}

/* The same by the plan and the constants of mskp_pruner_prepare, for a pruner of w.graph. Values
 * with running statistics are in all_values. Afterwards call mskp_pruner_cut_done. */
template <typename NET, typename SOLVER>
mskp_constants_report cut(wiring &w, NET &net, std::vector<masked<SOLVER>> &solvers,
                          mskp_plan *plan, const mskp_constants *constants)
{
    return carry_out(w, net, solvers, [&](const set &) {
        return mskp::surgery(w.graph.get(), plan, constants, w.branches());
    });
}

/* The same with these two calls. */
template <typename NET, typename SOLVER>
mskp_constants_report cut(wiring &w, NET &net, std::vector<masked<SOLVER>> &solvers, mskp_pruner *p)
{
    mskp_error err;
    const mskp_constants_report report = carry_out(w, net, solvers, [&](const set &values) {
        mskp_plan *plan = nullptr;
        const mskp_constants *constants = nullptr;
        check(mskp_pruner_prepare(p, values, &plan, &constants, &err), err);
        return mskp::surgery(w.graph.get(), plan, constants, w.branches());
    });
    check(mskp_pruner_cut_done(p, &err), err);
    return report;
}

} // namespace mskp_dlib

#endif
