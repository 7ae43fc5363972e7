import json

import numpy as np
import pytest
import torch
from octad.account import training_bytes, training_flops
from octad.errors import OctadError
from octad.model import decoder
from octad.recipe_files import load_recipe
from octad.stages.plan import fitted_law, fitting, fresh, predict
from octad_scaling import RunRecord, write_records


@pytest.fixture(scope="module")
def shipped():
    return fitted_law("standard-library")


def test_shipped_law_explains_the_measurements_it_was_fitted_to(shipped):
    # 16 runs, one seed each: 0.8 % root mean square when it was measured
    assert np.sqrt(np.mean(np.square(shipped.fit.log_residuals))) < 0.015
    law = shipped.fit.law
    assert law.predict(1e6, 2e6) < law.predict(1e6, 1e6) < law.predict(1e5, 1e6)


def test_interval_holds_the_prediction(shipped):
    found = predict(load_recipe("quickstart"), shipped, 1e6, 2e6, 3.2e6)
    low, high = found["predicted_interval"]
    assert low < found["predicted_loss"] < high


@pytest.mark.parametrize("override", ["corpus.source=my/notes", "tokenizer.vocab_size=8192"])
def test_no_loss_is_predicted_for_tokens_that_were_not_measured(shipped, override):
    assert predict(load_recipe("quickstart", [override]), shipped, 1e6, 2e6, 3.2e6) == {}


def test_tokens_seen_again_count_for_less():
    once, often = (fresh(RunRecord(1e6, tokens, 4.0, unique_tokens=1e6)) for tokens in (9e5, 8e6))
    assert once.tokens == 9e5 and 4e6 < often.tokens < 8e6
    assert often.flops == 6 * 1e6 * 8e6  # the work is done all the same


def test_own_measurements_are_read_from_a_file(tmp_path):
    rows = [RunRecord(n, d, 2 + 400 / n**0.4 + 500 / d**0.4) for n in (1e5, 4e5, 1e6) for d in (1e6, 3e6, 1e7)]
    write_records(tmp_path / "mine.jsonl", rows)
    law = fitted_law(str(tmp_path / "mine.jsonl")).fit.law
    assert law.predict(6e5, 5e6) == pytest.approx(2 + 400 / 6e5**0.4 + 500 / 5e6**0.4, rel=1e-3)


def test_measurements_that_are_nowhere_are_named():
    with pytest.raises(OctadError, match=r"plan\.measurements = 'nowhere'"):
        fitted_law("nowhere")


def test_shipped_measurements_are_one_run_a_line():
    from importlib.resources import files

    lines = (files("octad") / "measurements" / "standard-library.jsonl").read_text().splitlines()
    runs = [json.loads(line)["run"] for line in lines]
    assert len(set(runs)) == len(runs) == 16


def test_account_of_a_model_equals_its_parameters_and_counted_operations():
    recipe = load_recipe("quickstart")
    spec = decoder(recipe.model, (128, 3), 512)
    model, length = spec.build(), 64
    parameters = sum(p.numel() for p in model.parameters())
    # float32 weights and gradients, and what Muon and AdamW keep: at least one number a parameter
    assert training_bytes(spec, recipe.pretrain) > 12 * parameters
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(2, length, dtype=torch.long)).sum().backward()
    # the counter takes every query to see all keys; the account knows that the mask halves them
    assert training_flops(spec, length) == pytest.approx(counter.get_total_flops() / (2 * length), rel=0.1)


def test_candidates_that_do_not_fit_the_memory_are_left_out_and_named(monkeypatch):
    from types import SimpleNamespace

    from octad.stages import plan

    recipe, said = load_recipe("quickstart"), []
    context = SimpleNamespace(
        recipe=recipe,
        summary=lambda stage: {"vocab_size": 4096},
        processes=SimpleNamespace(accelerator=SimpleNamespace(device=torch.device("cpu"))),
        reporter=SimpleNamespace(note=said.append),
    )
    sizes = {"64x2": (64, 2), "320x8": (320, 8)}
    between = training_bytes(decoder(recipe.model, (128, 4), 4096), recipe.pretrain)
    monkeypatch.setattr(plan, "free_memory_bytes", lambda: between)
    assert fitting(context, sizes) == {"64x2": (64, 2)}
    assert "320x8 needs" in said[0]
    monkeypatch.setattr(plan, "free_memory_bytes", lambda: 1000)
    with pytest.raises(OctadError, match="close other programs"):
        fitting(context, sizes)
