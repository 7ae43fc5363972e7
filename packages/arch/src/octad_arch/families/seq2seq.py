"""T5 and BART: encoders with decoders."""

import math
from collections.abc import Iterable

from ..attention import Attention
from ..bias import RelativeBias
from ..checkpoint_map import Weight
from ..cross_attention import CrossAttention
from ..decoder import Decoder
from ..encoder import Encoder
from ..encoder_decoder import EncoderDecoder
from ..errors import ArchError
from ..feed_forward import MLP, SwiGLU
from ..initialization import Initialization
from ..layer import Layer
from ..norm import LayerNorm, RMSNorm
from ..position import LearnedPositions
from ..residual import PostNorm
from .mapped import MappedFamily
from .reading import ACTIVATIONS, Config, Entries, activation, activation_name, needed, refuse


def _t5_block(config: Entries) -> MLP | SwiGLU:
    gated, _, name = config.get("feed_forward_proj", "relu").rpartition("-")
    name = "gelu_new" if (gated, name) == ("gated", "gelu") else name
    if gated not in ("", "gated") or name not in ACTIVATIONS:
        raise ArchError(f"config.json has feed_forward_proj={config['feed_forward_proj']!r}; use relu or gated-gelu")
    d_ff = needed(config, "d_ff")
    return SwiGLU(d_ff, activation=ACTIVATIONS[name]) if gated else MLP(d_ff, ACTIVATIONS[name])


def _t5(config: Entries) -> EncoderDecoder:
    vocab_size, d_model = needed(config, "vocab_size"), needed(config, "d_model")
    num_heads, d_head = needed(config, "num_heads"), needed(config, "d_kv")
    norm, block = RMSNorm(config.get("layer_norm_epsilon", 1e-6)), _t5_block(config)
    buckets = config.get("relative_attention_num_buckets", 32)
    distance = config.get("relative_attention_max_distance", 128)
    depth = needed(config, "num_layers")
    seen = Layer(Attention(num_heads, num_heads, d_head, None, is_causal=False, scale=1.0), block, norm)
    cross = CrossAttention(num_heads, num_heads, d_head, scale=1.0)
    past = Layer(Attention(num_heads, num_heads, d_head, None, scale=1.0), block, norm, cross=cross)
    start = Initialization(config.get("initializer_factor", 1.0))
    tied = config.get("tie_word_embeddings") is not False
    encoder = Encoder(
        vocab_size,
        d_model,
        (seen,) * depth,
        norm,
        initialization=start,
        context_length=config.get("n_positions", 512),
        position_bias=RelativeBias(buckets, distance, True),
    )
    decoder = Decoder(
        vocab_size,
        d_model,
        (past,) * (config.get("num_decoder_layers") or depth),
        norm,
        tied,
        start,
        config.get("n_positions", 512),
        logit_scale=d_model**-0.5 if tied else 1.0,
        position_bias=RelativeBias(buckets, distance),
    )
    return EncoderDecoder(encoder, decoder)


def _t5_config(spec: EncoderDecoder) -> Config | None:
    first, bias = (spec.encoder.layers[0] if spec.encoder.layers else None), spec.encoder.position_bias
    if not (isinstance(first, Layer) and isinstance(first.mixer, Attention) and isinstance(bias, RelativeBias)):
        return None
    block = first.feed_forward
    if not (isinstance(block, MLP | SwiGLU) and isinstance(spec.encoder.norm, RMSNorm)):
        return None
    name = activation_name(block.activation, "gelu_new" if isinstance(block, SwiGLU) else "relu")
    if name is None:
        return None
    gated = {"gelu_new": "gated-gelu"}.get(name, f"gated-{name}")
    return {
        "architectures": ["T5ForConditionalGeneration"],
        "model_type": "t5",
        "is_encoder_decoder": True,
        "vocab_size": spec.encoder.vocab_size,
        "d_model": spec.encoder.d_model,
        "d_kv": first.mixer.d_head,
        "d_ff": block.d_ff,
        "num_layers": len(spec.encoder.layers),
        "num_decoder_layers": len(spec.decoder.layers),
        "num_heads": first.mixer.num_heads,
        "relative_attention_num_buckets": bias.buckets,
        "relative_attention_max_distance": bias.max_distance,
        "n_positions": spec.encoder.context_length,
        "layer_norm_epsilon": spec.encoder.norm.eps,
        "initializer_factor": spec.encoder.initialization.std,
        "feed_forward_proj": gated if isinstance(block, SwiGLU) else name,
        "tie_word_embeddings": spec.decoder.tied_embeddings,
    }


def _t5_side(side: str, last: int) -> dict[str, str]:
    block = f"{side}.block.{{i}}.layer"
    names = {
        f"{side}.position_bias.table": f"{side}.block.0.layer.0.SelfAttention.relative_attention_bias",
        f"{side}.norm": f"{side}.final_layer_norm",
    }
    layer = f"{side}.layers.{{i}}"
    for part, theirs in (("query", "q"), ("key", "k"), ("value", "v"), ("output", "o")):
        names[f"{layer}.mixer.block.{part}"] = f"{block}.0.SelfAttention.{theirs}"
        names[f"{layer}.cross.block.{part}"] = f"{block}.1.EncDecAttention.{theirs}"
    names |= {
        f"{layer}.mixer.input_norm": f"{block}.0.layer_norm",
        f"{layer}.cross.input_norm": f"{block}.1.layer_norm",
    }
    return names | {f"{layer}.feed_forward.input_norm": f"{block}.{last}.layer_norm"}


