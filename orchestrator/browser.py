"""The browser that draws plots as PNG files: the environment in; its path, or None, out."""

from __future__ import annotations

import os
import shutil

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")


def find_browser() -> str | None:
    """The browser of ``BROWSER_PATH``, else the first Chromium or Chrome on PATH. None is ever downloaded."""
    wanted = os.environ.get("BROWSER_PATH")
    names = (wanted,) if wanted else BROWSERS
    return next((path for name in names if (path := shutil.which(name))), None)
