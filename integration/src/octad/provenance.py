"""Which code made a run: the commit of the checkout that this package runs from, or its version."""

from __future__ import annotations

import subprocess
from importlib.metadata import version
from pathlib import Path


def commit() -> str:
    """`git describe` of the checkout that tracks this file; without one, `octad` and its version.

    An installed package may lie inside of another project's checkout, whose commit would say nothing of it.
    """
    here = Path(__file__).resolve()
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is not None:
        described = _git(here.parent, "describe", "--always", "--dirty", "--tags")
        if described:
            return described
    return f"octad {version('octad')}"


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):  # no git here
        return None
    return done.stdout.strip() if done.returncode == 0 else None
