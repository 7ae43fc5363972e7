"""The weights that training starts from."""

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from .errors import ArchError, require_positive
from .linear import ResidualOutput
from .norm import LayerNormModule, RMSNormModule


@runtime_checkable
class SelfInitialized(Protocol):
    """A module that fills its own parameters, where the rules of `Initialization` do not fit them."""

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """Fill the module's direct parameters; `residual_std` is for those that write to the residual stream."""
        ...


@dataclass(frozen=True)
class Initialization:
    """Matrices and embeddings from N(0, std²); maps onto the residual stream from N(0, std² / R); gains 1, offsets 0.

    R is the number of such maps (two a layer), so that the variance of the stream does not grow with depth.

    Args:
        std: standard deviation, > 0.
    Source: Radford et al. 2019, section 2.3 (GPT-2).
    """

    std: float = 0.02

    def __post_init__(self) -> None:
        require_positive(std=self.std)

    def apply(self, model: nn.Module, generator: torch.Generator) -> None:
        """Fill every parameter of the model.

        Numbers are drawn in float32 on the generator's device in the order of `model.modules()`, then rounded and
        moved, so one seed means one model whatever its dtype and device.

        Raises:
            ArchError: a module has parameters that no rule covers and no `initialize` of its own.
        """
        outputs = sum(isinstance(module, ResidualOutput) for module in model.modules())
        residual_std = self.std / math.sqrt(max(outputs, 1))
        for name, module in model.named_modules():
            match module:
                case SelfInitialized():
                    module.initialize(self.std, residual_std, generator)
                case nn.Linear():
                    std = residual_std if isinstance(module, ResidualOutput) else self.std
                    _fill_normal(module.weight, std, generator)
                    _fill_constant(module.bias, 0.0)
                case nn.Embedding():
                    _fill_normal(module.weight, self.std, generator)
                case RMSNormModule():
                    _fill_constant(module.weight, 1.0)
                case LayerNormModule():
                    _fill_constant(module.weight, 1.0)
                    _fill_constant(module.bias, 0.0)
                case _ if any(True for _ in module.parameters(recurse=False)):
                    kind = type(module).__name__
                    raise ArchError(
                        f"no rule fills the parameters of {name} ({kind}); give it `initialize` (SelfInitialized)"
                    )


def _fill_normal(parameter: Tensor, std: float, generator: torch.Generator) -> None:
    drawn = torch.empty(parameter.shape, dtype=torch.float32, device=generator.device)
    parameter.detach().copy_(drawn.normal_(0.0, std, generator=generator))


def _fill_constant(parameter: Tensor | None, value: float) -> None:
    if parameter is not None:
        parameter.detach().fill_(value)
