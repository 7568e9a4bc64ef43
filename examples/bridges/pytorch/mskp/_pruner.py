"""The method as an object in a training loop, on top of mskp_pruner: stages, strengths, masks and rounds are the library's."""
import ctypes as C
import math
import numbers
import types

import torch
from torch import nn

from ._library import (DUE_CUT, DUE_MASK, FILTER, PINNED, SCALE, SHIFT, STAGES, UNIT, Consumer, Cost, Error, Gauges, Handle, Mask, Options,
                       Tensors, flags, lib, mask_of, text_of)
from ._export import WAYS
from ._network import Network
from ._surgery import Surgery
from ._tensors import Set, check, is_here

_SCORES = {  # magnitude, reduce, roles, normalized by the mean of the layer
    'group': (1, 4, UNIT, True),     # the norm of all weights that belong to a unit, relative to its layer's mean
    'filter': (0, 1, FILTER, True),  # the sum of |w| of filters, relative to its layer's mean
    'scale': (0, 0, SCALE, False),   # the sum of |gamma|
}
_PULLS = {'proximal': 0, 'gradient': 1, 'deadline': 2}
_WAYS = {'auto': 0, 'drop': 1, 'fold': 2, 'merge': 3}
_ROLES = {'scale': SCALE, 'scale and shift': SCALE | SHIFT, 'unit': UNIT}
_NOTHING = Tensors(0, None)


def _pick(name, choice, table):
    if choice not in table:
        raise Error(f'{name}={choice!r}: it is one of {", ".join(map(repr, table))}')
    return table[choice]


def _check_shares(shares):
    for name, share in shares.items():
        if share is None:
            continue
        if isinstance(share, bool) or not isinstance(share, numbers.Real) or not 0 < share <= 1:
            raise Error(f'{name}={share!r}: a share that stays is a number above 0 and at most 1')
    if all(share is None for share in shares.values()):
        raise Error('nothing is asked for: macs, params or units says which share stays')


def _check_steps(steps):
    if isinstance(steps, bool) or not isinstance(steps, numbers.Integral) or steps < 0:
        raise Error(f'steps={steps!r}: how many steps of the optimizer there are in all, a whole number from 0 on')


def _check_model(model):
    if not isinstance(model, nn.Module):
        raise Error(f'model: a {type(model).__name__}, where a module is needed')
    if next(model.parameters(), None) is None:
        raise Error(f'model: {type(model).__name__} has no parameters')


def _check_optimizer(optimizer, model):
    kind, own = type(optimizer).__name__, {id(p) for p in model.parameters()}
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise Error(f'optimizer: a {kind}, where an optimizer of PyTorch is needed')
    if isinstance(optimizer, torch.optim.LBFGS):
        raise Error('optimizer: LBFGS keeps tensors of all parameters together, which cannot be cut')
    ids = {id(p) for group in optimizer.param_groups for p in group['params']}
    if not ids & own:
        raise Error(f'optimizer: none of the {len(ids)} parameters of this {kind} is one of the {len(own)} of the network')


def _list(given):
    return [] if given is None else list(given) if isinstance(given, (list, tuple)) else [given]


class _Average:
    """An average of the weights (EMA): a module, what holds one, or a dictionary of tensors by the names of the network's."""

    def __init__(self, given, parameters):
        for holder in ('module', 'ema', 'ema_model'):
            if not isinstance(given, (dict, nn.Module)) and isinstance(getattr(given, holder, None), nn.Module):
                given = getattr(given, holder)
        self.module = given if isinstance(given, nn.Module) else None
        self.mapping = given if isinstance(given, dict) else None
        if self.module is None and self.mapping is None:
            raise Error(f'ema: a {type(given).__name__}, where a module or a dictionary of tensors is needed')
        known = self.mapping if self.mapping is not None else {
            **dict(self.module.named_parameters(remove_duplicate=False)), **dict(self.module.named_buffers(remove_duplicate=False))}
        self.keys = []
        for p in parameters:
            key = next((k for k in (p.name, f'module.{p.name}', f'ema.{p.name}') if k in known), None)
            if key is None and self.mapping is None:
                raise Error(f'ema: it has no {p.name}')
            if key is not None and p.tensor is not None and known[key].shape != p.tensor.shape:
                raise Error(f'ema: {key} is {tuple(known[key].shape)}, and {tuple(p.tensor.shape)} in the network')
            self.keys.append(key)
        self.tensors = [known[k] if k is not None else None for k in self.keys]

    def refresh(self):
        """A dictionary may have new tensors in each step."""
        if self.mapping is not None:
            self.tensors = [self.mapping[k] if k is not None else None for k in self.keys]


