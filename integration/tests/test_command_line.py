import resource
import subprocess
import sys

import pytest
from octad.command_line import COMMANDS


def octad(*arguments, cwd=None):
    command = [sys.executable, "-m", "octad", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


# What needs no torch does not wait the seconds that its import takes.
WITHOUT_TORCH = """
import sys
sys.argv[0] = "octad"
from octad.__main__ import main
try:
    main()
finally:
    assert not {"torch", "accelerate", "numpy"} & set(sys.modules)
"""


def octad_without_torch(*arguments, cwd=None):
    command = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=lambda a: " ".join(a) or "octad")
def test_help_answers_without_torch(arguments):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = octad_without_torch(*arguments, "--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0  # 0.5 s on a quiet machine


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nowhere.toml"], "no such file"),
        (["run", "quickstart", "--set", "sft.second=3"], "did you mean sft.seconds"),
        (["quickstart", "--set", "pretrain.seconds=soon"], "pretrain.seconds"),
        (["run", ".", "--out", "elsewhere"], "leave --out away"),
    ],
)
def test_error_in_what_was_asked_is_told_without_torch(arguments, words, tmp_path):
    done = octad_without_torch(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("octad: ") and words in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "quickstart", "--until", "supper"], "there is no such stage"),
        (["quickstart", "--corpus", "nowhere"], "nowhere"),
    ],
)
def test_error_is_one_line_that_names_the_cause(arguments, words, tmp_path):
    done = octad(*arguments, cwd=tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("octad: ") and words in last
    assert "Traceback" not in done.stderr
