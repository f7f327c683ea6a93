"""An archive passes the redaction of the cube that it becomes, before anything of it is anywhere.

Where the policy redacts or blocks, every content of every version is looked through. Where it masks, what says to have
been looked through is: the rest is withheld until somebody does. Nothing that an archive says of itself is believed,
save that a recognizer looking twice may guess a name that it did not guess before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Any

from actors.errors import RedactionBlocked
from actors.imported_chain import ImportedChain
from actors.memory.cube import CubeState
from actors.memory.item import Memory
from actors.memory.redaction import SCREENED_FIELDS, placeholder
from actors.memory.screening import KINDS_BY_NAME, Finding, RedactionMode, Screening
from actors.redaction_gate import PERSON, RedactionGate, Rule

AT_ONCE = 64
"""Memories that are handed to the recognizer at a time."""

GUESSED = frozenset({PERSON, *KINDS_BY_NAME})
"""Kinds that a model guesses. The others are found in a text or not, however often one looks."""

GUESSES_TO_EACH = 100
"""Of so many contents that say to have been looked through, one may hold a guess more. Measured: one in a thousand."""

PLACES_SHOWN = 20


def screened(chain: ImportedChain, gate: RedactionGate) -> CubeState:
    """The fold of an archive as it may be recorded. Without history, what a policy that redacts finds is replaced; else
    an archive with something in it is refused.

    Raises RedactionBlocked with kinds, numbers and places, never values; Unavailable when nobody can look; and what
    folding raises.
    """
    state = chain.folded()
    rule = Rule.of(state.policy)
    if rule.off:
        return state
    found = _Found()
    for batch in _batches(_contents(state, rule)):
        found.take(rule, batch, gate.apart(rule, batch))
    reasons = [] if rule.mode is RedactionMode.MASK else [*dict.fromkeys(_reasons(state, chain))]
    found.reasons = {reason: gate.kinds_in(rule, reason) for reason in reasons}
    if not found.counts():
        return state
    if rule.mode is RedactionMode.REDACT and not chain.manifest.history:
        chain.rewrite({memory.id: _rewritten(rule, gate, memory) for memory in found.memories(state)})
        return chain.folded()
    raise _refusal(rule, chain, found)


@dataclass(slots=True)
class _Found:
    """What was found that the archive does not say, by content."""

    contents: list[tuple[Memory, tuple[Finding, ...]]] = field(default_factory=list)
    guesses: list[tuple[Memory, tuple[Finding, ...]]] = field(default_factory=list)
    """In contents that say to have been looked through, and of kinds that a model guesses."""
    looked_through: int = 0
    reasons: Mapping[str, Counter[str]] = field(default_factory=dict)

    def take(self, rule: Rule, batch: Sequence[Memory], screenings: Sequence[Screening]) -> None:
        for memory, screening in zip(batch, screenings, strict=True):
            says = _says(memory, rule)
            self.looked_through += says
            known = memory.screening if rule.mode is RedactionMode.MASK else None
            new = tuple(finding for finding in screening.findings if not _is_known(finding, known))
            if new:
                guessed = says and all(finding.kind in GUESSED for finding in new)
                (self.guesses if guessed else self.contents).append((memory, new))

    def counted(self) -> list[tuple[Memory, tuple[Finding, ...]]]:
        """The contents that count: few guesses more do not."""
        few = len(self.guesses) <= self.looked_through // GUESSES_TO_EACH
        return self.contents if few else [*self.contents, *self.guesses]

    def counts(self) -> dict[str, int]:
        counts = Counter(finding.kind for _, findings in self.counted() for finding in findings)
        for of_reason in self.reasons.values():
            counts.update(of_reason)
        return dict(sorted(counts.items()))

    def memories(self, state: CubeState) -> list[Memory]:
        """The memories to rewrite: those in which something was found, guesses too."""
        ids = {memory.id for memory, _ in (*self.contents, *self.guesses)}
        telling = {reason for reason, kinds in self.reasons.items() if kinds}
        return [memory for memory in state.memories(None) if memory.id in ids or memory.reason in telling]


def _is_known(finding: Finding, known: Screening | None) -> bool:
    return known is not None and any(
        of.place == finding.place and of.start <= finding.start and finding.end <= of.end for of in known.findings
    )


def _batches(contents: Iterable[Memory]) -> Iterator[list[Memory]]:
    """Neighbouring pieces of a document together."""
    batch: list[Memory] = []
    for _, together in groupby(contents, key=lambda memory: memory.source.get("name") or memory.id):
        for memory in together:
            batch.append(memory)
        if len(batch) >= AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def _contents(state: CubeState, rule: Rule) -> Iterator[Memory]:
    """Every content of every memory that is to be looked through, once, as it was looked at last."""
    for revisions in state.history.values():
        for memory in {memory.version: memory for _, memory in revisions}.values():
            if rule.mode is not RedactionMode.MASK or _says(memory, rule):
                yield memory


def _says(memory: Memory, rule: Rule) -> bool:
    """Whether the archive says of a content that it was looked through for what the rule names."""
    return memory.screening is not None and memory.screening.covers(rule.entities)


def _reasons(state: CubeState, chain: ImportedChain) -> Iterator[str]:
    yield from filter(None, (memory.reason for found in state.history.values() for _, memory in found))
    yield from filter(None, chain.reasons)


def _rewritten(rule: Rule, gate: RedactionGate, memory: Memory) -> dict[str, Any]:
    """The fields of a memory with what was found in them replaced. The placeholders that it has stay findings."""
    said = memory.screening.findings if memory.screening is not None else ()
    fields, screening = gate.redacted(rule, memory, [finding for finding in said if _is_placeholder(memory, finding)])
    changed = {name: fields[name] for name in SCREENED_FIELDS if fields[name] != getattr(memory, name)}
    if memory.reason:
        changed["reason"] = gate.reason(rule, memory.reason)
    return {**changed, "screening": screening.to_json()}


def _is_placeholder(memory: Memory, finding: Finding) -> bool:
    return finding.place == "text" and memory.text[finding.start : finding.end] == placeholder(finding.kind)


def _refusal(rule: Rule, chain: ImportedChain, found: _Found) -> RedactionBlocked:
    counts = found.counts()
    told = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    places = [
        {"memory": memory.id, "version": memory.version, "found": dict(Counter(f.kind for f in findings))}
        for memory, findings in found.counted()
    ]
    if rule.mode is RedactionMode.MASK:
        why = "says of contents that they were looked through, and they hold more than it says"
        way = "import it from where it was not changed, or with a policy that does not mask, and screen it here"
    elif rule.mode is RedactionMode.REDACT:
        why = "holds personal data, and its policy is to redact it; a history is taken in as it is, or not at all"
        way = "export the cube without history: then it is redacted on the way in. Or give it the policy mask before"
    else:
        why = "holds personal data, and its policy blocks that"
        way = "give the cube the policy redact and export it without history, or the policy mask"
    return RedactionBlocked(
        f"the archive {why}: {told}. Nothing was imported. {way[0].upper()}{way[1:]}",
        found=counts,
        places=places[:PLACES_SHOWN],
        history=chain.manifest.history,
    )
