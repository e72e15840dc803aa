#!/usr/bin/env python3
"""Every kernel of the CUDA library compiles by NVRTC for each named architecture, without a header of CUDA or the host;
the hot ones spill one register at most, and none waits for each wgmma before it goes on. Needs no GPU. Ends with "compile_kernels: N passed,
M failed"; where NVRTC is missing it says so and exits 77."""

import argparse
import ctypes
import ctypes.util
import glob
import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ARCHITECTURES = ("sm_75", "sm_80", "sm_86", "sm_89", "sm_90a")
MOST_SPILLED = 8  # bytes stored and loaded in a hot kernel: one register
# The warp that chooses tiles has 32 registers beside three consumers.
SPILLED = {"attention Hopper D64": 12,
           # Half of a thread's registers are weights.
           "chain from a norm up": 24, "chain from a norm last": 56}

# Epilogues of products of 8 and of 16 bits, as the emitter writes them.
EPILOGUES = """
namespace transom::cuda {
struct Scaled {
  const E4m3 *x;
  const float *columns;
  BFloat *y;
  int64 rows;
  struct Band {};
  DEVICE Band band(int) const { return {}; }
  struct OfColumns { Stored<8, float> scales; };
  DEVICE OfColumns readColumns(const Band &, int n) const { return {loadStored<8>(columns + n)}; }
  struct OfRow { float scale; };
  DEVICE OfRow readRow(int m) const { return {scalesOf(x, rows, 1024)[m]}; }
  struct OfPiece {};
  DEVICE OfPiece readPiece(const Band &, int, int) const { return {}; }
  DEVICE void store(const Band &, const OfColumns &of, const OfRow &row, const OfPiece &, int m, int n, const Lanes<8> &sums, const Lanes<8> &) const {
    Lanes<8> own = scaledLanes(sums, row.scale), c = lanesOf<float>(of.scales);
    for (int i = 0; i < 8; ++i)
      own.v[i] = geluErfFor<BFloat>(own.v[i] * c.v[i]);
    storeLanes(y + (int64)m * 4096 + n, own);
  }
};
struct Biased {
  const Half *bias;
  Half *y;
  struct Band {};
  DEVICE Band band(int) const { return {}; }
  struct OfColumns { Stored<8, Half> bias; };
  DEVICE OfColumns readColumns(const Band &, int n) const { return {loadStored<8>(bias + n)}; }
  struct OfRow {};
  DEVICE OfRow readRow(int) const { return {}; }
  struct OfPiece {};
  DEVICE OfPiece readPiece(const Band &, int, int) const { return {}; }
  DEVICE void store(const Band &, const OfColumns &of, const OfRow &, const OfPiece &, int m, int n, const Lanes<8> &sums, const Lanes<8> &) const {
    Lanes<8> own, b = lanesOf<Half>(of.bias);
    for (int i = 0; i < 8; ++i)
      own.v[i] = geluErfFor<Half>(sums.v[i] + b.v[i]);
    storeLanes(y + (int64)m * 4096 + n, own);
  }
};
}
"""
LLAMA = "RmsPrologue<BFloat, BFloat, 2048>"
# name -> (entry, hot: MOST_SPILLED holds)
KERNELS = {
    "qkv bf16": ("gemvEntry<GemvShape<PlainFormat<BFloat, 2048>, 3072, 1, 2, 16, 4, HeadPairs<64>>, " + LLAMA +
                 ", RotaryAppendEpilogue<BFloat, BFloat, BFloat, 32, 8, 64, 64, 8>>", True),
    "out bf16": ("gemvEntry<GemvShape<PlainFormat<BFloat, 2048>, 2048, 1, 1, 16, 4, NeighbourPairs>, NoPrologue<BFloat, 2048>, "
                 "StoreEpilogue<BFloat, BFloat, 2048, Identity>>", True),
    "up bf16": ("gemvEntry<GemvShape<PlainFormat<BFloat, 2048>, 16384, 1, 2, 16, 2, HalfPairs<8192>>, " + LLAMA +
                ", GateEpilogue<BFloat, BFloat, 8192, Silu>>", True),
    "down bf16": ("gemvEntry<GemvShape<PlainFormat<BFloat, 8192>, 2048, 1, 1, 8, 12, NeighbourPairs>, NoPrologue<BFloat, 8192>, "
                  "StoreEpilogue<BFloat, BFloat, 2048, Identity>>", True),
    "head bf16": ("gemvEntry<GemvShape<PlainFormat<BFloat, 2048>, 128256, 1, 2, 8, 8, NeighbourPairs>, " + LLAMA +
                  ", LogitsEpilogue<BFloat, 128256>>", True),
    "batch 16 bf16": ("gemvEntry<GemvShape<PlainFormat<BFloat, 2048>, 2048, 16, 1, 8, 4, NeighbourPairs>, NoPrologue<BFloat, 2048>, "
                      "StoreEpilogue<BFloat, BFloat, 2048, Identity>>", False),
    "layer norm fp16": ("gemvEntry<GemvShape<PlainFormat<Half, 768>, 3072, 1, 2, 8, 3, NeighbourPairs>, "
                        "NormPrologue<Half, Half, 768, true, true>, StoreEpilogue<Half, Half, 3072, GeluTanh>>", True),
    "fp32": ("gemvFmaEntry<GemvFmaShape<float, 768, 3072, 4, NeighbourPairs>, NoPrologue<float, 3072>, "
             "StoreEpilogue<float, float, 768, GeluErf>>", False),
    **{name: (f"gemvEntry<GemvShape<{form}, 4096, 1, 2, 8, 4, NeighbourPairs>, NoPrologue<BFloat, 4096>, "
              "StoreEpilogue<BFloat, BFloat, 4096, Identity>>", True)
       for name, form in (("q8_0", "Q80Format<4096>"), ("q4_0", "Q4Format<4096, false>"), ("q4_1", "Q4Format<4096, true>"),
                          ("q5_0", "Q5Format<4096, false>"), ("q5_1", "Q5Format<4096, true>"),
                          ("q4_K", "Q4KFormat<4096>"), ("q5_K", "Q5KFormat<4096>"), ("q6_K", "Q6KFormat<4096>"))},
    **{f"repack {name}": (f"repackEntry<{form}, 4096>", False)
       for name, form in (("q8_0", "RepackQ80"), ("q4_0", "RepackQ4<false>"), ("q4_1", "RepackQ4<true>"), ("q5_0", "RepackQ5<false>"),
                          ("q5_1", "RepackQ5<true>"), ("q4_K", "RepackQ4K"), ("q5_K", "RepackQ5K"), ("q6_K", "RepackQ6K"))},
    **{f"unpack planes {name}": (f"unpackPlanesEntry<{form}, {t}>", False)
       for name, form, t in (("q8_0", "Q80Format<4096>", "BFloat"), ("q4_0", "Q4Format<4096, false>", "Half"), ("q4_1", "Q4Format<96, true>", "float"),
                             ("q5_0", "Q5Format<4096, false>", "BFloat"), ("q5_1", "Q5Format<96, true>", "BFloat"), ("q4_K", "Q4KFormat<4096>", "BFloat"),
                             ("q5_K", "Q5KFormat<4096>", "Half"), ("q6_K", "Q6KFormat<4096>", "BFloat"))},
    **{f"embedding planes {name}": (f"embeddingPlanesEntry<{form}, BFloat>", False)
       for name, form in (("q8_0", "Q80Format<4096>"), ("q4_K", "Q4KFormat<4096>"), ("q6_K", "Q6KFormat<4096>"))},
    "head bf16 stream": ("gemvStreamEntry<GemvShape<PlainFormat<BFloat, 2048>, 128256, 1, 2, 8, 8, NeighbourPairs>, " + LLAMA +
                         ", LogitsEpilogue<BFloat, 128256>>", True),
    "up bf16 stream": ("gemvStreamEntry<GemvShape<PlainFormat<BFloat, 2048>, 16384, 1, 2, 16, 4, HalfPairs<8192>>, " + LLAMA +
                       ", GateEpilogue<BFloat, BFloat, 8192, Silu>>", True),
    "up q4_K stream": ("gemvStreamEntry<GemvShape<Q4KFormat<4096>, 16384, 1, 2, 4, 4, HalfPairs<8192>>, NoPrologue<BFloat, 4096>, "
                       "GateEpilogue<BFloat, BFloat, 8192, Silu>>", True),
    "layer norm fp16 by warps": ("gemvEntry<GemvShape<PlainFormat<Half, 768>, 3072, 1, 2, 8, 3, NeighbourPairs>, "
                                 "WarpNormPrologue<Half, Half, 768, 1, true, true>, StoreEpilogue<Half, Half, 3072, GeluTanh>>", True),
    "batch 16 q4_K": ("gemvEntry<GemvShape<Q4KFormat<4096>, 4096, 16, 1, 8, 2, NeighbourPairs>, NoPrologue<BFloat, 4096>, "
                      "StoreEpilogue<BFloat, BFloat, 4096, Identity>>", False),
    "qkv partial rotary": ("gemvEntry<GemvShape<PlainFormat<BFloat, 2048>, 6144, 1, 2, 8, 4, HeadPairs<96, 32>>, " + LLAMA +
                           ", RotaryAppendEpilogue<BFloat, BFloat, BFloat, 32, 16, 96, 32, 8>>", True),
    "fp32 deferred norm": ("gemvFmaEntry<GemvFmaShape<float, 768, 2048, 4, NeighbourPairs>, RmsPrologue<float, float, 2048>, "
                           "StoreEpilogue<float, float, 768, Identity>>", False),
    **{f"skinny {name}": (f"gemmSkinnyEntry<SkinnyShape<{shape}>, {epilogue}>", True)
       for name, shape, epilogue in (("16 rows", "Half, 1024, 4096, 16, 1, 1, 8, NeighbourPairs", "StoreEpilogue<Half, Half, 1024, Identity>"),
                                     ("32 rows", "BFloat, 4096, 1024, 32, 1, 1, 4, NeighbourPairs", "StoreEpilogue<BFloat, BFloat, 4096, GeluErf>"),
                                     ("32 rows, two tiles", "Half, 16384, 1024, 32, 2, 1, 3, NeighbourPairs", "StoreEpilogue<Half, Half, 16384, GeluErf>"),
                                     ("64 rows", "Half, 4096, 1024, 64, 1, 1, 1, NeighbourPairs", "StoreEpilogue<Half, Half, 4096, GeluErf>"),
                                     ("32 rows in parts", "Half, 1024, 4096, 32, 1, 4, 4, NeighbourPairs", "PartEpilogue<64, 1024>"),
                                     ("64 rows in parts", "Half, 1024, 4096, 64, 1, 4, 1, NeighbourPairs", "PartEpilogue<64, 1024>"),
                                     ("gate", "BFloat, 16384, 2048, 16, 2, 1, 8, HalfPairs<8192>", "GateEpilogue<BFloat, BFloat, 8192, Silu>"))},
    **{f"chain {name}": (f"skinnyChainEntry<SkinnyChainShape<{shape}>, {epilogue}>", True)
       for name, shape, epilogue in (("attention", "Half, 1024, 16, 1024, 4, AttentionMiddle<Half, 64, 0, 1024, 2048, false>", "StoreEpilogue<Half, float, 3072, Identity>"),
                                     ("heads of 32", "BFloat, 384, 12, 384, 4, AttentionMiddle<BFloat, 32, 0, 384, 768, false>", "StoreEpilogue<BFloat, float, 1152, Identity>"),
                                     ("heads of 128", "BFloat, 1024, 8, 1024, 2, AttentionMiddle<BFloat, 128, 0, 1024, 2048, true>", "StoreEpilogue<BFloat, float, 3072, Identity>"),
                                     ("feed-forward", "Half, 1024, 16, 1024, 4, NoMiddle<Half, 32>", "StoreEpilogue<Half, float, 4096, GeluErf>"))},
    **{f"chain to a norm {name}": (f"chainToNormEntry<NormChainShape<{shape}>, {product}<NormChainShape<{shape}>, {more}>, NormEnd<NormChainShape<{shape}>, {epilogue}, {norm}>>", True)
       for name, shape, product, more, epilogue, norm in (
           ("attention", "Half, 1024, 1024, 32, 4", "AttentionProduct", "64, false", "StoreEpilogue<Half, Half, 1024, Identity>", "ChainNorm<Half, Half, 1024, 32, true>"),
           ("heads of 32", "BFloat, 384, 384, 24, 4", "AttentionProduct", "32, true", "StoreEpilogue<BFloat, BFloat, 384, Identity>", "ChainNorm<BFloat, float, 384, 24, false>"),
           ("heads of 128", "BFloat, 1024, 1024, 32, 4", "AttentionProduct", "128, false", "StoreEpilogue<BFloat, BFloat, 1024, Identity>", "ChainNorm<BFloat, float, 1024, 32, true>"),
           ("rows", "Half, 4096, 1024, 32, 4", "RowsProduct", "false", "StoreEpilogue<Half, Half, 1024, Identity>", "ChainNorm<Half, Half, 1024, 32, true>"))},
    **{f"chain from a norm {name}": (f"chainFromNormEntry<NormChainShape<{shape}>, RowsProduct<NormChainShape<{shape}>, {plain}>, {norm}, "
                                     f"ColumnsEnd<NormChainShape<{shape}>, {epilogue}, {width}, ChainFormat::{order}>>", True)
       for name, shape, plain, norm, epilogue, width, order in (
           ("up", "Half, 1024, 4096, 128, 1", "false", "NormBefore<NormChainShape<Half, 1024, 4096, 128, 1>, ChainNorm<Half, Half, 1024, 32, true>>",
            "StoreEpilogue<Half, Half, 4096, GeluErfFor<Half>>", 4096, "pieces"),
           ("queries, keys, values", "BFloat, 768, 2304, 96, 1", "false", "NormBefore<NormChainShape<BFloat, 768, 2304, 96, 1>, ChainNorm<BFloat, float, 768, 24, true>>",
            "StoreEpilogue<BFloat, BFloat, 2304, Identity>", 768, "attention"),
           ("first", "Half, 1024, 3072, 128, 1", "true", "NoNorm<NormChainShape<Half, 1024, 3072, 128, 1>>", "StoreEpilogue<Half, Half, 3072, Identity>", 1024, "attention"),
           ("last", "Half, 1024, 4096, 128, 1", "false", "NormBefore<NormChainShape<Half, 1024, 4096, 128, 1>, ChainNorm<Half, Half, 1024, 32, true>>",
            "StoreEpilogue<Half, Half, 4096, GeluErfFor<Half>>", 4096, "rows"))},
    "product Hopper fp16": ("gemmHopperEntry<HopperGemmShape<Half, 4096, 1024, NoPartner, 2, 5, 192>, Biased>", True),
    "product Hopper fp16, no narrow tile": ("gemmHopperEntry<HopperGemmShape<Half, 4096 - 64, 1024, NoPartner, 2, 5, 192>, Biased>", True),
    "product Hopper e4m3": ("gemmHopperEntry<HopperGemmShape<E4m3, 4096, 4096, NoPartner, 2, 6>, Scaled>", True),
    "product Hopper e4m3, rows kept": ("gemmHopperEntry<HopperGemmShape<E4m3, 4096, 1024, NoPartner, 2, 6, 128, true>, Scaled>", True),
    "product e4m3": ("gemmE4m3Entry<E4m3GemmShape<4096, 1024>, Scaled>", True),
    "simple": ("gemvSimpleEntry<GemvSimpleShape<float, 37, 21, NeighbourPairs>, SimpleNormPrologue<float, float, 21, true>, "
               "StoreEpilogue<float, float, 37, GeluErf>>", False),
    "simple rotary": ("gemvSimpleEntry<GemvSimpleShape<BFloat, 60, 20, HeadPairs<10, 6>>, SimplePrologue<BFloat, 20>, "
                      "RotaryAppendEpilogue<BFloat, BFloat, BFloat, 2, 2, 10, 6, 8>>", False),
    "decode attention D64": ("attendDecodeEntry<DecodeAttentionShape<BFloat, 32, 8, 64, 8, 16, 256>>", False),
    "decode attention D128": ("attendDecodeEntry<DecodeAttentionShape<Half, 32, 2, 128, 4, 32, 256>>", False),
    "decode attention D80": ("attendDecodeEntry<DecodeAttentionShape<Half, 24, 1, 80, 4, 16, 256>>", False),
    "decode attention fma D64": ("attendDecodeFmaEntry<DecodeAttentionFmaShape<float, 32, 8, 64, 8, 16, 256>>", False),
    "decode attention fma D128": ("attendDecodeFmaEntry<DecodeAttentionFmaShape<float, 32, 2, 128, 8, 32, 256>>", False),
    "decode attention fma D10": ("attendDecodeFmaEntry<DecodeAttentionFmaShape<BFloat, 6, 1, 10, 4, 8, 64>>", False),
    "attention fma D64": ("attendFmaEntry<FmaAttentionShape<float, 64, 64, 64, true>>", False),
    "attention fma D128": ("attendFmaEntry<FmaAttentionShape<float, 128, 64, 64, false>>", False),
    "attention fma D256": ("attendFmaEntry<FmaAttentionShape<float, 256, 32, 32, true>>", False),
    "attention fma D5": ("attendFmaEntry<FmaAttentionShape<Half, 5, 32, 32, true>>", False),
    "attention mma D64": ("attendMmaEntry<MmaAttentionShape<BFloat, 64, 4, 64, true>>", False),
    "attention mma D128": ("attendMmaEntry<MmaAttentionShape<Half, 128, 4, 64, false>>", False),
    "attention Hopper D64": ("attendHopperEntry<HopperAttentionShape<BFloat, 64, 3, 128, true>>", True),
    "attention Hopper D64, packed encoders": ("attendHopperEntry<HopperAttentionShape<Half, 64, 3, 128, false, false>>", True),
    "attention Hopper D32": ("attendHopperEntry<HopperAttentionShape<BFloat, 32, 3, 128, true>>", True),
    "attention Hopper D32, packed encoders": ("attendHopperEntry<HopperAttentionShape<Half, 32, 3, 128, false, false>>", True),
    "attention Hopper D32 to e4m3": ("attendHopperEntry<RoundedResult<HopperAttentionShape<Half, 32, 3, 128, false, false>>>", True),
    "attention Hopper D128": ("attendHopperEntry<HopperAttentionShape<BFloat, 128, 2, 176, false>>", True),
    "attention Hopper D128 causal": ("attendHopperEntry<HopperAttentionShape<Half, 128, 2, 128, true>>", True),
    "attention Hopper D64 to e4m3": ("attendHopperEntry<RoundedResult<HopperAttentionShape<Half, 64, 3, 128, false, false>>>", True),
    "attention mma D64 to e4m3": ("attendMmaEntry<RoundedResult<MmaAttentionShape<Half, 64, 4, 64, false>>>", True),
    "sample": ("sampleEntry<8>", False),
    "advance": ("advanceEntry<32>", False),
    "embedding": ("embeddingEntry<BFloat, BFloat, 2048, 128>", False),
    "layer norm": ("normEntry<Half, Half, Half, 1024, 4, true>", False),
    "softmax": ("softmaxEntry<float, BFloat, 8>", False),
    "reduce": ("reduceEntry<BFloat, MaxReduction, 4>", False),
    "map": ("mapEntry<Half>", False),
    "pack": ("packEntry<128>", False),
    "unpack": ("unpackEntry<128>", False),
    "valid tokens": ("validTokensEntry<1024>", False),
    "tokens of lengths": ("tokensOfLengthsEntry<1024>", False),
    "cumulative sum": ("cumulativeSumEntry<int64>", False),
}


