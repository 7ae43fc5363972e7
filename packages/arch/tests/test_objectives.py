"""What is hidden and asked for, and small models that learn it from real text."""

import ast
import sysconfig
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_arch import (
    MLP,
    ArchError,
    Attention,
    CrossAttention,
    Decoder,
    Encoder,
    EncoderDecoder,
    HeadedEncoder,
    Layer,
    PooledHead,
    RelativeBias,
    RMSNorm,
    TokenHead,
    WordHead,
    bert_encoder,
    corrupt_spans,
    linear_cross_entropy,
    mask_words,
    sentence_pair,
    transformer_2017,
)

MASK, CLS, SEP, VOCAB = 256, 257, 258, 300


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def docstrings(limit=400):
    """Sentences of the standard library's documentation, as lists of bytes."""
    found = []
    for path in sorted(Path(sysconfig.get_path("stdlib")).glob("*.py")):
        try:
            tree = ast.parse(path.read_text("utf-8", "ignore"))
        except SyntaxError:
            continue
        texts = [ast.get_docstring(node) for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.ClassDef)]
        sentences = [list(line.strip().encode()[:60]) for text in texts if text for line in text.split(". ")]
        kept = [sentence for sentence in sentences if len(sentence) >= 20]
        if len(kept) > 3:
            found.append(kept)
    return found[:limit]


def test_masked_words_have_the_promised_shares():
    tokens = torch.randint(10, 200, (400, 500), generator=seeded(1))
    keep = torch.rand(tokens.shape, generator=seeded(2)) < 0.9
    masked = mask_words(tokens, MASK, 200, seeded(3), keep=keep)
    asked = masked.targets != -100
    assert not (asked & ~keep).any()
    assert torch.equal(masked.targets[asked], tokens[asked])
    assert torch.equal(masked.tokens[~asked], tokens[~asked])
    share = asked.sum() / keep.sum()
    replaced = (masked.tokens[asked] == MASK).float().mean()
    kept = (masked.tokens[asked] == tokens[asked]).float().mean()
    assert abs(share - 0.15) < 0.003 and abs(replaced - 0.8) < 0.01 and abs(kept - 0.1 - 0.1 / 200) < 0.01
    assert torch.equal(mask_words(tokens, MASK, 200, seeded(3), keep=keep).tokens, masked.tokens)
    with pytest.raises(ArchError, match="probabilities"):
        mask_words(tokens, MASK, 200, seeded(), replaced=0.8, randomised=0.3)


@settings(deadline=None, max_examples=60)
@given(st.integers(2, 300), st.floats(0.05, 0.9), st.floats(1, 9), st.integers(0, 99))
def test_spans_can_be_put_back(length, share, mean_length, seed):
    tokens, sentinels = list(range(length)), [1000 + index for index in range(320)]
    spans = corrupt_spans(tokens, sentinels, seeded(seed), share, mean_length)
    pieces, current = {}, None
    for token in spans.target:
        if token >= 1000:
            current = pieces.setdefault(token, [])
        else:
            current.append(token)
    *used, last = pieces
    assert pieces[last] == [] and used == sentinels[: len(used)] and last == sentinels[len(used)]
    rebuilt = [token for item in spans.source for token in (pieces[item] if item >= 1000 else [item])]
    assert rebuilt == tokens
    assert all(len(pieces[sentinel]) > 0 for sentinel in used)
    cut = sum(map(len, pieces.values()))
    assert cut == min(max(round(length * share), 1), length - 1)


def test_spans_tell_what_is_wrong():
    with pytest.raises(ArchError, match="sentinels"):
        corrupt_spans(list(range(100)), [1000, 1001], seeded())
    with pytest.raises(ArchError, match="at least 2"):
        corrupt_spans([3], [1000, 1001], seeded())


def test_sentence_pairs_fit_and_are_balanced():
    documents = docstrings(30)
    pairs = [sentence_pair(documents, 3, 1, CLS, SEP, seeded(seed), 64) for seed in range(400)]
    for pair in pairs:
        assert len(pair.tokens) == len(pair.segments) <= 64
        assert pair.tokens[0] == CLS and pair.tokens[-1] == SEP and pair.tokens.count(SEP) == 2
        assert pair.segments.count(0) == pair.tokens.index(SEP) + 1
    assert 150 < sum(pair.is_next for pair in pairs) < 250
    with pytest.raises(ArchError, match="none after it"):
        sentence_pair(documents, 0, len(documents[0]) - 1, CLS, SEP, seeded())


def padded(rows, value=0):
    width = max(map(len, rows))
    return torch.tensor([[*row, *[value] * (width - len(row))] for row in rows])


def pretraining_batch(documents, count, seed):
    generator = seeded(seed)
    pairs = []
    while len(pairs) < count:
        document = int(torch.randint(len(documents), (), generator=generator))
        sentence = int(torch.randint(len(documents[document]) - 1, (), generator=generator))
        pairs.append(sentence_pair(documents, document, sentence, CLS, SEP, generator, 64))
    tokens = padded([pair.tokens for pair in pairs])
    keep = padded([[1] * len(pair.tokens) for pair in pairs]).bool()
    segments = padded([pair.segments for pair in pairs])
    return tokens, keep, segments, torch.tensor([int(pair.is_next) for pair in pairs]), generator


def unigram_entropy(sequences):
    tokens = torch.tensor([token for sequence in sequences for token in sequence])
    share = tokens.bincount() / len(tokens)
    return -(share[share > 0] * share[share > 0].log()).sum().item()


