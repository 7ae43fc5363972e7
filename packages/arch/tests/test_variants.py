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
    ParallelHeads,
    RoPE,
    SigmoidRouter,
    SwiGLU,
    linear_cross_entropy,
    ngpt_decoder,
    normalise_weights,
    rope,
    save_pretrained,
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


def test_ngpt_is_the_papers_equations():
    """In float64, from equations 10, 11, 15, 20, 21 and 3, with all factors and weights random."""
    model = randomised(ngpt_decoder(31, 24, 2, 3, 40, theta=100.0).build()).double()
    normalise_weights(model)
    unit = torch.nn.functional.normalize

    def gains(module):
        return module.weight * module.start / module.scale

    x = unit(model.embedding.weight, dim=-1)[TOKENS]
    for layer in model.layers:
        attention, glu = layer.mixer.block, layer.feed_forward.block
        q, k, v = (
            (x @ part.weight.T).unflatten(-1, (3, 8)).transpose(1, 2)
            for part in (attention.query, attention.key, attention.value)
        )
        q, k = (unit(y, dim=-1) * gains(norm.gains) for y, norm in ((q, attention.query_norm), (k, attention.key_norm)))
        q, k = (rope(y, torch.arange(12), 100.0) for y in (q, k))
        scores = (q @ k.transpose(-1, -2) * 8**0.5).masked_fill(torch.ones(12, 12).triu(1).bool(), -torch.inf)
        said = (scores.softmax(-1) @ v).transpose(1, 2).flatten(2) @ attention.output.weight.T
        x = unit(x + gains(layer.mixer.step) * (unit(said, dim=-1) - x), dim=-1)
        gate = (x @ glu.gate.weight.T) * gains(glu.gate_gains) * 24**0.5
        said = (F.silu(gate) * ((x @ glu.up.weight.T) * gains(glu.up_gains))) @ glu.down.weight.T
        x = unit(x + gains(layer.feed_forward.step) * (unit(said, dim=-1) - x), dim=-1)
    torch.testing.assert_close(model.hidden(TOKENS), x, rtol=1e-6, atol=1e-6)
    logits = gains(model.logit_gains) * (x @ model.head.weight.T)
    torch.testing.assert_close(model(TOKENS), logits, rtol=1e-6, atol=1e-6)


def test_ngpt_keeps_its_lengths_and_learns():
    text, model = docstrings(), ngpt_decoder(256, 64, 2, 4).build()
    normalise_weights(model)
    assert model.spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    optimizer, generator, history = torch.optim.Adam(model.parameters(), 1e-2), torch.Generator().manual_seed(0), []
    for _ in range(120):
        starts = torch.randint(len(text) - 65, (8,), generator=generator)
        rows = torch.stack([text[start : start + 64] for start in starts])
        loss = linear_cross_entropy(model.hidden(rows[:, :-1]), model.output_weight, rows[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        normalise_weights(model)
        history.append(loss.item())
    share = text.bincount(minlength=256) / len(text)
    assert sum(history[-20:]) / 20 < -(share[share > 0] * share[share > 0].log()).sum().item() - 0.3
    for weight, axis in ((model.embedding.weight, 1), (model.layers[0].mixer.block.output.weight, 0)):
        torch.testing.assert_close(weight.norm(dim=axis), torch.ones(weight.shape[1 - axis]))
    torch.testing.assert_close(model.hidden(rows).norm(dim=-1), torch.ones(8, 64))


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


def ahead(kind, decoder=None, **options):
    decoder = decoder or Decoder(31, 64, (LAYER,) * 2)
    return kind(decoder, LAYER, **options)


KINDS = [MultiToken, ParallelHeads]
HEADS = [{}, {"head_bias": True, "tied_embeddings": False}, {"logit_softcap": 1.5, "logit_scale": 0.7}]


@pytest.mark.parametrize("head", HEADS, ids=["plain", "offset", "capped"])
@pytest.mark.parametrize("kind", KINDS)
def test_many_tokens_shift_exactly_and_cost_what_is_built(kind, head):
    spec = ahead(kind, Decoder(31, 64, (LAYER,) * 2, **head), depth=3, weight=0.5)
    model = randomised(spec.build())
    assert spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    total, losses = model.loss(TOKENS)
    states = model.states(TOKENS)
    for distance, (loss, each) in enumerate(zip(losses, states, strict=True), start=1):
        logits = model.main.logits_at(each)
        assert logits.shape[1] == 12 - distance + 1
        expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), TOKENS[:, distance:].flatten())
        torch.testing.assert_close(loss, expected, **CLOSE)
    torch.testing.assert_close(states[0], model.main.hidden(TOKENS))
    torch.testing.assert_close(total, losses[0] + 0.5 * sum(losses[1:]) / (3 if kind is MultiToken else 1), **CLOSE)
    total.backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in model.parameters())
    changed = TOKENS.clone()
    changed[:, 7] = (changed[:, 7] + 1) % 31  # what is at position i - d sees the tokens up to i, of parallel heads i
    for distance, (before, after) in enumerate(zip(states, model.states(changed), strict=True)):
        first = 7 - distance if kind is MultiToken else 7
        assert torch.equal(before[:, :first], after[:, :first])
        assert not torch.equal(before[:, first : first + 1], after[:, first : first + 1])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        _, last = model.seeds(TOKENS[:, :1])
        model.main.logits_at(model.main.leave(last))
        model.draft(model.seeds(TOKENS[:, :1])[0], TOKENS[:, :2])
    again = 2 * (spec.decoder.cost(1).forward_flops - 2 * 31 * 64)  # the decoder's layers, a second time
    assert counter.get_total_flops() == 2 * spec.cost(1).forward_flops + again


