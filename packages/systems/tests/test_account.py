import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from octad_systems import (
    SystemsError,
    TransformerShape,
    account_table,
    count_active_parameters,
    count_parameters,
    decode_bytes,
    decode_flops,
    forward_flops_at,
    forward_flops_per_token,
    kv_cache_bytes,
    kv_cache_bytes_per_token,
    mean_visible_keys,
    optimizer_state_bytes,
    prefill_flops,
    six_n_flops_per_token,
    training_flops_per_token,
    training_memory,
    with_prefix,
)
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

GPT2 = TransformerShape(
    50257, 768, 12, 12, 12, 64, 3072, is_gated=False, has_qkv_bias=True, has_output_bias=True, has_mlp_bias=True,
    has_norm_bias=True, num_positions=1024,
)  # fmt: skip
GPT3 = TransformerShape(
    50257, 12288, 96, 96, 96, 128, 49152, is_gated=False, has_qkv_bias=True, has_output_bias=True, has_mlp_bias=True,
    has_norm_bias=True, num_positions=2048,
)  # fmt: skip
LLAMA_2_7B = TransformerShape(32000, 4096, 32, 32, 32, 128, 11008, tied_embeddings=False)
LLAMA_3_8B = TransformerShape(128256, 4096, 32, 32, 8, 128, 14336, tied_embeddings=False)
LLAMA_3_70B = TransformerShape(128256, 8192, 80, 64, 8, 128, 28672, tied_embeddings=False)
QWEN_25_05B = TransformerShape(151936, 896, 24, 14, 2, 64, 4864, has_qkv_bias=True)
QWEN_3_06B = TransformerShape(151936, 1024, 28, 16, 8, 128, 3072, has_qk_norm=True)
MIXTRAL = TransformerShape(
    32000, 4096, 32, 32, 8, 128, 14336, tied_embeddings=False, num_experts=8, num_active_experts=2
)
SMALL = TransformerShape(512, 64, 3, 4, 4, 16, 176)
SMALL_SHAPES = {
    "llama": SMALL,
    "untied": replace(SMALL, tied_embeddings=False, d_head=24),
    "grouped, qk norm": replace(SMALL, num_kv_heads=2, has_qk_norm=True),
    "gpt": replace(
        SMALL,
        is_gated=False,
        has_qkv_bias=True,
        has_output_bias=True,
        has_mlp_bias=True,
        has_norm_bias=True,
        num_positions=128,
    ),
    "gated with biases": replace(SMALL, has_mlp_bias=True, has_final_norm=False),
    "one odd layer": TransformerShape(97, 33, 1, 3, 1, 11, 50),
    "no layers": replace(SMALL, num_layers=0),
}
each_shape = pytest.mark.parametrize("shape", SMALL_SHAPES.values(), ids=SMALL_SHAPES)
Build = Callable[..., nn.Module]


@pytest.mark.parametrize(
    ("shape", "published"),
    [
        (GPT2, 124_439_808), (LLAMA_2_7B, 6_738_415_616), (LLAMA_3_8B, 8_030_261_248), (LLAMA_3_70B, 70_553_706_496),
        (QWEN_25_05B, 494_032_768), (QWEN_3_06B, 596_049_920), (MIXTRAL, 46_702_792_704),
    ],
    ids=["gpt2", "llama-2-7b", "llama-3-8b", "llama-3-70b", "qwen2.5-0.5b", "qwen3-0.6b", "mixtral-8x7b"],
)  # fmt: skip
def test_parameters_match_published_checkpoints(shape: TransformerShape, published: int) -> None:
    assert count_parameters(shape).total == published


def test_active_parameters_of_a_mixture_match_the_published_number() -> None:
    # Jiang et al. 2024, "Mixtral of experts": 13B active of 47B
    assert count_active_parameters(MIXTRAL) == pytest.approx(12.9e9, rel=0.005)
    assert count_active_parameters(LLAMA_3_8B) == count_parameters(LLAMA_3_8B).total


@each_shape
def test_parameters_match_a_torch_module(shape: TransformerShape, build_transformer: Build) -> None:
    model = build_transformer(shape)
    parameters = count_parameters(shape)
    assert parameters.total == sum(p.numel() for p in model.parameters())
    matrices = sum(p.numel() for p in model.blocks.parameters() if p.ndim == 2)
    assert parameters.hidden_matrices == matrices
    assert parameters.vectors == sum(p.numel() for p in model.parameters() if p.ndim == 1)


