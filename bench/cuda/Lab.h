// Shared by the lab's programs: device buffers, random numbers, comparison with references, timing, launches.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include <cuda_runtime.h>

#include "Entries.cuh"

namespace lab {

using namespace transom::cuda;

inline void check(cudaError_t error, const char *file, int line) {
  if (error == cudaSuccess)
    return;
  std::printf("%s:%d: %s\n", file, line, cudaGetErrorString(error));
  std::exit(1);
}
#define CHECK(call) ::lab::check(call, __FILE__, __LINE__)

//===-- Numbers -----------------------------------------------------------------------------------------------------===//

inline float fromHalfBits(uint16_t h) {
  uint32_t sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, mantissa = h & 1023;
  float v = exponent == 31  ? (mantissa ? NAN : INFINITY)
            : exponent == 0 ? std::ldexp((float)mantissa, -24)
                            : std::ldexp((float)(mantissa | 1024), (int)exponent - 25);
  return sign ? -v : v;
}
inline uint16_t toHalfBits(float f) {
  uint16_t sign = std::signbit(f) ? 0x8000 : 0;
  float a = std::fabs(f);
  if (!(a < 65520.0f))
    return sign | (a != a ? 0x7e00 : 0x7c00);
  int exponent = a < 6.103515625e-05f ? -14 : std::ilogb(a);
  uint32_t mantissa = (uint32_t)std::nearbyint(std::ldexp(a, 10 - exponent)); // with the leading one
  return sign | (uint16_t)(exponent == -14 && mantissa < 1024 ? mantissa : ((exponent + 15) << 10) + mantissa - 1024);
}
inline double number(float v) { return v; }
inline double number(Half v) { return fromHalfBits(v.bits); }
inline double number(BFloat v) {
  uint32_t bits = (uint32_t)v.bits << 16;
  float f;
  std::memcpy(&f, &bits, 4);
  return f;
}
inline double number(E4m3 v) {
  int exponent = v.bits >> 3 & 15, mantissa = v.bits & 7;
  double size = (v.bits & 127) == 127 ? NAN : exponent == 0 ? std::ldexp(mantissa, -9) : std::ldexp(8 + mantissa, exponent - 10);
  return v.bits & 128 ? -size : size;
}
template <class T> T rounded(float v);
template <> inline float rounded<float>(float v) { return v; }
template <> inline Half rounded<Half>(float v) { return {toHalfBits(v)}; }
template <> inline BFloat rounded<BFloat>(float v) {
  uint32_t bits;
  std::memcpy(&bits, &v, 4);
  return {(uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16)};
}

inline std::mt19937_64 &generator() {
  static std::mt19937_64 g(std::random_device{}());
  return g;
}
inline int randomInt(int low, int high) { return std::uniform_int_distribution<int>(low, high)(generator()); }
template <class T> std::vector<T> randomNumbers(size_t n, float scale = 1.0f, float shift = 0.0f) {
  std::vector<T> v(n);
  std::normal_distribution<float> normal(shift, scale);
  for (T &x : v)
    x = rounded<T>(normal(generator()));
  return v;
}

//===-- Device memory -----------------------------------------------------------------------------------------------===//

/// Freed at the end. Fresh memory is poisoned: every byte 0xff, a NaN in each float type.
template <class T> struct Device {
  T *p = nullptr;
  size_t n = 0;
  explicit Device(size_t count) : n(count) {
    CHECK(cudaMalloc(&p, std::max<size_t>(n * sizeof(T), 16)));
    CHECK(cudaMemset(p, 0xff, n * sizeof(T)));
  }
  explicit Device(const std::vector<T> &v) : n(v.size()) {
    CHECK(cudaMalloc(&p, std::max<size_t>(n * sizeof(T), 16)));
    CHECK(cudaMemcpy(p, v.data(), n * sizeof(T), cudaMemcpyHostToDevice));
  }
  Device(const Device &) = delete;
  Device(Device &&o) : p(o.p), n(o.n) { o.p = nullptr; }
  ~Device() { cudaFree(p); }
  std::vector<T> host() const {
    std::vector<T> v(n);
    CHECK(cudaDeviceSynchronize());
    CHECK(cudaMemcpy(v.data(), p, n * sizeof(T), cudaMemcpyDeviceToHost));
    return v;
  }
  void zero() { CHECK(cudaMemset(p, 0, n * sizeof(T))); }
  operator T *() const { return p; }
};

//===-- Launches ----------------------------------------------------------------------------------------------------===//

struct Launch {
  dim3 grid;
  int threads;
  int shared = 0;
  cudaStream_t stream = nullptr;
  bool dependent = true;
};
template <class... P, class... A> void launch(void (*kernel)(P...), Launch how, A... arguments) {
  CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, how.shared));
  cudaLaunchConfig_t config = {};
  config.gridDim = how.grid;
  config.blockDim = how.threads;
  config.dynamicSmemBytes = how.shared;
  config.stream = how.stream;
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  attribute.val.programmaticStreamSerializationAllowed = 1;
  config.attrs = &attribute;
  config.numAttrs = how.dependent ? 1 : 0;
  CHECK(cudaLaunchKernelEx(&config, kernel, P(arguments)...));
}

