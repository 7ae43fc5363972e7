"""A recipe: everything that decides the result of a run, as frozen dataclasses that a TOML file names one to one."""

from __future__ import annotations

from dataclasses import dataclass, field

from octad.errors import require


@dataclass(frozen=True)
class CorpusRecipe:
    """Where the text comes from and what is set aside.

    Attributes:
        source: `standard-library`, a file or folder, or `hub:NAME` for a Hugging Face data set.
        split: the split of a Hugging Face data set.
        text_column: the column of a Hugging Face data set or JSON-lines file that holds the text.
        max_documents: stop after so many; 0 takes all.
        held_out: share of the documents kept for evaluation; near duplicates fall on the same side.
        near_duplicates: keep one document of each cluster of near duplicates.
    """

    source: str = "standard-library"
    split: str = "train"
    text_column: str = "text"
    max_documents: int = 0
    held_out: float = 0.05
    near_duplicates: bool = True

    def __post_init__(self) -> None:
        require(0 < self.held_out <= 0.5, "corpus.held_out", self.held_out, "above 0 and at most 0.5")
        require(self.max_documents >= 0, "corpus.max_documents", self.max_documents, "0 (all) or more")


@dataclass(frozen=True)
class TokenizerRecipe:
    """A byte-level BPE tokenizer, trained on the training part of the corpus."""

    vocab_size: int = 4096
    pattern: str = "qwen2"

    def __post_init__(self) -> None:
        require(
            self.vocab_size >= 259, "tokenizer.vocab_size", self.vocab_size, "at least 259: 256 bytes, 3 special tokens"
        )


@dataclass(frozen=True)
class ShardsRecipe:
    """The mix of the token shards.

    Attributes:
        weights: how often a token of each kind of document (`prose`, `code`, `text`) is drawn; a kind not named has 1.
    """

    weights: dict[str, float] = field(default_factory=lambda: {"prose": 4.0, "code": 1.0})

    def __post_init__(self) -> None:
        require(all(w >= 0 for w in self.weights.values()), "shards.weights", self.weights, "weights of 0 or more")


@dataclass(frozen=True)
class ModelRecipe:
    """A decoder of RMSNorm, RoPE, grouped-query attention with QK-norm, and SwiGLU.

    Attributes:
        sizes: candidates [d_model, layers]; the plan takes the one whose predicted loss in the time is lowest.
        d_head: width of one attention head.
        queries_per_key: query heads that share one key-value head.
        context: longest sequence, in tokens.
    """

    sizes: tuple[tuple[int, int], ...] = ((64, 2), (128, 2), (128, 4), (192, 4), (256, 6), (320, 8))
    d_head: int = 32
    queries_per_key: int = 2
    context: int = 256

    def __post_init__(self) -> None:
        require(len(self.sizes) > 0, "model.sizes", self.sizes, "at least one [d_model, layers]")
        require(self.queries_per_key > 0, "model.queries_per_key", self.queries_per_key, "1 or more")
        for d_model, layers in self.sizes:
            require(layers > 0, "model.sizes", (d_model, layers), "one layer or more")
            multiple = self.d_head * self.queries_per_key
            fits = d_model % multiple == 0
            require(fits, "model.sizes", (d_model, layers), f"of a d_model that is a multiple of {multiple}")
        require(self.context >= 128, "model.context", self.context, "at least 128: an instruction and its answer")


@dataclass(frozen=True)
class PlanRecipe:
    """What the size is chosen by.

    Attributes:
        measurements: run records that the scaling law is fitted to: shipped ones by name, or a file of JSON lines.
    """

    measurements: str = "standard-library"


@dataclass(frozen=True)
class PretrainRecipe:
    """Next-token training.

    Attributes:
        seconds: time to spend; the plan turns it into a number of steps from the measured speed.
        tokens: the length in tokens instead, where it is not 0.
        batch_size: sequences in a step, over all processes.
        micro_batch_size: sequences at once in one process; 0 takes its whole share.
        optimizer: `muon` for hidden matrices with AdamW for the rest, or `adamw` for everything.
        learning_rate: the peak; one serves both, as Muon's updates are scaled to AdamW's.
        warmup, decay: shares of the steps that rise to and fall from the peak (WSD).
        epochs: most passes over the training tokens.
    """

    seconds: float = 150.0
    tokens: int = 0
    batch_size: int = 8
    micro_batch_size: int = 0
    optimizer: str = "muon"
    learning_rate: float = 0.004
    weight_decay: float = 0.1
    max_grad_norm: float = 1.0
    warmup: float = 0.03
    decay: float = 0.4
    epochs: float = 4.0

    def __post_init__(self) -> None:
        given = self.seconds > 0 or self.tokens > 0
        require(given, "pretrain.seconds", self.seconds, "above 0 unless pretrain.tokens is set")
        require(self.batch_size > 0, "pretrain.batch_size", self.batch_size, "above 0")
        require(self.optimizer in ("muon", "adamw"), "pretrain.optimizer", self.optimizer, "muon or adamw")
        require(self.learning_rate > 0, "pretrain.learning_rate", self.learning_rate, "above 0")
        require(0 <= self.warmup + self.decay <= 1, "pretrain.decay", self.decay, "at most 1 together with warmup")


