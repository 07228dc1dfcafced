"""The table of WASI preview 1: every call with its type, and how a call is made.

Knows which function serves which name. Does not know how an engine passes arguments.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from runtime.wasi import fd_calls as fd
from runtime.wasi import path_calls as path
from runtime.wasi import process_calls as process
from runtime.wasi.host import Wasi
from runtime.wasi.preview1 import Errno, WasiError


class Call(NamedTuple):
    """A host function: ``function(wasi, *arguments)``.

    ``parameters``: a letter each, ``i`` for i32 and ``I`` for i64; arguments are unsigned. The
    result is an i32 (the error number), except for calls that do not return.
    """

    function: Callable[..., None]
    parameters: str
    returns: bool = True


CALLS: Final[dict[str, Call]] = {
    "args_get": Call(process.args_get, "ii"),
    "args_sizes_get": Call(process.args_sizes_get, "ii"),
    "environ_get": Call(process.environ_get, "ii"),
    "environ_sizes_get": Call(process.environ_sizes_get, "ii"),
    "clock_res_get": Call(process.clock_res_get, "ii"),
    "clock_time_get": Call(process.clock_time_get, "iIi"),
    "fd_advise": Call(fd.fd_advise, "iIIi"),
    "fd_allocate": Call(fd.fd_allocate, "iII"),
    "fd_close": Call(fd.fd_close, "i"),
    "fd_datasync": Call(fd.fd_sync, "i"),
    "fd_fdstat_get": Call(fd.fd_fdstat_get, "ii"),
    "fd_fdstat_set_flags": Call(fd.fd_fdstat_set_flags, "ii"),
    "fd_fdstat_set_rights": Call(fd.fd_fdstat_set_rights, "iII"),
    "fd_filestat_get": Call(fd.fd_filestat_get, "ii"),
    "fd_filestat_set_size": Call(fd.fd_filestat_set_size, "iI"),
    "fd_filestat_set_times": Call(fd.fd_filestat_set_times, "iIIi"),
    "fd_pread": Call(fd.fd_pread, "iiiIi"),
    "fd_prestat_get": Call(fd.fd_prestat_get, "ii"),
    "fd_prestat_dir_name": Call(fd.fd_prestat_dir_name, "iii"),
    "fd_pwrite": Call(fd.fd_pwrite, "iiiIi"),
    "fd_read": Call(fd.fd_read, "iiii"),
    "fd_readdir": Call(fd.fd_readdir, "iiiIi"),
    "fd_renumber": Call(fd.fd_renumber, "ii"),
    "fd_seek": Call(fd.fd_seek, "iIii"),
    "fd_sync": Call(fd.fd_sync, "i"),
    "fd_tell": Call(fd.fd_tell, "ii"),
    "fd_write": Call(fd.fd_write, "iiii"),
    "path_create_directory": Call(path.path_create_directory, "iii"),
    "path_filestat_get": Call(path.path_filestat_get, "iiiii"),
    "path_filestat_set_times": Call(path.path_filestat_set_times, "iiiiIIi"),
    "path_link": Call(path.path_link, "iiiiiii"),
    "path_open": Call(path.path_open, "iiiiiIIii"),
    "path_readlink": Call(path.path_readlink, "iiiiii"),
    "path_remove_directory": Call(path.path_remove_directory, "iii"),
    "path_rename": Call(path.path_rename, "iiiiii"),
    "path_symlink": Call(path.path_symlink, "iiiii"),
    "path_unlink_file": Call(path.path_unlink_file, "iii"),
    "poll_oneoff": Call(process.poll_oneoff, "iiii"),
    "proc_exit": Call(process.proc_exit, "i", returns=False),
    "proc_raise": Call(process.unsupported, "i"),
    "random_get": Call(process.random_get, "ii"),
    "sched_yield": Call(process.sched_yield, ""),
    "sock_accept": Call(process.unsupported, "iii"),
    "sock_recv": Call(process.unsupported, "iiiiii"),
    "sock_send": Call(process.unsupported, "iiiii"),
    "sock_shutdown": Call(process.unsupported, "ii"),
}


def make(function: Callable[..., Any], wasi: Wasi, arguments: tuple[int, ...]) -> int:
    """Make a call; its error number. Raises ``WouldBlock`` and ``Exit``, and nothing else."""
    try:
        function(wasi, *arguments)
    except WasiError as error:
        return error.errno
    return Errno.SUCCESS
