"""What is shown is what was written, whole, or nothing is: whatever is in the way."""

import os
import stat
import subprocess
import threading

import judges
import pytest
import rawclient

import lighterd

FILES = {"a.txt": b"1", "sub/b.txt": b"2", "deep/sub/c.txt": b"3"}


def hand_over(client, directory, **options):
    """Three files, which are staged now. The handle."""
    writer = rawclient.file_writer(directory, name_key="n", **options)
    opened = client.call("open", job="p", writers=[writer])
    outputs = {"v": ["1", "2", "3"], "n": ["a", "sub/b", "deep/sub/c"]}
    client.call("write", job=opened["handle"], seq=1, outputs=outputs)
    return opened["handle"]


def visible(directory):
    """All that is not a working directory of ours."""
    found = judges.files(directory).items()
    return {name: data for name, data in found if not name.startswith(".lighterd.")}


@pytest.fixture(params=["new", "others"])
def target(request, tmp_path):
    """A directory that is shown by one rename, or one where other files are already."""
    directory = tmp_path / "in" / "out"
    directory.mkdir(parents=True)
    if request.param == "others":
        (directory / "other").write_text("other")
    return directory


def need_root():
    if os.geteuid() != 0:
        pytest.skip("needs root")


def mount(path, *options):
    need_root()
    done = subprocess.run(["mount", *options, path], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount: {done.stderr.strip()}")
    return lambda: subprocess.run(["umount", "--lazy", path], check=True)


# Each is put in the way of what is to be shown. It gives how to take it away.


def a_link(directory):
    place = directory / "sub"
    (directory.parent / "elsewhere").mkdir()
    place.symlink_to(directory.parent / "elsewhere")
    return place.unlink


def a_mount(directory):
    (directory / "sub").mkdir()
    (directory / "sub" / "x").touch()
    return mount(directory / "sub", "-t", "tmpfs", "tmpfs")


def a_folder_for_a_file(directory):
    (directory / "a.txt").mkdir()
    (directory / "a.txt" / "x").touch()
    return lambda: os.rename(directory / "a.txt", directory / "moved")


def a_file_for_a_folder(directory):
    (directory / "deep").mkdir()
    (directory / "deep" / "sub").touch()
    return (directory / "deep" / "sub").unlink


def an_immutable_directory(directory):
    need_root()
    (directory / "x").touch()
    done = subprocess.run(["chattr", "+i", directory], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"chattr: {done.stderr.strip()}")
    return lambda: subprocess.run(["chattr", "-i", directory], check=True)


def an_immutable_file(directory):
    need_root()
    (directory / "a.txt").touch()
    file = directory / "a.txt"
    done = subprocess.run(["chattr", "+i", file], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"chattr: {done.stderr.strip()}")
    return lambda: subprocess.run(["chattr", "-i", file], check=True)


def a_directory_that_is_a_file(directory):
    for entry in directory.iterdir():
        if not entry.name.startswith("."):
            entry.unlink()
    if any(directory.iterdir()):
        pytest.skip("what is staged in it goes with it")
    directory.rmdir()
    directory.touch()
    return directory.unlink


OBSTACLES = {
    a_link: "sub' is a link, and a folder of files is to be there",
    a_mount: "sub' is another disk, mounted there",
    a_folder_for_a_file: "a.txt' is a folder, and a file of that name is to be there",
    a_file_for_a_folder: "deep/sub' is a file, and a folder of that name",
    an_immutable_directory: "out' must not be changed",
    an_immutable_file: "a.txt' must not be replaced",
    a_directory_that_is_a_file: "out' is a file, and a folder of that name",
}


@pytest.mark.parametrize("obstacle", OBSTACLES, ids=lambda each: each.__name__)
def test_what_is_in_the_way_is_named_and_nothing_is_shown(daemon, target, obstacle):
    with daemon.raw() as client:
        handle = hand_over(client, target)
        take_away = obstacle(target)
        before = visible(target)
        try:
            refused = client.refusal("end", job=handle)
            shown = visible(target)
        finally:
            take_away()

    assert OBSTACLES[obstacle] in refused.message
    assert shown == before
    assert daemon.until_state("p", "failed")["unfinished"]
    daemon.ask("finalize", job="p")
    assert FILES.items() <= visible(target).items()
    assert not list(target.parent.rglob(".lighterd.*"))


def test_a_file_system_that_became_read_only_shows_nothing(daemon, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    unmount = mount(disk, "-t", "tmpfs", "tmpfs")
    try:
        with daemon.raw() as client:
            handle = hand_over(client, disk / "out")
            subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
            refused = client.refusal("end", job=handle)
            hidden = visible(disk / "out")
        assert "Read-only file system" in refused.message
        assert str(disk / "out") in refused.message
        assert hidden == {}
        assert daemon.until_state("p", "failed")["unfinished"]
        subprocess.run(["mount", "-o", "remount,rw", disk], check=True)
        daemon.ask("finalize", job="p")
        assert visible(disk / "out") == FILES
    finally:
        unmount()


def test_a_disk_without_inodes_is_no_obstacle(daemon, tmp_path):
    """Folders are renamed as a whole: no inode is needed to show them."""
    disk = tmp_path / "disk"
    disk.mkdir()
    unmount = mount(disk, "-t", "tmpfs", "-o", "nr_inodes=40", "tmpfs")
    try:
        (disk / "out").mkdir()
        (disk / "out" / "other").touch()
        with daemon.raw() as client:
            handle = hand_over(client, disk / "out")
            with pytest.raises(OSError):
                for i in range(100):
                    (disk / f"filler{i}").touch()
            client.call("end", job=handle)
        assert visible(disk / "out") == {"other": b"", **FILES}
    finally:
        unmount()


# ---- what was staged is not as it was written ----


def damage(staging, how):
    file = staging / "sub" / "b.txt"
    if how == "changed":
        file.write_text("more than that")
    elif how == "replaced":
        (staging / "new").write_text("9")
        os.rename(staging / "new", file)
    elif how == "gone":
        file.unlink()
    else:
        (staging / "sub" / "stranger").touch()


DAMAGE = {
    "changed": "the staged file 'sub/b.txt' was changed: it has 14 bytes, but 1 were",
    "replaced": "the staged file 'sub/b.txt' was replaced",
    "gone": "the staged file 'sub/b.txt' is gone",
    "added": "'sub/stranger' lies among the staged files",
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_staged_file_that_was_damaged_is_named_and_nothing_is_shown(
    daemon, target, how
):
    before = visible(target)
    with daemon.raw() as client:
        handle = hand_over(client, target)
        damage(judges.staging(target), how)
        refused = client.refusal("end", job=handle)

    assert DAMAGE[how] in refused.message
    assert visible(target) == before


@pytest.mark.parametrize("how", ["changed", "replaced", "gone"])
def test_damage_is_found_when_a_job_goes_on(start_daemon, successor, target, how):
    daemon = start_daemon()
    with daemon.raw() as client:
        hand_over(client, target)
        daemon.kill()
    damage(judges.staging(target), how)

    with successor(daemon).raw() as client:
        refused = client.refusal("finalize", job="p", partial=True)
    assert DAMAGE[how] in refused.message


# ---- two who write to one directory ----


def test_two_writers_of_the_same_names_are_refused(daemon, tmp_path):
    with pytest.raises(ValueError, match="writers 1 and 2 of the job .*named by 'id'"):
        with lighterd.run(
            lighterd.file(tmp_path / "d", "v", "text", name_key="id"),
            lighterd.file(tmp_path / "d" / ".." / "d", "w", "text", name_key="id"),
            socket=daemon.socket,
        ):
            pass


def test_the_same_directory_under_another_name_is_the_same(daemon, tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "link").symlink_to("d")
    with pytest.raises(ValueError, match="writers 1 and 2 .* are numbered"):
        with lighterd.run(
            lighterd.file(tmp_path / "d", "v", "text"),
            lighterd.file(tmp_path / "link", "w", "text"),
            socket=daemon.socket,
        ):
            pass


def test_files_of_other_suffixes_may_lie_beside_one_another(daemon, tmp_path):
    text = {"name": "text", "suffix": ".note"}
    with lighterd.run(
        lighterd.file(tmp_path / "d", "v", "text", name_key="id"),
        lighterd.file(tmp_path / "d", "v", text, name_key="id"),
        lighterd.csv(tmp_path / "d" / "table.csv", ["id"]),
        socket=daemon.socket,
    ) as out:
        out.write({"v": ["1", "2"], "id": ["a", "b"]})

    assert sorted(os.listdir(tmp_path / "d")) == [
        *("a.note", "a.txt", "b.note", "b.txt", "table.csv")
    ]


@pytest.mark.parametrize(
    "other, names",
    [
        ("d", ["x", "a"]),  # the same file
        ("d/sub", ["x", "b"]),  # ... in a folder that both have
        ("d", ["x", "sub.txt/y"]),  # a folder where the other has a file
    ],
)
def test_a_name_that_two_writers_make_is_refused_with_its_batch(
    daemon, tmp_path, other, names
):
    mine = ["a", "sub/b"] if "/" not in names[1] else ["a", "sub"]
    writers = [
        rawclient.file_writer(tmp_path / "d", name_key="n"),
        rawclient.file_writer(tmp_path / other, name_key="m"),
    ]
    with daemon.raw() as client:
        client.call("open", job="p", writers=writers)
        outputs = {"v": ["1", "2"], "n": mine, "m": names}
        refused = client.refusal("write", job=1, seq=1, outputs=outputs)
        outputs = {"v": ["1", "2"], "n": ["c", "d"], "m": ["e", "f"]}
        client.call("write", job=1, seq=2, outputs=outputs)
        client.call("end", job=1)

    assert refused.code == "bad_value"
    assert "makes a file of this name" in refused.message
    assert len(visible(tmp_path / "d")) == 4


def test_a_file_does_not_take_the_name_of_a_table(daemon, tmp_path):
    text = {"name": "text", "suffix": ".csv"}
    writers = [
        rawclient.csv_writer(tmp_path / "d" / "t.csv", ["n"]),
        rawclient.file_writer(tmp_path / "d", writer_fn=text, name_key="n"),
    ]
    with daemon.raw() as client:
        client.call("open", job="p", writers=writers)
        for seq, name in enumerate(["t", "t.tmp_rank0"], 1):
            outputs = {"v": ["1"], "n": [name]}
            refused = client.refusal("write", job=1, seq=seq, outputs=outputs)
            assert "the table of" in refused.message
        client.call("write", job=1, seq=3, outputs={"v": ["1"], "n": ["u"]})
        client.call("end", job=1)

    assert visible(tmp_path / "d") == {"t.csv": b"n\r\nu\r\n", "u.csv": b"1"}


def spellings(directory):
    """Other paths of the table d/t.csv, and how to take away what they need."""
    (directory / "link").symlink_to("d")
    (directory / "alias.csv").symlink_to(directory / "d" / "t.csv")
    (directory / "bound").mkdir()
    unmount = mount(directory / "bound", "--bind", directory / "d")
    names = ["link/t.csv", "d/sub/../t.csv", "d//t.csv", "alias.csv", "bound/t.csv"]
    return [f"{directory}/{name}" for name in names], unmount


def test_one_table_has_one_writer_however_its_path_is_spelt(daemon, tmp_path):
    (tmp_path / "d" / "sub").mkdir(parents=True)
    table = tmp_path / "d" / "t.csv"
    others, unmount = spellings(tmp_path)
    try:
        with daemon.raw() as one, daemon.raw() as other:
            for path in others:
                both = [rawclient.csv_writer(path), rawclient.csv_writer(table)]
                refused = other.refusal("open", job="q", writers=both)
                assert "two writers of the job make the" in refused.message
            one.open_csv(table)
            for path in others:
                writers = [rawclient.csv_writer(path)]
                refused = other.refusal("open", job="q", writers=writers)
                assert refused.code == "bad_state"
                assert "is being written by job 'p' (predict)" in refused.message
            one.call("write", job=1, seq=1, outputs={"x": [1]})
            one.call("end", job=1)
    finally:
        unmount()

    assert table.read_bytes() == b"x\r\n1\r\n"


@pytest.mark.parametrize("name", ["t.csv", "t.csv/sub", "t.tmp_rank7.csv"])
@pytest.mark.parametrize("kind", ["files", "table"])
def test_no_directory_takes_the_name_of_a_live_table(daemon, tmp_path, name, kind):
    table, place = tmp_path / "d" / "t.csv", tmp_path / "d" / name
    files = rawclient.file_writer(place)
    other_table = rawclient.csv_writer(place / "u.csv")
    with daemon.raw() as one, daemon.raw() as other:
        one.open_csv(table)
        writers = [files if kind == "files" else other_table]
        refused = other.refusal("open", job="q", writers=writers)
        one.call("write", job=1, seq=1, outputs={"x": [1]})
        one.call("end", job=1)

    assert refused.code == "bad_state"
    assert f"job 'p' (predict) writes the table '{table}'" in refused.message
    assert table.read_bytes() == b"x\r\n1\r\n"
    assert os.listdir(table.parent) == ["t.csv"]


def test_two_live_jobs_do_not_make_files_of_the_same_names(daemon, tmp_path):
    writers = [rawclient.file_writer(tmp_path / "d")]
    with daemon.raw() as one, daemon.raw() as other:
        one.call("open", job="p", writers=writers)
        refused = other.refusal("open", job="q", writers=writers)
        assert refused.code == "bad_state" and "job 'p' (predict)" in refused.message
        one.call("write", job=1, seq=1, outputs={"v": ["1"]})
        one.call("end", job=1)
        assert other.call("open", job="q", writers=writers)["handle"]


@pytest.mark.parametrize("name", [".lighterd.x", ".lighterd.p.predict.0/a", "a/.lighterd.b"])
def test_names_of_our_own_directories_are_refused(daemon, tmp_path, name):
    with daemon.raw() as client:
        writers = [rawclient.file_writer(tmp_path / "d", name_key="n")]
        client.call("open", job="p", writers=writers)
        refused = client.refusal("write", job=1, seq=1, outputs={"v": ["1"], "n": [name]})
    assert "begins with '.lighterd.'" in refused.message


# ---- who else has been there ----


def test_a_staging_directory_of_somebody_else_stays(daemon, tmp_path):
    foreign = tmp_path / ".lighterd.p.predict.0"
    foreign.mkdir()
    (foreign / "kept").write_text("kept")
    with daemon.raw() as client:
        writers = [rawclient.file_writer(tmp_path / "d")]
        opened = client.call("open", job="p", writers=writers)
        client.call("write", job=1, seq=1, outputs={"v": ["1"]})
        client.call("end", job=1)

    assert ["'.lighterd.p.predict.0' was there already" in w for w in opened["warnings"]]
    assert (foreign / "kept").read_text() == "kept"
    assert visible(tmp_path / "d") == {"0.txt": b"1"}


def test_a_link_is_resolved_once_and_stays(start_daemon, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    daemon = start_daemon("--output-roots", str(tmp_path))
    with daemon.raw() as client:
        writers = [rawclient.file_writer(tmp_path / "link")]
        client.call("open", job="p", writers=writers)
        (tmp_path / "other").mkdir()
        (tmp_path / "link").unlink()
        (tmp_path / "link").symlink_to("other")
        client.call("write", job=1, seq=1, outputs={"v": ["1"]})
        client.call("end", job=1)

    assert visible(tmp_path / "real") == {"0.txt": b"1"}
    assert not any((tmp_path / "other").iterdir()) and (tmp_path / "link").is_symlink()


def test_a_link_that_leads_out_of_the_roots_is_refused(start_daemon, tmp_path):
    for name in ("root", "outside"):
        (tmp_path / name).mkdir()
    (tmp_path / "root" / "link").symlink_to(tmp_path / "outside")
    daemon = start_daemon("--output-roots", str(tmp_path / "root"))
    with daemon.raw() as client:
        writers = [rawclient.file_writer(tmp_path / "root" / "link" / "d")]
        refused = client.refusal("open", job="p", writers=writers)
    assert "which is not below" in refused.message
    assert not any((tmp_path / "outside").iterdir())


def test_a_directory_that_was_renamed_is_answered_with_its_new_path(daemon, target):
    with daemon.raw() as client:
        handle = hand_over(client, target)
        moved = target.rename(target.parent / "moved")
        ended = client.call("end", job=handle)

    assert ended["paths"] == [str(moved)]
    assert FILES.items() <= visible(moved).items()
    assert not target.exists()


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz"])
def test_a_table_is_answered_with_the_new_path_too(daemon, tmp_path, name):
    (tmp_path / "old").mkdir()
    with daemon.raw() as client:
        client.open_csv(tmp_path / "old" / name)
        client.call("write", job=1, seq=1, outputs={"x": [1]})
        (tmp_path / "old").rename(tmp_path / "new")
        ended = client.call("end", job=1)

    assert ended["paths"] == [str(tmp_path / "new" / name)]
    assert os.listdir(tmp_path / "new") == [name]
    assert not (tmp_path / "old").exists()


# ---- what is there already ----


def test_a_new_directory_appears_at_once(daemon, tmp_path):
    """A reader sees none of the files, or all of them."""
    seen, over = set(), threading.Event()

    def look():
        while not over.is_set():
            seen.add(len(os.listdir(tmp_path / "d")))

    (tmp_path / "d").mkdir(mode=0o750)
    (tmp_path / "d").chmod(0o750)
    with daemon.raw() as client:
        writers = [rawclient.file_writer(tmp_path / "d")]
        client.call("open", job="p", writers=writers)
        client.call("write", job=1, seq=1, outputs={"v": ["x"] * 500})
        watcher = threading.Thread(target=look)
        watcher.start()
        client.call("end", job=1)
        over.set()
        watcher.join()

    assert seen <= {0, 500} and len(os.listdir(tmp_path / "d")) == 500
    assert stat.S_IMODE((tmp_path / "d").stat().st_mode) == 0o750


def test_error_refuses_what_is_there_and_what_comes(daemon, tmp_path):
    (tmp_path / "t.csv").write_text("old")
    with daemon.raw() as client:
        table = rawclient.csv_writer(tmp_path / "t.csv", ["v"])
        table["options"]["overwrite"] = "error"
        refused = client.refusal("open", job="t", writers=[table])
        assert refused.code == "bad_params" and "t.csv' exists" in refused.message
        (tmp_path / "t.csv").unlink()
        handle = client.call("open", job="t", writers=[table])["handle"]
        client.call("write", job=handle, seq=1, outputs={"v": ["x"]})
        (tmp_path / "t.csv").write_text("mine")
        assert "'overwrite' is 'error'" in client.refusal("end", job=handle).message
        assert (tmp_path / "t.csv").read_text() == "mine"

        handle = hand_over(client, tmp_path / "d", overwrite="error")
        (tmp_path / "d" / "other").touch()
        assert "is not empty any more" in client.refusal("end", job=handle).message
        assert visible(tmp_path / "d") == {"other": b""}
        (tmp_path / "d" / "other").unlink()
    daemon.ask("finalize", job="p")
    assert visible(tmp_path / "d") == FILES


def test_exchange_replaces_the_directory_and_keeps_the_old_one(daemon, tmp_path, caplog):
    caplog.set_level("INFO")
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "old.txt").write_text("old")
    for epoch in "12":
        with lighterd.run(
            lighterd.file(tmp_path / "d", "v", "text", overwrite="exchange"),
            job="p",
            socket=daemon.socket,
        ) as out:
            out.write({"v": [epoch]})
        assert visible(tmp_path / "d") == {"0.txt": epoch.encode()}

    kept = sorted(tmp_path.glob("d.before-*"), key=lambda path: path.stat().st_mtime)
    assert [visible(path) for path in kept] == [{"old.txt": b"old"}, {"0.txt": b"1"}]
    told = [r.message for r in caplog.records if "is kept as" in r.message]
    assert [message.split()[-1] for message in told] == [str(path) for path in kept]


def test_exchange_is_refused_where_it_cannot_be(daemon, tmp_path):
    unmount = mount(tmp_path, "-t", "tmpfs", "tmpfs")
    try:
        with daemon.raw() as client:
            writers = [rawclient.file_writer(tmp_path, overwrite="exchange")]
            refused = client.refusal("open", job="p", writers=writers)
    finally:
        unmount()
    assert refused.code == "bad_params" and "cannot be exchanged" in refused.message


def test_a_table_is_never_exchanged(daemon, tmp_path):
    with pytest.raises(ValueError, match="expects 'replace' or 'error', got 'exchange'"):
        with lighterd.run(
            lighterd.csv(tmp_path / "t.csv", ["v"], overwrite="exchange"),
            socket=daemon.socket,
        ):
            pass


# ---- what cannot be seen beforehand ----


@pytest.mark.parametrize("anew", [False, True])
def test_what_meets_an_obstacle_half_way_is_finished_or_told(daemon, tmp_path, anew):
    """A disk without space for names: the job goes on, or the next run says so."""
    disk = tmp_path / "disk"
    disk.mkdir()
    need_root()
    image = tmp_path / "image"
    image.write_bytes(b"")
    os.truncate(image, 4 << 20)
    made = subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "1024", image], text=True)
    if made.returncode:
        pytest.skip("there is no mkfs.ext4")
    unmount = mount(disk, "-o", "loop", image)
    try:
        (disk / "out").mkdir()
        (disk / "out" / "other").touch()
        names = [f"{'n' * 200}{i}" for i in range(30)]
        with daemon.raw() as client:
            writer = rawclient.file_writer(disk / "out", name_key="n")
            handle = client.call("open", job="p", writers=[writer])["handle"]
            outputs = {"v": ["x"] * len(names), "n": names}
            client.call("write", job=handle, seq=1, outputs=outputs)
            with pytest.raises(OSError), open(disk / "filler", "wb", 0) as filler:
                while True:
                    filler.write(bytes(1024))
            refused = client.refusal("end", job=handle)
            assert "No space left" in refused.message, refused.message
            shown = visible(disk / "out")
            assert 1 <= len(shown) < len(names)
            os.unlink(disk / "filler")
            if anew:
                opened = client.call("open", job="p", writers=[writer])
                told = "may have its final name already"
                assert any(told in warning for warning in opened["warnings"])
                client.call("write", job=opened["handle"], seq=1, outputs=outputs)
                client.call("end", job=opened["handle"])
            else:
                daemon.ask("finalize", job="p")
        assert len(visible(disk / "out")) == 1 + len(names)
        assert not list(disk.rglob(".lighterd.*"))
    finally:
        unmount()
