"""Transom's C API (runtime/include/transom/transom.h) through ctypes: models, sessions, runs on NumPy arrays. For tests and
benchmarks; text and embedding are left out. Needs NumPy.
"""

import ctypes
import math
from pathlib import Path

import numpy as np

DTYPES = ["<f4", "<f2", "<u2", "<f8", "i1", "u1", "<i2", "<i4", "<i8", "?"]  # by transom_dtype; bf16 as its bits
BF16 = 2


class TransomError(Exception):
    """The message of a transom_status."""


class Tensor(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_int),
        ("rank", ctypes.c_size_t),
        ("shape", ctypes.POINTER(ctypes.c_int64)),
        ("data", ctypes.c_void_p),
    ]


def find_library(command):
    """libtransom.so of the build or package that the command lies in; None where it has none."""
    prefix = Path(command).resolve().parent.parent
    return next((found for folder in ("lib", "lib64", "lib/x86_64-linux-gnu") for found in sorted((prefix / folder).glob("libtransom.so*"))), None)


class Library:
    """The functions, with errors as exceptions. May be shared by threads."""

    def __init__(self, path):
        self.c = ctypes.CDLL(str(path))
        self.c.transom_status_message.restype = ctypes.c_char_p
        self.c.transom_status_message.argtypes = [ctypes.c_void_p]
        for name in ("transom_status_free", "transom_model_free", "transom_session_free"):
            getattr(self.c, name).argtypes = [ctypes.c_void_p]
            getattr(self.c, name).restype = None
        self.declare("transom_model_load", ctypes.c_char_p, ctypes.c_void_p)
        self.declare("transom_session_create_on", ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32, ctypes.c_void_p)
        self.declare("transom_run", ctypes.c_void_p, ctypes.c_char_p, ctypes.POINTER(Tensor), ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p)

    def declare(self, name, *arguments):
        function = getattr(self.c, name)
        function.restype, function.argtypes = ctypes.c_void_p, arguments

    def check(self, status):
        if status:
            message = self.c.transom_status_message(status).decode(errors="replace")
            self.c.transom_status_free(status)
            raise TransomError(message)


class Model:
    def __init__(self, library, path):
        self.library, self.handle = library, ctypes.c_void_p()
        library.check(library.c.transom_model_load(str(path).encode(), ctypes.byref(self.handle)))

    def __del__(self):
        if self.handle:
            self.library.c.transom_model_free(self.handle)


class Inputs:
    """Tensors of named arrays, which they keep alive; for one run or many."""

    def __init__(self, arrays):
        self.arrays = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
        self.shapes = [(ctypes.c_int64 * value.ndim)(*value.shape) for value in self.arrays.values()]
        self.tensors = (Tensor * len(self.arrays))()
        for tensor, shape, (name, value) in zip(self.tensors, self.shapes, self.arrays.items()):
            tensor.name, tensor.rank, tensor.shape, tensor.data = name.encode(), value.ndim, shape, value.ctypes.data
            tensor.dtype = [np.dtype(kind) for kind in DTYPES].index(value.dtype)


class Session:
    """For one thread at a time."""

    def __init__(self, model, device, threads=0):
        self.model, self.library, self.handle = model, model.library, ctypes.c_void_p()
        self.library.check(
            self.library.c.transom_session_create_on(model.handle, device.encode(), threads, ctypes.byref(self.handle))
        )

    def __del__(self):
        if self.handle:
            self.library.c.transom_session_free(self.handle)

    def run_raw(self, program, inputs):
        """The outputs as (name, dtype, shape, address), which live until the next run."""
        outputs, count = ctypes.POINTER(Tensor)(), ctypes.c_size_t()
        self.library.check(
            self.library.c.transom_run(self.handle, program.encode(), inputs.tensors, len(inputs.tensors), ctypes.byref(outputs), ctypes.byref(count))
        )
        found = (outputs[i] for i in range(count.value))
        return [(t.name.decode(), t.dtype, [t.shape[axis] for axis in range(t.rank)], t.data) for t in found]

    def run_bytes(self, program, inputs):
        """The outputs' bytes by name."""
        return {
            name: ctypes.string_at(data, math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize)
            for name, dtype, shape, data in self.run_raw(program, inputs)
        }

    def run(self, program, arrays):
        """Copies of the outputs by name; bf16 as f32."""
        results = {}
        for name, dtype, shape, data in self.run_raw(program, Inputs(arrays)):
            kind = np.dtype(DTYPES[dtype])
            value = np.frombuffer(ctypes.string_at(data, math.prod(shape) * kind.itemsize), kind).reshape(shape)
            results[name] = (value.astype("<u4") << 16).view("<f4") if dtype == BF16 else value
        return results


def feed(session, rows, chunk):
    """Appends the tokens of each row, given as lists, to empty caches, at most `chunk` of a row at once, as the generation loop
    does; returns the logits [rows, vocab] after each row's last token."""
    past = [0] * len(rows)
    logits = [None] * len(rows)
    while any(done < len(row) for done, row in zip(past, rows)):
        parts = [row[done : done + chunk] for done, row in zip(past, rows)]
        found = step(session, parts, past)
        for i, part in enumerate(parts):
            past[i] += len(part)
            if part and past[i] == len(rows[i]):
                logits[i] = found[i].copy()
    return np.stack(logits)


def step_inputs(parts, past):
    seq = max(len(part) for part in parts)
    ids = np.zeros((len(parts), seq), "<i4")
    for row, part in zip(ids, parts):
        row[: len(part)] = part
    return {"input_ids": ids, "lengths": np.array([len(part) for part in parts], "<i4"), "past_lengths": np.array(past, "<i4")}


def step(session, parts, past):
    """Logits [rows, vocab] after these new tokens of each row; those of a row without any mean nothing."""
    inputs = step_inputs(parts, past)
    return session.run("decode" if inputs["input_ids"].shape[1] == 1 else "prefill", inputs)["logits"]
