import subprocess
import sys


def test_the_page_of_performance_is_made_from_the_kept_results() -> None:
    ended = subprocess.run([sys.executable, "-m", "bench", "--check"], capture_output=True, text=True, check=False)

    assert ended.returncode == 0, ended.stderr
