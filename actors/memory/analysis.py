"""From text to terms: what lexical search compares.

Words are split by Unicode's word characters, folded in case and form, stripped of English stop words and
stemmed (Snowball's English stemmer; words outside ASCII stay whole). Scripts that are written without
blanks become overlapping pairs of characters.
"""

from __future__ import annotations

import re
import threading
import unicodedata
from functools import lru_cache

import Stemmer

ANALYSIS_VERSION = 1
"""Part of a lexical index's identity: another value means that the index must be rebuilt."""

MAX_TERM_CHARS = 40
"""A longer word is cut here, so that no term is unbounded (base64, keys, addresses)."""

MAX_TERMS = 20_000
"""Terms of one text that are kept: far above any message, below what would bloat an index."""

_UNSPACED = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_WORD = re.compile(rf"[{_UNSPACED}]+|(?:(?![{_UNSPACED}])[^\W_])+(?:['\u2019](?:(?![{_UNSPACED}])[^\W_])+)*")
_UNSPACED_RUN = re.compile(rf"[{_UNSPACED}]+")

STOP_WORDS = frozenset(
    """a about above after again against all am an and any are as at be because been before being below between both
    but by can could did do does doing down during each few for from further had has have having he her here hers
    herself him himself his how i if in into is it its itself just me more most my myself no nor not now of off on
    once only or other our ours ourselves out over own same she should so some such than that the their theirs them
    themselves then there these they this those through to too under until up very was we were what when where which
    while who whom why will with would you your yours yourself yourselves d ll m re s t ve""".split()
)

_stemmer = Stemmer.Stemmer("english", 0)
_stemmer_lock = threading.Lock()


def terms_of(text: str) -> tuple[str, ...]:
    """The terms of a text in order, repeats kept; at most `MAX_TERMS`. Pure, and safe from any thread."""
    found: list[str] = []
    for match in _WORD.finditer(unicodedata.normalize("NFKC", text).casefold()):
        found.extend(_terms_of_word(match.group()[: MAX_TERM_CHARS * 4]))
        if len(found) >= MAX_TERMS:
            break
    return tuple(found[:MAX_TERMS])


@lru_cache(maxsize=65_536)
def _terms_of_word(word: str) -> tuple[str, ...]:
    if _UNSPACED_RUN.fullmatch(word):
        return tuple(word[i : i + 2] for i in range(len(word) - 1)) or (word,)
    word = word.replace("\u2019", "'")
    stem, _, ending = word.partition("'")
    # "don't" and "I'll" are stop words in two parts; "caroline's" is caroline; "o'brien" stays one name.
    bare = stem if ending in STOP_WORDS else word.replace("'", "")
    if bare in STOP_WORDS or (ending == "t" and bare.removesuffix("n") in STOP_WORDS):
        return ()
    return (_stem(bare)[:MAX_TERM_CHARS],)


def _stem(word: str) -> str:
    if not word.isascii() or word.isdigit():
        return word
    with _stemmer_lock:  # a Stemmer must not be used by two threads at once
        return str(_stemmer.stemWord(word))
