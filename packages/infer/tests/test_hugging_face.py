"""A real Llama that keeps the seam through its attention interface, against its own `generate`."""

import random

import pytest
import torch
from octad_infer import KVCache, Sampling, generate, score

transformers = pytest.importorskip("transformers")


def through_cache(module, q, k, v, attention_mask, *, scaling, octad=None, **kwargs):
    cache, positions = octad
    return cache.attend(module.layer_idx, q, k, v, positions, scale=scaling).transpose(1, 2), None


@pytest.fixture(scope="module")
def llama():
    config = transformers.LlamaConfig(
        vocab_size=61,
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=0,
    )
    model = transformers.LlamaForCausalLM(config).double().eval()
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator, dtype=torch.float64) * 0.3)
    return model


@pytest.fixture(scope="module")
def adapted(llama):
    transformers.AttentionInterface.register("octad", through_cache)

    def call(tokens, *, positions=None, cache=None):
        if cache is None:
            llama.set_attn_implementation("sdpa")
            return llama(tokens, use_cache=False).logits
        llama.set_attn_implementation("octad")
        try:
            octad = (cache, positions)
            return llama(tokens, position_ids=positions.clamp(min=0), use_cache=False, octad=octad).logits
        finally:
            llama.set_attn_implementation("sdpa")

    return call


@pytest.mark.parametrize("penalty", [1.0, 1.4])
def test_greedy_generation_equals_hugging_face(llama, adapted, penalty):
    rng = random.Random(0)
    prompts = [[rng.randrange(1, 61) for _ in range(rng.randint(1, 12))] for _ in range(5)]
    got = generate(
        adapted, prompts, max_new_tokens=10, sampling=Sampling(0, repetition_penalty=penalty), stop_ids=[7, 8, 9]
    )
    for prompt, completion in zip(prompts, got, strict=True):
        expected = llama.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt)),
            max_new_tokens=10,
            do_sample=False,
            repetition_penalty=penalty,
            eos_token_id=[7, 8, 9],
        )
        assert completion.tokens == expected[0, len(prompt) :].tolist()


def test_score_equals_hugging_face_loss(llama, adapted):
    rng = random.Random(1)
    sequences = [[rng.randrange(61) for _ in range(length)] for length in (2, 9, 5)]
    for scores, sequence in zip(score(adapted, sequences), sequences, strict=True):
        tokens = torch.tensor([sequence])
        with torch.no_grad():
            loss = llama(tokens, labels=tokens).loss
        torch.testing.assert_close(-scores.mean(), loss, rtol=1e-6, atol=1e-6, check_dtype=False)  # loss in float32


def test_cached_logits_equal_hugging_face(llama, adapted):
    tokens = torch.randint(61, (2, 11), generator=torch.Generator().manual_seed(2))
    positions = torch.arange(11).expand(2, 11)
    cache = KVCache(2)
    with torch.no_grad():
        expected = llama(tokens, use_cache=False).logits
        pieces = [
            adapted(tokens[:, a:b], positions=positions[:, a:b], cache=cache) for a, b in [(0, 6), (6, 7), (7, 11)]
        ]
    torch.testing.assert_close(torch.cat(pieces, 1), expected, rtol=1e-5, atol=1e-5)  # its norms run in float32
