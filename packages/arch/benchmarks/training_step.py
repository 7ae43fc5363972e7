"""Forward and backward of a 10.5M-parameter decoder, ours against Hugging Face's: equal weights, interleaved rounds.

Ours as it is, with its layers compiled, and that with the kernels of octad-systems in the place of its attention and of
the loss of its logits.

Usage: python benchmarks/training_step.py [--model nanochat] [--dtype bfloat16]
"""

import argparse
import functools
import json
import platform
import statistics
import subprocess
import tempfile
import time
from datetime import date
from pathlib import Path

import torch
import transformers
from octad_arch import PARTS, linear_cross_entropy, load_pretrained, replace_by_gradient, replace_parts
from octad_systems.kernels import attention_or, logits_to_gradient_or


def cpu_seconds(loss, model):
    model.zero_grad(set_to_none=True)
    start = time.process_time()
    value = loss()
    value.backward()
    return time.process_time() - start, value.item()


SHAPE = {
    "vocab_size": 8192,
    "hidden_size": 256,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 8,
    "intermediate_size": 1024,
}


def llama(context):
    """The untrained Llama of transformers: 8 layers, 256 wide."""
    config = transformers.LlamaConfig(**SHAPE, max_position_embeddings=context, tie_word_embeddings=True)
    return transformers.LlamaForCausalLM(config)


def nanochat(context):
    """The same widths in nanochat: no gains, QK norm, ReLU squared, a head of its own with a soft cap."""
    return transformers.NanoChatForCausalLM(transformers.NanoChatConfig(**SHAPE, max_position_embeddings=context))


def plug_in_kernels(model):
    """Those of octad-systems in the place of the model's own functions."""
    to_gradient = logits_to_gradient_or(replace_by_gradient)
    replace_parts(
        model,
        self_attention=attention_or(PARTS["self_attention"]),
        head_loss=functools.partial(linear_cross_entropy, to_gradient=to_gradient),
    )


def contenders(rival, batch, dtype):
    """Name, model and loss of each, with equal weights on equal tokens."""
    theirs = rival.to(dtype).train()
    context = theirs.config.max_position_embeddings
    with tempfile.TemporaryDirectory() as folder:
        theirs.save_pretrained(folder)
        ours, compiled, with_kernels = (load_pretrained(folder) for _ in range(3))
    plug_in_kernels(with_kernels)
    compiled.compile_layers()
    with_kernels.compile_layers()
    tokens = torch.randint(8192, (batch, context + 1), generator=torch.Generator().manual_seed(0))
    inputs, targets = tokens[:, :-1], tokens[:, 1:]

    def loss_of(model):
        return lambda: model.cross_entropy(model.hidden(inputs), targets)

    def loss_of_theirs():
        logits = theirs(input_ids=inputs, use_cache=False).logits.float()
        return torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    return {
        "ours": (loss_of(ours), ours),
        "compiled": (loss_of(compiled), compiled),
        "kernels": (loss_of(with_kernels), with_kernels),
        "hugging_face": (loss_of_theirs, theirs),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", choices=("llama", "nanochat"), default="llama")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    rival = {"llama": llama, "nanochat": nanochat}[options.model](options.context)
    runners = contenders(rival, options.batch, getattr(torch, options.dtype))
    rounding = 1e-5 if options.dtype == "float32" else 1e-2
    times = {name: [] for name in runners}
    for _ in range(options.rounds + 1):
        losses = []
        for name, (loss, model) in runners.items():
            elapsed, value = cpu_seconds(loss, model)
            times[name].append(elapsed)
            losses.append(value)
        torch.testing.assert_close(torch.tensor(losses), torch.full((len(losses),), losses[0]), rtol=rounding, atol=0)
    rates = {name: [options.batch * options.context / t for t in values[1:]] for name, values in times.items()}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    record = {
        "what": "training_step",
        "unit": "tokens a CPU-second, forward + backward",
        "n": options.rounds,
        "median": round(medians["ours"], 1),
        "spread": [round(value, 1) for value in statistics.quantiles(rates["ours"], n=4)[::2]],
        "rival": f"Hugging Face {options.model}, transformers {transformers.__version__}, torch {torch.__version__}",
        "rival_median": round(medians["hugging_face"], 1),
        "ratio": round(medians["ours"] / medians["hugging_face"], 3),
        "ratio_compiled": round(medians["compiled"] / medians["hugging_face"], 3),
        "ratio_kernels": round(medians["kernels"] / medians["hugging_face"], 3),
        "shape": {"parameters": sum(p.numel() for p in runners["ours"][1].parameters()), **vars(options)},
        "machine": f"{platform.machine()}, {options.threads} threads, shared",
        "commit": commit.stdout.strip(),
        "date": date.today().isoformat(),
    }
    line = json.dumps(record)
    print(line)
    with Path(__file__).with_name("results.jsonl").open("a", encoding="utf-8") as results_file:
        results_file.write(line + "\n")


if __name__ == "__main__":
    main()
