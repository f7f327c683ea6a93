"""Time to first token with memories in the prompt: `python -m jobs.bench.chat [--url URL --key KEY] [--json FILE]`.

Ours against transformers' own `generate` on the same prompt, with the same number of threads, turn by turn in the
same run; then the pace of decoding. With `url` and `key`, through HTTP as well: search, prompt assembly,
Serve and all.
"""

from __future__ import annotations

import json
import statistics
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import torch
from pydantic import Field
from transformers import AutoModelForCausalLM, AutoTokenizer

from actors.errors import InvalidRequest
from actors.memory.engine_ports import ChatTurn, Sampling
from actors.memory.item import Form, Memory
from actors.memory.lifecycle import State
from actors.memory.prompting import assemble
from actors.models.engine import EngineSpec, TransformersEngine
from actors.models.loading import pick_device, pick_dtype, quiet, use_threads
from actors.models.weights import default_engine_path
from jobs.bench.contract import Arguments, Benchmark, Count, Counts, Progress
from jobs.bench.report import Json, ratio


class ChatArguments(Arguments):
    model: str = Field("", description="a Hugging Face model folder; empty for the installed one")
    threads: Count = 1
    rounds: Count = 5
    memories: Counts = Field((8, 36), description="in each prompt; 8 are some 300 tokens, 36 some 1,000")
    decode_tokens: Count = 64


QUESTION = ChatTurn("user", "Where did Caroline leave the keys of the boat on day 3?")


