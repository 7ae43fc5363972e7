import json
import os
import shutil
import signal
import subprocess
import sys
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from octad.recipe_files import toml_string

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02"
LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({0}, {0}))"


def run(octad, folder, source, until, settings=(), **options):
    given = [f"corpus.source={json.dumps(str(source))}", *settings]
    return octad.tiny("run", "quickstart", "--out", folder, "--until", until, settings=given, **options)


@pytest.fixture(scope="module")
def trained(octad, stories, tmp_path_factory):
    """A run that is done up to pretraining."""
    folder = tmp_path_factory.mktemp("trained") / "run"
    done = run(octad, folder, stories, "pretrain", ["checkpoint_seconds=0.0"]).wait()
    assert done.code == 0, done.err
    return folder


def again(octad, folder, stories, until="pretrain", settings=(), **options):
    return run(octad, folder, stories, until, ["checkpoint_seconds=0.0", *settings], **options)


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def is_one_clear_line(done, *words):
    assert done.code == 1 and done.out == "", (done.code, done.out)
    assert "Traceback" not in done.err
    assert done.last.startswith("octad: ") and all(word in done.last for word in words), done.err


CORPORA = {
    "an empty folder": ({}, ["holds no documents", "no files", "accepted: text"]),
    "empty files": ({"a.txt": b"", "b.md": b" \n"}, ["skipped 2: empty: a.txt, b.md"]),
    "random bytes": ({"a.txt": bytes(range(256)) * 40}, ["binary file: a.txt"]),
    "a picture": ({"a.jpg": PNG * 20}, ["binary file: a.jpg"]),
    "an executable": ({"a": b"\x7fELF\x02\x01\x01" + bytes(900)}, ["binary file: a"]),
    "one line": ({"a.txt": b"To be, or not to be.\n"}, ["too few documents (1,", "give more text"]),
    "rows of another column": ({"a.jsonl": b'{"body": "x"}\n'}, ["no column 'text'", "the row has 'body'"]),
}


@pytest.mark.parametrize("name", CORPORA)
def test_corpus_that_cannot_be_used_is_one_clear_line(name, octad, tmp_path):
    files, words = CORPORA[name]
    (tmp_path / "corpus").mkdir()
    for file, data in files.items():
        (tmp_path / "corpus" / file).write_bytes(data)
    done = octad("quickstart", "--corpus", tmp_path / "corpus", "--out", tmp_path / "run")
    is_one_clear_line(done, *words)


def test_bad_corpus_leaves_what_was_made_before(octad, trained, stories, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    before = contents(folder)
    is_one_clear_line(again(octad, folder, tmp_path / "nowhere").wait(), "nowhere does not exist")
    moved = contents(next(folder.glob("stale/corpus-*")))
    assert all(moved[path.relative_to("corpus")] == data for path, data in before.items() if path.parts[0] == "corpus")
    done = again(octad, folder, stories).wait()
    assert done.code == 0 and "pretrain     done" in done.err, done.err  # the corpus came out as it was


def test_vocabulary_beyond_the_text_names_the_size_that_it_supports(octad, stories, tmp_path):
    done = run(octad, tmp_path / "run", stories, "tokenizer", ["tokenizer.vocab_size=100000"]).wait()
    is_one_clear_line(done, "tokenizer.vocab_size = 100,000", "--set tokenizer.vocab_size=")
    advice = done.last.rpartition("--set ")[2]
    done = run(octad, tmp_path / "run", stories, "tokenizer", [advice]).wait()
    assert done.code == 0, done.err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"[pretrian]\nseconds = 3\n", ["unknown key pretrian", "did you mean pretrain"]),
        (b"[sft]\nsecond = 3\n", ["unknown key sft.second", "did you mean sft.seconds"]),
        (b"[sft]\nsteps = 'many'\n", ["sft.steps", "'many'", "int"]),
        (b"sft = 3\n", ["sft", "table"]),
        (b"seed = \n", ["is not TOML"]),
        (b"\xff\xfe\x00bad", ["not UTF-8"]),
    ],
)
def test_bad_recipe_is_one_clear_line_and_makes_no_folder(text, words, octad, tmp_path):
    (tmp_path / "mine.toml").write_bytes(text)
    is_one_clear_line(octad("run", "mine.toml", cwd=tmp_path), "mine.toml", *words)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.toml"]


@given(st.text())
def test_toml_string_gives_any_text_back(text):
    assert tomllib.loads(f"text = {toml_string(text)}") == {"text": text}


def test_folder_that_is_no_run_is_refused_and_left_alone(octad, tmp_path):
    thesis = tmp_path / "thesis"
    thesis.mkdir()
    (thesis / "thesis.tex").write_text("years of work")
    (tmp_path / "file").write_text("a file")
    before = contents(tmp_path)
    is_one_clear_line(octad("run", thesis), "not a run folder", "no run.json")
    is_one_clear_line(octad("quickstart", "--out", thesis), "not a run folder", "new or an empty folder")
    is_one_clear_line(octad("quickstart", "--out", tmp_path / "file"), "not a run folder")
    is_one_clear_line(octad("quickstart", "--out", tmp_path / "file" / "run"), "cannot write", "--out")
    assert contents(tmp_path) == before


