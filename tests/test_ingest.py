"""ingest: a declared source becomes data/raw/sales.parquet, or the line stops and says why."""

import os
import shutil
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pandas as pd
import pytest

from models.files import digest, file_digest
from models.market import Market
from pipelines.ingest import IngestError, ingest
from pipelines.market_file import load_market
from pipelines.places import RAW
from tests.second_market import declaration, write_second_market

ROOT = Path(__file__).parent.parent
SOURCE = Path("data/sources/millbrook.csv")


@pytest.fixture
def millbrook(tmp_path, monkeypatch) -> Path:
    """The folder of a project that holds the second market's sales; it is the current folder."""
    monkeypatch.chdir(tmp_path)
    write_second_market(tmp_path, count=60)
    shutil.copy(ROOT / "data/markets/seattle.yaml", "data/markets")  # the gate has bounds for it
    return tmp_path


def test_the_stage_writes_the_same_bytes_twice(millbrook):
    params = (ROOT / "params.yaml").read_text().replace("market: seattle", "market: millbrook")
    (millbrook / "params.yaml").write_text(params)
    digests = []
    for _ in range(2):
        shutil.rmtree(millbrook / "data/raw", ignore_errors=True)
        stage = _run_stage(millbrook)
        assert stage.returncode == 0, stage.stderr
        assert "read 60 rows of 47 columns" in stage.stdout
        assert str(RAW) in stage.stdout
        digests.append(file_digest(RAW))
    assert digests[0] == digests[1]
    sales = pd.read_parquet(RAW)
    assert len(sales) == 60
    assert sales["sale_date"].is_monotonic_increasing
    pd.testing.assert_frame_equal(sales, ingest(load_market("data/markets/millbrook.yaml")))


def test_the_stage_stops_with_a_message_and_no_traceback(millbrook):
    (millbrook / "params.yaml").write_text((ROOT / "params.yaml").read_text().replace("market: seattle", "market: x"))
    stage = _run_stage(millbrook)
    assert stage.returncode == 1
    assert stage.stderr.startswith("ingest: data/markets/x.yaml: there is no such file")
    assert not RAW.exists()


def test_the_second_market_is_what_it_says():
    """Its shape is what the other tests rely on to show that no code knows Seattle."""
    raw = declaration("0" * 64)
    types = [f["type"] for f in raw["fields"]]
    assert len(types) > 40
    assert types.count("category") > len(types) / 2
    assert any(f["type"] == "category" and "values" not in f for f in raw["fields"])
    assert not {"latitude", "longitude"} & {f.get("role") for f in raw["fields"]}
    assert raw["columns"]["sale_id"] == raw["columns"]["property_id"]


def test_a_file_with_another_digest_is_refused_before_it_is_read(millbrook):
    market = load_market("data/markets/millbrook.yaml")
    SOURCE.write_bytes(b"\xff not even a CSV")
    with pytest.raises(IngestError) as caught:
        ingest(market)
    for part in (str(SOURCE), market.source.sha256, file_digest(SOURCE), "put the found digest into the declaration"):
        assert part in str(caught.value)


def test_an_absent_file_is_named_with_the_folder_that_paths_count_from(millbrook):
    market = load_market("data/markets/millbrook.yaml")
    SOURCE.unlink()
    with pytest.raises(IngestError, match=f"{SOURCE} can't be read: No such file.*{millbrook}"):
        ingest(market)


def test_a_column_that_the_source_lacks_is_named_with_its_nearest(millbrook, capsys):
    data = SOURCE.read_bytes().replace(b"Living Area", b"Living Aera", 1)
    sales = ingest(_market(data))
    assert "living_area" not in sales
    said = capsys.readouterr().out
    assert "no column 'Living Area', which millbrook declares for living_area; did you mean 'Living Aera'?" in said


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "can't be read as CSV|No columns"),
        (b"Deed;Sold on\n", "holds no sales"),
        (b"Deed;Deed\n1;2\n", "header has a column twice: Deed"),
        (b"Deed;Sold on\n1;2;3\n", "rows have more cells than its header"),
        (b"Deed;Sold on\n1;2\n1;2;3\n", "can't be read as CSV: .*line 3"),
        ("Deed;Straße\n1;2\n".encode("latin-1"), "can't be read as CSV: 'utf-8' codec"),
    ],
)
def test_what_is_no_table_with_sales_is_refused(millbrook, data, problem):
    with pytest.raises(IngestError, match=problem):
        ingest(_market(data))


