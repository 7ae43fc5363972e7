"""The jobs of the continuous integration: changed members and their dependents times Python versions.

    python tools/matrix.py --since origin/main     # one JSON line for GitHub's `strategy.matrix`

A change outside every member (the root's pyproject, the lock, the workflows, the tools) means all of them.
"""

from __future__ import annotations

import argparse
import json
import subprocess

from workspace import ROOT, Member, dependents, members

PYTHONS = ("3.11", "3.12", "3.13")
PROSE = (".md", "LICENSE")  # outside the members these change no package


def changed_members(files: list[str], everyone: dict[str, Member]) -> set[str]:
    """The members whose tests a change of `files` can affect, before dependents are added."""
    changed: set[str] = set()
    for file in files:
        owner = next((m.name for m in everyone.values() if file.startswith(m.path + "/")), None)
        if owner is not None:
            changed.add(owner)
        elif not file.endswith(PROSE):
            return set(everyone)
    return changed


def matrix(files: list[str] | None) -> dict[str, list[dict[str, str]]]:
    """GitHub's matrix for a change of `files`; None means everything."""
    everyone = members()
    chosen = set(everyone) if files is None else dependents(changed_members(files, everyone), everyone)
    jobs = [
        {"package": name, "path": everyone[name].path, "python": python}
        for name in sorted(chosen)
        for python in PYTHONS
    ]
    return {"include": jobs}


def main() -> None:
    """Print the matrix."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--since", help="a commit: only what changed since then; without it, everything")
    since = parser.parse_args().since
    files = None
    if since:
        command = ["git", "-C", str(ROOT), "diff", "--name-only", f"{since}...HEAD"]
        files = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split("\n")[:-1]
    print(json.dumps(matrix(files)))


if __name__ == "__main__":
    main()
