"""A small input for every layer, from the token and its embedding: capacity in a table that no product reads whole."""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..activation import Activation, gelu_tanh, kept_numbers
from ..context import Context, RotationKey
from ..cost import Cost, dense
from ..errors import ArchError, require_positive
from ..layer import Layer, Mixer
from ..norm import Norm, RMSNorm

_NOTE = "layer_inputs"


@dataclass(frozen=True)
class LayerInputs:
    """p_l = (norm(W_l x_0 / sqrt(d_model)) + sqrt(d_input) E_l[token]) / sqrt(2) for each layer l; x_0 the embedding.

    Args:
        vocab_size: rows of the tables E_l.
        d_input: width of each p_l.
        norm: one for all layers.
    Source: Gemma 3n and Gemma 4, as transformers builds them (`Gemma4TextModel.project_per_layer_inputs`).
    """

    vocab_size: int
    d_input: int
    norm: Norm = field(default=RMSNorm())

    def __post_init__(self) -> None:
        require_positive(vocab_size=self.vocab_size, d_input=self.d_input)

    def build(self, d_model: int, num_layers: int) -> "LayerInputsModule":
        """The module for so many layers of that width."""
        return LayerInputsModule(self, d_model, num_layers)

    def cost(self, d_model: int, num_layers: int) -> Cost:
        """A table and a matrix a layer, and the norm."""
        width = num_layers * self.d_input
        own = self.norm.cost(self.d_input)
        kept = (num_layers - 1) * own.activation_elements + width
        return dense(d_model * width, self.vocab_size * width, kept) + own


class LayerInputsModule(nn.Module):
    """`LayerInputs` with its weights. Shapes: B batch, S seq, D d_model, L layers, P d_input."""

    def __init__(self, spec: LayerInputs, d_model: int, num_layers: int) -> None:
        super().__init__()
        self.spec = spec
        self.table = nn.Embedding(spec.vocab_size, num_layers * spec.d_input)
        self.projection = nn.Linear(d_model, num_layers * spec.d_input, bias=False)
        self.norm = spec.norm.build(spec.d_input)

    def forward(
        self, tokens: Int[Tensor, "batch seq"], x_BSD: Float[Tensor, "batch seq d_model"], context: Context
    ) -> None:
        """Leave them for the layers of this pass."""
        d_input = self.spec.d_input
        read_BSLP = (self.projection(x_BSD) * x_BSD.shape[-1] ** -0.5).unflatten(-1, (-1, d_input))
        looked_up_BSLP = (self.table(tokens) * d_input**0.5).unflatten(-1, (-1, d_input))
        context.notes[_NOTE] = (self.norm(read_BSLP) + looked_up_BSLP) * 2**-0.5


@dataclass(frozen=True)
class InputLayer:
    """s * (h + norm(W_2 (activation(W_1 h) * p_l))), with h = layer(x) and p_l this layer's of the `LayerInputs`.

    Args:
        layer: such as `Layer`.
        d_input: width of p_l; None leaves the second term out.
        norm: of that term.
        activation: of its gate.
    s is a number that is kept and not trained; it starts at 1.
    Source: Gemma 3n and Gemma 4, as transformers builds them (`Gemma4TextDecoderLayer`).
    """

    layer: Layer
    d_input: int | None = None
    norm: Norm = field(default=RMSNorm())
    activation: Activation = gelu_tanh

    def __post_init__(self) -> None:
        if self.d_input is not None:
            require_positive(d_input=self.d_input)

    @property
    def mixer(self) -> Mixer:
        """That of the layer."""
        return self.layer.mixer

    def build(self, d_model: int, layer: int = 0) -> "InputLayerModule":
        """The layer's module and what follows it; `layer` is its index, which says which p_l it reads."""
        return InputLayerModule(self, d_model, layer)

    @property
    def rotation_keys(self) -> tuple[RotationKey, ...]:
        """The rotations that the layer needs."""
        return self.layer.rotation_keys

    def cost(self, d_model: int, context_length: int) -> Cost:
        """Two matrices and a norm more, and s."""
        total = self.layer.cost(d_model, context_length) + dense(0, 1)
        if self.d_input is None:
            return total
        kept = d_model + self.d_input * (2 + kept_numbers(self.activation))
        return total + dense(2 * d_model * self.d_input, 0, kept) + self.norm.cost(d_model)


class InputLayerModule(nn.Module):
    """`InputLayer` with its weights."""

    def __init__(self, spec: InputLayer, d_model: int, layer: int) -> None:
        super().__init__()
        self.spec, self.index = spec, layer
        self.layer = spec.layer.build(d_model, layer)
        self.scale = nn.Parameter(torch.ones(1), requires_grad=False)
        width = spec.d_input
        self.gate = None if width is None else nn.Linear(d_model, width, bias=False)
        self.projection = None if width is None else nn.Linear(width, d_model, bias=False)
        self.norm = nn.Identity() if width is None else spec.norm.build(d_model)

    def initialize(self, std: float, residual_std: float, generator: torch.Generator) -> None:
        """The number s starts at 1."""
        self.scale.detach().fill_(1.0)

    def forward(self, x: Float[Tensor, "batch seq d_model"], context: Context) -> Float[Tensor, "batch seq d_model"]:
        """The layer, then its own input."""
        h: Tensor = self.layer(x, context)
        if self.gate is not None and self.projection is not None:
            if _NOTE not in context.notes:
                raise ArchError("InputLayer reads inputs that no one gives; use Decoder(layer_inputs=LayerInputs(...))")
            given = context.notes[_NOTE][:, :, self.index]
            h = h + self.norm(self.projection(self.spec.activation(self.gate(h)) * given))
        return h * self.scale
