"""Accuracy: enough sales, figures within their bounds, not too good to be true, better than the simple ways."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from models.gate.bounds import Bounds
from models.gate.check import (
    CANNOT_TELL,
    FAIL,
    MEANINGS,
    PASS,
    Check,
    allowed,
    ends,
    finite,
    mapping,
    share,
    shown,
)
from models.ratio_study import FIGURES

ACCURACY, SANITY, REFERENCES = "accuracy", "sanity", "references"


def accuracy_checks(evaluation: Mapping[str, Any], bounds: Bounds) -> Iterator[Check]:
    figures, intervals = mapping(evaluation.get("figures")), mapping(evaluation.get("intervals"))
    yield _enough_rows(figures, bounds)
    yield _complete(figures)
    for name, (low, high) in bounds.figures.items():
        yield _within(name, figures, intervals.get(name), low, high)
    yield _not_too_good(figures, bounds)
    references = mapping(evaluation.get("references"))
    for name, margin in bounds.references.items():
        yield _reference(name, mapping(references.get(name)), figures, margin)


def count_of(figures: Mapping[str, Any]) -> int | None:
    """The hold-out sales that figures rest on."""
    n = finite(figures.get("n"))
    return None if n is None else int(n)


def _enough_rows(figures: Mapping[str, Any], bounds: Bounds) -> Check:
    n, bound = count_of(figures), f"at least {bounds.min_rows:,}"
    told = "none" if n is None else f"{n:,}"
    if n is None or n < bounds.min_rows:
        found = "no count of hold-out sales" if n is None else f"only {told} hold-out sales"
        reason = f"There are {found}; a verdict needs {bound}."
        return Check("rows", ACCURACY, CANNOT_TELL, n, told, bound, reason, n=n)
    return Check("rows", ACCURACY, PASS, n, told, bound, f"{told} hold-out sales are enough to judge by.", n=n)


def _complete(figures: Mapping[str, Any]) -> Check:
    missing = [name for name in FIGURES if finite(figures.get(name)) is None]
    found, bound = len(FIGURES) - len(missing), f"all {len(FIGURES)} figures"
    reason = "Every figure could be worked out."
    if missing:
        reason = f"No usable figure for {', '.join(missing)}: a model is not judged by half its figures."
    return Check("complete", ACCURACY, CANNOT_TELL if missing else PASS, found, str(found), bound, reason)


def _within(name: str, figures: Mapping[str, Any], interval: Any, low: float | None, high: float | None) -> Check:
    figure, bound, what = finite(figures.get(name)), allowed(name, low, high), MEANINGS[name]
    below, above = ends(interval)
    n = count_of(figures)
    if figure is None:
        reason = f"The {what} could not be worked out; it must be {bound}."
        return Check(name, ACCURACY, CANNOT_TELL, None, "none", bound, reason)
    too_low, too_high = low is not None and figure < low, high is not None and figure > high
    told = shown(name, figure)
    if too_low or too_high:
        reason = f"The {what} is {told}, {'below' if too_low else 'above'} what is allowed: {bound}."
        return Check(name, ACCURACY, FAIL, figure, told, bound, reason, below, above, n)
    reason = f"The {what} is {told}; allowed: {bound}."
    return Check(name, ACCURACY, PASS, figure, told, bound, reason, below, above, n)


def _not_too_good(figures: Mapping[str, Any], bounds: Bounds) -> Check:
    figure, bound = finite(figures.get("mdape")), f"at least {share(bounds.too_good)}"
    if figure is None:
        reason = "Without a typical error, a leak can't be ruled out."
        return Check("too_good", SANITY, CANNOT_TELL, None, "none", bound, reason)
    reason, good = "The typical error is not suspiciously small.", figure >= bounds.too_good
    if not good:
        reason = (
            f"A typical error of {share(figure)} is too good to be true (below {share(bounds.too_good)}): the model "
            f"has probably seen what it should foretell."
        )
    return Check("too_good", SANITY, PASS if good else FAIL, figure, share(figure), bound, reason)


def _reference(name: str, reference: Mapping[str, Any], figures: Mapping[str, Any], margin: float) -> Check:
    """The candidate's typical error must be lower by the margin, on the same sales."""
    check, people = f"reference.{name}", name.replace("_", " ")
    n, its, ours = count_of(reference), finite(reference.get("mdape")), finite(figures.get("mdape"))
    if not n or n != count_of(figures) or its is None or ours is None:
        bound = f"lower than the {people} model's"
        reason = f"There is no comparison with the {people} model on the same sales."
        return Check(check, REFERENCES, CANNOT_TELL, ours, share(ours), bound, reason)
    most = its * (1 - margin)
    less = f" less {100 * margin:.0f} % of it" if margin else ""
    reason = f"The typical error is {share(ours)}; it must be lower than the {people} model's, {share(its)}{less}."
    outcome = PASS if ours < most else FAIL
    return Check(check, REFERENCES, outcome, ours, share(ours), f"lower than {share(most)}", reason, n=n)
