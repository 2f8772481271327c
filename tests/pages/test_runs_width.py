"""A window that the table of runs does not fit scrolls it: every column can be reached, and ids stay."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.made_runs import store_run
from tests.pages.conftest import settled


def test_a_wide_table_of_runs_scrolls_in_a_narrow_window(
    tmp_path: Path, serve: Callable[..., Any], visit: Callable[..., Any]
):
    store_run(
        tmp_path, examples=4, suite="file:a-suite-of-a-long-name.tsv", device_name="A CPU of a long name " * 2
    )
    with serve(tmp_path) as server, visit("1300-light") as page:
        page.goto(f"{server.address}/runs")
        table = page.locator(".dvn-scroller").first
        table.wait_for()
        settled(page)
        assert table.evaluate("scroller => scroller.scrollWidth > scroller.clientWidth")
        table.evaluate("scroller => { scroller.scrollLeft = 10000 }")
        assert table.evaluate("scroller => scroller.scrollLeft > 0")
