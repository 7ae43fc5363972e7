"""`octad doctor`: what this machine can do."""

from __future__ import annotations


def doctor() -> None:
    """Show what this machine is, how fast it computes, and which recipe fits it."""
    from octad.machine_report import examine

    print(examine())
