// Kernels of a test's own text on the emulator.
#pragma once

#include "test/emulator/Build.h"
#include "test/emulator/Emulator.h"

#include <gtest/gtest.h>

namespace transom::emulator {

/// Kernels of sm_90a must give the same under each.
constexpr LaunchOptions allOptions[] = {{Order::forward, Timing::eager},
                                        {Order::reverse, Timing::eager},
                                        {Order::forward, Timing::lazy},
                                        {Order::reverse, Timing::lazy}};
inline BuildOptions sm90() {
  BuildOptions options;
  options.architecture = 900;
  return options;
}

class EmulatedKernels : public testing::Test {
protected:
  /// Each line `extern "C" __global__ void ... NAME(...) {` of the text is a kernel.
  static void build(const std::string &text, const BuildOptions &options = {}) {
    std::vector<Text> kernels;
    const std::string head = "extern \"C\" __global__ void ";
    for (size_t at = 0; (at = text.find(head, at)) != std::string::npos;) {
      size_t open = text.rfind('(', text.find('\n', at)), begin = text.rfind(' ', open) + 1;
      kernels.push_back({text.substr(begin, open - begin), text});
      at = open;
    }
    auto headers = kernelHeaders();
    ASSERT_EQ(headers.status().message(), "");
    auto path = buildKernels(*headers, kernels, options);
    ASSERT_EQ(path.status().message(), "");
    auto opened = KernelLibrary::open(*path);
    ASSERT_EQ(opened.status().message(), "");
    library = *opened;
  }
  static void TearDownTestSuite() { library.reset(); }

  template <class... A> static Status runWith(const LaunchOptions &options, const char *name, LaunchShape shape, A... arguments) {
    const Entry *entry = library ? library->find(name) : nullptr;
    if (!entry)
      return error(StatusCode::notFound, "no kernel {}", name);
    void *pointers[] = {&arguments...};
    EXPECT_EQ(entry->parameterCount, sizeof...(A));
    return launch(*entry, shape, pointers, options);
  }
  /// The error's message; empty: none.
  template <class... A> static std::string run(const LaunchOptions &options, const char *name, LaunchShape shape, A... arguments) {
    return runWith(options, name, shape, arguments...).message();
  }
  static inline std::shared_ptr<const KernelLibrary> library;
};

} // namespace transom::emulator