def load_nvrtc():
    names = [os.environ.get("TRANSOM_NVRTC"), *sorted(glob.glob("/usr/local/cuda*/lib64/libnvrtc.so*")), "libnvrtc.so.13", "libnvrtc.so.12",
             *sorted(glob.glob(str(Path(sys.prefix) / "lib/python*/site-packages/nvidia/*/lib/libnvrtc.so*"))),
             ctypes.util.find_library("nvrtc")]
    for name in filter(None, names):
        try:
            return ctypes.CDLL(name)
        except OSError:
            continue
    return None


def sources():
    """Entries.cuh and the headers that it includes, all by their file names."""
    headers = {path.name: path.read_text() for path in sorted((ROOT / "codegen/cuda/kernels").glob("*.cuh"))}
    return headers, (ROOT / "bench/cuda/Entries.cuh").read_text().replace("../../codegen/cuda/kernels/", "") + EPILOGUES + "\nusing namespace transom::cuda;\n"


def compile_one(nvrtc, headers, text, architecture, entry=None):
    """(whether it compiled, the log). entry: of the templates of Entries.cuh; without it the text has its own."""
    program = ctypes.c_void_p()
    names = [name.encode() for name in headers]
    array = ctypes.c_char_p * len(names)
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), text.encode(), b"Entries.cuh", len(names),
                             array(*[headers[name.decode()].encode() for name in names]), array(*names))
    if entry:
        nvrtc.nvrtcAddNameExpression(program, f"transom::cuda::{entry}".encode())
    options = [b"-std=c++20", b"-arch=" + architecture.encode(), b"--ptxas-options=-v", b"-default-device"]
    result = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    cubin = ctypes.c_size_t()
    if result == 0:
        nvrtc.nvrtcGetCUBINSize(program, ctypes.byref(cubin))
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return result == 0 and cubin.value > 0, log.value.decode(errors="replace")


