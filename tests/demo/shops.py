"""The demo as a process of its own."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def served(*arguments: str) -> Iterator[str]:
    """Run the demo on a free port, and yield its address once it is printed."""
    command = [sys.executable, "-m", "coatcheck", "demo", "--port", "0", *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            told = iter(process.stdout.readline, "")
            yield next(found[0] for line in told if (found := re.search(r"http://\S+", line)))
        finally:
            process.terminate()
            process.wait(timeout=10)
