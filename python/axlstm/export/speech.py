"""wav2vec 2.0, HuBERT and WavLM, of the package transformers."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from torch import Tensor, nn

from axlstm.export import Encoder


class SpeechModel(nn.Module):
    """The last hidden state of wav2vec 2.0 and its kin, which want clips of mean 0 and variance 1 if they were trained so."""

    def __init__(self, model: nn.Module, normalises: bool) -> None:
        super().__init__()
        self.model, self.normalises = model, normalises

    def forward(self, x: Tensor) -> Tensor:
        if self.normalises:
            x = (x - x.mean(-1, keepdim=True)) / (x.var(-1, unbiased=False, keepdim=True) + 1e-7).sqrt()
        return self.model(x).last_hidden_state


def speech_model(model: nn.Module, description: str, normalises: bool | None = None) -> Encoder:
    """Of a transformers model whose first layers are wav2vec 2.0's: a step of 20 ms, the first one's centre at 12.5 ms."""
    if normalises is None:
        normalises = model.config.feat_extract_norm == "layer"
    return Encoder(SpeechModel(model, normalises), description, min_samples=400, first_ms=12.5, step_ms=20.0)


def from_transformers(class_name: str) -> Callable[[str], Encoder]:
    """Makes the encoder of a name on Hugging Face or a folder."""

    def make(weights: str) -> Encoder:
        if not weights:
            raise ValueError("--weights is missing: a name on Hugging Face, or a folder")
        transformers = importlib.import_module("transformers")
        model = getattr(transformers, class_name).from_pretrained(weights, attn_implementation="eager")
        normalises = transformers.AutoFeatureExtractor.from_pretrained(weights).do_normalize
        return speech_model(model, f"{class_name} {weights}", normalises)

    return make
