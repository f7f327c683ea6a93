"""Whether two texts say the same, or the same with another value: what near vectors are confirmed by.

Texts are compared by their content: terms without stop words, in any order, but what turns a meaning round (numbers,
negation, who and when) has to be equal. No threshold on vectors does that: "I have two dogs" and "I have three dogs"
are nearer to each other than most ways of saying either.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from actors.memory.analysis import terms_of
from actors.memory.item import Memory
from actors.memory.relative_dates import resolve


@dataclass(frozen=True, slots=True)
class MergeThresholds:
    """`duplicate` and `contradiction` are the cosines from which pairs are looked at. `shared_words` is the part of
    their words, in order, that two texts of a contradiction have in common, `changed_words` how many may differ.
    """

    duplicate: float = 0.85
    contradiction: float = 0.7
    shared_words: float = 0.6
    changed_words: int = 3


THRESHOLDS = MergeThresholds()

_TOKEN = re.compile(r"\w+(?:['\u2019]\w+)?")
_NUMBER_WORDS = frozenset(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand million once twice first "
    "second third half double".split()
)
_CALENDAR = frozenset(
    "monday tuesday wednesday thursday friday saturday sunday january february march april may june july august "
    "september october november december spring summer autumn fall winter morning afternoon evening night today "
    "tomorrow yesterday tonight".split()
)
_NEGATIONS = frozenset("no not never none nobody nothing neither nor without cannot hardly stopped quit longer".split())
_DIRECTIONS = frozenset(
    "before after from to until since more less most least up down in out off on over under".split()
)
_STATES = frozenset(
    "am are is i'm you're he's she's it's we're they're that's live lives living work works working study studies own "
    "owns have has favorite favourite named called costs weighs starts begins opens closes ends meets married single "
    "speak speaks drive drives smoke smokes eat eats drink drinks weigh cost start open close leaves arrives "
    "like likes love loves want wants believe believes know knows plan plans use uses".split()
)
"""Words of statements about how things are, which one value makes another untrue: what happened may happen again."""
_PAST = frozenset(
    "was were had did went bought got made said told took saw came gave found met felt thought began kept lost sold "
    "won ran ate drank drove wrote read spent left brought taught caught heard learnt became grew knew broke".split()
)
_MANY = frozenset(
    "like likes love loves want wants know knows use uses own owns speak speaks eat eats drink drinks".split()
)
"""States that hold of many things at once: another thing contradicts nothing, a negation does."""
_PERSONS = {
    **dict.fromkeys(("i", "me", "my", "mine", "myself", "im", "ive"), "i"),
    **dict.fromkeys(("you", "your", "yours", "yourself"), "you"),
    **dict.fromkeys(("he", "him", "his", "himself"), "he"),
    **dict.fromkeys(("she", "her", "hers", "herself"), "she"),
    **dict.fromkeys(("we", "us", "our", "ours"), "we"),
    **dict.fromkeys(("they", "them", "their", "theirs"), "they"),
}
_ASKING = re.compile(r"\?\s*$")


_NEGATED = "one of them is negated"


@dataclass(frozen=True, slots=True)
class Content:
    """A text as it is compared. `turning` is everything that turns a meaning round, `terms` the rest that counts."""

    words: tuple[str, ...]
    terms: tuple[str, ...]
    turning: tuple[str, ...]
    asks: bool


def content_of(memory: Memory) -> Content:
    """The text of a memory, its relative dates resolved by when it was said."""
    text = memory.text if memory.occurred_at_us is None else resolve(memory.text, memory.occurred_at_us)
    words = tuple(_bare(word) for word in _TOKEN.findall(text.casefold()))
    turning = tuple(sorted(turn for word in words for turn in _turns(word)))
    return Content(words, tuple(sorted(terms_of(text))), turning, _ASKING.search(text) is not None)


def _bare(word: str) -> str:
    return word.replace("\u2019", "'")


def _turns(word: str) -> list[str]:
    """What a word says that may not differ between two texts that say the same."""
    if word.endswith("n't") or word in _NEGATIONS:
        return ["not"]
    stem = word.partition("'")[0]
    if stem in _PERSONS:
        return [_PERSONS[stem]]
    if stem in _NUMBER_WORDS or stem in _CALENDAR or stem in _DIRECTIONS or any(c.isdigit() for c in stem):
        return [stem]
    return []


def says_the_same(one: Memory, other: Memory) -> bool:
    """Whether two texts have the same content, whatever its order, and turn it the same way."""
    first, second = content_of(one), content_of(other)
    return (
        bool(first.terms)
        and first.asks == second.asks
        and Counter(first.terms) == Counter(second.terms)
        and first.turning == second.turning
    )


def says_otherwise(one: Memory, other: Memory, thresholds: MergeThresholds = THRESHOLDS) -> str:
    """In words, where two statements that are equal for the rest differ; empty when they do not, or in too much."""
    first, second = content_of(one), content_of(other)
    if first.asks or second.asks:
        return ""
    changes = _changes(first.words, second.words)
    if changes is None or not changes:
        return ""
    longest = max(len(first.words), len(second.words))
    shared = 1 - sum(max(len(left), len(right)) for left, right in changes) / longest
    if len(changes) > 1 or shared < thresholds.shared_words:
        return ""
    [(left, right)] = changes
    if max(len(left), len(right)) > thresholds.changed_words:
        return ""
    kept = frozenset(first.words) & frozenset(second.words)
    if any(word in _PAST or word.endswith("ed") for word in (*first.words, *second.words)):
        return ""
    told = _told(left, right)
    if kept.isdisjoint(_STATES) or (not told.startswith(_NEGATED) and not kept.isdisjoint(_MANY)):
        return told if told.startswith(_NEGATED) else ""
    return told


def _changes(first: Sequence[str], second: Sequence[str]) -> list[tuple[tuple[str, ...], tuple[str, ...]]] | None:
    """The runs of words that one text has in the place of the other's."""
    steps = SequenceMatcher(None, first, second, autojunk=False).get_opcodes()
    return [(tuple(first[a:b]), tuple(second[c:d])) for kind, a, b, c, d in steps if kind != "equal"]


def _told(left: tuple[str, ...], right: tuple[str, ...]) -> str:
    """What kind of difference two runs of words are, empty for one that contradicts nothing."""
    turns = [sorted({turn for word in words for turn in _turns(word)}) for words in (left, right)]
    if ("not" in turns[0]) != ("not" in turns[1]):
        return _NEGATED
    if any(_is_number(word) for word in left) and any(_is_number(word) for word in right):
        return f"numbers differ: {' '.join(left)} and {' '.join(right)}"
    if any(word in _CALENDAR for word in left) and any(word in _CALENDAR for word in right):
        return f"dates differ: {' '.join(left)} and {' '.join(right)}"
    if left and right and terms_of(" ".join(left)) and terms_of(" ".join(right)):
        return f"values differ: {' '.join(left)} and {' '.join(right)}"
    return ""


def _is_number(word: str) -> bool:
    return word in _NUMBER_WORDS or any(c.isdigit() for c in word)
