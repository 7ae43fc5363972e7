"""Decoders of octad-arch in the trainers of TRL and in lm-eval, against the same weights in transformers' own class."""

import json
import os

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_DATASETS_OFFLINE": "1"}

from dataclasses import replace

import pytest
import torch
from octad_arch import (
    MLP,
    Attention,
    GatedDeltaNet,
    Layer,
    PostNorm,
    SwiGLU,
    load_pretrained,
    ngpt_decoder,
    qwen3_decoder,
    save_pretrained,
)
from octad_arch.transformers_model import OctadForCausalLM, register_auto_classes

pytestmark = [
    pytest.mark.slow,  # importing TRL or lm-eval alone takes longer than most tests
    pytest.mark.filterwarnings("ignore:.*is deprecated and will be removed in v6:FutureWarning"),  # TRL's own calls
]

WORDS = ["zero", "seven", "the", *(f"w{index}" for index in range(12))]
IDS = {"bos_token_id": 1, "eos_token_id": 2}  # no padding: theirs would keep the gradient from that token's embedding
QWEN = qwen3_decoder(3 + len(WORDS), 32, 2, 4, 2, 8, d_ff=48)
OWN = replace(  # what no family of transformers expresses
    QWEN,
    layers=(
        Layer(GatedDeltaNet(2, 2, 8, 6), SwiGLU(24)),
        Layer(Attention(4, 1, 8, window=6, sinks=True), MLP(40), placement=PostNorm()),
    ),
    tied_embeddings=False,
    head_bias=True,
    logit_softcap=4.0,
    logit_scale=0.6,
)
SPHERE = ngpt_decoder(QWEN.vocab_size, 32, 2, 4, 48)
TRL_CPU = {"use_cpu": True, "report_to": [], "disable_tqdm": True, "save_strategy": "no", "logging_steps": 1}
TRL_CPU |= {"max_steps": 3, "learning_rate": 3e-3, "seed": 5, "bf16": False, "dataloader_pin_memory": False}
TRL_CPU |= {"activation_checkpointing": True}


@pytest.fixture(scope="module")
def tokenizer():
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: index for index, word in enumerate(["<pad>", "<s>", "</s>", *WORDS])}
    plain = Tokenizer(models.WordLevel(vocabulary, unk_token="zero"))
    plain.pre_tokenizer = pre_tokenizers.Whitespace()
    return PreTrainedTokenizerFast(
        tokenizer_object=plain, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="zero"
    )


def decoder_of(spec):
    decoder, generator = spec.build(), torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return decoder


def pair_of_models(folder):
    """Ours, and transformers' own class with the same weights; each from a folder, where TRL looks for a reference."""
    from transformers import AutoModelForCausalLM

    register_auto_classes()
    save_pretrained(decoder_of(QWEN), folder / "theirs", extra_config=IDS)
    OctadForCausalLM.from_decoder(load_pretrained(folder / "theirs"), **IDS).save_pretrained(folder / "ours")
    models = [AutoModelForCausalLM.from_pretrained(folder / name) for name in ("ours", "theirs")]
    assert [type(model).__name__ for model in models] == ["OctadForCausalLM", "Qwen3ForCausalLM"]
    return models


def sentences(count, length=None):
    generator = torch.Generator().manual_seed(9)
    lengths = torch.randint(3, 9, (count,), generator=generator).tolist()
    return [
        " ".join(WORDS[int(word)] for word in torch.randint(len(WORDS), (length or size,), generator=generator))
        for size in lengths
    ]


def log_of(trainer, *names):
    trainer.train()
    return [[entry[name] for name in names] for entry in trainer.state.log_history if names[0] in entry]


def sft(model, tokenizer, folder, **options):
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    data = Dataset.from_dict({"text": sentences(12)})
    config = SFTConfig(folder, per_device_train_batch_size=4, **TRL_CPU | options)
    return SFTTrainer(model, config, train_dataset=data, processing_class=tokenizer)


def dpo(model, reference, tokenizer, folder):
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    prompts, chosen, rejected = sentences(12), sentences(30)[12:24], sentences(50)[30:42]
    chosen, rejected = ([" " + answer for answer in answers] for answers in (chosen, rejected))
    data = Dataset.from_dict({"prompt": prompts, "chosen": chosen, "rejected": rejected})
    config = DPOConfig(folder, per_device_train_batch_size=4, **TRL_CPU)
    return DPOTrainer(model, reference, config, train_dataset=data, processing_class=tokenizer)


