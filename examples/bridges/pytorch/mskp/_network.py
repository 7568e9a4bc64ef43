"""A module and its graph: which tensor is which parameter, what has to stay, and the cut with its way back.

`Network.find_holds` cuts a pattern out of the network once, runs it, and compares it with the network that has zeros in its place.
Whatever a forward function has hard-coded shows there: the channels at which it fails are held, and the place is named.
"""
import contextlib
import ctypes as C
import os
import sys
import traceback
import warnings

import torch
from torch import nn

from . import _numbers
from ._export import PREFIX, Export, Inputs, evaluation, outputs_of
from ._library import (CONSUMER, PINNED, UNIT, Error, Handle, OnnxOptions, OnnxParam, Penalty, Tensor, Tensors, flags, indices, lib,
                       mask_of)
from ._tensors import ITEM, Set, check, gather, is_here, replace


# Operators that know nothing of widths. A network of these alone either fails without some channels, or computes the same.
_PLAIN = set('''Conv ConvTranspose BatchNormalization InstanceNormalization LayerNormalization Gemm MatMul Add Sub Mul Div Sum Max Min Concat
Relu LeakyRelu PRelu Clip Sigmoid HardSigmoid HardSwish Tanh Elu Selu Celu Softplus Erf Exp Log Sqrt Softmax Identity Dropout Cast Constant
MaxPool AveragePool GlobalAveragePool GlobalMaxPool Resize ReduceMean Flatten Pow Mish Gelu'''.split())


# Operators that choose by numbers. Among equal ones, rounding decides; what they choose from is held, and what has weights was compared.
_CHOICES = {'topk', 'sort', 'argsort', 'nms'}


def _depth():
    """How many functions of this package lie between the one that asks and the caller's."""
    frame, depth = sys._getframe(1), 1
    while frame.f_back is not None and os.path.dirname(frame.f_code.co_filename) == os.path.dirname(__file__):
        frame, depth = frame.f_back, depth + 1
    return depth


class Parameter:
    """A parameter of the graph. axes: the tensor's axis for each axis of the parameter. own: the library's view of a table that is no
    tensor of the network."""

    def __init__(self, name, tensor, axes):
        self.name, self.tensor, self.axes, self.own = name, tensor, axes, None


class Failure:
    """Why the network does not run without some channels, or computes something else. module: the name of the module at fault."""

    def __init__(self, module, what='computes something else'):
        self.module, self.what, self.ran = module, what, what == 'computes something else'


