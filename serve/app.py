"""The Serve application: ingress and chat, put together and deployed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError
from ray import serve
from ray.serve import Application
from ray.serve.schema import LoggingConfig

from actors.errors import ConfigError, MemosError
from cluster.capacity import ray_options
from cluster.placement import place
from cluster.plan import APP_NAME, Plan
from cluster.settings import load_settings
from serve.chat_deployment import NAME as CHAT
from serve.chat_deployment import Chat
from serve.ingress import NAME as INGRESS
from serve.ingress import Ingress

HEADROOM = 8
"""Calls beside the queued chats that a Chat replica takes: readiness, and chats that are told that it is full."""
ONGOING_REQUESTS = 512
"""Requests that an ingress replica works on at once; hosts and model bound their own queues."""
DEPLOY = "serve.app:deploy"
"""How a plan names `deploy`."""


def build(plan: Plan) -> Application:
    """The application for `serve.run`. Deploys nothing yet."""
    settings = plan.settings
    engine = settings.models.engine
    quiet = LoggingConfig(enable_access_log=False)
    chat = serve.deployment(
        name=CHAT,
        num_replicas=1,
        max_ongoing_requests=engine.queue + 1 + HEADROOM,
        max_queued_requests=engine.queue + 1,
        ray_actor_options=_resources(engine.threads, settings.http.replica_resources),
        logging_config=quiet,
    )(Chat)
    ingress = serve.deployment(
        name=INGRESS,
        num_replicas=settings.http.replicas,
        max_ongoing_requests=ONGOING_REQUESTS,
        ray_actor_options=_resources(settings.models.embedder.query_threads, settings.http.replica_resources),
        logging_config=quiet,
    )(serve.ingress()(Ingress))
    return ingress.bind(plan, chat.bind(settings))


def deploy(plan: Plan) -> None:
    """Deploy, or update what is deployed, and wait until its replicas run. Serve must have been started.

    Raises MemosError with the reason when a replica cannot be built.
    """
    try:
        serve.run(build(plan), name=APP_NAME, route_prefix="/")
    except RuntimeError as error:
        raise MemosError(f"the HTTP interface cannot start: {reason_of(str(error))}") from error


class ClusterArguments(BaseModel):
    """`config`: the profile's path, as the nodes of the cluster see it."""

    model_config = ConfigDict(extra="forbid")

    config: Path


def cluster(arguments: dict[str, Any]) -> Application:
    """The builder for a Serve configuration: `import_path: serve.app:cluster`, `args: {config: /path/cluster.yaml}`.

    Runs inside the Ray cluster. Claims the storage, creates the actors that are missing and does not wait for them:
    `/readyz` tells when all of it answers. Raises what a start refuses: ConfigError, StateInUse, StorageUnavailable.
    """
    try:
        config = ClusterArguments.model_validate(arguments).config
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise ConfigError(f"the application's args are {{config: /path/of/the/profile.yaml}}: {problems}") from error
    return build(place(load_settings(config)))


def reason_of(message: str) -> str:
    """What went wrong, out of Serve's report of a failed deployment: our own error's line, else the last one."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    ours = [line for line in lines if line.startswith("actors.errors.")]
    if ours:
        return ours[-1].partition(": ")[2][:500]
    return lines[-1][:500] if lines else "Serve does not say why"


def _resources(threads: int, resources: Mapping[str, float]) -> dict[str, object]:
    # Ray's CPUs are for jobs: the parts of the system bound themselves by threads.
    return {**ray_options(resources), "runtime_env": {"env_vars": {"OMP_NUM_THREADS": str(threads)}}}
