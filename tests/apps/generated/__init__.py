"""Requests that nobody wrote by hand: generated from the OpenAPI document, and values that break parsers."""
