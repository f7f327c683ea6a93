"""memos status: what runs here, and what each part of the system says of itself."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.markup import escape
from rich.table import Table

from serve.cli.session import Failure, Session, as_json, console, pass_session, print_json, table

if TYPE_CHECKING:
    from cluster.inspection import InstanceStatus

Json = dict[str, Any]
MIB = 1 << 20


@click.command("status")
@as_json
@pass_session
def status(session: Session, as_json: bool) -> None:
    """Show what runs: nodes, hosts, shards, queues, models, memory. Says so when nothing runs on the state folder."""
    local = None if session.url else _local(session.folder.expanduser().absolute())
    found = _asked(session) if local is None or _answers(local, session) else None
    if as_json:
        print_json({"instance": None if local is None else asdict(local), **(found or {})})
        return
    shown = console()
    if local is not None:
        for line in _instance(local):
            shown.print(escape(line))
    if found is not None:
        for title, rows in _tables(found):
            shown.print(f"\n[bold]{title}[/bold]")
            shown.print(rows)
        for part in found["unanswered"]:
            shown.print(f"[bold red]no answer[/bold red] from {escape(part['part'])}: {escape(part['reason'])}")


def _local(state: Path) -> InstanceStatus:
    """What runs on a state folder, as its record and its processes tell."""
    from actors.errors import MemosError
    from cluster.inspection import status as inspect

    try:
        return inspect(state)
    except MemosError as error:
        raise Failure(error.detail) from None


def _answers(local: InstanceStatus, session: Session) -> bool:
    """Whether there is somebody to ask: an instance here that is ready, or an address that someone put there."""
    return local.phase == "ready" or (local.phase == "none" and (session.folder / "url").exists())


def _asked(session: Session) -> Json:
    with session.client() as memos:
        return memos.status()


def _instance(local: InstanceStatus) -> Iterator[str]:
    said = {
        "none": "nothing runs on it, and nothing did; `memos up` starts it",
        "stopped": "stopped; `memos up` starts it",
        "broken": "parts of it died; run `memos down`, then `memos up`",
    }
    yield f"state      {local.state}"
    yield f"instance   {said.get(local.phase, local.phase)}"
    if local.url:
        yield f"url        {local.url}"
        yield f"dashboard  {local.dashboard}"
    if local.processes:
        used = sum(process.memory_bytes for process in local.processes)
        yield f"processes  {len(local.processes)}, {_size(used)} of memory, what they share counted in each"


def _tables(found: Json) -> Iterator[tuple[str, Table]]:
    yield "nodes", _nodes(found["nodes"])
    yield "processes", _processes(found)
    yield f"shards ({found['shards']})", _shards(found["hosts"])
    yield "queues", _queues(found)


def _nodes(nodes: list[Json]) -> Table:
    rows = table("node", "address", "", "CPUs", "memory used", "of")
    for node in nodes:
        kind = " ".join(word for word, holds in (("head", node["head"]), ("dead", not node["alive"])) if holds)
        memory = node["memory"]
        used = ("", "") if memory is None else _used(memory)
        rows.add_row(_short(node["id"]), node["address"], kind, f"{node['resources'].get('CPU', 0):g}", *used)
    return rows


def _used(memory: Json) -> tuple[str, str]:
    return _size(memory["total_bytes"] - memory["available_bytes"]), _size(memory["total_bytes"])


def _processes(found: Json) -> Table:
    rows = table("part", "node", "pid", "resident", "proportional", "own", "")
    parts = [*found["hosts"], *(found[name] for name in ("system", "embedder", "redactor", "ingress", "chat"))]
    for part in parts:
        if part is not None:
            process = part["process"]
            sizes = (_size(process[kind]) for kind in ("rss_bytes", "pss_bytes", "uss_bytes"))
            rows.add_row(part["name"], _short(part["node"]), str(process["pid"]), *sizes, escape(part.get("model", "")))
    return rows


def _shards(hosts: list[Json]) -> Table:
    rows = table("shard", "host", "epoch", "position", "snapshot", "behind", "queued", "cubes open", "")
    shards = sorted(((shard, host["name"]) for host in hosts for shard in host["shards"]), key=lambda s: s[0]["shard"])
    for shard, host in shards:
        indexes = shard["indexes"]
        behind = " ".join(f"{name} {index['lag']}" for name, index in indexes.items() if index["lag"]) or "-"
        failures = [shard["failure"], *(f"{n}: {i['failure']}" for n, i in indexes.items() if i["failure"])]
        rows.add_row(
            str(shard["shard"]),
            host,
            str(shard["epoch"]),
            str(shard["position"]),
            str(shard["snapshot_position"]),
            behind,
            str(shard["writer"]["queued"]),
            str(shard["open_cubes"]),
            escape("; ".join(filter(None, failures))),
        )
    return rows


def _queues(found: Json) -> Table:
    rows = table("what", "worked on", "waiting", "turned away")
    for kind, gate in found["ingress"]["gates"].items():
        rows.add_row(kind, *(str(gate[name]) for name in ("running", "waiting", "turned_away")))
    rows.add_row("queries to be embedded", "", str(found["ingress"]["queries"]), "")
    if found["embedder"] is not None:
        rows.add_row("shards with texts to be embedded", "", str(found["embedder"]["waiting"]), "")
    if found["redactor"] is not None:
        rows.add_row("texts to be looked through", "", str(found["redactor"]["waiting"]), "")
    if found["chat"] is not None:
        chats = found["chat"]["chats"]
        rows.add_row("chats at the model", str(min(chats, 1)), str(max(chats - 1, 0)), "")
    if found["system"] is not None:
        rows.add_row("writes of the system shard", "", str(found["system"]["queued"]), "")
    return rows


def _short(node: str) -> str:
    return node[:8]


def _size(size: int | None) -> str:
    return "" if size is None else f"{size / MIB:,.0f} MiB"
