import json
from pathlib import Path

from octad_data import Processes, Recipe, run
from octad_data.run_report import Samples, write_report


def test_the_page_shows_every_rule_with_samples_and_escapes(tmp_path: Path) -> None:
    good = " ".join(["The animals of that mountain went to see the people, and they have to be with them."] * 9)
    rows = [f"{good} Number {number}." for number in range(3)] + ["<script>alert(1)</script> short"] * 9
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps({"text": row}) + "\n" for row in rows))
    recipe = Recipe.from_table(
        {
            "source": [{"use": "files", "path": str(tmp_path / "rows.jsonl")}],
            "step": [{"use": "rules", "preset": ["gopher"]}, {"use": "near_duplicates"}],
        }
    )
    done = run(recipe, tmp_path / "run", Processes(workers=0))
    write_report(done, tmp_path / "report.html")
    page = (tmp_path / "report.html").read_text()
    assert "gopher.words = 5" not in page or "<script>" not in page
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert page.count("gopher.words</b>") == 1 and "near_duplicates</b>" in page and ">12</strong>" in page
    assert page.count("<div class=sample>") == 4 + 2 + 1
    write_report(done, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_text() == page


def test_samples_do_not_depend_on_the_order() -> None:
    first, second = Samples(limit=3), Samples(limit=3)
    names = [f"document {number}" for number in range(50)]
    for name in names:
        first.add("rule", name, "", "text")
    for name in reversed(names):
        second.add("rule", name, "", "text")
    assert first.of("rule") == second.of("rule") and len(first.of("rule")) == 3 and first.of("other") == []
