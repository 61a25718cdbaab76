from __future__ import annotations

import importlib.metadata
import re

from nsqcore.version import NSQ_VERSION, banner, suite_version


def test_the_banner_has_the_originals_form() -> None:
    assert re.fullmatch(r"nsqd v1\.3\.0 \(built w/\S+\)", banner("nsqd"))


def test_peers_compare_versions_so_ours_is_a_version_of_the_original() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", NSQ_VERSION)


def test_our_own_version_is_that_of_the_installed_distribution() -> None:
    assert suite_version() == importlib.metadata.version("nsq-suite")
