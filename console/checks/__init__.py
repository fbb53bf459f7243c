"""What `outbox doctor` proves, a file a system: each check reads, and changes nothing.

In come the Surroundings; out go Findings. What cannot be reached makes one failed check, and skips those that need it.
"""
