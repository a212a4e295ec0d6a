"""The reference is a plain pycocotools script that reads files; curves and matrices are counted by hand."""

import contextlib
import io
import json
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from maskseg_nb.data.coco_writer import write_coco
from maskseg_nb.data.datasets import PictureList
from maskseg_nb.data.rle import encode_masks
from maskseg_nb.data.samples import voc_photograph
from maskseg_nb.data.shapes import CATEGORIES, ShapesDataset
from maskseg_nb.data.truth import Truth
from maskseg_nb.errors import DatasetError
from maskseg_nb.evaluation import detections as found_module
from maskseg_nb.evaluation.coco_metrics import METRICS
from maskseg_nb.evaluation.detections import DetectionsCache, EncodedDetections, picture_key
from maskseg_nb.evaluation.evaluate import evaluate
from maskseg_nb.models.loading import load_model
from maskseg_nb.models.street import street as build_street


@pytest.fixture(scope="module")
def photographs():
    """The VOC photograph whole, mirrored, and its left half: people to be found, real pixels."""
    image, truth = voc_photograph()[0]
    half = truth.masks[:, :, :250]
    kept = half.any(axis=(1, 2))
    return PictureList(
        [
            (image, truth),
            (
                np.ascontiguousarray(image[:, ::-1]),
                Truth.from_masks(
                    np.ascontiguousarray(truth.masks[:, :, ::-1]), truth.labels, truth.categories, image_id=7
                ),
            ),
            (
                np.ascontiguousarray(image[:, :250]),
                Truth.from_masks(
                    np.ascontiguousarray(half[kept]), truth.labels[kept], truth.categories, image_id=3
                ),
            ),
        ]
    )


