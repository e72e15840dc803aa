// The walk over a GGUF file's header, metadata and tensor table; see Gguf.h. Values are checked for
// completeness here and decoded in Gguf.cpp.
#include "compiler/import/files/ByteCursor.h"
#include "compiler/import/files/Gguf.h"

#include <algorithm>
#include <cstring>

namespace transom {

namespace {

/// A ggml tensor type (enum ggml_type in ggml.h); no dtype where Transom cannot decode it.
struct TensorType {
  uint32_t code;
  std::string_view name;
  std::optional<DType> dtype;
};

constexpr TensorType tensorTypes[] = {
    {0, "F32", DType::f32},    {1, "F16", DType::f16},   {2, "Q4_0", DType::q4_0},  {3, "Q4_1", DType::q4_1},
    {6, "Q5_0", DType::q5_0},  {7, "Q5_1", DType::q5_1}, {8, "Q8_0", DType::q8_0},  {9, "Q8_1", {}},
    {10, "Q2_K", {}},          {11, "Q3_K", {}},         {12, "Q4_K", DType::q4_k}, {13, "Q5_K", DType::q5_k},
    {14, "Q6_K", DType::q6_k}, {15, "Q8_K", {}},         {16, "IQ2_XXS", {}},       {17, "IQ2_XS", {}},
    {18, "IQ3_XXS", {}},       {19, "IQ1_S", {}},        {20, "IQ4_NL", {}},        {21, "IQ3_S", {}},
    {22, "IQ2_S", {}},         {23, "IQ4_XS", {}},       {24, "I8", DType::i8},     {25, "I16", DType::i16},
    {26, "I32", DType::i32},   {27, "I64", DType::i64},  {28, "F64", DType::f64},   {29, "IQ1_M", {}},
    {30, "BF16", DType::bf16}, {34, "TQ1_0", {}},        {35, "TQ2_0", {}},         {39, "MXFP4", {}},
};

std::string supportedTensorTypes() {
  std::string out;
  for (const TensorType &type : tensorTypes)
    if (type.dtype)
      out += fmt::format("{}{}", out.empty() ? "" : ", ", type.name);
  return out;
}

/// Bytes of a fixed-size metadata value; 0 for strings, arrays and unknown types.
uint64_t fixedSize(GgufType type) {
  switch (type) {
  case GgufType::u8:
  case GgufType::i8:
  case GgufType::boolean:
    return 1;
  case GgufType::u16:
  case GgufType::i16:
    return 2;
  case GgufType::u32:
  case GgufType::i32:
  case GgufType::f32:
    return 4;
  case GgufType::u64:
  case GgufType::i64:
  case GgufType::f64:
    return 8;
  default:
    return 0;
  }
}

constexpr uint32_t maxRank = 4;    // GGML_MAX_DIMS
constexpr int maxArrayNesting = 4; // the format sets no bound; real files nest once
constexpr uint64_t defaultAlignment = 32;
// Far above any real model; they bound the tables' memory whatever the file's size.
constexpr uint64_t maxTensors = 1 << 20, maxMetadata = 1 << 16;

} // namespace

class GgufFile::Parser {
public:
  Parser(GgufFile &file, std::span<const std::byte> bytes) : file_(file), bytes_(bytes), cursor_(bytes) {}

  Status run() {
    TRANSOM_RETURN_IF_ERROR(readHeader());
    for (uint64_t i = 0; i < metadataCount_; ++i)
      TRANSOM_RETURN_IF_ERROR(readMetadata());
    for (uint64_t i = 0; i < tensorCount_; ++i)
      TRANSOM_RETURN_IF_ERROR(readTensorInfo(i));
    return placeTensors();
  }

private:
  struct TensorInfo {
    Tensor tensor; ///< without bytes
    uint64_t offset;
    uint64_t size;
  };

  Status readHeader();
  Status readMetadata();
  Status readValue(std::string_view key, GgufValue &value);
  Status skipArray(std::string_view key, GgufType type, uint64_t count, int nesting);
  Status readTensorInfo(uint64_t index);
  Status placeTensors();
  Result<uint64_t> alignment() const;

  Status truncated(std::string_view what) const {
    return error(StatusCode::invalidFile, "truncated: {} at byte {} goes past the end ({} bytes)", what,
                 cursor_.position(), bytes_.size());
  }

