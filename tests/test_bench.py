"""`make bench`: a target that this machine cannot try is not called reached."""

import pytest

from bench import explorer, network
from bench.measure import Target


def test_a_target_says_whether_it_was_reached():
    assert str(Target("half the time", True, "0.49")) == "half the time: reached (0.49)"
    assert str(Target("half the time", False, "0.61")) == "half the time: MISSED (0.61)"


@pytest.mark.parametrize("share", [0.4, 2.52])
def test_without_bfloat16_instructions_their_target_is_not_tried(share):
    target = str(network.bfloat16_target(share, native=False))
    assert target.endswith("of float32: not tried: this processor lacks bfloat16 instructions")
    assert network.bfloat16_target(share, native=True).reached is (share <= 0.55)


def test_without_a_browser_the_explorer_is_not_tried(monkeypatch):
    monkeypatch.setattr(explorer, "find_chromium", lambda: None)
    for target in explorer.bench_explorer():
        assert str(target).endswith("not tried: the PATH lacks a Chromium")
