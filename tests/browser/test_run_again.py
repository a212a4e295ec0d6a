"""A notebook that is run again, and again after its kernel was restarted, in a real JupyterLab."""

import re
from collections.abc import Callable

import nbformat
from playwright.sync_api import Page, expect

from lab import MINUTE, AppInPage, Lab, wait_until_idle

CODE = 'from maskseg_nb import Explorer\n\nexplorer = Explorer(model="street")\nexplorer'
COUNTS = "print(len(explorer.state._trait_notifiers['alpha']['change']), explorer.state.alpha)"


def alpha_moves_the_picture(page: Page) -> None:
    """The app is there once; a key on its slider changes its picture."""
    app = AppInPage(page, "img.widget-image", 544)
    expect(app.root).to_have_count(1)
    source = app.picture.get_attribute("src")
    app.handle("Blend alpha").press("ArrowRight")
    expect(app.picture).not_to_have_attribute("src", source or "")
    expect(app.number("Blend alpha")).to_have_value("0.51")


def test_run_all_twice_and_after_a_restart_of_the_kernel(
    lab: Lab, open_notebook: Callable[[str], Page], complaints: list[str]
):
    cells = [nbformat.v4.new_code_cell(code) for code in (CODE, COUNTS)]
    notebook = nbformat.v4.new_notebook(cells=cells)
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, lab.folder / "again.ipynb")
    page = open_notebook("again.ipynb")
    prompts, printed = page.locator(".jp-CodeCell .jp-InputPrompt"), page.locator(".jp-OutputArea-output pre")
    expect(printed).to_have_text(re.compile(r"\d+ 0\.5"))
    first = printed.inner_text()
    alpha_moves_the_picture(page)

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    expect(prompts.last).to_have_text("[4]:", timeout=5 * MINUTE)
    wait_until_idle(page)
    assert printed.inner_text() == first  # a fresh app with as many observers as the first one had
    alpha_moves_the_picture(page)

    # No value: the command's promise waits for the answer to the dialog that it opens.
    page.evaluate("() => void jupyterapp.commands.execute('notebook:restart-run-all')")
    page.get_by_role("button", name="Confirm Kernel Restart").click()
    expect(prompts.last).to_have_text("[2]:", timeout=5 * MINUTE)
    wait_until_idle(page)
    assert printed.inner_text() == first
    alpha_moves_the_picture(page)
    assert complaints == []
