// Products by the fake cuBLASLt: results, operands, an error at each call.
#include "runtime/cuda/CublasLt.h"
#include "runtime/cuda/DeviceMemory.h"
#include "runtime/cuda/Stream.h"
#include "test/unit/FakeDevice.h"

#include <cmath>
#include <cstring>
#include <random>

namespace transom {
namespace {

using namespace cuda;
using fake::at;
using fake::FakeCuda;
using fake::openDevice;

float number(const std::vector<uint16_t> &v, DType type, size_t i) {
  uint32_t bits = static_cast<uint32_t>(v[i]) << 16;
  float f;
  std::memcpy(&f, &bits, sizeof f);
  if (type == DType::bf16)
    return f;
  double mantissa = v[i] & 1023, exponent = v[i] >> 10 & 31; // normal numbers and zero
  f = static_cast<float>(exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(mantissa + 1024, static_cast<int>(exponent) - 25));
  return v[i] >> 15 ? -f : f;
}

struct Matrix {
  DType type;
  std::vector<uint16_t> bits; ///< of 16-bit types
  std::vector<float> values;
  DeviceMemory memory;
  Matrix(const std::shared_ptr<const CudaDevice> &device, DType type, size_t count, std::mt19937 &random) : type(type) {
    for (size_t i = 0; i < count; ++i) {
      float v = std::uniform_real_distribution<float>(-2, 2)(random);
      uint32_t word;
      std::memcpy(&word, &v, 4);
      // Half: sign, exponent less 112, ten bits; numbers here are normal or become zero.
      uint32_t exponent = word >> 23 & 255;
      uint32_t half = (word >> 16 & 0x8000) | (exponent < 113 ? 0 : (exponent - 112) << 10 | (word >> 13 & 1023));
      bits.push_back(static_cast<uint16_t>(type == DType::bf16 ? word >> 16 : half));
      values.push_back(type == DType::f32 ? v : number(bits, type, i));
    }
    memory = std::move(*DeviceMemory::allocate(device, count * 4, "a matrix", Fill::nothing));
    if (type == DType::f32)
      std::memcpy(at(memory.pointer()), values.data(), count * 4);
    else
      std::memcpy(at(memory.pointer()), bits.data(), count * 2);
  }
  double at_(size_t i) const {
    if (type == DType::f32)
      return static_cast<const float *>(at(memory.pointer()))[i];
    std::vector<uint16_t> one = {static_cast<const uint16_t *>(at(memory.pointer()))[i]};
    return number(one, type, 0);
  }
};

// Products of all types, with every epilogue, against sums in fp64; the plan runs eagerly and from a graph alike.
TEST(FakeProducts, AgainstFp64) {
  FakeCuda gpu;
  {
    std::shared_ptr<const CudaDevice> device = openDevice();
    auto handle = CublasLtHandle::create(device);
    ASSERT_EQ(handle.status().message(), "");
    CudaStream stream = std::move(*CudaStream::create(device));
    std::mt19937 random(5);
    using artifact::GemmActivation;
    struct Case {
      DType type, out;
      GemmActivation activation;
      bool bias, residual;
      double bound;
    } cases[] = {{DType::f32, DType::f32, GemmActivation::none, false, false, 1e-5},
                 {DType::f32, DType::f32, GemmActivation::geluTanh, true, false, 1e-5},
                 {DType::f16, DType::f16, GemmActivation::relu, true, false, 2e-3},
                 {DType::bf16, DType::bf16, GemmActivation::none, true, true, 1e-2},
                 {DType::bf16, DType::f32, GemmActivation::geluTanh, false, false, 1e-5},
                 {DType::f16, DType::f16, GemmActivation::none, false, true, 2e-3}};
    for (const Case &c : cases) {
      constexpr size_t M = 5, N = 19, K = 43;
      Matrix lhs(device, c.type, M * K, random), rhs(device, c.type, N * K, random), out(device, c.out, M * N, random),
          bias(device, c.out, N, random), residual(device, c.out, M * N, random);
      GemmSpec spec{.type = c.type, .out = c.out, .m = M, .n = N, .k = K, .compute = artifact::GemmCompute::f32, .activation = c.activation,
                    .bias = c.bias, .residual = c.residual, .workspace = 0};
      auto plan = GemmPlan::create(*handle, spec);
      ASSERT_EQ(plan.status().message(), "");
      EXPECT_EQ(plan->candidates(8)->size(), 2u); // the third needs workspace
      GemmOperands operands{.lhs = lhs.memory.pointer(), .rhs = rhs.memory.pointer(), .out = out.memory.pointer(),
                            .bias = c.bias ? bias.memory.pointer() : 0, .residual = c.residual ? residual.memory.pointer() : 0, .workspace = 0};
      EXPECT_EQ(plan->run(stream.get(), operands).message(), "");
      EXPECT_TRUE(stream.synchronize().ok());
      double error = 0, size = 0;
      for (size_t m = 0; m < M; ++m)
        for (size_t n = 0; n < N; ++n) {
          double sum = c.bias ? bias.values[n] : 0.0;
          for (size_t k = 0; k < K; ++k)
            sum += static_cast<double>(lhs.values[m * K + k]) * rhs.values[n * K + k];
          if (c.activation == GemmActivation::relu)
            sum = std::max(sum, 0.0);
          if (c.activation == GemmActivation::geluTanh)
            sum = 0.5 * sum * (1 + std::tanh(std::sqrt(2 / M_PI) * (sum + 0.044715 * sum * sum * sum)));
          sum += c.residual ? residual.values[m * N + n] : 0.0;
          error += std::pow(out.at_(m * N + n) - sum, 2), size += sum * sum;
        }
      EXPECT_LE(std::sqrt(error / size), c.bound) << name(c.type) << " to " << name(c.out);
    }
  }
  EXPECT_EQ(gpu.problems(), "");
}

// Matrices that do not lie in memory are refused, whatever the library would do with them.
TEST(FakeProducts, OperandsAreChecked) {
  FakeCuda gpu;
  std::shared_ptr<const CudaDevice> device = openDevice();
  auto handle = *CublasLtHandle::create(device);
  DeviceMemory memory = std::move(*DeviceMemory::allocate(device, 4096, "x", Fill::zeros));
  GemmSpec spec{.m = 4, .n = 8, .k = 16};
  GemmPlan plan = std::move(*GemmPlan::create(handle, spec));
  GemmOperands operands{.lhs = memory.pointer(), .rhs = memory.pointer() + 512, .out = memory.pointer() + 4096 - 64};
  EXPECT_FALSE(plan.run(nullptr, operands).ok());
  EXPECT_EQ(gpu.faults(), std::vector<std::string>{"cublasLtMatmul: D: 128 bytes at 4032 of a block of 4096"});
}

// A product for all rows keeps one algorithm, that of the most rows or a given one, and never one whose sums are split; one that is refused
// somewhere is passed over.
TEST(FakeProducts, OneAlgorithmForAllRows) {
  FakeCuda gpu;
  {
    std::shared_ptr<const CudaDevice> device = openDevice();
    auto handle = *CublasLtHandle::create(device);
    auto algorithmAt = [&](int64_t m, int64_t most, std::span<const uint8_t> given) {
      auto plan = GemmPlan::createForAllRows(handle, {.m = m, .n = 24, .k = 40}, most, given);
      EXPECT_EQ(plan.status().message(), "");
      return plan->algorithm();
    };
    auto ofFew = GemmPlan::create(handle, {.m = 1, .n = 24, .k = 40})->algorithm(), ofMany = GemmPlan::create(handle, {.m = 100, .n = 24, .k = 40})->algorithm();
    auto split = GemmPlan::create(handle, {.m = 1, .n = 24, .k = 40, .workspace = 8192})->algorithm();
    ASSERT_TRUE(ofFew != ofMany && ofFew != split && ofMany != split);
    for (int64_t m : {1, 3, 47, 48, 100}) {
      EXPECT_EQ(algorithmAt(m, 100, {}), ofMany) << m;
      EXPECT_EQ(algorithmAt(m, 101, ofFew), ofFew) << m;
      EXPECT_EQ(algorithmAt(m, 102, split), ofMany) << m;
    }
    EXPECT_EQ(algorithmAt(3, 20, {}), ofFew);
  }
  EXPECT_EQ(gpu.problems(), "");
}

// An error at each call of both libraries while a product is planned and run.
TEST(FakeProducts, ErrorAtEachCall) {
  for (uint64_t k = 1;; ++k) {
    ASSERT_LT(k, 200u);
    FakeCuda gpu;
    gpu.failAt(k, CUDA_ERROR_OUT_OF_MEMORY);
    auto scenario = [&]() -> Status {
      TRANSOM_ASSIGN(std::shared_ptr<const CudaDevice> device, CudaDevice::open(0));
      TRANSOM_ASSIGN(DeviceMemory memory, DeviceMemory::allocate(device, 4096, "x", Fill::zeros));
      TRANSOM_ASSIGN(std::shared_ptr<const CublasLtHandle> handle, CublasLtHandle::create(device));
      // A size of its own, so that the choice is not known from the call before.
      GemmSpec spec{.m = 2, .n = 3, .k = static_cast<int64_t>(4 + k)};
      TRANSOM_ASSIGN(GemmPlan plan, GemmPlan::create(handle, spec));
      return plan.run(nullptr, {.lhs = memory.pointer(), .rhs = memory.pointer() + 1024, .out = memory.pointer() + 3072});
    };
    Status status = scenario();
    if (gpu.failedIn().empty()) {
      EXPECT_EQ(status.message(), "");
      break;
    }
    if (gpu.failedIn() != "cuCtxSetCurrent") {
      EXPECT_EQ(gpu.problems(), "") << "call " << k << ", " << gpu.failedIn();
    }
  }
}

} // namespace
} // namespace transom
