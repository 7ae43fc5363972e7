import pickle
import random
import re
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from octad_data import Document
from octad_data.errors import DataError
from octad_data.personal_data import DEFAULT_KINDS, KINDS, PersonalData, Span, find_personal_data, mask
from octad_data.step import to_batch

FRAMES = (
    "{}",
    "Write to {}.",
    "({})",
    "<{}>",
    '"{}", he said',
    "see {}, or come by",
    "here: {}\nnext line",
    "Kontakt: {}; danke",
    "请联系 {} 谢谢",
    "a line before\n{}\na line after",
    "|{}|",
    "é {} é",
)
POSITIVE = {
    "email": [
        "a@b.co", "john.doe@example.com", "first+tag@sub.domain.org", "x_y-z@host-name.net", "o'brien@example.ie",
        "user123@123.com", "USER@EXAMPLE.COM", "jörg@example.de", "a.b.c.d@e.f.g.museum", "me@xn--mnchen-3ya.de",
        "info@müller.de", "n@example.travel", "1@2.io", "a%b@example.com", "very.common@example.co.uk",
    ],
    "phone": [
        "+1 212 555 0187", "+1-212-555-0187", "+1 (212) 555-0187", "+12125550187", "(212) 555-0187", "212-555-0187",
        "212.555.0187", "1-800-555-0199", "+44 20 7946 0958", "+44 (0)20 7946 0958", "020 7946 0958", "0161 496 0000",
        "07700 900123", "+49 30 123456", "+49 (0)30 1234-567", "+33 1 23 45 67 89", "01 23 45 67 89", "01.23.45.67.89",
        "+86 138 1234 5678", "+91 98765 43210", "+55 (11) 91234-5678", "+7 (495) 123-45-67", "+380 44 123 4567",
        "0049 30 123456", "tel: 555 0187", "Tel. 030/1234567", "phone 9876543210", "call 555-0187", "(030) 1234567",
        "Tel. 030 / 4767-440", "Rufnummer: 050639010", "Tel: 86-23-86388888", "+1 212\u2011555\u20110187",
        "+354 512 3456",
        "03-1234-5678", "Fax: 01632 960 001",
    ],
    "ip": [
        "8.8.8.8", "93.184.216.34", "2001:4860:4860::8888", "2606:2800:220:1:248:1893:25c8:1946",
        "2a00:1450:4001::200e",
    ],
    "iban": [
        "GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "FR14 2004 1010 0505 0001 3M02 606",
        "NO93 8601 1117 947",
    ],
    "card": ["4111 1111 1111 1111", "5555-5555-5555-4444", "378282246310005", "3782 822463 10005", "6011111111111117"],
    "national_id": ["536-90-4399", "529.982.247-25", "11010519491231002X", "2 55 08 14 168 025 38"],
    "secret": [
        "AKIAIOSFODNN7EXAMPLE",
        "ghp_" + "a1B2" * 9, "github_pat_" + "A1b2C3d4E5f" * 3, "xoxb-123456789012-abcdefABCDEF",
        "AIza" + "Sy0" * 11 + "ab", "sk_live_" + "4eC39HqLyjWDarjtT1zdp7dc", "sk-" + "a1B2c3D4e5F6g7H8" * 3,
        "sk-proj-" + "a1B2c3D4e5F6g7H8-_x" * 2, "hf_" + "abcdEFGHijkl" * 3, "npm_" + "aB3" * 12,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
        "password=Hunt3r22x", "api_key: 'q9X2v7Lm4Rt8Zp1K'", 'token = "f3a9c17be2d84650"', "SECRET_KEY=zX81kq02vnWm",
        "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nAAAA\n-----END RSA PRIVATE KEY-----",
    ],
    "url_credentials": ["https://bob:s3cr3t@host.com/x", "postgres://app:pa55w0rd@db.internal:5432/x"],
    "coordinates": ["48.858370, 2.294481", "-33.856784,151.215297"],
}  # fmt: skip
NEGATIVE = {
    "email": [
        "@handle", "a @ b", "user@host", "icon@2x.png", "logo@3x.jpg", "name@", "@example.com", "x@y.z",
        "meet @ 5.30pm",
        "price@$5.00", "a@b@c", "@media screen", "@param x.y", "foo@bar..com", "@decorator.name", "100@200", "C@T.",
        "R@D-lab", "me@.com", "@@@@", "user@-host.com", "hello@world", "@import url(x.css)", "a@b_c.d", "(@)", "1@1.1",
    ],
    "phone": [
        "ISBN 978-3-16-148410-0", "ISBN 0-306-40615-2", "2012-12-31", "31.12.2012", "12/31/2012", "2012-12-31 23:59:59",
        "$1,234,567.89", "1.234.567,89 EUR", "2010-2014", "1999 2000 2001", "10.1038/nature12373", "v1.2.3.4567",
        "3.14159265", "1234567890", "192.168.100.200", "order 123-456-7890123", "id=2125550187", "/2125550187/",
        "0.1234567", "100 000 000", "12:30:45.123456", "#2125550187", "1 2 3 4 5 6 7 8 9", "20121231235959",
        "US 7,123,456", "111-111-1111", "8,000,000", "1 000 000 000", "212-111-0187x", "arXiv:1911.003591",
        "123.456.789",
        "5551234567890123456789", "a2125550187", "16-20 11-15 06-10",
        "mittels Dioden 583-584 414", "Werterhaltungsmaßnahmen 71-74 105-109",
        "E-Mobilität X 173-175 13", "+12345678", "call 1000000 times",
        "called in 1998 2001 2", "1990-1995, 1996-2001",
    ],
    "ip": [
        "1.2.3", "1.2.3.4.5", "256.1.1.1", "10.0.0.1", "192.168.0.1", "127.0.0.1", "172.16.5.5", "169.254.1.1",
        "0.0.0.0",
        "255.255.255.255", "v1.2.3.4", "version 8.8.8.8", "Chrome/88.8.8.8", "12:30:45", "std::vector", "::1",
        "fe80::1",
        "a::b::c", "2001:db8::1", "1:2:3", "12.30.45.", "8.8.8.8.8", "foo::bar", "ab:cd:ef", "x8.8.8.8",
        "section 1.1.1",
        "224.0.0.1", "00:1b:44:11:3a:b7", "Figure 3.1.2.4", "section 4.3.2.1",
    ],
    "iban": [
        "GB82 WEST 1234 5698 7654 33", "DE89370400440532013001", "AB12 3456", "GB82", "XX82WEST12345698765432", "NO93",
        "DE8937040044053201300", "FR14ABCD", "de89370400440532013000", "IT60", "ES91 2100 0418 4502 0005 1333",
        "MP3480",
        "PS5400", "BE68 5390 0754 7035", "CH9300762011623852958", "PT50000201231234567890155", "AT61190430023457320",
        "A1234567",
        "NL91ABNA0417164301", "SE4550000000058398257467", "DK5000400440116244", "FI2112345600000786",
        "PL61109010140000071219812875",
        "DE89 3704 0044 0532 0130 00X", "IE29AIBK93115212345679",
    ],
    "card": [
        "4111 1111 1111 1112", "1234 5678 1234 5670", "0000 0000 0000 0000", "4111-1111 1111-1111", "4111111111111",
        "411111",
        "5555 5555 5555 4445", "37828224631000", "9999999999999995", "4111 1111 1111", "1111111111111111",
        "2012123123595900",
        "4242424242424241", "a4111111111111111", "4111111111111111a", "41111111111111111111111", "4111.1111.1111.1111",
        "378282246310006", "6011111111111118", "3530111333300001", "30569309025905", "5105105105105101",
        "id=4111111111111111",
        "/4111111111111111", "0.4111111111111111", "4111111111111111.5",
    ],
    "national_id": [
        "000-12-3456", "666-12-3456", "900-12-3456", "536-00-4399", "536-90-0000", "078-05-1120", "111-11-1111",
        "53-690-4399",
        "536904399", "536-90-43990", "529.982.247-26", "111.111.111-11", "110105194912310021", "2 55 08 14 168 025 39",
        "1-536-90-4399", "536-90-4399-1", "x536-90-4399", "123-45-678", "2012-12-3101", "12-345-6789", "529982247-26",
        "536 90 4399", "11010519491331002X", "219-09-9999", "536-90-439",
    ],
    "secret": [
        "AKIA", "AKIAiosfodnn7example", "ghp_short", "skin-care", "sk-learn", "sk-", "task-force", "password",
        "password: none",
        "password=", "password=$PASSWORD", "password: ********", "the password is long", "token: str", "token = None",
        "secret: <your secret>", "api_key=os.environ['KEY']", "api_key=YOUR_API_KEY_1", "password=changeme1",
        "eyJhbGciOiJ9",
        "key: value1", "monkey=banana22", "Password: required", "xoxb-", "risk-assessment-for-2020-and-beyond",
        "tokens: 1024",
        "-----BEGIN CERTIFICATE-----", "git status", "token: https://a.org/x1", "hf_model", "passwords=12345678",
    ],
    "url_credentials": [
        "http://host:80/", "http://user@host/", "http://a.org/x:y@z", "see: a@b.co", "http://$USER:$PASS@host", "a://b",
        "http://a.org:8080/@user", "https://medium.com/@user:x", "http://u:{pw}@h", "://:@", "http://", "ftp://h:21",
    ],
    "coordinates": [
        "1.5, 2.5", "48.85, 2.29", "91.123456, 2.123456", "1.23456,", "3.14159, 2.71828x", "12.3456, 200.12345",
    ],
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_found_in_any_surrounding(kind: str) -> None:
    for value in POSITIVE[kind]:
        for frame in FRAMES:
            text = frame.format(value)
            found = find_personal_data(text, [kind])
            assert len(found) == 1, (text, found)
            a, b = text.index(value), text.index(value) + len(value)
            s = found[0]
            assert a <= s.start and s.end <= b, (text, text[s.start : s.end])
            if kind in ("email", "ip", "iban", "card", "national_id", "coordinates"):
                assert (s.start, s.end) == (a, b), (text, text[s.start : s.end])


@pytest.mark.parametrize("kind", KINDS)
def test_what_only_looks_like_it_is_left_alone(kind: str) -> None:
    for value in NEGATIVE[kind]:
        for frame in FRAMES:
            text = frame.format(value)
            assert not [text[s.start : s.end] for s in find_personal_data(text, [kind])], text


def test_findings_are_apart_and_the_surer_kind_wins() -> None:
    text = "https://me:pw1234@example.com 4111 1111 1111 1111 and 536-90-4399, a@b.co"
    found = find_personal_data(text)
    assert [s.kind for s in found] == ["url_credentials", "card", "national_id", "email"]
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert find_personal_data("10.0.0.1 8.8.8.8", ["ip"], public_addresses_only=False) == [
        Span("ip", 0, 8),
        Span("ip", 9, 16),
    ]


def test_masks_keep_everything_else() -> None:
    text = "é: A@b.co wrote a@B.co, +1 212-555-0187 = (212) 555-0187"
    found = find_personal_data(text)
    assert mask(text, found) == "é: <EMAIL> wrote <EMAIL>, <PHONE> = <PHONE>"
    hashed = mask(text, found, "hash", "key")
    one, two = re.findall(r"<EMAIL-([0-9a-f]{10})>", hashed)
    assert one == two and mask(text, found, "hash", "other") != hashed
    assert mask(hashed, find_personal_data(hashed)) == hashed
    for style, key in (("hash", ""), ("stars", "")):
        with pytest.raises(DataError, match="style"):
            mask(text, found, style, key)


@settings(deadline=None, max_examples=200)
@given(
    st.lists(
        st.text() | st.sampled_from([v for values in POSITIVE.values() for v in values] + list("@:+-. \n")), max_size=8
    )
)
def test_any_text_gives_spans_inside_it(parts: list[str]) -> None:
    text = "".join(parts)
    found = find_personal_data(text, KINDS)
    assert all(0 <= s.start < s.end <= len(text) for s in found)
    assert all(a.end <= b.start for a, b in pairwise(found))
    mask(text, found)


@pytest.mark.parametrize(
    "piece",
    ["@", "a@", "a.", "a@b.", "1", "1 ", "1-", "+", "1.", ":", "a:", "::", "://a:", "password=",
    "-----BEGIN PRIVATE KEY-----",
     "eyJ", "eyJa.", "eyJaaaaaaaaa.eyJ", "12.123456,", "1.1.1.1 ",
     "AB12", "é@é.", "1,", "(1", "+1 ", "sk-", "token:'", "0 ", "\u00a0" + "1", "x" * 63 + "@"],
)  # fmt: skip
def test_no_text_takes_more_than_linear_time(piece: str) -> None:
    find_personal_data(piece * 10, KINDS)
    text = piece * (400_000 // len(piece))
    started = time.process_time()
    find_personal_data(text, KINDS)
    assert time.process_time() - started < 8  # the slowest, a candidate at every byte, takes about 2 s


def test_step_counts_masks_and_drops() -> None:
    texts = ["mail a@b.co or c@d.org", "nothing here", "", "é 8.8.8.8 ü tel +1 212 555 0187"]
    batch = to_batch([Document(text, str(i), "s") for i, text in enumerate(texts)])
    out = PersonalData(at_most=1)(batch)
    assert out.column("text").to_pylist() == ["mail <EMAIL> or <EMAIL>", "nothing here", "", "é <IP> ü tel <PHONE>"]
    assert out.schema.field("text") == batch.schema.field("text")
    assert out.column("personal_email").to_pylist() == [2, 0, 0, 0]
    assert {f"personal_{kind}" for kind in DEFAULT_KINDS} <= set(out.schema.names)
    assert out.column("dropped_by").to_pylist() == ["personal_data.count", None, None, "personal_data.count"]
    kept = PersonalData(kinds=("ip",), mask="")(batch.slice(2, 2))
    assert kept.column("text").to_pylist() == texts[2:] and kept.column("personal_ip").to_pylist() == [0, 1]
    hashed = PersonalData(kinds=("email",), mask="hash", key="k")(batch).column("text").to_pylist()[0]
    assert re.fullmatch(r"mail <EMAIL-\w{10}> or <EMAIL-\w{10}>", hashed)
    assert PersonalData()(batch.slice(0, 0)).num_rows == 0
    for wrong in ({"kinds": ("mail",)}, {"kinds": ()}, {"mask": "stars"}, {"mask": "hash"}):
        with pytest.raises(DataError):
            PersonalData(**wrong)


def test_a_step_travels_to_other_processes_and_takes_what_toml_gives() -> None:
    step = PersonalData(kinds=["ip", "email"])
    assert pickle.loads(pickle.dumps(step)) == step == PersonalData(kinds=("email", "ip"))


def test_findings_do_not_cross_documents() -> None:
    batch = to_batch(
        [Document("write to me", "1", "s"), Document("@b.co 212-555-", "2", "s"), Document("0187", "3", "s")]
    )
    assert PersonalData()(batch).column("text").to_pylist() == ["write to me", "@b.co 212-555-", "0187"]


def test_many_findings_are_all_found() -> None:
    rng = random.Random(0)
    text = " ".join(f"u{rng.randrange(10**6)}@h.org" for _ in range(40_000))
    assert len(find_personal_data(text)) == 40_000
