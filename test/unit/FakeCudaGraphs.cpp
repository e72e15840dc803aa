// The driver's functions for graphs, modules, launches and tensor maps; see FakeCudaDriver.cpp.
#include "test/emulator/TensorMap.h"
#include "test/unit/FakeCudaState.h"

#include <algorithm>
#include <cstring>

using namespace transom;
using namespace transom::cuda;
using namespace transom::fake;

namespace {

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
    if (std::string what = s.checkDevice(address, 1); !what.empty() && !s.isPinned(reinterpret_cast<void *>(address), 1))
      return fmt::format("parameter {}: {}", i, what);
  }
  emulator::LaunchOptions options;
  options.order = s.options.order;
  options.timing = s.options.timing;
  options.mostSharedBytes = s.options.sharedBytes;
  return emulator::launch(*function.entry, shape, pointers.data(), options).message();
}

} // namespace

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
FAKE(cuOccupancyMaxActiveClusters, (int *clusters, CUfunction function, const CUlaunchConfig *)) {
  return call("cuOccupancyMaxActiveClusters", Needs::context, Effect::none, [&](State &s) {
    if (!s.functions.contains(function))
      return unknown(s, "cuOccupancyMaxActiveClusters", "the function");
    *clusters = s.options.clusters;
    return CUDA_SUCCESS;
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
      return invalid(s, name, what);
    const uint64_t blocks = uint64_t(config->gridDimX) * config->gridDimY * config->gridDimZ;
    if (!function->entry) {
      s.submit(stream, {name, [name, blocks](State &s) {
                          ++s.counts[name], s.counts["blocks of " + name] += blocks;
                          return std::string();
                        }});
      return CUDA_SUCCESS;
    }
    if (function->entry->parameterCount != 0 && !parameters)
      return invalid(s, name, "no parameters");
    auto copied = std::make_shared<Parameters>(*function->entry, parameters);
    emulator::LaunchShape shape{{config->gridDimX, config->gridDimY, config->gridDimZ},
                                {config->blockDimX, config->blockDimY, config->blockDimZ},
                                config->sharedMemBytes};
    s.submit(stream, {name, [name, blocks, function, copied, shape](State &s) {
                        ++s.counts[name], s.counts["blocks of " + name] += blocks;
                        return runKernel(s, *function, shape, *copied);
                      }});
    return CUDA_SUCCESS;
  });
}
FAKE(cuTensorMapEncodeTiled,
     (CUtensorMap * map, CUtensorMapDataType type, uint32_t rank, void *address, const uint64_t *sizes, const uint64_t *strideBytes,
      const uint32_t *box, const uint32_t *elementStrides, CUtensorMapInterleave interleave, CUtensorMapSwizzle swizzle,
      CUtensorMapL2promotion, CUtensorMapFloatOOBfill)) {
  return call("cuTensorMapEncodeTiled", Needs::start, Effect::none, [&](State &s) {
    std::string what = emulator::encodeTensorMap(map, type, rank, address, sizes, strideBytes, box, elementStrides, interleave, swizzle);
    if (what.empty())
      what = s.checkDevice(reinterpret_cast<uintptr_t>(address), emulator::tensorBytes(*map));
    return what.empty() ? CUDA_SUCCESS : invalid(s, "cuTensorMapEncodeTiled", what);
  });
}