def test_run_of_another_format_is_refused_and_left_alone(octad, trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    (folder / "run.json").write_text(json.dumps({"format": 99, "octad": "9.9"}))
    (folder / "recipe.toml").write_text("[telepathy]\nstrength = 3\n")  # as a later version may write
    before = contents(folder)
    is_one_clear_line(octad("run", folder), "octad 9.9", "format 99")
    is_one_clear_line(octad("quickstart", "--out", folder), "octad 9.9")
    (folder / "run.json").write_text('{"form')
    is_one_clear_line(octad("run", folder), "run.json is torn")
    assert {**contents(folder), **{k: v for k, v in before.items() if k.name == "run.json"}} == before


def test_folder_that_may_not_be_written_is_named(octad, trained, stories, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    (tmp_path / "closed").mkdir()
    for closed in (folder, tmp_path / "closed"):
        closed.chmod(0o555)
    try:
        if os.access(folder, os.W_OK):
            pytest.skip("this user may write everywhere")
        is_one_clear_line(again(octad, folder, stories).wait(), f"cannot write in {folder}")
        is_one_clear_line(again(octad, tmp_path / "closed" / "run", stories).wait(), "cannot write in", "--out")
    finally:
        folder.chmod(0o755)


def test_second_run_in_a_folder_is_refused_and_changes_nothing(octad, trained, stories, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    wait = "import time, octad.stages.sft as s; s.sft = lambda context: time.sleep(600)"
    first = again(octad, folder, stories, "sft", before=wait)
    first.wait_until(lambda: (folder / "sft" / "stage.json").exists())
    before = contents(folder)
    second = again(octad, folder, stories, settings=["tokenizer.vocab_size=300"]).wait()
    is_one_clear_line(second, "in use by another octad")
    assert contents(folder) == before  # the recipe too: the first one goes by it
    first.send(signal.SIGKILL)
    first.wait()
    assert again(octad, folder, stories).wait().code == 0  # the lock goes with its process


@pytest.mark.parametrize(
    ("stage", "name", "words"),
    [
        ("corpus", "train.jsonl", "missing"),
        pytest.param("tokenizer", "tokenizer.json", "missing", marks=pytest.mark.slow),
        ("tokenizer", "tokenizer.json", "differs from its checksum"),
        ("shards", "train-text/shard-00000.bin", "differs from its checksum"),
        pytest.param("shards", "train-text/shard-00000.idx", "bytes instead of", marks=pytest.mark.slow),
        ("pretrain", "model/model.safetensors", "missing"),
    ],
)
def test_product_that_was_deleted_or_damaged_is_named_and_made_again(
    stage, name, words, octad, trained, stories, tmp_path
):
    folder = shutil.copytree(trained, tmp_path / "run")
    file = folder / stage / name
    data = file.read_bytes()
    if "missing" in words:
        file.unlink()
    else:
        file.write_bytes(data[:100] + bytes([data[100] ^ 1]) + data[101:] if "checksum" in words else data[:-8])
    done = again(octad, folder, stories).wait()
    assert done.code == 0, done.err
    assert f"{stage}: {name}" in done.err and words in done.err and "making it again" in done.err
    assert done.err.count("   done  ") == 4  # the other stages, whose inputs are as they were
    assert file.read_bytes() == data


def test_deleted_stage_is_made_again(octad, trained, stories, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(folder / "shards")
    done = again(octad, folder, stories).wait()
    assert done.code == 0 and done.err.count("   done  ") == 4, done.err


def test_changed_recipe_keeps_the_old_results_aside(octad, trained, stories, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    old = (folder / "pretrain" / "model" / "model.safetensors").read_bytes()
    done = again(octad, folder, stories, settings=["pretrain.learning_rate=0.001"]).wait()
    assert done.code == 0, done.err
    kept = next(folder.glob("stale/pretrain-*/model/model.safetensors"))
    assert kept.read_bytes() == old != (folder / "pretrain" / "model" / "model.safetensors").read_bytes()
    assert "learning_rate = 0.001" in (folder / "recipe.toml").read_text()


@pytest.mark.parametrize(
    ("stage", "limit"),
    [("corpus", 50_000), pytest.param("shards", 50_000, marks=pytest.mark.slow), ("pretrain", 100_000)],
)
def test_full_disk_is_named_and_the_run_goes_on_after_space_is_freed(stage, limit, octad, trained, stories, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    if stage == "pretrain":  # its last step is left, and the checkpoint before it
        record = json.loads((folder / stage / "stage.json").read_text())
        (folder / stage / "stage.json").write_text(json.dumps({**record, "is_done": False}))
        shutil.rmtree(folder / stage / "step-000010")
    else:
        shutil.rmtree(folder / stage)
    before = contents(folder / "pretrain")
    full = again(octad, folder, stories, before=LIMIT.format(limit)).wait()
    is_one_clear_line(full, "no space", str(folder), "free some space", f"continue: octad run {folder}")
    assert contents(folder / "pretrain") == before
    assert not list(folder.rglob("*.tmp-*")) and not list(folder.rglob("*partial*"))
    done = again(octad, folder, stories).wait()
    assert done.code == 0, done.err
    weights = "pretrain/model/model.safetensors"
    assert (folder / weights).read_bytes() == (trained / weights).read_bytes()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test_full_disk_under_the_metrics_is_named(octad, trained, stories, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    shutil.rmtree(folder / "pretrain")
    (folder / "metrics.jsonl").unlink()
    # every write to that file finds a full disk; what replaces it does not
    full = "from octad.run_folder import RunFolder; RunFolder.forget_metrics = lambda *a, **k: None"
    (folder / "metrics.jsonl").symlink_to("/dev/full")
    is_one_clear_line(again(octad, folder, stories, before=full).wait(), "no space left on the disk", str(folder))
    (folder / "metrics.jsonl").unlink()
    assert again(octad, folder, stories).wait().code == 0
    steps = [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert steps == list(range(10))


HUB = "import sys, types; m = types.ModuleType('datasets'); sys.modules['datasets'] = m\n"
LOADERS = {
    "no library": ("import sys; sys.modules['datasets'] = None", ["missing extra", "pip install"]),
    "no network": (
        HUB + "def load(*a, **k): raise ConnectionError('no route to host')\nm.load_dataset = load",
        ["cannot reach the Hub", "go online"],
    ),
    "no such data set": (
        HUB + "def load(*a, **k): raise FileNotFoundError('unknown data set')\nm.load_dataset = load",
        ["cannot load data set 'a/b'"],
    ),
}


@pytest.mark.parametrize("name", LOADERS)
def test_hub_that_gives_nothing_is_one_clear_line(name, octad, tmp_path):
    before, words = LOADERS[name]
    is_one_clear_line(run(octad, tmp_path / "run", "hub:a/b", "corpus", before=before).wait(), *words)


def test_hub_rows_become_the_corpus(octad, tmp_path):
    rows = "class Rows(list): column_names = ['text']\n"
    load = "m.load_dataset = lambda *a, **k: Rows({'text': f'Row {i} tells of {i * 7} owls.'} for i in range(60))"
    settings = ["corpus.held_out=0.3", "corpus.near_duplicates=false", "tokenizer.vocab_size=9999"]  # stops after it
    sets = [part for setting in settings for part in ("--set", setting)]
    out = ("--out", tmp_path / "run")
    done = octad.start("quickstart", "--corpus", "hub:a/b", *out, *sets, before=HUB + rows + load).wait()
    corpus = tmp_path / "run" / "corpus" / "train.jsonl"
    assert "Row 1 tells of 7 owls." in corpus.read_text() + (corpus.parent / "held_out.jsonl").read_text(), done.err


def test_closed_pipe_ends_a_command_quietly():
    help_ = [sys.executable, "-m", "octad", "--help"]
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(help_, stdout=write, stderr=subprocess.PIPE, text=True, timeout=300)
    os.close(write)
    assert "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_run_whose_output_is_cut_off_can_be_continued(octad, stories, tmp_path):
    cut = "import os; r, w = os.pipe(); os.dup2(w, 2); os.close(w); os.close(r)"
    done = run(octad, tmp_path / "run", stories, "corpus", before=cut).wait()
    assert done.code in (1, 141) and done.err == ""
    assert run(octad, tmp_path / "run", stories, "corpus").wait().code == 0


def test_version_is_told():
    done = subprocess.run([sys.executable, "-m", "octad", "--version"], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and done.stdout.strip()[0].isdigit()


@pytest.mark.slow
def test_run_without_asserts_home_or_locale(stories, tmp_path):
    (tmp_path / "home").mkdir(mode=0o500)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG", "XDG", "HF_"))}
    environment = {**kept, "HOME": str(tmp_path / "home"), "LANG": "C", "LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    options = ["--out", tmp_path / "run", "--corpus", stories]
    settings = ["tokenizer.vocab_size=280", "corpus.held_out=0.25", "model.sizes=[[64, 1]]", "model.context=128"]
    settings += ["pretrain.tokens=5120", "sft.steps=2", "dpo.steps=2", "grpo.steps=1", "evaluate.instructions=12"]
    options += [part for setting in settings for part in ("--set", setting)]
    command = [sys.executable, "-O", "-m", "octad", "quickstart", *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    assert "exact match" in done.stderr
