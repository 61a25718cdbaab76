"""Every run of the suite tries the same examples; ``make fuzz`` tries others each time."""

import os

from hypothesis import HealthCheck, settings

# A machine that is busy with other things makes the drawing of examples slow, and nothing else is wrong then.
slow_is_fine = (HealthCheck.too_slow,)
settings.register_profile("suite", derandomize=True, deadline=None, suppress_health_check=slow_is_fine)
settings.register_profile(
    "fuzz", database=None, deadline=None, print_blob=True, suppress_health_check=slow_is_fine
)
settings.load_profile("fuzz" if os.environ.get("NSQ_FUZZ_SECONDS") else "suite")