def shapes(count=40, seed=3):
    """Shapes, every sixth of them declared a crowd, areas from COCO's small to its large."""
    pairs = []
    for size in ((96, 128), (400, 520)):
        for image, truth in ShapesDataset(count // 2, seed, size):
            truth.crowd[::6] = True
            pairs.append((image, Truth(**{**vars(truth), "image_id": len(pairs) + 100})))
    return PictureList(pairs)


def nearly_right(dataset, seed=0):
    """What a model might find that shifts masks, confuses categories, doubles some objects, misses others."""
    random = np.random.default_rng(seed)
    found = {}
    for image, truth in dataset:
        masks, labels = [], []
        for mask, label in zip(truth.masks, truth.labels, strict=True):
            for _ in range(int(random.integers(0, 3))):
                masks.append(np.roll(mask, random.integers(-9, 10, 2), axis=(0, 1)))
                labels.append(label if random.random() < 0.8 else random.integers(1, len(CATEGORIES)))
        stack = np.array(masks, bool).reshape(-1, *truth.image_size)
        made = Truth.from_masks(stack, labels, CATEGORIES)
        found[picture_key(image)] = EncodedDetections(
            made.boxes + random.normal(0, 1, made.boxes.shape),
            made.labels,
            np.sort(random.random(len(made)))[::-1],
            [{**rle, "counts": rle["counts"].decode()} for rle in encode_masks(made.masks)],
            picture_key(image),
        )
    return found


def guesses(monkeypatch, found):
    """A model in name only: what it finds is looked up; the pictures that it is shown are returned."""
    asked = []

    def predict(model, image, categories, mask_threshold):
        asked.append(picture_key(image))
        return found[picture_key(image)]

    monkeypatch.setattr(found_module.EncodedDetections, "predict", predict)
    return asked


@pytest.fixture
def guesser(monkeypatch):
    return partial(guesses, monkeypatch)


@pytest.fixture(scope="module")
def shape_model():
    model = build_street(len(CATEGORIES)).eval()
    model.categories = CATEGORIES
    return model


@pytest.fixture(scope="module")
def guessed(shape_model):
    """Forty pictures, and the evaluation of what was nearly right about them."""
    dataset = shapes()
    with pytest.MonkeyPatch.context() as patch:
        guesses(patch, nearly_right(dataset))
        return dataset, evaluate(shape_model, dataset, progress=False)


def plain_script(folder, results, kind, categories):
    """What a person with only pycocotools and the two files would write."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "instances.json"))
        program = COCOeval(truth, truth.loadRes(results), kind)
        program.params.catIds = categories
        program.evaluate()
        program.accumulate()
        program.summarize()
    return [np.nan if metric == -1 else metric for metric in program.stats.tolist()]


def as_results(evaluation, kind):
    """COCO's results format, through JSON."""
    rows = []
    for picture in evaluation.pictures:
        found = picture.detections
        for box, label, score, rle in zip(found.boxes, found.labels, found.scores, found.rles, strict=True):
            row = {"image_id": picture.image_id, "category_id": int(label), "score": float(score)}
            if kind == "segm":
                row["segmentation"] = rle
            else:
                row["bbox"] = [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]
            rows.append(row)
    return json.loads(json.dumps(rows))


def assert_same_as_the_plain_script(evaluation, dataset, folder):
    write_coco(dataset, folder)
    labels = [dataset.categories.index(name) for name in evaluation.judged]
    for kind, metrics in (("segm", evaluation.masks), ("bbox", evaluation.boxes)):
        expected = plain_script(folder, as_results(evaluation, kind), kind, labels)
        assert list(metrics) == list(METRICS)
        np.testing.assert_allclose(list(metrics.values()), expected, rtol=0, atol=1e-9)


# Against the plain script


@pytest.fixture(scope="module")
def evaluation(street, photographs):
    return evaluate(street, photographs, progress=False)


def test_the_twelve_metrics_on_photographs_are_those_of_the_plain_script(evaluation, photographs, tmp_path):
    assert 0.2 < evaluation.masks["AP50"] < 1
    assert evaluation.judged == ("bicycle", "car", "motorcycle", "person")
    assert_same_as_the_plain_script(evaluation, photographs, tmp_path / "coco")


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_the_twelve_metrics_with_crowds_and_every_size_are_those_of_the_plain_script(
    guesser, shape_model, tmp_path, seed
):
    dataset = shapes(seed=seed)
    guesser(nearly_right(dataset, seed))
    evaluation = evaluate(shape_model, dataset, progress=False)
    for metrics in (evaluation.masks, evaluation.boxes):
        assert 0 < min(metrics.values()) <= max(metrics.values()) < 1  # every one is put to the test
    assert_same_as_the_plain_script(evaluation, dataset, tmp_path / "coco")


@pytest.mark.slow
def test_average_precision_of_each_category_is_the_area_under_its_curve(guessed):
    _, evaluation = guessed
    for name, row in evaluation.per_category.items():
        assert evaluation.curve(name).average_precision == pytest.approx(row["AP50"], abs=1e-9)
    assert np.mean([row["AP50"] for row in evaluation.per_category.values()]) == pytest.approx(
        evaluation.masks["AP50"], abs=1e-9
    )


def test_the_ground_truth_given_as_the_prediction_scores_one(guesser, shape_model):
    dataset = ShapesDataset(12)
    guesser({picture_key(image): of_truth(image, truth) for image, truth in dataset})
    evaluation = evaluate(shape_model, dataset, progress=False)
    for metrics in (evaluation.masks, evaluation.boxes):
        assert all(metrics[name] == 1 for name in ("AP", "AP50", "AP75", "AR100"))
    assert not evaluation.worst()
    matrix = evaluation.confusion()
    assert matrix.sum() == np.trace(matrix) == sum(len(truth) for _, truth in dataset)


def of_truth(image, truth, score=0.9):
    return EncodedDetections(
        truth.boxes,
        truth.labels.copy(),
        np.full(len(truth), score),
        [{**rle, "counts": rle["counts"].decode()} for rle in encode_masks(truth.masks)],
        picture_key(image),
    )


# Curves, confusion, the worst


def test_confusion_counts_every_object_once_and_every_evaluated_instance_once(guessed):
    dataset, evaluation = guessed
    for threshold in (0.0, 0.3, 0.9):
        matrix = evaluation.confusion(threshold)
        objects, said = np.zeros(4, int), np.zeros(4, int)
        for picture, (_, truth) in zip(evaluation.pictures, dataset, strict=True):
            np.add.at(objects, truth.labels[~truth.crowd] - 1, 1)
            judged = np.array([str(outcome) != "not judged" for outcome in picture.match.outcomes], bool)
            sure = picture.detections.scores >= threshold
            np.add.at(said, picture.detections.labels[judged & sure] - 1, 1)
        assert matrix[:-1].sum(axis=1).tolist() == objects.tolist()
        assert matrix[:, :-1].sum(axis=0).tolist() == said.tolist()
        assert matrix[-1, -1] == 0


def test_confusion_says_what_was_confused_with_what(guesser, shape_model):
    image, truth = next(pair for pair in ShapesDataset(20) if len(set(pair[1].labels.tolist())) > 1)
    found = of_truth(image, truth)
    found.labels[0] = found.labels[0] % 4 + 1
    guesser({picture_key(image): found})
    matrix = evaluate(shape_model, PictureList([(image, truth)]), progress=False).confusion()
    assert matrix[truth.labels[0] - 1, found.labels[0] - 1] == 1
    assert matrix.sum() - np.trace(matrix) == 1


def test_the_worst_picture_comes_first(guessed):
    _, evaluation = guessed
    errors = [picture.errors(0.4) for picture in evaluation.worst(100, 0.4)]
    assert errors == sorted(errors, reverse=True) and errors[0] > errors[-1] > 0
    assert sum(errors) == sum(
        matrix_errors(evaluation_of_one(picture, evaluation), 0.4) for picture in evaluation.pictures
    )


def evaluation_of_one(picture, evaluation):
    return type(evaluation)(**{**vars(evaluation), "pictures": (picture,)})


def matrix_errors(evaluation, threshold):
    """False positives and false negatives, from the matrix: a confusion is one of each."""
    matrix = evaluation.confusion(threshold)
    off = matrix.copy()
    np.fill_diagonal(off, 0)
    return int(off.sum() + off[:-1, :-1].sum())


def test_a_category_that_was_not_evaluated_has_no_curve(evaluation):
    with pytest.raises(
        ValueError, match="category must be one of bicycle, car, motorcycle, person, got 'dog'"
    ):
        evaluation.curve("dog")


def test_its_text_has_the_twelve_metrics_and_every_category_that_occurs(evaluation):
    text = str(evaluation)
    assert all(name in text for name in (*METRICS, "person"))
    assert "motorcycle" not in text  # there is none in the photographs


# Kept results


@pytest.mark.slow
def test_an_interrupted_evaluation_resumes_where_it_stopped(guesser, shape_model, tmp_path, monkeypatch):
    dataset = shapes()
    answers = nearly_right(dataset)
    asked = guesser(answers)
    expected = evaluate(shape_model, dataset, progress=False)
    assert len(asked) == 40

    class Stops:
        categories = dataset.categories

        def __len__(self):
            return len(dataset)

        def __getitem__(self, index):
            if index == 17 and len(asked) == 17:  # not while it is looked through
                raise KeyboardInterrupt
            return dataset[index]

    asked = guesser(answers)
    with pytest.raises(KeyboardInterrupt):
        evaluate(shape_model, Stops(), cache=tmp_path, progress=False)
    assert len(asked) == 17
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(kept.read_bytes()[:-31])  # killed in the middle of a line
    asked = guesser(answers)
    resumed = evaluate(shape_model, dataset, cache=tmp_path, progress=False)
    assert len(asked) == 40 - 16
    asked = guesser(answers)
    again = evaluate(shape_model, dataset, cache=tmp_path, progress=False)
    assert asked == []
    assert expected.masks == resumed.masks == again.masks
    assert expected.boxes == resumed.boxes == again.boxes
    assert [p.match.outcomes for p in again.pictures] == [p.match.outcomes for p in expected.pictures]


@pytest.mark.slow
def test_another_model_knob_or_threshold_has_a_cache_of_its_own(street, photographs, tmp_path):
    def files(model, **options):
        evaluate(model, photographs, cache=tmp_path, progress=False, **options)
        return len(list(tmp_path.iterdir()))

    assert files(street) == files(street) == 1
    other = load_model("street")
    assert files(other) == 1
    assert files(other, mask_threshold=0.6) == 2
    other.roi_heads.score_thresh = 0.3
    assert files(other) == 3
    other = load_model("street")
    other.roi_heads.box_predictor.cls_score.bias.data[1] += 0.5
    assert files(other) == 4


def test_a_changed_picture_is_looked_at_again(guesser, shape_model, tmp_path):
    dataset = shapes(4)
    guesser(nearly_right(dataset))
    evaluate(shape_model, dataset, cache=tmp_path, progress=False)
    dataset[1][0][0, 0] ^= 1
    asked = guesser(nearly_right(dataset))
    evaluate(shape_model, dataset, cache=tmp_path, progress=False)
    assert asked == [picture_key(dataset[1][0])]


@pytest.mark.slow
def test_what_is_not_a_line_of_the_cache_is_passed_over_and_kept(guesser, shape_model, tmp_path):
    dataset = shapes(4)
    asked = guesser(nearly_right(dataset))
    expected = evaluate(shape_model, dataset, cache=tmp_path, progress=False)
    (kept,) = tmp_path.iterdir()
    whole = kept.read_bytes()
    first = whole.splitlines()[0]
    damaged = [
        {**json.loads(first), **change}
        for change in ({"labels": [1]}, {"scores": [10**400]}, {"rles": [5]}, {"boxes": 3}, {"rles": None})
    ]
    lines = [json.dumps(values).encode() for values in damaged]
    for foreign in (b"", b"\x00" * 900, b"[1, 2]", b"[" * 9000, *lines, first[:-40]):
        kept.write_bytes(foreign)
        del asked[:]
        assert evaluate(shape_model, dataset, cache=tmp_path, progress=False).masks == expected.masks
        assert len(asked) == 4 and kept.read_bytes() == foreign + (b"\n" if foreign else b"") + whole
        evaluate(shape_model, dataset, cache=tmp_path, progress=False)
        assert len(asked) == 4


APPEND = """
import sys
import numpy as np
from maskseg_nb.evaluation.detections import DetectionsCache, EncodedDetections
kept = DetectionsCache(sys.argv[1], "x")
print("open", flush=True)
for number in range(150):
    rles = [{"size": [100, 100], "counts": "a" * 400}] * 30
    name = f"{sys.argv[2]}{number}"
    kept.add(EncodedDetections(np.ones((30, 4)), np.ones(30, int), np.ones(30), rles, name))
"""


@pytest.mark.slow
def test_two_evaluations_that_write_and_one_that_opens_the_cache_lose_no_line(tmp_path):
    command = [sys.executable, "-c", APPEND, str(tmp_path)]
    writers = [subprocess.Popen([*command, name], stdout=subprocess.PIPE) for name in "ab"]
    for writer in writers:
        assert writer.stdout.readline() == b"open\n"
    while any(writer.poll() is None for writer in writers):
        DetectionsCache(tmp_path, "x")
    for writer in writers:
        assert writer.wait() == 0
        writer.stdout.close()
    pictures = {found.picture for found in DetectionsCache(tmp_path, "x").rows}
    assert pictures == {f"{name}{number}" for name in "ab" for number in range(150)}


def test_a_cache_that_cannot_be_written_is_one_clear_error(street, photographs, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(DatasetError, match="cannot be written: .*; make room, or give another folder"):
        evaluate(street, photographs, cache=tmp_path / "file", progress=False)


# Bad input


def test_an_empty_dataset_is_one_clear_error(street):
    with pytest.raises(DatasetError, match="no pictures"):
        evaluate(street, ShapesDataset(0), progress=False)


def test_no_shared_category_is_one_clear_error(street):
    with pytest.raises(
        DatasetError, match="circle, square, triangle, star.*person, bicycle, car, motorcycle"
    ):
        evaluate(street, ShapesDataset(2), progress=False)


def test_pictures_with_nothing_that_counts_are_one_clear_error(guesser, shape_model):
    dataset = shapes(4)
    for _, truth in dataset:
        truth.crowd[:] = True
    guesser(nearly_right(dataset))
    with pytest.raises(DatasetError, match="nothing in the dataset counts"):
        evaluate(shape_model, dataset, progress=False)


def test_two_pictures_with_one_number_are_one_clear_error(guesser, shape_model):
    image, truth = ShapesDataset(1)[0]
    guesser({picture_key(image): of_truth(image, truth)})
    with pytest.raises(DatasetError, match="2 pictures have the number 0; give each an image_id of its own"):
        evaluate(shape_model, PictureList([(image, truth)] * 2), progress=False)


def test_detections_on_a_picture_without_objects_are_false_positives(guesser, shape_model):
    image, truth = ShapesDataset(1)[0]
    bare = np.zeros_like(image)
    nobody = Truth.from_masks(np.zeros((0, *truth.image_size), bool), [], CATEGORIES, image_id=1)
    one = of_truth(image, truth)
    false = EncodedDetections(one.boxes, one.labels, one.scores + 0.05, one.rles, picture_key(bare))
    guesser({picture_key(image): one, picture_key(bare): false})
    dataset = PictureList([(image, truth), (bare, nobody)])
    evaluation = evaluate(shape_model, dataset, progress=False)
    assert evaluation.masks["AP50"] < 0.7
    assert [p.index for p in evaluation.worst()] == [1]
