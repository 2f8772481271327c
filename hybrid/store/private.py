"""What a private run stores in the place of texts: digests, under a key that only the suite's texts give.

A plain hash of a short text is found by trying texts, and a salt that stands in the run delays nobody.
A key drawn anew for each run would leave two runs of the same texts without anything in common. So the
key is derived from the content of the whole suite, as convergent encryption derives it from a file
(J. R. Douceur et al., "Reclaiming Space from Duplicate Files in a Serverless Distributed File System",
ICDCS 2002; M. Bellare, S. Keelveedhi and T. Ristenpart, "Message-Locked Encryption and Secure
Deduplication", EUROCRYPT 2013). Whoever measures the same suite gets the same digests. Whoever lacks
one text of it can test no guess of another: only of the whole, which takes a scrypt each (RFC 7914).

What it does not protect. Who has the whole suite sees that it was measured; who has all but a little of
it can try the rest ("confirmation of a file" and "learn the remaining information": Z. Wilcox-O'Hearn,
"Drew Perttula and Attacks on Convergent Encryption", 2008). A secret in HYBRID_PRIVATE_SECRET, which
is stored nowhere, ends both: only runs made with the same one have digests in common. Lengths, times and
statistics are there to be read, and let anyone with the same models check a guess of a single text
against them. Of token times only the first and the last are kept, as those between tell how many
drafted tokens were accepted at each step, by which texts are recognized (J. Wei et al., "Privacy Risks
of Speculative Decoding in Large Language Models", 2024, arXiv 2411.01076).
"""

import hmac
import json
import os
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from hashlib import scrypt

from hybrid.schema import Example, Plan, Record, Withheld
from hybrid.schema.answers import paused
from hybrid.schema.runs import UNNAMED

SECRET = "HYBRID_PRIVATE_SECRET"  # the name of an environment variable
DIGEST = re.compile("[0-9a-f]{32}")  # 128 bits: no two of 10**9 texts have the same
SUITE_DIGEST = re.compile("[0-9a-f]{64}")
_COST = {"n": 2**14, "r": 8, "p": 1}  # 16 MiB and some 50 ms each time


class Digests:
    """The digests of one suite's texts. content_hash: Suite.content_hash, which no private run holds."""

    def __init__(self, content_hash: str) -> None:
        self._key = _key(content_hash, os.environ.get(SECRET, ""))

    @property
    def suite_hash(self) -> str:
        """What stands for the suite: the same for the same texts."""
        return hmac.digest(self._key, b"suite", "sha256").hex()

    def suite_name(self, label: str = "") -> str:
        """Call a suite whose name is withheld, too."""
        return f"{UNNAMED}{label or self.suite_hash[:12]}"

    def examples(self, examples: tuple[Example, ...]) -> tuple[Example, ...]:
        """Put a digest of all that an example is in the place of its id; the texts are still there."""
        return tuple(
            replace(example, id=self._of("example", example.id, example.source, *example.references))
            for example in examples
        )

    def record(self, record: Record, example_id: str) -> Record:
        """Take text, ids and the times between the first and the last id out of a record.

        example_id: of examples().
        """
        generation, timing = record.generation, record.generation.timing
        times = timing.token_times_s
        withheld = self.answer(example_id, generation.text, len(generation.token_ids))
        timing = replace(
            timing,
            token_times_s=times if len(times) < 2 else (times[0], times[-1]),
            disturbed=timing.disturbed or paused(times),
            tokens=len(times),
        )
        generation = replace(generation, text="", token_ids=(), timing=timing, withheld=withheld)
        return replace(record, example_id=example_id, generation=generation)

    def answer(self, example_id: str, text: str, tokens: int) -> Withheld:
        """Give what stands for an answer: for two to one example the same where their texts are the same.

        Those of two examples never have the same digest.
        """
        return Withheld(self._of("answer", example_id, text), len(text), tokens)

    def _of(self, *parts: str) -> str:
        message = json.dumps(parts).encode()  # ASCII, whatever they hold, and no two lists alike
        return hmac.digest(self._key, message, "sha256").hex()[:32]


def with_like_hashes(plans: Sequence[Plan]) -> list[Plan]:
    """Key the suite_hash of open plans that have the texts of a private one among them: equal, then."""
    keyed = {plan.suite_hash for plan in plans if plan.private}
    of_open = {plan.suite_hash for plan in plans if not plan.private} if keyed else set()
    keys = {plain: Digests(plain).suite_hash for plain in of_open}
    return [
        replace(plan, suite_hash=keys[plan.suite_hash]) if keys.get(plan.suite_hash) in keyed else plan
        for plan in plans
    ]


@lru_cache(64)
def _key(content_hash: str, secret: str) -> bytes:
    salt = b"hybrid-bench private run\0" + secret.encode("utf-8", "surrogateescape")
    return scrypt(content_hash.encode(), salt=salt, dklen=32, **_COST)
