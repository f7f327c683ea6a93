"""How the client talks to the server: one request, its retries, and its errors."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

import httpx

Sleep = Callable[[float], None]

_LONGEST_WAIT_S = 30.0


class MemosHTTPError(Exception):
    """The server refused or failed: what its problem document says.

    `type` is stable (`slug` is its last part); `facts` holds the members beside the standard ones.

    MemosHTTPError
    └── MemosConnectionError      the server could not be reached, or hung up
    """

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        standard = ("type", "title", "status", "detail", "instance")
        self.status = status
        self.type = str(problem.get("type", "about:blank"))
        self.title = str(problem.get("title", ""))
        self.detail = str(problem.get("detail", "")) or self.title or f"the server answered {status}"
        self.instance = str(problem.get("instance", ""))
        self.facts = {name: value for name, value in problem.items() if name not in standard}
        super().__init__(self.detail)

    @property
    def slug(self) -> str:
        return self.type.rpartition(":")[2]


class MemosConnectionError(MemosHTTPError):
    """No answer: `status` is 0."""

    def __init__(self, detail: str) -> None:
        super().__init__(0, {"type": "urn:memos:problem:connection", "title": "No connection", "detail": detail})


class Transport:
    """Sends requests. Only what may be repeated safely is retried: reads, and writes with an idempotency key."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        timeout_s: float,
        retries: int,
        transport: httpx.BaseTransport | None,
        sleep: Sleep = time.sleep,
    ) -> None:
        self._retries = retries
        self._sleep = sleep
        try:
            self._http = httpx.Client(
                base_url=base_url,
                headers={b"Authorization": f"Bearer {api_key}".encode()} if api_key else {},
                timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, 10.0)),
                transport=transport,
                trust_env=False,
            )
        except httpx.InvalidURL as error:
            raise MemosConnectionError(f"{base_url!r} is not a URL: {error}") from error

    def close(self) -> None:
        self._http.close()

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """The answer of a request that succeeded. Raises MemosHTTPError."""
        safe = method == "GET" or "Idempotency-Key" in (headers or {})
        attempts = self._retries + 1 if safe else 1
        request = self._http.build_request(method, path, json=body, params=_present(query), headers=headers)
        attempt = 0
        while True:
            attempt += 1
            last = attempt == attempts
            try:
                answer = self._http.send(request)
            except httpx.TransportError as error:
                if last:
                    raise MemosConnectionError(f"{request.url.host}:{request.url.port}: {_said(error)}") from error
                self._sleep(_backoff_s(attempt))
                continue
            if answer.is_success:
                return answer
            if last or answer.status_code not in (429, 503):
                raise _refused(answer)
            self._sleep(_retry_after_s(answer, attempt))

    @contextmanager
    def events(self, path: str, body: Any) -> Iterator[Iterator[dict[str, Any]]]:
        """The JSON of each server-sent event until `[DONE]`; leaving the block hangs up."""
        try:
            with self._http.stream("POST", path, json=body) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refused(answer)
                yield _events(answer)
        except httpx.TransportError as error:
            raise MemosConnectionError(f"the stream broke: {_said(error)}") from error

    @contextmanager
    def download(self, path: str, query: Mapping[str, Any]) -> Iterator[Iterator[bytes]]:
        """The bytes of an answer as they come; leaving the block hangs up. Raises MemosHTTPError."""
        try:
            with self._http.stream("GET", path, params=_present(query)) as answer:
                if not answer.is_success:
                    answer.read()
                    raise _refused(answer)
                yield answer.iter_bytes()
        except httpx.TransportError as error:
            raise MemosConnectionError(f"the stream broke: {_said(error)}") from error

    def upload(self, path: str, pieces: Iterator[bytes], size: int, query: Mapping[str, Any]) -> httpx.Response:
        """Send a body piece by piece, once. Raises MemosHTTPError."""
        headers = {"Content-Type": "application/x-tar", "Content-Length": str(size)}
        try:
            answer = self._http.post(path, content=pieces, params=_present(query), headers=headers)
        except httpx.TransportError as error:
            raise MemosConnectionError(f"the stream broke: {_said(error)}") from error
        if not answer.is_success:
            raise _refused(answer)
        return answer


def _events(answer: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in answer.iter_lines():
        if not line.startswith("data:"):
            continue
        data = line.removeprefix("data:").strip()
        if data == "[DONE]":
            return
        event: dict[str, Any] = json.loads(data)
        if "error" in event:
            error = event["error"]
            slug, said = f"urn:memos:problem:{error.get('code')}", error.get("message")
            raise MemosHTTPError(answer.status_code, {"type": slug, "detail": said})
        yield event


def _refused(answer: httpx.Response) -> MemosHTTPError:
    try:
        problem = answer.json()
    except ValueError:
        problem = {"title": answer.reason_phrase}
    return MemosHTTPError(answer.status_code, problem if isinstance(problem, dict) else {})


def _retry_after_s(answer: httpx.Response, attempt: int) -> float:
    try:
        return min(float(answer.headers["Retry-After"]), _LONGEST_WAIT_S)
    except (KeyError, ValueError):
        return _backoff_s(attempt)


def _backoff_s(attempt: int) -> float:
    return float(min(0.25 * 2**attempt, _LONGEST_WAIT_S))


def _present(query: Mapping[str, Any] | None) -> dict[str, Any]:
    return {name: value for name, value in (query or {}).items() if value is not None}


def _said(error: Exception) -> str:
    return str(error) or type(error).__name__


def path_of(*parts: str) -> str:
    """The path of a resource, its parts quoted."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)
