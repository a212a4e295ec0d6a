"""The reference is counting by hand, and COCO's rule written out as a loop."""

import math

import numpy as np
import pytest

from maskseg_nb.evaluation.precision_recall import curve


def area_as_a_loop(scores, right, objects):
    """COCO's average precision: at each of 101 recalls the best precision that is reached there or beyond."""
    ranked = [hit for _, hit in sorted(zip(scores, right, strict=True), key=lambda pair: -pair[0])]
    points, found = [], 0
    for rank, hit in enumerate(ranked, 1):
        found += hit
        points.append((found / objects, found / rank))
    best = [max((p for r, p in points if r >= step), default=0.0) for step in np.linspace(0, 1, 101)]
    return sum(best) / 101


def test_four_instances_by_hand():
    four = curve(np.array([0.3, 0.9, 0.6, 0.8]), np.array([True, True, True, False]), 5)
    assert four.scores.tolist() == [0.9, 0.8, 0.6, 0.3]
    assert four.precision.tolist() == pytest.approx([1, 1 / 2, 2 / 3, 3 / 4])
    assert four.envelope.tolist() == pytest.approx([1, 3 / 4, 3 / 4, 3 / 4])
    assert four.recall.tolist() == pytest.approx([0.2, 0.2, 0.4, 0.6])
    assert four.f1.tolist() == pytest.approx([1 / 3, 2 / 7, 1 / 2, 2 / 3])
    assert four.average_precision == pytest.approx((21 * 1 + 40 * 0.75) / 101)


@pytest.mark.parametrize("seed", range(20))
def test_the_area_is_that_of_the_loop(seed):
    random = np.random.default_rng(seed)
    count = int(random.integers(1, 60))
    scores, right = random.permutation(count) / count, random.random(count) < 0.6
    objects = int(right.sum() + random.integers(1, 9))
    assert curve(scores, right, objects).average_precision == pytest.approx(
        area_as_a_loop(scores, right, objects), abs=1e-12
    )


def test_at_a_threshold_counts_the_scores_at_it_too():
    three = curve(np.array([0.9, 0.5, 0.2]), np.array([True, False, True]), 4)
    assert three.at(0.5) == (0.5, 0.25)
    assert three.at(0.51) == (1, 0.25)
    assert three.at(0) == (pytest.approx(2 / 3), 0.5)
    precision, recall = three.at(0.95)
    assert math.isnan(precision) and recall == 0


def test_nothing_found_has_no_area_and_nothing_to_find_has_none_at_all():
    none = np.zeros(0)
    assert curve(none, none.astype(bool), 3).average_precision == 0
    assert math.isnan(curve(none, none.astype(bool), 0).average_precision)
    assert math.isnan(curve(none, none.astype(bool), 0).at(0.5)[1])
    assert math.isnan(curve(np.array([0.5]), np.array([False]), 0).average_precision)


def test_f1_is_zero_without_a_true_positive():
    assert curve(np.array([0.5]), np.array([False]), 2).f1.tolist() == [0]
