/*
 * mskp_torch.hpp - mskp for libtorch
 *
 *     mskp::Pruner pruner(*net);                          // takes names from what is registered
 *     pruner.finish({net->describe(pruner, pruner.input(3, {32, 32}))});
 *     mskp_pruner_create(pruner.graph(), &options, &p, &err);
 *     loss.backward(), pruner.before_step(p, rate), opt.step(), pruner.after_step(p, rate);
 *     pruner.cut(p, {opt});                               // when it is due; training goes on
 *
 * or by hand, with a mask and a strength of your own:
 *
 *     pruner.select(rule);                                // marks which units are removed
 *     loss.backward(), pruner.penalty(s), opt.step();     // each step
 *     pruner.cut({opt});                                  // training goes on
 *
 * Each module gets a describe() beside its forward(), of the same shape: values instead of tensors.
 * Where an addition is written as add(other, last, branch) in both, the branch may vanish.
 * Operators without a function here are described with mskp's own calls on pruner.graph(). The file
 * needs ../mskp_bridge.h.
 *
 * Errors are thrown as mskp::error, with a sentence; the network is then as it was. Errors of torch
 * itself (no memory, say) pass through, and leave the network as it was, too. A Pruner belongs to
 * one thread, as the network does.
 */
#ifndef MSKP_TORCH_HPP
#define MSKP_TORCH_HPP

#include <torch/torch.h>

#include <algorithm>
#include <array>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>
#include <string>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mskp/operators.h"
#include "mskp_bridge.h"

namespace mskp
{

/* What an optimizer keeps for each element of a parameter. Add the types of your own optimizers. */
inline std::vector<torch::Tensor *> state_tensors(torch::optim::OptimizerParamState &state)
{
    using namespace torch::optim;
    if (auto *s = dynamic_cast<SGDParamState *>(&state)) return {&s->momentum_buffer()};
    if (auto *s = dynamic_cast<AdamParamState *>(&state))
        return {&s->exp_avg(), &s->exp_avg_sq(), &s->max_exp_avg_sq()};
    if (auto *s = dynamic_cast<AdamWParamState *>(&state))
        return {&s->exp_avg(), &s->exp_avg_sq(), &s->max_exp_avg_sq()};
    if (auto *s = dynamic_cast<RMSpropParamState *>(&state))
        return {&s->square_avg(), &s->momentum_buffer(), &s->grad_avg()};
    if (auto *s = dynamic_cast<AdagradParamState *>(&state)) return {&s->sum()};
    throw error(
        "the state of this optimizer cannot be cut: only those of SGD, Adam, AdamW, RMSprop "
        "and Adagrad can");
}

inline mskp_dtype dtype_of(const torch::Tensor &tensor)
{
    switch (tensor.scalar_type()) {
    case torch::kFloat:
        return MSKP_DTYPE_F32;
    case torch::kDouble:
        return MSKP_DTYPE_F64;
    case torch::kHalf:
        return MSKP_DTYPE_F16;
    case torch::kBFloat16:
        return MSKP_DTYPE_BF16;
    default:
        break;
    }
    switch (tensor.element_size()) { /* can be cut, but not computed with */
    case 1:
        return MSKP_DTYPE_BYTES_1;
    case 2:
        return MSKP_DTYPE_BYTES_2;
    case 4:
        return MSKP_DTYPE_BYTES_4;
    case 8:
        return MSKP_DTYPE_BYTES_8;
    default:
        return MSKP_DTYPE_BYTES_16;
    }
}

/* Whether a module has no channels any more, because a cut removed its branch. Its parameters are
 * then empty, in files, too. */
template <class Module> bool vanished(const torch::nn::ModuleHolder<Module> &module)
{
    return module->weight.defined() && !module->weight.numel();
}

/*
 * other + branch(), for forward(), where a cut may remove the branch: then what is left of it, the
 * bias of its last module, is added alone. The module is one with a weight (a convolution, norm or
 * linear layer). Pruner::add describes the same.
 */
template <class Module, class Branch>
torch::Tensor add(const torch::Tensor &other, const torch::nn::ModuleHolder<Module> &last,
                  Branch branch)
{
    if (!vanished(last)) return other + branch();
    const torch::Tensor &shift = last->bias;
    if (!shift.defined() || !shift.numel()) return other;
    std::vector<int64_t> shape(static_cast<size_t>(other.dim()), 1);
    const int64_t after = last->weight.dim() - 2; /* axes after the channels; -1: of a norm */
    shape[after < 0 ? 1 : static_cast<size_t>(other.dim() - 1 - after)] = shift.numel();
    return other + shift.view(shape);
}

class Pruner
{
  public:
    /* What becomes of the constants of removed channels: by default, gamma counts as 0, and
     * MSKP_CONSTANTS_AUTO. */
    mskp_constants_desc constants = mskp_bridge_constants();