def pretrained(documents, steps):
    """BERT on masked bytes and next sentences of real text; the model and the loss of its words, step by step."""
    model = HeadedEncoder(
        bert_encoder(VOCAB, 64, 2, 4, 128, context_length=64), (("words", WordHead()), ("next", PooledHead(2)))
    ).build()
    optimizer, losses = torch.optim.AdamW(model.parameters(), 3e-3), []
    for step in range(steps):
        for group in optimizer.param_groups:  # post-norm layers need the warm-up
            group["lr"] = 3e-3 * min(step / min(200, steps / 5), 1) * (1 - step / steps)
        tokens, keep, segments, is_next, generator = pretraining_batch(documents, 16, step)
        masked = mask_words(tokens, MASK, 256, generator, keep=keep & (tokens < 256))
        states = model.encoder(masked.tokens, keep, segments)
        head = model.heads["words"]
        asked = masked.targets != -100
        logits = F.linear(head.transformed(states[asked]), model.encoder.embedding.weight, head.word_bias)
        loss = F.cross_entropy(logits, masked.targets[asked])
        losses.append(loss.item())
        loss += F.cross_entropy(model.heads["next"](states, keep, model.encoder.embedding.weight), is_next)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return model, losses


def vowel_loss(documents, body, steps=60):
    """Fine-tuning: is a hidden byte a vowel? Mean loss of the last 20 steps, from a pretrained body or a new one."""
    tuned = HeadedEncoder(body.spec.encoder, (("vowel", TokenHead(2)),)).build()
    if body.training:
        tuned.take_body(body)
    optimizer, losses, vowels = torch.optim.AdamW(tuned.parameters(), 1e-3), [], torch.tensor(list(b"aeiou"))
    for step in range(steps):
        tokens, keep, segments, _, generator = pretraining_batch(documents, 16, 5000 + step)
        masked = mask_words(tokens, MASK, 256, generator, keep=keep & (tokens < 256), replaced=1.0, randomised=0.0)
        asked = masked.targets != -100
        is_vowel = torch.isin(masked.targets[asked], vowels).long()
        loss = F.cross_entropy(tuned(masked.tokens, keep, segments)["vowel"][asked], is_vowel)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return sum(losses[-20:]) / 20


def test_bert_learns_masked_words_of_real_text():
    documents = docstrings()
    _, losses = pretrained(documents, 250)
    entropy = unigram_entropy(sentence for document in documents for sentence in document)
    assert sum(losses[-20:]) / 20 < entropy - 0.02


@pytest.mark.slow
def test_pretraining_helps_another_task():
    documents = docstrings()
    model, _ = pretrained(documents, 2500)
    fine_tuned = vowel_loss(documents, model)
    fresh = vowel_loss(documents, model.eval())
    assert fine_tuned < fresh - 0.03, (fine_tuned, fresh)


def test_t5_learns_spans_of_real_text():
    sentences = [sentence for document in docstrings() for sentence in document]
    sentinels = list(range(256, 272))
    block, heads, d_head = MLP(128), 4, 16
    seen = Layer(Attention(heads, heads, d_head, None, is_causal=False, scale=1.0), block)
    past = Layer(Attention(heads, heads, d_head, None, scale=1.0), block, cross=CrossAttention(heads, heads, d_head))
    encoder = Encoder(VOCAB, 64, (seen,) * 2, RMSNorm(), position_bias=RelativeBias(16, 32, True))
    decoder = Decoder(VOCAB, 64, (past,) * 2, position_bias=RelativeBias(16, 32))
    model = EncoderDecoder(encoder, decoder).build()
    optimizer, generator, losses, targets = torch.optim.AdamW(model.parameters(), 3e-3), seeded(5), [], []
    for _ in range(100):
        rows = [sentences[int(index)] for index in torch.randint(len(sentences), (16,), generator=generator)]
        spans = [corrupt_spans(row, sentinels, generator) for row in rows]
        targets += [each.target for each in spans]
        loss = text_to_text_loss(model, [each.source for each in spans], [each.target for each in spans])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-20:]) / 20 < unigram_entropy(targets) - 0.3


def text_to_text_loss(model, sources, targets):
    keep = padded([[1] * len(source) for source in sources]).bool()
    target = padded([[0, *each] for each in targets], -100)
    hidden = model.hidden(padded(sources), target[:, :-1].clamp(min=0), keep)
    return linear_cross_entropy(hidden, model.decoder.output_weight, target[:, 1:])


def test_the_first_transformer_learns_to_reverse_words():
    """Exact match on words of real text that it has not seen, which needs the encoder's states in the right order."""
    text = bytes(byte for document in docstrings() for sentence in document for byte in [*sentence, 32]).decode(
        "latin1"
    )
    words = sorted({word for word in text.lower().split() if word.isalpha() and word.isascii() and len(word) <= 6})
    order = torch.randperm(len(words), generator=seeded(2)).tolist()
    held_out, seen = order[:100], order[100:]
    model = transformer_2017(32, 64, 2, 4, 128).build()
    optimizer, generator = torch.optim.AdamW(model.parameters(), 2e-3), seeded(3)
    ids = [[ord(letter) - 95 for letter in word] for word in words]
    for step in range(700):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * min(step / 50, 1) * (1 - step / 700)
        rows = [ids[seen[int(index)]] for index in torch.randint(len(seen), (32,), generator=generator)]
        loss = text_to_text_loss(model, rows, [[*row[::-1], 1] for row in rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    rows = [ids[index] for index in held_out]
    keep = padded([[1] * len(row) for row in rows]).bool()
    output = model.generate(padded(rows), start=0, stop=1, max_tokens=8, keep=keep).tolist()
    right = sum(row[::-1] == said[: len(row)] and said[len(row)] == 1 for row, said in zip(rows, output, strict=True))
    assert right > 70, right
