"""Signals, several processes and the clock."""

import fcntl
import os
import signal
import time
from pathlib import Path

from recipes import RECIPES, Pretrain
from workspace import Process, Workspace, check, wait_until

ENDLESS = {"optim__epochs": 20000, "train__save_every_steps": 100000}


def is_locked(path: Path) -> bool:
    try:
        with path.open("rb+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def second_is_refused(space: Workspace, program: str, lock: str) -> bool:
    """False: the first one was done before it could be stopped."""
    recipe = RECIPES[program](space)
    whole, output = space.output(), space.output()
    command = recipe.command(output)
    if program == "hear-eval":
        command[command.index("--seeds") + 1] = "1"
    space.expect([argument.replace(str(output), str(whole)) for argument in command])
    first = Process(command)
    wait_until((output / lock).exists, first)
    first.signal(signal.SIGSTOP)  # it holds the lock for as long as the second one takes
    try:
        held = is_locked(output / lock)
        if held:
            space.expect(command, 1, "another process is writing to this folder")
    finally:
        first.signal(signal.SIGCONT)
    check(first.wait().code == 0, program, "failed beside a second one")
    check(recipe.result(output) == recipe.result(whole), program, "ended otherwise beside a second one")
    return held


def two_processes(space: Workspace) -> int:
    """The second one on the same output is refused, and the first one's result is that of one alone."""
    locks = {"pretrain": ".lock", "pack": ".lock", "extract": ".lock", "hear-eval": "nano_00/pitch-v1-full/.evaluation.lock"}
    for program, lock in locks.items():
        check(any(second_is_refused(space, program, lock) for _ in range(10)), program, "was done before it could be stopped, ten times")
    sweep = RECIPES["sweep"](space)
    whole, output = space.output(), space.output()
    space.expect(sweep.command(whole))
    both = [Process(sweep.command(output)) for _ in range(2)]  # they share the runs
    codes = sorted(process.wait().code for process in both)
    check(codes[0] == 0 and codes[1] in (0, 1, 3), "two sweeps ended with", codes)
    space.expect(sweep.command(output))
    check(sweep.result(output) == sweep.result(whole), "two sweeps ended otherwise than one")
    return len(locks) + 1


def clock_back(space: Workspace) -> int:
    """The clock is set back by a day in the middle of a run, and between a run and its continuation."""
    for program, recipe_class in RECIPES.items():
        recipe = recipe_class(space)
        whole, output = space.output(), space.output()
        space.expect(recipe.command(whole))
        shifted = {"LD_PRELOAD": str(space.shim), "AXLSTM_CLOCK_BACK": "20 86400"}
        space.expect(recipe.command(output), environment=shifted)
        check(recipe.result(output) == recipe.result(whole), program, "ended otherwise when the clock was set back")
    output = space.output()
    space.expect(space.pretrain(output, train__max_steps=12))
    first = set((output / "tensorboard").iterdir())
    space.expect(space.pretrain(output), environment={"LD_PRELOAD": str(space.shim), "AXLSTM_CLOCK_BACK": "1 86400"})
    check(Pretrain(space).result(output) == Pretrain(space).result(whole_of(space)), "a resumed run ended otherwise")
    later = set((output / "tensorboard").iterdir()) - first
    check(max(path.name for path in first) < min(path.name for path in later), "TensorBoard would read", later, "first")
    return len(RECIPES) + 1


def whole_of(space: Workspace) -> Path:
    output = space.output()
    space.expect(space.pretrain(output))
    return output


def ranks(space: Workspace, count: int) -> int:
    """One of two ranks is killed at random moments: it is named, all end, and the rerun ends as the unbroken run."""
    if "Gloo" not in space.expect(space.command("pretrain", "--doctor")).out:
        print("ranks: skipped, this build has no Gloo")
        return 0
    options = {"data__workers": 1, "optim__base_lr": 0.1, "distributed__heartbeat_s": 2}
    whole = space.output()
    begin = time.monotonic()
    space.expect(space.pretrain(whole, "--nproc", 2, **options))
    lasts = time.monotonic() - begin
    expected = Pretrain(space).result(whole)
    kills = 0
    while kills < count:
        output = space.output()
        process = Process(space.pretrain(output, "--nproc", 2, **options))
        wait_until(lambda: len(process.children()) == 2, process)
        victims = process.children()
        time.sleep(space.random.uniform(0, lasts))
        victim = kills % 2
        if process.running() and len(process.children()) == 2:
            os.kill(victims[victim], signal.SIGKILL)
        ended = process.wait()
        if ended.code == 1:
            kills += 1
            check(f"(process {victims[victim]}) was killed by signal 9" in ended.err, "the victim is not named:", ended.err)
        check(ended.code in (0, 1), "exit code", ended.code, ended.err)
        if output.exists():
            Pretrain(space).check_whole(output)
        space.expect(space.pretrain(output, "--nproc", 2, **options))
        check(Pretrain(space).result(output) == expected, "ended otherwise after a rank was killed")
    return kills


def signals(space: Workspace) -> int:
    """Ctrl-C once saves, twice leaves at once; with --nproc too, early, and for ranks that do not answer."""
    def started(output: Path, process: Process) -> None:
        wait_until(lambda: any((output / "pictures").glob("*.png")), process)

    # One step takes seconds: the second Ctrl-C comes in the middle of one.
    output = space.output()
    process = Process(slow_command(space, output))
    started(output, process)
    process.signal(signal.SIGINT)
    ended = process.wait()
    check(ended.code == 75 and "everything is saved" in ended.err, "after one Ctrl-C:", ended)
    for ranks in (0, 2):
        output = space.output()
        process = Process(slow_command(space, output, ranks))
        started(output, process)
        time.sleep(0.5)
        process.signal(signal.SIGINT)
        time.sleep(0.2)
        begin = time.monotonic()
        process.signal(signal.SIGINT)
        ended = process.wait()
        check(ended.code in (-signal.SIGINT, 130), "after two Ctrl-C, --nproc", ranks, ":", ended)
        check("leaving at once" in ended.err or "the ranks are killed" in ended.err, "no message:", ended.err)
        check(time.monotonic() - begin < 5, "two Ctrl-C took", time.monotonic() - begin, "s")
        check(not list((output / "checkpoints").glob("step-*")), "a checkpoint of a step that was not finished")
    # Before the ranks are ready: what comes then is not lost.
    output = space.output()
    process = Process(space.pretrain(output, "--nproc", 1, "--max-restarts", 3, **ENDLESS))
    wait_until(process.children, process)
    process.signal(signal.SIGTERM)
    ended = process.wait()
    check(ended.code == 75 and "restart" not in ended.err, "after an early SIGTERM:", ended)
    # A rank that does not answer.
    output = space.output()
    process = Process(space.pretrain(output, "--nproc", 1, "--max-restarts", 3, "--stop-timeout", 1, **ENDLESS))
    started(output, process)
    os.kill(process.children()[0], signal.SIGSTOP)
    process.signal(signal.SIGTERM)
    ended = process.wait(60)
    check(ended.code == 1 and "--stop-timeout" in ended.err and "restart" not in ended.err, "a rank that is stuck:", ended)
    return 5


def slow_command(space: Workspace, output: Path, ranks: int = 0) -> list[str]:
    """Steps of seconds."""
    more = ("--nproc", ranks) if ranks else ()
    return space.pretrain(output, *more, model__dim=192, model__depth=12, optim__global_batch=12, **ENDLESS)
