"""Answers of the time machine as JSON values."""

from __future__ import annotations

from actors.listing_differences import DifferencePage
from actors.memory.differences import Change, Difference
from actors.memory.item import Memory
from actors.memory.ports import JsonObject
from actors.memory.time_requests import RolledBack
from serve.rendering import memory


def rolled_back(done: RolledBack) -> JsonObject:
    return {"version": done.version, "to": done.to, "changed": done.changed, "frozen": list(done.frozen)}


def difference_page(page: DifferencePage) -> JsonObject:
    return {
        "from": page.first,
        "to": page.second,
        "counts": {change.value: page.counts.get(change.value, 0) for change in Change},
        "items": [_difference(item) for item in page.items],
        "next": page.next,
    }


def _difference(item: Difference) -> JsonObject:
    there = item.after or item.before
    return {
        "change": item.change.value,
        "id": "" if there is None else there.id,
        "fields": [name.removesuffix("_us") for name in item.fields],
        "before": _shown(item.before),
        "after": _shown(item.after),
    }


def _shown(found: Memory | None) -> JsonObject | None:
    return None if found is None else memory(found)
