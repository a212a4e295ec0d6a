"""Where RoIAlign looks: four weighted values a point, their mean, against torchvision's operator."""

import pytest
import torch
from torchvision.ops import MultiScaleRoIAlign, roi_align

from maskseg_nb.mask_rcnn.roi_align import bilinear_weights, sample_points


@pytest.mark.parametrize("ratio", [1, 2, -1])
@pytest.mark.parametrize(
    "box",
    [
        (40.0, 24.0, 150.0, 200.0),
        (-3.0, -2.0, 61.0, 30.0),
        (200.0, 180.0, 259.0, 258.0),
        (9.5, 9.5, 10.0, 10.0),
    ],
    ids=["inside", "beyond the upper left", "beyond the lower right", "smaller than a cell"],
)
def test_the_mean_of_the_weighted_values_is_what_torchvision_reads(box, ratio):
    values = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    pool = MultiScaleRoIAlign(["0"], (5, 7), ratio)
    points = sample_points(pool, torch.tensor(box), 8)
    expected = roi_align(values, [torch.tensor([box])], (5, 7), 1 / 8, ratio)[0]
    assert points.shape[:2] == (5, 7)
    for row in range(5):
        for column in range(7):
            total = torch.zeros(3)
            own = points[row, column].reshape(-1, 2)
            for point in own:
                weighted = bilinear_weights(point, (32, 32))
                assert sum(weight for *_, weight in weighted) == pytest.approx(1 if weighted else 0)
                total += sum(values[0, :, y, x] * weight for y, x, weight in weighted)
            torch.testing.assert_close(total / len(own), expected[:, row, column], rtol=1e-4, atol=1e-5)
