"""What the tests of mskp-onnx share. They run the program, and onnx and onnxruntime judge its files.

Scripts that use this module run with the interpreter that $MSKP_ONNX_PYTHON names, otherwise with
the one that started them. If a script does not find what it needs, it prints one line,
"skipped: ...", and ends with 77. The program is $BUILD/mskp-onnx (BUILD: build), or --program PATH.
"""
import importlib
import json
import math
import os
import subprocess
import sys
import tempfile
import warnings

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
NO_PROGRAM = 'build mskp-onnx first, or say --program PATH'
LAYERS = 'Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'BatchNormalization', 'InstanceNormalization', 'LayerNormalization', 'LSTM', 'GRU'
FLOATS = 1, 10, 11, 16  # FLOAT, FLOAT16, DOUBLE, BFLOAT16

# Started between a test and the program, because the peak of a process counts that of the one it was started by.
METER = '''
import json, os, sys, time
start = time.perf_counter()
_, status, use = os.wait4(os.posix_spawn(sys.argv[2], sys.argv[2:], os.environ), 0)
json.dump([os.waitstatus_to_exitcode(status), time.perf_counter() - start, use.ru_maxrss * 1024, use.ru_utime + use.ru_stime],
          open(sys.argv[1], 'w'))
'''


def skip(why):
    print('skipped:', why)
    sys.exit(77)


def need(*modules):
    """Goes on with $MSKP_ONNX_PYTHON; skips the test where it lacks a module."""
    python = os.environ.pop('MSKP_ONNX_PYTHON', None)
    if python:
        try:
            os.execvp(python, [python] + sys.argv)
        except OSError as e:
            skip(f'{python}: {e.strerror} (MSKP_ONNX_PYTHON)')
    missing = []
    warnings.simplefilter('ignore')
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError:
            missing.append(module)
    if missing:
        skip(f'{sys.executable} has no {", ".join(missing)} (MSKP_ONNX_PYTHON names another interpreter)')


def add_program(parser):
    parser.add_argument('--program', default=os.path.join(os.environ.get('BUILD', 'build'), 'mskp-onnx'), metavar='PATH')


def check_program(path):
    """An absolute path; ends the test where there is none."""
    for base in '.', ROOT:
        full = os.path.abspath(os.path.join(base, path))
        if os.access(full, os.X_OK):
            return full
    sys.exit(f'no program {path}: {NO_PROGRAM}')


class Run:
    """A program's run: status, seconds by the clock, peak of the resident set in bytes, processor seconds, and what it printed."""

    def __init__(self, *command, limit=600):
        with tempfile.TemporaryDirectory() as folder:
            meter = f'{folder}/meter'
            try:
                done = subprocess.run([sys.executable, '-I', '-S', '-c', METER, meter, *command], stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, text=True, errors='replace', timeout=limit, check=False)
                self.out, self.err = done.stdout, done.stderr
                with open(meter, encoding='ascii') as f:
                    self.status, self.seconds, self.peak, self.cpu = json.load(f)
            except subprocess.TimeoutExpired:
                self.status, self.seconds, self.peak, self.cpu = -1, limit, 0, 0
                self.out, self.err = '', f'not done after {limit} s'

    def said(self):
        """The last line of what it complained, with the status."""
        lines = (self.err.strip() or self.out.strip()).splitlines() or ['nothing']
        return f'{"signal" if self.status < 0 else "status"} {abs(self.status)}: {lines[-1]}'


# ---- What a file holds ----
def load(path):
    import onnx
    return onnx.load(path)


def graphs(graph):
    """It, and those within its nodes."""
    yield graph
    for node in graph.node:
        for a in node.attribute:
            for g in ([a.g] if a.type == a.GRAPH else a.graphs):
                yield from graphs(g)


def tensors(model):
    """By name: initializers and what Constant nodes hold as a tensor."""
    found = {}
    for g in graphs(model.graph):
        for t in g.initializer:
            found[t.name] = t
        for node in g.node:
            if node.op_type == 'Constant' and not node.domain:
                for a in node.attribute:
                    if a.name == 'value':
                        found[node.output[0]] = a.t
    return found


def running(model):
    """The nodes that compute with an input of the network. Runtimes compute the others once, when they load the file."""
    flows = {v.name for v in model.graph.input} - set(tensors(model))
    for node in model.graph.node:
        if flows.intersection(node.input) or any(a.type == a.GRAPH for a in node.attribute):
            flows.update(node.output)
            yield node


def elements(tensor):
    return math.prod(tensor.dims)


def array(tensor):
    import onnx
    return onnx.numpy_helper.to_array(tensor)


def parameters(model):
    """Elements of floating-point tensors, but for running statistics and scalars: exporters write the numbers of formulas as such."""
    statistics = {name for node in model.graph.node if node.op_type == 'BatchNormalization' for name in node.input[3:]}
    return sum(elements(t) for name, t in tensors(model).items() if t.data_type in FLOATS and t.dims and name not in statistics)