def grpo(model, tokenizer, folder):
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    def reward(completions, **kwargs):
        return [float(text.split().count("seven") + 0.1 * len(text.split())) for text in completions]

    data = Dataset.from_dict({"prompt": sentences(12)})
    options = {"per_device_train_batch_size": 8, "num_generations": 4, "max_completion_length": 7, "beta": 0.05}
    options |= {"optim": "sgd", "learning_rate": 0.1}  # Adam makes whole steps of rounded zeros
    config = GRPOConfig(folder, **TRL_CPU | options)
    return GRPOTrainer(model, reward, config, train_dataset=data, processing_class=tokenizer)


def test_supervised_fine_tuning_equals_that_of_transformers_own_class(tokenizer, tmp_path):
    ours, theirs = pair_of_models(tmp_path / "weights")
    names = ("loss", "grad_norm", "mean_token_accuracy")
    log, expected = (log_of(sft(model, tokenizer, tmp_path), *names) for model in (ours, theirs))
    assert len(log) == 3
    assert log[-1][0] < log[0][0]
    torch.testing.assert_close(torch.tensor(log), torch.tensor(expected), rtol=1e-4, atol=1e-4)


def test_preference_training_equals_that_of_transformers_own_class(tokenizer, tmp_path):
    logs = []
    for index in range(2):
        model, reference = (pair_of_models(tmp_path / "weights")[index] for _ in range(2))
        logs.append(log_of(dpo(model, reference, tokenizer, tmp_path), "loss", "grad_norm", "rewards/margins"))
    log, expected = map(torch.tensor, logs)
    assert len(log) == 3
    assert log[-1, 0] != log[0, 0]
    torch.testing.assert_close(log, expected, rtol=1e-4, atol=1e-4)


def test_rewards_train_as_with_transformers_own_class(tokenizer, tmp_path):
    names = ("loss", "grad_norm", "reward", "kl", "completions/mean_length")
    log, expected = (
        torch.tensor(log_of(grpo(model, tokenizer, tmp_path), *names)) for model in pair_of_models(tmp_path / "weights")
    )
    assert len(log) == 3
    assert log[0, 1] > 0
    torch.testing.assert_close(log, expected, rtol=1e-4, atol=1e-4)


def own_model(spec=OWN):
    return OctadForCausalLM.from_decoder(decoder_of(spec), **IDS)


