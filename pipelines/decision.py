"""What came of a candidate, and the box that ends the line with it."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any

from models.gate.check import PASS
from pipelines.card import SAID
from pipelines.places import VERDICT

#: Candidates that one hold-out may judge before it is said to be worn.
WORN = 10


@dataclass(frozen=True)
class Decision:
    """What came of it.

    Attributes:
        what: promoted, refused, kept (it serves already) or experiment (never promoted).
        serving: what the champion is called that stays or is new, None where there is none.
        worn: the candidates that this hold-out has judged so far.
        doubts: why a champion that is kept would be refused by today's bounds.
        elsewhere: the tag of another market's champion, where the pointer names that.
    """

    what: str
    card: dict[str, Any]
    serving: str | None
    worn: int
    doubts: tuple[str, ...] = ()
    elsewhere: str | None = None


def _wear(worn: int) -> str:
    """A hold-out that many candidates were judged on has chosen among them: the best of them looks too good."""
    told = f"This hold-out has judged {worn} {'candidate' if worn == 1 else 'candidates'}."
    if worn <= WORN:
        return told
    return f"{told} The best of so many owes part of its figures to chance: judge the next on later sales."


def boxed(decision: Decision) -> str:
    """What is printed at the end: who serves, and why."""
    card, verdict = decision.card, decision.card["verdict"]
    who = f"{card['name']}:v{card['version']} (bundle {card['digest'][:12]})"
    if decision.serving:
        serving = f"The champion stays {decision.serving}."
    elif decision.elsewhere:
        serving = f"{decision.elsewhere} of another market goes on being served."
    else:
        serving = "Nothing serves: there is no champion yet."
    lines = {
        "promoted": [f"PROMOTED: {who} is the champion now."],
        "kept": [f"NOTHING NEW: {who} is the champion already and goes on serving."],
        "refused": [f"{SAID[verdict['outcome']].upper()}: {who} may not serve.", serving],
        "experiment": [f"EXPERIMENT: {who} was judged and logged. {SAID[verdict['outcome']]}.", serving],
    }[decision.what]
    if decision.doubts:
        lines.append("By today's bounds it would be refused:")
    lines += [f"- {reason}" for reason in decision.doubts or verdict["reasons"]]
    passed = sum(c["outcome"] == PASS for c in verdict["checks"])
    lines.append(f"{passed} of {len(verdict['checks'])} checks passed; all of them: {VERDICT}")
    lines.append(_wear(decision.worn))
    wrapped = [part for line in lines for part in textwrap.wrap(line, 96, subsequent_indent="  ")]
    width = max(map(len, wrapped))
    rule = "+" + "-" * (width + 2) + "+"
    return "\n".join([rule, *(f"| {line:{width}} |" for line in wrapped), rule])
