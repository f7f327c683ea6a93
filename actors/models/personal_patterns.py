"""Addresses and numbers in texts as people write them: e-mail, telephone, payment cards, IBANs.

Presidio's own recognizers of these miss forms that chats are full of (spaced and dotted cards, IBANs in lower case,
numbers of most countries), and two of theirs take quadratic time on long texts without blanks. Each function here is
linear in the text, and gives spans of characters (start, end) with how certain they are, 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import phonenumbers
import regex
from phonenumbers import Leniency, PhoneNumberMatcher

Scored = tuple[int, int, float]

SEPARATORS = " -.\u00a0\u2009\u202f/"
"""What stands between the groups of a number; at most one between two digits."""

_LOCAL = r"[\w!#$%&'*+/=?^`{|}~.-]"
_EMAIL = regex.compile(rf"(?<!{_LOCAL}){_LOCAL}++@(?:[\w-]++\.)+[\w-]*\p{{L}}[\w-]*")
_DOT, _AT = r"\s?[\[({<]\s?(?:dot|\.)\s?[\])}>]\s?", r"\s?[\[({<]\s?(?:at|@)\s?[\])}>]\s?"
_BRACKETED_EMAIL = regex.compile(rf"(?<![\w.+-])[\w.+-]++{_AT}[\w-]++(?:(?:{_DOT}|\.)[\w-]++)+", regex.IGNORECASE)
_SPELLED_EMAIL = regex.compile(
    r"(?<![\w.+-])[\w+-]++(?: dot [\w+-]++)*+ at [\w-]++(?: dot [\w-]++)*"
    r" dot (?:com|org|net|edu|gov|io|co|uk|de|fr|eu|info)\b",
    regex.IGNORECASE,
)


def emails(text: str) -> Iterator[Scored]:
    """`ann@example.org`, `ann [at] example [dot] org`, `ann at example dot org`."""
    if "@" in text:
        for match in _EMAIL.finditer(text):
            start = match.start() + (len(match.group()) - len(match.group().lstrip("'`{|/=.")))
            yield start, match.end(), 1.0
    lowered = text.lower()
    if "at" in lowered or "@" in lowered:
        for match in _BRACKETED_EMAIL.finditer(text):
            yield match.start(), match.end(), 0.9
    if " at " in lowered and " dot " in lowered:
        for match in _SPELLED_EMAIL.finditer(text):
            yield match.start(), match.end(), 0.8


# payment cards

_CARD_LENGTHS = range(19, 12, -1)
_CARD_START = regex.compile(r"(?<!\d)(?<!\d[.,])\d")


def cards(text: str) -> Iterator[Scored]:
    """13 to 19 digits of a scheme that exists, in groups or not, with Luhn's check digit (ISO/IEC 7812)."""
    last = -1
    for begin in _CARD_START.finditer(text):
        start = begin.start()
        if start < last:
            continue
        digits, ends = _run(text, start, _is_digit, 19)
        for length in _CARD_LENGTHS:
            if len(digits) >= length and not text[ends[length - 1] : ends[length - 1] + 1].isdigit():
                number = "".join(digits[:length])
                if _is_scheme(number) and luhn(number):
                    last = ends[length - 1]
                    yield start, last, 1.0
                    break


def _is_scheme(number: str) -> bool:
    """Whether the first digits and the length are those of a payment scheme, and the number is no repetition."""
    length, four = len(number), int(number[:4])
    if len(set(number)) < 2:
        return False
    if number[0] == "4":
        return length in (13, 16, 19)
    if 51 <= four // 100 <= 55 or 2221 <= four <= 2720:
        return length == 16
    if four // 100 in (34, 37):
        return length == 15
    if four // 100 in (36, 38, 39) or 300 <= four // 10 <= 305:
        return 14 <= length <= 19
    if 3528 <= four <= 3589 or four == 6011 or four // 100 in (62, 64, 65) or four // 10 in (644, 645):
        return 16 <= length <= 19
    return four // 100 in (50, 56, 57, 58, 60, 61, 63, 66, 67, 68, 69) and 13 <= length <= 19


def luhn(number: str) -> bool:
    total = 0
    for place, digit in enumerate(map(int, reversed(number))):
        doubled = digit * 2 if place % 2 else digit
        total += doubled - 9 if doubled > 9 else doubled
    return total % 10 == 0


# IBANs

