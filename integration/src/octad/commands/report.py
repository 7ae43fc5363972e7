"""`octad report`: make the report of a run again, finished or not."""

from __future__ import annotations

from pathlib import Path


def report(run: Path) -> None:
    """Write `report.html` from what the run has so far, print the results, and say where the page is.

    Parameters
    ----------
    run
        The folder of a run, finished or not.
    """
    from rich.console import Console

    from octad.report import print_results, write_report
    from octad.run_folder import RunFolder

    folder = RunFolder(run)
    path = write_report(folder)
    print_results(Console(), folder)
    print(path)
