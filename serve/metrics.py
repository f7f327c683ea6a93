"""What the edge measures, for Prometheus. A registry of its own for each application."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Protocol

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class WatchedGate(Protocol):
    """What is shown of a gate (`serve.admission`)."""

    @property
    def running(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def turned_away(self) -> int: ...


class Metrics:
    """Counters of one ingress replica; no label names a cube, a principal or a key."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(
            "memos_requests", "Requests answered", ("method", "route", "status"), registry=self.registry
        )
        self.latency_s = Histogram(
            "memos_request_seconds",
            "Time to the end of an answer",
            ("method", "route"),
            buckets=_SECONDS,
            registry=self.registry,
        )
        self.in_flight = Gauge("memos_requests_in_flight", "Requests being answered", registry=self.registry)
        self.chat_ttft_s = Histogram(
            "memos_chat_first_token_seconds", "Time to first token", buckets=_SECONDS, registry=self.registry
        )
        self.prompt_tokens = Counter("memos_chat_prompt_tokens", "Tokens of prompts", registry=self.registry)
        self.completion_tokens = Counter("memos_chat_completion_tokens", "Tokens generated", registry=self.registry)
        self.cached_tokens = Counter("memos_chat_cached_tokens", "Prompt tokens from a cache", registry=self.registry)
        self.searches = Counter("memos_searches", "Searches, of chats too", registry=self.registry)
        self.search_degraded = Counter(
            "memos_searches_degraded", "Searches in which a part did not answer", registry=self.registry
        )
        self.embed_s = Histogram(
            "memos_query_embed_seconds", "Embedding of a query", buckets=_SECONDS, registry=self.registry
        )

        self.admission = Gauge(
            "memos_admission",
            "Requests inside, waiting, and turned away so far",
            ("kind", "what"),
            registry=self.registry,
        )
        self.gates: Mapping[str, WatchedGate] = {}

    def watch_gates(self, gates: Mapping[str, WatchedGate]) -> None:
        """Show how full these gates are whenever the metrics are read."""
        self.gates = gates
        for kind, gate in gates.items():
            self.admission.labels(kind, "running").set_function(partial(getattr, gate, "running"))
            self.admission.labels(kind, "waiting").set_function(partial(getattr, gate, "waiting"))
            self.admission.labels(kind, "turned_away").set_function(partial(getattr, gate, "turned_away"))

    @property
    def requests_in_flight(self) -> int:
        """Requests being answered now."""
        return int(self.registry.get_sample_value("memos_requests_in_flight") or 0)

    def exposition(self) -> bytes:
        """The metrics in Prometheus' text format."""
        return generate_latest(self.registry)
