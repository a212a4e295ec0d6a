"""Files that appear whole or not at all."""

import os
import tempfile
from pathlib import Path


def write_whole(path: Path, data: bytes) -> None:
    """Write a file under another name and rename it; an existing one is replaced at that moment, not before.

    Raises:
        OSError: It cannot be written; what was at `path` is still there, and no partial file stays.
    """
    handle, partial = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-", suffix=".partial")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(partial, 0o666 & ~umask())  # mkstemp's own is for nobody but the owner
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise


def umask() -> int:
    """What new files may not be, by the user's own setting."""
    mask = os.umask(0)
    os.umask(mask)
    return mask
