import re
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from octad_data import DataError, Document
from octad_data.language import DetectLanguage, detect_language, known_languages, language_mix
from octad_data.language_twins import KEY, TABLES, twins_of
from octad_data.step import apply, to_batch
from octad_data.writing_systems import script_of, scripts
from py3langid import langid

SENTENCES = {
    "en": "All human beings are born free and equal in dignity and rights.",
    "de": "Alle Menschen sind frei und gleich an Würde und Rechten geboren.",
    "fr": "Tous les êtres humains naissent libres et égaux en dignité et en droits.",
    "es": "Todos los seres humanos nacen libres e iguales en dignidad y derechos.",
    "ru": "Все люди рождаются свободными и равными в своём достоинстве и правах.",
    "ja": "すべての人間は、生まれながらにして自由であり、尊厳と権利とについて平等である。",
    "zh": "人人生而自由，在尊严和权利上一律平等。",
    "ar": "يولد جميع الناس أحرارًا متساوين في الكرامة والحقوق.",
    "hi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता प्राप्त है।",
    "th": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ",
    "el": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα.",
    "fi": "Kaikki ihmiset syntyvät vapaina ja tasavertaisina arvoltaan ja oikeuksiltaan.",
}
CODES = {
    "afr": "af", "arb": "ar", "bul": "bg", "ben": "bn", "cat": "ca", "ces": "cs", "cym": "cy", "dan": "da", "ell": "el",
    "deu": "de", "eng": "en", "spa": "es", "eus": "eu", "fin": "fi", "fra": "fr", "gle": "ga", "guj": "gu", "heb": "he",
    "hin": "hi", "hun": "hu", "ita": "it", "jpn": "ja", "kat": "ka", "kor": "ko", "lit": "lt", "lav": "lv", "mal": "ml",
    "mar": "mr", "nld": "nl", "pol": "pl", "por": "pt", "ron": "ro", "rus": "ru", "slk": "sk", "slv": "sl", "swe": "sv",
    "tam": "ta", "tha": "th", "tur": "tr", "ukr": "uk", "urd": "ur", "vie": "vi",
}  # fmt: skip


def test_sentences_are_told_apart() -> None:
    found = detect_language(SENTENCES.values())
    assert found.names == tuple(SENTENCES)
    assert (found.confidences > 0.5).all() and (found.confidences <= 1).all()
    assert set(SENTENCES) <= set(known_languages())


def test_what_is_no_language_is_undetermined() -> None:
    found = detect_language(["", " ", "12 345 67 890", "!!! ??? ---", "\0\ud800"])
    assert found.names == ("und",) * 5 and not found.confidences.any()
    assert detect_language([]).names == ()


def test_the_compiled_model_scores_as_py3langid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("octad_data.language.SECOND_OPINION", 0.0)
    import octad_data.language as language

    theirs = langid.LanguageIdentifier.from_modelpath(langid.MODEL_DIR / langid.MODEL_FILE)
    model = language._model()
    for text in (*SENTENCES.values(), "short", "SHOUTED WORDS OF ENGLISH"):
        wanted = np.array(theirs._raw_score(theirs._encode(text)), dtype=np.float64)
        buffer = language.Texts.of([language._prepared(text)])
        scores = np.zeros((1, len(model.names)), dtype=np.float32)
        room = language._ROOM.of(len(model.weights))
        tables = model.start, model.next_rows, model.found, model.weights
        language._score(buffer.data, buffer.offsets, *tables, *room, scores)
        assert not room[0].any()
        np.testing.assert_allclose(scores[0] + theirs.nb_pc, wanted, rtol=2e-3, atol=0.5)  # theirs adds float16


