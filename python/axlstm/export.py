"""Writes encoders of other projects as folders that `extract --model module:FOLDER` takes.

    python -m axlstm.export wav2vec2 FOLDER --weights facebook/wav2vec2-large-100k-voxpopuli
    python -m axlstm.export hear:torchopenl3 FOLDER --weights weights.pt

Names: wav2vec2, hubert, wavlm (the package transformers), and hear:MODULE for any module with HEAR's common API. A traced
graph can be wrong at other lengths than the one it was traced with: it is compared with the model itself at five lengths,
alone and in pairs, and refused where they differ.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from axlstm import ops

LARGEST_DIFFERENCE = 1e-5
"""Between graph and model, of the largest value."""


@dataclass
class Encoder:
    """What is exported: a module of waveforms [B, T] → embeddings [B, steps, W], and what module.yaml says of it."""

    module: nn.Module
    description: str
    sample_rate: int = 16000
    min_samples: int = 1
    """Of the shortest clip that it takes."""
    first_ms: float = 0.0
    step_ms: float = 20.0
    kaldi_fbank: dict[str, object] | None = None
    """Options of axlstm.ops.kaldi_fbank, but for the rate, if the module takes such features [B, frames, mels]."""

    def inputs(self, audio: Tensor) -> Tensor:
        """What the module is fed with of waveforms [B, T]."""
        return audio if self.kaldi_fbank is None else ops.kaldi_fbank(audio, self.sample_rate, **self.kaldi_fbank)


class ExportError(RuntimeError):
    """The graph does not compute what the model computes."""


def difference(graph: nn.Module, module: nn.Module, inputs: Tensor) -> float:
    """Largest difference of their embeddings, of the largest value; infinite where one fails or shapes differ."""
    try:
        found, wanted = graph(inputs), module(inputs)
    except RuntimeError:
        return float("inf")
    if found.shape != wanted.shape:
        return float("inf")
    return ((found - wanted).abs().max() / wanted.abs().max().clamp_min(1e-30)).item()


def trace(encoder: Encoder, seconds: Sequence[float] = (0.3, 1.0, 2.37, 5.0, 10.0)) -> torch.jit.ScriptModule:
    """A graph that is right at all of these lengths and the shortest one. It is traced with a short clip, and if that is
    wrong at others with longer ones. Raises ExportError saying where it was how far off."""
    lengths = sorted({encoder.min_samples, *(max(encoder.min_samples, int(s * encoder.sample_rate)) for s in seconds)})
    generator = torch.Generator().manual_seed(0)
    clips = {
        (batch, length): encoder.inputs(0.1 * torch.randn(batch, length, generator=generator)) for length in lengths for batch in (1, 2)
    }
    failures = []
    for length in lengths[1:-1]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of conditions that tracing freezes: that is what the comparison is for
            graph = torch.jit.trace(encoder.module, clips[1, length], check_trace=False)
        off = {shape: difference(graph, encoder.module, inputs) for shape, inputs in clips.items()}
        wrong = {shape: value for shape, value in off.items() if not value <= LARGEST_DIFFERENCE}
        if not wrong:
            return graph
        failures.append(f"traced with {length} samples: " + ", ".join(f"{b} × {n}: {value:.2g}" for (b, n), value in wrong.items()))
    raise ExportError(f"{encoder.description}: the graph differs from the model (batch × samples: difference): " + "; ".join(failures))


def export(encoder: Encoder, folder: Path) -> None:
    """Writes model.pt, module.yaml and check.safetensors. Raises ExportError as trace(), FileExistsError if there is a
    model already."""
    from safetensors.torch import save_file

    if (folder / "model.pt").exists():
        raise FileExistsError(f"{folder}: holds a model already; choose another folder")
    encoder.module.eval()
    with torch.no_grad():
        graph = trace(encoder)
        generator = torch.Generator().manual_seed(1)
        check = {}
        for number, seconds in enumerate((1.0, 1.73)):
            waveform = 0.1 * torch.randn(max(encoder.min_samples + number, int(seconds * encoder.sample_rate)), generator=generator)
            check[f"waveform.{number}"] = waveform
            check[f"embedding.{number}"] = encoder.module(encoder.inputs(waveform[None]))[0].float().contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    graph.save(str(folder / "model.pt"))
    save_file(check, folder / "check.safetensors")
    facts = {"description": encoder.description, "sample_rate": encoder.sample_rate, "min_samples": encoder.min_samples,
             "first_ms": encoder.first_ms, "step_ms": encoder.step_ms}
    sections = {"module": facts}
    if encoder.kaldi_fbank is not None:
        facts["front_end"] = "kaldi_fbank"
        sections["kaldi_fbank"] = encoder.kaldi_fbank
    lines = []
    for section, values in sections.items():
        lines += [f"{section}:", *(f"  {key}: {json.dumps(value)}" for key, value in values.items())]  # JSON's scalars are YAML's
    (folder / "module.yaml").write_text("\n".join([*lines, ""]))


class _SpeechModel(nn.Module):
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
    return Encoder(_SpeechModel(model, normalises), description, min_samples=400, first_ms=12.5, step_ms=20.0)


def _from_transformers(class_name: str) -> Callable[[str], Encoder]:
    def make(weights: str) -> Encoder:
        if not weights:
            raise ValueError("--weights is missing: a name on Hugging Face, or a folder")
        transformers = importlib.import_module("transformers")
        model = getattr(transformers, class_name).from_pretrained(weights, attn_implementation="eager")
        normalises = transformers.AutoFeatureExtractor.from_pretrained(weights).do_normalize
        return speech_model(model, f"{class_name} {weights}", normalises)

    return make


class _HearModule(nn.Module):
    def __init__(self, functions: object, model: nn.Module) -> None:
        super().__init__()
        self.functions, self.model = functions, model

    def forward(self, x: Tensor) -> Tensor:
        return self.functions.get_timestamp_embeddings(x, self.model)[0]


def hear_module(name: str, weights: str = "") -> Encoder:
    """Of a module with HEAR's common API. Raises ExportError if its time steps are not equal."""
    functions = importlib.import_module(name)
    model = functions.load_model(weights) if weights else functions.load_model()
    rate = int(model.sample_rate)
    times = functions.get_timestamp_embeddings(torch.zeros(1, 4 * rate), model)[1][0].double()
    steps = times.diff()
    if len(times) < 2 or (steps - steps.mean()).abs().max() > 1:
        raise ExportError(f"{name}: the times of a clip of 4 s are not in equal steps: {times[:5].tolist()} …")
    return Encoder(_HearModule(functions, model), f"{name} {weights}".strip(), rate, rate // 10, times[0].item(), steps.mean().item())


NAMED: dict[str, Callable[[str], Encoder]] = {
    "wav2vec2": _from_transformers("Wav2Vec2Model"),
    "hubert": _from_transformers("HubertModel"),
    "wavlm": _from_transformers("WavLMModel"),
}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m axlstm.export", description=__doc__.splitlines()[0])
    parser.add_argument("name", help=f"{', '.join(NAMED)}, or hear:MODULE")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--weights", default="", help="a name on Hugging Face, or a file or folder")
    options = parser.parse_args(arguments)
    try:
        if options.name.startswith("hear:"):
            encoder = hear_module(options.name.removeprefix("hear:"), options.weights)
        elif options.name in NAMED:
            encoder = NAMED[options.name](options.weights)
        else:
            raise ValueError(f"'{options.name}' is not known: {', '.join(NAMED)}, or hear:MODULE")
        export(encoder, options.folder)
    except (ImportError, OSError, RuntimeError, ValueError) as reason:
        print(f"axlstm.export: {reason}", file=sys.stderr)
        return 1
    print(f"{options.folder}: {encoder.description}; extract --model module:{options.folder}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
