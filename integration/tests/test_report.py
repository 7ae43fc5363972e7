import io
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from octad.errors import OctadError
from octad.evaluation import Answers, Estimate, HeldOutText, bits_per_byte, ngram_bits_per_byte
from octad.model import decoder
from octad.recipe_files import load_recipe
from octad.report import RunRecord, print_results, rows, write_report
from octad.report.figures import curve
from octad.report.formats import amount, points, visible
from octad.report.record import STAGES, TRAINED
from octad.run_folder import RunFolder, StageRecord
from octad.stages.evaluate import SHOWN_OPERATIONS, samples
from octad_align import generate_tasks
from octad_arch.classic import ByteNGram, byte_entropy
from octad_data import TokenDocument, TokenShards, write_shards
from octad_tokenizer import ByteTokenizer
from rich.console import Console

HOSTILE = "</style></script><script>alert('x')</script><img src=x onerror=alert(1)>{{ 7 * 7 }} $a_b$ \ud800"


def results(said="q", kind="prose"):
    def both(value):
        return {"value": value, "error": 0.01}

    models = {
        name: {
            "exact_match": both(0.2 * number),
            "change": both(-0.2) if number else None,
            "by_operation": {said: 0.5},
            "bits_per_byte": {kind: both(2.0 + number)},
        }
        for number, name in enumerate(TRAINED)
    }
    sample = {"operation": said, "prompt": said, "answer": said}
    sample |= {"given": dict.fromkeys(TRAINED, said), "is_right": {name: name == "grpo" for name in TRAINED}}
    return {
        "models": models,
        "baselines": {"byte entropy": {kind: both(4.5)}, "byte 5-gram": {kind: both(2.2)}},
        "operations": {said: 46},
        "samples": [sample],
        "continuations": [{"kind": kind, "prompt": said, "truth": said, "continuation": said}],
        "benchmarks": {"octad_choice": {"acc": both(0.75)}},
    }


def summaries(said="q", kind="prose"):
    candidate = {"parameters": 3.6e5, "tokens_per_s": 3e4, "tokens": 4.5e6}
    trained = {"steps": 90, "tokens": 123_456, "share_of_peak": 0.34, "headline": said}
    return {
        "corpus": {
            "documents": 40,
            "exact_duplicates": 1,
            "near_duplicates": 2,
            "skipped": {said: 3},
            "train_bytes": {kind: 11_800_000},
            "held_out_bytes": {kind: 410_000},
        },
        "plan": {
            "size": [64, 2],
            "steps": 90,
            "tokens": 5_419_008,
            "predicted_loss": 3.95,
            "reason": said,
            "candidates": [{"name": "64x2", "loss": 3.95, **candidate}, {"name": "128x3", "loss": 4.2, **candidate}],
        },
        **dict.fromkeys(TRAINED, trained),
        "pretrain": {**trained, "held_out_loss": 3.88},
        "evaluate": {"headline": said},
    }


def fabricate(path, overrides=(), done=None, **words):
    """A run whose stages left their records and no files but the measured points and the results."""
    folder = RunFolder.create(path, load_recipe("quickstart", overrides))
    for name, summary in summaries(**words).items():
        if done is None or name in done:
            folder.write_stage(name, StageRecord("key", True, 61.0, summary))
    if done is None or "evaluate" in done:
        (path / "evaluate" / "results.json").write_text(json.dumps(results(**words)))
    for name in TRAINED:
        for step in range(90 if done is None or name in done else 0):
            values = {"loss": 8 / (1 + step), "lr_multiplier": 1.0, "accuracy": 0.9, "margin": 0.1}
            folder.log(name, step, {**values, "reward": 0.5, "length": 3.0})
    return folder


