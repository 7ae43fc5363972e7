"""A specification as text: what it is made of, and what it costs."""

import math
from dataclasses import fields, is_dataclass
from itertools import groupby

from .cost import Cost
from .decoder import Decoder
from .layer import LayerSpec
from .shapes_only import shapes_only


def describe(spec: Decoder, context_length: int | None = None) -> str:
    """The structure with the shape of every parameter, and what it costs; equal neighbouring layers are told once.

    Args:
        spec: the model.
        context_length: tokens attended to in the FLOPs; None means the model's own.
    """
    length = spec.context_length if context_length is None else context_length
    total = spec.cost(length)
    lines = [
        f"Decoder: {_summary(total)}",
        f"  at a context of {length:,}: {total.forward_flops:,} FLOPs a token forward, {total.backward_flops:,} "
        f"backward; {total.kv_bytes(2):,} bytes of 16-bit cache a token",
        f"  training keeps {_bytes(total)} of 16-bit activations a token, {_bytes(total, True)} where each layer keeps "
        "its input alone",
        f"  embedding ({spec.vocab_size}, {spec.d_model})",
    ]
    if total.state_elements:
        lines.append(f"  {total.state_elements:,} numbers of state a sequence, whatever its length")
    start = 0
    for layer, group in groupby(spec.layers):
        stop = start + len(list(group))
        span = f"layer {start}" if stop == start + 1 else f"layers {start}-{stop - 1}, each"
        lines += [f"  {span}: {_summary(layer.cost(spec.d_model, length))}", *_values(layer), *_shapes(spec, layer)]
        start = stop
    head = "the embedding's matrix" if spec.tied_embeddings else f"({spec.vocab_size}, {spec.d_model})"
    return "\n".join([*lines, f"  norm {_plain(spec.norm)}", f"  head {head}"])


def _bytes(cost: Cost, checkpointed: bool = False) -> str:
    size = cost.activation_bytes(2, checkpointed)
    return "uncounted bytes" if math.isnan(size) else f"{size:,.0f} bytes"


def _values(layer: LayerSpec) -> list[str]:
    if not is_dataclass(layer):
        return [f"    {layer}"]
    return [f"    {part.name} = {_plain(getattr(layer, part.name))}" for part in fields(layer)]


def _shapes(spec: Decoder, layer: LayerSpec) -> list[str]:
    with shapes_only():  # shapes without memory
        module = layer.build(spec.d_model, 0)
    return [f"    {name} {tuple(parameter.shape)}" for name, parameter in module.named_parameters()]


def _plain(value: object) -> str:
    """A value as its constructor would be written, without what is its default; a function by its name."""
    if is_dataclass(value) and not isinstance(value, type):
        given = [part for part in fields(value) if part.init and getattr(value, part.name) != part.default]
        arguments = ", ".join(f"{part.name}={_plain(getattr(value, part.name))}" for part in given)
        return f"{type(value).__name__}({arguments})"
    return getattr(value, "__name__", None) or repr(value)


def _summary(cost: Cost) -> str:
    active = "" if cost.active_parameters == cost.parameters else f" ({cost.active_parameters:,} active)"
    return f"{cost.parameters:,} parameters{active}, {cost.forward_flops:,} FLOPs a token"
