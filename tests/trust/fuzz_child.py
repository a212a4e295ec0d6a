"""Run apart from the tests, as it may crash: hypothesis changes files of the corpus, load_image reads them.

    python fuzz_child.py EXAMPLES SEED FOLDER

FOLDER/offender and FOLDER/offender.txt hold the file being read and how it was made. Where the process
outlives its examples it prints how many pictures and how many refusals there were.
"""

import json
import os
import resource
import signal
import sys
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
from corpus import PIXELS, all_bombs, chunk, corpus
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from maskseg_nb import MasksegError, load_image, sample_photo

SECONDS = 10  # of CPU, for one file
MEMORY = 2**30  # bytes that the process may take above what it has when it begins

cases = {**corpus(), **all_bombs()}
files = {name: case.data for name, case in cases.items()}
good = [name for name, case in cases.items() if case.expected == PIXELS]
names = st.sampled_from(good) | st.sampled_from(sorted(files))
places = st.integers(0, 2**20)  # modulo the length; also often near the head, where the lies are
heads = st.integers(0, 120)
flip = st.tuples(places | heads, st.integers(1, 255))
mutations = st.one_of(
    st.tuples(st.just("flip"), st.lists(flip, min_size=1, max_size=1)),  # the one that many files survive
    st.tuples(st.just("flip"), st.lists(flip, min_size=1, max_size=1)),
    st.tuples(st.just("flip"), st.lists(flip, min_size=2, max_size=12)),
    st.tuples(
        st.just("overwrite"), places | heads, st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\x7f\xff", b"\1"])
    ),
    st.tuples(st.just("cut out"), places, places | heads),
    st.tuples(st.just("cut off"), places),
    st.tuples(st.just("splice"), places, names, places),
)


def mutated(data: bytes, mutation: tuple) -> bytes:
    length = len(data) or 1
    match mutation:
        case "flip", changes:
            changed = bytearray(data or b"\0")
            for place, bits in changes:
                changed[place % length] ^= bits
            return bytes(changed)
        case "overwrite", place, value:
            start = place % length
            return data[:start] + value + data[start + len(value) :]
        case "cut out", place, size:
            start = place % length
            return data[:start] + data[start + 1 + size % length :]
        case "cut off", place:
            return data[: place % length]
        case "splice", place, other, their_place:
            return data[: place % length] + files[other][their_place % (len(files[other]) or 1) :]
    raise ValueError(mutation)


def mended(data: bytes) -> bytes:
    """A PNG with its checksums made right again, so that the damage reaches the decoders."""
    if not data.startswith(b"\x89PNG\r\n\x1a\n"):
        return data
    parts, place = [data[:8]], 8
    while place + 12 <= len(data):
        end = place + 8 + int.from_bytes(data[place : place + 4], "big")
        if end + 4 > len(data):
            break
        parts.append(chunk(data[place + 4 : place + 8], data[place + 8 : end]))
        place = end + 4
    return b"".join([*parts, data[place:]])


def main(examples: int, number: int, folder: Path) -> None:
    outcomes: Counter[str] = Counter()
    load_image(sample_photo("rocket"))
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    @seed(number)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(names, st.lists(mutations, min_size=1, max_size=2), st.booleans())
    def only_two_outcomes(name: str, changes: list[tuple], mend: bool) -> None:
        data = files[name]
        for mutation in changes:
            data = mutated(data, mutation)
        data = mended(data) if mend else data
        (folder / "offender").write_bytes(data)
        (folder / "offender.txt").write_text(f"{name}, {changes}, checksums mended: {mend}")
        signal.setitimer(signal.ITIMER_PROF, SECONDS)  # its signal ends the process, even inside a decoder
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                image = load_image(data)
        except MasksegError as error:
            assert len(str(error)) <= 300 and str(error).isascii(), error
            outcomes["refused"] += 1
        else:
            assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3 and image.size
            outcomes["pictures"] += 1
        signal.setitimer(signal.ITIMER_PROF, 0)

    only_two_outcomes()
    print(json.dumps(outcomes))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
