"""Disks that are full, read-only or damaged: the message names the file and the reason, and with the disk repaired the same
command ends as the unbroken run."""

import errno
import json
import os
import struct

from recipes import RECIPES, Pretrain
from workspace import NANO, Loss, Workspace, check, files_in, yaml_of


def points(total: int, count: int | None) -> list[int]:
    """`count` of the numbers 1 … total, evenly; all of them without `count`."""
    if count is None or count >= total:
        return list(range(1, total + 1))
    return sorted({round(1 + (total - 1) * n / (count - 1)) for n in range(count)})


def disk_full(space: Workspace, program: str, count: int | None) -> dict[str, int]:
    """The disk is full from the program's n-th write on and stays so, or refuses that one; for `count` n, or all. (The programs
    that a sweep starts have their own experiments.)"""
    recipe = RECIPES[program](space, small=True)
    whole = space.output()
    space.expect(recipe.command(whole), environment=space.fault("disk-full", whole, first=0, program=program))
    expected, total = recipe.result(whole), space.calls()
    check(total > 10, "only", total, "writes of", program, "were seen")
    faults = 0
    for n in space.share(points(total, count)):
        for calls in (None, 1):
            output = space.output()
            ended = space.run(recipe.command(output), space.fault("disk-full", output, n, calls, program=program))
            if space.calls() < n:  # threads that make the same folder make a call more or less
                check(n > total - 5 and ended.code == 0, "write", n, "of", total, "did not come\n", ended.err)
                continue
            faults += 1
            check(ended.code in (0, 1, 3), "exit code", ended.code, "with a full disk\n", ended.err)
            check(ended.code == 0 or "No space left" in ended.err, "no reason given for a full disk:", ended.err)
            if output.exists():
                recipe.check_whole(output)
            if ended.code == 0:  # what is lost then is a picture, and that is said
                check(recipe.result(output) == expected, program, "claims success with write", n, "refused:", ended.err)
            space.expect(recipe.command(output))
            recipe.check_whole(output)
            check(recipe.result(output) == expected, program, "ended otherwise after write", n, "was refused; first:", ended.err)
    return {"faults": faults, "writes": total}


def read_only(space: Workspace, program: str) -> int:
    """Output that cannot be written, new and half done: nothing changes, and the reason is said."""
    recipe = RECIPES[program](space, small=True)
    whole = space.output()
    space.expect(recipe.command(whole))
    expected = recipe.result(whole)
    output = space.output()
    space.expect(recipe.command(output), 1, "Read-only file system", environment=space.fault("read-only", output))
    check(not output.exists(), output, "was written to")
    space.run(recipe.command(output), space.fault("disk-full", output, 14))  # leaves a part
    before = files_in(output)
    space.expect(recipe.command(output), 1, "Read-only file system", environment=space.fault("read-only", output))
    check(files_in(output) == before, output, "was changed")
    space.expect(recipe.command(output))
    check(recipe.result(output) == expected, program, "ended otherwise after a read-only disk")
    return 2


def middle_of(shard, number: int) -> int:
    """The place of a byte in the middle of a clip."""
    data = shard.read_bytes()
    records, _, _, clips = struct.unpack("<4Q", data[-48:-16])
    at = records + 72 * (number % clips)
    return struct.unpack("<Q", data[at:at + 8])[0] + struct.unpack("<Q", data[at + 56:at + 64])[0] // 2


