"""Reliability is compared with a loop over the instances, its interval with the textbook's equation."""

from math import isnan

import numpy as np
import pytest

from maskseg_nb import reliability
from maskseg_nb.evaluation.detections import EncodedDetections
from maskseg_nb.evaluation.evaluate import Evaluation, PictureResult
from maskseg_nb.evaluation.figures import show_reliability
from maskseg_nb.evaluation.matching import Match, Outcome

CATEGORIES = ("__background__", "cat", "dog")
SHARES = [Outcome.TRUE_POSITIVE, Outcome.BACKGROUND, Outcome.DUPLICATE, Outcome.WRONG_CATEGORY]


def judged(scores, outcomes, labels=None):
    """An evaluation of one picture in which each instance has a score and an outcome."""
    count = len(scores)
    labels = np.ones(count, np.int64) if labels is None else np.asarray(labels)
    found = EncodedDetections(np.zeros((count, 4)), labels, np.asarray(scores, float), [{}] * count, "")
    none = np.zeros(0, bool)
    match = Match(tuple(outcomes), np.full(count, -1), np.zeros(count), none, none, 0.5)
    picture = PictureResult(0, 0, (8, 8), found, match, np.zeros(0, np.int64))
    return Evaluation({}, {}, {}, CATEGORIES, CATEGORIES[1:], (picture,))


@pytest.fixture(scope="module")
def many():
    random = np.random.default_rng(0)
    scores = np.sort(random.random(500))[::-1]
    return judged(scores, [SHARES[n] for n in random.integers(0, 4, 500)], random.integers(1, 3, 500))


def test_each_bin_holds_what_a_loop_puts_into_it(many):
    found = reliability(many, bins=7)
    scores, right, _ = many.judgements()
    for row in range(7):
        inside = [n for n, score in enumerate(scores) if row / 7 <= score < (row + 1) / 7]
        assert found.counts[row] == len(inside) > 0
        assert found.mean_scores[row] == pytest.approx(np.mean(scores[inside]))
        assert found.share_right[row] == pytest.approx(np.mean(right[inside]))


def test_the_error_is_the_mean_distance_over_the_instances():
    yes, no = Outcome.TRUE_POSITIVE, Outcome.BACKGROUND
    found = reliability(judged([0.9, 0.9, 0.9, 0.3], [yes, yes, no, no]))
    assert found.expected_calibration_error == pytest.approx((3 * abs(0.9 - 2 / 3) + 0.3) / 4)
    right = reliability(judged([0.75] * 4, [yes, yes, yes, no]))
    assert right.expected_calibration_error == pytest.approx(0)


def test_halving_every_score_changes_the_error_but_not_the_average_precision(many):
    scores, right, _ = many.judgements()
    outcomes = [Outcome.TRUE_POSITIVE if hit else Outcome.BACKGROUND for hit in right]
    whole, half = judged(scores, outcomes), judged(scores / 2, outcomes)
    assert np.array_equal(whole.curve().precision, half.curve().precision)
    errors = [reliability(one).expected_calibration_error for one in (whole, half)]
    assert abs(errors[0] - errors[1]) > 0.1


def test_a_score_on_a_limit_belongs_to_the_bin_above_and_1_to_the_last():
    yes = Outcome.TRUE_POSITIVE
    assert reliability(judged([1.0, 0.5, 0.0], [yes] * 3), bins=4).counts.tolist() == [1, 0, 1, 1]


def test_the_interval_is_wilsons_and_within_0_and_1(many):
    found = reliability(many)
    for count, share, low, high in zip(found.counts, found.share_right, found.low, found.high, strict=True):
        # Its limits are where the normal approximation is 1.96 deviations off the observed share.
        for limit in (low, high):
            assert abs(share - limit) == pytest.approx(1.96 * np.sqrt(limit * (1 - limit) / count))
    certain = reliability(judged([0.95] * 3, [Outcome.TRUE_POSITIVE] * 3))
    assert 0 < certain.low[-1] < certain.high[-1] == 1


def test_instances_that_are_not_judged_and_other_categories_do_not_count(many):
    yes, none = Outcome.TRUE_POSITIVE, Outcome.NOT_JUDGED
    assert reliability(judged([0.9, 0.8], [yes, none])).counts.sum() == 1
    counts = [reliability(many, name).counts.sum() for name in CATEGORIES[1:]]
    assert sum(counts) == 500 and min(counts) > 100


def test_without_instances_there_is_no_error_and_the_figure_is_empty():
    found = reliability(judged([], []))
    assert isnan(found.expected_calibration_error) and np.isnan(found.share_right).all()
    assert "nan" in show_reliability(judged([], [])).axes[0].get_title()


def test_it_prints_a_row_per_bin_with_instances():
    yes, no = Outcome.TRUE_POSITIVE, Outcome.BACKGROUND
    lines = str(reliability(judged([0.97, 0.93, 0.12], [yes, no, no]))).splitlines()
    assert [line.split() for line in lines[1:3]] == [
        ["0.10", "to", "0.20", "1", "0.12", "0.00"],
        ["0.90", "to", "1.00", "2", "0.95", "0.50"],
    ]
    assert lines[-1] == "expected calibration error 0.340"


def test_the_figure_shows_shares_above_and_counts_below(many):
    found = reliability(many, bins=5)
    shares, counts = show_reliability(many, bins=5).axes
    heights = [[bar.get_height() for bar in axis.containers[0]] for axis in (shares, counts)]
    assert heights == [found.share_right.tolist(), found.counts.tolist()]
    assert shares.get_title() == (
        f"All categories: expected calibration error {found.expected_calibration_error:.3f}"
    )


def test_another_category_and_no_bins_are_refused(many):
    with pytest.raises(ValueError, match="category must be one of cat, dog, got 'cow'"):
        reliability(many, "cow")
    with pytest.raises(ValueError, match="bins must be a whole number of at least 1, got 0"):
        reliability(many, bins=0)
