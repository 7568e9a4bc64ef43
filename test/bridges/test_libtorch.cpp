/*
 * The bridge to libtorch: penalties reach the optimizer, surgery leaves the outputs as they are,
 * training goes on, and everything that knew a tensor sees the new one. One thread, small ResNets.
 */
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

#include "bridges/laws.h"
#include "mskp_torch.hpp"
#include "resnet.hpp"

#include <check.h> /* last: it defines a macro `fail`, a name that the standard library uses */

namespace
{

using mskp::mask_of;
using mskp::Pruner;
using torch::Tensor;
using Tensors = std::vector<Tensor>;
using Optimizer = std::unique_ptr<torch::optim::Optimizer>;
using MakeOptimizer = std::function<Optimizer(const Tensors &)>;

constexpr uint64_t SEEDS = 3;
constexpr int64_t SIDE = 16, BATCH = 8;
constexpr uint32_t GAMMA_BETA = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT;
constexpr uint32_t SEED_MIX = 77;

/* ============================================================================================== */
/*                                           The rig                                              */
/* ============================================================================================== */

/* No number keeps its default, because a gamma of 1 or a beta of 0 would hide mistakes. */
template <class Norm> void randomize_norm(Norm *bn)
{
    if (!bn) return;
    bn->weight.uniform_(0.5, 1.5).mul_(torch::randn_like(bn->weight).sign());
    bn->bias.normal_(0, 0.3);
    bn->running_mean.normal_(0, 0.1);
    bn->running_var.uniform_(0.5, 1.5);
}

void randomize(torch::nn::Module &net)
{
    const torch::NoGradGuard no_grad;
    for (const auto &m : net.modules(false)) {
        randomize_norm(m->as<torch::nn::BatchNorm1d>());
        randomize_norm(m->as<torch::nn::BatchNorm2d>());
    }
}

ResNet make_net(uint64_t seed)
{
    torch::manual_seed(seed);
    ResNet net(1, std::array<int64_t, 3>{8, 16, 32});
    randomize(*net);
    return net;
}

std::unique_ptr<Pruner> describe(ResNet &net)
{
    auto p = std::make_unique<Pruner>(*net);
    p->finish({net->describe(*p, p->input(3, {SIDE, SIDE}))});
    return p;
}

void mark_random(Pruner &p, uint64_t seed)
{
    std::vector<uint8_t> keep(p.keep().size());
    law_random_mask(p.graph(), 0.4, seed, mask_of(keep));
    p.mark(keep);
}

struct Batch {
    Tensor images, labels;
};

Batch make_batch(uint64_t seed, torch::ScalarType type = torch::kFloat)
{
    torch::manual_seed(SEED_MIX + seed);
    return {torch::randn({BATCH, 3, SIDE, SIDE}, torch::kDouble).to(type),
            torch::randint(10, {BATCH}, torch::kLong)};
}

template <class Net> Tensor backward(Net &net, const Batch &b)
{
    net->train();
    Tensor loss = torch::nn::functional::cross_entropy(net->forward(b.images), b.labels);
    loss.backward();
    return loss;
}

template <class Net> Tensor evaluate(Net &net, const Tensor &images)
{
    const torch::NoGradGuard no_grad;
    net->eval();
    return net->forward(images).contiguous();
}

Optimizer sgd(const Tensors &parameters)
{
    return std::make_unique<torch::optim::SGD>(
        parameters, torch::optim::SGDOptions(0.01).momentum(0.9).weight_decay(1e-4).nesterov(true));
}

Optimizer adam(const Tensors &parameters)
{
    return std::make_unique<torch::optim::Adam>(parameters,
                                                torch::optim::AdamOptions(1e-3).weight_decay(1e-4));
}

Optimizer adamw(const Tensors &parameters)
{
    return std::make_unique<torch::optim::AdamW>(parameters,
                                                 torch::optim::AdamWOptions(1e-3).amsgrad(true));
}

Optimizer rmsprop(const Tensors &parameters)
{
    return std::make_unique<torch::optim::RMSprop>(
        parameters, torch::optim::RMSpropOptions(1e-4).momentum(0.9).centered(true));
}

Optimizer adagrad(const Tensors &parameters)
{
    return std::make_unique<torch::optim::Adagrad>(parameters, torch::optim::AdagradOptions(1e-3));
}

/* The k-th tensor that an optimizer keeps for each parameter. */
mskp::set state_set(const Pruner &p, torch::optim::Optimizer &optimizer, size_t k)
{
    return p.views([&](const Tensor &t) {
        const auto s = optimizer.state().find(c10::guts::to_string(t.unsafeGetTensorImpl()));
        if (s == optimizer.state().end()) return Tensor();
        const auto tensors = mskp::state_tensors(*s->second);
        return k < tensors.size() ? *tensors[k] : Tensor();
    });
}

void zero_removed(const Pruner &p, const mskp::set &set)
{
    law_zero(p.graph(), mask_of(p.keep()), MSKP_ROLES_UNIT, set);
}

/* Surgery alone, as if there were no constants. */
void drop_constants(Pruner &p)
{
    p.constants = {};
    p.constants.way = MSKP_CONSTANTS_DROP;
}

/* Everything that a removed unit has: values, gradients, state. */
void zero_all(const Pruner &p, torch::optim::Optimizer &optimizer)
{
    zero_removed(p, p.values());
    zero_removed(p, p.gradients());
    for (size_t k = 0; k < 3; k++) zero_removed(p, state_set(p, optimizer, k));
}

/* Copies of all that a cut could touch. */
Tensors snapshot(const torch::nn::Module &net, torch::optim::Optimizer *optimizer = nullptr)
{
    Tensors all;
    for (const Tensor &t : net.parameters()) {
        all.push_back(t.detach().clone());
        if (t.grad().defined()) all.push_back(t.grad().clone());
    }
    for (const Tensor &t : net.buffers()) all.push_back(t.clone());
    if (!optimizer) return all;
    for (const Tensor &t : net.parameters()) {
        const auto s = optimizer->state().find(c10::guts::to_string(t.unsafeGetTensorImpl()));
        if (s == optimizer->state().end() ||
            dynamic_cast<torch::optim::LBFGSParamState *>(s->second.get()))
            continue;
        for (const Tensor *state : mskp::state_tensors(*s->second))
            if (state->defined()) all.push_back(state->clone());
    }
    return all;
}

void check_same(const char *what, const Tensors &a, const Tensors &b, uint64_t seed)
{
    ck_assert_msg(a.size() == b.size() && !a.empty(), "%s, seed %d: %zu and %zu tensors", what,
                  (int)seed, a.size(), b.size());
    for (size_t i = 0; i < a.size(); i++)
        ck_assert_msg(a[i].scalar_type() == b[i].scalar_type() && a[i].equal(b[i]),
                      "%s, seed %d: tensor %zu differs", what, (int)seed, i);
}

/* f must throw mskp::error with these words in it. */
template <class F> void check_refused(const char *words, F f)
{
    std::string said = "nothing";
    try {
        f();
    } catch (const mskp::error &e) {
        said = e.what();
    }
    ck_assert_msg(said.find(words) != std::string::npos, "expected \"...%s...\", got \"%s\"", words,
                  said.c_str());
}

Tensor named(const torch::nn::Module &net, const char *name)
{
    const auto parameters = net.named_parameters(), buffers = net.named_buffers();
    if (const Tensor *t = parameters.find(name)) return *t;
    const Tensor *t = buffers.find(name);
    ck_assert_msg(t != nullptr, "no tensor is called %s", name);
    return *t;
}

/* ============================================================================================== */
/*                                          Penalty                                               */
/* ============================================================================================== */

void check_landed(Pruner &p, uint32_t roles, double alpha)
{
    const auto values = p.values(), gradients = p.gradients();
    float **v = law_copy(p.graph(), values), **g = law_copy(p.graph(), gradients);
    p.penalty(alpha, roles);
    law_penalty_landed(p.graph(), mask_of(p.keep()), roles, alpha, values, v, p.gradients(), g);
    law_free(p.graph(), v);
    law_free(p.graph(), g);
}

START_TEST(penalty_lands)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ResNet net = make_net(seed);
        const auto p = describe(net);
        mark_random(*p, seed);
        backward(net, make_batch(seed));
        check_landed(*p, GAMMA_BETA, 1e-3);
        check_landed(*p, MSKP_ROLE_SCALE, -2e-3);
        check_landed(*p, MSKP_ROLES_UNIT, 5e-4);
    }
}
END_TEST

/* The same step with and without: gammas and betas of what leaves differ by rate * strength *
 * (1 + momentum), Nesterov's first step, towards zero; all else is the same to the bit. */
START_TEST(penalty_reaches_the_optimizer)
{
    const double strength = 0.25, move = 0.01 * strength * 1.9;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ResNet plain = make_net(seed), pulled = make_net(seed);
        const auto p = describe(pulled);
        const Batch batch = make_batch(seed);
        mark_random(*p, seed);
        std::vector<float> expected, got;
        for (ResNet *net : {&plain, &pulled}) {
            const Optimizer optimizer = sgd((*net)->parameters());
            backward(*net, batch);
            if (net == &pulled) p->penalty(strength);
            optimizer->step();
        }
        const auto others = plain->named_parameters();
        const ResNet before = make_net(seed);
        for (const auto &item : pulled->named_parameters()) {
            const Tensor other = others[item.key()], was = named(*before, item.key().c_str());
            const mskp_param id = mskp_param_find(p->graph(), item.key().c_str());
            uint32_t roles = 0;
            size_t n = 0;
            const uint32_t *unit = mskp_param_units(p->graph(), id, 0, &roles, &n);
            ck_assert_msg(id.id, "%s was not described", item.key().c_str());
            if (!(roles & GAMMA_BETA) || !unit) {
                ck_assert_msg(item.value().equal(other), "seed %d: %s differs", (int)seed,
                              item.key().c_str());
                continue;
            }
            for (size_t i = 0; i < n; i++) {
                const bool leaves = unit[i] != MSKP_PINNED && !p->keep()[unit[i]];
                const auto at = static_cast<int64_t>(i);
                const float a = other[at].item<float>(), b = item.value()[at].item<float>();
                const float sign = was[at].item<float>() > 0 ? 1.0F : -1.0F;
                if (!leaves) ck_assert_msg(a == b, "seed %d: a kept channel moved", (int)seed);
                if (!leaves) continue;
                expected.push_back(sign * static_cast<float>(move)), got.push_back(a - b);
            }
        }
        /* differences of two numbers around 1: a few roundings of 6e-8 */
        law_close("the penalty's part of a step", got.size(), expected.data(), got.data(), 1e-6);
    }
}
END_TEST

