"""Files of the corpus, changed by hypothesis, in a process that is allowed to die: it must not."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import maskseg_nb

CHILD = Path(__file__).with_name("fuzz_child.py")
EXAMPLES = 2000


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits are set as Linux does")
@pytest.mark.expects("pixels or an ImageError: no crash, no hang")
def test_a_changed_file_gives_pixels_or_an_image_error_and_never_a_crash_or_a_hang(tmp_path, torture, got):
    outcomes: Counter[str] = Counter()
    for seed in range(torture):  # each in a process of its own: hypothesis remembers every example
        done = subprocess.run(
            [sys.executable, CHILD, str(EXAMPLES), str(seed), tmp_path],
            cwd=tmp_path,  # hypothesis leaves a folder where it runs
            env={**os.environ, "PYTHONPATH": str(Path(maskseg_nb.__file__).parents[1])},
            capture_output=True,
            text=True,
            errors="replace",
            timeout=600,
        )
        last = f"{tmp_path / 'offender'}: {(tmp_path / 'offender.txt').read_text()}"
        assert done.returncode == 0, f"status {done.returncode} at {last}\n{done.stderr[-3000:]}"
        outcomes.update(json.loads(done.stdout))
    assert outcomes.total() >= EXAMPLES * torture
    assert min(outcomes["pictures"], outcomes["refused"]) > outcomes.total() / 20  # both are exercised
    got(f"{outcomes['pictures']} pictures, {outcomes['refused']} refusals")
