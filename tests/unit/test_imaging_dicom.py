"""DICOM photographs: their pixel formats and transfer syntaxes, and what is refused."""

import struct
from pathlib import Path

import cv2
import numpy as np
import pydicom.data
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, RLELossless

from clarity.errors import ImageTooLarge, UnreadableImage
from clarity.imaging import decode, prepare
from tests.unit.imaging_files import IMAGING, QUALITY, dataset, dicom, jpeg, jpeg_header, retina, written

RETINA = retina(240, 160)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:pydicom.*")


def jpeg_inside(frame: bytes, photometric: str = "YBR_FULL_422") -> bytes:
    found = dataset(RETINA, photometric=photometric)
    found.PixelData = encapsulate([frame])
    found.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    return written(found)


def test_uncompressed_rgb_keeps_its_pixels() -> None:
    np.testing.assert_array_equal(decode(dicom(RETINA), IMAGING), RETINA)


@pytest.mark.parametrize("syntax", [RLELossless, JPEG2000Lossless])
def test_lossless_compression_keeps_its_pixels(syntax: str) -> None:
    found = dataset(RETINA)
    found.compress(syntax)
    np.testing.assert_array_equal(decode(written(found), IMAGING), RETINA)


@pytest.mark.parametrize("photometric", ["YBR_FULL_422", "YBR_FULL"])
def test_jpeg_inside_dicom_comes_out_in_rgb(photometric: str) -> None:
    image = decode(jpeg_inside(jpeg(RETINA), photometric), IMAGING)
    assert np.abs(image.astype(int) - RETINA).mean() < 2.5


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_gdcm.dcm", "MR_small_jpeg_ls_lossless.dcm", "examples_palette.dcm"])
def test_jpeg_lossless_jpeg_ls_and_palettes_are_read(name: str) -> None:
    folder = Path(pydicom.data.__file__).parent / "test_files"
    image = decode((folder / name).read_bytes(), IMAGING)
    assert image.dtype == np.uint8 and image.shape[2] == 3 and image.max() > image.min()


def test_planes_and_ybr_are_turned_into_rgb() -> None:
    planar = dataset(RETINA, PlanarConfiguration=1)
    planar.PixelData = RETINA.transpose(2, 0, 1).tobytes()
    np.testing.assert_array_equal(decode(written(planar), IMAGING), RETINA)
    ybr = cv2.cvtColor(RETINA, cv2.COLOR_RGB2YCrCb)[:, :, [0, 2, 1]]
    assert np.abs(decode(dicom(ybr, photometric="YBR_FULL"), IMAGING).astype(int) - RETINA).mean() < 1


def test_negative_values_are_refused_by_name() -> None:
    """No camera writes them; scaled as if unsigned, half of them would be black."""
    below = dataset(RETINA[:, :, 0], photometric="MONOCHROME2", PixelRepresentation=1, BitsAllocated=16, BitsStored=12)
    below.HighBit, below.PixelData = 11, (RETINA[:, :, 0].astype(np.int16) * 16 - 2048).tobytes()
    with pytest.raises(UnreadableImage, match=r"DICOM: pixel values from -20[0-9]+, not a photograph's"):
        decode(written(below), IMAGING)


def test_twelve_bits_are_scaled_by_what_is_stored_and_monochrome1_is_inverted() -> None:
    grey = RETINA[:, :, 0].astype(np.uint32) * 4095 // 255
    bright = decode(dicom(grey, photometric="MONOCHROME2", bits=12), IMAGING)
    dark = decode(dicom(4095 - grey, photometric="MONOCHROME1", bits=12), IMAGING)
    assert np.abs(bright[:, :, 1].astype(int) - RETINA[:, :, 0]).max() <= 1
    assert np.abs(dark[:, :, 1].astype(int) - RETINA[:, :, 0]).max() <= 1


def test_a_dicom_and_a_png_of_one_photograph_are_prepared_alike() -> None:
    found = prepare(dicom(RETINA), IMAGING, QUALITY)
    assert found.quality.gradable
    assert (found.width, found.height) == (240, 160)


@pytest.mark.parametrize(
    ("data", "error", "match"),
    [
        (dicom(RETINA, Rows=50_000, Columns=50_000), ImageTooLarge, "50000 x 50000"),
        (jpeg_inside(jpeg_header(50_000, 50_000)), ImageTooLarge, "50000 x 50000"),
        (dicom(RETINA, NumberOfFrames=12), UnreadableImage, "12 frames"),
        (dicom(RETINA, BitsStored=32), UnreadableImage, "DICOM|image"),
        (dicom(RETINA)[:5000], UnreadableImage, "DICOM|image"),
        (dicom(RETINA)[:140], UnreadableImage, "DICOM|image"),
        (bytes(128) + b"DICM" + b"nonsense" * 20, UnreadableImage, "DICOM|image"),
        (jpeg_inside(jpeg(RETINA)[:2000]), UnreadableImage, "cannot be decoded"),
        (jpeg_inside(b"not a JPEG at all, really not"), UnreadableImage, "cannot be decoded"),
    ],
    ids=["large", "large inside", "frames", "bits", "cut", "cut early", "nonsense", "cut inside", "text inside"],
)
def test_a_bad_dicom_file_is_refused_by_name(data: bytes, error: type[Exception], match: str) -> None:
    with pytest.raises(error, match=match):
        decode(data, IMAGING)


def test_a_jpeg_2000_frame_that_says_it_is_huge_is_refused() -> None:
    found = dataset(RETINA)
    found.compress(JPEG2000Lossless)
    data = bytearray(written(found))
    struct.pack_into(">II", data, data.index(b"\xff\x4f\xff\x51") + 8, 50_000, 50_000)
    with pytest.raises(ImageTooLarge, match="50000 x 50000"):
        decode(bytes(data), IMAGING)


def test_a_damaged_jpeg_inside_dicom_is_refused_not_completed() -> None:
    frame = bytearray(jpeg(RETINA, 85))
    frame[len(frame) // 2 : len(frame) // 2 + 100] = np.random.default_rng(1).bytes(100)
    with pytest.raises(UnreadableImage, match="cannot be decoded"):
        decode(jpeg_inside(bytes(frame)), IMAGING)


def test_a_file_without_pixels_is_refused() -> None:
    found = dataset(RETINA)
    del found.PixelData
    with pytest.raises(UnreadableImage, match="no pixel data"):
        decode(written(found), IMAGING)
