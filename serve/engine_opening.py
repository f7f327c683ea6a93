"""From settings to the models of the edge. Model libraries are imported when one is opened, not before."""

from __future__ import annotations

from collections.abc import Sequence

from actors.errors import ConfigError
from actors.memory.item import Memory, Reference
from actors.memory.ports import ChatTurn, Engine
from actors.models.weights import ENGINE_SOURCE
from cluster.preflight import embedder_path, engine_path
from cluster.settings import EngineSettings, Settings
from serve.chat_port import UsedMemory
from serve.generation import Prompt, PromptWriter
from serve.retrieval import QueryEmbedder


def model_name(settings: EngineSettings) -> str:
    """The name that the chat model goes by in `/v1/models`, known without loading it."""
    if settings.openai_url:
        return settings.openai_model
    return ENGINE_SOURCE.name if settings.model_path is None else settings.model_path.name


def open_engine(settings: Settings) -> Engine:
    """The configured chat model, loaded. Raises ConfigError naming the setting that is wrong."""
    path = engine_path(settings)
    if path is None:
        raise ConfigError("models.engine.openai_url: OpenAI-compatible servers are not available yet; leave it out")
    from actors.models.engine import EngineSpec, TransformersEngine

    engine = settings.models.engine
    return TransformersEngine(EngineSpec(path=str(path), threads=engine.threads, max_waiting=engine.queue))


def open_query_embedder(settings: Settings) -> QueryEmbedder:
    """The embedder for queries: the same model as the ingest actor's, with its own threads, loaded and warm."""
    from actors.models.embedder import EmbedderSpec, TransformersEmbedder
    from actors.models.query_embedder import MicroBatcher

    threads = settings.models.embedder.query_threads
    return MicroBatcher(TransformersEmbedder(EmbedderSpec(path=str(embedder_path(settings)), threads=threads)))


def prompt_writer() -> PromptWriter:
    from actors.memory.prompting import assemble

    def write(engine: Engine, turns: Sequence[ChatTurn], memories: Sequence[Memory], max_tokens: int) -> Prompt:
        budget = max(engine.context_tokens - max_tokens, engine.context_tokens // 2)
        prompt = assemble(turns, memories, engine.count_tokens, budget)
        used = tuple(UsedMemory(Reference(m.cube_id, m.id, m.version), m.form) for m in prompt.used)
        return Prompt(prompt.turns, used)

    return write
