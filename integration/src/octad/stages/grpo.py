"""GRPO: the model answers, the verifier judges, and what is better than the group's mean becomes more likely."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from octad_align import GroupAdvantages, Task, generate_tasks, group_advantages, verify
from octad_infer import Completion, Sampling, generate
from octad_optim import muon_and_adamw

from octad.batches import ShuffledRows, pad, place
from octad.chat_format import ChatTokenizer
from octad.model import ChatModel
from octad.objective import Batch, Grpo, Objective
from octad.pipeline import Context
from octad.recipe import GrpoRecipe
from octad.stages.pretrain import wsd
from octad.training import Job, train

TASK_SEED = 2_000_003


def grpo(context: Context) -> Mapping[str, Any]:
    """Train on verified rewards; the model lands in `model/`."""
    settings, processes, seed = context.recipe.grpo, context.processes, context.recipe.seed
    start = ChatModel.load(context.path("dpo") / "model", processes.accelerator.device)
    tasks = generate_tasks(seed + TASK_SEED, settings.instructions, num_items=(2, context.recipe.grpo.max_items))
    objective = Grpo(start.model, settings.reference_weight, settings.max_new_tokens)
    reference = copy.deepcopy(objective).requires_grad_(False).eval() if settings.reference_weight else None
    order = ShuffledRows(len(tasks), settings.prompts, seed, processes)
    job = Job(
        objective,
        lambda trained: muon_and_adamw(trained.model, lr=settings.learning_rate, weight_decay=0.0),
        partial(wsd, warmup=0.05, decay=0.3),
        lambda: Rollouts(settings, seed, tasks, start.chat, reference, order),
        seconds=settings.seconds,
        steps=settings.steps,
    )
    summary = train(context, job)
    if processes.is_main:
        start.save(context.path() / "model", context.path("tokenizer"))
    return {"headline": f"reward {summary['reward']:.3f} after {summary['steps']:,} steps", **summary}


class Rollouts:
    """Answers of the present policy to a step's instructions, with their rewards and advantages."""

    def __init__(
        self,
        settings: GrpoRecipe,
        seed: int,
        tasks: Sequence[Task],
        chat: ChatTokenizer,
        reference: Objective | None,
        order: ShuffledRows,
    ) -> None:
        self.settings, self.seed, self.tasks, self.chat = settings, seed, tasks, chat
        self.reference, self.order = reference, order
        self.state_dict, self.load_state_dict = order.state_dict, order.load_state_dict

    def __call__(self, objective: Objective, step: int) -> list[Batch]:
        """One padded batch of prompts x group rows, without the groups that teach nothing."""
        tasks = [self.tasks[i] for i in self.order.rows(step)]
        prompts = [self.chat.instruction(task.prompt) for task in tasks]
        completions = self.sample(objective, prompts, step)
        rewards = torch.tensor([self.judge(tasks[c.prompt_index], c) for c in completions])
        groups = group_advantages(rewards.view(len(tasks), self.settings.group), scale="none")
        kept = [number for number, c in enumerate(completions) if self.teaches(groups, c.prompt_index)]
        answers = [completions[number] for number in kept]
        rows = [
            ([*prompts[c.prompt_index], *c.tokens], [False] * len(prompts[c.prompt_index]) + [True] * len(c.tokens))
            for c in answers
        ]
        batch = pad(rows, self.chat.end_of_text)
        batch["old_log_probs"] = place([c.log_probs for c in answers], batch["targets"])
        batch["advantages"] = groups.advantages.flatten()[kept]
        batch["rewards"] = rewards
        if self.reference is not None:
            device = next(self.reference.parameters()).device
            with torch.no_grad():
                moved = {name: tensor.to(device) for name, tensor in batch.items()}
                batch["reference_log_probs"] = self.reference.log_probs(moved)
        return [batch]

    def sample(self, objective: Objective, prompts: Sequence[Sequence[int]], step: int) -> list[Completion]:
        """`group` answers to each prompt; the noise is a function of run, step and the prompt's place in the batch."""
        return generate(
            objective.model,
            prompts,
            n=self.settings.group,
            max_new_tokens=self.settings.max_new_tokens,
            sampling=Sampling(temperature=self.settings.temperature),
            stop_ids=self.chat.stop_ids,
            batch_size=len(prompts) * self.settings.group,
            max_len=objective.model.spec.context_length,
            seed=(self.seed << 32) + step,
            noise_keys=self.order.places(),
        )

    def teaches(self, groups: GroupAdvantages, prompt: int) -> bool:
        """Whether a group has a gradient; the first one stays in any case, so that no batch is empty.

        Equal rewards make every advantage 0. Leaving such answers out of the batch changes no gradient, as the mean
        still counts them, and saves most of the step once most answers are right.
        """
        return prompt == 0 or self.reference is not None or not bool(groups.is_constant[prompt])

    def judge(self, task: Task, completion: Completion) -> float:
        """The verifier's reward; an answer that did not end is worth nothing."""
        return verify(task, self.chat.text(completion.tokens)).value if completion.finish_reason == "stop" else 0.0
