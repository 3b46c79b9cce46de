"""The journal and its readers, met with disks that fail, processes that are killed, and files that grow."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from serving import breaker, journal
from serving.journal import Journal
from serving.metrics import EVENTS_LOST
from serving.past import CursorError, find, page, read
from tests.served import ROOT, until


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"{number:032x}", "time": f"2026-01-01T00:00:{number:09.6f}+00:00", "home": {}} | more


def put(journal: Journal, *numbers: int) -> bool:
    return journal.append(len(numbers), lambda: [event(n) for n in numbers])


def ids(events: Any) -> list[int]:
    return [int(told["id"], 16) for told in events]


def lay(folder: Path, name: str, *numbers: int, end: str = "") -> Path:
    folder.mkdir(exist_ok=True)
    file = folder / name
    file.write_text("".join(json.dumps(event(n), separators=(",", ":")) + "\n" for n in numbers) + end)
    return file


@pytest.fixture(autouse=True)
def short_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "PAUSE", 0.1)


def test_what_was_appended_is_on_disk_when_it_is_closed(tmp_path: Path):
    written = Journal(tmp_path)
    assert put(written, 1, 2)
    assert put(written, 3)
    written.close()
    assert ids(read(tmp_path)) == [1, 2, 3]
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o077 == 0


def test_a_value_that_is_missing_is_null_and_a_number_of_numpy_a_number(tmp_path: Path):
    import numpy as np

    written = Journal(tmp_path)
    written.append(1, lambda: [event(1, features=(np.float64(0.1), float("nan")), value=np.float64(1e15))])
    written.close()
    (told,) = read(tmp_path)
    assert (told["features"], told["value"]) == ([0.1, None], 1e15)


def test_events_wait_while_the_disk_fails_and_are_written_when_it_works_again(tmp_path: Path):
    folder = tmp_path / "events"
    folder.write_text("a file where the folder should be")
    written = Journal(folder)
    put(written, 1)
    until(lambda: "events" in breaker.open_breakers())
    put(written, 2)
    folder.unlink()
    until(lambda: folder.is_dir() and ids(read(folder)) == [1, 2])
    written.close()
    assert "events" not in breaker.open_breakers()


def test_a_clock_that_is_set_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture):
    right = time.time
    written = Journal(tmp_path)
    monkeypatch.setattr(time, "time", lambda: right() - 3600)
    until(lambda: "clock-jumped" in caplog.text)
    monkeypatch.setattr(time, "time", right)
    until(lambda: caplog.text.count("clock-jumped") == 2)
    written.close()
    told = [json.loads(r.getMessage()) for r in caplog.records if "clock-jumped" in r.getMessage()]
    assert [line["seconds"] for line in told] == [pytest.approx(-3600, abs=1), pytest.approx(3600, abs=1)]


def test_with_no_room_left_events_are_lost_counted_and_told_once_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(journal, "MOST_WAITING", 3)
    (tmp_path / "events").write_text("")
    before = EVENTS_LOST._value.get()
    written = Journal(tmp_path / "events")
    assert [put(written, n) for n in range(5)] == [True, True, True, False, False]
    until(lambda: "events-lost" in caplog.text)
    written.close()
    lost = [json.loads(r.getMessage()) for r in caplog.records if "events-lost" in r.getMessage()]
    assert [told["lost"] for told in lost] == [2, 3]
    assert EVENTS_LOST._value.get() - before == 5  # those that still waited are lost with the process


def test_a_full_disk_tears_at_most_a_line_and_repeats_none(tmp_path: Path):
    """The limit on a file's size stands in for the disk's."""
    script = f"""
import resource, time
from pathlib import Path
from serving import breaker
from serving.journal import Journal
from serving.metrics import EVENTS_LOST
from tests.served import until
from tests.test_journal import put
from serving.past import read
breaker.PAUSE = 0.1
resource.setrlimit(resource.RLIMIT_FSIZE, (500, resource.RLIM_INFINITY))
journal = Journal(Path({str(tmp_path)!r}))
put(journal, *range(20))
until(lambda: "events" in breaker.open_breakers())
torn = next(Path({str(tmp_path)!r}).iterdir()).read_bytes()
assert len(torn) == 500 and not torn.endswith(b"\\n")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.close()
"""
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)
    assert ids(read(tmp_path)) == list(range(20))


def test_a_kill_loses_the_last_moments_alone(tmp_path: Path):
    script = f"""
import time
from pathlib import Path
from serving.journal import Journal
from serving.metrics import EVENTS_LOST
from tests.test_journal import put
journal = Journal(Path({str(tmp_path)!r}))
for number in range(10**6):
    put(journal, number)
    print(number, time.monotonic(), flush=True)
    time.sleep(0.01)
