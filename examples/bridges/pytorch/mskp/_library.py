"""The C library by ctypes: its structs, its functions, and errors as exceptions.

Nothing here knows PyTorch. Structs have the fields of include/mskp.h and of the headers beside it, in their order.
"""
import ctypes as C
import os
import pathlib

MAX_DIMS = 6
PINNED = 2**32 - 1
FILTER, CONSUMER, SCALE, SHIFT = 1, 2, 4, 8
UNIT = FILTER | CONSUMER | SCALE | SHIFT
DUE_NOTHING, DUE_MASK, DUE_CUT = range(3)
STAGES = ('wait', 'sparse', 'masked', 'tune')


class Error(Exception):
    """What went wrong, as a sentence. The network and its optimizers are as they were before the call."""


_TYPES = {'int': C.c_int, 'u32': C.c_uint32, 'u64': C.c_uint64, 'size': C.c_size_t, 'double': C.c_double, 'pointer': C.c_void_p,
          'text': C.c_char_p, 'u8': C.c_uint8, 'offset': C.c_ssize_t}


def _struct(name, fields):
    """A struct by its fields: "type name name, type name"; NAME[N] is an array."""
    made = []
    for kind, *names in (part.split() for part in fields.split(',')):
        for field in names:
            field, _, length = field.rstrip(']').partition('[')
            made.append((field, _TYPES[kind] * int(length) if length else _TYPES[kind]))
    _TYPES[name] = type(name, (C.Structure,), {'_fields_': made})
    return _TYPES[name]


Status = type('Status', (C.Structure,), {'_fields_': [('status', C.c_int), ('text', C.c_char * 252)]})
Tensor = _struct('Tensor', f'pointer data, int dtype, u32 ndim, size shape[{MAX_DIMS}], offset stride[{MAX_DIMS}], size elements')
Tensors = _struct('Tensors', 'size n, pointer view')
Mask = _struct('Mask', 'size n, pointer unit')
Handle = _struct('Handle', 'u32 id')
Counts = _struct('Counts', 'size units families params values')
Cost = _struct('Cost', 'double macs params')
Scoring = _struct('Scoring', 'int magnitude reduce, u32 roles, double vote_threshold')
Penalty = _struct('Penalty', 'int kind target, u32 roles skip_missing, double knee, pointer unit_weight low_precision')
LowPrecision = _struct('LowPrecision', 'int rounding, u64 seed, Tensors start, u64 start_steps, pointer asked lost')
Constants = _struct('Constants', 'int way, u32 zeroed, double merge_above')
Consumer = _struct('Consumer', 'Handle consumer reads weight into, size folded merged dropped live carriers, u32 exact, '
                   'double bound share, text why')
Rule = _struct('Rule', 'u32 use_threshold, double threshold remove_family_fraction remove_fraction max_macs max_params, '
               'size min_channels round_to, double max_family_fraction, Mask locked, u32 empty_branches, size nfamilies nbudgets, '
               'pointer families budgets')
Options = _struct('Options', 'Rule rule, Scoring scoring, u32 use_normalizer, int normalizer, double normalizer_parameter, '
                  'pointer score context, Constants constants, Penalty penalty, int pull, u32 fade, '
                  'double strength momentum gradient_scale, u64 steps, double wait sparse sparse_strength masked settle, u32 rounds, '
                  'int schedule, u64 refresh, u32 hysteresis')
Gauge = _struct('Gauge', 'u64 elements zeros below[8], double largest mean')
Gauges = _struct('Gauges', 'int stage, u64 step steps_left, u32 round rounds, size units marked, '
                 'double macs params macs_after params_after strength move needed, Gauge left kept, '
                 'double start residue threshold valley gap overlap, u32 exact, size unmarked, double bound share, u32 ready')
OnnxOptions = _struct('OnnxOptions', 'size lengths, pointer length, u8 fixed')
OnnxParam = _struct('OnnxParam', f'text name, u32 ndim axis[{MAX_DIMS}], u8 copied computed locked')