class Page(HTMLParser):
    """Text, attributes and open elements of a page; unbalanced elements are an error."""

    VOID = ("meta", "br", "img", "link")

    def __init__(self, text):
        super().__init__()
        self.open, self.names, self.attributes, self.words = [], [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.names.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return re.sub(r"\s+", " ", " ".join(self.words))


def test_page_holds_all_it_shows(tmp_path):
    folder = fabricate(tmp_path / "run")
    path = write_report(folder)
    assert path == tmp_path / "run" / "report.html"
    text = path.read_text()
    assert write_report(folder).read_text() == text
    page = Page(text)
    assert not {"script", "img", "link", "iframe"} & set(page.names)
    assert all(value.startswith("#") for name, value in page.attributes if name in ("href", "src", "xlink:href"))
    assert not re.search(r"url\((?!#)|@import", text)
    ids = [value for name, value in page.attributes if name == "id"]
    assert len(ids) == len(set(ids)) > 0
    assert page.names.count("svg") == 7  # two of scores, four of training, one of the candidates
    assert not re.search("#0[1-6]0[1-6]0[1-6]", text)  # every colour has become the page's
    for words in ("123 k", "5.42 M", "1:01", "−20.0 ± 1.0", "✓ right", "✗ wrong", "predicted 3.95", "held out 3.88"):
        assert words in page.text, words
    assert "This run is not whole" in page.text  # the tokenizer and the shards left no record


def test_what_models_and_corpora_say_is_escaped(tmp_path):
    name = f"name={json.dumps(HOSTILE[:-2])}"
    path = write_report(fabricate(tmp_path / "run", [name], said=HOSTILE, kind=HOSTILE[:-2]))
    page = Page(path.read_text())
    assert not {"script", "img"} & set(page.names)
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "{{ 7 * 7 }}" in page.text and "alert('x')" in page.text and "$a_b$" in page.text


@pytest.mark.parametrize("done", [(), ("corpus", "plan", "pretrain"), STAGES[:8]])
def test_unfinished_run_names_what_is_missing(tmp_path, done):
    folder = fabricate(tmp_path / "run", done=done)
    if "sft" not in done:
        folder.write_stage("sft", StageRecord("key", False, 0.0, {}))
    page = Page(write_report(folder).read_text())
    for stage in set(STAGES) - set(done) - {"sft"}:
        assert f"the stage {stage} has not begun" in page.text
    assert ("the stage sft is not finished" in page.text) == ("sft" not in done)
    stream = io.StringIO()
    print_results(Console(file=stream), folder)
    assert "missing: the stage evaluate has not begun" in stream.getvalue()
    assert "GRPO" in stream.getvalue()


def test_torn_results_are_named(tmp_path):
    folder = fabricate(tmp_path / "run")
    (tmp_path / "run" / "evaluate" / "results.json").write_text('{"models": ')
    assert "evaluate/results.json cannot be read" in write_report(folder).read_text()


@pytest.mark.parametrize("is_terminal", [True, False])
def test_results_in_the_terminal_fit_and_show_errors(tmp_path, is_terminal):
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=is_terminal, color_system=None, width=100 if is_terminal else None)
    print_results(console, fabricate(tmp_path / "run"))
    lines = stream.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    (grpo,) = (line for line in lines if "GRPO" in line)
    assert "5.000 ± 0.010" in grpo and "60.0 ± 1.0" in grpo and "−20.0 ± 1.0" in grpo
    order = ["byte entropy", "byte 5-gram", "base", "SFT", "DPO", "GRPO"]
    assert [next(name for name in order if name in line) for line in lines if "±" in line] == order
    assert is_terminal or stream.getvalue().replace("±", "").replace("–", "").replace("−", "").isascii()


def test_rows_take_what_each_stage_cost(tmp_path):
    base = next(row for row in rows(RunRecord.read(fabricate(tmp_path / "run"))) if row.name == "base")
    assert (base.tokens, base.seconds, base.share_of_peak, base.change) == (123_456, 61.0, 0.34, None)


def answers(is_right):
    return Answers(("",) * len(is_right), tuple(is_right), ("reverse",) * len(is_right))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=2, max_size=50))
def test_change_has_the_error_of_paired_differences(pairs):
    before, after = answers([a for a, _ in pairs]), answers([b for _, b in pairs])
    change = after.change_from(before)
    differences = [int(b) - int(a) for a, b in pairs]
    n, mean = len(pairs), sum(differences) / len(pairs)
    spread = (sum((d - mean) ** 2 for d in differences) / n) ** 0.5
    assert change.value == pytest.approx(after.exact_match.value - before.exact_match.value, abs=1e-12)
    assert change.error == pytest.approx(spread / n**0.5, abs=1e-12)


def test_change_between_other_instructions_is_refused():
    with pytest.raises(OctadError, match="2 and 3 answers"):
        answers([True] * 3).change_from(answers([True] * 2))


def test_exact_match_error_is_binomial_and_never_zero():
    assert answers([True] * 3 + [False]).exact_match == Estimate(0.75, (0.75 * 0.25 / 4) ** 0.5)
    for right in (True, False):
        score = answers([right] * 99).exact_match
        assert score.value == float(right)
        assert score.error == pytest.approx((0.005 * 0.995 / 99) ** 0.5)


@pytest.fixture
def shards(tmp_path):
    texts = [b"a cat sat on the mat, " * 9, "ein Bär saß dort. ".encode() * 11, b"x" * 40]
    documents = [TokenDocument(list(text), len(text)) for text in texts]
    write_shards(documents, tmp_path / "s", vocab_size=257, tokenizer_fingerprint="bytes", separator_id=256)
    return TokenShards(tmp_path / "s"), texts


def test_held_out_text_is_the_same_for_models_and_baselines(shards):
    folder, texts = shards
    tokenizer = ByteTokenizer(special_tokens=["<|endoftext|>"])
    whole = HeldOutText.of(folder, tokenizer, 10_000)
    assert whole.text == b"".join(text + b"\n" for text in texts)
    assert whole.size_bytes == sum(map(len, texts))
    assert whole.ids.tolist() == [256, *(i for text in texts for i in (*text, 256))]
    part = HeldOutText.of(folder, tokenizer, 100)
    assert part.text == texts[0][:100] and part.size_bytes == 100


