import os
from pathlib import Path

import pytest

from devstack import folders


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    tree = tmp_path / "closed" / "postgres"
    (tree / "bin").mkdir(parents=True)
    (tree / "bin" / "postgres").write_text("#!/bin/sh\n")
    (tree / "bin" / "postgres").chmod(0o755)
    (tree / "bin" / "postmaster").symlink_to("postgres")
    (tmp_path / "closed").chmod(0o700)
    return tree


def test_programs_that_another_user_cannot_reach_are_linked_where_it_can(installation: Path, tmp_path: Path) -> None:
    (libraries := installation.with_name("postgres.libs")).mkdir()
    (libraries / "libssl.so").touch()

    reachable = folders.reachable_copy(installation, libraries=libraries, user="nobody", into=tmp_path)

    assert reachable == tmp_path / "programs" / "postgres"
    assert (reachable.with_name("postgres.libs") / "libssl.so").exists()  # found by a path relative to the programs
    assert (reachable / "bin" / "postgres").samefile(installation / "bin" / "postgres")  # a link: no room is taken
    assert (reachable / "bin" / "postmaster").readlink() == Path("postgres")
    assert oct((reachable / "bin").stat().st_mode & 0o777) == "0o755"
    assert oct((tmp_path / "closed").stat().st_mode & 0o777) == "0o700"  # nothing was opened to others


def test_programs_stay_where_they_are_for_the_user_that_we_are(installation: Path, tmp_path: Path) -> None:
    assert folders.reachable_copy(installation, libraries=None, user=None, into=tmp_path) == installation


def test_a_removed_run_keeps_the_logs_that_say_something(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "postgres" / "data").mkdir(parents=True)
    (run / "postgres.log").write_text("FATAL: no space left\n")
    (run / "sink.log").touch()
    (run / "owner").write_text("1\n")

    folders.remove(run, keep_logs=True)

    assert [path.name for path in run.iterdir()] == ["postgres.log"]
    folders.remove(run)
    assert not run.exists()


def test_a_run_without_any_log_leaves_no_folder(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "sink.log").touch()

    folders.remove(run, keep_logs=True)

    assert not run.exists()


def test_a_run_folder_can_be_passed_through_and_not_looked_into() -> None:
    run = folders.new_run_folder()

    assert oct(run.stat().st_mode & 0o777) == "0o711"
    assert (run / "owner").read_text() == f"{os.getpid()}\n"
    folders.remove(run)
