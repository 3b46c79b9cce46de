"""Homes out of an Arrow IPC stream, a row each; read with care, for anybody can send one."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from datetime import date
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from models.valuer import PROPERTY
from serving.batch import MOST_STREAMED, SLICE, Row, rows_of, too_many
from serving.champion import Champion
from serving.problems import FieldError, Problem
from serving.request import refuse, suggested

#: What a column has to hold before its values are looked at; a dictionary of text is text.
_TEXT = (pa.string(), pa.large_string())
#: Bytes of a text; what is longer than a field takes is refused row by row.
MOST_TEXT = 4096
#: Kinds of message that are treated apart.
_SCHEMA, _DICTIONARY = 1, 2


def rows_of_arrow(champion: Champion, body: bytes) -> Iterator[list[Row]]:
    """The homes of a stream with a column a field and, where it is wanted, `as_of`; slice by slice.

    Raises:
        Problem: at once, 400 for what is no such stream, 413 for more than `MOST_STREAMED` rows, 422 for columns that
            are unknown, missing or of another type.
    """
    return _sliced(champion, _batches(champion, body))


def _sliced(champion: Champion, batches: list[pa.RecordBatch]) -> Iterator[list[Row]]:
    table = pa.Table.from_batches(batches)
    for start in range(0, len(table), SLICE):
        some = table.slice(start, SLICE)
        columns = [column.to_pylist() for column in some.columns]
        homes = [dict(zip(table.column_names, row, strict=True)) for row in zip(*columns, strict=True)]
        yield rows_of(champion, start, [_question(home) for home in homes])


def _question(home: dict[str, Any]) -> dict[str, Any]:
    as_of = home.pop("as_of", None)
    return {"home": home, "as_of": as_of.isoformat() if isinstance(as_of, date) else as_of}


def _batches(champion: Champion, body: bytes) -> list[pa.RecordBatch]:
    try:
        _check_plain(body)
        with pa.ipc.open_stream(body) as reader:
            _check_columns(champion, reader.schema)
            batches = list(reader)
        count = sum(batch.num_rows for batch in batches)
        if count > MOST_STREAMED:
            raise too_many(count, MOST_STREAMED, "send the rest in another request")
        for batch in batches:
            batch.validate(full=True)
            _check_texts(batch)
    except (pa.ArrowException, struct.error, IndexError, OSError, ValueError) as error:
        raise Problem(400, "malformed-arrow", f"the body is no Arrow IPC stream that is read here: {error}") from error
    if not count:
        raise Problem(422, "invalid-request", "the stream has no row; send at least one")
    return batches


def _check_columns(champion: Champion, schema: pa.Schema) -> None:
    """Raises a Problem for columns that no row could be valued with."""
    market = champion.market
    known = {field.name: field.type for field in market.fields} | {PROPERTY: "category", "as_of": "day"}
    twice = sorted({name for name in schema.names if schema.names.count(name) > 1})
    errors = [FieldError(name, "a column", "given once", "it is there twice") for name in twice]
    for column in schema:
        if column.name not in known:
            told = "the columns " + ", ".join(known)
            errors.append(FieldError(column.name[:100], "a column", told, suggested(column.name, tuple(known))))
        elif not _fits(column.type, known[column.name]):
            said = f"a column of {_WANTED[known[column.name]]}"
            errors.append(FieldError(column.name, str(column.type)[:100], said, "cast the column"))
    missing = [field.name for field in market.fields if not field.missing and field.name not in schema.names]
    refuse([*errors, *(FieldError(name, None, "required", "the column is missing") for name in missing)])


def _check_texts(batch: pa.RecordBatch) -> None:
    """Raises a Problem for a text so long that a row each of it would fill the memory."""
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        texts = column.dictionary if pa.types.is_dictionary(column.type) else column
        if texts.type in _TEXT and (pc.max(pc.binary_length(texts)).as_py() or 0) > MOST_TEXT:
            refuse([FieldError(name, "a text", f"texts of at most {MOST_TEXT} bytes", "shorten it")])


_WANTED = {
    **{"number": "floats or integers", "integer": "integers or whole floats", "flag": "booleans"},
    **{"category": "text", "day": "days (date32) or text"},
}


def _fits(kind: pa.DataType, wanted: str) -> bool:
    if pa.types.is_null(kind):
        return True
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if wanted == "day":
        return pa.types.is_date32(kind) or kind in _TEXT
    if wanted == "category":
        return kind in _TEXT
    if wanted == "flag":
        return pa.types.is_boolean(kind)
    return pa.types.is_integer(kind) or pa.types.is_float32(kind) or pa.types.is_float64(kind)


def _check_plain(body: bytes) -> None:
    """Raises a Problem where a buffer is compressed: a few bytes could ask for all memory there is.

    pyarrow does not say so before it inflates, so this reads each message's own header, a flatbuffer.
    """
    at = 0
    while at < len(body):
        mark, size = struct.unpack_from("<Ii", body, at)
        if mark != 0xFFFFFFFF or size < 0:
            raise ValueError(f"no message begins at byte {at}")
        if size == 0:
            if at + 8 < len(body):
                raise ValueError(f"{len(body) - at - 8} bytes follow its end")
            return
        message = _Table(body, at + 8 + struct.unpack_from("<I", body, at + 8)[0])
        batch = message.table(2)
        if batch is not None and message.number(1, "B") == _DICTIONARY:
            batch = batch.table(1)
        if batch is not None and message.number(1, "B") != _SCHEMA and batch.place(3):
            raise Problem(415, "unsupported-encoding", "compressed buffers are not read; write the stream without")
        at += 8 + size + max(message.number(3, "q"), 0)
    raise ValueError("it has no end; some of it is missing")


class _Table:
    """A table of a flatbuffer: its fields by their number."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content, self._at = content, at
        self._fields = at - int(struct.unpack_from("<i", content, at)[0])
        if not 0 <= self._fields < len(content):
            raise ValueError("a message's header is damaged")

    def place(self, field: int) -> int:
        """Where the field lies; 0 where it is left out."""
        size = struct.unpack_from("<H", self._content, self._fields)[0]
        entry = 4 + 2 * field
        offset = struct.unpack_from("<H", self._content, self._fields + entry)[0] if entry + 2 <= size else 0
        return self._at + int(offset) if offset else 0

    def number(self, field: int, kind: str) -> int:
        place = self.place(field)
        return int(struct.unpack_from("<" + kind, self._content, place)[0]) if place else 0

    def table(self, field: int) -> _Table | None:
        place = self.place(field)
        return _Table(self._content, place + self.number(field, "I")) if place else None
