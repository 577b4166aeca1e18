"""How passwords are hashed."""

from __future__ import annotations

from django.contrib.auth import hashers


class Argon2PasswordHasher(hashers.Argon2PasswordHasher):
    """Argon2id at the cost that OWASP recommends for servers: 19 MiB, two passes, one lane.

    Django's own choice takes 100 MiB for each login, so that a few people logging in at once could exhaust a small
    machine. Hashes of that cost still match, and are renewed at the next login.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1
