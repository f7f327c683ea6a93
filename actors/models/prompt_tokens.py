"""Conversations as token ids: the model's chat template, with contents that cannot leave their turn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from jinja2.exceptions import TemplateError

from actors.errors import ConfigError, InvalidRequest
from actors.memory.engine_ports import ChatTurn


class PromptTokens:
    """Renders and counts prompts of one tokenizer. Safe from any thread."""

    def __init__(self, tokenizer: Any, setting: str) -> None:
        if not tokenizer.chat_template:
            raise ConfigError(f"{setting}: the model has no chat template; name an instruct or chat model")
        self._tokenizer = tokenizer
        special = sorted(set(tokenizer.all_special_tokens) | _markup(tokenizer), key=len, reverse=True)
        self._special = re.compile("|".join(map(re.escape, special))) if special else None

    def encode(self, turns: Sequence[ChatTurn]) -> list[int]:
        """The prompt that `turns` become, the generation prompt included. Raises InvalidRequest.

        Special tokens written out inside a content are broken up: no content can close its turn or open another.
        """
        messages = [{"role": turn.role, "content": self._harmless(turn.content)} for turn in turns]
        try:
            text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise InvalidRequest(f"messages: the model's chat template refuses them: {error}") from error
        return list(self._tokenizer(text, add_special_tokens=False)["input_ids"])

    def _harmless(self, content: str) -> str:
        if self._special is None:
            return content
        return self._special.sub(lambda found: f"{found.group()[0]} {found.group()[1:]}", content)


def _markup(tokenizer: Any) -> set[str]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {token.content for token in added.values() if token.special and len(token.content) > 1}
