/*
 * libtorch - a ResNet-20 trained with libtorch, its channels pruned by mskp. All of mskp is in
 * mskp_torch.hpp and in the describe() of each module in resnet.hpp; here are the calls.
 */
#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <exception>
#include <memory>

#include "host.h"
#include "mskp_torch.hpp"
#include "resnet.hpp"

namespace
{

constexpr int64_t BLOCKS = 3; /* depth 20 */
constexpr size_t SIDE = 32;
constexpr size_t LEAST_CHANNELS = 2; /* so that no layer collapses */
constexpr double MOMENTUM = 0.9, DECAY = 1e-4;

struct Trainer {
    explicit Trainer(double rate)
        : optimizer(
              net->parameters(),
              torch::optim::SGDOptions(rate).momentum(MOMENTUM).weight_decay(DECAY).nesterov(true)),
          pruner(*net)
    {
        pruner.finish({net->describe(pruner, pruner.input(3, {SIDE, SIDE}))});
    }

    ResNet net{BLOCKS};
    torch::optim::SGD optimizer;
    mskp::Pruner pruner;
};

Trainer &trainer(host *h)
{
    return *static_cast<Trainer *>(h->self);
}

/* Runs f, which may throw; its sentence goes to the host. */
template <class F> int attempt(host *h, F f)
{
    try {
        f();
        return 0;
    } catch (const c10::Error &e) {
        return host_fail(h, "%s", e.what_without_backtrace());
    } catch (const std::exception &e) {
        return host_fail(h, "%s", e.what());
    }
}

/* libtorch reads the images where they are. */
torch::Tensor batch(size_t n, const float *images)
{
    return torch::from_blob(
        const_cast<float *>(images),
        {static_cast<int64_t>(n), 3, static_cast<int64_t>(SIDE), static_cast<int64_t>(SIDE)});
}

int open_trainer(host *h)
{
    return attempt(h, [=] {
        at::set_num_threads(static_cast<int>(h->options.threads));
        torch::manual_seed(h->options.seed);
        h->self = new Trainer(h->options.rate);
    });
}

int train_batch(host *h, host_step *step)
{
    return attempt(h, [=] {
        Trainer &t = trainer(h);
        const auto labels = torch::from_blob(const_cast<uint8_t *>(step->labels),
                                             {static_cast<int64_t>(step->n)}, torch::kByte);
        t.net->train();
        t.optimizer.param_groups()[0].options().set_lr(step->rate);
        t.optimizer.zero_grad();
        const auto logits = t.net->forward(batch(step->n, step->images));
        const auto loss = torch::nn::functional::cross_entropy(logits, labels.to(torch::kLong));
        loss.backward();
        if (step->masked) {
            const double start = host_seconds();
            t.pruner.penalty(h->options.strength);
            step->penalty_seconds = host_seconds() - start;
        }
        t.optimizer.step();
        step->loss = loss.item<double>();
    });
}

int classify_batch(host *h, size_t n, const float *images, uint8_t *classes)
{
    return attempt(h, [=] {
        const torch::NoGradGuard no_grad;
        Trainer &t = trainer(h);
        t.net->eval();
        const auto best = t.net->forward(batch(n, images)).argmax(1).to(torch::kByte);
        std::memcpy(classes, best.data_ptr<uint8_t>(), n);
    });
}

int measure_cost(host *h, mskp_cost *cost)
{
    return attempt(h, [=] { *cost = trainer(h).pruner.cost(); });
}

/* A residual stream has a gamma in each of its layers, and an inner channel has one. The mean
 * treats both alike. */
int select_units(host *h, double keep_macs, mskp_selection *selection)
{
    return attempt(h, [=] {
        mskp_scoring how{};
        mskp_rule rule{};
        how.reduce = MSKP_REDUCE_MEAN;
        rule.max_macs = keep_macs, rule.min_channels = LEAST_CHANNELS;
        *selection = trainer(h).pruner.select(rule, how);
    });
}

int cut_units(host *h)
{
    return attempt(h, [=] { trainer(h).pruner.cut({trainer(h).optimizer}); });
}

int save_network(host *h, const char *path)
{
    return attempt(h, [=] { torch::save(trainer(h).net, path); });
}

void close_trainer(host *h)
{
    delete static_cast<Trainer *>(h->self);
}

host_options defaults()
{
    host_options o{};
    const std::array<size_t, 3> epochs{3, 3, 2};
    std::copy(epochs.begin(), epochs.end(), o.epochs);
    o.batch = 128, o.threads = 2, o.seed = 1;
    o.macs = 0.5, o.strength = 0.05, o.rate = 0.1;
    return o;
}

} // namespace

int main(int argc, char **argv)
{
    host h{};
    h.name = "libtorch";
    h.options = defaults();
    h.open = open_trainer, h.train = train_batch, h.classify = classify_batch,
    h.measure = measure_cost;
    h.select = select_units, h.cut = cut_units, h.save = save_network, h.close = close_trainer;
    return host_run(&h, argc, argv);
}
