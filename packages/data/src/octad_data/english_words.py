"""How English text is cut into words, as the rules of the well-known filters expect it: spaCy's way, a piece at a time.

White space parts pieces. Of a piece, punctuation, quotes and currency are taken off at both ends, contractions are cut
(`do` + `n't`), and what is left is cut at hyphens, slashes and the like between letters. The split of a piece depends
on the piece alone, so that each different one is looked at once.
"""

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

QUOTES = frozenset("'\"”“`‘´’‚,„»«「」『』（）〔〕【】《》〈〉⟦⟧")
PUNCTUATION = frozenset("…,:;!?¿؟¡()[]{}<>_#*&。？！，、；：～·।،۔؛٪")
CURRENCY = ("US$", "C$", "A$", *"$£€¥฿₽﷼₴₠₡₢₣₤₥₦₧₨₩₪₫₭₮₯₰₱₲₳₵₶₷₸₹₺₻₼₾₿")
HYPHENS = ("---", "--", "——", "-", "–", "—", "~")
UNITS = tuple(
    sorted(
        [
            "km",
            "km²",
            "km³",
            "m",
            "m²",
            "m³",
            "dm",
            "dm²",
            "dm³",
            "cm",
            "cm²",
            "cm³",
            "mm",
            "mm²",
            "mm³",
            "ha",
            "µm",
            "nm",
            "yd",
            "in",
            "ft",
            "kg",
            "g",
            "mg",
            "µg",
            "t",
            "lb",
            "oz",
            "m/s",
            "km/h",
            "kmh",
            "mph",
            "hPa",
            "Pa",
            "mbar",
            "mb",
            "MB",
            "kb",
            "KB",
            "gb",
            "GB",
            "tb",
            "TB",
            "T",
            "G",
            "M",
            "K",
            "%",
        ],
        key=len,
        reverse=True,
    )
)
URL = re.compile(
    r"(?:[\w+.-]{2,}://)?(?:\S+@)?"
    r"(?:(?:[1-9]\d?|1\d\d|2[01]\d|22[0-3])(?:\.\d{1,3}){3}"
    r"|(?:[^\W_](?:[\w-]{0,62}[^\W_])?\.)+[a-z\u00df-\u00f6\u00f8-\u00ff]{2,63})"
    r"(?::\d{2,5})?(?:[/?#]\S*)?"
)
EMOTICONS = (
    ":) :-) :)) :-)) :))) :-))) (: (-: =) (= :] :-] [: [-: [= =] :o) (o: :} :-} 8) 8-) (-8 ;) ;-) (; (-; :( :-( :(( "
    ":-(( :((( :-((( ): )-: =( >:( :') :'-) :'( :'-( :/ :-/ =/ =| :| :-| ]= =[ :1 :P :-P :p :-p :O :-O :o :-o :0 :-0 "
    ":() >:o :* :-* :3 :-3 =3 :> :-> :X :-X :x :-x :D :-D ;D ;-D =D xD XD xDD XDD 8D 8-D ^_^ ^__^ ^___^ >.< >.> <.< "
    "._. ;_; -_- -__- v.v V.V v_v V_V o_o o_O O_o O_O 0_o o_0 0_0 o.O O.o O.O o.o 0.0 o.0 0.o @_@ <3 <33 <333 </3"
)
ABBREVIATIONS = (
    "Mt. Ak. Ala. Apr. Ariz. Ark. Aug. Calif. Colo. Conn. Dec. Del. Feb. Fla. Ga. Ia. Id. Ill. Ind. Jan. Jul. "
    "Jun. Kan. Kans. Ky. La. Mar. Mass. Mich. Minn. Miss. N.C. N.D. N.H. N.J. N.M. N.Y. Neb. Nebr. Nev. Nov. Oct. "
    "Okla. Ore. Pa. S.C. Sep. Sept. Tenn. Va. Wash. Wis. a.m. Adm. Bros. co. Co. Corp. D.C. Dr. e.g. E.g. E.G. "
    "Gen. Gov. i.e. I.e. I.E. Inc. Jr. Ltd. Md. Messrs. Mo. Mont. Mr. Mrs. Ms. p.m. Ph.D. Prof. Rep. Rev. Sen. "
    "St. vs. v.s. 'd 'S 's ‘S ‘s and/or w/o 're 'Cause 'cause 'cos 'Cos 'coz 'Coz 'cuz 'Cuz 'bout ma'am Ma'am "
    "o'clock O'clock lovin' Lovin' havin' Havin' doin' Doin' goin' Goin' nothin' Nothin' nuthin' Nuthin' ol' Ol' "
    "somethin' Somethin' 'em 'll 'nuff ' '' C++ ä. ö. ü. \\\")"
)
NOT_CONTRACTIONS = frozenset(
    [
        "Ill",
        "ill",
        "Its",
        "its",
        "Hell",
        "hell",
        "Shell",
        "shell",
        "Shed",
        "shed",
        "were",
        "Were",
        "Well",
        "well",
        "Whore",
        "whore",
    ]
)


