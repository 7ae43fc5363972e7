"""Build every member's wheel, install them all together in a clean environment, check that they agree, and use them.

uv does not compare version ranges between workspace members; only this does.

    python tools/wheels.py [--out DIR]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
import zipfile
from pathlib import Path

from workspace import ROOT, Member, members

USE = """
import importlib.metadata, importlib.resources, sys
for line in sys.argv[1:]:
    name, version, module = line.split(",")
    assert importlib.metadata.version(name) == version, (name, version)
    assert (importlib.resources.files(module) / "py.typed").is_file(), module
"""


def run(*command: str | Path, **options: object) -> None:
    """Run a command in the root, loudly."""
    subprocess.run([str(part) for part in command], check=True, cwd=ROOT, **options)  # type: ignore[call-overload]


ENGINES = ("octad_tokenizer",)  # the wheels that hold compiled code
KERNELS = ("octad_systems",)  # those that hold C sources, which the user's machine compiles


def check_contents(wheel: Path) -> None:
    """A wheel holds its package and licence, its engine or kernels if it has them, and no tests and no other C."""
    names = zipfile.ZipFile(wheel).namelist()
    sources = [n for n in names if n.endswith((".c", ".h"))]
    stray = [n for n in names if "/tests/" in n or n.startswith(("tests/", "benchmarks/"))]
    if wheel.name.startswith(KERNELS):
        if not sources:
            raise SystemExit(f"{wheel.name} holds no kernels")
    else:
        stray += sources
    has_licence = any(n.endswith("licenses/LICENSE") for n in names)
    if stray or not has_licence:
        raise SystemExit(f"{wheel.name}: stray files {stray}, licence present: {has_licence}")
    if wheel.name.startswith(ENGINES) and not any(n.endswith((".abi3.so", ".pyd")) for n in names):
        raise SystemExit(f"{wheel.name} holds no engine; is there a C compiler?")


def check_together(wheels: list[Path], everyone: dict[str, Member], box: Path) -> None:
    """Install the wheels in a clean environment with the locked versions of everything else, and use them."""
    constraints = box / "locked.txt"
    export = [
        "uv",
        "export",
        "--quiet",
        "--locked",
        "--no-hashes",
        "--no-emit-workspace",
        "--no-annotate",
        "--all-extras",
    ]
    run(*export, "--output-file", constraints, stdout=subprocess.DEVNULL)
    environment = {k: v for k, v in os.environ.items() if k not in ("VIRTUAL_ENV", "PYTHONPATH")}
    python = box / "venv" / "bin" / "python"
    run("uv", "venv", "--quiet", box / "venv", env=environment)
    run("uv", "pip", "install", "--quiet", "--python", python, "--constraint", constraints, *wheels, env=environment)
    run("uv", "pip", "check", "--python", python, env=environment)
    lines = [f"{m.name},{m.version},{m.module}" for m in everyone.values()]
    run(python, "-c", USE, *lines, env=environment)
    run(python.parent / "octad", "--help", env=environment, stdout=subprocess.DEVNULL)


def main() -> None:
    """Build, look inside, install, check."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="keep the wheels here")
    args = parser.parse_args()
    everyone = members()
    with tempfile.TemporaryDirectory() as name:
        box = Path(name)
        out = args.out or box / "dist"
        run("uv", "build", "--quiet", "--all-packages", "--wheel", "--out-dir", out)
        wheels = sorted(out.glob("*.whl"))
        if len(wheels) != len(everyone):
            raise SystemExit(f"{len(wheels)} wheels for {len(everyone)} members in {out}; start from an empty folder")
        for wheel in wheels:
            check_contents(wheel)
        check_together(wheels, everyone, box)
    print(f"{len(everyone)} wheels agree")


if __name__ == "__main__":
    main()
