"""The lexical port on tantivy: one index on disk for all cubes of a shard.

Tantivy proposes, the domain scores: each term adds a constant that the caller chose, so the IDF of the shared
index, which counts the documents of every cube, enters nothing. The weights are rounded to 1/64, which
makes their sums exact in tantivy's 32-bit floats whatever the order of addition: equal sums are equal, and
the order of candidates depends on the cube's own documents alone, not on segments.

A commit is atomic and holds the position with the documents. What a flush that returned wrote survives a
killed process; a power cut may tear it, which the checksums show at the next opening.
"""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import tantivy

from actors.errors import Corrupted, NewerFormat, StateInUse, StorageUnavailable
from actors.memory.ports import CorpusStatistics, LexicalDocument
from actors.stores.lexical import rewriting
from actors.stores.lexical.checksums import find_damage
from actors.stores.lexical.weight_steps import STEPS, steps_of, subsets_with_sum

FORMAT = 2
"""1 held one interval a row."""

MAX_CANDIDATE_TERMS = 12
"""Of a longer query the heaviest terms alone propose candidates."""

_POSITION_KEY = "\0position"
_WRITER_HEAP_BYTES = 32_000_000

_Query = tantivy.Query
_MUST, _SHOULD, _MUST_NOT = tantivy.Occur.Must, tantivy.Occur.Should, tantivy.Occur.MustNot


def _schema() -> tantivy.Schema:
    builder = tantivy.SchemaBuilder()
    builder.add_text_field("key", stored=True, tokenizer_name="raw", index_option="basic")
    # Stored too, so that the index can be written anew from itself.
    builder.add_text_field("cube", stored=True, tokenizer_name="raw", index_option="basic")
    builder.add_text_field("body", stored=True, tokenizer_name="whitespace", index_option="basic")
    builder.add_text_field("note", stored=True, tokenizer_name="raw", index_option="basic")
    for name in ("row", "since", "until", "length"):
        builder.add_unsigned_field(name, indexed=True, fast=True)
    return builder.build()


