"""What modules state about their widths, after a cut.

A module that PyTorch does not check against its tensors still prints, exports and copies by these numbers, and grouped convolutions
and norms compute by them.
"""
from torch import nn


def _length(tensor, axis, kept):
    return len(kept[tensor][axis]) if axis in kept.get(tensor, ()) else tensor.shape[axis]


def _groups_left(tensor, groups, kept):
    """How many of the groups, into which axis 0 is divided, keep an index."""
    if 0 not in kept.get(tensor, ()):
        return groups
    return len(set((kept[tensor][0] // (tensor.shape[0] // groups)).tolist()))


def _convolution(module, kept):
    weight = module._parameters.get('weight')
    if weight is None or weight not in kept:
        return {}
    groups = _groups_left(weight, module.groups, kept)
    first, second = _length(weight, 0, kept), _length(weight, 1, kept) * groups
    made, read = (second, first) if module.transposed else (first, second)
    return {'in_channels': read, 'out_channels': made, 'groups': groups}


def _vector(module, kept):
    """The length of the first vector that the module has; None: it has none."""
    own = {**module._parameters, **module._buffers}
    return next((_length(own[name], 0, kept) for name in ('weight', 'bias', 'running_mean', 'running_var')
                 if own.get(name) is not None and own[name].dim() == 1), None)


def _norm(name):
    return lambda module, kept: {name: _vector(module, kept)}


def _group_norm(module, kept):
    weight = module._parameters.get('weight')
    if weight is None:
        return {}
    return {'num_channels': _length(weight, 0, kept), 'num_groups': _groups_left(weight, module.num_groups, kept)}


def _shape(module, kept):
    weight = module._parameters.get('weight')
    return {'normalized_shape': tuple(_length(weight, a, kept) for a in range(weight.dim()))} if weight is not None else {}


def _matrix(first, second):
    def numbers(module, kept):
        weight = module._parameters.get('weight')
        return {} if weight is None or weight.dim() != 2 else {first: _length(weight, 0, kept), second: _length(weight, 1, kept)}
    return numbers


def _heads(module, kept):
    """An attention of timm's kind, whose forward function goes by num_heads and attn_dim: whole heads have left."""
    qkv, size = getattr(module, 'qkv', None), getattr(module, 'head_dim', None)
    if not isinstance(qkv, nn.Linear) or qkv.weight not in kept or not isinstance(size, int) or not size:
        return {}
    whole, left = qkv.weight.shape[0], _length(qkv.weight, 0, kept)
    if left % (3 * size) or getattr(module, 'num_heads', None) != whole // (3 * size) or getattr(module, 'attn_dim', None) != whole // 3:
        return {}
    return {'num_heads': left // (3 * size), 'attn_dim': left // 3}


def _halves(module, kept):
    """A block of ultralytics' kind, which splits what its cv1 makes into two parts of c channels."""
    weight = getattr(getattr(getattr(module, 'cv1', None), 'conv', None), 'weight', None)
    if weight is None or weight not in kept or getattr(module, 'c', None) != weight.shape[0] / 2:
        return {}
    return {'c': _length(weight, 0, kept) // 2}


def _expanded(module, kept):
    """A stage of timm's CSP networks, which splits what its conv_exp makes into two parts."""
    weight = getattr(getattr(getattr(module, 'conv_exp', None), 'conv', None), 'weight', None)
    if weight is None or weight not in kept or getattr(module, 'expand_chs', None) != weight.shape[0]:
        return {}
    return {'expand_chs': _length(weight, 0, kept)}


def _paths(module, kept):
    """A block of timm's kind, which splits its input among paths: in_channels are those of all paths."""
    weights = [getattr(getattr(path, 'conv', None), 'weight', None) for path in getattr(module, 'paths', None) or ()]
    if not any(w in kept for w in weights if w is not None) or not getattr(module, 'split_input', False):
        return {}
    if any(w is None for w in weights) or getattr(module, 'in_channels', None) != sum(path.conv.in_channels for path in module.paths):
        return {}
    return {'in_channels': sum(_convolution(path.conv, kept).get('in_channels', path.conv.in_channels) for path in module.paths)}


_KNOWN = [(nn.modules.conv._ConvNd, _convolution), (nn.modules.batchnorm._NormBase, _norm('num_features')), (nn.GroupNorm, _group_norm),
          (nn.LayerNorm, _shape), (nn.Linear, _matrix('out_features', 'in_features')),
          (nn.Embedding, _matrix('num_embeddings', 'embedding_dim')), (nn.PReLU, _norm('num_parameters')),
          *([(nn.RMSNorm, _shape)] if hasattr(nn, 'RMSNorm') else [])]


def numbers(model, kept):
    """[(module, name, number)] of all that changes. kept: {tensor: {axis: indices that stay}}."""
    changes = []
    for module in model.modules():
        for kind, of in _KNOWN:
            if isinstance(module, kind):
                changes += [(module, name, number) for name, number in of(module, kept).items()
                            if number is not None and number != getattr(module, name, number)]
                break
        for of in (_heads, _halves, _expanded, _paths):  # a trial says whether a forward function goes by these numbers alone
            changes += [(module, name, number) for name, number in of(module, kept).items() if number != getattr(module, name)]
    return changes


def set_all(changes):
    """Sets the numbers, and returns the changes that set them back."""
    back = [(module, name, getattr(module, name)) for module, name, _ in changes]
    for module, name, number in changes:
        setattr(module, name, number)
    return back
