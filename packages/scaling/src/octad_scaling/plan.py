"""The size to train: for a budget of FLOPs, or for a time on hardware whose speed was measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from octad_scaling.chinchilla import ChinchillaLaw
from octad_scaling.errors import ScalingError, require_positive
from octad_scaling.repetition import DataConstrainedLaw, Repetition

MAX_EPOCHS = 16.0
"""Past about 1 + R_D* passes a token's further repeats are worth less than 1/e of a fresh one (Muennighoff et al.)."""

TIE = 1e-9


class Law(Protocol):
    """What a planner asks of a law."""

    def predict(self, parameters: ArrayLike, tokens: ArrayLike) -> NDArray[np.float64]:
        """The loss at N parameters and D tokens, in nats a token."""
        ...


class OptimalLaw(Law, Protocol):
    """A law that knows its compute-optimal size."""

    def compute_optimal(self, flops: float) -> tuple[float, float]:
        """The (N, D) of least loss with 6 N D = flops."""
        ...


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that could be trained, and its measured speed.

    Args:
        name: as it shall stand in the plan.
        parameters: N, > 0, counted as in the law's records.
        tokens_per_s: training throughput on the hardware at hand, > 0.

    Raises:
        ScalingError: a value is not a finite number > 0.
    """

    name: str
    parameters: float
    tokens_per_s: float

    def __post_init__(self) -> None:
        require_positive(f"Candidate {self.name!r}", parameters=self.parameters, tokens_per_s=self.tokens_per_s)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one candidate would reach.

    Args:
        candidate: which.
        tokens: trained on, repeats counted.
        epochs: passes over the unique tokens; 0 where their number was not given.
        seconds: used; less than was offered where the data ended first.
        flops: 6 N D.
        loss: predicted, in nats a token.
        stopped_by: "time", or "data" where `max_epochs` came first.
    """

    candidate: Candidate
    tokens: float
    epochs: float
    seconds: float
    flops: float
    loss: float
    stopped_by: Literal["time", "data"]


