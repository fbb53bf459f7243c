import hashlib
import re
from pathlib import Path

import pytest

from devstack import maven
from devstack.errors import HashMismatchError


def test_a_cached_jar_with_another_hash_is_refused(tmp_path: Path) -> None:
    jar = maven.LockedJar("org.example:broker:1.0", "a" * 64)
    (tmp_path / "broker-1.0.jar").write_bytes(b"not the broker")

    with pytest.raises(HashMismatchError) as refused:
        maven.fetch([jar], cache=tmp_path)

    expected = f"expected broker-1.0.jar to have SHA-256 {'a' * 64} as jars.lock.toml says, got "
    assert str(refused.value).startswith(expected)
    assert refused.value.got == maven.sha256_of(tmp_path / "broker-1.0.jar")
    assert str(tmp_path / "broker-1.0.jar") in refused.value.__notes__[0]


def test_a_downloaded_jar_with_another_hash_is_refused_and_not_kept(tmp_path: Path) -> None:
    def download(_coordinate: str, scratch: Path) -> Path:
        path = scratch / "anything.jar"
        path.write_bytes(b"tampered with on its way")
        return path

    jar = maven.LockedJar("org.example:broker:1.0", "a" * 64)

    with pytest.raises(HashMismatchError):
        maven.fetch([jar], cache=tmp_path, download=download)

    assert list(tmp_path.iterdir()) == []


def test_a_jar_is_downloaded_once(tmp_path: Path) -> None:
    downloads = []

    def download(coordinate: str, scratch: Path) -> Path:
        downloads.append(coordinate)
        path = scratch / "anything.jar"
        path.write_bytes(b"the broker")
        return path

    jar = maven.LockedJar("org.example:broker:1.0", hashlib.sha256(b"the broker").hexdigest())

    first = maven.fetch([jar], cache=tmp_path, download=download)
    second = maven.fetch([jar], cache=tmp_path, download=download)

    assert first == second == [tmp_path / "broker-1.0.jar"]
    assert downloads == ["org.example:broker:1.0"]


def test_the_lock_file_names_one_version_of_each_jar_with_a_hash() -> None:
    jars = maven.locked("kafka")

    assert all(re.fullmatch(r"[0-9a-f]{64}", jar.sha256) for jar in jars)
    assert len({jar.coordinate.rpartition(":")[0] for jar in jars}) == len(jars)
    assert "org.apache.kafka:kafka_2.13:4.3.1" in {jar.coordinate for jar in jars}


def test_the_lock_file_has_four_older_versions_of_postgresql() -> None:
    assert [jar.version.partition(".")[0] for jar in maven.locked("postgres")] == ["14", "15", "16", "17"]
