"""What users run into: odd names, other locales, no GPU, numbers that are not finite, results that cannot be printed."""

import math
import os
import shutil
import struct
import subprocess
from pathlib import Path

from disk import middle_of
from recipes import RECIPES, Pretrain
from workspace import Workspace, check


def locales(space: Workspace) -> int:
    """Names with spaces and other scripts, in the C locale and in one with a decimal comma: the same results."""
    compiled = space.folder / "locales"
    compiled.mkdir()
    environments = [{"LC_ALL": "C"}]
    made = subprocess.run(["localedef", "-i", "de_DE", "-f", "UTF-8", str(compiled / "de_DE.UTF-8")], capture_output=True)
    if made.returncode == 0:
        environments.append({"LC_ALL": "de_DE.UTF-8", "LOCPATH": str(compiled)})
        printed = subprocess.run(["printf", "%.1f", "1,5"], env={**os.environ, **environments[1]}, capture_output=True, text=True)
        check(printed.stdout == "1,5", "the locale made for this test has no decimal comma")
    else:
        print("locales: without a decimal comma, localedef cannot make de_DE here")
    odd = Workspace(space.programs, space.shim, space.folder / "Größe, mit Leerzeichen – 音声 'x'")
    for program, recipe_class in RECIPES.items():
        plain = space.output()
        space.expect(recipe_class(space).command(plain))
        for environment in environments:
            recipe, output = recipe_class(odd), odd.output()
            odd.expect(recipe.command(output), environment=environment)
            if program not in ("pack", "extract"):  # which hold names of folders
                check(recipe.result(output) == recipe_class(space).result(plain), program, "depends on", environment)
            else:
                arrays = [{name: data for name, data in one.items() if name.endswith((".npy", "broken.jsonl"))}
                          for one in (recipe.result(output), recipe_class(space).result(plain))]
                check(arrays[0] == arrays[1] and arrays[0], program, "depends on", environment)
    return len(RECIPES) * len(environments)


def write_float_wave(path: Path, samples: list[float]) -> None:
    data = struct.pack(f"<{len(samples)}f", *samples)
    path.write_bytes(b"RIFF" + struct.pack("<I", 36 + len(data)) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 3, 1, 16000, 64000, 4, 32)
                     + b"data" + struct.pack("<I", len(data)) + data)


def numbers(space: Workspace) -> int:
    """NaN in a sound file, and samples so large that their spectrogram is not finite: the clip's name."""
    audio = space.folder / "odd-audio"
    shutil.copytree(space.folder / "audio", audio)
    tone = [0.3 if n % 50 < 25 else -0.3 for n in range(32000)]
    write_float_wave(audio / "nan.wav", tone[:1000] + [float("nan")] + tone[1000:])
    options = {"data__root": audio, "data__max_bad_fraction": 0.2}
    space.expect(space.pretrain(space.output(), **options), 0, "skipped: ", audio / "nan.wav", "not finite")
    space.expect(space.pretrain(space.output(), **{**options, "data__max_bad_fraction": 0}), 1, audio / "nan.wav",
                 "data.max_bad_fraction")
    (audio / "nan.wav").unlink()
    write_float_wave(audio / "huge.wav", [1e30 * sample for sample in tone])
    space.expect(space.pretrain(space.output(), **options), 0, "skipped: ", audio / "huge.wav", "not finite")
    packed = space.folder / "packed-features"
    space.expect(space.command("pack", "--output", packed, "--format", "logmel16", f"data.root={audio}"), 3, audio / "huge.wav")
    # Damage that only the loss shows.
    shard = packed / "shard-00000.axs"
    data, at = bytearray(shard.read_bytes()), middle_of(shard, 5)
    data[at - at % 2:at - at % 2 + 4000] = struct.pack("<e", math.nan) * 2000
    shard.write_bytes(data)
    output = space.output()
    ended = space.expect(space.pretrain(output, data__root="", data__packed=packed), 0, "was skipped: the loss is", "clip tone05.wav")
    check(Pretrain(space).result(output)["newest"] == "step-00000036", "the run did not go on:", ended.err)
    return 5


def no_gpu(space: Workspace) -> int:
    """Without a GPU, or with its driver missing: the reference path with a warning; asked for by name, an error."""
    hidden = {"CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
    space.expect(space.pretrain(space.output(), train__device="auto"), 0, "no usable GPU", "mLSTM backend cell",
                 environment=hidden)
    space.expect(space.pretrain(space.output(), train__device="cuda"), 2, "device cuda", "--doctor", environment=hidden)
    embed = ("--model", f"random:{space.folder}/nano.yaml", "--output", space.output(), space.folder / "audio/tone03.wav")
    space.expect(space.command("extract", *embed), 0, "no usable GPU", environment=hidden)
    space.expect(space.command("extract", "--device", "cuda", *embed), 2, "device cuda", environment=hidden)
    return 4


def full_output(space: Workspace) -> int:
    """Results that cannot be printed count as a failure."""
    for command in (space.command("pack", "--info", space.folder / "packed"), space.pretrain(space.output(), "--dump-config")):
        ended = subprocess.run(command, stdout=Path("/dev/full").open("w"), stderr=subprocess.PIPE, text=True)
        check(ended.returncode == 1 and "standard output cannot be written" in ended.stderr, "to a full disk:", ended)
    return 2
