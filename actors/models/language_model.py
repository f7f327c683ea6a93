"""A local causal language model: tokens in, the next token's logits out. No text, no policy, no queue."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import torch
from transformers.cache_utils import Cache

from actors.models.kv_cache import new_cache

PREFILL_CHUNK_TOKENS = 2048
"""A longer prompt is read in pieces of this size: bounded memory, and a chance to stop in between."""

_CHANGES_LOGITS = ("final_logit_softcapping", "logits_scaling", "logit_scale", "output_multiplier")
"""Settings of models that change what the head returns: those run their own forward."""


class LanguageModel:
    """Prefill and decode steps over a model of transformers. One thread at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._inner = model.base_model
        self._head = model.get_output_embeddings()
        self._text_config = model.config.get_text_config(decoder=True)
        plain = not any(getattr(self._text_config, name, None) for name in _CHANGES_LOGITS)
        self._own_head = plain and self._head is not None and self._inner is not model

    @property
    def max_positions(self) -> int | None:
        """The longest context that the model was made for, None when its configuration does not say."""
        return getattr(self._text_config, "max_position_embeddings", None)

    def new_cache(self, capacity: int) -> Cache:
        """An empty KV-cache for one request of at most `capacity` tokens."""
        return new_cache(self._model.config, capacity)

    def prefill(self, tokens: list[int], cache: Cache, stop: Callable[[], bool]) -> torch.Tensor | None:
        """Read a prompt on top of what `cache` holds: the last token's logits, None when `stop` said so in between."""
        logits = None
        for at in range(0, len(tokens), PREFILL_CHUNK_TOKENS):
            if stop():
                return None
            logits = self.step(tokens[at : at + PREFILL_CHUNK_TOKENS], cache)
        return logits

    @torch.inference_mode()
    def step(self, tokens: list[int], cache: Cache) -> torch.Tensor:
        """Read `tokens` on top of what `cache` holds, and return the last one's logits, shape (vocabulary,).

        `cache` grows by the tokens. Positions go on from its length, and transformers masks a query of several
        tokens over a longer cache, so a prompt may be read in pieces, or on top of an injected prefix.
        """
        ids = torch.tensor([tokens], device=self._model.device)
        if not self._own_head:
            output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
            return cast(torch.Tensor, output.logits[0, -1])
        hidden = self._inner(input_ids=ids, past_key_values=cache, use_cache=True).last_hidden_state
        # The head on a contiguous row: on the slice that `logits_to_keep` makes it costs far more than on a row.
        return cast(torch.Tensor, self._head(hidden[:, -1].contiguous())[0])
