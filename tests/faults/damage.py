"""Damaged checkpoints: cut at the boundary of every tensor, one bit of every tensor flipped. They are never used, the tensor is
named, and the run goes on from the checkpoint before."""

import json
import shutil
import struct
from pathlib import Path

from recipes import Pretrain
from workspace import Workspace, check


def tensors_of(file: Path) -> list[tuple[str, int, int]]:
    """Name, begin and end within the file, in the order of their data."""
    data = file.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + length])
    return sorted(((name, 8 + length + entry["data_offsets"][0], 8 + length + entry["data_offsets"][1])
                   for name, entry in header.items() if name != "__metadata__"), key=lambda tensor: tensor[1:])


def damage(space: Workspace, count: int | None) -> int:
    """`count` of the tensors of each of the three files, or all of them."""
    whole, pristine = space.output(), space.output()
    space.expect(space.pretrain(whole))
    expected = Pretrain(space).result(whole)
    space.expect(space.pretrain(pristine, train__max_steps=12))
    newest = Path("checkpoints/step-00000012")
    run = space.folder / "damaged"
    chosen = []
    for file in ("model.safetensors", "optimizer.safetensors", "ema.safetensors"):
        tensors = [tensor for tensor in tensors_of(pristine / newest / file) if tensor[2] > tensor[1]]
        chosen += [(file, *tensor) for tensor in (tensors if count is None else tensors[:: max(1, len(tensors) // count)])]
    faults = 0
    for file, name, begin, end in space.share(chosen):
        data = (pristine / newest / file).read_bytes()
        flipped = bytearray(data)
        flipped[(begin + end) // 2] ^= 1 << faults % 8
        # Cut there, all tensors behind are missing, and any of them may be named.
        for damaged, named in ((data[:begin], "tensor '"), (bytes(flipped), f"tensor '{name}'")):
            shutil.rmtree(run, ignore_errors=True)
            shutil.copytree(pristine, run)
            (run / newest / file).write_bytes(damaged)
            faults += 1
            # The run goes on from the checkpoint before.
            ended = space.expect(space.pretrain(run), 0, "passing over a damaged checkpoint", run / newest / file,
                                 named, "resuming", "at step 10")
            check(Pretrain(space).result(run) == expected, "ended otherwise after damage to", name, ended.err)
    if space.part > 0:
        return faults
    # Weights that travelled without the rest are checked too.
    alone = space.folder / "alone"
    alone.mkdir()
    shutil.copy(pristine / newest / "config.yaml", alone)
    data = (pristine / newest / "model.safetensors").read_bytes()
    name, begin, _ = tensors_of(pristine / newest / "model.safetensors")[3]
    (alone / "model.safetensors").write_bytes(data[:begin] + bytes([data[begin] ^ 1]) + data[begin + 1:])
    space.expect(space.command("extract", "--device", "cpu", "--model", alone, "--output", space.output(),
                               space.folder / "audio/tone00.wav"), 1, alone / "model.safetensors", f"'{name}'", "checksum")
    return faults + 1
