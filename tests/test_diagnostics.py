"""Each fault that the doctor knows is made, and must come with its remedy; a healthy place has none."""

import hashlib
import importlib.metadata
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import nbformat
import pytest
import torch
from nbclient import NotebookClient

from maskseg_nb import doctor, load_model
from maskseg_nb.diagnostics import examine
from maskseg_nb.models.checkpoints import Download
from maskseg_nb.models.loading import MODEL_VARIABLE, MODELS

MODULE = sys.modules["maskseg_nb.diagnostics"]  # the function stands before it in the package


@pytest.fixture(autouse=True)
def healthy(monkeypatch, tmp_path) -> Path:
    """A machine without a fault, whatever runs the tests; returns the folder of downloaded weights."""
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.delenv(MODEL_VARIABLE, raising=False)
    kernel = SimpleNamespace(kernel_info={"supported_features": ["kernel subshells"]})
    monkeypatch.setattr(MODULE, "_running_kernel", lambda: kernel)
    monkeypatch.setattr(MODULE, "_processors", torch.get_num_threads)
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=8 * 10**9))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=50 * 10**9))
    monkeypatch.setattr("shutil.which", lambda name: None)
    return folder


def remedies() -> dict[str, str]:
    return {finding.subject: finding.remedy for finding in examine() if finding.remedy}


def test_a_healthy_place_needs_nothing(capsys):
    assert remedies() == {}
    doctor()
    printed = capsys.readouterr().out
    assert "All is well." in printed and torch.__version__.split("+")[0] in printed
    assert "not downloaded" in printed and not any(line.startswith("!") for line in printed.splitlines())


def test_a_fault_is_marked_and_its_remedy_stands_below(monkeypatch, capsys):
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    monkeypatch.setattr(MODULE, "_processors", lambda: 1)
    monkeypatch.setattr("platform.system", lambda: "Linux")
    doctor()
    lines = capsys.readouterr().out.splitlines()
    marked = next(number for number, line in enumerate(lines) if line.startswith("! OMP_WAIT_POLICY"))
    assert "-> set OMP_WAIT_POLICY=PASSIVE" in lines[marked + 1]


def test_an_old_package_and_a_missing_one_are_named_with_their_bounds(monkeypatch):
    real = importlib.metadata.version

    def version(name: str) -> str:
        if name == "tqdm":
            raise importlib.metadata.PackageNotFoundError(name)
        return "2.9.1" if name == "torch" else real(name)

    monkeypatch.setattr("importlib.metadata.version", version)
    assert remedies() == {
        "torch": 'run: pip install --upgrade "torch>=2.10"',
        "tqdm": 'run: pip install --upgrade "tqdm>=4.66"',
    }


def opencv_bound() -> str:
    """As pyproject.toml has it, ">=4.10" for example."""
    (line,) = (text for text in importlib.metadata.requires("maskseg-nb") if text.startswith("opencv-python"))
    return line.removeprefix("opencv-python")


def only_opencv(monkeypatch, *packages: str, version: str = "5.0.0.93") -> None:
    """As on a machine with these of OpenCV's packages."""
    real = importlib.metadata.version

    def fake(name: str) -> str:
        if not name.startswith("opencv-"):
            return real(name)
        if name in packages:
            return version
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", fake)


@pytest.mark.parametrize(
    "package",
    ["opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"],
)
def test_any_of_opencv_s_packages_will_do_and_an_old_one_needs_an_update_not_another_one(
    monkeypatch, package
):
    with monkeypatch.context() as patch:
        only_opencv(patch, package)
        assert remedies() == {}
        assert [f.found for f in examine() if f.subject == package] == ["5.0.0.93"]
    only_opencv(monkeypatch, package, version="4.5.1")
    assert remedies() == {package: f'run: pip install --upgrade "{package}{opencv_bound()}"'}


