"""Checking a copy of a journal without taking it over: nothing is written."""

from __future__ import annotations

from actors.errors import StorageError
from actors.stores.journal.anchor import EMPTY, Anchors, extend
from actors.stores.journal.datafiles import read_events
from actors.stores.journal.deltalog import DeltaLog
from actors.stores.journal.verification import ChainCheck
from actors.stores.location import Location


def problems_of_copy(table: Location, anchors: Location, chain_key: bytes) -> list[str]:
    """What is wrong with a journal that nobody has open: its events are not those of its anchor, or a cube's chain does
    not hold. Empty when all holds.
    """
    try:
        anchor = Anchors(anchors, chain_key).newest() or EMPTY
        check, head, reached = ChainCheck(chain_key), EMPTY.head, 0
        for file in DeltaLog(table, anchor.position).files():
            for event in read_events(table, file, 0):
                check.add(event)
                head, reached = extend(chain_key, head, [event.hash]), event.position
    except StorageError as error:
        return [str(error)]
    except FileNotFoundError as error:
        return [f"a data file is missing: {error}"]
    if reached != anchor.position:
        return [*check.problems, f"{table.uri} ends at event {reached}, not {anchor.position}"]
    if head != anchor.head:
        return [*check.problems, f"{table.uri}: its events are not those that were acknowledged"]
    return check.problems
