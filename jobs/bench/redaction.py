"""How much planted personal data is found, how much else is taken for it, and what looking costs a text.

Run as `python -m jobs.bench.redaction --json FILE`: the recognizer in this process, on made-up sentences of chats.
"""

from __future__ import annotations

import time
from collections import Counter
from typing import Literal

import psutil
from pydantic import Field

from actors.memory.redaction import resolved
from actors.memory.screening import Passage, Span
from actors.models.presidio import PresidioRecognizer
from actors.models.recognition import RecognizerSpec
from jobs.bench.contract import Arguments, Benchmark, Count, Progress
from jobs.bench.planted import HALVES, KINDS, Planted, Sentence, sentences
from jobs.bench.report import Json, percentiles

WANTED = {"PERSON": 0.80, "EMAIL_ADDRESS": 0.95, "PHONE_NUMBER": 0.95, "CREDIT_CARD": 0.95, "IBAN_CODE": 0.95}
"""The recall that is promised, of each kind."""


class RedactionArguments(Arguments):
    sentences: Count = Field(500, description="of each half")
    seed: int = Field(1, description="what is drawn")
    halves: Literal["held_out", "both"] = Field(
        "both", description="the held out templates and names, or the others too"
    )


def measure(args: RedactionArguments, progress: Progress) -> Json:
    """Recall and precision by kind, the misses, what else was taken for something, milliseconds a text."""
    began = time.perf_counter()
    recognizer = PresidioRecognizer(RecognizerSpec())
    recognizer.find([Passage("Hello there.")], KINDS)
    loading_s = time.perf_counter() - began
    halves = HALVES if args.halves == "both" else HALVES[1:]
    found: dict[str, Json] = {}
    for number, half in enumerate(halves):
        found[half] = _measured(recognizer, sentences(args.sentences, args.seed, half))
        progress((number + 1) / len(halves))
    recall = found["held_out"]["kinds"]
    return {
        **found,
        "load_s": round(loading_s, 2),
        "process_mb": round(psutil.Process().memory_info().rss / 1e6),
        "wanted_recall": WANTED,
        "passed": all(recall[kind]["recall"] >= WANTED[kind] for kind in KINDS),
    }


def _measured(recognizer: PresidioRecognizer, asked: list[Sentence]) -> Json:
    began = time.perf_counter()
    together = recognizer.find([Passage(sentence.text) for sentence in asked], KINDS)
    batch_ms = (time.perf_counter() - began) * 1000 / len(asked)
    alone = []
    for sentence in asked[:200]:
        began = time.perf_counter()
        recognizer.find([Passage(sentence.text)], KINDS)
        alone.append(time.perf_counter() - began)
    planted, hit, named, taken, right = (Counter[str]() for _ in range(5))
    misses, others = [], []
    for sentence, raw in zip(asked, together, strict=True):
        spans = resolved(sentence.text, raw)
        for one in sentence.planted:
            planted[one.kind] += 1
            hit[one.kind] += _covered(sentence.text, one, spans)
            named[one.kind] += any(_overlap(one, span) and span.kind == one.kind for span in spans)
            if not _covered(sentence.text, one, spans):
                misses.append({"kind": one.kind, "value": sentence.text[one.start : one.end], "text": sentence.text})
        for span in spans:
            taken[span.kind] += 1
            true = any(_overlap(one, span) for one in sentence.planted)
            right[span.kind] += true
            if not true:
                others.append({"kind": span.kind, "value": sentence.text[span.start : span.end], "text": sentence.text})
    kinds = {
        kind: {
            "planted": planted[kind],
            "recall": round(hit[kind] / max(1, planted[kind]), 3),
            "named_right": round(named[kind] / max(1, planted[kind]), 3),
            "precision": round(right[kind] / max(1, taken[kind]), 3),
        }
        for kind in KINDS
    }
    cost = {"batch_ms_per_text": round(batch_ms, 2), "one_text": percentiles(alone)}
    return {"sentences": len(asked), "kinds": kinds, "cost": cost, "misses": misses, "taken_for_something": others}


def _overlap(planted: Planted, span: Span) -> bool:
    return span.start < planted.end and planted.start < span.end


def _covered(text: str, planted: Planted, spans: list[Span]) -> bool:
    """Whether no letter and no digit of it is left, by whatever kind it was replaced."""
    covered = {at for span in spans for at in range(span.start, span.end)}
    return all(at in covered or not text[at].isalnum() for at in range(planted.start, planted.end))


BENCHMARK = Benchmark("redaction", __doc__, RedactionArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
