"""Times `extract --model module:` beside the same model in eager PyTorch, and Python's `encode` beside what `extract` calls.

Usage: module_peer.py NAME --bin BUILD/bin [--weights W] [--random] [--device cuda] [--precision fp32] [--clips 512]
                      [--workers 16] [--batch 32] [--parts files,memory] [--json FILE]

NAME and W are those of `python -m axlstm.export` (not crepe, which embeds windows alone); --random takes drawn weights of the
published size in place of W: of audiomae and ssast with torch alone, of wav2vec2, hubert and wavlm with transformers. Needs the
package (python/README.md). Clips are ten seconds of noise as 16-bit WAV at the model's rate, in the page cache. Records:

  files   clips a second from file to a .npy of its scene embedding, what starting takes with one clip subtracted: `extract`, and
          PyTorch with a DataLoader whose workers read the files (wave, numpy), batches of --batch, the front end on the device
  memory  clips a second of waveforms in memory: encode (one by one), encode_all (batches; both give time steps too) and
          scenes, the call that `extract` makes
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
import wave
from pathlib import Path

import numpy
import torch
from torch.utils.data import DataLoader, Dataset

import axlstm
from axlstm.export import Encoder, export
from axlstm.export.__main__ import NAMED
from axlstm.export.patches import PatchEncoder
from axlstm.export.patches import FBANK as PATCH_FBANK
from axlstm.export.speech import speech_model

SECONDS = 10
DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


def random_encoder(name: str) -> Encoder:
    torch.manual_seed(0)
    if name in ("audiomae", "ssast"):
        D, classes = 768, 1 if name == "audiomae" else 2
        module = PatchEncoder(0.02 * torch.randn(D, 1, 16, 16), torch.zeros(D), torch.zeros(1, classes, D), 0.02 * torch.randn(1, D, 64, 8),
                              torch.zeros(1, classes, D), 12, pads=name == "audiomae")
        return Encoder(module, f"{name}, random", min_samples=2800, step_ms=160.0, kaldi_fbank=PATCH_FBANK, scripted=True)
    import transformers

    kind = {"wav2vec2": "Wav2Vec2", "hubert": "Hubert", "wavlm": "WavLM"}[name]
    config = getattr(transformers, f"{kind}Config")(attn_implementation="eager")
    return speech_model(getattr(transformers, f"{kind}Model")(config), f"{name} base, random")


def write_clips(folder: Path, count: int, rate: int) -> list[Path]:
    draw = numpy.random.default_rng(0)
    noise = (draw.standard_normal(rate * SECONDS * 4) * 3000).astype(numpy.int16)
    files = []
    for n in range(count):
        path = folder / f"{n // 100:04d}" / f"{n:06d}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        start = int(draw.integers(0, len(noise) - rate * SECONDS))
        with wave.open(str(path), "wb") as out:
            out.setparams((1, 2, rate, 0, "NONE", ""))
            out.writeframes(noise[start : start + rate * SECONDS].tobytes())
        files.append(path)
    return files


class Clips(Dataset):
    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, n: int) -> torch.Tensor:
        with wave.open(str(self.files[n]), "rb") as file:
            samples = numpy.frombuffer(file.readframes(file.getnframes()), numpy.int16)
        return torch.from_numpy(samples.astype(numpy.float32) / 32768)


def seconds_of_extract(options: argparse.Namespace, folder: Path, clips: Path, output: Path) -> float:
    command = [options.bin / "extract", "--model", f"module:{folder}", "--device", options.device, "--precision", options.precision,
               "--quiet", "--output", output, clips]
    start = time.monotonic()
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"extract: exit code {done.returncode}\n{done.stderr[-2000:]}")
    return time.monotonic() - start


def seconds_of_eager(options: argparse.Namespace, encoder: Encoder, files: list[Path], output: Path) -> float:
    loader = DataLoader(Clips(files), batch_size=options.batch, num_workers=options.workers, pin_memory=options.device == "cuda")
    dtype = DTYPES[options.precision]
    output.mkdir()
    start = time.monotonic()
    done = 0
    for audio in loader:
        with torch.inference_mode():
            inputs = encoder.inputs(audio.to(options.device, non_blocking=True))
            with torch.autocast(options.device, dtype, enabled=dtype != torch.float32):
                found = encoder.module(inputs)
            scenes = found.float().mean(1).cpu().numpy()
        for scene in scenes:
            numpy.save(output / f"{done:06d}.npy", scene)
            done += 1
    return time.monotonic() - start


def files_part(options: argparse.Namespace, encoder: Encoder, folder: Path, scratch: Path) -> dict[str, float]:
    files = write_clips(scratch / "clips", options.clips + 1, encoder.sample_rate)
    one = scratch / "one"
    one.mkdir()
    files[-1].rename(one / "one.wav")
    begin = seconds_of_extract(options, folder, one, scratch / "extract-one")
    whole = seconds_of_extract(options, folder, scratch / "clips", scratch / "extract")
    encoder.module.to(options.device)
    seconds_of_eager(options, encoder, files[: min(options.batch, options.clips)], scratch / "warm")
    eager_begin = seconds_of_eager(options, encoder, [one / "one.wav"], scratch / "eager-one")
    eager = seconds_of_eager(options, encoder, files[:-1], scratch / "eager")
    encoder.module.cpu()
    ours = numpy.load(next((scratch / "extract").rglob("000000.wav.npy")))
    theirs = numpy.load(scratch / "eager" / "000000.npy")
    return {"extract": options.clips / (whole - begin), "eager": options.clips / (eager - eager_begin),
            "difference": float(numpy.abs(ours - theirs).max() / numpy.abs(theirs).max())}


def memory_part(options: argparse.Namespace, folder: Path) -> dict[str, float]:
    encoder = axlstm.load(f"module:{folder}", device=options.device, precision=options.precision)
    clips = list(0.1 * torch.randn(options.clips, SECONDS * encoder.sample_rate, generator=torch.Generator().manual_seed(0)))
    calls = {
        "encode": lambda: [encoder.encode(clip) for clip in clips],
        "encode_all": lambda: [encoder.encode_all(clips[n : n + options.batch]) for n in range(0, len(clips), options.batch)],
        "scenes": lambda: [encoder(torch.stack(clips[n : n + options.batch])) for n in range(0, len(clips), options.batch)],
    }
    rates = {}
    for name, call in calls.items():
        encoder.encode_all(clips[: options.batch])
        start = time.monotonic()
        call()
        rates[name] = options.clips / (time.monotonic() - start)
    return rates


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=[name for name in NAMED if name != "crepe"])
    parser.add_argument("--bin", type=Path, required=True)
    parser.add_argument("--weights", default="")
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=["cpu", "cuda"])
    parser.add_argument("--precision", default="fp32", choices=DTYPES)
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--parts", default="files,memory")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    encoder = random_encoder(options.name) if options.random else NAMED[options.name][0](options.weights)
    encoder.module.eval()
    with tempfile.TemporaryDirectory(prefix="axlstm-peer-") as name:
        scratch = Path(name)
        export(encoder, scratch / "module", (0.3, 1.0, 3.0))
        for part in options.parts.split(","):
            found = files_part(options, encoder, scratch / "module", scratch) if part == "files" else memory_part(options, scratch / "module")
            rates = {f"{key}_clips_per_second" if key != "difference" else key: float(f"{value:.4g}") for key, value in found.items()}
            record = {"model": encoder.description, "device": options.device, "precision": options.precision, "part": part, "clips": options.clips,
                      "batch": options.batch, "workers": options.workers, "torch": torch.__version__, "threads": torch.get_num_threads(), **rates}
            print(json.dumps(record), flush=True)
            if options.json:
                with options.json.open("a", encoding="utf-8") as out:
                    out.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    main()