class Pruner:
    """Makes a network smaller while it is trained.

        pruner = mskp.Pruner(model, images, macs=0.5, optimizer=optimizer, steps=10000)
        for step in range(10000):
            ...                                  # forward, backward
            pruner.before_step()
            optimizer.step()
            pruner.after_step()
            pruner.cut()                         # does something only where a cut is due

    model             any module that torch.onnx can export; a module in DistributedDataParallel is given as its .module
    example_inputs    a tensor, a tuple of arguments, or a dictionary of keyword arguments
    macs, params, units   shares that stay, in (0, 1]; all that are given hold together
    optimizer, ema    those whose states and averages follow the cut: one, or a list. Without an optimizer, pass the learning rate to
                      before_step() and after_step()
    steps             of the optimizer, all together; 0: there is no training before the cut
    wait, sparse, masked   shares of the steps: nothing; a penalty on all channels (sparse_strength); marked channels go to zero. The
                      rest is for tuning. settle: the last share of `masked`, in which they are zero already, so that
                      the other channels, and averages (ema), have followed when the cut comes
    rounds            how many cuts the masked share is divided into
    score             'group', 'filter' or 'scale'
    roles             what goes to zero: 'scale', 'scale and shift' or 'unit' (all weights); None: 'scale and shift', or 'unit' where
                      channels without a batch norm can leave
    pull              'proximal', 'gradient' (for SGD) or 'deadline'; None: proximal, or a deadline for 'unit'
    strength          0: found in each step
    constants         what becomes of numbers that removed channels still output: 'auto', 'fold', 'merge', 'drop'
    round_to, min_channels, max_removed   limits: widths are multiples; at least so many channels; at most this share of each layer
    hold              names of modules or parameters, with * and ?, whose channels stay
    check             whether forward functions are tried when the pruner is made, and not only after each cut; None: unless there are
                      no steps and the network has no operator that could know a width
    exporter          'record': the operators of one run; 'trace' or 'graph': which of torch.onnx's exporters; None: the first that can
    """

    def __init__(self, model, example_inputs, *, macs=None, params=None, units=None, optimizer=None, ema=None, steps=0, wait=0.0, sparse=0.0,
                 sparse_strength=0.0, masked=0.5, settle=0.25, rounds=1, score='group', roles=None, pull=None, strength=0.0, momentum=0.0,
                 gradient_scale=1.0, fade=False, constants='auto', round_to=1, min_channels=1, max_removed=0.0, hold=(), check=None,
                 exporter=None, here=is_here):
        _check_shares({'macs': macs, 'params': params, 'units': units})
        _check_steps(steps)
        _check_model(model)
        for one in _list(optimizer):
            _check_optimizer(one, model)
        self.model, self.optimizers = model, _list(optimizer)
        self.network = network = Network(model, example_inputs, exporter, here)
        network.hold_named(_list(hold))
        if constants != 'drop' and not (steps and roles == 'unit'):
            network.hold_products()
        if check is None:
            check = bool(steps) or not network.is_plain()
        if check:
            network.find_holds()
        self.averages = [_Average(e, network.parameters) for e in _list(ema)]
        self._pruner, self._whole = None, Cost()
        lib.measure(network.graph, Mask(0, None), C.byref(self._whole), None)
        self._asked = {'macs': macs, 'params': params, 'units': units, 'steps': steps, 'wait': wait, 'sparse': sparse,
                       'sparse_strength': sparse_strength, 'masked': masked, 'settle': settle, 'rounds': rounds, 'score': score, 'roles': roles,
                       'pull': pull, 'strength': strength, 'momentum': momentum, 'gradient_scale': gradient_scale, 'fade': bool(fade),
                       'constants': constants, 'round_to': round_to, 'min_channels': min_channels, 'max_removed': max_removed}
        self._set_options()
        made = C.c_void_p()
        if all(network.locked):
            raise Error(f'no channel of {type(model).__name__} can leave: {self._why()}')
        try:
            lib.pruner_create(network.graph, C.byref(self._options), C.byref(made))
        except Error as error:
            raise Error(f'{error}; what stays: {self._why()}' if self.held() else str(error)) from None
        self._pruner = made.value
        self._begin(bytes([1] * network.units))

    def _why(self):
        return '; '.join(self.held()[:4]) or 'it has no layers that are described'

    def _set_options(self):
        """The library's options, by what was asked and by the units that stay."""
        network, asked = self.network, types.SimpleNamespace(**self._asked)
        o, cost = Options(), self._whole
        o.rule.max_macs = asked.macs * cost.macs if asked.macs is not None else 0
        o.rule.max_params = asked.params * cost.params if asked.params is not None else 0
        o.rule.remove_fraction = 1 - asked.units if asked.units is not None else 0
        o.rule.round_to, o.rule.min_channels, o.rule.max_family_fraction = asked.round_to, asked.min_channels, asked.max_removed
        locked = o.rule.locked = mask_of(network.locked)
        o.scoring.magnitude, o.scoring.reduce, o.scoring.roles, o.use_normalizer = _pick('score', asked.score, _SCORES)
        scaled = all(r & SCALE for r in self._roles_of_units())
        o.penalty.roles = _pick('roles', asked.roles, _ROLES) if asked.roles is not None else SCALE | SHIFT if scaled else UNIT
        o.penalty.skip_missing = 1
        o.pull = _pick('pull', asked.pull, _PULLS) if asked.pull is not None else 2 if o.penalty.roles == UNIT else 0
        o.constants.way = _pick('constants', asked.constants, _WAYS)
        o.strength, o.momentum, o.gradient_scale, o.fade = asked.strength, asked.momentum, asked.gradient_scale, asked.fade
        o.steps, o.rounds = max(asked.steps, 1), asked.rounds
        if asked.steps:
            o.wait, o.sparse, o.sparse_strength, o.masked, o.settle = (asked.wait, asked.sparse, asked.sparse_strength, asked.masked,
                                                                       asked.settle)
        else:
            o.constants.zeroed = FILTER | SCALE
        self._options, self._locked = o, locked  # the pruner reads both as long as it lives

    def _begin(self, keep):
        """What follows from the graph as it is now. keep: the units of the first network that are there."""
        network, o = self.network, self._options
        self.keep, network.graph = keep, lib.pruner_graph(self._pruner)
        watched = o.penalty.roles | (o.scoring.roles if o.sparse > 0 else 0)
        pulled = [k for k, p in enumerate(network.parameters) if p.tensor is not None and network.roles(k) & watched]
        self._adds = o.pull == 1 or o.fade  # whether gradients are changed
        self._pulled = [network.parameters[k].tensor for k in pulled]
        self._values, self._gradients = (Set(network.parameters, here=network.here, which=pulled) for _ in range(2))

    def __del__(self):
        if getattr(self, '_pruner', None):
            lib.pruner_destroy(self._pruner)

    def _roles_of_units(self):
        """The roles of the slices of each unit that may leave."""
        roles = [0] * self.network.units
        for k, p in enumerate(self.network.parameters):
            for axis in range(len(p.axes)):
                found, role = self.network.units_of(k, axis)
                for u in found:
                    if u != PINNED:
                        roles[u] |= role
        return [r for r, locked in zip(roles, self.network.locked) if not locked]

    # ---- in the loop ----
    @property
    def due(self):
        """Whether a cut has to be made before the next step."""
        return lib.pruner_due(self._pruner) == DUE_CUT

    def _rate(self, rate):
        if rate is not None:
            return float(rate)
        if not self.optimizers:
            raise Error('the learning rate is not known: give the pruner its optimizer, or pass the rate')
        return max(float(group['lr']) for optimizer in self.optimizers for group in optimizer.param_groups)

    def _current(self):
        """Values for a step: only what the penalty touches and what is trained."""
        return self._values.show([t if t.requires_grad else None for t in self._pulled])

    def _all_values(self):
        """Values for a mask or a cut."""
        self._agree()
        return self.network.values()

    def before_step(self, rate=None):
        """Between backward() and the optimizer's step, after gradients were unscaled, reduced and clipped."""
        marks = lib.pruner_due(self._pruner) == DUE_MASK
        values, gradients = self._all_values() if marks else self._current(), None
        if self._adds:
            gradients = self._gradients.show([t.grad for t in self._pulled])
        lib.pruner_before_step(self._pruner, self._rate(rate), values.set, gradients.set if gradients else _NOTHING)
        if gradients:
            gradients.send_back()
        if marks:
            self._compare(flags(lib.pruner_mask(self._pruner)))

    def after_step(self, rate=None):
        """After the optimizer's step."""
        values = self._current()
        lib.pruner_after_step(self._pruner, self._rate(rate), values.set)
        values.send_back()

    # ---- several processes ----
    @staticmethod
    def _ranks():
        d = torch.distributed
        return d.get_world_size() if d.is_available() and d.is_initialized() else 1

    def _agree(self):
        """Running statistics differ between ranks, because each sees other data; those of rank 0 count, as in DDP's next forward."""
        if self._ranks() > 1:
            parameters = {id(p) for p in self.model.parameters()}
            for p in self.network.parameters:
                if p.tensor is not None and id(p.tensor) not in parameters:
                    torch.distributed.broadcast(p.tensor.data, 0)

    def _compare(self, mask):
        if self._ranks() > 1:
            masks = [None] * self._ranks()
            torch.distributed.all_gather_object(masks, mask)
            other = next((r for r, m in enumerate(masks) if m != masks[0]), None)
            if other is not None:
                raise Error(f'ranks 0 and {other} have marked different channels: their parameters differ, which the trainer must not allow')

    # ---- the cut ----
    def cut(self, now=False):
        """Cuts the network, its optimizers and averages, if a cut is due or asked for now. On an error everything is as it was.

        Returns None if nothing was cut, or a dictionary:
            removed                          units that left: sets of channels that can only leave together
            macs, params                     shares of the first network that stay
            folded, merged, dropped          constants of removed channels that went into biases and means, into carriers, and nowhere
            carriers                         units that stay to hold constants
            exact, bound, why                whether the output stayed what it was; if not, by how much a layer's output is off at most,
                                             and why
        """
        if not now and not self.due:
            return None
        network, plan, constants, total = self.network, C.c_void_p(), C.c_void_p(), Consumer()
        values = self._all_values()
        lib.pruner_prepare(self._pruner, values.set, C.byref(plan), C.byref(constants))
        lib.constants_total(constants, C.byref(total))
        kept_mask = mask_of(bytes(lib.graph_counts(network.graph).units))
        carriers = mask_of(bytes(kept_mask.n))
        lib.constants_masks(constants, Mask(0, None), carriers, kept_mask)
        self._compare(flags(kept_mask))
        kept = network.kept(plan)
        work = Surgery(kept, self._stale(constants, flags(carriers), kept))
        for p, source in zip(network.parameters, self._moved(values, constants, plan, total)):
            if p.tensor is not None:
                work.values(p.tensor, source)
        work.numbers(self.model, kept)
        self._add_optimizers(work)
        for average in self.averages:
            self._cut_average(work, average, kept, self._average_moved(average, constants, plan, total))
        self._carry_out(work)
        try:
            both = mask_of(self.keep)
            lib.mask_compose(network.first, both, kept_mask, both)
            lib.pruner_cut_done(self._pruner)
        except BaseException:
            work.undo()
            raise
        self._begin(flags(both))
        return {'removed': sum(not flag for flag in flags(kept_mask)), **self.cost(), 'folded': total.folded, 'merged': total.merged,
                'dropped': total.dropped, 'carriers': total.carriers, 'exact': bool(total.exact), 'bound': total.bound,
                'why': total.why.decode() if total.why else None}

    def _add_optimizers(self, work):
        names = {id(p.tensor): p.name for p in self.network.parameters}
        for optimizer in self.optimizers:
            work.optimizer(optimizer, lambda t: names[id(t)])

    def _carry_out(self, work):
        """And runs the network once. If that fails, everything is as it was."""
        network = self.network
        work.carry_out()
        try:
            network.run()
        except Exception as error:
            work.undo()
            failure = network._fault(error)
            raise Error(f'after the cut, {failure.what} in {failure.module or "the network"}; the network is as it was, and '
                        f'hold={[failure.module + ".*" if failure.module else "*"]} keeps these channels') from error
        except BaseException:
            work.undo()
            raise

    def _moved(self, values, constants, plan, total):
        """The tensors with constants moved into them, or the tensors themselves if there are none."""
        if not total.folded and not total.merged:
            return values.shown
        moved = values.cloned()
        lib.constants_apply(constants, plan, moved.set)
        if (name := moved.written()) is not None:
            raise Error(f'numbers of removed channels would go into {name}, which the network computes in each run; constants="drop" loses '
                        'them, and a penalty on scale and shift leaves none')
        moved.send_back()
        return moved.shown

    def _average_moved(self, average, constants, plan, total):
        """An average's tensors with the constants moved into them that they have themselves."""
        average.refresh()
        parameters = self.network.parameters
        for p, tensor in zip(parameters, average.tensors):
            if tensor is not None:
                check(f'ema: {p.name}', tensor)
        values, own = Set(parameters, average.tensors, self.network.here), C.c_void_p()
        if not total.folded and not total.merged or any(t is None and p.tensor is not None for p, t in zip(parameters, average.tensors)):
            return values.shown
        lib.constants_again(constants, values.set, C.byref(own))
        try:
            return self._moved(values, own, plan, total)
        finally:
            lib.constants_destroy(own)

    def _cut_average(self, work, average, kept, sources):
        """An average gets what stays of `sources`: one tensor, or None, for each parameter."""
        parameters = self.network.parameters
        if average.module is None:
            for p, key, source in zip(parameters, average.keys, sources):
                if key is not None and (p.tensor in kept or source is not average.mapping[key]):
                    work.item(average.mapping, key, p.tensor, source)
            return
        twins = {t: kept[p.tensor] for p, t in zip(parameters, average.tensors) if p.tensor in kept}
        work.kept.update(twins)
        for tensor, source in zip(average.tensors, sources):
            if tensor is not None:
                work.values(tensor, source)
        work.numbers(average.module, twins)

    def _stale(self, constants, carriers, kept):
        """Where numbers were replaced: slices of carriers, and whole biases and means that received constants."""
        network, report, stale = self.network, Consumer(), {}
        for i in range(lib.constants_consumers(constants)):
            lib.constants_consumer(constants, i, C.byref(report))
            if report.into.id and report.folded:
                stale.setdefault(network.parameters[report.into.id - 1].tensor, []).append((None, None))
        if any(carriers):
            for k, p in enumerate(network.parameters):
                for j, axis in enumerate(p.axes):
                    units, roles = network.units_of(k, j)
                    if roles & UNIT and p.tensor is not None:
                        left = kept.get(p.tensor, {}).get(axis)
                        stay = left.tolist() if left is not None else range(len(units))
                        places = [i for i, old in enumerate(stay) if units[old] != PINNED and carriers[units[old]]]
                        if places:
                            stale.setdefault(p.tensor, []).append((axis, torch.tensor(places)))
        return stale

    # ---- checkpoints ----
    def state_dict(self):
        """Where the pruning is, as text, numbers and a tensor: torch.load(..., weights_only=True) reads it."""
        return {'version': 1, 'state': text_of(lib.pruner_write, self._pruner), 'locked': torch.tensor(self.network.locked, dtype=torch.uint8),
                'held': [[n, why] for n, why in self.network.held],
                'options': {**self._asked, 'exporter': self.network.exporter}}

    def load_state_dict(self, state):
        """Goes on where a pruner was whose state_dict this is: bit for bit, if model, optimizers and averages do so, too.

        The pruner, its model, optimizers and averages are made as at the beginning of the run, with the same options. This call cuts them
        to the shapes that they had; then load their own states.
        """
        network = self.network
        self._check_state(state)
        before = network.locked, network.held, self._options, self._locked
        made, plan = C.c_void_p(), C.c_void_p()
        try:
            network.locked = bytearray(state['locked'].tolist())
            network.held = [(n, why) for n, why in state['held']]
            self._set_options()
            text = state['state'].encode()
            lib.pruner_read(network.graph, C.byref(self._options), len(text), text, C.byref(made), C.byref(plan))
            keep = self._cut_to(plan) if plan else bytes([1] * network.units)
        except BaseException:
            network.locked, network.held, self._options, self._locked = before
            lib.pruner_destroy(made)
            raise
        finally:
            lib.plan_destroy(plan)
        lib.pruner_destroy(self._pruner)
        self._pruner = made.value
        self._begin(keep)

    def _check_state(self, state):
        network = self.network
        if not isinstance(state, dict) or state.get('version') != 1:
            raise Error(f'state: {state["version"]!r} is its version, and 1 is known' if isinstance(state, dict) and 'version' in state else
                        f'state: a {type(state).__name__} that Pruner.state_dict has not made')
        if network.graph != network.first:
            raise Error('state: the network of this pruner was cut already; make it, and the pruner, anew')
        given = state['options']
        for name, own in {**self._asked, 'exporter': network.exporter}.items():
            if given.get(name) != own:
                raise Error(f'state: {name} was {given.get(name)!r}, and is {own!r}; a run goes on with the options with which it began')
        if len(state['locked']) != network.units:
            raise Error(f'state: it is about a network of {len(state["locked"])} units, and this one has {network.units}')

    def _cut_to(self, plan):
        """Cuts the whole network, its optimizers and averages, and returns which units stay."""
        network = self.network
        kept, keep = network.kept(plan), bytearray([1] * network.units)
        for k, p in enumerate(network.parameters):
            for j, axis in enumerate(p.axes):
                if axis in kept.get(p.tensor, ()):
                    left = set(kept[p.tensor][axis].tolist())
                    for i, u in enumerate(network.units_of(k, j)[0]):
                        if u != PINNED and i not in left:
                            keep[u] = 0
        work = Surgery(kept)
        for p in network.parameters:
            if p.tensor is not None:
                work.values(p.tensor, p.tensor)
        work.numbers(self.model, kept)
        self._add_optimizers(work)
        for average in self.averages:
            average.refresh()
            self._cut_average(work, average, kept, average.tensors)
        self._carry_out(work)
        return bytes(keep)

    # ---- to look at ----
    def cost(self):
        """Shares of the first network's multiply-accumulates and parameters that the network has now."""
        now = Cost()
        lib.measure(self.network.graph, Mask(0, None), C.byref(now), None)
        return {'macs': now.macs / self._whole.macs if self._whole.macs else 1.0,
                'params': now.params / self._whole.params if self._whole.params else 1.0}

    def gauges(self):
        """How far marked channels are from zero, and what a cut would do: see mskp/pruner.h. Once per epoch, not in each step."""
        found, plain, values = Gauges(), {}, self.network.values()
        lib.pruner_gauge(self._pruner, values.set, C.byref(found))
        for name, _ in found._fields_:
            value = getattr(found, name)
            plain[name] = {n: getattr(value, n) for n in ('elements', 'zeros', 'largest', 'mean')} if hasattr(value, 'largest') else value
        plain['stage'] = STAGES[found.stage]
        return plain

    def marked(self):
        """{parameter's name: a tensor of its shape that is 1 where a marked channel has a slice} for parameters that the penalty is
        about: the library's units, spread over PyTorch's tensors, wherever these are."""
        network, mask, found = self.network, lib.pruner_mask(self._pruner), {}
        removed = torch.tensor([not flag for flag in flags(mask)], dtype=torch.bool)
        for k, p in enumerate(network.parameters):
            if not network.roles(k) & self._options.penalty.roles or p.tensor is None or not len(removed):
                continue
            spread = torch.zeros(p.tensor.shape, dtype=torch.bool)
            for j, axis in enumerate(p.axes):
                units, roles = network.units_of(k, j)
                if roles & self._options.penalty.roles:
                    line = torch.tensor([u != PINNED and bool(removed[u]) for u in units])
                    spread |= line.view([-1 if a == axis else 1 for a in range(spread.dim())])
            found[p.name] = spread.to(p.tensor.device, p.tensor.dtype)
        return found

    def mask(self):
        """The mask of all cuts, over the first network, as the text of a mask file."""
        return text_of(lib.mask_write, self.network.first, mask_of(self.keep))

    def save_mask(self, path):
        """Beside the state_dict of the smaller network, this is all that load_mask needs."""
        with open(path, 'w', encoding='utf-8') as file:
            file.write(self.mask())

    def held(self):
        """Sentences that say which channels stay, and why."""
        return [f'{n} channels: {why}' for n, why in self.network.held] + self.network.reasons


