"""For when something does not work: what this machine has, and a remedy beside each fault."""

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import torch
from jupyter_core.paths import jupyter_path
from packaging.requirements import Requirement

from ._shared.memory import free_bytes
from .models.bfloat16 import has_native_bfloat16
from .models.download import Download, weights_folder
from .models.loading import MODEL_VARIABLE
from .models.zoo import MODELS, shipped_weights

DISTRIBUTION = "maskseg-nb"
NEEDED_MEMORY = 2 * 10**9  # bytes: a ResNet model, its peak over one picture, and the notebook's own
NEEDED_DISK = 10**9  # bytes, for downloaded weights
# What JupyterLab needs for the apps, and the package that brings it.
FRONT_ENDS = {"@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets", "anywidget": "anywidget"}
OPENCV = "opencv-python"
OTHER_OPENCV = (  # the same cv2: without a screen's libraries, with more modules
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)


class Finding(NamedTuple):
    """One line of the doctor's table; `remedy` is empty where nothing is wrong."""

    subject: str
    found: str
    remedy: str = ""


def doctor() -> None:
    """Print what matters about this machine and installation, with a remedy beside each fault."""
    findings = examine()
    width = max(len(finding.subject) for finding in findings)
    for subject, found, remedy in findings:
        print(f"{'!' if remedy else ' '} {subject:<{width}}  {found}")
        if remedy:
            print(f"  {'':<{width}}  -> {remedy}")
    faults = sum(bool(finding.remedy) for finding in findings)
    print(
        "All is well." if not faults else f"{faults} of {len(findings)} lines have a remedy, marked with !."
    )


def examine() -> list[Finding]:
    """What `doctor` prints, as rows."""
    python = Finding("Python", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    findings = [python, *_packages(), *_front_ends(), _kernel(), _device(), _threads(), _waiting()]
    findings += [_memory(), _disk(), _default_model(), _shipped()]
    findings += [_cached(name, known.download) for name, known in MODELS.items() if known.download]
    return [*findings, *_leftovers()]


# Software.


def _packages() -> Iterable[Finding]:
    """Each package that pyproject.toml asks for, against its lower bound."""
    for text in metadata.requires(DISTRIBUTION) or []:
        wanted = Requirement(text)
        if wanted.marker and not wanted.marker.evaluate({"extra": ""}):
            continue
        name = _installed_opencv() if wanted.name == OPENCV else wanted.name
        remedy = f'run: pip install --upgrade "{name or OPENCV}{wanted.specifier}"'
        try:
            version = metadata.version(name) if name else cv2.__version__
        except metadata.PackageNotFoundError:
            yield Finding(name, "not installed", remedy)
            continue
        good = wanted.specifier.contains(version, prereleases=True)
        yield Finding(name or OPENCV, version, "" if good else remedy)


def _installed_opencv() -> str:
    """The package that brought cv2; empty if the system or conda-forge did."""
    for name in (OPENCV, *OTHER_OPENCV):
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
        return name
    return ""


def _front_ends() -> Iterable[Finding]:
    folders = [Path(folder) for folder in jupyter_path("labextensions")]
    for extension, package in FRONT_ENDS.items():
        if any((folder / extension / "package.json").is_file() for folder in folders):
            yield Finding(f"front end of {package}", "installed")
        else:
            remedy = f"run: pip install --force-reinstall {package}, restart JupyterLab and reload the page"
            yield Finding(f"front end of {package}", "missing here: no controls will show", remedy)


def _kernel() -> Finding:
    """Whether controls answer while a cell runs: subshells, in ipykernel 7 and newer."""
    kernel = _running_kernel()
    if kernel is None:
        return Finding("kernel", "none: this is not a notebook", "run: make lab, for the controls")
    if "kernel subshells" not in kernel.kernel_info.get("supported_features", ()):
        remedy = 'run: pip install --upgrade "ipykernel>=7", so that controls answer while a cell runs'
        return Finding("kernel", "without subshells", remedy)
    return Finding("kernel", "with subshells: controls answer while a cell runs")


def _running_kernel() -> Any:
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return getattr(shell, "kernel", None)


# Hardware.


def _device() -> Finding:
    if torch.cuda.is_available():
        return Finding("device", f"cuda: {torch.cuda.get_device_name()}")
    bits = "with" if has_native_bfloat16(torch.device("cpu")) else "without"
    if torch.version.cuda and shutil.which("nvidia-smi"):
        remedy = "the driver is older than this torch: update it, or install torch for its CUDA version"
        return Finding("device", f"cpu, {bits} bfloat16 instructions; a GPU is not used", remedy)
    return Finding("device", f"cpu, {bits} bfloat16 instructions")


def _processors() -> int:
    """Those that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _threads() -> Finding:
    threads, processors = torch.get_num_threads(), _processors()
    remedy = f"call: torch.set_num_threads({processors})" if threads > processors else ""
    return Finding("threads", f"{threads} for {processors} processors", remedy)


def _waiting() -> Finding:
    """Threads that spin while they wait take the processor from those that work."""
    policy = os.environ.get("OMP_WAIT_POLICY", "not set")
    spins = policy.upper() != "PASSIVE" and _processors() <= 4 and platform.system() == "Linux"
    remedy = "set OMP_WAIT_POLICY=PASSIVE before Python starts; make lab does" if spins else ""
    return Finding("OMP_WAIT_POLICY", policy, remedy)


def _memory() -> Finding:
    free = free_bytes()
    remedy = (
        "shut down other kernels (Kernel menu), or choose the model street" if free < NEEDED_MEMORY else ""
    )
    return Finding("free memory", f"{free / 1e9:.1f} GB", remedy)


def _disk() -> Finding:
    folder = weights_folder()
    existing = next(parent for parent in (folder, *folder.parents) if parent.is_dir())
    free = shutil.disk_usage(existing).free
    remedy = f"free some space, or set TORCH_HOME to another disk than {folder}" if free < NEEDED_DISK else ""
    return Finding("free disk", f"{free / 1e9:.1f} GB for weights", remedy)


# Weights.


def _default_model() -> Finding:
    name = os.environ.get(MODEL_VARIABLE)
    if not name:
        return Finding(MODEL_VARIABLE, "not set: coco")
    good = name in MODELS or Path(name).is_file()
    return Finding(MODEL_VARIABLE, name, "" if good else f"set it to one of {', '.join(MODELS)}")


def _shipped() -> Finding:
    remedy = (
        "" if shipped_weights("street").is_file() else f"run: pip install --force-reinstall {DISTRIBUTION}"
    )
    return Finding("weights of street", "missing" if remedy else "shipped with the package", remedy)


def _cached(name: str, download: Download) -> Finding:
    """A cached file's SHA-256 against the beginning of it in the file's name."""
    subject, path = f"weights of {name}", download.path
    if not path.is_file():
        return Finding(subject, f'not downloaded; load_model("{name}") does, once')
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest.startswith(download.sha256_prefix):
        return Finding(subject, f"whole, SHA-256 {digest[:16]}...")
    remedy = f'not used: load_model("{name}") sets it aside and downloads it again'
    return Finding(subject, f"damaged or another file, SHA-256 {digest[:16]}...", remedy)


def _leftovers() -> Iterable[Finding]:
    """What interrupted downloads and damaged files left behind."""
    for path in sorted(weights_folder().glob("*")):
        if path.suffix in (".bad", ".partial"):
            yield Finding("left behind", f"{path.stat().st_size / 1e6:.0f} MB", f"delete {path}")
