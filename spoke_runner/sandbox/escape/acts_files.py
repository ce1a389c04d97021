"""Acts on files: those of others, those of the host, and traps for whoever walks the data later."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
from pathlib import Path

from spoke_runner.sandbox.escape.kit import ROOT, World, act, read, syscall


@act()
def read_passwd(world: World) -> None:
    read("/etc/passwd")


@act(control=ROOT)
def read_shadow(world: World) -> None:
    read("/etc/shadow")


@act()
def read_other_apps_data(world: World) -> None:
    assert read(world["other_data"])


@act()
def read_hub_database(world: World) -> None:
    assert read(world["database"])


@act()
def read_hub_source(world: World) -> None:
    assert read(world["hub_source"])


@act()
def import_hub(world: World) -> None:
    __import__("hub.errors")


@act()
def list_root(world: World) -> None:
    list(Path("/").iterdir())


@act()
def write_outside(world: World) -> None:
    Path(world["outside"], "planted").write_text("x")


@act()
def change_own_code(world: World) -> None:
    Path(world["app"], "planted.py").write_text("x")


@act()
def plant_link_for_the_hub(world: World) -> None:
    Path(world["data"], "link").symlink_to("/etc/shadow")


@act()
def plant_fifo_for_the_hub(world: World) -> None:
    os.mkfifo(world["data"] + "/fifo")


@act()
def plant_link_in_socket_directory(world: World) -> None:
    Path(world["sockets"], "link").symlink_to("/etc/shadow")


@act(control=ROOT)
def make_device(world: World) -> None:
    os.mknod(world["data"] + "/disk", 0o600 | 0o060000, os.makedev(7, 0))


@act()
def file_handle(world: World) -> None:
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount_id = ctypes.c_int()
    syscall("name_to_handle_at", -100, b"/", handle, ctypes.byref(mount_id), 0)


@act()
def read_secret_in_environment(world: World) -> None:
    if "SPOKEGATE_TEST_SECRET" not in os.environ:
        raise OSError(errno.ENOENT, "not set")


@act()
def read_environment_in_proc(world: World) -> None:
    assert b"SPOKEGATE_TEST_SECRET" in read("/proc/self/environ")


@act()
def use_inherited_descriptor(world: World) -> None:
    if os.fstat(world["descriptor"]).st_ino != world["database_inode"]:
        raise OSError(errno.EBADF, "the number is another file's")


@act(open_at=("no-userns",))
def stat_outside(world: World) -> None:
    """Learn that a file exists, and its size."""
    Path(world["other_data"]).stat()


@act()
def list_outside(world: World) -> None:
    os.listdir(world["outside"])


@act()
def open_by_parent_of_data(world: World) -> None:
    """Walk up from the one directory that is granted."""
    assert read(world["data"] + "/" + os.path.relpath(world["other_data"], world["real_data"]))


@act()
def hard_link_outside(world: World) -> None:
    os.link(world["other_data"], world["data"] + "/linked")
    os.unlink(world["data"] + "/linked")


@act()
def rename_outside(world: World) -> None:
    os.rename(world["movable"], world["movable"] + ".moved")
    os.rename(world["movable"] + ".moved", world["movable"])


@act()
def delete_outside(world: World) -> None:
    os.unlink(world["deletable"])
    Path(world["deletable"]).touch()


@act()
def truncate_outside(world: World) -> None:
    os.truncate(world["movable"], 0)


@act()
def append_to_the_hubs_database(world: World) -> None:
    os.close(os.open(world["database"], os.O_WRONLY | os.O_APPEND))


@act()
def change_mode_outside(world: World) -> None:
    os.chmod(world["movable"], 0o666)


@act()
def change_times_outside(world: World) -> None:
    os.utime(world["movable"], (1, 1))


@act()
def change_owner_outside(world: World) -> None:
    os.chown(world["movable"], os.getuid(), os.getgid())


@act(control="not every file system keeps such attributes")
def set_attribute_outside(world: World) -> None:
    os.setxattr(world["movable"], "user.planted", b"x")


@act()
def read_link_of_other(world: World) -> None:
    os.readlink(f"/proc/{world['victim']}/cwd")


@act()
def make_directory_outside(world: World) -> None:
    os.mkdir(world["outside"] + "/made")
    os.rmdir(world["outside"] + "/made")


@act()
def make_socket_outside(world: World) -> None:
    with socket.socket(socket.AF_UNIX) as end:
        end.bind(world["outside"] + "/planted.sock")
    os.unlink(world["outside"] + "/planted.sock")


@act()
def plant_setuid_program(world: World) -> None:
    """Leave a program of one's own for another user to run."""
    path = Path(world["outside"], "suid")
    path.touch()
    path.chmod(0o4755)
    path.unlink()


@act(control="needs root and a disk, and not every host shows one")
def read_disk(world: World) -> None:
    device = min(entry.name for entry in Path("/sys/block").iterdir())
    os.close(os.open(f"/dev/{device}", os.O_RDONLY))


@act()
def list_cgroups(world: World) -> None:
    os.listdir("/sys/fs/cgroup")


@act()
def watch_outside(world: World) -> None:
    descriptor = syscall("inotify_init1", 0)
    os.close(descriptor)
