"""Writes encoders of other projects as folders that `extract --model module:FOLDER` takes.

    python -m axlstm.export wav2vec2 FOLDER --weights facebook/wav2vec2-large-100k-voxpopuli

Names: `python -m axlstm.export --help`. A traced graph can be wrong at other lengths than the one it was traced with: it is
compared with the model itself at five lengths, alone and in pairs, and refused where they differ.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from axlstm import ops

LARGEST_DIFFERENCE = 1e-5
"""Between graph and model, and between a clip alone and beside another, of the largest value."""

SECONDS = (0.3, 1.0, 2.37, 5.0, 10.0)


@dataclass
class Windows:
    """Of a module that embeds a piece of sound as a whole. Windows stand around multiples of their step; beyond the clip
    there is its reflection, or zeros."""

    ms: float
    """A time step is the embedding of a window so long."""
    padding: str = "reflect"
    scene_ms: float = 0.0
    """A scene is the embedding of the whole clip, or the mean of windows so long if the clip is longer. 0: it is the mean
    of the time steps."""
    scene_step_ms: float = 0.0


@dataclass
class Encoder:
    """What is exported, and what module.yaml says of it."""

    module: nn.Module
    """Waveforms [B, T], or what the front end makes of them [B, frames, mels] → embeddings [B, steps, W]. May have a method
    `scene` → [B, W], if the scene embedding is not the mean of the steps."""
    description: str
    sample_rate: int = 16000
    min_samples: int = 1
    """Of the shortest clip that it takes."""
    first_ms: float = 0.0
    step_ms: float = 20.0
    kaldi_fbank: dict[str, object] | None = None
    """Options of axlstm.ops.kaldi_fbank, but for the rate, if the module takes such features."""
    passt_mel: dict[str, object] | None = None
    """Options of axlstm.ops.passt_mel, if the module takes such features."""
    windows: Windows | None = None
    scripted: bool = False
    """Compiled by torch.jit.script, with its conditions and loops; else traced."""

    @property
    def has_scene(self) -> bool:
        return hasattr(self.module, "scene")

    def inputs(self, audio: Tensor) -> Tensor:
        """What the module is fed with of waveforms [B, T]."""
        if self.kaldi_fbank is not None:
            return ops.kaldi_fbank(audio, self.sample_rate, **self.kaldi_fbank)
        return audio if self.passt_mel is None else ops.passt_mel(audio, **self.passt_mel)

    def samples(self, ms: float) -> int:
        return round(ms * self.sample_rate / 1000)

    def lengths(self, seconds: Sequence[float]) -> list[int]:
        """Of the pieces of sound that the module is fed with: these, the shortest one, and those that its windows have."""
        if self.windows and not self.windows.scene_ms:
            return [self.samples(self.windows.ms)]
        wanted = {self.min_samples, *(max(self.min_samples, int(s * self.sample_rate)) for s in seconds)}
        if self.windows:
            longest = self.samples(self.windows.scene_ms)
            wanted = {self.samples(self.windows.ms), longest, *(length for length in wanted if length < longest)}
        return sorted(wanted)

    def of_windows(self, waveform: Tensor, ms: float, step_ms: float) -> Tensor:
        """The embeddings [n, W] of windows around multiples of the step."""
        size, step = self.samples(ms), self.samples(step_ms)
        mode = "reflect" if self.windows.padding == "reflect" else "constant"
        pieces = F.pad(waveform[None], (size // 2, size // 2), mode=mode)[0].unfold(0, size, step).contiguous()
        return torch.cat([self.module(self.inputs(part)).mean(1) for part in pieces.split(64)])

    def timestamps(self, waveform: Tensor) -> Tensor:
        """The embeddings [steps, W] of a clip [T] that `extract` is held to."""
        if self.windows is None:
            return self.module(self.inputs(waveform[None]))[0]
        return self.of_windows(waveform, self.windows.ms, self.step_ms)

    def scene(self, waveform: Tensor) -> Tensor:
        """The scene embedding [W] of a clip [T] that `extract` is held to."""
        if self.has_scene:
            return self.module.scene(self.inputs(waveform[None]))[0]
        if self.windows and self.windows.scene_ms and len(waveform) > self.samples(self.windows.scene_ms):
            return self.of_windows(waveform, self.windows.scene_ms, self.windows.scene_step_ms).mean(0)
        return self.module(self.inputs(waveform[None]))[0].mean(0)


class ExportError(RuntimeError):
    """The graph does not compute what the model computes, or there is none."""


def difference(found: Tensor, wanted: Tensor) -> float:
    """The largest one, of the largest value; infinite where shapes differ."""
    if found.shape != wanted.shape:
        return float("inf")
    return ((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-30)).item()


def graph_difference(graph: nn.Module, encoder: Encoder, inputs: Tensor) -> float:
    """Of their embeddings; infinite where the graph fails."""
    try:
        off = difference(graph(inputs), encoder.module(inputs))
        return max(off, difference(graph.scene(inputs), encoder.module.scene(inputs))) if encoder.has_scene else off
    except RuntimeError:
        return float("inf")


def _graph(encoder: Encoder, example: Tensor) -> torch.jit.ScriptModule:
    if encoder.scripted:
        return torch.jit.script(encoder.module)
    try:
        examples = {"forward": example} | ({"scene": example} if encoder.has_scene else {})
        return torch.jit.trace_module(encoder.module, examples, check_trace=False)
    except Exception as reason:  # whatever the model's code does that cannot be traced
        raise ExportError(f"{encoder.description}: it cannot be traced: {reason}") from reason


def trace(encoder: Encoder, seconds: Sequence[float] = SECONDS) -> tuple[torch.jit.ScriptModule, bool]:
    """A graph that is right at all of these lengths and the shortest one, and whether clips may go through it together:
    whether the model gives a clip the same alone and beside another. The graph is traced with a short clip, and if that is
    wrong at others with longer ones. Raises ExportError saying where it was how far off."""
    lengths = encoder.lengths(seconds)
    generator = torch.Generator().manual_seed(0)
    clips = {}
    for length in lengths:
        pair = 0.1 * torch.randn(2, length, generator=generator)
        pair[1] = 3 * pair[1] + 0.1  # company in which a mean over both would be seen
        clips[1, length], clips[2, length] = encoder.inputs(pair[:1]), encoder.inputs(pair)
    failures = []
    for length in (lengths[1:-1] or lengths)[: 1 if encoder.scripted else None]:
        graph = _graph(encoder, clips[1, length])
        off = {shape: graph_difference(graph, encoder, inputs) for shape, inputs in clips.items()}
        wrong = {shape: value for shape, value in off.items() if not value <= LARGEST_DIFFERENCE}
        if not wrong:
            together = max(difference(encoder.module(clips[2, n])[:1], encoder.module(clips[1, n])) for n in lengths)
            return graph, together <= LARGEST_DIFFERENCE
        failures.append(f"traced with {length} samples: " + ", ".join(f"{b} × {n}: {value:.2g}" for (b, n), value in wrong.items()))
    raise ExportError(f"{encoder.description}: the graph differs from the model (batch × samples: difference): " + "; ".join(failures))


def _check_clips(encoder: Encoder) -> dict[str, Tensor]:
    """Waveforms of two lengths, with what the model makes of them."""
    generator = torch.Generator().manual_seed(1)
    check = {}
    for number, seconds in enumerate((1.0, 1.73)):
        waveform = 0.1 * torch.randn(max(encoder.min_samples + number, int(seconds * encoder.sample_rate)), generator=generator)
        check[f"waveform.{number}"] = waveform
        check[f"embedding.{number}"] = encoder.timestamps(waveform).float().contiguous()
        if encoder.has_scene or (encoder.windows and encoder.windows.scene_ms):
            check[f"scene.{number}"] = encoder.scene(waveform).float().contiguous()
    return check


def _yaml(encoder: Encoder, batch: bool) -> str:
    facts: dict[str, object] = {"description": encoder.description, "sample_rate": encoder.sample_rate,
                                "min_samples": encoder.min_samples, "first_ms": encoder.first_ms, "step_ms": encoder.step_ms,
                                "batch": batch}
    if encoder.has_scene:
        facts["scene"] = "own"
    sections = {"module": facts}
    for front_end in ("kaldi_fbank", "passt_mel"):
        if (values := getattr(encoder, front_end)) is not None:
            facts["front_end"] = front_end
            sections |= {front_end: values} if values else {}
    if encoder.windows:
        sections["windows"] = vars(encoder.windows)
    lines = []
    for section, values in sections.items():
        lines += [f"{section}:", *(f"  {key}: {json.dumps(value)}" for key, value in values.items())]  # JSON's scalars are YAML's
    return "\n".join([*lines, ""])


def export(encoder: Encoder, folder: Path, seconds: Sequence[float] = SECONDS) -> None:
    """Writes model.pt, module.yaml and check.safetensors. Raises ExportError as trace(), FileExistsError if there is a
    model already."""
    from safetensors.torch import save_file

    if (folder / "model.pt").exists():
        raise FileExistsError(f"{folder}: holds a model already; choose another folder")
    encoder.module.eval()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of conditions that tracing freezes: that is what the comparison is for
        graph, batch = trace(encoder, seconds)
        check = _check_clips(encoder)
    folder.mkdir(parents=True, exist_ok=True)
    graph.save(str(folder / "model.pt"))
    save_file(check, folder / "check.safetensors")
    (folder / "module.yaml").write_text(_yaml(encoder, batch))