def test_packed_rows_train_as_the_same_texts_padded(tokenizer, tmp_path):
    logs = []
    for padding_free in (False, True):
        trainer = sft(own_model(), tokenizer, tmp_path, padding_free=padding_free, max_length=None)
        logs.append(torch.tensor(log_of(trainer, "loss", "grad_norm", "entropy", "mean_token_accuracy")))
    torch.testing.assert_close(*logs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("spec", [OWN, SPHERE], ids=["own", "sphere"])
def test_trl_reads_the_head_of_a_model_that_no_family_expresses(spec, tokenizer, tmp_path):
    """TRL multiplies hidden states by the head itself: offset, scale, gains and soft cap must all arrive there."""
    model = own_model(spec)
    trainer = sft(model, tokenizer, tmp_path)
    batch = trainer._prepare_inputs(next(iter(trainer.get_train_dataloader())))
    model.eval()
    with torch.no_grad():
        theirs = model(**batch, fused_lm_head=True)
        own = model(**batch)
        log_probs = model(batch["input_ids"], batch["attention_mask"]).logits[:, :-1].log_softmax(-1)
    labels = batch["labels"][:, 1:]
    expected = log_probs.gather(-1, labels.clamp(min=0)[..., None]).squeeze(-1) * (labels != -100)
    torch.testing.assert_close(theirs.log_probs, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(theirs.loss, own.loss)
    without = replace(spec, logit_softcap=None, head_bias=False, logit_scale=1.0, logit_gain=None)
    plain = OctadForCausalLM.from_decoder(decoder_of(without))  # the test can fail: the head does matter
    assert (plain(**batch).loss - own.loss).abs() > 1e-3


def test_every_trainer_runs_a_model_that_no_family_expresses(tokenizer, tmp_path):
    register_auto_classes()
    own_model().save_pretrained(tmp_path / "own")

    def fresh():
        return OctadForCausalLM.from_pretrained(tmp_path / "own")

    trainers = {
        "sft": sft(fresh(), tokenizer, tmp_path),
        "dpo": dpo(fresh(), fresh(), tokenizer, tmp_path),
        "grpo": grpo(fresh(), tokenizer, tmp_path),
    }
    for name, trainer in trainers.items():
        before = [parameter.detach().clone() for parameter in trainer.model.parameters()]
        log = torch.tensor(log_of(trainer, "loss", "grad_norm"))
        assert len(log) == 3, name
        assert log.isfinite().all(), name
        assert (log[:, 1] > 0).any(), name
        changed = [not torch.equal(*pair) for pair in zip(before, trainer.model.parameters(), strict=True)]
        assert all(changed), name
        trainer.save_model(tmp_path / name)
        again = OctadForCausalLM.from_pretrained(tmp_path / name)
        assert again.config.spec == OWN
        assert torch.equal(again.lm_head.bias, trainer.model.lm_head.bias)


CHOICE = """task: words_choice
dataset_path: json
dataset_kwargs: {data_files: {test: choice.jsonl}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: "{{choices}}"
doc_to_target: "{{answer}}"
metric_list: [{metric: acc}, {metric: acc_norm}]
"""
ANSWER = """task: words_answer
dataset_path: json
dataset_kwargs: {data_files: {test: answer.jsonl}}
test_split: test
output_type: generate_until
doc_to_text: "{{question}}"
doc_to_target: "{{answer}}"
generation_kwargs: {until: ["the"], max_gen_toks: 6, do_sample: false}
metric_list: [{metric: exact_match}]
"""


def judged(model, tokenizer, folder):
    """Samples of both tasks by lm-eval's own `hf` model."""
    from lm_eval import evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    lm = HFLM(pretrained=model.eval(), tokenizer=tokenizer, batch_size=3)
    assert lm.max_length == QWEN.context_length
    loaded = TaskManager(include_path=str(folder), include_defaults=False).load(["words_choice", "words_answer"])
    for task in loaded["tasks"].values():
        task.set_config(key="num_fewshot", value=0)
    return evaluate(lm, loaded, bootstrap_iters=0)["samples"]


def test_lm_eval_judges_our_models_as_transformers_own_class(tokenizer, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    questions, answers = sentences(7), [sentences(28)[index::7] for index in range(7)]
    choice = [{"question": q, "choices": a, "answer": 1} for q, a in zip(questions, answers, strict=True)]
    answer = [{"question": q, "answer": a[0]} for q, a in zip(questions, answers, strict=True)]
    for name, lines, task in (("choice", choice, CHOICE), ("answer", answer, ANSWER)):
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (tmp_path / f"{name}.yaml").write_text(task)
    monkeypatch.chdir(tmp_path)
    ours, theirs = pair_of_models(tmp_path / "weights")
    samples, expected = (judged(model, tokenizer, tmp_path) for model in (ours, theirs))
    decoder = ours.to_decoder()
    for sample, other in zip(samples["words_choice"], expected["words_choice"], strict=True):
        for (score, greedy), (their_score, their_greedy), words in zip(
            sample["filtered_resps"], other["filtered_resps"], sample["doc"]["choices"], strict=True
        ):
            context, new = (tokenizer(text)["input_ids"] for text in (sample["doc"]["question"], words))
            tokens = torch.tensor([context + new])
            with torch.no_grad():
                log_probs = decoder(tokens[:, :-1])[0, len(context) - 1 :].log_softmax(-1)
            own = log_probs.gather(-1, tokens[0, len(context) :, None]).sum()
            assert score == pytest.approx(float(own), abs=1e-5, rel=1e-5)
            assert score == pytest.approx(their_score, abs=1e-5, rel=1e-5)
            assert greedy == their_greedy
    texts = [[sample["filtered_resps"] for sample in one["words_answer"]] for one in (samples, expected)]
    assert texts[0] == texts[1]
    assert any(text[0] for text in texts[0])


def test_lm_eval_runs_a_model_that_no_family_expresses(tokenizer):
    from lm_eval.api.instance import Instance
    from lm_eval.models.huggingface import HFLM

    model, texts = own_model().eval(), sentences(6)
    pairs = [(text, " " + other) for text, other in zip(texts, texts[1:] + texts[:1], strict=True)]
    lm = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=4)
    found = lm.loglikelihood([Instance("loglikelihood", {}, pair, index) for index, pair in enumerate(pairs)])
    decoder = model.to_decoder()
    for (score, _), (context, continuation) in zip(found, pairs, strict=True):
        first, new = (tokenizer(text)["input_ids"] for text in (context, continuation))
        tokens = torch.tensor([first + new])
        with torch.no_grad():
            log_probs = decoder(tokens)[0, len(first) - 1 : -1].log_softmax(-1)
        own = float(log_probs.gather(-1, torch.tensor(new)[:, None]).sum())
        assert score == pytest.approx(own, abs=1e-5, rel=1e-5)
    options = {"until": ["</s>"], "max_gen_toks": 7, "do_sample": False}
    requests = [Instance("generate_until", {}, (text, options), index) for index, text in enumerate(texts)]
    for text, answer in zip(texts, lm.generate_until(requests), strict=True):
        alone = tokenizer(text, return_tensors="pt")
        new = model.generate(**alone, max_new_tokens=7, do_sample=False)[0, alone["input_ids"].shape[1] :]
        assert answer.strip() == tokenizer.decode(new).partition("</s>")[0].strip()