def shapes(model):
    """By name, as inferred anew; None for a length that is open."""
    import onnx
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    del bare.graph.value_info[:]
    bare = onnx.shape_inference.infer_shapes(bare, strict_mode=True, data_prop=True)
    found = {t.name: list(t.dims) for t in model.graph.initializer}
    for v in [*bare.graph.value_info, *bare.graph.input, *bare.graph.output]:
        found.setdefault(v.name, dims_of(v))
    return found


def dims_of(value):
    shape = value.type.tensor_type.shape
    if not value.type.tensor_type.HasField('shape'):
        return None
    return [d.dim_value if d.HasField('dim_value') else None for d in shape.dim]


def real_shapes(model, feeds):
    """By name, of everything that flows, from a run."""
    import onnx
    every = onnx.ModelProto()
    every.CopyFrom(model)
    del every.graph.output[:]
    names = [name for node in every.graph.node for name in node.output if name]
    every.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    with tempfile.TemporaryDirectory() as folder:
        onnx.save(every, f'{folder}/every.onnx')
        values = compute(f'{folder}/every.onnx', feeds, False)
    found = {name: list(v.shape) for name, v in zip(names, values) if hasattr(v, 'shape')}
    found.update((name, list(v.shape)) for name, v in feeds.items())
    return found


def macs(model, known):
    """Multiply-accumulates of convolutions and of products by what is known before the network runs: an independent count."""
    sizes, total = {name: list(t.dims) for name, t in tensors(model).items()}, 0
    for node in model.graph.node:
        if node.op_type in ('Transpose', 'Identity', 'Cast') and node.input[0] in sizes:
            sizes[node.output[0]] = known[node.output[0]]
        elif node.op_type in ('Conv', 'ConvTranspose', 'Gemm', 'MatMul') and node.input[1] in sizes:
            w = sizes[node.input[1]]
            flow = known[node.input[0] if node.op_type == 'ConvTranspose' else node.output[0]]
            per = w[-2] if node.op_type == 'MatMul' else math.prod(w[1:])
            if node.op_type == 'Gemm' and not any(a.name == 'transB' and a.i for a in node.attribute):
                per = w[0]
            total += per * math.prod(flow)
        elif node.op_type == 'MatMul' and node.input[0] in sizes:
            total += sizes[node.input[0]][-1] * math.prod(known[node.output[0]])
    return total


# ---- What holds of IN, OUT and Z, the zeroed one ----
def faults_of_file(before, after, path, known=None):
    """What is wrong with OUT by itself, and in what it may not differ from IN. known: shapes of a run."""
    import onnx
    found = []
    try:
        onnx.checker.check_model(path)
        onnx.shape_inference.infer_shapes_path(path, path + '.inferred', check_type=True, strict_mode=True, data_prop=True)
    except Exception as e:  # whatever it says
        found.append('onnx.checker: ' + ' '.join(str(e).split())[:300])
    finally:
        if os.path.exists(path + '.inferred'):
            os.remove(path + '.inferred')
    for field in 'ir_version', 'producer_name', 'producer_version', 'domain', 'model_version', 'doc_string':
        if getattr(before, field) != getattr(after, field):
            found.append(f'{field}: {getattr(before, field)!r} became {getattr(after, field)!r}')
    for field in 'opset_import', 'metadata_props', 'functions':
        if [x.SerializeToString() for x in getattr(before, field)] != [x.SerializeToString() for x in getattr(after, field)]:
            found.append(f'{field} changed')
    for field in 'input', 'output':
        a, b = getattr(before.graph, field), getattr(after.graph, field)
        initial = {t.name for t in before.graph.initializer}  # as inputs, these may become smaller
        a, b = [[v.SerializeToString() for v in x if v.name not in initial] for x in (a, b)]
        if a != b:
            found.append(f'graph {field}s changed')
    if (before.graph.name, before.graph.doc_string) != (after.graph.name, after.graph.doc_string):
        found.append('the name of the graph changed')
    lost = {n.name for n in running(before) if n.op_type in LAYERS} - {n.name for n in after.graph.node}
    if lost:
        found.append(f'no node {sorted(lost)[0]!r} any more, and {len(lost) - 1} others')
    try:
        known = {**shapes(after), **(known or {})}
        for v in [*after.graph.value_info, *after.graph.input]:
            said, is_ = dims_of(v), known.get(v.name)
            if said and is_ and (len(said) != len(is_) or any(a != b for a, b in zip(said, is_) if None not in (a, b))):
                found.append(f'value_info of {v.name} says {said}, it is {is_}')
    except Exception as e:
        found.append('shape inference: ' + ' '.join(str(e).split())[:300])
    return found