    /* Can this tensor be read at its address? If not, the penalty is computed by torch, and
     * select() and cut() copy the tensor. */
    std::function<bool(const torch::Tensor &)> here = [](const torch::Tensor &t) {
        return t.is_cpu();
    };

    /* The network need not be on its device yet. It must outlive the description. */
    explicit Pruner(const torch::nn::Module &network) : graph_(mskp_graph_create(nullptr))
    {
        if (!graph_) throw std::bad_alloc();
        names_.emplace(&network, "network");
        for (const auto &m : network.named_modules("", false))
            names_.emplace(m.value().get(), m.key());
        for (const auto &t : network.named_parameters()) names_.emplace(key(t.value()), t.key());
        for (const auto &t : network.named_buffers()) names_.emplace(key(t.value()), t.key());
    }

    /* For mskp's own calls. After a cut: of the smaller network, with the same ids. */
    mskp_graph *graph() const
    {
        return graph_.get();
    }

    /* ========================================================================================== */
    /*             Describing: the same as forward(), with values instead of tensors             */
    /* ========================================================================================== */

    mskp_value input(size_t channels, const std::vector<size_t> &spatial)
    {
        return mskp_input(graph(), "input", channels, static_cast<uint32_t>(spatial.size()),
                          spatial.data());
    }

    /* Conv1d, 2d, 3d with any padding and padding mode, ConvTranspose1d, 2d, 3d, grouped or not. In
     * groups, the same positions are removed; in depthwise convolutions, channels with their
     * filters. */
    template <class Conv>
    mskp_value conv(const torch::nn::ModuleHolder<Conv> &holder, mskp_value in)
    {
        const auto m = holder.ptr();
        const char *name = name_module(m.get());
        const bool transposed = m->options.transposed();
        mskp_conv_desc d{};
        d.weight = param(m->weight), d.bias = param(m->bias);
        d.groups = static_cast<size_t>(m->options.groups());
        for (size_t i = 0; i < m->options.stride()->size(); i++) {
            d.stride[i] = static_cast<size_t>(m->options.stride()->at(i));
            d.dilation[i] = static_cast<size_t>(m->options.dilation()->at(i));
            if (transposed)
                d.output_pad[i] = static_cast<size_t>(m->options.output_padding()->at(i));
        }
        set_padding(d, m->options);
        const mskp_value out = transposed ? mskp_conv_transposed(graph(), name, in, &d)
                                          : mskp_conv(graph(), name, in, &d);
        follow([=](const mskp_graph *now) {
            if (vanished(holder)) return; /* no options are valid without channels */
            const int64_t from = channels(now, in), to = channels(now, out);
            m->options.in_channels(from).out_channels(to).groups((transposed ? to : from) /
                                                                 m->weight.size(1));
        });
        return out;
    }

    /* BatchNorm1d, 2d, 3d, affine and tracking or not. */
    template <class Norm>
    mskp_value norm(const torch::nn::ModuleHolder<Norm> &holder, mskp_value in)
    {
        const auto m = holder.ptr();
        const char *name = name_module(m.get());
        mskp_norm_desc d{};
        d.scale = param(m->weight), d.shift = param(m->bias);
        d.mean = param(m->running_mean), d.variance = param(m->running_var);
        d.epsilon = m->options.eps();
        const mskp_value out = mskp_norm(graph(), name, in, &d);
        follow([=](const mskp_graph *now) {
            if (!vanished(holder)) m->options.num_features(channels(now, out));
        });
        return out;
    }

    mskp_value linear(const torch::nn::Linear &holder, mskp_value in)
    {
        const auto m = holder.ptr();
        const char *name = name_module(m.get());
        const mskp_value out = mskp_linear(graph(), name, in, param(m->weight), param(m->bias));
        follow([=](const mskp_graph *now) {
            if (vanished(holder)) return;
            m->options.in_features(channels(now, in)).out_features(channels(now, out));
        });
        return out;
    }

    mskp_value activation(mskp_activation_kind kind, mskp_value in, double parameter = 0)
    {
        mskp_activation_desc d{};
        d.kind = kind, d.parameters[0] = parameter;
        return mskp_activation(graph(), nullptr, in, &d);
    }

