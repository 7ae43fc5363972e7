import json
import math
import socket
import warnings
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from octad.benchmarks import evaluate_tasks, run_benchmarks, standard_error, write_tasks
from octad.chat_format import END, SPECIAL_TOKENS, write_chat_files
from octad.errors import OctadError
from octad.evaluation import Estimate, answer
from octad.model import ChatModel
from octad.text_model import TextModel
from octad_align import generate_tasks
from octad_arch import llama_decoder, qwen3_decoder, save_pretrained, token_log_probs
from octad_tokenizer import train_bpe

PASSAGES = [
    "The cat sat on the mat; the dog ran to the park.\n\nIt was late. " * 16,
    "short",
    'def f(x):\n    return x + 1  # naïve, über, 日本語 "quoted"\n' * 5,
]
MAX_NEW_TOKENS = 24


@pytest.fixture(scope="module")
def tasks():
    return generate_tasks(5, 40, num_items=(2, 4))


@pytest.fixture(scope="module")
def chat_model(tasks, tmp_path_factory):
    """A small model that has learnt half of the tasks, so that it answers some rightly."""
    folder = tmp_path_factory.mktemp("model")
    text = [f"{task.prompt} {task.answer}\n" for task in tasks] + PASSAGES
    train_bpe(text, vocab_size=400, special_tokens=list(SPECIAL_TOKENS)).save(folder)
    write_chat_files(folder)
    spec = qwen3_decoder(400, 48, 2, 3, 1, 16, theta=10_000.0, context_length=128)
    model = spec.build(generator=torch.Generator().manual_seed(3))
    chat_model = ChatModel.of(model, folder)
    rows = [chat_model.chat.answered(task.prompt, task.answer) for task in tasks[:20]]
    tokens = torch.nn.utils.rnn.pad_sequence([torch.tensor(ids) for ids, _ in rows], batch_first=True)
    is_target = torch.nn.utils.rnn.pad_sequence([torch.tensor(mask) for _, mask in rows], batch_first=True)
    targets = tokens[:, 1:].masked_fill(~is_target[:, 1:], -100)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(40):
        loss = -token_log_probs(model.hidden(tokens[:, :-1]), model.output_weight, targets).sum() / is_target.sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():  # norms are ones when fresh: one that is left out would not be seen
        for parameter in model.parameters():
            parameter.mul_(1 + 0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    model.eval()
    save_pretrained(model, folder)
    return chat_model, folder


@pytest.fixture(scope="module")
def lm(chat_model):
    from octad.lm_eval_model import OctadLM

    return OctadLM(TextModel.load(chat_model[1]), batch_size=4)


@pytest.fixture(scope="module")
def reference(chat_model):
    """lm-eval's own model over transformers, on the same files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from lm_eval.models.huggingface import HFLM
        from transformers import AutoModelForCausalLM, AutoTokenizer

        model = AutoModelForCausalLM.from_pretrained(chat_model[1])
        tokenizer = AutoTokenizer.from_pretrained(chat_model[1])
        prefix = tokenizer.convert_tokens_to_ids(SPECIAL_TOKENS[0])
        # its cache of logits gives wrong sums (0.4.13) where two requests split the same tokens at different places
        return HFLM(
            pretrained=model,
            tokenizer=tokenizer,
            batch_size=1,
            prefix_token_id=prefix,
            max_length=128,
            logits_cache=False,
        )


def requests(*arguments):
    return [SimpleNamespace(args=given) for given in arguments]


def conversation(lm, tasks, count):
    return [lm.apply_chat_template([{"role": "user", "content": task.prompt}]) for task in tasks[:count]]


@pytest.mark.filterwarnings("ignore")
def test_log_likelihoods_equal_those_of_lm_evals_own_model(lm, reference, tasks):
    pairs = [(context, task.answer + END) for context, task in zip(conversation(lm, tasks, 8), tasks, strict=False)]
    pairs += [
        (context + task.answer[0], task.answer[1:] + END) for (context, _), task in zip(pairs, tasks, strict=False)
    ]
    pairs += [
        ("The cat", " sat on the mat"),
        ("The cat ", "sat on the mat"),  # the space moves over
        ("The cat\n\n", "It was late."),
        ("", "The dog ran"),
        ("", END + "The dog"),
        ("日本語", " naïve"),
        (PASSAGES[0], " It was late."),  # a context of more than 128 tokens
    ]
    ours, theirs = lm.loglikelihood(requests(*pairs)), reference.loglikelihood(requests(*pairs), disable_tqdm=True)
    for pair, (log_prob, greedy), (wanted, wanted_greedy) in zip(pairs, ours, theirs, strict=True):
        assert log_prob == pytest.approx(wanted, abs=1e-4), pair  # float32, other kernels
        assert greedy == wanted_greedy, pair
    assert {greedy for _, greedy in ours} == {True, False}


@pytest.mark.filterwarnings("ignore")
def test_rolling_log_likelihoods_equal_those_of_lm_evals_own_model(lm, reference):
    texts = [(text,) for text in PASSAGES] + [("",)]
    assert max(len(lm.text_model.encode(text)) for (text,) in texts) > 2 * lm.max_length
    ours = lm.loglikelihood_rolling(requests(*texts))
    theirs = reference.loglikelihood_rolling(requests(*texts), disable_tqdm=True)
    assert ours == pytest.approx(theirs, abs=1e-3)  # a sum over hundreds of tokens


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("until", [[], ["\n"], ["sat", "."], [" a"]])
def test_generations_equal_those_of_lm_evals_own_model(lm, reference, tasks, until):
    settings = {"until": [*until, SPECIAL_TOKENS[0]], "max_gen_toks": 20, "do_sample": False}
    contexts = [*conversation(lm, tasks, 6), "The cat", "It was", "def f", PASSAGES[0]]
    given = requests(*((context, settings) for context in contexts))
    theirs = reference.generate_until(given, disable_tqdm=True)
    assert lm.generate_until(given) == theirs
    assert any(theirs)


def test_instructions_score_what_our_own_evaluation_says(chat_model, tasks, tmp_path):
    write_tasks(tmp_path, tasks, PASSAGES, seed=1, max_new_tokens=MAX_NEW_TOKENS)
    scores = run_benchmarks(chat_model[0], tmp_path)
    wanted = answer(chat_model[0], tasks, MAX_NEW_TOKENS).exact_match.value
    assert 0.1 < wanted < 0.9
    assert scores["octad_instructions"]["exact_match"].value == pytest.approx(wanted, abs=1e-12)
    n = len(tasks)
    assert scores["octad_instructions"]["exact_match"].error == pytest.approx(
        math.sqrt(wanted * (1 - wanted) / (n - 1)), abs=1e-12
    )
    assert 0 <= scores["octad_choice"]["acc"].value <= 1
    assert set(scores) == {"octad_instructions", "octad_choice", "octad_text"}
    assert not (tmp_path / "__pycache__").exists()  # a finished stage's folder stays as it is


def test_answer_that_was_cut_off_is_wrong_in_both(chat_model, tasks, tmp_path):
    write_tasks(tmp_path, tasks, [], seed=1, max_new_tokens=2)
    scores = run_benchmarks(chat_model[0], tmp_path)
    assert scores["octad_instructions"]["exact_match"].value == answer(chat_model[0], tasks, 2).exact_match.value
    assert "octad_text" not in scores


@torch.no_grad()
def test_choice_and_text_equal_a_loop_over_the_logits(chat_model, tasks, tmp_path):
    model = chat_model[0]
    write_tasks(tmp_path, tasks[:9], PASSAGES[1:2], seed=1)
    scores = run_benchmarks(model, tmp_path, limit=7)
    lines = [json.loads(line) for line in (tmp_path / "octad_choice.jsonl").read_text().splitlines()]
    assert {line["label"] for line in lines} == {0, 1}
    right = 0
    for line, task in zip(lines[:7], tasks, strict=False):
        assert line["choices"][line["label"]] == task.answer + END
        sums = []
        for choice in line["choices"]:
            ids, is_answer = model.chat.answered(line["prompt"], choice.removesuffix(END))
            log_probs = model.model(torch.tensor([ids])).log_softmax(-1)[0]
            sums.append(sum(float(log_probs[i - 1, ids[i]]) for i in range(len(ids)) if is_answer[i]))
        right += int(np.argmax(sums)) == line["label"]
    assert scores["octad_choice"]["acc"].value == pytest.approx(right / 7)
    ids = [model.chat.end_of_text, *model.chat.tokenizer.encode(PASSAGES[1])]
    log_probs = model.model(torch.tensor([ids])).log_softmax(-1)[0]
    bits = -sum(float(log_probs[i - 1, ids[i]]) for i in range(1, len(ids))) / math.log(2)
    estimate = scores["octad_text"]["bits_per_byte"]
    assert estimate.value == pytest.approx(bits / len(PASSAGES[1].encode()), abs=1e-5)
    assert math.isnan(estimate.error)  # one passage


def test_every_token_of_a_long_text_is_scored_once_whatever_the_overlap(chat_model):
    from octad.lm_eval_model import OctadLM

    text_model = TextModel.of(chat_model[0])
    ids = text_model.encode(PASSAGES[0])
    for overlap in (1, 64, 128):
        scored = []
        lm = OctadLM(text_model, rolling_context=overlap)
        lm._score = lambda pairs, kept=scored: kept.extend(pairs) or [(0.0, True)] * len(pairs)
        lm.loglikelihood_rolling(requests((PASSAGES[0],)))
        assert [token for _, window in scored for token in window] == ids
        assert all(len(past) + len(window) <= 129 for past, window in scored)
        assert all(len(past) >= overlap for past, _ in scored[1:])


@torch.no_grad()
def test_corpus_text_that_names_a_special_token_is_plain_text(lm):
    (log_prob,) = lm.loglikelihood_rolling(requests((f"a {END} b",)))
    ids = [lm.text_model.prefix_id, *lm.text_model.tokenizer.encode(f"a {END} b", allowed_special="none")]
    log_probs = lm.text_model.model(torch.tensor([ids])).log_softmax(-1)[0]
    assert log_prob == pytest.approx(sum(float(log_probs[i - 1, ids[i]]) for i in range(1, len(ids))), abs=1e-3)


def test_nothing_has_probability_one_and_a_merge_over_the_border_is_still_scored(lm):
    assert lm.loglikelihood(requests(("The cat", ""), ("", ""))) == [(0.0, True)] * 2
    # "日本" alone has as many tokens as "日本語", so that lm-eval's split would leave nothing to score
    assert len(lm.text_model.encode("日本")) >= len(lm.text_model.encode("日本語"))
    ((log_prob, _),) = lm.loglikelihood(requests(("日本", "語")))
    assert log_prob < 0


def test_continuation_longer_than_the_context_is_refused(lm):
    with pytest.raises(OctadError, match="loglikelihood_rolling"):
        lm.loglikelihood(requests(("a", PASSAGES[0])))


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"max_gen_toks": 128}, "leaves no room"),
        ({"max_gen_toks": 0}, "leaves no room"),
        ({"num_beams": 4}, "num_beams unknown"),
    ],
)
def test_generation_setting_that_cannot_be_kept_is_refused(lm, settings, words):
    with pytest.raises(OctadError, match=words):
        lm.generate_until(requests(("a", settings)))


def test_sampled_generations_follow_the_seed(chat_model):
    from octad.lm_eval_model import OctadLM

    given = requests(("The", {"do_sample": True, "temperature": 1.0, "max_gen_toks": 12}))
    text_model = TextModel.of(chat_model[0])
    texts = [OctadLM(text_model, seed=seed).generate_until(given)[0] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_generation_knows_whether_it_ended(lm, tasks):
    context = conversation(lm, tasks, 1)[0]
    ended, cut = lm.generate_until(requests((context, {"max_gen_toks": 24}), (context, {"max_gen_toks": 1})))
    assert ended.is_finished and not cut.is_finished


def test_long_contexts_are_counted_in_one_warning(chat_model, tmp_path):
    write_person_task(tmp_path, [{"q": PASSAGES[0], "a": " late"}, {"q": PASSAGES[0] * 2, "a": " mat"}])
    text_model = replace(TextModel.of(chat_model[0]), template=None)
    with pytest.warns(UserWarning, match="2 contexts were longer than the model's 128 tokens"):
        evaluate_tasks(text_model, tmp_path)


def write_person_task(folder, lines, name="mine", **settings):
    (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    config = {
        "task": name,
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": f"{name}.jsonl"}},
        "test_split": "test",
        "output_type": "loglikelihood",
        "doc_to_text": "q",
        "doc_to_target": "a",
        "metric_list": [
            {"metric": "acc", "aggregation": "mean", "higher_is_better": True},
            {"metric": "perplexity", "aggregation": "perplexity", "higher_is_better": False},
        ],
        **settings,
    }
    (folder / f"{name}.yaml").write_text(json.dumps(config))  # JSON is YAML


def test_persons_own_tasks_need_no_network_and_leave_no_trace(chat_model, tmp_path, monkeypatch, capsys):
    def refuse(*_):
        raise AssertionError("the network was asked")

    (tmp_path / "tasks").mkdir()
    write_person_task(tmp_path / "tasks", [{"q": "The cat", "a": " sat"}, {"q": "It was", "a": " late"}])
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.chdir(tmp_path)
    random_state = torch.get_rng_state()
    scores = evaluate_tasks(TextModel.of(chat_model[0]), tmp_path / "tasks")
    assert evaluate_tasks(TextModel.of(chat_model[0]), tmp_path / "tasks", ["mine"]) == scores
    assert set(scores["mine"]) == {"acc", "perplexity"}
    assert scores["mine"]["perplexity"].value > 1 and scores["mine"]["perplexity"].error > 0
    assert capsys.readouterr() == ("", "")
    assert torch.equal(random_state, torch.get_rng_state())
    assert {path.name for path in (tmp_path / "tasks").iterdir()} == {"mine.jsonl", "mine.yaml"}
    import datasets.config

    assert "octad-tasks-" not in str(datasets.config.HF_DATASETS_CACHE)


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda folder: None, "holds no lm-eval task"),
        (lambda folder: write_person_task(folder, [], dataset_kwargs={"data_files": {"test": "gone"}}), "mine: "),
        (lambda folder: write_person_task(folder, [{"q": "a", "a": "b"}], output_type="guess"), "guess"),
        (lambda folder: write_person_task(folder, [{"q": "a", "a": "b"}], doc_to_text="{{p}}"), "mine: .*undefined"),
    ],
)
def test_folder_without_a_task_that_runs_is_an_error(chat_model, tmp_path, prepare, words):
    prepare(tmp_path)
    with pytest.raises(OctadError, match=words):
        evaluate_tasks(TextModel.of(chat_model[0]), tmp_path)


def test_wrong_limit_name_or_folder_is_an_error(chat_model, tmp_path):
    with pytest.raises(OctadError, match="limit=0"):
        run_benchmarks(chat_model[0], tmp_path, limit=0)
    write_person_task(tmp_path, [{"q": "a", "a": "b"}], name="choices")
    with pytest.raises(OctadError, match="did you mean choices"):
        evaluate_tasks(TextModel.of(chat_model[0]), tmp_path, ["choises"])
    with pytest.raises(OctadError, match="no such folder"):
        run_benchmarks(chat_model[0], tmp_path / "gone")


@pytest.mark.parametrize("aggregation", ["mean", "perplexity", "bits_per_byte", "weighted_perplexity"])
def test_standard_errors_equal_the_bootstrap_of_lm_evals_aggregations(aggregation):
    from lm_eval.api.registry import get_aggregation

    rng = np.random.default_rng(0)
    items = list(rng.normal(-1.0, 0.5, 400))
    if aggregation in ("bits_per_byte", "weighted_perplexity"):
        sizes = rng.integers(50, 400, 400)
        items = [(item * size, size) for item, size in zip(items, sizes, strict=True)]
    how = get_aggregation(aggregation)
    drawn = [how([items[i] for i in rng.integers(0, len(items), len(items))]) for _ in range(1000)]
    # the bootstrap's own error is 1 / sqrt(2 * 1000) = 2.2 %; four of those, and 1 / n for the curvature
    assert standard_error(aggregation, items) == pytest.approx(float(np.std(drawn)), rel=0.1)
    assert math.isnan(standard_error(aggregation, items[:1]))
    assert math.isnan(standard_error("f1", items))


@pytest.mark.parametrize("begins", [False, True])
def test_foreign_folder_is_read_as_transformers_reads_it(tmp_path, begins):
    transformers = pytest.importorskip("transformers")
    names = ["<s>", "</s>"]
    tokenizer = train_bpe(["Café au lait, naïve\n"], vocab_size=264, special_tokens=names)
    save_pretrained(llama_decoder(264, 16, 1, 2, 1).build(), tmp_path, {"eos_token_id": 263})
    file = tokenizer.save(tmp_path)
    content = json.loads(file.read_text())
    content["normalizer"] = {"type": "NFC"}
    if begins:
        pieces = [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
        content["post_processor"] = {
            "type": "TemplateProcessing",
            "single": pieces,
            "pair": [*pieces, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [262], "tokens": ["<s>"]}},
        }
    file.write_text(json.dumps(content))
    template = "{{ bos_token }}{% for m in messages %}[{{ m['role'] }}]{{ m['content'] }}{% endfor %}"
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<s>",
        "eos_token": {"content": "</s>", "__type": "AddedToken"},
    }
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**settings, "chat_template": template}))
    theirs, ours = transformers.AutoTokenizer.from_pretrained(tmp_path), TextModel.load(tmp_path)
    for text in ("Café", "Cafe\u0301 au </s>", "", "<s>lait"):
        if not (begins and text.startswith("<s>")):  # lm-eval gives a text one begin token, not two
            assert ours.encode(text) == theirs.encode(text), text
    assert (ours.prefix_id, ours.stop_ids, ours.has_prefix) == (262, (263,), begins)
    messages = [{"role": "user", "content": "Cafe\u0301"}]
    ids = theirs.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ours.prompt(messages) == ids


def test_folder_that_cannot_be_followed_says_why(chat_model, tmp_path):
    with pytest.raises(OctadError, match=r"no config\.json"):
        TextModel.load(tmp_path)
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((chat_model[1] / name).read_bytes())
    with pytest.raises(OctadError, match="has no chat template"):
        TextModel.load(tmp_path).prompt([{"role": "user", "content": "hello"}])
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    for part, kind in (("normalizer", "Lowercase"), ("post_processor", "BertProcessing")):
        (tmp_path / "tokenizer.json").write_text(json.dumps({**content, part: {"type": kind}}))
        with pytest.raises(OctadError, match=kind):
            TextModel.load(tmp_path)


def test_eval_command_prints_a_table_and_writes_json(chat_model, tasks, tmp_path, capsys):
    from octad.commands.eval import eval as evaluate

    write_tasks(tmp_path / "tasks", tasks[:6], PASSAGES[:2], seed=1)
    evaluate(chat_model[1], tasks=str(tmp_path / "tasks"), limit=3, out=tmp_path / "results.json")
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4 and "octad_choice" in said[1] and "±" in said[1]
    found = json.loads((tmp_path / "results.json").read_text())
    assert set(found["results"]["octad_text"]["bits_per_byte"]) == {"value", "error"}
    with pytest.raises(OctadError, match="is no run; give --tasks"):
        evaluate(chat_model[1])


def test_estimates_are_plain_numbers_that_json_can_hold(chat_model, tasks, tmp_path):
    write_tasks(tmp_path, tasks[:4], PASSAGES[:2], seed=1)
    for metrics in run_benchmarks(chat_model[0], tmp_path).values():
        for estimate in metrics.values():
            assert isinstance(estimate, Estimate)
            assert type(estimate.value) is float and type(estimate.error) is float
