"""Puts an instance's parts onto a running Ray head, and takes them off again. A process of its own:

    python -m cluster.placement start < PLAN      create the actors, deploy Serve, return when all of it answers
    python -m cluster.placement stop < PLAN       end Serve, let the hosts drain their journals

It runs in the instance's environment, so that the process of `memos` itself never imports Ray.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from importlib import import_module
from typing import Any

import ray
from ray import serve
from ray.exceptions import ActorDiedError

from actors.cube_actor import CubeActor
from actors.embedder_actor import EmbedderActor
from actors.errors import MemosError, Unavailable
from actors.host import HostSpec
from actors.memory.credentials import digest_secret, key_id_of
from actors.models.embedder import EmbedderSpec
from actors.remote_actor import HEALTH, ActorAddress, InstanceClaim
from actors.shard import ShardLimits
from actors.system import FirstGovernor
from actors.system_actor import SystemActor
from actors.system_opening import SystemSpec
from cluster.directory import EMBEDDER, NAMESPACE, SYSTEM, RayDirectory, host_name
from cluster.plan import Plan
from cluster.preflight import embedder_path
from cluster.state_folder import StateFolder
from cluster.topology import Topology
from cluster.vector_store import vector_store

FIRST_PRINCIPAL = "governor"
READY_WITHIN_S = 150.0
CLOSE_WITHIN_S = 60.0
SYSTEM_CONCURRENCY = 64
EMBEDDER_CONCURRENCY = 32
"""Shards that may ask at once: what they ask together is embedded together."""
HEALTH_CONCURRENCY = 2

log = logging.getLogger("memos.placement")


def main(action: str) -> int:
    """Exit code 0 when done; else 1, with the reason as JSON on the last line of stdout."""
    plan = Plan.from_json(sys.stdin.read())
    try:
        ray.init(address="auto", namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        log.info("connected")
        {"start": start, "stop": stop}[action](plan)
        log.info("done")
    except Exception as error:  # this process's outer loop: whatever was raised is the reason that `memos` shows
        log.exception("%s failed", action)
        detail = error.detail if isinstance(error, MemosError) else f"{type(error).__name__}: {error}"
        sys.stdout.write(json.dumps({"error": detail[:600]}) + "\n")
        return 1
    return 0


def start(plan: Plan) -> None:
    """Create what is missing and wait until it answers. Raises the reason why a part cannot start."""
    names = _create_actors(plan)
    if plan.deploy:
        log.info("deploying Serve")
        serve.start(http_options={"host": "127.0.0.1", "port": plan.settings.http.port})
        module, _, function = plan.deploy.partition(":")
        getattr(import_module(module), function)(plan)
    asyncio.run(_all_ready(names, READY_WITHIN_S))


def stop(plan: Plan) -> None:
    """Stop taking requests, then drain: hosts first, since they ask the system host."""
    if plan.deploy:
        log.info("ending Serve")
        serve.shutdown()
    directory = RayDirectory(timeout_s=CLOSE_WITHIN_S)
    for group in (_hosts(plan), [SYSTEM]):
        asyncio.run(_close(directory, group))


async def _close(directory: RayDirectory, names: list[str]) -> None:
    log.info("closing %s", ", ".join(names))
    answers = await asyncio.gather(*(directory.call(name, "close") for name in names), return_exceptions=True)
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, BaseException):
            log.warning("%s was not closed: %s; its journal holds everything that was acknowledged", name, answer)


def _hosts(plan: Plan) -> list[str]:
    return [host_name(n) for n in range(plan.settings.cluster.hosts)]


def _create_actors(plan: Plan) -> list[str]:
    settings, state = plan.settings, StateFolder(plan.state)
    claim = InstanceClaim(str(state.instance_file), plan.instance)
    chain_key = bytes.fromhex(state.secret(state.chain_key_file))
    _create(SystemActor, SYSTEM, SYSTEM_CONCURRENCY, _system_spec(plan, state, chain_key), claim)
    embedder = settings.models.embedder
    spec = EmbedderSpec(path=str(embedder_path(settings)), threads=embedder.threads)
    _create(EmbedderActor, EMBEDDER, EMBEDDER_CONCURRENCY, spec)
    topology = Topology(settings.cluster.shards, settings.cluster.hosts)
    addresses = ActorAddress(NAMESPACE, EMBEDDER), ActorAddress(NAMESPACE, SYSTEM)
    for number in range(topology.hosts):
        host = _host_spec(plan, topology, number, chain_key)
        _create(CubeActor, host.name, settings.limits.host_concurrency, host, claim, *addresses)
    return [SYSTEM, EMBEDDER, *_hosts(plan)]


def _create(actor: type[Any], name: str, concurrency: int, *args: Any) -> None:
    """A named, detached actor that Ray restarts whenever its process ends. Its CPUs are not Ray's to count."""
    answering: Any = ray.remote(concurrency_groups={HEALTH: HEALTH_CONCURRENCY})  # type: ignore[call-overload]  # theirs
    answering(actor).options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=concurrency,
        num_cpus=0,
    ).remote(*args)


