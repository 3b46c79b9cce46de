"""A declaration says everything about a market: in code, in its file, in the bundle and in the manual."""

import json
import re
import string
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from models.declaration import DeclarationError
from models.field import DIRECTIONS, FIELD_KEYS, FIELD_TYPES, GROUPS, ROLES, RULE_KEYS, plain
from models.market import COLUMN_KEYS, MARKET_KEYS, PRICE_KEYS, SOURCE_KEYS, Market
from models.reasons import GROUP_LABELS
from pipelines.ingest import ingest
from pipelines.market_file import MarketFileError, load_market
from tests.second_market import write_second_market

ROOT = Path(__file__).parent.parent
MANUAL = ROOT / "docs/markets.md"


@pytest.mark.parametrize("bounds", [(None, 25000000.0), (-122.46, None), (1234567.0, 7654321.5)])
def test_bounds_are_said_in_full(bounds):
    """Six significant digits would turn 1234567 into another bound."""
    raw = _town()
    raw["fields"][0]["range"] = list(bounds)
    allowed = Market.from_dict(raw)["living_area"].allowed
    assert [float(n) for n in re.findall(r"-?\d+\.?\d*(?= |$)", allowed)] == [b for b in bounds if b is not None]


@pytest.mark.parametrize("separator", [";", "\t", " ", "|"])
def test_any_one_character_can_stand_between_cells(separator, tmp_path):
    market = Market.from_dict(_town() | {"source": _town()["source"] | {"separator": separator}})
    assert market.source.separator == separator
    path = tmp_path / "town.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(market.to_dict(), file)
    assert load_market(path) == market


@pytest.mark.parametrize("separator", ["", ";;", 5, True, "\n", '"'])
def test_no_other_separator_is_accepted(separator):
    with pytest.raises(DeclarationError, match=r"source.separator: is .*; allowed: one character"):
        Market.from_dict(_town() | {"source": _town()["source"] | {"separator": separator}})


def test_a_parquet_file_has_no_separator():
    source = {"parquet": "town.parquet", "sha256": "0" * 64, "separator": ";"}
    with pytest.raises(DeclarationError, match=r"source.separator: is for CSV only"):
        Market.from_dict(_town() | {"source": source})


@pytest.mark.parametrize(("least", "digits"), [(1, 2), (999.99, 2), (1000, 0), (50000, 0)])
def test_small_units_are_told_to_the_cent(least, digits):
    assert Market.from_dict(_town() | {"price": {"range": [least, 9000000]}}).price_digits == digits


def test_declared_values_are_kept_as_cells_are():
    raw = _town()
    raw["fields"].append({"name": "zone", "column": "zone", "type": "category", "label": "Zone"})
    raw["fields"][-1]["values"] = [" Old\u00a0 Town ", 1]
    assert Market.from_dict(raw)["zone"].values == ("Old Town", "1")


@pytest.mark.parametrize(
    ("kind", "role", "told_under"),
    [
        ("number", None, "facts"),
        ("number", "living_area", "size"),
        ("number", "latitude", "location"),
        ("number", "longitude", "location"),
        ("category", "neighbourhood", "location"),
        ("category", "property_type", "type"),
    ],
)
def test_a_field_is_told_under_what_its_role_says_unless_it_says_itself(kind, role, told_under):
    raw = _town() | {"fields": [{"name": "fact", "column": "fact", "type": kind, "label": "Fact"}]}
    if role is not None:
        raw["fields"][0]["role"] = role
    if role in ("latitude", "longitude"):
        other = {"latitude": "longitude", "longitude": "latitude"}[role]
        raw["fields"].append({"name": other, "column": other, "type": "number", "label": other, "role": other})
    del raw["rules"]
    assert Market.from_dict(raw)["fact"].group == told_under
    for group in GROUPS:
        raw["fields"][0]["group"] = group
        assert Market.from_dict(raw)["fact"].group == group


@pytest.mark.parametrize("group", ["", "Location", "market", "rounding", 3, True, ["size"]])
def test_no_other_group_is_accepted(group):
    raw = _town()
    raw["fields"][1]["group"] = group
    with pytest.raises(DeclarationError, match=r"fields.*group: is .*; allowed: location, size, quality") as caught:
        Market.from_dict(raw)
    assert caught.value.where == ("fields", 1, "group")


def test_every_group_has_words_to_be_told_in():
    assert set(GROUPS) < set(GROUP_LABELS)
    assert len(set(GROUP_LABELS.values())) == len(GROUP_LABELS)


def test_a_market_says_where_homes_are_by_coordinates_or_neighbourhood():
    raw = _town()
    assert not Market.from_dict(raw).says_where
    area = {"name": "area", "column": "a", "type": "category", "label": "Area"}
    assert not Market.from_dict(raw | {"fields": [*raw["fields"], area | {"role": "property_type"}]}).says_where
    assert Market.from_dict(raw | {"fields": [*raw["fields"], area | {"role": "neighbourhood"}]}).says_where
    both = [
        {"name": role, "column": role, "type": "number", "label": role, "role": role}
        for role in ("latitude", "longitude")
    ]
    assert Market.from_dict(raw | {"fields": [*raw["fields"], *both]}).says_where


def test_every_shipped_and_tested_market_survives_the_round_trip(tmp_path):
    for path in (ROOT / "data/markets/seattle.yaml", write_second_market(tmp_path, count=20)):
        market = load_market(path)
        assert Market.from_dict(json.loads(json.dumps(market.to_dict()))) == market


_names = st.text(string.ascii_lowercase + string.digits + "_", min_size=1, max_size=12).map(lambda s: f"f{s}z")
_texts = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1).filter(str.strip)
_numbers = st.floats(-1e12, 1e12, allow_nan=False)


