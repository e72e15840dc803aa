// See Json.h.
#include "compiler/import/files/Json.h"

#include "compiler/import/files/TensorSource.h"
#include "runtime/support/File.h"

namespace transom {

namespace {

constexpr int maxNesting = 64;

/// The deepest nesting of brackets outside strings, right for any valid JSON.
int nestingOf(std::string_view text) {
  int depth = 0, deepest = 0;
  bool inString = false;
  for (size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (inString) {
      if (c == '\\')
        ++i;
      else if (c == '"')
        inString = false;
    } else if (c == '"') {
      inString = true;
    } else if (c == '[' || c == '{') {
      deepest = std::max(deepest, ++depth);
    } else if (c == ']' || c == '}') {
      --depth;
    }
  }
  return deepest;
}

} // namespace

Result<nlohmann::json> parseJson(std::string_view text, std::string_view where) {
  if (nestingOf(text) > maxNesting)
    return error(StatusCode::invalidFile, "{}: nested deeper than {} levels", where, maxNesting);
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded())
    return error(StatusCode::invalidFile, "{}: not valid JSON", where);
  return json;
}

Result<JsonObject> JsonObject::open(const std::string &path, size_t limit) {
  TRANSOM_ASSIGN(std::string text, readTextFile(path, limit));
  return parse(text, path);
}

Result<JsonObject> JsonObject::parse(std::string_view text, std::string where) {
  JsonObject object;
  TRANSOM_ASSIGN(object.json_, parseJson(text, where));
  object.where_ = std::move(where);
  if (!object.json_.is_object())
    return error(StatusCode::invalidFile, "{}: expected a JSON object, found {}", object.where_,
                 object.json_.type_name());
  return object;
}

bool JsonObject::has(std::string_view field) const {
  auto found = json_.find(field);
  return found != json_.end() && !found->is_null();
}

Result<const nlohmann::json *> JsonObject::find(std::string_view field) const {
  auto found = json_.find(field);
  if (found == json_.end())
    return error(StatusCode::notFound, "{}: field {} is missing", where_, field);
  return &*found;
}

Status JsonObject::wrongType(std::string_view field, std::string_view expected,
                             const nlohmann::json &found) const {
  return error(StatusCode::invalidFile, "{}: field {}: expected {}, found {}", where_, field, expected,
               found.type_name());
}

Result<std::string> JsonObject::string(std::string_view field) const {
  TRANSOM_ASSIGN(const nlohmann::json *value, find(field));
  return value->is_string() ? Result<std::string>(value->get<std::string>())
                            : wrongType(field, "a string", *value);
}

Result<int64_t> JsonObject::integer(std::string_view field) const {
  TRANSOM_ASSIGN(const nlohmann::json *value, find(field));
  bool fits =
      value->is_number_integer() && (!value->is_number_unsigned() || value->get<uint64_t>() <= INT64_MAX);
  return fits ? Result<int64_t>(value->get<int64_t>()) : wrongType(field, "an integer under 2^63", *value);
}

Result<double> JsonObject::number(std::string_view field) const {
  TRANSOM_ASSIGN(const nlohmann::json *value, find(field));
  return value->is_number() ? Result<double>(value->get<double>()) : wrongType(field, "a number", *value);
}

Result<bool> JsonObject::boolean(std::string_view field) const {
  TRANSOM_ASSIGN(const nlohmann::json *value, find(field));
  return value->is_boolean() ? Result<bool>(value->get<bool>()) : wrongType(field, "true or false", *value);
}

Result<JsonObject> JsonObject::object(std::string_view field) const {
  TRANSOM_ASSIGN(const nlohmann::json *value, find(field));
  if (!value->is_object())
    return wrongType(field, "an object", *value);
  JsonObject object;
  object.where_ = fmt::format("{}: {}", where_, field);
  object.json_ = *value;
  return object;
}

Result<std::string> JsonObject::stringOr(std::string_view field, std::string_view fallback) const {
  return has(field) ? string(field) : Result<std::string>(std::string(fallback));
}

Result<int64_t> JsonObject::integerOr(std::string_view field, int64_t fallback) const {
  return has(field) ? integer(field) : Result<int64_t>(fallback);
}

Result<double> JsonObject::numberOr(std::string_view field, double fallback) const {
  return has(field) ? number(field) : Result<double>(fallback);
}

Result<bool> JsonObject::booleanOr(std::string_view field, bool fallback) const {
  return has(field) ? boolean(field) : Result<bool>(fallback);
}

Status JsonObject::expect(std::string_view field, const nlohmann::json &value) const {
  if (!has(field) || json_[field] == value)
    return {};
  auto text = [](const nlohmann::json &json) {
    return printable(json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace));
  };
  return error(StatusCode::unsupported, "{}: field {}: expected {}, found {}", where_, field, text(value),
               text(json_[field]));
}

} // namespace transom