def _system_spec(plan: Plan, state: StateFolder, chain_key: bytes) -> SystemSpec:
    secret = state.key_file.read_text(encoding="utf-8").strip() if state.key_file.exists() else ""
    key_id = key_id_of(secret)
    first = None if key_id is None else FirstGovernor(FIRST_PRINCIPAL, key_id, digest_secret(chain_key, secret))
    return SystemSpec(
        shards_uri=plan.settings.shards_uri,
        chain_key=chain_key,
        first_governor=first,
        storage_options=plan.settings.state.storage_options,
        queue_limit=plan.settings.limits.system_queue,
    )


def _host_spec(plan: Plan, topology: Topology, number: int, chain_key: bytes) -> HostSpec:
    limits = plan.settings.limits
    return HostSpec(
        name=host_name(number),
        shards_uri=plan.settings.shards_uri,
        index_folder=str(plan.state / "shards"),
        shards=topology.shards_of(number),
        shard_count=topology.shards,
        chain_key=chain_key,
        storage_options=plan.settings.state.storage_options,
        open_bytes=limits.open_bytes,
        limits=ShardLimits(
            open_cubes=limits.open_cubes,
            queue=limits.queue,
            snapshot_events=limits.snapshot_events,
            index_wait_s=limits.index_wait_s,
        ),
        vectors=vector_store(plan.settings.vectors, chain_key),
    )


async def _all_ready(names: list[str], within_s: float) -> None:
    """Wait until every part answers that it is ready. Raises the part's own error when it cannot start."""
    log.info("waiting for %s", ", ".join(names))
    directory = RayDirectory(timeout_s=within_s)
    until = time.monotonic() + within_s
    for name in names:
        await _ready(partial(directory.call, name, "ready"), name, until)


async def _ready(ask: Callable[[], Awaitable[list[str]]], name: str, until: float) -> None:
    while True:
        try:
            waiting = await ask()
        except Unavailable as error:
            reason = _creation_failure(error.__cause__)
            if reason:
                raise MemosError(f"{name} cannot start: {reason}") from error
            waiting = [error.detail]
        if not waiting:
            return
        if time.monotonic() > until:
            raise MemosError(f"{name} is not ready after {READY_WITHIN_S:.0f} s: {'; '.join(waiting)[:300]}")
        await asyncio.sleep(0.2)


def _creation_failure(error: BaseException | None) -> str:
    """In the words of our own error, what an actor's constructor raised; empty when that is not what happened."""
    if not isinstance(error, ActorDiedError) or "creation task" not in str(error):
        return ""
    last = [line.strip() for line in str(error).splitlines() if line.strip()][-1]
    return re.sub(r"^(\w+\.)*\w+: ", "", last)[:400]


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(message)s")
    raise SystemExit(main(sys.argv[1]))
