"""Example prompts of the Live page, by task: a short label and the prompt."""

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
        "Chat": (
            "Hi! I ordered two chairs last week, but only one has arrived. Could you please tell me where "
            "the other one is?"
        ),
        "News": (
            "The city council voted on Tuesday to rebuild the old bridge, which has been closed to "
            "traffic since the floods of last spring."
        ),
        "Everyday": (
            "The last train to the coast leaves at a quarter past nine, so we should finish dinner a "
            "little earlier."
        ),
    },
    "summarize": {
        "Package": (
            "This package contains a small command-line tool that watches one or more folders and copies "
            "every file that changes to a backup disk. It keeps up to thirty older versions of each file, "
            "so that a document which was overwritten by mistake can be brought back later with a single "
            "command. Copies are compressed and may also be encrypted with a password. The program needs "
            "very little memory and runs well on older machines, because it compares dates and sizes "
            "before it reads any data. A short text file describes which folders are watched and which "
            "file names are left out. Messages are written to the system log, and a mail can be sent when "
            "the backup disk is nearly full."
        ),
        "Science": (
            "Neural networks that translate text usually produce one word after another, and every word "
            "needs a full pass through a large model. We study whether all of that work is necessary. In "
            "our approach a large model reads the source sentence once, and its internal representation "
            "is handed to a much smaller model, which then writes the translation on its own. The small "
            "model is trained to make use of this representation, while the large model remains "
            "unchanged. On two translation benchmarks our method is between three and four times faster "
            "than the large model, and it loses less than two percent of its quality. Further experiments "
            "show that the gain grows with the length of the output, and that the small model alone "
            "performs clearly worse."
        ),
        "News": (
            "After more than two years of repairs, the harbour museum opened its doors again on Saturday "
            "morning. Hundreds of visitors were waiting in the rain before the mayor cut the ribbon at "
            "ten o'clock. The building had been badly damaged by a winter storm, which tore off part of "
            "the roof and flooded the lower rooms. Most of the ship models could be saved because "
            "neighbours carried them to a school nearby during the night. The repairs cost about four "
            "million euros, half of which came from donations. A new hall on the ground floor tells the "
            "story of the storm with photographs and short films. Entry is free until the end of the "
            "month, and guided tours are offered every afternoon."
        ),
        "How-to": (
            "Before you plant tomatoes outside, wait until the nights are warm and there is no more "
            "danger of frost. Choose a place that gets at least six hours of sun a day and is protected "
            "from heavy rain. Dig a hole that is deeper than the pot, remove the lowest leaves, and set "
            "the plant so deep that part of the stem is covered; new roots will grow from it. Leave about "
            "half a metre between the plants, because the leaves must dry quickly after rain. Water in "
            "the morning, close to the ground, and never over the leaves. Tie the plants to a stick as "
            "they grow, and pick the ripe fruit often so that more can follow."
        ),
    },
}
