"""Which pairs there are, in which order, and which stands for all where none is named."""

import shutil

from hybrid.models.bundle import load_bundle
from hybrid.models.manifest import BUNDLED, DEFAULT_PAIR, available_pairs, find_pair, user_zoo, zoos


def test_the_environment_names_the_zoo(tiny_zoo, monkeypatch):
    monkeypatch.setenv("HYBRID_ZOO", str(tiny_zoo))
    assert zoos() == (tiny_zoo,)
    assert list(available_pairs()) == ["tiny"]


def test_a_users_pairs_stand_behind_the_bundled_ones(tiny_zoo, monkeypatch, tmp_path):
    monkeypatch.delenv("HYBRID_ZOO", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    bundled = list(available_pairs())
    for name in ("mine", bundled[0]):
        shutil.copytree(tiny_zoo / "tiny", user_zoo() / name)
    assert list(available_pairs()) == [*bundled, "mine"]
    assert find_pair(None)[0] == find_pair(bundled[0])[0] != user_zoo() / bundled[0]
    assert find_pair("mine")[0] == user_zoo() / "mine"
    assert load_bundle("mine", models=["slm"]).name == "mine"


def test_the_default_pair_stands_first(tiny_zoo, monkeypatch, tmp_path):
    for name in ("a", "z"):
        shutil.copytree(tiny_zoo / "tiny", tmp_path / name)
    monkeypatch.setenv("HYBRID_ZOO", str(tmp_path))
    assert list(available_pairs()) == ["a", "z"]
    monkeypatch.setattr("hybrid.models.manifest.DEFAULT_PAIR", "z")
    assert list(available_pairs()) == ["z", "a"]
    assert find_pair(None)[0] == tmp_path / "z"


def test_the_default_pair_is_bundled():
    assert find_pair(None, BUNDLED)[0] == BUNDLED / DEFAULT_PAIR
