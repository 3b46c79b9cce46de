"""A signature vouches for the files that were signed, and for nothing else."""

from __future__ import annotations

import base64
import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.files import digest, json_bytes, write_bytes
from models.signature import SignatureError, vouched
from pipelines import signing


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, dict[str, str]]:
    """A signature, its key, and what it vouches for."""
    place = tmp_path_factory.mktemp("signed")
    files = {"a.txt": b"one", "deep/b.json": b"{}"}
    for name, data in files.items():
        write_bytes(place / "model" / name, data)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(place)
        signing.make_keys(signing.key_folder())
        return signing.sign(place / "model"), signing.public_key(), {n: digest(data) for n, data in files.items()}


def test_a_signature_vouches_for_every_file(signed):
    signature, key, files = signed
    assert vouched(signature, key) == files


@given(at=st.integers(min_value=0), to=st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_an_altered_signature_vouches_for_the_same_or_for_nothing(signed, at: int, to: int):
    signature, key, files = signed
    altered = bytearray(signature)
    altered[at % len(altered)] = to
    with contextlib.suppress(SignatureError):
        assert vouched(bytes(altered), key) == files


def test_what_is_signed_as_something_else_vouches_for_nothing(signed):
    signature, key, _ = signed
    told = json.loads(signature)
    payload = json.loads(base64.b64decode(told["dsseEnvelope"]["payload"]))
    payload["predicate"]["resources"][0]["digest"] = "f" * 64
    told["dsseEnvelope"]["payload"] = base64.b64encode(json_bytes(payload)).decode()
    with pytest.raises(SignatureError, match="altered"):
        vouched(json_bytes(told), key)
    told["dsseEnvelope"]["signatures"] *= 2
    with pytest.raises(SignatureError, match="can't be read"):
        vouched(json_bytes(told), key)
