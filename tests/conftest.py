"""Every run of the suite tries the same examples; ``make fuzz`` tries others each time."""

import os

from hypothesis import settings

settings.register_profile("suite", derandomize=True, deadline=None)
settings.register_profile("fuzz", database=None, deadline=None, print_blob=True)
settings.load_profile("fuzz" if os.environ.get("NSQ_FUZZ_SECONDS") else "suite")