class TantivyIndex:
    """Opens the index in `folder`, or makes one. `analysis` names how texts became terms.

    Raises Corrupted when a file is damaged or the terms were made by another analysis (`discard` the folder,
    open it again and replay the journal), NewerFormat, StateInUse when another process has it open.
    """

    def __init__(self, folder: Path, analysis: str) -> None:
        self._folder = folder
        self._analysis = analysis
        self._lock = threading.RLock()
        self._schema = _schema()
        self._open_writer: tantivy.IndexWriter | None = None
        """None once closed: its lock on the folder goes with it."""
        self._closed = False
        self._failed = False
        """Whether the writer's last work failed: its thread is gone then, and it would take documents and lose them."""
        self._open()

    @staticmethod
    def discard(folder: Path) -> None:
        """Remove an index that cannot be opened, whatever its state."""
        shutil.rmtree(folder, ignore_errors=True)

    def _open(self) -> None:
        try:
            rewriting.drop_leftovers(self._folder)
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StorageUnavailable(f"cannot write {self._folder}: {error}", uri=str(self._folder)) from error
        damage = find_damage(self._folder)
        if damage:
            raise self._corrupted(damage)
        try:
            self._index = tantivy.Index(self._schema, str(self._folder))
            self._index.config_reader("manual")
            self._open_writer = self._new_writer()
            self._closed, self._failed = False, False
            self._index.reload()
            self._searcher = self._index.searcher()
        except (ValueError, OSError) as error:
            if "LockBusy" in str(error):
                raise StateInUse(f"another process uses the index {self._folder}", uri=str(self._folder)) from error
            raise self._corrupted(str(error)) from error
        self._position = self._read_position()
        self._dirty = False

    def _read_position(self) -> int:
        found = self._searcher.search(_Query.term_query(self._schema, "key", _POSITION_KEY, "basic"), limit=1).hits
        if not found:
            if self._searcher.num_docs:
                raise self._corrupted("it holds documents but no position")
            return 0
        note = json.loads(self._searcher.doc(found[0][1]).to_dict()["note"][0])
        if note["format"] > FORMAT:
            raise NewerFormat(f"lexical index {self._folder} has format {note['format']}; this build reads {FORMAT}")
        if note["format"] < FORMAT:
            raise self._corrupted(f"it has format {note['format']}, this build writes {FORMAT}")
        if note["analysis"] != self._analysis:
            made = f"its terms were made by analysis {note['analysis']}, this build has {self._analysis}"
            raise self._corrupted(made)
        return int(note["position"])

    @property
    def _writer(self) -> tantivy.IndexWriter:
        if self._open_writer is None:
            raise StorageUnavailable(f"lexical index {self._folder} is closed", uri=str(self._folder))
        return self._open_writer

    def _corrupted(self, reason: str) -> Corrupted:
        detail = f"lexical index {self._folder} must be rebuilt from the journal: {reason}"
        return Corrupted(detail, uri=str(self._folder))

    @property
    def position(self) -> int:
        return self._position

    def put(self, documents: Sequence[LexicalDocument]) -> None:
        with self._writing():
            for document in documents:
                key = f"{document.cube_id}\0{document.row}\0{document.since}"
                self._writer.delete_documents_by_term("key", key)
                fields: dict[str, Any] = {
                    "key": key,
                    "cube": document.cube_id,
                    "body": " ".join(document.terms),
                    "row": document.row,
                    "since": document.since,
                    "until": document.until,
                    "length": len(document.terms),
                }
                self._add(fields)
                self._dirty = True

    def flush(self, position: int) -> None:
        with self._writing():
            if not self._dirty and position == self._position:
                return
            self._writer.delete_documents_by_term("key", _POSITION_KEY)
            note = {"format": FORMAT, "analysis": self._analysis, "position": position}
            self._add({"key": _POSITION_KEY, "note": json.dumps(note)})
            self._commit()
            self._position = position
            self._dirty = False

    def _new_writer(self) -> tantivy.IndexWriter:
        return self._index.writer(heap_size=_WRITER_HEAP_BYTES, num_threads=1)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """After a failure, what was put since the last flush is gone: the next work begins there, on a new writer."""
        with self._lock, self._translated():
            if self._failed:
                self._open_writer = None  # lets go of its lock on the folder
                self._open_writer = self._new_writer()
                self._failed, self._dirty = False, False
            try:
                yield
            except BaseException:
                self._failed = not self._closed
                raise

    def _add(self, fields: dict[str, Any]) -> None:
        # With the schema, ints become unsigned; without it, a type mismatch ends tantivy's writer thread.
        self._writer.add_document(tantivy.Document.from_dict(fields, self._schema))

    def _commit(self) -> None:
        self._writer.commit()
        self._index.reload()
        self._searcher = self._index.searcher()

    def statistics(self, cube_id: str, terms: Sequence[str], version: int) -> CorpusStatistics:
        searcher, live = self._searcher, self._live(cube_id, version)
        with self._translated():
            documents, total_terms = self._measure(searcher, live)
            frequency = tuple(self._measure(searcher, [*live, (_MUST, self._term(term))])[0] for term in terms)
        return CorpusStatistics(documents, total_terms, frequency)

    @staticmethod
    def _measure(searcher: tantivy.Searcher, clauses: list[tuple[tantivy.Occur, tantivy.Query]]) -> tuple[int, int]:
        answer = searcher.aggregate(_Query.boolean_query(clauses), {"length": {"stats": {"field": "length"}}})["length"]
        return int(answer["count"]), int(answer["sum"] or 0)

    def candidates(self, cube_id: str, weighted: Sequence[tuple[str, float]], version: int, limit: int) -> list[int]:
        heaviest = sorted(weighted, key=lambda pair: (-pair[1], pair[0]))[:MAX_CANDIDATE_TERMS]
        steps = {term: steps_of(weight) for term, weight in heaviest}
        if not steps or limit < 1:
            return []
        searcher, live = self._searcher, self._live(cube_id, version)
        terms = [(_SHOULD, _Query.const_score_query(self._term(term), step / STEPS)) for term, step in steps.items()]
        with self._translated():
            query = _Query.boolean_query([*live, (_MUST, _Query.boolean_query(terms))])
            hits = searcher.search(query, limit=limit, count=False).hits
            rows = searcher.fast_field_values("row", [address for _, address in hits])
            found = [(-round(score * STEPS), -int(row or 0)) for (score, _), row in zip(hits, rows, strict=True)]
            if len(found) == limit:
                found = self._settle_last_tie(searcher, live, steps, found)
        return [-row for _, row in sorted(found)]

    def _settle_last_tie(
        self,
        searcher: tantivy.Searcher,
        live: list[tuple[tantivy.Occur, tantivy.Query]],
        steps: dict[str, int],
        found: list[tuple[int, int]],
    ) -> list[tuple[int, int]]:
        """Which rows of the lowest score made the cut depends on segments: choose the newest ones instead."""
        lowest = -max(score for score, _ in found)
        above = [pair for pair in found if -pair[0] > lowest]
        ways = [self._exactly(held, steps) for held in subsets_with_sum(steps, lowest)]
        query = _Query.boolean_query([*live, (_MUST, _Query.boolean_query([(_SHOULD, way) for way in ways]))])
        wanted = len(found) - len(above)
        hits = searcher.search(query, limit=wanted, count=False, order_by_field="row").hits
        return above + [(-lowest, -int(row)) for row, _ in hits]

    def _exactly(self, held: frozenset[str], steps: dict[str, int]) -> tantivy.Query:
        return _Query.boolean_query([(_MUST if term in held else _MUST_NOT, self._term(term)) for term in steps])

    def _live(self, cube_id: str, version: int) -> list[tuple[tantivy.Occur, tantivy.Query]]:
        unsigned = tantivy.FieldType.Unsigned
        clauses = [
            _Query.term_query(self._schema, "cube", cube_id, "basic"),
            _Query.range_query(self._schema, "since", unsigned, upper_bound=version),
            _Query.range_query(self._schema, "until", unsigned, lower_bound=version + 1),
        ]
        return [(_MUST, _Query.const_score_query(clause, 0.0)) for clause in clauses]

    def _term(self, term: str) -> tantivy.Query:
        return _Query.term_query(self._schema, "body", term, "basic")

    def erase(self, cube_id: str) -> None:
        """Forget a cube. Its postings leave the files when tantivy next merges their segments."""
        with self._writing():
            self._writer.delete_documents_by_term("cube", cube_id)
            self._commit()

    def erase_rows(self, rows: Mapping[str, Sequence[int] | None]) -> None:
        """Costs as much as putting every document of the shard again."""
        with self._writing():
            self._commit()
            rewriting.copy_documents(self._searcher, self._schema, self._folder, _WRITER_HEAP_BYTES, rows)
            self._let_go()
            rewriting.take_place(self._folder)
            self._open()

    def clear(self) -> None:
        with self._lock:
            self.close()
            self.discard(self._folder)
            self._open()

    def close(self) -> None:
        with self._lock:
            self._closed, self._failed = True, False
            self._let_go()

    def _let_go(self) -> None:
        if self._open_writer is not None:
            writer, self._open_writer = self._open_writer, None
            writer.wait_merging_threads()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Tantivy raises ValueError and OSError for what goes wrong on storage."""
        try:
            yield
        except (ValueError, OSError) as error:
            kind = Corrupted if "corrupt" in str(error).lower() else StorageUnavailable
            raise kind(f"lexical index {self._folder}: {error}", uri=str(self._folder)) from error
