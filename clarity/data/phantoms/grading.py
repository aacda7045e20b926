"""The ICDR rule (Wilkinson et al. 2003) as a pure function of a lesion count by quadrant."""

from collections.abc import Mapping

QUADRANTS = ("superior temporal", "superior nasal", "inferior temporal", "inferior nasal")
"""Divided by the horizontal and the vertical line through the fovea."""
MICROANEURYSM = "microaneurysm"
DOT = "dot_haemorrhage"
BLOT = "blot_haemorrhage"
EXUDATE = "hard_exudate"
COTTON_WOOL = "cotton_wool_spot"
BEADING = "venous_beading"
IRMA = "irma"
NEOVESSELS = "neovascularisation"
PRERETINAL = "preretinal_haemorrhage"
KINDS = (MICROANEURYSM, DOT, BLOT, EXUDATE, COTTON_WOOL, BEADING, IRMA, NEOVESSELS, PRERETINAL)

Counts = tuple[int, int, int, int]
Inventory = Mapping[str, Counts]
"""Kind of lesion to its counts in the four QUADRANTS; a kind that is not there counts nothing."""
NONE: Counts = (0, 0, 0, 0)
MANY_HAEMORRHAGES = 20


def grade_of(inventory: Inventory) -> int:
    """The ICDR grade of an eye, for example ``grade_of({"microaneurysm": (3, 0, 1, 0)}) == 1``.

    4: neovascularisation or preretinal haemorrhage. 3 ("4-2-1"): more than 20 intraretinal haemorrhages in each of 4
    quadrants, or venous beading in 2, or IRMA in 1. 2: more than microaneurysms. 1: microaneurysms only. 0: nothing.
    Raises ValueError for a kind that is not in KINDS or a negative count.
    """
    for kind, counts in inventory.items():
        if kind not in KINDS or len(counts) != len(QUADRANTS) or min(counts) < 0:
            raise ValueError(f"{kind}: {counts!r}, not counts of a known lesion in {len(QUADRANTS)} quadrants")
    present = {kind: sum(count > 0 for count in inventory.get(kind, NONE)) for kind in KINDS}
    if present[NEOVESSELS] or present[PRERETINAL]:
        return 4
    haemorrhages = [a + b for a, b in zip(inventory.get(DOT, NONE), inventory.get(BLOT, NONE), strict=True)]
    if min(haemorrhages) > MANY_HAEMORRHAGES or present[BEADING] >= 2 or present[IRMA] >= 1:
        return 3
    if any(present[kind] for kind in KINDS if kind != MICROANEURYSM):
        return 2
    return 1 if present[MICROANEURYSM] else 0
