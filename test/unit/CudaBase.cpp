// The CUDA runtime's base layer without a GPU: loading libraries, choosing cubins, compiling and caching kernels, memory.
#include "runtime/cuda/DeviceMemory.h"
#include "runtime/cuda/JitCache.h"
#include "runtime/cuda/Kernels.h"
#include "runtime/cuda/LibrarySearch.h"
#include "runtime/cuda/WeightUpload.h"
#include "runtime/support/File.h"
#include "test/unit/HostDriver.h"

#include <dlfcn.h>
#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <gtest/gtest.h>
#include <iterator>
#include <numeric>
#include <random>
#include <sys/stat.h>
#include <thread>
#include <unistd.h>

namespace transom {
namespace {

using namespace cuda;
using test::HostDriver;

bool contains(const std::string &text, const std::string &part) { return text.find(part) != std::string::npos; }

// Without a driver, the message says so in words a user understands.
TEST(Driver, MissingDriverIsNamed) {
  if (void *driver = ::dlopen("libcuda.so.1", RTLD_NOW)) {
    ::dlclose(driver);
    GTEST_SKIP() << "this machine has a driver";
  }
  Result<const Driver *> driver = Driver::get();
  ASSERT_FALSE(driver.ok());
  EXPECT_EQ(driver.status().code(), StatusCode::notFound);
  EXPECT_EQ(driver.status().message(), "no NVIDIA driver: libcuda.so.1 was not found");
  EXPECT_EQ(CudaDevice::open(0).status().message(), driver.status().message());
  EXPECT_FALSE(CudaDevice::count().ok());
}

// An error has the code that its kind deserves, and its name or number.
TEST(Driver, ErrorsAreClassified) {
  HostDriver host;
  const Driver &driver = **Driver::get();
  EXPECT_TRUE(driver.check(CUDA_SUCCESS, "x").ok());
  EXPECT_EQ(driver.check(CUDA_ERROR_OUT_OF_MEMORY, "x").code(), StatusCode::outOfMemory);
  EXPECT_EQ(driver.check(CUDA_ERROR_NO_BINARY_FOR_GPU, "x").code(), StatusCode::unsupported);
  EXPECT_EQ(driver.check(CUDA_ERROR_NO_DEVICE, "x").code(), StatusCode::notFound);
  EXPECT_EQ(driver.check(CUDA_ERROR_ILLEGAL_ADDRESS, "launch").message(), "launch: CUDA_ERROR_ILLEGAL_ADDRESS (an illegal address)");
  EXPECT_EQ(driver.check(CUDA_ERROR_INVALID_VALUE, "launch").message(), "launch: CUDA error 1");
  EXPECT_TRUE(isSticky(CUDA_ERROR_ILLEGAL_ADDRESS));
  EXPECT_FALSE(isSticky(CUDA_ERROR_OUT_OF_MEMORY));
  EXPECT_EQ(versionText(versionOf(driver)), "12.4");
}

// A GPU that is not there is refused by its number, saying how many there are.
TEST(Device, OrdinalIsChecked) {
  HostDriver host;
  for (int ordinal : {-1, 1, 100})
    EXPECT_EQ(CudaDevice::open(ordinal).status().message(), fmt::format("no GPU {}: there is 1, counted from 0", ordinal));
  {
    Result<std::shared_ptr<const CudaDevice>> device = CudaDevice::open(0);
    ASSERT_TRUE(device.ok());
    EXPECT_EQ((*device)->info().name, "Host");
    EXPECT_EQ((*device)->info().architecture(), "sm_86");
    EXPECT_EQ(host.alive, 1);
  }
  EXPECT_EQ(host.alive, 0);
}

// Memory that is not there is refused with need and have; what was allocated is zero where that was asked for, and is freed.
TEST(DeviceMemory, NeedAndHave) {
  HostDriver host;
  {
    std::shared_ptr<const CudaDevice> device = *CudaDevice::open(0);
    Result<DeviceMemory> half = DeviceMemory::allocate(device, HostDriver::totalBytes / 2, "half", Fill::zeros);
    ASSERT_TRUE(half.ok());
    auto *data = reinterpret_cast<const char *>(static_cast<uintptr_t>(half->pointer()));
    EXPECT_TRUE(std::all_of(data, data + half->bytes(), [](char c) { return c == 0; }));
    Result<DeviceMemory> whole = DeviceMemory::allocate(device, HostDriver::totalBytes, "caches", Fill::nothing);
    ASSERT_FALSE(whole.ok());
    EXPECT_EQ(whole.status().code(), StatusCode::outOfMemory);
    EXPECT_EQ(whole.status().message(), "needs 64.0 MiB of GPU memory for caches, 32.0 MiB of 64.0 MiB are free");
    EXPECT_EQ(checkFree(*device, HostDriver::totalBytes, "caches").message(), whole.status().message());
    EXPECT_TRUE(checkFree(*device, HostDriver::totalBytes / 2, "caches").ok());
    EXPECT_EQ(DeviceMemory::allocate(device, 0, "nothing", Fill::zeros)->pointer(), 0u);
  }
  EXPECT_EQ(host.alive, 0);
}

/// Pieces with gaps, of all sizes, one longer than several chunks.
struct Pieces {
  std::vector<std::byte> source = std::vector<std::byte>(size_t(20) << 20);
  std::vector<UploadPiece> pieces;
  std::vector<std::byte> expected;

