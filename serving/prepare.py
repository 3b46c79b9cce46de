"""`python -m serving.prepare`: a version laid out for serving, in a process that nobody misses if it dies.

LightGBM aborts, hangs or changes values on a damaged file, so no worker reads one. Here the signature is checked, then
the digests, then the bundle is parsed; golden homes are valued by LightGBM and by the layout that was written, and only
equal answers let it take traffic.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import shutil
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from models.appraisal import appraise
from models.golden import changed_answer, golden_homes
from models.kernel.build import NoKernel
from models.kernel.shape import Unflattened
from models.layout import LayoutError, code_digest, read_layout, write_layout
from models.valuer import Valuer
from models.version import CARD, SIGNATURES, signature_file
from serving.champion import Champion, NoChampion, Pointer, read_champion
from serving.sound import is_sound

#: What contributions may differ by from LightGBM's own, in log price.
CLOSE = 1e-6
#: Seconds in which the bundle is read and LightGBM answers for all golden homes: a forest with a circle never ends.
READING_SECONDS = 60
#: Seconds of work, of all cores together, that a version may cost.
CPU_SECONDS = 1800
NICE = 10  # those who ask now come first


def prepare(folder: Path, target: Path, pointer: Pointer, key: bytes) -> None:
    """Lays the version in `folder` out as `target`, which appears whole or not at all.

    Raises:
        NoChampion: when the version is not as it was signed, is damaged, or its layout answers otherwise.
        NoKernel, Unflattened: when there is no layout of it on this machine.
    """
    signal.alarm(READING_SECONDS)
    champion = read_champion(folder, pointer, key)
    homes = golden_homes(champion.valuer)
    told = appraise(champion.valuer, homes, champion.valuer.current_day)
    changed = changed_answer(champion.valuer, champion.card.get("golden", ()))
    signal.alarm(0)
    if changed is not None:
        raise NoChampion(f"{pointer.tag} is not what was judged: {changed}")
    for home, appraisal in zip(homes, told, strict=True):
        if not is_sound(appraisal):
            raise NoChampion(f"{pointer.tag} values a home unsoundly: {appraisal}; home: {json.dumps(home)}")
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        facts = {"digest": champion.digest, "memory": champion.memory, "code": code_digest()}
        write_layout(fresh, champion.valuer, _beside(folder, champion, pointer), facts)
        _same(champion.valuer, read_layout(fresh)[0], homes, pointer.tag)
        with contextlib.suppress(FileNotFoundError):
            shutil.rmtree(target)
        fresh.replace(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


def _same(ours: Valuer, laid: Valuer, homes: Sequence[dict[str, Any]], tag: str) -> None:
    columns = ours.columns(homes)
    views = [valuer.view(columns, ours.current_day) for valuer in (ours, laid)]
    values = [
        np.array([valuer.told(view), *(end for ends in valuer.ranges(view).values() for end in ends)])
        for valuer, view in zip((ours, laid), views, strict=True)
    ]
    if not np.array_equal(values[0], values[1]):
        row = int(np.flatnonzero((values[0] != values[1]).any(axis=0))[0])
        raise NoChampion(f"{tag} laid out values {homes[row]} at {values[1][0, row]}, LightGBM at {values[0][0, row]}")
    apart = np.abs(np.subtract(*(valuer.bag.contributions(views[0].matrix) for valuer in (ours, laid)))).max()
    if not apart <= CLOSE:
        raise NoChampion(f"{tag} laid out explains golden homes otherwise than LightGBM, by {apart} in log price")


def _beside(folder: Path, champion: Champion, pointer: Pointer) -> dict[str, bytes]:
    """The card, the pages and the signatures, so that a server needs nothing but the layout."""
    card = (folder / CARD).read_bytes()
    subjects = [champion.card_digest, *([] if pointer.memory is None else [pointer.memory])]
    signed = {f"{SIGNATURES}/{subject}.json": signature_file(folder, subject).read_bytes() for subject in subjects}
    return {CARD: card, **champion.pages, **signed}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m serving.prepare", description=__doc__)
    parser.add_argument("folder", type=Path, help="of the version: bundle, card, signatures")
    parser.add_argument("target", type=Path, help="where the layout shall be")
    parser.add_argument("--pointer", type=json.loads, required=True, help="tag, digest and memory, as JSON")
    parser.add_argument("--key", type=Path, required=True, help="the public key, PEM")
    options = parser.parse_args(arguments)
    os.nice(NICE)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    try:
        prepare(options.folder, options.target, Pointer(**options.pointer), options.key.read_bytes())
    except (NoChampion, LayoutError) as error:
        print(json.dumps({"refused": str(error)}))
    except (NoKernel, Unflattened) as error:
        print(json.dumps({"plain": str(error)}))
    else:
        print(json.dumps({"laid": str(options.target)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
