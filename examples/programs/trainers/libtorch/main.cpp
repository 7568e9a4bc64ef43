/*
 * libtorch - a ResNet-20, trained with libtorch. The stages and options are the driver's;
 * mskp_torch.hpp is the bridge, and each module in resnet.hpp has a describe().
 */
#include <torch/torch.h>

#include <cstring>
#include <exception>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "driver/driver.h"
#include "mskp_torch.hpp"
#include "resnet.hpp"

namespace
{

constexpr int64_t BLOCKS = 3; /* depth 20 */
constexpr double MOMENTUM = 0.9, DECAY = 1e-4;

struct Program {
    explicit Program(double rate)
        : optimizer(
              net->parameters(),
              torch::optim::SGDOptions(rate).momentum(MOMENTUM).weight_decay(DECAY).nesterov(true)),
          pruner(*net)
    {
        pruner.finish({net->describe(pruner, pruner.input(3, {CN_SIDE, CN_SIDE}))});
    }

    ResNet net{BLOCKS};
    torch::optim::SGD optimizer;
    mskp::Pruner pruner;
    mskp::set values;

    void show(trainer *t)
    {
        values = pruner.values();
        t->graph = pruner.graph();
        t->values = values;
    }
};

Program &program(trainer *t)
{
    return *static_cast<Program *>(t->self);
}

/* torch throws; the driver gets a sentence. */
template <class F> bool guarded(trainer *t, F f)
{
    try {
        f();
        return true;
    } catch (const c10::Error &e) {
        return trainer_fail(t, "%s", e.what_without_backtrace());
    } catch (const std::exception &e) {
        return trainer_fail(t, "%s", e.what());
    }
}

/* libtorch reads the images where they are. */
torch::Tensor batch(size_t n, const float *images)
{
    return torch::from_blob(const_cast<float *>(images),
                            {static_cast<int64_t>(n), 3, CN_SIDE, CN_SIDE});
}

bool open_network(trainer *t)
{
    return guarded(t, [=] {
        at::set_num_threads(static_cast<int>(t->options.threads));
        torch::manual_seed(t->options.seed);
        t->self = new Program(t->options.rate);
        t->model = "resnet20";
        t->classes = 10;
        program(t).show(t);
    });
}

bool train(trainer *t, driver_step *step)
{
    bool good = true;
    return guarded(t,
                   [=, &good] {
                       Program &p = program(t);
                       const auto labels =
                           torch::from_blob(const_cast<uint8_t *>(step->labels),
                                            {static_cast<int64_t>(step->n)}, torch::kByte);
                       p.net->train();
                       p.optimizer.param_groups()[0].options().set_lr(step->rate);
                       p.optimizer.zero_grad();
                       const auto logits = p.net->forward(batch(step->n, step->images));
                       const auto loss =
                           torch::nn::functional::cross_entropy(logits, labels.to(torch::kLong));
                       loss.backward();
                       step->loss = loss.item<double>();
                       good = driver_before(t, step, p.pruner.values(), p.pruner.gradients());
                       if (!good) return;
                       p.optimizer.step();
                       good = driver_after(t, step, p.pruner.values());
                   }) &&
           good;
}

bool infer(trainer *t, size_t n, const float *images, float *outputs)
{
    return guarded(t, [=] {
        const torch::NoGradGuard no_grad;
        Program &p = program(t);
        p.net->eval();
        const auto logits = p.net->forward(batch(n, images)).contiguous();
        std::memcpy(outputs, logits.data_ptr<float>(), n * t->classes * sizeof *outputs);
    });
}

bool reset(trainer *t)
{
    return guarded(t, [=] { program(t).optimizer.state().clear(); });
}

bool cut(trainer *t, mskp_plan *plan, const mskp_constants *constants)
{
    return guarded(t, [=] {
        Program &p = program(t);
        p.pruner.cut(plan, constants, {p.optimizer});
        p.show(t);
    });
}

/* Torch ends the process if it cannot write to a file, so it writes to memory. */
bool save(trainer *t, const char *path, const char *)
{
    return driver_write(t, path, [](trainer *u, const char *name) {
        return guarded(u, [=] {
            std::ostringstream bytes;
            torch::save(program(u).net, bytes);
            std::ofstream file(name, std::ios::binary);
            file << bytes.str();
            file.close();
            if (!file) throw std::runtime_error(std::string(name) + ": it cannot be written");
        });
    });
}

void close_network(trainer *t)
{
    delete static_cast<Program *>(t->self);
}

} // namespace

int main(int argc, char **argv)
{
    trainer t{};
    const size_t epochs[DRIVER_STAGES] = {3, 0, 3, 2};
    std::memcpy(t.options.epochs, epochs, sizeof epochs);
    t.options.batch = 128, t.options.threads = 2, t.options.seed = 1;
    t.name = "libtorch";
    t.drawn[0] = 4000, t.drawn[1] = 1000;
    t.momentum = MOMENTUM;
    t.whole_batches = t.branches = true;
    t.open = open_network, t.train = train, t.infer = infer, t.reset = reset;
    t.cut = cut, t.save = save, t.close = close_network;
    return driver_run(&t, argc, argv);
}
