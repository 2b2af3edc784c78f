"""The configuration: its schema, pipelines, defaults; what lighterctl says of it."""

import copy
import json
import os
import signal
import subprocess

import daemons
import judges
import pytest
import trainers
from rawclient import file_writer

SCHEMA = json.loads((daemons.ROOT / "doc" / "lighterd.schema.json").read_text())

TABLE = {"type": "csv", "options": {"path": "p.csv", "keys": ["id", "pred"]}}
MASKS = {
    "type": "file",
    "options": {
        "directory": "masks",
        "value_key": "mask",
        "name_key": "id",
        "writer_fn": {"name": "text"},
    },
}
PIPELINES = {"segmentation": {"writers": [TABLE, MASKS]}}


def changed(config, change):
    """A copy of it, after `change` has been at it."""
    config = copy.deepcopy(config)
    change(config)
    return config


@pytest.fixture
def write_config(tmp_path):
    def write(**settings):
        path = tmp_path / "lighterd.json"
        path.write_text(json.dumps(settings, indent=1))
        return path

    return write


def checked(path):
    """What `lighterctl config check` says of a file: is it sound, and why not."""
    done = subprocess.run(
        [daemons.LIGHTERCTL, "--json", "config", "check", path],
        env={**os.environ, "LIGHTERD": daemons.LIGHTERD},
        capture_output=True,
        text=True,
        timeout=60,
    )
    said = json.loads(done.stdout)
    assert done.returncode == (0 if said["sound"] else 1), done
    assert said["file"] == str(path)
    return said["sound"], said["problems"]


# ---- the schema ----


def test_the_schema_has_the_settings_of_the_daemon_and_their_defaults(start_daemon):
    config = start_daemon(plugin_dir=daemons.PLUGIN_DIR).ask("config")
    told = {"socket", "plugin_dir"}  # by the tests, on the command line

    keys = [each["key"] for each in config["settings"]]
    assert keys + ["pipelines", "defaults"] == list(SCHEMA["properties"])[1:]
    for each in config["settings"]:
        if each["key"] in told:
            assert each["origin"] == "command line"
        else:
            assert each["origin"] == "default"
            assert each["value"] == SCHEMA["properties"][each["key"]].get("default")


def edges():
    """Settings at the ends of their ranges, and one beyond."""
    for key, schema in SCHEMA["properties"].items():
        if schema.get("type") == "integer":
            for value in (schema["minimum"], schema["maximum"]):
                yield {key: value}
            yield {key: schema["minimum"] - 1}
            yield {key: schema["maximum"] + 1}
            yield {key: "1"}
            yield {key: 1.5}
        elif schema.get("type") == "string":
            yield {key: schema.get("enum", ["/tmp"])[0]}
            yield {key: ""}
            yield {key: 1}


SHAPES = [
    {},
    {"$schema": "lighterd.schema.json"},
    {"thread": 1},
    {"log_level": "loud"},
    {"output_roots": "/a:/b"},
    {"output_roots": "/a:b"},
    {"metrics_listen": "127.0.0.1:9800"},
    {"metrics_listen": "unix:/tmp/metrics"},
    {"metrics_listen": "unix:metrics"},
    {"metrics_listen": "0.0.0.0:9800"},
    {"allow_users": "root"},
    {"allow_users": "root", "output_roots": "/a"},
    {"pipelines": PIPELINES},
    {"pipelines": []},
    {"pipelines": {"p": []}},
    {"pipelines": {"p": {}}},
    {"pipelines": {"p": {"writers": []}}},
    {"pipelines": {"p": {"writers": [TABLE] * 65}}},
    {"pipelines": {"p": {"writers": [3]}}},
    {"pipelines": {"p": {"writers": [{"options": {}}]}}},
    {"pipelines": {"p": {"writers": [{"type": 1}]}}},
    {"pipelines": {"p": {"writers": [{**TABLE, "path": "x"}]}}},
    {"pipelines": {"p": {"writers": [TABLE], "more": 1}}},
    {"defaults": {"csv": {"keys": ["x"]}}},
    {"defaults": {"csv": []}},
    {"defaults": 3},
]


