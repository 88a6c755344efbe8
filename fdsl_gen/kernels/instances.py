"""Figures that hide each other: who owns a pixel, and what its owner shows there.

Shapes: H W image, K values of a palette, C channels.
"""

from fdsl_gen.core.jit import kernel


@kernel
def paint_owned(ink_HW, owner_HW, number, box_4, palette_KC, image_HWC):
    """Copy what an object shows to the pixels that it owns, and take the ink away.

    Args:
        ink_HW: row of the palette at every pixel, uint16; 0 again in the box afterwards.
        owner_HW: number of the object that a pixel belongs to.
        number: of this object.
        box_4: left, top, right, bottom of all that it drew, the last two not included.
        palette_KC: its values; row 0 where it is filled without a line.
        image_HWC: uint8, changed.
    """
    left, top, right, bottom = box_4
    for y in range(top, bottom):
        for x in range(left, right):
            if owner_HW[y, x] == number:
                for c in range(image_HWC.shape[2]):
                    image_HWC[y, x, c] = palette_KC[ink_HW[y, x], c]
            ink_HW[y, x] = 0


@kernel
def renumber(new_K, owner_HW, mask_HW):
    """Give every pixel the new number of its owner."""
    for y in range(owner_HW.shape[0]):
        for x in range(owner_HW.shape[1]):
            mask_HW[y, x] = new_K[owner_HW[y, x]]


@kernel
def count_pixels(owner_HW, area_K):
    """Pixels of every owner; added to ``area_K``."""
    for y in range(owner_HW.shape[0]):
        for x in range(owner_HW.shape[1]):
            area_K[owner_HW[y, x]] += 1
