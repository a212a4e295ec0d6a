"""Losses of hand-made candidates. References: torchvision's own losses, and sums written out."""

import math

import pytest
import torch
import torch.nn.functional as F
from torchvision.models.detection import MaskRCNN
from torchvision.models.detection.roi_heads import RoIHeads
from torchvision.models.detection.rpn import RegionProposalNetwork

from maskseg_nb.data.shapes import CATEGORIES, ShapesDataset
from maskseg_nb.training.augmentation import Augmentation, TrainingPictures
from maskseg_nb.training.fine_tuning import with_categories
from maskseg_nb.training.loop import LOSSES
from maskseg_nb.training.partial_losses import allowed_of, classifier_loss, respect_doubts, within
from maskseg_nb.training.sampling import seeded

SIZE = (128, 160)
ANY = math.inf


def target(*doubts, categories=5, **others):
    """A target without instances; doubts are (box, labels, limit)."""
    doubted = torch.zeros(len(doubts), categories, dtype=torch.bool)
    for row, (_, labels, _) in enumerate(doubts):
        doubted[row, list(labels)] = True
    return {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(0, *SIZE, dtype=torch.uint8),
        "trust": torch.zeros(0),
        "doubts": torch.tensor([box for box, _, _ in doubts]).float().reshape(-1, 4),
        "doubted": doubted,
        "limits": torch.tensor([limit for _, _, limit in doubts]).float(),
        **others,
    }


@pytest.fixture(scope="module")
def plain(street):
    with seeded(3):
        return with_categories(street, CATEGORIES).train()


@pytest.fixture(scope="module")
def partial(street):
    with seeded(3):
        model = with_categories(street, CATEGORIES).train()
    respect_doubts(model)
    return model


def losses_of(model: MaskRCNN, images, targets):
    model.transform.min_size, model.transform.max_size = (SIZE[0],), SIZE[1]
    with seeded(4):
        return {name: float(value.detach()) for name, value in model(images, targets).items()}


@pytest.fixture(scope="module")
def batch():
    pictures = TrainingPictures(ShapesDataset(4, size=SIZE), (SIZE,), Augmentation.none(), 2, 0)
    return [list(part) for part in zip(*(pictures[n] for n in range(2)), strict=True)]


def test_without_doubts_the_losses_are_torchvisions(plain, partial, batch, monkeypatch):
    assert type(plain.roi_heads) is RoIHeads and type(plain.rpn) is RegionProposalNetwork
    expected = losses_of(plain, *batch)
    assert losses_of(partial, *batch) == expected
    bare = [{name: one[name] for name in ("boxes", "labels", "masks")} for one in batch[1]]
    assert losses_of(partial, batch[0], bare) == expected
    monkeypatch.setattr(partial.roi_heads, "mask_rois", 1000)  # no limit, by this module's own arithmetic
    assert losses_of(partial, *batch) == pytest.approx(expected, rel=1e-5)


def test_heads_of_another_make_keep_their_losses(street):
    class Others(RoIHeads):
        pass

    model = with_categories(street, CATEGORIES)
    model.roi_heads.__class__ = Others
    respect_doubts(model)
    assert type(model.roi_heads) is Others


def test_what_is_found_does_not_change(plain, partial, batch):
    with torch.inference_mode():
        one, other = (model.eval()(batch[0])[0] for model in (plain, partial))
    plain.train(), partial.train()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_doubtful_candidate_is_background_or_one_of_the_doubted():
    logits = torch.tensor([[1.0, 2.0, 0.5, -1.0]], requires_grad=True)
    allowed = torch.tensor([[True, False, True, False]])
    p = F.softmax(logits.detach()[0], dim=0)
    loss = classifier_loss(logits, allowed, torch.ones(1))
    assert float(loss.detach()) == pytest.approx(-math.log(p[0] + p[2]))
    loss.backward()
    down, up = logits.grad[0, [1, 3]], logits.grad[0, [0, 2]]
    assert (down > 0).all() and (up < 0).all()  # what is allowed rises, the doubted too; all else falls
    assert torch.allclose(up[0] / up[1], p[0] / p[2])  # and which of them it is stays open


def test_with_one_allowed_category_it_is_cross_entropy_weighted_by_trust():
    torch.manual_seed(0)
    logits, labels = torch.randn(6, 4), torch.tensor([0, 1, 2, 3, 0, 1])
    trust = torch.tensor([1, 0.5, 1, 0.25, 1, 1])
    expected = (F.cross_entropy(logits, labels, reduction="none") * trust).mean()
    assert torch.allclose(classifier_loss(logits, F.one_hot(labels, 4).bool(), trust), expected)


