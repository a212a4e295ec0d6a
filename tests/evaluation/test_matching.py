"""The reference is pycocotools' own COCOeval; the named outcomes are seen on pictures made by hand."""

import contextlib
import io
import itertools
from dataclasses import replace

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskseg_nb.data.coco_writer import coco_annotations, coco_categories
from maskseg_nb.data.rle import encode_masks
from maskseg_nb.data.truth import Truth, boxes_of
from maskseg_nb.evaluation.matching import Match, Outcome, labels_by_name, match
from maskseg_nb.mask_rcnn.instances import Instances, instance_rles

CATEGORIES = ("__background__", "cat", "lamp", "sofa")
SIZE = (30, 40)


def rectangle(top, left, bottom, right):
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


def instances(masks, labels, categories=CATEGORIES, scores=None):
    """As `select` makes them: highest score first, each mask cut to its box."""
    boxes = boxes_of(np.array(masks, bool).reshape(-1, *SIZE))
    corners = boxes[:, 1::-1].astype(np.int64)
    crops = [
        m[int(y1) : int(y2), int(x1) : int(x2)] for m, (x1, y1, x2, y2) in zip(masks, boxes, strict=True)
    ]
    count = len(masks)
    return Instances(
        boxes=boxes.astype(np.float32),
        labels=np.array(labels, np.int64),
        scores=np.linspace(0.9, 0.1, count, dtype=np.float32) if scores is None else scores,
        crops=tuple(crops),
        corners=corners.reshape(-1, 2),
        indices=np.arange(count),
        image_size=SIZE,
        categories=categories,
    )


def truth_of(masks, labels, crowd=None, categories=CATEGORIES):
    truth = Truth.from_masks(np.array(masks, bool).reshape(-1, *SIZE), labels, categories)
    if crowd is not None:
        truth.crowd[:] = crowd
    return truth


LEFT, RIGHT, BELOW = rectangle(2, 2, 12, 12), rectangle(2, 20, 12, 36), rectangle(18, 2, 28, 30)


def outcomes(*arguments, **options):
    return list(match(*arguments, **options).outcomes)


# Each outcome, by hand


def test_the_same_mask_of_the_same_category_is_a_true_positive():
    found = match(instances([LEFT, BELOW], [1, 2]), truth_of([BELOW, LEFT], [2, 1]))
    assert found.outcomes == (Outcome.TRUE_POSITIVE,) * 2
    assert found.truth_index.tolist() == [1, 0]
    assert found.ious.tolist() == [1, 1]
    assert not found.missed.any() and found.counted.all()
    assert found.precision == found.recall == 1


def test_a_second_instance_on_a_taken_object_is_a_duplicate():
    found = match(instances([LEFT, LEFT], [1, 1]), truth_of([LEFT], [1]))
    assert list(found.outcomes) == ["true positive", "duplicate"]
    assert found.truth_index.tolist() == [0, 0]
    assert (found.false_positives, found.precision, found.recall) == (1, 0.5, 1)


def test_an_instance_on_an_object_of_another_category_is_a_wrong_category_and_the_object_is_missed():
    found = match(instances([LEFT], [2]), truth_of([LEFT], [1]))
    assert list(found.outcomes) == ["wrong category"]
    assert found.truth_index.tolist() == [0] and found.ious.tolist() == [1]
    assert found.missed.tolist() == [True]


def test_an_instance_on_nothing_is_background_and_tells_its_best_iou():
    shifted = np.roll(LEFT, 6, axis=1)  # 4 of 16 columns in common
    found = match(instances([shifted, RIGHT], [1, 1]), truth_of([LEFT, BELOW], [1, 2]))
    assert list(found.outcomes) == ["background"] * 2
    assert found.truth_index.tolist() == [-1, -1]
    assert found.ious.tolist() == [0.25, 0]
    assert found.missed.tolist() == [True, True]
    assert (found.precision, found.recall) == (0, 0)


def test_a_crowd_counts_neither_for_nor_against():
    inside = rectangle(4, 4, 8, 8)  # a small part of the crowd lies wholly in it
    found = match(instances([inside, RIGHT], [1, 1]), truth_of([LEFT, RIGHT], [1, 1], crowd=[True, False]))
    assert list(found.outcomes) == ["not judged", "true positive"]
    assert found.counted.tolist() == [False, True] and not found.missed.any()
    assert found.precision == found.recall == 1


