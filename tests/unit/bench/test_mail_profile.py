"""What a step of the worker costs is told from stacks: the innermost frame that belongs to a step decides."""

from bench.mail.profile import WORKER_STEPS, by_step

RAW = """\
drain (mailer/tasks.py);Library.render (mailer/rendering.py);Library._rendered (mailer/rendering.py);root (body.html) 3
drain (mailer/tasks.py);compose (mailer/compose.py);_part (mailer/compose.py) 2
drain (mailer/tasks.py);Store.claim (mailer/store.py);Database.rows (mailer/database.py) 4
main (celery/app.py) 1
"""


def test_every_sample_belongs_to_one_step() -> None:
    assert by_step(RAW, WORKER_STEPS) == {"PostgreSQL": 0.4, "render": 0.3, "compose": 0.2, "else": 0.1}