_IBAN_START = regex.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}[ \-.]?\d[ \-.]?\d")
IBAN_LENGTHS = {
    **dict.fromkeys(("NO",), 15),
    **dict.fromkeys(("BE",), 16),
    **dict.fromkeys(("DK", "FI", "FO", "GL", "NL", "SD", "FK"), 18),
    **dict.fromkeys(("MK", "SI"), 19),
    **dict.fromkeys(("AT", "BA", "EE", "KZ", "LT", "LU", "XK", "MN"), 20),
    **dict.fromkeys(("CH", "CR", "HR", "LI", "LV"), 21),
    **dict.fromkeys(("BG", "BH", "DE", "GB", "GE", "IE", "ME", "RS", "VA"), 22),
    **dict.fromkeys(("AE", "GI", "IL", "IQ", "TL", "OM", "SO"), 23),
    **dict.fromkeys(("AD", "CZ", "ES", "MD", "PK", "RO", "SA", "SE", "SK", "TN", "VG"), 24),
    **dict.fromkeys(("LY", "PT", "ST"), 25),
    **dict.fromkeys(("IS", "TR"), 26),
    **dict.fromkeys(("BI", "DJ", "FR", "GR", "IT", "MC", "MR", "SM"), 27),
    **dict.fromkeys(("AL", "AZ", "BY", "CY", "DO", "GT", "HU", "LB", "NI", "PL", "SV"), 28),
    **dict.fromkeys(("BR", "EG", "PS", "QA", "UA"), 29),
    **dict.fromkeys(("JO", "KW", "MU", "YE"), 30),
    **dict.fromkeys(("MT", "SC"), 31),
    **dict.fromkeys(("LC",), 32),
    **dict.fromkeys(("RU",), 33),
}
"""Characters of an IBAN by country (ISO 13616 registry)."""


def ibans(text: str) -> Iterator[Scored]:
    """A country's IBAN of its length, in groups or not, in either case, with its check digits (ISO 7064 mod 97-10)."""
    for begin in _IBAN_START.finditer(text):
        start = begin.start()
        length = IBAN_LENGTHS.get(text[start : start + 2].upper())
        if length is None:
            continue
        found, ends = _run(text, start, _is_iban_character, length)
        if len(found) == length and not text[ends[-1] : ends[-1] + 1].isalnum() and _mod_97("".join(found)):
            yield start, ends[-1], 1.0


def _is_digit(character: str) -> bool:
    return character.isascii() and character.isdigit()


def _is_iban_character(character: str) -> bool:
    return character.isascii() and character.isalnum()


def _mod_97(iban: str) -> bool:
    moved = (iban[4:] + iban[:4]).upper()
    return int("".join(str(int(character, 36)) for character in moved)) % 97 == 1


def _run(text: str, start: int, wanted: Callable[[str], bool], limit: int) -> tuple[list[str], list[int]]:
    """Up to `limit` wanted characters from `start` on, single separators between them left out; where each ends."""
    found: list[str] = []
    ends: list[int] = []
    at = start
    while at < len(text) and len(found) < limit:
        if wanted(text[at]):
            found.append(text[at])
            at += 1
            ends.append(at)
        elif text[at] in SEPARATORS and found and ends[-1] == at:
            at += 1
        else:
            break
    return found, ends


# telephones

REGIONS = ("US", "GB", "DE", "FR", "ES", "IT", "IN", "AU", "BR", "JP", "NL", "CH", "PL", "SE")
"""Whose national forms are known; with a + and a country's code, those of all."""

_CANDIDATE = regex.compile(r"(?<![\w@])[+(\d](?:[\s()./\u2010-\u2015\u00a0-]{0,3}\d){6,17}(?![\w@])")
_GROUP = regex.compile(r"\d+")
MOST_GROUPS = 8
"""Groups of digits in a number that somebody dials; a list of digits has more."""

_DATE_OR_TIME = regex.compile(
    r"(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])(?:[ T-]?\d{1,2}.*)?"
    r"|(?:0?[1-9]|[12]\d|3[01])[-./ ](?:0?[1-9]|[12]\d|3[01])[-./ ](?:19|20)\d\d(?:[ T]\d{1,2}.*)?"
    r"|(?:19|20)\d\d\s?[-\u2013/]\s?(?:19|20)\d\d"
    r"|\d{1,3}(?:\.\d{1,3}){3}"
)


def phones(text: str) -> Iterator[Scored]:
    """Numbers that can be dialled, of any country with its code, of `REGIONS` without; dates and addresses are none."""
    seen: set[tuple[int, int]] = set()
    for candidate in _CANDIDATE.finditer(text):
        for start, end, score in _phones_in(text, candidate.start(), candidate.end()):
            if (start, end) not in seen:
                seen.add((start, end))
                yield start, end, score


def _phones_in(text: str, start: int, end: int) -> Iterator[Scored]:
    piece = text[start:end]
    if _DATE_OR_TIME.fullmatch(piece.strip("() ")):
        return
    if len(_GROUP.findall(piece)) > MOST_GROUPS:
        return
    international = piece.lstrip("(").startswith(("+", "00"))
    regions: tuple[str | None, ...] = (None,) if piece.lstrip("(").startswith("+") else REGIONS
    for region in regions:
        for match in PhoneNumberMatcher(piece, region, leniency=Leniency.VALID):
            grouped = any(mark in match.raw_string for mark in " -.()/\u00a0")
            yield start + match.start, start + match.end, 0.9 if international else 0.6 if grouped else 0.4
            return
    if international and _is_possible("+" + piece.lstrip("+(0")):
        yield start, end, 0.6


def _is_possible(number: str) -> bool:
    """Whether a country's numbers have this length; many more do than are given out."""
    try:
        return bool(phonenumbers.is_possible_number(phonenumbers.parse(number)))
    except phonenumbers.NumberParseException:
        return False
