"""SIGKILL at random moments: what is left is whole, and the same command ends as the unbroken run."""

import signal
import subprocess
import time

from recipes import RECIPES
from workspace import Process, Workspace, check


def kill(space: Workspace, program: str, count: int) -> int:
    """Kills it `count` times, every second time with all its children. Returns the number of kills that met it running."""
    count = len(space.share(list(range(count))))
    recipe = RECIPES[program](space)
    whole = space.output()
    begin = time.monotonic()
    process = Process(recipe.command(whole))
    while process.running() and not whole.exists():
        time.sleep(0.005)
    started = time.monotonic() - begin
    check(process.wait().code == 0, program, "fails by itself:", process.texts()[1])
    lasts = time.monotonic() - begin
    expected = recipe.result(whole)
    kills = 0
    while kills < count:
        output = space.output()
        ended = False
        while not ended and kills < count:
            process = Process(recipe.command(output))
            try:  # most of them after libraries are loaded, when files are being written
                process.process.wait(space.random.uniform(0.7 * started, lasts))
            except subprocess.TimeoutExpired:
                whole_group = kills % 2 == 0
                process.signal(signal.SIGKILL, whole_group)
                kills += 1
            ended = process.wait().code == 0
            if not ended and whole_group:  # otherwise its children may still be writing
                recipe.check_whole(output)
        if not ended:
            space.expect(recipe.command(output))
        recipe.check_whole(output)
        check(recipe.result(output) == expected, program, "ended otherwise than the unbroken run after a kill:", output)
    return kills
