import pytest

from tests.support.operators import Logins, Operator, Rows


def ids(page: dict[str, list[dict[str, object]]]) -> list[object]:
    return [letter["id"] for letter in page["dead_letters"]]


def resolutions(rows: Rows) -> dict[int, str | None]:
    return dict(rows.connection.execute("select id, resolution from outbox.dead_letter").fetchall())


def test_filters_find_what_they_say(outbox: Operator, rows: Rows) -> None:
    publish = rows.dead("publish", "payload_too_large", type="order.placed", aggregate_type="order", aggregate_id="7")
    consume = rows.dead("consume", "malformed", mail="account_locked")
    old = rows.dead("consume", "no_address", type="user.registered", created_at="2020-01-01T00:00:00Z")

    def found(*filters: str) -> list[object]:
        return ids(outbox.json("dead", "ls", *filters))

    assert found() == [old, consume, publish]
    assert found("--stage", "publish") == [publish]
    assert found("--reason", "malformed") == found("--with-reason", "malformed") == [consume]
    assert found("--type", "user.locked") == [consume]
    assert found("--type", "user.*") == [old, consume]
    assert found("--type", "user_*") == []
    assert found("--mail", "account_locked") == [consume]
    assert found("--aggregate", "order") == found("--aggregate", "order:7") == [publish]
    assert found("--aggregate", "order:8") == []
    assert found("--since", "1h") == [consume, publish]
    assert found("--until", "1h") == found("--until", "2020-01-02") == [old]


def test_a_filter_is_a_value_and_never_sql(outbox: Operator, rows: Rows) -> None:
    rows.dead()

    assert ids(outbox.json("dead", "ls", "--reason", "x' or true --")) == []


def test_pages_follow_one_another(outbox: Operator, rows: Rows) -> None:
    made = [rows.dead() for _ in range(5)]

    first = outbox.json("dead", "ls", "--limit", "3")
    second = outbox.json("dead", "ls", "--limit", "3", "--before", str(first["next_before"]))

    assert (first["matched"], ids(first), ids(second)) == (5, made[:1:-1], made[1::-1])
    assert second["next_before"] is None


def test_resolved_ones_are_listed_only_when_wanted(outbox: Operator, rows: Rows) -> None:
    dead = rows.dead()
    assert outbox("dead", "discard", str(dead), "--reason", "known").code == 0

    assert ids(outbox.json("dead", "ls")) == []
    assert ids(outbox.json("dead", "ls", "--resolved")) == [dead]


def test_showing_one_tells_attempts_and_actions_and_hides_the_content(outbox: Operator, rows: Rows) -> None:
    delivery = rows.delivery("dead")
    dead = rows.dead("deliver", "recipient_refused", delivery_id=delivery, cycle=1, mail="account_locked")
    outbox("dead", "redrive", str(dead), "--reason", "mailbox was created")

    whole = outbox.json("dead", "show", str(dead))
    text = outbox("dead", "show", str(dead)).out

    assert [(one["code"], one["enhanced_code"], one["detail"]) for one in whole["attempts"]] == [
        (550, "5.1.1", "no such user")
    ]
    assert [(one["action"], one["reason"]) for one in whole["actions"]] == [("redrive", "mailbox was created")]
    assert whole["delivery"]["state"] == "queued"
    assert "ada@example.com" not in f"{whole}{text}"


@pytest.mark.parametrize("stage", ["publish", "consume"])
def test_content_is_shown_when_asked_for(outbox: Operator, rows: Rows, stage: str) -> None:
    dead = rows.dead(stage)

    assert "ada@example.com" not in outbox("dead", "show", str(dead)).out
    assert "ada@example.com" in outbox("dead", "show", str(dead), "--payload").out


def test_one_that_is_not_there_is_an_error(outbox: Operator) -> None:
    outcome = outbox("dead", "show", "77")

    assert (outcome.code, outcome.err) == (1, "error: there is no dead letter 77\n")


def test_a_dry_run_counts_and_changes_nothing(outbox: Operator, rows: Rows) -> None:
    dead = [rows.dead() for _ in range(3)]

    answer = outbox.json("dead", "redrive", "--stage", "consume", "--reason", "parser is mended", "--dry-run")

    assert (answer["dry_run"], answer["matched"], answer["done"]) == (True, 3, 0)
    assert answer["kinds"] == [{"stage": "consume", "reason": "malformed", "type": "user.locked", "count": 3}]
    assert resolutions(rows) == dict.fromkeys(dead)


