"""Scaling laws: from the losses of small runs to the size of the one that matters.

    records = read_records("runs.jsonl")              one JSON line a measured point: parameters, tokens, loss, run
    fit = fit_chinchilla(records)                     L(N, D) = E + A N^-alpha + B D^-beta
    n, d = fit.law.compute_optimal(1e21)              the best size and data for a budget, in closed form
    sample = bootstrap(records, fit)                  resampled by run
    interval = sample.interval(n, d)                  what one such run may show ...
    calibrate(records, fit, reach=10).widen(interval) ... once held-out budgets have said how far that is to be trusted
    plan_for_time(fit.law, candidates, 3600)          the candidate that gets furthest in an hour at its own speed

Beside it: Kaplan's law, the isoFLOP parabolas, data that repeats (`Repetition`), and the loss along a run under any
learning-rate schedule (`fit_loss_curves`). All of it is float64 on numpy and scipy, and raises `ScalingError`.
"""

from octad_scaling.chinchilla import ChinchillaLaw, Fit, fit_chinchilla
from octad_scaling.errors import ScalingError
from octad_scaling.intervals import Calibration, Interval, LawSample, bootstrap, calibrate
from octad_scaling.isoflop import IsoFlopFit, Parabola, fit_isoflops
from octad_scaling.kaplan import KAPLAN_2020, KaplanLaw, fit_kaplan
from octad_scaling.loss_curve import (
    LossCurve,
    TissueLaw,
    annealing_area,
    fit_loss_curves,
    forward_area,
    learning_rates_from_log,
)
from octad_scaling.plan import MAX_EPOCHS, Candidate, Outcome, Plan, SizePlan, plan_for_flops, plan_for_time
from octad_scaling.powerlaw import PowerLaw, fit_power_law
from octad_scaling.published import BESIROGLU_2024, BESIROGLU_2024_HUBER, HOFFMANN_2022, MUENNIGHOFF_2023
from octad_scaling.records import RunRecord, append_records, read_records, write_records
from octad_scaling.repetition import DataConstrainedLaw, Repetition

__all__ = [
    "BESIROGLU_2024",
    "BESIROGLU_2024_HUBER",
    "HOFFMANN_2022",
    "KAPLAN_2020",
    "MAX_EPOCHS",
    "MUENNIGHOFF_2023",
    "Calibration",
    "Candidate",
    "ChinchillaLaw",
    "DataConstrainedLaw",
    "Fit",
    "Interval",
    "IsoFlopFit",
    "KaplanLaw",
    "LawSample",
    "LossCurve",
    "Outcome",
    "Parabola",
    "Plan",
    "PowerLaw",
    "Repetition",
    "RunRecord",
    "ScalingError",
    "SizePlan",
    "TissueLaw",
    "annealing_area",
    "append_records",
    "bootstrap",
    "calibrate",
    "fit_chinchilla",
    "fit_isoflops",
    "fit_kaplan",
    "fit_loss_curves",
    "fit_power_law",
    "forward_area",
    "learning_rates_from_log",
    "plan_for_flops",
    "plan_for_time",
    "read_records",
    "write_records",
]
