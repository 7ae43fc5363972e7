import io
import json
import os
from dataclasses import replace

import pytest
from octad.errors import OctadError
from octad.pipeline import Context, Stage, execute, stage_keys
from octad.processes import Processes
from octad.recipe import Recipe
from octad.reporter import Reporter, duration
from octad.run_folder import FORMAT, RunFolder, StageRecord


def count_stages(calls):
    def record(context):
        calls.append(context.stage)
        (context.path() / "made").write_text(context.stage)
        return {"headline": f"made {context.stage}", "number": len(calls)}

    first = Stage("first", (), lambda r: r.corpus, record)
    second = Stage("second", ("first",), lambda r: r.tokenizer, record)
    third = Stage("third", ("second",), lambda r: r.sft, record)
    return [first, second, third]


def make_context(path, recipe=None):
    recipe = recipe or Recipe()
    return Context(recipe, RunFolder.create(path, recipe), Reporter(io.StringIO()), Processes(recipe))


def test_second_run_skips_every_stage(tmp_path):
    calls = []
    stages = count_stages(calls)
    execute(stages, make_context(tmp_path / "run"))
    execute(stages, make_context(tmp_path / "run"))
    assert calls == ["first", "second", "third"]
    assert make_context(tmp_path / "run").summary("second")["number"] == 2


def test_changed_setting_redoes_its_stage_and_what_builds_on_it(tmp_path):
    calls = []
    stages = count_stages(calls)
    execute(stages, make_context(tmp_path / "run"))
    changed = replace(Recipe(), tokenizer=replace(Recipe().tokenizer, vocab_size=999))
    execute(stages, make_context(tmp_path / "run", changed))
    assert calls == ["first", "second", "third", "second", "third"]
    kept = list((tmp_path / "run" / "stale").glob("second-*/made"))
    assert [file.read_text() for file in kept] == ["second"]


def test_seed_and_version_are_part_of_every_key():
    stages = count_stages([])
    keys = stage_keys(stages, Recipe())
    assert all(keys[n] != v for n, v in stage_keys(stages, replace(Recipe(), seed=2)).items())
    newer = [replace(stages[0], version=2), *stages[1:]]
    assert all(keys[n] != v for n, v in stage_keys(newer, Recipe()).items())


def test_failed_stage_is_taken_up_again_and_keeps_what_it_wrote(tmp_path):
    seen = []

    def fails_once(context):
        seen.append((context.path() / "partial").exists())
        (context.path() / "partial").write_text("half")
        if len(seen) == 1:
            raise RuntimeError("killed")
        return {}

    stages = [Stage("only", (), lambda r: None, fails_once)]
    with pytest.raises(RuntimeError, match="killed"):
        execute(stages, make_context(tmp_path / "run"))
    with pytest.raises(OctadError, match="only is not finished"):
        make_context(tmp_path / "run").summary("only")
    execute(stages, make_context(tmp_path / "run"))
    assert seen == [False, True]


def test_torn_stage_record_means_the_stage_runs_again(tmp_path):
    calls = []
    stages = count_stages(calls)
    execute(stages, make_context(tmp_path / "run"))
    record = tmp_path / "run" / "third" / "stage.json"
    record.write_text(record.read_text()[:20])
    execute(stages, make_context(tmp_path / "run"))
    assert calls[-1] == "third" and len(calls) == 4
    assert list((tmp_path / "run" / "stale").glob("third-*/made"))


def test_folder_of_another_format_is_refused_and_left_alone(tmp_path):
    RunFolder.create(tmp_path / "run", Recipe())
    file = tmp_path / "run" / "run.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "format": FORMAT + 1, "octad": "9.9"}))
    before = {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()}
    with pytest.raises(OctadError, match=r"9\.9"):
        RunFolder.create(tmp_path / "run", replace(Recipe(), seed=7))
    assert {p.name: p.read_bytes() for p in (tmp_path / "run").iterdir()} == before


def test_folder_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(OctadError, match="not a run folder"):
        RunFolder.create(tmp_path, Recipe())
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(OctadError, match="no such run folder"):
        RunFolder(tmp_path / "nothing")


def test_folder_in_use_is_refused(tmp_path):
    folder = RunFolder.create(tmp_path / "run", Recipe())
    with folder.locked(), pytest.raises(OctadError, match="in use"), RunFolder(tmp_path / "run").locked():
        pass
    with folder.locked():
        assert (tmp_path / "run" / "run.lock").exists() or os.name == "nt"


def test_metrics_survive_a_torn_last_line_and_forget_what_will_be_redone(tmp_path):
    folder = RunFolder.create(tmp_path / "run", Recipe())
    for step in range(5):
        folder.log("pretrain", step, {"loss": 5.0 - step})
        folder.log("sft", step, {"loss": 1.0})
    with (tmp_path / "run" / "metrics.jsonl").open("a") as file:
        file.write('{"stage": "pretr')
    assert [p["step"] for p in folder.metrics("pretrain")] == [0, 1, 2, 3, 4]
    folder.forget_metrics("pretrain", after_step=2)
    assert [p["loss"] for p in folder.metrics("pretrain")] == [5.0, 4.0, 3.0]
    assert len(folder.metrics("sft")) == 5


def test_metrics_name_a_line_that_is_broken_in_the_middle(tmp_path):
    folder = RunFolder.create(tmp_path / "run", Recipe())
    (tmp_path / "run" / "metrics.jsonl").write_text('{"stage": "a", "step": 0}\n{"st\n{"stage": "a", "step": 1}\n')
    with pytest.raises(OctadError, match="line 2"):
        folder.metrics()


def test_stage_record_round_trips(tmp_path):
    folder = RunFolder.create(tmp_path / "run", Recipe())
    record = StageRecord("k" * 64, True, 1.5, {"loss": 0.25, "words": ["é"]})
    folder.write_stage("s", record)
    assert folder.stage("s") == record


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (723, "12:03"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_duration_reads_like_a_clock(seconds, text):
    assert duration(seconds) == text


def test_reporter_prints_plain_lines_without_a_terminal(monkeypatch):
    stream = io.StringIO()
    reporter = Reporter(stream)
    monkeypatch.setattr("octad.reporter.PLAIN_EVERY_S", 0.0)
    with reporter.stage("pretrain"):
        reporter.update(3, 10, ["loss 2.50"], seconds_left=61)
    assert stream.getvalue() == "pretrain  3/10  loss 2.50 · 1:01 left\n"


def test_silent_reporter_prints_nothing():
    stream = io.StringIO()
    reporter = Reporter(stream, is_silent=True)
    with reporter.stage("x"):
        reporter.note("hello")
    assert stream.getvalue() == ""
