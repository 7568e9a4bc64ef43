"""A module as bytes of an ONNX file without its weights: recorded (_record.py), or by torch.onnx in memory, constants not folded, batch
norms apart.

The network runs once on the example inputs, in evaluation mode. Parameters keep their names, and go into the file as initializers without
data: only their shapes are needed. Buffers have their data, because shapes and indices may be among them.
"""
import contextlib
import importlib
import io
import logging
import re
import warnings

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils import _pytree as tree

from . import _onnx, _record
from ._library import Error

PREFIX = 'net.'


class Inputs:
    """Example inputs: a tensor, a tuple of arguments, or a dictionary of keyword arguments, each of which may be nested."""

    def __init__(self, given):
        self.given = (given,) if not isinstance(given, (tuple, dict)) else given
        self.leaves, self.spec = tree.tree_flatten(self.given)
        self.places = [i for i, leaf in enumerate(self.leaves) if isinstance(leaf, torch.Tensor)]
        if not self.places:
            raise Error(f'example_inputs: no tensor in this {type(given).__name__}')

    def tensors(self):
        return tuple(self.leaves[i] for i in self.places)

    def call(self, model, tensors=None):
        leaves = list(self.leaves)
        for i, tensor in zip(self.places, self.tensors() if tensors is None else tensors):
            leaves[i] = tensor
        given = tree.tree_unflatten(leaves, self.spec)
        return model(**given) if isinstance(given, dict) else model(*given)

    def map(self, function):
        """The same inputs with other tensors."""
        made = Inputs(self.given)
        for i in self.places:
            made.leaves[i] = function(made.leaves[i])
        return made


def outputs_of(result):
    """The tensors in what a network returns, however nested."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, dict):
        result = result.values()
    elif hasattr(result, '__dict__') and not isinstance(result, (tuple, list)):
        result = vars(result).values()
    elif not isinstance(result, (tuple, list)):
        return []
    return [tensor for part in result for tensor in outputs_of(part)]


class _Whole(nn.Module):
    """The network with tensors in and a tuple of tensors out. It counts as being trained and the network does not: then both
    exporters keep batch norms apart, and merge initializers that are one tensor, rather than those that hold the same numbers."""

    def __init__(self, net, inputs):
        super().__init__()
        self.net, self._inputs = net, inputs
        self.training = True

    def forward(self, *tensors):
        return tuple(outputs_of(self._inputs.call(self.net, tensors)))


@contextlib.contextmanager
def evaluation(model):
    """Evaluation mode, without gradients and without the fused attention that no exporter and no hook sees into."""
    modes = [(module, module.training) for module in model.modules()]
    fused = torch.backends.mha.get_fastpath_enabled() if hasattr(torch.backends, 'mha') else None
    try:
        model.eval()
        if fused is not None:
            torch.backends.mha.set_fastpath_enabled(False)
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes:
            module.training = mode
        if fused is not None:
            torch.backends.mha.set_fastpath_enabled(fused)


@contextlib.contextmanager
def _frozen_norms(model):
    """Batch norms that are written as arithmetic of four buffers are exported as batch norms, so that these stay four buffers."""
    names = ('weight', 'bias', 'running_mean', 'running_var')
    found = [m for m in model.modules() if type(m).__name__.startswith('FrozenBatchNorm') and not hasattr(m, 'act')
             and all(isinstance(m._buffers.get(n), torch.Tensor) for n in names)]
    for m in found:
        m.forward = lambda x, m=m: F.batch_norm(x, m.running_mean, m.running_var, m.weight, m.bias, False, 0.0, m.eps)
    try:
        yield
    finally:
        for m in found:
            del m.forward


@contextlib.contextmanager
def _quiet():
    """Exporters warn about what a trace does not see; the network is run after each cut instead."""
    level = logging.getLogger('torch.onnx').level
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter('ignore')
        logging.getLogger('torch.onnx').setLevel(logging.ERROR)
        try:
            yield
        finally:
            logging.getLogger('torch.onnx').setLevel(level)


def _traced(whole, tensors, infer):
    """A file without parameters. Without `infer` the exporter does not infer the shapes of each node, which takes longer than all else
    that it does; the library infers them anyway. This argument is not public, so it may be missing."""
    file = io.BytesIO()
    how = {'export_params': False, 'do_constant_folding': False, 'training': torch.onnx.TrainingMode.PRESERVE, 'opset_version': 17}
    if infer:
        torch.onnx.export(whole, tensors, file, dynamo=False, **how)
        return file.getvalue()
    for place in ('torch.onnx._internal.torchscript_exporter.utils', 'torch.onnx.utils'):
        with contextlib.suppress(ImportError, AttributeError):
            importlib.import_module(place)._export(whole, tensors, file, onnx_shape_inference=False, **how)
            break
    return file.getvalue()


def _by_trace(whole, tensors):
    made = b''
    with contextlib.suppress(Exception):
        made = _traced(whole, tensors, False)
    if b'"\x02If' in made or b'"\x04Loop' in made:  # the field op_type: what depends on a shape that is not known
        made = b''
    return _onnx.with_initializers(made or _traced(whole, tensors, True), _state(whole))


def _by_graph(whole, tensors):
    """The exporter's own optimizer would merge batch norms into convolutions, so only what follows from constants is worked out: parts of
    a split, biases that are not there. Parameters become inputs before, such that nothing follows from their numbers."""
    program = torch.onnx.export(whole, tensors, dynamo=True, optimize=False, verify=False)
    graph, state = program.model.graph, _state(whole)
    for name in [name for name in graph.initializers if name in state]:
        graph.inputs.append(graph.initializers.pop(name))
    for value in graph.inputs:
        value.const_value = None
    with contextlib.suppress(ImportError, AttributeError):
        optimizer = importlib.import_module('onnxscript.optimizer')
        optimizer.fold_constants(program.model)
        optimizer.remove_unused_nodes(program.model)
    for node in graph:  # a convolution without a bias gets one of zeros
        if node.op_type in ('Conv', 'ConvTranspose') and len(node.inputs) == 3 and getattr(node.inputs[2], 'const_value', None) is not None:
            if not node.inputs[2].const_value.numpy().any():
                node.replace_input_with(2, None)
    return _onnx.with_initializers(program.model_proto.SerializeToString(), state)


def _state(module):
    return {name: t for kind in (module.named_parameters, module.named_buffers) for name, t in kind(remove_duplicate=False)}


def _reason(error):
    """What went wrong first, in one line without colours."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = re.sub('\x1b\\[[0-9;]*m', '', str(error)).strip().splitlines()
    return f'{type(error).__name__}: {lines[0][:300] if lines else "?"}'


