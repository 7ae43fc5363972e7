"""Test every member alone, in an environment that holds only what it declares.

    python tools/isolated.py                       # all members
    python tools/isolated.py octad-arch octad      # some
    python tools/isolated.py --imports-only        # only import every module and ask for the version

A package that imports what it does not declare fails here, although the whole workspace's tests pass.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

from workspace import ROOT, Member, members

IMPORT_ALL = """
import importlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


def commands(member: Member, imports_only: bool) -> list[list[str]]:
    """What is run for one member."""
    alone = ["uv", "run", "--quiet", "--locked", "--isolated", "--exact", "--package", member.name]
    imports = [*alone, "--no-default-groups", "python", "-W", "error", "-c", IMPORT_ALL, member.module]
    tests = [*alone, "--no-default-groups", "--group", "test", "pytest", "-q", f"{member.path}/tests"]
    return [imports] if imports_only else [imports, tests]


def main() -> None:
    """Run them all, name every failure at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="PACKAGE")
    parser.add_argument("--imports-only", action="store_true")
    args = parser.parse_args()
    everyone = members()
    if unknown := set(args.names) - set(everyone):
        parser.error(f"no such package: {', '.join(sorted(unknown))}; there are {', '.join(everyone)}")
    failed = []
    for name in args.names or everyone:
        start = time.monotonic()
        runs = commands(everyone[name], args.imports_only)
        failed += [" ".join(command[4:]) for command in runs if subprocess.run(command, cwd=ROOT).returncode]
        print(f"{name}: {time.monotonic() - start:.1f} s", flush=True)
    if failed:
        sys.exit("failed alone: " + "; ".join(failed))


if __name__ == "__main__":
    main()
