"""Functions inside a model that another of the same signature may replace, such as a kernel of one's own.

A module that can hand over a part of its work keeps the function as an attribute and calls that; `replace_parts` puts
another in its place, model by model. So kernels plug in and no module knows them; a cache (`AttentionCache`) does the
same for attention over the past. The specification does not change, and neither do weights, files and costs.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeVar

from torch import nn

from .errors import ArchError

Function = TypeVar("Function", bound=Callable[..., Any])

_FUNCTIONS: dict[str, Callable[..., Any]] = {}
PARTS: Mapping[str, Callable[..., Any]] = MappingProxyType(_FUNCTIONS)
"""Every part by name, with the function that a model begins with: its signature and its result are the contract."""


def part(name: str) -> Callable[[Function], Function]:
    """Enter a function into `PARTS` under the name of the attribute by which modules keep it."""

    def enter(function: Function) -> Function:
        _FUNCTIONS[name] = function
        return function

    return enter


def parts_of(model: nn.Module) -> dict[str, int]:
    """How many modules of a model call each part."""
    return dict(Counter(name for module in model.modules() for name in PARTS if name in vars(module)))


def replace_parts(model: nn.Module, **functions: Callable[..., Any]) -> None:
    """Let every module of a model that calls a part call the given function instead, in place.

    Args:
        model: built by a specification.
        functions: by the name of the part, each with the signature and the result of `PARTS[name]`; that function
            itself puts it back.

    Raises:
        ArchError: a name that is no part, or a part that no module of this model calls; nothing is replaced then.
    """
    held = parts_of(model)
    unknown = sorted(functions.keys() - held.keys())
    if unknown:
        raise ArchError(f"{', '.join(unknown)}: no module of this model calls it; its parts are {', '.join(held)}")
    for module in model.modules():
        for name, function in functions.items():
            if name in vars(module):
                setattr(module, name, function)
