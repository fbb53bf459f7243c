import sys
from pathlib import Path

import pytest
from mypy import api

HERE = Path(__file__).parent


@pytest.mark.timeout(240)
def test_what_hosts_may_write_type_checks_and_what_they_may_not_does_not() -> None:
    arguments = ["--python-executable", sys.executable, str(HERE / "may_write.py"), str(HERE / "may_not_write.py")]

    report, errors, code = api.run(arguments)

    assert (report.splitlines()[-1:], errors, code) == (["Success: no issues found in 2 source files"], "", 0), report
