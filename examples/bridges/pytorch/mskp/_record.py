"""A network's operators, recorded while it runs once: the fastest way to an ONNX file.

A mode of PyTorch's dispatcher sees each operator after Python and above autograd's decompositions, such as linear(x, w, b), and runs it.
A tensor that follows from an input, a parameter or a buffer carries the name of its value; sizes are the numbers that they are.
`_OPERATORS` says what each operator is in ONNX. One that has no word there becomes a node of its own name with the shapes of what it made:
the channels that it reads stay. If torch.onnx can say more of such an operator, it describes the network; `_PINNED` has those of which
it cannot, such as the choice of boxes in a detector.

Here is also seen where Python asks for the numbers in a tensor: an `if` on them takes one way, and a file holds that way alone.
"""
import math
import os
import sys
import types
import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from . import _onnx

OPSET = 21
_ROOT = (os.path.dirname(torch.__file__) + os.sep, os.path.dirname(__file__) + os.sep)
_ASK = {'item', '_local_scalar_dense', 'is_nonzero', 'equal'}
# Their results follow from sizes, and sizes are numbers here.
# Operators whose channels stay in every description: they sort, choose, and compare.
_PINNED = set('''topk sort argsort argmax argmin nonzero where gt ge lt le eq ne logical_and logical_or logical_not bitwise_and bitwise_or
bitwise_not any all nms roi_align index masked_select masked_fill masked_fill_ index_put index_put_ index_fill_ fill_ copy_ zero_ gather
scatter scatter_ max min floor_divide remainder isfinite isnan round trunc cumsum _unique2 bucketize repeat_interleave log2 exp2
'''.split())
_FRESH = set('zeros_like ones_like empty_like full_like new_zeros new_ones new_empty new_full new_empty_strided'.split())


class Unknown(Exception):
    """An operator, or a way to use it, that is not written down here."""


def _tensors(args, kwargs):
    return [t for a in (*args, *kwargs.values()) for t in (a if isinstance(a, (list, tuple)) else (a,)) if isinstance(t, torch.Tensor)]


