import psycopg
import pytest

from devstack.errors import UnknownVersionError
from devstack.versions import installation


def test_a_version_that_is_not_locked_is_refused() -> None:
    with pytest.raises(UnknownVersionError) as refused:
        installation("12")

    assert str(refused.value) == "expected a PostgreSQL version among 14, 15, 16, 17, got '12'"


@pytest.mark.versions
def test_the_chosen_version_is_the_one_that_runs(pytestconfig: pytest.Config, empty_database: str) -> None:
    expected = pytestconfig.getoption("--postgres-version")
    if expected is None:
        pytest.skip("no version was chosen: make test-versions does")

    with psycopg.connect(empty_database) as connection:
        major = connection.info.server_version // 10_000

    assert str(major) == expected
