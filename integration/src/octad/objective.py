"""What each training stage minimises, as modules that distributed training can wrap: a batch in, summed losses out.

Every objective says beforehand how much a batch counts, so that the mean over micro-batches and processes is exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from octad_align import dpo_loss, grpo_loss, sequence_log_probs
from octad_arch import DecoderModel
from torch import Tensor, nn

IGNORE = -100
Batch = dict[str, Tensor]


class Objective(nn.Module, ABC):
    """A model together with a loss."""

    def __init__(self, model: DecoderModel) -> None:
        super().__init__()
        self.model = model

    @abstractmethod
    def count(self, batch: Batch) -> float:
        """What the summed loss of this batch is divided by, together with those of all other micro-batches."""

    @abstractmethod
    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Sums over the batch: `loss` to be minimised, and whatever else is worth seeing."""

    def log_probs(self, batch: Batch) -> Tensor:
        """Log p(target | before) at every position, 0 where the target is ignored; (batch, seq)."""
        return self.model.token_log_probs(self.model.hidden(batch["tokens"]), batch["targets"])


class NextToken(Objective):
    """Cross-entropy of every target that is not ignored: pretraining, and SFT with the prompt ignored."""

    def count(self, batch: Batch) -> float:
        """The number of targets."""
        return float((batch["targets"] != IGNORE).sum())

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """The summed cross-entropy in nats."""
        hidden = self.model.hidden(batch["tokens"])
        return {"loss": self.model.cross_entropy(hidden, batch["targets"], reduction="sum")}


@dataclass(frozen=True)
class DpoSettings:
    """beta scales the implicit reward; nll_weight adds the chosen answers' cross-entropy a token."""

    beta: float
    nll_weight: float


class Dpo(Objective):
    """Direct preference optimisation; rows are chosen answers first, then the rejected ones in the same order."""

    def __init__(self, model: DecoderModel, settings: DpoSettings) -> None:
        super().__init__(model)
        self.settings = settings

    def count(self, batch: Batch) -> float:
        """The number of pairs."""
        return len(batch["tokens"]) / 2

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Summed loss, margin and accuracy over the pairs."""
        mask = batch["targets"] != IGNORE
        log_probs = self.log_probs(batch)
        chosen, rejected = sequence_log_probs(log_probs, mask).chunk(2)
        reference_chosen, reference_rejected = batch["reference"].chunk(2)
        lengths = mask.sum(1).chunk(2)[0]
        result = dpo_loss(chosen, rejected, reference_chosen, reference_rejected, beta=self.settings.beta)
        nll = -chosen / lengths  # keeps the chosen answer likely while the margin grows
        return {
            "loss": (result.losses + self.settings.nll_weight * nll).sum(),
            "margin": result.margins.sum(),
            "accuracy": result.is_correct.float().sum(),
            "chosen_log_prob": chosen.detach().sum(),
        }


class Grpo(Objective):
    """Group-relative policy optimisation on answers that were sampled and verified."""

    def __init__(self, model: DecoderModel, reference_weight: float, max_new_tokens: int) -> None:
        super().__init__(model)
        self.reference_weight = reference_weight
        self.max_new_tokens = max_new_tokens

    def count(self, batch: Batch) -> float:
        """The number of answers, those counted in that were left out of the batch because they teach nothing."""
        return float(len(batch["rewards"]))

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        """Summed loss over the answers (Dr. GRPO: every token weighs the same), with reward and length."""
        mask = batch["targets"] != IGNORE
        result = grpo_loss(
            self.log_probs(batch),
            batch["old_log_probs"],
            batch.get("reference_log_probs"),
            batch["advantages"],
            mask,
            beta=self.reference_weight,
            aggregation="dr_grpo",
            max_completion_length=self.max_new_tokens,
        )
        rows = len(mask)
        return {
            "loss": result.loss * rows,
            "reward": batch["rewards"].sum(),
            "length": mask.sum().float(),
            "clipped": result.clip_fraction.detach() * rows,
            "kl": result.kl.detach() * rows,
        }