START_TEST(penalty_skips_frozen_and_missing)
{
    ResNet net = make_net(1);
    const auto p = describe(net);
    mark_random(*p, 1);
    net->bn1->weight.set_requires_grad(false);
    backward(net, make_batch(1));
    net->bn1->bias.mutable_grad().reset();
    ck_assert(!net->bn1->weight.grad().defined());
    check_landed(*p, GAMMA_BETA, 1e-3); /* and that no gradient comes from nowhere */
    ck_assert(!net->bn1->weight.requires_grad());
}
END_TEST

/* ============================================================================================== */
/*                                          Surgery                                               */
/* ============================================================================================== */

START_TEST(outputs_stay)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ResNet net = make_net(seed);
        const auto p = describe(net);
        const Batch batch = make_batch(seed);
        for (uint64_t round = 0; round < 2; round++) { /* pruned once more */
            mark_random(*p, seed + 10 * round);
            const Tensor whole = evaluate(net, batch.images);
            zero_removed(*p, p->values());
            const Tensor zeroed = evaluate(net, batch.images);
            p->cut();
            const Tensor small = evaluate(net, batch.images);
            const auto n = static_cast<size_t>(small.numel());
            /* sums of at most 288 products in another order, through 8 layers */
            law_close("logits before and after the cut", n, zeroed.data_ptr<float>(),
                      small.data_ptr<float>(), 1e-5);
            ck_assert_msg((whole - small).abs().max().item<float>() > 1e-2F,
                          "seed %d: zeroing made no difference, so nothing was shown", (int)seed);
        }
    }
}
END_TEST

/* MACs by the modules themselves: elements of a weight times positions. */
double count_macs(ResNet &net)
{
    int64_t side = SIDE;
    int64_t macs = side * side * net->conv1->weight.numel();
    for (size_t i = 0; i < net->layers->size(); i++) {
        const BlockImpl &b = net->layers->at<BlockImpl>(i);
        side /= b.conv1->options.stride()->at(0);
        macs += side * side * (b.conv1->weight.numel() + b.conv2->weight.numel());
    }
    return static_cast<double>(macs + net->linear->weight.numel());
}

double count_parameters(const ResNet &net)
{
    int64_t n = 0;
    for (const Tensor &t : net->parameters()) n += t.numel();
    return static_cast<double>(n);
}

START_TEST(as_small_as_promised)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ResNet net = make_net(seed);
        const auto p = describe(net);
        ck_assert_double_eq(p->cost().macs, count_macs(net));
        ck_assert_double_eq(p->cost().params, count_parameters(net));
        mskp_scoring how{};
        mskp_rule rule{};
        how.reduce = MSKP_REDUCE_MEAN;
        rule.max_macs = 0.5 * p->cost().macs, rule.min_channels = 2;
        const mskp_selection promised = p->select(rule, how);
        ck_assert(promised.removed > 0 && promised.cost.macs <= rule.max_macs);
        p->cut();
        ck_assert_double_eq(promised.cost.macs, count_macs(net));
        ck_assert_double_eq(promised.cost.params, count_parameters(net));
        ck_assert_double_eq(promised.cost.macs, p->cost().macs);
        ck_assert(evaluate(net, make_batch(seed).images).isfinite().all().item<bool>());
    }
}
END_TEST

/* Values, gradients and all state are cut exactly, with each kind of optimizer. */
START_TEST(every_set_is_cut)
{
    const MakeOptimizer kinds[] = {sgd, adam, adamw, rmsprop, adagrad};
    const size_t states[] = {1, 2, 3, 3, 1};
    const auto kind = static_cast<size_t>(_i);
    const auto seed = static_cast<uint64_t>(_i) + 1;
    ResNet net = make_net(seed);
    const auto p = describe(net);
    const Optimizer optimizer = kinds[kind](net->parameters());
    for (uint64_t step = 0; step < 2; step++) backward(net, make_batch(seed)), optimizer->step();
    mark_random(*p, seed);
    drop_constants(*p);

    std::vector<mskp::set> sets{p->values(), p->gradients()};
    for (size_t k = 0; k < states[kind]; k++) sets.push_back(state_set(*p, *optimizer, k));
    std::vector<float **> before;
    for (const auto &set : sets) before.push_back(law_copy(p->graph(), set));
    const std::vector<uint8_t> keep = p->keep();
    ResNet twin = make_net(seed); /* for the graph of before */
    const auto full = describe(twin);

    p->cut({*optimizer});
    sets = {p->values(), p->gradients()};
    for (size_t k = 0; k < states[kind]; k++) sets.push_back(state_set(*p, *optimizer, k));
    for (size_t s = 0; s < sets.size(); s++) {
        law_cut_exact(full->graph(), mask_of(keep), before[s], p->graph(), sets[s]);
        law_free(full->graph(), before[s]);
    }
    optimizer->zero_grad();
    backward(net, make_batch(seed + 1));
    optimizer->step();
}
END_TEST

/* set_data: everything that knew a tensor sees the new one. */
START_TEST(everybody_sees_the_new_tensors)
{
    ResNet net = make_net(1);
    const auto p = describe(net);
    const Optimizer optimizer = sgd(net->parameters());
    BlockImpl &block = net->layers->at<BlockImpl>(1);
    const Tensor weight = block.conv1->weight, mean = block.bn1->running_mean;
    mark_random(*p, 2);
    block.conv2->weight.set_requires_grad(false);
    backward(net, make_batch(1));
    optimizer->step();
    p->cut({*optimizer});

    const int64_t in = weight.size(1), out = weight.size(0);
    ck_assert(out < 16 && in < 8);
    ck_assert(named(*net, "layers.1.conv1.weight").is_same(weight));
    ck_assert(named(*net, "layers.1.bn1.running_mean").is_same(mean));
    ck_assert(block.conv1->weight.is_same(weight) && weight.requires_grad());
    ck_assert(!block.conv2->weight.requires_grad());
    ck_assert_int_eq(mean.size(0), out);
    ck_assert_int_eq(weight.grad().size(0), out);
    bool found = false;
    for (const Tensor &t : optimizer->param_groups()[0].params()) found |= t.is_same(weight);
    ck_assert(found);
    const auto &state = optimizer->state()[c10::guts::to_string(weight.unsafeGetTensorImpl())];
    ck_assert(mskp::state_tensors(*state)[0]->sizes() == weight.sizes());

    /* What modules remember of their channels. */
    ck_assert_int_eq(block.conv1->options.in_channels(), in);
    ck_assert_int_eq(block.conv1->options.out_channels(), out);
    ck_assert_int_eq(block.bn1->options.num_features(), out);
    ck_assert_int_eq(net->linear->options.in_features(), net->linear->weight.size(1));
    ck_assert_int_eq(net->linear->options.out_features(), 10);
    std::ostringstream printed;
    printed << block.conv1;
    ck_assert(printed.str().find("Conv2d(" + std::to_string(in) + ", " + std::to_string(out)) !=
              std::string::npos);
    const auto copy = std::dynamic_pointer_cast<torch::nn::Conv2dImpl>(block.conv1->clone());
    ck_assert(copy->weight.equal(weight));
    const auto norm = std::dynamic_pointer_cast<torch::nn::BatchNorm2dImpl>(block.bn1->clone());
    ck_assert(norm->running_mean.equal(mean) && norm->options.num_features() == out);
    /* The shortcut: the zeros are what the stream has more than its input. */
    const Tensor counts = block.shortcut->counts;
    ck_assert(named(*net, "layers.1.shortcut.counts").is_same(counts));
    ck_assert_int_eq(counts.sum().item<int64_t>(), block.conv2->weight.size(0) - in);
}
END_TEST

/* Autograd's own memory of a parameter's shape, kept by a loss that is still held. */
START_TEST(a_held_loss_does_not_matter)
{
    ResNet net = make_net(1);
    const auto p = describe(net);
    const Optimizer optimizer = sgd(net->parameters());
    Tensor loss = backward(net, make_batch(1));
    optimizer->step();
    mark_random(*p, 1);
    p->cut({*optimizer});
    optimizer->zero_grad();
    loss = backward(net, make_batch(2));
    optimizer->step();
    ck_assert(std::isfinite(loss.item<double>()));
}
END_TEST

START_TEST(channels_last_stays)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ResNet net = make_net(seed);
        for (const auto &m : net->modules(false))
            if (auto *conv = m->as<torch::nn::Conv2d>())
                conv->weight.set_data(conv->weight.contiguous(torch::MemoryFormat::ChannelsLast));
        ResNet twin = make_net(seed);
        const auto p = describe(net), q = describe(twin);
        mark_random(*p, seed), mark_random(*q, seed);
        net->conv1->weight.mutable_grad() = torch::randn({8, 3, 3, 3}); /* in another order */
        for (const Tensor &t : net->parameters())
            if (!t.grad().defined()) t.mutable_grad() = torch::randn_like(t);
        check_landed(*p, MSKP_ROLES_UNIT, 1e-3);
        p->cut(), q->cut();
        check_same(
            "channels last", snapshot(*twin),
            [&] {
                for (const Tensor &t : net->parameters()) t.mutable_grad().reset();
                return snapshot(*net);
            }(),
            seed);
        for (const auto &m : net->modules(false))
            if (auto *conv = m->as<torch::nn::Conv2d>())
                ck_assert(conv->weight.is_contiguous(torch::MemoryFormat::ChannelsLast));
    }
}
END_TEST

/* ============================================================================================== */
/*                                     Training goes on                                           */
/* ============================================================================================== */

