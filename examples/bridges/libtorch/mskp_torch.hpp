/*
 * mskp_torch.hpp - mskp for libtorch: copy this file into your project.
 *
 *     mskp::Pruner pruner(*net);                          // knows names from what is registered
 *     pruner.finish({net->describe(pruner, pruner.input(3, {32, 32}))});
 *     pruner.select(rule);                                // marks what will leave
 *     loss.backward(), pruner.penalty(s), opt.step();     // each step
 *     pruner.cut({opt});                                  // training goes on
 *
 * Each module gets a describe() beside its forward(), of the same shape: values instead of tensors.
 * What is missing here is said with mskp's own calls on pruner.graph().
 *
 * What goes wrong is thrown as mskp::error, a sentence; the network is then as it was. Errors of
 * torch itself (no memory, say) pass through, as harmless. A Pruner belongs to one thread, as the
 * network does.
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

#include "mskp.h"

namespace mskp
{

struct error : std::runtime_error {
    using std::runtime_error::runtime_error;
};

inline void check(mskp_status status, const mskp_error &err)
{
    if (status) throw error(err.text);
}

struct release {
    void operator()(mskp_graph *graph) const
    {
        mskp_graph_destroy(graph);
    }
    void operator()(mskp_plan *plan) const
    {
        mskp_plan_destroy(plan);
    }
};
using graph_handle = std::unique_ptr<mskp_graph, release>;
using plan_handle = std::unique_ptr<mskp_plan, release>;

/* What an optimizer keeps for each element of a parameter. An optimizer of your own: add its type. */
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
        return MSKP_F32;
    case torch::kDouble:
        return MSKP_F64;
    case torch::kHalf:
        return MSKP_F16;
    case torch::kBFloat16:
        return MSKP_BF16;
    default:
        break;
    }
    switch (tensor.element_size()) { /* moved, never computed with */
    case 1:
        return MSKP_BYTES_1;
    case 2:
        return MSKP_BYTES_2;
    case 4:
        return MSKP_BYTES_4;
    case 8:
        return MSKP_BYTES_8;
    default:
        return MSKP_BYTES_16;
    }
}

class Pruner
{
  public:
    /* Can this tensor be read at its address? If not, torch computes instead of the library. */
    std::function<bool(const torch::Tensor &)> here = [](const torch::Tensor &t) {
        return t.is_cpu();
    };

    /* The network need not be on its device yet. It must outlive the description, no more. */
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
    /*                 Describing: what forward() does, with values instead of tensors            */
    /* ========================================================================================== */

    mskp_value input(size_t channels, const std::vector<size_t> &spatial)
    {
        return mskp_input(graph(), "input", channels, static_cast<uint32_t>(spatial.size()),
                          spatial.data());
    }

