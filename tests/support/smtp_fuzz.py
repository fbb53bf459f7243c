"""SMTP servers that answer at random, and what must be said of each conversation with one.

A conversation is one server, one transport and one to three messages. Its number and the seed say all of it, so that
the one that fails can be had again. What is expected is read from what the server has said, and from nothing else.
"""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import Enum

from mailer.classify import judge_reply
from mailer.reply import Phase, Reply
from mailer.transports import open_transport
from mailer.transports.conformance import message
from tests.support.scripted_smtp import Answer, Drop, Hang, Raw, ScriptedServer, Slow


class Means(Enum):
    """What an answer is at the step where it is given."""

    YES = "the step has succeeded"
    # A second reply follows unasked: whatever is said next must not take it for its answer.
    YES_AND_MORE = "the step has succeeded, and the next has failed"
    NO = "a valid 4yz or 5yz"
    NOTHING = "no valid reply, or one that fits no step"
    # The connection ends together with the last good answer: the next write may still go through.
    YES_AND_GONE = "the step has succeeded, and nobody is there any more"


@dataclass(frozen=True, slots=True)
class Said:
    """An answer, what it means, and the code of a refusal."""

    means: Means
    answer: Answer
    code: int | None = None


STEPS: Mapping[str, tuple[Phase, Sequence[int]]] = {
    "CONNECT": (Phase.CONNECT, (220,)),
    "EHLO": (Phase.EHLO, (250,)),
    "HELO": (Phase.EHLO, (250,)),
    "STARTTLS": (Phase.TLS, ()),
    "AUTH": (Phase.AUTH, (235,)),
    "MAIL": (Phase.MAIL, (250,)),
    "RCPT": (Phase.RCPT, (250, 251, 252)),
    "DATA": (Phase.DATA, (354,)),
    "DOT": (Phase.DOT, (250, 200, 251, 299)),
}
_BESIDE = ("RSET", "NOOP", "QUIT")
_NO_EHLO = (500, 501, 502, 504, 550)
_REFUSALS = (400, 421, 421, 421, 450, 451, 452, 454, 499, 500, 501, 502, 504, 521, 530, 535, 550, 552, 553, 554, 571)
_WORDS = (
    b"",
    b"ok",
    b"2.0.0 queued as \x00\x00",
    b"5.1.1 <ada.conformance@example.com>: who",
    b"4.7.1 try again in 5 minutes",
    b"\xff\xfe\x80",
    "größer\N{LINE SEPARATOR}x".encode(),
    b"a\rb",
    b"x" * 3000,
)
_GARBAGE = (
    b"\r\n",
    b"\n",
    b"hello there\r\n",
    b"\x00\x00\x00\r\n",
    b"\x16\x03\x01\x02\x00\r\n",
    b"2500 ok\r\n",
    b"25\r\n",
    b"150 hm\r\n",
    b"650 hm\r\n",
    b" 250 ok\r\n",
    b"250_ok\r\n",
    b"250-a\r\n451 b\r\n",
    b"250-a\r\n\r\n250 b\r\n",
    b"HTTP/1.1 400 Bad Request\r\n\r\n",
    b"250 " + b"x" * 70_000 + b"\r\n",
    b"-" * 70_000,
    b"250-x\r\n" * 20_000,
)


def _reply(rng: random.Random, code: int, first: bytes | None = None) -> bytes:
    """Return a valid reply of *code*: of one line or of many, ended by CRLF or by a bare LF."""
    number, end = str(code).encode(), rng.choice((b"\r\n", b"\r\n", b"\r\n", b"\n"))
    lines = [rng.choice(_WORDS) for _ in range(rng.choice((1, 1, 1, 2, 5)))]
    lines = lines if first is None else [first, *lines]
    text = b"".join(number + b"-" + line + end for line in lines[:-1])
    return text + (number if rng.random() < 0.1 else number + b" " + lines[-1]) + end


def _sent(rng: random.Random, content: bytes) -> Answer:
    return Slow(content) if len(content) < 200 and rng.random() < 0.2 else Raw(content)


def _yes(rng: random.Random, step: str) -> Said:
    return Said(Means.YES, _sent(rng, _reply(rng, rng.choice(STEPS[step][1]))))


def _no(rng: random.Random) -> Said:
    code = rng.choice(_REFUSALS)
    return Said(Means.NO, _sent(rng, _reply(rng, code)), code)


