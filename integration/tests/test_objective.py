from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from octad.objective import Dpo, DpoSettings, NextToken
from octad_align import dpo_loss, sequence_log_probs
from octad_arch import llama_decoder


@pytest.mark.parametrize("head", [{}, {"logit_softcap": 3.0}, {"head_bias": True}])
def test_losses_of_capped_and_offset_heads_are_those_of_the_logits(head):
    torch.manual_seed(0)
    model = replace(llama_decoder(vocab_size=50, d_model=16, num_layers=1, num_heads=2), **head).build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter))
    tokens, targets = torch.randint(50, (4, 9)), torch.randint(50, (4, 9))
    targets[:, :4] = -100
    logits = model(tokens)
    loss = NextToken(model)({"tokens": tokens, "targets": targets})["loss"]
    wanted = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-100, reduction="sum")
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-5)

    mask = targets >= 0
    log_probs = F.log_softmax(logits, -1).gather(-1, targets.clamp(min=0)[..., None])[..., 0] * mask
    reference = torch.randn(4)
    chosen, rejected = sequence_log_probs(log_probs, mask).chunk(2)
    expected = dpo_loss(chosen, rejected, *reference.chunk(2), beta=0.3).losses.sum()
    batch = {"tokens": tokens, "targets": targets, "reference": reference}
    ours = Dpo(model, DpoSettings(beta=0.3, nll_weight=0.0))(batch)["loss"]
    torch.testing.assert_close(ours, expected, rtol=1e-5, atol=1e-5)
