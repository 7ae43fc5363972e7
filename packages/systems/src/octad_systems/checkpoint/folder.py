"""Saving a state to a folder so that the folder is whole or not there, and loading it back verified."""

import errno
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from torch import Tensor

from octad_systems.atomic import make_folders, replace_folder, sync_folder, temporary_sibling
from octad_systems.checkpoint.manifest import (
    MANIFEST,
    STATE,
    TENSORS,
    FileRecord,
    Manifest,
    read_manifest,
    verify_checkpoint,
)
from octad_systems.checkpoint.tensorfile import tensor_file_bytes, tensor_file_chunks
from octad_systems.checkpoint.tree import TreeEncoder, decode
from octad_systems.errors import CheckpointError
from octad_systems.memory import free_disk_bytes

_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_MANIFEST_RESERVE_BYTES = 1 << 14  # the manifest and the folder's own blocks, beside the counted bytes


def save_checkpoint(folder: str | Path, state: Mapping[str, Any], *, metadata: Mapping[str, Any] | None = None) -> Path:
    """Write `state` to `folder` so that a crash at any instant leaves the folder whole, or as it was before.

    Tensors go to `tensors.safetensors`, the rest to `state.json`, sizes and checksums to `manifest.json`; all in
    `<folder>.tmp-<random>`, flushed to the disk file by file, then renamed. One process writes (rank 0).

    Args:
        folder: where the checkpoint will be; an older checkpoint there is replaced in one step.
        state: tree of dict, list and tuple over tensors, numeric arrays, int, float (infinities, every NaN and -0.0
            come back bit for bit), bool, str, bytes, None. Keys may be integers, as in an optimizer's state_dict.
            Values that are the same tensor are stored once and are one tensor again after loading.
        metadata: small facts (step, loss) that `read_manifest` gives without loading; no tensors.

    Returns:
        `folder`, as a Path.

    Raises:
        CheckpointError: a value of another type (its place is named), a full disk (bytes needed and free are named) or
            another failed write, or `folder` holds something else than a checkpoint. What was there is untouched.

    Cost: one tensor at a time beyond what the state itself holds; every byte is written and checksummed once.
    """
    folder = Path(folder)
    if not isinstance(state, Mapping):
        raise CheckpointError(f"state is a {type(state).__name__}, not a mapping; save {{'state': ...}} instead")
    encoder = TreeEncoder()
    try:
        text = json.dumps(encoder.encode(state if isinstance(state, dict) else dict(state))).encode()
        Manifest({}, metadata or {}).to_bytes()  # unsupported metadata fails before anything is written
    except RecursionError as error:
        raise CheckpointError(
            "the state nests deeper than Python recurses; does a part of it contain itself?"
        ) from error
    needed = tensor_file_bytes(encoder.tensors) + len(text) + _MANIFEST_RESERVE_BYTES
    _check_target(folder)
    aside = temporary_sibling(folder)
    try:
        make_folders(folder.parent)
        _remove_leftovers(folder, are_whole_kept=True)
        _check_space(folder, needed)
        aside.mkdir()
        files = {
            STATE: _write(aside / STATE, [text]),
            TENSORS: _write(aside / TENSORS, tensor_file_chunks(encoder.tensors)),
        }
        _write(aside / MANIFEST, [Manifest(files, metadata or {}).to_bytes()])
        sync_folder(aside)
        replace_folder(aside, folder)
        _remove_leftovers(folder, are_whole_kept=False)
    except OSError as error:
        shutil.rmtree(aside, ignore_errors=True)
        raise _write_error(folder, needed, error) from error
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise
    return folder


