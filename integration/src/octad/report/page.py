"""`report.html`: one file that holds all it shows."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from octad_systems import machine, write_atomically

from octad.pipeline import Context
from octad.provenance import commit
from octad.recipe_files import recipe_to_toml
from octad.report import figures, formats, sections
from octad.report.record import LABELS, STAGES, TRAINED, RunRecord
from octad.report.rows import rows
from octad.reporter import duration
from octad.run_folder import RunFolder

FILE = "report.html"


def make_report(context: Context) -> Mapping[str, Any]:
    """The stage `report`: write the page into the run's folder; where it is, is the summary."""
    return {"headline": str(write_report(context.folder)), "report": FILE}


def write_report(folder: RunFolder) -> Path:
    """Write `report.html` from what there is, and say where it is.

    Raises:
        OctadError: the run cannot be read.
    """
    path = folder.path / FILE
    write_atomically(path, page(RunRecord.read(folder)).encode("utf-8", "replace"))  # a lone surrogate is no UTF-8
    return path


def page(record: RunRecord) -> str:
    """The report as HTML; all that comes from a corpus or a model is escaped."""
    environment = Environment(
        loader=PackageLoader("octad.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "amount": formats.amount,
        "bits": formats.bits,
        "duration": duration,
        "percent": formats.percent,
        "points": formats.points,
        "size": formats.size,
        "visible": formats.visible,
    }
    return environment.get_template("report.html").render(_content(record))


def _content(record: RunRecord) -> dict[str, Any]:
    """Everything that the template names."""
    table, plan = rows(record), record.summary("plan")
    chosen = "x".join(str(number) for number in plan.get("size", ()))
    return {
        "record": record,
        "labels": LABELS,
        "stages": STAGES,
        "trained": [name for name in TRAINED if name in record.results.get("models", {})],
        "machine": record.results.get("machine") or vars(machine()),
        "commit": record.results.get("commit") or commit(),
        "lead": _lead(record),
        "operations": _operations(record),
        "rows": table,
        "score_figures": [
            figures.exact_match_figure(table),
            figures.bits_per_byte_figure(table, record.kinds),
        ],
        "training_figures": figures.training_figures(record),
        "plan": plan,
        "chosen": chosen,
        "candidates_figure": figures.candidates_figure(plan.get("candidates", ()), chosen),
        "lengths_figure": figures.lengths_figure(sections.document_lengths(record)),
        "tokenizer": sections.tokenizer_facts(record),
        "model": sections.model_facts(record),
        "recipe": recipe_to_toml(record.recipe),
        "command": shlex.quote(str(record.path)),
    }


def _lead(record: RunRecord) -> str:
    """The run in one sentence."""
    corpus, plan = record.summary("corpus"), record.summary("plan")
    results = record.results.get("models", {})
    parts = []
    if corpus:
        parts.append(f"from {formats.size(sum(corpus['train_bytes'].values()))} of text")
    chosen = next((c for c in plan.get("candidates", ()) if c["name"] == "x".join(map(str, plan["size"]))), None)
    if chosen is not None:
        parts.append(f"a model of {formats.amount(chosen['parameters'])} parameters")
    if results:
        last = [name for name in TRAINED if name in results][-1]
        score = results[last]["exact_match"]
        share = f"{100 * score['value']:.1f} ± {100 * score['error']:.1f} %".replace(" ", "\N{NO-BREAK SPACE}")
        parts.append(f"which after {LABELS[last]} answers {share} of held-out instructions exactly")
    sentence = ", ".join(parts)
    return sentence[:1].upper() + sentence[1:] + "." if sentence else ""


def _operations(record: RunRecord) -> list[tuple[str, int]]:
    """The operations and how often each was asked; what the last model does best comes first."""
    models = record.results.get("models", {})
    last = [models[name]["by_operation"] for name in TRAINED if name in models][-1:]
    asked = record.results.get("operations", {})
    return sorted(asked.items(), key=lambda item: -last[0].get(item[0], 0.0) if last else 0.0)