/* begin() marks what leaves. One network is cut, between backward() and step(); its twin has the
 * removed units held at zero. Returns the largest relative difference of their losses over 20
 * steps. forget: the optimizer of the one that is cut loses its state, which must be seen. */
template <class Make, class Begin>
double continue_both(Make make_network, Begin begin, uint64_t seed, torch::ScalarType type,
                     const MakeOptimizer &make, bool forget)
{
    decltype(make_network(seed)) nets[] = {make_network(seed), make_network(seed)};
    std::unique_ptr<Pruner> pruners[2];
    Optimizer optimizers[2];
    double worst = 0;
    for (size_t i = 0; i < 2; i++) {
        nets[i]->to(type);
        pruners[i] = describe(nets[i]);
        optimizers[i] = make(nets[i]->parameters());
        for (uint64_t step = 0; step < 3; step++) {
            optimizers[i]->zero_grad();
            backward(nets[i], make_batch(step, type));
            if (step < 2) optimizers[i]->step(); /* the last gradient is still to be used */
        }
        begin(*pruners[i]);
        zero_all(*pruners[i], *optimizers[i]);
    }
    pruners[0]->cut({*optimizers[0]});
    if (forget) optimizers[0]->state().clear();
    for (uint64_t step = 3; step < 23; step++) {
        double loss[2];
        for (size_t i = 0; i < 2; i++) {
            optimizers[i]->step();
            if (i) zero_all(*pruners[i], *optimizers[i]);
            optimizers[i]->zero_grad();
            const Tensor now = backward(nets[i], make_batch(step, type));
            loss[i] = now.item<double>();
        }
        worst = std::max(worst, std::abs(loss[0] - loss[1]) / std::abs(loss[1]));
        ck_assert(std::isfinite(loss[0]) && std::isfinite(loss[1]));
    }
    if (std::getenv("MSKP_SAY"))
        fprintf(stderr, "seed %d, %s: %.3g %d\n", (int)seed, torch::toString(type), worst, forget);
    return worst;
}

/* The masked twin's sums have the same terms and zeros between them. In double what is left are
 * single roundings of 1e-16; in float, where kernels also take other orders for other widths, those
 * of 1e-7, and a ReLU that switches between two of them: 2e-5 was seen. */
START_TEST(training_goes_on)
{
    const MakeOptimizer kinds[] = {sgd, adam, adamw};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const auto begin = [&](Pruner &p) { mark_random(p, seed); };
        const double apart = continue_both(make_net, begin, seed, torch::kDouble, kinds[_i], false);
        ck_assert_msg(apart <= 1e-9, "seed %d: the losses differ by %g", (int)seed, apart);
        const double single = continue_both(make_net, begin, seed, torch::kFloat, kinds[_i], false);
        ck_assert_msg(single <= 1e-4, "seed %d: the losses differ by %g", (int)seed, single);
        if (seed > 1) continue;
        const double lost = continue_both(make_net, begin, seed, torch::kDouble, kinds[_i], true);
        ck_assert_msg(lost > 1e-3, "seed %d: lost state makes only %g", (int)seed, lost);
    }
}
END_TEST

/* Two optimizers, one with two groups; one parameter without any, one without state. */
START_TEST(several_optimizers)
{
    ResNet net = make_net(1);
    const auto p = describe(net);
    Tensors filters, norms, rest;
    for (const auto &item : net->named_parameters()) {
        if (item.key() == "conv1.weight") continue; /* in no optimizer */
        Tensors &list = item.value().dim() == 4 ? filters : norms;
        (item.key() == "bn1.bias" ? rest : list).push_back(item.value());
    }
    torch::optim::SGD first(filters, torch::optim::SGDOptions(0.01).momentum(0.9));
    torch::optim::Adam second(
        {torch::optim::OptimizerParamGroup(norms), torch::optim::OptimizerParamGroup(rest)});
    backward(net, make_batch(1));
    net->bn1->bias.mutable_grad().reset(); /* no gradient, no state */
    first.step(), second.step();
    mark_random(*p, 1);
    const auto rows = [&](torch::optim::Optimizer &o, const Tensor &t, size_t k) {
        const auto s = o.state().find(c10::guts::to_string(t.unsafeGetTensorImpl()));
        return s == o.state().end() ? -1 : mskp::state_tensors(*s->second)[k]->size(0);
    };
    p->cut({first, second});
    size_t states = 0;
    for (const Tensor &t : net->parameters()) {
        for (size_t k = 0; k < 2; k++) {
            const int64_t n = rows(second, t, k);
            ck_assert(n == -1 || n == t.size(0));
            states += n != -1;
        }
        states += rows(first, t, 0) == t.size(0);
        ck_assert(rows(first, t, 0) == -1 || rows(first, t, 0) == t.size(0));
    }
    ck_assert_uint_eq(states, filters.size() + 2 * norms.size());
    first.zero_grad(), second.zero_grad();
    backward(net, make_batch(2));
    first.step(), second.step();
}
END_TEST

/* ============================================================================================== */
/*                                            Files                                               */
/* ============================================================================================== */

START_TEST(the_loader_reads_it)
{
    ResNet net = make_net(1), dense = make_net(2);
    const auto p = describe(net);
    const Batch batch = make_batch(1);
    Optimizer optimizer = sgd(net->parameters()), other = sgd(dense->parameters());
    backward(net, batch);
    optimizer->step();
    mark_random(*p, 2);
    p->cut({*optimizer});

    char path[] = "/tmp/mskp_libtorch_XXXXXX";
    const int file = mkstemp(path);
    ck_assert(file >= 0 && !close(file));
    ck_assert(net->conv1->weight.size(0) < 8);
    torch::save(net, path);
    torch::load(dense, path); /* the widths come from the file */
    remove(path);
    ck_assert(evaluate(dense, batch.images).equal(evaluate(net, batch.images)));
    const auto q = describe(dense); /* corrects the options, too */
    ck_assert_double_eq(q->cost().macs, p->cost().macs);
    ck_assert_int_eq(dense->conv1->options.out_channels(), dense->conv1->weight.size(0));

    std::stringstream state;
    torch::save(*optimizer, state);
    torch::load(*other, state);
    optimizer->zero_grad(), other->zero_grad();
    backward(net, batch), backward(dense, batch);
    optimizer->step(), other->step();
    for (const Tensor &t : dense->parameters()) t.mutable_grad().reset();
    for (const Tensor &t : net->parameters()) t.mutable_grad().reset();
    check_same("after one more step", snapshot(*net), snapshot(*dense), 1);
    mark_random(*q, 3);
    q->cut({*other});
    ck_assert(evaluate(dense, batch.images).isfinite().all().item<bool>());
}
END_TEST

/* ============================================================================================== */
/*                                  Tensors that are elsewhere                                    */
/* ============================================================================================== */

using Here = std::function<bool(const Tensor &)>;
const Here HERE[] = {[](const Tensor &) { return false; },
                     [](const Tensor &t) { return t.dim() != 1; },
                     [](const Tensor &t) { return t.dim() == 1; }};

/* The same as the library, to the bit, with the strength rounded to the gradients' precision. */
void check_elsewhere(const Here &here, torch::ScalarType type, uint64_t seed)
{
    const double strength = 0.0009765625; /* 2^-10, in every format */
    Tensors results[2];
    for (size_t i = 0; i < 2; i++) {
        ResNet net = make_net(seed);
        Batch batch = make_batch(seed);
        backward(net, batch); /* in float: 1.13 has no half convolutions on CPUs */
        Tensors gradients;
        for (const Tensor &t : net->parameters()) gradients.push_back(t.grad().clone());
        for (const Tensor &t : net->parameters()) t.mutable_grad().reset();
        net->to(type);
        const auto parameters = net->parameters();
        for (size_t k = 0; k < parameters.size(); k++)
            parameters[k].mutable_grad() = gradients[k].to(type);
        const auto p = describe(net);
        const Optimizer optimizer = sgd(net->parameters());
        if (i) p->here = here;
        p->rounding = MSKP_ROUNDING_NEAREST; /* as torch rounds */
        for (const uint32_t roles : {uint32_t{GAMMA_BETA}, uint32_t{MSKP_ROLES_UNIT}}) {
            mskp_scoring how{};
            how.roles = roles;
            mskp_rule half{};
            half.remove_fraction = 0.5;
            p->select(half, how);
            results[i].push_back(
                torch::tensor(std::vector<int64_t>(p->keep().begin(), p->keep().end())));
            mark_random(*p, seed + roles); /* masks are made anew for new marks */
            p->penalty(strength, roles);
            mark_random(*p, seed);
            p->penalty(strength, roles);
            p->penalty(strength, roles == GAMMA_BETA ? uint32_t{MSKP_ROLE_SCALE} : roles);
        }
        if (type == torch::kFloat || type == torch::kDouble) optimizer->step();
        p->cut({*optimizer});
        for (const Tensor &t : snapshot(*net, optimizer.get())) results[i].push_back(t);
    }
    check_same(torch::toString(type), results[0], results[1], seed);
}

START_TEST(elsewhere_is_the_same)
{
    const torch::ScalarType types[] = {torch::kFloat, torch::kDouble, torch::kHalf,
                                       torch::kBFloat16};
    for (const Here &here : HERE)
        for (uint64_t seed = 1; seed <= SEEDS; seed++) check_elsewhere(here, types[_i], seed);
}
END_TEST

/* ============================================================================================== */
/*                                          Pruners                                               */
/* ============================================================================================== */

struct PrunerEnd {
    void operator()(mskp_pruner *p) const
    {
        mskp_pruner_destroy(p);
    }
};
using PrunerHandle = std::unique_ptr<mskp_pruner, PrunerEnd>;

PrunerHandle prune(const Pruner &p, const mskp_pruner_options &options)
{
    mskp_error err;
    mskp_pruner *pruner = nullptr;
    mskp::check(mskp_pruner_create(p.graph(), &options, &pruner, &err), err);
    return PrunerHandle(pruner);
}