def test_a_filter_needs_a_yes(outbox: Operator, rows: Rows) -> None:
    dead = rows.dead()

    outcome = outbox("dead", "discard", "--stage", "consume", "--reason", "x")

    assert outcome.code == 2
    assert "error: expected --yes to discard 1 dead letter: nobody can be asked here" in outcome.err
    assert resolutions(rows) == {dead: None}


def test_redriving_by_filter_takes_only_what_matches(outbox: Operator, rows: Rows) -> None:
    malformed, other = rows.dead("consume", "malformed"), rows.dead("consume", "no_address")

    outcome = outbox("dead", "redrive", "--with-reason", "malformed", "--reason", "parser is mended", "--yes")

    assert outcome.code == 0
    assert resolutions(rows) == {malformed: "redriven", other: None}


def test_many_are_done_at_a_rate_and_every_one_is_audited(outbox: Operator, rows: Rows) -> None:
    dead = [rows.dead() for _ in range(25)]

    answer = outbox.json("dead", "discard", "--all", "--reason", "drill", "--yes", "--rate", "200")

    assert (answer["matched"], answer["done"], answer["refused"]) == (25, 25, [])
    assert resolutions(rows) == dict.fromkeys(dead, "discarded")
    assert rows.one("select count(*) from outbox.audit where action = 'discard' and reason = 'drill'") == 25


def test_what_is_held_behind_follows_its_head(outbox: Operator, rows: Rows) -> None:
    head = rows.dead("publish", "payload_too_large", parks=True)
    held = rows.dead("publish", "held_behind", behind=head)

    alone = outbox("dead", "redrive", str(held), "--reason", "x")
    answer = outbox.json("dead", "redrive", "--all", "--reason", "limit was raised", "--yes")

    assert alone.code == 1
    assert f"error: dead letter {held} waits behind {head} of the same key" in alone.err
    assert (answer["matched"], answer["held_behind"], answer["done"]) == (1, 1, 1)
    assert resolutions(rows) == {head: "redriven", held: None}


def test_one_that_is_refused_stops_no_other(outbox: Operator, rows: Rows) -> None:
    first, second = rows.dead(), rows.dead()
    outbox("dead", "discard", str(first), "--reason", "x")

    outcome = outbox("dead", "redrive", str(first), str(second), "4711", "--reason", "y")

    assert outcome.code == 1
    assert "2 of them not there, or resolved already: refused" in outcome.out
    assert f"error: dead letter {first} was already discarded" in outcome.err
    assert "error: expected a dead letter, got none with id 4711" in outcome.err
    assert resolutions(rows) == {first: "discarded", second: "redriven"}


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["redrive", "1"], "missing option '--reason'"),
        (["redrive", "1", "--reason", "  "], "expected --reason to say why, got nothing"),
        (["redrive", "--reason", "x"], "expected ids or a filter to say which dead letters to redrive"),
        (["redrive", "1", "--all", "--reason", "x"], "expected either ids or a filter, got both"),
        (["redrive", "1", "--stage", "consume", "--reason", "x"], "expected either ids or a filter, got both"),
        (["redrive", "one", "--reason", "x"], "invalid value for '[ID]...': Input should be a valid integer"),
        (["ls", "--stage", "inbox"], "expected --stage to be publish, consume or deliver, got 'inbox'"),
        (["ls", "--since", "yesterday"], "expected --since to be a time, got 'yesterday'"),
    ],
)
def test_a_wrong_order_changes_nothing_and_says_what_is_wrong(
    outbox: Operator, arguments: list[str], problem: str
) -> None:
    outcome = outbox("dead", *arguments)

    assert outcome.code == 2
    assert f"error: {problem}" in outcome.err


def test_an_operator_may_act_and_a_reader_may_only_look(
    rows: Rows, logins: Logins, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = rows.dead()
    reader, operator = (Operator(logins.of(role), capsys) for role in ("outbox_reader", "outbox_operator"))

    assert reader("dead", "show", str(dead)).code == 0
    assert reader("dead", "show", str(dead), "--payload").code == 1
    assert reader("dead", "discard", str(dead), "--reason", "x").code == 1
    assert resolutions(rows) == {dead: None}
    assert operator("dead", "show", str(dead), "--payload").code == 0
    assert operator("dead", "discard", str(dead), "--reason", "x").code == 0
    assert resolutions(rows) == {dead: "discarded"}
