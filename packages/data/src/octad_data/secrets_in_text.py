"""Keys and secrets by the forms that their issuers give them, and values assigned to names like `password`."""

import math
import re
from collections import Counter

_EDGE = rb"(?![A-Za-z0-9_-])"
TOKENS = tuple(
    re.compile(pattern + _EDGE)
    for pattern in (
        rb"A(?:KI|SI|BI|CC)A[A-Z2-7]{16}",  # Amazon access key ids
        rb"AIza[\w-]{35}",  # Google API keys
        rb"ya29\.[\w-]{20,512}",  # Google OAuth
        rb"gh[pousr]_[A-Za-z0-9]{36,255}",  # GitHub
        rb"github_pat_\w{22,255}",
        rb"glpat-[\w-]{20,64}",  # GitLab
        rb"xox[abeoprs]-[A-Za-z0-9-]{10,250}",  # Slack
        rb"[sr]k_(?:live|test)_[A-Za-z0-9]{16,247}",  # Stripe
        rb"hf_[A-Za-z]{30,40}",  # Hugging Face
        rb"npm_[A-Za-z0-9]{36}",
        rb"pypi-AgE[\w-]{50,512}",
        rb"SG\.[\w-]{16,32}\.[\w-]{32,64}",  # SendGrid
        rb"eyJ[\w-]{8,2048}\.eyJ[\w-]{8,8192}\.[\w-]{8,2048}",  # JSON web token
    )
)
SK_TOKEN = re.compile(rb"sk-(?:[a-z]{2,8}[0-9]{0,2}-)?[\w-]{20,200}" + _EDGE)  # OpenAI and those that follow it
KEY_BLOCK = re.compile(rb"-----BEGIN (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
KEY_END = re.compile(rb"-----END (?:[A-Z0-9]{2,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----")
MAX_KEY_BLOCK = 1 << 14

NAME = re.compile(
    rb"(?:passw(?:or)?d|pwd|pass|secret|token|credentials"
    rb"|(?:api|access|auth|private|secret|encryption|account|shared)[_ -]?key)[^\w:=]{0,3}\Z",
    re.IGNORECASE,
)
VALUE = re.compile(rb"""[:=]{1,2}>?[ \t]{0,3}(["']?)([^\s"'<>,;()\[\]{}]{6,256})(["']?)""")
PLACEHOLDER = re.compile(
    rb"\A(?:your|example|changeme|placeholder|null|none|true|false)|xxx|\*\*|\.\.\.|\$|%|https?:", re.IGNORECASE
)


def token_at(data: bytes, place: int) -> int:
    """Where the token or private key that begins at a place ends, 0 if there is none."""
    if data[place : place + 1] == b"-":
        begin = KEY_BLOCK.match(data, place, place + 80)
        if begin is None:
            return 0
        end = KEY_END.search(data, begin.end(), begin.end() + MAX_KEY_BLOCK)
        return end.end() if end else 0
    for pattern in TOKENS:
        found = pattern.match(data, place)
        if found:
            return found.end()
    found = SK_TOKEN.match(data, place)
    if found and _is_mixed(found.group()) and entropy(found.group()[3:]) >= 3.0:
        return found.end()
    return 0


def assigned_at(data: bytes, place: int) -> tuple[int, int]:
    """The value given, with `:` or `=` at a place, to a name like `password` or `api_key`; (0, 0) if there is none.

    It has letters and digits, 2.5 bits of entropy a byte (3 where it is longer than 16), and does not look like a
    placeholder, an address, or a piece of code.
    """
    if not NAME.search(data, max(place - 32, 0), place):
        return 0, 0
    found = VALUE.match(data, place, place + 300)
    if found is None:
        return 0, 0
    quote, value, closing = found.groups()
    if not quote and not closing:
        value = value.rstrip(b".!?:|`*")
    if len(value) < (6 if quote else 8) or not _is_mixed(value) or PLACEHOLDER.search(value):
        return 0, 0
    if entropy(value) < (3.0 if len(value) > 16 else 2.5) or (not quote and (b"." in value and b"_" in value)):
        return 0, 0
    start = found.start(2)
    return start, start + len(value)


def entropy(value: bytes) -> float:
    """Bits a byte of the value's own distribution."""
    counts = Counter(value).values()
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts) if value else 0.0


def _is_mixed(value: bytes) -> bool:
    return any(48 <= c < 58 for c in value) and any(65 <= c < 91 or 97 <= c < 123 for c in value)
