"""Pictures of characters that a person reads and a simple program does not."""

from __future__ import annotations

import io
import random

WIDTH, HEIGHT = 300, 120
_INK = (40, 60, 110)


def picture_of(text: str) -> bytes:
    """Return a JPEG that shows the characters, each turned and shifted, among lines and dots."""
    from PIL import Image, ImageDraw, ImageFont

    chance = random.SystemRandom()
    picture = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw = ImageDraw.Draw(picture)
    step = WIDTH // len(text)
    for position, character in enumerate(text):
        glyph = Image.new("L", (step, HEIGHT), 0)
        ImageDraw.Draw(glyph).text((step // 2, HEIGHT // 2), character, 255, ImageFont.load_default(64), anchor="mm")
        turned = glyph.rotate(chance.uniform(-25, 25))
        picture.paste(_INK, (position * step, chance.randint(-15, 15)), turned)
    for _ in range(8):
        line = [(chance.randrange(WIDTH), chance.randrange(HEIGHT)) for _ in range(2)]
        draw.line(line, fill=_INK, width=2)
    draw.point([(chance.randrange(WIDTH), chance.randrange(HEIGHT)) for _ in range(1500)], fill=_INK)
    content = io.BytesIO()
    picture.save(content, "JPEG", quality=80)
    return content.getvalue()
