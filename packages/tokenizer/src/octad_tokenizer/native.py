"""The C engine where it was built; the pure Python reference does the same work where it was not.

Whoever has a fast path looks at `native.engine` when it is called, not when it is imported, so that a test can set it
to None and see the reference at work.
"""

from __future__ import annotations

import warnings
from array import array
from collections.abc import Iterable
from itertools import accumulate
from types import ModuleType

engine: ModuleType | None
try:
    from octad_tokenizer import _engine

    engine = _engine
except ImportError:
    engine = None

MISSING = (
    "octad-tokenizer's C engine is not installed, so training and encoding run in pure Python: the same results, but "
    "slowly. Install a wheel (pip install --force-reinstall --only-binary octad-tokenizer octad-tokenizer), or a C "
    "compiler (gcc, clang or MSVC) and then this package again."
)

_warned = False


def engine_or_warn() -> ModuleType | None:
    """The engine; or None and, the first time in a process, a `RuntimeWarning` that says what to install."""
    global _warned
    if engine is None and not _warned:
        _warned = True
        warnings.warn(MISSING, RuntimeWarning, stacklevel=3)
    return engine


def packed(tokens: Iterable[bytes], ids: Iterable[int]) -> tuple[bytes, array[int], array[int]]:
    """Tokens as the engine takes them: their bytes joined, where each ends, and their ids.

    Raises:
        OverflowError: an id or the joined length needs more than 32 bits.
    """
    tokens = list(tokens)
    return b"".join(tokens), array("I", accumulate(map(len, tokens))), array("I", ids)
