"""Every test here is a case of a scorecard: the input, the outcome required, the outcome seen.

`make torture` sets TORTURE to 10, the factor by which examples are multiplied, and prints the scorecard.
"""

import os
from collections.abc import Callable

import pytest

TORTURE = int(os.environ.get("TORTURE", "1"))
_EXPECTED, _GOT = pytest.StashKey[str](), pytest.StashKey[str]()
_ROWS: list[tuple[str, str, str, bool]] = []


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "expects(text): what must come of a case, for the scorecard")


@pytest.fixture
def torture() -> int:
    """How many times the usual number of examples to try."""
    return TORTURE


@pytest.fixture
def got(request: pytest.FixtureRequest) -> Callable[[object], None]:
    """A function: tell the scorecard what came of the case: an error, or a few words."""

    def tell(outcome: object) -> None:
        kind = f"{type(outcome).__name__}: " if isinstance(outcome, BaseException) else ""
        request.node.stash[_GOT] = f"{kind}{outcome}"

    return tell


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]):  # type: ignore[no-untyped-def]
    report = yield
    if report.when == "call" or (report.when == "setup" and not report.passed):
        marker = item.get_closest_marker("expects")
        expected = (
            marker.args[0] if marker else item.name.split("[")[0].removeprefix("test_").replace("_", " ")
        )
        told = item.stash.get(_GOT, "as expected" if report.passed else report.outcome)
        case = item.name.split("[", 1)[1][:-1] if "[" in item.name else item.name.removeprefix("test_")
        _ROWS.append((f"{item.path.stem.removeprefix('test_')}: {case}", expected, told, report.passed))
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TORTURE == 1:
        return
    terminalreporter.section("scorecard: case | expected | got")
    for case, expected, told, passed in _ROWS:
        line = " ".join(told.split())
        terminalreporter.write_line(f"{'ok  ' if passed else 'FAIL'} {case} | {expected} | {line[:140]}")
    good = sum(passed for *_, passed in _ROWS)
    terminalreporter.write_line(f"{good} of {len(_ROWS)} cases as expected")