@cache
def special_pieces() -> dict[str, tuple[str, ...]]:
    """Pieces with a split of their own: abbreviations and emoticons stay whole, contractions are cut."""
    whole = [*EMOTICONS.split(), *ABBREVIATIONS.split(), *(f"{letter}." for letter in "abcdefghijklmnopqrstuvwxyz")]
    found: dict[str, tuple[str, ...]] = {piece: (piece,) for piece in whole}
    for pieces in _contractions():
        found["".join(pieces)] = pieces
    for degree in "cfkCFK":
        found[f"°{degree}."] = ("°", degree, ".")
    for piece, split in list(found.items()):
        if "'" in piece:
            found.setdefault(piece.replace("'", "’"), tuple(word.replace("'", "’") for word in split))
    return {piece: split for piece, split in found.items() if piece not in NOT_CONTRACTIONS}


def _contractions() -> Iterator[tuple[str, ...]]:
    """With and without the apostrophe, small and with a capital."""
    for words, endings in (
        ("i", ("'m", "'m+a", "'ll", "'ll+'ve", "'d", "'d+'ve", "'ve")),
        ("you we they", ("'ll", "'ll+'ve", "'d", "'d+'ve", "'ve", "'re")),
        ("he she it", ("'ll", "'ll+'ve", "'d", "'d+'ve", "'s")),
        ("who what when where why how there", ("'s", "'ll", "'ll+'ve", "'re", "'ve", "'d", "'d+'ve")),
        ("that this", ("'s", "'ll", "'ll+'ve", "'d", "'d+'ve")),
        ("these those", ("'ll", "'ll+'ve", "'re", "'ve", "'d", "'d+'ve")),
        ("ca could do does did had may might must need ought sha should wo would", ("n't", "n't+'ve")),
        ("could might must should would not", ("'ve",)),
        ("ai are is was were have has dare", ("n't",)),
    ):
        for word in words.split():
            for ending in endings:
                for start in (word, word.title()):
                    pieces = (start, *ending.split("+"))
                    yield pieces
                    yield tuple(piece.replace("'", "") for piece in pieces)
    for hour in range(1, 13):
        for period in ("a.m.", "am", "p.m.", "pm"):
            yield str(hour), period
    for line in ("can not", "Can not", "gon na", "Gon na", "got ta", "Got ta", "let 's", "Let 's"):
        yield tuple(line.split())
    for line in ("c'm on", "C'm on", "y' all", "y all", "how 'd 'y", "How 'd 'y"):
        yield tuple(line.split())


def split_piece(piece: str) -> list[str]:
    """The words of a piece without white space; joined they give the piece again."""
    special = special_pieces()
    before, after = list[str](), list[str]()
    last = -1
    while piece and len(piece) != last and piece not in special:
        last = len(piece)
        start = _prefix_length(piece)
        if start and piece[start:] in special:
            before.append(piece[:start])
            piece = piece[start:]
            break
        end = _suffix_length(piece[start:])
        if end and piece[:-end] in special:
            after.append(piece[-end:])
            piece = piece[:-end]
            break
        if start:
            before.append(piece[:start])
        if end:
            after.append(piece[-end:])
        piece = piece[start : len(piece) - end]
    return _rejoined([*before, *_inside(piece), *reversed(after)])


