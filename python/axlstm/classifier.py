"""A classifier that `finetune` trained: waveforms to labels."""

from __future__ import annotations

import os
from collections.abc import Iterable

import torch
from torch import Tensor

from axlstm._library import Classifier as _Classifier
from axlstm.encoder import decode


class Classifier:
    """Opened by load_classifier(). Its weights stay in C++; it computes what `classify` does. Waveforms as for Encoder."""

    def __init__(self, name: str | os.PathLike[str], *, device: str = "auto", precision: str = "auto") -> None:
        self._classifier = _Classifier(os.fspath(name), device, precision)
        self.classes: list[str] = self._classifier.classes()
        """Names of the classes, in the order of the probabilities."""
        self.exclusive: bool = self._classifier.is_exclusive()
        """True if a clip has one class (softmax), False if it has any number (sigmoid)."""
        self.sample_rate: int = self._classifier.sample_rate()
        """Hz of the waveforms that it takes."""

    def probabilities(self, waveforms: Iterable[Tensor]) -> Tensor:
        """[N, C] float32 of mono clips [samples] at self.sample_rate, of any lengths from 1 sample on."""
        return self._classifier.probabilities([torch.as_tensor(each) for each in waveforms])

    def classify(self, audio: Tensor | str | os.PathLike[str], top: int = 5) -> list[tuple[str, float]]:
        """The `top` most probable labels of a clip [samples] or a sound file, the most probable first."""
        waveform = decode(audio, self.sample_rate)[0] if isinstance(audio, (str, os.PathLike)) else audio
        values, indices = self.probabilities([waveform])[0].sort(descending=True, stable=True)
        return [(self.classes[index], value) for index, value in zip(indices[:top].tolist(), values[:top].tolist())]


def load_classifier(name: str | os.PathLike[str], **options: str) -> Classifier:
    """Opens a run of `finetune` (its best checkpoint) or one of its checkpoints.

    Options: device "auto", "cpu" or "cuda"; precision "auto" (on a GPU that of training, fp32 on the CPU), "fp32", "tf32",
    "bf16" or "fp16". Raises RuntimeError naming what is no classifier.
    """
    return Classifier(name, **options)
