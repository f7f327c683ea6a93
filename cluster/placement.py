"""Puts an instance's parts onto a running Ray head, and takes them off again. A process of its own:

    python -m cluster.placement start < PLAN      create the actors, deploy Serve, return when all of it answers
    python -m cluster.placement stop < PLAN       end Serve, let the hosts drain their journals

It runs in the instance's environment, so that the process of `memos` itself never imports Ray.
"""

from __future__ import annotations

import asyncio
import json
import logging
import platform
import re
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from importlib import import_module
from typing import Any

import ray
from ray import serve
from ray.exceptions import ActorDiedError
from ray.serve.config import ProxyLocation
from ray.serve.exceptions import RayServeException

from actors.cube_actor import CubeActor
from actors.embedder_actor import EmbedderActor
from actors.errors import ConfigError, MemosError, Unavailable
from actors.remote_actor import HEALTH, ActorAddress
from actors.system_actor import SystemActor
from cluster.capacity import Wanted, check_room, ray_options
from cluster.directory import EMBEDDER, NAMESPACE, REDACTOR, SYSTEM, RayDirectory, host_name
from cluster.plan import APP_NAME, Plan
from cluster.preflight import check_storage
from cluster.redactor import recognizer_place
from cluster.settings import Settings
from cluster.specs import claim_of, embedder_spec, free_claim, host_spec, parts_of, system_spec, take_claim
from cluster.state_folder import StateFolder

READY_WITHIN_S = 150.0
CLOSE_WITHIN_S = 60.0
SYSTEM_CONCURRENCY = 64
EMBEDDER_CONCURRENCY = 32
"""Shards that may ask at once: what they ask together is embedded together."""

HEALTH_CONCURRENCY = 2
HEAD_RESOURCE = "node:__internal_head__"
"""What Ray gives its head node."""

_internals: Any = ray._private
"""Ray says the cluster's id, its dashboard and what each node has free only here, without types."""

log = logging.getLogger("memos.placement")


