"""On a GPU: a training step and the loss head against Hugging Face and torch, in bfloat16, interleaved; JSON lines.

Usage: python benchmarks/gpu.py [--rounds 7]

The training step is forward and backward of a Llama of 12 layers, 768 wide, 8 sequences of 1024 tokens; the loss head
8192 rows of 768 against 50,304 tokens. Both sides have equal weights and must reach the same loss. The share of the
peak counts 6 FLOPs a weight and token, and attention as causal (half the square).
"""

import argparse
import json
import statistics
import tempfile
from datetime import date

import torch
import torch.nn.functional as F
import transformers
from octad_arch import linear_cross_entropy, llama_decoder, save_pretrained

DEVICE, VOCAB, WIDTH, LAYERS, BATCH, LENGTH = "cuda", 50_304, 768, 12, 8, 1024


def milliseconds(work):
    start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    value = work()
    stop.record()
    torch.cuda.synchronize()
    return start.elapsed_time(stop), value


def interleaved(contenders, rounds):
    """Median milliseconds of each, after three rounds that do not count; equal values are required of all."""
    times, values = {name: [] for name in contenders}, {}
    for round_index in range(rounds + 3):
        for name, work in contenders.items():
            elapsed, values[name] = milliseconds(work)
            if round_index >= 3:
                times[name].append(elapsed)
    first = next(iter(values.values()))
    for value in values.values():
        torch.testing.assert_close(value, first, rtol=2e-2, atol=2e-2)
    return {name: statistics.median(elapsed) for name, elapsed in times.items()}


def peak_bytes(work):
    torch.cuda.synchronize()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    work()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def matrix_peak():
    """FLOP/s of a large bfloat16 product on random numbers: what the shares are measured against."""
    a, b = (torch.randn(8192, 8192, device=DEVICE, dtype=torch.bfloat16) for _ in range(2))
    times = [milliseconds(lambda: a @ b)[0] for _ in range(13)]
    return 2 * 8192**3 / statistics.median(times[3:]) * 1e3


def training_step(rounds, peak):
    spec = llama_decoder(VOCAB, WIDTH, LAYERS, 12, d_ff=2048, tied_embeddings=True, context_length=LENGTH)
    plain = spec.build()
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(plain, folder)
        theirs = [
            transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).to(DEVICE).train()
            for _ in range(2)
        ]
    plain = plain.to(DEVICE, torch.bfloat16)
    compiled = spec.build_empty(DEVICE, torch.bfloat16)
    compiled.load_state_dict(plain.state_dict())
    compiled.compile_layers()
    theirs[1].compile()
    tokens = torch.randint(VOCAB, (BATCH, LENGTH + 1), generator=torch.Generator().manual_seed(0)).to(DEVICE)
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()

    def ours_step(model):
        model.zero_grad(set_to_none=True)
        loss = linear_cross_entropy(model.hidden(inputs), model.output_weight, targets)
        loss.backward()
        return loss.detach().float()

    def their_step(model):
        model.zero_grad(set_to_none=True)
        loss = F.cross_entropy(model(input_ids=inputs, use_cache=False).logits.flatten(0, 1).float(), targets.flatten())
        loss.backward()
        return loss.detach()

    contenders = {
        "ours": lambda: ours_step(plain),
        "ours, layers compiled": lambda: ours_step(compiled),
        "Hugging Face Llama": lambda: their_step(theirs[0]),
        "Hugging Face Llama, compiled": lambda: their_step(theirs[1]),
    }
    medians = interleaved(contenders, rounds)
    memory = {name: peak_bytes(work) for name, work in contenders.items()}
    cost = spec.cost(LENGTH)
    flops = BATCH * LENGTH * (3 * cost.matmul_flops + 3 * cost.attention_flops // 2)
    for name, elapsed in medians.items():
        yield {
            "what": f"training step, {name}",
            "ms": round(elapsed, 3),
            "tokens_per_s": round(BATCH * LENGTH / elapsed * 1e3),
            "share_of_peak": round(flops / (elapsed / 1e3) / peak, 3),
            "ratio_of_speed": round(medians["Hugging Face Llama"] / elapsed, 3),
            "rival": f"Hugging Face Llama, transformers {transformers.__version__}",
            "peak_bytes": memory[name],
            "parameters": cost.parameters,
        }


def loss_head(rounds, peak):
    rows = BATCH * LENGTH
    hidden = torch.randn(rows, WIDTH, device=DEVICE, dtype=torch.bfloat16).requires_grad_()
    weight = (0.02 * torch.randn(VOCAB, WIDTH, device=DEVICE, dtype=torch.bfloat16)).requires_grad_()
    targets = torch.randint(VOCAB, (rows,), device=DEVICE)

    def step(loss):
        hidden.grad = weight.grad = None
        value = loss(hidden, weight, targets)
        value.backward()
        return value.detach().float()

    torch_loss = torch.compile(lambda h, w, t: F.cross_entropy((h @ w.T).float(), t))
    contenders = {
        "ours": lambda: step(linear_cross_entropy),
        "torch": lambda: step(lambda h, w, t: F.cross_entropy((h @ w.T).float(), t)),
        "torch, compiled": lambda: step(torch_loss),
    }
    medians = interleaved(contenders, rounds)
    memory = {name: peak_bytes(work) for name, work in contenders.items()}
    for name, elapsed in medians.items():
        yield {
            "what": f"loss head, {name}",
            "ms": round(elapsed, 3),
            "share_of_peak": round(6 * rows * VOCAB * WIDTH / (elapsed / 1e3) / peak, 3),
            "ratio_of_speed": round(medians["torch"] / elapsed, 3),
            "rival": f"F.cross_entropy(hidden @ weight.T), torch {torch.__version__}",
            "peak_bytes": memory[name],
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    peak = matrix_peak()
    common = {
        "n": rounds,
        "machine": torch.cuda.get_device_name(),
        "peak_flops": peak,
        "date": date.today().isoformat(),
    }
    for part in (loss_head, training_step):
        for record in part(rounds, peak):
            print(json.dumps(record | common), flush=True)


if __name__ == "__main__":
    main()
