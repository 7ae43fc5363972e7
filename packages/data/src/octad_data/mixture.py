"""How much of each source: shares of a budget, passes over small sources, and what repeated text is still worth."""

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from octad_data.errors import DataError

if TYPE_CHECKING:
    from rich.table import Table

REPEATS_WORTH = 15.39  # R*: after so many repeats a token is worth 1/e of a new one (Muennighoff et al. 2023, eq. 5)


@dataclass(frozen=True)
class Share:
    """What a plan takes of one source.

    Attributes:
        weight: share of the budget, all add up to 1.
        tokens: taken, repeats counted.
        available: different tokens that there are.
    """

    weight: float
    tokens: int
    available: int

    @property
    def epochs(self) -> float:
        """Passes over the source."""
        return self.tokens / self.available

    @property
    def effective_tokens(self) -> float:
        """What the tokens are worth in new ones: U + U R* (1 - exp(-R / R*)), R the repeats.

        Source: Muennighoff et al. 2023, "Scaling Data-Constrained Language Models", eq. 5.
        """
        repeats = max(self.epochs - 1, 0.0)
        new = min(self.tokens, self.available)
        return new + self.available * REPEATS_WORTH * (1 - float(np.exp(-repeats / REPEATS_WORTH)))


@dataclass(frozen=True)
class Mixture:
    """Shares of sources, by name; what `BatchReader` takes as weights."""

    shares: Mapping[str, Share]

    @property
    def weights(self) -> dict[str, float]:
        """Name -> weight."""
        return {name: share.weight for name, share in self.shares.items()}

    @property
    def tokens(self) -> int:
        """Of all sources, repeats counted."""
        return sum(share.tokens for share in self.shares.values())

    @property
    def effective_tokens(self) -> float:
        """What they are worth in new ones."""
        return sum(share.effective_tokens for share in self.shares.values())

    def to_json(self) -> str:
        """The numbers, for a file beside the shards."""
        rows = {
            name: {"weight": share.weight, "tokens": share.tokens, "available": share.available}
            for name, share in self.shares.items()
        }
        return json.dumps({"mixture": rows}, indent=2) + "\n"

    def to_toml(self) -> str:
        """The weights as a table `[mixture]`, as `from_toml` reads it."""
        rows = "".join(f"{json.dumps(name)} = {share.weight!r}\n" for name, share in self.shares.items())
        return f"[mixture]\n{rows}"

    def table(self) -> "Table":
        """For the terminal: weight, tokens, epochs and worth of each source."""
        from rich.table import Table

        table = Table("source")
        for heading in ("weight", "tokens", "epochs", "worth"):
            table.add_column(heading, justify="right")
        for name, share in self.shares.items():
            worth = share.effective_tokens / max(share.tokens, 1)
            table.add_row(name, f"{share.weight:.1%}", f"{share.tokens:,}", f"{share.epochs:.2f}", f"{worth:.0%}")
        return table


def planned(
    weights: Mapping[str, float], available: Mapping[str, int], budget: int, max_epochs: float | None = 4.0
) -> Mixture:
    """Tokens of each source for a budget; what a source may not give because of its passes goes to the others.

    The others get it in proportion to their weights, until they too reach `max_epochs` (water-filling).

    Args:
        weights: > 0, of any scale.
        available: different tokens of each source.
        budget: tokens to train on.
        max_epochs: passes over a source; up to 4 repeated tokens are worth nearly as much as new ones (Muennighoff et
            al. 2023). None is no limit.

    Raises:
        DataError: names differ, a number is not positive, or all sources together cannot fill the budget.
    """
    if set(weights) != set(available):
        raise DataError(f"weights name {sorted(weights)}, available {sorted(available)}; name the same sources")
    for name, weight in weights.items():
        if not 0 < weight < float("inf") or available[name] < 1:
            raise DataError(f"source {name}: weight {weight} and {available[name]} tokens; both must be above 0")
    if budget < 1 or (max_epochs is not None and max_epochs <= 0):
        raise DataError(f"budget={budget}, max_epochs={max_epochs}: both must be above 0")
    names = list(weights)
    wanted = np.array([weights[name] for name in names], dtype=np.float64)
    limits = np.array([available[name] * (max_epochs or np.inf) for name in names])
    if limits.sum() < budget:
        raise DataError(
            f"budget={budget:,} needs more than {max_epochs} passes over {int(sum(available.values())):,} tokens; "
            f"use budget={int(limits.sum()):,} or more passes"
        )
    tokens = _water_filled(wanted, limits, float(budget))
    total = tokens.sum()
    return Mixture(
        {
            name: Share(float(count / total), round(count), available[name])
            for name, count in zip(names, tokens.tolist(), strict=True)
        }
    )


def _water_filled(weights: NDArray[np.float64], limits: NDArray[np.float64], budget: float) -> NDArray[np.float64]:
    """min(level * weight, limit) for the level at which they add up to the budget."""
    tokens = np.zeros(len(weights))
    is_open = np.ones(len(weights), dtype=np.bool_)
    while is_open.any():
        level = (budget - tokens[~is_open].sum()) / weights[is_open].sum()
        full = is_open & (level * weights >= limits)
        if not full.any():
            tokens[is_open] = level * weights[is_open]
            break
        tokens[full] = limits[full]
        is_open &= ~full
    return tokens


def temperature_weights(
    sizes: Mapping[str, int], temperature: float = 1.0, floor: float = 0.0, cap: float = 1.0
) -> dict[str, float]:
    """p_i proportional to size_i^(1 / T), kept between floor and cap: 1 is the natural mix, large T an even one.

    Args:
        sizes: tokens, bytes or documents of each source.
        temperature: T > 0. Multilingual models use 1.4 to 3.3 (Conneau et al. 2020).
        floor: smallest share of any source.
        cap: largest.

    Raises:
        DataError: a size or T is not positive, or floor and cap cannot hold for so many sources.
    """
    if temperature <= 0 or not sizes or min(sizes.values()) <= 0:
        raise DataError(f"temperature={temperature}, sizes={dict(sizes)}: all must be above 0")
    count = len(sizes)
    if not 0 <= floor <= 1 / count <= cap <= 1:
        raise DataError(f"floor={floor} and cap={cap} do not hold for {count} sources; floor <= {1 / count:.3g} <= cap")
    logs = np.log(np.array(list(sizes.values()), dtype=np.float64)) / temperature
    shares = np.exp(logs - logs.max())
    shares /= shares.sum()
    low, high = 0.0, float(cap / shares.min())
    for _ in range(200):  # the level at which the clipped shares add up to 1
        level = (low + high) / 2
        low, high = (level, high) if np.clip(level * shares, floor, cap).sum() < 1 else (low, level)
    shares = np.clip(high * shares, floor, cap)
    return dict(zip(sizes, (shares / shares.sum()).tolist(), strict=True))


def from_toml(text: str) -> dict[str, float]:
    """The weights of a table `[mixture]`.

    Raises:
        DataError: there is none, or a weight is no positive number.
    """
    try:
        rows: Any = tomllib.loads(text).get("mixture")
    except tomllib.TOMLDecodeError as error:
        raise DataError(f"not TOML: {error}") from None
    if not isinstance(rows, dict) or not rows:
        raise DataError("no table [mixture]; give a line `source = weight` for each source")
    for name, weight in rows.items():
        if type(weight) not in (int, float) or weight <= 0:
            raise DataError(f"mixture: {name} = {weight!r} is no number above 0")
    return {name: float(weight) for name, weight in rows.items()}