  GgufFile &file_;
  std::span<const std::byte> bytes_;
  ByteCursor cursor_;
  uint64_t tensorCount_ = 0, metadataCount_ = 0;
  std::vector<TensorInfo> infos_;
};

Status GgufFile::Parser::readHeader() {
  auto magic = cursor_.take(4);
  if (!magic || std::memcmp(magic->data(), "GGUF", 4) != 0)
    return error(StatusCode::invalidFile, "not a GGUF file: the first four bytes are not 'GGUF'");
  auto version = cursor_.number<uint32_t>();
  if (!version)
    return truncated("the version");
  if (__builtin_bswap32(*version) == 2 || __builtin_bswap32(*version) == 3)
    return error(StatusCode::unsupported, "big-endian GGUF is not supported, only little-endian");
  if (*version != 2 && *version != 3)
    return error(StatusCode::unsupported, "GGUF version {} is not supported, only 2 and 3", *version);
  file_.version_ = *version;
  auto tensors = cursor_.number<uint64_t>(), metadata = cursor_.number<uint64_t>();
  if (!tensors || !metadata)
    return truncated("the header");
  // The smallest entries: an empty name, a rank, a type and an offset; an empty key, a type and one byte of
  // value.
  constexpr uint64_t minTensor = 8 + 4 + 4 + 8, minMetadata = 8 + 4 + 1;
  CheckedSize needed = CheckedSize(*tensors) * minTensor + CheckedSize(*metadata) * minMetadata;
  if (!needed.fits(cursor_.remaining()))
    return error(StatusCode::invalidFile, "{} tensors and {} metadata entries do not fit a file of {} bytes",
                 *tensors, *metadata, bytes_.size());
  if (*tensors > maxTensors || *metadata > maxMetadata)
    return error(StatusCode::unsupported,
                 "{} tensors and {} metadata entries, more than the {} and {} supported", *tensors, *metadata,
                 maxTensors, maxMetadata);
  tensorCount_ = *tensors;
  metadataCount_ = *metadata;
  return {};
}

Status GgufFile::Parser::readMetadata() {
  auto key = cursor_.string();
  if (!key)
    return truncated("a metadata key");
  if (!isPlainName(*key))
    return error(StatusCode::invalidFile, "metadata key '{}': expected printable text", printable(*key));
  GgufValue value;
  TRANSOM_RETURN_IF_ERROR(readValue(*key, value));
  if (!file_.metadata_.emplace(*key, value).second)
    return error(StatusCode::invalidFile, "metadata {}: the key appears twice", printable(*key));
  return {};
}

Status GgufFile::Parser::readValue(std::string_view key, GgufValue &value) {
  auto type = cursor_.number<uint32_t>();
  if (!type)
    return truncated("a metadata type");
  value.type = static_cast<GgufType>(*type);
  if (value.type == GgufType::array) {
    auto elementType = cursor_.number<uint32_t>();
    auto count = cursor_.number<uint64_t>();
    if (!elementType || !count)
      return truncated("an array's header");
    value.isArray = true;
    value.type = static_cast<GgufType>(*elementType);
    value.count = *count;
  }
  size_t start = cursor_.position();
  TRANSOM_RETURN_IF_ERROR(skipArray(key, value.type, value.count, 1));
  value.bytes = bytes_.subspan(start, cursor_.position() - start);
  return {};
}

Status GgufFile::Parser::skipArray(std::string_view key, GgufType type, uint64_t count, int nesting) {
  if (uint64_t size = fixedSize(type)) {
    if (!cursor_.take(CheckedSize(count) * size))
      return truncated(fmt::format("metadata {}", printable(key)));
    return {};
  }
  if (type == GgufType::string) {
    for (uint64_t i = 0; i < count; ++i)
      if (!cursor_.string())
        return truncated(fmt::format("metadata {}", printable(key)));
    return {};
  }
  if (type != GgufType::array)
    return error(StatusCode::invalidFile, "metadata {}: unknown value type {}", printable(key),
                 static_cast<uint32_t>(type));
  if (nesting >= maxArrayNesting)
    return error(StatusCode::unsupported, "metadata {}: arrays nested deeper than {}", printable(key),
                 maxArrayNesting);
  for (uint64_t i = 0; i < count; ++i) {
    auto elementType = cursor_.number<uint32_t>();
    auto elements = cursor_.number<uint64_t>();
    if (!elementType || !elements)
      return truncated(fmt::format("metadata {}", printable(key)));
    TRANSOM_RETURN_IF_ERROR(skipArray(key, static_cast<GgufType>(*elementType), *elements, nesting + 1));
  }
  return {};
}

Status GgufFile::Parser::readTensorInfo(uint64_t index) {
  auto name = cursor_.string();
  auto rank = cursor_.number<uint32_t>();
  if (!name || !rank)
    return truncated(fmt::format("the entry of tensor {}", index));
  if (*rank > maxRank)
    return error(StatusCode::invalidFile, "tensor {}: rank {} is more than {}", printable(*name), *rank,
                 maxRank);
  TensorInfo info;
  info.tensor.name = *name;
  for (uint32_t axis = 0; axis < *rank; ++axis) {
    auto dim = cursor_.number<uint64_t>();
    if (!dim)
      return truncated(fmt::format("the shape of tensor {}", printable(*name)));
    if (*dim == 0 || *dim > INT64_MAX)
      return error(StatusCode::invalidFile, "tensor {}: dimension {} is {}", printable(*name), axis, *dim);
    info.tensor.shape.push_back(static_cast<int64_t>(*dim));
  }
  // GGML counts dimensions from the contiguous one.
  std::reverse(info.tensor.shape.begin(), info.tensor.shape.end());
  auto type = cursor_.number<uint32_t>();
  auto offset = cursor_.number<uint64_t>();
  if (!type || !offset)
    return truncated(fmt::format("the entry of tensor {}", printable(*name)));
  auto known = std::ranges::find(tensorTypes, *type, &TensorType::code);
  if (known == std::end(tensorTypes) || !known->dtype)
    return error(StatusCode::unsupported, "tensor {}: type {} is not supported; supported: {}",
                 printable(*name),
                 known == std::end(tensorTypes) ? fmt::format("number {}", *type) : known->name,
                 supportedTensorTypes());
  info.tensor.dtype = *known->dtype;
  info.offset = *offset;
  CheckedSize size = bytesFor(info.tensor.dtype, info.tensor.shape);
  if (!size.valid())
    return error(
        StatusCode::invalidFile,
        "tensor {}: shape {} is not valid for {} (too large, or rows that are not whole blocks of {})",
        printable(*name), formatShape(info.tensor.shape), known->name, layoutOf(info.tensor.dtype).elements);
  info.size = size.value();
  infos_.push_back(std::move(info));
  return {};
}

Result<uint64_t> GgufFile::Parser::alignment() const {
  TRANSOM_ASSIGN(int64_t alignment, file_.integerOr("general.alignment", defaultAlignment));
  if (alignment <= 0 || (alignment & (alignment - 1)) != 0)
    return error(StatusCode::invalidFile, "general.alignment: expected a power of two, found {}", alignment);
  return static_cast<uint64_t>(alignment);
}

Status GgufFile::Parser::placeTensors() {
  TRANSOM_ASSIGN(uint64_t alignment, alignment());
  CheckedSize base = CheckedSize(cursor_.position()).alignedTo(alignment);
  for (TensorInfo &info : infos_) {
    std::string name = printable(info.tensor.name);
    if (info.offset % alignment != 0)
      return error(StatusCode::invalidFile, "tensor {}: offset {} is not a multiple of the alignment {}",
                   name, info.offset, alignment);
    CheckedSize start = base + info.offset;
    if (!(start + info.size).fits(bytes_.size()))
      return error(StatusCode::invalidFile,
                   "truncated: tensor {} of {} bytes at data offset {} goes past the end ({} bytes)", name,
                   info.size, info.offset, bytes_.size());
    info.tensor.bytes = bytes_.subspan(start.value(), info.size);
  }
  std::vector<const TensorInfo *> order;
  for (const TensorInfo &info : infos_)
    order.push_back(&info);
  std::ranges::sort(order, {}, [](const TensorInfo *info) { return info->offset; });
  for (size_t i = 1; i < order.size(); ++i)
    if (order[i - 1]->offset + order[i - 1]->size > order[i]->offset)
      return error(StatusCode::invalidFile, "tensors {} and {} overlap", printable(order[i - 1]->tensor.name),
                   printable(order[i]->tensor.name));
  for (TensorInfo &info : infos_)
    TRANSOM_RETURN_IF_ERROR(file_.tensors_.add(std::move(info.tensor)));
  return {};
}

Result<GgufFile> GgufFile::parse(std::span<const std::byte> bytes, std::string path) {
  GgufFile file;
  file.path_ = std::move(path);
  TRANSOM_RETURN_IF_ERROR(Parser(file, bytes).run().within(file.path_));
  return file;
}

Result<GgufFile> GgufFile::open(const std::string &path) {
  TRANSOM_ASSIGN(MappedFile mapped, MappedFile::open(path));
  TRANSOM_ASSIGN(GgufFile file, parse(mapped.bytes(), path));
  file.tensors_.keep(std::move(mapped));
  return file;
}

} // namespace transom
