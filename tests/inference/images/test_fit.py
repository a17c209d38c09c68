"""An image stretched to the network's size: its places lead back to the image."""

import numpy as np

from inference.images import fit


def test_a_stretched_image_fills_the_input_and_places_lead_back() -> None:
    image = np.zeros((40, 100, 3), np.uint8)
    image[10:20, 50:60] = 255
    pixels, place = fit.stretched(image, (80, 50), origin=(7.0, 3.0))
    assert pixels.shape == (80, 50, 3)
    rows, columns = np.nonzero(pixels[..., 0] > 127)
    corners = np.array([[columns.min(), rows.min()], [columns.max() + 1, rows.max() + 1]], np.float32)
    assert np.allclose(place.to_image(corners), [[57, 13], [67, 23]])
    assert place.core == (7, 3, 107, 43)
