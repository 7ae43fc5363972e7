"""The neural models before the transformer: equal to torch's and to loops from the papers; trained on real text."""

import ast
import itertools
import math
import sysconfig
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from octad_arch import ArchError
from octad_arch.classic import (
    Bengio,
    CharacterWords,
    ELMo,
    ELMoTagger,
    LayerMixture,
    LSTMLanguageModel,
    LSTMLayer,
    Seq2Seq,
    beam_search,
    length_penalty,
)

CLOSE = {"rtol": 1e-5, "atol": 1e-6}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def drawn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed))


@pytest.fixture(scope="module")
def words():
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_bytes())):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                found += (ast.get_docstring(node) or "").lower().split()
    return found


@pytest.fixture(scope="module")
def letters(words):
    return torch.tensor(list(" ".join(words).encode()))


def entropy(tokens):
    share = tokens.flatten().bincount().double() / tokens.numel()
    return -(share[share > 0] * share[share > 0].log()).sum().item()


@pytest.mark.parametrize("direct", [True, False])
def test_bengio_is_the_papers_formula(direct):
    spec = Bengio(13, 3, 4, 5, direct)
    model = spec.build()
    with torch.no_grad():
        for index, parameter in enumerate(model.parameters()):
            parameter.copy_(drawn(*parameter.shape, seed=index))
    tokens = torch.randint(13, (2, 7), generator=seeded(1))
    C, H, d, U, b = (
        parameter.detach().double().numpy()
        for parameter in (model.embedding.weight, *model.hidden.parameters(), *model.output.parameters())
    )
    logits = model(tokens).detach()
    assert logits.shape == (2, 5, 13)
    for row, place in itertools.product(range(2), range(5)):
        x = np.concatenate([C[word] for word in tokens[row, place : place + 3]])
        y = b + U @ np.tanh(d + H @ x)
        if direct:
            y = y + model.direct.weight.detach().double().numpy() @ x
        torch.testing.assert_close(logits[row, place], torch.tensor(y).float(), rtol=1e-5, atol=1e-5)
    assert spec.cost().parameters == sum(parameter.numel() for parameter in model.parameters())
    with pytest.raises(ArchError, match="fewer than the context"):
        model(tokens[:, :2])


def trained(model, batches, loss, rate=3e-3):
    optimizer, losses = torch.optim.AdamW(model.parameters(), rate), []
    for batch in batches:
        value = loss(batch)
        optimizer.zero_grad()
        value.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        losses.append(value.item())
    return sum(losses[-20:]) / 20


def windows(tokens, count, width, batch=16):
    generator = seeded(7)
    for _ in range(count):
        starts = torch.randint(len(tokens) - width, (batch,), generator=generator)
        yield torch.stack([tokens[start : start + width] for start in starts])


def test_bengio_learns_letters(letters):
    model = Bengio(256, 4, 16, 64, True).build()

    def loss(rows):
        return F.cross_entropy(model(rows[:, :-1]).flatten(0, 1), rows[:, 4:].flatten())

    assert trained(model, windows(letters, 150, 40), loss) < entropy(letters) - 0.3


def copied(layer, theirs, index=0, suffix=""):
    with torch.no_grad():
        for name, ours in (("ih", layer.input), ("hh", layer.recurrent)):
            ours.weight.copy_(getattr(theirs, f"weight_{name}_l{index}{suffix}"))
        layer.input.bias.copy_(
            getattr(theirs, f"bias_ih_l{index}{suffix}") + getattr(theirs, f"bias_hh_l{index}{suffix}")
        )
        if layer.projection is not None:
            layer.projection.weight.copy_(getattr(theirs, f"weight_hr_l{index}{suffix}"))


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch says that it is slow
@pytest.mark.parametrize("projection", [None, 3])
def test_lstm_equals_torchs_forward_and_backward(projection):
    torch.manual_seed(0)
    theirs = torch.nn.LSTM(5, 7, batch_first=True, proj_size=projection or 0)
    layer = LSTMLayer(5, 7, projection)
    copied(layer, theirs)
    x, h, c = (drawn(*shape, seed=9).requires_grad_() for shape in ((3, 11, 5), (3, projection or 7), (3, 7)))
    shown, (last_h, last_c) = layer(x, (h, c))
    expected, (their_h, their_c) = theirs(x, (h[None], c[None]))
    for ours, other in ((shown, expected), (last_h, their_h[0]), (last_c, their_c[0])):
        torch.testing.assert_close(ours, other, **CLOSE)
    ours = torch.autograd.grad((shown.square().sum() + last_c.sum()), (x, h, c, layer.recurrent.weight))
    other = torch.autograd.grad((expected.square().sum() + their_c.sum()), (x, h, c, theirs.weight_hh_l0))
    for mine, other_gradient in zip(ours, other, strict=True):
        torch.testing.assert_close(mine, other_gradient, rtol=1e-4, atol=1e-5)


