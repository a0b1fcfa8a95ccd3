"""Loads the C++ library, once."""

from pathlib import Path

import torch

_FILE = Path(__file__).parent / "lib" / "libaxlstm_torch.so"

try:
    torch.ops.load_library(str(_FILE))
except OSError as reason:
    raise ImportError(
        f"{_FILE} cannot be loaded with torch {torch.__version__}: {reason}. The wheel is built for the torch that was "
        "installed then; install it again: pip install --force-reinstall --no-deps ./python"
    ) from reason

Encoder = torch.classes.axlstm.Encoder
Classifier = torch.classes.axlstm.Classifier
