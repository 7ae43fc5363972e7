import errno
import json
import math
import os
import random
import shutil
import struct
from collections import OrderedDict
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_systems import (
    CheckpointError,
    load_checkpoint,
    read_manifest,
    save_checkpoint,
    verify_checkpoint,
)
from safetensors.torch import load_file

FILES = ["manifest.json", "state.json", "tensors.safetensors"]
DTYPES = [
    torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2,
    torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.complex64, torch.complex128, torch.int64, torch.int32,
    torch.int16, torch.int8, torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool,
]  # fmt: skip


def round_trip(tmp_path: Path, state: dict) -> dict:
    return load_checkpoint(save_checkpoint(tmp_path / "step-1", state))


def bits(tensor: torch.Tensor) -> bytes:
    return tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()


def same_values(left: object, right: object) -> bool:
    """Equality of types and bits, through containers."""
    if type(left) is not type(right):
        return False
    if isinstance(left, torch.Tensor):
        return left.dtype == right.dtype and left.shape == right.shape and bits(left) == bits(right)
    if isinstance(left, np.ndarray):
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    if isinstance(left, dict):
        pairs = zip(left.items(), right.items(), strict=True)
        return len(left) == len(right) and all(same_values(a, b) for a, b in pairs)
    if isinstance(left, (list, tuple)):
        return len(left) == len(right) and all(map(same_values, left, right))
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    return left == right


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (5, 7)], ids=str)
def test_checkpoint_keeps_every_dtype_and_shape(tmp_path: Path, dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    raw = torch.randint(0, 2, (*shape, dtype.itemsize), dtype=torch.uint8)
    tensor = raw.reshape(-1).view(dtype).reshape(shape)
    loaded = round_trip(tmp_path, {"x": tensor, "y": [tensor.clone()]})
    assert same_values(loaded, {"x": tensor, "y": [tensor]})


def test_checkpoint_keeps_views_by_value(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    state = {
        "t": base.T,
        "s": base[::2, 1::3],
        "e": base[:1].expand(3, 6),
        "c": torch.randn(3, dtype=torch.cfloat).conj(),
    }
    loaded = round_trip(tmp_path, state)
    for name, tensor in state.items():
        assert torch.equal(loaded[name], tensor.resolve_conj())
    assert loaded["t"].is_contiguous()


def test_checkpoint_stores_tied_tensors_once_and_ties_them_again(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.randn(1000, 8))
    state = {
        "embed": weight,
        "head": weight,
        "view": weight.detach(),
        "part": weight[:10],
        "equal": weight.detach().clone(),
    }
    folder = save_checkpoint(tmp_path / "c", state)
    loaded = load_checkpoint(folder)
    assert loaded["embed"] is loaded["head"] is loaded["view"]
    assert loaded["equal"] is not loaded["head"]
    assert torch.equal(loaded["equal"], weight)
    assert torch.equal(loaded["part"], weight[:10])
    assert (folder / "tensors.safetensors").stat().st_size < 2.1 * weight.numel() * 4


def test_checkpoint_tensors_are_their_own_memory(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", {"x": torch.zeros(10)})
    loaded = load_checkpoint(folder)
    loaded["x"].add_(1)
    shutil.rmtree(folder)
    assert loaded["x"].sum() == 10


def test_checkpoint_file_is_read_by_the_safetensors_library(tmp_path: Path) -> None:
    model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.LayerNorm(5, dtype=torch.bfloat16))
    folder = save_checkpoint(tmp_path / "c", {"model": model.state_dict(), "flag": torch.tensor(True)})
    tensors = load_file(folder / "tensors.safetensors")
    assert set(tensors) == {f"model/{name}" for name in model.state_dict()} | {"flag"}
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensors[f"model/{name}"], tensor)


def test_checkpoint_separates_names_that_look_alike(tmp_path: Path) -> None:
    state = {
        "a": {"b": torch.ones(1)},
        "a/b": torch.zeros(1),
        "__metadata__": torch.ones(2),
        1: torch.ones(3),
        "1": torch.ones(4),
    }
    assert same_values(round_trip(tmp_path, state), state)


ODD_VALUES = [
    10**400,
    -(2**2000),
    math.inf,
    -math.inf,
    math.nan,
    -0.0,
    5e-324,
    "\ud800",
    torch.Size([2, 3]),
    torch.half,
]
scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.sampled_from(ODD_VALUES)
)  # fmt: skip
keys = (
    st.text()
    | st.integers()
    | st.booleans()
    | st.floats(allow_nan=False)
    | st.none()
    | st.just("$")
    | st.tuples(st.integers())
)
trees = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(state=st.dictionaries(keys, trees, max_size=4))
def test_checkpoint_gives_back_any_tree(tmp_path_factory: pytest.TempPathFactory, state: dict) -> None:
    folder = tmp_path_factory.mktemp("tree")
    assert same_values(round_trip(folder, state), state)


