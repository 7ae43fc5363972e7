"""Language-model architectures as values: compose the blocks, build the model, exchange weights with Hugging Face.

A model is a frozen dataclass, `Decoder`, holding a tuple of layers; a layer holds a mixer (`Attention`), a feed-forward
block (`SwiGLU`, `MLP`), a norm (`RMSNorm`, `LayerNorm`) and a placement (`PreNorm`, `PostNorm`, `SandwichNorm`). Values
are compared with ==, varied with `dataclasses.replace`, counted with `.cost(...)`, printed with `describe`, and
`Decoder.build` makes the `torch.nn.Module`. A variant is another value: to add a block, write a value with `build` and
`cost`; nothing here has to know of it.

    spec = qwen3_decoder(vocab_size=8192, d_model=256, num_layers=8, num_heads=8, num_kv_heads=2)
    model = spec.build(generator=torch.Generator().manual_seed(0))
    loss = linear_cross_entropy(model.hidden(tokens[:, :-1]), model.output_weight, tokens[:, 1:])
    save_pretrained(model, "folder")
"""

from .activation import Activation, ClampedSwiGLU, GatedUnit, gelu, gelu_tanh, relu, relu_squared, silu
from .attention import AllHeads, Attention, AttentionModule
from .bias import ALiBi, PositionBias
from .cache import AttentionBias, AttentionCache
from .context import Context
from .cost import Cost
from .decoder import Decoder, DecoderModel
from .describe import describe
from .errors import ArchError
from .feed_forward import MLP, MLPModule, SwiGLU, SwiGLUModule
from .hugging_face import load_pretrained, read_spec, save_pretrained
from .indexer import Indexer
from .initialization import Initialization
from .layer import FeedForward, Layer, LayerModule, LayerSpec, Mixer, ParallelLayer
from .linear import ResidualOutput
from .loss_head import linear_cross_entropy, token_log_probs
from .mixing import mix
from .mla import LatentAttention, LatentAttentionModule
from .moe import MoE, MoEModule, Router, SigmoidRouter, SoftmaxRouter, load_balancing_loss, update_router_biases
from .norm import DyT, LayerNorm, LayerNormModule, Norm, OffsetRMSNorm, RMSNorm, RMSNormModule
from .past import DynamicCache
from .position import AbsolutePosition, LearnedPositions
from .presets import llama_decoder, qwen3_decoder
from .residual import Placement, PostNorm, PreNorm, ReorderedNorm, Residual, SandwichNorm, Scaled
from .rope import RoPE, Rotation, rope, rotate
from .rope_scaling import LinearScaling, Llama3Scaling, LongRoPE, NTKScaling, Scaling, YaRN

__all__ = [
    "MLP",
    "ALiBi",
    "AbsolutePosition",
    "Activation",
    "AllHeads",
    "ArchError",
    "Attention",
    "AttentionBias",
    "AttentionCache",
    "AttentionModule",
    "ClampedSwiGLU",
    "Context",
    "Cost",
    "Decoder",
    "DecoderModel",
    "DyT",
    "DynamicCache",
    "FeedForward",
    "GatedUnit",
    "Indexer",
    "Initialization",
    "LatentAttention",
    "LatentAttentionModule",
    "Layer",
    "LayerModule",
    "LayerNorm",
    "LayerNormModule",
    "LayerSpec",
    "LearnedPositions",
    "LinearScaling",
    "Llama3Scaling",
    "LongRoPE",
    "MLPModule",
    "Mixer",
    "MoE",
    "MoEModule",
    "NTKScaling",
    "Norm",
    "OffsetRMSNorm",
    "ParallelLayer",
    "Placement",
    "PositionBias",
    "PostNorm",
    "PreNorm",
    "RMSNorm",
    "RMSNormModule",
    "ReorderedNorm",
    "Residual",
    "ResidualOutput",
    "RoPE",
    "Rotation",
    "Router",
    "SandwichNorm",
    "Scaled",
    "Scaling",
    "SigmoidRouter",
    "SoftmaxRouter",
    "SwiGLU",
    "SwiGLUModule",
    "YaRN",
    "describe",
    "gelu",
    "gelu_tanh",
    "linear_cross_entropy",
    "llama_decoder",
    "load_balancing_loss",
    "load_pretrained",
    "mix",
    "qwen3_decoder",
    "read_spec",
    "relu",
    "relu_squared",
    "rope",
    "rotate",
    "save_pretrained",
    "silu",
    "token_log_probs",
    "update_router_biases",
]
