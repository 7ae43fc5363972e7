"""One process, several, or a GPU by the same code: the thin layer over accelerate.

Several processes are started by `torchrun --nproc_per_node N -m octad ...`; on a CPU they talk through gloo.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

from octad.errors import OctadError
from octad.recipe import Recipe

if TYPE_CHECKING:
    from accelerate import Accelerator

T = TypeVar("T")


class Processes:
    """The processes of this run, as torchrun started them; alone without it."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.world_size = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = int(os.environ.get("RANK", "0"))

    @property
    def is_main(self) -> bool:
        """Whether this is the process that writes and speaks."""
        return self.rank == 0

    @cached_property
    def accelerator(self) -> Accelerator:
        """Accelerate's view of device, precision and processes, made at first use: importing it takes seconds."""
        import torch
        from accelerate import Accelerator

        device = self.recipe.device
        if device not in ("auto", "cpu", "cuda"):
            raise OctadError(f"device = {device!r}; it must be auto, cpu or cuda")
        if device == "cuda" and not torch.cuda.is_available():
            raise OctadError("device = 'cuda', but this machine has no CUDA device; use device = 'auto'")
        uses_cpu = device == "cpu" or not torch.cuda.is_available()
        found = Accelerator(cpu=uses_cpu, mixed_precision=precision(self.recipe, uses_cpu))
        if found.num_processes != self.world_size:
            raise OctadError(f"{self.world_size} processes were started, but only {found.num_processes} work together")
        return found

    def wait_for_everyone(self) -> None:
        """Return once every process has come here."""
        if self.world_size > 1:
            self.accelerator.wait_for_everyone()

    def on_main(self, decide: Callable[[], T]) -> T:
        """What the first process decides, known to all."""
        if self.world_size == 1:
            return decide()
        from accelerate.utils import broadcast_object_list

        self.accelerator  # noqa: B018 - the processes find each other here
        box = [decide() if self.is_main else None]
        broadcast_object_list(box)
        return box[0]  # type: ignore[return-value]


def precision(recipe: Recipe, uses_cpu: bool) -> str:
    """Accelerate's name of the compute dtype: float32 on a CPU, bfloat16 on a GPU, unless the recipe names one."""
    names = {"auto": "no" if uses_cpu else "bf16", "float32": "no", "bfloat16": "bf16"}
    if recipe.dtype not in names:
        raise OctadError(f"dtype = {recipe.dtype!r}; it must be one of {', '.join(names)}")
    return names[recipe.dtype]
