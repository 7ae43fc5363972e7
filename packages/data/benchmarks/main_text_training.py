"""Train the models of `octad_data.html_model` on pages with marked segments; write their table.

    cd packages/data/benchmarks
    uv run --with lightgbm --with scikit-learn python main_text_training.py FOLDER OUT [--folds 0,1,2]

FOLDER holds `segments.json` and `pages/*.html.gz`. A line is main text where a segment says so; elsewhere where two
runs of trafilatura and one of resiliparse agree that it is, with less weight the less they agree. Pages are put into
ten folds by their site; `--folds` names those to train on (all), the others are never seen.
"""

import argparse
import gzip
import hashlib
import json
import pickle
import re
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from octad_data.html_blocks import Blocks, find_blocks
from octad_data.html_encoding import to_utf8
from octad_data.html_features import FEATURES, features
from octad_data.html_metadata import read_metadata
from octad_data.html_model import INPUTS, context, first_verdicts
from octad_data.html_scan import Scan, scan
from octad_data.html_text import LineTexts
from octad_data.html_words import topics

MARKED = 8.0  # weight of a line that a segment decides
TREES = {
    "n_estimators": 300, "num_leaves": 12, "learning_rate": 0.03, "min_child_samples": 30, "colsample_bytree": 0.3,
    "subsample": 0.7, "subsample_freq": 1, "reg_lambda": 5.0, "verbose": -1, "n_jobs": 1, "random_state": 0,
}  # fmt: skip


@dataclass
class Page:
    """A page with its lines, what is known of them, and what the models say."""

    url: str
    fold: int
    wanted: list[str]
    unwanted: list[str]
    data: bytes
    tree: Scan
    blocks: Blocks
    numbers: Any
    lines: list[str]
    votes: Any = None
    label: Any = None
    weight: Any = None
    inputs: Any = field(default=None)


def fold_of(url: str) -> int:
    """One of ten, the same for all pages of a site."""
    host = re.sub(r"^www\.", "", re.sub(r"^https?:/*", "", url).split("/")[0].lower())
    parts = host.split(".")
    site = ".".join(parts[-2:]) if len(parts) > 2 and len(parts[-2]) > 3 else host
    return int(hashlib.sha1(site.encode()).hexdigest(), 16) % 10


def read_pages(folder: Path) -> list[Page]:
    pages = []
    for url, marked in sorted(json.loads((folder / "segments.json").read_text(encoding="utf-8")).items()):
        raw = gzip.decompress((folder / "pages" / f"{marked['file']}.gz").read_bytes())
        data = to_utf8(raw, None, len(raw) * 4)
        buffer = np.frombuffer(data, dtype=np.uint8)
        tree = scan(buffer)
        metadata, _ = read_metadata(data, tree)
        blocks = find_blocks(buffer, tree, metadata.title, metadata.description)
        numbers = features(tree, *topics(buffer, tree), blocks)
        lines = list(map(LineTexts(data, tree, blocks), range(len(blocks.node))))
        pages.append(Page(url, fold_of(url), marked["with"], marked["without"], data, tree, blocks, numbers, lines))
    return pages


def vote(pages: list[Page], cache: Path | None) -> None:
    """Which lines each of three extractors keeps."""
    import trafilatura
    from resiliparse.extract.html2text import extract_plain_text

    said = pickle.loads(cache.read_bytes()) if cache and cache.exists() else {}
    for page in pages:
        if page.url not in said:
            text = page.data.decode("utf-8", "replace")
            said[page.url] = [
                re.sub(r"\W+", "", (found or "").lower())
                for found in (
                    trafilatura.extract(text, include_comments=False),
                    trafilatura.extract(text, include_comments=False, favor_precision=True),
                    extract_plain_text(text, main_content=True, alt_texts=False),
                )
            ]
        letters = [re.sub(r"\W+", "", line.lower()) for line in page.lines]
        page.votes = np.array([[bool(line) and line in text for text in said[page.url]] for line in letters]).reshape(
            -1, 3
        )
    if cache:
        cache.write_bytes(pickle.dumps(said))


def label(page: Page) -> None:
    """What each line is, and how much that is worth."""
    lines, votes = page.lines, page.votes
    size = np.array([len(line) for line in lines], dtype=float)
    share = votes @ np.array([0.375, 0.375, 0.25])
    page.label = (share > 0.5).astype(float)
    sure = votes.all(1) | ~votes.any(1)
    twice = votes[:, 0] & votes[:, 1]
    never = ~votes[:, 0] & ~votes[:, 1]
    page.weight = np.where(sure, 1.0, np.where(twice, 0.5, np.where(never, 0.6, 0.25)))
    page.weight *= np.clip(np.sqrt(size / 60), 0.35, 3.0)
    for segment in page.wanted:
        hits = [n for n, line in enumerate(lines) if segment in line]
        if hits:
            best = next((n for n in hits if page.label[n] == 1), hits[0])
            page.label[best], page.weight[best] = 1, MARKED if len(hits) == 1 else MARKED / 2
    for segment in page.unwanted:
        for n, line in enumerate(lines):
            if segment in line and not any(wanted in line for wanted in page.wanted):
                if len(line) > 6 * len(segment) + 100 and page.label[n] == 1:
                    continue  # a word of the menu that the text uses too
                page.label[n], page.weight[n] = 0, MARKED


