"""One encoder: waveforms to embeddings."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from axlstm._library import Encoder as _Encoder


class Embedding(NamedTuple):
    """Of one clip; float32 on the CPU."""

    scene: Tensor
    """[W], the mean over time unless a module has scenes of its own."""
    timestamps: Tensor
    """[S, W]."""
    times_ms: Tensor
    """[S] float64, milliseconds from the beginning of the clip, in equal steps from 0."""


class Encoder(torch.nn.Module):
    """A model opened by load(). Its weights stay in C++; it computes without gradients, as `extract` does.

    Waveforms are float tensors, or NumPy arrays of the same type.
    """

    def __init__(
        self,
        name: str | os.PathLike[str],
        *,
        device: str = "auto",
        precision: str = "auto",
        layout: str | None = None,
        padding: str | None = None,
        ema: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self._encoder = _Encoder(os.fspath(name), device, precision, layout, padding, ema, seed)
        self.sample_rate: int = self._encoder.sample_rate()
        """Hz of the waveforms that it takes."""
        self.description: str = self._encoder.description()
        """Weights, layout and precision: two encoders with the same one give the same embeddings."""
        scene, timestamps, _ = self._encoder.embed([torch.zeros(2 * self.sample_rate)])[0]
        self.scene_embedding_size: int = scene.shape[-1]
        self.timestamp_embedding_size: int = timestamps.shape[-1]

    def encode(self, waveform: Tensor) -> Embedding:
        """Embeds one mono clip [samples] at self.sample_rate, of any length from 1 sample on."""
        return self.encode_all([waveform])[0]

    def encode_all(self, waveforms: Iterable[Tensor]) -> list[Embedding]:
        """Embeds clips of different lengths together. Which clips go together does not change their numbers."""
        return [Embedding(*of_clip) for of_clip in self._encoder.embed([torch.as_tensor(each) for each in waveforms])]

    def scenes(self, waveforms: Iterable[Tensor]) -> list[Tensor]:
        """The scene embeddings [W] that encode_all() gives, without the time steps."""
        return self._encoder.scenes([torch.as_tensor(each) for each in waveforms])

    def forward(self, audio: Tensor) -> Tensor:
        """Scene embeddings [B, W] of clips of one length [B, samples]."""
        return torch.stack(self.scenes(audio))

    def log_mel(self, waveform: Tensor) -> Tensor:
        """The log-mel spectrogram [frames, mels] that the encoder sees of a clip [samples], before it is normalised."""
        return self._encoder.log_mel(torch.as_tensor(waveform))

    def extra_repr(self) -> str:
        return f"{self.description}, {self.sample_rate} Hz, width {self.scene_embedding_size}"


def load(name: str | os.PathLike[str], **options: object) -> Encoder:
    """Opens a run folder, a checkpoint, "naive" (HEAR's naive features) "random:CONFIG.yaml" (untrained) or
    "module:FOLDER" (written by axlstm.export).

    Options: device "auto", "cpu" or "cuda"; precision "auto" (fp16 on a GPU, fp32 on the CPU), "fp32", "tf32", "bf16" or
    "fp16"; layout "time_frequency" or "released" and padding "zero" or "reflect" instead of the run's; ema=True for a checkpoint's averaged weights; seed
    of untrained ones. Raises RuntimeError naming what cannot be opened.
    """
    return Encoder(name, **options)


def decode(path: str | os.PathLike[str], sample_rate: int | None = None) -> tuple[Tensor, int]:
    """The samples [T] float32 of a sound file, its channels averaged, and their rate in Hz: `sample_rate`, or the file's.

    Takes every format that `extract` takes. Raises RuntimeError naming the file.
    """
    return torch.ops.axlstm.decode(os.fspath(path), sample_rate)


def resample(waveform: Tensor, from_rate: int, to_rate: int) -> Tensor:
    """A mono waveform [T] at another rate in Hz: the samples that decode(…, to_rate) gives of a file with these at from_rate.

    Raises RuntimeError for another shape or a rate below 1.
    """
    return torch.ops.axlstm.resample(waveform, from_rate, to_rate)


def state_dict(name: str | os.PathLike[str], *, ema: bool = False) -> dict[str, Tensor]:
    """The weights of a checkpoint folder as plain tensors under their PyTorch names; needs the package safetensors.

    `name` is a checkpoint (a folder with model.safetensors), or a run, whose newest checkpoint is taken.
    """
    from safetensors.torch import load_file

    folder = Path(name)
    file = "ema.safetensors" if ema else "model.safetensors"
    checkpoints = [folder, *sorted(folder.glob("checkpoints/*"), reverse=True)]
    for checkpoint in checkpoints:
        if (checkpoint / file).is_file():
            return load_file(checkpoint / file)
    raise FileNotFoundError(f"{folder}: neither a checkpoint nor a run with one ({file} is not there)")