def test_daemon_and_schema_take_the_same(write_config):
    jsonschema = pytest.importorskip("jsonschema")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    judge = jsonschema.Draft202012Validator(SCHEMA)
    cases = [{"plugin_dir": daemons.PLUGIN_DIR, **each} for each in SHAPES]
    cases += [{"plugin_dir": daemons.PLUGIN_DIR, **each} for each in edges()]
    for case in cases:
        if case["plugin_dir"] == "/tmp":
            continue  # of the right form; that there are plugins is another thing
        if {"allow_groups"} & case.keys() or case.get("allow_users") == "/tmp":
            continue  # whether they exist no schema knows

        sound, problems = checked(write_config(**case))

        assert judge.is_valid(case) == sound, (case, problems)
        assert sound == (not problems)


# ---- what is wrong, and where ----


def test_errors_name_file_line_and_what_was_expected(tmp_path):
    path = tmp_path / "l.json"
    path.write_text(
        '{"plugin_dir": "%s",\n'
        ' "pipelines": {\n'
        '  "p": {"writers": [\n'
        '   {"type": "csv", "options": {"path": "p.csv", "keys": ["id"]}},\n'
        '   {"type": "csv", "options": {"path": "q.csv", "keys": 7}}]}}}'
        % daemons.PLUGIN_DIR
    )
    assert checked(path) == (
        False,
        [f"{path}:5: pipeline 'p': 'csv': 'keys' expects an array, got an int"],
    )


def test_users_that_do_not_exist_are_found(write_config):
    path = write_config(
        plugin_dir=daemons.PLUGIN_DIR, output_roots="/", allow_users="no-such-user"
    )

    sound, (problem,) = checked(path)

    assert not sound and "no-such-user" in problem


