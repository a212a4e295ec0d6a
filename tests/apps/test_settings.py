"""Settings as a text, and several set at once."""

import pytest
from traitlets import Enum, Tuple, validate

from maskseg_nb.apps.settings import Fraction, Settings


class Some(Settings):
    score = Fraction(0.5)
    style = Enum(["plain", "bold"], "plain")
    hidden = Tuple()
    SETTINGS = KNOBS = ("score", "style", "hidden")

    @validate("hidden")
    def _check(self, proposal):
        if "x" in proposal["value"]:
            raise ValueError("hidden must not be x")
        return proposal["value"]


def test_the_text_of_one_makes_another_the_same():
    one, other = Some(), Some()
    assert one.text == "{}"
    one.score, one.hidden = 0.25, ("a", "b")
    assert one.text == '{"score": 0.25, "hidden": ["a", "b"]}'
    other.take(one.text)
    assert (other.score, other.style, other.hidden) == (0.25, "plain", ("a", "b"))


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("score=0.3", ValueError, "settings must be JSON"),
        ("[0.3]", ValueError, "settings must be JSON"),
        ('{"scroe": 0.3}', ValueError, "settings has no 'scroe'; there are score, style, hidden"),
        ('{"style": "bold", "score": 7}', ValueError, r"score must be in \[0, 1\], got 7"),
        ('{"style": "bold", "hidden": ["x"]}', ValueError, "hidden must not be x"),
        ('{"style": "odd"}', ValueError, "style must be"),
        ('{"score": NaN}', ValueError, r"score must be in \[0, 1\], got nan"),
        (0.3, TypeError, "settings must be a text"),
    ],
)
def test_what_is_no_such_text_is_refused_and_changes_nothing(text, error, said):
    settings = Some()
    with pytest.raises(error, match=said):
        settings.take(text)
    assert settings.text == "{}"
    assert not settings.assigning


def test_those_who_follow_hear_of_several_at_once():
    settings, seen = Some(), []
    settings.observe(lambda _: None if settings.assigning else seen.append((settings.score, settings.style)))
    settings.assign({"score": 0.3, "style": "bold"})
    assert seen == [(0.3, "bold")]
    settings.assign({"score": 0.3, "style": "bold"})
    assert len(seen) == 1
