"""Made-up turns of conversations and questions about them: varied, short, and the same for the same seed.

A turn has 22 tokens of all-MiniLM-L6-v2 on average (11 to 35), a question 18.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from jobs.bench.locomo import read_conversations

NAMES = tuple(
    "Anna Ben Carla David Elif Farid Grace Hugo Ines Jonas Kira Leo Mara Nils Olga Paul Rosa Sam Tina".split()
)
THINGS = tuple(
    "kayak parrot bakery guitar telescope garden bicycle camera novel painting sewing-machine puppy tent violin "
    "recipe podcast greenhouse scarf map lantern jacket chessboard ladder kettle drone mural calendar".split()
)
PLACES = tuple(
    "harbour museum library mountains village market school studio station lake theatre hospital farm island "
    "office workshop bridge courtyard stadium forest church cafe airport gallery".split()
)
TIMES = (
    "yesterday",
    "last Friday",
    "in the summer of 2022",
    "two weeks ago",
    "before the holidays",
    "on my birthday",
    "early this morning",
    "when it snowed",
    "after work on Tuesday",
    "the day we met",
)
DEEDS = (
    "bought a",
    "lost the old",
    "repaired my",
    "gave away the",
    "finally finished the",
    "learned to love the",
    "sold our",
    "dreamed of a red",
    "found a tiny",
    "borrowed Sam's",
    "wrote a poem about the",
    "took pictures of the",
)
FEELINGS = (
    "It made me really proud.",
    "I was nervous at first, but it went well!",
    "My sister could not believe it.",
    "Honestly, I needed that break.",
    "We laughed about it for hours.",
    "It was harder than I had expected.",
    "Have you ever tried something like that?",
    "I still think about it every day.",
    "That was a good reminder to slow down.",
    "The kids want to do it again next year.",
)
OPENINGS = ("Hey {}, ", "Guess what, {}: ", "Thanks {}! ", "You know, {}, ", "Oh {}, ", "Well, {}, ")
QUESTIONS = (
    "When did {name} {deed} {thing} near the {place}?",
    "What did {name} say about the {thing} at the {place} {time}?",
    "Who went to the {place} with {name} {time}?",
    "Where is the {thing} that {name} talked about {time}?",
    "Why was {name} at the {place} with a {thing}?",
)


def turns(seed: int, path: str = "") -> Iterator[str]:
    """Turns without end. With `path`, those of a file in LoCoMo's format, numbered from the second round on."""
    return _from_file(path) if path else _made_up(random.Random(seed))


def questions(seed: object) -> Iterator[str]:
    """Questions without end, none of them twice. A seed that was used before gives queries that are cached."""
    rng = random.Random(str(seed))
    number = rng.randrange(10_000)
    while True:
        number += 1
        asked = rng.choice(QUESTIONS).format(
            name=rng.choice(NAMES),
            deed=rng.choice(("buy the", "lose the", "repair the", "sell the", "find a")),
            thing=rng.choice(THINGS),
            place=rng.choice(PLACES),
            time=rng.choice(TIMES),
        )
        yield f"{asked[:-1]} on day {number}?"


def _made_up(rng: random.Random) -> Iterator[str]:
    while True:
        opening = rng.choice(OPENINGS).format(rng.choice(NAMES)) if rng.random() < 0.6 else ""
        said = f"{opening}I {rng.choice(DEEDS)} {rng.choice(THINGS)} at the {rng.choice(PLACES)} {rng.choice(TIMES)}."
        yield f"{said} {rng.choice(FEELINGS)}" if rng.random() < 0.6 else said


def _from_file(path: str) -> Iterator[str]:
    texts = [message["content"] for conversation in read_conversations(Path(path)) for message in conversation.messages]
    yield from texts
    number = 1
    while texts:
        number += 1
        for text in texts:
            yield f"{text} ({number})"
