"""What many tests share: the shipped model, loaded once, and two photographs as it sees them."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torchvision.models.detection import MaskRCNN

from maskseg_nb import Prediction, Trace, load_model, predict, preprocess, sample_photo, trace


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Threads that wait for each other on a busy machine make these tests three to six times slower."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def street() -> MaskRCNN:
    """Do not change it: all tests share it."""
    return load_model("street")


@pytest.fixture(scope="session")
def restaurant() -> tuple[torch.Tensor, np.ndarray]:
    """A photograph with seven people: tensor (1, 3, 800, 800), image (800, 800, 3)."""
    return preprocess(sample_photo("restaurant"))


@pytest.fixture(scope="session")
def nothing() -> tuple[torch.Tensor, np.ndarray]:
    """A picture in which no model finds anything: grey, and as large as the restaurant."""
    return preprocess(np.full((800, 800, 3), 128, np.uint8))


@pytest.fixture(scope="session")
def prediction(street: MaskRCNN, restaurant: tuple[torch.Tensor, np.ndarray]) -> Prediction:
    return predict(street, restaurant[0])


@pytest.fixture(scope="session")
def street_trace(street: MaskRCNN, restaurant: tuple[torch.Tensor, np.ndarray]) -> Trace:
    return trace(street, restaurant[0])


@pytest.fixture(scope="session")
def nothing_trace(street: MaskRCNN, nothing: tuple[torch.Tensor, np.ndarray]) -> Trace:
    return trace(street, nothing[0])
