"""What both eyes of a patient share: pigment and the camera. Drawn from the patient's own dice, never from a grade."""

from dataclasses import dataclass

from clarity.data.phantoms.exact import Dice

# Centre colours of real photographs of several cameras and pigments, as (red, green, blue) in 0..255.
_PALETTE = (
    (212.0, 104.0, 34.0),
    (196.0, 92.0, 42.0),
    (218.0, 124.0, 88.0),
    (158.0, 108.0, 72.0),
    (206.0, 122.0, 30.0),
    (168.0, 78.0, 26.0),
    (190.0, 96.0, 72.0),
    (204.0, 88.0, 22.0),
    (176.0, 134.0, 100.0),
)


@dataclass(frozen=True, slots=True)
class Look:
    """Pigment and camera of one patient. Lengths in field radii unless said otherwise."""

    colour: tuple[float, float, float]
    tessellation: float
    mottling: float
    reflex: float
    tortuosity: float
    vessel_width: float
    disc_radius: float
    cup: float
    aspect: float
    """Frame width by height."""
    radius: float
    """Of the field of view, in frame heights; above 0.5 the circle is cut at top and bottom."""
    notch: float
    """Size of the camera's mark on the rim; 0 for none."""
    vignette: float
    softness: float
    noise: float
    rim: tuple[float, float, float]


def look(dice: Dice) -> Look:
    """A patient's look."""
    one, two, share = dice.choice(_PALETTE), dice.choice(_PALETTE), dice.uniform(0.0, 1.0)
    gain = dice.uniform(0.75, 1.12)
    colour = [gain * (a * share + b * (1.0 - share)) * dice.uniform(0.94, 1.06) for a, b in zip(one, two, strict=True)]
    cut = dice.chance(0.45)
    return Look(
        colour=(colour[0], colour[1], colour[2]),
        tessellation=dice.uniform(0.0, 1.0) * dice.uniform(0.2, 1.0),
        mottling=dice.uniform(0.3, 1.0),
        reflex=dice.uniform(0.0, 1.0),
        tortuosity=dice.uniform(0.5, 1.5),
        vessel_width=dice.uniform(0.75, 1.05),
        disc_radius=dice.uniform(0.13, 0.155),
        cup=dice.uniform(0.3, 0.6),
        aspect=dice.choice((1.0, 1.0, 1.1, 1.25)) if not cut else dice.choice((1.25, 1.25, 1.15)),
        radius=dice.uniform(0.53, 0.57) if cut else dice.uniform(0.465, 0.493),
        notch=dice.choice((0.0, 0.0, 0.03, 0.04)),
        vignette=dice.uniform(0.08, 0.42),
        softness=dice.uniform(0.0, 1.0),
        noise=dice.uniform(0.6, 2.0),
        rim=(dice.uniform(-16, 6), dice.uniform(-6, 14), dice.uniform(-4, 26) * dice.uniform(0.2, 1.0)),
    )
