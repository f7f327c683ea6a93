"""The client's methods that move cubes in time: going back, forking and comparing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar

from serve.client_transport import path_of
from serve.client_types import Cube, Difference, Json, RolledBack, read, read_difference

T = TypeVar("T")


class TimeMethods:
    """A part of MemosClient, which sends the requests."""

    def fork(
        self, cube_id: str, fork_id: str | None = None, as_of: int | str | None = None, name: str | None = None
    ) -> Cube:
        """A new cube that begins as this one was; now when `as_of` is left out."""
        given = {"id": fork_id, "as_of": as_of, "name": name}
        body = {key: value for key, value in given.items() if value is not None}
        return self._read(Cube, "POST", path_of("cubes", cube_id, "fork"), body=body)

    def rollback(self, cube_id: str, to: int | str, reason: str = "") -> RolledBack:
        return self._read(RolledBack, "POST", path_of("cubes", cube_id, "rollback"), body={"to": to, "reason": reason})

    def diff(self, cube_id: str, first: int | str, second: int | str, page_size: int = 100) -> Iterator[Difference]:
        """What is different at `second` from `first`, in order of the memories' first record."""
        query = {"from": first, "to": second}
        return self._all(Difference, path_of("cubes", cube_id, "diff"), page_size, query, read_difference)

    def _read(self, kind: type[T], method: str, path: str, **options: Any) -> T:
        """The answer to a request, as an object."""
        raise TypeError(f"{type(self).__name__} sends no requests")

    def _all(
        self,
        kind: type[T],
        path: str,
        page_size: int,
        query: Mapping[str, Any] | None = None,
        reading: Callable[[type[T], Json], T] = read,
    ) -> Iterator[T]:
        """Every item of a list."""
        raise TypeError(f"{type(self).__name__} sends no requests")
