"""The references are pycocotools, NumPy's rank of the corners, and runs counted by hand.

What becomes of each kind of segmentation is tested with whole files, in the tests of datasets.
"""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from maskseg_nb.data.findings import Fault
from maskseg_nb.data.outlines import Outline, read_outline
from maskseg_nb.data.rle import decoded_runs


def by_hand(mask):
    """Run lengths, column by column, starting with the outside."""
    runs, inside = [0], False
    for value in mask.T.ravel():
        if value != inside:
            runs.append(0)
            inside = bool(value)
        runs[-1] += 1
    return runs


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 10**6))
def test_coded_runs_are_what_was_counted(height, width, share, seed):
    mask = np.random.default_rng(seed).random((height, width)) < share
    coded = coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"].decode()
    assert decoded_runs(coded).tolist() == by_hand(mask)


def test_long_runs_are_coded_in_several_letters():
    mask = np.zeros((5000, 5000), np.uint8, order="F")
    mask[1234, 2345] = mask[0, 4000] = mask[4999, 4999] = 1
    coded = coco_mask.encode(mask)["counts"].decode()
    first, second = 2345 * 5000 + 1234, 4000 * 5000
    last = 25_000_000 - 1
    assert decoded_runs(coded).tolist() == [first, 1, second - first - 1, 1, last - second - 1, 1]


@pytest.mark.parametrize("coded", ["", " ", "0o", "o", "p0", "/0", "\u00e9", "\ud800", "P" * 7 + "0", "0\n"])
def test_what_is_not_a_code_has_no_runs(coded):
    assert decoded_runs(coded) is None


@pytest.mark.parametrize("coded", ["0", "00O", "O0", "0000", "PPPPPP0"])
def test_runs_that_do_not_add_up_are_not_a_mask(coded):
    assert Outline(runs=coded).rle((60, 80)) is None


@settings(max_examples=80, deadline=None, derandomize=True, database=None)
@given(st.lists(st.tuples(st.floats(0, 80), st.floats(0, 60)), min_size=3, max_size=8))
def test_an_outline_has_no_area_where_all_corners_lie_on_one_line_and_only_there(corners):
    start = np.array(corners[0])
    offsets = np.array(corners) - start
    spread = np.linalg.svd(offsets, compute_uv=False)[1]
    outline = read_outline([[value for corner in corners for value in corner]], (60, 80))
    if spread == 0 and np.abs(offsets).max() > 1:
        assert outline in (Fault.NO_AREA, Fault.OUTSIDE)
    elif spread > 0.1 and np.abs(np.array(corners)).max() > 1:
        assert outline is not Fault.NO_AREA


@pytest.mark.parametrize("step", [(1.1, 0.7), (0, 1 / 3), (2 / 3, 0), (-0.1, 0.3)])
def test_corners_on_a_slanting_line_have_no_area_however_they_are_rounded(step):
    line = [value for n in range(9) for value in (30 + n * step[0], 20 + n * step[1])]
    assert read_outline([line], (60, 80)) is Fault.NO_AREA


def test_a_figure_of_eight_has_an_area():
    eight = [10, 10, 40, 40, 40, 10, 10, 40]  # as much to the left as to the right
    outline = read_outline([eight], (60, 80))
    assert coco_mask.decode(outline.rle((60, 80))).sum() > 300


def test_what_was_read_is_not_written_on():
    segmentation = [[10, 10, 40, 10, 40, 40], [1, 1], []]
    outline = read_outline(segmentation, (60, 80))
    outline.rle((60, 80))
    assert segmentation == [[10, 10, 40, 10, 40, 40], [1, 1], []] and outline.stray
