"""What the journal holds, read: all of it in order, one value by its id, or page by page from the newest on.

Files may grow while they are read. A line that was cut short by a kill or a full disk is passed over.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

import orjson

from models.files import parse_json

_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})-\d+(?:\.\d+)?\.jsonl", re.ASCII)
_ID = re.compile("[0-9a-f]{32}", re.ASCII)
_CHUNK = 64 << 10
Event = dict[str, Any]


class CursorError(ValueError):
    """A cursor that `page` did not give out for these files."""


@dataclass(frozen=True)
class Page:
    """Events, the newest first; `cursor` leads to the ones before them, None when there are none."""

    events: list[Event]
    cursor: str | None


def read(folder: Path) -> Iterator[Event]:
    """Every event, the oldest first; workers' files of a day are merged by the events' times."""
    for _, files in groupby(sorted(_files(folder)), key=_day):
        yield from merge(*map(_forwards, files), key=itemgetter("time"))


def find(folder: Path, wanted: str) -> Event | None:
    """The newest event with that id that has the home, or else the newest; None where there is none.

    Reads backwards from the newest file, without an index: 400 MB take some tenths of a second, plus the disk's
    time for what is not in memory. Not for the event loop.
    """
    if not _ID.fullmatch(wanted):
        return None
    needle = b'{"id":"' + wanted.encode() + b'"'
    light: Event | None = None
    for _, files in groupby(sorted(_files(folder), reverse=True), key=_day):
        found = [event for file in files for event in _newest(file, needle)]
        found.sort(key=itemgetter("time"), reverse=True)
        whole = next((event for event in found if "home" in event), None)
        if whole is not None:
            return whole
        light = light or next(iter(found), None)
    return light


def page(folder: Path, cursor: str | None = None, limit: int = 100) -> Page:
    """`limit` events from where the cursor stands, the newest first; without a cursor, from the newest of all.

    A cursor says how far down each file of its day has been told, so what is appended meanwhile moves nothing.

    Raises:
        CursorError: for a cursor that is not one of ours, or whose files are gone.
    """
    files = sorted(_files(folder), reverse=True)
    ends = _ends(folder, cursor) if cursor is not None else {}
    if ends:
        day = _day(folder / next(iter(ends)))
        files = [file for file in files if _day(file) < day or file.name in ends]
    told: list[Event] = []
    for _, group in groupby(files, key=_day):
        left = {file: ends.get(file.name, _end(file)) for file in group}
        streams = [_located(file, end) for file, end in left.items()]
        for event, file, start in merge(*streams, key=lambda one: one[0]["time"], reverse=True):
            if len(told) == limit:
                return Page(told, _cursor(left))
            told.append(event)
            left[file] = start
    return Page(told, None)


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in folder.glob("*.jsonl") if _FILE.fullmatch(path.name))


def _day(file: Path) -> str:
    return file.name[:10]


def _forwards(file: Path) -> Iterator[Event]:
    with file.open("rb") as lines:
        for line in lines:
            if (event := _parsed(line)) is not None:
                yield event


def _located(file: Path, end: int) -> Iterator[tuple[Event, Path, int]]:
    """Events before `end`, the last first, each with the file and where in it the event begins."""
    for start, line in _backwards(file, end):
        if (event := _parsed(line)) is not None:
            yield event, file, start


def _newest(file: Path, needle: bytes) -> Iterator[Event]:
    """The last event whose line begins with the needle, and the last such event that has the home."""
    for _, chunk in _chunks(file, file.stat().st_size):
        at = len(chunk)
        while (at := chunk.rfind(needle, 0, at)) >= 0:
            end = chunk.find(b"\n", at)
            if (event := _parsed(chunk[at : end + 1])) is not None:
                yield event
                if "home" in event:
                    return


def _backwards(file: Path, end: int) -> Iterator[tuple[int, bytes]]:
    for start, chunk in _chunks(file, end):
        stop = len(chunk)
        while stop > 0:
            begin = chunk.rfind(b"\n", 0, stop - 1) + 1
            yield start + begin, chunk[begin:stop]
            stop = begin


def _chunks(file: Path, end: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines before `end`, a chunk at a time, the last first; each with its place in the file."""
    with file.open("rb") as content:
        rest = b""
        while end > 0:
            start = max(0, end - _CHUNK)
            content.seek(start)
            chunk = content.read(end - start) + rest
            cut = 0 if start == 0 else chunk.find(b"\n") + 1 or len(chunk)
            rest, end = chunk[:cut], start
            if cut < len(chunk):
                yield start + cut, chunk[cut:]


def _end(file: Path) -> int:
    """Where its last whole line ends."""
    chunks = _chunks(file, file.stat().st_size)
    return next((start + chunk.rfind(b"\n") + 1 for start, chunk in chunks if b"\n" in chunk), 0)


def _parsed(line: bytes) -> Event | None:
    if not line.endswith(b"\n"):
        return None
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return event if isinstance(event, dict) and "time" in event else None


def _cursor(left: dict[Path, int]) -> str:
    told = json.dumps({file.name: end for file, end in left.items()}, separators=(",", ":"))
    return base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")


def _ends(folder: Path, cursor: str) -> dict[str, int]:
    try:
        ends = parse_json(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        ok = isinstance(ends, dict) and ends and all(_FILE.fullmatch(name) for name in ends)
        if ok and len({name[:10] for name in ends}) == 1 and all(_ends_a_line(folder / f, ends[f]) for f in ends):
            return dict(ends)
    except (ValueError, OSError):
        pass
    raise CursorError("the cursor is not one that was given out here, or its events are gone; begin without one")


def _ends_a_line(file: Path, end: Any) -> bool:
    if type(end) is not int or not 0 <= end <= file.stat().st_size:
        return False
    with file.open("rb") as content:
        content.seek(max(0, end - 1))
        return end == 0 or content.read(1) == b"\n"
