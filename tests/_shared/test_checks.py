"""What counts as a number, what an array is called in messages, and what is said about files that fail."""

import errno
import os

import numpy as np
import pytest
import torch

from maskseg_nb._shared.checks import is_number, is_strip, is_whole, kind_of
from maskseg_nb.errors import cannot_open, cannot_write, reason


@pytest.mark.parametrize("value", [0, -3, 2**70, np.int64(4), np.uint8(5)])
def test_a_whole_number_is_pythons_or_numpys(value):
    assert is_whole(value) and is_number(value)


@pytest.mark.parametrize("value", [True, np.True_, "1", None, 1j, [1], torch.tensor(1), np.array(1)])
def test_what_only_looks_like_a_number_is_not_one(value):
    assert not is_whole(value) and not is_number(value)


@pytest.mark.parametrize("value", [0.5, 4.0, float("nan"), np.float32(1), np.float64(1)])
def test_a_fraction_is_a_number_and_not_whole(value):
    assert is_number(value) and not is_whole(value)


def test_a_strip_is_longer_than_five_hundred_times_its_width():
    assert not is_strip(500, 1) and not is_strip(1, 500)
    assert is_strip(501, 1) and is_strip(1, 501)


def test_a_wrong_argument_is_described_by_its_dtype_or_else_its_type():
    assert str(kind_of(np.zeros(3, np.int16))) == "int16"
    assert kind_of([1]) == "list" and kind_of(torch.zeros(1)) == "Tensor"


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "No space left on device"),
        (ValueError("embedded null byte"), "embedded null byte"),
        (OSError(), "OSError"),
        (TimeoutError(), "TimeoutError"),
    ],
)
def test_an_error_says_what_the_system_says_else_its_own_text_else_its_kind(error, said):
    assert reason(error) == said


def test_a_file_that_fails_is_named_with_the_reason_and_what_to_do(tmp_path):
    missing = tmp_path / "none" / "photo.png"
    with pytest.raises(OSError) as caught:
        missing.read_bytes()
    said = "No such file or directory"
    assert (
        cannot_open(missing, caught.value) == f"'photo.png' cannot be opened: {said}; choose a readable file"
    )
    assert cannot_write("out", caught.value) == (
        f"'out' cannot be written: {said}; make room, or give another folder"
    )
