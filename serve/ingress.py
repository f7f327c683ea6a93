"""The Ingress deployment: the HTTP interface in a Serve replica, one hop from the hosts."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from ray.serve.handle import DeploymentHandle

from actors.clock import SystemClock
from actors.interpreter import take_short_turns
from actors.remote_actor import node_id
from cluster.calling import RetryRule
from cluster.directory import RayDirectory
from cluster.gateway import Gateway, GatewayParts
from cluster.jobs import JobRunner, RayJobs
from cluster.loopback import keep_replica_on_its_node
from cluster.plan import Plan
from cluster.settings import Settings
from cluster.topology import Topology
from serve.admission import AdmissionLimits, GateLimits
from serve.chat_deployment import RemoteChat
from serve.engine_opening import model_name, open_query_embedder
from serve.http import ApiSettings, build_api

NAME = "ingress"


class Ingress:
    """Holds the gateway, the query embedder and the chat service. No state: any replica answers any request.

    `serve.ingress()` finds the application by `__serve_build_asgi_app__`.
    """

    def __init__(self, plan: Plan, chat: DeploymentHandle[Any]) -> None:
        take_short_turns()
        keep_replica_on_its_node()
        settings = plan.settings
        self._gateway = open_gateway(plan)
        self._chat = RemoteChat(chat, model_name(settings.models.engine))
        self._embedder = open_query_embedder(settings)
        self._admission = admission_of(settings)

    def __serve_build_asgi_app__(self) -> FastAPI:
        api = ApiSettings(request_id_header="", admission=self._admission, node=node_id())
        return build_api(self._gateway, self._chat, self._embedder, SystemClock(), api)


def admission_of(settings: Settings) -> AdmissionLimits:
    """How many requests of each kind a replica takes in. Chats are bounded by the model's line, too."""
    bound, chats = settings.limits, 2 * (settings.models.engine.queue + 1)
    return AdmissionLimits(
        searches=GateLimits(bound.searches_at_once, bound.searches_waiting, bound.searches_beside_writes),
        writes=GateLimits(bound.writes_at_once, bound.writes_waiting, bound.writes_beside_searches),
        reads=GateLimits(bound.reads_at_once, bound.reads_waiting),
        chats=GateLimits(chats, chats),
    )


def open_gateway(plan: Plan) -> Gateway:
    """A gateway to the hosts of this cluster. Contacts nothing yet."""
    settings, clock = plan.settings, SystemClock()
    directory = RayDirectory(settings.cluster.call_timeout_s)
    retry = RetryRule(within_s=settings.cluster.restart_wait_s)
    jobs = JobRunner(directory, RayJobs(plan.dashboard_url), clock, plan.url, retry)
    topology = Topology(settings.cluster.shards, settings.cluster.hosts)
    return Gateway(GatewayParts(directory, topology, jobs, clock, retry))
