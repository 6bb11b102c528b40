"""Pictures from files, and colours as bytes."""

import io
import os
import pathlib
import warnings
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from fml_tf.files.names import printable

try:  # an extra: its wheels hold code under the GPL
    import pillow_heif
except ImportError:
    pillow_heif = None
else:
    pillow_heif.register_heif_opener()

# Pillow knows more formats, some of which start other programs or hold no picture themselves.
_TAKEN = {"AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "PPM", "TIFF", "WEBP"}
Image.init()
_FORMATS = sorted(_TAKEN & Image.OPEN.keys())
# The largest photos that telephones take have 200 million.
_MAX_PIXELS = 200_000_000
Image.MAX_IMAGE_PIXELS = _MAX_PIXELS  # of the whole process: Pillow has no other
# Editors keep long histories in PNGs. Pillow's limit of 1 MB is against bombs; 16 MB are none, too.
PngImagePlugin.MAX_TEXT_CHUNK = 1 << 24
_HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
# Tags of TIFF.
_SUBFILE_TYPE, _BITS, _COMPRESSION, _PHOTOMETRIC, _PLANES = 254, 258, 259, 262, 284
_DNG_VERSION = 50706
_WHITE_IS_ZERO = 0  # of the photometric interpretation
_SRGB = ImageCms.createProfile("sRGB")
# What the orientation of EXIF asks for; 1 is upright.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(ValueError):
    """A picture that cannot be read; the message names the file, in one line."""


def is_picture(path: str | os.PathLike) -> bool:
    """Whether a file is a picture by its content, readable or not; of a moving one the first.

    Raises:
      FileNotFoundError: no such file.
    """
    path = _existing(path)
    try:
        with open(path, "rb") as file, warnings.catch_warnings(action="ignore"):
            return _is_heic(file) or bool(Image.open(file, formats=_FORMATS))
    except Image.DecompressionBombError:
        return True
    except Exception:  # of damaged headers Pillow raises whatever they provoke
        return False


def read_image(path: str | os.PathLike) -> np.ndarray:
    """Reads a picture as [H, W, 3] uint8 RGB (sRGB by its colour profile, if any), upright by EXIF.

    Raises:
      FileNotFoundError: no such file.
      ImageError: not a picture that is read, damaged, cut short, or of too many pixels.
    """
    path = _existing(path)
    try:
        with open(path, "rb") as file, warnings.catch_warnings(action="ignore"):
            if pillow_heif is None and _is_heic(file):
                raise ImageError(
                    f"{printable(path)}: HEIC is read only with `pip install pillow-heif`"
                )
            image = Image.open(file, formats=_FORMATS)
            if image.width * image.height > _MAX_PIXELS:
                raise Image.DecompressionBombError
            if _is_camera_raw(image):
                raise ImageError(
                    f"{printable(path)}: a camera's raw file; export it as JPEG or TIFF"
                )
            return _upright_rgb(image)
    except ImageError:
        raise
    except Image.DecompressionBombError:
        raise ImageError(f"{printable(path)}: more than {_MAX_PIXELS:,} pixels") from None
    except Exception as error:  # of damaged files Pillow raises whatever they provoke
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if isinstance(error, Image.UnidentifiedImageError):
            reason = "of no format that is read"  # its own text names an object of Python
        raise ImageError(f"{printable(path)}: not an image that can be read ({reason})") from error


def to_bytes(colours: np.ndarray) -> np.ndarray:
    """Rounds colours in [0, 1], clipped, to uint8; uint8 passes through."""
    colours = np.asarray(colours)
    if colours.dtype == np.uint8:
        return colours
    return np.round(255.0 * np.clip(colours, 0.0, 1.0)).astype(np.uint8)


def _existing(path: str | os.PathLike) -> pathlib.Path:
    path = pathlib.Path(path)
    if not path.is_file():
        if path.exists() and not path.is_dir():  # a pipe, a socket
            raise ImageError(f"{printable(path)}: not a regular file; save it to one first")
        raise FileNotFoundError(f"{printable(path)}: no such file")
    return path


def _is_heic(file: BinaryIO) -> bool:
    start = file.read(64)
    file.seek(0)
    return start[4:8] == b"ftyp" and start[8:12] in _HEIC and b"avif" not in start


def _is_camera_raw(image: Image.Image) -> bool:
    """Whether a TIFF's first picture is but a preview of what a camera wrote."""
    tags = getattr(image, "tag_v2", {})
    return bool(tags.get(_SUBFILE_TYPE, 0) & 1) or _DNG_VERSION in tags


def _upright_rgb(image: Image.Image) -> np.ndarray:
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PLANES) == 2 and tags.get(_COMPRESSION, 1) == 1 and max(tags[_BITS]) > 8:
        raise ValueError("16 bits of uncompressed planes")  # which Pillow takes for 8
    image.load()
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # a damaged note leaves the picture whole
        orientation = None
    if orientation in _TURNS:
        image = image.transpose(_TURNS[orientation])
    # Of a PGM's more than eight bits Pillow makes 32, of the range of 16.
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PPM"):
        bits = tags.get(_BITS, (16,))[0]  # of a TIFF, which may have 12
        grey = np.uint8(np.asarray(image) >> (bits - 8))
        if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:  # left to us by Pillow
            grey = 255 - grey
        profile = image.info.get("icc_profile")
        image = Image.fromarray(grey)
        image.info["icc_profile"] = profile
    if image.mode in ("I", "F"):
        raise ValueError("more than 16 bits per channel")
    return np.array(_to_srgb(image))


def _to_srgb(image: Image.Image) -> Image.Image:
    profile = image.info.get("icc_profile")
    if profile:
        if image.mode not in ("L", "RGB", "CMYK"):
            image = image.convert("L" if image.mode == "LA" else "RGB")
        try:
            source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            transform = ImageCms.buildTransform(source, _SRGB, image.mode, "RGB")
            if not _is_srgb(transform, image.mode):
                return ImageCms.applyTransform(image, transform)
        except (ImageCms.PyCMSError, OSError):
            pass  # damaged, or of another kind of colours: those of the picture stay
    return image.convert("RGB")


def _is_srgb(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether it comes from sRGB, whatever its profile is called: then nothing is rounded again."""
    if mode != "RGB":
        return False
    probe = np.uint8([[(v, v, v) for v in range(256)], [(v, 255 - v, 128) for v in range(256)]])
    shown = ImageCms.applyTransform(Image.fromarray(probe), transform)
    return bool(np.abs(np.asarray(shown).astype(int) - probe).max() <= 1)
