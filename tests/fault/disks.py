"""disks - file systems of a test's own, to be cut off, filled and mounted again.

A file that the kernel takes for a disk (a loop device) has a whole file system; what
was not brought to it is gone when the power is. The caches of real disks, which may
reorder and lose as well, are not part of this: the kernel's own caches are.
"""

import contextlib
import fcntl
import os
import struct
import subprocess

import pytest

SHUTDOWN = 0x8004587D  # FS_IOC_SHUTDOWN: _IOR('X', 125, u32), of ext4, xfs, f2fs
FREEZE, THAW = 0xC0045877, 0xC0045878  # FIFREEZE, FITHAW: _IOWR('X', 119 | 120, int)
NOLOGFLUSH = 2  # not even the journal is flushed: nothing leaves the memory any more

MAKE = {
    "ext4": (["mkfs.ext4", "-q", "-F"], 64 << 20),
    "xfs": (["mkfs.xfs", "-q", "-f"], 300 << 20),  # it takes no less
}


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stderr}"


def need_root():
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount")


class Disk:
    """A mounted file system at `path`."""

    def __init__(self, path, kind, size=None, options=()):
        self.path, self.kind, self.options = path, kind, options
        self.image = f"{path}.img"
        path.mkdir()
        if kind != "tmpfs":
            command, default = MAKE[kind]
            with open(self.image, "wb") as image:
                image.truncate(size or default)
            try:
                run(*command, *options, self.image)
            except FileNotFoundError:
                pytest.skip(f"there is no {command[0]}")
        self.size = size
        self.mount()

    def mount(self):
        if self.kind == "tmpfs":
            options = ",".join([f"size={self.size}", *self.options])
            command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs"]
        else:
            command = ["mount", "-o", "loop", self.image]
        done = subprocess.run([*command, self.path], capture_output=True, text=True)
        if done.returncode:
            pytest.skip(f"cannot mount: {done.stderr.strip()}")

    def cut(self):
        """What is not on the disk by now never will be."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, SHUTDOWN, struct.pack("I", NOLOGFLUSH))
        finally:
            os.close(fd)

    @contextlib.contextmanager
    def frozen(self):
        """Meanwhile whoever writes to it waits, and cannot be killed."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            fcntl.ioctl(fd, FREEZE, 0)
            try:
                yield
            finally:
                fcntl.ioctl(fd, THAW, 0)
        finally:
            os.close(fd)

    def unmount(self):
        run("umount", self.path)

    def again(self):
        """The next boot: only what was on the disk is there."""
        self.unmount()
        self.mount()

    def done(self):
        subprocess.run(["umount", "-l", self.path], capture_output=True)
