"""A document for reviewers, and its two forms: one HTML page that needs nothing else, and Markdown.

What is said is said once, as sections of blocks; both forms are made from it. `code` stands in backticks in either.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from expectations.templates import templates

TEMPLATE = "report.html.jinja"
GOOD, BAD, QUIET = "good", "bad", "quiet"


@dataclass(frozen=True)
class Heading:
    """Of a part of a section."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """`lead` is its first, strong words."""

    text: str
    lead: str = ""
    tone: str = ""


@dataclass(frozen=True)
class Items:
    texts: Sequence[str]
    tone: str = ""


@dataclass(frozen=True)
class Command:
    """What a reader may type."""

    text: str


@dataclass(frozen=True)
class Link:
    """To a file beside the document."""

    address: str
    text: str


@dataclass(frozen=True)
class Cell:
    """Of a table; `note` is said of it in small print."""

    text: str
    tone: str = ""
    note: str = ""


@dataclass(frozen=True)
class Table:
    """`words`: the columns that hold words rather than figures; the first is what the row is about.

    `says` stands above it, as far as the heading has not said all.
    """

    says: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    words: Sequence[int] = (0,)


@dataclass(frozen=True)
class Picture:
    """A PNG; `says` is how to read it."""

    file: str
    title: str
    says: str
    png: bytes


Block = Heading | Paragraph | Items | Command | Link | Table | Picture


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]

    @property
    def anchor(self) -> str:
        return re.sub(r"[^a-z0-9]+", "-", self.title.lower()).strip("-")


@dataclass(frozen=True)
class Document:
    """The first section is the one that must be read; `tone` is whether it is good or bad news."""

    title: str
    tone: str
    sections: Sequence[Section]


def html(document: Document) -> str:
    """One file: pictures inside, no script, nothing loaded from anywhere; all that is said is escaped."""
    environment = templates(Path(__file__).parent)
    environment.filters |= {"said": _said, "kind": lambda block: type(block).__name__, "base64": _base64}
    return environment.get_template(TEMPLATE).render(document=document)


def markdown(sections: Sequence[Section]) -> str:
    """The same in Markdown; pictures and links by the files they lie in."""
    lines = []
    for i, section in enumerate(sections):
        lines += [f"{'###' if i else '##'} {_plain(section.title)}", ""]
        for block in section.blocks:
            lines += [*_marked(block), ""]
    return "\n".join(lines)


def _marked(block: Block) -> list[str]:
    match block:
        case Heading(text):
            return [f"#### {_plain(text)}"]
        case Paragraph(text, lead):
            return [" ".join(filter(None, [f"**{_plain(lead)}**" if lead else "", _plain(text)]))]
        case Items(texts):
            return [f"- {_plain(text)}" for text in texts]
        case Command(text):
            return ["```", text, "```"]
        case Link(address, text):
            return [f"[{_plain(text)}]({address})"]
        case Picture(file, title, says):
            return [f"![{_plain(title)}]({file})", "", _plain(says)]
        case Table():
            rule = "|".join("---" if i in block.words else "---:" for i in range(len(block.heads)))
            rows = [" | ".join(map(_cell, row)) for row in block.rows]
            said = [_plain(block.says), ""] if block.says else []
            return [*said, f"| {' | '.join(map(_plain, block.heads))} |", f"|{rule}|", *(f"| {row} |" for row in rows)]


def _cell(cell: Cell) -> str:
    text = _plain(cell.text)
    return (f"**{text}**" if cell.tone == BAD else text) + (f": {_plain(cell.note)}" if cell.note else "")


def _plain(text: str) -> str:
    """In one line, and nothing in it is taken for markup but `code`."""
    parts = re.split(r"(`[^`]+`)", " ".join(text.split()))
    parts[::2] = [re.sub(r"([\\*|\[\]])", r"\\\1", part).replace("<", "&lt;") for part in parts[::2]]
    return "".join(parts)


def _said(text: str) -> str:
    """Escaped, so that it is safe; what stands in backticks becomes code, and no line ends before a percent sign."""
    return re.sub(r"(?<=\d) %", "&nbsp;%", re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text)))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
