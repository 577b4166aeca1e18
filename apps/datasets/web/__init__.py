"""Datasets as the web API (`/v1/kb/...`) has them: the same rows and services under the contract's stored names."""
