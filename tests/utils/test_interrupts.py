"""Ctrl-C where it is easily lost, and where processes are started."""

from __future__ import annotations

import subprocess
import sys

LOST = """
import _thread, signal, time
from intccms.utils.interrupts import revive_lost_interrupts

signal.signal(signal.SIGINT, signal.default_int_handler)  # jobs in the background of a shell ignore it

class Dropping:
    def __del__(self):
        _thread.interrupt_main()
        for _ in range(1000):
            pass

{install}
try:
    Dropping()
    time.sleep(2)
    print("went on")
except KeyboardInterrupt:
    print("interrupted")
"""

HELD = """
import os, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
from intccms.utils.interrupts import interrupts_held

with interrupts_held():
    child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(1); print('ended')"], stdout=-1)
    child.stdout.readline()
    child.send_signal(signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    print(child.stdout.read().decode(), end="", flush=True)
"""


def printed(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return done.stdout


def test_an_interrupt_that_python_drops_comes_again():
    assert printed(LOST.format(install="")).split() == ["went", "on"]
    assert printed(LOST.format(install="revive_lost_interrupts()")).split() == ["interrupted"]


def test_processes_that_are_started_meanwhile_do_not_notice_one():
    assert printed(HELD).split() == ["ended"]
