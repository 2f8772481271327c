"""`python -m tests.bars [PART ...] [--files FILE ...]`: one table, and exit code 1 when a bar is missed."""

import argparse
import sys
from pathlib import Path

import torch
from rich import box
from rich.console import Console
from rich.table import Table

from hybrid.measuring.lock import measuring
from hybrid.models.sources import ZooSource
from tests.bars.bar import Bar
from tests.bars.cpu import PARTS
from tests.bars.quality import quality
from tests.loaded import EN_DE


def main() -> int:
    """Measure the parts that are named, all but quality when none is; one line as soon as it is known."""
    parser = argparse.ArgumentParser(prog="python -m tests.bars", description=main.__doc__)
    parser.add_argument("parts", nargs="*", choices=[*PARTS, []], help="default: all")
    parser.add_argument(
        "--files", nargs="*", type=Path, default=[], help="TSV or JSONL, for what 8 bits cost"
    )
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    source = ZooSource(EN_DE)  # whose one tokenizer the lossless bars need
    bars: list[Bar] = []
    console = Console(stderr=True, soft_wrap=True)
    with measuring("bars", "the engines' bars", 0.0):
        chosen = arguments.parts or ([] if arguments.files else list(PARTS))
        for stream in (*(PARTS[part](source) for part in chosen), quality(source, arguments.files)):
            for bar in stream:
                console.print(f"{'met   ' if bar.met else 'MISSED'}  {bar.claim}: {bar.result}", markup=False)
                bars.append(bar)
    table = Table("bar", "found", "met", box=box.MARKDOWN)
    for bar in bars:
        table.add_row(bar.claim, bar.result, "yes" if bar.met else "no")
    Console(width=160).print(table)
    return 0 if all(bar.met for bar in bars) else 1


if __name__ == "__main__":
    sys.exit(main())
