"""DeepSeek-V4: windows beside compressed entries, copies of the stream, experts of which some are looked up."""

from collections.abc import Iterable
from typing import Any

from ..activation import LimitedGating, sigmoid, sqrt_softplus
from ..checkpoint_map import Weight
from ..decoder import Decoder
from ..errors import ArchError
from ..feed_forward import SwiGLU
from ..layer import Layer
from ..norm import RMSNorm
from ..rope import RoPE
from ..variants.compressed_attention import CompressedAttention, EntryIndexer
from ..variants.compressor import Compressor
from ..variants.copies import GatedCopies
from ..variants.hash_moe import HashMoE
from ..variants.hyper_connections import ManifoldHyperConnections
from ..variants.moe import MoE, SigmoidRouter
from .family import DecoderFamily
from .llama import norm
from .moe import stored_experts
from .reading import Config, Entries, activation, activation_name, needed, refuse, rope_parameters, rotary
from .reading import rotary_entries as rotary_entries_of

_WINDOW, _OVERLAPPING, _HEAVY = "sliding_attention", "compressed_sparse_attention", "heavily_compressed_attention"
_KIND_OF_RATE = {0: _WINDOW, 4: _OVERLAPPING, 128: _HEAVY}
_RATES = {_OVERLAPPING: 4, _HEAVY: 128}
_SCORES = {"sqrtsoftplus": sqrt_softplus, "sigmoid": sigmoid}


def _kind(config: Entries, index: int) -> str:
    kinds = config.get("layer_types")
    if kinds is None and config.get("compress_ratios") is not None:
        kinds = [_KIND_OF_RATE.get(rate, str(rate)) for rate in config["compress_ratios"]]
    if kinds is None:
        kinds = [_HEAVY, _HEAVY] + [_OVERLAPPING if index % 2 else _HEAVY for index in range(index)]
    if kinds[index] not in (_WINDOW, _OVERLAPPING, _HEAVY):
        raise ArchError(f"config.json of deepseek_v4 has a layer of kind {kinds[index]!r}, which is not supported")
    return str(kinds[index])


def _rates(config: Entries) -> dict[str, int]:
    given = config.get("compress_rates") or _RATES
    short = config.get("compress_rate_csa", given[_OVERLAPPING])
    return {_OVERLAPPING: short, _HEAVY: config.get("compress_rate_hca", given[_HEAVY])}


def _turned(config: Entries) -> int:
    width = config.get("qk_rope_head_dim")
    return int(width or needed(config, "head_dim") * config.get("partial_rotary_factor", 0.125))


def _position(config: Entries, is_compressed: bool) -> RoPE:
    """Windows alone turn by `main`, layers with entries by `compress`, which YaRN may stretch but never sharpens."""
    given = rope_parameters(config)
    parameters: dict[str, Any]
    if is_compressed:
        parameters = dict(given["compress"]) if "compress" in given else dict(given)
        parameters.setdefault("rope_theta", config.get("compress_rope_theta", 160_000.0))
        if "compress" not in given:
            parameters["rope_theta"] = config.get("compress_rope_theta", 160_000.0)
        if parameters.get("rope_type", parameters.get("type")) == "yarn":
            parameters.setdefault("attention_factor", 1.0)
    else:
        parameters = dict(given["main"]) if "main" in given else {}
        parameters.setdefault("rope_theta", config.get("rope_theta", 10_000.0))
    parameters.pop("partial_rotary_factor", None)
    plain = {key: value for key, value in config.items() if key != "partial_rotary_factor"}
    return rotary(plain | {"rope_parameters": parameters, "rope_scaling": None}, _turned(config), neighbours=True)


def _mixer(config: Entries, index: int) -> CompressedAttention:
    kind, own = _kind(config, index), norm(config)
    position = _position(config, kind != _WINDOW)
    compressor = indexer = None
    if kind != _WINDOW:
        compressor = Compressor(_rates(config)[kind], _turned(config), kind == _OVERLAPPING, position, own)
    if kind == _OVERLAPPING:
        sizes = (config.get("index_n_heads", 64), config.get("index_head_dim", 128), config.get("index_topk", 512))
        assert compressor is not None
        indexer = EntryIndexer(*sizes, compressor)
    return CompressedAttention(
        needed(config, "num_attention_heads"),
        needed(config, "head_dim"),
        _turned(config),
        needed(config, "q_lora_rank"),
        config.get("sliding_window", 128),
        config.get("o_groups", 8),
        config.get("o_lora_rank", 1024),
        position,
        own,
        compressor,
        indexer,
    )