def test_checkpoint_keeps_nan_payload_and_numpy_scalars(tmp_path: Path) -> None:
    payload = struct.unpack("d", struct.pack("Q", 0xFFF8_0000_0000_1234))[0]
    state = {
        "nan": payload,
        "big": 10**5000,
        "np": np.float64(1.5),
        "i": np.int8(-3),
        "b": np.bool_(True),
        "ro": np.broadcast_to(np.arange(3), (2, 3)),
    }
    assert same_values(round_trip(tmp_path, state), state)


def test_checkpoint_resumes_every_random_generator(tmp_path: Path) -> None:
    generator, numpy_new, numpy_old, python = (
        torch.Generator(),
        np.random.default_rng(3),
        np.random.RandomState(3),
        random.Random(3),
    )
    generator.manual_seed(3)
    state = {
        "torch": generator.get_state(),
        "new": numpy_new.bit_generator.state,
        "old": numpy_old.get_state(),
        "python": python.getstate(),
    }
    folder = save_checkpoint(tmp_path / "c", state)
    expected = torch.rand(5, generator=generator), numpy_new.random(5), numpy_old.rand(5), python.random()
    loaded = load_checkpoint(folder)
    generator.set_state(loaded["torch"])
    numpy_new.bit_generator.state = loaded["new"]
    numpy_old.set_state(loaded["old"])
    python.setstate(loaded["python"])
    assert torch.equal(expected[0], torch.rand(5, generator=generator))
    assert (expected[1] == numpy_new.random(5)).all()
    assert (expected[2] == numpy_old.rand(5)).all()
    assert expected[3] == python.random()


@pytest.mark.parametrize(
    "kind", [torch.optim.AdamW, torch.optim.SGD, torch.optim.Adafactor], ids=lambda kind: kind.__name__
)
def test_checkpoint_resumes_training_bit_for_bit(tmp_path: Path, kind: type[torch.optim.Optimizer]) -> None:
    def build() -> tuple[torch.nn.Module, torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(4, 6), torch.nn.BatchNorm1d(6), torch.nn.Linear(6, 1))
        extra = {"momentum": 0.9} if kind is torch.optim.SGD else {}
        groups = [
            {"params": list(model[0].parameters()), "weight_decay": 0.0},
            {"params": [*model[1].parameters(), *model[2].parameters()]},
        ]
        optimizer = kind(groups, lr=0.01, **extra)
        return model, optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 10)

    def train(model: torch.nn.Module, optimizer: torch.optim.Optimizer, schedule: object, steps: range) -> None:
        for step in steps:
            x = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
            model(x).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()

    straight = build()
    train(*straight, range(6))
    stopped = build()
    train(*stopped, range(3))
    state = {
        "model": stopped[0].state_dict(),
        "optimizer": stopped[1].state_dict(),
        "schedule": stopped[2].state_dict(),
    }
    loaded = round_trip(tmp_path, state)
    assert list(loaded["optimizer"]["state"]) == list(state["optimizer"]["state"])
    assert all(type(key) is int for key in loaded["optimizer"]["state"])
    assert same_values(loaded, state)
    assert loaded["model"]._metadata == state["model"]._metadata
    resumed = build()
    for part, name in zip(resumed, state, strict=True):
        part.load_state_dict(loaded[name])
    train(*resumed, range(3, 6))
    assert same_values(resumed[0].state_dict(), straight[0].state_dict())


class Odd:
    pass


