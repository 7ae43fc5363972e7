"""What a `Decoder` may be given beside its layers: another kind of stream, and inputs for every layer."""

from typing import Protocol

from jaxtyping import Float, Int
from torch import Tensor

from .context import Context
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


class LayerInputsModule(Protocol):
    """What reads the tokens of a pass before its layers do."""

    def __call__(
        self, tokens: Int[Tensor, "batch seq"], x: Float[Tensor, "batch seq d_model"], context: Context
    ) -> None:
        """Leave in `context.notes` what the layers read; x is the embedded input."""
        ...


class LayerInputsSpec(Protocol):
    """A value that builds what gives every layer an input besides the stream, such as `LayerInputs`."""

    def build(self, d_model: int, num_layers: int) -> LayerInputsModule:
        """The module, an `nn.Module`."""
        ...

    def cost(self, d_model: int, num_layers: int) -> Cost:
        """What it adds to the model."""
        ...
