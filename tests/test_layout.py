"""A model laid out answers as the bundle does, reasons to a cent, and a damaged layout is never mapped."""

from __future__ import annotations

import functools
import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.appraisal import appraise
from models.bundle import read_bundle, write_bundle
from models.comparables import FADING, most_comparable
from models.files import read_json, write_json
from models.layout import LayoutError, read_layout, write_layout
from models.reasons import Reasons
from models.valuer import Valuer
from tests.cents import same_to_a_cent
from tests.served import HOME, later_sales, train
from tests.town import MAPPED_HOME, live_valuer, mapped_homes, town_sales, town_valuer


@functools.cache
def laid_out() -> Valuer:
    """The live valuer, laid out and mapped again."""
    return laid(live_valuer())


def laid(valuer: Valuer) -> Valuer:
    with tempfile.TemporaryDirectory() as folder:
        write_layout(Path(folder), valuer, {}, {})
        return read_layout(Path(folder))[0]


@settings(max_examples=30, deadline=None)
@given(home=mapped_homes, day=st.dates(date(2018, 1, 1), date(2020, 6, 1)))
def test_it_answers_as_the_bundle_does(home, day):
    theirs, ours = live_valuer(), laid_out()
    same_to_a_cent(appraise(ours, [home], day, 5), appraise(theirs, [home], day, 5))


@settings(max_examples=30, deadline=None)
@given(home=mapped_homes)
def test_so_it_does_from_its_grid(home):
    """Of the month that all known sales count for the comparables come from the grid, of any other they don't."""
    ours = laid_out()
    without = replace(ours, grid=None)
    for count in (1, 5, 1500):
        assert appraise(ours, [home], ours.current_day, count) == appraise(without, [home], ours.current_day, count)


def test_a_choice_that_is_begun_is_the_one_made_at_once():
    """And that of a full count; one that nobody asked for is in nobody's way."""
    ours = laid_out()
    grid, leaves = ours.grid, ours.leaves
    assert grid is not None
    believed = ours.evidence.laid(grid.month).known.trusted
    years, own = -FADING * np.log(grid.fading), believed[[-1, -9]].tolist()
    among, sizes = np.setdiff1d(believed, own), (1, 5, 40)
    for i, home in enumerate(leaves[:, believed[-200:]].T):
        count = sizes[i % len(sizes)]
        begun = grid.choices(np.roll(home, 1)[None], [own], 40)
        begun.begin()
        for _ in range(i % 4 and 1000):  # so that the thread is in the midst of it
            if begun._told["second"]["state"][0]:
                break
        del begun
        laid = [np.full(shape, 7, np.uint32) for shape in (40, 80, len(own)) for _ in range(3)]
        at_once = grid.choices(home[None], [own], count).made()
        begun = grid.choices(home[None], [own], count)
        begun.begin()
        for number, *told in (at_once, begun.made(), begun.made()):
            expected = most_comparable(leaves, home, years, among, count)
            assert number.tolist() == [len(expected[0])]
            for one, other in zip(told, expected, strict=True):
                np.testing.assert_array_equal(one, other)
        assert all((array == 7).all() for array in laid)


@pytest.mark.parametrize("begins", [False, True])
def test_choices_made_together_are_those_made_alone(begins: bool):
    ours = laid_out()
    assert ours.grid is not None
    believed = ours.evidence.laid(ours.grid.month).known.trusted
    homes = ours.leaves[:, believed[-9:]].T.copy()
    homes[4] = 65_000  # nobody's leaves
    own = [believed[-9 + i : -9 + i + i % 3].tolist() for i in range(9)]
    alone = [ours.grid.choices(home[None], [sales], 5).made() for home, sales in zip(homes, own, strict=True)]
    together = ours.grid.choices(homes, own, 5)
    if begins:
        together.begin()
    for told, others in zip(together.made(), zip(*alone, strict=True), strict=True):
        np.testing.assert_array_equal(told, np.concatenate(others))
    assert [len(sales) for _, sales, _ in alone] == [5, 5, 5, 5, 0, 5, 5, 5, 5]


