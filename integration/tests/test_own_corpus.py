import gzip
import json
import os
import re
import shutil
from pathlib import Path

import pytest

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data"
ODD = 'it\'s "odd" \\n [x] = #{1} é 🎉\x7f'


def corpus_of(octad, source, folder, settings=(), **options):
    """Run the corpus stage alone; the command, and the text of every file that reached the corpus."""
    given = [f"corpus.source={json.dumps(str(source), ensure_ascii=False)}", "corpus.near_duplicates=false", *settings]
    done = octad.tiny("run", "quickstart", "--out", folder, "--until", "corpus", settings=given, **options).wait()
    assert done.code == 0, done.err
    pieces = []
    for side in ("train", "held_out"):
        for line in (folder / "corpus" / f"{side}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]:
            document = json.loads(line)
            name, number = re.fullmatch(r"(.*?)(?:#(\d+))?", document["id"], re.DOTALL).groups()
            pieces.append((name, int(number or 0), document["text"]))
    texts: dict[str, str] = {}
    for name, _, text in sorted(pieces):
        texts[name] = texts.get(name, "") + text
    return done, texts


def test_mixed_folder_gives_the_text_of_every_file_and_a_line_for_what_was_skipped(octad, tmp_path):
    folder = tmp_path / "notes"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "plain.txt").write_text("A plain file about foxes.")
    (folder / "a" / "b" / "deep.md").write_text("# Moles\n\nA nested file about *moles*.")
    (folder / "utf16.txt").write_bytes("grüße aus Köln".encode("utf-16"))
    (folder / "latin1.txt").write_bytes("Müller grüßt über die Straße".encode("latin-1"))
    (folder / f"{ODD}.txt").write_text("A file with an odd name about owls.")
    (folder / "packed.txt.gz").write_bytes(gzip.compress(b"A packed file about otters."))
    rows = [json.dumps({"text": f"Row {number} about crows."}) for number in range(20)]
    (folder / "rows.jsonl").write_text("\n".join([*rows, '{"text": "half \\ud800 pair"}', "{torn"]))
    (folder / "long.txt").write_text("word " * 40_000)
    (folder / "empty.txt").write_text("")
    (folder / "noise.txt").write_bytes(bytes(range(256)) * 20)
    (folder / "loop").symlink_to(folder)
    (folder / "a" / "self").symlink_to("self")
    os.mkfifo(folder / "pipe")
    done, texts = corpus_of(octad, folder, tmp_path / "run")
    wanted = {
        "plain.txt": "foxes",
        "a/b/deep.md": "*moles*",
        "utf16.txt": "grüße aus Köln",
        "latin1.txt": "Müller grüßt über die Straße",
        f"{ODD}.txt": "owls",
        "packed.txt.gz": "otters",
        "rows.jsonl:7": "Row 6 about crows.",
        "long.txt": "word word",
    }
    for name, words in wanted.items():
        assert any(found.startswith(name) and words in text for found, text in texts.items()), name
    assert len(texts) == 7 + 20
    said = done.err
    assert "corpus: skipped 1: empty: empty.txt" in said and "corpus: skipped 1: not a file: pipe" in said
    assert "corpus: skipped 1: binary file: noise.txt" in said and "corpus: skipped 1: unreadable: a/self" in said
    assert "corpus: skipped 2: broken JSON row: rows.jsonl:21" in said
    record = json.loads((tmp_path / "run" / "corpus" / "stage.json").read_text())
    assert record["summary"]["skipped"]["broken JSON row"] == 2


def test_real_pages_and_papers_are_read(octad, tmp_path):
    if not SHARED.exists():
        pytest.skip(f"no {SHARED}: the real files are not part of the package")
    folder = tmp_path / "mixed"
    folder.mkdir()
    pages = sorted((SHARED / "html" / "pages").iterdir())[:4]
    papers = [*SHARED.glob("pdf/004*/*.pdf"), *SHARED.glob("pdf/005*/*.pdf"), *SHARED.glob("pdf/011*/*.pdf")]
    for file in [*pages, *papers]:
        shutil.copyfile(file, folder / file.name)
    (folder / "play.txt").write_text((SHARED / "text" / "tinyshakespeare.txt").read_text()[:50_000])
    done, texts = corpus_of(octad, folder, tmp_path / "run", ["corpus.held_out=0.5"])
    assert "Beautiful is better than ugly" in texts["google-doc-document.pdf"]
    assert "text without a meaning" in texts["pdflatex-4-pages.pdf"]
    assert texts["play.txt"].startswith("First Citizen:")
    assert all(len(texts[page.name]) > 200 and "<" not in texts[page.name][:50] for page in pages)
    assert "skipped 1: encrypted PDF: libreoffice-writer-password.pdf" in done.err


def test_single_file_is_cut_into_passages(octad, tmp_path):
    text = "\n\n".join(f"Chapter {number} tells of {number * 7} owls and {number * 3} moles." for number in range(400))
    (tmp_path / "my book.txt").write_text(text)
    _, texts = corpus_of(octad, tmp_path / "my book.txt", tmp_path / "run")
    assert texts == {"my book.txt": text}


def test_odd_paths_survive_into_the_recipe_and_the_next_command(octad, stories, tmp_path):
    shutil.copytree(stories, tmp_path / ODD)
    too_large = ["--set", "tokenizer.vocab_size=99999", "--set", "corpus.held_out=0.25"]  # stops after the corpus
    done = octad("quickstart", "--corpus", ODD, "--out", f"out {ODD}", *too_large, cwd=tmp_path)
    assert "tokenizer.vocab_size" in done.last, done.err
    done = octad("run", tmp_path / f"out {ODD}", "--until", "corpus", cwd="/")  # from another folder
    assert done.code == 0 and "corpus       done" in done.err, done.err
    done = octad("run", tmp_path / f"out {ODD}", "--until", "corpus", "--set", "corpus.held_out=0.3", cwd="/")
    assert done.code == 0, done.err  # the corpus was read again: its path is absolute


def test_name_that_is_not_utf8_is_spelled_out(octad, tmp_path):
    folder = tmp_path / "old"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.txt").write_text(f"File {number} about {number * 7} owls.")
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.txt")).write_text("A name of an old disk.")
        Path(os.fsdecode(os.fsencode(folder) + b"/\x1b[31m\xe9.txt")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    done, texts = corpus_of(octad, folder, tmp_path / "run")
    assert texts["caf\\udce9.txt"] == "A name of an old disk."
    assert "\x1b" not in done.err and "skipped 1: empty: " in done.err
    closed = os.fsdecode(os.fsencode(tmp_path) + b"/b\xe9d")
    shutil.copytree(folder, closed)
    failed = octad("quickstart", "--corpus", closed, "--out", tmp_path / "other")
    assert failed.code == 1 and "is not UTF-8" in failed.last and not (tmp_path / "other").exists()


def test_unreadable_file_is_counted(octad, stories, tmp_path):
    folder = shutil.copytree(stories, tmp_path / "notes")
    (folder / "3.txt").chmod(0)
    if os.access(folder / "3.txt", os.R_OK):
        pytest.skip("this user may read everything")
    done, texts = corpus_of(octad, folder, tmp_path / "run")
    assert "3.txt" not in texts and "skipped 1: unreadable: 3.txt (Permission denied)" in done.err
