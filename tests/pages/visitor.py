"""A visitor without a browser, as a script: starts the server, opens pages, is refused with foreign names.

visitor.py PAGE...
"""

import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

PORT = 8601  # in a network of its own
HERE = f"127.0.0.1:{PORT}"
STREAM = f"ws://{HERE}/_stcore/stream"
FOREIGN = "evil.example"


def open_page(name: str) -> None:
    """Have the server draw a page to its end."""
    with connect(STREAM, origin=f"http://{HERE}", subprotocols=["streamlit"]) as socket:
        ask = BackMsg()
        ask.rerun_script.page_name = "" if name == "overview" else name
        socket.send(ask.SerializeToString())
        drawn = ForwardMsg()
        while drawn.WhichOneof("type") != "script_finished":
            drawn.ParseFromString(bytes(socket.recv(60)))
            assert "exception" not in drawn.delta.new_element.WhichOneof("type").__str__(), drawn


def refused(**headers: str) -> None:
    """Ask for a page and a session under a foreign name."""
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(urllib.request.Request(f"http://{HERE}/", headers=headers), timeout=10)
    with pytest.raises(InvalidStatus, match="403"), connect(STREAM, additional_headers=headers):
        pass


def main(pages: list[str]) -> None:
    app = Path(__file__).parents[2] / "app.py"
    options = ["--server.port", str(PORT), "--server.headless", "true"]
    server = subprocess.Popen([sys.executable, "-m", "streamlit", "run", str(app), *options])
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://{HERE}/_stcore/health", timeout=5)
                break
            except OSError:
                time.sleep(0.1)
        refused(Origin=f"http://{FOREIGN}")
        for page in pages:
            open_page(page)
    finally:
        server.terminate()
        server.wait(20)


if __name__ == "__main__":
    main(sys.argv[1:])
