// One program of a model on a GPU, as launches: its steps at the sizes of a bucket, captured into a graph. Kernels read the live
// sizes from the device, so one graph serves all sizes up to its own.
#pragma once

#include "runtime/cuda/CudaModel.h"
#include "runtime/cuda/Stream.h"

#include <memory>

namespace transom {

/// The most that `expr` can be while every symbol lies between its lower bound and `bucket`.
int64_t mostInBucket(const artifact::Expr &expr, std::span<const int64_t> bucket, std::span<const artifact::Symbol> symbols);

/// Where a program's buffers lie on the device. Arena and workspaces start at these addresses.
struct CudaAddresses {
  cuda::CUdeviceptr arena = 0, workspace = 0, libraryWorkspace = 0;
  cuda::CUdeviceptr symbols = 0; ///< an i64 for each of the artifact's
  std::vector<cuda::CUdeviceptr> inputs, outputs, states;
};

/// A graph that is ready to be launched. Move-only. May be destroyed while it runs.
class CudaGraph {
public:
  CudaGraph() = default;
  CudaGraph(std::shared_ptr<const CudaDevice> device, cuda::CUgraphExec graph) : device_(std::move(device)), graph_(graph) {}
  CudaGraph(CudaGraph &&other) noexcept { *this = std::move(other); }
  CudaGraph &operator=(CudaGraph &&other) noexcept {
    std::swap(device_, other.device_);
    std::swap(graph_, other.graph_);
    return *this;
  }
  ~CudaGraph();
  /// Null where empty.
  cuda::CUgraphExec get() const { return graph_; }

private:
  std::shared_ptr<const CudaDevice> device_;
  cuda::CUgraphExec graph_ = nullptr;
};

/// Used by one thread at a time, with the device current.
class CudaGraphs {
public:
  /// Model, contents and program outlive it.
  CudaGraphs(const CudaModel &model, const artifact::Contents &contents, const artifact::Program &program, CudaAddresses addresses);

  /// The program at one bucket.
  struct Bucket {
    std::vector<int64_t> sizes; ///< of all symbols; those that the program does not use: 0
    struct Launch {
      const artifact::CudaChoice *choice = nullptr; ///< null: nothing to do
      cuda::CUlaunchConfig config = {};
      std::vector<cuda::CUtensorMap> maps;
    };
    std::vector<Launch> launches;      ///< by step
    std::vector<size_t> products;      ///< by step: in `plans`; SIZE_MAX: no product, or nothing to do
    std::vector<GemmPlan> plans;       ///< equal ones once
    CudaGraph graph;                   ///< empty until graphOf()
    std::vector<CudaGraph> loop;       ///< empty until loopOf()
    uint64_t lastUse = 0;
  };

  /// The bucket of these live sizes, made where it is new; the bucket used longest ago goes where there are too many. Stays until
  /// the next call. Nothing of this program may run. Errors: unsupported and internal, naming the step.
  Result<Bucket *> bucketFor(std::span<const int64_t> symbols, cuda::CUstream stream);
  /// Its graph, captured where there is none. A capture that fails is ended, and nothing of it is left.
  Result<cuda::CUgraphExec> graphOf(Bucket &bucket, cuda::CUstream stream);
  /// Graphs that leave an output elsewhere, each at its place.
  Result<std::span<const CudaGraph>> loopOf(Bucket &bucket, size_t output, std::span<const cuda::CUdeviceptr> places, cuda::CUstream stream);
  /// Launches one step. `follows`: a step of ours stands before it in the same stream, so that it may start early.
  Status enqueue(Bucket &bucket, size_t step, bool follows, cuda::CUstream stream);
  /// Whether the step does something at this bucket.
  static bool works(const Bucket &bucket, size_t step) { return bucket.launches[step].choice || bucket.products[step] != SIZE_MAX; }

  cuda::CUdeviceptr addressOf(uint32_t buffer) const;
  size_t buckets() const { return buckets_.size(); }

private:
  void findSymbols();
  Result<CudaGraph> capture(Bucket &bucket, cuda::CUstream stream);
  /// From here on launches get `to` where they got `from`.
  void redirect(cuda::CUdeviceptr from, cuda::CUdeviceptr to);
  Status describe(Bucket &bucket, cuda::CUstream stream);
  Status describeLaunch(Bucket &bucket, size_t step, const artifact::CudaLaunch &launch);
  Status describeProduct(Bucket &bucket, size_t step, const artifact::CudaGemm &gemm, cuda::CUstream stream);
  Status encode(const artifact::TensorMap &map, const Bucket &bucket, cuda::CUtensorMap &out) const;
  GemmOperands operandsOf(const artifact::CudaGemm &gemm) const;
  /// The largest m that the step computes.
  int64_t mostRowsOf(const artifact::CudaGemm &gemm) const;
  Status launchKernel(Bucket::Launch &launch, size_t step, const artifact::CudaLaunch &what, bool follows, cuda::CUstream stream);
  Status at(size_t step, const Status &status) const;
  Status check(cuda::CUresult result, std::string_view what) const { return model_.device().driver().check(result, what); }

  const CudaModel &model_;
  const artifact::Contents &contents_;
  const artifact::Program &program_;
  CudaAddresses addresses_;
  /// By symbol: whether the program uses it; whether its graphs serve this size alone; whether powers of two are steps enough.
  std::vector<bool> used_, exact_, coarse_;
  std::vector<std::vector<cuda::CUdeviceptr>> arguments_; ///< by step: pointers after the maps
  std::vector<void *> parameters_;                        ///< of the launch under way
  std::vector<std::unique_ptr<Bucket>> buckets_;
  uint64_t uses_ = 0;
};

} // namespace transom
