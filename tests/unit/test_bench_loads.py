"""The benchmarks' client and loads, against answers byte by byte and a small server."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from itertools import islice

import pytest

from actors.errors import InvalidRequest
from jobs.bench.http_load import Answer, AnswerReader, Broken, Target
from jobs.bench.loads import Load, Request, closed_loop, due_times, each_once, paced
from jobs.bench.processes import resident_mib, slope_per_minute
from jobs.bench.slow_clients import SlowClients
from jobs.bench.turns import questions, turns

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
BUSY = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\ncontent-length: 0\r\n\r\n"
RUDE = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


def test_an_answer_is_complete_with_its_last_byte() -> None:
    reader = AnswerReader()
    assert [reader.feed(OK[n : n + 1]) for n in range(len(OK) - 1)] == [None] * (len(OK) - 1)
    assert reader.feed(OK[-1:]) == Answer(200, b"{}")


def test_answers_follow_each_other_on_a_connection() -> None:
    reader = AnswerReader()
    assert reader.feed(OK).status == 200  # type: ignore[union-attr]
    assert reader.feed(BUSY) == Answer(429, b"", "1")
    assert reader.feed(RUDE) == Answer(503, b"", "", keeps=False)


def test_an_answer_without_a_length_ends_with_its_connection() -> None:
    reader = AnswerReader()
    assert reader.feed(b"HTTP/1.0 200 OK\r\n\r\nhalf") is None
    assert reader.end() == Answer(200, b"half", keeps=False)


@pytest.mark.parametrize(
    "data",
    [
        b"220 smtp ready\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n",
    ],
)
def test_what_is_no_readable_answer_is_broken(data: bytes) -> None:
    with pytest.raises(Broken):
        AnswerReader().feed(data)


def test_an_answer_cut_short_is_broken() -> None:
    reader = AnswerReader()
    reader.feed(OK[:-1])
    with pytest.raises(Broken):
        reader.end()


def test_a_request_carries_the_key_and_its_length() -> None:
    sent = Target.of("http://127.0.0.1:8000", "memos_k").request("POST", "/v1/search", {"query": "ü"})
    head, body = sent.split(b"\r\n\r\n")
    assert head.startswith(b"POST /v1/search HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n")
    assert b"Authorization: Bearer memos_k" in head
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize("url", ["https://127.0.0.1", "127.0.0.1:8000", ""])
def test_only_plain_http_is_an_address(url: str) -> None:
    with pytest.raises(InvalidRequest):
        Target.of(url, "k")


def test_arrivals_are_evenly_spaced_over_all_connections() -> None:
    schedule = due_times(per_s=10, connections=4, seconds=2)
    assert sorted(due for own in schedule for due in own) == [n / 10 for n in range(20)]
    assert {len(own) for own in schedule} == {5}
    assert schedule[1][:2] == [0.1, 0.5]


def served(answers: Callable[[int], bytes], work: Callable[[Target], Awaitable[Load]]) -> Load:
    """Runs `work` against a server that gives `answers` by the number of the request; an empty one hangs up."""

    async def main() -> Load:
        count = 0
        talks: set[asyncio.Task[None]] = set()

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal count
            talks.add(asyncio.current_task())  # type: ignore[arg-type]
            try:
                while await reader.readuntil(b"\r\n\r\n"):
                    answer = answers(count)
                    count += 1
                    writer.write(answer)
                    if not answer:
                        break
            except (asyncio.IncompleteReadError, ConnectionError):
                pass
            writer.close()
            await asyncio.gather(writer.wait_closed(), return_exceptions=True)

        server = await asyncio.start_server(talk, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            load = await work(Target("127.0.0.1", port, "k"))
            await asyncio.gather(*talks)
            return load

    return asyncio.run(main())


def request() -> Request:
    return Request(Target("127.0.0.1", 1, "k").request("GET", "/"), items=3, kind="get")


def test_a_load_counts_items_of_what_was_accepted_alone() -> None:
    load = served(lambda n: (OK, BUSY)[n % 2], lambda target: each_once(target, [request()] * 6, clients=1))
    assert load.statuses == {"200": 6, "429": 5}
    assert load.per_s * load.elapsed_s == pytest.approx(18)
    assert len(load.took_s("get")) == 6
    assert load.took_s("other") == []


def test_a_refusal_that_does_not_say_when_to_come_again_is_found() -> None:
    told = served(lambda n: (BUSY, OK)[n > 0], lambda target: each_once(target, [request()], clients=1))
    assert told.only_told_refusals
    untold = served(lambda n: (RUDE, OK)[n > 0], lambda target: each_once(target, [request()], clients=1))
    assert not untold.only_told_refusals
    assert untold.as_json()["refusals_without_retry_after"] == 1


def test_a_connection_that_breaks_counts_as_broken_and_is_made_again() -> None:
    load = served(lambda n: b"" if n == 0 else OK, lambda target: each_once(target, [request()] * 2, clients=1))
    assert load.statuses == {"200": 1, "broken": 1}
    assert not load.only_told_refusals


def test_a_closed_loop_keeps_every_client_busy_and_ends() -> None:
    load = served(lambda n: OK, lambda target: closed_loop(target, request, clients=3, seconds=0.05))
    assert load.clients == 3
    assert load.statuses == {"200": len(load.samples)}
    assert load.samples


def test_paced_arrivals_are_all_sent_when_the_server_keeps_up() -> None:
    load = served(lambda n: OK, lambda target: paced(target, request, per_s=200, connections=4, seconds=0.1))
    assert len(load.samples) <= 20
    assert load.statuses == {"200": len(load.samples)}


def test_turns_follow_from_their_seed_and_vary() -> None:
    some = list(islice(turns(1), 500))
    assert some == list(islice(turns(1), 500))
    assert len(set(some)) > 480
    assert len(set(islice(questions("a"), 3000))) == 3000
    assert set(islice(questions("a"), 100)).isdisjoint(islice(questions("b"), 100))


def test_memory_that_grows_evenly_has_its_slope_and_flat_memory_none() -> None:
    assert slope_per_minute([(10.0, 100.0), (20.0, 101.0), (30.0, 102.0)]) == 6.0
    assert slope_per_minute([(10.0, 100.0), (20.0, 100.0), (30.0, 100.0)]) == 0.0
    assert slope_per_minute([(10.0, 100.0)]) is None


def test_processes_that_ended_are_left_out_of_the_memory() -> None:
    seen = resident_mib({os.getpid(): "this", 2**22 + 1: "ended"})
    assert set(seen) == {f"this:{os.getpid()}", "total"}
    assert seen["total"] > 1


def test_a_slow_client_sends_and_reads_all_of_it_in_the_end() -> None:
    add = Target("127.0.0.1", 1, "k").request("POST", "/", {"text": "some"})

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split(b"\r\n")[0]))
        writer.write(OK)
        writer.close()

    async def main() -> list[str]:
        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            clients = SlowClients(Target("127.0.0.1", server.sockets[0].getsockname()[1], "k"))
            return [await clients.once("sends", add), await clients.once("reads", add)]

    assert asyncio.run(main()) == ["200", "200"]


def test_slow_clients_end_with_the_load_and_tell_what_became_of_them() -> None:
    async def main() -> dict[str, int]:
        both, came = asyncio.Event(), 0

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal came
            came += 1
            if came == 2:
                both.set()
            await reader.read()
            writer.close()

        async with await asyncio.start_server(talk, "127.0.0.1", 0) as server:
            clients = SlowClients(Target("127.0.0.1", server.sockets[0].getsockname()[1], "k"))
            request = clients.target.request("POST", "/", {"text": "some" * 1000})
            async with clients.running(2, request, request):
                await both.wait()
            return dict(clients.outcomes)

    assert asyncio.run(main()) == {"reads slowly: still going": 1, "sends slowly: still going": 1}
