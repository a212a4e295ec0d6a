"""A mask is drawn on stored pixels and saved as a picture with an EXIF tag: Pillow's exif_transpose turns it,
and the outlines must turn as it does."""

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageOps

from maskseg_nb.data.coco import CocoDataset
from maskseg_nb.data.coco_pictures import Head, read_head
from maskseg_nb.data.coco_turns import turned_boxes, turned_masks
from maskseg_nb.errors import DatasetError, ImageError

ORIENTATION = 0x0112
POLYGON = [10, 5, 40, 5, 40, 20, 25, 20, 25, 44, 10, 44]  # an L, which looks different after every turn
TURNS = range(1, 9)


def exif(orientation):
    tags = Image.Exif()
    tags[ORIENTATION] = orientation
    return tags


def drawn(size=(80, 60)):
    """The L, white on black, on a picture of that width and height as it is stored."""
    image = Image.new("L", size)
    ImageDraw.Draw(image).polygon(POLYGON, fill=255)
    return image


def by_pillow(image, orientation):
    """What Pillow makes of the stored picture: bool (H, W)."""
    tagged = image.copy()
    tagged.getexif()[ORIENTATION] = orientation
    return np.asarray(ImageOps.exif_transpose(tagged)) > 127


def iou(one, other):
    return (one & other).sum() / (one | other).sum()


@pytest.fixture
def opened(tmp_path):
    """A dataset of turned pictures: (orientation, stored size, stated size) each, and one L on every one."""

    def open_it(*pictures, annotated=True, suffix="png", outlines=(), **options):
        images, annotations = [], []
        for number, (orientation, size, stated) in enumerate(pictures, 1):
            name = f"{number}.{suffix}"
            drawn(size).convert("RGB").save(tmp_path / name, exif=exif(orientation))
            images.append({"id": number, "file_name": name, "width": stated[0], "height": stated[1]})
            row = {"id": number, "image_id": number, "category_id": 1, "segmentation": [POLYGON]}
            annotations.append({**row, "bbox": [10, 5, 30, 39]})
            for other in outlines[number - 1 : number]:
                annotations.append({**row, "id": 100 + number, "segmentation": other})
        content = {
            "images": images,
            "annotations": annotations if annotated else [],
            "categories": [{"id": 1, "name": "L"}],
        }
        (tmp_path / "labels.json").write_text(json.dumps(content))
        return CocoDataset(tmp_path, tmp_path / "labels.json", **options)

    return open_it


@pytest.mark.parametrize("orientation", TURNS)
def test_masks_turn_as_pillow_turns_pictures(orientation):
    random = np.random.default_rng(0).random((3, 60, 80)) < 0.5
    turned = turned_masks(random, orientation)
    assert turned.flags.c_contiguous
    for mask, stored in zip(turned, random, strict=True):
        assert np.array_equal(mask, by_pillow(Image.fromarray(np.uint8(stored) * 255), orientation))


@pytest.mark.parametrize("orientation", TURNS)
def test_boxes_turn_with_their_masks(orientation):
    head = Head((60, 80), orientation)
    stored = np.array([[10, 5, 40, 45], [0, 0, 80, 60], [70.0, 1, 71, 2]])
    for box, turned in zip(stored.astype(int), turned_boxes(stored, head), strict=True):
        mask = np.zeros((60, 80), np.uint8)
        mask[box[1] : box[3], box[0] : box[2]] = 255
        rows, columns = np.nonzero(by_pillow(Image.fromarray(mask), orientation))
        assert turned.tolist() == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize("orientation", TURNS)
def test_a_files_header_tells_its_size_and_its_turn(tmp_path, suffix, orientation):
    drawn().convert("RGB").save(tmp_path / f"a.{suffix}", exif=exif(orientation))
    head = read_head(tmp_path / f"a.{suffix}")
    assert head == Head((60, 80), orientation)
    assert head.upright == by_pillow(drawn(), orientation).shape


