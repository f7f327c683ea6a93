"""Answers as JSON values: from the domain's dataclasses to the shapes of the contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TypeVar

from actors.memory.auditing import AuditRow
from actors.memory.consolidation import Consolidated
from actors.memory.erasure import Receipt
from actors.memory.item import Memory, Reference
from actors.memory.merging import Split
from actors.memory.ports import JsonObject
from actors.memory.requests import (
    Added,
    CubeView,
    IssuedKey,
    JobView,
    KeyView,
    Page,
    PrincipalView,
    Screened,
    VerifyReport,
)
from actors.memory.retaining import Retained
from actors.memory.retention import Due
from actors.memory.screening import total
from actors.memory.search_requests import CubeHits, Hit, Shortfall
from serve.contract.times import format_time

T = TypeVar("T")


def page(found: Page[T], render: Callable[[T], JsonObject]) -> JsonObject:
    return {"items": [render(item) for item in found.items], "next": found.next}


def memory(found: Memory) -> JsonObject:
    return {
        "id": found.id,
        "cube": found.cube_id,
        "version": found.version,
        "form": found.form.value,
        "type": found.type,
        "state": found.state.value,
        "text": found.text,
        "role": found.role,
        "speaker": found.speaker,
        "session": found.session,
        "ref": found.ref,
        "tags": list(found.tags),
        "metadata": dict(found.metadata),
        "occurred_at": format_time(found.occurred_at_us),
        "recorded_at": format_time(found.recorded_at_us),
        "valid_from": format_time(found.valid_from_us),
        "valid_to": format_time(found.valid_to_us),
        "expires_at": format_time(found.expires_at_us),
        "source": dict(found.source),
        "derived_from": [reference(named) for named in found.derived_from],
        "sources": found.sources,
        "merged_into": found.links.into or None,
        "merged_as": None if found.links.absorption is None else found.links.absorption.value,
        "contradicts": list(found.links.contradicts),
        "reason": found.reason,
        "redaction": total([found.screening]),
    }


def reference(named: Reference) -> JsonObject:
    return {"cube": named.cube_id, "id": named.memory_id, "version": named.version}


def split(done: Split) -> JsonObject:
    memories = [memory(one) for one in done.memories]
    return {"version": done.version, "memories": memories, "remaining": done.remaining}


def added(done: Added) -> JsonObject:
    memories = [{"id": m.id, "version": m.version, "state": m.state.value, "ref": m.ref} for m in done.memories]
    return {"version": done.version, "memories": memories, "redaction": dict(done.redaction)}


def consolidated(done: Consolidated) -> JsonObject:
    counts = {"checked": done.checked, "merged": done.merged, "linked": done.linked}
    return {**counts, "next": done.next, "total": done.total}


def cube(view: CubeView) -> JsonObject:
    return {
        "id": view.id,
        "name": view.name,
        "owner": view.owner,
        "version": view.version,
        "created_at": format_time(view.created_at_us),
        "counts": {form: dict(states) for form, states in view.counts.items()},
        "policy": {part: dict(settings) for part, settings in view.policy.items()},
        "grants": dict(view.grants),
        "forked_from": None if view.fork is None else {"cube": view.fork.cube_id or None, "version": view.fork.version},
        "redaction": {"found": dict(view.redaction.found), "unscreened": view.redaction.unscreened},
    }


def screened(done: Screened) -> JsonObject:
    return {"screened": done.screened, "remaining": done.remaining, "redaction": dict(done.redaction)}


def verify_report(report: VerifyReport) -> JsonObject:
    problems = list(report.problems)
    return {
        "cube": report.cube_id,
        "ok": not problems,
        "events": report.events,
        "audit_rows": report.audit_rows,
        "problems": problems,
    }


def audit_row(row: AuditRow) -> JsonObject:
    """A row's detail is there as it was recorded; `ids` are the memories that the answer showed."""
    detail = json.loads(row.detail)
    return {
        "at": format_time(row.at_us),
        "principal": row.principal or None,
        "key": row.key_id or None,
        "action": row.action.value,
        "cube": row.cube_id or None,
        "memory": row.memory_id or None,
        "request": row.request_id,
        "detail": {**detail, "ids": list(row.ids)} if row.ids else detail,
    }


def receipt(said: Receipt) -> JsonObject:
    places = [{"kind": p.kind, "checked": p.checked, "removed": p.removed, "note": p.note or None} for p in said.places]
    return {
        "cube": said.cube_id,
        "erased": list(said.erased),
        "derived": list(dict.fromkeys(memory_id for _, memory_id in said.derived)),  # forks have the same ids
        "places": places,
        "at": format_time(said.at_us),
    }


def due(item: Due) -> JsonObject:
    return {
        "memory": item.memory_id,
        "step": item.step.value,
        "since": format_time(item.since_us),
        "reason": item.reason,
    }


def retained(done: Retained) -> JsonObject:
    return {
        "cube": done.cube_id,
        "archived": [due(item) for item in done.archived],
        "erased": [due(item) for item in done.erased],
        "derived": list(done.derived),
        "held": [due(item) for item in done.held],
        "more": done.more,
    }


def key(view: KeyView) -> JsonObject:
    return {
        "id": view.id,
        "principal": view.principal,
        "name": view.name,
        "governor": view.governor,
        "default_cube": view.default_cube or None,
        "created_at": format_time(view.created_at_us),
        "expires_at": format_time(view.expires_at_us),
        "revoked_at": format_time(view.revoked_at_us),
    }


def issued_key(issued: IssuedKey) -> JsonObject:
    return {**key(issued.view), "key": issued.secret}


def principal(view: PrincipalView) -> JsonObject:
    return {"id": view.id, "governor": view.governor, "created_at": format_time(view.created_at_us)}


def job(view: JobView) -> JsonObject:
    return {
        "id": view.id,
        "name": view.name,
        "cube": view.cube_id or None,
        "principal": view.principal,
        "status": view.status.value,
        "args": dict(view.args),
        "reason": view.reason or None,
        "progress": view.progress,
        "result": None if view.result is None else dict(view.result),
        "created_at": format_time(view.created_at_us),
        "started_at": format_time(view.started_at_us),
        "ended_at": format_time(view.ended_at_us),
    }


def shortfall(part: Shortfall) -> JsonObject:
    return {"part": part.part, "reason": part.reason}


def result(hit: Hit) -> JsonObject:
    found = hit.memory
    return {
        "cube": found.cube_id,
        "id": found.id,
        "version": found.version,
        "text": found.text,
        "score": hit.score,
        "ref": found.ref,
        "type": found.type,
        "state": found.state.value,
        "role": found.role,
        "speaker": found.speaker,
        "session": found.session,
        "tags": list(found.tags),
        "occurred_at": format_time(found.occurred_at_us),
        "recorded_at": format_time(found.recorded_at_us),
        "valid_from": format_time(found.valid_from_us),
        "valid_to": format_time(found.valid_to_us),
        "metadata": dict(found.metadata),
        "sources": found.sources,
        "contradicts": list(found.links.contradicts),
    }


def explained(hit: Hit) -> JsonObject:
    """A result with the score of each channel and the reason."""
    return {**result(hit), "explain": {**hit.channels, "reason": hit.reason}}


def search(hits: CubeHits, took_ms: dict[str, float], explain: Callable[[Hit], JsonObject]) -> JsonObject:
    return {
        "results": [explain(hit) for hit in hits.hits],
        "took_ms": took_ms,
        "degraded": [shortfall(part) for part in hits.degraded],
    }
