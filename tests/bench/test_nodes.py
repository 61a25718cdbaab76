from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.support.processes import ROOT


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="nsqd and its load need a core each")
def test_one_node_apart_from_its_load_and_beside_it_is_measured() -> None:
    argv = [sys.executable, "-m", "bench.nodes", "--nsqd=1", "--rounds=1", "--seconds=0.2"]
    told = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=60, check=True).stdout
    for work in ("mpub", "sub", "pub"):
        assert re.search(rf"^{work}: .* 1, apart from load +[\d,]+ ", told, re.MULTILINE), told
    assert told.count("1, beside the load") == 3
    assert "Other programs had" in told
