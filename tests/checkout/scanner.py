"""Reads the QR code that a page shows."""

import base64

import zxingcpp
from playwright.sync_api import Page

_GRAY_PIXELS = """async (png) => {
  const picture = await createImageBitmap(await (await fetch(`data:image/png;base64,${png}`)).blob());
  const canvas = new OffscreenCanvas(picture.width, picture.height).getContext("2d");
  canvas.drawImage(picture, 0, 0);
  const rgba = canvas.getImageData(0, 0, picture.width, picture.height).data;
  let gray = "";
  for (let i = 0; i < rgba.length; i += 4) {
    gray += String.fromCharCode((rgba[i] + rgba[i + 1] + rgba[i + 2]) / 3);
  }
  return [picture.width, picture.height, btoa(gray)];
}"""


def scan(page: Page, scanner: Page) -> str:
    """Reads the code from a screenshot, as a phone's camera does. The blank page `scanner` decodes the picture."""
    png = base64.b64encode(page.screenshot()).decode()
    width, height, gray = scanner.evaluate(_GRAY_PIXELS, png)
    image = memoryview(base64.b64decode(gray)).cast("B", shape=[height, width])
    (code,) = zxingcpp.read_barcodes(image)
    text: str = code.text
    return text
