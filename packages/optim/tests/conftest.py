from collections.abc import Callable, Iterator

import pytest
import torch
from hypothesis import settings
from torch import Tensor, nn

settings.register_profile("octad_optim", deadline=None)  # a busy machine is no failure
settings.load_profile("octad_optim")

Optimizer = torch.optim.Optimizer


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def random() -> Callable[..., Tensor]:
    generator = torch.Generator().manual_seed(7)

    def draw(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
        return torch.randn(shape, dtype=torch.float64, generator=generator).to(dtype)

    return draw


@pytest.fixture
def train() -> Callable[..., list[list[Tensor]]]:
    """Run several optimisers over copies of the same parameters with the same gradients."""

    def run(
        shapes: list[tuple[int, ...]],
        makers: list[Callable[[list[nn.Parameter]], Optimizer]],
        steps: int = 30,
        dtype: torch.dtype = torch.float64,
    ) -> list[list[Tensor]]:
        generator = torch.Generator().manual_seed(3)
        initial = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for shape in shapes]
        copies = [[nn.Parameter(t.clone()) for t in initial] for _ in makers]
        optimizers = [maker(copy) for maker, copy in zip(makers, copies, strict=True)]
        for step in range(steps):
            for i, shape in enumerate(shapes):
                grad = torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)
                for copy in copies:  # every third step the first parameter has no gradient, as an unused expert
                    copy[i].grad = None if i == 0 and step % 3 == 1 else grad.clone()
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] *= 0.99
                optimizer.step()
        return [[p.detach() for p in copy] for copy in copies]

    return run
