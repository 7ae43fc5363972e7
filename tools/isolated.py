"""Test every member alone, in an environment that holds only what it declares.

    python tools/isolated.py                       # all members
    python tools/isolated.py octad-arch octad      # some
    python tools/isolated.py --imports-only        # only look whether all that their modules import is there
    python tools/isolated.py --imports-of octad    # the same for these, and the tests of all others
    python tools/isolated.py --jobs 2              # two members at a time, each one's output when it is done

A package that imports what it does not declare fails here, although the whole workspace's tests pass.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from workspace import ROOT, Member, members

IMPORT_ALL = """
import ast, importlib, importlib.util, pathlib, pkgutil, sys
package = importlib.import_module(sys.argv[1])
extras, lost = set(sys.argv[2:]), set()
for module in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
    if not module.name.endswith("__main__"):
        try:
            importlib.import_module(module.name)
        except ModuleNotFoundError as error:  # a module that an extra is for, which the package itself must not import
            if (error.name or "").partition(".")[0] not in extras:
                raise
# What a function imports when it is called must be there too, unless an extra brings it.
for file in pathlib.Path(package.__path__[0]).rglob("*.py"):
    for node in ast.walk(ast.parse(file.read_bytes())):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module]
        for name in {name.partition(".")[0] for name in names} - extras:
            if importlib.util.find_spec(name) is None:
                lost.add(f"{file.name} imports {name}")
if lost:
    sys.exit("not declared: " + "; ".join(sorted(lost)))
"""


def commands(member: Member, imports_only: bool) -> dict[str, list[str]]:
    """What is run for one member."""
    alone = ["uv", "run", "--quiet", "--locked", "--isolated", "--exact", "--package", member.name]
    imports = [*alone, "--no-default-groups", "python", "-W", "error", "-c", IMPORT_ALL, member.module, *member.extras]
    tests = [*alone, "--no-default-groups", "--group", "test", "pytest", "-q", f"{member.path}/tests"]
    return {"imports": imports} if imports_only else {"imports": imports, "tests": tests}


def check(member: Member, imports_only: bool, is_shown: bool) -> tuple[list[str], str]:
    """The kinds of a member's runs that failed, and what they wrote where it is not shown as it comes."""
    start, failed, written = time.monotonic(), list[str](), list[str]()
    for kind, run in commands(member, imports_only).items():
        pipe = None if is_shown else subprocess.PIPE
        result = subprocess.run(run, cwd=ROOT, stdout=pipe, stderr=pipe and subprocess.STDOUT, text=True)
        failed += [f"{member.name} ({kind})"] if result.returncode else []
        written.append(result.stdout or "")
    return failed, f"{''.join(written)}{member.name}: {time.monotonic() - start:.1f} s"


def main() -> None:
    """Run them all, name every failure at the end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="PACKAGE")
    parser.add_argument("--imports-only", action="store_true")
    parser.add_argument("--imports-of", nargs="+", default=[], metavar="PACKAGE")
    parser.add_argument("--jobs", type=int, default=1, metavar="N")
    args = parser.parse_args()
    if args.jobs < 1:
        parser.error(f"--jobs {args.jobs}; at least one member is tested at a time")
    everyone = members()
    if unknown := {*args.names, *args.imports_of} - set(everyone):
        parser.error(f"no such package: {', '.join(sorted(unknown))}; there are {', '.join(everyone)}")
    failed = list[str]()
    with ThreadPoolExecutor(args.jobs) as pool:
        runs = [
            pool.submit(check, everyone[name], args.imports_only or name in args.imports_of, args.jobs == 1)
            for name in args.names or everyone
        ]
        for run in runs:
            lost, written = run.result()
            failed += lost
            print(written, flush=True)
    if failed:
        sys.exit("failed alone: " + "; ".join(failed))


if __name__ == "__main__":
    main()
