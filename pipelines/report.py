"""The page of a version: all that its card says, the verdict first, and what is shown beside it.

The same bytes lie in data/reports, with the run in MLflow and beside the bundle in the store, from where the server
tells them; they depend on the card and its exhibits alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from models.files import read_json, write_bytes
from models.gate.check import PASS
from pipelines.card import called
from pipelines.document import Document, html, markdown
from pipelines.exhibits import Exhibits, data_section, experiments_section, pictures_section, study_section
from pipelines.places import EVALUATION, REPORT, REPORT_TEXT, REPORTS, VALIDATION_PAGE
from pipelines.summary import (
    backtest_section,
    compared_section,
    gate_section,
    lineage_section,
    segments_section,
    tone,
    trust_section,
    verdict_section,
)
from pipelines.tracking import Tracking, keep_files


def document(card: Mapping[str, Any], exhibits: Exhibits, doubts: Sequence[str] = ()) -> Document:
    """
    Args:
        doubts: why a model that serves would be refused by today's bounds; told where its own verdict is a pass.
    """
    doubts = doubts if card["verdict"]["outcome"] == PASS else ()
    sections = [
        verdict_section(card, doubts),
        compared_section(card),
        gate_section(card),
        segments_section(card),
        pictures_section(exhibits.plots),
        trust_section(card),
        backtest_section(card),
        data_section(card, exhibits),
        study_section(exhibits),
        experiments_section(card, exhibits.experiments),
        lineage_section(card),
    ]
    return Document(called(card), tone(card, doubts), [section for section in sections if section is not None])


def pages(card: Mapping[str, Any], exhibits: Exhibits, doubts: Sequence[str] = ()) -> dict[str, bytes]:
    """Name -> content of the files that tell of a version: the page, its text, and the Data Docs it links to."""
    told = document(card, exhibits, doubts)
    found = {REPORT.name: html(told).encode(), REPORT_TEXT.name: markdown(told.sections).encode()}
    if exhibits.validation_page is not None:
        found[VALIDATION_PAGE.name] = exhibits.validation_page
    return found


def publish(tracking: Tracking, card: Mapping[str, Any], told: Mapping[str, bytes]) -> None:
    """Keeps the pages with the model's run, and in data/reports where that is about this model."""
    keep_files(tracking, card["run"], told)
    if EVALUATION.is_file() and read_json(EVALUATION).get("model") == card["digest"]:
        for name in (REPORT.name, REPORT_TEXT.name):
            write_bytes(REPORTS / name, told[name])
