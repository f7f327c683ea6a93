"""Answers to several requests that came in one call: what each of them is told."""

from __future__ import annotations

import logging
from concurrent.futures import Future

from actors.errors import MemosError
from actors.memory.requests import Added

log = logging.getLogger(__name__)


def settled(answer: MemosError | Future[Added]) -> Added | MemosError:
    """What became of an add, waited for."""
    if not isinstance(answer, Future):
        return answer
    try:
        return answer.result()
    except Exception as error:  # noqa: BLE001 - the loop of a call for several: each is told its own
        return told(error)


def told(error: Exception) -> MemosError:
    """An error as its caller gets it; what is none of ours is a bug, and logged."""
    if isinstance(error, MemosError):
        return error
    log.error("a request failed in an unforeseen way", exc_info=error)
    return MemosError("the host failed; its log says why")


def ignored(_: object) -> None:
    """Drop an answer."""
    return