    mskp_value relu(mskp_value in)
    {
        return activation(MSKP_ACTIVATION_RELU, in);
    }

    mskp_value add(mskp_value a, mskp_value b)
    {
        const mskp_value both[] = {a, b};
        return mskp_combine(graph(), nullptr, MSKP_COMBINE_ADD, 2, both);
    }

    /* As mskp::add in forward(), of the same shape. Only such branches can vanish: a mask that
     * empties another one is refused. */
    template <class Module, class Branch>
    mskp_value add(mskp_value other, const torch::nn::ModuleHolder<Module> &last, Branch branch)
    {
        if (!last->weight.defined())
            throw error(name_of(last.get()) + ": add needs a last module that has a weight");
        if (vanished(last)) { /* in a file that was loaded */
            if (!last->bias.defined() || !last->bias.numel()) return other;
            return add(other,
                       mskp_param_operand(graph(), name_module(last.get()), param(last->bias), 0,
                                          MSKP_ROLE_SHIFT, 0, nullptr));
        }
        Leaving b{};
        b.before = count_values();
        b.end = branch();
        b.after = count_values();
        if (b.end.id && b.end.id <= b.before) throw error("add: the branch computes nothing");
        b.weight = param(last->weight), b.bias = param(last->bias);
        branches_.push_back(b);
        return add(other, b.end);
    }

    mskp_value global_average(mskp_value in)
    {
        mskp_pool_desc d{};
        d.kind = MSKP_POOL_GLOBAL_AVERAGE;
        return mskp_pool(graph(), nullptr, in, &d);
    }

    mskp_value flatten(mskp_value in)
    {
        return mskp_flatten(graph(), nullptr, in, 0);
    }

    /* Channels of zeros before and after. counts is a registered buffer {before, after}, which
     * forward() reads, cut() corrects and torch::save saves. It need not be int64, because
     * Module::to(dtype) converts all buffers. */
    mskp_value pad_channels(mskp_value in, const torch::Tensor &counts)
    {
        const auto name = names_.find(key(counts));
        if (name == names_.end() || counts.numel() != 2)
            throw error("pad_channels: counts must be a registered buffer of two numbers");
        const auto n = counts.to(torch::kCPU, torch::kLong);
        const auto before = n[0].item<int64_t>(), after = n[1].item<int64_t>();
        pads_.push_back({counts, in,
                         mskp_pad_channels(graph(), nullptr, in, static_cast<size_t>(before),
                                           static_cast<size_t>(after))});
        return pads_.back().out;
    }

    /* The parameter of a tensor of the network, {0} for an undefined one. A tensor that is used
     * again (tied weights) is the same parameter. */
    mskp_param param(const torch::Tensor &tensor)
    {
        if (!tensor.defined()) return {};
        for (size_t i = 0; i < tensors_.size(); i++)
            if (tensors_[i].is_same(tensor)) return handle(i);
        const auto name = names_.find(key(tensor));
        if (name == names_.end())
            throw error("a tensor that is neither a parameter nor a buffer of the network");
        const std::vector<size_t> shape(tensor.sizes().begin(), tensor.sizes().end());
        return know(mskp_parameter(graph(), name->second.c_str(),
                                   static_cast<uint32_t>(shape.size()), shape.data()),
                    tensor);
    }

    /* The tensor of a parameter that was declared with mskp_parameter on graph(). */
    mskp_param know(mskp_param param, const torch::Tensor &tensor)
    {
        if (tensors_.size() < param.id) tensors_.resize(param.id);
        if (param.id) tensors_[param.id - 1] = tensor; /* 0: an error, which finish() throws */
        return param;
    }

    /* finish() and each cut call f with the current description of the network, so that f corrects
     * what a module stores about its channels. f must not throw. */
    void follow(std::function<void(const mskp_graph *)> f)
    {
        followers_.push_back(std::move(f));
    }

    /* Ends the description. The channels of outputs are never removed. */
    void finish(std::initializer_list<mskp_value> outputs)
    {
        mskp_error err;
        for (const mskp_value v : outputs) mskp_output(graph(), v);
        check(mskp_graph_finish(graph(), &err), err);
        tensors_.resize(mskp_graph_counts(graph()).params);
        check_tensors();
        ends_.assign(mskp_graph_counts(graph()).values, 0);
        for (const Leaving &b : branches_) /* an inner branch comes before its outer one */
            for (uint32_t v = b.before; v < b.after; v++)
                if (!ends_[v]) ends_[v] = b.end.id;
        for (const auto &f : followers_) f(graph()); /* torch::load does not correct options */
        mark(std::vector<uint8_t>(mskp_graph_counts(graph()).units, 1));
    }

