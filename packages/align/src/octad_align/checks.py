"""Checks of arguments shared by the losses: each raises AlignError and returns nothing."""

from torch import Tensor

from octad_align.errors import AlignError


def check_same_shape(**tensors: Tensor | None) -> None:
    """Require every given tensor to have the shape of the first; None is passed over.

    Raises:
        AlignError: two shapes differ; the message names both arguments.
    """
    given = [(name, tensor) for name, tensor in tensors.items() if tensor is not None]
    first_name, first = given[0]
    for name, tensor in given[1:]:
        if tensor.shape != first.shape:
            raise AlignError(
                f"{name} has shape {tuple(tensor.shape)} and {first_name} has {tuple(first.shape)}; they must be equal"
            )


def check_one_a_row(name: str, tensor: Tensor, batch: int) -> None:
    """Require `tensor` to be a vector with one number a row of the batch.

    Raises:
        AlignError: its shape is another.
    """
    if tensor.shape != (batch,):
        raise AlignError(f"{name} has shape {tuple(tensor.shape)}; use ({batch},), one number a row")


def check_positive(**numbers: float) -> None:
    """Require every number to be finite and > 0.

    Raises:
        AlignError: one is not.
    """
    for name, number in numbers.items():
        if not 0 < number < float("inf"):
            raise AlignError(f"{name}={number} must be a finite number above 0")


def check_not_negative(**numbers: float) -> None:
    """Require every number to be finite and >= 0.

    Raises:
        AlignError: one is not.
    """
    for name, number in numbers.items():
        if not 0 <= number < float("inf"):
            raise AlignError(f"{name}={number} must be a finite number, 0 or above")


def check_choice(name: str, given: str, choices: tuple[str, ...]) -> None:
    """Require `given` to be one of `choices`.

    Raises:
        AlignError: it is not; the message lists the choices.
    """
    if given not in choices:
        raise AlignError(f"{name}={given!r} is unknown; use one of {', '.join(choices)}")
