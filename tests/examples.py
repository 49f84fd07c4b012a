"""How many random examples there are: a total for the whole suite, and each test's share of it."""

import functools
import os
from collections import Counter

import hypothesis

TOTAL = int(os.environ.get("CENOTE_EXAMPLES", "2000"))
FINISHED = Counter()
"""By test, the examples that ran to their end in this process."""


def share(percent):
    """Give a test its part of the examples, and count those that it finishes."""

    def dealt(test):
        body = test.hypothesis.inner_test

        @functools.wraps(body)
        def counted(*args, **kwargs):
            body(*args, **kwargs)
            FINISHED[body.__name__] += 1

        test.hypothesis.inner_test = counted
        return hypothesis.settings(max_examples=max(1, TOTAL * percent // 100))(test)

    return dealt
