"""The status as the edge tells it: what the backend says, the language model, and this process."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from actors.errors import MemosError
from actors.footprint import footprint
from actors.memory.ports import JsonObject
from serve.backend import Backend
from serve.chat import ChatService
from serve.metrics import Metrics, WatchedGate
from serve.retrieval import QueryEmbedder

CHAT = "chat"
INGRESS = "ingress"


@dataclass(frozen=True, slots=True)
class SystemStatus:
    """Reads the status. `node` is where this process runs; empty outside of a cluster."""

    backend: Backend
    chat: ChatService
    embedder: QueryEmbedder
    metrics: Metrics
    node: str

    async def read(self) -> JsonObject:
        """As `serve.contract.status.StatusOut`."""
        said, chat = await asyncio.gather(self.backend.status(), self._chat())
        silent = [{"part": CHAT, "reason": chat.detail}] if isinstance(chat, MemosError) else []
        return {
            **said,
            "ingress": self._ingress(await asyncio.to_thread(footprint)),
            "chat": None if isinstance(chat, MemosError) else _part(CHAT, chat),
            "chat_models": list(self.chat.models),
            "unanswered": [*said["unanswered"], *silent],
        }

    def _ingress(self, taken: JsonObject) -> JsonObject:
        return _part(
            INGRESS,
            {
                **taken,
                "node": self.node,
                "requests": self.metrics.requests_in_flight,
                "queries": self.embedder.waiting,
                "gates": {kind: _gate(gate) for kind, gate in self.metrics.gates.items()},
                "model": self.embedder.model_id,
            },
        )

    async def _chat(self) -> JsonObject | MemosError:
        try:
            return await self.chat.status()
        except MemosError as error:
            return error


def _gate(gate: WatchedGate) -> JsonObject:
    return {"running": gate.running, "waiting": gate.waiting, "turned_away": gate.turned_away}


def _part(name: str, said: JsonObject) -> JsonObject:
    return {"name": name, "node": "", **{key: value for key, value in said.items() if key != "machine"}}
