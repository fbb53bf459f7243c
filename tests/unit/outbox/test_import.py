import subprocess
import sys

import pytest

THIRD_PARTY = """
import sys
import outbox
import outbox.envelope
names = {name.partition(".")[0] for name in sys.modules}
print(sorted(names - set(sys.stdlib_module_names) - {"outbox", "__main__"} - set(sys.argv[1:])))
"""
BEFORE = "import sys; print(*sorted({name.partition('.')[0] for name in sys.modules}))"


def python(code: str, *arguments: str) -> str:
    ran = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    return ran.stdout.strip()


@pytest.mark.timeout(60)
def test_importing_outbox_imports_nothing_third_party() -> None:
    before = python(BEFORE).split()  # what the environment's own start-up files import

    assert python(THIRD_PARTY, *before) == "[]"