void prune_step(ResNet &net, Pruner &p, torch::optim::Optimizer &optimizer, mskp_pruner *pruner,
                double rate, uint64_t seed)
{
    optimizer.zero_grad();
    backward(net, make_batch(seed));
    p.before_step(pruner, rate);
    optimizer.step();
    p.after_step(pruner, rate);
}

/* The strength is found in each step, under SGD through the gradient and under Adam after the step:
 * what is marked is exactly 0 when the cut is due, so the cut changes no output, in two rounds. All
 * is the same to the bit where tensors are elsewhere. Then training goes on. */
START_TEST(a_pruner_takes_marked_units_to_zero)
{
    const bool by_gradient = _i % 2 == 0;
    const double rate = by_gradient ? 0.01 : 1e-3;
    std::vector<Tensors> results;
    for (size_t k = 0; k < 1 + sizeof HERE / sizeof *HERE; k++) {
        ResNet net = make_net(static_cast<uint64_t>(_i));
        const auto p = describe(net);
        const Optimizer optimizer = by_gradient ? sgd(net->parameters()) : adam(net->parameters());
        if (k) p->here = HERE[k - 1];
        mskp_pruner_options options = law_options(p->graph(), 40, 0.9);
        if (!by_gradient) options.pull = MSKP_PULL_PROXIMAL;
        const PrunerHandle pruner = prune(*p, options);
        const Batch batch = make_batch(99);
        uint64_t seed = 0;
        for (int round = 0; round < 2; round++) {
            while (mskp_pruner_due(pruner.get()) != MSKP_PRUNER_DUE_CUT)
                prune_step(net, *p, *optimizer, pruner.get(), rate, seed++);
            size_t count = 0;
            const Here here = p->here;
            p->here = [](const Tensor &) { return true; };
            const double left =
                law_largest(p->graph(), mskp_pruner_mask(pruner.get()), p->values(), &count);
            p->here = here;
            ck_assert_uint_gt(count, 0);
            ck_assert_msg(!(left > 0), "round %d: %g is left", round, left);
            const Tensor before = evaluate(net, batch.images);
            p->cut(pruner.get(), {*optimizer});
            const Tensor after = evaluate(net, batch.images);
            law_close("a round", static_cast<size_t>(before.numel()), before.data_ptr<float>(),
                      after.data_ptr<float>(), 1e-5);
        }
        ck_assert_msg(p->cost().macs <= options.rule.max_macs, "%g MACs", p->cost().macs);
        prune_step(net, *p, *optimizer, pruner.get(), rate, seed);
        results.push_back(snapshot(*net, optimizer.get()));
        check_same("elsewhere", results[0], results[k], static_cast<uint64_t>(_i));
    }
}
END_TEST

/* A strength of the program's own moves every value as penalty() does; and a cut by a plan that the
 * program prepared is the cut by the pruner. */
START_TEST(a_fixed_strength_is_the_penalty_by_hand)
{
    Tensors results[2], small[2];
    for (size_t by_hand = 0; by_hand < 2; by_hand++) {
        ResNet net = make_net(5);
        const auto p = describe(net);
        const Optimizer optimizer = sgd(net->parameters());
        mskp_pruner_options options = law_options(p->graph(), 5, 0.9);
        options.strength = 0.02, options.rounds = 1;
        const PrunerHandle pruner = prune(*p, options);
        mskp_error err;
        mark_random(*p, 5);
        const auto values = p->values();
        mskp::check(mskp_pruner_mark(pruner.get(), values, mask_of(p->keep()), &err), err);
        for (uint64_t step = 0; step < 5; step++) {
            if (!by_hand) {
                prune_step(net, *p, *optimizer, pruner.get(), 0.01, step);
                continue;
            }
            optimizer->zero_grad();
            backward(net, make_batch(step));
            p->penalty(0.02);
            optimizer->step();
        }
        results[by_hand] = snapshot(*net, optimizer.get());
        mskp_plan *plan = nullptr;
        const mskp_constants *constants = nullptr;
        mskp::check(mskp_pruner_prepare(pruner.get(), p->values(), &plan, &constants, &err), err);
        if (by_hand)
            p->cut({*optimizer});
        else
            p->cut(plan, constants, {*optimizer});
        mskp::check(mskp_pruner_cut_done(pruner.get(), &err), err);
        small[by_hand] = snapshot(*net, optimizer.get());
    }
    check_same("by hand", results[0], results[1], 5);
    check_same("cut by hand", small[0], small[1], 5);
}
END_TEST

/* ============================================================================================== */
/*                                       Half precision                                           */
/* ============================================================================================== */

/* A penalty of a 64th of the distance between two bfloat16 gradients arrives in the mean of many
 * steps. Rounded to nearest it is lost, and counted. */
START_TEST(small_penalties_reach_coarse_gradients)
{
    constexpr int64_t STEPS = 4000;
    for (const mskp_rounding rounding : {MSKP_ROUNDING_NEAREST, MSKP_ROUNDING_STOCHASTIC}) {
        ResNet net = make_net(1);
        net->to(torch::kBFloat16);
        const auto p = describe(net);
        Tensor gamma = net->named_parameters()["layers.0.bn1.weight"];
        p->rounding = rounding;
        for (const Tensor &t : net->parameters()) t.mutable_grad() = torch::ones_like(t);
        mark_random(*p, 1);
        double sum = 0;
        const torch::NoGradGuard no_grad;
        gamma.fill_(1);
        gamma.mutable_grad().fill_(0);
        p->penalty(1, MSKP_ROLE_SCALE);
        const double marked = gamma.grad().sum(torch::kDouble).item<double>();
        for (const Tensor &t : net->parameters()) t.mutable_grad().fill_(1);
        p->penalty_asked = p->penalty_lost = 0;
        for (int64_t i = 0; i < STEPS; i++) {
            gamma.mutable_grad().fill_(1);
            p->penalty(0x1p-13, MSKP_ROLE_SCALE);
            sum += gamma.grad().sub(1).sum(torch::kDouble).item<double>();
        }
        ck_assert(marked > 0 && p->penalty_asked > 0);
        if (rounding == MSKP_ROUNDING_NEAREST) {
            ck_assert(sum == 0 && p->penalty_lost == p->penalty_asked);
            continue;
        }
        /* In units of the penalty, a gradient moves by 64 with a probability of 1/64. */
        const double mean = sum / (double)STEPS / 0x1p-13;
        const double deviation = std::sqrt(marked * 63 / (double)STEPS);
        ck_assert_msg(std::fabs(mean - marked) < 5 * deviation,
                      "%g of %g gammas were moved in the mean", mean, marked);
        ck_assert(p->penalty_lost < p->penalty_asked);
    }
}
END_TEST

/* ============================================================================================== */
/*                                  Other networks than ResNets                                   */
/* ============================================================================================== */

/* A linear layer that has its weight from another one. */
struct TiedImpl : torch::nn::Module {
    explicit TiedImpl(const Tensor &other) : weight(register_parameter("weight", other))
    {
    }

    Tensor forward(const Tensor &x)
    {
        return torch::nn::functional::linear(x, weight);
    }

    mskp_value describe(Pruner &p, mskp_value x)
    {
        return mskp_linear(p.graph(), "tied", x, p.param(weight), {});
    }

    Tensor weight;
};
TORCH_MODULE(Tied);

/* Names of paddings, another padding mode, a norm without gammas, an operator of its own, tied
 * weights, one axis. */
struct ZooImpl : torch::nn::Module {
    ZooImpl()
    {
        using Options = torch::nn::Conv1dOptions;
        const auto circular = Options(6, 6, 4).padding(torch::kSame).padding_mode(torch::kCircular);
        same = register_module(
            "same", torch::nn::Conv1d(Options(2, 6, 5).padding(torch::kSame).dilation(2)));
        norm = register_module(
            "norm", torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(6).affine(false)));
        around = register_module("around", torch::nn::Conv1d(circular));
        valid = register_module(
            "valid", torch::nn::Conv1d(Options(6, 8, 3).padding(torch::kValid).stride(2)));
        scale = register_parameter("scale", torch::rand({8, 1}) + 0.5);
        mix = register_module("mix", torch::nn::Linear(8, 8));
        tied = register_module("tied", Tied(mix->weight));
        head = register_module("head", torch::nn::Linear(8, 3));
    }

    Tensor forward(Tensor x)
    {
        x = norm(same(x)).relu();
        x = valid(around(x).relu());
        x = (x * scale).relu();
        x = tied(mix(x.mean(2)).relu());
        return head(x.relu());
    }

    mskp_value describe(Pruner &p, mskp_value x)
    {
        const size_t shape[] = {8, 1};
        x = p.relu(p.norm(norm, p.conv(same, x)));
        x = p.conv(valid, p.relu(p.conv(around, x)));
        const mskp_param s = p.know(mskp_parameter(p.graph(), "mine", 2, shape), scale);
        mskp_bind(p.graph(), s, 0, MSKP_ROLE_SCALE, x);
        x = p.linear(mix, p.flatten(p.global_average(p.relu(x))));
        x = tied->describe(p, p.relu(x));
        return p.linear(head, p.relu(x));
    }

    torch::nn::Conv1d same = nullptr, around = nullptr, valid = nullptr;
    torch::nn::BatchNorm1d norm = nullptr;
    Tensor scale;
    torch::nn::Linear mix = nullptr, head = nullptr;
    Tied tied = nullptr;
};
TORCH_MODULE(Zoo);

/* Grouped, depthwise (one and two filters per channel) and transposed convolutions. */
struct GroupsImpl : torch::nn::Module {
    GroupsImpl()
    {
        using Options = torch::nn::Conv2dOptions;
        using Up = torch::nn::ConvTranspose2dOptions;
        first = register_module("first", torch::nn::Conv2d(Options(3, 8, 3).padding(1)));
        depthwise = register_module("depthwise", torch::nn::Conv2d(Options(8, 16, 3).groups(8)));
        grouped = register_module("grouped", torch::nn::Conv2d(Options(16, 12, 3).groups(4)));
        up = register_module(
            "up", torch::nn::ConvTranspose2d(Up(12, 10, 3).stride(2).output_padding(1).groups(2)));
        wide = register_module("wide", torch::nn::ConvTranspose2d(Up(10, 10, 2).groups(10)));
        last = register_module("last", torch::nn::Conv2d(Options(10, 4, 1)));
    }

