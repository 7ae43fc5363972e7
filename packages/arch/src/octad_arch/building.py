"""How a specification becomes a module: once for every kind of model."""

from typing import Any, Generic, TypeVar

import torch
from torch import nn

from .initialization import Initialization
from .shapes_only import allocate, shapes_only

Model = TypeVar("Model", bound=nn.Module)


class Buildable(Generic[Model]):
    """A specification with an `initialization`; what it builds is said by `module`."""

    initialization: Initialization

    def module(self) -> Model:
        """The module, with the parameters that its constructors leave."""
        raise NotImplementedError

    def build(
        self,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        generator: torch.Generator | None = None,
    ) -> Model:
        """The module, initialised.

        Args:
            device: where the parameters live; None means the CPU.
            dtype: type of the parameters; None means float32.
            generator: source of the random weights; None means a fresh one with seed 0, so that equal specifications
                build equal models. torch's global generator is neither read nor moved.
        """
        model = self.build_empty(device, dtype)
        self.initialization.apply(model, generator or torch.Generator().manual_seed(0))
        return model

    def build_empty(self, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Model:
        """The module with memory for its parameters and whatever that memory held: for code that fills them all."""
        with shapes_only():
            model: Any = self.module()
        empty: Model = model.to(dtype or torch.float32)
        allocate(empty, device or "cpu")
        return empty
