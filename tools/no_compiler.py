"""Install octad-tokenizer's source where no C compiler is, and see the pure Python reference take over.

    python tools/no_compiler.py

The build must not fail, the wheel must hold no engine, and what is installed must work after one warning that says
what to install.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

from workspace import ROOT

PACKAGE = "octad-tokenizer"
USE = """
import warnings
import octad_tokenizer
from octad_tokenizer import native
assert native.engine is None, native.engine
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    tokenizer = octad_tokenizer.train_bpe(["low lower lowest"] * 9, vocab_size=262)
    assert tokenizer.decode(tokenizer.encode("lower, é")) == "lower, é"
    octad_tokenizer.train_bpe(["low lower lowest"] * 9, vocab_size=262)
messages = [str(warning.message) for warning in caught]
assert messages == [native.MISSING], messages
"""


def main() -> None:
    """Build, look inside, install, use."""
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    with tempfile.TemporaryDirectory() as name:
        box = Path(name)

        def run(*command: str | Path) -> None:
            subprocess.run([str(part) for part in command], check=True, cwd=ROOT, env=environment)

        run("uv", "build", "--quiet", "--package", PACKAGE, "--sdist", "--out-dir", box)
        environment["CC"] = environment["CXX"] = str(box / "there-is-no-compiler")
        (sdist,) = box.glob("*.tar.gz")
        run("uv", "build", "--quiet", "--wheel", "--out-dir", box, sdist)
        (wheel,) = box.glob("*.whl")
        if engines := [n for n in zipfile.ZipFile(wheel).namelist() if n.endswith((".so", ".pyd"))]:
            raise SystemExit(f"{wheel.name} holds {engines}, although there was no compiler; is CC still read?")
        python = box / "venv" / "bin" / "python"
        run("uv", "venv", "--quiet", box / "venv")
        run("uv", "pip", "install", "--quiet", "--python", python, wheel)
        run(python, "-c", USE)
    print(f"{PACKAGE} works without a compiler")


if __name__ == "__main__":
    main()