    /* ========================================================================================== */
    /*                                           Marking                                          */
    /* ========================================================================================== */

    mskp_cost cost() const
    {
        mskp_error err;
        mskp_cost cost;
        check(mskp_measure(graph(), {}, &cost, nullptr, &err), err);
        return cost;
    }

    /* Scores the units and marks those that are removed within the rule, with the carriers of
     * constants counted. Returns their number, and the cost of the network that cut() would
     * leave. */
    mskp_selection select(const mskp_rule &rule, const mskp_scoring &how = {})
    {
        mskp_error err;
        mskp_selection selection;
        std::vector<uint8_t> keep(keep_.size());
        Pieces values = all_values();
        fetch(values, false);
        check(mskp_bridge_select(graph(), &how, &rule, &constants, values.from, mask_of(keep),
                                 &selection, &err),
              err);
        if (rule.empty_branches)
            check_branches(surgery(graph(), keep, constants, values.from, leaving()));
        mark(std::move(keep));
        return selection;
    }

    /* A mask of your own: 0 for units that are removed. */
    void mark(std::vector<uint8_t> keep)
    {
        const size_t units = mskp_graph_counts(graph()).units;
        if (keep.size() != units)
            throw error("mark: " + std::to_string(keep.size()) + " units, the network has " +
                        std::to_string(units));
        keep_ = std::move(keep);
        mask_roles_ = 0;
    }

    const std::vector<uint8_t> &keep() const
    {
        return keep_;
    }

    /* ========================================================================================== */
    /*                                           Penalty                                          */
    /* ========================================================================================== */

    /* A gradient in half precision is too coarse for a small penalty. It is rounded up or down at
     * random, such that the mean is exact, or to nearest. penalty_asked and penalty_lost count the
     * elements, of any type, to which penalty() had something to add, and those that stayed as they
     * were. Tensors on another device are rounded to nearest by torch, and are not counted. */
    mskp_rounding rounding = MSKP_ROUNDING_STOCHASTIC;
    uint64_t penalty_asked = 0, penalty_lost = 0;

    /* gradients += strength * sign(w) in removed units. Call it between backward() and step(), once
     * per step. Frozen parameters and undefined gradients are passed over. */
    void penalty(double strength, uint32_t roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT)
    {
        const torch::NoGradGuard no_grad;
        mskp_error err;
        mskp_penalty how{};
        mskp_low_precision low{};
        how.roles = roles ? roles : uint32_t{MSKP_ROLE_SCALE}, how.skip_missing = 1;
        low.rounding = rounding, low.seed = ++penalties_;
        low.asked = &penalty_asked, low.lost = &penalty_lost;
        how.low_precision = &low;
        check_gradients(how.roles);
        check(mskp_penalty_gradient(graph(), mask_of(keep_), &how, strength, values(), gradients(),
                                    &err),
              err);
        how.low_precision = nullptr;
        if (mask_roles_ != how.roles) make_masks(how);
        for (size_t i = 0; i < masks_.size(); i++)
            if (masks_[i].defined() && tensors_[i].grad().defined())
                tensors_[i].mutable_grad().add_(tensors_[i].sign().mul_(masks_[i]), strength);
    }

    /* Right before and right after optimizer.step(): what p, a pruner of graph(), does in a step.
     * Tensors that are not here are copied to memory and back, but only those with slices in these
     * roles, which must be all that p's penalty and scoring are about. Give the penalty of p
     * skip_missing if parameters are frozen, and a rounding if gradients are in half precision. */
    void before_step(mskp_pruner *p, double rate,
                     uint32_t roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT)
    {
        step(p, rate, roles, true);
    }

    void after_step(mskp_pruner *p, double rate, uint32_t roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT)
    {
        step(p, rate, roles, false);
    }

    /* A set of views of(tensor), one for each parameter. An undefined tensor, and one that is not
     * here, gives a view without data. */
    template <class Of> mskp::set views(Of of) const
    {
        mskp::set all;
        for (const torch::Tensor &t : tensors_) all.push_back(view(of(t)));
        return all;
    }

    mskp::set values() const
    {
        return views([](const torch::Tensor &t) { return t; });
    }

