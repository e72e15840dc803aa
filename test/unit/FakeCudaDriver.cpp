// The driver's functions, each by the rules of the "CUDA Driver API" reference as far as Transom uses them. With
// TRANSOM_FAKE_EXPORTS they are exported under their names in libcuda.so.1.
#include "test/unit/FakeCudaState.h"

#include <cstdlib>
#include <cstring>

using namespace transom;
using namespace transom::cuda;
using namespace transom::fake;

namespace {

/// Filled with it when fresh: reading it is a NaN of every type, and a large negative int.
constexpr int poison = 0xff;
/// Behind each block of device memory, to see writes past its end.
constexpr size_t fenceBytes = 64;
constexpr unsigned char fence = 0xa5;

CUresult invalid(State &s, const char *function, std::string_view what) {
  s.fault(function, what);
  return CUDA_ERROR_INVALID_VALUE;
}
CUresult unknown(State &s, const char *function, std::string_view what) {
  s.fault(function, fmt::format("{} is none of the driver's", what));
  return CUDA_ERROR_INVALID_HANDLE;
}

//===-- Memory ------------------------------------------------------------------------------------------------------===//

CUresult allocate(State &s, const char *function, void **out, size_t bytes, bool device) {
  if (!out || bytes == 0)
    return invalid(s, function, "0 bytes, or no place for the pointer");
  if (s.forbiddenByCapture(function))
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  if (device && bytes > s.options.memoryBytes - s.deviceBytes)
    return CUDA_ERROR_OUT_OF_MEMORY;
  size_t all = (bytes + (device ? fenceBytes : 0) + 255) / 256 * 256;
  auto *memory = static_cast<unsigned char *>(std::aligned_alloc(device ? 256 : 4096, device ? all : (bytes + 4095) / 4096 * 4096));
  if (!memory)
    return CUDA_ERROR_OUT_OF_MEMORY;
  std::memset(memory, poison, bytes);
  if (device)
    std::memset(memory + bytes, fence, fenceBytes);
  s.blocks[reinterpret_cast<uintptr_t>(memory)] = {bytes, device};
  s.deviceBytes += device ? bytes : 0;
  *out = memory;
  return CUDA_SUCCESS;
}

CUresult release(State &s, const char *function, uintptr_t address, bool device) {
  auto found = s.blocks.find(address);
  if (found == s.blocks.end() || found->second.device != device)
    return invalid(s, function, fmt::format("{:#x} is not the start of such a block", address));
  if (s.forbiddenByCapture(function))
    return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
  s.drainAll();
  auto *memory = reinterpret_cast<unsigned char *>(address);
  if (device)
    for (size_t i = 0; i < fenceBytes; ++i)
      if (memory[found->second.bytes + i] != fence) {
        s.fault(function, fmt::format("something wrote {} bytes behind the end of a block of {}", i, found->second.bytes));
        break;
      }
  s.deviceBytes -= device ? found->second.bytes : 0;
  s.blocks.erase(found);
  std::free(memory);
  return CUDA_SUCCESS;
}

/// Enqueues a copy or fill after its device ranges have been checked; they are checked again when it is done.
CUresult enqueueMemory(State &s, const char *function, CUstream handle, std::vector<std::pair<CUdeviceptr, size_t>> ranges,
                       std::function<void()> work, bool waits) {
  auto stream = s.streamOf(handle);
  if (!stream)
    return unknown(s, function, "the stream");
  for (auto [address, bytes] : ranges)
    if (bytes != 0)
      if (std::string what = s.checkDevice(address, bytes); !what.empty())
        return invalid(s, function, what);
  s.submit(stream, {function, [ranges, work](State &s) {
                      for (auto [address, bytes] : ranges)
                        if (std::string what = bytes == 0 ? "" : s.checkDevice(address, bytes); !what.empty())
                          return what;
                      work();
                      return std::string();
                    }});
  if (waits && !stream->capture)
    s.drain(*stream);
  return CUDA_SUCCESS;
}

template <class T> T *at(CUdeviceptr address) { return reinterpret_cast<T *>(static_cast<uintptr_t>(address)); }

//===-- Launches ----------------------------------------------------------------------------------------------------===//

/// A launch's parameters, copied: each begins at a multiple of 128 bytes, which suffices for a CUtensorMap.
struct Parameters {
  struct alignas(128) Chunk {
    unsigned char bytes[128];
  };
  std::vector<Chunk> chunks;
  std::vector<size_t> starts;
  Parameters(const emulator::Entry &entry, void **from) {
    for (uint32_t i = 0; i < entry.parameterCount; ++i) {
      starts.push_back(chunks.size());
      chunks.resize(chunks.size() + (entry.parameters[i].bytes + 127) / 128);
      std::memcpy(chunks[starts.back()].bytes, from[i], entry.parameters[i].bytes);
    }
  }
};

std::string checkConfig(const State &s, const CUlaunchConfig &c, const Function &function) {
  uint64_t threads = uint64_t(c.blockDimX) * c.blockDimY * c.blockDimZ;
  if (c.gridDimX == 0 || c.gridDimY == 0 || c.gridDimZ == 0 || c.gridDimX > INT32_MAX || c.gridDimY > 65535 || c.gridDimZ > 65535)
    return fmt::format("a grid of {}x{}x{}", c.gridDimX, c.gridDimY, c.gridDimZ);
  if (threads == 0 || threads > 1024 || c.blockDimZ > 64)
    return fmt::format("blocks of {}x{}x{} threads", c.blockDimX, c.blockDimY, c.blockDimZ);
  if (c.sharedMemBytes > static_cast<unsigned>(function.mostDynamicShared))
    return fmt::format("{} bytes of dynamic shared memory, where {} are allowed", c.sharedMemBytes, function.mostDynamicShared);
  for (unsigned i = 0; i < c.numAttrs; ++i) {
    if (!c.attrs)
      return "attributes without a place";
    if (c.attrs[i].id != CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION && c.attrs[i].id != CU_LAUNCH_ATTRIBUTE_CLUSTER_DIMENSION)
      return fmt::format("attribute {}, which the fake does not know", static_cast<int>(c.attrs[i].id));
    if (s.options.major < 9)
      return "an attribute that needs compute capability 9.0";
  }
  return "";
}

std::string runKernel(State &s, const Function &function, const emulator::LaunchShape &shape, Parameters &parameters) {
  std::vector<void *> pointers;
  for (uint32_t i = 0; i < function.entry->parameterCount; ++i) {
    pointers.push_back(parameters.chunks[parameters.starts[i]].bytes);
    uintptr_t address;
    if (!function.entry->parameters[i].pointer)
      continue;
    std::memcpy(&address, pointers.back(), sizeof address);
    if (address == 0)
      continue;
    if (std::string what = s.checkDevice(address, 1); !what.empty())
      return fmt::format("parameter {}: {}", i, what);
  }
  emulator::LaunchOptions options;
  options.order = s.options.order;
  options.mostSharedBytes = s.options.sharedBytes;
  return emulator::launch(*function.entry, shape, pointers.data(), options).message();
}

} // namespace

