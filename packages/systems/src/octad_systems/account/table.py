"""The whole account of a shape as text."""

from octad_systems.account.flops import (
    decode_flops,
    forward_flops_per_token,
    six_n_flops_per_token,
    training_flops_per_token,
)
from octad_systems.account.memory import Optimizer, kv_cache_bytes_per_token, training_memory
from octad_systems.account.shape import TransformerShape, count_active_parameters, count_parameters

_PREFIXES = ("", "k", "M", "G", "T", "P", "E")
Row = tuple[str, float, float | None]


def account_table(
    shape: TransformerShape,
    batch_size: int,
    seq_len: int,
    *,
    element_bytes: int = 4,
    optimizer: Optimizer = "adamw",
    has_recomputation: bool = False,
    has_fused_head: bool = False,
) -> str:
    """Parameters, operations a token and bytes of a training step, as a table of plain text with shares in per cent.

    The arguments are those of `training_memory`.
    """
    parameters, forward = count_parameters(shape), forward_flops_per_token(shape, seq_len)
    memory = training_memory(
        shape,
        batch_size,
        seq_len,
        element_bytes=element_bytes,
        optimizer=optimizer,
        has_recomputation=has_recomputation,
        has_fused_head=has_fused_head,
    )
    training = training_flops_per_token(shape, seq_len, has_recomputation=has_recomputation)
    sections: list[tuple[str, str, list[Row]]] = [
        ("parameters", "", [*_shares(parameters), ("used by a token", count_active_parameters(shape), None)]),
        (
            f"forward FLOPs a token at {seq_len:,}",
            "FLOP",
            [
                *_shares(forward),
                ("a training step", training, None),
                ("6 N, without embeddings", six_n_flops_per_token(shape), None),
                (f"decode after {seq_len:,}", decode_flops(shape, seq_len), None),
            ],
        ),
        (
            f"training bytes at {batch_size:,} x {seq_len:,}",
            "B",
            [
                *_shares(memory),
                ("KV cache a token", kv_cache_bytes_per_token(shape, element_bytes=element_bytes), None),
            ],
        ),
    ]
    return "\n\n".join(_section(title, unit, rows) for title, unit, rows in sections)


def with_prefix(value: float, unit: str = "") -> str:
    """Four significant digits with a decimal prefix: 124439808 is "124.4 M"."""
    power = 0
    while abs(value) >= 999.95 and power < len(_PREFIXES) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.4g} {_PREFIXES[power]}{unit}".rstrip()


def _shares(parts: object) -> list[Row]:
    """A row for each part of a dataclass that has a total, zero parts left out, then the total."""
    total: float = parts.total  # type: ignore[attr-defined]
    named = [(name.replace("_", " "), float(value)) for name, value in vars(parts).items() if value]
    return [*((name, value, value / total) for name, value in named), ("total", float(total), 1.0 if total else None)]


def _section(title: str, unit: str, rows: list[Row]) -> str:
    lines = [title]
    for name, value, share in rows:
        per_cent = "" if share is None else f"{100 * share:6.1f} %"
        lines.append(f"  {name:<24}{with_prefix(value, unit):>14}{per_cent}")
    return "\n".join(lines)
