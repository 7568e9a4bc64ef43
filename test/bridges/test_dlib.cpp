/*
 * The bridge to dlib: networks describe themselves, the penalty reaches the solver, surgery leaves
 * the outputs as they are, and dlib reads its own files.
 */
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <unistd.h>

#include "bridges/laws.h"
#include "mskp_dlib.hpp"
#include "network.hpp"

/* Last: its macro `fail` is a name of the standard library's. */
#include <check.h>

using namespace mskp_dlib;
using mskp::mask_of;
using solver = masked<dlib::sgd>;

namespace
{

const double RATE = 0.05, STRENGTH = 0.01;
const float DECAY = 1e-3F, MOMENTUM = 0.9F;
const uint32_t ROLES = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT;
/* Sums of at most 576 products in another order; the networks are 8 layers deep. */
const double ROUNDING = 1e-5;
const long long BATCH = 6;

/* ---- networks ---- */

const long SIDE = 16;

/* What network.hpp does not have: shapes that add_prev must pad (5 x 5 and 4 x 4), a group of
 * layers that is repeated, hidden fully connected layers, and a flattened image. */
template <typename SUBNET> using again = dlib::relu<dlib::bn_con<dlib::con<6, 3, 3, 1, 1, SUBNET>>>;
template <typename SUBNET>
using wide = dlib::relu<dlib::add_prev2<dlib::avg_pool<
    2, 2, 2, 2,
    dlib::skip1<dlib::tag2<dlib::bn_con<dlib::con<10, 3, 3, 2, 2, dlib::tag1<SUBNET>>>>>>>>;
template <typename SUBNET>
using head = dlib::fc<5, dlib::sig<dlib::bn_fc<dlib::fc<12, dlib::max_pool<2, 2, 2, 2, SUBNET>>>>>;
using odd_net = dlib::loss_multiclass_log<head<
    wide<dlib::repeat<2, again, dlib::prelu<dlib::con<6, 3, 3, 1, 1, dlib::input<picture>>>>>>>;

/* Functions of each element, an average that reaches over the border, and a bias before a
 * function. */
template <template <typename> class F, typename SUBNET>
using through = F<dlib::bn_con<dlib::con<7, 3, 3, 1, 1, SUBNET>>>;
using functions_net = dlib::loss_multiclass_log<dlib::fc<
    5,
    dlib::add_layer<
        dlib::avg_pool_<3, 3, 2, 2, 1, 1>,
        through<
            dlib::mish,
            through<dlib::smelu,
                    through<dlib::clipped_relu,
                            through<dlib::elu,
                                    through<dlib::gelu,
                                            through<dlib::silu,
                                                    through<dlib::htan,
                                                            through<dlib::leaky_relu,
                                                                    dlib::sig<dlib::con<
                                                                        6, 3, 3, 2, 2,
                                                                        dlib::input<
                                                                            picture>>>>>>>>>>>>>>;

/* mult_prev is not known to the bridge. */
using opaque_net = dlib::loss_multiclass_log<dlib::fc<
    5, dlib::avg_pool_everything<dlib::relu<dlib::bn_con<dlib::con<
           8, 3, 3, 1, 1, dlib::mult_prev3<again<dlib::tag3<again<dlib::input<picture>>>>>>>>>>>;

/* Residual branches that can vanish: they end in a norm, or in a bias; one lies within another, and
 * two are of vectors. SIZE is that of the windows. */
template <long SIZE, long N, typename SUBNET>
using window =
    dlib::add_layer<vanishing<dlib::con_<N, SIZE, SIZE, 1, 1, SIZE / 2, SIZE / 2>>, SUBNET>;
template <unsigned long N, typename SUBNET>
using vector = dlib::add_layer<vanishing<dlib::fc_<N, dlib::FC_HAS_BIAS>>, SUBNET>;
template <typename SUBNET>
using vector_norm = dlib::add_layer<vanishing<dlib::bn_<dlib::FC_MODE>>, SUBNET>;
template <typename SUBNET, typename... FUNCTIONS> struct functions {
    using type = SUBNET;
};
template <typename SUBNET, typename F, typename... FUNCTIONS>
struct functions<SUBNET, F, FUNCTIONS...> {
    using type = dlib::add_layer<vanishing<F>, typename functions<SUBNET, FUNCTIONS...>::type>;
};
/* Of each element; 0 for 0. */
template <typename SUBNET>
using many_functions =
    typename functions<SUBNET, dlib::mish_, dlib::gelu_, dlib::silu_, dlib::htan_,
                       dlib::leaky_relu_, dlib::elu_, dlib::clipped_relu_, dlib::multiply_>::type;
template <typename SUBNET>
using smaller = dlib::add_layer<vanishing<dlib::max_pool_<2, 2, 2, 2>>, SUBNET>;

template <long SIZE, typename SUBNET>
using in_norm = dlib::relu<
    dlib::add_prev1<norm<window<SIZE, 6, relu<norm<window<SIZE, 8, dlib::tag1<SUBNET>>>>>>>>;
template <long SIZE, typename SUBNET>
using in_bias = dlib::relu<
    dlib::add_prev2<window<SIZE, 6, many_functions<window<SIZE, 7, dlib::tag2<SUBNET>>>>>>;
template <long SIZE, typename SUBNET>
using within = relu<dlib::add_prev3<norm<window<SIZE, 5, dlib::tag3<window<SIZE, 5, SUBNET>>>>>>;
template <long SIZE, typename SUBNET>
using nested = dlib::relu<dlib::add_prev4<norm<window<SIZE, 6, within<SIZE, dlib::tag4<SUBNET>>>>>>;
template <typename SUBNET>
using halved = dlib::relu<dlib::add_prev8<dlib::max_pool<
    2, 2, 2, 2,
    dlib::skip7<dlib::tag8<norm<window<1, 6, smaller<relu<window<1, 7, dlib::tag7<SUBNET>>>>>>>>>>>;
template <typename SUBNET>
using of_vectors = dlib::relu<dlib::add_prev6<vector_norm<
    vector<6, relu<vector<4, dlib::tag6<dlib::relu<dlib::add_prev5<
                                 vector<6, many_functions<vector<5, dlib::tag5<SUBNET>>>>>>>>>>>>>;
template <long SIZE>
using branches_net = dlib::loss_multiclass_log<dlib::fc<
    5,
    of_vectors<dlib::avg_pool_everything<nested<
        SIZE, halved<in_bias<SIZE, in_norm<SIZE, dlib::relu<dlib::con<
                                                     6, 3, 3, 1, 1, dlib::input<picture>>>>>>>>>>>;

/* One branch, of dlib's own layers and of others. */
template <template <typename> class RELU, template <typename> class NORM, typename FIRST,
          typename SECOND>
using one_branch = dlib::loss_multiclass_log<dlib::fc<
    5, dlib::relu<dlib::add_prev1<NORM<dlib::add_layer<
           SECOND, RELU<dlib::add_layer<
                       FIRST, dlib::tag1<dlib::con<6, 3, 3, 1, 1, dlib::input<picture>>>>>>>>>>>;
using first = dlib::con_<7, 3, 3, 1, 1, 1, 1>;
using second = dlib::con_<6, 3, 3, 1, 1, 1, 1>;
using plain_net = one_branch<dlib::relu, dlib::bn_con, first, second>;
using without_relu = one_branch<dlib::relu, norm, vanishing<first>, vanishing<second>>;
using without_norm = one_branch<relu, dlib::bn_con, vanishing<first>, vanishing<second>>;
using whole_net = one_branch<relu, norm, vanishing<first>, vanishing<second>>;

picture example(long side = SIDE)
{
    picture p;
    for (auto &plane : p) plane = dlib::zeros_matrix<float>(side, side);
    return p;
}

dlib::resizable_tensor images(unsigned seed, long long n, long side = SIDE)
{
    std::mt19937 random(seed);
    std::normal_distribution<float> normal;
    dlib::resizable_tensor x(n, 3, side, side);
    for (size_t i = 0; i < x.size(); i++) x.host()[i] = normal(random);
    return x;
}

const std::vector<unsigned long> LABELS{0, 1, 2, 3, 4, 0};

/* Values as they are, without roles that count as 0. */
mskp_constants_desc way(mskp_constants_way which)
{
    mskp_constants_desc desc{};
    desc.way = which;
    return desc;
}

/* A network that was trained a little, and has no two channels alike. */
template <typename NET> struct lab {
    NET net;
    wiring wires;
    penalty term{&wires, {}, 0};
    std::vector<solver> solvers;
    long side;

    explicit lab(unsigned seed, bool biases = true, long image_side = SIDE) : side(image_side)
    {
        std::srand(seed);
        if (!biases) disable_biases(net);
        begin();
        solvers.assign(NET::num_computational_layers, solver(dlib::sgd(DECAY, MOMENTUM), &term));
        std::mt19937 random(seed);
        std::uniform_real_distribution<float> gamma(0.5F, 1.5F), shift(-0.5F, 0.5F);
        spread(MSKP_ROLE_SCALE, [&] { return gamma(random); });
        spread(MSKP_ROLE_SHIFT, [&] { return shift(random); });
        for (unsigned i = 0; i < 3; i++) step(seed + i);
    }
    lab(const lab &other) : net(other.net), solvers(other.solvers), side(other.side)
    {
        begin();
        term.keep = other.term.keep;
        for (size_t c = 0; c < solvers.size(); c++) solvers[c] = {other.solvers[c].solver, &term};
    }
    lab &operator=(const lab &) = delete;

    void begin()
    {
        wires = describe(net, example(side));
        term.keep.assign(mskp_graph_counts(graph()).units, 1);
    }
    mskp_graph *graph() const
    {
        return wires.graph.get();
    }
    double step(unsigned seed)
    {
        const double loss =
            net.compute_parameter_gradients(images(seed, BATCH, side), LABELS.begin());
        net.update_parameters(solvers, RATE);
        return loss;
    }
    template <typename F> void spread(uint32_t role, F &&draw)
    {
        const set s = values(wires, net);
        for (uint32_t id = 1; id <= wires.params(); id++) {
            uint32_t roles;
            size_t n;
            if (!mskp_param_units(graph(), {id}, 0, &roles, &n) || roles != role) continue;
            for (size_t i = 0; i < n; i++) static_cast<float *>(s.of({id}).data)[i] = draw();
        }
    }
    void remove(double part, uint64_t seed)
    {
        law_random_mask(graph(), part, seed, mask_of(term.keep));
    }
    void make_constant(uint64_t seed)
    {
        all_values<NET> all(wires, net);
        law_make_constant(graph(), mask_of(term.keep), seed, all.views);
        all.pack_up(net);
    }
    mskp_constants_report cut_it(const mskp_constants_desc &constants)
    {
        return cut(wires, net, solvers, term.keep, constants);
    }
    void cut_it() /* surgery alone */
    {
        cut_it(way(MSKP_CONSTANTS_DROP));
    }
    /* One by one, so that dlib's batch norm uses its running statistics. */
    std::vector<float> outputs(unsigned seed)
    {
        std::vector<float> all;
        const dlib::resizable_tensor x = images(seed, BATCH, side);
        dlib::resizable_tensor one(1, 3, side, side);
        for (size_t i = 0; i < static_cast<size_t>(BATCH); i++) {
            std::memcpy(one.host(), x.host() + i * one.size(), one.size() * sizeof(float));
            const dlib::tensor &y = net.subnet().forward(one);
            all.insert(all.end(), y.host(), y.host() + y.size());
        }
        return all;
    }
    std::string bytes()
    {
        using dlib::serialize;
        std::stringstream io;
        NET copy = net;
        copy.clean();
        serialize(copy, io);
        for (const solver &s : solvers) serialize(s, io);
        return io.str();
    }
};

double largest(const std::vector<float> &a, const std::vector<float> &b)
{
    ck_assert_uint_eq(a.size(), b.size());
    return law_apart(a.size(), a.data(), b.data());
}

/* What work() throws; "" if it does not. */
template <typename F> std::string thrown(F &&work)
{
    try {
        work();
    } catch (const std::exception &e) {
        return e.what();
    }
    return "";
}

template <typename T> std::string serialized(const T &item)
{
    std::stringstream io;
    serialize(item, io);
    return io.str();
}

/* ---- describe ---- */

START_TEST(networks_describe_themselves)
{
    lab<residual_net> r(1);
    mskp_counts n = mskp_graph_counts(r.graph());
    ck_assert_uint_eq(n.units, 64 + 16 + 32 + 64); /* the widest stream, and inside three blocks */
    ck_assert_uint_eq(n.params, 7 * (2 + 4) + 2);
    lab<residual_net> without(1, false);
    n = mskp_graph_counts(without.graph());
    ck_assert_uint_eq(n.units, 64 + 16 + 32 + 64);
    ck_assert_uint_eq(n.params, 7 * (1 + 4) + 2);
    lab<odd_net> o(1, true, 10);
    n = mskp_graph_counts(o.graph());
    ck_assert_uint_eq(n.units, 6 + 6 + 10 + 12);
}
END_TEST

START_TEST(unknown_layers_pin_what_they_can_reach)
{
    lab<opaque_net> l(3);
    mskp_coupling v;
    ck_assert_uint_eq(mskp_graph_counts(l.graph()).units, 8);
    const mskp_value tagged = mskp_value_find(l.graph(), "11.relu");
    ck_assert_int_eq(mskp_value_coupling(l.graph(), tagged, &v, nullptr), MSKP_OK);
    ck_assert_uint_eq(v.pinned, 6);
    ck_assert_int_eq(mskp_value_coupling(l.graph(), v.pinned_by, &v, nullptr), MSKP_OK);
    ck_assert_str_eq(v.name, "6.mult_prev3");
    ck_assert_str_eq(v.op, "mult_prev3");
    l.remove(0.5, 1);
    lab<opaque_net> small(l);
    small.cut_it();
    law_zero(l.graph(), mask_of(l.term.keep), MSKP_ROLES_UNIT, values(l.wires, l.net));
    const std::vector<float> a = l.outputs(5), b = small.outputs(5);
    law_close("an opaque layer", a.size(), a.data(), b.data(), ROUNDING);
}
END_TEST

/* ---- penalty ---- */

/* A solver that keeps what it gets, and does nothing. */
struct recorder {
    dlib::resizable_tensor seen, none;
    template <typename LAYER>
    const dlib::tensor &operator()(float, const LAYER &, const dlib::tensor &gradient)
    {
        seen = gradient;
        none.copy_size(gradient);
        none = 0;
        return none;
    }
};

START_TEST(the_penalty_lands_in_the_solver)
{
    lab<residual_net> l(static_cast<unsigned>(_i), _i % 2 == 0);
    l.remove(0.4, static_cast<uint64_t>(_i));
    l.net.compute_parameter_gradients(images(7, BATCH), LABELS.begin());
    const set v = values(l.wires, l.net), g = gradients(l.wires, l.net);
    float **v_before = law_copy(l.graph(), v), **g_before = law_copy(l.graph(), g);
    std::vector<masked<recorder>> solvers(residual_net::num_computational_layers,
                                          {recorder(), &l.term});
    l.term.strength = STRENGTH;
    l.net.update_parameters(solvers, RATE);
    ck_assert_msg(l.term.seconds > 0, "seed %d: the penalty took no time", _i);
    set seen(l.wires.params());
    for (size_t c = 0; c < solvers.size(); c++)
        place(l.wires, l.wires.layers[c], solvers[c].solver.seen, seen);
    const size_t hits = law_penalty_landed(l.graph(), mask_of(l.term.keep), ROLES, STRENGTH, v,
                                           v_before, seen, g_before);
    size_t expected = 0; /* by members of units: gamma, beta, and a bias where there is one */
    for (size_t u = 0; u < l.term.keep.size(); u++) {
        size_t n;
        const mskp_member *m = mskp_unit_members(l.graph(), u, &n);
        for (size_t i = 0; !l.term.keep[u] && i < n; i++) expected += (m[i].roles & ROLES) != 0;
    }
    ck_assert_msg(hits == expected, "seed %d: %zu hits, expected %zu", _i, hits, expected);
    /* dlib's own gradients stay as they are. */
    float **g_after = law_copy(l.graph(), g);
    for (size_t p = 0; p < l.wires.params(); p++)
        if (g_before[p]) ck_assert_mem_eq(g_before[p], g_after[p], g[p].elements * sizeof(float));
    law_free(l.graph(), g_after);
    law_free(l.graph(), g_before);
    law_free(l.graph(), v_before);
}
END_TEST

/* One step of dlib's sgd from the same gradients, with and without. */
START_TEST(a_step_differs_by_the_penalty_alone)
{
    lab<residual_net> with(static_cast<unsigned>(_i), _i % 2 == 0);
    with.remove(0.4, static_cast<uint64_t>(_i));
    with.net.compute_parameter_gradients(images(7, BATCH), LABELS.begin());
    lab<residual_net> without(with), before(with);
    with.term.strength = STRENGTH;
    with.net.update_parameters(with.solvers, RATE);
    without.net.update_parameters(without.solvers, RATE);
    float **a = law_copy(with.graph(), values(with.wires, with.net));
    float **b = law_copy(with.graph(), values(with.wires, without.net));
    float **w = law_copy(with.graph(), values(with.wires, before.net));
    for (size_t p = 0; p < with.wires.params(); p++) {
        const mskp_param param{static_cast<uint32_t>(p) + 1};
        const char *name = mskp_param_name(with.graph(), param);
        const size_t count = law_elements(with.graph(), param);
        uint32_t roles;
        const uint32_t *unit = mskp_param_units(with.graph(), param, 0, &roles, nullptr);
        for (size_t i = 0; a[p] && i < count; i++) {
            const bool hit = roles & ROLES && unit[i] != MSKP_PINNED && !with.term.keep[unit[i]];
            const double expected = !hit || w[p][i] == 0 ? 0 : w[p][i] > 0 ? -1 : 1;
            const double off = double{a[p][i]} - double{b[p][i]} - expected * RATE * STRENGTH;
            /* three roundings of numbers as large as the weight */
            const double allowed = hit ? 3 * 6e-8 * (1 + std::fabs(double{w[p][i]})) : 0;
            ck_assert_msg(std::fabs(off) <= allowed,
                          "seed %d, %s: number %zu is off by %g, allowed are %g", _i, name, i, off,
                          allowed);
        }
    }
    law_free(with.graph(), a);
    law_free(with.graph(), b);
    law_free(with.graph(), w);
}
END_TEST

/* dnn_trainer copies one solver for all layers, and calls them from a thread of its own. */
START_TEST(dnn_trainer_takes_the_solver)
{
    lab<residual_net> l(5);
    l.remove(0.4, 5);
    l.solvers.assign(l.solvers.size(), solver(dlib::sgd(DECAY, MOMENTUM), &l.term));
    lab<residual_net> ours(l), without(l);
    const dlib::resizable_tensor x = images(8, BATCH);
    const float *from = x.host();
    std::vector<picture> pictures(static_cast<size_t>(BATCH), example());
    for (picture &p : pictures)
        for (auto &plane : p)
            for (float &pixel : plane) pixel = *from++;
    l.term.strength = ours.term.strength = STRENGTH;
    dlib::dnn_trainer<residual_net, solver> trainer(l.net, l.solvers[0]);
    trainer.set_learning_rate(RATE);
    trainer.train_one_step(pictures, LABELS);
    trainer.get_net();
    ours.step(8);
    without.step(8);
    const auto params = [](residual_net &net) { return dlib::layer<8>(net).layer_details(); };
    ck_assert(serialized(params(l.net)) == serialized(params(ours.net)));
    ck_assert(serialized(params(l.net)) != serialized(params(without.net)));
}
END_TEST

/* ---- surgery ---- */

/* Counted from dlib's layers. */
struct count_macs {
    double &macs;
    template <typename INPUT> void operator()(size_t, INPUT &) const
    {
    }
    template <typename LAYER, typename S, typename E>
    void operator()(size_t, dlib::add_layer<LAYER, S, E> &l) const
    {
        /* The wrapper also gives outputs that the next layer has overwritten in place. */
        using layer = dlib::add_layer<LAYER, S, E>;
        macs += of(l.layer_details(), dlib::dimpl::subnet_wrapper<layer>(l).get_output());
    }

