"""A faulty declaration is answered with its file, its line, and what is allowed there."""

import re

import pytest

from pipelines.market_file import MarketFileError, load_market

DECLARATION = """\
name: town
label: A town
currency: EUR
source:
  csv: data/sources/town.csv
  sha256: 0000000000000000000000000000000000000000000000000000000000000000
columns:
  property_id: parcel
  sale_id: deed
  sale_date: sold
  price: paid
price:
  range: [1000, 9000000]
fields:
  - name: living_area
    column: area
    type: number
    unit: m²
    range: [15, 800]
    direction: up
    role: living_area
    label: Living area
  - name: zone
    column: zone
    type: category
    values: [01, 2, none]
    label: Zone
  - name: lot_area
    column: lot
    type: integer
    missing: true
    label: Lot
rules:
  - name: fits
    smaller: living_area
    larger: lot_area
    times: 4
    says: the home fits its lot
"""

#: What is written wrongly: text in DECLARATION, what stands there instead (the faulty line ends in #!), the answer.
FAULTS = {
    "unknown type": (
        "type: number",
        "type: nmber #!",
        "fields.0.type: is 'nmber'; allowed: number, integer, flag, category; did you mean 'number'?",
    ),
    "unknown key": (
        "label: Zone",
        "lable: Zone #!",
        "fields.1.lable: unknown key; allowed: name, column, type, label, "
        "unit, range, values, missing, direction, role, group; did you mean 'label'?",
    ),
    "missing key": ("  - name: zone\n    column: zone", "  - column: zone #!", "fields.1: the key 'name' is missing"),
    "empty key": ("label: A town", "label: #!", "label: is empty"),
    "key given twice": (
        "currency: EUR",
        "currency: EUR\nlabel: B #!",
        "label: the key is given twice, first in line 2",
    ),
    "key given twice in a list": (
        "    label: Lot",
        "    label: Lot\n    missing: true #!",
        "fields.2.missing: the key is given twice",
    ),
    "another file's name": ("name: town", "name: village #!", "name: is 'village'; allowed: 'town'"),
    "name with a capital": ("name: zone", "name: Zone #!", "fields.1.name: is 'Zone'; allowed: up to 50 lower-case"),
    "name of a sale's column": ("name: zone", "name: price #!", "fields.1.name: 'price' has a meaning of its own"),
    "name of a request's part": ("name: zone", "name: as_of #!", "fields.1.name: 'as_of' has a meaning of its own"),
    "name of a reason": ("name: zone", "name: market #!", "fields.1.name: 'market' has a meaning of its own"),
    "name of the last reason": (
        "name: zone",
        "name: rounding #!",
        "fields.1.name: 'rounding' has a meaning of its own",
    ),
    "name used before": (
        "name: zone",
        "name: living_area #!",
        "fields.1.name: 'living_area' is already the name of number 1",
    ),
    "column used before": ("column: zone", "column: area #!", "fields.1.column: 'area' is already the column of"),
    "the price as a field": ("column: zone", "column: paid #!", "fields.1.column: 'paid' is the price itself"),
    "no fields": (DECLARATION[DECLARATION.index("fields:") :], "fields: [] #!", "fields: must be a list of fields"),
    "text for a number": ("range: [15, 800]", "range: [15, many] #!", "fields.0.range.1: is 'many'; allowed: a number"),
    "infinite bound": ("range: [15, 800]", "range: [15, .inf] #!", "fields.0.range.1: is '.inf'; allowed: a number"),
    "bound in a line of its own": ("range: [15, 800]", "range:\n      - 15\n      - x #!", "fields.0.range.1: is 'x'"),
    "range of one": ("range: [15, 800]", "range: [15] #!", "fields.0.range: is [15]; allowed: [least, most]"),
    "empty range": ("range: [15, 800]", "range: [800, 15] #!", "fields.0.range: [800, 15] is empty"),
    "open price": ("range: [1000, 9000000]", "range: [1000, null] #!", "price.range: needs two bounds, of at least 1"),
    "price from zero": (
        "range: [1000, 9000000]",
        "range: [0, 9000000] #!",
        "price.range: needs two bounds, of at least 1",
    ),
    "price in millions": (
        "range: [1000, 9000000]",
        "range: [0.05, 9] #!",
        "price.range: needs two bounds, of at least 1",
    ),
    "fraction of an integer": (
        "    missing: true",
        "    range: [0.5, 9] #!",
        "fields.2.range: is [0.5, 9]; allowed for an integer: whole numbers",
    ),
    "range of a category": (
        "values: [01, 2, none]",
        "range: [1, 2] #!",
        "fields.1.range: has no meaning for a category",
    ),
    "value twice": (
        "values: [01, 2, none]",
        "values: [2, none, '2'] #!",
        "fields.1.values.2: '2' is in the list twice",
    ),
    "truth as a value": ("values: [01, 2, none]", "values: [true] #!", "fields.1.values.0: is True; allowed: a text"),
    "role of another type": (
        "role: living_area",
        "role: neighbourhood #!",
        "fields.0.role: a field that plays 'neighbourhood' must be of type category, not number",
    ),
    "half a place": (
        "role: living_area",
        "role: latitude #!",
        "fields.0.role: latitude needs a field that plays the other",
    ),
    "yes for true": ("missing: true", "missing: yes #!", "fields.2.missing: is 'yes'; allowed: true, false"),
    "unknown direction": (
        "direction: up",
        "direction: ups #!",
        "fields.0.direction: is 'ups'; allowed: up, down; did you mean 'up'?",
    ),
    "no currency": ("currency: EUR", "currency: Euro #!", "currency: is 'Euro'; allowed: a three-letter ISO 4217 code"),
    "short digest": ("sha256: " + "0" * 64, "sha256: abc #!", "source.sha256: is 'abc'; allowed: the file's SHA-256"),
    "no source": (
        "  csv: data/sources/town.csv\n",
        "",
        "source: must have exactly one of wheel, csv, parquet; it has 0",
    ),
    "two sources": ("  csv: data", "  parquet: b\n  csv: data", "source: must have exactly one of wheel, csv, parquet"),
    "address of another kind": (
        "csv: data/",
        "csv: ftp://data/",
        "source.csv: is 'ftp://data/sources/town.csv'; allowed",
    ),
    "wheel with an option": (
        "csv: data/sources/town.csv",
        "wheel: a==1 --pre #!\n  member: a.csv",
        "source.wheel: is 'a==1 --pre'; allowed: package==version",
    ),
    "wheel without a member": ("csv: data/sources/town.csv", "wheel: a==1", "source: the key 'member' is missing"),
    "member of another kind": (
        "csv: data/sources/town.csv",
        "wheel: a==1\n  member: a.xls #!",
        "source.member: is 'a.xls'",
    ),
    "member without a wheel": ("csv: data", "member: a.csv #!\n  csv: data", "source.member: is for wheels only"),
    "long separator": (
        "csv: data",
        "separator: tab #!\n  csv: data",
        "source.separator: is 'tab'; allowed: one character",
    ),
    "price as the date": ("sale_date: sold", "sale_date: paid #!", "columns.sale_date: is 'paid', which is already"),
    "spelt-out date": (
        "price: paid\n",
        "price: paid\n  date_format: DD/MM/YYYY #!\n",
        "columns.date_format: is 'DD/MM/YYYY'; allowed: a pattern of day, month and year",
    ),
    "date without a day": (
        "price: paid\n",
        "price: paid\n  date_format: '%m/%Y' #!\n",
        "columns.date_format: is '%m/%Y'",
    ),
    "rule about a category": ("larger: lot_area", "larger: zone #!", "rules.0.larger: is 'zone'; allowed: lot_area"),
    "rule with itself": (
        "larger: lot_area",
        "larger: living_area #!",
        "rules.0.larger: is 'living_area'; allowed: lot_area",
    ),
    "no factor": ("times: 4", "times: 0 #!", "rules.0.times: is 0; allowed: a number above 0"),
    "list for a section": (
        "price:\n  range: [1000, 9000000]",
        "price: [1, 2] #!",
        "price: must be a mapping with the keys",
    ),
    "anchor": ("label: A town", "label: &a A town #!", "label: anchors and aliases"),
    "tag": ("label: A town", "label: !secret A town #!", "label: the tag '!secret' isn't read"),
    "broken YAML": ("label: A town", "label: 'A town #!", "not valid YAML"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_answered_with_file_line_and_what_is_allowed(fault, tmp_path):
    right, wrong, answer = FAULTS[fault]
    assert right in DECLARATION
    text = DECLARATION.replace(right, wrong, 1)
    path = tmp_path / "town.yaml"
    path.write_text(text)
    with pytest.raises(MarketFileError) as caught:
        load_market(path)
    said = str(caught.value)
    assert answer in said
    marked = [i for i, line in enumerate(text.splitlines(), 1) if line.endswith("#!")]
    if marked and fault != "broken YAML":  # an open quote is only noticed at the end of the file
        assert said.startswith(f"{path}:{marked[0]}: ")
    assert re.match(rf"{re.escape(str(path))}:\d+: ", said)


def test_an_absent_file_is_answered_with_the_markets_there_are(tmp_path):
    (tmp_path / "town.yaml").write_text(DECLARATION)
    with pytest.raises(MarketFileError, match=r"there is no such file; markets declared in .*: town"):
        load_market(tmp_path / "twon.yaml")


@pytest.mark.parametrize(
    "content", [b"", b"- a\n", b"\xff\xfe", b"a: [1\n", b"a: 1\n---\nb: 2\n", b"? [a]\n: 1\n", b"a: \x00"]
)
def test_a_file_that_is_no_declaration_is_a_fault_and_never_a_crash(content, tmp_path):
    path = tmp_path / "town.yaml"
    path.write_bytes(content)
    with pytest.raises(MarketFileError, match=re.escape(str(path))):
        load_market(path)


def test_a_declaration_says_what_a_field_allows(tmp_path):
    (tmp_path / "town.yaml").write_text(DECLARATION)
    market = load_market(tmp_path / "town.yaml")
    assert market["living_area"].allowed == "a number from 15 to 800 m²"
    assert market["lot_area"].allowed == "a whole number"
    assert market["zone"].allowed == "one of 01, 2, none", "a code keeps its zero"
    assert market.role("living_area") is market["living_area"]
    assert market.role("neighbourhood") is None
