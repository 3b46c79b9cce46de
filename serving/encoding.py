"""Compressed answers: which coding a caller takes, and bytes in it, all at once or piece by piece."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import brotli
import zstandard

#: Bytes below which compressing costs more than it saves.
WORTH_IT = 1024
#: The best first: at level 1, zstd is as small as gzip is at 6, nine times sooner.
CODINGS = ("zstd", "br", "gzip")
_GZIP = 16 + zlib.MAX_WBITS


class Compressor(NamedTuple):
    """Both give bytes to send: of a piece, complete enough to be read by itself, and of the end."""

    piece: Callable[[bytes], bytes]
    end: Callable[[], bytes]


@lru_cache(256)
def accepted(header: str) -> str:
    """The coding for an `Accept-Encoding`: of those that weigh most, the best; empty for none."""
    weights = dict(_weight(part) for part in header.lower().split(",") if part.strip())
    weighed = {coding: weights.get(coding, weights.get("*", 0.0)) for coding in CODINGS}
    if "gzip" not in weights:
        weighed["gzip"] = max(weighed["gzip"], weights.get("x-gzip", 0.0))
    best = max(CODINGS, key=lambda coding: weighed[coding])
    return best if weighed[best] > 0 and weighed[best] >= weights.get("identity", 0.0) else ""


def compressed(body: bytes, coding: str) -> bytes:
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=1).compress(body)
    if coding == "br":
        return brotli.compress(body, quality=1)
    stream = zlib.compressobj(1, wbits=_GZIP)
    return stream.compress(body) + stream.flush()


def compressor(coding: str) -> Compressor:
    """Piece by piece; an empty coding leaves the bytes as they are."""
    if coding == "zstd":
        zstd = zstandard.ZstdCompressor(level=1).compressobj()
        block = zstandard.COMPRESSOBJ_FLUSH_BLOCK
        return Compressor(lambda piece: zstd.compress(piece) + zstd.flush(block), zstd.flush)
    if coding == "br":
        br = brotli.Compressor(quality=1)
        return Compressor(lambda piece: br.process(piece) + br.flush(), br.finish)
    if coding == "gzip":
        gzip = zlib.compressobj(1, wbits=_GZIP)
        return Compressor(lambda piece: gzip.compress(piece) + gzip.flush(zlib.Z_SYNC_FLUSH), gzip.flush)
    return Compressor(lambda piece: piece, lambda: b"")


def _weight(part: str) -> tuple[str, float]:
    coding, *parameters = (text.strip() for text in part.split(";"))
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return coding, min(max(float(value), 0.0), 1.0)
            except ValueError:
                return coding, 0.0
    return coding, 1.0