    Tensor forward(Tensor x)
    {
        x = grouped(depthwise(first(x).relu()).relu()).relu();
        return last(wide(up(x).relu()).relu());
    }

    mskp_value describe(Pruner &p, mskp_value x)
    {
        x = p.relu(p.conv(depthwise, p.relu(p.conv(first, x))));
        x = p.relu(p.conv(up, p.relu(p.conv(grouped, x))));
        return p.conv(last, p.relu(p.conv(wide, x)));
    }

    torch::nn::Conv2d first = nullptr, depthwise = nullptr, grouped = nullptr, last = nullptr;
    torch::nn::ConvTranspose2d up = nullptr, wide = nullptr;
};
TORCH_MODULE(Groups);

/* Nothing is padded with zeros; functions for which 0 is not special. */
struct UnpaddedImpl : torch::nn::Module {
    UnpaddedImpl()
    {
        using Options = torch::nn::Conv1dOptions;
        const auto around = Options(2, 9, 3).padding(1).padding_mode(torch::kCircular);
        first = register_module("first", torch::nn::Conv1d(around));
        norm = register_module("norm", torch::nn::BatchNorm1d(9));
        second = register_module("second", torch::nn::Conv1d(Options(9, 8, 3).stride(2)));
        third = register_module("third", torch::nn::Conv1d(Options(8, 7, 1).bias(false)));
        after = register_module("after",
                                torch::nn::BatchNorm1d(torch::nn::BatchNorm1dOptions(7).eps(1e-2)));
        head = register_module("head", torch::nn::Linear(7, 3));
    }

    Tensor forward(Tensor x)
    {
        x = torch::silu(norm(first(x)));
        x = torch::sigmoid(second(x));
        x = torch::leaky_relu(after(third(x)), 0.2);
        return head(x.mean(2));
    }

    mskp_value describe(Pruner &p, mskp_value x)
    {
        x = p.activation(MSKP_ACTIVATION_SILU, p.norm(norm, p.conv(first, x)));
        x = p.activation(MSKP_ACTIVATION_SIGMOID, p.conv(second, x));
        x = p.norm(after, p.conv(third, x));
        x = p.activation(MSKP_ACTIVATION_LEAKY_RELU, x, 0.2);
        return p.linear(head, p.flatten(p.global_average(x)));
    }

    torch::nn::Conv1d first = nullptr, second = nullptr, third = nullptr;
    torch::nn::BatchNorm1d norm = nullptr, after = nullptr;
    torch::nn::Linear head = nullptr;
};
TORCH_MODULE(Unpadded);

Unpadded make_unpadded(uint64_t seed)
{
    torch::manual_seed(seed);
    Unpadded net;
    for (torch::nn::BatchNorm1d norm : {net->norm, net->after}) {
        norm->running_mean.normal_(), norm->running_var.uniform_(0.5, 1.5);
        norm->weight.uniform_(0.5, 1.5);
    }
    net->eval();
    return net;
}

void describe_any(Pruner &p, ResNet &net)
{
    p.finish({net->describe(p, p.input(3, {SIDE, SIDE}))});
}
void describe_any(Pruner &p, Unpadded &net)
{
    p.finish({net->describe(p, p.input(2, {20}))});
}

/* Every way of keeping constants leaves the outputs as they were wherever the report says that
 * it is exact. evaluate() gives the outputs; make() gives the same network each time. */
template <class Net, class Make, class Evaluate>
void check_carried(uint64_t seed, Make make, Evaluate evaluate, bool folds, bool merges)
{
    Tensor dropped;
    for (const auto way :
         {MSKP_CONSTANTS_DROP, MSKP_CONSTANTS_AUTO, MSKP_CONSTANTS_FOLD, MSKP_CONSTANTS_MERGE}) {
        Net net = make(seed);
        auto p = std::make_unique<Pruner>(*net);
        describe_any(*p, net);
        mark_random(*p, seed);
        law_make_constant(p->graph(), mask_of(p->keep()), seed, p->values());
        const Tensor before = evaluate(net);
        p->constants = {}, p->constants.way = way;
        const mskp_constants_report total = p->cut();
        const Tensor after = evaluate(net);
        const std::string what = "seed " + std::to_string(seed) + ", way " + std::to_string(way);
        if (way == MSKP_CONSTANTS_DROP) {
            ck_assert_msg(!total.exact && total.dropped > 0, "%s: nothing was lost", what.c_str());
            dropped = after;
            continue;
        }
        /* sums of at most 288 products in another order, through 8 layers */
        const int exact = law_carried(what.c_str(), &total, static_cast<size_t>(before.numel()),
                                      before.data_ptr<float>(), after.data_ptr<float>(),
                                      dropped.data_ptr<float>(), 1e-5);
        const bool expected =
            (way == MSKP_CONSTANTS_FOLD && folds) || (way == MSKP_CONSTANTS_MERGE && merges);
        ck_assert_msg(exact || !expected, "%s: %s", what.c_str(), total.why);
        if (way == MSKP_CONSTANTS_FOLD) ck_assert_uint_eq(total.carriers, 0);
    }
}

/* Merging is exact with padded convolutions, folding where nothing is padded with zeros. */
START_TEST(constants_survive_the_cut)
{
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        const torch::NoGradGuard no_grad;
        torch::manual_seed(SEED_MIX + seed);
        const Tensor images = torch::randn({BATCH, 3, SIDE, SIDE});
        const Tensor lines = torch::randn({4, 2, 20});
        check_carried<ResNet>(
            seed, make_net, [&](ResNet &net) { return evaluate(net, images); }, false, true);
        check_carried<Unpadded>(
            seed, make_unpadded, [&](Unpadded &net) { return net->forward(lines).contiguous(); },
            true, true);
    }
}
END_TEST

/* Gradients and state of what constants replaced are 0; all else keeps its own. */
START_TEST(what_constants_replaced_has_no_momentum)
{
    for (const auto way : {MSKP_CONSTANTS_MERGE, MSKP_CONSTANTS_FOLD}) {
        ResNet net = make_net(5);
        const auto p = describe(net);
        const Optimizer optimizer = adam(net->parameters());
        backward(net, make_batch(5));
        optimizer->step();
        mark_random(*p, 5);
        law_make_constant(p->graph(), mask_of(p->keep()), 5, p->values());
        p->constants = {}, p->constants.way = way;
        law_constants asked =
            law_ask_constants(p->graph(), mask_of(p->keep()), &p->constants, p->values());
        p->cut({*optimizer});
        for (const mskp::set &set :
             {p->gradients(), state_set(*p, *optimizer, 0), state_set(*p, *optimizer, 1)})
            ck_assert_uint_gt(law_stale_cleared(&asked, p->graph(), set), 50);
        law_forget_constants(&asked);
        optimizer->step();
    }
}
END_TEST

/* A rule on MACs holds with the carriers, and the cut gives the network that was promised. */
START_TEST(the_budget_includes_the_carriers)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ResNet net = make_net(seed);
        const auto p = describe(net);
        mskp_rule rule{};
        rule.max_macs = 0.5 * p->cost().macs;
        p->constants.way = MSKP_CONSTANTS_MERGE;
        const mskp_selection promised = p->select(rule);
        ck_assert_uint_gt(p->cut().carriers, 0);
        ck_assert_double_le(p->cost().macs, rule.max_macs);
        ck_assert_double_eq(p->cost().macs, promised.cost.macs);
        ck_assert_double_eq(p->cost().macs, count_macs(net));
    }
}
END_TEST

/* A second module with averages of the values: the same mask, with folding, gives the same
 * shapes. */
START_TEST(an_average_is_cut_like_the_network)
{
    ResNet net = make_net(3), average = make_net(3);
    const auto p = describe(net), q = describe(average);
    {
        const torch::NoGradGuard no_grad;
        for (const Tensor &t : average->parameters()) t.mul_(0.9);
    }
    mark_random(*p, 3);
    q->mark(p->keep());
    p->constants.way = q->constants.way = MSKP_CONSTANTS_FOLD;
    p->cut(), q->cut();
    const auto a = net->named_parameters(), b = average->named_parameters();
    for (const auto &item : a) ck_assert(item.value().sizes() == b[item.key()].sizes());
    ck_assert(evaluate(average, make_batch(1).images).isfinite().all().item<bool>());
}
END_TEST

START_TEST(groups_follow)
{
    size_t fewer = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const torch::NoGradGuard no_grad;
        torch::manual_seed(seed);
        Groups net;
        Pruner p(*net);
        p.finish({net->describe(p, p.input(3, {SIDE, SIDE}))});
        const Tensor x = torch::randn({2, 3, SIDE, SIDE});
        mark_random(p, seed);
        const Tensor whole = net->forward(x);
        zero_removed(p, p.values());
        const Tensor zeroed = net->forward(x);
        p.cut();
        const Tensor small = net->forward(x);
        law_close("groups", static_cast<size_t>(small.numel()), zeroed.data_ptr<float>(),
                  small.data_ptr<float>(), 1e-5);
        ck_assert((whole - small).abs().max().item<float>() > 1e-3F);
        ck_assert_int_eq(net->depthwise->options.groups(), net->first->weight.size(0));
        ck_assert_int_eq(net->depthwise->options.out_channels(), 2 * net->first->weight.size(0));
        ck_assert_int_eq(net->grouped->options.groups(), 4);
        ck_assert_int_eq(net->up->options.groups(), 2);
        ck_assert_int_eq(net->wide->options.groups(), net->wide->weight.size(0));
        fewer += net->depthwise->options.groups() < 8;
    }
    ck_assert_msg(fewer > 0, "no seed removed a depthwise channel");
}
END_TEST

