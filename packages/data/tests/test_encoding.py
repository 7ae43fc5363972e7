import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import DataError, decode_text

GERMAN = "Über die Brücke gehen fünf größere Mädchen, und der Bär schläft. " * 4
FRENCH = "L’été dernier, le garçon a été reçu à l’hôtel ; ça coûte très cher, n’est-ce pas ? " * 4
POLISH = "Zażółć gęślą jaźń, a potem pójdziemy do kościoła i na łąkę. " * 8
CZECH = "Příliš žluťoučký kůň úpěl ďábelské ódy, řekl starý muž večer. " * 8
RUSSIAN = "Съешь же ещё этих мягких французских булок, да выпей чаю. " * 8


@settings(deadline=None)  # a busy machine may pause anywhere
@given(st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1).filter(lambda t: t[0] != "\ufeff"))
def test_decode_reads_utf8_as_it_is(text):
    assert decode_text(text.encode()) == (text, "utf-8")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_decode_obeys_byte_order_marks(encoding):
    assert decode_text(RUSSIAN.encode(encoding)) == (RUSSIAN, encoding)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_decode_sees_utf16_without_a_mark(encoding):
    assert decode_text(GERMAN.encode(encoding)) == (GERMAN, encoding)


@pytest.mark.parametrize("text", [GERMAN, FRENCH])
def test_decode_tells_western_text(text):
    assert decode_text(text.encode("cp1252")) == (text, "cp1252")


@pytest.mark.parametrize(("text", "encoding"), [(POLISH, "cp1250"), (CZECH, "cp1250"), (RUSSIAN, "cp1251")])
def test_decode_never_passes_others_off_as_western(text, encoding):
    try:
        found = decode_text(text.encode(encoding))
    except DataError as error:
        assert "unknown encoding" in str(error)
    else:
        assert found[1] != "cp1252"


def test_decode_obeys_declarations():
    page = f'<meta charset="koi8-r"><p>{RUSSIAN}'
    assert decode_text(page.encode("koi8-r")) == (page, "koi8-r")
    assert decode_text(GERMAN.encode("utf-8") + b" charset=koi8-r")[1] == "utf-8"  # what is UTF-8 stays UTF-8
    module = f"# -*- coding: cp1251 -*-\n# {RUSSIAN}"
    assert decode_text(module.encode("cp1251"))[0] == module


@pytest.mark.parametrize("data", [bytes(range(256)), b"PK\x03\x04\0\0\0\0\x08", gzip.compress(GERMAN.encode())])
def test_decode_refuses_binary_files(data):
    with pytest.raises(DataError, match=r"binary file|unknown encoding"):
        decode_text(data)


def test_decode_obeys_the_caller():
    assert decode_text(CZECH.encode("cp1250"), "cp1250") == (CZECH, "cp1250")
    with pytest.raises(DataError, match="wrong encoding"):
        decode_text(CZECH.encode("cp1250"), "utf-8")
    with pytest.raises(DataError, match="unknown encoding"):
        decode_text(b"a", "klingon")


def test_decode_unifies_line_ends():
    assert decode_text(b"a\r\nb\rc\n")[0] == "a\nb\nc\n"
    assert decode_text(b"")[0] == ""
