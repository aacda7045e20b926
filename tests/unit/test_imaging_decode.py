"""Every kind of file in which a photograph may arrive, and every kind of damage in which it must not."""

import io
import struct
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as Pillow
from PIL import ImageOps

from clarity.errors import ImageTooLarge, UnreadableImage
from clarity.imaging import decode
from clarity.imaging.decode import orient
from tests.unit.imaging_files import IMAGING, encode, jpeg, jpeg_header, pillow, png_header, retina, with_exif

RETINA = retina()


def difference(a: Any, b: Any) -> float:
    return float(np.abs(np.asarray(a, np.float64) - np.asarray(b, np.float64)).mean())


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_lossless_files_give_their_pixels_in_rgb(suffix: str) -> None:
    np.testing.assert_array_equal(decode(encode(RETINA, suffix), IMAGING), RETINA)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_files_give_nearly_their_pixels_in_rgb(suffix: str) -> None:
    assert difference(decode(encode(RETINA, suffix), IMAGING), RETINA) < 2.5


def test_a_jpeg_decodes_as_opencv_and_pillow_decode_it() -> None:
    data = jpeg(RETINA)
    ours = decode(data, IMAGING)
    np.testing.assert_array_equal(ours, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB))


def test_a_progressive_jpeg_decodes() -> None:
    data = encode(RETINA, ".jpg", cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert difference(decode(data, IMAGING), RETINA) < 2.5


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_sixteen_bits_are_scaled_to_eight(suffix: str) -> None:
    np.testing.assert_array_equal(decode(encode(RETINA.astype(np.uint16) * 257, suffix), IMAGING), RETINA)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".jpg"])
def test_grey_becomes_three_equal_channels(suffix: str) -> None:
    image = decode(encode(RETINA[:, :, 0], suffix), IMAGING)
    assert image.shape == RETINA.shape and difference(image[:, :, 1], RETINA[:, :, 0]) < 2.5
    np.testing.assert_array_equal(image[:, :, 0], image[:, :, 2])


@pytest.mark.parametrize("suffix", [".png", ".webp", ".tif"])
def test_what_alpha_hides_is_black(suffix: str) -> None:
    alpha = np.full(RETINA.shape[:2], 255, np.uint8)
    alpha[:, :200] = 0
    image = decode(
        encode(np.dstack([RETINA, alpha]), suffix, *([cv2.IMWRITE_WEBP_QUALITY, 101] * (suffix == ".webp"))), IMAGING
    )
    assert image[:, :200].max() == 0
    np.testing.assert_array_equal(image[:, 200:], RETINA[:, 200:])


def test_sixteen_bit_grey_with_alpha_and_palettes_decode() -> None:
    grey = Pillow.fromarray(np.dstack([RETINA[:, :, 0], np.full(RETINA.shape[:2], 255, np.uint8)]), "LA")
    assert difference(decode(pillow(grey, "PNG"), IMAGING)[:, :, 0], RETINA[:, :, 0]) == 0
    palette = Pillow.fromarray(RETINA).quantize(256)
    assert difference(decode(pillow(palette, "PNG"), IMAGING), palette.convert("RGB")) == 0
    assert difference(decode(pillow(palette, "BMP"), IMAGING), palette.convert("RGB")) == 0


def tagged(data: bytes, tag: int, value: int) -> bytes:
    """A TIFF whose first page says another number there, which has to be a SHORT."""
    changed, start = bytearray(data), struct.unpack_from("<I", data, 4)[0]
    for at in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<HH", data, at) == (tag, 3):
            struct.pack_into("<H", changed, at + 8, value)
            return bytes(changed)
    raise AssertionError(tag)


@pytest.mark.parametrize(("kind", "most"), [(np.uint16, 65535), (np.uint8, 255)])
def test_a_tiff_whose_zero_is_white_is_no_negative(kind: type, most: int) -> None:
    grey = RETINA[:, :, 1].astype(kind) * (257 if most > 255 else 1)
    data = tagged(pillow(Pillow.fromarray((most - grey).astype(kind)), "TIFF"), 262, 0)
    assert difference(decode(data, IMAGING)[:, :, 0], RETINA[:, :, 1]) == 0