class Network:
    def __init__(self, model, example_inputs, exporter=None, here=is_here):
        self.model, self.inputs, self.here = model, Inputs(example_inputs), here
        self.modules = dict(model.named_modules())
        self.held = []  # (how many units, why)
        found, made = Export(model, self.inputs, exporter), C.c_void_p()
        self.exporter, self.operators, data = found.exporter, found.operators, found.data
        if found.asked:
            warnings.warn(f'the network decides by numbers in tensors ({"; ".join(found.asked)}), and is described for the way that the '
                          'example inputs take', stacklevel=_depth())
        lib.onnx_open(data, len(data), C.byref(OnnxOptions(fixed=1)), C.byref(made))
        self._onnx = made.value
        self.first = self.graph = lib.onnx_graph(self._onnx)
        counts = lib.graph_counts(self.graph)
        self.units = counts.units
        self.locked = bytearray(self.units)
        self.families = indices(lib.unit_families, self.graph) or ()
        self.parameters = self._parameters(counts.params)
        self._hold_attention()
        self.reasons = []
        while (text := lib.onnx_reason(self._onnx, len(self.reasons))) is not None:
            self.reasons.append(text.decode(errors='replace'))

    def __del__(self):
        if getattr(self, '_onnx', None):
            lib.onnx_close(self._onnx)

    # ---- parameters ----
    def _parameters(self, n):
        tensors, known = {}, OnnxParam()
        for own in (self.model.named_parameters, self.model.named_buffers):
            tensors.update(own(remove_duplicate=False))
        parameters, users = [], {}
        for k in range(n):
            lib.onnx_parameter(self._onnx, Handle(k + 1), C.byref(known))
            name = (known.name or b'').decode().removeprefix(PREFIX)
            tensor = tensors.get(name)
            parameter = Parameter(name, tensor, tuple(known.axis[:known.ndim]))
            parameters.append(parameter)
            users.setdefault(id(tensor), []).append(k)
            if tensor is None or known.computed or known.copied:
                self._hold_parameters(parameters, [k], f'{name or "a weight"}: computed, not a tensor of the network')
            else:
                check(name, tensor)
        for same in users.values():
            if len(same) > 1 and parameters[same[0]].tensor is not None:
                self._hold_parameters(parameters, same, f'{parameters[same[0]].name}: one tensor, read in different ways')
        self._own_tables(parameters)
        return parameters

    def _own_tables(self, parameters):
        """What the network has computed, such as boxes from which a detector chooses, is read where constants are moved."""
        views = (Tensor * max(len(parameters), 1))()
        lib.onnx_values(self._onnx, Tensors(len(parameters), C.addressof(views)))
        for k, p in enumerate(parameters):
            if p.tensor is None and views[k].data and views[k].elements:
                p.own, p.bytes = views[k], C.string_at(views[k].data, views[k].elements * ITEM[views[k].dtype])

    def _hold_parameters(self, parameters, which, why):
        self.hold({unit for k in which for axis in range(len(parameters[k].axes) or 6) for unit in self.units_of(k, axis)[0]}, why)

    def units_of(self, k, axis, graph=None):
        """(the unit of each index of a parameter's axis, the roles), the graph's or those of a smaller graph."""
        roles = C.c_uint32()
        found = indices(lib.param_units, graph or self.graph, Handle(k + 1), axis, C.byref(roles))
        return found or (), roles.value

    def roles(self, k):
        return lib.param_roles(self.graph, Handle(k + 1))

    def hold(self, units, why):
        """These units, and with them their families, stay."""
        families = {self.families[u] for u in units if u != PINNED}
        held = [u for u in range(self.units) if self.families[u] in families and not self.locked[u]]
        for u in held:
            self.locked[u] = 1
        if held:
            self.held.append((len(held), why))
        return len(held)

    def _hold_attention(self):
        """torch.nn.MultiheadAttention divides the width of its input by the number of heads, so its heads stay."""
        names = tuple(name + '.' for name, m in self.modules.items() if isinstance(m, nn.MultiheadAttention))
        if names:
            self._hold_parameters(self.parameters, [k for k, p in enumerate(self.parameters) if p.name.startswith(names)
                                                    and not p.name.endswith('out_proj.bias')], 'heads of torch.nn.MultiheadAttention')

    def hold_products(self):
        """Channels that are multiplied and summed over (queries and keys): no bias can replace the product of two constants."""
        found = mask_of(bytes(self.units))
        lib.onnx_products(self._onnx, found)
        self.hold({u for u, flag in enumerate(flags(found)) if flag}, 'products of two constants; they leave with constants="drop"')

    def hold_named(self, patterns):
        """Holds what makes the channels of parameters, or of modules, whose name fits a pattern."""
        from fnmatch import fnmatchcase
        for pattern in patterns:
            fits = [k for k, p in enumerate(self.parameters) if any(
                fnmatchcase(p.name[:end], pattern) for end in [len(p.name), *(i for i, c in enumerate(p.name) if c == '.')])]
            if not fits:
                raise Error(f'hold: no parameter and no module with parameters fits {pattern!r}')
            units = {u for k in fits for axis in range(len(self.parameters[k].axes)) for found, roles in [self.units_of(k, axis)]
                     if roles & ~CONSUMER for u in found}
            self.hold(units, f'{pattern}: asked')

    def prunable(self):
        """(channels that parameters make and that may leave, all channels that they make), before the first cut."""
        able = total = 0
        for k, p in enumerate(self.parameters):
            for axis in range(len(p.axes)):
                found, roles = self.units_of(k, axis, self.first)
                if roles & 1:
                    total += len(found)
                    able += sum(u != PINNED and not self.locked[u] for u in found)
        return able, total

    def values(self, which=None):
        return Set(self.parameters, [p.tensor if which is None or k in which else None for k, p in enumerate(self.parameters)], self.here)

    # ---- the cut ----
    def kept(self, plan):
        """{tensor: {axis: indices that stay}} for all axes that lose something."""
        kept = {}
        for k, p in enumerate(self.parameters):
            for j, axis in enumerate(p.axes):
                found = indices(lib.plan_param_kept, plan, Handle(k + 1), j) if p.tensor is not None else None
                if found is not None and len(found) < p.tensor.shape[axis]:
                    kept.setdefault(p.tensor, {})[axis] = torch.frombuffer(bytearray(found), dtype=torch.int32).long()
        return kept

    def run(self, model=None):
        """The network's outputs on the example inputs. Norms without parameters receive their number of channels."""
        model = model or self.model

        def count(module, given):
            if module.num_features != given[0].shape[1] and given[0].dim() > 2:
                module.num_features = given[0].shape[1]
        bare = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._NormBase) and m.weight is None and m.running_mean is None]
        hooks = [m.register_forward_pre_hook(count) for m in bare]
        try:
            with evaluation(model):
                return outputs_of(self.inputs.call(model))
        finally:
            for hook in hooks:
                hook.remove()

    # ---- what forward functions have hard-coded ----
    def is_plain(self):
        """Whether running the network once after a cut shows all that it may have hard-coded."""
        return self.operators is not None and self.operators <= _PLAIN

    def find_holds(self):
        """Holds what the network does not run without, or computes differently without."""
        for _ in range(64):
            families = sorted({f for u, f in enumerate(self.families) if not self.locked[u]})
            if not families:
                return
            failure = self._try(families)
            if failure is None:
                return
            self._hold_failing(failure, families)
        raise Error('after 64 forward functions were held, the network still does not run without the channels that are left')

    def _pattern(self, families):
        """A mask that removes about 3 of 8 units of these families, and never all."""
        place, keep, chosen = {}, bytearray([1] * self.units), set(families)
        for u, f in enumerate(self.families):
            if f in chosen and not self.locked[u]:
                i = place[f] = place.get(f, -1) + 1
                keep[u] = not (i * 5 % 8 < 3 and i)
        return mask_of(keep)

    def _try(self, families):
        """The Failure without a part of these families, or None. Other numbers count if they are others in double precision, too: where a
        network chooses by numbers, such as the best of many boxes, rounding alone may change the choice."""
        failure = self._trial(families)
        if failure is not None and failure.ran:
            with contextlib.suppress(Exception), self._doubled():  # a forward function may insist on its type
                failure = self._trial(families)
        return failure

    @contextlib.contextmanager
    def _doubled(self):
        """Everything in double precision."""
        tensors = {id(t): t for t in (*self.model.parameters(), *self.model.buffers()) if t.is_floating_point() and t.dtype != torch.float64}
        before, inputs = [(t, t.data, t.grad) for t in tensors.values()], self.inputs
        try:
            for t, data, _ in before:
                t.grad = None
                t.data = data.double()
            self.inputs = inputs.map(lambda x: x.double() if x.is_floating_point() else x)
            yield
        finally:
            self.inputs = inputs
            for t, data, grad in before:
                t.data = data
                t.grad = grad

    def _trial(self, families, watch=False):
        keep, plan = self._pattern(families), C.c_void_p()
        lib.plan_create(self.graph, keep, C.byref(plan), None)
        try:
            kept = self.kept(plan)
        finally:
            lib.plan_destroy(plan)
        zeroed = Set(self.parameters, [p.tensor.detach().clone() if p.tensor in kept else None for p in self.parameters], self.here)
        lib.penalty_zero(self.graph, keep, C.byref(Penalty(roles=UNIT, skip_missing=1)), zeroed.set)
        zeroed.send_back()
        data = {p.tensor: z for p, z in zip(self.parameters, zeroed.shown) if z is not None}
        before = {t: t.data for t in data}
        grads = {t: t.grad for t in data}
        back = []
        try:
            for t, z in data.items():
                t.grad = None
                t.data = z
            wanted = self._watched() if watch else (self.run(), None)
            for t, z in data.items():
                t.data = gather(z, kept[t])
            back = self._set_numbers(kept, before)
            try:
                got = self._watched() if watch else (self.run(), None)
            except Exception as error:
                return self._fault(error)
        finally:
            for t, whole in before.items():
                t.data = whole
                t.grad = grads[t]
            _numbers.set_all(back)
        if len(wanted[0]) == len(got[0]) and all(self._same(a, b) for a, b in zip(wanted[0], got[0])):
            return None
        return self._differs(wanted[1], got[1]) if watch else self._trial(families, watch=True)

    def _set_numbers(self, kept, before):
        whole = {t: t.data for t in kept}
        for t in kept:
            t.data = before[t]
        changes = _numbers.numbers(self.model, kept)
        for t, small in whole.items():
            t.data = small
        return _numbers.set_all(changes)

    def _watched(self):
        """(outputs, [(module, sizes, sum, sum of squares)] of each run of a module with a weight).

        Where slices of a unit are zero, so is what these modules make of it. So the sums are those of the smaller network.
        """
        sums = []

        def note(name):
            def hook(_, given, result):
                if isinstance(result, torch.Tensor) and result.is_floating_point():
                    x = result.detach()
                    sums.append((name, x.numel() and x.shape[0], x.sum(dtype=torch.float64), torch.linalg.vector_norm(x, dtype=torch.float64)
                                 if x.dtype != torch.float64 else x.norm()))
            return hook
        kinds = (nn.modules.conv._ConvNd, nn.Linear, nn.modules.batchnorm._NormBase)
        hooks = [m.register_forward_hook(note(name)) for name, m in self.modules.items() if isinstance(m, kinds)]
        try:
            return self.run(), sums
        finally:
            for hook in hooks:
                hook.remove()

    @staticmethod
    def _same(a, b):
        """Whether two tensors hold the same numbers up to the order of sums."""
        if a.shape != b.shape:
            return False
        if not a.is_floating_point():
            return bool((a == b).all())
        tolerance = 1e-3 if torch.finfo(a.dtype).eps < 1e-4 else 0.1
        a, b = a.detach().double(), b.detach().double()
        finite = torch.isfinite(a)
        if not torch.equal(finite, torch.isfinite(b)):
            return False
        a, b = a[finite], b[finite]
        return not a.numel() or float((a - b).abs().max()) <= tolerance * float(a.abs().max()) + 1e-12

    def _differs(self, wanted, got):
        for (name, size, total, norm), (other, size_now, total_now, norm_now) in zip(wanted, got):
            if name != other or size != size_now:
                return None  # a decision by numbers, such as which boxes are the best: what came before is the same
            scale = 1e-3 * (float(norm) + 1e-12)
            if not abs(float(norm - norm_now)) <= scale or not abs(float(total - total_now)) <= 30 * scale:
                return Failure(self._owner(name))
        return None if self.operators and self.operators & _CHOICES else Failure('')

    def _owner(self, name):
        """The innermost module around `name` that is not PyTorch's own."""
        while name and type(self.modules[name]).__module__.startswith('torch.nn.modules.') and not isinstance(
                self.modules[name], nn.MultiheadAttention):
            name = name.rpartition('.')[0]
        return name

    def _fault(self, error):
        """The module in whose forward function an error was raised, with the line."""
        names = {id(m): name for name, m in self.modules.items()}
        owner, place = '', ''
        for frame, line in traceback.walk_tb(error.__traceback__):
            module = frame.f_locals.get('self')
            if id(module) in names and (not type(module).__module__.startswith('torch.nn.modules.')
                                        or isinstance(module, nn.MultiheadAttention)):
                owner = names[id(module)]
                place = f'{type(module).__name__}.{frame.f_code.co_name}, line {line} of {frame.f_code.co_filename.rpartition("/")[2]}'
        return Failure(owner, f'{place}: {(str(error).strip() or type(error).__name__).splitlines()[0][:160]}')

    def _touching(self, module, families):
        """The families that have a slice in a parameter of this module."""
        prefix = module + '.' if module else ''
        inside = {u for k, p in enumerate(self.parameters) if p.name.startswith(prefix)
                  for axis in range(len(p.axes)) for u in self.units_of(k, axis)[0] if u != PINNED}
        chosen = {self.families[u] for u in inside}
        return [f for f in families if f in chosen]

    def _hold_failing(self, failure, families):
        """Finds one family that fails by itself, by halves, and holds it in all modules of the same class."""
        near = self._touching(failure.module, families)
        if near and len(near) < len(families) and self._try(near):
            families = near
        while len(families) > 1:
            half = len(families) // 2
            for part in (families[:half], families[half:]):
                found = self._try(part)
                if found:
                    failure, families = found, part
                    break
            else:
                break  # they fail only together: hold all of them
        module = failure.module
        kind = type(self.modules[module]) if module else None
        why = f'{failure.what} in {module or "the network"}'
        inside = self._relative(module, families)
        units = {u for u, f in enumerate(self.families) if f in set(families)}
        for name, other in self.modules.items():
            if module and type(other) is kind:
                units |= self._same_places(name, inside)
        if not self.hold(units, why):
            raise Error(f'the network does not run without some channels, and none are left to hold: {why}')

    def _relative(self, module, families):
        """Where, within a module, these families have slices: {(name of the parameter, axis)}."""
        chosen, prefix, places = set(families), module + '.' if module else '', set()
        for k, p in enumerate(self.parameters):
            if p.name.startswith(prefix):
                for axis in range(len(p.axes)):
                    if any(u != PINNED and self.families[u] in chosen for u in self.units_of(k, axis)[0]):
                        places.add((p.name[len(prefix):], axis))
        return places

    def _same_places(self, module, places):
        prefix = module + '.'
        return {u for k, p in enumerate(self.parameters) if p.name.startswith(prefix) for axis in range(len(p.axes))
                if (p.name[len(prefix):], axis) in places for u in self.units_of(k, axis)[0] if u != PINNED}
