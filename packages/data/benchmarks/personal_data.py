"""Personal data against datatrove's PIIFormatter on its two kinds: equal findings, and speed; one core, interleaved.

Usage: python benchmarks/personal_data.py ../../../shared/data [--show]
"""

import argparse
import gzip
import json
import platform
import statistics
import subprocess
import time
from collections import Counter
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

from datatrove.pipeline.formatters.pii import PIIFormatter
from octad_data.document import Document
from octad_data.errors import DataError
from octad_data.html import extract_html
from octad_data.personal_data import DEFAULT_KINDS, PersonalData, find_personal_data
from octad_data.step import to_batch

RESULTS = Path(__file__).with_name("results.jsonl")


def record(what: str, n: int, values: list[float], unit: str, **more: object) -> None:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    line = {"what": what, "n": n, "median": round(statistics.median(values), 4), "unit": unit,
            "spread": [round(min(values), 4), round(max(values), 4)], **more,
            "machine": f"{platform.machine()} {platform.system()}", "python": platform.python_version(),
            "commit": commit}  # fmt: skip
    print(json.dumps(line))
    with RESULTS.open("a") as file:
        file.write(json.dumps(line) + "\n")


def their_findings(formatter: PIIFormatter, text: str) -> Counter[str]:
    found: Counter[str] = Counter(match.group() for match in formatter.emails_replacer.regex.finditer(text))
    left = formatter.emails_replacer.replace(text)
    replacer = formatter.ip_replacer
    found.update(m.group() for m in replacer.regex.finditer(left) if replacer.validator(m.group()))
    return found


def pages(data: Path) -> list[str]:
    rows = (data / "quality/dclm_majority.jsonl").read_text(encoding="utf-8").split("\n")
    texts = [json.loads(row)["text"] for row in rows if row]
    packed = sorted((data / "html/pages").glob("*.html.gz"))
    for path in packed:
        with suppress(DataError):  # pages that no extractor can read
            texts.append(extract_html(gzip.decompress(path.read_bytes())))
    return texts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="the folder with quality/ and html/")
    parser.add_argument("--show", action="store_true", help="print every finding in its surroundings, to be judged")
    options = parser.parse_args()
    texts = pages(options.data)
    size = sum(len(text.encode()) for text in texts)
    if options.show:
        for text in texts:
            for kind, a, b in find_personal_data(text):
                print(kind, repr(text[max(a - 30, 0) : a]), repr(text[a:b]), repr(text[b : b + 12]))
        return
    formatter = PIIFormatter()
    ours, theirs = Counter[str](), Counter[str]()
    for text in texts:
        ours.update(text[a:b] for _, a, b in find_personal_data(text, ("email", "ip")))
        theirs.update(their_findings(formatter, text))
    more = {
        "only_ours": sorted((ours - theirs).elements())[:20],
        "only_theirs": sorted((theirs - ours).elements())[:20],
    }
    both = sum((ours & theirs).values())
    record("personal data, e-mail and IP: findings shared", len(texts), [both], "findings",
           ours=sum(ours.values()), theirs=sum(theirs.values()), **more)  # fmt: skip

    batch = to_batch([Document(text, str(i), "pages") for i, text in enumerate(texts)])
    all_kinds, two = PersonalData(), PersonalData(kinds=("email", "ip"))
    all_kinds(batch), two(batch)
    times: dict[str, list[float]] = {"all": [], "two": [], "theirs": []}
    for _ in range(5):
        for name, work in (("all", lambda: all_kinds(batch)), ("two", lambda: two(batch)),
                           ("theirs", lambda: [formatter.format(text) for text in texts])):  # fmt: skip
            started = time.process_time()
            work()
            times[name].append(size / 1e6 / (time.process_time() - started))
    rival = f"datatrove {version('datatrove')}"
    ratio = round(statistics.median(times["two"]) / statistics.median(times["theirs"]), 1)
    record(f"personal data, {len(DEFAULT_KINDS)} kinds, masked", len(texts), times["all"], "MB per CPU-second")
    record(
        "personal data, e-mail and IP, masked",
        len(texts),
        times["two"],
        "MB per CPU-second",
        rival=rival,
        ratio_of_speed=ratio,
    )
    record("personal data, e-mail and IP, masked", len(texts), times["theirs"], "MB per CPU-second", of=rival)


if __name__ == "__main__":
    main()
