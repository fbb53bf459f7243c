"""Load the statements of a package: `<package>/sql/<name>.sql`, one a file, with named parameters `%(name)s`."""

import re
from functools import cache
from importlib.resources import files

_PARAMETER = re.compile(r"%\((\w+)\)s")


@cache
def load(package: str, name: str) -> str:
    """Return the statement *name* of *package*, without its header comment and with its name in front.

    The header is for people who read the file. It may hold percent signs, which drivers would take for parameters,
    and need not travel with every call; the name does, so that pg_stat_activity says who runs what.
    """
    text = files(package).joinpath("sql", f"{name}.sql").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return f"/* {package}/{name} */ " + "\n".join(lines).strip().removesuffix(";")


@cache
def load_with_colons(package: str, name: str) -> str:
    """Return the statement with parameters as SQLAlchemy's `text()` writes them, `:name`."""
    return _PARAMETER.sub(r":\1", load(package, name).replace(":", "\\:"))
