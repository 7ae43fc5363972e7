"""What a reader kept and what it left out, and why."""

from collections import Counter
from dataclasses import dataclass, field

EXAMPLES = 3


@dataclass
class ReadReport:
    """Counts that grow while documents are read.

    Attributes:
        kept: documents yielded.
        formats: documents yielded, by format (`text`, `html`, `pdf`, `jsonl`).
        skipped: files and rows left out, by reason.
        examples: up to three names a reason, with the detail where there is one.
    """

    kept: int = 0
    formats: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    @property
    def num_skipped(self) -> int:
        """Files and rows left out, for whatever reason."""
        return self.skipped.total()

    def keep(self, format_name: str) -> None:
        """Count one document."""
        self.kept += 1
        self.formats[format_name] += 1

    def skip(self, name: str, message: str) -> None:
        """Count what was left out; the reason is the message up to its first colon."""
        reason, _, detail = message.partition(": ")
        self.skipped[reason] += 1
        names = self.examples.setdefault(reason, [])
        if len(names) < EXAMPLES:
            names.append(f"{name} ({detail})" if detail else name)

    def summary(self) -> str:
        """Some lines for a person: what was kept by format, then each reason with its examples."""
        kinds = ", ".join(f"{count:,} {name}" for name, count in self.formats.most_common())
        return "\n".join([f"kept {self.kept:,} documents" + (f" ({kinds})" if kinds else ""), *self.skipped_lines()])

    def skipped_lines(self) -> list[str]:
        """A line for each reason, the most frequent first: `skipped 2: empty: a.txt, b.txt`."""
        lines = []
        for reason, count in self.skipped.most_common():
            more = ", ..." if count > len(self.examples[reason]) else ""
            lines.append(f"skipped {count:,}: {reason}: {', '.join(self.examples[reason])}{more}")
        return lines
