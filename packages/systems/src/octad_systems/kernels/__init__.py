"""Kernels that move little data, each equal to a plain torch reference; for the CPU, in C, compiled where they run.

- `attention`: softmax attention with the scores of a few queries at a time, forward and backward.
- `logits_to_gradient`: the loss of a chunk of logits, and its gradient in their place, in one visit.
- `attention_or` and `logits_to_gradient_or`: the kernel for what it can do, a function of yours for all else; that is
  what a model takes in the place of its own.
- `has_native_kernels`: whether this machine can compile them; `native_library` says why not.
"""

from octad_systems.kernels.attention import attention, attention_or
from octad_systems.kernels.library import has_native_kernels, native_library
from octad_systems.kernels.logits import logits_to_gradient, logits_to_gradient_or

__all__ = [
    "attention",
    "attention_or",
    "has_native_kernels",
    "logits_to_gradient",
    "logits_to_gradient_or",
    "native_library",
]
