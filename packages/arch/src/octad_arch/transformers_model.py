"""Any decoder as a Hugging Face model: `generate`, Trainer, TRL, lm-eval, `save_pretrained` and `from_pretrained`.

    model = OctadForCausalLM(OctadConfig(spec=spec))       # new weights, from torch's global generator
    model = OctadForCausalLM.from_decoder(spec.build())    # these weights, shared
    model.generate(tokens, max_new_tokens=20)
    model.to_decoder()                                     # back again, shared

The checkpoint is of model_type "octad", whatever the specification; `octad_arch.save_pretrained` writes those that
transformers knows itself. Importing this module needs transformers (`pip install octad-arch[transformers]`).
"""

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    GenerationConfig,
    GenerationMixin,
)
from transformers import initialization as init
from transformers.modeling_outputs import CausalLMOutputWithPast
from transformers.utils import can_return_tuple

from .decoder import DecoderModel
from .errors import require
from .generation_cache import GenerationCache
from .logit_passes import soft_cap
from .loss_head import IGNORE_INDEX, linear_cross_entropy
from .shapes_only import shapes_only
from .transformers_backbone import OctadModel, OctadPreTrainedModel
from .transformers_config import OctadConfig

__all__ = ["OctadConfig", "OctadForCausalLM", "OctadModel", "register_auto_classes"]


