"""What the workspace is made of, read from its pyproject files: members, their folders, who depends on whom."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Member:
    """One distribution of the workspace."""

    name: str
    version: str
    folder: Path
    needs: frozenset[str]  # names of the other members that it requires
    extras: frozenset[str] = frozenset()  # modules that only its extras bring

    @property
    def module(self) -> str:
        """Its import name: `octad-arch` is `octad_arch`."""
        return self.name.replace("-", "_")

    @property
    def path(self) -> str:
        """Its folder, relative to the root."""
        return self.folder.relative_to(ROOT).as_posix()


def members() -> dict[str, Member]:
    """Every member by name, those without needs first."""
    found = {}
    for file in [*sorted(ROOT.glob("packages/*/pyproject.toml")), ROOT / "integration" / "pyproject.toml"]:
        project = tomllib.loads(file.read_text())["project"]
        required = set(map(_distribution, project.get("dependencies", [])))
        optional = {
            _distribution(line) for lines in project.get("optional-dependencies", {}).values() for line in lines
        }
        extras = frozenset(name.replace("-", "_") for name in optional - required)
        needs = frozenset(name for name in required if name == "octad" or name.startswith("octad-"))
        found[project["name"]] = Member(project["name"], project["version"], file.parent, needs, extras)
    return found


def _distribution(requirement: str) -> str:
    return re.split(r"[\s\[<>=!~;]", requirement, maxsplit=1)[0]


def dependents(changed: set[str], everyone: dict[str, Member]) -> set[str]:
    """`changed` and every member that needs one of them, directly or not."""
    reached = set(changed)
    while more := {m.name for m in everyone.values() if m.needs & reached} - reached:
        reached |= more
    return reached
