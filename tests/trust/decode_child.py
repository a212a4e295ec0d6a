"""Run apart from the tests: what files do to a process that decodes them. Prints JSON.

python decode_child.py weigh FOLDER    each file in a fork of its own: outcome, seconds of CPU, peak memory
python decode_child.py survive FOLDER  all files in this process, then the good pictures
python decode_child.py starve FILE     one file, with hardly any memory left
"""

import gc
import hashlib
import json
import os
import resource
import sys
import time
import warnings
from pathlib import Path

import numpy as np

from maskseg_nb import MasksegError, load_image, preprocess, sample_photo

STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "os.forkpty")


def memory() -> float:
    """What this process holds in memory now, in MB."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def outcome(source: Path | bytes) -> str:
    """'pixels', 'refused: ...', or 'wrong: ...', which no file may bring about."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = load_image(source)
    except MasksegError as error:
        return f"refused: {error}" if len(str(error)) <= 300 else f"wrong: {len(str(error))} characters"
    except BaseException as error:
        return f"wrong: {type(error).__name__}: {error}"
    good = image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    return "pixels" if good else f"wrong: {image.dtype} {image.shape}"


def limit_memory(megabytes: int) -> None:
    """Where a bomb goes off after all, the machine is not to suffer."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = resource.getrlimit(resource.RLIMIT_AS)[1]
    resource.setrlimit(resource.RLIMIT_AS, (pages * os.sysconf("SC_PAGE_SIZE") + megabytes * 2**20, most))


def fill_memory(megabytes: int) -> str:
    """A bomb that goes off, to see that the gauge shows it."""
    return f"filled {np.ones(megabytes * 2**20, np.uint8).sum()} bytes"


def gauged(path: Path) -> dict[str, object]:
    started: list[str] = []
    sys.addaudithook(lambda event, _: started.append(event) if event in STARTS else None)
    before, seconds = memory(), time.process_time()
    what = fill_memory(200) if path.name == "control" else outcome(path)
    seconds = time.process_time() - seconds
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    return {"outcome": what, "seconds": seconds, "peak": peak, "started": started}


def weigh(folder: Path) -> dict[str, object]:
    for path in (sample_photo("rocket"), sample_photo("cat")):
        load_image(path)  # libraries load their parts at the first picture
    report = {}
    for path in sorted(folder.iterdir()):
        ours, theirs = os.pipe()
        child = os.fork()
        if child == 0:
            resource.setrlimit(resource.RLIMIT_CPU, (20, 20))
            limit_memory(1000)
            os.write(theirs, json.dumps(gauged(path)).encode())
            os._exit(0)
        os.close(theirs)
        with open(ours, "rb") as pipe:
            told = pipe.read()
        _, status = os.waitpid(child, 0)
        report[path.name] = json.loads(told) if status == 0 else {"outcome": f"wrong: status {status}"}
    return report


def fingerprint() -> str:
    """Of the pixels and the network's input of two good pictures."""
    digest = hashlib.sha256()
    for name in ("rocket", "astronaut"):
        tensor, image = preprocess(sample_photo(name))
        for array in (load_image(sample_photo(name)), tensor.numpy(), image):
            digest.update(array.tobytes())
    return digest.hexdigest()


def survive(folder: Path) -> dict[str, object]:
    first, before = fingerprint(), memory()
    limit_memory(1000)
    outcomes = {path.name: outcome(path) for path in sorted(folder.iterdir())}
    gc.collect()
    return {"outcomes": outcomes, "grown": memory() - before, "first": first, "last": fingerprint()}


def starve(path: Path) -> dict[str, object]:
    load_image(sample_photo("rocket"))
    data = path.read_bytes()
    free = resource.getrlimit(resource.RLIMIT_AS)
    limit_memory(20)
    starved = {"bytes": outcome(data), "path": outcome(path)}
    resource.setrlimit(resource.RLIMIT_AS, free)
    return starved | {"then": outcome(path)}


if __name__ == "__main__":
    print(json.dumps({"weigh": weigh, "survive": survive, "starve": starve}[sys.argv[1]](Path(sys.argv[2]))))
