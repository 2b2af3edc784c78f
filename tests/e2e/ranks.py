"""ranks - processes that are the ranks of a job, and do what they are told, in step.

A script says where it is with `say("...")` and waits for the test with `wait()`. Where
one process is enough, ranks are threads.
"""

import os
import subprocess
import sys
import textwrap
import threading

import daemons

PRELUDE = """\
import os, sys
import lighterd
rank, world_size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
def say(text): print(text, flush=True)
def wait(): sys.stdin.readline()
"""


def start(script, world_size, *, numbers=None, socket=None, env=None, cwd=None):
    """Start the ranks `numbers`, or all; each runs `script`."""
    return [
        Rank(script, number, world_size, socket, env, cwd)
        for number in (range(world_size) if numbers is None else numbers)
    ]


def in_threads(function, numbers):
    """Call function(number) for all of them at once; fails where one of them does."""
    problems = []

    def run(number):
        try:
            function(number)
        except BaseException as problem:
            problems.append(problem)

    threads = [
        threading.Thread(target=run, args=(number,), daemon=True) for number in numbers
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if problems:
        raise problems[0]


class Rank:
    def __init__(self, script, number, world_size, socket, env, cwd):
        environment = {
            **os.environ,
            "RANK": str(number),
            "WORLD_SIZE": str(world_size),
            "PYTHONPATH": os.pathsep.join(daemons.PYTHON_PATH),
            **({"LIGHTERD_SOCKET": socket} if socket else {}),
            **(env or {}),
        }
        self.process = subprocess.Popen(
            [sys.executable, "-c", PRELUDE + textwrap.dedent(script)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
            cwd=cwd,
        )

    def hear(self):
        """The next line that it says; fails where it says nothing more."""
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return line.rstrip("\n")

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def finish(self, expect=0):
        """Wait for its end; what it still said."""
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == expect, f"{out}\n{err}"
        return out.splitlines()

    def kill(self):
        self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            pipe.close()
