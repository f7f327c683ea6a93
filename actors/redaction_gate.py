"""The gate that texts pass before a command is made of them: what a cube's policy says of personal data is done here.

So nothing that a policy replaces or refuses ever reaches the journal. A policy that is off costs nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

from actors.errors import PolicyUnavailable, RedactionBlocked, Unavailable
from actors.memory.cube_draft import CubeDraft
from actors.memory.document_seams import seam_spans, seams_of
from actors.memory.item import Memory
from actors.memory.policy import ENTITIES
from actors.memory.redaction import (
    SCREENED_FIELDS,
    SPEAKER,
    Found,
    Rewriting,
    is_role,
    name_pattern,
    name_spans,
    noted,
    passages_of,
    replaced,
    resolved,
    speaker_spans,
)
from actors.memory.requests import AddMemories, ChangeMemory, NewMemory
from actors.memory.screening import Finding, Passage, Recognizer, RedactionMode, Screening, Span, total

R = TypeVar("R")

PERSON = "PERSON"
RETRY_AFTER_S = 1
BLOCKED_SHOWN = 20
"""Places that a refusal names."""


@dataclass(frozen=True, slots=True)
class Rule:
    """The redaction part of a cube's policy."""

    mode: RedactionMode
    entities: tuple[str, ...]

    @classmethod
    def of(cls, policy: Mapping[str, Mapping[str, Any]]) -> Rule:
        part = policy["redaction"]
        return cls(RedactionMode(part["mode"]), tuple(part["entities"]))

    @property
    def off(self) -> bool:
        return self.mode is RedactionMode.OFF

    @property
    def names_persons(self) -> bool:
        return not self.entities or PERSON in self.entities

    def guarding(self, decide: Callable[[CubeDraft], R]) -> Callable[[CubeDraft], R]:
        """`decide`, unless the cube has another rule by then than the one that the texts passed under."""

        def guarded(draft: CubeDraft) -> R:
            if Rule.of(draft.policy) != self:
                raise Unavailable("the cube's policy was changed meanwhile; try again", retry_after_s=RETRY_AFTER_S)
            return decide(draft)

        return guarded


class NoRecognizer:
    """Where there is nobody who looks: every kind may be named, and nothing passes."""

    kinds = ENTITIES

    def find(self, passages: Sequence[Passage], kinds: Sequence[str]) -> list[list[Span]]:
        raise Unavailable("this host has no recognizer of personal data", retry_after_s=RETRY_AFTER_S)


