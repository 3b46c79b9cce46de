"""Provenance: where a candidate comes from can be shown, file by file, or it does not serve."""

from __future__ import annotations

from collections.abc import Sequence

from models.gate.check import CANNOT_TELL, FAIL, PASS, Check

PROVENANCE = "provenance"
SHORT = 12  # characters of a digest that are told


def validated(promised: str | None, found: str, strangers: int) -> Check:
    """Whether the sales behind a candidate are those that passed validation.

    Args:
        promised: digest of the sales that passed, None where none did.
        found: digest of the sales that there are.
        strangers: sales of the hold-out that are not among them, or at another price.
    """
    if promised is None:
        outcome, reason = CANNOT_TELL, "No validation says that these sales passed."
    elif promised != found:
        reason = f"The sales {found[:SHORT]} behind it are not those that passed validation, {promised[:SHORT]}."
        outcome = FAIL
    elif strangers:
        reason = f"{strangers:,} sales of the hold-out are not among those that passed, or not at their price."
        outcome = FAIL
    else:
        outcome, reason = PASS, "Every sale behind it passed validation, unchanged since."
    bound = "the sales that passed validation"
    return Check("validated", PROVENANCE, outcome, None, found[:SHORT], bound, reason)


def committed(commit: str, changed: Sequence[str]) -> Check:
    """Whether the code can be had again.

    Args:
        commit: of the code; "none" where it is in no repository.
        changed: files that differ from the commit.
    """
    told = commit[:SHORT]
    if commit == "none":
        outcome, reason = CANNOT_TELL, "The code is in no git repository, so nobody can have it again."
    elif changed:
        named = ", ".join(changed[:3]) + (f" and {len(changed) - 3} more" if len(changed) > 3 else "")
        outcome = FAIL
        reason = f"The code differs from commit {told} in {named}: commit it, then run `dvc repro`."
        told += f" and {len(changed)} changed"
    else:
        outcome, reason = PASS, f"The code is commit {told}."
    return Check("committed", PROVENANCE, outcome, None, told, "a commit and no change since", reason)


def locked(lock: str | None, astray: Sequence[str]) -> Check:
    """Whether the libraries are those of the lock.

    Args:
        lock: its digest, None where there is none.
        astray: libraries installed in another version than the lock's, such as "numpy 2.3.1 (lock: 2.4.0)".
    """
    if lock is None:
        outcome, told, reason = CANNOT_TELL, "none", "There is no requirements.lock to have the libraries again by."
    elif astray:
        outcome, told = FAIL, f"{len(astray)} others"
        reason = f"Libraries differ from requirements.lock: {', '.join(astray)}. Run `make env`, then `make repro`."
    else:
        outcome, told, reason = PASS, lock[:SHORT], "The libraries are those of requirements.lock."
    return Check("locked", PROVENANCE, outcome, None, told, "the versions of requirements.lock", reason)


def studied(problem: str | None, trials: int) -> Check:
    """Whether the model's parameters are those that the study found best.

    Args:
        problem: how model and study differ; None where they agree.
        trials: finished ones.
    """
    outcome = PASS if problem is None else FAIL
    reason = problem or f"Its parameters are those of the best of {trials:,} finished trials."
    bound = "the parameters of the study's best trial"
    return Check("studied", PROVENANCE, outcome, None, f"{trials:,} trials", bound, reason, n=trials)


def withdrawn(who: str, when: str, why: str, instead: str) -> Check:
    """The gate brings back no model that a person has taken back."""
    reason = (
        f"{who} went back from it to {instead} on {when}: {why} Only a person brings it back: "
        f"`python -m pipelines.champions promote`."
    )
    return Check("withdrawn", PROVENANCE, FAIL, None, instead, "not rolled back from", reason)
