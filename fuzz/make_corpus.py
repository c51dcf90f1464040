#!/usr/bin/env python3
"""Writes the seeds of fuzz/corpus: small valid inputs of every kind that the parsers know, and a few broken ones. Standard library only;
the same bytes every time. Inputs that once crashed lie beside them under names of their own and are left alone.
SPDX-License-Identifier: MIT"""

import gzip
import io
import pathlib
import struct
import zipfile
import zlib

CORPUS = pathlib.Path(__file__).parent / "corpus"


def idx_images(count, height, width):
    return struct.pack(">IIII", 2051, count, height, width) + bytes(i % 256 for i in range(count * height * width))


def idx_labels(count):
    return struct.pack(">II", 2049, count) + bytes(i % 10 for i in range(count))


def npy(descr, shape, data, order=False, version=1):
    text = f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}".encode()
    head = 10 if version == 1 else 12
    text += b" " * (-(head + len(text) + 1) % 64) + b"\n"
    size = struct.pack("<H", len(text)) if version == 1 else struct.pack("<I", len(text))
    return b"\x93NUMPY" + bytes([version, 0]) + size + text + data


def npz(members, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, method)
    return out.getvalue()


def user_archive(x, y, shape):
    floats = struct.pack("<8f", *[i / 7 for i in range(8)])
    data = bytes(range(8)) if x == "|u1" else floats if x == "<f4" else floats[:8] * 8
    labels = struct.pack("<2q", 0, 1) if y == "<i8" else struct.pack("<2f", -0.5, 1.25)
    parts = ("train", "test")
    return {f"x_{p}.npy": npy(x, shape, data) for p in parts} | {f"y_{p}.npy": npy(y, "(2,)", labels) for p in parts}


def png(width, height, depth, colour, row):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(12))) if colour == 3 else b""
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + palette + chunk(b"IDAT", zlib.compress((b"\0" + row) * height)) + chunk(b"IEND", b"")