START_TEST(other_networks)
{
    constexpr size_t LENGTH = 20;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        const torch::NoGradGuard no_grad;
        torch::manual_seed(seed);
        Zoo net;
        net->norm->running_mean.normal_(), net->norm->running_var.uniform_(0.5, 1.5);
        net->eval();
        Pruner p(*net);
        p.finish({net->describe(p, p.input(2, {LENGTH}))});
        const Tensor x = torch::randn({4, 2, static_cast<int64_t>(LENGTH)});
        const auto macs = [&] {
            return static_cast<double>(
                20 * (net->same->weight.numel() + net->around->weight.numel()) +
                9 * net->valid->weight.numel() + 2 * net->mix->weight.numel() +
                net->head->weight.numel());
        };
        ck_assert_double_eq(p.cost().macs, macs());
        ck_assert_uint_eq(p.param(net->tied->weight).id, p.param(net->mix->weight).id);
        mark_random(p, seed);
        mskp_cost promised;
        ck_assert(!mskp_measure(p.graph(), mask_of(p.keep()), &promised, nullptr, nullptr));
        const Tensor whole = net->forward(x);
        zero_removed(p, p.values());
        const Tensor zeroed = net->forward(x);
        p.cut();
        const Tensor small = net->forward(x);
        law_close("another network", static_cast<size_t>(small.numel()), zeroed.data_ptr<float>(),
                  small.data_ptr<float>(), 1e-5);
        ck_assert((whole - small).abs().max().item<float>() > 1e-3F);
        ck_assert_double_eq(promised.macs, macs());
        ck_assert(net->tied->weight.is_same(net->mix->weight));
        ck_assert_int_eq(net->scale.size(0), net->valid->weight.size(0));
        ck_assert_int_eq(net->norm->options.num_features(), net->same->weight.size(0));
        ck_assert_int_eq(net->mix->options.in_features(), net->mix->weight.size(1));
    }
}
END_TEST

/* ============================================================================================== */
/*                                       Whole branches                                           */
/* ============================================================================================== */

torch::nn::Conv2d make_layer(const torch::nn::Conv2d &, int64_t in, int64_t out, int64_t size,
                             bool bias)
{
    using Options = torch::nn::Conv2dOptions;
    return torch::nn::Conv2d(Options(in, out, size).padding(size / 2).bias(bias));
}
torch::nn::Linear make_layer(const torch::nn::Linear &, int64_t in, int64_t out, int64_t, bool bias)
{
    return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(bias));
}
mskp_value describe_layer(Pruner &p, const torch::nn::Conv2d &layer, mskp_value x)
{
    return p.conv(layer, x);
}
mskp_value describe_layer(Pruner &p, const torch::nn::Linear &layer, mskp_value x)
{
    return p.linear(layer, x);
}

/* How a branch ends: in a norm, or in a layer with or without a bias. */
enum Ending { IN_NORM, IN_BIAS, IN_NOTHING, ENDINGS };

/* A residual block of two layers. known: its description says that the branch may vanish. */
template <class Layer, class Norm> struct BranchImpl : torch::nn::Module {
    BranchImpl(Ending how, int64_t width, int64_t size, bool known) : ending(how), is_known(known)
    {
        first = register_module("first", make_layer(first, width, width + 2, size, how == IN_BIAS));
        inside = register_module("inside", Norm(width + 2));
        second = register_module("second",
                                 make_layer(second, width + 2, width, size, how != IN_NOTHING));
        outer = register_module("outer", Norm(width));
    }

    Tensor branch(Tensor x)
    {
        x = first(ending == IN_NOTHING ? outer(x).relu() : x);
        x = second(ending == IN_BIAS ? x.relu() : inside(x).relu());
        return ending == IN_NORM ? outer(x) : x;
    }

    Tensor forward(const Tensor &x)
    {
        const auto compute = [&] { return branch(x); };
        return ending == IN_NORM ? mskp::add(x, outer, compute).relu()
                                 : mskp::add(x, second, compute).relu();
    }

    mskp_value describe_branch(Pruner &p, mskp_value x)
    {
        x = describe_layer(p, first, ending == IN_NOTHING ? p.relu(p.norm(outer, x)) : x);
        x = describe_layer(p, second, p.relu(ending == IN_BIAS ? x : p.norm(inside, x)));
        return ending == IN_NORM ? p.norm(outer, x) : x;
    }

    mskp_value describe(Pruner &p, mskp_value x)
    {
        const auto compute = [&] { return describe_branch(p, x); };
        if (!is_known) return p.relu(p.add(x, compute()));
        return p.relu(ending == IN_NORM ? p.add(x, outer, compute) : p.add(x, second, compute));
    }

    /* All is empty, except what the branch still adds. Norms that nothing computes stay. */
    void check_gone(const char *what) const
    {
        const Tensor shift = ending == IN_NORM ? outer->bias : second->bias;
        int64_t numbers = first->weight.numel() + second->weight.numel();
        if (ending != IN_BIAS) numbers += inside->weight.numel() + inside->running_var.numel();
        if (ending != IN_BIAS) numbers += outer->weight.numel() + outer->running_mean.numel();
        if (ending == IN_NOTHING) numbers += outer->bias.numel();
        if (ending == IN_BIAS) numbers += first->bias.numel();
        if (ending == IN_NORM) numbers += second->bias.numel();
        ck_assert_msg(numbers == 0, "%s: %d numbers are left of %s", what, (int)numbers,
                      name().c_str());
        ck_assert(ending == IN_NOTHING ? !shift.defined() : shift.numel() > 0);
        const auto copy = std::dynamic_pointer_cast<typename Layer::ContainedType>(first->clone());
        ck_assert(copy->weight.numel() == 0);
    }

    Ending ending;
    bool is_known;
    Layer first = nullptr, second = nullptr;
    Norm inside = nullptr, outer = nullptr;
};
using ImageBranchImpl = BranchImpl<torch::nn::Conv2d, torch::nn::BatchNorm2d>;
using VectorBranchImpl = BranchImpl<torch::nn::Linear, torch::nn::BatchNorm1d>;
TORCH_MODULE(ImageBranch);
TORCH_MODULE(VectorBranch);

/* Branches of images and of vectors, each with every ending, in an order that the seed draws. size:
 * of the windows. */
struct BranchesImpl : torch::nn::Module {
    BranchesImpl(int64_t size, bool known, const std::vector<int64_t> &order)
    {
        stem = register_module("stem", make_layer(stem, 3, 8, 3, true));
        for (size_t i = 0; i < ENDINGS; i++) {
            images->push_back(ImageBranch(static_cast<Ending>(order[i]), 8, size, known));
            vectors->push_back(VectorBranch(static_cast<Ending>(order[i]), 8, size, known));
        }
        register_module("images", images);
        register_module("vectors", vectors);
        head = register_module("head", torch::nn::Linear(8, 10));
    }

    Tensor forward(const Tensor &x)
    {
        return head(vectors->forward(images->forward(stem(x).relu()).mean({2, 3})));
    }

    mskp_value describe(Pruner &p, mskp_value x)
    {
        x = p.relu(p.conv(stem, x));
        for (size_t i = 0; i < ENDINGS; i++) x = images->at<ImageBranchImpl>(i).describe(p, x);
        x = p.flatten(p.global_average(x));
        for (size_t i = 0; i < ENDINGS; i++) x = vectors->at<VectorBranchImpl>(i).describe(p, x);
        return p.linear(head, x);
    }

    double macs() const
    {
        int64_t n = stem->weight.numel() * SIDE * SIDE + head->weight.numel();
        for (const auto &m : images->modules(false))
            if (const auto *c = m->as<torch::nn::Conv2d>()) n += c->weight.numel() * SIDE * SIDE;
        for (const auto &m : vectors->modules(false))
            if (const auto *l = m->as<torch::nn::Linear>()) n += l->weight.numel();
        return static_cast<double>(n);
    }

    torch::nn::Conv2d stem = nullptr;
    torch::nn::Sequential images, vectors;
    torch::nn::Linear head = nullptr;
};
TORCH_MODULE(Branches);

Branches make_branches(uint64_t seed, int64_t size = 3, bool known = true)
{
    torch::manual_seed(seed);
    const Tensor order = torch::randperm(ENDINGS, torch::kLong);
    Branches net(
        size, known,
        std::vector<int64_t>(order.data_ptr<int64_t>(), order.data_ptr<int64_t>() + ENDINGS));
    randomize(*net);
    return net;
}

void describe_any(Pruner &p, Branches &net)
{
    p.finish({net->describe(p, p.input(3, {SIDE, SIDE}))});
}

std::unique_ptr<Pruner> describe(Branches &net)
{
    auto p = std::make_unique<Pruner>(*net);
    describe_any(*p, net);
    return p;
}

std::string branch_name(size_t i)
{
    return (i < ENDINGS ? "images." : "vectors.") + std::to_string(i % ENDINGS);
}

/* Bits of the branches, images first. */
constexpr size_t ALL_BRANCHES = (1U << 2 * ENDINGS) - 1;

/* Some branches, but not all; each with every ending over the seeds. */
size_t draw_branches(uint64_t seed)
{
    return 1 + (seed * 23 + 11) % (ALL_BRANCHES - 1);
}

/* The branches whose last layer has a norm or a bias. */
size_t with_shift(const Branches &net)
{
    size_t bits = 0;
    for (size_t i = 0; i < ENDINGS; i++) {
        bits |= size_t{net->images->at<ImageBranchImpl>(i).ending != IN_NOTHING} << i;
        bits |= size_t{net->vectors->at<VectorBranchImpl>(i).ending != IN_NOTHING} << (ENDINGS + i);
    }
    return bits;
}

/* Empties these branches, and removes about this part of all other units. */
void mark_branches(Pruner &p, uint64_t seed, size_t which, double part)
{
    std::vector<uint8_t> keep(p.keep().size(), 1);
    if (part > 0) law_random_mask(p.graph(), part, seed, mask_of(keep));
    for (size_t i = 0; i < 2 * ENDINGS; i++) {
        size_t n = 0;
        if (!(which >> i & 1)) continue;
        const mskp_value first = mskp_value_find(p.graph(), (branch_name(i) + ".first").c_str());
        const uint32_t *unit = mskp_value_units(p.graph(), first, &n);
        ck_assert_uint_gt(n, 0);
        for (size_t k = 0; k < n; k++) keep[unit[k]] = 0;
    }
    p.mark(keep);
}

