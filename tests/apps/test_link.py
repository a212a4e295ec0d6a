"""A link against the function behind it, called each time: the same results, in fewer calls."""

import itertools

import numpy as np
import pytest

from maskseg_nb.apps.link import Link


@pytest.fixture
def counted():
    """A link, and the list of the calls that its function saw."""
    calls = []

    def joined(*arguments):
        calls.append(arguments)
        return [*arguments]

    return Link(joined), calls


def test_whatever_it_is_called_with_the_result_is_the_functions_own():
    link = Link(lambda *arguments: repr(arguments))
    values = (0, 1, True, 0.5, None, "a", (1, 2), {"a": 1}, ("person",))
    for arguments in (*itertools.product(values, repeat=2), (), ("a",), ("a", 1)):
        assert link(*arguments) == repr(arguments)


def test_the_same_call_again_computes_nothing_and_any_other_does(counted):
    link, calls = counted
    first = link("a", 0.5, {"knob": 1}, ("person",))
    assert link("a", 0.5, {"knob": 1}, ("person",)) is first and len(calls) == 1
    assert link("a", 0.5, {"knob": 2}, ("person",)) is not first and len(calls) == 2
    assert link("a", 0.5, {"knob": 1}, ("person",)) == first and len(calls) == 3  # the last one only


def test_arrays_are_compared_as_objects(counted):
    link, calls = counted
    image = np.zeros((2, 2))
    link(image, 1)
    link(image, 1)
    assert len(calls) == 1
    link(image.copy(), 1)
    link(None, 1)
    assert len(calls) == 3


def test_true_is_another_argument_than_one(counted):
    link, calls = counted
    assert link(1)[0] is not link(True)[0] and len(calls) == 2


def test_it_says_what_it_remembers(counted):
    link, calls = counted
    assert link.arguments is None and not link.remembers()
    link("a", 1)
    assert link.arguments == ("a", 1) and link.remembers("a", 1) and not link.remembers("a", 2)
    assert len(calls) == 1


def test_a_call_that_fails_leaves_the_one_before_it_remembered():
    def divided(one, other):
        return one / other

    link = Link(divided)
    assert link(6, 3) == 2
    with pytest.raises(ZeroDivisionError):
        link(6, 0)
    assert link.arguments == (6, 3) and link.remembers(6, 3) and not link.remembers(6, 0)
    with pytest.raises(ZeroDivisionError):
        link(6, 0)


def test_with_a_key_what_it_leaves_out_computes_nothing():
    link = Link(lambda x, y: x + y, lambda x, y: (x,))
    assert link(1, 10) == link(1, 20) == 11  # by what the caller said, nothing depends on the second
    assert link(2, 20) == 22
