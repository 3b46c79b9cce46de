"""The ledger keeps every decision in order, and shows when one was altered, dropped or slipped in."""

import getpass
import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.files import digest
from pipelines import ledger
from pipelines.ledger import ADOPTED, FIRST, PROMOTED, ROLLED_BACK, LedgerError

ROOT = Path(__file__).parents[1]
PATH = Path(".assay/promotions.jsonl")


def decide(count: int = 4) -> list[ledger.Line]:
    told = []
    for i in range(count):
        market = "city" if i == 2 else "town"
        what = (ADOPTED, PROMOTED, PROMOTED, ROLLED_BACK)[i % 4]
        told.append(ledger.record(market, what, f"reason {i}", f"{market}:v{i}", digest(bytes([i])), None, "e" * 64))
    return told


def test_each_decision_follows_from_the_one_before(project):
    assert ledger.lines() == ()
    assert ledger.head("town") is None
    told = decide()
    assert list(ledger.lines()) == told
    assert [line.number for line in told] == [1, 2, 3, 4]
    assert [line.previous for line in told] == [FIRST, *(line.seal for line in told[:-1])]
    assert [line.seal for line in told] == [digest(text) for text in PATH.read_bytes().splitlines(keepends=True)]
    assert [line.was for line in told] == [None, "town:v0", None, "town:v1"]
    assert {line.who for line in told} == {getpass.getuser()}
    assert ledger.head("town") == told[3]
    assert ledger.head("city") == told[2]


@given(at=st.floats(0, 1, exclude_max=True), byte=st.integers(0, 255))
def test_a_byte_that_is_changed_anywhere_but_in_the_last_line_is_found(tmp_path_factory, at, byte):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("ledger"))
        decide()
        raw = bytearray(PATH.read_bytes())
        end = raw.rindex(b"\n", 0, len(raw) - 1)
        place = int(at * end)
        if raw[place] == byte:
            return
        raw[place] = byte
        PATH.write_bytes(raw)
        with pytest.raises(LedgerError):
            ledger.lines()


@pytest.mark.parametrize("gone", [0, 1, 2])
def test_a_line_that_is_missing_is_found(project, gone):
    decide()
    kept = PATH.read_bytes().splitlines(keepends=True)
    del kept[gone]
    PATH.write_bytes(b"".join(kept))
    with pytest.raises(LedgerError, match=rf"line {gone + 1} of .* does not follow from the line before it"):
        ledger.record("town", PROMOTED, "why", "town:v9", "0" * 64, None, "e" * 64)


@pytest.mark.parametrize("line", ['{"number": 5}', '{"number": ' + "[" * 100_000])
def test_what_is_no_line_is_named(project, line):
    decide()
    PATH.write_text(PATH.read_text() + line + "\n")
    with pytest.raises(LedgerError, match=r"line 5 of .* can't be read"):
        ledger.head("town")


def test_a_reason_may_hold_any_text(project):
    line = ledger.record("town", PROMOTED, 'a "quote",\na line and 雪', "town:v1", "0" * 64, None, "e" * 64)
    assert ledger.lines() == (line,)
    assert json.loads(PATH.read_text())["why"] == 'a "quote",\na line and 雪'


def test_one_process_decides_at_a_time_and_a_dead_one_gives_way(project, monkeypatch):
    code = (
        "from pipelines import ledger; import os\nwith ledger.held():\n print('held', flush=True); input(); os._exit(9)"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert other.stdout is not None
    assert other.stdin is not None
    assert other.stdout.readline() == "held\n"
    monkeypatch.setattr(ledger, "PATIENCE", 0.1)
    with pytest.raises(LedgerError, match=r"another process has held .*promotions\.lock"), ledger.held():
        pass
    other.stdin.write("\n")
    other.stdin.close()
    assert other.wait() == 9
    other.stdout.close()
    with ledger.held():
        pass
