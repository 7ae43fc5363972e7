"""A task: an instruction whose answer a program knows."""

from dataclasses import dataclass

from octad_align.errors import AlignError


@dataclass(frozen=True)
class Operands:
    """What an operation works on; a field that the operation has no use for stays empty.

    Attributes:
        items: the list, one symbol an item.
        other: a second list.
        x: a first argument: an item, a number or a position, as text.
        y: a second one.
    """

    items: tuple[str, ...] = ()
    other: tuple[str, ...] = ()
    x: str = ""
    y: str = ""


@dataclass(frozen=True)
class Task:
    """An instruction and its one right answer.

    Attributes:
        prompt: the instruction as the model reads it.
        answer: the right answer; the items of a list are separated by one space.
        operation: name of the operation, from ALL_OPERATIONS.
        template: index of the phrasing within the operation.
        operands: what the prompt was made of; empty where a task was read back without them.

    Raises:
        AlignError: the prompt or the answer is empty, or template is below 0.
    """

    prompt: str
    answer: str
    operation: str
    template: int
    operands: Operands = Operands()

    def __post_init__(self) -> None:
        if not self.prompt or not self.answer:
            raise AlignError(f"prompt={self.prompt!r}, answer={self.answer!r}: neither may be empty")
        if self.template < 0:
            raise AlignError(f"template={self.template} must be 0 or above: an index of a phrasing")
