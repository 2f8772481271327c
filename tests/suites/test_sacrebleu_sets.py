"""sacrebleu's test sets: through its own download, from an archive of ours at a file: address."""

import hashlib
import io
import logging
import socket
import tarfile
import urllib.request
from collections.abc import Callable, Iterator
from http.client import IncompleteRead
from pathlib import Path
from urllib.error import HTTPError, URLError

import pytest
from sacrebleu.dataset import DATASETS
from sacrebleu.dataset.base import Dataset
from sacrebleu.dataset.fake_sgml import FakeSGMLDataset
from sacrebleu.dataset.plain_text import PlainTextDataset
from sacrebleu.dataset.wmt_xml import WMTXMLDataset

from hybrid.errors import SuiteError
from hybrid.schema import Example
from hybrid.suites import load_suite, sacrebleu_sets

NAME = "sacrebleu:tiny/set/en-de"
OFFLINE = "these need no network: everyday-en-de, briefs-en, everyday-100-en-de, file:PATH."


def sgml(*texts: str) -> str:
    segments = "".join(f'<seg id="{i}">{text}</seg>\n' for i, text in enumerate(texts, 1))
    return f'<doc docid="d1" genre="news" origlang="en">\n{segments}</doc>\n'


SGML = {
    "src": sgml("Hello there.", "Bye \x96 now.", "Nobody translated this."),
    "ref-a": sgml("Hallo.", "Tschüss.", ""),
    "ref-b": sgml("Guten Tag.", "", ""),
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.getLogger("sacrebleu").setLevel(logging.CRITICAL)
    yield
    logging.getLogger("sacrebleu").setLevel(logging.NOTSET)


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Dataset]:
    """Puts a data set `tiny/set` among sacrebleu's, packed at an address, with a cache of its own."""

    def put(files: dict[str, str], kind: type[Dataset] = FakeSGMLDataset, md5: str | None = None, **more):
        archive = tmp_path / "tiny.tgz"
        with tarfile.open(archive, "w:gz") as tar:
            for name, text in files.items():
                data = text.encode()
                entry = tarfile.TarInfo(name)
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
        sums = [md5 or hashlib.md5(archive.read_bytes()).hexdigest()]
        dataset = kind(
            "tiny/set", data=[archive.as_uri()], description="Three segments.", md5=sums,
            langpairs={"en-de": list(files), "de-en": list(files)}, **more,
        )  # fmt: skip
        dataset._outdir, dataset._rawdir = str(tmp_path / "cache"), str(tmp_path / "cache" / "raw")
        monkeypatch.setitem(DATASETS, "tiny/set", dataset)
        return dataset

    return put


def refusal(name: str = NAME, task: str | None = None) -> str:
    with pytest.raises(SuiteError) as caught:
        load_suite(name, task)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# sacrebleu unpacks without naming a filter, which Python 3.12 and 3.13 warn of.
pytestmark = pytest.mark.filterwarnings("ignore:Python 3.14 will:DeprecationWarning")


def test_all_references_and_the_domain_are_read(install: Callable[..., Dataset]) -> None:
    install(SGML, citation="@inproceedings{someone-2020-tiny,\n title={Tiny}}")
    suite = load_suite(NAME)
    assert suite.examples == (
        Example("1", "news", "Hello there.", ("Hallo.", "Guten Tag.")),
        Example("2", "news", "Bye   now.", ("Tschüss.",)),  # of the third, there is no reference
    )
    assert (suite.name, suite.task) == (NAME, "translate-en-de")
    assert suite.licence == "not stated by sacrebleu (Three segments; cite someone-2020-tiny)"


def test_a_set_without_domains_and_from_the_cache(
    install: Callable[..., Dataset], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    install({"src": "One\u2028line.\nTwo.\n", "ref": "Eine.\nZwei.\n"}, PlainTextDataset)
    first = load_suite(NAME, "translate-en-de")
    assert first.examples == (
        Example("1", "tiny/set", "One\u2028line.", ("Eine.",)),
        Example("2", "tiny/set", "Two.", ("Zwei.",)),
    )
    assert first.licence == "not stated by sacrebleu (Three segments)"
    (tmp_path / "tiny.tgz").unlink()
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_: pytest.fail("the cache was not used"))
    assert load_suite(NAME) == first


