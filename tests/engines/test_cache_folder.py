"""The cache lies where the user says, else where the system keeps caches."""

from pathlib import Path

import pytest

from hybrid.engines.cache_folder import cache_folder


@pytest.mark.parametrize(
    ("own", "shared", "expected"),
    [
        ("/a/b", "/c", "/a/b"),
        ("~/mine", None, "/home/somebody/mine"),
        (None, "/c", "/c/hybrid-bench"),
        ("", "", "/home/somebody/.cache/hybrid-bench"),
        (None, None, "/home/somebody/.cache/hybrid-bench"),
        (None, "relative/path", "/home/somebody/.cache/hybrid-bench"),
    ],
)
def test_the_folder(monkeypatch, own, shared, expected):
    monkeypatch.setenv("HOME", "/home/somebody")
    for name, value in {"HYBRID_CACHE": own, "XDG_CACHE_HOME": shared}.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)