def test_a_cv2_of_the_system_s_own_needs_no_package(monkeypatch):
    only_opencv(monkeypatch)
    assert remedies() == {}
    assert [f.found for f in examine() if f.subject == "opencv-python"] == [cv2.__version__]
    monkeypatch.setattr(cv2, "__version__", "4.5.1")
    assert remedies() == {"opencv-python": f'run: pip install --upgrade "opencv-python{opencv_bound()}"'}


def test_a_missing_front_end_is_named(monkeypatch, tmp_path):
    monkeypatch.setattr(MODULE, "jupyter_path", lambda *parts: [str(tmp_path)])
    found = remedies()
    assert set(found) == {"front end of jupyterlab_widgets", "front end of anywidget"}
    assert "pip install --force-reinstall anywidget" in found["front end of anywidget"]


@pytest.mark.parametrize(
    ("kernel", "remedy"),
    [(None, "make lab"), (SimpleNamespace(kernel_info={"supported_features": []}), "ipykernel>=7")],
    ids=["no kernel", "no subshells"],
)
def test_a_kernel_without_subshells_or_none_at_all_is_reported(monkeypatch, kernel, remedy):
    monkeypatch.setattr(MODULE, "_running_kernel", lambda: kernel)
    assert remedy in remedies()["kernel"]


def test_a_gpu_that_torch_cannot_use_is_reported(monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("torch.version.cuda", "13.0")
    assert "device" not in remedies()
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/nvidia-smi")
    assert "driver" in remedies()["device"]


def test_more_threads_than_processors_are_reported(monkeypatch):
    monkeypatch.setattr("torch.get_num_threads", lambda: 8)
    monkeypatch.setattr(MODULE, "_processors", lambda: 2)
    assert remedies()["threads"] == "call: torch.set_num_threads(2)"


def test_little_memory_and_little_disk_are_reported(monkeypatch):
    monkeypatch.setattr("psutil.virtual_memory", lambda: SimpleNamespace(available=10**9))
    monkeypatch.setattr("shutil.disk_usage", lambda folder: SimpleNamespace(free=10**8))
    found = remedies()
    assert "street" in found["free memory"] and "TORCH_HOME" in found["free disk"]


def test_a_default_model_that_does_not_exist_is_reported(monkeypatch):
    monkeypatch.setenv(MODEL_VARIABLE, "yolo")
    assert remedies()[MODEL_VARIABLE] == "set it to one of coco, coco_v2, street"


def test_missing_shipped_weights_are_reported(monkeypatch, tmp_path):
    monkeypatch.setattr(MODULE, "shipped_weights", lambda name: tmp_path / "none")
    assert "reinstall" in remedies()["weights of street"]


def test_a_whole_cached_file_is_known_by_its_digest_and_a_damaged_one_too(healthy, monkeypatch):
    data = b"the published weights"
    digest = hashlib.sha256(data).hexdigest()
    download = Download("http://example.invalid/weights.pth", digest[:8])
    monkeypatch.setitem(MODELS, "coco", MODELS["coco"].__class__(MODELS["coco"].build, ("a",), download))
    download.path.write_bytes(data)
    assert remedies() == {}
    assert any(digest[:16] in finding.found for finding in examine())
    download.path.write_bytes(data + b"!")
    assert "downloads it again" in remedies()["weights of coco"]


def test_what_downloads_left_behind_is_named(healthy):
    left = healthy / "weights.pth.bad"
    left.write_bytes(b"x")
    assert remedies() == {"left behind": f"delete {left}"}


def test_the_doctor_changes_nothing(healthy):
    (healthy / "weights.pth.bad").write_bytes(b"x")
    examine()
    assert [path.name for path in healthy.iterdir()] == ["weights.pth.bad"]
    assert load_model("street", device="cpu").name == "street"


@pytest.mark.slow
def test_in_a_real_kernel_the_controls_answer_while_a_cell_runs():
    code = (
        "from maskseg_nb.diagnostics import examine\nprint([f for f in examine() if f.subject == 'kernel'])"
    )
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code)])
    NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    assert "with subshells" in notebook.cells[0].outputs[0].text
