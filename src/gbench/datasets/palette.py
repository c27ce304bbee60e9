"""The classes of the CMP facade database and their colours in pix2pix's label maps.

Each colour is the most frequent one of its class in the distributed test split; those maps are JPEGs, so pixels vary.
"""

PALETTE: dict[str, tuple[int, int, int]] = {
    "background": (0, 0, 222),
    "wall": (0, 47, 255),
    "window": (0, 128, 255),
    "door": (0, 207, 255),
    "cornice": (31, 255, 224),
    "sill": (112, 255, 143),
    "balcony": (192, 255, 62),
    "blind": (255, 239, 0),
    "deco": (255, 159, 0),
    "molding": (255, 80, 0),
    "pillar": (254, 0, 0),
    "shop": (174, 0, 0),
}
