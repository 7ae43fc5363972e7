"""The training loop: one for every stage, through accelerate, from its last good checkpoint to its last step."""

from __future__ import annotations

import contextlib
import copy
import json
import math
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Protocol

import torch
from octad_optim import Schedule, apply, clip_grad_norm
from octad_systems import (
    StepMeter,
    latest_checkpoint,
    load_checkpoint,
    prune_checkpoints,
    save_checkpoint,
    write_atomically,
)
from torch import Tensor

from octad.errors import OctadError
from octad.interruption import Wish, stop, stop_after_step
from octad.kernels import plug_in_kernels
from octad.objective import Batch, Objective
from octad.pipeline import Context

KEEP_CHECKPOINTS = 2
MEASURED_STEPS = 4
MEASURED_SECONDS = 3.0


class Batches(Protocol):
    """Where a stage's batches come from."""

    def __call__(self, objective: Objective, step: int) -> list[Batch]:
        """This process's micro-batches of a step; called with steps in order."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What must be kept to go on exactly."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was taken."""
        ...


@dataclass(frozen=True)
class Job:
    """What one stage trains.

    Attributes:
        objective: the model with its loss.
        optimizer: from the objective to its optimizer, called on a copy too, to measure the speed.
        schedule: from the number of steps to the multiplier of the learning rate at each.
        batches: makes this process's share of every step; called anew to measure the speed.
        seconds: time to spend, when `steps` is 0.
        steps: number of steps.
        max_grad_norm: gradients are scaled down to this norm.
        flops_per_token: of training, for the share of the machine's peak that is shown; 0 shows none.
    """

    objective: Objective
    optimizer: Callable[[Objective], torch.optim.Optimizer]
    schedule: Callable[[int], Schedule]
    batches: Callable[[], Batches]
    seconds: float = 0.0
    steps: int = 0
    max_grad_norm: float = 1.0
    flops_per_token: float = 0.0


def train(context: Context, job: Job) -> Mapping[str, Any]:
    """Train to the end; the objective's model then holds the final weights. Returns the stage's figures."""
    accelerator = context.processes.accelerator
    job.objective.to(accelerator.device)
    if accelerator.device.type == "cpu":
        plug_in_kernels(job.objective.model)
    total = context.processes.on_main(lambda: _total_steps(context, job))
    optimizer = job.optimizer(job.objective)
    batches = job.batches()
    start, before = _resume(context, job.objective, optimizer, batches)
    wrapped, prepared = accelerator.prepare(job.objective, optimizer)
    run = _Run(context, job, wrapped, prepared, batches, total, before)
    with stop_after_step(context.reporter.stopping) as wish:
        for step in range(start, total):
            run.step(step, wish)
        if start < total:
            run.save(total)
    if wish.is_asked:  # during the last step, or while it was saved
        stop(wish.number)
    return run.summary(start)


@dataclass(frozen=True)
class Before:
    """What the steps before a checkpoint showed: the smoothed figures, and the tokens trained on."""

    smooth: Mapping[str, float] = field(default_factory=dict)
    tokens: int = 0


