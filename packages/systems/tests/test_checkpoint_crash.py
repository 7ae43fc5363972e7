import os
import random
import shutil
import signal
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from octad_systems import (
    CheckpointError,
    SystemsError,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    read_manifest,
    save_checkpoint,
)


def fork_saver(run_dir: Path, start: int, *, is_same_folder: bool) -> int:
    """A child that saves again and again until it is killed; its state proves its own consistency."""
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore", DeprecationWarning
        )  # Python 3.12 warns of fork beside threads; the child starts none
        pid = os.fork()
    if pid:
        return pid
    try:
        for step in range(start, start + 100_000):
            name = "step-last" if is_same_folder else f"step-{step}"
            save_checkpoint(
                run_dir / name,
                {"step": step, "x": torch.full((3000,), step), "y": [torch.full((7,), step)]},
                metadata={"step": step},
            )
            if not is_same_folder:
                prune_checkpoints(run_dir, keep=2)
    finally:
        os._exit(1)


def has_advanced(run_dir: Path) -> bool:
    path, _ = latest_checkpoint(run_dir)
    try:
        return path is not None and read_manifest(path).metadata["step"] > 0
    except CheckpointError:
        return True  # replaced or pruned since: the child is at work


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.parametrize("is_same_folder", [False, True], ids=["new folders", "one folder replaced"])
def test_checkpoint_latest_is_whole_after_kill_at_any_moment(tmp_path: Path, is_same_folder: bool) -> None:
    rng, step = random.Random(0), 0
    save_checkpoint(
        tmp_path / ("step-last" if is_same_folder else "step-0"),
        {"step": 0, "x": torch.zeros(3000), "y": [torch.zeros(7)]},
        metadata={"step": 0},
    )
    for round_ in range(20):
        pid = fork_saver(tmp_path, step + 1, is_same_folder=is_same_folder)
        deadline = time.monotonic() + 20
        while round_ == 0 and time.monotonic() < deadline and not has_advanced(tmp_path):
            time.sleep(0.01)  # on a busy machine a child may be killed each time before its first save ends
        time.sleep(rng.uniform(0.005, 0.05))
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        path, problems = latest_checkpoint(tmp_path)
        assert path is not None
        assert problems == []
        state = load_checkpoint(path)
        assert state["step"] >= step
        step = state["step"]
        assert (state["x"] == step).all()
        assert (state["y"][0] == step).all()
    assert step > 0
    save_checkpoint(tmp_path / "step-last", {"step": step})
    prune_checkpoints(tmp_path, keep=1)
    assert not [path for path in tmp_path.iterdir() if ".tmp-" in path.name]


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("needs root to mount a tiny file system")
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("this machine does not let root mount a tmpfs")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("is_space_counted", [True, False], ids=["counted before", "found while writing"])
def test_checkpoint_full_disk_leaves_the_older_one(
    tiny_disk: Path, monkeypatch: pytest.MonkeyPatch, is_space_counted: bool
) -> None:
    if not is_space_counted:  # another process may take the space after it was counted
        monkeypatch.setattr("octad_systems.checkpoint.folder._check_space", lambda folder, needed: None)
    folder = save_checkpoint(tiny_disk / "step-1", {"x": torch.ones(50_000)})
    for target in (folder, tiny_disk / "step-2"):
        with pytest.raises(CheckpointError, match=r"bytes needed, [\d,]+ free"):
            save_checkpoint(target, {"x": torch.zeros(250_000)})
    assert [path.name for path in tiny_disk.iterdir()] == ["step-1"]
    assert load_checkpoint(folder)["x"].sum() == 50_000


def test_latest_falls_back_and_names_each_bad_one(tmp_path: Path) -> None:
    for step in (8, 9, 10, 11, 100):
        save_checkpoint(tmp_path / f"step-{step}", {"step": step})
    assert latest_checkpoint(tmp_path) == (tmp_path / "step-100", [])
    (tmp_path / "step-100" / "tensors.safetensors").unlink()
    manifest = tmp_path / "step-11" / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 2'))
    (tmp_path / "step-10" / "state.json").write_text("{")
    (tmp_path / "step-200").mkdir()
    (tmp_path / "step-300").write_text("a file")
    (tmp_path / "step-400.tmp-00000000").mkdir()
    path, problems = latest_checkpoint(tmp_path)
    assert path == tmp_path / "step-9"
    assert [problem.split(":")[0] for problem in problems] == ["step-300", "step-200", "step-100", "step-11", "step-10"]
    for problem, reason in zip(problems, ("not a folder", "manifest", "missing", "version 2", "torn"), strict=True):
        assert reason in problem


def test_latest_of_nothing_is_none(tmp_path: Path) -> None:
    assert latest_checkpoint(tmp_path) == (None, [])
    assert latest_checkpoint(tmp_path / "not yet") == (None, [])
    save_checkpoint(tmp_path / "epoch-3", {})
    assert latest_checkpoint(tmp_path) == (None, [])
    assert latest_checkpoint(tmp_path, "epoch-*") == (tmp_path / "epoch-3", [])


def test_prune_keeps_the_newest_good_ones(tmp_path: Path) -> None:
    folders = [save_checkpoint(tmp_path / f"step-{step}", {"step": step, "x": torch.ones(9)}) for step in range(1, 13)]
    for step in (12, 10, 3):
        (folders[step - 1] / "tensors.safetensors").write_bytes(b"")
    manifest = folders[1] / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"version": 1', '"version": 2'))
    (tmp_path / "step-0-notes").mkdir()
    (tmp_path / "step-0-notes" / "why.txt").write_text("kept")
    (tmp_path / "step-7.tmp-0123abcd").mkdir()
    deleted = prune_checkpoints(tmp_path, keep=3)
    assert [path.name for path in deleted] == ["step-7", "step-6", "step-5", "step-4", "step-3", "step-1"]
    assert {path.name for path in tmp_path.iterdir()} == {
        "step-0-notes",
        "step-2",
        *(f"step-{step}" for step in (8, 9, 10, 11, 12)),
    }
    assert prune_checkpoints(tmp_path, keep=3) == []


def test_prune_never_deletes_the_last_good_one(tmp_path: Path) -> None:
    folders = [save_checkpoint(tmp_path / f"step-{step}", {"x": torch.ones(9)}) for step in range(5)]
    for folder in folders[2:]:
        data = bytearray((folder / "tensors.safetensors").read_bytes())
        data[-1] ^= 1
        (folder / "tensors.safetensors").write_bytes(data)
    assert prune_checkpoints(tmp_path, keep=1) == [folders[0]]
    assert latest_checkpoint(tmp_path)[0] == folders[1]
    (folders[1] / "state.json").unlink()
    assert prune_checkpoints(tmp_path, keep=1) == []
    with pytest.raises(SystemsError, match="keep=0"):
        prune_checkpoints(tmp_path, keep=0)
    assert prune_checkpoints(tmp_path / "absent", keep=1) == []
