"""DPO: right answers are preferred to the model's own wrong ones, against the model that entered the stage."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from typing import Any

import torch
from octad_align import PreferencePair, Task, generate_tasks, preference_pairs, sequence_log_probs, verify
from octad_infer import Completion, Sampling, generate
from octad_optim import muon_and_adamw
from octad_systems import write_atomically

from octad.account import training_flops
from octad.batches import ShuffledRows, by_length, pad
from octad.chat_format import ChatTokenizer
from octad.model import ChatModel
from octad.objective import IGNORE, Batch, Dpo, DpoSettings, Objective
from octad.pipeline import Context
from octad.stages.pretrain import wsd
from octad.training import Job, train

TASK_SEED = 1_000_003  # other tasks than SFT saw, of the same training split
MICRO_BATCHES = 2
SAMPLED_AT_ONCE = 256
OWN_MISTAKE = "own_mistake"


def dpo(context: Context) -> Mapping[str, Any]:
    """Train on preference pairs; they land in `pairs.jsonl`, the model in `model/`."""
    settings, processes, seed = context.recipe.dpo, context.processes, context.recipe.seed
    start = ChatModel.load(context.path("sft") / "model", processes.accelerator.device)
    pairs = find_pairs(context, start)
    objective = Dpo(start.model, DpoSettings(settings.beta, settings.nll_weight))
    reference = copy.deepcopy(objective).requires_grad_(False).eval()
    order = ShuffledRows(len(pairs), settings.batch_size, seed, processes)
    job = Job(
        objective,
        lambda trained: muon_and_adamw(trained.model, lr=settings.learning_rate, weight_decay=0.0),
        partial(wsd, warmup=0.1, decay=0.5),
        lambda: DpoBatches(pairs, start.chat, reference, order),
        seconds=settings.seconds,
        steps=settings.steps,
        flops_per_token=training_flops(start.model.spec, 64) * 4 / 3,  # the reference's forward pass too
    )
    summary = train(context, job)
    if processes.is_main:
        start.save(context.path() / "model", context.path("tokenizer"))
    mistakes = sum(pair.corruption == OWN_MISTAKE for pair in pairs)
    return {
        "headline": f"{summary['accuracy']:.1%} of pairs in order, {mistakes / len(pairs):.0%} of them own mistakes",
        "pairs": len(pairs),
        "own_mistakes": mistakes,
        **summary,
    }


def find_pairs(context: Context, model: ChatModel) -> list[PreferencePair]:
    """One pair an instruction; the first process samples them, once, into `pairs.jsonl`."""
    file = context.path() / "pairs.jsonl"

    def write() -> None:
        if not file.is_file():
            write_atomically(file, "".join(json.dumps(asdict(pair)) + "\n" for pair in sample_pairs(context, model)))

    context.processes.on_main(write)
    return [PreferencePair(**json.loads(line)) for line in file.read_text(encoding="utf-8").splitlines()]


def sample_pairs(context: Context, model: ChatModel) -> list[PreferencePair]:
    """The right answer against the one that the model gave, where the verifier finds that wrong.

    Where the model was right, or never came to an end, the wrong answer is a plausible corruption of the right one:
    with the mistakes alone, what the model does well would be missing from the training, and be forgotten.
    """
    settings, chat = context.recipe.dpo, model.chat
    tasks = generate_tasks(context.recipe.seed + TASK_SEED, settings.instructions, num_items=(2, settings.max_items))
    answers: list[Completion] = []
    for begin in range(0, len(tasks), SAMPLED_AT_ONCE):
        part = tasks[begin : begin + SAMPLED_AT_ONCE]
        context.reporter.update(begin, len(tasks), ["instructions answered"])
        answers += generate(
            model.model,
            [chat.instruction(task.prompt) for task in part],
            max_new_tokens=context.recipe.grpo.max_new_tokens,
            sampling=Sampling(temperature=settings.temperature),
            stop_ids=chat.stop_ids,
            batch_size=SAMPLED_AT_ONCE,
            max_len=model.context,
            seed=context.recipe.seed,
            noise_keys=range(begin, begin + len(part)),
        )
    plausible = preference_pairs(tasks, context.recipe.seed)
    return [own_mistake(chat, *row) or row[2] for row in zip(tasks, answers, plausible, strict=True)]


def own_mistake(
    chat: ChatTokenizer, task: Task, answer: Completion, plausible: PreferencePair
) -> PreferencePair | None:
    """The plausible pair with the model's own wrong answer in the place of the rejected one."""
    text = chat.text(answer.tokens)
    is_wrong = answer.finish_reason == "stop" and text.strip() and verify(task, text).value < 1
    return replace(plausible, rejected=text, corruption=OWN_MISTAKE) if is_wrong else None


class DpoBatches:
    """Chosen answers, then the rejected ones, with their log-probabilities under the frozen reference."""

    def __init__(
        self, pairs: Sequence[PreferencePair], chat: ChatTokenizer, reference: Objective, order: ShuffledRows
    ) -> None:
        self.pairs, self.chat, self.reference, self.order = pairs, chat, reference, order
        self.state_dict, self.load_state_dict = order.state_dict, order.load_state_dict

    def __call__(self, objective: Objective, step: int) -> list[Batch]:
        """Padded batches of 2 x pairs rows, pairs of like length together."""
        pairs = [self.pairs[i] for i in self.order.rows(step)]
        rows = [
            (self.chat.answered(pair.prompt, pair.chosen), self.chat.answered(pair.prompt, pair.rejected))
            for pair in pairs
        ]
        return [self.batch(part) for part in by_length(rows, MICRO_BATCHES, lambda row: len(row[0][0]))]

    def batch(self, rows: Sequence[Sequence[tuple[list[int], list[bool]]]]) -> Batch:
        """One padded batch."""
        device = next(self.reference.parameters()).device
        batch = pad([row[0] for row in rows] + [row[1] for row in rows], self.chat.end_of_text)
        batch = {name: tensor.to(device) for name, tensor in batch.items()}
        with torch.no_grad():
            log_probs = self.reference.log_probs(batch)
        return {**batch, "reference": sequence_log_probs(log_probs, batch["targets"] != IGNORE)}
