"""Images in `data:` URLs."""

import base64

import pytest

from gateway.surfaces.inline_images import MAX_IMAGE_BYTES, image_of_data_url
from llmplatform.errors import MalformedRequest, UnsupportedParameter

IMAGES = {
    "png": b"\x89PNG\r\n\x1a\n" + bytes(8),
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(8),
    "gif": b"GIF89a" + bytes(8),
    "webp": b"RIFF\x0a\x00\x00\x00WEBP" + bytes(8),
}


def url(image: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(image).decode()}"


@pytest.mark.parametrize("kind", IMAGES)
def test_the_four_kinds_are_taken(kind: str) -> None:
    image = image_of_data_url(url(IMAGES[kind], f"image/{kind}"), "p")
    assert image.media_type == f"image/{kind}"
    assert base64.b64decode(image.base64) == IMAGES[kind]


def test_the_type_may_be_written_in_other_ways() -> None:
    assert image_of_data_url(url(IMAGES["jpeg"], "image/jpg"), "p").media_type == "image/jpeg"
    assert image_of_data_url(url(IMAGES["png"], "IMAGE/PNG"), "p").media_type == "image/png"


@pytest.mark.parametrize("kind", IMAGES)
@pytest.mark.parametrize("claimed", IMAGES)
def test_an_image_is_what_it_says(kind: str, claimed: str) -> None:
    if kind != claimed:
        with pytest.raises(MalformedRequest) as caught:
            image_of_data_url(url(IMAGES[kind], f"image/{claimed}"), "p")
        assert caught.value.param == "p"


@pytest.mark.parametrize("remote", ["http://h.invalid/a.png", "https://h.invalid/a.png", "HTTPS://h.invalid"])
def test_remote_images_are_not_fetched(remote: str) -> None:
    with pytest.raises(UnsupportedParameter, match=r"'p'.*data: URL") as caught:
        image_of_data_url(remote, "p")
    assert "invalid" not in str(caught.value)


@pytest.mark.parametrize(
    "bad",
    [
        "",
        "data:",
        "data:image/png,abc",
        "data:image/svg+xml;base64,AAAA",
        "data:image/png;base64,",
        "data:image/png;base64,iVBORw0KGgo",
        "data:image/png;base64,iVBO Rw0KGgo=",
        "data:image/png;base64,iVBORw0KGgo=\n",
        "data:image/png;base64,é",
        "data:image/png;base64,@@@@",
        "file:///etc/passwd",
    ],
)
def test_what_is_no_image_is_refused(bad: str) -> None:
    with pytest.raises(MalformedRequest) as caught:
        image_of_data_url(bad, "p")
    assert caught.value.param == "p"


def test_the_size_is_bounded() -> None:
    largest = IMAGES["png"] + bytes(MAX_IMAGE_BYTES - len(IMAGES["png"]))
    assert len(largest) == MAX_IMAGE_BYTES
    image_of_data_url(url(largest), "p")
    with pytest.raises(MalformedRequest) as caught:
        image_of_data_url(url(largest + bytes(8)), "p")
    assert caught.value.specific_code == "image_too_large"
