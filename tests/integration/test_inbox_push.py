"""A folder into the inbox by the real command: once, again, while it is written to, with everything that is wrong."""

import contextlib
import csv
import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from clarity.cli import app
from clarity.errors import InboxError, StorageUnavailable
from clarity.screening.push import Push, Pushed
from clarity.settings import Settings
from clarity.storage.objects import Objects

MAX = 200_000
SMALL = b"\xff\xd8\xff a small photograph "


@pytest.fixture
def objects(settings: Settings) -> Objects:
    return Objects(settings)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two clinics: one with sidecars, one with a manifest."""
    root = tmp_path / "captures"
    (root / "north").mkdir(parents=True)
    (root / "south").mkdir()
    for number in range(3):
        photograph = root / f"north/{number}.jpg"
        photograph.write_bytes(SMALL + bytes([number]))
        sidecar = {"patient": f"P{number}", "eye": "left", "visit": "v"}
        Path(f"{photograph}.json").write_text(json.dumps(sidecar))
        (root / f"south/{number}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes([number]))
    with (root / "south/manifest.csv").open("w", newline="") as opened:
        table = csv.writer(opened)
        table.writerow(("file", "patient", "eye", "visit"))
        table.writerows((f"{number}.png", f"S{number}", "right", "v") for number in range(3))
    return root


def push(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["inbox", "push", str(folder), *arguments])


def inside(objects: Objects) -> dict[str, str]:
    return {entry.key: entry.etag for entry in objects.list("inbox/")}


def pushing(objects: Objects, folder: Path, prefix: str = "inbox/") -> Push:
    return Push(objects, folder, prefix, max_bytes=MAX)


def test_a_folder_is_sent_whole_and_again_nothing_is(objects: Objects, folder: Path) -> None:
    done = push(folder, "--prefix", "clinic-7")
    assert done.exit_code == 0, done.output
    assert "10 sent, 0 there already, 0 left out, 0 failed" in done.output
    assert objects.get("inbox/clinic-7/north/1.jpg") == SMALL + b"\1"
    before = {entry.key: entry.modified for entry in objects.list("inbox/")}
    assert "0 sent, 10 there already" in push(folder, "--prefix", "clinic-7").output
    assert {entry.key: entry.modified for entry in objects.list("inbox/")} == before


def test_a_file_that_changed_is_sent_again_and_no_other(objects: Objects, folder: Path) -> None:
    push(folder)
    changed = folder / "north/1.jpg"
    facts = changed.stat()
    changed.write_bytes(SMALL + b"\xfe")  # as long as before
    os.utime(changed, ns=(facts.st_atime_ns, facts.st_mtime_ns))  # and no newer: a clock that jumped, or `cp -p`
    assert "1 sent, 9 there already" in push(folder).output
    assert objects.get("inbox/north/1.jpg") == SMALL + b"\xfe"


class Order(Objects):
    """Notes in which order objects arrive; refuses some of them."""

    def __init__(self, settings: Settings, refused: str = "nothing") -> None:
        super().__init__(settings)
        self.arrived: list[str] = []
        self.refused = refused
        self.gone_after: int | None = None
        self.tried = itertools.count(1)

    def put(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        if self.gone_after is not None and next(self.tried) > self.gone_after:
            raise StorageUnavailable("the store: it cannot be reached")
        if key.endswith(self.refused):
            key = "inbox/" + "x" * 2000  # the store itself refuses it
        super().put(key, data, content_type)
        self.arrived.append(key)


def test_what_is_said_of_photographs_arrives_before_them(settings: Settings, folder: Path) -> None:
    objects = Order(settings)
    pushing(objects, folder).once()
    first = objects.arrived[:4]
    assert all(key.endswith((".json", "manifest.csv")) for key in first)
    assert not any(key.endswith((".json", "manifest.csv")) for key in objects.arrived[4:])
    assert len(objects.arrived) == 10


@pytest.mark.parametrize(
    ("refused", "kept_back"), [("1.jpg.json", {"north/1.jpg"}), ("manifest.csv", {f"south/{n}.png" for n in range(3)})]
)
def test_a_photograph_whose_sidecar_or_manifest_cannot_be_sent_is_kept_back(
    settings: Settings, folder: Path, refused: str, kept_back: set[str]
) -> None:
    objects = Order(settings, refused)
    pushed = pushing(objects, folder).once()
    named = {one.name for one in pushed.failed}
    assert kept_back < named
    assert not {f"inbox/{name}" for name in kept_back} & set(inside(objects))
    assert pushed.sent == 10 - len(named)


def test_a_push_that_lost_the_store_goes_on_where_it_was(settings: Settings, folder: Path) -> None:
    objects = Order(settings)
    objects.gone_after = 6
    with pytest.raises(StorageUnavailable):
        pushing(objects, folder).once()
    assert len(inside(objects)) == 6
    pushed = pushing(Objects(settings), folder).once()
    assert (pushed.sent, pushed.there) == (4, 6)


def test_a_push_that_is_killed_goes_on_where_it_was(settings: Settings, objects: Objects, tmp_path: Path) -> None:
    folder = tmp_path / "many"
    folder.mkdir()
    for number in range(600):
        (folder / f"{number:04d}.jpg").write_bytes(SMALL + number.to_bytes(2, "big"))
    command = [sys.executable, "-c", "from clarity.cli import main; main()", "inbox", "push", str(folder)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        while len(inside(objects)) < 20:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    there = len(inside(objects))
    pushed = pushing(objects, folder).once()
    assert 20 <= there <= pushed.there < 600  # what was on its way when the process died may have arrived since
    assert (pushed.sent, pushed.left) == (600 - pushed.there, [])
    assert len(inside(objects)) == 600


NAMES = ("眼底.jpg", "a'b\"c.jpg", "new\nline.jpg", "عين.jpg", "👁.jpg", "%2e%2e.jpg", "a b+c&d#e?.jpg", "e\u0301.jpg",
         "$(x)`y`;--.jpg", "trail.jpg ")  # fmt: skip


def test_names_of_every_script_arrive_as_they_are(objects: Objects, tmp_path: Path) -> None:
    for number, name in enumerate(NAMES):
        (tmp_path / name).write_bytes(SMALL + bytes([number]))
    assert push(tmp_path).exit_code == 0
    assert set(inside(objects)) == {f"inbox/{name}" for name in NAMES}
    assert f"{len(NAMES)} there already" in push(tmp_path).output


def test_what_cannot_be_sent_is_named_and_the_exit_code_says_so_and_the_rest_is_sent(
    settings: Settings, objects: Objects, folder: Path, tmp_path: Path
) -> None:
    outside = tmp_path / "secret.jpg"
    outside.write_bytes(SMALL)
    (folder / "link.jpg").symlink_to(outside)
    (folder / "broken.jpg").symlink_to(folder / "nowhere.jpg")
    (folder / "inner.jpg").symlink_to(folder / "north/1.jpg")
    (folder / "linked").symlink_to(tmp_path, target_is_directory=True)
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.jpg")
    (folder / "back\\slash.jpg").write_bytes(SMALL)
    Path(os.fsdecode(os.fsencode(folder) + b"/latin-\xe9.jpg")).write_bytes(SMALL)
    with (folder / "huge.jpg").open("wb") as opened:
        opened.truncate(2 * 1024**3)  # 2 GB without a block on the disk
    began = time.monotonic()
    done = push(folder)
    assert time.monotonic() - began < 30
    assert done.exit_code == 1
    for said in (
        "link.jpg: a link that leaves the folder",
        "broken.jpg: No such file",
        "linked: a link to a folder, not followed",
        "loop: a link to a folder, not followed",
        "pipe.jpg: not a plain file",
        "back\\slash.jpg: a backslash in its name",
        "latin-\\udce9.jpg: its name is not UTF-8",
        "huge.jpg: 2147483648 bytes, more than the",
    ):
        assert said in done.output
    assert "11 sent, 0 there already, 0 left out, 8 failed" in done.output
    assert objects.get("inbox/inner.jpg") == SMALL + b"\1"


def test_an_unreadable_file_is_named_and_the_rest_is_sent(objects: Objects, folder: Path) -> None:
    """As root every file can be read: the walk is asked as it is, with a file that goes away before it is read."""
    (folder / "z.jpg").write_bytes(SMALL)
    task = pushing(objects, folder)
    pushed = task.once(progress=lambda done, _: (folder / "z.jpg").unlink(missing_ok=True))
    assert (pushed.sent, [one.name for one in pushed.failed]) == (10, ["z.jpg"])


def test_clutter_and_other_peoples_files_are_left_out_and_said(objects: Objects, folder: Path) -> None:
    for name in (".DS_Store", "Thumbs.db", "a.jpg.part", "~$list.xlsx", "half.jpg.crdownload", "letter.docx", "x.json"):
        (folder / name).write_bytes(b"{}")
    (folder / "no suffix").write_bytes(SMALL)
    done = push(folder)
    assert done.exit_code == 0
    assert "11 sent, 0 there already, 7 left out, 0 failed" in done.output
    assert "letter.docx: no photograph, no sidecar and no manifest" in done.output


def test_a_folder_that_is_not_there_is_one_sentence(settings: Settings, tmp_path: Path) -> None:
    done = push(tmp_path / "nowhere")
    assert isinstance(done.exception, InboxError)
    assert "not a folder" in str(done.exception)


def test_a_prefix_cannot_leave_the_inbox(settings: Settings, objects: Objects, folder: Path) -> None:
    for prefix in ("../captures", "a/../../b", "./x", "a//b", "a\\b"):
        assert push(folder, "--prefix", prefix).exit_code == 2
    assert list(objects.list()) == []


def test_a_file_that_is_being_written_is_not_sent_before_two_looks_find_it_the_same(
    objects: Objects, folder: Path
) -> None:
    task = pushing(objects, folder)
    assert task.once(settled=True).waiting == 10
    growing = folder / "growing.jpg"
    growing.write_bytes(SMALL)
    pushed = task.once(settled=True)
    assert (pushed.sent, pushed.waiting) == (10, 1)
    growing.write_bytes(SMALL * 2)
    assert task.once(settled=True).waiting == 1
    assert "inbox/growing.jpg" not in inside(objects)
    assert task.once(settled=True).sent == 1
    assert objects.get("inbox/growing.jpg") == SMALL * 2


def test_a_settled_photograph_waits_for_its_sidecar_that_is_being_written(objects: Objects, folder: Path) -> None:
    task = pushing(objects, folder)
    task.once(settled=True)
    task.once(settled=True)
    (folder / "new.jpg").write_bytes(SMALL)
    task.once(settled=True)
    (folder / "new.jpg.json").write_text("{")
    assert task.once(settled=True).waiting == 2
    assert task.once(settled=True).sent == 2


def test_a_file_that_changes_while_it_is_read_is_not_sent(objects: Objects, folder: Path) -> None:
    from clarity.screening import outbox

    task = pushing(objects, folder)
    (file,) = [f for f in outbox.walk(folder, "inbox/", max_bytes=MAX) if getattr(f, "key", "") == "inbox/north/1.jpg"]
    assert isinstance(file, outbox.File)
    file.path.write_bytes(SMALL * 3)
    result = task._send(file)
    assert isinstance(result, outbox.Left) and "changed while it was read" in result.reason
    assert "inbox/north/1.jpg" not in inside(objects)


def test_a_watched_folder_sends_what_comes_until_it_is_interrupted(
    settings: Settings, objects: Objects, folder: Path
) -> None:
    # a shell starts what it puts into the background with SIGINT ignored, and its children inherit that
    heard = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
    command = [sys.executable, "-c", f"{heard}from clarity.cli import main; main()", "inbox", "push", str(folder)]
    command += ["--watch", "--every", "0.2"]
    with (
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
        contextlib.ExitStack() as last,
    ):
        last.callback(process.kill)
        said = iter(process.stdout.readline, "")  # type: ignore[union-attr]
        assert any(line.startswith("10 sent") for line in said)
        (folder / "later.jpg").write_bytes(SMALL)
        assert any(line.startswith("1 sent") for line in said)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0, output
    assert objects.get("inbox/later.jpg") == SMALL


def test_a_watch_waits_for_a_store_that_is_away(settings: Settings, folder: Path) -> None:
    objects = Order(settings)
    objects.gone_after = 0
    looks: list[Pushed] = []
    back = threading.Event()

    def seen(pushed: Pushed) -> None:
        looks.append(pushed)
        if pushed.left and "tried again" in pushed.left[0].reason:
            objects.gone_after = None
        if pushed.sent:
            back.set()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pushing(objects, folder).watch(seen, every_s=0.05)
    assert back.is_set()
    assert len(inside(objects)) == 10
