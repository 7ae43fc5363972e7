"""How often intervals hold the truth when they extrapolate: simulated studies, with and without calibration.

    python benchmarks/coverage.py --studies 100

A study has 6 budgets of 5 sizes, each run measured at three points that share the run's noise, and a truth that is
not quite a Chinchilla law: its size exponent bends by `bend` a decade of N. Each study is asked for the loss of one new
run at `reach` times its largest budget. Printed, and appended to results.jsonl: the share of studies whose interval
held it, and the median width.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from pathlib import Path

import numpy as np
from octad_scaling import BESIROGLU_2024, Interval, RunRecord, bootstrap, calibrate, fit_chinchilla

RUN_NOISE, POINT_NOISE = 0.001, 0.0005


def true_loss(parameters: float, tokens: float, bend: float) -> float:
    law = BESIROGLU_2024
    alpha = law.alpha * (1 - bend * np.log10(parameters / 1e8))
    scale = law.A * 1e8 ** (-law.alpha)
    return float(law.E + scale * (parameters / 1e8) ** -alpha + law.B * tokens**-law.beta)


def make_study(rng: np.random.Generator, bend: float) -> list[RunRecord]:
    records = []
    for budget in np.geomspace(1e18, 1e20, 6):
        centre, _ = BESIROGLU_2024.compute_optimal(budget)
        for index, parameters in enumerate(centre * np.geomspace(0.35, 2.8, 5)):
            noise = RUN_NOISE * rng.standard_normal()
            for share in (0.5, 0.75, 1.0):
                tokens = share * budget / 6 / parameters
                loss = true_loss(parameters, tokens, bend) * np.exp(noise + POINT_NOISE * rng.standard_normal())
                records.append(RunRecord(float(parameters), float(tokens), float(loss), run=f"{budget:.3g}-{index}"))
    return records


def intervals(records: list[RunRecord], target: tuple[float, float], reach: float, seed: int) -> dict[str, Interval]:
    fit = fit_chinchilla(records)
    found = {
        f"{method}, {'a new run' if new_run else 'the law'}": bootstrap(
            records, fit, resamples=200, method=method, seed=seed
        ).interval(*target, new_run=new_run)
        for method in ("point", "run", "residual")
        for new_run in (False, True)
    }
    calibration = calibrate(records, fit, reach=reach, resamples=100, seed=seed)
    return found | {"run, a new run, calibrated": calibration.widen(found["run, a new run"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=100)
    parser.add_argument("--reach", type=float, default=30.0)
    parser.add_argument("--bends", type=float, nargs="+", default=[0.0, 0.05, 0.1])
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for bend in arguments.bends:
        begin, held, widths = time.perf_counter(), {}, {}
        for study in range(arguments.studies):
            rng = np.random.default_rng([arguments.seed, study])
            records = make_study(rng, bend)
            target = BESIROGLU_2024.compute_optimal(1e20 * arguments.reach)
            loss = true_loss(*target, bend) * np.exp(RUN_NOISE * rng.standard_normal())
            for name, interval in intervals(records, target, arguments.reach, study).items():
                held.setdefault(name, []).append(interval.low <= loss <= interval.high)
                widths.setdefault(name, []).append(interval.high - interval.low)
        result = {
            "what": "coverage of 95 % intervals for one new run",
            "bend": bend,
            "reach": arguments.reach,
            "n": arguments.studies,
            "coverage": {name: round(float(np.mean(values)), 3) for name, values in held.items()},
            "median_width_nats": {name: round(float(np.median(values)), 4) for name, values in widths.items()},
            "seconds": round(time.perf_counter() - begin, 1),
            "machine": f"{platform.machine()}, numpy {np.__version__}",
        }
        line = json.dumps(result)
        print(line)
        with Path(__file__).with_name("results.jsonl").open("a") as file:
            file.write(line + "\n")


if __name__ == "__main__":
    main()