    mskp::set gradients() const
    {
        return views([](const torch::Tensor &t) { return t.grad(); });
    }

    /* ========================================================================================== */
    /*                                           Surgery                                          */
    /* ========================================================================================== */

    using Optimizers = std::initializer_list<std::reference_wrapper<torch::optim::Optimizer>>;

    /*
     * Moves the constants of removed channels, and cuts parameters, buffers, gradients and the
     * state of all optimizers that know a parameter of the network; name each of them. What belongs
     * to weights that constants replaced is cleared in gradients and state. All new tensors are
     * made first, then all are put in place. Parameters stay the same objects (set_data): modules,
     * names, handles and optimizers see the new data. Afterwards no unit is marked. Returns what
     * became of the constants.
     */
    mskp_constants_report cut(Optimizers optimizers = {})
    {
        return carry_out(optimizers, [&](const mskp::set &values) {
            return surgery(graph(), keep_, constants, values, leaving());
        });
    }

    /* The same by the plan and the constants of mskp_pruner_prepare, for a pruner of graph().
     * Afterwards call mskp_pruner_cut_done. */
    mskp_constants_report cut(mskp_plan *plan, const mskp_constants *moved,
                              Optimizers optimizers = {})
    {
        return carry_out(optimizers, [&](const mskp::set &) {
            return surgery(graph(), plan, moved, leaving());
        });
    }

    /* The same with these two calls, wherever the tensors are. */
    mskp_constants_report cut(mskp_pruner *p, Optimizers optimizers = {})
    {
        mskp_error err;
        const mskp_constants_report report = carry_out(optimizers, [&](const mskp::set &values) {
            mskp_plan *plan = nullptr;
            const mskp_constants *moved = nullptr;
            check(mskp_pruner_prepare(p, values, &plan, &moved, &err), err);
            return surgery(graph(), plan, moved, leaving());
        });
        check(mskp_pruner_cut_done(p, &err), err);
        return report;
    }

  private:
    /* A branch that may vanish, which add() described: values before + 1 ... after, and the
     * parameters of its last module. */
    struct Leaving {
        uint32_t before, after;
        mskp_value end;
        mskp_param weight, bias;
    };

    struct Pad {
        torch::Tensor counts;
        mskp_value in, out;
    };

    /* A set on its way through a cut. place: where torch keeps each tensor. */
    struct Pieces {
        explicit Pieces(size_t n) : place(n), whole(n), tensor(n), from(n), to(n)
        {
        }
        std::vector<torch::Tensor *> place;
        std::vector<torch::Tensor> whole, tensor; /* what is read; the small ones */
        mskp::set from, to;                       /* views of both */
    };

    static mskp_param handle(size_t i)
    {
        return {static_cast<uint32_t>(i) + 1};
    }

    static const void *key(const torch::Tensor &t)
    {
        return t.unsafeGetTensorImpl();
    }

    static int64_t channels(const mskp_graph *graph, mskp_value value)
    {
        size_t n = 0;
        mskp_value_units(graph, value, &n);
        return static_cast<int64_t>(n);
    }

    /* ---- names ---- */

    const std::string &name_of(const torch::nn::Module *module) const
    {
        const auto name = names_.find(module);
        if (name == names_.end())
            throw error(module->name() + ": a module that is not registered in the network");
        return name->second;
    }

    /* A value's name: the module's the first time, then one that mskp derives. */
    const char *name_module(const torch::nn::Module *module)
    {
        const std::string &name = name_of(module);
        return described_.insert(module).second ? name.c_str() : nullptr;
    }

    std::string name_of(size_t i) const
    {
        return mskp_param_name(graph(), handle(i));
    }

    /* ---- describing ---- */

    /* Values are numbered in the order in which they are made. */
    uint32_t count_values()
    {
        while (mskp_value_name(graph(), {values_ + 1})) values_++;
        return values_;
    }

    template <class Options> static void set_padding(mskp_conv_desc &d, const Options &options)
    {
        const size_t axes = options.stride()->size();
        using Numbers = std::decay_t<decltype(options.stride())>;
        if (!c10::get_if<torch::enumtype::kZeros>(&options.padding_mode()))
            d.padding = MSKP_PADDING_EXTENDED;
        if (const auto *pad = c10::get_if<Numbers>(&options.padding()))
            for (size_t i = 0; i < axes; i++)
                d.pad_before[i] = d.pad_after[i] = static_cast<size_t>((*pad)->at(i));
        if (c10::get_if<torch::enumtype::kSame>(&options.padding()))
            for (size_t i = 0; i < axes; i++) {
                const auto size = static_cast<size_t>(options.kernel_size()->at(i));
                const size_t all = d.dilation[i] * (size - 1);
                d.pad_before[i] = all / 2, d.pad_after[i] = all - all / 2;
            }
    }