@dataclass(frozen=True)
class SftRecipe:
    """Supervised fine-tuning on verified instructions: the loss counts the assistant's tokens only.

    Attributes:
        instructions: that are generated; the training passes over them several times.
        max_items: longest list in an instruction. What comes later sees longer ones than SFT, so that preferences and
            rewards have something left to teach.
    """

    seconds: float = 60.0
    steps: int = 0
    batch_size: int = 64
    learning_rate: float = 0.004
    instructions: int = 24_000
    max_items: int = 3

    def __post_init__(self) -> None:
        require(self.seconds > 0 or self.steps > 0, "sft.seconds", self.seconds, "above 0 unless sft.steps is set")
        require(self.batch_size > 0, "sft.batch_size", self.batch_size, "above 0")
        require(self.instructions > 0, "sft.instructions", self.instructions, "above 0")


@dataclass(frozen=True)
class DpoRecipe:
    """Direct preference optimisation on pairs of the right answer and a wrong one that the model itself gave.

    Attributes:
        instructions: that the model answers before the training, to find its mistakes.
        temperature: of those answers.
        nll_weight: weight of the right answer's own cross-entropy a token, which keeps it likely.
        max_items: longest list in an instruction.
    """

    seconds: float = 40.0
    steps: int = 0
    batch_size: int = 32
    learning_rate: float = 0.001
    beta: float = 0.1
    nll_weight: float = 1.0
    instructions: int = 8_000
    temperature: float = 1.0
    max_items: int = 4

    def __post_init__(self) -> None:
        require(self.seconds > 0 or self.steps > 0, "dpo.seconds", self.seconds, "above 0 unless dpo.steps is set")
        require(self.instructions > 0, "dpo.instructions", self.instructions, "above 0")
        require(self.beta > 0, "dpo.beta", self.beta, "above 0")


@dataclass(frozen=True)
class GrpoRecipe:
    """Group-relative policy optimisation against the verifier.

    Attributes:
        prompts: instructions in a step, over all processes.
        group: answers to each.
        reference_weight: weight of the KL divergence from the model that entered the stage.
        instructions: that are generated.
        max_items: longest list in an instruction.
    """

    seconds: float = 90.0
    steps: int = 0
    prompts: int = 32
    group: int = 8
    learning_rate: float = 2e-4
    temperature: float = 1.0
    max_new_tokens: int = 24
    reference_weight: float = 0.0
    instructions: int = 12_000
    max_items: int = 4

    def __post_init__(self) -> None:
        require(self.instructions > 0, "grpo.instructions", self.instructions, "above 0")
        require(self.seconds > 0 or self.steps > 0, "grpo.seconds", self.seconds, "above 0 unless grpo.steps is set")
        require(self.group >= 2, "grpo.group", self.group, "2 or more: an advantage is relative to the group")
        require(self.temperature > 0, "grpo.temperature", self.temperature, "above 0")


@dataclass(frozen=True)
class EvaluateRecipe:
    """What is measured.

    Attributes:
        instructions: held-out ones.
        held_out_tokens: at most so many of each kind of text.
        benchmarks: run the last model through lm-eval too.
        max_items: longest list in an instruction.
    """

    instructions: int = 1000
    held_out_tokens: int = 100_000
    max_new_tokens: int = 24
    benchmarks: bool = True
    max_items: int = 4

    def __post_init__(self) -> None:
        require(self.instructions >= 10, "evaluate.instructions", self.instructions, "10 or more")


@dataclass(frozen=True)
class Recipe:
    """A whole run. `device` and `dtype` are `auto` or named; a CPU computes in float32."""

    name: str = "quickstart"
    seed: int = 1
    device: str = "auto"
    dtype: str = "auto"
    checkpoint_seconds: float = 30.0
    corpus: CorpusRecipe = CorpusRecipe()
    tokenizer: TokenizerRecipe = TokenizerRecipe()
    shards: ShardsRecipe = field(default_factory=ShardsRecipe)
    model: ModelRecipe = ModelRecipe()
    plan: PlanRecipe = PlanRecipe()
    pretrain: PretrainRecipe = PretrainRecipe()
    sft: SftRecipe = SftRecipe()
    dpo: DpoRecipe = DpoRecipe()
    grpo: GrpoRecipe = GrpoRecipe()
    evaluate: EvaluateRecipe = EvaluateRecipe()
