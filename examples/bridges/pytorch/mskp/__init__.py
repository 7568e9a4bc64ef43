"""mskp for PyTorch: makes networks smaller while they are trained, or at once.

    pruner = mskp.Pruner(model, example_inputs, macs=0.5, optimizer=optimizer, steps=10000)
    pruner.before_step(); optimizer.step(); pruner.after_step(); pruner.cut()      # in each step

    mskp.prune(model, example_inputs, macs=0.5)                                    # or at once
"""
from ._library import Error
from ._pruner import Pruner, load_mask, prune

__all__ = ['Error', 'Pruner', 'load_mask', 'prune']