def main(action: str) -> int:
    """Exit code 0 when done; else 1, with the reason as JSON on the last line of stdout."""
    plan = Plan.from_json(sys.stdin.read())
    try:
        ray.init(address="auto", namespace=NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        log.info("connected")
        done = {"start": start, "stop": stop}[action](plan)
        log.info("done")
        sys.stdout.write(json.dumps(done) + "\n")
    except Exception as error:  # this process's outer loop: whatever was raised is the reason that `memos` shows
        log.exception("%s failed", action)
        detail = error.detail if isinstance(error, MemosError) else f"{type(error).__name__}: {error}"
        sys.stdout.write(json.dumps({"error": detail[:600]}) + "\n")
        return 1
    return 0


def start(plan: Plan) -> dict[str, str]:
    """Create what is missing and wait until it answers: where, and whom this fenced. Raises the reason why a part
    cannot start; then what this call has created is taken off again.
    """
    plan = _completed(plan)
    known = _exists(SYSTEM)
    try:
        fenced = _place(plan)
        if plan.deploy:
            log.info("deploying Serve")
            http = plan.settings.http
            location = {"head": ProxyLocation.HeadOnly, "every": ProxyLocation.EveryNode}[http.proxies]
            serve.start(proxy_location=location, http_options={"host": http.host, "port": http.port})
            module, _, function = plan.deploy.partition(":")
            getattr(import_module(module), function)(plan)
        asyncio.run(_all_ready([SYSTEM, EMBEDDER, *_hosts(plan)], READY_WITHIN_S))
    except BaseException:
        if not known:
            _take_off(plan)
        raise
    return {"url": plan.url, "instance": plan.instance, "fenced": fenced}


def stop(plan: Plan) -> dict[str, str]:
    """Stop taking requests, then drain: hosts first, since they ask the system host. The claim on the storage ends."""
    plan = _completed(plan)
    found = _exists(SYSTEM)
    if plan.deploy:
        log.info("ending Serve")
        if plan.settings.ray.address:
            _delete_application()
        else:
            serve.shutdown()
    directory = RayDirectory(timeout_s=CLOSE_WITHIN_S)
    for group in (_hosts(plan), [SYSTEM]):
        asyncio.run(_close(directory, [name for name in group if _exists(name)]))
    _take_off(plan)
    return {"instance": plan.instance if found else ""}


def place(settings: Settings) -> Plan:
    """From inside a Ray cluster: claim the storage and create the actors that are missing, in the namespace that
    everything of an instance is in. Waits for none of them. Raises ConfigError, StateInUse, StorageUnavailable.
    """
    StateFolder(settings.state_folder).check_secrets()  # a key that was made on some node would be lost with it
    check_storage(settings)
    plan = _completed(Plan("", settings, "", ""))
    _place(plan)
    return plan


def _completed(plan: Plan) -> Plan:
    """The plan with what only the Ray cluster knows: an instance in a cluster that was there before is known by that
    cluster's own id, so that a repeated start is the same instance.
    """
    if plan.instance:
        return plan
    client = _internals.worker.global_worker.gcs_client
    head = next(node for node in ray.nodes() if HEAD_RESOURCE in node["Resources"] and node["Alive"])
    http = plan.settings.http
    return replace(
        plan,
        instance=str(client.cluster_id.hex()),
        url=http.url or f"http://{head['NodeManagerAddress']}:{http.port}",
        dashboard_url=f"http://{_internals.worker.get_dashboard_url()}",
    )


def _place(plan: Plan) -> str:
    """Check that there is room, claim the storage, create the actors; whom that fenced, in words."""
    wanted = [kind for kind in parts_of(plan.settings) if kind.resources]
    until = time.monotonic() + plan.settings.cluster.join_wait_s
    while wanted:  # nodes may still be joining
        try:
            check_room(_free_resources(), _missing(wanted))
            break
        except ConfigError:
            if time.monotonic() > until:
                raise
            time.sleep(0.5)
    fenced = take_claim(plan, f"Ray at {ray.get_runtime_context().gcs_address} on {platform.node()}")
    if fenced:
        log.warning("fenced: %s", fenced)
    _create_actors(plan)
    return fenced


def _missing(wanted: list[Wanted]) -> list[Wanted]:
    """What of it has no actor yet: those that run hold their resources already."""
    names: dict[str, Callable[[int], str]] = {
        "hosts": host_name,
        "system host": lambda n: SYSTEM,
        "embedder": lambda n: EMBEDDER,
    }
    missing = []
    for kind in wanted:
        if kind.kind in names:
            there = sum(_exists(names[kind.kind](n)) for n in range(kind.count))
        else:  # replicas are Serve's: they came with the rest
            there = kind.count if _exists(SYSTEM) else 0
        missing.append(replace(kind, count=kind.count - there))
    return missing


def _free_resources() -> dict[str, dict[str, float]]:
    """Address and id of each living node -> what is free there."""
    free = _internals.state.available_resources_per_node()
    return {
        f"{node['NodeManagerAddress']} ({node['NodeID'][:6]})": free.get(node["NodeID"], {})
        for node in ray.nodes()
        if node["Alive"]
    }


def _exists(name: str) -> bool:
    try:
        ray.get_actor(name, namespace=NAMESPACE)
    except ValueError:
        return False
    return True


def _delete_application() -> None:
    """Ours alone; Serve goes on for the applications of others."""
    try:
        serve.delete(APP_NAME)
    except RayServeException:  # how it says that it does not run
        return
    if not serve.status().applications:
        serve.shutdown()


def _take_off(plan: Plan) -> None:
    """End the actors and give the storage up."""
    if plan.settings.ray.address:
        if plan.deploy:
            _delete_application()
        for name in [*_hosts(plan), REDACTOR, EMBEDDER, SYSTEM]:
            if _exists(name):
                ray.kill(ray.get_actor(name, namespace=NAMESPACE), no_restart=True)
    free_claim(plan)


async def _close(directory: RayDirectory, names: list[str]) -> None:
    log.info("closing %s", ", ".join(names))
    answers = await asyncio.gather(*(directory.call(name, "close") for name in names), return_exceptions=True)
    for name, answer in zip(names, answers, strict=True):
        if isinstance(answer, BaseException):
            log.warning("%s was not closed: %s; its journal holds everything that was acknowledged", name, answer)


def _hosts(plan: Plan) -> list[str]:
    return [host_name(n) for n in range(plan.settings.cluster.hosts)]


def _create_actors(plan: Plan) -> None:
    settings, claim = plan.settings, claim_of(plan)
    placing = settings.cluster
    _create(SystemActor, SYSTEM, SYSTEM_CONCURRENCY, placing.system_resources, system_spec(plan), claim)
    _create(EmbedderActor, EMBEDDER, EMBEDDER_CONCURRENCY, placing.embedder_resources, embedder_spec(settings))
    addresses = ActorAddress(NAMESPACE, EMBEDDER), ActorAddress(NAMESPACE, SYSTEM), recognizer_place(settings)
    for number in range(placing.hosts):
        host = host_spec(plan, number)
        concurrency = settings.limits.host_concurrency
        _create(CubeActor, host.name, concurrency, placing.host_resources, host, claim, *addresses)


def _create(actor: type[Any], name: str, concurrency: int, resources: Mapping[str, float], *args: Any) -> None:
    """A named, detached actor that Ray restarts whenever its process ends, or its node: then on another one. They are
    spread over the nodes.
    """
    answering: Any = ray.remote(concurrency_groups={HEALTH: HEALTH_CONCURRENCY})  # type: ignore[call-overload]  # theirs
    answering(actor).options(
        name=name,
        namespace=NAMESPACE,
        lifetime="detached",
        get_if_exists=True,
        max_restarts=-1,
        max_task_retries=0,
        max_concurrency=concurrency,
        scheduling_strategy="SPREAD",
        **ray_options(resources),
    ).remote(*args)


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
