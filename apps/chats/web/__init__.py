"""Assistants as the web API (`/v1/dialog/...`) has them: there they are dialogs, with the contract's stored names."""