@pytest.mark.parametrize(("length", "wanted"), [(30, 0.95), (100, 0.99)])
def test_accuracy_on_the_declaration_of_human_rights(
    shared_data: Callable[[str], Path], length: int, wanted: float
) -> None:
    right, total = 0, 0
    with zipfile.ZipFile(shared_data("text/udhr2.zip")) as archive:
        files = {Path(name).stem: name for name in archive.namelist()}
        for language, code in CODES.items():
            names = [name for ending in ("", "_1996", "_PT", "_monotonic") if (name := language + ending) in files]
            if not names:
                continue
            lines = archive.read(files[names[0]]).decode().split("\n")[6:]
            text = re.sub(r"\s+", " ", " ".join(line for line in lines if len(line) > 40))
            cuts = [text[start : start + length] for start in range(0, len(text) - length, max(len(text) // 50, 1))]
            right += sum(name == code for name in detect_language(cuts).names)
            total += len(cuts)
    assert total > 1500 and right / total >= wanted


def test_a_text_of_two_languages_has_a_mix() -> None:
    text = "\n".join([SENTENCES["en"]] * 3 + [SENTENCES["de"]] * 3)
    mix = language_mix(text)
    assert set(mix) == {"en", "de"} and abs(sum(mix.values()) - 1) < 1e-9 and abs(mix["en"] - 0.5) < 0.05
    assert language_mix("") == {}


def test_the_step_keeps_the_languages_wanted() -> None:
    rows = to_batch(Document(text, name, "s") for name, text in SENTENCES.items())
    kept, dropped = apply([DetectLanguage(keep=("en", "fr"), min_confidence=0.4)], rows)
    assert kept.column("language").to_pylist() == ["en", "fr"] == kept.column("id").to_pylist()
    assert {row["dropped_by"] for batch in dropped for row in batch.to_pylist()} == {"language.other"}
    with pytest.raises(DataError, match="min_confidence"):
        DetectLanguage(min_confidence=2)


def test_scripts_of_letters_and_texts() -> None:
    assert [script_of(c) for c in "aжの漢한ไع1"] == ["Latin", "Cyrillic", "Kana", "Han", "Hangul", "Thai", "Arabic", ""]
    assert scripts("ab жжжж, 12") == {"Cyrillic": pytest.approx(2 / 3), "Latin": pytest.approx(1 / 3)}
    assert scripts("123") == {}
    with pytest.raises(DataError, match="give one"):
        script_of("ab")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Svako ima pravo na život, slobodu i ličnu sigurnost; niko ne smije biti držan u ropstvu.", "bs"),
        ("Svatko ima pravo na život, slobodu i osobnu sigurnost; nitko ne smije biti držan u ropstvu.", "hr"),
        ("Svako ima pravo na život, slobodu i bezbednost ličnosti, bez obzira gde se u svetu nalazi.", "sr"),
        ("Rumah sakit itu bisa melayani semua orang karena dokternya banyak, kata polisi di kantor.", "id"),
        ("Hospital itu boleh merawat semua orang kerana doktornya ramai, kata polis di pejabat.", "ms"),
    ],
)
def test_twins_are_told_apart_by_their_words(text: str, name: str) -> None:
    assert detect_language([text]).names == (name,)


@pytest.mark.parametrize("table", TABLES)
def test_a_table_of_twins_is_in_order(table: str) -> None:
    names, *rows = (line.split() for line in table.strip().splitlines())
    assert all(len(row) == len(names) and len(set(row)) > 1 for row in rows)
    entries = [entry for row in rows for cell in row for entry in cell.split("/")]
    assert all(len(entry.rstrip("*")) >= KEY for entry in entries if entry.endswith("*"))
    assert all(re.fullmatch(r"[^\W\d_]+\*?|\.", entry) for entry in entries)


def test_words_that_all_twins_write_say_nothing() -> None:
    twins = twins_of("hr")
    assert twins is not None and twins.names == ("bs", "hr", "sr") and twins_of("de") is None
    assert twins.counts("Također, sretan sam.") == [2, 2, 0]
    assert twins.counts("kava, KAVU; kavkaskom") == [0, 3, 0] and twins.counts("i u na 12") == [0, 0, 0]
