"""What the residual stream is made of: how the embedded tokens enter it and the head's input leaves it."""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor, nn

from .cost import Cost


class Stream(Protocol):
    """A value that builds the two ends of the residual stream."""

    def build(self, d_model: int) -> "StreamModule":
        """The module with `enter` and `leave`."""
        ...

    def cost(self, d_model: int) -> Cost:
        """What it adds to the model."""
        ...


class StreamModule(nn.Module):
    """One vector a token: both ends are the identity."""

    def enter(self, x: Tensor) -> Tensor:
        """The stream that the first layer reads, from the embedded tokens (batch, seq, d_model)."""
        return x

    def leave(self, x: Tensor) -> Tensor:
        """What the final norm reads, (batch, seq, d_model)."""
        return x


@dataclass(frozen=True)
class PlainStream:
    """The stream of Vaswani et al. 2017: one vector of d_model numbers a token."""

    def build(self, d_model: int) -> StreamModule:
        """Two identities."""
        return StreamModule()

    def cost(self, d_model: int) -> Cost:
        """Nothing."""
        return Cost()
