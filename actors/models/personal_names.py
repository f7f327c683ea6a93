"""Names that the words around them tell: how people introduce, greet, address and mention one another in chats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

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


class Token(Protocol):
    """What is used of a spaCy token."""

    text: str
    lower_: str
    lemma_: str
    pos_: str
    ent_type_: str
    idx: int


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_KIN = _words(
    """mom mum mother dad father parent sister brother sibling son daughter kid child baby wife husband spouse partner
    fiance fiancé fiancée cousin aunt uncle niece nephew grandma grandpa grandmother grandfather friend buddy pal
    neighbor neighbour roommate flatmate boss manager colleague coworker teammate classmate teacher coach mentor
    therapist counselor doctor girlfriend boyfriend ex crush bestie"""
)
_TOWARDS_PEOPLE = _words(
    """meet tell ask call phone text email message invite see thank miss hug kiss marry know help teach remember join
    introduce raise adopt date congratulate forgive trust surprise drive babysit name with"""
)
_SPEAKING_TO = _words("talk speak listen write say give explain apologize introduce lie sing read lend propose")
_OF_PEOPLE = _words(
    """say tell ask call think laugh cry smile love hate want hope feel know believe decide teach show help visit marry
    move live come go text email write speak talk cook bake paint sing dance run hike play win lose drive study work
    graduate travel agree promise thank invite meet enjoy like need look seem remember forget learn give bring send
    adopt propose quit join start finish get make take buy sell"""
)
_ALMOST_ONLY_PEOPLE = _OF_PEOPLE - _words(
    "come go start work look seem get make take buy sell need play win lose bring"
)
_AND_I = _words("i me my we us he she")
_HOW_ARE = _words("okay ok alright fine well there coming home sick pregnant")
_TITLES = _words("dr mr mrs ms miss prof professor sir st saint")
_CALENDAR = _words(
    """monday tuesday wednesday thursday friday saturday sunday january february march april may june july august
    september october november december christmas easter halloween thanksgiving hanukkah ramadan diwali god lord"""
)
_MISREAD_AS = frozenset({"GPE", "ORG", "LOC", "NORP", "PRODUCT", "WORK_OF_ART", "FAC", "LANGUAGE", "EVENT", "LAW"})
_LONGEST_NAME = 4


def proper_names(tokens: Sequence[Token]) -> Iterator[Scored]:
    """Proper nouns that the model has seen as no name of a person, and which probably are: those that it found no kind
    for, and those that it took for a place or a firm while the words around say that a person is meant.
    """
    at = 0
    while at < len(tokens):
        end = at
        while end < len(tokens) and end - at < _LONGEST_NAME and _may_be_name(tokens[end]):
            end += 1
        if end == at:
            at += 1
            continue
        kinds = {token.ent_type_ for token in tokens[at:end]}
        after_article = at > 0 and tokens[at - 1].lower_ in ("the", "a", "an")
        if not after_article and "PERSON" not in kinds:
            animate = _among_people(tokens, at, end)
            if animate or kinds == {""}:
                last = tokens[end - 1]
                yield tokens[at].idx, last.idx + len(last.text), 0.7 if animate else 0.5
        at = end


def _may_be_name(token: Token) -> bool:
    text = token.text
    return (
        token.pos_ == "PROPN"
        and text[0].isupper()
        and (len(text) > 3 or any(letter.islower() for letter in text))
        and not any(letter.isdigit() for letter in text)
        and token.lower_.rstrip(".") not in _TITLES
        and token.lower_ not in _CALENDAR
        and (not token.ent_type_ or token.ent_type_ in _MISREAD_AS or token.ent_type_ == "PERSON")
    )


def _among_people(tokens: Sequence[Token], start: int, end: int) -> bool:
    """Whether the words next to tokens `start` to before `end` are those that stand next to persons."""
    before = [token for token in tokens[max(0, start - 3) : start] if token.text != ","]
    after = tokens[end : end + 3]
    return _told_before(before) or _told_after(after)


def _told_before(before: Sequence[Token]) -> bool:
    if not before:
        return False
    last = before[-1]
    if last.pos_ == "INTJ" or last.lemma_.lower() in _TOWARDS_PEOPLE | _KIN or last.lower_.rstrip(".") in _TITLES:
        return True
    if len(before) < 2:
        return False
    other = before[-2]
    if last.lower_ == "to":
        return other.lemma_.lower() in _SPEAKING_TO
    return last.lower_ in ("and", "&") and (other.ent_type_ == "PERSON" or other.lower_ in _AND_I)


def _told_after(after: Sequence[Token]) -> bool:
    if not after:
        return False
    first, rest = after[0], after[1:]
    if first.lower_ in _HOW_ARE or first.lower_ == "who":
        return True
    if first.lower_ in ("and", "&") and rest:
        return rest[0].lower_ in _AND_I or rest[0].ent_type_ == "PERSON"
    if first.text == "," and rest:
        return rest[0].lower_ in ("my", "our", "his", "her", "who")
    if first.pos_ in ("AUX", "ADV", "PART") and rest:
        return any(token.pos_ == "VERB" and token.lemma_.lower() in _ALMOST_ONLY_PEOPLE for token in rest)
    return first.pos_ == "VERB" and first.lemma_.lower() in _OF_PEOPLE