# Where quantized operators have whole numbers and their zero points.
WHOLE = {'DequantizeLinear': [(0, 2)], 'QLinearConv': [(3, 5), (8, None)], 'QGemm': [(3, 5), (6, None)], 'ConvInteger': [(1, 3)],
         'QLinearMatMul': [(0, 2), (3, 5)], 'QLinearAdd': [(0, 2), (3, 5)], 'QLinearMul': [(0, 2), (3, 5)], 'MatMulInteger': [(0, 2), (1, 3)]}


def quantized(model):
    """By name, what a whole number of a quantized parameter must be to stand for zero: an array that broadcasts to it."""
    import numpy as np
    data, found = tensors(model), {}
    for node in model.graph.node:
        places = WHOLE.get(node.op_type, [])
        rows = node.op_type == 'QGemm' and any(a.name == 'transB' and a.i for a in node.attribute)
        axis = 0 if rows or node.op_type in ('QLinearConv', 'ConvInteger') else -1
        if node.op_type == 'DequantizeLinear':
            axis = next((a.i for a in node.attribute if a.name == 'axis'), 1)
        for at, zero in places:
            if at < len(node.input) and node.input[at] in data:
                name = node.input[zero] if zero and zero < len(node.input) else ''
                zeros = array(data[name]) if name else np.zeros((), 'i1')
                rank = len(data[node.input[at]].dims)
                found[node.input[at]] = zeros.reshape([-1 if k == axis % max(rank, 1) else 1 for k in range(rank)] if zeros.size > 1 else [1] * rank)
    return found


def faults_of_tensors(before, after, zeroed):
    """Whether Z is IN with zeros, and OUT is what they leave."""
    import numpy as np
    found = []
    a, b, z = tensors(before), tensors(after), tensors(zeroed)
    zero_points = quantized(before)
    for name, t in z.items():
        if name not in a:  # what several share becomes one for each
            continue
        if list(t.dims) != list(a[name].dims) or t.data_type != a[name].data_type:
            found.append(f'zeroed file: {name} has another shape or type')
            continue
        if name in zero_points:
            x, y = array(a[name]), array(t)
            if np.any((y != x) & (y != zero_points[name])):
                found.append(f'zeroed file: {name} has elements that are neither as they were nor the zero point')
            if name in b and np.count_nonzero(y != x) > elements(t) - elements(b[name]):
                found.append(f'zeroed file: {name} has {np.count_nonzero(y != x)} other elements, but loses '
                             f'{elements(t) - elements(b[name])}')
            continue
        if t.data_type not in FLOATS:
            if array(t).tobytes() != array(a[name]).tobytes():
                found.append(f'zeroed file: {name} of whole numbers changed')
            continue
        x, y = array(a[name]), array(t)
        changed = x.view(f'u{x.itemsize}') != y.view(f'u{y.itemsize}')
        if np.any(y[changed] != 0):
            found.append(f'zeroed file: {name} has elements that are neither as they were nor zero')
        if name in b and np.count_nonzero(changed) > elements(t) - elements(b[name]):
            found.append(f'zeroed file: {name} has {np.count_nonzero(changed)} zeros more, but loses '
                         f'{elements(t) - elements(b[name])} elements')
    for name, t in b.items():
        if name in a and list(a[name].dims) == list(t.dims) and t.data_type in FLOATS \
                and array(t).tobytes() != array(a[name]).tobytes():
            found.append(f'{name} {list(t.dims)} keeps its shape, but not its bytes')
        if name in a and (t.data_type != a[name].data_type or len(t.dims) != len(a[name].dims)
                          or any(x > y for x, y in zip(t.dims, a[name].dims))):
            found.append(f'{name}: {list(a[name].dims)} became {list(t.dims)}')
    return found


def session(path, optimized=True):
    import onnxruntime as ort
    ort.set_default_logger_severity(4)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 2
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimized else level.ORT_DISABLE_ALL
    return ort.InferenceSession(path, options, providers=['CPUExecutionProvider'])


def compute(path, feeds, optimized=True):
    return session(path, optimized).run(None, feeds)


def difference(expected, got):
    """The largest, relative to the largest absolute value expected; infinite for another shape or what is not finite."""
    import numpy as np
    worst = 0.0
    for x, y in zip(expected, got):
        if x.shape != y.shape or x.dtype != y.dtype:
            return float('inf')
        if not x.size:
            continue
        if x.dtype.kind != 'f':
            worst = max(worst, float(np.any(x != y)))
            continue
        x, y = x.astype('f8'), y.astype('f8')
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            return float('inf')
        largest = np.abs(x).max()
        off = np.abs(x - y).max()
        worst = max(worst, off / largest if largest else float('inf') if off else 0.0)
    return worst if len(expected) == len(got) else float('inf')
