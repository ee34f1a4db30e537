"""Runs a command in a terminal and draws what it shows, in its colours and at its pace, as an SVG.

    python3 docs/record-demo.py docs/demo.svg target/release/mcp-reconnect demo

Viewers that do not animate show the end. Fails if the command fails, or writes an escape sequence other than colours.
Recorders in wider use write video, or a format that only a player on the web shows.
"""

import fcntl
import html
import os
import pty
import re
import struct
import sys
import termios
import time

COLUMNS, FONT, LINE, MARGIN = 110, 14, 19, 16
ADVANCE = FONT * 0.6

# SGR parameters (ECMA-48 8.3.117) and how they look.
STYLES = {
    "1": "fill:#ffffff;font-weight:bold",
    "2": "fill:#8b949e",
    "31": "fill:#ff7b72",
    "32": "fill:#7ee787",
    "33": "fill:#f2cc60",
    "36": "fill:#79c0ff",
}
COLOUR = re.compile(r"\x1b\[(\d*)m")


def record(command: list[str]) -> list[tuple[float, str]]:
    """Each line that the command shows, and after how many seconds."""
    child, terminal = pty.fork()
    if child == 0:
        os.environ.pop("NO_COLOR", None)
        os.environ["TERM"] = "xterm-256color"
        # As wide as the picture, before the command asks.
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
        os.execvp(command[0], command)
    start, lines, pending = time.monotonic(), [], b""
    while True:
        try:
            data = os.read(terminal, 65536)
        except OSError:  # Linux's word for the end
            break
        if not data:
            break
        *whole, pending = (pending + data).split(b"\n")
        lines += [(time.monotonic() - start, line.decode().rstrip("\r")) for line in whole]
    _, status = os.waitpid(child, 0)
    if status != 0:
        shown = "\n".join(line for _, line in lines)
        sys.exit(f"{shown}\n{' '.join(command)} failed (status {status})")
    for _, line in lines:
        if len(COLOUR.sub("", line)) > COLUMNS:
            sys.exit(f"wider than {COLUMNS} columns: {line!r}")
    while lines and not lines[0][1]:
        lines.pop(0)
    return lines


def runs(line: str) -> list[tuple[int, str, str]]:
    """The pieces of one colour: their column, text and SGR parameter."""
    pieces, column, colour = [], 0, ""
    for index, part in enumerate(COLOUR.split(line)):
        if index % 2:
            if part not in STYLES and part not in ("", "0"):
                sys.exit(f"no style for SGR {part}: {line!r}")
            colour = part if part in STYLES else ""
            continue
        if not part.isprintable():
            sys.exit(f"an escape sequence that is no colour: {line!r}")
        # Spaces only move what follows.
        for word in re.finditer(r"\S+(?: \S+)*", part):
            pieces.append((column + word.start(), word.group(), colour))
        column += len(part)
    return pieces


def draw(lines: list[tuple[float, str]], title: str) -> str:
    width, height = 2 * MARGIN + COLUMNS * ADVANCE, 2 * MARGIN + len(lines) * LINE
    rules = "".join(f".c{code}{{{style}}}" for code, style in STYLES.items())
    picture = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height}" width="{width:.0f}" height="{height}"'
        f' role="img" aria-label="{html.escape(title)}">',
        "<!-- Made by docs/record-demo.py (`just docs-demo`). -->",
        "<style>text{font:%dpx ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;fill:#c9d1d9}%s"
        "g{animation:appear 1ms both}@keyframes appear{from{opacity:0}}"
        "@media(prefers-reduced-motion:reduce){g{animation:none}}</style>" % (FONT, rules),
        '<rect width="100%" height="100%" rx="8" fill="#0d1117"/>',
    ]
    for number, (seconds, line) in enumerate(lines):
        y = MARGIN + number * LINE + FONT
        # The width of each piece is fixed, so that columns are columns in every font.
        texts = "".join(
            f'<text x="{MARGIN + column * ADVANCE:.1f}" y="{y}" textLength="{len(text) * ADVANCE:.1f}"'
            f' lengthAdjust="spacingAndGlyphs"{f" class={chr(34)}c{colour}{chr(34)}" if colour else ""}>'
            f"{html.escape(text, quote=False)}</text>"
            for column, text, colour in runs(line)
        )
        if texts:
            picture.append(f'<g style="animation-delay:{seconds:.2f}s">{texts}</g>')
    return "\n".join([*picture, "</svg>", ""])


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    path, *command = sys.argv[1:]
    lines = record(command)
    picture = draw(lines, f"A terminal that shows {os.path.basename(command[0])} {' '.join(command[1:])}")
    with open(path, "w", encoding="utf-8") as file:
        file.write(picture)


main()