    /* Conv1d, 2d, 3d with any padding and padding mode, ConvTranspose1d, 2d, 3d, grouped or not. Of
     * groups, the same positions leave; of depthwise convolutions, channels with their filters. */
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
        follow([=](const mskp_graph *now) { m->options.num_features(channels(now, out)); });
        return out;
    }

    mskp_value linear(const torch::nn::Linear &holder, mskp_value in)
    {
        const auto m = holder.ptr();
        const char *name = name_module(m.get());
        const mskp_value out = mskp_linear(graph(), name, in, param(m->weight), param(m->bias));
        follow([=](const mskp_graph *now) {
            m->options.in_features(channels(now, in)).out_features(channels(now, out));
        });
        return out;
    }

    mskp_value relu(mskp_value in)
    {
        mskp_activation_desc d{};
        d.kind = MSKP_RELU;
        return mskp_activation(graph(), nullptr, in, &d);
    }

    mskp_value add(mskp_value a, mskp_value b)
    {
        const mskp_value both[] = {a, b};
        return mskp_combine(graph(), nullptr, MSKP_ADD, 2, both);
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

    /* Channels of zeros before and after. counts: {before, after}, a registered buffer, from which
     * forward() takes them; a cut corrects it, torch::save saves it. It need not be int64, because
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

    /* A tensor of the network; {0} for an undefined one. Used again (tied): the same parameter. */
    mskp_param param(const torch::Tensor &tensor)
    {
        if (!tensor.defined()) return {};
        for (size_t id = 1; id < tensors_.size(); id++)
            if (tensors_[id].is_same(tensor)) return {static_cast<uint32_t>(id)};
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
        if (tensors_.size() <= param.id) tensors_.resize(param.id + 1);
        if (param.id) tensors_[param.id] = tensor; /* 0: an error, which finish() will tell */
        return param;
    }

    /* f is called by finish() and by each cut with the network's description as it then is, to
     * correct what a module remembers of its channels. It must not throw. */
    void follow(std::function<void(const mskp_graph *)> f)
    {
        followers_.push_back(std::move(f));
    }

    /* Ends the description. The channels of outputs never leave. */
    void finish(std::initializer_list<mskp_value> outputs)
    {
        mskp_error err;
        for (const mskp_value v : outputs) mskp_output(graph(), v);
        check(mskp_graph_finish(graph(), &err), err);
        tensors_.resize(params() + 1);
        check_tensors();
        for (const auto &f : followers_) f(graph()); /* torch::load leaves options as they were */
        mark(std::vector<uint8_t>(mskp_count(graph()).units, 1));
    }

    /* ========================================================================================== */
    /*                                           Marking                                          */
    /* ========================================================================================== */

    mskp_cost cost() const
    {
        mskp_error err;
        mskp_cost cost;
        check(mskp_measure(graph(), 0, nullptr, &cost, nullptr, &err), err);
        return cost;
    }

    /* Tensors that are not here are copied, but only those that the roles need. */
    std::vector<double> score(const mskp_scoring &how) const
    {
        mskp_error err;
        std::vector<double> scores(keep_.size());
        std::vector<torch::Tensor> copies;
        std::vector<mskp_tensor> set = values();
        for (uint32_t id = 1; id < set.size(); id++) {
            if (here(tensors_[id]) || !plays(id, how.roles ? how.roles : uint32_t{MSKP_ROLE_SCALE}))
                continue;
            copies.push_back(tensors_[id].detach().cpu());
            set[id] = view_at_address(copies.back());
        }
        check(mskp_score(graph(), &how, params(), set.data(), scores.size(), scores.data(), &err),
              err);
        return scores;
    }

    mskp_selection select(const mskp_rule &rule, const mskp_scoring &how)
    {
        mskp_error err;
        mskp_selection selection;
        std::vector<uint8_t> keep(keep_.size());
        const std::vector<double> scores = score(how);
        check(mskp_select(graph(), scores.size(), scores.data(), &rule, keep.data(), &selection,
                          &err),
              err);
        mark(std::move(keep));
        return selection;
    }

    void mark(std::vector<uint8_t> keep)
    {
        if (keep.size() != mskp_count(graph()).units)
            throw error("mark: " + std::to_string(keep.size()) + " units, the network has " +
                        std::to_string(mskp_count(graph()).units));
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

    /* gradients += strength * sign(w) in what will leave: between backward() and step(), once per
     * step. Frozen parameters and undefined gradients are passed over. */
    void penalty(double strength, uint32_t roles = MSKP_ROLE_SCALE | MSKP_ROLE_SHIFT)
    {
        const torch::NoGradGuard no_grad;
        mskp_error err;
        mskp_penalty how{};
        how.roles = roles ? roles : uint32_t{MSKP_ROLE_SCALE}, how.skip_missing = 1;
        check_gradients(how.roles);
        check(mskp_penalty_gradient(graph(), keep_.size(), keep_.data(), &how, strength, params(),
                                    values().data(), gradients().data(), &err),
              err);
        if (mask_roles_ != how.roles) make_masks(how);
        for (size_t id = 1; id < masks_.size(); id++)
            if (masks_[id].defined() && tensors_[id].grad().defined())
                tensors_[id].mutable_grad().add_(tensors_[id].sign().mul_(masks_[id]), strength);
    }

    /* A set of views: of(tensor) for each parameter, an undefined tensor for none. Those that are
     * not here have a shape, but no data. */
    template <class Of> std::vector<mskp_tensor> set(Of of) const
    {
        std::vector<mskp_tensor> views(tensors_.size());
        for (size_t id = 1; id < tensors_.size(); id++) views[id] = view(of(tensors_[id]));
        return views;
    }

    std::vector<mskp_tensor> values() const
    {
        return set([](const torch::Tensor &t) { return t; });
    }

    std::vector<mskp_tensor> gradients() const
    {
        return set([](const torch::Tensor &t) { return t.grad(); });
    }

    /* ========================================================================================== */
    /*                                           Surgery                                          */
    /* ========================================================================================== */

    /*
     * Cuts parameters, buffers, gradients and the state of all optimizers that know a parameter of
     * the network; name each of them. All new tensors are made first, then all are put in place.
     * Parameters stay the same objects (set_data): modules, names, handles and optimizers see the
     * new data. Afterwards nothing is marked.
     */
    void cut(std::initializer_list<std::reference_wrapper<torch::optim::Optimizer>> optimizers = {})
    {
        const torch::NoGradGuard no_grad;
        mskp_error err;
        mskp_plan *new_plan;
        mskp_graph *new_graph;
        check_tensors();
        check(mskp_plan_create(graph(), keep_.size(), keep_.data(), &new_plan, &new_graph, &err),
              err);
        const plan_handle plan(new_plan);
        graph_handle small(new_graph);
        std::vector<Pieces> sets = collect(optimizers);
        for (Pieces &s : sets) make_small(plan.get(), small.get(), s);
        std::vector<mskp_move> moves;
        for (Pieces &s : sets) moves.push_back({s.from.data(), s.to.data()});
        check(mskp_plan_cut(plan.get(), params(), moves.size(), moves.data(), &err), err);
        const std::vector<torch::Tensor> counts = count_pads(plan.get());
        std::vector<uint8_t> keep(mskp_count(small.get()).units, 1);

        /* From here on nothing can fail. */
        for (size_t id = 1; id < tensors_.size(); id++) replace(tensors_[id], sets[0].tensor[id]);
        for (size_t s = 1; s < sets.size(); s++)
            for (size_t id = 1; id < tensors_.size(); id++)
                if (sets[s].place[id]) *sets[s].place[id] = sets[s].tensor[id];
        for (size_t i = 0; i < pads_.size(); i++) pads_[i].counts.set_data(counts[i]);
        graph_ = std::move(small);
        for (const auto &f : followers_) f(graph());
        mark(std::move(keep));
    }

  private:
    struct Pad {
        torch::Tensor counts;
        mskp_value in, out;
    };

    /* A set on its way through a cut. place: where the host keeps each tensor. */
    struct Pieces {
        explicit Pieces(size_t n) : place(n), tensor(n), from(n), to(n)
        {
        }
        std::vector<torch::Tensor *> place;
        std::vector<torch::Tensor> tensor; /* the small ones */
        std::vector<mskp_tensor> from, to; /* what the library cuts: without data if not here */
    };

    static const void *key(const torch::Tensor &t)
    {
        return t.unsafeGetTensorImpl();
    }

    size_t params() const
    {
        return mskp_count(graph()).params;
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

    std::string name_of(size_t id) const
    {
        const char *name = nullptr;
        mskp_param_info(graph(), {static_cast<uint32_t>(id)}, &name, nullptr);
        return name;
    }

    /* ---- describing ---- */

    template <class Options> static void set_padding(mskp_conv_desc &d, const Options &options)
    {
        const size_t axes = options.stride()->size();
        using Numbers = std::decay_t<decltype(options.stride())>;
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

    /* What would go wrong, or unseen, in a cut. */
    void check_tensors() const
    {
        for (size_t id = 1; id < tensors_.size(); id++) {
            const torch::Tensor &t = tensors_[id];
            size_t shape[MSKP_MAX_DIMS];
            const size_t axes =
                mskp_param_info(graph(), {static_cast<uint32_t>(id)}, nullptr, shape);
            if (!t.defined())
                throw error(name_of(id) + ": declared without a tensor; know() tells the bridge");
            if (t.layout() != torch::kStrided || !t.is_leaf())
                throw error(name_of(id) + ": not a dense leaf tensor");
            if (!std::equal(t.sizes().begin(), t.sizes().end(), shape, shape + axes,
                            [](int64_t a, size_t b) { return static_cast<size_t>(a) == b; }))
                throw error(name_of(id) + ": its shape is not the one that was described");
            if (t.storage().use_count() > 1)
                throw error(
                    name_of(id) +
                    ": another tensor shares its memory (a view, detach(), a graph that "
                    "autograd still holds) and could not follow a cut; let go of outputs that "
                    "had no backward(), or make them under torch::NoGradGuard");
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

    bool plays(uint32_t id, uint32_t roles) const
    {
        return (mskp_param_roles(graph(), {id}) & roles) != 0;
    }

    /* A penalty that reaches nothing was called at the wrong place. */
    void check_gradients(uint32_t roles) const
    {
        size_t asked = 0, found = 0;
        for (uint32_t id = 1; id < tensors_.size(); id++) {
            if (!plays(id, roles)) continue;
            asked++;
            found += tensors_[id].grad().defined();
        }
        if (asked && !found)
            throw error("penalty: all gradients are missing; is it called after backward(), and is "
                        "not all frozen?");
    }

    /* How many of the units that leave hold each element of a tensor that is not here: the
     * library's own answer, as the gradient of ones. It stays on the device as long as the marks. */
    void make_masks(const mskp_penalty &how)
    {
        mskp_error err;
        std::vector<torch::Tensor> ones(tensors_.size()), sums(tensors_.size());
        std::vector<mskp_tensor> values(tensors_.size()), gradients(tensors_.size());
        masks_.assign(tensors_.size(), {});
        for (uint32_t id = 1; id < tensors_.size(); id++) {
            if (here(tensors_[id]) || !plays(id, how.roles)) continue;
            ones[id] = torch::ones(tensors_[id].sizes()), sums[id] = torch::zeros_like(ones[id]);
            values[id] = view_at_address(ones[id]), gradients[id] = view_at_address(sums[id]);
        }
        check(mskp_penalty_gradient(graph(), keep_.size(), keep_.data(), &how, 1, params(),
                                    values.data(), gradients.data(), &err),
              err);
        for (size_t id = 1; id < sums.size(); id++)
            if (sums[id].defined())
                masks_[id] = sums[id].to(tensors_[id].device(), tensors_[id].scalar_type());
        mask_roles_ = how.roles;
    }

    /* ---- surgery ---- */

    /* Values, gradients, then up to three tensors of state of each optimizer. */
    std::vector<Pieces>
    collect(std::initializer_list<std::reference_wrapper<torch::optim::Optimizer>> optimizers)
    {
        enum { STATES = 3 };
        const size_t n = tensors_.size();
        std::vector<Pieces> sets(2 + STATES * optimizers.size(), Pieces(n));
        for (size_t id = 1; id < n; id++) {
            sets[0].place[id] = &tensors_[id];
            if (tensors_[id].grad().defined()) sets[1].place[id] = &tensors_[id].mutable_grad();
        }
        auto *own = &sets[2];
        for (torch::optim::Optimizer &optimizer : optimizers) {
            for (const auto &s : optimizer.state()) state_tensors(*s.second); /* refuses others */
            for (size_t id = 1; id < n; id++) {
                const auto state = optimizer.state().find(
                    c10::guts::to_string(tensors_[id].unsafeGetTensorImpl()));
                if (state == optimizer.state().end()) continue;
                const auto tensors = state_tensors(*state->second);
                for (size_t k = 0; k < tensors.size(); k++)
                    if (tensors[k]->defined()) own[k].place[id] = tensors[k];
            }
            own += STATES;
        }
        return sets;
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

    /* New tensors of the small shapes: views of what the library cuts, the rest done by torch. */
    void make_small(const mskp_plan *plan, const mskp_graph *small, Pieces &s) const
    {
        for (uint32_t id = 1; id < s.place.size(); id++) {
            if (!s.place[id]) continue;
            const torch::Tensor &t = *s.place[id];
            mskp_error err;
            mskp_tensor v;
            if (t.dim() > MSKP_MAX_DIMS) throw error(name_of(id) + ": state with too many axes");
            check(mskp_param_view(small, {id}, order_of(t).data(), nullptr, dtype_of(t), &v, &err),
                  err);
            const std::vector<int64_t> shape(v.shape, v.shape + v.ndim);
            const std::vector<int64_t> stride(v.stride, v.stride + v.ndim);
            s.tensor[id] = torch::empty_strided(shape, stride, t.options());
            if (here(t))
                s.from[id] = view_at_address(t), s.to[id] = view_at_address(s.tensor[id]);
            else
                s.tensor[id].copy_(gather(plan, id, t));
        }
    }

    torch::Tensor gather(const mskp_plan *plan, uint32_t id, torch::Tensor t) const
    {
        if (t.sizes() != tensors_[id].sizes())
            throw error(name_of(id) + ": its gradient or state has another shape");
        for (uint32_t axis = 0; axis < t.dim(); axis++) {
            size_t n = 0;
            const uint32_t *kept = mskp_plan_param(plan, {id}, axis, &n);
            if (!kept) continue;
            const auto index = torch::tensor(std::vector<int64_t>(kept, kept + n));
            t = t.index_select(axis, index.to(t.device()));
        }
        return t;
    }

    /* Of the channels of zeros, those that stay: the padded value's indices outside its input's. */
    std::vector<torch::Tensor> count_pads(const mskp_plan *plan) const
    {
        std::vector<torch::Tensor> counts;
        for (const Pad &p : pads_) {
            const auto before = p.counts[0].item<int64_t>(), after = p.counts[1].item<int64_t>();
            const auto end = before + channels(graph(), p.in);
            const size_t left = mskp_plan_count(plan, p.out, 0, static_cast<size_t>(before));
            const size_t right =
                mskp_plan_count(plan, p.out, static_cast<size_t>(end), static_cast<size_t>(after));
            counts.push_back(
                torch::tensor({static_cast<int64_t>(left), static_cast<int64_t>(right)},
                              p.counts.options().dtype(torch::kLong)));
        }
        return counts;
    }

    /* Autograd keeps a node for each parameter that remembers its shape, as long as anybody holds a
     * graph through it, such as the last step's loss. The next backward() must not meet that one. */
    static void replace(torch::Tensor &t, const torch::Tensor &data)
    {
        t.set_data(data);
        if (t.requires_grad()) torch::autograd::impl::set_grad_accumulator(t, {});
    }

    graph_handle graph_;
    std::unordered_map<const void *, std::string> names_; /* of modules and tensors */
    std::unordered_set<const void *> described_;          /* modules */
    std::vector<torch::Tensor> tensors_ = std::vector<torch::Tensor>(1); /* by id */
    std::vector<Pad> pads_;
    std::vector<std::function<void(const mskp_graph *)>> followers_;
    std::vector<uint8_t> keep_;
    std::vector<torch::Tensor> masks_; /* of what is not here, by id */
    uint32_t mask_roles_ = 0;          /* what they were made for; 0: to be made anew */
};

} // namespace mskp
#endif /* MSKP_TORCH_HPP */
