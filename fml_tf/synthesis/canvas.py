"""A flat canvas about the head on which albedo is painted, independent of the mesh's resolution.

Canvas coordinates are those of a cylinder about the template's vertical axis: s = R·azimuth to the
person's left and y up, mm, at the mean face. A person's mesh keeps the coordinates of the mean
face's vertices, so that paint moves along with identity and expression.
"""

import cv2
import numpy as np

_RADIUS = 90.0
_HALF_WIDTH = 200.0
_BOTTOM, _TOP = -150.0, 150.0
_SUBPIXEL_BITS = 4


class Canvas:
    """Geometry of the canvas for one template, and the brushes that paint on it.

    Masks are [H, W] float32 in [0, 1].

    Attributes:
      vertex_points: [V, 2] float32 canvas coordinates (s, y) of the template's vertices, mm.
      shape: (H, W) of the canvas.
      landmarks: [66, 2] float32 canvas coordinates of the features that landmarks mark, mm.
      grid_s, grid_y: [H, W] float32 coordinates of the canvas's pixels, mm.
    """

    def __init__(self, mean_shape: np.ndarray, feature_points: np.ndarray, scale: float = 1.5):
        """Lays the canvas about a mean face [V, 3] mm and its features [66, 3] mm.

        `scale` is in pixels a mm.
        """
        self._scale = scale
        self.vertex_points = self.points_of(mean_shape)
        self.landmarks = self.points_of(feature_points)
        self.shape = (round((_TOP - _BOTTOM) * scale), round(2 * _HALF_WIDTH * scale))
        height, width = self.shape
        self.grid_s, self.grid_y = np.meshgrid(
            ((np.arange(width) + 0.5) / scale - _HALF_WIDTH).astype(np.float32),
            (_TOP - (np.arange(height) + 0.5) / scale).astype(np.float32),
        )

    @staticmethod
    def points_of(positions: np.ndarray) -> np.ndarray:
        """Canvas coordinates [..., 2] mm of model-space positions [..., 3] mm."""
        azimuth = np.arctan2(positions[..., 0], positions[..., 2])
        return np.stack([_RADIUS * azimuth, positions[..., 1]], axis=-1).astype(np.float32)

    def _to_pixels(self, points: np.ndarray) -> np.ndarray:
        pixels = (np.asarray(points) - (-_HALF_WIDTH, _TOP)) * (self._scale, -self._scale)
        # Pixel indices for cv2, whose pixel centres are whole numbers.
        return pixels - 0.5

    def sample(self, texture: np.ndarray, points: np.ndarray) -> np.ndarray:
        """Looks a texture [H, W, 3] up, bilinearly: points [P, 2] mm to colours [P, 3]."""
        pixels = self._to_pixels(points).astype(np.float32)
        # cv2.remap takes at most 32767 rows.
        columns = 256
        padded = np.zeros((-(-len(pixels) // columns) * columns, 2), np.float32)
        padded[: len(pixels)] = pixels
        grid = padded.reshape(-1, columns, 2)
        colours = cv2.remap(texture, grid, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return colours.reshape(-1, texture.shape[2])[: len(pixels)]

    def blur(self, mask: np.ndarray, sigma_mm: float) -> np.ndarray:
        """Gaussian blur."""
        sigma = sigma_mm * self._scale
        # A wide blur is done at a quarter of the size: the same to the eye, and much faster.
        if sigma < 6:
            return cv2.GaussianBlur(mask, (0, 0), sigma)
        height, width = self.shape
        small = cv2.resize(mask, (width // 4, height // 4), interpolation=cv2.INTER_AREA)
        small = cv2.GaussianBlur(small, (0, 0), sigma / 4)
        return cv2.resize(small, (width, height), interpolation=cv2.INTER_LINEAR)

    def polygon(self, points: np.ndarray, soft_mm: float = 0.0) -> np.ndarray:
        """Fills the polygon [P, 2] mm, with an edge `soft_mm` soft."""
        mask = np.zeros(self.shape, np.float32)
        corners = np.round(self._to_pixels(points) * 2**_SUBPIXEL_BITS).astype(np.int32)
        cv2.fillPoly(mask, [corners], 1.0, cv2.LINE_AA, _SUBPIXEL_BITS)
        return self.blur(mask, soft_mm) if soft_mm else mask

    def strokes(self, starts: np.ndarray, ends: np.ndarray, width_mm: float) -> np.ndarray:
        """Draws the segments from starts to ends, both [P, 2] mm."""
        mask = np.zeros(self.shape, np.uint8)
        ends_px = np.stack([self._to_pixels(starts), self._to_pixels(ends)], axis=1)
        lines = np.round(ends_px * 2**_SUBPIXEL_BITS).astype(np.int32)
        thickness = max(1, round(width_mm * self._scale))
        cv2.polylines(mask, list(lines), False, 255, thickness, cv2.LINE_AA, _SUBPIXEL_BITS)
        return mask.astype(np.float32) / 255

    def dots(self, centres: np.ndarray, radii_mm: np.ndarray) -> np.ndarray:
        """Fills discs: centres [P, 2] mm, radii [P] mm."""
        mask = np.zeros(self.shape, np.uint8)
        unit = 2**_SUBPIXEL_BITS
        for centre, radius in zip(np.round(self._to_pixels(centres) * unit).astype(int), radii_mm):
            size = max(1, round(radius * self._scale * unit))
            cv2.circle(mask, tuple(map(int, centre)), size, 255, -1, cv2.LINE_AA, _SUBPIXEL_BITS)
        return mask.astype(np.float32) / 255

    def bump(self, centre: np.ndarray, sigma_mm: tuple[float, float]) -> np.ndarray:
        """A Gaussian of height one at `centre` [2] mm."""
        across = (self.grid_s[0] - centre[0]) / sigma_mm[0]
        down = (self.grid_y[:, 0] - centre[1]) / sigma_mm[1]
        return np.exp(-0.5 * down**2)[:, None] * np.exp(-0.5 * across**2)

    def noise(self, rng: np.random.Generator, cell_mm: tuple[float, float]) -> np.ndarray:
        """Smooth noise of variance about one whose features are `cell_mm` (across, down) wide."""
        height, width = self.shape
        cells = [max(3, round(n / (self._scale * c))) for n, c in zip((width, height), cell_mm)]
        coarse = rng.standard_normal((cells[1], cells[0]), np.float32)
        return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