def test_a_file_that_is_not_a_picture_is_an_image_error(tmp_path):
    for name, data in (("text.png", b"no picture"), ("empty.png", b"")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(ImageError, match=f"'{name}'"):
            read_head(tmp_path / name)
    with pytest.raises(ImageError, match="'none.png' cannot be opened: No such file"):
        read_head(tmp_path / "none.png")


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_outlines_on_stored_pixels_turn_with_the_photograph(opened, orientation):
    """Label Studio writes the stored size."""
    image, truth = opened((orientation, (80, 60), (80, 60)), strict=True)[0]
    expected = by_pillow(drawn(), orientation)
    assert np.array_equal(image[..., 0] > 127, expected)
    assert iou(truth.masks[0], expected) > 0.9  # Pillow draws the last pixel, too
    rows, columns = np.nonzero(truth.masks[0])
    assert truth.boxes[0] == pytest.approx(
        [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], abs=1
    )


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_outlines_on_the_upright_photograph_stay(opened, orientation):
    truth = opened((orientation, (60, 80), (80, 60)), strict=True).truth(0)
    assert iou(truth.masks[0], np.asarray(drawn()) > 127) > 0.9
    assert truth.boxes.tolist() == [[10, 5, 40, 44]]


def test_a_picture_that_nothing_turns_stays(opened):
    assert opened((1, (80, 60), (80, 60)), strict=True).truth(0).boxes.tolist() == [[10, 5, 40, 44]]


DOUBTFUL = [(orientation, (80, 60)) for orientation in (2, 3, 4)] + [
    (orientation, (70, 70)) for orientation in (2, 3, 4, 5, 6, 7, 8)
]


@pytest.mark.parametrize("orientation, size", DOUBTFUL)
def test_where_no_size_tells_outlines_lie_on_the_upright_picture_with_a_warning(opened, orientation, size):
    with pytest.warns(
        UserWarning, match="EXIF turn leaves outlines in doubt: 1 .first: image 1, '1.png'; taken as "
    ):
        dataset = opened((orientation, size, size))
    assert iou(dataset.truth(0).masks[0], np.asarray(drawn(size)) > 127) > 0.9
    with pytest.raises(DatasetError, match="EXIF turn leaves outlines in doubt: 1"):
        opened((orientation, size, size), strict=True)


@pytest.mark.parametrize("orientation, size", DOUBTFUL)
def test_where_no_size_tells_other_pictures_do(opened, orientation, size):
    """The same tool has shown them."""
    stored = opened((orientation, size, size), (6, (80, 60), (80, 60)), strict=True)
    image, truth = stored[0]
    assert iou(truth.masks[0], image[..., 0] > 127) > 0.9
    upright = opened((orientation, size, size), (6, (80, 60), (60, 80)), strict=True)
    assert iou(upright.truth(0).masks[0], np.asarray(drawn(size)) > 127) > 0.9
    with pytest.warns(UserWarning, match="EXIF turn leaves outlines in doubt: 1"):
        opened((orientation, size, size), (6, (80, 60), (60, 80)), (6, (80, 60), (80, 60)))


@pytest.mark.parametrize("stated", [(None, None), ("", 0)])
def test_where_no_size_is_stated_a_turned_picture_is_in_doubt(opened, stated):
    with pytest.warns(UserWarning, match="EXIF turn leaves outlines in doubt: 1"):
        opened((6, (80, 60), stated))


def test_one_side_that_is_stated_tells(opened):
    stored, upright = opened((6, (80, 60), (80, None)), (6, (80, 60), (60, None)), strict=True)
    assert stored[1].boxes.tolist() != upright[1].boxes.tolist() == [[10, 5, 40, 44]]


def test_a_turned_picture_without_outlines_is_no_doubt(opened):
    assert len(opened((3, (80, 60), (80, 60)), annotated=False, strict=True)) == 1


def test_a_turned_picture_of_another_size_says_exif(opened):
    with pytest.raises(
        DatasetError, match="81 x 60 stated, the file has 60 x 80, turned by EXIF orientation 6"
    ):
        opened((6, (80, 60), (81, 60)))


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tif"])
def test_every_format_with_exif_is_turned(opened, suffix):
    image, truth = opened((6, (80, 60), (80, 60)), suffix=suffix, strict=True)[0]
    assert iou(truth.masks[0], image[..., 0] > 127) > 0.9


LOW, WIDE = [[10, 50, 20, 50, 20, 78]], [[50, 10, 78, 10, 78, 20]]  # beyond 60 pixels of height, or of width
STORED, UPRIGHT = (6, (80, 60), (80, 60)), (6, (80, 60), (60, 80))


def on_upright(dataset, index=0):
    return dataset.truth(index).boxes[0].tolist() == [10, 5, 40, 44]


def test_outlines_that_only_the_upright_picture_holds_lie_on_it_whatever_the_size(opened):
    """labelme shows the upright picture; a converter that asks Pillow writes the stored size."""
    with pytest.warns(
        UserWarning, match="height and width swapped: 2 .first: image 1, '1.png'; EXIF turns them; tak"
    ):
        dataset = opened(STORED, STORED, (3, (80, 60), (80, 60)), outlines=[LOW])
    assert all(on_upright(dataset, index) for index in range(3))  # the others are by the same tool
    assert dataset.truth(0).masks[1][50:78].any()


def test_outlines_that_only_the_stored_pixels_hold_lie_on_them_where_no_size_is_stated(opened):
    dataset = opened((6, (80, 60), (None, None)), (8, (70, 70), (70, 70)), outlines=[WIDE], strict=True)
    assert not on_upright(dataset) and not on_upright(dataset, 1)


def test_run_lengths_tell_by_their_own_size(opened):
    for size, upright in (([60, 80], False), ([80, 60], True)):
        rle = {"size": size, "counts": [100, 50, 4650]}
        dataset = opened((6, (80, 60), (None, None)), outlines=[rle], strict=True)
        assert on_upright(dataset) == upright


def test_a_single_outline_that_slipped_does_not_outweigh_the_sizes(opened):
    dataset = opened(STORED, STORED, STORED, outlines=[LOW, WIDE, WIDE], strict=True)
    assert not any(on_upright(dataset, index) for index in range(3))
    nearly = [[10, 50, 20, 50, 20, 63]]
    assert not on_upright(opened(STORED, outlines=[nearly], strict=True))


def test_outlines_that_contradict_each_other_and_the_sizes_are_a_doubt(opened):
    pictures = [STORED, STORED, UPRIGHT, STORED]
    with pytest.warns(UserWarning, match="EXIF turn leaves outlines in doubt: 1 .first: image 4"):
        dataset = opened(*pictures, outlines=[LOW, LOW, WIDE])
    assert [on_upright(dataset, index) for index in range(4)] == [True, True, False, True]
