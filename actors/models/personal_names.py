"""Names that the words around them tell: how people introduce, greet, address and mention one another in chats."""

from __future__ import annotations

from collections.abc import Iterator

import regex

Scored = tuple[int, int, float]

_WORD = r"\p{L}[\p{L}\p{M}]*(?:['\u2019-]\p{L}[\p{L}\p{M}]*)*"
_NAME = r"\p{Lu}[\p{L}\p{M}]*(?:['\u2019-]\p{L}[\p{L}\p{M}]*)*"
_NAMES = rf"(?P<name>{_NAME}(?:[ ]{_NAME}){{0,3}})"

_INTRODUCED = r"(?i:my (?:full )?name(?: is|['\u2019]s)|(?:people|friends|they) call me|(?:is|was) (?:called|named))"
_TITLED = r"(?i:mr|mrs|ms|miss|dr|prof|professor|aunt|auntie|uncle|grandma|grandpa|cousin|sister|brother)\.?"
_GREETED = r"(?i:hi|hey|hello|dear|thanks|thank you|bye|congrats|sorry|yo|howdy|welcome),?"

_PATTERNS = tuple(
    regex.compile(rf"(?<!\p{{L}}){pattern}")
    for pattern in (
        rf"{_INTRODUCED} (?P<name>(?!(?:a|an|the|not) ){_WORD}(?: {_NAME}){{0,3}})",
        rf"{_TITLED} {_NAMES}",
        rf"{_GREETED} {_NAMES}(?=[ ]*[,.!?\u2026:\n-]|$)",
    )
)

_NOT_NAMES = frozenset(
    """There Everyone All Guys Folks Again Team Friend Friends God Man Dude Buddy Love Honey Dear Sir Madam Mom Dad Mum
    Everybody Anyone Someone So Much For The A An I You We They He She It And But To In On At My Your Our Good Morning
    Evening Night Afternoon Very Back Home Well Yes No Ok Okay Oh Wow Yeah""".split()
)


def spoken_names(text: str) -> Iterator[Scored]:
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            start, end = match.span("name")
            first = text[start:end].split(maxsplit=1)[0]
            if first.capitalize() not in _NOT_NAMES:
                yield start, end, 0.7
