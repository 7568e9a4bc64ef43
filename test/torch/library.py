"""The library by ctypes, and the networks of test/zoo with torchvision's tensors as their parameters.

For scripts that compare with PyTorch, Torch-Pruning and onnxruntime in one process: check-importance, bench/compare-scores and
bench/compare-latency. Tensors are passed as views of PyTorch's own memory. Loading compiles test/zoo with $CC into a temporary folder and
needs BUILD/libmskp.so (make library).
BUILD/libmskp-blas.so is loaded, too, if it is there.
"""
import ctypes as C
import glob
import os
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
TEST = os.path.dirname(HERE)
MAX_DIMS, PINNED = 6, 2**32 - 1
FILTER, CONSUMER, SCALE, SHIFT = 1, 2, 4, 8
UNIT = FILTER | CONSUMER | SCALE | SHIFT
L1, L2 = 0, 1
SUM, MEAN, MAX, MIN, JOINT, VOTE, PRODUCT = range(7)
ABSOLUTE_SUM, SQUARED_SUM, SUM_OF_ABSOLUTES, SUM_OF_SQUARES, SUM = range(5)
BY_MEAN, BY_MAX, BY_SUM, BY_STANDARD, BY_LAMP, BY_SIZE, BY_MACS, BY_PARAMS, BY_ENERGY, BY_RANGE, BY_QUANTILE = range(11)
PENALTY_L1, PENALTY_SMOOTH_L1, PENALTY_L2 = range(3)
REMOVED, ALL, KEPT = range(3)
POOL_MAX, POOL_GLOBAL_AVERAGE, BUDGET_TABLE = 0, 3, 2


class Handle(C.Structure):
    _fields_ = [('id', C.c_uint32)]


class Counts(C.Structure):
    _fields_ = [(name, C.c_size_t) for name in ('units', 'families', 'params', 'values')]


class Tensor(C.Structure):
    _fields_ = [('data', C.c_void_p), ('dtype', C.c_int), ('ndim', C.c_uint32), ('shape', C.c_size_t * MAX_DIMS),
                ('stride', C.c_ssize_t * MAX_DIMS), ('elements', C.c_size_t)]


class Tensors(C.Structure):
    _fields_ = [('n', C.c_size_t), ('view', C.POINTER(Tensor))]


class Scores(C.Structure):
    _fields_ = [('n', C.c_size_t), ('unit', C.POINTER(C.c_double))]


class Mask(C.Structure):
    _fields_ = [('n', C.c_size_t), ('unit', C.POINTER(C.c_uint8))]


class Scoring(C.Structure):
    _fields_ = [('magnitude', C.c_int), ('reduce', C.c_int), ('roles', C.c_uint32), ('vote_threshold', C.c_double)]


class ChannelScores(C.Structure):
    _fields_ = [('value', Handle), ('n', C.c_size_t), ('channel', C.POINTER(C.c_double))]


class Penalty(C.Structure):
    _fields_ = [('kind', C.c_int), ('target', C.c_int), ('roles', C.c_uint32), ('skip_missing', C.c_uint32), ('knee', C.c_double),
                ('unit_weight', C.POINTER(C.c_double)), ('low_precision', C.c_void_p)]


class Error(C.Structure):
    _fields_ = [('status', C.c_int), ('text', C.c_char * 252)]


class ConvDesc(C.Structure):
    _fields_ = [('weight', Handle), ('bias', Handle), ('stride', C.c_size_t * 3), ('pad_before', C.c_size_t * 3),
                ('pad_after', C.c_size_t * 3), ('dilation', C.c_size_t * 3), ('groups', C.c_size_t), ('grouping', C.c_int),
                ('padding', C.c_int), ('output_pad', C.c_size_t * 3)]


class PoolDesc(C.Structure):
    _fields_ = [('kind', C.c_int), ('ceil_mode', C.c_uint32), ('keeps_constants', C.c_uint32), ('size', C.c_size_t * 3),
                ('stride', C.c_size_t * 3), ('pad_before', C.c_size_t * 3), ('pad_after', C.c_size_t * 3), ('spatial', C.c_size_t * 3)]


