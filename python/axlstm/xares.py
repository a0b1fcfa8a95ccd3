"""An encoder for X-ARES, the package xares (0.1; pip install xares; its tasks are in its repository alone).

    AXLSTM_MODEL=runs/axlstm_tiny python -m xares.run --max-jobs 0 axlstm/xares.py src/tasks/*.py

xares imports that path as the module axlstm.xares and takes the one name in it that ends with "Encoder". The waveforms
are at sampling_rate already; shorter clips of a batch are padded with zeros, and xares does not tell how long they were.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from axlstm import hear_api


class AxlstmEncoder(torch.nn.Module):
    """Opens what axlstm.load() opens, with its options; without a name the one in the environment variable AXLSTM_MODEL."""

    def __init__(self, name: str = "", **options: object) -> None:
        super().__init__()
        self.model = hear_api.load_model(name, **options)
        self.sampling_rate: int = self.model.sample_rate
        self.output_dim: int = self.model.timestamp_embedding_size
        first, second = self.model.encode(torch.zeros(2 * self.sampling_rate)).times_ms[:2].tolist()
        self.hop_size_in_ms: float = second - first
        # xares keeps embeddings and scores under the name of the class, and takes them for those of the next model.
        weights = hashlib.sha256(self.model.description.encode()).hexdigest()[:16]
        self.__class__ = type(f"Axlstm{weights}Encoder", (AxlstmEncoder,), {})

    def forward(self, audio: Tensor) -> Tensor:
        """Embeddings [B, S, W] of clips [B, samples], or of one [samples]."""
        return hear_api.get_timestamp_embeddings(audio if audio.ndim > 1 else audio[None], self.model)[0]
