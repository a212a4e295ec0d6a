"""The strip of small pictures: what each frame says, what it shows, and how far it goes."""

import re
from dataclasses import replace

import cv2
import numpy as np
import pytest

from maskseg_nb import preprocess, sample_photo, trace
from maskseg_nb.drawing.boxes import DARK
from maskseg_nb.drawing.colors import category_color
from maskseg_nb.drawing.crop import Crop
from maskseg_nb.drawing.film_strip import FRAMES, TILE, film
from maskseg_nb.drawing.panels import FOLLOWED, RIVAL
from maskseg_nb.mask_rcnn.follow import follow, lost
from maskseg_nb.mask_rcnn.outcomes import OVER_LIMIT, SUPPRESSED
from street_levels import PROPOSALS

BLUE = (0, 150, 255)  # before


@pytest.fixture(scope="module")
def image(restaurant):
    return restaurant[1]


@pytest.fixture(scope="module")
def kept(street_trace):
    return follow(street_trace, detection=1)


@pytest.fixture(scope="module")
def suppressed(street_trace):
    """A box that a detection suppressed."""
    anchor, label = lost(street_trace)[0]
    journey = follow(street_trace, anchor=anchor, label=label)
    assert journey.detection.verdict.rival and not journey.mask
    return journey


@pytest.fixture(scope="module")
def dropped(street_trace):
    """A box lost in the region proposal network: suppressed by a proposal that was kept."""
    proposals = street_trace.proposals
    for anchor in proposals.candidates[proposals.outcomes == SUPPRESSED].tolist():
        journey = follow(street_trace, anchor=anchor)
        if journey.proposal.verdict.rival.row is not None:
            return journey


@pytest.fixture
def journeys(street_trace, kept, suppressed, dropped):
    """How the journey ended -> how many frames it reached, and the journey."""
    over = street_trace.proposals.candidates[street_trace.proposals.outcomes == OVER_LIMIT][0]
    never = np.setdiff1d(np.arange(5000), street_trace.proposals.candidates)[0]
    return {
        "kept": (6, kept),
        "suppressed": (4, suppressed),
        "dropped": (2, dropped),
        "over the limit": (2, follow(street_trace, anchor=int(over))),
        "never a candidate": (2, follow(street_trace, anchor=int(never))),
    }


def share(frame, color):
    return (frame.picture == color).all(axis=-1).mean()


@pytest.mark.parametrize("how", ["kept", "suppressed", "dropped", "over the limit", "never a candidate"])
def test_a_film_has_six_frames_and_is_dark_where_the_box_never_came(image, journeys, how):
    reached, journey = journeys[how]
    before = image.copy()
    frames = film(image, journey)
    np.testing.assert_array_equal(image, before)
    assert tuple(frame.title for frame in frames) == FRAMES and len(frames) == 6
    for number, frame in enumerate(frames):
        assert (frame.picture.shape, frame.picture.dtype) == ((TILE, TILE, 3), np.uint8)
        assert (share(frame, DARK) == 1) == (number >= reached)
        assert (frame.lines == ("not reached",)) == (number >= reached)


def test_the_lines_under_the_frames_are_the_journeys_own_numbers(image, street_trace, kept):
    start, found = kept.anchor, kept.detection
    row, column = start.cell
    names = street_trace.prediction.categories
    score = street_trace.prediction.scores[1]
    assert [frame.lines for frame in film(image, kept, 0.3)] == [
        (
            f"{start.level_name}: row {row}, column {column}",
            f"{start.side:.0f} px, height / width {start.ratio:.1f}",
        ),
        (
            f"objectness {start.objectness:.3f}: rank {start.rank} of {start.level_name}",
            f"kept: proposal #{kept.proposal.verdict.row + 1} of {PROPOSALS}",
        ),
        (f"read from {found.level_name}", "96 channels of 7 x 7, their mean strength"),
        (
            f"{names[found.label]} {score:.3f}, refined",
            f"kept: detection #2 of {len(street_trace.prediction)}",
        ),
        (f"read from {kept.mask.level_name}", "28 x 28 probabilities"),
        ("stretched over the box", "line: probability 0.30"),
    ]


def test_the_lines_under_a_lost_box_say_what_dropped_it(image, suppressed, dropped):
    assert re.fullmatch(
        r"suppressed by detection #\d+, IoU 0\.\d+ > 0\.50", film(image, suppressed)[3].lines[1]
    )
    assert re.fullmatch(r"suppressed by proposal #\d+, IoU 0\.\d+ > 0\.70", film(image, dropped)[1].lines[1])


def crop_of(image, journey, *rivals):
    """The part of the picture around everything that is drawn of a journey."""
    boxes = [journey.anchor.box, journey.proposal.box, *(rival.box for rival in rivals)]
    boxes += [journey.detection.box] if journey.detection else []
    around = np.concatenate([np.min(boxes, axis=0)[:2], np.max(boxes, axis=0)[2:]])
    return Crop.around(image, around, (TILE, TILE), margin=0.08)


def drawn_along(frame, crop, box):
    """The share of the box's outline, as far as it lies in the frame, that was drawn upon the photograph."""
    left, top, right, bottom = np.rint(crop.boxes(box)[0]).astype(int).tolist()
    along = cv2.rectangle(np.zeros((TILE, TILE), np.uint8), (left, top), (right, bottom), 1, 1).astype(bool)
    assert along.sum() > 50
    return (frame.picture != crop.image).any(axis=-1)[along].mean()


