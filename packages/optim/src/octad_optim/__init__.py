"""Optimisers, schedules, parameter groups and clipping for training language models.

Which parameter goes where is `parameter_groups`: matrices decay, vectors and embeddings do not. `AdamW` is the
usual choice; `Muon` for the hidden matrices and AdamW for the rest, as one object, is `muon_and_adamw(model)`.
Every optimiser is a torch.optim.Optimizer whose resumed steps are bit-equal. A training step is then

    apply(optimizer, Warmup(100, Cosine(900)), step)    # the learning rate: a schedule is a value, step -> factor
    loss.backward()
    norm = clip_grad_norm(model.parameters(), 1.0)      # not finite? `nonfinite_gradients(model)` says where
    optimizer.step(); optimizer.zero_grad()
    average.update(model)                               # `ExponentialMovingAverage`, to evaluate with

`gradient_noise` measures how large a batch is worth its examples, and `BatchRamp` grows it.
"""

from octad_optim.adam import AdamW, adamw
from octad_optim.batch_size import BatchRamp, GradientNoise, NoiseScale, examples_and_steps, gradient_noise
from octad_optim.clipping import clip_grad_norm, global_norm, nonfinite_gradients
from octad_optim.combined import Combined
from octad_optim.ema import ExponentialMovingAverage
from octad_optim.errors import OptimError
from octad_optim.groups import Kind, describe_groups, muon_and_adamw, parameter_groups, parameter_kinds
from octad_optim.lion import Lion
from octad_optim.muon import Muon, orthogonalisation_dtype, update_scale
from octad_optim.newton_schulz import POLAR_EXPRESS, QUINTIC, newton_schulz, orthogonalise
from octad_optim.schedules import WSD, Constant, Cosine, InverseSqrt, Linear, Schedule, Warmup, apply
from octad_optim.sgd import SGD

__all__ = [
    "POLAR_EXPRESS",
    "QUINTIC",
    "SGD",
    "WSD",
    "AdamW",
    "BatchRamp",
    "Combined",
    "Constant",
    "Cosine",
    "ExponentialMovingAverage",
    "GradientNoise",
    "InverseSqrt",
    "Kind",
    "Linear",
    "Lion",
    "Muon",
    "NoiseScale",
    "OptimError",
    "Schedule",
    "Warmup",
    "adamw",
    "apply",
    "clip_grad_norm",
    "describe_groups",
    "examples_and_steps",
    "global_norm",
    "gradient_noise",
    "muon_and_adamw",
    "newton_schulz",
    "nonfinite_gradients",
    "orthogonalisation_dtype",
    "orthogonalise",
    "parameter_groups",
    "parameter_kinds",
    "update_scale",
]
