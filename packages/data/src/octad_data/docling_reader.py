"""PDF by docling, whose models see the page: for layouts that a text layer does not tell, and for scans.

docling brings a deep stack of models along, so it stays in an environment of its own and is run as a program.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from octad_data.errors import DataError

INSTALL = "install it apart with `uv tool install docling` or `pipx install docling`"


def extract_pdf_docling(
    data: bytes, *, program: str = "docling", options: Sequence[str] = (), timeout_s: float = 600.0
) -> str:
    """The Markdown that docling makes of a PDF: headings, tables, lists, formulas, scans by its OCR.

    Args:
        data: a whole file.
        program: its name on the search path, or where it lies.
        options: further ones of `docling`, such as `("--no-ocr",)` or `("--ocr-lang", "deu")`.
        timeout_s: after which it is stopped.

    Raises:
        DataError: `missing program`, `timeout`, `broken PDF` (docling failed; its last line is told) or `empty`.
    Cost: seconds a page and gigabytes of memory on a CPU; the first call of a machine downloads its models.
    """
    if not data.startswith(b"%PDF-") and b"%PDF-" not in data[:1024]:
        raise DataError("broken PDF: no %PDF- at its beginning")
    found = shutil.which(program)
    if found is None:
        raise DataError(f"missing program: {program} is not on the search path; {INSTALL}")
    with tempfile.TemporaryDirectory() as folder:
        source, output = Path(folder, "document.pdf"), Path(folder, "output")
        source.write_bytes(data)
        fixed = ["--from", "pdf", "--to", "md", "--image-export-mode", "placeholder", "--abort-on-error"]
        command = [found, *fixed, *options, "--output", str(output), str(source)]
        try:
            run = subprocess.run(command, capture_output=True, timeout=timeout_s, check=False)
        except subprocess.TimeoutExpired:
            raise DataError(f"timeout: docling took more than {timeout_s:g} s; raise timeout_s or split it") from None
        written = output / "document.md"
        if run.returncode or not written.exists():
            said = (run.stderr or run.stdout).decode("utf-8", "replace").strip().splitlines()
            raise DataError(f"broken PDF: docling gave it up ({said[-1].strip() if said else run.returncode})")
        text = written.read_text(encoding="utf-8", errors="replace").replace("<!-- image -->", "").strip()
    if not text:
        raise DataError("empty")
    return text
