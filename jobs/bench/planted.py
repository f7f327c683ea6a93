"""Made-up sentences of chats with personal data planted in them: names of many cultures, numbers in many forms.

Templates and names come in two halves. Recognizers may be improved by looking at what they miss in the first; the
second is held out, and is what is reported.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

import phonenumbers

from jobs.bench.planted_words import FIRST_NAMES, LAST_NAMES, PLAIN, TEMPLATES

KINDS = ("PERSON", "EMAIL_ADDRESS", "PHONE_NUMBER", "CREDIT_CARD", "IBAN_CODE")
HALVES = ("seen", "held_out")
CARRYING_PART = 0.8
"""Part of the sentences that carry something; the rest have dates, prices, places and other things that are none."""


@dataclass(frozen=True, slots=True)
class Planted:
    kind: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Sentence:
    text: str
    planted: tuple[Planted, ...]
    half: str


def sentences(count: int, seed: int, half: str) -> list[Sentence]:
    """`count` sentences of one half; the same for the same seed."""
    source = _Source(random.Random(f"{half} {seed}"), HALVES.index(half))
    return [source.sentence(half) for _ in range(count)]


class _Source:
    """Values and templates of one half, drawn at random."""

    def __init__(self, draw: random.Random, half: int) -> None:
        self._draw = draw
        self._first, self._last = FIRST_NAMES[half::2], LAST_NAMES[half::2]
        self._templates = {kind: lines[half::2] for kind, lines in TEMPLATES.items()}
        self._plain = PLAIN[half::2]
        self._makers: dict[str, Callable[[], str]] = {
            "PERSON": self.name,
            "EMAIL_ADDRESS": self.email,
            "PHONE_NUMBER": self.phone,
            "CREDIT_CARD": self.card,
            "IBAN_CODE": self.iban,
        }

    def sentence(self, half: str) -> Sentence:
        if self._draw.random() > CARRYING_PART:
            return Sentence(self._draw.choice(self._plain), (), half)
        kind = self._draw.choice(("PERSON", "PERSON", *KINDS[1:]))
        template = self._draw.choice(self._templates[kind])
        text, planted = "", []
        for number, piece in enumerate(template.split("|")):
            if number % 2:
                value = self._makers[piece]()
                planted.append(Planted(piece, len(text), len(text) + len(value)))
                text += value
            else:
                text += piece
        return Sentence(text, tuple(planted), half)

    def name(self) -> str:
        first = self._draw.choice(self._first)
        name = first if self._draw.random() < 0.6 else f"{first} {self._draw.choice(self._last)}"
        way = self._draw.random()
        return name.lower() if way < 0.04 else name.upper() if way < 0.06 else name

    def email(self) -> str:
        first, last = (_ascii(self._draw.choice(names)) for names in (self._first, self._last))
        number = self._draw.randrange(100)
        local = self._draw.choice(
            (f"{first}.{last}", f"{first}{number}", f"{first[0]}_{last}", f"{first}+news", f"{last}-{first}", first)
        )
        domain = self._draw.choice(
            ("gmail.com", "example.co.uk", "mail.example.org", "uni-koeln.de", "corp.example", "xn--bcher-kva.de")
        )
        domain = self._draw.choice((domain, domain, "posteo.net", "proton.me", "yahoo.com.br", "студия.рф"))
        plain = f"{local}@{domain}"
        forms = (plain, plain, plain, plain.upper(), plain.capitalize())
        rare = (f"{local} [at] {domain.replace('.', ' [dot] ')}", f"{local} (at) {domain}")
        return self._draw.choice(rare) if self._draw.random() < 0.08 else self._draw.choice(forms)

    def phone(self) -> str:
        region = self._draw.choice(_PHONE_REGIONS)
        example = phonenumbers.example_number_for_type(region, self._draw.choice(_PHONE_TYPES))
        if example is None:
            return self.phone()
        for _ in range(50):
            national = str(example.national_number)
            kept = national[:-4] + f"{self._draw.randrange(10_000):04d}"
            number = phonenumbers.PhoneNumber(
                country_code=example.country_code,
                national_number=int(kept),
                italian_leading_zero=example.italian_leading_zero,
            )
            if phonenumbers.is_valid_number(number):
                break
        international = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)
        forms = [
            international,
            international.replace(" ", ""),
            international.replace(" ", "-"),
            international.replace(" ", "."),
        ]
        forms.append("00" + international[1:])
        if region in _NATIONAL_REGIONS:
            national_form = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)
            forms += [national_form, national_form, national_form.replace(" ", "-").replace("--", "-")]
        if region == "US":
            digits = str(number.national_number)
            forms += [f"{digits[:3]}.{digits[3:6]}.{digits[6:]}", f"1-{digits[:3]}-{digits[3:6]}-{digits[6:]}", digits]
        return self._draw.choice(forms)

    def card(self) -> str:
        prefix, length, groups = self._draw.choice(_CARDS)
        digits = prefix + "".join(str(self._draw.randrange(10)) for _ in range(length - len(prefix) - 1))
        digits += next(str(last) for last in range(10) if _luhn(digits + str(last)))
        mark = self._draw.choice((" ", " ", "-", "", ".", "\u00a0"))
        return _grouped(digits, groups, mark)

    def iban(self) -> str:
        country, bban = self._draw.choice(_IBANS)
        body = "".join(
            str(self._draw.randrange(10))
            if c == "n"
            else self._draw.choice("ABCDEFGHJKLMNPQRSTUVWXYZ")
            if c == "a"
            else c
            for c in bban
        )
        check = 98 - int("".join(str(int(c, 36)) for c in body + country + "00")) % 97
        iban = f"{country}{check:02d}{body}"
        mark = self._draw.choice((" ", " ", " ", "", "-"))
        grouped = _grouped(iban, (4,) * 9, mark)
        return grouped.lower() if self._draw.random() < 0.08 else grouped


_PHONE_TYPES = (phonenumbers.PhoneNumberType.MOBILE, phonenumbers.PhoneNumberType.FIXED_LINE)
_NATIONAL_REGIONS = ("US", "GB", "DE", "FR", "IN", "AU")
_PHONE_REGIONS = tuple(
    (" ".join(_NATIONAL_REGIONS * 2) + " ES IT NG BR MX JP KR CN ZA TR SE NO IE KE AR EG PK VN UA IL").split()
)

_CARDS = (
    ("4", 16, (4, 4, 4, 4)),
    ("51", 16, (4, 4, 4, 4)),
    ("2221", 16, (4, 4, 4, 4)),
    ("34", 15, (4, 6, 5)),
    ("37", 15, (4, 6, 5)),
    ("6011", 16, (4, 4, 4, 4)),
    ("3530", 16, (4, 4, 4, 4)),
    ("36", 14, (4, 6, 4)),
    ("62", 16, (4, 4, 4, 4)),
    ("4", 13, (4, 3, 3, 3)),
    ("6759", 18, (4, 4, 4, 4, 2)),
)
_IBANS = (
    ("DE", "n" * 18),
    ("GB", "aaaa" + "n" * 14),
    ("FR", "n" * 23),
    ("NL", "aaaa" + "n" * 10),
    ("CH", "n" * 17),
    ("IT", "a" + "n" * 22),
    ("ES", "n" * 20),
    ("PL", "n" * 24),
    ("NO", "n" * 11),
    ("BE", "n" * 12),
    ("MT", "aaaa" + "n" * 23),
    ("AE", "n" * 19),
    ("TR", "n" * 22),
    ("BR", "n" * 23 + "aa"),
)


def _luhn(number: str) -> bool:
    total = 0
    for place, digit in enumerate(reversed(number)):
        value = int(digit) * (2 if place % 2 else 1)
        total += value - 9 if value > 9 else value
    return total % 10 == 0


def _grouped(text: str, sizes: tuple[int, ...], mark: str) -> str:
    groups, at = [], 0
    for size in sizes:
        if at < len(text):
            groups.append(text[at : at + size])
            at += size
    return mark.join([*groups, *([text[at:]] if at < len(text) else [])])


def _ascii(name: str) -> str:
    kept = name.lower().encode("ascii", "ignore").decode()
    return "".join(c for c in kept if c.isalnum()) or "someone"