WAYS = {'record': None, 'trace': _by_trace, 'graph': _by_graph}


class Export:
    """A network as the bytes of an ONNX file. exporter: which of WAYS made it: 'record' (the operators of one run), 'trace' (TorchScript),
    'graph' (torch.export); None: the first that has a word for all operators, or else the first. operators: their kinds, or None; asked: lines of Python that ask for numbers."""

    def __init__(self, model, inputs, exporter=None):
        if exporter is not None and exporter not in WAYS:
            raise Error(f'exporter={exporter!r}: it is one of {", ".join(map(repr, WAYS))}')
        whole, failed, spare = _Whole(model, inputs), [], None
        self.operators, self.asked = None, []
        if exporter == 'trace':  # it does not see where numbers are asked for
            with contextlib.suppress(Exception), evaluation(model):
                self._made('record', whole, inputs)
            self.operators = None
        for self.exporter in [exporter] if exporter else WAYS:
            try:
                with evaluation(model), _frozen_norms(model), _quiet():
                    self.data, unsaid = self._made(self.exporter, whole, inputs)
                if exporter or not unsaid:
                    return
                spare, self.operators = (self.data, self.operators), None
            except Exception as error:  # an exporter raises what it likes
                failed.append(f'{self.exporter}: {_reason(error)}')
        if spare:
            self.exporter, (self.data, self.operators) = 'record', spare
            return
        raise Error('the network cannot be exported, so its channels are not known. ' + '; '.join(failed))

    def _made(self, way, whole, inputs):
        """(the bytes, operators of which another exporter may say more)"""
        if way != 'record':
            whole.training = True
            return WAYS[way](whole, inputs.tensors()), []
        data, operators, self.asked, unsaid = _record.record(whole.net, inputs, outputs_of, _state(whole))
        if isinstance(data, Exception):
            raise data
        self.operators = operators
        return data, unsaid
