from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from octad_systems import Ranks, SystemsError, current_ranks, ranks_from_environment


def test_ranks_of_a_single_process() -> None:
    ranks = current_ranks()
    assert ranks == Ranks() == ranks_from_environment({})
    assert ranks.is_main
    assert ranks.is_local_main
    assert not ranks.is_distributed


def test_current_ranks_are_those_of_torch_distributed(tmp_path: Path) -> None:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path / 'store'}", rank=0, world_size=1)
    try:
        assert current_ranks() == Ranks(0, 1, 0)
    finally:
        torch.distributed.destroy_process_group()


def test_ranks_from_environment_reads_what_a_launcher_sets() -> None:
    ranks = ranks_from_environment({"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "HOME": "/"})
    assert ranks == Ranks(5, 8, 1)
    assert not ranks.is_main
    assert ranks.is_distributed


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"RANK": "0"}, "WORLD_SIZE is missing"),
        ({"WORLD_SIZE": "2"}, "RANK is missing"),
        ({"RANK": "one", "WORLD_SIZE": "2"}, "RANK is 'one'"),
        ({"RANK": "2", "WORLD_SIZE": "2"}, "rank=2 must be in 0..1"),
        ({"RANK": "-1", "WORLD_SIZE": "2"}, "rank=-1"),
        ({"RANK": "0", "WORLD_SIZE": "0"}, "world_size=0"),
        ({"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "2"}, "local_rank=2"),
    ],
)
def test_ranks_refuse_a_place_outside_the_world(environment: dict[str, str], message: str) -> None:
    with pytest.raises(SystemsError, match=message):
        ranks_from_environment(environment)


@given(count=st.integers(0, 200), world_size=st.integers(1, 17))
def test_ranks_share_everything_once_and_evenly(count: int, world_size: int) -> None:
    shares = [Ranks(rank, world_size).share_of(count) for rank in range(world_size)]
    assert [item for share in shares for item in share] == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
