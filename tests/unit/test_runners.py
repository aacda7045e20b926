"""How a night's work is cut and shared out."""

from hypothesis import given
from hypothesis import strategies as st

from clarity.settings import Settings
from flows import runners
from flows.screen import _whole

SIZES = st.lists(st.integers(1, 12), max_size=60)


@given(SIZES, st.integers(1, 20))
def test_a_visit_is_never_in_two_chunks_and_nothing_is_lost(sizes: list[int], most: int) -> None:
    visits = [[f"{visit}-{number}" for number in range(size)] for visit, size in enumerate(sizes)]
    chunks = list(_whole(visits, most))
    assert [sha for chunk in chunks for sha in chunk] == [sha for visit in visits for sha in visit]
    for chunk in chunks:
        found = {sha.split("-")[0] for sha in chunk}
        assert len(chunk) <= most or len(found) == 1
        assert len(chunk) == sum(sizes[int(visit)] for visit in found)


def test_workers_of_one_machine_share_out_its_cores_and_its_addresses() -> None:
    settings = Settings(CLARITY_S3_BUCKET="own", CLARITY_CORES=8)
    cluster = runners.local(3, 8 // 3, settings)
    assert cluster["n_workers"] == 3 and cluster["threads_per_worker"] == 1
    assert cluster["env"]["CLARITY_CORES"] == cluster["env"]["OPENCV_FOR_THREADS_NUM"] == "2"
    assert cluster["env"]["CLARITY_S3_BUCKET"] == "own"


def test_more_workers_than_cores_have_one_each() -> None:
    assert runners.local(4, 2 // 4, Settings())["env"]["CLARITY_CORES"] == "1"