def test_csv_parquet_wheel_and_address_give_the_same_sales(millbrook, monkeypatch):
    expected = ingest(load_market("data/markets/millbrook.yaml"))
    raw = pd.read_csv(SOURCE, sep=";", dtype=str, keep_default_na=False)
    raw.to_parquet("typed.parquet")
    raw.to_csv("comma.csv", index=False, encoding="utf-8-sig")
    wheels = _wheel_folder(
        millbrook, {"town/sales.csv": Path("comma.csv"), "town/sales.parquet": Path("typed.parquet")}
    )
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels.parent))
    with _server(millbrook) as address:
        for source in (
            {"csv": "comma.csv", "sha256": file_digest("comma.csv")},
            {"parquet": str(millbrook / "typed.parquet"), "sha256": file_digest("typed.parquet")},
            {"wheel": "town-sales==1.0", "member": "town/sales.csv", "sha256": file_digest(wheels)},
            {"wheel": "town-sales==1.0", "member": "town/sales.parquet", "sha256": file_digest(wheels)},
            {"csv": f"{address}/comma.csv", "sha256": file_digest("comma.csv")},
            {"parquet": f"{address}/typed.parquet", "sha256": file_digest("typed.parquet")},
        ):
            sales = ingest(Market.from_dict(declaration("") | {"source": source}))
            pd.testing.assert_frame_equal(sales, expected)


def test_a_wheel_with_another_digest_is_refused_with_both(millbrook, monkeypatch):
    wheel = _wheel_folder(millbrook, {"town/sales.csv": SOURCE})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    with pytest.raises(IngestError) as caught:
        ingest(_wheel_market("a" * 64))
    assert "a" * 64 in str(caught.value)
    assert file_digest(wheel) in str(caught.value)


def test_a_wheel_that_is_nowhere_is_named_with_what_pip_says(millbrook, monkeypatch):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    with pytest.raises(IngestError, match=r"pip can't download town-sales==1.0(.|\n)*No matching distribution"):
        ingest(_wheel_market("a" * 64))


def test_a_member_that_the_wheel_lacks_is_answered_with_those_it_has(millbrook, monkeypatch):
    wheel = _wheel_folder(millbrook, {"town/other.csv": SOURCE})
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheel.parent))
    with pytest.raises(IngestError, match=r"no member town/sales.csv; tables it holds: town/other.csv"):
        ingest(_wheel_market(file_digest(wheel)))


def test_an_address_that_answers_wrongly_is_named(millbrook):
    with _server(millbrook) as address:
        missing = {"csv": f"{address}/nothing.csv", "sha256": "a" * 64}
        with pytest.raises(IngestError, match=f"{address}/nothing.csv can't be downloaded: .*404"):
            ingest(Market.from_dict(declaration("") | {"source": missing}))
        changed = {"csv": f"{address}/{SOURCE}", "sha256": "a" * 64}
        with pytest.raises(IngestError, match="is not the file that was declared"):
            ingest(Market.from_dict(declaration("") | {"source": changed}))
    with pytest.raises(IngestError, match="can't be downloaded"):
        ingest(Market.from_dict(declaration("") | {"source": missing}))


def test_what_pip_says_is_told_even_without_its_usual_mark(millbrook, monkeypatch):
    def fail(command, **_):
        raise subprocess.CalledProcessError(2, command, stderr="no such option: --require-hashes\n")

    monkeypatch.setattr(subprocess, "run", fail)
    with pytest.raises(IngestError, match=r"pip says:\nno such option: --require-hashes$"):
        ingest(_wheel_market("a" * 64))


def test_a_download_that_breaks_off_is_no_new_file(millbrook):
    with _served(_Half) as address:
        source = {"csv": f"{address}/sales.csv", "sha256": "a" * 64}
        with pytest.raises(IngestError, match=f"{address}/sales.csv was cut short after 5 of 1,000 bytes") as caught:
            ingest(Market.from_dict(declaration("") | {"source": source}))
    assert "digest" not in str(caught.value)


def _market(data: bytes) -> Market:
    SOURCE.write_bytes(data)
    return Market.from_dict(declaration(digest(data)))


def _wheel_market(sha256: str) -> Market:
    source = {"wheel": "town-sales==1.0", "member": "town/sales.csv", "sha256": sha256, "separator": ";"}
    return Market.from_dict(declaration("") | {"source": source})


def _wheel_folder(folder: Path, members: dict[str, Path]) -> Path:
    """A wheel that pip accepts, alone in a folder of its own."""
    wheel = folder / "wheels/town_sales-1.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, path in members.items():
            archive.write(path, name)
        info = "town_sales-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: town-sales\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return wheel


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None: ...


class _Half(_Quiet):
    """Promises more than it sends."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "1000")
        self.end_headers()
        self.wfile.write(b"Deed;")


def _server(folder: Path) -> AbstractContextManager[str]:
    """A file server on loopback, by its address."""
    return _served(partial(_Quiet, directory=str(folder)))


@contextmanager
def _served(handler: Callable[..., SimpleHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def _run_stage(folder: Path) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "pipelines.ingest"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