def test_lstm_skips_padding_and_goes_on_where_it_stopped():
    torch.manual_seed(0)
    layer = LSTMLayer(5, 7)
    x = drawn(2, 9, 5)
    keep = torch.ones(2, 9, dtype=torch.bool)
    keep[0, [0, 4, 8]] = False
    shown, state = layer(x, None, keep)
    alone, alone_state = layer(x[:1, keep[0]])
    torch.testing.assert_close(shown[0, keep[0]], alone[0], **CLOSE)
    torch.testing.assert_close(state[1][0], alone_state[1][0], **CLOSE)
    model = LSTMLanguageModel(31, 8, 8, 2, tied_embeddings=True).build()
    tokens = torch.randint(31, (2, 9), generator=seeded(1))
    whole, _ = model(tokens)
    states, parts = None, []
    for span in (slice(0, 4), slice(4, 5), slice(5, 9)):
        logits, states = model(tokens[:, span], states)
        parts.append(logits)
    torch.testing.assert_close(torch.cat(parts, 1), whole, **CLOSE)
    for spec in (model.spec, LSTMLanguageModel(31, 6, 8, 3)):
        assert spec.cost().parameters == sum(parameter.numel() for parameter in spec.build().parameters())
    with pytest.raises(ArchError, match="tied_embeddings"):
        LSTMLanguageModel(31, 6, 8, tied_embeddings=True)


def test_lstm_learns_letters(letters):
    model = LSTMLanguageModel(256, 64, 64, 1, tied_embeddings=True).build()

    def loss(rows):
        return F.cross_entropy(model(rows[:, :-1])[0].flatten(0, 1), rows[:, 1:].flatten())

    assert trained(model, windows(letters, 150, 40), loss, 1e-2) < entropy(letters) - 0.3


@pytest.mark.parametrize("alpha", [0.0, 0.7, 2.0])
@pytest.mark.parametrize("seed", range(4))
def test_a_wide_beam_finds_what_trying_all_finds(alpha, seed):
    """A random table of log p(next | last two tokens) over 4 tokens, of which 0 stops; outputs of up to 5."""
    table = (2 * drawn(4, 4, 4, seed=seed)).log_softmax(-1)

    def step(tokens, state):
        return table[state, tokens], tokens

    found = beam_search(step, torch.tensor([1]), lambda state, rows: state[rows], 1, 0, 4**5, 5, alpha, 3)
    every = []
    for length in range(1, 6):
        for body in itertools.product((1, 2, 3), repeat=length - 1):
            before, last, total = 1, 1, 0.0
            for token in (*body, 0):
                total += table[before, last, token].item()
                before, last = last, token
            every.append((total / length_penalty(length, alpha), list(body)))
    best = sorted(every, key=lambda each: -each[0])[:3]
    assert [each.tokens for each in found] == [tokens for _, tokens in best]
    assert [each.score for each in found] == pytest.approx([score for score, _ in best], abs=1e-5)
    greedy = beam_search(step, torch.tensor([1]), lambda state, rows: state[rows], 1, 0, 1, 5, alpha)
    assert greedy[0].score <= best[0][0] + 1e-6


FORMS = [
    {"attention": None, "reverses_source": True},
    {"attention": "additive"},
    {"attention": "dot"},
    {"attention": "general", "input_feeding": True, "reverses_source": True},
    {"attention": "concat", "input_feeding": True},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_padding_changes_no_pair(form):
    model = Seq2Seq(17, 19, 6, 8, **form).build()
    source = torch.randint(17, (3, 9), generator=seeded(1))
    target = torch.randint(19, (3, 6), generator=seeded(2))
    keep = torch.arange(9) < torch.tensor([9, 4, 1])[:, None]
    logits = model(source, target, keep)
    for row, length in enumerate((9, 4, 1)):
        alone = model(source[row : row + 1, :length], target[row : row + 1])
        torch.testing.assert_close(logits[row : row + 1], alone, **CLOSE)
    expected = F.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, 1:].flatten())
    torch.testing.assert_close(model.loss(source, target, keep), expected, **CLOSE)
    model.loss(source, target, keep).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())
    with pytest.raises(ArchError, match="padding before"):
        model.encode(source, ~keep)


def test_attention_scores_are_the_papers_formulas():
    for name in ("additive", "dot", "general", "concat"):
        model = Seq2Seq(17, 19, 6, 8, name).build()
        at, query = model.encode(torch.randint(17, (1, 5), generator=seeded(1))), drawn(1, 8)
        weights = model.weights(query, at)[0]
        states, scores = at.shown[0], []
        for h in states:
            if name == "dot":
                scores.append(query[0] @ h)
            elif name == "general":
                scores.append(query[0] @ (model.align.weight @ h))
            else:
                W, U = model.align.weight.chunk(2, 1)
                scores.append(model.score.weight[0] @ torch.tanh(W @ query[0] + U @ h))
        torch.testing.assert_close(weights, torch.stack(scores).softmax(0), **CLOSE)


