"""Has systemd check unit files, with a program that exists in the place of ours, and rate them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

# Tenths of systemd's own score of exposure, 0 to 100; below 20 it says "OK" with room to spare.
_EXPOSURE_MAX = 20


def complaints(unit: Path) -> str:
    """What systemd says against `unit`; empty when it is content."""
    text = re.sub(r"^ExecStart=.*$", "ExecStart=/bin/true", unit.read_text(), flags=re.MULTILINE)
    with tempfile.TemporaryDirectory() as folder:
        # A timer is looked at with what it starts.
        (Path(folder) / "polybackfill.service").write_text("[Service]\nExecStart=/bin/true\n")
        copy = Path(folder) / unit.name
        copy.write_text(text)
        output, code = _analyze("verify", "--recursive-errors=no", str(copy))
        said = output if code or unit.name in output else ""
        if unit.suffix == ".service" and "User=" in text:
            rating = ("--offline=true", f"--threshold={_EXPOSURE_MAX}", str(copy))
            output, code = _analyze("security", *rating)
            said += output if code else ""
    return said


def _analyze(*words: str) -> tuple[str, int]:
    check = subprocess.run(
        ["systemd-analyze", "--no-pager", *words],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return check.stdout + check.stderr, check.returncode


def main() -> int:
    """Check the named files; 1 when one has a fault."""
    if shutil.which("systemd-analyze") is None:
        print("systemd-analyze is not on this machine: unit files not checked")
        return 0
    found = "".join(complaints(Path(name)) for name in sys.argv[1:])
    print(found or "unit files: nothing to complain of")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
