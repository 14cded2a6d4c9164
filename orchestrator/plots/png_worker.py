"""A process of its own for the browser: a folder of figures as JSON in, PNG files beside them out.

Started by ``png.py`` by its path, so that what hangs or warns in kaleido's event loop stays out of ours.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path


async def draw(folder: Path, browser: str, width: int, timeout_s: float) -> None:
    """Draw every ``*.json`` of the folder in one browser: no sandbox (root), no MathJax (from a CDN)."""
    from kaleido import Kaleido

    async with Kaleido(n=1, timeout=timeout_s, mathjax=False, path=browser) as kaleido:
        for source in sorted(folder.glob("*.json")):
            figure = json.loads(source.read_text(encoding="utf-8"))
            height = figure["layout"].get("height", 500)
            options = {"format": "png", "width": width, "height": height, "scale": 2}
            image = await kaleido.calc_fig(figure, opts=options)
            source.with_suffix(".png").write_bytes(image)


def main(arguments: list[str]) -> None:
    """``png_worker.py FOLDER BROWSER WIDTH TIMEOUT``."""
    folder, browser, width, timeout_s = arguments
    asyncio.run(draw(Path(folder), browser, int(width), float(timeout_s)))


if __name__ == "__main__":
    main(sys.argv[1:])