def _t5_fused(spec: EncoderDecoder, parameters: Iterable[str]) -> Iterable[Weight]:
    for name in parameters:
        side, _, rest = name.partition(".layers.")
        index, _, inner = rest.partition(".feed_forward.block.")
        if inner:
            part = inner.removesuffix(".weight")
            gated = f"{side}.layers.{index}.feed_forward.block.gate.weight" in parameters
            theirs = {"down": "wo", "gate": "wi_0", "up": "wi_1" if gated else "wi"}[part]
            last = 1 if side == "encoder" else 2
            yield Weight((f"{side}.block.{index}.layer.{last}.DenseReluDense.{theirs}.weight",), (name,))


T5 = MappedFamily[EncoderDecoder](
    "t5",
    "",
    _t5,
    _t5_config,
    {"encoder.embedding": "shared", "decoder.head": "lm_head"} | _t5_side("encoder", 1) | _t5_side("decoder", 2),
    _t5_fused,
    (
        "lm_head.weight",
        "encoder.embed_tokens.weight",
        "decoder.embed_tokens.weight",
        "decoder.block.0.layer.1.EncDecAttention.relative_attention_bias.weight",  # old exports of T5 itself
    ),
)


def _bart(config: Entries) -> EncoderDecoder:
    refuse(config, "bart", tie_word_embeddings=(True, None))
    vocab_size, d_model = needed(config, "vocab_size"), needed(config, "d_model")
    scale = math.sqrt(d_model) if config.get("scale_embedding") else 1.0
    function, norm = activation(config, "activation_function", "gelu"), LayerNorm()
    start, length = Initialization(config.get("init_std", 0.02)), config.get("max_position_embeddings", 1024)

    def layer(side: str, is_causal: bool) -> Layer:
        heads = needed(config, f"{side}_attention_heads")
        mixer = Attention(heads, heads, d_model // heads, None, None, True, True, is_causal)
        block = MLP(needed(config, f"{side}_ffn_dim"), function, True)
        cross = CrossAttention(heads, heads, d_model // heads, True, True) if is_causal else None
        return Layer(mixer, block, norm, PostNorm(), cross)

    encoder = Encoder(
        vocab_size,
        d_model,
        (layer("encoder", False),) * needed(config, "encoder_layers"),
        None,
        0,
        start,
        length,
        LearnedPositions(length, 2),
        scale,
        norm,
    )
    decoder = Decoder(
        vocab_size,
        d_model,
        (layer("decoder", True),) * needed(config, "decoder_layers"),
        None,
        True,
        start,
        length,
        LearnedPositions(length, 2),
        scale,
        norm,
        head_bias=True,
    )
    return EncoderDecoder(encoder, decoder)


def _bart_config(spec: EncoderDecoder) -> Config | None:
    written: Config = {"architectures": ["BartForConditionalGeneration"], "model_type": "bart"}
    for side, layers in (("encoder", spec.encoder.layers), ("decoder", spec.decoder.layers)):
        first = layers[0] if layers else None
        if not (isinstance(first, Layer) and isinstance(first.mixer, Attention)):
            return None
        if not isinstance(first.feed_forward, MLP):
            return None
        name = activation_name(first.feed_forward.activation, "gelu")
        if name is None:
            return None
        written |= {
            f"{side}_layers": len(layers),
            f"{side}_attention_heads": first.mixer.num_heads,
            f"{side}_ffn_dim": first.feed_forward.d_ff,
            "activation_function": name,
        }
    return written | {
        "is_encoder_decoder": True,
        "vocab_size": spec.encoder.vocab_size,
        "d_model": spec.encoder.d_model,
        "max_position_embeddings": spec.encoder.context_length,
        "init_std": spec.encoder.initialization.std,
        "scale_embedding": spec.encoder.embedding_scale != 1,
        "tie_word_embeddings": True,
    }


def _bart_side(side: str) -> dict[str, str]:
    ours, theirs = f"{side}.layers.{{i}}", f"model.{side}.layers.{{i}}"
    names = {
        f"{side}.position.table": f"model.{side}.embed_positions",
        f"{side}.embedding_norm": f"model.{side}.layernorm_embedding",
        f"{ours}.mixer.output_norm": f"{theirs}.self_attn_layer_norm",
        f"{ours}.cross.output_norm": f"{theirs}.encoder_attn_layer_norm",
        f"{ours}.feed_forward.output_norm": f"{theirs}.final_layer_norm",
        f"{ours}.feed_forward.block.up": f"{theirs}.fc1",
        f"{ours}.feed_forward.block.down": f"{theirs}.fc2",
    }
    for part, name in (("query", "q_proj"), ("key", "k_proj"), ("value", "v_proj"), ("output", "out_proj")):
        names[f"{ours}.mixer.block.{part}"] = f"{theirs}.self_attn.{name}"
        names[f"{ours}.cross.block.{part}"] = f"{theirs}.encoder_attn.{name}"
    return names


BART = MappedFamily[EncoderDecoder](
    "bart",
    "model.",
    _bart,
    _bart_config,
    {"encoder.embedding": "model.shared"} | _bart_side("encoder") | _bart_side("decoder"),
    lambda spec, parameters: (
        Weight(
            ("final_logits_bias",),
            ("decoder.head_bias",),
            lambda tensors: (tensors[0][0],),
            lambda tensors: (tensors[0][None],),
        ),
    ),
    ("lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"),
)
