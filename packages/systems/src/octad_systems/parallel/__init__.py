"""Facts about the processes of a run.

`current_ranks()` inside torch.distributed, `ranks_from_environment(os.environ)` before it is initialised; both give a
`Ranks` with `is_main`, `is_distributed` and `share_of(count)`.
"""

from octad_systems.parallel.ranks import Ranks, current_ranks, ranks_from_environment

__all__ = ["Ranks", "current_ranks", "ranks_from_environment"]
