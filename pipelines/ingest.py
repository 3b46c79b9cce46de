"""ingest: the active market's source -> data/raw/sales.parquet, the canonical table.

The declaration gives the source's SHA-256, and nothing is parsed before the bytes have it. So the
declaration decides the output alone. Local files belong in `data/sources/`, which the stage depends on:
one that is changed without its digest stops the line rather than going unnoticed.
"""

from __future__ import annotations

import csv
import http.client
import io
import subprocess
import sys
import tempfile
import urllib.request
import zipfile
from difflib import get_close_matches
from pathlib import Path

import pandas as pd
from pyarrow import ArrowException
from tqdm import tqdm

from models.fault import Fault
from models.field import SALE_ROLES
from models.files import digest, write_parquet
from models.market import Market, Source
from models.sales import canonical_sales
from pipelines.market_file import load_market
from pipelines.params import load_params
from pipelines.places import RAW
from pipelines.stage import run

PIP_TIMEOUT = 600  # seconds, for the whole download of a wheel
URL_TIMEOUT = 60  # seconds without an answer
CHUNK = 1 << 18


class IngestError(Fault):
    """The source can't be obtained or read; the text says which, why, and what to do next."""


def main() -> None:
    sales = ingest(load_market(load_params().market_file))
    write_parquet(RAW, sales)
    print(f"ingest: {len(sales):,} sales, {sales.shape[1]} columns -> {RAW}")


def ingest(market: Market) -> pd.DataFrame:
    """The market's canonical sales, in the order of `canonical_sales`.

    Raises:
        IngestError: the source can't be obtained, has another digest, or isn't a table with sales.
    """
    source = market.source
    print(f"ingest: {market.label}: {source.kind} {source.location}", flush=True)
    data = _fetch(source)
    _check_digest(data, source)
    raw = _read_table(_member(data, source), source)
    print(f"ingest: read {len(raw):,} rows of {raw.shape[1]} columns", flush=True)
    for problem in _absent_columns(raw, market):
        print(f"ingest: {problem}", flush=True)
    return canonical_sales(raw, market)


def _fetch(source: Source) -> bytes:
    if source.kind == "wheel":
        return _download_wheel(source)
    if "://" in source.location:
        return _download_url(source.location)
    try:
        return Path(source.location).read_bytes()
    except OSError as error:
        raise IngestError(
            f"{source.location} can't be read: {error.strerror}; the path in the declaration counts from {Path.cwd()}"
        ) from error


def _download_wheel(source: Source) -> bytes:
    """By pip, which knows the machine's indexes and proxies; it installs nothing and checks the digest as well."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder, "requirements.txt")
        requirements.write_text(f"{source.location} --hash=sha256:{source.sha256}\n", encoding="utf-8")
        options = [
            "-q",
            "--no-input",
            "--disable-pip-version-check",
            "--no-deps",
            "--only-binary=:all:",
            "--require-hashes",
        ]
        command = [sys.executable, "-m", "pip", "download", *options, "-d", folder, "-r", str(requirements)]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True, timeout=PIP_TIMEOUT)
        except subprocess.TimeoutExpired as error:
            raise IngestError(f"{source.location} was not downloaded within {PIP_TIMEOUT} s; try again") from error
        except subprocess.CalledProcessError as error:
            before, mark, after = error.stderr.partition("ERROR:")
            said = (mark + after or before).strip()
            raise IngestError(
                f"pip can't download {source.location} with the declared sha256 {source.sha256}; check both in the "
                f"declaration, and the connection to the package index. pip says:\n{said}"
            ) from error
        (wheel,) = Path(folder).glob("*.whl")
        return wheel.read_bytes()


def _download_url(url: str) -> bytes:
    buffer = io.BytesIO()
    try:
        with urllib.request.urlopen(url, timeout=URL_TIMEOUT) as answer:
            size = int(answer.headers.get("Content-Length") or 0)
            with tqdm(total=size or None, desc="ingest", unit="B", unit_scale=True, unit_divisor=1024) as bar:
                while chunk := answer.read(CHUNK):
                    buffer.write(chunk)
                    bar.update(len(chunk))
    except (OSError, http.client.HTTPException) as error:
        raise IngestError(f"{url} can't be downloaded: {error}; check the address and the connection") from error
    if buffer.tell() < size:
        raise IngestError(f"{url} was cut short after {buffer.tell():,} of {size:,} bytes; run it again")
    return buffer.getvalue()


def _check_digest(data: bytes, source: Source) -> None:
    if (found := digest(data)) != source.sha256:
        raise IngestError(
            f"{source.location} is not the file that was declared ({len(data):,} bytes):\n"
            f"  declared sha256 {source.sha256}\n"
            f"  found    sha256 {found}\n"
            f"If the new content is wanted, put the found digest into the declaration; if not, bring back the old file."
        )


def _member(data: bytes, source: Source) -> bytes:
    """The file itself, or the one inside the wheel."""
    if source.kind != "wheel" or source.member is None:
        return data
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as wheel:
            return wheel.read(source.member)
    except zipfile.BadZipFile as error:
        raise IngestError(f"{source.location} is not a readable wheel: {error}") from error
    except KeyError as error:
        tables = [n for n in wheel.namelist() if n.lower().endswith((".csv", ".parquet"))]
        held = ", ".join(tables[:10]) or "none"
        raise IngestError(f"{source.location} has no member {source.member}; tables it holds: {held}") from error


def _read_table(data: bytes, source: Source) -> pd.DataFrame:
    """All cells of a CSV as text, so that `007` stays `007`; a Parquet file's as they are typed."""
    where = source.member or source.location
    try:
        table = pd.read_parquet(io.BytesIO(data)) if source.is_parquet else _read_csv(data, source.separator)
    except (ValueError, OSError, csv.Error, ArrowException) as error:
        raise IngestError(f"{where} can't be read as {'Parquet' if source.is_parquet else 'CSV'}: {error}") from error
    if table.empty:
        raise IngestError(f"{where} holds no sales")
    return table


def _read_csv(data: bytes, separator: str) -> pd.DataFrame:
    text = data.decode("utf-8-sig")
    header = next(csv.reader(io.StringIO(text, newline=""), delimiter=separator), [])
    if twice := sorted({name for name in header if header.count(name) > 1}):
        raise ValueError(f"its header has a column twice: {', '.join(twice)}")
    table = pd.read_csv(io.StringIO(text), sep=separator, dtype=str, keep_default_na=False)
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError("its rows have more cells than its header has columns")
    return table


def _absent_columns(raw: pd.DataFrame, market: Market) -> list[str]:
    """One line a declared column that the source lacks; whether the line may go on is validation's to say."""
    wanted = [(role, market.columns[role]) for role in SALE_ROLES] + [(f.name, f.column) for f in market.fields]
    lines = []
    for name, column in wanted:
        if column not in raw:
            near = get_close_matches(column, map(str, raw.columns), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            lines.append(f"the source has no column {column!r}, which {market.name} declares for {name}{hint}")
    return lines


if __name__ == "__main__":
    run(main)
