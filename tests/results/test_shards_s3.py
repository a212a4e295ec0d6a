"""Pictures and results in an object store: moto's S3 on the loopback address, which refuses now and then."""

import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow.parquet as pq
import pytest
from PIL import Image

from maskseg_nb.errors import ImageError, MasksegError
from maskseg_nb.results import folder_worker, places, shards, sources
from maskseg_nb.results.folder_names import Named
from maskseg_nb.results.places import Place, held
from maskseg_nb.results.shards import segment_shards
from predictions import CATEGORIES, made_up
from small_models import tiny_model

s3fs = pytest.importorskip("s3fs")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore"),  # boto's and moto's own, of time zones and sockets
]


class Refusing:
    """moto's application, of whose answers every n-th is 503; it counts both."""

    def __init__(self, application):
        self.application, self.every, self.requests, self.refused = application, 0, 0, 0
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        with self.lock:
            self.requests += 1
            refuse = self.every and self.requests % self.every == 0
            self.refused += bool(refuse)
        if not refuse:
            return self.application(environ, start_response)
        environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
        start_response("503 Slow Down", [("Content-Type", "application/xml")])
        return [b"<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"]


@pytest.fixture(scope="module")
def server():
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    application = Refusing(DomainDispatcherApplication(create_backend_app))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = make_server("127.0.0.1", port, application, threaded=True)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    patch = pytest.MonkeyPatch()
    for name in list(os.environ):
        if name.lower().endswith("_proxy"):
            patch.delenv(name)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        patch.setenv(name, value)
    try:
        yield application
    finally:
        patch.undo()
        s3fs.S3FileSystem.clear_instance_cache()
        running.shutdown()
        thread.join()
        running.server_close()


@pytest.fixture
def bucket(server, request):
    """An empty bucket with eleven pictures in two folders, one of them broken."""
    server.every = 0
    s3fs.S3FileSystem.clear_instance_cache()
    store, name = s3fs.S3FileSystem(), f"bucket-{abs(hash(request.node.name)) % 10**9}"
    store.mkdir(name)
    for number in range(10):
        with store.open(f"{name}/photos/day{number % 2}/{number:02d}.png", "wb") as file:
            Image.new("RGB", (64, 48), (number, 90, 90)).save(file, "PNG")
    store.pipe(f"{name}/photos/day1/broken.png", b"this is a text")
    store.pipe(f"{name}/photos/notes.txt", b"no picture by its name")
    yield name
    server.every = 0


@pytest.fixture(scope="module")
def model():
    return tiny_model(CATEGORIES)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    def stub(model, image):
        return made_up(3, image.shape[:2], seed=int(image[0, 0, 0]))

    monkeypatch.setattr(folder_worker, "predict_at_own_size", stub)
    monkeypatch.setattr(shards, "PER_CHUNK", 3)


def run(source, out, model, **options):
    return segment_shards(source, out, model, **{"progress": False, **options})


def rows(url):
    store = s3fs.S3FileSystem(use_listings_cache=False)
    tables = [pq.read_table(store.open(path)) for path in store.glob(f"{url}/shards/*/*.parquet")]
    every = [row for table in tables for row in table.to_pylist()]
    return sorted(every, key=lambda row: (row["file"], row["instance"] or 0))