class _Run:
    """The state of one call of `train`."""

    def __init__(
        self,
        context: Context,
        job: Job,
        model: torch.nn.Module,
        optimizer: torch.optim.Optimizer,
        batches: Batches,
        total: int,
        before: Before,
    ) -> None:
        self.context, self.job, self.model, self.optimizer = context, job, model, optimizer
        self.batches, self.total, self.schedule = batches, total, job.schedule(total)
        self.processes = context.processes
        self.log_every = max(1, total // 1000)
        self.saved_at = time.monotonic()
        self.meter = StepMeter(window=20)
        self.smooth, self.tokens = dict(before.smooth), before.tokens

    def step(self, step: int, wish: Wish) -> None:
        """One update, and what belongs around it."""
        means, tokens, is_stopped = self.update(step, wish.is_asked)
        self.meter.step(tokens)
        self.tokens += tokens
        self.report(step, means, tokens)
        if is_stopped:
            self.save(step + 1)
            self.context.reporter.note(f"{self.context.stage}: saved after step {step + 1:,} of {self.total:,}")
            stop(wish.number or signal.SIGTERM)
        if self.processes.on_main(lambda: time.monotonic() - self.saved_at) > self.context.recipe.checkpoint_seconds:
            self.save(step + 1)

    def update(self, step: int, is_asked_to_stop: bool) -> tuple[dict[str, float], int, bool]:
        """Forward, backward, clip, step. The mean is over all micro-batches of all processes."""
        accelerator, objective = self.processes.accelerator, self.job.objective
        micro_batches = [
            {name: tensor.to(accelerator.device) for name, tensor in batch.items()}
            for batch in self.batches(objective, step)
        ]
        objective.train()
        facts = torch.tensor(
            [
                sum(objective.count(batch) for batch in micro_batches),
                sum(batch["tokens"].numel() for batch in micro_batches),
                float(is_asked_to_stop),
            ],
            dtype=torch.float64,
        ).to(accelerator.device)
        count, tokens, stops = accelerator.reduce(facts).tolist() if self.processes.world_size > 1 else facts.tolist()
        totals: dict[str, Tensor] = {}
        for number, batch in enumerate(micro_batches):
            is_last = number == len(micro_batches) - 1
            with contextlib.nullcontext() if is_last else accelerator.no_sync(self.model):
                sums = self.model(batch)
                # distributed training averages over processes; the mean here is over counts
                accelerator.backward(sums["loss"] * (self.processes.world_size / max(count, 1.0)))
            for name, value in sums.items():
                totals[name] = totals.get(name, 0.0) + value.detach()
        norm = clip_grad_norm(objective.parameters(), self.job.max_grad_norm)
        apply(self.optimizer, self.schedule, step)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        stacked = torch.stack([value.double() for value in totals.values()])
        stacked = accelerator.reduce(stacked) if self.processes.world_size > 1 else stacked
        means = {name: value / max(count, 1.0) for name, value in zip(totals, stacked.tolist(), strict=True)}
        self.check(step, means["loss"], float(norm))
        return {**means, "grad_norm": float(norm)}, int(tokens), stops > 0

    def check(self, step: int, loss: float, norm: float) -> None:
        """Stop at the first loss that is not a number: what follows would be lost time."""
        if not (math.isfinite(loss) and math.isfinite(norm)):
            stage = self.context.stage
            raise OctadError(
                f"{stage}: the loss is {loss} and the gradient's norm {norm} at step {step}; "
                f"lower {stage}.learning_rate and run again (it continues from the last checkpoint)"
            )

    def report(self, step: int, means: Mapping[str, float], tokens: int) -> None:
        """The progress line, and every so often a point in `metrics.jsonl`."""
        for name, value in means.items():
            self.smooth[name] = value if name not in self.smooth else 0.9 * self.smooth[name] + 0.1 * value
        if not self.processes.is_main:
            return
        speed = self.meter.tokens_per_s or 0.0
        if step % self.log_every == 0 or step == self.total - 1:
            values = {**means, "lr_multiplier": self.schedule(step), "tokens_per_s": speed}
            self.context.folder.log(self.context.stage, step, {n: float(f"{v:.6g}") for n, v in values.items()})
        facts = [f"loss {self.smooth['loss']:.3f}", *self.headline(), f"{speed:,.0f} tok/s"]
        if share := self.share_of_peak(speed):
            facts.append(f"{share:.0%} of peak")
        seconds_left = (self.total - step - 1) * tokens / speed if speed else None
        self.context.reporter.update(step + 1, self.total, facts, seconds_left)

    def headline(self) -> list[str]:
        """The one figure beside the loss that says whether the stage works."""
        return [f"{name} {self.smooth[name]:.2f}" for name in ("reward", "accuracy") if name in self.smooth]

    def share_of_peak(self, tokens_per_s: float) -> float:
        """Model FLOPs a second over what this machine's matrix products reach."""
        peak = self.context.summary("plan").get("peak_flops_per_s", 0.0) if self.job.flops_per_token else 0.0
        return tokens_per_s * self.job.flops_per_token / (peak * self.processes.world_size) if peak else 0.0

    def save(self, step: int) -> None:
        """A checkpoint after `step` steps; the first process writes."""
        with self.meter.paused():
            self._save(step)
        self.saved_at = time.monotonic()

    def _save(self, step: int) -> None:
        self.processes.wait_for_everyone()
        if self.processes.is_main:
            state = {
                "model": self.job.objective.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "batches": self.batches.state_dict(),
                "smooth": self.smooth,
                "tokens": self.tokens,
            }
            facts = {"step": step, "key": self.context.key}
            save_checkpoint(self.context.path() / f"step-{step:06d}", state, metadata=facts)
            prune_checkpoints(self.context.path(), KEEP_CHECKPOINTS)
        self.processes.wait_for_everyone()

    def summary(self, start: int) -> dict[str, Any]:
        """Figures for the stage's record."""
        figures: dict[str, Any] = {
            "steps": self.total,
            "tokens": self.tokens,
            "resumed_at": start,
            **self.smooth,
        }
        if speed := self.meter.tokens_per_s:
            figures |= {"tokens_per_s": speed, "share_of_peak": self.share_of_peak(speed)}
        return figures


def _resume(
    context: Context, objective: Objective, optimizer: torch.optim.Optimizer, batches: Batches
) -> tuple[int, Before]:
    """Load the newest good checkpoint, name the bad ones; the steps that it has behind it, and what they showed."""
    path, problems = latest_checkpoint(context.path())
    for problem in problems:
        context.reporter.note(f"{context.stage}: passed over {problem}")
    if context.processes.is_main:  # what was measured after the checkpoint is measured again
        context.folder.forget_metrics(context.stage, after_step=_steps_of(path) - 1)
    if path is None:
        return 0, Before()
    step = _steps_of(path)
    state = load_checkpoint(path)
    objective.model.load_state_dict(state["model"])
    optimizer.load_state_dict(state["optimizer"])
    batches.load_state_dict(state["batches"])
    context.reporter.note(f"{context.stage}: continuing after step {step:,} from {path.name}")
    return step, Before(state["smooth"], state["tokens"])


def _steps_of(path: Path | None) -> int:
    return int(path.name.removeprefix("step-")) if path is not None else 0


def _total_steps(context: Context, job: Job) -> int:
    """The number of steps, decided once a stage: given, or what fits into the seconds at the measured speed."""
    if job.steps:
        return job.steps
    file = context.path() / "length.json"
    if file.is_file():
        return int(json.loads(file.read_text())["steps"])
    seconds = seconds_per_step(job)
    steps = max(10, int(job.seconds / seconds))
    write_atomically(file, json.dumps({"steps": steps, "seconds_per_step": seconds, "seconds": job.seconds}))
    return steps


def seconds_per_step(job: Job) -> float:
    """Median time of a few real steps on a copy of the model."""
    objective = copy.deepcopy(job.objective)
    optimizer = job.optimizer(objective)
    device = next(objective.parameters()).device
    batches = job.batches()
    times: list[float] = []
    for step in range(MEASURED_STEPS):
        if sum(times) > MEASURED_SECONDS and step > 1:
            break
        start = time.perf_counter()
        for batch in batches(objective, step):
            moved = {name: tensor.to(device) for name, tensor in batch.items()}
            (objective(moved)["loss"] / max(objective.count(moved), 1.0)).backward()
        clip_grad_norm(objective.parameters(), job.max_grad_norm)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return median(times[1:])
