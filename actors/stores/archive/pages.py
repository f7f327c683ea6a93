"""What a Parquet column chunk unfolds to, read from its pages' own headers before any of them is decoded.

A decoder takes the sizes that the page headers say, whatever the footer says; dictionaries and delta encodings unfold
a small page to as much as one likes. So of a file that somebody else wrote, the chunks are walked first: plain data
pages alone, whose unfolded sizes are summed. Headers are Thrift's compact protocol (apache/parquet-format,
parquet.thrift: PageHeader).
"""

from __future__ import annotations

from typing import Any

DATA_PAGE = 0
PLAIN = 0

_DEEPEST = 4
_BOOLEANS = {1: True, 2: False}
_VARINTS = (4, 5, 6)
_BINARY, _STRUCT = 8, 12

_TYPE, _UNFOLDED_BYTES, _STORED_BYTES, _DATA_HEADER = 1, 2, 3, 5
"""Fields of PageHeader."""
_VALUES, _ENCODING = 1, 2
"""Fields of DataPageHeader."""


class UnsafePages(Exception):
    """A column chunk that is not made of plain data pages."""


def unfolded_bytes(chunk: memoryview, values: int) -> int:
    """What the pages of a column chunk of so many values take when they are decompressed. Raises UnsafePages."""
    reader, unfolded, found = _Compact(chunk), 0, 0
    while reader.at < len(chunk):
        header = reader.struct(0)
        data = header.get(_DATA_HEADER)
        if header.get(_TYPE) != DATA_PAGE or not isinstance(data, dict):
            raise UnsafePages("a page that is no plain data page")
        if data.get(_ENCODING) != PLAIN:
            raise UnsafePages("a page in another encoding than plain")
        unfolded += _size(header.get(_UNFOLDED_BYTES))
        found += _size(data.get(_VALUES))
        reader.skip(_size(header.get(_STORED_BYTES)))
    if found != values:
        raise UnsafePages(f"pages of {found} values, where there should be {values}")
    return unfolded


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise UnsafePages("a page without a size")
    return value


class _Compact:
    """Reads structs of Thrift's compact protocol. Every method raises UnsafePages at the end of the data."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self.at = 0

    def skip(self, size: int) -> None:
        if size > len(self._data) - self.at:
            raise UnsafePages("a page that ends beyond its chunk")
        self.at += size

    def struct(self, depth: int) -> dict[int, Any]:
        """{field: value}; of lists and texts only that they are there."""
        if depth > _DEEPEST:
            raise UnsafePages("a page header that is nested too deep")
        fields: dict[int, Any] = {}
        field = 0
        while True:
            byte = self._byte()
            kind, step = byte & 0x0F, byte >> 4
            if kind == 0:
                return fields
            field = field + step if step else self._zigzag()
            fields[field] = self._value(kind, depth)

    def _value(self, kind: int, depth: int) -> Any:
        if kind in _BOOLEANS:
            return _BOOLEANS[kind]
        if kind in _VARINTS:
            return self._zigzag()
        if kind == _BINARY:
            return self.skip(self._varint())
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise UnsafePages("a page header with a field that pages do not have")

    def _byte(self) -> int:
        if self.at >= len(self._data):
            raise UnsafePages("a page header that is cut off")
        self.at += 1
        return self._data[self.at - 1]

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise UnsafePages("a number without an end")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)
