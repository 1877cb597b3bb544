"""Images that come inside a request, as `data:` URLs: checked here, once, for every surface and dialect.

Remote images are refused: fetching what a client names would let it reach into our network.
"""

import re
from binascii import Error as Base64Error
from binascii import a2b_base64
from typing import Final

from gateway.chat import ImagePart
from llmplatform.errors import MalformedRequest, UnsupportedParameter

MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
"""Of one decoded image. Above what the backends take (Converse: 3.75 MB), so that theirs is the limit that
a client meets, and low enough that checking one image holds up nobody else."""

_DATA_URL: Final = re.compile(r"data:(image/(?:png|jpeg|jpg|gif|webp));base64,", re.IGNORECASE)
_SIGNATURES: Final = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)


def image_of_data_url(url: str, param: str) -> ImagePart:
    """The image that a `data:` URL holds; `param` is the URL's path in the request.

    Raises UnsupportedParameter for a remote URL, and MalformedRequest for what is not base64 text of a PNG,
    JPEG, GIF or WebP image, or is one of another kind than it says, or is over `MAX_IMAGE_BYTES`.
    """
    if url[:8].lower().startswith(("http:", "https:")):
        raise UnsupportedParameter(
            f"Unsupported value: '{param}': remote images are not fetched; send the image as a data: URL.",
            param=param,
        )
    head = _DATA_URL.match(url)
    if head is None:
        raise MalformedRequest(
            f"Invalid request: '{param}' must be data:<type>;base64,<data> with one of the types "
            "image/png, image/jpeg, image/gif, image/webp.",
            param=param,
        )
    base64 = url[head.end() :]
    if len(base64) > MAX_IMAGE_BYTES * 4 // 3 + 4:
        raise MalformedRequest(
            f"Invalid request: '{param}' is an image over {MAX_IMAGE_BYTES} bytes.",
            param=param,
            code="image_too_large",
        )
    try:
        image = a2b_base64(base64, strict_mode=True)
    except (Base64Error, ValueError):
        # A ValueError is a character outside ASCII. Neither quotes the text.
        image = b""
    media_type = head[1].lower().replace("jpg", "jpeg")
    if not any(kind == media_type and signature.match(image) for signature, kind in _SIGNATURES):
        raise MalformedRequest(
            f"Invalid request: '{param}' is not base64 text of the kind of image that it says.", param=param
        )
    return ImagePart(media_type, base64)