def counted(work: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()


@each_shape
@pytest.mark.parametrize("has_fused_attention", [True, False], ids=["sdpa", "products"])
def test_flops_match_torchs_counter(
    shape: TransformerShape, build_transformer: Build, has_fused_attention: bool
) -> None:
    batch, seq = 2, 37
    model = build_transformer(shape, has_fused_attention=has_fused_attention)
    tokens = torch.randint(0, shape.vocab_size, (batch, seq))
    # torch counts the full square, masked or not
    per_token = forward_flops_per_token(shape, seq, is_causal=False)
    assert counted(lambda: model(tokens)) == batch * seq * per_token.total
    if not has_fused_attention:  # a fused backward pass computes the scores anew, which the account does not count
        step = counted(lambda: model(tokens).sum().backward())
        assert step == batch * seq * training_flops_per_token(shape, seq, is_causal=False)


def test_flops_with_recomputation_match_torchs_counter(build_transformer: Build) -> None:
    model = build_transformer(SMALL, has_fused_attention=False, has_recomputation=True)
    tokens = torch.randint(0, 512, (2, 16))
    expected = 32 * training_flops_per_token(SMALL, 16, is_causal=False, has_recomputation=True)
    # torch stops the recomputation once the last saved tensor is back, before each block's last product
    last_products = 32 * 2 * SMALL.num_layers * SMALL.d_ff * SMALL.d_model
    assert counted(lambda: model(tokens).sum().backward()) in (expected, expected - last_products)


@given(seq_len=st.integers(1, 60), window=st.none() | st.integers(1, 70))
def test_mean_visible_keys_matches_a_count(seq_len: int, window: int | None) -> None:
    reach = window or seq_len
    causal = sum(0 <= i - j < reach for i in range(seq_len) for j in range(seq_len))
    both = sum(abs(i - j) < reach for i in range(seq_len) for j in range(seq_len))
    # exact but for the rounding of one division
    assert mean_visible_keys(seq_len, window=window) == pytest.approx(causal / seq_len, rel=1e-12)
    assert mean_visible_keys(seq_len, is_causal=False, window=window) == pytest.approx(both / seq_len, rel=1e-12)


def test_forward_flops_name_each_product() -> None:
    flops = forward_flops_per_token(LLAMA_3_8B, 8192)
    assert flops.query == 2 * 32 * 4096 * 4096
    assert flops.key == flops.value == 2 * 32 * 4096 * 1024
    assert flops.scores == flops.mixing == 2 * 32 * 4096 * 4096.5
    assert flops.mlp == 2 * 32 * 3 * 4096 * 14336
    assert flops.head == 2 * 4096 * 128256
    assert flops.times(2).total == 2 * flops.total
    assert (
        forward_flops_per_token(MIXTRAL, 64).mlp
        == 2 * forward_flops_per_token(replace(MIXTRAL, num_experts=0, num_active_experts=0), 64).mlp
    )
    assert forward_flops_per_token(MIXTRAL, 64).router == 2 * 32 * 4096 * 8


def test_six_n_agrees_with_the_published_compute_of_gpt3() -> None:
    # Brown et al. 2020, table D.1: 174,600M parameters, 300B tokens, 3.14e23 FLOPs (three significant digits)
    assert count_parameters(GPT3).total == pytest.approx(174_600e6, rel=1e-3)
    assert six_n_flops_per_token(GPT3, has_embeddings=True) * 300e9 == pytest.approx(3.14e23, rel=2e-3)
    # attention at 2,048 and the head are what the rule leaves out; biases and norms what it counts in excess
    exact = training_flops_per_token(GPT3, 1) - 3 * forward_flops_per_token(GPT3, 1).head
    assert six_n_flops_per_token(GPT3) == pytest.approx(exact, rel=1e-3)


@given(prompt=st.integers(1, 50), more=st.integers(0, 20), window=st.none() | st.integers(1, 60))
def test_prefill_and_decode_add_up_to_a_forward_pass(prompt: int, more: int, window: int | None) -> None:
    shape = replace(SMALL, window=window)
    generated = sum(decode_flops(shape, context) for context in range(prompt, prompt + more))
    whole = (prompt + more) * forward_flops_per_token(shape, prompt + more).total
    unread_logits = (prompt - 1) * 2 * shape.d_model * shape.vocab_size
    assert prefill_flops(shape, prompt) + generated == pytest.approx(whole - unread_logits, rel=1e-12)


class PeakOfTensors(TorchDispatchMode):
    """Bytes of the storages that are alive, now and at most, whatever made them inside."""

    def __init__(self) -> None:
        super().__init__()
        self.live, self.peak, self.known = 0, 0, weakref.WeakKeyDictionary()

    def release(self, size: int) -> None:
        self.live -= size

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(out):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage not in self.known:
                    self.known[storage] = True
                    self.live += storage.nbytes()
                    weakref.finalize(storage, self.release, storage.nbytes())
                    self.peak = max(self.peak, self.live)
        return out


def kept_for_backward(model: nn.Module, tokens: torch.Tensor) -> int:
    """Bytes that autograd keeps after a forward pass and loss, each storage once, parameters not counted."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.UntypedStorage] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = F.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())
    assert loss.requires_grad
    return sum(storage.nbytes() for pointer, storage in kept.items() if pointer not in own)


@pytest.mark.parametrize("name", ["llama", "untied", "gpt", "gated with biases"])
@pytest.mark.parametrize("has_fused_attention", [True, False], ids=["fused", "products"])
def test_activations_match_what_autograd_keeps(name: str, build_transformer: Build, has_fused_attention: bool) -> None:
    shape = SMALL_SHAPES[name]
    tokens = torch.randint(0, shape.vocab_size, (2, 64))
    measured = kept_for_backward(build_transformer(shape, has_fused_attention=has_fused_attention), tokens)
    memory = training_memory(shape, 2, 64, has_fused_attention=has_fused_attention)
    log_probabilities = tokens.numel() * shape.vocab_size * 4
    num_norms = 2 * shape.num_layers + shape.has_final_norm
    composed = 0 if shape.has_norm_bias else num_norms * shape.d_model * tokens.numel() * 4  # torch's RMSNorm on a CPU
    # what is not counted: masks and indices
    assert measured - log_probabilities - composed == pytest.approx(memory.activations, rel=2e-3)


@pytest.mark.parametrize("has_recomputation", [False, True])
@pytest.mark.parametrize("vocab_size", [16, 4096])
def test_training_memory_bounds_the_measured_peak(
    build_transformer: Build, has_recomputation: bool, vocab_size: int
) -> None:
    shape = replace(SMALL_SHAPES["gpt"], vocab_size=vocab_size, num_layers=6)
    model, tokens = build_transformer(shape, has_recomputation=has_recomputation), torch.randint(0, 16, (4, 64))
    with PeakOfTensors() as peak:
        logits = model(tokens)
        F.cross_entropy(logits.flatten(0, 1), tokens.flatten()).backward()
    memory = training_memory(shape, 4, 64, has_recomputation=has_recomputation)
    account = memory.total - memory.weights - memory.optimizer_states
    # measured 0.93 to 0.99: gradients of weights are not all there while the activations still are
    assert 0.9 * account < peak.peak < 1.02 * account


def states_of(optimizer: torch.optim.Optimizer) -> int:
    tensors = [t for state in optimizer.state.values() for t in state.values() if isinstance(t, torch.Tensor)]
    return sum(t.nbytes for t in tensors if t.ndim)  # step counts are scalars


def test_optimizer_states_match_torchs_optimizers(build_transformer: Build) -> None:
    shape = SMALL_SHAPES["gpt"]
    model = build_transformer(shape)
    matrices = [p for p in model.blocks.parameters() if p.ndim == 2]
    rest = [p for p in model.parameters() if all(p is not matrix for matrix in matrices)]
    everything = list(model.parameters())
    choices = {
        "adamw": [torch.optim.AdamW(everything)],
        "muon": [torch.optim.Muon(matrices), torch.optim.AdamW(rest)],
        "sgd": [torch.optim.SGD(everything)],
        "sgd_momentum": [torch.optim.SGD(everything, momentum=0.9)],
    }
    for name, optimizers in choices.items():
        for parameter in everything:
            parameter.grad = torch.ones_like(parameter)
        for optimizer in optimizers:
            optimizer.step()
        assert sum(map(states_of, optimizers)) == optimizer_state_bytes(shape, name)
    with pytest.raises(SystemsError, match="'adam' is none of adamw, muon"):
        optimizer_state_bytes(shape, "adam")


def test_training_memory_of_mixed_precision_is_sixteen_bytes_a_parameter() -> None:
    # Rajbhandari et al. 2020 (ZeRO), section 3.1: 2 + 2 + 12 bytes a parameter
    memory = training_memory(GPT3, 1, 2048, element_bytes=2)
    assert memory.state == 16 * count_parameters(GPT3).total
    assert training_memory(GPT3, 1, 2048).master_weights == 0
    assert memory.total == memory.state + memory.activations + memory.block_gradients + memory.logits


def test_training_memory_shrinks_with_each_saving() -> None:
    plain = training_memory(LLAMA_3_8B, 4, 4096, element_bytes=2, has_fused_attention=False)
    fused_attention = training_memory(LLAMA_3_8B, 4, 4096, element_bytes=2)
    recomputed = training_memory(LLAMA_3_8B, 4, 4096, element_bytes=2, has_recomputation=True)
    fused_head = training_memory(LLAMA_3_8B, 4, 4096, element_bytes=2, has_fused_head=True)
    assert plain.activations > 2 * fused_attention.activations > 16 * recomputed.activations
    assert fused_head.logits < fused_attention.logits / 10
    assert fused_head.activations == fused_attention.activations
    one_chunk = training_memory(LLAMA_3_8B, 1, 8, has_fused_head=True, head_chunk_tokens=100)
    assert one_chunk.logits == 8 * 128256 * 8 + 8 * 4096 * 4


def test_kv_cache_matches_published_sizes() -> None:
    # Llama-2-7B: 512 KiB a token in 16 bits; Llama-3-8B's grouped queries: 128 KiB
    assert kv_cache_bytes_per_token(LLAMA_2_7B) == 512 * 1024
    assert kv_cache_bytes_per_token(LLAMA_3_8B) == 128 * 1024
    assert kv_cache_bytes(LLAMA_3_8B, 3, 8192, element_bytes=0.5) == 3 * 8192 * 32 * 1024
    assert kv_cache_bytes(replace(LLAMA_3_8B, window=100), 3, 8192) == 3 * 100 * 128 * 1024
    assert kv_cache_bytes(LLAMA_3_8B, 0, 8192) == 0


def test_decode_reads_each_weight_once_and_every_cache() -> None:
    cache = kv_cache_bytes_per_token(LLAMA_3_8B)
    without_table = count_parameters(LLAMA_3_8B).total - 128256 * 4096
    assert decode_bytes(LLAMA_3_8B, 0) == 2 * without_table
    assert decode_bytes(LLAMA_3_8B, 1000, batch_size=7) == 2 * without_table + 7000 * cache
    assert decode_bytes(QWEN_3_06B, 0, weight_bytes=1) == count_parameters(QWEN_3_06B).total
    table = 32000 * 4096
    assert decode_bytes(MIXTRAL, 0, weight_bytes=1) == count_active_parameters(MIXTRAL) - table
    assert decode_bytes(MIXTRAL, 0, batch_size=100, weight_bytes=1) == count_parameters(MIXTRAL).total - table


def test_account_table_shows_every_part() -> None:
    table = account_table(GPT2, 8, 1024, optimizer="muon", has_fused_head=True)
    for text in (
        "124.4 M",
        "forward FLOPs a token at 1,024",
        "scores",
        "optimizer states",
        "KV cache a token",
        "100.0 %",
    ):
        assert text in table
    for empty in ("router", "master"):
        assert empty not in table
    assert max(map(len, table.splitlines())) < 60
    assert account_table(replace(SMALL, num_layers=0), 1, 1)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 B"),
        (7, "7 B"),
        (999, "999 B"),
        (999.96, "1 kB"),
        (1234, "1.234 kB"),
        (999_960, "1 MB"),
        (3.14e23, "3.14e+05 EB"),
    ],
)
def test_with_prefix(value: float, text: str) -> None:
    assert with_prefix(value, "B") == text


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_heads": 12, "num_kv_heads": 5}, "num_kv_heads=5 does not divide num_heads=12; use num_kv_heads=(4|6)"),
        ({"vocab_size": 0}, "vocab_size=0 must be at least 1"),
        ({"num_layers": -1}, "num_layers=-1 must be at least 0"),
        ({"window": 0}, "window=0 must be at least 1"),
        ({"num_active_experts": 2}, "num_active_experts=2 exceeds num_experts=0"),
        ({"num_experts": 4}, "needs num_active_experts of 1 to 4"),
    ],
)
def test_shape_refuses_nonsense(changes: dict[str, int], message: str) -> None:
    with pytest.raises(SystemsError, match=message):
        replace(SMALL, **changes)


def test_accounts_refuse_negative_counts() -> None:
    calls = [
        lambda: mean_visible_keys(0),
        lambda: forward_flops_at(SMALL, -1),
        lambda: decode_flops(SMALL, -1),
        lambda: training_memory(SMALL, 0, 4),
        lambda: training_memory(SMALL, 1, 4, head_chunk_tokens=0),
        lambda: kv_cache_bytes_per_token(SMALL, element_bytes=0),
        lambda: kv_cache_bytes(SMALL, -1, 1),
    ]
    for call in calls:
        with pytest.raises(SystemsError, match="must be"):
            call()
