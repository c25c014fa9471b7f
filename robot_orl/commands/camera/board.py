"""`robot-orl camera board`: a printable board or marker."""

from dataclasses import dataclass
from pathlib import Path

from robot_orl.commands.tables import out
from robot_orl.deploy.sensors.aruco import DICTIONARIES
from robot_orl.deploy.sensors.boards import KINDS, MM_PER_INCH, Board, draw_marker, write_print
from robot_orl.errors import UsageError
from robot_orl.schema import Schema, setting

MARKER = "marker"
MOST_PIXELS = 20_000


@dataclass
class Config(Schema):
    """Write a board for calibration, or a marker for an object, as a PNG that prints in its true size."""

    out: str = setting(help="The PNG; what the board is goes into a YAML beside it.")
    board: str = setting("charuco", "What to draw.", choices=(*KINDS, MARKER))
    columns: int = setting(7, "Squares from left to right.", low=4, high=50)
    rows: int = setting(5, "Squares from top to bottom.", low=4, high=50)
    square_mm: float = setting(35.0, "Edge of a square.", unit="mm", low=1, high=1000)
    marker_mm: float = setting(26.0, "Edge of a marker's black square.", unit="mm", low=1, high=1000)
    dictionary: str = setting("4X4_50", "Family of the markers.", choices=DICTIONARIES)
    marker: int = setting(0, "Number of the marker, of board=marker.", low=0)
    dpi: int = setting(300, "Resolution of the print.", unit="pixels per inch", low=50, high=1200)


def run(cfg: Config) -> None:
    pixels_per_mm = cfg.dpi / MM_PER_INCH
    if not cfg.out.endswith(".png"):
        raise UsageError(f"out={cfg.out} does not end with .png")
    if cfg.board == MARKER:
        _require_printable(cfg.marker_mm * pixels_per_mm)
        image = draw_marker(cfg.marker, cfg.dictionary, round(cfg.marker_mm * pixels_per_mm))
        write_print(cfg.out, image, image.shape[0] / cfg.marker_mm, cfg.marker_mm / 4)
        told = f"marker {cfg.marker} of {cfg.dictionary}, {cfg.marker_mm:g} mm across its black square"
        out.print(f"{cfg.out}: {told}; keep the white around it")
        return
    sizes = cfg.columns, cfg.rows, cfg.square_mm, cfg.marker_mm, cfg.dictionary
    board = Board(cfg.board, *sizes)
    _require_printable(max(board.size_mm) * pixels_per_mm)
    image = board.draw(pixels_per_mm)
    write_print(cfg.out, image, image.shape[1] / board.size_mm[0], cfg.square_mm / 3)
    file = Path(cfg.out).with_suffix(".yaml")
    board.save(file)
    width, height = board.size_mm
    out.print(
        f"{cfg.out}: {width:g} x {height:g} mm with {cfg.columns} x {cfg.rows} squares, printed at 100%"
    )
    out.print(
        f"{file}: measure the print; where a square is not {cfg.square_mm:g} mm, correct square_mm here"
    )


def _require_printable(pixels: float) -> None:
    if pixels > MOST_PIXELS:
        raise UsageError(f"a picture of {pixels:.0f} pixels is too large; take a lower dpi=")