/* These branches and no others have vanished. */
void check_branches(const char *what, const Pruner &p, const Branches &net, size_t gone)
{
    const auto check = [&](size_t i, const auto &branch) {
        const bool expected = gone >> i & 1;
        ck_assert_msg(mskp::vanished(branch.first) == expected, "%s: %s", what,
                      branch_name(i).c_str());
        if (expected) branch.check_gone(what);
    };
    for (size_t i = 0; i < ENDINGS; i++) {
        check(i, net->images->at<ImageBranchImpl>(i));
        check(ENDINGS + i, net->vectors->at<VectorBranchImpl>(i));
    }
    ck_assert_double_eq(p.cost().macs, net->macs());
}

/* State and gradients have the shapes of the parameters. */
void check_shapes(const torch::nn::Module &net, torch::optim::Optimizer &optimizer)
{
    for (const Tensor &t : net.parameters()) {
        const auto s = optimizer.state().find(c10::guts::to_string(t.unsafeGetTensorImpl()));
        if (t.grad().defined()) ck_assert(t.grad().sizes() == t.sizes());
        if (s == optimizer.state().end()) continue;
        for (const Tensor *k : mskp::state_tensors(*s->second))
            ck_assert(!k->defined() || k->sizes() == t.sizes());
    }
}

/* Zeros in what leaves, then the cut; and once more, where some branches have vanished already. In
 * every second network the tensors are elsewhere. */
START_TEST(branches_vanish)
{
    const auto seed = static_cast<uint64_t>(_i) + 1;
    const std::string what = "seed " + std::to_string(seed);
    const size_t first = draw_branches(seed);
    const Here here[] = {[](const Tensor &t) { return t.is_cpu(); }, HERE[0]};
    Branches net = make_branches(seed);
    const auto p = describe(net);
    const Optimizer optimizer = adam(net->parameters());
    const Batch batch = make_batch(seed);
    backward(net, batch), optimizer->step();
    for (const size_t which : {first, ALL_BRANCHES & ~first}) {
        mskp_cost promised;
        mark_branches(*p, seed, which, 0.3);
        ck_assert(!mskp_measure(p->graph(), mask_of(p->keep()), &promised, nullptr, nullptr));
        const Tensor whole = evaluate(net, batch.images);
        zero_removed(*p, p->values());
        const Tensor zeroed = evaluate(net, batch.images);
        p->here = here[_i % 2];
        const mskp_constants_report total = p->cut({*optimizer});
        p->here = here[0];
        const Tensor small = evaluate(net, batch.images);
        ck_assert_msg(total.exact, "%s: %s", what.c_str(), total.why);
        /* sums of at most 90 products in another order, through 14 layers */
        law_close(what.c_str(), static_cast<size_t>(small.numel()), zeroed.data_ptr<float>(),
                  small.data_ptr<float>(), 1e-5);
        ck_assert_msg((whole - small).abs().max().item<float>() > 1e-2F, "%s: nothing was shown",
                      what.c_str());
        check_branches(what.c_str(), *p, net, which == first ? first : ALL_BRANCHES);
        ck_assert_double_eq(p->cost().macs, promised.macs);
        ck_assert_double_eq(p->cost().params, promised.params);
        check_shapes(*net, *optimizer);
        optimizer->zero_grad();
        backward(net, batch);
        if (which == first) mark_random(*p, seed), check_landed(*p, GAMMA_BETA, 1e-3);
        optimizer->step();
    }
}
END_TEST

/* While the channels of a branch are constants, the branch adds constants. They are moved into its
 * shift, if it has one. Windows of one pixel have no border, so this is exact. */
START_TEST(what_a_branch_adds_stays)
{
    const auto seed = static_cast<uint64_t>(_i) + 1;
    const Batch batch = make_batch(seed);
    for (const bool all : {false, true}) {
        Tensor dropped;
        for (const auto way : {MSKP_CONSTANTS_DROP, MSKP_CONSTANTS_AUTO, MSKP_CONSTANTS_FOLD}) {
            Branches net = make_branches(seed, 1);
            const auto p = describe(net);
            const size_t which = all ? ALL_BRANCHES : draw_branches(seed) & with_shift(net);
            mark_branches(*p, seed, which, 0);
            law_make_constant(p->graph(), mask_of(p->keep()), seed, p->values());
            const Tensor before = evaluate(net, batch.images);
            p->constants = {}, p->constants.way = way;
            const mskp_constants_report total = p->cut();
            const Tensor after = evaluate(net, batch.images);
            const std::string what =
                "seed " + std::to_string(seed) + ", way " + std::to_string(way);
            check_branches(what.c_str(), *p, net, which);
            if (way == MSKP_CONSTANTS_DROP) {
                dropped = after;
                continue;
            }
            const int exact = law_carried(what.c_str(), &total, static_cast<size_t>(before.numel()),
                                          before.data_ptr<float>(), after.data_ptr<float>(),
                                          dropped.data_ptr<float>(), 1e-5);
            ck_assert_msg(exact == !all, "%s: %s", what.c_str(), total.why ? total.why : "exact");
        }
    }
}
END_TEST

/* As training_goes_on: a branch of zeros in training adds what is left of it after the cut. */
START_TEST(training_goes_on_without_branches)
{
    const MakeOptimizer kinds[] = {sgd, adam, adamw};
    for (uint64_t seed = 1; seed <= 2 * SEEDS; seed++) {
        const auto begin = [&](Pruner &p) {
            mark_branches(p, seed, draw_branches(seed), 0.3);
            drop_constants(p); /* those of running means, which training does not use */
        };
        const auto make_any = [](uint64_t any) { return make_branches(any); };
        const double apart = continue_both(make_any, begin, seed, torch::kDouble, kinds[_i], false);
        ck_assert_msg(apart <= 1e-9, "seed %d: the losses differ by %g", (int)seed, apart);
        if (seed > 1) continue;
        const double lost = continue_both(make_any, begin, seed, torch::kDouble, kinds[_i], true);
        ck_assert_msg(lost > 1e-3, "seed %d: lost state makes only %g", (int)seed, lost);
    }
}
END_TEST

/* A file says what has vanished. The network that reads it is described without it. */
START_TEST(the_loader_reads_what_is_left)
{
    const auto seed = static_cast<uint64_t>(_i) + 1;
    const size_t which = draw_branches(seed);
    const Batch batch = make_batch(seed);
    Branches net = make_branches(seed), loaded = make_branches(seed);
    const auto p = describe(net);
    mark_branches(*p, seed, which, 0.3);
    p->cut();
    std::stringstream file;
    torch::save(net, file);
    torch::load(loaded, file);
    ck_assert(evaluate(loaded, batch.images).equal(evaluate(net, batch.images)));
    const auto q = describe(loaded);
    check_branches("loaded", *q, loaded, which);
    ck_assert_double_eq(q->cost().params, p->cost().params);

    const Optimizer optimizer = sgd(net->parameters()), other = sgd(loaded->parameters());
    mark_branches(*p, seed, ALL_BRANCHES & ~which, 0);
    mark_branches(*q, seed, ALL_BRANCHES & ~which, 0);
    for (uint64_t step = 0; step < 2; step++) {
        optimizer->zero_grad(), other->zero_grad();
        backward(net, batch), backward(loaded, batch);
        if (!step) p->penalty(1e-3), q->penalty(1e-3);
        optimizer->step(), other->step();
        if (!step) p->cut({*optimizer}), q->cut({*other});
    }
    check_branches("loaded", *q, loaded, ALL_BRANCHES);
    for (const Tensor &t : loaded->parameters()) t.mutable_grad().reset();
    for (const Tensor &t : net->parameters()) t.mutable_grad().reset();
    check_same("after two more steps", snapshot(*net), snapshot(*loaded), seed);
}
END_TEST

/* With empty_branches, branches go where they are worth least, and the budget holds. */
START_TEST(a_rule_may_empty_branches)
{
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        ResNet net(1, std::array<int64_t, 3>{8, 16, 32});
        randomize(*net);
        const auto p = describe(net);
        mskp_rule rule{};
        mskp_scoring how{};
        rule.max_macs = 0.6 * p->cost().macs, rule.empty_branches = 1;
        how.reduce = MSKP_REDUCE_MEAN;
        BlockImpl &block = net->layers->at<BlockImpl>(seed % 3);
        {
            const torch::NoGradGuard no_grad;
            block.bn1->weight.mul_(1e-3);
        }
        const mskp_selection promised = p->select(rule, how);
        p->cut();
        ck_assert(mskp::vanished(block.conv1) && mskp::vanished(block.bn2));
        ck_assert(block.bn2->bias.numel() > 0);
        ck_assert_double_le(p->cost().macs, rule.max_macs);
        ck_assert_double_eq(p->cost().macs, promised.cost.macs);
        ck_assert_double_eq(p->cost().macs, count_macs(net));
        ck_assert_double_eq(p->cost().params, count_parameters(net));
        ck_assert(evaluate(net, make_batch(seed).images).isfinite().all().item<bool>());
    }
}
END_TEST

/* What is wrong with a description: another module than the last one is named; the last one is used
 * elsewhere, too; or an addition within the branch is not described like that of the branch. */
enum Mistake { OTHER_MODULE, SHARED_MODULE, WITHIN, MISTAKES };

struct WrongImpl : torch::nn::Module {
    explicit WrongImpl(Mistake what) : mistake(what)
    {
        first = register_module("first", make_layer(first, 4, 4, 1, true));
        second = register_module("second", make_layer(second, 4, 4, 1, true));
        norm = register_module("norm", torch::nn::BatchNorm2d(4));
        third = register_module("third", make_layer(third, 4, 4, 1, true));
    }

    mskp_value describe(Pruner &p, mskp_value x)
    {
        const auto branch = [&] {
            const mskp_value y = p.conv(second, p.relu(p.conv(first, x)));
            return p.norm(norm, mistake == WITHIN ? p.conv(third, p.add(x, y)) : y);
        };
        if (mistake == WITHIN) return p.add(x, norm, branch);
        x = mistake == OTHER_MODULE ? p.add(x, second, branch)
                                    : p.norm(norm, p.add(x, norm, branch));
        return p.conv(third, x);
    }

