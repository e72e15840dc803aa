// Speed of the generated matrix-vector kernels, one thread, weights streamed from memory: GB/s of weights read and
// billions of weights per second, against the read speed of this machine measured beside it. Times are the thread's own
// CPU time, so that other load on the machine disturbs them little.
//
//   bench_gemv [level] [rows of x]      level: x86-64-v3, x86-64-v4 or native
#include "codegen/cpu/CpuCodegen.h"
#include "ir/Plan.h"
#include "runtime/format/DType.h"
#include "runtime/format/KernelAbi.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/Parser/Parser.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <dlfcn.h>
#include <immintrin.h>
#include <sys/mman.h>
#include <unistd.h>

namespace {

using transom::DType;

double threadSeconds() {
  timespec time;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return double(time.tv_sec) + 1e-9 * double(time.tv_nsec);
}

/// Least seconds of a few runs.
template <typename Run> double best(int repeats, Run run) {
  double least = 1e30;
  for (int i = 0; i < repeats; ++i) {
    double start = threadSeconds();
    run();
    least = std::min(least, threadSeconds() - start);
  }
  return least;
}

struct Shape { DType type; long rows, width; };
/// The products of a decode step of SmolLM2-135M in Q4_1, then one of each other format.
constexpr Shape shapes[] = {{DType::q4_1, 1536, 576}, {DType::q4_1, 576, 1536}, {DType::q4_1, 576, 576},
                            {DType::q8_0, 49152, 576}, {DType::q4_0, 2048, 2048}, {DType::q5_0, 2048, 2048},
                            {DType::q5_1, 2048, 2048}, {DType::q4_k, 2048, 2048}, {DType::q5_k, 2048, 2048},
                            {DType::q6_k, 2048, 2048}, {DType::f16, 2048, 2048},  {DType::bf16, 2048, 2048},
                            {DType::f32, 2048, 2048}};

std::string planOf(long m) {
  std::string text;
  for (const Shape &shape : shapes) {
    std::string name(transom::name(shape.type)), n = std::to_string(shape.rows), k = std::to_string(shape.width);
    std::string element = transom::isQuantized(shape.type) ? "!transom.block<" + name + ">" : name;
    std::string x = "tensor<" + std::to_string(m) + "x" + k + "xf32>", w = "tensor<" + n + "x" + k + "x" + element + ">";
    std::string y = "tensor<" + std::to_string(m) + "x" + n + "xf32>";
    text += "plan.kernel @" + name + "_" + n + "x" + k + "(%x: " + x + ", %w: " + w + ") -> " + y + " {\n  %0 = transom.matmul %x, %w " +
            "transpose_rhs : (" + x + ", " + w + ") -> " + y + "\n  plan.yield %0 : " + y + "\n}\n";
  }
  return text;
}

void *loadCode(const transom::CpuCode &code) {
  int file = memfd_create("kernels", 0);
  if (write(file, code.sharedObject.data(), code.sharedObject.size()) != ssize_t(code.sharedObject.size()))
    return nullptr;
  return dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW);
}

constexpr size_t poolBytes = 256 << 20; // far beyond the caches

double readSpeed(const unsigned char *pool) {
  double seconds = best(3, [&] {
    __m256i sum = _mm256_setzero_si256();
    for (size_t at = 0; at < poolBytes; at += 64) {
      sum = _mm256_xor_si256(sum, _mm256_load_si256(reinterpret_cast<const __m256i *>(pool + at)));
      sum = _mm256_xor_si256(sum, _mm256_load_si256(reinterpret_cast<const __m256i *>(pool + at + 32)));
      _mm_prefetch(reinterpret_cast<const char *>(pool + at + 4096), _MM_HINT_T0);
    }
    asm volatile("" ::"x"(sum));
  });
  return double(poolBytes) / seconds * 1e-9;
}

} // namespace

int main(int argc, char **argv) {
  std::string level = argc > 1 ? argv[1] : "native";
  long m = argc > 2 ? std::atol(argv[2]) : 1;
  mlir::DialectRegistry registry;
  registry.insert<transom::TransomDialect, transom::plan::PlanDialect>();
  mlir::MLIRContext context(registry);
  auto module = mlir::parseSourceString<mlir::ModuleOp>(planOf(m), &context);
  auto code = module ? transom::generateCpu(*module, level) : mlir::FailureOr<transom::CpuCode>();
  void *library = failed(code) ? nullptr : loadCode(*code);
  auto *pool = static_cast<unsigned char *>(std::aligned_alloc(4096, poolBytes + 4096));
  if (!library || !pool)
    return 1;
  // Small numbers in every format: bytes of halves stay below infinity.
  for (size_t i = 0; i < poolBytes; ++i)
    pool[i] = static_cast<unsigned char>((i * 2654435761u >> 13) & 0x3b);
  std::printf("%s, %ld row(s) of x, one thread; memory reads %.1f GB/s\n", code->target.c_str(), m, readSpeed(pool));
  std::printf("%-18s %8s %14s\n", "kernel", "GB/s", "Gweights/s");
  for (auto [shape, name] : llvm::zip(shapes, code->kernels)) {
    auto kernel = reinterpret_cast<TransomCpuKernel>(dlsym(library, name.c_str()));
    auto layout = transom::layoutOf(shape.type);
    size_t bytes = size_t(shape.rows * shape.width) / layout.elements * layout.bytes, copies = poolBytes / bytes;
    std::vector<float> x(size_t(m * shape.width), 0.5f), y(size_t(m * shape.rows));
    double seconds = best(3, [&] {
      for (size_t copy = 0; copy < copies; ++copy) {
        void *buffers[] = {x.data(), pool + copy * bytes, y.data()};
        kernel(buffers, nullptr, 0, (shape.rows + 15) / 16, nullptr);
      }
    });
    std::printf("%-18s %8.1f %14.2f\n", name.c_str(), double(bytes * copies) / seconds * 1e-9,
                double(shape.rows * shape.width) * double(copies) / seconds * 1e-9);
  }
  return 0;
}