@pytest.mark.parametrize(("said", "shown"), [(0, True), (1, True), (2, False)])
def test_a_fourth_sample_hides_pixels_only_where_it_is_said_to_be_transparency(said: int, shown: bool) -> None:
    clear = np.dstack([RETINA, np.zeros(RETINA.shape[:2], np.uint8)])
    image = decode(tagged(pillow(Pillow.fromarray(clear, "RGBA"), "TIFF"), 338, said), IMAGING)
    assert difference(image, RETINA if shown else 0) == 0


@pytest.mark.parametrize(("compression", "masks"), [(0, ()), (3, (0xFF0000, 0xFF00, 0xFF))])
def test_the_padding_of_a_bitmap_hides_nothing(compression: int, masks: tuple[int, ...]) -> None:
    height, width = RETINA.shape[:2]
    pixels = np.dstack([RETINA[::-1, :, ::-1], np.zeros((height, width), np.uint8)]).tobytes()
    info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 32, compression, len(pixels), 0, 0, 0, 0)
    body = info + struct.pack(f"<{len(masks)}I", *masks)
    data = b"BM" + struct.pack("<IHHI", 14 + len(body) + len(pixels), 0, 0, 14 + len(body)) + body + pixels
    np.testing.assert_array_equal(decode(data, IMAGING), RETINA)


def test_a_tiff_that_shows_a_thumbnail_first_is_refused_and_one_that_shows_it_last_is_read() -> None:
    whole, small = Pillow.fromarray(RETINA), Pillow.fromarray(RETINA).resize((96, 64))
    with pytest.raises(UnreadableImage, match="page 1 of 96 x 64 is smaller than page 2, 400 x 300"):
        decode(pillow(small, "TIFF", save_all=True, append_images=[whole]), IMAGING)
    image = decode(pillow(whole, "TIFF", save_all=True, append_images=[small]), IMAGING)
    np.testing.assert_array_equal(image, RETINA)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_keeps_its_colours(kind: str) -> None:
    cmyk = Pillow.fromarray(RETINA).convert("CMYK")
    assert difference(decode(pillow(cmyk, kind), IMAGING), RETINA) < 3


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_deflate", "packbits", "jpeg"])
def test_compressed_tiffs_decode(compression: str) -> None:
    data = pillow(Pillow.fromarray(RETINA), "TIFF", compression=compression)
    assert difference(decode(data, IMAGING), RETINA) < 3


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied_in_every_format(orientation: int, kind: str) -> None:
    stored = retina(120, 80, centre=(40, 30), radius=25)
    upright = decode(with_exif(stored, orientation, kind), IMAGING)
    turned = np.asarray(_by_pillow(stored, orientation))
    assert upright.shape == turned.shape
    assert difference(upright, turned) < 4


@pytest.mark.parametrize(("first", "then"), [(6, 1), (1, 6)])
def test_of_two_exif_segments_the_first_says_how_the_photograph_stands(first: int, then: int) -> None:
    """As for Pillow and OpenCV: the overlay lies on the photograph as everybody else shows it."""
    data, other = (with_exif(RETINA, orientation, "JPEG") for orientation in (first, then))
    start = other.index(b"\xff\xe1")
    segment = other[start : start + 2 + int.from_bytes(other[start + 2 : start + 4], "big")]
    after = data.index(b"\xff\xe1") + 2 + int.from_bytes(data[data.index(b"\xff\xe1") + 2 :][:2], "big")
    both = data[:after] + segment + data[after:]
    with Pillow.open(io.BytesIO(both)) as picture:
        assert decode(both, IMAGING).shape[:2] == ImageOps.exif_transpose(picture).size[::-1]
    np.testing.assert_array_equal(decode(both, IMAGING), decode(data, IMAGING))


def _by_pillow(image: np.ndarray, orientation: int) -> Pillow.Image:
    move = Pillow.Transpose
    steps = {2: move.FLIP_LEFT_RIGHT, 3: move.ROTATE_180, 4: move.FLIP_TOP_BOTTOM, 5: move.TRANSPOSE}
    steps |= {6: move.ROTATE_270, 7: move.TRANSVERSE, 8: move.ROTATE_90}
    picture = Pillow.fromarray(image)
    return picture.transpose(steps[orientation]) if orientation in steps else picture