//===-- What a lab has ----------------------------------------------------------------------------------------------===//

/// A group of checks, known to the driver because its file is linked.
struct Group {
  const char *name;
  void (*run)();
};
inline std::vector<Group> &groups() {
  static std::vector<Group> all;
  return all;
}
struct Register {
  Register(const char *name, void (*run)()) { groups().push_back({name, run}); }
};

//===-- Checks ------------------------------------------------------------------------------------------------------===//

struct Tally {
  int passed = 0, failed = 0;
};
inline Tally &tally() {
  static Tally t;
  return t;
}
inline void report(bool good, const std::string &name, const std::string &detail) {
  ++(good ? tally().passed : tally().failed);
  if (!good || std::getenv("LAB_VERBOSE"))
    std::printf("%s %s: %s\n", good ? "ok  " : "FAIL", name.c_str(), detail.c_str());
}
/// The bounds of "what correct means": relative error over the whole, and of each element against the largest.
template <class T> struct Bound;
template <> struct Bound<float> { static constexpr double relative = 1e-5; };
template <> struct Bound<Half> { static constexpr double relative = 2e-3; };
template <> struct Bound<BFloat> { static constexpr double relative = 1e-2; };
template <> struct Bound<E4m3> { static constexpr double relative = 4e-2; };
template <class T>
void compare(const std::string &name, const std::vector<T> &out, const std::vector<double> &ref, double bound) {
  double error = 0, size = 0, largest = 0, worst = 0;
  size_t where = 0;
  bool finite = out.size() == ref.size();
  for (size_t i = 0; finite && i < out.size(); ++i) {
    double o = number(out[i]), d = std::fabs(o - ref[i]);
    if (!(d < 1e300)) {
      finite = false;
      where = i;
      break;
    }
    error += d * d, size += ref[i] * ref[i];
    largest = std::max(largest, std::fabs(ref[i]));
    if (d > worst)
      worst = d, where = i;
  }
  double relative = std::sqrt(error / std::max(size, 1e-30));
  bool good = finite && relative <= bound && worst <= 8 * bound * largest + 1e-30;
  char text[200];
  std::snprintf(text, sizeof text, "relative %.2e (bound %.0e), worst %.2e of %.2e at %zu of %zu: %g for %g%s", relative, bound,
                worst, largest, where, out.size(), out.empty() ? 0.0 : number(out[std::min(where, out.size() - 1)]),
                ref.empty() ? 0.0 : ref[std::min(where, ref.size() - 1)], finite ? "" : ", NOT FINITE");
  report(good, name, text);
}

//===-- Time --------------------------------------------------------------------------------------------------------===//

/// Median milliseconds of `repeats` rounds of `inner` calls each.
inline double medianMs(cudaStream_t stream, int repeats, int inner, const std::function<void()> &work) {
  cudaEvent_t start, stop;
  CHECK(cudaEventCreate(&start));
  CHECK(cudaEventCreate(&stop));
  for (int i = 0; i < 3; ++i)
    work();
  std::vector<float> times;
  for (int i = 0; i < repeats; ++i) {
    CHECK(cudaEventRecord(start, stream));
    for (int j = 0; j < inner; ++j)
      work();
    CHECK(cudaEventRecord(stop, stream));
    CHECK(cudaEventSynchronize(stop));
    float ms;
    CHECK(cudaEventElapsedTime(&ms, start, stop));
    times.push_back(ms / inner);
  }
  CHECK(cudaEventDestroy(start));
  CHECK(cudaEventDestroy(stop));
  std::sort(times.begin(), times.end());
  return times[times.size() / 2];
}

} // namespace lab