def fit_linear(pages: list[Page]) -> tuple[Any, float]:
    from sklearn.linear_model import LogisticRegression

    x = np.concatenate([page.numbers for page in pages]).astype(float)
    y, w = np.concatenate([page.label for page in pages]), np.concatenate([page.weight for page in pages])
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    found = LogisticRegression(C=0.05, max_iter=300).fit((x - mean) / deviation, y, w)
    weights = found.coef_[0] / deviation
    weights[x.std(0) < 1e-9] = 0
    return weights, float(found.intercept_[0] - mean @ weights)


def fit_trees(pages: list[Page]) -> Any:
    from lightgbm import LGBMClassifier

    x = np.concatenate([page.inputs for page in pages])
    y, w = np.concatenate([page.label for page in pages]), np.concatenate([page.weight for page in pages])
    return LGBMClassifier(**TREES).fit(x, y, sample_weight=w)


def see_neighbours(page: Page, linear: tuple[Any, float]) -> None:
    page.inputs = context(page.tree, page.blocks, page.numbers, first_verdicts(page.numbers, *linear))


def doubt(pages: list[Page], chances: list[Any]) -> None:
    """Turn over votes (never segments) that the models, trained without the page, contradict firmly."""
    for page, chance in zip(pages, chances, strict=True):
        agreed = np.where(page.label == 1, chance, 1 - chance)
        wrong = (page.weight < MARKED / 2) & (agreed < 0.2)
        page.label = np.where(wrong, 1 - page.label, page.label)
        page.weight = np.where(wrong, 0.6 * page.weight, page.weight)


def cross_validate(pages: list[Page]) -> list[Any]:
    """Likelihoods for each page from trees that were trained on other sites; inputs must be there."""
    chances: list[Any] = [None] * len(pages)
    for fold in sorted({page.fold for page in pages}):
        trees = fit_trees([page for page in pages if page.fold != fold])
        for n, page in enumerate(pages):
            if page.fold == fold:
                chances[n] = trees.predict_proba(page.inputs)[:, 1] if len(page.inputs) else np.zeros(0)
    return chances


def outer_linear(pages: list[Page]) -> None:
    """Inputs of the trees, with the linear model's verdicts from other sites: as on pages never seen."""
    for fold in sorted({page.fold for page in pages}):
        linear = fit_linear([page for page in pages if page.fold != fold])
        for page in pages:
            if page.fold == fold:
                see_neighbours(page, linear)


def f1(pages: list[Page], chances: list[Any], threshold: float) -> float:
    found = wrong = missed = 0
    for page, chance in zip(pages, chances, strict=True):
        text = "\n".join(line for line, c in zip(page.lines, chance, strict=True) if c >= threshold)
        hits = sum(segment in text for segment in page.wanted)
        found, missed = found + hits, missed + len(page.wanted) - hits
        wrong += sum(segment in text for segment in page.unwanted)
    return 2 * found / max(2 * found + wrong + missed, 1)


def table(linear: tuple[Any, float], trees: Any) -> str:
    rows = [f"linear\tbias\t{linear[1]:.6g}"]
    rows += [f"linear\t{name}\t{weight:.6g}" for name, weight in zip(FEATURES, linear[0], strict=True)]
    for tree in trees.booster_.dump_model()["tree_info"]:
        rows.append("tree")
        nodes: list[str] = []

        def add(node: dict[str, Any], nodes: list[str] = nodes) -> int:
            place = len(nodes)
            nodes.append("")
            if "leaf_value" in node:
                nodes[place] = f"leaf\t{node['leaf_value']:.5g}"
            else:
                add(node["left_child"])
                higher = add(node["right_child"]) - place
                nodes[place] = f"node\t{INPUTS[node['split_feature']]}\t{node['threshold']:.9g}\t{higher}"
            return place

        add(tree["tree_structure"])
        rows += nodes
    return "\n".join(rows) + "\n"


def main() -> None:
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--folds", default="0,1,2,3,4,5,6,7,8,9")
    parser.add_argument("--cache", type=Path, help="of what the other extractors say")
    given = parser.parse_args()
    folds = {int(fold) for fold in given.folds.split(",")}
    everything = read_pages(given.folder)
    vote(everything, given.cache)
    pages = [page for page in everything if page.fold in folds]
    for page in pages:
        label(page)
    outer_linear(pages)
    doubt(pages, cross_validate(pages))
    chances = cross_validate(pages)
    for threshold in (0.3, 0.4, 0.5, 0.6, 0.65):
        print(
            f"threshold {threshold}: F1 {f1(pages, chances, threshold):.4f} by cross-validation on {len(pages)} pages"
        )
    linear = fit_linear(pages)
    given.out.write_text(table(linear, fit_trees(pages)), encoding="utf-8")


if __name__ == "__main__":
    main()
