"""The admin API (`/api/v1/admin/...`): administrators and users, keys, settings, parts of the installation."""