class RedactionGate:
    """Looks through what comes in, with a recognizer that may be slow or away. Safe to use from many threads."""

    def __init__(self, recognizer: Recognizer) -> None:
        self._recognizer = recognizer

    @property
    def kinds(self) -> tuple[str, ...]:
        """Every kind that a policy may name."""
        return self._recognizer.kinds

    def adding(self, rule: Rule, request: AddMemories) -> AddMemories:
        """The add as it may be recorded. Raises RedactionBlocked, Unavailable when it cannot be looked through."""
        if rule.off:
            return request
        given = [{f.name: getattr(memory, f.name) for f in fields(NewMemory)} for memory in request.memories]
        treated = self._treated(rule, given)
        return replace(request, memories=tuple(NewMemory(**memory) for memory in treated))

    def changing(self, rule: Rule, request: ChangeMemory) -> ChangeMemory:
        """A change as it may be recorded. Raises as `adding` does."""
        if rule.off:
            return request
        [treated] = self._treated(rule, [dict(request.set)])
        screening = treated.pop("screening")
        return replace(request, set=treated, screening=screening, reason=self.reason(rule, request.reason))

    def reason(self, rule: Rule, text: str) -> str:
        """Why somebody does something, with what is found replaced in every mode. Raises as `adding` does."""
        if rule.off or not text:
            return text
        spans = self._spans(rule, text)
        if rule.mode is RedactionMode.BLOCK:
            _refuse([Screening((), tuple(Finding("reason", span.kind, span.start, span.end) for span in spans))])
        return replaced(text, spans)[0]

    def replaced(self, rule: Rule, text: str) -> str:
        """A text with what is found replaced, in whatever mode. Raises as `adding` does, save RedactionBlocked."""
        return text if rule.off or not text else replaced(text, self._spans(rule, text))[0]

    def screening(self, rule: Rule, memories: Sequence[dict[str, Any]]) -> list[Screening]:
        """What is found in memories that are recorded already, given by their fields; nothing of them is changed."""
        found = self._found(rule, memories)
        return [_treat(memory, spans, rule, noted)[1] for memory, spans in found]

    def apart(self, rule: Rule, memories: Sequence[Memory]) -> list[Screening]:
        """As `screening`, of memories that were not recorded together, by themselves: who speaks in one is no name in
        another. Raises as `adding` does.
        """
        given = [{name: getattr(memory, name) for name in SCREENED_FIELDS} for memory in memories]
        found = self._found(rule, given, [_names([memory]) for memory in given])
        return [_treat(memory, spans, rule, noted)[1] for memory, spans in found]

    def redacted(self, rule: Rule, memory: Memory, placeholders: Sequence[Finding]) -> tuple[dict[str, Any], Screening]:
        """A memory's fields with what is found replaced, whatever the mode; `placeholders` are those that stand in it
        already. Raises as `adding` does.
        """
        [(given, spans)] = self._found(rule, [{name: getattr(memory, name) for name in SCREENED_FIELDS}])
        found = {place: list(of) for place, of in spans.items()}
        for known in placeholders:
            found.setdefault(known.place, []).append(Span(known.kind, known.start, known.end))
        for of in found.values():
            of.sort(key=lambda span: span.start)
        return _treat(given, found, rule, replaced)

    def kinds_in(self, rule: Rule, text: str) -> Counter[str]:
        """How often each kind is found in a text. Raises as `adding` does."""
        return Counter(span.kind for span in self._spans(rule, text))

    def _treated(self, rule: Rule, given: list[dict[str, Any]]) -> list[dict[str, Any]]:
        found = self._found(rule, given)
        treat = replaced if rule.mode is RedactionMode.REDACT else noted
        treated = [_treat(memory, spans, rule, treat) for memory, spans in found]
        if rule.mode is RedactionMode.BLOCK:
            _refuse([screening for _, screening in treated])
        return [{**memory, "screening": screening} for memory, screening in treated]

    def _found(
        self, rule: Rule, given: Sequence[dict[str, Any]], names: Sequence[set[str]] | None = None
    ) -> list[tuple[dict[str, Any], Found]]:
        """Each memory's fields with what was found in them, by path. `names` are those of who speaks around each;
        without them, of who speaks in any.
        """
        passages = [passages_of(memory) for memory in given]
        seams = seams_of(given)
        asked = [passage for one in passages for passage in one.values()] + [seam.passage for seam in seams]
        spans = iter(self._find(rule, asked))
        raw = [{path: list(next(spans)) for path in one} for one in passages]
        for seam in seams:
            for number, span in seam_spans(seam, next(spans)):
                raw[number].setdefault("text", []).append(span)
        of_all = name_pattern(_names(given)) if rule.names_persons and names is None else None
        for number, (memory, one, places) in enumerate(zip(given, raw, passages, strict=True)):
            if rule.names_persons:
                pattern = of_all if names is None else name_pattern(names[number])
                one.setdefault(SPEAKER, []).extend(speaker_spans(memory.get(SPEAKER) or "", memory.get("role", "")))
                one.setdefault("text", []).extend(name_spans(memory.get("text") or "", pattern))
            for path, passage in places.items():
                one[path] = resolved(passage.text, one[path])
        return list(zip(given, raw, strict=True))

    def _spans(self, rule: Rule, text: str) -> list[Span]:
        return resolved(text, self._find(rule, [Passage(text)])[0])

    def _find(self, rule: Rule, passages: Sequence[Passage]) -> list[list[Span]]:
        gone = sorted(set(rule.entities) - set(self.kinds))
        if gone:
            raise PolicyUnavailable(
                f"the cube's policy names kinds that no recognizer of this system finds: {', '.join(gone)}; "
                "change the policy, or the profile's redaction.recognizers",
                kinds=gone,
            )
        return self._recognizer.find(passages, rule.entities) if passages else []


def _names(given: Iterable[Mapping[str, Any]]) -> set[str]:
    """Of those who speak in these memories."""
    speakers = ((memory.get(SPEAKER) or "", memory.get("role", "")) for memory in given)
    return {speaker for speaker, role in speakers if speaker and not is_role(speaker, role)}


def _treat(
    memory: dict[str, Any], found: Found, rule: Rule, treat: Callable[..., Any]
) -> tuple[dict[str, Any], Screening]:
    rewriting = Rewriting(found, treat)
    rewritten = rewriting.fields({name: memory[name] for name in SCREENED_FIELDS if memory.get(name) is not None})
    return {**memory, **rewritten}, Screening(rule.entities, tuple(rewriting.findings))


def _refuse(screenings: Sequence[Screening]) -> None:
    """Raise RedactionBlocked when anything was found: kinds, numbers and places, never what stands there."""
    counts = total(screenings)
    if not counts:
        return
    places: list[dict[str, Any]] = []
    for number, screening in enumerate(screenings):
        for name in dict.fromkeys(finding.field for finding in screening.findings):
            here = total([Screening((), tuple(f for f in screening.findings if f.field == name))])
            places.append({"memory": number, "field": name, "found": here})
    told = ", ".join(f"{number} {kind}" for kind, number in counts.items())
    raise RedactionBlocked(
        f"the cube's policy takes no personal data, and there was some: {told}; nothing was recorded",
        found=counts,
        places=places[:BLOCKED_SHOWN],
    )
