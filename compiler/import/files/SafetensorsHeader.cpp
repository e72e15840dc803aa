// See SafetensorsHeader.h. The header is {"name": {"dtype": "F32", "shape": [..], "data_offsets": [begin,
// end]}, ..} with an optional "__metadata__" of strings, which is skipped.
#include "compiler/import/files/SafetensorsHeader.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace transom {

namespace {

struct DTypeName {
  std::string_view name;
  DType dtype;
};

constexpr DTypeName dtypeNames[] = {
    {"F64", DType::f64}, {"F32", DType::f32},      {"F16", DType::f16}, {"BF16", DType::bf16},
    {"I64", DType::i64}, {"I32", DType::i32},      {"I16", DType::i16}, {"I8", DType::i8},
    {"U8", DType::u8},   {"BOOL", DType::boolean},
};

constexpr size_t maxRank = 16;
constexpr size_t maxTensors = 1 << 20; // bounds the table's memory whatever the header's size

/// Receives the parser's events. Each handler returns false to stop, with the reason in status().
class HeaderHandler final : public nlohmann::json_sax<nlohmann::json> {
public:
  const Status &status() const { return status_; }
  std::vector<SafetensorsEntry> takeEntries() { return std::move(entries_); }

  bool null() override { return unexpected("null"); }
  bool boolean(bool) override { return unexpected("a boolean"); }
  bool number_integer(number_integer_t) override { return unexpected("a negative number"); }
  bool number_float(number_float_t, const string_t &) override { return unexpected("a fraction"); }
  bool binary(binary_t &) override { return unexpected("binary data"); }
  bool number_unsigned(number_unsigned_t value) override;
  bool string(string_t &value) override;
  bool start_object(size_t) override;
  bool key(string_t &value) override;
  bool end_object() override;
  bool start_array(size_t) override;
  bool end_array() override;
  bool parse_error(size_t position, const std::string &, const nlohmann::json::exception &) override {
    return fail(fmt::format("header: not valid JSON at byte {}", position));
  }

private:
  enum class Level { outside, header, metadata, entry, shape, offsets };

  bool fail(std::string message, StatusCode code = StatusCode::invalidFile) {
    status_ = Status(code, std::move(message));
    return false;
  }
  bool unexpected(std::string_view found) {
    if (level_ == Level::outside)
      return fail(fmt::format("header: expected an object, found {}", found));
    return fail(fmt::format("header: {}{}: unexpected {}", printable(name_),
                            field_.empty() ? "" : fmt::format(" {}", printable(field_)), found));
  }
  /// Marks `field` of the entry as seen; false where it was already.
  bool once(bool &seen) {
    return std::exchange(seen, true)
               ? fail(fmt::format("tensor {}: {} appears twice", printable(name_), field_))
               : true;
  }

  Status status_;
  Level level_ = Level::outside;
  std::vector<SafetensorsEntry> entries_;
  std::string name_, field_; // of the current entry
  bool sawMetadata_ = false, sawDtype_ = false, sawShape_ = false, sawOffsets_ = false;
  std::vector<uint64_t> offsets_;
};

bool HeaderHandler::number_unsigned(number_unsigned_t value) {
  if (level_ == Level::shape) {
    std::vector<int64_t> &shape = entries_.back().tensor.shape;
    if (value > INT64_MAX || shape.size() == maxRank)
      return fail(fmt::format("tensor {}: shape of more than {} dimensions or with a dimension over 2^63",
                              printable(name_), maxRank));
    shape.push_back(static_cast<int64_t>(value));
    return true;
  }
  if (level_ != Level::offsets || offsets_.size() == 2)
    return unexpected("a number");
  offsets_.push_back(value);
  return true;
}

bool HeaderHandler::string(string_t &value) {
  if (level_ == Level::metadata)
    return true;
  if (level_ != Level::entry || field_ != "dtype")
    return unexpected("a string");
  auto known = std::ranges::find(dtypeNames, value, &DTypeName::name);
  if (known != std::end(dtypeNames)) {
    entries_.back().tensor.dtype = known->dtype;
    return once(sawDtype_);
  }
  std::string supported;
  for (const DTypeName &row : dtypeNames)
    supported += fmt::format("{}{}", supported.empty() ? "" : ", ", row.name);
  return fail(fmt::format("tensor {}: dtype {} is not supported; supported: {}", printable(name_),
                          printable(value), supported),
              StatusCode::unsupported);
}

bool HeaderHandler::start_object(size_t) {
  if (level_ == Level::outside) {
    level_ = Level::header;
    return true;
  }
  if (level_ != Level::header)
    return unexpected("an object");
  field_.clear();
  if (name_ == "__metadata__") {
    level_ = Level::metadata;
    return std::exchange(sawMetadata_, true) ? fail("header: __metadata__ appears twice") : true;
  }
  if (entries_.size() == maxTensors)
    return fail(fmt::format("more than the {} tensors supported", maxTensors), StatusCode::unsupported);
  level_ = Level::entry;
  sawDtype_ = sawShape_ = sawOffsets_ = false;
  offsets_.clear();
  entries_.emplace_back().tensor.name = name_;
  return true;
}

bool HeaderHandler::key(string_t &value) {
  if (level_ == Level::header)
    name_ = value;
  else
    field_ = value;
  if (level_ == Level::entry && value != "dtype" && value != "shape" && value != "data_offsets")
    return fail(fmt::format("tensor {}: unknown field {}", printable(name_), printable(value)));
  return true;
}

bool HeaderHandler::end_object() {
  if (level_ == Level::header) {
    level_ = Level::outside;
    return true;
  }
  if (level_ == Level::entry && !(sawDtype_ && sawShape_ && sawOffsets_))
    return fail(fmt::format("tensor {}: {} is missing", printable(name_),
                            !sawDtype_   ? "dtype"
                            : !sawShape_ ? "shape"
                                         : "data_offsets"));
  level_ = Level::header;
  field_.clear();
  return true;
}

bool HeaderHandler::start_array(size_t) {
  if (level_ == Level::entry && field_ == "shape") {
    level_ = Level::shape;
    return once(sawShape_);
  }
  if (level_ == Level::entry && field_ == "data_offsets") {
    level_ = Level::offsets;
    return once(sawOffsets_);
  }
  return unexpected("an array");
}

bool HeaderHandler::end_array() {
  if (level_ == Level::offsets) {
    if (offsets_.size() != 2)
      return fail(
          fmt::format("tensor {}: expected two data_offsets, found {}", printable(name_), offsets_.size()));
    entries_.back().begin = offsets_[0];
    entries_.back().end = offsets_[1];
  }
  level_ = Level::entry;
  return true;
}

} // namespace

Result<std::vector<SafetensorsEntry>> parseSafetensorsHeader(std::string_view json) {
  HeaderHandler handler;
  if (!nlohmann::json::sax_parse(json, &handler))
    return handler.status();
  return handler.takeEntries();
}

} // namespace transom