  Pieces() {
    std::mt19937 random(1);
    for (std::byte &byte : source)
      byte = static_cast<std::byte>(random());
    size_t from = 0, to = 0;
    for (size_t size : {size_t(100), size_t(256), size_t(9) << 20, size_t(1), size_t(0), size_t(5) << 20, size_t(4097), size_t(3) << 20}) {
      pieces.push_back({std::span(source).subspan(from, size), to});
      expected.resize(to + size);
      std::copy_n(source.begin() + static_cast<ptrdiff_t>(from), size, expected.begin() + static_cast<ptrdiff_t>(to));
      from += size;
      to = (to + std::max<size_t>(size, 1) + 255) / 256 * 256;
    }
    expected.resize(to);
  }
};

// What arrives on the device is every piece in its place, and zeros between them.
TEST(WeightUpload, EveryByteArrives) {
  HostDriver host;
  {
    Pieces p;
    std::shared_ptr<const CudaDevice> device = *CudaDevice::open(0);
    Result<DeviceMemory> memory = DeviceMemory::allocate(device, p.expected.size(), "weights", Fill::nothing);
    ASSERT_TRUE(memory.ok());
    Status status = uploadWeights(device, memory->pointer(), memory->bytes(), p.pieces);
    ASSERT_TRUE(status.ok()) << status.message();
    EXPECT_EQ(std::memcmp(reinterpret_cast<const void *>(static_cast<uintptr_t>(memory->pointer())), p.expected.data(),
                          p.expected.size()), 0);
  }
  EXPECT_EQ(host.alive, 0);
}

// A copy that fails, whichever it is, is reported, and nothing is left behind.
TEST(WeightUpload, FailuresAreReported) {
  HostDriver host;
  Pieces p;
  {
    std::shared_ptr<const CudaDevice> device = *CudaDevice::open(0);
    Result<DeviceMemory> memory = DeviceMemory::allocate(device, p.expected.size(), "weights", Fill::nothing);
    ASSERT_TRUE(memory.ok());
    for (int copies = 0; copies < 5; ++copies) {
      host.copiesLeft = copies;
      Status status = uploadWeights(device, memory->pointer(), memory->bytes(), p.pieces);
      EXPECT_EQ(status.message(), "uploading weights: CUDA_ERROR_ILLEGAL_ADDRESS (an illegal address)");
    }
    EXPECT_EQ(host.alive, 2); // context and block
  }
  EXPECT_EQ(host.alive, 0);
}

artifact::Code codeFor(const std::string &target, std::vector<std::string> kernels = {"a", "b"}) {
  return {target, {}, std::move(kernels), {}};
}

// The best cubin that runs: the exact architecture, features first, then the highest below it of the same major number.
TEST(Kernels, CubinForDevice) {
  std::vector<artifact::Code> code = {codeFor("cpu:x86-64-v3"), codeFor("cuda:sm_80"),  codeFor("cuda:sm_90a"), codeFor("cuda:sm_86"),
                                      codeFor("cuda:sm_90"),    codeFor("cuda:sm_100f")};
  auto target = [&](int major, int minor, const char *kernel = "a") -> std::string {
    std::optional<size_t> index = chooseCubin(code, kernel, major, minor);
    return index ? code[*index].target : "none";
  };
  EXPECT_EQ(target(8, 0), "cuda:sm_80");
  EXPECT_EQ(target(8, 6), "cuda:sm_86");
  EXPECT_EQ(target(8, 9), "cuda:sm_86");
  EXPECT_EQ(target(9, 0), "cuda:sm_90a");
  EXPECT_EQ(target(10, 0), "cuda:sm_100f");
  EXPECT_EQ(target(10, 3), "cuda:sm_100f");
  EXPECT_EQ(target(7, 5), "none");
  EXPECT_EQ(target(12, 0), "none");
  EXPECT_EQ(target(8, 0, "c"), "none");
  // A cubin with features of one architecture runs on no other.
  code = {codeFor("cuda:sm_100a"), codeFor("cuda:sm_90a", {"a"}), codeFor("cuda:sm_90", {"b"})};
  EXPECT_EQ(target(10, 3), "none");
  EXPECT_EQ(target(10, 0), "cuda:sm_100a");
  // Kernels may lie in different sections.
  EXPECT_EQ(target(9, 0, "a"), "cuda:sm_90a");
  EXPECT_EQ(target(9, 0, "b"), "cuda:sm_90");
}

// What is compiled on the machine is for its own architecture, or the nearest that the compiler knows.
TEST(Kernels, ArchitectureForDevice) {
  const std::vector<int> known = {75, 80, 86, 89, 90, 100, 120};
  EXPECT_EQ(chooseArchitecture(known, 7, 5), "sm_75");
  EXPECT_EQ(chooseArchitecture(known, 8, 7), "sm_86");
  EXPECT_EQ(chooseArchitecture(known, 8, 9), "sm_89");
  EXPECT_EQ(chooseArchitecture(known, 9, 0), "sm_90a");
  EXPECT_EQ(chooseArchitecture(known, 10, 3), "sm_100");
  EXPECT_EQ(chooseArchitecture(known, 7, 0), std::nullopt);
  EXPECT_EQ(chooseArchitecture(known, 13, 0), std::nullopt);
}

// A library that a variable names is the only one that is tried.
TEST(LibrarySearch, EnvironmentDecides) {
  const LibraryName name = {"Thing", "TRANSOM_TEST_THING", "libthing.so", "thing", "nvidia-thing"};
  ::setenv("TRANSOM_TEST_THING", "/nowhere/libthing.so", 1);
  Result<OpenedLibrary> opened = openCudaLibrary(name);
  ::unsetenv("TRANSOM_TEST_THING");
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().code(), StatusCode::notFound);
  EXPECT_TRUE(contains(opened.status().message(), "Thing as TRANSOM_TEST_THING names it cannot be loaded: /nowhere/libthing.so"))
      << opened.status().message();
}

// A library that is nowhere is named with what was tried and what to do.
TEST(LibrarySearch, MissingLibrarySaysWhatToDo) {
  const LibraryName name = {"Thing", "TRANSOM_TEST_THING", "libthing.so", "thing", "nvidia-thing"};
  Result<OpenedLibrary> opened = openCudaLibrary(name);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.status().message(), "Thing was not found (tried libthing.so.13, libthing.so.12); install the CUDA toolkit or "
                                       "NVIDIA's wheel nvidia-thing, or name the library in TRANSOM_TEST_THING");
}

