"""The engine for local Hugging Face models."""

from __future__ import annotations

import threading
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any

from transformers import AutoModelForCausalLM

from actors.errors import ContextOverflow, InvalidRequest
from actors.memory.engine_ports import Capabilities, ChatTurn, Generated, Sampling
from actors.models.admission import Turnstile
from actors.models.decoding import AnswerText
from actors.models.generation import Generation
from actors.models.language_model import LanguageModel
from actors.models.loading import load_model, load_tokenizer, model_folder, pick_device, pick_dtype, use_threads
from actors.models.prompt_tokens import PromptTokens
from actors.models.sampling import TokenSampler
from actors.models.weights import identify

DEFAULT_CONTEXT_TOKENS = 4096
"""Taken when neither the model nor the settings name a context length."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is made of. `device` and `dtype` empty: the best that is here; `name` empty: the folder's.

    `max_waiting` generations may wait for the one that runs. `context_tokens` None: all that the model has.
    `setting` names the setting that `path` came from, for error messages.
    """

    path: str
    threads: int = 1
    max_waiting: int = 16
    device: str = ""
    dtype: str = ""
    name: str = ""
    context_tokens: int | None = None
    setting: str = "models.engine.model_path"


class TransformersEngine:
    """Answers with a causal language model of transformers, one generation at a time. Safe from any thread.

    Holds nothing of a conversation once its answer ended. Greedy answers are those of `generate` in fp32.
    Raises ConfigError when the folder does not hold a model that can chat.
    """

    def __init__(self, spec: EngineSpec) -> None:
        folder = model_folder(spec.path, spec.setting)
        device = pick_device(spec.device)
        use_threads(spec.threads)
        self._threads = spec.threads
        self._tokenizer = load_tokenizer(folder, spec.setting)
        self._prompt = PromptTokens(self._tokenizer, spec.setting)
        dtype = pick_dtype(device, spec.dtype)
        model = load_model(AutoModelForCausalLM, folder, spec.setting, device, dtype)
        self._model = LanguageModel(model)
        self._ends = _end_tokens(model, self._tokenizer)
        own = self._model.max_positions or spec.context_tokens or DEFAULT_CONTEXT_TOKENS
        self._context_tokens = min(own, spec.context_tokens or own)
        self._model_id = identify(folder, spec.name)
        self._turnstile = Turnstile(spec.max_waiting)
        self._warm_up()

    @property
    def model_id(self) -> str:
        return self._model_id

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(kv_injection=False, adapters=False, streaming=True)

    @property
    def context_tokens(self) -> int:
        return self._context_tokens

    @property
    def waiting(self) -> int:
        """Generations in line behind the one that runs."""
        return self._turnstile.waiting

    def count_tokens(self, turns: Sequence[ChatTurn]) -> int:
        return len(self._prompt.encode(turns))

    def generate(self, turns: Sequence[ChatTurn], sampling: Sampling) -> Generation:
        """An answer, piece by piece; see Generation.

        Takes its place in line at once, and begins to work when the first piece is asked for. `max_tokens`
        is cut to what the context has left. Raises ContextOverflow when the prompt leaves no room for an
        answer, Overloaded with `retry_after_s` when too many wait, InvalidRequest when the template refuses.
        """
        if sampling.max_tokens < 1:
            raise InvalidRequest("max_tokens must be at least 1", field="max_tokens")
        prompt = self._prompt.encode(turns)
        room = self._context_tokens - len(prompt)
        if room < 1:
            raise ContextOverflow(
                f"the prompt has {len(prompt)} tokens; the model's context of {self._context_tokens} leaves no room",
                prompt_tokens=len(prompt),
                context_tokens=self._context_tokens,
            )
        max_tokens = min(sampling.max_tokens, room)
        ticket = self._turnstile.join()
        return Generation(ticket, lambda closed: self._run(prompt, max_tokens, sampling, closed))

    def _run(
        self, prompt: list[int], max_tokens: int, sampling: Sampling, closed: threading.Event
    ) -> Generator[Generated]:
        sampler, answer = TokenSampler(sampling), AnswerText(self._decode, sampling.stop)
        cache = self._model.new_cache(len(prompt) + max_tokens)
        use_threads(self._threads)
        logits = self._model.prefill(prompt, cache, closed.is_set)
        drawn = 0
        while logits is not None and not closed.is_set():
            token = sampler.draw(logits)
            drawn += 1
            ended = token in self._ends
            shown = "" if ended else answer.push(token)
            if ended or answer.stopped or drawn >= max_tokens:
                shown += answer.finish()
                reason = "stop" if ended or answer.stopped else "length"
                yield Generated(shown, len(prompt), drawn, finish_reason=reason)
                return
            if shown:
                yield Generated(shown, len(prompt), drawn)
            use_threads(self._threads)  # each piece may be asked for on another thread
            logits = self._model.step([token], cache)

    def _decode(self, tokens: Sequence[int]) -> str:
        text: str = self._tokenizer.decode(tokens, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _warm_up(self) -> None:
        for _ in self.generate([ChatTurn("user", "Hello")], Sampling(max_tokens=2)):
            pass


def _end_tokens(model: Any, tokenizer: Any) -> frozenset[int]:
    named = getattr(model.generation_config, "eos_token_id", None)
    ends = set(named if isinstance(named, (list, tuple)) else [named])
    return frozenset(int(token) for token in ends | {tokenizer.eos_token_id} if token is not None)
