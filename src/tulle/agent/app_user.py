"""Decides as which user of the host an application runs.

User 0 may write root's files and the kernel's settings even without capabilities, so an agent that is root runs an
application as an ordinary user where one is at hand (docs/decisions/011-users-of-proxies-and-applications.md).
"""

import logging
import os
import pwd
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path

from tulle.agent.capture.launch import RunAs
from tulle.agent.capture.process import LaunchError

log = logging.getLogger(__name__)

ROOT = 0


def named_user(name: str) -> RunAs:
    """The user of this host with a name or number. Raises LaunchError where there is none."""
    try:
        user = pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except (KeyError, OverflowError) as error:
        raise LaunchError(f"there is no user {name} on this host (runAs)") from error
    return RunAs(user.pw_uid, user.pw_gid, tuple(os.getgrouplist(user.pw_name, user.pw_gid)))


def ordinary_user(invoker: int, directory: Path, program: str, search_path: str) -> RunAs | None:
    """Who an application runs as that names nobody: the owner of its working directory, else `invoker` (who started
    the agent by sudo); None where both are root, or cannot get at the program or the directory. `program` is as the
    application's command has it.

    It is in no group but the user's own: what others of these open is for the person, not for programs that are run on
    their behalf.
    """
    try:
        owner = directory.stat()
    except OSError:  # the start of the application says so
        return None
    found = directory / program if "/" in program else shutil.which(program, path=search_path)
    for candidate in (_alone(owner.st_uid, owner.st_gid), _alone(invoker, owner.st_gid)):
        if candidate.uid == ROOT:
            continue
        if found is None or all(_is_open(way, candidate) for way in (Path(found), Path(found).resolve(), directory)):
            return candidate
        log.warning("%s is not run as user %d, who cannot get at it or at %s", program, candidate.uid, directory)
    return None


def _alone(uid: int, gid: int) -> RunAs:
    """`gid` is for a user of whom the host knows the number only."""
    try:
        return RunAs(uid, pwd.getpwuid(uid).pw_gid)
    except KeyError:
        return RunAs(uid, gid)


def _is_open(path: Path, user: RunAs) -> bool:
    """Whether a user may execute a file, or pass through a directory, and gets there."""
    for step in (path, *path.parents):
        try:
            status = step.stat()
        except OSError:
            return False
        allowed = stat.S_IXOTH
        if status.st_uid == user.uid:
            allowed = stat.S_IXUSR
        elif status.st_gid == user.gid:
            allowed = stat.S_IXGRP
        if not status.st_mode & allowed:
            return False
    return True


def user_environment(user: RunAs | None) -> Mapping[str, str]:
    """Variables that say who and where at home somebody is; nothing for None, the agent's own user."""
    if user is None:
        return {}
    try:
        known = pwd.getpwuid(user.uid)
    except KeyError:
        return {"HOME": "/", "USER": str(user.uid)}
    return {"HOME": known.pw_dir, "USER": known.pw_name}
