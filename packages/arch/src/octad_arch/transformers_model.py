"""Any decoder as a Hugging Face model: `generate`, Trainer, TRL, lm-eval, `save_pretrained` and `from_pretrained`.

    model = OctadForCausalLM(OctadConfig(spec=spec))       # new weights, from torch's global generator
    model = OctadForCausalLM.from_decoder(spec.build())    # these weights, shared
    model.generate(tokens, max_new_tokens=20)
    model.to_decoder()                                     # back again, shared

The checkpoint is of model_type "octad", whatever the specification; `octad_arch.save_pretrained` writes those that
transformers knows itself. Importing this module needs transformers (`pip install octad-arch[transformers]`).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, Shaped
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    GenerationConfig,
    GenerationMixin,
    PreTrainedModel,
)
from transformers import initialization as init
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.utils import can_return_tuple

from .decoder import Decoder, DecoderModel
from .errors import ArchError, require
from .generation_cache import GenerationCache
from .loss_head import IGNORE_INDEX, linear_cross_entropy
from .rows import cached_positions, padding_mask, rows_of
from .transformers_config import OctadConfig


class OctadPreTrainedModel(PreTrainedModel):  # type: ignore[misc]
    """What the bare model and the language model have in common."""

    config_class = OctadConfig
    config: OctadConfig
    base_model_prefix = "model"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _skip_keys_device_placement: ClassVar[list[str]] = ["past_key_values"]

    @classmethod
    def from_pretrained(cls, *args: Any, **kwargs: Any) -> Any:
        """As in transformers, but a checkpoint is loaded whole or not at all, and never unpickled.

        Raises:
            ArchError: parameters are missing or have another shape; `use_safetensors=False`.
        """
        require(kwargs.get("use_safetensors") is not False, "pickled weights can run code; use safetensors")
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs |= {"use_safetensors": True, "output_loading_info": True}
        model, info = super().from_pretrained(*args, **kwargs)
        lost = sorted(map(str, [*info["missing_keys"], *info["mismatched_keys"]]))
        require(not lost, f"the checkpoint lacks {', '.join(lost)}; it is torn, or of another specification")
        return (model, info) if wants_info else model

    def _init_weights(self, module: nn.Module) -> None:
        """Fill a new decoder by the rule of its specification; the seed comes from torch's global generator."""
        is_loaded = any(getattr(parameter, "_is_hf_initialized", False) for parameter in module.parameters())
        if isinstance(module, DecoderModel) and not is_loaded and module.embedding.weight.device.type != "meta":
            seed = int(torch.randint(2**62, (), device="cpu"))
            module.spec.initialization.apply(module, torch.Generator().manual_seed(seed))

    def _set_gradient_checkpointing(
        self,
        enable: bool = True,
        gradient_checkpointing_func: Callable[..., Any] = checkpoint,
        every_n_layers: int = 1,
    ) -> None:
        """Let each layer, or each nth, keep its input alone and compute the rest again in the backward pass."""
        for backbone in (module for module in self.modules() if isinstance(module, OctadModel)):
            backbone.gradient_checkpointing = enable
            for index, layer in enumerate(backbone.decoder.layers):
                layer.__dict__.pop("forward", None)
                if enable and index % every_n_layers == 0:
                    layer.forward = partial(_checkpointed, layer, gradient_checkpointing_func)


def _checkpointed(layer: nn.Module, through: Callable[..., Any], *inputs: Any) -> Any:
    forward = partial(type(layer).forward, layer)
    return through(forward, *inputs) if layer.training and torch.is_grad_enabled() else forward(*inputs)


