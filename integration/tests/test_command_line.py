import resource
import subprocess
import sys

import pytest
from octad.command_line import COMMANDS


def octad(*arguments, cwd=None):
    command = [sys.executable, "-m", "octad", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)


@pytest.mark.parametrize("arguments", [[], *([name] for name in COMMANDS)], ids=lambda a: " ".join(a) or "octad")
def test_help_answers_without_torch(arguments):
    code = (
        "import sys; sys.argv = ['octad', *sys.argv[1:]]\n"
        "from octad.__main__ import main\n"
        "try: main()\n"
        "except SystemExit as e: assert not e.code, e.code\n"
        "assert not {'torch', 'accelerate', 'numpy'} & set(sys.modules)"
    )
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, "-c", code, *arguments, "--help"], capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stderr
    assert "Usage" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2.0  # 0.5 s on a quiet machine


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["run", "nowhere.toml"], "no such file"),
        (["run", "quickstart", "--set", "sft.second=3"], "did you mean sft.seconds"),
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
