"""The files in the page about testing are a project, and its tests pass."""

import re
import subprocess
import sys
from pathlib import Path

from tests.nsqclient.testing.test_plugin import ASYNCIO, PLUGIN, ROOT

PAGE = ROOT / "docs" / "client" / "testing.md"
_FILE = re.compile(r"^```python notest\n# (\w+\.py)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


def test_the_project_of_the_page_passes_its_tests(tmp_path: Path) -> None:
    files = _FILE.findall(PAGE.read_text("utf-8"))
    assert [name for name, _ in files] == ["billing.py", "test_billing.py"]
    for name, source in files:
        (tmp_path / name).write_text(source)
    command = [sys.executable, "-W", "error", "-m", "pytest", "-p", "no:cacheprovider", *PLUGIN, *ASYNCIO]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert "4 passed" in done.stdout, done.stdout + done.stderr
