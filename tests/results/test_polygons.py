"""Polygons against shapely, which tells what is valid, and against the mask that they are made of."""

import numpy as np
import pytest
import shapely
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from maskseg_nb import SAMPLES, predict, preprocess, sample_photo
from maskseg_nb.results.polygons import polygons, rings_without_holes

masks = arrays(bool, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))
every = settings(max_examples=300, deadline=None, derandomize=True, database=None)


def drawing(*rows):
    """A mask from lines of text, # inside."""
    return np.array([[letter == "#" for letter in row] for row in rows])


TOUCHING = {
    "two pixels at a corner": drawing("#.", ".#"),
    "a checkerboard": drawing("#.#.", ".#.#", "#.#.", ".#.#"),
    "four around nothing": drawing(".#.", "#.#", ".#."),
    "a bay that only a corner closes": drawing("###", "#.#", "##."),
    "a hole that touches the outline": drawing("####", "#.##", "##.#", "###."),
    "two holes at a corner": drawing("####", "#.##", "##.#", "####"),
    "an island in a hole": drawing("#####", "#...#", "#.#.#", "#...#", "#####"),
    "an island that touches at a corner": drawing("#####", "#...#", "#.#.#", "#..##", "#####"),
    "an island in an island": np.pad(np.pad(np.pad(np.ones((1, 1), bool), 1), 1, constant_values=True), 1),
    "one pixel": np.ones((1, 1), bool),
    "a line": np.ones((1, 7), bool),
    "a full picture": np.ones((20, 30), bool),
    "a frame": np.pad(np.zeros((5, 6), bool), 1, constant_values=True),
    "nothing": np.zeros((4, 5), bool),
    "not even a pixel": np.zeros((0, 0), bool),
}


def signed_area(ring):
    """By the shoelace formula: above 0 where it runs counter-clockwise, y up."""
    x, y = ring.T
    return (x * np.roll(y, -1) - y * np.roll(x, -1)).sum() / 2


def passes_each_point_once(ring):
    return len(ring) >= 4 and len(set(map(tuple, ring.tolist()))) == len(ring)


def must_be(mask, corner=(3, 5)):
    """Polygons, and rings without holes, at this corner: valid, and the mask exactly."""
    top, left = corner
    y, x = np.indices(mask.shape) + 0.5  # pixels' centres
    regions = polygons(mask, corner)
    shape = shapely.MultiPolygon([(region.outer, list(region.holes)) for region in regions])
    assert shape.is_valid, shapely.is_valid_reason(shape)
    assert shape.area == mask.sum()
    assert np.array_equal(shapely.contains_xy(shape, x + left, y + top), mask)
    for region in regions:
        assert signed_area(region.outer) > 0 and all(signed_area(hole) < 0 for hole in region.holes)
        for ring in (region.outer, *region.holes):
            assert ring.dtype == np.int64 and passes_each_point_once(ring)
            sides = np.abs(np.roll(ring, -1, axis=0) - ring)
            assert (sides.min(axis=1) == 0).all() and (sides.max(axis=1) > 0).all()  # along the pixels
    rings = rings_without_holes(mask, corner)
    assert all(passes_each_point_once(ring) and signed_area(ring) > 0 for ring in rings)
    parts = [shapely.Polygon(ring) for ring in rings]
    assert all(part.is_valid for part in parts)
    assert sum(part.area for part in parts) == shapely.union_all(parts).area == mask.sum()
    size = (mask.shape[0] + top, mask.shape[1] + left)
    assert np.array_equal(drawn(rings, size)[top:, left:], mask)


def drawn(rings, size):
    """By pycocotools."""
    if not rings:
        return np.zeros(size, bool)
    encoded = coco_mask.frPyObjects([ring.astype(float).ravel().tolist() for ring in rings], *size)
    return coco_mask.decode(coco_mask.merge(encoded)).astype(bool)


@every
@given(mask=masks)
@example(mask=TOUCHING["two holes at a corner"])
def test_any_mask_gives_valid_polygons_that_are_the_mask_exactly(mask):
    must_be(mask)


@pytest.mark.slow
@settings(every, max_examples=100)
@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.2, 0.95))
def test_larger_masks_full_of_touching_corners_and_holes_do_too(seed, share):
    must_be(np.random.default_rng(seed).random((19, 27)) < share)


@pytest.mark.parametrize("name", TOUCHING)
def test_each_way_to_touch_gives_valid_polygons(name):
    must_be(TOUCHING[name])


@pytest.mark.parametrize("name", SAMPLES)
def test_what_is_found_in_the_samples_gives_valid_polygons(street, name):
    tensor, _ = preprocess(sample_photo(name), size=(300, 300))
    prediction = predict(street, tensor)
    for mask_threshold in (0.3, 0.8):
        found = prediction.select(score_threshold=0.05, mask_threshold=mask_threshold)
        for crop, corner in zip(found.crops, found.corners.tolist(), strict=True):
            must_be(crop, tuple(corner))


def test_parts_that_touch_at_a_corner_are_two_polygons_and_a_closed_bay_is_a_hole():
    assert len(polygons(TOUCHING["two pixels at a corner"])) == 2
    (bay,) = polygons(TOUCHING["a bay that only a corner closes"])
    assert sorted(map(tuple, bay.holes[0].tolist())) == [(1, 1), (1, 2), (2, 1), (2, 2)]
    assert len(polygons(TOUCHING["an island in an island"])) == 2


def test_a_pixel_is_a_square_and_a_frame_has_a_hole():
    (pixel,) = polygons(np.ones((1, 1), bool), (5, 7))
    assert sorted(map(tuple, pixel.outer.tolist())) == [(7, 5), (7, 6), (8, 5), (8, 6)] and not pixel.holes
    frame = np.ones((5, 6), bool)
    frame[1:4, 1:5] = False
    (region,) = polygons(frame)
    assert len(region.outer) == 4 and len(region.holes) == 1
    assert sorted(map(tuple, region.holes[0].tolist())) == [(1, 1), (1, 4), (5, 1), (5, 4)]
    assert len(rings_without_holes(frame)) == 2  # cut at the hole's left edge
    assert polygons(np.zeros((3, 3), bool)) == rings_without_holes(np.zeros((3, 3), bool)) == []


@pytest.mark.slow
def test_a_sieve_of_many_holes_is_cut_without_running_out_of_stack():
    sieve = np.ones((5, 2001), bool)
    sieve[1::2, 1::2] = False
    rings = rings_without_holes(sieve)
    assert sum(map(signed_area, rings)) == sieve.sum()


def test_the_mask_stays_as_it_was():
    mask = TOUCHING["an island in a hole"].copy()
    polygons(mask), rings_without_holes(mask)
    assert np.array_equal(mask, TOUCHING["an island in a hole"])