/// A folder that is gone with the object.
struct Folder {
  std::string path = "/tmp/transom-cuda-XXXXXX";
  Folder() { EXPECT_NE(::mkdtemp(path.data()), nullptr); }
  ~Folder() { std::filesystem::remove_all(path); }
};

// Libraries in a venv's wheels are found beside others.
TEST(LibrarySearch, WheelsOfTheActiveVenv) {
  Folder venv;
  std::string file = venv.path + "/lib/python3.11/site-packages/nvidia/thing/lib/libthing.so.12";
  std::filesystem::create_directories(std::filesystem::path(file).parent_path());
  std::ofstream(file) << "no library";
  const char *before = std::getenv("VIRTUAL_ENV");
  std::string kept = before ? before : "";
  ::setenv("VIRTUAL_ENV", venv.path.c_str(), 1);
  std::vector<std::string> candidates = libraryCandidates({"Thing", "TRANSOM_TEST_THING", "libthing.so", "thing", "nvidia-thing"});
  before ? ::setenv("VIRTUAL_ENV", kept.c_str(), 1) : ::unsetenv("VIRTUAL_ENV");
  EXPECT_EQ(candidates, (std::vector<std::string>{"libthing.so.13", "libthing.so.12", file}));
}

class NvrtcTest : public testing::Test {
protected:
  void SetUp() override {
    if (Result<const Nvrtc *> library = Nvrtc::get(); !library.ok())
      GTEST_SKIP() << library.status().message();
  }
  static const Nvrtc &nvrtc() { return **Nvrtc::get(); }

