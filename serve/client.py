"""The client: a typed, synchronous SDK on httpx. Needs neither Ray nor a model.

with MemosClient("http://127.0.0.1:8000", key) as memos:
    memos.add("caroline", texts=[{"text": "Caroline moved to Lisbon in May"}])
    memos.search("where does Caroline live", ["caroline"]).results
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from serve.client_archives import CubeArchives
from serve.client_chat import ChatMethods
from serve.client_lineage import LineageMethods
from serve.client_time import TimeMethods
from serve.client_transport import MemosConnectionError, MemosHTTPError, Transport, path_of
from serve.client_types import (
    Added,
    AddedMemory,
    AuditRow,
    Cube,
    Job,
    Json,
    Key,
    Memory,
    Page,
    Principal,
    Receipt,
    Result,
    Screened,
    SearchAnswer,
    Verification,
    read,
)

__all__ = ["MemosClient", "MemosConnectionError", "MemosHTTPError"]

T = TypeVar("T")


class MemosClient(ChatMethods, LineageMethods, TimeMethods, CubeArchives):
    """A connection to one server. Every method raises MemosHTTPError with what the server's problem says.

    Reads are retried on 429, 503 and lost connections, and so are adds, which carry an idempotency key; nothing else.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_s: float = 120.0,
        retries: int = 3,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._transport = Transport(base_url, api_key, timeout_s=timeout_s, retries=retries, transport=transport)

    def close(self) -> None:
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # cubes

    def create_cube(self, cube_id: str | None = None, name: str = "", policy: Json | None = None) -> Cube:
        body: Json = {"name": name, "policy": policy or {}}
        return self._read(Cube, "POST", "/v1/cubes", body=body | ({"id": cube_id} if cube_id else {}))

    def cubes(self, page_size: int = 100) -> Iterator[Cube]:
        return self._all(Cube, "/v1/cubes", page_size)

    def cube(self, cube_id: str) -> Cube:
        return self._read(Cube, "GET", path_of("cubes", cube_id))

    def change_cube(self, cube_id: str, name: str | None = None, policy: Json | None = None) -> Cube:
        body = {key: value for key, value in (("name", name), ("policy", policy)) if value is not None}
        return self._read(Cube, "PATCH", path_of("cubes", cube_id), body=body)

    def delete_cube(self, cube_id: str, reason: str = "") -> Cube:
        """Archives the cube."""
        return self._read(Cube, "DELETE", path_of("cubes", cube_id), query={"reason": reason or None})

    def erase_cube(self, cube_id: str, reason: str = "") -> Receipt:
        """Erases the cube for good; its id stays taken."""
        return self._read(
            Receipt, "DELETE", path_of("cubes", cube_id), query={"erase": "true", "reason": reason or None}
        )

    def grant(self, cube_id: str, principal: str, role: str) -> Cube:
        return self._read(Cube, "PUT", path_of("cubes", cube_id, "grants", principal), body={"role": role})

    def remove_grant(self, cube_id: str, principal: str) -> Cube:
        return self._read(Cube, "DELETE", path_of("cubes", cube_id, "grants", principal))

    def verify(self, cube_id: str) -> Verification:
        return self._read(Verification, "GET", path_of("cubes", cube_id, "verify"))

    def audit(
        self, cube_id: str | None = None, narrowed: Mapping[str, str | None] | None = None, page_size: int = 200
    ) -> Iterator[AuditRow]:
        """A cube's audit, newest first; without a cube, that of the system. `narrowed` may have principal, action,
        memory, request, since and until.
        """
        path = path_of("cubes", cube_id, "audit") if cube_id else "/v1/audit"
        return self._all(AuditRow, path, page_size, narrowed)

    def screen(self, cube_id: str) -> Screened:
        """Look through some of the memories that a cube held before its policy masked; repeat while any remain."""
        return self._read(Screened, "POST", path_of("cubes", cube_id, "screen"), body={})

    # memories

    def add(
        self,
        cube_id: str,
        *,
        messages: Sequence[Json] = (),
        texts: Sequence[Json] = (),
        documents: Sequence[Json] = (),
        wait: str = "index",
        idempotency_key: str | None = None,
    ) -> Added:
        """Remembers; repeating a call with the same key adds nothing. A key is made up when there is none."""
        body: Json = {"messages": list(messages), "texts": list(texts), "documents": list(documents), "wait": wait}
        headers = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        answer = self._json("POST", path_of("cubes", cube_id, "memories"), body=body, headers=headers)
        memories = tuple(read(AddedMemory, memory) for memory in answer["memories"])
        return Added(answer["version"], memories, answer.get("redaction", {}))

    def memories(
        self,
        cube_id: str,
        *,
        state: str | None = None,
        form: str | None = None,
        type: str | None = None,
        as_of: int | str | None = None,
        page_size: int = 100,
    ) -> Iterator[Memory]:
        query = {"state": state, "form": form, "type": type, "as_of": as_of}
        return self._all(Memory, path_of("cubes", cube_id, "memories"), page_size, query)

    def memory(self, cube_id: str, memory_id: str, as_of: int | str | None = None) -> Memory:
        return self._read(Memory, "GET", path_of("cubes", cube_id, "memories", memory_id), query={"as_of": as_of})

    def change_memory(
        self, cube_id: str, memory_id: str, changes: Json, reason: str = "", if_version: int | None = None
    ) -> Memory:
        headers = {} if if_version is None else {"If-Match": f'"{if_version}"'}
        path = path_of("cubes", cube_id, "memories", memory_id)
        return self._read(Memory, "PATCH", path, body={**changes, "reason": reason}, headers=headers)

    def delete_memory(self, cube_id: str, memory_id: str, reason: str = "") -> Memory:
        """Archives the memory."""
        path = path_of("cubes", cube_id, "memories", memory_id)
        return self._read(Memory, "DELETE", path, query={"reason": reason or None})

    def erase_memory(self, cube_id: str, memory_id: str, reason: str = "") -> Receipt:
        """Erases the memory for good, with what was derived from it. A repeat answers the first receipt."""
        path = path_of("cubes", cube_id, "memories", memory_id)
        return self._read(Receipt, "DELETE", path, query={"erase": "true", "reason": reason or None})

    def due(self, cube_id: str) -> list[Json]:
        """What is due now by the cube's retention policy: memory, step, since, reason."""
        items: list[Json] = self._json("GET", path_of("cubes", cube_id, "retention"))["items"]
        return items

    def apply_retention(self, cube_id: str) -> Json:
        """Archives and erases a part of what is due; call it again while the answer says `more`."""
        return self._json("POST", path_of("cubes", cube_id, "retention"))

    def transition(self, cube_id: str, memory_id: str, to: str, reason: str = "", **merge: str) -> Memory:
        """`merge`, with to = merged: `into`, the memory that absorbs it, and `kind`, duplicate or superseded."""
        path = path_of("cubes", cube_id, "memories", memory_id, "transition")
        return self._read(Memory, "POST", path, body={"to": to, "reason": reason, **merge})

    def history(self, cube_id: str, memory_id: str) -> list[Memory]:
        return [
            read(Memory, item)
            for item in self._json("GET", path_of("cubes", cube_id, "memories", memory_id, "history"))["items"]
        ]

    # search

    def search(
        self,
        query: str,
        cubes: Sequence[str],
        *,
        top_k: int = 10,
        filter: Json | None = None,
        as_of: int | str | None = None,
        channels: Sequence[str] | None = None,
        explain: bool = False,
    ) -> SearchAnswer:
        body: Json = {"query": query, "cubes": list(cubes), "top_k": top_k, "explain": explain}
        optional = {"filter": filter, "as_of": as_of, "channels": list(channels) if channels else None}
        body |= {name: value for name, value in optional.items() if value is not None}
        answer = self._json("POST", "/v1/search", body=body)
        results = tuple(read(Result, result) for result in answer["results"])
        return SearchAnswer(results, answer["took_ms"], tuple(answer["degraded"]))

    # keys

    def create_key(self, principal: str, **options: Any) -> Key:
        """`options`: name, governor, default_cube, expires_at. The secret is in the answer's `key`."""
        body = {"principal": principal, **{k: v for k, v in options.items() if v is not None}}
        return self._read(Key, "POST", "/v1/keys", body=body)

    def keys(self, page_size: int = 100) -> Iterator[Key]:
        return self._all(Key, "/v1/keys", page_size)

    def revoke_key(self, key_id: str) -> Key:
        return self._read(Key, "DELETE", path_of("keys", key_id))

    def principals(self, page_size: int = 100) -> Iterator[Principal]:
        return self._all(Principal, "/v1/principals", page_size)

    # jobs and the system

    def submit_job(self, name: str, cube: str | None = None, args: Json | None = None) -> Job:
        body: Json = {"name": name, "args": args or {}}
        return self._read(Job, "POST", "/v1/jobs", body=body | ({"cube": cube} if cube else {}))

    def jobs(self, page_size: int = 100) -> Iterator[Job]:
        return self._all(Job, "/v1/jobs", page_size)

    def job(self, job_id: str) -> Job:
        return self._read(Job, "GET", path_of("jobs", job_id))

    def job_logs(self, job_id: str) -> str:
        return self._transport.request("GET", path_of("jobs", job_id, "logs")).text

    def stop_job(self, job_id: str) -> Job:
        return self._read(Job, "POST", path_of("jobs", job_id, "stop"))

    def status(self) -> Json:
        return self._json("GET", "/v1/status")

    # how

    def _json(self, method: str, path: str, **options: Any) -> Json:
        answer: Json = self._transport.request(method, path, **options).json()
        return answer

    def _read(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        return read(kind, self._json(method, path, **options))

    def _all(
        self,
        kind: type[T],
        path: str,
        page_size: int,
        query: Mapping[str, Any] | None = None,
        reading: Callable[[type[T], Json], T] = read,
    ) -> Iterator[T]:
        """Every item of a list, page by page."""

        def page(cursor: str | None) -> Page[T]:
            found = self._json("GET", path, query={**(query or {}), "limit": page_size, "cursor": cursor})
            return Page(tuple(reading(kind, item) for item in found["items"]), found["next"])

        return _walk(page)


def _walk(page: Callable[[str | None], Page[T]]) -> Iterator[T]:
    cursor: str | None = None
    while True:
        found = page(cursor)
        yield from found.items
        cursor = found.next
        if cursor is None:
            return
