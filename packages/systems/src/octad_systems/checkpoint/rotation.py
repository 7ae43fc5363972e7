"""Which checkpoint of a run to resume from, and which to delete."""

import fnmatch
import re
import shutil
from pathlib import Path

from octad_systems.atomic import remove_folder
from octad_systems.checkpoint.folder import is_checkpoint_folder
from octad_systems.checkpoint.manifest import read_manifest, verify_checkpoint
from octad_systems.errors import CheckpointError, SystemsError, UnknownVersionError

_TEMPORARY = re.compile(r"\.tmp-[0-9a-f]{8}$")


def latest_checkpoint(run_dir: str | Path, pattern: str = "step-*") -> tuple[Path | None, list[str]]:
    """The newest checkpoint of a run that is whole, and what is wrong with each newer one.

    Newest means the largest number in the name (`step-1000` after `step-999`), never a file time: copies change those.

    Args:
        run_dir: folder that holds the checkpoints; a missing one is a run that has not begun: `(None, [])`.
        pattern: glob of the checkpoints' names.

    Returns:
        (path, problems): path is None if no checkpoint is whole; each problem is one line, the folder's name first.

    Cost: reads whole checkpoints, newest first, until one is good.
    """
    problems: list[str] = []
    for folder in _newest_first(Path(run_dir), pattern):
        try:
            verify_checkpoint(folder)
        except CheckpointError as error:
            problems.append(f"{folder.name}: {error}")
        else:
            return folder, problems
    return None, problems


def prune_checkpoints(run_dir: str | Path, keep: int, pattern: str = "step-*") -> list[Path]:
    """Delete all but the newest `keep` good checkpoints; the newest one that verifies always stays.

    Older than the last one kept, torn checkpoints go too; newer torn ones stay to be seen. Never deleted: a checkpoint
    of an unknown version, a folder that is no checkpoint, anything at all while no checkpoint verifies. Leftovers of
    stopped saves are deleted, so call it from the process that saves, between saves.

    Args:
        run_dir: folder that holds the checkpoints.
        keep: how many good ones to keep, at least 1.
        pattern: glob of the checkpoints' names.

    Returns:
        The deleted checkpoints, newest first.

    Raises:
        SystemsError: keep < 1.

    Cost: reads one checkpoint whole; of the others the manifest and the sizes.
    """
    if keep < 1:
        raise SystemsError(f"keep={keep} would delete the last checkpoint; use keep=1 or more")
    run_dir = Path(run_dir)
    kept, deleted = 0, []
    for folder in _newest_first(run_dir, pattern):
        if kept < keep:
            kept += _is_good(folder, is_quick=kept > 0)
        elif is_checkpoint_folder(folder) and not _is_of_unknown_version(folder):
            remove_folder(folder)
            deleted.append(folder)
    if kept:
        for leftover in _matches(run_dir, pattern, is_temporary=True):
            shutil.rmtree(leftover)
    return deleted


def _newest_first(run_dir: Path, pattern: str) -> list[Path]:
    return sorted(_matches(run_dir, pattern, is_temporary=False), key=_natural_order, reverse=True)


def _matches(run_dir: Path, pattern: str, *, is_temporary: bool) -> list[Path]:
    """What is named by the pattern, or what a stopped save or deletion of such a name left aside."""
    if not run_dir.is_dir():
        return []
    entries = [path for path in run_dir.iterdir() if bool(_TEMPORARY.search(path.name)) is is_temporary]
    return [path for path in entries if fnmatch.fnmatchcase(_TEMPORARY.sub("", path.name), pattern)]


def _natural_order(path: Path) -> list[tuple[int, int, str]]:
    """A key that compares runs of digits as numbers: step-9 < step-10 < step-10b."""
    parts = re.findall(r"[0-9]+|[^0-9]+", path.name)
    return [(1, int(part), part) if part[0] in "0123456789" else (0, 0, part) for part in parts]


def _is_good(folder: Path, *, is_quick: bool) -> bool:
    try:
        verify_checkpoint(folder, is_quick=is_quick)
    except CheckpointError:
        return False
    return True


def _is_of_unknown_version(folder: Path) -> bool:
    try:
        read_manifest(folder)
    except UnknownVersionError:
        return True
    except CheckpointError:
        return False
    return False
