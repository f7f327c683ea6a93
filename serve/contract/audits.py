"""Answers about audits."""

from __future__ import annotations

from typing import Any, Literal

from serve.contract.fields import Answer

AuditActionName = Literal[
    "create", "change", "transition", "read", "search", "chat", "export", "grant", "job", "erase", "denied"
]


class AuditRowOut(Answer):
    """Who did, read or tried what, when, in which request. `principal` is null for a request whose key is none.

    `detail` depends on the action: of a search, `query` (a keyed digest of its text) and the `ids` that were
    answered; of a denied attempt, the `action` that was tried and `why` it was refused; `failed` names the type of
    the problem that was answered.
    """

    at: str
    principal: str | None
    key: str | None
    action: AuditActionName
    cube: str | None
    memory: str | None
    request: str
    detail: dict[str, Any]


class AuditPage(Answer):
    items: list[AuditRowOut]
    next: str | None