@pytest.mark.parametrize(
    "value",
    [
        Odd(), {1, 2}, lambda: 0, np.array(["a"], dtype=object), np.array([1.0], dtype=">f8"), 1 + 2j,
        torch.empty(2, device="meta"), torch.eye(2).to_sparse(), type("Text", (str,), {})("x"), OrderedDict(a=Odd()),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_checkpoint_refuses_what_it_cannot_give_back(tmp_path: Path, value: object) -> None:
    with pytest.raises(CheckpointError, match="deep/0"):
        save_checkpoint(tmp_path / "c", {"deep": [value]})
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_takes_any_mapping_and_nothing_else(tmp_path: Path) -> None:
    assert round_trip(tmp_path, MappingProxyType({"x": 1})) == {"x": 1}
    module = torch.nn.BatchNorm1d(2).state_dict()
    loaded = round_trip(tmp_path, module)
    assert type(loaded) is OrderedDict
    assert loaded._metadata == module._metadata
    with pytest.raises(CheckpointError, match="state is a list"):
        save_checkpoint(tmp_path / "c", [1])


def test_checkpoint_refuses_a_state_that_contains_itself(tmp_path: Path) -> None:
    state: dict = {}
    state["self"] = state
    with pytest.raises(CheckpointError, match="contain itself"):
        save_checkpoint(tmp_path / "c", state)


def test_checkpoint_metadata_reads_without_loading(tmp_path: Path) -> None:
    folder = save_checkpoint(
        tmp_path / "c", {"x": torch.ones(3)}, metadata={"step": 600, "loss": math.inf, "tags": ("a",)}
    )
    manifest = read_manifest(folder)
    assert manifest.metadata == {"step": 600, "loss": math.inf, "tags": ("a",)}
    assert manifest.size_bytes == sum((folder / name).stat().st_size for name in FILES[1:])
    with pytest.raises(CheckpointError, match="metadata/x is a tensor"):
        save_checkpoint(tmp_path / "d", {}, metadata={"x": torch.ones(1)})


@pytest.mark.parametrize("name", FILES)
def test_checkpoint_notices_every_flipped_byte_and_every_length(tmp_path: Path, name: str) -> None:
    folder = save_checkpoint(tmp_path / "c", {"x": torch.arange(5.0), "s": "text"}, metadata={"step": 1})
    whole = (folder / name).read_bytes()
    rng = random.Random(0)
    for position in range(len(whole)):
        altered = bytearray(whole)
        altered[position] ^= 1 << rng.randrange(8)
        (folder / name).write_bytes(altered)
        with pytest.raises(CheckpointError):
            load_checkpoint(folder)
    for length in range(len(whole)):
        (folder / name).write_bytes(whole[:length])
        with pytest.raises(CheckpointError):
            load_checkpoint(folder)
    (folder / name).write_bytes(whole + b" ")
    with pytest.raises(CheckpointError):
        verify_checkpoint(folder)
    (folder / name).unlink()
    with pytest.raises(CheckpointError, match=name):
        verify_checkpoint(folder)
    (folder / name).write_bytes(whole)
    assert load_checkpoint(folder)["s"] == "text"


def test_checkpoint_names_an_unknown_version(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", {})
    body = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**body, "version": 7}))
    with pytest.raises(CheckpointError, match="version 7"):
        load_checkpoint(folder)


def test_checkpoint_replaces_an_older_one_but_nothing_else(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", {"step": 1})
    save_checkpoint(folder, {"step": 2})
    assert load_checkpoint(folder) == {"step": 2}
    (folder / "manifest.json").write_text("torn")
    save_checkpoint(folder, {"step": 3})
    assert load_checkpoint(folder) == {"step": 3}
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("dear")
    (tmp_path / "file").write_text("x")
    (tmp_path / "link").symlink_to(folder)
    for name in ("home", "file", "link"):
        with pytest.raises(CheckpointError, match="not a checkpoint"):
            save_checkpoint(tmp_path / name, {})
    assert (tmp_path / "home" / "letter.txt").read_text() == "dear"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["c", "file", "home", "link"]


def test_checkpoint_replaces_where_names_cannot_be_exchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octad_systems.atomic._exchange", lambda first, second: False)
    folder = save_checkpoint(tmp_path / "c", {"step": 1})
    save_checkpoint(folder, {"step": 2})
    assert load_checkpoint(folder) == {"step": 2}
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


@pytest.mark.parametrize("call", range(1, 9))
def test_checkpoint_failed_flush_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    folder = save_checkpoint(tmp_path / "c", {"step": 1, "x": torch.ones(4)})
    fsync, calls = os.fsync, []

    def failing(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, "No space left on device")
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", failing)
    if call <= 4:  # three files and their folder: everything that comes before the rename
        with pytest.raises(CheckpointError, match=r"[\d,]+ bytes needed, [\d,]+ free"):
            save_checkpoint(folder, {"step": 2, "x": torch.zeros(4)})
        assert load_checkpoint(folder)["step"] == 1
    else:
        try:
            save_checkpoint(folder, {"step": 2, "x": torch.zeros(4)})
        except CheckpointError:
            assert len(calls) >= call
        assert load_checkpoint(folder)["step"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["c"]


def test_checkpoint_counts_the_space_before_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(CheckpointError, match=r"4,0\d\d,\d+ bytes needed, 1,000 free"):
        save_checkpoint(tmp_path / "c", {"x": torch.zeros(1_000_000)})
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_interrupted_save_leaves_nothing_aside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("octad_systems.checkpoint.folder.replace_folder", stop)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(tmp_path / "c", {"step": 1})
    assert list(tmp_path.iterdir()) == []


def test_checkpoint_errors_name_an_unwritable_parent(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="cannot save"):
        save_checkpoint(tmp_path / "file" / "c", {})


def test_checkpoint_map_location_moves_tensors(tmp_path: Path) -> None:
    folder = save_checkpoint(tmp_path / "c", {"x": torch.ones(2)})
    assert load_checkpoint(folder, "meta")["x"].device.type == "meta"
    assert load_checkpoint(folder, None)["x"].device.type == "cpu"
    if not torch.cuda.is_available():
        with pytest.raises(CheckpointError, match="absent"):
            load_checkpoint(folder, "cuda")
