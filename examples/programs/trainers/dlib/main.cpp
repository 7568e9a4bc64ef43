/*
 * dlib - a residual network of dlib's layers, trained with dlib's own solver. The stages and
 * options are the driver's; mskp_dlib.hpp is the bridge.
 */
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include "driver/driver.h"
#include "mskp_dlib.hpp"
#include "network.hpp"

/* dlib calls OpenBLAS, whose own header is C99. */
extern "C" void openblas_set_num_threads(int);

namespace
{

using solver = mskp_dlib::masked<dlib::sgd>;

const float DECAY = 1e-4F, MOMENTUM = 0.9F;

struct program {
    residual_net net;
    mskp_dlib::wiring wires;
    std::vector<solver> solvers;
    std::unique_ptr<mskp_dlib::all_values<residual_net>> values;
    dlib::resizable_tensor images;

    void load(size_t n, const float *from)
    {
        images.set_size(static_cast<long long>(n), 3, CN_SIDE, CN_SIDE);
        std::memcpy(images.host(), from, images.size() * sizeof *from);
    }
};

/* dlib throws; the driver gets a sentence. */
template <typename F> bool guarded(trainer *t, F &&work)
{
    try {
        work(*static_cast<program *>(t->self));
        return true;
    } catch (const std::exception &e) {
        return trainer_fail(t, "%s", e.what());
    }
}

/* Running statistics are private to dlib's layers, so they are copied out and in. */
bool fetch(trainer *t)
{
    return guarded(t, [&](program &p) {
        p.values = std::make_unique<mskp_dlib::all_values<residual_net>>(p.wires, p.net);
        t->graph = p.wires.graph.get();
        t->values = p.values->views;
    });
}

bool store(trainer *t)
{
    return guarded(t, [](program &p) { p.values->pack_up(p.net); });
}

bool reset(trainer *t)
{
    return guarded(t, [](program &p) {
        p.solvers.assign(residual_net::num_computational_layers,
                         solver(dlib::sgd(DECAY, MOMENTUM)));
    });
}

bool open(trainer *t)
{
    if (t->options.batch < 2)
        return trainer_fail(t, "a batch of one image: dlib's batch norm takes it for inference");
    const bool good = guarded(t, [&](program &p) {
        picture empty;
        for (auto &plane : empty) plane = dlib::zeros_matrix<float>(CN_SIDE, CN_SIDE);
        openblas_set_num_threads(static_cast<int>(t->options.threads));
        std::srand(static_cast<unsigned>(t->options.seed)); /* dlib's first weights */
        disable_biases(p.net);
        p.wires = mskp_dlib::describe(p.net, empty);
        t->model = "dlib";
        t->classes = 10;
    });
    return good && reset(t) && fetch(t);
}

bool train(trainer *t, driver_step *step)
{
    bool good = true;
    return guarded(t,
                   [&](program &p) {
                       const std::vector<unsigned long> labels(step->labels,
                                                               step->labels + step->n);
                       p.load(step->n, step->images);
                       step->loss = p.net.compute_parameter_gradients(p.images, labels.begin());
                       good = driver_before(t, step, mskp_dlib::values(p.wires, p.net),
                                            mskp_dlib::gradients(p.wires, p.net));
                       if (!good) return;
                       p.net.update_parameters(p.solvers, step->rate);
                       good = driver_after(t, step, mskp_dlib::values(p.wires, p.net));
                   }) &&
           good;
}

/* One by one, because dlib's batch norm takes a batch for training. */
bool infer(trainer *t, size_t n, const float *images, float *outputs)
{
    return guarded(t, [&](program &p) {
        for (size_t i = 0; i < n; i++) {
            p.load(1, images + i * CN_PIXELS);
            const dlib::tensor &out = p.net.subnet().forward(p.images);
            std::memcpy(outputs + i * t->classes, out.host(), t->classes * sizeof *outputs);
        }
    });
}

bool cut_network(trainer *t, mskp_plan *plan, const mskp_constants *constants)
{
    return guarded(
               t,
               [&](program &p) { mskp_dlib::cut(p.wires, p.net, p.solvers, plan, constants); }) &&
           fetch(t);
}

bool save(trainer *t, const char *path, const char *)
{
    return driver_write(t, path, [](trainer *u, const char *name) {
        return guarded(u, [&](program &p) {
            p.net.clean(); /* otherwise dlib writes the last batch, too */
            std::ofstream file(name, std::ios::binary);
            file.exceptions(std::ios::badbit | std::ios::failbit);
            try {
                dlib::serialize(file) << p.net;
                file.close(); /* a full disk may show only now, and dlib would not look */
            } catch (const std::exception &e) {
                throw std::runtime_error(std::string(name) + ": it cannot be written: " + e.what());
            }
        });
    });
}

void close(trainer *)
{
}

} // namespace

int main(int argc, char **argv)
{
    program p;
    trainer t{};
    const size_t epochs[DRIVER_STAGES] = {4, 0, 4, 3};
    std::memcpy(t.options.epochs, epochs, sizeof epochs);
    t.options.batch = 50, t.options.threads = 1, t.options.seed = 1;
    t.name = "dlib", t.self = &p;
    t.drawn[0] = 4000, t.drawn[1] = 1000;
    t.momentum = static_cast<double>(MOMENTUM);
    t.whole_batches = t.branches = true;
    t.open = open, t.train = train, t.infer = infer, t.reset = reset;
    t.cut = cut_network, t.save = save, t.close = close, t.fetch = fetch, t.store = store;
    return driver_run(&t, argc, argv);
}
