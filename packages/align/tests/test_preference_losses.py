"""DPO and kin: what must hold whatever the numbers."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from octad_align import (
    DPO_KINDS,
    AlignError,
    bradley_terry_loss,
    cpo_loss,
    dpo_loss,
    kto_loss,
    kto_reference_point,
    last_token_scores,
    orpo_loss,
    simpo_loss,
)

log_prob = st.floats(-200, 0)


@given(chosen=log_prob, rejected=log_prob, beta=st.floats(0.01, 5), smoothing=st.floats(0, 0.49))
def test_dpo_loss_is_log_2_where_policy_is_reference(chosen, rejected, beta, smoothing):
    w, r = torch.tensor([chosen]), torch.tensor([rejected])
    result = dpo_loss(w, r, w, r, beta=beta, label_smoothing=smoothing)
    assert float(result.loss) == pytest.approx(math.log(2), rel=1e-6)
    assert result.margin == 0 and result.accuracy == 0


@given(chosen=log_prob, rejected=log_prob, other=log_prob, beta=st.floats(0.01, 1), smoothing=st.floats(0, 0.4))
def test_conservative_dpo_matches_its_formula(chosen, rejected, other, beta, smoothing):
    values = [torch.tensor([v], dtype=torch.float64) for v in (chosen, rejected, other, -3.0)]
    score = beta * ((chosen - other) - (rejected + 3.0))

    def softplus(x):
        return max(x, 0) + math.log1p(math.exp(-abs(x)))

    expected = (1 - smoothing) * softplus(-score) + smoothing * softplus(score)
    loss = float(dpo_loss(*values, beta=beta, label_smoothing=smoothing).loss)
    assert loss == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("kind", [kind for kind in DPO_KINDS if kind != "apo_down"])  # it lowers both on purpose
def test_dpo_gradient_raises_the_chosen_and_lowers_the_rejected_answer(kind):
    policy = torch.full((2, 3), -5.0, requires_grad=True)
    lengths = torch.tensor([2, 3, 4])
    frozen = torch.full((3,), -5.0)
    result = dpo_loss(
        policy[0], policy[1], frozen, frozen, kind=kind, label_smoothing=0.1 if kind == "exo_pair" else 0.0,
        chosen_lengths=lengths, rejected_lengths=lengths,
    )  # fmt: skip
    result.loss.backward()
    assert (policy.grad[0] < 0).all() and (policy.grad[1] > 0).all()


def test_dpo_cuts_the_gradient_of_the_reference():
    tensors = [torch.randn(4, requires_grad=True) for _ in range(4)]
    dpo_loss(*tensors).loss.backward()
    assert tensors[0].grad is not None and tensors[2].grad is None and tensors[3].grad is None


def test_dpo_loss_widens_bfloat16():
    chosen = torch.tensor([-300.0], dtype=torch.bfloat16)
    result = dpo_loss(chosen, chosen, chosen, chosen)
    assert result.losses.dtype == torch.float32


def test_dpo_loss_of_no_pairs_is_zero():
    empty = torch.zeros(0, requires_grad=True)
    result = dpo_loss(empty, empty, empty, empty)
    result.loss.backward()
    assert float(result.loss.detach()) == 0 and result.accuracy == 0 and result.margin == 0


def test_nll_weight_without_lengths_is_the_mean_over_answers():
    chosen, rejected = torch.tensor([-1.0, -3.0]), torch.tensor([-2.0, -2.0])
    plain = dpo_loss(chosen, rejected, chosen, rejected)
    with_nll = dpo_loss(chosen, rejected, chosen, rejected, nll_weight=0.5)
    assert float(with_nll.loss - plain.loss) == pytest.approx(0.5 * 2.0, rel=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"beta": 0.0}, "beta=0.0"),
        ({"beta": float("nan")}, "beta=nan"),
        ({"label_smoothing": 0.5}, "label_smoothing=0.5"),
        ({"label_smoothing": 0.1, "kind": "ipo"}, "no use with kind='ipo'"),
        ({"kind": "dpo"}, "use one of sigmoid"),
        ({"kind": "sigmoid_norm"}, "chosen_lengths and rejected_lengths"),
        ({"kind": "exo_pair"}, "0.001"),
        ({"nll_weight": -1.0}, "nll_weight=-1.0"),
    ],
)
def test_dpo_loss_names_the_wrong_argument(settings, message):
    with pytest.raises(AlignError, match=message):
        dpo_loss(*[torch.zeros(2)] * 4, **settings)
    with pytest.raises(AlignError, match="reference_rejected has shape"):
        dpo_loss(*[torch.zeros(2)] * 3, torch.zeros(3))


@given(p=st.floats(-8, -0.01), q=st.floats(-8, -0.01), beta=st.floats(0.01, 2))
def test_orpo_loss_matches_its_formula(p, q, beta):
    odds = [math.exp(v) / -math.expm1(v) for v in (p, q)]
    expected = -p + beta * math.log1p(odds[1] / odds[0])
    ours = orpo_loss(torch.tensor([p], dtype=torch.float64), torch.tensor([q], dtype=torch.float64), beta=beta)
    assert float(ours.loss) == pytest.approx(expected, rel=1e-9)


def test_orpo_is_finite_for_a_certain_answer():
    chosen = torch.zeros(1, requires_grad=True)
    loss = orpo_loss(chosen, torch.tensor([-1.0])).loss
    loss.backward()
    assert torch.isfinite(loss) and torch.isfinite(chosen.grad).all()


def test_reference_free_losses_refuse_what_has_no_use():
    pair = torch.zeros(1), torch.zeros(1)
    with pytest.raises(AlignError, match="no use"):
        cpo_loss(*pair, kind="hinge", label_smoothing=0.1)
    with pytest.raises(AlignError, match="gamma=-1"):
        simpo_loss(*pair, gamma=-1)
    with pytest.raises(AlignError, match="beta=0"):
        orpo_loss(*pair, beta=0)


def test_kto_reference_point_is_never_negative():
    assert float(kto_reference_point(torch.tensor([-5.0]), torch.tensor([-1.0]))) == 0
    assert float(kto_reference_point(torch.zeros(0), torch.zeros(0))) == 0


def test_kto_loss_keeps_the_order_of_the_answers():
    policy, reference = torch.tensor([-1.0, -1.0, -3.0]), torch.full((3,), -2.0)
    result = kto_loss(policy, reference, torch.tensor([True, False, True]), beta=1.0)
    sigmoid = [1 / (1 + math.exp(-x)) for x in (1.0, -1.0, -1.0)]
    assert result.losses.tolist() == pytest.approx([1 - s for s in sigmoid], rel=1e-6)


@given(offset=st.floats(-50, 50))
def test_bradley_terry_sees_only_the_difference_of_scores(offset):
    chosen, rejected = torch.tensor([1.0, 2.0]).double(), torch.tensor([0.0, 3.0]).double()
    plain = bradley_terry_loss(chosen, rejected)
    moved = bradley_terry_loss(chosen + offset, rejected + offset)
    torch.testing.assert_close(plain.losses, moved.losses, rtol=1e-9, atol=1e-12)
    assert plain.accuracy == 0.5


def test_last_token_scores_finds_the_end_on_either_side_of_the_padding():
    scores = torch.arange(8.0).view(2, 4)
    mask = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1]])
    assert last_token_scores(scores, mask).tolist() == [1.0, 7.0]
    with pytest.raises(AlignError, match="1 empty row"):
        last_token_scores(scores, torch.tensor([[1, 1, 0, 0], [0, 0, 0, 0]]))
