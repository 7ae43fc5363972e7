"""Variants that are proven by themselves: xIELU, the square root of softplus, differential attention, many tokens."""

import ast
import sysconfig
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from octad_arch import (
    MLP,
    XIELU,
    ArchError,
    Attention,
    Decoder,
    DifferentialAttention,
    DynamicCache,
    Initialization,
    Layer,
    MultiToken,
    RoPE,
    SigmoidRouter,
    SwiGLU,
    sqrt_softplus,
)
from torch.utils.flop_counter import FlopCounterMode

CLOSE = {"rtol": 1e-5, "atol": 1e-5}
TOKENS = torch.randint(31, (2, 12), generator=torch.Generator().manual_seed(1))


def randomised(model):
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn(parameter.shape, generator=generator)
    return model


def test_xielu_equals_transformers():
    from transformers.activations import XIELUActivation

    theirs = XIELUActivation()
    block = MLP(20, XIELU()).build(8)
    Initialization().apply(block, torch.Generator().manual_seed(0))
    ours = block.activation
    x = torch.linspace(-9, 9, 1001, requires_grad=True)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-2, atol=1e-2)  # theirs starts rounded to bfloat16
    with torch.no_grad():
        theirs = theirs.float()
        for parameter, other in ((ours.alpha_p, theirs.alpha_p), (ours.alpha_n, theirs.alpha_n)):
            parameter.fill_(0.7)
            other.fill_(0.7)
    torch.testing.assert_close(ours(x), theirs(x), **CLOSE)
    gradients = [torch.autograd.grad(function(x).square().sum(), x)[0] for function in (ours, theirs)]
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)
    for block in (MLP(20, XIELU()), SwiGLU(20, True, XIELU())):
        assert block.cost(8).parameters == sum(parameter.numel() for parameter in block.build(8).parameters())
    with pytest.raises(ArchError, match="above slope"):
        XIELU(negative=0.4)


def test_router_scores_may_be_roots_of_softplus():
    logits, bias = torch.randn(40, 6), torch.randn(6)
    choice = SigmoidRouter(2, 1.5, score=sqrt_softplus).choose(logits, bias)
    for row in range(40):
        scores = torch.log1p(logits[row].double().exp()).sqrt()
        best = (scores + bias).argsort(descending=True)[:2]
        assert set(choice.experts[row].tolist()) == set(best.tolist())
        weights = dict(zip(choice.experts[row].tolist(), choice.weights[row].tolist(), strict=True))
        for expert in best.tolist():
            assert abs(weights[expert] - 1.5 * scores[expert] / scores[best].sum()) < 1e-6


DIFFERENTIAL = DifferentialAttention(6, 2, 8, RoPE(50.0), bias=True)


def test_differential_attention_equals_transformers():
    from transformers import AutoConfig
    from transformers.models.diffllama.modeling_diffllama import DiffLlamaAttention, DiffLlamaRotaryEmbedding

    entries = {"hidden_size": 20, "num_attention_heads": 6, "num_key_value_heads": 2, "head_dim": 8}
    entries |= {"rope_parameters": {"rope_type": "default", "rope_theta": 50.0}, "rms_norm_eps": 1e-5}
    config = AutoConfig.for_model("diffllama", attention_bias=True, **entries)
    config._attn_implementation = "eager"
    theirs = randomised(DiffLlamaAttention(config, 3)).eval()
    model = Decoder(31, 20, (Layer(DIFFERENTIAL, MLP(8)),) * 4).build()
    ours = model.layers[3].mixer.block
    with torch.no_grad():
        for name, part in (("q", ours.query), ("k", ours.key), ("v", ours.value), ("o", ours.output)):
            part.load_state_dict(getattr(theirs, f"{name}_proj").state_dict())
        names = ("lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2")
        ours.lambdas.copy_(torch.stack([getattr(theirs, name) for name in names]))
        x = torch.randn(2, 12, 20, generator=torch.Generator().manual_seed(2))
        rotations = DiffLlamaRotaryEmbedding(config)(x, torch.arange(12)[None])
        mask = torch.full((12, 12), -torch.inf).triu(1)[None, None]
        expected = theirs(x, position_embeddings=rotations, attention_mask=mask)[0]
        _, context = model.enter(TOKENS)
        torch.testing.assert_close(ours(x, context), expected, **CLOSE)


