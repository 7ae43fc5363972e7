"""Loops over bytes, compiled: the one decorator of the package."""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function of numbers and numpy arrays at its first call; the machine code is kept for the next process.

    The plain Python stays reachable as `function.py_func`, which is what a reader steps through. Integers wrap around,
    indices are not checked, the interpreter's lock is released.

    Cost: a second or so once a machine, a few milliseconds once a process.
    """
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))
