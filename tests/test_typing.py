"""What users' type checkers say: pyright here; mypy reads the same files with everything else."""

import json
import os
import subprocess
import sys
from pathlib import Path

from pyright import __pyright_version__

PINS = Path(__file__).parent / "typing"


def test_pyright_agrees_with_every_pinned_type_and_error() -> None:
    """Each `assert_type` holds, each error that a comment expects is there, and no other."""
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "pyright", "--outputjson"),
            *("--pythonpath", sys.executable, "--project", str(PINS)),
        ],
        capture_output=True,
        text=True,
        check=False,
        # The pyright and the Node.js that the packages carry: nothing is looked up or downloaded.
        env={
            **os.environ,
            "PYRIGHT_PYTHON_GLOBAL_NODE": "0",
            "PYRIGHT_PYTHON_FORCE_VERSION": __pyright_version__,
            "PYRIGHT_PYTHON_IGNORE_WARNINGS": "1",
        },
    )
    assert ran.stdout.startswith("{"), ran.stderr
    found = json.loads(ran.stdout)
    told = [
        f"{Path(each['file']).name}:{each['range']['start']['line'] + 1}: {each['message']}"
        for each in found["generalDiagnostics"]
    ]
    assert told == []
    assert found["summary"]["filesAnalyzed"] == len(list(PINS.glob("*.py")))