    Mistake mistake;
    torch::nn::Conv2d first = nullptr, second = nullptr, third = nullptr;
    torch::nn::BatchNorm2d norm = nullptr;
};
TORCH_MODULE(Wrong);

/* What forward() could not do without is refused, by select() already, and nothing changes. */
START_TEST(other_branches_stay)
{
    Branches net = make_branches(1, 3, false);
    const auto p = describe(net);
    const Optimizer optimizer = sgd(net->parameters());
    backward(net, make_batch(1)), optimizer->step();
    mark_branches(*p, 1, 1, 0.3);
    const std::vector<uint8_t> keep = p->keep();
    const Tensors before = snapshot(*net, optimizer.get());
    check_refused("only one that is described by add(other, last, branch)",
                  [&] { p->cut({*optimizer}); });
    mskp_rule rule{};
    rule.remove_fraction = 0.65, rule.empty_branches = 1;
    check_refused("only one that is described by add(other, last, branch)",
                  [&] { p->select(rule); });
    ck_assert(p->keep() == keep);
    check_same("after a refusal", before, snapshot(*net, optimizer.get()), 1);
    const char *const words[MISTAKES] = {"second.weight is not the weight",
                                         "norm.weight is not the weight",
                                         "first: the mask removes all of a branch, but only one"};
    for (size_t m = 0; m < MISTAKES; m++) {
        Wrong wrong(static_cast<Mistake>(m));
        Pruner q(*wrong);
        q.finish({wrong->describe(q, q.input(4, {SIDE, SIDE}))});
        std::vector<uint8_t> none(q.keep().size(), 1);
        size_t n = 0;
        const uint32_t *unit = mskp_value_units(q.graph(), mskp_value_find(q.graph(), "first"), &n);
        for (size_t i = 0; i < n; i++) none[unit[i]] = 0;
        q.mark(none);
        const Tensors all = snapshot(*wrong);
        check_refused(words[m], [&] { q.cut(); });
        check_same("after a refusal", all, snapshot(*wrong), 1);
    }
    Pruner q(*net);
    const mskp_value x = q.input(8, {SIDE, SIDE});
    check_refused("the branch computes nothing", [&] { q.add(x, net->stem, [&] { return x; }); });
    Zoo zoo;
    Pruner z(*zoo);
    check_refused("norm: add needs a last module", [&] { z.add(x, zoo->norm, [&] { return x; }); });
}
END_TEST

/* ============================================================================================== */
/*                                        What goes wrong                                         */
/* ============================================================================================== */

START_TEST(refused_while_describing)
{
    ResNet net = make_net(1);
    torch::nn::Conv2d stranger(3, 8, 3);
    {
        Pruner p(*net);
        check_refused("not registered", [&] { p.conv(stranger, p.input(3, {SIDE, SIDE})); });
        check_refused("neither a parameter nor a buffer", [&] { p.param(stranger->weight); });
        check_refused("counts must be a registered buffer", [&] {
            p.pad_channels({1}, torch::tensor({1, 1}));
        });
    }
    { /* the library's own sentence, of the first thing that was wrong */
        Pruner p(*net);
        const mskp_value y = net->describe(p, p.input(4, {SIDE, SIDE}));
        check_refused("conv1", [&] { p.finish({y}); });
    }
    { /* declared on the graph, but what is it? */
        Pruner p(*net);
        const size_t shape[] = {8};
        mskp_value y = p.conv(net->conv1, p.input(3, {SIDE, SIDE}));
        mskp_bind(p.graph(), mskp_parameter(p.graph(), "mine", 1, shape), 0, MSKP_ROLE_SCALE, y);
        y = p.norm(net->bn1, y);
        check_refused("mine: declared without a tensor", [&] { p.finish({y}); });
    }
    { /* a tensor of another shape */
        Pruner p(*net);
        const size_t shape[] = {8};
        const mskp_value y = p.conv(net->conv1, p.input(3, {SIDE, SIDE}));
        mskp_bind(p.graph(), p.know(mskp_parameter(p.graph(), "mine", 1, shape), net->linear->bias),
                  0, MSKP_ROLE_SCALE, y);
        check_refused("mine: its shape", [&] { p.finish({y}); });
    }
    { /* a view that somebody else holds */
        Pruner p(*net);
        const Tensor other = net->conv1->weight.detach();
        const mskp_value y = net->describe(p, p.input(3, {SIDE, SIDE}));
        check_refused("conv1.weight: another tensor shares", [&] { p.finish({y}); });
    }
}
END_TEST

START_TEST(refused_by_the_penalty)
{
    ResNet net = make_net(1);
    const auto p = describe(net);
    mark_random(*p, 1);
    const Tensors before = snapshot(*net);
    check_refused("all gradients are missing", [&] { p->penalty(1e-3); });
    check_refused("the network has", [&] { p->mark({1, 0, 1}); });
    check_same("nothing happened", before, snapshot(*net), 1);
    backward(net, make_batch(1));
    const Tensors then = snapshot(*net);
    check_refused("strength is NaN", [&] { p->penalty(std::nan("")); });
    Tensor &gradient = net->layers->at<BlockImpl>(0).bn1->weight.mutable_grad();
    const Tensor right = gradient;
    gradient = torch::zeros({3});
    check_refused("layers.0.bn1.weight", [&] { p->penalty(1e-3); });
    gradient = right;
    check_same("nothing happened", then, snapshot(*net), 1);
}
END_TEST

/* Each mistake is refused and leaves network, optimizer and pruner as they were. Without the
 * mistake, the same cut works. */
START_TEST(refused_by_the_cut)
{
    ResNet net = make_net(1);
    const auto p = describe(net);
    const Optimizer optimizer = sgd(net->parameters());
    torch::optim::LBFGS lbfgs(net->parameters());
    const Batch batch = make_batch(1);
    backward(net, batch);
    optimizer->step();
    lbfgs.step([&] { return backward(net, batch); });
    mark_random(*p, 1);
    const std::vector<uint8_t> keep = p->keep();
    const Tensors before = snapshot(*net, optimizer.get());
    const auto check_untouched = [&] {
        check_same("after a refusal", before, snapshot(*net, optimizer.get()), 1);
        ck_assert(p->keep() == keep);
        ck_assert_double_eq(p->cost().macs, count_macs(net));
    };

    check_refused("only those of SGD", [&] { p->cut({*optimizer, lbfgs}); });
    check_untouched();
    {
        const Tensor other = net->bn1->running_mean.slice(0, 0, 2);
        check_refused("bn1.running_mean: another tensor shares", [&] { p->cut({*optimizer}); });
    }
    check_untouched();
    p->mark(std::vector<uint8_t>(keep.size(), 0));
    const mskp_constants_desc usual = p->constants;
    drop_constants(*p); /* otherwise units stay as carriers */
    check_refused("the mask keeps 0 of", [&] { p->cut({*optimizer}); });
    p->constants = usual;
    p->mark(keep);
    check_untouched();

    /* The state, or a gradient, of another shape: here, and for torch's own gathering. */
    const Tensor last = net->linear->weight;
    Tensor &momentum = *mskp::state_tensors(
        *optimizer->state()[c10::guts::to_string(last.unsafeGetTensorImpl())])[0];
    for (const Here &here : {Here(p->here), HERE[0]}) {
        p->here = here;
        const Tensor right = momentum;
        momentum = torch::zeros({10, 3});
        check_refused("linear.weight", [&] { p->cut({*optimizer}); });
        momentum = right;
        check_untouched();
        const Tensor gradient = last.grad();
        last.mutable_grad() = torch::zeros({3});
        check_refused("linear.weight", [&] { p->cut({*optimizer}); });
        last.mutable_grad() = gradient;
        check_untouched();
    }
    p->here = [](const Tensor &t) { return t.is_cpu(); };
    p->cut({*optimizer});
    ck_assert(count_macs(net) < 0.9 * count_macs(*std::make_unique<ResNet>(make_net(1))));
    ck_assert_double_eq(p->cost().macs, count_macs(net));
}
END_TEST

/* ============================================================================================== */

void add(Suite *suite, const char *name, std::initializer_list<const TTest *> tests, int runs = 1)
{
    TCase *tc = tcase_create(name);
    for (const TTest *test : tests) tcase_add_loop_test(tc, test, 0, runs);
    tcase_set_timeout(tc, 120);
    suite_add_tcase(suite, tc);
}

} // namespace

int main()
{
    at::set_num_threads(1);
    Suite *suite = suite_create("libtorch");
    add(suite, "penalty",
        {penalty_lands, penalty_reaches_the_optimizer, penalty_skips_frozen_and_missing});
    add(suite, "surgery",
        {outputs_stay, as_small_as_promised, everybody_sees_the_new_tensors,
         a_held_loss_does_not_matter, channels_last_stays, several_optimizers, the_loader_reads_it,
         other_networks, groups_follow, constants_survive_the_cut,
         what_constants_replaced_has_no_momentum, the_budget_includes_the_carriers,
         an_average_is_cut_like_the_network});
    add(suite, "branches",
        {branches_vanish, what_a_branch_adds_stays, the_loader_reads_what_is_left}, 2 * SEEDS);
    add(suite, "training without branches", {training_goes_on_without_branches}, 3);
    add(suite, "rules and branches", {a_rule_may_empty_branches, other_branches_stay});
    add(suite, "sets", {every_set_is_cut}, 5);
    add(suite, "training", {training_goes_on}, 3);
    add(suite, "elsewhere", {elsewhere_is_the_same}, 4);
    add(suite, "pruners", {a_pruner_takes_marked_units_to_zero}, 4);
    add(suite, "fixed strengths", {a_fixed_strength_is_the_penalty_by_hand});
    add(suite, "half", {small_penalties_reach_coarse_gradients}, 1);
    add(suite, "mistakes", {refused_while_describing, refused_by_the_penalty, refused_by_the_cut});
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    const int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
