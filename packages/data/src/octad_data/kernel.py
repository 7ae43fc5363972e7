"""Loops over bytes, compiled: the decorators of the package."""

from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function of numbers and numpy arrays at its first call; the machine code is kept for the next process.

    It works in the arrays that it is given and makes none, so that references need no counting (numba's `_nrt`), which
    in a small function takes most of its time. The plain Python stays reachable as `function.py_func`, which is what a
    reader steps through. Integers wrap around, indices are not checked, the interpreter's lock is released.

    Cost: a second or so once a machine, a few milliseconds once a process.
    """
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=False)(function))


def allocating_kernel(function: Function) -> Function:
    """As `kernel`, for a function that makes arrays or is given new ones by those that it calls."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy", _nrt=True)(function))


def _drop_stale_code(folder: Path) -> None:
    """Forget kept machine code when a source with kernels has changed since.

    numba looks at the file of the function alone, and would keep the old form of what it calls in other files.
    """
    sources = (file.read_bytes() for file in sorted(folder.glob("*.py")))
    stamp = sha256(b"".join(source for source in sources if b"kernel\ndef " in source)).hexdigest()
    kept = folder / "__pycache__" / "kernels.stamp"
    with suppress(OSError):  # a folder that cannot be written was installed whole, and does not change
        if kept.exists() and kept.read_text() == stamp:
            return
        kept.parent.mkdir(exist_ok=True)
        for pattern in ("*.nbi", "*.nbc"):
            for file in kept.parent.glob(pattern):
                file.unlink(missing_ok=True)
        kept.write_text(stamp)


_drop_stale_code(Path(__file__).parent)