  private:
    template <typename LAYER> static double of(const LAYER &, const dlib::tensor &)
    {
        return 0;
    }
    template <typename LAYER>
    static double of(const vanishing<LAYER> &l, const dlib::tensor &output)
    {
        return l.fate() == MSKP_FATE_STAYS ? of(l.own(), output) : 0;
    }
    template <long N, long R, long C, int SY, int SX, int PY, int PX>
    static double of(const dlib::con_<N, R, C, SY, SX, PY, PX> &l, const dlib::tensor &output)
    {
        const long weights = static_cast<long>(l.get_layer_params().size()) -
                             (l.bias_is_disabled() ? 0 : l.num_filters());
        return static_cast<double>(weights) * static_cast<double>(output.nr() * output.nc());
    }
    template <unsigned long N, dlib::fc_bias_mode M>
    static double of(const dlib::fc_<N, M> &l, const dlib::tensor &)
    {
        return static_cast<double>(l.get_layer_params().size() -
                                   (l.bias_is_disabled() ? 0 : l.get_num_outputs()));
    }
};

template <typename NET> struct body {
    all_values<NET> values;
    all_momentum<dlib::sgd> momentum;

    explicit body(lab<NET> &l) : values(l.wires, l.net), momentum(l.wires, l.net, l.solvers), of(l)
    {
    }
    void pack_up()
    {
        values.pack_up(of.net);
        momentum.pack_up(of.solvers);
    }

  private:
    lab<NET> &of;
};

template <typename NET> void zero_removed(lab<NET> &l)
{
    body<NET> b(l);
    for (const set *s : {&b.values.views, &b.momentum.views})
        law_zero(l.graph(), mask_of(l.term.keep), MSKP_ROLES_UNIT, *s);
    b.pack_up();
}

/* All values, running statistics and momentum agree to rounding. */
template <typename NET> void compare(const char *what, lab<NET> &x, lab<NET> &y)
{
    const body<NET> a(x), b(y);
    const std::pair<const set *, const set *> pairs[] = {{&a.values.views, &b.values.views},
                                                         {&a.momentum.views, &b.momentum.views}};
    for (const auto &pair : pairs) {
        float **p = law_copy(x.graph(), *pair.first);
        float **q = law_copy(y.graph(), *pair.second);
        for (size_t i = 0; i < x.wires.params(); i++) {
            const mskp_param param{static_cast<uint32_t>(i) + 1};
            ck_assert(!p[i] == !q[i]);
            if (p[i] && law_elements(x.graph(), param))
                law_close((std::string(what) + ", " + mskp_param_name(x.graph(), param)).c_str(),
                          law_elements(x.graph(), param), p[i], q[i], ROUNDING);
        }
        law_free(x.graph(), p);
        law_free(y.graph(), q);
    }
}

template <typename NET> void exact_sets(lab<NET> &full, lab<NET> &small)
{
    const body<NET> a(full), b(small);
    const std::pair<const set *, const set *> pairs[] = {{&a.values.views, &b.values.views},
                                                         {&a.momentum.views, &b.momentum.views}};
    for (const auto &pair : pairs) {
        float **before = law_copy(full.graph(), *pair.first);
        law_cut_exact(full.graph(), mask_of(full.term.keep), before, small.graph(), *pair.second);
        law_free(full.graph(), before);
    }
}

template <typename NET> void same_from_file(lab<NET> &small, unsigned seed)
{
    char path[] = "/tmp/test_dlib.XXXXXX";
    const int file = mkstemp(path);
    ck_assert_int_ne(file, -1);
    close(file);
    dlib::serialize(path) << small.net;
    lab<NET> loaded(seed + 100, true, small.side); /* other numbers, full widths */
    dlib::deserialize(path) >> loaded.net;
    std::remove(path);
    const std::vector<float> a = small.outputs(seed), b = loaded.outputs(seed);
    ck_assert_msg(a == b, "seed %u: the file computes something else, by %g", seed, largest(a, b));
    loaded.begin();
    ck_assert_uint_eq(mskp_graph_counts(loaded.graph()).units,
                      mskp_graph_counts(small.graph()).units);
}

template <typename NET> void surgery(unsigned seed, bool biases, long side)
{
    lab<NET> full(seed, biases, side);
    full.remove(0.4, seed);
    lab<NET> zeroed(full), small(full);
    mskp_cost promised, cost;
    double macs = 0;
    ck_assert_int_eq(
        mskp_measure(full.graph(), mask_of(full.term.keep), &promised, nullptr, nullptr), MSKP_OK);
    zero_removed(zeroed);
    small.cut_it();
    exact_sets(full, small);

    const std::vector<float> of_full = full.outputs(seed), of_zeroed = zeroed.outputs(seed),
                             of_small = small.outputs(seed);
    law_close("zeroed and cut", of_zeroed.size(), of_zeroed.data(), of_small.data(), ROUNDING);
    ck_assert_msg(largest(of_full, of_small) > 1e-2, "seed %u: what was cut did nothing", seed);

    dlib::visit_layers(small.net, count_macs{macs});
    ck_assert_double_eq(macs, promised.macs);
    ck_assert_double_eq(static_cast<double>(dlib::count_parameters(small.net)), promised.params);
    ck_assert_int_eq(mskp_measure(small.graph(), {}, &cost, nullptr, nullptr), MSKP_OK);
    ck_assert_double_eq(cost.macs, promised.macs);
    ck_assert_double_eq(cost.params, promised.params);
    same_from_file(small, seed);

    /* Training goes on as that of the network whose channels were only zeroed. */
    small.term.keep.assign(mskp_graph_counts(small.graph()).units, 1);
    const double a = zeroed.step(seed + 9), b = small.step(seed + 9);
    ck_assert_msg(std::fabs(a - b) <= ROUNDING, "seed %u: losses %g and %g", seed, a, b);
    zeroed.cut_it();
    compare("after a step", zeroed, small);
}

START_TEST(surgery_of_a_residual_network)
{
    surgery<residual_net>(static_cast<unsigned>(_i), _i % 2 == 0, SIDE);
}
END_TEST

START_TEST(surgery_of_an_odd_network)
{
    surgery<odd_net>(static_cast<unsigned>(_i), _i % 2 == 0, 10);
}
END_TEST

/* Channels whose filter or gamma is 0, and whose beta is not, output constants. Every way of
 * keeping them leaves the outputs as they were wherever the report says that it is exact.
 * Returns in how many ways. */
template <typename NET> int carry(unsigned seed, bool biases, long side, int *merged)
{
    lab<NET> full(seed, biases, side);
    full.remove(0.4, seed);
    full.make_constant(seed);
    lab<NET> without(full);
    const std::vector<float> before = full.outputs(seed);
    ck_assert(!without.cut_it(way(MSKP_CONSTANTS_DROP)).exact);
    const std::vector<float> dropped = without.outputs(seed);
    int exact = 0;
    for (const auto which : {MSKP_CONSTANTS_AUTO, MSKP_CONSTANTS_FOLD, MSKP_CONSTANTS_MERGE}) {
        lab<NET> small(full);
        const mskp_constants_report total = small.cut_it(way(which));
        const std::vector<float> carried = small.outputs(seed);
        const std::string what = "seed " + std::to_string(seed) + ", way " + std::to_string(which);
        const int good = law_carried(what.c_str(), &total, before.size(), before.data(),
                                     carried.data(), dropped.data(), ROUNDING);
        exact += good;
        if (which == MSKP_CONSTANTS_MERGE) *merged += good;
        if (which == MSKP_CONSTANTS_FOLD) ck_assert_uint_eq(total.carriers, 0);
        same_from_file(small, seed);
    }
    return exact;
}

START_TEST(constants_survive_the_cut)
{
    int merged = 0;
    carry<residual_net>(static_cast<unsigned>(_i), _i % 2 == 0, SIDE, &merged);
    ck_assert_msg(merged, "seed %d: merging is not exact", _i);
    merged = 0;
    carry<odd_net>(static_cast<unsigned>(_i), _i % 2 == 0, 10, &merged);
    carry<functions_net>(static_cast<unsigned>(_i), _i % 2 == 0, SIDE, &merged);
    ck_assert_msg(merged, "seed %d: merging is not exact", _i);
}
END_TEST

/* dlib averages over the part of a window that lies in the image. */
START_TEST(pools_keep_constants)
{
    dlib::resizable_tensor ones(1, 2, 5, 5), y;
    ones = 1;
    dlib::tt::pooling average, maximum;
    average.setup_avg_pooling(3, 3, 2, 2, 1, 1);
    maximum.setup_max_pooling(3, 3, 2, 2, 1, 1);
    average(y, ones);
    ck_assert_uint_eq(y.size(), 2 * 3 * 3);
    for (size_t i = 0; i < y.size(); i++) ck_assert_float_eq(y.host()[i], 1);
    ones = -1;
    maximum(y, ones);
    for (size_t i = 0; i < y.size(); i++) ck_assert_float_eq(y.host()[i], -1);
}
END_TEST

/* Momentum of what constants replaced is 0; all else keeps its own. */
START_TEST(what_constants_replaced_has_no_momentum)
{
    lab<residual_net> l(17);
    l.remove(0.4, 17);
    l.make_constant(17);
    const mskp_constants_desc how = way(_i ? MSKP_CONSTANTS_FOLD : MSKP_CONSTANTS_MERGE);
    const all_values<residual_net> full(l.wires, l.net);
    law_constants asked = law_ask_constants(l.graph(), mask_of(l.term.keep), &how, full.views);
    l.cut_it(how);
    const all_momentum<dlib::sgd> momentum(l.wires, l.net, l.solvers);
    ck_assert_uint_gt(law_stale_cleared(&asked, l.graph(), momentum.views), 50);
    law_forget_constants(&asked);
    l.term.keep.assign(mskp_graph_counts(l.graph()).units, 1);
    l.step(3); /* training goes on */
}
END_TEST

/* A rule on MACs holds with the carriers, and the cut gives the network that was promised. */
START_TEST(the_budget_includes_the_carriers)
{
    lab<residual_net> l(static_cast<unsigned>(_i));
    mskp_cost dense, cost;
    mskp_selection selection;
    mskp_rule rule{};
    mskp_constants_desc merge = mskp_bridge_constants();
    merge.way = MSKP_CONSTANTS_MERGE;
    ck_assert_int_eq(mskp_measure(l.graph(), {}, &dense, nullptr, nullptr), MSKP_OK);
    rule.max_macs = 0.5 * dense.macs;
    l.term.keep = select(l.wires, l.net, rule, {}, &selection, merge);
    ck_assert_uint_gt(l.cut_it(merge).carriers, 0);
    ck_assert_int_eq(mskp_measure(l.graph(), {}, &cost, nullptr, nullptr), MSKP_OK);
    ck_assert_double_le(cost.macs, rule.max_macs);
    ck_assert_double_eq(cost.macs, selection.cost.macs);
    ck_assert_double_eq(cost.params, selection.cost.params);
}
END_TEST

START_TEST(two_rounds)
{
    lab<residual_net> l(21), zeroed(l);
    for (uint64_t round = 1; round <= 2; round++) {
        l.term.keep.assign(mskp_graph_counts(l.graph()).units, 1);
        l.remove(0.25, round);
        lab<residual_net> before(l);
        zero_removed(before);
        l.cut_it();
        const std::vector<float> a = before.outputs(4), b = l.outputs(4);
        law_close("a round", a.size(), a.data(), b.data(), ROUNDING);
        l.step(30);
    }
}
END_TEST

/* ---- pruners ---- */

struct pruner_end {
    void operator()(mskp_pruner *p) const
    {
        mskp_pruner_destroy(p);
    }
};
using pruner_handle = std::unique_ptr<mskp_pruner, pruner_end>;

template <typename NET> pruner_handle prune(lab<NET> &l, const mskp_pruner_options &options)
{
    mskp_error err;
    mskp_pruner *p = nullptr;
    mskp::check(mskp_pruner_create(l.graph(), &options, &p, &err), err);
    return pruner_handle(p);
}

template <typename NET> void prune_step(lab<NET> &l, mskp_pruner *p, unsigned seed)
{
    mskp_error err;
    l.net.compute_parameter_gradients(images(seed, BATCH, l.side), LABELS.begin());
    if (mskp_pruner_due(p) == MSKP_PRUNER_DUE_MASK) {
        const all_values<NET> all(l.wires, l.net);
        mskp::check(mskp_pruner_mark(p, all.views, {}, &err), err);
    }
    mskp::check(
        mskp_pruner_before_step(p, RATE, values(l.wires, l.net), gradients(l.wires, l.net), &err),
        err);
    l.net.update_parameters(l.solvers, RATE);
    mskp::check(mskp_pruner_after_step(p, RATE, values(l.wires, l.net), &err), err);
}

/* The strength is found in each step: what is marked is exactly 0 when the cut is due, so the cut
 * changes no output, in two rounds. Then training goes on. */
START_TEST(a_pruner_takes_marked_units_to_zero)
{
    lab<residual_net> l(static_cast<unsigned>(31 + _i), _i % 2 == 0);
    const mskp_pruner_options options = law_options(l.graph(), 60, double{MOMENTUM});
    const pruner_handle p = prune(l, options);
    unsigned seed = 0;
    for (int round = 0; round < 2; round++) {
        while (mskp_pruner_due(p.get()) != MSKP_PRUNER_DUE_CUT) prune_step(l, p.get(), seed++);
        size_t count = 0;
        const double left =
            law_largest(l.graph(), mskp_pruner_mask(p.get()), values(l.wires, l.net), &count);
        ck_assert_uint_gt(count, 0);
        ck_assert_msg(!(left > 0), "round %d: %g is left", round, left);
        const std::vector<float> a = l.outputs(4);
        if (round)
            cut(l.wires, l.net, l.solvers, p.get());
        else {
            mskp_error err;
            mskp_plan *plan;
            const mskp_constants *constants;
            const all_values<residual_net> all(l.wires, l.net);
            mskp::check(mskp_pruner_prepare(p.get(), all.views, &plan, &constants, &err), err);
            cut(l.wires, l.net, l.solvers, plan, constants);
            mskp::check(mskp_pruner_cut_done(p.get(), &err), err);
        }
        const std::vector<float> b = l.outputs(4);
        law_close("a round", a.size(), a.data(), b.data(), ROUNDING);
    }
    mskp_cost cost;
    ck_assert_int_eq(mskp_measure(l.graph(), {}, &cost, nullptr, nullptr), MSKP_OK);
    ck_assert_msg(cost.macs <= options.rule.max_macs, "%g MACs", cost.macs);
    l.term.keep.assign(mskp_graph_counts(l.graph()).units, 1);
    prune_step(l, p.get(), seed);
}
END_TEST

/* A strength of the program's own moves every value as the penalty in the solver does. */
START_TEST(a_fixed_strength_is_the_penalty_by_hand)
{
    lab<residual_net> by_hand(40);
    by_hand.remove(0.4, 8);
    lab<residual_net> l(by_hand);
    mskp_pruner_options options = law_options(l.graph(), 10, double{MOMENTUM});
    options.strength = STRENGTH, options.rounds = 1;
    const pruner_handle p = prune(l, options);
    mskp_error err;
    const set v = values(l.wires, l.net);
    mskp::check(mskp_pruner_mark(p.get(), v, mask_of(l.term.keep), &err), err);
    by_hand.term.strength = STRENGTH;
    for (unsigned step = 0; step < 5; step++) {
        by_hand.step(step);
        prune_step(l, p.get(), step);
    }
    float **a = law_copy(l.graph(), values(l.wires, l.net));
    float **b = law_copy(l.graph(), values(l.wires, by_hand.net));
    for (size_t i = 0; i < l.wires.params(); i++) {
        const mskp_param param{static_cast<uint32_t>(i) + 1};
        const size_t bytes = law_elements(l.graph(), param) * sizeof(float);
        ck_assert_msg(!a[i] || !std::memcmp(a[i], b[i], bytes), "%s",
                      mskp_param_name(l.graph(), param));
    }
    law_free(l.graph(), a);
    law_free(l.graph(), b);
}
END_TEST

/* ---- whole branches ---- */

/* Empties families that a seed draws, where the library allows it, and removes about this part of
 * all other units. */
void empty_some(mskp_graph *graph, double part, uint64_t seed, std::vector<uint8_t> &keep)
{
    std::mt19937_64 random(seed);
    const mskp_counts n = mskp_graph_counts(graph);
    keep.assign(n.units, 1);
    if (part > 0) law_random_mask(graph, part, seed, mask_of(keep));
    for (uint32_t f = 0; f < n.families; f++) {
        const std::vector<uint8_t> before = keep;
        mskp_plan *plan = nullptr;
        if (random() % 2) continue;
        for (size_t u = 0; u < n.units; u++)
            if (mskp_unit_families(graph, nullptr)[u] == f) keep[u] = 0;
        if (mskp_plan_create(graph, mask_of(keep), &plan, nullptr, nullptr)) keep = before;
        mskp_plan_destroy(plan);
    }
}

/* How many layers do not compute any more. */
template <typename LAYER> size_t gone(const LAYER &)
{
    return 0;
}
template <typename LAYER> size_t gone(const vanishing<LAYER> &l)
{
    return l.fate() != MSKP_FATE_STAYS;
}
template <typename NET> size_t count_gone(NET &net)
{
    size_t n = 0;
    dlib::visit_computational_layers(net, [&](auto &l) { n += gone(l); });
    return n;
}

/* Zeros in what leaves, then the cut; twice, so that the second one meets what has vanished. */
START_TEST(branches_vanish)
{
    const auto seed = static_cast<unsigned>(_i) + 1;
    lab<branches_net<3>> l(seed);
    size_t before = 0;
    double shown = 0;
    for (uint64_t round = 0; round < 2; round++) {
        mskp_cost promised;
        double macs = 0;
        empty_some(l.graph(), 0.3, seed + 100 * round, l.term.keep);
        ck_assert_int_eq(mskp_measure(l.graph(), mask_of(l.term.keep), &promised, nullptr, nullptr),
                         MSKP_OK);
        const std::vector<float> whole = l.outputs(seed);
        zero_removed(l);
        const std::vector<float> zeroed = l.outputs(seed);
        const mskp_constants_report total = l.cut_it(way(MSKP_CONSTANTS_AUTO));
        const std::vector<float> small = l.outputs(seed);
        ck_assert_msg(total.exact, "seed %u: %s", seed, total.why);
        law_close("zeroed and cut", zeroed.size(), zeroed.data(), small.data(), ROUNDING);
        shown = std::max(shown, largest(whole, small));
        ck_assert_msg(count_gone(l.net) >= before + 2 * !round, "seed %u: no branch vanished",
                      seed);
        before = count_gone(l.net);
        dlib::visit_layers(l.net, count_macs{macs});
        ck_assert_double_eq(macs, promised.macs);
        ck_assert_double_eq(static_cast<double>(dlib::count_parameters(l.net)), promised.params);
        same_from_file(l, seed);
        l.term.keep.assign(mskp_graph_counts(l.graph()).units, 1);
        l.term.strength = STRENGTH;
        l.step(seed);
    }
    ck_assert_msg(shown > 100 * ROUNDING, "seed %u: what was cut did nothing", seed);
}
END_TEST

template <typename LAYER>
auto has_bias(const LAYER &layer, int) -> decltype(layer.bias_is_disabled())
{
    return !layer.bias_is_disabled();
}
template <typename LAYER> bool has_bias(const LAYER &, long)
{
    return true;
}

/* Each cut is that of the elements, and training goes on as that of the network whose channels stay
 * at zero. Biases have rates of their own, which what is left of a branch must keep. */
START_TEST(training_goes_on_without_branches)
{
    const auto seed = static_cast<unsigned>(_i) + 1;
    /* Without biases below norms: the mean of equal numbers is rounded, and divided by 0.003. */
    lab<branches_net<3>> full(seed, false);
    dlib::visit_computational_layers(full.net, [](auto &layer) {
        if (!has_bias(layer, 0)) return;
        dlib::set_bias_learning_rate_multiplier(layer, 0.5);
        dlib::set_bias_weight_decay_multiplier(layer, 2);
    });
    empty_some(full.graph(), 0.3, seed, full.term.keep);
    lab<branches_net<3>> zeroed(full), small(full);
    small.cut_it();
    exact_sets(full, small);
    ck_assert_uint_gt(count_gone(small.net), 1);
    small.term.keep.assign(mskp_graph_counts(small.graph()).units, 1);
    for (unsigned step = 0; step < 3; step++) {
        zero_removed(zeroed);
        const double a = zeroed.step(seed + step), b = small.step(seed + step);
        ck_assert_msg(std::fabs(a - b) <= ROUNDING, "seed %u, step %u: losses %g and %g", seed,
                      step, a, b);
    }
    zeroed.cut_it();
    compare("after three steps", zeroed, small);
}
END_TEST

/* What a branch adds while its channels are constants is moved into what is left of it. Windows of
 * one pixel have no border, so this is exact. */
START_TEST(what_a_branch_adds_stays)
{
    const auto seed = static_cast<unsigned>(_i) + 1;
    lab<branches_net<1>> full(seed);
    empty_some(full.graph(), 0, seed, full.term.keep);
    full.make_constant(seed);
    lab<branches_net<1>> without(full);
    const std::vector<float> before = full.outputs(seed);
    ck_assert(!without.cut_it(way(MSKP_CONSTANTS_DROP)).exact);
    const std::vector<float> dropped = without.outputs(seed);
    for (const auto which : {MSKP_CONSTANTS_AUTO, MSKP_CONSTANTS_FOLD}) {
        lab<branches_net<1>> small(full);
        const mskp_constants_report total = small.cut_it(way(which));
        const std::vector<float> carried = small.outputs(seed);
        ck_assert_msg(total.exact, "seed %u: %s", seed, total.why);
        law_carried("branches", &total, before.size(), before.data(), carried.data(),
                    dropped.data(), ROUNDING);
        ck_assert_uint_gt(count_gone(small.net), 1);
        same_from_file(small, seed);
    }
}
END_TEST

template <typename NET> void empty_branch(lab<NET> &l)
{
    size_t n = 0;
    const mskp_value within = mskp_value_find(l.graph(), "7.con");
    const uint32_t *unit = mskp_value_units(l.graph(), within, &n);
    ck_assert_uint_eq(n, 7);
    for (size_t i = 0; i < n; i++) l.term.keep[unit[i]] = 0;
}

/* dlib's own layers cannot vanish: select() and cut() say so, and nothing changes. */
template <typename NET> void refused_branch(const char *words)
{
    lab<NET> l(81, true, 8);
    empty_branch(l);
    mskp_rule rule{};
    mskp_scoring filters{};
    filters.roles = MSKP_ROLE_FILTER;
    rule.remove_fraction = 0.9, rule.empty_branches = 1;
    const std::string before = l.bytes(),
                      texts[] = {thrown([&] {
                                     cut(l.wires, l.net, l.solvers, l.term.keep,
                                         way(MSKP_CONSTANTS_DROP));
                                 }),
                                 thrown([&] { select(l.wires, l.net, rule, filters); })};
    for (const std::string &text : texts)
        ck_assert_msg(text.find(words) != std::string::npos, "%s", text.c_str());
    ck_assert(l.bytes() == before);
}

START_TEST(other_branches_stay)
{
    refused_branch<plain_net>("7.con: the mask removes all of a branch");
    refused_branch<without_relu>("6.relu: the mask removes all of a branch");
    refused_branch<without_norm>("4.bn_con: the mask removes all of a branch");
}
END_TEST

/* A network is given such layers by dlib's own conversion. */
START_TEST(layers_are_made_from_others)
{
    lab<plain_net> plain(91, true, 8);
    lab<whole_net> l(92, true, 8);
    l.net = whole_net(plain.net);
    l.begin();
    ck_assert(l.outputs(1) == plain.outputs(1));
    empty_branch(l);
    l.cut_it();
    ck_assert_uint_eq(count_gone(l.net), 4);
    std::ostringstream text;
    text << l.net;
    ck_assert(text.str().find("(only its shift is left)") != std::string::npos);
}
END_TEST

/* With empty_branches a branch goes where it is worth least, and the budget holds. */
START_TEST(a_rule_may_empty_branches)
{
    lab<residual_net> l(static_cast<unsigned>(_i));
    mskp_cost dense, cost;
    mskp_selection selection;
    mskp_rule rule{};
    mskp_scoring mean{};
    mean.reduce = MSKP_REDUCE_MEAN;
    ck_assert_int_eq(mskp_measure(l.graph(), {}, &dense, nullptr, nullptr), MSKP_OK);
    rule.max_macs = 0.5 * dense.macs, rule.empty_branches = 1;
    {
        size_t n;
        const set s = values(l.wires, l.net);
        const mskp_param gamma = mskp_param_find(l.graph(), "30.bn_con.gamma");
        ck_assert_uint_ne(gamma.id, 0);
        mskp_param_units(l.graph(), gamma, 0, nullptr, &n);
        for (size_t i = 0; i < n; i++) static_cast<float *>(s.of(gamma).data)[i] *= 1e-3F;
    }
    l.term.keep = select(l.wires, l.net, rule, mean, &selection);
    cut(l.wires, l.net, l.solvers, l.term.keep);
    ck_assert_int_eq(mskp_measure(l.graph(), {}, &cost, nullptr, nullptr), MSKP_OK);
    ck_assert_double_le(cost.macs, rule.max_macs);
    ck_assert_double_eq(cost.macs, selection.cost.macs);
    ck_assert_double_eq(cost.params, selection.cost.params);
    ck_assert_uint_gt(count_gone(l.net), 0);
}
END_TEST

/* The settings of a layer are not lost: rates, decay, the count of updates behind the
 * statistics. */
START_TEST(layers_keep_their_settings)
{
    lab<residual_net> l(31, false);
    auto &con = dlib::layer<9>(l.net).layer_details();
    con.set_learning_rate_multiplier(0.5);
    con.set_weight_decay_multiplier(0.25);
    dlib::set_all_bn_running_stats_window_sizes(l.net, 17);
    const std::string rest = unpack<norm_state>(dlib::layer<8>(l.net).layer_details().own()).rest;
    l.remove(0.4, 31);
    l.cut_it();
    const auto &small = dlib::layer<9>(l.net).layer_details();
    ck_assert_double_eq(small.get_learning_rate_multiplier(), 0.5);
    ck_assert_double_eq(small.get_weight_decay_multiplier(), 0.25);
    ck_assert(small.bias_is_disabled());
    ck_assert(unpack<norm_state>(dlib::layer<8>(l.net).layer_details().own()).rest == rest);
}
END_TEST

/* With dlib's own function the last weights of each convolution would stand still. */
START_TEST(without_biases_all_weights_are_trained)
{
    residual_net net;
    disable_biases(net);
    describe(net, example());
    const dlib::resizable_tensor before = dlib::layer<9>(net).layer_details().get_layer_params();
    std::vector<dlib::sgd> solvers(residual_net::num_computational_layers);
    net.compute_parameter_gradients(images(1, BATCH), LABELS.begin());
    net.update_parameters(solvers, RATE);
    const dlib::tensor &after = dlib::layer<9>(net).layer_details().get_layer_params();
    for (size_t i = after.size() - 64; i < after.size(); i++)
        ck_assert_msg(after.host()[i] != before.host()[i], "weight %zu stands still", i);
}
END_TEST

/* ---- what is private in dlib ---- */

START_TEST(unpacking_and_packing_changes_nothing)
{
    lab<residual_net> l(41);
    auto &norm = dlib::layer<8>(l.net).layer_details().own();
    const std::string before = serialized(norm);
    norm_state s = unpack<norm_state>(norm);
    ck_assert_uint_eq(s.running_means.size(), 64);
    ck_assert_msg(s.running_variances.host()[0] != 1, "never trained");
    dlib::bn_<dlib::CONV_MODE> other(5);
    pack(s, other);
    ck_assert(serialized(other) == before);

    sgd_state m = unpack<sgd_state>(l.solvers[0].solver);
    ck_assert_uint_eq(m.momentum.size(), 650);
    dlib::sgd fresh;
    pack(m, fresh);
    ck_assert(serialized(fresh) == serialized(l.solvers[0].solver));
}
END_TEST

struct of_tomorrow {
    friend void serialize(const of_tomorrow &, std::ostream &out)
    {
        dlib::serialize("bn_con3", out);
    }
};

START_TEST(other_versions_are_refused)
{
    const std::string text = thrown([] { unpack<norm_state>(of_tomorrow()); });
    ck_assert_str_eq(text.c_str(), "cut knows batch norms and the momentum of dlib::sgd as dlib "
                                   "19.24 writes them (bn_con2, bn_fc2, sgd2), not 'bn_con3'");
}
END_TEST

/* ---- bad input ---- */

START_TEST(a_failure_leaves_the_network_as_it_was)
{
    lab<residual_net> l(51);
    l.remove(0.3, 51);
    const std::string before = l.bytes();
    std::vector<uint8_t> keep(l.term.keep.begin(), l.term.keep.end() - 1), none(keep.size() + 1, 0);
    std::vector<solver> few(3);
    const std::string texts[] = {thrown([&] { cut(l.wires, l.net, l.solvers, keep); }),
                                 thrown([&] { cut(l.wires, l.net, l.solvers, none); }),
                                 thrown([&] { cut(l.wires, l.net, few, l.term.keep); })};
    ck_assert_str_eq(texts[0].c_str(), "keep has 175 units, the graph has 176");
    ck_assert_str_eq(texts[1].c_str(),
                     "35.con: the mask keeps 0 of 16 channels, and 1.fc, which must "
                     "stay, depends on nothing else");
    ck_assert_str_eq(texts[2].c_str(), "3 solvers for 28 layers");
    ck_assert(l.bytes() == before);
    l.cut_it(); /* and nothing is in the way of doing it right */
}
END_TEST

START_TEST(other_networks_are_refused)
{
    lab<residual_net> l(61);
    l.remove(0.3, 61);
    lab<residual_net> narrow(l);
    narrow.cut_it();
    const std::string before = narrow.bytes();
    std::string text = thrown([&] { cut(l.wires, narrow.net, l.solvers, l.term.keep); });
    ck_assert_msg(text.find("numbers, the description has other numbers") != std::string::npos,
                  "%s", text.c_str());
    ck_assert(narrow.bytes() == before);

    /* A copy has tensors of its own. */
    residual_net copy = l.net;
    l.term.strength = STRENGTH;
    copy.compute_parameter_gradients(images(1, BATCH), LABELS.begin());
    text = thrown([&] { copy.update_parameters(l.solvers, RATE); });
    ck_assert_str_eq(
        text.c_str(),
        "the network or its wiring was moved after it was described: call locate(net)");
    l.wires.locate(copy);
    copy.update_parameters(l.solvers, RATE);
}
END_TEST

/* The mask of before the surgery, in a step after it. */
START_TEST(an_old_mask_is_refused)
{
    lab<residual_net> l(71);
    l.remove(0.3, 71);
    l.cut_it();
    l.term.strength = STRENGTH;
    const std::string before = l.bytes(), text = thrown([&] { l.step(1); });
    ck_assert_msg(text.find("units, the graph has") != std::string::npos, "%s", text.c_str());
}
END_TEST

Suite *suite(void)
{
    Suite *s = suite_create("dlib");
    TCase *t = tcase_create("dlib");
    tcase_set_timeout(t, 60);
    tcase_add_test(t, networks_describe_themselves);
    tcase_add_test(t, unknown_layers_pin_what_they_can_reach);
    tcase_add_loop_test(t, the_penalty_lands_in_the_solver, 0, 4);
    tcase_add_loop_test(t, a_step_differs_by_the_penalty_alone, 0, 4);
    tcase_add_test(t, dnn_trainer_takes_the_solver);
    tcase_add_loop_test(t, surgery_of_a_residual_network, 0, 6);
    tcase_add_loop_test(t, surgery_of_an_odd_network, 0, 6);
    tcase_add_loop_test(t, constants_survive_the_cut, 0, 6);
    tcase_add_test(t, pools_keep_constants);
    tcase_add_loop_test(t, what_constants_replaced_has_no_momentum, 0, 2);
    tcase_add_loop_test(t, the_budget_includes_the_carriers, 0, 3);
    tcase_add_test(t, two_rounds);
    tcase_add_loop_test(t, a_pruner_takes_marked_units_to_zero, 0, 3);
    tcase_add_test(t, a_fixed_strength_is_the_penalty_by_hand);
    tcase_add_loop_test(t, branches_vanish, 0, 8);
    tcase_add_loop_test(t, training_goes_on_without_branches, 0, 8);
    tcase_add_loop_test(t, what_a_branch_adds_stays, 0, 8);
    tcase_add_test(t, other_branches_stay);
    tcase_add_test(t, layers_are_made_from_others);
    tcase_add_loop_test(t, a_rule_may_empty_branches, 0, 3);
    tcase_add_test(t, layers_keep_their_settings);
    tcase_add_test(t, without_biases_all_weights_are_trained);
    tcase_add_test(t, unpacking_and_packing_changes_nothing);
    tcase_add_test(t, other_versions_are_refused);
    tcase_add_test(t, a_failure_leaves_the_network_as_it_was);
    tcase_add_test(t, other_networks_are_refused);
    tcase_add_test(t, an_old_mask_is_refused);
    suite_add_tcase(s, t);
    return s;
}

} // namespace

int main(void)
{
    SRunner *runner = srunner_create(suite());
    srunner_run_all(runner, CK_NORMAL);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
