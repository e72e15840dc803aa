"""Writes a safetensors file: "plain" f32 [2, 2], "half" bf16 [2], "ids" i64 [2]."""
import json
import struct
import sys

parts = {
    "plain": ("F32", [2, 2], struct.pack("<4f", 1, 2, 3, 4)),
    "half": ("BF16", [2], struct.pack("<2H", 0x3F80, 0xC000)),
    "ids": ("I64", [2], struct.pack("<2q", 1, 2**60 + 1)),
}
header, data = {}, b""
for name, (dtype, shape, raw) in parts.items():
    header[name] = {"dtype": dtype, "shape": shape, "data_offsets": [len(data), len(data) + len(raw)]}
    data += raw
text = json.dumps(header).encode()
with open(sys.argv[1], "wb") as file:
    file.write(struct.pack("<Q", len(text)) + text + data)
