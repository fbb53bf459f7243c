"""What providers tell of later by webhooks: who is believed, and what is heard. One module a provider.

In comes a request; out goes `Heard`, or `HookRefusedError` for one that is not the provider's. A hook that is heard
twice changes nothing the second time, so an old one that is played again does no harm.
"""

from mailer.hooks.heard import Heard, HookRefusedError, HookRequest

__all__ = ["Heard", "HookRefusedError", "HookRequest"]