  const std::vector<NvrtcHeader> headers = {{"Twice.cuh", "#pragma once\ninline float twice(float x) { return x * 2; }\n"},
                                            {"Wrong.cuh", "\ninline float wrong(float x) { return x * missing; }\n"}};
  NvrtcInput input(std::string source, std::string architecture = "sm_80") const {
    return {"scale", std::move(source), headers, std::move(architecture), 0};
  }
  const std::string good = "#include \"Twice.cuh\"\nextern \"C\" __global__ void scale(float *x) { x[threadIdx.x] = twice(x[threadIdx.x]); }\n";
};

// A kernel becomes an ELF image for each architecture, the same each time, whichever thread compiles it.
TEST_F(NvrtcTest, CompilesDeterministically) {
  std::vector<std::vector<std::byte>> first;
  for (const char *architecture : {"sm_80", "sm_90a"}) {
    NvrtcLog log;
    Result<std::vector<std::byte>> cubin = nvrtc().compileCubin(input(good, architecture), &log);
    ASSERT_TRUE(cubin.ok()) << cubin.status().message();
    ASSERT_GT(cubin->size(), 64u);
    EXPECT_EQ(std::memcmp(cubin->data(), "\177ELF", 4), 0);
    EXPECT_GT(log.registers, 0u);
    EXPECT_EQ(log.spillBytes, 0u);
    EXPECT_TRUE(contains(log.text, "'scale'")) << log.text;
    first.push_back(*cubin);
  }
  EXPECT_NE(first[0], first[1]);
  std::vector<std::jthread> threads;
  std::atomic<int> same = 0;
  for (int i = 0; i < 4; ++i)
    threads.emplace_back([&] {
      Result<std::vector<std::byte>> again = nvrtc().compileCubin(input(good));
      same += again.ok() && *again == first[0];
    });
  threads.clear();
  EXPECT_EQ(same, 4);
}

// An error names kernel, file, line and the text of that line, in the source as in a header.
TEST_F(NvrtcTest, ErrorsNameTheLine) {
  Result<std::vector<std::byte>> cubin = nvrtc().compileCubin(input("\n\nextern \"C\" __global__ void scale(float *x) {\n  *x = nothing;\n}\n"));
  ASSERT_FALSE(cubin.ok());
  EXPECT_EQ(cubin.status().code(), StatusCode::unsupported);
  EXPECT_EQ(cubin.status().message(), "kernel scale: scale.cu(4): error: identifier \"nothing\" is undefined: *x = nothing;");
  NvrtcLog log;
  cubin = nvrtc().compileCubin(input("#include \"Wrong.cuh\"\nextern \"C\" __global__ void scale(float *x) { *x = wrong(*x); }\n"), &log);
  ASSERT_FALSE(cubin.ok());
  EXPECT_EQ(cubin.status().message(), "kernel scale: Wrong.cuh(2): error: identifier \"missing\" is undefined: "
                                      "inline float wrong(float x) { return x * missing; }");
  EXPECT_TRUE(contains(log.text, "1 error detected")) << log.text;
}