    /* Refuses tensors that a cut could not replace. */
    void check_tensors() const
    {
        for (size_t i = 0; i < tensors_.size(); i++) {
            const torch::Tensor &t = tensors_[i];
            size_t shape[MSKP_MAX_DIMS];
            const size_t axes = mskp_param_shape(graph(), handle(i), shape);
            if (!t.defined())
                throw error(name_of(i) + ": declared without a tensor; know() gives it one");
            if (t.layout() != torch::kStrided || !t.is_leaf())
                throw error(name_of(i) + ": not a dense leaf tensor");
            if (!std::equal(t.sizes().begin(), t.sizes().end(), shape, shape + axes,
                            [](int64_t a, size_t b) { return static_cast<size_t>(a) == b; }))
                throw error(name_of(i) + ": its shape is not the one that was described");
            if (t.storage().use_count() > 1)
                throw error(name_of(i) +
                            ": another tensor shares its memory (a view, detach(), a graph that "
                            "autograd still holds) and could not follow a cut; let go of outputs "
                            "that had no backward(), or make them under torch::NoGradGuard");
        }
    }

    /* ---- views ---- */

    static mskp_tensor view_at_address(const torch::Tensor &t)
    {
        mskp_tensor v{};
        if (t.layout() != torch::kStrided) throw error("a tensor that is sparse, or not strided");
        if (t.dim() > MSKP_MAX_DIMS) throw error("a tensor with more than 6 axes");
        v.data = t.data_ptr(), v.dtype = dtype_of(t);
        v.ndim = static_cast<uint32_t>(t.dim());
        v.elements = static_cast<size_t>(t.numel());
        for (int64_t d = 0; d < t.dim(); d++)
            v.shape[d] = static_cast<size_t>(t.size(d)), v.stride[d] = t.stride(d);
        return v;
    }

    mskp_tensor view(const torch::Tensor &t) const
    {
        return t.defined() && here(t) ? view_at_address(t) : mskp_tensor{};
    }

    /* ---- penalty ---- */

    bool has_role(size_t i, uint32_t roles) const
    {
        return (mskp_param_roles(graph(), handle(i)) & roles) != 0;
    }

    /* A penalty that finds no gradient at all was called at the wrong place. */
    void check_gradients(uint32_t roles) const
    {
        size_t asked = 0, found = 0;
        for (size_t i = 0; i < tensors_.size(); i++) {
            if (!has_role(i, roles)) continue;
            asked++;
            found += tensors_[i].grad().defined();
        }
        if (asked && !found)
            throw error("penalty: all gradients are missing; is it called after backward(), and is "
                        "not all frozen?");
    }

    /* For each tensor that is not here: in how many removed units each element lies, which is the
     * library's gradient of ones. The masks stay on the device as long as the marks. */
    void make_masks(const mskp_penalty &how)
    {
        mskp_error err;
        const size_t n = tensors_.size();
        std::vector<torch::Tensor> ones(n), sums(n);
        mskp::set values(n), gradients(n);
        masks_.assign(n, {});
        for (size_t i = 0; i < n; i++) {
            if (here(tensors_[i]) || !has_role(i, how.roles)) continue;
            ones[i] = torch::ones(tensors_[i].sizes()), sums[i] = torch::zeros_like(ones[i]);
            values[i] = view_at_address(ones[i]), gradients[i] = view_at_address(sums[i]);
        }
        check(mskp_penalty_gradient(graph(), mask_of(keep_), &how, 1, values, gradients, &err),
              err);
        for (size_t i = 0; i < n; i++)
            if (sums[i].defined())
                masks_[i] = sums[i].to(tensors_[i].device(), tensors_[i].scalar_type());
        mask_roles_ = how.roles;
    }

