"""Phantoms: fundus photographs drawn from a seed, with grade, lesion masks and quality. Never a patient's.

They ship with Clarity for the demo, for tests, and for judging heatmaps. No figure measured on them is clinical.
"""

from clarity.data.phantoms.drawing import Phantom, draw
from clarity.data.phantoms.grading import KINDS, QUADRANTS, grade_of
from clarity.data.phantoms.writing import write

__all__ = ["KINDS", "QUADRANTS", "Phantom", "draw", "grade_of", "write"]