@pytest.mark.parametrize("kind", KINDS)
def test_heads_are_the_papers_equations(kind):
    """Each position by hand, without a shift of slices: the module at depth d reads h_{d-1}[i] and token i + d."""
    model = randomised(ahead(kind, depth=2).build()).double()
    trunk, context = model.main.enter(TOKENS)
    for layer in model.main.layers if kind is MultiToken else model.main.layers[:-1]:
        trunk = layer(trunk, context)
    hidden = trunk
    for distance, module in enumerate(model.ahead, start=1):
        if kind is ParallelHeads:
            expected = model.main.leave(module(trunk, context))[:, : 12 - distance]
        else:
            read = [
                module.map.weight
                @ torch.cat(
                    (
                        module.state_norm(hidden[0, i]),
                        module.token_norm(model.main.embedding.weight[TOKENS[0, i + distance]]),
                    )
                )
                for i in range(12 - distance)
            ]
            hidden = module.layer(torch.stack(read)[None], model.main.enter(TOKENS[:1, : 12 - distance])[1])
            expected = model.main.leave(hidden)
        torch.testing.assert_close(model.states(TOKENS)[distance][:1], expected[:1])


@pytest.mark.parametrize("kind", KINDS)
def test_drafts_on_a_cache_equal_those_without(kind):
    model = randomised(ahead(kind, depth=3).build())
    with torch.no_grad():
        seeds = model.seeds(TOKENS[:, :-1])[0]
        expected = model.draft(seeds, TOKENS)
        cache, parts = DynamicCache(), (slice(0, 4), slice(2, 9), slice(7, 11))  # each takes back two positions
        for part in parts:
            cache.rewind(part.start)
            drafts = model.draft(seeds[:, part], TOKENS[:, part.start : part.stop + 1], **on(cache, part))
    assert torch.equal(drafts, expected)
    cache.set_state(3, "state", torch.zeros(2))
    with pytest.raises(ArchError, match=r"layers \[3\] keep states"):
        cache.rewind(2)
    cache.rewind(2, first_layer=4)


def on(cache, part):
    return {"positions": torch.arange(part.start, part.stop).expand(2, -1), "cache": cache}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("depth", [1, 3])
def test_drafts_of_any_heads_leave_the_greedy_continuation_as_it_is(kind, depth):
    """Heads that know nothing: all drafts are refused but by chance, and the cache forgets them."""
    windowed = Layer(Attention(4, 2, 16, window=5), SwiGLU(128))
    decoder = Decoder(31, 64, (LAYER, windowed), tied_embeddings=False)
    model = randomised(ahead(kind, decoder, depth=depth).build())
    expected = greedy(model.main, TOKENS[:1], 20)
    generated, gained = model.generate(TOKENS[:1], 20)
    assert torch.equal(generated, expected)
    assert len(set(expected[0].tolist())) > 5 and 1 <= gained < 2


def greedy(model, tokens, count):
    start = tokens.shape[1]
    with torch.no_grad():
        for _ in range(count):
            tokens = torch.cat((tokens, model(tokens)[:, -1:].argmax(-1)), 1)
    return tokens[:, start:]


@pytest.mark.parametrize("kind", KINDS)
def test_many_tokens_train_on_real_text_and_draft_what_the_model_says(kind):
    text = docstrings()
    model = ahead(kind, Decoder(256, 64, (LAYER,) * 2), depth=1).build()
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
    prompt = text[None, 1000:1032]
    generated, gained = model.generate(prompt, 40)
    assert torch.equal(generated, greedy(model.main, prompt, 40))
    assert 1.2 < gained <= 2, gained


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ahead(MultiToken, depth=3).build().loss(TOKENS[:, :4]), "needs 2 more"),
        (lambda: ahead(ParallelHeads, Decoder(31, 64, ())), r"layers=\(\)"),
        (lambda: ahead(MultiToken).build().generate(TOKENS, 3), "2 rows"),
        (lambda: save_pretrained(ahead(MultiToken).build(), "nowhere"), "expresses MultiToken; save .* model.main"),
    ],
)
def test_many_tokens_refuse(make, message):
    with pytest.raises(ArchError, match=message):
        make()
