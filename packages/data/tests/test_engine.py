import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from octad_data import Processes, Recipe, TokenShards, run
from octad_data.engine import finished_run, split_at_barriers
from octad_data.errors import DataError
from octad_data.parts import read_dropped, read_kept

MODULES = Path(__file__).parent / "modules"
STEPS = "steps_of_tests"


@pytest.fixture(autouse=True)
def importable_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(MODULES)


def texts(run: Any) -> list[str]:
    return [text for part in run.parts for text in read_kept(part).column("text").to_pylist()]


def files_of(folder: Path) -> dict[str, str]:
    """Every file that a run leaves, save its lock and report, and a hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name not in (".lock", "report.html")  # which names its folder
    }


def corpus(folder: Path, documents: list[str]) -> Path:
    folder.mkdir(exist_ok=True)
    rows = "".join(json.dumps({"text": text}) + "\n" for text in documents)
    (folder / "rows.jsonl").write_text(rows)
    return folder


def recipe(source: Path, *steps: str, documents: int = 10, **more: Any) -> Recipe:
    return Recipe.from_table(
        {
            "source": [{"use": "files", "path": str(source)}],
            "step": [{"use": f"{STEPS}:{step}"} for step in steps],
            "batching": {"documents": documents},
            **more,
        }
    )


@pytest.fixture
def words(tmp_path: Path) -> Path:
    return corpus(tmp_path / "corpus", [f"text number {number}" for number in range(95)])


def test_a_run_keeps_the_order_and_says_what_went(tmp_path: Path, words: Path) -> None:
    done = run(recipe(words, "Upper"), tmp_path / "run", Processes(workers=0))
    assert texts(done) == [f"TEXT NUMBER {number}" for number in range(95)]
    table = Recipe.from_table(
        {"source": [{"use": "files", "path": str(words)}], "step": [{"use": f"{STEPS}:AtLeast", "size": 14}]}
    )
    done = run(table, tmp_path / "run", Processes(workers=0))
    assert texts(done) == [f"text number {number}" for number in range(10, 95)]
    assert done.counts[-1].dropped == {"at_least": [10, 130]}
    assert finished_run(tmp_path / "run") == done
    rows = [row for part in done.parts for row in read_dropped(part).to_pylist()]
    assert [row["text"] for row in rows] == [f"text number {number}" for number in range(10)]
    assert {(row["dropped_by"], row["dropped_value"]) for row in rows} == {("at_least", 13.0)}


def test_processes_write_what_one_process_does(tmp_path: Path, words: Path) -> None:
    wanted = recipe(words, "Upper", "First", tokens={"tokenizer": "bytes"})
    run(wanted, tmp_path / "one", Processes(workers=0))
    run(wanted, tmp_path / "three", Processes(workers=3))
    assert files_of(tmp_path / "one") == files_of(tmp_path / "three")


def test_a_barrier_sees_all_documents(tmp_path: Path) -> None:
    source = corpus(tmp_path / "corpus", ["a", "b", "a", "c", "b", "d"])
    done = run(recipe(source, "First", "Upper", documents=2), tmp_path / "run", Processes(workers=0))
    assert texts(done) == ["A", "B", "C", "D"]
    assert done.counts[1].dropped == {"first": [2, 2]}
    assert [read_kept(part).column("seen").to_pylist() for part in done.parts] == [[2, 2], [3], [4]]


def test_a_changed_step_leaves_the_segments_before_it_alone(tmp_path: Path, words: Path) -> None:
    first = run(recipe(words, "Sizes", "First", "Upper"), tmp_path / "run", Processes(workers=0))
    before = {path: path.stat().st_mtime_ns for path in first.segments[0].iterdir()}
    second = run(recipe(words, "Sizes", "First", "Slow"), tmp_path / "run", Processes(workers=0))
    assert second.segments[0] == first.segments[0] and second.segments[1] != first.segments[1]
    assert {path: path.stat().st_mtime_ns for path in second.segments[0].iterdir()} == before


def test_a_changed_source_is_read_again(tmp_path: Path, words: Path) -> None:
    run(recipe(words), tmp_path / "run", Processes(workers=0))
    corpus(words, ["only this"])
    assert texts(run(recipe(words), tmp_path / "run", Processes(workers=0))) == ["only this"]


def test_a_record_that_kills_its_worker_is_dropped_by_name(tmp_path: Path) -> None:
    documents = [f"text {number}" for number in range(20)]
    documents[3], documents[7], documents[12] = "kill", "please hang", "kill it too"
    source = corpus(tmp_path / "corpus", documents)
    engine = Processes(workers=1, batch_timeout_s=6)
    done = run(recipe(source, "Trap"), tmp_path / "run", engine)
    assert texts(done) == [text for text in documents if text.startswith("text")]
    assert {rule: count for rule, (count, _) in done.counts[-1].dropped.items()} == {
        "source.crashed": 2,
        "source.too_slow": 1,
    }
    assert not list((tmp_path / "run").rglob("*.trace"))


def test_a_record_that_needs_too_much_memory_is_dropped_by_name(tmp_path: Path) -> None:
    source = corpus(tmp_path / "corpus", ["one", "hungry", "two"])
    done = run(recipe(source, "Trap"), tmp_path / "run", Processes(workers=1, memory_mb=3000))
    assert texts(done) == ["one", "two"]
    assert list(done.counts[-1].dropped) == ["source.out_of_memory"]


def test_a_fault_of_a_step_is_shown_with_its_place(tmp_path: Path, words: Path) -> None:
    with pytest.raises(RuntimeError, match="a fault of the step's own"):
        run(recipe(words, "Fails"), tmp_path / "run", Processes(workers=1))


def test_two_runs_in_one_folder_are_refused(tmp_path: Path, words: Path) -> None:
    from filelock import FileLock

    (tmp_path / "run").mkdir()
    with FileLock(tmp_path / "run" / ".lock"), pytest.raises(DataError, match="busy: another run"):
        run(recipe(words), tmp_path / "run", Processes(workers=0))


def test_a_full_disk_stops_the_run_and_loses_nothing(
    tmp_path: Path, words: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, calls = pq.write_table, []

    def fills_up(table: pa.Table, where: str, **options: Any) -> None:
        calls.append(where)
        if len(calls) == 4:
            raise OSError(28, "No space left on device")
        real(table, where, **options)

    monkeypatch.setattr(pq, "write_table", fills_up)
    with pytest.raises(DataError, match="No space left on device; what was written before is whole"):
        run(recipe(words), tmp_path / "run", Processes(workers=0))
    parts = sorted((tmp_path / "run").rglob("part-*"))
    assert len(parts) == 3 and not [path for path in parts[0].parent.iterdir() if path.name.startswith(".")]
    kept = {path: path.stat().st_mtime_ns for path in parts}
    done = run(recipe(words), tmp_path / "run", Processes(workers=0))
    assert texts(done) == [f"text number {number}" for number in range(95)]
    assert {path: path.stat().st_mtime_ns for path in parts} == kept


def test_a_missing_source_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="match nothing"):
        run(recipe(tmp_path / "nowhere"), tmp_path / "run", Processes(workers=0))


def test_tokens_are_a_shuffle_of_the_documents(tmp_path: Path, words: Path) -> None:
    wanted = recipe(words, tokens={"tokenizer": "bytes", "seed": 3})
    run(wanted, tmp_path / "run", Processes(workers=0))
    shards = TokenShards(tmp_path / "run" / "tokens")
    shards.verify()
    found = [bytes(shards.document(number).astype("u1")).decode() for number in range(len(shards))]
    assert sorted(found) == sorted(f"text number {number}" for number in range(95)) and found != sorted(found)
    assert shards.manifest.mix["sources"] == {"files": [95, sum(len(text) + 1 for text in found)]}
    in_order = replace(wanted, tokens=replace(wanted.tokens, shuffle=False))  # type: ignore[type-var]
    run(in_order, tmp_path / "run", Processes(workers=0))
    shards = TokenShards(tmp_path / "run" / "tokens")
    assert bytes(shards.document(1).astype("u1")) == b"text number 1"


def test_steps_are_cut_at_barriers() -> None:
    import steps_of_tests as steps  # type: ignore[import-not-found]

    upper, first = steps.Upper(), steps.First()
    assert split_at_barriers([upper, first, upper, upper]) == [((upper,), first), ((upper, upper), None)]
    assert split_at_barriers([first]) == [((), first), ((), None)]
    assert split_at_barriers([]) == [((), None)]


def command(source: Path, out: Path) -> list[str]:
    table = f"""
