"""The report of a run: one self-contained page, and the table that ends the run in a terminal.

    folder = RunFolder(Path("runs/quickstart"))
    write_report(folder)                    # runs/quickstart/report.html: no network, no scripts, prints well
    print_results(Console(), folder)        # baselines and stages, with standard errors

Both read what the stages wrote (`record`) and work on an unfinished run too: what is missing is named. `rows` makes the
headline table, `figures` and `svg` draw, `sections` gathers what the page tells of corpus, tokenizer, plan and model,
and `page` puts it through a template that escapes whatever a model or a corpus says.
"""

from octad.report.page import make_report, write_report
from octad.report.record import RunRecord
from octad.report.rows import Row, rows
from octad.report.terminal import print_results

__all__ = ["Row", "RunRecord", "make_report", "print_results", "rows", "write_report"]
