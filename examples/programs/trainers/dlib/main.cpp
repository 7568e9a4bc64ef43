/*
 * dlib - a residual network of dlib's layers, trained with dlib's own solver, and pruned. See
 * README.md. mskp is used in mskp_dlib.hpp and in `select_units`, `measure` and
 * `cut_network` below.
 */
#include <cstdlib>
#include <cstring>

#include "host.h"
#include "mskp_dlib.hpp"
#include "network.hpp"

/* dlib calls OpenBLAS, whose own header is C99. */
extern "C" void openblas_set_num_threads(int);

namespace
{

using namespace mskp_dlib;
using solver = masked<dlib::sgd>;

const float DECAY = 1e-4F, MOMENTUM = 0.9F;
const size_t LEAST_CHANNELS = 2; /* so that no layer collapses */

struct trainer {
    residual_net net;
    wiring wires;
    penalty term{&wires, {}, 0};
    std::vector<solver> solvers;
    dlib::resizable_tensor images;
};

trainer &of(host *h)
{
    return *static_cast<trainer *>(h->self);
}

/* dlib throws; a host returns a sentence. */
template <typename F> int guarded(host *h, F &&work)
{
    try {
        work(of(h));
        return 0;
    } catch (const std::exception &e) {
        return host_fail(h, "%s", e.what());
    }
}

void load(trainer &t, size_t n, const float *images)
{
    t.images.set_size(static_cast<long long>(n), 3, 32, 32);
    std::memcpy(t.images.host(), images, t.images.size() * sizeof *images);
}

int open(host *h)
{
    if (h->options.batch < 2)
        return host_fail(h, "a batch of one image: dlib's batch norm takes it for inference");
    return guarded(h, [&](trainer &t) {
        picture empty;
        for (auto &plane : empty) plane = dlib::zeros_matrix<float>(32, 32);
        openblas_set_num_threads(static_cast<int>(h->options.threads));
        std::srand(static_cast<unsigned>(h->options.seed)); /* dlib's first weights */
        disable_biases(t.net);
        t.wires = describe(t.net, empty);
        t.solvers.assign(residual_net::num_computational_layers,
                         solver(dlib::sgd(DECAY, MOMENTUM), &t.term));
    });
}

int train(host *h, host_step *step)
{
    return guarded(h, [&](trainer &t) {
        const std::vector<unsigned long> labels(step->labels, step->labels + step->n);
        load(t, step->n, step->images);
        step->loss = t.net.compute_parameter_gradients(t.images, labels.begin());
        t.term.strength = step->masked ? h->options.strength : 0;
        t.term.seconds = 0;
        t.net.update_parameters(t.solvers, step->rate);
        step->penalty_seconds = t.term.seconds;
    });
}

/* One by one: a batch is what dlib's batch norm takes for training. */
int classify(host *h, size_t n, const float *images, uint8_t *classes)
{
    return guarded(h, [&](trainer &t) {
        for (size_t i = 0; i < n; i++) {
            unsigned long best;
            load(t, 1, images + i * 3 * 32 * 32);
            t.net(t.images, &best);
            classes[i] = static_cast<uint8_t>(best);
        }
    });
}

int measure(host *h, mskp_cost *cost)
{
    return guarded(h, [&](trainer &t) {
        mskp_error err;
        check(mskp_measure(t.wires.graph.get(), {}, cost, nullptr, &err), err);
    });
}

int select_units(host *h, double keep_macs, mskp_selection *selection)
{
    return guarded(h, [&](trainer &t) {
        mskp_scoring scoring{};
        mskp_rule rule{};
        scoring.reduce = MSKP_REDUCE_MEAN;
        rule.max_macs = keep_macs;
        rule.min_channels = LEAST_CHANNELS;
        t.term.keep = select(t.wires, t.net, rule, scoring, selection);
    });
}

int cut_network(host *h)
{
    return guarded(h, [](trainer &t) { cut(t.wires, t.net, t.solvers, t.term.keep); });
}

int save(host *h, const char *path)
{
    return guarded(h, [&](trainer &t) {
        t.net.clean(); /* or dlib writes the last batch, too */
        dlib::serialize(path) << t.net;
    });
}

void close(host *)
{
}

} // namespace

int main(int argc, char **argv)
{
    trainer t;
    host h{};
    h.name = "dlib";
    h.self = &t;
    h.options.epochs[0] = 4;
    h.options.epochs[1] = 4;
    h.options.epochs[2] = 3;
    h.options.batch = 50;
    h.options.threads = 1;
    h.options.macs = 0.5;
    h.options.strength = 0.05;
    h.options.rate = 0.1;
    h.options.seed = 1;
    h.open = open;
    h.train = train;
    h.classify = classify;
    h.measure = measure;
    h.select = select_units;
    h.cut = cut_network;
    h.save = save;
    h.close = close;
    return host_run(&h, argc, argv);
}
