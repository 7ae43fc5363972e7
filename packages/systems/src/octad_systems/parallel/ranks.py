"""Which of how many processes this one is."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch.distributed

from octad_systems.errors import SystemsError


@dataclass(frozen=True)
class Ranks:
    """This process's place among all of them (rank) and among those on its machine (local rank), counted from 0.

    Raises:
        SystemsError: a rank is outside its world.
    """

    rank: int = 0
    world_size: int = 1
    local_rank: int = 0

    def __post_init__(self) -> None:
        if self.world_size < 1:
            raise SystemsError(f"world_size={self.world_size} must be at least 1")
        for name in ("rank", "local_rank"):
            if not 0 <= getattr(self, name) < self.world_size:
                raise SystemsError(f"{name}={getattr(self, name)} must be in 0..{self.world_size - 1} (world_size - 1)")

    @property
    def is_main(self) -> bool:
        """Whether this process is the one that writes files and reports: rank 0."""
        return self.rank == 0

    @property
    def is_local_main(self) -> bool:
        """Whether this process is the first on its machine: the one that fills a local cache."""
        return self.local_rank == 0

    @property
    def is_distributed(self) -> bool:
        """Whether there is more than one process."""
        return self.world_size > 1

    def share_of(self, count: int) -> range:
        """The contiguous part of range(count) that is this rank's; sizes over the ranks differ by at most one."""
        if count < 0:
            raise SystemsError(f"count={count} must be at least 0")
        size, extra = divmod(count, self.world_size)
        start = self.rank * size + min(self.rank, extra)
        return range(start, start + size + (self.rank < extra))


def current_ranks() -> Ranks:
    """The place in torch.distributed's initialised group, or the only process where there is none.

    The local rank is what torch knows (`torch.distributed.get_node_local_rank`), and 0 where it knows nothing.
    """
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return Ranks()
    local_rank = torch.distributed.get_node_local_rank(fallback_rank=0)
    return Ranks(torch.distributed.get_rank(), torch.distributed.get_world_size(), local_rank)


def ranks_from_environment(environment: Mapping[str, str]) -> Ranks:
    """The place a launcher wrote into the environment (`torchrun`: RANK, WORLD_SIZE, LOCAL_RANK).

    Args:
        environment: usually `os.environ`, read by the caller: nothing here reads it by itself.

    Raises:
        SystemsError: RANK without WORLD_SIZE or the reverse, a value that is no integer, or a rank outside its world.
    """
    if "RANK" not in environment and "WORLD_SIZE" not in environment:
        return Ranks()

    def read(name: str, default: int | None = None) -> int:
        text = environment.get(name)
        if text is None and default is not None:
            return default
        try:
            return int(text or "")
        except ValueError:
            given = "is missing" if text is None else f"is {text!r}"
            raise SystemsError(f"{name} {given}; a launcher sets RANK and WORLD_SIZE, both integers") from None

    return Ranks(read("RANK"), read("WORLD_SIZE"), read("LOCAL_RANK", 0))
