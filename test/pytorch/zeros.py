"""What a pruned network must compute, found without the pruner's word: the network before, with zeros for all that is gone.

Which indices stayed is found by the numbers alone: each number of a random tensor in double precision is there once.
"""
import copy

import torch


def randomize(model, seed=0):
    """Batch norms whose statistics, scales and shifts are not the trivial ones; biases that are not 0; no number twice."""
    g = torch.Generator().manual_seed(seed)
    done = set()
    for module in model.modules():
        for name, t in [*module._parameters.items(), *module._buffers.items()]:
            if t is None or not t.is_floating_point() or id(t) in done:
                continue
            done.add(id(t))
            r = torch.rand(t.shape, generator=g, dtype=torch.float64)
            with torch.no_grad():
                if name == 'running_var':
                    t.copy_(0.5 + r)
                elif name == 'running_mean':
                    t.copy_(0.2 * r - 0.1)
                elif t.dim() == 1 and isinstance(t, torch.nn.Parameter) and name == 'weight':
                    t.copy_(0.5 + r)
                elif name == 'bias':
                    t.copy_(0.2 * r - 0.1)
                else:
                    t.mul_(1 + 1e-3 * r)
    return model


def places(whole, small):
    """For each axis of `whole` the indices that stayed in `small`, or a sentence that says why there are none."""
    if whole.dim() != small.dim():
        return f'{small.dim()} axes in place of {whole.dim()}'
    if whole.shape == small.shape:
        return [torch.arange(n) for n in whole.shape] if torch.equal(whole, small) else 'other numbers'
    order = whole.reshape(-1).argsort()
    sorted_ = whole.reshape(-1)[order]
    axes = []
    for axis in range(whole.dim()):
        line = small.permute(axis, *[a for a in range(small.dim()) if a != axis]).reshape(small.shape[axis], -1)[:, 0].contiguous()
        at = torch.searchsorted(sorted_, line)
        if (at >= len(sorted_)).any() or not torch.equal(sorted_[at.clamp(max=len(sorted_) - 1)], line):
            return 'other numbers'
        flat = order[at]
        stride = 1
        for n in whole.shape[axis + 1:]:
            stride *= n
        axes.append(flat // stride % whole.shape[axis])
    found = whole
    for axis, index in enumerate(axes):
        found = found.index_select(axis, index)
    return axes if torch.equal(found, small) else 'numbers in other places'


def zeroed(before, after):
    """A copy of `before` with zeros where `after` has lost something, and what is wrong with `after`, or None."""
    made, wrong = copy.deepcopy(before), None
    theirs = {**dict(after.named_parameters(remove_duplicate=False)), **dict(after.named_buffers(remove_duplicate=False))}
    for own in (made.named_parameters, made.named_buffers):
        for name, t in own(remove_duplicate=False):
            if name not in theirs or not t.is_floating_point():
                continue
            with torch.no_grad():
                if t.shape == theirs[name].shape and torch.equal(t, theirs[name]):
                    continue
                found = places(t, theirs[name])
                if isinstance(found, str):
                    wrong = wrong or f'{name}: {found}'
                    continue
                if name.endswith(('running_mean', 'running_var')):
                    continue
                keep = torch.zeros_like(t, dtype=torch.bool)
                keep[torch.meshgrid(*found, indexing='ij')] = True
                t.masked_fill_(~keep, 0)
    return made, wrong


def outputs(result):
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, dict):
        result = result.values()
    elif not isinstance(result, (tuple, list)):
        result = vars(result).values() if hasattr(result, '__dict__') else []
    return [t for part in result for t in outputs(part)]


def run(model, inputs):
    model.eval()
    with torch.no_grad():
        return outputs(model(**inputs) if isinstance(inputs, dict) else model(*inputs) if isinstance(inputs, tuple) else model(inputs))


def run_heads(model, inputs):
    """The outputs; of a detector of torchvision those of its head in their place, and beside them where boxes are chosen twice."""
    heads, found = [m for m in (getattr(model, 'head', None), getattr(getattr(model, 'rpn', None), 'head', None)) if m is not None], []
    if not hasattr(model, 'transform') or not heads:
        return run(model, inputs)
    hook = heads[0].register_forward_hook(lambda _, given, result: found.append(result))
    try:
        last = run(model, inputs)
    finally:
        hook.remove()
    return outputs(found) + (last if hasattr(model, 'roi_heads') else [])


def difference(a, b):
    """The largest difference of two lists of outputs, as a share of the largest number; infinity for other shapes."""
    worst = 0.0
    if len(a) != len(b):
        return float('inf')
    for x, y in zip(a, b):
        if x.shape != y.shape or bool((torch.isfinite(x) != torch.isfinite(y)).any()):
            return float('inf')
        finite = torch.isfinite(x)
        x, y = x[finite].double(), y[finite].double()
        if x.numel():
            worst = max(worst, float((x - y).abs().max() / x.abs().max().clamp(min=1e-30)))
    return worst
