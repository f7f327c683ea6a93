"""Merging, judged: how often near vectors and their texts are right about two statements.

    python -m jobs.bench.merging [--path FILE] --json FILE

Needs no server: the embedder runs here. Over made-up pairs, each known to be the same, a contradiction or neither; with
`path`, a file in LoCoMo's format, over its turns too: there it tells how many pairs of a speaker's turns are near, how
many of them the texts confirm, and how many confirmed ones are evidence of a question.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from pydantic import Field

from actors.memory.consolidation import Pair, examined
from actors.memory.item import Form, Memory
from actors.memory.lifecycle import State
from actors.memory.ports import Vectors
from actors.memory.similarity import THRESHOLDS, MergeThresholds
from actors.models.embedder import EmbedderSpec, TransformersEmbedder
from actors.models.weights import default_embedder_path
from jobs.bench.contract import Arguments, Benchmark, Progress
from jobs.bench.locomo import Conversation, read_conversations
from jobs.bench.made_up_pairs import CONTRADICTIONS, NEITHER, SAME
from jobs.bench.report import Json

KINDS = {"same": SAME, "contradiction": CONTRADICTIONS, "neither": NEITHER}
NEAR = 0.7


class MergingArguments(Arguments):
    path: str = Field("", description="a file in LoCoMo's format, judged too")


def measure(args: MergingArguments, progress: Progress) -> Json:
    embedder = TransformersEmbedder(EmbedderSpec(path=str(default_embedder_path())))
    told: Json = {"thresholds": {"duplicate": THRESHOLDS.duplicate, "contradiction": THRESHOLDS.contradiction}}
    told["made_up"] = judged([(kind, pair) for kind, pairs in KINDS.items() for pair in pairs], embedder)
    progress(0.3)
    if args.path:
        told["locomo"] = _conversations(read_conversations(Path(args.path)), embedder)
    return told


def judged(labelled: Sequence[tuple[str, tuple[str, str]]], embedder: TransformersEmbedder) -> Json:
    """Precision and recall of each verdict, at each threshold on the vectors, and the errors at the one in use."""
    first = embedder.embed([one for _, (one, _) in labelled])
    second = embedder.embed([other for _, (_, other) in labelled])
    cosines = np.einsum("ij,ij->i", first, second)
    steps = {
        f"{lowest:.2f}": _scores(labelled, cosines, MergeThresholds(lowest, lowest))
        for lowest in (0.95, 0.9, 0.85, 0.8, 0.7, 0.5)
    }
    wrong = [
        {"pair": list(pair), "is": kind, "told": said, "cosine": round(float(cosine), 3)}
        for (kind, pair), cosine in zip(labelled, cosines, strict=True)
        if (said := _verdict(pair, float(cosine), THRESHOLDS)) != kind
    ]
    return {
        "pairs": len(labelled),
        "by_cosine": steps,
        "in_use": _scores(labelled, cosines, THRESHOLDS),
        "wrong": wrong,
    }


def _scores(labelled: Sequence[tuple[str, tuple[str, str]]], cosines: Vectors, thresholds: MergeThresholds) -> Json:
    said = [_verdict(pair, float(cosine), thresholds) for (_, pair), cosine in zip(labelled, cosines, strict=True)]
    scores: Json = {}
    for verdict in ("same", "contradiction"):
        told = sum(one == verdict for one in said)
        right = sum(one == kind == verdict for one, (kind, _) in zip(said, labelled, strict=True))
        there = sum(kind == verdict for kind, _ in labelled)
        scores[verdict] = {
            "told": told,
            "precision": round(right / told, 3) if told else None,
            "recall": round(right / there, 3),
        }
    return scores


def _verdict(pair: tuple[str, str], cosine: float, thresholds: MergeThresholds) -> str:
    found = examined(Pair(_memory(pair[1], "b"), _memory(pair[0], "a"), cosine), thresholds)
    if found is None:
        return "neither"
    return "contradiction" if found.contradiction else "same"


def _conversations(conversations: Sequence[Conversation], embedder: TransformersEmbedder) -> Json:
    near = same = contradicting = evidence = 0
    examples: list[Json] = []
    for conversation in conversations:
        messages = conversation.messages
        asked = frozenset(ref for question in conversation.questions for ref in question.evidence)
        vectors = embedder.embed([f"{message['name']}: {message['content']}" for message in messages])
        for i, j in np.argwhere(np.triu(vectors @ vectors.T, 1) >= NEAR).tolist():
            older, newer = messages[i], messages[j]
            if older["name"] != newer["name"]:
                continue
            near += 1
            said = _verdict((older["content"], newer["content"]), float(vectors[i] @ vectors[j]), THRESHOLDS)
            if said == "neither":
                continue
            same, contradicting = same + (said == "same"), contradicting + (said == "contradiction")
            evidence += said == "same" and newer["ref"] in asked
            examples.append({"told": said, "pair": [older["content"], newer["content"]]})
    turns = sum(len(conversation.messages) for conversation in conversations)
    told = {"near": near, "same": same, "contradiction": contradicting, "evidence_absorbed": evidence}
    return {"turns": turns, **told, "examples": examples[:20]}


def _memory(text: str, id: str) -> Memory:
    return Memory(id, "bench", 1, Form.PLAINTEXT, "message", State.ACTIVATED, text, 0)


BENCHMARK = Benchmark("merging", __doc__, MergingArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
