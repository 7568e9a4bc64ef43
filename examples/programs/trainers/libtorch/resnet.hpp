/*
 * resnet.hpp - the ResNets for CIFAR (He et al., CVPR 2016) as ordinary modules. For mskp each has
 * a describe() beside its forward(), the shortcut keeps its numbers of channels in a buffer, and a
 * block's branch may vanish.
 */
#ifndef RESNET_HPP
#define RESNET_HPP

#include <torch/torch.h>

#include <array>
#include <string>

#include "mskp_torch.hpp"

inline torch::nn::Conv2d conv3x3(int64_t in, int64_t out, int64_t stride = 1)
{
    return torch::nn::Conv2d(
        torch::nn::Conv2dOptions(in, out, 3).stride(stride).padding(1).bias(false));
}

/* Where shapes change: every second pixel, and channels of zeros on both sides (option A). */
struct ShortcutImpl : torch::nn::Module {
    ShortcutImpl(int64_t in, int64_t out)
    {
        const int64_t before = (out - in) / 2;
        counts = register_buffer("counts", torch::tensor({before, out - in - before}));
    }

    torch::Tensor forward(const torch::Tensor &x)
    {
        const auto before = counts[0].item<int64_t>(), after = counts[1].item<int64_t>();
        const auto half = torch::indexing::Slice(0, torch::indexing::None, 2);
        const auto every_second = x.index({"...", half, half});
        return torch::constant_pad_nd(every_second, {0, 0, 0, 0, before, after});
    }

    mskp_value describe(mskp::Pruner &p, mskp_value x)
    {
        mskp_pool_desc every_second{};
        every_second.stride[0] = every_second.stride[1] = 2;
        return p.pad_channels(mskp_pool(p.graph(), nullptr, x, &every_second), counts);
    }

    torch::Tensor counts; /* of the zeros: before, after; saved and loaded with the network */
};
TORCH_MODULE(Shortcut);

struct BlockImpl : torch::nn::Module {
    BlockImpl(int64_t in, int64_t out, int64_t stride)
        : conv1(register_module("conv1", conv3x3(in, out, stride))),
          bn1(register_module("bn1", torch::nn::BatchNorm2d(out))),
          conv2(register_module("conv2", conv3x3(out, out))),
          bn2(register_module("bn2", torch::nn::BatchNorm2d(out)))
    {
        if (stride != 1) shortcut = register_module("shortcut", Shortcut(in, out));
    }

    torch::Tensor forward(const torch::Tensor &x)
    {
        const torch::Tensor other = shortcut ? shortcut(x) : x;
        return mskp::add(other, bn2, [&] { return bn2(conv2(bn1(conv1(x)).relu())); }).relu();
    }

    mskp_value describe(mskp::Pruner &p, mskp_value x)
    {
        const mskp_value other = shortcut ? shortcut->describe(p, x) : x;
        return p.relu(p.add(other, bn2, [&] {
            return p.norm(bn2, p.conv(conv2, p.relu(p.norm(bn1, p.conv(conv1, x)))));
        }));
    }

    torch::nn::Conv2d conv1;
    torch::nn::BatchNorm2d bn1;
    torch::nn::Conv2d conv2;
    torch::nn::BatchNorm2d bn2;
    Shortcut shortcut = nullptr;
};
TORCH_MODULE(Block);

/* Depth 6 blocks + 2: three stages of so many blocks each. */
struct ResNetImpl : torch::nn::Module {
    explicit ResNetImpl(int64_t blocks, std::array<int64_t, 3> widths = {16, 32, 64})
        : conv1(register_module("conv1", conv3x3(3, widths[0]))),
          bn1(register_module("bn1", torch::nn::BatchNorm2d(widths[0])))
    {
        int64_t in = widths[0];
        for (size_t s = 0; s < widths.size(); s++)
            for (int64_t b = 0; b < blocks; b++, in = widths[s])
                layers->push_back(Block(in, widths[s], s > 0 && b == 0 ? 2 : 1));
        register_module("layers", layers);
        linear = register_module("linear", torch::nn::Linear(in, 10));
        for (const auto &m : modules(false))
            if (const auto *conv = m->as<torch::nn::Conv2d>())
                torch::nn::init::kaiming_normal_(conv->weight, 0, torch::kFanIn, torch::kReLU);
    }

    torch::Tensor forward(torch::Tensor x)
    {
        x = bn1(conv1(x)).relu();
        x = layers->forward(x);
        return linear(x.mean({2, 3}));
    }

    mskp_value describe(mskp::Pruner &p, mskp_value x)
    {
        x = p.relu(p.norm(bn1, p.conv(conv1, x)));
        for (size_t i = 0; i < layers->size(); i++) x = layers->at<BlockImpl>(i).describe(p, x);
        return p.linear(linear, p.flatten(p.global_average(x)));
    }

    torch::nn::Conv2d conv1;
    torch::nn::BatchNorm2d bn1;
    torch::nn::Sequential layers;
    torch::nn::Linear linear = nullptr;
};
TORCH_MODULE(ResNet);

#endif /* RESNET_HPP */
