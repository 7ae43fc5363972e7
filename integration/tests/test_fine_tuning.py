import random

import pytest
import torch
from octad.batches import by_length, pad, place
from octad.objective import Grpo
from octad.stages.dpo import OWN_MISTAKE, own_mistake
from octad_align import generate_tasks, group_advantages, preference_pairs
from octad_arch import qwen3_decoder
from octad_infer import Completion


@pytest.mark.parametrize(("count", "parts"), [(64, 2), (7, 2), (1, 2), (5, 8)])
def test_parts_of_a_step_hold_its_rows_shorter_ones_first(count, parts):
    rows = [[0] * random.Random(n).randrange(1, 40) for n in range(count)]
    split = by_length(rows, parts, len)
    assert len(split) <= parts
    assert [row for part in split for row in part] == sorted(rows, key=len)


def grpo_batch(rows, rewards, group, kept):
    advantages = group_advantages(rewards.view(-1, group), scale="none").advantages.flatten()
    batch = pad([rows[n] for n in kept], 0)
    batch["old_log_probs"] = place([[-1.0] * sum(rows[n][1]) for n in kept], batch["targets"])
    return {**batch, "advantages": advantages[kept], "rewards": rewards}


def test_groups_without_variance_may_be_left_out_of_a_grpo_step():
    model = qwen3_decoder(31, 32, 2, 4, 2, 8, context_length=32).build(generator=torch.Generator().manual_seed(0))
    rng = random.Random(1)
    rows = []
    for _ in range(8):
        answer = rng.randrange(1, 5)
        rows.append(([rng.randrange(31) for _ in range(6 + answer)], [False] * 6 + [True] * answer))
    rewards = torch.tensor([1.0, 1, 1, 1, 0, 1, 0, 0])  # the first group of four is constant
    objective = Grpo(model, 0.0, 8)
    gradients = []
    for kept in ([*range(8)], [*range(4, 8)]):
        batch = grpo_batch(rows, rewards, 4, kept)
        sums = objective(batch)
        assert objective.count(batch) == 8 and sums["reward"] == 5
        gradients.append(torch.autograd.grad(sums["loss"] / objective.count(batch), list(model.parameters())))
    for whole, part in zip(*gradients, strict=True):
        torch.testing.assert_close(whole, part, rtol=1e-4, atol=1e-7)  # float32 sums in another order


class Spelled:
    def text(self, tokens):
        return "".join(map(chr, tokens))


@pytest.mark.parametrize("reason", ["stop", "length"])
@pytest.mark.parametrize("wrong", ["zzz", "", "  "])
def test_a_finished_wrong_answer_is_the_rejected_one(reason, wrong):
    task = generate_tasks(1, 1, operations=("reverse",))[0]
    plausible = preference_pairs([task], 1)[0]

    def judged(text):
        return own_mistake(Spelled(), task, Completion(0, [*map(ord, text)], [0.0] * len(text), reason), plausible)

    assert judged(task.answer) is None
    pair = judged(wrong)
    if reason == "stop" and wrong.strip():
        assert (pair.chosen, pair.rejected, pair.corruption) == (task.answer, wrong, OWN_MISTAKE)
    else:
        assert pair is None
