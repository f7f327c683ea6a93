"""The line before the model: fair, bounded, and a place is always given back."""

from __future__ import annotations

import gc
import threading
from collections.abc import Generator

import pytest

from actors.errors import Overloaded
from actors.memory.engine_ports import Generated
from actors.models.admission import Turnstile
from actors.models.generation import Generation


def test_tickets_enter_one_at_a_time_in_order_of_arrival() -> None:
    turnstile, entered = Turnstile(8), []
    tickets = [turnstile.join() for _ in range(5)]

    def enter(number: int) -> None:
        tickets[number].wait()
        entered.append(number)
        tickets[number].leave()

    threads = [threading.Thread(target=enter, args=(n,)) for n in (3, 1, 4, 2, 0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert entered == [0, 1, 2, 3, 4]


def test_a_full_line_refuses_and_says_when_to_come_back() -> None:
    turnstile = Turnstile(max_waiting=2)
    tickets = [turnstile.join() for _ in range(3)]
    with pytest.raises(Overloaded) as refused:
        turnstile.join()
    assert refused.value.facts["retry_after_s"] >= 1
    tickets[1].leave()
    assert turnstile.join().wait is not None
    assert turnstile.waiting == 2


def test_leaving_twice_lets_only_one_in() -> None:
    turnstile = Turnstile(2)
    first, second, third = (turnstile.join() for _ in range(3))
    assert first.wait()
    first.leave()
    first.leave()
    assert second.wait()
    assert turnstile.waiting == 1
    third.leave()


def test_a_ticket_that_gave_up_stops_waiting() -> None:
    turnstile = Turnstile(2)
    inside, waiting = turnstile.join(), turnstile.join()
    assert inside.wait()
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(waiting.wait()), daemon=True)
    thread.start()
    waiting.give_up()
    thread.join(10)
    assert answers == [False]


def test_one_that_is_inside_cannot_give_up_by_the_way() -> None:
    turnstile = Turnstile(2)
    inside, _ = turnstile.join(), turnstile.join()
    assert inside.wait()
    inside.give_up()
    assert turnstile.waiting == 1


def numbers(closed: threading.Event) -> Generator[Generated]:
    for count in range(1, 4):
        yield Generated("x", 1, count, finish_reason="length" if count == 3 else None)


def test_the_last_piece_frees_the_engine_though_nobody_asks_for_more() -> None:
    turnstile = Turnstile(2)
    answer = Generation(turnstile.join(), numbers)
    assert [next(answer).completion_tokens for _ in range(3)] == [1, 2, 3]
    assert turnstile.join().wait()


def test_a_failure_frees_the_engine() -> None:
    def failing(closed: threading.Event) -> Generator[Generated]:
        yield Generated("x", 1, 1)
        raise RuntimeError("out of memory")

    turnstile = Turnstile(2)
    answer = Generation(turnstile.join(), failing)
    next(answer)
    with pytest.raises(RuntimeError, match="out of memory"):
        next(answer)
    assert turnstile.join().wait()


def test_an_answer_that_was_dropped_unread_gives_its_place_back() -> None:
    turnstile = Turnstile(0)
    answer = Generation(turnstile.join(), numbers)
    with pytest.raises(Overloaded):
        turnstile.join()
    del answer
    gc.collect()
    assert turnstile.join().wait()


def test_closing_from_another_thread_ends_a_step_that_is_under_way() -> None:
    started, go_on = threading.Event(), threading.Event()

    def slow(closed: threading.Event) -> Generator[Generated]:
        while not closed.is_set():
            started.set()
            go_on.wait(10)
            yield Generated("x", 1, 1)

    turnstile = Turnstile(2)
    answer = Generation(turnstile.join(), slow)
    pieces: list[Generated] = []
    reader = threading.Thread(target=lambda: pieces.extend(answer), daemon=True)
    reader.start()
    assert started.wait(10)
    answer.close()  # does not block, though the reader is inside
    go_on.set()
    reader.join(10)
    assert not reader.is_alive()
    assert len(pieces) <= 1
    assert turnstile.join().wait()


def test_closing_from_another_thread_ends_the_wait_for_a_turn() -> None:
    turnstile = Turnstile(2)
    inside = turnstile.join()
    assert inside.wait()
    answer = Generation(turnstile.join(), numbers)
    pieces: list[Generated] = []
    reader = threading.Thread(target=lambda: pieces.extend(answer), daemon=True)
    reader.start()
    answer.close()
    reader.join(10)
    assert (reader.is_alive(), pieces, turnstile.waiting) == (False, [], 0)
