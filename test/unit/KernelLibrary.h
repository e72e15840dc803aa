// For tests and benchmarks of the CPU skeletons: the two shared objects of all kernels, opened by level.
#pragma once

#include <dlfcn.h>

#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace transom::test {

/// The kernels of one CPU level, or nothing where this CPU or build has none.
class KernelLibrary {
public:
  /// directory: where the build puts kernels_v3.so and kernels_v4.so.
  static KernelLibrary open(const std::string &directory, int level) {
    bool fits = level == 3 ? __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") &&
                                 __builtin_cpu_supports("bmi2")
                           : __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                                 __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    KernelLibrary library;
    if (fits)
      library.handle = dlopen((directory + "/kernels_v" + std::to_string(level) + ".so").c_str(), RTLD_NOW);
    return library;
  }
  explicit operator bool() const { return handle != nullptr; }
  /// The kernel of that name; null if there is none. Fn is its type, which nobody checks.
  template <typename Fn> Fn *get(const std::string &name) const {
    return reinterpret_cast<Fn *>(dlsym(handle, name.c_str()));
  }

private:
  void *handle = nullptr; // stays open until the process ends
};

/// Uniform numbers in [-1, 1) from a seed that the test prints on failure.
inline std::vector<float> randomFloats(std::mt19937 &random, size_t count) {
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  std::vector<float> values(count);
  for (float &value : values)
    value = uniform(random);
  return values;
}

/// ||a - b|| / ||b||; infinite if a holds a NaN.
template <typename A, typename B> double relativeError(const A &a, const B &b) {
  double difference = 0, size = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    double d = double(a[i]) - double(b[i]);
    if (d != d)
      return __builtin_inf();
    difference += d * d;
    size += double(b[i]) * double(b[i]);
  }
  return __builtin_sqrt(difference / size);
}

} // namespace transom::test
