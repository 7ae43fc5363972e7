"""The seam for a residual stream of more than one vector a token."""

from typing import Protocol

from jaxtyping import Float
from torch import Tensor

from .cost import Cost


class StreamModule(Protocol):
    """What opens a stream and, called, closes it."""

    def open(self, x: Float[Tensor, "batch seq d_model"]) -> Float[Tensor, "batch seq copies d_model"]:
        """What the first layer reads."""
        ...

    def __call__(self, x: Float[Tensor, "batch seq copies d_model"]) -> Float[Tensor, "batch seq d_model"]:
        """What the last norm reads."""
        ...


class Stream(Protocol):
    """A value that builds what carries the stream of a `Decoder`; the placements of all its layers work on it."""

    @property
    def copies(self) -> int:
        """Vectors a token."""
        ...

    def build(self, d_model: int) -> StreamModule:
        """The module, an `nn.Module`."""
        ...

    def cost(self, d_model: int) -> Cost:
        """What it adds to the model."""
        ...