def _nothing(rng: random.Random, step: str, *, followed: bool) -> Said:
    half = (b"", b"2", b"250", b"250 o", b"250-a\r\n", b"4", b"354", b"550-no\r\n")
    unfit = [code for code in (200, 211, 220, 235, 250, 334, 354, 399) if code not in (*STEPS[step][1], *_DOT_YES)]
    kinds: tuple[Callable[[], Answer], ...] = (
        Drop,
        lambda: Drop(after=rng.choice(half)),
        lambda: Raw(rng.choice(_GARBAGE)),
        lambda: Raw(_reply(rng, rng.choice(unfit))),
        lambda: Hang(drip=rng.choice((b"", b"", b"2", b"250-a\r\n"))),
        lambda: Raw(rng.choice(half[1:])),
    )
    # What ends only with a timeout is dear; half a reply that the next one follows at once would make a whole one.
    return Said(Means.NOTHING, rng.choices(kinds, (30, 20, 25, 15, 5, 0 if followed else 5))[0]())


_DOT_YES = range(200, 300)


def _trouble(rng: random.Random, step: str, *, pipelined: bool) -> Said:
    if step == "STARTTLS" and rng.random() < 0.3:
        return Said(Means.NOTHING, Drop(after=b"220 go on\r\n"))
    if step == "DATA" and rng.random() < 0.2:
        return Said(Means.YES_AND_GONE, Drop(after=b"354 go on\r\n"))
    # With pipelining, what comes unasked is the reply to the next command of the same write.
    followed = pipelined and step in ("MAIL", "RCPT")
    if STEPS[step][1] and not followed and rng.random() < 0.1:
        more = _reply(rng, rng.choice((220, 250, 354, 421, 550)))
        return Said(Means.YES_AND_MORE, Raw(_reply(rng, STEPS[step][1][0]) + more))
    return _no(rng) if rng.random() < 0.5 else _nothing(rng, step, followed=followed)


@dataclass(frozen=True, slots=True)
class Plan:
    """What a server will say, step by step, each list in turn; options of the client's DSN."""

    script: Mapping[str, list[Said]]
    options: str
    login: str
    messages: int


def planned(rng: random.Random) -> Plan:
    """Return a conversation: three servers in four go wrong at one step above all, and at any other now and then."""
    login, tls, pipelined = rng.random() < 0.15, rng.random() < 0.08, rng.random() < 0.4
    steps = [step for step in STEPS if (step != "STARTTLS" or tls) and (step != "AUTH" or login)]
    sore = rng.choice([*steps, "DOT", "DOT", ""])
    script = {
        step: [
            _trouble(rng, step, pipelined=pipelined)
            if rng.random() < (0.7 if step == sore else 0.02) or step == "STARTTLS"
            else _yes(rng, step)
            for _ in range(6)
        ]
        for step in steps
    }
    features = [b"scripted", b"SIZE 1000000"] + [b"PIPELINING"] * pipelined + [b"STARTTLS"] * tls
    features += [b"AUTH PLAIN LOGIN"] * login
    hello = b"".join(b"250-" + feature + b"\r\n" for feature in features) + b"250 8BITMIME\r\n"
    script["EHLO"] = [Said(Means.YES, Raw(hello)) if one.means is Means.YES else one for one in script["EHLO"]]
    for step in _BESIDE:
        good = Said(Means.YES, "250 ok")
        script[step] = [good if rng.random() < 0.7 else _beside(rng) for _ in range(6)]
    options = f"starttls={'require' if tls else 'never'}&idle_trusted_seconds={rng.choice((0, 10))}"
    return Plan(script, options, "ada:secret@" if login else "", rng.choice((1, 1, 2, 3)))


def _beside(rng: random.Random) -> Said:
    return Said(Means.NOTHING, rng.choice((Drop(), Raw(b"hm\r\n"), "421 bye", "250 ok\r\n250 again", "500 no")))


class FuzzedServer(ScriptedServer):
    """Says what its plan holds, and remembers what it has said on which connection."""

    def __init__(self, plan: Plan) -> None:
        """Speak by *plan*."""
        super().__init__()
        self._plan = {step: list(said) for step, said in plan.script.items()}
        self._lock = threading.Lock()
        self.said: list[tuple[int, str, Said]] = []

    def next_answer(self, step: str, connection: int) -> Answer:
        """Return what the plan has next for *step*."""
        with self._lock:
            answers = self._plan.get(step, [Said(Means.NOTHING, "500 what")])
            said = answers.pop(0) if len(answers) > 1 else answers[0]
            self.said.append((connection, step, said))
            return said.answer


@dataclass(frozen=True, slots=True)
class Expected:
    """What the reply must say; *perhaps* is another phase that is as right."""

    phase: Phase
    accepted: bool
    code: int | None
    perhaps: Phase | None = None
    late: bool = False


