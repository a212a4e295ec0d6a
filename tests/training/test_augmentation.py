"""References: the dataset's own pixels where nothing is changed, torchvision's boxes, and colours that tell
to which picture and instance each pixel belongs."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torchvision.ops import masks_to_boxes

from maskseg_nb.data.datasets import PictureList
from maskseg_nb.data.shapes import ShapesDataset
from maskseg_nb.data.truth import PER_INSTANCE, Truth
from maskseg_nb.training.augmentation import GREY, Augmentation, TrainingPictures, without_crowds
from maskseg_nb.training.partial_labels import PartialTruth
from maskseg_nb.training.sampling import repeat_factors, seeded

SIZE = (96, 128)
NAMES = ("__background__", "red", "green", "blue", "white")


def painted(count=4, crowd=False):
    """Picture n holds rectangles of colour n on black: a pixel tells whether it is inside, and of what."""
    pairs = []
    for number in range(1, count + 1):
        image, masks = np.zeros((*SIZE, 3), np.uint8), np.zeros((3, *SIZE), bool)
        for row, (top, left) in enumerate(((5, 5), (50, 30), (20, 80))):
            masks[row, top : top + 30, left : left + 24] = True
        image[masks.any(axis=0)] = color(number)
        truth = Truth.from_masks(masks, [number] * 3, NAMES, image_id=number)
        truth.crowd[2] = crowd
        pairs.append((image, truth))
    return PictureList(pairs)


def color(label):
    return {1: (200, 0, 0), 2: (0, 200, 0), 3: (0, 0, 200), 4: (200, 200, 200)}[label]


def pictures(dataset=None, augmentation=None, sizes=(SIZE,), batch_size=2, seed=0, **options):
    return TrainingPictures(
        dataset or painted(), sizes, augmentation or Augmentation(color=0), batch_size, seed, **options
    )


def is_valid(picture, target, size=SIZE):
    assert picture.dtype == torch.float32 and picture.shape == (3, *size)
    assert 0 <= picture.min() and picture.max() <= 1
    count = len(target["labels"])
    assert target["boxes"].shape == (count, 4) and target["boxes"].dtype == torch.float32
    assert target["masks"].shape == (count, *size) and target["masks"].dtype == torch.uint8
    assert target["labels"].dtype == torch.int64
    if count:
        assert torch.equal(target["boxes"], masks_to_boxes(target["masks"]) + torch.tensor([0, 0, 1, 1]))
        assert target["masks"].flatten(1).sum(1).min() >= 16


def test_without_augmentation_a_picture_is_the_datasets_own():
    dataset = painted()
    for index in range(8):
        picture, target = pictures(dataset, Augmentation.none())[index]
        is_valid(picture, target)
        image, truth = dataset[int(target["labels"][0]) - 1]
        assert np.array_equal((picture * 255).round().byte().permute(1, 2, 0).numpy(), image)
        assert np.array_equal(target["masks"].numpy().astype(bool), truth.masks)
        assert np.array_equal(target["boxes"].numpy(), truth.boxes)


@pytest.mark.parametrize("paste", [0.0, 1.0])
@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_masks_stay_on_what_they_belong_to(mosaic, paste):
    augmentation = Augmentation(mosaic=mosaic, paste=paste, color=0)
    source, seen = pictures(augmentation=augmentation), 0
    for index in range(40):
        picture, target = source[index]
        is_valid(picture, target)
        for mask, label in zip(target["masks"].bool(), target["labels"].tolist(), strict=True):
            own = torch.tensor(color(label))[:, None] / 255
            around = F.pad(1.0 - mask[None].float(), (2, 2, 2, 2), value=1.0)
            inner = ~F.max_pool2d(around, 5, 1)[0].bool()
            assert ((picture[:, inner] - own).abs() < 0.05).all()  # its edges are blended
            seen += bool(inner.any())
        assert target["masks"].sum(0).max() <= 1  # what is pasted over is hidden
        bright = picture.amax(0) > 0.7
        assert (target["masks"].amax(0)[bright] == 1).float().mean() > 0.95  # nothing visible is forgotten
    assert seen > 60


def test_a_mosaic_shows_more_than_one_picture_and_a_crop_does_not():
    def kinds(**options):
        source = pictures(augmentation=Augmentation(paste=0, color=0, **options))
        return [len(set(source[index][1]["labels"].tolist())) for index in range(30)]

    assert max(kinds(mosaic=0.0)) == 1
    assert np.mean([kind > 1 for kind in kinds(mosaic=1.0)]) > 0.7


def test_pasting_brings_instances_of_other_pictures():
    def shares(paste):
        source = pictures(augmentation=Augmentation(mosaic=0, paste=paste, color=0))
        return np.mean([len(set(source[index][1]["labels"].tolist())) > 1 for index in range(60)])

    assert shares(0.0) == 0
    assert shares(1.0) > 0.5


def test_flips_are_as_frequent_as_asked():
    def left_halves(flip):
        augmentation = Augmentation((1.0, 1.0), (0.5, 2.0), flip, 0, 0, 0)
        source = pictures(painted(1), augmentation)
        image = torch.from_numpy(painted(1)[0][0]).permute(2, 0, 1)
        same = [torch.equal((source[i][0] * 255).round().byte(), image) for i in range(60)]
        return np.mean(same)

    assert left_halves(0.0) == 1
    assert left_halves(1.0) == 0
    assert 0.25 < left_halves(0.5) < 0.75


def test_light_changes_pixels_and_not_masks():
    plain, lit = (pictures(augmentation=Augmentation(color=color)) for color in (0, 0.4))
    for index in range(5):
        (before, target), (after, other) = plain[index], lit[index]
        assert not torch.equal(before, after)
        assert torch.equal(target["masks"], other["masks"])


@pytest.mark.slow
def test_the_same_index_is_the_same_picture_and_another_is_another():
    first, again = pictures(ShapesDataset(20)), pictures(ShapesDataset(20))
    other = pictures(ShapesDataset(20), seed=1)
    for index in (5, 0, 3):  # in any order
        assert torch.equal(first[index][0], again[index][0])
        assert torch.equal(first[index][1]["masks"], again[index][1]["masks"])
        assert not torch.equal(first[index][0], first[index + 1][0])
        assert not torch.equal(first[index][0], other[index][0])


def test_all_pictures_of_a_batch_have_one_size_and_every_size_occurs():
    sizes = ((64, 96), (96, 96), (96, 64))
    source = pictures(sizes=sizes, batch_size=3)
    shapes = [tuple(source[index][0].shape[1:]) for index in range(60)]
    assert all(len(set(shapes[n : n + 3])) == 1 for n in range(0, 60, 3))
    assert set(shapes) == set(sizes)


def test_weights_decide_how_often_a_picture_is_drawn():
    source = pictures(augmentation=Augmentation.none(), weights=np.array([0, 3, 1, 0]))
    labels = [int(source[index][1]["labels"][0]) for index in range(200)]
    assert set(labels) == {2, 3}
    assert 0.65 < np.mean(np.array(labels) == 2) < 0.85


def test_crowds_are_painted_grey_and_not_learned():
    image, truth = painted(1, crowd=True)[0]
    hidden = without_crowds(image, truth)
    assert (hidden[truth.masks[2]] == GREY).all()
    assert np.array_equal(hidden[~truth.masks[2]], image[~truth.masks[2]])
    overlapping = Truth(**{**vars(truth), "masks": np.ones_like(truth.masks)})
    assert np.array_equal(without_crowds(image, overlapping), image)
    _, target = pictures(painted(1, crowd=True), Augmentation.none())[0]
    assert len(target["labels"]) == 2
    alone = painted(1)[0][0]
    assert np.array_equal(without_crowds(alone, painted(1)[0][1]), alone)


def test_the_datasets_pictures_are_not_written_on():
    dataset = painted(crowd=True)
    before = [image.copy() for image, _ in dataset]
    source = pictures(dataset, Augmentation(paste=1, mosaic=0.5))
    for index in range(20):
        source[index]
    assert all(np.array_equal(image, old) for (image, _), old in zip(dataset, before, strict=True))


def test_instances_of_a_few_pixels_are_left_out():
    masks = np.zeros((3, *SIZE), bool)
    masks[0, 5, 5] = masks[1, 10:15, 10:15] = masks[2, 40, 10:60] = True  # a dot, a patch, a line
    dataset = PictureList([(np.zeros((*SIZE, 3), np.uint8), Truth.from_masks(masks, [1, 2, 3], NAMES))])
    _, target = pictures(dataset, Augmentation.none())[0]
    assert target["labels"].tolist() == [2]


def test_a_picture_without_instances_has_an_empty_target():
    nobody = Truth.from_masks(np.zeros((0, *SIZE), bool), [], NAMES)
    dataset = PictureList([(np.full((*SIZE, 3), 9, np.uint8), nobody)])
    for augmentation in (Augmentation.none(), Augmentation(mosaic=1, paste=1)):
        picture, target = pictures(dataset, augmentation)[0]
        is_valid(picture, target)
        assert len(target["labels"]) == 0


def test_rare_categories_are_drawn_more_often():
    labels = [np.array(row, np.int64) for row in ([1], [1, 1], [1], [1, 2], [1], [1], [1], [])]
    factors = repeat_factors(labels, rare=0.5, empty=0.25)
    assert factors.tolist() == pytest.approx([1, 1, 1, 2, 1, 1, 1, 0.25])  # 2 is in 1 of 8: sqrt(0.5 / 0.125)


def test_the_generator_is_put_back_after_seeded():
    torch.manual_seed(5)
    expected = [torch.rand(()) for _ in range(2)]
    torch.manual_seed(5)
    first = torch.rand(())
    with seeded(1, 2):
        inside = torch.rand(())
    assert [first, torch.rand(())] == expected
    with seeded(1, 2):
        assert torch.rand(()) == inside
    with seeded(2, 1):
        assert torch.rand(()) != inside


# Pictures that are labelled in part


def partly_known(count=4):
    """`painted`, with the second rectangle of each picture as a doubt, and one about the whole picture."""
    pairs = []
    for number, (image, truth) in enumerate(painted(count), 1):
        doubted = np.zeros((2, len(NAMES)), bool)
        doubted[0, number] = doubted[1, 1:] = True
        doubts = np.array([truth.boxes[1], [0, 0, SIZE[1], SIZE[0]]])
        rows = {name: getattr(truth, name)[[0, 2]] for name in PER_INSTANCE}
        known = PartialTruth(
            **rows,
            categories=NAMES,
            image_id=number,
            trust=np.array([1, 0.5]),
            doubts=doubts,
            doubted=doubted,
            limits=np.array([np.inf, 40.0]),
        )
        pairs.append((image, known))
    return PictureList(pairs)


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_doubts_stay_on_what_they_are_about(mosaic):
    source, seen = pictures(partly_known(), Augmentation(mosaic=mosaic, paste=0, color=0)), 0
    for index in range(40):
        picture, target = source[index]
        whole = target["limits"].isfinite()
        assert target["doubted"].shape == (len(target["doubts"]), len(NAMES))
        assert int(whole.sum()) == (4 if mosaic else 1)  # of each part one
        for box, row in zip(target["doubts"][~whole], target["doubted"][~whole], strict=True):
            (label,) = torch.where(row)[0].tolist()
            left, top, right, bottom = (box + torch.tensor([2.0, 2, -2, -2])).round().int().tolist()
            inside = picture[:, top:bottom, left:right]  # its rectangle was all of one colour
            assert ((inside - torch.tensor(color(label))[:, None, None] / 255).abs() < 0.05).all()
            seen += inside.numel() > 0
        areas = (target["doubts"][whole, 2:] - target["doubts"][whole, :2]).prod(dim=1)
        assert areas.sum() == pytest.approx(SIZE[0] * SIZE[1], rel=1e-3)  # together the whole picture
    assert seen > 15


def test_how_small_an_object_may_be_is_scaled_with_the_picture():
    doubled = (2 * SIZE[0], 2 * SIZE[1])
    for size, expected in ((SIZE, 40), (doubled, 80)):
        _, target = pictures(partly_known(), Augmentation.none(), sizes=(size,))[0]
        assert target["limits"].tolist() == [np.inf, expected]
    cut = Augmentation(area=(0.25, 0.25), aspect=(4 / 3, 4 / 3), mosaic=0, paste=0)
    limits = [pictures(partly_known(), cut)[index][1]["limits"][-1] for index in range(10)]
    assert limits == pytest.approx([80] * 10, rel=0.03)  # a quarter of the picture, at twice the scale


@pytest.mark.slow
def test_trust_stays_with_its_instance_and_only_outlines_are_pasted():
    for paste in (0.0, 1.0):
        source = pictures(partly_known(), Augmentation(mosaic=0, paste=paste, color=0))
        trust = [source[index][1].get("trust", torch.ones(0)) for index in range(60)]
        assert all(len(row) in (0, len(source[index][1]["labels"])) for index, row in enumerate(trust))
        halves = [int((row == 0.5).sum()) for row in trust]
        assert max(halves) == 1  # the picture's own; never one of another
    _, target = pictures(partly_known(), Augmentation.none())[0]
    assert target["trust"].tolist() == [1, 0.5]


def test_ground_truth_without_doubts_gives_what_torchvision_trains_on_and_no_more():
    _, target = pictures()[0]
    assert list(target) == ["boxes", "labels", "masks"]
