"""Which parameters decay, and which optimiser each belongs to."""

import re
from collections.abc import Collection, Iterator
from functools import partial
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from octad_optim.adam import AdamW
from octad_optim.combined import Combined
from octad_optim.errors import OptimError, require
from octad_optim.muon import Muon
from octad_optim.optimizer import Group, check_nonnegative

Kind = Literal["matrix", "embedding", "head", "vector"]

EMBEDDING_NAMES = r"(^|[._])(wte|wpe|(\w*embed(ding)?s?))$"
# "output" and the like are heads at the top only: deeper down they are projections of a block.
HEAD_NAMES = r"(^|\.)(\w*lm_head|unembed\w*|embed_out)$|^(model\.)?(head|output|score|classifier)$"


def parameter_kinds(
    model: nn.Module, *, embeddings: str = EMBEDDING_NAMES, heads: str = HEAD_NAMES
) -> dict[str, tuple[Tensor, Kind]]:
    """Sort every trainable parameter of a model: embedding, head, vector or (hidden) matrix.

    An embedding is the weight of an nn.Embedding or of a class named so, or a bare parameter named like one. A
    head is the matrix of a module whose path matches `heads`, or that the model's `get_output_embeddings`
    returns. A vector has one axis at most, or belongs to a norm. A matrix is the rest. A tied weight appears
    once, under its first name, as an embedding if it is one.

    Args:
        model: any module.
        embeddings: a regular expression searched in the path of a bare parameter.
        heads: a regular expression searched in the path of the module that owns a matrix.

    Returns:
        From name to parameter and kind, in the model's order; frozen parameters are left out.
    """
    owners = dict(model.named_modules(remove_duplicate=False))
    get_head = getattr(model, "get_output_embeddings", None)
    stated_head = get_head() if callable(get_head) else None
    first_name: dict[Tensor, str] = {}
    kinds: dict[str, tuple[Tensor, Kind]] = {}
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if not parameter.requires_grad:
            continue
        path, _, _ = name.rpartition(".")
        kind = _kind(name, path, owners[path], parameter, embeddings, heads)
        if kind == "matrix" and owners[path] is stated_head:
            kind = "head"
        first = first_name.setdefault(parameter, name)
        # One role of a tied weight wins: it is an embedding if anything calls it so, else a head, else a matrix.
        if first not in kinds or kind == "embedding" or (kind == "head" and kinds[first][1] == "matrix"):
            kinds[first] = (parameter, kind)
    return kinds


def _kind(name: str, path: str, owner: nn.Module, parameter: Tensor, embeddings: str, heads: str) -> Kind:
    is_embedding_class = isinstance(owner, nn.Embedding | nn.EmbeddingBag) or type(owner).__name__.endswith("Embedding")
    if parameter.ndim >= 2 and (is_embedding_class or re.search(embeddings, name)):
        return "embedding"
    if parameter.ndim < 2 or "norm" in type(owner).__name__.lower():
        return "vector"
    return "head" if re.search(heads, path) else "matrix"


def parameter_groups(
    model: nn.Module,
    *,
    weight_decay: float = 0.1,
    decay: Collection[Kind] = ("matrix", "head"),
    muon: bool = False,
    embeddings: str = EMBEDDING_NAMES,
    heads: str = HEAD_NAMES,
) -> list[Group]:
    """Sort a model's parameters into groups: matrices decay, norms, biases and embeddings do not.

    Args:
        model: any module; tied weights are counted once, frozen parameters left out.
        weight_decay: λ of the groups that decay, >= 0; the others get 0.
        decay: the kinds that decay, of "matrix", "embedding", "head", "vector".
        muon: give hidden matrices a group of their own, with "optimizer" set to "muon"; the others, kernels of
            convolutions among them, have "adamw". `Combined.from_groups` reads it.
        embeddings: see `parameter_kinds`.
        heads: see `parameter_kinds`.

    Returns:
        Groups with "name", "optimizer", "params", "param_names" and "weight_decay"; none is empty.

    Raises:
        OptimError: an unknown kind, a negative weight decay or a model without a trainable parameter.
    """
    check_nonnegative({"weight_decay": weight_decay}, "weight_decay")
    unknown = sorted(set(decay) - set(get_args(Kind)))
    require(not unknown, f"decay={tuple(decay)}", f"unknown kinds {unknown}; use some of {get_args(Kind)}")
    kinds = parameter_kinds(model, embeddings=embeddings, heads=heads)
    require(len(kinds) > 0, f"a {type(model).__name__} without trainable parameters", "set requires_grad on some")
    kernels = {
        p for m in model.modules() if isinstance(m, nn.modules.conv._ConvNd) for p in m.parameters(recurse=False)
    }
    groups: dict[str, Group] = {}
    for name, (parameter, kind) in kinds.items():
        optimizer = "muon" if muon and kind == "matrix" and parameter not in kernels else "adamw"
        label = "muon" if optimizer == "muon" else "decay" if kind in decay else "no_decay"
        settings = {"name": label, "optimizer": optimizer, "params": [], "param_names": []}
        group = groups.setdefault(label, settings | {"weight_decay": weight_decay if kind in decay else 0.0})
        group["params"].append(parameter)
        group["param_names"].append(name)
    return list(groups.values())


def muon_and_adamw(
    model: nn.Module,
    *,
    lr: float = 1e-3,
    weight_decay: float = 0.1,
    betas: tuple[float, float] = (0.9, 0.95),
    momentum: float = 0.95,
    embeddings: str = EMBEDDING_NAMES,
    heads: str = HEAD_NAMES,
) -> Combined:
    """Muon for hidden matrices, AdamW for embeddings, heads and vectors, as one optimiser with one η.

    One learning rate serves both because Muon's updates are scaled to AdamW's root mean square.

    Args:
        model: any module.
        lr: η of both.
        weight_decay: λ of matrices and heads.
        betas: of AdamW.
        momentum: of Muon.
        embeddings: see `parameter_kinds`.
        heads: see `parameter_kinds`.

    Returns:
        The combined optimiser; its groups have names for `describe_groups`.
    """
    groups = parameter_groups(model, weight_decay=weight_decay, muon=True, embeddings=embeddings, heads=heads)
    adamw = partial(AdamW, lr=lr, betas=betas)
    return Combined.from_groups(groups, {"muon": partial(Muon, lr=lr, momentum=momentum), "adamw": adamw})


def describe_groups(groups: torch.optim.Optimizer | list[Group]) -> str:
    """A table with a line a group: name, optimiser, tensors, parameters, learning rate, weight decay.

    Args:
        groups: an optimiser, or the list of its groups.

    Returns:
        Lines of text; what a group does not state shows as "-".
    """
    rows = [("group", "optimizer", "tensors", "parameters", "lr", "weight_decay"), *_rows(groups)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _rows(groups: torch.optim.Optimizer | list[Group]) -> Iterator[tuple[str, ...]]:
    is_optimizer = isinstance(groups, torch.optim.Optimizer)
    class_name = type(groups).__name__.lower() if is_optimizer else "-"
    for i, group in enumerate(groups.param_groups if isinstance(groups, torch.optim.Optimizer) else groups):
        if "params" not in group:
            raise OptimError(f'group {i} has no "params"; use parameter_groups(model)')
        yield (
            str(group.get("name", i)),
            str(group.get("optimizer", class_name)),
            str(len(group["params"])),
            f"{sum(p.numel() for p in group['params']):,}",
            f"{group['lr']:g}" if "lr" in group else "-",
            f"{group['weight_decay']:g}" if "weight_decay" in group else "-",
        )
