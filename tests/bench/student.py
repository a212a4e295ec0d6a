"""`python -m bench.student [NOTEBOOK ...]`: the memory and the seconds that a student needs, by notebook.

Every notebook runs in a kernel of its own, as for a student who presses *Run all*; JupyterLab's server comes
on top. A hub needs the memory of both for each student, and processors for the seconds of computing.
"""

import sys
import tempfile
import threading
import time
from pathlib import Path

import nbformat
import psutil
from nbclient import NotebookClient

from .measure import print_machine

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
INTERVAL = 0.2  # seconds between two looks at the memory


class Watch:
    """What this process's children need meanwhile: memory at its peak, seconds of computing."""

    def __init__(self) -> None:
        self.peak, self.seconds = 0, {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> "Watch":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(INTERVAL):
            resident = 0
            for child in psutil.Process().children(recursive=True):
                try:
                    resident += child.memory_info().rss
                    times = child.cpu_times()
                    self.seconds[child.pid] = times.user + times.system
                except psutil.Error:  # it has ended meanwhile
                    continue
            self.peak = max(self.peak, resident)


def measure_server() -> int:
    """The bytes of a JupyterLab server that waits for its first notebook."""
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--port=0", "--allow-root"]
    with tempfile.TemporaryDirectory() as folder, Watch() as watch:
        server = psutil.Popen([*command, f"--ServerApp.root_dir={folder}"], stdout=-3, stderr=-3)
        time.sleep(10)
        server.terminate()
        server.wait()
    return watch.peak


def main(names: list[str]) -> None:
    """Print a row per notebook, and the server's."""
    print_machine()
    print(f"{'JupyterLab, without a notebook':<34}{measure_server() / 2**20:>8,.0f} MiB")
    print(f"{'notebook':<34}{'memory':>12}{'seconds':>10}{'computing':>11}")
    for path in map(Path, names or sorted(map(str, NOTEBOOKS.glob("*.ipynb")))):
        notebook = nbformat.read(path, as_version=4)
        client = NotebookClient(
            notebook, timeout=1200, kernel_name="python3", resources={"metadata": {"path": NOTEBOOKS}}
        )
        start = time.perf_counter()
        with Watch() as watch:
            client.execute()
        took = time.perf_counter() - start
        used = sum(watch.seconds.values())
        print(f"{path.stem:<34}{watch.peak / 2**20:>8,.0f} MiB{took:>10.0f}{used:>11.0f}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
