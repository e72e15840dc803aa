// Typed access to untrusted JSON. The first error sticks; readers go on with defaults and the caller asks once.
#pragma once

#include "runtime/support/Status.h"

#include <nlohmann/json.hpp>

#include <limits>
#include <string>
#include <string_view>

namespace transom::tokenizer {

using Json = nlohmann::json;

class JsonReader {
public:
  explicit JsonReader(std::string_view fileName) : fileName_(fileName) {}

  const Status &status() const { return status_; }
  bool ok() const { return status_.ok(); }
  /// `where` names the object, as in "normalizer Replace".
  void fail(StatusCode code, std::string_view where, std::string_view problem) {
    if (ok())
      status_ = error(code, "{}: {}: {}", fileName_, where, problem);
  }
  void invalid(std::string_view where, std::string_view problem) { fail(StatusCode::invalidFile, where, problem); }

  /// The member, or a null value where it is absent or null.
  const Json &member(const Json &object, const char *key) {
    static const Json null;
    if (!object.is_object())
      return null;
    auto found = object.find(key);
    return found == object.end() ? null : *found;
  }
  bool flag(const Json &object, const char *key, std::string_view where, bool absent) {
    const Json &value = member(object, key);
    if (!value.is_null() && !value.is_boolean())
      invalid(where, fmt::format("{}: expected true or false, found {}", key, value.type_name()));
    return value.is_boolean() ? value.get<bool>() : absent;
  }
  std::string text(const Json &object, const char *key, std::string_view where, std::string_view absent = {}) {
    const Json &value = member(object, key);
    if (!value.is_null() && !value.is_string())
      invalid(where, fmt::format("{}: expected a string, found {}", key, value.type_name()));
    return value.is_string() ? value.get<std::string>() : std::string(absent);
  }
  std::string requiredText(const Json &object, const char *key, std::string_view where) {
    if (member(object, key).is_null())
      invalid(where, fmt::format("{} is missing", key));
    return text(object, key, where);
  }
  /// A whole number from 0 to `limit`.
  int64_t number(const Json &value, std::string_view where, int64_t limit) {
    bool whole = value.is_number_unsigned() && value.get<uint64_t>() <= static_cast<uint64_t>(limit);
    if (!whole)
      invalid(where, fmt::format("expected a whole number of at most {}, found {}", limit,
                                 value.is_number() ? value.dump() : value.type_name()));
    return whole ? static_cast<int64_t>(value.get<uint64_t>()) : 0;
  }
  /// The list at `key`; an error and an empty list for anything else.
  const Json &list(const Json &object, const char *key, std::string_view where) {
    static const Json empty = Json::array();
    const Json &value = member(object, key);
    if (!value.is_array())
      invalid(where, fmt::format("{}: expected a list, found {}", key, value.type_name()));
    return value.is_array() ? value : empty;
  }

private:
  std::string fileName_;
  Status status_;
};

} // namespace transom::tokenizer