@given(st.integers(1, 8), st.integers(1, 9), st.integers(1, 9))
def test_an_orientation_moves_pixels_and_loses_none(orientation: int, width: int, height: int) -> None:
    image = np.arange(width * height * 3, dtype=np.uint8).reshape(height, width, 3)
    before = image.copy()
    turned = orient(image, orientation)
    assert sorted(turned.reshape(-1, 3).tolist()) == sorted(image.reshape(-1, 3).tolist())
    assert turned.shape[:2] == ((width, height) if orientation >= 5 else (height, width))
    np.testing.assert_array_equal(image, before)


# refused, before a pixel is decoded


def test_zero_bytes_are_refused() -> None:
    with pytest.raises(UnreadableImage, match="0 bytes"):
        decode(b"", IMAGING)


@pytest.mark.parametrize(
    "data", [b"Dear doctor,\n" * 50, b"%PDF-1.7 ...", b"<svg/>", b"GIF89a" + bytes(40), bytes(5000)]
)
def test_other_files_named_jpg_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableImage, match="not a JPEG"):
        decode(data, IMAGING)


def _bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHIIiiHHII", 54, 0, 0, 54, 40, width, height, 1, 24, 0, 0) + bytes(16)


def _webp_header(width: int, height: int) -> bytes:
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return b"RIFF" + struct.pack("<I", 22) + b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size


def _tiff_header(width: int, height: int) -> bytes:
    entries = [(256, 4, width), (257, 4, height), (273, 4, 8), (279, 4, 10), (278, 4, height)]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + bytes(20)


@pytest.mark.parametrize("header", [png_header, jpeg_header, _bmp_header, _webp_header, _tiff_header])
def test_a_header_of_fifty_thousand_pixels_square_is_refused_unopened(header: Any) -> None:
    side = 16_000_000 if header is _webp_header else 50_000
    with pytest.raises(ImageTooLarge, match=f"{side} x {side} pixels"):
        decode(header(side, side), IMAGING)


def test_more_bytes_than_admitted_are_refused() -> None:
    with pytest.raises(ImageTooLarge, match="bytes, more than"):
        decode(jpeg(RETINA), IMAGING.model_copy(update={"max_bytes": 1000}))


def test_padding_before_the_end_of_a_jpeg_is_forgiven() -> None:
    data = jpeg(RETINA)
    padded = data[:-2] + bytes(5) + data[-2:]
    np.testing.assert_array_equal(decode(padded, IMAGING), decode(data, IMAGING))


# damaged


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.95])
def test_a_truncated_file_is_refused_not_completed(suffix: str, share: float) -> None:
    data = encode(_grainy(), suffix)
    with pytest.raises(UnreadableImage):
        decode(data[: int(len(data) * share)], IMAGING)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif"])
@pytest.mark.parametrize("share", [0.3, 0.5, 0.8])
def test_a_file_corrupted_in_the_middle_is_refused(suffix: str, share: float) -> None:
    flags = [cv2.IMWRITE_JPEG_QUALITY, 85] if suffix == ".jpg" else []
    data = bytearray(encode(_grainy(), suffix, *flags))
    at = int(len(data) * share)
    data[at : at + 400] = bytes(400)
    with pytest.raises(UnreadableImage):
        decode(bytes(data), IMAGING)


def _grainy() -> np.ndarray:
    grain = np.random.default_rng(3).integers(-6, 7, RETINA.shape)
    return np.clip(RETINA.astype(int) + grain, 0, 255).astype(np.uint8)


@settings(max_examples=60)
@given(st.sampled_from([".jpg", ".png", ".tif", ".bmp", ".webp"]), st.data())
def test_any_damage_gives_an_image_or_a_named_error(suffix: str, data: st.DataObject) -> None:
    file = bytearray(encode(retina(60, 40), suffix))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(file[: data.draw(st.integers(0, len(file)))])
    try:
        image = decode(cut, IMAGING)
    except UnreadableImage:
        return
    assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3


@given(
    st.binary(max_size=200),
    st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF", b"BM", b"II*\0", b"MM\0*"]),
)
def test_random_bytes_are_never_an_image(body: bytes, magic: bytes) -> None:
    with pytest.raises(UnreadableImage):
        decode(magic + body, IMAGING)