def expected(said: Sequence[tuple[int, str, Said]], plan: Plan) -> Expected:  # noqa: C901, PLR0911 - one for each meaning
    """Return what is known of a message of *plan*, from what the server said since it was begun."""
    told = [one for one in said if one[1] in STEPS]
    if not told:
        return Expected(Phase.CONNECT, accepted=False, code=None, late=True)
    last = max(connection for connection, _, _ in told)
    for _, step, one in (entry for entry in told if entry[0] == last):
        phase = STEPS[step][0]
        if step == "EHLO" and one.code in _NO_EHLO:
            continue
        if step == "DOT" and one.means in (Means.YES, Means.YES_AND_MORE):
            return Expected(Phase.DONE, accepted=True, code=None)
        match one.means:
            case Means.YES:
                continue
            case Means.YES_AND_GONE:
                return Expected(Phase.DATA, accepted=False, code=None, perhaps=Phase.DOT)
            case Means.YES_AND_MORE if phase is Phase.EHLO and not plan.script.keys().isdisjoint(_NEEDED):
                return _without_a_no(step, plan)
            case Means.YES_AND_MORE:
                return Expected(_NEXT[phase], accepted=False, code=None)
            case Means.NO:
                return Expected(phase, accepted=False, code=one.code)
            case Means.NOTHING:
                return Expected(phase, accepted=False, code=None)
    return _without_a_no(told[-1][1], plan)


def _without_a_no(last: str, plan: Plan) -> Expected:
    """Return why a conversation ended after a good answer to *last*: it named no feature, or it came late."""
    greeted = STEPS[last][0] is Phase.EHLO
    if greeted and "STARTTLS" in plan.script:
        return Expected(Phase.TLS, accepted=False, code=None)
    if greeted and "AUTH" in plan.script:
        return Expected(Phase.AUTH, accepted=False, code=504)
    return Expected(STEPS[last][0], accepted=False, code=None, late=True)


_NEXT = {
    Phase.CONNECT: Phase.EHLO,
    Phase.EHLO: Phase.MAIL,
    Phase.AUTH: Phase.MAIL,
    Phase.MAIL: Phase.RCPT,
    Phase.RCPT: Phase.DATA,
    Phase.DATA: Phase.DATA,
}
# What the client insists on where its plan has it, and gives up without.
_NEEDED = frozenset(("STARTTLS", "AUTH"))
# A busy machine makes any answer late; what that means is known all the same.
_LATE = ("no reply in time", "the time for this attempt is used up")


@dataclass(slots=True)
class Tally:
    """What came of all conversations. *late* counts the good answers that came after the client's patience."""

    replies: int = 0
    late: int = 0
    verdicts: Counter[str] = field(default_factory=Counter)
    phases: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def count(self, number: int, reply: Reply, right: Expected) -> None:
        """Count *reply* of conversation *number*; it is wrong where it is not what is *right*."""
        self.replies += 1
        doubt = " ?" if reply.phase is Phase.DOT and not reply.answered else ""
        self.verdicts[judge_reply(reply).meaning.reason] += 1
        self.phases[f"{reply.phase}{doubt}"] += 1
        if (
            (reply.accepted, reply.code if reply.answered and not reply.accepted else None)
            == (
                right.accepted,
                right.code,
            )
            and reply.phase in (right.phase, right.perhaps)
            and not right.late
        ):
            return
        if not reply.accepted and not reply.answered and reply.text in _LATE and _not_after(reply.phase, right.phase):
            self.late += 1
            return
        self.wrong.append(f"conversation {number}: expected {right}, got {reply}")


def _not_after(phase: Phase, other: Phase) -> bool:
    order = list(Phase)
    return order.index(phase) <= order.index(other)


def conversation(seed: str, number: int) -> Iterator[tuple[Reply, Expected]]:
    """Yield, for each message of one conversation, the reply and what it had to be."""
    plan = planned(random.Random(f"{seed}/{number}"))  # noqa: S311 - chance, not a secret
    times = "connect_timeout_seconds=1&timeout_seconds=0.25&dot_timeout_seconds=0.25"
    with FuzzedServer(plan) as server:
        transport = open_transport(f"smtp://{plan.login}127.0.0.1:{server.port}?{times}&{plan.options}")
        for _ in range(plan.messages):
            begun = len(server.said)
            reply = transport.send(message())
            yield reply, expected(server.said[begun:], plan)
        transport.close()


def converse(seed: str, conversations: int, *, threads: int = 8) -> Tally:
    """Have *conversations* fuzzed conversations, several at a time, and return what came of them."""
    tally, lock = Tally(), threading.Lock()

    def one(number: int) -> None:
        for reply, right in conversation(seed, number):
            with lock:
                tally.count(number, reply, right)

    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(one, range(conversations)):
            pass
    return tally