@dataclass(frozen=True, slots=True)
class Plan:
    """The candidate to train, and why.

    Args:
        chosen: the candidate of least predicted loss.
        tokens: to train it on.
        loss: predicted.
        table: every candidate's outcome, in the order given.
        reason: in words: the margin, ties, and whether the choice sits at an edge of the candidates.
    """

    chosen: Candidate
    tokens: float
    loss: float
    table: tuple[Outcome, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class SizePlan:
    """The size and data for a budget of FLOPs: N, D, the predicted loss, epochs (0: not asked), and why."""

    parameters: float
    tokens: float
    loss: float
    flops: float
    epochs: float
    reason: str


def plan_for_time(
    law: Law,
    candidates: Sequence[Candidate],
    seconds: float,
    *,
    unique_tokens: float | None = None,
    max_epochs: float = MAX_EPOCHS,
    repetition: Repetition | None = None,
) -> Plan:
    """Train each candidate on paper for `seconds` at its own speed; choose the least predicted loss.

    D = min(tokens_per_s * seconds, unique_tokens * max_epochs), loss = L(N, D'), D' as in `Repetition`.

    Args:
        law: for fresh data; with unique_tokens given, a ChinchillaLaw where parameters are to be discounted too.
        candidates: at least one, of different names.
        seconds: the time to train in, > 0.
        unique_tokens: of the corpus, > 0; left out, the data never ends.
        max_epochs: passes at most, > 0; a candidate that gets there stops early.
        repetition: what repeated tokens are worth; left out, the published data decay.

    Raises:
        ScalingError: no candidates, two of one name, or a number that is not > 0.
    """
    require_positive("plan_for_time", seconds=seconds)
    if not candidates:
        raise ScalingError("candidates=[] leaves nothing to choose; give at least one")
    names = [candidate.name for candidate in candidates]
    for name in names:
        if names.count(name) > 1:
            raise ScalingError(f"two candidates are named {name!r}; names tell them apart in the plan")
    constrained, limit = _constrain(law, unique_tokens, max_epochs, repetition)
    table = tuple(_outcome(constrained, candidate, seconds, unique_tokens, limit) for candidate in candidates)
    best = min(outcome.loss for outcome in table)
    tied = [outcome for outcome in table if outcome.loss <= best * (1 + TIE)]
    chosen = min(tied, key=lambda outcome: outcome.candidate.parameters)
    return Plan(chosen.candidate, chosen.tokens, chosen.loss, table, _reason(table, chosen, tied))


@dataclass(frozen=True, slots=True)
class _Repeated:
    """Any law on D' in place of D."""

    law: Law
    unique_tokens: float
    repetition: Repetition

    def predict(self, parameters: ArrayLike, tokens: ArrayLike) -> NDArray[np.float64]:
        return self.law.predict(parameters, self.repetition.effective_tokens(tokens, self.unique_tokens))


def _constrain(
    law: Law, unique_tokens: float | None, max_epochs: float, repetition: Repetition | None
) -> tuple[Law, float]:
    """The law for this corpus, and the most tokens that may be trained on."""
    if not max_epochs > 0:
        raise ScalingError(f"max_epochs={max_epochs!r} must be > 0; math.inf sets no limit")
    if unique_tokens is None:
        return law, math.inf
    require_positive("plan", unique_tokens=unique_tokens)
    repetition = Repetition() if repetition is None else repetition
    if repetition.parameter_decay is None:
        return _Repeated(law, unique_tokens, repetition), unique_tokens * max_epochs
    if not isinstance(law, ChinchillaLaw):
        raise ScalingError(
            f"parameter_decay={repetition.parameter_decay} needs a ChinchillaLaw, not {type(law).__name__}; "
            "use parameter_decay=None"
        )
    return DataConstrainedLaw(law, unique_tokens, repetition), unique_tokens * max_epochs


def _outcome(law: Law, candidate: Candidate, seconds: float, unique_tokens: float | None, limit: float) -> Outcome:
    possible = candidate.tokens_per_s * seconds
    tokens = min(possible, limit)
    return Outcome(
        candidate=candidate,
        tokens=tokens,
        epochs=tokens / unique_tokens if unique_tokens else 0.0,
        seconds=tokens / candidate.tokens_per_s,
        flops=6 * candidate.parameters * tokens,
        loss=float(law.predict(candidate.parameters, tokens)),
        stopped_by="data" if possible > limit else "time",
    )


def _reason(table: tuple[Outcome, ...], chosen: Outcome, tied: list[Outcome]) -> str:
    """The choice in words."""
    name, size = chosen.candidate.name, chosen.candidate.parameters
    said = [f"{name!r} reaches the least predicted loss, {chosen.loss:.4f}"]
    others = sorted((outcome for outcome in table if outcome not in tied), key=lambda outcome: outcome.loss)
    if len(tied) > 1:
        same = ", ".join(repr(outcome.candidate.name) for outcome in tied if outcome is not chosen)
        said.append(f"a tie with {same}, settled for the smaller model, which costs less to serve")
    if others:
        said.append(f"{others[0].loss - chosen.loss:.4f} nats below the next, {others[0].candidate.name!r}")
    sizes = [outcome.candidate.parameters for outcome in table]
    if len(table) == 1:
        said.append("it is the only candidate")
    elif size == max(sizes):
        said.append("it is the largest candidate: a larger one may be better still")
    elif size == min(sizes):
        said.append("it is the smallest candidate: a smaller one may be better still")
    if chosen.stopped_by == "data":
        said.append(f"its data ends after {chosen.epochs:.3g} epochs, before the time: a larger model may use both")
    elif chosen.epochs > 4:
        said.append(f"it sees its data {chosen.epochs:.3g} times, and past four passes repeats are worth ever less")
    return "; ".join(said) + "."


def plan_for_flops(
    law: OptimalLaw,
    flops: float,
    *,
    unique_tokens: float | None = None,
    max_epochs: float = MAX_EPOCHS,
    repetition: Repetition | None = None,
) -> SizePlan:
    """The N and D = flops / (6 N) of least predicted loss.

    Without `unique_tokens`, or while the optimal D fits in them once, the law's closed form. Else the least of
    L(N, D') over the sizes that keep D <= unique_tokens * max_epochs: the model grows before the data repeats.

    Args:
        law: for fresh data.
        flops: C, > 0.
        unique_tokens: of the corpus, > 0; left out, the data never ends.
        max_epochs: passes at most, > 0.
        repetition: what repeated tokens are worth; left out, the published data decay.

    Raises:
        ScalingError: a number that is not > 0.
    """
    require_positive("plan_for_flops", flops=flops)
    constrained, limit = _constrain(law, unique_tokens, max_epochs, repetition)
    parameters, tokens = law.compute_optimal(flops)
    reason = "the law's compute-optimal size"
    discounted = repetition is not None and repetition.parameter_decay is not None and unique_tokens is not None
    if unique_tokens is not None and (tokens > min(unique_tokens, limit) or discounted):
        parameters = _least(constrained, flops, parameters, limit)
        tokens = flops / 6 / parameters
        if tokens >= limit * (1 - 1e-6):
            reason = f"the smallest size that does not pass max_epochs={max_epochs:g}"
        else:
            reason = f"the best size where {unique_tokens:.3g} unique tokens repeat with less and less worth"
    return SizePlan(
        parameters=parameters,
        tokens=tokens,
        loss=float(constrained.predict(parameters, tokens)),
        flops=flops,
        epochs=tokens / unique_tokens if unique_tokens else 0.0,
        reason=reason,
    )


def _least(law: Law, flops: float, centre: float, limit: float) -> float:
    """The N of least L(N, flops / 6 N) with flops / 6 N <= limit: a grid of log N, narrowed around its best point."""
    smallest = flops / 6 / limit
    low, high = math.log(max(centre / 1e3, smallest)), math.log(max(centre, smallest) * 1e4)
    for _ in range(12):
        sizes = np.linspace(low, high, 401)
        losses = law.predict(np.exp(sizes), flops / 6 / np.exp(sizes))
        best = int(np.argmin(losses))
        low, high = float(sizes[max(best - 1, 0)]), float(sizes[min(best + 1, 400)])
    return max(math.exp(sizes[best]), smallest)
