"""From settings to the specification of the vector store that hosts get."""

from __future__ import annotations

from actors.errors import ConfigError
from actors.memory.identity import keyed_digest
from actors.stores.vectors.store import VectorStoreSpec
from cluster.sections import VectorSettings


def vector_store(settings: VectorSettings, chain_key: bytes) -> VectorStoreSpec:
    """Raises ConfigError when the token's file cannot be read. Without a prefix, the collections of a state begin with
    one that follows from its key, so that states that share a Milvus do not meet in it.
    """
    token = ""
    if settings.token_file is not None:
        try:
            token = settings.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"vectors.token_file {settings.token_file} cannot be read: {error}") from error
    return VectorStoreSpec(
        backend=settings.backend,
        uri=settings.uri,
        token=token,
        prefix=settings.prefix or f"memos_{keyed_digest(chain_key, 'vector store')[:12]}",
        timeout_s=settings.timeout_s,
    )
