"""How long OpenMP's threads spin before they sleep: as long as in the programs (apps/spinning.cpp).

libgomp's own bound is milliseconds. Where another process has the core of a thread that is waited for, an encoder of short
operators then takes twice as long. libgomp reads its bound once, when torch loads it, and has no function to change it.
"""

import os
import sys

_BOUND = ("GOMP_SPINCOUNT", "10000")


def import_torch() -> None:
    """Imports torch with the bound, unless it is imported already or the environment says how to wait."""
    if "torch" in sys.modules or "OMP_WAIT_POLICY" in os.environ or _BOUND[0] in os.environ:
        return
    os.environ[_BOUND[0]] = _BOUND[1]
    try:
        import torch  # noqa: F401
    finally:
        del os.environ[_BOUND[0]]  # programs that are started later choose for themselves
