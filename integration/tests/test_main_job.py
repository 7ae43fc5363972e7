import io
import json
import os
import subprocess
import sys

import pytest
import torch
from octad.main_job import stages
from octad.model import ChatModel
from octad.pipeline import Context, execute
from octad.processes import Processes
from octad.recipe_files import load_recipe
from octad.reporter import Reporter
from octad.run_folder import RunFolder

TINY = [
    "tokenizer.vocab_size=280",
    "corpus.held_out=0.25",
    "model.sizes=[[64, 1]]",
    "model.context=128",
    "pretrain.tokens=5120",
    "pretrain.batch_size=4",
    "sft.steps=4",
    "sft.instructions=200",
    "dpo.steps=3",
    "dpo.instructions=40",
    "grpo.steps=2",
    "grpo.prompts=2",
    "grpo.group=2",
    "grpo.instructions=60",
    "evaluate.instructions=12",
]


def write_corpus(folder):
    folder.mkdir()
    for number in range(40):
        animal, place = ["cat", "dog", "bird", "fish"][number % 4], ["mat", "log", "tree", "pond"][number // 10]
        text = "\n\n".join(f"Story {number}.{part}: a {animal} sat on the {place} {part} times." for part in range(60))
        (folder / f"{number}.txt").write_text(text)


def carry_out(path, overrides, until=None):
    recipe = load_recipe("quickstart", [*TINY, *overrides])
    reporter = Reporter(io.StringIO())
    context = Context(recipe, RunFolder.create(path, recipe), reporter, Processes(recipe))
    everything = stages()
    names = [stage.name for stage in everything]
    execute(everything[: names.index(until) + 1] if until else everything, context)
    return context, reporter.console.file.getvalue()


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("main_job")
    write_corpus(folder / "corpus")
    source = f"corpus.source={str(folder / 'corpus')!r}"
    context, said = carry_out(folder / "run", [source])
    return context, said, source


def test_main_job_leaves_every_stage_done(run):
    context, said, _ = run
    for stage in stages():
        record = context.folder.stage(stage.name)
        assert record.is_done and record.summary["headline"] in said
    results = json.loads((context.path("evaluate") / "results.json").read_text())
    assert set(results["models"]) == {"pretrain", "sft", "dpo", "grpo"}
    for model in results["models"].values():
        assert 0 <= model["exact_match"]["value"] <= 1
        assert all(0 < estimate["value"] < 12 for estimate in model["bits_per_byte"].values())
    assert {point["stage"] for point in context.folder.metrics()} == {"pretrain", "sft", "dpo", "grpo"}


def test_second_run_does_nothing(run):
    context, _, source = run
    files = {p: p.stat().st_mtime_ns for p in context.folder.path.rglob("*") if p.parent != context.folder.path}
    _, said = carry_out(context.folder.path, [source])
    assert said.count("  done  ") == len(stages())
    assert {p: p.stat().st_mtime_ns for p in files} == files


def test_two_processes_reach_the_losses_of_one(run, tmp_path):
    context, _, source = run
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    overrides = [part for override in [*TINY, source] for part in ("--set", override)]
    command = [
        *launch,
        "-m",
        "octad",
        "run",
        "quickstart",
        "--out",
        str(tmp_path / "run"),
        "--until",
        "grpo",
        *overrides,
    ]
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr
    alone, together = (
        {(point["stage"], point["step"]): point["loss"] for point in folder.metrics()}
        for folder in (context.folder, RunFolder(tmp_path / "run"))
    )
    assert alone.keys() == together.keys()
    for stage, step in alone:
        assert abs(alone[stage, step] - together[stage, step]) < 1e-5, (stage, step)


def test_model_folder_loads_in_transformers_with_equal_logits(run):
    transformers = pytest.importorskip("transformers")
    context, _, _ = run
    folder = context.path("grpo") / "model"
    ours, theirs = ChatModel.load(folder), transformers.AutoModelForCausalLM.from_pretrained(folder)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    messages = [{"role": "user", "content": "Reverse the list: k, q, z."}]
    ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=False)
    assert ids == ours.chat.prompt(messages)
    with torch.no_grad():
        gap = (ours.model(torch.tensor([ids])) - theirs(torch.tensor([ids])).logits).abs().max()
    assert gap < 1e-5  # float32, both on the CPU


def test_torn_checkpoint_is_named_and_the_one_before_it_used(run, tmp_path):
    _, _, source = run
    context, _ = carry_out(tmp_path / "run", [source, "checkpoint_seconds=0.0"], until="pretrain")
    stage = context.path("pretrain")
    newest = max(stage.glob("step-*"))
    (newest / "tensors.safetensors").write_bytes(b"torn")
    record = json.loads((stage / "stage.json").read_text())
    (stage / "stage.json").write_text(json.dumps({**record, "is_done": False}))
    weights = ChatModel.load(stage / "model").model.state_dict()
    again, said = carry_out(tmp_path / "run", [source, "checkpoint_seconds=0.0"], until="pretrain")
    assert f"passed over {newest.name}" in said and "continuing after step 9" in said
    for name, tensor in ChatModel.load(again.path("pretrain") / "model").model.state_dict().items():
        assert torch.equal(tensor, weights[name]), name
