"""How the pages show numbers and times (see FORMAT_MODULE_PATH)."""