def _rejoined(words: list[str]) -> list[str]:
    """Neighbours that together are an emoticon or the like, which was taken apart while it had company, made whole."""
    special, joined = special_pieces(), list[str]()
    at = 0
    while at < len(words):
        size = 1
        for count in range(min(5, len(words) - at), 1, -1):
            if special.get("".join(words[at : at + count]), ()) == ("".join(words[at : at + count]),):
                size = count
                break
        joined.append("".join(words[at : at + size]))
        at += size
    return joined


def _inside(piece: str) -> list[str]:
    if not piece:
        return []
    if piece in special_pieces():
        return list(special_pieces()[piece])
    if URL.fullmatch(piece):
        return [piece]
    words, start, at = list[str](), 0, 1
    while at < len(piece):
        length = _infix_length(piece, at)
        if length:
            words += [piece[start:at], piece[at : at + length]]
            start = at = at + length
        else:
            at += 1
    return [word for word in (*words, piece[start:]) if word]


def _prefix_length(piece: str) -> int:
    first = piece[0]
    if first in "§%=—–" or first in PUNCTUATION or first in QUOTES:
        return 1
    if first == "+":
        return int(not piece[1:2].isdigit())
    if piece.startswith(".."):
        return len(piece) - len(piece.lstrip("."))
    for money in CURRENCY:
        if piece.startswith(money):
            return len(money)
    return int(unicodedata.category(first) == "So")


def _suffix_length(piece: str) -> int:
    if not piece:
        return 0
    last, before = piece[-1], piece[-2:-1]
    if piece.endswith(".."):
        return len(piece) - len(piece.rstrip("."))
    if piece.endswith(("'s", "'S", "’s", "’S", "……")):
        return 2
    if last == ".":
        return int(
            bool(before)
            and (
                before in "0123456789%²-+"
                or before in PUNCTUATION
                or before in QUOTES
                or _is_small(before)
                or (_is_capital(before) and len(piece) > 2 and _is_capital(piece[-3]))
                or (len(piece) > 2 and piece[-3] == "°" and before in "FfCcKk")
            )
        )
    for ending in (*CURRENCY, *UNITS):
        if piece.endswith(ending) and piece[-len(ending) - 1 : -len(ending)].isdigit():
            return len(ending)
    if last == "+":
        return int(before.isdigit())
    if last in PUNCTUATION or last in QUOTES or last in "—–":
        return 1
    return int(unicodedata.category(last) == "So")


def _infix_length(piece: str, at: int) -> int:
    """Length of what parts two words at a place, 0 where nothing does."""
    character, before, after = piece[at], piece[at - 1], piece[at + 1 : at + 2]
    if character == ".":
        rest = piece[at:]
        dots = len(rest) - len(rest.lstrip("."))
        if dots > 1:
            return dots
        is_end = _is_small(before) or before in QUOTES
        return int(is_end and bool(after) and (_is_capital(after) or after in QUOTES))
    if character == "…" or unicodedata.category(character) == "So":
        return 1
    if character in "+-*^" and before.isdigit() and (after.isdigit() or after == "-"):
        return 1
    if character == ",":
        return int(_is_letter(before) and _is_letter(after))
    if character in ":<>=/":
        return int((_is_letter(before) or before.isdigit()) and _is_letter(after))
    for hyphen in HYPHENS:
        if piece.startswith(hyphen, at):
            end = at + len(hyphen)
            if (_is_letter(before) or before.isdigit()) and _is_letter(piece[end : end + 1]):
                return len(hyphen)
    return 0


def _is_letter(character: str) -> bool:
    return character.isalpha()


def _is_small(character: str) -> bool:
    return character.isalpha() and not character.isupper()


def _is_capital(character: str) -> bool:
    return character.isalpha() and not character.islower()
