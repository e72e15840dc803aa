// State of the fakes, streams and their order, and the object that tests hold.
#include "test/unit/FakeCudaState.h"

#include <algorithm>
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <fstream>

namespace transom::fake {

using namespace cuda;

thread_local CUcontext currentContext = nullptr;

namespace {
State *installed = nullptr;

State &fromEnvironment();

/// For programs that load the fake as their driver: TRANSOM_EMULATED_KERNELS names libraries of kernels, separated by colons;
/// the device is one for which the last was built. TRANSOM_EMULATED_LAZY, TRANSOM_EMULATED_REVERSE: see Options. Faults are listed at the
/// program's end, and written to the file that TRANSOM_EMULATED_LAUNCHES names, how often each kernel ran.
State &fromEnvironment() {
  static State *made = [] {
    auto *fresh = new State; // lives to the end of the process, whose threads may still call
    fresh->options.timing = std::getenv("TRANSOM_EMULATED_LAZY") ? Timing::lazy : Timing::eager;
    fresh->options.order = std::getenv("TRANSOM_EMULATED_REVERSE") ? emulator::Order::reverse : emulator::Order::forward;
    const char *names = std::getenv("TRANSOM_EMULATED_KERNELS");
    fresh->options.countUnknownKernels = false;
    if (!names)
      std::fprintf(stderr, "fake CUDA driver: TRANSOM_EMULATED_KERNELS names no library of kernels\n");
    for (std::string_view rest = names ? names : ""; !rest.empty();) {
      size_t end = std::min(rest.find(':'), rest.size());
      auto library = emulator::KernelLibrary::open(std::string(rest.substr(0, end)));
      if (library.ok()) {
        fresh->libraries.push_back(*library);
        fresh->options.major = (*library)->architecture() / 100, fresh->options.minor = (*library)->architecture() / 10 % 10;
        fresh->options.sharedBytes = fresh->options.major < 8 ? 64 * 1024 : fresh->options.major < 9 ? 163 * 1024 : 227 * 1024;
      } else
        std::fprintf(stderr, "fake CUDA driver: %s\n", library.status().message().c_str());
      rest.remove_prefix(std::min(end + 1, rest.size()));
    }
    std::atexit([] {
      for (const std::string &line : fromEnvironment().faults)
        std::fprintf(stderr, "fake CUDA driver: %s\n", line.c_str());
      const char *launches = std::getenv("TRANSOM_EMULATED_LAUNCHES");
      if (std::ofstream out(launches ? launches : ""); out)
        for (const auto &[name, count] : fromEnvironment().counts)
          if (name.starts_with("kernel "))
            out << name << ' ' << count << '\n';
    });
    return fresh;
  }();
  return *made;
}
} // namespace

State &state() { return installed ? *installed : fromEnvironment(); }

CUresult call(const char *name, Needs needs, Effect effect, const std::function<CUresult(State &)> &body) {
  State &s = state();
  std::lock_guard lock(s.mutex);
  ++s.calls;
  ++s.counts[name];
  if (s.failCall != 0 && s.calls == s.failCall) {
    s.failedIn = name;
    if (isSticky(s.failResult))
      s.sticky = s.failResult;
    else {
      if (effect == Effect::releases)
        body(s);
      return s.failResult;
    }
  }
  if (s.sticky != CUDA_SUCCESS && needs != Needs::nothing) {
    if (effect == Effect::releases)
      body(s);
    return s.sticky;
  }
  if (needs != Needs::nothing && !s.started && std::string_view(name) != "cuInit") {
    s.fault(name, "before cuInit");
    return CUDA_ERROR_NOT_INITIALIZED;
  }
  if (needs == Needs::context) {
    auto device = static_cast<int>(reinterpret_cast<uintptr_t>(currentContext)) - 1;
    if (!currentContext || s.retained[device] == 0) {
      s.fault(name, currentContext ? "its context has been released" : "no context is current");
      return CUDA_ERROR_INVALID_CONTEXT;
    }
  }
  return body(s);
}

CUresult invalid(State &s, std::string_view function, std::string_view what) {
  s.fault(function, what);
  return CUDA_ERROR_INVALID_VALUE;
}
CUresult unknown(State &s, std::string_view function, std::string_view what) {
  s.fault(function, fmt::format("{} is none of the driver's", what));
  return CUDA_ERROR_INVALID_HANDLE;
}

//===-- State -------------------------------------------------------------------------------------------------------===//

void State::fault(std::string_view function, std::string_view what) { faults.push_back(fmt::format("{}: {}", function, what)); }

std::string State::checkDevice(CUdeviceptr address, uint64_t bytes) const {
  auto next = blocks.upper_bound(address);
  if (next != blocks.begin()) {
    auto [base, block] = *std::prev(next);
    uint64_t offset = address - base;
    if (offset < block.bytes && bytes <= block.bytes - offset)
      return block.device ? "" : fmt::format("{:#x} is host memory", address);
    if (offset < block.bytes)
      return fmt::format("{} bytes at {} of a block of {}", bytes, offset, block.bytes);
  }
  return fmt::format("{} bytes at {:#x}, which is not allocated", bytes, address);
}

bool State::isPinned(const void *pointer, uint64_t bytes) const {
  auto address = reinterpret_cast<uintptr_t>(pointer);
  auto next = blocks.upper_bound(address);
  if (next == blocks.begin())
    return false;
  auto [base, block] = *std::prev(next);
  return !block.device && address - base <= block.bytes && bytes <= block.bytes - (address - base);
}

std::shared_ptr<Stream> State::streamOf(CUstream stream) const {
  if (!stream)
    return defaultStream;
  auto found = streams.find(stream);
  return found == streams.end() ? nullptr : found->second;
}

void State::perform(Operation &operation) {
  if (std::string what = operation.run(*this); !what.empty()) {
    fault(operation.name, what);
    sticky = CUDA_ERROR_LAUNCH_FAILED;
  }
}

void State::runOne(Stream &stream) {
  Operation operation = std::move(stream.pending.front());
  stream.pending.pop_front();
  perform(operation);
}
void State::drain(Stream &stream) {
  while (!stream.pending.empty())
    runOne(stream);
}
void State::drainAll() {
  for (auto &[handle, stream] : streams)
    drain(*stream);
}

void State::submit(const std::shared_ptr<Stream> &stream, Operation operation) {
  if (stream->capture) {
    stream->capture->push_back(std::move(operation));
    return;
  }
  // The default stream comes after all blocking streams, and they after it: it is done at once.
  if (stream == defaultStream)
    for (auto &[handle, other] : streams)
      if (other->blocking)
        drain(*other);
  if (options.timing == Timing::eager || stream == defaultStream)
    perform(operation);
  else
    stream->pending.push_back(std::move(operation));
}

bool State::forbiddenByCapture(std::string_view function) {
  bool forbidden = false;
  for (auto &[handle, stream] : streams)
    if (stream->capture && (!stream->captureIsLocal || stream->captureThread == std::this_thread::get_id())) {
      stream->captureBroken = forbidden = true;
      fault(function, "not allowed while a stream is captured");
    }
  return forbidden;
}

//===-- What tests hold ---------------------------------------------------------------------------------------------===//

FakeCuda::FakeCuda(const Options &options) {
  assert(!installed && "one fake at a time");
  installed = new State;
  installed->options = options;
  Driver::replace(&driverTable());
  CublasLt::replace(&cublasLtTable());
}

FakeCuda::~FakeCuda() {
  Driver::replace(nullptr);
  CublasLt::replace(nullptr);
  for (auto [base, block] : installed->blocks)
    std::free(reinterpret_cast<void *>(base));
  delete installed;
  installed = nullptr;
}

void FakeCuda::addKernels(std::shared_ptr<const emulator::KernelLibrary> library) {
  std::lock_guard lock(installed->mutex);
  installed->libraries.push_back(std::move(library));
}

uint64_t FakeCuda::calls() const {
  std::lock_guard lock(installed->mutex);
  return installed->calls;
}

uint64_t FakeCuda::count(std::string_view name) const {
  std::lock_guard lock(installed->mutex);
  auto found = installed->counts.find(name);
  return found == installed->counts.end() ? 0 : found->second;
}

void FakeCuda::failAt(uint64_t call, CUresult result) {
  std::lock_guard lock(installed->mutex);
  installed->failCall = call == 0 ? 0 : installed->calls + call;
  installed->failResult = result;
  installed->failedIn.clear();
  if (call == 0)
    installed->sticky = CUDA_SUCCESS;
}

std::string FakeCuda::failedIn() const {
  std::lock_guard lock(installed->mutex);
  return installed->failedIn;
}

std::vector<std::string> FakeCuda::faults() const {
  std::lock_guard lock(installed->mutex);
  return installed->faults;
}

std::vector<std::string> FakeCuda::leaks() const {
  std::lock_guard lock(installed->mutex);
  std::vector<std::string> lines;
  for (auto [base, block] : installed->blocks)
    lines.push_back(fmt::format("{} bytes of {} memory", block.bytes, block.device ? "device" : "host"));
  auto objects = [&](size_t count, const char *what) {
    if (count != 0)
      lines.push_back(fmt::format("{} {}", count, what));
  };
  objects(installed->streams.size(), "streams");
  objects(installed->events.size(), "events");
  objects(installed->modules.size(), "modules");
  objects(installed->graphs.size(), "graphs");
  objects(installed->executables.size(), "executable graphs");
  for (auto &[handle, kind] : installed->libraryObjects)
    lines.push_back(fmt::format("1 {}", kind));
  for (auto [device, times] : installed->retained)
    if (times != 0)
      lines.push_back(fmt::format("the context of device {}, {} times", device, times));
  return lines;
}

std::string FakeCuda::problems() const {
  std::string text;
  for (const std::string &line : faults())
    text += "fault: " + line + "\n";
  for (const std::string &line : leaks())
    text += "leak: " + line + "\n";
  return text;
}

uint64_t FakeCuda::allocatedBytes() const {
  std::lock_guard lock(installed->mutex);
  return installed->deviceBytes;
}

std::vector<std::byte> imageOf(const std::vector<std::string> &kernels) {
  // An ELF header (System V ABI, "ELF Header") whose section table, of no entries, lies behind the names.
  std::string names(1, '\0');
  for (const std::string &name : kernels)
    names += name + '\0';
  std::vector<std::byte> image(64 + names.size());
  const unsigned char magic[] = {0x7f, 'E', 'L', 'F', 2, 1, 1};
  uint64_t sections = image.size();
  std::memcpy(image.data(), magic, sizeof magic);
  std::memcpy(image.data() + 40, &sections, sizeof sections);
  std::memcpy(image.data() + 64, names.data(), names.size());
  return image;
}

} // namespace transom::fake
