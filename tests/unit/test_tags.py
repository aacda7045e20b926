"""What a photograph's own file says of it."""

from io import BytesIO

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from clarity.screening import tags
from tests.unit.imaging_files import dicom, retina

GREY = np.zeros((8, 8), np.uint8)


def photograph(**changes: object) -> bytes:
    return dicom(GREY, photometric="MONOCHROME2", **changes)


def test_dicom_says_patient_eye_time_and_camera_and_no_name() -> None:
    said = tags.of(
        photograph(
            ImageLaterality="R",
            AcquisitionDateTime="20261120091530.500000+0100",
            Manufacturer="Topcon",
            ManufacturerModelName="NW400",
        )
    )
    assert said == {
        "patient": "12345",
        "eye": "R",
        "captured_at": "2026-11-20T09:15:30+0100",
        "camera": "Topcon NW400",
    }


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"ContentDate": "20261120", "ContentTime": "0915"}, "2026-11-20T09:15:00"),
        ({"StudyDate": "20261120"}, "2026-11-20T00:00:00"),
        ({"StudyDate": "20261120", "StudyTime": "23", "TimezoneOffsetFromUTC": "-0800"}, "2026-11-20T23:00:00-0800"),
        ({"AcquisitionDateTime": "20261120", "TimezoneOffsetFromUTC": "+0530"}, "2026-11-20T00:00:00+0530"),
        ({"AcquisitionDateTime": "202611201530-0330"}, "2026-11-20T15:30:00-0330"),
        ({"AcquisitionDateTime": "2026"}, None),
        ({}, None),
    ],
)
def test_dicoms_dates_are_read_as_far_as_they_go(changes: dict[str, str], expected: str | None) -> None:
    assert tags.of(photograph(**changes)).get("captured_at") == expected


def test_laterality_is_found_in_the_frames_of_an_enhanced_image_too() -> None:
    anatomy, groups = Dataset(), Dataset()
    anatomy.FrameLaterality = "L"
    groups.FrameAnatomySequence = Sequence([anatomy])
    assert tags.of(photograph(SharedFunctionalGroupsSequence=Sequence([groups])))["eye"] == "L"


def test_two_lateralities_in_one_file_are_no_eye_and_an_unknown_one_says_nothing() -> None:
    assert tags.of(photograph(ImageLaterality="L", Laterality="R"))["eye"] == "L/R"
    assert tags.of(photograph(ImageLaterality="L", Laterality="U"))["eye"] == "L"
    assert "eye" not in tags.of(photograph(ImageLaterality="U"))


def jpeg_of_camera(taken: str, offset: str = "", **more: str) -> bytes:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110] = more.get("make", "Canon"), more.get("model", "CR-2 AF")
    exif.get_ifd(0x8769)[0x9003] = taken
    if offset:
        exif.get_ifd(0x8769)[0x9011] = offset
    out = BytesIO()
    Image.fromarray(retina(64, 48)).save(out, "JPEG", exif=exif)
    return out.getvalue()


def test_exif_says_time_and_camera() -> None:
    assert tags.of(jpeg_of_camera("2026:11:20 09:15:30")) == {
        "captured_at": "2026-11-20T09:15:30",
        "camera": "Canon CR-2 AF",
    }
    assert tags.of(jpeg_of_camera("2026:11:20 09:15:30", "+02:00"))["captured_at"] == "2026-11-20T09:15:30+02:00"
    assert "captured_at" not in tags.of(jpeg_of_camera("0000:00:00 00:00:00"))


def test_a_camera_with_an_absurd_name_is_no_reason_to_refuse_a_photograph() -> None:
    assert "camera" not in tags.of(jpeg_of_camera("2026:11:20 09:15:30", make="x" * 200))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=400), st.sampled_from(["\xff\xd8\xff\xe1\x00\x40Exif\0\0", "\0" * 128 + "DICM", "", "II*\0"]))
def test_damaged_files_say_nothing_and_raise_nothing(data: bytes, start: str) -> None:
    assert set(tags.of(start.encode("latin-1") + data)) <= {"patient", "eye", "captured_at", "camera"}


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.integers(0, 600), st.integers(0, 255))
def test_a_dicom_file_with_any_byte_changed_says_something_or_nothing(at: int, byte: int) -> None:
    data = bytearray(photograph(ImageLaterality="R", StudyDate="20261120"))
    data[at] = byte
    for value in tags.of(bytes(data)).values():
        assert isinstance(value, str) and value