class Bare:
    """transformers' `generate`, as its documentation has it."""

    def __init__(self, path: Path, threads: int) -> None:
        quiet()
        self._threads = threads
        device = pick_device()
        self._tokenizer: Any = AutoTokenizer.from_pretrained(path, local_files_only=True)
        model: Any = AutoModelForCausalLM.from_pretrained(path, dtype=pick_dtype(device), local_files_only=True)
        self._model = model.to(device).eval()

    def generate_s(self, turns: Sequence[ChatTurn], tokens: int) -> float:
        """Seconds for exactly `tokens` greedy tokens, prompt rendering and tokenizing included."""
        use_threads(self._threads)
        started = time.perf_counter()
        messages = [{"role": turn.role, "content": turn.content} for turn in turns]
        prompt = self._tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        ).to(self._model.device)
        with torch.inference_mode():
            self._model.generate(**prompt, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
        return time.perf_counter() - started


def measure(args: ChatArguments, progress: Progress) -> Json:
    """Times are medians of `rounds`, in milliseconds; with `url` and `key`, through HTTP as well.

    Raises ConfigError for a folder that holds no model.
    """
    path = Path(args.model or default_engine_path())
    engine = TransformersEngine(EngineSpec(path=str(path), threads=args.threads))
    bare = Bare(path, args.threads)
    prompts = []
    for done, size in enumerate(args.memories):
        prompts.append(_first_tokens(engine, bare, made_up(size), args.rounds))
        if args.url:
            prompts[-1] |= _through_http(args.url, args.key, engine, bare, size, args.rounds)
        progress((done + 1) / (len(args.memories) + 1))
    decode = _decode(engine, bare, args.decode_tokens)
    return {"model": engine.model_id, "prompts": prompts, "decode": decode}


def made_up(count: int) -> list[Memory]:
    """Memories of about 30 tokens, best first."""
    return [
        Memory(
            id=f"m{n}",
            cube_id="bench",
            version=1,
            form=Form.PLAINTEXT,
            type="note",
            state=State.ACTIVATED,
            text=_text(n),
            recorded_at_us=0,
            speaker="Caroline",
        )
        for n in range(count)
    ]


def _text(n: int) -> str:
    return f"On day {n} I left the keys of the boat with neighbour number {n * 7 + 3}, the one with the green door."


def _first_tokens(engine: TransformersEngine, bare: Bare, memories: Sequence[Memory], rounds: int) -> Json:
    ours, theirs, prompt_tokens = [], [], 0
    for _ in range(rounds + 1):  # the first one warms up
        started = time.perf_counter()
        turns = assemble([QUESTION], memories, engine.context_tokens - 256, engine.count_tokens).turns
        with closing(engine.generate(turns, Sampling(max_tokens=256))) as answer:
            prompt_tokens = next(answer).prompt_tokens
            ours.append(time.perf_counter() - started)
        theirs.append(bare.generate_s(turns, 1))
    return {
        "prompt_tokens": prompt_tokens,
        "memories": len(memories),
        "engine_ttft_ms": _ms(ours[1:]),
        "bare_ttft_ms": _ms(theirs[1:]),
        "engine_to_bare": _paired(ours[1:], theirs[1:]),
    }


def _decode(engine: TransformersEngine, bare: Bare, tokens: int) -> Json:
    turns = [ChatTurn("user", "Tell a long story about a lighthouse keeper and the sea.")]
    bare.generate_s(turns, 2)
    began, count, started = 0, 0, 0.0
    for piece in engine.generate(turns, Sampling(max_tokens=tokens)):
        if not started:
            started, began = time.perf_counter(), piece.completion_tokens
        count = piece.completion_tokens
    ours = (count - began) / (time.perf_counter() - started)
    theirs = (tokens - 1) / (bare.generate_s(turns, tokens) - bare.generate_s(turns, 1))
    return {
        "engine_tokens_per_s": round(ours, 1),
        "bare_tokens_per_s": round(theirs, 1),
        "engine_to_bare": ratio(ours, theirs),
    }


def _through_http(url: str, key: str, engine: TransformersEngine, bare: Bare, size: int, rounds: int) -> Json:
    """The same measurement from a client's side; bare `generate` gets the prompt that the server made."""
    headers = {"Authorization": f"Bearer {key}"}
    with (
        httpx.Client(base_url=url, headers=headers, timeout=120, trust_env=False) as client,
        _cube(client, size) as cube,
    ):
        ours, theirs = [], []
        for _ in range(rounds + 1):
            took_s, memory = _ask(client, cube, size)
            used = [
                client.get(f"/v1/cubes/{cube}/memories/{m['id']}").raise_for_status().json() for m in memory["used"]
            ]
            turns = assemble([QUESTION], [_memory(m) for m in used], engine.context_tokens, engine.count_tokens).turns
            if engine.count_tokens(turns) != memory["prompt_tokens"]:
                raise InvalidRequest("the server's prompt is another one: does it run another model?")
            ours.append(took_s)
            theirs.append(bare.generate_s(turns, 1))
    return {
        "http_ttft_ms": _ms(ours[1:]),
        "http_bare_ttft_ms": _ms(theirs[1:]),
        "http_prompt_tokens": memory["prompt_tokens"],
        "http_to_bare": _paired(ours[1:], theirs[1:]),
    }


@contextmanager
def _cube(client: httpx.Client, size: int) -> Iterator[str]:
    cube = f"bench-chat-{uuid.uuid4().hex[:8]}"
    client.post("/v1/cubes", json={"id": cube}).raise_for_status()
    try:
        texts = [{"text": _text(n)} for n in range(size)]
        client.post(f"/v1/cubes/{cube}/memories", json={"texts": texts}).raise_for_status()
        yield cube
    finally:
        client.delete(f"/v1/cubes/{cube}", params={"reason": "benchmark over"})


def _ask(client: httpx.Client, cube: str, size: int) -> tuple[float, Json]:
    """Seconds to the first text of a streamed answer, and the `memory` object at its end."""
    body = {
        "model": "default",
        "stream": True,
        "max_tokens": 4,
        "messages": [{"role": "user", "content": QUESTION.content}],
        "memory": {"cubes": [cube], "top_k": size, "remember": False},
    }
    first_s = 0.0
    memory: Json = {}
    started = time.perf_counter()
    with client.stream("POST", "/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        for row in answer.iter_lines():
            if not row.startswith("data: {"):
                continue
            chunk = json.loads(row[6:])
            if not first_s and any(choice["delta"].get("content") for choice in chunk["choices"]):
                first_s = time.perf_counter() - started
            memory = chunk.get("memory") or memory
    return first_s, memory


def _memory(shown: Json) -> Memory:
    plain = made_up(1)[0]
    return Memory(
        id=shown["id"],
        cube_id=plain.cube_id,
        version=shown["version"],
        form=plain.form,
        type=plain.type,
        state=plain.state,
        text=shown["text"],
        recorded_at_us=0,
    )


def _paired(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """The median of the rounds' ratios: what else runs on the machine slows both of a round alike."""
    return round(statistics.median(a / b for a, b in zip(ours, theirs, strict=True)), 3)


def _ms(seconds: Sequence[float]) -> float:
    return round(statistics.median(seconds) * 1000, 1)


BENCHMARK = Benchmark("chat", __doc__, ChatArguments, measure)
run = BENCHMARK.run
main = BENCHMARK.main

if __name__ == "__main__":
    raise SystemExit(main())
