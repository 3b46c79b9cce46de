"""Files that are whole or absent: written beside their place, synced, then renamed into it."""

from __future__ import annotations

import hashlib
import io
import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a server's supervisor, which must start at once, reads files too
    import pandas as pd


def write_bytes(path: str | Path, data: bytes, mode: int = 0o644) -> None:
    """Write `data` so that a reader, or a crash, never meets half a file, and nobody reads it whom `mode` keeps out."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    sync(path.parent)


def write_text(path: str | Path, text: str) -> None:
    write_bytes(path, text.encode())


def write_json(path: str | Path, value: Any) -> None:
    """Sorted keys and no NaN: the same value always gives the same bytes, and any reader can read them."""
    write_bytes(path, json_bytes(value))


def write_parquet(path: str | Path, frame: pd.DataFrame) -> None:
    """The frame without its row labels."""
    write_bytes(path, parquet_bytes(frame))


def json_bytes(value: Any) -> bytes:
    return (json.dumps(value, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False) + "\n").encode()


def parquet_bytes(frame: pd.DataFrame) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer, index=False, engine="pyarrow", compression="zstd")
    return buffer.getvalue()


def read_json(path: str | Path) -> Any:
    """Raises OSError when the file can't be read, and ValueError as `parse_json` does."""
    return parse_json(Path(path).read_bytes())


def parse_json(data: bytes | str) -> Any:
    """Raises ValueError when it is not JSON, or nests deeper than anything that is written here."""
    try:
        return json.loads(data)
    except RecursionError:
        raise ValueError("it nests too deep to be read") from None


def digest(data: bytes | memoryview) -> str:
    """SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


def file_digest(path: str | Path) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sync(path: Path) -> None:
    """The bytes of a file, or the names in a directory, outlast a loss of power afterwards."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