@st.composite
def _ranges(draw, numbers):
    low, high = sorted(draw(st.lists(numbers, min_size=2, max_size=2, unique=True)))
    return draw(st.sampled_from([[low, high], [None, high], [low, None], [None, None]]))


@st.composite
def _fields(draw, name):
    kind = draw(st.sampled_from(FIELD_TYPES))
    field = {"name": name, "column": f"column of {name}", "type": kind, "label": draw(_texts)}
    if kind in ("number", "integer"):
        numbers = _numbers if kind == "number" else _numbers.map(round)
        field |= {"range": draw(_ranges(numbers))} | draw(st.sampled_from([{}, {"unit": "m²"}]))
    if kind == "category":
        field |= draw(st.sampled_from([{}, {"values": draw(st.lists(_texts, min_size=1, unique_by=plain))}]))
    else:
        field |= draw(st.sampled_from([{}, *({"direction": d} for d in DIRECTIONS)]))
    field |= draw(st.sampled_from([{}, *({"group": g} for g in GROUPS)]))
    return field | draw(st.sampled_from([{}, {"missing": True}]))


@st.composite
def _declarations(draw):
    raw = _town()
    raw["label"] = draw(_texts)
    names = draw(st.lists(_names, min_size=1, max_size=6, unique=True))
    raw["fields"] = [draw(_fields(name)) for name in names]
    numeric = [f["name"] for f in raw["fields"] if f["type"] in ("number", "integer")]
    del raw["rules"]
    if len(numeric) > 1:
        raw["rules"] = [
            {"name": "rule", "smaller": numeric[0], "larger": numeric[1], "says": draw(_texts), "times": 2.5}
        ]
    return raw


@given(_declarations())
@settings(deadline=None)
def test_any_market_survives_the_round_trip_through_a_file(tmp_path_factory, raw):
    """Texts that look like numbers, dates, truths or YAML's own signs come back as they went in."""
    market = Market.from_dict(raw)
    path = tmp_path_factory.mktemp("markets") / "town.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump(market.to_dict(), file)
    assert load_market(path) == market


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
@settings(deadline=None)
def test_anything_else_is_a_fault_and_never_a_crash(raw):
    with pytest.raises(DeclarationError):
        Market.from_dict(raw)


@given(
    st.sampled_from(["name", "label", "currency", "source", "columns", "price", "fields", "rules"]),
    st.booleans() | st.integers() | st.just("") | st.lists(st.integers()) | st.dictionaries(st.text(), st.integers()),
)
@settings(deadline=None)
def test_nonsense_in_any_part_is_a_fault_that_names_it(part, nonsense):
    with pytest.raises(DeclarationError) as caught:
        Market.from_dict(_town() | {part: nonsense})
    assert caught.value.where[0] == part


def test_the_manual_lists_exactly_what_is_read():
    manual = MANUAL.read_text(encoding="utf-8")
    tables = [
        {row.split("`")[1]: "optional" in row.split("|")[2] for row in rows.splitlines()}
        for rows in re.findall(r"^\|-.*\n((?:\|.*\n)+)", manual, re.MULTILINE)
    ]
    market, source, columns, price, field, types, directions, roles, rule = tables
    for listed, (required, optional) in (
        (market, MARKET_KEYS),
        (columns, COLUMN_KEYS),
        (price, PRICE_KEYS),
        (field, FIELD_KEYS),
        (rule, RULE_KEYS),
    ):
        assert listed == dict.fromkeys(required, False) | dict.fromkeys(optional, True)
    assert {*source} == {*SOURCE_KEYS[0], *SOURCE_KEYS[1]}
    assert (tuple(types), tuple(directions), {*roles}) == (FIELD_TYPES, DIRECTIONS, {*ROLES})


def test_the_manuals_example_is_read_as_it_stands(tmp_path, monkeypatch):
    manual = MANUAL.read_text(encoding="utf-8")
    ((sales,), (declaration,), (answer,)) = (
        re.findall(pattern, manual, re.DOTALL)
        for pattern in (r"```csv\n(.*?)```", r"```yaml\n(.*?) *```", r"```text\n *data/markets/(.*?)\n")
    )
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data/sources").mkdir(parents=True)
    (tmp_path / "data/sources/lakeside.csv").write_bytes(sales.encode())
    path = tmp_path / "lakeside.yaml"
    path.write_text(re.sub("^   ", "", declaration, flags=re.MULTILINE), encoding="utf-8")
    table = ingest(load_market(path))
    assert table["living_area"].tolist() == [84, 140.5, 61]
    assert table["lift"].tolist() == [1, 0, 1]
    assert table["quarter"].isna().tolist() == [False, False, True]
    path.write_text(path.read_text(encoding="utf-8").replace("type: number", "type: nmber"), encoding="utf-8")
    with pytest.raises(MarketFileError, match=re.escape(answer)):
        load_market(path)


def _town():
    return {
        "name": "town",
        "label": "A town",
        "currency": "EUR",
        "source": {"csv": "town.csv", "sha256": "0" * 64},
        "columns": {"property_id": "parcel", "sale_id": "deed", "sale_date": "sold", "price": "paid"},
        "price": {"range": [1000, 9000000]},
        "fields": [
            {"name": "living_area", "column": "area", "type": "number", "label": "Living area"},
            {"name": "lot_area", "column": "lot", "type": "number", "label": "Lot"},
        ],
        "rules": [{"name": "fits", "smaller": "living_area", "larger": "lot_area", "says": "it fits"}],
    }