class OctadModel(OctadPreTrainedModel):
    """The decoder without its head: tokens to normalised hidden states."""

    def __init__(self, config: OctadConfig) -> None:
        super().__init__(config)
        self.decoder = DecoderModel(_headless(config.spec))
        self.gradient_checkpointing = False
        self._no_split_modules = sorted({type(layer).__name__ for layer in self.decoder.layers})
        self.post_init()

    def get_input_embeddings(self) -> nn.Embedding:
        """The token embedding."""
        return self.decoder.embedding

    def set_input_embeddings(self, value: nn.Embedding) -> None:
        """Put another token embedding in its place; the specifications follow."""
        self.decoder.embedding = value
        self.decoder.spec = replace(self.decoder.spec, vocab_size=len(value.weight))
        self.config.vocab_size = len(value.weight)

    @can_return_tuple  # type: ignore[untyped-decorator]
    def forward(
        self,
        input_ids: Int[Tensor, "batch seq"],
        attention_mask: Shaped[Tensor, "batch total"] | None = None,
        position_ids: Int[Tensor, "rows seq"] | None = None,
        past_key_values: GenerationCache | None = None,
        use_cache: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """Hidden states of each token, as if its row were alone and without padding; 0 or less telling at padding.

        Args:
            input_ids: tokens.
            attention_mask: 0 at padding, anywhere in a row; with a cache, over its slots and the new ones.
            position_ids: absolute index of each token; None counts the tokens that are no padding. Where they do not
                rise, another sequence begins in the same row (packing), which sees nothing of those before.
            past_key_values: what an earlier call returned.
            use_cache: keep the past and return it; None means only where `past_key_values` is given.
            kwargs: what other models take is ignored.

        Raises:
            ArchError: embeddings in place of tokens, states of all layers or attention weights asked for, a mask of
                another shape, packed sequences with a cache, layers that cannot run on one.
        """
        self._refuse(kwargs, position_ids)
        mask = padding_mask(attention_mask, input_ids)
        if past_key_values is None and use_cache:
            past_key_values = GenerationCache()
        if past_key_values is None:
            return BaseModelOutputWithPast(last_hidden_state=self._uncached(input_ids, mask, position_ids))
        past = past_key_values.positions(input_ids)
        positions = cached_positions(input_ids, mask, position_ids, past)
        hidden = self.decoder.hidden(input_ids, positions, past_key_values)
        past_key_values.advance(positions)
        return BaseModelOutputWithPast(last_hidden_state=hidden, past_key_values=past_key_values)

    def _uncached(self, tokens: Tensor, mask: Tensor | None, positions: Tensor | None) -> Tensor:
        if positions is not None:
            positions = positions.expand_as(tokens)
        rows = rows_of(mask, positions)
        if rows is None:
            return self.decoder.hidden(tokens, positions)
        moved = None if positions is None else rows.take(positions)
        return rows.put_back(self.decoder.hidden(rows.take(tokens), moved), *tokens.shape)

    def _refuse(self, kwargs: Mapping[str, Any], position_ids: Tensor | None) -> None:
        if kwargs.get("inputs_embeds") is not None:
            raise ArchError("inputs_embeds: a decoder of octad reads tokens; give input_ids")
        for name in ("output_hidden_states", "output_attentions", "output_router_logits"):
            given = kwargs.get(name)
            if given or (given is None and getattr(self.config, name, False)):
                raise ArchError(f"{name}: layers of octad keep nothing aside; put a forward hook on model.decoder")
        packed = kwargs.get("cu_seq_lens_q") is not None or kwargs.get("seq_idx") is not None
        require(not packed or position_ids is not None, "packed sequences need position_ids that start again at each")


class OctadForCausalLM(OctadPreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """A decoder with its head."""

    _tied_weights_keys: ClassVar[dict[str, str]] = {"lm_head.weight": "model.decoder.embedding.weight"}

    def __init__(self, config: OctadConfig) -> None:
        super().__init__(config)
        self.model = OctadModel(config)
        self.lm_head: nn.Module = nn.Linear(config.hidden_size, config.vocab_size, bias=config.spec.head_bias)
        self.post_init()

    @classmethod
    def from_decoder(cls, decoder: DecoderModel, **entries: Any) -> "OctadForCausalLM":
        """The model with the very parameters of a decoder: training one trains the other.

        Args:
            decoder: of any specification.
            entries: further ones of the config, such as eos_token_id.
        """
        with torch.device("meta"):
            model = cls(OctadConfig(spec=decoder.spec, dtype=decoder.embedding.weight.dtype, **entries))
        shared = {_wrapped(name): parameter for name, parameter in decoder.named_parameters()}
        model.load_state_dict(shared, strict=False, assign=True)
        model.tie_weights()
        model.generation_config = GenerationConfig.from_model_config(model.config)
        model.train(decoder.training)
        return model

    def to_decoder(self) -> DecoderModel:
        """A `DecoderModel` with the very parameters of this model, for octad's own functions."""
        with torch.device("meta"):
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
        """The linear map to the logits."""
        return self.lm_head

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
        logits: Tensor = self.lm_head(hidden)
        cap = self.config.spec.logit_softcap
        return logits if cap is None else cap * torch.tanh(logits / cap)

    def _loss(self, hidden: Tensor, targets: Tensor, count: int | Tensor | None) -> Float[Tensor, ""]:
        """The loss, without the full logits where the head is a plain linear map."""
        targets = targets.to(hidden.device)
        if type(self.lm_head) is nn.Linear and self.config.spec.logit_softcap is None:
            weight, bias = self.lm_head.weight, self.lm_head.bias
            if bias is not None:  # h W + b = (h, 1) (W, b)
                hidden, weight = F.pad(hidden, (0, 1), value=1.0), torch.cat((weight, bias[:, None]), 1)
            total = linear_cross_entropy(hidden, weight, targets, reduction="sum")
        else:
            total = F.cross_entropy(self._logits(hidden).float().flatten(0, -2), targets.flatten(), reduction="sum")
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


def _headless(spec: Decoder) -> Decoder:
    """The part of a specification that the bare model builds."""
    return replace(spec, tied_embeddings=True, head_bias=False)


def _wrapped(name: str) -> str:
    """The name here of a decoder's parameter."""
    return {"head.weight": "lm_head.weight", "head_bias": "lm_head.bias"}.get(name, f"model.decoder.{name}")


def register_auto_classes() -> None:
    """Let `AutoConfig`, `AutoModel` and `AutoModelForCausalLM` know model_type "octad"; twice does no harm."""
    AutoConfig.register(OctadConfig.model_type, OctadConfig, exist_ok=True)
    AutoModel.register(OctadConfig, OctadModel, exist_ok=True)
    AutoModelForCausalLM.register(OctadConfig, OctadForCausalLM, exist_ok=True)