def test_each_box_is_drawn_where_it_lies_in_the_crop(image, kept):
    crop = crop_of(image, kept)
    frames = film(image, kept)
    drawn = [kept.anchor.box], [kept.anchor.box, kept.proposal.box], [kept.proposal.box, kept.detection.box]
    for frame, boxes in zip((frames[0], frames[1], frames[3]), drawn, strict=True):
        near = np.zeros((TILE, TILE), np.uint8)
        for box in boxes:
            assert drawn_along(frame, crop, box) > 0.7
            corners = np.rint(crop.boxes(box)[0]).astype(int).tolist()
            cv2.rectangle(near, corners[:2], corners[2:], 1, 7)
        assert not ((frame.picture != crop.image).any(axis=-1) & (near == 0)).any()
    assert share(frames[0], BLUE) > 0.001 and share(frames[0], FOLLOWED) == 0
    assert share(frames[1], BLUE) > 0.001 and share(frames[1], FOLLOWED) > 0.001
    assert share(frames[3], category_color(kept.detection.label)) > 0.001


def test_the_rival_is_drawn_where_it_suppressed_the_box(image, suppressed, dropped):
    for journey, number, step in ((suppressed, 3, suppressed.detection), (dropped, 1, dropped.proposal)):
        frames = film(image, journey)
        crop = crop_of(image, journey, step.verdict.rival)
        assert drawn_along(frames[number], crop, step.verdict.rival.box) > 0.9  # solid
        for other, frame in enumerate(frames):
            assert (share(frame, RIVAL) > 0.005) == (other == number)


def test_no_rival_is_drawn_of_a_box_that_nothing_suppressed(image, journeys):
    for how in ("kept", "over the limit", "never a candidate"):
        assert not any(share(frame, RIVAL) for frame in film(image, journeys[how][1]))


def test_roialign_is_shown_cell_by_cell_by_its_mean_strength(image, kept):
    strength = np.abs(kept.detection.features).mean(axis=0)
    frame = film(image, kept)[2].picture
    middles = ((np.arange(7) + 0.5) * TILE / 7).astype(int)
    cells = frame[np.ix_(middles, middles)].astype(int)
    brightness = cells.sum(axis=-1).ravel()  # inferno grows ever brighter
    assert (np.diff(brightness[strength.ravel().argsort()]) >= 0).all()
    assert tuple(cells.reshape(-1, 3)[strength.argmax()]) == (252, 255, 164)  # its last colour


def test_the_mask_is_shown_from_black_to_white_cell_by_cell(image, kept):
    middles = ((np.arange(28) + 0.5) * TILE / 28).astype(int)
    cells = film(image, kept)[4].picture[np.ix_(middles, middles)]
    expected = np.rint(255 * kept.mask.probs)[..., None].repeat(3, axis=-1)
    np.testing.assert_array_equal(cells, expected)


def test_the_line_around_the_pasted_mask_moves_with_the_threshold(kept):
    black = np.zeros((800, 800, 3), np.uint8)
    insides = []
    for threshold in (0.1, 0.5, 0.9):
        frame = film(black, kept, threshold)[5]
        assert frame.lines[1] == f"line: probability {threshold:.2f}"
        line = (frame.picture == 255).all(axis=-1).astype(np.uint8)
        outer, _ = cv2.findContours(line, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        insides.append(sum(cv2.contourArea(contour) for contour in outer))
    assert insides[0] > insides[1] > insides[2] > 500


def test_a_picture_of_other_proportions_and_a_box_at_its_edge(street):
    tensor, image = preprocess(sample_photo("restaurant"), (120, 500))
    run = trace(street, tensor, box_score_threshold=0.01)
    corner = follow(run, anchor=0)
    assert (corner.anchor.box < 0).any()
    for journey in (corner, follow(run, detection=0)):
        assert all(frame.picture.shape == (TILE, TILE, 3) for frame in film(image, journey))
    assert 0.1 < share(film(image, corner)[0], DARK) < 0.9  # what lies beyond the picture


def test_features_that_are_all_zero_are_dark_and_do_no_harm(image, kept):
    found = replace(kept.detection, features=np.zeros((96, 7, 7), np.float32))
    frame = film(image, replace(kept, detection=found))[2].picture
    assert len(np.unique(frame.reshape(-1, 3), axis=0)) == 1


def test_a_box_that_was_dropped_is_dashed_where_one_that_was_kept_is_solid(image, suppressed, dropped):
    def pink(journey, frame):
        return share(film(image, journey)[frame], FOLLOWED)

    for journey, frame in ((suppressed, 3), (dropped, 1)):  # the box head's frame, the proposal's
        step = journey.detection or journey.proposal
        alone = replace(step, verdict=replace(step.verdict, rival=None))  # so that no other line lies over it
        lost_one = replace(journey, **{"detection" if journey.detection else "proposal": alone})
        solid = replace(alone, verdict=replace(alone.verdict, row=0))
        same_but_kept = replace(journey, **{"detection" if journey.detection else "proposal": solid})
        if journey.detection:  # a kept detection is drawn in its category's colour
            color = category_color(step.label)
            assert share(film(image, same_but_kept)[frame], color) > 1.3 * pink(lost_one, frame) > 0
            assert pink(same_but_kept, frame) == 0
        else:
            assert pink(same_but_kept, frame) > 1.3 * pink(lost_one, frame) > 0