def waits_for_products(log):
    """Whether ptxas found no way to let wgmma run beside other instructions, for want of registers, say: such a kernel has half its speed."""
    return "wgmma.mma_async instructions are serialized" in log


def sees_products_that_wait(nvrtc, headers, text):
    """Whether this ptxas still says so in these words: of a kernel whose consumers have too few registers."""
    few = {**headers, "GemmHopper.cuh": headers["GemmHopper.cuh"].replace("? 240 : 232", "? 200 : 200")}
    return few != headers and waits_for_products(compile_one(nvrtc, few, text, "sm_90a", KERNELS["product Hopper fp16"][0])[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--arch", action="append", choices=ARCHITECTURES, help="all without it")
    parser.add_argument("--only", default="", help="kernels whose name contains this")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    nvrtc = load_nvrtc()
    if nvrtc is None:
        print("compile_kernels: skipped, libnvrtc was not found (TRANSOM_NVRTC names one)")
        return 77
    headers, text = sources()
    jobs = [(name, arch) for name in KERNELS if arguments.only in name for arch in arguments.arch or ARCHITECTURES]

    def run(job):
        name, arch = job
        entry, hot = KERNELS[name]
        compiled, log = compile_one(nvrtc, headers, text, arch, entry)
        spills = sum(int(n) for n in re.findall(r"(\d+) bytes spill", log))
        registers = re.search(r"Used (\d+) registers", log)
        broken = not compiled or waits_for_products(log)
        bad = broken or (hot and spills > SPILLED.get(name, MOST_SPILLED) and arch == "sm_90a")
        what = log.strip() if broken else f"{registers.group(1) if registers else '?'} registers, {spills} bytes spilled"
        print(f"{'FAIL' if bad else 'ok  '} {name} {arch}: {what}", flush=True)
        return bad

    with ThreadPoolExecutor(arguments.jobs) as pool:
        failed = sum(pool.map(run, jobs))
    seen = sees_products_that_wait(nvrtc, headers, text)
    print(f"{'ok  ' if seen else 'FAIL'} a kernel that waits for each wgmma is seen by ptxas's report")
    print(f"compile_kernels: {len(jobs) - failed + seen} passed, {failed + (not seen)} failed")
    return 1 if failed or not seen else 0


if __name__ == "__main__":
    sys.exit(main())
