"""The chat body: OpenAI's, with the `memory` object beside it.

Three kinds of fields of OpenAI's body:

- honoured: model, messages (text, as a string or as parts), stream, stream_options.include_usage,
  max_tokens, max_completion_tokens, temperature, top_p, stop, seed, user;
- refused when they ask for something that would silently not happen (`NotAvailable`, naming the field): n above 1,
  tools, functions, tool messages, images and audio, JSON response formats, log probabilities, logit_bias,
  non-zero penalties;
- ignored: everything else, known (store, metadata, service_tier, ...) or not. Clients send extras of other
  vendors, and none of them changes what an answer says. A misspelt field of `memory` is refused, as in our own bodies.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, field_validator, model_validator

from actors.errors import NotAvailable
from actors.memory.item import Form
from serve.contract import limits
from serve.contract.fields import Answer, Body, CubeId, Label
from serve.contract.times import AsOf


class Lenient(BaseModel):
    """A part of OpenAI's body: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True, arbitrary_types_allowed=True)


class ContentPart(Lenient):
    type: str
    text: str | None = None


class ChatMessageIn(Lenient):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    name: str | None = Field(default=None, max_length=limits.LABEL_CHARS)
    tool_calls: list[Any] | None = None

    def text(self) -> str:
        """The message's text; parts are joined. Raises NotAvailable for what is not text."""
        if self.role in ("tool", "function") or self.tool_calls:
            raise NotAvailable("messages: tool calls are not available", field="messages")
        if self.content is None:
            return ""
        if isinstance(self.content, str):
            return self.content
        for part in self.content:
            if part.type not in ("text", "refusal"):
                raise NotAvailable(f"messages: content of type {part.type[:64]!r} is not available", field="messages")
        return "".join(part.text or "" for part in self.content)


class StreamOptions(Lenient):
    include_usage: bool = False


class ResponseFormat(Lenient):
    type: str = "text"


class MemoryOptions(Body):
    """What the chat remembers from, and whether it remembers this exchange."""

    cubes: list[CubeId] | None = Field(default=None, max_length=limits.CUBES_PER_REQUEST)
    top_k: int = Field(default=limits.CHAT_TOP_K_DEFAULT, ge=0, le=limits.TOP_K)
    as_of: AsOf | None = None
    remember: StrictBool = True
    session: Label = Field(default="", description="The session that the remembered turns belong to.")
    forms: list[Form] = Field(default_factory=lambda: list(Form), min_length=1)

    @model_validator(mode="after")
    def _version_of_one_cube(self) -> Self:
        if self.as_of is not None and self.as_of.version is not None and len(set(self.cubes or ())) > 1:
            raise ValueError("as_of over several cubes takes a time, not a version")
        return self


Stop = Annotated[str, StringConstraints(min_length=1, max_length=limits.LABEL_CHARS)]


class ChatBody(Lenient):
    model: str = Field(default="default", min_length=1, max_length=limits.LABEL_CHARS)
    messages: list[ChatMessageIn] = Field(min_length=1, max_length=limits.CHAT_TURNS)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    max_tokens: int | None = Field(default=None, ge=1, le=limits.MAX_TOKENS)
    max_completion_tokens: int | None = Field(default=None, ge=1, le=limits.MAX_TOKENS)
    temperature: float | None = Field(default=None, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    stop: Stop | list[Stop] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    user: str | None = None
    n: int | None = Field(default=1, ge=1, le=128)
    presence_penalty: float | None = Field(default=0, ge=-2, le=2)
    frequency_penalty: float | None = Field(default=0, ge=-2, le=2)
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = False
    top_logprobs: int | None = None
    response_format: ResponseFormat | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    modalities: list[str] | None = None
    memory: MemoryOptions | None = Field(
        default_factory=MemoryOptions,
        description="Left out: the key's default cube, if it has one. null: no memory at all.",
    )

    @field_validator("stop")
    @classmethod
    def _few_stops(cls, stop: str | list[str] | None) -> str | list[str] | None:
        if isinstance(stop, list) and len(stop) > limits.STOPS:
            raise ValueError(f"takes at most {limits.STOPS} sequences")
        return stop

    def refuse_unavailable(self) -> None:
        """Raise NotAvailable, naming the field, for what this build cannot honour."""
        asked: dict[str, bool] = {
            "n": (self.n or 1) > 1,
            "presence_penalty": bool(self.presence_penalty),
            "frequency_penalty": bool(self.frequency_penalty),
            "logit_bias": bool(self.logit_bias),
            "logprobs": bool(self.logprobs) or bool(self.top_logprobs),
            "response_format": self.response_format is not None and self.response_format.type != "text",
            "tools": bool(self.tools),
            "functions": bool(self.functions),
            "modalities": any(kind != "text" for kind in self.modalities or ()),
        }
        for name, unavailable in asked.items():
            if unavailable:
                raise NotAvailable(f"{name} is not available with this value; leave it out", field=name)

    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())


class UsedOut(Answer):
    cube: str
    id: str
    version: int
    form: Form


class ChatMemoryOut(Answer):
    """What memory did for an answer. In a stream it is on the last chunks."""

    used: list[UsedOut]
    ttft_ms: float | None
    cached_tokens: int
    prompt_tokens: int
    remembered: bool
    reason: str | None = Field(default=None, description="Why it was not remembered, when it should have been.")
    degraded: list[Any] = Field(default_factory=list)


class CompletionOut(BaseModel):
    """OpenAI's `chat.completion`, with `memory`."""

    model_config = ConfigDict(
        extra="allow",
        json_schema_extra={
            "example": {
                "id": "chatcmpl-2f1c",
                "object": "chat.completion",
                "created": 1700000000,
                "model": "default",
                "choices": [
                    {"index": 0, "message": {"role": "assistant", "content": "On 7 May."}, "finish_reason": "stop"}
                ],
                "usage": {"prompt_tokens": 180, "completion_tokens": 5, "total_tokens": 185},
                "memory": {
                    "used": [{"cube": "caroline", "id": "mem_…", "version": 1, "form": "plaintext"}],
                    "ttft_ms": 210.4,
                    "cached_tokens": 0,
                    "prompt_tokens": 180,
                    "remembered": True,
                    "degraded": [],
                },
            }
        },
    )

    id: str
    object: Literal["chat.completion"]
    created: int
    model: str
    choices: list[dict[str, Any]]
    usage: dict[str, Any]
    memory: ChatMemoryOut | None


class ModelOut(Answer):
    id: str
    object: Literal["model"]
    created: int
    owned_by: str


class ModelsOut(Answer):
    object: Literal["list"]
    data: list[ModelOut]