[[source]]
use = "files"
path = "{source}"
[[step]]
use = "{STEPS}:Slow"
[[step]]
use = "{STEPS}:First"
[[step]]
use = "{STEPS}:Slow"
[batching]
documents = 4
[tokens]
"""
    path = source.parent / "recipe.toml"
    path.write_text(table)
    return [sys.executable, "-m", "octad_data", "run", str(path), "-o", str(out), "--workers", "2"]


def killed_runs(source: Path, out: Path, times: int) -> Iterator[int]:
    """Start the run, kill it with all its processes after a while, again and again; how many parts were redone."""
    environment = {**os.environ, "PYTHONPATH": str(MODULES)}
    for number in range(times):
        before = {path: path.stat().st_mtime_ns for path in out.glob("segments/[0-9]*/part-*.parquet")}
        process = subprocess.Popen(
            command(source, out), env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
        time.sleep(1.0 + (number * 0.37) % 2.5)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        yield sum(path.stat().st_mtime_ns != seen for path, seen in before.items())


@pytest.mark.parametrize("times", [3, pytest.param(100, marks=pytest.mark.slow)])
def test_kill_9_changes_no_byte(tmp_path: Path, times: int) -> None:
    source = corpus(
        tmp_path / "corpus", [f"text number {number % 90}" for number in range(100 if times < 10 else 2000)]
    )
    whole, torn = tmp_path / "whole", tmp_path / "torn"
    environment = {**os.environ, "PYTHONPATH": str(MODULES)}
    subprocess.run(command(source, whole), env=environment, check=True, capture_output=True)
    assert list(killed_runs(source, torn, times)) == [0] * times
    subprocess.run(command(source, torn), env=environment, check=True, capture_output=True)
    assert files_of(torn) == files_of(whole)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_ray_writes_what_processes_do(tmp_path: Path, words: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # the workers need no environment of their own
    ray = pytest.importorskip("ray", reason="needs the extra ray")
    from octad_data.ray_engine import RayData

    wanted = recipe(words, "Upper", "First", tokens={"tokenizer": "bytes"})
    run(wanted, tmp_path / "here", Processes(workers=0))
    environment = {"env_vars": {"PYTHONPATH": str(MODULES)}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=environment)
    try:
        run(wanted, tmp_path / "there", RayData())
    finally:
        ray.shutdown()
    assert files_of(tmp_path / "there") == files_of(tmp_path / "here")