class LayerCost(C.Structure):
    _fields_ = [('out', Handle), ('in_', Handle), ('nout', C.c_size_t), ('nin', C.c_size_t), ('widths_out', C.POINTER(C.c_size_t)),
                ('widths_in', C.POINTER(C.c_size_t)), ('cost', C.POINTER(C.c_double))]


class Budget(C.Structure):
    _fields_ = [('kind', C.c_int), ('limit', C.c_double), ('name', C.c_char_p), ('element_size', C.c_size_t),
                ('element_sizes', C.c_void_p), ('nlayers', C.c_size_t), ('layers', C.POINTER(LayerCost)), ('cost', C.c_void_p),
                ('context', C.c_void_p)]


class Rule(C.Structure):
    _fields_ = [('use_threshold', C.c_uint32), ('threshold', C.c_double), ('remove_family_fraction', C.c_double),
                ('remove_fraction', C.c_double), ('max_macs', C.c_double), ('max_params', C.c_double), ('min_channels', C.c_size_t),
                ('round_to', C.c_size_t), ('max_family_fraction', C.c_double), ('locked', Mask), ('empty_branches', C.c_uint32),
                ('nfamilies', C.c_size_t), ('nbudgets', C.c_size_t), ('families', C.c_void_p), ('budgets', C.POINTER(Budget))]


class Cost(C.Structure):
    _fields_ = [('macs', C.c_double), ('params', C.c_double)]


class Member(C.Structure):
    _fields_ = [('param', Handle), ('axis', C.c_uint32), ('index', C.c_uint32), ('roles', C.c_uint32)]


def load(build):
    """The zoo with the library behind it; one object has the functions of both."""
    build = os.path.abspath(build)
    with tempfile.TemporaryDirectory() as folder:
        made = os.path.join(folder, 'libzoo.so')
        subprocess.run([os.environ.get('CC', 'cc'), '-std=c11', '-O2', '-shared', '-fPIC', f'-I{TEST}/../include', f'-I{TEST}', '-o', made,
                        *sorted(glob.glob(f'{TEST}/zoo/*.c')), f'-L{build}', f'-Wl,-rpath,{build}', '-lmskp'], check=True)
        lib = C.CDLL(made)
    blas = os.path.join(build, 'libmskp-blas.so')
    lib.blas = C.CDLL(blas) if os.path.exists(blas) else None
    for name, result in {'zoo_make': C.c_void_p, 'mskp_graph_create': C.c_void_p, 'mskp_graph_counts': Counts,
                         'mskp_param_name': C.c_char_p, 'mskp_param_shape': C.c_uint32, 'mskp_param_units': C.POINTER(C.c_uint32),
                         'mskp_value_units': C.POINTER(C.c_uint32), 'mskp_unit_families': C.POINTER(C.c_uint32),
                         'mskp_unit_members': C.POINTER(Member), 'mskp_parameter': Handle, 'mskp_input': Handle, 'mskp_conv': Handle,
                         'mskp_linear': Handle, 'mskp_flatten': Handle, 'mskp_pool': Handle, 'mskp_combine': Handle, 'mskp_activation': Handle,
                         'mskp_value_find': Handle}.items():
        getattr(lib, name).restype = result
    lib.mskp_graph_create.argtypes = [C.c_void_p]
    lib.zoo_make.argtypes = [C.c_char_p, C.c_void_p]
    return lib