def test_attention_reverses_words_that_one_vector_cannot(words):
    """Exact match on held-out words of real text after equal steps."""
    known = sorted({word for word in words if word.isalpha() and word.isascii() and 3 <= len(word) <= 9})
    order = torch.randperm(len(known), generator=seeded(1)).tolist()
    ids = [[ord(letter) - 95 for letter in known[index]] for index in order]
    held_out, seen = ids[:60], ids[60:]

    def padded(rows, value=0):
        return torch.tensor([[*row, *[value] * (11 - len(row))] for row in rows])

    def right(spec):
        model, generator = spec.build(), seeded(3)

        def batches():
            for _ in range(400):
                yield [seen[int(index)] for index in torch.randint(len(seen), (32,), generator=generator)]

        def loss(rows):
            keep = padded([[1] * len(row) for row in rows]).bool()
            return model.loss(padded(rows), padded([[0, *row[::-1], 1] for row in rows], -100), keep)

        trained(model, batches(), loss, 1e-2)
        best = [model.translate(torch.tensor(row), 0, 1, 3, 12)[0].tokens for row in held_out]
        return sum(said == row[::-1] for said, row in zip(best, held_out, strict=True))

    with_attention, without = right(Seq2Seq(32, 32, 32, 48, "general")), right(Seq2Seq(32, 32, 32, 48))
    assert with_attention > 40 and with_attention > without + 10, (with_attention, without)


def elmo(characters):
    return ELMo(50, CharacterWords(40, 6, ((1, 8), (3, 12)), 2, 10) if characters else 10, 14, 2).build()


@pytest.mark.parametrize("characters", [False, True])
def test_elmo_directions_see_one_side_each(characters):
    model = elmo(characters)
    shape = (2, 7, 5) if characters else (2, 7)
    tokens = torch.randint(1, 40, shape, generator=seeded(1))
    embedded = []
    model.words.register_forward_hook(lambda module, given, result: embedded.append(result))
    for direction in range(2):
        logits = model(tokens)[direction]
        (gradient,) = torch.autograd.grad(logits[:, 3].sum(), embedded[-1])
        seen, hidden = (slice(0, 4), slice(4, 7)) if direction == 0 else (slice(3, 7), slice(0, 3))
        assert (gradient[:, hidden] == 0).all() and (gradient[:, seen].abs().sum(-1) > 0).all()
    keep = torch.arange(7) < torch.tensor([7, 4])[:, None]
    padded, alone = model.layers(tokens, keep), model.layers(tokens[1:, :4])
    torch.testing.assert_close(padded[:, 1:, :4], alone, **CLOSE)
    mixture = LayerMixture(2)
    with torch.no_grad():
        mixture.scores.copy_(torch.tensor([0.3, -1.0, 2.0]))
        mixture.gamma.fill_(1.7)
    share = [math.exp(score) for score in (0.3, -1.0, 2.0)]
    expected = 1.7 * sum(part * layer for part, layer in zip(share, padded, strict=True)) / sum(share)
    torch.testing.assert_close(mixture(padded), expected, **CLOSE)


@pytest.mark.filterwarnings("ignore:LSTM with projections")  # torch says that it is slow
def test_elmo_lstms_equal_torchs():
    model = elmo(False)
    theirs = torch.nn.LSTM(10, 14, batch_first=True, proj_size=10)
    backward = torch.nn.LSTM(10, 14, batch_first=True, proj_size=10)
    copied(model.forwards[0], theirs)
    copied(model.backwards[0], backward)
    tokens = torch.randint(50, (2, 7), generator=seeded(1))
    x = model.words(tokens)
    expected = torch.cat((theirs(x)[0], backward(x.flip(1))[0].flip(1)), -1)
    torch.testing.assert_close(model.layers(tokens)[1], expected, **CLOSE)


def test_elmo_learns_letters_and_a_tagger_on_it_learns_faster(letters):
    model = ELMo(256, 32, 64, 2).build()
    near = trained(model, windows(letters, 150, 24), lambda rows: model.loss(rows, rows), 5e-3)
    assert near < entropy(letters) - 0.2

    def tagging(body):
        """Is a letter the last of its word? What follows must be known."""
        torch.manual_seed(0)
        tagger = ELMoTagger(body, 2)

        def loss(rows):
            is_last = (rows[:, 1:] == 32).long()
            hidden = rows[:, :-1].clone()
            return F.cross_entropy(tagger(hidden).flatten(0, 1), is_last.flatten())

        return trained(tagger, windows(letters, 30, 24), loss, 2e-3)

    assert tagging(model) < tagging(ELMo(256, 32, 64, 2).build())