def test_only_candidates_that_match_nothing_and_lie_in_a_doubt_are_doubtful():
    boxes = torch.tensor([[0.0, 0, 40, 40], [0, 0, 40, 40], [100, 100, 140, 140], [30, 0, 70, 40]])
    labels = torch.tensor([0, 2, 0, 0])
    allowed = allowed_of(boxes, labels, target(([0, 0, 40, 40], {1, 3}, ANY)), 5)
    rows = [set(torch.where(row)[0].tolist()) for row in allowed]
    # The last one: a quarter of it lies within.
    assert rows == [{0, 1, 3}, {2}, {0}, {0, 1, 3}]


def test_doubts_about_small_objects_leave_large_candidates_certain():
    boxes = torch.tensor([[0.0, 0, 39, 39], [0, 0, 41, 41], [0, 0, 20, 70]])
    one = target(([0, 0, 160, 128], {4}, 40))
    allowed = allowed_of(boxes, torch.zeros(3, dtype=torch.int64), one, 5)
    assert allowed[:, 4].tolist() == [True, False, True]


def test_a_candidate_across_all_pictures_of_a_mosaic_has_a_doubt_of_each_side():
    seam = torch.tensor([[60.0, 44, 100, 84]])
    quarters = torch.tensor([[x, y, x + 80.0, y + 64] for y in (0, 64) for x in (0, 80)])
    assert within(seam, quarters).tolist() == [[True] * 4]


def test_a_box_without_area_touches_nothing():
    assert not within(torch.tensor([[5.0, 5, 5, 9]]), torch.tensor([[0.0, 0, 160, 128]])).any()


def test_where_anything_may_be_the_proposal_network_learns_nothing(partial):
    images = [torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(1))]
    found = losses_of(partial, images, [target(([0, 0, SIZE[1], SIZE[0]], {1, 2, 3, 4}, ANY))])
    assert {name: round(found[name], 5) for name in LOSSES} == dict.fromkeys(LOSSES, 0)


def test_where_one_category_may_be_the_others_are_still_learned_as_absent(partial):
    images = [torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(1))]
    everywhere = [0, 0, SIZE[1], SIZE[0]]
    some, none = (losses_of(partial, images, [target(*doubts)]) for doubts in ([(everywhere, {2}, ANY)], []))
    assert 0 < some["loss_classifier"] < none["loss_classifier"]
    assert some["loss_objectness"] == 0 < none["loss_objectness"]


def test_negative_anchors_outside_of_doubts_and_positive_ones_inside_are_learned_from(partial):
    boxes = torch.tensor([[10.0, 10, 74, 74]])
    known = target(([0, 0, 80, 128], {1}, ANY), boxes=boxes, labels=torch.tensor([2]))
    anchors = torch.tensor([[10.0, 10, 74, 74], [0, 80, 32, 112], [110, 10, 142, 42], [70, 10, 110, 50]])
    labels, _ = partial.rpn.assign_targets_to_anchors([anchors], [known])
    assert labels[0].tolist() == [1, -1, 0, -1]
    known["limits"][:] = 40  # about small objects alone: no doubt to an anchor
    assert partial.rpn.assign_targets_to_anchors([anchors], [known])[0][0].tolist() == [1, 0, 0, 0]


def test_trust_scales_what_an_instance_teaches(partial, batch):
    images, targets = [batch[0][0]], batch[1][:1]
    whole = losses_of(partial, images, targets)
    none = target(categories=len(CATEGORIES))  # no doubts
    trust = torch.full((len(targets[0]["labels"]),), 0.5)
    half = losses_of(partial, images, [{**none, **targets[0], "trust": trust}])
    for name in ("loss_box_reg", "loss_mask"):
        assert half[name] == pytest.approx(0.5 * whole[name], rel=1e-5)
    assert half["loss_classifier"] < whole["loss_classifier"]
    assert half["loss_objectness"] == whole["loss_objectness"]


def test_the_mask_head_learns_from_so_many_proposals_at_most(partial, batch, monkeypatch):
    seen = []
    hook = partial.roi_heads.mask_head.register_forward_hook(
        lambda _, inputs, __: seen.append(len(inputs[0]))
    )
    losses_of(partial, *batch)
    monkeypatch.setattr(partial.roi_heads, "mask_rois", 3)
    found = losses_of(partial, *batch)
    hook.remove()
    assert seen[0] > 6 and seen[1] == 6 and found["loss_mask"] > 0
