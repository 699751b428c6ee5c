"""Damaged pictures: every way that files of a real crawl are broken."""

import io
import os
import struct
import zlib

import numpy as np
from PIL import Image

SIDE = 96


def picture():
    """Noise over a gradient: every part of the encoded data matters."""
    rng = np.random.default_rng(7)
    ramp = np.linspace(0, 180, SIDE)[None, :, None] + rng.integers(0, 75, (SIDE, SIDE, 3))
    return Image.fromarray(ramp.astype(np.uint8))


def encoded(kind, image=None, **options):
    file = io.BytesIO()
    (image or picture()).save(file, kind, **options)
    return file.getvalue()


def png(*chunks):
    """A PNG of (name, content) chunks, every checksum right."""
    parts = [b"\x89PNG\r\n\x1a\n"]
    for name, content in chunks:
        body = name + content
        parts.append(struct.pack(">I", len(content)) + body + struct.pack(">I", zlib.crc32(body)))
    return b"".join(parts)


def png_header(width, height, depth=8, colour=2):
    return b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)


def without_segments(data, marker):
    """A JPEG without the segments of one marker before the scan."""
    kept, at = [data[:2]], 2
    while data[at + 1] != 0xDA:
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != marker:
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def patched(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def flipped(data, start, stop, count=40, seed=3):
    """`data` with some bytes between two places replaced by others."""
    content = bytearray(data)
    rng = np.random.default_rng(seed)
    for at in rng.choice(np.arange(start, stop), count, replace=False):
        content[at] ^= int(rng.integers(1, 128))
    return bytes(content)


def jpeg_wrecks():
    jpeg = encoded("JPEG", quality=90)
    progressive = encoded("JPEG", quality=90, progressive=True)
    optimised = encoded("JPEG", quality=90, optimize=True)
    restarts = encoded("JPEG", quality=90, restart_marker_blocks=2)
    cmyk = encoded("JPEG", picture().convert("CMYK"), quality=90)
    exif = Image.Exif()
    exif[0x0112] = 6
    rotated = encoded("JPEG", quality=90, exif=exif)
    frame, scan = jpeg.index(b"\xff\xc0"), jpeg.index(b"\xff\xda")
    middle = restarts.index(b"\xff\xd3")
    return {
        "jpeg-two-bytes": jpeg[:2],
        "jpeg-cut-in-header": jpeg[: frame + 6],
        "jpeg-cut-before-scan": jpeg[:scan],
        "jpeg-cut-in-scan": jpeg[: scan + (len(jpeg) - scan) // 2],
        "jpeg-cut-and-closed": jpeg[: scan + (len(jpeg) - scan) // 2] + b"\xff\xd9",
        "jpeg-last-byte-cut": jpeg[:-1],
        "jpeg-end-marker-cut": jpeg[:-2],
        "jpeg-zeros-from-the-middle": jpeg[: len(jpeg) // 2] + bytes(len(jpeg) // 2),
        "jpeg-flipped-bytes-in-scan": flipped(jpeg, scan + 20, len(jpeg) - 4),
        "jpeg-hole-in-scan": jpeg[: scan + 20] + jpeg[scan + 220 :],
        "jpeg-no-huffman-tables": without_segments(optimised, 0xC4),
        "jpeg-no-quantisation-tables": without_segments(jpeg, 0xDB),
        "jpeg-no-frame": without_segments(jpeg, 0xC0),
        "jpeg-no-components": patched(jpeg, frame + 9, b"\0"),
        "jpeg-two-components": patched(jpeg, frame + 9, b"\2"),
        "jpeg-zero-width": patched(jpeg, frame + 7, b"\0\0"),
        "jpeg-zero-height": patched(jpeg, frame + 5, b"\0\0"),
        "jpeg-huge": patched(jpeg, frame + 5, b"\xff\xff\xff\xff"),
        "jpeg-taller-than-its-data": patched(jpeg, frame + 5, b"\x01\x00"),
        "jpeg-12-bit": patched(jpeg, frame + 4, b"\x0c"),
        "jpeg-lossless-frame": patched(jpeg, frame + 1, b"\xc3"),
        "jpeg-arithmetic-frame": patched(jpeg, frame + 1, b"\xc9"),
        "jpeg-wrong-start": b"\xff\xd7" + jpeg[2:],
        "jpeg-segment-length-lies": patched(jpeg, 4, b"\xff\xff"),
        "jpeg-scan-header-corrupt": patched(jpeg, scan + 4, b"\x09"),
        "jpeg-progressive-cut": progressive[: len(progressive) * 2 // 3],
        "jpeg-progressive-flipped": flipped(
            progressive, progressive.index(b"\xff\xda") + 20, len(progressive) - 4
        ),
        "jpeg-restart-marker-wrong": patched(restarts, middle, b"\xff\xd6"),
        "jpeg-cmyk-cut": cmyk[: len(cmyk) // 2],
        "jpeg-rotated-cut": rotated[: len(rotated) * 3 // 4],
        "jpeg-text-mode-transfer": jpeg.replace(b"\n", b"\r\n"),
    }


def png_wrecks():
    good = encoded("PNG")
    data, palette = good.index(b"IDAT"), encoded("PNG", picture().quantize(16))
    raw = zlib.compress(bytes(SIDE * (3 * SIDE + 1)))
    end = (b"IEND", b"")
    return {
        "png-signature-only": good[:8],
        "png-cut-in-header": good[:20],
        "png-cut-in-data": good[: len(good) // 2],
        "png-end-cut": good[:-12],
        "png-wrong-checksum": patched(good, 29, b"\0\0\0\0"),
        "png-data-corrupt": flipped(good, data + 8, len(good) - 20),
        "png-palette-corrupt": flipped(palette, palette.index(b"PLTE") + 4, 80, 3),
        "png-no-data": png(png_header(SIDE, SIDE), end),
        "png-bomb": png(png_header(60_000, 60_000), (b"IDAT", raw), end),
        "png-absurd-size": png(png_header(2**31 - 1, 2**31 - 1), (b"IDAT", raw), end),
        "png-zero-width": png(png_header(0, SIDE), (b"IDAT", raw), end),
        "png-zero-height": png(png_header(SIDE, 0), (b"IDAT", raw), end),
        "png-odd-depth": png(png_header(SIDE, SIDE, depth=3), (b"IDAT", raw), end),
        "png-no-palette": png(png_header(SIDE, SIDE, colour=3), end),
    }


def other_wrecks():
    gif, webp, bmp, tiff = (encoded(kind) for kind in ("GIF", "WEBP", "BMP", "TIFF"))
    deflated = encoded("TIFF", compression="tiff_adobe_deflate")
    loop = struct.pack("<2sHIHHHIII", b"II", 42, 8, 1, 256, 3, 1, SIDE, 8)
    return {
        "empty": b"",
        "one-byte": b"\xff",
        "text": b"not a picture, but text\n" * 40,
        "html-page": b"<!DOCTYPE html><html><body>404 Not Found</body></html>\n",
        "zeros": bytes(4096),
        "random-bytes": np.random.default_rng(0).bytes(4096),
        "svg": b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
        "postscript": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
        "pdf": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj\n<<>>\nendobj\n",
        "zip": b"PK\x03\x04" + bytes(60),
        "gif-header-only": gif[:10],
        "gif-cut": gif[: len(gif) // 2],
        "gif-frame-outside": patched(gif, gif.index(b",", 781), b",\xff\xff\xff\xff"),
        "webp-header-only": webp[:12],
        "webp-cut": webp[: len(webp) // 2],
        "webp-size-lies": patched(webp, 4, struct.pack("<I", len(webp) * 3)),
        "bmp-cut": bmp[: len(bmp) // 2],
        "bmp-width-lies": patched(bmp, 18, struct.pack("<i", 50 * SIDE)),
        "bmp-huge": patched(bmp, 18, struct.pack("<ii", 2**30, 2**30)),
        "bmp-data-offset-lies": patched(bmp, 10, struct.pack("<I", 2**31 - 1)),
        "tiff-cut": tiff[: len(tiff) // 2],
        "tiff-garbage": b"II*\0" + np.random.default_rng(1).bytes(500),
        "tiff-loop": loop,
        "tiff-deflate-corrupt": flipped(deflated, 200, 3000),
        "tiff-directory-beyond-end": b"II*\0" + struct.pack("<I", 2**31),
    }


def place_wrecks(folder):
    """Places that are no readable file; returns their names."""
    (folder / "directory").mkdir()
    (folder / "link-loop").symlink_to("link-loop")
    (folder / "link-to-nowhere").symlink_to("nowhere-at-all")
    (folder / "file").write_bytes(encoded("PNG"))
    os.mkfifo(folder / "pipe")
    names = ["missing", "directory", "link-loop", "link-to-nowhere", "pipe"]
    names += ["file/below-a-file", "n" * 300, "null\0character", "directory/../../outside"]
    if os.geteuid() != 0:
        (folder / "forbidden").write_bytes(encoded("PNG"))
        (folder / "forbidden").chmod(0)
        names.append("forbidden")
    return names


def make_wrecks(folder):
    """Fill a folder with wrecks; returns the paths, relative to it."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = {**jpeg_wrecks(), **png_wrecks(), **other_wrecks()}
    for name, data in contents.items():
        (folder / name).write_bytes(data)
    return [*contents, *place_wrecks(folder)]


def harmless():
    """Flaws that cost no pixel: (name, flawed bytes, the same picture without the flaw)."""
    jpeg, png_ = encoded("JPEG", quality=90), encoded("PNG")
    version = jpeg.index(b"JFIF") + 5
    garbage = b"\xff\xe1\x00\x20Exif\0\0" + np.random.default_rng(2).bytes(24)
    loop = b"\xff\xe1\x00\x16Exif\0\0II*\0" + struct.pack("<I", 2**30) + bytes(4)
    return [
        ("jpeg-unknown-version", patched(jpeg, version, b"\3"), jpeg),
        ("jpeg-bytes-after-end", jpeg + b"trailing" * 9, jpeg),
        ("jpeg-zeros-before-end", jpeg[:-2] + bytes(12) + jpeg[-2:], jpeg),
        ("jpeg-fill-before-end", jpeg[:-2] + b"\xff" * 9 + jpeg[-2:], jpeg),
        ("jpeg-junk-in-header", jpeg[:20] + b"junk" + jpeg[20:], jpeg),
        ("jpeg-garbage-exif", jpeg[:2] + garbage + jpeg[2:], jpeg),
        ("jpeg-exif-points-outside", jpeg[:2] + loop + jpeg[2:], jpeg),
        ("png-bytes-after-end", png_ + b"trailing", png_),
        # Decoders know the tables that most JPEGs use by heart.
        ("jpeg-no-huffman-tables", without_segments(jpeg, 0xC4), jpeg),
    ]
