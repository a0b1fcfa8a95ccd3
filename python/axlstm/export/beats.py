"""BEATs (Chen et al., 2022), by the code of the authors (microsoft/unilm, folder beats) or of the package speechbrain."""

from __future__ import annotations

import importlib
import sys

import torch
from torch import Tensor, nn

from axlstm.export import Encoder

FBANK = {"window": "povey", "scale": 32768.0, "mean": 15.41663, "std": 13.11164}
PATCH, MELS = 16, 128


class Beats(nn.Module):
    """The encoder's output of features [B, frames, 128], the mean over the patches of a time step → [B, frames // 16, W]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, features: Tensor) -> Tensor:
        patches = self.model.patch_embedding(features.unsqueeze(1))  # [B, D, steps, 8]
        tokens = self.model.layer_norm(patches.flatten(2).transpose(1, 2))
        if self.model.post_extract_proj is not None:
            tokens = self.model.post_extract_proj(tokens)
        return self.model.encoder(tokens, padding_mask=None)[0].unflatten(1, (-1, MELS // PATCH)).mean(2)


def beats(weights: str, code: str = "") -> Encoder:
    """`weights`: a checkpoint of the authors; `code`: a folder with their BEATs.py, instead of speechbrain."""
    if not weights:
        raise ValueError("--weights is missing: a checkpoint of BEATs, such as BEATs_iter3_plus_AS2M.pt")
    checkpoint = torch.load(weights, map_location="cpu", weights_only=True)
    missing = {"cfg", "model"} - set(checkpoint)
    if missing:
        raise ValueError(f"{weights}: is no checkpoint of BEATs, it lacks {' and '.join(sorted(missing))}")
    if code:
        sys.path.insert(0, code)
        source = importlib.import_module("BEATs")
        model = source.BEATs(source.BEATsConfig(checkpoint["cfg"]))
        model.load_state_dict(checkpoint["model"])
    else:
        model = importlib.import_module("speechbrain.lobes.models.beats").BEATs(weights)
    return Encoder(Beats(model), f"BEATs {weights}", min_samples=400 + (PATCH - 1) * 160, step_ms=160.0, kaldi_fbank=FBANK)
