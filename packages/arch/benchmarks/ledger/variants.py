"""The rows of the ledger: one baseline, and what is changed in it for each row."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from octad_arch import (
    MLP,
    ALiBi,
    AllHeads,
    Attention,
    Copies,
    Decoder,
    DyT,
    FeedForward,
    GatedDeltaNet,
    HyperConnections,
    KeepValue,
    KimiDeltaAttention,
    LatentAttention,
    Layer,
    LayerNorm,
    LearnedPositions,
    Mamba2,
    ManifoldHyperConnections,
    MoE,
    ParallelLayer,
    PostNorm,
    PreNorm,
    Reinjected,
    RelativeBias,
    ReorderedNorm,
    RMSNorm,
    RoPE,
    SandwichNorm,
    SigmoidRouter,
    SinusoidalPositions,
    SoftmaxRouter,
    SwiGLU,
    ValueResidual,
    gelu,
    relu,
    relu_squared,
)

VOCAB, WIDTH, DEPTH, HEADS, CONTEXT = 256, 64, 4, 4, 128
Build = Callable[[int], Decoder]
"""d_ff -> the model; d_ff is what brings it to the baseline's parameters."""


def model(
    feed_forward: Callable[[int], FeedForward] = SwiGLU,
    norm: Any = None,
    placement: Any = None,
    parallel: bool = False,
    mixers: Callable[[int], Any] | None = None,
    layer: Callable[[Any], Any] | None = None,
    attention: dict[str, Any] | None = None,
    **decoder: Any,
) -> Build:
    """The baseline with these parts in place of its own."""

    def build(d_ff: int) -> Decoder:
        given: dict[str, Any] = {"num_kv_heads": HEADS, "position": RoPE()} | (attention or {})
        usual = Attention(HEADS, given.pop("num_kv_heads"), WIDTH // HEADS, given.pop("position"), **given)
        block, own = feed_forward(d_ff), norm or RMSNorm()
        layers: list[Any] = []
        for index in range(DEPTH):
            mixer = usual if mixers is None else mixers(index)
            if parallel:
                layers.append(ParallelLayer(mixer, block, own))
            else:
                layers.append(Layer(mixer, block, own, placement or PreNorm()))
        layers = layers if layer is None else [layer(each) for each in layers]
        return Decoder(VOCAB, WIDTH, tuple(layers), own, context_length=CONTEXT, **decoder)

    return build


def hybrid(linear: Any, every: int = 4) -> Callable[[int], Any]:
    """Linear attention with full attention in every fourth layer; 0 for none."""
    full = Attention(HEADS, HEADS, WIDTH // HEADS)
    return lambda index: full if every and (index + 1) % every == 0 else linear


def windows(index: int) -> Attention:
    """Windows of 32 in all layers but each fourth, which has no positions."""
    full = Attention(HEADS, HEADS, WIDTH // HEADS, None)
    return full if index % 4 == 3 else Attention(HEADS, HEADS, WIDTH // HEADS, window=32)


def values(index: int) -> Attention:
    """The first layer's values in all others."""
    return Attention(HEADS, HEADS, WIDTH // HEADS, value_mix=ValueResidual() if index else KeepValue())


BASELINE = "baseline: RMSNorm in front, RoPE, 4 heads, SwiGLU"
VARIANTS: dict[str, Build] = {
    BASELINE: model(),
    "LayerNorm": model(norm=LayerNorm()),
    "DyT instead of norms": model(norm=DyT()),
    "RMSNorm without gain": model(norm=RMSNorm(gain=False)),
    "norms of q and k": model(attention={"qk_norm": RMSNorm()}),
    "norms of q and k, all heads together": model(attention={"qk_norm": AllHeads(RMSNorm())}),
    "norms behind the sum (post)": model(placement=PostNorm()),
    "norms before and behind (sandwich)": model(placement=SandwichNorm()),
    "norms behind the block (reordered)": model(placement=ReorderedNorm()),
    "attention and MLP in parallel": model(parallel=True),
    "ReLU MLP": model(lambda d_ff: MLP(d_ff, relu)),
    "GELU MLP": model(lambda d_ff: MLP(d_ff, gelu)),
    "ReLU² MLP": model(lambda d_ff: MLP(d_ff, relu_squared)),
    "GeGLU": model(lambda d_ff: SwiGLU(d_ff, activation=gelu)),
    "ReGLU": model(lambda d_ff: SwiGLU(d_ff, activation=relu)),
    "no positions": model(attention={"position": None}),
    "learned positions": model(attention={"position": None}, position=LearnedPositions(CONTEXT)),
    "sinusoids": model(attention={"position": None}, position=SinusoidalPositions()),
    "ALiBi": model(attention={"position": None, "position_bias": ALiBi()}),
    "T5's relative bias": model(attention={"position": None}, position_bias=RelativeBias(32, CONTEXT)),
    "RoPE of a quarter of the channels": model(attention={"position": RoPE(channels=4)}),
    "two key heads (GQA)": model(attention={"num_kv_heads": 2}),
    "one key head (MQA)": model(attention={"num_kv_heads": 1}),
    "latent attention (MLA)": model(mixers=lambda index: LatentAttention(HEADS, 32, 12, 4, 16)),
    "gated attention": model(attention={"gate": True}),
    "sinks": model(attention={"sinks": True}),
    "soft-capped scores": model(attention={"softcap": 20.0}),
    "windows of 32 and one full layer": model(mixers=windows),
    "value residual": model(mixers=values),
    "embedding re-injected": model(layer=Reinjected),
    "2 hyper-connections": model(placement=HyperConnections(2), stream=Copies(2)),
    "4 manifold hyper-connections": model(placement=ManifoldHyperConnections(4), stream=Copies(4)),
    "Gated DeltaNet": model(mixers=hybrid(GatedDeltaNet(4, 4, 12, 16), 0)),
    "Gated DeltaNet and one full layer": model(mixers=hybrid(GatedDeltaNet(4, 4, 12, 16))),
    "Kimi delta attention and one full layer": model(mixers=hybrid(KimiDeltaAttention(4, 16))),
    "Mamba-2 and one full layer": model(mixers=hybrid(Mamba2(4, 16, 16))),
    "8 experts, 2 a token": model(lambda d_ff: MoE(8, max(d_ff // 8, 1), SoftmaxRouter(2))),
    "8 experts, 2 a token, sigmoid": model(lambda d_ff: MoE(8, max(d_ff // 8, 1), SigmoidRouter(2))),
    "head of its own": model(tied_embeddings=False),
    "soft-capped logits": model(logit_softcap=15.0),
}


def matched(build: Build, parameters: int) -> Decoder:
    """The variant of which the count of parameters is nearest to the given one."""
    low, high = 1, 4096
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if build(middle).cost().parameters <= parameters else (low, middle)
    return min((build(low), build(high)), key=lambda spec: abs(spec.cost().parameters - parameters))


def baseline() -> Decoder:
    """The model that every row is compared with."""
    return replace(VARIANTS[BASELINE](176))