def _layer(config: Entries, index: int) -> Layer:
    refuse(config, "deepseek_v4", attention_bias=(False, None), mlp_bias=(False, None), norm_topk_prob=(True, None))
    refuse(config, "deepseek_v4", scoring_func=(*_SCORES, None), num_key_value_heads=(1, None))
    refuse(config, "deepseek_v4", n_shared_experts=(1, None), router_jitter_noise=(0.0, None))
    kinds, hashed = config.get("mlp_layer_types"), config.get("num_hash_layers", 3)
    is_hashed = index < hashed if kinds is None else kinds[index] == "hash_moe"
    function, width = activation(config), needed(config, "moe_intermediate_size")
    gating = LimitedGating(float(config.get("swiglu_limit", 10.0)), function)
    score = _SCORES[config.get("scoring_func") or "sqrtsoftplus"]
    router = SigmoidRouter(
        needed(config, "num_experts_per_tok"), float(config.get("routed_scaling_factor", 1.5)), score=score
    )
    sizes = (needed(config, "n_routed_experts"), width, router)
    parts: dict[str, Any] = {"activation": function, "gating": gating}
    parts["shared"] = SwiGLU(width, **parts)
    experts = HashMoE(*sizes, **parts, vocab_size=needed(config, "vocab_size")) if is_hashed else MoE(*sizes, **parts)
    eps = config.get("rms_norm_eps", 1e-6)
    copies = ManifoldHyperConnections(
        config.get("hc_mult", 4), config.get("hc_sinkhorn_iters", 20), config.get("hc_eps", 1e-6), eps
    )
    return Layer(_mixer(config, index), experts, norm(config), copies)


def _stream(config: Entries) -> dict[str, Any]:
    eps = config.get("rms_norm_eps", 1e-6)
    return {"stream": GatedCopies(config.get("hc_mult", 4), config.get("hc_eps", 1e-6), eps)}


def _rotary_entries(position: object, mixer: CompressedAttention) -> Config | None:
    written = rotary_entries_of(position, mixer.d_rope) if isinstance(position, RoPE) else None
    return None if written is None else written | {"partial_rotary_factor": mixer.d_rope / mixer.d_head}


def _positions(mixers: list[CompressedAttention]) -> Config | None:
    first = mixers[0]
    main = next((mixer.position for mixer in mixers if mixer.compressor is None), RoPE(neighbours=True))
    compress = next((mixer.position for mixer in mixers if mixer.compressor is not None), main)
    ropes = {"main": _rotary_entries(main, first), "compress": _rotary_entries(compress, first)}
    if ropes["main"] is None or ropes["compress"] is None:
        return None
    thetas = {"rope_theta": ropes["main"]["rope_theta"], "compress_rope_theta": ropes["compress"]["rope_theta"]}
    return {"rope_parameters": ropes} | thetas


def _attention_entries(mixers: list[CompressedAttention]) -> Config | None:
    first, ropes = mixers[0], _positions(mixers)
    if ropes is None:
        return None
    rates, kinds = dict(_RATES), []
    for mixer in mixers:
        kind = _WINDOW
        if mixer.compressor is not None:
            kind = _OVERLAPPING if mixer.compressor.overlaps else _HEAVY
            rates[kind] = mixer.compressor.rate
        kinds.append(kind)
    indexer = next((mixer.indexer for mixer in mixers if mixer.indexer is not None), None)
    sizes = {} if indexer is None else {"index_n_heads": indexer.num_heads, "index_head_dim": indexer.d_head}
    return (
        ropes
        | sizes
        | {
            "index_topk": 512 if indexer is None else indexer.top_k,
            "num_key_value_heads": 1,
            "head_dim": first.d_head,
            "partial_rotary_factor": first.d_rope / first.d_head,
            "q_lora_rank": first.d_query_latent,
            "sliding_window": first.window,
            "o_groups": first.groups,
            "o_lora_rank": first.d_output,
            "layer_types": kinds,
            "compress_rates": rates,
        }
    )


