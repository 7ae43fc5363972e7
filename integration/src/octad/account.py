"""What training a recipe's model costs in operations and in memory, by the account of octad_systems."""

from __future__ import annotations

from octad_arch import Attention, Decoder, Layer, SwiGLU
from octad_systems import TransformerShape, training_flops_per_token, training_memory

from octad.errors import OctadError
from octad.recipe import PretrainRecipe


def transformer_shape(spec: Decoder) -> TransformerShape:
    """The shape of a decoder whose layers are alike, of attention and SwiGLU: what `octad.model.decoder` makes.

    Raises:
        OctadError: the decoder is of another kind.
    """
    layer = spec.layers[0] if spec.layers else None
    if not isinstance(layer, Layer) or any(other != layer for other in spec.layers):
        raise OctadError("the decoder's layers are not all alike; the account knows one kind of layer")
    mixer, feed_forward = layer.mixer, layer.feed_forward
    if not isinstance(mixer, Attention) or not isinstance(feed_forward, SwiGLU):
        kinds = f"{type(mixer).__name__} and {type(feed_forward).__name__}"
        raise OctadError(f"the decoder's layers are of {kinds}; the account knows Attention and SwiGLU")
    return TransformerShape(
        spec.vocab_size,
        spec.d_model,
        len(spec.layers),
        mixer.num_heads,
        mixer.num_kv_heads,
        mixer.d_head,
        feed_forward.d_ff,
        tied_embeddings=spec.tied_embeddings,
        has_qk_norm=mixer.qk_norm is not None,
    )


def training_flops(spec: Decoder, seq_len: int) -> float:
    """Operations a token of one training step on sequences of that length."""
    return training_flops_per_token(transformer_shape(spec), seq_len)


def training_bytes(spec: Decoder, settings: PretrainRecipe) -> int:
    """Bytes of one pretraining step on one device in float32, activations included: an upper bound of the peak."""
    rows = settings.micro_batch_size or settings.batch_size
    return training_memory(
        transformer_shape(spec),
        rows,
        spec.context_length,
        optimizer="muon" if settings.optimizer == "muon" else "adamw",
        has_fused_head=True,
    ).total
