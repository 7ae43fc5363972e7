from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import octad_tokenizer
import pytest


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


def test_names_are_loaded_when_they_are_used() -> None:
    modules = {path.stem for path in Path(octad_tokenizer.__file__).parent.glob("*.py")}
    assert not modules.intersection(octad_tokenizer.__all__)  # the module would hide the name
    assert octad_tokenizer._HOMES.keys() == set(octad_tokenizer.__all__)
    assert set(octad_tokenizer.__all__) <= set(dir(octad_tokenizer))
    code = "import sys, octad_tokenizer; print(len([m for m in sys.modules if m.startswith('octad_tokenizer.')]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) == 0
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        octad_tokenizer.nothing  # noqa: B018 - the question is the error


def test_everything_can_be_imported_at_once() -> None:
    code = "from octad_tokenizer import *; from octad_tokenizer import comparison, compare; compare({}, 'a')"
    subprocess.run([sys.executable, "-c", code], check=True)
