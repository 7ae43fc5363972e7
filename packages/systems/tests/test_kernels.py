"""The compiled kernels against torch in float64, at odd shapes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from octad_systems import KernelError
from octad_systems.kernels import (
    attention,
    attention_or,
    has_native_kernels,
    library,
    logits_to_gradient,
    logits_to_gradient_or,
    native_library,
)
from torch import Tensor

pytestmark = pytest.mark.skipif(not has_native_kernels(), reason="no C compiler")


def inputs(
    batch: int, heads: int, kv_heads: int, seq: int, width: int, value_width: int, seed: int = 0
) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    shapes = (heads, width), (kv_heads, width), (kv_heads, value_width)
    return [torch.randn(batch, h, seq, e, generator=generator).requires_grad_() for h, e in shapes]


def reference(
    q: Tensor, k: Tensor, v: Tensor, is_causal: bool = True, scale: float | None = None, window: int | None = None
) -> Tensor:
    """In float64, with a mask."""
    order = torch.arange(q.shape[2])
    distance = order[:, None] - order
    seen = distance.abs() < (window or q.shape[2])
    if is_causal:
        seen &= distance >= 0
    q, k, v = q.double(), k.double(), v.double()
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, scale=scale, enable_gqa=True)


def assert_equal(tensors: list[Tensor], **options: object) -> None:
    """Results and gradients in float32, which grow with what is rounded: scores, and the gradients of weights.

    A score's rounding is a share of itself, so a weight's share is off by that of the largest score; a gradient sums
    products of weights with `grad v`. 6,000 random cases needed 1.7 of the 4 units that are allowed.
    """
    ours, theirs = attention(*tensors, **options), reference(*tensors, **options)
    grad = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1))
    q, k, v = (x.detach().double() for x in tensors)
    k, v = (x.repeat_interleave(q.shape[1] // x.shape[1], dim=1) for x in (k, v))
    score = (q @ k.mT).abs().max().item() * (options.get("scale") or q.shape[-1] ** -0.5)
    slope = (grad.double() @ v.mT).abs().max().item()
    unit = torch.finfo(torch.float32).eps * (1 + score)
    torch.testing.assert_close(ours.double(), theirs, rtol=0, atol=4 * unit * (1 + theirs.abs().max().item()))
    for found, wanted in zip(
        torch.autograd.grad(ours, tensors, grad), torch.autograd.grad(theirs, tensors, grad.double()), strict=True
    ):
        largest = max(slope, wanted.abs().max().item())
        torch.testing.assert_close(found, wanted, rtol=0, atol=4 * unit * (1 + largest))


@given(
    batch=st.integers(1, 3),
    kv_heads=st.integers(1, 3),
    group=st.integers(1, 7),
    seq=st.integers(1, 90),
    width=st.sampled_from([1, 2, 7, 16, 20, 33, 64, 96, 130]),
    value_width=st.sampled_from([1, 5, 16, 32, 80, 128]),
    is_causal=st.booleans(),
    window=st.none() | st.integers(1, 100),
    scale=st.none() | st.floats(0.01, 0.5),
)
def test_attention_matches_float64(batch, kv_heads, group, seq, width, value_width, is_causal, window, scale):
    tensors = inputs(batch, kv_heads * group, kv_heads, seq, width, value_width, seed=seq)
    assert_equal(tensors, is_causal=is_causal, window=window, scale=scale)


@pytest.mark.parametrize("is_causal", [True, False])
@pytest.mark.parametrize("window", [None, 1, 40, 300])
def test_attention_over_several_blocks_of_keys(is_causal, window):
    assert_equal(inputs(1, 2, 1, 700, 48, 40), is_causal=is_causal, window=window)


def test_attention_takes_any_layout_and_threads():
    q, k, v = inputs(2, 4, 2, 50, 32, 32)
    wanted = attention(q, k, v)
    across = [x.detach().permute(3, 0, 1, 2).contiguous().permute(1, 2, 3, 0) for x in (q, k, v)]
    by_row = [x.detach().transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    assert torch.equal(attention(*across), wanted) and torch.equal(attention(*by_row), wanted)
    grad = torch.randn(wanted.shape)
    alone = torch.autograd.grad(wanted, (q, k, v), grad)
    torch.set_num_threads(3)
    together = torch.autograd.grad(attention(q, k, v), (q, k, v), grad)
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))
    wanted = torch.autograd.grad(reference(q, k, v).sum(), (q, k, v))
    expanded = torch.autograd.grad(attention(q, k, v).sum(), (q, k, v))  # a gradient with strides of 0
    for a, b in zip(expanded, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=2e-5)


def test_attention_is_causal_to_the_bit():
    q, k, v = (x.detach() for x in inputs(1, 2, 2, 80, 32, 32))
    before = attention(q, k, v)[:, :, :50]
    k[:, :, 50:], v[:, :, 50:] = 1e4, -1e30
    assert torch.equal(attention(q, k, v)[:, :, :50], before)


def test_attention_holds_large_scores_and_shows_nan():
    q, k, v = (x.detach() for x in inputs(1, 1, 1, 300, 16, 16))
    torch.testing.assert_close(attention(q * 100, k, v).double(), reference(q * 100, k, v), rtol=1e-3, atol=1e-3)
    k[0, 0, 7, 3] = torch.nan
    assert not attention(q, k, v)[:, :, :7].isnan().any()
    assert attention(q, k, v)[:, :, 7:].isnan().all()


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # of the checks themselves
def test_attention_compiles_whole_and_passes_the_checks_of_an_operator():
    tensors = inputs(2, 4, 2, 33, 32, 16)
    rows = tuple(x.detach().transpose(1, 2).requires_grad_() for x in tensors)
    torch.library.opcheck(torch.ops.octad_systems.attention_forward.default, (*rows, True, 0.2, 9))
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    assert torch.equal(compiled(*tensors), attention(*tensors))


def test_attention_names_what_does_not_fit():
    q, k, v = inputs(1, 4, 2, 8, 16, 16)
    with pytest.raises(KernelError, match=r"bfloat16 on cpu; this kernel takes float32"):
        attention(q.bfloat16(), k, v)
    with pytest.raises(KernelError, match=r"kv_heads must divide heads"):
        attention(q[:, :3], k, v)
    with pytest.raises(KernelError, match=r"batch, seq and d_head must agree"):
        attention(q, k[:, :, :7], v)
    with pytest.raises(KernelError, match="window=0"):
        attention(q, k, v, window=0)
    with pytest.raises(KernelError, match=r"takes \(batch, heads, seq, channels\)"):
        attention(q[0], k[0], v[0])


def test_attention_leaves_the_rest_to_another():
    q, k, v = inputs(1, 2, 1, 8, 16, 16)
    asked = []

    def theirs(q: Tensor, k: Tensor, v: Tensor, **options: object) -> Tensor:
        asked.append(options)
        return v

    choose = attention_or(theirs)
    torch.testing.assert_close(choose(q, k, v, is_causal=True, keep=None, softcap=None), attention(q, k, v))
    assert asked == []
    assert choose(q, k, v, softcap=5.0) is v
    assert choose(q.double(), k.double(), v.double(), window=3).dtype == torch.float64
    assert choose(q, k[:, :, :5], v[:, :, :5], is_causal=False).shape[2] == 5
    assert asked == [
        {"is_causal": True, "softcap": 5.0},
        {"is_causal": True, "window": 3},
        {"is_causal": False},
    ]


@given(
    rows=st.integers(1, 9),
    vocab=st.sampled_from([1, 2, 15, 16, 17, 31, 100, 1000, 8192]),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    softcap=st.none() | st.sampled_from([0.5, 15.0, 90.0]),
    size=st.sampled_from([0.01, 1.0, 30.0]),
    scale=st.sampled_from([1.0, 0.37]),
)
def test_logits_to_gradient_matches_float64(rows, vocab, dtype, softcap, size, scale):
    generator = torch.Generator().manual_seed(vocab + rows)
    logits = (size * torch.randn(rows, vocab, generator=generator)).to(dtype)
    targets = torch.randint(vocab, (rows,), generator=generator)
    wide = logits.double().requires_grad_()
    loss = F.cross_entropy(wide if softcap is None else softcap * torch.tanh(wide / softcap), targets, reduction="sum")
    (wanted,) = torch.autograd.grad(scale * loss, wide)
    found = logits_to_gradient(logits, targets, scale, softcap)
    torch.testing.assert_close(found.double(), loss.detach(), rtol=1e-6, atol=1e-4)
    rounding = 2e-6 if dtype == torch.float32 else 2**-8
    capped = 2**-24 * (softcap or 0)  # what a logit near the cap loses
    torch.testing.assert_close(logits.double(), wanted, rtol=rounding, atol=2e-6 + capped)


def test_logits_that_cannot_be_and_those_that_are_nothing():
    logits = torch.tensor([[0.0, -torch.inf, 1.0], [3e38, 0.0, -3e38], [torch.nan, 0.0, 0.0]])
    targets = torch.tensor([0, 0, 1])
    wide = logits.double().requires_grad_()
    (wanted,) = torch.autograd.grad(F.cross_entropy(wide, targets, reduction="sum"), wide)
    loss = logits_to_gradient(logits, targets, 1.0)
    assert loss.isnan()
    torch.testing.assert_close(logits.double(), wanted, rtol=1e-6, atol=1e-6, equal_nan=True)
    assert logits_to_gradient(torch.empty(0, 5), torch.empty(0, dtype=torch.int64), 1.0) == 0


def test_logits_are_left_alone_where_a_target_is_wrong():
    logits = torch.randn(3, 5)
    before = logits.clone()
    with pytest.raises(KernelError, match="target 5 is outside the vocabulary of 5"):
        logits_to_gradient(logits, torch.tensor([0, 5, 1]), 1.0)
    with pytest.raises(KernelError, match="target -100 is outside"):
        logits_to_gradient(logits, torch.tensor([0, -100, 1]), 1.0)
    with pytest.raises(KernelError, match=r"ask for \(3,\)"):
        logits_to_gradient(logits, torch.tensor([0]), 1.0)
    with pytest.raises(KernelError, match="softcap=0"):
        logits_to_gradient(logits, torch.tensor([0, 1, 1]), 1.0, 0.0)
    with pytest.raises(KernelError, match=r"strides \(1, 4\)"):
        logits_to_gradient(torch.randn(5, 4).T, torch.zeros(4, dtype=torch.int64), 1.0)
    assert torch.equal(logits, before)
    targets = torch.tensor([0, 1, 2])
    choose = logits_to_gradient_or(lambda *given: torch.tensor(7.0))
    assert choose(logits.double(), targets, 1.0) == 7
    assert choose(before, targets, 1.0) == logits_to_gradient(logits, targets, 1.0)


def test_kernels_are_compiled_once_and_without_a_compiler_refused(tmp_path: Path):
    program = (
        "from octad_systems import KernelError\n"
        "import torch\n"
        "from octad_systems.kernels import attention_or, has_native_kernels, native_library\n"
        "x = torch.ones(1, 1, 1, 1)\n"
        "answer = attention_or(lambda *given, **options: 'theirs')(x, x, x)\n"
        "assert (answer == 'theirs') is not has_native_kernels()\n"
        "try:\n    native_library(); print('compiled')\nexcept KernelError as error:\n    print(error)\n"
    )

    def run(**environment: str) -> str:
        variables = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), **environment}
        done = subprocess.run(
            [sys.executable, "-c", program], env=variables, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert run() == "compiled"
    (made,) = (tmp_path / "octad").iterdir()
    written = made.stat().st_mtime_ns
    assert run() == "compiled" and made.stat().st_mtime_ns == written
    assert run(CC="nowhere", PATH="").startswith("no C compiler: neither $CC nor cc, gcc, clang is there")
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\necho no such target >&2\nexit 1\n")
    broken.chmod(0o755)
    assert run(CC=str(broken)).endswith("cannot compile the kernels: no such target")
    assert list((tmp_path / "octad").iterdir()) == [made]


def test_kernels_that_cannot_be_loaded_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    compiler = tmp_path / "compiler"
    find = 'for word; do if [ "$before" = -o ]; then echo no library > "$word"; fi; before=$word; done'
    compiler.write_text(f"#!/bin/sh\n{find}\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("CC", str(compiler))
    with pytest.raises(KernelError, match="cannot be loaded"):
        native_library.__wrapped__()


def test_kernels_fall_back_to_a_temporary_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "octad").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = library._cache_folder()
    assert folder.is_dir() and tmp_path not in folder.parents