def test_a_crowd_swallows_any_number_of_instances_and_an_object_is_taken_before_it():
    truth = truth_of([BELOW, LEFT], [1, 1], crowd=[True, False])
    parts = [rectangle(18, 2 + 5 * n, 28, 7 + 5 * n) for n in range(4)]
    assert outcomes(instances([*parts, LEFT], [1] * 5), truth) == ["not judged"] * 4 + ["true positive"]
    both = truth_of([LEFT, LEFT], [1, 1], crowd=[True, False])
    assert outcomes(instances([LEFT, LEFT], [1, 1]), both) == ["true positive", "not judged"]


def test_a_crowd_of_another_category_does_not_excuse():
    assert outcomes(instances([LEFT], [2]), truth_of([LEFT], [1], crowd=[True])) == ["background"]


def test_categories_that_only_one_side_knows_are_left_out():
    model = ("__background__", "lamp", "dog")
    truth = truth_of([LEFT, RIGHT], [1, 2])  # a cat and a lamp
    found = match(instances([BELOW, RIGHT, LEFT], [2, 1, 1], model), truth)
    assert list(found.outcomes) == ["not judged", "true positive", "wrong category"]
    assert found.counted.tolist() == [False, True]
    assert (found.precision, found.recall) == (0.5, 1)


def test_labels_go_by_name():
    own, others = ("__background__", "b", "c", "a"), ("__background__", "a", "b")
    assert labels_by_name(np.array([1, 2, 3, 1]), own, others).tolist() == [2, 0, 1, 2]


def test_the_higher_score_takes_the_object_though_the_other_fits_better():
    nearly = LEFT.copy()
    nearly[2:5, 2:12] = False
    found = match(instances([nearly, LEFT], [1, 1]), truth_of([LEFT], [1]))
    assert list(found.outcomes) == ["true positive", "duplicate"]
    assert found.ious.tolist() == pytest.approx([0.7, 1])


def test_boxes_can_match_where_masks_do_not():
    frame = LEFT.copy()
    frame[3:11, 3:11] = False
    kinds = [outcomes(instances([frame], [1]), truth_of([LEFT], [1]), kind=kind) for kind in ("mask", "box")]
    assert kinds == [["background"], ["true positive"]]


@pytest.mark.parametrize(
    "iou, expected", [(0.69, "true positive"), (0.7, "true positive"), (0.71, "background")]
)
def test_an_iou_equal_to_the_threshold_counts_as_found(iou, expected):
    nearly = LEFT.copy()
    nearly[2:5, 2:12] = False
    assert outcomes(instances([nearly], [1]), truth_of([LEFT], [1]), iou) == [expected]


def test_nothing_found_and_nothing_there():
    none, nobody = instances([], []), truth_of([], [])
    assert np.isnan([match(none, nobody).precision, match(none, nobody).recall]).all()
    assert match(none, truth_of([LEFT], [1])).missed.tolist() == [True]
    assert np.isnan(match(none, truth_of([LEFT], [1])).precision)
    assert outcomes(instances([LEFT], [1]), nobody) == ["background"]


def test_a_raised_threshold_changes_nothing_for_those_that_stay():
    random = np.random.default_rng(4)
    all_of_them, truth = random_instances(random, 12), random_truth(random, 5)
    whole = match(all_of_them, truth)
    for count in range(12):
        rows = ("boxes", "labels", "scores", "crops", "corners", "indices")
        few = replace(all_of_them, **{name: getattr(all_of_them, name)[:count] for name in rows})
        part = match(few, truth)
        assert part.outcomes == whole.outcomes[:count]
        assert part.truth_index.tolist() == whole.truth_index[:count].tolist()


# Against pycocotools


def random_instances(random, count):
    masks = [random_rectangle(random) for _ in range(count)]
    scores = np.sort(random.random(count).astype(np.float32))[::-1]
    return instances(masks, random.integers(1, 3, count), scores=scores)


def random_rectangle(random):
    """Few places and sizes, so that many overlap well and some are equal."""
    top, left = (int(n) * 4 for n in random.integers(0, 2, 2))
    height, width = (int(n) * 3 for n in random.integers(3, 5, 2))
    mask = rectangle(top, left, top + height, left + width)
    mask[top, left : left + int(random.integers(0, 4) == 0)] = False
    return mask


def random_truth(random, count):
    masks = [random_rectangle(random) for _ in range(count)]
    return truth_of(masks, random.integers(1, 3, count), crowd=random.random(count) < 0.25)


