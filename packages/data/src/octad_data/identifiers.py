"""Numbers that prove themselves: IBAN, payment cards, national numbers. Each takes ASCII and is total."""

from datetime import date

IBAN_LENGTHS = {  # ISO 13616 registry
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SD": 18,
    "SE": 24, "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22,
    "VG": 24, "XK": 20,
}  # fmt: skip
CN_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def is_iban(text: str) -> bool:
    """Right length for its country, and 1 modulo 97 after the first four characters went to the end (ISO 13616)."""
    if IBAN_LENGTHS.get(text[:2]) != len(text) or not (text.isascii() and text.isalnum() and text[2:4].isdigit()):
        return False
    digits = "".join(str(int(c, 36)) for c in text[4:] + text[:4])
    return int(digits) % 97 == 1


def luhn(digits: str) -> bool:
    """Whether the digits, every second from the right doubled, sum to a multiple of 10 (ISO/IEC 7812)."""
    total = 0
    for i, digit in enumerate(reversed(digits)):
        value = int(digit) * (1 + i % 2)
        total += value - 9 * (value > 9)
    return total % 10 == 0


def is_card(digits: str) -> bool:
    """An issuer's prefix, its length, and Luhn's check; not one digit over and over."""
    n, two, three, four = len(digits), int(digits[:2]), int(digits[:3]), int(digits[:4])
    issued = (
        (digits[0] == "4" and n in (13, 16, 19))  # Visa
        or (n == 16 and (51 <= two <= 55 or 2221 <= four <= 2720))  # Mastercard
        or (n == 15 and two in (34, 37))  # American Express
        or (n in (16, 19) and (four == 6011 or 644 <= three <= 649 or two == 65))  # Discover
        or (n == 16 and 3528 <= four <= 3589)  # JCB
        or (n == 14 and (300 <= three <= 305 or two in (36, 38, 39)))  # Diners Club
        or (16 <= n <= 19 and two == 62)  # UnionPay
    )
    return issued and len(set(digits)) > 1 and luhn(digits)


def is_us_social_security(digits: str) -> bool:
    """Area not 000, 666 or 9xx, group not 00, serial not 0000; and none of the numbers known from advertisements."""
    area, group, serial = digits[:3], digits[3:5], digits[5:]
    if area in ("000", "666") or area[0] == "9" or group == "00" or serial == "0000":
        return False
    return digits not in ("078051120", "219099999", "123456789") and len(set(digits)) > 2


def is_cpf(digits: str) -> bool:
    """Brazil's CPF: two check digits modulo 11."""
    if len(digits) != 11 or len(set(digits)) == 1:
        return False
    for n in (9, 10):
        rest = sum(int(digits[i]) * (n + 1 - i) for i in range(n)) * 10 % 11 % 10
        if rest != int(digits[n]):
            return False
    return True


def is_chinese_resident(text: str) -> bool:
    """China's 18-character number: a real birthday and the check character of ISO 7064 MOD 11-2."""
    if len(text) != 18 or not text[:17].isdigit():
        return False
    try:
        born = date(int(text[6:10]), int(text[10:12]), int(text[12:14]))
    except ValueError:
        return False
    check = "10X98765432"[sum(int(d) * w for d, w in zip(text, CN_WEIGHTS, strict=False)) % 11]
    return 1900 <= born.year <= 2100 and "11" <= text[:2] <= "82" and text[17].upper() == check


def is_french_social_security(digits: str) -> bool:
    """France's NIR of 15 digits: sex 1 or 2, a month, and a key of 97 minus the rest modulo 97."""
    if len(digits) != 15 or digits[0] not in "12" or not 1 <= int(digits[3:5]) <= 12:
        return False
    return int(digits[13:]) == 97 - int(digits[:13]) % 97