//===-- Start, devices, contexts ------------------------------------------------------------------------------------===//

#define FAKE(name, parameters) extern "C" CUresult fake_##name parameters

FAKE(cuInit, (unsigned flags)) {
  return call("cuInit", Needs::start, Effect::none, [&](State &s) {
    if (flags != 0)
      return invalid(s, "cuInit", "flags");
    s.started = true;
    return s.options.devices == 0 ? CUDA_ERROR_NO_DEVICE : CUDA_SUCCESS;
  });
}
FAKE(cuDriverGetVersion, (int *version)) {
  return call("cuDriverGetVersion", Needs::nothing, Effect::none, [&](State &s) {
    *version = s.options.driverVersion;
    return CUDA_SUCCESS;
  });
}
FAKE(cuGetErrorName, (CUresult result, const char **text)) {
  static const std::pair<CUresult, const char *> names[] = {
      {CUDA_SUCCESS, "CUDA_SUCCESS"},
      {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE"},
      {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY"},
      {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED"},
      {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE"},
      {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE"},
      {CUDA_ERROR_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE"},
      {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT"},
      {CUDA_ERROR_NO_BINARY_FOR_GPU, "CUDA_ERROR_NO_BINARY_FOR_GPU"},
      {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE"},
      {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND"},
      {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY"},
      {CUDA_ERROR_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS"},
      {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"},
      {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED"},
      {CUDA_ERROR_NOT_PERMITTED, "CUDA_ERROR_NOT_PERMITTED"},
      {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED"},
      {CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED, "CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED"},
      {CUDA_ERROR_STREAM_CAPTURE_INVALIDATED, "CUDA_ERROR_STREAM_CAPTURE_INVALIDATED"},
      {CUDA_ERROR_STREAM_CAPTURE_UNMATCHED, "CUDA_ERROR_STREAM_CAPTURE_UNMATCHED"},
      {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN"},
  };
  for (auto [value, name] : names)
    if (value == result) {
      *text = name;
      return CUDA_SUCCESS;
    }
  *text = nullptr;
  return CUDA_ERROR_INVALID_VALUE;
}
FAKE(cuGetErrorString, (CUresult result, const char **text)) {
  const char *name = nullptr;
  CUresult known = fake_cuGetErrorName(result, &name);
  *text = known == CUDA_SUCCESS ? "as the fake driver has it" : nullptr;
  return known;
}

static bool isDevice(const State &s, int device) { return device >= 0 && device < s.options.devices; }

FAKE(cuDeviceGet, (CUdevice * device, int ordinal)) {
  return call("cuDeviceGet", Needs::start, Effect::none, [&](State &s) {
    *device = ordinal;
    return isDevice(s, ordinal) ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
  });
}
FAKE(cuDeviceGetCount, (int *count)) {
  return call("cuDeviceGetCount", Needs::start, Effect::none, [&](State &s) {
    *count = s.options.devices;
    return CUDA_SUCCESS;
  });
}
FAKE(cuDeviceGetName, (char *name, int length, CUdevice device)) {
  return call("cuDeviceGetName", Needs::start, Effect::none, [&](State &s) {
    if (!isDevice(s, device) || length < 1)
      return invalid(s, "cuDeviceGetName", "device or length");
    std::snprintf(name, static_cast<size_t>(length), "emulated GPU");
    return CUDA_SUCCESS;
  });
}
FAKE(cuDeviceGetAttribute, (int *value, CUdevice_attribute attribute, CUdevice device)) {
  return call("cuDeviceGetAttribute", Needs::start, Effect::none, [&](State &s) {
    if (!isDevice(s, device))
      return invalid(s, "cuDeviceGetAttribute", "device");
    switch (attribute) {
    case CU_DEVICE_ATTRIBUTE_CLOCK_RATE:
      *value = 1000000;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT:
      *value = 4;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE:
      *value = 4 << 20;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR:
      *value = s.options.major;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR:
      *value = s.options.minor;
      return CUDA_SUCCESS;
    case CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN:
      *value = static_cast<int>(s.options.sharedBytes);
      return CUDA_SUCCESS;
    }
    return invalid(s, "cuDeviceGetAttribute", "an attribute that the fake does not have");
  });
}
FAKE(cuDeviceTotalMem, (size_t * bytes, CUdevice device)) {
  return call("cuDeviceTotalMem", Needs::start, Effect::none, [&](State &s) {
    *bytes = s.options.memoryBytes;
    return isDevice(s, device) ? CUDA_SUCCESS : invalid(s, "cuDeviceTotalMem", "device");
  });
}
/// A context is the number of its device, from 1.
FAKE(cuDevicePrimaryCtxRetain, (CUcontext * context, CUdevice device)) {
  return call("cuDevicePrimaryCtxRetain", Needs::start, Effect::none, [&](State &s) {
    if (!isDevice(s, device))
      return invalid(s, "cuDevicePrimaryCtxRetain", "device");
    ++s.retained[device];
    *context = reinterpret_cast<CUcontext>(static_cast<uintptr_t>(device) + 1);
    return CUDA_SUCCESS;
  });
}
FAKE(cuDevicePrimaryCtxRelease, (CUdevice device)) {
  return call("cuDevicePrimaryCtxRelease", Needs::start, Effect::releases, [&](State &s) {
    if (!isDevice(s, device) || s.retained[device] == 0)
      return invalid(s, "cuDevicePrimaryCtxRelease", "released more often than retained");
    if (--s.retained[device] == 0 && (!s.blocks.empty() || !s.streams.empty() || !s.modules.empty()))
      s.fault("cuDevicePrimaryCtxRelease", "the context still has memory, streams or modules");
    return CUDA_SUCCESS;
  });
}
FAKE(cuCtxSetCurrent, (CUcontext context)) {
  return call("cuCtxSetCurrent", Needs::start, Effect::none, [&](State &s) {
    auto device = static_cast<int>(reinterpret_cast<uintptr_t>(context)) - 1;
    if (context && (!isDevice(s, device) || s.retained[device] == 0))
      return invalid(s, "cuCtxSetCurrent", "the context has been released");
    currentContext = context;
    return CUDA_SUCCESS;
  });
}

//===-- Memory ------------------------------------------------------------------------------------------------------===//

FAKE(cuMemGetInfo, (size_t * free, size_t *total)) {
  return call("cuMemGetInfo", Needs::context, Effect::none, [&](State &s) {
    *free = s.options.memoryBytes - s.deviceBytes;
    *total = s.options.memoryBytes;
    return CUDA_SUCCESS;
  });
}
FAKE(cuMemAlloc, (CUdeviceptr * pointer, size_t bytes)) {
  return call("cuMemAlloc", Needs::context, Effect::none, [&](State &s) {
    void *memory = nullptr;
    CUresult result = allocate(s, "cuMemAlloc", &memory, bytes, true);
    *pointer = reinterpret_cast<uintptr_t>(memory);
    return result;
  });
}
FAKE(cuMemFree, (CUdeviceptr pointer)) {
  return call("cuMemFree", Needs::context, Effect::releases, [&](State &s) { return release(s, "cuMemFree", pointer, true); });
}
FAKE(cuMemHostAlloc, (void **pointer, size_t bytes, unsigned flags)) {
  return call("cuMemHostAlloc", Needs::context, Effect::none, [&](State &s) {
    if ((flags & ~CU_MEMHOSTALLOC_PORTABLE) != 0)
      return invalid(s, "cuMemHostAlloc", "flags");
    return allocate(s, "cuMemHostAlloc", pointer, bytes, false);
  });
}
FAKE(cuMemFreeHost, (void *pointer)) {
  return call("cuMemFreeHost", Needs::context, Effect::releases,
              [&](State &s) { return release(s, "cuMemFreeHost", reinterpret_cast<uintptr_t>(pointer), false); });
}
FAKE(cuMemcpyHtoDAsync, (CUdeviceptr to, const void *from, size_t bytes, CUstream stream)) {
  return call("cuMemcpyHtoDAsync", Needs::context, Effect::none, [&](State &s) {
    auto found = s.streamOf(stream);
    if (!from && bytes != 0)
      return invalid(s, "cuMemcpyHtoDAsync", "no source");
    // From pageable memory the driver copies what is there now, unless a graph is to read it later.
    if (!s.isPinned(from, bytes) && found && !found->capture) {
      auto copy = std::make_shared<std::vector<char>>(static_cast<const char *>(from), static_cast<const char *>(from) + bytes);
      return enqueueMemory(s, "cuMemcpyHtoDAsync", stream, {{to, bytes}},
                           [=] { std::memcpy(at<void>(to), copy->data(), bytes); }, false);
    }
    return enqueueMemory(s, "cuMemcpyHtoDAsync", stream, {{to, bytes}}, [=] { std::memcpy(at<void>(to), from, bytes); }, false);
  });
}
FAKE(cuMemcpyDtoHAsync, (void *to, CUdeviceptr from, size_t bytes, CUstream stream)) {
  return call("cuMemcpyDtoHAsync", Needs::context, Effect::none, [&](State &s) {
    if (!to && bytes != 0)
      return invalid(s, "cuMemcpyDtoHAsync", "no destination");
    return enqueueMemory(s, "cuMemcpyDtoHAsync", stream, {{from, bytes}}, [=] { std::memcpy(to, at<void>(from), bytes); },
                         !s.isPinned(to, bytes));
  });
}
FAKE(cuMemcpyDtoDAsync, (CUdeviceptr to, CUdeviceptr from, size_t bytes, CUstream stream)) {
  return call("cuMemcpyDtoDAsync", Needs::context, Effect::none, [&](State &s) {
    if (to < from + bytes && from < to + bytes)
      return invalid(s, "cuMemcpyDtoDAsync", "source and destination overlap");
    return enqueueMemory(s, "cuMemcpyDtoDAsync", stream, {{to, bytes}, {from, bytes}},
                         [=] { std::memcpy(at<void>(to), at<void>(from), bytes); }, false);
  });
}
FAKE(cuMemsetD8Async, (CUdeviceptr pointer, unsigned char value, size_t bytes, CUstream stream)) {
  return call("cuMemsetD8Async", Needs::context, Effect::none, [&](State &s) {
    return enqueueMemory(s, "cuMemsetD8Async", stream, {{pointer, bytes}}, [=] { std::memset(at<void>(pointer), value, bytes); }, false);
  });
}

//===-- Streams and events ------------------------------------------------------------------------------------------===//

FAKE(cuStreamCreate, (CUstream * stream, unsigned flags)) {
  return call("cuStreamCreate", Needs::context, Effect::none, [&](State &s) {
    auto made = std::make_shared<Stream>();
    made->blocking = !(flags & CU_STREAM_NON_BLOCKING);
    *stream = reinterpret_cast<CUstream>(made.get());
    s.streams[made.get()] = made;
    return CUDA_SUCCESS;
  });
}
FAKE(cuStreamDestroy, (CUstream stream)) {
  return call("cuStreamDestroy", Needs::context, Effect::releases, [&](State &s) {
    auto found = s.streamOf(stream);
    if (!stream || !found)
      return unknown(s, "cuStreamDestroy", "the stream");
    if (found->capture)
      s.fault("cuStreamDestroy", "the stream is being captured");
    s.drain(*found);
    s.streams.erase(stream);
    return CUDA_SUCCESS;
  });
}
FAKE(cuStreamSynchronize, (CUstream stream)) {
  return call("cuStreamSynchronize", Needs::context, Effect::none, [&](State &s) {
    auto found = s.streamOf(stream);
    if (!found)
      return unknown(s, "cuStreamSynchronize", "the stream");
    if (found->capture) {
      found->captureBroken = true;
      s.fault("cuStreamSynchronize", "the stream is being captured");
      return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    if (!stream)
      for (auto &[handle, other] : s.streams)
        if (other->blocking)
          s.drain(*other);
    s.drain(*found);
    return s.sticky;
  });
}
FAKE(cuEventCreate, (CUevent * event, unsigned flags)) {
  return call("cuEventCreate", Needs::context, Effect::none, [&](State &s) {
    if ((flags & ~(CU_EVENT_BLOCKING_SYNC | CU_EVENT_DISABLE_TIMING)) != 0)
      return invalid(s, "cuEventCreate", "flags");
    auto made = std::make_shared<Event>();
    made->timing = !(flags & CU_EVENT_DISABLE_TIMING);
    *event = reinterpret_cast<CUevent>(made.get());
    s.events[made.get()] = made;
    return CUDA_SUCCESS;
  });
}
static std::shared_ptr<Event> eventOf(const State &s, CUevent event) {
  auto found = s.events.find(event);
  return found == s.events.end() ? nullptr : found->second;
}
/// Does the work of the event's stream up to record `number` of it.
static void complete(State &s, Event &event, uint64_t number) {
  while (event.completed < number && event.stream && !event.stream->pending.empty())
    s.runOne(*event.stream);
}
FAKE(cuEventRecord, (CUevent handle, CUstream stream)) {
  return call("cuEventRecord", Needs::context, Effect::none, [&](State &s) {
    auto event = eventOf(s, handle);
    auto found = s.streamOf(stream);
    if (!event || !found)
      return unknown(s, "cuEventRecord", "the event or stream");
    if (found->capture) {
      s.fault("cuEventRecord", "the stream is being captured; the fake has no events in graphs");
      return CUDA_ERROR_NOT_SUPPORTED;
    }
    complete(s, *event, event->recorded); // a record that was not waited for
    event->stream = found;
    uint64_t number = ++event->recorded;
    s.submit(found, {"cuEventRecord", [event, number](State &) {
                       event->completed = number;
                       event->at = std::chrono::steady_clock::now();
                       return std::string();
                     }});
    return CUDA_SUCCESS;
  });
}
FAKE(cuStreamWaitEvent, (CUstream stream, CUevent handle, unsigned flags)) {
  return call("cuStreamWaitEvent", Needs::context, Effect::none, [&](State &s) {
    auto event = eventOf(s, handle);
    auto found = s.streamOf(stream);
    if (!event || !found || flags != 0)
      return unknown(s, "cuStreamWaitEvent", "the event or stream");
    if (found->capture) {
      s.fault("cuStreamWaitEvent", "the stream is being captured; the fake has no events in graphs");
      return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    }
    s.submit(found, {"cuStreamWaitEvent", [event, number = event->recorded](State &s) {
                       complete(s, *event, number);
                       return std::string();
                     }});
    return CUDA_SUCCESS;
  });
}
FAKE(cuEventQuery, (CUevent handle)) {
  return call("cuEventQuery", Needs::context, Effect::none, [&](State &s) {
    auto event = eventOf(s, handle);
    if (!event)
      return unknown(s, "cuEventQuery", "the event");
    if (event->completed == event->recorded)
      return s.sticky;
    if (event->stream && !event->stream->pending.empty())
      s.runOne(*event->stream); // time passes
    return CUDA_ERROR_NOT_READY;
  });
}
FAKE(cuEventSynchronize, (CUevent handle)) {
  return call("cuEventSynchronize", Needs::context, Effect::none, [&](State &s) {
    auto event = eventOf(s, handle);
    if (!event)
      return unknown(s, "cuEventSynchronize", "the event");
    complete(s, *event, event->recorded);
    return s.sticky;
  });
}
FAKE(cuEventElapsedTime, (float *milliseconds, CUevent start, CUevent end)) {
  return call("cuEventElapsedTime", Needs::context, Effect::none, [&](State &s) {
    auto first = eventOf(s, start), last = eventOf(s, end);
    if (!first || !last || !first->timing || !last->timing || first->recorded == 0 || last->recorded == 0)
      return unknown(s, "cuEventElapsedTime", "a recorded event with timing");
    if (first->completed != first->recorded || last->completed != last->recorded)
      return CUDA_ERROR_NOT_READY;
    *milliseconds = std::chrono::duration<float, std::milli>(last->at - first->at).count();
    return CUDA_SUCCESS;
  });
}
FAKE(cuEventDestroy, (CUevent event)) {
  return call("cuEventDestroy", Needs::context, Effect::releases,
              [&](State &s) { return s.events.erase(event) ? CUDA_SUCCESS : unknown(s, "cuEventDestroy", "the event"); });
}

//===-- Graphs ------------------------------------------------------------------------------------------------------===//

FAKE(cuStreamBeginCapture, (CUstream stream, CUstreamCaptureMode mode)) {
  return call("cuStreamBeginCapture", Needs::context, Effect::none, [&](State &s) {
    auto found = s.streamOf(stream);
    if (!stream || !found)
      return unknown(s, "cuStreamBeginCapture", "a stream other than the default one");
    if (found->capture)
      return invalid(s, "cuStreamBeginCapture", "the stream is being captured");
    found->capture = std::make_shared<std::vector<Operation>>();
    found->captureBroken = false;
    found->captureThread = std::this_thread::get_id();
    found->captureIsLocal = mode != CU_STREAM_CAPTURE_MODE_GLOBAL;
    return CUDA_SUCCESS;
  });
}
/// The capture ends whatever comes of it, so an error that is injected here ends it, too.
FAKE(cuStreamEndCapture, (CUstream stream, CUgraph *graph)) {
  bool wanted = true;
  CUresult result = call("cuStreamEndCapture", Needs::context, Effect::releases, [&](State &s) {
    auto found = s.streamOf(stream);
    *graph = nullptr;
    if (!found || !found->capture)
      return invalid(s, "cuStreamEndCapture", "the stream is not being captured");
    if (found->captureIsLocal && found->captureThread != std::this_thread::get_id())
      return invalid(s, "cuStreamEndCapture", "another thread began the capture");
    Operations operations = std::move(found->capture);
    found->capture = nullptr;
    wanted = !(s.failCall == s.calls || s.sticky != CUDA_SUCCESS);
    if (found->captureBroken)
      return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    if (wanted) {
      *graph = reinterpret_cast<CUgraph>(operations.get());
      s.graphs[operations.get()] = operations;
    }
    return CUDA_SUCCESS;
  });
  return result;
}
FAKE(cuStreamIsCapturing, (CUstream stream, CUstreamCaptureStatus *status)) {
  return call("cuStreamIsCapturing", Needs::context, Effect::none, [&](State &s) {
    auto found = s.streamOf(stream);
    if (!found)
      return unknown(s, "cuStreamIsCapturing", "the stream");
    *status = !found->capture         ? CU_STREAM_CAPTURE_STATUS_NONE
              : found->captureBroken  ? CU_STREAM_CAPTURE_STATUS_INVALIDATED
                                      : CU_STREAM_CAPTURE_STATUS_ACTIVE;
    return CUDA_SUCCESS;
  });
}
FAKE(cuGraphInstantiateWithFlags, (CUgraphExec * executable, CUgraph graph, unsigned long long flags)) {
  return call("cuGraphInstantiateWithFlags", Needs::context, Effect::none, [&](State &s) {
    auto found = s.graphs.find(graph);
    if (found == s.graphs.end() || flags != 0)
      return unknown(s, "cuGraphInstantiateWithFlags", "the graph");
    auto copy = std::make_shared<std::vector<Operation>>(*found->second);
    *executable = reinterpret_cast<CUgraphExec>(copy.get());
    s.executables[copy.get()] = copy;
    return CUDA_SUCCESS;
  });
}
FAKE(cuGraphUpload, (CUgraphExec executable, CUstream stream)) {
  return call("cuGraphUpload", Needs::context, Effect::none, [&](State &s) {
    auto found = s.streamOf(stream);
    if (!found || !s.executables.contains(executable))
      return unknown(s, "cuGraphUpload", "the graph or stream");
    return found->capture ? invalid(s, "cuGraphUpload", "the stream is being captured") : CUDA_SUCCESS;
  });
}
FAKE(cuGraphLaunch, (CUgraphExec executable, CUstream stream)) {
  return call("cuGraphLaunch", Needs::context, Effect::none, [&](State &s) {
    auto found = s.streamOf(stream);
    auto graph = s.executables.find(executable);
    if (!found || graph == s.executables.end())
      return unknown(s, "cuGraphLaunch", "the graph or stream");
    for (const Operation &operation : *graph->second)
      s.submit(found, operation);
    return CUDA_SUCCESS;
  });
}
FAKE(cuGraphDestroy, (CUgraph graph)) {
  return call("cuGraphDestroy", Needs::context, Effect::releases,
              [&](State &s) { return s.graphs.erase(graph) ? CUDA_SUCCESS : unknown(s, "cuGraphDestroy", "the graph"); });
}
FAKE(cuGraphExecDestroy, (CUgraphExec executable)) {
  return call("cuGraphExecDestroy", Needs::context, Effect::releases,
              [&](State &s) { return s.executables.erase(executable) ? CUDA_SUCCESS : unknown(s, "cuGraphExecDestroy", "the graph"); });
}

//===-- Modules and launches ----------------------------------------------------------------------------------------===//

FAKE(cuModuleLoadDataEx, (CUmodule * module, const void *image, unsigned count, CUjit_option *options, void **values)) {
  return call("cuModuleLoadDataEx", Needs::context, Effect::none, [&](State &s) {
    if (!image || (count != 0 && (!options || !values)))
      return invalid(s, "cuModuleLoadDataEx", "no image, or options without a place");
    if (s.forbiddenByCapture("cuModuleLoadDataEx"))
      return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    const char *bytes = static_cast<const char *>(image);
    if (std::memcmp(bytes, "\x7f" "ELF\2\1", 6) != 0)
      return CUDA_ERROR_INVALID_IMAGE;
    // The section table, or the program headers behind it, are the end of a cubin.
    uint64_t programs, sections;
    uint16_t programSize, programCount, sectionSize, sectionCount;
    std::memcpy(&programs, bytes + 32, 8), std::memcpy(&sections, bytes + 40, 8);
    std::memcpy(&programSize, bytes + 54, 2), std::memcpy(&programCount, bytes + 56, 2);
    std::memcpy(&sectionSize, bytes + 58, 2), std::memcpy(&sectionCount, bytes + 60, 2);
    uint64_t size = std::max(sections + uint64_t(sectionSize) * sectionCount, programs + uint64_t(programSize) * programCount);
    auto made = std::make_shared<Module>();
    made->text.assign(bytes, size);
    *module = reinterpret_cast<CUmodule>(made.get());
    s.modules[made.get()] = made;
    return CUDA_SUCCESS;
  });
}
FAKE(cuModuleUnload, (CUmodule module)) {
  return call("cuModuleUnload", Needs::context, Effect::releases, [&](State &s) {
    auto found = s.modules.find(module);
    if (found == s.modules.end())
      return unknown(s, "cuModuleUnload", "the module");
    s.drainAll();
    for (auto &function : found->second->functions)
      s.functions.erase(function.get());
    s.modules.erase(found);
    return CUDA_SUCCESS;
  });
}
FAKE(cuModuleGetFunction, (CUfunction * function, CUmodule module, const char *name)) {
  return call("cuModuleGetFunction", Needs::context, Effect::none, [&](State &s) {
    auto found = s.modules.find(module);
    if (found == s.modules.end())
      return unknown(s, "cuModuleGetFunction", "the module");
    if (found->second->text.find(std::string(1, '\0') + name + '\0') == std::string::npos &&
        found->second->text.find(std::string(".text.") + name + '\0') == std::string::npos)
      return CUDA_ERROR_NOT_FOUND;
    auto made = std::make_shared<Function>();
    made->name = name;
    for (auto &library : s.libraries)
      if (const emulator::Entry *entry = library->find(name))
        made->entry = entry;
    if (!made->entry && !s.options.countUnknownKernels)
      return CUDA_ERROR_NOT_FOUND;
    found->second->functions.push_back(made);
    s.functions[made.get()] = made;
    *function = reinterpret_cast<CUfunction>(made.get());
    return CUDA_SUCCESS;
  });
}
FAKE(cuFuncSetAttribute, (CUfunction function, CUfunction_attribute attribute, int value)) {
  return call("cuFuncSetAttribute", Needs::context, Effect::none, [&](State &s) {
    auto found = s.functions.find(function);
    if (found == s.functions.end())
      return unknown(s, "cuFuncSetAttribute", "the function");
    if (attribute != CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES || value < 0 || static_cast<unsigned>(value) > s.options.sharedBytes)
      return invalid(s, "cuFuncSetAttribute", fmt::format("attribute {} = {}", static_cast<int>(attribute), value));
    found->second->mostDynamicShared = value;
    return CUDA_SUCCESS;
  });
}
FAKE(cuFuncGetAttribute, (int *value, CUfunction_attribute attribute, CUfunction function)) {
  return call("cuFuncGetAttribute", Needs::context, Effect::none, [&](State &s) {
    auto found = s.functions.find(function);
    if (found == s.functions.end())
      return unknown(s, "cuFuncGetAttribute", "the function");
    switch (attribute) {
    case CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK:
      *value = 1024;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES: // known only when the kernel runs
    case CU_FUNC_ATTRIBUTE_LOCAL_SIZE_BYTES:
      *value = 0;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_NUM_REGS:
      *value = 32;
      return CUDA_SUCCESS;
    case CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES:
      *value = found->second->mostDynamicShared;
      return CUDA_SUCCESS;
    }
    return invalid(s, "cuFuncGetAttribute", "an attribute that the fake does not have");
  });
}
FAKE(cuLaunchKernelEx, (const CUlaunchConfig *config, CUfunction handle, void **parameters, void **extra)) {
  return call("cuLaunchKernelEx", Needs::context, Effect::none, [&](State &s) {
    auto found = s.functions.find(handle);
    auto stream = s.streamOf(config->hStream);
    if (found == s.functions.end() || !stream)
      return unknown(s, "cuLaunchKernelEx", "the function or stream");
    std::shared_ptr<Function> function = found->second;
    std::string name = "kernel " + function->name;
    if (std::string what = extra ? "extra" : checkConfig(s, *config, *function); !what.empty())
      return invalid(s, name.c_str(), what);
    if (!function->entry) {
      s.submit(stream, {name, [name](State &s) {
                          ++s.counts[name];
                          return std::string();
                        }});
      return CUDA_SUCCESS;
    }
    if (function->entry->parameterCount != 0 && !parameters)
      return invalid(s, name.c_str(), "no parameters");
    auto copied = std::make_shared<Parameters>(*function->entry, parameters);
    emulator::LaunchShape shape{{config->gridDimX, config->gridDimY, config->gridDimZ},
                                {config->blockDimX, config->blockDimY, config->blockDimZ},
                                config->sharedMemBytes};
    s.submit(stream, {name, [name, function, copied, shape](State &s) {
                        ++s.counts[name];
                        return runKernel(s, *function, shape, *copied);
                      }});
    return CUDA_SUCCESS;
  });
}
/// "Tensor Map Object Management": the limits of cuTensorMapEncodeTiled for 16-bit and 32-bit numbers.
FAKE(cuTensorMapEncodeTiled,
     (CUtensorMap * map, CUtensorMapDataType type, uint32_t rank, void *address, const uint64_t *sizes, const uint64_t *strideBytes,
      const uint32_t *box, const uint32_t *elementStrides, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
      CUtensorMapL2promotion, CUtensorMapFloatOOBfill)) {
  return call("cuTensorMapEncodeTiled", Needs::start, Effect::none, [&](State &s) {
    constexpr const char *name = "cuTensorMapEncodeTiled";
    if (rank < 1 || rank > 5 || reinterpret_cast<uintptr_t>(map) % 64 != 0 || reinterpret_cast<uintptr_t>(address) % 16 != 0)
      return invalid(s, name, fmt::format("rank {}, or a map or address that is not aligned", rank));
    uint64_t element = type == CU_TENSOR_MAP_DATA_TYPE_FLOAT32 ? 4 : 2, last = 0;
    for (uint32_t i = 0; i < rank; ++i) {
      if (sizes[i] == 0 || sizes[i] > (uint64_t(1) << 32) || box[i] == 0 || box[i] > 256 || elementStrides[i] < 1 || elementStrides[i] > 8)
        return invalid(s, name, fmt::format("dimension {}: size {}, box {}, step {}", i, sizes[i], box[i], elementStrides[i]));
      uint64_t stride = i == 0 ? element : strideBytes[i - 1];
      if (i > 0 && (stride % 16 != 0 || stride >= uint64_t(1) << 40))
        return invalid(s, name, fmt::format("dimension {}: a stride of {} bytes", i, stride));
      last += (sizes[i] - 1) * stride;
    }
    uint64_t inner = box[0] * element;
    if (inner % 16 != 0 || interleave != CU_TENSOR_MAP_INTERLEAVE_NONE || (swizzle == CU_TENSOR_MAP_SWIZZLE_128B && inner > 128))
      return invalid(s, name, fmt::format("a box of {} bytes in the innermost dimension", inner));
    if (std::string what = s.checkDevice(reinterpret_cast<uintptr_t>(address), last + element); !what.empty())
      return invalid(s, name, what);
    std::memset(map, 0, sizeof *map);
    map->opaque[0] = reinterpret_cast<uintptr_t>(address);
    return CUDA_SUCCESS;
  });
}

namespace transom::fake {
const Driver &driverTable() {
  static const Driver table = [] {
    Driver made;
#define TRANSOM_SET(name, symbol, parameters) made.name = fake_##name;
    TRANSOM_CUDA_DRIVER_FUNCTIONS(TRANSOM_SET)
#undef TRANSOM_SET
    return made;
  }();
  return table;
}
} // namespace transom::fake

#if defined(TRANSOM_FAKE_EXPORTS)
#define TRANSOM_EXPORT(name, symbol, parameters)                                                                       \
  extern "C" CUresult exported_##name parameters __asm__(symbol) __attribute__((alias("fake_" #name), visibility("default")));
TRANSOM_CUDA_DRIVER_FUNCTIONS(TRANSOM_EXPORT)
#endif