    void step(mskp_pruner *p, double rate, uint32_t roles, bool before)
    {
        const torch::NoGradGuard no_grad;
        mskp_error err;
        const bool all = mskp_pruner_due(p) == MSKP_PRUNER_DUE_MASK; /* scores and constants */
        Pieces values(tensors_.size()), gradients(tensors_.size());
        for (size_t i = 0; i < tensors_.size(); i++) {
            const bool pulled = has_role(i, roles);
            if (all || pulled) values.place[i] = &tensors_[i];
            if (before && pulled && tensors_[i].grad().defined())
                gradients.place[i] = &tensors_[i].mutable_grad();
        }
        fetch(values, false), fetch(gradients, false);
        check(before ? mskp_pruner_before_step(p, rate, values.from, gradients.from, &err)
                     : mskp_pruner_after_step(p, rate, values.from, &err),
              err);
        Pieces &changed = before ? gradients : values;
        for (size_t i = 0; i < tensors_.size(); i++)
            if (changed.place[i] && !here(*changed.place[i]))
                changed.place[i]->copy_(changed.whole[i]);
    }

    /* ---- surgery ---- */

    template <class Make> mskp_constants_report carry_out(Optimizers optimizers, Make make)
    {
        const torch::NoGradGuard no_grad;
        check_tensors();
        std::vector<Pieces> sets = collect(optimizers);
        for (Pieces &s : sets) fetch(s, &s == sets.data()); /* constants move in copies of values */
        surgery work = make(sets[0].from);
        check_branches(work);
        graph_handle small = work.take_small();
        std::vector<mskp_move> moves;
        for (Pieces &s : sets) {
            make_small(small.get(), s);
            moves.push_back({s.from, s.to});
        }
        work.cut(moves);
        for (Pieces &s : sets) send_back(s);
        const std::vector<torch::Tensor> counts = count_pads(work.plan());
        std::vector<uint8_t> keep(mskp_graph_counts(small.get()).units, 1);
        earlier_.reserve(earlier_.size() + 1);

        /* From here on nothing can fail. */
        for (size_t i = 0; i < tensors_.size(); i++) replace(tensors_[i], sets[0].tensor[i]);
        for (size_t s = 1; s < sets.size(); s++)
            for (size_t i = 0; i < tensors_.size(); i++)
                if (sets[s].place[i]) *sets[s].place[i] = sets[s].tensor[i];
        for (size_t i = 0; i < pads_.size(); i++) pads_[i].counts.set_data(counts[i]);
        earlier_.push_back(std::move(graph_));
        graph_ = std::move(small);
        for (const auto &f : followers_) f(graph());
        mark(std::move(keep));
        return work.report();
    }

    mskp_branches leaving() const
    {
        return {ends_.data(), "only one that is described by add(other, last, branch) can vanish"};
    }

    bool is_left(const surgery &work, mskp_param param) const
    {
        size_t shape[MSKP_MAX_DIMS];
        return param.id && mskp_param_shape(work.small(), param, shape) && shape[0];
    }

    /* Refuses a branch that vanishes without its last module, or leaves more than its bias:
     * forward() asks this module. */
    void check_branches(const surgery &work) const
    {
        for (const Leaving &b : branches_) {
            const mskp_fate fate = mskp_plan_fate(work.plan(), b.end);
            if (fate != MSKP_FATE_STAYS &&
                (is_left(work, b.weight) || is_left(work, b.bias) != (fate == MSKP_FATE_SHIFT)))
                throw error(std::string(mskp_value_name(graph(), b.end)) +
                            ": the mask removes all of a branch, but " + name_of(b.weight.id - 1) +
                            " is not the weight of its last module, or is used elsewhere");
        }
    }

    Pieces all_values()
    {
        Pieces values(tensors_.size());
        for (size_t i = 0; i < tensors_.size(); i++) values.place[i] = &tensors_[i];
        return values;
    }

    /* Values, gradients, then up to three tensors of state of each optimizer. */
    std::vector<Pieces> collect(Optimizers optimizers)
    {
        enum { STATES = 3 };
        const size_t n = tensors_.size();
        std::vector<Pieces> sets(2 + STATES * optimizers.size(), Pieces(n));
        sets[0] = all_values();
        for (size_t i = 0; i < n; i++)
            if (tensors_[i].grad().defined()) sets[1].place[i] = &tensors_[i].mutable_grad();
        auto *own = &sets[2];
        for (torch::optim::Optimizer &optimizer : optimizers) {
            for (const auto &s : optimizer.state()) state_tensors(*s.second); /* refuses others */
            for (size_t i = 0; i < n; i++) {
                const auto state =
                    optimizer.state().find(c10::guts::to_string(tensors_[i].unsafeGetTensorImpl()));
                if (state == optimizer.state().end()) continue;
                const auto tensors = state_tensors(*state->second);
                for (size_t k = 0; k < tensors.size(); k++)
                    if (tensors[k]->defined()) own[k].place[i] = tensors[k];
            }
            own += STATES;
        }
        return sets;
    }

