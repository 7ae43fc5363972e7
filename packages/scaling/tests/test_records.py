import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from octad_scaling import RunRecord, ScalingError, append_records, read_records, write_records

positive = st.floats(min_value=1e-6, max_value=1e20, allow_nan=False)


@given(
    st.lists(
        st.builds(
            RunRecord,
            parameters=positive,
            tokens=positive,
            loss=positive,
            run=st.text(max_size=8),
            batch_size=st.none() | positive,
            learning_rate=st.none() | positive,
            seed=st.none() | st.integers(0, 2**40),
        ),
        max_size=5,
    )
)
def test_records_round_trip_any_values(tmp_path_factory: pytest.TempPathFactory, records: list[RunRecord]) -> None:
    path = tmp_path_factory.mktemp("records") / "runs.jsonl"
    write_records(path, records)
    assert read_records(path) == records


def test_record_flops_default_to_six_n_d() -> None:
    assert RunRecord(2e6, 3e7, 4.0).flops == 6 * 2e6 * 3e7
    assert RunRecord(2e6, 3e7, 4.0, flops=5e14).flops == 5e14


@pytest.mark.parametrize("field", ["parameters", "tokens", "loss", "flops", "batch_size", "learning_rate"])
@pytest.mark.parametrize("value", [0, -1.0, math.nan, math.inf, True, "3"])
def test_record_refuses_what_is_no_positive_number(field: str, value: object) -> None:
    fields = {"parameters": 1e6, "tokens": 1e8, "loss": 3.0, field: value}
    with pytest.raises(ScalingError, match=field):
        RunRecord(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("fields", [{"seed": -1}, {"seed": 1.5}, {"step": True}, {"run": 3}])
def test_record_refuses_wrong_names_and_counts(fields: dict[str, object]) -> None:
    with pytest.raises(ScalingError, match=next(iter(fields))):
        RunRecord(1e6, 1e8, 3.0, **fields)  # type: ignore[arg-type]


def test_record_takes_numpy_numbers(tmp_path: Path) -> None:
    record = RunRecord(np.int64(1000), np.float32(2000.0), np.float64(3.5), seed=np.int64(4))  # type: ignore[arg-type]
    write_records(tmp_path / "r", [record])
    assert read_records(tmp_path / "r") == [record]
    assert RunRecord(1e6, 1e8, np.array(3.0)).loss == 3.0  # type: ignore[arg-type]


GOOD = '{"parameters": 1e6, "tokens": 1e8, "loss": 3.5}\n'


def test_read_tolerates_a_torn_last_line_with_one_warning(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(GOOD + GOOD + GOOD[:20])
    with pytest.warns(UserWarning, match="1 torn line"):
        assert len(read_records(path)) == 2


def test_read_takes_a_whole_last_line_without_newline_and_skips_blank_ones(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(GOOD + "\n  \n" + GOOD.rstrip())
    assert len(read_records(path)) == 2


def test_read_of_an_empty_file_is_empty(tmp_path: Path) -> None:
    (tmp_path / "r").touch()
    assert read_records(tmp_path / "r") == []


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("not json", "line 2: not JSON"),
        ("[1, 2]", "line 2: a record is a JSON object"),
        ('{"parameters": 1e6, "tokens": 1e8}', "line 2: the field 'loss' is missing"),
        ('{"parameters": 1e6, "tokens": 1e8, "loss": NaN}', "line 2: RunRecord: loss=nan"),
        ('{"parameters": 1e6, "token": 1e8, "loss": 3}', "line 2: unknown field 'token'; did you mean 'tokens'"),
        ('{"parameters": "1e6", "tokens": 1e8, "loss": 3}', "line 2: RunRecord: parameters='1e6'"),
    ],
)
def test_read_names_the_line_that_is_wrong(tmp_path: Path, line: str, message: str) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(GOOD + line + "\n" + GOOD)
    with pytest.raises(ScalingError, match=message):
        read_records(path)


def test_append_adds_after_a_torn_line_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(GOOD + GOOD[:20])
    with pytest.warns(UserWarning, match="cut off 1 torn line"):
        append_records(path, [RunRecord(2e6, 2e8, 3.0)])
    assert [record.loss for record in read_records(path)] == [3.5, 3.0]


def test_append_completes_a_whole_line_that_lacks_its_newline(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    path.write_text(GOOD.rstrip())
    append_records(path, [RunRecord(2e6, 2e8, 3.0)])
    assert [record.loss for record in read_records(path)] == [3.5, 3.0]


def test_append_makes_the_file_and_keeps_each_record_on_a_line(tmp_path: Path) -> None:
    path = tmp_path / "runs.jsonl"
    for loss in (3.0, 2.9, 2.8):
        append_records(path, [RunRecord(2e6, 2e8, loss, run="a\nb")])
    assert [json.loads(line)["loss"] for line in path.read_text().splitlines()] == [3.0, 2.9, 2.8]
