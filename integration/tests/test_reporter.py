import io

import pytest
from octad.reporter import Reporter, fitting

FACTS = ["loss 3.214", "reward 0.41", "9,312 tok/s", "41% of peak", "0:48 left"]


@pytest.mark.parametrize("columns", range(80))
def test_facts_fit_into_any_width(columns):
    line = fitting(FACTS, columns)
    assert len(line) <= columns
    if columns >= len("loss 3.214 · 0:48 left"):
        assert line.startswith("loss 3.214 · ") and line.endswith("0:48 left")


def test_facts_that_fit_all_stay():
    assert fitting(FACTS, 200) == " · ".join(FACTS)
    assert fitting([], 10) == ""


def test_note_spells_out_what_would_steer_the_terminal():
    stream = io.StringIO()
    Reporter(stream).note("corpus: \x1b[2Jname\nof [red]a[/] :smile: caf\udce9 grüße")
    assert stream.getvalue() == "corpus: \\x1b[2Jname\\nof [red]a[/] :smile: caf\\udce9 grüße\n"