def as_pycocotools_sees_it(found, truth, iou, kind):
    """Row of the instance -> (id of its match or 0, whether it is ignored); and the missed ids."""
    images = [{"id": 0, "height": SIZE[0], "width": SIZE[1]}]
    objects = [{"id": n, "image_id": 0, **row} for n, row in enumerate(coco_annotations(truth), 1)]
    results = []
    for row, (box, label, score) in enumerate(zip(found.boxes, found.labels, found.scores, strict=True)):
        x1, y1, x2, y2 = box.tolist()
        mask = encode_masks(found.masks[row : row + 1])[0]
        results.append(
            {
                "image_id": 0,
                "category_id": int(label),
                "score": float(score),
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "segmentation": mask,
                "area": float(found.masks[row].sum()),
                "id": row + 1,
                "iscrowd": 0,
            }
        )
    sides = []
    with contextlib.redirect_stdout(io.StringIO()):
        for rows in (objects, results):
            side = COCO()
            side.dataset = {"images": images, "annotations": rows, "categories": coco_categories(CATEGORIES)}
            side.createIndex()
            sides.append(side)
        program = COCOeval(*sides, {"mask": "segm", "box": "bbox"}[kind])
        program.params.iouThrs = np.array([iou])
        program.params.areaRng, program.params.areaRngLbl = [[0, 1e10]], ["all"]
        program.evaluate()
    matched, missed = {}, set()
    for part in filter(None, program.evalImgs):
        for row, to, ignored in zip(part["dtIds"], part["dtMatches"][0], part["dtIgnore"][0], strict=True):
            matched[row - 1] = (int(to), bool(ignored))
        for own, by, ignored in zip(part["gtIds"], part["gtMatches"][0], part["gtIgnore"], strict=True):
            if not by and not ignored:
                missed.add(own)
    return matched, missed


@pytest.mark.parametrize("kind", ["mask", "box"])
@pytest.mark.parametrize("iou", [0.3, 0.5, 0.75, 1.0])
def test_two_hundred_random_images_are_matched_as_pycocotools_matches_them(kind, iou):
    random = np.random.default_rng(int(iou * 100))
    seen = []
    for _ in range(200):
        found, truth = (
            random_instances(random, int(random.integers(0, 9))),
            random_truth(random, int(random.integers(0, 6))),
        )
        ours = match(found, truth, iou, kind=kind)
        matched, missed = as_pycocotools_sees_it(found, truth, iou, kind)
        assert set(np.flatnonzero(ours.missed) + 1) == missed
        for row, outcome in enumerate(ours.outcomes):
            to, ignored = matched.get(row, (0, False))
            assert (outcome is Outcome.NOT_JUDGED) == ignored
            assert (outcome is Outcome.TRUE_POSITIVE) == (bool(to) and not ignored)
            if outcome is Outcome.TRUE_POSITIVE:
                assert ours.truth_index[row] + 1 == to
        seen += ours.outcomes
    assert set(seen) == set(Outcome)  # so that each was put to the test


def test_counts_add_up():
    random = np.random.default_rng(1)
    for _ in range(50):
        found, truth = random_instances(random, 8), random_truth(random, 5)
        ours = match(found, truth)
        right = ours.count(Outcome.TRUE_POSITIVE)
        assert right + ours.false_positives + ours.count(Outcome.NOT_JUDGED) == len(found)
        assert right + ours.missed.sum() == ours.counted.sum() == (~truth.crowd).sum()


def test_run_lengths_of_instances_are_those_of_their_full_masks(prediction):
    found = prediction.select(score_threshold=0.0)
    assert instance_rles(found) == encode_masks(found.masks)


# Wrong use


@pytest.mark.parametrize("iou", [0, 0.0, -0.1, 1.1, float("nan")])
def test_an_iou_out_of_range_is_a_value_error(iou):
    with pytest.raises(ValueError, match="iou must be"):
        match(instances([], []), truth_of([], []), iou)


def test_an_iou_that_is_not_a_number_is_a_type_error():
    with pytest.raises(TypeError, match="iou must be"):
        match(instances([], []), truth_of([], []), "0.5")


def test_an_unknown_kind_is_a_value_error():
    with pytest.raises(ValueError, match="kind must be one of mask, box, got 'bax'"):
        match(instances([], []), truth_of([], []), kind="bax")


def test_another_pictures_ground_truth_is_a_value_error():
    other = Truth.from_masks(np.ones((1, 8, 9), bool), [1], CATEGORIES)
    with pytest.raises(ValueError, match=r"predict on the image that the ground truth belongs to"):
        match(instances([], []), other)


def test_outcomes_are_all_different_text():
    assert all(a != b for a, b in itertools.combinations(map(str, Outcome), 2))
    assert isinstance(match(instances([], []), truth_of([], [])), Match)
