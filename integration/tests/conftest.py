import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("octad", deadline=None)  # a busy machine is no failure
settings.load_profile("octad")

TINY = [
    "tokenizer.vocab_size=280",
    "corpus.held_out=0.25",
    "model.sizes=[[64, 1]]",
    "model.context=128",
    "pretrain.tokens=5120",
    "pretrain.batch_size=4",
    "sft.steps=4",
    "sft.instructions=200",
    "dpo.steps=3",
    "dpo.instructions=40",
    "grpo.steps=2",
    "grpo.prompts=2",
    "grpo.group=2",
    "grpo.instructions=60",
    "evaluate.instructions=12",
]

# A process that has imported everything and forks once for each line it is given: importing torch takes seconds, and
# a command forked from here is otherwise `python -m octad` in a session of its own, with its own files and signals.
WARM = """
import json, os, runpy, signal, sys
import accelerate, torch
from octad.main_job import stages
stages()
torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # the first optimizer imports a thousand modules
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
print("warm", flush=True)
for line in sys.stdin:
    order = json.loads(line)
    if os.fork():
        continue
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        with open(order["ended"] + ".part", "w") as file:
            file.write(str(os.waitstatus_to_exitcode(status)))
        os.rename(order["ended"] + ".part", order["ended"])
        os._exit(0)
    os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in what a shell runs in the background
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for number, path in ((1, order["stdout"]), (2, order["stderr"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600), number)  # a terminal becomes its own
    os.chdir(order["cwd"])
    os.environ.update(order["environment"])
    exec(order["before"])
    with open(order["started"] + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(order["started"] + ".part", order["started"])
    sys.argv = ["octad", *order["arguments"]]
    runpy.run_module("octad", run_name="__main__", alter_sys=True)
    break
"""


@dataclass
class Command:
    """A command that runs: a process id, and the files that it writes its output to."""

    pid: int
    folder: Path
    code: int | None = None

    @property
    def out(self):
        return (self.folder / "stdout").read_text()

    @property
    def err(self):
        file = self.folder / "stderr"  # not there where a terminal stands for it
        return file.read_text() if file.exists() else ""

    @property
    def last(self):
        return self.err.strip().splitlines()[-1]

    def send(self, number):
        """A signal to the whole group, as a terminal sends it."""
        with suppress(ProcessLookupError):  # it may have ended just now
            os.killpg(self.pid, number)

    def wait(self, timeout_s=600):
        """The exit code; negative is the signal that ended it."""
        _until((self.folder / "ended").exists, timeout_s, f"the end of the command; it said:\n{self.err}")
        self.code = int((self.folder / "ended").read_text())
        return self

    @property
    def has_ended(self):
        return (self.folder / "ended").exists()

    def wait_until(self, condition, timeout_s=600):
        """Return soon after the condition holds; the command must not end before."""
        end = time.monotonic() + timeout_s
        while not condition():
            assert not (self.folder / "ended").exists(), f"ended too early:\n{self.err}"
            assert time.monotonic() < end, f"waited in vain:\n{self.err}"
            time.sleep(0.005)


def _until(condition, timeout_s, what):
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end, f"waited {timeout_s} s for {what}"
        time.sleep(0.01)


class Octad:
    """Runs the command line: `octad("run", "quickstart")` waits for the end, `octad.start(...)` does not."""

    def __init__(self, folder):
        self.folder, self.count = folder, 0
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": ""}
        self.process = subprocess.Popen(
            [sys.executable, "-c", WARM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self, *arguments, **options):
        return self.start(*arguments, **options).wait()

    def tiny(self, *arguments, settings=(), **options):
        """The command with the tiny recipe; `settings` come after its own."""
        sets = [part for setting in [*TINY, *settings] for part in ("--set", setting)]
        return self.start(*arguments, *sets, **options)

    def start(self, *arguments, cwd=None, environment=None, before="", terminal=None):
        """Start a command; `before` is Python that the new process runs first, `terminal` the path of a terminal."""
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        order = {
            "arguments": [str(argument) for argument in arguments],
            "cwd": str(cwd or folder),
            "environment": environment or {},
            "before": before,
            "stdout": str(terminal or folder / "stdout"),
            "stderr": str(terminal or folder / "stderr"),
            "started": str(folder / "started"),
            "ended": str(folder / "ended"),
        }
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        _until(
            lambda: (folder / "started").exists() or self.process.poll() is not None, 600, f"the start of {arguments}"
        )
        return Command(int((folder / "started").read_text()), folder)

    def close(self):
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


@pytest.fixture(scope="session")
def octad(tmp_path_factory):
    if not hasattr(os, "fork"):
        pytest.skip("no fork here")
    warm = Octad(tmp_path_factory.mktemp("octad"))
    yield warm
    warm.close()


@pytest.fixture(scope="session")
def stories(tmp_path_factory):
    """A corpus of forty little files."""
    folder = tmp_path_factory.mktemp("stories") / "corpus"
    folder.mkdir()
    for number in range(40):
        animal, place = ["cat", "dog", "bird", "fish"][number % 4], ["mat", "log", "tree", "pond"][number // 10]
        text = "\n\n".join(f"Story {number}.{part}: a {animal} sat on the {place} {part} times." for part in range(60))
        (folder / f"{number}.txt").write_text(text)
    return folder