@pytest.mark.parametrize("max_tokens", [1, 63, 64, 65, 200])
def test_bits_per_byte_matches_a_loop_over_tokens(shards, max_tokens):
    folder, _ = shards
    recipe, context = load_recipe("quickstart"), 128
    model = decoder(recipe.model, (64, 1), 257).build(generator=torch.Generator().manual_seed(3)).eval()
    held_out = HeldOutText.of(folder, ByteTokenizer(special_tokens=["<|endoftext|>"]), max_tokens)
    bits, ids = 0.0, torch.from_numpy(held_out.ids)
    with torch.no_grad():
        for target in range(1, len(ids)):
            begin = max(0, (target - 1) // 64 * 64 - 64)  # windows begin at multiples of half the context
            logits = model(ids[None, begin:target])[0, -1].double()
            bits -= float(logits.log_softmax(0)[ids[target]]) / np.log(2)
    # float32 on the CPU, in batches there and one by one here
    assert bits_per_byte(model, held_out, context).value == pytest.approx(bits / held_out.size_bytes, rel=1e-4)


def test_baselines_are_those_of_the_whole_text(shards):
    from octad.evaluation import byte_entropy_per_byte

    held_out = HeldOutText.of(shards[0], ByteTokenizer(special_tokens=["<|endoftext|>"]), 10_000)
    ngram, share = ByteNGram.fit(b"a cat sat there. " * 20, 3), len(held_out.text) / held_out.size_bytes
    for windows in (1, 7):
        ours = ngram_bits_per_byte(ngram, held_out, windows)
        assert ours.value == pytest.approx(ngram.bits_per_byte(held_out.text) * share)
        assert (ours.error == 0.0) == (windows == 1)
        assert byte_entropy_per_byte(held_out, windows).value == pytest.approx(byte_entropy(held_out.text) * share)


@pytest.mark.parametrize("n", [3, 8, 12, 200])
def test_samples_are_the_first_of_each_operation_whatever_is_answered(n):
    tasks = generate_tasks(1, n, split="held_out", num_items=(2, 4))
    texts = tuple(str(number) for number in range(n))
    said = {"sft": Answers(texts, (True,) * n, tuple(task.operation for task in tasks))}
    shown = samples(tasks, said)
    assert len(shown) == min(n, 8) == len({row["prompt"] for row in shown})
    assert all(tasks[int(row["given"]["sft"])].prompt == row["prompt"] for row in shown)
    if n == 200:
        assert tuple(row["operation"] for row in shown) == SHOWN_OPERATIONS


@pytest.mark.parametrize("count", [0, 1, 2, 59, 60, 299, 1000])
def test_curve_draws_any_number_of_points(count):
    drawn = curve([{"stage": "sft", "step": n, "loss": 1.0} for n in range(count)], "loss", "loss", "absent", "absent")
    assert bool(drawn) == (count > 0)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (0, "0"),
        (999, "999"),
        (999.7, "1.00 k"),
        (12_345, "12.3 k"),
        (360_896, "361 k"),
        (5_419_008, "5.42 M"),
        (1.2e9, "1.20 G"),
    ],
)
def test_amount_has_three_digits(value, shown):
    assert amount(value) == shown


def test_signs_and_white_space_are_visible():
    assert points(Estimate(0.412, 0.016)) == ("+41.2", "1.6")
    assert points(Estimate(-0.04, 0.017)) == ("−4.0", "1.7")
    assert points(Estimate(-0.0001, 0.0)) == ("0.0", "0.0")
    assert visible(" the\n" + " " * 12 + "end") == "·the⏎·×12end"


def test_report_of_a_real_run_tells_of_every_part(octad, stories, tmp_path):
    run = tmp_path / "run"
    settings = [f"corpus.source={json.dumps(str(stories))}", "evaluate.benchmarks=false"]
    done = octad.tiny("run", "quickstart", "--out", run, settings=settings).wait()
    assert done.code == 0, done.err
    page = Page(write_report(RunFolder(run)).read_text())
    assert "Not in this run yet" not in page.text and "This run is not whole" not in page.text
    for words in ("byte pairs", "Longest tokens in use", "documents were read", "FLOPs a token", "octad chat"):
        assert words in page.text, words
    assert page.names.count("svg") == 7  # one candidate needs no drawing, lengths have one
    said = [json.loads(line) for line in (run / "evaluate" / "answers.jsonl").read_text().splitlines()]
    results = json.loads((run / "evaluate" / "results.json").read_text())
    assert len(said) == 12 == sum(results["operations"].values())
    for name in TRAINED:
        right = [row["is_right"][name] for row in said]
        assert results["models"][name]["exact_match"]["value"] == sum(right) / 12
    assert len(results["samples"]) == 8 and len(results["continuations"]) == 1
