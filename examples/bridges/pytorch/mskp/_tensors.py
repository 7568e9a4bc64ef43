"""PyTorch's tensors as sets of the library: views of their memory, and gathers that follow a plan.

A view needs an address that the processor can read. Tensors on a device are mirrored: all of a set that are of one type go to memory
as one flat copy, and come back as one.
"""
import ctypes as C

import torch

from ._library import Error, Tensor, Tensors

_DTYPES = {torch.float32: 0, torch.float64: 1, torch.float16: 2, torch.bfloat16: 3}
_BYTES = {1: 16, 2: 17, 4: 18, 8: 19, 16: 20}  # can be cut, but not computed with

ITEM = {0: 4, 1: 8, 2: 2, 3: 2, **{dtype: size for size, dtype in _BYTES.items()}}


def is_here(tensor):
    """Whether the library can read the tensor at its address."""
    return tensor.device.type == 'cpu'


def check(name, tensor):
    """Refuses a tensor that has no memory of its own that a view could show."""
    if type(tensor) not in (torch.Tensor, torch.nn.Parameter, torch.nn.Buffer):
        raise Error(f'{name}: a {type(tensor).__name__}, where a torch.Tensor is needed (sharded and quantized tensors have no views)')
    if tensor.layout != torch.strided or tensor.is_meta:
        raise Error(f'{name}: a tensor that is {"on the meta device" if tensor.is_meta else tensor.layout}, and has no dense memory')


class Set:
    """One tensor, or None, for each parameter of a graph. `set` is what the library takes.

    parameters: what has `axes`, the tensor's axis for each axis of the parameter. which: the parameters that have a tensor, in a set that
    is shown anew in each step; all others have none. here: which tensors are read at their address.
    """

    def __init__(self, parameters, tensors=None, here=is_here, which=None):
        self.parameters, self.here = parameters, here
        self.which = range(len(parameters)) if which is None else which
        self.views = (Tensor * max(len(parameters), 1))()
        self.set = Tensors(len(parameters), C.addressof(self.views))
        self.set.memory = self.views
        self.shown = [None] * len(parameters)
        self.mirrors, self._seen = [], [None] * len(self.which)
        if tensors is not None:
            self.shown = list(tensors)
            self.show(tensors)
            for i, (parameter, tensor) in enumerate(zip(parameters, tensors)):
                if tensor is None and parameter.own is not None:
                    self.views[i] = parameter.own

    def show(self, tensors):
        """Views of these tensors, one or None for each of `which`, in place of those before. Hardly anything changes from step to step, so
        that is asked first, of all of them. No tensor is held: a gradient may be gone after the step."""
        seen = [None if t is None else (t.data_ptr(), t.stride(), t.dtype) for t in tensors]
        if seen == self._seen:
            return self
        far = {}
        for place, (i, tensor) in enumerate(zip(self.which, tensors)):
            if tensor is not None and not self.here(tensor):
                far.setdefault((tensor.device, tensor.dtype), []).append((i, tensor))
                seen[place] = object()  # equal to nothing: it is mirrored anew in each step
            elif seen[place] != self._seen[place]:
                self._view(i, tensor)
        self.mirrors = [self._mirror(*zip(*same)) for same in far.values()]
        self._seen = seen
        return self

    def _view(self, i, tensor):
        view = self.views[i]
        view.data = tensor.data_ptr() or None if tensor is not None else None
        if tensor is None:
            view.ndim = 0  # the parameter's shape
            return
        view.dtype = _DTYPES[tensor.dtype] if tensor.dtype in _DTYPES else _BYTES[tensor.element_size()]
        shape, stride, axes = tensor.shape, tensor.stride(), self.parameters[i].axes
        view.ndim, view.elements = len(axes), tensor.numel()
        for j, axis in enumerate(axes):
            view.shape[j], view.stride[j] = shape[axis], stride[axis]

    def _mirror(self, which, tensors):
        flat = torch.cat([t.detach().reshape(-1) for t in tensors]).to('cpu')
        if flat.data_ptr() == tensors[0].data_ptr():  # one tensor, and the switch of the tests
            flat = flat.clone()
        parts = flat.split([t.numel() for t in tensors])
        for i, tensor, part in zip(which, tensors, parts):
            self._view(i, part.view(tensor.shape))
        return tensors, flat

    def send_back(self):
        """Mirrored tensors receive what the library wrote, and their views are no longer valid. Others share their memory with the views."""
        with torch.no_grad():
            for tensors, flat in self.mirrors:
                parts = flat.to(tensors[0].device).split([t.numel() for t in tensors])
                for tensor, part in zip(tensors, parts):
                    tensor.detach().copy_(part.view(tensor.shape))
        self.mirrors = []

    def cloned(self, which=None):
        """The same set with memory of its own, for `which` parameters, or for all."""
        made = Set(self.parameters, [t.detach().clone() if t is not None and (which is None or i in which) else t
                                     for i, t in enumerate(self.shown)], self.here)
        made.owned = {}
        for i, p in enumerate(self.parameters):
            if self.shown[i] is None and p.own is not None:
                memory = C.create_string_buffer(p.bytes, len(p.bytes))
                made.owned[p], made.views[i].data = memory, C.addressof(memory)
        return made

    def written(self):
        """The name of what is no tensor of the network, and was written to in this clone; None: there is no such thing."""
        return next((p.name for p, memory in self.owned.items() if memory.raw != p.bytes), None)


def gather(tensor, kept):
    """The tensor without the indices that leave, in memory of its own with the same order of axes. kept: {axis: indices}."""
    order = sorted(range(tensor.dim()), key=lambda axis: -tensor.stride(axis))
    result = tensor.detach().permute(order)
    for place, axis in enumerate(order):
        if axis in kept:
            result = result.index_select(place, kept[axis].to(tensor.device))
    return result.permute([order.index(axis) for axis in range(tensor.dim())])


def replace(tensor, data):
    """The tensor object goes on with other data of another shape.

    Autograd keeps a node for each parameter, with its old shape, as long as somebody holds a graph that used it, such as the last
    loss. Data of another type make autograd forget the node.
    """
    tensor.grad = None
    if tensor.dtype.is_floating_point:
        tensor.data = torch.empty(0, dtype=torch.float64 if tensor.dtype != torch.float64 else torch.float32, device=tensor.device)
    tensor.data = data
