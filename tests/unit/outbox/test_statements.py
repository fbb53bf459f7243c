from outbox import statements


def test_a_statement_comes_with_its_name_and_without_its_header() -> None:
    statement = statements.load("outbox", "insert_events")

    assert statement.startswith("/* outbox/insert_events */ insert into outbox.event")
    assert "--" not in statement
    assert "%(payloads)s" in statement


def test_a_statement_for_sqlalchemy_has_colons() -> None:
    statement = statements.load_with_colons("outbox", "insert_events")

    assert ":payloads" in statement
    assert "%" not in statement
