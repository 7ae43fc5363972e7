import gzip
import zipfile
from unicodedata import normalize

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import DataError, decode_text
from octad_data.encoding_letters import ENCODINGS

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


SENTENCES = {
    "German": (GERMAN, "cp1252 cp850 cp437 mac_roman iso8859_15"),
    "English": ("“It’s late”, she said – “very late…” at the café, for £5. " * 3, "cp1252 mac_roman"),
    "Polish": (POLISH, "cp1250 iso8859_2 cp852 mac_latin2"),
    "Czech": (CZECH, "cp1250 iso8859_2 cp852 mac_latin2"),
    "Russian": (RUSSIAN, "cp1251 koi8_r cp866 iso8859_5 mac_cyrillic"),
    "Ukrainian": ("Чуєш їх, доцю, га? Кумедна ж ти, прощайся без ґольфів! " * 4, "cp1251 koi8_u mac_cyrillic"),
    "Greek": ("Ξεσκεπάζω την ψυχοφθόρα βδελυγμία και τα λόγια των ανθρώπων. " * 4, "cp1253 iso8859_7 mac_greek cp737"),
    "Turkish": ("Pijamalı hasta yağız şoföre çabucak güvendi, öğle yemeği için. " * 4, "cp1254 mac_turkish cp857"),
    "Hebrew": ("דג סקרן שט בים מאוכזב ולפתע מצא חברה, כל בני האדם נולדו חופשיים. " * 4, "cp1255 iso8859_8"),
    "Arabic": ("صف خلق خود كمثل الشمس إذ بزغت، ولكل إنسان الحق في الحرية. " * 4, "cp1256 iso8859_6"),
    "Thai": ("เป็นมนุษย์สุดประเสริฐเลิศคุณค่า กว่าบรรดาฝูงสัตว์เดรัจฉาน " * 4, "cp874"),
    "Japanese": ("いろはにほへと ちりぬるを。日本語の文章を読むのは楽しいことです。", "cp932 euc_jp iso2022_jp_2"),
    "Chinese": ("人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心。", "gb18030"),
    "Taiwanese": ("人人生而自由，在尊嚴和權利上一律平等。他們賦有理性和良心。", "big5hkscs"),
    "Korean": ("모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다.", "cp949"),
}
CASES = [(name, encoding) for name, (_, encodings) in SENTENCES.items() for encoding in encodings.split()]


@pytest.mark.parametrize(("name", "encoding"), CASES)
def test_decode_finds_the_encoding_in_which_the_letters_say_most(name, encoding):
    text = SENTENCES[name][0]
    assert decode_text(text.encode(encoding, "ignore"))[0] == text.encode(encoding, "ignore").decode(encoding)
    long = (text + "\n") * 3000 + "the end"  # only a beginning is looked at, all of it is decoded
    assert decode_text(long.encode(encoding, "ignore"))[0].endswith("the end")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["Russian", "Greek", "Hebrew", "Japanese", "Korean"])
def test_decode_sees_utf16_of_any_script_without_a_mark(name, encoding):
    text = (SENTENCES[name][0] + "\n") * 20  # the line ends hold its zero bytes
    assert decode_text(text.encode(encoding)) == (text, encoding)


def test_decode_is_right_about_the_declaration_in_every_language(shared_data):
    """Held-out lines: 1,000 characters of each language in the first encoding that is meant for it."""
    archive = zipfile.ZipFile(shared_data("text") / "udhr2.zip")
    for encoding, languages in ENCODINGS.items():
        for language in set(languages) & {
            "pol",
            "rus",
            "ell_monotonic",
            "tur",
            "heb",
            "tha",
            "jpn",
            "kor",
            "lit",
            "fra",
        }:
            lines = archive.read(f"udhr2/{language}.txt").decode().split("\n")[::2]
            text = normalize("NFC", "\n".join(" ".join(line.split()) for line in lines))[500:1500]
            data = text.encode(encoding, "ignore")
            assert decode_text(data)[0] == data.decode(encoding), (encoding, language)


@pytest.mark.parametrize("text", [POLISH, RUSSIAN, GERMAN])
def test_decode_keeps_utf8_with_a_broken_character(text):
    data = (text * 10).encode()
    for place in (0, 300, len(data)):
        assert decode_text(data[:place] + b"\xff\xc3" + data[place:])[1] == "utf-8"
    cut = decode_text((text * 10 + "ż").encode()[:-1])
    assert cut == (text * 10 + "\ufffd", "utf-8")


def test_decode_obeys_declarations():
    page = f'<meta charset="koi8-r"><p>{RUSSIAN}'
    assert decode_text(page.encode("koi8-r")) == (page, "koi8-r")
    assert decode_text(GERMAN.encode("utf-8") + b" charset=koi8-r")[1] == "utf-8"  # what is UTF-8 stays UTF-8
    module = f"# -*- coding: cp1251 -*-\n# {RUSSIAN}"
    assert decode_text(module.encode("cp1251"))[0] == module


@pytest.mark.parametrize(
    "data", [bytes(range(256)), b"PK\x03\x04\0\0\0\0\x08", gzip.compress(GERMAN.encode(), mtime=0)]
)
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
