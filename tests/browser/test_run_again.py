"""A notebook that is run again, and again after its kernel was restarted, in a real JupyterLab."""

import re
from collections.abc import Callable

from playwright.sync_api import Page, expect

from lab import MINUTE, AppInPage, Lab, wait_until_idle, write_notebook

CODE = 'from maskseg_nb import Explorer\n\nexplorer = Explorer(model="street")\nexplorer'
COUNTS = "print(len(explorer.state._trait_notifiers['alpha']['change']), explorer.state.alpha)"


def alpha_moves_the_picture(page: Page, after: str = "0.51") -> None:
    """The app is there once; a key on its slider changes its picture."""
    app = AppInPage(page)
    expect(app.root).to_have_count(1)
    _, right = app.panels()
    app.handle("Blend alpha").press("ArrowRight")
    app.wait_for_another_picture(right)
    expect(app.number("Blend alpha")).to_have_value(after)


def test_run_all_twice_and_after_a_restart_of_the_kernel(
    lab: Lab, open_notebook: Callable[[str], Page], complaints: list[str]
):
    page = open_notebook(write_notebook(lab, "again.ipynb", CODE, COUNTS))
    prompts, printed = page.locator(".jp-CodeCell .jp-InputPrompt"), page.locator(".jp-OutputArea-output pre")
    expect(printed).to_have_text(re.compile(r"\d+ 0\.5"))
    first = printed.inner_text()
    alpha_moves_the_picture(page)

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(prompts.last).to_have_text("[4]:", timeout=5 * MINUTE)
    wait_until_idle(page)
    # A fresh app with as many observers as the first one had, and with its settings.
    assert printed.inner_text() == first.replace("0.5", "0.51")
    alpha_moves_the_picture(page, "0.52")

    # No value: the command's promise waits for the answer to the dialog that it opens.
    page.evaluate("() => void jupyterapp.commands.execute('notebook:restart-run-all')")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(prompts.last).to_have_text("[2]:", timeout=5 * MINUTE)
    wait_until_idle(page)
    assert printed.inner_text() == first
    alpha_moves_the_picture(page)
    assert complaints == []
