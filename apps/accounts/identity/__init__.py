"""Logging in through an external identity provider: OAuth 2, OpenID Connect, GitHub, Feishu.

`channels` is what the operator configured, `attempts` what a browser carries from the start of a login to its end,
`providers` speaks to the provider, `id_tokens` checks what it signs. `services.external_logins` is the whole flow.
"""
