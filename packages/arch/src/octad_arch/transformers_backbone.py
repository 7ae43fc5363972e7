"""The bare decoder as a Hugging Face model: tokens to hidden states, whatever the padding."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar

import torch
from jaxtyping import Int, Shaped
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import can_return_tuple

from .decoder import Decoder, DecoderModel
from .errors import ArchError, require
from .generation_cache import GenerationCache
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

    def resize_token_embeddings(self, *args: Any, **kwargs: Any) -> nn.Embedding:
        """As in transformers: grow or shrink the vocabulary; ties, offsets and the specification follow.

        Raises:
            ArchError: each token id has a learned gain of its logit (nGPT).
        """
        fits = self.config.spec.logit_gain is None
        require(fits, "a model with logit_gain keeps its vocabulary; build another and copy what it shares")
        embedding: nn.Embedding = super().resize_token_embeddings(*args, **kwargs)
        return embedding

    def _initialize_weights(self, module: nn.Module, is_custom_code: bool = False) -> None:
        """Ask for modules without parameters of their own too, which transformers passes over in foreign code."""
        super()._initialize_weights(module, is_custom_code=False)

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
        """Let each layer, or each nth, keep its input alone and compute the rest again in the backward pass.

        Raises:
            ArchError: `use_reentrant=True`, whose gradients end at what a layer gets by another way than its input.
        """
        is_reentrant = enable and getattr(gradient_checkpointing_func, "keywords", {}).get("use_reentrant")
        require(not is_reentrant, "use_reentrant=True loses gradients between layers that share values; use False")
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
        """Hidden states of each token, as if its row were alone and without padding; at padding they say nothing.

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


def _headless(spec: Decoder) -> Decoder:
    """The part of a specification that the bare model builds."""
    return replace(spec, tied_embeddings=True, head_bias=False)