def test_differential_attention_keeps_the_promises_of_a_mixer():
    spec = Decoder(31, 20, (Layer(DIFFERENTIAL, MLP(8)),) * 2, initialization=Initialization(0.2))
    model = randomised(spec.build())
    with torch.no_grad():
        logits, cache, positions = model(TOKENS), DynamicCache(), torch.arange(12).expand(2, -1)
        spans = (slice(0, 5), slice(5, 6), slice(6, 12))
        cached = torch.cat([model(TOKENS[:, span], positions[:, span], cache) for span in spans], 1)
        torch.testing.assert_close(cached, logits, **CLOSE)
        changed = TOKENS.clone()
        changed[:, 6:] = (changed[:, 6:] + 1) % 31
        assert torch.equal(model(changed)[:, :6], logits[:, :6])
        with FlopCounterMode(display=False) as counter:
            model(TOKENS)
    assert counter.get_total_flops() == TOKENS.numel() * spec.cost(12).forward_flops
    assert spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    model(TOKENS).square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    with pytest.raises(ArchError, match="even"):
        DifferentialAttention(6, 3, 8)


def docstrings():
    found = bytearray()
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (SyntaxError, UnicodeDecodeError):
            continue
        for node in ast.walk(tree):
            text = ast.get_docstring(node) if isinstance(node, ast.FunctionDef | ast.ClassDef) else None
            found += (text or "").encode() + b"\n"
    return torch.tensor(list(found))


LAYER = Layer(Attention(4, 2, 16), SwiGLU(128))


def test_many_tokens_shift_exactly_and_cost_what_is_built():
    spec = MultiToken(Decoder(31, 64, (LAYER,) * 2), LAYER, depth=3, weight=0.5)
    model = randomised(spec.build())
    assert spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    total, losses = model.loss(TOKENS)
    states = model.states(TOKENS)
    for distance, (loss, each) in enumerate(zip(losses, states, strict=True), start=1):
        logits = model.main.logits_at(each)
        assert logits.shape[1] == 12 - distance + 1
        expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, distance:].flatten())
        torch.testing.assert_close(loss, expected, **CLOSE)
    torch.testing.assert_close(total, losses[0] + 0.5 * sum(losses[1:]) / 3, **CLOSE)
    total.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    changed = TOKENS.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 31  # what is at position i - d sees the tokens up to i
    for distance, (before, after) in enumerate(zip(states, model.states(changed), strict=True)):
        assert torch.equal(before[:, : 7 - distance], after[:, : 7 - distance])
        assert not torch.equal(before[:, 7 - distance], after[:, 7 - distance])
    with pytest.raises(ArchError, match="needs 2 more"):
        model.loss(TOKENS[:, :4])


def test_many_tokens_train_on_real_text_and_draft_what_the_model_says():
    text = docstrings()
    model = MultiToken(Decoder(256, 64, (LAYER,) * 2), LAYER).build()
    optimizer, generator, history = torch.optim.AdamW(model.parameters(), 3e-3), torch.Generator().manual_seed(0), []
    for _ in range(150):
        starts = torch.randint(len(text) - 65, (8,), generator=generator)
        total, losses = model.loss(torch.stack([text[start : start + 64] for start in starts]))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
        history.append([loss.item() for loss in losses])
    share = text.bincount(minlength=256) / len(text)
    unigram = -(share[share > 0] * share[share > 0].log()).sum().item()
    assert torch.tensor(history[-20:]).mean(0).max() < unigram - 0.2
    prompt, expected = text[None, 1000:1032], text[None, 1000:1032]
    with torch.no_grad():
        for _ in range(40):
            expected = torch.cat((expected, model.main(expected)[:, -1:].argmax(-1)), 1)
    generated, kept = model.generate(prompt, 40)
    assert torch.equal(generated, expected[:, 32:])
    assert 0.2 < kept <= 1, kept