# Results and arguments. P: a pointer of the library's; S: a size; other letters as in `_KINDS`. Functions whose result is `!`
# return a status and take a mskp_error last.
_KINDS = {'P': C.c_void_p, 'S': C.c_size_t, 'D': C.c_double, 'T': C.c_char_p, 'U': C.c_uint32, 'L': C.c_uint64, 'I': C.c_int,
          'h': Handle, 'M': Mask, 'V': Tensors, 'c': Counts, 'u': C.POINTER(C.c_uint32), '-': None}
_FUNCTIONS = '''
version U: | graph_destroy -:P | graph_counts c:P | fingerprint L:P | param_name T:Ph | param_roles U:Ph | value_name T:Ph
param_shape U:PhP | param_units u:PhUPP | value_units u:PhP | unit_families u:PP | measure !:PMPP | mask_match !:PSPUM
mask_write !:PMSPP | mask_read !:PSTM | mask_compose !:PMMM | plan_create !:PMPP | plan_destroy -:P | plan_param_kept u:PhUP
penalty_gradient !:PMPDVV | penalty_prox !:PMPDV | penalty_zero !:PMPV | score !:PPVP
constants_masks !:PMMM | constants_consumers S:P | constants_consumer !:PSP | constants_total !:PP | constants_again !:PVP
constants_apply !:PPV | constants_destroy -:P
pruner_create !:PPP | pruner_destroy -:P | pruner_due I:P | pruner_before_step !:PDVV | pruner_after_step !:PDV | pruner_mark !:PVM
pruner_prepare !:PVPP | pruner_cut_done !:P | pruner_graph P:P | pruner_mask M:P | pruner_gauge !:PVP | pruner_write !:PSPP
pruner_read !:PPSTPP
onnx_open !:TSPP | onnx_close -:P | onnx_graph P:P | onnx_parameter !:PhP | onnx_reason T:PS | onnx_products !:PM
onnx_values !:PV
'''


def _find():
    """The shared library: MSKP_LIBRARY, or the one that was installed beside this file."""
    return os.environ.get('MSKP_LIBRARY') or str(pathlib.Path(__file__).parent / 'libmskp_python.so')


class _Library:
    """Each function without its prefix mskp_. Those with a status raise Error, and need no error argument."""

    def __init__(self, path):
        try:
            loaded = C.CDLL(path)
        except OSError as error:
            raise ImportError(f'{error}; `pip install` builds this library, and MSKP_LIBRARY names another one') from error
        for entry in _FUNCTIONS.replace('\n', '|').split('|'):
            if entry.strip():
                name, kinds = entry.split()
                setattr(self, name, self._bind(getattr(loaded, 'mskp_' + name), *kinds.split(':')))

    @staticmethod
    def _bind(function, result, arguments):
        function.argtypes = [_KINDS[a] for a in arguments]
        if result != '!':
            function.restype = _KINDS[result]
            return function
        function.argtypes = [*function.argtypes, C.c_void_p]
        function.restype = C.c_int

        def call(*given):
            error = Status()
            if function(*given, C.byref(error)):
                raise Error(error.text.decode(errors='replace'))
        return call


lib = _Library(_find())


def mask_of(given):
    """A mask of bytes, with memory of its own, which lives as long as the mask."""
    memory = C.create_string_buffer(bytes(given), max(len(given), 1))
    made = Mask(len(given), C.addressof(memory))
    made.memory = memory
    return made


def flags(given):
    """The flags of a mask as bytes."""
    return C.string_at(given.unit, given.n) if given.n else b''


def indices(function, *given):
    """A list of the library's, which it returns as a pointer with a count: a memoryview of 32-bit numbers; None if the pointer is NULL."""
    n = C.c_size_t()
    found = function(*given, C.byref(n))
    return memoryview(C.string_at(found, 4 * n.value)).cast('I') if found else None


def text_of(function, *given):
    """What a function of the library writes: it says the length of a text for which there is no room."""
    length = C.c_size_t()
    function(*given, 0, None, C.byref(length))
    text = C.create_string_buffer(length.value + 1)
    function(*given, length.value + 1, C.byref(text), C.byref(length))
    return text.value.decode()
