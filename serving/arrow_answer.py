"""The values of many homes as an Arrow IPC stream, a row each."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa

from models.appraisal import Appraisal
from serving.answer import check
from serving.batch import Row
from serving.champion import Champion
from serving.parts import Parts
from serving.replies import to_json

#: The parts of an answer that can be columns, and those that are told unless `fields` says otherwise.
OFFERED = Parts(("value", "range", "ranges", "confidence", "fsd", "in_support", "warnings", "model"))
DEFAULT = OFFERED - ("warnings",)
_PLAIN: Mapping[str, tuple[pa.DataType, Callable[[Appraisal], object]]] = {
    "value": (pa.float64(), lambda told: told.value),
    "confidence": (pa.float64(), lambda told: told.confidence),
    "fsd": (pa.float64(), lambda told: told.deviation),
    "in_support": (pa.bool_(), lambda told: told.in_support),
    "warnings": (pa.list_(pa.string()), lambda told: told.warnings),
}


class ArrowAnswer:
    """The stream's bytes, slice by slice.

    Columns: `id`, `currency`, `as_of`, the parts, for each range `low_90` and `high_90` with its level in percent, and
    `error`: the problem of a row that was refused, as JSON; all else is null there. The model is in the metadata.
    """

    def __init__(self, champion: Champion, parts: Parts) -> None:
        valuer = champion.valuer
        self._currency = champion.market.currency
        self._levels = valuer.levels if "ranges" in parts else (valuer.level,) if "range" in parts else ()
        self._parts = [name for name in _PLAIN if name in parts]
        text = pa.string()
        names = [(f"{side}_{100 * level:g}", pa.float64()) for level in self._levels for side in ("low", "high")]
        plain = [(name, _PLAIN[name][0]) for name in self._parts]
        fields = [("id", text), ("currency", text), ("as_of", pa.date32()), *plain, *names, ("error", text)]
        metadata = {"model": to_json(champion.cited)} if "model" in parts else None
        self._schema = pa.schema(fields, metadata=metadata)
        self._sink = io.BytesIO()
        self._writer = pa.ipc.new_stream(self._sink, self._schema)

    def slice(self, rows: Sequence[Row], appraisals: Mapping[int, Appraisal]) -> bytes:
        """The rows, with their appraisals by number."""
        told = [appraisals.get(row.number) for row in rows]
        for appraisal in appraisals.values():
            check(appraisal)
        questions = [row.question for row in rows]
        columns: list[list[object]] = [
            [question and question.id for question in questions],
            [question and self._currency for question in questions],
            [question and question.as_of for question in questions],
            *([None if one is None else _PLAIN[name][1](one) for one in told] for name in self._parts),
        ]
        for level in self._levels:
            ranges = [one and next(found for found in one.ranges if found.level == level) for one in told]
            columns += [[one and one.low for one in ranges], [one and one.high for one in ranges]]
        columns.append([to_json(row.problem.to_dict()).decode() if row.problem else None for row in rows])
        arrays = [pa.array(values, kind) for values, kind in zip(columns, self._schema.types, strict=True)]
        self._writer.write_batch(pa.record_batch(arrays, schema=self._schema))
        return self._taken()

    def end(self) -> bytes:
        self._writer.close()
        return self._taken()

    def _taken(self) -> bytes:
        told = self._sink.getvalue()
        self._sink.seek(0)
        self._sink.truncate()
        return told
