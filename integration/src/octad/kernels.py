"""The kernels of octad_systems in the places where a model of octad_arch takes them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from octad_arch import PARTS, DecoderModel, linear_cross_entropy, parts_of, replace_by_gradient, replace_parts
from octad_systems.kernels import attention_or, has_native_kernels, logits_to_gradient_or


def plug_in_kernels(model: DecoderModel) -> bool:
    """Let a model that trains on a CPU use the compiled attention and loss, in place; False without a compiler.

    What they do not take (another type, soft caps, sinks, padding) goes to the model's own functions, as before.
    """
    if not has_native_kernels():
        return False
    kernels: dict[str, Callable[..., Any]] = {
        "self_attention": attention_or(PARTS["self_attention"]),
        "head_loss": partial(linear_cross_entropy, to_gradient=logits_to_gradient_or(replace_by_gradient)),
    }
    parts = parts_of(model)
    replace_parts(model, **{name: kernel for name, kernel in kernels.items() if name in parts})
    return True