// What a GPU has no place for, and an architecture nobody knows, are named.
TEST_F(NvrtcTest, LimitsAreNamed) {
  Result<std::vector<std::byte>> cubin = nvrtc().compileCubin(input(
      "extern \"C\" __global__ void scale(float *x) { __shared__ float s[100000]; s[threadIdx.x] = *x; *x = s[threadIdx.y]; }"));
  ASSERT_FALSE(cubin.ok());
  EXPECT_TRUE(contains(cubin.status().message(), "kernel scale: ")) << cubin.status().message();
  EXPECT_TRUE(contains(cubin.status().message(), "400000 bytes")) << cubin.status().message();
  cubin = nvrtc().compileCubin(input(good, "sm_999"));
  ASSERT_FALSE(cubin.ok());
  EXPECT_TRUE(contains(cubin.status().message(), "--gpu-architecture=sm_999")) << cubin.status().message();
}

// Sources see the headers that they are given, and no file of the machine.
TEST_F(NvrtcTest, FilesAreNotFound) {
  Folder folder;
  std::filesystem::path before = std::filesystem::current_path();
  std::ofstream(folder.path + "/There.cuh") << "\n";
  std::filesystem::current_path(folder.path);
  Result<std::vector<std::byte>> cubin = nvrtc().compileCubin(input("#include \"There.cuh\"\n" + good));
  std::filesystem::current_path(before);
  ASSERT_FALSE(cubin.ok());
  EXPECT_TRUE(contains(cubin.status().message(), "There.cuh")) << cubin.status().message();
}

std::vector<std::byte> bytesOf(const std::string &path) {
  std::ifstream stream(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(stream), {}};
  auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

void writeTo(const std::string &path, const std::vector<std::byte> &bytes) {
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char *>(bytes.data()), std::streamsize(bytes.size()));
}

/// Changes when the file is written anew.
ino_t inodeOf(const std::string &path) {
  struct stat info = {};
  EXPECT_EQ(::stat(path.c_str(), &info), 0);
  return info.st_ino;
}

using JitCacheTest = NvrtcTest;

// The second compile takes the file of the first and writes none.
TEST_F(JitCacheTest, SecondCompileReadsTheFile) {
  Folder folder;
  JitCache cache(folder.path + "/deep/er");
  Result<std::vector<std::byte>> first = cache.compile(nvrtc(), input(good));
  ASSERT_TRUE(first.ok()) << first.status().message();
  std::string path = cache.pathOf(input(good), nvrtc().version());
  ino_t written = inodeOf(path);
  Result<std::vector<std::byte>> second = cache.compile(nvrtc(), input(good));
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_EQ(inodeOf(path), written);
}

// A damaged file, or one of another kernel, is never used: the kernel is compiled and the file replaced.
TEST_F(JitCacheTest, DamagedFilesAreReplaced) {
  Folder folder;
  JitCache cache(folder.path);
  std::string path = cache.pathOf(input(good), nvrtc().version());
  std::vector<std::byte> cubin = *cache.compile(nvrtc(), input(good)), file = bytesOf(path);
  ASSERT_GT(file.size(), cubin.size());
  NvrtcInput other = input(good + "// another\n");
  ASSERT_TRUE(cache.compile(nvrtc(), other).ok());
  auto flipped = [&](size_t at) {
    std::vector<std::byte> damaged = file;
    damaged[at] ^= std::byte(1);
    return damaged;
  };
  std::vector<std::byte> cut(file.begin(), file.end() - 1), longer = file;
  longer.push_back(std::byte(0));
  for (const std::vector<std::byte> &damaged :
       {flipped(0), flipped(8), flipped(24), flipped(32), flipped(40), flipped(file.size() - 1), cut, longer,
        std::vector<std::byte>(), bytesOf(cache.pathOf(other, nvrtc().version()))}) {
    writeTo(path, damaged);
    ino_t written = inodeOf(path);
    Result<std::vector<std::byte>> again = cache.compile(nvrtc(), input(good));
    ASSERT_TRUE(again.ok());
    EXPECT_EQ(*again, cubin);
    EXPECT_NE(inodeOf(path), written);
    EXPECT_EQ(bytesOf(path), file);
  }
}