class Recorder(TorchDispatchMode):
    """names: {id of a tensor: name} of inputs, parameters and buffers, which live as long. state: the names of the last two."""

    def __init__(self, names, state):
        super().__init__()
        self.state = state
        self.names, self.nodes, self.constants, self.asked, self.unknown = names, [], {}, {}, None
        self.pinned, self.shown = {}, {}  # {operator without a word: why}, {name: tensor} of what they made
        # {address: (memory, names, writes)} of fresh memory into which values were written through a part of it, such as a batch of images
        self.filled = {}
        self.kinds, self._count, self._mine, self._named = set(), 0, object(), []

    # ---- names ----
    def name(self, tensor):
        """Of the value that a tensor is; None: it follows from no input and no parameter.

        A tensor knows its name, the writes to its memory, and how many there were when it got the name. Tensors that share memory share
        the writes: after one through another tensor, the name is no longer right.
        """
        mine, name, writes, then = getattr(tensor, '_mskp_value', (None,) * 4)
        own = mine is self._mine and name is not None
        if own and writes[0] == then:
            return name
        at = tensor.untyped_storage().data_ptr() if self.filled else None
        if at in self.filled:
            _, read, writes = self.filled[at]
            name, = self._pin('copy', [tensor], read)
            self._set_name(tensor, name, writes)
        elif own:
            self.unknown = self.unknown or 'a tensor that was changed through another one'
        else:
            name = self.names.get(id(tensor))
        return name

    def _set_name(self, tensor, name, writes):
        tensor._mskp_value = self._mine, name, writes, writes[0]
        self._named.append(weakref.ref(tensor))

    def forget(self):
        """Tensors that live on, such as parameters and what a module keeps, know nothing any more."""
        for tensor in (reference() for reference in self._named):
            if tensor is not None:
                vars(tensor).pop('_mskp_value', None)

    def called(self, tensor):
        """The same; a constant gets a name."""
        return self.name(tensor) or self.constant(tensor)

    def constant(self, tensor):
        name = f'constant_{len(self.constants)}'
        self.constants[name] = tensor.detach().clone()
        return name

    def ints(self, numbers):
        return self.constant(torch.tensor(list(numbers), dtype=torch.int64))

    def like(self, number, tensor):
        """A number, or a tensor, as an operand beside a tensor."""
        return self.called(number) if isinstance(number, torch.Tensor) else self.constant(torch.tensor(number, dtype=tensor.dtype))

    def emit(self, operator, *inputs, outputs=1, **attributes):
        """A node; the name of its output, or a list of them. A name says which module's parameter is read, for whoever reads a mask."""
        module = next((i.rpartition('.')[0] + '/' for i in inputs if i in self.state), '')
        made = [f'{module}{operator}_{self._count + i}' for i in range(outputs)]
        self._count += outputs
        self.nodes.append((operator, inputs, made, attributes))
        self.kinds.add(operator)
        return made[0] if outputs == 1 else made

    # ---- the run ----
    def __torch_dispatch__(self, function, classes, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function._schema.name.rpartition('::')[2]
        given = _tensors(args, kwargs)
        if name in _FRESH or not any([self.name(t) for t in given]):
            return function(*args, **kwargs)
        if name in _ASK:
            self._ask()
            return function(*args, **kwargs)
        write = _OPERATORS.get(name.removesuffix('_') if name not in _OPERATORS else name)
        if write is None:
            with self:  # NotImplemented: it is not made of others
                made = function.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        made = function(*args, **kwargs)
        self._note(name, write, function._schema, args, kwargs, made)
        return made

    def _note(self, name, write, schema, args, kwargs, made):
        outputs, mutates = made if isinstance(made, (list, tuple)) else [made], schema.is_mutable
        values, before = [None] * len(outputs), len(self.nodes)
        if any(a.alias_info is not None and a.alias_info.is_write for a in schema.arguments[1:]):
            self.unknown = self.unknown or f'{name}: it writes to another tensor than the first'
        if self.unknown is None:
            try:
                if write is None:
                    raise Unknown('no word for it')
                values = write(self, made, *args, **kwargs)
                values = values if isinstance(values, list) else [values]
            except (Unknown, TypeError, KeyError) as error:
                self.pinned.setdefault(name, str(error))
                del self.nodes[before:]
                values = self._pin(name, outputs, map(self.name, _tensors(args, kwargs)))
        source = args[0] if isinstance(args[0], torch.Tensor) else None
        if mutates and self._is_fresh(source):
            memory = source.untyped_storage()
            _, names, writes = self.filled.setdefault(memory.data_ptr(), (memory, [], [0]))
            names.append(values[0])
            writes[0] += 1
        for tensor, value in zip(outputs, values + [None] * len(outputs)):
            if not isinstance(tensor, torch.Tensor):
                continue
            writes = [0]
            if source is not None and tensor.untyped_storage().data_ptr() == source.untyped_storage().data_ptr():
                known = getattr(source, '_mskp_value', (None,) * 4)
                if known[0] is self._mine:
                    writes = known[2]
                else:
                    self._set_name(source, self.names.get(id(source)), writes)
                writes[0] += mutates
            self._set_name(tensor, value or '?', writes)

    def _is_fresh(self, tensor):
        """Whether it had no name before it was written to."""
        mine, name = getattr(tensor, '_mskp_value', (None, None))[:2]
        return tensor.untyped_storage().data_ptr() in self.filled or (name if mine is self._mine else self.names.get(id(tensor))) is None

    def _pin(self, name, outputs, read):
        """The names of what a node makes that only says which values it reads, and which shapes it makes."""
        tensors = [t for t in outputs if isinstance(t, torch.Tensor)]
        if any(t.dtype not in _onnx.TYPES for t in tensors):
            self.unknown = self.unknown or f'{name}: it makes another type'
        made = self.emit(name, *dict.fromkeys(r for r in read if r), outputs=len(tensors)) if tensors else []
        made = [made] if isinstance(made, str) else made
        self.shown.update((value, types.SimpleNamespace(shape=t.shape, dtype=t.dtype)) for value, t in zip(made, tensors))
        names = {id(t): value for t, value in zip(tensors, made)}
        return [names.get(id(t)) for t in outputs]

    def _ask(self):
        """The line of Python, outside of PyTorch, that asks for the numbers in a tensor."""
        frame = sys._getframe(2)
        while frame is not None and frame.f_code.co_filename.startswith(_ROOT):
            frame = frame.f_back
        if frame is not None:
            owner = type(frame.f_locals['self']).__name__ + '.' if 'self' in frame.f_locals else ''
            self.asked[f'line {frame.f_lineno} of {frame.f_code.co_filename.rpartition(os.sep)[2]} ({owner}{frame.f_code.co_name})'] = True

    def _read(self, results):
        """The nodes without those that only Python asks for their numbers, and that read no parameter: they keep no channels."""
        read, nodes = set(results), []
        for node in reversed(self.nodes):
            _, inputs, made, _ = node
            if not read.isdisjoint(made) or not self.state.keys().isdisjoint(inputs):
                read.update(inputs)
                nodes.append(node)
        return reversed(nodes)

    def file(self, inputs, outputs, state):
        """The bytes of the ONNX file. state: {name: parameter or buffer}; inputs and outputs: tensors."""
        if self.unknown is not None:
            raise Unknown(self.unknown)
        own = {*self.state, *self.constants, *(self.name(t) for t in inputs)}
        results = {}
        for t in outputs:
            name = self.called(t)
            results[self.emit('Identity', name) if name in own or name in self.constants else name] = t
        return _onnx.model([_onnx.node(*n) for n in self._read(results)], {**state, **self.constants}, {self.name(t): t for t in inputs}, results, OPSET, self.shown)


# ---- What operators are in ONNX: functions of the recorder, what the operator returned, and its arguments ----
def _same(r, y, x, *_, **__):
    """No numbers change. Types may."""
    if not isinstance(y, torch.Tensor) or y.dtype != x.dtype:
        return r.emit('Cast', r.called(x), to=_onnx.TYPES[y.dtype])
    return r.called(x)


def _function(operator, **attributes):
    return lambda r, y, x: r.emit(operator, r.called(x), **attributes)


def _binary(operator):
    def write(r, y, a, b, alpha=1):
        if alpha != 1:
            b = b * alpha if not isinstance(b, torch.Tensor) else None
            if b is None:
                raise Unknown('alpha')
        one = a if isinstance(a, torch.Tensor) else b
        return r.emit(operator, r.like(a, one), r.like(b, one))
    return write


def _div(r, y, a, b, rounding_mode=None):
    if rounding_mode == 'trunc':
        raise Unknown(rounding_mode)
    made = _binary('Div')(r, y, a, b)
    return r.emit('Floor', made) if rounding_mode else made


def _clip(r, y, x, low=None, high=None):
    return r.emit('Clip', r.called(x), r.like(low, x) if low is not None else '', r.like(high, x) if high is not None else '')


def _pairs(numbers, n):
    numbers = [numbers] if isinstance(numbers, int) else list(numbers)
    return numbers * n if len(numbers) == 1 else numbers


def _conv(r, y, x, w, bias=None, stride=1, padding=0, dilation=1, groups=1):
    n = w.dim() - 2
    if x.dim() != w.dim():
        raise Unknown('no batch')
    dilation = _pairs(dilation, n)
    if isinstance(padding, str):  # 'same' or 'valid'; of an odd number of rows, the last is longer
        both = [d * (k - 1) if padding == 'same' else 0 for d, k in zip(dilation, w.shape[2:])]
        pads = [b // 2 for b in both] + [b - b // 2 for b in both]
    else:
        pads = _pairs(padding, n) * 2
    return r.emit('Conv', r.called(x), r.called(w), *([r.called(bias)] if bias is not None else []), kernel_shape=list(w.shape[2:]),
                  strides=_pairs(stride, n), pads=pads, dilations=dilation, group=groups)


def _conv_transpose(r, y, x, w, bias=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    n = w.dim() - 2
    if x.dim() != w.dim():
        raise Unknown('no batch')
    return r.emit('ConvTranspose', r.called(x), r.called(w), *([r.called(bias)] if bias is not None else []), kernel_shape=list(w.shape[2:]),
                  strides=_pairs(stride, n), pads=_pairs(padding, n) * 2, dilations=_pairs(dilation, n), group=groups,
                  output_padding=_pairs(output_padding, n))


def _convolution(r, y, x, w, bias, stride, padding, dilation, transposed, output_padding, groups):
    if transposed:
        return _conv_transpose(r, y, x, w, bias, stride, padding, output_padding, groups, dilation)
    return _conv(r, y, x, w, bias, stride, padding, dilation, groups)


def _batch_norm(r, y, x, w, bias, mean, var, training, momentum, eps, *_):
    if training or None in (w, bias, mean, var):
        raise Unknown('without statistics or scales')
    return r.emit('BatchNormalization', *map(r.called, (x, w, bias, mean, var)), epsilon=float(eps))


def _layer_norm(r, y, x, shape, w=None, bias=None, eps=1e-5, *_):
    if w is None:
        raise Unknown('without scales')
    return r.emit('LayerNormalization', r.called(x), r.called(w), *([r.called(bias)] if bias is not None else []), axis=-len(shape),
                  epsilon=float(eps))


def _group_norm(r, y, x, groups, w=None, bias=None, eps=1e-5, *_):
    if w is None or bias is None:
        raise Unknown('without scales')
    return r.emit('GroupNormalization', *map(r.called, (x, w, bias)), num_groups=groups, epsilon=float(eps))


def _linear(r, y, x, w, bias=None):
    if x.dim() == 2:
        return r.emit('Gemm', r.called(x), r.called(w), *([r.called(bias)] if bias is not None else []), transB=1)
    made = r.emit('MatMul', r.called(x), r.emit('Transpose', r.called(w), perm=[1, 0]))
    return made if bias is None else r.emit('Add', r.called(bias), made)


def _matmul(r, y, a, b):
    return r.emit('MatMul', r.called(a), r.called(b))


def _attention(r, y, q, k, v, mask=None, dropout=0.0, causal=False, scale=None, gqa=False):
    if causal or gqa:
        raise Unknown('causal')
    last = list(range(k.dim()))
    last[-2:] = last[-1], last[-2]
    root = math.sqrt(scale if scale is not None else 1 / math.sqrt(q.shape[-1]))
    scores = r.emit('MatMul', r.emit('Mul', r.called(q), r.like(root, q)),
                    r.emit('Mul', r.emit('Transpose', r.called(k), perm=last), r.like(root, k)))
    if mask is not None:
        if mask.dtype == torch.bool:
            raise Unknown('a mask of truth values')
        scores = r.emit('Add', scores, r.called(mask))
    return r.emit('MatMul', r.emit('Softmax', scores, axis=-1), r.called(v))


def _pool(operator, maximum):
    def write(r, y, x, kernel, stride=(), padding=0, *rest):
        n = x.dim() - 2
        own = {'dilations': _pairs(rest[0] if rest else 1, n), 'ceil_mode': int(rest[1] if rest[1:] else 0)} if maximum else {
            'ceil_mode': int(rest[0] if rest else 0), 'count_include_pad': int(rest[1] if rest[1:] else 1)}
        if not maximum and rest[2:] and rest[2] is not None:
            raise Unknown('divisor_override')
        return r.emit(operator, r.called(x), kernel_shape=_pairs(kernel, n), strides=_pairs(stride or kernel, n),
                      pads=_pairs(padding, n) * 2, **own)
    return write


def _adaptive(kind):
    def write(r, y, x, size):
        if isinstance(y, tuple):  # a maximum, and where it is
            return [write(r, y[0], x, size), None]
        sizes, lengths = list(y.shape[2:]), list(x.shape[2:])
        if all(s == 1 for s in sizes):
            return r.emit('Global' + kind, r.called(x))
        if sizes == lengths:
            return r.called(x)
        if any(n % s for n, s in zip(lengths, sizes)):  # windows of several lengths: each channel by itself, as in a resizing
            return r.emit('Resize', r.called(x), '', '', r.ints(y.shape), mode='linear')
        windows = [n // s for n, s in zip(lengths, sizes)]
        return r.emit(kind, r.called(x), kernel_shape=windows, strides=windows)
    return write


def _reduce(operator):
    def write(r, y, x, dims=None, keep=False, **_):
        dims = list(range(x.dim())) if dims is None or dims == [] else _pairs(dims, 1)
        if operator == 'ReduceMean' and keep and x.dim() > 2 and sorted(d % x.dim() for d in dims) == list(range(2, x.dim())):
            return r.emit('GlobalAveragePool', r.called(x))
        return r.emit(operator, r.called(x), r.ints(dims), keepdims=int(keep))
    return write


def _flatten(r, y, x, start=0, end=-1):
    if y.shape == x.shape:
        return r.called(x)
    if start == 1 and end in (-1, x.dim() - 1):
        return r.emit('Flatten', r.called(x), axis=1)
    return _reshape(r, y, x, list(y.shape))


def _reshape(r, y, x, shape, *_):
    return r.called(x) if y.shape == x.shape else r.emit('Reshape', r.called(x), r.ints(shape))


def _reshaped(r, y, x, *_):
    return _reshape(r, y, x, y.shape)


def _permute(r, y, x, dims):
    return r.emit('Transpose', r.called(x), perm=[d % x.dim() for d in dims])


def _transpose(r, y, x, a=0, b=1):
    order = list(range(x.dim()))
    if x.dim() < 2:
        return r.called(x)
    order[a], order[b] = order[b], order[a]
    return r.emit('Transpose', r.called(x), perm=order)


def _expand(r, y, x, size, **_):
    return r.called(x) if y.shape == x.shape else r.emit('Expand', r.called(x), r.ints(size if -1 not in size else y.shape))


def _unsqueeze(r, y, x, dim):
    return r.emit('Unsqueeze', r.called(x), r.ints([dim]))


def _squeeze(r, y, x, dims=None):
    dims = range(x.dim()) if dims is None else _pairs(dims, 1)
    dims = [d for d in dims if x.shape[d] == 1]
    return r.emit('Squeeze', r.called(x), r.ints(dims)) if dims else r.called(x)


def _concat(r, y, tensors, dim=0):
    tensors = [t for t in tensors if t.shape != (0,)]
    return r.emit('Concat', *map(r.called, tensors), axis=dim)


def _stack(r, y, tensors, dim=0):
    return r.emit('Concat', *[r.emit('Unsqueeze', r.called(t), r.ints([dim])) for t in tensors], axis=dim)


def _split(r, y, x, how=None, dim=0):
    if len(y) == 1:
        return [r.called(x)]
    return r.emit('Split', r.called(x), r.ints(t.shape[dim] for t in y), outputs=len(y), axis=dim)


def _unbind(r, y, x, dim=0):
    parts = [r.called(x)] if len(y) == 1 else r.emit('Split', r.called(x), r.ints([1] * len(y)), outputs=len(y), axis=dim)
    return [r.emit('Squeeze', part, r.ints([dim])) for part in parts]


def _select(r, y, x, dim, index):
    return r.emit('Gather', r.called(x), r.constant(torch.tensor(index)), axis=dim)


def _slice(r, y, x, dim=0, start=None, end=None, step=1):
    start, end = start or 0, min(2**62, end if end is not None else 2**62)
    if y.shape == x.shape:
        return r.called(x)
    return r.emit('Slice', r.called(x), *(r.ints([n]) for n in (start, end, dim, step)))


def _roll(r, y, x, shifts, dims=()):
    made = r.called(x)
    if not dims:
        raise Unknown('no dims')
    for shift, dim in zip(shifts, dims):
        shift %= x.shape[dim]
        if shift:
            parts = [r.emit('Slice', made, *(r.ints([n]) for n in (a, b, dim, 1))) for a, b in ((-shift, 2**62), (0, -shift))]
            made = r.emit('Concat', *parts, axis=dim)
    return made


def _resize(mode):
    def write(r, y, x, *rest):
        corners = mode != 'nearest' and bool(rest[1])
        scales = [1.0, 1.0, *(b / a for a, b in zip(x.shape[2:], y.shape[2:]))]
        return r.emit('Resize', r.called(x), '', r.constant(torch.tensor(scales)), mode=mode, nearest_mode='floor',
                      coordinate_transformation_mode='asymmetric' if mode == 'nearest' else 'align_corners' if corners else 'half_pixel')
    return write


def _pad(r, y, x, pads, mode='constant', value=None):
    if not isinstance(mode, str):
        mode, value = 'constant', mode
    half = [0] * (x.dim() - len(pads) // 2)
    begins, ends = half + list(pads[-2::-2]), half + list(pads[-1::-2])
    names = {'constant': 'constant', 'reflect': 'reflect', 'replicate': 'edge', 'circular': 'wrap'}
    return r.emit('Pad', r.called(x), r.ints(begins + ends), r.like(value or 0, x), mode=names[mode])


def _index(r, y, x, where):
    """x[where], where one axis has indices."""
    axes = [k for k, w in enumerate(where) if w is not None]
    if len(axes) != 1 or where[axes[0]].dtype in (torch.bool, torch.uint8):
        raise Unknown('indices of several axes')
    return r.emit('Gather', r.called(x), r.called(where[axes[0]]), axis=axes[0])


def _embedding(r, y, w, where, *_):
    return r.emit('Gather', r.called(w), r.called(where), axis=0)


def _einsum(r, y, equation, tensors, **_):
    return r.emit('Einsum', *map(r.called, tensors), equation=equation)


def _addcmul(r, y, x, a, b, value=1):
    if value != 1:
        raise Unknown('value')
    return r.emit('Add', r.called(x), r.emit('Mul', r.called(a), r.called(b)))


def _silu(r, y, x):
    return r.emit('Mul', r.called(x), r.emit('Sigmoid', r.called(x)))


def _gelu(r, y, x, approximate='none'):
    return r.emit('Gelu', r.called(x), approximate=approximate)


def _dropout(r, y, x, p, train):
    if train:
        raise Unknown('in training')
    return r.called(x)


def _softmax(operator):
    return lambda r, y, x, dim, *_: r.emit(operator, r.called(x), axis=dim)


def _prelu(r, y, x, w):
    shape = [len(w)] + [1] * (x.dim() - 2)
    return r.emit('PRelu', r.called(x), r.called(w) if x.dim() <= 2 else r.emit('Reshape', r.called(w), r.ints(shape)))


def _pixel_shuffle(r, y, x, factor):
    return r.emit('DepthToSpace', r.called(x), blocksize=factor, mode='CRD')


def _norm(r, y, x, p=2, dims=None, keep=False, **_):
    if p != 2 or not dims:
        raise Unknown(f'p={p}')
    return r.emit('ReduceL2', r.called(x), r.ints(_pairs(dims, 1)), keepdims=int(keep))


_OPERATORS = {
    **{name: _function(name.capitalize()) for name in 'relu sigmoid tanh erf exp log sqrt neg abs floor ceil sin cos reciprocal mish'.split()},
    'hardswish': _function('HardSwish'), 'hardsigmoid': _function('HardSigmoid', alpha=1 / 6, beta=0.5), 'silu': _silu, 'gelu': _gelu,
    'relu6': lambda r, y, x: _clip(r, y, x, 0.0, 6.0), 'hardtanh': lambda r, y, x, a=-1, b=1: _clip(r, y, x, a, b), 'clamp': _clip,
    'clamp_min': _clip, 'clamp_max': lambda r, y, x, high: _clip(r, y, x, None, high),
    'leaky_relu': lambda r, y, x, slope=0.01: r.emit('LeakyRelu', r.called(x), alpha=float(slope)),
    'elu': lambda r, y, x, alpha=1.0: r.emit('Elu', r.called(x), alpha=float(alpha)), 'prelu': _prelu, 'softplus': _function('Softplus'),
    'add': _binary('Add'), 'sub': _binary('Sub'), 'mul': _binary('Mul'), 'div': _div, 'pow': _binary('Pow'),
    'rsub': lambda r, y, a, b, alpha=1: _binary('Sub')(r, y, b, a, alpha), 'maximum': _binary('Max'), 'minimum': _binary('Min'),
    'addcmul': _addcmul, 'square': lambda r, y, x: r.emit('Mul', r.called(x), r.called(x)),
    'rsqrt': lambda r, y, x: r.emit('Reciprocal', r.emit('Sqrt', r.called(x))),
    'conv1d': _conv, 'conv2d': _conv, 'conv3d': _conv, 'conv_transpose1d': _conv_transpose, 'conv_transpose2d': _conv_transpose,
    'conv_transpose3d': _conv_transpose, 'convolution': _convolution,
    'batch_norm': _batch_norm, 'layer_norm': _layer_norm, 'group_norm': _group_norm, 'linear': _linear,
    'matmul': _matmul, 'bmm': _matmul, 'mm': _matmul, 'scaled_dot_product_attention': _attention, 'einsum': _einsum,
    'max_pool1d': _pool('MaxPool', True), 'max_pool2d': _pool('MaxPool', True), 'max_pool3d': _pool('MaxPool', True),
    'avg_pool1d': _pool('AveragePool', False), 'avg_pool2d': _pool('AveragePool', False), 'avg_pool3d': _pool('AveragePool', False),
    'adaptive_avg_pool1d': _adaptive('AveragePool'), 'adaptive_avg_pool2d': _adaptive('AveragePool'),
    'adaptive_avg_pool3d': _adaptive('AveragePool'), 'adaptive_max_pool1d': _adaptive('MaxPool'), 'adaptive_max_pool2d': _adaptive('MaxPool'),
    'adaptive_max_pool3d': _adaptive('MaxPool'),
    'mean': _reduce('ReduceMean'), 'sum': _reduce('ReduceSum'), 'amax': _reduce('ReduceMax'), 'amin': _reduce('ReduceMin'),
    'flatten': _flatten, 'view': _reshape, 'reshape': _reshape, '_unsafe_view': _reshape, 'unflatten': _reshaped, 'view_as': _reshaped,
    'permute': _permute, 'transpose': _transpose, 't': _transpose, 'expand': _expand, 'unsqueeze': _unsqueeze, 'squeeze': _squeeze,
    'cat': _concat, 'concat': _concat, 'stack': _stack, 'split': _split, 'split_with_sizes': _split, 'chunk': _split, 'unbind': _unbind,
    'select': _select, 'slice': _slice, 'roll': _roll, 'index': _index, 'embedding': _embedding,
    'upsample_nearest2d': _resize('nearest'), 'upsample_bilinear2d': _resize('linear'), 'upsample_bicubic2d': _resize('cubic'),
    'pad': _pad, 'constant_pad_nd': _pad, 'softmax': _softmax('Softmax'), 'log_softmax': _softmax('LogSoftmax'),
    'pixel_shuffle': _pixel_shuffle, 'linalg_vector_norm': _norm, 'dropout': _dropout, 'feature_dropout': _dropout,
    'clone': _same, 'contiguous': _same, 'detach': _same, 'alias': _same, 'to': _same, '_to_copy': _same, 'type_as': _same,
    'lift_fresh': _same, 'resolve_conj': _same, 'resolve_neg': _same,
}


def record(model, inputs, outputs_of, state):
    """(bytes, kinds of operators, lines that ask for numbers, operators of which torch.onnx may say more) of a network in evaluation mode.
    The bytes are an Unknown if there are none.

    state: {name: parameter or buffer}.
    """
    tensors = inputs.tensors()
    names = {id(t): name for name, t in reversed(list(state.items())) if t.is_floating_point()}
    names.update((id(t), f'input_{i}') for i, t in enumerate(tensors))
    recorder = Recorder(names, state)
    try:
        with torch._C._AutoDispatchBelowAutograd(), recorder:
            results = outputs_of(inputs.call(model))
        made = recorder.file(tensors, results, {name: t for name, t in state.items() if names.get(id(t)) == name})
    except Unknown as error:
        made = error
    finally:
        recorder.forget()
    return made, recorder.kinds, list(recorder.asked), [f'{name}: {why}' for name, why in recorder.pinned.items() if name not in _PINNED]
