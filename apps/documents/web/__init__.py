"""Documents and chunks as the web API (`/v1/document/...`, `/v1/chunk/...`) has them: by stored names."""
