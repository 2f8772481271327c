"""Example prompts of the Live page, by task: a short label and the prompt.

The last of each is unlike anything the bundled pair was trained on.
"""

from collections.abc import Mapping

EXAMPLES: Mapping[str, Mapping[str, str]] = {
    "translate-en-de": {
        "Web docs": (
            "The method returns a new array that contains every element for which the given function "
            "returns true. The original array is not changed."
        ),
        "Software": (
            "Select the file that you want to open. If the file is protected, enter the password and "
            "click OK."
        ),
        "Chat": ("Please tell me your booking number so that I can check when your order will be delivered."),
        "Manual": ("The package could not be installed because there is not enough free space on the disk."),
        "Out of domain": (
            "The city council voted on Tuesday to rebuild the old bridge, which has been closed to "
            "traffic since the floods of last spring."
        ),
    },
    "summarize": {
        "Library": (
            "Sparrow is a small library for reading and writing configuration files in the INI format. It "
            "keeps comments and the order of entries when a file is changed, so that files which people "
            "edit by hand stay readable. Values can be read as text, numbers, dates or lists, and missing "
            "entries fall back to defaults that the program declares in one place. The library has no "
            "dependencies beyond the standard C library and is tested on Linux and BSD. This package "
            "contains the header files and the static library needed to compile programs with Sparrow."
        ),
        "Module": (
            "tidytable is a Python module for building plain-text tables. It takes lists, dictionaries or "
            "rows from a database and prints them with aligned columns, optional borders and a header. "
            "Column widths are computed from the content, long cells are wrapped, and numbers are aligned "
            "at the decimal point. Tables can also be written as Markdown, HTML or CSV. The module works "
            "without a terminal and supports wide characters. It is meant for scripts and command line "
            "tools that need readable output without a large dependency. This package provides the module "
            "for Python 3."
        ),
        "Guide": (
            "This guide shows how to set up a development environment on your own machine. You will "
            "install a compiler, a version control system and an editor, create a new project, and run "
            "its tests. Each step is explained for Linux, macOS and Windows. At the end you will know how "
            "to build the project from source, how to start the local server, and how to send a first "
            "change for review. No previous experience with the project is needed, but you should be "
            "comfortable with the command line. If something goes wrong, the last section lists common "
            "errors and how to fix them."
        ),
        "Science": (
            "Deep neural networks often need large amounts of labelled data, which is expensive to "
            "collect. We propose a training method that uses unlabelled examples together with a small "
            "labelled set. Our method adds noise to the input and asks the network to give the same "
            "prediction for both versions. Unlike earlier work, the amount of noise is learned during "
            "training. We evaluate the method on three image classification benchmarks and show that it "
            "reaches the accuracy of fully supervised training with ten percent of the labels. We also "
            "study how the learned noise changes over time and find that it grows as the network becomes "
            "more confident."
        ),
        "Out of domain": (
            "After more than two years of repairs, the harbour museum opened its doors again on Saturday "
            "morning. Hundreds of visitors were waiting in the rain before the mayor cut the ribbon at "
            "ten o'clock. The building had been badly damaged by a winter storm, which tore off part of "
            "the roof and flooded the lower rooms. Most of the ship models could be saved because "
            "neighbours carried them to a school nearby during the night. The repairs cost about four "
            "million euros, half of which came from donations. A new hall on the ground floor tells the "
            "story of the storm with photographs and short films. Entry is free until the end of the "
            "month, and guided tours are offered every afternoon."
        ),
    },
}
