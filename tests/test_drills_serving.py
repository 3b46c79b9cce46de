"""The drills in small: what they promise of a server is kept, whatever the speed of the machine."""

from __future__ import annotations

import pytest

from tests.bench.drills.alone import alone
from tests.bench.drills.corruptions import corruptions
from tests.bench.drills.ground import Finding, Ground, lay_ground
from tests.bench.drills.slow import slow
from tests.bench.drills.soak import soak
from tests.bench.drills.swaps import swaps


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return lay_ground(tmp_path_factory.mktemp("ground"))


def broken(findings: list[Finding]) -> list[Finding]:
    """What was not kept, but for what hangs on the speed of the machine."""
    return [finding for finding in findings if not finding.kept and not finding.timed]


def test_models_are_swapped_under_load_and_no_answer_is_lost_or_mixed(ground: Ground):
    assert broken(swaps(ground, count=6)) == []


def test_damage_reaches_neither_the_server_nor_its_answers(ground: Ground):
    assert broken(corruptions(ground, number=8)) == []


def test_the_server_needs_nobody(ground: Ground):
    assert broken(alone(ground, singly=False)) == []


def test_bad_callers_are_cut_or_refused_and_good_ones_answered(ground: Ground):
    assert broken(slow(ground, sockets=20, bodies=6, seconds=1.0)) == []


def test_long_load_and_swaps_leave_memory_as_it_is(ground: Ground):
    assert broken(soak(ground, requests=2000, swaps=4)) == []
