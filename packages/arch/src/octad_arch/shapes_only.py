"""Modules built as shapes: parameters on "meta", none of them drawn."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


class _NothingDrawn(TorchFunctionMode):
    """Leaves out `torch.nn.init`: a normal draw on "meta" imports sympy and 900 more modules, for 3 seconds."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = dict(kwargs or {})
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else given["tensor"]
        return func(*args, **given)


@contextmanager
def shapes_only() -> Iterator[None]:
    """Within it the constructors of modules take no memory and draw no random numbers."""
    with torch.device("meta"), _NothingDrawn():
        yield


def allocate(model: nn.Module, device: torch.device | str) -> None:
    """Give every parameter and buffer memory on a device, and whatever that memory held.

    `nn.Module.to_empty` does the same through `empty_like`, which on "meta" has the imports of a normal draw.
    """
    for module in model.modules():
        for name, parameter in module.named_parameters(recurse=False):
            memory = torch.empty(parameter.shape, dtype=parameter.dtype, device=device)
            setattr(module, name, nn.Parameter(memory, requires_grad=parameter.requires_grad))
        for name, buffer in module.named_buffers(recurse=False):
            setattr(module, name, torch.empty(buffer.shape, dtype=buffer.dtype, device=device))
