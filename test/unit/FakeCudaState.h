// What the fake driver and the fake cuBLASLt share: the objects that they have handed out, streams and their work, checks.
#pragma once

#include "test/unit/FakeCuda.h"

#include <chrono>
#include <deque>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <thread>

namespace transom::fake {

struct State;

/// Work of a stream. run() gives what is wrong, or nothing.
struct Operation {
  std::string name;
  std::function<std::string(State &)> run;
};
using Operations = std::shared_ptr<std::vector<Operation>>;

struct Stream {
  bool blocking = false; ///< waits for the default stream
  std::deque<Operation> pending;
  Operations capture; ///< null: none under way
  bool captureBroken = false;
  std::thread::id captureThread;
  bool captureIsLocal = false; ///< concerns only what its own thread does
};
struct Event {
  bool timing = false;
  uint64_t recorded = 0, completed = 0;
  std::shared_ptr<Stream> stream; ///< of the last record
  std::chrono::steady_clock::time_point at;
};
struct Function {
  std::string name;
  const emulator::Entry *entry = nullptr; ///< null: counted only
  int mostDynamicShared = 48 * 1024;
};
struct Module {
  std::string text; ///< of the image, where the names of its kernels are
  std::vector<std::shared_ptr<Function>> functions;
};
struct Block {
  size_t bytes;
  bool device; ///< otherwise page-locked host memory
};

enum class Needs { nothing, start, context };
enum class Effect { none, releases };

struct State {
  Options options;
  std::recursive_mutex mutex;
  std::vector<std::shared_ptr<const emulator::KernelLibrary>> libraries;
  bool started = false;
  std::map<int, int> retained; ///< device -> how often its context is
  std::map<uintptr_t, Block> blocks;
  uint64_t deviceBytes = 0;
  std::map<void *, std::shared_ptr<Stream>> streams;
  std::map<void *, std::shared_ptr<Event>> events;
  std::map<void *, std::shared_ptr<Module>> modules;
  std::map<void *, std::shared_ptr<Function>> functions;
  std::map<void *, Operations> graphs, executables;
  std::map<void *, std::string> libraryObjects; ///< of cuBLASLt, by kind
  std::shared_ptr<Stream> defaultStream = std::make_shared<Stream>();
  uint64_t calls = 0, failCall = 0;
  cuda::CUresult failResult = cuda::CUDA_SUCCESS, sticky = cuda::CUDA_SUCCESS;
  std::string failedIn;
  std::map<std::string, uint64_t, std::less<>> counts;
  std::vector<std::string> faults;

  /// Notes that `function` was used wrongly.
  void fault(std::string_view function, std::string_view what);
  /// Empty where [address, address + bytes) lies in one block of device memory.
  std::string checkDevice(cuda::CUdeviceptr address, uint64_t bytes) const;
  bool isPinned(const void *address, uint64_t bytes) const;
  /// Null where it is none.
  std::shared_ptr<Stream> streamOf(cuda::CUstream stream) const;
  /// Adds work to a stream, or to the graph that is captured from it.
  void submit(const std::shared_ptr<Stream> &stream, Operation operation);
  void runOne(Stream &stream);
  void drain(Stream &stream);
  void drainAll();
  void perform(Operation &operation);
  /// A call that must not be made while the thread captures; breaks the capture.
  bool forbiddenByCapture(std::string_view function);
};

/// Of the process; made from the environment where a program that knows nothing of the fake has loaded it as its driver.
State &state();
extern thread_local cuda::CUcontext currentContext;

/// What every function does before its own work; `body` gives the result.
cuda::CUresult call(const char *name, Needs needs, Effect effect, const std::function<cuda::CUresult(State &)> &body);

/// Notes the wrong use and gives CUDA_ERROR_INVALID_VALUE, or INVALID_HANDLE where `what` is none of the driver's.
cuda::CUresult invalid(State &s, std::string_view function, std::string_view what);
cuda::CUresult unknown(State &s, std::string_view function, std::string_view what);

const cuda::Driver &driverTable();
const cuda::CublasLt &cublasLtTable();

} // namespace transom::fake

// All functions, by which the tables are filled. With TRANSOM_FAKE_EXPORTS a library exports them under the names that the real
// ones have.
#if defined(TRANSOM_FAKE_EXPORTS)
#define TRANSOM_FAKE_NAME(symbol) __asm__(symbol)
#define TRANSOM_FAKE_EXPORT extern "C" __attribute__((visibility("default")))
#else
#define TRANSOM_FAKE_NAME(symbol)
#define TRANSOM_FAKE_EXPORT extern "C"
#endif
#define FAKE(name, parameters) TRANSOM_FAKE_EXPORT transom::cuda::CUresult fake_##name parameters
#define FAKE_LT(name, parameters) TRANSOM_FAKE_EXPORT transom::cuda::cublasStatus_t fake_##name parameters
namespace transom::cuda {
#define TRANSOM_DECLARE(name, symbol, parameters) FAKE(name, parameters) TRANSOM_FAKE_NAME(symbol);
TRANSOM_CUDA_DRIVER_FUNCTIONS(TRANSOM_DECLARE)
#undef TRANSOM_DECLARE
#define TRANSOM_DECLARE(name, parameters) FAKE_LT(name, parameters) TRANSOM_FAKE_NAME(#name);
TRANSOM_CUBLASLT_FUNCTIONS(TRANSOM_DECLARE)
#undef TRANSOM_DECLARE
TRANSOM_FAKE_EXPORT size_t fake_cublasLtGetVersion() TRANSOM_FAKE_NAME("cublasLtGetVersion");
TRANSOM_FAKE_EXPORT const char *fake_cublasLtGetStatusName(cublasStatus_t status) TRANSOM_FAKE_NAME("cublasLtGetStatusName");
} // namespace transom::cuda
