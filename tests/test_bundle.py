"""A bundle is whole or refused: no byte of a damaged one is parsed."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from models.bundle import (
    FORMAT,
    MANIFEST,
    MEMORY,
    BundleError,
    bundle_digest,
    memory_digest,
    read_bundle,
    write_bundle,
    write_memory,
)
from models.bundle_parts import MEMORY_FILES
from models.files import digest, json_bytes
from models.split import before
from tests.town import TRAINED, town_sales, town_valuer

MODEL_FILES = ("forest_00.txt", "forest_01.txt", "market.json", "spread.txt", "valuer.json")
FILES = (*MODEL_FILES, *(f"{MEMORY}/{name}" for name in (*MEMORY_FILES, MANIFEST)))
SALES = town_sales()


def small(rounds=5, seed=7):
    """A model of few trees that has all that a bundle can hold, a forest of the spread too."""
    valuer = town_valuer(before(SALES, TRAINED), rounds, seed)
    return replace(valuer, spread=replace(valuer.spread, forest=valuer.bag.forests[1]))


@pytest.fixture(scope="module")
def valuer():
    return small()


@pytest.fixture(scope="module")
def bundle(valuer, tmp_path_factory):
    directory = tmp_path_factory.mktemp("bundle") / "bundle"
    write_bundle(directory, valuer)
    return directory


@pytest.fixture(scope="module")
def memory(valuer, tmp_path_factory):
    """A newer memory of the model: with a year of sales more."""
    directory = tmp_path_factory.mktemp("memory") / "memory"
    write_memory(directory, valuer.refreshed(SALES))
    return directory


@pytest.fixture
def copy(bundle, tmp_path):
    return shutil.copytree(bundle, tmp_path / "copy")


def files_of(directory):
    return {p.relative_to(directory).as_posix() for p in directory.rglob("*") if p.is_file()}


def assert_damage_is_found(directory, name, where, bit, read):
    path = directory / name
    honest = path.read_bytes()
    damaged = bytearray(honest)
    damaged[int(where * len(damaged))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        with pytest.raises(BundleError, match=f"{name} has digest .* its manifest promises .* damaged or altered"):
            read()
    finally:
        path.write_bytes(honest)


damages = {"where": st.floats(0, 1, exclude_max=True), "bit": st.integers(0, 7)}
quietly = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@quietly
@given(name=st.sampled_from(FILES), **damages)
def test_any_flipped_bit_is_found_before_parsing(bundle, name, where, bit):
    assert_damage_is_found(bundle, name, where, bit, lambda: read_bundle(bundle))


@quietly
@given(name=st.sampled_from(MEMORY_FILES), **damages)
def test_so_is_one_in_a_newer_memory(bundle, memory, name, where, bit):
    assert_damage_is_found(memory, name, where, bit, lambda: read_bundle(bundle, memory))


@quietly
@given(where=damages["where"], bit=damages["bit"])
def test_a_flipped_bit_in_the_manifest_is_found_or_told_by_the_digest(bundle, where, bit):
    path = bundle / MANIFEST
    honest = path.read_bytes()
    damaged = bytearray(honest)
    damaged[int(where * len(damaged))] ^= 1 << bit
    path.write_bytes(damaged)
    try:
        found = bundle_digest(bundle)
    except BundleError:
        found = None
    finally:
        path.write_bytes(honest)
    assert found != bundle_digest(bundle)


@pytest.mark.parametrize("name", [MANIFEST, *FILES])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(BundleError, match=f"can't be read: .*{name}"):
        read_bundle(copy)


@pytest.mark.parametrize("name", [MANIFEST, *MEMORY_FILES])
def test_a_missing_file_of_a_newer_memory_is_named(bundle, memory, name, tmp_path):
    broken = shutil.copytree(memory, tmp_path / "memory")
    (broken / name).unlink()
    with pytest.raises(BundleError, match=f"can't be read: .*{name}"):
        read_bundle(bundle, broken)


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        "[" * 100_000,
        "null",
        '{"format": 3}',
        '{"format": 3, "files": {}}',
        '{"format": 3, "files": [["a"]]}',
        '{"format": 3, "files": 7}',
        '{"format": 1, "files": {"market.json": ""}}',
    ],
)
def test_a_manifest_that_promises_nothing_is_refused(copy, manifest):
    (copy / MANIFEST).write_text(manifest)
    with pytest.raises(BundleError):
        read_bundle(copy)


@pytest.mark.parametrize("outside", ["../secret.json", "memory/../../secret.json", "absolute"])
def test_a_manifest_that_names_a_file_outside_the_folder_is_refused(copy, outside):
    """With its true digest, so that nothing but the place speaks against it."""
    secret = copy.parent / "secret.json"
    secret.write_text("{}")
    name = str(secret) if outside == "absolute" else outside
    raw = json.loads((copy / MANIFEST).read_bytes())
    raw["files"][name] = digest(b"{}")
    (copy / MANIFEST).write_bytes(json_bytes(raw))
    with pytest.raises(BundleError, match=r"manifest.json is of format 3 with .*secret.json"):
        read_bundle(copy)


def test_a_bundle_of_another_format_is_refused_by_its_number(copy):
    raw = json.loads((copy / MANIFEST).read_bytes())
    (copy / MANIFEST).write_bytes(json_bytes(raw | {"format": FORMAT - 1}))
    with pytest.raises(BundleError, match=f"is of format {FORMAT - 1} .*; this version reads format {FORMAT}"):
        read_bundle(copy)


def seal(directory):
    """Digests that fit whatever is there now."""
    names = json.loads((directory / MANIFEST).read_bytes())["files"]
    kept = {name: digest((directory / name).read_bytes()) for name in names if (directory / name).exists()}
    (directory / MANIFEST).write_bytes(json_bytes({"format": FORMAT, "files": kept}))


@pytest.mark.parametrize("name", [*FILES[:-1]])
def test_one_that_is_sealed_but_lacks_a_file_says_what_is_wrong(copy, name):
    if name in ("spread.txt", "forest_01.txt"):
        (copy / "valuer.json").write_text("{}")  # a model may do without a spread, and with one forest less
    else:
        (copy / name).unlink()
    seal(copy)
    with pytest.raises(BundleError, match="is whole, but not as this version writes it"):
        read_bundle(copy)


def test_a_model_that_lost_a_forest_is_not_that_of_its_memory(copy):
    (copy / "forest_01.txt").unlink()
    seal(copy)
    with pytest.raises(BundleError, match="the memory is of model"):
        read_bundle(copy)


def test_nothing_in_it_is_a_pickle_and_nothing_is_unsealed(bundle, memory):
    assert {p.suffix for p in bundle.rglob("*") if p.is_file()} == {".txt", ".parquet", ".json"}
    assert files_of(bundle) == {MANIFEST, *FILES}
    assert json.loads((bundle / MANIFEST).read_text())["files"].keys() == set(FILES)
    assert files_of(memory) == {MANIFEST, *MEMORY_FILES}
    assert json.loads((memory / MANIFEST).read_text())["files"].keys() == set(MEMORY_FILES)


def test_an_unsealed_file_beside_the_others_is_not_read(copy, bundle):
    (copy / "forest_02.txt").write_text("tree")
    assert len(read_bundle(copy)[0].bag.forests) == len(read_bundle(bundle)[0].bag.forests) == 2


def test_what_is_read_is_what_was_written(bundle, valuer):
    again, found = read_bundle(bundle)
    assert found == bundle_digest(bundle)
    for name in ("features", "level", "horizon_days", "support", "typical"):
        assert getattr(again, name) == getattr(valuer, name)
    assert again.memory.terms.terms == valuer.memory.terms.terms
    assert again.memory.places.unit == valuer.memory.places.unit
    np.testing.assert_array_equal(again.leaves, valuer.leaves)
    asked = SALES[::20]
    for day in (valuer.current_day, valuer.first_day):
        first, second = valuer.view(asked, day), again.view(asked, day)
        np.testing.assert_array_equal(first.log_value, second.log_value)
        np.testing.assert_array_equal(valuer.spread.of(first.matrix), again.spread.of(second.matrix))


def test_written_again_it_is_the_same_bytes(bundle, valuer, tmp_path):
    for number, one in enumerate((valuer, read_bundle(bundle)[0])):
        assert write_bundle(tmp_path / str(number), one) == bundle_digest(bundle)


def test_a_newer_memory_takes_the_place_of_the_bundles_own(bundle, memory, valuer):
    grown = valuer.refreshed(SALES)
    told, found = read_bundle(bundle, memory)
    assert found == bundle_digest(bundle)  # the model is the one it was
    assert (told.memory_end, told.track.trained) == (grown.memory_end, valuer.track.trained)
    asked = SALES[::20]
    first, second = (one.view(asked, grown.current_day).log_value for one in (told, grown))
    np.testing.assert_array_equal(first, second)
    assert read_bundle(bundle)[0].memory_end == valuer.memory_end < told.memory_end


def test_a_memory_has_one_digest_wherever_it_is_kept(bundle, memory, valuer, tmp_path):
    assert write_memory(tmp_path / "again", valuer) == memory_digest(bundle) == bundle_digest(bundle / MEMORY)
    assert write_memory(tmp_path / "grown", valuer.refreshed(SALES)) == bundle_digest(memory) != memory_digest(bundle)


def test_the_memory_of_another_model_is_refused(bundle, tmp_path):
    write_memory(tmp_path / "memory", small(seed=8).refreshed(SALES))
    with pytest.raises(BundleError, match="the memory is of model"):
        read_bundle(bundle, tmp_path / "memory")


def test_a_bundle_is_no_memory(bundle):
    with pytest.raises(BundleError, match="is not a memory of sales"):
        read_bundle(bundle, bundle)


def test_a_memory_that_is_not_there_is_no_reason_to_serve_the_old_one(bundle, tmp_path):
    with pytest.raises(BundleError, match="can't be read"):
        read_bundle(bundle, tmp_path / "nowhere")


def test_an_old_one_that_can_not_be_removed_is_told(tmp_path, monkeypatch):
    first = write_bundle(tmp_path / "b", small())
    honest = shutil.rmtree

    def stuck(path, *args, **kwargs):
        if path == tmp_path / "b":
            raise PermissionError(f"{path} stays")
        honest(path, *args, **kwargs)

    monkeypatch.setattr("shutil.rmtree", stuck)
    with pytest.raises(PermissionError, match="b stays"):
        write_bundle(tmp_path / "b", small(6))
    assert read_bundle(tmp_path / "b")[1] == first


def test_one_that_can_not_be_written_to_the_end_leaves_the_old_one_and_nothing_half(tmp_path, monkeypatch):
    first = write_bundle(tmp_path / "b", small())
    honest, synced = os.fsync, []

    def full(handle):
        synced.append(handle)
        if len(synced) > 7:
            raise OSError("no space left on device")
        honest(handle)

    other = small(6)
    with monkeypatch.context() as patched:
        patched.setattr("os.fsync", full)
        with pytest.raises(OSError, match="no space left"):
            write_bundle(tmp_path / "b", other)
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
    assert read_bundle(tmp_path / "b")[1] == first


def test_writing_again_replaces_the_old_one_whole(tmp_path):
    first = write_bundle(tmp_path / "b", small())
    second = write_bundle(tmp_path / "b", town_valuer(rounds=6, bags=1))
    assert first != second == read_bundle(tmp_path / "b")[1]
    assert not {"spread.txt", "forest_01.txt"} & files_of(tmp_path / "b")
    assert [p.name for p in tmp_path.iterdir()] == ["b"]
