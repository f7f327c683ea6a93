"""From settings to the models of the edge. Model libraries are imported when one is opened, not before."""

from __future__ import annotations

from collections.abc import Sequence

from actors.memory.engine_ports import ChatTurn, Engine
from actors.memory.item import Memory, Reference
from actors.memory.prompting import assemble
from actors.models.weights import ENGINE_SOURCE
from cluster.preflight import embedder_path, engine_path
from cluster.sections import EngineSettings
from cluster.settings import Settings
from serve.chat_port import UsedMemory
from serve.generation import Prompt
from serve.retrieval import QueryEmbedder


def model_name(settings: EngineSettings) -> str:
    """The name that the chat model goes by in `/v1/models`, known without loading it."""
    return ENGINE_SOURCE.name if settings.model_path is None else settings.model_path.name


def open_engine(settings: Settings) -> Engine:
    """The configured chat model, loaded. Raises ConfigError naming the setting that is wrong."""
    from actors.models.engine import EngineSpec, TransformersEngine

    engine, path = settings.models.engine, engine_path(settings)
    return TransformersEngine(EngineSpec(path=str(path), threads=engine.threads, max_waiting=engine.queue))


def open_query_embedder(settings: Settings) -> QueryEmbedder:
    """The embedder for queries: the same model as the ingest actor's, with its own threads, loaded and warm."""
    from actors.models.embedder import EmbedderSpec, TransformersEmbedder
    from actors.models.query_embedder import MicroBatcher

    threads = settings.models.embedder.query_threads
    return MicroBatcher(TransformersEmbedder(EmbedderSpec(path=str(embedder_path(settings)), threads=threads)))


def write_prompt(engine: Engine, turns: Sequence[ChatTurn], memories: Sequence[Memory], max_tokens: int) -> Prompt:
    """A `serve.generation.PromptWriter` that stands on `actors.memory.prompting`."""
    # A client may ask for a longer answer than the context holds; the engine gives it what is left then.
    answer_tokens = min(max_tokens, engine.context_tokens // 4)
    written = assemble(turns, memories, engine.context_tokens - answer_tokens, engine.count_tokens)
    used = tuple(UsedMemory(Reference(m.cube_id, m.id, m.version), m.form) for m in written.used)
    return Prompt(written.turns, used)
