from __future__ import annotations

import subprocess
import sys

import octad_tokenizer


def test_everything_named_is_there_and_documented() -> None:
    for name in octad_tokenizer.__all__:
        assert getattr(octad_tokenizer, name) is not None
    assert issubclass(octad_tokenizer.TokenizerError, ValueError)


def test_import_loads_nothing_heavy() -> None:
    code = (
        "import sys, octad_tokenizer; "
        "print([m for m in ('regex', 'jinja2', 'torch', 'numpy', 'tokenizers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
