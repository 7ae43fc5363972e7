"""Fixtures of this package's tests."""

import pytest
import torch
from hypothesis import settings

settings.register_profile("octad_arch", deadline=None)  # a busy machine is no failure
settings.load_profile("octad_arch")


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    """Tensors this small are slower on two threads, and on a busy machine much slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def seeded():
    """A test draws the same numbers whichever tests ran before it, or beside it in another process."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def kept_a_token():
    """(model, length, vocab_size) -> numbers that autograd keeps: the measure of `Cost.activation_elements`.

    Of a row more in the batch, a token's share; distinct storages, whole, of floating-point numbers. Parameters are
    left out, and what all rows share drops out of the difference.
    """

    def measure(model, length, vocab_size, through=None):
        more, fewer = (_kept(model, rows, length, vocab_size, through) for rows in (3, 2))
        return (more - fewer) / length

    return measure


def _kept(model, rows, length, vocab_size, through):
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    kept = {}

    def keep(x):
        if x.is_floating_point() and x.untyped_storage().data_ptr() not in own:
            kept[x.untyped_storage().data_ptr()] = x  # held, so that no other takes its place
        return x

    tokens = torch.randint(vocab_size, (rows, length), generator=torch.Generator().manual_seed(rows))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda x: x):
        model.cross_entropy(through(tokens) if through else model.hidden(tokens), tokens)
    return sum(x.untyped_storage().nbytes() // x.element_size() for x in kept.values())
