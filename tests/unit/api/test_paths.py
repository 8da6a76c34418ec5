"""Where things are kept, for root and for others."""

from pathlib import Path

from tulle.api.paths import run_paths


def test_root_uses_the_hosts_directories() -> None:
    paths = run_paths({"XDG_RUNTIME_DIR": "/run/user/0", "HOME": "/root"}, uid=0)
    assert paths.api_socket == Path("/run/tulle/api.sock")
    assert paths.control_dir == Path("/var/lib/tulle/control")


def test_a_user_has_directories_of_their_own() -> None:
    paths = run_paths({"XDG_RUNTIME_DIR": "/run/user/1000", "HOME": "/home/ada"}, uid=1000)
    assert paths.run_dir == Path("/run/user/1000/tulle")
    assert paths.state_dir == Path("/home/ada/.local/state/tulle")


def test_without_a_runtime_directory_tmp_is_used() -> None:
    assert run_paths({"HOME": "/home/ada"}, uid=1000).run_dir == Path("/tmp/tulle-1000")


def test_the_environment_decides() -> None:
    paths = run_paths({"TULLE_RUN_DIR": "/r", "TULLE_STATE_DIR": "/s", "XDG_STATE_HOME": "/x"}, uid=0)
    assert (paths.run_dir, paths.state_dir) == (Path("/r"), Path("/s"))
    assert run_paths({"XDG_STATE_HOME": "/x"}, uid=7).state_dir == Path("/x/tulle")


def test_sockets_and_keys_are_gone_after_a_reboot_and_logs_are_not() -> None:
    paths = run_paths({}, uid=0)
    assert {paths.xds_socket.parent, paths.agent_socket.parent, paths.svid_dir.parent} == {Path("/run/tulle")}
    assert paths.log_dir == Path("/var/lib/tulle/agent/logs")
