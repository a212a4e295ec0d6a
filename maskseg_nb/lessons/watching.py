"""A learner's function, called with care: what it prints, what it raises and where, and an end to it."""

import contextlib
import ctypes
import inspect
import io
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

SECONDS = 10.0  # for one call: the largest case takes a careful beginner's loops a few hundredths


class _TooLong(BaseException):
    """Raised inside a function that does not come to an end; `except Exception` does not stop it."""


@dataclass
class Call:
    """How a call went.

    Attributes:
        result: What the function returned.
        printed: What it printed meanwhile.
        problem: Why there is no result, as "raised ..." or "did not end ..."; empty where there is one.
    """

    result: Any = None
    printed: str = ""
    problem: str = ""


def watched(function: Callable[..., Any], arguments: tuple) -> Call:
    """Call a function, in a thread of its own: one that never ends is stopped after `SECONDS`."""
    with contextlib.suppress(ValueError):  # a function that is written in C need not say what it takes
        signature = inspect.signature(function)
        try:
            signature.bind(*arguments)
        except TypeError:
            takes = ", ".join(signature.parameters) or "no arguments"
            return Call(problem=f"takes {takes}; it must take the {len(arguments)} above, in this order")
    call, page = Call(), io.StringIO()

    def run() -> None:
        try:
            call.result = function(*arguments)
        except _TooLong:
            pass
        except BaseException as error:  # exit() too: it would end the kernel
            call.problem = f"raised {type(error).__name__}: {error}{_place(error, function)}"

    thread = threading.Thread(target=run, name="exercise", daemon=True)
    with contextlib.redirect_stdout(page):
        thread.start()
        thread.join(SECONDS)
        if late := thread.is_alive():
            _stop(thread)
    call.printed = page.getvalue()
    if late:
        still = "; it is still running, since it catches everything: restart the kernel"
        call.problem = (
            f"did not end within {SECONDS:g} seconds; does every loop come to an end?"
            f"{still if thread.is_alive() else ''}"
        )
    return call


def _stop(thread: threading.Thread) -> None:
    """Raise `_TooLong` in a thread, again where a bare `except` has caught it, for half a second."""
    deadline = time.monotonic() + 0.5
    while thread.is_alive() and time.monotonic() < deadline:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(thread.ident or 0), ctypes.py_object(_TooLong)
        )
        thread.join(0.05)


def _place(error: BaseException, function: Callable[..., Any]) -> str:
    """The last line of the function's own file that the error came through, as " in line 3: return a / b"."""
    file = getattr(getattr(function, "__code__", None), "co_filename", None)
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    return f"\n    in line {own[-1].lineno} of the cell: {own[-1].line}" if own and own[-1].line else ""


def kept_between_calls(function: Callable[..., Any], before: Any) -> str:
    """A hint where the default values are no longer what they were `before` the first call."""
    after = getattr(function, "__defaults__", None)
    if not after or repr(after) == repr(before):
        return ""
    return (
        f"\n    its default values were {before!r} and are now {after!r}: Python makes them once; make them "
        "inside the function"
    )
