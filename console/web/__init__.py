"""The web console: the status and the dead letters on server-rendered pages, without any script.

In come requests, checked for who asks and whether the form is ours; out go pages that show no payload and no address,
and redrives and discards that are audited under the name of whoever signed in.
"""
