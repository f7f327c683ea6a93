"""The smallest Serve application: it stands in for the real one, so that starting and ending can be tested quickly."""

from __future__ import annotations

from ray import serve
from starlette.requests import Request
from starlette.responses import PlainTextResponse

from cluster.loopback import keep_replica_on_its_node
from cluster.plan import Plan


class Trivial:
    def __init__(self, instance: str) -> None:
        keep_replica_on_its_node()
        self._instance = instance

    async def __call__(self, request: Request) -> PlainTextResponse:
        return PlainTextResponse(self._instance)


def deploy(plan: Plan) -> None:
    deployment = serve.deployment(ray_actor_options={"num_cpus": 0})(Trivial)
    serve.run(deployment.bind(plan.instance), name="memos", route_prefix="/")
