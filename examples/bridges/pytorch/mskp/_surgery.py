"""Everything that a cut changes, made first and then put in place at once, with the way back."""
import torch

from . import _numbers
from ._library import Error
from ._tensors import gather, replace


class Surgery:
    """kept: {tensor: {axis: indices that stay}}. stale: {tensor: [(axis, places after the cut) ...]}: numbers there were replaced by
    constants, so what a gradient or an optimizer has for them belongs to other numbers; axis None: all of them."""

    def __init__(self, kept, stale=None):
        self.kept, self.stale = kept, stale or {}
        self._tensors, self._items, self._numbers, self._back = [], [], [], None

    def _cut_state(self, tensor, state):
        made = gather(state, self.kept.get(tensor, {}))
        if tensor in self.stale and made is not state:
            made = made.clone() if made.data_ptr() == state.data_ptr() else made
            for axis, places in self.stale[tensor]:
                made.zero_() if axis is None else made.index_fill_(axis, places.to(made.device), 0)
        return made

    def values(self, tensor, source):
        """A parameter or buffer gets what stays of `source`, which has its shape."""
        if tensor in self.kept or source is not tensor or tensor in self.stale:
            gradient = self._cut_state(tensor, tensor.grad) if tensor.grad is not None else None
            self._tensors.append((tensor, gather(source, self.kept.get(tensor, {})), gradient))

    def optimizer(self, optimizer, name_of):
        """What an optimizer keeps for each element is cut, and all else that has one element stays."""
        for tensor, state in optimizer.state.items():
            if not isinstance(tensor, torch.Tensor) or tensor not in self.kept and tensor not in self.stale:
                continue
            for key, value in state.items():
                if not isinstance(value, torch.Tensor) or value.numel() == 1 and value.shape != tensor.shape:
                    continue
                if value.shape != tensor.shape:
                    raise Error(f'{name_of(tensor)}: {type(optimizer).__name__} keeps a tensor {tuple(value.shape)} ({key}) for a parameter '
                                f'{tuple(tensor.shape)}, which cannot be cut: only what it keeps for each element can')
                self._items.append((state, key, self._cut_state(tensor, value)))

    def item(self, mapping, key, tensor, source):
        """A tensor in a dictionary is replaced by what stays of it."""
        self._items.append((mapping, key, gather(source, self.kept.get(tensor, {}))))

    def numbers(self, model, kept):
        self._numbers += _numbers.numbers(model, kept)

    def carry_out(self):
        self._back = ([(t, t.data, t.grad) for t, _, _ in self._tensors], [(m, k, m[k]) for m, k, _ in self._items],
                      _numbers.set_all(self._numbers))
        try:
            self._put(self._tensors, self._items)
        except BaseException:
            self.undo()
            raise

    def undo(self):
        tensors, items, numbers = self._back
        self._put(tensors, items)
        _numbers.set_all(numbers)

    @staticmethod
    def _put(tensors, items):
        for tensor, data, gradient in tensors:
            replace(tensor, data)
            tensor.grad = gradient
        for mapping, key, value in items:
            mapping[key] = value