// A folder that cannot be written is no error, and errors of the compiler are not kept.
TEST_F(JitCacheTest, WithoutAPlaceItOnlyCompiles) {
  Folder folder;
  std::ofstream(folder.path + "/file") << "x";
  EXPECT_TRUE(JitCache(folder.path + "/file/cache").compile(nvrtc(), input(good)).ok());
  EXPECT_TRUE(JitCache("").compile(nvrtc(), input(good)).ok());
  JitCache cache(folder.path);
  NvrtcInput wrong = input("wrong");
  EXPECT_FALSE(cache.compile(nvrtc(), wrong).ok());
  EXPECT_FALSE(isThere(cache.pathOf(wrong, nvrtc().version())));
}

// Whatever changes the cubin changes the file's name.
TEST(JitCache, KeyCoversEverything) {
  JitCache cache("/cache");
  std::vector<NvrtcHeader> headers = {{"A", "text"}}, otherText = {{"A", "texts"}}, otherName = {{"B", "text"}}, moved = {{"At", "ext"}};
  NvrtcInput base = {"k", "source", headers, "sm_80", 0};
  std::vector<std::string> paths = {cache.pathOf(base, "13.0"), cache.pathOf(base, "12.9"),
                                    cache.pathOf({"l", "source", headers, "sm_80", 0}, "13.0"),
                                    cache.pathOf({"k", "sources", headers, "sm_80", 0}, "13.0"),
                                    cache.pathOf({"k", "source", otherText, "sm_80", 0}, "13.0"),
                                    cache.pathOf({"k", "source", otherName, "sm_80", 0}, "13.0"),
                                    cache.pathOf({"k", "source", moved, "sm_80", 0}, "13.0"),
                                    cache.pathOf({"k", "source", {}, "sm_80", 0}, "13.0"),
                                    cache.pathOf({"k", "source", headers, "sm_86", 0}, "13.0"),
                                    cache.pathOf({"k", "source", headers, "sm_80", 64}, "13.0")};
  std::vector<std::string> unique = paths;
  std::sort(unique.begin(), unique.end());
  EXPECT_EQ(std::unique(unique.begin(), unique.end()), unique.end());
  EXPECT_EQ(paths[0], cache.pathOf(base, "13.0"));
  EXPECT_TRUE(paths[0].starts_with("/cache/") && paths[0].ends_with(".cubin"));
}

// TRANSOM_CACHE decides, then XDG_CACHE_HOME, then the home folder.
TEST(JitCache, StandardFolder) {
  std::map<std::string, std::optional<std::string>> before;
  for (const char *name : {"TRANSOM_CACHE", "XDG_CACHE_HOME", "HOME"})
    before[name] = std::getenv(name) ? std::optional<std::string>(std::getenv(name)) : std::nullopt;
  NvrtcInput any = {"k", "source", {}, "sm_80", 0};
  auto folder = [&] { return std::filesystem::path(JitCache::standard().pathOf(any, "13.0")).parent_path().string(); };
  ::setenv("TRANSOM_CACHE", "/one", 1);
  ::setenv("XDG_CACHE_HOME", "/two", 1);
  ::setenv("HOME", "/three", 1);
  EXPECT_EQ(folder(), "/one");
  ::unsetenv("TRANSOM_CACHE");
  EXPECT_EQ(folder(), "/two/transom");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(folder(), "/three/.cache/transom");
  for (const auto &[name, value] : before)
    value ? ::setenv(name.c_str(), value->c_str(), 1) : ::unsetenv(name.c_str());
}

} // namespace
} // namespace transom