    /* Views of the tensors, or of copies in memory: of those that are not here, or of all. */
    void fetch(Pieces &s, bool copies) const
    {
        for (size_t i = 0; i < s.place.size(); i++) {
            if (!s.place[i]) continue;
            const torch::Tensor &t = *s.place[i];
            s.whole[i] = here(t) && !copies ? t : t.detach().to(torch::kCPU, false, true);
            s.from[i] = view_at_address(s.whole[i]);
        }
    }

    static void send_back(Pieces &s)
    {
        for (size_t i = 0; i < s.place.size(); i++)
            if (s.place[i]) s.tensor[i] = s.tensor[i].to(s.place[i]->device());
    }

    /* Axes from the largest stride to the smallest: channels-last stays channels-last. */
    static std::array<uint32_t, MSKP_MAX_DIMS> order_of(const torch::Tensor &t)
    {
        std::array<uint32_t, MSKP_MAX_DIMS> order{};
        const auto end = order.begin() + t.dim();
        std::iota(order.begin(), end, 0U);
        std::stable_sort(order.begin(), end,
                         [&](uint32_t a, uint32_t b) { return t.stride(a) > t.stride(b); });
        return order;
    }

    /* New tensors of the small shapes, in memory, with the order of axes of the old ones. */
    void make_small(const mskp_graph *small, Pieces &s) const
    {
        for (size_t i = 0; i < s.place.size(); i++) {
            if (!s.place[i]) continue;
            const torch::Tensor &t = *s.place[i];
            mskp_error err;
            mskp_tensor v;
            if (t.dim() > MSKP_MAX_DIMS) throw error(name_of(i) + ": state with too many axes");
            check(mskp_param_view(small, handle(i), order_of(t).data(), nullptr, dtype_of(t), &v,
                                  &err),
                  err);
            const std::vector<int64_t> shape(v.shape, v.shape + v.ndim);
            const std::vector<int64_t> stride(v.stride, v.stride + v.ndim);
            s.tensor[i] = torch::empty_strided(shape, stride, s.whole[i].options());
            s.to[i] = view_at_address(s.tensor[i]);
        }
    }

    /* How many channels of zeros stay before and after the input of each padding. */
    std::vector<torch::Tensor> count_pads(const mskp_plan *plan) const
    {
        std::vector<torch::Tensor> counts;
        for (const Pad &p : pads_) {
            const auto before = p.counts[0].item<int64_t>(), after = p.counts[1].item<int64_t>();
            const auto end = before + channels(graph(), p.in);
            const size_t left =
                mskp_plan_channels_kept(plan, p.out, 0, static_cast<size_t>(before));
            const size_t right = mskp_plan_channels_kept(plan, p.out, static_cast<size_t>(end),
                                                         static_cast<size_t>(after));
            counts.push_back(
                torch::tensor({static_cast<int64_t>(left), static_cast<int64_t>(right)},
                              p.counts.options().dtype(torch::kLong)));
        }
        return counts;
    }

    /* Autograd keeps a node for each parameter, with the parameter's shape, as long as somebody
     * holds a graph that uses the parameter, such as the last step's loss. The next backward()
     * must make a new node. */
    static void replace(torch::Tensor &t, const torch::Tensor &data)
    {
        t.set_data(data);
        if (t.requires_grad()) torch::autograd::impl::set_grad_accumulator(t, {});
    }

    graph_handle graph_;
    std::vector<graph_handle> earlier_; /* before cuts: a mskp_pruner needs its first graph */
    std::unordered_map<const void *, std::string> names_; /* of modules and tensors */
    std::unordered_set<const void *> described_;          /* modules */
    std::vector<torch::Tensor> tensors_;                  /* one per parameter of the graph */
    std::vector<Pad> pads_;
    std::vector<Leaving> branches_;
    std::vector<uint32_t> ends_; /* for each value, of the innermost branch; 0: it has to stay */
    uint32_t values_ = 0;
    std::vector<std::function<void(const mskp_graph *)>> followers_;
    std::vector<uint8_t> keep_;
    std::vector<torch::Tensor> masks_; /* of tensors that are not here */
    uint32_t mask_roles_ = 0;          /* the roles of these masks; 0: the marks have changed */
    uint64_t penalties_ = 0; /* how often penalty() was called: the seed of its rounding */
};

} // namespace mskp
#endif /* MSKP_TORCH_HPP */