class OctadForCausalLM(OctadPreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """A decoder with its head."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "model.decoder.embedding.weight"}

    def __init__(self, config: OctadConfig) -> None:
        super().__init__(config)
        self.model, self.head_loss = OctadModel(config), linear_cross_entropy
        self.lm_head: nn.Module = nn.Linear(config.hidden_size, config.vocab_size, bias=config.spec.head_bias)
        self.post_init()

    @classmethod
    def from_decoder(cls, decoder: DecoderModel, **entries: Any) -> "OctadForCausalLM":
        """The model with the very parameters of a decoder: training one trains the other.

        Args:
            decoder: of any specification.
            entries: further ones of the config, such as eos_token_id.
        """
        with shapes_only():
            model = cls(OctadConfig(spec=decoder.spec, dtype=decoder.embedding.weight.dtype, **entries))
        shared = {_wrapped(name): parameter for name, parameter in decoder.named_parameters()}
        model.load_state_dict(shared, strict=False, assign=True)
        model.tie_weights()
        model.generation_config = GenerationConfig.from_model_config(model.config)
        model.train(decoder.training)
        return model

    def to_decoder(self) -> DecoderModel:
        """A `DecoderModel` with the very parameters of this model, for octad's own functions."""
        with shapes_only():
            decoder = DecoderModel(self.config.spec)
        mine = dict(self.named_parameters(remove_duplicate=False))
        decoder.load_state_dict({name: mine[_wrapped(name)] for name in decoder.state_dict()}, assign=True)
        return decoder.train(self.training)

    def get_input_embeddings(self) -> nn.Embedding:
        """The token embedding."""
        return self.model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Put another token embedding in its place; the specifications follow."""
        self.model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """The linear map to the logits; with learned gains of the logits (nGPT) a view of it and them."""
        gains = self.model.decoder.logit_gains
        return self.lm_head if gains is None else _GainedHead(self.lm_head, gains())

    def set_output_embeddings(self, new_embeddings: nn.Module) -> None:
        """Put another map in its place."""
        self.lm_head = new_embeddings

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Int[Tensor, "batch seq"],
        attention_mask: Shaped[Tensor, "batch total"] | None = None,
        position_ids: Int[Tensor, "rows seq"] | None = None,
        past_key_values: GenerationCache | None = None,
        labels: Int[Tensor, "batch seq"] | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Int[Tensor, "kept"] = 0,
        skip_logits: bool | None = None,
        num_items_in_batch: int | Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Logits of the next token, and with labels the mean of -log p[label of the next token].

        Args:
            input_ids: tokens; with the next three as in `OctadModel.forward`.
            attention_mask: 0 at padding.
            position_ids: absolute index of each token.
            past_key_values: what an earlier call returned.
            labels: the tokens themselves, -100 where nothing is to be learned; they are shifted here.
            use_cache: keep the past and return it.
            logits_to_keep: logits of the last so many tokens, or of these; 0 means of all.
            skip_logits: leave the logits out, which then are never made; None means in training, given labels.
            num_items_in_batch: what the sum of the losses is divided by; None means the number of labels here.
            kwargs: `shift_labels`, labels that are shifted already; all else as in `OctadModel.forward`.
        """
        shifted = kwargs.pop("shift_labels", None)
        outputs = self.model(
            input_ids, attention_mask, position_ids, past_key_values, use_cache, **kwargs | {"return_dict": True}
        )
        hidden, loss, logits = outputs.last_hidden_state, None, None
        if shifted is not None:
            loss = self._loss(hidden, shifted, num_items_in_batch)
        elif labels is not None:
            loss = self._loss(hidden[:, :-1], labels[:, 1:], num_items_in_batch)
        if not (self.training and loss is not None if skip_logits is None else skip_logits):
            kept = slice(-logits_to_keep, None) if isinstance(logits_to_keep, int) else logits_to_keep
            logits = self._logits(hidden[:, kept])
        return CausalLMOutputWithPast(loss=loss, logits=logits, past_key_values=outputs.past_key_values)

    def _logits(self, hidden: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab"]:
        logits: Tensor = self.get_output_embeddings()(hidden)
        cap = self.config.spec.logit_softcap
        return soft_cap(logits, cap)

    def _loss(self, hidden: Tensor, targets: Tensor, count: int | Tensor | None) -> Float[Tensor, ""]:
        """The loss, without the full logits where the head is a plain linear map."""
        targets = targets.to(hidden.device)
        head: Any = self.get_output_embeddings()
        if type(head) in (nn.Linear, _GainedHead):
            cap = self.config.spec.logit_softcap
            total = self.head_loss(hidden, head.weight, targets, reduction="sum", bias=head.bias, softcap=cap)
        else:
            logits = self._logits(hidden)
            wide = logits.to(torch.promote_types(logits.dtype, torch.float32)).flatten(0, -2)
            total = F.cross_entropy(wide, targets.flatten(), reduction="sum")
        return total / ((targets != IGNORE_INDEX).sum().clamp(min=1) if count is None else count)

    def _init_weights(self, module: nn.Module) -> None:
        if module is self.lm_head:
            init.normal_(module.weight, 0.0, self.config.spec.initialization.std)
            if module.bias is not None:
                init.zeros_(module.bias)

    def _prepare_cache_for_generation(
        self, generation_config: GenerationConfig, model_kwargs: dict[str, Any], *args: Any
    ) -> None:
        """Give `generate` a `GenerationCache`, the only one whose protocol the layers speak."""
        asked = generation_config.cache_implementation
        require(asked in (None, "dynamic"), f"cache_implementation={asked!r}: octad's layers keep a GenerationCache")
        if model_kwargs.get("past_key_values") is None and generation_config.use_cache is not False:
            model_kwargs["past_key_values"] = GenerationCache()


class _GainedHead(nn.Module):
    """logits = gains * (hidden @ weightᵀ) + bias, as one matrix that trainers can read."""

    weight: Tensor
    bias: Tensor | None

    def __init__(self, head: Any, gains: Float[Tensor, "vocab"]) -> None:
        super().__init__()
        self.weight, self.bias = head.weight * gains[:, None], head.bias

    def forward(self, hidden: Float[Tensor, "... d_model"]) -> Float[Tensor, "... vocab"]:
        return F.linear(hidden, self.weight, self.bias)


def _wrapped(name: str) -> str:
    """The name here of a decoder's parameter."""
    return {"head.weight": "lm_head.weight", "head_bias": "lm_head.bias"}.get(name, f"model.decoder.{name}")


def register_auto_classes() -> None:
    """Let `AutoConfig`, `AutoModel` and `AutoModelForCausalLM` know model_type "octad"; twice does no harm."""
    AutoConfig.register(OctadConfig.model_type, OctadConfig, exist_ok=True)
    AutoModel.register(OctadConfig, OctadModel, exist_ok=True)
    AutoModelForCausalLM.register(OctadConfig, OctadForCausalLM, exist_ok=True)
