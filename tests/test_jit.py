"""Where the machine code of kernels is kept, and by whom at a time."""

import fcntl
import subprocess
import sys
import time
from pathlib import Path

COMPILE = """
import sys
from fdsl_gen.core import jit
print(jit._FOLDER, flush=True)
sys.stdin.readline()
from fdsl_gen.kernels import elementary
elementary.sin(0.5)
"""


def test_machine_code_is_written_by_one_process_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", COMPILE],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        folder = Path(process.stdout.readline().strip())
        with (folder / ".lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            process.stdin.write("go\n")
            process.stdin.flush()
            end = time.monotonic() + 60
            while _waiting_for(folder / ".lock") < 1 and time.monotonic() < end:
                time.sleep(0.02)
            assert process.poll() is None
            assert not list(folder.rglob("*.nbi"))
        process.stdin.close()
        assert process.wait(60) == 0
    assert list(folder.rglob("*.nbi"))


def _waiting_for(path: Path) -> int:
    """Processes that wait for a lock on a file, as the kernel counts them."""
    inode = f":{path.stat().st_ino} "
    lines = Path("/proc/locks").read_text().splitlines()
    return sum("->" in line and inode in line for line in lines)