def test_the_references_of_an_xml_file_are_always_in_the_same_order(install: Callable[..., Dataset]) -> None:
    translators = "CDBA"
    refs = "".join(
        f'<ref lang="de" translator="{t}"><p><seg id="1">Eins {t}.</seg><seg id="2">Zwei {t}.</seg></p></ref>'
        for t in translators
    )
    source = '<src lang="en"><p><seg id="1">One.</seg><seg id="2">Two.</seg></p></src>'
    xml = f'<d><doc id="x" origlang="en" domain="social">{source}{refs}</doc></d>'
    install({"a.xml": xml}, WMTXMLDataset, refs=["B", "A", "D"])
    assert load_suite(NAME).examples == (
        Example("1", "social", "One.", ("Eins A.", "Eins B.", "Eins D.")),
        Example("2", "social", "Two.", ("Zwei A.", "Zwei B.", "Zwei D.")),
    )


@pytest.mark.parametrize(
    ("name", "task", "error"),
    [
        ("sacrebleu:wmt2O/en-de", None, "no test set 'wmt2O', but for example wmt24,"),
        ("sacrebleu:multi30k/2061/en-de", None, "no test set 'multi30k/2061', but for example multi30k/201"),
        ("sacrebleu:", None, "write sacrebleu:SET/PAIR, as in sacrebleu:wmt20/en-de."),
        ("sacrebleu:wmt20", None, "names no languages; add them, as in sacrebleu:wmt20/en-de."),
        ("sacrebleu:wmt20/en-en", None, "no task translates en to en; name two languages, as en-de."),
        ("sacrebleu:wmt20/en-xx", None, "wmt20 has no en-xx; available:"),
        ("sacrebleu:wmt17/dev/en-de", None, "wmt17/dev has no en-de; available: en-lv,"),
        ("sacrebleu:wmt20/en-de", "summarize", "is for translate-en-de (en to de), not for summarize (en)."),
    ],
)
def test_wrong_names(name: str, task: str | None, error: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.request, "urlopen", lambda *_: pytest.fail("nothing is to be fetched"))
    assert error in refusal(name, task)


def test_columns_are_refused() -> None:
    with pytest.raises(SuiteError, match="sacrebleu:wmt20/en-de has no columns to name"):
        load_suite("sacrebleu:wmt20/en-de", columns={"source": "x"})


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (URLError(socket.gaierror(-2, "Name or service not known")), "Name or service not known"),
        (URLError(ConnectionRefusedError(111, "Connection refused")), "Connection refused"),
        (HTTPError("http://a", 404, "Not Found", None, None), "HTTP Error 404: Not Found"),  # type: ignore[arg-type]
        (TimeoutError("timed out"), "timed out"),
        (ConnectionResetError(104, "Connection reset by peer"), "Connection reset by peer"),
        (IncompleteRead(b"x", 5), "IncompleteRead(1 bytes read, 5 more expected)"),
    ],
)
def test_without_a_network(
    install: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    install(SGML)

    def fail(*_args: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(urllib.request, "urlopen", fail)
    assert refusal() == f"The suite {NAME} cannot be fetched ({reason}); {OFFLINE}"


def test_a_silent_host_is_given_up(install: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:  # connects, and never answers
        install(SGML).data = [f"http://127.0.0.1:{server.getsockname()[1]}/tiny.tgz"]
        monkeypatch.setattr(sacrebleu_sets, "TIMEOUT_S", 0.2)
        monkeypatch.setenv("no_proxy", "*")
        assert "cannot be fetched (timed out)" in refusal()
    assert socket.getdefaulttimeout() is None


def test_a_damaged_download_is_named(install: Callable[..., Dataset], tmp_path: Path) -> None:
    install(SGML, md5="0" * 32)
    expected = (
        f"cannot be used (what came is not what sacrebleu expects); delete the folder {tmp_path / 'cache'}"
    )
    assert expected in refusal()
    assert "cannot be used ([Errno 2] No such file" in refusal()  # what was left behind is not unpacked again


def test_files_that_do_not_match_are_named(install: Callable[..., Dataset]) -> None:
    install({"src": "One.\nTwo.\n", "ref": "Eins.\n"}, PlainTextDataset)
    assert "cannot be used (its files have 2, 2, 1 lines); delete the folder" in refusal()


def test_a_cache_that_cannot_be_written(
    install: Callable[..., Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = install(SGML)

    def full(*_args: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(dataset), "process_to_text", full)
    assert "(No space left on device); name another folder in the variable SACREBLEU." in refusal()


def test_an_empty_set(install: Callable[..., Dataset]) -> None:
    install({"src": "", "ref": ""}, PlainTextDataset)
    assert refusal() == f"{NAME} is empty; a suite has at least one example."
