"""Keep a host's own Alembic away from our tables.

`alembic revision --autogenerate` proposes to drop every table that it finds in the database and not in the host's
metadata, and with `include_schemas` it finds ours. In `env.py`:

    context.configure(..., include_schemas=True, include_name=outbox_alembic.include_name,
                      include_object=outbox_alembic.include_object)

Either is enough; with include_name ours are not even looked at. A host with filters of its own calls these first:
`return include_name(...) and mine(...)`.
"""

from collections.abc import Mapping

SCHEMA = "outbox"


def include_name(name: str | None, type_: str, parent_names: Mapping[str, str | None]) -> bool:
    """Return whether autogenerate may look at what has this name: nothing in our schema, nor the schema itself."""
    if type_ == "schema":
        return name != SCHEMA
    return parent_names.get("schema_name") != SCHEMA


def include_object(object_: object, name: str | None, type_: str, reflected: bool, compare_to: object | None) -> bool:  # noqa: FBT001 - Alembic's signature
    """Return whether autogenerate may compare this object: none of our schema, however it was found."""
    del name, type_, reflected, compare_to
    table = getattr(object_, "table", object_)
    return getattr(table, "schema", None) != SCHEMA
