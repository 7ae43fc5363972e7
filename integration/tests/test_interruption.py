import fcntl
import json
import os
import pty
import random
import re
import select
import shlex
import shutil
import signal
import struct
import termios
import time

import pytest

TRAINED = ("pretrain", "sft", "dpo", "grpo")
# Steps of a tenth of a second, so that a signal comes in the middle of training.
SLOW = "import time, octad.training as t; u = t._Run.update; t._Run.update = lambda *a: (time.sleep(0.1), u(*a))[1]"
ENDLESS = "import time, octad.training as t; t._Run.update = lambda *a: time.sleep(600)"
SLOW_DISK = "import os, time; f = os.fsync; os.fsync = lambda n: (time.sleep(0.03), f(n))[1]"


def slow(*values):
    """One more case of a test, for the nightly run: each is a command of a second or two."""
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.fixture(scope="module")
def undisturbed(octad, stories, tmp_path_factory):
    """A run that nobody disturbs, to its last training stage; a checkpoint after every step."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    done = run(octad, folder, stories, "grpo").wait()
    assert done.code == 0, done.err
    return folder, done


def run(octad, folder, stories, until, **options):
    settings = [f"corpus.source={json.dumps(str(stories))}", "checkpoint_seconds=0.0"]
    return octad.tiny("run", "quickstart", "--out", folder, "--until", until, settings=settings, **options)


def copy_up_to(source, target, stage):
    """A copy of the run in which `stage` and what follows has not begun."""
    shutil.copytree(source, target)
    later = TRAINED[TRAINED.index(stage) :]
    for name in later:
        shutil.rmtree(target / name)
    lines = (target / "metrics.jsonl").read_text().splitlines(keepends=True)
    (target / "metrics.jsonl").write_text("".join(line for line in lines if json.loads(line)["stage"] not in later))
    return target


def reopen(folder, stage):
    """As if the run had been stopped in the stage just before it was done."""
    record = json.loads((folder / stage / "stage.json").read_text())
    (folder / stage / "stage.json").write_text(json.dumps({**record, "is_done": False}))


def weights(folder, stage):
    return (folder / stage / "model" / "model.safetensors").read_bytes()


def losses(folder):
    points = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(point["stage"], point["step"], point["loss"]) for point in points]


def test_run_killed_again_and_again_ends_like_one_that_was_not(octad, stories, undisturbed, tmp_path):
    reference, _ = undisturbed
    folder = copy_up_to(reference, tmp_path / "run", "pretrain")

    def begun(stage, pattern):
        return lambda: next((folder / stage).glob(pattern), None) is not None

    moments = [
        (begun("pretrain", "step-*.tmp-*"), SLOW_DISK),  # while a checkpoint is written
        (begun("pretrain", "step-*[0-9]"), SLOW),
        (begun("sft", "step-000002"), SLOW),
        (begun("grpo", "step-000001"), SLOW),
    ]
    for moment, pace in moments:
        command = run(octad, folder, stories, "grpo", before=pace)
        command.wait_until(moment)
        time.sleep(random.random() * 0.05)
        command.send(signal.SIGKILL)
        assert command.wait().code == -signal.SIGKILL
    done = run(octad, folder, stories, "grpo").wait()
    assert done.code == 0 and "grpo: continuing after step" in done.err, done.err
    for stage in TRAINED:
        assert weights(folder, stage) == weights(reference, stage), stage
    assert losses(folder) == losses(reference)  # each step once
    assert not list(folder.glob("*/*.tmp-*"))


def damaged(kind, checkpoint):
    tensors = checkpoint / "tensors.safetensors"
    if kind == "missing file":
        tensors.unlink()
    elif kind == "wrong checksum":
        tensors.write_bytes(tensors.read_bytes()[:-1] + b"\x7f")
    elif kind == "torn manifest":
        (checkpoint / "manifest.json").write_text('{"format')
    else:
        shutil.rmtree(checkpoint)
        checkpoint.mkdir()


@pytest.mark.parametrize("kind", ["missing file", "wrong checksum", slow("torn manifest"), "empty folder"])
def test_bad_checkpoint_is_named_and_the_one_before_it_used(kind, octad, stories, undisturbed, tmp_path):
    reference, _ = undisturbed
    folder = shutil.copytree(reference, tmp_path / "run")
    damaged(kind, folder / "pretrain" / "step-000010")
    reopen(folder, "pretrain")
    done = run(octad, folder, stories, "pretrain").wait()
    assert done.code == 0, done.err
    assert "pretrain: passed over step-000010" in done.err and "continuing after step 9" in done.err
    assert weights(folder, "pretrain") == weights(reference, "pretrain")
    assert sorted(losses(folder)) == sorted(losses(reference))


def test_run_killed_before_its_first_checkpoint_measures_each_step_once(octad, stories, undisturbed, tmp_path):
    reference, _ = undisturbed
    folder = copy_up_to(reference, tmp_path / "run", "pretrain")
    command = run(
        octad, folder, stories, "pretrain", before=SLOW + "\nt.save_checkpoint = lambda *a, **k: time.sleep(600)"
    )
    command.wait_until(lambda: "pretrain" in (folder / "metrics.jsonl").read_text())
    command.send(signal.SIGKILL)
    command.wait()
    assert run(octad, folder, stories, "pretrain").wait().code == 0
    assert losses(folder) == [point for point in losses(reference) if point[0] == "pretrain"]


def test_stage_killed_between_its_last_checkpoint_and_its_record_is_finished(octad, stories, undisturbed, tmp_path):
    reference, said = undisturbed
    folder = shutil.copytree(reference, tmp_path / "run")
    shutil.rmtree(folder / "pretrain" / "model")
    reopen(folder, "pretrain")
    done = run(octad, folder, stories, "pretrain").wait()
    assert done.code == 0, done.err
    assert weights(folder, "pretrain") == weights(reference, "pretrain")
    loss = re.search(r"loss [0-9.]+ nats", said.err)[0]
    assert loss in done.err  # the smoothed loss comes from the checkpoint: no step was left to measure one


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), slow(signal.SIGHUP, 129)])
def test_signal_saves_after_the_step_and_says_how_to_go_on(number, code, octad, stories, undisturbed, tmp_path):
    reference, _ = undisturbed
    folder = copy_up_to(reference, tmp_path / "my run", "pretrain")
    command = run(octad, folder, stories, "pretrain", before=SLOW)
    command.wait_until(lambda: next((folder / "pretrain").glob("step-*[0-9]"), None) is not None)
    command.send(number)
    assert command.wait().code == code
    assert "Traceback" not in command.err
    saved = int(re.search(r"pretrain: saved after step (\d+) of 10", command.err)[1])
    assert (folder / "pretrain" / f"step-{saved:06d}").is_dir()
    assert len(losses(folder)) == saved  # nothing is lost
    typed = shlex.split(command.last.partition("To continue: ")[2])
    assert typed == ["octad", "run", str(folder)]
    if number == signal.SIGINT:
        done = octad(*typed[1:], "--until", "pretrain")
        assert done.code == 0 and f"continuing after step {saved}" in done.err, done.err
        assert weights(folder, "pretrain") == weights(reference, "pretrain")
        assert losses(folder) == [point for point in losses(reference) if point[0] == "pretrain"]


def test_second_ctrl_c_stops_at_once(octad, stories, undisturbed, tmp_path):
    folder = copy_up_to(undisturbed[0], tmp_path / "run", "pretrain")
    command = run(octad, folder, stories, "pretrain", before=ENDLESS)
    command.wait_until(lambda: (folder / "pretrain" / "stage.json").exists())
    start = time.monotonic()
    while not command.has_ended and time.monotonic() < start + 300:
        command.send(signal.SIGINT)
        time.sleep(0.5)
    assert command.wait().code == 130
    assert "Traceback" not in command.err and "To continue: octad run" in command.last


@pytest.mark.parametrize(
    ("stage", "pause"),
    [
        ("corpus", "import octad.stages.corpus as s; s.near_duplicates = lambda *a, **k: time.sleep(600)"),
        ("tokenizer", "import octad.stages.tokenizer as s; s.train_bpe = lambda *a, **k: time.sleep(600)"),
        ("evaluate", "import octad.stages.evaluate as s; s.evaluate = lambda *a, **k: time.sleep(600)"),
    ],
    ids=["corpus", "tokenizer", "evaluate"],
)
def test_ctrl_c_in_a_stage_that_does_not_train(stage, pause, octad, stories, undisturbed, tmp_path):
    folder = tmp_path / "run"
    if stage == "evaluate":
        shutil.copytree(undisturbed[0], folder)
    command = run(octad, folder, stories, stage, before="import time\n" + pause)
    command.wait_until(lambda: (folder / stage / "stage.json").exists())
    command.send(signal.SIGINT)
    assert command.wait().code == 130
    assert "Traceback" not in command.err and command.last.endswith(f"To continue: octad run {folder}")
    if stage != "evaluate":
        done = run(octad, folder, stories, stage).wait()
        assert done.code == 0 and f"{stage}: continuing what was stopped" in done.err, done.err


class Terminal:
    """A pseudo terminal of a given width, and all that was written to it."""

    def __init__(self, columns):
        self.master, slave = pty.openpty()
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.path, self.slave, self.written = os.ttyname(slave), slave, b""

    def read(self):
        while select.select([self.master], [], [], 0)[0]:
            self.written += os.read(self.master, 1 << 16)
        return self.written.decode(errors="replace")

    def press(self, key):
        os.write(self.master, key)

    def close(self):
        os.close(self.master)
        os.close(self.slave)


@pytest.mark.parametrize("columns", [slow(40), 60, slow(100)])
def test_progress_on_a_terminal_is_one_line_that_fits(columns, octad, stories, undisturbed, tmp_path):
    folder = copy_up_to(undisturbed[0], tmp_path / "run", "pretrain")
    terminal = Terminal(columns)
    environment = {"TERM": "xterm-256color"}
    command = run(octad, folder, stories, "pretrain", before=SLOW, terminal=terminal.path, environment=environment)
    wanted = {40: r"loss \d", 60: r"tok/s · \d+:\d\d left", 100: r"tok/s · \d+% of peak · \d+:\d\d left"}[columns]
    try:
        command.wait_until(lambda: re.search(rf"pretrain.*\b[3-9]/10 .*loss.*{wanted}", terminal.read()))
        terminal.press(b"\x03")  # as a person does
        while not command.has_ended:  # who does not read stops whom he does not hear
            terminal.read()
            time.sleep(0.01)
        command.wait()
        text = terminal.read()
    finally:
        terminal.close()
    assert command.code == 130
    assert "pretrain: saved after step" in text and "To continue: octad run" in text
    drawn = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]|\^C", "", text)  # the terminal itself shows the key as ^C
    lines = re.split(r"[\r\n]+", drawn)
    progress = [line for line in lines if re.match(r"pretrain +[━─\d]", line)]
    assert progress and all(len(line) <= columns for line in progress)
    assert "Traceback" not in text


def test_output_into_a_pipe_is_plain_lines(undisturbed):
    _, done = undisturbed
    assert done.out == ""
    assert all(line.isprintable() for line in done.err.splitlines()), done.err