"""
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(300)]
        killed = time.monotonic()
        process.send_signal(signal.SIGKILL)
    old_enough = [int(line.split()[0]) for line in told if float(line.split()[1]) < killed - 1]
    assert old_enough
    assert set(old_enough) <= set(ids(read(tmp_path)))


def test_a_torn_last_line_is_passed_over_and_the_next_line_kept_apart(tmp_path: Path):
    written = Journal(tmp_path)
    put(written, 1)
    written.close()
    (file,) = tmp_path.iterdir()
    with file.open("ab") as torn:
        torn.write(b'{"id":"00000000000000000000000000000002","ti')
    assert ids(read(tmp_path)) == ids(page(tmp_path).events) == [1]
    after = Journal(tmp_path)  # the same process again, so the same file
    put(after, 3)
    after.close()
    assert list(tmp_path.iterdir()) == [file]
    assert ids(read(tmp_path)) == [1, 3]
    assert ids(page(tmp_path).events) == [3, 1]


def test_a_full_file_is_followed_by_the_next_and_a_deleted_one_by_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(journal, "MOST_BYTES", 300)
    monkeypatch.setattr(journal, "_BATCH", 1)
    written = Journal(tmp_path)
    put(written, *range(12))
    until(lambda: ids(read(tmp_path)) == list(range(12)))
    assert 3 <= len(list(tmp_path.iterdir())) <= 5
    for file in tmp_path.iterdir():
        file.unlink()
    put(written, 12)
    written.close()
    assert ids(read(tmp_path)) == [12]


def test_workers_events_are_told_in_the_order_of_time(tmp_path: Path):
    lay(tmp_path, "2026-01-01-7.jsonl", 1, 4, 5)
    lay(tmp_path, "2026-01-01-8.jsonl", 2, 3, 6)
    lay(tmp_path, "2025-12-31-9.jsonl", 9)
    lay(tmp_path, "notes.jsonl", 10)
    assert ids(read(tmp_path)) == [9, 1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("chunk", [60, 200, 1 << 20])
def test_pages_go_back_to_the_first_event_while_others_are_appended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int
):
    monkeypatch.setattr("serving.past._CHUNK", chunk)
    lay(tmp_path, "2025-12-31-7.jsonl", 0, 1, 2)
    growing = lay(tmp_path, "2026-01-01-7.jsonl", 3, 6, 7, end='{"id":"0')
    lay(tmp_path, "2026-01-01-8.jsonl", 4, 5, 8)
    told, cursor, round_ = [], None, 0
    while round_ == 0 or cursor is not None:
        got = page(tmp_path, cursor, 2)
        told += ids(got.events)
        cursor = got.cursor
        round_ += 1
        with growing.open("a") as file:
            file.write("\n" + json.dumps(event(10 + round_), separators=(",", ":")))
        lay(tmp_path, f"2026-01-01-{100 + round_}.jsonl", 50)
    assert told == [8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_a_page_that_ends_with_the_journal_leads_nowhere(tmp_path: Path):
    assert page(tmp_path / "none") == page(tmp_path)
    lay(tmp_path, "2026-01-01-7.jsonl", 1, 2)
    assert page(tmp_path, limit=2).cursor is None
    assert page(tmp_path, limit=1).cursor is not None


@pytest.mark.parametrize(
    "said",
    [
        "[]",
        "{}",
        "7",
        "[" * 50_000,
        '{"2026-01-01-7.jsonl":1}',
        '{"2026-01-01-7.jsonl":-1}',
        '{"2026-01-01-7.jsonl":true}',
        '{"2026-01-01-7.jsonl":1e9}',
        '{"2026-01-01-9.jsonl":0}',
        '{"../2026-01-01-7.jsonl":0}',
        "nonsense",
    ],
)
def test_a_forged_cursor_is_refused(tmp_path: Path, said: str):
    import base64

    lay(tmp_path, "2026-01-01-7.jsonl", 1, 2)
    for cursor in (base64.urlsafe_b64encode(said.encode()).decode(), said):
        with pytest.raises(CursorError, match="begin without one"):
            page(tmp_path, cursor)


@pytest.mark.parametrize("chunk", [60, 1 << 20])
def test_an_event_is_found_by_its_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chunk: int):
    monkeypatch.setattr("serving.past._CHUNK", chunk)
    lay(tmp_path, "2025-12-31-7.jsonl", 1, 2)
    repeats = [event(2), event(3), {"id": event(3)["id"], "time": "2026-01-01T00:00:09+00:00", "cached": True}]
    lines = [json.dumps(told, separators=(",", ":")) + "\n" for told in repeats]
    (tmp_path / "2026-01-01-7.jsonl").write_text("".join(lines))
    lay(tmp_path, "2026-01-01-8.jsonl", 1)
    for number in (1, 2, 3):
        found = find(tmp_path, event(number)["id"])
        assert found is not None
        assert (ids([found]), "home" in found) == ([number], True)
        assert found["time"].startswith("2026")
    assert find(tmp_path, event(4)["id"]) is None
    assert find(tmp_path, '"') is None