SEEDS = {
    "csv/classes.csv": b"a,b,label\n1,2.5,red\n-3,4e-2,blue\n5,6,red\n7,8,blue\n",
    "csv/quoted.csv": b'\xef\xbb\xbf"a, b",c,"say ""hi"""\r\n1,2,"x\ny"\r\n 3 , 4 ,z\r\n5,6,z\r\n\r\n',
    "csv/targets.csv": b"x,y\n1,0.5\n2,1.5\n3,2.5\n4,4.5\n5,1e-300\n",
    "csv/whole.csv": b"x,y\n1,10\n2,-1\n3,10\n4,-1\n",
    "csv/missing.csv": b"x,y\n1,a\nNA,b\n",
    "csv/open_quote.csv": b'x,y\n1,"a\n2,b\n',
    "csv/no_header.csv": b"1,2\n3,4\n",
    "csv/semicolons.csv": b"x;y\n1;2\n",
    "csv/nul.csv": b"x,y\n1,\0\n",
    "idx/images": idx_images(3, 4, 5),
    "idx/images.gz": gzip.compress(idx_images(3, 4, 5), mtime=0),
    "idx/labels": idx_labels(12),
    "idx/labels.gz": gzip.compress(idx_labels(12), mtime=0),
    "idx/truncated": idx_images(3, 4, 5)[:-7],
    "idx/huge_header": struct.pack(">IIII", 2051, 0xFFFFFFFF, 0xFFFF, 0xFFFF) + b"\1\2\3",
    "idx/two_members.gz": gzip.compress(idx_labels(4)[:6], mtime=0) + gzip.compress(idx_labels(4)[6:], mtime=0),
    "idx/empty": b"",
    "npz/bytes_stored.npz": npz(user_archive("|u1", "<i8", "(2, 4)")),
    "npz/floats_deflated.npz": npz(user_archive("<f4", "<f4", "(2, 4)"), zipfile.ZIP_DEFLATED),
    "npz/complex.npz": npz(user_archive("<c8", "<i8", "(2, 4)")),
    "npz/fortran.npz": npz({"a.npy": npy("<f8", "(2, 3)", struct.pack("<6d", *range(6)), order=True)}),
    "npz/scalar_v2.npz": npz({"a.npy": npy("<i4", "()", struct.pack("<i", -1), version=2), "notes.txt": b"passed over"}),
    "npz/big_endian.npz": npz({"a.npy": npy(">f4", "(1,)", b"\0\0\0\0")}),
    "npz/overflowing_shape.npz": npz({"a.npy": npy("<f8", "(4611686018427387904, 8)", b"\0" * 8)}),
    "npz/texts.npz": npz(user_archive("<f4", "<i8", "(2, 4)") | {f"y_{p}.npy": npy("<U2", "(2,)", "nob\0".encode("utf-32-le")) for p in ("train", "test")}),
    "npz/wide_text.npz": npz({"a.npy": npy("<U99999", "(4611686018427387904,)", b"\0" * 8)}),
    "npz/truncated.npz": npz(user_archive("|u1", "<i8", "(2, 4)"))[:-30],
    "image/raw.pgm": b"P5 # four by three\n4 3\n255\n" + bytes(range(12)),
    "image/plain.pgm": b"P2\n2 2\n15\n0 5\n10 15\n",
    "image/deep.pgm": b"P5\n2 1\n65535\n" + b"\1\2\3\4",
    "image/raw.ppm": b"P6\n2 1\n255\n" + bytes(range(6)),
    "image/plain.ppm": b"P3\n1 1\n1\n1 0 1\n",
    "image/huge.pgm": b"P5\n16384 16384\n255\n" + b"\0",
    "image/grey.png": png(4, 2, 8, 0, bytes(range(4))),
    "image/bits.png": png(8, 2, 1, 0, b"\x5a"),
    "image/palette.png": png(4, 1, 8, 3, b"\0\1\2\3"),
    "image/rgba16.png": png(1, 1, 16, 6, bytes(range(8))),
    "image/truncated.png": png(4, 2, 8, 0, bytes(range(4)))[:-20],
    "config/empty.toml": b"",
    "config/cell.toml": b'seed = 3\n[objective]\nscope = "local"\n[gradient]\nestimator = "directional"\ndirections = 4\n',
    "config/layers.toml": b'[model]\nlayers = [40, 20, 10]\nactivation = "relu"\n[[layer]]\nindex = 1\ngradient.estimator = "adjoint"\n',
    "config/mesh.toml": b'[model]\nkind = "photonic"\n[model.mesh]\nlayers = 2\n[dataset]\ncrop = 5\nclasses = [0, 1, 2]\n',
    "config/conv.toml": b'[model]\nkind = "cnn"\n[model.conv]\nchannels = [4]\nkernel = [3]\npadding = [1]\nstride = [1]\npool = [2]\npool_stride = [2]\n',
    "config/end_to_end.toml": b'objective.scope = "end_to_end"\nupdate = { rule = "adam", lr = 1e-3 }\n',
    "config/misspelt.toml": b"[training]\nepoch = 5\n",
    "config/wrong_type.toml": b'[gradient]\neps = "small"\ndirections = -1\n',
    "config/broken.toml": b"[gradient\neps = = 1\n",
    "config/not_utf8.toml": b"seed = 1 # \xff\xfe\n",
    # The number of a sound checkpoint, a merge patch of its JSON, and behind a zero byte which array, what, how much.
    "checkpoint/sound_dense": b"0",
    "checkpoint/sound_conv": b"1",
    "checkpoint/sound_mesh": b"2",
    "checkpoint/sound_regression": b"3",
    "checkpoint/sound_adjoint": b"4",
    "checkpoint/no_classes": b'0{"classes":0,"class_names":[]}',
    "checkpoint/many_classes": b'4{"classes":60000,"class_names":[1,2,3]}',
    "checkpoint/large_samples": b'4{"sample_shape":[1,1,2147483647]}',
    "checkpoint/bytes": b'0{"sample_type":"bytes","sample_shape":[1,6,6],"train_size":24}',
    "checkpoint/position": b'3{"block":1,"epoch":2,"step":3,"loss_sum":-1e300,"finished":true,"measured":[[0.1,0.2,3]]}',
    "checkpoint/counts": b'0{"ledger":[[4611686018427387904,1,1,1,1,1],[4611686018427387904,1,1,1,1]]}',
    "checkpoint/records": b'0{"records":[{"layer":"dense0","layer_index":0,"epoch":1,"loss":null,"train":null,"test":[0.5,1.5]}]}',
    "checkpoint/device": b'4{"devices":[{"layer":0,"shape":[5,5,25],"receipt":[1,2,3,4,5,6,7,8],"seconds":1,"reference":[0.5],'
    b'"looks":[[0,1,0.1,0.2]],"address":"exec:true","identity":"x"}]}',
    "checkpoint/texts": b'0{"class_texts":["a","b","c"],"feature_names":["x"],"target_scales":[[0,1]],"vote_rule":"last","deciding_layer":7}',
    "checkpoint/other_config": b'4{"config":"seed = 3\\n[dataset]\\nname = \\"npz\\"\\ndir = \\"d.npz\\"\\n[model]\\nlayers = [5, 5]\\n"}',
    "checkpoint/mesh_config": b'2{"config":"[dataset]\\nname = \\"glyphs\\"\\ncrop = 3\\n[model]\\nkind = \\"photonic\\"\\n"}',
    "checkpoint/not_json": b"0[1,2",
    "checkpoint/old_format": b'0{"format":0}',
    "checkpoint/arrays": b"0\0\0\0\0\1\1\7\2\2\0\3\3\0\4\5\1",
    "checkpoint/swapped": b"3\0\0\7\3\1\5\0\2\5\3\5\6\2",
}


def main():
    for name, content in SEEDS.items():
        file = CORPUS / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)


if __name__ == "__main__":
    main()
