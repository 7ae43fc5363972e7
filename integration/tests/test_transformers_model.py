"""Any decoder of octad-arch in the hands of others: TRL's trainers and lm-eval's HFLM."""

import json
import os

import pytest
import torch
from datasets import Dataset
from octad_arch import (
    MLP,
    Attention,
    Decoder,
    GatedDeltaNet,
    Initialization,
    Layer,
    SwiGLU,
    qwen3_decoder,
    save_pretrained,
)
from octad_arch.transformers_model import OctadForCausalLM
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "TRL_EXPERIMENTAL_SILENCE": "1"}
WORDS = ["<pad>", "<eos>", "<unk>", *(f"w{index}" for index in range(57))]
SPECS = {
    "qwen3": qwen3_decoder(60, 32, 2, 4, 2, 8, 48, context_length=64),
    "hybrid": Decoder(
        60,
        32,
        (Layer(GatedDeltaNet(2, 2, 6, 5), SwiGLU(20)), Layer(Attention(4, 2, 8, softcap=4.0), MLP(20))),
        initialization=Initialization(0.1),
        context_length=64,
    ),
}
TEXTS = [" ".join(f"w{(start + step * 3) % 57}" for step in range(12)) for start in range(24)]
COMMON = {
    "per_device_train_batch_size": 4,
    "max_steps": 3,
    "learning_rate": 1e-3,
    "report_to": "none",
    "use_cpu": True,
    "save_strategy": "no",
    "disable_tqdm": True,
    "logging_steps": 1,
    "bf16": False,
    "seed": 0,
}


def tokenizer():
    inner = Tokenizer(models.WordLevel({word: index for index, word in enumerate(WORDS)}, "<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>", padding_side="left"
    )


def wrapped(name):
    decoder = SPECS[name].build(generator=torch.Generator().manual_seed(0))
    return OctadForCausalLM.from_decoder(decoder, pad_token_id=0, eos_token_id=1), decoder


def exported(decoder, folder):
    save_pretrained(decoder, folder, {"pad_token_id": 0, "eos_token_id": 1})
    return AutoModelForCausalLM.from_pretrained(folder)


def losses(trainer):
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


def sft(model, folder):
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_list([{"text": text} for text in TEXTS])
    config = SFTConfig(str(folder), max_length=32, dataset_text_field="text", **COMMON)
    return SFTTrainer(model, config, train_dataset=data, processing_class=tokenizer())


def dpo(model, reference, folder):
    from trl import DPOConfig, DPOTrainer

    rows = [
        {"prompt": text[:17], "chosen": text[17:], "rejected": text[17:][::-1].replace("w", " w")} for text in TEXTS
    ]
    config = DPOConfig(str(folder), max_length=40, **COMMON)
    return DPOTrainer(model, reference, config, train_dataset=Dataset.from_list(rows), processing_class=tokenizer())


def grpo(model, folder):
    from trl import GRPOConfig, GRPOTrainer

    def reward(completions, **kwargs):
        return [float(len(set(completion.split()))) for completion in completions]

    rows = Dataset.from_list([{"prompt": text[: 8 + 3 * (index % 3)]} for index, text in enumerate(TEXTS)])
    config = GRPOConfig(str(folder), num_generations=4, max_completion_length=6, **COMMON)
    return GRPOTrainer(model, reward, config, train_dataset=rows, processing_class=tokenizer())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TRL's own, about what transformers has renamed
@pytest.mark.parametrize("name", SPECS)
def test_trl_trains_and_starts_with_the_loss_of_transformers_own_class(name, tmp_path):
    for algorithm in ("sft", "dpo", "grpo"):
        model, _ = wrapped(name)
        folder = tmp_path / algorithm
        before = [parameter.detach().clone() for parameter in model.parameters()]
        if algorithm == "dpo":
            ours = losses(dpo(model, wrapped(name)[0], folder))
            theirs = None
            if name == "qwen3":
                own = exported(wrapped(name)[1], folder / "own")
                reference = AutoModelForCausalLM.from_pretrained(folder / "own")
                theirs = losses(dpo(own, reference, folder / "theirs"))
        elif algorithm == "sft":
            ours = losses(sft(model, folder))
            theirs = losses(sft(exported(wrapped(name)[1], folder / "own"), folder / "t")) if name == "qwen3" else None
        else:
            ours, theirs = losses(grpo(model, folder)), None
        assert len(ours) == 3 and all(loss == loss and abs(loss) < 100 for loss in ours)
        assert any(not torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
        if theirs is not None:
            torch.testing.assert_close(torch.tensor(ours[0]), torch.tensor(theirs[0]), rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(torch.tensor(ours), torch.tensor(theirs), rtol=1e-2, atol=1e-2)
        if algorithm == "sft":
            assert ours[-1] < ours[0]


@pytest.mark.slow
def test_lm_eval_measures_what_the_model_says(tmp_path):
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM

    rows = [{"question": TEXTS[index][:17], "answers": [TEXTS[index][17:29], "w1 w2"], "gold": 0} for index in range(6)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    task = {
        "task": "local_choice",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "rows.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{question}}",
        "doc_to_choice": "{{answers}}",
        "doc_to_target": "{{gold}}",
        "metric_list": [{"metric": "acc"}],
    }
    model, decoder = wrapped("qwen3")
    theirs = exported(decoder, tmp_path / "own")
    results = {}
    for name, each in (("ours", model.eval()), ("theirs", theirs.eval())):
        lm = HFLM(pretrained=each, tokenizer=tokenizer(), batch_size=4, max_length=64)
        results[name] = simple_evaluate(lm, tasks=[task], log_samples=True, bootstrap_iters=0)
        generated = lm.generate_until([_request("w3 w4 w5"), _request("w9")])
        results[name + " text"] = generated
    samples = {name: results[name]["samples"]["local_choice"] for name in ("ours", "theirs")}
    samples = {
        name: [[answer[0] for answer in each["filtered_resps"]] for each in found] for name, found in samples.items()
    }
    torch.testing.assert_close(torch.tensor(samples["ours"]), torch.tensor(samples["theirs"]), rtol=1e-5, atol=1e-5)
    assert results["ours text"] == results["theirs text"]
    assert results["ours"]["results"] == results["theirs"]["results"]


def _request(text):
    from lm_eval.api.instance import Instance

    options = {"until": ["<eos>"], "max_gen_toks": 5, "do_sample": False}
    return Instance(request_type="generate_until", doc={}, arguments=(text, options), idx=0)
