"""What loader_bench.cpp is compared with: a PyTorch DataLoader that reads two-second crops of the same files.

Usage: loader_bench.py FOLDER [--workers 16] [--batch 256] [--seconds 10]   (needs torch and soundfile; 16 kHz mono files)
"""

import argparse
import random
import time
from pathlib import Path

import soundfile
import torch

CROP_SAMPLES = 32240  # 200 frames and the context of their windows


class Crops(torch.utils.data.Dataset):
    """A random crop of each file, decoded when it is asked for, as training scripts do."""

    def __init__(self, folder: Path) -> None:
        self.files = sorted(path for path in folder.rglob("*") if path.suffix in {".wav", ".flac", ".ogg", ".opus", ".mp3"})

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> torch.Tensor:
        with soundfile.SoundFile(self.files[index]) as file:
            start = random.randint(0, max(0, file.frames - CROP_SAMPLES))
            file.seek(start)
            samples = torch.from_numpy(file.read(CROP_SAMPLES, dtype="float32", always_2d=True)).mean(1)
        return torch.nn.functional.pad(samples, (0, CROP_SAMPLES - samples.numel()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--seconds", type=float, default=10)
    arguments = parser.parse_args()
    crops = Crops(arguments.folder)
    loader = torch.utils.data.DataLoader(
        crops, min(arguments.batch, len(crops)), shuffle=True, drop_last=True, num_workers=arguments.workers,
        persistent_workers=arguments.workers > 0,
    )
    count, start = 0, None
    while start is None or time.monotonic() - start < arguments.seconds:
        for batch in loader:
            if start is None:
                start = time.monotonic()  # the workers are up
                continue
            count += len(batch)
            if time.monotonic() - start >= arguments.seconds:
                break
    print(f"delivered    {count / (time.monotonic() - start):.0f} crops/s")


if __name__ == "__main__":
    main()