def test_a_daemon_does_not_start_with_a_pipeline_that_cannot_be(write_config):
    path = write_config(pipelines={"p": {"writers": [{"type": "cvs"}]}})

    done = subprocess.run(
        [daemons.LIGHTERD, "--foreground", "--socket", f"{path}.sock"]
        + ["--plugin-dir", daemons.PLUGIN_DIR, "--config", path],
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 1
    assert f"{path}:5: pipeline 'p': no writer is called 'cvs'" in done.stderr


# ---- pipelines and defaults, on the wire ----


def write_both(client, **more):
    opened = client.call("open", job="j", **more)
    client.call(
        "write", job=1, seq=1, outputs={"id": ["a"], "pred": [1], "mask": ["m"]}
    )
    return opened, client.call("end", job=1)


def test_a_client_asks_for_a_pipeline_by_its_name(start_daemon, write_config, tmp_path):
    daemon = start_daemon("--config", write_config(pipelines=PIPELINES))
    with daemon.raw() as client:
        opened, ended = write_both(client, pipeline="segmentation", cwd=str(tmp_path))

    assert opened["writers"] == [TABLE, MASKS]
    assert ended["paths"] == [str(tmp_path / "p.csv"), str(tmp_path / "masks")]
    assert (tmp_path / "p.csv").read_bytes() == b"id,pred\r\na,1\r\n"
    assert sorted(judges.files(tmp_path / "masks")) == ["a.txt"]


def test_who_lists_writers_is_not_told_of_them(daemon, tmp_path):
    with daemon.raw() as client:
        opened = client.open_csv(tmp_path / "p.csv")
        client.call("end", job=1)
    assert "writers" not in opened


def test_what_cannot_be_asked_for_is_refused(start_daemon, write_config, tmp_path):
    daemon = start_daemon("--config", write_config(pipelines=PIPELINES))
    with daemon.raw() as client:
        here = {"job": "j", "cwd": str(tmp_path)}

        unknown = client.refusal("open", **here, pipeline="classification")
        both = client.refusal("open", **here, pipeline="segmentation", writers=[TABLE])
        nowhere = client.refusal("open", job="j", pipeline="segmentation")

    assert unknown.code == both.code == nowhere.code == "bad_params"
    assert "no pipeline 'classification'; there are: 'segmentation'" in unknown.message
    assert "came together" in both.message
    assert "'cwd' is missing" in nowhere.message


def compression_of(daemon, tmp_path, name, writer_fn):
    """How many bytes a picture takes that compresses well."""
    image = {"nd": True, "type": "|u1", "shape": [1, 1, 256, 256], "data": bytes(65536)}
    with daemon.raw() as client:
        client.call(
            *("open",),
            job=name,
            writers=[file_writer(tmp_path / name, writer_fn)],
        )
        client.call("write", job=1, seq=1, outputs={"v": image})
        client.call("end", job=1)
    (file,) = judges.files(tmp_path / name)
    return (tmp_path / name / file).stat().st_size


def test_defaults_hold_where_a_client_says_nothing(
    start_daemon, write_config, tmp_path
):
    plain = start_daemon()
    told = start_daemon(
        "--config", write_config(defaults={"image_2d": {"compression": 0}})
    )

    small = compression_of(plain, tmp_path, "small", "image_2d")
    large = compression_of(told, tmp_path, "large", "image_2d")
    own = compression_of(told, tmp_path, "own", {"name": "image_2d", "compression": 6})

    assert small < 1000 and own < 1000
    assert large > 65536


# ---- a configuration that changes ----


def test_a_reload_applies_to_new_jobs(start_daemon, write_config, tmp_path):
    path = write_config(pipelines=PIPELINES)
    daemon = start_daemon("--config", path)
    with daemon.raw() as client:
        client.call("open", job="before", pipeline="segmentation", cwd=str(tmp_path))
        write_config(pipelines={"segmentation": {"writers": [MASKS]}}, threads=3)

        reloaded = client.call("reload")

        assert reloaded == {"applied": "pipelines", "kept": "threads"}
        after = client.call(
            *("open",), job="after", pipeline="segmentation", cwd=str(tmp_path / "2")
        )
        assert after["writers"] == [MASKS]
        assert client.call("end", job=1)["paths"] == [
            str(tmp_path / "p.csv"),
            str(tmp_path / "masks"),
        ]
        client.call("end", job=2)


def test_a_reload_of_a_pipeline_that_cannot_be_changes_nothing(
    start_daemon, write_config
):
    path = write_config(pipelines=PIPELINES, drain=7)
    daemon = start_daemon("--config", path)
    write_config(pipelines={"p": {"writers": [{"type": "cvs"}]}}, drain=8)
    with daemon.raw() as client:
        refused = client.refusal("reload")
        config = client.call("config")

    assert f"{path}:5: pipeline 'p': no writer is called 'cvs'" in refused.message
    assert config["pipelines"] == PIPELINES
    assert {"key": "drain", "value": 7, "origin": "file", "reloads": True} in config[
        "settings"
    ]


@pytest.fixture
def interrupted(start_daemon, write_config, tmp_path):
    """A job of a pipeline with a batch; its daemon has died, the pipeline changed."""
    daemon = start_daemon("--config", write_config(pipelines=PIPELINES))
    client = daemon.raw()
    opened = client.call("open", job="j", pipeline="segmentation", cwd=str(tmp_path))
    outputs = {"id": ["a"], "pred": [1], "mask": ["m"]}
    client.call("write", job=1, seq=1, outputs=outputs)
    daemon.kill()
    daemon.wait()
    client.close()
    new = changed(PIPELINES, lambda p: p["segmentation"]["writers"].pop())
    again = daemons.Daemon(daemon.socket, "--config", write_config(pipelines=new))
    yield again, opened["id"]
    again.end()


def test_another_process_cannot_resume_under_another_configuration(
    interrupted, tmp_path
):
    daemon, _ = interrupted
    with daemon.raw() as client:
        open_ = {"job": "j", "pipeline": "segmentation", "cwd": str(tmp_path)}

        refused = client.refusal("open", **open_, resume=True)

    assert refused.code == "bad_params"
    assert refused.message == "job 'j' has 2 writers; rank 0 brings 1"
    assert not (tmp_path / "p.csv").exists()


def test_a_client_that_comes_back_goes_on_with_what_the_job_began_with(
    interrupted, tmp_path
):
    daemon, id = interrupted
    with daemon.raw() as client:
        open_ = {"job": "j", "pipeline": "segmentation", "cwd": str(tmp_path)}

        opened = client.call("open", **open_, resume=True, id=id, answered=1)
        outputs = {"id": ["b"], "pred": [2], "mask": ["m"]}
        client.call("write", job=opened["handle"], seq=2, outputs=outputs)
        client.call("end", job=opened["handle"])

    assert opened["writers"] == [TABLE, MASKS]
    assert (tmp_path / "p.csv").read_bytes() == b"id,pred\r\na,1\r\nb,2\r\n"
    assert sorted(judges.files(tmp_path / "masks")) == ["a.txt", "b.txt"]


# ---- lighterctl ----


def test_config_show_says_who_said_what(start_daemon, write_config):
    path = write_config(drain=7, pipelines=PIPELINES, defaults={"csv": {"keys": ["x"]}})
    daemon = start_daemon("--config", path, "--threads", "2")

    def show(*options):
        return subprocess.run(
            [daemons.LIGHTERCTL, "--socket", daemon.socket, *options, "config", "show"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    lines = [line.split() for line in show().splitlines()]
    told = json.loads(show("--json"))

    assert lines[0] == ["file:", str(path)]
    assert ["drain", "7", "file", "yes"] in lines
    assert ["threads", "2", "command", "line", "no"] in lines
    assert ["sync_interval", "30", "default", "yes"] in lines
    assert ["socket", daemon.socket, "command", "line", "no"] in lines
    assert told == daemon.ask("config")
    assert told["pipelines"] == PIPELINES
    shown = show()
    assert json.loads(shown[shown.index('{\n  "defaults"') :]) == {
        "defaults": {"csv": {"keys": ["x"]}}
    }


@pytest.mark.parametrize("words", [[], ["shwo"], ["check"], ["show", "file"]])
def test_config_says_what_it_expects(words):
    done = subprocess.run(
        [daemons.LIGHTERCTL, "config", *words], capture_output=True, text=True
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "config --help" in done.stderr


def test_config_check_says_where_there_is_no_lighterd(write_config):
    done = subprocess.run(
        [daemons.LIGHTERCTL, "config", "check", write_config()],
        env={**os.environ, "LIGHTERD": "/nowhere/lighterd"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == (
        "lighterctl: run /nowhere/lighterd: No such file or directory\n"
    )


# ---- the Python client ----


def test_a_loop_of_ones_own_uses_a_pipeline(start_daemon, write_config, tmp_path):
    import lighterd

    daemon = start_daemon("--config", write_config(pipelines=PIPELINES))
    results = tmp_path / "results"
    results.mkdir()
    with lighterd.run(
        pipeline="segmentation", directory=results, socket=daemon.socket
    ) as out:
        # what no writer needs is not sent: it could not be packed
        out.write({"id": ["a"], "pred": [1], "mask": ["m"], "batch": object()})
        with pytest.raises(KeyError, match="pred"):
            out.write({"id": ["a"], "mask": ["m"]})

    assert (results / "p.csv").read_bytes() == b"id,pred\r\na,1\r\n"
    assert sorted(judges.files(results)) == ["masks/a.txt", "p.csv"]
    assert daemon.job(out.name)["state"] == "published"


def test_a_pipeline_and_writers_are_refused_together():
    import lighterd

    with pytest.raises(ValueError, match="not both"):
        with lighterd.run(lighterd.csv("p.csv", ["x"]), pipeline="p"):
            pass
    with pytest.raises(ValueError, match="at least one writer, or a pipeline"):
        with lighterd.run():
            pass


def test_two_directories_are_two_jobs(start_daemon, write_config, tmp_path):
    import lighterd

    daemon = start_daemon("--config", write_config(pipelines=PIPELINES))
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        with lighterd.run(
            pipeline="segmentation", directory=tmp_path / name, socket=daemon.socket
        ) as out:
            out.write({"id": ["a"], "pred": [1], "mask": ["m"]})
    assert len({job["name"] for job in daemon.ask("jobs")["jobs"]}) == 2


@pytest.mark.filterwarnings("ignore:.*LeafSpec.*")
@pytest.mark.parametrize("package", trainers.PACKAGES)
def test_a_trainer_uses_a_pipeline(
    start_daemon, write_config, tmp_path, torch, package
):
    package = trainers.require(package)
    from lighterd.callbacks import PipelineWriter

    class Model(package.LightningModule):
        def predict_step(self, batch, batch_idx):
            names = [f"n{int(i)}" for i in batch]
            return {"id": names, "pred": batch, "mask": names, "other": object()}

    daemon = start_daemon("--config", write_config(pipelines=PIPELINES))
    writer = PipelineWriter("segmentation", tmp_path / "out", socket=daemon.socket)
    loader = torch.utils.data.DataLoader(torch.arange(4), batch_size=2)
    trainers.quiet(package, tmp_path, [writer]).predict(Model(), loader)

    assert (tmp_path / "out" / "p.csv").read_text().splitlines() == [
        *("id,pred", "n0,0", "n1,1", "n2,2", "n3,3")
    ]
    assert sorted(judges.files(tmp_path / "out" / "masks")) == [
        f"n{i}.txt" for i in range(4)
    ]
