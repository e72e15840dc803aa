// The fake driver's own promises, and the CUDA runtime's base layer on it: what is opened is closed again, and an error at any call
// gives a status, no crash and no leak.
#include "ArtifactFixture.h"

#include "runtime/cuda/CudaModel.h"
#include "runtime/cuda/Stream.h"
#include "test/emulator/ArtifactKernels.h"
#include "test/unit/FakeDevice.h"

#include <cmath>
#include <cstring>
#include <random>
#include <thread>

namespace transom {
namespace {

using namespace cuda;
using fake::at;
using fake::FakeCuda;
using fake::openDevice;
using fake::Timing;
using test::ArtifactBuilder;

//===-- The driver's rules ------------------------------------------------------------------------------------------===//

TEST(FakeDriver, DeviceOpensAndCloses) {
  FakeCuda gpu({.devices = 2, .major = 9, .minor = 0});
  {
    std::shared_ptr<const CudaDevice> device = openDevice();
    EXPECT_EQ(device->info().architecture(), "sm_90");
    EXPECT_EQ(gpu.leaks(), std::vector<std::string>{"the context of device 0, 1 times"});
  }
  EXPECT_EQ(gpu.problems(), "");
  EXPECT_EQ(CudaDevice::open(2).status().message(), "no GPU 2: there are 2, counted from 0");
  EXPECT_EQ(gpu.count("cuDevicePrimaryCtxRetain"), 1u);
}

TEST(FakeDriver, NoDeviceIsNoError) {
  FakeCuda gpu({.devices = 0});
  EXPECT_EQ(*CudaDevice::count(), 0);
  EXPECT_EQ(CudaDevice::open(0).status().code(), StatusCode::notFound);
}

// Fresh memory is poisoned; what is read or written must lie in one block; the end of a block is watched; so are double frees.
TEST(FakeDriver, Memory) {
  FakeCuda gpu({.memoryBytes = 1 << 20});
  std::shared_ptr<const CudaDevice> device = openDevice();
  const Driver &driver = device->driver();
  CUdeviceptr block = 0;
  ASSERT_EQ(driver.cuMemAlloc(&block, 1000), CUDA_SUCCESS);
  EXPECT_EQ(gpu.allocatedBytes(), 1000u);
  float first;
  EXPECT_EQ(driver.cuMemcpyDtoHAsync(&first, block, 4, nullptr), CUDA_SUCCESS);
  EXPECT_TRUE(std::isnan(first));
  EXPECT_EQ(driver.cuMemsetD8Async(block + 999, 0, 1, nullptr), CUDA_SUCCESS);
  EXPECT_EQ(gpu.faults().size(), 0u);
  EXPECT_EQ(driver.cuMemsetD8Async(block + 999, 0, 2, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(gpu.faults().back(), "cuMemsetD8Async: 2 bytes at 999 of a block of 1000");
  EXPECT_EQ(driver.cuMemcpyHtoDAsync(reinterpret_cast<uintptr_t>(&first), &first, 4, nullptr), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(driver.cuMemcpyDtoDAsync(block, block + 4, 8, nullptr), CUDA_ERROR_INVALID_VALUE);
  CUdeviceptr other = 0;
  EXPECT_EQ(driver.cuMemAlloc(&other, 1 << 20), CUDA_ERROR_OUT_OF_MEMORY);
  EXPECT_EQ(driver.cuMemFree(block + 4), CUDA_ERROR_INVALID_VALUE);
  static_cast<char *>(at(block))[1003] = 1;
  EXPECT_EQ(driver.cuMemFree(block), CUDA_SUCCESS);
  EXPECT_EQ(gpu.faults().back(), "cuMemFree: something wrote 3 bytes behind the end of a block of 1000");
  EXPECT_EQ(driver.cuMemFree(block), CUDA_ERROR_INVALID_VALUE);
  EXPECT_EQ(gpu.faults().size(), 6u);
}

// Without a context of its own a thread may not call.
TEST(FakeDriver, ContextIsPerThread) {
  FakeCuda gpu;
  std::shared_ptr<const CudaDevice> device = openDevice();
  CUresult without = CUDA_SUCCESS, with = CUDA_SUCCESS;
  std::thread([&] {
    size_t free, total;
    without = device->driver().cuMemGetInfo(&free, &total);
    EXPECT_TRUE(device->makeCurrent().ok());
    with = device->driver().cuMemGetInfo(&free, &total);
  }).join();
  EXPECT_EQ(without, CUDA_ERROR_INVALID_CONTEXT);
  EXPECT_EQ(with, CUDA_SUCCESS);
  EXPECT_EQ(gpu.faults(), std::vector<std::string>{"cuMemGetInfo: no context is current"});
}

// Lazy work is done when something waits for it, and across streams in the order that events say.
TEST(FakeDriver, LazyStreams) {
  FakeCuda gpu({.timing = Timing::lazy});
  {
    std::shared_ptr<const CudaDevice> device = openDevice();
    const Driver &driver = device->driver();
    DeviceMemory memory = std::move(*DeviceMemory::allocate(device, 256, "x", Fill::zeros));
    PinnedMemory host = std::move(*PinnedMemory::allocate(device, 256, "x"));
    CudaStream first = std::move(*CudaStream::create(device)), second = std::move(*CudaStream::create(device));
    CudaEvent written = std::move(*CudaEvent::create(device, EventUse::order));
    auto *bytes = reinterpret_cast<unsigned char *>(host.data());
    bytes[0] = 7;
    EXPECT_EQ(driver.cuMemcpyHtoDAsync(memory.pointer(), host.data(), 1, first.get()), CUDA_SUCCESS);
    bytes[0] = 9; // too early: the copy reads what is there when it is done
    EXPECT_EQ(driver.cuEventRecord(written.get(), first.get()), CUDA_SUCCESS);
    EXPECT_EQ(driver.cuStreamWaitEvent(second.get(), written.get(), 0), CUDA_SUCCESS);
    EXPECT_EQ(driver.cuMemcpyDtoHAsync(host.data() + 1, memory.pointer(), 1, second.get()), CUDA_SUCCESS);
    EXPECT_EQ(bytes[1], 0xff);
    EXPECT_EQ(driver.cuEventQuery(written.get()), CUDA_ERROR_NOT_READY);
    EXPECT_TRUE(second.synchronize().ok());
    EXPECT_EQ(bytes[1], 9);
    EXPECT_EQ(driver.cuEventQuery(written.get()), CUDA_SUCCESS);
  }
  EXPECT_EQ(gpu.problems(), "");
}

// A capture does nothing, a graph does it each time; what is not allowed meanwhile breaks the capture.
TEST(FakeDriver, Graphs) {
  FakeCuda gpu;
  {
    std::shared_ptr<const CudaDevice> device = openDevice();
    const Driver &driver = device->driver();
    DeviceMemory memory = std::move(*DeviceMemory::allocate(device, 4, "x", Fill::zeros));
    CudaStream stream = std::move(*CudaStream::create(device));
    auto *bytes = static_cast<unsigned char *>(at(memory.pointer()));
    CUgraph graph = nullptr;
    CUgraphExec executable = nullptr;
    ASSERT_EQ(driver.cuStreamBeginCapture(stream.get(), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), CUDA_SUCCESS);
    EXPECT_EQ(driver.cuMemsetD8Async(memory.pointer(), 5, 2, stream.get()), CUDA_SUCCESS);
    ASSERT_EQ(driver.cuStreamEndCapture(stream.get(), &graph), CUDA_SUCCESS);
    EXPECT_EQ(bytes[0], 0);
    ASSERT_EQ(driver.cuGraphInstantiateWithFlags(&executable, graph, 0), CUDA_SUCCESS);
    EXPECT_EQ(driver.cuGraphDestroy(graph), CUDA_SUCCESS);
    for (int i = 0; i < 2; ++i) {
      bytes[0] = 0;
      EXPECT_EQ(driver.cuGraphLaunch(executable, stream.get()), CUDA_SUCCESS);
      EXPECT_EQ(bytes[0], 5);
    }
    EXPECT_EQ(driver.cuGraphExecDestroy(executable), CUDA_SUCCESS);
    EXPECT_EQ(gpu.faults().size(), 0u);
    for (int wrong = 0; wrong < 3; ++wrong) {
      ASSERT_EQ(driver.cuStreamBeginCapture(stream.get(), CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), CUDA_SUCCESS);
      CUdeviceptr fresh;
      std::vector<std::byte> image = fake::imageOf({"k"});
      CUmodule module;
      EXPECT_EQ(wrong == 0   ? driver.cuStreamSynchronize(stream.get())
                : wrong == 1 ? driver.cuMemAlloc(&fresh, 16)
                             : driver.cuModuleLoadDataEx(&module, image.data(), 0, nullptr, nullptr),
                CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED);
      EXPECT_EQ(driver.cuStreamEndCapture(stream.get(), &graph), CUDA_ERROR_STREAM_CAPTURE_INVALIDATED);
      EXPECT_EQ(graph, nullptr);
    }
    EXPECT_EQ(gpu.faults().size(), 3u);
  }
  EXPECT_EQ(gpu.leaks().size(), 0u);
}

//===-- Kernels -----------------------------------------------------------------------------------------------------===//

/// Main on CUDA: y[n] = scale[n] * x[n] by a kernel that includes a header.
ArtifactBuilder scaled(const std::string &target = "cuda:sm_80") {
  using namespace artifact;
  ArtifactBuilder b;
  b.contents.code = {{target, {}, {"fake_scale"}, {}}};
  b.input.codeBytes = {fake::imageOf({"fake_scale"})};
  b.contents.cudaHeaders = {{"Twice.cuh", "#pragma once\n__device__ inline float twice(float x) { return 2 * x; }\n"}};
  b.contents.cudaKernels.push_back({"fake_scale",
                                    "#include \"Twice.cuh\"\n"
                                    "extern \"C\" __global__ void fake_scale(const float *x, const float *scale, float *y, const long long *symbols) {\n"
                                    "  extern __shared__ float staged[];\n"
                                    "  long long i = blockIdx.x * blockDim.x + threadIdx.x;\n"
                                    "  staged[threadIdx.x] = i < symbols[0] ? x[i] : 0;\n"
                                    "  __syncthreads();\n"
                                    "  if (i < symbols[0])\n"
                                    "    y[i] = twice(scale[i]) * staged[threadIdx.x];\n"
                                    "}\n",
                                    {32}, 60 << 10, 0});
  Expr n = b.symbol("n", 1, 64), all = Expr::constant(64);
  uint32_t weight = b.weight("scale", DType::f32, {64}, [] {
    std::vector<float> v(64);
    for (size_t i = 0; i < 64; ++i)
      v[i] = static_cast<float>(i);
    return v;
  }());
  Program &p = b.program("main");
  p.device = Device::cuda;
  uint32_t x = b.value(p, BufferKind::input, "x", DType::f32, {n});
  uint32_t scale = b.buffer(p, BufferKind::weight, weight, DType::f32, {all});
  uint32_t y = b.value(p, BufferKind::output, "y", DType::f32, {n});
  CudaLaunch launch = test::cudaLaunch(0, {x, scale, y}, {n});
  launch.choices[0].per = {32};
  p.steps.push_back({launch, "scale"});
  return b;
}

class FakeModel : public testing::Test {
protected:
  Artifact write(ArtifactBuilder builder) {
    EXPECT_EQ(artifact::write(folder.file("a"), builder.input).message(), "");
    auto artifact = Artifact::open(folder.file("a"));
    EXPECT_EQ(artifact.status().message(), "");
    return std::move(*artifact);
  }
  static std::shared_ptr<const emulator::KernelLibrary> emulate(const artifact::Contents &contents) {
    auto path = emulator::buildArtifactKernels(contents);
    EXPECT_EQ(path.status().message(), "");
    auto library = emulator::KernelLibrary::open(*path);
    EXPECT_EQ(library.status().message(), "");
    return *library;
  }
  /// Launches the model's kernel over 40 numbers x[i] = i + 1 and compares.
  static Status runOnce(const CudaModel &model, const std::shared_ptr<const CudaDevice> &device) {
    const Driver &driver = device->driver();
    TRANSOM_ASSIGN(CudaStream stream, CudaStream::create(device));
    TRANSOM_ASSIGN(DeviceMemory memory, DeviceMemory::allocate(device, 1024, "a test", Fill::zeros));
    TRANSOM_ASSIGN(PinnedMemory host, PinnedMemory::allocate(device, 1024, "a test"));
    auto *numbers = reinterpret_cast<float *>(host.data());
    for (int i = 0; i < 40; ++i)
      numbers[i] = static_cast<float>(i + 1);
    auto *symbol = reinterpret_cast<long long *>(host.data() + 512);
    *symbol = 40;
    TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuMemcpyHtoDAsync(memory.pointer(), host.data(), 520, stream.get()), "copy"));
    CUdeviceptr x = memory.pointer(), scale = model.weight(0), y = x + 256, symbols = x + 512;
    void *parameters[] = {&x, &scale, &y, &symbols};
    CUlaunchConfig config = {2, 1, 1, 32, 1, 1, 60 << 10, stream.get(), nullptr, 0};
    TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuLaunchKernelEx(&config, model.kernel(0), parameters, nullptr), "launch"));
    // The second half of the block: y over what was x.
    TRANSOM_RETURN_IF_ERROR(driver.check(driver.cuMemcpyDtoHAsync(host.data(), y, 160, stream.get()), "copy"));
    TRANSOM_RETURN_IF_ERROR(stream.synchronize());
    for (int i = 0; i < 40; ++i)
      if (numbers[i] != static_cast<float>(2 * i * (i + 1)))
        return error(StatusCode::internal, "number {}: {}", i, numbers[i]);
    return {};
  }
  Status scenario(const Artifact &artifact) {
    TRANSOM_ASSIGN(std::shared_ptr<const CudaDevice> device, CudaDevice::open(0));
    TRANSOM_ASSIGN(std::shared_ptr<const CudaModel> model, CudaModel::load(artifact, device));
    return runOnce(*model, device);
  }
  test::TemporaryFolder folder;
};

// A whole model's way: weights uploaded, the kernel loaded and run, all of it gone at the end, whenever work is done.
TEST_F(FakeModel, LoadsAndRuns) {
  Artifact artifact = write(scaled());
  for (Timing timing : {Timing::eager, Timing::lazy})
    for (emulator::Order order : {emulator::Order::forward, emulator::Order::reverse}) {
      FakeCuda gpu({.timing = timing, .order = order, .countUnknownKernels = false});
      gpu.addKernels(emulate(artifact.contents()));
      EXPECT_EQ(scenario(artifact).message(), "");
      EXPECT_EQ(gpu.count("kernel fake_scale"), 1u);
      EXPECT_EQ(gpu.problems(), "");
    }
}

// An error at each call in turn: a status, nothing left behind, and all works again afterwards.
TEST_F(FakeModel, ErrorAtEachCall) {
  Artifact artifact = write(scaled());
  auto library = emulate(artifact.contents());
  for (CUresult result : {CUDA_ERROR_OUT_OF_MEMORY, CUDA_ERROR_INVALID_VALUE, CUDA_ERROR_ILLEGAL_ADDRESS}) {
    uint64_t failed = 0;
    for (uint64_t k = 1;; ++k) {
      ASSERT_LT(k, 1000u);
      FakeCuda gpu({.timing = Timing::lazy});
      gpu.addKernels(library);
      gpu.failAt(k, result);
      Status status = scenario(artifact);
      if (gpu.failedIn().empty()) {
        EXPECT_EQ(status.message(), "");
        break;
      }
      // What frees reports only what went wrong before, and a version serves messages alone.
      bool quiet = gpu.failedIn() == "cuDriverGetVersion" || gpu.failedIn().find("Free") != std::string::npos ||
                   gpu.failedIn().find("Destroy") != std::string::npos || gpu.failedIn().find("Unload") != std::string::npos ||
                   gpu.failedIn().find("Release") != std::string::npos || gpu.failedIn() == "cuCtxSetCurrent";
      EXPECT_TRUE(quiet || !status.ok()) << "call " << k << ", " << gpu.failedIn();
      failed += !status.ok();
      // A context that cannot be made current cannot free what lies in it.
      if (gpu.failedIn() != "cuCtxSetCurrent" || result == CUDA_ERROR_ILLEGAL_ADDRESS) {
        EXPECT_EQ(gpu.problems(), "") << "call " << k << ", " << gpu.failedIn();
      }
      gpu.failAt(0, CUDA_SUCCESS);
      EXPECT_EQ(scenario(artifact).message(), "") << "after call " << k;
    }
    EXPECT_GT(failed, 15u);
  }
}

// A kernel's fault is the stream's error from then on, and says what the kernel did.
TEST_F(FakeModel, FaultyKernel) {
  ArtifactBuilder b = scaled();
  b.contents.cudaKernels[0].source =
      "extern \"C\" __global__ void fake_scale(const float *x, const float *scale, float *y, const long long *symbols) {\n"
      "  if (threadIdx.x < 7)\n    __syncthreads();\n  else\n    __syncwarp();\n}\n";
  b.contents.cudaHeaders.clear();
  Artifact artifact = write(std::move(b));
  FakeCuda gpu;
  gpu.addKernels(emulate(artifact.contents()));
  Status status = scenario(artifact);
  EXPECT_NE(status.message().find("CUDA_ERROR_LAUNCH_FAILED"), std::string::npos) << status.message();
  ASSERT_EQ(gpu.faults().size(), 1u);
  EXPECT_EQ(gpu.faults()[0], "kernel fake_scale: kernel fake_scale: block (0, 0, 0): deadlock: 7 threads at __syncthreads (the first is 0), 25 "
                             "at a collective of their warp (the first is 7), 0 have ended");
  EXPECT_EQ(gpu.leaks().size(), 0u);
}

// A device that is too old is refused by what it is, before anything is allocated on it.
TEST_F(FakeModel, OldDevice) {
  Artifact artifact = write(scaled());
  FakeCuda gpu({.major = 7, .minor = 2});
  auto model = CudaModel::load(artifact, openDevice());
  ASSERT_FALSE(model.ok());
  EXPECT_EQ(model.status().code(), StatusCode::unsupported);
  EXPECT_TRUE(model.status().message().find("expected compute capability 7.5 or more, found 7.2") != std::string::npos) << model.status().message();
  EXPECT_EQ(gpu.count("cuMemAlloc"), 0u);
}

// A kernel that is for one device alone stands before one that this device has no room for; elsewhere it is not loaded.
TEST_F(FakeModel, ChoiceForOlderDevice) {
  ArtifactBuilder b = scaled("cuda:sm_75");
  b.contents.code.push_back({"cuda:sm_80", {}, {"fake_scale", "fake_wide"}, {}});
  b.contents.code[0].kernels.push_back("fake_wide");
  b.input.codeBytes = {fake::imageOf({"fake_scale", "fake_wide"}), fake::imageOf({"fake_scale", "fake_wide"})};
  artifact::CudaKernel wide = b.contents.cudaKernels[0];
  wide.name = "fake_wide", wide.sharedBytes = 70 << 10;
  b.contents.cudaKernels.push_back(wide);
  auto &launch = std::get<artifact::CudaLaunch>(b.contents.programs[0].steps[0].kind);
  launch.choices.push_back(launch.choices[0]);
  launch.choices[0].sm = 75, launch.choices[1].kernel = 1;
  Artifact artifact = write(std::move(b));
  for (auto [major, minor, own] : {std::tuple(7, 5, 0), std::tuple(8, 0, 1)}) {
    FakeCuda gpu({.major = major, .minor = minor, .sharedBytes = (major == 7 ? 64u : 163u) << 10});
    auto model = CudaModel::load(artifact, openDevice());
    ASSERT_EQ(model.status().message(), "");
    EXPECT_NE((*model)->kernel(size_t(own)), nullptr);
    EXPECT_EQ((*model)->kernel(size_t(1 - own)), nullptr);
  }
}

// A pointer to memory that is not there any more is found when the kernel runs.
TEST_F(FakeModel, DanglingParameter) {
  Artifact artifact = write(scaled());
  FakeCuda gpu({.timing = Timing::lazy});
  gpu.addKernels(emulate(artifact.contents()));
  std::shared_ptr<const CudaDevice> device = openDevice();
  std::shared_ptr<const CudaModel> model = *CudaModel::load(artifact, device);
  CudaStream stream = std::move(*CudaStream::create(device));
  CUdeviceptr memory = 0;
  ASSERT_EQ(device->driver().cuMemAlloc(&memory, 1024), CUDA_SUCCESS);
  ASSERT_EQ(device->driver().cuMemFree(memory), CUDA_SUCCESS);
  CUdeviceptr x = memory, scale = model->weight(0), y = memory, symbols = scale;
  void *parameters[] = {&x, &scale, &y, &symbols};
  CUlaunchConfig config = {1, 1, 1, 32, 1, 1, 128, stream.get(), nullptr, 0};
  EXPECT_EQ(device->driver().cuLaunchKernelEx(&config, model->kernel(0), parameters, nullptr), CUDA_SUCCESS);
  EXPECT_FALSE(stream.synchronize().ok());
  ASSERT_EQ(gpu.faults().size(), 1u);
  EXPECT_EQ(gpu.faults()[0], fmt::format("kernel fake_scale: parameter 0: 1 bytes at {:#x}, which is not allocated", memory));
}

// Kernels that no cubin has, or whose cubin lacks them, are refused before weights are uploaded.
TEST_F(FakeModel, MissingCode) {
  ArtifactBuilder b = scaled();
  b.input.codeBytes = {fake::imageOf({"another"})};
  Artifact artifact = write(std::move(b));
  FakeCuda gpu;
  EXPECT_EQ(scenario(artifact).message(), "code cuda:sm_80: kernel fake_scale: its code has no function of this name");
  EXPECT_EQ(gpu.count("cuMemAlloc"), 0u);
  EXPECT_EQ(gpu.problems(), "");
}

// A model that does not fit is refused with need and have.
TEST_F(FakeModel, TooLittleMemory) {
  Artifact artifact = write(scaled());
  FakeCuda gpu({.memoryBytes = 128});
  Status status = scenario(artifact);
  EXPECT_EQ(status.code(), StatusCode::outOfMemory);
  EXPECT_NE(status.message().find("needs 0.0 MiB of GPU memory"), std::string::npos) << status.message();
  EXPECT_EQ(gpu.problems(), "");
}

} // namespace
} // namespace transom
