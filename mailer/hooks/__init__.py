"""What providers tell of later by webhooks: who is believed, and what is heard. One module a provider.

In comes a request; out goes `Heard`, or `HookRefusedError` for one that is not the provider's. A hook that is heard
twice changes nothing the second time; one that was signed long ago is refused, where there is a signature.
"""

from mailer.hooks.heard import Heard, HookRefusedError, HookRequest

__all__ = ["Heard", "HookRefusedError", "HookRequest"]
