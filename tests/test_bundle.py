"""A bundle is whole or refused: no byte of a damaged one is parsed."""

import json
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.bundle import FILES, MANIFEST, BundleError, bundle_digest, read_bundle, write_bundle
from tests.town import town_valuer


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundle") / "bundle"
    write_bundle(directory, town_valuer(rounds=5))
    return directory


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(FILES), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_found_before_parsing(bundle, name, where, bit):
    path = bundle / name
    honest = path.read_bytes()
    damaged = bytearray(honest)
    damaged[int(where * len(damaged))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        with pytest.raises(BundleError, match=f"{name} has digest .* its manifest promises .* damaged or altered"):
            read_bundle(bundle)
    finally:
        path.write_bytes(honest)
    assert read_bundle(bundle)[1] == bundle_digest(bundle)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_missing_file_is_named(bundle, name, tmp_path):
    (bundle / name).rename(tmp_path / name)
    with pytest.raises(BundleError, match=f"can't be read: .*{name}"):
        read_bundle(bundle)
    (tmp_path / name).rename(bundle / name)


@pytest.mark.parametrize(
    "manifest", ["", "[]", "null", '{"format": 1}', '{"format": 2, "files": {}}', '{"format": 1, "files": {}}']
)
def test_a_manifest_that_promises_nothing_is_refused(bundle, manifest):
    path = bundle / MANIFEST
    honest = path.read_bytes()
    path.write_text(manifest)
    try:
        with pytest.raises(BundleError):
            read_bundle(bundle)
    finally:
        path.write_bytes(honest)


def test_nothing_in_it_is_a_pickle(bundle):
    assert {p.suffix for p in bundle.iterdir()} == {".txt", ".parquet", ".json"}
    assert json.loads((bundle / MANIFEST).read_text())["files"].keys() == set(FILES)


def test_an_old_one_that_can_not_be_removed_is_told(tmp_path, monkeypatch):
    first = write_bundle(tmp_path / "b", town_valuer(rounds=5))
    honest = shutil.rmtree

    def stuck(path, *args, **kwargs):
        if path == tmp_path / "b":
            raise PermissionError(f"{path} stays")
        honest(path, *args, **kwargs)

    monkeypatch.setattr("shutil.rmtree", stuck)
    with pytest.raises(PermissionError, match="b stays"):
        write_bundle(tmp_path / "b", town_valuer(rounds=6))
    assert read_bundle(tmp_path / "b")[1] == first


def test_writing_again_replaces_the_old_one_whole(tmp_path):
    first = write_bundle(tmp_path / "b", town_valuer(rounds=5))
    second = write_bundle(tmp_path / "b", town_valuer(rounds=6))
    assert first != second == read_bundle(tmp_path / "b")[1]
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
