"""What every table of an audit must do, whatever it stands on. Inherit AuditContract and give `open_table`."""

from __future__ import annotations

import pytest

from actors.errors import Fenced
from actors.memory.auditing import AuditAction, AuditQuery, AuditRow, AuditTable

KEY = b"key of the contract's chains...."
AT_US = 1_700_000_000_000_000


def row(number: int, cube_id: str = "a", principal: str = "alice", action: AuditAction = AuditAction.READ) -> AuditRow:
    return AuditRow(
        AT_US + number, principal, "key-1", action, cube_id, f"mem_{number}", f"req-{number}", '{"n": 1}', ("m1", "m2")
    )


def append(table: AuditTable, *rows: AuditRow) -> list[AuditRow]:
    sealed = table.sealed(rows)
    table.append(sealed)
    return [found.row for found in sealed]


class AuditContract:
    """Subclasses answer `open_table`: each call opens the same table anew, as another owner would."""

    def open_table(self) -> AuditTable:
        raise NotImplementedError

    def test_an_empty_table_has_nothing_and_holds(self) -> None:
        table = self.open_table()
        assert table.newest(None, AuditQuery()) == []
        assert (table.verify(None).rows, table.verify("a").problems) == (0, ())
        append(table)
        assert table.verify(None).rows == 0

    def test_rows_come_back_whole_and_newest_first_also_after_reopening(self) -> None:
        table = self.open_table()
        rows = append(table, row(1), row(2, "b")) + append(table, row(3))
        for again in (False, True):
            opened = self.open_table() if again else table
            assert opened.newest(None, AuditQuery()) == rows[::-1]
            assert opened.newest("a", AuditQuery()) == [rows[2], rows[0]]
            assert opened.newest("a", AuditQuery(limit=1)) == [rows[2]]
            assert opened.verify(None).problems == ()
            assert (opened.verify("a").rows, opened.verify("b").rows, opened.verify("z").rows) == (2, 1, 0)

    def test_odd_text_survives_the_trip(self) -> None:
        table = self.open_table()
        odd = AuditRow(AT_US, "ﷺ\x00 \u2028 😀", "", AuditAction.DENIED, "", "", "r", '{"q":"ß"}', ())
        assert append(table, odd) == [odd]
        assert table.newest(None, AuditQuery()) == [odd]
        assert self.open_table().verify(None).problems == ()

    def test_times_go_up_strictly_whatever_the_clock_does(self) -> None:
        table = self.open_table()
        append(table, row(5), row(5))
        append(self.open_table(), row(1))
        times = [found.at_us - AT_US for found in self.open_table().newest(None, AuditQuery())]
        assert times == [7, 6, 5]

    @pytest.mark.parametrize(
        ("query", "numbers"),
        [
            (AuditQuery(principal="bob"), [5, 2]),
            (AuditQuery(action=AuditAction.SEARCH), [4]),
            (AuditQuery(since_us=AT_US + 3), [6, 5, 4, 3]),
            (AuditQuery(before_us=AT_US + 3), [2, 1]),
            (AuditQuery(since_us=AT_US + 2, before_us=AT_US + 5, limit=2), [4, 3]),
            (AuditQuery(memory_id="mem_3"), [3]),
            (AuditQuery(memory_id="m2", limit=2), [6, 5]),
            (AuditQuery(request_id="req-6"), [6]),
            (AuditQuery(principal="nobody"), []),
        ],
    )
    def test_a_query_narrows(self, query: AuditQuery, numbers: list[int]) -> None:
        table = self.open_table()
        append(table, row(1), row(2, principal="bob"), row(3))
        append(table, row(4, action=AuditAction.SEARCH), row(5, principal="bob"))
        append(table, row(6))
        assert [found.at_us - AT_US for found in table.newest("a", query)] == numbers

    def test_a_new_owner_fences_the_one_before(self) -> None:
        first = self.open_table()
        append(first, row(1))
        second = self.open_table()
        with pytest.raises(Fenced):
            append(first, row(2))
        append(second, row(3))
        assert [found.at_us - AT_US for found in self.open_table().newest(None, AuditQuery())] == [3, 1]

    def test_the_head_tells_whether_a_batch_is_there(self) -> None:
        table = self.open_table()
        sealed = table.sealed([row(1), row(2)])
        assert table.head != sealed[-1].hash
        table.append(sealed)
        assert table.head == sealed[-1].hash == self.open_table().head