def _entries(spec: Decoder) -> Config | None:
    layers = [each for each in spec.layers if isinstance(each, Layer)]
    mixers = [each.mixer for each in layers if isinstance(each.mixer, CompressedAttention)]
    sparse, copies = (layers[0].feed_forward, layers[0].placement) if layers else (None, None)
    if len(mixers) != len(spec.layers) or not isinstance(sparse, MoE) or not isinstance(spec.norm, RMSNorm):
        return None
    attention, router, gating = _attention_entries(mixers), sparse.router, sparse.gating
    score = next((name for name, known in _SCORES.items() if known is getattr(router, "score", None)), None)
    act = activation_name(sparse.activation, "silu")
    if attention is None or not isinstance(router, SigmoidRouter) or not isinstance(gating, LimitedGating):
        return None
    if act is None or score is None or not isinstance(copies, ManifoldHyperConnections):
        return None
    return attention | {
        "hidden_act": act,
        "rms_norm_eps": spec.norm.eps,
        "moe_intermediate_size": sparse.d_ff,
        "n_routed_experts": sparse.num_experts,
        "n_shared_experts": 1,
        "num_experts_per_tok": router.top_k,
        "routed_scaling_factor": router.scale,
        "scoring_func": score,
        "swiglu_limit": gating.limit,
        "hc_mult": copies.copies,
        "hc_sinkhorn_iters": copies.iterations,
        "hc_eps": copies.eps,
        "mlp_layer_types": ["hash_moe" if isinstance(each.feed_forward, HashMoE) else "moe" for each in layers],
        "pad_token_id": None,
    }


def _fused(spec: Decoder, ours: str, theirs: str) -> Iterable[Weight]:
    for weight in stored_experts("ffn", "w1", "w3", "w2")(spec, ours, theirs):
        if not weight.ours[0].endswith("router_bias"):  # it has a name of its own here
            yield weight


def _maps(ours: str, theirs: str) -> dict[str, str]:
    return {f"{ours}.weight": f"{theirs}fn", f"{ours}.base": f"{theirs}base", f"{ours}.scale": f"{theirs}scale"}


def _compressor(ours: str, theirs: str) -> dict[str, str]:
    names = {f"{ours}.{part}": f"{theirs}.{name}" for part, name in (("value", "wkv"), ("gate", "wgate"))}
    return names | {f"{ours}.norm": f"{theirs}.norm", f"{ours}.place_bias": f"{theirs}.ape"}


_BLOCK, _EXPERTS = "mixer.block", "feed_forward.block"
DEEPSEEK_V4 = DecoderFamily(
    "deepseek_v4",
    "DeepseekV4ForCausalLM",
    _layer,
    norm,
    _entries,
    {
        "mixer.input_norm": "attn_norm",
        "feed_forward.input_norm": "ffn_norm",
        f"{_BLOCK}.query_latent": "attn.wq_a",
        f"{_BLOCK}.query_norm": "attn.q_norm",
        f"{_BLOCK}.query": "attn.wq_b",
        f"{_BLOCK}.key": "attn.wkv",
        f"{_BLOCK}.key_norm": "attn.norm",
        f"{_BLOCK}.group_output": "attn.wo_a",
        f"{_BLOCK}.output": "attn.wo_b",
        f"{_BLOCK}.sinks": "attn.attn_sink",
        f"{_BLOCK}.indexer.query": "attn.indexer.wq_b",
        f"{_BLOCK}.indexer.weight": "attn.indexer.weights_proj",
        f"{_EXPERTS}.router": "ffn.gate",
        f"{_EXPERTS}.router_bias": "ffn.gate.bias",
        f"{_EXPERTS}.table": "ffn.gate.tid2eid",
        f"{_EXPERTS}.shared.gate": "ffn.shared_experts.w1",
        f"{_EXPERTS}.shared.up": "ffn.shared_experts.w3",
        f"{_EXPERTS}.shared.down": "ffn.shared_experts.w2",
    }
    | _compressor(f"{_BLOCK}.compressor", "attn.compressor")
    | _compressor(f"{_BLOCK}.indexer.compressor", "attn.indexer.compressor")
    | _maps("mixer.maps", "hc_attn_")
    | _maps("feed_forward.maps", "hc_ffn_"),
    top={"embedding": "model.embed_tokens", "norm": "model.norm", "head": "head"}
    | _maps("stream", "model.hc_head.hc_"),
    options=_stream,
    fused=_fused,
    spare=("head.weight",),
    mixer=CompressedAttention,
)
