"""What a schema consists of, as PostgreSQL's catalogs tell it: the same answer means the same schema."""

import psycopg

_COLUMNS = """
select format('%%s.%%s %%s%%s%%s%%s%%s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod),
  case when a.attnotnull then ' not null' else '' end, case a.attidentity when 'a' then ' identity' else '' end,
  coalesce(' default ' || pg_get_expr(d.adbin, d.adrelid), ''),
  ' at ' || row_number() over (partition by c.oid order by a.attnum))  -- a dropped column leaves its number behind
from pg_class as c
join pg_attribute as a on a.attrelid = c.oid
left join pg_attrdef as d on d.adrelid = c.oid and d.adnum = a.attnum
where c.relnamespace = to_regnamespace(%(schema)s)
  and c.relkind = 'r' and a.attnum > 0 and not a.attisdropped
order by 1
"""
# Names of constraints are PostgreSQL's own; not null is a column's (and since 18 a constraint too).
_CONSTRAINTS = """
select format('%%s %%s', c.relname, pg_get_constraintdef(k.oid))
from pg_constraint as k join pg_class as c on c.oid = k.conrelid
where k.connamespace = to_regnamespace(%(schema)s) and k.contype <> 'n' order by 1
"""
_INDEXES = """
select pg_get_indexdef(i.indexrelid) from pg_index as i join pg_class as c on c.oid = i.indrelid
where c.relnamespace = to_regnamespace(%(schema)s) order by 1
"""
_SEQUENCES = """
select format('%%s increment %%s cache %%s cycle %%s', c.relname, s.seqincrement, s.seqcache, s.seqcycle)
from pg_sequence as s join pg_class as c on c.oid = s.seqrelid
where c.relnamespace = to_regnamespace(%(schema)s) order by 1
"""
_FUNCTIONS = """
select pg_get_functiondef(p.oid) || coalesce(p.proacl::text, '') from pg_proc as p
where p.pronamespace = to_regnamespace(%(schema)s) order by 1
"""
_GRANTS = """
select c.relname || ' ' || one from pg_class as c, unnest(c.relacl) as one
where c.relnamespace = to_regnamespace(%(schema)s)
union all
select c.relname || '.' || a.attname || ' ' || one
from pg_class as c join pg_attribute as a on a.attrelid = c.oid, unnest(a.attacl) as one
where c.relnamespace = to_regnamespace(%(schema)s)
union all
select nspname || ' ' || one from pg_namespace, unnest(nspacl) as one where nspname = %(schema)s
order by 1
"""
TABLES = {"columns": _COLUMNS, "constraints": _CONSTRAINTS, "indexes": _INDEXES, "sequences": _SEQUENCES}
EVERYTHING = {**TABLES, "functions": _FUNCTIONS, "grants": _GRANTS}


def describe(
    dsn: str, schema: str = "outbox", *, without: str = "", kinds: dict[str, str] = EVERYTHING
) -> dict[str, list[str]]:
    """Return what *schema* consists of, by kind; nothing whose description begins with *without*."""
    with psycopg.connect(dsn) as connection:
        connection.execute("set search_path = pg_catalog")
        return {
            kind: [
                line
                for (line,) in connection.execute(statement, {"schema": schema})
                if not without or without not in line
            ]
            for kind, statement in kinds.items()
        }
