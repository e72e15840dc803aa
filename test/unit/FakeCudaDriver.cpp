// The driver's functions for devices, memory, streams and events, each by the rules of the "CUDA Driver API" reference as far as
// Transom uses them.
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

} // namespace

//===-- Start, devices, contexts ------------------------------------------------------------------------------------===//

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
