"""On a GPU: greedy generation by octad_infer against Hugging Face's generate, equal weights in bfloat16; JSON lines.

Usage: python benchmarks/gpu_decode.py [--rounds 3]

A Llama of 12 layers, 768 wide; prompts of 64 random tokens, 128 new ones, batches of 1, 16 and 64. The tokens are
compared and the share that agrees is told: in bfloat16 near ties may fall either way.
"""

import argparse
import json
import statistics
import tempfile
import time
from datetime import date

import torch
import transformers
from octad_arch import llama_decoder, save_pretrained
from octad_infer import Sampling, generate

VOCAB, PROMPT, NEW_TOKENS = 50_304, 64, 128


def seconds(work):
    torch.cuda.synchronize()
    start = time.perf_counter()
    value = work()
    torch.cuda.synchronize()
    return time.perf_counter() - start, value


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    ours = llama_decoder(VOCAB, 768, 12, 12, d_ff=2048, tied_embeddings=True).build()
    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(ours, folder)
        theirs = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).cuda().eval()
    ours = ours.to("cuda", torch.bfloat16).eval()
    generator = torch.Generator().manual_seed(0)
    for batch in (1, 16, 64):
        prompts = torch.randint(VOCAB, (batch, PROMPT), generator=generator)
        listed, on_gpu = prompts.tolist(), prompts.cuda()

        def by_octad(listed=listed, batch=batch):
            found = generate(
                ours, listed, max_new_tokens=NEW_TOKENS, sampling=Sampling(temperature=0), batch_size=batch
            )
            return [list(completion.tokens) for completion in found]

        def by_hugging_face(on_gpu=on_gpu):
            found = theirs.generate(
                on_gpu, max_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0, eos_token_id=None, use_cache=True
            )
            return found[:, PROMPT:].tolist()

        times = {"octad": [], "hugging_face": []}
        for round_index in range(rounds + 1):
            for name, work in (("octad", by_octad), ("hugging_face", by_hugging_face)):
                elapsed, tokens = seconds(work)
                if round_index:
                    times[name].append(elapsed)
                if name == "octad":
                    mine = tokens
        pairs = [(a, b) for x, y in zip(mine, tokens, strict=True) for a, b in zip(x, y, strict=True)]
        median = {name: statistics.median(values) for name, values in times.items()}
        record = {
            "what": f"greedy decoding, batch {batch}",
            "n": rounds,
            "tokens_per_s": round(batch * NEW_TOKENS / median["octad"], 1),
            "ratio_of_speed": round(median["hugging_face"] / median["octad"], 3),
            "rival": f"generate of Hugging Face Llama, transformers {transformers.__version__}",
            "agreeing_tokens": round(sum(a == b for a, b in pairs) / len(pairs), 3),
            "machine": torch.cuda.get_device_name(),
            "date": date.today().isoformat(),
        }
        print(json.dumps(record), flush=True)


if __name__ == "__main__":
    main()
