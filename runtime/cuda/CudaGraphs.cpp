// See CudaGraphs.h.
#include "runtime/cuda/CudaGraphs.h"

#include "runtime/format/Buckets.h"

#include <algorithm>

namespace transom {

using namespace cuda;

int64_t mostInBucket(const artifact::Expr &expr, std::span<const int64_t> bucket, std::span<const artifact::Symbol> symbols) {
  int64_t sum = 0;
  for (const artifact::Term &term : expr.terms) {
    int64_t product = term.coefficient;
    for (uint16_t symbol : term.symbols)
      product *= term.coefficient >= 0 ? bucket[symbol] : symbols[symbol].min;
    sum += product;
  }
  return std::max<int64_t>(sum, 0);
}

CudaGraph::~CudaGraph() {
  if (graph_ && device_->makeCurrent().ok())
    device_->driver().cuGraphExecDestroy(graph_);
}

CudaGraphs::CudaGraphs(const CudaModel &model, const artifact::Contents &contents, const artifact::Program &program,
                       CudaAddresses addresses)
    : model_(model), contents_(contents), program_(program), addresses_(std::move(addresses)), used_(contents.symbols.size()),
      exact_(contents.symbols.size()), coarse_(contents.symbols.size()) {
  findSymbols();
  size_t most = 0;
  for (const artifact::Step &step : program.steps) {
    std::vector<CUdeviceptr> &arguments = arguments_.emplace_back();
    auto *launch = std::get_if<artifact::CudaLaunch>(&step.kind);
    if (!launch)
      continue;
    for (uint32_t buffer : launch->buffers)
      arguments.push_back(addressOf(buffer));
    arguments.push_back(addresses_.symbols);
    if (launch->workspace >= 0)
      arguments.push_back(addressOf(static_cast<uint32_t>(launch->workspace)));
    most = std::max(most, launch->maps.size() + arguments.size());
  }
  parameters_.reserve(most);
}

/// Sizes that a product's layout or a map's strides depend on must be those of the run.
void CudaGraphs::findSymbols() {
  auto mark = [](const artifact::Expr &expr, std::vector<bool> &marks) {
    for (const artifact::Term &term : expr.terms)
      for (uint16_t symbol : term.symbols)
        marks[symbol] = true;
  };
  auto markAll = [&](const std::vector<artifact::Expr> &exprs, std::vector<bool> &marks) {
    for (const artifact::Expr &expr : exprs)
      mark(expr, marks);
  };
  for (const artifact::Buffer &buffer : program_.buffers)
    if (buffer.kind != artifact::BufferKind::state)
      markAll(buffer.shape, used_);
  for (const artifact::Step &step : program_.steps) {
    if (auto *launch = std::get_if<artifact::CudaLaunch>(&step.kind)) {
      mark(launch->rows, used_);
      for (const artifact::CudaChoice &choice : launch->choices)
        markAll(choice.grid, used_);
      for (const artifact::TensorMap &map : launch->maps)
        markAll(map.strides, exact_);
    } else if (auto *gemm = std::get_if<artifact::CudaGemm>(&step.kind)) {
      mark(gemm->m, used_);
      mark(gemm->n, exact_);
      mark(gemm->k, exact_);
    }
  }
  for (size_t i = 0; i < used_.size(); ++i)
    used_[i] = used_[i] || exact_[i];
  // Where tokens are packed, all work but the packing itself follows their number: of the padded sizes a few graphs suffice.
  for (const artifact::Step &step : program_.steps)
    if (std::holds_alternative<artifact::Size>(step.kind))
      coarse_.assign(used_.size(), true);
  for (const artifact::Step &step : program_.steps)
    if (auto *size = std::get_if<artifact::Size>(&step.kind))
      coarse_[size->symbol] = false;
}

CUdeviceptr CudaGraphs::addressOf(uint32_t index) const {
  const artifact::Buffer &buffer = program_.buffers[index];
  switch (buffer.kind) {
  case artifact::BufferKind::arena:
    return addresses_.arena + buffer.offset;
  case artifact::BufferKind::workspace:
    return addresses_.workspace + buffer.offset;
  case artifact::BufferKind::weight:
    return model_.weight(buffer.index);
  case artifact::BufferKind::input:
    return addresses_.inputs[buffer.index];
  case artifact::BufferKind::output:
    return addresses_.outputs[buffer.index];
  default:
    return addresses_.states[buffer.index];
  }
}

Status CudaGraphs::at(size_t step, const Status &status) const {
  return status.ok() ? status : status.within(fmt::format("step {} ({})", step, program_.steps[step].source));
}

Result<CudaGraphs::Bucket *> CudaGraphs::bucketFor(std::span<const int64_t> symbols, CUstream stream) {
  std::vector<int64_t> sizes(symbols.size());
  for (size_t i = 0; i < sizes.size(); ++i)
    if (used_[i])
      sizes[i] = exact_[i] ? symbols[i] : artifact::bucketOf(symbols[i], contents_.symbols[i], coarse_[i]);
  auto found = std::find_if(buckets_.begin(), buckets_.end(), [&](const auto &bucket) { return bucket->sizes == sizes; });
  if (found == buckets_.end()) {
    auto bucket = std::make_unique<Bucket>();
    bucket->sizes = std::move(sizes);
    TRANSOM_RETURN_IF_ERROR(describe(*bucket, stream));
    auto older = [](const auto &a, const auto &b) { return a->lastUse < b->lastUse; };
    if (buckets_.size() == artifact::mostGraphs)
      buckets_.erase(std::min_element(buckets_.begin(), buckets_.end(), older));
    buckets_.push_back(std::move(bucket));
    found = buckets_.end() - 1;
  }
  (*found)->lastUse = ++uses_;
  return found->get();
}

Status CudaGraphs::describe(Bucket &bucket, CUstream stream) {
  bucket.launches.resize(program_.steps.size());
  bucket.products.assign(program_.steps.size(), SIZE_MAX);
  for (size_t i = 0; i < program_.steps.size(); ++i) {
    if (auto *launch = std::get_if<artifact::CudaLaunch>(&program_.steps[i].kind))
      TRANSOM_RETURN_IF_ERROR(at(i, describeLaunch(bucket, i, *launch)));
    else if (auto *gemm = std::get_if<artifact::CudaGemm>(&program_.steps[i].kind))
      TRANSOM_RETURN_IF_ERROR(at(i, describeProduct(bucket, i, *gemm, stream)));
  }
  return {};
}

Status CudaGraphs::describeLaunch(Bucket &bucket, size_t step, const artifact::CudaLaunch &launch) {
  const CudaDeviceInfo &info = model_.device().info();
  uint32_t sm = info.sm();
  int64_t rows = mostInBucket(launch.rows, bucket.sizes, contents_.symbols);
  if (!launch.when.holds(rows, sm))
    return {};
  auto fits = [&](const artifact::CudaChoice &choice) {
    return choice.most >= rows && (choice.sm == 0 || choice.sm == sm) && model_.kernel(choice.kernel);
  };
  auto choice = std::find_if(launch.choices.begin(), launch.choices.end(), fits);
  if (choice == launch.choices.end())
    return error(StatusCode::unsupported, "no kernel for {} rows on {}", rows, info.architecture());
  unsigned grid[3] = {1, 1, 1}, block[3] = {1, 1, 1};
  for (size_t axis = 0; axis < choice->grid.size(); ++axis) {
    int64_t blocks = blocksOf(*choice, axis, mostInBucket(choice->grid[axis], bucket.sizes, contents_.symbols));
    if (blocks == 0)
      return {};
    grid[axis] = static_cast<unsigned>(blocks);
  }
  const artifact::CudaKernel &kernel = contents_.cudaKernels[choice->kernel];
  std::copy(kernel.block.begin(), kernel.block.end(), block);
  Bucket::Launch &out = bucket.launches[step];
  out.choice = &*choice;
  out.config = {grid[0], grid[1], grid[2], block[0], block[1], block[2], kernel.sharedBytes, nullptr, nullptr, 0};
  if (kernel.stays && info.major >= 9) {
    int clusters = 0;
    TRANSOM_RETURN_IF_ERROR(check(model_.device().driver().cuOccupancyMaxActiveClusters(&clusters, model_.kernel(choice->kernel), &out.config),
                                  fmt::format("asking how many clusters of {} run at once", kernel.name)));
    if (clusters <= 0)
      return error(StatusCode::unsupported, "kernel {}: {} has no room for a cluster of {} blocks", kernel.name, info.name, kernel.stays);
    out.config.gridDimX = std::min(out.config.gridDimX, static_cast<unsigned>(clusters) * kernel.stays);
  }
  out.maps.resize(launch.maps.size());
  // Devices before 9.0 have no use for maps; their kernels get them all the same.
  for (size_t i = 0; i < launch.maps.size() && info.major >= 9; ++i)
    TRANSOM_RETURN_IF_ERROR(encode(launch.maps[i], bucket, out.maps[i]));
  return {};
}

/// Sizes are those at the bounds: what lies outside the live tensor is memory of ours, and kernels pass it over.
Status CudaGraphs::encode(const artifact::TensorMap &map, const Bucket &bucket, CUtensorMap &out) const {
  constexpr size_t maxRank = 5;
  uint64_t sizes[maxRank] = {}, strides[maxRank] = {};
  uint32_t steps[maxRank] = {1, 1, 1, 1, 1};
  DType dtype = program_.buffers[map.buffer].dtype;
  for (size_t i = 0; i < map.sizes.size(); ++i) {
    sizes[i] = std::max<uint64_t>(upperBound(map.sizes[i], contents_.symbols).value(), 1);
    if (i > 0)
      strides[i - 1] = layoutOf(dtype).bytes * static_cast<uint64_t>(evaluate(map.strides[i - 1], bucket.sizes));
  }
  auto type = dtype == DType::f8e4m3 ? CU_TENSOR_MAP_DATA_TYPE_UINT8 : dtype == DType::bf16 ? CU_TENSOR_MAP_DATA_TYPE_BFLOAT16 : CU_TENSOR_MAP_DATA_TYPE_FLOAT16;
  CUtensorMapSwizzle swizzle = map.box[0] * layoutOf(dtype).bytes == 128 ? CU_TENSOR_MAP_SWIZZLE_128B : CU_TENSOR_MAP_SWIZZLE_NONE;
  CUresult result = model_.device().driver().cuTensorMapEncodeTiled(
      &out, type, static_cast<uint32_t>(map.sizes.size()), reinterpret_cast<void *>(addressOf(map.buffer)), sizes, strides,
      map.box.data(), steps, CU_TENSOR_MAP_INTERLEAVE_NONE, swizzle, CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
      CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
  return check(result, "describing a tensor");
}

GemmOperands CudaGraphs::operandsOf(const artifact::CudaGemm &gemm) const {
  auto optional = [&](int32_t buffer) { return buffer < 0 ? CUdeviceptr(0) : addressOf(static_cast<uint32_t>(buffer)); };
  return {.lhs = addressOf(gemm.lhs), .rhs = addressOf(gemm.rhs), .out = addressOf(gemm.out), .bias = optional(gemm.bias),
          .residual = optional(gemm.residual), .workspace = addresses_.libraryWorkspace};
}

int64_t CudaGraphs::mostRowsOf(const artifact::CudaGemm &gemm) const {
  return std::min(static_cast<int64_t>(upperBound(gemm.m, contents_.symbols).value()), gemm.when.most);
}

Status CudaGraphs::describeProduct(Bucket &bucket, size_t step, const artifact::CudaGemm &gemm, CUstream stream) {
  GemmSpec spec{.type = program_.buffers[gemm.lhs].dtype, .out = program_.buffers[gemm.out].dtype,
                .m = mostInBucket(gemm.m, bucket.sizes, contents_.symbols), .n = evaluate(gemm.n, bucket.sizes),
                .k = evaluate(gemm.k, bucket.sizes), .compute = gemm.compute, .activation = gemm.activation,
                .bias = gemm.bias >= 0, .residual = gemm.residual >= 0, .workspace = gemm.workspace};
  if (spec.m == 0 || spec.n <= 0 || spec.k <= 0 || !gemm.when.holds(spec.m, model_.device().info().sm()))
    return {};
  auto alike = [&](const artifact::CudaGemm &other) {
    return other.algorithm == gemm.algorithm && other.oneAlgorithm == gemm.oneAlgorithm && (!gemm.oneAlgorithm || mostRowsOf(other) == mostRowsOf(gemm));
  };
  for (size_t other = 0; other < step; ++other)
    if (size_t plan = bucket.products[other];
        plan != SIZE_MAX && bucket.plans[plan].spec() == spec && alike(std::get<artifact::CudaGemm>(program_.steps[other].kind))) {
      bucket.products[step] = plan;
      return {};
    }
  TRANSOM_ASSIGN(GemmPlan plan, gemm.oneAlgorithm ? GemmPlan::createForAllRows(model_.cublasLt(), spec, mostRowsOf(gemm), gemm.algorithm)
                                                  : GemmPlan::create(model_.cublasLt(), spec, gemm.algorithm));
  // The library loads its kernels when a product first runs, which a capture would not allow. Between runs the arena and outputs
  // hold nothing that is needed.
  artifact::BufferKind kind = program_.buffers[gemm.out].kind;
  if (kind == artifact::BufferKind::arena || kind == artifact::BufferKind::output)
    TRANSOM_RETURN_IF_ERROR(plan.run(stream, operandsOf(gemm)));
  bucket.products[step] = bucket.plans.size();
  bucket.plans.push_back(std::move(plan));
  return {};
}

Status CudaGraphs::enqueue(Bucket &bucket, size_t step, bool follows, CUstream stream) {
  if (!works(bucket, step))
    return {};
  if (auto *launch = std::get_if<artifact::CudaLaunch>(&program_.steps[step].kind))
    return at(step, launchKernel(bucket.launches[step], step, *launch, follows, stream));
  auto &gemm = std::get<artifact::CudaGemm>(program_.steps[step].kind);
  return at(step, bucket.plans[bucket.products[step]].run(stream, operandsOf(gemm)));
}

Status CudaGraphs::launchKernel(Bucket::Launch &launch, size_t step, const artifact::CudaLaunch &what, bool follows, CUstream stream) {
  parameters_.clear();
  for (CUtensorMap &map : launch.maps)
    parameters_.push_back(&map);
  for (CUdeviceptr &argument : arguments_[step])
    parameters_.push_back(&argument);
  CUlaunchAttribute early = {};
  early.id = CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION;
  early.value.programmaticStreamSerializationAllowed = 1;
  CUlaunchConfig config = launch.config;
  config.hStream = stream;
  if (what.dependent && follows && model_.device().info().major >= 9) {
    config.attrs = &early;
    config.numAttrs = 1;
  }
  CUresult result =
      model_.device().driver().cuLaunchKernelEx(&config, model_.kernel(launch.choice->kernel), parameters_.data(), nullptr);
  return result == CUDA_SUCCESS ? Status()
                                : check(result, fmt::format("launching {}", contents_.cudaKernels[launch.choice->kernel].name));
}

Result<CUgraphExec> CudaGraphs::graphOf(Bucket &bucket, CUstream stream) {
  if (!bucket.graph.get()) {
    TRANSOM_ASSIGN(bucket.graph, capture(bucket, stream));
  }
  return bucket.graph.get();
}

void CudaGraphs::redirect(CUdeviceptr from, CUdeviceptr to) {
  for (std::vector<CUdeviceptr> &arguments : arguments_)
    std::replace(arguments.begin(), arguments.end(), from, to);
}

Result<std::span<const CudaGraph>> CudaGraphs::loopOf(Bucket &bucket, size_t output, std::span<const CUdeviceptr> places, CUstream stream) {
  if (bucket.loop.size() != places.size()) {
    std::vector<CudaGraph> graphs;
    for (CUdeviceptr place : places) {
      redirect(addresses_.outputs[output], place);
      Result<CudaGraph> graph = capture(bucket, stream);
      redirect(place, addresses_.outputs[output]);
      TRANSOM_RETURN_IF_ERROR(graph.status());
      graphs.push_back(std::move(*graph));
    }
    bucket.loop = std::move(graphs);
  }
  return std::span<const CudaGraph>(bucket.loop);
}

Result<CudaGraph> CudaGraphs::capture(Bucket &bucket, CUstream stream) {
  const Driver &driver = model_.device().driver();
  TRANSOM_RETURN_IF_ERROR(check(driver.cuStreamBeginCapture(stream, CU_STREAM_CAPTURE_MODE_THREAD_LOCAL), "starting a capture"));
  Status status;
  bool follows = false;
  for (size_t i = 0; i < program_.steps.size() && status.ok(); ++i) {
    status = enqueue(bucket, i, follows, stream);
    follows |= works(bucket, i);
  }
  CUgraph graph = nullptr;
  Status ended = check(driver.cuStreamEndCapture(stream, &graph), "ending a capture");
  status = status.ok() ? ended : status;
  CUgraphExec executable = nullptr;
  if (status.ok())
    status = check(driver.cuGraphInstantiateWithFlags(&executable, graph, 0), "making a graph");
  if (graph)
    driver.cuGraphDestroy(graph);
  if (!status.ok())
    return status.within("program " + program_.name);
  return CudaGraph(model_.sharedDevice(), executable);
}

} // namespace transom