def test_pictures_and_results_by_url_are_as_on_a_disk(bucket, model, tmp_path):
    out = f"s3://{bucket}/out"
    result = run(f"s3://{bucket}/photos/**/*.png", out, model, formats=["csv", "coco", "overlay"])
    assert (result.pictures, result.done, result.failed) == (11, 11, 1)
    store = s3fs.S3FileSystem(use_listings_cache=False)
    store.get(f"{bucket}/photos", str(tmp_path / "photos"), recursive=True)
    run(tmp_path / "photos", tmp_path / "out", model, formats=["csv", "coco", "overlay"])
    for name in ("instances.csv", "coco.json", "failures.csv"):
        here = (tmp_path / "out" / name).read_text().replace(str(tmp_path), f"s3://{bucket}")
        assert store.cat(f"{bucket}/out/{name}").decode() == here, name
    assert len(store.glob(f"{bucket}/out/files/*/*/*.overlay.png")) == 10
    assert not store.exists(f"{bucket}/out/{places.LOCK}")
    again = run(f"s3://{bucket}/photos", out, model, formats=["overlay"])
    assert (again.skipped, again.done) == (11, 0)
    store.pipe(f"{bucket}/photos/day1/broken.png", store.cat(f"{bucket}/photos/day1/01.png"))
    again = run(f"s3://{bucket}/photos", out, model, formats=["overlay"])
    assert (again.skipped, again.done, again.failed) == (10, 1, 0)


def test_a_store_that_refuses_now_and_then_loses_nothing_and_doubles_nothing(bucket, server, model):
    source, whole, out = f"s3://{bucket}/photos", f"s3://{bucket}/whole", f"s3://{bucket}/out"
    run(source, whole, model)
    server.every, server.refused = 7, 0
    with ThreadPoolExecutor(4) as executor:
        result = run(source, out, model, executor=executor)
    server.every = 0
    assert server.refused > 5 and (result.done, result.failed) == (11, 1)
    assert rows(out.removeprefix("s3://")) == rows(whole.removeprefix("s3://"))


def test_a_store_that_is_gone_ends_the_run_and_the_same_call_resumes(bucket, server, model, monkeypatch):
    source, out = f"s3://{bucket}/photos", f"s3://{bucket}/out"
    written = []

    def fail_later(self, name, data, real=Place.write):
        written.append(name)
        if len(written) > 2:
            raise MasksegError("the store is gone")
        real(self, name, data)

    with monkeypatch.context() as patch:
        patch.setattr(Place, "write", fail_later)
        with pytest.raises(MasksegError, match="the store is gone"):
            run(source, out, model)
    result = run(source, out, model)
    assert result.skipped >= 3 and result.skipped + result.done == 11
    run(source, f"s3://{bucket}/whole", model)
    assert rows(f"{bucket}/out") == rows(f"{bucket}/whole")


def test_two_runs_into_one_place_are_refused_and_a_dead_one_s_lock_means_nothing(bucket, monkeypatch):
    place = Place(f"s3://{bucket}/out")
    with held(place):
        with pytest.raises(MasksegError, match=rf"another run is writing into .*process {os.getpid()} on"):
            with held(place):
                pass
        monkeypatch.setattr(places, "DEAD", -1)
        with held(place):
            pass
    monkeypatch.setattr(places, "DEAD", 600)
    for damaged in (b"", b"[]", b'{"renewed": "x"}', b"\xff"):
        place.write(places.LOCK, damaged)
        with held(place):
            pass


def test_who_comes_in_the_same_moment_does_not_hold_the_place_too(bucket, monkeypatch):
    place = Place(f"s3://{bucket}/out")
    with held(place):
        monkeypatch.setattr(places, "_holder", lambda place: None)  # what both saw before either wrote
        with pytest.raises(MasksegError, match="another run has just begun to write into"):
            with held(place):
                pass


def test_a_picture_that_is_missing_or_too_large_is_its_own_error(bucket, monkeypatch):
    url = f"s3://{bucket}/photos/day0/00.png"
    assert sources.image_of(Named(url, url, "a", (0, 0))).shape == (48, 64, 3)
    with pytest.raises(ImageError, match="missing.png' does not exist; check the path"):
        sources.image_of(Named(f"{url[:-6]}missing.png", url, "a", (0, 0)))
    monkeypatch.setattr(sources, "MAX_PICTURE_BYTES", 10)
    for size in (0, 11):  # whether the listing told it or not
        with pytest.raises(ImageError, match="'00.png' is too large|'00.png' .*MB"):
            sources.image_of(Named(url, url, "a", (size, 0)))