def prune(model, example_inputs, **options):
    """Cuts the network at once, without training before, and returns what Pruner.cut returns. options: those of Pruner."""
    return Pruner(model, example_inputs, **options).cut(now=True)


def load_mask(model, example_inputs, path, exporter=None):
    """Cuts a network that is as it was before the first cut to the mask of a file; then load_state_dict loads the smaller weights."""
    with open(path, encoding='utf-8') as file:
        text = file.read().encode()
    first = None
    for way in [exporter] if exporter else WAYS:
        try:
            network = Network(model, example_inputs, way)
            keep = mask_of(bytes(network.units))
            lib.mask_read(network.graph, len(text), text, keep)
            break
        except Error as error:  # a mask names the values of one exporter
            first = first or error
    else:
        raise first
    plan = C.c_void_p()
    lib.plan_create(network.graph, keep, C.byref(plan), None)
    try:
        kept = network.kept(plan)
    finally:
        lib.plan_destroy(plan)
    work = Surgery(kept)
    for p in network.parameters:
        if p.tensor is not None:
            work.values(p.tensor, p.tensor)
    work.numbers(model, kept)
    work.carry_out()
    try:
        network.run()
    except Exception as error:
        work.undo()
        raise Error(f'after the cut, {network._fault(error).what}; the network is as it was') from error