def test_a_sold_home_is_not_compared_with_itself_in_the_grid():
    ours = laid_out()
    sold = ours.memory.sales[ours.memory.sales["property_id"].duplicated()].tail(5)
    for row in sold.drop(columns=["sale_id", "sale_date", "price"]).to_dict("records"):
        home: dict[str, Any] = {str(name): value for name, value in row.items()}
        told = appraise(ours, [home], ours.current_day, 1500)
        assert home["property_id"] not in {sale.property_id for sale in told[0].comparables}
        same_to_a_cent(told, appraise(live_valuer(), [home], ours.current_day, 1500))


def test_reasons_and_comparables_are_worked_out_only_when_asked_for():
    told = appraise(laid_out(), [MAPPED_HOME], laid_out().current_day, reasons=False)[0]
    whole = appraise(laid_out(), [MAPPED_HOME], laid_out().current_day, 5)[0]
    assert (told.reasons, told.comparables, told.base) == (Reasons(), (), 0.0)
    assert replace(whole, reasons=Reasons(), comparables=(), base=0.0) == told
    alone = appraise(laid_out(), [MAPPED_HOME], laid_out().current_day, 5, reasons=False)[0]
    assert alone.comparables == whole.comparables


def test_a_market_without_a_map_is_laid_out_too():
    valuer = town_valuer(town_sales(900), rounds=5)
    ours = laid(valuer)
    home = {name: MAPPED_HOME[name] for name in valuer.market.field_names}
    same_to_a_cent(appraise(ours, [home], ours.current_day, 5), appraise(valuer, [home], ours.current_day, 5))


def test_a_refreshed_memory_of_a_bundle_is_laid_out(tmp_path: Path):
    write_bundle(tmp_path / "bundle", train())
    newer = read_bundle(tmp_path / "bundle")[0].refreshed(later_sales())
    ours = laid(newer)
    same_to_a_cent(appraise(ours, [HOME], newer.current_day, 5), appraise(newer, [HOME], newer.current_day, 5))


def test_its_arrays_are_mapped_and_nobody_can_write_them():
    ours = laid_out()
    assert ours.grid is not None
    assert ours.bag.walk is not None
    for array in (ours.leaves, ours.grid.order, ours.bag.walk.flats[0].arrays["nodes"]):
        assert not array.flags.writeable
        assert not array.flags.owndata


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_layout(tmp_path, live_valuer(), {"card.json": b"{}"}, {"digest": "d"})
    return tmp_path


def test_the_manifest_s_facts_come_back(folder: Path):
    assert read_layout(folder)[1] == {"digest": "d"}


@pytest.mark.parametrize("name", ["arrays.bin", "sales.parquet", "valuer.json", "card.json"])
@pytest.mark.parametrize("damage", ["flip", "cut", "gone"])
def test_a_damaged_layout_is_not_mapped(folder: Path, name: str, damage: str):
    path = folder / name
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.unlink()
    if damage != "gone":
        path.write_bytes(data if damage == "flip" else data[: len(data) // 2])
    with pytest.raises(LayoutError):
        read_layout(folder)


@pytest.mark.parametrize("change", [{"arrays": {}}, {"files": {"../x": "0"}}, {"forests": 3}, {"facts": None}])
def test_so_is_one_whose_manifest_says_something_else(folder: Path, change: dict[str, object]):
    write_json(folder / "layout.json", read_json(folder / "layout.json") | change)
    with pytest.raises(LayoutError):
        read_layout(folder)


def test_nor_is_one_whose_manifest_nests_without_end(folder: Path):
    (folder / "layout.json").write_text('{"files": ' * 100_000)
    with pytest.raises(LayoutError, match="nests too deep"):
        read_layout(folder)


def test_the_same_model_is_laid_out_in_the_same_bytes(folder: Path, tmp_path: Path):
    again = tmp_path / "again"
    write_layout(again, live_valuer(), {"card.json": b"{}"}, {"digest": "d"})
    assert (again / "layout.json").read_bytes() == (folder / "layout.json").read_bytes()
    assert np.array_equal(np.fromfile(again / "arrays.bin", np.uint8), np.fromfile(folder / "arrays.bin", np.uint8))