def read_error(space: Workspace) -> int:
    """Reading fails with EIO: clips that cannot be read are named and replaced, everything else ends the program."""
    packed = {"data__root": "", "data__packed": space.folder / "packed"}
    shard = sorted((space.folder / "packed").glob("*.axs"))[1]
    error = "Input/output error"
    whole = space.output()
    space.expect(space.pretrain(whole, **packed))
    expected = Pretrain(space).result(whole)
    # In the middle of a shard: of a clip, of all its clips, of the index.
    output = space.output()
    space.expect(space.pretrain(output, **packed, model__frames=400, data__max_bad_fraction=0.5), 0, "skipped: ", shard, error,
                 environment=space.fault("read-error", shard, offset=middle_of(shard, 1)))
    output = space.output()
    space.expect(space.pretrain(output, **packed, data__max_bad_fraction=0), 1, shard, error, "data.max_bad_fraction",
                 environment=space.fault("read-error", shard, first=4))
    space.expect(space.pretrain(output, **packed), 1, shard, error,
                 environment=space.fault("read-error", shard, offset=shard.stat().st_size - 60))
    space.expect(space.pretrain(output, **packed, data__max_bad_fraction=0))  # the disk is repaired
    check(Pretrain(space).result(output) == expected, "a run ended otherwise after its data could not be read")
    verified = space.expect(space.command("pack", "--verify", space.folder / "packed"), 1, "long", error,
                            environment=space.fault("read-error", shard, offset=middle_of(shard, 1)))
    check(len(verified.out.splitlines()) == 1, "one clip is damaged, these are named:", verified.out)
    # A sound file.
    tone = space.folder / "more/long07.wav"
    for command, code in ((space.command("pack", "--output", space.output(), f"data.root={tone.parent}"), 3),
                          (space.command("extract", "--model", "naive", "--output", space.output(), tone, tone.parent / "long08.wav"), 3),
                          (space.command("extract", "--model", "naive", "--output", space.output(), tone), 1)):
        space.expect(command, code, tone, environment=space.fault("read-error", tone, offset=40000))
    # Files without which nothing works.
    manifest = space.folder / "list.csv"
    manifest.write_text("path\n" + "".join(f"audio/tone{n:02}.wav\n" for n in range(12)))
    space.expect(space.pretrain(space.output(), data__root="", data__manifest=manifest), 1, manifest, error,
                 environment=space.fault("read-error", manifest))
    config = space.folder / "other.yaml"
    config.write_text(yaml_of(NANO))
    space.expect(space.command("pretrain", "--config", config), 1, config, error, environment=space.fault("read-error", config))
    array = space.folder / "embeddings/nano/pitch-v1-full/train.embeddings.npy"
    space.expect(space.command("hear-eval", "--output", space.output(), array.parent), 1, array, error,
                 environment=space.fault("read-error", array))
    # The newest checkpoint: the run goes on from the one before.
    output = space.output()
    space.expect(space.pretrain(output, train__max_steps=12, data__root=space.folder / "audio"))
    newest = output / "checkpoints/step-00000012/optimizer.safetensors"
    space.expect(space.pretrain(output, data__root=space.folder / "audio"), 0, newest, error, "at step 10",
                 environment=space.fault("read-error", newest))
    return 11


def check_metrics_after_full_disk(space: Workspace) -> int:
    """A disk that is full for a while costs no record, in one run, without a restart."""
    output = space.output()
    space.expect(space.pretrain(output), environment=space.fault("disk-full", output / "metrics.jsonl", first=0))
    total = space.calls()
    records = Pretrain(space).result(output)["curve"]
    output = space.output()
    space.expect(space.pretrain(output), 0, "metrics.jsonl: cannot be written", "No space left",
                 environment=space.fault("disk-full", output / "metrics.jsonl", total // 2, 5))
    check([json.loads(line)["step"] for line in (output / "metrics.jsonl").read_text().splitlines()]
          == [record[0] for record in records], "records were lost")
    ended = space.run(space.pretrain(space.output()),
                      space.fault("disk-full", space.folder / f"out{space.outputs}/metrics.jsonl", total // 2))
    if ended.code != 1 or "metrics.jsonl" not in ended.err:
        raise Loss(f"records that were never written, and exit code {ended.code}: {ended.err}")
    return 2


def no_flush(space: Workspace) -> int:
    """File systems that cannot flush folders, or files, cost a warning and nothing else; a disk that fails is a failure."""
    faults = 0
    for program, recipe_class in RECIPES.items():
        recipe = recipe_class(space, small=True)
        whole = space.output()
        space.expect(recipe.command(whole))
        expected = recipe.result(whole)
        for number in (errno.EINVAL, errno.ENOTSUP, errno.EPERM, errno.ENOSYS):
            output = space.output()
            ended = space.expect(recipe.command(output), environment=space.fault("no-flush", output, program=program, number=number))
            flushed = space.calls()
            check(recipe.result(output) == expected, program, "ended otherwise without fsync:", ended.err)
            for what in ("flush files", "flush folders"):
                check(ended.err.count(what) <= 1, "not one warning:", ended.err)
            check(flushed == 0 or os.strerror(number) in ended.err, "no word about", os.strerror(number), ended.err)
            faults += flushed
        output = space.output()
        ended = space.run(recipe.command(output), space.fault("no-flush", output, program=program, number=errno.EIO))
        check(space.calls() == 0 or ended.code in (1, 3) and "Input/output error" in ended.err, program, "ignored EIO:", ended)
    return faults