def load_checkpoint(folder: str | Path, map_location: str | torch.device | None = "cpu") -> dict[str, Any]:
    """The state that `save_checkpoint` wrote, every file checked against the manifest before anything is used.

    Args:
        folder: what `save_checkpoint` returned or `latest_checkpoint` found.
        map_location: device of the tensors; None puts each on the device it was saved from. Arrays stay on the CPU, and
            a random generator's state must: `generator.set_state(state["rng"].cpu())`.

    Raises:
        CheckpointError: the folder is missing, torn, altered, of an unknown version, or needs an absent device.

    Cost: reads each file twice, the second time from memory where it fits; no pickle, so nothing in it can run.
    """
    folder = Path(folder)
    verify_checkpoint(folder)
    with safe_open(folder / TENSORS, framework="pt", device="cpu") as file:
        loaded: dict[str, Tensor] = {}

        def load(name: str, saved_device: str) -> Tensor:
            if name not in loaded:
                device = torch.device(saved_device if map_location is None else map_location)
                mapped = file.get_tensor(name)
                loaded[name] = _own_copy(mapped) if device.type == "cpu" else mapped.to(device)
            return loaded[name]

        try:
            state: dict[str, Any] = decode(json.loads((folder / STATE).read_bytes()), load)
        except (RuntimeError, AssertionError, NotImplementedError) as error:
            raise CheckpointError(
                f"{folder} needs a device that is absent ({error}); pass map_location='cpu'"
            ) from error
    return state


def _own_copy(mapped: Tensor) -> Tensor:
    """A copy in memory of a tensor behind which stands a mapped file, which would keep a pruned file's space taken.

    By memcpy and not by torch's copy: its threads wait for each other on a busy machine (measured 3.5 times slower).
    """
    copy = torch.empty_like(mapped)
    if mapped.numel():
        np.copyto(copy.reshape(-1).view(torch.uint8).numpy(), mapped.reshape(-1).view(torch.uint8).numpy())
    return copy


def is_checkpoint_folder(folder: Path) -> bool:
    """Whether a folder is ours, whole or torn: it has a manifest of ours, or nothing but files with our names."""
    if not folder.is_dir() or folder.is_symlink():
        return False
    try:
        read_manifest(folder)
    except CheckpointError:
        return {path.name for path in folder.iterdir()} <= {MANIFEST, STATE, TENSORS}
    return True


def leftovers_of(folder: Path) -> list[Path]:
    """Temporary folders that a stopped save of `folder` left behind."""
    prefix = f"{folder.name}.tmp-"
    if not folder.parent.is_dir():
        return []
    return sorted(path for path in folder.parent.iterdir() if path.name.startswith(prefix) and path.is_dir())


def _check_target(folder: Path) -> None:
    if (folder.exists() or folder.is_symlink()) and not is_checkpoint_folder(folder):
        raise CheckpointError(f"{folder} exists and is not a checkpoint; choose another name or move it away")


def _check_space(folder: Path, needed: int) -> None:
    if free_disk_bytes(folder) < needed:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _remove_leftovers(folder: Path, *, are_whole_kept: bool) -> None:
    """Delete what stopped saves left; a whole one may be the old half of a swap that was cut off, the only copy."""
    for leftover in leftovers_of(folder):
        if not (are_whole_kept and (leftover / MANIFEST).exists()):
            shutil.rmtree(leftover)


def _write(path: Path, chunks: Iterable[bytes | memoryview]) -> FileRecord:
    """Write and flush one file; its size and checksum are those of what was meant, not of what can be read back."""
    size, checksum = 0, 0
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(chunk)
            size, checksum = size + len(chunk), zlib.crc32(chunk, checksum)
        file.flush()
        os.fsync(file.fileno())
    return FileRecord(size, checksum)


def _write_error(folder: Path, needed: int, error: OSError) -> CheckpointError:
    if error.errno in _DISK_FULL:
        free = free_disk_bytes(folder)
        return CheckpointError(
            f"no space to save {folder}: {needed:,} bytes needed, {free:,} free; what was there is untouched; "
            "delete something (prune_checkpoints) or choose another disk"
        )
    return CheckpointError(f"cannot save {folder}: {error}; what was there is untouched")