class Graph:
    """A finished graph, and the calls on it with arrays of doubles. describe: a name of the zoo, or a function of (lib, graph)."""

    def __init__(self, lib, describe):
        import numpy as np
        self.lib, self.np = lib, np
        if callable(describe):
            self.graph = C.c_void_p(lib.mskp_graph_create(None))
            describe(lib, self.graph)
        else:
            self.graph = C.c_void_p(lib.zoo_make(describe.encode(), None))
        self.error = Error()
        self.check(lib.mskp_graph_finish(self.graph, C.byref(self.error)))
        counts = lib.mskp_graph_counts(self.graph)
        self.units, self.nparams, self.nvalues = counts.units, counts.params, counts.values
        self.names, self.shapes, self.unit_of = [], [], []
        for p in range(1, self.nparams + 1):
            shape = (C.c_size_t * MAX_DIMS)()
            ndim = lib.mskp_param_shape(self.graph, Handle(p), shape)
            self.names.append(lib.mskp_param_name(self.graph, Handle(p)).decode())
            self.shapes.append(tuple(shape[:ndim]))
            axes = []
            for axis in range(ndim):
                n, roles = C.c_size_t(), C.c_uint32()
                unit = lib.mskp_param_units(self.graph, Handle(p), C.c_uint32(axis), C.byref(roles), C.byref(n))
                axes.append((roles.value, np.array(unit[:n.value], dtype=np.int64)) if unit else (0, None))
            self.unit_of.append(axes)
        self.family = np.array(lib.mskp_unit_families(self.graph, None)[:self.units], dtype=np.int64)

    def check(self, status):
        if status:
            raise RuntimeError(self.error.text.decode())

    def members(self, unit):
        """(parameter from 0, axis, index, roles) of each slice."""
        n = C.c_size_t()
        m = self.lib.mskp_unit_members(self.graph, C.c_size_t(unit), C.byref(n))
        return [(m[i].param.id - 1, m[i].axis, m[i].index, m[i].roles) for i in range(n.value)]

    def tensors(self, tensors):
        """A set of views of one PyTorch tensor, or None, for each parameter. The tensors must live as long as the set."""
        import torch
        dtypes = {torch.float32: 0, torch.float64: 1}
        views = (Tensor * self.nparams)()
        for view, shape, t in zip(views, self.shapes, tensors):
            if t is None:
                continue
            assert tuple(t.shape) == shape and t.is_contiguous(), (tuple(t.shape), shape)
            view.data, view.dtype, view.elements = t.data_ptr(), dtypes[t.dtype], t.numel()
        made = Tensors(self.nparams, views)
        made.kept = tensors
        return made

    def _scores(self, scores):
        return Scores(self.units, scores.ctypes.data_as(C.POINTER(C.c_double)))

    def score(self, magnitude, reduce, roles, values, vote_threshold=0.0, out=None):
        scores = self.np.empty(self.units) if out is None else out
        how = Scoring(magnitude, reduce, roles, vote_threshold)
        self.check(self.lib.mskp_score(self.graph, C.byref(how), values, self._scores(scores), C.byref(self.error)))
        return scores

    def taylor(self, form, roles, values, gradients, scores=None):
        """Adds to scores, or to zeros."""
        scores = self.np.zeros(self.units) if scores is None else scores
        self.check(self.lib.mskp_score_taylor(self.graph, form, C.c_uint32(roles), values, gradients, self._scores(scores),
                                              C.byref(self.error)))
        return scores

    def filters(self, reduce, values):
        """Sums of distances between filters; None without the library beside BLAS."""
        if not self.lib.blas:
            return None
        scores = self.np.empty(self.units)
        self.check(self.lib.blas.mskp_score_filters(None, self.graph, 0, reduce, values, self._scores(scores), C.byref(self.error)))
        return scores

    def normalize(self, by, scores, parameter=0.0):
        """In place."""
        self.check(self.lib.mskp_score_normalize(self.graph, by, C.c_double(parameter), self._scores(scores), C.byref(self.error)))
        return scores

    def value_units(self, value):
        n = C.c_size_t()
        units = self.lib.mskp_value_units(self.graph, Handle(value), C.byref(n))
        return self.np.array(units[:n.value], dtype=self.np.int64)

    def channels(self, reduce, given):
        """given: [(a value's id, numbers)]"""
        scores = self.np.empty(self.units)
        kept = [(value, self.np.ascontiguousarray(x, dtype=self.np.float64)) for value, x in given]
        array = (ChannelScores * len(kept))(*(ChannelScores(Handle(value), len(x), x.ctypes.data_as(C.POINTER(C.c_double)))
                                              for value, x in kept))
        self.check(self.lib.mskp_score_channels(self.graph, C.c_size_t(len(kept)), array, reduce, self._scores(scores),
                                                C.byref(self.error)))
        return scores

    def table(self, layers):
        """A budget of time. layers: [(out, in, widths_out, widths_in, cost)], two values' ids, and cost[len(widths_out)][len(widths_in)]"""
        np, made, kept = self.np, (LayerCost * len(layers))(), []
        for l, (out, inp, widths_out, widths_in, cost) in zip(made, layers):
            arrays = (C.c_size_t * len(widths_out))(*widths_out), (C.c_size_t * len(widths_in))(*widths_in)
            numbers = np.ascontiguousarray(cost, dtype=np.float64)
            assert numbers.shape == (len(widths_out), len(widths_in)), numbers.shape
            l.out, l.in_, l.nout, l.nin, l.widths_out, l.widths_in = Handle(out), Handle(inp), len(widths_out), len(widths_in), *arrays
            l.cost = numbers.ctypes.data_as(C.POINTER(C.c_double))
            kept.append((arrays, numbers))
        budget = Budget(kind=BUDGET_TABLE, nlayers=len(layers), layers=made)
        budget.kept = made, kept
        return budget

    def budget(self, budget, keep=None):
        amount = C.c_double()
        self.check(self.lib.mskp_budget_measure(self.graph, self._mask(keep), C.byref(budget), C.byref(amount), C.byref(self.error)))
        return amount.value

    def per_budget(self, budget, block, scores):
        """In place."""
        self.check(self.lib.mskp_score_per_budget(self.graph, C.byref(budget), C.c_size_t(block), self._scores(scores),
                                                  C.byref(self.error)))
        return scores

    def select(self, scores, budget=None, **rule):
        """rule: fields of mskp_rule."""
        keep = self.np.empty(self.units, dtype=self.np.uint8)
        made = Rule(**rule)
        if budget is not None:
            made.nbudgets, made.budgets = 1, C.pointer(budget)
        self.check(self.lib.mskp_select(self.graph, self._scores(scores), C.byref(made), self._mask(keep), None, C.byref(self.error)))
        return keep

    def macs(self, keep=None):
        cost = Cost()
        self.check(self.lib.mskp_measure(self.graph, self._mask(keep), C.byref(cost), None, C.byref(self.error)))
        return cost.macs

    def penalty(self, kind, target, roles, weight=None, knee=0.0):
        made = Penalty(kind, target, roles, 0, knee, weight.ctypes.data_as(C.POINTER(C.c_double)) if weight is not None else None, None)
        made.kept = weight
        return made

    def _mask(self, keep):
        return Mask(0, None) if keep is None else Mask(self.units, keep.ctypes.data_as(C.POINTER(C.c_uint8)))

    def gradient(self, penalty, strength, values, gradients, keep=None):
        self.check(self.lib.mskp_penalty_gradient(self.graph, self._mask(keep), C.byref(penalty), C.c_double(strength), values, gradients,
                                                  C.byref(self.error)))

    def prox(self, penalty, step, values, keep=None):
        self.check(self.lib.mskp_penalty_prox(self.graph, self._mask(keep), C.byref(penalty), C.c_double(step), values,
                                              C.byref(self.error)))

    def deadline(self, penalty, left, values, keep=None):
        self.check(self.lib.mskp_penalty_deadline(self.graph, self._mask(keep), C.byref(penalty), C.c_uint64(left), values,
                                                  C.byref(self.error)))


def parameters(graph, model):
    """[(name, tensor)] of the model in the order of the graph's parameters: torchvision and the zoo both go from input to output."""
    state = [(name, t) for name, t in model.state_dict(keep_vars=True).items() if not name.endswith('num_batches_tracked')]
    assert [tuple(t.shape) for _, t in state] == graph.shapes, 'the zoo describes another network'
    return state
