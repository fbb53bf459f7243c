"""A mutation: a rule of the protocol broken on purpose, and the tests that ought to notice."""

import tomllib
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parent / "catalog"


@dataclass(frozen=True, slots=True)
class Change:
    """One text of a file that becomes another."""

    file: str
    old: str
    new: str


@dataclass(frozen=True, slots=True)
class Mutation:
    """What is broken: *rule* is its place in the protocol, *breaks* says it in a sentence.

    *tests* are node ids, the quickest first. With *own_servers* they stop or crash servers, and so start their own.
    """

    name: str
    rule: str
    breaks: str
    changes: tuple[Change, ...]
    tests: tuple[str, ...]
    own_servers: bool = False


@dataclass(eq=False)
class StaleMutationError(Exception):
    """A mutation does not apply any more: the code it changes is another now."""

    mutation: str
    file: str
    found: int

    def __str__(self) -> str:
        """Return which text is not there once."""
        return f"expected the old text of mutation {self.mutation!r} once in {self.file}, got it {self.found} times"


def load(names: Collection[str] = ()) -> list[Mutation]:
    """Return the mutations of those *names*, or all, in the order of their names; raise KeyError for a wrong name."""
    found = {path.stem: path for path in sorted(FOLDER.glob("*.toml"))}
    if unknown := sorted(set(names) - set(found)):
        raise KeyError(f"expected names of mutations, got {', '.join(unknown)}")
    return [_read(path) for name, path in found.items() if not names or name in names]


def mutated(root: Path, mutation: Mutation) -> dict[Path, str]:
    """Return the files of *root* that *mutation* changes, as they become; raise StaleMutationError."""
    texts: dict[Path, str] = {}
    for change in mutation.changes:
        path = root / change.file
        text = texts[path] if path in texts else path.read_text(encoding="utf-8")
        if (found := text.count(change.old)) != 1:
            raise StaleMutationError(mutation.name, change.file, found)
        texts[path] = text.replace(change.old, change.new)
    return texts


def _read(path: Path) -> Mutation:
    facts = tomllib.loads(path.read_text(encoding="utf-8"))
    changes: Sequence[dict[str, str]] = facts.pop("change")
    return Mutation(
        name=path.stem,
        rule=facts.pop("rule"),
        breaks=facts.pop("breaks"),
        changes=tuple(Change(**change) for change in changes),
        tests=tuple(facts.pop("tests")),
        **facts,
    )
