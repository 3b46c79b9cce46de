"""A market's declaration: the one place where a fact about a field is said.

Ingestion, expectations, features, the API's schema and the docs all read it. Reading the file is
the pipeline's business (`pipelines/market_file.py`); here a plain mapping becomes a checked
`Market`, and a `Market` goes back to a plain mapping for the model bundle.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from models.declaration import DeclarationError, Where, bounds, name, section, text
from models.field import SALE_ROLES, Field, Rule, field_to_dict, read_fields, read_rules

__all__ = ["SALE_ROLES", "DeclarationError", "Field", "Market", "Rule", "Source"]

SOURCE_KINDS = ("wheel", "csv", "parquet")
#: A market whose prices can begin below this is told to the cent, any other to the whole unit.
WHOLE_UNITS_FROM = 1000
#: They end a row or hold a cell together, so they can't stand between cells.
NO_SEPARATORS = '\r\n"'
#: The keys of a section: the required ones, the optional ones. `models/field.py` has those of its parts.
MARKET_KEYS = ("name", "label", "currency", "source", "columns", "price", "fields"), ("rules",)
SOURCE_KEYS = ("sha256",), (*SOURCE_KINDS, "member", "separator", "licence", "credit")
COLUMN_KEYS = SALE_ROLES, ("date_format",)
PRICE_KEYS: tuple[tuple[str, ...], tuple[str, ...]] = ("range",), ()


@dataclass(frozen=True)
class Source:
    """Where the sales file comes from; `sha256` is of the wheel or of the file itself."""

    kind: str
    location: str
    sha256: str
    member: str | None = None
    separator: str = ","
    licence: str | None = None
    credit: str | None = None

    @property
    def is_parquet(self) -> bool:
        return self.kind == "parquet" or (self.member or "").lower().endswith(".parquet")


@dataclass(frozen=True)
class Market:
    name: str
    label: str
    currency: str
    source: Source
    columns: Mapping[str, str]
    price_minimum: float
    price_maximum: float
    fields: tuple[Field, ...]
    rules: tuple[Rule, ...] = ()
    date_format: str | None = None
    _by_name: dict[str, Field] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_by_name", {f.name: f for f in self.fields})

    def __getitem__(self, name: str) -> Field:
        return self._by_name[name]

    def __contains__(self, name: str) -> bool:
        return name in self._by_name

    @property
    def field_names(self) -> tuple[str, ...]:
        return tuple(self._by_name)

    @property
    def price_digits(self) -> int:
        """Decimals of a value as told: 0, or 2 where a whole unit would be too coarse for the prices."""
        return 0 if self.price_minimum >= WHOLE_UNITS_FROM else 2

    def role(self, role: str) -> Field | None:
        """The field that plays `role`, or None where this market has none."""
        return next((f for f in self.fields if f.role == role), None)

    @property
    def says_where(self) -> bool:
        """Whether homes have a place: coordinates, or at least a neighbourhood."""
        return any(self.role(role) is not None for role in ("latitude", "neighbourhood"))

    @property
    def placing_fields(self) -> tuple[Field, ...]:
        """The fields that say where a home is: coordinates, or else the neighbourhood."""
        both = [self.role("latitude"), self.role("longitude")]
        return tuple(f for f in (both if both[0] is not None else [self.role("neighbourhood")]) if f is not None)

    def to_dict(self) -> dict[str, Any]:
        """The declaration as `from_dict` reads it, without what is only a default."""
        source = {k: v for k, v in asdict(self.source).items() if v is not None and k != "kind"}
        source[self.source.kind] = source.pop("location")
        if self.source.is_parquet:
            del source["separator"]
        columns: dict[str, Any] = dict(self.columns)
        if self.date_format:
            columns["date_format"] = self.date_format
        raw = {
            "name": self.name,
            "label": self.label,
            "currency": self.currency,
            "source": source,
            "columns": columns,
            "price": {"range": [self.price_minimum, self.price_maximum]},
            "fields": [field_to_dict(f) for f in self.fields],
        }
        return raw | ({"rules": [asdict(r) for r in self.rules]} if self.rules else {})

    @classmethod
    def from_dict(cls, raw: Any) -> Market:
        """A checked market from plain mappings and lists.

        Raises:
            DeclarationError: at the first value that is missing, unknown or not allowed.
        """
        top = section(raw, (), *MARKET_KEYS)
        columns, date_format = _columns(top["columns"])
        fields = read_fields(top["fields"], columns["price"])
        low, high = bounds(section(top["price"], ("price",), *PRICE_KEYS)["range"], ("price", "range"))
        if low is None or high is None or low < 1:
            problem = (
                "needs two bounds, of at least 1, such as [10000, 50000000]; prices are in the currency's own units"
            )
            raise DeclarationError(("price", "range"), f"{problem}, not in thousands or millions")
        if not re.fullmatch("[A-Z]{3}", text(top["currency"], ("currency",))):
            problem = f"is {top['currency']!r}; allowed: a three-letter ISO 4217 code, such as USD"
            raise DeclarationError(("currency",), problem)
        return cls(
            name=name(top["name"], ("name",)),
            label=text(top["label"], ("label",)),
            currency=top["currency"],
            source=_source(top["source"]),
            columns=columns,
            price_minimum=low,
            price_maximum=high,
            fields=fields,
            rules=read_rules(top["rules"], fields) if "rules" in top else (),
            date_format=date_format,
        )


def _source(raw: Any) -> Source:
    where: Where = ("source",)
    item = section(raw, where, *SOURCE_KEYS)
    kinds = [k for k in SOURCE_KINDS if k in item]
    if len(kinds) != 1:
        raise DeclarationError(where, f"must have exactly one of {', '.join(SOURCE_KINDS)}; it has {len(kinds)}")
    kind = kinds[0]
    separator = item.pop("separator", None)
    texts = {key: text(value, (*where, key)) for key, value in item.items()}
    if not re.fullmatch("[0-9a-f]{64}", texts["sha256"]):
        problem = f"is {texts['sha256']!r}; allowed: the file's SHA-256, 64 hexadecimal digits in lower case"
        raise DeclarationError((*where, "sha256"), f"{problem} (`sha256sum FILE` prints it)")
    if kind == "wheel":
        _check_wheel(texts)
    else:
        _check_location(texts[kind], (*where, kind))
        if "member" in item:
            raise DeclarationError((*where, "member"), "is for wheels only; remove it")
    source = Source(kind, texts.pop(kind), **texts)
    return source if separator is None else replace(source, separator=_separator(separator, source))


def _separator(raw: Any, source: Source) -> str:
    where: Where = ("source", "separator")
    if source.is_parquet:
        raise DeclarationError(where, "is for CSV only; remove it")
    if not isinstance(raw, str) or len(raw) != 1 or raw in NO_SEPARATORS:
        raise DeclarationError(where, f'is {raw!r}; allowed: one character, such as ";", or "\\t" for a tab')
    return raw


def _check_wheel(source: Mapping[str, str]) -> None:
    # A line of pip's requirements: anything looser than name==version could smuggle an option in.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*==[A-Za-z0-9.!+_-]+", source["wheel"]):
        raise DeclarationError(("source", "wheel"), f"is {source['wheel']!r}; allowed: package==version")
    if "member" not in source:
        raise DeclarationError(("source",), "the key 'member' is missing; it names the file inside the wheel")
    if not source["member"].lower().endswith((".csv", ".parquet")):
        problem = f"is {source['member']!r}; allowed: the path of a .csv or .parquet file inside the wheel"
        raise DeclarationError(("source", "member"), problem)


def _check_location(location: str, where: Where) -> None:
    if "://" in location and not location.startswith(("http://", "https://")):
        raise DeclarationError(where, f"is {location!r}; allowed: a path, or a URL with http or https")


def _columns(raw: Any) -> tuple[dict[str, str], str | None]:
    where: Where = ("columns",)
    item = section(raw, where, *COLUMN_KEYS)
    columns = {role: text(item[role], (*where, role)) for role in SALE_ROLES}
    for role in ("sale_date", "price"):
        others = [r for r in SALE_ROLES if r != role and columns[r] == columns[role]]
        if others:
            raise DeclarationError((*where, role), f"is {columns[role]!r}, which is already the column of {others[0]}")
    if "date_format" not in item:
        return columns, None
    pattern = text(item["date_format"], (*where, "date_format"))
    day = datetime.datetime(2019, 12, 31)
    try:
        complete = datetime.datetime.strptime(day.strftime(pattern), pattern) == day
    except (ValueError, re.error):
        complete = False
    if not complete:
        problem = f"is {pattern!r}; allowed: a pattern of day, month and year, such as '%d/%m/%Y' for 31/12/2019"
        raise DeclarationError((*where, "date_format"), problem)
    return columns, pattern
