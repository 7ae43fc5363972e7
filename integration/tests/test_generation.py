"""octad_infer generates from any octad_arch decoder, whatever its attention needs of the cache."""

from dataclasses import replace

import pytest
import torch
from octad_arch import (
    MLP,
    ALiBi,
    Attention,
    Decoder,
    Initialization,
    Layer,
    LayerNorm,
    LearnedPositions,
    MoE,
    ParallelLayer,
    RMSNorm,
    RoPE,
    SandwichNorm,
    SoftmaxRouter,
    SwiGLU,
)
from octad_infer import Sampling, generate

LAYER = Layer(Attention(4, 2, 8), SwiGLU(20))


def attention(**options):
    return replace(LAYER, mixer=replace(LAYER.mixer, **options))


LAYERS = {
    "windows and soft caps": (attention(window=3, softcap=2.0, scale=0.3), attention(softcap=2.0, scale=0.3)),
    "sinks": (attention(sinks=True, window=4), attention(sinks=True, gate=True)),
    "ALiBi": (attention(position=None, position_bias=ALiBi()),) * 2,
    "neighbouring pairs, in parallel": (ParallelLayer(Attention(4, 1, 8, RoPE(channels=4, neighbours=True)), MLP(20)),),
    "experts": (replace(LAYER, feed_forward=MoE(5, 12, SoftmaxRouter(2)), placement=SandwichNorm()),) * 2,
    "learned positions": (replace(attention(position=None), norm=LayerNorm()),) * 2,
}


@pytest.mark.parametrize("name", LAYERS)
def test_generation_equals_the_whole_text_read_again_for_every_token(name):
    position = LearnedPositions(40) if name == "learned positions" else None
    spec = Decoder(53, 24, LAYERS[name], RMSNorm(), initialization=Initialization(0.5), position=position)
    model = spec.build(dtype=torch.float64).eval()
    prompts = [[1, 2, 3, 4, 5, 6, 7], [8, 9], [10, 11, 12]]
    found = generate(model, prompts, max_new_tokens=9, sampling=Sampling(temperature=0), batch_size=2)
    for prompt, completion in zip(prompts, found, strict=True):
        tokens = list(prompt)
        with torch.no_grad():
            for _ in range(9):
                tokens.append(int(model(torch.tensor([tokens]))[0, -1].argmax()))
        assert completion.tokens == tokens[len(prompt) :]
