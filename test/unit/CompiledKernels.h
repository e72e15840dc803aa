// For tests of CPU code generation: a plan written as text, compiled and loaded; kernels called as the runtime does.
#pragma once

#include "codegen/cpu/CpuCodegen.h"
#include "ir/Plan.h"
#include "runtime/format/KernelAbi.h"

#include "mlir/IR/MLIRContext.h"
#include "mlir/IR/Verifier.h"
#include "mlir/Parser/Parser.h"

#include <dlfcn.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

namespace transom::test {

/// A tensor in memory aligned as the ABI says; poisoned until it is filled.
template <typename T> struct Buffer {
  explicit Buffer(size_t count) : count(count), bytes((count * sizeof(T) + 63) / 64 * 64 + 64) {
    data = static_cast<T *>(std::aligned_alloc(64, bytes));
    std::memset(data, 0xff, bytes); // NaN, -1
  }
  Buffer(const std::vector<T> &values) : Buffer(values.size()) { std::copy(values.begin(), values.end(), data); }
  Buffer(const Buffer &) = delete;
  Buffer(Buffer &&other) : count(other.count), bytes(other.bytes), data(std::exchange(other.data, nullptr)) {}
  ~Buffer() { std::free(data); }
  T &operator[](size_t i) { return data[i]; }
  size_t size() const { return count; }
  operator void *() { return data; }
  /// Whether the 64 bytes behind the tensor are as they were.
  bool intact() const {
    auto *byte = reinterpret_cast<const unsigned char *>(data) + count * sizeof(T);
    return std::all_of(byte, reinterpret_cast<const unsigned char *>(data) + bytes, [](unsigned char b) { return b == 0xff; });
  }
  size_t count, bytes;
  T *data;
};

class CompiledKernels {
public:
  /// Fails the test where the text or its compilation does.
  CompiledKernels(const std::string &text, const std::string &level) {
    mlir::DialectRegistry registry;
    registry.insert<TransomDialect, plan::PlanDialect, mlir::arith::ArithDialect, mlir::math::MathDialect>();
    mlir::MLIRContext context(registry, mlir::MLIRContext::Threading::DISABLED);
    auto module = mlir::parseSourceString<mlir::ModuleOp>(text, &context);
    if (!module)
      return;
    auto compiled = generateCpu(*module, level);
    if (failed(compiled))
      return;
    code = std::move(*compiled);
    int file = memfd_create("kernels", 0);
    if (write(file, code.sharedObject.data(), code.sharedObject.size()) == ssize_t(code.sharedObject.size()))
      handle_ = dlopen(("/proc/self/fd/" + std::to_string(file)).c_str(), RTLD_NOW | RTLD_LOCAL);
    close(file);
  }
  ~CompiledKernels() {
    if (handle_)
      dlclose(handle_);
  }
  explicit operator bool() const { return handle_ != nullptr; }

  /// Runs `items` work items in two calls, split at a third.
  void run(const char *name, std::vector<void *> buffers, std::vector<int64_t> sizes, int64_t items) const {
    auto kernel = reinterpret_cast<TransomCpuKernel>(dlsym(handle_, name));
    ASSERT_NE(kernel, nullptr) << name;
    kernel(buffers.data(), sizes.data(), 0, items / 3, nullptr);
    kernel(buffers.data(), sizes.data(), items / 3, items, nullptr);
  }
  CpuCode code;

private:
  void *handle_ = nullptr;
};

inline bool machineHas(const std::string &level) {
  return level == "x86-64-v3" ? __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")
                              : __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
                                    __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512cd");
}

/// Tests at every level that this machine runs; fresh random numbers each time, the seed is reported.
class CpuLevelTest : public testing::TestWithParam<const char *> {
protected:
  void SetUp() override {
    if (!machineHas(GetParam()))
      GTEST_SKIP() << "this CPU lacks " << GetParam();
    RecordProperty("seed", int(seed));
  }
  std::vector<float> randoms(size_t count, float scale = 1.0f) {
    std::uniform_real_distribution<float> uniform(-scale, scale);
    std::vector<float> values(count);
    for (float &value : values)
      value = uniform(random);
    return values;
  }
  unsigned seed = std::random_device()();
  std::mt19937 random{seed};
};

/// Every element within tolerance * max(1, |expected|), infinities and NaN alike, and nothing written behind the tensor.
inline void expectNear(const Buffer<float> &found, const std::vector<double> &expected, double tolerance) {
  ASSERT_EQ(found.count, expected.size());
  EXPECT_TRUE(found.intact());
  for (size_t i = 0; i < expected.size(); ++i) {
    float f = found.data[i], e = float(expected[i]);
    if (std::isfinite(e))
      ASSERT_NEAR(f, expected[i], tolerance * std::max(1.0, std::abs(expected[i]))) << "at " << i;
    else
      ASSERT_TRUE(std::isnan(e) ? std::isnan(f) : f == e) << "at " << i << ": " << f << ", expected " << e;
  }
}

} // namespace transom::test
