"""The C engine, built where there is a compiler; without one the package installs all the same."""

from __future__ import annotations

import sys
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel

ENGINE = Path("src/octad_tokenizer/engine")
COMPILER_FLAGS = ["/O2", "/std:c11"] if sys.platform == "win32" else ["-std=c11", "-O3", "-fvisibility=hidden"]


class StableWheel(bdist_wheel):
    """One wheel for CPython 3.11 and later."""

    def finalize_options(self) -> None:
        """As `--py-limited-api cp311`."""
        self.py_limited_api = "cp311"
        super().finalize_options()


setup(
    ext_modules=[
        Extension(
            "octad_tokenizer._engine",
            sources=sorted(path.as_posix() for path in ENGINE.glob("*.c")),
            depends=sorted(path.as_posix() for path in ENGINE.glob("*.h")),
            define_macros=[("Py_LIMITED_API", "0x030B0000")],
            extra_compile_args=COMPILER_FLAGS,
            py_limited_api=True,
            optional=True,
        )
    ],
    cmdclass={"bdist_wheel": StableWheel},
)
